/* Traces as JSON, for OTLP and for X-Ray. */
#include "base/trace_json.h"

#include "base/crypto.h"
#include "base/json_writer.h"

#include <stdio.h>

/* As OTLP numbers them. */
enum { KIND_INTERNAL = 1, KIND_SERVER = 2, KIND_CLIENT = 3 };
enum { STATUS_ERROR = 2 };

static const char *const SYSTEMS[] = {[SPAN_SQLITE] = "sqlite",
                                      [SPAN_POSTGRES] = "postgresql",
                                      [SPAN_REDIS] = "redis",
                                      [SPAN_HTTP] = NULL,
                                      [SPAN_OWN] = NULL};

static int64_t wall_us(const struct trace_report *report, int64_t monotonic_us)
{
    return report->now_ms * 1000 - (report->now_us - monotonic_us);
}

static int64_t end_of(const struct trace_report *report, const struct span *span)
{
    return span->ended_us != 0 ? span->ended_us : report->ended_us;
}

static void field_hex(struct json_writer *json, const char *key, const uint8_t *bytes, size_t len)
{
    char text[2 * TRACE_ID_LEN];
    hex_encode(bytes, len, text);
    json_field_string(json, key, (struct slice){text, 2 * len});
}

static struct slice span_name(const struct trace_report *report, char *text, size_t size)
{
    int len = report->route != NULL ? snprintf(text, size, "%s %s", report->method, report->route)
                                    : snprintf(text, size, "%s", report->method);
    return (struct slice){text, (size_t)len < size ? (size_t)len : size - 1};
}

/* ---- OTLP ---- */

static void attribute_text(struct json_writer *json, const char *key, const char *value)
{
    if (value == NULL || value[0] == '\0')
        return;
    json_object_begin(json);
    json_field_string(json, "key", slice_from(key));
    json_field_object_begin(json, "value");
    json_field_string(json, "stringValue", slice_from(value));
    json_object_end(json);
    json_object_end(json);
}

/* 64-bit integers are texts in proto3's JSON. */
static void field_int64(struct json_writer *json, const char *key, int64_t value)
{
    char text[24];
    int len = snprintf(text, sizeof(text), "%lld", (long long)value);
    json_field_string(json, key, (struct slice){text, (size_t)len});
}

static void attribute_int(struct json_writer *json, const char *key, int64_t value)
{
    json_object_begin(json);
    json_field_string(json, "key", slice_from(key));
    json_field_object_begin(json, "value");
    field_int64(json, "intValue", value);
    json_object_end(json);
    json_object_end(json);
}

static void write_begin(struct json_writer *json, const struct trace_report *report, const uint8_t *id,
                        const uint8_t *parent, int kind)
{
    json_object_begin(json);
    field_hex(json, "traceId", report->trace->id, TRACE_ID_LEN);
    field_hex(json, "spanId", id, SPAN_ID_LEN);
    if (parent != NULL)
        field_hex(json, "parentSpanId", parent, SPAN_ID_LEN);
    if (!slice_is_absent(report->trace->state))
        json_field_string(json, "traceState", report->trace->state);
    json_field_int(json, "kind", kind);
}

static void write_times(struct json_writer *json, const struct trace_report *report, int64_t began_us,
                        int64_t ended_us)
{
    field_int64(json, "startTimeUnixNano", wall_us(report, began_us) * 1000);
    field_int64(json, "endTimeUnixNano", wall_us(report, ended_us) * 1000);
}

static void write_status(struct json_writer *json, bool failed)
{
    json_field_object_begin(json, "status");
    if (failed)
        json_field_int(json, "code", STATUS_ERROR);
    json_object_end(json);
}

static void write_server_span(struct json_writer *json, const struct trace_report *report)
{
    const struct trace *trace = report->trace;
    char name[256];
    write_begin(json, report, trace->span_id, trace->has_parent ? trace->parent_id : NULL, KIND_SERVER);
    json_field_string(json, "name", span_name(report, name, sizeof(name)));
    write_times(json, report, report->began_us, report->ended_us);
    json_field_array_begin(json, "attributes");
    attribute_text(json, "http.request.method", report->method);
    attribute_text(json, "http.route", report->route);
    attribute_text(json, "souk.operation", report->operation);
    attribute_int(json, "http.response.status_code", report->status);
    if (report->status >= 500) {
        snprintf(name, sizeof(name), "%d", report->status);
        attribute_text(json, "error.type", name);
    }
    if (trace->spans_left_out > 0)
        attribute_int(json, "souk.spans_left_out", trace->spans_left_out);
    json_array_end(json);
    write_status(json, report->status >= 500);
    json_object_end(json);
}

static void write_span(struct json_writer *json, const struct trace_report *report, const struct span *span)
{
    write_begin(json, report, span->id, report->trace->span_id,
                span->system == SPAN_OWN ? KIND_INTERNAL : KIND_CLIENT);
    json_field_string(json, "name", slice_from(span->name));
    write_times(json, report, span->began_us, end_of(report, span));
    json_field_array_begin(json, "attributes");
    if (SYSTEMS[span->system] != NULL) {
        attribute_text(json, "db.system.name", SYSTEMS[span->system]);
        attribute_text(json, "db.operation.name", span->name);
    }
    if (span->system == SPAN_HTTP)
        attribute_text(json, "http.request.method", span->name);
    attribute_text(json, "server.address", span->host);
    if (span->status != 0)
        attribute_int(json, "http.response.status_code", span->status);
    json_array_end(json);
    write_status(json, span->failed);
    json_object_end(json);
}

void trace_write_otlp(const struct trace_report *report, struct buf *out)
{
    const struct trace *trace = report->trace;
    struct json_writer json;
    json_init(&json, out);
    write_server_span(&json, report);
    for (unsigned i = 0; trace->spans != NULL && i < trace->span_count; i++) {
        buf_append_char(out, ',');
        json_init(&json, out);
        write_span(&json, report, &trace->spans[i]);
    }
}

void trace_wrap_otlp(const struct trace_source *source, struct slice spans, struct buf *out)
{
    struct json_writer json;
    char service[128], stage[128];
    snprintf(service, sizeof(service), "%.*s", SLICE_ARG(source->service));
    snprintf(stage, sizeof(stage), "%.*s", SLICE_ARG(source->stage));
    json_init(&json, out);
    json_object_begin(&json);
    json_field_array_begin(&json, "resourceSpans");
    json_object_begin(&json);
    json_field_object_begin(&json, "resource");
    json_field_array_begin(&json, "attributes");
    attribute_text(&json, "service.name", service);
    attribute_text(&json, "service.version", SOUK_VERSION);
    attribute_text(&json, "deployment.environment.name", stage);
    json_array_end(&json);
    json_object_end(&json);
    json_field_array_begin(&json, "scopeSpans");
    json_object_begin(&json);
    json_field_object_begin(&json, "scope");
    json_field_string(&json, "name", SLICE("souk"));
    json_object_end(&json);
    json_field_array_begin(&json, "spans");
    json_raw(&json, spans);
    json_array_end(&json);
    json_object_end(&json);
    json_array_end(&json);
    json_object_end(&json);
    json_array_end(&json);
    json_object_end(&json);
}

/* ---- X-Ray ---- */

/* Seconds since 1970. */
static void field_seconds(struct json_writer *json, const char *key, int64_t us)
{
    char text[32];
    int len =
        snprintf(text, sizeof(text), "%lld.%06lld", (long long)(us / 1000000), (long long)(us % 1000000));
    json_field_raw(json, key, (struct slice){text, (size_t)len});
}

static void write_xray_times(struct json_writer *json, const struct trace_report *report, int64_t began_us,
                             int64_t ended_us)
{
    field_seconds(json, "start_time", wall_us(report, began_us));
    field_seconds(json, "end_time", wall_us(report, ended_us));
}

static void write_xray_span(struct json_writer *json, const struct trace_report *report,
                            const struct span *span)
{
    json_object_begin(json);
    const char *name = span->host[0] != '\0' ? span->host : SYSTEMS[span->system];
    json_field_string(json, "name", slice_from(name != NULL ? name : span->name));
    field_hex(json, "id", span->id, SPAN_ID_LEN);
    write_xray_times(json, report, span->began_us, end_of(report, span));
    if (span->system != SPAN_OWN)
        json_field_string(json, "namespace", SLICE("remote"));
    if (span->failed)
        json_field_bool(json, "fault", true);
    json_field_object_begin(json, "annotations");
    json_field_string(json, "did", slice_from(span->name));
    json_object_end(json);
    json_object_end(json);
}

static void write_xray_http(struct json_writer *json, const struct trace_report *report)
{
    json_field_object_begin(json, "http");
    json_field_object_begin(json, "request");
    json_field_string(json, "method", slice_from(report->method));
    if (report->route != NULL)
        json_field_string(json, "url", slice_from(report->route));
    json_object_end(json);
    json_field_object_begin(json, "response");
    json_field_int(json, "status", report->status);
    json_object_end(json);
    json_object_end(json);
    if (report->status >= 500)
        json_field_bool(json, "fault", true);
    else if (report->status >= 400)
        json_field_bool(json, "error", true);
    if (report->status == 429)
        json_field_bool(json, "throttle", true);
}

void trace_write_xray(const struct trace_report *report, const struct trace_source *source, struct buf *out)
{
    const struct trace *trace = report->trace;
    struct json_writer json;
    char id[36];
    buf_append(out, SLICE("{\"format\": \"json\", \"version\": 1}\n"));
    json_init(&json, out);
    json_object_begin(&json);
    json_field_string(&json, "name", source->service);
    field_hex(&json, "id", trace->span_id, SPAN_ID_LEN);
    snprintf(id, sizeof(id), "1-%.8s-%s", trace->text, trace->text + 8);
    json_field_string(&json, "trace_id", slice_from(id));
    if (trace->has_parent)
        field_hex(&json, "parent_id", trace->parent_id, SPAN_ID_LEN);
    if (source->is_function && trace->has_parent)
        json_field_string(&json, "type", SLICE("subsegment"));
    write_xray_times(&json, report, report->began_us, report->ended_us);
    write_xray_http(&json, report);
    json_field_object_begin(&json, "annotations");
    json_field_string(&json, "stage", source->stage);
    if (report->operation != NULL)
        json_field_string(&json, "operation", slice_from(report->operation));
    json_object_end(&json);
    if (trace->spans != NULL && trace->span_count > 0) {
        json_field_array_begin(&json, "subsegments");
        for (unsigned i = 0; i < trace->span_count; i++)
            write_xray_span(&json, report, &trace->spans[i]);
        json_array_end(&json);
    }
    json_object_end(&json);
}
