/* Counting what keys use: months, quotas, and that the database is told everything once. */
#include "auth/key_usage.h"

#include "auth/fixture.h"

#include "base/check.h"

#include <pthread.h>

#define WAIT_MS 10000

DB_STATEMENT(PLAN_MAKE) = {
    .sql =
        "INSERT INTO plans (id, name, rate_per_minute, burst, created_at, updated_at) VALUES ($1, 'p', 1, 1, $2, $2)",
    .params = {DB_UUID, DB_TIME},
};
DB_STATEMENT(KEY_MAKE) = {
    .sql = "INSERT INTO api_keys (id, kind, name, plan_id, created_by, created_at, updated_at)"
           " VALUES ($1, 'secret', 'k', $2, $1, $3, $3)",
    .params = {DB_UUID, DB_UUID, DB_TIME},
};
DB_STATEMENT(USAGE_SUM) = {
    .sql = "SELECT COALESCE(SUM(requests), 0) FROM api_key_usage WHERE key_id = $1 AND month = $2",
    .params = {DB_UUID, DB_INT},
    .columns = {DB_INT},
    .sql_postgres =
        "SELECT COALESCE(SUM(requests), 0)::bigint FROM api_key_usage WHERE key_id = $1 AND month = $2",
};

DB_STATEMENT(PLANS) = {
    .sql = "SELECT COUNT(*) FROM plans",
    .columns = {DB_INT},
};

static void test_months(void **state)
{
    (void)state;
    static const struct {
        const char *time;
        int64_t number;
        int days;
    } ROWS[] = {
        {"2026-11-22T23:59:59.999Z", 202611, 30}, {"2026-12-31T23:59:59.999Z", 202612, 31},
        {"2027-01-01T00:00:00.000Z", 202701, 31}, {"2028-02-29T12:00:00.000Z", 202802, 29},
        {"2026-02-01T00:00:00.000Z", 202602, 28},
    };
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        int64_t now_ms = 0;
        assert_true(clock_parse_rfc3339(slice_from(ROWS[i].time), &now_ms));
        struct usage_month month = usage_month_of(now_ms);
        assert_int_equal(month.number, ROWS[i].number);
        assert_true(month.begins_ms <= now_ms && now_ms < month.ends_ms);
        assert_int_equal(month.ends_ms - month.begins_ms, ROWS[i].days * INT64_C(86400000));
        assert_int_equal(usage_month_of(month.ends_ms).begins_ms, month.ends_ms);
        assert_int_equal(usage_month_of(month.begins_ms - 1).ends_ms, month.begins_ms);
    }
}

static struct uuid make_key(struct fixture *f)
{
    static struct uuid plan_id;
    int64_t now_ms = clock_now_ms();
    struct uuid id = uuid_v7(now_ms);
    int64_t plans = fixture_int(f, &PLANS, DB_NO_ARGS);
    if (plans == 0) {
        plan_id = uuid_v7(now_ms);
        fixture_write(f, &PLAN_MAKE, DB_ARGS(db_uuid(plan_id), db_time(now_ms)));
    }
    fixture_write(f, &KEY_MAKE, DB_ARGS(db_uuid(id), db_uuid(plan_id), db_time(now_ms)));
    return id;
}

static int64_t stored(struct fixture *f, struct uuid id, int64_t now_ms)
{
    return fixture_int(f, &USAGE_SUM, DB_ARGS(db_uuid(id), db_int(usage_month_of(now_ms).number)));
}

static void wait_until_stored(struct fixture *f, struct uuid id, int64_t now_ms, int64_t requests)
{
    int64_t until_us = clock_monotonic_us() + WAIT_MS * INT64_C(1000);
    while (stored(f, id, now_ms) != requests) {
        assert_true(clock_monotonic_us() < until_us);
        usleep(20000);
    }
}

/* Without a quota nothing needs to be known; all of it is told, once, also at the stop. */
static void test_counting(void **state)
{
    struct fixture *f = *state;
    struct key_usage *usage = key_usage_start(f->store);
    struct key_usage_verdict verdict;
    struct uuid id = make_key(f);
    int64_t now_ms = clock_now_ms();
    for (int i = 0; i < 5; i++)
        assert_int_equal(key_usage_take(usage, id, 0, now_ms, &verdict), KEY_USAGE_COUNTED);
    wait_until_stored(f, id, now_ms, 5);
    assert_int_equal(key_usage_pending(usage, id, now_ms), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(key_usage_take(usage, id, 0, now_ms, &verdict), KEY_USAGE_COUNTED);
    assert_true(key_usage_pending(usage, id, now_ms) + stored(f, id, now_ms) >= 8);
    key_usage_stop(usage);
    assert_int_equal(stored(f, id, now_ms), 8);
}

static void test_quota(void **state)
{
    struct fixture *f = *state;
    struct key_usage *usage = key_usage_start(f->store);
    struct key_usage_verdict verdict;
    struct uuid id = make_key(f);
    int64_t now_ms = clock_now_ms();
    assert_false(key_usage_is_known(usage, id, now_ms));
    assert_int_equal(key_usage_take(usage, id, 3, now_ms, &verdict), KEY_USAGE_UNKNOWN);
    assert_int_equal(key_usage_learn(usage, f->db, id, now_ms), DB_DONE);
    assert_true(key_usage_is_known(usage, id, now_ms));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(key_usage_take(usage, id, 3, now_ms, &verdict), KEY_USAGE_COUNTED);
        assert_int_equal(verdict.remaining, 2 - i);
    }
    struct usage_month month = usage_month_of(now_ms);
    assert_int_equal(key_usage_take(usage, id, 3, now_ms, &verdict), KEY_USAGE_EXCEEDED);
    assert_int_equal(verdict.remaining, 0);
    assert_int_equal(verdict.reset_s, (month.ends_ms - now_ms + 999) / 1000);
    assert_int_equal(verdict.window_s, (month.ends_ms - month.begins_ms) / 1000);
    /* another quota holds at once, another month begins anew */
    assert_int_equal(key_usage_take(usage, id, 4, now_ms, &verdict), KEY_USAGE_COUNTED);
    assert_int_equal(key_usage_take(usage, id, 4, month.ends_ms, &verdict), KEY_USAGE_UNKNOWN);
    assert_int_equal(key_usage_learn(usage, f->db, id, month.ends_ms), DB_DONE);
    assert_int_equal(key_usage_take(usage, id, 4, month.ends_ms, &verdict), KEY_USAGE_COUNTED);
    key_usage_stop(usage);
    assert_int_equal(stored(f, id, now_ms), 4);
    assert_int_equal(stored(f, id, month.ends_ms), 1);

    /* a server that starts later knows what was used before */
    usage = key_usage_start(f->store);
    assert_int_equal(key_usage_learn(usage, f->db, id, now_ms), DB_DONE);
    assert_int_equal(key_usage_take(usage, id, 4, now_ms, &verdict), KEY_USAGE_EXCEEDED);
    key_usage_stop(usage);
}

/* Two servers learn of each other by what the database answers. */
static void test_two_servers(void **state)
{
    struct fixture *f = *state;
    struct key_usage *usages[2] = {key_usage_start(f->store), key_usage_start(f->store)};
    struct key_usage_verdict verdict;
    struct uuid id = make_key(f);
    int64_t now_ms = clock_now_ms();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(key_usage_learn(usages[i], f->db, id, now_ms), DB_DONE);
        for (int j = 0; j < 40; j++)
            assert_int_equal(key_usage_take(usages[i], id, 100, now_ms, &verdict), KEY_USAGE_COUNTED);
    }
    wait_until_stored(f, id, now_ms, 80);
    /* each is told the sum with its next count */
    for (int i = 0; i < 2; i++)
        assert_int_equal(key_usage_take(usages[i], id, 100, now_ms, &verdict), KEY_USAGE_COUNTED);
    wait_until_stored(f, id, now_ms, 82);
    /* one of the two was told before the other had counted; now it is told all */
    assert_int_equal(key_usage_take(usages[0], id, 100, now_ms, &verdict), KEY_USAGE_COUNTED);
    wait_until_stored(f, id, now_ms, 83);
    int64_t until_us = clock_monotonic_us() + WAIT_MS * INT64_C(1000);
    while (key_usage_pending(usages[0], id, now_ms) + key_usage_pending(usages[1], id, now_ms) > 0) {
        assert_true(clock_monotonic_us() < until_us);
        usleep(10000);
    }
    assert_int_equal(key_usage_take(usages[0], id, 83, now_ms, &verdict), KEY_USAGE_EXCEEDED);
    key_usage_stop(usages[0]);
    key_usage_stop(usages[1]);
    assert_int_equal(stored(f, id, now_ms), 83);
}

struct taker {
    struct key_usage *usage;
    struct uuid id;
    int64_t now_ms;
    int counted;
    pthread_t thread;
};

static void *taker_main(void *arg)
{
    struct taker *taker = arg;
    struct key_usage_verdict verdict;
    for (int i = 0; i < 20000; i++)
        taker->counted +=
            key_usage_take(taker->usage, taker->id, 50000, taker->now_ms, &verdict) == KEY_USAGE_COUNTED;
    return NULL;
}

/* Exactly the quota passes one server, however many threads ask while the database is told. */
static void test_threads(void **state)
{
    struct fixture *f = *state;
    struct key_usage *usage = key_usage_start(f->store);
    struct uuid id = make_key(f);
    int64_t now_ms = clock_now_ms();
    struct taker takers[4];
    int counted = 0;
    assert_int_equal(key_usage_learn(usage, f->db, id, now_ms), DB_DONE);
    for (int i = 0; i < 4; i++) {
        takers[i] = (struct taker){.usage = usage, .id = id, .now_ms = now_ms};
        assert_int_equal(pthread_create(&takers[i].thread, NULL, taker_main, &takers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(takers[i].thread, NULL);
        counted += takers[i].counted;
    }
    key_usage_stop(usage);
    assert_int_equal(counted, 50000);
    assert_int_equal(stored(f, id, now_ms), 50000);
}

/* A key that the database has not: nothing is kept of it, and the others are told all the same. */
static void test_unknown_key(void **state)
{
    struct fixture *f = *state;
    struct key_usage *usage = key_usage_start(f->store);
    struct key_usage_verdict verdict;
    struct uuid id = make_key(f);
    struct uuid ghost = uuid_v7(clock_now_ms());
    int64_t now_ms = clock_now_ms();
    assert_int_equal(key_usage_take(usage, ghost, 0, now_ms, &verdict), KEY_USAGE_COUNTED);
    assert_int_equal(key_usage_take(usage, id, 0, now_ms, &verdict), KEY_USAGE_COUNTED);
    key_usage_stop(usage);
    assert_int_equal(stored(f, id, now_ms), 1);
    assert_int_equal(stored(f, ghost, now_ms), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_months), TEST(test_counting), TEST(test_quota),
        TEST(test_two_servers),        TEST(test_threads),  TEST(test_unknown_key),
    };
    crypto_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
