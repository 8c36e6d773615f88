/* Listening to a channel: a thread with a connection of its own, to one node after the other until one takes
 * it; in Cluster every node hears what is published at any.
 *
 * A link that is silently dead says nothing, so it is asked: after a while without a word a PING is sent, and
 * without an answer by REDIS_SILENCE_MS_MAX the link counts as broken. */
#include "data/redis_private.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/metrics.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PING_AFTER_US (INT64_C(1000) * REDIS_SILENCE_MS_MAX / 4)
#define SILENCE_US (INT64_C(1000) * REDIS_SILENCE_MS_MAX)
#define MESSAGE_ARENA_BYTES ((size_t)4 << 20)

METRIC_DEFINE(LINKS, "souk_redis_subscriptions_total", "Times that a channel was listened to anew", NULL,
              METRIC_COUNTER);

struct redis_subscription {
    struct redis *redis;
    struct slice channel;
    struct redis_listener listener;
    pthread_t thread;
    int wake_fd;
    _Atomic bool is_ending;
    size_t turn; /* of the nodes */
    struct arena arena;
};

/* The next node that is known of, whether it has keys or is a replica. */
static bool next_address(struct redis_subscription *subscription, struct redis_address *address)
{
    struct redis *redis = subscription->redis;
    bool is_found = false;
    pthread_mutex_lock(&redis->mutex);
    for (size_t i = 0; i < REDIS_NODES_MAX && !is_found; i++) {
        const struct redis_node *node = &redis->nodes[subscription->turn++ % REDIS_NODES_MAX];
        is_found = node->is_used;
        if (is_found)
            *address = node->address;
    }
    pthread_mutex_unlock(&redis->mutex);
    return is_found;
}

static bool say(struct redis_subscription *subscription, struct redis_connection *connection,
                const struct redis_command *command)
{
    struct redis_failure failure;
    struct buf out;
    buf_init(&out, &subscription->arena);
    return redis_format(&out, command, subscription->redis->settings.prefix) &&
           redis_connection_send(connection, buf_slice(&out),
                                 clock_monotonic_us() + subscription->redis->settings.timeout_us, &failure);
}

static bool is_push(const struct redis_reply *reply, const char *kind)
{
    return reply->kind == REDIS_ARRAY && reply->count == 3 && reply->elements[0].kind == REDIS_STRING &&
           slice_is(reply->elements[0].text, kind);
}

/* A connection that has confirmed the subscription, or NULL. */
static struct redis_connection *subscribe(struct redis_subscription *subscription)
{
    struct redis_address address;
    struct redis_failure failure;
    if (!next_address(subscription, &address))
        return NULL;
    int64_t deadline_us = clock_monotonic_us() + subscription->redis->settings.timeout_us;
    struct redis_connection *connection =
        redis_connection_open(&subscription->redis->settings, &address, deadline_us, &failure);
    if (connection == NULL)
        return NULL;
    connection->wake_fd = subscription->wake_fd;
    struct slice words[] = {SLICE("SUBSCRIBE"), subscription->channel};
    struct redis_reply reply = {0};
    redis_parser_begin(&connection->parser, &subscription->arena);
    if (say(subscription, connection, &(struct redis_command){.words = words, .word_count = 2, .key = 1}) &&
        redis_connection_receive(connection, &reply, deadline_us, &failure) == REDIS_RECEIVED &&
        is_push(&reply, "subscribe"))
        return connection;
    redis_connection_close(connection);
    return NULL;
}

/* Until the link breaks or the subscription ends. The arena holds one reply at a time; it is forgotten only
 * between two, since the reader keeps a place in one that has arrived in part. */
static void listen(struct redis_subscription *subscription, struct redis_connection *connection)
{
    static const struct slice ping = {"PING", 4};
    int64_t heard_us = clock_monotonic_us();
    bool is_asked = false;
    while (!atomic_load(&subscription->is_ending)) {
        struct redis_failure failure;
        struct redis_reply reply;
        int64_t until_us = heard_us + (is_asked ? SILENCE_US : PING_AFTER_US);
        enum redis_received received = redis_connection_receive(connection, &reply, until_us, &failure);
        if (received == REDIS_TIMED_OUT && !is_asked) {
            /* The arena may hold a part of a reply: the few bytes of the PING come behind it. */
            if (!say(subscription, connection, &(struct redis_command){.words = &ping, .word_count = 1}))
                return;
            is_asked = true;
            continue;
        }
        if (received != REDIS_RECEIVED)
            return;
        heard_us = clock_monotonic_us();
        is_asked = false;
        if (is_push(&reply, "message") && reply.elements[2].kind == REDIS_STRING)
            subscription->listener.on_message(subscription->listener.arg, reply.elements[2].text);
        arena_reset(&subscription->arena);
        redis_parser_begin(&connection->parser, &subscription->arena);
    }
}

static void pause_for(struct redis_subscription *subscription, int64_t pause_us)
{
    struct pollfd fd = {.fd = subscription->wake_fd, .events = POLLIN};
    poll(&fd, 1, (int)(pause_us / 1000));
}

static void *subscriber(void *arg)
{
    struct redis_subscription *subscription = arg;
    const struct redis_listener *listener = &subscription->listener;
    unsigned failures = 0;
    while (!atomic_load(&subscription->is_ending)) {
        arena_reset(&subscription->arena);
        struct redis_connection *connection = subscribe(subscription);
        if (connection == NULL) {
            pause_for(subscription, redis_backoff_us(++failures));
            continue;
        }
        failures = 0;
        metric_add(&LINKS, 1);
        arena_reset(&subscription->arena);
        redis_parser_begin(&connection->parser, &subscription->arena);
        listener->on_link(listener->arg, true);
        listen(subscription, connection);
        redis_connection_close(connection);
        if (!atomic_load(&subscription->is_ending))
            listener->on_link(listener->arg, false);
    }
    return NULL;
}

struct redis_subscription *redis_subscribe(struct redis *redis, struct slice channel,
                                           const struct redis_listener *listener)
{
    struct redis_subscription *subscription = calloc(1, sizeof(*subscription));
    CHECK(subscription != NULL);
    char *name = malloc(channel.len + 1);
    CHECK(name != NULL);
    memcpy(name, channel.ptr, channel.len);
    subscription->redis = redis;
    subscription->channel = (struct slice){name, channel.len};
    subscription->listener = *listener;
    subscription->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(subscription->wake_fd >= 0);
    CHECK(arena_init(&subscription->arena, MESSAGE_ARENA_BYTES));
    CHECK(pthread_create(&subscription->thread, NULL, subscriber, subscription) == 0);
    return subscription;
}

void redis_unsubscribe(struct redis_subscription *subscription)
{
    atomic_store(&subscription->is_ending, true);
    CHECK(eventfd_write(subscription->wake_fd, 1) == 0);
    CHECK(pthread_join(subscription->thread, NULL) == 0);
    close(subscription->wake_fd);
    arena_release(&subscription->arena);
    free((char *)subscription->channel.ptr);
    free(subscription);
}
