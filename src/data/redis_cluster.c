/* Which node has which key. What the server is, is found out by CLUSTER SLOTS: a server that stands alone
 * refuses it. The map of a Cluster is read again, by one caller and not too often, when a node says MOVED or
 * cannot be used; any node that answers may be asked. */
#include "data/redis_private.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"

#include <stdio.h>

#define REFRESH_INTERVAL_US INT64_C(100000) /* between two readings of the map */
#define LOG_INTERVAL_US INT64_C(1000000)
#define REFRESH_ARENA_BYTES ((size_t)8 << 20)

METRIC_DEFINE(REFRESHES, "souk_redis_map_reads_total", "Times that the map of the Cluster was read", NULL,
              METRIC_COUNTER);
METRIC_DEFINE(TAKEOVERS, "souk_redis_takeovers_total", "Times that keys were found at another node", NULL,
              METRIC_COUNTER);

/* ---- slots ---- */

/* CRC-16/XMODEM, as the Cluster's specification wants it, going on from `crc`. */
static unsigned crc16(unsigned crc, struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= (unsigned)(unsigned char)bytes.ptr[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 0x8000) != 0 ? crc << 1 ^ 0x1021 : crc << 1;
        crc &= 0xffff;
    }
    return crc;
}

/* The part between the first '{' and the next '}', when there is something between them. */
static bool find_hash_tag(struct slice text, struct slice *tag)
{
    const char *open = text.len > 0 ? memchr(text.ptr, '{', text.len) : NULL;
    if (open == NULL)
        return false;
    struct slice rest = slice_skip(text, (size_t)(open - text.ptr) + 1);
    const char *close = rest.len > 0 ? memchr(rest.ptr, '}', rest.len) : NULL;
    if (close == NULL || close == rest.ptr)
        return false;
    *tag = (struct slice){rest.ptr, (size_t)(close - rest.ptr)};
    return true;
}

/* The prefix holds no braces (redis_open), so that a tag is in the key or nowhere. */
unsigned redis_slot(struct slice prefix, struct slice key)
{
    struct slice tag;
    unsigned crc = find_hash_tag(key, &tag) ? crc16(0, tag) : crc16(crc16(0, prefix), key);
    return crc % REDIS_SLOTS;
}

/* ---- the map ---- */

struct range {
    unsigned first, last;
    struct redis_address master;
};

/* {first, last, {host, port, id, ...}, replicas ...}. An unknown host is the one that was asked. */
static bool parse_range(const struct redis_reply *reply, const char *asked_host, struct range *range)
{
    if (reply->kind != REDIS_ARRAY || reply->count < 3)
        return false;
    const struct redis_reply *first = &reply->elements[0], *last = &reply->elements[1],
                             *master = &reply->elements[2];
    if (first->kind != REDIS_INTEGER || last->kind != REDIS_INTEGER || first->integer < 0 ||
        last->integer < first->integer || last->integer >= REDIS_SLOTS)
        return false;
    if (master->kind != REDIS_ARRAY || master->count < 2 || master->elements[1].kind != REDIS_INTEGER ||
        master->elements[1].integer < 1 || master->elements[1].integer > UINT16_MAX)
        return false;
    struct slice host = master->elements[0].kind == REDIS_STRING ? master->elements[0].text : SLICE("");
    if (host.len == 0 || slice_is(host, "?"))
        host = slice_from(asked_host);
    if (host.len >= sizeof(range->master.host))
        return false;
    memcpy(range->master.host, host.ptr, host.len);
    range->master.host[host.len] = '\0';
    range->master.port = (uint16_t)master->elements[1].integer;
    range->first = (unsigned)first->integer;
    range->last = (unsigned)last->integer;
    return true;
}

/* Under the mutex. */
static void set_slot(struct redis *redis, unsigned slot, uint8_t node)
{
    uint8_t before = redis->slot_nodes[slot];
    if (before == node)
        return;
    if (before != REDIS_NODE_NONE)
        redis->nodes[before].slots--;
    if (node != REDIS_NODE_NONE)
        redis->nodes[node].slots++;
    redis->slot_nodes[slot] = node;
}

/* Under the mutex. A slot that another node has now may lack what its old master had acknowledged. */
static bool apply_map(struct redis *redis, const struct redis_reply *reply, const char *asked_host)
{
    uint8_t slots[REDIS_SLOTS];
    memset(slots, REDIS_NODE_NONE, sizeof(slots));
    for (size_t i = 0; i < reply->count; i++) {
        struct range range;
        if (!parse_range(&reply->elements[i], asked_host, &range))
            return false;
        uint8_t node = redis_node_find_or_add(redis, &range.master);
        if (node == REDIS_NODE_NONE)
            return false;
        redis->nodes[node].slots++; /* so that it stays in the table until its slots are set */
        memset(slots + range.first, node, range.last - range.first + 1);
        for (unsigned slot = range.first; slot <= range.last; slot++) {
            uint8_t before = redis->slot_nodes[slot];
            if (before != REDIS_NODE_NONE && before != node)
                redis->has_taken_over = true;
            set_slot(redis, slot, node);
        }
        redis->nodes[node].slots--;
    }
    for (unsigned slot = 0; slot < REDIS_SLOTS; slot++)
        if (slots[slot] == REDIS_NODE_NONE)
            set_slot(redis, slot, REDIS_NODE_NONE);
    redis->map = REDIS_MAP_CLUSTER;
    return true;
}

static bool contains(struct slice text, const char *word)
{
    return memmem(text.ptr, text.len, word, strlen(word)) != NULL;
}

static void apply_plain(struct redis *redis)
{
    redis->map = REDIS_MAP_PLAIN;
    for (unsigned slot = 0; slot < REDIS_SLOTS; slot++)
        set_slot(redis, slot, 0);
}

/* Under the mutex: what the answer to CLUSTER SLOTS makes known. An ACL that forbids the question is taken
 * for a server that stands alone; if it is none, MOVED will tell. */
static bool apply_answer(struct redis *redis, const struct redis_reply *reply, const char *asked_host,
                         struct redis_failure *failure)
{
    if (reply->kind == REDIS_ARRAY && apply_map(redis, reply, asked_host))
        return true;
    bool is_refused = reply->kind == REDIS_ERROR &&
                      (contains(reply->text, "cluster support disabled") ||
                       contains(reply->text, "unknown command") || contains(reply->text, "NOPERM"));
    if (!is_refused) {
        redis_failure_set(failure, "its map of the Cluster cannot be used: %.*s", SLICE_ARG(reply->text));
        return false;
    }
    if (redis->settings.seed_count > 1) {
        redis_failure_set(failure, "REDIS_URL names several hosts, but they are no Cluster");
        return false;
    }
    apply_plain(redis);
    return true;
}

static bool ask_node(struct redis *redis, uint8_t index, struct arena *arena, int64_t deadline_us)
{
    static const struct slice words[] = {{"CLUSTER", 7}, {"SLOTS", 5}};
    struct redis_connection *connection = redis_node_take(redis, index, deadline_us);
    if (connection == NULL)
        return false;
    struct buf out;
    buf_init(&out, arena);
    CHECK(redis_format(&out, &(struct redis_command){.words = words, .word_count = 2}, SLICE("")));
    struct redis_failure failure = {0};
    struct redis_reply reply = {0};
    redis_parser_begin(&connection->parser, arena);
    bool is_whole = redis_connection_send(connection, buf_slice(&out), deadline_us, &failure) &&
                    redis_connection_receive(connection, &reply, deadline_us, &failure) == REDIS_RECEIVED;
    bool is_known = false;
    if (is_whole) {
        pthread_mutex_lock(&redis->mutex);
        struct redis_address asked = redis->nodes[index].address;
        is_known = apply_answer(redis, &reply, asked.host, &failure);
        is_whole = is_known;
        pthread_mutex_unlock(&redis->mutex);
    }
    redis_node_give(redis, index, connection, is_whole, &failure);
    return is_known;
}

/* Asks one node after the other, each for at most half of the time that is left: a node that hangs must not
 * keep the others from telling. */
static bool read_map(struct redis *redis, int64_t deadline_us)
{
    struct arena arena;
    if (!arena_init(&arena, REFRESH_ARENA_BYTES))
        return false;
    bool is_known = false;
    metric_add(&REFRESHES, 1);
    for (uint8_t i = 0; i < REDIS_NODES_MAX && !is_known; i++) {
        int64_t now_us = clock_monotonic_us();
        pthread_mutex_lock(&redis->mutex);
        const struct redis_node *node = &redis->nodes[i];
        bool is_candidate = node->is_used && redis_node_is_open(node, now_us);
        bool is_only = redis->settings.seed_count == 1 && redis->map != REDIS_MAP_CLUSTER;
        pthread_mutex_unlock(&redis->mutex);
        if (!is_candidate)
            continue;
        arena_reset(&arena);
        is_known = ask_node(redis, i, &arena, is_only ? deadline_us : now_us + (deadline_us - now_us) / 2);
    }
    arena_release(&arena);
    return is_known;
}

/* Under the mutex, which is let go while the nodes are asked. */
static void refresh(struct redis *redis, int64_t deadline_us)
{
    redis->is_refreshing = true;
    redis->is_map_stale = false;
    redis->has_taken_over = false;
    pthread_mutex_unlock(&redis->mutex);
    bool is_read = read_map(redis, deadline_us);
    pthread_mutex_lock(&redis->mutex);
    redis->is_refreshing = false;
    redis->refresh_failures = is_read ? 0 : redis->refresh_failures + 1;
    int64_t pause_us = is_read ? REFRESH_INTERVAL_US : redis_backoff_us(redis->refresh_failures);
    redis->refresh_at_us = clock_monotonic_us() + pause_us;
    if (!is_read && redis->map != REDIS_MAP_UNKNOWN)
        redis->is_map_stale = true;
    if (redis->has_taken_over) {
        atomic_fetch_add(&redis->losses, 1);
        metric_add(&TAKEOVERS, 1);
    }
    pthread_cond_broadcast(&redis->freed);
}

bool redis_map_ensure(struct redis *redis, int64_t deadline_us)
{
    pthread_mutex_lock(&redis->mutex);
    while (redis->map == REDIS_MAP_UNKNOWN || redis->is_map_stale) {
        bool is_due = clock_monotonic_us() >= redis->refresh_at_us;
        if (is_due && !redis->is_refreshing)
            refresh(redis, deadline_us);
        else if (redis->map != REDIS_MAP_UNKNOWN || !redis->is_refreshing)
            break; /* go on with the old one, or without */
        else if (!redis_wait_freed(redis, deadline_us))
            break;
    }
    bool is_known = redis->map != REDIS_MAP_UNKNOWN;
    pthread_mutex_unlock(&redis->mutex);
    return is_known;
}

uint8_t redis_map_node(struct redis *redis, unsigned slot)
{
    pthread_mutex_lock(&redis->mutex);
    uint8_t node = redis->slot_nodes[slot];
    pthread_mutex_unlock(&redis->mutex);
    return node;
}

uint8_t redis_map_any(struct redis *redis)
{
    int64_t now_us = clock_monotonic_us();
    uint8_t found = REDIS_NODE_NONE;
    pthread_mutex_lock(&redis->mutex);
    for (size_t i = 0; i < REDIS_NODES_MAX && found == REDIS_NODE_NONE; i++) {
        redis->turn = (redis->turn + 1) % REDIS_NODES_MAX;
        const struct redis_node *node = &redis->nodes[redis->turn];
        if (node->is_used && node->slots > 0 && redis_node_is_open(node, now_us))
            found = (uint8_t)redis->turn;
    }
    pthread_mutex_unlock(&redis->mutex);
    return found;
}

uint8_t redis_map_moved(struct redis *redis, unsigned slot, const struct redis_address *address)
{
    pthread_mutex_lock(&redis->mutex);
    uint8_t node = redis_node_find_or_add(redis, address);
    if (redis->map == REDIS_MAP_PLAIN)
        redis->map = REDIS_MAP_UNKNOWN; /* it is a Cluster after all */
    if (node != REDIS_NODE_NONE && redis->slot_nodes[slot] != node) {
        set_slot(redis, slot, node);
        atomic_fetch_add(&redis->losses, 1);
        metric_add(&TAKEOVERS, 1);
    }
    redis->is_map_stale = true;
    pthread_mutex_unlock(&redis->mutex);
    return node;
}

void redis_map_mark_stale(struct redis *redis)
{
    pthread_mutex_lock(&redis->mutex);
    if (redis->map == REDIS_MAP_CLUSTER)
        redis->is_map_stale = true;
    pthread_mutex_unlock(&redis->mutex);
}

/* ---- health ---- */

bool redis_is_up_locked(const struct redis *redis)
{
    if (redis->map == REDIS_MAP_UNKNOWN || redis->is_down_reported)
        return false;
    size_t slots = 0;
    for (size_t i = 0; i < REDIS_NODES_MAX; i++) {
        const struct redis_node *node = &redis->nodes[i];
        slots += node->slots;
        if (node->slots > 0 && node->failures > 0)
            return false;
    }
    return slots == REDIS_SLOTS;
}

void redis_note_state(struct redis *redis, const char *why)
{
    bool is_up = redis_is_up_locked(redis);
    if (is_up == redis->was_up && redis->is_state_logged)
        return;
    if (!is_up && redis->map == REDIS_MAP_UNKNOWN && (why == NULL || why[0] == '\0'))
        return; /* nothing was asked yet */
    int64_t now_us = clock_monotonic_us();
    if (now_us < redis->log_at_us)
        return; /* said the next time, if it is still so */
    redis->log_at_us = now_us + LOG_INTERVAL_US;
    redis->was_up = is_up;
    redis->is_state_logged = true;
    if (is_up)
        log_message(LOG_INFO, "Redis can be used");
    else
        log_message(LOG_WARN, "Redis cannot be used, the shop works on without it: %s",
                    why != NULL && why[0] != '\0' ? why : "it says so");
}
