/* metrics_emf.h: the lines that CloudWatch reads, by the text of the specification: what a line must hold,
 * what is added up over which dimensions, how many metrics and values one line may have. */
#include "base_test.h"

#include "base/metrics_emf.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static struct arena arena;
static struct buf out;

static int set_up(void **state)
{
    (void)state;
    if (!arena_init(&arena, (size_t)8 << 20))
        return -1;
    buf_init(&out, &arena);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

static struct metric PLAIN = METRIC("t_orders_total", "Orders", NULL, METRIC_COUNTER);
static struct metric OK =
    METRIC("t_requests_total", "Requests", "operation=\"a\",status=\"2xx\"", METRIC_COUNTER);
static struct metric DEPTH = METRIC("t_depth", "Waiting", "pool=\"x\"", METRIC_GAUGE);
static struct histogram TIME = HISTOGRAM("t_duration_seconds", "Time", "operation", "a");
static struct histogram LONG = HISTOGRAM("t_long_seconds", "Time", NULL, NULL);

static struct slice line_with(const char *text)
{
    struct slice rest = buf_slice(&out), line;
    while (slice_split(&rest, '\n', &line)) {
        if (memmem(line.ptr, line.len, text, strlen(text)) != NULL)
            return line;
    }
    return SLICE_ABSENT;
}

static bool has(struct slice line, const char *text)
{
    return line.len > 0 && memmem(line.ptr, line.len, text, strlen(text)) != NULL;
}

static void flush(void)
{
    arena_reset(&arena);
    buf_init(&out, &arena);
    metrics_emf_flush(&out);
    assert_false(out.overflow);
}

/* Runs first. */
static void is_silent_until_it_is_started(void **state)
{
    (void)state;
    metric_add(&PLAIN, 1);
    histogram_observe_us(&TIME, 1000);
    flush();
    assert_int_equal(out.len, 0);
    metrics_emf_start(SLICE("shop"), SLICE("test"));
}

static void writes_what_came_on_top(void **state)
{
    (void)state;
    flush(); /* of the test before */
    metric_add(&PLAIN, 2);
    metric_add(&PLAIN, 3);
    flush();
    struct slice line = line_with("t_orders_total");
    const char *begin = "{\"_aws\":{\"Timestamp\":";
    assert_memory_equal(line.ptr, begin, strlen(begin));
    assert_true(
        has(line, ",\"CloudWatchMetrics\":[{\"Namespace\":\"souk\",\"Dimensions\":[[\"service\",\"stage\"]],"
                  "\"Metrics\":[{\"Name\":\"t_orders_total\",\"Unit\":\"Count\"}]}]},"
                  "\"service\":\"shop\",\"stage\":\"test\",\"t_orders_total\":5}"));
    flush();
    assert_int_equal(out.len, 0); /* nothing happened */
}

static void adds_up_over_labels(void **state)
{
    (void)state;
    metric_add(&OK, 4);
    flush();
    struct slice line = line_with("t_requests_total");
    assert_true(has(line, "\"Dimensions\":[[\"service\",\"stage\",\"operation\",\"status\"],"
                          "[\"service\",\"stage\",\"status\"],[\"service\",\"stage\"]]"));
    assert_true(has(line, "\"operation\":\"a\",\"status\":\"2xx\",\"t_requests_total\":4}"));
}

/* Two queues are not one; a gauge may go down. */
static void does_not_add_up_gauges(void **state)
{
    (void)state;
    metric_set(&DEPTH, 7);
    flush();
    assert_true(has(line_with("t_depth"), "\"Dimensions\":[[\"service\",\"stage\",\"pool\"]]"));
    metric_set(&DEPTH, 3);
    flush();
    assert_true(has(line_with("t_depth"), "\"pool\":\"x\",\"t_depth\":3}"));
}

static double number_behind(struct slice line, const char *key)
{
    const char *at = memmem(line.ptr, line.len, key, strlen(key));
    assert_non_null(at);
    return strtod(at + strlen(key), NULL);
}

static void writes_few_values_one_by_one(void **state)
{
    (void)state;
    histogram_observe_us(&TIME, 0);
    histogram_observe_us(&TIME, 5);
    flush();
    assert_true(has(line_with("t_duration_seconds"), "\"t_duration_seconds\":[0,5e-06]}"));
    assert_true(
        has(line_with("t_duration_seconds"), "{\"Name\":\"t_duration_seconds\",\"Unit\":\"Seconds\"}"));
    histogram_observe_us(&TIME, 4);
    flush();
    assert_true(has(line_with("t_duration_seconds"), "\"t_duration_seconds\":[4e-06]}"));
}

/* From 1 us to 268 s; what lasts longer counts as that. */
static void is_exact_within_six_percent(void **state)
{
    (void)state;
    for (int64_t us = 1; us < INT64_C(268000000); us = us * 21 / 20 + 1) {
        histogram_observe_us(&LONG, us);
        flush();
        double found_s = number_behind(line_with("t_long_seconds"), "\"t_long_seconds\":[");
        double error = found_s * 1e6 / (double)us - 1;
        assert_true(error < 0.0625 && error > -0.0625);
    }
    histogram_observe_us(&LONG, INT64_MAX);
    flush();
    double longest_s = number_behind(line_with("t_long_seconds"), "\"t_long_seconds\":[");
    assert_true(longest_s > 250 && longest_s < 270);
}

static size_t count_of(struct slice line, const char *text)
{
    size_t count = 0;
    const char *found;
    while (line.len > 0 && (found = memmem(line.ptr, line.len, text, strlen(text))) != NULL) {
        count++;
        line = slice_skip(line, (size_t)(found - line.ptr) + 1);
    }
    return count;
}

/* Many values are a histogram, of at most a hundred different ones in a line. */
static void writes_many_values_as_histograms(void **state)
{
    (void)state;
    int64_t observed = 0;
    for (int64_t us = 1; us < INT64_C(100000000); us = us * 101 / 100 + 1, observed++)
        histogram_observe_us(&LONG, us);
    flush();
    struct slice rest = buf_slice(&out), line;
    int64_t counted = 0;
    size_t lines = 0;
    while (slice_split(&rest, '\n', &line)) {
        if (!has(line, "t_long_seconds"))
            continue;
        lines++;
        const char *values = memmem(line.ptr, line.len, "\"Values\":[", 10);
        assert_non_null(values);
        const char *end = memchr(values, ']', line.len - (size_t)(values - line.ptr));
        assert_true(count_of((struct slice){values, (size_t)(end - values)}, ",") < 100);
        counted += (int64_t)number_behind(line, "\"Count\":");
        assert_true(number_behind(line, "\"Min\":") <= number_behind(line, "\"Max\":"));
    }
    assert_int_equal(lines, 2);
    assert_int_equal(counted, observed);
}

#define MANY 250

static void puts_at_most_a_hundred_metrics_on_a_line(void **state)
{
    (void)state;
    static struct metric many[MANY];
    static char names[MANY][32];
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof(names[i]), "t_many_%03d_total", i);
        many[i] = (struct metric)METRIC(names[i], "Many", NULL, METRIC_COUNTER);
        metric_add(&many[i], 1);
    }
    flush();
    struct slice rest = buf_slice(&out), line;
    size_t lines = 0, metrics = 0;
    while (slice_split(&rest, '\n', &line)) {
        size_t here = count_of(line, "{\"Name\":\"t_many_");
        assert_true(here <= 100);
        metrics += here;
        lines += here > 0;
    }
    assert_int_equal(metrics, MANY);
    assert_int_equal(lines, 3);
}

#define THREADS 4
#define ROUNDS 20000

static void *observe(void *arg)
{
    for (int i = 0; i < ROUNDS; i++)
        histogram_observe_us(arg, i);
    return NULL;
}

/* In a line whose values are the last of its members, one by one or as a histogram. */
static int64_t observations(struct slice line)
{
    if (line.len == 0)
        return 0;
    if (has(line, "\"Count\":"))
        return (int64_t)number_behind(line, "\"Count\":");
    const char *values = memmem(line.ptr, line.len, "_seconds\":[", 11);
    return 1 + (int64_t)count_of(slice_skip(line, (size_t)(values - line.ptr)), ",");
}

/* Whatever runs meanwhile is in this flush or in the next, once. */
static void loses_nothing_beside_threads(void **state)
{
    (void)state;
    static struct histogram busy = HISTOGRAM("t_busy_seconds", "Time", NULL, NULL);
    pthread_t threads[THREADS];
    int64_t counted = 0;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, observe, &busy), 0);
    for (int round = 0; round <= 100; round++) {
        if (round == 100) {
            for (int i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
        }
        flush();
        counted += observations(line_with("\"t_busy_seconds\":"));
    }
    assert_int_equal(counted, THREADS * ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(is_silent_until_it_is_started, set_up, tear_down),
        cmocka_unit_test_setup_teardown(writes_what_came_on_top, set_up, tear_down),
        cmocka_unit_test_setup_teardown(adds_up_over_labels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(does_not_add_up_gauges, set_up, tear_down),
        cmocka_unit_test_setup_teardown(writes_few_values_one_by_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(is_exact_within_six_percent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(writes_many_values_as_histograms, set_up, tear_down),
        cmocka_unit_test_setup_teardown(puts_at_most_a_hundred_metrics_on_a_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(loses_nothing_beside_threads, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
