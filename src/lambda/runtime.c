/* The loop. Paths and headers as AWS's page on the Runtime API has them, version 2018-06-01. */
#include "lambda/runtime.h"

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/log.h"
#include "base/metrics_emf.h"
#include "lambda/event.h"
#include "lambda/http.h"
#include "net/trace_export.h"

#define API "/2018-06-01/runtime/"
#define REPLY_BYTES_MAX ((size_t)64 << 10) /* of what the API says to an answer */

/* ---- errors ---- */

static struct slice error_document(struct arena *arena, struct slice type, struct slice message)
{
    struct buf out;
    struct json_writer json;
    buf_init(&out, arena);
    json_init(&json, &out);
    json_object_begin(&json);
    json_field_string(&json, "errorMessage", message);
    json_field_string(&json, "errorType", type);
    json_field_array_begin(&json, "stackTrace");
    json_array_end(&json);
    json_object_end(&json);
    return buf_slice(&out);
}

static struct lambda_http_call error_call(struct arena *arena, struct slice path, struct slice type,
                                          struct slice message)
{
    return (struct lambda_http_call){
        .method = "POST",
        .path = path,
        .headers = arena_format(arena,
                                "Content-Type: application/vnd.aws.lambda.error+json\r\n"
                                "Lambda-Runtime-Function-Error-Type: %.*s\r\n",
                                SLICE_ARG(type)),
        .body = {error_document(arena, type, message)},
        .reply_bytes_max = REPLY_BYTES_MAX,
    };
}

bool lambda_report_init_error(struct lambda_http *http, struct arena *arena, struct slice type,
                              struct slice message)
{
    struct lambda_http_call call = error_call(arena, SLICE(API "init/error"), type, message);
    struct lambda_http_reply reply;
    struct slice complaint;
    return lambda_http_call(http, arena, &call, &reply, &complaint) == LAMBDA_HTTP_ANSWERED &&
           reply.status == 202;
}

/* ---- one invocation ---- */

static bool take_deadline(struct invocation *invocation, struct slice text)
{
    long long deadline_ms;
    if (slice_is_absent(text) || !slice_to_int64(text, &deadline_ms))
        return false;
    invocation->deadline_ms = deadline_ms;
    int64_t left_ms = deadline_ms - clock_now_ms() - LAMBDA_DEADLINE_MARGIN_MS;
    invocation->deadline_us = clock_monotonic_us() + (left_ms > 0 ? left_ms : 0) * 1000;
    return true;
}

/* False with *complaint when that is no invocation. */
static bool take_invocation(struct arena *arena, const struct lambda_http_reply *reply,
                            struct invocation *invocation, struct slice *complaint)
{
    *invocation = (struct invocation){
        .arena = arena,
        .event = reply->body,
        .request_id = lambda_http_header(reply, SLICE("lambda-runtime-aws-request-id")),
        .trace_header = lambda_http_header(reply, SLICE("lambda-runtime-trace-id")),
        .function_arn = lambda_http_header(reply, SLICE("lambda-runtime-invoked-function-arn")),
    };
    *complaint = arena_format(arena, "the Runtime API answered %d to the question for work", reply->status);
    if (reply->status != 200)
        return false;
    *complaint = SLICE("the Runtime API sent an invocation without its id or deadline");
    return invocation->request_id.len > 0 &&
           take_deadline(invocation, lambda_http_header(reply, SLICE("lambda-runtime-deadline-ms")));
}

static struct slice path_of(const struct invocation *invocation, const char *what)
{
    return arena_format(invocation->arena, API "invocation/%.*s/%s", SLICE_ARG(invocation->request_id), what);
}

static struct lambda_http_call answer_call(const struct invocation *invocation,
                                           const struct lambda_result *result)
{
    bool is_streamed = !slice_is_absent(result->stream_type);
    struct slice headers = SLICE("Content-Type: application/json\r\n");
    if (is_streamed)
        headers = arena_format(invocation->arena,
                               "Content-Type: %.*s\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n",
                               SLICE_ARG(result->stream_type));
    return (struct lambda_http_call){.method = "POST",
                                     .path = path_of(invocation, "response"),
                                     .headers = headers,
                                     .body = {result->answer, result->stream_body},
                                     .is_chunked = is_streamed,
                                     .reply_bytes_max = REPLY_BYTES_MAX};
}

static void fail(struct lambda_result *result, struct slice type, struct slice message)
{
    *result = (struct lambda_result){.failed = true, .error_type = type, .error_message = message};
}

/* An error of the function is for whoever looks after it: the log has it beside AWS's id. */
static void log_failure(const struct invocation *invocation, const struct lambda_result *result)
{
    struct log_line line;
    log_begin(&line, LOG_ERROR, "an invocation failed");
    log_string(&line, "requestId", invocation->request_id);
    log_string(&line, "type", result->error_type);
    log_string(&line, "reason", result->error_message);
    log_end(&line);
}

/* False when the API is gone, or says that this process must end. */
static bool post(struct lambda_http *http, const struct invocation *invocation, struct lambda_result *result,
                 struct slice *complaint)
{
    struct lambda_http_reply reply;
    if (!result->failed && slice_is_absent(result->stream_type) &&
        result->answer.len > LAMBDA_ANSWER_BYTES_MAX)
        fail(result, SLICE("Function.ResponseSizeTooLarge"), SLICE("the answer is larger than 6 MB"));
    if (result->failed)
        log_failure(invocation, result);
    struct lambda_http_call call = result->failed
                                       ? error_call(invocation->arena, path_of(invocation, "error"),
                                                    result->error_type, result->error_message)
                                       : answer_call(invocation, result);
    if (lambda_http_call(http, invocation->arena, &call, &reply, complaint) != LAMBDA_HTTP_ANSWERED)
        return false;
    *complaint = SLICE("the Runtime API cannot go on");
    if (reply.status / 100 == 5)
        return false;
    /* It was too late, or too large after all: the API has told the caller so. */
    if (reply.status != 202)
        log_message(LOG_ERROR, "the Runtime API answered %d to what an invocation left: %.*s", reply.status,
                    (int)(reply.body.len < 200 ? reply.body.len : 200), reply.body.ptr);
    return true;
}

static bool serve(struct lambda_http *http, struct lambda_context *context,
                  const struct invocation *invocation, struct slice *complaint)
{
    struct lambda_result result = {.failed = false, .answer = SLICE("null")};
    context->handler->handle(context, invocation, &result);
    bool is_good = post(http, invocation, &result, complaint);
    if (context->handler->settle != NULL)
        context->handler->settle(context, invocation);
    trace_exporter_flush(invocation->deadline_us); /* the process may never run again */
    metrics_emf_write(invocation->arena);
    return is_good;
}

/* ---- the loop ---- */

bool lambda_run(struct lambda_http *http, struct lambda_context *context, struct slice *complaint)
{
    const struct lambda_http_call next = {.method = "GET",
                                          .path = SLICE(API "invocation/next"),
                                          .waits_for_end = true,
                                          .reply_bytes_max = LAMBDA_EVENT_BYTES_MAX};
    struct arena arena = {0};
    struct lambda_http_reply reply;
    struct invocation invocation;
    struct slice failure = SLICE("the system gives no memory");
    bool is_good = arena_init(&arena, LAMBDA_ARENA_BYTES);
    while (is_good) {
        arena_reset(&arena);
        enum lambda_http_result result = lambda_http_call(http, &arena, &next, &reply, &failure);
        if (result == LAMBDA_HTTP_ENDED)
            break;
        is_good = result == LAMBDA_HTTP_ANSWERED && take_invocation(&arena, &reply, &invocation, &failure) &&
                  serve(http, context, &invocation, &failure);
    }
    *complaint = is_good ? SLICE_ABSENT : arena_copy(context->arena, failure);
    arena_release(&arena);
    return is_good;
}
