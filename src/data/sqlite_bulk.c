/* Loading a whole shop into SQLite, and the long snapshot that a whole shop is read in. */
#include "data/sqlite_private.h"

#include <stdio.h>
#include <stdlib.h>

#define INSERT_BYTES_MAX 4096

/* The log goes back into the file as it comes: nobody else has the file open. 128 MiB for the pages of the
 * indexes, whose keys come in no order. References are looked at as a whole at the end. */
#define SETTINGS_BULK "PRAGMA foreign_keys=OFF; PRAGMA wal_autocheckpoint=4000; PRAGMA cache_size=-131072"

struct db_bulk {
    struct sqlite_connection *connection;
    sqlite3_stmt *insert; /* of the table that is being loaded */
    const struct db_bulk_table *table;
    char error[512];
};

/* ---- the snapshot ---- */

/* Not marked as reading: what is, is interrupted and renewed after READ_TRANSACTION_MS_MAX. */
bool sqlite_snapshot_begin(struct db *db)
{
    struct sqlite_connection *reader = (struct sqlite_connection *)db;
    CHECK(reader->depth == 0 && !reader->is_reading);
    return sqlite_control(reader, &reader->begin_read, "BEGIN") == SQLITE_OK;
}

void sqlite_snapshot_end(struct db *db)
{
    struct sqlite_connection *reader = (struct sqlite_connection *)db;
    sqlite_close_open_rows(reader, 0);
    sqlite_control(reader, &reader->rollback, "ROLLBACK");
}

/* ---- loading ---- */

static bool fail(struct db_bulk *bulk, const char *text)
{
    snprintf(bulk->error, sizeof(bulk->error), "%s", text);
    return false;
}

static bool run(struct db_bulk *bulk, const char *sql)
{
    sqlite3 *handle = bulk->connection->handle;
    return sqlite3_exec(handle, sql, NULL, NULL, NULL) == SQLITE_OK || fail(bulk, sqlite3_errmsg(handle));
}

struct db_bulk *sqlite_bulk_open(struct store *store, struct arena *arena, struct slice *complaint)
{
    struct sqlite_connection *connection =
        sqlite_connection_open((struct sqlite_store *)store, SQLITE_SERVICE, arena, complaint);
    if (connection == NULL)
        return NULL;
    struct db_bulk *bulk = calloc(1, sizeof(*bulk));
    CHECK(bulk != NULL);
    bulk->connection = connection;
    if (run(bulk, SETTINGS_BULK))
        return bulk;
    *complaint = arena_format(arena, "cannot load rows: %s", bulk->error);
    sqlite_bulk_close(bulk);
    return NULL;
}

void sqlite_bulk_close(struct db_bulk *bulk)
{
    sqlite3_finalize(bulk->insert);
    sqlite_connection_close(bulk->connection);
    free(bulk);
}

/* INSERT INTO name (a, b) VALUES (?1, ?2) */
static void insert_text(const struct db_bulk_table *table, char *sql, size_t size)
{
    size_t len = (size_t)snprintf(sql, size, "INSERT INTO %s (", table->name);
    for (int i = 0; i < table->column_count && len < size; i++)
        len += (size_t)snprintf(sql + len, size - len, "%s%s", i > 0 ? ", " : "", table->columns[i]);
    for (int i = 0; i < table->column_count && len < size; i++)
        len += (size_t)snprintf(sql + len, size - len, "%s?%d", i > 0 ? ", " : ") VALUES (", i + 1);
    CHECK(len + 2 < size);
    memcpy(sql + len, ")", 2);
}

bool sqlite_bulk_begin(struct db_bulk *bulk, const struct db_bulk_table *table)
{
    char sql[INSERT_BYTES_MAX];
    sqlite3 *handle = bulk->connection->handle;
    bulk->table = table;
    insert_text(table, sql, sizeof(sql));
    sqlite3_finalize(bulk->insert);
    bulk->insert = NULL;
    if (sqlite3_prepare_v3(handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &bulk->insert, NULL) != SQLITE_OK)
        return fail(bulk, sqlite3_errmsg(handle));
    return run(bulk, "BEGIN IMMEDIATE");
}

static int bind(sqlite3_stmt *stmt, int index, const struct db_value *value)
{
    if (value->is_null)
        return sqlite3_bind_null(stmt, index);
    switch (value->type) {
    case DB_INT:
    case DB_BOOL:
    case DB_TIME:
        return sqlite3_bind_int64(stmt, index, value->integer);
    case DB_UUID:
        return sqlite3_bind_blob(stmt, index, value->uuid.bytes, sizeof(value->uuid.bytes), SQLITE_STATIC);
    case DB_TEXT:
    case DB_JSON:
        return sqlite3_bind_text64(stmt, index, value->text.ptr, value->text.len, SQLITE_STATIC, SQLITE_UTF8);
    case DB_BLOB:
        return sqlite3_bind_blob64(stmt, index, value->text.ptr, value->text.len, SQLITE_STATIC);
    case DB_END:
        break;
    }
    UNREACHABLE("a value without a type");
}

bool sqlite_bulk_row(struct db_bulk *bulk, const struct db_value *values)
{
    int code = SQLITE_OK;
    for (int i = 0; i < bulk->table->column_count && code == SQLITE_OK; i++)
        code = bind(bulk->insert, i + 1, &values[i]);
    if (code == SQLITE_OK)
        code = sqlite3_step(bulk->insert);
    if (code != SQLITE_DONE)
        fail(bulk, sqlite3_errmsg(bulk->connection->handle));
    sqlite3_reset(bulk->insert);
    return code == SQLITE_DONE;
}

bool sqlite_bulk_commit(struct db_bulk *bulk)
{
    return run(bulk, "COMMIT");
}

void sqlite_bulk_rollback(struct db_bulk *bulk)
{
    if (sqlite3_get_autocommit(bulk->connection->handle) == 0)
        sqlite3_exec(bulk->connection->handle, "ROLLBACK", NULL, NULL, NULL);
}

/* The row numbers follow the greatest one by themselves. */
bool sqlite_bulk_finish(struct db_bulk *bulk)
{
    sqlite3 *handle = bulk->connection->handle;
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(handle, "PRAGMA foreign_key_check", -1, &stmt, NULL) != SQLITE_OK)
        return fail(bulk, sqlite3_errmsg(handle));
    int code = sqlite3_step(stmt);
    if (code == SQLITE_ROW)
        snprintf(bulk->error, sizeof(bulk->error), "a row of %s refers to no row of %s",
                 (const char *)sqlite3_column_text(stmt, 0), (const char *)sqlite3_column_text(stmt, 2));
    else if (code != SQLITE_DONE)
        fail(bulk, sqlite3_errmsg(handle));
    sqlite3_finalize(stmt);
    return code == SQLITE_DONE && run(bulk, "PRAGMA wal_checkpoint(TRUNCATE)");
}

const char *sqlite_bulk_error(struct db_bulk *bulk)
{
    return bulk->error;
}
