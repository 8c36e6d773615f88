/* What a cart costs. Pure arithmetic on minor units: the same function prices a cart that is looked at and an
 * order that is placed. Tax is on the goods after discounts, rounded half up once per order. */
#pragma once

#include "contract/inputs.h"
#include "shop/settings.h"

struct totals {
    int64_t subtotal_minor;
    int64_t discount_minor; /* 0 until promotions exist */
    int64_t shipping_minor; /* 0 when nothing is sent, and for standard shipping from the threshold on */
    int64_t tax_minor;
    int64_t total_minor;
};

/* `has_goods`: there is something to send (it may be free of charge). False when an amount would overflow. */
bool totals_compute(const struct shop_settings *settings, bool has_goods, int64_t subtotal_minor,
                    enum shipping_method method, struct totals *totals);
