/* A request that has ended, as collectors read it: the spans of OTLP's JSON (OpenTelemetry protocol 1.x,
 * https://opentelemetry.io/docs/specs/otlp/, attributes by its semantic conventions), and the segment
 * document of AWS X-Ray (https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html).
 * Neither holds a path, a query, a value or a name of a person. */
#pragma once

#include "base/buf.h"
#include "base/trace.h"

/* Who sends it. */
struct trace_source {
    struct slice service, stage;
    bool is_function; /* on Lambda, whose own segment is the parent */
};

/* The spans, with commas between them: what stands in "spans": [...]. */
void trace_write_otlp(const struct trace_report *report, struct buf *out);
/* What stands around them: the body of POST /v1/traces. */
void trace_wrap_otlp(const struct trace_source *source, struct slice spans, struct buf *out);
/* One segment, or on Lambda a subsegment, with the header that the daemon wants before it. */
void trace_write_xray(const struct trace_report *report, const struct trace_source *source, struct buf *out);
