/* What the tests of data/ share: an empty database on either engine (data/store.h), and in it a small table
 * of counters and one with a column of each type. */
#pragma once

#include "data/store.h"

struct fixture {
    struct arena arena;
    struct test_store at;
    const char *folder, *path;
    char url[768]; /* a test may point it elsewhere */
    struct store *store;
    struct db *db;
};

DB_STATEMENT(FIXTURE_COUNTERS) = {
    .sql = "CREATE TABLE counters (id INTEGER PRIMARY KEY, value INTEGER NOT NULL CHECK (value >= 0))",
};

DB_STATEMENT(FIXTURE_KINDS) = {
    .sql =
        "CREATE TABLE kinds (id BLOB PRIMARY KEY, number INTEGER, flag INTEGER, moment INTEGER, name TEXT UNIQUE, "
        "document TEXT, bytes BLOB) WITHOUT ROWID",
    .sql_postgres =
        "CREATE TABLE kinds (id uuid PRIMARY KEY, number bigint, flag boolean, moment timestamptz, name text UNIQUE, "
        "document json, bytes bytea)",
};

DB_STATEMENT(FIXTURE_COUNTER_ADD) = {
    .sql = "INSERT INTO counters (id, value) VALUES ($1, $2)",
    .params = {DB_INT, DB_INT},
};

DB_STATEMENT(FIXTURE_COUNTER_INCREMENT) = {
    .sql = "UPDATE counters SET value = value + $2 WHERE id = $1",
    .params = {DB_INT, DB_INT},
};

DB_STATEMENT(FIXTURE_COUNTER_VALUE) = {
    .sql = "SELECT value FROM counters WHERE id = $1",
    .params = {DB_INT},
    .columns = {DB_INT},
};

DB_STATEMENT(FIXTURE_COUNTER_SUM) = {
    .sql = "SELECT coalesce(sum(value), 0) FROM counters",
    .columns = {DB_INT},
};

static inline void fixture_folder(struct fixture *fixture)
{
    assert_true(arena_init(&fixture->arena, (size_t)16 << 20));
    test_store_make(&fixture->at, "data", false);
    fixture->folder = fixture->at.folder;
    fixture->path = fixture->at.path;
    snprintf(fixture->url, sizeof(fixture->url), "%s", fixture->at.url);
    fixture->store = NULL;
    fixture->db = NULL;
}

static inline void fixture_open(struct fixture *fixture)
{
    struct store_options options = {.url = slice_from(fixture->url)};
    struct slice complaint = SLICE_ABSENT;
    fixture->store = store_open(&options, &fixture->arena, &complaint);
    if (fixture->store == NULL)
        fail_msg("%.*s", SLICE_ARG(complaint));
    fixture->db = store_connect(fixture->store);
    assert_non_null(fixture->db);
}

static inline void fixture_close(struct fixture *fixture)
{
    if (fixture->db != NULL)
        store_disconnect(fixture->db);
    if (fixture->store != NULL)
        store_close(fixture->store);
    fixture->store = NULL;
    fixture->db = NULL;
}

static inline int fixture_begin(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    *state = fixture;
    fixture_folder(fixture);
    fixture_open(fixture);
    assert_int_equal(db_run(fixture->db, &FIXTURE_COUNTERS, DB_NO_ARGS), DB_DONE);
    assert_int_equal(db_run(fixture->db, &FIXTURE_KINDS, DB_NO_ARGS), DB_DONE);
    for (int64_t id = 1; id <= 8; id++)
        assert_int_equal(db_run(fixture->db, &FIXTURE_COUNTER_ADD, DB_ARGS(db_int(id), db_int(0))), DB_DONE);
    return 0;
}

static inline int fixture_end(void **state)
{
    struct fixture *fixture = *state;
    fixture_close(fixture);
    test_store_remove(&fixture->at);
    arena_release(&fixture->arena);
    free(fixture);
    return 0;
}

static inline int64_t fixture_counter(struct fixture *fixture, int64_t id)
{
    int64_t value = -1;
    assert_int_equal(db_one_int(fixture->db, &FIXTURE_COUNTER_VALUE, DB_ARGS(db_int(id)), &value), DB_ROW);
    return value;
}
