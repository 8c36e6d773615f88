/* The public keys of another issuer: a JWK set (RFC 7517), and verifying with one of them. Two algorithms
 * only, each bound to its type of key: RS256 by RSA keys of 2048 to 8192 bits, ES256 by keys on P-256. What a
 * token says of its algorithm is held against the key, never the other way round. Private to auth/.
 *
 * A set is immutable and counted, so that it can be replaced while another thread still verifies with it. */
#pragma once

#include "base/arena.h"

#define JWKS_BYTES_MAX ((size_t)256 << 10)
#define JWKS_KEYS_MAX 64 /* that are kept; what follows them is not read */
#define JWK_KID_BYTES_MAX 255
#define JWK_RSA_BYTES_MIN 256
#define JWK_RSA_BYTES_MAX 1024

struct jwk;
struct jwk_set;

/* Reads a set. Keys that we have no use for (of other types or curves, for encrypting, too small, without a
 * kid, with a private part, under a kid that stands there twice) are passed over. NULL with *why when it is
 * no set or no key of use is left. Jansson reads at most 2048 levels. */
struct jwk_set *jwk_set_parse(struct arena *arena, struct slice text, const char **why);
struct jwk_set *jwk_set_share(struct jwk_set *set);
/* Gives one share back; NULL is fine. */
void jwk_set_release(struct jwk_set *set);
size_t jwk_set_count(const struct jwk_set *set);
/* Whether every key of `set` is in `other` too, unchanged. */
bool jwk_set_is_within(const struct jwk_set *set, const struct jwk_set *other);
/* Good as long as the set is held; NULL when it has no such key. */
const struct jwk *jwk_set_find(const struct jwk_set *set, struct slice kid);

/* Whether `signature` (raw, as in a JWS: of ES256 the two numbers, 32 bytes each) is the key's over `input`,
 * and `alg` is the one algorithm that this key is for. */
bool jwk_verify(const struct jwk *key, struct slice alg, struct slice input, struct slice signature);
