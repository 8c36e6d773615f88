/* Passwords: hashing and verifying with argon2id (RFC 9106) through libsodium. */
#include "auth/password.h"

#include <sodium.h>

/* OWASP's first recommendation is 19 MiB and two passes on one lane. Memory is what an attacker's hardware
 * pays for and what our password pool multiplies by its threads, so it stays at 19 MiB; a third pass takes
 * the time to what the design gives a log-in, 22 ms of a core as measured (two passes 18 ms). libsodium
 * always uses one lane. Change DUMMY_HASH with these. */
#define PASSWORD_PASSES 3
#define PASSWORD_MEMORY_BYTES (UINT64_C(19456) * 1024)

/* Of 32 random bytes that nobody kept: verified when there is no usable hash, so that an unknown e-mail
 * address costs the asker the same wait as a wrong password. A literal, since making it at the first miss
 * would make that miss the slow one. */
static const char DUMMY_HASH[] = "$argon2id$v=19$m=19456,t=3,p=1$LYhnHNzAOdn7PMeec5I+fA"
                                 "$thOsuazkR6sEZq6ChDsuDTepfCxsCxqtigSzXl7jdCY";

struct slice password_hash(struct arena *arena, struct slice password)
{
    char *encoded = arena_alloc(arena, crypto_pwhash_STRBYTES);
    if (slice_is_absent(password) || password.len > PASSWORD_BYTES_MAX ||
        crypto_pwhash_str(encoded, password.ptr, password.len, PASSWORD_PASSES, PASSWORD_MEMORY_BYTES) != 0)
        return SLICE_ABSENT;
    return slice_from(encoded);
}

/* Whether the hash is argon2id that libsodium can read, at any cost; `encoded` gets it as it wants it, zeros
 * to the end. */
static bool hash_is_usable(struct slice hash, char encoded[crypto_pwhash_STRBYTES])
{
    memset(encoded, 0, crypto_pwhash_STRBYTES);
    if (slice_is_absent(hash) || hash.len >= crypto_pwhash_STRBYTES ||
        !slice_starts_with(hash, SLICE(crypto_pwhash_argon2id_STRPREFIX)))
        return false;
    memcpy(encoded, hash.ptr, hash.len);
    return crypto_pwhash_str_needs_rehash(encoded, PASSWORD_PASSES, PASSWORD_MEMORY_BYTES) >= 0;
}

bool password_verify(struct slice hash, struct slice password)
{
    char encoded[crypto_pwhash_STRBYTES];
    if (slice_is_absent(password) || password.len > PASSWORD_BYTES_MAX)
        return false;
    bool usable = hash_is_usable(hash, encoded);
    bool same = crypto_pwhash_str_verify(usable ? encoded : DUMMY_HASH, password.ptr, password.len) == 0;
    return usable && same;
}

bool password_needs_rehash(struct slice hash)
{
    char encoded[crypto_pwhash_STRBYTES];
    return hash_is_usable(hash, encoded) &&
           crypto_pwhash_str_needs_rehash(encoded, PASSWORD_PASSES, PASSWORD_MEMORY_BYTES) != 0;
}
