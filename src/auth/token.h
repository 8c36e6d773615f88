/* Access tokens: JWT (RFC 7519, RFC 9068), RS256 with a kid, 15 minutes. They travel only as bearer. */
#pragma once

#include "auth/keys.h"
#include "auth/principal.h"

/* A longer one is refused unread. */
#define TOKEN_BYTES_MAX 8192
/* As SOUK_ACCESS_TOKEN_SECONDS at most; retired keys are kept a little longer (keys.h). */
#define TOKEN_LIFETIME_SECONDS_MAX (24 * 3600)
/* How far another node's clock may run ahead of ours. */
#define TOKEN_CLOCK_SKEW_MS 30000

/* Signs a token for a user (about 300 us of a core). A longer lifetime than the bound is cut to it. Times in
 * a token are whole seconds. Absent when signing failed. */
struct slice token_issue(struct key_ring *ring, struct arena *arena, const struct principal *principal,
                         int64_t now_ms, int64_t lifetime_seconds);

enum token_verdict { TOKEN_GOOD, TOKEN_BAD, TOKEN_EXPIRED };

/* Checks form, alg (RS256 only), kid, typ, signature, iss, aud, exp, nbf and claims by allow-list. An unknown
 * header parameter is refused; an unknown claim is ignored, as RFC 7519 asks (a newer version may add some).
 * `db` is used to look for a key that another node made; NULL: only the keys that are known. Verified tokens
 * are remembered until they expire, bounded: the first look costs about 25 us, the next ones under 1 us.
 * Whether the session still stands is session_check's question, every time. */
enum token_verdict token_verify(struct key_ring *ring, struct db *db, struct arena *arena, struct slice token,
                                int64_t now_ms, struct principal *principal);
/* Whose the token is, when it was verified before and is remembered, and the keys were looked at lately; asks
 * nobody, waits for nobody. False says nothing about the token. */
bool token_recall(struct key_ring *ring, struct slice token, int64_t now_ms, struct principal *principal);
