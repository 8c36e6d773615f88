/* Several servers that count together, over a real Redis: what they let through in sum. */
#include "data/redis_fixture.h"

#include "http/throttle.h"

#define PER_MINUTE 600
/* Within which the servers know of each other: a few exchanges. */
#define SETTLE_MS (6 * THROTTLE_SHARE_MS)
/* What comes back while a test runs, and what one may let through before it knows of the others. */
#define TOLERANCE (PER_MINUTE / 20)

static const uint8_t KEY[32] = "all servers of a shop have this";

static const struct throttle_limits LIMITS = {.whole_per_second = 10000,
                                              .whole_burst = 20000,
                                              .read_per_minute = PER_MINUTE,
                                              .write_per_minute = PER_MINUTE};

struct nodes {
    struct servers servers;
    struct server *server;
    struct redis *redis[2];
    struct throttle *throttles[2];
};

static int begin(void **state)
{
    struct nodes *nodes = calloc(1, sizeof(*nodes));
    servers_open(&nodes->servers);
    nodes->server = server_add(&nodes->servers, SERVER_PLAIN);
    server_start(&nodes->servers, nodes->server);
    for (int i = 0; i < 2; i++) {
        nodes->redis[i] = client_open(&nodes->servers, plain_url(&nodes->servers, nodes->server), 1000);
        nodes->throttles[i] = throttle_new(&LIMITS);
        assert_true(throttle_share(nodes->throttles[i], nodes->redis[i], KEY, true));
    }
    *state = nodes;
    return 0;
}

static int end(void **state)
{
    struct nodes *nodes = *state;
    for (int i = 0; i < 2; i++) {
        throttle_free(nodes->throttles[i]);
        redis_free(nodes->redis[i]);
    }
    servers_close(&nodes->servers);
    free(nodes);
    return 0;
}

static bool take(struct throttle *throttle, const char *address, struct throttle_verdict *verdict)
{
    throttle_take(throttle, throttle_address(throttle, slice_from(address)), RATE_READ, clock_monotonic_us(),
                  verdict);
    return verdict->is_allowed;
}

static int take_many(struct throttle *throttle, const char *address, int count)
{
    struct throttle_verdict verdict;
    int allowed = 0;
    for (int i = 0; i < count; i++)
        allowed += take(throttle, address, &verdict);
    return allowed;
}

/* What one server let through the other one counts. */
static void test_one_after_the_other(void **state)
{
    struct nodes *nodes = *state;
    struct throttle_verdict verdict;
    assert_int_equal(take_many(nodes->throttles[0], "192.0.2.1", PER_MINUTE - 100), PER_MINUTE - 100);
    sleep_ms(SETTLE_MS);
    /* its first request tells the second server of them */
    assert_true(take(nodes->throttles[1], "192.0.2.1", &verdict));
    sleep_ms(SETTLE_MS);
    assert_true(take(nodes->throttles[1], "192.0.2.1", &verdict));
    assert_true(verdict.remaining < 100 + TOLERANCE);
    int allowed = take_many(nodes->throttles[1], "192.0.2.1", PER_MINUTE);
    assert_in_range(allowed, 90, 100 + TOLERANCE);
    /* and back */
    sleep_ms(SETTLE_MS);
    (void)take(nodes->throttles[0], "192.0.2.1", &verdict);
    sleep_ms(SETTLE_MS);
    assert_in_range(take_many(nodes->throttles[0], "192.0.2.1", PER_MINUTE), 0, TOLERANCE);
    /* nobody else is touched */
    assert_int_equal(take_many(nodes->throttles[1], "192.0.2.2", PER_MINUTE), PER_MINUTE);
}

struct taker {
    struct throttle *throttle;
    int64_t until_us;
    int allowed;
    pthread_t thread;
};

/* A caller who asks about 2,000 times a second. */
static void *taker_main(void *arg)
{
    struct taker *taker = arg;
    struct throttle_verdict verdict;
    while (clock_monotonic_us() < taker->until_us) {
        taker->allowed += take(taker->throttle, "192.0.2.1", &verdict);
        usleep(500);
    }
    return NULL;
}

/* One caller who asks two servers at once, without end. */
static void test_both_at_once(void **state)
{
    struct nodes *nodes = *state;
    enum { SECONDS = 3 };
    struct taker takers[2];
    for (int i = 0; i < 2; i++) {
        takers[i] = (struct taker){.throttle = nodes->throttles[i],
                                   .until_us = clock_monotonic_us() + SECONDS * INT64_C(1000000)};
        assert_int_equal(pthread_create(&takers[i].thread, NULL, taker_main, &takers[i]), 0);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(takers[i].thread, NULL);
    int allowed = takers[0].allowed + takers[1].allowed;
    /* the burst, what came back meanwhile, and what two servers let through between two exchanges */
    int expected = PER_MINUTE + SECONDS * PER_MINUTE / 60;
    if (getenv("SOUK_TEST_LOG"))
        printf("let through %d, the limit is %d\n", allowed, expected);
    assert_in_range(allowed, expected * 9 / 10, expected + 2 * 2000 * 2 * THROTTLE_SHARE_MS / 1000);
}

/* The bucket of the whole API too. */
static void test_whole(void **state)
{
    struct nodes *nodes = *state;
    for (int i = 0; i < LIMITS.whole_burst / 2; i++)
        assert_true(throttle_take_whole(nodes->throttles[0], clock_monotonic_us()));
    sleep_ms(SETTLE_MS);
    assert_true(throttle_take_whole(nodes->throttles[1], clock_monotonic_us()));
    int64_t begun_us = clock_monotonic_us();
    sleep_ms(SETTLE_MS);
    int allowed = 0;
    while (throttle_take_whole(nodes->throttles[1], clock_monotonic_us()))
        allowed++;
    int64_t passed_us = clock_monotonic_us() - begun_us + 2 * SETTLE_MS * INT64_C(1000);
    assert_true(allowed < LIMITS.whole_burst / 2 + (int)(passed_us * LIMITS.whole_per_second / 1000000) + 1);
}

/* Redis holds the callers' hashes, for no longer than their buckets are not full. */
static void test_what_redis_holds(void **state)
{
    struct nodes *nodes = *state;
    struct redis *redis = client_open(
        &nodes->servers,
        arena_format(&nodes->servers.arena, "redis://127.0.0.1:%d/2", nodes->server->port).ptr, 1000);
    assert_int_equal(take_many(nodes->throttles[0], "192.0.2.1", 20), 20);
    sleep_ms(SETTLE_MS / 2);
    struct redis_reply reply;
    assert_true(ask(redis, &nodes->servers.arena, "KEYS *", 0, &reply));
    assert_int_equal(reply.count, 1);
    assert_int_equal(reply.elements[0].text.len, strlen("souk:rate:") + 16);
    assert_true(WAIT_UNTIL(strcmp(ask_text(redis, &nodes->servers.arena, "DBSIZE", 0), "0") == 0,
                           20 * 60000 / PER_MINUTE + 5000));
    redis_free(redis);
}

/* Without Redis each counts for itself, at once and as exactly as ever; when it is back they count together.
 */
static void test_redis_is_away(void **state)
{
    struct nodes *nodes = *state;
    struct throttle_verdict verdict;
    server_kill(nodes->server);
    int64_t begun_us = clock_monotonic_us();
    for (int i = 0; i < 2; i++)
        assert_in_range(take_many(nodes->throttles[i], "192.0.2.3", PER_MINUTE + 100), PER_MINUTE,
                        PER_MINUTE + TOLERANCE);
    assert_true(clock_monotonic_us() - begun_us < 500000);
    sleep_ms(2 * SETTLE_MS);
    assert_in_range(take_many(nodes->throttles[0], "192.0.2.3", PER_MINUTE), 0, TOLERANCE);
    server_start(&nodes->servers, nodes->server);
    bool is_known =
        WAIT_UNTIL(take_many(nodes->throttles[0], "192.0.2.4", 1) == 1 &&
                       take(nodes->throttles[1], "192.0.2.4", &verdict) && verdict.remaining < PER_MINUTE / 2,
                   20000);
    assert_true(is_known);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(test_one_after_the_other), TEST(test_both_at_once),  TEST(test_whole),
        TEST(test_what_redis_holds),    TEST(test_redis_is_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
