/* One RSA key: making, sealing, its names (kid, JWK), signing and verifying. */
#include "auth/signing_key.h"

#include "base/check.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define EXPONENT_BYTES_MAX 8
/* The first byte under the seal says what follows it. */
#define SEALED_PRIVATE 'S'
#define SEALED_PUBLIC 'P'

struct signing_key {
    _Atomic int shares;
    EVP_PKEY *pkey;
    EVP_PKEY_CTX *verifier;
    EVP_PKEY_CTX *signer; /* NULL: only the public part is known */
    char kid[KID_LEN + 1];
    char modulus[BASE64URL_LEN(RSA_BYTES) + 1];
    char exponent[BASE64URL_LEN(EXPONENT_BYTES_MAX) + 1];
    char header[TOKEN_HEADER_LEN_MAX + 1];
};

static EVP_MD *sha256_fetched; /* for the life of the process */

static void sha256_fetch(void)
{
    sha256_fetched = EVP_MD_fetch(NULL, "SHA256", NULL);
    CHECK(sha256_fetched != NULL);
}

bool token_digest(struct slice data, uint8_t digest[SHA256_LEN])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, sha256_fetch);
    return EVP_Digest(data.ptr, data.len, digest, NULL, sha256_fetched, NULL) == 1;
}

/* Copies base64url of a number, without leading zero bytes, into `text` of `size`. */
static bool number_encode(const EVP_PKEY *pkey, const char *name, size_t bytes_max, char *text, size_t size,
                          struct arena *arena)
{
    BIGNUM *number = NULL;
    unsigned char bytes[RSA_BYTES];
    bool done = false;
    if (EVP_PKEY_get_bn_param(pkey, name, &number) == 1 && BN_num_bytes(number) <= (int)bytes_max) {
        int len = BN_bn2bin(number, bytes);
        struct slice encoded = base64url_encode(arena, (struct slice){(const char *)bytes, (size_t)len});
        CHECK(encoded.len < size);
        memcpy(text, encoded.ptr, encoded.len);
        text[encoded.len] = '\0';
        done = true;
    }
    BN_free(number);
    return done;
}

/* The key's texts. The thumbprint hashes the required members in alphabetical order without white space (RFC
 * 7638). */
static bool names_make(struct signing_key *key, struct arena *arena)
{
    uint8_t digest[SHA256_LEN];
    if (!number_encode(key->pkey, OSSL_PKEY_PARAM_RSA_N, RSA_BYTES, key->modulus, sizeof(key->modulus),
                       arena) ||
        !number_encode(key->pkey, OSSL_PKEY_PARAM_RSA_E, EXPONENT_BYTES_MAX, key->exponent,
                       sizeof(key->exponent), arena))
        return false;
    sha256(arena_format(arena, "{\"e\":\"%s\",\"kty\":\"RSA\",\"n\":\"%s\"}", key->exponent, key->modulus),
           digest);
    struct slice kid = base64url_encode(arena, (struct slice){(const char *)digest, sizeof(digest)});
    CHECK(kid.len == KID_LEN);
    memcpy(key->kid, kid.ptr, KID_LEN);
    struct slice header = base64url_encode(
        arena, arena_format(arena, "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"%s\"}", key->kid));
    CHECK(header.len <= TOKEN_HEADER_LEN_MAX);
    memcpy(key->header, header.ptr, header.len);
    return true;
}

static EVP_PKEY_CTX *context_make(EVP_PKEY *pkey, int (*start)(EVP_PKEY_CTX *))
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(pkey, NULL);
    if (context != NULL && start(context) == 1 &&
        EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1 &&
        EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) == 1)
        return context;
    EVP_PKEY_CTX_free(context);
    return NULL;
}

/* Takes `pkey` over; NULL when it is no RSA key of 2048 bits. */
static struct signing_key *key_make(EVP_PKEY *pkey, bool has_private)
{
    struct signing_key *key = calloc(1, sizeof(*key));
    struct arena scratch;
    CHECK(key != NULL && arena_init(&scratch, 64 << 10));
    atomic_init(&key->shares, 1);
    key->pkey = pkey;
    bool done = pkey != NULL && EVP_PKEY_is_a(pkey, "RSA") == 1 && EVP_PKEY_get_bits(pkey) == RSA_BYTES * 8 &&
                names_make(key, &scratch) &&
                (key->verifier = context_make(pkey, EVP_PKEY_verify_init)) != NULL &&
                (!has_private || (key->signer = context_make(pkey, EVP_PKEY_sign_init)) != NULL);
    arena_release(&scratch);
    if (done)
        return key;
    ERR_clear_error();
    signing_key_release(key);
    return NULL;
}

struct signing_key *signing_key_generate(void)
{
    return key_make(EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)RSA_BYTES * 8), true);
}

struct signing_key *signing_key_open(struct arena *arena, const uint8_t seal_key[32], struct slice sealed)
{
    struct slice plain = secret_open(arena, seal_key, sealed);
    if (slice_is_absent(plain) || plain.len < 2)
        return NULL;
    const unsigned char *der = (const unsigned char *)plain.ptr + 1;
    bool has_private = plain.ptr[0] == SEALED_PRIVATE;
    EVP_PKEY *pkey = has_private ? d2i_AutoPrivateKey(NULL, &der, (long)plain.len - 1)
                                 : d2i_PUBKEY(NULL, &der, (long)plain.len - 1);
    OPENSSL_cleanse((char *)(uintptr_t)plain.ptr, plain.len);
    return key_make(pkey, has_private);
}

struct slice signing_key_seal(const struct signing_key *key, struct arena *arena, const uint8_t seal_key[32],
                              bool with_private)
{
    CHECK(!with_private || key->signer != NULL);
    unsigned char *der = NULL;
    int len = with_private ? i2d_PrivateKey(key->pkey, &der) : i2d_PUBKEY(key->pkey, &der);
    if (len <= 0)
        return SLICE_ABSENT;
    char *plain = arena_alloc(arena, (size_t)len + 1);
    plain[0] = with_private ? SEALED_PRIVATE : SEALED_PUBLIC;
    memcpy(plain + 1, der, (size_t)len);
    struct slice sealed = secret_seal(arena, seal_key, (struct slice){plain, (size_t)len + 1});
    OPENSSL_cleanse(plain, (size_t)len + 1);
    OPENSSL_clear_free(der, (size_t)len);
    return sealed;
}

struct signing_key *signing_key_share(struct signing_key *key)
{
    atomic_fetch_add_explicit(&key->shares, 1, memory_order_relaxed);
    return key;
}

void signing_key_release(struct signing_key *key)
{
    if (key == NULL || atomic_fetch_sub_explicit(&key->shares, 1, memory_order_acq_rel) != 1)
        return;
    EVP_PKEY_CTX_free(key->signer);
    EVP_PKEY_CTX_free(key->verifier);
    EVP_PKEY_free(key->pkey);
    free(key);
}

struct slice signing_key_kid(const struct signing_key *key)
{
    return (struct slice){key->kid, KID_LEN};
}

struct slice signing_key_header(const struct signing_key *key)
{
    return slice_from(key->header);
}

void signing_key_write_jwk(const struct signing_key *key, struct buf *out)
{
    /* Nothing here needs an escape: all is base64url. */
    buf_format(out,
               "{\"kty\":\"RSA\",\"use\":\"sig\",\"alg\":\"RS256\",\"kid\":\"%s\",\"n\":\"%s\",\"e\":\"%s\"}",
               key->kid, key->modulus, key->exponent);
}

bool signing_key_sign(const struct signing_key *key, struct slice input, uint8_t signature[RSA_BYTES])
{
    uint8_t digest[SHA256_LEN];
    size_t len = RSA_BYTES;
    if (key->signer == NULL || !token_digest(input, digest))
        return false;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_dup(key->signer);
    bool done = context != NULL && EVP_PKEY_sign(context, signature, &len, digest, sizeof(digest)) == 1;
    EVP_PKEY_CTX_free(context);
    ERR_clear_error();
    return done && len == RSA_BYTES;
}

bool signing_key_verify(const struct signing_key *key, struct slice input, struct slice signature)
{
    uint8_t digest[SHA256_LEN];
    if (signature.len != RSA_BYTES || !token_digest(input, digest))
        return false;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_dup(key->verifier);
    bool good = context != NULL && EVP_PKEY_verify(context, (const unsigned char *)signature.ptr,
                                                   signature.len, digest, sizeof(digest)) == 1;
    EVP_PKEY_CTX_free(context);
    ERR_clear_error(); /* a forged signature leaves its complaint in this thread's queue */
    return good;
}
