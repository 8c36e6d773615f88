/* Redis' pub/sub as what carries drops. The channel is "drops", with the prefix of the keys in front. */
#include "data/cache_private.h"

#include "base/check.h"

#include <stdlib.h>

#define CHANNEL SLICE("drops")
#define MESSAGE_BYTES_MAX ((size_t)64 << 10)
#define PUBLISH_ARENA_BYTES ((size_t)1 << 20)

struct redis_link {
    struct redis *redis;
    struct redis_subscription *subscription;
    struct arena arena; /* of publish */
};

static void listen(void *arg, const struct cache_link_events *events)
{
    struct redis_link *link = arg;
    struct redis_listener listener = {events->on_message, events->on_state, events->arg};
    link->subscription = redis_subscribe(link->redis, CHANNEL, &listener);
}

static void unlisten(void *arg)
{
    struct redis_link *link = arg;
    redis_unsubscribe(link->subscription);
    arena_release(&link->arena);
    free(link);
}

static bool publish(void *arg, struct slice message)
{
    struct redis_link *link = arg;
    struct slice words[] = {SLICE("PUBLISH"), CHANNEL, message};
    struct redis_command command = {.words = words, .word_count = 3, .key = 1, .is_for_any_node = true};
    struct redis_reply reply;
    arena_reset(&link->arena);
    return redis_pipeline(link->redis, &link->arena, &command, 1, &reply) && reply.kind == REDIS_INTEGER;
}

struct cache_link cache_link_redis(struct redis *redis)
{
    struct redis_link *link = calloc(1, sizeof(*link));
    CHECK(link != NULL);
    link->redis = redis;
    CHECK(arena_init(&link->arena, PUBLISH_ARENA_BYTES));
    return (struct cache_link){.listen = listen,
                               .unlisten = unlisten,
                               .publish = publish,
                               .arg = link,
                               .message_bytes_max = MESSAGE_BYTES_MAX};
}
