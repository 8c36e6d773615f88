/* The formats of texts, by themselves: what each lets through and what it does not. */
#include "base/check.h"
#include "http/validation_decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* A letter repeated: long addresses and labels. */
#define A10 "aaaaaaaaaa"
#define A60 A10 A10 A10 A10 A10 A10
#define A63 A60 "aaa"
#define A64 A63 "a"

struct format_case {
    const char *text;
    bool matches;
};

static void expect_cases(enum text_format format, const struct format_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool matches = text_format_matches(format, slice_from(cases[i].text));
        if (matches != cases[i].matches)
            fail_msg("\"%s\" should%s match format %d", cases[i].text, cases[i].matches ? "" : " not",
                     (int)format);
    }
}

#define EXPECT(format, ...)                                                                                  \
    do {                                                                                                     \
        static const struct format_case cases[] = {__VA_ARGS__};                                             \
        expect_cases(format, cases, COUNT_OF(cases));                                                        \
    } while (0)

static void test_email(void **state)
{
    (void)state;
    EXPECT(TEXT_EMAIL, {"amina@example.com", true}, {"a@b.c", true}, {"a@localhost", true},
           {"Amina.B+shop@Mail.Example.org", true}, {"o'neil@example.com", true}, {"a_b-c@x-y.example", true},
           {A64 "@example.com", true}, {A64 "a@example.com", false}, {"a@" A63 ".com", true},
           {"a@" A64 ".com", false}, {"", false}, {"@", false}, {"a@", false}, {"@example.com", false},
           {"example.com", false}, {"a@b", false}, {"a@b@example.com", false}, {"a b@example.com", false},
           {" a@example.com", false}, {"a@example.com ", false}, {"a@example.com.", false}, {"a@.com", false},
           {"a@example..com", false}, {"a@-example.com", false}, {"a@example-.com", false},
           {"a@exam_ple.com", false}, {".a@example.com", false}, {"a.@example.com", false},
           {"a..b@example.com", false}, {"a,b@example.com", false}, {"<a@example.com>", false},
           {"\"a\"@example.com", false}, {"a@example.com,b@example.com", false},
           {"a@example.com\r\nBcc: b@example.com", false}, {"a@[127.0.0.1]", false},
           {"\xC3\xA4@example.com", false}, {"a@ex\xC3\xA4mple.com", false},
           {"a@" A60 "." A60 "." A60 "." A60 ".abcdefghi", false},
           {"a@" A60 "." A60 "." A60 "." A60 ".abcdefgh", true});
}

static void test_uri(void **state)
{
    (void)state;
    EXPECT(TEXT_URI, {"https://example.com/a?b=c#d", true}, {"http://example.com:8080", true},
           {"http://[::1]/", true}, {"/media/x.svg", true}, {"/", true}, {"/a%20b", true}, {"", false},
           {"//example.com/x", false}, {"https://", false}, {"https:///x", false}, {"https://?x", false},
           {"javascript:alert(1)", false}, {"data:text/html,x", false}, {"ftp://example.com", false},
           {"example.com", false}, {"HTTPS://example.com", false}, {"/a b", false}, {"/\"><script>", false},
           {"/a\\b", false}, {"/\xC3\xA4", false}, {"https://example.com/\n", false});
}

static void test_slug(void **state)
{
    (void)state;
    EXPECT(TEXT_SLUG, {"az09", true}, {"linen-shirt-2", true}, {"2", true}, {"", false}, {"-a", false},
           {"a-", false}, {"a--b", false}, {"A", false}, {"a_b", false}, {"a b", false}, {"a/b", false},
           {"\xC3\xA4", false}, {"..", false});
    EXPECT(TEXT_SLUG_OR_ID, {"linen-shirt", true}, {"0190a5c8-1b7e-7cc3-a0d4-5f3b6c1e2a10", true},
           {"0190A5C8-1B7E-7CC3-A0D4-5F3B6C1E2A10", true}, {"0190A5C8-1B7E-7CC3-A0D4-5F3B6C1E2A1", false},
           {"", false}, {"A", false});
}

static void test_currency(void **state)
{
    (void)state;
    EXPECT(TEXT_CURRENCY, {"USD", true}, {"EUR", true}, {"AED", true}, {"ZWG", true}, {"JPY", true},
           {"usd", false}, {"Usd", false}, {"US", false}, {"USDX", false}, {"", false}, {"XXX", false},
           {"XTS", false}, {"XAU", false}, {"ABC", false}, {"DEM", false}, {"AAA", false}, {"ZZZ", false},
           {"SDU", false}, {"DUS", false});
}

static void test_country(void **state)
{
    (void)state;
    EXPECT(TEXT_COUNTRY, {"FR", true}, {"AD", true}, {"ZW", true}, {"US", true}, {"GB", true}, {"fr", false},
           {"F", false}, {"FRA", false}, {"", false}, {"UK", false}, {"XX", false}, {"EU", false},
           {"AA", false}, {"ZZ", false}, {"DA", false});
}

/* Binary search finds every entry of its own table only when the table is sorted: count what it knows. */
static void test_the_tables_are_whole(void **state)
{
    (void)state;
    size_t currencies = 0;
    size_t countries = 0;
    for (int a = 'A'; a <= 'Z'; a++) {
        for (int b = 'A'; b <= 'Z'; b++) {
            const char pair[] = {(char)a, (char)b};
            countries += country_is_known((struct slice){pair, sizeof(pair)});
            for (int c = 'A'; c <= 'Z'; c++) {
                const char triple[] = {(char)a, (char)b, (char)c};
                currencies += currency_is_known((struct slice){triple, sizeof(triple)});
            }
        }
    }
    assert_int_equal(currencies, 156);
    assert_int_equal(countries, 249);
}

static void test_sku_and_cursor(void **state)
{
    (void)state;
    EXPECT(TEXT_SKU, {"AZaz09", true}, {"a.b_c/d-1", true}, {"", false}, {"a b", false}, {"a'b", false},
           {"\xC3\xA4", false}, {"a%", false});
    EXPECT(TEXT_CURSOR, {"aZ09_-", true}, {"", false}, {"a=", false}, {"a+b", false}, {"a/b", false},
           {"a b", false});
    const char nul[] = {'a', '\0', 'b'};
    assert_false(text_format_matches(TEXT_SKU, (struct slice){nul, sizeof(nul)}));
}

static void test_order_number(void **state)
{
    (void)state;
    EXPECT(TEXT_ORDER_NUMBER, {"SK-7F3K9Q2M8XA", true}, {"sk-7f3k9q2m8xa", true}, {"", false}, {"SK-", false},
           {"SK-7F3K9Q2M8X", false}, {"SK-7F3K9Q2M8X!", false});
}

static void test_phone(void **state)
{
    (void)state;
    EXPECT(TEXT_PHONE, {"+33 6 12 34 56 78", true}, {"(555) 010-0199", true}, {"555.0100", true},
           {"12345", true}, {"123456789012345", true}, {"1234", false}, {"1234567890123456", false},
           {"", false}, {"+", false}, {"0+12345", false}, {"555-CALL", false}, {"12345;ext=1", false});
}

static void test_password_takes_any_text(void **state)
{
    (void)state;
    EXPECT(TEXT_PASSWORD, {"correct horse battery", true}, {"  \xC3\xA4'\"<>", true});
}

static void test_every_format_has_a_description(void **state)
{
    (void)state;
    for (int format = TEXT_PLAIN; format <= TEXT_PHONE; format++)
        assert_true(strlen(text_format_description((enum text_format)format)) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_email),
        cmocka_unit_test(test_uri),
        cmocka_unit_test(test_slug),
        cmocka_unit_test(test_currency),
        cmocka_unit_test(test_country),
        cmocka_unit_test(test_the_tables_are_whole),
        cmocka_unit_test(test_sku_and_cursor),
        cmocka_unit_test(test_order_number),
        cmocka_unit_test(test_phone),
        cmocka_unit_test(test_password_takes_any_text),
        cmocka_unit_test(test_every_format_has_a_description),
    };
    return cmocka_run_group_tests_name("http/validation formats", tests, NULL, NULL);
}
