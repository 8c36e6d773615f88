/* What token.c needs of a key ring. Private to auth/.
 *
 * A ring points to an immutable set of keys. Whoever needs a key takes the set (a lock held for one
 * increment), uses it as long as it likes, and releases it: a refresh swaps the pointer and waits for nobody.
 */
#pragma once

#include "auth/keys.h"
#include "auth/signing_key.h"
#include "auth/token_cache.h"

struct key_set;

struct key_set *key_ring_take(struct key_ring *ring);
void key_set_release(struct key_set *set);
/* NULL when the set has no such key (or, _active, none that signs). Good as long as the set is held. */
const struct signing_key *key_set_find(const struct key_set *set, struct slice kid);
const struct signing_key *key_set_active(const struct key_set *set);

struct token_cache *key_ring_tokens(struct key_ring *ring);
/* Rises whenever a key leaves the ring; read it before the set is taken. */
uint64_t key_ring_generation(struct key_ring *ring);
/* Whether the ring was read within KEYS_REFRESH_MS. */
bool key_ring_is_fresh(const struct key_ring *ring, int64_t now_ms);
/* Refreshes a ring older than KEYS_REFRESH_MS, unless another thread is at it. `db` may be NULL: then, and
 * only when the ring is five times as old, on a connection of its own (a node that only issues tokens must
 * notice a rotation too). */
void key_ring_refresh_when_old(struct key_ring *ring, struct db *db, int64_t now_ms);
