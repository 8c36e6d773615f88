/* Carts, for those who work on them beside their own endpoints: checkout and log-in. */
#pragma once

#include "contract/inputs.h"
#include "http/response.h"
#include "shop/totals.h"

struct cart {
    struct uuid id;
    bool has_user;
    struct uuid user_id;
    enum cart_status status;
    bool has_order;
    struct uuid order_id; /* what it became */
    int64_t version;
    int64_t created_at_ms, updated_at_ms;
};

/* A line at today's prices and stock. */
struct cart_line {
    struct uuid id;
    struct uuid product_id;
    struct uuid variant_id;
    int64_t quantity;
    struct slice wishes;          /* JSON object */
    struct slice variant_options; /* JSON object */
    int64_t added_price_minor;    /* when it was added */
    int64_t price_minor;          /* today */
    struct slice name;
    struct slice sku;
    struct slice images; /* JSON, the product's */
    bool is_on_sale;     /* product and variant exist and are active */
    bool is_counted;     /* its stock limits what can be bought */
    int64_t available;   /* on hand less reserved, not below 0; what is shown and, when counted, the limit */
    bool is_tracked;
};

/* DB_ROW, DB_DONE (no such cart) or DB_ERROR. */
enum db_result cart_read(struct db *db, struct uuid id, struct cart *cart);
/* The lines in the order they were added; DB_DONE or DB_ERROR. */
enum db_result cart_lines_read(struct db *db, struct arena *arena, struct uuid cart_id,
                               struct cart_line **lines, size_t *count);
/* The line of the current row, whose columns from `first` on are those of CART_LINE_COLUMN_TYPES. */
void cart_line_take(struct db_rows *rows, int first, struct arena *arena, struct cart_line *line);
#define CART_LINE_COLUMN_TYPES                                                                               \
    DB_UUID, DB_UUID, DB_UUID, DB_INT, DB_JSON, DB_INT, DB_INT, DB_JSON, DB_TEXT, DB_TEXT, DB_JSON, DB_BOOL, \
        DB_BOOL, DB_BOOL, DB_INT
/* Lines as they are read, of unknown number. Zeroed at first. */
struct cart_line_list {
    struct cart_line *lines;
    size_t count, room;
};
struct cart_line *cart_line_add(struct cart_line_list *list, struct arena *arena);
/* Whether this caller may see and use it: an owned cart answers its owner only, a guest's whoever has its id.
 */
bool cart_is_open_to(const struct cart *cart, const struct principal *principal);
/* The refusal of a change when the cart is no longer active: CART_CONVERTED with its order number, or
 * CHECKOUT_IN_PROGRESS. */
enum http_status cart_refuse_inactive(struct response *response, struct db *db, const struct cart *cart);
/* Sum of the lines; false when it would overflow. */
bool cart_subtotal(const struct cart_line *lines, size_t count, int64_t *subtotal_minor);
/* How many of this variant all lines together want. */
int64_t cart_wanted(const struct cart_line *lines, size_t count, struct uuid variant_id);

/* Merges a guest's cart into the account's at log-in, inside the caller's transaction: quantities are summed
 * per variant and wishes, capped by the limits and by stock; the guest cart is gone afterwards. With no cart
 * of the account's own the guest's becomes it, under a new id (the old one was a key that others may know).
 * *cart_id is the account's active cart (nil when it has none). An unknown, foreign or ended guest cart
 * changes nothing. DB_DONE, DB_CONFLICT (run again) or DB_ERROR. */
enum db_result cart_merge(struct db *db, struct arena *arena, struct uuid guest_cart_id, struct uuid user_id,
                          int64_t now_ms, struct uuid *cart_id);
/* Takes a guest's cart along at a log-in: as cart_merge; one that is unknown, another's or at its end is left
 * alone and *merged_id is nil. DB_DONE, DB_CONFLICT or DB_ERROR. */
enum db_result cart_adopt(struct db *db, struct arena *arena, struct uuid guest_cart_id, struct uuid user_id,
                          int64_t now_ms, struct uuid *merged_id);
/* For the purge job: looks at the next `limit` carts (at most 200) behind *position in the order of their
 * making, 0 at first, and deletes those of guests and those that have become orders that were not touched
 * since `before_ms`. *position is where to go on; 0 again when the rest is too young. Opens its own, short
 * transaction. DB_DONE or DB_ERROR. */
enum db_result carts_purge(struct db *db, int64_t before_ms, int64_t limit, int64_t *position,
                           int64_t *deleted);
