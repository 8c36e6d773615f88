/* origin.h: what is an origin, and lists of them. */
#include "base_test.h"

#include "base/check.h"
#include "base/origin.h"

static void what_browsers_send_is_an_origin(void **state)
{
    (void)state;
    static const char *const good[] = {"https://shop.example.com", "http://localhost:5173",
                                       "http://127.0.0.1:1",       "https://[2001:db8::1]",
                                       "http://[::1]:65535",       "https://xn--bcher-kva.example",
                                       "https://a_b.example:80",   "http://a:443",
                                       "capacitor://localhost",    "moz-extension://2c127fa4"};
    for (size_t i = 0; i < COUNT_OF(good); i++)
        if (!origin_is_valid(slice_from(good[i])))
            fail_msg("%s should be an origin", good[i]);
}

static void what_they_never_send_is_none(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "*",
                                      "null",
                                      "https://*",
                                      "https://*.example.com",
                                      "shop.example.com",
                                      "//shop.example.com",
                                      "https:shop",
                                      "https://",
                                      "https:///",
                                      "https://shop.example.com/",
                                      "https://shop.example.com/a",
                                      "https://shop.example.com?",
                                      "https://me@shop.example.com",
                                      "HTTPS://shop.example.com",
                                      "https://Shop.example.com",
                                      "https://shop.example.com:",
                                      "https://shop.example.com:0",
                                      "https://shop.example.com:080",
                                      "https://shop.example.com:65536",
                                      "https://shop.example.com:99999999999999999999",
                                      "https://shop.example.com:8a",
                                      "https://shop.example.com:443",
                                      "http://shop.example.com:80",
                                      "https://:8080",
                                      "https://[::1",
                                      "https://[]",
                                      "https://[::G]",
                                      "https://a:b:1",
                                      "https://a b",
                                      "1https://a",
                                      "https://b\xc3\xbc"
                                      "cher.example"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (origin_is_valid(slice_from(bad[i])))
            fail_msg("%s should be no origin", bad[i]);
    assert_false(origin_is_valid(SLICE_ABSENT));
    assert_false(origin_is_valid(SLICE("https://a\0b")));
    char longest[ORIGIN_BYTES_MAX + 2] = "https://";
    memset(longest + 8, 'a', sizeof(longest) - 9);
    longest[sizeof(longest) - 1] = '\0';
    assert_false(origin_is_valid(slice_from(longest)));
    assert_true(origin_is_valid((struct slice){longest, ORIGIN_BYTES_MAX}));
}

static void a_list_has_what_stands_in_it(void **state)
{
    (void)state;
    struct slice list = SLICE("https://a.example,  http://b.example:81 ,https://c");
    assert_true(origin_is_listed(list, SLICE("https://a.example")));
    assert_true(origin_is_listed(list, SLICE("http://b.example:81")));
    assert_true(origin_is_listed(list, SLICE("https://c")));
    static const char *const others[] = {"https://a.exampl",
                                         "https://a.example.evil",
                                         "https://a.example:81",
                                         "http://a.example",
                                         "https://A.example",
                                         "https://c/",
                                         "https://a.example,http",
                                         "null",
                                         "*"};
    for (size_t i = 0; i < COUNT_OF(others); i++)
        if (origin_is_listed(list, slice_from(others[i])))
            fail_msg("%s is not in the list", others[i]);
    assert_false(origin_is_listed(SLICE(""), SLICE("https://a.example")));
    assert_false(origin_is_listed(SLICE_ABSENT, SLICE("https://a.example")));
    struct slice origin;
    struct slice rest = SLICE("a,,b,");
    assert_true(origin_next(&rest, &origin));
    assert_text(origin, "a");
    assert_true(origin_next(&rest, &origin));
    assert_text(origin, "");
    assert_true(origin_next(&rest, &origin));
    assert_text(origin, "b");
    assert_false(origin_next(&rest, &origin));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_browsers_send_is_an_origin),
        cmocka_unit_test(what_they_never_send_is_none),
        cmocka_unit_test(a_list_has_what_stands_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
