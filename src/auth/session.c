/* Sessions and refresh tokens: opening, rotating, revoking, the check of every authenticated request, and the
 * purge.
 *
 * A family of tokens is a chain: each is used once and makes the next. Two holders of one chain show in two
 * ways, and both end the session: a used token comes back, or an unused one comes after others of the family
 * went on without it. */
#include "auth/session.h"

#include "base/crypto.h"
#include "base/log.h"
#include "base/text.h"

#define REFRESH_TOKEN_BYTES 32
#define USER_AGENT_BYTES_MAX 300

DB_STATEMENT(SESSION_INSERT) = {
    .sql = "INSERT INTO sessions (id, user_id, is_cookie, created_at, last_used_at, expires_at) "
           "VALUES ($1, $2, $3, $4, $4, $5)",
    .params = {DB_UUID, DB_UUID, DB_BOOL, DB_TIME, DB_TIME},
};
DB_STATEMENT(TOKEN_INSERT) = {
    .sql =
        "INSERT INTO refresh_tokens (token_hash, session_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
    .params = {DB_BLOB, DB_UUID, DB_TIME, DB_TIME},
};
/* A disabled or deleted account ends its sessions even where nobody revoked them. */
DB_STATEMENT(TOKEN_SELECT) = {
    .sql =
        "SELECT t.session_id, t.created_at, t.expires_at, t.used_at, s.user_id, s.created_at, s.last_used_at, "
        "(s.revoked_at IS NULL AND s.expires_at > $2 AND u.status = 'active' AND u.deleted_at IS NULL) "
        "FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id JOIN users u ON u.id = s.user_id "
        "WHERE t.token_hash = $1",
    .params = {DB_BLOB, DB_TIME},
    .columns = {DB_UUID, DB_TIME, DB_TIME, DB_TIME, DB_UUID, DB_TIME, DB_TIME, DB_BOOL},
};
DB_STATEMENT(TOKEN_USE) = {
    .sql = "UPDATE refresh_tokens SET used_at = $2 WHERE token_hash = $1 AND used_at IS NULL",
    .params = {DB_BLOB, DB_TIME},
};
DB_STATEMENT(TOKENS_USED_BETWEEN) = {
    .sql = "SELECT COUNT(*) FROM refresh_tokens WHERE session_id = $1 AND used_at > $2 AND used_at <= $3",
    .params = {DB_UUID, DB_TIME, DB_TIME},
    .columns = {DB_INT},
};
DB_STATEMENT(SESSION_TOUCH) = {
    .sql = "UPDATE sessions SET last_used_at = $2, expires_at = $3 WHERE id = $1 AND revoked_at IS NULL",
    .params = {DB_UUID, DB_TIME, DB_TIME},
};
DB_STATEMENT(SESSION_OF_TOKEN) = {
    .sql =
        "SELECT s.id, s.user_id FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id WHERE t.token_hash = $1",
    .params = {DB_BLOB},
    .columns = {DB_UUID, DB_UUID},
};
DB_STATEMENT(SESSION_REVOKE) = {
    .sql = "UPDATE sessions SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL",
    .params = {DB_UUID, DB_TIME},
};
DB_STATEMENT(SESSIONS_REVOKE_OF_USER) = {
    .sql = "UPDATE sessions SET revoked_at = $3 WHERE user_id = $1 AND id <> $2 AND revoked_at IS NULL",
    .params = {DB_UUID, DB_UUID, DB_TIME},
};
DB_STATEMENT(SESSION_CHECK) = {
    .sql = "SELECT u.role, u.id, s.expires_at, " USER_ROLE_NAME
           ", r.scopes, u.second_factor_at FROM sessions s"
           " JOIN users u ON u.id = s.user_id LEFT JOIN roles r ON r.name = " USER_ROLE_NAME
           " WHERE s.id = $1 AND s.revoked_at IS NULL AND s.expires_at > $2 AND u.status = 'active'"
           " AND u.deleted_at IS NULL",
    .params = {DB_UUID, DB_TIME},
    .columns = {DB_TEXT, DB_UUID, DB_TIME, DB_TEXT, DB_TEXT, DB_TIME},
};
DB_STATEMENT(TOKENS_PURGE) = {
    .sql = "DELETE FROM refresh_tokens WHERE token_hash IN "
           "(SELECT token_hash FROM refresh_tokens WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
    .params = {DB_TIME, DB_INT},
};
/* Only those whose tokens are gone, so that one DELETE never drags thousands of tokens behind it. */
DB_STATEMENT(SESSIONS_PURGE) = {
    .sql =
        "DELETE FROM sessions WHERE id IN (SELECT s.id FROM sessions s WHERE s.expires_at <= $1 AND NOT EXISTS "
        "(SELECT 1 FROM refresh_tokens t WHERE t.session_id = s.id) ORDER BY s.expires_at LIMIT $2)",
    .params = {DB_TIME, DB_INT},
};

/* What the database knows of a presented token. */
struct presented {
    uint8_t hash[SHA256_LEN];
    struct uuid session_id;
    struct uuid user_id;
    int64_t created_at_ms;
    int64_t expires_at_ms;
    int64_t used_at_ms;
    bool is_used;
    bool is_session_good; /* not revoked, not expired, of an active account */
    int64_t session_created_at_ms;
    int64_t session_last_used_at_ms;
};

static struct slice hash_slice(const uint8_t hash[SHA256_LEN])
{
    return (struct slice){(const char *)hash, SHA256_LEN};
}

/* Sliding, but never past the absolute bound. */
static int64_t expiry(int64_t session_created_at_ms, int64_t now_ms, int64_t lifetime_seconds)
{
    int64_t sliding = now_ms + lifetime_seconds * 1000;
    int64_t age_seconds =
        lifetime_seconds > SESSION_AGE_SECONDS_MAX ? lifetime_seconds : SESSION_AGE_SECONDS_MAX;
    int64_t bound = session_created_at_ms + age_seconds * 1000;
    return sliding < bound ? sliding : bound;
}

static enum db_result token_make(struct db *db, struct arena *arena, int64_t now_ms,
                                 struct session_grant *grant)
{
    uint8_t secret[REFRESH_TOKEN_BYTES], hash[SHA256_LEN];
    random_fill(secret, sizeof(secret));
    grant->refresh_token = base64url_encode(arena, (struct slice){(const char *)secret, sizeof(secret)});
    sha256(grant->refresh_token, hash);
    return db_run(db, &TOKEN_INSERT,
                  DB_ARGS(db_blob(hash_slice(hash)), db_uuid(grant->session_id), db_time(now_ms),
                          db_time(grant->expires_at_ms)));
}

enum db_result session_open(struct db *db, struct arena *arena, struct uuid user_id, bool is_cookie,
                            int64_t now_ms, int64_t lifetime_seconds, struct session_grant *grant)
{
    CHECK(lifetime_seconds > 0);
    *grant = (struct session_grant){
        .session_id = uuid_v7(now_ms),
        .user_id = user_id,
        .expires_at_ms = expiry(now_ms, now_ms, lifetime_seconds),
    };
    enum db_result result = db_run(db, &SESSION_INSERT,
                                   DB_ARGS(db_uuid(grant->session_id), db_uuid(user_id), db_bool(is_cookie),
                                           db_time(now_ms), db_time(grant->expires_at_ms)));
    return result == DB_DONE ? token_make(db, arena, now_ms, grant) : result;
}

DB_STATEMENT(SESSION_DESCRIBE) = {
    .sql = "UPDATE sessions SET address = $2, user_agent = $3 WHERE id = $1",
    .params = {DB_UUID, DB_TEXT, DB_TEXT},
};

enum db_result session_describe(struct db *db, struct uuid session_id, struct slice address,
                                struct slice user_agent)
{
    bool is_fit = user_agent.len <= USER_AGENT_BYTES_MAX && text_is_valid(user_agent);
    return db_run(
        db, &SESSION_DESCRIBE,
        DB_ARGS(db_uuid(session_id), db_text(address), db_text(is_fit ? user_agent : SLICE_ABSENT)));
}

/* DB_ROW with *presented, DB_DONE when no such token is known, DB_ERROR. */
static enum db_result token_find(struct db *db, struct slice refresh_token, int64_t now_ms,
                                 struct presented *presented)
{
    if (refresh_token.len != REFRESH_TOKEN_TEXT_LEN)
        return DB_DONE;
    sha256(refresh_token, presented->hash);
    struct db_rows *rows =
        db_query(db, &TOKEN_SELECT, DB_ARGS(db_blob(hash_slice(presented->hash)), db_time(now_ms)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    presented->session_id = db_get_uuid(rows, 0);
    presented->created_at_ms = db_get_time(rows, 1);
    presented->expires_at_ms = db_get_time(rows, 2);
    presented->is_used = !db_is_null(rows, 3);
    presented->used_at_ms = db_get_time(rows, 3);
    presented->user_id = db_get_uuid(rows, 4);
    presented->session_created_at_ms = db_get_time(rows, 5);
    presented->session_last_used_at_ms = db_get_time(rows, 6);
    presented->is_session_good = db_get_bool(rows, 7);
    db_close(rows);
    return DB_ROW;
}

/* Whether an unused token was left behind: others of its family were used after it was made, and not just
 * now. Such a token is the twin that a grace made, and somebody else holds it. The session's own row answers
 * for the ordinary client: what was refreshed within the grace of the token's birth was at most a twin's
 * birth. DB_DONE or DB_ERROR. */
static enum db_result token_is_left_behind(struct db *db, const struct presented *presented, int64_t now_ms,
                                           bool *left)
{
    *left = false;
    if (presented->session_last_used_at_ms <= presented->created_at_ms + SESSION_GRACE_MS)
        return DB_DONE;
    int64_t used = 0;
    enum db_result result =
        db_one_int(db, &TOKENS_USED_BETWEEN,
                   DB_ARGS(db_uuid(presented->session_id), db_time(presented->created_at_ms),
                           db_time(now_ms - SESSION_GRACE_MS)),
                   &used);
    *left = used > 0;
    return result == DB_ROW ? DB_DONE : DB_ERROR;
}

/* The outcome that the rows decide. Only REFRESH_GRANTED is not yet done. DB_DONE or DB_ERROR. */
static enum db_result refresh_decide(struct db *db, const struct presented *presented, int64_t now_ms,
                                     enum refresh_outcome *outcome)
{
    bool is_old = false;
    if (!presented->is_session_good || presented->expires_at_ms <= now_ms) {
        *outcome = REFRESH_EXPIRED;
        return DB_DONE;
    }
    if (presented->is_used) {
        is_old = now_ms - presented->used_at_ms >= SESSION_GRACE_MS;
    } else if (token_is_left_behind(db, presented, now_ms, &is_old) != DB_DONE) {
        return DB_ERROR;
    }
    *outcome = is_old ? REFRESH_REUSED : REFRESH_GRANTED;
    return DB_DONE;
}

static enum db_result refresh_grant(struct db *db, struct arena *arena, const struct presented *presented,
                                    int64_t now_ms, int64_t lifetime_seconds, struct session_grant *grant)
{
    *grant = (struct session_grant){
        .session_id = presented->session_id,
        .user_id = presented->user_id,
        .expires_at_ms = expiry(presented->session_created_at_ms, now_ms, lifetime_seconds),
    };
    /* The use within a grace leaves used_at alone: a grace is counted from the first use and cannot be
     * prolonged. */
    if (!presented->is_used &&
        db_change(db, &TOKEN_USE, DB_ARGS(db_blob(hash_slice(presented->hash)), db_time(now_ms))) != DB_DONE)
        return DB_ERROR; /* somebody used or revoked it since we read: the whole transaction runs again */
    if (db_change(db, &SESSION_TOUCH,
                  DB_ARGS(db_uuid(grant->session_id), db_time(now_ms), db_time(grant->expires_at_ms))) !=
        DB_DONE)
        return DB_ERROR;
    return token_make(db, arena, now_ms, grant) == DB_DONE ? DB_DONE : DB_ERROR;
}

enum db_result session_refresh(struct db *db, struct arena *arena, struct slice refresh_token, int64_t now_ms,
                               int64_t lifetime_seconds, enum refresh_outcome *outcome,
                               struct session_grant *grant)
{
    CHECK(lifetime_seconds > 0);
    struct presented presented;
    *outcome = REFRESH_UNKNOWN;
    enum db_result result = token_find(db, refresh_token, now_ms, &presented);
    if (result != DB_ROW)
        return result;
    if (refresh_decide(db, &presented, now_ms, outcome) != DB_DONE)
        return DB_ERROR;
    switch (*outcome) {
    case REFRESH_GRANTED:
        return refresh_grant(db, arena, &presented, now_ms, lifetime_seconds, grant);
    case REFRESH_REUSED:
        log_message(LOG_WARN, "a refresh token was used twice: its session is revoked");
        *grant = (struct session_grant){.session_id = presented.session_id};
        return session_revoke(db, presented.session_id, now_ms);
    case REFRESH_UNKNOWN:
    case REFRESH_EXPIRED:
        break;
    }
    return DB_DONE;
}

enum db_result session_of_token(struct db *db, struct slice refresh_token, struct uuid *session_id,
                                struct uuid *user_id)
{
    uint8_t hash[SHA256_LEN];
    if (refresh_token.len != REFRESH_TOKEN_TEXT_LEN)
        return DB_DONE;
    sha256(refresh_token, hash);
    struct db_rows *rows = db_query(db, &SESSION_OF_TOKEN, DB_ARGS(db_blob(hash_slice(hash))));
    enum db_result result = db_next(rows);
    if (result == DB_ROW) {
        *session_id = db_get_uuid(rows, 0);
        *user_id = db_get_uuid(rows, 1);
        db_close(rows);
    }
    return result;
}

enum db_result session_revoke(struct db *db, struct uuid session_id, int64_t now_ms)
{
    return db_run(db, &SESSION_REVOKE, DB_ARGS(db_uuid(session_id), db_time(now_ms)));
}

enum db_result sessions_revoke_of_user(struct db *db, struct uuid user_id, struct uuid keep, int64_t now_ms)
{
    return db_run(db, &SESSIONS_REVOKE_OF_USER, DB_ARGS(db_uuid(user_id), db_uuid(keep), db_time(now_ms)));
}

static bool role_name_take(struct session_standing *standing, struct slice name)
{
    if (name.len > ROLE_BYTES_MAX)
        return false;
    memcpy(standing->role_name, name.ptr, name.len);
    standing->role_name[name.len] = '\0';
    return true;
}

enum db_result session_check(struct db *db, struct uuid session_id, int64_t now_ms,
                             struct session_standing *standing)
{
    struct db_rows *rows = db_query(db, &SESSION_CHECK, DB_ARGS(db_uuid(session_id), db_time(now_ms)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    *standing = (struct session_standing){
        .user_id = db_get_uuid(rows, 1),
        .expires_at_ms = db_get_time(rows, 2),
        .scopes = scopes_parse(db_get_text(rows, 4)), /* none where there is no such role */
        .has_second_factor = !db_is_null(rows, 5),
    };
    bool known =
        role_parse(db_get_text(rows, 0), &standing->role) && role_name_take(standing, db_get_text(rows, 3));
    db_close(rows);
    return known ? DB_ROW : DB_DONE; /* a role of a newer version grants nothing here */
}

/* ---- the same, remembered ---- */

/* "role user-id expiry scopes has-second-factor role's-name". Another version of souk that finds it takes it
 * for none, and asks the database. */
static struct slice standing_pack(struct arena *arena, const struct session_standing *standing)
{
    char user[UUID_TEXT_LEN];
    uuid_format(standing->user_id, user);
    return arena_format(arena, "%s %.*s %lld %lld %d %s", role_name(standing->role), UUID_TEXT_LEN, user,
                        (long long)standing->expires_at_ms, (long long)standing->scopes,
                        standing->has_second_factor ? 1 : 0, standing->role_name);
}

static bool next_number(struct slice *packed, long long *number)
{
    struct slice text;
    return slice_split(packed, ' ', &text) && slice_to_int64(text, number);
}

static bool standing_unpack(struct slice packed, struct session_standing *standing)
{
    struct slice role, user;
    long long expires_at_ms, scopes, has_second_factor;
    if (!slice_split(&packed, ' ', &role) || !slice_split(&packed, ' ', &user) ||
        !next_number(&packed, &expires_at_ms) || !next_number(&packed, &scopes) ||
        !next_number(&packed, &has_second_factor) || slice_is_absent(packed) ||
        !role_parse(role, &standing->role) || !uuid_parse(user, &standing->user_id) ||
        !role_name_take(standing, packed))
        return false;
    standing->expires_at_ms = expires_at_ms;
    standing->scopes = (uint32_t)scopes & scopes_all();
    standing->has_second_factor = has_second_factor != 0;
    return true;
}

static void standing_put(struct cache *cache, struct arena *arena, struct cache_ticket ticket,
                         struct slice key, const struct session_standing *standing, int64_t now_ms,
                         int64_t seconds_max)
{
    int64_t seconds = (standing->expires_at_ms - now_ms) / 1000;
    const struct slice tags[] = {key, cache_tag_of(arena, "user", standing->user_id),
                                 arena_format(arena, "role:%s", standing->role_name)};
    if (seconds > 0)
        cache_put(cache, ticket, key, standing_pack(arena, standing), tags, COUNT_OF(tags),
                  seconds < seconds_max ? seconds : seconds_max);
}

/* The key of a session, and its own tag. */
static struct slice cache_key_of(struct arena *arena, const struct principal *principal)
{
    return cache_tag_of(arena, "session", principal->session_id);
}

/* Whether what was found is a standing, and good still. */
static bool standing_take(struct slice packed, int64_t now_ms, struct session_standing *standing)
{
    return standing_unpack(packed, standing) && standing->expires_at_ms > now_ms;
}

static enum db_result standing_of(const struct principal *principal, const struct session_standing *standing)
{
    return uuid_equals(standing->user_id, principal->user_id) ? DB_ROW : DB_DONE;
}

bool session_remembered(struct cache *cache, struct arena *arena, const struct principal *principal,
                        int64_t now_ms, struct session_standing *standing)
{
    struct slice packed;
    int64_t age_s;
    return cache_get(cache, cache_key_of(arena, principal), arena, &packed, &age_s) &&
           standing_take(packed, now_ms, standing) && standing_of(principal, standing) == DB_ROW;
}

enum db_result session_check_cached(struct cache *cache, struct db *db, struct arena *arena,
                                    const struct principal *principal, int64_t now_ms,
                                    struct session_standing *standing)
{
    struct slice key = cache_key_of(arena, principal);
    struct slice packed;
    struct cache_ticket ticket;
    int64_t age_s;
    bool is_found = cache_get_shared(cache, key, arena, &packed, &age_s, &ticket);
    if (is_found && standing_take(packed, now_ms, standing))
        return standing_of(principal, standing);
    enum db_result result = session_check(db, principal->session_id, now_ms, standing);
    if (result == DB_ROW && !is_found) /* what lived longer than it should is about to go by itself */
        standing_put(cache, arena, ticket, key, standing, now_ms, SESSION_CACHE_SECONDS);
    return result == DB_ROW ? standing_of(principal, standing) : result;
}

enum db_result session_check_here(struct cache *cache, struct db *db, struct arena *arena,
                                  const struct principal *principal, int64_t now_ms,
                                  struct session_standing *standing)
{
    if (cache != NULL && session_remembered(cache, arena, principal, now_ms, standing))
        return DB_ROW;
    struct cache_ticket ticket = {0};
    if (cache != NULL)
        ticket = cache_ticket(cache);
    enum db_result result = session_check(db, principal->session_id, now_ms, standing);
    if (result == DB_ROW && cache != NULL)
        standing_put(cache, arena, ticket, cache_key_of(arena, principal), standing, now_ms,
                     SESSION_MEMORY_SECONDS);
    return result == DB_ROW ? standing_of(principal, standing) : result;
}

enum db_result sessions_purge(struct db *db, int64_t now_ms, int64_t limit, int64_t *deleted)
{
    *deleted = 0;
    if (db_run(db, &TOKENS_PURGE, DB_ARGS(db_time(now_ms), db_int(limit))) != DB_DONE)
        return DB_ERROR;
    *deleted = db_changes(db);
    if (*deleted >= limit)
        return DB_DONE;
    if (db_run(db, &SESSIONS_PURGE, DB_ARGS(db_time(now_ms), db_int(limit - *deleted))) != DB_DONE)
        return DB_ERROR;
    *deleted += db_changes(db);
    return DB_DONE;
}
