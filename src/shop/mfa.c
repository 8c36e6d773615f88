/* The second factor: enrolling, confirming, recovery codes, and the challenge of a log-in.
 *
 * The authenticator's secret is encrypted under a key of SOUK_SECRET; recovery codes are kept as a keyed
 * hash. Each code is good once: the step of the newest one is raised by an UPDATE that only one of two racing
 * requests can make. Wrong codes are counted by challenge and by account. */
#include "shop/mfa.h"

#include "auth/password.h"
#include "auth/totp.h"
#include "contract/handlers.h"
#include "contract/inputs.h"
#include "shop/accounts.h"
#include "shop/accounts_external.h"
#include "shop/login_guard.h"

#define RECOVERY_CODES 10
#define RECOVERY_CODE_BYTES 10 /* 80 bits, 16 letters and digits of base 32 */
#define CHALLENGE_BYTES 32

static struct slice digest_slice(const uint8_t digest[SHA256_LEN])
{
    return (struct slice){(const char *)digest, SHA256_LEN};
}

/* A key of its own for each purpose. */
static void purpose_key(const struct request *request, const char *purpose, uint8_t key[SHA256_LEN])
{
    hmac_sha256((struct slice){(const char *)request->services->seal_key, 32}, slice_from(purpose), key);
}

static struct slice user_subject(const struct uuid *user_id)
{
    return (struct slice){(const char *)user_id->bytes, sizeof(user_id->bytes)};
}

/* As text: a counter's subject must hold no NUL. */
static struct slice user_text(struct request *request, struct uuid user_id)
{
    return base64url_encode(request->arena, user_subject(&user_id));
}

/* ---- codes ---- */

DB_STATEMENT(FACTOR_READ) = {
    .sql = "SELECT sealed_secret, last_step, confirmed_at FROM second_factors WHERE user_id = $1",
    .params = {DB_UUID},
    .columns = {DB_BLOB, DB_INT, DB_TIME},
};

struct factor {
    struct slice secret; /* absent when it does not open under this SOUK_SECRET */
    int64_t last_step;
    bool is_confirmed;
    int64_t confirmed_at_ms;
};

/* DB_ROW, DB_DONE (none enrolled) or DB_ERROR. */
static enum db_result factor_read(struct request *request, struct db *db, struct uuid user_id,
                                  struct factor *factor)
{
    uint8_t key[SHA256_LEN];
    struct db_rows *rows = db_query(db, &FACTOR_READ, DB_ARGS(db_uuid(user_id)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    purpose_key(request, "souk totp", key);
    *factor = (struct factor){
        .secret = secret_open(request->arena, key, db_get_text(rows, 0)),
        .last_step = db_get_int(rows, 1),
        .is_confirmed = !db_is_null(rows, 2),
        .confirmed_at_ms = db_get_time(rows, 2),
    };
    db_close(rows);
    return DB_ROW;
}

DB_STATEMENT(STEP_USE) = {
    .sql = "UPDATE second_factors SET last_step = $2 WHERE user_id = $1 AND last_step < $2",
    .params = {DB_UUID, DB_INT},
};

static bool is_totp(struct slice code)
{
    for (size_t i = 0; i < code.len; i++) {
        if (code.ptr[i] < '0' || code.ptr[i] > '9')
            return false;
    }
    return code.len == 6;
}

static enum db_result totp_use(struct request *request, struct db *db, struct uuid user_id,
                               const struct factor *factor, struct slice code)
{
    int64_t step = slice_is_absent(factor->secret)
                       ? 0
                       : totp_check(factor->secret, code, request->now_ms, factor->last_step);
    return step == 0 ? DB_CONFLICT : db_change(db, &STEP_USE, DB_ARGS(db_uuid(user_id), db_int(step)));
}

/* Case, spaces and dashes are how people write, not what the code is. */
static void recovery_hash(struct request *request, struct uuid user_id, struct slice code,
                          uint8_t hash[SHA256_LEN])
{
    uint8_t key[SHA256_LEN];
    struct buf text;
    buf_init(&text, request->arena);
    buf_append(&text, user_subject(&user_id));
    for (size_t i = 0; i < code.len; i++) {
        char c = code.ptr[i];
        if (c != ' ' && c != '-')
            buf_append_char(&text, c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c);
    }
    purpose_key(request, "souk recovery codes", key);
    hmac_sha256(digest_slice(key), buf_slice(&text), hash);
}

DB_STATEMENT(RECOVERY_USE) = {
    .sql = "UPDATE recovery_codes SET used_at = $3 WHERE user_id = $1 AND code_hash = $2 AND used_at IS NULL",
    .params = {DB_UUID, DB_BLOB, DB_TIME},
};

enum db_result mfa_code_use(struct request *request, struct db *db, struct uuid user_id, struct slice code)
{
    struct factor factor;
    uint8_t hash[SHA256_LEN];
    enum db_result result = factor_read(request, db, user_id, &factor);
    if (result == DB_DONE || (result == DB_ROW && !factor.is_confirmed))
        return DB_CONFLICT;
    if (result != DB_ROW)
        return result;
    if (is_totp(code))
        return totp_use(request, db, user_id, &factor, code);
    recovery_hash(request, user_id, code, hash);
    return db_change(db, &RECOVERY_USE,
                     DB_ARGS(db_uuid(user_id), db_blob(digest_slice(hash)), db_time(request->now_ms)));
}

DB_STATEMENT(RECOVERY_DELETE) = {
    .sql = "DELETE FROM recovery_codes WHERE user_id = $1",
    .params = {DB_UUID},
};

DB_STATEMENT(RECOVERY_INSERT) = {
    .sql = "INSERT INTO recovery_codes (user_id, code_hash, created_at) VALUES ($1, $2, $3)",
    .params = {DB_UUID, DB_BLOB, DB_TIME},
};

/* New ones in the place of all before; `codes` are what the user is shown, once. */
static enum db_result recovery_make(struct request *request, struct db *db, struct uuid user_id,
                                    struct slice codes[RECOVERY_CODES])
{
    enum db_result result = db_run(db, &RECOVERY_DELETE, DB_ARGS(db_uuid(user_id)));
    for (int i = 0; i < RECOVERY_CODES && result == DB_DONE; i++) {
        uint8_t secret[RECOVERY_CODE_BYTES], hash[SHA256_LEN];
        random_fill(secret, sizeof(secret));
        struct slice text =
            base32_encode(request->arena, (struct slice){(const char *)secret, sizeof(secret)});
        codes[i] = arena_format(request->arena, "%.4s-%.4s-%.4s-%.4s", text.ptr, text.ptr + 4, text.ptr + 8,
                                text.ptr + 12);
        recovery_hash(request, user_id, codes[i], hash);
        result = db_run(db, &RECOVERY_INSERT,
                        DB_ARGS(db_uuid(user_id), db_blob(digest_slice(hash)), db_time(request->now_ms)));
    }
    return result;
}

static enum http_status recovery_answer(struct response *response, const struct slice codes[RECOVERY_CODES])
{
    struct json_writer *json = &response->json;
    json_object_begin(json);
    json_field_array_begin(json, "recoveryCodes");
    for (int i = 0; i < RECOVERY_CODES; i++)
        json_text(json, codes[i]);
    json_array_end(json);
    json_object_end(json);
    response_header(response, "Cache-Control", SLICE("no-store"));
    return HTTP_STATUS_OK;
}

/* ---- GET /users/me/mfa ---- */

DB_STATEMENT(RECOVERY_LEFT) = {
    .sql = "SELECT COUNT(*) FROM recovery_codes WHERE user_id = $1 AND used_at IS NULL",
    .params = {DB_UUID},
    .columns = {DB_INT},
};

enum http_status mfa_get(struct request *request, struct response *response)
{
    struct factor factor = {.is_confirmed = false};
    int64_t left = 0;
    enum db_result result = factor_read(request, request->db, request->principal.user_id, &factor);
    if (result == DB_ERROR || db_one_int(request->db, &RECOVERY_LEFT,
                                         DB_ARGS(db_uuid(request->principal.user_id)), &left) != DB_ROW)
        return problem_database(response, DB_ERROR);
    struct json_writer *json = &response->json;
    json_object_begin(json);
    json_field_bool(json, "isEnabled", factor.is_confirmed);
    if (factor.is_confirmed)
        json_field_time(json, "confirmedAt", factor.confirmed_at_ms);
    else
        json_field_null(json, "confirmedAt");
    json_field_int(json, "recoveryCodesLeft", left);
    json_object_end(json);
    return HTTP_STATUS_OK;
}

/* ---- the password, asked again ---- */

DB_STATEMENT(PASSWORD_OF) = {
    .sql =
        "SELECT password_hash, email FROM users WHERE id = $1 AND status = 'active' AND deleted_at IS NULL",
    .params = {DB_UUID},
    .columns = {DB_TEXT, DB_TEXT},
};

struct guess {
    struct request *request;
    enum attempt_kind kind;
    bool is_within;
};

static enum db_result guess_count(struct db *db, void *arg)
{
    struct guess *guess = arg;
    return attempt_count(guess->request, db, guess->kind,
                         user_text(guess->request, guess->request->principal.user_id), &guess->is_within);
}

/* One more failure of the caller's. DB_DONE or DB_ERROR. */
static enum db_result failure_count(struct request *request, enum attempt_kind kind)
{
    struct guess guess = {.request = request, .kind = kind};
    return db_transaction(request->db, guess_count, &guess);
}

/* 0 while the caller has tries left. */
static enum http_status refuse_guessing(struct request *request, struct response *response,
                                        enum attempt_kind kind)
{
    int64_t wait_ms = 0;
    enum db_result result =
        attempt_wait(request, request->db, kind, user_text(request, request->principal.user_id), &wait_ms);
    if (result != DB_DONE)
        return problem_database(response, result);
    return wait_ms > 0 ? refuse_attempts(response, wait_ms) : (enum http_status)0;
}

enum http_status account_password_check(struct request *request, struct response *response,
                                        struct slice password, struct slice *email)
{
    if (accounts_are_external(request))
        return problem(response, PROBLEM_EXTERNAL_IDENTITY,
                       "The identity provider keeps the password and the second factor of this account");
    enum http_status refusal = refuse_guessing(request, response, ATTEMPT_PASSWORD);
    if (refusal != 0)
        return refusal;
    struct slice hash = SLICE_ABSENT;
    struct db_rows *rows = db_query(request->db, &PASSWORD_OF, DB_ARGS(db_uuid(request->principal.user_id)));
    enum db_result result = db_next(rows);
    if (result == DB_ERROR)
        return problem_database(response, result);
    if (result == DB_ROW) {
        hash = db_copy_text(rows, 0, request->arena);
        *email = db_copy_text(rows, 1, request->arena);
        db_close(rows);
    }
    if (password_verify(hash, password))
        return (enum http_status)0;
    result = failure_count(request, ATTEMPT_PASSWORD);
    if (result != DB_DONE)
        return problem_database(response, result);
    return problem_field(response, "password", "WRONG", "is not the password of this account");
}

/* ---- POST /users/me/mfa ---- */

DB_STATEMENT(FACTOR_ENROL) = {
    .sql = "INSERT INTO second_factors (user_id, sealed_secret, created_at) VALUES ($1, $2, $3)"
           " ON CONFLICT (user_id) DO UPDATE SET sealed_secret = excluded.sealed_secret, last_step = 0,"
           " created_at = excluded.created_at WHERE second_factors.confirmed_at IS NULL",
    .params = {DB_UUID, DB_BLOB, DB_TIME},
};

/* What stands in a URI: letters, digits and -._~ as they are (RFC 3986). */
static struct slice uri_escape(struct arena *arena, struct slice text)
{
    struct buf out;
    buf_init(&out, arena);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                        c == '-' || c == '.' || c == '_' || c == '~';
        if (is_plain)
            buf_append_char(&out, (char)c);
        else
            buf_format(&out, "%%%02X", c);
    }
    return buf_slice(&out);
}

DB_STATEMENT(STORE_NAME) = {
    .sql = "SELECT store_name FROM shop_settings WHERE id = 1",
    .columns = {DB_TEXT},
};

static enum db_result store_name_read(struct request *request, struct slice *name)
{
    struct db_rows *rows = db_query(request->db, &STORE_NAME, DB_NO_ARGS);
    if (db_next(rows) != DB_ROW)
        return DB_ERROR;
    *name = db_copy_text(rows, 0, request->arena);
    db_close(rows);
    return DB_DONE;
}

enum http_status mfa_enrol(struct request *request, struct response *response)
{
    const struct mfa_enrol_input *input = request->input;
    uint8_t secret[TOTP_SECRET_BYTES], key[SHA256_LEN];
    struct slice email = SLICE(""), store_name;
    enum http_status refusal = account_password_check(request, response, input->password, &email);
    if (refusal != 0)
        return refusal;
    random_fill(secret, sizeof(secret));
    struct slice plain = {(const char *)secret, sizeof(secret)};
    purpose_key(request, "souk totp", key);
    enum db_result result = store_name_read(request, &store_name);
    if (result == DB_DONE)
        result =
            db_change(request->db, &FACTOR_ENROL,
                      DB_ARGS(db_uuid(request->principal.user_id),
                              db_blob(secret_seal(request->arena, key, plain)), db_time(request->now_ms)));
    if (result == DB_CONFLICT)
        return problem(response, PROBLEM_MFA_ENABLED, "Disable the second factor first");
    if (result != DB_DONE)
        return problem_database(response, result);
    struct slice text = base32_encode(request->arena, plain);
    struct slice issuer = uri_escape(request->arena, store_name);
    struct slice account = uri_escape(request->arena, email);
    struct json_writer *json = &response->json;
    json_object_begin(json);
    json_field_string(json, "secret", text);
    json_field_string(
        json, "otpauthUrl",
        arena_format(request->arena,
                     "otpauth://totp/%.*s:%.*s?secret=%.*s&issuer=%.*s&algorithm=SHA1&digits=6&period=30",
                     SLICE_ARG(issuer), SLICE_ARG(account), SLICE_ARG(text), SLICE_ARG(issuer)));
    json_object_end(json);
    return HTTP_STATUS_CREATED;
}

/* ---- POST /users/me/mfa/confirm and /recovery-codes ---- */

struct confirmation {
    struct request *request;
    struct slice code;
    bool is_missing; /* nothing is enrolled */
    bool is_enabled; /* it was confirmed before */
    struct slice codes[RECOVERY_CODES];
};

DB_STATEMENT(FACTOR_CONFIRM) = {
    .sql = "UPDATE second_factors SET confirmed_at = $2 WHERE user_id = $1 AND confirmed_at IS NULL",
    .params = {DB_UUID, DB_TIME},
};

DB_STATEMENT(USER_HAS_FACTOR) = {
    .sql = "UPDATE users SET second_factor_at = $2 WHERE id = $1 AND deleted_at IS NULL",
    .params = {DB_UUID, DB_TIME},
};

/* Sessions that were opened without it end, but the one that asks. */
static enum db_result confirm_commit(struct db *db, void *arg)
{
    struct confirmation *confirmation = arg;
    struct request *request = confirmation->request;
    struct uuid me = request->principal.user_id;
    struct factor factor;
    enum db_result result = factor_read(request, db, me, &factor);
    confirmation->is_missing = result == DB_DONE;
    confirmation->is_enabled = result == DB_ROW && factor.is_confirmed;
    if (result == DB_DONE || confirmation->is_enabled)
        return DB_CONFLICT;
    if (result != DB_ROW)
        return result;
    result =
        is_totp(confirmation->code) ? totp_use(request, db, me, &factor, confirmation->code) : DB_CONFLICT;
    if (result == DB_DONE)
        result = db_change(db, &FACTOR_CONFIRM, DB_ARGS(db_uuid(me), db_time(request->now_ms)));
    if (result == DB_DONE)
        result = db_change(db, &USER_HAS_FACTOR, DB_ARGS(db_uuid(me), db_time(request->now_ms)));
    if (result == DB_DONE)
        result = sessions_revoke_of_user(db, me, request->principal.session_id, request->now_ms);
    if (result == DB_DONE)
        result = recovery_make(request, db, me, confirmation->codes);
    return result;
}

/* A wrong code counts. */
enum http_status account_code_refuse(struct request *request, struct response *response)
{
    enum db_result result = failure_count(request, ATTEMPT_MFA);
    if (result != DB_DONE)
        return problem_database(response, result);
    return problem_field(response, "code", "WRONG", "is no code of this account, or was used before");
}

enum http_status mfa_confirm(struct request *request, struct response *response)
{
    const struct mfa_confirm_input *input = request->input;
    struct confirmation confirmation = {.request = request, .code = input->code};
    enum http_status refusal = refuse_guessing(request, response, ATTEMPT_MFA);
    if (refusal != 0)
        return refusal;
    enum db_result result = db_transaction(request->db, confirm_commit, &confirmation);
    if (result == DB_CONFLICT && confirmation.is_missing)
        return problem(response, PROBLEM_MFA_NOT_FOUND, "Enrol first");
    if (result == DB_CONFLICT && confirmation.is_enabled)
        return problem(response, PROBLEM_MFA_ENABLED, "The second factor is confirmed already");
    if (result == DB_CONFLICT)
        return account_code_refuse(request, response);
    if (result != DB_DONE)
        return problem_database(response, result);
    enum http_status status = recovery_answer(response, confirmation.codes);
    response_drop_id(response, "user", request->principal.user_id);
    return status;
}

static enum db_result recovery_commit(struct db *db, void *arg)
{
    struct confirmation *confirmation = arg;
    struct uuid me = confirmation->request->principal.user_id;
    enum db_result result = mfa_code_use(confirmation->request, db, me, confirmation->code);
    return result == DB_DONE ? recovery_make(confirmation->request, db, me, confirmation->codes) : result;
}

enum http_status mfa_recovery_codes(struct request *request, struct response *response)
{
    const struct mfa_recovery_codes_input *input = request->input;
    struct confirmation confirmation = {.request = request, .code = input->code};
    enum http_status refusal = refuse_guessing(request, response, ATTEMPT_MFA);
    if (refusal != 0)
        return refusal;
    enum db_result result = db_transaction(request->db, recovery_commit, &confirmation);
    if (result == DB_CONFLICT)
        return account_code_refuse(request, response);
    return result == DB_DONE ? recovery_answer(response, confirmation.codes)
                             : problem_database(response, result);
}

/* ---- POST /users/me/mfa/disable ---- */

DB_STATEMENT(FACTOR_DELETE) = {
    .sql = "DELETE FROM second_factors WHERE user_id = $1",
    .params = {DB_UUID},
};

DB_STATEMENT(USER_HAS_NONE) = {
    .sql = "UPDATE users SET second_factor_at = NULL WHERE id = $1",
    .params = {DB_UUID},
};

enum db_result mfa_remove(struct db *db, struct uuid user_id)
{
    enum db_result result = db_run(db, &FACTOR_DELETE, DB_ARGS(db_uuid(user_id)));
    if (result == DB_DONE)
        result = db_run(db, &RECOVERY_DELETE, DB_ARGS(db_uuid(user_id)));
    if (result == DB_DONE)
        result = db_run(db, &USER_HAS_NONE, DB_ARGS(db_uuid(user_id)));
    return result == DB_DONE ? mfa_challenges_end(db, user_id) : result;
}

static enum db_result disable_commit(struct db *db, void *arg)
{
    struct confirmation *confirmation = arg;
    struct uuid me = confirmation->request->principal.user_id;
    enum db_result result = mfa_code_use(confirmation->request, db, me, confirmation->code);
    return result == DB_DONE ? mfa_remove(db, me) : result;
}

enum http_status mfa_disable(struct request *request, struct response *response)
{
    const struct mfa_disable_input *input = request->input;
    struct confirmation confirmation = {.request = request, .code = input->code};
    struct slice email;
    enum http_status refusal = refuse_guessing(request, response, ATTEMPT_MFA);
    if (refusal == 0)
        refusal = account_password_check(request, response, input->password, &email);
    if (refusal != 0)
        return refusal;
    enum db_result result = db_transaction(request->db, disable_commit, &confirmation);
    if (result == DB_CONFLICT)
        return account_code_refuse(request, response);
    if (result != DB_DONE)
        return problem_database(response, result);
    response_drop_id(response, "user", request->principal.user_id);
    return HTTP_STATUS_NO_CONTENT;
}

/* ---- the challenge of a log-in ---- */

DB_STATEMENT(CHALLENGE_INSERT) = {
    .sql = "INSERT INTO login_challenges (token_hash, user_id, is_cookie, cart_id, created_at, expires_at)"
           " VALUES ($1, $2, $3, $4, $5, $6)",
    .params = {DB_BLOB, DB_UUID, DB_BOOL, DB_UUID, DB_TIME, DB_TIME},
};

enum db_result mfa_challenge_make(struct request *request, struct db *db, struct mfa_challenge *challenge)
{
    uint8_t secret[CHALLENGE_BYTES], hash[SHA256_LEN];
    random_fill(secret, sizeof(secret));
    challenge->token = base64url_encode(request->arena, (struct slice){(const char *)secret, sizeof(secret)});
    sha256(challenge->token, hash);
    return db_run(db, &CHALLENGE_INSERT,
                  DB_ARGS(db_blob(digest_slice(hash)), db_uuid(challenge->user_id),
                          db_bool(challenge->is_cookie),
                          db_if(challenge->has_cart, db_uuid(challenge->cart_id)), db_time(request->now_ms),
                          db_time(request->now_ms + MFA_CHALLENGE_MS)));
}

enum http_status mfa_challenge_answer(struct response *response, const struct mfa_challenge *challenge)
{
    enum http_status status =
        problem(response, PROBLEM_MFA_REQUIRED, "Answer the challenge with a code: POST /auth/mfa");
    problem_extra_string(response, "challengeToken", challenge->token);
    problem_extra_int(response, "challengeExpiresIn", MFA_CHALLENGE_MS / 1000);
    return status;
}

DB_STATEMENT(CHALLENGE_READ) = {
    .sql = "SELECT c.user_id, c.is_cookie, c.cart_id FROM login_challenges c JOIN users u ON u.id = c.user_id"
           " WHERE c.token_hash = $1 AND c.used_at IS NULL AND c.expires_at > $2 AND c.attempts < $3"
           " AND u.status = 'active' AND u.deleted_at IS NULL",
    .params = {DB_BLOB, DB_TIME, DB_INT},
    .columns = {DB_UUID, DB_BOOL, DB_UUID},
};

DB_STATEMENT(CHALLENGE_FAIL) = {
    .sql = "UPDATE login_challenges SET attempts = attempts + 1 WHERE token_hash = $1",
    .params = {DB_BLOB},
};

DB_STATEMENT(CHALLENGE_USE) = {
    .sql = "UPDATE login_challenges SET used_at = $2 WHERE token_hash = $1 AND used_at IS NULL",
    .params = {DB_BLOB, DB_TIME},
};

DB_STATEMENT(CHALLENGES_END) = {
    .sql = "DELETE FROM login_challenges WHERE user_id = $1",
    .params = {DB_UUID},
};

enum db_result mfa_challenges_end(struct db *db, struct uuid user_id)
{
    return db_run(db, &CHALLENGES_END, DB_ARGS(db_uuid(user_id)));
}

struct mfa_login {
    struct request *request;
    struct slice code;
    uint8_t hash[SHA256_LEN];
    enum { MFA_PASSED, MFA_UNKNOWN, MFA_WRONG, MFA_EXHAUSTED } outcome;
    int64_t wait_ms;
    struct account_entry entry;
};

/* DB_ROW with who logs in, DB_DONE when the challenge is no good, or DB_ERROR. */
static enum db_result challenge_read(struct mfa_login *login, struct db *db)
{
    struct db_rows *rows = db_query(db, &CHALLENGE_READ,
                                    DB_ARGS(db_blob(digest_slice(login->hash)),
                                            db_time(login->request->now_ms), db_int(MFA_CHALLENGE_TRIES)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    login->entry = (struct account_entry){
        .user_id = db_get_uuid(rows, 0),
        .has_cart = !db_is_null(rows, 2),
        .guest_cart_id = db_get_uuid(rows, 2),
        .answer.is_cookie = db_get_bool(rows, 1),
    };
    db_close(rows);
    return DB_ROW;
}

static enum db_result code_failed(struct mfa_login *login, struct db *db)
{
    bool is_within;
    login->outcome = MFA_WRONG;
    enum db_result result = db_run(db, &CHALLENGE_FAIL, DB_ARGS(db_blob(digest_slice(login->hash))));
    if (result != DB_DONE)
        return result;
    return attempt_count(login->request, db, ATTEMPT_MFA, user_text(login->request, login->entry.user_id),
                         &is_within);
}

/* Commits whatever the outcome: a wrong code has been counted. */
static enum db_result mfa_commit(struct db *db, void *arg)
{
    struct mfa_login *login = arg;
    struct request *request = login->request;
    enum db_result result = challenge_read(login, db);
    login->outcome = MFA_UNKNOWN;
    if (result != DB_ROW)
        return result;
    result =
        attempt_wait(request, db, ATTEMPT_MFA, user_text(request, login->entry.user_id), &login->wait_ms);
    login->outcome = MFA_EXHAUSTED;
    if (result != DB_DONE || login->wait_ms > 0)
        return result;
    result = mfa_code_use(request, db, login->entry.user_id, login->code);
    if (result == DB_CONFLICT)
        return code_failed(login, db);
    login->outcome = MFA_PASSED;
    if (result == DB_DONE)
        result = db_change(db, &CHALLENGE_USE,
                           DB_ARGS(db_blob(digest_slice(login->hash)), db_time(request->now_ms)));
    if (result == DB_DONE)
        result = attempt_forget(request, db, ATTEMPT_MFA, user_text(request, login->entry.user_id));
    return result == DB_DONE ? account_enter(db, request, &login->entry) : result;
}

enum http_status auth_mfa(struct request *request, struct response *response)
{
    const struct auth_mfa_input *input = request->input;
    struct mfa_login *login = ARENA_NEW(request->arena, struct mfa_login);
    *login = (struct mfa_login){.request = request, .code = input->code};
    sha256(input->challenge_token, login->hash);
    enum db_result result = DB_CONFLICT;
    for (int i = 0; i < ACCOUNT_ENTER_TRIES && result == DB_CONFLICT; i++)
        result = db_transaction(request->db, mfa_commit, login);
    if (result != DB_DONE)
        return problem_database(response, result);
    switch (login->outcome) {
    case MFA_UNKNOWN:
        return problem(response, PROBLEM_INVALID_TOKEN,
                       "The challenge is unknown, used, expired or was tried too often; log in again");
    case MFA_EXHAUSTED:
        return refuse_attempts(response, login->wait_ms);
    case MFA_WRONG:
        return problem(response, PROBLEM_INVALID_CREDENTIALS, "The code is wrong, or was used before");
    case MFA_PASSED:
        break;
    }
    return session_answer_write(request, response, &login->entry.answer, HTTP_STATUS_OK);
}

DB_STATEMENT(CHALLENGES_PURGE) = {
    .sql = "DELETE FROM login_challenges WHERE token_hash IN"
           " (SELECT token_hash FROM login_challenges WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
    .params = {DB_TIME, DB_INT},
};

enum db_result mfa_purge(struct db *db, int64_t now_ms, int64_t limit, int64_t *deleted)
{
    enum db_result result = db_run(db, &CHALLENGES_PURGE, DB_ARGS(db_time(now_ms), db_int(limit)));
    *deleted = result == DB_DONE ? db_changes(db) : 0;
    return result;
}
