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

/* What can still be sold, as the contract counts it; it may be negative where backorders are taken. Means
 * nothing when !is_tracked. */
static inline int64_t stock_available(const struct stock_level *level)
{
    return level->on_hand - level->reserved;
}
/* Whether one can be bought now. */
static inline bool stock_is_sellable(const struct stock_level *level)
{
    return !level->is_tracked || level->allows_backorder || stock_available(level) > 0;
}

/* The stock of a new variant: its row, and the movement 'initial' of what is on hand. DB_DONE, DB_CONFLICT,
 * DB_ERROR. */
enum db_result stock_open(struct db *db, struct uuid product_id, struct uuid variant_id,
                          const struct stock_level *level, struct uuid actor_id, int64_t now_ms);
/* A variant leaves the shop: nobody sells it any more. Its row stays for the orders that have reserved of it.
 */
enum db_result stock_retire(struct db *db, struct uuid product_id, struct uuid variant_id);
/* DB_ROW, DB_DONE (no such variant, or retired) or DB_ERROR. */
enum db_result stock_read(struct db *db, struct uuid product_id, struct uuid variant_id,
                          struct stock_level *level);

/* Staff's change of a level; what is not flagged stays. */
struct stock_change {
    bool has_delta, has_on_hand; /* not both */
    int64_t delta;
    int64_t on_hand;
    bool has_is_tracked, is_tracked;
    bool has_allows_backorder, allows_backorder;
    struct slice reason; /* of the movement; absent without */
    struct uuid actor_id;
};

/* Changes a level and writes the movement 'adjusted' when on hand moved. `level` is what stock_read said; on
 * DB_DONE it is the new one. DB_CONFLICT with *is_short when less would be on hand than nothing, or than
 * orders have reserved of a tracked variant without backorders; DB_CONFLICT without when the level moved
 * meanwhile; DB_ERROR. */
enum db_result stock_set_level(struct db *db, struct uuid product_id, struct uuid variant_id,
                               const struct stock_change *change, int64_t now_ms, struct stock_level *level,
                               bool *is_short);
