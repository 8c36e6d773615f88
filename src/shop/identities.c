/* Identities: from (issuer, subject) to an account.
 *
 * Most requests come with a token that is remembered (auth/issuer.h) and never reach this. A new token costs
 * one read, and one transaction where it brings something new: an account, a session, a role. */
#include "shop/identities.h"

#include "auth/session.h"
#include "base/log.h"
#include "data/outbox.h"
#include "shop/roles.h"
#include "shop/users.h"

/* What is known of a token's identity. */
struct known {
    struct uuid user_id;
    struct slice role;
    int64_t groups_at_ms;
    bool is_ended;           /* the token was issued before what counts */
    int64_t session_ends_ms; /* 0: no such session yet */
};

DB_STATEMENT(IDENTITY_FIND) = {
    .sql = "SELECT i.user_id, " USER_ROLE_NAME ", i.groups_at, i.valid_from, s.expires_at, u.deleted_at"
           " FROM identities i JOIN users u ON u.id = i.user_id LEFT JOIN sessions s ON s.id = $3"
           " WHERE i.issuer = $1 AND i.subject = $2",
    .params = {DB_TEXT, DB_TEXT, DB_UUID},
    .columns = {DB_UUID, DB_TEXT, DB_TIME, DB_TIME, DB_TIME, DB_TIME},
};

struct admission {
    const struct services *services;
    struct arena *arena;
    const struct issued_token *issued;
    struct slice issuer;
    int64_t now_ms;
    /* filled anew by each run */
    struct uuid user_id;
    bool is_ended;
    bool is_role_changed;
};

/* DB_DONE also where the account is erased and the token is of a log-in since then: it makes a new one. A
 * token from before makes none. */
static enum db_result identity_find(struct db *db, const struct admission *admission, struct known *known)
{
    const struct issued_token *issued = admission->issued;
    struct db_rows *rows =
        db_query(db, &IDENTITY_FIND,
                 DB_ARGS(db_text(admission->issuer), db_text(issued->subject), db_uuid(issued->session_id)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    *known = (struct known){
        .user_id = db_get_uuid(rows, 0),
        .role = db_copy_text(rows, 1, admission->arena),
        .groups_at_ms = db_get_time(rows, 2),
        .is_ended = !db_is_null(rows, 3) && issued->issued_at_ms < db_get_time(rows, 3),
        .session_ends_ms = db_get_time(rows, 4),
    };
    bool is_erased = !db_is_null(rows, 5);
    if (is_erased && issued->issued_at_ms <= db_get_time(rows, 5))
        known->is_ended = true;
    db_close(rows);
    return is_erased && !known->is_ended ? DB_DONE : DB_ROW;
}

/* ---- the session ---- */

/* Revoked stays revoked, and nobody else's session is touched. */
DB_STATEMENT(SESSION_STAND) = {
    .sql = "INSERT INTO sessions (id, user_id, is_cookie, created_at, last_used_at, expires_at)"
           " VALUES ($1, $2, FALSE, $3, $3, $4)"
           " ON CONFLICT (id) DO UPDATE SET last_used_at = excluded.last_used_at,"
           " expires_at = excluded.expires_at"
           " WHERE sessions.user_id = excluded.user_id AND sessions.revoked_at IS NULL"
           " AND sessions.expires_at < excluded.expires_at",
    .params = {DB_UUID, DB_UUID, DB_TIME, DB_TIME},
};

static enum db_result session_stand(struct db *db, const struct admission *admission)
{
    return db_run(db, &SESSION_STAND,
                  DB_ARGS(db_uuid(admission->issued->session_id), db_uuid(admission->user_id),
                          db_time(admission->now_ms), db_time(admission->issued->expires_at_ms)));
}

/* ---- the role ---- */

DB_STATEMENT(GROUPS_SEEN) = {
    .sql = "UPDATE identities SET groups_at = $3 WHERE issuer = $1 AND subject = $2 AND groups_at < $3",
    .params = {DB_TEXT, DB_TEXT, DB_TIME},
};
DB_STATEMENT(ROLE_SET) = {
    .sql = "UPDATE users SET role = $2, staff_role = $3, version = version + 1, updated_at = $4"
           " WHERE id = $1 AND deleted_at IS NULL",
    .params = {DB_UUID, DB_TEXT, DB_TEXT, DB_TIME},
};

/* The role of a token's groups; customer where the map names one that the shop does not have. */
static enum db_result role_of(struct db *db, const struct admission *admission, struct role_grant *grant)
{
    struct slice name = admission->issued->role;
    enum db_result result = role_find(db, name, grant);
    if (result != DB_DONE)
        return result;
    log_message(LOG_WARN, "AUTH_ROLE_MAP names a role that the shop does not have: %.*s", SLICE_ARG(name));
    return role_find(db, slice_from(role_name(ROLE_CUSTOMER)), grant);
}

static enum db_result role_follow(struct db *db, struct admission *admission, const struct known *known)
{
    const struct issued_token *issued = admission->issued;
    struct role_grant grant;
    if (slice_is_absent(issued->role) || issued->issued_at_ms < known->groups_at_ms)
        return DB_DONE;
    enum db_result result = role_of(db, admission, &grant);
    if (result != DB_ROW)
        return DB_ERROR;
    result =
        db_run(db, &GROUPS_SEEN,
               DB_ARGS(db_text(admission->issuer), db_text(issued->subject), db_time(issued->issued_at_ms)));
    if (result != DB_DONE || slice_equals(grant.name, known->role))
        return result;
    admission->is_role_changed = true;
    return db_run(db, &ROLE_SET,
                  DB_ARGS(db_uuid(known->user_id), db_text(slice_from(role_name(grant.kind))),
                          db_if(grant.kind == ROLE_STAFF, db_text(grant.name)), db_time(admission->now_ms)));
}

/* ---- the account ---- */

/* Where there was an account that is deleted now, a new one takes its place. */
DB_STATEMENT(IDENTITY_INSERT) = {
    .sql = "INSERT INTO identities (issuer, subject, user_id, groups_at, created_at)"
           " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (issuer, subject) DO UPDATE SET"
           " user_id = excluded.user_id, groups_at = excluded.groups_at, created_at = excluded.created_at",
    .params = {DB_TEXT, DB_TEXT, DB_UUID, DB_TIME, DB_TIME},
};
/* Verified by the shop itself: who registered here under somebody's address gains nothing by it. */
DB_STATEMENT(VERIFIED_BY_EMAIL) = {
    .sql = "SELECT id FROM users WHERE email_folded = $1 AND email_verified_at IS NOT NULL"
           " AND status = 'active' AND deleted_at IS NULL",
    .params = {DB_TEXT},
    .columns = {DB_UUID},
};

static struct slice placeholder_make(struct arena *arena, int64_t now_ms)
{
    char id[UUID_TEXT_LEN];
    uuid_format(uuid_v7(now_ms), id);
    return arena_format(arena, "%.*s@" USER_PLACEHOLDER_DOMAIN, UUID_TEXT_LEN, id);
}

static enum db_result account_insert(struct db *db, struct admission *admission, struct slice email)
{
    const struct issued_token *issued = admission->issued;
    struct new_user user = {
        .email = slice_is_absent(email) ? placeholder_make(admission->arena, admission->now_ms) : email,
        .first_name = issued->first_name,
        .last_name = issued->last_name,
        .role = ROLE_CUSTOMER,
        .is_email_verified = !slice_is_absent(email),
    };
    return user_insert(db, admission->arena, &user, admission->now_ms, &admission->user_id);
}

static enum db_result welcome(struct db *db, const struct admission *admission)
{
    char id[UUID_TEXT_LEN];
    uuid_format(admission->user_id, id);
    return outbox_append(db, "user.registered",
                         arena_format(admission->arena, "{\"userId\":\"%.*s\"}", UUID_TEXT_LEN, id),
                         admission->now_ms);
}

/* The account of an identity that was not seen before. */
static enum db_result account_find_or_make(struct db *db, struct admission *admission)
{
    struct slice email = admission->issued->email;
    enum db_result result = DB_DONE;
    if (!slice_is_absent(email)) {
        struct db_rows *rows =
            db_query(db, &VERIFIED_BY_EMAIL, DB_ARGS(db_text(email_fold(admission->arena, email))));
        result = db_next(rows);
        if (result == DB_ROW) {
            admission->user_id = db_get_uuid(rows, 0);
            db_close(rows);
            return DB_DONE;
        }
        if (result == DB_DONE)
            result = account_insert(db, admission, email);
        if (result == DB_DONE)
            return welcome(db, admission);
        if (result !=
            DB_CONFLICT) /* a conflict: somebody has the address without having shown that it is theirs */
            return result;
    }
    return account_insert(db, admission, SLICE_ABSENT);
}

static enum db_result identity_make(struct db *db, struct admission *admission, struct known *known)
{
    const struct issued_token *issued = admission->issued;
    enum db_result result = account_find_or_make(db, admission);
    if (result == DB_DONE)
        result = db_run(db, &IDENTITY_INSERT,
                        DB_ARGS(db_text(admission->issuer), db_text(issued->subject),
                                db_uuid(admission->user_id), db_time(0), db_time(admission->now_ms)));
    if (result == DB_DONE)
        result = identity_find(db, admission, known);
    return result == DB_DONE ? DB_ERROR : result;
}

/* ---- all of it ---- */

static enum db_result admission_commit(struct db *db, void *arg)
{
    struct admission *admission = arg;
    struct known known;
    admission->is_ended = admission->is_role_changed = false;
    enum db_result result = identity_find(db, admission, &known);
    if (result == DB_DONE)
        result = identity_make(db, admission, &known);
    if (result != DB_ROW)
        return result;
    admission->user_id = known.user_id;
    admission->is_ended = known.is_ended;
    if (known.is_ended)
        return DB_DONE;
    result = role_follow(db, admission, &known);
    return result == DB_DONE ? session_stand(db, admission) : result;
}

/* What the shop's servers remember of the user is told away, after the commit. */
static void role_tell(const struct admission *admission)
{
    char id[UUID_TEXT_LEN];
    uuid_format(admission->user_id, id);
    log_message(LOG_INFO, "an account's role follows its groups now");
    if (admission->services->cache != NULL)
        cache_drop_tag(admission->services->cache,
                       arena_format(admission->arena, "user:%.*s", UUID_TEXT_LEN, id));
}

/* Two first requests of one identity meet: the second finds what the first made. */
#define TRIES 3

static enum db_result admission_run(struct db *db, struct admission *admission)
{
    enum db_result result = DB_CONFLICT;
    for (int i = 0; i < TRIES && result == DB_CONFLICT; i++)
        result = db_transaction(db, admission_commit, admission);
    if (result == DB_DONE && admission->is_role_changed)
        role_tell(admission);
    if (result != DB_DONE)
        return DB_ERROR;
    return admission->is_ended ? DB_DONE : DB_ROW;
}

static bool brings_nothing_new(const struct issued_token *issued, const struct known *known)
{
    bool is_role_settled = slice_is_absent(issued->role) || issued->issued_at_ms <= known->groups_at_ms;
    return known->session_ends_ms >= issued->expires_at_ms && is_role_settled;
}

enum db_result identity_admit(const struct services *services, struct db *db, struct arena *arena,
                              struct issued_token *issued, int64_t now_ms, struct principal *principal)
{
    struct admission admission = {.services = services,
                                  .arena = arena,
                                  .issued = issued,
                                  .issuer = issuer_settings_of(services->issuer)->issuer,
                                  .now_ms = now_ms};
    struct known known;
    enum db_result result = identity_find(db, &admission, &known);
    if (result == DB_ERROR || result == DB_CONFLICT)
        return DB_ERROR;
    if (result == DB_ROW && known.is_ended)
        return DB_DONE;
    if (result == DB_DONE && slice_is_absent(issued->email))
        issuer_ask_profile(services->issuer, arena, issued);
    if (result == DB_ROW && brings_nothing_new(issued, &known))
        admission.user_id = known.user_id;
    else
        result = admission_run(db, &admission);
    if (result == DB_ROW)
        *principal = (struct principal){
            .kind = PRINCIPAL_USER, .user_id = admission.user_id, .session_id = issued->session_id};
    return result;
}

/* ---- ending ---- */

/* By the issuer's clock, which may be behind ours. */
DB_STATEMENT(TOKENS_END) = {
    .sql = "UPDATE identities SET valid_from = $2 WHERE user_id = $1",
    .params = {DB_UUID, DB_TIME},
};

enum db_result identity_end_tokens(struct db *db, struct uuid user_id, int64_t now_ms)
{
    enum db_result result = db_run(
        db, &TOKENS_END, DB_ARGS(db_uuid(user_id), db_time(now_ms - ISSUER_LEEWAY_SECONDS * INT64_C(1000))));
    return result == DB_DONE ? sessions_revoke_of_user(db, user_id, (struct uuid){{0}}, now_ms) : result;
}

/* ---- forgetting ---- */

/* Tokens that live longest, and clocks that are apart most. */
#define FORGOTTEN_AFTER_MS ((ISSUER_TOKEN_LIFETIME_SECONDS_MAX + 2 * ISSUER_LEEWAY_SECONDS) * INT64_C(1000))

DB_STATEMENT(IDENTITIES_FORGET) = {
    .sql =
        "DELETE FROM identities WHERE user_id = $1"
        " AND user_id IN (SELECT id FROM users WHERE id = $1 AND deleted_at IS NOT NULL AND deleted_at <= $2)",
    .params = {DB_UUID, DB_TIME},
};

int64_t identities_forgettable_ms(int64_t erased_at_ms)
{
    return erased_at_ms + FORGOTTEN_AFTER_MS;
}

enum db_result identities_forget(struct db *db, struct uuid user_id, int64_t now_ms)
{
    return db_run(db, &IDENTITIES_FORGET, DB_ARGS(db_uuid(user_id), db_time(now_ms - FORGOTTEN_AFTER_MS)));
}
