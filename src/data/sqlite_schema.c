/* Schema changes on SQLite: a connection of its own, on which foreign keys are not enforced statement by
 * statement (a table that is rebuilt is dropped for a moment) but checked as a whole before the commit. */
#include "data/sqlite_private.h"

#include <stdio.h>
#include <stdlib.h>

/* A migration of a large shop may take a while, and whoever comes second waits for it. */
#define LOCK_WAIT_MS 60000

struct db_schema {
    struct sqlite_connection *connection;
    char error[512];
};

static bool fail(struct db_schema *schema, const char *text)
{
    snprintf(schema->error, sizeof(schema->error), "%s", text);
    return false;
}

static bool run(struct db_schema *schema, const char *sql)
{
    sqlite3 *handle = schema->connection->handle;
    if (sqlite3_exec(handle, sql, NULL, NULL, NULL) != SQLITE_OK)
        return fail(schema, sqlite3_errmsg(handle));
    return true;
}

bool sqlite_schema_exec(struct db_schema *schema, const char *sql)
{
    if (!run(schema, sql))
        return false;
    /* What came next, the record of the version first of all, would commit by itself. */
    if (sqlite3_get_autocommit(schema->connection->handle) != 0)
        return fail(schema, "the file ends the transaction that it runs in");
    return true;
}

struct db_schema *sqlite_schema_open(struct store *store, struct arena *arena, struct slice *complaint)
{
    struct sqlite_store *self = (struct sqlite_store *)store;
    struct sqlite_connection *connection = sqlite_connection_open(self, SQLITE_SERVICE, arena, complaint);
    if (connection == NULL)
        return NULL;
    struct db_schema *schema = calloc(1, sizeof(*schema));
    CHECK(schema != NULL);
    schema->connection = connection;
    sqlite_set_busy_wait(connection, LOCK_WAIT_MS);
    /* DDL is trusted: it is compiled into the binary. Defensive mode would bar rebuilds of full-text tables.
     */
    sqlite3_db_config(connection->handle, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
    if (!run(schema, "PRAGMA foreign_keys=OFF; PRAGMA legacy_alter_table=OFF")) {
        *complaint = arena_format(arena, "cannot change the schema: %s", schema->error);
        sqlite_schema_close(schema);
        return NULL;
    }
    return schema;
}

void sqlite_schema_close(struct db_schema *schema)
{
    sqlite_connection_close(schema->connection);
    free(schema);
}

bool sqlite_schema_begin(struct db_schema *schema)
{
    if (!run(schema, "BEGIN IMMEDIATE"))
        return false;
    if (sqlite_schema_exec(schema,
                           "CREATE TABLE IF NOT EXISTS schema_migrations ("
                           "version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL)"))
        return true;
    sqlite_schema_rollback(schema);
    return false;
}

/* False, with the first broken reference as the error, when the new schema leaves rows that point nowhere. */
static bool check_foreign_keys(struct db_schema *schema)
{
    sqlite3 *handle = schema->connection->handle;
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(handle, "PRAGMA foreign_key_check", -1, &stmt, NULL) != SQLITE_OK)
        return fail(schema, sqlite3_errmsg(handle));
    int code = sqlite3_step(stmt);
    if (code == SQLITE_ROW)
        snprintf(schema->error, sizeof(schema->error), "a row of %s refers to no row of %s",
                 (const char *)sqlite3_column_text(stmt, 0), (const char *)sqlite3_column_text(stmt, 2));
    else if (code != SQLITE_DONE)
        fail(schema, sqlite3_errmsg(handle));
    sqlite3_finalize(stmt);
    return code == SQLITE_DONE;
}

bool sqlite_schema_commit(struct db_schema *schema)
{
    return check_foreign_keys(schema) && run(schema, "COMMIT");
}

void sqlite_schema_rollback(struct db_schema *schema)
{
    if (sqlite3_get_autocommit(schema->connection->handle) == 0)
        sqlite3_exec(schema->connection->handle, "ROLLBACK", NULL, NULL, NULL);
}

int64_t sqlite_schema_versions(struct db_schema *schema, struct schema_version *list, size_t max)
{
    sqlite3 *handle = schema->connection->handle;
    sqlite3_stmt *stmt = NULL;
    int64_t count = 0;
    int code = sqlite3_prepare_v2(handle, "SELECT 1 FROM sqlite_schema WHERE name = 'schema_migrations'", -1,
                                  &stmt, NULL);
    code = code == SQLITE_OK ? sqlite3_step(stmt) : code;
    sqlite3_finalize(stmt);
    if (code == SQLITE_DONE)
        return 0;
    stmt = NULL;
    code = sqlite3_prepare_v2(handle, "SELECT version, applied_at FROM schema_migrations ORDER BY version",
                              -1, &stmt, NULL);
    while (code == SQLITE_OK && (code = sqlite3_step(stmt)) == SQLITE_ROW && (size_t)count < max) {
        list[count++] = (struct schema_version){sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1)};
        code = SQLITE_OK;
    }
    sqlite3_finalize(stmt);
    if (code == SQLITE_DONE || code == SQLITE_ROW || code == SQLITE_OK)
        return count;
    fail(schema, sqlite3_errmsg(handle));
    return -1;
}

const char *sqlite_schema_error(struct db_schema *schema)
{
    return schema->error;
}
