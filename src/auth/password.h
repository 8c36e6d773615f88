/* Passwords: argon2id (RFC 9106) through libsodium. Slow on purpose (about 24 ms of a core): only on the
 * password pool. */
#pragma once

#include "base/arena.h"

#define PASSWORD_LENGTH_MIN 8
#define PASSWORD_BYTES_MAX 1024

/* The encoded hash ("$argon2id$..."), or absent when memory ran out or the password is longer than
 * PASSWORD_BYTES_MAX. The shortest length is the caller's to check: it is a rule for new passwords, counted
 * in characters. */
struct slice password_hash(struct arena *arena, struct slice password);
/* Constant time in the password. An absent or unusable hash takes as long as a real one and is false. A
 * password longer than PASSWORD_BYTES_MAX is false at once: only the asker's own length shows. */
bool password_verify(struct slice hash, struct slice password);
/* Whether a good hash was made with other parameters than today's: hash the password again at the next
 * log-in. */
bool password_needs_rehash(struct slice hash);
