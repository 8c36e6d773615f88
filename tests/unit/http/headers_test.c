/* Reading header fields and targets. */
#include "base/check.h"
#include "base/limits.h"
#include "http/headers.h"
#include "http/target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void test_names_and_values(void **state)
{
    (void)state;
    assert_true(header_name_is_valid(SLICE("X-Request-Id")));
    assert_true(header_name_is_valid(SLICE("!#$%&'*+-.^_`|~09az")));
    static const struct slice bad[] = {{"", 0},   {"a b", 3},      {"a ", 2}, {"a\0", 2},
                                       {"a:", 2}, {"\xc3\xa4", 2}, {"a\t", 2}};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(header_name_is_valid(bad[i]));
    assert_true(header_value_is_valid(SLICE("a\tb \xc3\xa4")));
    assert_true(header_value_is_valid(SLICE("")));
    assert_false(header_value_is_valid(SLICE("a\r")));
    assert_false(header_value_is_valid((struct slice){"a\0b", 3}));
    assert_false(header_value_is_valid(SLICE("\x7f")));
}

static void test_accept(void **state)
{
    (void)state;
    static const char *const yes[] = {"*/*",
                                      "application/json",
                                      "APPLICATION/JSON",
                                      "application/*",
                                      "application/problem+json",
                                      "text/html, application/json;q=0.5",
                                      "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                                      "application/json; charset=utf-8",
                                      "*/*;q=0, application/json",
                                      "text/x;v=\"a,b\", */*"};
    static const char *const no[] = {"text/html",
                                     "application/xml",
                                     "application/json;q=0",
                                     "*/*;q=0.000",
                                     "",
                                     "application/json;q=0, */*",
                                     "text/*",
                                     "json",
                                     "text/x;v=\", */*\""};
    for (size_t i = 0; i < COUNT_OF(yes); i++)
        if (!header_accepts_json(slice_from(yes[i])))
            fail_msg("%s", yes[i]);
    for (size_t i = 0; i < COUNT_OF(no); i++)
        if (header_accepts_json(slice_from(no[i])))
            fail_msg("%s", no[i]);
}

static void test_content_type(void **state)
{
    (void)state;
    static const char *const yes[] = {"application/json",
                                      "Application/Json",
                                      "application/json;charset=utf-8",
                                      "application/json; Charset=\"UTF-8\"",
                                      "application/json; x=y",
                                      "application/json ;"};
    static const char *const no[] = {"",
                                     "text/json",
                                     "application/jsonx",
                                     "application/json; charset=latin1",
                                     "application/json, text/html",
                                     "application/problem+json",
                                     "application/json; charset=utf-8; charset=utf-16",
                                     "application/json; charset="};
    for (size_t i = 0; i < COUNT_OF(yes); i++)
        if (!header_is_json(slice_from(yes[i])))
            fail_msg("%s", yes[i]);
    for (size_t i = 0; i < COUNT_OF(no); i++)
        if (header_is_json(slice_from(no[i])))
            fail_msg("%s", no[i]);
}

static void test_bearer(void **state)
{
    (void)state;
    struct slice token;
    assert_true(header_bearer(SLICE("Bearer a.b-c_d"), &token));
    assert_true(slice_is(token, "a.b-c_d"));
    assert_true(header_bearer(SLICE("bEARER  x= "), &token));
    assert_true(slice_is(token, "x="));
    static const char *const no[] = {"",        "Bearer",     "Bearer ",    "Bearer   ", "Basic x",
                                     "Bearerx", "Bearer a b", "Bearer a,b", "x"};
    for (size_t i = 0; i < COUNT_OF(no); i++)
        assert_false(header_bearer(slice_from(no[i]), &token));
}

static void test_if_match(void **state)
{
    (void)state;
    int64_t version = 0;
    assert_int_equal(header_if_match(SLICE("*"), &version), IF_MATCH_ANY);
    assert_int_equal(header_if_match(SLICE(" \"v12-00ff\" "), &version), IF_MATCH_VERSION);
    assert_int_equal(version, 12);
    static const char *const never[] = {"\"abc\"",   "\"v-1\"",   "\"v12\"",
                                        "\"v1x-0\"", "\"v-5-0\"", "W/\"v12-00ff\"",
                                        "\"\"",      "\"v\"",     "\"v99999999999999999999-0\""};
    for (size_t i = 0; i < COUNT_OF(never); i++) {
        assert_int_equal(header_if_match(slice_from(never[i]), &version), IF_MATCH_VERSION);
        assert_int_equal(version, -1);
    }
    static const char *const malformed[] = {"",        "v12-00ff", "\"v1-0",  "\"v1-0\", \"v2-0\"",
                                            "\"a\" x", "**",       "\"a b\"", "\""};
    for (size_t i = 0; i < COUNT_OF(malformed); i++)
        assert_int_equal(header_if_match(slice_from(malformed[i]), &version), IF_MATCH_MALFORMED);
}

static void test_none_match(void **state)
{
    (void)state;
    struct slice etag = SLICE("\"v1-a\"");
    enum content_coding coding = CODING_BR;
    assert_true(header_none_match_has(SLICE(" * "), etag, &coding));
    assert_int_equal(coding, CODING_BR);
    assert_true(header_none_match_has(SLICE("\"v1-a-gzip\""), etag, &coding));
    assert_int_equal(coding, CODING_GZIP);
    assert_true(header_none_match_has(SLICE("\"x\", W/\"v1-a-br\", \"v1-a\""), etag, &coding));
    assert_int_equal(coding, CODING_BR);
    static const char *const none[] = {"\"v1-a-deflate\"",   "\"v1-a-\"",     "\"v1-agzip\"", "\"v1-a-gzip",
                                       "\"v1-a-gzip-gzip\"", "\"v1-a-GZIP\"", "\"v1-gzip\""};
    for (size_t i = 0; i < COUNT_OF(none); i++)
        assert_false(header_none_match_has(slice_from(none[i]), etag, &coding));
    assert_true(header_none_match_has(SLICE("\"v1-a\""), etag, &coding));
    assert_true(header_none_match_has(SLICE("W/\"v1-a\""), etag, &coding));
    assert_true(header_none_match_has(SLICE("\"x\" , \"v1-a\""), etag, &coding));
    assert_true(header_none_match_has(SLICE("\"a,b\",W/\"v1-a\","), etag, &coding));
    assert_true(header_none_match_has(SLICE(" * "), etag, &coding));
    assert_false(header_none_match_has(SLICE(""), etag, &coding));
    assert_false(header_none_match_has(SLICE("v1-a"), etag, &coding));
    assert_false(header_none_match_has(SLICE("\"v1-b\""), etag, &coding));
    assert_false(
        header_none_match_has(SLICE("\"x,\"v1-a\"\""), etag, &coding)); /* the comma stands in quotes */
}

static void test_directives(void **state)
{
    (void)state;
    static const char *const with[] = {"no-cache", "No-Cache", "max-age=0, no-cache",
                                       "a=\"b,c\" , no-cache,"};
    for (size_t i = 0; i < COUNT_OF(with); i++)
        assert_true(header_has_directive(slice_from(with[i]), SLICE("no-cache")));
    static const char *const without[] = {"",          "no-cache=x", "\"no-cache\"",
                                          "xno-cache", "no-store",   "a=\", no-cache\""};
    for (size_t i = 0; i < COUNT_OF(without); i++)
        assert_false(header_has_directive(slice_from(without[i]), SLICE("no-cache")));
    assert_false(header_has_directive(SLICE_ABSENT, SLICE("no-cache")));
}

static void test_cookies(void **state)
{
    (void)state;
    struct slice cookie = SLICE("a=1; souk_refresh=x.y=; souk_refresh2=z");
    assert_true(slice_is(header_cookie(cookie, SLICE("souk_refresh")), "x.y="));
    assert_true(slice_is(header_cookie(cookie, SLICE("a")), "1"));
    assert_true(slice_is_absent(header_cookie(cookie, SLICE("souk"))));
    assert_true(slice_is_absent(header_cookie(SLICE_ABSENT, SLICE("a"))));
    assert_true(slice_is(header_cookie(SLICE("a="), SLICE("a")), ""));
}

static void test_targets(void **state)
{
    (void)state;
    struct target target;
    assert_true(target_split(SLICE("/a/b?c=d?e"), &target));
    assert_true(slice_is(target.path, "/a/b"));
    assert_true(slice_is(target.query, "c=d?e"));
    assert_true(target_split(SLICE("/a"), &target));
    assert_true(slice_is_absent(target.query));
    assert_true(target_split(SLICE("/a?"), &target));
    assert_true(slice_is(target.query, ""));
    assert_true(target_split(SLICE("https://shop:1/a?b"), &target));
    assert_true(slice_is(target.path, "/a"));
    assert_true(target_split(SLICE("http://shop"), &target));
    assert_true(slice_is(target.path, "/"));
    assert_true(target_split(SLICE("*"), &target));
    static const char *const bad[] = {
        "", "a", "?a", "/a b", "/a\tb", "/a#b", "/\xc3\xa4", "**", "http://shop?x", "ftp://x/", "/a\x7f"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (target_split(slice_from(bad[i]), &target))
            fail_msg("%s", bad[i]);
    assert_false(target_split((struct slice){"/a\0b", 4}, &target));
}

static void test_queries(void **state)
{
    (void)state;
    struct arena arena;
    struct raw_parameter list[QUERY_PARAMETERS_MAX];
    size_t count;
    assert_true(arena_init(&arena, 1 << 20));
    assert_true(target_parse_query(&arena, SLICE("price[gte]=1&q=a+b%2Bc&&x&=y&e=%3D%26"), list, &count));
    assert_int_equal(count, 5);
    assert_true(slice_is(list[0].name, "price[gte]") && slice_is(list[0].value, "1"));
    assert_true(slice_is(list[1].value, "a b+c"));
    assert_true(slice_is(list[2].name, "x") && slice_is(list[2].value, ""));
    assert_true(slice_is(list[3].name, "") && slice_is(list[3].value, "y"));
    assert_true(slice_is(list[4].value, "=&"));
    assert_true(target_parse_query(&arena, SLICE_ABSENT, list, &count));
    assert_int_equal(count, 0);
    static const char *const bad[] = {"a=%", "a=%0", "a=%00", "%zz=1", "a=%u0041"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(target_parse_query(&arena, slice_from(bad[i]), list, &count));
    char many[3 * (QUERY_PARAMETERS_MAX + 1)];
    for (size_t i = 0; i <= QUERY_PARAMETERS_MAX; i++)
        memcpy(many + 3 * i, "a=&", 3);
    assert_false(target_parse_query(&arena, (struct slice){many, sizeof(many)}, list, &count));
    assert_true(target_parse_query(&arena, (struct slice){many, sizeof(many) - 3}, list, &count));
    assert_int_equal(count, QUERY_PARAMETERS_MAX);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_values), cmocka_unit_test(test_accept),
        cmocka_unit_test(test_content_type),     cmocka_unit_test(test_bearer),
        cmocka_unit_test(test_if_match),         cmocka_unit_test(test_none_match),
        cmocka_unit_test(test_cookies),          cmocka_unit_test(test_targets),
        cmocka_unit_test(test_queries),          cmocka_unit_test(test_directives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
