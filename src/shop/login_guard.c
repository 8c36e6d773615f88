/* Counting failed attempts, and device tokens: see login_guard.h. */
#include "shop/login_guard.h"

#include "base/address.h"
#include "http/response.h"

#define MINUTE_MS INT64_C(60000)
#define DEVICE_LIFETIME_MS (INT64_C(365) * 24 * 60 * MINUTE_MS)
#define DEVICE_NONCE_BYTES 16
#define DEVICE_BYTES (8 + DEVICE_NONCE_BYTES + SHA256_LEN) /* when, nonce, signature */

struct attempt_limit {
    const char *name; /* in the counter's key */
    int64_t count;
    int64_t window_ms;
};

static const struct attempt_limit BY_NETWORK = {"login network", 10, 15 * MINUTE_MS};
static const struct attempt_limit BY_ACCOUNT = {"login account", 50, 60 * MINUTE_MS};
static const struct attempt_limit BY_DEVICE = {"login device", 10, 60 * MINUTE_MS};
static const struct attempt_limit BY_KIND[] = {
    [ATTEMPT_MFA] = {"mfa", 10, 15 * MINUTE_MS},
    [ATTEMPT_PASSWORD] = {"password", 10, 15 * MINUTE_MS},
    [ATTEMPT_MAIL] = {"mail", 5, 60 * MINUTE_MS},
};

/* ---- keys ---- */

static struct slice digest_slice(const uint8_t digest[SHA256_LEN])
{
    return (struct slice){(const char *)digest, SHA256_LEN};
}

/* A key of its own for each purpose, of the one that is derived from SOUK_SECRET. */
static void keyed_hash(const struct request *request, const char *purpose, struct slice text,
                       uint8_t hash[SHA256_LEN])
{
    uint8_t key[SHA256_LEN];
    hmac_sha256((struct slice){(const char *)request->services->seal_key, 32}, slice_from(purpose), key);
    hmac_sha256(digest_slice(key), text, hash);
}

static void counter_key(const struct request *request, const struct attempt_limit *limit,
                        struct slice subject, struct slice more, uint8_t key[SHA256_LEN])
{
    struct slice text =
        arena_format(request->arena, "%s\n%.*s\n%.*s", limit->name, SLICE_ARG(subject), SLICE_ARG(more));
    keyed_hash(request, "souk attempts", text, key);
}

/* Whose address it is, whatever spelling it came in. What is no address counts by its text. */
static struct slice network_of(struct request *request)
{
    struct address address;
    if (!address_parse(request->address, &address))
        return request->address;
    address = address_household(&address);
    return address_format(request->arena, &address);
}

/* ---- counters ---- */

DB_STATEMENT(COUNTER_READ) = {
    .sql = "SELECT count, window_ends_at FROM attempt_counters WHERE key = $1 AND window_ends_at > $2",
    .params = {DB_BLOB, DB_TIME},
    .columns = {DB_INT, DB_TIME},
};

/* How long until the limit lets another try through; 0: now. */
static enum db_result counter_wait(struct request *request, struct db *db, const uint8_t key[SHA256_LEN],
                                   const struct attempt_limit *limit, int64_t *wait_ms)
{
    struct db_rows *rows =
        db_query(db, &COUNTER_READ, DB_ARGS(db_blob(digest_slice(key)), db_time(request->now_ms)));
    enum db_result result = db_next(rows);
    *wait_ms = 0;
    if (result != DB_ROW)
        return result;
    if (db_get_int(rows, 0) >= limit->count)
        *wait_ms = db_get_time(rows, 1) - request->now_ms;
    db_close(rows);
    return DB_DONE;
}

/* A counter whose window has ended begins anew. */
DB_STATEMENT(COUNTER_ADD) = {
    .sql =
        "INSERT INTO attempt_counters (key, count, window_ends_at) VALUES ($1, 1, $2)"
        " ON CONFLICT (key) DO UPDATE SET"
        " count = CASE WHEN attempt_counters.window_ends_at > $3 THEN attempt_counters.count + 1 ELSE 1 END,"
        " window_ends_at = CASE WHEN attempt_counters.window_ends_at > $3"
        " THEN attempt_counters.window_ends_at ELSE excluded.window_ends_at END",
    .params = {DB_BLOB, DB_TIME, DB_TIME},
};

static enum db_result counter_add(struct request *request, struct db *db, const uint8_t key[SHA256_LEN],
                                  const struct attempt_limit *limit)
{
    return db_run(db, &COUNTER_ADD,
                  DB_ARGS(db_blob(digest_slice(key)), db_time(request->now_ms + limit->window_ms),
                          db_time(request->now_ms)));
}

DB_STATEMENT(COUNTER_FORGET) = {
    .sql = "DELETE FROM attempt_counters WHERE key = $1",
    .params = {DB_BLOB},
};

static enum db_result counter_forget(struct db *db, const uint8_t key[SHA256_LEN])
{
    return db_run(db, &COUNTER_FORGET, DB_ARGS(db_blob(digest_slice(key))));
}

DB_STATEMENT(COUNTERS_PURGE) = {
    .sql = "DELETE FROM attempt_counters WHERE key IN"
           " (SELECT key FROM attempt_counters WHERE window_ends_at <= $1 ORDER BY window_ends_at LIMIT $2)",
    .params = {DB_TIME, DB_INT},
};

enum db_result attempts_purge(struct db *db, int64_t now_ms, int64_t limit, int64_t *deleted)
{
    enum db_result result = db_run(db, &COUNTERS_PURGE, DB_ARGS(db_time(now_ms), db_int(limit)));
    *deleted = result == DB_DONE ? db_changes(db) : 0;
    return result;
}

/* ---- device tokens ---- */

static void device_sign(const struct request *request, struct slice email_folded, const uint8_t *head,
                        uint8_t mac[SHA256_LEN])
{
    struct buf text;
    buf_init(&text, request->arena);
    buf_append(&text, (struct slice){(const char *)head, 8 + DEVICE_NONCE_BYTES});
    buf_append(&text, email_folded);
    keyed_hash(request, "souk device", buf_slice(&text), mac);
}

struct slice device_token_make(struct request *request, struct slice email_folded)
{
    uint8_t token[DEVICE_BYTES];
    for (int i = 0; i < 8; i++)
        token[i] = (uint8_t)((uint64_t)request->now_ms >> (8 * (7 - i)));
    random_fill(token + 8, DEVICE_NONCE_BYTES);
    device_sign(request, email_folded, token, token + 8 + DEVICE_NONCE_BYTES);
    return base64url_encode(request->arena, (struct slice){(const char *)token, sizeof(token)});
}

/* Whether it was made for this address of mail, and not too long ago. */
static bool device_token_check(const struct request *request, struct slice email_folded, struct slice text)
{
    uint8_t mac[SHA256_LEN];
    uint64_t made_ms = 0;
    if (slice_is_absent(text) || text.len > DEVICE_BYTES * 2)
        return false;
    struct slice token = base64url_decode(request->arena, text);
    if (slice_is_absent(token) || token.len != DEVICE_BYTES)
        return false;
    const uint8_t *bytes = (const uint8_t *)token.ptr;
    device_sign(request, email_folded, bytes, mac);
    for (int i = 0; i < 8; i++)
        made_ms = made_ms << 8 | bytes[i];
    return bytes_equal_constant_time(slice_skip(token, 8 + DEVICE_NONCE_BYTES), digest_slice(mac)) &&
           (int64_t)made_ms + DEVICE_LIFETIME_MS > request->now_ms;
}

/* ---- log-ins ---- */

enum db_result login_guard_open(struct request *request, struct slice email_folded, struct slice device_token,
                                struct login_guard *guard, int64_t *wait_ms)
{
    enum db_result result = DB_DONE;
    counter_key(request, &BY_ACCOUNT, email_folded, SLICE_ABSENT, guard->account);
    counter_key(request, &BY_NETWORK, email_folded, network_of(request), guard->network);
    guard->is_known_device = device_token_check(request, email_folded, device_token);
    if (guard->is_known_device) {
        counter_key(request, &BY_DEVICE, email_folded, device_token, guard->device);
        result = counter_wait(request, request->db, guard->device, &BY_DEVICE, wait_ms);
        if (result != DB_DONE || *wait_ms == 0)
            return result;
        guard->is_known_device = false; /* it guesses: from now on it is one of the others */
    }
    result = counter_wait(request, request->db, guard->network, &BY_NETWORK, wait_ms);
    if (result == DB_DONE && *wait_ms == 0)
        result = counter_wait(request, request->db, guard->account, &BY_ACCOUNT, wait_ms);
    return result;
}

struct failure {
    struct request *request;
    const struct login_guard *guard;
};

static enum db_result failure_write(struct db *db, void *arg)
{
    const struct failure *failure = arg;
    const struct login_guard *guard = failure->guard;
    if (guard->is_known_device)
        return counter_add(failure->request, db, guard->device, &BY_DEVICE);
    enum db_result result = counter_add(failure->request, db, guard->network, &BY_NETWORK);
    return result == DB_DONE ? counter_add(failure->request, db, guard->account, &BY_ACCOUNT) : result;
}

enum db_result login_guard_failed(struct request *request, struct login_guard *guard)
{
    struct failure failure = {request, guard};
    return db_transaction(request->db, failure_write, &failure);
}

/* The account's own counter stays: others may still be guessing. */
enum db_result login_guard_passed(struct db *db, const struct login_guard *guard)
{
    return counter_forget(db, guard->is_known_device ? guard->device : guard->network);
}

enum db_result login_guard_forget(struct request *request, struct db *db, struct slice email_folded)
{
    uint8_t account[SHA256_LEN], network[SHA256_LEN];
    counter_key(request, &BY_ACCOUNT, email_folded, SLICE_ABSENT, account);
    counter_key(request, &BY_NETWORK, email_folded, network_of(request), network);
    enum db_result result = counter_forget(db, account);
    return result == DB_DONE ? counter_forget(db, network) : result;
}

/* ---- other attempts ---- */

enum db_result attempt_wait(struct request *request, struct db *db, enum attempt_kind kind,
                            struct slice subject, int64_t *wait_ms)
{
    uint8_t key[SHA256_LEN];
    counter_key(request, &BY_KIND[kind], subject, SLICE_ABSENT, key);
    return counter_wait(request, db, key, &BY_KIND[kind], wait_ms);
}

enum db_result attempt_count(struct request *request, struct db *db, enum attempt_kind kind,
                             struct slice subject, bool *is_within)
{
    uint8_t key[SHA256_LEN];
    int64_t wait_ms = 0;
    counter_key(request, &BY_KIND[kind], subject, SLICE_ABSENT, key);
    enum db_result result = counter_wait(request, db, key, &BY_KIND[kind], &wait_ms);
    *is_within = wait_ms == 0;
    if (result != DB_DONE || !*is_within)
        return result;
    return counter_add(request, db, key, &BY_KIND[kind]);
}

enum db_result attempt_forget(struct request *request, struct db *db, enum attempt_kind kind,
                              struct slice subject)
{
    uint8_t key[SHA256_LEN];
    counter_key(request, &BY_KIND[kind], subject, SLICE_ABSENT, key);
    return counter_forget(db, key);
}

enum http_status refuse_attempts(struct response *response, int64_t wait_ms)
{
    int64_t seconds = (wait_ms + 999) / 1000;
    enum http_status status =
        problem(response, PROBLEM_RATE_LIMIT_EXCEEDED, "Too many failed attempts; try again later");
    response_header(response, "Retry-After", arena_format(response->arena, "%lld", (long long)seconds));
    problem_extra_int(response, "retryAfterSeconds", seconds);
    return status;
}
