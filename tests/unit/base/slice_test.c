/* slice.h: comparing, trimming, splitting, numbers. */
#include "base_test.h"

static void compares(void **state)
{
    (void)state;
    assert_true(slice_equals(SLICE("abc"), slice_from("abc")));
    assert_false(slice_equals(SLICE("abc"), SLICE("abd")));
    assert_false(slice_equals(SLICE("abc"), SLICE("abcd")));
    assert_true(slice_equals(SLICE_ABSENT, SLICE("")));
    assert_true(slice_is_absent(slice_from(NULL)));
    assert_false(slice_is_absent(SLICE("")));
    assert_int_equal(SLICE("a\0b").len, 3);
    assert_false(slice_equals(SLICE("a\0b"), SLICE("a\0c")));

    assert_true(slice_starts_with(SLICE("abc"), SLICE("ab")));
    assert_true(slice_starts_with(SLICE("abc"), SLICE("abc")));
    assert_false(slice_starts_with(SLICE("abc"), SLICE("abcd")));
    assert_false(slice_starts_with(SLICE("abc"), SLICE("b")));
    assert_true(slice_starts_with(SLICE_ABSENT, SLICE_ABSENT));
}

static void ignores_case_in_ascii_only(void **state)
{
    (void)state;
    assert_true(slice_equals_ignore_case(SLICE("Content-Type"), SLICE("cONTENT-tYPE")));
    assert_false(slice_equals_ignore_case(SLICE("a"), SLICE("ab")));
    assert_false(slice_equals_ignore_case(SLICE("[`{@"), SLICE("{@[`"))); /* the neighbours of the letters */
    assert_false(slice_equals_ignore_case(SLICE("\xc3\xa9"), SLICE("\xc3\x89")));
    assert_true(slice_equals_ignore_case(SLICE_ABSENT, SLICE("")));
}

static void skips(void **state)
{
    (void)state;
    assert_text(slice_skip(SLICE("abc"), 0), "abc");
    assert_text(slice_skip(SLICE("abc"), 2), "c");
    assert_text(slice_skip(SLICE("abc"), 3), "");
    assert_text(slice_skip(SLICE("abc"), 9), "");
    assert_absent(slice_skip(SLICE_ABSENT, 1));
}

static void trims(void **state)
{
    (void)state;
    assert_text(slice_trim(SLICE(" \t\r\n a b \n\r\t ")), "a b");
    assert_text(slice_trim(SLICE("\va")), "\va");
    assert_text(slice_trim(SLICE("   ")), "");
    assert_text(slice_trim(SLICE("")), "");
    assert_absent(slice_trim(SLICE_ABSENT));
}

static void splits(void **state)
{
    (void)state;
    struct slice rest = SLICE("a,,bc,");
    struct slice part;
    assert_true(slice_split(&rest, ',', &part));
    assert_text(part, "a");
    assert_text(rest, ",bc,");
    assert_true(slice_split(&rest, ',', &part));
    assert_text(part, "");
    assert_true(slice_split(&rest, ',', &part));
    assert_text(part, "bc");
    assert_text(rest, "");
    assert_true(slice_split(&rest, ',', &part)); /* what stands behind the last separator: an empty part */
    assert_text(part, "");
    assert_absent(rest);
    assert_false(slice_split(&rest, ',', &part));

    rest = SLICE("");
    assert_true(slice_split(&rest, ',', &part));
    assert_text(part, "");
    assert_absent(rest);
}

static void reads_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        long long value;
    } GOOD[] = {
        {"0", 0},
        {"-0", 0},
        {"7", 7},
        {"007", 7},
        {"-1", -1},
        {"9223372036854775807", INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
        {"00000000000000000000000000042", 42},
    };
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        long long value = 99;
        assert_true(slice_to_int64(slice_from(GOOD[i].text), &value));
        assert_true(value == GOOD[i].value);
    }
    static const char *const BAD[] = {
        "",
        "-",
        "+1",
        " 1",
        "1 ",
        "1.0",
        "1e3",
        "0x1",
        "--1",
        "1-",
        "9223372036854775808",
        "-9223372036854775809",
        "92233720368547758070",
        "\xd9\xa1",
    };
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        long long value = 99;
        assert_false(slice_to_int64(slice_from(BAD[i]), &value));
        assert_int_equal(value, 99);
    }
    long long value;
    assert_false(slice_to_int64(SLICE_ABSENT, &value));
    assert_false(slice_to_int64(SLICE("1\0"), &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares), cmocka_unit_test(ignores_case_in_ascii_only),
        cmocka_unit_test(skips),    cmocka_unit_test(trims),
        cmocka_unit_test(splits),   cmocka_unit_test(reads_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
