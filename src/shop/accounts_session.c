/* Answering a log-in, and the refresh cookie: see accounts_session.h. */
#include "shop/accounts_session.h"

#include "auth/token.h"
#include "base/origin.h"
#include "shop/login_guard.h"
#include "shop/users.h"

/* ---- where a request comes from ---- */

/* "https://shop.example" of "https://shop.example/and/more". */
static struct slice origin_of_url(struct slice url)
{
    size_t start = slice_starts_with(url, SLICE("https://")) ? 8 : 7;
    for (size_t i = start; i < url.len; i++) {
        if (url.ptr[i] == '/')
            return (struct slice){url.ptr, i};
    }
    return url;
}

/* Whether the browser reaches us over TLS. All the world does (somebody in front of us speaks it), but who
 * sits at this machine may try the shop without. */
static bool is_secure(const struct request *request)
{
    return !request->is_loopback ||
           slice_starts_with(request->services->config->public_url, SLICE("https://"));
}

/* The address in the settings, or the one that the request was sent to, or one that the settings list. */
static bool is_own_origin(const struct request *request)
{
    if (slice_is_absent(request->origin))
        return false;
    if (slice_equals_ignore_case(request->origin, origin_of_url(request->services->config->public_url)) ||
        origin_is_listed(request->services->config->cors_origins, request->origin))
        return true;
    struct slice scheme = is_secure(request) ? SLICE("https://") : SLICE("http://");
    if (slice_is_absent(request->host) || !slice_starts_with(request->origin, scheme))
        return false;
    return slice_equals_ignore_case(slice_skip(request->origin, scheme.len), request->host);
}

enum http_status refuse_foreign_origin(const struct request *request, struct response *response)
{
    if (is_own_origin(request))
        return (enum http_status)0;
    return problem(response, PROBLEM_FORBIDDEN, "The cookie is taken from this shop's own pages only");
}

/* ---- the cookie ---- */

#define DEVICE_COOKIE_SECONDS (INT64_C(365) * 24 * 3600)

static void cookie_set(const struct request *request, struct response *response, const char *name,
                       struct slice value, int64_t seconds)
{
    response_header(response, "Set-Cookie",
                    arena_format(request->arena,
                                 "%s=%.*s; Path=/auth; Max-Age=%lld; HttpOnly; SameSite=Strict%s", name,
                                 SLICE_ARG(value), (long long)seconds, is_secure(request) ? "; Secure" : ""));
}

void refresh_cookie_clear(const struct request *request, struct response *response)
{
    cookie_set(request, response, "souk_refresh", SLICE(""), 0);
}

enum http_status refresh_token_read(const struct request *request, struct response *response, bool has_token,
                                    struct slice token, struct shown_token *shown)
{
    *shown = (struct shown_token){.text = has_token ? token : request->refresh_cookie};
    shown->is_cookie = !has_token && !slice_is_absent(shown->text);
    return shown->is_cookie ? refuse_foreign_origin(request, response) : (enum http_status)0;
}

enum db_result session_end(struct request *request, struct response *response, struct uuid session_id)
{
    response_drop_id(response, "session", session_id);
    return session_revoke(request->db, session_id, request->now_ms);
}

/* ---- the answer ---- */

enum db_result session_answer_read(struct request *request, struct db *db, struct session_answer *answer)
{
    struct buf text;
    struct json_writer json;
    buf_init(&text, request->arena);
    json_init(&json, &text);
    struct session_standing standing;
    struct user_email email;
    enum db_result result = session_check(db, answer->grant.session_id, request->now_ms, &standing);
    answer->role = standing.role;
    if (result == DB_ROW)
        result = user_email_read(db, request->arena, answer->grant.user_id, &email);
    if (result == DB_ROW)
        result = user_write(&json, db, answer->grant.user_id, NULL);
    if (result != DB_ROW)
        return result == DB_DONE ? DB_CONFLICT : result;
    answer->email_folded = email.folded;
    answer->user = buf_slice(&text);
    return DB_DONE;
}

enum http_status session_answer_write(struct request *request, struct response *response,
                                      const struct session_answer *answer, enum http_status status)
{
    const struct services *services = request->services;
    const struct principal principal = {
        .kind = PRINCIPAL_USER,
        .role = answer->role,
        .user_id = answer->grant.user_id,
        .session_id = answer->grant.session_id,
    };
    bool is_ours = slice_is_absent(answer->access_token);
    int64_t seconds = is_ours ? services->config->access_token_seconds : answer->expires_in_seconds;
    struct slice token =
        is_ours ? token_issue(services->keys, request->arena, &principal, request->now_ms, seconds)
                : answer->access_token;
    if (slice_is_absent(token))
        return problem(response, PROBLEM_INTERNAL_ERROR, "The access token could not be signed");
    struct json_writer *json = &response->json;
    json_object_begin(json);
    json_field_string(json, "accessToken", token);
    json_field_string(json, "tokenType", SLICE("Bearer"));
    json_field_int(json, "expiresIn", seconds);
    json_field_string(json, "refreshToken", answer->is_cookie ? SLICE_ABSENT : answer->grant.refresh_token);
    json_field_raw(json, "user", answer->user);
    if (uuid_is_nil(answer->cart_id))
        json_field_null(json, "cartId");
    else
        json_field_uuid(json, "cartId", answer->cart_id);
    struct slice device =
        answer->is_new_device ? device_token_make(request, answer->email_folded) : SLICE_ABSENT;
    json_field_string(json, "deviceToken", answer->is_cookie ? SLICE_ABSENT : device);
    json_object_end(json);
    if (answer->is_cookie)
        cookie_set(request, response, "souk_refresh", answer->grant.refresh_token,
                   (answer->grant.expires_at_ms - request->now_ms) / 1000);
    if (answer->is_cookie && answer->is_new_device)
        cookie_set(request, response, "souk_device", device, DEVICE_COOKIE_SECONDS);
    return status;
}
