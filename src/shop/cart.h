/* Carts, for those who work on them beside their own endpoints: checkout and log-in. */
#pragma once

#include "contract/inputs.h"
#include "shop/totals.h"

/* Merges a guest's cart into the account's at log-in, inside the caller's transaction: quantities are summed per variant and
 * options, capped by the limits and by stock; the guest cart is gone afterwards. With no cart of the account's own the guest's
 * becomes it, under a new id (the old one was a key that others may know). *cart_id is the account's active cart (nil when it
 * has none). An unknown, foreign or ended guest cart changes nothing. */
enum db_result cart_merge(struct db *db, struct arena *arena, struct uuid guest_cart_id, struct uuid user_id, int64_t now_ms,
                          struct uuid *cart_id);
/* Deletes up to `limit` guest carts untouched since `before_ms` and converted or merged ones of that age; for the purge job. */
enum db_result carts_purge(struct db *db, int64_t before_ms, int64_t limit, int64_t *deleted);
