/* A connection to PostgreSQL: keeping it alive, the statements it has prepared, and the one way to talk on
 * it, a flight of commands that ends with a sync. */
#include "data/postgres_private.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/metrics.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DEADLINE_GRACE_MS                                                                                    \
    1000 /* the server speaks of a time-out first; without a word from it we hang up                         \
          */
#define ENSURE_WAIT_US INT64_C(300000) /* how long a statement waits for a connection that is refused */
#define ENSURE_PAUSE_US 20000

METRIC_DEFINE(LOST, "souk_postgres_connections_lost_total", "Connections to PostgreSQL that broke", NULL,
              METRIC_COUNTER);

static struct metric connected[] = {
    METRIC("souk_postgres_connections", "Open connections to PostgreSQL", "role=\"primary\"", METRIC_GAUGE),
    METRIC("souk_postgres_connections", "", "role=\"replica\"", METRIC_GAUGE),
};
METRIC_LIST(connected_primary, connected[0]);
METRIC_LIST(connected_replica, connected[1]);
HISTOGRAM_DEFINE(ROUND_DURATION, "souk_postgres_round_seconds",
                 "Duration of a round trip to PostgreSQL: a statement, or what ends a transaction");

/* ---- life ---- */

static void count_connected(const struct postgres_connection *connection, int change)
{
    atomic_fetch_add(&connection->server->alive, change);
    metric_add(&connected[connection->server->is_optional ? 1 : 0], change);
}

struct postgres_connection *postgres_connection_new(struct store *store, struct postgres_server *server)
{
    struct postgres_connection *connection = calloc(1, sizeof(*connection));
    CHECK(connection != NULL);
    connection->base = (struct db){.driver = store->driver, .store = store};
    connection->server = server;
    atomic_fetch_add(&server->connections, 1);
    connection->isolation = "SERIALIZABLE";
    return connection;
}

static void forget_prepared(struct postgres_connection *connection)
{
    for (size_t i = 0; i < connection->prepared_count; i++) {
        free(connection->prepared[i]->sql);
        free(connection->prepared[i]);
    }
    connection->prepared_count = 0;
}

static void hang_up(struct postgres_connection *connection)
{
    if (connection->pg != NULL)
        count_connected(connection, -1);
    connection->is_expecting = false;
    forget_prepared(connection);
    PQfinish(connection->pg);
    connection->pg = NULL;
}

int64_t postgres_give_up_us(const struct postgres_connection *connection, int64_t wait_us)
{
    int64_t until_us = clock_monotonic_us() + wait_us;
    int64_t deadline_us = connection->base.deadline_us;
    return deadline_us != 0 && deadline_us < until_us ? deadline_us : until_us;
}

bool postgres_is_late(const struct postgres_connection *connection)
{
    int64_t deadline_us = connection->base.deadline_us;
    return deadline_us != 0 && clock_monotonic_us() >= deadline_us;
}

/* Of one round trip. */
static int64_t answer_wait_us(const struct postgres_connection *connection)
{
    return (connection->server->timeout_ms + DEADLINE_GRACE_MS) * INT64_C(1000);
}

void postgres_drop(struct postgres_connection *connection)
{
    if (connection->pg == NULL)
        return;
    metric_add(&LOST, 1);
    atomic_store(&connection->server->answered_us, 0);
    hang_up(connection);
    connection->is_lost = connection->depth > 0;
    connection->must_rerun = connection->depth > 0;
}

void postgres_connection_free(struct postgres_connection *connection)
{
    if (connection == NULL)
        return;
    postgres_expect_end(&connection->base);
    postgres_close_open_rows(connection, 0);
    postgres_rows_free(connection);
    hang_up(connection);
    free(connection->scratch);
    atomic_fetch_sub(&connection->server->connections, 1);
    free(connection);
}

/* An idle connection has nothing to say: what can be read is its end, or news that libpq keeps. */
static bool is_alive(struct postgres_connection *connection)
{
    struct pollfd waiting = {.fd = PQsocket(connection->pg), .events = POLLIN};
    if (poll(&waiting, 1, 0) == 0)
        return true;
    return PQconsumeInput(connection->pg) == 1 && PQstatus(connection->pg) == CONNECTION_OK;
}

bool postgres_ensure(struct postgres_connection *connection)
{
    if (postgres_server_is_silent(connection->server))
        return false;
    if (connection->pg != NULL && is_alive(connection))
        return true;
    postgres_drop(connection);
    /* Whoever is refused while others have a connection waits a moment: were it to fail at once, it would eat
     * up the requests that they can answer. */
    struct postgres_server *server = connection->server;
    int64_t give_up_us = postgres_give_up_us(connection, server->is_optional ? 0 : ENSURE_WAIT_US);
    while ((connection->pg = postgres_server_connect(server)) == NULL) {
        if (atomic_load(&server->alive) == 0 || clock_monotonic_us() >= give_up_us)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = ENSURE_PAUSE_US * 1000}, NULL);
    }
    count_connected(connection, 1);
    return true;
}

/* ---- prepared statements ---- */

static struct postgres_prepared *prepared_find(struct postgres_connection *connection, uint64_t hash,
                                               const struct db_call *call)
{
    for (size_t i = 0; i < connection->prepared_count; i++) {
        struct postgres_prepared *prepared = connection->prepared[i];
        if (prepared->hash == hash && strcmp(prepared->sql, call->sql) == 0) {
            prepared->used = ++connection->uses;
            return prepared;
        }
    }
    return NULL;
}

static void prepared_name(uint32_t number, char name[16])
{
    snprintf(name, 16, "s%u", number);
}

/* Takes out the one that was used longest ago, and sends its end with this flight; one more result comes. */
static bool prepared_evict(struct postgres_connection *connection)
{
    size_t oldest = 0;
    for (size_t i = 1; i < connection->prepared_count; i++) {
        if (connection->prepared[i]->used < connection->prepared[oldest]->used)
            oldest = i;
    }
    char sql[32];
    struct postgres_prepared *gone = connection->prepared[oldest];
    snprintf(sql, sizeof(sql), "DEALLOCATE s%u", gone->number);
    connection->prepared[oldest] = connection->prepared[--connection->prepared_count];
    free(gone->sql);
    free(gone);
    return PQsendQueryParams(connection->pg, sql, 0, NULL, NULL, NULL, NULL, 1) == 1;
}

static void prepared_add(struct postgres_connection *connection, uint64_t hash, uint32_t number,
                         const struct db_call *call)
{
    struct postgres_prepared *prepared = calloc(1, sizeof(*prepared));
    CHECK(prepared != NULL && connection->prepared_count < DB_STATEMENTS_CACHED);
    *prepared = (struct postgres_prepared){
        .hash = hash, .sql = strdup(call->sql), .number = number, .used = ++connection->uses};
    CHECK(prepared->sql != NULL);
    connection->prepared[connection->prepared_count++] = prepared;
}

/* ---- sending ---- */

/* What was sent, so that the results can be told apart: they come in the same order. */
struct sent {
    int commands;
    int prepare_at; /* index of PREPARE among them; -1: none */
    uint64_t hash;
    uint32_t number;
};

static bool send_control(struct postgres_connection *connection, struct sent *sent, const char *sql)
{
    sent->commands++;
    return PQsendQueryParams(connection->pg, sql, 0, NULL, NULL, NULL, NULL, 1) == 1;
}

static bool send_prepare(struct postgres_connection *connection, struct sent *sent,
                         const struct db_call *call, struct postgres_params *params)
{
    char name[16];
    if (connection->prepared_count == DB_STATEMENTS_CACHED) {
        sent->commands++;
        if (!prepared_evict(connection))
            return false;
    }
    sent->number = ++connection->prepared_number;
    sent->prepare_at = sent->commands++;
    prepared_name(sent->number, name);
    return PQsendPrepare(connection->pg, name, call->sql, (int)call->param_count, params->types) == 1;
}

static bool send_call(struct postgres_connection *connection, struct sent *sent,
                      const struct postgres_flight *flight)
{
    const struct db_call *call = flight->call;
    struct postgres_params params;
    char name[16];
    postgres_params_types(&params, call);
    if (!flight->is_prepare_only)
        postgres_params_fill(connection, &params, call);
    int count = (int)call->param_count;
    if (!connection->server->is_prepared && !flight->is_prepare_only) {
        sent->commands++;
        return PQsendQueryParams(connection->pg, call->sql, count, params.types, params.values,
                                 params.lengths, params.formats, 1) == 1;
    }
    sent->hash = hash64((struct slice){call->sql, call->sql_len});
    const struct postgres_prepared *prepared = prepared_find(connection, sent->hash, call);
    if (prepared == NULL && !send_prepare(connection, sent, call, &params))
        return false;
    prepared_name(prepared != NULL ? prepared->number : sent->number, name);
    sent->commands++;
    if (flight->is_prepare_only)
        return PQsendDescribePrepared(connection->pg, name) == 1;
    return PQsendQueryPrepared(connection->pg, name, count, params.values, params.lengths, params.formats,
                               1) == 1;
}

/* ---- waiting ---- */

/* Waits until the socket is ready for one of `events`; false past the deadline. */
static bool wait_for(const struct postgres_connection *connection, short events, int64_t deadline_us)
{
    for (;;) {
        int64_t left_us = deadline_us - clock_monotonic_us();
        struct pollfd waiting = {.fd = PQsocket(connection->pg), .events = events};
        if (left_us <= 0)
            return false;
        if (poll(&waiting, 1, (int)(left_us / 1000 + 1)) > 0)
            return true;
    }
}

static bool flush(struct postgres_connection *connection, int64_t deadline_us)
{
    int left;
    while ((left = PQflush(connection->pg)) == 1) {
        if (!wait_for(connection, POLLIN | POLLOUT, deadline_us) || PQconsumeInput(connection->pg) == 0)
            return false;
    }
    return left == 0;
}

static bool wait_for_result(struct postgres_connection *connection, int64_t deadline_us)
{
    while (PQisBusy(connection->pg)) {
        if (!wait_for(connection, POLLIN, deadline_us) || PQconsumeInput(connection->pg) == 0)
            return false;
    }
    return true;
}

static bool is_failure(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE;
}

/* Reads up to the sync. The last command's result, or the first failure; NULL when the connection broke. */
static PGresult *collect(struct postgres_connection *connection, const struct sent *sent, bool *is_prepared,
                         int64_t deadline_us)
{
    PGresult *kept = NULL;
    for (int command = 0;;) {
        if (!wait_for_result(connection, deadline_us))
            break;
        PGresult *result = PQgetResult(connection->pg);
        if (PQstatus(connection->pg) == CONNECTION_BAD) {
            PQclear(kept != NULL && is_failure(kept) ? result : kept);
            return kept != NULL && is_failure(kept) ? kept : result;
        }
        if (result == NULL) { /* the end of one command */
            command++;
            continue;
        }
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_PIPELINE_SYNC) {
            PQclear(result);
            return kept;
        }
        *is_prepared = *is_prepared || (command == sent->prepare_at && status == PGRES_COMMAND_OK);
        bool is_dropped = status == PGRES_PIPELINE_ABORTED || (kept != NULL && is_failure(kept));
        PQclear(is_dropped ? result : kept);
        kept = is_dropped ? kept : result;
    }
    PQclear(kept);
    return NULL;
}

/* ---- what a result means ---- */

static bool state_is(const char *state, const char *wanted)
{
    return strncmp(state, wanted, strlen(wanted)) == 0;
}

static void log_failure(const char *state, const PGresult *result, const struct db_call *call)
{
    const char *reason = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    struct log_line line;
    log_begin(&line, LOG_ERROR, "a statement failed");
    log_string(&line, "sqlstate", slice_from(state));
    log_string(&line, "reason",
               slice_from(reason != NULL ? reason : "")); /* never the detail: it has values */
    log_string(&line, "sql", call != NULL ? (struct slice){call->sql, call->sql_len} : SLICE(""));
    log_end(&line);
}

/* SQLSTATE: PostgreSQL's documentation, appendix A. */
static enum db_result judge(struct postgres_connection *connection, const PGresult *result,
                            const struct db_call *call)
{
    if (!is_failure(result))
        return DB_DONE;
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (state == NULL)
        state = "08006"; /* libpq's own words: the connection broke */
    connection->is_lost = connection->depth > 0;
    if (state_is(state, "23505") && connection->depth > 0 && connection->may_meet_twin) {
        connection->may_meet_twin = false;
        connection->must_rerun = true;
    }
    if (state_is(state, "23"))
        return DB_CONFLICT; /* a constraint */
    bool is_race = state_is(state, "40");
    /* The server goes, or is no longer the one that may be written to; or it knows our statement no more. */
    bool is_gone = state_is(state, "08") || state_is(state, "57P") || state_is(state, "25006") ||
                   state_is(state, "0A000") || state_is(state, "26000") || state_is(state, "25P03");
    if (!is_race)
        log_failure(state, result, call);
    if (is_race)
        connection->must_rerun = connection->depth > 0;
    if (is_gone)
        postgres_drop(connection);
    return DB_ERROR;
}

/* ---- a flight ---- */

/* What connect_limited says once for a session, a pooler must be told for each transaction. */
static bool send_limits(struct postgres_connection *connection, struct sent *sent)
{
    char sql[64];
    if (connection->server->is_prepared)
        return true;
    snprintf(sql, sizeof(sql), "SET LOCAL statement_timeout = %lld",
             (long long)connection->server->timeout_ms);
    if (!send_control(connection, sent, sql))
        return false;
    snprintf(sql, sizeof(sql), "SET LOCAL lock_timeout = %lld", (long long)connection->server->timeout_ms);
    return send_control(connection, sent, sql);
}

static bool send_flight(struct postgres_connection *connection, const struct postgres_flight *flight,
                        struct sent *sent, int64_t deadline_us)
{
    if (connection->is_begin_waiting) {
        char begin[64];
        snprintf(begin, sizeof(begin), "BEGIN ISOLATION LEVEL %s", connection->isolation);
        connection->is_begin_waiting = false;
        if (!send_control(connection, sent, begin) || !send_limits(connection, sent))
            return false;
    }
    if (flight->control != NULL && !send_control(connection, sent, flight->control))
        return false;
    if (flight->call != NULL && !send_call(connection, sent, flight))
        return false;
    return PQpipelineSync(connection->pg) == 1 && flush(connection, deadline_us);
}

/* It is the server that was silent, when it had all the time of a round trip and answered nobody else. */
static void note_silence(struct postgres_connection *connection, int64_t began_us)
{
    struct postgres_server *server = connection->server;
    if (clock_monotonic_us() - began_us >= answer_wait_us(connection) &&
        atomic_load_explicit(&server->heard_us, memory_order_relaxed) < began_us)
        postgres_server_fell_silent(server);
}

PGresult *postgres_fly(struct postgres_connection *connection, const struct postgres_flight *flight,
                       enum db_result *result)
{
    *result = DB_ERROR;
    postgres_land_expected(connection);
    if (flight->control == NULL && postgres_is_late(connection)) { /* nothing is sent that nobody waits for */
        connection->is_lost = connection->depth > 0;
        return NULL;
    }
    bool is_fresh = connection->depth == 0 || connection->is_begin_waiting;
    if (is_fresh ? !postgres_ensure(connection) : connection->pg == NULL) {
        connection->is_lost = connection->depth > 0;
        return NULL;
    }
    int64_t began_us = clock_monotonic_us();
    /* How a transaction ends is waited for whatever the caller's patience: given up, it would be in doubt. */
    int64_t deadline_us = flight->control != NULL
                              ? began_us + answer_wait_us(connection)
                              : postgres_give_up_us(connection, answer_wait_us(connection));
    struct sent sent = {.prepare_at = -1};
    bool is_prepared = false;
    PGresult *reply = NULL;
    if (send_flight(connection, flight, &sent, deadline_us))
        reply = collect(connection, &sent, &is_prepared, deadline_us);
    int64_t ended_us = clock_monotonic_us();
    histogram_observe_us(&ROUND_DURATION, ended_us - began_us);
    if (reply == NULL) {
        note_silence(connection, began_us);
        log_message(LOG_ERROR, "the connection to PostgreSQL broke, or it did not answer in time");
        postgres_drop(connection);
        return NULL;
    }
    atomic_store_explicit(&connection->server->heard_us, ended_us, memory_order_relaxed);
    if (is_prepared)
        prepared_add(connection, sent.hash, sent.number, flight->call);
    *result = judge(connection, reply, flight->call);
    if (connection->pg != NULL && PQstatus(connection->pg) != CONNECTION_OK)
        postgres_drop(connection);
    return reply;
}

/* ---- a flight of many ---- */

enum db_result postgres_send_ahead(struct postgres_connection *connection, const struct db_call *call)
{
    struct sent sent = {.prepare_at = -1};
    const struct postgres_flight flight = {.call = call};
    uint64_t hash = hash64((struct slice){call->sql, call->sql_len});
    if (connection->server->is_prepared && prepared_find(connection, hash, call) == NULL)
        return DB_CONFLICT;
    return send_call(connection, &sent, &flight) ? DB_DONE : DB_ERROR;
}

bool postgres_collect_ahead(struct postgres_connection *connection, PGresult **results, size_t count)
{
    int64_t began_us = clock_monotonic_us();
    int64_t deadline_us = postgres_give_up_us(connection, answer_wait_us(connection));
    if (PQpipelineSync(connection->pg) == 0 || !flush(connection, deadline_us))
        return false;
    for (size_t command = 0; wait_for_result(connection, deadline_us);) {
        PGresult *result = PQgetResult(connection->pg);
        if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
            PQclear(result);
            return PQstatus(connection->pg) == CONNECTION_OK;
        }
        if (PQstatus(connection->pg) == CONNECTION_BAD) {
            PQclear(result);
            return false;
        }
        if (result == NULL) /* the end of one command */
            command++;
        else if (command < count && results[command] == NULL)
            results[command] = result;
        else
            PQclear(result);
    }
    note_silence(connection, began_us);
    return false;
}
