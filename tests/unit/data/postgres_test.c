/* What is PostgreSQL's alone: transactions that run again, lost connections, the breaker, time-outs, life
 * without prepared statements. What both engines share is tested by db_test.c on each. */
#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "data/db_private.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

DB_STATEMENT(COUNTERS) = {
    .sql = "CREATE TABLE counters (id bigint PRIMARY KEY, value bigint NOT NULL CHECK (value >= 0))",
};
DB_STATEMENT(COUNTER_ADD) = {
    .sql = "INSERT INTO counters (id, value) VALUES ($1, $2)",
    .params = {DB_INT, DB_INT},
};
DB_STATEMENT(COUNTER_VALUE) = {
    .sql = "SELECT value FROM counters WHERE id = $1",
    .params = {DB_INT},
    .columns = {DB_INT},
};
DB_STATEMENT(COUNTER_SET) = {
    .sql = "UPDATE counters SET value = $2 WHERE id = $1",
    .params = {DB_INT, DB_INT},
};
DB_STATEMENT(COUNTER_SUM) = {
    .sql = "SELECT COALESCE(SUM(value), 0) FROM counters",
    .columns = {DB_INT},
};
DB_STATEMENT(SLEEP) = {
    .sql = "SELECT COUNT(*) FROM pg_sleep(10)",
    .columns = {DB_INT},
};
DB_STATEMENT(CUT_OTHERS) = {
    .sql = "SELECT COUNT(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
           " WHERE pid <> pg_backend_pid() AND datname = current_database()) AS ended",
    .columns = {DB_INT},
};
DB_STATEMENT(PREPARED_COUNT) = {
    .sql = "SELECT COUNT(*) FROM pg_prepared_statements",
    .columns = {DB_INT},
};

struct fixture {
    struct arena arena;
    char admin[512], url[600], name[64];
    struct store *store;
    struct db *db;
};

static struct store *open_store(struct fixture *fixture, const char *url, int64_t timeout_ms,
                                bool is_unprepared)
{
    struct slice complaint = SLICE_ABSENT;
    struct store *store = store_open(&(struct store_options){.url = slice_from(url),
                                                             .timeout_ms = timeout_ms,
                                                             .is_unprepared = is_unprepared},
                                     &fixture->arena, &complaint);
    if (store == NULL)
        fail_msg("%.*s", SLICE_ARG(complaint));
    return store;
}

/* Runs words of this test's own on the server's first database. */
static void administer(struct fixture *fixture, const char *sql)
{
    struct store *store = open_store(fixture, fixture->admin, 20000, true);
    struct db *db = store_connect(store);
    struct db_built built;
    enum db_type none[] = {DB_END};
    db_built_init(&built, none);
    db_built_add(&built, sql, DB_NO_ARGS);
    assert_int_equal(db_next(db_query_built(db, &built)), DB_DONE);
    store_disconnect(db);
    store_close(store);
}

/* The server's URL with another database in its path. */
static void url_of(const char *admin, const char *name, char *url, size_t size)
{
    const char *query = strchr(admin, '?');
    const char *host = strstr(admin, "://") + 3;
    const char *path = strchr(host, '/');
    size_t end = path != NULL    ? (size_t)(path - admin)
                 : query != NULL ? (size_t)(query - admin)
                                 : strlen(admin);
    snprintf(url, size, "%.*s/%s%s", (int)end, admin, name, query != NULL ? query : "");
}

static int begin(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    const char *admin = getenv("SOUK_TEST_POSTGRES");
    *state = fixture;
    crypto_start();
    log_start(getenv("SOUK_TEST_LOG") ? LOG_DEBUG : LOG_OFF);
    if (admin == NULL)
        fail_msg("SOUK_TEST_POSTGRES is not set: run this by scripts/unit, which starts a PostgreSQL");
    assert_true(arena_init(&fixture->arena, (size_t)16 << 20));
    snprintf(fixture->admin, sizeof(fixture->admin), "%s", admin);
    snprintf(fixture->name, sizeof(fixture->name), "souk_driver_%016llx", (unsigned long long)random_u64());
    url_of(admin, fixture->name, fixture->url, sizeof(fixture->url));
    administer(fixture, arena_format(&fixture->arena, "CREATE DATABASE %s", fixture->name).ptr);
    fixture->store = open_store(fixture, fixture->url, 2000, false);
    fixture->db = store_connect(fixture->store);
    assert_int_equal(db_run(fixture->db, &COUNTERS, DB_NO_ARGS), DB_DONE);
    for (int64_t id = 1; id <= 2; id++)
        assert_int_equal(db_run(fixture->db, &COUNTER_ADD, DB_ARGS(db_int(id), db_int(0))), DB_DONE);
    return 0;
}

static int end(void **state)
{
    struct fixture *fixture = *state;
    store_disconnect(fixture->db);
    store_close(fixture->store);
    administer(fixture, arena_format(&fixture->arena, "DROP DATABASE %s WITH (FORCE)", fixture->name).ptr);
    arena_release(&fixture->arena);
    free(fixture);
    return 0;
}

static int64_t value_of(struct db *db, int64_t id)
{
    int64_t value = -1;
    assert_int_equal(db_one_int(db, &COUNTER_VALUE, DB_ARGS(db_int(id)), &value), DB_ROW);
    return value;
}

/* Reads the value and writes one more: without SERIALIZABLE, or without running again, increments are lost.
 */
static enum db_result increment(struct db *db, void *arg)
{
    int64_t value;
    (void)arg;
    enum db_result result = db_one_int(db, &COUNTER_VALUE, DB_ARGS(db_int(1)), &value);
    if (result != DB_ROW)
        return result;
    return db_change(db, &COUNTER_SET, DB_ARGS(db_int(1), db_int(value + 1)));
}

#define THREADS 6
#define INCREMENTS 25

static void *increment_many(void *arg)
{
    struct db *db = store_connect(arg);
    intptr_t done = 0;
    for (int i = 0; i < INCREMENTS; i++)
        done += db_transaction(db, increment, NULL) == DB_DONE;
    store_disconnect(db);
    return (void *)done;
}

static void no_increment_is_lost(void **state)
{
    struct fixture *fixture = *state;
    struct store *store = open_store(fixture, fixture->url, 60000, false);
    pthread_t threads[THREADS];
    int64_t done = 0;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, increment_many, store), 0);
    for (int i = 0; i < THREADS; i++) {
        void *count;
        pthread_join(threads[i], &count);
        done += (intptr_t)count;
    }
    store_close(store);
    assert_int_equal(done, THREADS * INCREMENTS);
    assert_int_equal(value_of(fixture->db, 1), THREADS * INCREMENTS);
}

static enum db_result cut_itself_once(struct db *db, void *arg)
{
    int *runs = arg;
    enum db_result result = db_change(db, &COUNTER_SET, DB_ARGS(db_int(2), db_int(7)));
    if (result != DB_DONE || (*runs)++ > 0)
        return result;
    struct db *other = store_connect(db->store);
    int64_t ended;
    assert_int_equal(db_one_int(other, &CUT_OTHERS, DB_NO_ARGS, &ended), DB_ROW);
    assert_true(ended > 0);
    store_disconnect(other);
    return db_change(db, &COUNTER_SET, DB_ARGS(db_int(1), db_int(7)));
}

static void a_transaction_whose_connection_broke_runs_again(void **state)
{
    struct fixture *fixture = *state;
    int runs = 0;
    assert_int_equal(db_transaction(fixture->db, cut_itself_once, &runs), DB_DONE);
    assert_true(runs >= 2);
    assert_int_equal(value_of(fixture->db, 2), 7);
}

struct twin {
    int runs;
    int writes; /* runs that write what is there already */
};

static enum db_result meet_twin(struct db *db, void *arg)
{
    struct twin *twin = arg;
    if (++twin->runs > twin->writes)
        return DB_DONE;
    return db_run(db, &COUNTER_ADD, DB_ARGS(db_int(1), db_int(0)));
}

static void who_meets_a_twin_may_look_again_once(void **state)
{
    struct fixture *fixture = *state;
    struct twin polite = {.writes = 1};
    struct twin stubborn = {.writes = 10};
    assert_int_equal(db_transaction(fixture->db, meet_twin, &polite), DB_DONE);
    assert_int_equal(polite.runs, 2);
    assert_int_equal(db_transaction(fixture->db, meet_twin, &stubborn), DB_CONFLICT);
    assert_int_equal(stubborn.runs, 2);
    assert_int_equal(db_transaction(fixture->db, meet_twin, &(struct twin){.writes = 1}), DB_DONE);
}

static void a_read_on_a_dead_connection_is_asked_again(void **state)
{
    struct fixture *fixture = *state;
    struct db *other = store_connect(fixture->store);
    int64_t ended;
    assert_int_equal(value_of(fixture->db, 1), 0);
    assert_int_equal(db_one_int(other, &CUT_OTHERS, DB_NO_ARGS, &ended), DB_ROW);
    store_disconnect(other);
    assert_int_equal(value_of(fixture->db, 1), 0);
}

static void a_statement_that_takes_too_long_is_cut(void **state)
{
    struct fixture *fixture = *state;
    struct store *store = open_store(fixture, fixture->url, 300, false);
    struct db *db = store_connect(store);
    int64_t count;
    int64_t began_us = clock_monotonic_us();
    assert_int_equal(db_one_int(db, &SLEEP, DB_NO_ARGS, &count), DB_ERROR);
    assert_true(clock_monotonic_us() - began_us < INT64_C(5000000));
    assert_int_equal(value_of(db, 1), 0); /* the connection is good for the next */
    store_disconnect(db);
    store_close(store);
}

/* A deadline of the caller's, long before the server's own: SLEEP would take 10 s, and be asked twice. */
static void nothing_waits_past_the_callers_deadline(void **state)
{
    struct fixture *fixture = *state;
    struct store *store = open_store(fixture, fixture->url, 8000, false);
    struct db *db = store_connect(store);
    int64_t count;
    int64_t began_us = clock_monotonic_us();
    db_set_deadline(db, began_us + 300000);
    assert_int_equal(db_one_int(db, &SLEEP, DB_NO_ARGS, &count), DB_ERROR);
    int64_t took_us = clock_monotonic_us() - began_us;
    assert_in_range(took_us, 250000, 4000000);
    assert_int_equal(db_transaction(db, increment, NULL), DB_ERROR); /* too late for it */
    db_set_deadline(db, 0);
    assert_int_equal(value_of(db, 1), 0); /* nobody else is refused: the server was not silent */
    store_disconnect(db);
    store_close(store);
}

DB_STATEMENT(SLEEPING) = {
    .sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
           " AND datname = current_database()",
    .columns = {DB_INT},
};

static void what_is_too_late_is_not_sent(void **state)
{
    struct fixture *fixture = *state;
    struct db *db = store_connect(fixture->store);
    int64_t count;
    assert_int_equal(value_of(db, 1), 0);
    db_set_deadline(db, clock_monotonic_us() - 1);
    assert_int_equal(db_one_int(db, &SLEEP, DB_NO_ARGS, &count), DB_ERROR);
    usleep(100000);
    assert_int_equal(db_one_int(fixture->db, &SLEEPING, DB_NO_ARGS, &count), DB_ROW);
    assert_int_equal(count, 0);
    store_disconnect(db);
}

static void *sleep_long(void *arg)
{
    int64_t count;
    (void)db_one_int(arg, &SLEEP, DB_NO_ARGS, &count);
    return NULL;
}

/* Without a time limit of the server's own, as behind a pooler: whose statement is too slow hangs up, and
 * nobody else is refused for it. */
static void one_slow_statement_silences_nobody(void **state)
{
    struct fixture *fixture = *state;
    struct store *store = open_store(fixture, fixture->url, 300, true);
    struct db *slow = store_connect(store);
    struct db *other = store_connect(store);
    pthread_t thread;
    assert_int_equal(value_of(slow, 1), 0);
    assert_int_equal(pthread_create(&thread, NULL, sleep_long, slow), 0);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(value_of(other, 1), 0);
        usleep(50000);
    }
    pthread_join(thread, NULL);
    store_disconnect(slow);
    store_disconnect(other);
    store_close(store);
}

static void a_dead_server_is_an_error_at_once(void **state)
{
    struct fixture *fixture = *state;
    /* Port 1 of this machine refuses. */
    struct store *store = open_store(fixture, "postgresql://souk@127.0.0.1:1/souk", 1000, false);
    struct db *db = store_connect(store);
    int64_t value;
    assert_false(store_is_ready(store));
    int64_t began_us = clock_monotonic_us();
    assert_int_equal(db_one_int(db, &COUNTER_VALUE, DB_ARGS(db_int(1)), &value), DB_ERROR);
    assert_int_equal(db_transaction(db, increment, NULL), DB_ERROR);
    assert_true(clock_monotonic_us() - began_us < INT64_C(4000000));
    store_disconnect(db);
    store_close(store);
}

static void a_wrong_url_is_told_without_its_password(void **state)
{
    struct fixture *fixture = *state;
    struct slice complaint = SLICE_ABSENT;
    struct store_options options = {.url = SLICE("postgresql://souk:geheim@[::1/souk")};
    assert_null(store_open(&options, &fixture->arena, &complaint));
    assert_true(slice_starts_with(complaint, SLICE("DATABASE_URL: must be postgresql://")));
    assert_null(strstr(arena_copy(&fixture->arena, complaint).ptr, "geheim"));
}

static void without_prepared_statements_all_is_the_same(void **state)
{
    struct fixture *fixture = *state;
    struct store *store = open_store(fixture, fixture->url, 2000, true);
    struct db *db = store_connect(store);
    int64_t count;
    assert_int_equal(db_transaction(db, increment, NULL), DB_DONE);
    assert_int_equal(value_of(db, 1), 1);
    assert_int_equal(db_one_int(db, &PREPARED_COUNT, DB_NO_ARGS, &count), DB_ROW);
    assert_int_equal(count, 0);
    store_disconnect(db);
    store_close(store);
}

static void prepared_statements_are_bounded(void **state)
{
    struct fixture *fixture = *state;
    static const enum db_type columns[] = {DB_INT, DB_END};
    for (int i = 0; i < DB_STATEMENTS_CACHED + 40; i++) {
        struct db_built built;
        db_built_init(&built, columns);
        db_built_add(&built, "SELECT value FROM counters WHERE id = $?", DB_ARGS(db_int(1)));
        for (int k = 0; k < i; k++)
            db_built_add(&built, " ", DB_NO_ARGS);
        struct db_rows *rows = db_query_built(fixture->db, &built);
        assert_int_equal(db_next(rows), DB_ROW);
        assert_int_equal(db_get_int(rows, 0), 0);
        db_close(rows);
    }
    int64_t count;
    assert_int_equal(db_one_int(fixture->db, &PREPARED_COUNT, DB_NO_ARGS, &count), DB_ROW);
    assert_true(count <= DB_STATEMENTS_CACHED);
    assert_int_equal(value_of(fixture->db, 1), 0);
}

static void sums_of_every_size_are_integers(void **state)
{
    struct fixture *fixture = *state;
    static const int64_t VALUES[] = {0,     1,        9999,      10000,
                                     10001, 99990000, 100000000, INT64_C(1234567890123456789)};
    for (size_t i = 0; i < sizeof(VALUES) / sizeof(VALUES[0]); i++) {
        int64_t sum = -1;
        assert_int_equal(db_change(fixture->db, &COUNTER_SET, DB_ARGS(db_int(1), db_int(VALUES[i]))),
                         DB_DONE);
        assert_int_equal(db_one_int(fixture->db, &COUNTER_SUM, DB_NO_ARGS, &sum), DB_ROW);
        assert_int_equal(sum, VALUES[i]);
    }
}

/* ---- transactions that are done together ---- */

DB_STATEMENT(COUNTER_INCREMENT) = {
    .sql = "UPDATE counters SET value = value + $2 WHERE id = $1",
    .params = {DB_INT, DB_INT},
};

struct call {
    int64_t counter;
    bool wants_alone;   /* left out by the many */
    bool breaks_others; /* violates a constraint, alone as well */
    int together, alone;
};

/* What the last batches were like. */
static _Atomic int largest_batch;
static _Atomic bool has_met_itself;

static enum db_result increment_together(struct db *db, void **args, enum db_result *results, size_t count)
{
    struct call **calls = (struct call **)args;
    int before = atomic_load(&largest_batch);
    while (before < (int)count && !atomic_compare_exchange_weak(&largest_batch, &before, (int)count))
        ;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = i + 1; k < count; k++) {
            if (calls[i]->counter == calls[k]->counter)
                atomic_store(&has_met_itself, true);
        }
    }
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(results[i], DB_CONFLICT);
        calls[i]->together++;
        if (calls[i]->wants_alone)
            continue;
        enum db_result result =
            db_change(db, &COUNTER_INCREMENT,
                      DB_ARGS(db_int(calls[i]->counter), db_int(calls[i]->breaks_others ? -1000 : 1)));
        if (result != DB_DONE)
            return result;
        results[i] = DB_DONE;
    }
    return DB_DONE;
}

static enum db_result increment_alone(struct db *db, void *arg)
{
    struct call *call = arg;
    call->alone++;
    return db_change(db, &COUNTER_INCREMENT,
                     DB_ARGS(db_int(call->counter), db_int(call->breaks_others ? -1000 : 1)));
}

static const struct db_batch INCREMENTING = {.together = increment_together, .alone = increment_alone};

struct caller {
    struct store *store;
    int number;
    int64_t done, refused;
};

#define CALLERS 12
#define CALLS 40

static void *call_many(void *arg)
{
    struct caller *caller = arg;
    struct db *db = store_connect(caller->store);
    for (int i = 0; i < CALLS; i++) {
        struct call call = {.counter = 1 + i % 2,
                            .wants_alone = i % 7 == 3,
                            .breaks_others = caller->number == 0 && i % 5 == 2};
        uint64_t keys[DB_BATCH_KEYS] = {(uint64_t)call.counter, 0};
        enum db_result result = db_transaction_batched(db, &INCREMENTING, keys, &call);
        caller->done += result == DB_DONE;
        caller->refused += result == DB_CONFLICT;
        if (call.breaks_others)
            assert_int_equal(result, DB_CONFLICT);
        if (result == DB_DONE && call.wants_alone)
            assert_true(call.alone >= 1);
    }
    store_disconnect(db);
    return NULL;
}

static void calls_of_one_kind_are_done_together_and_each_once(void **state)
{
    struct fixture *fixture = *state;
    struct store *store = open_store(fixture, fixture->url, 30000, false);
    struct caller callers[CALLERS];
    pthread_t threads[CALLERS];
    int64_t done = 0;
    int64_t refused = 0;
    atomic_store(&largest_batch, 0);
    atomic_store(&has_met_itself, false);
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.store = store, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, call_many, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        done += callers[i].done;
        refused += callers[i].refused;
    }
    store_close(store);
    assert_int_equal(refused, CALLS / 5); /* those of the first caller that break the constraint */
    assert_int_equal(done + refused, CALLERS * CALLS);
    assert_int_equal(value_of(fixture->db, 1) + value_of(fixture->db, 2), done);
    assert_false(atomic_load(&has_met_itself)); /* no key twice in a batch */
    assert_true(atomic_load(&largest_batch) >= 2);
}

DB_STATEMENT(SLOW_COMMIT) = {
    .sql = "CREATE FUNCTION slow_commit() RETURNS trigger LANGUAGE plpgsql AS"
           " 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END'",
};
DB_STATEMENT(SLOW_COMMIT_OF_FIRST) = {
    .sql = "CREATE CONSTRAINT TRIGGER slow_commit AFTER UPDATE ON counters DEFERRABLE INITIALLY DEFERRED"
           " FOR EACH ROW WHEN (NEW.id = 1) EXECUTE FUNCTION slow_commit()",
};

struct slow_caller {
    struct db *db;
    _Atomic bool is_done;
    enum db_result result;
};

static void *call_slowly(void *arg)
{
    struct slow_caller *caller = arg;
    struct call call = {.counter = 1};
    const uint64_t keys[DB_BATCH_KEYS] = {1, 0};
    caller->result = db_transaction_batched(caller->db, &INCREMENTING, keys, &call);
    atomic_store(&caller->is_done, true);
    return NULL;
}

static void the_next_works_while_one_commits(void **state)
{
    struct fixture *fixture = *state;
    struct slow_caller slow = {.db = store_connect(fixture->store)};
    struct call call = {.counter = 2};
    const uint64_t keys[DB_BATCH_KEYS] = {2, 0};
    pthread_t thread;
    assert_int_equal(db_run(fixture->db, &SLOW_COMMIT, DB_NO_ARGS), DB_DONE);
    assert_int_equal(db_run(fixture->db, &SLOW_COMMIT_OF_FIRST, DB_NO_ARGS), DB_DONE);
    assert_int_equal(pthread_create(&thread, NULL, call_slowly, &slow), 0);
    usleep(300000); /* it commits now, for 1 s */
    assert_int_equal(db_transaction_batched(fixture->db, &INCREMENTING, keys, &call), DB_DONE);
    assert_false(atomic_load(&slow.is_done));
    assert_int_equal(value_of(fixture->db, 2), 1);
    assert_int_equal(value_of(fixture->db, 1), 0);
    pthread_join(thread, NULL);
    assert_int_equal(slow.result, DB_DONE);
    assert_int_equal(value_of(fixture->db, 1), 1);
    store_disconnect(slow.db);
}

/* ---- deadlines and doubt in a batch ---- */

static _Atomic bool is_let_go;

/* Leads until it is let go, so that others gather. */
static enum db_result hold_together(struct db *db, void **args, enum db_result *results, size_t count)
{
    (void)db;
    (void)args;
    for (size_t i = 0; i < count; i++)
        results[i] = DB_DONE;
    while (!atomic_load(&is_let_go))
        usleep(1000);
    return DB_DONE;
}

static const struct db_batch HOLDING = {.together = hold_together, .alone = increment_alone};

struct batched_caller {
    const struct db_batch *batch;
    struct db *db;
    struct call call;
    uint64_t key;
    enum db_result result;
    int64_t took_us;
    pthread_t thread;
};

static void *call_batched(void *arg)
{
    struct batched_caller *caller = arg;
    const uint64_t keys[DB_BATCH_KEYS] = {caller->key, 0};
    int64_t began_us = clock_monotonic_us();
    caller->result = db_transaction_batched(caller->db, caller->batch, keys, &caller->call);
    caller->took_us = clock_monotonic_us() - began_us;
    return NULL;
}

static void batched_start(struct batched_caller *caller, struct store *store, const struct db_batch *batch,
                          int64_t counter, int64_t deadline_ms)
{
    *caller = (struct batched_caller){
        .batch = batch, .db = store_connect(store), .call = {.counter = counter}, .key = (uint64_t)counter};
    (void)value_of(caller->db, 1); /* it is connected */
    if (deadline_ms > 0)
        db_set_deadline(caller->db, clock_monotonic_us() + deadline_ms * 1000);
    assert_int_equal(pthread_create(&caller->thread, NULL, call_batched, caller), 0);
    usleep(200000);
}

static void batched_end(struct batched_caller *caller)
{
    pthread_join(caller->thread, NULL);
    store_disconnect(caller->db);
}

static void a_waiter_goes_when_its_time_is_up(void **state)
{
    struct fixture *fixture = *state;
    struct batched_caller holder, waiter, next;
    atomic_store(&is_let_go, false);
    batched_start(&holder, fixture->store, &HOLDING, 5, 0);
    batched_start(&waiter, fixture->store, &INCREMENTING, 1, 300);
    batched_start(&next, fixture->store, &INCREMENTING, 2, 0);
    batched_end(&waiter);
    assert_false(atomic_load(&is_let_go));
    assert_int_equal(waiter.result, DB_ERROR);
    assert_true(waiter.took_us >= 100000);
    atomic_store(&is_let_go, true);
    batched_end(&holder);
    batched_end(&next);
    assert_int_equal(next.result, DB_DONE);
    assert_int_equal(value_of(fixture->db, 1), 0);
    assert_int_equal(value_of(fixture->db, 2), 1);
}

/* The commit takes 1 s, of which the caller would wait 300 ms: it is done, and said to be done. */
static void a_commit_is_waited_for_past_the_deadline(void **state)
{
    struct fixture *fixture = *state;
    struct batched_caller caller;
    assert_int_equal(db_run(fixture->db, &SLOW_COMMIT, DB_NO_ARGS), DB_DONE);
    assert_int_equal(db_run(fixture->db, &SLOW_COMMIT_OF_FIRST, DB_NO_ARGS), DB_DONE);
    batched_start(&caller, fixture->store, &INCREMENTING, 1, 300);
    batched_end(&caller);
    assert_int_equal(caller.result, DB_DONE);
    assert_int_equal(value_of(fixture->db, 1), 1);
}

/* The connection breaks while the COMMIT of both is on its way: neither may be done again. */
static void what_may_be_committed_runs_no_second_time(void **state)
{
    struct fixture *fixture = *state;
    struct batched_caller holder, first, second;
    struct db *other = store_connect(fixture->store);
    int64_t ended;
    assert_int_equal(db_run(fixture->db, &SLOW_COMMIT, DB_NO_ARGS), DB_DONE);
    assert_int_equal(db_run(fixture->db, &SLOW_COMMIT_OF_FIRST, DB_NO_ARGS), DB_DONE);
    atomic_store(&is_let_go, false);
    batched_start(&holder, fixture->store, &HOLDING, 5, 0);
    batched_start(&first, fixture->store, &INCREMENTING, 1, 0);
    batched_start(&second, fixture->store, &INCREMENTING, 2, 0);
    atomic_store(&is_let_go, true);
    batched_end(&holder);
    usleep(300000); /* they commit now, for 1 s */
    assert_int_equal(db_one_int(other, &CUT_OTHERS, DB_NO_ARGS, &ended), DB_ROW);
    store_disconnect(other);
    batched_end(&first);
    batched_end(&second);
    assert_int_equal(first.call.together, 1);
    assert_int_equal(second.call.together, 1);
    assert_int_equal(first.call.alone + second.call.alone, 0);
    assert_int_equal(first.result, DB_ERROR);
    assert_int_equal(second.result, DB_ERROR);
}

static enum db_result batched_inside(struct db *db, void *arg)
{
    const uint64_t keys[DB_BATCH_KEYS] = {0, 0};
    return db_transaction_batched(db, &INCREMENTING, keys, arg);
}

static void inside_a_transaction_it_is_a_part_of_it(void **state)
{
    struct fixture *fixture = *state;
    struct call call = {.counter = 1};
    assert_int_equal(db_transaction(fixture->db, batched_inside, &call), DB_DONE);
    assert_int_equal(call.alone, 1);
    assert_int_equal(call.together, 0);
    assert_int_equal(value_of(fixture->db, 1), 1);
}

/* ---- reads that are sent before they are asked for ---- */

DB_STATEMENT(TEN_BY) = {
    .sql = "SELECT 10 / $1",
    .params = {DB_INT},
    .columns = {DB_INT},
};

static void set_value(struct db *db, int64_t id, int64_t value)
{
    assert_int_equal(db_run(db, &COUNTER_SET, DB_ARGS(db_int(id), db_int(value))), DB_DONE);
}

static void will_ask(struct db *db, int64_t id)
{
    db_expect(db, &COUNTER_VALUE, DB_ARGS(db_int(id)));
}

static void what_is_expected_is_answered_in_one_flight(void **state)
{
    struct fixture *fixture = *state;
    struct db *db = fixture->db;
    struct db *other = store_connect(fixture->store);
    set_value(db, 1, 10);
    set_value(db, 2, 20);
    assert_int_equal(value_of(db, 1), 10); /* prepared by it */
    will_ask(db, 2);
    will_ask(db, 1);
    will_ask(db, 3);
    assert_int_equal(value_of(db, 1), 10); /* whatever their order; all of them have landed now */
    set_value(other, 1, 11);
    set_value(other, 2, 21);
    assert_int_equal(value_of(db, 2), 20); /* as it was when it was sent */
    assert_int_equal(value_of(db, 2), 21); /* once */
    assert_int_equal(value_of(db, 1), 11);
    int64_t none;
    assert_int_equal(db_one_int(db, &COUNTER_VALUE, DB_ARGS(db_int(3)), &none), DB_DONE);
    db_expect_end(db);
    store_disconnect(other);
}

static void what_is_expected_and_not_asked_is_forgotten(void **state)
{
    struct fixture *fixture = *state;
    struct db *db = fixture->db;
    assert_int_equal(value_of(db, 1), 0);
    will_ask(db, 1);
    db_expect_end(db);
    will_ask(db, 1);
    will_ask(db, 2);
    set_value(db, 1, 5); /* another statement in between is not disturbed */
    assert_int_equal(value_of(db, 2), 0);
    db_expect_end(db);
    assert_int_equal(value_of(db, 1), 5);
    for (int64_t i = 0; i < DB_EXPECTED_MAX + 5; i++)
        will_ask(db, 2);
    for (int64_t i = 0; i < DB_EXPECTED_MAX + 5; i++)
        assert_int_equal(value_of(db, 2), 0);
    db_expect_end(db);
}

/* Whoever asks it meets the failure; the others' answers that were lost with it are asked for anew. */
static void an_expected_read_that_fails_hurts_no_other(void **state)
{
    struct fixture *fixture = *state;
    struct db *db = fixture->db;
    int64_t value;
    assert_int_equal(db_one_int(db, &TEN_BY, DB_ARGS(db_int(5)), &value), DB_ROW);
    assert_int_equal(value_of(db, 1), 0);
    will_ask(db, 1);
    db_expect(db, &TEN_BY, DB_ARGS(db_int(0)));
    will_ask(db, 2);
    set_value(db, 2, 7);
    assert_int_equal(value_of(db, 1), 0);
    assert_int_equal(db_one_int(db, &TEN_BY, DB_ARGS(db_int(0)), &value), DB_ERROR);
    assert_int_equal(value_of(db, 2), 7);
    db_expect_end(db);
}

static void expected_reads_outlive_their_connection(void **state)
{
    struct fixture *fixture = *state;
    struct db *db = fixture->db;
    struct db *other = store_connect(fixture->store);
    assert_int_equal(value_of(db, 1), 0);
    will_ask(db, 1);
    will_ask(db, 2);
    int64_t cut;
    assert_int_equal(db_one_int(other, &CUT_OTHERS, DB_NO_ARGS, &cut), DB_ROW);
    assert_true(cut >= 1);
    assert_int_equal(value_of(db, 1), 0);
    assert_int_equal(value_of(db, 2), 0);
    db_expect_end(db);
    will_ask(db, 1); /* and one that is never ended */
    store_disconnect(other);
}

#define with_database(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_database(no_increment_is_lost),
        with_database(a_transaction_whose_connection_broke_runs_again),
        with_database(who_meets_a_twin_may_look_again_once),
        with_database(a_read_on_a_dead_connection_is_asked_again),
        with_database(a_statement_that_takes_too_long_is_cut),
        with_database(nothing_waits_past_the_callers_deadline),
        with_database(what_is_too_late_is_not_sent),
        with_database(one_slow_statement_silences_nobody),
        with_database(a_dead_server_is_an_error_at_once),
        with_database(a_wrong_url_is_told_without_its_password),
        with_database(without_prepared_statements_all_is_the_same),
        with_database(prepared_statements_are_bounded),
        with_database(sums_of_every_size_are_integers),
        with_database(calls_of_one_kind_are_done_together_and_each_once),
        with_database(the_next_works_while_one_commits),
        with_database(a_waiter_goes_when_its_time_is_up),
        with_database(a_commit_is_waited_for_past_the_deadline),
        with_database(what_may_be_committed_runs_no_second_time),
        with_database(inside_a_transaction_it_is_a_part_of_it),
        with_database(what_is_expected_is_answered_in_one_flight),
        with_database(what_is_expected_and_not_asked_is_forgotten),
        with_database(an_expected_read_that_fails_hurts_no_other),
        with_database(expected_reads_outlive_their_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
