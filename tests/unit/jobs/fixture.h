/* What the tests of jobs/ share: a shop with its services, a step to run, orders and messages to run it on.
 */
#pragma once

#include "shop/fixture.h"

#include "jobs/outbox_delivery.h"
#include "jobs/step.h"
#include "shop/order.h"

#include <pthread.h>

struct bench {
    struct shop *shop;
    struct config config;
    struct services services;
    struct mailer *mailer;
};

static inline int bench_open(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    void *shop = NULL;
    shop_open(&shop);
    bench->shop = shop;
    bench->config = (struct config){
        .data_directory = slice_from(bench->shop->folder),
        .public_url = SLICE("https://shop.example.com"),
        .test_payments = true,
        .job_interval_ms = 1000,
    };
    bench->services = (struct services){.config = &bench->config, .store = bench->shop->store};
    memset(bench->services.seal_key, 7, sizeof(bench->services.seal_key));
    bench->mailer = mailer_file_new(&bench->config);
    assert_non_null(bench->mailer);
    *state = bench;
    return 0;
}

static inline int bench_close(void **state)
{
    struct bench *bench = *state;
    void *shop = bench->shop;
    bench->mailer->release(bench->mailer);
    shop_close(&shop);
    free(bench);
    return 0;
}

static inline struct step bench_step(struct bench *bench)
{
    return (struct step){
        .services = &bench->services,
        .db = bench->shop->db,
        .arena = &bench->shop->arena,
        .mailer = bench->mailer,
        .now_ms = clock_now_ms(),
    };
}

/* ---- the outbox ---- */

DB_STATEMENT(BENCH_MESSAGE) = {
    .sql =
        "INSERT INTO outbox (id, topic, payload, created_at, due_at, attempts) VALUES ($1, $2, $3, $4, $5, $6)",
    .params = {DB_INT, DB_TEXT, DB_JSON, DB_TIME, DB_TIME, DB_INT},
};

static inline void bench_message(struct bench *bench, int64_t id, const char *topic, struct slice payload,
                                 int64_t due_at_ms, int64_t attempts)
{
    shop_write(bench->shop, &BENCH_MESSAGE,
               DB_ARGS(db_int(id), db_text(slice_from(topic)), db_json(payload), db_time(1700000000000),
                       db_time(due_at_ms), db_int(attempts)));
}

struct bench_row {
    bool has_due, has_delivered;
    int64_t due_at_ms, attempts;
    struct slice error;
};

DB_STATEMENT(BENCH_OUTBOX_ROW) = {
    .sql = "SELECT due_at, attempts, delivered_at, last_error FROM outbox WHERE id = $1",
    .params = {DB_INT},
    .columns = {DB_TIME, DB_INT, DB_TIME, DB_TEXT},
};

static inline struct bench_row bench_row(struct bench *bench, int64_t id)
{
    struct db_rows *rows = db_query(bench->shop->db, &BENCH_OUTBOX_ROW, DB_ARGS(db_int(id)));
    assert_int_equal(db_next(rows), DB_ROW);
    struct bench_row row = {
        .has_due = !db_is_null(rows, 0),
        .due_at_ms = db_get_time(rows, 0),
        .attempts = db_get_int(rows, 1),
        .has_delivered = !db_is_null(rows, 2),
        .error = db_copy_text(rows, 3, &bench->shop->arena),
    };
    db_close(rows);
    return row;
}

static inline int64_t bench_count(struct bench *bench, const struct db_statement *statement)
{
    int64_t count = -1;
    assert_int_equal(db_one_int(bench->shop->db, statement, DB_NO_ARGS, &count), DB_ROW);
    return count;
}

/* ---- orders ---- */

#define BENCH_ADDRESS                                                                                            \
    "{\"firstName\":\"Am\\u00efna\",\"lastName\":\"Haddad\",\"company\":null,\"address1\":\"12 Rue des Lilas\"," \
    "\"address2\":null,\"city\":\"Lyon\",\"province\":null,\"zip\":\"69003\",\"country\":\"FR\",\"phone\":null}"

struct bench_placing {
    struct order order;
    struct stock_line line;
};

static inline enum db_result bench_place(struct db *db, void *arg)
{
    struct bench_placing *placing = arg;
    const struct stock_line *short_line = NULL;
    enum db_result result = stock_reserve(db, &placing->line, 1, &short_line);
    return result == DB_DONE ? order_insert(db, &placing->order, placing->order.email) : result;
}

/* A pending order of `quantity` of a variant, held until `hold_expires_at_ms`. */
static inline struct order bench_order(struct bench *bench, struct stock_line line, const char *method,
                                       int64_t hold_expires_at_ms)
{
    struct arena *arena = &bench->shop->arena;
    char product[UUID_TEXT_LEN], variant[UUID_TEXT_LEN], number[ORDER_NUMBER_LEN];
    uuid_format(line.product_id, product);
    uuid_format(line.variant_id, variant);
    order_number_make(number);
    int64_t total_minor = 1250 * line.quantity;
    struct bench_placing placing = {
        .line = line,
        .order = {
            .id = uuid_v7(clock_now_ms()),
            .order_number = arena_copy(arena, (struct slice){number, sizeof(number)}),
            .cart_id = uuid_v4(),
            .email = SLICE("amina@example.com"),
            .currency = SLICE("USD"),
            .subtotal_minor = total_minor,
            .total_minor = total_minor,
            .items = arena_format(
                arena,
                "[{\"productId\":\"%.36s\",\"variantId\":\"%.36s\",\"quantity\":%lld,\"name\":\"Linen shirt\","
                "\"sku\":\"LS\",\"options\":{\"Size\":\"M\"},\"unitPrice\":{\"amount\":1250,\"currency\":\"USD\"},"
                "\"totalPrice\":{\"amount\":%lld,\"currency\":\"USD\"}}]",
                product, variant, (long long)line.quantity, (long long)total_minor),
            .shipping_address = SLICE(BENCH_ADDRESS),
            .billing_address = SLICE_ABSENT,
            .shipping_method = SLICE("standard"),
            .payment_method = slice_from(method),
            .hold_minutes = 1440,
            .hold_expires_at_ms = hold_expires_at_ms,
            .version = 1,
            .created_at_ms = 1700000000000,
        }};
    assert_int_equal(db_transaction(bench->shop->db, bench_place, &placing), DB_DONE);
    return placing.order;
}

static inline struct order bench_order_now(struct bench *bench, struct uuid id)
{
    struct order order;
    assert_int_equal(order_read(bench->shop->db, &bench->shop->arena, id, &order), DB_ROW);
    return order;
}

static inline int64_t bench_reserved(struct bench *bench, struct stock_line line)
{
    struct stock_level level;
    assert_int_equal(stock_read(bench->shop->db, line.product_id, line.variant_id, &level), DB_ROW);
    return level.reserved;
}

static inline struct slice bench_order_payload(struct bench *bench, struct uuid order_id)
{
    char id[UUID_TEXT_LEN];
    uuid_format(order_id, id);
    return arena_format(&bench->shop->arena, "{\"orderId\":\"%.36s\"}", id);
}
