/* Schema changes on PostgreSQL: a connection of their own, one transaction for each migration, under an
 * advisory lock that makes servers which start together wait for each other. */
#include "data/postgres_private.h"

#include <stdio.h>
#include <stdlib.h>

/* Any number that nobody else uses in this database: "souk" in ASCII. */
#define LOCK_SQL "SELECT pg_advisory_xact_lock(1936684395)"
/* How long a change may wait for the locks that it needs: behind it all others would queue. Waiting for
 * another server's migration is longer. */
#define LIMITS_SQL                                                                                           \
    "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '10min'; " LOCK_SQL                           \
    "; SET LOCAL lock_timeout = '5s'"

struct db_schema {
    PGconn *pg;
    char error[512];
};

static bool fail(struct db_schema *schema, const char *text)
{
    struct slice line = slice_trim(slice_from(text));
    snprintf(schema->error, sizeof(schema->error), "%.*s", SLICE_ARG(line));
    return false;
}

static bool run(struct db_schema *schema, const char *sql)
{
    PGresult *result = PQexec(schema->pg, sql);
    ExecStatusType status = PQresultStatus(result);
    bool is_done = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    if (!is_done)
        fail(schema, PQerrorMessage(schema->pg));
    PQclear(result);
    return is_done;
}

struct db_schema *postgres_schema_open(struct store *store, struct arena *arena, struct slice *complaint)
{
    PGconn *pg =
        postgres_server_connect_service(&((struct postgres_store *)store)->primary, arena, complaint);
    if (pg == NULL)
        return NULL;
    struct db_schema *schema = calloc(1, sizeof(*schema));
    CHECK(schema != NULL);
    schema->pg = pg;
    return schema;
}

void postgres_schema_close(struct db_schema *schema)
{
    PQfinish(schema->pg);
    free(schema);
}

bool postgres_schema_begin(struct db_schema *schema)
{
    if (run(schema, "BEGIN; " LIMITS_SQL "; CREATE TABLE IF NOT EXISTS schema_migrations ("
                    "version bigint PRIMARY KEY, name text NOT NULL, applied_at bigint NOT NULL)"))
        return true;
    postgres_schema_rollback(schema);
    return false;
}

bool postgres_schema_exec(struct db_schema *schema, const char *sql)
{
    if (!run(schema, sql))
        return false;
    /* What came next, the record of the version first of all, would commit by itself. */
    if (PQtransactionStatus(schema->pg) != PQTRANS_INTRANS)
        return fail(schema, "the file ends the transaction that it runs in");
    return true;
}

bool postgres_schema_commit(struct db_schema *schema)
{
    return run(schema, "COMMIT");
}

void postgres_schema_rollback(struct db_schema *schema)
{
    PGTransactionStatusType status = PQtransactionStatus(schema->pg);
    if (status == PQTRANS_INTRANS || status == PQTRANS_INERROR)
        PQclear(PQexec(schema->pg, "ROLLBACK"));
}

int64_t postgres_schema_versions(struct db_schema *schema, struct schema_version *list, size_t max)
{
    PGresult *result = PQexec(schema->pg, "SELECT to_regclass('schema_migrations') IS NULL");
    bool is_known = PQresultStatus(result) == PGRES_TUPLES_OK;
    bool is_empty = is_known && PQgetvalue(result, 0, 0)[0] == 't';
    PQclear(result);
    if (is_empty)
        return 0;
    result = PQexec(schema->pg, "SELECT version, applied_at FROM schema_migrations ORDER BY version");
    int64_t count = -1;
    if (is_known && PQresultStatus(result) == PGRES_TUPLES_OK) {
        for (count = 0; count < PQntuples(result) && (size_t)count < max; count++)
            list[count] = (struct schema_version){strtoll(PQgetvalue(result, (int)count, 0), NULL, 10),
                                                  strtoll(PQgetvalue(result, (int)count, 1), NULL, 10)};
    } else {
        fail(schema, PQerrorMessage(schema->pg));
    }
    PQclear(result);
    return count;
}

const char *postgres_schema_error(struct db_schema *schema)
{
    return schema->error;
}
