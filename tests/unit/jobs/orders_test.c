/* What jobs do to orders while others work on them: a hold that ends against a payment that comes in, and
 * payments asked about by several processes at once. Run as many closures on many connections. */
#include "jobs/fixture.h"

#include "jobs/jobs.h"

#define ORDERS 60

/* A thread with a connection of its own, which begins with the others. */
struct racer {
    pthread_t thread;
    struct bench *bench;
    pthread_barrier_t *start;
    void (*run)(struct racer *racer);
    struct db *db;
    struct arena arena;
    const struct uuid *order_ids;
    int64_t count; /* what it did */
};

static void *racer_main(void *arg)
{
    struct racer *racer = arg;
    CHECK(arena_init(&racer->arena, (size_t)32 << 20));
    racer->db = store_connect(racer->bench->shop->store);
    CHECK(racer->db != NULL);
    pthread_barrier_wait(racer->start);
    racer->run(racer);
    store_disconnect(racer->db);
    arena_release(&racer->arena);
    return NULL;
}

static void race(struct racer *racers, size_t count)
{
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, (unsigned)count);
    for (size_t i = 0; i < count; i++) {
        racers[i].start = &start;
        assert_int_equal(pthread_create(&racers[i].thread, NULL, racer_main, &racers[i]), 0);
    }
    for (size_t i = 0; i < count; i++)
        pthread_join(racers[i].thread, NULL);
    pthread_barrier_destroy(&start);
}

/* ---- expiry against payment ---- */

static void expire_all(struct racer *racer)
{
    int64_t expired = 1;
    for (int round = 0; round < 20; round++) {
        enum db_result result =
            orders_expire(&racer->bench->services, racer->db, &racer->arena, clock_now_ms(), 7, &expired);
        /* PostgreSQL may give up a transaction that met conflicts only; the next round goes on, as the
         * job's does. */
        CHECK(result == DB_DONE || test_is_postgres());
        racer->count += expired;
    }
}

struct crediting {
    struct racer *racer;
    struct uuid order_id;
};

static enum db_result credit_run(struct db *db, void *arg)
{
    struct crediting *crediting = arg;
    struct arena *arena = &crediting->racer->arena;
    struct order order;
    if (order_read(db, arena, crediting->order_id, &order) != DB_ROW)
        return DB_ERROR;
    return payment_credit(db, arena, &order, order.total_minor, (struct actor){.kind = "staff"}, SLICE_ABSENT,
                          clock_now_ms());
}

static void pay_all(struct racer *racer)
{
    for (size_t i = 0; i < ORDERS; i++) {
        struct crediting crediting = {racer, racer->order_ids[i]};
        enum db_result result = DB_ERROR;
        for (int tries = test_is_postgres() ? 10 : 1; tries > 0 && result == DB_ERROR; tries--)
            result = db_transaction(racer->db, credit_run, &crediting);
        CHECK(result == DB_DONE || result == DB_CONFLICT);
        racer->count += result == DB_DONE;
    }
}

DB_STATEMENT(MESSAGES_OF_TOPIC) = {
    .sql = "SELECT COUNT(*) FROM outbox WHERE topic = $1",
    .params = {DB_TEXT},
    .columns = {DB_INT},
};

static int64_t messages_of(struct bench *bench, const char *topic)
{
    int64_t count = -1;
    assert_int_equal(
        db_one_int(bench->shop->db, &MESSAGES_OF_TOPIC, DB_ARGS(db_text(slice_from(topic))), &count), DB_ROW);
    return count;
}

static void test_expiry_against_payment(void **state)
{
    struct bench *bench = *state;
    struct stock_line line = {uuid_v4(), uuid_v4(), 2};
    struct uuid ids[ORDERS];
    shop_stock(bench->shop, line.product_id, line.variant_id, 2 * ORDERS, true, false);
    for (size_t i = 0; i < ORDERS; i++)
        ids[i] = bench_order(bench, line, "manual", clock_now_ms() - 1).id;
    assert_int_equal(bench_reserved(bench, line), 2 * ORDERS);
    struct racer racers[] = {
        {.bench = bench, .run = pay_all, .order_ids = ids},
        {.bench = bench, .run = expire_all},
        {.bench = bench, .run = expire_all}, /* a second process of jobs */
    };
    race(racers, COUNT_OF(racers));
    int64_t paid = 0, cancelled = 0;
    for (size_t i = 0; i < ORDERS; i++) {
        struct order order = bench_order_now(bench, ids[i]);
        assert_int_equal(order.hold_expires_at_ms, 0);
        if (order.status == ORDER_STATUS_CANCELLED) {
            assert_int_equal(order.payment_status, PAYMENT_STATUS_CANCELLED);
            assert_int_equal(order.paid_minor, 0);
            cancelled++;
        } else {
            assert_int_equal(order.status, ORDER_STATUS_PENDING);
            assert_int_equal(order.payment_status, PAYMENT_STATUS_PAID);
            assert_int_equal(order.paid_minor, order.total_minor);
            paid++;
        }
    }
    assert_int_equal(paid + cancelled, ORDERS);
    assert_int_equal(racers[0].count, paid);
    assert_int_equal(racers[1].count + racers[2].count, cancelled); /* each was ended once */
    assert_int_equal(bench_reserved(bench, line), 2 * paid);
    assert_int_equal(messages_of(bench, "order.cancelled"), cancelled);
    assert_int_equal(messages_of(bench, "order.paid"), paid);
}

static void test_expiry_waits(void **state)
{
    struct bench *bench = *state;
    struct stock_line line = {uuid_v4(), uuid_v4(), 1};
    shop_stock(bench->shop, line.product_id, line.variant_id, 10, true, false);
    struct order held = bench_order(bench, line, "manual", clock_now_ms() + 3600000);
    struct order for_good = bench_order(bench, line, "manual", 0);
    int64_t expired = -1;
    assert_int_equal(
        orders_expire(&bench->services, bench->shop->db, &bench->shop->arena, clock_now_ms(), 100, &expired),
        DB_DONE);
    assert_int_equal(expired, 0);
    assert_int_equal(bench_order_now(bench, held.id).status, ORDER_STATUS_PENDING);
    assert_int_equal(bench_order_now(bench, for_good.id).status, ORDER_STATUS_PENDING);
    assert_int_equal(bench_reserved(bench, line), 2);
}

/* ---- payments without an answer ---- */

struct charging {
    struct bench *bench;
    const struct order *order;
    struct uuid payment_id;
    struct slice key;
    int64_t now_ms;
};

static enum db_result charging_start(struct db *db, void *arg)
{
    struct charging *charging = arg;
    return payment_start(db, &charging->bench->shop->arena, charging->order, "test",
                         charging->order->total_minor, charging->now_ms, &charging->payment_id,
                         &charging->key);
}

/* An order whose charge was asked for at `now_ms` and got no answer; with the first card it went through all
 * the same. */
static struct order charge_lost(struct bench *bench, struct stock_line line, const char *card, int64_t now_ms)
{
    struct order order = bench_order(bench, line, "test", clock_now_ms() - 1);
    struct charging charging = {.bench = bench, .order = &order, .now_ms = now_ms};
    struct payment_answer answer;
    assert_int_equal(db_transaction(bench->shop->db, charging_start, &charging), DB_DONE);
    const struct payment_provider *provider = payment_provider_find(&bench->config, SLICE("test"));
    assert_non_null(provider);
    provider->charge(&bench->config, &bench->shop->arena,
                     &(struct payment_request){.key = charging.key,
                                               .amount_minor = order.total_minor,
                                               .currency = order.currency,
                                               .card_number = slice_from(card)},
                     &answer);
    assert_int_equal(answer.outcome, PAYMENT_UNKNOWN);
    return order;
}

#define CARD_CHARGED "4000000000000119"
#define CARD_LOST "4000000000000259"

static int64_t reconcile(struct bench *bench)
{
    int64_t settled = -1;
    assert_int_equal(payments_reconcile(&bench->services, bench->shop->db, &bench->shop->arena,
                                        clock_now_ms(), 20000, 50, &settled),
                     DB_DONE);
    return settled;
}

static void test_reconcile(void **state)
{
    struct bench *bench = *state;
    struct stock_line line = {uuid_v4(), uuid_v4(), 1};
    int64_t now_ms = clock_now_ms(), expired = -1;
    shop_stock(bench->shop, line.product_id, line.variant_id, 10, true, false);
    struct order charged = charge_lost(bench, line, CARD_CHARGED, now_ms - 30000);
    struct order lost = charge_lost(bench, line, CARD_LOST, now_ms - 30000);
    struct order fresh = charge_lost(bench, line, CARD_LOST, now_ms);
    /* Their holds have ended, but nothing is let go before the provider was asked. */
    assert_int_equal(
        orders_expire(&bench->services, bench->shop->db, &bench->shop->arena, now_ms, 100, &expired),
        DB_DONE);
    assert_int_equal(expired, 0);
    /* Switched off, the provider cannot be asked: nothing happens. */
    bench->config.test_payments = false;
    assert_int_equal(reconcile(bench), 0);
    bench->config.test_payments = true;
    assert_int_equal(reconcile(bench), 2);
    struct order now = bench_order_now(bench, charged.id);
    assert_int_equal(now.payment_status, PAYMENT_STATUS_PAID);
    assert_int_equal(now.paid_minor, now.total_minor);
    assert_int_equal(now.hold_expires_at_ms, 0);
    now = bench_order_now(bench, lost.id);
    assert_int_equal(now.status, ORDER_STATUS_CANCELLED);
    assert_int_equal(now.payment_status, PAYMENT_STATUS_FAILED);
    assert_int_equal(bench_order_now(bench, fresh.id).payment_status,
                     PAYMENT_STATUS_PENDING); /* may still be charged */
    assert_int_equal(bench_reserved(bench, line), 2);
    assert_int_equal(reconcile(bench), 0);
}

static void reconcile_all(struct racer *racer)
{
    for (int round = 0; round < 12; round++) {
        int64_t settled = 0;
        CHECK(payments_reconcile(&racer->bench->services, racer->db, &racer->arena, clock_now_ms(), 20000, 7,
                                 &settled) == DB_DONE);
        racer->count += settled;
    }
}

static void test_reconcile_twice_at_once(void **state)
{
    struct bench *bench = *state;
    struct stock_line line = {uuid_v4(), uuid_v4(), 1};
    struct uuid ids[ORDERS];
    shop_stock(bench->shop, line.product_id, line.variant_id, ORDERS, true, false);
    for (size_t i = 0; i < ORDERS; i++)
        ids[i] = charge_lost(bench, line, i % 2 == 0 ? CARD_CHARGED : CARD_LOST, clock_now_ms() - 30000).id;
    struct racer racers[] = {{.bench = bench, .run = reconcile_all},
                             {.bench = bench, .run = reconcile_all},
                             {.bench = bench, .run = expire_all}};
    race(racers, COUNT_OF(racers));
    assert_int_equal(racers[0].count + racers[1].count, ORDERS); /* each settled once */
    assert_int_equal(racers[2].count, 0);
    for (size_t i = 0; i < ORDERS; i++) {
        struct order order = bench_order_now(bench, ids[i]);
        assert_int_equal(order.payment_status, i % 2 == 0 ? PAYMENT_STATUS_PAID : PAYMENT_STATUS_FAILED);
        assert_int_equal(order.paid_minor, i % 2 == 0 ? order.total_minor : 0);
    }
    assert_int_equal(bench_reserved(bench, line), ORDERS / 2);
}

/* ---- the whole thread ---- */

static void test_jobs_run_and_stop(void **state)
{
    struct bench *bench = *state;
    struct stock_line line = {uuid_v4(), uuid_v4(), 1};
    shop_stock(bench->shop, line.product_id, line.variant_id, 10, true, false);
    struct order order = bench_order(bench, line, "manual", clock_now_ms() - 1);
    bench->config.job_interval_ms = 10;
    struct jobs *jobs = jobs_start(&bench->services);
    struct jobs *others = jobs_start(&bench->services); /* as another process would */
    assert_non_null(jobs);
    assert_non_null(others);
    for (int i = 0; i < 1000 && bench_order_now(bench, order.id).status != ORDER_STATUS_CANCELLED; i++)
        usleep(10000);
    bool is_delivered = false;
    for (int i = 0; i < 1000 && !is_delivered; i++) {
        usleep(10000);
        is_delivered = messages_of(bench, "order.cancelled") == 1 && bench_row(bench, 1).has_delivered;
    }
    assert_true(is_delivered);
    jobs_stop(jobs);
    jobs_stop(others);
    bench->config.job_interval_ms = 3600000; /* a long wait ends at once */
    jobs = jobs_start(&bench->services);
    int64_t began_us = clock_monotonic_us();
    jobs_stop(jobs);
    assert_true(clock_monotonic_us() - began_us < 5000000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_expiry_against_payment),  TEST(test_expiry_waits),      TEST(test_reconcile),
        TEST(test_reconcile_twice_at_once), TEST(test_jobs_run_and_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
