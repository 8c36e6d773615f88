/* Statements that were said to come (db_expect): they are sent ahead in one flight, and whoever asks one of
 * them finds its rows here. What does not come back well is forgotten, and then asked as if nobody had
 * expected it: only time is lost. */
#include "data/postgres_private.h"

#include "base/metrics.h"

METRIC_DEFINE(SENT, "souk_postgres_reads_expected_total", "Reads sent to PostgreSQL together with others",
              NULL, METRIC_COUNTER);
METRIC_DEFINE(FLIGHTS, "souk_postgres_reads_expected_flights_total", "Flights that such reads were sent in",
              NULL, METRIC_COUNTER);

void postgres_expect(struct db *db, const struct db_call *call)
{
    struct postgres_connection *connection = (struct postgres_connection *)db;
    bool is_first = connection->expected_count == 0;
    if (connection->depth > 0 || connection->expected_count == DB_EXPECTED_MAX ||
        (is_first ? !postgres_ensure(connection) : !connection->is_expecting))
        return;
    struct postgres_expected *expected = &connection->expected[connection->expected_count];
    switch (postgres_send_ahead(connection, call)) {
    case DB_CONFLICT: /* its first run prepares it */
        return;
    case DB_DONE:
        break;
    case DB_ROW:
    case DB_ERROR:
        postgres_drop(connection);
        return;
    }
    expected->statement = call->statement;
    expected->result = NULL;
    memcpy(expected->values, call->values, call->param_count * sizeof(call->values[0]));
    connection->expected_count++;
    connection->is_expecting = true;
}

void postgres_land_expected(struct postgres_connection *connection)
{
    PGresult *results[DB_EXPECTED_MAX] = {NULL};
    size_t count = connection->expected_count;
    if (!connection->is_expecting)
        return;
    connection->is_expecting = false;
    metric_add(&SENT, (int64_t)count);
    metric_add(&FLIGHTS, 1);
    if (!postgres_collect_ahead(connection, results, count))
        postgres_drop(connection);
    for (size_t i = 0; i < count; i++) {
        bool is_good = PQresultStatus(results[i]) == PGRES_TUPLES_OK;
        connection->expected[i].result = is_good ? results[i] : NULL;
        if (!is_good)
            PQclear(results[i]);
    }
}

static bool value_equals(const struct db_value *a, const struct db_value *b)
{
    if (a->type != b->type || a->is_null || b->is_null)
        return false; /* NULL is equal to nothing */
    switch (a->type) {
    case DB_INT:
    case DB_BOOL:
    case DB_TIME:
        return a->integer == b->integer;
    case DB_UUID:
        return uuid_equals(a->uuid, b->uuid);
    case DB_TEXT:
    case DB_JSON:
    case DB_BLOB:
        return slice_equals(a->text, b->text);
    case DB_END:
        break;
    }
    UNREACHABLE("a value without a type");
}

static bool is_expected(const struct postgres_expected *expected, const struct db_call *call)
{
    if (expected->result == NULL || expected->statement != call->statement)
        return false;
    for (size_t i = 0; i < call->param_count; i++) {
        if (!value_equals(&expected->values[i], &call->values[i]))
            return false;
    }
    return true;
}

PGresult *postgres_take_expected(struct postgres_connection *connection, const struct db_call *call)
{
    if (connection->expected_count == 0 || connection->depth > 0)
        return NULL;
    postgres_land_expected(connection);
    for (size_t i = 0; i < connection->expected_count; i++) {
        struct postgres_expected *expected = &connection->expected[i];
        if (!is_expected(expected, call))
            continue;
        PGresult *result = expected->result;
        expected->result = NULL;
        return result;
    }
    return NULL;
}

void postgres_expect_end(struct db *db)
{
    struct postgres_connection *connection = (struct postgres_connection *)db;
    postgres_land_expected(connection);
    for (size_t i = 0; i < connection->expected_count; i++)
        PQclear(connection->expected[i].result);
    connection->expected_count = 0;
}
