/* /auth with another identity provider.
 *
 * A refresh token of Cognito's goes to the client with the user's name before it, since a client with a
 * secret must repeat it. Its SHA-256 stands in refresh_tokens beside the session that it last renewed: so a
 * log-out ends what it would renew, here at once and at Cognito as soon as that answers. */
#include "shop/accounts_external.h"

#include "auth/cognito.h"
#include "base/crypto.h"
#include "base/metrics.h"
#include "contract/handlers.h"
#include "shop/accounts_session.h"
#include "shop/cart.h"
#include "shop/identities.h"
#include "shop/users.h"

#define CONFLICT_TRIES 3
#define RETRY_AFTER_SECONDS "5" /* what Cognito throttles is over soon */

METRIC_DEFINE(LOGINS_GOOD, "souk_external_logins_total", "Log-ins at the identity provider through the shop",
              "result=\"good\"", METRIC_COUNTER);
METRIC_DEFINE(LOGINS_REFUSED, "souk_external_logins_total",
              "Log-ins at the identity provider through the shop", "result=\"refused\"", METRIC_COUNTER);

/* ---- what is refused ---- */

/* 0 with Cognito; with a plain issuer, where to go instead. */
static enum http_status refuse_unless_cognito(struct request *request, struct response *response)
{
    const struct issuer_settings *settings = issuer_settings_of(request->services->issuer);
    if (settings->provider == AUTH_COGNITO)
        return (enum http_status)0;
    enum http_status status =
        problem(response, PROBLEM_EXTERNAL_IDENTITY, "The accounts of this shop are kept by %.*s",
                SLICE_ARG(settings->issuer));
    problem_extra_string(response, "issuer", settings->issuer);
    return status;
}

static enum http_status refuse_away(struct response *response)
{
    enum http_status status =
        problem(response, PROBLEM_UNAVAILABLE, "The identity provider cannot be reached; try again");
    response_header(response, "Retry-After", SLICE("1"));
    return status;
}

static enum http_status refuse_often(struct response *response)
{
    enum http_status status = problem(response, PROBLEM_RATE_LIMIT_EXCEEDED,
                                      "The identity provider takes no more requests now; try again later");
    response_header(response, "Retry-After", SLICE(RETRY_AFTER_SECONDS));
    return status;
}

static enum http_status refuse_credentials(struct response *response)
{
    enum http_status status = problem(response, PROBLEM_INVALID_CREDENTIALS,
                                      "There is no account with this address and password that can be used");
    response_count(response, &LOGINS_REFUSED, 1);
    return status;
}

static enum http_status refuse_password(struct response *response, const char *field)
{
    return problem_field(response, field, "POLICY", "is not what the identity provider takes for a password");
}

static enum http_status refuse_code(struct response *response)
{
    return problem(response, PROBLEM_INVALID_TOKEN, "The code is wrong, used or expired; ask for another");
}

/* What any of Cognito's operations may say. 0 when it is something that only the caller can answer.
 * `password_field` is what the request calls the password that is to be set; NULL: it sets none. */
static enum http_status refuse_outcome(struct response *response, enum cognito_outcome outcome,
                                       const char *password_field)
{
    switch (outcome) {
    case COGNITO_TOO_OFTEN:
        return refuse_often(response);
    case COGNITO_AWAY:
        return refuse_away(response);
    case COGNITO_BAD_PASSWORD:
        return password_field != NULL ? refuse_password(response, password_field) : (enum http_status)0;
    case COGNITO_DONE:
    case COGNITO_NOT_AUTHORIZED:
    case COGNITO_EXISTS:
    case COGNITO_BAD_CODE:
    case COGNITO_BAD_PARAMETER:
    case COGNITO_CHALLENGE:
        break;
    }
    return (enum http_status)0;
}

static enum http_status refuse_refresh_token(struct response *response)
{
    return problem_with_status(response, PROBLEM_INVALID_TOKEN, HTTP_STATUS_UNAUTHORIZED,
                               "There is no refresh token, or it is not good any more; log in again");
}

/* ---- the refresh token ---- */

/* base64url(username) "." token */
static struct slice refresh_wrap(struct arena *arena, struct slice username, struct slice token)
{
    struct slice name = base64url_encode(arena, username);
    return arena_format(arena, "%.*s.%.*s", SLICE_ARG(name), SLICE_ARG(token));
}

static bool refresh_unwrap(struct arena *arena, struct slice wrapped, struct slice *username,
                           struct slice *token)
{
    struct slice name, rest = wrapped;
    if (!slice_split(&rest, '.', &name) || slice_is_absent(rest) || rest.len == 0)
        return false;
    *username = base64url_decode(arena, name);
    *token = rest;
    return !slice_is_absent(*username);
}

static struct slice hash_of(struct slice wrapped, uint8_t hash[SHA256_LEN])
{
    sha256(wrapped, hash);
    return (struct slice){(const char *)hash, SHA256_LEN};
}

DB_STATEMENT(REFRESH_KEEP) = {
    .sql =
        "INSERT INTO refresh_tokens (token_hash, session_id, created_at, expires_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (token_hash) DO UPDATE SET session_id = excluded.session_id,"
        " expires_at = excluded.expires_at",
    .params = {DB_BLOB, DB_UUID, DB_TIME, DB_TIME},
};
DB_STATEMENT(REFRESH_FIND) = {
    .sql = "SELECT s.id, s.user_id, s.revoked_at IS NULL AND u.status = 'active' AND u.deleted_at IS NULL"
           " FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id JOIN users u ON u.id = s.user_id"
           " WHERE t.token_hash = $1 AND t.used_at IS NULL AND t.expires_at > $2",
    .params = {DB_BLOB, DB_TIME},
    .columns = {DB_UUID, DB_UUID, DB_BOOL},
};

struct kept {
    struct uuid session_id;
    struct uuid user_id;
    bool is_good;
};

static enum db_result refresh_find(struct request *request, struct slice wrapped, struct kept *kept)
{
    uint8_t hash[SHA256_LEN];
    struct db_rows *rows = db_query(request->db, &REFRESH_FIND,
                                    DB_ARGS(db_blob(hash_of(wrapped, hash)), db_time(request->now_ms)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    *kept = (struct kept){db_get_uuid(rows, 0), db_get_uuid(rows, 1), db_get_bool(rows, 2)};
    db_close(rows);
    return DB_ROW;
}

/* ---- entering ---- */

/* Somebody whom Cognito has let in. Filled anew by each run of the transaction. */
struct entrance {
    struct request *request;
    bool has_cart;
    struct uuid guest_cart_id;
    struct session_answer answer;
};

DB_STATEMENT(LOGIN_RECORD) = {
    .sql = "UPDATE users SET last_login_at = $2 WHERE id = $1",
    .params = {DB_UUID, DB_TIME},
};

static enum db_result entrance_commit(struct db *db, void *arg)
{
    struct entrance *entrance = arg;
    struct request *request = entrance->request;
    struct session_answer *answer = &entrance->answer;
    const struct session_grant *grant = &answer->grant;
    uint8_t hash[SHA256_LEN];
    enum db_result result =
        db_run(db, &LOGIN_RECORD, DB_ARGS(db_uuid(grant->user_id), db_time(request->now_ms)));
    answer->cart_id = (struct uuid){{0}};
    if (result == DB_DONE && entrance->has_cart)
        result = cart_adopt(db, request->arena, entrance->guest_cart_id, grant->user_id, request->now_ms,
                            &answer->cart_id);
    if (result == DB_DONE)
        result = db_run(db, &REFRESH_KEEP,
                        DB_ARGS(db_blob(hash_of(grant->refresh_token, hash)), db_uuid(grant->session_id),
                                db_time(request->now_ms), db_time(grant->expires_at_ms)));
    return result == DB_DONE ? session_answer_read(request, db, answer) : result;
}

/* As Cognito says it, else as the token does. */
static int64_t seconds_left(const struct cognito_tokens *tokens, const struct issued_token *issued,
                            int64_t now_ms)
{
    int64_t seconds = (issued->expires_at_ms - now_ms) / 1000 - ISSUER_LEEWAY_SECONDS;
    if (tokens->expires_in_seconds > 0)
        return tokens->expires_in_seconds;
    return seconds > 1 ? seconds : 1;
}

/* From Cognito's tokens to the reply. `kept_refresh_token` is what stays where Cognito gave no new one. */
static enum http_status enter(struct request *request, struct response *response, struct entrance *entrance,
                              const struct cognito_tokens *tokens, struct slice kept_refresh_token,
                              enum http_status status)
{
    const struct services *services = request->services;
    struct session_answer *answer = &entrance->answer;
    struct issued_token issued;
    struct principal principal;
    switch (issuer_verify(services->issuer, request->arena, tokens->access_token, request->now_ms, &issued)) {
    case ISSUER_GOOD:
        break;
    case ISSUER_BAD: /* the settings do not fit the pool, or its clock does not */
        log_message(LOG_ERROR,
                    "Cognito's own access token is not good here: see the AUTH_ and COGNITO_ settings");
        return problem(response, PROBLEM_INTERNAL_ERROR, "The identity provider's answer is not good");
    case ISSUER_AWAY:
        return refuse_away(response);
    }
    enum db_result result =
        identity_admit(services, request->db, request->arena, &issued, request->now_ms, &principal);
    if (result == DB_DONE)
        return refuse_credentials(response);
    if (result != DB_ROW)
        return problem_database(response, result);
    struct slice username = slice_is_absent(issued.username) ? issued.subject : issued.username;
    answer->access_token = tokens->access_token;
    answer->expires_in_seconds = seconds_left(tokens, &issued, request->now_ms);
    answer->grant = (struct session_grant){
        .session_id = principal.session_id,
        .user_id = principal.user_id,
        .refresh_token = slice_is_absent(tokens->refresh_token)
                             ? kept_refresh_token
                             : refresh_wrap(request->arena, username, tokens->refresh_token),
        .expires_at_ms = request->now_ms + services->config->refresh_token_seconds * 1000,
    };
    result = DB_CONFLICT;
    for (int i = 0; i < CONFLICT_TRIES && result == DB_CONFLICT; i++) /* a cart that another changes */
        result = db_transaction(request->db, entrance_commit, entrance);
    if (result == DB_CONFLICT)
        return refuse_credentials(response); /* the account was disabled here, or its session ended */
    if (result != DB_DONE)
        return problem_database(response, result);
    return session_answer_write(request, response, answer, status);
}

static enum http_status log_in(struct request *request, struct response *response, struct entrance *entrance,
                               struct slice email, struct slice password, enum http_status success)
{
    struct cognito_tokens tokens;
    switch (cognito_log_in(request->services->issuer, request->arena, email, password, &tokens)) {
    case COGNITO_DONE:
        break;
    case COGNITO_NOT_AUTHORIZED:
    case COGNITO_EXISTS:
    case COGNITO_BAD_CODE:
    case COGNITO_BAD_PASSWORD:
    case COGNITO_BAD_PARAMETER:
        return refuse_credentials(response);
    case COGNITO_TOO_OFTEN:
        return refuse_often(response);
    case COGNITO_CHALLENGE:
        return problem(response, PROBLEM_FORBIDDEN,
                       "The identity provider asks for another step; log in there and send its access token");
    case COGNITO_AWAY:
        return refuse_away(response);
    }
    enum http_status status = enter(request, response, entrance, &tokens, SLICE_ABSENT, success);
    if (status == success)
        response_count(response, &LOGINS_GOOD, 1);
    return status;
}

enum http_status external_login(struct request *request, struct response *response)
{
    const struct auth_login_input *input = request->input;
    struct entrance *entrance = ARENA_NEW(request->arena, struct entrance);
    enum http_status refusal = refuse_unless_cognito(request, response);
    if (refusal != 0)
        return refusal;
    *entrance = (struct entrance){.request = request,
                                  .has_cart = input->has_cart_id,
                                  .guest_cart_id = input->cart_id,
                                  .answer.is_cookie = input->session == SESSION_MODE_COOKIE};
    return log_in(request, response, entrance, input->email, input->password, HTTP_STATUS_OK);
}

/* A pool that confirms by itself lets its new user in at once: 201. Else a code is on its way, or the address
 * has an account already, which only its owner shall know: 202. */
enum http_status external_register(struct request *request, struct response *response)
{
    const struct auth_register_input *input = request->input;
    struct entrance *entrance = ARENA_NEW(request->arena, struct entrance);
    bool is_confirmed = false;
    enum http_status refusal = refuse_unless_cognito(request, response);
    if (refusal != 0)
        return refusal;
    switch (cognito_sign_up(request->services->issuer, request->arena, input->email, input->password,
                            input->first_name, input->last_name, &is_confirmed)) {
    case COGNITO_DONE:
        break;
    case COGNITO_EXISTS:
        return HTTP_STATUS_ACCEPTED;
    case COGNITO_BAD_PASSWORD:
        return refuse_password(response, "password");
    case COGNITO_NOT_AUTHORIZED: /* the pool lets nobody sign up */
    case COGNITO_CHALLENGE:
        return problem(response, PROBLEM_FORBIDDEN, "The identity provider opens no accounts by itself");
    case COGNITO_BAD_CODE:
    case COGNITO_BAD_PARAMETER:
        return problem_field(response, "email", "NOT_ACCEPTED", "is not what the identity provider takes");
    case COGNITO_TOO_OFTEN:
        return refuse_often(response);
    case COGNITO_AWAY:
        return refuse_away(response);
    }
    if (!is_confirmed)
        return HTTP_STATUS_ACCEPTED;
    *entrance = (struct entrance){.request = request,
                                  .has_cart = input->has_cart_id,
                                  .guest_cart_id = input->cart_id,
                                  .answer.is_cookie = input->session == SESSION_MODE_COOKIE};
    enum http_status status =
        log_in(request, response, entrance, input->email, input->password, HTTP_STATUS_CREATED);
    if (status == HTTP_STATUS_CREATED)
        response_location(response, "/users/", entrance->answer.grant.user_id);
    return status;
}

enum http_status external_email_verify(struct request *request, struct response *response)
{
    const struct auth_email_verify_input *input = request->input;
    enum http_status refusal = refuse_unless_cognito(request, response);
    if (refusal != 0)
        return refusal;
    if (slice_is_absent(input->email))
        return problem_field(response, "email", "REQUIRED", "is needed beside the code");
    enum cognito_outcome outcome =
        cognito_confirm_sign_up(request->services->issuer, request->arena, input->email, input->token);
    if (outcome == COGNITO_DONE)
        return HTTP_STATUS_NO_CONTENT;
    refusal = refuse_outcome(response, outcome, NULL);
    return refusal != 0 ? refusal : refuse_code(response);
}

/* Whatever else Cognito says to being asked for a code may depend on whether there is such an account: it is
 * 202. */
static enum http_status asked_for_code(struct response *response, enum cognito_outcome outcome)
{
    return outcome == COGNITO_AWAY ? refuse_away(response) : HTTP_STATUS_ACCEPTED;
}

enum http_status external_verification_send(struct request *request, struct response *response)
{
    const struct auth_verification_send_input *input = request->input;
    enum http_status refusal = refuse_unless_cognito(request, response);
    if (refusal != 0)
        return refusal;
    return asked_for_code(response,
                          cognito_resend_code(request->services->issuer, request->arena, input->email));
}

/* ---- refreshing and ending ---- */

enum http_status external_refresh(struct request *request, struct response *response)
{
    const struct auth_refresh_input *input = request->input;
    struct entrance *entrance = ARENA_NEW(request->arena, struct entrance);
    struct slice username, token;
    struct shown_token shown;
    struct cognito_tokens tokens;
    struct kept kept;
    enum http_status refusal = refuse_unless_cognito(request, response);
    if (refusal != 0)
        return refusal;
    refusal = refresh_token_read(request, response, input->has_refresh_token, input->refresh_token, &shown);
    if (refusal != 0)
        return refusal;
    *entrance = (struct entrance){.request = request, .answer.is_cookie = shown.is_cookie};
    if (slice_is_absent(shown.text) || !refresh_unwrap(request->arena, shown.text, &username, &token))
        return refuse_refresh_token(response);
    enum db_result result = refresh_find(request, shown.text, &kept);
    if (result == DB_DONE || (result == DB_ROW && !kept.is_good))
        return refuse_refresh_token(response);
    if (result != DB_ROW)
        return problem_database(response, result);
    enum cognito_outcome outcome =
        cognito_refresh(request->services->issuer, request->arena, username, token, &tokens);
    if (outcome == COGNITO_DONE)
        return enter(request, response, entrance, &tokens, shown.text, HTTP_STATUS_OK);
    refusal = refuse_outcome(response, outcome, NULL);
    return refusal != 0 ? refusal : refuse_refresh_token(response);
}

/* Here first: then the token renews nothing any more, whatever Cognito says. */
static enum db_result refresh_end(struct request *request, struct response *response, struct slice wrapped)
{
    struct slice username, token;
    struct kept kept;
    if (slice_is_absent(wrapped) || !refresh_unwrap(request->arena, wrapped, &username, &token))
        return DB_DONE;
    enum db_result result = refresh_find(request, wrapped, &kept);
    if (result != DB_ROW)
        return result;
    result = session_end(request, response, kept.session_id);
    if (result == DB_DONE)
        (void)cognito_revoke(request->services->issuer, request->arena, token);
    return result;
}

enum http_status external_logout(struct request *request, struct response *response)
{
    const struct auth_logout_input *input = request->input;
    bool is_cognito = issuer_settings_of(request->services->issuer)->provider == AUTH_COGNITO;
    struct shown_token shown;
    enum http_status refusal =
        refresh_token_read(request, response, input->has_refresh_token, input->refresh_token, &shown);
    if (refusal != 0)
        return refusal;
    enum db_result result = DB_DONE;
    if (principal_is_user(&request->principal))
        result = session_end(request, response, request->principal.session_id);
    if (result == DB_DONE && is_cognito)
        result = refresh_end(request, response, shown.text);
    if (result != DB_DONE)
        return problem_database(response, result);
    if (shown.is_cookie)
        refresh_cookie_clear(request, response);
    return HTTP_STATUS_NO_CONTENT;
}

/* ---- passwords ---- */

enum http_status external_password_forgot(struct request *request, struct response *response)
{
    const struct auth_password_forgot_input *input = request->input;
    enum http_status refusal = refuse_unless_cognito(request, response);
    if (refusal != 0)
        return refusal;
    return asked_for_code(response,
                          cognito_forgot_password(request->services->issuer, request->arena, input->email));
}

static enum db_result tokens_end(struct db *db, void *arg)
{
    const struct request *request = arg;
    return identity_end_tokens(db, request->principal.user_id, request->now_ms);
}

/* Ends what the user of this address has open. The caller is nobody yet: its principal serves for the
 * closure.
 */
DB_STATEMENT(VERIFIED_USER) = {
    .sql = "SELECT id FROM users WHERE email_folded = $1 AND email_verified_at IS NOT NULL"
           " AND deleted_at IS NULL",
    .params = {DB_TEXT},
    .columns = {DB_UUID},
};

static enum db_result end_all_of(struct request *request, struct response *response, struct slice email)
{
    struct request by_owner = *request;
    struct db_rows *rows =
        db_query(request->db, &VERIFIED_USER, DB_ARGS(db_text(email_fold(request->arena, email))));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    by_owner.principal.user_id = db_get_uuid(rows, 0);
    db_close(rows);
    result = db_transaction(request->db, tokens_end, &by_owner);
    response_drop_id(response, "user", by_owner.principal.user_id);
    return result;
}

enum http_status external_password_reset(struct request *request, struct response *response)
{
    const struct auth_password_reset_input *input = request->input;
    enum http_status refusal = refuse_unless_cognito(request, response);
    if (refusal != 0)
        return refusal;
    if (slice_is_absent(input->email))
        return problem_field(response, "email", "REQUIRED", "is needed beside the code");
    enum cognito_outcome outcome = cognito_confirm_forgot_password(
        request->services->issuer, request->arena, input->email, input->token, input->new_password);
    if (outcome != COGNITO_DONE) {
        refusal = refuse_outcome(response, outcome, "newPassword");
        return refusal != 0 ? refusal : refuse_code(response);
    }
    enum db_result result = end_all_of(request, response, input->email);
    return result == DB_DONE ? HTTP_STATUS_NO_CONTENT : problem_database(response, result);
}

/* The new password holds; all sessions end, at Cognito too, and this caller gets a new one. */
static enum http_status changed(struct request *request, struct response *response, struct slice email,
                                struct slice password)
{
    struct entrance *entrance = ARENA_NEW(request->arena, struct entrance);
    entrance->request = request;
    (void)cognito_global_sign_out(request->services->issuer, request->arena, request->access_token);
    enum db_result result = db_transaction(request->db, tokens_end, request);
    if (result != DB_DONE)
        return problem_database(response, result);
    enum http_status status = log_in(request, response, entrance, email, password, HTTP_STATUS_OK);
    response_drop_id(response, "user", request->principal.user_id); /* last: a problem would clear it */
    return status;
}

enum http_status external_password_change(struct request *request, struct response *response)
{
    const struct auth_password_change_input *input = request->input;
    enum http_status refusal = refuse_unless_cognito(request, response);
    if (refusal != 0)
        return refusal;
    struct user_email email;
    enum db_result result = user_email_read(request->db, request->arena, request->principal.user_id, &email);
    if (result != DB_ROW)
        return problem_database(response, result == DB_DONE ? DB_CONFLICT : result);
    enum cognito_outcome outcome =
        cognito_change_password(request->services->issuer, request->arena, request->access_token,
                                input->current_password, input->new_password);
    if (outcome == COGNITO_DONE)
        return changed(request, response, email.typed, input->new_password);
    refusal = refuse_outcome(response, outcome, "newPassword");
    return refusal != 0
               ? refusal
               : problem_field(response, "currentPassword", "WRONG", "is not the password of this account");
}

/* ---- who runs them ---- */

enum execution auth_refresh_execution(const struct request *request)
{
    return accounts_are_external(request) ? EXECUTION_PASSWORD : EXECUTION_ORCHESTRATED;
}

enum execution auth_logout_execution(const struct request *request)
{
    return accounts_are_external(request) ? EXECUTION_PASSWORD : EXECUTION_TRANSACTION;
}

enum execution auth_password_forgot_execution(const struct request *request)
{
    return accounts_are_external(request) ? EXECUTION_PASSWORD : EXECUTION_TRANSACTION;
}

enum execution auth_email_verify_execution(const struct request *request)
{
    return accounts_are_external(request) ? EXECUTION_PASSWORD : EXECUTION_TRANSACTION;
}

enum execution auth_verification_send_execution(const struct request *request)
{
    return accounts_are_external(request) ? EXECUTION_PASSWORD : EXECUTION_TRANSACTION;
}
