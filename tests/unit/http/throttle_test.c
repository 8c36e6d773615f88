/* The arithmetic of token buckets, on a clock of our own. */
#include "base/check.h"
#include "base/crypto.h"
#include "http/throttle.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000)
#define START (1000 * SECOND)

static const struct throttle_limits LIMITS = {
    .whole_per_second = 10000,
    .whole_burst = 20000,
    .read_per_minute = 60, /* one a second to read, one in two seconds to write */
    .write_per_minute = 30,
    .login_per_minute = 20,
    .checkout_per_minute = 50,
};

static int begin(void **state)
{
    crypto_start();
    *state = throttle_new(&LIMITS);
    return 0;
}

static int end(void **state)
{
    throttle_free(*state);
    return 0;
}

static struct throttle_verdict take(struct throttle *throttle, const char *address,
                                    enum rate_class rate_class, int64_t now_us)
{
    struct throttle_verdict verdict;
    throttle_take(throttle, throttle_address(throttle, slice_from(address)), rate_class, now_us, &verdict);
    return verdict;
}

static void test_bucket(void **state)
{
    struct throttle *throttle = *state;
    for (int i = 0; i < 60; i++) {
        struct throttle_verdict verdict = take(throttle, "192.0.2.1", RATE_READ, START);
        assert_true(verdict.is_allowed);
        assert_int_equal(verdict.limit, 60);
        assert_int_equal(verdict.window_s, 60);
        assert_int_equal(verdict.remaining, 59 - i);
        assert_int_equal(verdict.reset_s, i + 1);
        assert_int_equal(verdict.retry_after_s, 0);
    }
    struct throttle_verdict verdict = take(throttle, "192.0.2.1", RATE_READ, START);
    assert_false(verdict.is_allowed);
    assert_int_equal(verdict.remaining, 0);
    assert_int_equal(verdict.retry_after_s, 1);
    /* being refused costs nothing, and one comes back each second, not earlier */
    assert_false(take(throttle, "192.0.2.1", RATE_READ, START + SECOND - 1).is_allowed);
    assert_true(take(throttle, "192.0.2.1", RATE_READ, START + SECOND).is_allowed);
    assert_false(take(throttle, "192.0.2.1", RATE_READ, START + SECOND).is_allowed);
    /* after a while of 10 s there are 10 */
    int allowed = 0;
    for (int i = 0; i < 20; i++)
        allowed += take(throttle, "192.0.2.1", RATE_READ, START + 11 * SECOND).is_allowed;
    assert_int_equal(allowed, 10);
    /* a full bucket does not overflow */
    allowed = 0;
    for (int i = 0; i < 200; i++)
        allowed += take(throttle, "192.0.2.1", RATE_READ, START + 10000 * SECOND).is_allowed;
    assert_int_equal(allowed, 60);
}

static int drain(struct throttle *throttle, const char *address, enum rate_class rate_class)
{
    int allowed = 0;
    while (take(throttle, address, rate_class, START).is_allowed)
        allowed++;
    return allowed;
}

static void test_classes_and_callers(void **state)
{
    struct throttle *throttle = *state;
    assert_int_equal(drain(throttle, "192.0.2.1", RATE_READ), 60);
    assert_int_equal(drain(throttle, "192.0.2.1", RATE_WRITE), 30);
    assert_int_equal(drain(throttle, "192.0.2.1", RATE_LOGIN), 10);
    assert_int_equal(drain(throttle, "192.0.2.1", RATE_CHECKOUT), 25);
    assert_int_equal(drain(throttle, "192.0.2.2", RATE_READ), 60);
    assert_int_equal(drain(throttle, "192.0.2.2", RATE_READ), 0);
    struct throttle_verdict verdict = take(throttle, "192.0.2.1", RATE_LOGIN, START);
    assert_int_equal(verdict.retry_after_s, 3);
    assert_int_equal(verdict.limit, 10);
    assert_int_equal(verdict.window_s, 30); /* the half of a minute that it holds */
}

static void test_callers(void **state)
{
    struct throttle *throttle = *state;
#define ADDRESS(text) throttle_address(throttle, SLICE(text))
    assert_true(ADDRESS("192.0.2.1") == ADDRESS("192.0.2.1"));
    assert_true(ADDRESS("192.0.2.1") != ADDRESS("192.0.2.10"));
    assert_true(ADDRESS("2001:db8::1") == ADDRESS("2001:db8::ffff:1")); /* one /64 */
    assert_true(ADDRESS("2001:db8::1") == ADDRESS("2001:0db8:0::2"));
    assert_true(ADDRESS("2001:db8::1") != ADDRESS("2001:db8:0:1::1"));
    assert_true(ADDRESS("not:an:address") != ADDRESS("another"));
    assert_true(ADDRESS("::ffff:192.0.2.1") == ADDRESS("192.0.2.1"));
    assert_true(ADDRESS("::ffff:192.0.2.1") != ADDRESS("::ffff:192.0.2.2"));
    assert_true(ADDRESS("::FFFF:c000:0201") == ADDRESS("192.0.2.1"));
    (void)ADDRESS("");
    struct uuid a = {{1}};
    struct uuid b = {{2}};
    assert_true(throttle_user(throttle, a) == throttle_user(throttle, a));
    assert_true(throttle_user(throttle, a) != throttle_user(throttle, b));
    struct throttle *other = throttle_new(&LIMITS);
    assert_true(throttle_user(throttle, a) != throttle_user(other, a)); /* nobody can aim from outside */
    throttle_free(other);
}

static void test_whole(void **state)
{
    struct throttle *throttle = *state;
    int allowed = 0;
    for (int i = 0; i < LIMITS.whole_burst + 100; i++)
        allowed += throttle_take_whole(throttle, START);
    assert_int_equal(allowed, LIMITS.whole_burst);
    allowed = 0;
    for (int i = 0; i < 3 * LIMITS.whole_per_second; i++)
        allowed += throttle_take_whole(throttle, START + SECOND);
    assert_int_equal(allowed, LIMITS.whole_per_second);
}

/* A caller's buckets with rates of their own: neither touches those of the classes nor each other. */
static void test_rates_of_plans(void **state)
{
    struct throttle *throttle = *state;
    struct throttle_verdict verdict;
    struct uuid id = {{7}};
    struct throttle_rate slow = throttle_rate_make(6, 2);
    const uint64_t callers[] = {
        throttle_key(throttle, id), throttle_key_from(throttle, id, SLICE("192.0.2.1")),
        throttle_key_from(throttle, id, SLICE("192.0.2.2")), throttle_address(throttle, SLICE("192.0.2.1"))};
    for (size_t i = 0; i < COUNT_OF(callers); i++) {
        for (int taken = 0; taken < 2; taken++) {
            throttle_take_at_rate(throttle, callers[i], slow, START, &verdict);
            assert_true(verdict.is_allowed);
            assert_int_equal(verdict.limit, 2);
            assert_int_equal(verdict.window_s, 20);
        }
        throttle_take_at_rate(throttle, callers[i], slow, START + 9 * SECOND, &verdict);
        assert_false(verdict.is_allowed);
        assert_int_equal(verdict.retry_after_s, 1);
        throttle_take_at_rate(throttle, callers[i], slow, START + 10 * SECOND, &verdict);
        assert_true(verdict.is_allowed);
    }
    assert_int_equal(drain(throttle, "192.0.2.1", RATE_READ), 60);
    /* a rate that was changed holds from now on: no debt at the old one is left */
    struct throttle_rate fast = throttle_rate_make(600, 100);
    throttle_take_at_rate(throttle, callers[0], fast, START + 10 * SECOND, &verdict);
    assert_false(verdict.is_allowed);
    assert_int_equal(verdict.retry_after_s, 1);
    throttle_take_at_rate(throttle, callers[0], fast, START + 10 * SECOND + SECOND / 10, &verdict);
    assert_true(verdict.is_allowed);
    struct throttle_rate least = throttle_rate_make(0, 0);
    assert_int_equal(least.interval_us, 60 * SECOND);
    assert_int_equal(least.burst, 1);
}

/* A crowd far larger than the table: who is over the limit stays so while others come and go once. */
static void test_crowd(void **state)
{
    struct throttle *throttle = *state;
    assert_int_equal(drain(throttle, "192.0.2.1", RATE_READ), 60);
    char address[32];
    for (int i = 0; i < 30000; i++) {
        snprintf(address, sizeof(address), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        assert_true(take(throttle, address, RATE_READ, START).is_allowed);
    }
    assert_false(take(throttle, "192.0.2.1", RATE_READ, START).is_allowed);
    for (int i = 0; i < 1000000; i++) { /* many times the table: it stays bounded and still answers */
        snprintf(address, sizeof(address), "11.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        assert_true(take(throttle, address, RATE_READ, START).is_allowed);
    }
}

struct taker {
    struct throttle *throttle;
    int allowed;
    int whole;
};

static void *taker_main(void *arg)
{
    struct taker *taker = arg;
    for (int i = 0; i < 10000; i++) {
        taker->allowed += take(taker->throttle, "192.0.2.1", RATE_READ, START).is_allowed;
        taker->whole += throttle_take_whole(taker->throttle, START);
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct taker takers[4];
    pthread_t threads[4];
    int allowed = 0;
    int whole = 0;
    for (int i = 0; i < 4; i++) {
        takers[i] = (struct taker){.throttle = *state};
        assert_int_equal(pthread_create(&threads[i], NULL, taker_main, &takers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        allowed += takers[i].allowed;
        whole += takers[i].whole;
    }
    assert_int_equal(allowed, 60);
    assert_int_equal(whole, LIMITS.whole_burst);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(test_bucket),  TEST(test_classes_and_callers), TEST(test_callers),
        TEST(test_whole),   TEST(test_rates_of_plans),      TEST(test_crowd),
        TEST(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
