/* Keys of programs: `pk_...` in browsers, which may do what a guest may, and `sk_...` on servers, which may
 * do what their scopes say. Behind the prefix stand 256 random bits; only their SHA-256 is stored, beside the
 * first and last characters to know the key by. Each key is on a plan, which limits it.
 *
 * All functions that take a `db` run inside the caller's transaction or snapshot. */
#pragma once

#include "auth/principal.h"
#include "base/crypto.h"
#include "data/cache.h"
#include "data/db.h"

/* "sk_" and base64url of 32 bytes. */
#define API_KEY_TEXT_LEN 46
#define API_KEY_PREFIX_LEN 7
#define API_KEY_LAST_LEN 4
#define API_KEY_CACHE_SECONDS (24 * 3600)

/* What a secret key can be given: the day's work of a shop. Whatever decides who may do what (accounts, keys,
 * settings) is a person's to do, so no key makes another one or outgrows itself. */
#define API_KEY_SCOPES                                                                                       \
    (SCOPE_CATALOGUE_WRITE | SCOPE_INVENTORY_WRITE | SCOPE_ORDERS_READ | SCOPE_ORDERS_WRITE |                \
     SCOPE_CUSTOMERS_READ | SCOPE_SETTINGS_READ)

enum api_key_kind { API_KEY_KIND_PUBLISHABLE, API_KEY_KIND_SECRET };

const char *api_key_kind_name(enum api_key_kind kind);
bool api_key_kind_parse(struct slice name, enum api_key_kind *kind);

/* A key that was found good, with its limits. */
struct api_key {
    struct uuid id;
    struct uuid plan_id;
    enum api_key_kind kind;
    uint32_t scopes;       /* bits of enum scope; none of a publishable key */
    int64_t good_until_ms; /* 0: no end */
    int64_t rate_per_minute;
    int64_t burst;
    int64_t monthly_quota; /* 0: none binds this key */
};

struct api_key_secret {
    struct slice text; /* shown once, never stored */
    uint8_t hash[SHA256_LEN];
    struct slice prefix;
    struct slice last4;
};

/* New random bits; texts live in `arena`. */
void api_key_make(struct arena *arena, enum api_key_kind kind, struct api_key_secret *secret);
/* Whether a text has the form of a key, and of which kind. */
bool api_key_form(struct slice text, enum api_key_kind *kind);

/* DB_ROW with the key when it is good now, DB_DONE when it is unknown, expired, revoked or rotated away,
 * DB_ERROR. A point read. */
enum db_result api_key_check(struct db *db, const uint8_t hash[SHA256_LEN], int64_t now_ms,
                             struct api_key *key);
/* The same, remembered under the tags api_key:ID and plan:ID, which whoever changes the key or its plan
 * drops: for up to API_KEY_CACHE_SECONDS, never past the key's end. For a cache that is told of what other
 * servers drop. May wait for Redis. */
enum db_result api_key_check_cached(struct cache *cache, struct db *db, struct arena *arena,
                                    const uint8_t hash[SHA256_LEN], int64_t now_ms, struct api_key *key);
/* The same where nobody tells of other processes' changes: remembered for a second, in this process's memory
 * alone. `cache` may be NULL. */
enum db_result api_key_check_here(struct cache *cache, struct db *db, struct arena *arena,
                                  const uint8_t hash[SHA256_LEN], int64_t now_ms, struct api_key *key);
/* From this server's memory alone: false when it must be asked for. Never waits. */
bool api_key_remembered(struct cache *cache, struct arena *arena, const uint8_t hash[SHA256_LEN],
                        int64_t now_ms, struct api_key *key);
