/* The reply: wrapping, `fields`, entity tag, headers, cache fill, then log and metrics. Runs on the
 * transport's thread, so that the lane spends no time on it; where the database is on another machine, on the
 * worker's. */
#include "base/clock.h"
#include "http/fields.h"
#include "http/gateway_private.h"
#include "http/headers.h"

#include <stdio.h>
#include <stdlib.h>

/* What the reply's headers may take of the arena, behind the body. */
#define HEADERS_BYTES_MAX 4096

struct metric gateway_in_flight =
    METRIC("souk_http_requests_in_flight", "Requests being handled now", NULL, METRIC_GAUGE);
struct metric gateway_worker_queue =
    METRIC("souk_worker_queue_depth", "Requests waiting for a worker", "pool=\"worker\"", METRIC_GAUGE);
struct metric gateway_password_queue =
    METRIC("souk_worker_queue_depth", "Requests waiting for a worker", "pool=\"password\"", METRIC_GAUGE);
METRIC_LIST(in_flight_entry, gateway_in_flight);
METRIC_LIST(worker_queue_entry, gateway_worker_queue);
METRIC_LIST(password_queue_entry, gateway_password_queue);
METRIC_FAMILY(requests_of_operation, "souk_http_requests_total", "Requests answered",
              "operation=\"\",status=\"\"", METRIC_COUNTER);
HISTOGRAM_FAMILY(latency_of_operation, "souk_http_request_duration_seconds",
                 "From the request's head to its finished reply", "operation");
METRIC_DEFINE(cache_hits, "souk_response_cache_total", "Replies looked up in the cache", "result=\"hit\"",
              METRIC_COUNTER);
METRIC_DEFINE(cache_stale_hits, "souk_response_cache_total", "Replies looked up in the cache",
              "result=\"stale\"", METRIC_COUNTER);
METRIC_DEFINE(cache_misses, "souk_response_cache_total", "Replies looked up in the cache", "result=\"miss\"",
              METRIC_COUNTER);

static _Atomic bool is_draining; /* of the process: it has one end */

void gateway_begin_draining(void)
{
    atomic_store(&is_draining, true);
}

bool gateway_is_draining(void)
{
    return atomic_load_explicit(&is_draining, memory_order_relaxed);
}

bool gateway_has_room(void)
{
    return atomic_load_explicit(&gateway_worker_queue.value, memory_order_relaxed) < WORKER_QUEUE_MAX;
}

/* ---- the body ---- */

static bool is_get(const struct exchange *x)
{
    return x->method == METHOD_GET || x->method == METHOD_HEAD;
}

static bool is_from_cache(const struct exchange *x)
{
    return x->cache_state == CACHE_HIT || x->cache_state == CACHE_HIT_STALE;
}

static void append_pagination(struct buf *body, const struct pagination *pagination)
{
    struct json_writer json;
    buf_append(body, SLICE(",\"pagination\":"));
    json_init(&json, body);
    json_object_begin(&json);
    json_field_int(&json, "limit", pagination->limit);
    json_field_string(&json, "nextCursor", pagination->next_cursor);
    json_field_bool(&json, "hasMore", !slice_is_absent(pagination->next_cursor));
    if (pagination->has_total && pagination->total_is_capped)
        json_field_string(&json, "total", arena_format(body->arena, "%lld+", (long long)pagination->total));
    else if (pagination->has_total)
        json_field_int(&json, "total", pagination->total);
    json_object_end(&json);
}

static struct slice parameter_value(const struct exchange *x, const char *name)
{
    for (size_t i = 0; i < x->parameter_count; i++) {
        if (slice_is(x->parameters[i].name, name))
            return x->parameters[i].value;
    }
    return SLICE_ABSENT;
}

/* Keeps the members that `fields` names; the status becomes 400 when it names what is not there. */
static void select_fields(struct exchange *x)
{
    struct response *response = &x->response;
    struct slice fields = parameter_value(x, "fields");
    if (x->request.operation == NULL || !x->request.operation->selects_fields || slice_is_absent(fields))
        return;
    struct buf selected;
    struct slice unknown = SLICE("");
    buf_init(&selected, x->arena);
    buf_append(&selected, response->prefix);
    if (fields_select(response_content(response), fields, &selected, &unknown))
        response->body = selected;
    else
        x->status = problem_field(response, "fields", "UNKNOWN_FIELD",
                                  "There is no member \"%.*s\" to select", SLICE_ARG(unknown));
}

/* Brings the handler's text into its final form. */
static void wrap_body(struct exchange *x)
{
    struct response *response = &x->response;
    if (x->status == HTTP_STATUS_OK)
        select_fields(x);
    if (response->problem_code != NULL) {
        problem_close(response, x->request_id);
    } else if (x->status == HTTP_STATUS_NO_CONTENT ||
               (x->status == HTTP_STATUS_ACCEPTED && response->body.len == response->prefix.len)) {
        response->body.len = 0;
    } else if (response->prefix.len > 0) {
        if (response->body.len == response->prefix.len)
            buf_append(&response->body, SLICE("null"));
        if (response->pagination.is_present)
            append_pagination(&response->body, &response->pagination);
        buf_append_char(&response->body, '}');
    }
    if (!response->body.overflow && x->arena->limit - x->arena->used >= HEADERS_BYTES_MAX)
        return;
    log_message(LOG_ERROR, "The reply of %s does not fit into its arena",
                x->request.operation ? x->request.operation->name : "?");
    x->arena->used = x->arena_mark; /* the problem needs room, and nothing that was made since is needed */
    x->status = problem(response, PROBLEM_INTERNAL_ERROR, "The reply is too large");
    problem_close(response, x->request_id);
}

/* ---- entity tags ---- */

/* Replies to GET carry one, and those to writes that say the row's version, for the next If-Match. */
static void make_etag(struct exchange *x)
{
    struct response *response = &x->response;
    bool is_success = x->status == HTTP_STATUS_OK || x->status == HTTP_STATUS_CREATED;
    if (!is_success || (!is_get(x) && response->version == 0))
        return;
    x->etag = response_header_value(response, "ETag");
    if (slice_is_absent(x->etag))
        x->etag = arena_format(x->arena, "\"v%lld-%016llx\"", (long long)response->version,
                               (unsigned long long)hash64(x->reply.body));
}

/* ---- headers ---- */

void reply_add_header(struct exchange *x, const char *name, struct slice value)
{
    struct reply *reply = &x->reply;
    CHECK(reply->header_count < REPLY_HEADERS_MAX);
    reply->headers[reply->header_count++] = (struct response_header){.name = name, .value = value};
}

static struct slice cache_control(const struct exchange *x)
{
    const struct operation *operation = x->request.operation;
    if (operation == NULL || !is_get(x) || x->status >= 400)
        return SLICE("no-store");
    if (operation->access != ACCESS_PUBLIC || principal_sees_drafts(&x->request.principal))
        return SLICE("private, no-store");
    if (x->response.is_uncacheable || operation->cache_seconds == 0)
        return SLICE("no-cache"); /* may be kept, and is asked about each time */
    return arena_format(x->arena, "public, max-age=%u, stale-while-revalidate=%d", operation->cache_seconds,
                        CACHE_STALE_SECONDS);
}

/* ... unless the handler has set its own. */
static void add_default(struct exchange *x, const char *name, struct slice value)
{
    if (slice_is_absent(response_header_value(&x->response, name)))
        reply_add_header(x, name, value);
}

/* On which of the request's header fields the reply depends: staff see more than others. */
static void add_vary(struct exchange *x)
{
    const struct operation *operation = x->request.operation;
    struct buf vary;
    buf_init(&vary, x->arena);
    if (operation != NULL && operation->access == ACCESS_PUBLIC && is_get(x))
        buf_append(&vary, operation->cache_seconds > 0 ? SLICE("Authorization, X-Api-Key, Accept-Encoding")
                                                       : SLICE("Authorization, X-Api-Key"));
    cors_add_vary(x, &vary);
    if (vary.len > 0)
        reply_add_header(x, "Vary", arena_copy(x->arena, buf_slice(&vary)));
}

/* For browsers: nothing here is a page (the explorer says its own policy), nothing is guessed to be one,
 * shown in a frame, or loaded by another site as if it were its own. */
static void add_security_headers(struct exchange *x)
{
    reply_add_header(x, "X-Content-Type-Options", SLICE("nosniff"));
    reply_add_header(x, "Referrer-Policy", SLICE("no-referrer"));
    add_default(x, "Content-Security-Policy", SLICE("default-src 'none'; frame-ancestors 'none'"));
    add_default(x, "Cross-Origin-Resource-Policy", SLICE("same-origin"));
    if (x->gateway->is_https) /* a year, of this host alone: its neighbours are not ours to speak for */
        reply_add_header(x, "Strict-Transport-Security", SLICE("max-age=31536000"));
}

static void append_parameter(struct buf *text, const char *name, int64_t value)
{
    buf_append(text, slice_from(name));
    buf_append_int(text, value);
}

static void append_policy_name(struct buf *text, const struct rate_policy *policy)
{
    if (text->len > 0)
        buf_append(text, SLICE(", "));
    buf_append_char(text, '"');
    buf_append(text, slice_from(policy->name));
    buf_append_char(text, '"');
}

/* As of draft-ietf-httpapi-ratelimit-headers-10. Written by hand: every reply has them. */
static void add_rate_headers(struct exchange *x)
{
    struct buf policies, limits;
    if (x->policy_count == 0)
        return;
    buf_init(&policies, x->arena);
    for (unsigned i = 0; i < x->policy_count; i++) {
        append_policy_name(&policies, &x->policies[i]);
        append_parameter(&policies, ";q=", x->policies[i].limit);
        append_parameter(&policies, ";w=", x->policies[i].window_s);
    }
    buf_append_char(&policies, '\0');
    buf_init(&limits, x->arena);
    for (unsigned i = 0; i < x->policy_count; i++) {
        append_policy_name(&limits, &x->policies[i]);
        append_parameter(&limits, ";r=", x->policies[i].remaining);
        append_parameter(&limits, ";t=", x->policies[i].reset_s);
    }
    buf_append_char(&limits, '\0');
    reply_add_header(x, "RateLimit-Policy", (struct slice){buf_slice(&policies).ptr, policies.len - 1});
    reply_add_header(x, "RateLimit", (struct slice){buf_slice(&limits).ptr, limits.len - 1});
}

static void add_headers(struct exchange *x)
{
    const struct response *response = &x->response;
    for (unsigned i = 0; i < response->header_count; i++)
        reply_add_header(x, response->headers[i].name, response->headers[i].value);
    reply_add_header(x, "X-Request-Id", x->request_id);
    if (x->reply.status == HTTP_STATUS_UNAUTHORIZED) /* RFC 9110, 15.5.2 */
        add_default(x, "WWW-Authenticate", SLICE("Bearer realm=\"souk\""));
    if (x->reply.body.len > 0)
        reply_add_header(x, "Content-Type", slice_from(response->content_type));
    add_default(x, "Cache-Control", cache_control(x));
    add_vary(x);
    if (!slice_is_absent(x->etag))
        add_default(x, "ETag", coding_etag(x->coding, x->arena, x->etag));
    if (x->coding != CODING_IDENTITY && x->reply.status == HTTP_STATUS_OK)
        reply_add_header(x, "Content-Encoding", slice_from(coding_name(x->coding)));
    if (is_from_cache(x))
        reply_add_header(x, "Age", arena_format(x->arena, "%lld", (long long)x->cache_age_s));
    if (x->is_replay)
        reply_add_header(x, "Idempotent-Replayed", SLICE("true"));
    cors_add_headers(x);
    add_security_headers(x);
    add_rate_headers(x);
}

/* ---- log and metrics ---- */

/* Kept for ever, as metrics are; a second gateway (in tests) finds those of the first. */
static struct known_metrics {
    const char *operation;
    struct operation_metrics metrics;
    struct known_metrics *next;
} * known_metrics;
static pthread_mutex_t known_metrics_lock = PTHREAD_MUTEX_INITIALIZER;

static struct operation_metrics *metrics_of(const char *operation)
{
    for (struct known_metrics *known = known_metrics; known != NULL; known = known->next) {
        if (strcmp(known->operation, operation) == 0)
            return &known->metrics;
    }
    struct known_metrics *known = calloc(1, sizeof(*known));
    CHECK(known != NULL); /* at start */
    char *name = strdup(operation);
    CHECK(name != NULL);
    known->operation = name;
    for (int i = 1; i < STATUS_CLASSES; i++) {
        char *label;
        CHECK(asprintf(&label, "operation=\"%s\",status=\"%dxx\"", operation, i) > 0);
        known->metrics.requests[i] = metric_of_family(&requests_of_operation, label);
    }
    histogram_of_family(&known->metrics.latency, &latency_of_operation, known->operation);
    known->next = known_metrics;
    known_metrics = known;
    return &known->metrics;
}

void gateway_metrics_open(struct gateway *gateway)
{
    const struct operation_table *table = &gateway->services->operations;
    gateway->metrics = calloc(table->count + 1, sizeof(struct operation_metrics *));
    CHECK(gateway->metrics != NULL);
    pthread_mutex_lock(&known_metrics_lock);
    gateway->unrouted = metrics_of("none");
    for (unsigned i = 0; i < table->count; i++)
        gateway->metrics[i] = metrics_of(table->operations[i].name);
    pthread_mutex_unlock(&known_metrics_lock);
}

static const char *method_name(enum http_method method)
{
    switch (method) {
    case METHOD_GET:
        return "GET";
    case METHOD_HEAD:
        return "HEAD";
    case METHOD_POST:
        return "POST";
    case METHOD_PUT:
        return "PUT";
    case METHOD_PATCH:
        return "PATCH";
    case METHOD_DELETE:
        return "DELETE";
    case METHOD_OPTIONS:
        return "OPTIONS";
    case METHOD_OTHER:
        break;
    }
    return "OTHER";
}

/* The route's template, never the path: a path can hold a cart's id, which is a key. */
static void write_log(const struct exchange *x, int64_t duration_us)
{
    if (!log_enabled(LOG_REQUEST))
        return;
    const struct operation *operation = x->request.operation;
    struct log_line line;
    log_begin(&line, LOG_REQUEST, "request");
    log_string(&line, "id", x->request_id);
    log_string(&line, "method", slice_from(method_name(x->method)));
    log_string(&line, "route", operation ? slice_from(operation->path) : SLICE("none"));
    log_int(&line, "status", x->reply.status);
    log_int(&line, "duration_us", duration_us);
    log_int(&line, "bytes", (int64_t)x->reply.body.len);
    log_string(&line, "address", x->address);
    if (x->has_key) {
        char id[UUID_TEXT_LEN];
        uuid_format(x->key.id, id);
        log_string(&line, "key", (struct slice){id, UUID_TEXT_LEN});
    }
    if (x->cache_state != CACHE_UNUSED)
        log_string(&line, "cache",
                   x->cache_state == CACHE_HIT    ? SLICE("hit")
                   : x->cache_state == CACHE_MISS ? SLICE("miss")
                                                  : SLICE("stale"));
    if (x->response.problem_code != NULL)
        log_string(&line, "problem", slice_from(x->response.problem_code));
    log_end(&line);
}

static void count_metrics(const struct exchange *x, int64_t duration_us)
{
    const struct gateway *gateway = x->gateway;
    const struct operation *operation = x->request.operation;
    struct operation_metrics *metrics =
        operation ? gateway->metrics[operation - gateway->services->operations.operations]
                  : gateway->unrouted;
    metric_add(&metrics->requests[x->reply.status / 100], 1);
    histogram_observe_us(&metrics->latency, duration_us);
    metric_add(&gateway_in_flight, -1);
    if (x->cache_state != CACHE_UNUSED)
        metric_add(x->cache_state == CACHE_HIT    ? &cache_hits
                   : x->cache_state == CACHE_MISS ? &cache_misses
                                                  : &cache_stale_hits,
                   1);
}

static void report_trace(const struct exchange *x)
{
    const struct operation *operation = x->request.operation;
    if (!x->trace.is_sampled)
        return;
    int64_t now_us = clock_monotonic_us();
    trace_end(&(struct trace_report){.trace = &x->trace,
                                     .arena = x->arena,
                                     .method = method_name(x->method),
                                     .route = operation != NULL ? operation->path : NULL,
                                     .operation = operation != NULL ? operation->name : NULL,
                                     .status = (int)x->reply.status,
                                     .began_us = x->started_us,
                                     .ended_us = now_us,
                                     .now_ms = clock_now_ms(),
                                     .now_us = now_us});
}

/* ---- all of it ---- */

/* 304 in place of what the client has, in whatever coding it has it. */
static void compare_etag(struct exchange *x)
{
    struct slice none_match = x->headers[HEADER_IF_NONE_MATCH];
    if (!slice_is_absent(none_match) && is_get(x) && x->status == HTTP_STATUS_OK &&
        header_none_match_has(none_match, x->etag, &x->coding))
        x->status = HTTP_STATUS_NOT_MODIFIED;
}

void gateway_finish(struct gateway *gateway, struct exchange *x)
{
    if (x->is_finished)
        return;
    x->is_finished = true;
    struct trace *before = trace_enter(&x->trace);
    response_run_effects(&x->response, gateway->services->cache);
    gateway_fall_back(x);
    if (!is_from_cache(x) || x->status != HTTP_STATUS_OK) {
        wrap_body(x);
        x->reply.body = buf_slice(&x->response.body);
        make_etag(x);
        gateway_fill_cache(x);
    }
    if (!x->is_refresh) {
        compare_etag(x);
        x->reply.status = x->status;
        add_headers(x);
        int64_t duration_us = clock_monotonic_us() - x->started_us;
        write_log(x, duration_us);
        count_metrics(x, duration_us);
        report_trace(x);
    }
    (void)trace_enter(before);
    fill_end(x);
}
