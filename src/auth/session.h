/* Log-in sessions and their refresh tokens (256 random bits, stored as SHA-256 only).
 *
 * A refresh token is used once and replaced. Using an old one again means that somebody copied it: the whole
 * session (family) is revoked - except within SESSION_GRACE_MS of the replacement, when a client may have
 * lost the reply: then it gets a new token too. A grace counts from the first use and is never prolonged. The
 * twin tokens that it makes are one chain still: once the family went on with one of them for longer than a
 * grace, the other is an old one too.
 *
 * A session's expiry slides with each refresh (now + lifetime), at most SESSION_AGE_SECONDS_MAX (or one
 * lifetime, if that is longer) past its log-in. All functions run inside the caller's transaction. */
#pragma once

#include "auth/principal.h"
#include "data/cache.h"
#include "data/db.h"

/* Longest name of a role; as the contract has it. */
#define ROLE_BYTES_MAX 40
#define SESSION_GRACE_MS 10000
/* Then the password is asked again, however busy the session. */
#define SESSION_AGE_SECONDS_MAX (INT64_C(90) * 24 * 3600)
#define SESSION_CACHE_SECONDS (24 * 3600)
#define SESSION_MEMORY_SECONDS 1
/* Base64url of 32 bytes. */
#define REFRESH_TOKEN_TEXT_LEN 43

struct session_grant {
    struct uuid session_id;
    struct uuid user_id;
    struct slice refresh_token; /* given to the client, never stored */
    int64_t expires_at_ms;
};

enum db_result session_open(struct db *db, struct arena *arena, struct uuid user_id, bool is_cookie,
                            int64_t now_ms, int64_t lifetime_seconds, struct session_grant *grant);

/* Notes what client opened it, for the list of sessions; an agent that is no text is left out. DB_DONE or
 * DB_ERROR. */
enum db_result session_describe(struct db *db, struct uuid session_id, struct slice address,
                                struct slice user_agent);

enum refresh_outcome {
    REFRESH_GRANTED,
    REFRESH_UNKNOWN, /* no such token */
    REFRESH_EXPIRED, /* the token or its session ended: by time, revocation, or with the account */
    REFRESH_REUSED
};

/* DB_DONE with *outcome (and *grant, when granted), or DB_ERROR. REFRESH_REUSED has revoked the session: the
 * caller commits that, and drops the tag session:ID of grant->session_id, the one member that is set. */
enum db_result session_refresh(struct db *db, struct arena *arena, struct slice refresh_token, int64_t now_ms,
                               int64_t lifetime_seconds, enum refresh_outcome *outcome,
                               struct session_grant *grant);

/* DB_ROW with the session that a refresh token belongs to, whatever its state; DB_DONE when unknown, or
 * DB_ERROR. */
enum db_result session_of_token(struct db *db, struct slice refresh_token, struct uuid *session_id,
                                struct uuid *user_id);
/* DB_DONE, also when it was revoked before or never existed. */
enum db_result session_revoke(struct db *db, struct uuid session_id, int64_t now_ms);
/* All sessions of a user; `keep` (may be nil) stays. For a new password, a changed role, a disabled account.
 */
enum db_result sessions_revoke_of_user(struct db *db, struct uuid user_id, struct uuid keep, int64_t now_ms);

/* What a session is good for, as of now. */
struct session_standing {
    struct uuid user_id;
    int64_t expires_at_ms;
    enum role role;
    uint32_t scopes;                    /* bits of enum scope, of the role as it is now */
    char role_name[ROLE_BYTES_MAX + 1]; /* "support" */
    bool has_second_factor;             /* log-ins of this account ask for a code */
};

/* Whether the access tokens of this session are still good, and what its user may do now. A point read; asked
 * by the gateway for every authenticated request. DB_ROW good, DB_DONE revoked or gone, DB_ERROR. */
enum db_result session_check(struct db *db, struct uuid session_id, int64_t now_ms,
                             struct session_standing *standing);

/* The same where the database is on another machine: remembered for up to SESSION_CACHE_SECONDS, never past
 * the session's end, under the tags session:ID, user:ID and role:NAME. Whoever revokes a session, or changes
 * what its user or a role may do, drops them. Should a server die between such a commit and its drop, an
 * access token stays good until it expires by itself; the refresh, which always asks the database, is
 * refused. May wait for Redis. Also DB_DONE when the session is not this user's. */
enum db_result session_check_cached(struct cache *cache, struct db *db, struct arena *arena,
                                    const struct principal *principal, int64_t now_ms,
                                    struct session_standing *standing);

/* The same where the database is a file of this machine: remembered for SESSION_MEMORY_SECONDS, in this
 * process alone. What this process revokes or changes holds at once; what another one on the same file does
 * (`souk user create`, `souk work`, a second server) within that second. `cache` may be NULL: nothing is
 * remembered. */
enum db_result session_check_here(struct cache *cache, struct db *db, struct arena *arena,
                                  const struct principal *principal, int64_t now_ms,
                                  struct session_standing *standing);

/* Only what this process's memory knows, of either: false when the check must ask. Never waits. */
bool session_remembered(struct cache *cache, struct arena *arena, const struct principal *principal,
                        int64_t now_ms, struct session_standing *standing);

/* Deletes up to `limit` expired refresh tokens and sessions; *deleted counts. For the purge job. (A revoked
 * session stays until it would have expired: its tokens are remembered that long.) */
enum db_result sessions_purge(struct db *db, int64_t now_ms, int64_t limit, int64_t *deleted);
