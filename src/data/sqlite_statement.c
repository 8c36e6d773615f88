/* Prepared statements on SQLite: the bounded cache of each connection, binding, stepping, columns. */
#include "data/sqlite_private.h"

#include "base/crypto.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

static struct sqlite_connection *connection_of(const struct db_rows *rows)
{
    return (struct sqlite_connection *)rows->db;
}

/* ---- the cache ---- */

static void list_remove(struct sqlite_list *list, struct sqlite_rows *rows)
{
    if (rows->previous == NULL)
        list->first = rows->next;
    else
        rows->previous->next = rows->next;
    if (rows->next == NULL)
        list->last = rows->previous;
    else
        rows->next->previous = rows->previous;
}

static void list_push(struct sqlite_list *list, struct sqlite_rows *rows)
{
    rows->previous = NULL;
    rows->next = list->first;
    if (list->last == NULL)
        list->last = rows;
    else
        list->first->previous = rows;
    list->first = rows;
}

static uint64_t hash_of(const struct db_call *call)
{
    if (call->statement != NULL)
        return (uint64_t)(uintptr_t)call->statement * UINT64_C(0x9E3779B97F4A7C15) >> 32;
    return hash64((struct slice){call->sql, call->sql_len});
}

static bool is_same(const struct sqlite_rows *rows, uint64_t hash, const struct db_call *call)
{
    if (rows->hash != hash || rows->statement != call->statement)
        return false;
    return call->statement != NULL || strcmp(sqlite3_sql(rows->stmt), call->sql) == 0;
}

/* An idle copy of the statement. A running one is passed over: it nests, or recurses, and needs another copy.
 */
static struct sqlite_rows *find_idle(struct sqlite_connection *connection, uint64_t hash,
                                     const struct db_call *call)
{
    struct sqlite_rows *rows = connection->buckets[hash % SQLITE_BUCKETS];
    while (rows != NULL && (rows->is_open || !is_same(rows, hash, call)))
        rows = rows->bucket_next;
    return rows;
}

void sqlite_statement_free(struct sqlite_connection *connection, struct sqlite_rows *rows)
{
    CHECK(!rows->is_open);
    struct sqlite_rows **link = &connection->buckets[rows->hash % SQLITE_BUCKETS];
    while (*link != rows)
        link = &(*link)->bucket_next;
    *link = rows->bucket_next;
    list_remove(&connection->idle, rows);
    connection->statement_count--;
    sqlite3_finalize(rows->stmt);
    free(rows);
}

/* Running statements cannot go, so that the cache may stand above its bound until they are closed. */
static void shrink_cache(struct sqlite_connection *connection)
{
    while (connection->statement_count > DB_STATEMENTS_CACHED && connection->idle.last != NULL) {
        CHECK(connection->idle.last->next == NULL);
        sqlite_statement_free(connection, connection->idle.last);
    }
}

/* ---- preparing ---- */

/* Whether the text is what its declaration says; fills the table of parameters. */
static bool matches_declaration(struct sqlite_rows *rows, const struct db_call *call)
{
    const char *fault = NULL;
    if ((size_t)sqlite3_bind_parameter_count(rows->stmt) != call->param_count)
        fault = "the text has another number of parameters than the statement declares";
    if (sqlite3_column_count(rows->stmt) != call->column_count)
        fault = "the text has another number of columns than the statement declares";
    for (size_t i = 0; i < call->param_count; i++) {
        char name[24];
        snprintf(name, sizeof(name), "$%zu", i + 1);
        rows->param_indexes[i] = sqlite3_bind_parameter_index(rows->stmt, name);
        if (rows->param_indexes[i] == 0)
            fault = "a declared parameter is not in the text";
    }
    if (fault != NULL)
        sqlite_log_failure("a statement is not as declared", 0, fault, call->sql);
    return fault == NULL;
}

/* *is_declared_right is false when the text prepares but its declaration lies: the programmer's mistake. */
static struct sqlite_rows *prepare(struct sqlite_connection *connection, uint64_t hash,
                                   const struct db_call *call, bool *is_declared_right)
{
    *is_declared_right = true;
    sqlite3_stmt *stmt = NULL;
    int code = sqlite3_prepare_v3(connection->handle, call->sql, (int)call->sql_len + 1,
                                  SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
    if (code != SQLITE_OK || stmt == NULL) {
        /* The message of a failed prepare speaks of the text alone; no parameter is bound yet. */
        sqlite_log_failure("a statement cannot be prepared", code, sqlite3_errmsg(connection->handle),
                           call->sql);
        return NULL;
    }
    struct sqlite_rows *rows = calloc(1, sizeof(*rows) + call->param_count * sizeof(struct uuid));
    CHECK(rows != NULL);
    rows->stmt = stmt;
    *is_declared_right = matches_declaration(rows, call);
    if (!*is_declared_right) {
        sqlite3_finalize(stmt);
        free(rows);
        return NULL;
    }
    rows->statement = call->statement;
    rows->hash = hash;
    rows->is_readonly = sqlite3_stmt_readonly(stmt) != 0;
    rows->base.db = &connection->base;
    rows->bucket_next = connection->buckets[hash % SQLITE_BUCKETS];
    connection->buckets[hash % SQLITE_BUCKETS] = rows;
    list_push(&connection->idle, rows);
    connection->statement_count++;
    return rows;
}

/* A copy that is free to run, from the cache or made now; NULL when the engine refuses the text. */
static struct sqlite_rows *obtain(struct sqlite_connection *connection, const struct db_call *call)
{
    uint64_t hash = hash_of(call);
    struct sqlite_rows *rows = find_idle(connection, hash, call);
    if (rows != NULL)
        return rows;
    bool is_declared_right;
    rows = prepare(connection, hash, call, &is_declared_right);
    CHECK(is_declared_right);
    return rows;
}

enum db_result sqlite_prepare(struct db *db, const struct db_call *call)
{
    struct sqlite_connection *connection = (struct sqlite_connection *)db;
    uint64_t hash = hash_of(call);
    bool is_declared_right;
    if (find_idle(connection, hash, call) == NULL &&
        prepare(connection, hash, call, &is_declared_right) == NULL)
        return DB_ERROR;
    shrink_cache(connection);
    return DB_DONE;
}

/* ---- running ---- */

static int bind_text(sqlite3_stmt *stmt, int index, struct slice text)
{
    return sqlite3_bind_text64(stmt, index, text.ptr, text.len, SQLITE_STATIC, SQLITE_UTF8);
}

static int bind_value(struct sqlite_rows *rows, size_t position, const struct db_value *value)
{
    int index = rows->param_indexes[position];
    if (value->is_null)
        return sqlite3_bind_null(rows->stmt, index);
    switch (value->type) {
    case DB_INT:
    case DB_BOOL:
    case DB_TIME:
        return sqlite3_bind_int64(rows->stmt, index, value->integer);
    case DB_UUID:
        rows->uuids[position] = value->uuid;
        return sqlite3_bind_blob(rows->stmt, index, rows->uuids[position].bytes, 16, SQLITE_STATIC);
    case DB_TEXT:
    case DB_JSON:
        return bind_text(rows->stmt, index, value->text);
    case DB_BLOB:
        return sqlite3_bind_blob64(rows->stmt, index, value->text.ptr, value->text.len, SQLITE_STATIC);
    case DB_END:
        break;
    }
    CHECK(!"the type of a parameter");
    return SQLITE_MISUSE;
}

static bool bind_all(struct sqlite_rows *rows, const struct db_call *call)
{
    for (size_t i = 0; i < call->param_count; i++) {
        int code = bind_value(rows, i, &call->values[i]);
        if (code != SQLITE_OK) {
            sqlite_log_failure("a parameter cannot be bound", code, sqlite3_errstr(code), call->sql);
            return false;
        }
    }
    return true;
}

/* A transaction that a failure has undone, whole or in part, takes no further statement: what would run now
 * is no longer part of what the closure believes in, and outside the transaction it would even commit by
 * itself. */
static bool is_refused(const struct sqlite_connection *connection)
{
    return connection->depth > 0 && (connection->is_lost || sqlite3_get_autocommit(connection->handle) != 0);
}

static struct db_rows *refuse(struct sqlite_connection *connection)
{
    connection->is_lost = connection->depth > 0;
    return &connection->failed;
}

static struct db_rows *start(struct sqlite_connection *connection, struct sqlite_rows *rows,
                             const struct db_call *call)
{
    if (!bind_all(rows, call))
        return refuse(connection);
    rows->base.columns = call->columns;
    rows->base.column_count = call->column_count;
    rows->base.has_row = false;
    rows->level = connection->depth;
    rows->is_open = true;
    list_remove(&connection->idle, rows);
    list_push(&connection->open, rows);
    shrink_cache(connection);
    return &rows->base;
}

struct db_rows *sqlite_query(struct db *db, const struct db_call *call)
{
    struct sqlite_connection *connection = (struct sqlite_connection *)db;
    if (is_refused(connection))
        return refuse(connection);
    sqlite_read_renew_if_old(connection);
    struct sqlite_rows *rows = obtain(connection, call);
    if (rows == NULL)
        return refuse(connection);
    CHECK(rows->is_readonly || connection->depth > 0); /* a write outside a transaction: see db_transaction */
    return start(connection, rows, call);
}

static enum db_result result_of(struct sqlite_rows *rows, int code)
{
    struct sqlite_connection *connection = connection_of(&rows->base);
    if (code == SQLITE_DONE)
        return DB_DONE;
    connection->is_lost = connection->depth > 0;
    if ((code & 0xff) == SQLITE_CONSTRAINT)
        return DB_CONFLICT;
    /* Not sqlite3_errmsg: full-text search puts what the visitor typed into it. */
    sqlite_log_failure("a statement failed", code, sqlite3_errstr(code), sqlite3_sql(rows->stmt));
    return DB_ERROR;
}

enum db_result sqlite_next(struct db_rows *base)
{
    struct sqlite_connection *connection = connection_of(base);
    if (base == &connection->failed)
        return DB_ERROR;
    struct sqlite_rows *rows = (struct sqlite_rows *)base;
    CHECK(rows->is_open);
    int code = sqlite3_step(rows->stmt);
    base->has_row = code == SQLITE_ROW;
    if (base->has_row)
        return DB_ROW;
    enum db_result result = result_of(rows, code);
    sqlite_close_rows(base);
    return result;
}

void sqlite_close_rows(struct db_rows *base)
{
    struct sqlite_connection *connection = connection_of(base);
    if (base == &connection->failed)
        return;
    struct sqlite_rows *rows = (struct sqlite_rows *)base;
    CHECK(rows->is_open);
    sqlite3_reset(rows->stmt);
    /* Counted after the reset, which is when SQLite settles it for a RETURNING that was not read to its end.
     */
    connection->changes = rows->is_readonly ? 0 : sqlite3_changes64(connection->handle);
    rows->is_open = false;
    base->has_row = false;
    list_remove(&connection->open, rows);
    list_push(&connection->idle, rows);
    shrink_cache(connection);
}

/* A single write on a reader's connection, as a transaction of its own on the lane. */
struct lone_write {
    const struct db_call *call;
    int64_t changes;
};

static enum db_result run_lone_write(struct db *db, void *arg)
{
    struct lone_write *write = arg;
    enum db_result result = sqlite_run(db, write->call);
    write->changes = sqlite_changes(db);
    return result;
}

enum db_result sqlite_run(struct db *db, const struct db_call *call)
{
    struct sqlite_connection *connection = (struct sqlite_connection *)db;
    struct db_rows *base;
    if (connection->depth == 0) {
        sqlite_read_renew_if_old(connection);
        struct sqlite_rows *rows = obtain(connection, call);
        if (rows != NULL && !rows->is_readonly) {
            struct lone_write write = {.call = call};
            enum db_result result = sqlite_transaction(db, run_lone_write, &write);
            connection->changes = write.changes;
            return result;
        }
        base = rows != NULL ? start(connection, rows, call) : refuse(connection);
    } else {
        base = sqlite_query(db, call);
    }
    enum db_result result;
    do
        result = sqlite_next(base);
    while (result == DB_ROW);
    return result;
}

int64_t sqlite_changes(struct db *db)
{
    return ((struct sqlite_connection *)db)->changes;
}

/* ---- columns ---- */

bool sqlite_is_null(struct db_rows *base, int column)
{
    return sqlite3_column_type(((struct sqlite_rows *)base)->stmt, column) == SQLITE_NULL;
}

int64_t sqlite_get_integer(struct db_rows *base, int column)
{
    sqlite3_stmt *stmt = ((struct sqlite_rows *)base)->stmt;
    int storage = sqlite3_column_type(stmt, column);
    CHECK(storage == SQLITE_INTEGER || storage == SQLITE_NULL);
    return sqlite3_column_int64(stmt, column);
}

struct uuid sqlite_get_uuid(struct db_rows *base, int column)
{
    sqlite3_stmt *stmt = ((struct sqlite_rows *)base)->stmt;
    struct uuid id = {0};
    if (sqlite3_column_type(stmt, column) == SQLITE_NULL)
        return id;
    CHECK(sqlite3_column_type(stmt, column) == SQLITE_BLOB);
    const void *bytes = sqlite3_column_blob(stmt, column);
    CHECK(sqlite3_column_bytes(stmt, column) == (int)sizeof(id.bytes));
    memcpy(id.bytes, bytes, sizeof(id.bytes));
    return id;
}

struct slice sqlite_get_bytes(struct db_rows *base, int column, enum db_type type)
{
    sqlite3_stmt *stmt = ((struct sqlite_rows *)base)->stmt;
    int storage = sqlite3_column_type(stmt, column);
    if (storage == SQLITE_NULL)
        return SLICE_ABSENT;
    CHECK(storage == (type == DB_BLOB ? SQLITE_BLOB : SQLITE_TEXT));
    /* _blob for texts too: it does not add the NUL that nobody needs, and so copies nothing. */
    const char *bytes = sqlite3_column_blob(stmt, column);
    int len = sqlite3_column_bytes(stmt, column);
    return (struct slice){bytes != NULL ? bytes : "", (size_t)len};
}
