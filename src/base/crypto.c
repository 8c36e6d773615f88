/* Randomness, digests, encodings and sealed boxes: thin, checked calls of libsodium and xxHash. */
#include "base/crypto.h"

#include "base/check.h"

#include <pthread.h>
#include <sodium.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define RANDOM_POOL_BYTES 512

/* Asking the system costs more than 200 ns each time, and every id of an order asks twice. */
static _Thread_local struct {
    uint8_t bytes[RANDOM_POOL_BYTES];
    size_t left; /* unused bytes, at the end of `bytes` */
} random_pool;

/* Runs in the child of a fork, in the one thread that it has: parent and child must not draw the same
 * numbers. */
static void random_pool_forget(void)
{
    sodium_memzero(&random_pool, sizeof(random_pool));
}

void crypto_start(void)
{
    int started = sodium_init(); /* 0, or 1 when it already ran */
    CHECK(started >= 0);
    if (started == 0)
        CHECK(pthread_atfork(NULL, NULL, random_pool_forget) == 0);
}

void random_fill(void *bytes, size_t len)
{
    randombytes_buf(bytes, len);
}

uint64_t random_u64(void)
{
    uint64_t value;
    if (random_pool.left < sizeof(value)) {
        random_fill(random_pool.bytes, sizeof(random_pool.bytes));
        random_pool.left = sizeof(random_pool.bytes);
    }
    uint8_t *at = random_pool.bytes + (sizeof(random_pool.bytes) - random_pool.left);
    memcpy(&value, at, sizeof(value));
    sodium_memzero(at, sizeof(value)); /* ids that are keys must not linger here */
    random_pool.left -= sizeof(value);
    return value;
}

static const unsigned char *bytes_of(struct slice data)
{
    return (const unsigned char *)(data.ptr ? data.ptr : "");
}

void sha256(struct slice data, uint8_t digest[SHA256_LEN])
{
    _Static_assert(SHA256_LEN == crypto_hash_sha256_BYTES, "the same length");
    crypto_hash_sha256(digest, bytes_of(data), data.len);
}

void hmac_sha256(struct slice key, struct slice data, uint8_t mac[SHA256_LEN])
{
    _Static_assert(SHA256_LEN == crypto_auth_hmacsha256_BYTES, "the same length");
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, bytes_of(key), key.len);
    crypto_auth_hmacsha256_update(&state, bytes_of(data), data.len);
    crypto_auth_hmacsha256_final(&state, mac);
    sodium_memzero(&state, sizeof(state));
}

bool bytes_equal_constant_time(struct slice a, struct slice b)
{
    return a.len == b.len && sodium_memcmp(bytes_of(a), bytes_of(b), a.len) == 0;
}

static struct slice encode(struct arena *arena, struct slice bytes, int variant)
{
    size_t size = sodium_base64_encoded_len(bytes.len, variant);
    char *text = arena_alloc(arena, size);
    CHECK(sodium_bin2base64(text, size, bytes_of(bytes), bytes.len, variant) != NULL);
    return (struct slice){text, size - 1};
}

struct slice base64_encode(struct arena *arena, struct slice bytes)
{
    return encode(arena, bytes, sodium_base64_VARIANT_ORIGINAL);
}

struct slice base64url_encode(struct arena *arena, struct slice bytes)
{
    return encode(arena, bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

/* libsodium's decoder lets some bytes of 0x80 and above through (1.0.18). */
static bool is_base64url(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
              c == '_'))
            return false;
    }
    return true;
}

struct slice base64url_decode(struct arena *arena, struct slice text)
{
    const int variant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
    if (slice_is_absent(text) || !is_base64url(text))
        return SLICE_ABSENT;
    size_t size = text.len / 4 * 3 + 3;
    unsigned char *bytes = arena_try_alloc(arena, size);
    if (bytes == NULL)
        return SLICE_ABSENT;
    size_t len = 0;
    /* Without an end pointer anything that is left over makes it fail; so do unused bits that are not zero.
     */
    if (sodium_base642bin(bytes, size, text.ptr, text.len, NULL, &len, NULL, variant) != 0)
        return SLICE_ABSENT;
    return (struct slice){(const char *)bytes, len};
}

void hex_encode(const void *bytes, size_t len, char *text)
{
    static const char DIGITS[] = "0123456789abcdef";
    const uint8_t *byte = bytes;
    for (size_t i = 0; i < len; i++) {
        text[2 * i] = DIGITS[byte[i] >> 4];
        text[2 * i + 1] = DIGITS[byte[i] & 15];
    }
}

int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

uint64_t hash64(struct slice data)
{
    return XXH3_64bits(bytes_of(data), data.len);
}

struct slice secret_seal(struct arena *arena, const uint8_t key[32], struct slice plain)
{
    enum {
        NONCE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
        TAG = crypto_aead_xchacha20poly1305_ietf_ABYTES
    };
    _Static_assert(NONCE + TAG == SECRET_OVERHEAD, "as the header says");
    _Static_assert(crypto_aead_xchacha20poly1305_ietf_KEYBYTES == 32, "as the header says");
    unsigned char *sealed = arena_alloc(arena, NONCE + plain.len + TAG);
    unsigned long long len = 0;
    random_fill(sealed, NONCE);
    CHECK(crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + NONCE, &len, bytes_of(plain), plain.len, NULL,
                                                     0, NULL, sealed, key) == 0);
    return (struct slice){(const char *)sealed, NONCE + (size_t)len};
}

struct slice secret_open(struct arena *arena, const uint8_t key[32], struct slice sealed)
{
    const size_t nonce = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
    if (slice_is_absent(sealed) || sealed.len < SECRET_OVERHEAD)
        return SLICE_ABSENT;
    unsigned char *plain = arena_try_alloc(arena, sealed.len - SECRET_OVERHEAD + 1);
    if (plain == NULL)
        return SLICE_ABSENT;
    unsigned long long len = 0;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(plain, &len, NULL, bytes_of(sealed) + nonce,
                                                   sealed.len - nonce, NULL, 0, bytes_of(sealed), key) != 0)
        return SLICE_ABSENT;
    plain[len] = '\0';
    return (struct slice){(const char *)plain, (size_t)len};
}
