/* The steps about keys of programs: which one came, and what its plan allows.
 *
 * A key comes in X-Api-Key, a secret one also as a bearer token. A publishable key goes beside whoever is
 * calling, guest or logged in, and gives nobody more than they have; a secret key is the caller. */
#include "auth/key_usage.h"
#include "http/gateway_private.h"
#include "http/headers.h"

#define GO_ON ((enum http_status)0)

static enum http_status answer_bad_key(struct exchange *x)
{
    enum http_status status = problem(&x->response, PROBLEM_UNAUTHENTICATED,
                                      "The API key is malformed, unknown, expired or revoked");
    response_header(&x->response, "WWW-Authenticate",
                    SLICE("Bearer realm=\"souk\", error=\"invalid_token\""));
    return status;
}

struct slice gateway_bearer_key(const struct exchange *x)
{
    return slice_starts_with(x->bearer, SLICE("sk_")) ? x->bearer : SLICE_ABSENT;
}

/* The key that came, absent without one; false when there is more than one caller. */
static bool find_key(const struct exchange *x, struct slice *key)
{
    struct slice bearer = gateway_bearer_key(x);
    struct slice header = x->headers[HEADER_X_API_KEY];
    *key = slice_is_absent(header) ? bearer : header;
    if (slice_is_absent(header) || slice_is_absent(x->headers[HEADER_AUTHORIZATION]))
        return true;
    return slice_is_absent(bearer) && !slice_starts_with(header, SLICE("sk_"));
}

static void take(struct exchange *x)
{
    x->has_key = true;
    if (x->key.kind == API_KEY_KIND_SECRET)
        x->request.principal =
            (struct principal){.kind = PRINCIPAL_KEY, .scopes = x->key.scopes, .key_id = x->key.id};
}

/* A key that is sent must be good, even where none is needed: a program that thinks it has one must learn
 * that it has not. */
enum http_status gateway_take_key(struct gateway *gateway, struct exchange *x)
{
    struct slice text;
    enum api_key_kind kind;
    uint8_t hash[SHA256_LEN];
    if (x->has_key)
        return GO_ON;
    if (!find_key(x, &text))
        return problem(&x->response, PROBLEM_MALFORMED_REQUEST,
                       "Send one of the two: a secret key or an access token");
    if (slice_is_absent(text))
        return GO_ON;
    if (!api_key_form(text, &kind))
        return answer_bad_key(x);
    struct db *db = gateway_thread_db(gateway, x);
    if (db == NULL)
        return problem_database(&x->response, DB_ERROR);
    sha256(text, hash);
    const struct services *services = gateway->services;
    struct cache *shared = services_private_cache(services);
    switch (shared != NULL
                ? api_key_check_cached(shared, db, x->arena, hash, x->request.now_ms, &x->key)
                : api_key_check_here(services->cache, db, x->arena, hash, x->request.now_ms, &x->key)) {
    case DB_ROW:
        take(x);
        return GO_ON;
    case DB_DONE:
        return answer_bad_key(x);
    case DB_CONFLICT:
    case DB_ERROR:
        break;
    }
    return problem_database(&x->response, DB_ERROR);
}

/* Whether the key that came is remembered, or none did. Whether its quota is known is seen here as well. */
bool gateway_remembers_key(struct gateway *gateway, struct exchange *x)
{
    struct slice text;
    enum api_key_kind kind;
    uint8_t hash[SHA256_LEN];
    const struct services *services = gateway->services;
    if (!find_key(x, &text))
        return false;
    if (slice_is_absent(text))
        return true;
    if (!api_key_form(text, &kind))
        return false;
    sha256(text, hash);
    if (!api_key_remembered(services->cache, x->arena, hash, x->request.now_ms, &x->key))
        return false;
    if (x->key.monthly_quota > 0 && services->key_usage != NULL &&
        !key_usage_is_known(services->key_usage, x->key.id, x->request.now_ms))
        return false;
    take(x);
    x->is_remembered = true;
    return true;
}

/* ---- what the plan allows ---- */

static enum http_status answer_quota(struct exchange *x, const struct key_usage_verdict *verdict)
{
    enum http_status status =
        problem(&x->response, PROBLEM_QUOTA_EXCEEDED, "The %lld requests of this month are used up",
                (long long)x->key.monthly_quota);
    response_header(&x->response, "Retry-After", arena_format(x->arena, "%lld", (long long)verdict->reset_s));
    problem_extra_int(&x->response, "retryAfterSeconds", verdict->reset_s);
    return status;
}

static enum http_status check_quota(struct gateway *gateway, struct exchange *x)
{
    struct key_usage *usage = gateway->services->key_usage;
    struct key_usage_verdict verdict;
    if (usage == NULL)
        return GO_ON;
    enum key_usage_answer answer =
        key_usage_take(usage, x->key.id, x->key.monthly_quota, x->request.now_ms, &verdict);
    if (answer == KEY_USAGE_UNKNOWN && x->is_remembered) { /* forgotten this very moment */
        (void)key_usage_take(usage, x->key.id, 0, x->request.now_ms, &verdict);
        return GO_ON;
    }
    if (answer == KEY_USAGE_UNKNOWN) {
        struct db *db = gateway_thread_db(gateway, x);
        if (db == NULL || key_usage_learn(usage, db, x->key.id, x->request.now_ms) != DB_DONE)
            return problem_database(&x->response, DB_ERROR);
        answer = key_usage_take(usage, x->key.id, x->key.monthly_quota, x->request.now_ms, &verdict);
    }
    if (x->key.monthly_quota > 0)
        gateway_note_policy(x, "quota",
                            &(struct throttle_verdict){.limit = x->key.monthly_quota,
                                                       .window_s = verdict.window_s,
                                                       .remaining = verdict.remaining,
                                                       .reset_s = verdict.reset_s});
    return answer == KEY_USAGE_EXCEEDED ? answer_quota(x, &verdict) : GO_ON;
}

/* A secret key has one allowance, wherever it is used from. A publishable one is in everybody's hands: it has
 * one for each address, so that nobody empties it for the others. */
static enum http_status check_rate(struct gateway *gateway, struct exchange *x)
{
    struct throttle *throttle = gateway->throttle;
    if (throttle == NULL || x->request.operation->rate_class == RATE_NONE)
        return GO_ON;
    struct throttle_verdict verdict;
    uint64_t caller = x->key.kind == API_KEY_KIND_SECRET ? throttle_key(throttle, x->key.id)
                                                         : throttle_key_from(throttle, x->key.id, x->address);
    throttle_take_at_rate(throttle, caller, throttle_rate_make(x->key.rate_per_minute, x->key.burst),
                          x->started_us, &verdict);
    gateway_note_policy(x, "key", &verdict);
    return verdict.is_allowed ? GO_ON : gateway_answer_throttled(x, verdict.retry_after_s);
}

/* What the rate refuses does not count towards the quota. */
enum http_status gateway_check_plan(struct gateway *gateway, struct exchange *x)
{
    if (!x->has_key)
        return GO_ON;
    enum http_status status = check_rate(gateway, x);
    return status != GO_ON ? status : check_quota(gateway, x);
}
