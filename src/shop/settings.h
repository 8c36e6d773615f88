/* Business settings: one row of shop_settings, read fresh wherever a price or a limit is decided. */
#pragma once

#include "data/db.h"

struct shop_settings {
    struct slice store_name; /* in the arena given to the read */
    struct slice currency;
    int64_t tax_rate_basis_points;
    int64_t shipping_rate_minor;
    int64_t express_shipping_rate_minor;
    bool has_free_shipping_threshold;
    int64_t free_shipping_threshold_minor;
    int64_t reservation_hold_minutes;
    int64_t cart_ttl_days;
    int64_t max_quantity_per_line;
    int64_t max_lines_per_cart;
    int64_t max_open_guest_orders_per_email;   /* 0: no limit */
    int64_t max_open_guest_orders_per_address; /* 0: no limit */
    int64_t version;
    int64_t updated_at_ms;
};

/* DB_DONE, or DB_ERROR. */
enum db_result shop_settings_read(struct db *db, struct arena *arena, struct shop_settings *settings);
