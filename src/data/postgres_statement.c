/* Statements on PostgreSQL: arguments and columns in its binary format, rows that are all here once the
 * statement has run. */
#include "data/postgres_private.h"

#include "base/clock.h"
#include "base/log.h"

#include <endian.h>
#include <stdlib.h>

/* Of pg_type.dat; part of the wire protocol, they never change. */
enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_NAME = 19,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_JSON = 114,
    OID_BPCHAR = 1042,
    OID_VARCHAR = 1043,
    OID_TIMESTAMPTZ = 1184,
    OID_NUMERIC = 1700,
    OID_UUID = 2950,
    OID_JSONB = 3802
};

#define EPOCH_MS INT64_C(946684800000) /* 2000-01-01, PostgreSQL's zero, in milliseconds since 1970 */

/* ---- arguments ---- */

/* JSON goes as text of no type: the column says whether it is json or jsonb. */
static Oid type_of(enum db_type type)
{
    switch (type) {
    case DB_INT:
        return OID_INT8;
    case DB_BOOL:
        return OID_BOOL;
    case DB_TIME:
        return OID_TIMESTAMPTZ;
    case DB_UUID:
        return OID_UUID;
    case DB_TEXT:
        return OID_TEXT;
    case DB_JSON:
        return 0;
    case DB_BLOB:
        return OID_BYTEA;
    case DB_END:
        break;
    }
    UNREACHABLE("a type without an OID");
}

void postgres_params_types(struct postgres_params *params, const struct db_call *call)
{
    for (size_t i = 0; i < call->param_count; i++)
        params->types[i] = type_of(call->params[i]);
}

static void put_int64(struct postgres_params *params, size_t i, int64_t value)
{
    uint64_t wire = htobe64((uint64_t)value);
    memcpy(params->bytes[i], &wire, sizeof(wire));
    params->values[i] = params->bytes[i];
    params->lengths[i] = sizeof(wire);
}

static void put(struct postgres_params *params, size_t i, const struct db_value *value)
{
    switch (value->type) {
    case DB_INT:
        put_int64(params, i, value->integer);
        return;
    case DB_TIME:
        put_int64(params, i, (value->integer - EPOCH_MS) * 1000);
        return;
    case DB_BOOL:
        params->bytes[i][0] = value->integer != 0;
        params->values[i] = params->bytes[i];
        params->lengths[i] = 1;
        return;
    case DB_UUID:
        memcpy(params->bytes[i], value->uuid.bytes, sizeof(value->uuid.bytes));
        params->values[i] = params->bytes[i];
        params->lengths[i] = sizeof(value->uuid.bytes);
        return;
    case DB_TEXT:
    case DB_JSON:
    case DB_BLOB:
        params->values[i] = value->text.ptr;
        params->lengths[i] = (int)value->text.len;
        return;
    case DB_END:
        break;
    }
    UNREACHABLE("a value without a type");
}

static bool is_json(const struct db_value *value)
{
    return value->type == DB_JSON && !value->is_null;
}

/* JSON travels in text format, which ends at a NUL: a copy of it gets one. */
static void put_json(struct postgres_connection *connection, struct postgres_params *params,
                     const struct db_call *call)
{
    size_t wanted = 0;
    for (size_t i = 0; i < call->param_count; i++)
        wanted += is_json(&call->values[i]) ? call->values[i].text.len + 1 : 0;
    if (wanted > connection->scratch_room) {
        free(connection->scratch);
        connection->scratch = malloc(wanted);
        CHECK(connection->scratch != NULL);
        connection->scratch_room = wanted;
    }
    char *at = connection->scratch;
    for (size_t i = 0; i < call->param_count; i++) {
        const struct db_value *value = &call->values[i];
        if (!is_json(value))
            continue;
        memcpy(at, value->text.ptr, value->text.len);
        at[value->text.len] = '\0';
        params->values[i] = at;
        at += value->text.len + 1;
    }
}

void postgres_params_fill(struct postgres_connection *connection, struct postgres_params *params,
                          const struct db_call *call)
{
    bool has_json = false;
    for (size_t i = 0; i < call->param_count; i++) {
        const struct db_value *value = &call->values[i];
        params->formats[i] = value->type == DB_JSON ? 0 : 1;
        params->values[i] = NULL;
        params->lengths[i] = 0;
        has_json = has_json || is_json(value);
        if (!value->is_null && value->type != DB_JSON)
            put(params, i, value);
    }
    if (has_json)
        put_json(connection, params, call);
}

/* ---- columns ---- */

static bool type_fits(Oid oid, enum db_type type)
{
    switch (type) {
    case DB_INT:
        return oid == OID_INT8 || oid == OID_INT4 || oid == OID_INT2 || oid == OID_NUMERIC;
    case DB_BOOL:
        return oid == OID_BOOL;
    case DB_TIME:
        return oid == OID_TIMESTAMPTZ;
    case DB_UUID:
        return oid == OID_UUID;
    case DB_TEXT:
        return oid == OID_TEXT || oid == OID_VARCHAR || oid == OID_BPCHAR || oid == OID_NAME;
    case DB_JSON:
        return oid == OID_JSON || oid == OID_JSONB;
    case DB_BLOB:
        return oid == OID_BYTEA;
    case DB_END:
        break;
    }
    return false;
}

/* Whether the result's columns are what the statement declares; the log says which are not. */
static bool columns_fit(const PGresult *result, const struct db_call *call)
{
    bool fits = PQnfields(result) == call->column_count;
    if (!fits)
        log_message(LOG_ERROR, "a statement has %d columns and declares %d: %s", PQnfields(result),
                    call->column_count, call->sql);
    for (int i = 0; fits && i < call->column_count; i++) {
        fits = type_fits(PQftype(result, i), call->columns[i]);
        if (!fits)
            log_message(LOG_ERROR, "column %d of a statement is of type %u, not the declared one: %s", i,
                        PQftype(result, i), call->sql);
    }
    return fits;
}

static uint16_t read_uint16(const char *bytes)
{
    uint16_t wire;
    memcpy(&wire, bytes, sizeof(wire));
    return be16toh(wire);
}

static int64_t read_integer(const char *bytes, int len)
{
    uint64_t wide;
    uint32_t narrow;
    switch (len) {
    case 1:
        return bytes[0];
    case 2:
        return (int16_t)read_uint16(bytes);
    case 4:
        memcpy(&narrow, bytes, sizeof(narrow));
        return (int32_t)be32toh(narrow);
    case 8:
        memcpy(&wide, bytes, sizeof(wide));
        return (int64_t)be64toh(wide);
    default:
        UNREACHABLE("an integer of no known length");
    }
}

/* A sum of bigint is numeric: digits to the base of 10,000, the first with the weight of base^weight; a
 * fraction is cut off (there is none in a sum). Past 64 bits it stays at the end of the range. */
static int64_t read_numeric(const char *bytes)
{
    int digits = read_uint16(bytes);
    int weight = (int16_t)read_uint16(bytes + 2);
    bool is_negative = read_uint16(bytes + 4) == 0x4000;
    int64_t value = 0;
    for (int i = 0; i <= weight; i++) {
        int64_t digit = i < digits ? read_uint16(bytes + 8 + 2 * i) : 0;
        if (__builtin_mul_overflow(value, INT64_C(10000), &value) ||
            __builtin_add_overflow(value, digit, &value))
            return is_negative ? INT64_MIN : INT64_MAX;
    }
    return is_negative ? -value : value;
}

bool postgres_is_null(struct db_rows *base, int column)
{
    const struct postgres_rows *rows = (const struct postgres_rows *)base;
    return PQgetisnull(rows->result, rows->row, column) == 1;
}

int64_t postgres_get_integer(struct db_rows *base, int column)
{
    const struct postgres_rows *rows = (const struct postgres_rows *)base;
    if (PQgetisnull(rows->result, rows->row, column))
        return 0;
    const char *bytes = PQgetvalue(rows->result, rows->row, column);
    Oid type = PQftype(rows->result, column);
    if (type == OID_NUMERIC)
        return read_numeric(bytes);
    int64_t value = read_integer(bytes, PQgetlength(rows->result, rows->row, column));
    if (type != OID_TIMESTAMPTZ)
        return value;
    int64_t ms = value / 1000 - (value % 1000 < 0); /* rounded down, also before 2000 */
    return ms + EPOCH_MS;
}

struct uuid postgres_get_uuid(struct db_rows *base, int column)
{
    const struct postgres_rows *rows = (const struct postgres_rows *)base;
    struct uuid id = {{0}};
    if (!PQgetisnull(rows->result, rows->row, column))
        memcpy(id.bytes, PQgetvalue(rows->result, rows->row, column), sizeof(id.bytes));
    return id;
}

struct slice postgres_get_bytes(struct db_rows *base, int column, enum db_type type)
{
    const struct postgres_rows *rows = (const struct postgres_rows *)base;
    (void)type;
    if (PQgetisnull(rows->result, rows->row, column))
        return SLICE_ABSENT;
    struct slice bytes = {PQgetvalue(rows->result, rows->row, column),
                          (size_t)PQgetlength(rows->result, rows->row, column)};
    /* jsonb has the version of its format before it. */
    return PQftype(rows->result, column) == OID_JSONB ? slice_skip(bytes, 1) : bytes;
}

/* ---- rows ---- */

static struct postgres_rows *rows_take(struct postgres_connection *connection)
{
    struct postgres_rows *rows = connection->idle;
    if (rows != NULL) {
        connection->idle = rows->next;
    } else {
        rows = calloc(1, sizeof(*rows));
        CHECK(rows != NULL);
    }
    *rows = (struct postgres_rows){.base = {.db = &connection->base},
                                   .row = -1,
                                   .end = DB_ERROR,
                                   .level = connection->depth,
                                   .is_open = true,
                                   .next = connection->open};
    connection->open = rows;
    return rows;
}

static void rows_close(struct postgres_connection *connection, struct postgres_rows *rows)
{
    struct postgres_rows **link = &connection->open;
    while (*link != rows)
        link = &(*link)->next;
    *link = rows->next;
    PQclear(rows->result);
    rows->result = NULL;
    rows->is_open = false;
    rows->base.has_row = false;
    rows->next = connection->idle;
    connection->idle = rows;
}

void postgres_close_open_rows(struct postgres_connection *connection, int level)
{
    struct postgres_rows *rows = connection->open;
    while (rows != NULL) {
        struct postgres_rows *next = rows->next;
        if (rows->level >= level)
            rows_close(connection, rows);
        rows = next;
    }
}

void postgres_rows_free(struct postgres_connection *connection)
{
    while (connection->idle != NULL) {
        struct postgres_rows *next = connection->idle->next;
        free(connection->idle);
        connection->idle = next;
    }
}

/* ---- the verbs ---- */

/* Outside a transaction a statement that only reads may be asked again when its connection turned out to be
 * dead: the server was restarted, or gave way to another. */
static PGresult *fly_call(struct postgres_connection *connection, const struct postgres_flight *flight,
                          enum db_result *result)
{
    *result = DB_ERROR;
    if (connection->is_lost)
        return NULL;
    struct slice sql = {flight->call->sql, flight->call->sql_len};
    bool is_read = slice_starts_with(sql, SLICE("SELECT")) || slice_starts_with(sql, SLICE("WITH"));
    PGresult *reply = postgres_fly(connection, flight, result);
    bool was_broken = *result == DB_ERROR && connection->pg == NULL;
    if (!was_broken || postgres_is_late(connection) || !is_read || connection->depth > 0 ||
        connection->server->is_optional)
        return reply;
    PQclear(reply);
    return postgres_fly(connection, flight, result);
}

enum db_result postgres_prepare(struct db *db, const struct db_call *call)
{
    struct postgres_connection *connection = (struct postgres_connection *)db;
    const struct postgres_flight flight = {.call = call, .is_prepare_only = true};
    enum db_result result;
    PGresult *reply = fly_call(connection, &flight, &result);
    if (result == DB_DONE && !columns_fit(reply, call))
        result = DB_ERROR;
    PQclear(reply);
    return result == DB_CONFLICT ? DB_ERROR : result;
}

struct db_rows *postgres_query(struct db *db, const struct db_call *call)
{
    struct postgres_connection *connection = (struct postgres_connection *)db;
    const struct postgres_flight flight = {.call = call};
    struct postgres_rows *rows = rows_take(connection);
    enum db_result result = DB_DONE;
    PGresult *reply = postgres_take_expected(connection, call);
    if (reply == NULL)
        reply = fly_call(connection, &flight, &result);
    if (result == DB_DONE && !columns_fit(reply, call)) {
        connection->is_lost = connection->depth > 0;
        result = DB_ERROR;
    }
    rows->base.columns = call->columns;
    rows->base.column_count = call->column_count;
    rows->result = reply;
    rows->end = result;
    return &rows->base;
}

enum db_result postgres_next(struct db_rows *base)
{
    struct postgres_rows *rows = (struct postgres_rows *)base;
    struct postgres_connection *connection = (struct postgres_connection *)base->db;
    CHECK(rows->is_open);
    enum db_result end = rows->end;
    base->has_row = end == DB_DONE && ++rows->row < PQntuples(rows->result);
    if (base->has_row)
        return DB_ROW;
    rows_close(connection, rows);
    return end;
}

void postgres_close_rows(struct db_rows *base)
{
    struct postgres_rows *rows = (struct postgres_rows *)base;
    if (rows->is_open)
        rows_close((struct postgres_connection *)base->db, rows);
}

enum db_result postgres_run(struct db *db, const struct db_call *call)
{
    struct postgres_connection *connection = (struct postgres_connection *)db;
    const struct postgres_flight flight = {.call = call};
    enum db_result result;
    PGresult *reply = fly_call(connection, &flight, &result);
    connection->changes = result == DB_DONE ? strtoll(PQcmdTuples(reply), NULL, 10) : 0;
    PQclear(reply);
    return result;
}

int64_t postgres_changes(struct db *db)
{
    return ((struct postgres_connection *)db)->changes;
}
