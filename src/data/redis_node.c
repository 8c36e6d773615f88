/* A node: the connections that are kept to it, and its breaker.
 *
 * The breaker is shut while `failures` is 0. A failure opens it until `blocked_until_us`: calls are refused
 * at once. After that one caller is let through; it shuts the breaker or opens it for twice as long. */
#include "data/redis_private.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/metrics.h"

METRIC_DEFINE(CONNECTIONS, "souk_redis_connections_total", "Connections opened to Redis", NULL,
              METRIC_COUNTER);
METRIC_DEFINE(FAILURES, "souk_redis_failures_total", "Connections that failed, broke or timed out", NULL,
              METRIC_COUNTER);
METRIC_DEFINE(LOSSES, "souk_redis_losses_total", "Times that Redis may have lost what it had acknowledged",
              NULL, METRIC_COUNTER);

int64_t redis_backoff_us(unsigned failures)
{
    unsigned doublings = failures > 0 ? failures - 1 : 0;
    int64_t base_ms = REDIS_BACKOFF_MS_MAX;
    if (doublings < 16 && ((int64_t)REDIS_BACKOFF_MS_MIN << doublings) < base_ms)
        base_ms = (int64_t)REDIS_BACKOFF_MS_MIN << doublings;
    int64_t base_us = base_ms * 1000;
    return base_us - base_us / 4 + (int64_t)(random_u64() % (uint64_t)(base_us / 2));
}

bool redis_wait_freed(struct redis *redis, int64_t deadline_us)
{
    return clock_cond_wait(&redis->freed, &redis->mutex, deadline_us) == 0;
}

uint8_t redis_node_find_or_add(struct redis *redis, const struct redis_address *address)
{
    uint8_t vacant = REDIS_NODE_NONE;
    for (uint8_t i = 0; i < REDIS_NODES_MAX; i++) {
        struct redis_node *node = &redis->nodes[i];
        if (node->is_used && redis_address_equals(&node->address, address))
            return i;
        bool is_seed = i < redis->settings.seed_count;
        bool is_idle = node->slots == 0 && node->open == 0 && !node->is_probing && !is_seed;
        if (vacant == REDIS_NODE_NONE && (!node->is_used || is_idle))
            vacant = i;
    }
    if (vacant != REDIS_NODE_NONE)
        redis->nodes[vacant] = (struct redis_node){.address = *address, .is_used = true};
    return vacant;
}

bool redis_node_is_open(const struct redis_node *node, int64_t now_us)
{
    return node->failures == 0 || (!node->is_probing && now_us >= node->blocked_until_us);
}

static void close_list(struct redis_connection *connection)
{
    while (connection != NULL) {
        struct redis_connection *next = connection->next;
        redis_connection_close(connection);
        connection = next;
    }
}

void redis_node_close(struct redis_node *node)
{
    close_list(node->idle);
    node->idle = NULL;
    node->open = 0;
}

/* Under the mutex. The list of idle connections, to be closed outside of it. */
static struct redis_connection *node_failed(struct redis_node *node)
{
    struct redis_connection *idle = node->idle;
    node->idle = NULL;
    for (const struct redis_connection *one = idle; one != NULL; one = one->next)
        node->open--;
    node->era++;
    node->failures++;
    node->has_broken = true;
    node->is_probing = false;
    node->blocked_until_us = clock_monotonic_us() + redis_backoff_us(node->failures);
    metric_add(&FAILURES, 1);
    return idle;
}

/* Under the mutex: a new connection to the node. Another process behind the address may not have all that the
 * one before had acknowledged; one that does not say who it is may be another. */
static void note_process(struct redis *redis, struct redis_node *node, uint64_t run_id)
{
    bool is_other = node->run_id != run_id || (run_id == 0 && node->has_broken);
    if (node->is_known && is_other) {
        atomic_fetch_add(&redis->losses, 1);
        metric_add(&LOSSES, 1);
    }
    node->is_known = true;
    node->has_broken = false;
    node->run_id = run_id;
}

static struct redis_connection *node_open(struct redis *redis, uint8_t index, int64_t deadline_us)
{
    struct redis_node *node = &redis->nodes[index];
    struct redis_failure failure = {0};
    struct redis_address address = node->address; /* an open node keeps its address */
    struct redis_connection *connection =
        redis_connection_open(&redis->settings, &address, deadline_us, &failure);
    if (connection == NULL) {
        redis_node_give(redis, index, NULL, false, &failure);
        return NULL;
    }
    metric_add(&CONNECTIONS, 1);
    pthread_mutex_lock(&redis->mutex);
    note_process(redis, node, connection->run_id);
    connection->era = node->era;
    pthread_mutex_unlock(&redis->mutex);
    return connection;
}

struct redis_connection *redis_node_take(struct redis *redis, uint8_t index, int64_t deadline_us)
{
    CHECK(index < REDIS_NODES_MAX);
    struct redis_node *node = &redis->nodes[index];
    struct redis_connection *connection = NULL;
    pthread_mutex_lock(&redis->mutex);
    if (!redis_node_is_open(node, clock_monotonic_us())) {
        pthread_mutex_unlock(&redis->mutex);
        return NULL;
    }
    if (node->failures > 0)
        node->is_probing = true;
    while (node->idle == NULL && node->open >= REDIS_CONNECTIONS_MAX) {
        if (redis_wait_freed(redis, deadline_us))
            continue;
        node->is_probing = false; /* not its fault, and nothing was tried */
        pthread_mutex_unlock(&redis->mutex);
        return NULL;
    }
    while (connection == NULL && node->idle != NULL) {
        connection = node->idle;
        node->idle = connection->next;
        connection->next = NULL;
        if (redis_connection_is_quiet(connection)) /* does not block */
            break;
        redis_connection_close(connection);
        connection = NULL;
        node->has_broken = true;
        node->open--;
    }
    if (connection == NULL)
        node->open++;
    pthread_mutex_unlock(&redis->mutex);
    return connection != NULL ? connection : node_open(redis, index, deadline_us);
}

void redis_node_give(struct redis *redis, uint8_t index, struct redis_connection *connection, bool is_whole,
                     const struct redis_failure *failure)
{
    struct redis_node *node = &redis->nodes[index];
    struct redis_connection *closing = NULL;
    pthread_mutex_lock(&redis->mutex);
    if (is_whole && connection->era == node->era) {
        connection->next = node->idle;
        node->idle = connection;
        node->failures = 0;
        node->is_probing = false;
    } else {
        node->open--;
        /* Of callers that fail together one counts. */
        bool is_news =
            connection != NULL ? connection->era == node->era : node->failures == 0 || node->is_probing;
        if (!is_whole && is_news)
            closing = node_failed(node);
        if (connection != NULL) {
            connection->next = closing;
            closing = connection;
        }
    }
    redis_note_state(redis, failure != NULL ? failure->text : NULL);
    pthread_cond_broadcast(&redis->freed);
    pthread_mutex_unlock(&redis->mutex);
    close_list(closing);
}
