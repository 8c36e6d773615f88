/* What the registry (metrics.c) and its two forms share. Nobody else includes this. */
#pragma once

#include "base/metrics.h"

/* What is registered, newest first; the lists only grow. */
struct metric *metrics_first(void);
struct histogram *histograms_first(void);

/* The unit that a metric's name ends with, as CloudWatch spells it. */
const char *metric_unit(const char *name);

/* Takes the next of a metric's labels (a="x",b="y") off *rest; false at the end, or when they
 * are absent or hold a quote. */
bool metric_label_next(struct slice *rest, struct slice *name, struct slice *value);

/* metrics_emf.c: nothing before metrics_emf_start. */
void metrics_emf_observe(struct histogram *histogram, uint64_t us);
