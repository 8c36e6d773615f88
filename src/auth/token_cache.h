/* Access tokens whose signature was checked, remembered until they expire. Private to auth/.
 *
 * Bounded: sets of four entries in one fixed table, under striped locks. Only tokens that we signed get in,
 * so nobody can flood it with forgeries. The key is SHA-256 of the whole token: any changed byte is another
 * token. */
#pragma once

#include "auth/principal.h"
#include "base/crypto.h"

struct token_cache;

/* What a verified token says. */
struct verified_token {
    struct principal principal;
    int64_t not_before_ms; /* clock skew already allowed for */
    int64_t expires_at_ms;
};

struct token_cache *token_cache_new(void);
void token_cache_free(struct token_cache *cache);
/* An entry counts only under the generation that it was put with: a key that leaves the ring starts a new
 * one, and all that it signed must be checked again. */
bool token_cache_get(struct token_cache *cache, const uint8_t digest[SHA256_LEN], uint64_t generation,
                     struct verified_token *verified);
void token_cache_put(struct token_cache *cache, const uint8_t digest[SHA256_LEN], uint64_t generation,
                     const struct verified_token *verified);
