/* json_writer.h: exact output, escapes at every position, and that misuse asserts. */
#include "base_test.h"

#include "base/json_writer.h"

#include <stdio.h>

static struct arena arena;
static struct buf out;
static struct json_writer json;

static int set_up(void **state)
{
    (void)state;
    if (!arena_init(&arena, (size_t)1 << 20))
        return -1;
    buf_init(&out, &arena);
    json_init(&json, &out);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

static void writes_a_document(void **state)
{
    (void)state;
    struct uuid id;
    assert_true(uuid_parse(SLICE("0190A0B1-0000-7000-8000-0123456789ab"), &id));
    json_object_begin(&json);
    json_field_string(&json, "name", SLICE("Caf\xc3\xa9 \"X\""));
    json_field_string(&json, "nothing", SLICE_ABSENT);
    json_field_string(&json, "empty", SLICE(""));
    json_field_int(&json, "min", INT64_MIN);
    json_field_bool(&json, "yes", true);
    json_field_bool(&json, "no", false);
    json_field_null(&json, "null");
    json_field_uuid(&json, "id", id);
    json_field_time(&json, "at", 1769862896789);
    json_field_raw(&json, "raw", SLICE("{\"a\":[1]}"));
    json_field_raw(&json, "noRaw", SLICE_ABSENT);
    json_field_money(&json, "price", 2999, SLICE("USD"));
    json_field_array_begin(&json, "list");
    json_int(&json, 1);
    json_text(&json, SLICE("two"));
    json_object_begin(&json);
    json_object_end(&json);
    json_array_begin(&json);
    json_array_end(&json);
    json_object_begin(&json);
    json_field_int(&json, "x", -5);
    json_object_end(&json);
    json_array_end(&json);
    json_field_object_begin(&json, "last");
    json_object_end(&json);
    json_object_end(&json);
    assert_text(
        buf_slice(&out),
        "{\"name\":\"Caf\xc3\xa9 \\\"X\\\"\",\"nothing\":null,\"empty\":\"\",\"min\":-9223372036854775808,"
        "\"yes\":true,\"no\":false,\"null\":null,\"id\":\"0190a0b1-0000-7000-8000-0123456789ab\","
        "\"at\":\"2026-01-31T12:34:56.789Z\",\"raw\":{\"a\":[1]},\"noRaw\":null,"
        "\"price\":{\"amount\":2999,\"currency\":\"USD\"},"
        "\"list\":[1,\"two\",{},[],{\"x\":-5}],\"last\":{}}");
    assert_int_equal(json.depth, 0);
}

/* The escape of one byte, written the plain way. */
static size_t expected_escape(unsigned char c, char text[8])
{
    switch (c) {
    case '"':
        return (size_t)snprintf(text, 8, "\\\"");
    case '\\':
        return (size_t)snprintf(text, 8, "\\\\");
    case '\n':
        return (size_t)snprintf(text, 8, "\\n");
    case '\r':
        return (size_t)snprintf(text, 8, "\\r");
    case '\t':
        return (size_t)snprintf(text, 8, "\\t");
    case '\b':
        return (size_t)snprintf(text, 8, "\\b");
    case '\f':
        return (size_t)snprintf(text, 8, "\\f");
    default:
        if (c < 0x20)
            return (size_t)snprintf(text, 8, "\\u%04x", c);
        text[0] = (char)c;
        return 1;
    }
}

/* Each byte at each place of a string longer than two words of the scanner, among neighbours that could
 * confuse it. */
static void escapes_every_byte_at_every_place(void **state)
{
    (void)state;
    static const unsigned char FILLERS[] = {'a', 0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xff};
    for (size_t f = 0; f < sizeof(FILLERS); f++) {
        for (int c = 0; c < 256; c++) {
            for (size_t place = 0; place < 19; place++) {
                char text[19];
                memset(text, FILLERS[f], sizeof(text));
                text[place] = (char)c;
                char escape[8];
                size_t escape_len = expected_escape((unsigned char)c, escape);
                arena_reset(&arena);
                buf_init(&out, &arena);
                json_init(&json, &out);
                json_text(&json, (struct slice){text, sizeof(text)});
                assert_int_equal(out.len, 2 + 18 + escape_len);
                assert_int_equal(out.ptr[0], '"');
                assert_memory_equal(out.ptr + 1, text, place);
                assert_memory_equal(out.ptr + 1 + place, escape, escape_len);
                assert_memory_equal(out.ptr + 1 + place + escape_len, text + place + 1, 18 - place);
                assert_int_equal(out.ptr[out.len - 1], '"');
            }
        }
    }
}

/* Each kind of value, with each amount of room left in the buffer's first block: what lies behind it stays
 * untouched. */
static void writes_within_its_room(void **state)
{
    (void)state;
    for (size_t pad = 400; pad < 520; pad++) {
        for (int kind = 0; kind < 4; kind++) {
            arena_reset(&arena);
            buf_init(&out, &arena);
            assert_true(buf_reserve(&out, 1));
            char *behind = arena_alloc(&arena, 64);
            memset(behind, 'z', 64);
            char *text = arena_alloc(&arena, pad);
            memset(text, 'a', pad);
            json_init(&json, &out);
            json_object_begin(&json);
            json_field_string(&json, "pad", (struct slice){text, pad}); /* {"pad":"..." is 9 bytes more */
            const char *expected = NULL;
            if (kind == 0) {
                json_field_uuid(&json, "k", (struct uuid){{0}});
                expected = ",\"k\":\"00000000-0000-0000-0000-000000000000\"";
            } else if (kind == 1) {
                json_field_time(&json, "k", 0);
                expected = ",\"k\":\"1970-01-01T00:00:00.000Z\"";
            } else if (kind == 2) {
                json_field_int(&json, "a longer key", INT64_MIN);
                expected = ",\"a longer key\":-9223372036854775808";
            } else {
                json_field_string(&json, "k", SLICE("\x01\x02"));
                expected = ",\"k\":\"\\u0001\\u0002\"";
            }
            assert_text(slice_skip(buf_slice(&out), pad + 9), expected);
            for (size_t i = 0; i < 64; i++)
                assert_int_equal(behind[i], 'z');
        }
    }
}

static void leaves_separators_of_lines_alone(void **state)
{
    (void)state;
    json_text(&json, SLICE("a\xe2\x80\xa8/<\xf0\x9f\x98\x80"));
    assert_text(buf_slice(&out), "\"a\xe2\x80\xa8/<\xf0\x9f\x98\x80\"");
}

static void takes_the_deepest_and_no_deeper(void **state)
{
    (void)state;
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        json_array_begin(&json);
    json_int(&json, 1);
    json_int(&json, 2);
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        json_array_end(&json);
    assert_text(buf_slice(&out), "[[[[[[[[[[[[[[[[1,2]]]]]]]]]]]]]]]]");
}

static void too_deep(void)
{
    for (int i = 0; i <= JSON_DEPTH_MAX; i++)
        json_array_begin(&json);
}

static void key_at_top(void)
{
    json_key(&json, "a");
}

static void key_in_array(void)
{
    json_array_begin(&json);
    json_key(&json, "a");
}

static void key_after_key(void)
{
    json_object_begin(&json);
    json_key(&json, "a");
    json_key(&json, "b");
}

static void value_without_key(void)
{
    json_object_begin(&json);
    json_int(&json, 1);
}

static void end_without_begin(void)
{
    json_object_end(&json);
}

static void end_of_the_other_kind(void)
{
    json_array_begin(&json);
    json_object_end(&json);
}

static void end_after_key(void)
{
    json_object_begin(&json);
    json_key(&json, "a");
    json_object_end(&json);
}

static void second_value_at_top(void)
{
    json_int(&json, 1);
    json_int(&json, 2);
}

static void empty_raw(void)
{
    json_raw(&json, SLICE(""));
}

static void misuse_asserts(void **state)
{
    (void)state;
    assert_aborts(too_deep);
    assert_aborts(key_at_top);
    assert_aborts(key_in_array);
    assert_aborts(key_after_key);
    assert_aborts(value_without_key);
    assert_aborts(end_without_begin);
    assert_aborts(end_of_the_other_kind);
    assert_aborts(end_after_key);
    assert_aborts(second_value_at_top);
    assert_aborts(empty_raw);
}

static void survives_an_exhausted_arena(void **state)
{
    (void)state;
    struct arena small;
    assert_true(arena_init(&small, 4096));
    buf_init(&out, &small);
    json_init(&json, &out);
    json_array_begin(&json);
    for (int i = 0; i < 1000; i++) {
        json_object_begin(&json);
        json_field_string(&json, "name", SLICE("a \"text\" with \n escapes"));
        json_object_end(&json);
    }
    json_array_end(&json);
    assert_true(out.overflow);
    assert_true(out.len <= 4096);
    arena_release(&small);
}

#define with_arena(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_arena(writes_a_document),
        with_arena(escapes_every_byte_at_every_place),
        with_arena(writes_within_its_room),
        with_arena(leaves_separators_of_lines_alone),
        with_arena(takes_the_deepest_and_no_deeper),
        with_arena(misuse_asserts),
        with_arena(survives_an_exhausted_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
