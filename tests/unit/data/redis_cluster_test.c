/* The Redis client against a Cluster of three masters with a replica each, over TLS: routing, keys that move,
 * a master that dies, and listening. */
#include "redis_fixture.h"

#include "base/check.h"
#include "base/limits.h"
#include "data/cache.h"

#define NODES 6
#define KEYS 300

/* Two nodes are named, the others are found. */
static struct redis *cluster_open(struct servers *servers, int64_t timeout_ms)
{
    const char *url =
        arena_format(&servers->arena, "rediss://:" PASSWORD_ENCODED "@127.0.0.1:%d,127.0.0.1:%d?ca=%s/ca.crt",
                     servers->list[0].port, servers->list[5].port, servers->folder)
            .ptr;
    return client_open(servers, url, timeout_ms);
}

/* One pipeline over all masters: SET or GET of KEYS keys. True when all were answered. */
static bool touch_all(struct redis *redis, struct arena *arena, const char *verb, int *right)
{
    struct redis_command commands[KEYS];
    struct redis_reply replies[KEYS];
    for (int i = 0; i < KEYS; i++) {
        struct slice *words = ARENA_ARRAY(arena, struct slice, 3);
        words[0] = slice_from(verb);
        words[1] = arena_format(arena, "key:%d", i);
        words[2] = arena_format(arena, "value %d", i);
        commands[i] = (struct redis_command){words, slice_is(words[0], "SET") ? 3 : 2, 1};
    }
    bool is_whole = redis_pipeline(redis, arena, commands, KEYS, replies);
    *right = 0;
    for (int i = 0; i < KEYS; i++)
        *right += slice_is(verb[0] == 'S' ? SLICE("") : replies[i].text, "") ||
                  slice_equals(replies[i].text, arena_format(arena, "value %d", i));
    return is_whole;
}

/* The server that has the key now. */
static struct server *master_of(struct servers *servers, const char *key)
{
    char command[512];
    for (size_t i = 0; i < NODES; i++) {
        const struct server *server = &servers->list[i];
        if (server->pid == 0)
            continue;
        snprintf(
            command, sizeof(command),
            "redis-cli --tls --cacert ca.crt --no-auth-warning -a '" PASSWORD
            "' -p %d get %s 2>&1 | grep -q '^value' && redis-cli --tls --cacert ca.crt --no-auth-warning -a '" PASSWORD
            "' -p %d role | head -1 | grep -q master",
            server->port, key, server->port);
        const char *const words[] = {"sh", "-c", command, NULL};
        if (run_program(servers, words))
            return &servers->list[i];
    }
    return NULL;
}

static bool tell(struct servers *servers, const struct server *server, const char *text)
{
    char command[512];
    snprintf(command, sizeof(command),
             "redis-cli --tls --cacert ca.crt --no-auth-warning -e -a '" PASSWORD "' -p %d %s", server->port,
             text);
    const char *const words[] = {"sh", "-c", command, NULL};
    return run_program(servers, words);
}

/* All slots are served, and each master has its replica. */
static void wait_for_cluster(struct servers *servers)
{
    for (size_t i = 0; i < NODES; i++) {
        assert_true(WAIT_UNTIL(tell(servers, &servers->list[i], "cluster info | grep -q state:ok"), 20000));
        assert_true(WAIT_UNTIL(tell(servers, &servers->list[i],
                                    "info replication | grep -qE 'master_link_status:up|state=online'"),
                               20000));
    }
}

static int begin(void **state)
{
    struct servers *servers = calloc(1, sizeof(*servers));
    servers_open(servers);
    make_certificates(servers);
    const char *words[8 + NODES + 8] = {"redis-cli", "--tls",  "--cacert",  "ca.crt",
                                        "-a",        PASSWORD, "--cluster", "create"};
    size_t count = 8;
    for (size_t i = 0; i < NODES; i++) {
        struct server *server = server_add(servers, SERVER_CLUSTER);
        server_start(servers, server);
        words[count++] = arena_format(&servers->arena, "127.0.0.1:%d", server->port).ptr;
    }
    words[count++] = "--cluster-replicas";
    words[count++] = "1";
    words[count++] = "--cluster-yes";
    assert_true(run_program(servers, words));
    wait_for_cluster(servers);
    *state = servers;
    return 0;
}

static int end(void **state)
{
    servers_close(*state);
    free(*state);
    return 0;
}

static void keys_go_to_their_nodes(void **state)
{
    struct servers *servers = *state;
    struct arena *arena = &servers->arena;
    struct redis *redis = cluster_open(servers, 5000);
    int right;
    assert_true(touch_all(redis, arena, "SET", &right));
    assert_true(touch_all(redis, arena, "GET", &right));
    assert_int_equal(right, KEYS);
    assert_true(redis_is_up(redis));
    /* A hash tag keeps keys together: this would be CROSSSLOT otherwise. */
    assert_string_equal(ask_text(redis, arena, "MSET {tag}a 1", 1), "OK");
    assert_string_equal(
        ask_text(redis, arena,
                 "EVAL return(redis.call('GET',KEYS[1])..redis.call('INCR',KEYS[2])) 2 {tag}a souk:{tag}b",
                 3),
        "11");
    /* The specification's own example of CRC-16, through a node. */
    assert_string_equal(ask_text(redis, arena, "CLUSTER KEYSLOT 123456789", 0), "12739");
    redis_free(redis);
}

static void moved_slots_are_followed(void **state)
{
    struct servers *servers = *state;
    struct arena *arena = &servers->arena;
    struct redis *redis = cluster_open(servers, 5000);
    int right;
    assert_true(touch_all(redis, arena, "SET", &right));
    uint64_t losses = redis_losses(redis);
    /* Half-way: the slot of key:7 is on its way, the key is gone from its old home already: ASK. */
    struct server *from = master_of(servers, "souk:key:7");
    assert_non_null(from);
    struct server *to = NULL;
    for (int i = 0; i < KEYS && to == NULL; i++) {
        char key[32];
        snprintf(key, sizeof(key), "souk:key:%d", i);
        struct server *other = master_of(servers, key);
        if (other != from)
            to = other;
    }
    assert_non_null(to);
    char text[400];
    snprintf(
        text, sizeof(text),
        "cluster keyslot souk:key:7 > slot && redis-cli --tls --cacert ca.crt --no-auth-warning -a '" PASSWORD
        "' -p %d cluster myid > from-id && redis-cli --tls --cacert ca.crt --no-auth-warning -a '" PASSWORD
        "' -p %d cluster myid > to-id",
        from->port, to->port);
    assert_true(tell(servers, from, text));
    assert_true(tell(servers, to, "cluster setslot $(cat slot) importing $(cat from-id)"));
    assert_true(tell(servers, from, "cluster setslot $(cat slot) migrating $(cat to-id)"));
    snprintf(text, sizeof(text), "migrate 127.0.0.1 %d souk:key:7 0 5000 auth '" PASSWORD "'", to->port);
    assert_true(tell(servers, from, text));
    for (int i = 0; i < 3; i++)
        assert_string_equal(ask_text(redis, arena, "GET key:7", 1), "value 7");
    assert_int_equal(redis_losses(redis), losses); /* ASK tells of one key, the map stays */
    /* Done: MOVED, once. */
    assert_true(tell(servers, to, "cluster setslot $(cat slot) node $(cat to-id)"));
    assert_true(tell(servers, from, "cluster setslot $(cat slot) node $(cat to-id)"));
    for (int i = 0; i < 3; i++)
        assert_string_equal(ask_text(redis, arena, "GET key:7", 1), "value 7");
    assert_true(touch_all(redis, arena, "GET", &right));
    assert_int_equal(right, KEYS);
    assert_true(redis_losses(redis) > losses);
    redis_free(redis);
}

static void a_promoted_replica_is_found(void **state)
{
    struct servers *servers = *state;
    struct arena *arena = &servers->arena;
    struct redis *redis = cluster_open(servers, 5000);
    int right;
    assert_true(touch_all(redis, arena, "SET", &right));
    uint64_t losses = redis_losses(redis);
    int promoted = 0;
    for (size_t i = 0; i < NODES && promoted == 0; i++)
        promoted += tell(servers, &servers->list[i], "role | head -1 | grep -q slave") &&
                    tell(servers, &servers->list[i], "cluster failover");
    assert_int_equal(promoted, 1);
    for (int i = 0; i < 40; i++) { /* while it happens, every call is answered */
        assert_true(touch_all(redis, arena, "GET", &right));
        assert_int_equal(right, KEYS);
        sleep_ms(50);
    }
    assert_true(redis_losses(redis) > losses);
    redis_free(redis);
}

struct traffic {
    struct redis *redis;
    _Atomic bool is_over;
    _Atomic int answered, slow;
};

static void *drive(void *arg)
{
    struct traffic *traffic = arg;
    struct arena arena;
    assert_true(arena_init(&arena, (size_t)8 << 20));
    while (!atomic_load(&traffic->is_over)) {
        int right;
        arena_reset(&arena);
        int64_t began_us = clock_monotonic_us();
        atomic_fetch_add(&traffic->answered, touch_all(traffic->redis, &arena, "SET", &right));
        atomic_fetch_add(&traffic->slow, clock_monotonic_us() - began_us > 2000000);
        sleep_ms(5);
    }
    arena_release(&arena);
    return NULL;
}

static _Atomic int messages, ups, downs;

static void on_message(void *arg, struct slice message)
{
    (void)arg;
    assert_true(slice_is(message, "hello"));
    atomic_fetch_add(&messages, 1);
}

static void on_link(void *arg, bool is_up)
{
    (void)arg;
    atomic_fetch_add(is_up ? &ups : &downs, 1);
}

#define DRIVERS 4

/* A master is killed under load. Its keys are back when its replica has taken over, the others stay, and the
 * channel is heard wherever one publishes. */
static void a_dead_master_is_survived(void **state)
{
    struct servers *servers = *state;
    struct arena *arena = &servers->arena;
    struct redis *redis = cluster_open(servers, 1000);
    struct redis_listener listener = {on_message, on_link, NULL};
    struct redis_subscription *subscription = redis_subscribe(redis, SLICE("drops"), &listener);
    int right;
    assert_true(touch_all(redis, arena, "SET", &right));
    struct traffic traffic = {.redis = redis};
    pthread_t threads[DRIVERS];
    for (int i = 0; i < DRIVERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, drive, &traffic), 0);
    sleep_ms(300);
    uint64_t losses = redis_losses(redis);
    struct server *master = master_of(servers, "souk:key:1");
    assert_non_null(master);
    server_kill(master);
    int64_t began_us = clock_monotonic_us();
    struct redis_reply reply;
    while (ask(redis, arena, "GET key:1", 1, &reply) && clock_monotonic_us() - began_us < 5000000)
        sleep_ms(1);
    assert_false(redis_is_up(redis));
    assert_true(WAIT_UNTIL(ask_text(redis, arena, "GET key:1", 1) != NULL, 15000));
    int before = atomic_load(&traffic.answered);
    assert_true(WAIT_UNTIL(atomic_load(&traffic.answered) > before + 20, 10000));
    assert_true(redis_losses(redis) > losses);
    assert_true(WAIT_UNTIL(redis_ping(redis), 5000));
    atomic_store(&traffic.is_over, true);
    for (int i = 0; i < DRIVERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&traffic.slow), 0);
    assert_true(WAIT_UNTIL(atomic_load(&ups) == atomic_load(&downs) + 1, 5000));
    struct slice words[] = {SLICE("PUBLISH"), SLICE("drops"), SLICE("hello")};
    struct redis_command publish = {words, 3, 1, .is_for_any_node = true};
    int heard = atomic_load(&messages);
    for (int i = 0; i < 6; i++) /* each master in its turn */
        assert_true(redis_pipeline(redis, arena, &publish, 1, &reply));
    assert_true(WAIT_UNTIL(atomic_load(&messages) == heard + 6, 2000));
    redis_unsubscribe(subscription);
    redis_free(redis);
    server_start(servers, master);
    wait_for_cluster(servers);
}

/* ---- the cache of two servers on it ---- */

struct pair {
    struct redis *clients[2];
    struct cache *caches[2];
    struct arena *arena;
};

static bool finds(struct pair *pair, int server, const char *key, struct cache_ticket *ticket)
{
    struct slice value;
    int64_t age_s;
    return cache_get_shared(pair->caches[server], slice_from(key), pair->arena, &value, &age_s, ticket);
}

/* Both hear each other, and trust Redis. */
static bool pair_is_up(struct pair *pair)
{
    struct cache_ticket tickets[2];
    for (int i = 0; i < 2; i++)
        assert_false(finds(pair, i, "nothing", &tickets[i]));
    return cache_shared_tier(pair->caches[0]) == CACHE_TIER_UP &&
           cache_shared_tier(pair->caches[1]) == CACHE_TIER_UP && tickets[0].epoch != 0 &&
           tickets[1].epoch != 0;
}

#define ENTRIES 30

/* How many of the entries are filled at server 0 and found at server 1. */
static int fill_and_find(struct pair *pair, const char *round)
{
    struct cache_ticket ticket;
    struct slice tags[2] = {SLICE("products")};
    int found = 0;
    char key[32];
    for (int i = 0; i < ENTRIES; i++) {
        snprintf(key, sizeof(key), "%s %d", round, i);
        tags[1] = arena_format(pair->arena, "product:%d", i);
        if (!finds(pair, 0, key, &ticket))
            cache_put(pair->caches[0], ticket, slice_from(key), SLICE("value"), tags, 2, 60);
    }
    for (int i = 0; i < ENTRIES; i++) {
        snprintf(key, sizeof(key), "%s %d", round, i);
        found += WAIT_UNTIL(finds(pair, 1, key, &ticket), 200);
    }
    return found;
}

/* A drop while a master is dead: what it had is told as soon as its replica has taken over, to the memories
 * at once; what was in Redis before is trusted by nobody after. */
static void the_cache_survives_a_dead_master(void **state)
{
    struct servers *servers = *state;
    struct pair pair = {.arena = &servers->arena};
    struct cache_ticket ticket;
    for (int i = 0; i < 2; i++) {
        pair.clients[i] = cluster_open(servers, 500);
        pair.caches[i] = cache_new((size_t)8 << 20);
        cache_share(pair.caches[i], pair.clients[i]);
    }
    assert_true(WAIT_UNTIL(pair_is_up(&pair), 20000));
    sleep_ms(500);
    assert_int_equal(fill_and_find(&pair, "before"), ENTRIES);
    struct server *master = NULL;
    for (size_t i = 0; i < NODES && master == NULL; i++)
        if (servers->list[i].pid != 0 && tell(servers, &servers->list[i], "role | head -1 | grep -q master"))
            master = &servers->list[i];
    assert_non_null(master);
    server_kill(master);
    cache_drop_tag(pair.caches[0], SLICE("products"));
    /* The other's memory hears of it over the nodes that live, or is deaf and flushed. */
    assert_true(WAIT_UNTIL(!finds(&pair, 1, "before 3", &ticket), 3000));
    for (int i = 0; i < 200; i++) {
        for (int entry = 0; entry < ENTRIES; entry += 7) {
            char key[32];
            snprintf(key, sizeof(key), "before %d", entry);
            assert_false(finds(&pair, 0, key, &ticket));
        }
        sleep_ms(20);
    }
    assert_true(WAIT_UNTIL(pair_is_up(&pair), 20000));
    sleep_ms(1500); /* new epochs are made */
    assert_int_equal(fill_and_find(&pair, "after"), ENTRIES);
    assert_false(finds(&pair, 1, "before 3", &ticket));
    cache_drop_tag(pair.caches[1], SLICE("products"));
    assert_true(WAIT_UNTIL(!finds(&pair, 0, "after 3", &ticket), 1000));
    for (int i = 0; i < 2; i++) {
        cache_free(pair.caches[i]);
        redis_free(pair.clients[i]);
    }
    server_start(servers, master);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_go_to_their_nodes),           cmocka_unit_test(moved_slots_are_followed),
        cmocka_unit_test(a_promoted_replica_is_found),      cmocka_unit_test(a_dead_master_is_survived),
        cmocka_unit_test(the_cache_survives_a_dead_master),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
