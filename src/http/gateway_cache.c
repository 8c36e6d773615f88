/* The response cache: what API Gateway's does, with exact invalidation. Replies of operations that the
 * contract marks public and gives a `cache` are kept under operation, path and query; a write drops them by
 * tag (data/cache.h).
 *
 * An entry whose time is over stays for CACHE_STALE_SECONDS. Where the reply would have to wait for another
 * thread or machine it is given out at once, with its Age, while one request that nobody waits for makes it
 * anew; and where making it fails because the shop is busy or its database is away, it stands in. What was
 * dropped is never shown again, by neither. */
#include "base/clock.h"
#include "http/gateway_private.h"
#include "http/headers.h"

#include <stdlib.h>

METRIC_DEFINE(REFRESHES, "souk_response_cache_refreshes_total", "Stale replies made anew in the background",
              NULL, METRIC_COUNTER);

/* ---- what an entry holds ---- */

struct cached_head {
    uint16_t content_type_len;
    uint16_t etag_len;
};

struct slice cached_reply_pack(struct arena *arena, const struct cached_reply *reply)
{
    struct slice type = reply->content_type, etag = reply->etag, body = reply->body;
    struct cached_head head = {.content_type_len = (uint16_t)type.len, .etag_len = (uint16_t)etag.len};
    size_t len = sizeof(head) + type.len + 1 + etag.len + 1 + body.len;
    char *text = arena_try_alloc(arena, len);
    if (text == NULL || type.len > UINT16_MAX || etag.len > UINT16_MAX)
        return SLICE_ABSENT;
    char *at = text;
    memcpy(at, &head, sizeof(head));
    at += sizeof(head);
    memcpy(at, type.ptr, type.len);
    at += type.len;
    *at++ = '\0';
    memcpy(at, etag.ptr, etag.len);
    at += etag.len;
    *at++ = '\0';
    memcpy(at, body.ptr, body.len);
    return (struct slice){text, len};
}

bool cached_reply_unpack(struct slice packed, struct cached_reply *reply)
{
    struct cached_head head;
    if (packed.len < sizeof(head))
        return false;
    memcpy(&head, packed.ptr, sizeof(head));
    size_t before = sizeof(head) + head.content_type_len + 1u + head.etag_len + 1u;
    if (packed.len < before)
        return false;
    reply->content_type = (struct slice){packed.ptr + sizeof(head), head.content_type_len};
    reply->etag = (struct slice){reply->content_type.ptr + head.content_type_len + 1, head.etag_len};
    reply->body = slice_skip(packed, before);
    return true;
}

/* ---- keys ---- */

static int compare_parameters(const void *a, const void *b)
{
    const struct raw_parameter *x = *(const struct raw_parameter *const *)a;
    const struct raw_parameter *y = *(const struct raw_parameter *const *)b;
    size_t shorter = x->name.len < y->name.len ? x->name.len : y->name.len;
    int order = memcmp(x->name.ptr, y->name.ptr, shorter);
    if (order == 0 && x->name.len != y->name.len)
        order = x->name.len < y->name.len ? -1 : 1;
    return order != 0 ? order : (x < y ? -1 : 1); /* of one name: as they came */
}

/* Operation, path and the query in the order of its names. NUL parts them: none of them can hold one. */
static struct slice cache_key_of(struct exchange *x)
{
    struct buf key;
    buf_init(&key, x->arena);
    buf_append(&key, slice_from(x->request.operation->name));
    buf_append_char(&key, '\0');
    buf_append(&key, x->target);
    const struct raw_parameter *sorted[QUERY_PARAMETERS_MAX];
    for (size_t i = 0; i < x->parameter_count; i++)
        sorted[i] = &x->parameters[i];
    qsort(sorted, x->parameter_count, sizeof(sorted[0]), compare_parameters);
    for (size_t i = 0; i < x->parameter_count; i++) {
        buf_append_char(&key, '\0');
        buf_append(&key, sorted[i]->name);
        buf_append_char(&key, '\0');
        buf_append(&key, sorted[i]->value);
    }
    return key.overflow ? SLICE_ABSENT : buf_slice(&key);
}

/* What an entry can be dropped by alone, on every server. */
static struct slice reply_tag(struct arena *arena, struct slice key)
{
    return arena_format(arena, "reply:%016llx", (unsigned long long)hash64(key));
}

/* ---- taking ---- */

static bool take_hit(struct exchange *x, const struct cache_hit *hit)
{
    struct cached_reply reply;
    if (!cached_reply_unpack(hit->value, &reply))
        return false;
    x->response.content_type = reply.content_type.ptr;
    x->etag = reply.etag;
    x->reply.body = reply.body;
    x->coding = (enum content_coding)hit->form;
    x->cache_age_s = hit->age_s;
    x->cache_state = hit->freshness == CACHE_FRESH ? CACHE_HIT : CACHE_HIT_STALE;
    x->status = HTTP_STATUS_OK;
    if (hit->is_form_due)
        gateway_compress(x, hit, x->wanted_coding);
    return true;
}

bool gateway_take_fresh(struct exchange *x)
{
    struct cache *cache = x->gateway->services->cache;
    struct cache_hit hit;
    if (!cache_find(cache, x->cache_key, x->wanted_coding, x->arena, &hit))
        return false;
    if (hit.freshness == CACHE_FRESH)
        return take_hit(x, &hit);
    x->stale = hit;
    return false;
}

bool gateway_take_shared(struct exchange *x)
{
    struct cache_hit hit;
    if (x->cache_state != CACHE_MISS ||
        !cache_find_shared(x->gateway->services->cache, x->cache_key, x->wanted_coding, x->arena, &hit,
                           &x->cache_ticket))
        return false;
    if (hit.freshness == CACHE_FRESH)
        return take_hit(x, &hit);
    x->stale = hit;
    return false;
}

bool gateway_take_stale(struct exchange *x)
{
    if (x->stale.freshness != CACHE_STALE || x->is_refresh || !take_hit(x, &x->stale))
        return false;
    if (x->stale.is_refresh_due)
        gateway_refresh(x);
    return true;
}

void gateway_fall_back(struct exchange *x)
{
    if (x->status != HTTP_STATUS_UNAVAILABLE || x->stale.freshness == CACHE_GONE || x->is_refresh)
        return;
    response_init(&x->response, x->arena, x->request.operation->is_bare);
    (void)take_hit(x, &x->stale);
}

/* ---- looking up ---- */

/* Who may make the shop's servers forget a reply: who may change its settings. */
static bool may_refresh(const struct principal *principal)
{
    return principal_has(principal, SCOPE_SETTINGS_WRITE);
}

/* An administrator's no-cache: what anybody is shown from now on is made after this moment, on every server.
 * From anybody else it is ignored: the cache is there to protect the database. */
static void refresh_for_admin(struct exchange *x)
{
    struct slice directives = x->headers[HEADER_CACHE_CONTROL];
    if (slice_is_absent(directives) || !header_has_directive(directives, SLICE("no-cache")) ||
        !may_refresh(&x->request.principal))
        return;
    cache_drop_tag(x->gateway->services->cache, reply_tag(x->arena, x->cache_key));
    gateway_refresh(x);
}

/* It stands before validation: only what was once valid was kept, under the same words. Staff read fresh and
 * may see more. */
enum http_status gateway_look_up_cache(struct exchange *x)
{
    const struct operation *operation = x->request.operation;
    struct cache *cache = x->gateway->services->cache;
    if (cache == NULL || operation->cache_seconds == 0 || operation->access != ACCESS_PUBLIC ||
        operation->method != METHOD_GET)
        return (enum http_status)0;
    x->cache_key = cache_key_of(x);
    if (slice_is_absent(x->cache_key))
        return (enum http_status)0;
    if (principal_sees_drafts(&x->request.principal)) {
        refresh_for_admin(x);
        return (enum http_status)0;
    }
    x->wanted_coding = coding_choose(x->headers[HEADER_ACCEPT_ENCODING]);
    if (gateway_take_fresh(x))
        return HTTP_STATUS_OK;
    x->cache_state = CACHE_MISS;
    x->cache_ticket = cache_ticket(cache); /* before anything is read */
    return (enum http_status)0;
}

/* ---- filling ---- */

void gateway_fill_cache(struct exchange *x)
{
    const struct response *response = &x->response;
    const struct operation *operation = x->request.operation;
    if (x->cache_state != CACHE_MISS || x->status != HTTP_STATUS_OK || response->is_uncacheable ||
        response->header_count > 0 /* its own headers are not kept */ ||
        x->reply.body.len > CACHE_ENTRY_BYTES_MAX)
        return;
    struct slice tags[CACHE_TAGS_MAX + OPERATION_CACHE_TAGS_MAX + 1];
    size_t count = 0;
    for (size_t i = 0; i < OPERATION_CACHE_TAGS_MAX && operation->cache_tags[i] != NULL; i++)
        tags[count++] = slice_from(operation->cache_tags[i]);
    for (size_t i = 0; i < response->tag_count; i++)
        tags[count++] = response->tags[i];
    tags[count++] = reply_tag(x->arena, x->cache_key);
    struct slice packed = cached_reply_pack(
        x->arena, &(struct cached_reply){slice_from(response->content_type), x->etag, x->reply.body});
    if (!slice_is_absent(packed))
        cache_put_for(x->gateway->services->cache, x->cache_ticket, x->cache_key, packed, tags, count,
                      (struct cache_life){operation->cache_seconds, CACHE_STALE_SECONDS});
}

/* ---- refreshing ---- */

/* A request that nobody sent: it goes the way of one that missed, on a worker, and its reply is only kept. */
struct refresh {
    struct arena arena;
    struct exchange *x;
};

static _Atomic int refreshes; /* under way, of the process */

static void refresh_free(struct refresh *refresh)
{
    arena_release(&refresh->arena);
    free(refresh);
    atomic_fetch_sub(&refreshes, 1);
}

static struct refresh *refresh_new(void)
{
    if (atomic_fetch_add(&refreshes, 1) >= CACHE_REFRESHES_MAX) {
        atomic_fetch_sub(&refreshes, 1);
        return NULL;
    }
    struct refresh *refresh = calloc(1, sizeof(*refresh));
    CHECK(refresh != NULL);
    if (arena_init(&refresh->arena, ARENA_REQUEST_BYTES))
        return refresh;
    refresh_free(refresh);
    return NULL;
}

/* On whatever thread brought it to its end. */
static void refresh_end(struct exchange *x)
{
    gateway_finish(x->gateway, x);
    refresh_free(x->transport);
}

/* The same question, asked by nobody in particular. */
static struct exchange *refresh_exchange(struct refresh *refresh, const struct exchange *from)
{
    struct exchange *x = exchange_new(&refresh->arena);
    x->gateway = from->gateway;
    x->transport = refresh;
    x->complete = refresh_end;
    x->is_refresh = true;
    x->is_suspended = true;
    x->method = METHOD_GET;
    x->target = arena_copy(x->arena, from->target);
    x->query = arena_copy(x->arena, from->query);
    x->cache_key = arena_copy(x->arena, from->cache_key);
    x->cache_state = CACHE_MISS;
    x->cache_ticket = cache_ticket(x->gateway->services->cache);
    x->address = x->request.address = SLICE("");
    x->started_us = clock_monotonic_us();
    x->deadline_us = x->started_us + x->gateway->services->config->request_timeout_ms * 1000;
    return x;
}

void gateway_refresh(const struct exchange *from)
{
    struct refresh *refresh = refresh_new();
    if (refresh == NULL)
        return; /* whoever asks in a second tries again */
    struct exchange *x = refresh_exchange(refresh, from);
    if (!gateway_prepare_refresh(x) || !fill_begin(x)) { /* somebody makes it already */
        refresh_free(refresh);
        return;
    }
    metric_add(&REFRESHES, 1);
    gateway_submit(x->gateway, x);
}
