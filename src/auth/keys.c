/* The ring of signing keys: reading the table, making the first keys, swapping, rotating. */
#include "auth/keys_private.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SCRATCH_BYTES ((size_t)1 << 20)
#define REFRESH_INTERVAL_MS 1000 /* however many unknown kids come in */

#define COMPLAINT_SECRET                                                                                                 \
    "SOUK_SECRET does not fit this database: its signing keys were encrypted under another secret. Give the old secret " \
    "back, or empty the table signing_keys to start with new keys (every access token ends)"

DB_STATEMENT(KEYS_SELECT) = {
    .sql = "SELECT kid, state, sealed_private FROM signing_keys WHERE state <> 'retired' OR retired_at > $1 "
           "ORDER BY created_at DESC, kid LIMIT $2",
    .params = {DB_TIME, DB_INT},
    .columns = {DB_TEXT, DB_TEXT, DB_BLOB},
};
DB_STATEMENT(KEYS_COUNT_STATE) = {
    .sql = "SELECT COUNT(*) FROM signing_keys WHERE state = $1",
    .params = {DB_TEXT},
    .columns = {DB_INT},
};
DB_STATEMENT(KEYS_COUNT) = {
    .sql = "SELECT COUNT(*) FROM signing_keys",
    .columns = {DB_INT},
};
DB_STATEMENT(KEY_OF_STATE) = {
    .sql = "SELECT kid, sealed_private FROM signing_keys WHERE state = $1 ORDER BY created_at, kid LIMIT 1",
    .params = {DB_TEXT},
    .columns = {DB_TEXT, DB_BLOB},
};
DB_STATEMENT(KEY_INSERT) = {
    .sql = "INSERT INTO signing_keys (kid, state, sealed_private, public_jwk, created_at, activated_at) "
           "VALUES ($1, $2, $3, $4, $5, $6)",
    .params = {DB_TEXT, DB_TEXT, DB_BLOB, DB_JSON, DB_TIME, DB_TIME},
};
DB_STATEMENT(KEY_RETIRE) = {
    .sql = "UPDATE signing_keys SET state = 'retired', retired_at = $2, sealed_private = $3 "
           "WHERE kid = $1 AND state = 'active'",
    .params = {DB_TEXT, DB_TIME, DB_BLOB},
};
DB_STATEMENT(KEY_ACTIVATE) = {
    .sql = "UPDATE signing_keys SET state = 'active', activated_at = $2 WHERE kid = $1 AND state = 'next'",
    .params = {DB_TEXT, DB_TIME},
};
DB_STATEMENT(KEYS_PURGE) = {
    .sql = "DELETE FROM signing_keys WHERE kid IN (SELECT kid FROM signing_keys"
           " WHERE state = 'retired' AND retired_at <= $1 ORDER BY kid LIMIT $2)",
    .params = {DB_TIME, DB_INT},
};
DB_STATEMENT(KEYS_LIST) = {
    .sql = "SELECT kid, state, created_at FROM signing_keys ORDER BY created_at DESC, kid LIMIT $1",
    .params = {DB_INT},
    .columns = {DB_TEXT, DB_TEXT, DB_TIME},
};

struct key_set {
    _Atomic int shares;
    size_t count;
    struct signing_key *keys[KEYS_MAX];
    const struct signing_key *active; /* one of keys; NULL: none */
};

struct key_ring {
    struct store *store;
    uint8_t seal_key[32];
    pthread_mutex_t swap; /* guards `set`; held for a pointer and a count */
    struct key_set *set;
    pthread_mutex_t refreshing; /* one reader of the table at a time */
    _Atomic int64_t refreshed_at_ms;
    _Atomic uint64_t generation;
    struct token_cache *tokens;
};

void key_derive(struct slice secret, const char *purpose, uint8_t key[32])
{
    uint8_t extracted[SHA256_LEN];
    char info[128];
    size_t len = strlen(purpose);
    CHECK(len > 0 && len < sizeof(info));
    memcpy(info, purpose, len);
    info[len] = 1; /* the counter of HKDF's first, here only, block */
    hmac_sha256(SLICE("souk key_derive v1"), secret, extracted);
    hmac_sha256((struct slice){(const char *)extracted, sizeof(extracted)}, (struct slice){info, len + 1},
                key);
    sodium_memzero(extracted, sizeof(extracted));
}

/* ---- sets ---- */

struct key_set *key_ring_take(struct key_ring *ring)
{
    pthread_mutex_lock(&ring->swap);
    struct key_set *set = ring->set;
    atomic_fetch_add_explicit(&set->shares, 1, memory_order_relaxed);
    pthread_mutex_unlock(&ring->swap);
    return set;
}

void key_set_release(struct key_set *set)
{
    if (set == NULL || atomic_fetch_sub_explicit(&set->shares, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < set->count; i++)
        signing_key_release(set->keys[i]);
    free(set);
}

static struct signing_key *set_find(const struct key_set *set, struct slice kid)
{
    for (size_t i = 0; set != NULL && i < set->count; i++) {
        if (slice_equals(signing_key_kid(set->keys[i]), kid))
            return set->keys[i];
    }
    return NULL;
}

const struct signing_key *key_set_find(const struct key_set *set, struct slice kid)
{
    return set_find(set, kid);
}

const struct signing_key *key_set_active(const struct key_set *set)
{
    return set->active;
}

enum load { LOAD_DONE, LOAD_UNREADABLE, LOAD_OTHER_SECRET };

/* Adds the key of the current row, taking it from `old` where it is known. */
static bool set_add(struct key_set *set, const struct key_set *old, struct db_rows *rows,
                    const uint8_t seal_key[32], struct arena *scratch)
{
    struct slice kid = db_get_text(rows, 0);
    struct signing_key *known = set_find(old, kid);
    struct signing_key *key =
        known != NULL ? signing_key_share(known) : signing_key_open(scratch, seal_key, db_get_text(rows, 2));
    if (key == NULL || !slice_equals(signing_key_kid(key), kid)) {
        signing_key_release(key);
        return false;
    }
    set->keys[set->count++] = key;
    if (slice_is(db_get_text(rows, 1), "active"))
        set->active = key;
    return true;
}

/* A new set as the table has it now. `old` may be NULL. */
static enum load set_load(struct db *db, const uint8_t seal_key[32], const struct key_set *old,
                          int64_t now_ms, struct key_set **loaded)
{
    struct arena scratch;
    struct key_set *set = calloc(1, sizeof(*set));
    CHECK(set != NULL && arena_init(&scratch, SCRATCH_BYTES));
    atomic_init(&set->shares, 1);
    struct db_rows *rows =
        db_query(db, &KEYS_SELECT,
                 DB_ARGS(db_time(now_ms - KEYS_RETIRED_KEEP_SECONDS * INT64_C(1000)), db_int(KEYS_MAX)));
    enum db_result result;
    bool opened = true;
    while ((result = db_next(rows)) == DB_ROW) {
        opened = set_add(set, old, rows, seal_key, &scratch);
        if (!opened) {
            db_close(rows);
            break;
        }
    }
    arena_release(&scratch);
    if (opened && result == DB_DONE) {
        *loaded = set;
        return LOAD_DONE;
    }
    key_set_release(set);
    return opened ? LOAD_UNREADABLE : LOAD_OTHER_SECRET;
}

/* ---- the first keys ---- */

/* What a transaction needs to store a key; made before it, since making keys takes a tenth of a second. */
struct new_key {
    struct slice kid;
    struct slice sealed;
    struct slice jwk;
};

static bool new_key_make(struct new_key *made, const uint8_t seal_key[32], struct arena *arena)
{
    struct buf jwk;
    struct signing_key *key = signing_key_generate();
    if (key == NULL)
        return false;
    buf_init(&jwk, arena);
    signing_key_write_jwk(key, &jwk);
    made->jwk = buf_slice(&jwk);
    made->kid = arena_copy(arena, signing_key_kid(key));
    made->sealed = signing_key_seal(key, arena, seal_key, true);
    signing_key_release(key);
    return !jwk.overflow && !slice_is_absent(made->sealed);
}

static enum db_result new_key_insert(struct db *db, const struct new_key *made, struct slice state,
                                     int64_t now_ms)
{
    return db_run(db, &KEY_INSERT,
                  DB_ARGS(db_text(made->kid), db_text(state), db_blob(made->sealed), db_json(made->jwk),
                          db_time(now_ms), db_if(slice_is(state, "active"), db_time(now_ms))));
}

struct first_keys {
    struct new_key active;
    struct new_key next;
    int64_t now_ms;
};

static enum db_result insert_when_none(struct db *db, const struct new_key *made, struct slice state,
                                       int64_t now_ms)
{
    int64_t count = 0;
    if (db_one_int(db, &KEYS_COUNT_STATE, DB_ARGS(db_text(state)), &count) != DB_ROW)
        return DB_ERROR;
    return count > 0 ? DB_DONE : new_key_insert(db, made, state, now_ms);
}

static enum db_result first_keys_insert(struct db *db, void *arg)
{
    const struct first_keys *first = arg;
    enum db_result result = insert_when_none(db, &first->active, SLICE("active"), first->now_ms);
    return result == DB_DONE ? insert_when_none(db, &first->next, SLICE("next"), first->now_ms) : result;
}

static bool first_keys_make(struct db *db, const uint8_t seal_key[32], int64_t now_ms, struct arena *arena)
{
    struct first_keys first = {.now_ms = now_ms};
    if (!new_key_make(&first.active, seal_key, arena) || !new_key_make(&first.next, seal_key, arena))
        return false;
    enum db_result result = db_transaction(db, first_keys_insert, &first);
    return result == DB_DONE ||
           result == DB_CONFLICT; /* conflict: another process made them in this moment */
}

/* ---- the ring ---- */

static enum load ring_load(struct db *db, const uint8_t seal_key[32], struct arena *arena,
                           struct key_set **set)
{
    int64_t now_ms = clock_now_ms();
    enum load load = set_load(db, seal_key, NULL, now_ms, set);
    if (load != LOAD_DONE || (*set)->active != NULL)
        return load;
    key_set_release(*set);
    *set = NULL;
    if (!first_keys_make(db, seal_key, now_ms, arena))
        return LOAD_UNREADABLE;
    load = set_load(db, seal_key, NULL, now_ms, set);
    if (load == LOAD_DONE && (*set)->active == NULL) {
        key_set_release(*set);
        *set = NULL;
        return LOAD_UNREADABLE;
    }
    return load;
}

struct key_ring *key_ring_open(struct store *store, struct slice secret, struct arena *arena,
                               struct slice *complaint)
{
    struct key_set *set = NULL;
    uint8_t seal_key[32];
    struct db *db = store_connect(store);
    if (db == NULL) {
        *complaint = SLICE("the signing keys cannot be read: the database does not answer");
        return NULL;
    }
    key_derive(secret, "signing-keys", seal_key);
    enum load load = ring_load(db, seal_key, arena, &set);
    store_disconnect(db);
    struct key_ring *ring = NULL;
    if (load == LOAD_DONE) {
        ring = calloc(1, sizeof(*ring));
        CHECK(ring != NULL);
        ring->store = store;
        ring->set = set;
        ring->tokens = token_cache_new();
        memcpy(ring->seal_key, seal_key, sizeof(seal_key));
        CHECK(pthread_mutex_init(&ring->swap, NULL) == 0 && pthread_mutex_init(&ring->refreshing, NULL) == 0);
        atomic_init(&ring->refreshed_at_ms, clock_now_ms());
        atomic_init(&ring->generation, 1);
    } else {
        *complaint = load == LOAD_OTHER_SECRET ? SLICE(COMPLAINT_SECRET)
                                               : SLICE("the table signing_keys cannot be read or filled");
    }
    sodium_memzero(seal_key, sizeof(seal_key));
    return ring;
}

void key_ring_free(struct key_ring *ring)
{
    if (ring == NULL)
        return;
    key_set_release(ring->set);
    token_cache_free(ring->tokens);
    pthread_mutex_destroy(&ring->swap);
    pthread_mutex_destroy(&ring->refreshing);
    sodium_memzero(ring->seal_key, sizeof(ring->seal_key));
    free(ring);
}

struct token_cache *key_ring_tokens(struct key_ring *ring)
{
    return ring->tokens;
}

uint64_t key_ring_generation(struct key_ring *ring)
{
    return atomic_load_explicit(&ring->generation, memory_order_acquire);
}

/* ---- refreshing ---- */

/* The caller holds `refreshing`, so `old` stays alive. The generation rises after the swap: whoever reads the
 * new one, takes the new set; whoever took the old set, puts its tokens under the old generation. */
static void ring_swap(struct key_ring *ring, struct key_set *set)
{
    struct key_set *old = ring->set;
    bool same = old->active == set->active && old->count == set->count, lost = false;
    for (size_t i = 0; i < old->count; i++)
        lost = lost || set_find(set, signing_key_kid(old->keys[i])) == NULL;
    pthread_mutex_lock(&ring->swap);
    ring->set = set;
    pthread_mutex_unlock(&ring->swap);
    if (lost)
        atomic_fetch_add_explicit(&ring->generation, 1, memory_order_acq_rel);
    if (set->active == NULL)
        log_message(LOG_ERROR,
                    "there is no active signing key: nobody can log in until the server is started again");
    else if (lost || !same)
        log_message(LOG_INFO, "the signing keys changed: %zu known", set->count);
    key_set_release(old);
}

static void ring_reload(struct key_ring *ring, struct db *db, int64_t now_ms)
{
    struct key_set *set = NULL;
    atomic_store_explicit(&ring->refreshed_at_ms, now_ms, memory_order_relaxed);
    switch (set_load(db, ring->seal_key, ring->set, now_ms, &set)) {
    case LOAD_DONE:
        ring_swap(ring, set);
        break;
    case LOAD_UNREADABLE:
        log_message(LOG_ERROR, "the signing keys could not be read again: the known ones stay");
        break;
    case LOAD_OTHER_SECRET:
        log_message(LOG_ERROR, "a signing key was encrypted under another SOUK_SECRET: the known ones stay");
        break;
    }
}

/* How old the ring is. A clock set back makes it old, not young for ever. */
static int64_t ring_age_ms(const struct key_ring *ring, int64_t now_ms)
{
    int64_t age_ms = now_ms - atomic_load_explicit(&ring->refreshed_at_ms, memory_order_relaxed);
    return age_ms < 0 ? -age_ms : age_ms;
}

bool key_ring_is_fresh(const struct key_ring *ring, int64_t now_ms)
{
    return ring_age_ms(ring, now_ms) < KEYS_REFRESH_MS;
}

void key_ring_refresh(struct key_ring *ring, struct db *db, int64_t now_ms)
{
    /* Whoever asks while another thread reads waits for its result: it may hold the very kid that both look
     * for. */
    pthread_mutex_lock(&ring->refreshing);
    if (ring_age_ms(ring, now_ms) >= REFRESH_INTERVAL_MS)
        ring_reload(ring, db, now_ms);
    pthread_mutex_unlock(&ring->refreshing);
}

void key_ring_refresh_when_old(struct key_ring *ring, struct db *db, int64_t now_ms)
{
    int64_t bound_ms = db != NULL ? KEYS_REFRESH_MS : 5 * KEYS_REFRESH_MS;
    if (ring_age_ms(ring, now_ms) < bound_ms || pthread_mutex_trylock(&ring->refreshing) != 0)
        return;
    if (ring_age_ms(ring, now_ms) >= bound_ms) {
        struct db *own = db == NULL ? store_connect(ring->store) : NULL;
        if (db != NULL || own != NULL)
            ring_reload(ring, db != NULL ? db : own, now_ms);
        if (own != NULL)
            store_disconnect(own);
    }
    pthread_mutex_unlock(&ring->refreshing);
}

struct slice key_ring_jwks(struct key_ring *ring, struct arena *arena)
{
    struct buf out;
    struct key_set *set = key_ring_take(ring);
    buf_init(&out, arena);
    buf_append(&out, SLICE("{\"keys\":["));
    for (size_t i = 0; i < set->count; i++) {
        if (i > 0)
            buf_append_char(&out, ',');
        signing_key_write_jwk(set->keys[i], &out);
    }
    buf_append(&out, SLICE("]}"));
    key_set_release(set);
    return buf_slice(&out);
}

/* ---- rotation ---- */

enum rotation_problem { ROTATION_FINE, ROTATION_OTHER_SECRET, ROTATION_TOO_OFTEN };

struct rotation {
    const uint8_t *seal_key;
    int64_t now_ms;
    struct arena *arena;
    struct new_key next;
    enum rotation_problem problem;
};

/* DB_ROW with the key of a state, opened (the caller releases it); DB_DONE when there is none; DB_CONFLICT
 * with the problem noted. */
static enum db_result key_of_state(struct db *db, struct rotation *rotation, struct slice state,
                                   struct signing_key **key)
{
    struct db_rows *rows = db_query(db, &KEY_OF_STATE, DB_ARGS(db_text(state)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    *key = signing_key_open(rotation->arena, rotation->seal_key, db_get_text(rows, 1));
    if (*key != NULL && !slice_equals(signing_key_kid(*key), db_get_text(rows, 0))) {
        signing_key_release(*key);
        *key = NULL;
    }
    db_close(rows);
    if (*key == NULL)
        rotation->problem = ROTATION_OTHER_SECRET;
    return *key != NULL ? DB_ROW : DB_CONFLICT;
}

static enum db_result rotation_write(struct db *db, struct rotation *rotation,
                                     const struct signing_key *active, const struct signing_key *next)
{
    struct db_value now = db_time(rotation->now_ms);
    struct slice public_only = signing_key_seal(active, rotation->arena, rotation->seal_key, false);
    if (slice_is_absent(public_only))
        return DB_ERROR;
    enum db_result result =
        db_change(db, &KEY_RETIRE, DB_ARGS(db_text(signing_key_kid(active)), now, db_blob(public_only)));
    if (result == DB_DONE)
        result = db_change(db, &KEY_ACTIVATE, DB_ARGS(db_text(signing_key_kid(next)), now));
    if (result == DB_DONE)
        result = new_key_insert(db, &rotation->next, SLICE("next"), rotation->now_ms);
    return result;
}

enum db_result keys_purge(struct db *db, int64_t now_ms, int64_t limit, int64_t *deleted)
{
    enum db_result result = db_run(
        db, &KEYS_PURGE, DB_ARGS(db_time(now_ms - KEYS_RETIRED_KEEP_SECONDS * INT64_C(1000)), db_int(limit)));
    *deleted = result == DB_DONE ? db_changes(db) : 0;
    return result;
}

static enum db_result rotation_run(struct db *db, void *arg)
{
    struct rotation *rotation = arg;
    struct signing_key *active = NULL, *next = NULL;
    int64_t count = 0, deleted = 0;
    rotation->problem = ROTATION_FINE;
    if (keys_purge(db, rotation->now_ms, KEYS_MAX, &deleted) != DB_DONE ||
        db_one_int(db, &KEYS_COUNT, DB_NO_ARGS, &count) != DB_ROW)
        return DB_ERROR;
    if (count >= KEYS_MAX) {
        rotation->problem = ROTATION_TOO_OFTEN;
        return DB_CONFLICT;
    }
    enum db_result result = key_of_state(db, rotation, SLICE("active"), &active);
    if (result == DB_ROW)
        result = key_of_state(db, rotation, SLICE("next"), &next);
    if (result == DB_ROW)
        result = rotation_write(db, rotation, active, next);
    else if (result == DB_DONE)
        result = DB_ERROR; /* the first keys were made before: somebody empties the table just now */
    signing_key_release(active);
    signing_key_release(next);
    return result;
}

static struct slice rotation_complaint(const struct rotation *rotation)
{
    switch (rotation->problem) {
    case ROTATION_OTHER_SECRET:
        return SLICE(COMPLAINT_SECRET);
    case ROTATION_TOO_OFTEN:
        return SLICE(
            "the signing keys were rotated too often: the retired ones are still needed for some hours");
    case ROTATION_FINE:
        break;
    }
    return SLICE(
        "the signing keys could not be rotated: the database failed, or another rotation ran at this moment");
}

/* On an empty table the first keys are all that is asked for. */
static bool rotate(struct db *db, struct rotation *rotation)
{
    int64_t active = 0;
    if (db_one_int(db, &KEYS_COUNT_STATE, DB_ARGS(db_text(SLICE("active"))), &active) != DB_ROW)
        return false;
    if (active == 0)
        return first_keys_make(db, rotation->seal_key, rotation->now_ms, rotation->arena);
    return new_key_make(&rotation->next, rotation->seal_key, rotation->arena) &&
           db_transaction(db, rotation_run, rotation) == DB_DONE;
}

bool keys_rotate(struct store *store, struct slice secret, int64_t now_ms, struct arena *arena,
                 struct slice *complaint)
{
    uint8_t seal_key[32];
    struct rotation rotation = {.seal_key = seal_key, .now_ms = now_ms, .arena = arena};
    struct db *db = store_connect(store);
    if (db == NULL) {
        *complaint = SLICE("the signing keys cannot be rotated: the database does not answer");
        return false;
    }
    key_derive(secret, "signing-keys", seal_key);
    bool done = rotate(db, &rotation);
    store_disconnect(db);
    if (!done)
        *complaint = rotation_complaint(&rotation);
    sodium_memzero(seal_key, sizeof(seal_key));
    return done;
}

size_t keys_list(struct store *store, struct arena *arena, struct key_listing *list, size_t max)
{
    size_t count = 0;
    struct db *db = store_connect(store);
    if (db == NULL)
        return 0;
    struct db_rows *rows = db_query(db, &KEYS_LIST, DB_ARGS(db_int((int64_t)max)));
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW) {
        list[count++] = (struct key_listing){
            .kid = db_copy_text(rows, 0, arena),
            .state = db_copy_text(rows, 1, arena),
            .created_at_ms = db_get_time(rows, 2),
        };
    }
    store_disconnect(db);
    return result == DB_DONE ? count : 0;
}
