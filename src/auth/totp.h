/* Time-based one-time passwords (RFC 6238 over RFC 4226): SHA-1, six digits, steps of 30 seconds from 1970
 * on; what every authenticator understands. */
#pragma once

#include "base/arena.h"

#define TOTP_SECRET_BYTES 20 /* as long as the hash (RFC 4226, 4) */
#define TOTP_STEP_MS 30000
#define TOTP_DRIFT_STEPS 1 /* how far the other clock may be off, each way */

/* The code of one step: six digits. False when OpenSSL fails. */
bool totp_code(struct slice secret, int64_t step, char code[6]);
/* The step whose code this is, within the drift of now and newer than `last_step` (each code is good once); 0
 * when it is none. Takes the same time whichever it is. */
int64_t totp_check(struct slice secret, struct slice code, int64_t now_ms, int64_t last_step);
/* RFC 4648 base 32 without padding, as authenticators want secrets. */
struct slice base32_encode(struct arena *arena, struct slice bytes);
