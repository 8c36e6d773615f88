/* The handler `api`: the shop over HTTP. An event becomes an exchange, the gateway answers it on this very
 * thread, and the reply goes back in the shape of the front that sent it. */
#include "auth/key_usage.h"
#include "base/clock.h"
#include "lambda/event.h"
#include "lambda/handler.h"
#include "lambda/nudge.h"

#include <stdlib.h>

/* What no client waits for may go on for so long, of what the invocation has left. */
#define SETTLE_MS 2000

struct api {
    struct arena arena;  /* of the exchange */
    struct nudge *nudge; /* NULL: no queue to tell */
};

static bool api_open(struct lambda_context *context, struct slice *complaint)
{
    struct api *api = calloc(1, sizeof(*api));
    CHECK(api != NULL); /* at start */
    context->own = api;
    context->services.key_usage = key_usage_new();
    api->nudge = nudge_new(&context->config);
    *complaint = SLICE("the system gives no memory");
    if (!arena_init(&api->arena, ARENA_REQUEST_BYTES))
        return false;
    context->gateway = gateway_new(&context->services);
    return context->gateway != NULL;
}

static void fail(struct lambda_result *result, struct slice type, struct slice message)
{
    *result = (struct lambda_result){.failed = true, .error_type = type, .error_message = message};
}

/* The same question with another answer: the reply does not get through this front. */
static struct exchange *refuse_large(struct gateway *gateway, const struct lambda_event *event,
                                     const struct exchange *from)
{
    struct exchange *x = exchange_new(from->arena);
    x->method = from->method;
    x->target = from->target;
    x->address = from->address;
    memcpy(x->headers, from->headers, sizeof(x->headers));
    x->headers[HEADER_X_REQUEST_ID] = from->request_id;
    x->amazon_trace = from->amazon_trace;
    gateway_open(gateway, x);
    gateway_refuse(gateway, x, PROBLEM_REPLY_TOO_LARGE,
                   arena_format(x->arena,
                                "A reply through this front has at most %zu MB; ask for less (limit, fields)",
                                event_answer_bytes_max(event) / 1000000)
                       .ptr);
    return x;
}

static void answer(struct lambda_context *context, const struct invocation *invocation,
                   const struct lambda_event *event, struct exchange *x, struct lambda_result *result)
{
    bool has_body = x->method != METHOD_HEAD && x->reply.status != HTTP_STATUS_NOT_MODIFIED;
    if (context->config.lambda_streaming && event->front != FRONT_ALB) {
        result->stream_type = SLICE(LAMBDA_STREAM_TYPE);
        result->answer = event_stream_prelude(event, &x->reply, invocation->arena);
        result->stream_body = has_body ? x->reply.body : SLICE("");
        return;
    }
    result->answer = event_answer(event, &x->reply, has_body, invocation->arena);
    if (!slice_is_absent(result->answer))
        return;
    x = refuse_large(context->gateway, event, x);
    result->answer = event_answer(event, &x->reply, has_body, invocation->arena);
}

static void api_handle(struct lambda_context *context, const struct invocation *invocation,
                       struct lambda_result *result)
{
    struct api *api = context->own;
    struct lambda_event event;
    struct slice complaint;
    arena_reset(&api->arena);
    if (atomic_load(&context->services.is_closed))
        context->reopen(context);
    struct exchange *x = exchange_new(&api->arena);
    enum event_result read = event_read(invocation->event, x, &event, &complaint);
    if (read == EVENT_MALFORMED) {
        fail(result, SLICE("Event.Malformed"), complaint);
        return;
    }
    x->ends_us = invocation->deadline_us;
    x->amazon_trace = invocation->trace_header;
    gateway_open(context->gateway, x);
    if (read == EVENT_REFUSED)
        gateway_refuse(context->gateway, x, PROBLEM_MALFORMED_REQUEST, complaint.ptr);
    else
        gateway_run(context->gateway, x);
    answer(context, invocation, &event, x, result);
}

static void api_settle(struct lambda_context *context, const struct invocation *invocation)
{
    const struct api *api = context->own;
    nudge_send(api->nudge, invocation->arena);
    int64_t ends_us = clock_monotonic_us() + SETTLE_MS * INT64_C(1000);
    gateway_settle(context->gateway, ends_us < invocation->deadline_us ? ends_us : invocation->deadline_us);
}

static void api_close(struct lambda_context *context)
{
    struct api *api = context->own;
    gateway_free(context->gateway);
    key_usage_stop(context->services.key_usage);
    nudge_free(api->nudge);
    arena_release(&api->arena);
    free(api);
}

const struct lambda_handler lambda_api = {
    .name = "api",
    .help = "the shop's API, behind API Gateway, a function URL or a load balancer",
    .needs = LAMBDA_NEEDS_SHOP,
    .open = api_open,
    .handle = api_handle,
    .settle = api_settle,
    .close = api_close,
};
