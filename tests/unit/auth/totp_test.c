/* One-time passwords against the test values of RFC 6238 (appendix B, SHA-1; six of its eight digits) and RFC
 * 4226 (appendix D), and base 32 against RFC 4648 (section 10). */
#include "auth/totp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define SECRET SLICE("12345678901234567890")
#define STEP(n) ((int64_t)(n)*TOTP_STEP_MS)

static void test_rfc_6238(void **state)
{
    (void)state;
    static const struct {
        int64_t time_s;
        const char *code;
    } VALUES[] = {{59, "287082"},         {1111111109, "081804"}, {1111111111, "050471"},
                  {1234567890, "005924"}, {2000000000, "279037"}, {20000000000, "353130"}};
    for (size_t i = 0; i < sizeof(VALUES) / sizeof(VALUES[0]); i++) {
        char code[7] = "";
        assert_true(totp_code(SECRET, VALUES[i].time_s / 30, code));
        assert_string_equal(code, VALUES[i].code);
        assert_int_equal(totp_check(SECRET, slice_from(VALUES[i].code), VALUES[i].time_s * 1000, 0),
                         VALUES[i].time_s / 30);
    }
}

static void test_rfc_4226(void **state)
{
    (void)state;
    static const char *const VALUES[] = {"755224", "287082", "359152", "969429", "338314",
                                         "254676", "287922", "162583", "399871", "520489"};
    for (int64_t i = 0; i < 10; i++) {
        char code[7] = "";
        assert_true(totp_code(SECRET, i, code));
        assert_string_equal(code, VALUES[i]);
    }
}

static void test_drift_and_single_use(void **state)
{
    (void)state;
    char code[6];
    assert_true(totp_code(SECRET, 100, code));
    struct slice text = {code, sizeof(code)};
    for (int64_t step = 97; step <= 103; step++)
        assert_int_equal(totp_check(SECRET, text, STEP(step), 0), step >= 99 && step <= 101 ? 100 : 0);
    assert_int_equal(totp_check(SECRET, text, STEP(100), 99), 100);
    assert_int_equal(totp_check(SECRET, text, STEP(100), 100), 0); /* used */
    assert_int_equal(totp_check(SECRET, text, STEP(100), 101), 0); /* older than one that was used */
    assert_int_equal(totp_check(SECRET, (struct slice){code, 5}, STEP(100), 0), 0);
    assert_int_equal(totp_check(SECRET, SLICE("0000000"), STEP(100), 0), 0);
    assert_int_equal(totp_check(SECRET, SLICE_ABSENT, STEP(100), 0), 0);
    assert_int_equal(totp_check(SLICE("another secret of 20"), text, STEP(100), 0), 0);
}

static void test_base32(void **state)
{
    (void)state;
    static const char *const PAIRS[][2] = {{"", ""},
                                           {"f", "MY"},
                                           {"fo", "MZXQ"},
                                           {"foo", "MZXW6"},
                                           {"foob", "MZXW6YQ"},
                                           {"fooba", "MZXW6YTB"},
                                           {"foobar", "MZXW6YTBOI"}};
    struct arena arena;
    assert_true(arena_init(&arena, 1 << 16));
    for (size_t i = 0; i < sizeof(PAIRS) / sizeof(PAIRS[0]); i++)
        assert_string_equal(base32_encode(&arena, slice_from(PAIRS[i][0])).ptr, PAIRS[i][1]);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc_6238),
        cmocka_unit_test(test_rfc_4226),
        cmocka_unit_test(test_drift_and_single_use),
        cmocka_unit_test(test_base32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
