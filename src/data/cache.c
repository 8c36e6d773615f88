/* The memory tier of the cache.
 *
 * Entries stand in shards by their key's hash, each with a mutex, a hash table and an LRU list bounded in
 * bytes.
 *
 * Tags make dropping exact without walking anything. A global counter numbers the drops. Each tag is a node
 * that remembers the number of its last drop; an entry holds references to its tags' nodes and remembers the
 * counter as it stood before its data was read (its ticket). An entry is good while none of its tags was
 * dropped since: a comparison for each tag at each look-up, of numbers that only grow. So a drop costs one
 * look-up however many entries carry the tag, and a fill that raced a drop is bad from birth, whichever of
 * the two comes first; what is bad is freed when it is met or has become the oldest.
 *
 * A node without entries still matters to fills under way. The newest TAGS_IDLE_MAX of them are kept for each
 * stripe; when one is forgotten its number becomes the stripe's floor, and a fill with an older ticket under
 * an unknown tag is refused. */
#include "data/cache_private.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/limits.h"
#include "base/metrics.h"

#include <pthread.h>
#include <stdlib.h>

#define SHARDS 16
#define STRIPES 16
#define STRIPE_BUCKETS 1024
#define TAGS_IDLE_MAX 1024 /* for each stripe */
#define MALLOC_OVERHEAD 16
#define FADE_US INT64_C(1000000)  /* how long what faded may still be shown */
#define CLAIM_US INT64_C(1000000) /* whoever is told that something is due has this long */

METRIC_DEFINE(HITS, "souk_cache_requests_total", "Look-ups in the memory cache by their outcome",
              "result=\"hit\"", METRIC_COUNTER);
METRIC_DEFINE(STALE_HITS, "souk_cache_requests_total", "", "result=\"stale\"", METRIC_COUNTER);
METRIC_DEFINE(MISSES, "souk_cache_requests_total", "", "result=\"miss\"", METRIC_COUNTER);
METRIC_DEFINE(EVICTIONS, "souk_cache_evictions_total", "Entries that made room for others", NULL,
              METRIC_COUNTER);
METRIC_DEFINE(DROPS, "souk_cache_drops_total", "Tags dropped", NULL, METRIC_COUNTER);
METRIC_DEFINE(RACES, "souk_cache_fills_discarded_total", "Fills that raced a drop of their tag", NULL,
              METRIC_COUNTER);
METRIC_DEFINE(BYTES, "souk_cache_bytes", "Memory held by the cache", NULL, METRIC_GAUGE);

struct tag {
    struct tag *bucket_next;
    struct tag *previous, *next; /* in the stripe's list of idle tags, newest first */
    uint64_t hash;
    size_t references; /* entries that carry it */
    _Atomic uint64_t dropped;
    _Atomic uint64_t faded; /* as `dropped`, for entries that are a second old */
    size_t len;
    char text[];
};

struct stripe {
    pthread_mutex_t mutex;
    struct tag *buckets[STRIPE_BUCKETS];
    struct tag *idle_first, *idle_last;
    size_t idle_count;
    uint64_t floor; /* the newest drop that was forgotten */
};

struct form {
    size_t len;
    char text[];
};

struct entry {
    struct entry *bucket_next;
    struct entry *previous, *next; /* LRU, newest first */
    uint64_t hash;
    uint64_t serial;
    uint64_t generation; /* the ticket's */
    int64_t stored_us, expires_us;
    int64_t stale_us;               /* behind expires_us */
    _Atomic int64_t refresh_due_us; /* nobody is told before that it should be made anew */
    _Atomic int64_t form_due_us[CACHE_FORMS];
    struct form *forms[CACHE_FORMS]; /* under the shard's lock; set once; NULL: none, as always for 0 */
    _Atomic int holders;             /* the shard, and whoever copies the value right now */
    size_t bytes;                    /* charged to the shard */
    struct tag **tags;
    size_t tag_count;
    struct slice key, value;
    char data[];
};

struct shard {
    pthread_mutex_t mutex;
    struct entry **buckets;
    struct entry *first, *last;
    size_t bytes;
};

struct cache {
    size_t shard_bytes_max;
    size_t bucket_count; /* for each shard; a power of two */
    _Atomic uint64_t drops;
    _Atomic uint64_t flushed;      /* the counter at the last flush */
    _Atomic uint64_t faded;        /* the counter when all tags faded */
    _Atomic int64_t deaf_since_us; /* nobody tells of edits: all entries fade; 0: it hears */
    _Atomic uint64_t serials;
    struct cache_sharing *sharing; /* NULL: this server is alone; set before other threads use the cache */
    _Atomic uint64_t dropped;      /* the counter at the last drop of whichever tag, fades not counted */
    struct shard shards[SHARDS];
    struct stripe stripes[STRIPES];
};

/* ---- tags ---- */

static struct stripe *stripe_of(struct cache *cache, uint64_t hash)
{
    return &cache->stripes[hash % STRIPES];
}

static struct tag **tag_bucket(struct stripe *stripe, uint64_t hash)
{
    return &stripe->buckets[hash / STRIPES % STRIPE_BUCKETS];
}

static struct tag *tag_find(struct stripe *stripe, uint64_t hash, struct slice text)
{
    struct tag *tag = *tag_bucket(stripe, hash);
    while (tag != NULL && (tag->hash != hash || !slice_equals((struct slice){tag->text, tag->len}, text)))
        tag = tag->bucket_next;
    return tag;
}

static void idle_remove(struct stripe *stripe, struct tag *tag)
{
    if (stripe->idle_first == tag)
        stripe->idle_first = tag->next;
    else
        tag->previous->next = tag->next;
    if (stripe->idle_last == tag)
        stripe->idle_last = tag->previous;
    else
        tag->next->previous = tag->previous;
    stripe->idle_count--;
}

static void idle_forget_oldest(struct stripe *stripe)
{
    struct tag *tag = stripe->idle_last;
    uint64_t dropped = atomic_load(&tag->dropped);
    uint64_t faded = atomic_load(&tag->faded);
    uint64_t newest = dropped > faded ? dropped : faded;
    if (newest > stripe->floor)
        stripe->floor = newest;
    struct tag **link = tag_bucket(stripe, tag->hash);
    while (*link != tag)
        link = &(*link)->bucket_next;
    *link = tag->bucket_next;
    idle_remove(stripe, tag);
    free(tag);
}

static void idle_add(struct stripe *stripe, struct tag *tag)
{
    tag->previous = NULL;
    tag->next = stripe->idle_first;
    if (stripe->idle_last == NULL)
        stripe->idle_last = tag;
    else
        stripe->idle_first->previous = tag;
    stripe->idle_first = tag;
    if (++stripe->idle_count <= TAGS_IDLE_MAX)
        return;
    CHECK(stripe->idle_last != tag);
    idle_forget_oldest(stripe);
}

/* A new node, idle. Its last drop is the stripe's floor: it may have been dropped then, and nobody remembers.
 */
static struct tag *tag_add(struct stripe *stripe, uint64_t hash, struct slice text)
{
    struct tag *tag = calloc(1, sizeof(*tag) + text.len);
    CHECK(tag != NULL);
    tag->hash = hash;
    tag->len = text.len;
    memcpy(tag->text, text.ptr, text.len);
    atomic_store(&tag->dropped, stripe->floor);
    tag->bucket_next = *tag_bucket(stripe, hash);
    *tag_bucket(stripe, hash) = tag;
    idle_add(stripe, tag);
    return tag;
}

static struct tag *tag_hold(struct cache *cache, struct slice text)
{
    uint64_t hash = hash64(text);
    struct stripe *stripe = stripe_of(cache, hash);
    pthread_mutex_lock(&stripe->mutex);
    struct tag *tag = tag_find(stripe, hash, text);
    if (tag == NULL)
        tag = tag_add(stripe, hash, text);
    if (tag->references++ == 0)
        idle_remove(stripe, tag);
    pthread_mutex_unlock(&stripe->mutex);
    return tag;
}

static void tag_let_go(struct cache *cache, struct tag *tag)
{
    struct stripe *stripe = stripe_of(cache, tag->hash);
    pthread_mutex_lock(&stripe->mutex);
    if (--tag->references == 0)
        idle_add(stripe, tag);
    pthread_mutex_unlock(&stripe->mutex);
}

/* ---- entries ---- */

static int64_t greater_of(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* By the clock, and by what this server may not have heard. */
static enum cache_freshness freshness_now(struct cache *cache, const struct entry *entry, int64_t now_us)
{
    int64_t deaf_since_us = atomic_load(&cache->deaf_since_us);
    int64_t over_us = entry->expires_us;
    if (deaf_since_us != 0 && greater_of(deaf_since_us, entry->stored_us + FADE_US) < over_us)
        over_us = greater_of(deaf_since_us, entry->stored_us + FADE_US);
    if (now_us < over_us)
        return CACHE_FRESH;
    if (now_us >= over_us + entry->stale_us)
        return CACHE_GONE;
    return deaf_since_us != 0 ? CACHE_LAST_RESORT : CACHE_STALE;
}

static enum cache_freshness freshness_of(struct cache *cache, const struct entry *entry, int64_t now_us)
{
    if (entry->generation < atomic_load(&cache->flushed))
        return CACHE_GONE;
    bool is_old = now_us >= entry->stored_us + FADE_US;
    if (is_old && atomic_load(&cache->faded) > entry->generation)
        return CACHE_GONE;
    for (size_t i = 0; i < entry->tag_count; i++) {
        if (atomic_load(&entry->tags[i]->dropped) > entry->generation)
            return CACHE_GONE;
        if (is_old && atomic_load(&entry->tags[i]->faded) > entry->generation)
            return CACHE_GONE;
    }
    return freshness_now(cache, entry, now_us);
}

static void entry_let_go(struct cache *cache, struct entry *entry)
{
    if (atomic_fetch_sub(&entry->holders, 1) != 1)
        return;
    for (size_t i = 0; i < entry->tag_count; i++)
        tag_let_go(cache, entry->tags[i]);
    for (size_t i = 0; i < CACHE_FORMS; i++)
        free(entry->forms[i]);
    free(entry);
}

static struct shard *shard_of(struct cache *cache, uint64_t hash)
{
    return &cache->shards[hash % SHARDS];
}

static struct entry **entry_bucket(struct cache *cache, struct shard *shard, uint64_t hash)
{
    return &shard->buckets[hash / SHARDS & (cache->bucket_count - 1)];
}

static struct entry *entry_find(struct cache *cache, struct shard *shard, uint64_t hash, struct slice key)
{
    struct entry *entry = *entry_bucket(cache, shard, hash);
    while (entry != NULL && (entry->hash != hash || !slice_equals(entry->key, key)))
        entry = entry->bucket_next;
    return entry;
}

static void lru_unlink(struct shard *shard, struct entry *entry)
{
    if (shard->first == entry)
        shard->first = entry->next;
    else
        entry->previous->next = entry->next;
    if (shard->last == entry)
        shard->last = entry->previous;
    else
        entry->next->previous = entry->previous;
}

static void lru_push(struct shard *shard, struct entry *entry)
{
    entry->previous = NULL;
    entry->next = shard->first;
    if (shard->last == NULL)
        shard->last = entry;
    else
        shard->first->previous = entry;
    shard->first = entry;
}

/* Out of the shard, whose lock is held; freed by whoever lets go last. */
static void entry_remove(struct cache *cache, struct shard *shard, struct entry *entry)
{
    struct entry **link = entry_bucket(cache, shard, entry->hash);
    while (*link != entry)
        link = &(*link)->bucket_next;
    *link = entry->bucket_next;
    lru_unlink(shard, entry);
    shard->bytes -= entry->bytes;
    metric_add(&BYTES, -(int64_t)entry->bytes);
    entry_let_go(cache, entry);
}

/* What the entry costs. Tags are shared, but each is charged as if it were not: the bound holds in the worst
 * case. */
static size_t entry_cost(size_t block, const struct slice *tags, size_t tag_count)
{
    size_t cost = block + MALLOC_OVERHEAD;
    for (size_t i = 0; i < tag_count; i++)
        cost += sizeof(struct tag) + tags[i].len + MALLOC_OVERHEAD;
    return cost;
}

/* One block: the entry, its tag pointers, its key, its value. */
static struct entry *entry_new(struct cache *cache, struct slice key, struct slice value,
                               const struct slice *tags, size_t tag_count)
{
    size_t block = sizeof(struct entry) + tag_count * sizeof(struct tag *) + key.len + value.len;
    size_t cost = entry_cost(block, tags, tag_count);
    if (cost > cache->shard_bytes_max)
        return NULL;
    struct entry *entry = malloc(block);
    CHECK(entry != NULL);
    *entry = (struct entry){.hash = hash64(key),
                            .serial = atomic_fetch_add(&cache->serials, 1) + 1,
                            .holders = 1,
                            .bytes = cost,
                            .tag_count = tag_count};
    entry->tags = (struct tag **)(void *)entry->data;
    char *text = entry->data + tag_count * sizeof(struct tag *);
    memcpy(text, key.ptr, key.len);
    entry->key = (struct slice){text, key.len};
    text += key.len;
    memcpy(text, value.ptr, value.len);
    entry->value = (struct slice){text, value.len};
    for (size_t i = 0; i < tag_count; i++)
        entry->tags[i] = tag_hold(cache, tags[i]);
    return entry;
}

/* ---- the interface ---- */

struct cache *cache_new(size_t bytes_max)
{
    struct cache *cache = calloc(1, sizeof(*cache));
    CHECK(cache != NULL);
    cache->shard_bytes_max = bytes_max / SHARDS;
    cache->bucket_count = 64;
    while (cache->bucket_count * 2048 < cache->shard_bytes_max)
        cache->bucket_count *= 2;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&cache->shards[i].mutex, NULL);
        cache->shards[i].buckets = calloc(cache->bucket_count, sizeof(struct entry *));
        CHECK(cache->shards[i].buckets != NULL);
    }
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_init(&cache->stripes[i].mutex, NULL);
    return cache;
}

void cache_free(struct cache *cache)
{
    if (cache == NULL)
        return;
    if (cache->sharing != NULL)
        cache_sharing_close(cache->sharing);
    memory_flush(cache);
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_destroy(&cache->shards[i].mutex);
        free(cache->shards[i].buckets);
    }
    for (size_t i = 0; i < STRIPES; i++) {
        while (cache->stripes[i].idle_last != NULL)
            idle_forget_oldest(&cache->stripes[i]);
        pthread_mutex_destroy(&cache->stripes[i].mutex);
    }
    free(cache);
}

struct slice cache_tag_of(struct arena *arena, const char *kind, struct uuid id)
{
    size_t kind_len = strlen(kind), len = kind_len + 1 + UUID_TEXT_LEN;
    CHECK(len <= CACHE_TAG_BYTES_MAX);
    char *text = arena_alloc(arena, len); /* by hand: a list has one for each of its products */
    memcpy(text, kind, kind_len);
    text[kind_len] = ':';
    uuid_format(id, text + kind_len + 1);
    return (struct slice){text, len};
}

struct cache_ticket cache_ticket(struct cache *cache)
{
    return (struct cache_ticket){.generation = atomic_load(&cache->drops)};
}

bool cache_ticket_is_current(struct cache *cache, struct cache_ticket ticket)
{
    return ticket.generation >= atomic_load(&cache->dropped);
}

/* What a look-up holds until it has copied it. */
struct held {
    struct entry *entry; /* NULL: nothing */
    enum cache_freshness freshness;
    const struct form *form; /* the wanted one; NULL: the value itself */
};

/* What is not GONE; the caller lets go of it. */
static struct held entry_hold(struct cache *cache, struct slice key, unsigned form, int64_t now_us)
{
    struct held held = {.freshness = CACHE_GONE};
    uint64_t hash = hash64(key);
    struct shard *shard = shard_of(cache, hash);
    pthread_mutex_lock(&shard->mutex);
    struct entry *entry = entry_find(cache, shard, hash, key);
    if (entry != NULL)
        held.freshness = freshness_of(cache, entry, now_us);
    if (held.freshness != CACHE_GONE) {
        atomic_fetch_add(&entry->holders, 1);
        lru_unlink(shard, entry);
        lru_push(shard, entry);
        held.entry = entry;
        held.form = entry->forms[form];
    } else if (entry != NULL) {
        entry_remove(cache, shard, entry);
    }
    pthread_mutex_unlock(&shard->mutex);
    return held;
}

/* True for one caller a second. */
static bool claim(_Atomic int64_t *due_us, int64_t now_us)
{
    int64_t due = atomic_load(due_us);
    return now_us >= due && atomic_compare_exchange_strong(due_us, &due, now_us + CLAIM_US);
}

bool cache_find(struct cache *cache, struct slice key, unsigned form, struct arena *arena,
                struct cache_hit *hit)
{
    CHECK(form < CACHE_FORMS);
    int64_t now_us = clock_monotonic_us();
    struct held held = entry_hold(cache, key, form, now_us);
    struct entry *entry = held.entry;
    metric_add(entry == NULL ? &MISSES : held.freshness == CACHE_FRESH ? &HITS : &STALE_HITS, 1);
    if (entry == NULL)
        return false;
    struct slice text = entry->value;
    if (held.form != NULL)
        text = (struct slice){held.form->text, held.form->len};
    *hit = (struct cache_hit){
        .freshness = held.freshness,
        .value = arena_copy(arena, text), /* outside the lock: a hot entry is copied by many at once */
        .form = held.form != NULL ? form : 0,
        .age_s = (now_us - entry->stored_us) / 1000000,
        .serial = entry->serial,
        .is_refresh_due = held.freshness != CACHE_FRESH && claim(&entry->refresh_due_us, now_us),
        .is_form_due = held.form == NULL && form != 0 && held.freshness == CACHE_FRESH &&
                       claim(&entry->form_due_us[form], now_us)};
    entry_let_go(cache, entry);
    return true;
}

bool cache_get(struct cache *cache, struct slice key, struct arena *arena, struct slice *value,
               int64_t *age_s)
{
    struct cache_hit hit;
    size_t mark = arena_mark(arena);
    if (!cache_find(cache, key, 0, arena, &hit))
        return false;
    if (hit.freshness != CACHE_FRESH) {
        arena_rewind(arena, mark);
        return false;
    }
    *value = hit.value;
    *age_s = hit.age_s;
    return true;
}

static void shard_charge(struct shard *shard, struct entry *entry, size_t bytes)
{
    entry->bytes += bytes;
    shard->bytes += bytes;
    metric_add(&BYTES, (int64_t)bytes);
}

/* Under the shard's lock; takes the form over. */
static bool entry_take_form(struct cache *cache, struct shard *shard, struct entry *entry, unsigned number,
                            struct form *form)
{
    size_t bytes = sizeof(*form) + form->len + MALLOC_OVERHEAD;
    if (entry->forms[number] != NULL || entry->bytes + bytes > cache->shard_bytes_max)
        return false;
    lru_unlink(shard, entry); /* so that it is not what makes room */
    lru_push(shard, entry);
    while (shard->bytes + bytes > cache->shard_bytes_max) {
        entry_remove(cache, shard, shard->last);
        metric_add(&EVICTIONS, 1);
    }
    entry->forms[number] = form;
    shard_charge(shard, entry, bytes);
    return true;
}

void cache_attach(struct cache *cache, struct slice key, uint64_t serial, unsigned number, struct slice value)
{
    CHECK(number > 0 && number < CACHE_FORMS);
    struct form *form = NULL;
    if (!slice_is_absent(value)) {
        form = malloc(sizeof(*form) + value.len);
        CHECK(form != NULL);
        form->len = value.len;
        memcpy(form->text, value.ptr, value.len);
    }
    uint64_t hash = hash64(key);
    struct shard *shard = shard_of(cache, hash);
    pthread_mutex_lock(&shard->mutex);
    struct entry *entry = entry_find(cache, shard, hash, key);
    bool is_taken = false;
    if (entry != NULL && entry->serial == serial) {
        atomic_store(&entry->form_due_us[number], INT64_MAX);
        is_taken = form != NULL && entry_take_form(cache, shard, entry, number, form);
    }
    pthread_mutex_unlock(&shard->mutex);
    if (!is_taken)
        free(form);
}

static void entry_insert(struct cache *cache, struct entry *entry)
{
    struct shard *shard = shard_of(cache, entry->hash);
    pthread_mutex_lock(&shard->mutex);
    struct entry *old = entry_find(cache, shard, entry->hash, entry->key);
    if (old != NULL)
        entry_remove(cache, shard, old);
    while (shard->bytes + entry->bytes > cache->shard_bytes_max) {
        entry_remove(cache, shard, shard->last);
        metric_add(&EVICTIONS, 1);
    }
    struct entry **bucket = entry_bucket(cache, shard, entry->hash);
    entry->bucket_next = *bucket;
    *bucket = entry;
    lru_push(shard, entry);
    shard->bytes += entry->bytes;
    metric_add(&BYTES, (int64_t)entry->bytes);
    pthread_mutex_unlock(&shard->mutex);
}

void memory_put(struct cache *cache, uint64_t generation, struct slice key, struct slice value,
                const struct slice *tags, size_t tag_count, struct memory_life life)
{
    if (value.len > CACHE_ENTRY_BYTES_MAX || tag_count > CACHE_TAGS_MAX || life.left_us + life.stale_us <= 0)
        return;
    struct entry *entry = entry_new(cache, key, value, tags, tag_count);
    if (entry == NULL)
        return;
    int64_t now_us = clock_monotonic_us();
    entry->generation = generation;
    entry->stored_us = now_us - life.age_us;
    entry->expires_us = now_us + life.left_us;
    entry->stale_us = life.stale_us;
    /* Only to spare the room: a drop that comes after this look is seen by the next look-up. */
    if (freshness_of(cache, entry, now_us) != CACHE_GONE) {
        entry_insert(cache, entry);
    } else {
        metric_add(&RACES, 1);
        entry_let_go(cache, entry);
    }
}

void cache_put_for(struct cache *cache, struct cache_ticket ticket, struct slice key, struct slice value,
                   const struct slice *tags, size_t tag_count, struct cache_life life)
{
    memory_put(cache, ticket.generation, key, value, tags, tag_count,
               (struct memory_life){.left_us = life.fresh_s * 1000000, .stale_us = life.stale_s * 1000000});
    bool fits = value.len <= CACHE_ENTRY_BYTES_MAX && tag_count <= CACHE_TAGS_MAX && life.fresh_s > 0;
    if (cache->sharing != NULL && ticket.epoch != 0 && fits)
        cache_sharing_fill(cache->sharing, ticket, key, value, tags, tag_count, life);
}

void cache_put(struct cache *cache, struct cache_ticket ticket, struct slice key, struct slice value,
               const struct slice *tags, size_t tag_count, int64_t seconds)
{
    cache_put_for(cache, ticket, key, value, tags, tag_count, (struct cache_life){.fresh_s = seconds});
}

/* Numbers a drop or a fade of the tag, under its stripe's lock. */
static struct tag *tag_touch(struct stripe *stripe, uint64_t hash, struct slice text)
{
    struct tag *node = tag_find(stripe, hash, text);
    if (node == NULL)
        return tag_add(stripe, hash, text);
    if (node->references == 0) { /* the newest is the last to be forgotten */
        idle_remove(stripe, node);
        idle_add(stripe, node);
    }
    return node;
}

static void raise_to(_Atomic uint64_t *number, uint64_t at_least)
{
    uint64_t now = atomic_load(number);
    while (now < at_least && !atomic_compare_exchange_weak(number, &now, at_least))
        ;
}

void memory_drop_tag(struct cache *cache, struct slice tag)
{
    /* The number first: a reader whose ticket is at least this one began after the commit that is told of
     * here. */
    uint64_t number = atomic_fetch_add(&cache->drops, 1) + 1;
    uint64_t hash = hash64(tag);
    struct stripe *stripe = stripe_of(cache, hash);
    raise_to(&cache->dropped, number);
    pthread_mutex_lock(&stripe->mutex);
    raise_to(&tag_touch(stripe, hash, tag)->dropped, number);
    pthread_mutex_unlock(&stripe->mutex);
    metric_add(&DROPS, 1);
}

void memory_fade_tag(struct cache *cache, struct slice tag)
{
    uint64_t number = atomic_fetch_add(&cache->drops, 1) + 1;
    uint64_t hash = hash64(tag);
    struct stripe *stripe = stripe_of(cache, hash);
    pthread_mutex_lock(&stripe->mutex);
    raise_to(&tag_touch(stripe, hash, tag)->faded, number);
    pthread_mutex_unlock(&stripe->mutex);
}

void memory_fade_all(struct cache *cache)
{
    raise_to(&cache->faded, atomic_fetch_add(&cache->drops, 1) + 1);
}

void memory_flush(struct cache *cache)
{
    uint64_t number = atomic_fetch_add(&cache->drops, 1) + 1;
    raise_to(&cache->dropped, number);
    raise_to(&cache->flushed, number);
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        pthread_mutex_lock(&shard->mutex);
        while (shard->last != NULL)
            entry_remove(cache, shard, shard->last);
        pthread_mutex_unlock(&shard->mutex);
    }
}

void memory_set_deaf(struct cache *cache, bool is_deaf)
{
    int64_t hears = 0;
    if (is_deaf)
        atomic_compare_exchange_strong(&cache->deaf_since_us, &hears, clock_monotonic_us());
    else
        atomic_store(&cache->deaf_since_us, 0);
}

/* ---- the other servers ---- */

void cache_isolate(struct cache *cache)
{
    memory_set_deaf(cache, true);
}

void cache_set_sharing(struct cache *cache, struct cache_sharing *sharing)
{
    CHECK(cache->sharing == NULL);
    cache->sharing = sharing;
}

/* The others first: from then on, until they know, nothing is taken from Redis here; so what is put into
 * memory after its own drop cannot be what Redis still has. */
void cache_drop_tag(struct cache *cache, struct slice tag)
{
    if (cache->sharing != NULL)
        cache_sharing_drop(cache->sharing, tag);
    memory_drop_tag(cache, tag);
}

void cache_fade_tag(struct cache *cache, struct slice tag)
{
    memory_fade_tag(cache, tag);
    if (cache->sharing != NULL)
        cache_sharing_fade(cache->sharing, tag);
}

void cache_flush(struct cache *cache)
{
    if (cache->sharing != NULL)
        cache_sharing_flush(cache->sharing);
    memory_flush(cache);
}

bool cache_get_shared(struct cache *cache, struct slice key, struct arena *arena, struct slice *value,
                      int64_t *age_s, struct cache_ticket *ticket)
{
    struct cache_hit hit;
    if (!cache_find_shared(cache, key, 0, arena, &hit, ticket) || hit.freshness != CACHE_FRESH)
        return false;
    *value = hit.value;
    *age_s = hit.age_s;
    return true;
}

bool cache_find_shared(struct cache *cache, struct slice key, unsigned form, struct arena *arena,
                       struct cache_hit *hit, struct cache_ticket *ticket)
{
    *ticket = cache_ticket(cache);
    bool is_found = cache_find(cache, key, form, arena, hit);
    if (is_found && hit->freshness == CACHE_FRESH)
        return true;
    struct cache_hit shared;
    if (cache->sharing == NULL || !cache_sharing_get(cache->sharing, key, arena, &shared, ticket))
        return is_found;
    if (!is_found || shared.freshness == CACHE_FRESH)
        *hit = shared;
    return true;
}

struct cache_ticket cache_ticket_shared(struct cache *cache, struct arena *arena)
{
    struct cache_ticket ticket = cache_ticket(cache);
    if (cache->sharing != NULL)
        cache_sharing_ticket(cache->sharing, arena, &ticket);
    return ticket;
}

enum cache_tier cache_shared_tier(struct cache *cache)
{
    if (cache->sharing == NULL)
        return CACHE_TIER_NONE;
    return cache_sharing_is_up(cache->sharing) ? CACHE_TIER_UP : CACHE_TIER_DEGRADED;
}
