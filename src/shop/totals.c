/* What a cart costs: the arithmetic of totals.h. */
#include "shop/totals.h"

#include "base/money.h"

/* Sums of a cart stay below this, so that adding tax and shipping cannot overflow. */
#define SUBTOTAL_MAX_MINOR (INT64_MAX / 4)

static int64_t shipping_for(const struct shop_settings *settings, int64_t subtotal_minor,
                            enum shipping_method method)
{
    if (method == SHIPPING_METHOD_EXPRESS)
        return settings->express_shipping_rate_minor;
    if (settings->has_free_shipping_threshold && subtotal_minor >= settings->free_shipping_threshold_minor)
        return 0;
    return settings->shipping_rate_minor;
}

bool totals_compute(const struct shop_settings *settings, bool has_goods, int64_t subtotal_minor,
                    enum shipping_method method, struct totals *totals)
{
    if (subtotal_minor < 0 || subtotal_minor > SUBTOTAL_MAX_MINOR)
        return false;
    totals->subtotal_minor = subtotal_minor;
    totals->discount_minor = 0;
    totals->shipping_minor = has_goods ? shipping_for(settings, subtotal_minor, method) : 0;
    totals->tax_minor = money_rate_half_up(subtotal_minor, settings->tax_rate_basis_points);
    totals->total_minor =
        totals->subtotal_minor - totals->discount_minor + totals->shipping_minor + totals->tax_minor;
    return true;
}
