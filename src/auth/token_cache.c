/* The table of verified access tokens. */
#include "auth/token_cache.h"

#include "base/check.h"

#include <pthread.h>
#include <stdlib.h>

#define SETS 4096 /* a power of two; 16,384 tokens in 1.7 MB, touched as they come */
#define WAYS 4
#define STRIPES 64

struct entry {
    uint8_t digest[SHA256_LEN];
    uint64_t generation; /* 0: empty */
    struct verified_token verified;
};

struct stripe {
    pthread_mutex_t lock;
    char padding[64 - sizeof(pthread_mutex_t)]; /* a cache line each: threads of two stripes do not slow each
                                                   other */
};

struct token_cache {
    struct stripe stripes[STRIPES];
    struct entry sets[SETS][WAYS];
};

struct token_cache *token_cache_new(void)
{
    struct token_cache *cache = calloc(1, sizeof(*cache));
    CHECK(cache != NULL);
    for (size_t i = 0; i < STRIPES; i++)
        CHECK(pthread_mutex_init(&cache->stripes[i].lock, NULL) == 0);
    return cache;
}

void token_cache_free(struct token_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_destroy(&cache->stripes[i].lock);
    free(cache);
}

/* The digest is uniform: its first bytes choose the set. */
static size_t set_of(const uint8_t digest[SHA256_LEN])
{
    uint32_t first;
    memcpy(&first, digest, sizeof(first));
    return first & (SETS - 1);
}

bool token_cache_get(struct token_cache *cache, const uint8_t digest[SHA256_LEN], uint64_t generation,
                     struct verified_token *verified)
{
    size_t set = set_of(digest);
    pthread_mutex_t *lock = &cache->stripes[set % STRIPES].lock;
    bool found = false;
    pthread_mutex_lock(lock);
    for (size_t i = 0; i < WAYS && !found; i++) {
        const struct entry *entry = &cache->sets[set][i];
        found = entry->generation == generation && memcmp(entry->digest, digest, SHA256_LEN) == 0;
        if (found)
            *verified = entry->verified;
    }
    pthread_mutex_unlock(lock);
    return found;
}

/* The place for a new entry: its own old one, else a dead one, else the one that ends first. */
static struct entry *victim(struct entry *set, const uint8_t digest[SHA256_LEN], uint64_t generation)
{
    struct entry *best = NULL;
    int64_t best_end_ms = INT64_MAX;
    for (size_t i = 0; i < WAYS; i++) {
        if (memcmp(set[i].digest, digest, SHA256_LEN) == 0)
            return &set[i];
        int64_t end_ms = set[i].generation == generation ? set[i].verified.expires_at_ms : 0;
        if (best == NULL || end_ms < best_end_ms) {
            best = &set[i];
            best_end_ms = end_ms;
        }
    }
    return best;
}

void token_cache_put(struct token_cache *cache, const uint8_t digest[SHA256_LEN], uint64_t generation,
                     const struct verified_token *verified)
{
    size_t set = set_of(digest);
    pthread_mutex_t *lock = &cache->stripes[set % STRIPES].lock;
    CHECK(generation != 0);
    pthread_mutex_lock(lock);
    struct entry *entry = victim(cache->sets[set], digest, generation);
    memcpy(entry->digest, digest, SHA256_LEN);
    entry->generation = generation;
    entry->verified = *verified;
    pthread_mutex_unlock(lock);
}
