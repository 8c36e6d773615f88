/* buf.h: appending, numbers, and what happens at the arena's limit. */
#include "base_test.h"

#include "base/buf.h"

#include <inttypes.h>
#include <stdio.h>

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    return arena_init(&arena, (size_t)1 << 20) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

static void appends(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, &arena);
    assert_text(buf_slice(&buf), "");
    buf_append(&buf, SLICE("ab"));
    buf_append(&buf, SLICE_ABSENT);
    buf_append(&buf, SLICE(""));
    buf_append_char(&buf, 'c');
    buf_format(&buf, "%d%s", 12, "xy");
    buf_format(&buf, "%s", "");
    assert_text(buf_slice(&buf), "abc12xy");
    assert_false(buf.overflow);
}

static void formats_past_its_room(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, &arena);
    buf_format(&buf, "%2000d|", 7);
    buf_format(&buf, "%3000d", 8);
    assert_int_equal(buf.len, 5001);
    assert_int_equal(buf.ptr[1999], '7');
    assert_int_equal(buf.ptr[2000], '|');
    assert_int_equal(buf.ptr[5000], '8');
    /* A text that fills the room to the byte, so that only vsnprintf's NUL does not fit. */
    struct buf exact;
    buf_init(&exact, &arena);
    assert_true(buf_reserve(&exact, 1));
    size_t cap = exact.cap;
    buf_format(&exact, "%*d", (int)cap, 9);
    assert_int_equal(exact.len, cap);
    assert_int_equal(exact.ptr[cap - 1], '9');
}

static void keeps_content_when_it_moves(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, &arena);
    for (int i = 0; i < 20000; i++) {
        buf_append_char(&buf, (char)('a' + i % 26));
        if (i % 1000 == 0)
            (void)arena_alloc(&arena, 1); /* so that it is not the newest block */
    }
    assert_int_equal(buf.len, 20000);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(buf.ptr[i], 'a' + i % 26);
}

static void writes_integers(void **state)
{
    (void)state;
    int64_t values[200] = {0, 9, 10, 99, 100, 101, -1, -9, -10, -100, INT64_MAX, INT64_MIN, INT64_MIN + 1};
    size_t count = 13;
    for (int64_t power = 1; power < INT64_MAX / 10; power *= 10) {
        values[count++] = power;
        values[count++] = power - 1;
        values[count++] = -power;
        values[count++] = power * 7 + 3;
    }
    for (size_t i = 0; i < count; i++) {
        char expected[32];
        snprintf(expected, sizeof(expected), "%" PRId64, values[i]);
        struct buf buf;
        buf_init(&buf, &arena);
        buf_append_int(&buf, values[i]);
        assert_text(buf_slice(&buf), expected);
    }
}

static void keeps_a_prefix_at_the_limit(void **state)
{
    (void)state;
    struct arena small;
    assert_true(arena_init(&small, 4096));
    struct buf buf;
    buf_init(&buf, &small);
    static const char BLOCK[1000];
    for (int i = 0; i < 4; i++)
        buf_append(&buf, (struct slice){BLOCK, sizeof(BLOCK)});
    assert_false(buf.overflow); /* 4000 of 4096: its double would not have fitted, it alone did */
    assert_int_equal(buf.len, 4000);
    buf_append(&buf, (struct slice){BLOCK, 200});
    assert_true(buf.overflow);
    assert_int_equal(buf.len, 4000);
    buf_append_char(&buf, 'x'); /* would fit, but would make a hole */
    buf_format(&buf, "%d", 1);
    buf_append_int(&buf, 1);
    assert_int_equal(buf.len, 4000);
    assert_false(buf_reserve(&buf, 0));

    struct buf huge;
    buf_init(&huge, &small);
    assert_false(buf_reserve(&huge, SIZE_MAX));
    assert_true(huge.overflow);
    assert_text(buf_slice(&huge), "");
    buf_init(&huge, &arena);
    buf_append_char(&huge, 'x');
    assert_false(buf_reserve(&huge, SIZE_MAX)); /* the sum wraps */
    assert_true(huge.overflow);
    assert_text(buf_slice(&huge), "x");
    arena_release(&small);
}

#define with_arena(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_arena(appends),
        with_arena(formats_past_its_room),
        with_arena(keeps_content_when_it_moves),
        with_arena(writes_integers),
        with_arena(keeps_a_prefix_at_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
