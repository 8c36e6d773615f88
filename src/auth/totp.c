/* One-time passwords: see totp.h. */
#include "auth/totp.h"

#include "base/crypto.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define SHA1_LEN 20

bool totp_code(struct slice secret, int64_t step, char code[6])
{
    uint8_t counter[8], mac[SHA1_LEN];
    unsigned len = sizeof(mac);
    for (int i = 0; i < 8; i++)
        counter[i] = (uint8_t)((uint64_t)step >> (8 * (7 - i)));
    if (HMAC(EVP_sha1(), secret.ptr, (int)secret.len, counter, sizeof(counter), mac, &len) == NULL ||
        len != SHA1_LEN)
        return false;
    /* Dynamic truncation (RFC 4226, 5.3). */
    const uint8_t *at = mac + (mac[SHA1_LEN - 1] & 0x0f);
    uint32_t number =
        ((uint32_t)(at[0] & 0x7f) << 24) | ((uint32_t)at[1] << 16) | ((uint32_t)at[2] << 8) | at[3];
    for (int i = 5; i >= 0; i--, number /= 10)
        code[i] = (char)('0' + number % 10);
    return true;
}

int64_t totp_check(struct slice secret, struct slice code, int64_t now_ms, int64_t last_step)
{
    int64_t now_step = now_ms / TOTP_STEP_MS;
    int64_t found = 0;
    for (int64_t step = now_step - TOTP_DRIFT_STEPS; step <= now_step + TOTP_DRIFT_STEPS; step++) {
        char good[6];
        bool is_it = totp_code(secret, step, good) &&
                     bytes_equal_constant_time(code, (struct slice){good, sizeof(good)});
        if (is_it && step > last_step)
            found = step;
    }
    return found;
}

struct slice base32_encode(struct arena *arena, struct slice bytes)
{
    static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    size_t len = (bytes.len * 8 + 4) / 5;
    char *text = arena_alloc(arena, len + 1);
    for (size_t i = 0; i < len; i++) {
        size_t bit = i * 5;
        unsigned pair = (unsigned)(uint8_t)bytes.ptr[bit / 8] << 8;
        if (bit / 8 + 1 < bytes.len)
            pair |= (uint8_t)bytes.ptr[bit / 8 + 1];
        text[i] = ALPHABET[(pair >> (11 - bit % 8)) & 31];
    }
    text[len] = '\0';
    return (struct slice){text, len};
}
