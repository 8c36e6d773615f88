/* Carts: reading them, and the endpoints under /cart.
 *
 * A cart row says whose it is and where it is in its life; its lines are snapshots of what was added, priced
 * anew whenever they are shown. Every change raises the cart's version, on which it was decided. */
#include "shop/cart.h"

#include "base/metrics.h"
#include "base/money.h"
#include "contract/handlers.h"
#include "shop/cart_memory.h"
#include "shop/options.h"

#include <jansson.h>

METRIC_DEFINE(CARTS_TOTAL, "souk_carts_total", "Carts opened; orders against them are the conversion", NULL,
              METRIC_COUNTER);

/* ---- reading ---- */

DB_STATEMENT(CART_READ) = {
    .sql = "SELECT user_id, status, order_id, version, created_at, updated_at FROM carts WHERE id = $1",
    .params = {DB_UUID},
    .columns = {DB_UUID, DB_TEXT, DB_UUID, DB_INT, DB_TIME, DB_TIME},
};

enum db_result cart_read(struct db *db, struct uuid id, struct cart *cart)
{
    struct db_rows *rows = db_query(db, &CART_READ, DB_ARGS(db_uuid(id)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    *cart = (struct cart){
        .id = id,
        .has_user = !db_is_null(rows, 0),
        .user_id = db_get_uuid(rows, 0),
        .has_order = !db_is_null(rows, 2),
        .order_id = db_get_uuid(rows, 2),
        .version = db_get_int(rows, 3),
        .created_at_ms = db_get_time(rows, 4),
        .updated_at_ms = db_get_time(rows, 5),
    };
    CHECK(cart_status_parse(db_get_text(rows, 1), &cart->status));
    db_close(rows);
    return DB_ROW;
}

/* A variant that is gone keeps its row (soft delete), so that the join never loses a line. */
DB_STATEMENT(CART_LINES_READ) = {
    .sql = "SELECT l.id, l.product_id, l.variant_id, l.quantity, l.options, l.unit_price_minor,"
           " v.price_minor, v.options, v.sku, p.name, p.images,"
           " p.is_active = TRUE AND p.deleted_at IS NULL AND v.deleted_at IS NULL,"
           " s.is_tracked, s.allows_backorder, s.on_hand - s.reserved"
           " FROM cart_lines l"
           " JOIN variants v ON v.id = l.variant_id"
           " JOIN products p ON p.id = l.product_id"
           " JOIN variant_stock s ON s.product_id = l.product_id AND s.variant_id = l.variant_id"
           " WHERE l.cart_id = $1 ORDER BY l.id",
    .params = {DB_UUID},
    .columns = {CART_LINE_COLUMN_TYPES},
};

void cart_line_take(struct db_rows *rows, int first, struct arena *arena, struct cart_line *line)
{
    int64_t left = db_get_int(rows, first + 14);
    *line = (struct cart_line){
        .id = db_get_uuid(rows, first),
        .product_id = db_get_uuid(rows, first + 1),
        .variant_id = db_get_uuid(rows, first + 2),
        .quantity = db_get_int(rows, first + 3),
        .wishes = db_copy_text(rows, first + 4, arena),
        .added_price_minor = db_get_int(rows, first + 5),
        .price_minor = db_get_int(rows, first + 6),
        .variant_options = db_copy_text(rows, first + 7, arena),
        .sku = db_copy_text(rows, first + 8, arena),
        .name = db_copy_text(rows, first + 9, arena),
        .images = db_copy_text(rows, first + 10, arena),
        .is_on_sale = db_get_bool(rows, first + 11),
        .is_tracked = db_get_bool(rows, first + 12),
        .is_counted = db_get_bool(rows, first + 12) && !db_get_bool(rows, first + 13),
        .available = left > 0 ? left : 0,
    };
}

#define CART_LINES_FIRST 16 /* room to begin with; doubled as needed */

struct cart_line *cart_line_add(struct cart_line_list *list, struct arena *arena)
{
    if (list->count == list->room) {
        size_t room = list->room == 0 ? CART_LINES_FIRST : list->room * 2;
        struct cart_line *more = ARENA_ARRAY(arena, struct cart_line, room);
        if (list->count > 0)
            memcpy(more, list->lines, list->count * sizeof(*more));
        list->lines = more;
        list->room = room;
    }
    return &list->lines[list->count++];
}

enum db_result cart_lines_read(struct db *db, struct arena *arena, struct uuid cart_id,
                               struct cart_line **lines, size_t *count)
{
    struct cart_line_list list = {.count = 0};
    struct db_rows *rows = db_query(db, &CART_LINES_READ, DB_ARGS(db_uuid(cart_id)));
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW)
        cart_line_take(rows, 0, arena, cart_line_add(&list, arena));
    *lines = list.lines;
    *count = list.count;
    return result;
}

bool cart_is_open_to(const struct cart *cart, const struct principal *principal)
{
    if (!cart->has_user)
        return true;
    return principal_is_user(principal) && uuid_equals(cart->user_id, principal->user_id);
}

bool cart_subtotal(const struct cart_line *lines, size_t count, int64_t *subtotal_minor)
{
    *subtotal_minor = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t line_minor = 0;
        if (!money_multiply(lines[i].price_minor, lines[i].quantity, &line_minor) ||
            __builtin_add_overflow(*subtotal_minor, line_minor, subtotal_minor))
            return false;
    }
    return true;
}

int64_t cart_wanted(const struct cart_line *lines, size_t count, struct uuid variant_id)
{
    int64_t wanted = 0;
    for (size_t i = 0; i < count; i++) {
        if (uuid_equals(lines[i].variant_id, variant_id))
            wanted += lines[i].quantity;
    }
    return wanted;
}

/* ---- showing ---- */

DB_STATEMENT(CART_ORDER) = {
    .sql = "SELECT order_number, subtotal_minor, discount_minor, shipping_minor, tax_minor, total_minor"
           " FROM orders WHERE id = $1",
    .params = {DB_UUID},
    .columns = {DB_TEXT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT},
};

/* What a cart became: its totals are the order's, whatever prices do afterwards. */
static enum db_result cart_order_read(struct db *db, struct arena *arena, struct uuid order_id,
                                      struct slice *order_number, struct totals *totals)
{
    struct db_rows *rows = db_query(db, &CART_ORDER, DB_ARGS(db_uuid(order_id)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    *order_number = db_copy_text(rows, 0, arena);
    *totals = (struct totals){
        .subtotal_minor = db_get_int(rows, 1),
        .discount_minor = db_get_int(rows, 2),
        .shipping_minor = db_get_int(rows, 3),
        .tax_minor = db_get_int(rows, 4),
        .total_minor = db_get_int(rows, 5),
    };
    db_close(rows);
    return DB_ROW;
}

/* The first picture of a product, or absent. */
static struct slice image_url(struct arena *arena, struct slice images)
{
    json_t *list = json_loadb(images.ptr, images.len, 0, NULL);
    const char *url = json_string_value(json_object_get(json_array_get(list, 0), "url"));
    struct slice result = url ? arena_copy(arena, slice_from(url)) : SLICE_ABSENT;
    json_decref(list);
    return result;
}

static void line_notices_write(struct json_writer *json, const struct cart_line *line, int64_t wanted)
{
    json_field_array_begin(json, "notices");
    if (!line->is_on_sale)
        json_text(json, slice_from(cart_notice_name(CART_NOTICE_UNAVAILABLE)));
    else if (line->is_counted && line->available == 0)
        json_text(json, slice_from(cart_notice_name(CART_NOTICE_SOLD_OUT)));
    else if (line->is_counted && line->available < wanted)
        json_text(json, slice_from(cart_notice_name(CART_NOTICE_LOW_STOCK)));
    if (line->price_minor != line->added_price_minor)
        json_text(json, slice_from(cart_notice_name(CART_NOTICE_PRICE_CHANGED)));
    json_array_end(json);
}

/* `wanted` is what all lines of the variant want together; `is_ended` silences what only matters before
 * buying. */
static void line_write(struct json_writer *json, struct arena *arena, const struct cart_line *line,
                       int64_t wanted, struct slice currency, bool is_ended)
{
    json_object_begin(json);
    json_field_uuid(json, "id", line->id);
    json_field_uuid(json, "variantId", line->variant_id);
    json_field_uuid(json, "productId", line->product_id);
    json_field_string(json, "name", line->name);
    json_field_string(json, "sku", line->sku);
    json_field_int(json, "quantity", line->quantity);
    json_field_money(json, "unitPrice", line->price_minor, currency);
    json_field_money(json, "totalPrice", line->price_minor * line->quantity, currency);
    json_field_raw(json, "options", options_join(arena, line->variant_options, line->wishes));
    json_field_string(json, "imageUrl", image_url(arena, line->images));
    if (line->is_tracked)
        json_field_int(json, "available", line->available);
    else
        json_field_null(json, "available");
    if (is_ended) {
        json_field_array_begin(json, "notices");
        json_array_end(json);
    } else {
        line_notices_write(json, line, wanted);
        if (line->price_minor != line->added_price_minor)
            json_field_money(json, "previousUnitPrice", line->added_price_minor, currency);
    }
    json_object_end(json);
}

static void totals_write(struct json_writer *json, const struct totals *totals, struct slice currency)
{
    json_field_money(json, "subtotal", totals->subtotal_minor, currency);
    json_field_money(json, "discount", totals->discount_minor, currency);
    json_field_money(json, "shipping", totals->shipping_minor, currency);
    json_field_money(json, "tax", totals->tax_minor, currency);
    json_field_money(json, "total", totals->total_minor, currency);
}

/* What cart_write needs, gathered before the first byte is written. */
struct cart_view {
    const struct cart *cart;
    struct cart_line *lines;
    size_t count;
    struct shop_settings settings;
    struct totals totals;
    struct slice order_number; /* absent: none */
};

/* DB_DONE, DB_ERROR, or DB_CONFLICT when the sums overflow. */
static enum db_result cart_view_read(struct db *db, struct arena *arena, const struct cart *cart,
                                     struct cart_view *view)
{
    *view = (struct cart_view){.cart = cart};
    enum db_result result = shop_settings_read(db, arena, &view->settings);
    if (result == DB_DONE)
        result = cart_lines_read(db, arena, cart->id, &view->lines, &view->count);
    if (result != DB_DONE)
        return result;
    if (cart->status == CART_STATUS_CONVERTED && cart->has_order) {
        for (size_t i = 0; i < view->count; i++)
            view->lines[i].price_minor =
                view->lines[i].added_price_minor; /* checkout left the price paid there */
        result = cart_order_read(db, arena, cart->order_id, &view->order_number, &view->totals);
        return result == DB_ROW ? DB_DONE : DB_ERROR;
    }
    int64_t subtotal_minor = 0;
    if (!cart_subtotal(view->lines, view->count, &subtotal_minor) ||
        !totals_compute(&view->settings, view->count > 0, subtotal_minor, SHIPPING_METHOD_STANDARD,
                        &view->totals))
        return DB_CONFLICT;
    return DB_DONE;
}

static void cart_view_write(struct json_writer *json, struct arena *arena, const struct cart_view *view)
{
    const struct cart *cart = view->cart;
    struct slice currency = view->settings.currency;
    bool is_ended = cart->status == CART_STATUS_CONVERTED;
    int64_t item_count = 0;
    json_object_begin(json);
    json_field_uuid(json, "id", cart->id);
    if (cart->has_user)
        json_field_uuid(json, "userId", cart->user_id);
    else
        json_field_null(json, "userId");
    json_field_array_begin(json, "items");
    for (size_t i = 0; i < view->count; i++) {
        const struct cart_line *line = &view->lines[i];
        item_count += line->quantity;
        line_write(json, arena, line, cart_wanted(view->lines, view->count, line->variant_id), currency,
                   is_ended);
    }
    json_array_end(json);
    totals_write(json, &view->totals, currency);
    json_field_string(json, "currency", currency);
    json_field_int(json, "itemCount", item_count);
    json_field_string(json, "status", slice_from(cart_status_name(cart->status)));
    json_field_string(json, "orderNumber", view->order_number);
    json_field_time(json, "createdAt", cart->created_at_ms);
    json_field_time(json, "updatedAt", cart->updated_at_ms);
    json_object_end(json);
}

/* A cart that this caller may see. 0, or the refusal. */
static enum http_status cart_find(struct request *request, struct response *response, struct uuid id,
                                  struct cart *cart)
{
    enum db_result result = cart_read(request->db, id, cart);
    if (result == DB_DONE || (result == DB_ROW && !cart_is_open_to(cart, &request->principal)))
        return problem(response, PROBLEM_CART_NOT_FOUND, "No cart of yours has this id");
    return result == DB_ROW ? (enum http_status)0 : problem_database(response, result);
}

/* The whole cart as the answer. 0, or the refusal. */
static enum http_status cart_show(struct request *request, struct response *response, const struct cart *cart,
                                  struct cart_view *view)
{
    enum db_result result = cart_view_read(request->db, request->arena, cart, view);
    if (result == DB_CONFLICT)
        return problem(response, PROBLEM_CART_LIMIT, "The cart's total is more than can be counted");
    if (result != DB_DONE)
        return problem_database(response, result);
    response_version(response, cart->version);
    cart_view_write(&response->json, request->arena, view);
    return (enum http_status)0;
}

static enum http_status cart_answer(struct request *request, struct response *response, struct uuid cart_id,
                                    enum http_status status)
{
    struct cart cart;
    struct cart_view view;
    enum http_status refusal = cart_find(request, response, cart_id, &cart);
    if (refusal == 0)
        refusal = cart_show(request, response, &cart, &view);
    return refusal != 0 ? refusal : status;
}

/* ---- GET /cart/{id}, POST /cart, GET /cart/me ---- */

enum http_status cart_get(struct request *request, struct response *response)
{
    const struct cart_get_input *input = request->input;
    struct cart_memory memory;
    struct cart cart;
    struct cart_view view;
    cart_recall(request, input->id, &memory);
    enum http_status refusal = cart_find(request, response, input->id, &cart);
    if (refusal != 0)
        return refusal;
    struct slice shown = cart_recalled(&memory, request->arena, &cart);
    if (!slice_is_absent(shown)) {
        response_version(response, cart.version);
        json_raw(&response->json, shown);
        return HTTP_STATUS_OK;
    }
    refusal = cart_show(request, response, &cart, &view);
    if (refusal != 0)
        return refusal;
    cart_remember(&memory, request, &cart, view.lines, view.count, response_content(response));
    return HTTP_STATUS_OK;
}

DB_STATEMENT(CART_INSERT) = {
    .sql = "INSERT INTO carts (id, user_id, created_at, updated_at) VALUES ($1, $2, $3, $3)",
    .params = {DB_UUID, DB_UUID, DB_TIME},
};

DB_STATEMENT(CART_OF_USER) = {
    .sql = "SELECT id FROM carts WHERE user_id = $1 AND user_id IS NOT NULL AND status <> 'converted'",
    .sql_postgres = "SELECT id FROM carts WHERE open_user_id = $1",
    .params = {DB_UUID},
    .columns = {DB_UUID},
};

/* DB_ROW with the account's cart, whose payment may be being asked for (then it may come back: no other is
 * opened meanwhile), DB_DONE without, or DB_ERROR. */
static enum db_result cart_of_user(struct db *db, struct uuid user_id, struct uuid *cart_id)
{
    struct db_rows *rows = db_query(db, &CART_OF_USER, DB_ARGS(db_uuid(user_id)));
    enum db_result result = db_next(rows);
    if (result == DB_ROW) {
        *cart_id = db_get_uuid(rows, 0);
        db_close(rows);
    }
    return result;
}

/* The account's active cart, opened when there is none; a guest's is always a new one. */
static enum db_result cart_open(struct request *request, struct response *response, struct uuid *cart_id)
{
    bool has_user = principal_is_user(&request->principal);
    if (has_user) {
        enum db_result result = cart_of_user(request->db, request->principal.user_id, cart_id);
        if (result != DB_DONE)
            return result == DB_ROW ? DB_DONE : result;
    }
    *cart_id = uuid_v4();
    response_count(response, &CARTS_TOTAL, 1);
    return db_run(request->db, &CART_INSERT,
                  DB_ARGS(db_uuid(*cart_id), db_if(has_user, db_uuid(request->principal.user_id)),
                          db_time(request->now_ms)));
}

enum http_status cart_create(struct request *request, struct response *response)
{
    struct uuid cart_id;
    enum db_result result = cart_open(request, response, &cart_id);
    if (result != DB_DONE)
        return problem_database(response, result);
    enum http_status status = cart_answer(request, response, cart_id, HTTP_STATUS_CREATED);
    if (status == HTTP_STATUS_CREATED)
        response_location(response, "/cart/", cart_id);
    return status;
}

enum http_status cart_mine_get(struct request *request, struct response *response)
{
    struct uuid cart_id;
    enum db_result result = cart_open(request, response, &cart_id);
    if (result != DB_DONE)
        return problem_database(response, result);
    return cart_answer(request, response, cart_id, HTTP_STATUS_OK);
}

/* ---- changing lines ---- */

enum http_status cart_refuse_inactive(struct response *response, struct db *db, const struct cart *cart)
{
    CHECK(cart->status != CART_STATUS_ACTIVE);
    if (cart->status == CART_STATUS_CONVERTING) {
        enum http_status status = problem(response, PROBLEM_CHECKOUT_IN_PROGRESS,
                                          "A payment for this cart is being asked for; try again shortly");
        response_header(response, "Retry-After", SLICE("1"));
        return status;
    }
    struct slice order_number = SLICE_ABSENT;
    struct totals totals;
    enum db_result result = cart_order_read(db, response->arena, cart->order_id, &order_number, &totals);
    if (result == DB_ERROR)
        return problem_database(response, result);
    enum http_status status =
        problem(response, PROBLEM_CART_CONVERTED, "This cart has become an order and never changes again");
    problem_extra_string(response, "orderNumber", order_number);
    return status;
}

/* The cart of a change: open to the caller, active, at the version of If-Match. 0 when so, else the refusal.
 */
static enum http_status cart_for_change(struct request *request, struct response *response, struct uuid id,
                                        struct cart *cart)
{
    enum http_status refusal = cart_find(request, response, id, cart);
    if (refusal != 0)
        return refusal;
    if (cart->status != CART_STATUS_ACTIVE)
        return cart_refuse_inactive(response, request->db, cart);
    return response_precondition(response, request, cart->version);
}

DB_STATEMENT(CART_TOUCH) = {
    .sql = "UPDATE carts SET version = version + 1, updated_at = $3"
           " WHERE id = $1 AND version = $2 AND status = 'active'",
    .params = {DB_UUID, DB_INT, DB_TIME},
};

static enum db_result cart_touch(struct db *db, const struct cart *cart, int64_t now_ms)
{
    return db_change(db, &CART_TOUCH, DB_ARGS(db_uuid(cart->id), db_int(cart->version), db_time(now_ms)));
}

/* What a new quantity would break, or 0. `others` is what other lines of the variant want. */
static enum http_status refuse_quantity(struct response *response, const struct shop_settings *settings,
                                        const struct cart_line *line, int64_t quantity, int64_t others)
{
    if (quantity > settings->max_quantity_per_line)
        return problem(response, PROBLEM_CART_LIMIT, "At most %lld of one thing fit into a line",
                       (long long)settings->max_quantity_per_line);
    if (line->is_counted && quantity + others > line->available)
        return problem(response, PROBLEM_OUT_OF_STOCK, "Only %lld can still be bought",
                       (long long)line->available);
    return (enum http_status)0;
}

/* ---- POST /cart/{id}/items ---- */

DB_STATEMENT(VARIANTS_OF_CHOICE) = {
    .sql =
        "SELECT v.id, v.product_id, v.options, v.price_minor, v.sku, p.name, s.is_tracked, s.allows_backorder,"
        " s.on_hand - s.reserved"
        " FROM variants v"
        " JOIN products p ON p.id = v.product_id"
        " JOIN variant_stock s ON s.product_id = v.product_id AND s.variant_id = v.id"
        " WHERE v.id = $1 AND v.deleted_at IS NULL AND p.is_active = TRUE AND p.deleted_at IS NULL",
    .params = {DB_UUID},
    .columns = {DB_UUID, DB_UUID, DB_JSON, DB_INT, DB_TEXT, DB_TEXT, DB_BOOL, DB_BOOL, DB_INT},
};

DB_STATEMENT(VARIANTS_OF_PRODUCT) = {
    .sql =
        "SELECT v.id, v.product_id, v.options, v.price_minor, v.sku, p.name, s.is_tracked, s.allows_backorder,"
        " s.on_hand - s.reserved"
        " FROM variants v"
        " JOIN products p ON p.id = v.product_id"
        " JOIN variant_stock s ON s.product_id = v.product_id AND s.variant_id = v.id"
        " WHERE v.product_id = $1 AND v.deleted_at IS NULL AND p.is_active = TRUE AND p.deleted_at IS NULL"
        " ORDER BY v.position",
    .params = {DB_UUID},
    .columns = {DB_UUID, DB_UUID, DB_JSON, DB_INT, DB_TEXT, DB_TEXT, DB_BOOL, DB_BOOL, DB_INT},
};

static void choice_take(struct db_rows *rows, struct arena *arena, struct cart_line *line)
{
    int64_t left = db_get_int(rows, 8);
    *line = (struct cart_line){
        .variant_id = db_get_uuid(rows, 0),
        .product_id = db_get_uuid(rows, 1),
        .variant_options = db_copy_text(rows, 2, arena),
        .price_minor = db_get_int(rows, 3),
        .added_price_minor = db_get_int(rows, 3),
        .sku = db_copy_text(rows, 4, arena),
        .name = db_copy_text(rows, 5, arena),
        .is_on_sale = true,
        .is_tracked = db_get_bool(rows, 6),
        .is_counted = db_get_bool(rows, 6) && !db_get_bool(rows, 7),
        .available = left > 0 ? left : 0,
    };
}

/* Finds the variant that is asked for into *line (without quantity and id). 0, or the refusal. */
static enum http_status choose_variant(struct request *request, struct response *response,
                                       const struct cart_item_add_input *input, struct cart_line *line)
{
    if (input->has_variant_id == input->has_product_id)
        return problem_field(response, "variantId", "EXACTLY_ONE", "give either variantId or productId");
    struct db_rows *rows =
        input->has_variant_id
            ? db_query(request->db, &VARIANTS_OF_CHOICE, DB_ARGS(db_uuid(input->variant_id)))
            : db_query(request->db, &VARIANTS_OF_PRODUCT, DB_ARGS(db_uuid(input->product_id)));
    enum db_result result;
    size_t seen = 0;
    size_t matching = 0;
    enum option_match only = OPTIONS_MATCH;
    while ((result = db_next(rows)) == DB_ROW) {
        struct cart_line candidate;
        choice_take(rows, request->arena, &candidate);
        enum option_match match = options_match(candidate.variant_options, input->options);
        only = match;
        if (match == OPTIONS_MATCH && matching++ == 0)
            *line = candidate;
        if (seen++ == 0 && matching == 0)
            *line = candidate;
    }
    if (result != DB_DONE)
        return problem_database(response, result);
    if (seen == 0)
        return problem(response, PROBLEM_PRODUCT_NOT_FOUND, "No such product or variant is on sale");
    /* The id of a variant, or a product with a single one, needs no options; but those given must not
     * contradict it. */
    bool is_plain = seen == 1 && only != OPTIONS_DIFFER;
    if (matching == 0 && !is_plain)
        return problem_field(response, "options", seen == 1 ? "MISMATCH" : "REQUIRED",
                             "must name one of the product's variants, by a value for each of its options");
    return (enum http_status)0;
}

DB_STATEMENT(LINE_INSERT) = {
    .sql =
        "INSERT INTO cart_lines"
        " (cart_id, id, product_id, variant_id, quantity, options, unit_price_minor, name, sku, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    .params = {DB_UUID, DB_UUID, DB_UUID, DB_UUID, DB_INT, DB_JSON, DB_INT, DB_TEXT, DB_TEXT, DB_TIME},
};

static enum db_result line_insert(struct db *db, struct uuid cart_id, const struct cart_line *line,
                                  int64_t now_ms)
{
    return db_run(db, &LINE_INSERT,
                  DB_ARGS(db_uuid(cart_id), db_uuid(line->id), db_uuid(line->product_id),
                          db_uuid(line->variant_id), db_int(line->quantity), db_json(line->wishes),
                          db_int(line->added_price_minor), db_text(line->name), db_text(line->sku),
                          db_time(now_ms)));
}

DB_STATEMENT(LINE_SET) = {
    .sql = "UPDATE cart_lines SET quantity = $3, unit_price_minor = $4 WHERE cart_id = $1 AND id = $2",
    .params = {DB_UUID, DB_UUID, DB_INT, DB_INT},
};

/* The shopper saw the price of today when changing the line: it is the one a later change is told against. */
static enum db_result line_set(struct db *db, struct uuid cart_id, const struct cart_line *line,
                               int64_t quantity)
{
    return db_change(
        db, &LINE_SET,
        DB_ARGS(db_uuid(cart_id), db_uuid(line->id), db_int(quantity), db_int(line->price_minor)));
}

static struct cart_line *line_of_same_kind(struct cart_line *lines, size_t count,
                                           const struct cart_line *wanted)
{
    for (size_t i = 0; i < count; i++) {
        if (uuid_equals(lines[i].variant_id, wanted->variant_id) &&
            slice_equals(lines[i].wishes, wanted->wishes))
            return &lines[i];
    }
    return NULL;
}

static size_t wishes_bytes(const struct cart_line *lines, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += lines[i].wishes.len;
    return bytes;
}

/* Adds `quantity` of the chosen variant to the cart: to the line of the same kind, or as a new one. 0 or the
 * refusal. */
static enum http_status line_add(struct request *request, struct response *response, const struct cart *cart,
                                 struct cart_line *choice, int64_t quantity)
{
    struct shop_settings settings;
    struct cart_line *lines = NULL;
    size_t count = 0;
    enum db_result result = shop_settings_read(request->db, request->arena, &settings);
    if (result == DB_DONE)
        result = cart_lines_read(request->db, request->arena, cart->id, &lines, &count);
    if (result != DB_DONE)
        return problem_database(response, result);
    struct cart_line *present = line_of_same_kind(lines, count, choice);
    if (present == NULL && wishes_bytes(lines, count) + choice->wishes.len > CART_WISHES_BYTES_MAX)
        return problem(response, PROBLEM_CART_LIMIT,
                       "The wishes of a cart's lines hold at most %zu bytes together", CART_WISHES_BYTES_MAX);
    int64_t before = present ? present->quantity : 0;
    int64_t others = cart_wanted(lines, count, choice->variant_id) - before;
    enum http_status refusal = refuse_quantity(response, &settings, choice, before + quantity, others);
    if (refusal != 0)
        return refusal;
    if (present == NULL && (int64_t)count >= settings.max_lines_per_cart)
        return problem(response, PROBLEM_CART_LIMIT, "At most %lld lines fit into a cart",
                       (long long)settings.max_lines_per_cart);
    if (present != NULL) {
        result = line_set(request->db, cart->id, present, before + quantity);
    } else {
        choice->id = uuid_v7(request->now_ms);
        choice->quantity = quantity;
        result = line_insert(request->db, cart->id, choice, request->now_ms);
    }
    return result == DB_DONE ? (enum http_status)0 : problem_database(response, result);
}

enum http_status cart_item_add(struct request *request, struct response *response)
{
    const struct cart_item_add_input *input = request->input;
    struct cart cart;
    enum http_status refusal = cart_for_change(request, response, input->id, &cart);
    if (refusal != 0)
        return refusal;
    struct cart_line choice;
    refusal = choose_variant(request, response, input, &choice);
    if (refusal != 0)
        return refusal;
    choice.wishes = options_wishes(request->arena, choice.variant_options, input->options);
    refusal = line_add(request, response, &cart, &choice, input->quantity);
    if (refusal != 0)
        return refusal;
    enum db_result result = cart_touch(request->db, &cart, request->now_ms);
    if (result != DB_DONE)
        return problem_database(response, result);
    return cart_answer(request, response, cart.id, HTTP_STATUS_CREATED);
}

/* ---- PUT and DELETE /cart/{id}/items/{itemId} ---- */

static struct cart_line *line_by_id(struct cart_line *lines, size_t count, struct uuid id)
{
    for (size_t i = 0; i < count; i++) {
        if (uuid_equals(lines[i].id, id))
            return &lines[i];
    }
    return NULL;
}

DB_STATEMENT(LINE_DELETE) = {
    .sql = "DELETE FROM cart_lines WHERE cart_id = $1 AND id = $2",
    .params = {DB_UUID, DB_UUID},
};

/* Sets the quantity of a line, or removes it at 0, and answers the cart. */
static enum http_status line_change(struct request *request, struct response *response, struct uuid cart_id,
                                    struct uuid line_id, int64_t quantity)
{
    struct cart cart;
    enum http_status refusal = cart_for_change(request, response, cart_id, &cart);
    if (refusal != 0)
        return refusal;
    struct shop_settings settings;
    struct cart_line *lines = NULL;
    size_t count = 0;
    enum db_result result = shop_settings_read(request->db, request->arena, &settings);
    if (result == DB_DONE)
        result = cart_lines_read(request->db, request->arena, cart.id, &lines, &count);
    if (result != DB_DONE)
        return problem_database(response, result);
    struct cart_line *line = line_by_id(lines, count, line_id);
    if (line == NULL)
        return problem(response, PROBLEM_CART_ITEM_NOT_FOUND, "The cart has no such line");
    int64_t others = cart_wanted(lines, count, line->variant_id) - line->quantity;
    if (quantity > line->quantity) /* wanting less is always possible */
        refusal = refuse_quantity(response, &settings, line, quantity, others);
    if (refusal != 0)
        return refusal;
    if (quantity == 0)
        result = db_change(request->db, &LINE_DELETE, DB_ARGS(db_uuid(cart.id), db_uuid(line_id)));
    else
        result = line_set(request->db, cart.id, line, quantity);
    if (result == DB_DONE)
        result = cart_touch(request->db, &cart, request->now_ms);
    if (result != DB_DONE)
        return problem_database(response, result);
    return cart_answer(request, response, cart.id, HTTP_STATUS_OK);
}

enum http_status cart_item_update(struct request *request, struct response *response)
{
    const struct cart_item_update_input *input = request->input;
    return line_change(request, response, input->id, input->item_id, input->quantity);
}

enum http_status cart_item_remove(struct request *request, struct response *response)
{
    const struct cart_item_remove_input *input = request->input;
    return line_change(request, response, input->id, input->item_id, 0);
}

/* ---- merging at log-in ---- */

DB_STATEMENT(CART_GIVE) = {
    .sql = "UPDATE carts SET id = $2, user_id = $3, version = version + 1, updated_at = $5"
           " WHERE id = $1 AND user_id IS NULL AND status = 'active' AND version = $4",
    .params = {DB_UUID, DB_UUID, DB_UUID, DB_INT, DB_TIME},
};

DB_STATEMENT(LINES_MOVE) = {
    .sql = "UPDATE cart_lines SET cart_id = $2 WHERE cart_id = $1",
    .params = {DB_UUID, DB_UUID},
};

/* The guest's cart becomes the account's, under an id that nobody knows yet. */
static enum db_result cart_give(struct db *db, const struct cart *guest, struct uuid user_id, int64_t now_ms,
                                struct uuid *cart_id)
{
    *cart_id = uuid_v4();
    enum db_result result = db_change(db, &CART_GIVE,
                                      DB_ARGS(db_uuid(guest->id), db_uuid(*cart_id), db_uuid(user_id),
                                              db_int(guest->version), db_time(now_ms)));
    if (result != DB_DONE)
        return result;
    return db_run(db, &LINES_MOVE, DB_ARGS(db_uuid(guest->id), db_uuid(*cart_id)));
}

/* How many of the guest's line the account's cart takes: as many as limits and stock allow. A line is never
 * lost: of what is sold out one stays, and the cart says so. */
static int64_t quantity_to_merge(const struct shop_settings *settings, const struct cart_line *line,
                                 int64_t present, int64_t others)
{
    int64_t sum = present + line->quantity;
    if (sum > settings->max_quantity_per_line)
        sum = settings->max_quantity_per_line;
    if (line->is_counted && sum + others > line->available)
        sum = line->available - others;
    int64_t floor = present > 0 ? present : 1;
    return sum > floor ? sum : floor;
}

/* Moves one of the guest's lines over. `mine` has room for one more line. */
static enum db_result line_merge(struct db *db, const struct shop_settings *settings, struct uuid cart_id,
                                 struct cart_line *mine, size_t *count, const struct cart_line *line,
                                 int64_t now_ms)
{
    struct cart_line *present = line_of_same_kind(mine, *count, line);
    int64_t before = present ? present->quantity : 0;
    int64_t others = cart_wanted(mine, *count, line->variant_id) - before;
    int64_t quantity = quantity_to_merge(settings, line, before, others);
    if (present != NULL) {
        present->quantity = quantity;
        return line_set(db, cart_id, present, quantity);
    }
    if ((int64_t)*count >= settings->max_lines_per_cart ||
        wishes_bytes(mine, *count) + line->wishes.len > CART_WISHES_BYTES_MAX)
        return DB_DONE; /* a full cart takes no more lines, at log-in as at any time */
    struct cart_line *added = &mine[(*count)++];
    *added = *line;
    added->quantity = quantity;
    return line_insert(db, cart_id, added, now_ms);
}

DB_STATEMENT(CART_DELETE) = {
    .sql = "DELETE FROM carts WHERE id = $1 AND version = $2 AND status = 'active' AND user_id IS NULL",
    .params = {DB_UUID, DB_INT},
};

DB_STATEMENT(LINES_DELETE) = {
    .sql = "DELETE FROM cart_lines WHERE cart_id = $1",
    .params = {DB_UUID},
};

/* Everything of the guest's cart into the account's; the guest's is gone afterwards. */
static enum db_result cart_pour(struct db *db, struct arena *arena, const struct cart *guest,
                                const struct cart *own, int64_t now_ms)
{
    struct shop_settings settings;
    struct cart_line *theirs = NULL;
    struct cart_line *mine = NULL;
    size_t their_count = 0;
    size_t my_count = 0;
    enum db_result result = shop_settings_read(db, arena, &settings);
    if (result == DB_DONE)
        result = cart_lines_read(db, arena, guest->id, &theirs, &their_count);
    if (result == DB_DONE)
        result = cart_lines_read(db, arena, own->id, &mine, &my_count);
    if (result != DB_DONE)
        return result;
    struct cart_line *all = ARENA_ARRAY(arena, struct cart_line, my_count + their_count + 1);
    if (my_count > 0)
        memcpy(all, mine, my_count * sizeof(*all));
    for (size_t i = 0; i < their_count && result == DB_DONE; i++)
        result = line_merge(db, &settings, own->id, all, &my_count, &theirs[i], now_ms);
    if (result == DB_DONE)
        result = cart_touch(db, own, now_ms);
    if (result == DB_DONE)
        result = db_run(db, &LINES_DELETE, DB_ARGS(db_uuid(guest->id)));
    if (result == DB_DONE)
        result = db_change(db, &CART_DELETE, DB_ARGS(db_uuid(guest->id), db_int(guest->version)));
    return result;
}

enum db_result cart_merge(struct db *db, struct arena *arena, struct uuid guest_cart_id, struct uuid user_id,
                          int64_t now_ms, struct uuid *cart_id)
{
    struct cart guest;
    *cart_id = (struct uuid){{0}};
    enum db_result has_own = cart_of_user(db, user_id, cart_id);
    if (has_own == DB_ERROR)
        return has_own;
    enum db_result result = cart_read(db, guest_cart_id, &guest);
    if (result == DB_DONE || (result == DB_ROW && (guest.has_user || guest.status != CART_STATUS_ACTIVE)))
        return DB_DONE;
    if (result != DB_ROW)
        return result;
    if (has_own == DB_DONE)
        return cart_give(db, &guest, user_id, now_ms, cart_id);
    struct cart own;
    result = cart_read(db, *cart_id, &own);
    if (result != DB_ROW)
        return result == DB_DONE ? DB_CONFLICT : result;
    if (own.status != CART_STATUS_ACTIVE)
        return DB_DONE; /* it is being paid for: the guest's cart stays what it is, under its own id */
    return cart_pour(db, arena, &guest, &own, now_ms);
}

enum db_result cart_adopt(struct db *db, struct arena *arena, struct uuid guest_cart_id, struct uuid user_id,
                          int64_t now_ms, struct uuid *merged_id)
{
    struct cart guest;
    *merged_id = (struct uuid){{0}};
    enum db_result result = cart_read(db, guest_cart_id, &guest);
    if (result != DB_ROW)
        return result;
    if (guest.has_user || guest.status != CART_STATUS_ACTIVE)
        return DB_DONE;
    return cart_merge(db, arena, guest.id, user_id, now_ms, merged_id);
}

/* ---- purging ---- */

/* In the order of making, so that the walk ends at the first cart that is too young to be stale. Stale are
 * guests' carts that nobody touched and carts that have become orders; an account's active cart is kept. */
DB_STATEMENT(CARTS_WALK) = {
    .sql =
        "SELECT number, id, created_at, (updated_at < $2 AND (status = 'converted'"
        " OR (status = 'active' AND user_id IS NULL))) FROM carts WHERE number > $1 ORDER BY number LIMIT $3",
    .params = {DB_INT, DB_TIME, DB_INT},
    .columns = {DB_INT, DB_UUID, DB_TIME, DB_BOOL},
};

/* Decided anew: it may have been touched since it was read. */
DB_STATEMENT(CART_PURGE) = {
    .sql = "DELETE FROM carts WHERE id = $1 AND updated_at < $2 AND (status = 'converted'"
           " OR (status = 'active' AND user_id IS NULL))",
    .params = {DB_UUID, DB_TIME},
};

#define CARTS_PURGE_MAX 200

struct carts_purge {
    int64_t before_ms;
    struct uuid ids[CARTS_PURGE_MAX];
    size_t count;
    int64_t deleted;
};

static enum db_result carts_purge_run(struct db *db, void *arg)
{
    struct carts_purge *purge = arg;
    enum db_result result = DB_DONE;
    purge->deleted = 0;
    for (size_t i = 0; i < purge->count && result == DB_DONE; i++) {
        result = db_run(db, &CART_PURGE, DB_ARGS(db_uuid(purge->ids[i]), db_time(purge->before_ms)));
        if (result == DB_DONE && db_changes(db) == 1) {
            purge->deleted++;
            result = db_run(db, &LINES_DELETE, DB_ARGS(db_uuid(purge->ids[i])));
        }
    }
    return result;
}

enum db_result carts_purge(struct db *db, int64_t before_ms, int64_t limit, int64_t *position,
                           int64_t *deleted)
{
    struct carts_purge purge = {.before_ms = before_ms};
    int64_t seen = 0;
    bool is_at_end = false;
    *deleted = 0;
    if (limit > CARTS_PURGE_MAX)
        limit = CARTS_PURGE_MAX;
    struct db_rows *rows =
        db_query(db, &CARTS_WALK, DB_ARGS(db_int(*position), db_time(before_ms), db_int(limit)));
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW) {
        seen++;
        *position = db_get_int(rows, 0);
        is_at_end = is_at_end || db_get_time(rows, 2) >= before_ms;
        if (db_get_bool(rows, 3))
            purge.ids[purge.count++] = db_get_uuid(rows, 1);
    }
    if (result != DB_DONE)
        return result;
    if (is_at_end || seen < limit)
        *position = 0;
    if (purge.count > 0)
        result = db_transaction(db, carts_purge_run, &purge);
    *deleted = purge.deleted;
    return result;
}
