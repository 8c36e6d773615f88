/* Embedded Metric Format: what happened since the last flush, grouped by labels, one line a group. */
#include "base/metrics_emf.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/json_writer.h"
#include "base/limits.h"
#include "base/metrics_private.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Of the specification: metrics of one directive, values of one metric in one line. */
#define METRICS_A_LINE_MAX 100
#define VALUES_A_METRIC_MAX 100

#define GAUGES_INTERVAL_MS INT64_C(60000)
#define LABELS_MAX 4

/* Durations are kept in eight steps for each power of two: within 6 % of what was measured, as exact as
 * CloudWatch's own percentiles. */
#define STEPS_LOG2 3
#define STEPS (1u << STEPS_LOG2)
#define SAMPLE_US_MAX ((UINT64_C(1) << 28) - 1) /* longer counts as this: 268 s */
#define SAMPLE_BUCKETS ((28 - STEPS_LOG2 + 1) * STEPS)

struct histogram_samples {
    _Atomic uint32_t counts[SAMPLE_BUCKETS];
};

static struct {
    _Atomic bool is_on;
    char service[METRICS_DIMENSION_BYTES_MAX + 1];
    char stage[METRICS_DIMENSION_BYTES_MAX + 1];
    pthread_mutex_t lock; /* of a flush */
    int64_t gauges_at_ms; /* when all gauges were written */
} emf = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void copy_text(char *to, struct slice text)
{
    size_t len = text.len < METRICS_DIMENSION_BYTES_MAX ? text.len : METRICS_DIMENSION_BYTES_MAX;
    memcpy(to, text.ptr, len);
    to[len] = '\0';
}

void metrics_emf_start(struct slice service, struct slice stage)
{
    copy_text(emf.service, service);
    copy_text(emf.stage, stage);
    atomic_store_explicit(&emf.is_on, true, memory_order_release);
}

bool metrics_emf_is_on(void)
{
    return atomic_load_explicit(&emf.is_on, memory_order_acquire);
}

/* ---- observing ---- */

static size_t sample_bucket(uint64_t us)
{
    if (us < STEPS)
        return (size_t)us;
    if (us > SAMPLE_US_MAX)
        us = SAMPLE_US_MAX;
    unsigned top = 63u - (unsigned)__builtin_clzll(us);
    unsigned shift = top - STEPS_LOG2;
    return (size_t)(shift + 1) * STEPS + ((us >> shift) & (STEPS - 1));
}

/* The middle of what counts into the bucket. */
static double sample_seconds(size_t bucket)
{
    if (bucket < STEPS)
        return (double)bucket / 1e6;
    unsigned shift = (unsigned)(bucket / STEPS) - 1;
    double low = (double)((UINT64_C(1) << (shift + STEPS_LOG2)) + ((uint64_t)(bucket % STEPS) << shift));
    double width = (double)(UINT64_C(1) << shift);
    return (low + (width - 1) / 2) / 1e6;
}

void metrics_emf_observe(struct histogram *histogram, uint64_t us)
{
    if (!atomic_load_explicit(&emf.is_on, memory_order_relaxed))
        return;
    struct histogram_samples *samples = atomic_load_explicit(&histogram->fine, memory_order_acquire);
    if (samples == NULL) {
        struct histogram_samples *made = calloc(1, sizeof(*made));
        CHECK(made != NULL);
        if (atomic_compare_exchange_strong(&histogram->fine, &samples, made))
            samples = made;
        else
            free(made);
    }
    atomic_fetch_add_explicit(&samples->counts[sample_bucket(us)], 1, memory_order_relaxed);
}

/* ---- what is to be written ---- */

/* One metric of a flush; a histogram with more values than fit is several. */
struct item {
    const char *name;
    struct slice labels; /* as of a metric */
    bool is_gauge;
    int64_t value;
    /* Of a histogram: */
    const double *values;
    const uint32_t *counts;
    size_t value_count;
    unsigned part; /* 0, 1, ...: two of one name cannot stand in one line */
};

struct items {
    struct item *list;
    size_t count, room;
};

static void item_add(struct items *items, const struct item *item)
{
    if (items->count < items->room)
        items->list[items->count++] = *item;
}

static void take_metric(struct items *items, struct metric *metric, bool with_gauges)
{
    int64_t value = atomic_load_explicit(&metric->value, memory_order_relaxed);
    int64_t change = value - metric->flushed;
    bool is_gauge = metric->kind == METRIC_GAUGE;
    if (change == 0 && !(is_gauge && with_gauges))
        return;
    metric->flushed = value;
    item_add(items, &(struct item){.name = metric->name,
                                   .labels = slice_from(metric->label),
                                   .is_gauge = is_gauge,
                                   .value = is_gauge ? value : change});
}

static void take_histogram(struct items *items, struct arena *arena, struct histogram *histogram)
{
    struct histogram_samples *samples = atomic_load_explicit(&histogram->fine, memory_order_acquire);
    if (samples == NULL)
        return;
    double *values = arena_try_alloc(arena, SAMPLE_BUCKETS * sizeof(*values));
    uint32_t *counts = arena_try_alloc(arena, SAMPLE_BUCKETS * sizeof(*counts));
    if (values == NULL || counts == NULL)
        return;
    size_t count = 0;
    for (size_t i = 0; i < SAMPLE_BUCKETS; i++) {
        uint32_t taken = atomic_exchange_explicit(&samples->counts[i], 0, memory_order_relaxed);
        if (taken == 0)
            continue;
        values[count] = sample_seconds(i);
        counts[count++] = taken;
    }
    struct slice labels = SLICE_ABSENT;
    if (count > 0 && histogram->label_name != NULL)
        labels = arena_format(arena, "%s=\"%s\"", histogram->label_name, histogram->label_value);
    for (size_t at = 0; at < count; at += VALUES_A_METRIC_MAX)
        item_add(items, &(struct item){.name = histogram->name,
                                       .labels = labels,
                                       .values = values + at,
                                       .counts = counts + at,
                                       .value_count = count - at < VALUES_A_METRIC_MAX ? count - at
                                                                                       : VALUES_A_METRIC_MAX,
                                       .part = (unsigned)(at / VALUES_A_METRIC_MAX)});
}

static int compare_slices(struct slice a, struct slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* What belongs on one line stands together: equal labels, equal parts; gauges last. */
static int compare_items(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    int order = compare_slices(x->labels, y->labels);
    if (order == 0)
        order = (x->part > y->part) - (x->part < y->part);
    if (order == 0)
        order = x->is_gauge - y->is_gauge;
    return order != 0 ? order : strcmp(x->name, y->name);
}

static void items_take(struct items *items, struct arena *arena, bool with_gauges)
{
    size_t most = 0;
    for (struct metric *m = metrics_first(); m != NULL; m = m->next)
        most++;
    for (struct histogram *h = histograms_first(); h != NULL; h = h->next)
        most += (SAMPLE_BUCKETS + VALUES_A_METRIC_MAX - 1) / VALUES_A_METRIC_MAX;
    *items = (struct items){.list = arena_try_alloc(arena, (most + 1) * sizeof(struct item)), .room = most};
    if (items->list == NULL)
        return;
    for (struct metric *m = metrics_first(); m != NULL; m = m->next)
        take_metric(items, m, with_gauges);
    for (struct histogram *h = histograms_first(); h != NULL; h = h->next)
        take_histogram(items, arena, h);
    qsort(items->list, items->count, sizeof(struct item), compare_items);
}

/* ---- writing ---- */

struct label {
    struct slice name, value;
};

static size_t labels_of(struct slice text, struct label labels[LABELS_MAX])
{
    size_t count = 0;
    while (count < LABELS_MAX && metric_label_next(&text, &labels[count].name, &labels[count].value))
        count++;
    return count;
}

/* ["service","stage", the labels from `first` on] */
static void write_dimensions(struct json_writer *json, const struct label *labels, size_t count, size_t first)
{
    json_array_begin(json);
    json_text(json, SLICE("service"));
    json_text(json, SLICE("stage"));
    for (size_t i = first; i < count; i++)
        json_text(json, labels[i].name);
    json_array_end(json);
}

/* Of metrics that are all gauges or all none: gauges of two replicas do not add up. */
static void write_directive(struct json_writer *json, const struct item *items, size_t count,
                            const struct label *labels, size_t label_count)
{
    if (count == 0)
        return;
    json_object_begin(json);
    json_field_string(json, "Namespace", SLICE(METRICS_NAMESPACE));
    json_field_array_begin(json, "Dimensions");
    for (size_t first = 0; first <= (items[0].is_gauge ? 0 : label_count); first++)
        write_dimensions(json, labels, label_count, first);
    json_array_end(json);
    json_field_array_begin(json, "Metrics");
    for (size_t i = 0; i < count; i++) {
        json_object_begin(json);
        json_field_string(json, "Name", slice_from(items[i].name));
        json_field_string(json, "Unit", slice_from(metric_unit(items[i].name)));
        json_object_end(json);
    }
    json_array_end(json);
    json_object_end(json);
}

static void write_number(struct json_writer *json, double value)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%.9g", value);
    json_raw(json, (struct slice){text, (size_t)len});
}

/* Few values stand one by one, as the specification has it; many as the histogram that AWS's own collector
 * writes and CloudWatch takes (opentelemetry-collector-contrib, awsemfexporter). */
static void write_values(struct json_writer *json, const struct item *item)
{
    uint64_t total = 0;
    double sum = 0;
    for (size_t i = 0; i < item->value_count; i++) {
        total += item->counts[i];
        sum += item->values[i] * item->counts[i];
    }
    if (total <= VALUES_A_METRIC_MAX) {
        json_array_begin(json);
        for (size_t i = 0; i < item->value_count; i++)
            for (uint32_t n = 0; n < item->counts[i]; n++)
                write_number(json, item->values[i]);
        json_array_end(json);
        return;
    }
    json_object_begin(json);
    json_field_array_begin(json, "Values");
    for (size_t i = 0; i < item->value_count; i++)
        write_number(json, item->values[i]);
    json_array_end(json);
    json_field_array_begin(json, "Counts");
    for (size_t i = 0; i < item->value_count; i++)
        json_int(json, item->counts[i]);
    json_array_end(json);
    json_key(json, "Min");
    write_number(json, item->values[0]);
    json_key(json, "Max");
    write_number(json, item->values[item->value_count - 1]);
    json_field_int(json, "Count", (int64_t)total);
    json_key(json, "Sum");
    write_number(json, sum);
    json_object_end(json);
}

static void write_label(struct json_writer *json, const struct label *label)
{
    char name[METRICS_DIMENSION_BYTES_MAX + 1];
    copy_text(name, label->name);
    json_field_string(json, name, label->value);
}

static void write_line(struct buf *out, const struct item *items, size_t count, int64_t now_ms)
{
    struct label labels[LABELS_MAX];
    size_t label_count = labels_of(items[0].labels, labels);
    size_t sums = 0;
    while (sums < count && !items[sums].is_gauge)
        sums++;
    struct json_writer json;
    json_init(&json, out);
    json_object_begin(&json);
    json_field_object_begin(&json, "_aws");
    json_field_int(&json, "Timestamp", now_ms);
    json_field_array_begin(&json, "CloudWatchMetrics");
    write_directive(&json, items, sums, labels, label_count);
    write_directive(&json, items + sums, count - sums, labels, label_count);
    json_array_end(&json);
    json_object_end(&json);
    json_field_string(&json, "service", slice_from(emf.service));
    json_field_string(&json, "stage", slice_from(emf.stage));
    for (size_t i = 0; i < label_count; i++)
        write_label(&json, &labels[i]);
    for (size_t i = 0; i < count; i++) {
        json_key(&json, items[i].name);
        if (items[i].value_count > 0)
            write_values(&json, &items[i]);
        else
            json_int(&json, items[i].value);
    }
    json_object_end(&json);
    buf_append_char(out, '\n');
}

static bool is_same_line(const struct item *a, const struct item *b)
{
    return a->part == b->part && slice_equals(a->labels, b->labels);
}

void metrics_emf_flush(struct buf *out)
{
    if (!metrics_emf_is_on())
        return;
    int64_t now_ms = clock_now_ms();
    struct items items;
    pthread_mutex_lock(&emf.lock);
    bool with_gauges = now_ms - emf.gauges_at_ms >= GAUGES_INTERVAL_MS;
    if (with_gauges)
        emf.gauges_at_ms = now_ms;
    items_take(&items, out->arena, with_gauges);
    for (size_t at = 0, end; at < items.count; at = end) {
        end = at + 1;
        while (end < items.count && end - at < METRICS_A_LINE_MAX &&
               is_same_line(&items.list[at], &items.list[end]))
            end++;
        write_line(out, items.list + at, end - at, now_ms);
    }
    pthread_mutex_unlock(&emf.lock);
}

void metrics_emf_write(struct arena *scratch)
{
    size_t mark = arena_mark(scratch);
    struct buf out;
    struct slice rest, line;
    buf_init(&out, scratch);
    metrics_emf_flush(&out);
    rest = buf_slice(&out);
    while (slice_split(&rest, '\n', &line) && !slice_is_absent(rest)) {
        while (write(STDOUT_FILENO, line.ptr, line.len + 1) < 0 && errno == EINTR)
            continue;
    }
    arena_rewind(scratch, mark);
}
