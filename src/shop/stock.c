/* Stock: the one place where on hand and reserved move. See stock.h for the rules. */
#include "shop/stock.h"

#include <stdlib.h>

/* ---- lines ---- */

static int stock_line_compare(const void *left, const void *right)
{
    const struct stock_line *a = left;
    const struct stock_line *b = right;
    int by_product = uuid_compare(a->product_id, b->product_id);
    return by_product != 0 ? by_product : uuid_compare(a->variant_id, b->variant_id);
}

size_t stock_lines_normalize(struct stock_line *lines, size_t count)
{
    if (count == 0)
        return 0;
    qsort(lines, count, sizeof(*lines), stock_line_compare);
    size_t last = 0;
    for (size_t i = 1; i < count; i++) {
        if (stock_line_compare(&lines[last], &lines[i]) == 0)
            lines[last].quantity += lines[i].quantity;
        else
            lines[++last] = lines[i];
    }
    return last + 1;
}

/* ---- reserving and releasing ---- */

DB_STATEMENT(STOCK_RESERVE) = {
    .sql = "UPDATE variant_stock SET reserved = reserved + $3"
           " WHERE product_id = $1 AND variant_id = $2 AND is_retired = FALSE"
           " AND (is_tracked = FALSE OR allows_backorder = TRUE OR on_hand - reserved >= $3)",
    .params = {DB_UUID, DB_UUID, DB_INT},
};

enum db_result stock_reserve(struct db *db, const struct stock_line *lines, size_t count,
                             const struct stock_line **short_line)
{
    for (size_t i = 0; i < count; i++) {
        const struct stock_line *line = &lines[i];
        CHECK(line->quantity > 0);
        enum db_result result =
            db_change(db, &STOCK_RESERVE,
                      DB_ARGS(db_uuid(line->product_id), db_uuid(line->variant_id), db_int(line->quantity)));
        if (result == DB_CONFLICT)
            *short_line = line;
        if (result != DB_DONE)
            return result;
    }
    return DB_DONE;
}

DB_STATEMENT(STOCK_RELEASE) = {
    .sql = "UPDATE variant_stock SET reserved = reserved - $3"
           " WHERE product_id = $1 AND variant_id = $2 AND reserved >= $3",
    .params = {DB_UUID, DB_UUID, DB_INT},
};

enum db_result stock_release(struct db *db, const struct stock_line *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct stock_line *line = &lines[i];
        enum db_result result =
            db_change(db, &STOCK_RELEASE,
                      DB_ARGS(db_uuid(line->product_id), db_uuid(line->variant_id), db_int(line->quantity)));
        if (result != DB_DONE)
            return result;
    }
    return DB_DONE;
}

/* ---- movements ---- */

DB_STATEMENT(MOVEMENT_INSERT) = {
    .sql =
        "INSERT INTO stock_movements"
        " (id, variant_id, product_id, kind, quantity, on_hand_after, reason, order_id, actor_id, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    .params = {DB_UUID, DB_UUID, DB_UUID, DB_TEXT, DB_INT, DB_INT, DB_TEXT, DB_UUID, DB_UUID, DB_TIME},
};

struct movement {
    struct uuid product_id;
    struct uuid variant_id;
    struct slice kind;
    int64_t quantity; /* signed */
    int64_t on_hand_after;
    struct slice reason;
    struct uuid order_id; /* nil: none */
    struct uuid actor_id; /* nil: the system */
    int64_t now_ms;
};

static enum db_result movement_insert(struct db *db, const struct movement *movement)
{
    return db_run(db, &MOVEMENT_INSERT,
                  DB_ARGS(db_uuid(uuid_v7(movement->now_ms)), db_uuid(movement->variant_id),
                          db_uuid(movement->product_id), db_text(movement->kind), db_int(movement->quantity),
                          db_int(movement->on_hand_after), db_text(movement->reason),
                          db_if(!uuid_is_nil(movement->order_id), db_uuid(movement->order_id)),
                          db_if(!uuid_is_nil(movement->actor_id), db_uuid(movement->actor_id)),
                          db_time(movement->now_ms)));
}

/* ---- shipping ---- */

/* An untracked variant has nothing in the house to take: only its reservation ends. */
DB_STATEMENT(STOCK_SHIP) = {
    .sql = "UPDATE variant_stock SET reserved = reserved - $3,"
           " on_hand = CASE WHEN is_tracked = TRUE THEN on_hand - $3 ELSE on_hand END"
           " WHERE product_id = $1 AND variant_id = $2 AND reserved >= $3"
           " AND (is_tracked = FALSE OR on_hand >= $3)"
           " RETURNING on_hand, is_tracked",
    .params = {DB_UUID, DB_UUID, DB_INT},
    .columns = {DB_INT, DB_BOOL},
};

static enum db_result ship_line(struct db *db, const struct stock_line *line, struct uuid order_id,
                                struct uuid actor_id, int64_t now_ms)
{
    struct db_rows *rows =
        db_query(db, &STOCK_SHIP,
                 DB_ARGS(db_uuid(line->product_id), db_uuid(line->variant_id), db_int(line->quantity)));
    enum db_result result = db_next(rows);
    if (result == DB_DONE)
        return DB_CONFLICT;
    if (result != DB_ROW)
        return result;
    struct movement sold = {
        .product_id = line->product_id,
        .variant_id = line->variant_id,
        .kind = SLICE("sold"),
        .quantity = -line->quantity,
        .on_hand_after = db_get_int(rows, 0),
        .order_id = order_id,
        .actor_id = actor_id,
        .now_ms = now_ms,
    };
    bool is_tracked = db_get_bool(rows, 1);
    db_close(rows);
    return is_tracked ? movement_insert(db, &sold) : DB_DONE;
}

enum db_result stock_ship(struct db *db, const struct stock_line *lines, size_t count, struct uuid order_id,
                          struct uuid actor_id, int64_t now_ms, const struct stock_line **short_line)
{
    for (size_t i = 0; i < count; i++) {
        enum db_result result = ship_line(db, &lines[i], order_id, actor_id, now_ms);
        if (result == DB_CONFLICT)
            *short_line = &lines[i];
        if (result != DB_DONE)
            return result;
    }
    return DB_DONE;
}

/* ---- variants come and go ---- */

DB_STATEMENT(STOCK_INSERT) = {
    .sql =
        "INSERT INTO variant_stock (product_id, variant_id, on_hand, reserved, is_tracked, allows_backorder)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
    .params = {DB_UUID, DB_UUID, DB_INT, DB_INT, DB_BOOL, DB_BOOL},
};

enum db_result stock_open(struct db *db, struct uuid product_id, struct uuid variant_id,
                          const struct stock_level *level, struct uuid actor_id, int64_t now_ms)
{
    enum db_result result = db_run(db, &STOCK_INSERT,
                                   DB_ARGS(db_uuid(product_id), db_uuid(variant_id), db_int(level->on_hand),
                                           db_int(level->reserved), db_bool(level->is_tracked),
                                           db_bool(level->allows_backorder)));
    if (result != DB_DONE || level->on_hand == 0)
        return result;
    struct movement initial = {
        .product_id = product_id,
        .variant_id = variant_id,
        .kind = SLICE("initial"),
        .quantity = level->on_hand,
        .on_hand_after = level->on_hand,
        .actor_id = actor_id,
        .now_ms = now_ms,
    };
    return movement_insert(db, &initial);
}

DB_STATEMENT(STOCK_RETIRE) = {
    .sql = "UPDATE variant_stock SET is_retired = TRUE WHERE product_id = $1 AND variant_id = $2",
    .params = {DB_UUID, DB_UUID},
};

enum db_result stock_retire(struct db *db, struct uuid product_id, struct uuid variant_id)
{
    return db_change(db, &STOCK_RETIRE, DB_ARGS(db_uuid(product_id), db_uuid(variant_id)));
}

/* ---- staff's corrections ---- */

DB_STATEMENT(STOCK_READ) = {
    .sql = "SELECT on_hand, reserved, is_tracked, allows_backorder FROM variant_stock"
           " WHERE product_id = $1 AND variant_id = $2 AND is_retired = FALSE",
    .params = {DB_UUID, DB_UUID},
    .columns = {DB_INT, DB_INT, DB_BOOL, DB_BOOL},
};

enum db_result stock_read(struct db *db, struct uuid product_id, struct uuid variant_id,
                          struct stock_level *level)
{
    struct db_rows *rows = db_query(db, &STOCK_READ, DB_ARGS(db_uuid(product_id), db_uuid(variant_id)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    *level = (struct stock_level){
        .on_hand = db_get_int(rows, 0),
        .reserved = db_get_int(rows, 1),
        .is_tracked = db_get_bool(rows, 2),
        .allows_backorder = db_get_bool(rows, 3),
    };
    db_close(rows);
    return DB_ROW;
}

/* What the level would be; false when on hand would pass what a number holds. */
static bool stock_change_apply(const struct stock_change *change, struct stock_level *level)
{
    CHECK(!change->has_delta || !change->has_on_hand);
    if (change->has_on_hand)
        level->on_hand = change->on_hand;
    if (change->has_is_tracked)
        level->is_tracked = change->is_tracked;
    if (change->has_allows_backorder)
        level->allows_backorder = change->allows_backorder;
    return !change->has_delta || !__builtin_add_overflow(level->on_hand, change->delta, &level->on_hand);
}

/* Carries the figures it was decided on: a sale in between makes it a conflict, never a lost update. */
DB_STATEMENT(STOCK_SET) = {
    .sql = "UPDATE variant_stock SET on_hand = $3, is_tracked = $4, allows_backorder = $5"
           " WHERE product_id = $1 AND variant_id = $2 AND on_hand = $6 AND reserved = $7",
    .params = {DB_UUID, DB_UUID, DB_INT, DB_BOOL, DB_BOOL, DB_INT, DB_INT},
};

enum db_result stock_set_level(struct db *db, struct uuid product_id, struct uuid variant_id,
                               const struct stock_change *change, int64_t now_ms, struct stock_level *level,
                               bool *is_short)
{
    struct stock_level after = *level;
    *is_short = !stock_change_apply(change, &after) || after.on_hand < 0 ||
                (after.is_tracked && !after.allows_backorder && after.on_hand < after.reserved);
    if (*is_short)
        return DB_CONFLICT;
    enum db_result result = db_change(db, &STOCK_SET,
                                      DB_ARGS(db_uuid(product_id), db_uuid(variant_id), db_int(after.on_hand),
                                              db_bool(after.is_tracked), db_bool(after.allows_backorder),
                                              db_int(level->on_hand), db_int(level->reserved)));
    if (result != DB_DONE)
        return result;
    struct movement adjusted = {
        .product_id = product_id,
        .variant_id = variant_id,
        .kind = SLICE("adjusted"),
        .quantity = after.on_hand - level->on_hand,
        .on_hand_after = after.on_hand,
        .reason = change->reason,
        .actor_id = change->actor_id,
        .now_ms = now_ms,
    };
    *level = after;
    return adjusted.quantity == 0 ? DB_DONE : movement_insert(db, &adjusted);
}
