/* Transactions on PostgreSQL: SERIALIZABLE, and run again when the server found that two of them cannot have
 * happened one after the other (SQLSTATE 40001), that they waited for each other (40P01), or when the
 * connection broke before COMMIT was sent. Once also after a unique violation (23505): a closure that asked
 * whether a name is free, and then met one who was faster, can say so when it asks again. */
#include "data/postgres_private.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/metrics.h"

#include <time.h>

#define PAUSE_FIRST_US 1000
#define PAUSE_MAX_US 100000

METRIC_DEFINE(RERUNS, "souk_postgres_transactions_rerun_total",
              "Transactions run again after a serialization failure, a deadlock or a lost connection", NULL,
              METRIC_COUNTER);
METRIC_DEFINE(GIVEN_UP, "souk_postgres_transactions_given_up_total",
              "Transactions that met one conflict after the other until their time was up", NULL,
              METRIC_COUNTER);

bool postgres_in_transaction(const struct db *db)
{
    return ((const struct postgres_connection *)db)->depth > 0;
}

/* A control statement within the transaction; nothing is sent to a connection that has no BEGIN yet. */
static enum db_result control(struct postgres_connection *connection, const char *sql)
{
    enum db_result result;
    const struct postgres_flight flight = {.control = sql};
    PQclear(postgres_fly(connection, &flight, &result));
    return result;
}

/* Half of it fixed, half random: those that ran into each other shall not do it again in step. */
static void pause_before_rerun(int attempt)
{
    int64_t pause_us = attempt < 8 ? PAUSE_FIRST_US << attempt : PAUSE_MAX_US;
    if (pause_us > PAUSE_MAX_US)
        pause_us = PAUSE_MAX_US;
    pause_us = pause_us / 2 + (int64_t)(random_u64() % (uint64_t)pause_us);
    nanosleep(&(struct timespec){.tv_sec = 0, .tv_nsec = pause_us * 1000}, NULL);
}

/* Ends the transaction as the closure wants it. */
static enum db_result settle(struct postgres_connection *connection, enum db_result result)
{
    if (result == DB_DONE && connection->is_lost && !connection->must_rerun) {
        log_message(LOG_ERROR, "a transaction wanted to commit after a statement of it had failed");
        result = DB_ERROR;
    }
    if (connection->pg == NULL || connection->is_begin_waiting) /* nothing was begun, or all is gone */
        return connection->must_rerun ? DB_ERROR : result;
    if (result != DB_DONE || connection->must_rerun) {
        if (control(connection, "ROLLBACK") != DB_DONE)
            postgres_drop(connection);
        return result;
    }
    connection->is_lost = false;
    result = control(connection, "COMMIT");
    /* Whether a COMMIT without an answer happened is not known: it must not run again. */
    if (result != DB_DONE && connection->pg == NULL) {
        connection->must_rerun = false;
        connection->is_in_doubt = true;
    }
    return result;
}

static enum db_result run_once(struct postgres_connection *connection, const char *isolation,
                               db_closure closure, void *arg)
{
    connection->isolation = isolation;
    connection->is_begin_waiting = true;
    connection->is_in_doubt = false;
    connection->is_lost = false;
    connection->must_rerun = false;
    connection->depth = 1;
    enum db_result result = closure(&connection->base, arg);
    postgres_close_open_rows(connection, 1);
    result = settle(connection, result);
    connection->is_begin_waiting = false;
    connection->is_lost = false;
    connection->depth = 0;
    return result;
}

static enum db_result run_outermost(struct postgres_connection *connection, const char *isolation,
                                    db_closure closure, void *arg)
{
    int64_t give_up_us = postgres_give_up_us(connection, connection->server->timeout_ms * INT64_C(1000));
    connection->may_meet_twin = strcmp(isolation, "SERIALIZABLE") == 0;
    for (int attempt = 0;; attempt++) {
        enum db_result result = run_once(connection, isolation, closure, arg);
        if (!connection->must_rerun)
            return result;
        if (clock_monotonic_us() >= give_up_us) {
            metric_add(&GIVEN_UP, 1);
            return DB_ERROR;
        }
        metric_add(&RERUNS, 1);
        pause_before_rerun(attempt);
    }
}

static enum db_result run_in_savepoint(struct postgres_connection *connection, db_closure closure, void *arg)
{
    if (connection->is_lost || control(connection, "SAVEPOINT nested") != DB_DONE)
        return DB_ERROR;
    connection->depth++;
    enum db_result result = closure(&connection->base, arg);
    postgres_close_open_rows(connection, connection->depth);
    connection->depth--;
    if (connection->must_rerun || connection->pg == NULL)
        return DB_ERROR; /* only the whole can run again */
    bool was_lost = connection->is_lost;
    connection->is_lost = false;
    if (result == DB_DONE && was_lost)
        result = DB_ERROR;
    const char *end = result == DB_DONE ? "RELEASE nested" : "ROLLBACK TO nested";
    if (control(connection, end) != DB_DONE) {
        connection->is_lost = true;
        return DB_ERROR;
    }
    return result;
}

enum db_result postgres_transaction_at(struct db *db, const char *isolation, db_closure closure, void *arg)
{
    struct postgres_connection *connection = (struct postgres_connection *)db;
    return connection->depth > 0 ? run_in_savepoint(connection, closure, arg)
                                 : run_outermost(connection, isolation, closure, arg);
}

enum db_result postgres_transaction(struct db *db, db_closure closure, void *arg)
{
    return postgres_transaction_at(db, "SERIALIZABLE", closure, arg);
}
