/* Whatever Redis, another server or a setting says: replies in any pieces, addresses, URLs, messages and
 * entries of the cache stay inside their bytes and their memory. */
#include "fuzz.h"

#include "base/check.h"
#include "base/crypto.h"
#include "data/cache_private.h"
#include "data/redis_private.h"

#include <stdlib.h>

static struct arena arena;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    crypto_start();
    return arena_init(&arena, (size_t)4 << 20) ? 0 : 1;
}

static size_t weigh(const struct redis_reply *reply)
{
    size_t bytes = reply->text.len;
    for (size_t i = 0; i < reply->text.len; i++)
        bytes += reply->text.ptr[i] == '\0';
    for (size_t i = 0; i < reply->count; i++)
        bytes += weigh(&reply->elements[i]);
    return bytes;
}

/* The first byte says into how large pieces the rest is cut. */
static void read_replies(struct slice input)
{
    if (input.len < 2)
        return;
    size_t piece = (size_t)(unsigned char)input.ptr[0] + 1;
    struct redis_parser parser;
    struct redis_reply reply;
    redis_parser_open(&parser);
    redis_parser_begin(&parser, &arena);
    enum redis_parsed parsed = REDIS_PARSED_NOTHING;
    for (struct slice rest = slice_skip(input, 1); rest.len > 0 && parsed != REDIS_PARSED_GARBAGE;
         rest = slice_skip(rest, piece)) {
        if (!redis_parser_feed(&parser, rest.ptr, rest.len < piece ? rest.len : piece))
            break;
        while ((parsed = redis_parser_next(&parser, &reply)) == REDIS_PARSED_REPLY)
            CHECK(weigh(&reply) <= 2 * input.len);
    }
    redis_parser_close(&parser);
}

static void read_settings(struct slice input)
{
    struct redis_settings settings = {0};
    struct redis_address address = {0};
    struct slice complaint = SLICE_ABSENT;
    CHECK(arena_init(&settings.arena, (size_t)64 << 10));
    if (redis_url_parse(input, &settings, &arena, &complaint))
        CHECK(settings.seed_count > 0 && settings.seeds[0].port > 0 && settings.seeds[0].host[0] != '\0');
    else
        CHECK(complaint.len > 0);
    arena_release(&settings.arena);
    if (redis_address_parse(input, &address))
        CHECK(address.port > 0 && strlen(address.host) < input.len);
    CHECK(redis_slot(SLICE("souk:"), input) < REDIS_SLOTS);
}

static void read_cache(struct slice input)
{
    struct cache_message message;
    enum cache_order order;
    struct slice tag;
    if (cache_message_parse(input, &message))
        while (cache_message_next(&message, &order, &tag))
            CHECK(order > CACHE_ORDER_FADE || tag_is_sendable(tag));
    struct store_entry *entry = ARENA_NEW(&arena, struct store_entry);
    if (store_entry_parse(input, entry))
        CHECK(entry->tag_count <= CACHE_TAGS_MAX && entry->value.len < input.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    arena_reset(&arena);
    /* A copy of exactly this length, so that reading past it is seen. */
    char *copy = malloc(size > 0 ? size : 1);
    CHECK(copy != NULL);
    memcpy(copy, data, size);
    struct slice input = {copy, size};
    read_replies(input);
    read_settings(input);
    read_cache(input);
    free(copy);
    return 0;
}
