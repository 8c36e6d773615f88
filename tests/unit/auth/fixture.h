/* What the tests of auth/ share: a migrated store in a temporary folder that goes away with the test, users,
 * and a secret. */
#pragma once

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "data/migrations.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define SECRET SLICE("a secret of the tests, long enough")

struct fixture {
    struct arena arena;
    char folder[64];
    char url[128];
    struct store *store;
    struct db *db;
};

DB_STATEMENT(FIXTURE_USER) = {
    .sql =
        "INSERT INTO users (id, email, email_folded, role, created_at, updated_at) VALUES ($1, $2, $2, $3, $4, $4)",
    .params = {DB_UUID, DB_TEXT, DB_TEXT, DB_TIME},
};

static inline struct store *fixture_store(struct fixture *fixture)
{
    struct store_options options = {.url = slice_from(fixture->url)};
    struct slice complaint = SLICE_ABSENT;
    struct store *store = store_open(&options, &fixture->arena, &complaint);
    if (store == NULL)
        fail_msg("%.*s", SLICE_ARG(complaint));
    return store;
}

static inline int fixture_begin(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct slice complaint = SLICE_ABSENT;
    int64_t applied;
    assert_non_null(fixture);
    *state = fixture;
    crypto_start();
    log_start(getenv("SOUK_TEST_LOG") ? LOG_DEBUG : LOG_OFF);
    assert_true(arena_init(&fixture->arena, (size_t)64 << 20));
    snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/souk-auth-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->url, sizeof(fixture->url), "sqlite:%s/souk.db", fixture->folder);
    fixture->store = fixture_store(fixture);
    if (!migrations_up(fixture->store, &fixture->arena, &applied, &complaint))
        fail_msg("%.*s", SLICE_ARG(complaint));
    fixture->db = store_connect(fixture->store);
    assert_non_null(fixture->db);
    return 0;
}

static inline int fixture_end(void **state)
{
    struct fixture *fixture = *state;
    char command[128];
    store_disconnect(fixture->db);
    store_close(fixture->store);
    snprintf(command, sizeof(command), "rm -rf '%s'", fixture->folder);
    assert_int_equal(system(command), 0);
    arena_release(&fixture->arena);
    free(fixture);
    return 0;
}

/* A transaction of one statement. */
struct fixture_write {
    const struct db_statement *statement;
    struct db_args args;
};

static inline enum db_result fixture_write_run(struct db *db, void *arg)
{
    struct fixture_write *write = arg;
    return db_run(db, write->statement, write->args);
}

static inline void fixture_write(struct fixture *fixture, const struct db_statement *statement,
                                 struct db_args args)
{
    struct fixture_write write = {statement, args};
    assert_int_equal(db_transaction(fixture->db, fixture_write_run, &write), DB_DONE);
}

static inline int64_t fixture_int(struct fixture *fixture, const struct db_statement *statement,
                                  struct db_args args)
{
    int64_t value = -1;
    assert_int_equal(db_one_int(fixture->db, statement, args, &value), DB_ROW);
    return value;
}

static inline struct uuid fixture_user(struct fixture *fixture, const char *role)
{
    struct uuid id = uuid_v7(clock_now_ms());
    char text[UUID_TEXT_LEN];
    uuid_format(id, text);
    struct slice email = arena_format(&fixture->arena, "%.*s@example.com", UUID_TEXT_LEN, text);
    fixture_write(fixture, &FIXTURE_USER,
                  DB_ARGS(db_uuid(id), db_text(email), db_text(slice_from(role)), db_time(clock_now_ms())));
    return id;
}
