/* The schema's versions: a table of files of the test's own, and what the binary carries. */
#include "fixture.h"

#include "base/buf.h"
#include "data/migrations_private.h"

#include <sqlite3.h>
#include <sys/wait.h>

static const struct migration_file files[] = {
    {"0001_ground.up.sql",
     "CREATE TABLE a (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO a VALUES (1, 'one');"},
    {"0001_ground.down.sql", "DROP TABLE a;"},
    {"0002_more.up.sql",
     "CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a); INSERT INTO b VALUES (1, 1);"},
    {"0002_more.sqlite.up.sql", "CREATE INDEX b_a ON b (a) WHERE a IS NOT NULL;"},
    {"0002_more.postgres.up.sql", "CREATE INDEX b_a ON b (a) WHERE a IS NOT NULL;"},
    {"0002_more.another.up.sql", "this is not for us"},
    {"0002_more.sqlite.down.sql", "DROP INDEX b_a;"},
    {"0002_more.postgres.down.sql", "DROP INDEX b_a;"},
    {"0002_more.down.sql", "DROP TABLE b;"},
    /* A table that others refer to is rebuilt: possible only while references are not enforced row by row. */
    {"0003_rebuild.sqlite.up.sql",
     "CREATE TABLE a_new (id INTEGER PRIMARY KEY, name TEXT NOT NULL, extra TEXT);"
     "INSERT INTO a_new (id, name) SELECT id, name FROM a; DROP TABLE a;"
     "ALTER TABLE a_new RENAME TO a;"},
    {"0003_rebuild.postgres.up.sql", "ALTER TABLE a ADD COLUMN extra TEXT, ALTER COLUMN name SET NOT NULL"},
    {"0003_rebuild.postgres.down.sql", "ALTER TABLE a DROP COLUMN extra, ALTER COLUMN name DROP NOT NULL"},
    {"0003_rebuild.sqlite.down.sql",
     "CREATE TABLE a_old (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO a_old SELECT id, name "
     "FROM a; DROP TABLE a; ALTER TABLE a_old RENAME TO a;"},
    {NULL, NULL},
};

DB_STATEMENT(ROWS_OF_B) = {
    .sql = "SELECT count(*) FROM b JOIN a ON a.id = b.a WHERE a.name = 'one'",
    .columns = {DB_INT},
};

DB_STATEMENT(COUNT_OBJECTS) = {
    .sql =
        "SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' AND name <> 'schema_migrations'",
    .sql_postgres = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                    " AND relname NOT LIKE 'schema_migrations%'",
    .columns = {DB_INT},
};

static int begin(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    *state = fixture;
    fixture_folder(fixture);
    fixture_open(fixture);
    return 0;
}

/* All that a migration can leave in the schema `public`, one thing a line. */
#define POSTGRES_SCHEMA                                                                                               \
    "WITH t AS (SELECT c.* FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace"                             \
    " AND c.relname NOT LIKE 'schema_migrations%' AND NOT EXISTS"                                                     \
    " (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e'))"                                         \
    " SELECT string_agg(line, E'\\n' ORDER BY line) FROM ("                                                           \
    "SELECT concat_ws(' ', 'class', relname, relkind, reloptions, obj_description(oid, 'pg_class')) AS line"          \
    " FROM t UNION ALL SELECT concat_ws(' ', 'column', t.relname, a.attname, format_type(a.atttypid, a.atttypmod),"   \
    " a.attnotnull, a.attidentity, a.attgenerated, a.attcollation::regcollation, pg_get_expr(d.adbin, d.adrelid),"    \
    " col_description(t.oid, a.attnum)) FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0"            \
    " AND NOT a.attisdropped LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum"                      \
    " UNION ALL SELECT pg_get_indexdef(oid) FROM t WHERE relkind = 'i'"                                               \
    " UNION ALL SELECT concat_ws(' ', t.relname, c.conname, pg_get_constraintdef(c.oid)) FROM t"                      \
    " JOIN pg_constraint c ON c.conrelid = t.oid"                                                                     \
    " UNION ALL SELECT pg_get_triggerdef(g.oid) FROM t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal" \
    " UNION ALL SELECT pg_get_functiondef(p.oid) || obj_description(p.oid, 'pg_proc') FROM pg_proc p"                 \
    " WHERE p.pronamespace = 'public'::regnamespace AND p.prokind <> 'a' AND NOT EXISTS"                              \
    " (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"                                          \
    " UNION ALL SELECT 'extension ' || extname FROM pg_extension) AS lines"

static struct slice schema_of_postgres(struct fixture *fixture)
{
    PGconn *pg = test_server_connect(fixture->at.url);
    PGresult *result = PQexec(pg, POSTGRES_SCHEMA);
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        fail_msg("%s", PQerrorMessage(pg));
    struct slice text = arena_copy(&fixture->arena, slice_from(PQgetvalue(result, 0, 0)));
    PQclear(result);
    PQfinish(pg);
    return text;
}

/* The whole schema as one text, without the table of versions; quotes that a rename adds do not count. */
static struct slice schema_of(struct fixture *fixture)
{
    if (test_is_postgres())
        return schema_of_postgres(fixture);
    sqlite3 *handle;
    sqlite3_stmt *stmt;
    struct buf text;
    buf_init(&text, &fixture->arena);
    assert_int_equal(sqlite3_open(fixture->path, &handle), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(handle,
                           "SELECT type || ' ' || name || ' ' || coalesce(replace(sql, '\"', ''), '') FROM "
                           "sqlite_schema WHERE name <> 'schema_migrations' ORDER BY type, name",
                           -1, &stmt, NULL),
        SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        buf_append(&text, slice_from((const char *)sqlite3_column_text(stmt, 0)));
        buf_append_char(&text, '\n');
    }
    sqlite3_finalize(stmt);
    sqlite3_close(handle);
    return arena_copy(&fixture->arena, buf_slice(&text));
}

static int64_t go(struct fixture *fixture, const struct migration_file *table, int64_t steps)
{
    int64_t applied = -1;
    struct slice complaint = SLICE_ABSENT;
    bool ok = steps > 0
                  ? migrations_run_up(fixture->store, table, &fixture->arena, &applied, &complaint)
                  : migrations_run_down(fixture->store, table, -steps, &fixture->arena, &applied, &complaint);
    if (!ok)
        fail_msg("%.*s", SLICE_ARG(complaint));
    return applied;
}

static void up_down_and_up_again(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(migrations_current(fixture->store), 0);
    assert_int_equal(go(fixture, files, 1), 3);
    assert_int_equal(go(fixture, files, 1), 0);
    assert_int_equal(migrations_current(fixture->store), 3);
    int64_t rows = 0;
    assert_int_equal(db_one_int(fixture->db, &ROWS_OF_B, DB_NO_ARGS, &rows), DB_ROW);
    assert_int_equal(rows, 1);
    assert_int_equal(go(fixture, files, -99), 3);
    assert_int_equal(migrations_current(fixture->store), 0);
    assert_int_equal(db_one_int(fixture->db, &COUNT_OBJECTS, DB_NO_ARGS, &rows), DB_ROW);
    assert_int_equal(rows, 0);
    assert_int_equal(go(fixture, files, 1), 3);
}

/* For a table of files: the schema after each version, and again on the way down. */
static void check_each_step(struct fixture *fixture, const struct migration_file *table)
{
    struct migration *list = ARENA_ARRAY(&fixture->arena, struct migration, MIGRATIONS_MAX);
    struct slice complaint;
    struct slice *schemas = ARENA_ARRAY(&fixture->arena, struct slice, MIGRATIONS_MAX);
    int64_t count = migrations_collect(table, test_is_postgres() ? "postgres" : "sqlite", list,
                                       MIGRATIONS_MAX, &fixture->arena, &complaint);
    assert_true(count >= 0);
    size_t file_count = 0;
    while (table[file_count].name != NULL)
        file_count++;
    schemas[0] = schema_of(fixture);
    for (int64_t i = 0; i < count; i++) { /* up one by one: the files of the versions up to there */
        struct migration_file *some = ARENA_ARRAY(&fixture->arena, struct migration_file, file_count + 1);
        for (size_t j = 0, kept = 0; j < file_count; j++)
            if (strtoll(table[j].name, NULL, 10) <= list[i].version)
                some[kept++] = table[j];
        assert_int_equal(go(fixture, some, 1), 1);
        schemas[i + 1] = schema_of(fixture);
    }
    for (int64_t i = count; i > 0; i--) {
        assert_int_equal(go(fixture, table, -1), 1);
        assert_string_equal(schema_of(fixture).ptr, schemas[i - 1].ptr);
    }
}

static void each_down_restores_the_schema_before_it(void **state)
{
    check_each_step(*state, files);
}

static void the_shops_own_migrations_go_up_and_down(void **state)
{
    struct fixture *fixture = *state;
    check_each_step(fixture, migration_files);
    int64_t applied;
    struct slice complaint = SLICE_ABSENT;
    assert_true(migrations_up(fixture->store, &fixture->arena, &applied, &complaint));
    assert_int_equal(migrations_current(fixture->store), migrations_latest());
    struct migration_status *list = ARENA_ARRAY(&fixture->arena, struct migration_status, MIGRATIONS_MAX);
    size_t count = migrations_status(fixture->store, &fixture->arena, list, MIGRATIONS_MAX);
    assert_int_equal(count, applied);
    for (size_t i = 0; i < count; i++)
        assert_true(list[i].applied_at_ms > 0);
}

static void expect_refusal(struct fixture *fixture, const struct migration_file *table, const char *part)
{
    int64_t applied;
    struct slice complaint = SLICE_ABSENT;
    struct slice before = schema_of(fixture);
    assert_false(migrations_run_up(fixture->store, table, &fixture->arena, &applied, &complaint));
    if (complaint.ptr == NULL || strstr(complaint.ptr, part) == NULL)
        fail_msg("expected \"%s\" in \"%.*s\"", part, SLICE_ARG(complaint));
    assert_string_equal(schema_of(fixture).ptr, before.ptr);
}

static void a_failing_migration_leaves_nothing_of_itself(void **state)
{
    struct fixture *fixture = *state;
    go(fixture, files, 1);
    struct migration_file more[COUNT_OF(files) + 1];
    memcpy(more, files, sizeof(files));
    more[COUNT_OF(files)] = (struct migration_file){NULL, NULL};
    struct migration_file *last = &more[COUNT_OF(files) - 1];
    *last =
        (struct migration_file){"0004_bad.up.sql", "CREATE TABLE c (x INTEGER); CREATE TABLE c (x INTEGER);"};
    expect_refusal(fixture, more,
                   test_is_postgres() ? "migration 4 (bad) up failed: ERROR:  relation \"c\" already exists"
                                      : "migration 4 (bad) up failed: table c already exists");
    last->sql = "CREATE TABLE c (x INTEGER); DELETE FROM a;";
    expect_refusal(fixture, more,
                   test_is_postgres() ? "violates foreign key constraint"
                                      : "a row of b refers to no row of a");
    last->sql = "CREATE TABLE c (x INTEGER); ROLLBACK;";
    expect_refusal(fixture, more, "migration 4 (bad)");
    last->name = "0003_another.up.sql";
    expect_refusal(fixture, more, "same number");
    last->name = "four.up.sql";
    expect_refusal(fixture, more, "NNNN_name");
    last->name = "0004_only.down.sql";
    expect_refusal(fixture, more, "no file to go up");
    assert_int_equal(migrations_current(fixture->store), 3);
}

static void a_newer_database_is_refused(void **state)
{
    struct fixture *fixture = *state;
    go(fixture, files, 1);
    struct migration_file older[] = {files[0], files[1], {NULL, NULL}};
    expect_refusal(fixture, older, "the database is at version 3, this souk knows versions up to 1");
    int64_t applied;
    struct slice complaint = SLICE_ABSENT;
    assert_false(migrations_run_down(fixture->store, older, 1, &fixture->arena, &applied, &complaint));
    assert_non_null(strstr(complaint.ptr, "newer souk"));
}

static void what_has_no_way_down_says_so(void **state)
{
    struct fixture *fixture = *state;
    struct migration_file one_way[] = {files[0], {NULL, NULL}};
    go(fixture, one_way, 1);
    int64_t applied;
    struct slice complaint = SLICE_ABSENT;
    assert_false(migrations_run_down(fixture->store, one_way, 1, &fixture->arena, &applied, &complaint));
    assert_non_null(strstr(complaint.ptr, "cannot be undone"));
    assert_int_equal(migrations_current(fixture->store), 1);
}

static void processes_that_start_together_migrate_once(void **state)
{
    struct fixture *fixture = *state;
    fixture_close(fixture);
    pid_t children[6];
    for (size_t i = 0; i < COUNT_OF(children); i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] != 0)
            continue;
        int64_t applied = 0;
        struct slice complaint;
        fixture_open(fixture);
        bool ok = migrations_run_up(fixture->store, files, &fixture->arena, &applied, &complaint);
        fixture_close(fixture);
        _exit(ok ? (int)applied : 100);
    }
    int applied = 0;
    for (size_t i = 0; i < COUNT_OF(children); i++) {
        int status = -1;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status));
        applied += WEXITSTATUS(status);
    }
    assert_int_equal(applied, 3);
    fixture_open(fixture);
    assert_int_equal(migrations_current(fixture->store), 3);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, fixture_end)
    const struct CMUnitTest tests[] = {
        CASE(processes_that_start_together_migrate_once),
        CASE(up_down_and_up_again),
        CASE(each_down_restores_the_schema_before_it),
        CASE(the_shops_own_migrations_go_up_and_down),
        CASE(a_failing_migration_leaves_nothing_of_itself),
        CASE(a_newer_database_is_refused),
        CASE(what_has_no_way_down_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
