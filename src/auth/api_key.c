/* Making keys, and finding the one that was sent. */
#include "auth/api_key.h"

#include "base/check.h"

#define SECRET_BYTES 32
#define KIND_PREFIX_LEN 3

static const struct {
    const char *name;
    struct slice prefix;
} KINDS[] = {
    [API_KEY_KIND_PUBLISHABLE] = {"publishable", {"pk_", KIND_PREFIX_LEN}},
    [API_KEY_KIND_SECRET] = {"secret", {"sk_", KIND_PREFIX_LEN}},
};

const char *api_key_kind_name(enum api_key_kind kind)
{
    CHECK((size_t)kind < COUNT_OF(KINDS));
    return KINDS[kind].name;
}

bool api_key_kind_parse(struct slice name, enum api_key_kind *kind)
{
    for (size_t i = 0; i < COUNT_OF(KINDS); i++) {
        if (slice_is(name, KINDS[i].name)) {
            *kind = (enum api_key_kind)i;
            return true;
        }
    }
    return false;
}

void api_key_make(struct arena *arena, enum api_key_kind kind, struct api_key_secret *secret)
{
    uint8_t bits[SECRET_BYTES];
    random_fill(bits, sizeof(bits));
    struct slice encoded = base64url_encode(arena, (struct slice){(const char *)bits, sizeof(bits)});
    secret->text = arena_format(arena, "%.*s%.*s", SLICE_ARG(KINDS[kind].prefix), SLICE_ARG(encoded));
    CHECK(secret->text.len == API_KEY_TEXT_LEN);
    sha256(secret->text, secret->hash);
    secret->prefix = (struct slice){secret->text.ptr, API_KEY_PREFIX_LEN};
    secret->last4 = slice_skip(secret->text, API_KEY_TEXT_LEN - API_KEY_LAST_LEN);
}

static bool is_base64url(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool api_key_form(struct slice text, enum api_key_kind *kind)
{
    if (text.len != API_KEY_TEXT_LEN)
        return false;
    for (size_t i = KIND_PREFIX_LEN; i < text.len; i++) {
        if (!is_base64url(text.ptr[i]))
            return false;
    }
    for (size_t i = 0; i < COUNT_OF(KINDS); i++) {
        if (slice_starts_with(text, KINDS[i].prefix)) {
            *kind = (enum api_key_kind)i;
            return true;
        }
    }
    return false;
}

/* ---- finding ---- */

DB_STATEMENT(KEY_CHECK) = {
    .sql =
        "SELECT k.id, k.plan_id, k.kind, k.scopes, k.expires_at, s.valid_until, p.rate_per_minute, p.burst,"
        " p.monthly_quota, p.quota_binds FROM api_key_secrets s JOIN api_keys k ON k.id = s.key_id"
        " JOIN plans p ON p.id = k.plan_id WHERE s.hash = $1 AND k.revoked_at IS NULL"
        " AND (k.expires_at IS NULL OR k.expires_at > $2) AND (s.valid_until IS NULL OR s.valid_until > $2)",
    .params = {DB_BLOB, DB_TIME},
    .columns = {DB_UUID, DB_UUID, DB_TEXT, DB_TEXT, DB_TIME, DB_TIME, DB_INT, DB_INT, DB_INT, DB_TEXT},
};

/* The earlier of two ends, where 0 is none. */
static int64_t earlier(int64_t a_ms, int64_t b_ms)
{
    if (a_ms == 0 || b_ms == 0)
        return a_ms != 0 ? a_ms : b_ms;
    return a_ms < b_ms ? a_ms : b_ms;
}

enum db_result api_key_check(struct db *db, const uint8_t hash[SHA256_LEN], int64_t now_ms,
                             struct api_key *key)
{
    struct slice bytes = {(const char *)hash, SHA256_LEN};
    struct db_rows *rows = db_query(db, &KEY_CHECK, DB_ARGS(db_blob(bytes), db_time(now_ms)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    *key = (struct api_key){
        .id = db_get_uuid(rows, 0),
        .plan_id = db_get_uuid(rows, 1),
        .scopes = scopes_parse(db_get_text(rows, 3)) & API_KEY_SCOPES,
        .good_until_ms = earlier(db_get_time(rows, 4), db_get_time(rows, 5)),
        .rate_per_minute = db_get_int(rows, 6),
        .burst = db_get_int(rows, 7),
        .monthly_quota = db_get_int(rows, 8),
    };
    bool is_known = api_key_kind_parse(db_get_text(rows, 2), &key->kind);
    if (key->kind == API_KEY_KIND_PUBLISHABLE) {
        key->scopes = SCOPE_NONE;
        if (!slice_is(db_get_text(rows, 9), "all"))
            key->monthly_quota = 0;
    }
    db_close(rows);
    return is_known ? DB_ROW : DB_DONE; /* a kind of a newer version is good for nothing here */
}

/* ---- the same, remembered ---- */

/* How a key stands in the cache: numbers with spaces between them, of this version's form. */
#define FORM "1"

/* "api_key_hash:" and the hash in hexadecimal, since it also stands in Redis. */
static struct slice cache_key_of(struct arena *arena, const uint8_t hash[SHA256_LEN])
{
    static const char PREFIX[] = "api_key_hash:";
    const size_t prefix_len = sizeof(PREFIX) - 1;
    char *text = arena_alloc(arena, prefix_len + 2 * SHA256_LEN);
    memcpy(text, PREFIX, prefix_len);
    hex_encode(hash, SHA256_LEN, text + prefix_len);
    return (struct slice){text, prefix_len + 2 * SHA256_LEN};
}

static struct slice key_pack(struct arena *arena, const struct api_key *key)
{
    char id[UUID_TEXT_LEN], plan[UUID_TEXT_LEN];
    uuid_format(key->id, id);
    uuid_format(key->plan_id, plan);
    return arena_format(arena, FORM " %.*s %.*s %s %lld %lld %lld %lld %.*s", UUID_TEXT_LEN, id,
                        UUID_TEXT_LEN, plan, api_key_kind_name(key->kind), (long long)key->good_until_ms,
                        (long long)key->rate_per_minute, (long long)key->burst, (long long)key->monthly_quota,
                        SLICE_ARG(scopes_format(arena, key->scopes)));
}

static bool take_number(struct slice *packed, int64_t *number)
{
    struct slice word;
    long long value;
    if (!slice_split(packed, ' ', &word) || !slice_to_int64(word, &value))
        return false;
    *number = value;
    return true;
}

static bool key_unpack(struct slice packed, struct api_key *key)
{
    struct slice form, id, plan, kind;
    *key = (struct api_key){.kind = API_KEY_KIND_PUBLISHABLE};
    if (!slice_split(&packed, ' ', &form) || !slice_is(form, FORM) || !slice_split(&packed, ' ', &id) ||
        !slice_split(&packed, ' ', &plan) || !slice_split(&packed, ' ', &kind) ||
        !take_number(&packed, &key->good_until_ms) || !take_number(&packed, &key->rate_per_minute) ||
        !take_number(&packed, &key->burst) || !take_number(&packed, &key->monthly_quota) ||
        slice_is_absent(packed) || !uuid_parse(id, &key->id) || !uuid_parse(plan, &key->plan_id) ||
        !api_key_kind_parse(kind, &key->kind))
        return false;
    if (key->kind == API_KEY_KIND_SECRET)
        key->scopes = scopes_parse(packed) & API_KEY_SCOPES;
    return true;
}

static bool is_good(const struct api_key *key, int64_t now_ms)
{
    return key->good_until_ms == 0 || key->good_until_ms > now_ms;
}

bool api_key_remembered(struct cache *cache, struct arena *arena, const uint8_t hash[SHA256_LEN],
                        int64_t now_ms, struct api_key *key)
{
    struct slice packed;
    int64_t age_s;
    return cache_get(cache, cache_key_of(arena, hash), arena, &packed, &age_s) && key_unpack(packed, key) &&
           is_good(key, now_ms);
}

static void remember(struct cache *cache, struct cache_ticket ticket, struct arena *arena,
                     struct slice cache_key, const struct api_key *key, int64_t now_ms, int64_t seconds)
{
    int64_t left = key->good_until_ms != 0 ? (key->good_until_ms - now_ms) / 1000 : seconds;
    const struct slice tags[] = {cache_tag_of(arena, "api_key", key->id),
                                 cache_tag_of(arena, "plan", key->plan_id)};
    if (left > 0)
        cache_put(cache, ticket, cache_key, key_pack(arena, key), tags, COUNT_OF(tags),
                  left < seconds ? left : seconds);
}

enum db_result api_key_check_cached(struct cache *cache, struct db *db, struct arena *arena,
                                    const uint8_t hash[SHA256_LEN], int64_t now_ms, struct api_key *key)
{
    struct slice packed;
    struct cache_ticket ticket;
    int64_t age_s;
    struct slice cache_key = cache_key_of(arena, hash);
    bool is_found = cache_get_shared(cache, cache_key, arena, &packed, &age_s, &ticket);
    if (is_found && key_unpack(packed, key) && is_good(key, now_ms))
        return DB_ROW;
    enum db_result result = api_key_check(db, hash, now_ms, key);
    if (result == DB_ROW && !is_found) /* what lived longer than it should is about to go by itself */
        remember(cache, ticket, arena, cache_key, key, now_ms, API_KEY_CACHE_SECONDS);
    return result;
}

enum db_result api_key_check_here(struct cache *cache, struct db *db, struct arena *arena,
                                  const uint8_t hash[SHA256_LEN], int64_t now_ms, struct api_key *key)
{
    if (cache == NULL)
        return api_key_check(db, hash, now_ms, key);
    if (api_key_remembered(cache, arena, hash, now_ms, key))
        return DB_ROW;
    struct cache_ticket ticket = cache_ticket(cache);
    enum db_result result = api_key_check(db, hash, now_ms, key);
    if (result == DB_ROW)
        remember(cache, ticket, arena, cache_key_of(arena, hash), key, now_ms, 1);
    return result;
}
