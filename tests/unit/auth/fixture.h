/* What the tests of auth/ share: a migrated store on either engine (data/store.h), users, and a secret. */
#pragma once

#include "data/store.h"

#define SECRET SLICE("a secret of the tests, long enough")

struct fixture {
    struct arena arena;
    struct test_store at;
    struct store *store;
    struct db *db;
};

DB_STATEMENT(FIXTURE_USER) = {
    .sql =
        "INSERT INTO users (id, email, email_folded, role, created_at, updated_at) VALUES ($1, $2, $2, $3, $4, $4)",
    .params = {DB_UUID, DB_TEXT, DB_TEXT, DB_TIME},
};

/* Another store on the same database, as another process would open it. */
static inline struct store *fixture_store(struct fixture *fixture)
{
    return test_store_open(&fixture->at, &fixture->arena);
}

static inline int fixture_begin(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    *state = fixture;
    assert_true(arena_init(&fixture->arena, (size_t)64 << 20));
    test_store_make(&fixture->at, "auth", true);
    fixture->store = fixture_store(fixture);
    fixture->db = store_connect(fixture->store);
    assert_non_null(fixture->db);
    return 0;
}

static inline int fixture_end(void **state)
{
    struct fixture *fixture = *state;
    store_disconnect(fixture->db);
    store_close(fixture->store);
    test_store_remove(&fixture->at);
    arena_release(&fixture->arena);
    free(fixture);
    return 0;
}

static inline void fixture_write(struct fixture *fixture, const struct db_statement *statement,
                                 struct db_args args)
{
    test_write(fixture->db, statement, args);
}

static inline int64_t fixture_int(struct fixture *fixture, const struct db_statement *statement,
                                  struct db_args args)
{
    return test_int(fixture->db, statement, args);
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
