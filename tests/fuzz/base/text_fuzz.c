/* Whatever bytes come: the small readers of base/ stay inside them, and what they read they write alike. */
#include "fuzz.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/json_writer.h"
#include "base/limits.h"
#include "base/text.h"

#include <stdlib.h>

static struct arena arena;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    crypto_start();
    return arena_init(&arena, ARENA_REQUEST_BYTES) ? 0 : 1;
}

static void read_numbers(struct slice input)
{
    long long number;
    int64_t time_ms;
    struct uuid id;
    char order_number[ORDER_NUMBER_LEN];
    if (slice_to_int64(input, &number))
        CHECK(input.len > 0);
    if (clock_parse_rfc3339(input, &time_ms)) {
        char text[CLOCK_RFC3339_LEN];
        int64_t again_ms;
        clock_format_rfc3339(time_ms, text);
        CHECK(clock_parse_rfc3339((struct slice){text, sizeof(text)}, &again_ms) && again_ms == time_ms);
    }
    if (uuid_parse(input, &id)) {
        char text[UUID_TEXT_LEN];
        struct uuid again;
        uuid_format(id, text);
        CHECK(uuid_parse((struct slice){text, sizeof(text)}, &again) && uuid_equals(id, again));
    }
    if (order_number_parse(input, order_number)) {
        char again[ORDER_NUMBER_LEN];
        CHECK(order_number_parse((struct slice){order_number, ORDER_NUMBER_LEN}, again));
        CHECK(memcmp(order_number, again, ORDER_NUMBER_LEN) == 0);
    }
}

static void read_text(struct slice input)
{
    struct slice bytes = base64url_decode(&arena, input);
    if (!slice_is_absent(bytes))
        CHECK(slice_equals(base64url_encode(&arena, bytes), input));
    if (!text_is_valid(input))
        return;
    struct slice folded = text_fold(&arena, input);
    CHECK(text_is_valid(folded));
    CHECK(text_slug(&arena, input).len <= TEXT_SLUG_MAX);
    struct buf out;
    struct json_writer json;
    buf_init(&out, &arena);
    json_init(&json, &out);
    json_text(&json, input);
    CHECK(out.overflow || out.len >= input.len + 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    arena_reset(&arena);
    /* A copy of exactly this length, so that reading past it is seen. */
    char *copy = malloc(size > 0 ? size : 1);
    CHECK(copy != NULL);
    memcpy(copy, data, size);
    struct slice input = {copy, size};
    read_numbers(input);
    read_text(input);
    free(copy);
    return 0;
}
