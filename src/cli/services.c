/* The common beginning of `serve` and `work`. */
#include "cli/services.h"

#include "base/clock.h"
#include "cli/context.h"
#include "data/cache_link.h"
#include "data/migrations.h"
#include "data/redis.h"

#include <pthread.h>

void cli_claim_signals(sigset_t *ends)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    sigemptyset(ends);
    sigaddset(ends, SIGINT);
    sigaddset(ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, ends, NULL);
}

static bool bring_schema_up(const struct args *args, const struct config *config, struct store *store)
{
    int64_t applied;
    struct slice complaint;
    if (!config->migrate_at_start)
        return cli_schema_is_current(args, store);
    if (migrations_up(store, args->arena, &applied, &complaint))
        return true;
    cli_fail(args, EXIT_FAILED, complaint);
    return false;
}

bool cli_services_open(const struct args *args, struct config *config, struct services *services)
{
    struct slice complaint;
    *services = (struct services){.config = config, .started_at_ms = clock_now_ms()};
    if (!config_secret_ensure(config, args->arena, &complaint)) {
        cli_fail(args, EXIT_FAILED, complaint);
        return false;
    }
    services->store = cli_store_create(args, config);
    if (services->store == NULL || !bring_schema_up(args, config, services->store) ||
        !cli_shop_is_whole(args, services->store))
        return false;
    key_derive(config->secret, "cursor", services->cursor_key);
    key_derive(config->secret, "seal", services->seal_key);
    return true;
}

static bool redis_connect(const struct args *args, struct services *services)
{
    const struct config *config = services->config;
    const struct redis_options options = {
        .url = config->redis_url, .prefix = config->redis_prefix, .timeout_ms = config->redis_timeout_ms};
    struct slice complaint;
    services->redis = redis_open(&options, args->arena, &complaint);
    if (services->redis == NULL)
        cli_fail(args, EXIT_USAGE, complaint);
    return services->redis != NULL;
}

bool cli_cache_open(const struct args *args, struct services *services, size_t bytes_max)
{
    struct cache_link link;
    if (services->config->redis_url.len > 0 && !redis_connect(args, services))
        return false;
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

void cli_services_close(struct services *services)
{
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
