/* Counters, gauges and histograms, shown by GET /metrics in the Prometheus text format 0.0.4.
 * A metric is a static object; it registers itself at its first use and lives for ever. Adding is one relaxed
 * atomic. Metrics of one name share kind and help and differ in their label. A metric never used is not
 * shown: add 0 at the start to show it from then on. */
#pragma once

#include "base/buf.h"

#include <stdatomic.h>

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };

struct metric {
    const char *name; /* souk_orders_total */
    const char *help;
    const char *label; /* NULL, or a literal such as result="hit"; metrics of one name stand together */
    enum metric_kind kind;
    _Atomic int64_t value;
    _Atomic int registered;
    struct metric *next;
};

/* Makes a static object: static struct metric ORDERS = METRIC("souk_orders_total", "Orders placed", NULL,
 * METRIC_COUNTER); */
#define METRIC(name_, help_, label_, kind_)                                                                  \
    {                                                                                                        \
        .name = (name_), .help = (help_), .label = (label_), .kind = (kind_)                                 \
    }

/* A counter only goes up: a negative amount asserts. */
void metric_add(struct metric *metric, int64_t amount);
void metric_set(struct metric *metric, int64_t value);

/* A histogram of durations in microseconds, with fixed bounds from 50 us to 10 s, shown in seconds. */
#define HISTOGRAM_BUCKETS 18
struct histogram {
    const char *name;
    const char *help;
    const char *label_name;  /* NULL, or e.g. "operation" with label_value */
    const char *label_value; /* any text; escaped when shown */
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS + 1];
    _Atomic uint64_t sum_us;
    _Atomic int registered;
    struct histogram *next;
};

/* A negative duration counts as 0. */
void histogram_observe_us(struct histogram *histogram, int64_t duration_us);

/* Makes a static object, as METRIC does. */
#define HISTOGRAM(name_, help_, label_name_, label_value_)                                                   \
    {                                                                                                        \
        .name = (name_), .help = (help_), .label_name = (label_name_), .label_value = (label_value_)         \
    }

/* Writes every registered metric, sorted by name, then label. */
void metrics_render(struct buf *out);
