/* The common beginning of `serve` and `work`. */
#include "cli/services.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/metrics_emf.h"
#include "cli/context.h"
#include "data/cache_link.h"
#include "data/migrations.h"
#include "data/redis.h"
#include "shop/identities.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

#define WAIT_PAUSE_MS 250 /* between two looks at a database that is away */

void cli_claim_signals(sigset_t *ends)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    sigemptyset(ends);
    sigaddset(ends, SIGINT);
    sigaddset(ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, ends, NULL);
}

/* ---- what has to be done with the database before anything is served ---- */

enum preparation { PREPARED, SCHEMA_BEHIND, UNPREPARED };

static enum preparation prepare(const struct args *args, struct services *services, struct slice *complaint)
{
    const struct config *config = services->config;
    int64_t applied;
    if (config->migrate_at_start && !migrations_up(services->store, args->arena, &applied, complaint))
        return UNPREPARED;
    enum cli_schema schema = cli_schema_check(args, services->store, complaint);
    /* While a release shifts, and after it was taken back, functions of the version before it start on the
     * schema that it has expanded (db/migrations/README.md). A server can be stopped first; a function not.
     */
    bool is_expanded = schema == CLI_SCHEMA_AHEAD && services->is_single;
    if (is_expanded)
        log_message(LOG_WARN, "the database's schema is of a newer version, which left what this one reads");
    else if (schema != CLI_SCHEMA_CURRENT)
        return schema == CLI_SCHEMA_BEHIND ? SCHEMA_BEHIND : UNPREPARED;
    if (!cli_shop_is_whole(services->store, complaint))
        return UNPREPARED;
    services->keys = key_ring_open(services->store, config->secret, args->arena, complaint);
    return services->keys != NULL ? PREPARED : UNPREPARED;
}

/* Whether what went wrong is that the database is elsewhere and does not answer. */
static bool is_away(struct store *store)
{
    return store_engine(store) == DB_POSTGRES && !store_is_ready(store);
}

/* Tries again when it came while it was tried: then what went wrong says nothing. */
static enum preparation prepare_or_find_away(const struct args *args, struct services *services,
                                             struct slice *complaint, bool *is_found_away)
{
    enum preparation preparation = prepare(args, services, complaint);
    *is_found_away = preparation == UNPREPARED && is_away(services->store);
    if (preparation != UNPREPARED || *is_found_away || store_engine(services->store) == DB_SQLITE)
        return preparation;
    preparation = prepare(args, services, complaint);
    *is_found_away = preparation == UNPREPARED && is_away(services->store);
    return preparation;
}

/* Says what it waits for: once, until the reason is another. The process waits once in its life. */
static void tell_reason(struct slice reason)
{
    static char told[256];
    char now[sizeof(told)];
    snprintf(now, sizeof(now), "%.*s", SLICE_ARG(reason));
    if (strcmp(now, told) == 0)
        return;
    memcpy(told, now, sizeof(told));
    log_message(LOG_ERROR, "waiting for the database: %s", told);
}

bool cli_observe_start(const struct config *config, enum trace_sending sending, struct arena *arena,
                       struct slice *complaint)
{
    if (config->metrics == METRICS_EMF)
        metrics_emf_start(config->service_name, config->stage);
    return trace_exporter_start(config, sending, arena, complaint);
}

void cli_observe_stop(struct arena *arena)
{
    trace_exporter_stop();
    metrics_emf_write(arena);
}

bool cli_services_begin(const struct args *args, struct config *config, struct services *services,
                        struct slice *complaint)
{
    *services = (struct services){.config = config, .started_at_ms = clock_now_ms()};
    if (!config_secret_ensure(config, args->arena, complaint))
        return false;
    services->store = cli_store_try(args, config, complaint);
    if (services->store == NULL)
        return false;
    key_derive(config->secret, "cursor", services->cursor_key);
    key_derive(config->secret, "seal", services->seal_key);
    return true;
}

bool cli_services_try(const struct args *args, struct services *services, struct slice *complaint)
{
    bool is_found_away;
    enum preparation preparation = prepare_or_find_away(args, services, complaint, &is_found_away);
    if (is_found_away)
        tell_reason(*complaint);
    atomic_store(&services->is_closed, preparation != PREPARED);
    return preparation == PREPARED || is_found_away;
}

bool cli_services_open(const struct args *args, struct config *config, struct services *services)
{
    struct slice complaint;
    bool is_good = cli_observe_start(config, TRACE_BY_THREAD, args->arena, &complaint) &&
                   cli_services_begin(args, config, services, &complaint) &&
                   cli_services_try(args, services, &complaint);
    if (!is_good)
        cli_fail(args, EXIT_FAILED, complaint);
    return is_good;
}

enum cli_wait cli_services_wait(const struct args *args, struct services *services, const sigset_t *ends)
{
    const struct timespec pause = {.tv_nsec = WAIT_PAUSE_MS * 1000000};
    while (atomic_load(&services->is_closed)) {
        struct slice complaint;
        bool is_found_away;
        size_t mark = arena_mark(args->arena);
        if (sigtimedwait(ends, NULL, &pause) > 0)
            return CLI_ENDED;
        enum preparation preparation = prepare_or_find_away(args, services, &complaint, &is_found_away);
        if (preparation == PREPARED) {
            log_message(LOG_INFO, "the database is there");
            atomic_store(&services->is_closed, false);
            return CLI_OPEN;
        }
        if (preparation == UNPREPARED && !is_found_away) {
            cli_fail(args, EXIT_FAILED, complaint);
            return CLI_REFUSED;
        }
        tell_reason(complaint);
        arena_rewind(args->arena, mark);
    }
    return CLI_OPEN;
}

void cli_run_until(const struct args *args, const sigset_t *ends)
{
    const struct timespec interval = {.tv_sec = METRICS_INTERVAL_S};
    while (sigtimedwait(ends, NULL, &interval) < 0)
        metrics_emf_write(args->arena);
}

bool cli_redis_open(const struct args *args, struct services *services, struct slice *complaint)
{
    const struct config *config = services->config;
    const struct redis_options options = {
        .url = config->redis_url, .prefix = config->redis_prefix, .timeout_ms = config->redis_timeout_ms};
    services->redis = redis_open(&options, args->arena, complaint);
    return services->redis != NULL;
}

bool cli_cache_open(const struct args *args, struct services *services, size_t bytes_max)
{
    struct cache_link link;
    struct slice complaint;
    if (services->config->redis_url.len > 0 && !cli_redis_open(args, services, &complaint)) {
        cli_fail(args, EXIT_USAGE, complaint);
        return false;
    }
    bool has_link = services->redis == NULL && store_cache_link(services->store, &link);
    if (bytes_max == 0 && services->redis == NULL && !has_link)
        return true;
    services->cache = cache_new(bytes_max);
    if (services->redis != NULL)
        cache_share(services->cache, services->redis);
    else if (has_link)
        cache_connect(services->cache, &link);
    return true;
}

bool cli_issuer_try(const struct args *args, struct services *services, struct slice *complaint)
{
    struct issuer_settings settings;
    if (services->config->auth_provider == AUTH_LOCAL)
        return true;
    if (!issuer_settings_read(services->config, args->arena, &settings, complaint))
        return false;
    services->admit = identity_admit;
    services->issuer = issuer_open(&settings);
    *complaint = SLICE("the system gives no thread for the identity provider's keys");
    return services->issuer != NULL;
}

bool cli_issuer_open(const struct args *args, struct services *services)
{
    struct slice complaint;
    bool is_good = cli_issuer_try(args, services, &complaint);
    if (!is_good)
        cli_fail(args, EXIT_USAGE, complaint);
    return is_good;
}

void cli_services_close(struct services *services)
{
    issuer_close(services->issuer);
    if (services->store != NULL)
        store_replicas_stop(services->store);
    if (services->cache != NULL)
        cache_free(services->cache);
    redis_free(services->redis);
    if (services->keys != NULL)
        key_ring_free(services->keys);
    if (services->store != NULL)
        store_close(services->store);
}
