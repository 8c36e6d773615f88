/* The endpoints under /orders: finding orders, and their life after they were placed. */
#include "base/clock.h"
#include "base/limits.h"
#include "contract/handlers.h"
#include "http/audit.h"
#include "http/idempotency.h"
#include "http/page.h"
#include "shop/order.h"
#include "shop/users.h"

/* ---- who may see what ---- */

static struct actor actor_of(const struct request *request)
{
    return (struct actor){.kind = principal_is_staff(&request->principal) ? "staff" : "customer",
                          .id = principal_actor_id(&request->principal)};
}

static bool may_see(const struct request *request, const struct order *order)
{
    if (principal_has(&request->principal, SCOPE_ORDERS_READ))
        return true;
    return order->has_user && principal_is_user(&request->principal) &&
           uuid_equals(order->user_id, request->principal.user_id);
}

static enum http_status not_found(struct response *response)
{
    return problem(response, PROBLEM_ORDER_NOT_FOUND, "No order of yours has this id or number");
}

/* The whole order as the answer. */
static enum http_status order_answer(struct request *request, struct response *response,
                                     const struct order *order, enum http_status status)
{
    request->idempotency.subject = order->user_id; /* nil: a guest's */
    enum db_result result = order_write(
        &response->json, request->db, order,
        principal_has(&request->principal, SCOPE_ORDERS_READ) ? ORDER_VIEW_STAFF : ORDER_VIEW_CUSTOMER);
    if (result != DB_DONE)
        return problem_database(response, result);
    response_version(response, order->version);
    return status;
}

/* ---- GET /orders ---- */

static const enum db_type ORDER_LIST_COLUMNS[] = {ORDER_COLUMN_TYPES, DB_END};

/* What people type of an order number, as numbers are stored: "sk 7f3k" and "7F3K" become "SK-7F3K". */
static struct slice number_prefix(struct arena *arena, struct slice typed)
{
    struct buf prefix;
    buf_init(&prefix, arena);
    for (size_t i = 0; i < typed.len; i++) {
        char c = typed.ptr[i];
        if (c == ' ' || c == '-')
            continue;
        buf_append_char(&prefix, c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c);
    }
    struct slice rest = buf_slice(&prefix);
    if (slice_starts_with(rest, SLICE("SK")))
        rest = slice_skip(rest, 2);
    return arena_format(arena, "SK-%.*s", SLICE_ARG(rest));
}

/* The filters, and whose orders: bound values in fixed fragments. */
static void list_filter(struct db_built *built, const struct request *request,
                        const struct orders_list_input *input)
{
    db_built_add(built, SQL(" FROM orders WHERE 1 = 1"), DB_NO_ARGS);
    if (!principal_has(&request->principal, SCOPE_ORDERS_READ))
        db_built_add(built, SQL(" AND user_id = $? AND user_id IS NOT NULL"),
                     DB_ARGS(db_uuid(request->principal.user_id)));
    if (input->has_user_id)
        db_built_add(built, SQL(" AND user_id = $? AND user_id IS NOT NULL"),
                     DB_ARGS(db_uuid(input->user_id)));
    if (input->has_status)
        db_built_add(built, SQL(" AND status = $?"),
                     DB_ARGS(db_text(slice_from(order_status_name(input->status)))));
    if (input->has_payment_status)
        db_built_add(built, SQL(" AND payment_status = $?"),
                     DB_ARGS(db_text(slice_from(payment_status_name(input->payment_status)))));
    if (input->has_fulfillment_status)
        db_built_add(built, SQL(" AND fulfillment_status = $?"),
                     DB_ARGS(db_text(slice_from(fulfillment_status_name(input->fulfillment_status)))));
    if (input->has_email)
        db_built_add(built, SQL(" AND email_folded = $?"),
                     DB_ARGS(db_text(email_fold(request->arena, input->email))));
    if (input->has_created_at_gte_ms)
        db_built_add(built, SQL(" AND created_at >= $?"), DB_ARGS(db_time(input->created_at_gte_ms)));
    if (input->has_created_at_lte_ms)
        db_built_add(built, SQL(" AND created_at <= $?"), DB_ARGS(db_time(input->created_at_lte_ms)));
    if (input->has_q) {
        struct slice from = number_prefix(request->arena, input->q);
        db_built_add(built, SQL(" AND order_number >= $? AND order_number < $?"),
                     DB_ARGS(db_text(from), db_text(arena_format(request->arena, "%.*s~", SLICE_ARG(from)))));
    }
}

/* Everything that shapes the list, so that a cursor fits no other. */
static void list_scope(struct cursor_scope *scope, const struct request *request,
                       const struct orders_list_input *input)
{
    struct slice me = {(const char *)request->principal.user_id.bytes,
                       sizeof(request->principal.user_id.bytes)};
    struct slice of = {(const char *)input->user_id.bytes, sizeof(input->user_id.bytes)};
    cursor_scope_init(scope, request->operation);
    cursor_scope_add(scope, principal_has(&request->principal, SCOPE_ORDERS_READ) ? SLICE_ABSENT : me);
    cursor_scope_add(scope, input->has_user_id ? of : SLICE_ABSENT);
    cursor_scope_add_int(scope, input->has_status ? (int64_t)input->status : -1);
    cursor_scope_add_int(scope, input->has_payment_status ? (int64_t)input->payment_status : -1);
    cursor_scope_add_int(scope, input->has_fulfillment_status ? (int64_t)input->fulfillment_status : -1);
    cursor_scope_add(scope, input->email);
    cursor_scope_add_int(scope, input->has_created_at_gte_ms ? input->created_at_gte_ms : INT64_MIN);
    cursor_scope_add_int(scope, input->has_created_at_lte_ms ? input->created_at_lte_ms : INT64_MIN);
    cursor_scope_add(scope, input->q);
    cursor_scope_add_int(scope, (int64_t)input->sort);
}

static enum db_result list_total(struct request *request, struct response *response,
                                 const struct orders_list_input *input)
{
    static const enum db_type COUNT_COLUMNS[] = {DB_INT, DB_END};
    struct db_built *built = ARENA_NEW(request->arena, struct db_built);
    db_built_init(built, COUNT_COLUMNS);
    db_built_add(built, SQL("SELECT COUNT(*) FROM (SELECT 1 AS one"), DB_NO_ARGS);
    list_filter(built, request, input);
    db_built_add(built, SQL(" LIMIT $?) AS counted"), DB_ARGS(db_int(PAGE_TOTAL_MAX + 1)));
    struct db_rows *rows = db_query_built(request->db, built);
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return DB_ERROR;
    response_page_total(response, db_get_int(rows, 0));
    db_close(rows);
    return DB_DONE;
}

/* The orders of one page, and one more that only says that there is more. */
static void list_query(struct db_built *built, const struct request *request,
                       const struct orders_list_input *input, const struct db_value *after)
{
    bool is_rising = input->sort == ORDERS_LIST_SORT_CREATED_AT;
    db_built_init(built, ORDER_LIST_COLUMNS);
    db_built_add(built, SQL("SELECT " ORDER_COLUMNS), DB_NO_ARGS);
    list_filter(built, request, input);
    if (after != NULL && is_rising)
        db_built_add(built, SQL(" AND id > $?"), DB_ARGS(*after));
    else if (after != NULL)
        db_built_add(built, SQL(" AND id < $?"), DB_ARGS(*after));
    /* An id is time-ordered (UUIDv7): it is the sort key and its own tie-break. */
    if (is_rising)
        db_built_add(built, SQL(" ORDER BY id ASC"), DB_NO_ARGS);
    else
        db_built_add(built, SQL(" ORDER BY id DESC"), DB_NO_ARGS);
    db_built_add(built, SQL(" LIMIT $?"), DB_ARGS(db_int(input->limit + 1)));
    if (input->has_offset)
        db_built_add(built, SQL(" OFFSET $?"), DB_ARGS(db_int(input->offset)));
}

/* Writes each order as it is read, so that a page of large ones is never held twice. */
static enum db_result list_write(struct request *request, struct response *response, struct db_rows *rows,
                                 int64_t limit, struct uuid *last_id, bool *has_more)
{
    int64_t count = 0;
    enum db_result result;
    *has_more = false;
    while ((result = db_next(rows)) == DB_ROW) {
        struct order order;
        *has_more = count == limit;
        if (*has_more) {
            db_close(rows);
            return DB_DONE;
        }
        order_take(rows, NULL, &order);
        *last_id = order.id;
        count++;
        if (order_write(&response->json, request->db, &order, ORDER_VIEW_LIST) != DB_DONE) {
            db_close(rows);
            return DB_ERROR;
        }
    }
    return result;
}

enum http_status orders_list(struct request *request, struct response *response)
{
    const struct orders_list_input *input = request->input;
    struct cursor_scope scope;
    list_scope(&scope, request, input);
    struct db_value after;
    const enum db_type cursor_types[] = {DB_UUID};
    if (input->has_cursor && !cursor_open(request, &scope, input->cursor, cursor_types, 1, &after))
        return problem_field(response, "cursor", "INVALID", "must be the nextCursor of this very list");
    struct db_built *built = ARENA_NEW(request->arena, struct db_built);
    list_query(built, request, input, input->has_cursor ? &after : NULL);
    struct uuid last_id = {{0}};
    bool has_more = false;
    json_array_begin(&response->json);
    enum db_result result =
        list_write(request, response, db_query_built(request->db, built), input->limit, &last_id, &has_more);
    if (result == DB_DONE && input->total)
        result = list_total(request, response, input);
    if (result != DB_DONE)
        return problem_database(response, result);
    json_array_end(&response->json);
    struct slice next = SLICE_ABSENT;
    if (has_more)
        next = cursor_make(request, &scope, &(struct db_value){.type = DB_UUID, .uuid = last_id}, 1);
    response_page(response, input->limit, next);
    return HTTP_STATUS_OK;
}

/* ---- GET /orders/{id}, POST /orders/lookup ---- */

enum http_status order_get(struct request *request, struct response *response)
{
    const struct order_get_input *input = request->input;
    struct order order;
    struct uuid id;
    char number[ORDER_NUMBER_LEN];
    enum db_result result = DB_DONE;
    if (uuid_parse(input->id, &id))
        result = order_read(request->db, request->arena, id, &order);
    else if (order_number_parse(input->id, number))
        result =
            order_read_by_number(request->db, request->arena, (struct slice){number, sizeof(number)}, &order);
    if (result == DB_ERROR)
        return problem_database(response, result);
    if (result == DB_DONE || !may_see(request, &order))
        return not_found(response);
    return order_answer(request, response, &order, HTTP_STATUS_OK);
}

/* Every miss takes one look-up and one comparison of digests, whatever was wrong. */
enum http_status order_lookup(struct request *request, struct response *response)
{
    const struct order_lookup_input *input = request->input;
    char number[ORDER_NUMBER_LEN];
    struct order order = {.email = SLICE("")};
    if (!order_number_parse(input->order_number, number))
        memset(number, '?', sizeof(number)); /* what is no number is looked up as one that nobody has */
    enum db_result result =
        order_read_by_number(request->db, request->arena, (struct slice){number, sizeof(number)}, &order);
    if (result == DB_ERROR)
        return problem_database(response, result);
    uint8_t given[SHA256_LEN];
    uint8_t known[SHA256_LEN];
    sha256(email_fold(request->arena, input->email), given);
    sha256(email_fold(request->arena, order.email), known);
    bool is_same = bytes_equal_constant_time((struct slice){(const char *)given, SHA256_LEN},
                                             (struct slice){(const char *)known, SHA256_LEN});
    if (result == DB_DONE || !is_same || order.has_user) /* an account's orders are its own to show */
        return problem(response, PROBLEM_ORDER_NOT_FOUND,
                       "No guest's order has this number and e-mail address");
    return order_answer(request, response, &order, HTTP_STATUS_OK);
}

/* ---- staff's steps ---- */

/* Reads the order of a staff operation; 0, or the refusal. */
static enum http_status order_for_change(struct request *request, struct response *response, struct db *db,
                                         struct uuid id, struct order *order)
{
    enum db_result result = order_read(db, request->arena, id, order);
    if (result == DB_ERROR)
        return problem_database(response, result);
    if (result == DB_DONE || !may_see(request, order))
        return not_found(response);
    return (enum http_status)0;
}

/* What the audit log keeps of an order: nothing that is its customer's. */
static struct slice order_state(struct arena *arena, const struct order *order)
{
    struct audit_state state;
    struct json_writer *json = &state.json;
    audit_state_begin(&state, arena);
    json_object_begin(json);
    json_field_string(json, "orderNumber", order->order_number);
    json_field_string(json, "orderStatus", slice_from(order_status_name(order->status)));
    json_field_string(json, "paymentStatus", slice_from(payment_status_name(order->payment_status)));
    json_field_string(json, "fulfillmentStatus",
                      slice_from(fulfillment_status_name(order->fulfillment_status)));
    json_field_money(json, "paid", order->paid_minor, order->currency);
    json_field_money(json, "refunded", order->refunded_minor, order->currency);
    json_object_end(json);
    return audit_state_end(&state);
}

/* Writes the entry of a change of `before` to what the order is now, and answers it. */
static enum http_status order_answer_audited(struct request *request, struct response *response,
                                             struct slice before, const struct order *order,
                                             enum http_status status)
{
    enum db_result result =
        audit_record_id(request, request->db, "order", order->id, before, order_state(request->arena, order));
    return result == DB_DONE ? order_answer(request, response, order, status)
                             : problem_database(response, result);
}

static enum http_status refuse_transition(struct response *response, const struct order *order)
{
    return problem(response, PROBLEM_INVALID_TRANSITION,
                   "An order that is %s (payment %s, fulfilment %s) does not allow this",
                   order_status_name(order->status), payment_status_name(order->payment_status),
                   fulfillment_status_name(order->fulfillment_status));
}

/* A provider that was asked for the money may still say no: the shop waits for its answer. 0, or the refusal.
 */
static enum http_status refuse_while_charging(struct request *request, struct response *response,
                                              const struct order *order)
{
    bool is_waiting = false;
    enum db_result result = payment_is_waiting(request->db, order->id, "payment", &is_waiting);
    if (result != DB_DONE)
        return problem_database(response, result);
    if (!is_waiting)
        return (enum http_status)0;
    return problem(response, PROBLEM_INVALID_TRANSITION,
                   "The payment provider has not answered yet; try again later");
}

/* One step of the status without anything else to it. */
static enum http_status order_step(struct request *request, struct response *response, struct uuid id,
                                   enum order_status to, struct slice note)
{
    struct order order;
    enum http_status refusal = order_for_change(request, response, request->db, id, &order);
    if (refusal != 0)
        return refusal;
    refusal = refuse_while_charging(request, response, &order);
    if (refusal != 0)
        return refusal;
    struct slice before = order_state(request->arena, &order);
    struct order next = order;
    next.status = to;
    next.hold_expires_at_ms = 0; /* the shop has taken it on: it no longer expires */
    enum db_result result =
        order_status_allows(order.status, to)
            ? order_change(request->db, &order, &next, actor_of(request), note, request->now_ms)
            : DB_CONFLICT;
    if (result == DB_CONFLICT)
        return refuse_transition(response, &order);
    if (result != DB_DONE)
        return problem_database(response, result);
    return order_answer_audited(request, response, before, &order, HTTP_STATUS_OK);
}

enum http_status order_confirm(struct request *request, struct response *response)
{
    const struct order_confirm_input *input = request->input;
    return order_step(request, response, input->id, ORDER_STATUS_CONFIRMED, input->note);
}

enum http_status order_process(struct request *request, struct response *response)
{
    const struct order_process_input *input = request->input;
    return order_step(request, response, input->id, ORDER_STATUS_PROCESSING, input->note);
}

DB_STATEMENT(FULFILLMENT_INSERT) = {
    .sql = "INSERT INTO fulfillments (id, order_id, carrier, tracking_number, tracking_url, shipped_at)"
           " VALUES ($1, $2, $3, $4, $5, $6)",
    .params = {DB_UUID, DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_TIME},
};

/* The parcel leaves: what was reserved goes out of the house. 0, or the refusal. */
static enum http_status parcel_send(struct request *request, struct response *response,
                                    const struct order_ship_input *input, const struct order *order)
{
    struct stock_line *lines = NULL;
    const struct stock_line *short_line = NULL;
    size_t count = order_stock_lines(request->arena, order, &lines);
    enum db_result result = stock_ship(request->db, lines, count, order->id,
                                       principal_actor_id(&request->principal), request->now_ms, &short_line);
    if (result == DB_CONFLICT)
        return problem(response, PROBLEM_INSUFFICIENT_STOCK, "A back-ordered line is not in the house yet");
    if (result == DB_DONE)
        result = db_run(request->db, &FULFILLMENT_INSERT,
                        DB_ARGS(db_uuid(uuid_v7(request->now_ms)), db_uuid(order->id),
                                db_text(input->carrier), db_text(input->tracking_number),
                                db_text(input->tracking_url), db_time(request->now_ms)));
    if (result == DB_DONE)
        result = order_message(request->db, request->arena, "order.shipped", order->id, request->now_ms);
    return result == DB_DONE ? (enum http_status)0 : problem_database(response, result);
}

enum http_status order_ship(struct request *request, struct response *response)
{
    const struct order_ship_input *input = request->input;
    struct order order;
    enum http_status refusal = order_for_change(request, response, request->db, input->id, &order);
    if (refusal != 0)
        return refusal;
    refusal = refuse_while_charging(request, response, &order);
    if (refusal != 0)
        return refusal;
    struct slice before = order_state(request->arena, &order);
    struct order next = order;
    next.status = ORDER_STATUS_SHIPPED;
    next.fulfillment_status = FULFILLMENT_STATUS_SHIPPED;
    next.hold_expires_at_ms = 0;
    enum db_result result =
        order_status_allows(order.status, next.status)
            ? order_change(request->db, &order, &next, actor_of(request), SLICE_ABSENT, request->now_ms)
            : DB_CONFLICT;
    if (result == DB_CONFLICT)
        return refuse_transition(response, &order);
    if (result != DB_DONE)
        return problem_database(response, result);
    refusal = parcel_send(request, response, input, &order);
    if (refusal != 0)
        return refusal;
    order_drop_products(response, &order);
    return order_answer_audited(request, response, before, &order, HTTP_STATUS_OK);
}

DB_STATEMENT(FULFILLMENT_DELIVERED) = {
    .sql = "UPDATE fulfillments SET delivered_at = $2 WHERE order_id = $1 AND delivered_at IS NULL",
    .params = {DB_UUID, DB_TIME},
};

enum http_status order_deliver(struct request *request, struct response *response)
{
    const struct order_deliver_input *input = request->input;
    struct order order;
    enum http_status refusal = order_for_change(request, response, request->db, input->id, &order);
    if (refusal != 0)
        return refusal;
    struct slice before = order_state(request->arena, &order);
    struct order next = order;
    next.fulfillment_status = FULFILLMENT_STATUS_DELIVERED;
    if (order.status == ORDER_STATUS_SHIPPED)
        next.status = ORDER_STATUS_DELIVERED; /* one partly refunded on its way stays so */
    enum db_result result =
        fulfillment_status_allows(order.fulfillment_status, next.fulfillment_status)
            ? order_change(request->db, &order, &next, actor_of(request), input->note, request->now_ms)
            : DB_CONFLICT;
    if (result == DB_CONFLICT)
        return refuse_transition(response, &order);
    if (result == DB_DONE)
        result = db_change(request->db, &FULFILLMENT_DELIVERED,
                           DB_ARGS(db_uuid(order.id), db_time(request->now_ms)));
    if (result == DB_DONE)
        result = order_message(request->db, request->arena, "order.delivered", order.id, request->now_ms);
    if (result != DB_DONE)
        return problem_database(response, result);
    return order_answer_audited(request, response, before, &order, HTTP_STATUS_OK);
}

/* ---- POST /orders/{id}/payments ---- */

/* What keeps a payment from being recorded; 0 when nothing does. */
static enum http_status refuse_payment(struct request *request, struct response *response,
                                       const struct order *order, const struct money *amount)
{
    if (!slice_equals(amount->currency, order->currency))
        return problem_field(response, "amount.currency", "CURRENCY", "must be the order's, %.*s",
                             SLICE_ARG(order->currency));
    if (amount->amount_minor < 1)
        return problem_field(response, "amount.amount", "MIN", "must be at least 1");
    bool is_waiting = false;
    enum db_result result = payment_is_waiting(request->db, order->id, NULL, &is_waiting);
    if (result != DB_DONE)
        return problem_database(response, result);
    bool is_payable = order->payment_status == PAYMENT_STATUS_PENDING ||
                      order->payment_status == PAYMENT_STATUS_PARTIALLY_PAID;
    bool is_overpaid = amount->amount_minor > order->total_minor - order->paid_minor;
    if (order->payment_status == PAYMENT_STATUS_PAID || (is_payable && is_overpaid))
        return problem(response, PROBLEM_PAYMENT_EXCEEDS_TOTAL, "Only %lld %.*s are still due",
                       (long long)(order->total_minor - order->paid_minor), SLICE_ARG(order->currency));
    if (is_waiting || !is_payable || order->status == ORDER_STATUS_CANCELLED)
        return refuse_transition(response, order);
    return (enum http_status)0;
}

/* What the history says of it: reference and note, whichever there are. */
static struct slice payment_words(struct arena *arena, const struct order_payment_record_input *input)
{
    if (slice_is_absent(input->note) || slice_is_absent(input->reference))
        return slice_is_absent(input->note) ? input->reference : input->note;
    return arena_format(arena, "%.*s, %.*s", SLICE_ARG(input->reference), SLICE_ARG(input->note));
}

enum http_status order_payment_record(struct request *request, struct response *response)
{
    const struct order_payment_record_input *input = request->input;
    struct order order;
    enum http_status refusal = order_for_change(request, response, request->db, input->id, &order);
    if (refusal == 0)
        refusal = refuse_payment(request, response, &order, &input->amount);
    if (refusal != 0)
        return refusal;
    struct slice before = order_state(request->arena, &order);
    struct payment payment = {
        .id = uuid_v7(request->now_ms),
        .order_id = order.id,
        .kind = "payment",
        .provider = SLICE("manual"),
        .status = "succeeded",
        .amount_minor = input->amount.amount_minor,
        .reference = input->reference,
        .note = input->note,
        .actor_id = principal_actor_id(&request->principal),
    };
    enum db_result result = payment_key_make(request->db, request->arena, order.id, &payment.key);
    if (result == DB_DONE)
        result = payment_insert(request->db, &payment, request->now_ms);
    if (result == DB_DONE)
        result = payment_credit(request->db, request->arena, &order, payment.amount_minor, actor_of(request),
                                payment_words(request->arena, input), request->now_ms);
    if (result != DB_DONE)
        return problem_database(response, result);
    response_location(response, "/orders/", order.id);
    return order_answer_audited(request, response, before, &order, HTTP_STATUS_CREATED);
}

/* ---- giving money back: POST /orders/{id}/refunds and /cancel ---- */

/* Two transactions with the provider between them, as at checkout. */
struct reversal {
    struct request *request;
    struct response *response;
    struct uuid order_id;
    int64_t amount_minor;  /* 0: all that is left */
    struct slice currency; /* absent: any */
    struct slice reason;
    struct order order;
    struct refund refund;
    struct payment_answer answer;
    enum http_status status; /* of a refusal */
    bool is_replay;
    struct slice replay; /* what was answered; absent when that is not known, after a crash */
};

/* What the Idempotency-Key already stands for. The record is written with the first transaction, so that a
 * repeat after a crash never moves money twice; the bytes of the answer are added to it at the end. */
static enum db_result reversal_find(struct db *db, struct reversal *reversal)
{
    struct request *request = reversal->request;
    response_init(reversal->response, request->arena, request->operation->is_bare); /* it may run again */
    reversal->refund = (struct refund){0};
    reversal->status = (enum http_status)0;
    reversal->is_replay = false;
    if (!request->idempotency.is_present)
        return DB_DONE;
    enum idempotency_state state;
    struct idempotency_record record;
    enum db_result result = idempotency_find(request, db, &state, &record);
    if (result != DB_DONE || state == IDEMPOTENCY_NEW)
        return result;
    if (state == IDEMPOTENCY_OTHER)
        reversal->status = problem(reversal->response, PROBLEM_IDEMPOTENCY_KEY_REUSED,
                                   "This Idempotency-Key was used for a request with another body");
    reversal->is_replay = state == IDEMPOTENCY_REPLAY;
    reversal->replay = record.body;
    return DB_DONE;
}

static enum db_result reversal_remember(struct db *db, struct reversal *reversal, enum http_status status)
{
    if (!reversal->request->idempotency.is_present)
        return DB_DONE;
    return idempotency_store(reversal->request, db,
                             &(struct idempotency_record){.status = status, .order_id = reversal->order_id});
}

static enum db_result reversal_complete(struct db *db, void *arg)
{
    struct reversal *reversal = arg;
    return idempotency_complete(reversal->request, db, response_content(reversal->response));
}

/* Asks the provider for a started refund and settles its answer. No answer: the job asks again. 0, or the
 * failure. */
static enum db_result reversal_settle(struct db *db, void *arg)
{
    struct reversal *reversal = arg;
    return payment_settle(db, reversal->request->arena, reversal->refund.payment_id, &reversal->answer,
                          clock_now_ms());
}

static enum http_status reversal_ask(struct reversal *reversal)
{
    struct request *request = reversal->request;
    const struct payment_provider *provider =
        payment_provider_find(request->services->config, reversal->order.payment_method);
    if (provider == NULL)
        return (enum http_status)0; /* switched off: the refund stays started until it is back */
    refund_ask(request->services->config, request->db, request->arena, provider, &reversal->order,
               &reversal->refund, &reversal->answer);
    enum db_result result = db_transaction(request->db, reversal_settle, reversal);
    if (result == DB_ERROR)
        return problem_database(reversal->response, result);
    return (enum http_status)0;
}

static enum http_status reversal_answer(struct reversal *reversal, enum http_status status)
{
    struct request *request = reversal->request;
    struct response *response = reversal->response;
    if (status == HTTP_STATUS_CREATED)
        response_location(response, "/orders/", reversal->order_id);
    if (reversal->is_replay)
        response_header(response, "Idempotent-Replayed", SLICE("true"));
    if (reversal->is_replay && !slice_is_absent(reversal->replay)) {
        json_raw(&response->json, reversal->replay);
        return status;
    }
    enum db_result result = order_read(request->db, request->arena, reversal->order_id, &reversal->order);
    if (result != DB_ROW)
        return problem_database(response, DB_ERROR);
    enum http_status answered = order_answer(request, response, &reversal->order, status);
    /* When this fails a repeat is answered the order as it then is: nothing moves twice. */
    if (answered == status && request->idempotency.is_present)
        (void)db_transaction(request->db, reversal_complete, reversal);
    return answered;
}

/* Of what staff decided; whether a provider then moved the money stands in the order's history. */
static enum db_result reversal_audit(struct db *db, struct reversal *reversal, struct slice before)
{
    struct request *request = reversal->request;
    if (!principal_has(&request->principal, SCOPE_ORDERS_WRITE))
        return DB_DONE; /* customers call off their own */
    return audit_record_id(request, db, "order", reversal->order_id, before,
                           order_state(request->arena, &reversal->order));
}

/* What both begin with: the order that is to be changed, or that this was done before. DB_CONFLICT with the
 * refusal in `status`. */
static enum db_result reversal_open(struct db *db, struct reversal *reversal)
{
    enum db_result found = reversal_find(db, reversal);
    if (found != DB_DONE || reversal->is_replay)
        return found;
    if (reversal->status == 0)
        reversal->status =
            order_for_change(reversal->request, reversal->response, db, reversal->order_id, &reversal->order);
    return reversal->status == 0 ? DB_DONE : DB_CONFLICT;
}

static enum db_result refund_place(struct db *db, void *arg)
{
    struct reversal *reversal = arg;
    struct request *request = reversal->request;
    enum db_result opened = reversal_open(db, reversal);
    if (opened != DB_DONE || reversal->is_replay)
        return opened;
    const struct order *order = &reversal->order;
    if (!slice_is_absent(reversal->currency) && !slice_equals(reversal->currency, order->currency)) {
        reversal->status = problem_field(reversal->response, "amount.currency", "CURRENCY",
                                         "must be the order's, %.*s", SLICE_ARG(order->currency));
        return DB_CONFLICT;
    }
    struct slice before = order_state(request->arena, order);
    enum db_result result = refund_start(db, request->arena, payment_provider_named(order->payment_method),
                                         &reversal->order, reversal->amount_minor, actor_of(request),
                                         reversal->reason, request->now_ms, &reversal->refund);
    if (result == DB_CONFLICT)
        reversal->status = problem(
            reversal->response, PROBLEM_REFUND_EXCEEDS_PAYMENT, "Only %lld %.*s are left to give back",
            (long long)(order->paid_minor - order->refunded_minor), SLICE_ARG(order->currency));
    if (result == DB_DONE)
        result = reversal_audit(db, reversal, before);
    return result == DB_DONE ? reversal_remember(db, reversal, HTTP_STATUS_CREATED) : result;
}

enum http_status order_refund(struct request *request, struct response *response)
{
    const struct order_refund_input *input = request->input;
    if (input->has_amount && input->amount.amount_minor < 1)
        return problem_field(response, "amount.amount", "MIN", "must be at least 1");
    struct reversal *reversal = ARENA_NEW(request->arena, struct reversal);
    *reversal = (struct reversal){
        .request = request,
        .response = response,
        .order_id = input->id,
        .amount_minor = input->has_amount ? input->amount.amount_minor : 0,
        .currency = input->has_amount ? input->amount.currency : SLICE_ABSENT,
        .reason = input->reason,
    };
    enum db_result result = db_transaction(request->db, refund_place, reversal);
    if (reversal->status != 0 && result != DB_ERROR)
        return reversal->status;
    if (result != DB_DONE)
        return problem_database(response, result);
    if (reversal->refund.must_ask) {
        enum http_status failure = reversal_ask(reversal);
        if (failure != 0)
            return failure;
    }
    return reversal_answer(reversal, HTTP_STATUS_CREATED);
}

/* Whether this caller may call the order off at this point. */
static bool may_cancel(const struct request *request, const struct order *order)
{
    if (principal_has(&request->principal, SCOPE_ORDERS_WRITE))
        return true;
    return order->status == ORDER_STATUS_PENDING && order->payment_status == PAYMENT_STATUS_PENDING;
}

static enum db_result cancel_place(struct db *db, void *arg)
{
    struct reversal *reversal = arg;
    struct request *request = reversal->request;
    enum db_result opened = reversal_open(db, reversal);
    if (opened != DB_DONE || reversal->is_replay)
        return opened;
    struct order *order = &reversal->order;
    struct slice before = order_state(request->arena, order);
    enum db_result result = may_cancel(request, order)
                                ? order_cancel_now(db, request->arena, order, actor_of(request),
                                                   reversal->reason, request->now_ms)
                                : DB_CONFLICT;
    if (result == DB_CONFLICT)
        reversal->status = refuse_transition(reversal->response, order);
    if (result != DB_DONE)
        return result;
    const struct payment_provider *provider = payment_provider_named(order->payment_method);
    bool was_charged = provider != NULL && !provider->pays_later && order->paid_minor > order->refunded_minor;
    if (was_charged)
        result = refund_start(db, request->arena, provider, order, 0, actor_of(request), reversal->reason,
                              request->now_ms, &reversal->refund);
    if (result == DB_DONE)
        result = reversal_audit(db, reversal, before);
    return result == DB_DONE ? reversal_remember(db, reversal, HTTP_STATUS_OK) : result;
}

enum http_status order_cancel(struct request *request, struct response *response)
{
    const struct order_cancel_input *input = request->input;
    struct reversal *reversal = ARENA_NEW(request->arena, struct reversal);
    *reversal = (struct reversal){
        .request = request, .response = response, .order_id = input->id, .reason = input->reason};
    enum db_result result = db_transaction(request->db, cancel_place, reversal);
    if (reversal->status != 0 && result != DB_ERROR)
        return reversal->status;
    if (result != DB_DONE)
        return problem_database(response, result);
    enum http_status status = reversal->refund.must_ask ? reversal_ask(reversal) : (enum http_status)0;
    if (status == 0)
        status = reversal_answer(reversal, HTTP_STATUS_OK);
    if (!reversal->is_replay)
        order_drop_products(response, &reversal->order); /* last: a problem would clear it */
    return status;
}

/* ---- the job that lets unpaid orders go ---- */

DB_STATEMENT(ORDERS_EXPIRED) = {
    .sql = "SELECT o.id FROM orders o WHERE o.hold_expires_at <= $1 AND o.hold_expires_at IS NOT NULL"
           " AND NOT EXISTS (SELECT 1 FROM payments p WHERE p.order_id = o.id AND p.status = 'started')"
           " ORDER BY o.hold_expires_at LIMIT $2",
    .params = {DB_TIME, DB_INT},
    .columns = {DB_UUID},
};

#define EXPIRE_BATCH_MAX 100

struct expiry {
    struct arena *arena;
    struct uuid order_id;
    int64_t now_ms;
    struct order order;
};

/* Decided anew inside the transaction: a payment that came first wins, and then nothing expires. */
static enum db_result order_expire(struct db *db, void *arg)
{
    struct expiry *expiry = arg;
    struct order *order = &expiry->order;
    enum db_result result = order_read(db, expiry->arena, expiry->order_id, order);
    if (result != DB_ROW)
        return result == DB_DONE ? DB_CONFLICT : result;
    bool is_due = order->hold_expires_at_ms != 0 && order->hold_expires_at_ms <= expiry->now_ms &&
                  order->status == ORDER_STATUS_PENDING && order->payment_status == PAYMENT_STATUS_PENDING &&
                  order->fulfillment_status == FULFILLMENT_STATUS_UNFULFILLED;
    if (!is_due)
        return DB_CONFLICT;
    return order_cancel_now(db, expiry->arena, order, (struct actor){.kind = "system"},
                            SLICE("Not paid in time"), expiry->now_ms);
}

enum db_result orders_expire(const struct services *services, struct db *db, struct arena *arena,
                             int64_t now_ms, int64_t limit, int64_t *expired)
{
    struct uuid ids[EXPIRE_BATCH_MAX];
    size_t count = 0;
    *expired = 0;
    if (limit > EXPIRE_BATCH_MAX)
        limit = EXPIRE_BATCH_MAX;
    struct db_rows *rows = db_query(db, &ORDERS_EXPIRED, DB_ARGS(db_time(now_ms), db_int(limit)));
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW)
        ids[count++] = db_get_uuid(rows, 0);
    size_t mark = arena_mark(arena);
    for (size_t i = 0; i < count && result == DB_DONE; i++) {
        arena_rewind(arena, mark);
        struct expiry expiry = {.arena = arena, .order_id = ids[i], .now_ms = now_ms};
        enum db_result one = db_transaction(db, order_expire, &expiry);
        if (one == DB_ERROR)
            result = one;
        if (one == DB_DONE) {
            (*expired)++;
            order_drop_products_now(services->cache, arena, &expiry.order);
        }
    }
    return result;
}
