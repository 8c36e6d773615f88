/* The digest of a JSON text: equal for what says the same, different for what does not. */
#include "data/json_digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static uint64_t digest(const char *text)
{
    return json_digest(slice_from(text));
}

/* As PostgreSQL's jsonb gives back what stands beside it. */
static const char *const SAME[][2] = {
    {"{\"b\":1,\"aa\":[true,null,\"x\"]}", "{\"b\": 1, \"aa\": [true, null, \"x\"]}"},
    {"{\"long\":1,\"b\":2}", "{\"b\": 2, \"long\": 1}"},
    {"\"caf\\u00e9 \\ud83d\\ude00 \\/\"", "\"café 😀 /\""},
    {"\"tab\\u0009\\u000a\"", "\"tab\\t\\n\""},
    {"1e2", "100"},
    {"-0", "0"},
    {"-0.0", "0.0"},
    {"1E-3", "0.001"},
    {" [ ] ", "[]"},
    {"{ }", "{}"},
};

static void what_says_the_same_is_equal(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(SAME) / sizeof(*SAME); i++)
        if (digest(SAME[i][0]) != digest(SAME[i][1]))
            fail_msg("%s and %s", SAME[i][0], SAME[i][1]);
}

static void what_says_something_else_differs(void **state)
{
    static const char *const OTHERS[] = {
        "{}",
        "[]",
        "\"\"",
        "0",
        "null",
        "true",
        "false",
        "\"null\"",
        "[1,2]",
        "[2,1]",
        "[[1],2]",
        "[1,[2]]",
        "[1]",
        "[1,1]",
        "{\"a\":1}",
        "{\"b\":1}",
        "{\"a\":2}",
        "{\"1\":\"a\"}",
        "{\"a\":\"1\"}",
        "\"1\"",
        "1.0000001",
        "[0]",
        "[null]",
        "[{}]",
        "{\"a\":1,\"b\":2}",
        "{\"a\":2,\"b\":1}",
        "{\"a\":{\"b\":1}}",
        "{\"b\":{\"a\":1}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(OTHERS) / sizeof(*OTHERS); i++)
        for (size_t j = i + 1; j < sizeof(OTHERS) / sizeof(*OTHERS); j++)
            if (digest(OTHERS[i]) == digest(OTHERS[j]))
                fail_msg("%s and %s", OTHERS[i], OTHERS[j]);
}

/* The pieces that long strings are taken in have no borders that show. */
static void long_strings_differ_in_their_last_byte(void **state)
{
    char text[1200];
    (void)state;
    for (size_t len = 200; len < 1100; len += 50) {
        memset(text, 'x', len);
        memcpy(text + len, "\"", 2);
        text[0] = '"';
        uint64_t first = digest(text);
        text[len - 1] = 'y';
        assert_true(first != digest(text));
    }
}

static void what_is_no_json_is_its_bytes(void **state)
{
    static const char *const WRONG[] = {"",      "{",       "[1",      "[1,]", "{\"a\"}", "{\"a\":}",
                                        "\"abc", "\"\\q\"", "\"\\u12", "1 2",  "--1",     "nul l"};
    char deep[400];
    (void)state;
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(*WRONG); i++)
        for (size_t j = i + 1; j < sizeof(WRONG) / sizeof(*WRONG); j++)
            if (digest(WRONG[i]) == digest(WRONG[j]))
                fail_msg("%s and %s", WRONG[i], WRONG[j]);
    memset(deep, '[', 199);
    memset(deep + 199, ']', 199);
    uint64_t all = json_digest((struct slice){deep, 398});
    assert_true(all != json_digest((struct slice){deep + 1, 396}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_says_the_same_is_equal),
        cmocka_unit_test(what_says_something_else_differs),
        cmocka_unit_test(long_strings_differ_in_their_last_byte),
        cmocka_unit_test(what_is_no_json_is_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
