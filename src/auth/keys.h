/* The keys that sign access tokens: RSA 2048, in the table signing_keys, private parts sealed under
 * SOUK_SECRET. One is active, one is next (published, not yet signing), some are retired (still verifying
 * until their tokens are gone; their private parts are destroyed). Only what opens under the secret counts: a
 * row that somebody else wrote into the table verifies nothing. */
#pragma once

#include "data/db.h"

/* Rotating faster than retired keys go is refused. */
#define KEYS_MAX 16
/* Longer than the longest access token; then the row is deleted. */
#define KEYS_RETIRED_KEEP_SECONDS (25 * 3600)
/* How old a ring may grow before it looks at the table again. */
#define KEYS_REFRESH_MS 60000

struct key_ring; /* shared, thread-safe; swapped whole when keys change */

/* Reads the keys, making the first two when there are none (in one transaction: of two processes that start
 * at once one makes them). NULL with a clear line: e.g. the secret does not fit the table. The store outlives
 * the ring. */
struct key_ring *key_ring_open(struct store *store, struct slice secret, struct arena *arena,
                               struct slice *complaint);
void key_ring_free(struct key_ring *ring);
/* Reads the table again (another node or `souk keys rotate` changed it); at most once a second. token_verify
 * calls it on an unknown kid and every KEYS_REFRESH_MS. What cannot be read changes nothing. */
void key_ring_refresh(struct key_ring *ring, struct db *db, int64_t now_ms);
/* The public keys as a JWK set (RFC 7517), bare JSON. */
struct slice key_ring_jwks(struct key_ring *ring, struct arena *arena);
/* A 32-byte key of our own for one purpose, derived from SOUK_SECRET: "cursor", "signing-keys", ...
 * HKDF-SHA256 (RFC 5869) with the salt "souk key_derive v1", the purpose as info, 32 bytes. */
void key_derive(struct slice secret, const char *purpose, uint8_t key[32]);

/* `souk keys rotate`: next becomes active, active retires, a new next is made; long retired keys are deleted.
 * All in one transaction. Running servers follow within KEYS_REFRESH_MS. On an empty table it makes the first
 * keys. */
bool keys_rotate(struct store *store, struct slice secret, int64_t now_ms, struct arena *arena,
                 struct slice *complaint);
/* Deletes up to `limit` keys that retired so long ago that no token of theirs is left; for the purge job,
 * inside a transaction. */
enum db_result keys_purge(struct db *db, int64_t now_ms, int64_t limit, int64_t *deleted);
struct key_listing {
    struct slice kid;
    struct slice state; /* next, active, retired */
    int64_t created_at_ms;
};
/* Newest first; returns how many, at most `max`; 0 also when the table cannot be read. */
size_t keys_list(struct store *store, struct arena *arena, struct key_listing *list, size_t max);
