/* Asking the issuer who somebody is: once an identity, at its first log-in. */
#include "auth/cognito.h"
#include "auth/issuer_private.h"

/* The userinfo endpoint as discovered; absent when there is none. */
static struct slice userinfo_url(struct issuer *issuer, struct arena *arena)
{
    pthread_mutex_lock(&issuer->lock);
    struct slice url = arena_copy(arena, slice_from(issuer->userinfo_url));
    pthread_mutex_unlock(&issuer->lock);
    return url;
}

static void ask_userinfo(struct issuer *issuer, struct arena *arena, struct issued_token *issued)
{
    struct http_answer answer;
    struct slice why, url = userinfo_url(issuer, arena);
    if (slice_is_absent(url))
        return;
    const struct http_call call = {
        .url = url,
        .body = SLICE_ABSENT,
        .headers = {{"Accept", SLICE("application/json")},
                    {"Authorization", arena_format(arena, "Bearer %.*s", SLICE_ARG(issued->text))}},
        .timeout_ms = issuer->settings.timeout_ms,
        .reply_bytes_max = ISSUER_ANSWER_BYTES_MAX,
    };
    if (!http_call(issuer->http, arena, &call, &answer, &why) || answer.status != 200)
        return;
    json_t *json = json_loadb(answer.body.ptr, answer.body.len, JSON_REJECT_DUPLICATES, NULL);
    if (slice_equals(jwt_string(json, "sub"), issued->subject)) /* OpenID Connect Core, 5.3.2 */
        issuer_profile_read(json, arena, issued);
    json_decref(json);
}

void issuer_ask_profile(struct issuer *issuer, struct arena *arena, struct issued_token *issued)
{
    if (issuer->settings.provider == AUTH_COGNITO)
        (void)cognito_get_user(issuer, arena, issued); /* without an answer: as if it vouched for nothing */
    else
        ask_userinfo(issuer, arena, issued);
}
