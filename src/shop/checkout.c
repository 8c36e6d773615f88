/* Checkout: a cart becomes an order, whole or not at all.
 *
 * Paying later happens in one transaction: read the cart at today's prices, reserve the stock, write the
 * order, end the cart. With a provider it takes two, and none is open while the provider is called: first the
 * order is placed with its payment 'started' and the cart 'converting'; then comes the charge; then its
 * answer is settled (order.h). A crash in between leaves a started payment, which a job asks about: money and
 * order always end together.
 *
 * The idempotency record of a checkout points to the order, whose row can always tell what was answered. */
#include "shop/checkout.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/metrics.h"
#include "contract/handlers.h"
#include "http/idempotency.h"
#include "shop/options.h"
#include "shop/sales.h"
#include "shop/users.h"

#define MINUTE_MS INT64_C(60000)
#define ORDER_NUMBER_TRIES 3

METRIC_DEFINE(ORDERS_TOTAL, "souk_orders_total", "Orders placed", NULL, METRIC_COUNTER);

/* Which thread may do it: without a provider nothing outside the database is called, and the write lane can
 * do all of it. Where there is none a worker does, together with others (db_transaction_batched). */
enum execution checkout_create_execution(const struct request *request)
{
    const struct checkout_create_input *input = request->input;
    return input->payment.method == PAYMENT_METHOD_MANUAL && store_has_lane(request->services->store)
               ? EXECUTION_TRANSACTION
               : EXECUTION_ORCHESTRATED;
}

bool checkout_is_charged(const struct checkout *checkout)
{
    return !checkout->provider->pays_later && checkout->totals.total_minor > 0;
}

/* ---- the cart's end ---- */

/* Only the order that a converting cart waits for may end it: an answer that comes too late is another
 * order's. */
DB_STATEMENT(CART_CONVERT) = {
    .sql = "UPDATE carts SET status = 'converted', order_id = $3, version = version + 1, updated_at = $4"
           " WHERE id = $1 AND ((status = 'active' AND version = $2)"
           " OR (status = 'converting' AND $2 = 0 AND order_id = $3))",
    .params = {DB_UUID, DB_INT, DB_UUID, DB_TIME},
};

enum db_result checkout_convert_cart(struct db *db, struct uuid cart_id, int64_t version,
                                     struct uuid order_id, int64_t now_ms)
{
    return db_change(db, &CART_CONVERT,
                     DB_ARGS(db_uuid(cart_id), db_int(version), db_uuid(order_id), db_time(now_ms)));
}

DB_STATEMENT(CART_BEGIN_CONVERTING) = {
    .sql = "UPDATE carts SET status = 'converting', order_id = $3, version = version + 1, updated_at = $4"
           " WHERE id = $1 AND status = 'active' AND version = $2",
    .params = {DB_UUID, DB_INT, DB_UUID, DB_TIME},
};

DB_STATEMENT(CART_REOPEN) = {
    .sql = "UPDATE carts SET status = 'active', order_id = NULL, version = version + 1, updated_at = $3"
           " WHERE id = $1 AND status = 'converting' AND order_id = $2",
    .params = {DB_UUID, DB_UUID, DB_TIME},
};

enum db_result checkout_reopen_cart(struct db *db, struct uuid cart_id, struct uuid order_id, int64_t now_ms)
{
    return db_change(db, &CART_REOPEN, DB_ARGS(db_uuid(cart_id), db_uuid(order_id), db_time(now_ms)));
}

DB_STATEMENT(LINE_PRICE_FREEZE) = {
    .sql = "UPDATE cart_lines SET unit_price_minor = $3 WHERE cart_id = $1 AND id = $2",
    .params = {DB_UUID, DB_UUID, DB_INT},
};

/* What is bought is shown at the price that was paid, for ever. */
static enum db_result freeze_prices(struct db *db, const struct checkout *checkout)
{
    for (size_t i = 0; i < checkout->line_count; i++) {
        const struct cart_line *line = &checkout->lines[i];
        if (line->price_minor == line->added_price_minor)
            continue;
        enum db_result result =
            db_change(db, &LINE_PRICE_FREEZE,
                      DB_ARGS(db_uuid(checkout->cart.id), db_uuid(line->id), db_int(line->price_minor)));
        if (result != DB_DONE)
            return result;
    }
    return DB_DONE;
}

/* ---- refusals ---- */

enum http_status checkout_refuse_lines(struct checkout *checkout, const struct stock_line *short_line)
{
    struct arena *arena = checkout->request->arena;
    struct field_error errors[FIELD_ERRORS_MAX];
    size_t count = 0;
    bool is_gone = false;
    for (size_t i = 0; i < checkout->line_count && count < FIELD_ERRORS_MAX; i++) {
        const struct cart_line *line = &checkout->lines[i];
        int64_t wanted = cart_wanted(checkout->lines, checkout->line_count, line->variant_id);
        bool is_short = (line->is_counted && wanted > line->available) ||
                        (short_line != NULL && uuid_equals(short_line->variant_id, line->variant_id));
        if (line->is_on_sale && !is_short)
            continue;
        is_gone = is_gone || !line->is_on_sale;
        errors[count++] = (struct field_error){
            .field = arena_format(arena, "items[%zu]", i),
            .code = line->is_on_sale ? "OUT_OF_STOCK" : "UNAVAILABLE",
            .message = line->is_on_sale
                           ? arena_format(arena, "%.*s: %lld wanted, %lld left", SLICE_ARG(line->name),
                                          (long long)wanted, (long long)line->available)
                           : arena_format(arena, "%.*s is no longer on sale", SLICE_ARG(line->name)),
        };
    }
    enum http_status status = problem(
        checkout->response, is_gone ? PROBLEM_PRODUCT_UNAVAILABLE : PROBLEM_OUT_OF_STOCK,
        is_gone ? "Some of the cart is no longer on sale" : "There is less in stock than the cart wants");
    problem_errors(checkout->response, errors, count);
    return status;
}

bool checkout_has_unbuyable_line(const struct checkout *checkout)
{
    for (size_t i = 0; i < checkout->line_count; i++) {
        const struct cart_line *line = &checkout->lines[i];
        if (!line->is_on_sale || (line->is_counted && cart_wanted(checkout->lines, checkout->line_count,
                                                                  line->variant_id) > line->available))
            return true;
    }
    return false;
}

/* ---- limits on unpaid guest orders ---- */

DB_STATEMENT(OPEN_GUEST_ORDERS) = {
    .sql = "SELECT COUNT(*) FROM open_guest_orders WHERE limit_key = $1",
    .params = {DB_TEXT},
    .columns = {DB_INT},
};

DB_STATEMENT(OPEN_GUEST_ORDER_INSERT) = {
    .sql = "INSERT INTO open_guest_orders (limit_key, order_id) VALUES ($1, $2)",
    .params = {DB_TEXT, DB_UUID},
};

/* Counts this order against one limit. DB_CONFLICT when it is reached. */
static enum db_result guest_limit_take(struct db *db, struct slice key, struct uuid order_id, int64_t limit)
{
    if (limit == 0)
        return DB_DONE;
    int64_t open = 0;
    enum db_result result = db_one_int(db, &OPEN_GUEST_ORDERS, DB_ARGS(db_text(key)), &open);
    if (result == DB_ERROR)
        return result;
    if (open >= limit)
        return DB_CONFLICT;
    return db_run(db, &OPEN_GUEST_ORDER_INSERT, DB_ARGS(db_text(key), db_uuid(order_id)));
}

bool checkout_is_limited(const struct checkout *checkout)
{
    const struct shop_settings *settings = &checkout->settings;
    bool is_unpaid_guest = !checkout->order.has_user &&
                           checkout->order.payment_status != PAYMENT_STATUS_PAID &&
                           checkout->provider->pays_later;
    return is_unpaid_guest && (settings->max_open_guest_orders_per_email != 0 ||
                               settings->max_open_guest_orders_per_address != 0);
}

static enum db_result guest_limits_take(struct db *db, struct checkout *checkout)
{
    const struct shop_settings *settings = &checkout->settings;
    struct request *request = checkout->request;
    if (!checkout_is_limited(checkout))
        return DB_DONE;
    struct slice email_key =
        arena_format(request->arena, "email:%.*s", SLICE_ARG(email_fold(request->arena, checkout->email)));
    struct slice address_key = arena_format(request->arena, "address:%.*s", SLICE_ARG(request->address));
    enum db_result result =
        guest_limit_take(db, email_key, checkout->order.id, settings->max_open_guest_orders_per_email);
    if (result == DB_DONE)
        result = guest_limit_take(db, address_key, checkout->order.id,
                                  settings->max_open_guest_orders_per_address);
    return result;
}

/* ---- writing the order ---- */

static struct slice items_json(struct arena *arena, const struct checkout *checkout)
{
    struct buf text;
    struct json_writer json;
    buf_init(&text, arena);
    json_init(&json, &text);
    json_array_begin(&json);
    for (size_t i = 0; i < checkout->line_count; i++) {
        const struct cart_line *line = &checkout->lines[i];
        order_item_write(&json,
                         &(struct order_item){
                             .id = line->id,
                             .variant_id = line->variant_id,
                             .product_id = line->product_id,
                             .name = line->name,
                             .sku = line->sku,
                             .options = options_join(arena, line->variant_options, line->wishes),
                             .quantity = line->quantity,
                             .price_minor = line->price_minor,
                         },
                         checkout->settings.currency);
    }
    json_array_end(&json);
    return buf_slice(&text);
}

void checkout_order_fill(struct checkout *checkout)
{
    const struct checkout_create_input *input = checkout->input;
    struct request *request = checkout->request;
    bool is_free =
        checkout->totals.total_minor == 0; /* then it is paid as it is placed, and nothing expires */
    int64_t hold_minutes = is_free ? 0 : checkout->settings.reservation_hold_minutes;
    checkout->order = (struct order){
        .id = uuid_v7(request->now_ms),
        .has_user = principal_is_user(&request->principal),
        .user_id = request->principal.user_id,
        .cart_id = checkout->cart.id,
        .email = checkout->email,
        .status = ORDER_STATUS_PENDING,
        .payment_status = is_free ? PAYMENT_STATUS_PAID : PAYMENT_STATUS_PENDING,
        .fulfillment_status = FULFILLMENT_STATUS_UNFULFILLED,
        .was_paid_at_checkout = is_free,
        .currency = checkout->settings.currency,
        .subtotal_minor = checkout->totals.subtotal_minor,
        .discount_minor = checkout->totals.discount_minor,
        .shipping_minor = checkout->totals.shipping_minor,
        .tax_minor = checkout->totals.tax_minor,
        .total_minor = checkout->totals.total_minor,
        .items = items_json(request->arena, checkout),
        .shipping_address = order_address_json(request->arena, &input->shipping_address),
        .billing_address = input->has_billing_address
                               ? order_address_json(request->arena, &input->billing_address)
                               : SLICE_ABSENT,
        .shipping_method = slice_from(shipping_method_name(input->shipping_method)),
        .payment_method = slice_from(checkout->provider->name),
        .customer_notes = input->customer_notes,
        .hold_minutes = hold_minutes,
        .hold_expires_at_ms = is_free ? 0 : request->now_ms + hold_minutes * MINUTE_MS,
        .version = 1,
        .created_at_ms = request->now_ms,
        .updated_at_ms = request->now_ms,
    };
}

DB_STATEMENT(ORDER_NUMBER_TAKEN) = {
    .sql = "SELECT COUNT(*) FROM orders WHERE order_number = $1",
    .params = {DB_TEXT},
    .columns = {DB_INT},
};

/* 55 random bits hardly ever meet twice; when they do, another number is drawn before anything is written. */
static enum db_result order_number_draw(struct db *db, struct arena *arena, struct slice *order_number)
{
    for (int i = 0; i < ORDER_NUMBER_TRIES; i++) {
        char text[ORDER_NUMBER_LEN];
        order_number_make(text);
        *order_number = arena_copy(arena, (struct slice){text, sizeof(text)});
        int64_t taken = 0;
        enum db_result result = db_one_int(db, &ORDER_NUMBER_TAKEN, DB_ARGS(db_text(*order_number)), &taken);
        if (result == DB_ERROR)
            return result;
        if (taken == 0)
            return DB_DONE;
    }
    return DB_CONFLICT;
}

/* ---- the first transaction ---- */

/* What an idempotency key already stands for. DB_DONE and checkout->status / is_replay say what to do. */
static enum db_result replay_find(struct db *db, struct checkout *checkout)
{
    struct request *request = checkout->request;
    if (!request->idempotency.is_present)
        return DB_DONE;
    enum idempotency_state state;
    struct idempotency_record record;
    enum db_result result = idempotency_find(request, db, &state, &record);
    if (result != DB_DONE || state == IDEMPOTENCY_NEW)
        return result;
    result = order_read(db, request->arena, record.order_id, &checkout->order);
    if (result == DB_ERROR)
        return result;
    bool is_known = result == DB_ROW;
    struct cart *cart = &checkout->cart;
    result = is_known ? cart_read(db, checkout->order.cart_id, cart) : DB_DONE;
    if (result == DB_ERROR)
        return result;
    bool was_answered = result == DB_DONE || (cart->status == CART_STATUS_CONVERTED &&
                                              uuid_equals(cart->order_id, checkout->order.id));
    if (!is_known || (checkout->order.payment_status == PAYMENT_STATUS_FAILED && !was_answered))
        return idempotency_forget(request,
                                  db); /* a declined payment is no outcome: the key may be used again */
    if (state == IDEMPOTENCY_OTHER) {
        checkout->status = problem(checkout->response, PROBLEM_IDEMPOTENCY_KEY_REUSED,
                                   "This Idempotency-Key was used for a request with another body");
        return DB_DONE;
    }
    if (result == DB_ROW && cart->status == CART_STATUS_CONVERTING) {
        checkout->status = problem(checkout->response, PROBLEM_IDEMPOTENCY_IN_PROGRESS,
                                   "The first request with this Idempotency-Key is still running");
        response_header(checkout->response, "Retry-After", SLICE("1"));
        return DB_DONE;
    }
    checkout->is_replay = true;
    return DB_DONE;
}

bool checkout_total(struct checkout *checkout)
{
    int64_t subtotal_minor = 0;
    return cart_subtotal(checkout->lines, checkout->line_count, &subtotal_minor) &&
           totals_compute(&checkout->settings, true, subtotal_minor, checkout->input->shipping_method,
                          &checkout->totals);
}

/* Reads the cart and what it costs. checkout->status is set when it cannot be bought. */
static enum db_result cart_price(struct db *db, struct checkout *checkout)
{
    struct request *request = checkout->request;
    enum db_result result = cart_read(db, checkout->input->id, &checkout->cart);
    if (result == DB_ERROR)
        return result;
    if (result == DB_DONE || !cart_is_open_to(&checkout->cart, &request->principal)) {
        checkout->status =
            problem(checkout->response, PROBLEM_CART_NOT_FOUND, "No cart of yours has this id");
        return DB_DONE;
    }
    if (checkout->cart.status != CART_STATUS_ACTIVE) {
        checkout->status = cart_refuse_inactive(checkout->response, db, &checkout->cart);
        return DB_DONE;
    }
    result = shop_settings_read(db, request->arena, &checkout->settings);
    if (result == DB_DONE)
        result =
            cart_lines_read(db, request->arena, checkout->cart.id, &checkout->lines, &checkout->line_count);
    if (result != DB_DONE)
        return result;
    if (checkout->line_count == 0)
        checkout->status = problem(checkout->response, PROBLEM_CART_EMPTY, "There is nothing in the cart");
    else if (checkout_has_unbuyable_line(checkout))
        checkout->status = checkout_refuse_lines(checkout, NULL);
    else if (!checkout_total(checkout))
        checkout->status =
            problem(checkout->response, PROBLEM_CART_LIMIT, "The cart's total is more than can be counted");
    return DB_DONE;
}

size_t checkout_stock_lines(const struct checkout *checkout, struct stock_line **lines)
{
    *lines = ARENA_ARRAY(checkout->request->arena, struct stock_line, checkout->line_count);
    for (size_t i = 0; i < checkout->line_count; i++) {
        const struct cart_line *line = &checkout->lines[i];
        (*lines)[i] = (struct stock_line){line->product_id, line->variant_id, line->quantity};
    }
    return stock_lines_normalize(*lines, checkout->line_count);
}

/* Takes the stock. checkout->status is set when somebody was faster. */
static enum db_result stock_take(struct db *db, struct checkout *checkout)
{
    struct stock_line *wanted;
    size_t count = checkout_stock_lines(checkout, &wanted);
    const struct stock_line *short_line = NULL;
    enum db_result result = stock_reserve(db, wanted, count, &short_line);
    if (result != DB_CONFLICT)
        return result;
    checkout->status = checkout_refuse_lines(checkout, short_line);
    return DB_DONE;
}

/* Everything a placed order writes, in one go. */
static enum db_result order_place(struct db *db, struct checkout *checkout)
{
    struct request *request = checkout->request;
    checkout_order_fill(checkout);
    enum db_result result = guest_limits_take(db, checkout);
    if (result == DB_CONFLICT) {
        checkout->status = problem(checkout->response, PROBLEM_OPEN_ORDER_LIMIT,
                                   "There are too many open unpaid orders; pay or cancel one first");
        return DB_DONE;
    }
    if (result == DB_DONE)
        result = order_number_draw(db, request->arena, &checkout->order.order_number);
    if (result == DB_DONE)
        result = order_insert(db, &checkout->order, email_fold(request->arena, checkout->email));
    if (result == DB_DONE)
        result = freeze_prices(db, checkout);
    if (result != DB_DONE)
        return result;
    const struct cart *cart = &checkout->cart;
    if (!checkout_is_charged(checkout)) {
        result = checkout_convert_cart(db, cart->id, cart->version, checkout->order.id, request->now_ms);
        if (result == DB_DONE)
            result = order_message(db, request->arena, "order.placed", checkout->order.id, request->now_ms);
    } else {
        result = db_change(db, &CART_BEGIN_CONVERTING,
                           DB_ARGS(db_uuid(cart->id), db_int(cart->version), db_uuid(checkout->order.id),
                                   db_time(request->now_ms)));
        if (result == DB_DONE)
            result = payment_start(db, request->arena, &checkout->order, checkout->provider->name,
                                   checkout->order.total_minor, clock_now_ms(), &checkout->payment_id,
                                   &checkout->payment_key);
    }
    if (result == DB_DONE && request->idempotency.is_present)
        result = idempotency_store(
            request, db,
            &(struct idempotency_record){.status = HTTP_STATUS_CREATED, .order_id = checkout->order.id});
    return result;
}

/* Every transaction that wants a cart and stock locks the cart first, as checkout_open does: else two of them
 * wait for each other. */
DB_STATEMENT(CART_LOCK) = {
    .sql_postgres = "SELECT 1 FROM carts WHERE id = $1 FOR UPDATE",
    .params = {DB_UUID},
    .columns = {DB_INT},
};

enum db_result checkout_lock_cart(struct db *db, struct uuid cart_id)
{
    int64_t one;
    if (db_engine_of(db) != DB_POSTGRES)
        return DB_DONE; /* one writes at a time */
    return db_one_int(db, &CART_LOCK, DB_ARGS(db_uuid(cart_id)), &one) == DB_ERROR ? DB_ERROR : DB_DONE;
}

/* A closure: places the order alone, or leaves in checkout->status why not. */
static enum db_result checkout_place(struct db *db, void *arg)
{
    struct checkout *checkout = arg;
    const struct request *request = checkout->request;
    response_init(checkout->response, request->arena, request->operation->is_bare); /* it may run again */
    checkout->status = (enum http_status)0;
    checkout->is_replay = false;
    enum db_result result = checkout_lock_cart(db, checkout->input->id);
    if (result == DB_DONE)
        result = replay_find(db, checkout);
    if (result == DB_DONE && checkout->status == 0 && !checkout->is_replay)
        result = cart_price(db, checkout);
    if (result == DB_DONE && checkout->status == 0 && !checkout->is_replay)
        result = stock_take(db, checkout);
    if (result == DB_DONE && checkout->status == 0 && !checkout->is_replay)
        result = order_place(db, checkout);
    if (result == DB_DONE && checkout->status != 0)
        return DB_CONFLICT; /* refused: nothing of it stays */
    return result;
}

/* ---- the answer ---- */

/* A sale refreshes what the cache shows of its products: at once when one is sold out, which moves it between
 * lists too, else within a second. */
static void refresh_products(struct checkout *checkout)
{
    bool is_any_sold_out = false;
    for (size_t i = 0; i < checkout->line_count; i++) {
        const struct cart_line *line = &checkout->lines[i];
        int64_t wanted = cart_wanted(checkout->lines, checkout->line_count, line->variant_id);
        bool is_sold_out = line->is_tracked && wanted >= line->available;
        is_any_sold_out = is_any_sold_out || is_sold_out;
        if (is_sold_out)
            response_drop_id(checkout->response, "product", line->product_id);
        else
            response_fade_id(checkout->response, "product", line->product_id);
    }
    if (is_any_sold_out)
        response_drop(checkout->response, "products");
}

static enum http_status order_answer(struct checkout *checkout)
{
    struct response *response = checkout->response;
    const struct order *order = &checkout->order;
    if (checkout->is_replay) {
        response_header(response, "Idempotent-Replayed", SLICE("true"));
        /* Whoever placed it may have got no answer, and told no cache. More than a sale does it must not do:
         * who repeats one all the time would empty the lists' cache for everybody. */
        order_fade_products(response, order);
    } else {
        response_count(response, &ORDERS_TOTAL, 1);
        response_count(response, sales_value(order->currency), order->total_minor);
        refresh_products(checkout);
    }
    response_location(response, "/orders/", order->id);
    order_write_as_placed(&response->json, order);
    return HTTP_STATUS_CREATED;
}

/* ---- the second transaction, after the provider has spoken ---- */

struct settlement {
    struct checkout *checkout;
    struct payment_answer answer;
};

/* No answer in time: the order stands, unpaid, and a job asks the provider before anything lets its stock go.
 */
static enum db_result stand_unpaid(struct db *db, struct checkout *checkout)
{
    struct request *request = checkout->request;
    enum db_result result =
        checkout_convert_cart(db, checkout->cart.id, 0, checkout->order.id, clock_now_ms());
    if (result == DB_DONE)
        result = order_message(db, request->arena, "order.placed", checkout->order.id, request->now_ms);
    return result;
}

static enum db_result checkout_settle(struct db *db, void *arg)
{
    struct settlement *settlement = arg;
    struct checkout *checkout = settlement->checkout;
    if (settlement->answer.outcome == PAYMENT_UNKNOWN)
        return stand_unpaid(db, checkout);
    return payment_settle(db, checkout->request->arena, checkout->payment_id, &settlement->answer,
                          clock_now_ms());
}

/* What was reserved can be bought again, and the cache may have shown it as sold meanwhile. */
static enum http_status refuse_declined(struct checkout *checkout, const struct payment_answer *answer)
{
    enum http_status status = answer->outcome == PAYMENT_APPROVED
                                  ? problem(checkout->response, PROBLEM_PAYMENT_DECLINED,
                                            "The provider answered too late; what was charged is given back")
                                  : problem(checkout->response, PROBLEM_PAYMENT_DECLINED,
                                            "The provider declined the payment (%s); nothing was charged",
                                            answer->reason ? answer->reason : "declined");
    for (size_t i = 0; i < checkout->line_count; i++)
        response_drop_id(checkout->response, "product", checkout->lines[i].product_id);
    response_drop(checkout->response, "products");
    return status;
}

static enum http_status checkout_pay(struct checkout *checkout)
{
    struct request *request = checkout->request;
    struct response *response = checkout->response;
    struct settlement settlement = {.checkout = checkout};
    struct payment_request charge = {
        .key = checkout->payment_key,
        .amount_minor = checkout->order.total_minor,
        .currency = checkout->order.currency,
        .card_number = checkout->card_number,
    };
    checkout->provider->charge(request->services->config, request->arena, &charge, &settlement.answer);
    db_set_deadline(request->db, 0); /* money has moved: it is written down however late it is */
    enum db_result result = db_transaction(request->db, checkout_settle, &settlement);
    /* A conflict: the job that asks about started payments was faster. What it found stands in the order. */
    if (result == DB_ERROR)
        return problem_database(response, result);
    result = order_read(request->db, request->arena, checkout->order.id, &checkout->order);
    if (result != DB_ROW)
        return problem_database(response, DB_ERROR);
    if (checkout->order.payment_status == PAYMENT_STATUS_FAILED)
        return refuse_declined(checkout, &settlement.answer);
    return order_answer(checkout);
}

/* ---- POST /checkout/{id} ---- */

/* The digits of a card number; absent when it is none. */
static struct slice card_digits(struct arena *arena, struct slice typed)
{
    char *digits = arena_alloc(arena, typed.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < typed.len; i++) {
        if (typed.ptr[i] >= '0' && typed.ptr[i] <= '9')
            digits[len++] = typed.ptr[i];
        else if (typed.ptr[i] != ' ' && typed.ptr[i] != '-')
            return SLICE_ABSENT;
    }
    return len >= 12 && len <= 19 ? (struct slice){digits, len} : SLICE_ABSENT;
}

/* Where the confirmation goes: as given, else the account's. Absent for a guest who gave none. */
static enum db_result email_find(struct request *request, const struct checkout_create_input *input,
                                 struct slice *email)
{
    *email = input->email;
    if (input->has_email || !principal_is_user(&request->principal))
        return DB_DONE;
    struct user_email of_user;
    enum db_result result =
        user_email_read(request->db, request->arena, request->principal.user_id, &of_user);
    if (result == DB_ROW)
        *email = of_user.typed;
    return result == DB_ERROR ? DB_ERROR : DB_DONE;
}

/* What the validation by the contract cannot know. 0, or the refusal. */
static enum http_status checkout_check(struct checkout *checkout)
{
    struct request *request = checkout->request;
    const struct checkout_create_input *input = checkout->input;
    checkout->provider = payment_provider_find(request->services->config,
                                               slice_from(payment_method_name(input->payment.method)));
    if (checkout->provider == NULL)
        return problem_field(checkout->response, "payment.method", "UNAVAILABLE",
                             "this shop does not take it");
    if (checkout->provider->pays_later && input->payment.has_card_number)
        return problem_field(checkout->response, "payment.cardNumber", "NOT_ALLOWED",
                             "goes with the method test only");
    if (!checkout->provider->pays_later) {
        if (!input->payment.has_card_number)
            return problem_field(checkout->response, "payment.cardNumber", "REQUIRED",
                                 "is required with this method");
        checkout->card_number = card_digits(request->arena, input->payment.card_number);
        if (slice_is_absent(checkout->card_number))
            return problem_field(checkout->response, "payment.cardNumber", "FORMAT",
                                 "must be 12 to 19 digits");
    }
    enum db_result result = email_find(request, input, &checkout->email);
    if (result != DB_DONE)
        return problem_database(checkout->response, result);
    if (slice_is_absent(checkout->email))
        return problem_field(checkout->response, "email", "REQUIRED", "is required without an account");
    return (enum http_status)0;
}

static const struct db_batch PLACING = {.together = checkout_place_together, .alone = checkout_place};

/* Neither the same cart nor the same Idempotency-Key is ever twice in one batch. */
static enum db_result place_with_others(struct checkout *checkout)
{
    const struct request *request = checkout->request;
    const struct slice cart = {(const char *)checkout->input->id.bytes, sizeof(checkout->input->id.bytes)};
    const struct slice scope = {(const char *)request->idempotency.scope, sizeof(request->idempotency.scope)};
    const uint64_t keys[DB_BATCH_KEYS] = {hash64(cart) | 1,
                                          request->idempotency.is_present ? hash64(scope) | 1 : 0};
    return db_transaction_batched(request->db, &PLACING, keys, checkout);
}

enum http_status checkout_create(struct request *request, struct response *response)
{
    struct checkout *checkout = ARENA_NEW(request->arena, struct checkout);
    checkout->request = request;
    checkout->response = response;
    checkout->input = request->input;
    enum http_status refusal = checkout_check(checkout);
    if (refusal != 0)
        return refusal;
    enum db_result result = place_with_others(checkout);
    if (checkout->status != 0 && result != DB_ERROR)
        return checkout->status;
    if (result == DB_ERROR)
        refresh_products(checkout); /* it may have happened after all */
    if (result != DB_DONE)
        return problem_database(response, result);
    if (checkout->is_replay || !checkout_is_charged(checkout))
        return order_answer(checkout);
    return checkout_pay(checkout);
}
