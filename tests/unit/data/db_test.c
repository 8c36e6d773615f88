/* The verbs of db.h on SQLite. */
#include "fixture.h"

#include "base/clock.h"
#include "data/outbox.h"

DB_STATEMENT(KIND_ADD) = {
    .sql =
        "INSERT INTO kinds (id, number, flag, moment, name, document, bytes) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    .params = {DB_UUID, DB_INT, DB_BOOL, DB_TIME, DB_TEXT, DB_JSON, DB_BLOB},
};

DB_STATEMENT(KIND_GET) = {
    .sql = "SELECT id, number, flag, moment, name, document, bytes FROM kinds WHERE id = $1",
    .params = {DB_UUID},
    .columns = {DB_UUID, DB_INT, DB_BOOL, DB_TIME, DB_TEXT, DB_JSON, DB_BLOB},
};

/* SQLite would number $2 before $1 here. */
DB_STATEMENT(OUT_OF_ORDER) = {
    .sql = "SELECT $2, $1, $2, $3",
    .params = {DB_INT, DB_TEXT, DB_INT},
    .columns = {DB_TEXT, DB_INT, DB_TEXT, DB_INT},
};

DB_STATEMENT(COUNT_TO) = {
    .sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) SELECT i FROM n",
    .params = {DB_INT},
    .columns = {DB_INT},
};

DB_STATEMENT(COUNTER_RETURNING) = {
    .sql = "UPDATE counters SET value = value + $1 RETURNING id, value",
    .params = {DB_INT},
    .columns = {DB_INT, DB_INT},
};

DB_STATEMENT(NO_SUCH_TABLE) = {
    .sql = "SELECT 1 FROM nowhere",
    .columns = {DB_INT},
};

DB_STATEMENT(WRONG_COLUMNS) = {
    .sql = "SELECT 1, 2",
    .columns = {DB_INT},
};

DB_STATEMENT(WRONG_PARAMS) = {
    .sql = "SELECT $2",
    .params = {DB_INT},
    .columns = {DB_INT},
};

DB_STATEMENT(OUTBOX_TABLE) = {
    .sql =
        "CREATE TABLE outbox (id INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload TEXT NOT NULL, created_at INTEGER NOT "
        "NULL, due_at INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, delivered_at INTEGER, last_error TEXT)",
};

DB_STATEMENT(OUTBOX_COUNT) = {
    .sql = "SELECT count(*) FROM outbox WHERE topic = $1 AND due_at = created_at",
    .params = {DB_TEXT},
    .columns = {DB_INT},
};

static enum db_result kind_add(struct db *db, struct uuid id, struct slice name)
{
    return db_run(db, &KIND_ADD,
                  DB_ARGS(db_uuid(id), db_int(INT64_MIN), db_bool(true), db_time(1700000000123),
                          db_text(name), db_json(SLICE("{\"a\":1}")), db_blob(SLICE("\0\1\2"))));
}

static void every_type_makes_the_round_trip(void **state)
{
    struct fixture *fixture = *state;
    struct uuid id = uuid_v4();
    assert_int_equal(kind_add(fixture->db, id, SLICE("caf\xc3\xa9")), DB_DONE);
    struct db_rows *rows = db_query(fixture->db, &KIND_GET, DB_ARGS(db_uuid(id)));
    assert_int_equal(db_next(rows), DB_ROW);
    assert_true(uuid_equals(db_get_uuid(rows, 0), id));
    assert_true(db_get_int(rows, 1) == INT64_MIN);
    assert_true(db_get_bool(rows, 2));
    assert_true(db_get_time(rows, 3) == 1700000000123);
    assert_true(slice_is(db_get_text(rows, 4), "caf\xc3\xa9"));
    assert_true(slice_is(db_copy_text(rows, 5, &fixture->arena), "{\"a\":1}"));
    assert_true(slice_equals(db_get_text(rows, 6), SLICE("\0\1\2")));
    assert_int_equal(db_next(rows), DB_DONE);
}

static void null_is_not_the_empty_text(void **state)
{
    struct fixture *fixture = *state;
    struct uuid first = uuid_v4(), second = uuid_v4();
    assert_int_equal(
        db_run(fixture->db, &KIND_ADD,
               DB_ARGS(db_uuid(first), db_null(DB_INT), db_if(false, db_bool(true)), db_null(DB_TIME),
                       db_text(SLICE_ABSENT), db_json(SLICE_ABSENT), db_blob(SLICE_ABSENT))),
        DB_DONE);
    assert_int_equal(db_run(fixture->db, &KIND_ADD,
                            DB_ARGS(db_uuid(second), db_int(0), db_bool(false), db_time(0),
                                    db_text(SLICE("")), db_json(SLICE("")), db_blob(SLICE("")))),
                     DB_DONE);
    struct db_rows *rows = db_query(fixture->db, &KIND_GET, DB_ARGS(db_uuid(first)));
    assert_int_equal(db_next(rows), DB_ROW);
    for (int column = 1; column < 7; column++)
        assert_true(db_is_null(rows, column));
    assert_true(db_get_int(rows, 1) == 0);
    assert_false(db_get_bool(rows, 2));
    assert_true(db_get_time(rows, 3) == 0);
    for (int column = 4; column < 7; column++)
        assert_true(slice_is_absent(db_get_text(rows, column)));
    db_close(rows);
    rows = db_query(fixture->db, &KIND_GET, DB_ARGS(db_uuid(second)));
    assert_int_equal(db_next(rows), DB_ROW);
    for (int column = 1; column < 7; column++)
        assert_false(db_is_null(rows, column));
    for (int column = 4; column < 7; column++)
        assert_true(db_get_text(rows, column).ptr != NULL && db_get_text(rows, column).len == 0);
    db_close(rows);
}

static void parameters_are_bound_by_name(void **state)
{
    struct fixture *fixture = *state;
    struct db_rows *rows =
        db_query(fixture->db, &OUT_OF_ORDER, DB_ARGS(db_int(1), db_text(SLICE("two")), db_int(3)));
    assert_int_equal(db_next(rows), DB_ROW);
    assert_true(slice_is(db_get_text(rows, 0), "two"));
    assert_true(db_get_int(rows, 1) == 1);
    assert_true(slice_is(db_get_text(rows, 2), "two"));
    assert_true(db_get_int(rows, 3) == 3);
    db_close(rows);
}

static void a_refused_write_is_no_failure(void **state)
{
    struct fixture *fixture = *state;
    struct db *db = fixture->db;
    assert_int_equal(kind_add(db, uuid_v4(), SLICE("one")), DB_DONE);
    assert_int_equal(kind_add(db, uuid_v4(), SLICE("one")), DB_CONFLICT);
    assert_int_equal(db_run(db, &FIXTURE_COUNTER_INCREMENT, DB_ARGS(db_int(1), db_int(-1))), DB_CONFLICT);
    assert_int_equal(db_change(db, &FIXTURE_COUNTER_INCREMENT, DB_ARGS(db_int(1), db_int(1))), DB_DONE);
    assert_int_equal(db_changes(db), 1);
    assert_int_equal(db_run(db, &FIXTURE_COUNTER_INCREMENT, DB_ARGS(db_int(99), db_int(1))), DB_DONE);
    assert_int_equal(db_change(db, &FIXTURE_COUNTER_INCREMENT, DB_ARGS(db_int(99), db_int(1))), DB_CONFLICT);
    int64_t value;
    assert_int_equal(db_one_int(db, &FIXTURE_COUNTER_VALUE, DB_ARGS(db_int(99)), &value), DB_DONE);
    assert_int_equal(db_one_int(db, &NO_SUCH_TABLE, DB_NO_ARGS, &value), DB_ERROR);
    assert_int_equal(db_run(db, &NO_SUCH_TABLE, DB_NO_ARGS), DB_ERROR);
}

static void one_statement_nests_in_itself(void **state)
{
    struct fixture *fixture = *state;
    int64_t sum = 0;
    struct db_rows *outer = db_query(fixture->db, &COUNT_TO, DB_ARGS(db_int(5)));
    while (db_next(outer) == DB_ROW) {
        struct db_rows *inner = db_query(fixture->db, &COUNT_TO, DB_ARGS(db_int(db_get_int(outer, 0))));
        while (db_next(inner) == DB_ROW)
            sum += db_get_int(inner, 0);
    }
    assert_int_equal(sum, 1 + 3 + 6 + 10 + 15);
}

static void more_statements_than_the_cache_holds(void **state)
{
    struct fixture *fixture = *state;
    static const enum db_type columns[] = {DB_INT, DB_END};
    struct db_rows *open[DB_STATEMENTS_CACHED + 20];
    for (size_t i = 0; i < COUNT_OF(open); i++) { /* all open at once: the bound gives way */
        open[i] = db_query(fixture->db, &COUNT_TO, DB_ARGS(db_int(2)));
        assert_int_equal(db_next(open[i]), DB_ROW);
    }
    for (size_t i = 0; i < COUNT_OF(open); i++) {
        assert_int_equal(db_next(open[i]), DB_ROW);
        assert_int_equal(db_next(open[i]), DB_DONE);
    }
    for (int i = 0; i < 3 * DB_STATEMENTS_CACHED; i++) { /* each its own text */
        struct db_built built;
        db_built_init(&built, columns);
        db_built_add(&built, SQL("SELECT 0"), DB_NO_ARGS);
        for (int bit = 0; bit < 10; bit++)
            if (i % DB_STATEMENTS_CACHED >> bit & 1)
                db_built_add(&built, SQL(" + 1"), DB_NO_ARGS);
            else
                db_built_add(&built, SQL(" +  0"), DB_NO_ARGS);
        struct db_rows *rows = db_query_built(fixture->db, &built);
        assert_int_equal(db_next(rows), DB_ROW);
        assert_int_equal(db_get_int(rows, 0), __builtin_popcount((unsigned)i % DB_STATEMENTS_CACHED));
        db_close(rows);
    }
}

static void built_statements_number_their_marks(void **state)
{
    struct fixture *fixture = *state;
    static const enum db_type columns[] = {DB_INT, DB_TEXT, DB_END};
    struct db_built built;
    db_built_init(&built, columns);
    db_built_add(&built, SQL("SELECT $? + $?"), DB_ARGS(db_int(1), db_int(20)));
    db_built_add(&built, SQL(", $?"), DB_ARGS(db_text(SLICE("x"))));
    for (int i = 0; i < 9; i++)
        db_built_add(&built, SQL(" || $?"), DB_ARGS(db_text(SLICE("y"))));
    assert_string_equal(built.sql,
                        "SELECT $1 + $2, $3 || $4 || $5 || $6 || $7 || $8 || $9 || $10 || $11 || $12");
    for (int run = 0; run < 2; run++) {
        struct db_rows *rows = db_query_built(fixture->db, &built);
        assert_int_equal(db_next(rows), DB_ROW);
        assert_int_equal(db_get_int(rows, 0), 21);
        assert_true(slice_is(db_get_text(rows, 1), "xyyyyyyyyy"));
        assert_int_equal(db_next(rows), DB_DONE);
    }
}

static enum db_result leave_rows_open(struct db *db, void *arg)
{
    struct db_rows *rows = db_query(db, &COUNTER_RETURNING, DB_ARGS(db_int(*(int64_t *)arg)));
    return db_next(rows) == DB_ROW ? DB_DONE : DB_ERROR;
}

static void forgotten_rows_are_closed(void **state)
{
    struct fixture *fixture = *state;
    db_read_begin(fixture->db);
    assert_int_equal(db_next(db_query(fixture->db, &COUNT_TO, DB_ARGS(db_int(9)))), DB_ROW);
    db_read_end(fixture->db);
    int64_t amount = 4;
    assert_int_equal(db_transaction(fixture->db, leave_rows_open, &amount), DB_DONE);
    assert_int_equal(fixture_counter(fixture, 8), 4);
}

static enum db_result increment_and_see(struct db *db, void *arg)
{
    struct fixture *fixture = arg;
    assert_true(db_in_transaction(db));
    assert_ptr_not_equal(db, fixture->db);
    return db_change(db, &FIXTURE_COUNTER_INCREMENT, DB_ARGS(db_int(1), db_int(1)));
}

static void a_request_reads_one_snapshot_and_its_own_writes(void **state)
{
    struct fixture *fixture = *state;
    struct db *other = store_connect(fixture->store);
    db_read_begin(fixture->db);
    assert_false(db_in_transaction(fixture->db));
    assert_int_equal(fixture_counter(fixture, 1), 0);
    assert_int_equal(db_run(other, &FIXTURE_COUNTER_INCREMENT, DB_ARGS(db_int(1), db_int(1))), DB_DONE);
    assert_int_equal(fixture_counter(fixture, 1), 0);
    assert_int_equal(db_transaction(fixture->db, increment_and_see, fixture), DB_DONE);
    assert_int_equal(fixture_counter(fixture, 1), 2);
    db_read_end(fixture->db);
    store_disconnect(other);
}

static void a_long_read_is_cut(void **state)
{
    struct fixture *fixture = *state;
    db_read_begin(fixture->db);
    struct db_rows *rows = db_query(fixture->db, &COUNT_TO, DB_ARGS(db_int(INT64_MAX)));
    int64_t began_us = clock_monotonic_us();
    enum db_result result;
    do
        result = db_next(rows);
    while (result == DB_ROW);
    assert_int_equal(result, DB_ERROR);
    assert_in_range(clock_monotonic_us() - began_us, READ_TRANSACTION_MS_MAX * 900,
                    READ_TRANSACTION_MS_MAX * 9000);
    assert_int_equal(fixture_counter(fixture, 1),
                     0); /* the next statement has a new snapshot and its own second */
    db_read_end(fixture->db);
}

struct nested {
    enum db_result inner;
    bool goes_on;
};

static enum db_result refused_write(struct db *db, void *arg)
{
    (void)arg;
    assert_int_equal(db_run(db, &FIXTURE_COUNTER_INCREMENT, DB_ARGS(db_int(2), db_int(100))), DB_DONE);
    return db_run(db, &FIXTURE_COUNTER_ADD, DB_ARGS(db_int(1), db_int(0)));
}

static enum db_result nests_a_refusal(struct db *db, void *arg)
{
    struct nested *nested = arg;
    assert_int_equal(db_run(db, &FIXTURE_COUNTER_INCREMENT, DB_ARGS(db_int(1), db_int(10))), DB_DONE);
    nested->inner = db_transaction(db, refused_write, NULL);
    return db_run(db, &FIXTURE_COUNTER_INCREMENT, DB_ARGS(db_int(3), db_int(10)));
}

static void a_nested_transaction_fails_alone(void **state)
{
    struct fixture *fixture = *state;
    struct nested nested = {0};
    assert_int_equal(db_transaction(fixture->db, nests_a_refusal, &nested), DB_DONE);
    assert_int_equal(nested.inner, DB_CONFLICT);
    assert_int_equal(fixture_counter(fixture, 1), 10);
    assert_int_equal(fixture_counter(fixture, 2), 0);
    assert_int_equal(fixture_counter(fixture, 3), 10);
}

static enum db_result ignores_a_refusal(struct db *db, void *arg)
{
    struct nested *nested = arg;
    nested->inner = refused_write(db, NULL);
    if (nested->goes_on)
        assert_int_equal(db_run(db, &FIXTURE_COUNTER_INCREMENT, DB_ARGS(db_int(3), db_int(10))), DB_ERROR);
    return DB_DONE;
}

static void a_lost_transaction_does_not_commit(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 2; i++) {
        struct nested nested = {.goes_on = i == 1};
        assert_int_equal(db_transaction(fixture->db, ignores_a_refusal, &nested), DB_ERROR);
        assert_int_equal(nested.inner, DB_CONFLICT);
    }
    assert_int_equal(fixture_counter(fixture, 2), 0);
    assert_int_equal(fixture_counter(fixture, 3), 0);
}

static void declarations_are_checked(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(db_prepare(fixture->db, &KIND_GET), DB_DONE);
    assert_int_equal(db_prepare(fixture->db, &WRONG_COLUMNS), DB_ERROR);
    assert_int_equal(db_prepare(fixture->db, &WRONG_PARAMS), DB_ERROR);
    assert_int_equal(db_prepare(fixture->db, &NO_SUCH_TABLE), DB_ERROR);
}

struct visited {
    size_t count;
    size_t known;
};

static void visit(const struct db_statement *statement, void *arg)
{
    struct visited *visited = arg;
    visited->count++;
    assert_non_null(statement->sql);
    if (statement == &KIND_GET || statement == &OUT_OF_ORDER || statement == &FIXTURE_COUNTER_SUM)
        visited->known++;
}

static void every_statement_is_in_the_registry(void **state)
{
    (void)state;
    struct visited visited = {0};
    db_statements_visit(visit, &visited);
    assert_int_equal(visited.known, 3);
    assert_true(visited.count > 10);
}

static enum db_result append(struct db *db, void *arg)
{
    return outbox_append(db, "order.placed", SLICE("{}"), *(int64_t *)arg);
}

static void the_outbox_takes_messages(void **state)
{
    struct fixture *fixture = *state;
    int64_t now_ms = clock_now_ms(), count = 0;
    assert_int_equal(db_run(fixture->db, &OUTBOX_TABLE, DB_NO_ARGS), DB_DONE);
    assert_int_equal(db_transaction(fixture->db, append, &now_ms), DB_DONE);
    assert_int_equal(db_one_int(fixture->db, &OUTBOX_COUNT, DB_ARGS(db_text(SLICE("order.placed"))), &count),
                     DB_ROW);
    assert_int_equal(count, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end)
    const struct CMUnitTest tests[] = {
        CASE(every_type_makes_the_round_trip),
        CASE(null_is_not_the_empty_text),
        CASE(parameters_are_bound_by_name),
        CASE(a_refused_write_is_no_failure),
        CASE(one_statement_nests_in_itself),
        CASE(more_statements_than_the_cache_holds),
        CASE(built_statements_number_their_marks),
        CASE(forgotten_rows_are_closed),
        CASE(a_request_reads_one_snapshot_and_its_own_writes),
        CASE(a_long_read_is_cut),
        CASE(a_nested_transaction_fails_alone),
        CASE(a_lost_transaction_does_not_commit),
        CASE(declarations_are_checked),
        CASE(every_statement_is_in_the_registry),
        CASE(the_outbox_takes_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
