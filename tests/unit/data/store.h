/* A database of the test's own, on the engine that SOUK_TEST_ENGINE names: sqlite (the default), in a folder
 * that goes away with the test; or postgres, on the server that SOUK_TEST_POSTGRES names, where databases may
 * be created (scripts/unit starts one).
 *
 * A migrated database on PostgreSQL is a copy of a template, which the first test that needs it makes: a copy
 * takes 50 ms. */
#pragma once

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "data/migrations.h"

#include <ftw.h>
#include <libpq-fe.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct test_database;

struct test_store {
    char folder[64]; /* of the test, on either engine */
    char path[96];   /* of the file; SQLite's alone */
    char url[768];
    struct test_database *database; /* PostgreSQL's alone */
};

static inline bool test_is_postgres(void)
{
    const char *engine = getenv("SOUK_TEST_ENGINE");
    return engine != NULL && strcmp(engine, "postgres") == 0;
}

/* ---- PostgreSQL ---- */

static inline const char *test_server_url(void)
{
    const char *url = getenv("SOUK_TEST_POSTGRES");
    if (url == NULL)
        fail_msg("SOUK_TEST_POSTGRES is not set: run this by scripts/unit, which starts a PostgreSQL");
    return url;
}

/* The server's URL with another database in its path. */
static inline void test_server_url_of(const char *name, char *url, size_t size)
{
    const char *server = test_server_url();
    size_t host = (size_t)(strstr(server, "://") + 3 - server);
    size_t end = host + strcspn(server + host, "/?");
    const char *query = strchr(server, '?');
    snprintf(url, size, "%.*s/%s%s", (int)end, server, name, query != NULL ? query : "");
}

static inline void test_server_ignore(void *arg, const char *notice)
{
    (void)arg;
    (void)notice;
}

static inline PGconn *test_server_connect(const char *url)
{
    PGconn *pg = PQconnectdb(url);
    if (PQstatus(pg) != CONNECTION_OK)
        fail_msg("%s", PQerrorMessage(pg));
    PQsetNoticeProcessor(pg, test_server_ignore, NULL);
    return pg;
}

/* The first value that the statement answers, "" when there is none; the test ends when it fails. */
static inline const char *test_server_run(PGconn *pg, const char *sql)
{
    static char value[64];
    PGresult *result = PQexec(pg, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(pg));
    snprintf(value, sizeof(value), "%s", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return value;
}

static inline void test_migrate(const char *url)
{
    struct arena arena;
    struct slice complaint = SLICE_ABSENT;
    int64_t applied = 0;
    assert_true(arena_init(&arena, (size_t)1 << 20));
    struct store *store = store_open(&(struct store_options){.url = slice_from(url)}, &arena, &complaint);
    if (store == NULL || !migrations_up(store, &arena, &applied, &complaint))
        fail_msg("%.*s", SLICE_ARG(complaint));
    store_close(store);
    arena_release(&arena);
}

/* Its name follows from the migrations, so that a template of others is never taken for it. */
static inline void test_template_name(char name[64])
{
    uint64_t hash = 0;
    for (const struct migration_file *file = migration_files; file->name != NULL; file++)
        hash = hash * UINT64_C(0x9E3779B97F4A7C15) + hash64(slice_from(file->sql));
    snprintf(name, 64, "souk_template_%016llx", (unsigned long long)hash);
}

/* Makes the template unless it is there, under a lock: programs of tests run beside each other. It gets its
 * name when it is whole. */
static inline void test_template_make(PGconn *pg, const char *template)
{
    char sql[256], url[768];
    (void)test_server_run(pg, "SELECT pg_advisory_lock(1953653108)");
    snprintf(sql, sizeof(sql), "SELECT 1 FROM pg_database WHERE datname = '%s'", template);
    if (*test_server_run(pg, sql) == '\0') {
        (void)test_server_run(pg, "DROP DATABASE IF EXISTS souk_template_new WITH (FORCE)");
        (void)test_server_run(pg, "CREATE DATABASE souk_template_new");
        test_server_url_of("souk_template_new", url, sizeof(url));
        test_migrate(url);
        snprintf(sql, sizeof(sql), "ALTER DATABASE souk_template_new RENAME TO %s", template);
        (void)test_server_run(pg, sql);
    }
    (void)test_server_run(pg, "SELECT pg_advisory_unlock(1953653108)");
}

/* The program's databases; a second one of a kind is for tests that open two shops. */
struct test_database {
    char name[64]; /* "": not made yet */
    char url[768];
    bool is_migrated, is_taken;
};

static struct test_database test_databases[4];

static inline void test_databases_drop(void)
{
    char sql[128];
    for (size_t i = 0; i < COUNT_OF(test_databases); i++) {
        PGconn *pg = test_databases[i].name[0] != '\0' ? PQconnectdb(test_server_url()) : NULL;
        snprintf(sql, sizeof(sql), "DROP DATABASE %.63s WITH (FORCE)", test_databases[i].name);
        if (pg != NULL)
            PQclear(PQexec(pg, sql));
        PQfinish(pg);
    }
}

static inline void test_database_make(struct test_database *database)
{
    char sql[256], template[64] = "template1";
    static bool drops_at_exit;
    PGconn *pg = test_server_connect(test_server_url());
    if (!drops_at_exit)
        atexit(test_databases_drop);
    drops_at_exit = true;
    snprintf(database->name, sizeof(database->name), "souk_unit_%016llx", (unsigned long long)random_u64());
    test_server_url_of(database->name, database->url, sizeof(database->url));
    if (database->is_migrated) {
        test_template_name(template);
        test_template_make(pg, template);
    }
    snprintf(sql, sizeof(sql), "CREATE DATABASE %s TEMPLATE %s", database->name, template);
    (void)test_server_run(pg, sql);
    PQfinish(pg);
}

/* The shop's own tables have comments; one without is a test's. Few rows are deleted sooner than a table is
 * truncated. */
#define TEST_TABLES                                                                                          \
    " SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'"        \
    " AND c.relname <> 'schema_migrations' AND obj_description(c.oid) IS"

/* As it was when it was made. */
static inline void test_database_empty(const struct test_database *database)
{
    PGconn *pg = test_server_connect(database->url);
    const char *rows =
        "SET session_replication_role = replica; DO $$ DECLARE t regclass; BEGIN"
        " FOR t IN" TEST_TABLES " NULL LOOP EXECUTE format('DROP TABLE %s CASCADE', t); END LOOP;"
        " FOR t IN" TEST_TABLES
        " NOT NULL AND c.relname <> 'roles' LOOP EXECUTE format('DELETE FROM %s', t); END LOOP;"
        " FOR t IN SELECT oid FROM pg_class WHERE relkind = 'S' LOOP PERFORM setval(t, 1, false); END LOOP;"
        " DELETE FROM roles WHERE version > 1 OR created_at > '1971-01-01';"
        " INSERT INTO shop_settings (id) VALUES (1); END $$";
    (void)test_server_run(pg,
                          database->is_migrated ? rows : "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    PQfinish(pg);
}

static inline void test_database_take(struct test_store *at, bool is_migrated)
{
    struct test_database *database = test_databases;
    while (database->is_taken || (database->name[0] != '\0' && database->is_migrated != is_migrated))
        assert_true(++database < test_databases + COUNT_OF(test_databases));
    database->is_taken = true;
    database->is_migrated = is_migrated;
    if (database->name[0] == '\0')
        test_database_make(database);
    else
        test_database_empty(database);
    at->database = database;
    snprintf(at->url, sizeof(at->url), "%s", database->url);
}

/* ---- either ---- */

/* A folder and a database; `is_migrated`: it holds the shop's schema. Also starts what every test needs:
 * libsodium and the log. */
static inline void test_store_make(struct test_store *at, const char *label, bool is_migrated)
{
    *at = (struct test_store){.database = NULL};
    crypto_start();
    log_start(getenv("SOUK_TEST_LOG") ? LOG_DEBUG : LOG_OFF);
    snprintf(at->folder, sizeof(at->folder), "/tmp/souk-%s-XXXXXX", label);
    assert_non_null(mkdtemp(at->folder));
    if (test_is_postgres()) {
        test_database_take(at, is_migrated);
        return;
    }
    snprintf(at->path, sizeof(at->path), "%s/souk.db", at->folder);
    snprintf(at->url, sizeof(at->url), "sqlite:%s", at->path);
    if (is_migrated)
        test_migrate(at->url);
}

static inline struct store *test_store_open(const struct test_store *at, struct arena *arena)
{
    struct slice complaint = SLICE_ABSENT;
    struct store *store = store_open(&(struct store_options){.url = slice_from(at->url)}, arena, &complaint);
    if (store == NULL)
        fail_msg("%.*s", SLICE_ARG(complaint));
    return store;
}

static inline int test_store_unlink(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

/* After the store on it was closed. */
static inline void test_store_remove(const struct test_store *at)
{
    if (at->database != NULL)
        at->database->is_taken = false;
    assert_int_equal(nftw(at->folder, test_store_unlink, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* The text of a test's statement for both engines, which differ in one place. */
#define TEST_SQL(before, sqlite, postgres, after)                                                            \
    .sql = before sqlite after, .sql_postgres = before postgres after
/* Two moments, or one, that do not matter, at the end of what is inserted. */
#define TEST_TIMES(before) TEST_SQL(before, "1, 1)", "to_timestamp(1), to_timestamp(1))", "")
#define TEST_TIME(before) TEST_SQL(before, "1)", "to_timestamp(1))", "")

/* A statement without rows, in a transaction of its own. */
struct test_write {
    const struct db_statement *statement;
    struct db_args args;
};

static inline enum db_result test_write_run(struct db *db, void *arg)
{
    const struct test_write *write = arg;
    return db_run(db, write->statement, write->args);
}

static inline void test_write(struct db *db, const struct db_statement *statement, struct db_args args)
{
    struct test_write write = {statement, args};
    assert_int_equal(db_transaction(db, test_write_run, &write), DB_DONE);
}

static inline int64_t test_int(struct db *db, const struct db_statement *statement, struct db_args args)
{
    int64_t value = -1;
    assert_int_equal(db_one_int(db, statement, args, &value), DB_ROW);
    return value;
}
