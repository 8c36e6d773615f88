/* Traces: which request of a customer what happens belongs to, and what took how long in it.
 *
 * Every request has a trace, known by 16 bytes: those of the W3C traceparent that came with it
 * (https://www.w3.org/TR/trace-context/), else the request's own id. The log has it in each line that is
 * written while the request is worked on ("trace"), and outgoing calls pass it on. Only a request that is
 * sampled has spans: itself, and each statement and outgoing call in it; they are handed to a sink
 * (net/trace_export.h) when it ends. A span names what was done, never with which values.
 *
 * The trace that is worked on is the thread's own: trace_enter. Off, and where a request is not sampled, a
 * span costs one look at it. */
#pragma once

#include "base/arena.h"
#include "base/ids.h"

#define TRACE_ID_LEN 16
#define SPAN_ID_LEN 8
#define TRACEPARENT_LEN 55
#define TRACE_HOST_BYTES_MAX 63

enum span_system { SPAN_SQLITE, SPAN_POSTGRES, SPAN_REDIS, SPAN_HTTP, SPAN_OWN };

struct span {
    const char *name; /* a literal: SELECT, POST, ... */
    enum span_system system;
    uint8_t id[SPAN_ID_LEN];
    int64_t began_us; /* monotonic */
    int64_t ended_us; /* 0: it did not end by itself */
    bool failed;
    long status; /* of HTTP; 0: no answer */
    char host[TRACE_HOST_BYTES_MAX + 1];
};

struct trace {
    uint8_t id[TRACE_ID_LEN];
    char text[2 * TRACE_ID_LEN + 1]; /* the id, in hexadecimal; empty: there is no trace */
    bool has_parent;
    bool is_sampled;
    uint8_t parent_id[SPAN_ID_LEN];
    uint8_t span_id[SPAN_ID_LEN]; /* of the request; zero when it is not sampled */
    struct slice state;           /* tracestate, absent without */
    struct span *spans;           /* NULL when it is not sampled */
    unsigned span_count;
    unsigned spans_left_out; /* past TRACE_SPANS_MAX */
};

/* What came with the request; absent where nothing did. `amazon` is X-Amzn-Trace-Id; a good one
 * counts before the others. */
struct trace_headers {
    struct slice traceparent, tracestate, amazon;
};

/* A request that has ended. */
struct trace_report {
    const struct trace *trace;
    struct arena *arena;   /* of the request, with room */
    const char *method;    /* GET */
    const char *route;     /* the template, or NULL */
    const char *operation; /* or NULL */
    int status;
    int64_t began_us, ended_us; /* monotonic */
    int64_t now_ms, now_us;     /* one moment on both clocks */
};

/* From now on requests are sampled and told to `sink`: those whose caller says so, and of those without a
 * caller's word so many of a million. The sink is called by the thread that ends the request and must not
 * wait. Before any thread starts; NULL: off. */
void trace_start(void (*sink)(const struct trace_report *report), int64_t sample_ppm);
bool trace_is_on(void);

/* Fills a zeroed trace. Texts must live as long as it; spans come from the arena. */
void trace_begin(struct trace *trace, struct arena *arena, const struct trace_headers *headers,
                 struct uuid request_id);
/* Tells the sink, when it is sampled. */
void trace_end(const struct trace_report *report);

/* The trace that this thread works on from now on, NULL for none; returns the one before. One that was not
 * begun counts as none. */
struct trace *trace_enter(struct trace *trace);
struct trace *trace_current(void);

/* NULL, which span_end takes, when nothing is sampled here. */
struct span *span_begin(const char *name, enum span_system system);
void span_end(struct span *span, bool failed);

/* Strictly as the recommendation says; of versions after 00 what 00 has. False leaves the trace alone. */
bool traceparent_parse(struct slice text, struct trace *trace);
/* Root=1-8 digits-24 digits;Parent=16 digits;Sampled=0|1, in any order; more is let pass. *is_decided: it
 * says whether to sample. */
bool amazon_trace_parse(struct slice text, struct trace *trace, bool *is_decided);
/* What outgoing calls are told: `span` (NULL: the request) is their parent. False when there is no parent to
 * name: nothing is sampled and nobody called us with one. */
bool traceparent_format(const struct trace *trace, const struct span *span, char text[TRACEPARENT_LEN + 1]);
