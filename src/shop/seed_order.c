/* Orders of the past: see seed_order.h. */
#include "shop/seed_order.h"

#include "shop/totals.h"
#include "shop/users.h"

#define MINUTE_MS INT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)

static const struct actor SYSTEM = {.kind = "system"};
static const struct actor STAFF = {.kind = "staff"};
static const struct actor CUSTOMER = {.kind = "customer"};

/* ---- lives ---- */

enum step {
    STEP_END = 0,
    STEP_PAY,     /* by card, at checkout */
    STEP_DECLINE, /* the card was refused */
    STEP_CONFIRM,
    STEP_DEPOSIT,  /* half of it was transferred */
    STEP_TRANSFER, /* all of it was transferred, after delivery */
    STEP_PROCESS,
    STEP_SHIP,
    STEP_DELIVER,
    STEP_REFUND,
    STEP_REFUND_PART,
    STEP_CANCEL, /* by the customer */
    STEP_STOP,   /* by the shop */
    STEP_EXPIRE
};

#define STEPS_MAX 7

struct life {
    struct slice name;
    bool pays_later;
    enum step steps[STEPS_MAX + 1];
};

static const struct life LIVES[] = {
    [SEED_LIFE_PENDING] = {SLICE("pending"), true, {STEP_END}},
    [SEED_LIFE_PAID] = {SLICE("paid"), false, {STEP_PAY}},
    [SEED_LIFE_CONFIRMED] = {SLICE("confirmed"), false, {STEP_PAY, STEP_CONFIRM}},
    [SEED_LIFE_CONFIRMED_INVOICE] = {SLICE("confirmed-invoice"), true, {STEP_CONFIRM}},
    [SEED_LIFE_DEPOSIT] = {SLICE("deposit"), true, {STEP_CONFIRM, STEP_DEPOSIT}},
    [SEED_LIFE_PROCESSING] = {SLICE("processing"), false, {STEP_PAY, STEP_CONFIRM, STEP_PROCESS}},
    [SEED_LIFE_SHIPPED] = {SLICE("shipped"), false, {STEP_PAY, STEP_CONFIRM, STEP_PROCESS, STEP_SHIP}},
    [SEED_LIFE_DELIVERED] = {SLICE("delivered"),
                             false,
                             {STEP_PAY, STEP_CONFIRM, STEP_PROCESS, STEP_SHIP, STEP_DELIVER}},
    [SEED_LIFE_DELIVERED_INVOICE] = {SLICE("delivered-invoice"),
                                     true,
                                     {STEP_CONFIRM, STEP_PROCESS, STEP_SHIP, STEP_DELIVER, STEP_TRANSFER}},
    [SEED_LIFE_PARTIALLY_REFUNDED] = {SLICE("partially-refunded"),
                                      false,
                                      {STEP_PAY, STEP_CONFIRM, STEP_PROCESS, STEP_SHIP, STEP_DELIVER,
                                       STEP_REFUND_PART}},
    [SEED_LIFE_REFUNDED] = {SLICE("refunded"),
                            false,
                            {STEP_PAY, STEP_CONFIRM, STEP_PROCESS, STEP_SHIP, STEP_DELIVER, STEP_REFUND}},
    [SEED_LIFE_CANCELLED] = {SLICE("cancelled"), true, {STEP_CANCEL}},
    [SEED_LIFE_CANCELLED_REFUNDED] = {SLICE("cancelled-refunded"),
                                      false,
                                      {STEP_PAY, STEP_CONFIRM, STEP_STOP, STEP_REFUND}},
    [SEED_LIFE_EXPIRED] = {SLICE("expired"), true, {STEP_EXPIRE}},
    [SEED_LIFE_DECLINED] = {SLICE("declined"), false, {STEP_DECLINE}},
};

_Static_assert(COUNT_OF(LIVES) == SEED_LIFE_COUNT, "every life has its steps");

enum seed_life seed_life_find(struct slice name)
{
    size_t i = 0;
    while (i < COUNT_OF(LIVES) && !slice_equals(LIVES[i].name, name))
        i++;
    CHECK(i < COUNT_OF(LIVES));
    return (enum seed_life)i;
}

bool seed_life_takes_stock(enum seed_life life)
{
    return life != SEED_LIFE_CANCELLED && life != SEED_LIFE_CANCELLED_REFUNDED && life != SEED_LIFE_EXPIRED &&
           life != SEED_LIFE_DECLINED;
}

/* ---- an order on its way ---- */

struct journey {
    struct db *db;
    struct arena *arena;
    struct seed_random *random;
    const struct seed_order *seed;
    struct order order;
    struct stock_line *lines;
    size_t line_count;
    int64_t now_ms; /* of the step being taken */
};

/* Parcels leave once a day, between two and four in the afternoon after the order, in the order of placing: a
 * later order never leaves earlier, so that movements of stock, written order by order, are in the order of
 * their time. */
static int64_t pickup_ms(int64_t placed_at_ms)
{
    int64_t in_day_ms = placed_at_ms % DAY_MS;
    return placed_at_ms - in_day_ms + DAY_MS + 14 * HOUR_MS + in_day_ms / 12;
}

/* When a step is taken, of an order that is at `now_ms`. */
static int64_t time_of(const struct journey *journey, enum step step)
{
    int64_t jitter_ms = seed_random_between(journey->random, 1, 50 * MINUTE_MS);
    int64_t now_ms = journey->now_ms;
    switch (step) {
    case STEP_PAY:
    case STEP_DECLINE:
        return now_ms + 900 + jitter_ms / 2000;
    case STEP_CONFIRM:
        return now_ms + 40 * MINUTE_MS + jitter_ms;
    case STEP_DEPOSIT:
    case STEP_PROCESS:
    case STEP_STOP:
        return now_ms + 20 * MINUTE_MS + jitter_ms;
    case STEP_SHIP:
        return pickup_ms(journey->seed->placed_at_ms);
    case STEP_DELIVER:
        return now_ms + 2 * DAY_MS - 5 * HOUR_MS + jitter_ms * 24;
    case STEP_TRANSFER:
        return now_ms + 3 * DAY_MS + jitter_ms * 60;
    case STEP_REFUND:
    case STEP_REFUND_PART:
        return journey->order.status == ORDER_STATUS_CANCELLED ? now_ms + MINUTE_MS
                                                               : now_ms + 2 * DAY_MS + jitter_ms * 60;
    case STEP_CANCEL:
        return now_ms + 5 * MINUTE_MS + jitter_ms;
    case STEP_EXPIRE:
        return journey->order.hold_expires_at_ms + jitter_ms / 50;
    case STEP_END:
        break;
    }
    UNREACHABLE("the end of a life is no step");
}

/* ---- money ---- */

static struct slice amount_note(struct journey *journey, int64_t amount_minor, const char *words)
{
    return arena_format(journey->arena, "%lld %.*s%s%s", (long long)amount_minor,
                        SLICE_ARG(journey->order.currency), words != NULL ? ": " : "",
                        words != NULL ? words : "");
}

static enum db_result money_record(struct journey *journey, const char *kind, const char *status,
                                   int64_t amount_minor, struct slice provider, const char *note)
{
    struct payment payment = {
        .id = seed_uuid_v7(journey->random, journey->now_ms),
        .order_id = journey->order.id,
        .kind = kind,
        .provider = provider,
        .status = status,
        .amount_minor = amount_minor,
        .note = note != NULL ? slice_from(note) : SLICE_ABSENT,
    };
    enum db_result result = payment_key_make(journey->db, journey->arena, payment.order_id, &payment.key);
    if (result != DB_DONE)
        return result;
    if (slice_is(provider, "test") && strcmp(status, "succeeded") == 0)
        payment.reference = arena_format(journey->arena, "test_%.*s", SLICE_ARG(payment.key));
    return payment_insert(journey->db, &payment, journey->now_ms);
}

static enum db_result pay(struct journey *journey, int64_t amount_minor, struct slice provider,
                          struct actor actor, const char *note)
{
    struct order next = journey->order;
    next.paid_minor += amount_minor;
    next.payment_status =
        next.paid_minor < next.total_minor ? PAYMENT_STATUS_PARTIALLY_PAID : PAYMENT_STATUS_PAID;
    next.hold_expires_at_ms = 0;
    next.was_paid_at_checkout = slice_is(provider, "test");
    enum db_result result = money_record(journey, "payment", "succeeded", amount_minor, provider, note);
    if (result == DB_DONE)
        result = order_event_append(journey->db, next.id, "payment", SLICE_ABSENT, SLICE_ABSENT, actor,
                                    amount_note(journey, amount_minor, note), journey->now_ms);
    return result == DB_DONE
               ? order_change(journey->db, &journey->order, &next, actor, SLICE_ABSENT, journey->now_ms)
               : result;
}

static enum db_result refund(struct journey *journey, int64_t amount_minor, const char *reason)
{
    struct order next = journey->order;
    next.refunded_minor += amount_minor;
    bool is_whole = next.refunded_minor == next.paid_minor;
    next.payment_status = is_whole ? PAYMENT_STATUS_REFUNDED : PAYMENT_STATUS_PARTIALLY_REFUNDED;
    if (next.status != ORDER_STATUS_CANCELLED)
        next.status = is_whole ? ORDER_STATUS_REFUNDED : ORDER_STATUS_PARTIALLY_REFUNDED;
    enum db_result result =
        money_record(journey, "refund", "succeeded", amount_minor, next.payment_method, reason);
    if (result == DB_DONE)
        result = order_event_append(journey->db, next.id, "refund", SLICE_ABSENT, SLICE_ABSENT, STAFF,
                                    amount_note(journey, amount_minor, reason), journey->now_ms);
    return result == DB_DONE
               ? order_change(journey->db, &journey->order, &next, STAFF, slice_from(reason), journey->now_ms)
               : result;
}

/* What one piece of the first line cost, with its tax. */
static int64_t one_piece_minor(const struct journey *journey)
{
    const struct seed_line *line = &journey->seed->lines[0];
    int64_t price_minor = line->product->variants[line->variant].price_minor;
    return price_minor + price_minor * journey->order.tax_minor / journey->order.subtotal_minor;
}

/* ---- steps ---- */

/* One status after another, and nothing else. */
static enum db_result move_on(struct journey *journey, enum order_status status)
{
    struct order next = journey->order;
    next.status = status;
    next.hold_expires_at_ms = 0;
    return order_change(journey->db, &journey->order, &next, STAFF, SLICE_ABSENT, journey->now_ms);
}

DB_STATEMENT(SEED_FULFILLMENT_INSERT) = {
    .sql = "INSERT INTO fulfillments (id, order_id, carrier, tracking_number, tracking_url, shipped_at)"
           " VALUES ($1, $2, $3, $4, $5, $6)",
    .params = {DB_UUID, DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_TIME},
};

static enum db_result ship(struct journey *journey)
{
    static const char *const CARRIERS[] = {"Parcel Post", "Swift Courier", "Green Cargo"};
    const char *carrier = CARRIERS[seed_random_below(journey->random, COUNT_OF(CARRIERS))];
    struct slice tracking =
        arena_format(journey->arena, "%c%c%011llu", carrier[0], 'S',
                     (unsigned long long)seed_random_below(journey->random, 99999999999ULL));
    struct order next = journey->order;
    next.status = ORDER_STATUS_SHIPPED;
    next.fulfillment_status = FULFILLMENT_STATUS_SHIPPED;
    enum db_result result =
        order_change(journey->db, &journey->order, &next, STAFF, SLICE_ABSENT, journey->now_ms);
    const struct stock_line *short_line = NULL;
    if (result == DB_DONE)
        result = stock_ship(journey->db, journey->lines, journey->line_count, journey->order.id, STAFF.id,
                            journey->now_ms, &short_line);
    if (result != DB_DONE)
        return result;
    struct slice url = arena_format(journey->arena, "https://tracking.example.com/%.*s", SLICE_ARG(tracking));
    return db_run(journey->db, &SEED_FULFILLMENT_INSERT,
                  DB_ARGS(db_uuid(seed_uuid_v7(journey->random, journey->now_ms)), db_uuid(journey->order.id),
                          db_text(slice_from(carrier)), db_text(tracking), db_text(url),
                          db_time(journey->now_ms)));
}

DB_STATEMENT(SEED_FULFILLMENT_DELIVERED) = {
    .sql = "UPDATE fulfillments SET delivered_at = $2 WHERE order_id = $1 AND delivered_at IS NULL",
    .params = {DB_UUID, DB_TIME},
};

static enum db_result deliver(struct journey *journey)
{
    struct order next = journey->order;
    next.status = ORDER_STATUS_DELIVERED;
    next.fulfillment_status = FULFILLMENT_STATUS_DELIVERED;
    enum db_result result =
        order_change(journey->db, &journey->order, &next, STAFF, SLICE_ABSENT, journey->now_ms);
    return result == DB_DONE ? db_change(journey->db, &SEED_FULFILLMENT_DELIVERED,
                                         DB_ARGS(db_uuid(next.id), db_time(journey->now_ms)))
                             : result;
}

/* Ends before shipment; its stock can be sold again. */
static enum db_result end(struct journey *journey, enum payment_status payment_status, struct actor actor,
                          const char *reason)
{
    struct order next = journey->order;
    next.status = ORDER_STATUS_CANCELLED;
    next.fulfillment_status = FULFILLMENT_STATUS_CANCELLED;
    next.payment_status = payment_status;
    next.hold_expires_at_ms = 0;
    enum db_result result =
        order_change(journey->db, &journey->order, &next, actor, slice_from(reason), journey->now_ms);
    return result == DB_DONE ? stock_release(journey->db, journey->lines, journey->line_count) : result;
}

static enum db_result decline(struct journey *journey)
{
    enum db_result result = money_record(journey, "payment", "declined", journey->order.total_minor,
                                         journey->order.payment_method, "card_declined");
    return result == DB_DONE ? end(journey, PAYMENT_STATUS_FAILED, SYSTEM, "card_declined") : result;
}

static enum db_result take(struct journey *journey, enum step step)
{
    const struct order *order = &journey->order;
    switch (step) {
    case STEP_PAY:
        return pay(journey, order->total_minor, order->payment_method, SYSTEM, NULL);
    case STEP_DECLINE:
        return decline(journey);
    case STEP_CONFIRM:
        return move_on(journey, ORDER_STATUS_CONFIRMED);
    case STEP_DEPOSIT:
        return pay(journey, order->total_minor / 2, SLICE("manual"), STAFF, "Bank transfer, first half");
    case STEP_TRANSFER:
        return pay(journey, order->total_minor, SLICE("manual"), STAFF, "Bank transfer");
    case STEP_PROCESS:
        return move_on(journey, ORDER_STATUS_PROCESSING);
    case STEP_SHIP:
        return ship(journey);
    case STEP_DELIVER:
        return deliver(journey);
    case STEP_REFUND:
        return refund(journey, order->paid_minor,
                      order->status == ORDER_STATUS_CANCELLED ? "Order cancelled" : "Returned");
    case STEP_REFUND_PART:
        return refund(journey, one_piece_minor(journey), "One piece arrived damaged");
    case STEP_CANCEL:
        return end(journey, PAYMENT_STATUS_CANCELLED, CUSTOMER, "Ordered the wrong size");
    case STEP_STOP:
        return end(journey, order->payment_status, STAFF, "The customer changed their mind");
    case STEP_EXPIRE:
        return end(journey, PAYMENT_STATUS_CANCELLED, SYSTEM, "Not paid in time");
    case STEP_END:
        break;
    }
    UNREACHABLE("the end of a life is no step");
}

/* ---- placing ---- */

/* The contract's OrderItem list; *subtotal_minor is its sum. */
static struct slice items_json(struct journey *journey, struct slice currency, int64_t *subtotal_minor)
{
    const struct seed_order *seed = journey->seed;
    struct buf text;
    struct json_writer json;
    buf_init(&text, journey->arena);
    json_init(&json, &text);
    *subtotal_minor = 0;
    json_array_begin(&json);
    for (size_t i = 0; i < seed->line_count; i++) {
        const struct seed_line *line = &seed->lines[i];
        const struct product_variant *variant = &line->product->variants[line->variant];
        *subtotal_minor += variant->price_minor * line->quantity;
        order_item_write(&json,
                         &(struct order_item){
                             .id = seed_uuid_v7(journey->random, seed->placed_at_ms),
                             .variant_id = variant->id,
                             .product_id = line->product->id,
                             .name = line->product->name,
                             .sku = variant->sku,
                             .options = variant->options,
                             .quantity = line->quantity,
                             .price_minor = variant->price_minor,
                         },
                         currency);
    }
    json_array_end(&json);
    return buf_slice(&text);
}

static void order_fill(struct journey *journey, const struct shop_settings *settings)
{
    const struct seed_order *seed = journey->seed;
    char number[ORDER_NUMBER_LEN];
    seed_order_number(journey->random, number);
    int64_t subtotal_minor = 0;
    struct totals totals;
    struct slice items = items_json(journey, settings->currency, &subtotal_minor);
    CHECK(totals_compute(settings, true, subtotal_minor, seed->shipping_method, &totals));
    journey->order = (struct order){
        .id = seed_uuid_v7(journey->random, seed->placed_at_ms),
        .order_number = arena_copy(journey->arena, (struct slice){number, sizeof(number)}),
        .has_user = !uuid_is_nil(seed->user_id),
        .user_id = seed->user_id,
        .cart_id = seed_uuid_v4(journey->random), /* its cart was swept long ago */
        .email = seed->email,
        .status = ORDER_STATUS_PENDING,
        .payment_status = PAYMENT_STATUS_PENDING,
        .fulfillment_status = FULFILLMENT_STATUS_UNFULFILLED,
        .currency = settings->currency,
        .subtotal_minor = totals.subtotal_minor,
        .discount_minor = totals.discount_minor,
        .shipping_minor = totals.shipping_minor,
        .tax_minor = totals.tax_minor,
        .total_minor = totals.total_minor,
        .items = items,
        .shipping_address = order_address_json(journey->arena, seed->shipping_address),
        .billing_address = seed->billing_address != NULL
                               ? order_address_json(journey->arena, seed->billing_address)
                               : SLICE_ABSENT,
        .shipping_method = slice_from(shipping_method_name(seed->shipping_method)),
        .payment_method = LIVES[seed->life].pays_later ? SLICE("manual") : SLICE("test"),
        .customer_notes = seed->customer_notes,
        .hold_minutes = settings->reservation_hold_minutes,
        .hold_expires_at_ms = seed->placed_at_ms + settings->reservation_hold_minutes * MINUTE_MS,
        .version = 1,
        .created_at_ms = seed->placed_at_ms,
        .updated_at_ms = seed->placed_at_ms,
    };
}

static enum db_result place(struct journey *journey)
{
    const struct seed_order *seed = journey->seed;
    journey->lines = ARENA_ARRAY(journey->arena, struct stock_line, seed->line_count);
    for (size_t i = 0; i < seed->line_count; i++) {
        const struct seed_line *line = &seed->lines[i];
        journey->lines[i] =
            (struct stock_line){line->product->id, line->product->variants[line->variant].id, line->quantity};
    }
    journey->line_count = stock_lines_normalize(journey->lines, seed->line_count);
    const struct stock_line *short_line = NULL;
    enum db_result result = stock_reserve(journey->db, journey->lines, journey->line_count, &short_line);
    return result == DB_DONE
               ? order_insert(journey->db, &journey->order, email_fold(journey->arena, seed->email))
               : result;
}

enum db_result seed_order_write(struct db *db, struct arena *arena, const struct shop_settings *settings,
                                struct seed_random *random, const struct seed_order *seed)
{
    struct journey journey = {
        .db = db, .arena = arena, .random = random, .seed = seed, .now_ms = seed->placed_at_ms};
    order_fill(&journey, settings);
    enum db_result result = place(&journey);
    const enum step *steps = LIVES[seed->life].steps;
    for (size_t i = 0; steps[i] != STEP_END && result == DB_DONE; i++) {
        journey.now_ms = time_of(&journey, steps[i]);
        result = take(&journey, steps[i]);
    }
    return result;
}
