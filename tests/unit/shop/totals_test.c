/* The arithmetic of a cart: shipping thresholds, tax rounded once, overflow. */
#include "shop/totals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct shop_settings SETTINGS = {
    .tax_rate_basis_points = 875,
    .shipping_rate_minor = 999,
    .express_shipping_rate_minor = 1999,
    .has_free_shipping_threshold = true,
    .free_shipping_threshold_minor = 5000,
};

static void test_table(void **state)
{
    (void)state;
    static const struct {
        int64_t subtotal_minor;
        enum shipping_method method;
        int64_t shipping_minor, tax_minor, total_minor;
    } CASES[] = {
        {0, SHIPPING_METHOD_STANDARD, 0, 0, 0},
        {0, SHIPPING_METHOD_EXPRESS, 0, 0, 0},
        {0, SHIPPING_METHOD_STANDARD, 999, 0, 999}, /* a free thing is sent all the same */
        {1, SHIPPING_METHOD_STANDARD, 999, 0, 1000},
        {2999, SHIPPING_METHOD_STANDARD, 999, 262, 4260},   /* 262.41 */
        {5, SHIPPING_METHOD_STANDARD, 999, 0, 1004},        /* 0.4375 */
        {6, SHIPPING_METHOD_STANDARD, 999, 1, 1006},        /* 0.525 */
        {4999, SHIPPING_METHOD_STANDARD, 999, 437, 6435},   /* just below the threshold: 437.4125 */
        {5000, SHIPPING_METHOD_STANDARD, 0, 438, 5438},     /* 437.5 is a half: up */
        {5000, SHIPPING_METHOD_EXPRESS, 1999, 438, 7437},   /* express is never free */
        {99999, SHIPPING_METHOD_STANDARD, 0, 8750, 108749}, /* 8749.9125 */
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct totals totals;
        assert_true(totals_compute(&SETTINGS, i > 1, CASES[i].subtotal_minor, CASES[i].method, &totals));
        assert_int_equal(totals.subtotal_minor, CASES[i].subtotal_minor);
        assert_int_equal(totals.discount_minor, 0);
        assert_int_equal(totals.shipping_minor, CASES[i].shipping_minor);
        assert_int_equal(totals.tax_minor, CASES[i].tax_minor);
        assert_int_equal(totals.total_minor, CASES[i].total_minor);
    }
}

static void test_without_threshold_nothing_ships_free(void **state)
{
    (void)state;
    struct shop_settings settings = SETTINGS;
    struct totals totals;
    settings.has_free_shipping_threshold = false;
    assert_true(totals_compute(&settings, true, 1000000, SHIPPING_METHOD_STANDARD, &totals));
    assert_int_equal(totals.shipping_minor, 999);
}

static void test_a_threshold_of_zero_ships_everything_free(void **state)
{
    (void)state;
    struct shop_settings settings = SETTINGS;
    struct totals totals;
    settings.free_shipping_threshold_minor = 0;
    assert_true(totals_compute(&settings, true, 1, SHIPPING_METHOD_STANDARD, &totals));
    assert_int_equal(totals.shipping_minor, 0);
}

static void test_overflow_is_refused(void **state)
{
    (void)state;
    struct totals totals;
    assert_true(totals_compute(&SETTINGS, true, INT64_MAX / 4, SHIPPING_METHOD_EXPRESS, &totals));
    assert_false(totals_compute(&SETTINGS, true, INT64_MAX / 4 + 1, SHIPPING_METHOD_EXPRESS, &totals));
    assert_false(totals_compute(&SETTINGS, true, -1, SHIPPING_METHOD_EXPRESS, &totals));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_without_threshold_nothing_ships_free),
        cmocka_unit_test(test_a_threshold_of_zero_ships_everything_free),
        cmocka_unit_test(test_overflow_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
