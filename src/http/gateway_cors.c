/* CORS (the Fetch standard, "HTTP-CORS protocol"): which pages of other origins may call the API from a
 * browser. The list (SOUK_CORS_ORIGINS) holds exact origins, none by default; the reply names the one that
 * asked, never "*", since it may carry the refresh token's cookie. It protects customers from foreign pages,
 * not the API from other clients: a request is answered the same with or without it. */
#include "base/origin.h"
#include "http/gateway_private.h"

/* Header fields that a page may send beside those that any page may. */
#define REQUEST_HEADERS                                                                                      \
    "Authorization, Cache-Control, Content-Type, Idempotency-Key, If-Match, If-None-Match, traceparent, "    \
    "tracestate, X-Request-Id"
/* ... and those of a reply that its script may read, beside Cache-Control, Content-Type and the like. */
#define REPLY_HEADERS                                                                                        \
    "Age, Allow, ETag, Idempotent-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, "            \
    "WWW-Authenticate, X-Request-Id"
/* How long a browser may remember the answer to a preflight, in seconds; Chromium takes no more. */
#define PREFLIGHT_SECONDS "7200"

static bool has_list(const struct exchange *x)
{
    return x->gateway->services->config->cors_origins.len > 0;
}

bool cors_is_allowed(const struct exchange *x)
{
    struct slice origin = x->headers[HEADER_ORIGIN];
    return has_list(x) && !slice_is_absent(origin) &&
           origin_is_listed(x->gateway->services->config->cors_origins, origin);
}

void cors_answer_preflight(struct exchange *x, struct slice methods)
{
    if (slice_is_absent(x->headers[HEADER_ACCESS_CONTROL_REQUEST_METHOD]) || !cors_is_allowed(x))
        return;
    response_header(&x->response, "Access-Control-Allow-Methods", methods);
    response_header(&x->response, "Access-Control-Allow-Headers", SLICE(REQUEST_HEADERS));
    response_header(&x->response, "Access-Control-Max-Age", SLICE(PREFLIGHT_SECONDS));
}

void cors_add_headers(struct exchange *x)
{
    if (!cors_is_allowed(x))
        return;
    reply_add_header(x, "Access-Control-Allow-Origin", arena_copy(x->arena, x->headers[HEADER_ORIGIN]));
    reply_add_header(x, "Access-Control-Allow-Credentials", SLICE("true"));
    if (x->method != METHOD_OPTIONS)
        reply_add_header(x, "Access-Control-Expose-Headers", SLICE(REPLY_HEADERS));
}

void cors_add_vary(const struct exchange *x, struct buf *vary)
{
    if (!has_list(x))
        return;
    buf_append(vary, vary->len > 0 ? SLICE(", Origin") : SLICE("Origin"));
    if (x->method == METHOD_OPTIONS)
        buf_append(vary, SLICE(", Access-Control-Request-Method"));
}
