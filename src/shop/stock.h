/* Stock moves only here. Available = on hand - reserved. An order reserves when it is placed; shipping takes
 * what was reserved out of the house; cancelling gives it back. Lines of one variant are summed and taken in
 * the order of (product, variant), so that two orders never wait for each other. */
#pragma once

#include "data/db.h"

struct stock_line {
    struct uuid product_id;
    struct uuid variant_id;
    int64_t quantity; /* > 0 */
};

/* Sums lines of one variant and sorts; returns the new count. */
size_t stock_lines_normalize(struct stock_line *lines, size_t count);

/* Reserves every line or none that matters: DB_DONE; DB_CONFLICT with *short_line = the first line that is
 * out of stock (the caller's transaction then rolls back); DB_ERROR. The lines are normalized. */
enum db_result stock_reserve(struct db *db, const struct stock_line *lines, size_t count,
                             const struct stock_line **short_line);
/* Gives reservations back (an order ended before it was shipped). */
enum db_result stock_release(struct db *db, const struct stock_line *lines, size_t count);
/* Ships: on hand and reserved fall, a movement 'sold' is written. DB_CONFLICT with *short_line when a
 * backordered line is not in the house yet. Untracked variants only lose their reservation. */
enum db_result stock_ship(struct db *db, const struct stock_line *lines, size_t count, struct uuid order_id,
                          struct uuid actor_id, int64_t now_ms, const struct stock_line **short_line);

struct stock_level {
    int64_t on_hand;
    int64_t reserved;
    bool is_tracked;
    bool allows_backorder;
};

/* Staff's correction: `delta`, or the new figure when `is_absolute`. DB_CONFLICT when it would fall below
 * what is reserved (or below zero): *level then tells the present one. DB_DONE without a row is DB_ROW's
 * absence: *found says whether there was one. */
enum db_result stock_set_level(struct db *db, struct uuid product_id, struct uuid variant_id,
                               bool is_absolute, int64_t value, struct slice reason, struct uuid actor_id,
                               int64_t now_ms, struct stock_level *level, bool *found);
