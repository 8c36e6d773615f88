/* One RSA key that signs or verifies access tokens (RS256). Private to auth/.
 *
 * OpenSSL's EVP does the arithmetic. Each key holds one prepared context for signing and one for verifying,
 * which a call only duplicates: looking an algorithm up by its name for every token costs more than a fifth
 * of a verification. Keys are immutable and counted, so that a ring can be swapped while another thread still
 * verifies with the old one. */
#pragma once

#include "base/buf.h"
#include "base/crypto.h"

#define KID_LEN 43    /* base64url of SHA-256: the key's thumbprint (RFC 7638) */
#define RSA_BYTES 256 /* RSA 2048: modulus and signature */
#define TOKEN_HEADER_LEN_MAX 160

struct signing_key;

/* A new key (takes 50 to 300 ms). NULL when OpenSSL fails. */
struct signing_key *signing_key_generate(void);
/* A key from what signing_key_seal made; NULL when the seal key is another or the bytes are none of ours. */
struct signing_key *signing_key_open(struct arena *arena, const uint8_t seal_key[32], struct slice sealed);
/* The key encrypted under `seal_key`. Without the private part for a key that only verifies from now on. */
struct slice signing_key_seal(const struct signing_key *key, struct arena *arena, const uint8_t seal_key[32],
                              bool with_private);
struct signing_key *signing_key_share(struct signing_key *key);
/* Gives one share back; NULL is fine. */
void signing_key_release(struct signing_key *key);

struct slice signing_key_kid(const struct signing_key *key);
/* The JOSE header of its tokens, already in base64url. */
struct slice signing_key_header(const struct signing_key *key);
/* Its public part as a JWK (RFC 7517). */
void signing_key_write_jwk(const struct signing_key *key, struct buf *out);

/* RSASSA-PKCS1-v1_5 with SHA-256. False when only the public part is known, or OpenSSL fails. */
bool signing_key_sign(const struct signing_key *key, struct slice input, uint8_t signature[RSA_BYTES]);
bool signing_key_verify(const struct signing_key *key, struct slice input, struct slice signature);

/* SHA-256 through OpenSSL, which uses the processor's instructions for it (four times as fast as libsodium's
 * on a whole token). False when OpenSSL fails. */
bool token_digest(struct slice data, uint8_t digest[SHA256_LEN]);
