/* The memory tier of the cache: bounds, times, tags, and fills that race drops. */
#include "fixture.h"

#include "base/clock.h"
#include "data/cache_private.h"

#include <pthread.h>
#include <stdatomic.h>

struct cached {
    struct arena arena;
    struct cache *cache;
};

static int begin(void **state)
{
    crypto_start();
    struct cached *cached = calloc(1, sizeof(*cached));
    assert_true(arena_init(&cached->arena, (size_t)64 << 20));
    cached->cache = cache_new((size_t)8 << 20);
    *state = cached;
    return 0;
}

static int end(void **state)
{
    struct cached *cached = *state;
    cache_free(cached->cache);
    arena_release(&cached->arena);
    free(cached);
    return 0;
}

static bool get(struct cached *cached, const char *key, const char *expected)
{
    struct slice value;
    int64_t age_s;
    bool found = cache_get(cached->cache, slice_from(key), &cached->arena, &value, &age_s);
    if (found) {
        assert_true(slice_is(value, expected));
        assert_in_range(age_s, 0, 2);
    }
    return found;
}

static void put(struct cached *cached, struct cache_ticket ticket, const char *key, const char *value,
                const char *first_tag, const char *second_tag)
{
    struct slice tags[] = {slice_from(first_tag), slice_from(second_tag)};
    size_t count = second_tag != NULL ? 2 : first_tag != NULL ? 1 : 0;
    cache_put(cached->cache, ticket, slice_from(key), slice_from(value), tags, count, 60);
}

static void what_is_put_is_found(void **state)
{
    struct cached *cached = *state;
    assert_false(get(cached, "a", NULL));
    put(cached, cache_ticket(cached->cache), "a", "one", NULL, NULL);
    put(cached, cache_ticket(cached->cache), "b", "", "t", NULL);
    assert_true(get(cached, "a", "one"));
    assert_true(get(cached, "b", ""));
    put(cached, cache_ticket(cached->cache), "a", "two", NULL, NULL);
    assert_true(get(cached, "a", "two"));
    assert_false(get(cached, "c", NULL));
}

static void a_dropped_tag_drops_its_entries_only(void **state)
{
    struct cached *cached = *state;
    struct cache_ticket ticket = cache_ticket(cached->cache);
    put(cached, ticket, "p1", "1", "product:1", NULL);
    put(cached, ticket, "p2", "2", "product:2", NULL);
    put(cached, ticket, "list", "12", "product:1", "products");
    cache_drop_tag(cached->cache, SLICE("product:1"));
    assert_false(get(cached, "p1", NULL));
    assert_false(get(cached, "list", NULL));
    assert_true(get(cached, "p2", "2"));
    put(cached, cache_ticket(cached->cache), "p1", "new", "product:1", NULL);
    assert_true(get(cached, "p1", "new"));
    cache_flush(cached->cache);
    assert_false(get(cached, "p1", NULL));
    assert_false(get(cached, "p2", NULL));
}

static void a_fill_that_raced_a_drop_is_discarded(void **state)
{
    struct cached *cached = *state;
    struct cache_ticket ticket = cache_ticket(cached->cache);
    cache_drop_tag(cached->cache, SLICE("product:1")); /* no entry carries it yet */
    put(cached, ticket, "p1", "stale", "product:1", NULL);
    put(cached, ticket, "p2", "good", "product:2", NULL);
    assert_false(get(cached, "p1", NULL));
    assert_true(get(cached, "p2", "good"));
    cache_flush(cached->cache);
    put(cached, ticket, "p3", "stale", "product:3", NULL);
    assert_false(get(cached, "p3", NULL));
}

/* A drop may be forgotten among very many, but never so that a stale fill gets in. */
static void a_forgotten_drop_still_refuses(void **state)
{
    struct cached *cached = *state;
    struct cache_ticket ticket = cache_ticket(cached->cache);
    cache_drop_tag(cached->cache, SLICE("product:1"));
    for (int i = 0; i < 40000; i++) {
        char tag[32];
        snprintf(tag, sizeof(tag), "other:%d", i);
        cache_drop_tag(cached->cache, slice_from(tag));
    }
    put(cached, ticket, "p1", "stale", "product:1", NULL);
    assert_false(get(cached, "p1", NULL));
    put(cached, cache_ticket(cached->cache), "p1", "new", "product:1", NULL);
    assert_true(get(cached, "p1", "new"));
}

static void entries_expire(void **state)
{
    struct cached *cached = *state;
    cache_put(cached->cache, cache_ticket(cached->cache), SLICE("a"), SLICE("1"), NULL, 0, 1);
    assert_true(get(cached, "a", "1"));
    usleep(1050000);
    assert_false(get(cached, "a", NULL));
}

static void the_bounds_hold(void **state)
{
    struct cached *cached = *state;
    size_t size = (size_t)64 << 10;
    char *large = calloc(1, CACHE_ENTRY_BYTES_MAX + 1);
    struct slice tags[CACHE_TAGS_MAX + 1];
    for (size_t i = 0; i < COUNT_OF(tags); i++)
        tags[i] = SLICE("t");
    struct cache_ticket ticket = cache_ticket(cached->cache);
    cache_put(cached->cache, ticket, SLICE("large"), (struct slice){large, CACHE_ENTRY_BYTES_MAX + 1}, NULL,
              0, 60);
    assert_false(get(cached, "large", NULL));
    cache_put(cached->cache, ticket, SLICE("tags"), SLICE("1"), tags, COUNT_OF(tags), 60);
    assert_false(get(cached, "tags", NULL));
    int found = 0;
    for (int i = 0; i < 1000; i++) { /* 64 MB into 8 MB */
        char key[16];
        snprintf(key, sizeof(key), "%d", i);
        cache_put(cached->cache, ticket, slice_from(key), (struct slice){large, size}, NULL, 0, 60);
    }
    for (int i = 0; i < 1000; i++) {
        char key[16];
        struct slice value;
        int64_t age_s;
        snprintf(key, sizeof(key), "%d", i);
        found += cache_get(cached->cache, slice_from(key), &cached->arena, &value, &age_s);
        arena_reset(&cached->arena);
    }
    assert_in_range(found, 60, 128);
    free(large);
    struct cache *off = cache_new(0);
    cache_put(off, cache_ticket(off), SLICE("a"), SLICE("1"), NULL, 0, 60);
    struct slice value;
    int64_t age_s;
    assert_false(cache_get(off, SLICE("a"), &cached->arena, &value, &age_s));
    cache_free(off);
}

/* Writers raise the numbers of eight "rows" and drop their tags; readers fill from the rows through the
 * cache. After a drop has returned nobody may be shown an older number. */
#define ROWS 8
struct race {
    struct cache *cache;
    _Atomic int64_t rows[ROWS];    /* the database */
    _Atomic int64_t visible[ROWS]; /* at least this must be shown: its drop has returned */
    _Atomic bool is_over;
    _Atomic int64_t hits, stale;
};

static void *write_rows(void *arg)
{
    struct race *race = arg;
    for (int i = 0; i < 30000; i++) {
        int row = (int)(random_u64() % ROWS);
        char tag[16];
        snprintf(tag, sizeof(tag), "row:%d", row);
        int64_t value = atomic_fetch_add(&race->rows[row], 1) + 1;
        cache_drop_tag(race->cache, slice_from(tag));
        int64_t seen = atomic_load(&race->visible[row]);
        while (seen < value && !atomic_compare_exchange_weak(&race->visible[row], &seen, value))
            ;
    }
    atomic_store(&race->is_over, true);
    return NULL;
}

static void *read_rows(void *arg)
{
    struct race *race = arg;
    struct arena arena;
    CHECK(arena_init(&arena, (size_t)1 << 20));
    while (!atomic_load(&race->is_over)) {
        arena_reset(&arena);
        int row = (int)(random_u64() % ROWS);
        struct slice key = arena_format(&arena, "row:%d", row);
        int64_t least = atomic_load(&race->visible[row]);
        struct slice text;
        int64_t age_s;
        long long value;
        struct cache_ticket ticket = cache_ticket(race->cache);
        if (cache_get(race->cache, key, &arena, &text, &age_s)) {
            CHECK(slice_to_int64(text, &value));
            atomic_fetch_add(&race->hits, 1);
            if (value < least)
                atomic_fetch_add(&race->stale, 1);
            continue;
        }
        text = arena_format(&arena, "%lld", (long long)atomic_load(&race->rows[row]));
        cache_put(race->cache, ticket, key, text, &key, 1, 60);
    }
    arena_release(&arena);
    return NULL;
}

static void nobody_is_shown_what_was_dropped(void **state)
{
    struct cached *cached = *state;
    struct race race = {.cache = cached->cache};
    pthread_t threads[6];
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i < 2 ? write_rows : read_rows, &race), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&race.stale), 0);
    assert_true(atomic_load(&race.hits) > 0);
}

/* A sale fades its product: what was just made is shown on, what is a second old is not, however it was
 * filled. */
static void what_faded_is_shown_for_a_second(void **state)
{
    struct cached *cached = *state;
    struct cache_ticket before = cache_ticket(cached->cache);
    put(cached, before, "hot", "5 left", "product:1", NULL);
    put(cached, before, "cold", "7 left", "product:2", NULL);
    cache_fade_tag(cached->cache, SLICE("product:1"));
    assert_true(get(cached, "hot", "5 left"));
    put(cached, before, "raced", "5 left", "product:1", NULL); /* read before the sale, put after it */
    assert_true(get(cached, "raced", "5 left"));
    usleep(1100000);
    assert_false(get(cached, "hot", NULL));
    assert_false(get(cached, "raced", NULL));
    assert_true(get(cached, "cold", "7 left"));
    put(cached, cache_ticket(cached->cache), "hot", "4 left", "product:1", NULL);
    usleep(1100000);
    assert_true(get(cached, "hot", "4 left")); /* made after the fade: it stays */
}

static enum cache_freshness find(struct cached *cached, const char *key, struct cache_hit *hit)
{
    struct cache_hit unused;
    if (hit == NULL)
        hit = &unused;
    return cache_find(cached->cache, slice_from(key), 0, &cached->arena, hit) ? hit->freshness : CACHE_GONE;
}

static void put_for(struct cached *cached, const char *key, const char *tag, int64_t fresh_s, int64_t stale_s)
{
    struct slice tags[] = {slice_from(tag)};
    cache_put_for(cached->cache, cache_ticket(cached->cache), slice_from(key), SLICE("value"), tags, 1,
                  (struct cache_life){fresh_s, stale_s});
}

static void what_is_over_is_stale_for_a_while(void **state)
{
    struct cached *cached = *state;
    struct cache_hit hit;
    put_for(cached, "a", "t", 1, 1);
    put_for(cached, "hard", "t", 1, 0);
    assert_int_equal(find(cached, "a", &hit), CACHE_FRESH);
    assert_false(hit.is_refresh_due);
    usleep(1050000);
    assert_int_equal(find(cached, "a", &hit), CACHE_STALE);
    assert_true(slice_is(hit.value, "value"));
    assert_int_equal(hit.age_s, 1);
    assert_true(hit.is_refresh_due); /* one is told, ... */
    assert_int_equal(find(cached, "a", &hit), CACHE_STALE);
    assert_false(hit.is_refresh_due);     /* ... the others are not */
    assert_false(get(cached, "a", NULL)); /* whoever wants it fresh */
    assert_int_equal(find(cached, "hard", NULL), CACHE_GONE);
    usleep(1050000);
    assert_int_equal(find(cached, "a", NULL), CACHE_GONE);
}

static void what_was_dropped_is_never_stale(void **state)
{
    struct cached *cached = *state;
    put_for(cached, "dropped", "d", 1, 60);
    put_for(cached, "faded", "f", 1, 60);
    put_for(cached, "flushed", "g", 1, 60);
    put_for(cached, "kept", "k", 1, 60);
    usleep(1050000);
    assert_int_equal(find(cached, "dropped", NULL), CACHE_STALE);
    cache_drop_tag(cached->cache, SLICE("d"));
    cache_fade_tag(cached->cache, SLICE("f"));
    assert_int_equal(find(cached, "dropped", NULL), CACHE_GONE);
    assert_int_equal(find(cached, "faded", NULL), CACHE_GONE);
    assert_int_equal(find(cached, "kept", NULL), CACHE_STALE);
    cache_flush(cached->cache);
    assert_int_equal(find(cached, "kept", NULL), CACHE_GONE);
}

/* A server that hears of no edits gives out what it has only when there is nothing better. */
static void the_deaf_keep_a_last_resort(void **state)
{
    struct cached *cached = *state;
    put_for(cached, "long", "t", 60, 60);
    put_for(cached, "session", "t", 60, 0);
    memory_set_deaf(cached->cache, true);
    assert_int_equal(find(cached, "long", NULL), CACHE_FRESH); /* for its first second */
    usleep(1050000);
    assert_int_equal(find(cached, "long", NULL), CACHE_LAST_RESORT);
    assert_false(get(cached, "long", NULL));
    assert_int_equal(find(cached, "session", NULL), CACHE_GONE);
    cache_drop_tag(cached->cache, SLICE("t"));
    assert_int_equal(find(cached, "long", NULL), CACHE_GONE);
    put_for(cached, "long", "t", 60, 1);
    usleep(2100000);
    assert_int_equal(find(cached, "long", NULL), CACHE_GONE);
    memory_set_deaf(cached->cache, false);
}

static bool find_form(struct cached *cached, unsigned form, struct cache_hit *hit, const char *expected)
{
    return cache_find(cached->cache, SLICE("a"), form, &cached->arena, hit) && slice_is(hit->value, expected);
}

static void forms_live_beside_their_value(void **state)
{
    struct cached *cached = *state;
    struct cache_hit hit;
    put_for(cached, "a", "t", 60, 0);
    assert_true(find_form(cached, 0, &hit, "value"));
    assert_false(hit.is_form_due);
    assert_true(find_form(cached, 1, &hit, "value"));
    assert_int_equal(hit.form, 0);
    assert_true(hit.is_form_due);
    uint64_t serial = hit.serial;
    assert_true(find_form(cached, 1, &hit, "value"));
    assert_false(hit.is_form_due); /* somebody makes it */
    assert_true(find_form(cached, 2, &hit, "value"));
    assert_true(hit.is_form_due);
    cache_attach(cached->cache, SLICE("a"), serial, 1, SLICE("one"));
    cache_attach(cached->cache, SLICE("a"), serial, 2, SLICE_ABSENT); /* not worth having */
    cache_attach(cached->cache, SLICE("nothing"), serial, 1, SLICE("one"));
    assert_true(find_form(cached, 1, &hit, "one"));
    assert_int_equal(hit.form, 1);
    usleep(1050000);
    assert_true(find_form(cached, 2, &hit, "value"));
    assert_false(hit.is_form_due);
    assert_true(find_form(cached, 0, &hit, "value"));
    /* another value under the same key has no forms, and is given none of the old one's */
    put_for(cached, "a", "t", 60, 0);
    cache_attach(cached->cache, SLICE("a"), serial, 1, SLICE("old"));
    assert_true(find_form(cached, 1, &hit, "value"));
    assert_true(hit.is_form_due);
    cache_drop_tag(cached->cache, SLICE("t"));
    cache_attach(cached->cache, SLICE("a"), hit.serial, 1, SLICE("late"));
    assert_false(find_form(cached, 1, &hit, "late"));
}

/* They count, and an entry is not pushed out by its own form. */
static void forms_are_bounded(void **state)
{
    struct cached *cached = *state;
    static char large[200000];
    struct cache *small = cache_new(16 * 100000);
    struct cache_hit hit;
    memset(large, 'x', sizeof(large));
    cache_put(small, cache_ticket(small), SLICE("a"), SLICE("1"), NULL, 0, 60);
    assert_true(cache_find(small, SLICE("a"), 1, &cached->arena, &hit));
    cache_attach(small, SLICE("a"), hit.serial, 1, (struct slice){large, sizeof(large)});
    assert_true(cache_find(small, SLICE("a"), 1, &cached->arena, &hit));
    assert_int_equal(hit.form, 0);
    cache_attach(small, SLICE("a"), hit.serial, 1, (struct slice){large, 60000});
    assert_true(cache_find(small, SLICE("a"), 1, &cached->arena, &hit));
    assert_int_equal(hit.value.len, 60000);
    size_t kept = 0;
    for (int i = 0; i < 64; i++) { /* four for each shard, of which each holds one */
        struct slice key = arena_format(&cached->arena, "other %d", i);
        cache_put(small, cache_ticket(small), key, SLICE("1"), NULL, 0, 60);
        assert_true(cache_find(small, key, 2, &cached->arena, &hit));
        cache_attach(small, key, hit.serial, 2, (struct slice){large, 60000});
    }
    for (int i = 0; i < 64; i++) {
        struct slice key = arena_format(&cached->arena, "other %d", i);
        kept += cache_find(small, key, 2, &cached->arena, &hit) && hit.form == 2;
    }
    assert_in_range(kept, 1, 16);
    cache_free(small);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(what_is_put_is_found),
        CASE(a_dropped_tag_drops_its_entries_only),
        CASE(a_fill_that_raced_a_drop_is_discarded),
        CASE(a_forgotten_drop_still_refuses),
        CASE(what_faded_is_shown_for_a_second),
        CASE(entries_expire),
        CASE(the_bounds_hold),
        CASE(nobody_is_shown_what_was_dropped),
        CASE(what_is_over_is_stale_for_a_while),
        CASE(what_was_dropped_is_never_stale),
        CASE(the_deaf_keep_a_last_resort),
        CASE(forms_live_beside_their_value),
        CASE(forms_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
