/* Small cryptographic helpers over libsodium and xxHash. Passwords and tokens are auth/'s business. */
#pragma once

#include "base/arena.h"

#define SHA256_LEN 32
#define BASE64URL_LEN(bytes) (((bytes)*4 + 2) / 3)

/* Must run once before any other function of this file and before any thread; aborts when the system has no
 * random source. */
void crypto_start(void);
void random_fill(void *bytes, size_t len);
/* From a pool of this thread (the system is asked once for many); what was handed out is wiped, a forked
 * child starts anew. */
uint64_t random_u64(void);
void sha256(struct slice data, uint8_t digest[SHA256_LEN]);
void hmac_sha256(struct slice key, struct slice data, uint8_t mac[SHA256_LEN]);
/* Takes the same time wherever they differ; false at once when the lengths do. */
bool bytes_equal_constant_time(struct slice a, struct slice b);
/* Standard, with padding (RFC 4648 section 4): what mail and AWS want. */
struct slice base64_encode(struct arena *arena, struct slice bytes);
/* Without padding (RFC 4648 section 5). */
struct slice base64url_encode(struct arena *arena, struct slice bytes);
/* Strict: no padding, no white space, canonical last character; absent when malformed. */
struct slice base64url_decode(struct arena *arena, struct slice text);
/* Two lower-case digits for each byte (RFC 4648 section 8): 2 * len characters, no NUL. */
void hex_encode(const void *bytes, size_t len, char *text);
/* What a hexadecimal digit of either case stands for; -1 when it is none. */
int hex_value(char digit);
/* XXH3, 64 bits: for hash tables and entity tags, never where somebody gains by a collision. */
uint64_t hash64(struct slice data);
/* Encrypts with XChaCha20-Poly1305 under a 32-byte key; the nonce is put in front. */
/* key, plain -> nonce, ciphertext, tag: SECRET_OVERHEAD bytes longer. */
#define SECRET_OVERHEAD 40
struct slice secret_seal(struct arena *arena, const uint8_t key[32], struct slice plain);
/* Absent when the key is wrong or the bytes were changed. */
struct slice secret_open(struct arena *arena, const uint8_t key[32], struct slice sealed);
