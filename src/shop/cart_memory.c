/* Carts as they were shown: see cart_memory.h. */
#include "shop/cart_memory.h"

#define CART_MEMORY_SECONDS 3600

/* What an entry begins with: every change of a cart raises its version or its status. */
static struct slice state_of(struct arena *arena, const struct cart *cart)
{
    return arena_format(arena, "%lld %s %lld ", (long long)cart->version, cart_status_name(cart->status),
                        (long long)cart->updated_at_ms);
}

/* Nobody who can read the cache's keys can find the cart, or try ids. */
static struct slice key_of(const struct request *request, struct uuid cart_id)
{
    struct slice seal_key = {(const char *)request->services->seal_key, sizeof(request->services->seal_key)};
    uint8_t mac[SHA256_LEN];
    hmac_sha256(seal_key, (struct slice){(const char *)cart_id.bytes, sizeof(cart_id.bytes)}, mac);
    struct slice text = base64url_encode(request->arena, (struct slice){(const char *)mac, sizeof(mac)});
    return arena_format(request->arena, "cart:%.*s", SLICE_ARG(text));
}

void cart_recall(struct request *request, struct uuid cart_id, struct cart_memory *memory)
{
    struct slice sealed;
    int64_t age_s;
    *memory = (struct cart_memory){.cache = services_private_cache(request->services), .plain = SLICE_ABSENT};
    if (memory->cache == NULL)
        return;
    memory->key = key_of(request, cart_id);
    memory->is_known =
        cache_get_shared(memory->cache, memory->key, request->arena, &sealed, &age_s, &memory->ticket);
    if (memory->is_known)
        memory->plain = secret_open(request->arena, request->services->seal_key, sealed);
}

struct slice cart_recalled(const struct cart_memory *memory, struct arena *arena, const struct cart *cart)
{
    struct slice state = state_of(arena, cart);
    if (!memory->is_known)
        return SLICE_ABSENT;
    if (slice_is_absent(memory->plain) || !slice_starts_with(memory->plain, state)) {
        cache_drop_tag(memory->cache, memory->key);
        return SLICE_ABSENT;
    }
    return slice_skip(memory->plain, state.len);
}

static struct slice product_tag(struct arena *arena, struct uuid product_id)
{
    char text[UUID_TEXT_LEN];
    uuid_format(product_id, text);
    return arena_format(arena, "product:%.*s", UUID_TEXT_LEN, text);
}

void cart_remember(const struct cart_memory *memory, struct request *request, const struct cart *cart,
                   const struct cart_line *lines, size_t count, struct slice shown)
{
    struct arena *arena = request->arena;
    struct slice tags[CACHE_TAGS_MAX];
    if (memory->cache == NULL || memory->is_known || count + 2 > COUNT_OF(tags) ||
        shown.len > CACHE_ENTRY_BYTES_MAX)
        return;
    tags[0] = memory->key;
    tags[1] = SLICE("settings");
    for (size_t i = 0; i < count; i++)
        tags[i + 2] = product_tag(arena, lines[i].product_id);
    struct slice plain = arena_format(arena, "%.*s%.*s", SLICE_ARG(state_of(arena, cart)), SLICE_ARG(shown));
    cache_put(memory->cache, memory->ticket, memory->key,
              secret_seal(arena, request->services->seal_key, plain), tags, count + 2, CART_MEMORY_SECONDS);
}
