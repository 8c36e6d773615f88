/* Sessions: rotation, reuse, the grace and its limits, expiry, revocation, the check of each request, races.
 */
#include "auth/session.h"

#include "auth/fixture.h"

#include <pthread.h>

#define LIFETIME_S (30 * 24 * 3600)
#define START INT64_C(1800000000000)
#define MINUTE 60000
#define DAY INT64_C(86400000)

DB_STATEMENT(SESSIONS) = {
    .sql = "SELECT COUNT(*) FROM sessions",
    .columns = {DB_INT},
};
DB_STATEMENT(SESSIONS_REVOKED) = {
    .sql = "SELECT COUNT(*) FROM sessions WHERE revoked_at IS NOT NULL",
    .columns = {DB_INT},
};
DB_STATEMENT(TOKENS) = {
    .sql = "SELECT COUNT(*) FROM refresh_tokens",
    .columns = {DB_INT},
};
DB_STATEMENT(TOKENS_OF_HASH) = {
    .sql = "SELECT COUNT(*) FROM refresh_tokens WHERE token_hash = $1",
    .params = {DB_BLOB},
    .columns = {DB_INT},
};
DB_STATEMENT(USER_DISABLE) = {
    .sql = "UPDATE users SET status = 'disabled' WHERE id = $1",
    .params = {DB_UUID},
};
DB_STATEMENT(USER_DELETE) = {
    .sql = "UPDATE users SET deleted_at = created_at WHERE id = $1",
    .params = {DB_UUID},
};
DB_STATEMENT(USER_ROLE) = {
    .sql = "UPDATE users SET role = $2 WHERE id = $1",
    .params = {DB_UUID, DB_TEXT},
};

/* ---- the verbs, each in a transaction of its own ---- */

enum verb { OPEN, REFRESH, REVOKE, REVOKE_OF_USER, PURGE };

struct call {
    enum verb verb;
    struct arena *arena;
    struct uuid id;
    struct uuid keep;
    struct slice token;
    int64_t now_ms;
    int64_t lifetime_seconds;
    bool fails_afterwards;
    int64_t count;
    enum refresh_outcome outcome;
    struct session_grant grant;
};

static enum db_result call_verb(struct db *db, struct call *call)
{
    switch (call->verb) {
    case OPEN:
        return session_open(db, call->arena, call->id, false, call->now_ms, call->lifetime_seconds,
                            &call->grant);
    case REFRESH:
        return session_refresh(db, call->arena, call->token, call->now_ms, call->lifetime_seconds,
                               &call->outcome, &call->grant);
    case REVOKE:
        return session_revoke(db, call->id, call->now_ms);
    case REVOKE_OF_USER:
        return sessions_revoke_of_user(db, call->id, call->keep, call->now_ms);
    case PURGE:
        return sessions_purge(db, call->now_ms, call->count, &call->count);
    }
    return DB_ERROR;
}

static enum db_result call_run(struct db *db, void *arg)
{
    struct call *call = arg;
    enum db_result result = call_verb(db, call);
    return result == DB_DONE && call->fails_afterwards ? DB_CONFLICT : result;
}

static struct session_grant opened(struct fixture *fixture, struct uuid user_id, int64_t now_ms)
{
    struct call call = {.verb = OPEN,
                        .arena = &fixture->arena,
                        .id = user_id,
                        .now_ms = now_ms,
                        .lifetime_seconds = LIFETIME_S};
    assert_int_equal(db_transaction(fixture->db, call_run, &call), DB_DONE);
    assert_int_equal(call.grant.refresh_token.len, REFRESH_TOKEN_TEXT_LEN);
    return call.grant;
}

static struct call refreshed(struct fixture *fixture, struct slice token, int64_t now_ms)
{
    struct call call = {.verb = REFRESH,
                        .arena = &fixture->arena,
                        .token = token,
                        .now_ms = now_ms,
                        .lifetime_seconds = LIFETIME_S};
    assert_int_equal(db_transaction(fixture->db, call_run, &call), DB_DONE);
    return call;
}

static enum refresh_outcome outcome_of(struct fixture *fixture, struct slice token, int64_t now_ms)
{
    return refreshed(fixture, token, now_ms).outcome;
}

/* A refresh that must be granted, in the same session, with a new token. */
static struct session_grant granted(struct fixture *fixture, const struct session_grant *from, int64_t now_ms)
{
    struct call call = refreshed(fixture, from->refresh_token, now_ms);
    assert_int_equal(call.outcome, REFRESH_GRANTED);
    assert_true(uuid_equals(call.grant.session_id, from->session_id));
    assert_true(uuid_equals(call.grant.user_id, from->user_id));
    assert_false(slice_equals(call.grant.refresh_token, from->refresh_token));
    return call.grant;
}

static void end_session(struct fixture *fixture, struct uuid session_id, int64_t now_ms)
{
    struct call call = {.verb = REVOKE, .id = session_id, .now_ms = now_ms};
    assert_int_equal(db_transaction(fixture->db, call_run, &call), DB_DONE);
}

static bool is_good(struct fixture *fixture, struct uuid session_id, int64_t now_ms)
{
    struct session_standing standing;
    enum db_result result = session_check(fixture->db, session_id, now_ms, &standing);
    assert_true(result == DB_ROW || result == DB_DONE);
    return result == DB_ROW;
}

/* ---- rotation and reuse ---- */

static void a_token_is_used_once_and_replaced(void **state)
{
    struct fixture *fixture = *state;
    struct session_grant grant = opened(fixture, fixture_user(fixture, "customer"), START);
    assert_int_equal(grant.expires_at_ms, START + LIFETIME_S * INT64_C(1000));
    for (int64_t i = 1; i <= 20; i++)
        grant = granted(fixture, &grant, START + i * 15 * MINUTE);
    assert_true(is_good(fixture, grant.session_id, START + 300 * MINUTE));
    assert_int_equal(fixture_int(fixture, &TOKENS, DB_NO_ARGS), 21);
    assert_int_equal(fixture_int(fixture, &SESSIONS, DB_NO_ARGS), 1);
}

static void only_the_hash_is_stored(void **state)
{
    struct fixture *fixture = *state;
    uint8_t hash[SHA256_LEN];
    struct session_grant grant = opened(fixture, fixture_user(fixture, "customer"), START);
    sha256(grant.refresh_token, hash);
    struct db_value of_hash = db_blob((struct slice){(const char *)hash, sizeof(hash)});
    assert_int_equal(fixture_int(fixture, &TOKENS_OF_HASH, DB_ARGS(of_hash)), 1);
    assert_int_equal(fixture_int(fixture, &TOKENS_OF_HASH, DB_ARGS(db_blob(grant.refresh_token))), 0);
}

static void an_old_token_revokes_the_session(void **state)
{
    struct fixture *fixture = *state;
    struct uuid user_id = fixture_user(fixture, "customer");
    struct session_grant other = opened(fixture, user_id, START);
    struct session_grant first = opened(fixture, user_id, START);
    struct session_grant second = granted(fixture, &first, START + MINUTE);
    int64_t later = START + MINUTE + SESSION_GRACE_MS;
    assert_int_equal(outcome_of(fixture, first.refresh_token, later), REFRESH_REUSED);
    assert_false(is_good(fixture, first.session_id, later));
    /* Neither holder goes on; the user's other session does. */
    assert_int_equal(outcome_of(fixture, second.refresh_token, later + 1), REFRESH_EXPIRED);
    assert_int_equal(outcome_of(fixture, first.refresh_token, later + 1), REFRESH_EXPIRED);
    assert_true(is_good(fixture, other.session_id, later));
    granted(fixture, &other, later);
}

static void a_token_from_long_ago_revokes_the_session(void **state)
{
    struct fixture *fixture = *state;
    struct session_grant first = opened(fixture, fixture_user(fixture, "customer"), START), now = first;
    for (int64_t i = 1; i <= 10; i++)
        now = granted(fixture, &now, START + i * 15 * MINUTE);
    assert_int_equal(outcome_of(fixture, first.refresh_token, START + 151 * MINUTE), REFRESH_REUSED);
    assert_int_equal(outcome_of(fixture, now.refresh_token, START + 151 * MINUTE), REFRESH_EXPIRED);
}

/* ---- the grace ---- */

static void a_lost_reply_may_be_asked_for_again(void **state)
{
    struct fixture *fixture = *state;
    struct session_grant first = opened(fixture, fixture_user(fixture, "customer"), START);
    struct session_grant lost = granted(fixture, &first, START + MINUTE);
    struct session_grant again = granted(fixture, &first, START + MINUTE + SESSION_GRACE_MS - 1);
    assert_false(slice_equals(lost.refresh_token, again.refresh_token));
    struct session_grant next = granted(fixture, &again, START + 16 * MINUTE);
    granted(fixture, &next, START + 31 * MINUTE);
}

static void a_grace_is_not_prolonged_by_its_use(void **state)
{
    struct fixture *fixture = *state;
    struct session_grant first = opened(fixture, fixture_user(fixture, "customer"), START);
    for (int64_t at = 0; at < SESSION_GRACE_MS; at += 2000)
        granted(fixture, &first, START + MINUTE + at);
    assert_int_equal(outcome_of(fixture, first.refresh_token, START + MINUTE + SESSION_GRACE_MS),
                     REFRESH_REUSED);
    assert_false(is_good(fixture, first.session_id, START + 2 * MINUTE));
}

/* Somebody who copied a token and used it inside the grace holds a twin. The twins cannot both go on. */
static void the_twin_left_behind_revokes_the_session(void **state)
{
    struct fixture *fixture = *state;
    struct session_grant first = opened(fixture, fixture_user(fixture, "customer"), START);
    struct session_grant client = granted(fixture, &first, START + MINUTE);
    struct session_grant thief = granted(fixture, &first, START + MINUTE + 500);
    client = granted(fixture, &client, START + 16 * MINUTE);
    assert_int_equal(outcome_of(fixture, thief.refresh_token, START + 17 * MINUTE), REFRESH_REUSED);
    assert_false(is_good(fixture, client.session_id, START + 17 * MINUTE));
}

/* ... also when the thief refreshes without pause, so that the family was always used just now. */
static void a_twin_that_keeps_busy_is_found_by_the_other(void **state)
{
    struct fixture *fixture = *state;
    struct session_grant first = opened(fixture, fixture_user(fixture, "customer"), START);
    struct session_grant client = granted(fixture, &first, START + MINUTE);
    struct session_grant thief = granted(fixture, &first, START + MINUTE + 500);
    int64_t at = START + MINUTE;
    for (int i = 0; i < 20; i++)
        thief = granted(fixture, &thief, at += 5000);
    assert_int_equal(outcome_of(fixture, client.refresh_token, at + 1000), REFRESH_REUSED);
    assert_int_equal(outcome_of(fixture, thief.refresh_token, at + 2000), REFRESH_EXPIRED);
}

/* Two tabs with a token each, of one grace, that wake up together. */
static void twins_may_be_used_together(void **state)
{
    struct fixture *fixture = *state;
    struct session_grant first = opened(fixture, fixture_user(fixture, "customer"), START);
    struct session_grant left = granted(fixture, &first, START + MINUTE);
    struct session_grant right = granted(fixture, &first, START + MINUTE);
    granted(fixture, &left, START + 16 * MINUTE);
    granted(fixture, &right, START + 16 * MINUTE + 900);
    assert_true(is_good(fixture, first.session_id, START + 17 * MINUTE));
}

/* ---- unknown, expired, rolled back ---- */

static void unknown_tokens_are_unknown(void **state)
{
    struct fixture *fixture = *state;
    struct session_grant grant = opened(fixture, fixture_user(fixture, "customer"), START);
    char changed[REFRESH_TOKEN_TEXT_LEN];
    memcpy(changed, grant.refresh_token.ptr, sizeof(changed));
    changed[7] = changed[7] == 'A' ? 'B' : 'A';
    const struct slice tokens[] = {
        SLICE_ABSENT,
        SLICE(""),
        SLICE("short"),
        {changed, sizeof(changed)},
        {grant.refresh_token.ptr, REFRESH_TOKEN_TEXT_LEN - 1},
        SLICE("'; DROP TABLE sessions; -- AAAAAAAAAAAAAAAA"),
    };
    for (size_t i = 0; i < COUNT_OF(tokens); i++) {
        struct uuid session_id, user_id;
        assert_int_equal(outcome_of(fixture, tokens[i], START + 1), REFRESH_UNKNOWN);
        assert_int_equal(session_of_token(fixture->db, tokens[i], &session_id, &user_id), DB_DONE);
    }
    granted(fixture, &grant, START + 2);
}

static void a_session_of_a_token_is_found_in_any_state(void **state)
{
    struct fixture *fixture = *state;
    struct uuid session_id, user_id;
    struct session_grant grant = opened(fixture, fixture_user(fixture, "customer"), START);
    granted(fixture, &grant, START + MINUTE);
    end_session(fixture, grant.session_id, START + 2 * MINUTE);
    assert_int_equal(session_of_token(fixture->db, grant.refresh_token, &session_id, &user_id), DB_ROW);
    assert_true(uuid_equals(session_id, grant.session_id));
    assert_true(uuid_equals(user_id, grant.user_id));
}

static void expiry_slides_up_to_a_bound(void **state)
{
    struct fixture *fixture = *state;
    struct session_grant grant = opened(fixture, fixture_user(fixture, "customer"), START);
    int64_t bound = START + SESSION_AGE_SECONDS_MAX * 1000, at = START;
    while (at + 20 * DAY < bound) {
        at += 20 * DAY;
        grant = granted(fixture, &grant, at);
        int64_t sliding = at + LIFETIME_S * INT64_C(1000);
        assert_int_equal(grant.expires_at_ms, sliding < bound ? sliding : bound);
    }
    assert_int_equal(grant.expires_at_ms, bound);
    assert_true(is_good(fixture, grant.session_id, bound - 1));
    assert_false(is_good(fixture, grant.session_id, bound));
    assert_int_equal(outcome_of(fixture, grant.refresh_token, bound), REFRESH_EXPIRED);
}

static void an_unused_session_expires(void **state)
{
    struct fixture *fixture = *state;
    struct session_grant grant = opened(fixture, fixture_user(fixture, "customer"), START);
    assert_int_equal(outcome_of(fixture, grant.refresh_token, grant.expires_at_ms), REFRESH_EXPIRED);
    assert_false(is_good(fixture, grant.session_id, grant.expires_at_ms));
    granted(fixture, &grant, grant.expires_at_ms - 1);
}

static void a_rolled_back_refresh_leaves_the_token_good(void **state)
{
    struct fixture *fixture = *state;
    struct session_grant grant = opened(fixture, fixture_user(fixture, "customer"), START);
    struct call call = {.verb = REFRESH,
                        .arena = &fixture->arena,
                        .token = grant.refresh_token,
                        .now_ms = START + MINUTE,
                        .lifetime_seconds = LIFETIME_S,
                        .fails_afterwards = true};
    assert_int_equal(db_transaction(fixture->db, call_run, &call), DB_CONFLICT);
    assert_int_equal(outcome_of(fixture, call.grant.refresh_token, START + 2 * MINUTE), REFRESH_UNKNOWN);
    granted(fixture, &grant, START + 2 * MINUTE);
}

/* ---- revoking, checking ---- */

static void a_revoked_session_is_over(void **state)
{
    struct fixture *fixture = *state;
    struct session_grant grant = opened(fixture, fixture_user(fixture, "customer"), START);
    assert_true(is_good(fixture, grant.session_id, START));
    end_session(fixture, grant.session_id, START + 1);
    end_session(fixture, grant.session_id, START + 2);
    end_session(fixture, uuid_v4(), START + 2);
    assert_false(is_good(fixture, grant.session_id, START + 1));
    assert_int_equal(outcome_of(fixture, grant.refresh_token, START + 2), REFRESH_EXPIRED);
}

static void all_sessions_of_a_user_but_one(void **state)
{
    struct fixture *fixture = *state;
    struct uuid user_id = fixture_user(fixture, "customer"), nil = {{0}};
    struct session_grant one = opened(fixture, user_id, START), two = opened(fixture, user_id, START);
    struct session_grant other = opened(fixture, fixture_user(fixture, "customer"), START);
    struct call call = {.verb = REVOKE_OF_USER, .id = user_id, .keep = two.session_id, .now_ms = START};
    assert_int_equal(db_transaction(fixture->db, call_run, &call), DB_DONE);
    assert_false(is_good(fixture, one.session_id, START));
    assert_true(is_good(fixture, two.session_id, START));
    assert_true(is_good(fixture, other.session_id, START));
    call.keep = nil;
    assert_int_equal(db_transaction(fixture->db, call_run, &call), DB_DONE);
    assert_false(is_good(fixture, two.session_id, START));
    assert_true(is_good(fixture, other.session_id, START));
}

static void the_check_knows_the_user_as_of_now(void **state)
{
    struct fixture *fixture = *state;
    struct uuid user_id = fixture_user(fixture, "customer");
    struct session_grant grant = opened(fixture, user_id, START);
    struct session_standing standing;
    assert_int_equal(session_check(fixture->db, grant.session_id, START, &standing), DB_ROW);
    assert_int_equal(standing.role, ROLE_CUSTOMER);
    fixture_write(fixture, &USER_ROLE, DB_ARGS(db_uuid(user_id), db_text(SLICE("staff"))));
    assert_int_equal(session_check(fixture->db, grant.session_id, START, &standing), DB_ROW);
    assert_int_equal(standing.role, ROLE_STAFF);
    assert_int_equal(session_check(fixture->db, uuid_v4(), START, &standing), DB_DONE);
}

/* Whether the session is good, and in which role, by way of the cache. */
static bool is_good_cached(struct fixture *fixture, struct cache *cache, const struct session_grant *grant,
                           int64_t now_ms, struct session_standing *standing)
{
    struct principal principal = {
        .kind = PRINCIPAL_USER, .user_id = grant->user_id, .session_id = grant->session_id};
    enum db_result result =
        session_check_cached(cache, fixture->db, &fixture->arena, &principal, now_ms, standing);
    assert_true(result == DB_ROW || result == DB_DONE);
    return result == DB_ROW;
}

static void drop(struct fixture *fixture, struct cache *cache, const char *kind, struct uuid id)
{
    char text[UUID_TEXT_LEN];
    uuid_format(id, text);
    cache_drop_tag(cache, arena_format(&fixture->arena, "%s:%.*s", kind, UUID_TEXT_LEN, text));
}

static void a_check_is_remembered_until_its_tags_are_dropped(void **state)
{
    struct fixture *fixture = *state;
    struct cache *cache = cache_new(1 << 20);
    struct session_grant one = opened(fixture, fixture_user(fixture, "customer"), START);
    struct session_grant other = opened(fixture, fixture_user(fixture, "staff"), START);
    struct session_standing standing;
    assert_true(is_good_cached(fixture, cache, &one, START, &standing));
    assert_int_equal(standing.role, ROLE_CUSTOMER);
    assert_true(is_good_cached(fixture, cache, &other, START, &standing));
    assert_int_equal(standing.role, ROLE_STAFF);
    /* what the database says is not asked again, ... */
    fixture_write(fixture, &USER_ROLE, DB_ARGS(db_uuid(one.user_id), db_text(SLICE("admin"))));
    end_session(fixture, other.session_id, START);
    assert_true(is_good_cached(fixture, cache, &one, START + MINUTE, &standing));
    assert_int_equal(standing.role, ROLE_CUSTOMER);
    assert_true(is_good_cached(fixture, cache, &other, START + MINUTE, &standing));
    /* ... until somebody who changed it says so */
    drop(fixture, cache, "user", one.user_id);
    assert_true(is_good_cached(fixture, cache, &one, START + MINUTE, &standing));
    assert_int_equal(standing.role, ROLE_ADMIN);
    assert_true(is_good_cached(fixture, cache, &other, START + MINUTE, &standing));
    drop(fixture, cache, "session", other.session_id);
    assert_false(is_good_cached(fixture, cache, &other, START + MINUTE, &standing));
    /* what is over is not remembered as good, nor past its end, nor for another user */
    assert_false(is_good_cached(fixture, cache, &other, START + MINUTE, &standing));
    assert_false(is_good_cached(fixture, cache, &one, one.expires_at_ms, &standing));
    struct session_grant mixed = {.session_id = one.session_id, .user_id = other.user_id};
    assert_false(is_good_cached(fixture, cache, &mixed, START + MINUTE, &standing));
    cache_free(cache);
}

/* Where nobody tells this process of changes a check is remembered for a second at most, and for its user. */
static void a_check_is_remembered_here_for_a_second(void **state)
{
    struct fixture *fixture = *state;
    struct cache *cache = cache_new(1 << 20);
    struct session_grant grant = opened(fixture, fixture_user(fixture, "customer"), START);
    struct principal principal = {
        .kind = PRINCIPAL_USER, .user_id = grant.user_id, .session_id = grant.session_id};
    struct session_standing standing;
    assert_false(session_remembered(cache, &fixture->arena, &principal, START, &standing));
    assert_int_equal(session_check_here(cache, fixture->db, &fixture->arena, &principal, START, &standing),
                     DB_ROW);
    struct principal other = principal;
    other.user_id = uuid_v4();
    assert_false(session_remembered(cache, &fixture->arena, &other, START, &standing));
    assert_false(session_remembered(cache, &fixture->arena, &principal, grant.expires_at_ms, &standing));
    assert_int_equal(session_check_here(cache, fixture->db, &fixture->arena, &other, START, &standing),
                     DB_DONE);
    end_session(fixture, grant.session_id, START);
    drop(fixture, cache, "session", grant.session_id); /* as whoever ended it in this process does */
    assert_int_equal(session_check_here(cache, fixture->db, &fixture->arena, &principal, START, &standing),
                     DB_DONE);
    /* ended elsewhere, untold */
    grant = opened(fixture, principal.user_id, START);
    principal.session_id = grant.session_id;
    assert_int_equal(session_check_here(cache, fixture->db, &fixture->arena, &principal, START, &standing),
                     DB_ROW);
    end_session(fixture, grant.session_id, START);
    enum db_result result = DB_ROW;
    for (int tries = 0; tries < 300 && result == DB_ROW; tries++) {
        usleep(10000);
        result = session_check_here(cache, fixture->db, &fixture->arena, &principal, START, &standing);
    }
    assert_int_equal(result, DB_DONE);
    assert_int_equal(session_check_here(NULL, fixture->db, &fixture->arena, &principal, START, &standing),
                     DB_DONE);
    cache_free(cache);
}

/* Who answers for a reuse drops what is remembered of its session. */
static void a_reuse_names_the_session_that_it_ended(void **state)
{
    struct fixture *fixture = *state;
    struct session_grant grant = opened(fixture, fixture_user(fixture, "customer"), START);
    (void)granted(fixture, &grant, START + MINUTE);
    struct call call = refreshed(fixture, grant.refresh_token, START + 2 * MINUTE);
    assert_int_equal(call.outcome, REFRESH_REUSED);
    assert_true(uuid_equals(call.grant.session_id, grant.session_id));
}

static void a_disabled_or_deleted_user_has_no_session(void **state)
{
    struct fixture *fixture = *state;
    const struct db_statement *ends[] = {&USER_DISABLE, &USER_DELETE};
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        struct uuid user_id = fixture_user(fixture, "admin");
        struct session_grant grant = opened(fixture, user_id, START);
        assert_true(is_good(fixture, grant.session_id, START));
        fixture_write(fixture, ends[i], DB_ARGS(db_uuid(user_id)));
        assert_false(is_good(fixture, grant.session_id, START));
        assert_int_equal(outcome_of(fixture, grant.refresh_token, START + 1), REFRESH_EXPIRED);
    }
}

/* ---- the purge ---- */

static int64_t purged(struct fixture *fixture, int64_t now_ms, int64_t limit)
{
    struct call call = {.verb = PURGE, .now_ms = now_ms, .count = limit};
    assert_int_equal(db_transaction(fixture->db, call_run, &call), DB_DONE);
    return call.count;
}

static void the_purge_takes_what_is_over_in_small_steps(void **state)
{
    struct fixture *fixture = *state;
    struct uuid user_id = fixture_user(fixture, "customer");
    struct session_grant old = opened(fixture, user_id, START);
    for (int64_t i = 1; i <= 4; i++)
        old = granted(fixture, &old, START + i * MINUTE);
    struct session_grant young = opened(fixture, user_id, START + DAY);
    assert_int_equal(purged(fixture, START + DAY, 100), 0);
    int64_t later = old.expires_at_ms;
    assert_int_equal(purged(fixture, later, 2), 2); /* five tokens, one session */
    assert_int_equal(purged(fixture, later, 2), 2);
    assert_int_equal(purged(fixture, later, 2), 2);
    assert_int_equal(purged(fixture, later, 2), 0);
    assert_int_equal(fixture_int(fixture, &TOKENS, DB_NO_ARGS), 1);
    assert_int_equal(fixture_int(fixture, &SESSIONS, DB_NO_ARGS), 1);
    granted(fixture, &young, later);
}

/* ---- races ---- */

#define RACERS 16

struct racer {
    pthread_t thread;
    struct fixture *fixture;
    struct slice token;
    int64_t now_ms;
    struct arena arena;
    struct call call;
    enum db_result result;
};

static void *race(void *arg)
{
    struct racer *racer = arg;
    struct db *db = store_connect(racer->fixture->store);
    racer->call = (struct call){.verb = REFRESH,
                                .arena = &racer->arena,
                                .token = racer->token,
                                .now_ms = racer->now_ms,
                                .lifetime_seconds = LIFETIME_S};
    racer->result = db_transaction(db, call_run, &racer->call);
    store_disconnect(db);
    return NULL;
}

static void run_race(struct fixture *fixture, struct racer racers[RACERS], struct slice token, int64_t now_ms,
                     int64_t step_ms)
{
    for (int64_t i = 0; i < RACERS; i++) {
        struct racer *racer = &racers[i];
        *racer = (struct racer){.fixture = fixture, .token = token, .now_ms = now_ms + i * step_ms};
        assert_true(arena_init(&racer->arena, 1 << 20));
        assert_int_equal(pthread_create(&racer->thread, NULL, race, racer), 0);
    }
    for (size_t i = 0; i < RACERS; i++) {
        pthread_join(racers[i].thread, NULL);
        assert_int_equal(racers[i].result, DB_DONE);
    }
}

static void free_race(struct racer racers[RACERS])
{
    for (size_t i = 0; i < RACERS; i++)
        arena_release(&racers[i].arena);
}

static void many_at_once_stay_one_family(void **state)
{
    struct fixture *fixture = *state;
    struct racer racers[RACERS];
    struct session_grant grant = opened(fixture, fixture_user(fixture, "customer"), START);
    run_race(fixture, racers, grant.refresh_token, START + MINUTE, 10);
    for (size_t i = 0; i < RACERS; i++) {
        assert_int_equal(racers[i].call.outcome, REFRESH_GRANTED);
        assert_true(uuid_equals(racers[i].call.grant.session_id, grant.session_id));
        for (size_t j = 0; j < i; j++)
            assert_false(
                slice_equals(racers[i].call.grant.refresh_token, racers[j].call.grant.refresh_token));
    }
    assert_int_equal(fixture_int(fixture, &SESSIONS, DB_NO_ARGS), 1);
    assert_int_equal(fixture_int(fixture, &SESSIONS_REVOKED, DB_NO_ARGS), 0);
    assert_int_equal(fixture_int(fixture, &TOKENS, DB_NO_ARGS), 1 + RACERS);
    granted(fixture, &racers[RACERS - 1].call.grant, START + 16 * MINUTE);
    free_race(racers);
}

static void many_old_ones_at_once_revoke_once(void **state)
{
    struct fixture *fixture = *state;
    struct racer racers[RACERS];
    struct session_grant grant = opened(fixture, fixture_user(fixture, "customer"), START);
    granted(fixture, &grant, START + MINUTE);
    run_race(fixture, racers, grant.refresh_token, START + 5 * MINUTE, 0);
    int reused = 0;
    for (size_t i = 0; i < RACERS; i++) {
        assert_true(racers[i].call.outcome == REFRESH_REUSED || racers[i].call.outcome == REFRESH_EXPIRED);
        reused += racers[i].call.outcome == REFRESH_REUSED;
    }
    assert_int_equal(reused, 1);
    assert_int_equal(fixture_int(fixture, &SESSIONS_REVOKED, DB_NO_ARGS), 1);
    free_race(racers);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_begin, fixture_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_is_used_once_and_replaced),
        TEST(only_the_hash_is_stored),
        TEST(an_old_token_revokes_the_session),
        TEST(a_token_from_long_ago_revokes_the_session),
        TEST(a_lost_reply_may_be_asked_for_again),
        TEST(a_grace_is_not_prolonged_by_its_use),
        TEST(the_twin_left_behind_revokes_the_session),
        TEST(a_twin_that_keeps_busy_is_found_by_the_other),
        TEST(twins_may_be_used_together),
        TEST(unknown_tokens_are_unknown),
        TEST(a_session_of_a_token_is_found_in_any_state),
        TEST(expiry_slides_up_to_a_bound),
        TEST(an_unused_session_expires),
        TEST(a_rolled_back_refresh_leaves_the_token_good),
        TEST(a_revoked_session_is_over),
        TEST(all_sessions_of_a_user_but_one),
        TEST(the_check_knows_the_user_as_of_now),
        TEST(a_check_is_remembered_until_its_tags_are_dropped),
        TEST(a_check_is_remembered_here_for_a_second),
        TEST(a_reuse_names_the_session_that_it_ended),
        TEST(a_disabled_or_deleted_user_has_no_session),
        TEST(the_purge_takes_what_is_over_in_small_steps),
        TEST(many_at_once_stay_one_family),
        TEST(many_old_ones_at_once_revoke_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
