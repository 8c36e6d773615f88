/* Counters, gauges and histograms, shown by GET /metrics in the Prometheus text format 0.0.4, or written as
 * Embedded Metric Format (metrics_emf.h).
 * A metric is a static object; it registers itself at its first use and lives for ever. Adding is one relaxed
 * atomic. Metrics of one name share kind and help and differ in their label. A gauge or histogram never used
 * is not shown; a counter is, with 0, so that whoever compares two readings sees its first step too.
 *
 * Every name that the program may ever show is on its list (metrics_list), whether used or not: METRIC_DEFINE
 * and HISTOGRAM_DEFINE enter what they define; what is made while the program runs, one for each operation
 * or replica, is made of a METRIC_FAMILY. Dashboards and alerts are held against that list. */
#pragma once

#include "base/buf.h"

#include <stdatomic.h>

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };

struct metric {
    const char *name; /* souk_orders_total */
    const char *help;
    const char *label; /* NULL, or a literal such as result="hit"; metrics of one name stand together */
    enum metric_kind kind;
    bool is_family; /* counts nothing itself: `label` is the names of its members' labels, as in a="",b="" */
    _Atomic int64_t value;
    int64_t flushed; /* metrics_emf.c: what of it was written */
    _Atomic int registered;
    struct metric *next;
};

/* The initial value of one; it is on the list only with METRIC_LIST. */
#define METRIC(name_, help_, label_, kind_)                                                                  \
    {                                                                                                        \
        .name = (name_), .help = (help_), .label = (label_), .kind = (kind_)                                 \
    }

/* Puts a static metric on the program's list; `entry` is a name for the entry. */
#define METRIC_LIST(entry, metric_)                                                                          \
    static struct metric *const entry __attribute__((section("souk_metrics"), used)) = &(metric_)

/* A static metric that is on the list:
 *     METRIC_DEFINE(ORDERS, "souk_orders_total", "Orders placed", NULL, METRIC_COUNTER); */
#define METRIC_DEFINE(object, name_, help_, label_, kind_)                                                   \
    static struct metric object = METRIC(name_, help_, label_, kind_);                                       \
    METRIC_LIST(object##_entry, object)

/* What metrics that are made while the program runs have in common; `labels_` as in operation="",status="".
 */
#define METRIC_FAMILY(object, name_, help_, labels_, kind_)                                                  \
    static struct metric object = {                                                                          \
        .name = (name_), .help = (help_), .label = (labels_), .kind = (kind_), .is_family = true};           \
    METRIC_LIST(object##_entry, object)

/* A member of the family, to be put where it stays for ever; `label` lives as long. */
struct metric metric_of_family(const struct metric *family, const char *label);

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
    bool is_family;                           /* observes nothing itself; label_value is NULL */
    _Atomic(struct histogram_samples *) fine; /* metrics_emf.c: NULL until it is needed */
    struct histogram *next;
};

/* A negative duration counts as 0. */
void histogram_observe_us(struct histogram *histogram, int64_t duration_us);

/* As of metrics: the initial value, an object that is on the list, and a family. */
#define HISTOGRAM(name_, help_, label_name_, label_value_)                                                   \
    {                                                                                                        \
        .name = (name_), .help = (help_), .label_name = (label_name_), .label_value = (label_value_)         \
    }

#define HISTOGRAM_LIST(entry, histogram_)                                                                    \
    static struct histogram *const entry __attribute__((section("souk_histograms"), used)) = &(histogram_)
#define HISTOGRAM_DEFINE(object, name_, help_)                                                               \
    static struct histogram object = HISTOGRAM(name_, help_, NULL, NULL);                                    \
    HISTOGRAM_LIST(object##_entry, object)
#define HISTOGRAM_FAMILY(object, name_, help_, label_name_)                                                  \
    static struct histogram object = {                                                                       \
        .name = (name_), .help = (help_), .label_name = (label_name_), .is_family = true};                   \
    HISTOGRAM_LIST(object##_entry, object)

/* Fills a zeroed member in; `label_value` lives as long as it. */
void histogram_of_family(struct histogram *histogram, const struct histogram *family,
                         const char *label_value);

/* Writes every registered metric, sorted by name, then label. */
void metrics_render(struct buf *out);

/* Every name on the list, sorted, as JSON: [{"name", "kind": "counter" | "gauge" | "histogram", "unit": as
 * CloudWatch spells it, "labels": [names], "series": [the labels' texts, of a family none], "help"}]. */
void metrics_list(struct buf *out);
