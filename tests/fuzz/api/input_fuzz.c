/* Bodies and queries of any bytes, held against the input rules of every operation: the first byte picks the
 * operation. What is refused names a field and a rule. */
#include "fuzz.h"

#include "api/operations.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/text.h"
#include "http/target.h"

#include <stdlib.h>

static struct arena arena;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return arena_init(&arena, ARENA_REQUEST_BYTES) ? 0 : 1;
}

static void decode(const struct input_rule *rule, const struct raw_input *raw)
{
    void *input = NULL;
    struct field_errors errors = {0};
    if (input_decode(rule, raw, &arena, &input, &errors)) {
        CHECK(rule->size == 0 || input != NULL);
        return;
    }
    CHECK(errors.count > 0 && errors.count <= FIELD_ERRORS_MAX);
    for (size_t i = 0; i < errors.count; i++)
        CHECK(errors.list[i].code != NULL && text_is_valid(errors.list[i].field) &&
              text_is_valid(errors.list[i].message));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct slice SOME_PATH[] = {SLICE("01a2046e-ee1f-7264-b316-56cc8d436103"),
                                             SLICE("01a2046e-ee1f-7264-b316-56cc8d436104")};
    if (size < 1)
        return 0;
    const struct operation *operation = &api_operations.operations[data[0] % api_operations.count];
    const struct input_rule *rule = operation->input;
    if (rule == NULL || rule->path_count > COUNT_OF(SOME_PATH))
        return 0;
    arena_reset(&arena);
    char *copy = malloc(size);
    CHECK(copy != NULL);
    memcpy(copy, data + 1, size - 1);
    struct slice rest = {copy, size - 1};
    struct raw_parameter list[QUERY_PARAMETERS_MAX];
    size_t count = 0;
    struct raw_input raw = {.path_values = SOME_PATH, .path_count = rule->path_count};
    if (rule->body != NULL)
        raw.body = rest;
    else if (target_parse_query(&arena, rest, list, &count)) {
        raw.query = list;
        raw.query_count = count;
    }
    decode(rule, &raw);
    free(copy);
    return 0;
}
