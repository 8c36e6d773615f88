/* Compressing cached replies: once for each entry and coding, on a worker, after the first request that would
 * have taken it so; kept beside the entry, and gone with it. That request and those that come meanwhile get
 * the reply as it is. */
#include "http/gateway_private.h"

#include <stdlib.h>

/* Twice the reply, its key, and what the compressed one is packed with. */
#define COMPRESSION_ARENA_BYTES (CACHE_ENTRY_BYTES_MAX * 4)

METRIC_DEFINE(COMPRESSED, "souk_response_cache_compressed_total", "Cached replies that were compressed", NULL,
              METRIC_COUNTER);
METRIC_DEFINE(SAVED, "souk_response_cache_compressed_bytes_saved_total", "Bytes by which they became smaller",
              NULL, METRIC_COUNTER);

struct compression {
    struct worker_job job;
    struct arena arena;
    struct cache *cache;
    struct slice key;
    struct slice packed;
    uint64_t serial;
    enum content_coding coding;
};

static _Atomic int compressions; /* under way, of the process */

static void compression_free(struct compression *compression)
{
    arena_release(&compression->arena);
    free(compression);
    atomic_fetch_sub(&compressions, 1);
}

static struct compression *compression_of(struct worker_job *job)
{
    return (struct compression *)((char *)job - offsetof(struct compression, job));
}

/* The reply as it is kept in the coding; absent when it is not worth it. */
static struct slice compress(struct compression *compression)
{
    struct cached_reply reply;
    CHECK(cached_reply_unpack(compression->packed, &reply));
    struct slice body = SLICE_ABSENT;
    if (reply.body.len >= COMPRESS_BYTES_MIN)
        body = coding_compress(compression->coding, &compression->arena, reply.body);
    if (slice_is_absent(body))
        return SLICE_ABSENT;
    metric_add(&COMPRESSED, 1);
    metric_add(&SAVED, (int64_t)(reply.body.len - body.len));
    reply.body = body;
    return cached_reply_pack(&compression->arena, &reply);
}

static void compression_run(struct worker_job *job)
{
    struct compression *compression = compression_of(job);
    cache_attach(compression->cache, compression->key, compression->serial, compression->coding,
                 compress(compression));
    compression_free(compression);
}

static void compression_refuse(struct worker_job *job)
{
    compression_free(compression_of(job)); /* whoever asks in a second tries again */
}

static struct compression *compression_new(void)
{
    if (atomic_fetch_add(&compressions, 1) >= COMPRESSIONS_MAX) {
        atomic_fetch_sub(&compressions, 1);
        return NULL;
    }
    struct compression *compression = calloc(1, sizeof(*compression));
    CHECK(compression != NULL);
    if (arena_init(&compression->arena, COMPRESSION_ARENA_BYTES))
        return compression;
    compression_free(compression);
    return NULL;
}

void gateway_compress(struct exchange *x, const struct cache_hit *hit, enum content_coding coding)
{
    struct cache *cache = x->gateway->services->cache;
    if (x->reply.body.len < COMPRESS_BYTES_MIN) {
        cache_attach(cache, x->cache_key, hit->serial, coding, SLICE_ABSENT);
        return;
    }
    struct compression *compression = compression_new();
    if (compression == NULL)
        return;
    compression->job = (struct worker_job){
        .run = compression_run, .refuse = compression_refuse, .priority = PRIORITY_BROWSE};
    compression->cache = cache;
    compression->key = arena_copy(&compression->arena, x->cache_key);
    compression->packed = arena_copy(&compression->arena, hit->value);
    compression->serial = hit->serial;
    compression->coding = coding;
    gateway_submit_job(x->gateway, &compression->job);
}
