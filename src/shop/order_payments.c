/* Money of orders: charges and refunds as rows that are 'started' before a provider is called and settled
 * once by its answer, whoever brings it - the checkout that waited for it, or the job that asked again. */
#include "shop/order.h"

#include "base/clock.h"
#include "http/services.h"

static const struct actor SYSTEM = {.kind = "system"};

/* ---- starting ---- */

DB_STATEMENT(PAYMENT_INSERT) = {
    .sql =
        "INSERT INTO payments"
        " (id, order_id, kind, provider, status, amount_minor, provider_key, reference, note, actor_id, created_at,"
        " updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
    .params = {DB_UUID, DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_INT, DB_TEXT, DB_TEXT, DB_TEXT, DB_UUID,
               DB_TIME},
};

enum db_result payment_insert(struct db *db, const struct payment *payment, int64_t now_ms)
{
    return db_run(db, &PAYMENT_INSERT,
                  DB_ARGS(db_uuid(payment->id), db_uuid(payment->order_id),
                          db_text(slice_from(payment->kind)), db_text(payment->provider),
                          db_text(slice_from(payment->status)), db_int(payment->amount_minor),
                          db_text(payment->key), db_text(payment->reference), db_text(payment->note),
                          db_if(!uuid_is_nil(payment->actor_id), db_uuid(payment->actor_id)),
                          db_time(now_ms)));
}

DB_STATEMENT(PAYMENT_COUNT) = {
    .sql = "SELECT COUNT(*) FROM payments WHERE order_id = $1",
    .params = {DB_UUID},
    .columns = {DB_INT},
};

/* "order-<id>-<n>": the n-th movement of money of this order; the same whenever the same call is repeated. */
static struct slice key_of(struct arena *arena, struct uuid order_id, int64_t n)
{
    char id[UUID_TEXT_LEN];
    uuid_format(order_id, id);
    return arena_format(arena, "order-%.*s-%lld", UUID_TEXT_LEN, id, (long long)n);
}

struct slice payment_key_first(struct arena *arena, struct uuid order_id)
{
    return key_of(arena, order_id, 1);
}

enum db_result payment_key_make(struct db *db, struct arena *arena, struct uuid order_id, struct slice *key)
{
    int64_t count = 0;
    enum db_result result = db_one_int(db, &PAYMENT_COUNT, DB_ARGS(db_uuid(order_id)), &count);
    if (result != DB_ROW)
        return DB_ERROR;
    *key = key_of(arena, order_id, count + 1);
    return DB_DONE;
}

enum db_result payment_start(struct db *db, struct arena *arena, const struct order *order,
                             const char *provider, int64_t amount_minor, int64_t now_ms,
                             struct uuid *payment_id, struct slice *key)
{
    enum db_result result = payment_key_make(db, arena, order->id, key);
    if (result != DB_DONE)
        return result;
    *payment_id = uuid_v7(now_ms);
    return payment_insert(db,
                          &(struct payment){.id = *payment_id,
                                            .order_id = order->id,
                                            .kind = "payment",
                                            .provider = slice_from(provider),
                                            .status = "started",
                                            .amount_minor = amount_minor,
                                            .key = *key},
                          now_ms);
}

DB_STATEMENT(PAYMENTS_WAITING) = {
    .sql =
        "SELECT COUNT(*) FROM payments WHERE order_id = $1 AND status = 'started' AND kind = COALESCE($2, kind)",
    .params = {DB_UUID, DB_TEXT},
    .columns = {DB_INT},
};

enum db_result payment_is_waiting(struct db *db, struct uuid order_id, const char *kind, bool *is_waiting)
{
    int64_t count = 0;
    enum db_result result =
        db_one_int(db, &PAYMENTS_WAITING,
                   DB_ARGS(db_uuid(order_id), db_text(kind ? slice_from(kind) : SLICE_ABSENT)), &count);
    *is_waiting = count > 0;
    return result == DB_ROW ? DB_DONE : DB_ERROR;
}

/* ---- settling ---- */

DB_STATEMENT(PAYMENT_READ) = {
    .sql = "SELECT order_id, kind, amount_minor FROM payments WHERE id = $1 AND status = 'started'",
    .params = {DB_UUID},
    .columns = {DB_UUID, DB_TEXT, DB_INT},
};

DB_STATEMENT(PAYMENT_SETTLE) = {
    .sql =
        "UPDATE payments SET status = $2, reference = COALESCE($3, reference), note = COALESCE($4, note), updated_at = $5"
        " WHERE id = $1 AND status = 'started'",
    .params = {DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_TIME},
};

/* Money has come in: what the order becomes. */
static struct order order_paid(const struct order *order, int64_t amount_minor)
{
    struct order next = *order;
    next.paid_minor += amount_minor;
    next.payment_status =
        next.paid_minor >= order->total_minor ? PAYMENT_STATUS_PAID : PAYMENT_STATUS_PARTIALLY_PAID;
    next.hold_expires_at_ms = 0;
    return next;
}

/* "49.99 USD" would need the currency's exponent: the history tells minor units as the API does. */
static struct slice amount_note(struct arena *arena, int64_t amount_minor, struct slice currency,
                                struct slice words)
{
    if (slice_is_absent(words) || words.len == 0)
        return arena_format(arena, "%lld %.*s", (long long)amount_minor, SLICE_ARG(currency));
    return arena_format(arena, "%lld %.*s: %.*s", (long long)amount_minor, SLICE_ARG(currency),
                        SLICE_ARG(words));
}

enum db_result payment_credit(struct db *db, struct arena *arena, struct order *order, int64_t amount_minor,
                              struct actor actor, struct slice words, int64_t now_ms)
{
    struct order next = order_paid(order, amount_minor);
    enum db_result result =
        order_event_append(db, order->id, "payment", SLICE_ABSENT, SLICE_ABSENT, actor,
                           amount_note(arena, amount_minor, order->currency, words), now_ms);
    if (result == DB_DONE)
        result = order_change(db, order, &next, actor, SLICE_ABSENT, now_ms);
    if (result == DB_DONE)
        result = order_message(db, arena, "order.paid", order->id, now_ms);
    return result;
}

/* An approved charge. While its cart is still converting nobody was answered: the order is then placed and
 * paid in one. */
static enum db_result charge_approved(struct db *db, struct arena *arena, struct order *order,
                                      int64_t amount_minor, int64_t now_ms)
{
    enum db_result converted = checkout_convert_cart(db, order->cart_id, 0, order->id, now_ms);
    if (converted == DB_ERROR)
        return converted;
    enum db_result result = DB_DONE;
    struct order next = order_paid(order, amount_minor);
    if (converted == DB_DONE) {
        next.was_paid_at_checkout = true;
        result = order_message(db, arena, "order.placed", order->id, now_ms);
    }
    if (result == DB_DONE)
        result = order_event_append(db, order->id, "payment", SLICE_ABSENT, SLICE_ABSENT, SYSTEM,
                                    amount_note(arena, amount_minor, order->currency, SLICE_ABSENT), now_ms);
    if (result == DB_DONE)
        result = order_change(db, order, &next, SYSTEM, SLICE_ABSENT, now_ms);
    if (result == DB_DONE)
        result = order_message(db, arena, "order.paid", order->id, now_ms);
    return result;
}

/* A declined charge: the order comes to nothing, its stock can be sold again, its cart is usable again. */
static enum db_result charge_declined(struct db *db, struct arena *arena, struct order *order,
                                      const char *reason, int64_t now_ms)
{
    if (!order_status_allows(order->status, ORDER_STATUS_CANCELLED)) /* it has left: what is due is due */
        return order_event_append(db, order->id, "note", SLICE_ABSENT, SLICE_ABSENT, SYSTEM,
                                  SLICE("The provider declined the payment"), now_ms);
    struct order next = *order;
    next.status = ORDER_STATUS_CANCELLED;
    next.payment_status = PAYMENT_STATUS_FAILED;
    next.fulfillment_status = FULFILLMENT_STATUS_CANCELLED;
    next.hold_expires_at_ms = 0;
    enum db_result result =
        order_change(db, order, &next, SYSTEM, reason ? slice_from(reason) : SLICE_ABSENT, now_ms);
    if (result != DB_DONE)
        return result;
    struct stock_line *lines = NULL;
    size_t count = order_stock_lines(arena, order, &lines);
    result = checkout_lock_cart(db, order->cart_id);
    if (result == DB_DONE)
        result = stock_release(db, lines, count);
    if (result != DB_DONE)
        return result;
    result = checkout_reopen_cart(db, order->cart_id, order->id, now_ms);
    if (result == DB_CONFLICT) /* its customer was told that the order stands: tell that it does not */
        result = order_message(db, arena, "order.payment_failed", order->id, now_ms);
    return result;
}

/* A refund that went through. Orders that have left the house show it in their status too. */
static enum db_result refund_done(struct db *db, struct arena *arena, struct order *order,
                                  int64_t amount_minor, struct actor actor, struct slice words,
                                  int64_t now_ms)
{
    struct order next = *order;
    next.refunded_minor += amount_minor;
    bool is_whole = next.refunded_minor >= next.paid_minor;
    next.payment_status = is_whole ? PAYMENT_STATUS_REFUNDED : PAYMENT_STATUS_PARTIALLY_REFUNDED;
    bool has_left = order->status == ORDER_STATUS_SHIPPED || order->status == ORDER_STATUS_DELIVERED ||
                    order->status == ORDER_STATUS_PARTIALLY_REFUNDED;
    if (has_left)
        next.status = is_whole ? ORDER_STATUS_REFUNDED : ORDER_STATUS_PARTIALLY_REFUNDED;
    enum db_result result =
        order_event_append(db, order->id, "refund", SLICE_ABSENT, SLICE_ABSENT, actor,
                           amount_note(arena, amount_minor, order->currency, words), now_ms);
    if (result == DB_DONE)
        result = order_change(db, order, &next, actor, words, now_ms);
    if (result == DB_DONE)
        result = order_message(db, arena, "order.refunded", order->id, now_ms);
    return result;
}

static enum db_result payment_apply(struct db *db, struct arena *arena, struct order *order, bool is_refund,
                                    int64_t amount_minor, const struct payment_answer *answer, int64_t now_ms)
{
    if (is_refund && answer->outcome == PAYMENT_APPROVED)
        return refund_done(db, arena, order, amount_minor, SYSTEM, SLICE_ABSENT, now_ms);
    if (is_refund)
        return order_event_append(db, order->id, "note", SLICE_ABSENT, SLICE_ABSENT, SYSTEM,
                                  SLICE("The provider refused a refund"), now_ms);
    if (answer->outcome == PAYMENT_APPROVED)
        return charge_approved(db, arena, order, amount_minor, now_ms);
    return charge_declined(db, arena, order, answer->reason, now_ms);
}

DB_STATEMENT(PAYMENT_LATE) = {
    .sql = "UPDATE payments SET status = 'succeeded', reference = $2, updated_at = $3"
           " WHERE id = $1 AND status = 'declined' AND kind = 'payment' RETURNING order_id, amount_minor",
    .params = {DB_UUID, DB_TEXT, DB_TIME},
    .columns = {DB_UUID, DB_INT},
};

/* A charge went through after its order had been ended, because the provider had not known of it when it was
 * asked: the money is written down and given back. DB_CONFLICT: it was not so, somebody settled it as
 * approved before. */
static enum db_result charge_came_late(struct db *db, struct arena *arena, struct uuid payment_id,
                                       const struct payment_answer *answer, int64_t now_ms)
{
    struct db_rows *rows = db_query(
        db, &PAYMENT_LATE, DB_ARGS(db_uuid(payment_id), db_text(answer->reference), db_time(now_ms)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result == DB_DONE ? DB_CONFLICT : result;
    struct uuid order_id = db_get_uuid(rows, 0);
    int64_t amount_minor = db_get_int(rows, 1);
    db_close(rows);
    struct order order;
    if (order_read(db, arena, order_id, &order) != DB_ROW)
        return DB_ERROR;
    struct order next = order;
    next.paid_minor += amount_minor;
    result = order_event_append(db, order_id, "payment", SLICE_ABSENT, SLICE_ABSENT, SYSTEM,
                                amount_note(arena, amount_minor, order.currency, SLICE("charged too late")),
                                now_ms);
    if (result == DB_DONE)
        result = order_change(db, &order, &next, SYSTEM, SLICE_ABSENT, now_ms);
    struct refund refund;
    if (result == DB_DONE)
        result = refund_start(db, arena, payment_provider_named(order.payment_method), &order, amount_minor,
                              SYSTEM, SLICE("charged too late"), now_ms, &refund);
    return result;
}

enum db_result payment_settle(struct db *db, struct arena *arena, struct uuid payment_id,
                              const struct payment_answer *answer, int64_t now_ms)
{
    if (answer->outcome == PAYMENT_UNKNOWN)
        return DB_DONE;
    struct db_rows *rows = db_query(db, &PAYMENT_READ, DB_ARGS(db_uuid(payment_id)));
    enum db_result result = db_next(rows);
    if (result == DB_DONE && answer->outcome == PAYMENT_APPROVED)
        return charge_came_late(db, arena, payment_id, answer, now_ms);
    if (result != DB_ROW)
        return result == DB_DONE ? DB_CONFLICT : result;
    struct uuid order_id = db_get_uuid(rows, 0);
    bool is_refund = slice_is(db_get_text(rows, 1), "refund");
    int64_t amount_minor = db_get_int(rows, 2);
    db_close(rows);
    struct slice status = answer->outcome == PAYMENT_APPROVED ? SLICE("succeeded") : SLICE("declined");
    struct slice reason = answer->reason ? slice_from(answer->reason) : SLICE_ABSENT;
    result = db_change(db, &PAYMENT_SETTLE,
                       DB_ARGS(db_uuid(payment_id), db_text(status), db_text(answer->reference),
                               db_text(reason), db_time(now_ms)));
    if (result != DB_DONE)
        return result;
    struct order order;
    result = order_read(db, arena, order_id, &order);
    if (result != DB_ROW)
        return DB_ERROR;
    return payment_apply(db, arena, &order, is_refund, amount_minor, answer, now_ms);
}

/* ---- refunds ---- */

DB_STATEMENT(REFUNDS_WAITING) = {
    .sql = "SELECT COALESCE(SUM(amount_minor), 0) FROM payments"
           " WHERE order_id = $1 AND kind = 'refund' AND status = 'started'",
    .params = {DB_UUID},
    .columns = {DB_INT},
};

DB_STATEMENT(CHARGE_REFERENCE) = {
    .sql =
        "SELECT reference FROM payments"
        " WHERE order_id = $1 AND kind = 'payment' AND provider = $2 AND status = 'succeeded' ORDER BY id LIMIT 1",
    .params = {DB_UUID, DB_TEXT},
    .columns = {DB_TEXT},
};

enum db_result refund_start(struct db *db, struct arena *arena, const struct payment_provider *provider,
                            struct order *order, int64_t amount_minor, struct actor actor,
                            struct slice reason, int64_t now_ms, struct refund *refund)
{
    int64_t waiting_minor = 0;
    enum db_result result = db_one_int(db, &REFUNDS_WAITING, DB_ARGS(db_uuid(order->id)), &waiting_minor);
    if (result != DB_ROW)
        return DB_ERROR;
    int64_t left_minor = order->paid_minor - order->refunded_minor - waiting_minor;
    refund->amount_minor = amount_minor == 0 ? left_minor : amount_minor;
    if (refund->amount_minor <= 0 || refund->amount_minor > left_minor)
        return DB_CONFLICT;
    result = payment_key_make(db, arena, order->id, &refund->key);
    if (result != DB_DONE)
        return result;
    refund->payment_id = uuid_v7(now_ms);
    bool is_noted =
        provider == NULL || provider->pays_later; /* no provider holds the money: it is only written down */
    result = payment_insert(db,
                            &(struct payment){.id = refund->payment_id,
                                              .order_id = order->id,
                                              .kind = "refund",
                                              .provider = order->payment_method,
                                              .status = is_noted ? "succeeded" : "started",
                                              .amount_minor = refund->amount_minor,
                                              .key = refund->key,
                                              .note = reason,
                                              .actor_id = actor.id},
                            now_ms);
    if (result != DB_DONE || !is_noted) {
        refund->must_ask = result == DB_DONE;
        return result;
    }
    refund->must_ask = false;
    return refund_done(db, arena, order, refund->amount_minor, actor, reason, now_ms);
}

void refund_ask(const struct config *config, struct db *db, struct arena *arena,
                const struct payment_provider *provider, const struct order *order,
                const struct refund *refund, struct payment_answer *answer)
{
    struct slice reference = SLICE_ABSENT;
    struct db_rows *rows =
        db_query(db, &CHARGE_REFERENCE, DB_ARGS(db_uuid(order->id), db_text(order->payment_method)));
    if (db_next(rows) == DB_ROW) {
        reference = db_copy_text(rows, 0, arena);
        db_close(rows);
    }
    struct payment_request request = {
        .key = refund->key, .amount_minor = refund->amount_minor, .currency = order->currency};
    provider->refund(config, arena, &request, reference, answer);
    db_set_deadline(db, 0); /* money has moved: it is written down however late it is */
}

/* ---- the job that asks again ---- */

DB_STATEMENT(PAYMENTS_STARTED) = {
    .sql = "SELECT id, order_id, kind, provider, amount_minor, provider_key FROM payments"
           " WHERE status = 'started' AND created_at < $1 ORDER BY updated_at LIMIT $2",
    .params = {DB_TIME, DB_INT},
    .columns = {DB_UUID, DB_UUID, DB_TEXT, DB_TEXT, DB_INT, DB_TEXT},
};

#define RECONCILE_BATCH_MAX 50

struct reconciliation {
    struct arena *arena;
    struct uuid payment_id;
    struct uuid order_id;
    bool is_refund;
    struct slice provider;
    int64_t amount_minor;
    struct slice key;
    struct payment_answer answer;
    int64_t now_ms;
};

static enum db_result reconciliation_settle(struct db *db, void *arg)
{
    struct reconciliation *one = arg;
    return payment_settle(db, one->arena, one->payment_id, &one->answer, one->now_ms);
}

/* Asked, and still unknown: the others come first next time. */
DB_STATEMENT(PAYMENT_ASKED) = {
    .sql = "UPDATE payments SET updated_at = $2 WHERE id = $1 AND status = 'started'",
    .params = {DB_UUID, DB_TIME},
};

static void drop_products(const struct services *services, struct db *db, const struct reconciliation *one)
{
    struct order order;
    if (services->cache != NULL && order_read(db, one->arena, one->order_id, &order) == DB_ROW)
        order_drop_products_now(services->cache, one->arena, &order);
}

/* Asks the provider about one started row. A refund is simply sent again: its key makes that safe. */
static bool reconciliation_ask(const struct services *services, struct db *db, struct reconciliation *one)
{
    const struct payment_provider *provider = payment_provider_find(services->config, one->provider);
    if (provider == NULL || provider->pays_later)
        return false; /* switched off: it can only be asked when it is back */
    if (!one->is_refund) {
        provider->query(services->config, one->arena, one->key, &one->answer);
        return true;
    }
    struct order order;
    if (order_read(db, one->arena, one->order_id, &order) != DB_ROW)
        return false;
    struct refund refund = {
        .payment_id = one->payment_id, .amount_minor = one->amount_minor, .key = one->key};
    refund_ask(services->config, db, one->arena, provider, &order, &refund, &one->answer);
    return true;
}

enum db_result payments_reconcile(const struct services *services, struct db *db, struct arena *arena,
                                  int64_t now_ms, int64_t older_than_ms, int64_t limit, int64_t *settled)
{
    struct reconciliation list[RECONCILE_BATCH_MAX];
    size_t count = 0;
    *settled = 0;
    if (limit > RECONCILE_BATCH_MAX)
        limit = RECONCILE_BATCH_MAX;
    struct db_rows *rows =
        db_query(db, &PAYMENTS_STARTED, DB_ARGS(db_time(now_ms - older_than_ms), db_int(limit)));
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW) {
        list[count++] = (struct reconciliation){
            .arena = arena,
            .payment_id = db_get_uuid(rows, 0),
            .order_id = db_get_uuid(rows, 1),
            .is_refund = slice_is(db_get_text(rows, 2), "refund"),
            .provider = db_copy_text(rows, 3, arena),
            .amount_minor = db_get_int(rows, 4),
            .key = db_copy_text(rows, 5, arena),
            .now_ms = now_ms,
        };
    }
    size_t mark = arena_mark(arena);
    for (size_t i = 0; i < count && result == DB_DONE; i++) {
        arena_rewind(arena, mark); /* one order at a time: they can be large */
        if (!reconciliation_ask(services, db, &list[i]) || list[i].answer.outcome == PAYMENT_UNKNOWN) {
            result = db_run(db, &PAYMENT_ASKED, DB_ARGS(db_uuid(list[i].payment_id), db_time(now_ms)));
            continue;
        }
        enum db_result one = db_transaction(db, reconciliation_settle, &list[i]);
        if (one == DB_ERROR)
            result = one;
        if (one == DB_CONFLICT) /* changed meanwhile: looked at again, behind the others */
            result = db_run(db, &PAYMENT_ASKED, DB_ARGS(db_uuid(list[i].payment_id), db_time(now_ms)));
        if (one == DB_DONE) {
            (*settled)++;
            drop_products(services, db, &list[i]);
        }
    }
    return result;
}
