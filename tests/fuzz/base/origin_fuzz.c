/* Lists of origins of any bytes: each valid one is found in its list, and holds nothing that could end a
 * header. */
#include "fuzz.h"

#include "base/check.h"
#include "base/origin.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);
    CHECK(copy != NULL);
    memcpy(copy, data, size);
    struct slice list = {copy, size};
    struct slice rest = list;
    struct slice origin;
    while (origin_next(&rest, &origin)) {
        CHECK(origin_is_listed(list, origin));
        if (!origin_is_valid(origin))
            continue;
        CHECK(origin.len <= ORIGIN_BYTES_MAX);
        for (size_t i = 0; i < origin.len; i++)
            CHECK(origin.ptr[i] > ' ' && origin.ptr[i] < 0x7f && origin.ptr[i] != ',' &&
                  origin.ptr[i] != '*');
    }
    free(copy);
    return 0;
}
