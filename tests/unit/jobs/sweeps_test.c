/* The sweeps: what is past its time goes, in batches; what is not stays, whatever stands beside it. */
#include "jobs/fixture.h"

#include "auth/keys.h"
#include "http/idempotency.h"
#include "jobs/sweeps.h"
#include "shop/cart.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static void sweep(struct bench *bench, enum db_result (*run)(struct step *step), bool has_more)
{
    struct step step = bench_step(bench);
    assert_int_equal(run(&step), DB_DONE);
    assert_int_equal(step.has_more, has_more);
}

/* ---- rows of many kinds ---- */

struct filling {
    const struct db_statement *statement;
    int64_t count;
    int64_t at_ms;
};

/* `count` rows of a statement that takes a blob key and a time. */
static enum db_result fill_run(struct db *db, void *arg)
{
    const struct filling *filling = arg;
    enum db_result result = DB_DONE;
    for (int64_t i = 0; i < filling->count && result == DB_DONE; i++) {
        uint8_t key[32];
        random_fill(key, sizeof(key));
        result =
            db_run(db, filling->statement,
                   DB_ARGS(db_blob((struct slice){(const char *)key, sizeof(key)}), db_time(filling->at_ms)));
    }
    return result;
}

static void fill(struct bench *bench, const struct db_statement *statement, int64_t count, int64_t at_ms)
{
    struct filling filling = {statement, count, at_ms};
    assert_int_equal(db_transaction(bench->shop->db, fill_run, &filling), DB_DONE);
}

DB_STATEMENT(RECORD_INSERT) = {
    .sql = "INSERT INTO idempotency_records (scope, body_hash, status, created_at) VALUES ($1, $1, 201, $2)",
    .params = {DB_BLOB, DB_TIME},
};
DB_STATEMENT(RECORD_COUNT) = {.sql = "SELECT COUNT(*) FROM idempotency_records", .columns = {DB_INT}};

static void test_idempotency_records(void **state)
{
    struct bench *bench = *state;
    int64_t now_ms = clock_now_ms();
    fill(bench, &RECORD_INSERT, SWEEP_BATCH * 2 + 50, now_ms - IDEMPOTENCY_KEEP_MS - 1000);
    fill(bench, &RECORD_INSERT, 3, now_ms - IDEMPOTENCY_KEEP_MS + 60000);
    sweep(bench, sweep_idempotency_records, false);
    assert_int_equal(bench_count(bench, &RECORD_COUNT), 3);
    /* One step ends before it has done everything, however much there is. */
    fill(bench, &RECORD_INSERT, SWEEP_BATCH * SWEEP_BATCHES_MAX + 10, now_ms - IDEMPOTENCY_KEEP_MS - 1000);
    sweep(bench, sweep_idempotency_records, true);
    assert_int_equal(bench_count(bench, &RECORD_COUNT), 13);
    sweep(bench, sweep_idempotency_records, false);
    assert_int_equal(bench_count(bench, &RECORD_COUNT), 3);
}

static void test_stops_between_batches(void **state)
{
    struct bench *bench = *state;
    _Atomic bool is_stopping = true;
    fill(bench, &RECORD_INSERT, 10, 1);
    struct step step = bench_step(bench);
    step.is_stopping = &is_stopping;
    assert_int_equal(sweep_idempotency_records(&step), DB_DONE);
    assert_int_equal(bench_count(bench, &RECORD_COUNT), 10);
}

/* ---- the outbox ---- */

DB_STATEMENT(SETTLED_INSERT) = {
    TEST_TIME("INSERT INTO outbox (id, topic, payload, due_at, delivered_at, created_at)"
              " VALUES ($1, 'order.placed', '{}', $2, $3, "),
    .params = {DB_INT, DB_TIME, DB_TIME},
};
DB_STATEMENT(OUTBOX_IDS) = {.sql = "SELECT SUM(id) FROM outbox", .columns = {DB_INT}};

static void test_outbox(void **state)
{
    struct bench *bench = *state;
    int64_t now_ms = clock_now_ms();
    struct db_value null = db_null(DB_TIME);
    shop_write(bench->shop, &SETTLED_INSERT, DB_ARGS(db_int(1), null, db_time(now_ms - 7 * DAY_MS - 1000)));
    shop_write(bench->shop, &SETTLED_INSERT, DB_ARGS(db_int(2), null, db_time(now_ms - 6 * DAY_MS)));
    shop_write(bench->shop, &SETTLED_INSERT, DB_ARGS(db_int(4), null, null));       /* given up */
    shop_write(bench->shop, &SETTLED_INSERT, DB_ARGS(db_int(8), db_time(1), null)); /* waiting */
    sweep(bench, sweep_outbox, false);
    assert_int_equal(bench_count(bench, &OUTBOX_IDS), 2 + 4 + 8);
}

/* ---- signing keys ---- */

DB_STATEMENT(KEY_INSERT) = {
    TEST_SQL("INSERT INTO signing_keys (kid, state, retired_at, public_jwk, sealed_private, created_at)"
             " VALUES ($1, $2, $3, '{}', ",
             "X'00', 1", "decode('00', 'hex'), to_timestamp(1)", ")"),
    .params = {DB_TEXT, DB_TEXT, DB_TIME},
};
DB_STATEMENT(KEY_COUNT) = {.sql = "SELECT COUNT(*) FROM signing_keys WHERE kid = 'gone'",
                           .columns = {DB_INT}};
DB_STATEMENT(KEYS_LEFT) = {.sql = "SELECT COUNT(*) FROM signing_keys", .columns = {DB_INT}};

static void test_signing_keys(void **state)
{
    struct bench *bench = *state;
    int64_t now_ms = clock_now_ms(), keep_ms = KEYS_RETIRED_KEEP_SECONDS * INT64_C(1000);
    const struct {
        struct slice kid, state;
        int64_t retired_at_ms;
    } keys[] = {{SLICE("gone"), SLICE("retired"), now_ms - keep_ms - 1000},
                {SLICE("kept"), SLICE("retired"), now_ms - keep_ms + 60000},
                {SLICE("active"), SLICE("active"), 0}};
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        shop_write(bench->shop, &KEY_INSERT,
                   DB_ARGS(db_text(keys[i].kid), db_text(keys[i].state),
                           db_if(keys[i].retired_at_ms != 0, db_time(keys[i].retired_at_ms))));
    sweep(bench, sweep_signing_keys, false);
    assert_int_equal(bench_count(bench, &KEY_COUNT), 0);
    assert_int_equal(bench_count(bench, &KEYS_LEFT), 2);
}

/* ---- the audit log ---- */

DB_STATEMENT(ENTRY_INSERT) = {
    .sql =
        "INSERT INTO audit_log (id, created_at, actor_kind, operation, resource_kind, resource_id, request_id)"
        " VALUES ($1, $2, 'system', 'test', 'test', 'test', '')",
    .params = {DB_UUID, DB_TIME},
};
DB_STATEMENT(ENTRY_COUNT) = {.sql = "SELECT COUNT(*) FROM audit_log", .columns = {DB_INT}};

static void test_audit_log(void **state)
{
    struct bench *bench = *state;
    int64_t now_ms = clock_now_ms();
    bench->config.audit_days = 30;
    const int64_t ages_days[] = {0, 29, 31, 365};
    for (size_t i = 0; i < COUNT_OF(ages_days); i++) {
        int64_t at_ms = now_ms - ages_days[i] * DAY_MS;
        shop_write(bench->shop, &ENTRY_INSERT, DB_ARGS(db_uuid(uuid_v7(at_ms)), db_time(at_ms)));
    }
    sweep(bench, sweep_audit_log, false);
    assert_int_equal(bench_count(bench, &ENTRY_COUNT), 2);
}

/* ---- carts ---- */

DB_STATEMENT(CART_INSERT) = {
    .sql =
        "INSERT INTO carts (number, id, user_id, status, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6)",
    .params = {DB_INT, DB_UUID, DB_UUID, DB_TEXT, DB_TIME, DB_TIME},
};
DB_STATEMENT(CART_LINE_INSERT) = {
    TEST_TIME(
        "INSERT INTO cart_lines (cart_id, id, product_id, variant_id, quantity, unit_price_minor, name, sku, created_at)"
        " VALUES ($1, $1, $1, $1, 1, 1, '', '', "),
    .params = {DB_UUID},
};
DB_STATEMENT(CART_NUMBERS) = {.sql = "SELECT COALESCE(SUM(number), 0) FROM carts", .columns = {DB_INT}};
DB_STATEMENT(CART_LINES) = {.sql = "SELECT COUNT(*) FROM cart_lines", .columns = {DB_INT}};

static void cart_insert(struct bench *bench, int64_t number, bool is_owned, const char *status,
                        int64_t created_at_ms, int64_t updated_at_ms)
{
    struct uuid id = uuid_v4();
    shop_write(bench->shop, &CART_INSERT,
               DB_ARGS(db_int(number), db_uuid(id), db_if(is_owned, db_uuid(uuid_v4())),
                       db_text(slice_from(status)), db_time(created_at_ms), db_time(updated_at_ms)));
    shop_write(bench->shop, &CART_LINE_INSERT, DB_ARGS(db_uuid(id)));
}

static void test_carts(void **state)
{
    struct bench *bench = *state;
    int64_t now_ms = clock_now_ms();
    int64_t old_ms = now_ms - 31 * DAY_MS, young_ms = now_ms - 29 * DAY_MS;
    cart_insert(bench, 1, false, "active", old_ms, old_ms);      /* goes */
    cart_insert(bench, 2, false, "active", old_ms, young_ms);    /* touched */
    cart_insert(bench, 4, true, "active", old_ms, old_ms);       /* an account's */
    cart_insert(bench, 8, true, "converted", old_ms, old_ms);    /* goes: it is an order now */
    cart_insert(bench, 16, false, "converting", old_ms, old_ms); /* its payment is being asked for */
    cart_insert(bench, 32, false, "active", young_ms, young_ms);
    sweep(bench, sweep_carts, false);
    assert_int_equal(bench_count(bench, &CART_NUMBERS), 2 + 4 + 16 + 32);
    assert_int_equal(bench_count(bench, &CART_LINES), 4);
}

/* The walk goes on where it ended, and begins anew behind its end. */
static void test_carts_walk(void **state)
{
    struct bench *bench = *state;
    int64_t position = 0, deleted = 0;
    for (int64_t number = 1; number <= 7; number++)
        cart_insert(bench, number, number % 2 == 0, "active", number, number);
    cart_insert(bench, 8, false, "active", 1000, 1000); /* the first that is too young */
    cart_insert(bench, 9, false, "active", 1, 1);       /* only there if the clock once went back */
    assert_int_equal(carts_purge(bench->shop->db, 500, 3, &position, &deleted), DB_DONE);
    assert_int_equal(position, 3);
    assert_int_equal(deleted, 2);
    assert_int_equal(carts_purge(bench->shop->db, 500, 3, &position, &deleted), DB_DONE);
    assert_int_equal(position, 6);
    assert_int_equal(deleted, 1);
    assert_int_equal(carts_purge(bench->shop->db, 500, 1, &position, &deleted), DB_DONE);
    assert_int_equal(carts_purge(bench->shop->db, 500, 1, &position, &deleted), DB_DONE);
    assert_int_equal(position, 0);
    assert_int_equal(bench_count(bench, &CART_NUMBERS), 2 + 4 + 6 + 8 + 9);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_idempotency_records),
        TEST(test_stops_between_batches),
        TEST(test_outbox),
        TEST(test_signing_keys),
        TEST(test_audit_log),
        TEST(test_carts),
        TEST(test_carts_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
