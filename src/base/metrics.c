/* The registry of metrics: two lists that only grow, and their rendering for Prometheus.
 * Registration is a compare-and-swap on the metric's own flag and one on the list's head: no lock, so that
 * any thread may count anywhere. */
#include "base/metrics_private.h"

#include "base/check.h"
#include "base/json_writer.h"

#include <stdlib.h>

static struct metric *_Atomic metric_list;
static struct histogram *_Atomic histogram_list;

/* The linker gathers the list's entries between these. Weak, since a program without any has no such section.
 */
extern struct metric *const __start_souk_metrics[] __attribute__((weak, visibility("hidden")));
extern struct metric *const __stop_souk_metrics[] __attribute__((weak, visibility("hidden")));
extern struct histogram *const __start_souk_histograms[] __attribute__((weak, visibility("hidden")));
extern struct histogram *const __stop_souk_histograms[] __attribute__((weak, visibility("hidden")));

/* The upper bounds, in the unit that is measured and as they are shown. */
static const struct {
    uint64_t us;
    const char *seconds;
} BOUNDS[HISTOGRAM_BUCKETS] = {
    {50, "0.00005"}, {100, "0.0001"}, {200, "0.0002"}, {300, "0.0003"}, {500, "0.0005"}, {1000, "0.001"},
    {2000, "0.002"}, {5000, "0.005"}, {10000, "0.01"}, {20000, "0.02"}, {50000, "0.05"}, {100000, "0.1"},
    {200000, "0.2"}, {500000, "0.5"}, {1000000, "1"},  {2000000, "2"},  {5000000, "5"},  {10000000, "10"},
};

/* True for the one caller that is to put the metric on its list. */
static bool claim(_Atomic int *registered)
{
    int unregistered = 0;
    return atomic_load_explicit(registered, memory_order_relaxed) == 0 &&
           atomic_compare_exchange_strong_explicit(registered, &unregistered, 1, memory_order_relaxed,
                                                   memory_order_relaxed);
}

static void metric_register(struct metric *metric)
{
    if (!claim(&metric->registered))
        return;
    metric->next = atomic_load_explicit(&metric_list, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&metric_list, &metric->next, metric, memory_order_release,
                                                  memory_order_relaxed))
        continue;
}

static void histogram_register(struct histogram *histogram)
{
    if (!claim(&histogram->registered))
        return;
    histogram->next = atomic_load_explicit(&histogram_list, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&histogram_list, &histogram->next, histogram,
                                                  memory_order_release, memory_order_relaxed))
        continue;
}

void metric_add(struct metric *metric, int64_t amount)
{
    CHECK(metric->kind == METRIC_GAUGE || amount >= 0);
    CHECK(!metric->is_family);
    metric_register(metric);
    atomic_fetch_add_explicit(&metric->value, amount, memory_order_relaxed);
}

void metric_set(struct metric *metric, int64_t value)
{
    metric_register(metric);
    atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

void histogram_observe_us(struct histogram *histogram, int64_t duration_us)
{
    uint64_t us = duration_us > 0 ? (uint64_t)duration_us : 0;
    size_t bucket = 0;
    while (bucket < HISTOGRAM_BUCKETS && us > BOUNDS[bucket].us)
        bucket++;
    CHECK(!histogram->is_family);
    histogram_register(histogram);
    metrics_emf_observe(histogram, us);
    atomic_fetch_add_explicit(&histogram->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_us, us, memory_order_relaxed);
}

struct metric metric_of_family(const struct metric *family, const char *label)
{
    CHECK(family->is_family);
    return (struct metric)METRIC(family->name, family->help, label, family->kind);
}

void histogram_of_family(struct histogram *histogram, const struct histogram *family, const char *label_value)
{
    CHECK(family->is_family);
    histogram->name = family->name;
    histogram->help = family->help;
    histogram->label_name = family->label_name;
    histogram->label_value = label_value;
}

struct metric *metrics_first(void)
{
    return atomic_load_explicit(&metric_list, memory_order_acquire);
}

struct histogram *histograms_first(void)
{
    return atomic_load_explicit(&histogram_list, memory_order_acquire);
}

/* HELP text escapes backslash and newline; a label's value the quote as well. */
static void append_escaped(struct buf *out, const char *text, bool in_quotes)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            buf_append(out, SLICE("\\n"));
        } else {
            if (*text == '\\' || (in_quotes && *text == '"'))
                buf_append_char(out, '\\');
            buf_append_char(out, *text);
        }
    }
}

static void append_head(struct buf *out, const char *name, const char *help, const char *type)
{
    buf_format(out, "# HELP %s ", name);
    append_escaped(out, help, false);
    buf_format(out, "\n# TYPE %s %s\n", name, type);
}

static int compare_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "");
}

static int compare_metrics(const void *a, const void *b)
{
    const struct metric *x = *(const struct metric *const *)a;
    const struct metric *y = *(const struct metric *const *)b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : compare_text(x->label, y->label);
}

static int compare_histograms(const void *a, const void *b)
{
    const struct histogram *x = *(const struct histogram *const *)a;
    const struct histogram *y = *(const struct histogram *const *)b;
    int order = strcmp(x->name, y->name);
    if (order == 0)
        order = compare_text(x->label_name, y->label_name);
    return order != 0 ? order : compare_text(x->label_value, y->label_value);
}

static void render_metrics(struct buf *out)
{
    struct metric *head = metrics_first();
    size_t count = 0;
    for (struct metric *m = head; m != NULL; m = m->next)
        count++;
    struct metric **sorted = arena_try_alloc(out->arena, count * sizeof(*sorted));
    if (sorted == NULL) {
        out->overflow = true;
        return;
    }
    size_t filled = 0;
    for (struct metric *m = head; m != NULL; m = m->next)
        sorted[filled++] = m;
    qsort(sorted, count, sizeof(*sorted), compare_metrics);
    for (size_t i = 0; i < count; i++) {
        const struct metric *m = sorted[i];
        if (i == 0 || strcmp(sorted[i - 1]->name, m->name) != 0)
            append_head(out, m->name, m->help, m->kind == METRIC_COUNTER ? "counter" : "gauge");
        buf_append(out, slice_from(m->name));
        if (m->label != NULL)
            buf_format(out, "{%s}", m->label);
        buf_append_char(out, ' ');
        buf_append_int(out, atomic_load_explicit(&m->value, memory_order_relaxed));
        buf_append_char(out, '\n');
    }
}

/* name_suffix{label="value",le="bound"} with what of it there is. */
static void append_series(struct buf *out, const struct histogram *h, const char *suffix, const char *bound)
{
    buf_append(out, slice_from(h->name));
    buf_append(out, slice_from(suffix));
    if (h->label_name == NULL && bound == NULL) {
        buf_append_char(out, ' ');
        return;
    }
    buf_append_char(out, '{');
    if (h->label_name != NULL) {
        buf_format(out, "%s=\"", h->label_name);
        append_escaped(out, h->label_value ? h->label_value : "", true);
        buf_append_char(out, '"');
    }
    if (bound != NULL)
        buf_format(out, "%sle=\"%s\"", h->label_name != NULL ? "," : "", bound);
    buf_append(out, SLICE("} "));
}

static void render_histogram(struct buf *out, const struct histogram *h)
{
    uint64_t total = 0;
    for (size_t i = 0; i <= HISTOGRAM_BUCKETS; i++) {
        total += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        append_series(out, h, "_bucket", i < HISTOGRAM_BUCKETS ? BOUNDS[i].seconds : "+Inf");
        buf_format(out, "%llu\n", (unsigned long long)total);
    }
    uint64_t sum_us = atomic_load_explicit(&h->sum_us, memory_order_relaxed);
    append_series(out, h, "_sum", NULL);
    buf_format(out, "%llu.%06llu\n", (unsigned long long)(sum_us / 1000000),
               (unsigned long long)(sum_us % 1000000));
    append_series(out, h, "_count", NULL);
    buf_format(out, "%llu\n",
               (unsigned long long)total); /* the same reading as +Inf, as the format demands */
}

static void render_histograms(struct buf *out)
{
    struct histogram *head = histograms_first();
    size_t count = 0;
    for (struct histogram *h = head; h != NULL; h = h->next)
        count++;
    struct histogram **sorted = arena_try_alloc(out->arena, count * sizeof(*sorted));
    if (sorted == NULL) {
        out->overflow = true;
        return;
    }
    size_t filled = 0;
    for (struct histogram *h = head; h != NULL; h = h->next)
        sorted[filled++] = h;
    qsort(sorted, count, sizeof(*sorted), compare_histograms);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(sorted[i - 1]->name, sorted[i]->name) != 0)
            append_head(out, sorted[i]->name, sorted[i]->help, "histogram");
        render_histogram(out, sorted[i]);
    }
}

static void register_counters(void)
{
    for (struct metric *const *entry = __start_souk_metrics; entry < __stop_souk_metrics; entry++)
        if ((*entry)->kind == METRIC_COUNTER && !(*entry)->is_family)
            metric_register(*entry);
}

void metrics_render(struct buf *out)
{
    register_counters();
    render_metrics(out);
    render_histograms(out);
}

/* ---- the list ---- */

struct listed {
    const char *name, *kind, *help;
    const char *labels;     /* NULL, or as of a metric */
    const char *label_name; /* NULL, or that of a histogram */
    bool is_family;
};

static int compare_listed(const void *a, const void *b)
{
    const struct listed *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : strcmp(y->help, x->help); /* some of one name have no help */
}

static bool ends_with(const char *name, const char *end)
{
    size_t len = strlen(name), end_len = strlen(end);
    return len >= end_len && strcmp(name + len - end_len, end) == 0;
}

const char *metric_unit(const char *name)
{
    if (ends_with(name, "_seconds"))
        return "Seconds";
    if (ends_with(name, "_milliseconds"))
        return "Milliseconds";
    if (ends_with(name, "_microseconds_total"))
        return "Microseconds";
    if (ends_with(name, "_bytes") || ends_with(name, "_bytes_total") || ends_with(name, "_bytes_saved_total"))
        return "Bytes";
    return "Count";
}

bool metric_label_next(struct slice *rest, struct slice *name, struct slice *value)
{
    if (!slice_split(rest, '=', name))
        return false;
    if (rest->len < 2 || rest->ptr[0] != '"')
        return false;
    size_t end = 1;
    while (end < rest->len && rest->ptr[end] != '"')
        end++;
    if (end == rest->len)
        return false;
    *value = (struct slice){rest->ptr + 1, end - 1};
    *rest = end + 1 < rest->len ? slice_skip(*rest, end + 2) : SLICE_ABSENT; /* the quote and a comma */
    return true;
}

/* One metric: what all of its series have in common is the first one's. */
static void write_listed(struct json_writer *json, const struct listed *list, size_t count)
{
    struct slice name, value, rest = slice_from(list->labels);
    json_object_begin(json);
    json_field_string(json, "name", slice_from(list->name));
    json_field_string(json, "kind", slice_from(list->kind));
    json_field_string(json, "unit", slice_from(metric_unit(list->name)));
    json_field_array_begin(json, "labels");
    while (metric_label_next(&rest, &name, &value))
        json_text(json, name);
    if (list->label_name != NULL)
        json_text(json, slice_from(list->label_name));
    json_array_end(json);
    json_field_array_begin(json, "series");
    for (size_t i = 0; i < count; i++) {
        if (list[i].labels != NULL && !list[i].is_family)
            json_text(json, slice_from(list[i].labels));
    }
    json_array_end(json);
    json_field_string(json, "help", slice_from(list->help));
    json_object_end(json);
}

void metrics_list(struct buf *out)
{
    size_t most = (size_t)(__stop_souk_metrics - __start_souk_metrics) +
                  (size_t)(__stop_souk_histograms - __start_souk_histograms);
    struct listed *list = arena_alloc(out->arena, (most + 1) * sizeof(*list));
    size_t count = 0;
    for (struct metric *const *entry = __start_souk_metrics; entry < __stop_souk_metrics; entry++)
        list[count++] = (struct listed){.name = (*entry)->name,
                                        .kind = (*entry)->kind == METRIC_COUNTER ? "counter" : "gauge",
                                        .help = (*entry)->help,
                                        .labels = (*entry)->label,
                                        .is_family = (*entry)->is_family};
    for (struct histogram *const *entry = __start_souk_histograms; entry < __stop_souk_histograms; entry++)
        list[count++] = (struct listed){.name = (*entry)->name,
                                        .kind = "histogram",
                                        .help = (*entry)->help,
                                        .label_name = (*entry)->label_name};
    qsort(list, count, sizeof(*list), compare_listed);
    struct json_writer json;
    json_init(&json, out);
    json_array_begin(&json);
    for (size_t i = 0, end; i < count; i = end) {
        end = i + 1;
        while (end < count && strcmp(list[i].name, list[end].name) == 0)
            end++;
        write_listed(&json, &list[i], end - i);
    }
    json_array_end(&json);
}
