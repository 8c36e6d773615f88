/* The local identity provider: the endpoints under /auth.
 *
 * Hashing takes 24 ms of a core, so it happens on the password pool and outside any transaction: read, hash
 * or verify, then one transaction whose UPDATE carries the hash that was verified. A log-in that fails
 * answers the same after the same time, whatever was wrong. */
#include "shop/accounts.h"

#include "auth/password.h"
#include "base/metrics.h"
#include "contract/handlers.h"
#include "data/outbox.h"
#include "shop/accounts_external.h"
#include "shop/accounts_session.h"
#include "shop/cart.h"
#include "shop/login_guard.h"
#include "shop/mfa.h"
#include "shop/users.h"

METRIC_DEFINE(LOGINS_GOOD, "souk_logins_total", "Log-ins with a password", "result=\"good\"", METRIC_COUNTER);
METRIC_DEFINE(LOGINS_REFUSED, "souk_logins_total", "Log-ins with a password", "result=\"refused\"",
              METRIC_COUNTER);
METRIC_DEFINE(REGISTRATIONS, "souk_registrations_total", "Accounts opened", NULL, METRIC_COUNTER);

/* ---- what registering and logging in share ---- */

/* An account that its owner enters now. Filled anew by each run of the transaction. */
struct entrance {
    struct request *request;
    struct slice email;
    struct slice first_name, last_name; /* of a new account */
    struct account_entry entry;
    struct slice verified_hash; /* of a log-in: what the password was held against */
    struct slice hash;          /* what is to be stored */
    bool is_refused;            /* the address is taken, or the password changed meanwhile */
    bool wants_code;            /* the account has a second factor */
    struct login_guard guard;
    struct mfa_challenge challenge;
};

static enum db_result cart_take_along(struct db *db, struct request *request, struct account_entry *entry)
{
    entry->answer.cart_id = (struct uuid){{0}};
    if (!entry->has_cart)
        return DB_DONE;
    return cart_adopt(db, request->arena, entry->guest_cart_id, entry->user_id, request->now_ms,
                      &entry->answer.cart_id);
}

static enum db_result session_begin(struct db *db, struct request *request, struct uuid user_id,
                                    struct session_answer *answer)
{
    enum db_result result = session_open(db, request->arena, user_id, answer->is_cookie, request->now_ms,
                                         request->services->config->refresh_token_seconds, &answer->grant);
    if (result == DB_DONE)
        result = session_describe(db, answer->grant.session_id, request->address, request->user_agent);
    if (result == DB_DONE)
        result = session_answer_read(request, db, answer);
    answer->is_new_device = true;
    return result;
}

enum db_result account_enter(struct db *db, struct request *request, struct account_entry *entry)
{
    enum db_result result = cart_take_along(db, request, entry);
    return result == DB_DONE ? session_begin(db, request, entry->user_id, &entry->answer) : result;
}

/* Runs the transaction, again when only a cart was in the way. */
static enum db_result entrance_commit(struct entrance *entrance, db_closure closure)
{
    enum db_result result = DB_CONFLICT;
    for (int i = 0; i < ACCOUNT_ENTER_TRIES && result == DB_CONFLICT; i++) {
        entrance->is_refused = false;
        result = db_transaction(entrance->request->db, closure, entrance);
        if (entrance->is_refused)
            break;
    }
    return result;
}

static enum http_status refuse_without_memory(struct response *response)
{
    enum http_status status = problem(response, PROBLEM_UNAVAILABLE, "The shop is busy; try again");
    response_header(response, "Retry-After", SLICE("1"));
    return status;
}

/* ---- POST /auth/register ---- */

static enum db_result registered_message(struct request *request, struct db *db, struct uuid user_id)
{
    char id[UUID_TEXT_LEN];
    uuid_format(user_id, id);
    return outbox_append(db, "user.registered",
                         arena_format(request->arena, "{\"userId\":\"%.*s\"}", UUID_TEXT_LEN, id),
                         request->now_ms);
}

static enum db_result register_commit(struct db *db, void *arg)
{
    struct entrance *entrance = arg;
    struct request *request = entrance->request;
    const struct new_user user = {
        .email = entrance->email,
        .password_hash = entrance->hash,
        .first_name = entrance->first_name,
        .last_name = entrance->last_name,
        .role = ROLE_CUSTOMER, /* nobody gives themselves another */
    };
    enum db_result result = user_insert(db, request->arena, &user, request->now_ms, &entrance->entry.user_id);
    entrance->is_refused = result == DB_CONFLICT;
    if (result == DB_DONE)
        result = registered_message(request, db, entrance->entry.user_id);
    if (result == DB_DONE)
        result = account_token_send(request, db, entrance->entry.user_id, ACCOUNT_VERIFY_EMAIL);
    return result == DB_DONE ? account_enter(db, request, &entrance->entry) : result;
}

enum http_status auth_register(struct request *request, struct response *response)
{
    if (accounts_are_external(request))
        return external_register(request, response);
    const struct auth_register_input *input = request->input;
    struct entrance *entrance = ARENA_NEW(request->arena, struct entrance);
    *entrance = (struct entrance){
        .request = request,
        .email = input->email,
        .first_name = input->first_name,
        .last_name = input->last_name,
        .entry.has_cart = input->has_cart_id,
        .entry.guest_cart_id = input->cart_id,
        .hash = password_hash(request->arena, input->password),
        .entry.answer.is_cookie = input->session == SESSION_MODE_COOKIE,
    };
    if (slice_is_absent(entrance->hash))
        return refuse_without_memory(response);
    enum db_result result = entrance_commit(entrance, register_commit);
    if (entrance->is_refused)
        return problem(response, PROBLEM_EMAIL_TAKEN,
                       "There is an account with this address; log in instead");
    if (result != DB_DONE)
        return problem_database(response, result);
    response_count(response, &REGISTRATIONS, 1);
    response_location(response, "/users/", entrance->entry.user_id);
    return session_answer_write(request, response, &entrance->entry.answer, HTTP_STATUS_CREATED);
}

/* ---- POST /auth/login ---- */

DB_STATEMENT(PASSWORD_BY_EMAIL) = {
    .sql = "SELECT id, password_hash, status = 'active' FROM users"
           " WHERE email_folded = $1 AND deleted_at IS NULL",
    .params = {DB_TEXT},
    .columns = {DB_UUID, DB_TEXT, DB_BOOL},
};

/* Whose address it is and the hash to hold the password against; absent when there is no account, no
 * password, or the account is disabled. DB_DONE or DB_ERROR. */
static enum db_result password_find(struct request *request, struct slice email, struct uuid *user_id,
                                    struct slice *hash)
{
    *hash = SLICE_ABSENT;
    struct db_rows *rows =
        db_query(request->db, &PASSWORD_BY_EMAIL, DB_ARGS(db_text(email_fold(request->arena, email))));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    *user_id = db_get_uuid(rows, 0);
    if (db_get_bool(rows, 2))
        *hash = db_copy_text(rows, 1, request->arena);
    db_close(rows);
    return DB_DONE;
}

/* The account is as it was when the password was verified. */
DB_STATEMENT(LOGIN_RECORD) = {
    .sql = "UPDATE users SET last_login_at = $4, password_hash = $3"
           " WHERE id = $1 AND password_hash = $2 AND status = 'active' AND deleted_at IS NULL",
    .params = {DB_UUID, DB_TEXT, DB_TEXT, DB_TIME},
};

DB_STATEMENT(WANTS_CODE) = {
    .sql = "SELECT COUNT(*) FROM users WHERE id = $1 AND second_factor_at IS NOT NULL",
    .params = {DB_UUID},
    .columns = {DB_INT},
};

static enum db_result login_commit(struct db *db, void *arg)
{
    int64_t wants_code = 0;
    struct entrance *entrance = arg;
    struct request *request = entrance->request;
    enum db_result result =
        db_change(db, &LOGIN_RECORD,
                  DB_ARGS(db_uuid(entrance->entry.user_id), db_text(entrance->verified_hash),
                          db_text(entrance->hash), db_time(request->now_ms)));
    entrance->is_refused = result == DB_CONFLICT;
    if (result == DB_DONE)
        result = login_guard_passed(db, &entrance->guard);
    if (result == DB_DONE)
        result = db_one_int(db, &WANTS_CODE, DB_ARGS(db_uuid(entrance->entry.user_id)), &wants_code) == DB_ROW
                     ? DB_DONE
                     : DB_ERROR;
    entrance->wants_code = wants_code > 0;
    if (result != DB_DONE)
        return result;
    return entrance->wants_code ? mfa_challenge_make(request, db, &entrance->challenge)
                                : account_enter(db, request, &entrance->entry);
}

/* The same after the same time whatever was wrong; a failure is counted. */
static enum http_status refuse_credentials(struct request *request, struct response *response,
                                           struct login_guard *guard)
{
    if (login_guard_failed(request, guard) != DB_DONE)
        return problem_database(response, DB_ERROR);
    enum http_status status = problem(response, PROBLEM_INVALID_CREDENTIALS,
                                      "There is no account with this address and password that can be used");
    response_count(response, &LOGINS_REFUSED, 1);
    return status;
}

/* The commit of a log-in whose password was right, and its answer. */
static enum http_status login_finish(struct entrance *entrance, struct response *response)
{
    struct request *request = entrance->request;
    enum db_result result = entrance_commit(entrance, login_commit);
    if (entrance->is_refused)
        return refuse_credentials(request, response, &entrance->guard);
    if (result != DB_DONE)
        return problem_database(response, result);
    if (entrance->wants_code)
        return mfa_challenge_answer(response, &entrance->challenge);
    enum http_status status =
        session_answer_write(request, response, &entrance->entry.answer, HTTP_STATUS_OK);
    response_count(response, &LOGINS_GOOD, 1);
    return status;
}

enum http_status auth_login(struct request *request, struct response *response)
{
    if (accounts_are_external(request))
        return external_login(request, response);
    const struct auth_login_input *input = request->input;
    struct entrance *entrance = ARENA_NEW(request->arena, struct entrance);
    int64_t wait_ms = 0;
    *entrance = (struct entrance){
        .request = request,
        .entry.has_cart = input->has_cart_id,
        .entry.guest_cart_id = input->cart_id,
        .entry.answer.is_cookie = input->session == SESSION_MODE_COOKIE,
    };
    struct slice device = input->has_device_token ? input->device_token : request->device_cookie;
    enum db_result result = login_guard_open(request, email_fold(request->arena, input->email), device,
                                             &entrance->guard, &wait_ms);
    if (result == DB_DONE && wait_ms > 0)
        return refuse_attempts(response, wait_ms);
    if (result == DB_DONE)
        result = password_find(request, input->email, &entrance->entry.user_id, &entrance->verified_hash);
    if (result != DB_DONE)
        return problem_database(response, result);
    if (!password_verify(entrance->verified_hash, input->password))
        return refuse_credentials(request, response, &entrance->guard);
    entrance->hash = entrance->verified_hash;
    if (password_needs_rehash(entrance->verified_hash)) {
        struct slice better = password_hash(request->arena, input->password);
        if (!slice_is_absent(better)) /* else at another log-in */
            entrance->hash = better;
    }
    entrance->challenge = (struct mfa_challenge){
        .user_id = entrance->entry.user_id,
        .is_cookie = entrance->entry.answer.is_cookie,
        .has_cart = entrance->entry.has_cart,
        .cart_id = entrance->entry.guest_cart_id,
    };
    return login_finish(entrance, response);
}

/* ---- POST /auth/refresh ---- */

struct renewal {
    struct request *request;
    struct slice refresh_token;
    enum refresh_outcome outcome;
    struct session_answer answer;
};

/* Commits whatever the outcome: a token that was used twice has revoked its session. */
static enum db_result refresh_commit(struct db *db, void *arg)
{
    struct renewal *renewal = arg;
    struct request *request = renewal->request;
    enum db_result result = session_refresh(db, request->arena, renewal->refresh_token, request->now_ms,
                                            request->services->config->refresh_token_seconds,
                                            &renewal->outcome, &renewal->answer.grant);
    if (result != DB_DONE || renewal->outcome != REFRESH_GRANTED)
        return result;
    return session_answer_read(request, db, &renewal->answer);
}

enum http_status auth_refresh(struct request *request, struct response *response)
{
    if (accounts_are_external(request))
        return external_refresh(request, response);
    const struct auth_refresh_input *input = request->input;
    struct shown_token shown;
    enum http_status refusal =
        refresh_token_read(request, response, input->has_refresh_token, input->refresh_token, &shown);
    if (refusal != 0)
        return refusal;
    struct renewal renewal = {
        .request = request, .refresh_token = shown.text, .answer.is_cookie = shown.is_cookie};
    enum db_result result = DB_DONE;
    if (!slice_is_absent(renewal.refresh_token))
        result = db_transaction(request->db, refresh_commit, &renewal);
    else
        renewal.outcome = REFRESH_UNKNOWN;
    if (result != DB_DONE)
        return problem_database(response, result);
    if (renewal.outcome != REFRESH_GRANTED) {
        enum http_status status =
            problem_with_status(response, PROBLEM_INVALID_TOKEN, HTTP_STATUS_UNAUTHORIZED,
                                "There is no refresh token, or it is not good any more; log in again");
        if (renewal.outcome == REFRESH_REUSED) /* last: a problem would clear it */
            response_drop_id(response, "session", renewal.answer.grant.session_id);
        return status;
    }
    return session_answer_write(request, response, &renewal.answer, HTTP_STATUS_OK);
}

/* ---- POST /auth/logout ---- */

static enum db_result session_end_of_token(struct request *request, struct response *response,
                                           struct slice refresh_token)
{
    struct uuid session_id;
    struct uuid user_id;
    enum db_result result = session_of_token(request->db, refresh_token, &session_id, &user_id);
    return result == DB_ROW ? session_end(request, response, session_id) : result;
}

/* Ends every session that the request names. What was ended before, or never was, is ended all the same. */
enum http_status auth_logout(struct request *request, struct response *response)
{
    if (accounts_are_external(request))
        return external_logout(request, response);
    const struct auth_logout_input *input = request->input;
    struct shown_token shown;
    enum http_status refusal =
        refresh_token_read(request, response, input->has_refresh_token, input->refresh_token, &shown);
    if (refusal != 0)
        return refusal;
    enum db_result result = DB_DONE;
    if (principal_is_user(&request->principal))
        result = session_end(request, response, request->principal.session_id);
    if (result == DB_DONE && !slice_is_absent(shown.text))
        result = session_end_of_token(request, response, shown.text);
    if (result != DB_DONE)
        return problem_database(response, result);
    if (shown.is_cookie)
        refresh_cookie_clear(request, response);
    return HTTP_STATUS_NO_CONTENT;
}

/* ---- POST /auth/password ---- */

DB_STATEMENT(PASSWORD_OF_USER) = {
    .sql = "SELECT u.password_hash, s.is_cookie FROM users u JOIN sessions s ON s.user_id = u.id"
           " WHERE u.id = $1 AND s.id = $2 AND u.status = 'active' AND u.deleted_at IS NULL",
    .params = {DB_UUID, DB_UUID},
    .columns = {DB_TEXT, DB_BOOL},
};

DB_STATEMENT(PASSWORD_CHANGE) = {
    .sql = "UPDATE users SET password_hash = $3"
           " WHERE id = $1 AND password_hash = $2 AND status = 'active' AND deleted_at IS NULL",
    .params = {DB_UUID, DB_TEXT, DB_TEXT},
};

struct password_change {
    struct request *request;
    struct slice verified_hash;
    struct slice hash;
    struct session_answer answer; /* of the same kind as the session that asks */
};

/* What knew the old password, or was mailed before, is good no more. */
static enum db_result access_end(struct db *db, struct uuid user_id, int64_t now_ms)
{
    enum db_result result = sessions_revoke_of_user(db, user_id, (struct uuid){{0}}, now_ms);
    if (result == DB_DONE)
        result = mfa_challenges_end(db, user_id);
    return result == DB_DONE ? account_tokens_end(db, user_id, ACCOUNT_RESET_PASSWORD, now_ms) : result;
}

static enum db_result password_change_commit(struct db *db, void *arg)
{
    struct password_change *change = arg;
    struct request *request = change->request;
    struct uuid user_id = request->principal.user_id;
    enum db_result result =
        db_change(db, &PASSWORD_CHANGE,
                  DB_ARGS(db_uuid(user_id), db_text(change->verified_hash), db_text(change->hash)));
    if (result == DB_DONE)
        result = access_end(db, user_id, request->now_ms);
    if (result == DB_DONE)
        result = session_begin(db, request, user_id, &change->answer);
    return result;
}

enum http_status auth_password_change(struct request *request, struct response *response)
{
    if (accounts_are_external(request))
        return external_password_change(request, response);
    const struct auth_password_change_input *input = request->input;
    struct password_change change = {.request = request};
    struct db_rows *rows =
        db_query(request->db, &PASSWORD_OF_USER,
                 DB_ARGS(db_uuid(request->principal.user_id), db_uuid(request->principal.session_id)));
    enum db_result result = db_next(rows);
    if (result == DB_ERROR)
        return problem_database(response, result);
    if (result == DB_ROW) {
        change.verified_hash = db_copy_text(rows, 0, request->arena);
        change.answer.is_cookie = db_get_bool(rows, 1);
        db_close(rows);
    }
    if (!password_verify(change.verified_hash, input->current_password))
        return problem_field(response, "currentPassword", "WRONG", "is not the password of this account");
    change.hash = password_hash(request->arena, input->new_password);
    if (slice_is_absent(change.hash))
        return refuse_without_memory(response);
    result = db_transaction(request->db, password_change_commit, &change);
    if (result == DB_ERROR) /* it may have happened after all */
        response_drop_id(response, "user", request->principal.user_id);
    if (result != DB_DONE) /* a conflict: somebody else changed it while we were hashing */
        return problem_database(response, result);
    enum http_status status = session_answer_write(request, response, &change.answer, HTTP_STATUS_OK);
    response_drop_id(response, "user", request->principal.user_id); /* last: a problem would clear it */
    return status;
}

/* ---- messages with a token ---- */

/* Sends one to the account that `found` names, if it names one. The answer and its time are the same for an
 * address without an account, and for whoever asks again and again: they fill nobody's mailbox, and learn
 * nothing by it. */
static enum http_status send_if_found(struct request *request, struct response *response, struct slice email,
                                      struct db_rows *found, enum account_token_purpose purpose)
{
    struct uuid user_id = {{0}};
    enum db_result result = db_next(found);
    bool is_known = result == DB_ROW, is_within = false;
    if (is_known) {
        user_id = db_get_uuid(found, 0);
        db_close(found);
    } else if (result != DB_DONE) {
        return problem_database(response, result);
    }
    result = attempt_count(request, request->db, ATTEMPT_MAIL, email_fold(request->arena, email), &is_within);
    if (result != DB_DONE)
        return problem_database(response, result);
    result = is_known && is_within ? account_token_send(request, request->db, user_id, purpose)
                                   : account_token_feign(request, request->db, purpose);
    return result == DB_DONE ? HTTP_STATUS_ACCEPTED : problem_database(response, result);
}

/* ---- POST /auth/password/forgot and /auth/password/reset ---- */

DB_STATEMENT(ACTIVE_BY_EMAIL) = {
    .sql = "SELECT id FROM users WHERE email_folded = $1 AND status = 'active' AND deleted_at IS NULL",
    .params = {DB_TEXT},
    .columns = {DB_UUID},
};

enum http_status auth_password_forgot(struct request *request, struct response *response)
{
    if (accounts_are_external(request))
        return external_password_forgot(request, response);
    const struct auth_password_forgot_input *input = request->input;
    struct db_rows *found =
        db_query(request->db, &ACTIVE_BY_EMAIL, DB_ARGS(db_text(email_fold(request->arena, input->email))));
    return send_if_found(request, response, input->email, found, ACCOUNT_RESET_PASSWORD);
}

DB_STATEMENT(PASSWORD_RESET) = {
    .sql = "UPDATE users SET password_hash = $2 WHERE id = $1 AND status = 'active' AND deleted_at IS NULL",
    .params = {DB_UUID, DB_TEXT},
};

struct password_reset {
    struct request *request;
    struct slice token;
    struct slice hash;
};

/* Whoever reads the account's mail is its owner: what others guessed keeps them out no longer. */
static enum db_result attempts_forget(struct request *request, struct db *db, struct uuid user_id)
{
    struct user_email email;
    enum db_result result = user_email_read(db, request->arena, user_id, &email);
    return result == DB_ROW ? login_guard_forget(request, db, email.folded) : result;
}

static enum db_result password_reset_commit(struct db *db, void *arg)
{
    const struct password_reset *reset = arg;
    int64_t now_ms = reset->request->now_ms;
    struct uuid user_id;
    enum db_result result = account_token_use(db, reset->token, ACCOUNT_RESET_PASSWORD, now_ms, &user_id);
    if (result == DB_DONE)
        result = db_change(db, &PASSWORD_RESET, DB_ARGS(db_uuid(user_id), db_text(reset->hash)));
    if (result == DB_DONE)
        result = access_end(db, user_id, now_ms);
    return result == DB_DONE ? attempts_forget(reset->request, db, user_id) : result;
}

static enum http_status refuse_token(struct response *response)
{
    return problem(response, PROBLEM_INVALID_TOKEN, "The token is unknown, used or expired; ask for another");
}

enum http_status auth_password_reset(struct request *request, struct response *response)
{
    if (accounts_are_external(request))
        return external_password_reset(request, response);
    const struct auth_password_reset_input *input = request->input;
    struct password_reset reset = {.request = request, .token = input->token};
    struct uuid user_id;
    /* Looked up first, so that guessing costs no hashing. */
    enum db_result result =
        account_token_find(request->db, input->token, ACCOUNT_RESET_PASSWORD, request->now_ms, &user_id);
    if (result == DB_DONE)
        return refuse_token(response);
    if (result != DB_ROW)
        return problem_database(response, result);
    reset.hash = password_hash(request->arena, input->new_password);
    if (slice_is_absent(reset.hash))
        return refuse_without_memory(response);
    result = db_transaction(request->db, password_reset_commit, &reset);
    if (result == DB_CONFLICT)
        return refuse_token(response);
    response_drop_id(response, "user", user_id); /* also when it is not known whether it happened */
    if (result != DB_DONE)
        return problem_database(response, result);
    return HTTP_STATUS_NO_CONTENT;
}

/* ---- POST /auth/email/verify ---- */

DB_STATEMENT(EMAIL_VERIFIED) = {
    .sql = "UPDATE users SET email_verified_at = COALESCE(email_verified_at, $2), version = version + 1,"
           " updated_at = $2 WHERE id = $1 AND deleted_at IS NULL",
    .params = {DB_UUID, DB_TIME},
};

enum http_status auth_email_verify(struct request *request, struct response *response)
{
    if (accounts_are_external(request))
        return external_email_verify(request, response);
    const struct auth_email_verify_input *input = request->input;
    struct uuid user_id;
    enum db_result result =
        account_token_use(request->db, input->token, ACCOUNT_VERIFY_EMAIL, request->now_ms, &user_id);
    if (result == DB_CONFLICT)
        return refuse_token(response);
    if (result == DB_DONE)
        result = db_change(request->db, &EMAIL_VERIFIED, DB_ARGS(db_uuid(user_id), db_time(request->now_ms)));
    return result == DB_DONE ? HTTP_STATUS_NO_CONTENT : problem_database(response, result);
}

/* ---- POST /auth/verification ---- */

#define VERIFICATION_PAUSE_MS INT64_C(60000) /* between two messages to one account, registering included */

DB_STATEMENT(UNVERIFIED_BY_EMAIL) = {
    .sql = "SELECT u.id FROM users u WHERE u.email_folded = $1 AND u.email_verified_at IS NULL"
           " AND u.status = 'active' AND u.deleted_at IS NULL AND NOT EXISTS"
           " (SELECT 1 FROM account_tokens t WHERE t.user_id = u.id AND t.purpose = 'verify_email'"
           " AND t.created_at > $2)",
    .params = {DB_TEXT, DB_TIME},
    .columns = {DB_UUID},
};

enum http_status auth_verification_send(struct request *request, struct response *response)
{
    if (accounts_are_external(request))
        return external_verification_send(request, response);
    const struct auth_verification_send_input *input = request->input;
    struct db_rows *found = db_query(request->db, &UNVERIFIED_BY_EMAIL,
                                     DB_ARGS(db_text(email_fold(request->arena, input->email)),
                                             db_time(request->now_ms - VERIFICATION_PAUSE_MS)));
    return send_if_found(request, response, input->email, found, ACCOUNT_VERIFY_EMAIL);
}
