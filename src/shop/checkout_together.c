/* Placing many orders in one transaction, on PostgreSQL: one statement locks and reads all carts, C decides
 * as it does for one, one statement writes all orders (db/migrations/0006_checkout.postgres.up.sql). The
 * decision is the same code as alone; what is not plainly placed here is left to it. */
#include "shop/checkout.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "shop/users.h"

#include <stdlib.h>

DB_STATEMENT(CHECKOUT_OPEN) = {
    .sql_postgres =
        "SELECT cart_id, user_id, cart_version, id, product_id, variant_id, quantity, options, unit_price_minor,"
        " price_minor, variant_options, sku, name, images, is_on_sale, is_tracked, allows_backorder, available"
        " FROM checkout_open($1)",
    .params = {DB_JSON},
    .columns = {DB_UUID, DB_UUID, DB_INT, CART_LINE_COLUMN_TYPES},
};

DB_STATEMENT(CHECKOUT_PLACE) = {
    .sql_postgres = "SELECT checkout_place($1)",
    .params = {DB_JSON},
    .columns = {DB_INT},
};

/* What is left of a variant while the orders before in the batch take of it. */
struct level {
    struct uuid product_id, variant_id;
    int64_t left;
};

struct together {
    struct arena *arena; /* of the first request; the batch's own memory */
    struct checkout **checkouts;
    struct cart_line_list *lists; /* one a checkout */
    size_t count;
    struct shop_settings settings;
    struct level *levels; /* sorted, each variant once */
    size_t level_count;
};

/* ---- reading ---- */

static void json_field_hash(struct json_writer *json, const char *key, const uint8_t hash[SHA256_LEN])
{
    char text[2 * SHA256_LEN];
    hex_encode(hash, SHA256_LEN, text);
    json_field_string(json, key, (struct slice){text, sizeof(text)});
}

static struct slice wanted_json(const struct together *together)
{
    struct buf text;
    struct json_writer json;
    buf_init(&text, together->arena);
    json_init(&json, &text);
    json_array_begin(&json);
    for (size_t i = 0; i < together->count; i++) {
        const struct request *request = together->checkouts[i]->request;
        json_object_begin(&json);
        json_field_uuid(&json, "cart", together->checkouts[i]->input->id);
        if (request->idempotency.is_present)
            json_field_hash(&json, "scope", request->idempotency.scope);
        json_object_end(&json);
    }
    json_array_end(&json);
    return buf_slice(&text);
}

/* Whose cart this is; no two of a batch share one. */
static size_t checkout_of(const struct together *together, struct uuid cart_id)
{
    size_t i = 0;
    while (i < together->count && !uuid_equals(together->checkouts[i]->input->id, cart_id))
        i++;
    CHECK(i < together->count);
    return i;
}

static enum db_result carts_open(struct db *db, struct together *together)
{
    struct db_rows *rows = db_query(db, &CHECKOUT_OPEN, DB_ARGS(db_json(wanted_json(together))));
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW) {
        struct uuid cart_id = db_get_uuid(rows, 0);
        size_t i = checkout_of(together, cart_id);
        struct checkout *checkout = together->checkouts[i];
        struct arena *arena = checkout->request->arena;
        checkout->cart = (struct cart){.id = cart_id,
                                       .has_user = !db_is_null(rows, 1),
                                       .user_id = db_get_uuid(rows, 1),
                                       .status = CART_STATUS_ACTIVE,
                                       .version = db_get_int(rows, 2)};
        cart_line_take(rows, 3, arena, cart_line_add(&together->lists[i], arena));
        checkout->lines = together->lists[i].lines;
        checkout->line_count = together->lists[i].count;
    }
    return result;
}

/* ---- deciding ---- */

static int level_compare(const void *left, const void *right)
{
    const struct level *a = left;
    const struct level *b = right;
    int by_product = uuid_compare(a->product_id, b->product_id);
    return by_product != 0 ? by_product : uuid_compare(a->variant_id, b->variant_id);
}

static void levels_collect(struct together *together)
{
    size_t lines = 0;
    for (size_t i = 0; i < together->count; i++)
        lines += together->checkouts[i]->line_count;
    together->levels = ARENA_ARRAY(together->arena, struct level, lines);
    lines = 0;
    for (size_t i = 0; i < together->count; i++) {
        for (size_t k = 0; k < together->checkouts[i]->line_count; k++) {
            const struct cart_line *line = &together->checkouts[i]->lines[k];
            together->levels[lines++] = (struct level){line->product_id, line->variant_id, line->available};
        }
    }
    qsort(together->levels, lines, sizeof(struct level), level_compare);
    size_t kept = 0;
    for (size_t i = 0; i < lines; i++) {
        if (kept == 0 || level_compare(&together->levels[kept - 1], &together->levels[i]) != 0)
            together->levels[kept++] = together->levels[i];
    }
    together->level_count = kept;
}

static struct level *level_of(const struct together *together, struct uuid product_id, struct uuid variant_id)
{
    const struct level wanted = {.product_id = product_id, .variant_id = variant_id};
    return bsearch(&wanted, together->levels, together->level_count, sizeof(wanted), level_compare);
}

/* The lines show what the orders before have left. */
static void levels_show(const struct together *together, struct checkout *checkout)
{
    for (size_t i = 0; i < checkout->line_count; i++) {
        struct cart_line *line = &checkout->lines[i];
        line->available = level_of(together, line->product_id, line->variant_id)->left;
    }
}

static void levels_take(const struct together *together, const struct stock_line *stock, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct level *level = level_of(together, stock[i].product_id, stock[i].variant_id);
        level->left = level->left > stock[i].quantity ? level->left - stock[i].quantity : 0;
    }
}

/* Each checkout has the settings' texts in memory of its own: it is answered after the batch, when the first
 * request's may already serve another. */
static void settings_take(const struct together *together, struct checkout *checkout)
{
    struct arena *arena = checkout->request->arena;
    checkout->settings = together->settings;
    checkout->settings.store_name = arena_copy(arena, together->settings.store_name);
    checkout->settings.currency = arena_copy(arena, together->settings.currency);
}

enum decision { PLACED, REFUSED, LEFT_ALONE };

/* A cart of the caller's, all of it for sale, no limit to count: placed. What is sold out is refused here,
 * where a flash sale sends its many that came too late; any other doubt is left to a look at this checkout
 * alone. */
static enum decision decide(const struct together *together, struct checkout *checkout,
                            struct stock_line **stock, size_t *stock_count)
{
    settings_take(together, checkout);
    if (checkout->line_count == 0 || !cart_is_open_to(&checkout->cart, &checkout->request->principal))
        return LEFT_ALONE;
    levels_show(together, checkout);
    if (checkout_has_unbuyable_line(checkout)) {
        checkout->status = checkout_refuse_lines(checkout, NULL);
        return REFUSED;
    }
    if (!checkout_total(checkout))
        return LEFT_ALONE;
    checkout_order_fill(checkout);
    if (checkout_is_limited(checkout))
        return LEFT_ALONE;
    *stock_count = checkout_stock_lines(checkout, stock);
    levels_take(together, *stock, *stock_count);
    return PLACED;
}

/* ---- writing ---- */

static void order_columns_write(struct json_writer *json, const struct order *order,
                                struct slice email_folded)
{
    json_field_uuid(json, "id", order->id);
    json_field_string(json, "order_number", order->order_number);
    if (order->has_user)
        json_field_uuid(json, "user_id", order->user_id);
    json_field_uuid(json, "cart_id", order->cart_id);
    json_field_string(json, "email", order->email);
    json_field_string(json, "email_folded", email_folded);
    json_field_string(json, "payment_status", slice_from(payment_status_name(order->payment_status)));
    json_field_bool(json, "was_paid_at_checkout", order->was_paid_at_checkout);
    json_field_string(json, "currency", order->currency);
    json_field_int(json, "subtotal_minor", order->subtotal_minor);
    json_field_int(json, "discount_minor", order->discount_minor);
    json_field_int(json, "shipping_minor", order->shipping_minor);
    json_field_int(json, "tax_minor", order->tax_minor);
    json_field_int(json, "total_minor", order->total_minor);
    json_field_raw(json, "items", order->items);
    json_field_raw(json, "shipping_address", order->shipping_address);
    if (!slice_is_absent(order->billing_address))
        json_field_raw(json, "billing_address", order->billing_address);
    json_field_string(json, "shipping_method", order->shipping_method);
    json_field_string(json, "payment_method", order->payment_method);
    json_field_string(json, "customer_notes", order->customer_notes);
    json_field_int(json, "hold_minutes", order->hold_minutes);
    if (order->hold_expires_at_ms != 0)
        json_field_time(json, "hold_expires_at", order->hold_expires_at_ms);
    json_field_time(json, "created_at", order->created_at_ms);
}

static void stock_write(struct json_writer *json, const struct stock_line *stock, size_t count)
{
    json_field_array_begin(json, "stock");
    for (size_t i = 0; i < count; i++) {
        json_object_begin(json);
        json_field_uuid(json, "product", stock[i].product_id);
        json_field_uuid(json, "variant", stock[i].variant_id);
        json_field_int(json, "quantity", stock[i].quantity);
        json_object_end(json);
    }
    json_array_end(json);
}

/* The prices that the cart did not know yet: what is bought is shown at the price that was paid. */
static void prices_write(struct json_writer *json, const struct checkout *checkout)
{
    json_field_array_begin(json, "prices");
    for (size_t i = 0; i < checkout->line_count; i++) {
        const struct cart_line *line = &checkout->lines[i];
        if (line->price_minor == line->added_price_minor)
            continue;
        json_object_begin(json);
        json_field_uuid(json, "line", line->id);
        json_field_int(json, "price", line->price_minor);
        json_object_end(json);
    }
    json_array_end(json);
}

/* A charge is written as started before its provider is called, and the cart waits for the answer. */
static void charge_write(struct json_writer *json, struct checkout *checkout)
{
    struct request *request = checkout->request;
    json_field_string(json, "cart_status",
                      checkout_is_charged(checkout) ? SLICE("converting") : SLICE("converted"));
    if (!checkout_is_charged(checkout))
        return;
    int64_t now_ms = clock_now_ms();
    checkout->payment_id = uuid_v7(now_ms);
    checkout->payment_key = payment_key_first(request->arena, checkout->order.id);
    json_field_uuid(json, "payment_id", checkout->payment_id);
    json_field_string(json, "payment_key", checkout->payment_key);
    json_field_time(json, "payment_started_at", now_ms);
}

static void placed_write(struct json_writer *json, struct checkout *checkout, const struct stock_line *stock,
                         size_t stock_count)
{
    struct request *request = checkout->request;
    char number[ORDER_NUMBER_LEN];
    order_number_make(number); /* one that is taken fails the batch, and alone another is drawn */
    checkout->order.order_number = arena_copy(request->arena, (struct slice){number, sizeof(number)});
    json_object_begin(json);
    order_columns_write(json, &checkout->order, email_fold(request->arena, checkout->email));
    json_field_int(json, "cart_version", checkout->cart.version);
    charge_write(json, checkout);
    stock_write(json, stock, stock_count);
    prices_write(json, checkout);
    if (request->idempotency.is_present) {
        json_field_hash(json, "scope", request->idempotency.scope);
        json_field_hash(json, "body_hash", request->idempotency.body);
    }
    json_object_end(json);
}

/* Decides in the order of coming and writes what can be placed. */
static enum db_result orders_place(struct db *db, struct together *together, enum db_result *results)
{
    struct buf text;
    struct json_writer json;
    int64_t placed = 0;
    buf_init(&text, together->arena);
    json_init(&json, &text);
    json_array_begin(&json);
    for (size_t i = 0; i < together->count; i++) {
        struct stock_line *stock;
        size_t stock_count;
        enum decision decision = decide(together, together->checkouts[i], &stock, &stock_count);
        if (decision == LEFT_ALONE)
            continue;
        results[i] = DB_DONE;
        if (decision == REFUSED)
            continue;
        placed_write(&json, together->checkouts[i], stock, stock_count);
        placed++;
    }
    json_array_end(&json);
    if (placed == 0)
        return DB_DONE;
    if (text.overflow)
        return DB_CONFLICT;
    int64_t written = 0;
    enum db_result result = db_one_int(db, &CHECKOUT_PLACE, DB_ARGS(db_json(buf_slice(&text))), &written);
    if (result != DB_ROW)
        return result == DB_DONE ? DB_ERROR : result;
    return written == placed ? DB_DONE : DB_CONFLICT;
}

enum db_result checkout_place_together(struct db *db, void **args, enum db_result *results, size_t count)
{
    struct checkout **checkouts = (struct checkout **)args;
    struct arena *arena = checkouts[0]->request->arena;
    struct together together = {.arena = arena, .checkouts = checkouts, .count = count};
    together.lists = ARENA_ARRAY(arena, struct cart_line_list, count);
    for (size_t i = 0; i < count; i++) { /* it may run again */
        response_init(checkouts[i]->response, checkouts[i]->request->arena,
                      checkouts[i]->request->operation->is_bare);
        checkouts[i]->status = (enum http_status)0;
        checkouts[i]->is_replay = false;
        checkouts[i]->line_count = 0;
    }
    enum db_result result = shop_settings_read(db, arena, &together.settings);
    if (result == DB_DONE)
        result = carts_open(db, &together);
    if (result != DB_DONE)
        return result;
    levels_collect(&together);
    return orders_place(db, &together, results);
}
