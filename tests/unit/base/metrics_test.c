/* metrics.h: the exact text for Prometheus, and counting from many threads.
 * The registry is one for the process and never forgets, so that each test looks for its own names only. */
#include "base_test.h"

#include "base/metrics.h"

#include <pthread.h>
#include <stdio.h>

static struct arena arena;
static struct buf out;

static int set_up(void **state)
{
    (void)state;
    if (!arena_init(&arena, (size_t)1 << 20))
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

static bool rendered_has(const char *text)
{
    return memmem(out.ptr, out.len, text, strlen(text)) != NULL;
}

static size_t rendered_times(const char *text)
{
    size_t count = 0;
    struct slice rest = buf_slice(&out);
    const char *found;
    while ((found = memmem(rest.ptr, rest.len, text, strlen(text))) != NULL) {
        count++;
        rest = slice_skip(rest, (size_t)(found - rest.ptr) + 1);
    }
    return count;
}

static struct metric ORDERS = METRIC("t_orders_total", "Orders placed", NULL, METRIC_COUNTER);
static struct metric MISS =
    METRIC("t_cache_total", "Look-ups\\in\nthe cache", "result=\"miss\"", METRIC_COUNTER);
static struct metric HIT =
    METRIC("t_cache_total", "Look-ups\\in\nthe cache", "result=\"hit\"", METRIC_COUNTER);
static struct metric BUSY = METRIC("t_busy", "Workers at work", NULL, METRIC_GAUGE);
static struct metric UNUSED = METRIC("t_unused", "Never counted", NULL, METRIC_GAUGE);
static struct histogram SLOW =
    HISTOGRAM("t_duration_seconds", "Time of a request", "operation", "a\"b\\c\nd");
static struct histogram FAST = HISTOGRAM("t_duration_seconds", "Time of a request", "operation", "a");
static struct histogram BARE = HISTOGRAM("t_bare_seconds", "Without label", NULL, NULL);

/* Runs first, when nothing else is registered: the whole text. */
static void renders_exactly(void **state)
{
    (void)state;
    metrics_render(&out);
    assert_text(buf_slice(&out), "");

    metric_add(&MISS, 1);
    metric_add(&ORDERS, 2);
    metric_add(&ORDERS, 3);
    metric_add(&HIT, 0);
    metric_set(&BUSY, 7);
    metric_add(&BUSY, -9);
    histogram_observe_us(&SLOW, 50);
    histogram_observe_us(&SLOW, 51);
    histogram_observe_us(&SLOW, 10000000);
    histogram_observe_us(&SLOW, 10000001);
    histogram_observe_us(&SLOW, -5);
    histogram_observe_us(&FAST, 1000);
    metrics_render(&out);
    assert_false(out.overflow);
    assert_false(rendered_has(UNUSED.name));

#define SERIES_SLOW "t_duration_seconds_bucket{operation=\"a\\\"b\\\\c\\nd\",le="
#define SERIES_FAST "t_duration_seconds_bucket{operation=\"a\",le="
    assert_text(buf_slice(&out),
                "# HELP t_busy Workers at work\n"
                "# TYPE t_busy gauge\n"
                "t_busy -2\n"
                "# HELP t_cache_total Look-ups\\\\in\\nthe cache\n"
                "# TYPE t_cache_total counter\n"
                "t_cache_total{result=\"hit\"} 0\n"
                "t_cache_total{result=\"miss\"} 1\n"
                "# HELP t_orders_total Orders placed\n"
                "# TYPE t_orders_total counter\n"
                "t_orders_total 5\n"
                "# HELP t_duration_seconds Time of a request\n"
                "# TYPE t_duration_seconds histogram\n"                                                    //
                SERIES_FAST "\"0.00005\"} 0\n" SERIES_FAST "\"0.0001\"} 0\n" SERIES_FAST "\"0.0002\"} 0\n" //
                SERIES_FAST "\"0.0003\"} 0\n" SERIES_FAST "\"0.0005\"} 0\n" SERIES_FAST "\"0.001\"} 1\n"   //
                SERIES_FAST "\"0.002\"} 1\n" SERIES_FAST "\"0.005\"} 1\n" SERIES_FAST "\"0.01\"} 1\n"      //
                SERIES_FAST "\"0.02\"} 1\n" SERIES_FAST "\"0.05\"} 1\n" SERIES_FAST "\"0.1\"} 1\n"         //
                SERIES_FAST "\"0.2\"} 1\n" SERIES_FAST "\"0.5\"} 1\n" SERIES_FAST "\"1\"} 1\n"             //
                SERIES_FAST "\"2\"} 1\n" SERIES_FAST "\"5\"} 1\n" SERIES_FAST "\"10\"} 1\n"                //
                SERIES_FAST "\"+Inf\"} 1\n"
                "t_duration_seconds_sum{operation=\"a\"} 0.001000\n"
                "t_duration_seconds_count{operation=\"a\"} 1\n"                                            //
                SERIES_SLOW "\"0.00005\"} 2\n" SERIES_SLOW "\"0.0001\"} 3\n" SERIES_SLOW "\"0.0002\"} 3\n" //
                SERIES_SLOW "\"0.0003\"} 3\n" SERIES_SLOW "\"0.0005\"} 3\n" SERIES_SLOW "\"0.001\"} 3\n"   //
                SERIES_SLOW "\"0.002\"} 3\n" SERIES_SLOW "\"0.005\"} 3\n" SERIES_SLOW "\"0.01\"} 3\n"      //
                SERIES_SLOW "\"0.02\"} 3\n" SERIES_SLOW "\"0.05\"} 3\n" SERIES_SLOW "\"0.1\"} 3\n"         //
                SERIES_SLOW "\"0.2\"} 3\n" SERIES_SLOW "\"0.5\"} 3\n" SERIES_SLOW "\"1\"} 3\n"             //
                SERIES_SLOW "\"2\"} 3\n" SERIES_SLOW "\"5\"} 3\n" SERIES_SLOW "\"10\"} 4\n"                //
                SERIES_SLOW "\"+Inf\"} 5\n"
                "t_duration_seconds_sum{operation=\"a\\\"b\\\\c\\nd\"} 20.000102\n"
                "t_duration_seconds_count{operation=\"a\\\"b\\\\c\\nd\"} 5\n");
}

static void renders_without_label(void **state)
{
    (void)state;
    histogram_observe_us(&BARE, 1500000);
    metrics_render(&out);
    assert_true(rendered_has("\nt_bare_seconds_bucket{le=\"1\"} 0\nt_bare_seconds_bucket{le=\"2\"} 1\n"));
    assert_true(rendered_has("\nt_bare_seconds_sum 1.500000\nt_bare_seconds_count 1\n"));
}

static void count_down(void)
{
    metric_add(&ORDERS, -1);
}

static void counters_only_go_up(void **state)
{
    (void)state;
    assert_aborts(count_down);
}

#define THREADS 8
#define ROUNDS 5000
#define MANY 40

static struct metric many[MANY];
static struct histogram many_histograms[MANY];

static void *count_all(void *unused)
{
    (void)unused;
    for (int round = 0; round < ROUNDS; round++) {
        metric_add(&many[round % MANY], 1);
        histogram_observe_us(&many_histograms[round % MANY], round);
    }
    return NULL;
}

static void *render_often(void *unused)
{
    (void)unused;
    struct arena own;
    if (!arena_init(&own, (size_t)1 << 20))
        return NULL;
    for (int round = 0; round < 50; round++) {
        struct buf text;
        buf_init(&text, &own);
        metrics_render(&text);
        arena_reset(&own);
    }
    arena_release(&own);
    return NULL;
}

static void counts_from_many_threads(void **state)
{
    (void)state;
    static char labels[MANY][16];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(labels[i], sizeof(labels[i]), "n=\"%02zu\"", i);
        many[i].name = "t_many_total";
        many[i].help = "Many";
        many[i].label = labels[i];
        many_histograms[i].name = "t_many_seconds";
        many_histograms[i].help = "Many";
        many_histograms[i].label_name = "n";
        many_histograms[i].label_value = labels[i];
    }
    pthread_t threads[THREADS + 1];
    for (size_t i = 0; i <= THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i < THREADS ? count_all : render_often, NULL), 0);
    for (size_t i = 0; i <= THREADS; i++)
        pthread_join(threads[i], NULL);
    metrics_render(&out);
    assert_int_equal(rendered_times("# HELP t_many_total "), 1);
    assert_int_equal(rendered_times("# TYPE t_many_total "), 1);
    assert_int_equal(rendered_times("\nt_many_total{n="),
                     MANY); /* each is listed once, though all raced to register */
    assert_int_equal(rendered_times("# TYPE t_many_seconds histogram"), 1);
    assert_int_equal(rendered_times("\nt_many_seconds_count{"), MANY);
    for (size_t i = 0; i < MANY; i++) {
        char line[64];
        snprintf(line, sizeof(line), "\nt_many_total{n=\"%02zu\"} %d\n", i, THREADS * ROUNDS / MANY);
        assert_true(rendered_has(line));
    }
}

static void says_when_it_does_not_fit(void **state)
{
    (void)state;
    struct arena small;
    assert_true(arena_init(&small, 4096));
    struct buf text;
    buf_init(&text, &small);
    metrics_render(&text);
    assert_true(text.overflow);
    /* Not even the room to sort them. */
    arena_reset(&small);
    while (arena_try_alloc(&small, 1) != NULL)
        continue;
    buf_init(&text, &small);
    metrics_render(&text);
    assert_true(text.overflow);
    arena_release(&small);
}

#define with_arena(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_arena(renders_exactly),           with_arena(renders_without_label),
        with_arena(counters_only_go_up),       with_arena(counts_from_many_threads),
        with_arena(says_when_it_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
