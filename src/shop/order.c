/* Orders: reading and writing them, and the one function that changes their state. The endpoints are in
 * orders.c, money is in order_payments.c, placing is in checkout.c. */
#include "shop/order.h"

#include "data/outbox.h"

#include <jansson.h>

#define MINUTE_MS INT64_C(60000)

/* ---- reading ---- */

static struct slice text_take(struct db_rows *rows, int column, struct arena *arena)
{
    return arena ? db_copy_text(rows, column, arena) : db_get_text(rows, column);
}

void order_take(struct db_rows *rows, struct arena *arena, struct order *order)
{
    *order = (struct order){
        .id = db_get_uuid(rows, 0),
        .order_number = text_take(rows, 1, arena),
        .has_user = !db_is_null(rows, 2),
        .user_id = db_get_uuid(rows, 2),
        .cart_id = db_get_uuid(rows, 3),
        .email = text_take(rows, 4, arena),
        .was_paid_at_checkout = db_get_bool(rows, 8),
        .currency = text_take(rows, 9, arena),
        .subtotal_minor = db_get_int(rows, 10),
        .discount_minor = db_get_int(rows, 11),
        .shipping_minor = db_get_int(rows, 12),
        .tax_minor = db_get_int(rows, 13),
        .total_minor = db_get_int(rows, 14),
        .paid_minor = db_get_int(rows, 15),
        .refunded_minor = db_get_int(rows, 16),
        .items = text_take(rows, 17, arena),
        .shipping_address = text_take(rows, 18, arena),
        .billing_address = text_take(rows, 19, arena),
        .shipping_method = text_take(rows, 20, arena),
        .payment_method = text_take(rows, 21, arena),
        .customer_notes = text_take(rows, 22, arena),
        .hold_minutes = db_get_int(rows, 23),
        .hold_expires_at_ms = db_get_time(rows, 24),
        .version = db_get_int(rows, 25),
        .created_at_ms = db_get_time(rows, 26),
        .updated_at_ms = db_get_time(rows, 27),
    };
    CHECK(order_status_parse(db_get_text(rows, 5), &order->status));
    CHECK(payment_status_parse(db_get_text(rows, 6), &order->payment_status));
    CHECK(fulfillment_status_parse(db_get_text(rows, 7), &order->fulfillment_status));
}

static enum db_result order_read_one(struct db_rows *rows, struct arena *arena, struct order *order)
{
    enum db_result result = db_next(rows);
    if (result == DB_ROW) {
        order_take(rows, arena, order);
        db_close(rows);
    }
    return result;
}

DB_STATEMENT(ORDER_READ) = {
    .sql = "SELECT " ORDER_COLUMNS " FROM orders WHERE id = $1",
    .params = {DB_UUID},
    .columns = {ORDER_COLUMN_TYPES},
};

enum db_result order_read(struct db *db, struct arena *arena, struct uuid id, struct order *order)
{
    return order_read_one(db_query(db, &ORDER_READ, DB_ARGS(db_uuid(id))), arena, order);
}

DB_STATEMENT(ORDER_READ_BY_NUMBER) = {
    .sql = "SELECT " ORDER_COLUMNS " FROM orders WHERE order_number = $1",
    .params = {DB_TEXT},
    .columns = {ORDER_COLUMN_TYPES},
};

enum db_result order_read_by_number(struct db *db, struct arena *arena, struct slice order_number,
                                    struct order *order)
{
    return order_read_one(db_query(db, &ORDER_READ_BY_NUMBER, DB_ARGS(db_text(order_number))), arena, order);
}

/* ---- placing ---- */

DB_STATEMENT(ORDER_INSERT) = {
    .sql =
        "INSERT INTO orders (id, order_number, user_id, cart_id, email, email_folded, status, payment_status,"
        " fulfillment_status, currency, subtotal_minor, discount_minor, shipping_minor, tax_minor, total_minor,"
        " items, shipping_address, billing_address, shipping_method, payment_method, customer_notes,"
        " hold_minutes, hold_expires_at, was_paid_at_checkout, created_at, updated_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,"
        " $22, $23, $24, $25, $25)",
    .params = {DB_UUID, DB_TEXT, DB_UUID, DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT,
               DB_TEXT, DB_INT,  DB_INT,  DB_INT,  DB_INT,  DB_INT,  DB_JSON, DB_JSON, DB_JSON,
               DB_TEXT, DB_TEXT, DB_TEXT, DB_INT,  DB_TIME, DB_BOOL, DB_TIME},
};

enum db_result order_insert(struct db *db, const struct order *order, struct slice email_folded)
{
    return db_run(db, &ORDER_INSERT,
                  DB_ARGS(db_uuid(order->id), db_text(order->order_number),
                          db_if(order->has_user, db_uuid(order->user_id)), db_uuid(order->cart_id),
                          db_text(order->email), db_text(email_folded),
                          db_text(slice_from(order_status_name(order->status))),
                          db_text(slice_from(payment_status_name(order->payment_status))),
                          db_text(slice_from(fulfillment_status_name(order->fulfillment_status))),
                          db_text(order->currency), db_int(order->subtotal_minor),
                          db_int(order->discount_minor), db_int(order->shipping_minor),
                          db_int(order->tax_minor), db_int(order->total_minor), db_json(order->items),
                          db_json(order->shipping_address), db_json(order->billing_address),
                          db_text(order->shipping_method), db_text(order->payment_method),
                          db_text(order->customer_notes), db_int(order->hold_minutes),
                          db_if(order->hold_expires_at_ms != 0, db_time(order->hold_expires_at_ms)),
                          db_bool(order->was_paid_at_checkout), db_time(order->created_at_ms)));
}

/* ---- showing ---- */

/* Everything of an order but its fulfillment and history; leaves the object open. */
static void order_write_open(struct json_writer *json, const struct order *order)
{
    json_object_begin(json);
    json_field_uuid(json, "id", order->id);
    json_field_string(json, "orderNumber", order->order_number);
    if (order->has_user)
        json_field_uuid(json, "userId", order->user_id);
    else
        json_field_null(json, "userId");
    json_field_string(json, "email", order->email);
    json_field_raw(json, "items", order->items);
    json_field_money(json, "subtotal", order->subtotal_minor, order->currency);
    json_field_money(json, "discount", order->discount_minor, order->currency);
    json_field_money(json, "shipping", order->shipping_minor, order->currency);
    json_field_money(json, "tax", order->tax_minor, order->currency);
    json_field_money(json, "total", order->total_minor, order->currency);
    json_field_money(json, "amountPaid", order->paid_minor, order->currency);
    json_field_money(json, "amountRefunded", order->refunded_minor, order->currency);
    json_field_string(json, "currency", order->currency);
    json_field_string(json, "orderStatus", slice_from(order_status_name(order->status)));
    json_field_string(json, "paymentStatus", slice_from(payment_status_name(order->payment_status)));
    json_field_string(json, "fulfillmentStatus",
                      slice_from(fulfillment_status_name(order->fulfillment_status)));
    json_field_raw(json, "shippingAddress", order->shipping_address);
    json_field_raw(json, "billingAddress",
                   slice_is_absent(order->billing_address) ? order->shipping_address
                                                           : order->billing_address);
    json_field_string(json, "shippingMethod", order->shipping_method);
    json_field_string(json, "paymentMethod", order->payment_method);
    json_field_string(json, "customerNotes", order->customer_notes);
    if (order->hold_expires_at_ms != 0)
        json_field_time(json, "holdExpiresAt", order->hold_expires_at_ms);
    else
        json_field_null(json, "holdExpiresAt");
}

static void order_write_close(struct json_writer *json, const struct order *order)
{
    json_field_time(json, "createdAt", order->created_at_ms);
    json_field_time(json, "updatedAt", order->updated_at_ms);
    json_object_end(json);
}

DB_STATEMENT(FULFILLMENT_READ) = {
    .sql =
        "SELECT tracking_number, carrier, tracking_url, shipped_at, delivered_at FROM fulfillments WHERE order_id = $1",
    .params = {DB_UUID},
    .columns = {DB_TEXT, DB_TEXT, DB_TEXT, DB_TIME, DB_TIME},
};

static enum db_result fulfillment_write(struct json_writer *json, struct db *db, const struct order *order)
{
    if (order->fulfillment_status == FULFILLMENT_STATUS_UNFULFILLED) {
        json_field_null(json, "fulfillment");
        return DB_DONE;
    }
    struct db_rows *rows = db_query(db, &FULFILLMENT_READ, DB_ARGS(db_uuid(order->id)));
    enum db_result result = db_next(rows);
    if (result == DB_DONE)
        json_field_null(json, "fulfillment");
    if (result != DB_ROW)
        return result;
    json_field_object_begin(json, "fulfillment");
    json_field_string(json, "trackingNumber", db_get_text(rows, 0));
    json_field_string(json, "carrier", db_get_text(rows, 1));
    json_field_string(json, "trackingUrl", db_get_text(rows, 2));
    json_field_time(json, "shippedAt", db_get_time(rows, 3));
    if (db_is_null(rows, 4))
        json_field_null(json, "deliveredAt");
    else
        json_field_time(json, "deliveredAt", db_get_time(rows, 4));
    json_object_end(json);
    db_close(rows);
    return DB_DONE;
}

static void event_write(struct json_writer *json, int64_t at_ms, struct slice type, struct slice from,
                        struct slice to, struct slice note, struct slice actor)
{
    json_object_begin(json);
    json_field_time(json, "at", at_ms);
    json_field_string(json, "type", type);
    json_field_string(json, "from", from);
    json_field_string(json, "to", to);
    json_field_string(json, "note", note);
    json_field_string(json, "actor", actor);
    json_object_end(json);
}

DB_STATEMENT(EVENTS_READ) = {
    .sql = "SELECT created_at, type, from_value, to_value, note, actor FROM order_events"
           " WHERE order_id = $1 ORDER BY sequence",
    .params = {DB_UUID},
    .columns = {DB_TIME, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT},
};

/* The placing is told by the order's own row (a checkout writes no event); the rest follows. */
static enum db_result history_write(struct json_writer *json, struct db *db, const struct order *order,
                                    bool is_for_staff)
{
    json_field_array_begin(json, "history");
    event_write(json, order->created_at_ms, SLICE("order_status"), SLICE_ABSENT,
                slice_from(order_status_name(ORDER_STATUS_PENDING)), SLICE_ABSENT, SLICE("customer"));
    struct db_rows *rows = db_query(db, &EVENTS_READ, DB_ARGS(db_uuid(order->id)));
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW) {
        struct slice actor = db_get_text(rows, 5);
        bool is_shown = is_for_staff || !slice_is(actor, "staff");
        event_write(json, db_get_time(rows, 0), db_get_text(rows, 1), db_get_text(rows, 2),
                    db_get_text(rows, 3), is_shown ? db_get_text(rows, 4) : SLICE_ABSENT, actor);
    }
    json_array_end(json);
    return result;
}

enum db_result order_write(struct json_writer *json, struct db *db, const struct order *order,
                           enum order_view view)
{
    order_write_open(json, order);
    enum db_result result = fulfillment_write(json, db, order);
    if (result == DB_DONE && view != ORDER_VIEW_LIST)
        result = history_write(json, db, order, view == ORDER_VIEW_STAFF);
    if (result == DB_DONE)
        order_write_close(json, order);
    return result;
}

void order_write_as_placed(struct json_writer *json, const struct order *order)
{
    struct order placed = *order;
    bool was_paid = order->was_paid_at_checkout;
    placed.status = ORDER_STATUS_PENDING;
    placed.payment_status = was_paid ? PAYMENT_STATUS_PAID : PAYMENT_STATUS_PENDING;
    placed.fulfillment_status = FULFILLMENT_STATUS_UNFULFILLED;
    placed.paid_minor = was_paid ? order->total_minor : 0;
    placed.refunded_minor = 0;
    placed.hold_expires_at_ms = was_paid ? 0 : order->created_at_ms + order->hold_minutes * MINUTE_MS;
    placed.updated_at_ms = order->created_at_ms;
    order_write_open(json, &placed);
    json_field_null(json, "fulfillment");
    order_write_close(json, &placed);
}

/* ---- lines and addresses, as an order keeps them ---- */

void order_item_write(struct json_writer *json, const struct order_item *item, struct slice currency)
{
    json_object_begin(json);
    json_field_uuid(json, "id", item->id);
    json_field_uuid(json, "variantId", item->variant_id);
    json_field_uuid(json, "productId", item->product_id);
    json_field_string(json, "name", item->name);
    json_field_string(json, "sku", item->sku);
    json_field_raw(json, "options", item->options);
    json_field_int(json, "quantity", item->quantity);
    json_field_money(json, "unitPrice", item->price_minor, currency);
    json_field_money(json, "totalPrice", item->price_minor * item->quantity, currency);
    json_object_end(json);
}

struct slice order_address_json(struct arena *arena, const struct address_input *address)
{
    struct buf text;
    struct json_writer json;
    buf_init(&text, arena);
    json_init(&json, &text);
    json_object_begin(&json);
    json_field_string(&json, "firstName", address->first_name);
    json_field_string(&json, "lastName", address->last_name);
    json_field_string(&json, "company", address->company);
    json_field_string(&json, "address1", address->address1);
    json_field_string(&json, "address2", address->address2);
    json_field_string(&json, "city", address->city);
    json_field_string(&json, "province", address->province);
    json_field_string(&json, "zip", address->zip);
    json_field_string(&json, "country", address->country);
    json_field_string(&json, "phone", address->phone);
    json_object_end(&json);
    return buf_slice(&text);
}

size_t order_stock_lines(struct arena *arena, const struct order *order, struct stock_line **lines)
{
    json_t *items = json_loadb(order->items.ptr, order->items.len, 0, NULL);
    CHECK(json_is_array(items));
    size_t count = json_array_size(items);
    *lines = ARENA_ARRAY(arena, struct stock_line, count);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(items, i);
        struct stock_line *line = &(*lines)[i];
        CHECK(
            uuid_parse(slice_from(json_string_value(json_object_get(item, "productId"))), &line->product_id));
        CHECK(
            uuid_parse(slice_from(json_string_value(json_object_get(item, "variantId"))), &line->variant_id));
        line->quantity = json_integer_value(json_object_get(item, "quantity"));
    }
    json_decref(items);
    return stock_lines_normalize(*lines, count);
}

/* For each product of the order; more than once does no harm. */
static void for_each_product(struct response *response, const struct order *order,
                             void (*effect)(struct response *response, const char *kind, struct uuid id))
{
    struct stock_line *lines = NULL;
    size_t count = order_stock_lines(response->arena, order, &lines);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || !uuid_equals(lines[i].product_id, lines[i - 1].product_id))
            effect(response, "product", lines[i].product_id);
    }
}

void order_drop_products(struct response *response, const struct order *order)
{
    response_drop(response, "products");
    for_each_product(response, order, response_drop_id);
}

void order_fade_products(struct response *response, const struct order *order)
{
    for_each_product(response, order, response_fade_id);
}

void order_drop_products_now(struct cache *cache, struct arena *arena, const struct order *order)
{
    if (cache == NULL)
        return;
    struct response *effects = ARENA_NEW(arena, struct response);
    response_init(effects, arena, true);
    order_drop_products(effects, order);
    response_run_effects(effects, cache);
}

/* ---- the tables of transitions ---- */

#define BIT(status) (1u << (unsigned)(status))

/* For each status, the set of those that may follow. */
static const unsigned ORDER_STATUS_NEXT[] = {
    [ORDER_STATUS_PENDING] = BIT(ORDER_STATUS_CONFIRMED) | BIT(ORDER_STATUS_CANCELLED),
    [ORDER_STATUS_CONFIRMED] =
        BIT(ORDER_STATUS_PROCESSING) | BIT(ORDER_STATUS_SHIPPED) | BIT(ORDER_STATUS_CANCELLED),
    [ORDER_STATUS_PROCESSING] = BIT(ORDER_STATUS_SHIPPED) | BIT(ORDER_STATUS_CANCELLED),
    [ORDER_STATUS_SHIPPED] =
        BIT(ORDER_STATUS_DELIVERED) | BIT(ORDER_STATUS_PARTIALLY_REFUNDED) | BIT(ORDER_STATUS_REFUNDED),
    [ORDER_STATUS_DELIVERED] = BIT(ORDER_STATUS_PARTIALLY_REFUNDED) | BIT(ORDER_STATUS_REFUNDED),
    [ORDER_STATUS_PARTIALLY_REFUNDED] = BIT(ORDER_STATUS_REFUNDED),
    [ORDER_STATUS_REFUNDED] = 0,
    [ORDER_STATUS_CANCELLED] = 0,
};

static const unsigned PAYMENT_STATUS_NEXT[] = {
    [PAYMENT_STATUS_PENDING] = BIT(PAYMENT_STATUS_PARTIALLY_PAID) | BIT(PAYMENT_STATUS_PAID) |
                               BIT(PAYMENT_STATUS_FAILED) | BIT(PAYMENT_STATUS_CANCELLED),
    [PAYMENT_STATUS_PARTIALLY_PAID] =
        BIT(PAYMENT_STATUS_PAID) | BIT(PAYMENT_STATUS_PARTIALLY_REFUNDED) | BIT(PAYMENT_STATUS_REFUNDED),
    [PAYMENT_STATUS_PAID] = BIT(PAYMENT_STATUS_PARTIALLY_REFUNDED) | BIT(PAYMENT_STATUS_REFUNDED),
    [PAYMENT_STATUS_PARTIALLY_REFUNDED] = BIT(PAYMENT_STATUS_REFUNDED),
    [PAYMENT_STATUS_REFUNDED] = 0,
    [PAYMENT_STATUS_FAILED] = BIT(PAYMENT_STATUS_REFUNDED), /* a charge that came too late is given back */
    [PAYMENT_STATUS_CANCELLED] = 0,
};

/* partial and fulfilled come with shipping in several parcels; today an order leaves whole. */
static const unsigned FULFILLMENT_STATUS_NEXT[] = {
    [FULFILLMENT_STATUS_UNFULFILLED] = BIT(FULFILLMENT_STATUS_SHIPPED) | BIT(FULFILLMENT_STATUS_CANCELLED),
    [FULFILLMENT_STATUS_PARTIAL] = BIT(FULFILLMENT_STATUS_SHIPPED) | BIT(FULFILLMENT_STATUS_CANCELLED),
    [FULFILLMENT_STATUS_FULFILLED] = BIT(FULFILLMENT_STATUS_SHIPPED) | BIT(FULFILLMENT_STATUS_CANCELLED),
    [FULFILLMENT_STATUS_SHIPPED] = BIT(FULFILLMENT_STATUS_DELIVERED),
    [FULFILLMENT_STATUS_DELIVERED] = 0,
    [FULFILLMENT_STATUS_CANCELLED] = 0,
};

bool order_status_allows(enum order_status from, enum order_status to)
{
    return (ORDER_STATUS_NEXT[from] & BIT(to)) != 0;
}

bool payment_status_allows(enum payment_status from, enum payment_status to)
{
    return (PAYMENT_STATUS_NEXT[from] & BIT(to)) != 0;
}

bool fulfillment_status_allows(enum fulfillment_status from, enum fulfillment_status to)
{
    return (FULFILLMENT_STATUS_NEXT[from] & BIT(to)) != 0;
}

/* ---- changing ---- */

DB_STATEMENT(EVENT_APPEND) = {
    .sql =
        "INSERT INTO order_events (order_id, sequence, type, from_value, to_value, actor, actor_id, note, created_at)"
        " SELECT $1, COALESCE(MAX(sequence), 0) + 1, $2, $3, $4, $5, $6, $7, $8 FROM order_events WHERE order_id = $1",
    .params = {DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_UUID, DB_TEXT, DB_TIME},
};

enum db_result order_event_append(struct db *db, struct uuid order_id, const char *type, struct slice from,
                                  struct slice to, struct actor actor, struct slice note, int64_t now_ms)
{
    return db_run(db, &EVENT_APPEND,
                  DB_ARGS(db_uuid(order_id), db_text(slice_from(type)), db_text(from), db_text(to),
                          db_text(slice_from(actor.kind)), db_if(!uuid_is_nil(actor.id), db_uuid(actor.id)),
                          db_text(note), db_time(now_ms)));
}

DB_STATEMENT(ORDER_SAVE) = {
    .sql =
        "UPDATE orders SET status = $3, payment_status = $4, fulfillment_status = $5, was_paid_at_checkout = $6,"
        " paid_minor = $7, refunded_minor = $8, hold_expires_at = $9, version = version + 1, updated_at = $10"
        " WHERE id = $1 AND version = $2",
    .params = {DB_UUID, DB_INT, DB_TEXT, DB_TEXT, DB_TEXT, DB_BOOL, DB_INT, DB_INT, DB_TIME, DB_TIME},
};

DB_STATEMENT(OPEN_GUEST_ORDER_DELETE) = {
    .sql = "DELETE FROM open_guest_orders WHERE order_id = $1",
    .params = {DB_UUID},
};

static bool is_open_and_unpaid(const struct order *order)
{
    return order->status == ORDER_STATUS_PENDING && order->payment_status == PAYMENT_STATUS_PENDING;
}

static bool change_is_allowed(const struct order *order, const struct order *next)
{
    return (order->status == next->status || order_status_allows(order->status, next->status)) &&
           (order->payment_status == next->payment_status ||
            payment_status_allows(order->payment_status, next->payment_status)) &&
           (order->fulfillment_status == next->fulfillment_status ||
            fulfillment_status_allows(order->fulfillment_status, next->fulfillment_status));
}

/* Each status that changed, into the history. */
static enum db_result change_record(struct db *db, const struct order *order, const struct order *next,
                                    struct actor actor, struct slice note, int64_t now_ms)
{
    enum db_result result = DB_DONE;
    if (order->status != next->status)
        result =
            order_event_append(db, order->id, "order_status", slice_from(order_status_name(order->status)),
                               slice_from(order_status_name(next->status)), actor, note, now_ms);
    if (result == DB_DONE && order->payment_status != next->payment_status)
        result = order_event_append(
            db, order->id, "payment_status", slice_from(payment_status_name(order->payment_status)),
            slice_from(payment_status_name(next->payment_status)), actor, note, now_ms);
    if (result == DB_DONE && order->fulfillment_status != next->fulfillment_status)
        result = order_event_append(db, order->id, "fulfillment_status",
                                    slice_from(fulfillment_status_name(order->fulfillment_status)),
                                    slice_from(fulfillment_status_name(next->fulfillment_status)), actor,
                                    note, now_ms);
    return result;
}

enum db_result order_change(struct db *db, struct order *order, const struct order *next, struct actor actor,
                            struct slice note, int64_t now_ms)
{
    if (!change_is_allowed(order, next))
        return DB_CONFLICT;
    enum db_result result = db_change(
        db, &ORDER_SAVE,
        DB_ARGS(db_uuid(order->id), db_int(order->version),
                db_text(slice_from(order_status_name(next->status))),
                db_text(slice_from(payment_status_name(next->payment_status))),
                db_text(slice_from(fulfillment_status_name(next->fulfillment_status))),
                db_bool(next->was_paid_at_checkout), db_int(next->paid_minor), db_int(next->refunded_minor),
                db_if(next->hold_expires_at_ms != 0, db_time(next->hold_expires_at_ms)), db_time(now_ms)));
    if (result == DB_DONE)
        result = change_record(db, order, next, actor, note, now_ms);
    if (result == DB_DONE && is_open_and_unpaid(order) && !is_open_and_unpaid(next))
        result = db_run(db, &OPEN_GUEST_ORDER_DELETE, DB_ARGS(db_uuid(order->id)));
    if (result != DB_DONE)
        return result;
    *order = *next;
    order->version++;
    order->updated_at_ms = now_ms;
    return DB_DONE;
}

enum db_result order_message(struct db *db, struct arena *arena, const char *topic, struct uuid order_id,
                             int64_t now_ms)
{
    char id[UUID_TEXT_LEN];
    uuid_format(order_id, id);
    return outbox_append(db, topic, arena_format(arena, "{\"orderId\":\"%.*s\"}", UUID_TEXT_LEN, id), now_ms);
}

enum db_result order_cancel_now(struct db *db, struct arena *arena, struct order *order, struct actor actor,
                                struct slice reason, int64_t now_ms)
{
    bool is_waiting = false;
    enum db_result result = payment_is_waiting(db, order->id, NULL, &is_waiting);
    if (result != DB_DONE)
        return result;
    /* Not what is cancelled already, either: its stock is given back once. */
    if (is_waiting || !order_status_allows(order->status, ORDER_STATUS_CANCELLED))
        return DB_CONFLICT;
    struct order next = *order;
    next.status = ORDER_STATUS_CANCELLED;
    next.fulfillment_status = FULFILLMENT_STATUS_CANCELLED;
    next.hold_expires_at_ms = 0;
    if (order->payment_status == PAYMENT_STATUS_PENDING)
        next.payment_status = PAYMENT_STATUS_CANCELLED;
    result = order_change(db, order, &next, actor, reason, now_ms);
    if (result != DB_DONE)
        return result;
    struct stock_line *lines = NULL;
    size_t count = order_stock_lines(arena, order, &lines);
    result = stock_release(db, lines, count);
    if (result == DB_DONE)
        result = order_message(db, arena, "order.cancelled", order->id, now_ms);
    return result;
}
