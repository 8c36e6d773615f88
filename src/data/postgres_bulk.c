/* Loading a whole shop into PostgreSQL by COPY in its binary format, and the long snapshot that a whole shop
 * is read in. */
#include "data/postgres_private.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>

#define BUFFER_BYTES ((size_t)256 << 10) /* what is gathered before it is given to libpq */
#define SQL_BYTES_MAX 4096
#define EPOCH_MS INT64_C(946684800000) /* 2000-01-01, PostgreSQL's zero */
#define OID_JSONB 3802
#define JSONB_VERSION 1

struct db_bulk {
    PGconn *pg;
    const struct db_bulk_table *table;
    bool is_jsonb[DB_COLUMNS_MAX]; /* its format has a byte more */
    bool is_copying;
    char *buffer;
    size_t len;
    char error[512];
};

/* ---- the snapshot ---- */

static bool control(struct postgres_connection *connection, const char *sql)
{
    enum db_result result;
    const struct postgres_flight flight = {.control = sql};
    PQclear(postgres_fly(connection, &flight, &result));
    return result == DB_DONE;
}

/* As inside a transaction: a connection that breaks is not replaced by one with another snapshot. */
bool postgres_snapshot_begin(struct db *db)
{
    struct postgres_connection *connection = (struct postgres_connection *)db;
    CHECK(connection->depth == 0);
    connection->isolation = "REPEATABLE READ, READ ONLY";
    connection->is_begin_waiting = true;
    connection->is_lost = false;
    connection->must_rerun = false;
    connection->depth = 1;
    if (control(connection, "SET LOCAL idle_in_transaction_session_timeout = 0"))
        return true;
    postgres_snapshot_end(db);
    return false;
}

void postgres_snapshot_end(struct db *db)
{
    struct postgres_connection *connection = (struct postgres_connection *)db;
    postgres_close_open_rows(connection, 1);
    if (connection->pg != NULL && !connection->is_begin_waiting && !control(connection, "ROLLBACK"))
        postgres_drop(connection);
    connection->is_begin_waiting = false;
    connection->is_lost = false;
    connection->must_rerun = false;
    connection->depth = 0;
}

/* ---- the connection ---- */

static bool fail(struct db_bulk *bulk, const char *text)
{
    struct slice line = slice_trim(slice_from(text));
    snprintf(bulk->error, sizeof(bulk->error), "%.*s", SLICE_ARG(line));
    return false;
}

/* The server's own words without the detail, which holds values of the row. */
static bool fail_by(struct db_bulk *bulk, const PGresult *result)
{
    const char *reason = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    return fail(bulk, reason != NULL ? reason : PQerrorMessage(bulk->pg));
}

/* Whether the result is a success; it is cleared. */
static bool accept(struct db_bulk *bulk, PGresult *result, ExecStatusType wanted)
{
    bool is_good = PQresultStatus(result) == wanted;
    if (!is_good)
        fail_by(bulk, result);
    PQclear(result);
    return is_good;
}

static bool run(struct db_bulk *bulk, const char *sql)
{
    return accept(bulk, PQexec(bulk->pg, sql), PGRES_COMMAND_OK);
}

struct db_bulk *postgres_bulk_open(struct store *store, struct arena *arena, struct slice *complaint)
{
    PGconn *pg =
        postgres_server_connect_service(&((struct postgres_store *)store)->primary, arena, complaint);
    if (pg == NULL)
        return NULL;
    struct db_bulk *bulk = calloc(1, sizeof(*bulk));
    CHECK(bulk != NULL);
    bulk->pg = pg;
    bulk->buffer = malloc(BUFFER_BYTES);
    CHECK(bulk->buffer != NULL);
    if (run(bulk, "SET statement_timeout = 0") && run(bulk, "SET lock_timeout = '10s'") &&
        run(bulk, "SET idle_in_transaction_session_timeout = 0"))
        return bulk;
    *complaint = arena_format(arena, "cannot load rows: %s", bulk->error);
    postgres_bulk_close(bulk);
    return NULL;
}

void postgres_bulk_close(struct db_bulk *bulk)
{
    PQfinish(bulk->pg);
    free(bulk->buffer);
    free(bulk);
}

/* ---- what goes over the wire ---- */

static bool flush(struct db_bulk *bulk)
{
    bool is_sent = PQputCopyData(bulk->pg, bulk->buffer, (int)bulk->len) == 1;
    bulk->len = 0;
    return is_sent || fail(bulk, PQerrorMessage(bulk->pg));
}

/* Small pieces are gathered; one that is larger than the buffer goes by itself. */
static bool put(struct db_bulk *bulk, const void *bytes, size_t len)
{
    if (len > BUFFER_BYTES - bulk->len && !flush(bulk))
        return false;
    if (len > BUFFER_BYTES)
        return PQputCopyData(bulk->pg, bytes, (int)len) == 1 || fail(bulk, PQerrorMessage(bulk->pg));
    memcpy(bulk->buffer + bulk->len, bytes, len);
    bulk->len += len;
    return true;
}

static bool put_uint16(struct db_bulk *bulk, unsigned value)
{
    uint16_t wire = htobe16((uint16_t)value);
    return put(bulk, &wire, sizeof(wire));
}

static bool put_uint32(struct db_bulk *bulk, uint32_t value)
{
    uint32_t wire = htobe32(value);
    return put(bulk, &wire, sizeof(wire));
}

static bool put_int64(struct db_bulk *bulk, int64_t value)
{
    uint64_t wire = htobe64((uint64_t)value);
    return put_uint32(bulk, sizeof(wire)) && put(bulk, &wire, sizeof(wire));
}

static bool put_bytes(struct db_bulk *bulk, struct slice bytes)
{
    return put_uint32(bulk, (uint32_t)bytes.len) && put(bulk, bytes.ptr, bytes.len);
}

static bool put_json(struct db_bulk *bulk, struct slice text, bool is_jsonb)
{
    const char version = JSONB_VERSION;
    if (!is_jsonb)
        return put_bytes(bulk, text);
    return put_uint32(bulk, (uint32_t)text.len + 1) && put(bulk, &version, 1) &&
           put(bulk, text.ptr, text.len);
}

/* A time that cannot be told in microseconds is of no shop: the row is refused rather than changed. */
static bool put_time(struct db_bulk *bulk, int64_t time_ms)
{
    int64_t time_us;
    if (__builtin_sub_overflow(time_ms, EPOCH_MS, &time_us) ||
        __builtin_mul_overflow(time_us, INT64_C(1000), &time_us))
        return fail(bulk, "a time is out of range");
    return put_int64(bulk, time_us);
}

static bool put_value(struct db_bulk *bulk, const struct db_value *value, bool is_jsonb)
{
    const char flag = value->integer != 0;
    if (value->is_null)
        return put_uint32(bulk, UINT32_MAX);
    switch (value->type) {
    case DB_INT:
        return put_int64(bulk, value->integer);
    case DB_TIME:
        return put_time(bulk, value->integer);
    case DB_BOOL:
        return put_uint32(bulk, 1) && put(bulk, &flag, 1);
    case DB_UUID:
        return put_bytes(bulk, (struct slice){(const char *)value->uuid.bytes, sizeof(value->uuid.bytes)});
    case DB_JSON:
        return put_json(bulk, value->text, is_jsonb);
    case DB_TEXT:
    case DB_BLOB:
        return put_bytes(bulk, value->text);
    case DB_END:
        break;
    }
    UNREACHABLE("a value without a type");
}

/* ---- loading ---- */

/* "a, b" */
static void column_list(const struct db_bulk_table *table, char *list, size_t size)
{
    size_t len = 0;
    for (int i = 0; i < table->column_count && len < size; i++)
        len += (size_t)snprintf(list + len, size - len, "%s%s", i > 0 ? ", " : "", table->columns[i]);
    CHECK(len < size);
}

/* Finds out which columns are jsonb: the format says nothing of types. */
static bool find_types(struct db_bulk *bulk, const char *columns)
{
    char sql[SQL_BYTES_MAX];
    snprintf(sql, sizeof(sql), "SELECT %s FROM %s LIMIT 0", columns, bulk->table->name);
    PGresult *result = PQexec(bulk->pg, sql);
    for (int i = 0; i < PQnfields(result); i++)
        bulk->is_jsonb[i] = PQftype(result, i) == OID_JSONB;
    return accept(bulk, result, PGRES_TUPLES_OK);
}

bool postgres_bulk_begin(struct db_bulk *bulk, const struct db_bulk_table *table)
{
    static const char HEADER[19] = "PGCOPY\n\377\r\n"; /* with its NUL, no flags, no extension */
    char columns[SQL_BYTES_MAX - 256];
    char sql[SQL_BYTES_MAX];
    CHECK(table->column_count <= DB_COLUMNS_MAX);
    bulk->table = table;
    bulk->len = 0;
    column_list(table, columns, sizeof(columns));
    snprintf(sql, sizeof(sql), "COPY %s (%s) FROM STDIN (FORMAT binary)", table->name, columns);
    if (!run(bulk, "BEGIN") || !run(bulk, "SET CONSTRAINTS ALL DEFERRED") || !find_types(bulk, columns))
        return false;
    bulk->is_copying = accept(bulk, PQexec(bulk->pg, sql), PGRES_COPY_IN);
    return bulk->is_copying && put(bulk, HEADER, sizeof(HEADER));
}

bool postgres_bulk_row(struct db_bulk *bulk, const struct db_value *values)
{
    bool is_sent = put_uint16(bulk, (unsigned)bulk->table->column_count);
    for (int i = 0; i < bulk->table->column_count && is_sent; i++)
        is_sent = put_value(bulk, &values[i], bulk->is_jsonb[i]);
    return is_sent;
}

/* The first failure among what the server still has to say. */
static bool end_copy(struct db_bulk *bulk, const char *refusal)
{
    bulk->is_copying = false;
    bool is_good = PQputCopyEnd(bulk->pg, refusal) == 1;
    if (!is_good)
        fail(bulk, PQerrorMessage(bulk->pg));
    for (PGresult *result; (result = PQgetResult(bulk->pg)) != NULL;) {
        bool was_good = is_good;
        is_good = is_good && PQresultStatus(result) == PGRES_COMMAND_OK;
        if (was_good && !is_good)
            fail_by(bulk, result);
        PQclear(result);
    }
    return is_good;
}

bool postgres_bulk_commit(struct db_bulk *bulk)
{
    CHECK(bulk->is_copying);
    if (!put_uint16(bulk, 0xFFFF) || !flush(bulk))
        return false;
    return end_copy(bulk, NULL) && run(bulk, "COMMIT");
}

void postgres_bulk_rollback(struct db_bulk *bulk)
{
    char error[sizeof(bulk->error)];
    memcpy(error, bulk->error, sizeof(error)); /* what went wrong, not that it was given up */
    /* A server that has refused a row says why now: sending more to it only told that it does not listen. */
    bool was_copying = bulk->is_copying;
    if (was_copying)
        end_copy(bulk, "given up");
    if (!was_copying || error[0] != '\0')
        memcpy(bulk->error, error, sizeof(error));
    PGTransactionStatusType status = PQtransactionStatus(bulk->pg);
    if (status == PQTRANS_INTRANS || status == PQTRANS_INERROR)
        PQclear(PQexec(bulk->pg, "ROLLBACK"));
}

/* Every counter of this schema goes on behind the greatest number that was loaded. */
#define COUNTERS_SQL                                                                                         \
    "DO $$ DECLARE one record; BEGIN"                                                                        \
    " FOR one IN SELECT c.oid::regclass AS name, a.attname AS number FROM pg_attribute a"                    \
    " JOIN pg_class c ON c.oid = a.attrelid"                                                                 \
    " WHERE a.attidentity <> '' AND c.relnamespace = current_schema()::regnamespace LOOP"                    \
    " EXECUTE format('SELECT setval(pg_get_serial_sequence(%L, %L), GREATEST(MAX(%I), 1), MAX(%I) IS NOT"    \
    " NULL) FROM %s', one.name, one.number, one.number, one.number, one.name);"                              \
    " END LOOP; END $$"

/* Without the statistics the first pages would be looked for in the slowest way; VACUUM besides lets indexes
 * answer alone. It says how it went by itself where a role may not look after some table. */
bool postgres_bulk_finish(struct db_bulk *bulk)
{
    return run(bulk, COUNTERS_SQL) && run(bulk, "VACUUM (ANALYZE)");
}

const char *postgres_bulk_error(struct db_bulk *bulk)
{
    return bulk->error;
}
