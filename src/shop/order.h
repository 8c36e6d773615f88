/* Orders, as everything beside their endpoints needs them: reading, placing, and the one function for each
 * change of state. */
#pragma once

#include "contract/inputs.h"
#include "http/response.h"
#include "payment/payment.h"
#include "shop/stock.h"

struct order {
    struct uuid id;
    struct slice order_number;
    bool has_user;
    struct uuid user_id;
    struct uuid cart_id;
    struct slice email;
    enum order_status status;
    enum payment_status payment_status;
    enum fulfillment_status fulfillment_status;
    bool was_paid_at_checkout;
    struct slice currency;
    int64_t subtotal_minor, discount_minor, shipping_minor, tax_minor, total_minor;
    int64_t paid_minor, refunded_minor;
    struct slice items;            /* JSON, the contract's OrderItem list */
    struct slice shipping_address; /* JSON */
    struct slice billing_address;  /* JSON; absent: the same */
    struct slice shipping_method;
    struct slice payment_method;
    struct slice customer_notes; /* absent without */
    int64_t hold_minutes;        /* granted when placed */
    int64_t hold_expires_at_ms;  /* 0: held for good */
    int64_t version;
    int64_t created_at_ms, updated_at_ms;
};

/* Who causes a change. */
struct actor {
    const char *kind; /* customer, staff, system */
    struct uuid id;   /* nil for the system and guests */
};

/* The columns that order_take reads, in its order, for every statement that selects whole orders. */
#define ORDER_COLUMNS                                                                                                \
    "id, order_number, user_id, cart_id, email, status, payment_status, fulfillment_status, was_paid_at_checkout,"   \
    " currency, subtotal_minor, discount_minor, shipping_minor, tax_minor, total_minor, paid_minor, refunded_minor," \
    " items, shipping_address, billing_address, shipping_method, payment_method, customer_notes, hold_minutes,"      \
    " hold_expires_at, version, created_at, updated_at"

#define ORDER_COLUMN_TYPES                                                                                   \
    DB_UUID, DB_TEXT, DB_UUID, DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_BOOL, DB_TEXT, DB_INT,        \
        DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_JSON, DB_JSON, DB_JSON, DB_TEXT, DB_TEXT,         \
        DB_TEXT, DB_INT, DB_TIME, DB_INT, DB_TIME, DB_TIME

/* The current row's order. Texts are copied into the arena, or without one are the row's own, valid until its
 * next step. */
void order_take(struct db_rows *rows, struct arena *arena, struct order *order);
/* DB_ROW, DB_DONE (no such order) or DB_ERROR. */
enum db_result order_read(struct db *db, struct arena *arena, struct uuid id, struct order *order);
enum db_result order_read_by_number(struct db *db, struct arena *arena, struct slice order_number,
                                    struct order *order);
/* `email_folded` is what look-ups compare (email_fold of users.h). DB_CONFLICT when the order number is
 * taken. */
enum db_result order_insert(struct db *db, const struct order *order, struct slice email_folded);

enum order_view {
    ORDER_VIEW_LIST,     /* without history */
    ORDER_VIEW_CUSTOMER, /* with it, but without the notes of staff, which are their own */
    ORDER_VIEW_STAFF     /* all of it */
};

/* The contract's Order; `db` reads its fulfillment and history. DB_DONE or DB_ERROR (then the text is not
 * finished: answer a problem). */
enum db_result order_write(struct json_writer *json, struct db *db, const struct order *order,
                           enum order_view view);
/* The order as it was answered when it was placed, whatever has become of it: for replays, byte for byte. */
void order_write_as_placed(struct json_writer *json, const struct order *order);

/* A line as an order keeps it: what was bought, under the words and at the price of that moment. */
struct order_item {
    struct uuid id;
    struct uuid variant_id;
    struct uuid product_id;
    struct slice name;
    struct slice sku;
    struct slice options; /* JSON object */
    int64_t quantity;
    int64_t price_minor; /* of one */
};

/* The contract's OrderItem, an element of order.items. */
void order_item_write(struct json_writer *json, const struct order_item *item, struct slice currency);
/* What an order keeps of an address, for order.shipping_address and .billing_address. */
struct slice order_address_json(struct arena *arena, const struct address_input *address);
/* The variants and quantities of an order's lines, normalized for stock_*. */
size_t order_stock_lines(struct arena *arena, const struct order *order, struct stock_line **lines);
/* After the commit every line's product shows another stock, and what was sold out may be back in lists. */
void order_drop_products(struct response *response, const struct order *order);
/* The same as a sale does it (decision 0006): shown for a second at most, lists stay. */
void order_fade_products(struct response *response, const struct order *order);
/* The same for a job, which has committed and answers nobody; `cache` may be NULL. */
void order_drop_products_now(struct cache *cache, struct arena *arena, const struct order *order);

/* The tables of transitions. */
bool order_status_allows(enum order_status from, enum order_status to);
bool payment_status_allows(enum payment_status from, enum payment_status to);
bool fulfillment_status_allows(enum fulfillment_status from, enum fulfillment_status to);

/* The one function that changes an order. `next` is a copy of *order with other statuses, amounts paid or
 * refunded, or hold. It checks the tables, updates with the version that *order was read at, and writes each
 * change of a status to the history with `note` (may be absent). DB_DONE: *order is as it is now.
 * DB_CONFLICT: not allowed, or it changed meanwhile. DB_ERROR. */
enum db_result order_change(struct db *db, struct order *order, const struct order *next, struct actor actor,
                            struct slice note, int64_t now_ms);
/* Adds to the history what is no change of a status: "payment", "refund", "note". */
enum db_result order_event_append(struct db *db, struct uuid order_id, const char *type, struct slice from,
                                  struct slice to, struct actor actor, struct slice note, int64_t now_ms);
/* A message about an order into the outbox: "order.paid", "order.shipped", ... */
enum db_result order_message(struct db *db, struct arena *arena, const char *topic, struct uuid order_id,
                             int64_t now_ms);
/* Ends an order before shipment: status, stock given back, payment status, history, message. Money that was
 * paid is not given back here. DB_CONFLICT when its status does not allow it or a payment for it is being
 * asked for. */
enum db_result order_cancel_now(struct db *db, struct arena *arena, struct order *order, struct actor actor,
                                struct slice reason, int64_t now_ms);
/* Whether a movement of money of this order waits for its provider: of this kind ("payment": then it cannot
 * be taken on or shipped), or of any (NULL). DB_DONE with *is_waiting, or DB_ERROR. */
enum db_result payment_is_waiting(struct db *db, struct uuid order_id, const char *kind, bool *is_waiting);

/* ---- money (order_payments.c) ---- */

/* A movement of money of an order. */
struct payment {
    struct uuid id;
    struct uuid order_id;
    const char *kind; /* payment, refund */
    struct slice provider;
    const char *status; /* started, succeeded, declined */
    int64_t amount_minor;
    struct slice key;
    struct slice reference; /* absent without */
    struct slice note;      /* absent without */
    struct uuid actor_id;   /* nil: the customer or the system */
};

enum db_result payment_insert(struct db *db, const struct payment *payment, int64_t now_ms);
/* The provider's key of the order's next movement of money. DB_DONE or DB_ERROR. */
enum db_result payment_key_make(struct db *db, struct arena *arena, struct uuid order_id, struct slice *key);
/* The same of an order that has none yet. */
struct slice payment_key_first(struct arena *arena, struct uuid order_id);
/* Money came in: history, amounts, payment status, the hold ends, order.paid. DB_CONFLICT when the status
 * does not allow it. */
enum db_result payment_credit(struct db *db, struct arena *arena, struct order *order, int64_t amount_minor,
                              struct actor actor, struct slice words, int64_t now_ms);

struct refund {
    struct uuid payment_id;
    int64_t amount_minor;
    struct slice key;
    bool must_ask; /* the provider must be asked, outside of any transaction, and its answer settled
                      (payment_settle) */
};

/* Writes a refund of `amount_minor` (0: all that is left) as started, or as done when money was only noted
 * (pay later). DB_CONFLICT when there is not so much left. `provider` may be NULL. */
enum db_result refund_start(struct db *db, struct arena *arena, const struct payment_provider *provider,
                            struct order *order, int64_t amount_minor, struct actor actor,
                            struct slice reason, int64_t now_ms, struct refund *refund);
void refund_ask(const struct config *config, struct db *db, struct arena *arena,
                const struct payment_provider *provider, const struct order *order,
                const struct refund *refund, struct payment_answer *answer);

/* Writes the row 'started' of a charge before the provider is called; *payment_id and *key are what the call
 * and its settling need. */
enum db_result payment_start(struct db *db, struct arena *arena, const struct order *order,
                             const char *provider, int64_t amount_minor, int64_t now_ms,
                             struct uuid *payment_id, struct slice *key);
/* Records what the provider said about a started charge, whoever asked (checkout or the job), once.
 * Approved: the order is paid, its hold ends, order.paid leaves; when its cart is still converting (nobody
 * was answered yet) the cart is converted, was_paid_at_checkout is set and order.placed leaves too. Declined:
 * the order is cancelled with payment status failed, its stock given back, and its cart active again when it
 * is still converting. Unknown: nothing. DB_DONE, DB_CONFLICT when it was settled already, or DB_ERROR. */
enum db_result payment_settle(struct db *db, struct arena *arena, struct uuid payment_id,
                              const struct payment_answer *answer, int64_t now_ms);

/* The cart becomes the order (from active at this version, or from converting to this very order when version
 * is 0). DB_CONFLICT when it is neither. Defined in checkout.c. */
enum db_result checkout_convert_cart(struct db *db, struct uuid cart_id, int64_t version,
                                     struct uuid order_id, int64_t now_ms);
/* The first statement of a transaction that changes both a cart and stock: all lock in this order. Defined in
 * checkout.c. */
enum db_result checkout_lock_cart(struct db *db, struct uuid cart_id);
/* A cart that is converting to this order becomes active again. DB_CONFLICT when it is not. Defined in
 * checkout.c. */
enum db_result checkout_reopen_cart(struct db *db, struct uuid cart_id, struct uuid order_id, int64_t now_ms);

/* Jobs: up to `limit` orders whose hold ended are cancelled; payments left 'started' for longer than
 * `older_than_ms` are asked about. They open their own transactions. */
enum db_result orders_expire(const struct services *services, struct db *db, struct arena *arena,
                             int64_t now_ms, int64_t limit, int64_t *expired);
enum db_result payments_reconcile(const struct services *services, struct db *db, struct arena *arena,
                                  int64_t now_ms, int64_t older_than_ms, int64_t limit, int64_t *settled);
