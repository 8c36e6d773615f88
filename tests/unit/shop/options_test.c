/* Options pick a variant; what they do not name is the shopper's wish. */
#include "shop/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct slice M_RED = {"{\"Size\":\"M\",\"Color\":\"Red\"}", 26};

static void test_match(void **state)
{
    (void)state;
    static const struct {
        const char *wanted;
        enum option_match match;
    } CASES[] = {
        {"{\"Size\":\"M\",\"Color\":\"Red\"}", OPTIONS_MATCH},
        {"{\"Color\":\"Red\",\"Size\":\"M\",\"Engraving\":\"x\"}", OPTIONS_MATCH},
        {"{\"Size\":\"M\"}", OPTIONS_MISSING},
        {"{\"Size\":\"L\"}", OPTIONS_DIFFER},
        {"{\"Size\":\"L\",\"Color\":\"Red\"}", OPTIONS_DIFFER},
        {"{\"size\":\"M\",\"Color\":\"Red\"}", OPTIONS_MISSING},
        {NULL, OPTIONS_MISSING},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++)
        assert_int_equal(options_match(M_RED, slice_from(CASES[i].wanted)), CASES[i].match);
    assert_int_equal(options_match(SLICE("{}"), SLICE_ABSENT), OPTIONS_MATCH);
}

static void test_wishes_and_join(void **state)
{
    (void)state;
    struct arena arena;
    assert_true(arena_init(&arena, (size_t)1 << 20));
    struct slice wishes = options_wishes(
        &arena, M_RED, SLICE("{\"Size\":\"M\",\"Wrap\":\"yes\",\"Engraving\":\"\\u00e9 \\\"q\\\"\"}"));
    assert_true(slice_is(wishes, "{\"Engraving\":\"\xc3\xa9 \\\"q\\\"\",\"Wrap\":\"yes\"}"));
    assert_true(slice_is(options_wishes(&arena, M_RED, M_RED), "{}"));
    assert_true(slice_is(options_wishes(&arena, M_RED, SLICE_ABSENT), "{}"));
    assert_true(slice_is(options_join(&arena, SLICE("{\"Size\":\"M\"}"), SLICE("{\"Wrap\":\"yes\"}")),
                         "{\"Size\":\"M\",\"Wrap\":\"yes\"}"));
    assert_true(
        slice_is(options_join(&arena, SLICE("{}"), SLICE("{\"Wrap\":\"yes\"}")), "{\"Wrap\":\"yes\"}"));
    assert_true(slice_is(options_join(&arena, SLICE("{\"Size\":\"M\"}"), SLICE("{}")), "{\"Size\":\"M\"}"));
    assert_true(slice_is(options_join(&arena, SLICE("{}"), SLICE("{}")), "{}"));
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_wishes_and_join),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
