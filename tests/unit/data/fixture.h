/* What the tests of data/ share: a store in a temporary folder that goes away with the test, and a small
 * table of counters and of one column of each type. */
#pragma once

#include "base/crypto.h"
#include "base/log.h"
#include "data/db.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct arena arena;
    char folder[64];
    char path[96];
    char url[128];
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
    crypto_start();
    log_start(getenv("SOUK_TEST_LOG") ? LOG_DEBUG : LOG_OFF);
    assert_true(arena_init(&fixture->arena, (size_t)16 << 20));
    snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/souk-data-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof(fixture->path), "%s/souk.db", fixture->folder);
    snprintf(fixture->url, sizeof(fixture->url), "sqlite:%s", fixture->path);
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

static inline int fixture_remove(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

static inline int fixture_end(void **state)
{
    struct fixture *fixture = *state;
    fixture_close(fixture);
    assert_int_equal(nftw(fixture->folder, fixture_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
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
