/* The pipeline, step by step. Each check answers 0 ("go on") or the status of the problem that it has
 * written.
 *
 * gateway_open takes the steps that need no body, gateway_handle the others up to the handler;
 * gateway_execute.c runs the handler, gateway_fill.c lets one make the reply that many ask for,
 * gateway_finish.c makes the reply.
 *
 * Threads of transports may touch memory, and a database that lies in this process (SQLite). Where it does
 * not they leave the rest of the steps to a worker at the first one that asks it: one hop, whatever it asks.
 */
#include "http/gateway.h"

#include "auth/issuer.h"
#include "auth/key_usage.h"
#include "auth/session.h"
#include "auth/token.h"
#include "base/clock.h"
#include "http/gateway_private.h"
#include "http/headers.h"
#include "http/target.h"

#include <stdlib.h>

#define GO_ON ((enum http_status)0)
#define PASSWORD_THREADS 2
#define ISSUER_THREADS 8

/* ---- the exchange ---- */

struct exchange *exchange_new(struct arena *arena)
{
    struct exchange *x = ARENA_NEW(arena, struct exchange);
    x->arena = arena;
    return x;
}

static const struct known_header {
    struct slice name;
    bool is_list; /* may stand in several lines, which count as one with commas */
} KNOWN_HEADERS[HEADER_COUNT] = {
    [HEADER_ACCEPT] = {{"accept", 6}, true},
    [HEADER_ACCEPT_ENCODING] = {{"accept-encoding", 15}, true},
    [HEADER_ACCESS_CONTROL_REQUEST_METHOD] = {{"access-control-request-method", 29}, false},
    [HEADER_AUTHORIZATION] = {{"authorization", 13}, false},
    [HEADER_CACHE_CONTROL] = {{"cache-control", 13}, true},
    [HEADER_CONTENT_ENCODING] = {{"content-encoding", 16}, true},
    [HEADER_CONTENT_TYPE] = {{"content-type", 12}, false},
    [HEADER_COOKIE] = {{"cookie", 6}, false},
    [HEADER_HOST] = {{"host", 4}, false},
    [HEADER_IDEMPOTENCY_KEY] = {{"idempotency-key", 15}, false},
    [HEADER_IF_MATCH] = {{"if-match", 8}, true},
    [HEADER_IF_NONE_MATCH] = {{"if-none-match", 13}, true},
    [HEADER_ORIGIN] = {{"origin", 6}, false},
    [HEADER_USER_AGENT] = {{"user-agent", 10}, false},
    [HEADER_FORWARDED] = {{"forwarded", 9}, true},
    /* Several of these are one that is not valid, and that is no reason to refuse the request. */
    [HEADER_TRACEPARENT] = {{"traceparent", 11}, true},
    [HEADER_TRACESTATE] = {{"tracestate", 10}, true},
    [HEADER_X_AMZN_TRACE_ID] = {{"x-amzn-trace-id", 15}, true},
    [HEADER_X_API_KEY] = {{"x-api-key", 9}, false},
    [HEADER_X_FORWARDED_FOR] = {{"x-forwarded-for", 15}, true},
    [HEADER_X_REQUEST_ID] = {{"x-request-id", 12}, false},
};

bool exchange_header(struct exchange *x, struct slice name, struct slice value)
{
    for (size_t i = 0; i < HEADER_COUNT; i++) {
        const struct known_header *known = &KNOWN_HEADERS[i];
        if (name.len != known->name.len || !slice_equals_ignore_case(name, known->name))
            continue;
        if (slice_is_absent(x->headers[i])) {
            x->headers[i] = value;
            return true;
        }
        if (!known->is_list)
            return false;
        x->headers[i] = arena_format(x->arena, "%.*s, %.*s", SLICE_ARG(x->headers[i]), SLICE_ARG(value));
        return true;
    }
    return true;
}

/* ---- steps before the body is read ---- */

/* Takes the caller's X-Request-Id when it is fit for a log, else makes one. */
static void take_request_id(struct exchange *x)
{
    struct slice given = x->headers[HEADER_X_REQUEST_ID];
    if (!slice_is_absent(given) && header_request_id_is_sane(given)) {
        x->request_id = arena_copy(x->arena, given);
        if (uuid_parse(given, &x->request.id))
            return;
    }
    x->request.id = uuid_v7(x->request.now_ms);
    if (!slice_is_absent(x->request_id))
        return;
    char *text = arena_alloc(x->arena, UUID_TEXT_LEN + 1);
    uuid_format(x->request.id, text);
    text[UUID_TEXT_LEN] = '\0';
    x->request_id = (struct slice){text, UUID_TEXT_LEN};
}

/* Without a caller's word the trace has the request's id. Amazon's header stands in most requests that come
 * by its fronts, and says that nothing is sampled: it counts where X-Ray is asked for. */
static void begin_trace(struct exchange *x)
{
    struct trace_headers headers = {.traceparent = x->headers[HEADER_TRACEPARENT],
                                    .tracestate = x->headers[HEADER_TRACESTATE]};
    if (x->gateway->services->config->trace == TRACE_XRAY)
        headers.amazon =
            slice_is_absent(x->amazon_trace) ? x->headers[HEADER_X_AMZN_TRACE_ID] : x->amazon_trace;
    trace_begin(&x->trace, x->arena, &headers, x->request.id);
}

static const char *const METHOD_NAMES[] = {
    [METHOD_GET] = "GET",     [METHOD_HEAD] = "HEAD",     [METHOD_POST] = "POST",       [METHOD_PUT] = "PUT",
    [METHOD_PATCH] = "PATCH", [METHOD_DELETE] = "DELETE", [METHOD_OPTIONS] = "OPTIONS",
};

/* As Allow lists them. `methods`: bits 1 << enum http_method. */
static struct slice method_list(struct arena *arena, unsigned methods)
{
    struct buf list;
    buf_init(&list, arena);
    for (size_t i = 0; i < COUNT_OF(METHOD_NAMES); i++) {
        if ((methods & (1u << i)) == 0)
            continue;
        if (list.len > 0)
            buf_append(&list, SLICE(", "));
        buf_append(&list, slice_from(METHOD_NAMES[i]));
    }
    return buf_slice(&list);
}

static enum http_status answer_method(struct exchange *x)
{
    enum http_status status = HTTP_STATUS_NO_CONTENT;
    struct slice methods = method_list(x->arena, x->route.methods | (1u << METHOD_OPTIONS));
    if (x->method != METHOD_OPTIONS)
        status = problem(&x->response, PROBLEM_METHOD_NOT_ALLOWED,
                         "See the Allow header for what this path takes");
    else
        cors_answer_preflight(x, methods);
    response_header(&x->response, "Allow", methods);
    return status;
}

static enum http_status find_route(struct gateway *gateway, struct exchange *x)
{
    struct target target;
    if (x->target.len > URI_BYTES_MAX)
        return problem(&x->response, PROBLEM_URI_TOO_LONG, "At most %d bytes", URI_BYTES_MAX);
    if (!target_split(x->target, &target))
        return problem(&x->response, PROBLEM_MALFORMED_REQUEST, "The request target is malformed");
    x->query = target.query;
    if (slice_is(target.path, "*") && x->method == METHOD_OPTIONS) {
        x->route.methods = (1u << METHOD_OPTIONS) - 1; /* whatever souk knows */
        return answer_method(x);
    }
    switch (router_find(gateway->router, x->arena, x->method, target.path, &x->route)) {
    case ROUTE_FOUND:
        x->request.operation = x->route.operation;
        response_init(&x->response, x->arena, x->route.operation->is_bare);
        x->body_limit = x->route.operation->body_limit;
        x->target = target.path; /* from here on: the raw path */
        return GO_ON;
    case ROUTE_NO_PATH:
        return problem(&x->response, PROBLEM_NOT_FOUND, "No such path");
    case ROUTE_NO_METHOD:
        return answer_method(x);
    case ROUTE_MALFORMED:
        break;
    }
    return problem(&x->response, PROBLEM_MALFORMED_REQUEST, "The path holds a malformed escape");
}

/* Who asks is the other end of the connection, or, where that is a proxy of ours, whom it names. What a proxy
 * on this machine hands on came from elsewhere, whether it says so or not. */
static void take_address(const struct gateway *gateway, struct exchange *x)
{
    struct slice forwarded_for = x->headers[HEADER_X_FORWARDED_FOR];
    bool is_proxied = proxies_have(&gateway->proxies, x->address);
    x->request.is_loopback = x->is_loopback && !is_proxied && slice_is_absent(forwarded_for) &&
                             slice_is_absent(x->headers[HEADER_FORWARDED]);
    if (is_proxied)
        x->address = client_address(&gateway->proxies, x->arena, x->address, forwarded_for);
    x->request.address = x->address;
}

void gateway_open(struct gateway *gateway, struct exchange *x)
{
    metric_add(&gateway_in_flight, 1);
    x->gateway = gateway;
    x->started_us = clock_monotonic_us();
    x->body_limit = BODY_BYTES_DEFAULT;
    struct request *request = &x->request;
    request->services = gateway->services;
    request->arena = x->arena;
    request->now_ms = clock_now_ms();
    take_address(gateway, x);
    take_request_id(x);
    begin_trace(x);
    x->arena_mark = x->arena->used;
    response_init(&x->response, x->arena, true);
    x->status = find_route(gateway, x);
}

/* ---- steps before the handler ---- */

enum http_status gateway_answer_throttled(struct exchange *x, int64_t retry_after_s)
{
    enum http_status status =
        problem(&x->response, PROBLEM_RATE_LIMIT_EXCEEDED, "Try again in %lld s", (long long)retry_after_s);
    response_header(&x->response, "Retry-After", arena_format(x->arena, "%lld", (long long)retry_after_s));
    problem_extra_int(&x->response, "retryAfterSeconds", retry_after_s);
    return status;
}

void gateway_note_policy(struct exchange *x, const char *name, const struct throttle_verdict *verdict)
{
    CHECK(x->policy_count < RATE_POLICIES_MAX);
    x->policies[x->policy_count++] = (struct rate_policy){.name = name,
                                                          .limit = verdict->limit,
                                                          .window_s = verdict->window_s,
                                                          .remaining = verdict->remaining,
                                                          .reset_s = verdict->reset_s};
}

/* This address first, then the whole API: what one address is refused takes nothing from the others. What was
 * not routed counts as reading. */
static enum http_status check_rate_of_address(struct gateway *gateway, struct exchange *x)
{
    struct throttle *throttle = gateway->throttle;
    const struct operation *operation = x->request.operation;
    enum rate_class rate_class = operation != NULL ? operation->rate_class : RATE_READ;
    if (throttle == NULL || rate_class == RATE_NONE)
        return GO_ON;
    struct throttle_verdict verdict;
    throttle_take(throttle, throttle_address(throttle, x->address), rate_class, x->started_us, &verdict);
    gateway_note_policy(x, throttle_class_name(rate_class), &verdict);
    if (!verdict.is_allowed)
        return gateway_answer_throttled(x, verdict.retry_after_s);
    return throttle_take_whole(throttle, x->started_us) ? GO_ON : gateway_answer_throttled(x, 1);
}

static const char *const USER_POLICIES[] = {
    [RATE_READ] = "user-read",
    [RATE_WRITE] = "user-write",
    [RATE_LOGIN] = "user-login",
    [RATE_CHECKOUT] = "user-checkout",
};

/* A user has the same allowance from however many addresses. */
static enum http_status check_rate_of_user(struct gateway *gateway, struct exchange *x)
{
    struct throttle *throttle = gateway->throttle;
    enum rate_class rate_class = x->request.operation->rate_class;
    if (throttle == NULL || !principal_is_user(&x->request.principal) || rate_class == RATE_NONE)
        return GO_ON;
    struct throttle_verdict verdict;
    throttle_take(throttle, throttle_user(throttle, x->request.principal.user_id), rate_class, x->started_us,
                  &verdict);
    gateway_note_policy(x, USER_POLICIES[rate_class], &verdict);
    return verdict.is_allowed ? GO_ON : gateway_answer_throttled(x, verdict.retry_after_s);
}

static enum http_status check_accept(struct exchange *x)
{
    struct slice accept = x->headers[HEADER_ACCEPT];
    /* Bare replies are pages, pictures and keys: whoever asks for one knows what it is. */
    if (slice_is_absent(accept) || x->request.operation->is_bare || slice_trim(accept).len == 0 ||
        header_accepts_json(accept))
        return GO_ON;
    return problem(&x->response, PROBLEM_NOT_ACCEPTABLE, "The reply would be application/json");
}

static enum http_status check_body(struct exchange *x)
{
    if (x->body.len == 0)
        return GO_ON;
    if (x->body_limit == 0)
        return problem(&x->response, PROBLEM_BODY_TOO_LARGE, "This operation takes no body");
    if (x->body.len > x->body_limit)
        return problem(&x->response, PROBLEM_BODY_TOO_LARGE, "At most %zu bytes", x->body_limit);
    struct slice content_type = x->headers[HEADER_CONTENT_TYPE];
    struct slice coding = x->headers[HEADER_CONTENT_ENCODING];
    if (!slice_is_absent(coding) && !slice_equals_ignore_case(coding, SLICE("identity")))
        return problem(&x->response, PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                       "Send the body without Content-Encoding");
    if (slice_is_absent(content_type) || !header_is_json(content_type))
        return problem(&x->response, PROBLEM_UNSUPPORTED_MEDIA_TYPE, "Send application/json in UTF-8");
    return GO_ON;
}

static enum http_status answer_unauthenticated(struct exchange *x, bool is_bad_token)
{
    if (is_bad_token && x->request.operation->tolerates_bad_token)
        return GO_ON; /* it is nobody's, and the request brings another proof */
    enum http_status status =
        problem(&x->response, PROBLEM_UNAUTHENTICATED, "%s",
                is_bad_token ? "The access token is malformed, expired or revoked" : "Send an access token");
    response_header(&x->response, "WWW-Authenticate",
                    is_bad_token ? SLICE("Bearer realm=\"souk\", error=\"invalid_token\"")
                                 : SLICE("Bearer realm=\"souk\""));
    return status;
}

/* Whose token of another issuer this is. Waits for the issuer where it must: on a thread of a pool. */
static enum http_status read_issued_token(struct gateway *gateway, struct exchange *x, struct db *db,
                                          struct slice token, struct principal *principal)
{
    const struct services *services = gateway->services;
    struct issued_token issued;
    if (x->is_recalled) {
        *principal = x->recalled;
        return GO_ON;
    }
    switch (issuer_verify(services->issuer, x->arena, token, x->request.now_ms, &issued)) {
    case ISSUER_GOOD:
        break;
    case ISSUER_BAD:
        return answer_unauthenticated(x, true);
    case ISSUER_AWAY:
        exchange_set_unavailable(x, "The identity provider cannot be reached; try again");
        return x->status;
    }
    switch (services->admit(services, db, x->arena, &issued, x->request.now_ms, principal)) {
    case DB_ROW:
        issuer_remember(services->issuer, &issued, principal);
        return GO_ON;
    case DB_DONE:
        return answer_unauthenticated(x, true);
    case DB_CONFLICT:
    case DB_ERROR:
        break;
    }
    return problem_database(&x->response, DB_ERROR);
}

/* Whose token this is, whoever keeps the accounts. */
static enum http_status read_token(struct gateway *gateway, struct exchange *x, struct db *db,
                                   struct slice token, struct principal *principal)
{
    const struct services *services = gateway->services;
    if (services->issuer != NULL)
        return read_issued_token(gateway, x, db, token, principal);
    if (token_verify(services->keys, db, x->arena, token, x->request.now_ms, principal) == TOKEN_GOOD)
        return GO_ON;
    return answer_unauthenticated(x, true);
}

/* What the token is good for now: whose it is, and how that one's session stands. */
static enum http_status read_standing(struct gateway *gateway, struct exchange *x, struct slice token,
                                      struct principal *principal, struct session_standing *standing)
{
    const struct services *services = gateway->services;
    struct cache *shared = services_private_cache(services);
    int64_t now_ms = x->request.now_ms;
    struct db *db = gateway_thread_db(gateway, x);
    if (db == NULL)
        return problem_database(&x->response, DB_ERROR);
    enum http_status status = read_token(gateway, x, db, token, principal);
    if (status != GO_ON || !principal_is_user(principal))
        return status;
    switch (shared != NULL ? session_check_cached(shared, db, x->arena, principal, now_ms, standing)
                           : session_check_here(services->cache, db, x->arena, principal, now_ms, standing)) {
    case DB_ROW:
        return GO_ON;
    case DB_DONE:
        *principal = (struct principal){.kind = PRINCIPAL_ANONYMOUS};
        return answer_unauthenticated(x, true);
    case DB_CONFLICT:
    case DB_ERROR:
        break;
    }
    return problem_database(&x->response, DB_ERROR);
}

/* A token that is sent must be good, even where none is needed: a client that thinks it is logged in must
 * learn that it is not. Role and scopes are the ones that the user has now, not those at the token's issue.
 */
static enum http_status authenticate(struct gateway *gateway, struct exchange *x)
{
    struct slice authorization = x->headers[HEADER_AUTHORIZATION];
    struct request *request = &x->request;
    struct slice token = x->bearer;
    if (slice_is_absent(authorization) || request->principal.kind == PRINCIPAL_KEY)
        return GO_ON;
    if (slice_is_absent(token))
        return answer_unauthenticated(x, true);
    struct principal principal = {.kind = PRINCIPAL_ANONYMOUS};
    struct session_standing standing;
    if (x->has_standing) {
        principal = x->recalled;
        standing = x->standing;
    } else {
        enum http_status status = read_standing(gateway, x, token, &principal, &standing);
        if (status != GO_ON || !principal_is_user(&principal))
            return status;
    }
    principal.kind = PRINCIPAL_USER;
    principal.role = standing.role;
    /* Where another provider keeps the accounts the second factor is its business. */
    principal.must_enrol = gateway->services->config->require_admin_mfa &&
                           gateway->services->issuer == NULL && standing.scopes != 0 &&
                           !standing.has_second_factor;
    principal.scopes = principal.must_enrol ? 0 : standing.scopes;
    request->principal = principal;
    request->access_token = token;
    return GO_ON;
}

/* A key has scopes and no account: it may do what names a scope of its own, and nothing that is somebody's.
 */
static enum http_status authorize(struct exchange *x)
{
    const struct operation *operation = x->request.operation;
    const struct principal *principal = &x->request.principal;
    if (operation->access == ACCESS_PUBLIC || operation->access == ACCESS_ANYONE)
        return GO_ON;
    if (principal->kind == PRINCIPAL_ANONYMOUS)
        return answer_unauthenticated(x, false);
    if (operation->access == ACCESS_STAFF && principal->must_enrol)
        return problem(&x->response, PROBLEM_MFA_ENROLLMENT_REQUIRED,
                       "Staff of this shop have a second factor: POST /users/me/mfa");
    if (principal->kind == PRINCIPAL_KEY && operation->scope == SCOPE_NONE)
        return problem(&x->response, PROBLEM_FORBIDDEN, "This is for accounts; a key has none");
    bool needs_scope = operation->access == ACCESS_STAFF || principal->kind == PRINCIPAL_KEY;
    if (needs_scope && !principal_has(principal, operation->scope))
        return problem(&x->response, PROBLEM_FORBIDDEN, "Your role does not allow this");
    return GO_ON;
}

static enum http_status parse_query(struct exchange *x)
{
    if (x->query.len == 0)
        return GO_ON;
    x->parameters = ARENA_ARRAY(x->arena, struct raw_parameter, QUERY_PARAMETERS_MAX);
    if (!target_parse_query(x->arena, x->query, x->parameters, &x->parameter_count))
        return problem(&x->response, PROBLEM_MALFORMED_REQUEST,
                       "The query holds a malformed escape or more than %d parameters", QUERY_PARAMETERS_MAX);
    return GO_ON;
}

static enum http_status decode_input(struct exchange *x)
{
    struct request *request = &x->request;
    request->user_agent = x->headers[HEADER_USER_AGENT];
    request->origin = x->headers[HEADER_ORIGIN];
    request->host = x->headers[HEADER_HOST];
    request->refresh_cookie = header_cookie(x->headers[HEADER_COOKIE], SLICE("souk_refresh"));
    request->device_cookie = header_cookie(x->headers[HEADER_COOKIE], SLICE("souk_device"));
    if (request->operation->input == NULL)
        return GO_ON;
    struct raw_input raw = {.path_values = x->route.values,
                            .path_count = x->route.value_count,
                            .query = x->parameters,
                            .query_count = x->parameter_count,
                            .body = x->body.len > 0 ? x->body : SLICE_ABSENT};
    struct field_errors errors = {.count = 0};
    void *input = NULL;
    if (!input_decode(request->operation->input, &raw, x->arena, &input, &errors))
        return problem_fields(&x->response, errors.list, errors.count);
    request->input = input;
    return GO_ON;
}

bool gateway_prepare_refresh(struct exchange *x)
{
    struct request *request = &x->request;
    if (router_find(x->gateway->router, x->arena, x->method, x->target, &x->route) != ROUTE_FOUND)
        return false;
    request->operation = x->route.operation;
    request->services = x->gateway->services;
    request->arena = x->arena;
    request->now_ms = clock_now_ms();
    take_request_id(x);
    x->arena_mark = x->arena->used;
    response_init(&x->response, x->arena, request->operation->is_bare);
    if (parse_query(x) != GO_ON || decode_input(x) != GO_ON)
        return false;
    x->execution = request->operation->choose_execution ? request->operation->choose_execution(request)
                                                        : request->operation->execution;
    return true;
}

static enum http_status read_if_match(struct exchange *x)
{
    struct slice if_match = x->headers[HEADER_IF_MATCH];
    if (slice_is_absent(if_match) || !x->request.operation->accepts_if_match)
        return GO_ON;
    switch (header_if_match(if_match, &x->request.if_match_version)) {
    case IF_MATCH_ANY:
        return GO_ON;
    case IF_MATCH_VERSION:
        x->request.has_if_match = true;
        return GO_ON;
    case IF_MATCH_MALFORMED:
        break;
    }
    return problem_field(&x->response, "If-Match", "FORMAT", "One entity tag, as it came in ETag, or *");
}

/* Who the key belongs to: the user or the secret key; without one the cart, whose id in the path is a secret;
 * else the address.
 */
static void idempotency_scope(struct exchange *x, struct slice key)
{
    const struct request *request = &x->request;
    struct buf text;
    buf_init(&text, x->arena);
    if (principal_is_user(&request->principal)) {
        buf_append(&text, SLICE("user "));
        buf_append(&text,
                   (struct slice){(const char *)request->principal.user_id.bytes, sizeof(struct uuid)});
    } else if (request->principal.kind == PRINCIPAL_KEY) {
        buf_append(&text, SLICE("key "));
        buf_append(&text, (struct slice){(const char *)request->principal.key_id.bytes, sizeof(struct uuid)});
    } else if (strncmp(request->operation->path, "/cart/{", 7) == 0 ||
               strncmp(request->operation->path, "/checkout/{", 11) == 0) {
        buf_append(&text, SLICE("cart"));
    } else {
        buf_append(&text, SLICE("address "));
        buf_append(&text, x->address);
    }
    buf_append_char(&text, '\0');
    buf_append(&text, slice_from(request->operation->name));
    for (size_t i = 0; i < x->route.value_count; i++) {
        buf_append_char(&text, '\0');
        buf_append(&text, x->route.values[i]);
    }
    buf_append_char(&text, '\0');
    buf_append(&text, key);
    sha256(buf_slice(&text), x->request.idempotency.scope);
}

static enum http_status read_idempotency_key(struct exchange *x)
{
    struct slice key = x->headers[HEADER_IDEMPOTENCY_KEY];
    if (slice_is_absent(key))
        return GO_ON;
    if (!x->request.operation->accepts_idempotency_key)
        return problem_field(&x->response, "Idempotency-Key", "NOT_ACCEPTED", "This operation takes no key");
    if (!header_idempotency_key_is_valid(key))
        return problem_field(&x->response, "Idempotency-Key", "FORMAT", "1 to %d printable ASCII characters",
                             IDEMPOTENCY_KEY_BYTES_MAX);
    idempotency_scope(x, key);
    struct buf text;
    buf_init(&text, x->arena);
    buf_append(&text, slice_is_absent(x->query) ? SLICE("") : x->query);
    buf_append_char(&text, '\0');
    buf_append(&text, x->body);
    sha256(buf_slice(&text), x->request.idempotency.body);
    x->request.idempotency.is_present = true;
    return GO_ON;
}

static bool has_credentials(const struct exchange *x)
{
    return !slice_is_absent(x->headers[HEADER_AUTHORIZATION]) ||
           !slice_is_absent(x->headers[HEADER_X_API_KEY]);
}

/* Before the database was there for the first time nobody can be told who they are, nor anything else. */
static enum http_status check_open(struct gateway *gateway, struct exchange *x)
{
    if (!atomic_load(&gateway->services->is_closed) ||
        (x->request.operation->needs_no_database && !has_credentials(x)))
        return GO_ON;
    exchange_set_unavailable(x, "The shop is about to open; try again");
    return x->status;
}

/* The list of steps: those that ask nobody outside of this process, ... */
static enum http_status check_head(struct gateway *gateway, struct exchange *x)
{
    enum http_status status;
    /* clang-format off */
    if ((status = check_rate_of_address(gateway, x)) ||
        (status = x->status) || /* what find_route said */
        (status = check_open(gateway, x)) ||
        (status = check_accept(x)) ||
        (status = check_body(x)))
        return status;
    /* clang-format on */
    return GO_ON;
}

/* ... and from the one on that does when credentials were sent: what they are good for now stands in the
 * database. */
static enum http_status check_caller(struct gateway *gateway, struct exchange *x)
{
    enum http_status status;
    /* clang-format off */
    if ((status = gateway_take_key(gateway, x)) ||
        (status = authenticate(gateway, x)) ||
        (status = check_rate_of_user(gateway, x)) ||
        (status = gateway_check_plan(gateway, x)) ||
        (status = authorize(x)) ||
        (status = parse_query(x)) ||
        (status = gateway_look_up_cache(x)) ||
        (status = decode_input(x)) ||
        (status = read_if_match(x)) ||
        (status = read_idempotency_key(x)))
        return status;
    /* clang-format on */
    return GO_ON;
}

enum http_status gateway_check_caller(struct gateway *gateway, struct exchange *x)
{
    struct trace *before = trace_enter(&x->trace);
    enum http_status status = check_caller(gateway, x);
    (void)trace_enter(before);
    return status;
}

static void take_bearer(struct exchange *x)
{
    struct slice authorization = x->headers[HEADER_AUTHORIZATION];
    if (slice_is_absent(authorization) || !header_bearer(authorization, &x->bearer))
        x->bearer = SLICE_ABSENT;
}

/* The token that came, absent without one (a key of a program is none). */
static struct slice token_of(const struct exchange *x)
{
    return slice_is_absent(gateway_bearer_key(x)) ? x->bearer : SLICE_ABSENT;
}

/* Whether the token is one of another issuer that was not verified yet. Such a one may wait for the issuer,
 * or be one of a flood of forgeries: it goes to the pool of the log-ins, so that the shop's workers never do.
 */
static bool must_ask_issuer(struct gateway *gateway, struct exchange *x)
{
    struct issuer *issuer = gateway->services->issuer;
    struct slice token;
    if (issuer == NULL || slice_is_absent(token = token_of(x)))
        return false;
    x->is_recalled = issuer_recall(issuer, token, x->request.now_ms, &x->recalled);
    return !x->is_recalled;
}

/* Whether all of who calls is known from this process's memory, so that a thread that must not wait may go
 * on. */
static bool remembers_caller(struct gateway *gateway, struct exchange *x)
{
    const struct services *services = gateway->services;
    if (services->cache == NULL)
        return false;
    if (!slice_is_absent(x->headers[HEADER_AUTHORIZATION]) && slice_is_absent(gateway_bearer_key(x))) {
        struct slice token = token_of(x);
        if (slice_is_absent(token))
            return false;
        if (!x->is_recalled && services->issuer == NULL)
            x->is_recalled = token_recall(services->keys, token, x->request.now_ms, &x->recalled);
        x->has_standing = x->is_recalled && session_remembered(services->cache, x->arena, &x->recalled,
                                                               x->request.now_ms, &x->standing);
        if (!x->has_standing)
            return false;
    }
    /* A worker asks for both: until it comes to this the session may have ended. */
    bool is_key_remembered = gateway_remembers_key(gateway, x);
    x->has_standing = x->has_standing && is_key_remembered;
    return is_key_remembered;
}

/* It takes whatever credentials come. */
static const struct operation IDENTIFY = {
    .name = "identify", .access = ACCESS_ANYONE, .rate_class = RATE_NONE};

enum http_status gateway_identify(struct gateway *gateway, struct exchange *x)
{
    struct request *request = &x->request;
    enum http_status status;
    gateway_allow_waiting();
    x->gateway = gateway;
    x->started_us = clock_monotonic_us();
    x->deadline_us = x->ends_us;
    request->services = gateway->services;
    request->arena = x->arena;
    request->now_ms = clock_now_ms();
    request->operation = &IDENTIFY;
    response_init(&x->response, x->arena, true);
    take_bearer(x);
    (void)must_ask_issuer(gateway, x); /* a token that is remembered is not looked at again */
    /* clang-format off */
    if ((status = check_open(gateway, x)) ||
        (status = gateway_take_key(gateway, x)) ||
        (status = authenticate(gateway, x)))
        return status;
    /* clang-format on */
    return GO_ON;
}

enum gateway_progress gateway_handle(struct gateway *gateway, struct exchange *x)
{
    take_bearer(x);
    x->status = check_head(gateway, x);
    if (x->status == GO_ON && must_ask_issuer(gateway, x)) {
        gateway_hand_over(gateway->password_workers, x);
        return GATEWAY_PENDING; /* another thread may own it already: it must not be touched */
    }
    if (x->status == GO_ON && !gateway->reads_inline && has_credentials(x) && !remembers_caller(gateway, x)) {
        gateway_hand_over(gateway->workers, x);
        return GATEWAY_PENDING;
    }
    if (x->status == GO_ON)
        x->status = gateway_check_caller(gateway, x);
    if (x->status == GO_ON && gateway_execute(gateway, x) == GATEWAY_PENDING)
        return GATEWAY_PENDING;
    gateway_finish(gateway, x);
    return GATEWAY_ANSWERED;
}

void gateway_refuse(struct gateway *gateway, struct exchange *x, enum problem_code code, const char *detail)
{
    x->status = problem(&x->response, code, "%s", detail);
    if (code == PROBLEM_UNAVAILABLE)
        response_header(&x->response, "Retry-After", SLICE("1"));
    gateway_finish(gateway, x);
}

/* ---- the synchronous variant ---- */

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t is_done_changed;
    bool is_done;
};

static void waiter_wake(struct exchange *x)
{
    struct waiter *waiter = x->waiter;
    pthread_mutex_lock(&waiter->lock);
    waiter->is_done = true;
    pthread_cond_signal(&waiter->is_done_changed);
    pthread_mutex_unlock(&waiter->lock);
}

static void waiter_wait(struct waiter *waiter)
{
    pthread_mutex_lock(&waiter->lock);
    while (!waiter->is_done)
        pthread_cond_wait(&waiter->is_done_changed, &waiter->lock);
    pthread_mutex_unlock(&waiter->lock);
}

static bool waiter_is_done(struct waiter *waiter)
{
    pthread_mutex_lock(&waiter->lock);
    bool is_done = waiter->is_done;
    pthread_mutex_unlock(&waiter->lock);
    return is_done;
}

/* ---- without threads ---- */

static bool run_waiting(struct gateway *gateway)
{
    return workers_run_waiting(gateway->workers) || workers_run_waiting(gateway->password_workers);
}

/* Until the exchange is done, or is with the lane, which is the store's thread. */
static void run_until_done(struct gateway *gateway, struct waiter *waiter)
{
    while (!waiter_is_done(waiter) && run_waiting(gateway))
        ;
}

void gateway_settle(struct gateway *gateway, int64_t ends_us)
{
    CHECK(gateway->services->is_single);
    while (clock_monotonic_us() < ends_us && run_waiting(gateway))
        ;
    struct key_usage *usage = gateway->services->key_usage;
    const struct exchange nobody = {.deadline_us = ends_us};
    if (usage != NULL && key_usage_has_pending(usage)) {
        struct db *db = gateway_thread_db(gateway, &nobody);
        if (db != NULL)
            key_usage_flush(usage, db);
    }
    if (gateway->throttle != NULL)
        throttle_exchange(gateway->throttle);
}

void gateway_run(struct gateway *gateway, struct exchange *x)
{
    struct waiter waiter = {.is_done = false};
    pthread_mutex_init(&waiter.lock, NULL);
    pthread_cond_init(&waiter.is_done_changed, NULL);
    x->waiter = &waiter;
    x->suspend = NULL;
    x->complete = waiter_wake;
    if (gateway_handle(gateway, x) == GATEWAY_PENDING) {
        if (gateway->services->is_single)
            run_until_done(gateway, &waiter);
        waiter_wait(&waiter);
        gateway_finish(gateway, x);
    }
    x->waiter = NULL;
    pthread_cond_destroy(&waiter.is_done_changed);
    pthread_mutex_destroy(&waiter.lock);
}

/* ---- start and stop ---- */

static bool throttle_start(struct gateway *gateway)
{
    const struct services *services = gateway->services;
    const struct config *config = services->config;
    uint8_t key[32];
    if (!config->rate_limit)
        return true;
    gateway->throttle =
        throttle_new(&(struct throttle_limits){.whole_per_second = config->rate_whole_per_second,
                                               .whole_burst = config->rate_whole_burst,
                                               .read_per_minute = config->rate_per_minute,
                                               .write_per_minute = config->rate_write_per_minute,
                                               .login_per_minute = config->rate_login_per_minute,
                                               .checkout_per_minute = config->rate_checkout_per_minute});
    if (services->redis == NULL)
        return true;
    key_derive(config->secret, "throttle", key);
    return throttle_share(gateway->throttle, services->redis, key, !services->is_single);
}

static bool pools_start(struct gateway *gateway)
{
    int64_t workers = gateway->services->config->workers;
    struct workers_options options = {.name = "worker",
                                      .threads = workers > 0 ? (unsigned)workers : 1,
                                      .queue_max = WORKER_QUEUE_MAX,
                                      .wait_us_max = {[PRIORITY_BROWSE] = SHED_BROWSE_MS * INT64_C(1000),
                                                      [PRIORITY_CART] = SHED_CART_MS * INT64_C(1000)},
                                      .depth = &gateway_worker_queue,
                                      .run_gathered = gateway_run_gathered};
    bool is_single = gateway->services->is_single;
    if (is_single)
        options.threads = 0;
    gateway->workers = workers_new(&options);
    options.name = "password";
    /* Hashing takes a core; asking another issuer takes patience. */
    options.threads = is_single ? 0 : gateway->services->issuer != NULL ? ISSUER_THREADS : PASSWORD_THREADS;
    options.queue_max = PASSWORD_QUEUE_MAX;
    options.depth = &gateway_password_queue;
    options.run_gathered = NULL;
    gateway->password_workers = workers_new(&options);
    return gateway->workers != NULL && gateway->password_workers != NULL;
}

struct gateway *gateway_new(const struct services *services)
{
    struct gateway *gateway = calloc(1, sizeof(*gateway));
    CHECK(gateway != NULL);
    gateway->services = services;
    gateway->reads_inline = store_reads_inline(services->store);
    gateway->is_https = slice_starts_with(services->config->public_url, SLICE("https://"));
    gateway->router = router_new(&services->operations);
    CHECK(pthread_key_create(&gateway->context_key, NULL) == 0);
    pthread_mutex_init(&gateway->contexts_lock, NULL);
    for (size_t i = 0; i < FLIGHT_STRIPES; i++)
        pthread_mutex_init(&gateway->flights[i].lock, NULL);
    for (size_t i = 0; i < FILL_STRIPES; i++)
        pthread_mutex_init(&gateway->fills[i].lock, NULL);
    gateway_metrics_open(gateway);
    proxies_init(&gateway->proxies, services->config->trusted_proxies);
    if (!throttle_start(gateway) || !pools_start(gateway)) {
        gateway_free(gateway);
        return NULL;
    }
    return gateway;
}

void gateway_free(struct gateway *gateway)
{
    if (gateway == NULL)
        return;
    workers_free(gateway->workers);
    workers_free(gateway->password_workers);
    for (struct thread_context *context = gateway->contexts; context != NULL;) {
        struct thread_context *next = context->next;
        if (context->db != NULL)
            store_disconnect(context->db);
        if (context->replica != NULL)
            store_disconnect(context->replica);
        free(context);
        context = next;
    }
    pthread_key_delete(gateway->context_key);
    pthread_mutex_destroy(&gateway->contexts_lock);
    for (size_t i = 0; i < FLIGHT_STRIPES; i++)
        pthread_mutex_destroy(&gateway->flights[i].lock);
    for (size_t i = 0; i < FILL_STRIPES; i++)
        pthread_mutex_destroy(&gateway->fills[i].lock);
    router_free(gateway->router);
    throttle_free(gateway->throttle);
    free(gateway->metrics);
    free(gateway);
}
