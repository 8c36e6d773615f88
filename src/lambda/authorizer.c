/* The handler `authorizer`: a Lambda authorizer of API Gateway. Who is calling is found by the gateway's own
 * steps (session, role, API key, Cognito, OIDC), so that what passes here and what the API takes are the
 * same.
 *
 * API Gateway keeps an answer by the token, for other paths and methods too. So it holds for the whole stage:
 * this says who calls, and the API itself, which checks every request again, what they may do. A session that
 * is ended is refused by the API at once, by API Gateway when its cache forgets it.
 *
 * Taken: TOKEN and REQUEST of REST APIs, 1.0 and 2.0 of HTTP APIs. Answered: an IAM policy, or the simple
 * form of 2.0 (SOUK_LAMBDA_SIMPLE_AUTHORIZER). The error "Unauthorized" becomes 401, a policy that denies
 * 403.
 *
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html */
#include "base/check.h"
#include "base/json_writer.h"
#include "http/gateway.h"
#include "lambda/json_event.h"

struct question {
    struct slice stage; /* "arn:aws:execute-api:REGION:ACCOUNT:API/STAGE" */
    bool is_simple;     /* the simple answer is expected */
};

enum verdict { VERDICT_ALLOW, VERDICT_DENY, VERDICT_UNAUTHORIZED, VERDICT_AWAY };

/* ---- the event ---- */

/* Up to the second '/': the stage, with every method and path in it. */
static bool take_stage(struct slice arn, struct slice *stage)
{
    size_t slashes = 0, end = 0;
    while (end < arn.len && (arn.ptr[end] != '/' || ++slashes < 2))
        end++;
    *stage = (struct slice){arn.ptr, end};
    return slashes == 2 && slice_starts_with(arn, SLICE("arn:"));
}

static bool take_headers(struct exchange *x, json_t *headers)
{
    const char *name;
    json_t *value;
    json_object_foreach(headers, name, value)
    {
        if (json_is_string(value) && !exchange_header(x, arena_copy(x->arena, slice_from(name)),
                                                      lambda_event_text(x->arena, headers, name)))
            return false;
    }
    return true;
}

/* The token of a TOKEN event: API Gateway calls it authorizationToken whatever header it came in. */
static bool take_token(struct exchange *x, struct slice token)
{
    if (slice_is_absent(token))
        return true;
    bool is_key = slice_starts_with(token, SLICE("sk_")) || slice_starts_with(token, SLICE("pk_"));
    return exchange_header(x, is_key ? SLICE("X-Api-Key") : SLICE("Authorization"), token);
}

/* False: it is no event of an authorizer. */
static bool read_question(struct lambda_context *context, json_t *event, struct exchange *x,
                          struct question *question, bool *is_contradictory)
{
    struct slice type = lambda_event_text(x->arena, event, "type");
    struct slice version = lambda_event_text(x->arena, event, "version");
    bool is_second = slice_is(version, "2.0");
    struct slice arn = lambda_event_text(x->arena, event, is_second ? "routeArn" : "methodArn");
    *question = (struct question){.is_simple = is_second && context->config.lambda_simple_authorizer};
    *is_contradictory = slice_is(type, "TOKEN")
                            ? !take_token(x, lambda_event_text(x->arena, event, "authorizationToken"))
                            : !take_headers(x, json_object_get(event, "headers"));
    return (slice_is(type, "TOKEN") || slice_is(type, "REQUEST")) && take_stage(arn, &question->stage);
}

/* ---- who it is ---- */

static enum verdict identify(struct lambda_context *context, struct exchange *x)
{
    enum http_status status = gateway_identify(context->gateway, x);
    if (status == HTTP_STATUS_UNAUTHORIZED)
        return VERDICT_UNAUTHORIZED;
    if (status == HTTP_STATUS_BAD_REQUEST)
        return VERDICT_DENY; /* two callers at once */
    if (status != 0)
        return VERDICT_AWAY;
    bool is_somebody = x->request.principal.kind != PRINCIPAL_ANONYMOUS || x->has_key;
    return is_somebody ? VERDICT_ALLOW : VERDICT_UNAUTHORIZED;
}

static struct slice id_text(struct arena *arena, struct uuid id)
{
    char *text = arena_alloc(arena, UUID_TEXT_LEN + 1);
    uuid_format(id, text);
    text[UUID_TEXT_LEN] = '\0';
    return (struct slice){text, UUID_TEXT_LEN};
}

/* ---- the answer ---- */

/* What integrations and access logs are told: texts only, as API Gateway wants them. */
static void write_context(struct json_writer *json, const struct exchange *x)
{
    const struct principal *principal = &x->request.principal;
    struct arena *arena = x->arena;
    json_field_object_begin(json, "context");
    if (principal->kind == PRINCIPAL_USER) {
        json_field_string(json, "userId", id_text(arena, principal->user_id));
        json_field_string(json, "role", slice_from(role_name(principal->role)));
    }
    if (x->has_key) {
        json_field_string(json, "keyId", id_text(arena, x->key.id));
        json_field_string(json, "keyKind", slice_from(api_key_kind_name(x->key.kind)));
    }
    if (principal->scopes != 0)
        json_field_string(json, "scopes", scopes_format(arena, principal->scopes));
    json_object_end(json);
}

static void write_policy(struct json_writer *json, const struct exchange *x, const struct question *question,
                         bool is_allowed)
{
    struct arena *arena = x->arena;
    json_field_object_begin(json, "policyDocument");
    json_field_string(json, "Version", SLICE("2012-10-17"));
    json_field_array_begin(json, "Statement");
    json_object_begin(json);
    json_field_string(json, "Action", SLICE("execute-api:Invoke"));
    json_field_string(json, "Effect", is_allowed ? SLICE("Allow") : SLICE("Deny"));
    json_field_string(json, "Resource", arena_format(arena, "%.*s/*", SLICE_ARG(question->stage)));
    json_object_end(json);
    json_array_end(json);
    json_object_end(json);
}

static struct slice principal_id(const struct exchange *x)
{
    const struct principal *principal = &x->request.principal;
    bool is_user = principal->kind == PRINCIPAL_USER;
    if (!is_user && !x->has_key)
        return SLICE("nobody");
    struct slice id = id_text(x->arena, is_user ? principal->user_id : x->key.id);
    return arena_format(x->arena, "%s:%.*s", is_user ? "user" : "key", SLICE_ARG(id));
}

static struct slice answer(const struct exchange *x, const struct question *question, bool is_allowed)
{
    struct buf out;
    struct json_writer json;
    buf_init(&out, x->arena);
    json_init(&json, &out);
    json_object_begin(&json);
    if (question->is_simple) {
        json_field_bool(&json, "isAuthorized", is_allowed);
    } else {
        json_field_string(&json, "principalId", principal_id(x));
        write_policy(&json, x, question, is_allowed);
        /* A usage plan of API Gateway knows the key by its id: its text stays with its owner. */
        if (x->has_key)
            json_field_string(&json, "usageIdentifierKey", id_text(x->arena, x->key.id));
    }
    write_context(&json, x);
    json_object_end(&json);
    return buf_slice(&out);
}

/* ---- the handler ---- */

static bool authorizer_open(struct lambda_context *context, struct slice *complaint)
{
    *complaint = SLICE("the system gives no memory");
    context->gateway = gateway_new(&context->services);
    return context->gateway != NULL;
}

static void decide(struct lambda_context *context, struct exchange *x, const struct question *question,
                   bool is_contradictory, struct lambda_result *result)
{
    switch (is_contradictory ? VERDICT_DENY : identify(context, x)) {
    case VERDICT_ALLOW:
        result->answer = answer(x, question, true);
        return;
    case VERDICT_DENY:
        result->answer = answer(x, question, false);
        return;
    case VERDICT_UNAUTHORIZED:
        if (question->is_simple)
            result->answer = answer(x, question, false);
        else /* API Gateway looks for this very message */
            lambda_fail(result, SLICE("Unauthorized"), SLICE("Unauthorized"));
        return;
    case VERDICT_AWAY:
        lambda_fail(result, SLICE("Authorizer.Unavailable"),
                    SLICE("the database or the identity provider cannot be reached"));
        return;
    }
}

static void authorizer_handle(struct lambda_context *context, const struct invocation *invocation,
                              struct lambda_result *result)
{
    struct question question;
    bool is_contradictory;
    json_t *event = lambda_event_object(invocation, result);
    if (event == NULL)
        return;
    if (atomic_load(&context->services.is_closed))
        context->reopen(context);
    struct exchange *x = exchange_new(invocation->arena);
    x->ends_us = invocation->deadline_us;
    if (read_question(context, event, x, &question, &is_contradictory))
        decide(context, x, &question, is_contradictory, result);
    else
        lambda_fail(
            result, SLICE("Event.Malformed"),
            SLICE(
                "the event must be one of an authorizer: type TOKEN or REQUEST, and methodArn or routeArn"));
    json_decref(event);
}

static void authorizer_close(struct lambda_context *context)
{
    gateway_free(context->gateway);
}

const struct lambda_handler lambda_authorizer = {
    .name = "authorizer",
    .help = "says to API Gateway who is calling",
    .needs = LAMBDA_NEEDS_SHOP,
    .open = authorizer_open,
    .handle = authorizer_handle,
    .close = authorizer_close,
};
