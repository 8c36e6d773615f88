/* Reaching a PostgreSQL server: how a connection is asked for, and the breaker that keeps a dead server from
 * holding every thread for a whole timeout. */
#include "data/postgres_private.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/metrics.h"

#include <sodium.h>
#include <stdio.h>

#define REFUSAL_US INT64_C(250000)  /* after a failure nobody tries again for so long */
#define SILENCE_US INT64_C(1000000) /* nor asks it after it let a statement wait until its time was up */
#define KEYWORDS_MAX 14
#define REASON_BYTES_MAX 1024
#define TELL_AGAIN_US INT64_C(10000000)

METRIC_DEFINE(CONNECTS, "souk_postgres_connects_total", "Connections opened to PostgreSQL", NULL,
              METRIC_COUNTER);
METRIC_DEFINE(CONNECT_FAILURES, "souk_postgres_connect_failures_total",
              "Connections to PostgreSQL that failed", NULL, METRIC_COUNTER);

/* libpq's complaint on one line, as much of it as fits. It never holds a password. */
static struct slice reason_of(const PGconn *pg, char *text, size_t size)
{
    struct slice said = slice_trim(slice_from(PQerrorMessage(pg)));
    size_t len = 0;
    for (size_t i = 0; i < said.len && len < size; i++) {
        bool is_space = said.ptr[i] == '\n' || said.ptr[i] == '\t' || said.ptr[i] == ' ';
        if (!is_space)
            text[len++] = said.ptr[i];
        else if (text[len - 1] != ' ') /* it begins with none */
            text[len++] = ' ';
    }
    return (struct slice){text, len};
}

/* At once, and now and then while it lasts; of a server that can be done without, whoever watches it tells.
 */
static void log_failure(struct postgres_server *server, const PGconn *pg)
{
    int64_t now_us = clock_monotonic_us();
    int64_t told_us = atomic_load(&server->told_us);
    char text[REASON_BYTES_MAX];
    struct log_line line;
    if (server->is_optional || (told_us > 0 && now_us - told_us < TELL_AGAIN_US))
        return;
    atomic_store(&server->told_us, now_us);
    log_begin(&line, LOG_ERROR, "PostgreSQL cannot be reached");
    log_string(&line, "reason", reason_of(pg, text, sizeof(text)));
    log_end(&line);
}

static void ignore_notice(void *arg, const PGresult *notice)
{
    (void)arg;
    (void)notice;
}

struct keywords {
    const char *names[KEYWORDS_MAX + 1];
    const char *values[KEYWORDS_MAX + 1];
    size_t count;
};

static void keyword(struct keywords *keywords, const char *name, const char *value)
{
    CHECK(keywords->count < KEYWORDS_MAX);
    keywords->names[keywords->count] = name;
    keywords->values[keywords->count++] = value;
}

/* What stands before the URL is a default, which the URL overrides; what stands behind it is ours to say. */
static PGconn *connect_as(const struct postgres_server *server, const char *options,
                          const struct login *login)
{
    struct keywords keywords = {.count = 0};
    char seconds[24];
    char milliseconds[24];
    snprintf(seconds, sizeof(seconds), "%lld",
             (long long)(server->timeout_ms < 2000 ? 2 : (server->timeout_ms + 999) / 1000));
    snprintf(milliseconds, sizeof(milliseconds), "%lld", (long long)server->timeout_ms);
    keyword(&keywords, "application_name", "souk");
    keyword(&keywords, "connect_timeout", seconds);
    keyword(&keywords, "tcp_user_timeout", milliseconds);
    keyword(&keywords, "keepalives_idle", "10");
    keyword(&keywords, "keepalives_interval", "5");
    keyword(&keywords, "keepalives_count", "2");
    keyword(&keywords, "target_session_attrs", server->session_attributes);
    if (options != NULL)
        keyword(&keywords, "options", options);
    keyword(&keywords, "dbname", server->url);
    keyword(&keywords, "client_encoding", "UTF8");
    if (login != NULL) {
        keyword(&keywords, "user", login->user);
        keyword(&keywords, "password", login->password);
    }
    PGconn *pg = PQconnectdbParams(keywords.names, keywords.values, 1);
    CHECK(pg != NULL);
    PQsetNoticeReceiver(pg, ignore_notice, NULL);
    metric_add(PQstatus(pg) == CONNECTION_OK ? &CONNECTS : &CONNECT_FAILURES, 1);
    return pg;
}

/* Where a secret says who logs in, a password that is refused may have been changed there meanwhile: then
 * once more with the new one. (libpq gives no SQLSTATE of a failed connection, but tells whether one was
 * asked for.) Without any log-in the connection fails for want of one, as libpq says it. */
static PGconn *connect_with(const struct postgres_server *server, const char *options)
{
    struct login login;
    if (server->logins.read == NULL)
        return connect_as(server, options, NULL);
    bool has_login = server->logins.read(server->logins.arg, &login, false);
    PGconn *pg = connect_as(server, options, has_login ? &login : NULL);
    if (has_login && PQstatus(pg) != CONNECTION_OK && PQconnectionUsedPassword(pg) == 1 &&
        server->logins.read(server->logins.arg, &login, true)) {
        PQfinish(pg);
        pg = connect_as(server, options, &login);
    }
    sodium_memzero(&login, sizeof(login));
    return pg;
}

/* How the planner shall see this shop: what it reads lies in memory or on an SSD, where a page costs what its
 * neighbour costs (the default, four times as much, makes it read whole tables); and no list of twenty is
 * worth a compiler's time. */
#define PLANNER_OPTIONS " -c random_page_cost=1.1 -c jit=off"

/* A pooler knows no options; there the deadline of each round trip is the client's alone, and the planner's
 * settings are the database's (docs/operations.md). */
static PGconn *connect_limited(const struct postgres_server *server)
{
    char options[256];
    snprintf(options, sizeof(options),
             "-c statement_timeout=%lld -c lock_timeout=%lld -c idle_in_transaction_session_timeout=%lld"
             " -c client_connection_check_interval=500" PLANNER_OPTIONS,
             (long long)server->timeout_ms, (long long)server->timeout_ms, (long long)server->timeout_ms * 2);
    return connect_with(server, server->is_prepared ? options : NULL);
}

void postgres_server_fell_silent(struct postgres_server *server)
{
    int64_t until_us = clock_monotonic_us() + SILENCE_US;
    atomic_store(&server->refused_until_us, until_us);
    atomic_store(&server->silent_until_us, until_us);
}

bool postgres_server_is_silent(const struct postgres_server *server)
{
    return clock_monotonic_us() < atomic_load_explicit(&server->silent_until_us, memory_order_relaxed);
}

PGconn *postgres_server_connect(struct postgres_server *server)
{
    bool was_refused = clock_monotonic_us() < atomic_load(&server->refused_until_us);
    bool is_after_failure = atomic_load(&server->refused_until_us) != 0;
    if (was_refused || (is_after_failure && atomic_exchange(&server->is_being_tried, true)))
        return NULL;
    PGconn *pg = connect_limited(server);
    bool is_good =
        PQstatus(pg) == CONNECTION_OK && PQsetnonblocking(pg, 1) == 0 && PQenterPipelineMode(pg) == 1;
    if (is_good) {
        atomic_store(&server->refused_until_us, 0);
        atomic_store(&server->told_us, 0);
    } else {
        log_failure(server, pg);
        atomic_store(&server->answered_us, 0);
        atomic_store(&server->refused_until_us,
                     clock_monotonic_us() + REFUSAL_US + (int64_t)(random_u64() % REFUSAL_US));
        PQfinish(pg);
    }
    if (is_after_failure)
        atomic_store(&server->is_being_tried, false);
    return is_good ? pg : NULL;
}

PGconn *postgres_server_connect_service(struct postgres_server *server, struct arena *arena,
                                        struct slice *complaint)
{
    PGconn *pg = connect_with(server, NULL);
    if (PQstatus(pg) == CONNECTION_OK)
        return pg;
    char text[REASON_BYTES_MAX];
    struct slice reason = reason_of(pg, text, sizeof(text));
    *complaint = arena_format(arena, "PostgreSQL cannot be reached: %.*s", SLICE_ARG(reason));
    PQfinish(pg);
    return NULL;
}
