/* The cache of several servers: two caches on one Redis, each with a client of its own, as two servers have
 * them. What one drops is gone on the other; nothing stale comes back, whatever happens to Redis. */
#include "redis_fixture.h"

#include "base/check.h"
#include "base/limits.h"
#include "data/cache_private.h"

struct shop {
    struct servers servers;
    struct redis *clients[2];
    struct cache *caches[2];
};

#define TIMEOUT_MS 500

static const char *admin_url(struct shop *shop)
{
    return arena_format(&shop->servers.arena, "redis://127.0.0.1:%d/2", shop->servers.list[0].port).ptr;
}

/* One command as the user who may do everything. */
static void administer(struct shop *shop, const char *text)
{
    struct redis *admin = client_open(&shop->servers, admin_url(shop), 5000);
    assert_non_null(ask_text(admin, &shop->servers.arena, text, 0));
    redis_free(admin);
}

/* It hears the other, and trusts Redis. */
static bool is_up(struct shop *shop, int server)
{
    size_t mark = shop->servers.arena.used;
    struct slice value;
    int64_t age_s;
    struct cache_ticket ticket;
    assert_false(cache_get_shared(shop->caches[server], SLICE("nothing"), &shop->servers.arena, &value,
                                  &age_s, &ticket));
    arena_rewind(&shop->servers.arena, mark);
    return cache_shared_tier(shop->caches[server]) == CACHE_TIER_UP && ticket.epoch != 0;
}

static void start(struct shop *shop, int server)
{
    shop->clients[server] =
        client_open(&shop->servers, plain_url(&shop->servers, &shop->servers.list[0]), TIMEOUT_MS);
    shop->caches[server] = cache_new((size_t)8 << 20);
    assert_int_equal(cache_shared_tier(shop->caches[server]), CACHE_TIER_NONE);
    cache_share(shop->caches[server], shop->clients[server]);
}

static void stop(struct shop *shop, int server)
{
    if (shop->caches[server] != NULL)
        cache_free(shop->caches[server]);
    redis_free(shop->clients[server]);
    shop->caches[server] = NULL;
    shop->clients[server] = NULL;
}

static int begin(void **state)
{
    struct shop *shop = calloc(1, sizeof(*shop));
    servers_open(&shop->servers);
    server_start(&shop->servers, server_add(&shop->servers, SERVER_PLAIN));
    for (int i = 0; i < 2; i++)
        start(shop, i);
    assert_true(WAIT_UNTIL(is_up(shop, 0) && is_up(shop, 1), 5000));
    *state = shop;
    return 0;
}

static int end(void **state)
{
    struct shop *shop = *state;
    for (int i = 0; i < 2; i++)
        stop(shop, i);
    servers_close(&shop->servers);
    free(shop);
    return 0;
}

/* What the server's cache answers; NULL for nothing, then with the ticket. */
static const char *get(struct shop *shop, int server, const char *key, struct cache_ticket *ticket)
{
    struct slice value;
    int64_t age_s;
    struct cache_ticket own;
    bool is_found = cache_get_shared(shop->caches[server], slice_from(key), &shop->servers.arena, &value,
                                     &age_s, ticket != NULL ? ticket : &own);
    if (!is_found)
        return NULL;
    assert_in_range(age_s, 0, 60);
    return arena_copy(&shop->servers.arena, value).ptr;
}

/* Leaves nothing in the arena: it is asked again and again. */
static bool shows(struct shop *shop, int server, const char *key, const char *value)
{
    size_t mark = shop->servers.arena.used;
    const char *found = get(shop, server, key, NULL);
    bool is_shown = value == NULL ? found == NULL : found != NULL && strcmp(found, value) == 0;
    arena_rewind(&shop->servers.arena, mark);
    return is_shown;
}

static bool memory_shows(struct shop *shop, int server, const char *key)
{
    struct slice value;
    int64_t age_s;
    return cache_get(shop->caches[server], slice_from(key), &shop->servers.arena, &value, &age_s);
}

static void put(struct shop *shop, int server, struct cache_ticket ticket, const char *key, const char *value,
                const char *first_tag, const char *second_tag)
{
    struct slice tags[] = {slice_from(first_tag), slice_from(second_tag)};
    size_t count = second_tag != NULL ? 2 : first_tag != NULL ? 1 : 0;
    cache_put(shop->caches[server], ticket, slice_from(key), slice_from(value), tags, count, 60);
}

/* Reads through, as the gateway does: nothing there, then the fill. */
static void fill(struct shop *shop, int server, const char *key, const char *value, const char *first_tag,
                 const char *second_tag)
{
    struct cache_ticket ticket;
    assert_null(get(shop, server, key, &ticket));
    assert_true(ticket.epoch != 0);
    put(shop, server, ticket, key, value, first_tag, second_tag);
}

static void what_one_server_put_the_other_finds(void **state)
{
    struct shop *shop = *state;
    fill(shop, 0, "product 1", "one", "product:1", "products");
    fill(shop, 0, "empty", "", NULL, NULL);
    assert_true(WAIT_UNTIL(shows(shop, 1, "product 1", "one"), 1000));
    assert_true(WAIT_UNTIL(shows(shop, 1, "empty", ""), 1000));
    assert_true(memory_shows(shop, 1, "product 1")); /* from now on without Redis */
    assert_false(memory_shows(shop, 1, "product 2"));
    /* A ticket that knows nothing of Redis fills memory only. */
    put(shop, 0, cache_ticket(shop->caches[0]), "local", "x", NULL, NULL);
    assert_true(shows(shop, 0, "local", "x"));
    sleep_ms(50);
    assert_true(shows(shop, 1, "local", NULL));
    /* One that was taken without looking anything up does not. */
    put(shop, 0, cache_ticket_shared(shop->caches[0], &shop->servers.arena), "told", "y", NULL, NULL);
    assert_true(WAIT_UNTIL(shows(shop, 1, "told", "y"), 1000));
    /* A value with every byte, as large as may be. */
    char *large = arena_alloc(&shop->servers.arena, CACHE_ENTRY_BYTES_MAX);
    for (size_t i = 0; i < CACHE_ENTRY_BYTES_MAX; i++)
        large[i] = (char)i;
    struct cache_ticket ticket;
    struct slice value, expected = {large, CACHE_ENTRY_BYTES_MAX};
    int64_t age_s;
    assert_null(get(shop, 0, "large", &ticket));
    cache_put(shop->caches[0], ticket, SLICE("large"), expected, NULL, 0, 60);
    assert_true(WAIT_UNTIL(
        cache_get_shared(shop->caches[1], SLICE("large"), &shop->servers.arena, &value, &age_s, &ticket),
        2000));
    assert_true(slice_equals(value, expected));
}

static void a_drop_is_seen_on_the_other_at_once(void **state)
{
    struct shop *shop = *state;
    int64_t slowest_us = 0;
    int fast = 0;
    for (int i = 0; i < 20; i++) {
        char value[32];
        snprintf(value, sizeof(value), "version %d", i);
        fill(shop, 0, "p", value, "product:1", "products");
        assert_true(WAIT_UNTIL(shows(shop, 1, "p", value), 1000));
        assert_true(memory_shows(shop, 1, "p"));
        int64_t began_us = clock_monotonic_us();
        cache_drop_tag(shop->caches[0], SLICE("products"));
        assert_true(shows(shop, 0, "p", NULL)); /* here at once */
        while (!shows(shop, 1, "p", NULL))
            ;
        int64_t took_us = clock_monotonic_us() - began_us;
        fast += took_us < 50000;
        slowest_us = took_us > slowest_us ? took_us : slowest_us;
        assert_false(memory_shows(shop, 1, "p"));
        /* Both may fill again as soon as the drop is delivered. */
        struct cache_ticket ticket;
        assert_true(WAIT_UNTIL((get(shop, 0, "p", &ticket), ticket.epoch != 0), 1000));
    }
    print_message("slowest drop: %lld us\n", (long long)slowest_us);
    assert_true(fast > 10 && slowest_us < 1000000); /* about 1 ms where the machine is not busy */
}

static void a_fill_that_raced_a_drop_is_bad_everywhere(void **state)
{
    struct shop *shop = *state;
    struct cache_ticket ticket;
    assert_null(get(shop, 1, "p", &ticket)); /* server 1 reads the database, and then... */
    cache_drop_tag(shop->caches[0], SLICE("product:1"));
    assert_true(WAIT_UNTIL(shows(shop, 0, "p", NULL), 1000));
    sleep_ms(50); /* the drop is delivered */
    put(shop, 1, ticket, "p", "stale", "product:1", NULL);
    sleep_ms(50);
    assert_true(shows(shop, 0, "p", NULL));
    assert_true(shows(shop, 1, "p", NULL));
    fill(shop, 1, "p", "fresh", "product:1", NULL);
    assert_true(WAIT_UNTIL(shows(shop, 0, "p", "fresh"), 1000));
}

static void a_wiped_redis_brings_nothing_back(void **state)
{
    struct shop *shop = *state;
    struct cache_ticket ticket;
    fill(shop, 0, "kept", "1", "product:2", NULL);
    assert_null(get(shop, 1, "p", &ticket));
    cache_drop_tag(shop->caches[0], SLICE("product:1"));
    sleep_ms(50);
    administer(shop, "FLUSHALL");
    struct cache_ticket after;
    assert_true(WAIT_UNTIL((get(shop, 0, "q", &after), after.epoch != 0), 1000));
    assert_true(after.epoch > ticket.epoch);
    put(shop, 1, ticket, "p", "stale", "product:1", NULL); /* it read before all that */
    sleep_ms(50);
    assert_true(shows(shop, 0, "p", NULL));
    assert_true(shows(shop, 1, "p", NULL));
    fill(shop, 0, "p", "fresh", "product:1", NULL);
    assert_true(WAIT_UNTIL(shows(shop, 1, "p", "fresh"), 1000));
}

/* Redis starts again from what it had saved before the drop: the entry is there, and its tag as it was. */
static void an_old_snapshot_brings_nothing_back(void **state)
{
    struct shop *shop = *state;
    struct server *redis = &shop->servers.list[0];
    fill(shop, 0, "p", "old", "product:1", NULL);
    assert_true(WAIT_UNTIL(shows(shop, 1, "p", "old"), 1000));
    administer(shop, "SAVE");
    cache_drop_tag(shop->caches[0], SLICE("product:1"));
    assert_true(WAIT_UNTIL(shows(shop, 1, "p", NULL), 1000));
    server_kill(redis);
    server_start(&shop->servers, redis);
    int64_t until_us = clock_monotonic_us() + 3000000;
    while (clock_monotonic_us() < until_us)
        assert_true(shows(shop, 0, "p", NULL) && shows(shop, 1, "p", NULL));
    assert_true(is_up(shop, 0) && is_up(shop, 1));
    fill(shop, 0, "q", "new", "product:1", NULL);
    assert_true(WAIT_UNTIL(shows(shop, 1, "q", "new"), 1000));
}

/* Redis evicts keys when it is full: a tag's key, then the drop that it held. */
static void an_evicted_drop_is_no_licence(void **state)
{
    struct shop *shop = *state;
    struct cache_ticket early;
    assert_null(get(shop, 1, "q", &early));
    fill(shop, 0, "p", "old", "product:1", NULL);
    sleep_ms(50);
    cache_drop_tag(shop->caches[0], SLICE("product:1"));
    sleep_ms(50);
    administer(shop, "DEL souk:tag:product:1");
    assert_true(shows(shop, 0, "p", NULL));
    assert_true(shows(shop, 1, "p", NULL));
    put(shop, 1, early, "q", "stale", "product:1", NULL); /* makes the tag's key anew, but not as it was */
    sleep_ms(50);
    assert_true(shows(shop, 0, "q", NULL));
}

static void versions_never_go_back(void **state)
{
    struct shop *shop = *state;
    struct arena *arena = &shop->servers.arena;
    struct slice tag = SLICE("product:1");
    assert_true(store_drop(shop->clients[0], arena, &tag, 1));
    const char *first = ask_text(shop->clients[0], arena, "GET tag:product:1", 1);
    assert_int_equal(strlen(first), 40);
    /* Another server's drop with a later number arrived before ours. */
    char later[41], command[128];
    snprintf(later, sizeof(later), "%.20s%020d", first, 1000);
    snprintf(command, sizeof(command), "SET tag:product:1 %s", later);
    assert_string_equal(ask_text(shop->clients[0], arena, command, 1), "OK");
    assert_true(store_drop(shop->clients[0], arena, &tag, 1));
    assert_string_equal(ask_text(shop->clients[0], arena, "GET tag:product:1", 1), later);
    const char *epoch = ask_text(shop->clients[0], arena, "HGET generation epoch", 1);
    for (int i = 0; i < 3; i++) {
        assert_true(store_flush(shop->clients[0], arena));
        const char *next = ask_text(shop->clients[0], arena, "HGET generation epoch", 1);
        assert_true(strlen(next) == 20 && strcmp(next, epoch) > 0);
        epoch = next;
    }
    /* One whose clock is ahead made the last one. */
    assert_non_null(ask_text(shop->clients[0], arena, "HSET generation epoch 00009000000000000000", 1));
    assert_true(store_flush(shop->clients[0], arena));
    assert_string_equal(ask_text(shop->clients[0], arena, "HGET generation epoch", 1),
                        "00009000000000000001");
}

/* Redis is slow when a server drops: until it knows, the server takes nothing from it. */
static void a_server_sees_its_own_writes(void **state)
{
    struct shop *shop = *state;
    pid_t redis = shop->servers.list[0].pid;
    fill(shop, 0, "p", "old", "product:1", NULL);
    assert_true(WAIT_UNTIL(shows(shop, 1, "p", "old"), 1000));
    kill(redis, SIGSTOP);
    cache_drop_tag(shop->caches[0], SLICE("product:1"));
    assert_true(shows(shop, 0, "p", NULL));
    sleep_ms(700); /* over the timeout */
    assert_int_equal(cache_shared_tier(shop->caches[0]), CACHE_TIER_DEGRADED);
    kill(redis, SIGCONT);
    int64_t until_us = clock_monotonic_us() + 2000000;
    while (clock_monotonic_us() < until_us) /* while it comes back, too */
        assert_true(shows(shop, 0, "p", NULL));
    assert_true(shows(shop, 1, "p", NULL));
    assert_true(WAIT_UNTIL(is_up(shop, 0) && is_up(shop, 1), 5000));
}

static void without_the_link_memory_lives_a_second(void **state)
{
    struct shop *shop = *state;
    struct server *redis = &shop->servers.list[0];
    fill(shop, 0, "p", "old", "product:1", NULL);
    assert_true(WAIT_UNTIL(shows(shop, 1, "p", "old"), 1000));
    server_kill(redis);
    assert_true(WAIT_UNTIL(!memory_shows(shop, 1, "p"), 1000)); /* flushed */
    assert_true(WAIT_UNTIL(!is_up(shop, 0) && !is_up(shop, 1), 1000));
    put(shop, 1, cache_ticket(shop->caches[1]), "q", "x", "product:1", NULL);
    assert_true(memory_shows(shop, 1, "q"));
    int64_t began_us = clock_monotonic_us();
    assert_true(WAIT_UNTIL(!memory_shows(shop, 1, "q"), 3000));
    int64_t lived_us = clock_monotonic_us() - began_us;
    assert_in_range(lived_us, 800000, 1200000);
    cache_drop_tag(shop->caches[0], SLICE("product:1")); /* nobody can be told */
    put(shop, 1, cache_ticket(shop->caches[1]), "r", "x", "product:1", NULL);
    server_start(&shop->servers, redis);
    assert_true(WAIT_UNTIL(is_up(shop, 0) && is_up(shop, 1), 5000));
    assert_false(memory_shows(shop, 1, "r"));
    sleep_ms(500); /* each server has made a new epoch */
    fill(shop, 0, "p", "new", "product:1", NULL);
    assert_true(WAIT_UNTIL(shows(shop, 1, "p", "new"), 1000));
    sleep_ms(1500);
    assert_true(memory_shows(shop, 1, "p")); /* it lives as long as before again */
}

/* More drops than are kept, while Redis is away. */
static void too_many_drops_flush_everything(void **state)
{
    struct shop *shop = *state;
    pid_t redis = shop->servers.list[0].pid;
    fill(shop, 0, "p", "old", "product:1", NULL);
    assert_true(WAIT_UNTIL(shows(shop, 1, "p", "old"), 1000));
    kill(redis, SIGSTOP);
    for (int i = 0; i < CACHE_DROPS_QUEUED_MAX + 2; i++) {
        char tag[32];
        snprintf(tag, sizeof(tag), "other:%d", i);
        cache_drop_tag(shop->caches[0], slice_from(tag));
        if (i == CACHE_DROPS_QUEUED_MAX / 2) /* forgotten among the others */
            cache_drop_tag(shop->caches[0], SLICE("product:1"));
    }
    kill(redis, SIGCONT);
    assert_true(WAIT_UNTIL(shows(shop, 1, "p", NULL), 5000));
    assert_true(shows(shop, 0, "p", NULL));
    cache_drop_tag(shop->caches[0], SLICE("a line\nbreak cannot be sent: all is dropped"));
    struct cache_ticket ticket;
    assert_true(WAIT_UNTIL((get(shop, 0, "p", &ticket), ticket.epoch != 0), 5000));
    fill(shop, 0, "p", "new", "product:1", NULL);
    assert_true(WAIT_UNTIL(shows(shop, 1, "p", "new"), 1000));
    cache_flush(shop->caches[0]);
    assert_true(WAIT_UNTIL(shows(shop, 1, "p", NULL), 1000));
}

static void a_gap_in_the_messages_flushes(void **state)
{
    struct shop *shop = *state;
    struct arena *arena = &shop->servers.arena;
    static const char *const messages[] = {
        "PUBLISH drops hello",
        "PUBLISH drops souk1",
        "PUBLISH drops souk1 1",
        "PUBLISH drops souk1_7f0d4a60-0000-4000-8000-000000000001_1\n",
        "PUBLISH drops souk1_7f0d4a60-0000-4000-8000-000000000001_2\nzwhat\nd\n\nd\x01\n",
        "PUBLISH drops souk1_7f0d4a60-0000-4000-8000-000000000001_2\ndother\n",
    };
    sleep_ms(4 * CACHE_HEARTBEAT_MS); /* both know each other */
    fill(shop, 0, "p", "old", "product:1", NULL);
    assert_true(memory_shows(shop, 0, "p"));
    for (size_t i = 0; i < COUNT_OF(messages); i++) {
        char *text = (char *)arena_format(arena, "%s", messages[i]).ptr;
        for (char *c = text; (c = strchr(c, '_')) != NULL;)
            *c = ' ';
        struct slice words[] = {SLICE("PUBLISH"), SLICE("drops"),
                                slice_from(text + strlen("PUBLISH drops "))};
        struct redis_command command = {words, 3, 1, false};
        struct redis_reply reply;
        assert_true(redis_pipeline(shop->clients[1], arena, &command, 1, &reply));
    }
    sleep_ms(100);
    assert_true(memory_shows(shop, 0, "p")); /* nothing was missed */
    struct slice words[] = {SLICE("PUBLISH"), SLICE("drops"),
                            SLICE("souk1 7f0d4a60-0000-4000-8000-000000000001 4\n")};
    struct redis_command command = {words, 3, 1, false};
    struct redis_reply reply;
    assert_true(redis_pipeline(shop->clients[1], arena, &command, 1, &reply));
    assert_true(WAIT_UNTIL(!memory_shows(shop, 0, "p"), 1000)); /* the third was */
    /* It falls silent without a farewell: its last drop may be lost. */
    const char *epoch = ask_text(shop->clients[0], arena, "HGET generation epoch", 1);
    fill(shop, 1, "q", "old", "product:1", NULL);
    assert_true(WAIT_UNTIL(strcmp(ask_text(shop->clients[0], arena, "HGET generation epoch", 1), epoch) != 0,
                           8 * CACHE_HEARTBEAT_MS));
    assert_true(WAIT_UNTIL(shows(shop, 1, "q", NULL), 1000));
}

/* ---- servers that end ---- */

static const char *epoch_of(struct shop *shop, int server)
{
    return ask_text(shop->clients[server], &shop->servers.arena, "HGET generation epoch", 1);
}

static void shows_never(struct shop *shop, int server, const char *key, const char *value, int ms)
{
    int64_t until_us = clock_monotonic_us() + ms * INT64_C(1000);
    while (clock_monotonic_us() < until_us) {
        assert_false(shows(shop, server, key, value));
        sleep_ms(1);
    }
}

/* Redis stands still; what was changed meanwhile ended with the servers. */
static void drops_that_ended_with_all_servers_are_not_forgotten(void **state)
{
    struct shop *shop = *state;
    pid_t redis = shop->servers.list[0].pid;
    fill(shop, 0, "p", "old", "product:1", NULL);
    assert_true(WAIT_UNTIL(shows(shop, 1, "p", "old"), 1000));
    kill(redis, SIGSTOP);
    cache_drop_tag(shop->caches[0], SLICE("product:1"));
    sleep_ms(700); /* over the timeout: what Redis reads when it goes on does not drop it */
    stop(shop, 0);
    stop(shop, 1);
    kill(redis, SIGCONT);
    start(shop, 0);
    shows_never(shop, 0, "p", "old", 3000);
    start(shop, 1);
    assert_true(WAIT_UNTIL(is_up(shop, 0) && is_up(shop, 1), 5000));
    assert_true(shows(shop, 1, "p", NULL));
    fill(shop, 0, "p", "new", "product:1", NULL);
    assert_true(WAIT_UNTIL(shows(shop, 1, "p", "new"), 1000));
}

/* The same, and the other server lives on: nobody says farewell to it. */
static void drops_that_ended_with_one_server_are_not_forgotten(void **state)
{
    struct shop *shop = *state;
    pid_t redis = shop->servers.list[0].pid;
    sleep_ms(2 * CACHE_HEARTBEAT_MS); /* both know each other */
    fill(shop, 0, "p", "old", "product:1", NULL);
    assert_true(WAIT_UNTIL(shows(shop, 1, "p", "old"), 1000));
    kill(redis, SIGSTOP);
    cache_drop_tag(shop->caches[0], SLICE("product:1"));
    sleep_ms(4000); /* the links are seen to be broken */
    stop(shop, 0);
    kill(redis, SIGCONT);
    shows_never(shop, 1, "p", "old", 3000);
    assert_true(WAIT_UNTIL(is_up(shop, 1), 5000));
    start(shop, 0);
    assert_true(WAIT_UNTIL(is_up(shop, 0), 5000));
    assert_true(shows(shop, 0, "p", NULL));
}

/* Only the links of both break, so that one might end unheard; Redis loses nothing and answers all along. */
static void when_nobody_listened_redis_is_not_trusted(void **state)
{
    struct shop *shop = *state;
    sleep_ms(2 * CACHE_HEARTBEAT_MS); /* both know each other */
    const char *epoch = epoch_of(shop, 1);
    administer(shop, "CLIENT KILL TYPE pubsub");
    assert_true(WAIT_UNTIL(strcmp(epoch_of(shop, 1), epoch) != 0, 5000));
    assert_true(WAIT_UNTIL(is_up(shop, 0) && is_up(shop, 1), 5000));
}

/* Servers that are replaced one by one keep what is in Redis. */
static void a_farewell_spares_what_is_in_redis(void **state)
{
    struct shop *shop = *state;
    sleep_ms(2 * CACHE_HEARTBEAT_MS); /* both know each other */
    fill(shop, 0, "p", "kept", "product:1", NULL);
    assert_true(WAIT_UNTIL(shows(shop, 1, "p", "kept"), 1000));
    for (int server = 0; server < 2; server++) {
        const char *epoch = epoch_of(shop, server);
        cache_drop_tag(shop->caches[server], SLICE("product:2"));
        stop(shop, server);
        start(shop, server);
        assert_true(WAIT_UNTIL(is_up(shop, server), 5000));
        assert_true(shows(shop, server, "p", "kept"));
        sleep_ms(6 * CACHE_HEARTBEAT_MS); /* nor is it missed later */
        assert_string_equal(epoch_of(shop, server), epoch);
    }
}

/* A fade that was to be told again in a second. */
static void the_last_fades_of_a_server_are_told(void **state)
{
    struct shop *shop = *state;
    cache_fade_tag(shop->caches[0], SLICE("product:1"));
    sleep_ms(100);
    fill(shop, 1, "p", "old", "product:1", NULL);
    sleep_ms(100);
    cache_fade_tag(shop->caches[0], SLICE("product:1"));
    stop(shop, 0);
    assert_true(WAIT_UNTIL(shows(shop, 1, "p", NULL), 300));
    start(shop, 0);
}

static _Atomic int fades_heard;

static void count_fades(void *arg, struct slice message)
{
    (void)arg;
    struct cache_message parsed;
    enum cache_order order;
    struct slice tag;
    if (cache_message_parse(message, &parsed))
        while (cache_message_next(&parsed, &order, &tag))
            atomic_fetch_add(&fades_heard, order == CACHE_ORDER_FADE && slice_is(tag, "product:1"));
}

static void ignore_link(void *arg, bool is_link_up)
{
    (void)arg;
    (void)is_link_up;
}

static void fades_go_out_once_a_second(void **state)
{
    struct shop *shop = *state;
    struct redis_listener listener = {count_fades, ignore_link, NULL};
    struct redis_subscription *subscription = redis_subscribe(shop->clients[0], SLICE("drops"), &listener);
    fill(shop, 0, "p", "old", "product:1", NULL);
    assert_true(WAIT_UNTIL(shows(shop, 1, "p", "old"), 1000));
    sleep_ms(1100); /* it is older than what a fade lets live */
    int64_t began_us = clock_monotonic_us();
    cache_fade_tag(shop->caches[0], SLICE("product:1"));
    assert_true(WAIT_UNTIL(shows(shop, 1, "p", NULL), 1000));
    assert_true(clock_monotonic_us() - began_us < 200000);
    /* Sold all the time: made again once a second, and what is shown is never older than two. */
    int fills = 0;
    while (clock_monotonic_us() - began_us < 4000000) {
        cache_fade_tag(shop->caches[0], SLICE("product:1"));
        struct cache_ticket ticket;
        char now[32];
        int64_t now_us = clock_monotonic_us();
        const char *shown = get(shop, 1, "p", &ticket);
        if (shown == NULL) {
            fills++;
            snprintf(now, sizeof(now), "%lld", (long long)now_us);
            put(shop, 1, ticket, "p", now, "product:1", NULL);
        } else {
            assert_true(now_us - atoll(shown) < 2200000);
        }
        sleep_ms(2);
    }
    assert_in_range(fills, 3, 12);
    assert_in_range(atomic_load(&fades_heard), 3, 6);
    redis_unsubscribe(subscription);
}

/* ---- everything at once ---- */

#define KEYS 6
#define READERS 2

/* A database of a number for each key, and two servers that write, read and cache it. */
struct world {
    struct shop *shop;
    _Atomic bool is_over;
    _Atomic int64_t calm_since_us; /* Redis has been well since; INT64_MAX: it is not */
    _Atomic int values[KEYS];
    _Atomic int64_t changed_us[KEYS]; /* when it got its value */
    _Atomic int written[2][KEYS];     /* what each server has written and dropped */
    _Atomic int hits, misses, stale;
};

struct worker {
    struct world *world;
    int server;
    pthread_t thread;
};

static void nap(int us)
{
    struct timespec pause = {.tv_nsec = us * 1000L};
    nanosleep(&pause, NULL);
}

static void *write_all_the_time(void *arg)
{
    struct worker *worker = arg;
    struct world *world = worker->world;
    while (!atomic_load(&world->is_over)) {
        /* Each key has one writer, so that its values grow. */
        int key = (int)(random_u64() % (KEYS / 2)) * 2 + worker->server;
        char tag[32];
        snprintf(tag, sizeof(tag), "key:%d", key);
        int value = atomic_load(&world->values[key]) + 1;
        atomic_store(&world->changed_us[key], clock_monotonic_us());
        atomic_store(&world->values[key], value); /* the commit */
        cache_drop_tag(world->shop->caches[worker->server], slice_from(tag));
        atomic_store(&world->written[worker->server][key], value);
        /* Mostly at once, now and then so long that what is stale is seen to be. */
        bool is_pause = random_u64() % 8 == 0;
        nap(500 + (int)(random_u64() % (is_pause ? 900000 : 20000)));
    }
    return NULL;
}

static void check_shown(struct worker *worker, int key, int shown, int own, int64_t before_us,
                        int64_t changed_us, int present)
{
    struct world *world = worker->world;
    assert_true(shown >= own); /* a server sees its own writes, whatever happens */
    int64_t calm_us = atomic_load(&world->calm_since_us);
    bool was_calm = calm_us != INT64_MAX && before_us - calm_us > 3000000 &&
                    atomic_load(&world->calm_since_us) == calm_us;
    if (shown < present && was_calm && before_us - changed_us > 300000) {
        print_message("key %d: %d shown on server %d, %d since %lld us\n", key, shown, worker->server,
                      present, (long long)(before_us - changed_us));
        atomic_fetch_add(&world->stale, 1);
    }
}

static void *read_all_the_time(void *arg)
{
    struct worker *worker = arg;
    struct world *world = worker->world;
    struct cache *cache = world->shop->caches[worker->server];
    struct arena arena;
    assert_true(arena_init(&arena, (size_t)1 << 20));
    while (!atomic_load(&world->is_over)) {
        arena_reset(&arena);
        int key = (int)(random_u64() % KEYS);
        char name[32], tag[32];
        snprintf(name, sizeof(name), "name %d", key);
        snprintf(tag, sizeof(tag), "key:%d", key);
        int own = atomic_load(&world->written[worker->server][key]);
        int present = atomic_load(&world->values[key]);
        int64_t changed_us = atomic_load(&world->changed_us[key]);
        int64_t before_us = clock_monotonic_us();
        struct slice value;
        int64_t age_s;
        struct cache_ticket ticket;
        if (cache_get_shared(cache, slice_from(name), &arena, &value, &age_s, &ticket)) {
            check_shown(worker, key, atoi(value.ptr), own, before_us, changed_us, present);
            atomic_fetch_add(&world->hits, 1);
        } else {
            int read = atomic_load(&world->values[key]);
            nap((int)(random_u64() % 2000)); /* between the read and the fill much may happen */
            struct slice tags[] = {slice_from(tag), SLICE("all")};
            cache_put(cache, ticket, slice_from(name), arena_format(&arena, "%d", read), tags, 2, 60);
            atomic_fetch_add(&world->misses, 1);
        }
        nap(200);
    }
    arena_release(&arena);
    return NULL;
}

static void be_calm(struct world *world, int ms)
{
    assert_true(WAIT_UNTIL(is_up(world->shop, 0) && is_up(world->shop, 1), 8000));
    atomic_store(&world->calm_since_us, clock_monotonic_us());
    sleep_ms(ms);
    atomic_store(&world->calm_since_us, INT64_MAX);
}

static void nothing_stale_is_shown_whatever_happens_to_redis(void **state)
{
    struct world world = {.shop = *state, .calm_since_us = INT64_MAX};
    struct shop *shop = *state;
    struct server *redis = &shop->servers.list[0];
    struct worker workers[2 * (READERS + 1)];
    for (size_t i = 0; i < COUNT_OF(workers); i++) {
        workers[i] = (struct worker){.world = &world, .server = (int)(i % 2)};
        assert_int_equal(pthread_create(&workers[i].thread, NULL,
                                        i < 2 ? write_all_the_time : read_all_the_time, &workers[i]),
                         0);
    }
    be_calm(&world, 5000);
    administer(shop, "FLUSHALL");
    be_calm(&world, 4500);
    kill(redis->pid, SIGSTOP);
    sleep_ms(1500);
    kill(redis->pid, SIGCONT);
    be_calm(&world, 4500);
    server_kill(redis);
    sleep_ms(500);
    server_start(&shop->servers, redis);
    be_calm(&world, 4500);
    atomic_store(&world.is_over, true);
    for (size_t i = 0; i < COUNT_OF(workers); i++)
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    sleep_ms(300);
    for (int i = 0; i < 2 * KEYS; i++) {
        char name[32];
        snprintf(name, sizeof(name), "name %d", i / 2);
        const char *shown = get(shop, i % 2, name, NULL);
        assert_true(shown == NULL || atoi(shown) == atomic_load(&world.values[i / 2]));
    }
    print_message("%d hits, %d misses\n", atomic_load(&world.hits), atomic_load(&world.misses));
    assert_int_equal(atomic_load(&world.stale), 0);
    assert_true(atomic_load(&world.hits) > 1000 && atomic_load(&world.misses) > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_one_server_put_the_other_finds, begin, end),
        cmocka_unit_test_setup_teardown(a_drop_is_seen_on_the_other_at_once, begin, end),
        cmocka_unit_test_setup_teardown(a_fill_that_raced_a_drop_is_bad_everywhere, begin, end),
        cmocka_unit_test_setup_teardown(a_wiped_redis_brings_nothing_back, begin, end),
        cmocka_unit_test_setup_teardown(an_old_snapshot_brings_nothing_back, begin, end),
        cmocka_unit_test_setup_teardown(an_evicted_drop_is_no_licence, begin, end),
        cmocka_unit_test_setup_teardown(versions_never_go_back, begin, end),
        cmocka_unit_test_setup_teardown(a_server_sees_its_own_writes, begin, end),
        cmocka_unit_test_setup_teardown(without_the_link_memory_lives_a_second, begin, end),
        cmocka_unit_test_setup_teardown(too_many_drops_flush_everything, begin, end),
        cmocka_unit_test_setup_teardown(a_gap_in_the_messages_flushes, begin, end),
        cmocka_unit_test_setup_teardown(drops_that_ended_with_all_servers_are_not_forgotten, begin, end),
        cmocka_unit_test_setup_teardown(drops_that_ended_with_one_server_are_not_forgotten, begin, end),
        cmocka_unit_test_setup_teardown(when_nobody_listened_redis_is_not_trusted, begin, end),
        cmocka_unit_test_setup_teardown(a_farewell_spares_what_is_in_redis, begin, end),
        cmocka_unit_test_setup_teardown(the_last_fades_of_a_server_are_told, begin, end),
        cmocka_unit_test_setup_teardown(fades_go_out_once_a_second, begin, end),
        cmocka_unit_test_setup_teardown(nothing_stale_is_shown_whatever_happens_to_redis, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
