/* Where the traces of requests go (SOUK_TRACE). One exporter for the process.
 *
 * OTLP: spans wait in a queue of TRACE_QUEUE_BYTES_MAX; a thread sends them to the collector as JSON, one
 * POST a second or so. What does not fit, or what the collector does not take, is dropped and counted: no
 * request ever waits. X-Ray: one datagram for each request, at once, to the daemon on this machine. */
#pragma once

#include "base/config.h"
#include "net/http_client.h"

struct trace_exporter;

/* How it sends OTLP: by a thread of its own, or in trace_exporter_flush, for a process that is frozen between
 * two invocations of Lambda. */
enum trace_sending { TRACE_BY_THREAD, TRACE_BY_FLUSH };

/* Starts sampling, unless SOUK_TRACE is off: then it does nothing, and that is true. Before any thread
 * starts. False with *complaint (in `arena`). `config` outlives it. */
bool trace_exporter_start(const struct config *config, enum trace_sending sending, struct arena *arena,
                          struct slice *complaint);
/* Sends what waits, with TRACE_BY_FLUSH; gives up at `deadline_us` (monotonic). */
void trace_exporter_flush(int64_t deadline_us);
/* Sends what waits, for at most TRACE_TIMEOUT_MS, and ends. No request may run any more. */
void trace_exporter_stop(void);
