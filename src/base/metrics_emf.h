/* Metrics as CloudWatch reads them from a log: lines of JSON in the Embedded Metric Format
 * (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html).
 *
 * Namespace "souk"; names, labels and what they mean are those of GET /metrics, and each line has the
 * dimensions `service` and `stage` besides. CloudWatch adds nothing up over dimensions, so what can be added
 * up is said several times: with all labels, without the first, ..., without any. Counters are what came on
 * top since the last flush, histograms the values since then. */
#pragma once

#include "base/metrics.h"

#define METRICS_NAMESPACE "souk"

/* From now on histograms keep what a flush needs (800 bytes each, once they are used). Before any thread
 * starts; the texts are copied. */
void metrics_emf_start(struct slice service, struct slice stage);
bool metrics_emf_is_on(void);

/* Appends a line for each set of labels of which something happened since the last flush; gauges also when
 * they did not change, once a minute. Nothing before metrics_emf_start. What does not fit into the
 * buffer's arena is lost. Thread-safe. */
void metrics_emf_flush(struct buf *out);
/* The same to standard output, each line with one write(2). `scratch` is rewound. */
void metrics_emf_write(struct arena *scratch);
