/* Traces: what came in, what this thread works on, spans in the request's arena. */
#include "base/trace.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/limits.h"

#include <stdio.h>

#define MILLION 1000000

static struct {
    void (*sink)(const struct trace_report *report); /* NULL: off */
    int64_t sample_ppm;
} tracing; /* constant once threads run */

static _Thread_local struct trace *current;

void trace_start(void (*sink)(const struct trace_report *report), int64_t sample_ppm)
{
    tracing.sink = sink;
    tracing.sample_ppm = sample_ppm;
}

bool trace_is_on(void)
{
    return tracing.sink != NULL;
}

/* ---- what came in ---- */

/* Exactly 2 * len lower-case digits. */
static bool read_hex(const char *text, size_t len, uint8_t *bytes)
{
    for (size_t i = 0; i < len; i++) {
        char high = text[2 * i], low = text[2 * i + 1];
        if ((high >= 'A' && high <= 'F') || (low >= 'A' && low <= 'F') || hex_value(high) < 0 ||
            hex_value(low) < 0)
            return false;
        bytes[i] = (uint8_t)(hex_value(high) * 16 + hex_value(low));
    }
    return true;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++)
        any |= bytes[i];
    return any == 0;
}

static bool take_parent(struct trace *trace, const uint8_t id[TRACE_ID_LEN],
                        const uint8_t parent_id[SPAN_ID_LEN], bool is_sampled)
{
    if (is_zero(id, TRACE_ID_LEN) || is_zero(parent_id, SPAN_ID_LEN))
        return false;
    memcpy(trace->id, id, TRACE_ID_LEN);
    memcpy(trace->parent_id, parent_id, SPAN_ID_LEN);
    trace->has_parent = true;
    trace->is_sampled = is_sampled;
    return true;
}

/* 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 */
bool traceparent_parse(struct slice text, struct trace *trace)
{
    uint8_t version, flags, id[TRACE_ID_LEN], parent_id[SPAN_ID_LEN];
    if (text.len < TRACEPARENT_LEN || text.ptr[2] != '-' || text.ptr[35] != '-' || text.ptr[52] != '-')
        return false;
    if (!read_hex(text.ptr, 1, &version) || version == 0xff)
        return false;
    if (text.len > TRACEPARENT_LEN && (version == 0 || text.ptr[TRACEPARENT_LEN] != '-'))
        return false;
    return read_hex(text.ptr + 3, TRACE_ID_LEN, id) && read_hex(text.ptr + 36, SPAN_ID_LEN, parent_id) &&
           read_hex(text.ptr + 53, 1, &flags) && take_parent(trace, id, parent_id, (flags & 1) != 0);
}

/* "1-5759e988-bd862e3fe1be46a994272793" */
static bool read_amazon_root(struct slice text, uint8_t id[TRACE_ID_LEN])
{
    return text.len == 35 && text.ptr[0] == '1' && text.ptr[1] == '-' && text.ptr[10] == '-' &&
           read_hex(text.ptr + 2, 4, id) && read_hex(text.ptr + 11, 12, id + 4);
}

bool amazon_trace_parse(struct slice text, struct trace *trace, bool *is_decided)
{
    struct slice part, name;
    uint8_t id[TRACE_ID_LEN] = {0}, parent_id[SPAN_ID_LEN] = {0};
    bool has_root = false, has_parent = false, is_sampled = false;
    *is_decided = false;
    while (slice_split(&text, ';', &part)) {
        struct slice value = slice_trim(part);
        if (!slice_split(&value, '=', &name) || slice_is_absent(value))
            continue;
        if (slice_is(name, "Root"))
            has_root = read_amazon_root(value, id);
        else if (slice_is(name, "Parent"))
            has_parent = value.len == 2 * SPAN_ID_LEN && read_hex(value.ptr, SPAN_ID_LEN, parent_id);
        else if (slice_is(name, "Sampled") && (slice_is(value, "0") || slice_is(value, "1"))) {
            *is_decided = true;
            is_sampled = slice_is(value, "1");
        }
    }
    if (!has_root || is_zero(id, TRACE_ID_LEN))
        return false;
    memcpy(trace->id, id, TRACE_ID_LEN);
    trace->is_sampled = is_sampled;
    trace->has_parent = has_parent && !is_zero(parent_id, SPAN_ID_LEN);
    if (trace->has_parent)
        memcpy(trace->parent_id, parent_id, SPAN_ID_LEN);
    return true;
}

/* ---- a request's trace ---- */

static void make_span_id(uint8_t id[SPAN_ID_LEN])
{
    uint64_t bits = random_u64() | 1; /* zero is none */
    memcpy(id, &bits, SPAN_ID_LEN);
}

/* By the trace's last bytes, which are random: whoever else samples so decides the same. */
static bool is_chosen(const struct trace *trace)
{
    uint64_t bits = 0;
    for (size_t i = TRACE_ID_LEN - 7; i < TRACE_ID_LEN; i++)
        bits = bits << 8 | trace->id[i];
    return (int64_t)(bits % MILLION) < tracing.sample_ppm;
}

void trace_begin(struct trace *trace, struct arena *arena, const struct trace_headers *headers,
                 struct uuid request_id)
{
    bool is_decided = false;
    if (!slice_is_absent(headers->amazon) && amazon_trace_parse(headers->amazon, trace, &is_decided)) {
        trace->state = SLICE_ABSENT;
    } else if (!slice_is_absent(headers->traceparent) && traceparent_parse(headers->traceparent, trace)) {
        is_decided = true;
        if (headers->tracestate.len > 0 && headers->tracestate.len <= TRACESTATE_BYTES_MAX)
            trace->state = headers->tracestate;
    } else {
        memcpy(trace->id, request_id.bytes, TRACE_ID_LEN);
        if (uuid_is_nil(request_id))
            random_fill(trace->id, TRACE_ID_LEN);
    }
    hex_encode(trace->id, TRACE_ID_LEN, trace->text);
    trace->text[2 * TRACE_ID_LEN] = '\0';
    trace->is_sampled = trace_is_on() && (is_decided ? trace->is_sampled : is_chosen(trace));
    if (!trace->is_sampled)
        return;
    make_span_id(trace->span_id);
    trace->spans = arena_try_alloc(arena, TRACE_SPANS_MAX * sizeof(*trace->spans));
}

void trace_end(const struct trace_report *report)
{
    if (report->trace->is_sampled && tracing.sink != NULL)
        tracing.sink(report);
}

struct trace *trace_enter(struct trace *trace)
{
    struct trace *before = current;
    current = trace != NULL && trace->text[0] != '\0' ? trace : NULL;
    return before;
}

struct trace *trace_current(void)
{
    return current;
}

/* ---- spans ---- */

struct span *span_begin(const char *name, enum span_system system)
{
    struct trace *trace = current;
    if (trace == NULL || trace->spans == NULL)
        return NULL;
    if (trace->span_count == TRACE_SPANS_MAX) {
        trace->spans_left_out++;
        return NULL;
    }
    struct span *span = &trace->spans[trace->span_count++];
    *span = (struct span){.name = name, .system = system, .began_us = clock_monotonic_us()};
    make_span_id(span->id);
    return span;
}

void span_end(struct span *span, bool failed)
{
    if (span == NULL)
        return;
    span->ended_us = clock_monotonic_us();
    span->failed = failed;
}

bool traceparent_format(const struct trace *trace, const struct span *span, char text[TRACEPARENT_LEN + 1])
{
    const uint8_t *parent = span != NULL ? span->id : trace->is_sampled ? trace->span_id : trace->parent_id;
    char parent_text[2 * SPAN_ID_LEN + 1] = {0};
    if (is_zero(parent, SPAN_ID_LEN))
        return false;
    hex_encode(parent, SPAN_ID_LEN, parent_text);
    snprintf(text, TRACEPARENT_LEN + 1, "00-%s-%s-%s", trace->text, parent_text,
             trace->is_sampled ? "01" : "00");
    return true;
}
