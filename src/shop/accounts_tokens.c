/* Tokens for the mail of an account: see accounts.h. */
#include "base/crypto.h"
#include "base/json_writer.h"
#include "data/outbox.h"
#include "shop/accounts.h"

#define TOKEN_BYTES 32
#define HOUR_MS (INT64_C(3600) * 1000)

static const struct {
    const char *name; /* in the database */
    const char *topic;
    int64_t lifetime_ms;
    bool is_newest_only;
} PURPOSES[] = {
    [ACCOUNT_VERIFY_EMAIL] = {"verify_email", "user.verify_email", 48 * HOUR_MS, false},
    [ACCOUNT_RESET_PASSWORD] = {"reset_password", "user.password_reset", 1 * HOUR_MS, true},
};

static struct db_value purpose_value(enum account_token_purpose purpose)
{
    return db_text(slice_from(PURPOSES[purpose].name));
}

static struct slice hash_of(struct slice token, uint8_t hash[SHA256_LEN])
{
    sha256(token, hash);
    return (struct slice){(const char *)hash, SHA256_LEN};
}

/* ---- making ---- */

static struct slice token_make(struct arena *arena)
{
    uint8_t secret[TOKEN_BYTES];
    random_fill(secret, sizeof(secret));
    return base64url_encode(arena, (struct slice){(const char *)secret, sizeof(secret)});
}

static struct slice message_make(struct request *request, struct uuid user_id, struct slice token)
{
    struct buf text;
    struct json_writer json;
    struct slice sealed = secret_seal(request->arena, request->services->seal_key, token);
    buf_init(&text, request->arena);
    json_init(&json, &text);
    json_object_begin(&json);
    json_field_uuid(&json, "userId", user_id);
    json_field_string(&json, "sealedToken", base64url_encode(request->arena, sealed));
    json_object_end(&json);
    return buf_slice(&text);
}

DB_STATEMENT(TOKENS_END) = {
    .sql = "UPDATE account_tokens SET used_at = $3 WHERE user_id = $1 AND purpose = $2 AND used_at IS NULL",
    .params = {DB_UUID, DB_TEXT, DB_TIME},
};

enum db_result account_tokens_end(struct db *db, struct uuid user_id, enum account_token_purpose purpose,
                                  int64_t now_ms)
{
    return db_run(db, &TOKENS_END, DB_ARGS(db_uuid(user_id), purpose_value(purpose), db_time(now_ms)));
}

DB_STATEMENT(TOKEN_INSERT) = {
    .sql = "INSERT INTO account_tokens (token_hash, user_id, purpose, created_at, expires_at)"
           " VALUES ($1, $2, $3, $4, $5)",
    .params = {DB_BLOB, DB_UUID, DB_TEXT, DB_TIME, DB_TIME},
};

enum db_result account_token_send(struct request *request, struct db *db, struct uuid user_id,
                                  enum account_token_purpose purpose)
{
    int64_t now_ms = request->now_ms;
    uint8_t hash[SHA256_LEN];
    struct slice token = token_make(request->arena);
    struct slice message = message_make(request, user_id, token);
    enum db_result result = DB_DONE;
    if (PURPOSES[purpose].is_newest_only)
        result = account_tokens_end(db, user_id, purpose, now_ms);
    if (result == DB_DONE)
        result = db_run(db, &TOKEN_INSERT,
                        DB_ARGS(db_blob(hash_of(token, hash)), db_uuid(user_id), purpose_value(purpose),
                                db_time(now_ms), db_time(now_ms + PURPOSES[purpose].lifetime_ms)));
    if (result == DB_DONE)
        result = outbox_append(db, PURPOSES[purpose].topic, message, now_ms);
    return result;
}

/* Delivered from the start (due_at is NULL): nobody picks it up, and it is purged like any other. */
DB_STATEMENT(MESSAGE_FEIGN) = {
    .sql = "INSERT INTO outbox (topic, payload, created_at, due_at, delivered_at)"
           " VALUES ('user.unknown', $1, $2, NULL, $2)",
    .params = {DB_JSON, DB_TIME},
};

enum db_result account_token_feign(struct request *request, struct db *db, enum account_token_purpose purpose)
{
    struct uuid nobody = {{0}};
    struct slice message = message_make(request, nobody, token_make(request->arena));
    enum db_result result = account_tokens_end(db, nobody, purpose, request->now_ms);
    if (result == DB_DONE)
        result = db_run(db, &MESSAGE_FEIGN, DB_ARGS(db_json(message), db_time(request->now_ms)));
    return result;
}

/* ---- using ---- */

DB_STATEMENT(TOKEN_FIND) = {
    .sql = "SELECT t.user_id FROM account_tokens t JOIN users u ON u.id = t.user_id"
           " WHERE t.token_hash = $1 AND t.purpose = $2 AND t.used_at IS NULL AND t.expires_at > $3"
           " AND u.status = 'active' AND u.deleted_at IS NULL",
    .params = {DB_BLOB, DB_TEXT, DB_TIME},
    .columns = {DB_UUID},
};

enum db_result account_token_find(struct db *db, struct slice token, enum account_token_purpose purpose,
                                  int64_t now_ms, struct uuid *user_id)
{
    uint8_t hash[SHA256_LEN];
    struct db_rows *rows = db_query(
        db, &TOKEN_FIND, DB_ARGS(db_blob(hash_of(token, hash)), purpose_value(purpose), db_time(now_ms)));
    enum db_result result = db_next(rows);
    if (result == DB_ROW) {
        *user_id = db_get_uuid(rows, 0);
        db_close(rows);
    }
    return result;
}

DB_STATEMENT(TOKEN_USE) = {
    .sql = "UPDATE account_tokens SET used_at = $2 WHERE token_hash = $1 AND used_at IS NULL",
    .params = {DB_BLOB, DB_TIME},
};

enum db_result account_token_use(struct db *db, struct slice token, enum account_token_purpose purpose,
                                 int64_t now_ms, struct uuid *user_id)
{
    enum db_result result = account_token_find(db, token, purpose, now_ms, user_id);
    if (result != DB_ROW)
        return result == DB_DONE ? DB_CONFLICT : result;
    uint8_t hash[SHA256_LEN];
    return db_change(db, &TOKEN_USE, DB_ARGS(db_blob(hash_of(token, hash)), db_time(now_ms)));
}

/* ---- purging ---- */

DB_STATEMENT(TOKENS_PURGE) = {
    .sql = "DELETE FROM account_tokens WHERE token_hash IN"
           " (SELECT token_hash FROM account_tokens WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
    .params = {DB_TIME, DB_INT},
};

enum db_result accounts_purge(struct db *db, int64_t now_ms, int64_t limit, int64_t *deleted)
{
    *deleted = 0;
    enum db_result result = db_run(db, &TOKENS_PURGE, DB_ARGS(db_time(now_ms), db_int(limit)));
    if (result == DB_DONE)
        *deleted = db_changes(db);
    return result;
}
