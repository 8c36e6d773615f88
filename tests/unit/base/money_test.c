/* money.h: rounding half up and the bound of a product. */
#include "base_test.h"

#include "base/money.h"

static void rounds_half_up(void **state)
{
    (void)state;
    static const struct {
        int64_t amount;
        int64_t rate;
        int64_t result;
    } ROWS[] = {
        {0, 1900, 0},
        {100, 0, 0},
        {100, 10000, 100},
        {100, 1900, 19},
        {2999, 1900, 570}, /* 569.81 */
        {10, 500, 1},      /* 0.5 */
        {9, 500, 0},       /* 0.45 */
        {30, 500, 2},      /* 1.5 */
        {50, 500, 3},      /* 2.5: half up, not to even */
        {1, 5000, 1},      /* 0.5 */
        {1, 4999, 0},      /* 0.4999 */
        {10000, 1, 1},
        {4999, 1, 0}, /* 0.4999 */
        {5000, 1, 1}, /* 0.5 */
        {14999, 1, 1},
        {15000, 1, 2},
        {1999, 825, 165}, /* 164.9175 */
        {99999999999, 2500, 25000000000},
        {INT64_MAX, 10000, INT64_MAX},
        {INT64_MAX, 5000, INT64_MAX / 2 + 1},
        {INT64_MAX, 1, INT64_MAX / 10000 + 1}, /* ...477.5807 */
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
        assert_int_equal(money_rate_half_up(ROWS[i].amount, ROWS[i].rate), ROWS[i].result);
}

static void agrees_with_wide_arithmetic(void **state)
{
    (void)state;
    uint64_t random = 88172645463325252;
    for (int i = 0; i < 100000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        int64_t amount = (int64_t)(random >> (1 + i % 60));
        int64_t rate = (int64_t)(random % 10001);
        __int128 exact = ((__int128)amount * rate + 5000) / 10000;
        assert_int_equal(money_rate_half_up(amount, rate), (int64_t)exact);
    }
}

static void multiplies_within_bounds(void **state)
{
    (void)state;
    int64_t out = -1;
    assert_true(money_multiply(2999, 3, &out));
    assert_int_equal(out, 8997);
    assert_true(money_multiply(0, INT64_MAX, &out));
    assert_int_equal(out, 0);
    assert_true(money_multiply(INT64_MAX / 4, 1, &out));
    assert_int_equal(out, INT64_MAX / 4);
    out = -1;
    assert_false(money_multiply(INT64_MAX / 4 + 1, 1, &out));
    assert_false(money_multiply(INT64_MAX, 2, &out));
    assert_false(money_multiply(INT64_C(1) << 32, INT64_C(1) << 32, &out));
    assert_int_equal(out, -1);
    assert_true(money_multiply(MONEY_MAX_MINOR, 1000000, &out));
}

static void negative_amount(void)
{
    (void)money_rate_half_up(-1, 100);
}

static void rate_over_one(void)
{
    (void)money_rate_half_up(1, 10001);
}

static void negative_quantity(void)
{
    int64_t out;
    (void)money_multiply(1, -1, &out);
}

static void aborts_outside_its_domain(void **state)
{
    (void)state;
    assert_aborts(negative_amount);
    assert_aborts(rate_over_one);
    assert_aborts(negative_quantity);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_half_up),
        cmocka_unit_test(agrees_with_wide_arithmetic),
        cmocka_unit_test(multiplies_within_bounds),
        cmocka_unit_test(aborts_outside_its_domain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
