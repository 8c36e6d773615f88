/* Pipelines: commands are sorted by the node that has their key, written to all nodes, then read from all,
 * and put back into their order. What a node says has moved is sent again, within the same deadline; what may
 * have been carried out is not. */
#include "data/redis_private.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/trace.h"

#include <stdlib.h>
#include <time.h>

#define SETTINGS_ARENA_BYTES ((size_t)64 << 10)
#define PING_ARENA_BYTES ((size_t)64 << 10)
#define TRY_AGAIN_PAUSE_MS 2 /* while the keys of one command are on two nodes */

METRIC_DEFINE(COMMANDS, "souk_redis_commands_total", "Commands by what became of them", "result=\"answered\"",
              METRIC_COUNTER);
METRIC_DEFINE(UNANSWERED, "souk_redis_commands_total", "", "result=\"unanswered\"", METRIC_COUNTER);
METRIC_DEFINE(MOVED, "souk_redis_redirections_total", "Commands that a Cluster sent elsewhere",
              "kind=\"moved\"", METRIC_COUNTER);
METRIC_DEFINE(ASK, "souk_redis_redirections_total", "", "kind=\"ask\"", METRIC_COUNTER);
HISTOGRAM_DEFINE(LATENCY, "souk_redis_seconds", "Duration of a pipeline");

/* ---- open and close ---- */

static bool is_prefix_good(struct slice prefix)
{
    if (prefix.len > REDIS_PREFIX_BYTES_MAX)
        return false;
    for (size_t i = 0; i < prefix.len; i++)
        if (prefix.ptr[i] <= ' ' || prefix.ptr[i] > '~' || prefix.ptr[i] == '{' || prefix.ptr[i] == '}')
            return false;
    return true;
}

static bool settings_open(struct redis_settings *settings, const struct redis_options *options,
                          struct arena *arena, struct slice *complaint)
{
    struct slice prefix = slice_is_absent(options->prefix) ? SLICE("souk:") : options->prefix;
    if (!is_prefix_good(prefix)) {
        *complaint =
            arena_format(arena,
                         "The prefix of keys in Redis must be printable ASCII without spaces and braces,"
                         " and have at most %d characters",
                         REDIS_PREFIX_BYTES_MAX);
        return false;
    }
    settings->prefix = arena_copy(&settings->arena, prefix);
    settings->timeout_us =
        (options->timeout_ms > 0 ? options->timeout_ms : REDIS_TIMEOUT_MS_DEFAULT) * INT64_C(1000);
    return redis_url_parse(options->url, settings, arena, complaint) &&
           (!settings->is_tls || redis_tls_open(settings, arena, complaint));
}

struct redis *redis_open(const struct redis_options *options, struct arena *arena, struct slice *complaint)
{
    struct redis *redis = calloc(1, sizeof(*redis));
    CHECK(redis != NULL);
    pthread_mutex_init(&redis->mutex, NULL);
    clock_cond_init(&redis->freed);
    memset(redis->slot_nodes, REDIS_NODE_NONE, sizeof(redis->slot_nodes));
    if (!arena_init(&redis->settings.arena, SETTINGS_ARENA_BYTES)) {
        *complaint = SLICE("no memory for REDIS_URL");
        redis_free(redis);
        return NULL;
    }
    if (!settings_open(&redis->settings, options, arena, complaint)) {
        redis_free(redis);
        return NULL;
    }
    for (size_t i = 0; i < redis->settings.seed_count; i++)
        redis_node_find_or_add(redis, &redis->settings.seeds[i]);
    return redis;
}

void redis_free(struct redis *redis)
{
    if (redis == NULL)
        return;
    for (size_t i = 0; i < REDIS_NODES_MAX; i++)
        redis_node_close(&redis->nodes[i]);
    SSL_CTX_free(redis->settings.tls);
    pthread_cond_destroy(&redis->freed);
    pthread_mutex_destroy(&redis->mutex);
    arena_release(&redis->settings.arena);
    free(redis);
}

/* ---- one pipeline ---- */

enum progress { WAITING, SENT, DONE };

struct item {
    enum progress progress;
    unsigned slot;  /* REDIS_SLOTS: any node */
    uint8_t node;   /* of this round */
    bool is_asking; /* `node` was named by ASK */
};

/* What goes to one node in one round. */
struct exchange {
    uint8_t node;
    bool is_whole;
    struct redis_connection *connection;
    struct redis_failure failure;
};

struct pipeline {
    struct redis *redis;
    struct arena *arena;
    const struct redis_command *commands;
    size_t count;
    struct redis_reply *replies;
    struct item *items;
    int64_t deadline_us;
    bool was_redirected, must_pause; /* in this round */
    bool was_refused, was_served;    /* a key */
    struct exchange exchanges[REDIS_NODES_MAX];
    size_t exchange_count;
};

static void choose_nodes(struct pipeline *pipeline)
{
    struct redis *redis = pipeline->redis;
    uint8_t any = redis_map_any(redis);
    pthread_mutex_lock(&redis->mutex);
    for (size_t i = 0; i < pipeline->count; i++) {
        struct item *item = &pipeline->items[i];
        if (item->progress == WAITING && !item->is_asking)
            item->node = item->slot == REDIS_SLOTS ? any : redis->slot_nodes[item->slot];
    }
    pthread_mutex_unlock(&redis->mutex);
}

static bool is_for(const struct item *item, uint8_t node)
{
    return item->progress == WAITING && item->node == node;
}

static bool append_asking(struct buf *out)
{
    static const struct slice asking = {"ASKING", 6};
    return redis_format(out, &(struct redis_command){.words = &asking, .word_count = 1}, SLICE(""));
}

/* Writes all that waits for the node. */
static void send_to(struct pipeline *pipeline, struct exchange *exchange)
{
    struct buf out;
    buf_init(&out, pipeline->arena);
    bool fits = true;
    for (size_t i = 0; i < pipeline->count && fits; i++) {
        struct item *item = &pipeline->items[i];
        if (!is_for(item, exchange->node))
            continue;
        fits = (!item->is_asking || append_asking(&out)) &&
               redis_format(&out, &pipeline->commands[i], pipeline->redis->settings.prefix);
        item->progress = SENT;
    }
    CHECK(out.len <= 2 * REDIS_REQUEST_BYTES_MAX);
    if (!fits)
        redis_failure_set(&exchange->failure, "the request does not fit into its memory");
    exchange->is_whole = fits && redis_connection_send(exchange->connection, buf_slice(&out),
                                                       pipeline->deadline_us, &exchange->failure);
}

static void send_all(struct pipeline *pipeline)
{
    pipeline->exchange_count = 0;
    for (uint8_t node = 0; node < REDIS_NODES_MAX; node++) {
        size_t first = 0;
        while (first < pipeline->count && !is_for(&pipeline->items[first], node))
            first++;
        if (first == pipeline->count)
            continue;
        /* In the order of nodes: two callers that take several never wait for each other. */
        struct redis_connection *connection = redis_node_take(pipeline->redis, node, pipeline->deadline_us);
        if (connection == NULL)
            continue;
        struct exchange *exchange = &pipeline->exchanges[pipeline->exchange_count++];
        *exchange = (struct exchange){.node = node, .connection = connection};
        send_to(pipeline, exchange);
    }
}

static bool begins(const struct redis_reply *reply, const char *word)
{
    return reply->kind == REDIS_ERROR && slice_starts_with(reply->text, slice_from(word));
}

/* "MOVED 3999 127.0.0.1:6381": the slot and where it is; without a host it is the one that says so. */
static bool parse_redirection(struct redis *redis, struct slice text, uint8_t from, unsigned *slot,
                              struct redis_address *address)
{
    struct slice word, number, where;
    long long value;
    if (!slice_split(&text, ' ', &word) || !slice_split(&text, ' ', &number) ||
        !slice_split(&text, ' ', &where))
        return false;
    if (!slice_to_int64(number, &value) || value < 0 || value >= REDIS_SLOTS ||
        !redis_address_parse(where, address))
        return false;
    if (address->host[0] == '\0') {
        pthread_mutex_lock(&redis->mutex);
        memcpy(address->host, redis->nodes[from].address.host, sizeof(address->host));
        pthread_mutex_unlock(&redis->mutex);
    }
    *slot = (unsigned)value;
    return true;
}

/* True when the command is to be sent again, elsewhere. */
static bool is_redirected(struct pipeline *pipeline, struct item *item, const struct redis_reply *reply)
{
    struct redis *redis = pipeline->redis;
    struct redis_address address = {0};
    unsigned slot;
    item->is_asking = false;
    if (begins(reply, "TRYAGAIN ")) {
        pipeline->must_pause = true;
        return true;
    }
    bool is_ask = begins(reply, "ASK ");
    if ((!is_ask && !begins(reply, "MOVED ")) ||
        !parse_redirection(redis, reply->text, item->node, &slot, &address))
        return false;
    metric_add(is_ask ? &ASK : &MOVED, 1);
    if (!is_ask) {
        redis_map_moved(redis, slot, &address);
        return true;
    }
    pthread_mutex_lock(&redis->mutex);
    item->node = redis_node_find_or_add(redis, &address);
    pthread_mutex_unlock(&redis->mutex);
    item->is_asking = item->node != REDIS_NODE_NONE;
    return item->is_asking;
}

/* Redis is there, but cannot serve the key now: as good as no answer. */
static bool is_refusal(const struct redis_reply *reply)
{
    return begins(reply, "CLUSTERDOWN") || begins(reply, "LOADING") || begins(reply, "MASTERDOWN") ||
           begins(reply, "BUSY ") || begins(reply, "READONLY");
}

static void note_refusal(struct redis *redis, bool is_down)
{
    pthread_mutex_lock(&redis->mutex);
    if (redis->is_down_reported != is_down) {
        redis->is_down_reported = is_down;
        redis->is_map_stale = redis->map == REDIS_MAP_CLUSTER;
        redis_note_state(redis, "it cannot serve keys now");
    }
    pthread_mutex_unlock(&redis->mutex);
}

static void take_reply(struct pipeline *pipeline, struct exchange *exchange, size_t index,
                       const struct redis_reply *reply)
{
    struct item *item = &pipeline->items[index];
    if (is_redirected(pipeline, item, reply)) {
        pipeline->was_redirected = true;
        item->progress = WAITING;
        return;
    }
    item->progress = DONE;
    if (is_refusal(reply)) {
        pipeline->was_refused = true;
    } else {
        pipeline->replies[index] = *reply;
        pipeline->was_served = pipeline->was_served || item->slot != REDIS_SLOTS;
    }
    if (begins(reply, "READONLY")) { /* no master any more: the name may lead to another machine by now */
        exchange->is_whole = false;
        redis_failure_set(&exchange->failure, "it has become a replica");
    }
}

/* Reads what was sent to one node. What is not answered stays REDIS_UNANSWERED. */
static void receive_from(struct pipeline *pipeline, struct exchange *exchange)
{
    redis_parser_begin(&exchange->connection->parser, pipeline->arena);
    bool can_read = exchange->is_whole;
    for (size_t i = 0; i < pipeline->count; i++) {
        struct item *item = &pipeline->items[i];
        if (item->progress != SENT || item->node != exchange->node)
            continue;
        struct redis_reply reply = {0};
        /* The reply to ASKING, then the command's. */
        for (int left = item->is_asking ? 2 : 1; left > 0 && can_read; left--)
            can_read = redis_connection_receive(exchange->connection, &reply, pipeline->deadline_us,
                                                &exchange->failure) == REDIS_RECEIVED;
        if (can_read)
            take_reply(pipeline, exchange, i, &reply);
        else
            item->progress = DONE;
    }
    exchange->is_whole = exchange->is_whole && can_read;
}

/* One round of sending and reading. */
static void run_round(struct pipeline *pipeline)
{
    pipeline->was_redirected = pipeline->must_pause = false;
    choose_nodes(pipeline);
    send_all(pipeline);
    for (size_t i = 0; i < pipeline->exchange_count; i++) {
        struct exchange *exchange = &pipeline->exchanges[i];
        receive_from(pipeline, exchange);
        redis_node_give(pipeline->redis, exchange->node, exchange->connection, exchange->is_whole,
                        &exchange->failure);
        if (!exchange->is_whole)
            redis_map_mark_stale(pipeline->redis);
    }
}

static size_t count_waiting(const struct pipeline *pipeline)
{
    size_t count = 0;
    for (size_t i = 0; i < pipeline->count; i++)
        count += pipeline->items[i].progress == WAITING;
    return count;
}

/* Whether a further round has a chance: something was redirected, or what could not be sent has another node
 * by now. */
static bool can_go_on(struct pipeline *pipeline)
{
    if (clock_monotonic_us() >= pipeline->deadline_us)
        return false;
    if (!pipeline->was_redirected)
        redis_map_mark_stale(pipeline->redis);
    if (!redis_map_ensure(pipeline->redis, pipeline->deadline_us))
        return false;
    if (pipeline->must_pause) {
        struct timespec pause = {.tv_nsec = TRY_AGAIN_PAUSE_MS * 1000000};
        nanosleep(&pause, NULL);
    }
    if (pipeline->was_redirected)
        return true;
    for (size_t i = 0; i < pipeline->count; i++) {
        const struct item *item = &pipeline->items[i];
        if (item->progress != WAITING)
            continue;
        uint8_t node = item->slot == REDIS_SLOTS ? redis_map_any(pipeline->redis)
                                                 : redis_map_node(pipeline->redis, item->slot);
        if (node != item->node && node != REDIS_NODE_NONE)
            return true;
    }
    return false;
}

static void run(struct pipeline *pipeline)
{
    if (!redis_map_ensure(pipeline->redis, pipeline->deadline_us))
        return;
    for (int round = 0; round < REDIS_REDIRECTIONS_MAX; round++) {
        run_round(pipeline);
        if (count_waiting(pipeline) == 0 || !can_go_on(pipeline))
            return;
    }
}

static void check_sizes(const struct redis_command *commands, size_t count)
{
    CHECK(count <= REDIS_PIPELINE_MAX);
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t word = 0; word < commands[i].word_count; word++)
            bytes += commands[i].words[word].len;
    CHECK(bytes <= REDIS_REQUEST_BYTES_MAX);
}

bool redis_pipeline(struct redis *redis, struct arena *arena, const struct redis_command *commands,
                    size_t count, struct redis_reply *replies)
{
    if (count == 0)
        return true;
    check_sizes(commands, count);
    int64_t began_us = clock_monotonic_us();
    struct pipeline *pipeline = ARENA_NEW(arena, struct pipeline);
    *pipeline = (struct pipeline){.redis = redis,
                                  .arena = arena,
                                  .commands = commands,
                                  .count = count,
                                  .replies = replies,
                                  .items = ARENA_ARRAY(arena, struct item, count),
                                  .deadline_us = began_us + redis->settings.timeout_us};
    memset(replies, 0, count * sizeof(*replies));
    for (size_t i = 0; i < count; i++) {
        const struct redis_command *command = &commands[i];
        bool has_slot = command->key > 0 && !command->is_for_any_node;
        pipeline->items[i].slot =
            has_slot ? redis_slot(redis->settings.prefix, command->words[command->key]) : REDIS_SLOTS;
    }
    struct span *span = span_begin("pipeline", SPAN_REDIS);
    run(pipeline);
    if (pipeline->was_refused || pipeline->was_served)
        note_refusal(redis, pipeline->was_refused);
    size_t answered = 0;
    for (size_t i = 0; i < count; i++)
        answered += replies[i].kind != REDIS_UNANSWERED;
    span_end(span, answered < count);
    metric_add(&COMMANDS, (int64_t)answered);
    metric_add(&UNANSWERED, (int64_t)(count - answered));
    histogram_observe_us(&LATENCY, clock_monotonic_us() - began_us);
    return answered == count;
}

bool redis_ping(struct redis *redis)
{
    static const struct slice word = {"PING", 4};
    int64_t deadline_us = clock_monotonic_us() + redis->settings.timeout_us;
    struct arena arena;
    if (!redis_map_ensure(redis, deadline_us) || !arena_init(&arena, PING_ARENA_BYTES))
        return false;
    for (uint8_t i = 0; i < REDIS_NODES_MAX; i++) {
        pthread_mutex_lock(&redis->mutex);
        bool is_wanted = redis->nodes[i].is_used && redis->nodes[i].slots > 0;
        pthread_mutex_unlock(&redis->mutex);
        struct redis_connection *connection = is_wanted ? redis_node_take(redis, i, deadline_us) : NULL;
        if (connection == NULL)
            continue;
        struct redis_failure failure = {0};
        struct redis_reply reply;
        struct buf out;
        arena_reset(&arena);
        buf_init(&out, &arena);
        CHECK(redis_format(&out, &(struct redis_command){.words = &word, .word_count = 1}, SLICE("")));
        redis_parser_begin(&connection->parser, &arena);
        bool is_whole = redis_connection_send(connection, buf_slice(&out), deadline_us, &failure) &&
                        redis_connection_receive(connection, &reply, deadline_us, &failure) == REDIS_RECEIVED;
        redis_node_give(redis, i, connection, is_whole, &failure);
        if (!is_whole)
            redis_map_mark_stale(redis);
    }
    arena_release(&arena);
    return redis_is_up(redis);
}

bool redis_is_up(struct redis *redis)
{
    pthread_mutex_lock(&redis->mutex);
    bool is_up = redis_is_up_locked(redis);
    pthread_mutex_unlock(&redis->mutex);
    return is_up;
}

uint64_t redis_losses(struct redis *redis)
{
    return atomic_load(&redis->losses);
}
