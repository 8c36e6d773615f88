/* JWK sets: reading, finding, verifying. OpenSSL does the arithmetic, on contexts that are prepared once a
 * key, as for our own keys (signing_key.c). */
#include "auth/jwks.h"

#include "auth/jwt.h"
#include "auth/signing_key.h"

#include "base/check.h"
#include "base/crypto.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <stdatomic.h>
#include <stdlib.h>

#define P256_BYTES 32
#define RSA_EXPONENT_BYTES_MAX 8
#define DER_SIGNATURE_BYTES_MAX 80 /* of two numbers of 32 bytes */

enum jwk_kind { JWK_RS256, JWK_ES256 };

struct jwk {
    char kid[JWK_KID_BYTES_MAX];
    size_t kid_len;
    enum jwk_kind kind;
    size_t signature_bytes;
    uint8_t digest[SHA256_LEN]; /* of its numbers */
    bool is_ambiguous;          /* another key has the same kid: neither counts */
    EVP_PKEY *pkey;
    EVP_PKEY_CTX *verifier;
};

struct jwk_set {
    _Atomic int shares;
    size_t count;
    struct jwk keys[JWKS_KEYS_MAX];
};

static struct slice kid_of(const struct jwk *key)
{
    return (struct slice){key->kid, key->kid_len};
}

/* ---- a key from its numbers ---- */

static EVP_PKEY *pkey_build(const char *type, OSSL_PARAM_BLD *build)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *pkey = NULL;
    CHECK(params != NULL && context != NULL);
    if (EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    return pkey;
}

static EVP_PKEY *rsa_make(struct slice n, struct slice e)
{
    BIGNUM *modulus = BN_bin2bn((const unsigned char *)n.ptr, (int)n.len, NULL);
    BIGNUM *exponent = BN_bin2bn((const unsigned char *)e.ptr, (int)e.len, NULL);
    EVP_PKEY *pkey = NULL;
    CHECK(modulus != NULL && exponent != NULL);
    /* An exponent of 1 makes every text its own signature. */
    bool is_sound = BN_num_bytes(modulus) == (int)n.len && n.len >= JWK_RSA_BYTES_MIN &&
                    BN_num_bits(modulus) >= JWK_RSA_BYTES_MIN * 8 && BN_is_odd(modulus) &&
                    BN_is_odd(exponent) && !BN_is_one(exponent);
    if (is_sound) {
        OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
        CHECK(build != NULL && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
              OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1);
        pkey = pkey_build("RSA", build);
        OSSL_PARAM_BLD_free(build);
    }
    BN_free(modulus);
    BN_free(exponent);
    return pkey;
}

static EVP_PKEY *p256_make(struct slice x, struct slice y)
{
    unsigned char point[1 + 2 * P256_BYTES] = {POINT_CONVERSION_UNCOMPRESSED};
    memcpy(point + 1, x.ptr, P256_BYTES);
    memcpy(point + 1 + P256_BYTES, y.ptr, P256_BYTES);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    CHECK(build != NULL &&
          OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
          OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)) == 1);
    EVP_PKEY *pkey = pkey_build("EC", build); /* NULL for a point that is not on the curve */
    OSSL_PARAM_BLD_free(build);
    return pkey;
}

static bool key_prepare(struct jwk *key)
{
    key->verifier = EVP_PKEY_CTX_new(key->pkey, NULL);
    return key->verifier != NULL && EVP_PKEY_verify_init(key->verifier) == 1 &&
           (key->kind == JWK_ES256 || EVP_PKEY_CTX_set_rsa_padding(key->verifier, RSA_PKCS1_PADDING) == 1) &&
           EVP_PKEY_CTX_set_signature_md(key->verifier, EVP_sha256()) == 1;
}

static void key_release(struct jwk *key)
{
    EVP_PKEY_CTX_free(key->verifier);
    EVP_PKEY_free(key->pkey);
}

/* ---- a key from its JWK ---- */

/* The bytes behind a member; absent when it is missing, no strict base64url, or empty. */
static struct slice member_bytes(struct arena *arena, const json_t *jwk, const char *name)
{
    struct slice text = jwt_string(jwk, name);
    struct slice bytes = slice_is_absent(text) ? SLICE_ABSENT : base64url_decode(arena, text);
    return bytes.len > 0 ? bytes : SLICE_ABSENT;
}

static void digest_numbers(struct arena *arena, struct jwk *key, struct slice a, struct slice b)
{
    struct slice both = arena_format(arena, "%d %zu ", (int)key->kind, a.len);
    char *bytes = arena_alloc(arena, both.len + a.len + b.len);
    memcpy(bytes, both.ptr, both.len);
    memcpy(bytes + both.len, a.ptr, a.len);
    memcpy(bytes + both.len + a.len, b.ptr, b.len);
    sha256((struct slice){bytes, both.len + a.len + b.len}, key->digest);
}

static bool rsa_read(struct arena *arena, const json_t *jwk, struct jwk *key)
{
    struct slice n = member_bytes(arena, jwk, "n"), e = member_bytes(arena, jwk, "e");
    if (slice_is_absent(n) || slice_is_absent(e) || n.len > JWK_RSA_BYTES_MAX ||
        e.len > RSA_EXPONENT_BYTES_MAX)
        return false;
    key->kind = JWK_RS256;
    key->signature_bytes = n.len;
    digest_numbers(arena, key, n, e);
    key->pkey = rsa_make(n, e);
    return key->pkey != NULL;
}

static bool ec_read(struct arena *arena, const json_t *jwk, struct jwk *key)
{
    struct slice x = member_bytes(arena, jwk, "x"), y = member_bytes(arena, jwk, "y");
    if (!jwt_string_is(jwk, "crv", "P-256") || x.len != P256_BYTES || y.len != P256_BYTES)
        return false;
    key->kind = JWK_ES256;
    key->signature_bytes = 2 * P256_BYTES;
    digest_numbers(arena, key, x, y);
    key->pkey = p256_make(x, y);
    return key->pkey != NULL;
}

/* A member that may be missing; when it is there it must be this. */
static bool is_absent_or(const json_t *jwk, const char *name, const char *wanted)
{
    return json_object_get(jwk, name) == NULL || jwt_string_is(jwk, name, wanted);
}

static bool may_verify(const json_t *jwk)
{
    const json_t *operations = json_object_get(jwk, "key_ops");
    bool is_listed = operations == NULL;
    for (size_t i = 0; i < json_array_size(operations) && !is_listed; i++) {
        const char *text = json_string_value(json_array_get(operations, i));
        is_listed = text != NULL && strcmp(text, "verify") == 0;
    }
    return is_listed && is_absent_or(jwk, "use", "sig") && json_object_get(jwk, "d") == NULL;
}

/* False for a key that we have no use for; then nothing of it is kept. */
static bool key_read(struct arena *arena, const json_t *jwk, struct jwk *key)
{
    struct slice kid = jwt_string(jwk, "kid");
    *key = (struct jwk){.kid_len = kid.len};
    if (kid.len == 0 || kid.len > JWK_KID_BYTES_MAX || !may_verify(jwk))
        return false;
    memcpy(key->kid, kid.ptr, kid.len);
    bool is_read = false;
    if (jwt_string_is(jwk, "kty", "RSA") && is_absent_or(jwk, "alg", "RS256"))
        is_read = rsa_read(arena, jwk, key);
    else if (jwt_string_is(jwk, "kty", "EC") && is_absent_or(jwk, "alg", "ES256"))
        is_read = ec_read(arena, jwk, key);
    if (is_read && key_prepare(key))
        return true;
    key_release(key);
    return false;
}

/* ---- sets ---- */

static struct jwk *find(const struct jwk_set *set, struct slice kid)
{
    for (size_t i = 0; i < set->count; i++) {
        if (slice_equals(kid_of(&set->keys[i]), kid))
            return (struct jwk *)(uintptr_t)&set->keys[i];
    }
    return NULL;
}

static void set_add(struct jwk_set *set, const struct jwk *key)
{
    struct jwk *known = find(set, kid_of(key));
    if (known == NULL) {
        set->keys[set->count++] = *key;
        return;
    }
    known->is_ambiguous = known->is_ambiguous || memcmp(known->digest, key->digest, sizeof(key->digest)) != 0;
    key_release((struct jwk *)(uintptr_t)key);
}

static bool has_usable(const struct jwk_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        if (!set->keys[i].is_ambiguous)
            return true;
    }
    return false;
}

struct jwk_set *jwk_set_parse(struct arena *arena, struct slice text, const char **why)
{
    *why = "it is no JWK set";
    if (slice_is_absent(text) || text.len > JWKS_BYTES_MAX)
        return NULL;
    json_t *json = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *keys = json_object_get(json, "keys");
    struct jwk_set *set = NULL;
    if (json_is_array(keys)) {
        set = calloc(1, sizeof(*set));
        CHECK(set != NULL);
        atomic_init(&set->shares, 1);
        for (size_t i = 0; i < json_array_size(keys) && set->count < JWKS_KEYS_MAX; i++) {
            struct jwk key;
            if (key_read(arena, json_array_get(keys, i), &key))
                set_add(set, &key);
        }
        if (!has_usable(set)) {
            *why = "it holds no key for RS256 or ES256";
            jwk_set_release(set);
            set = NULL;
        }
    }
    json_decref(json);
    ERR_clear_error();
    return set;
}

struct jwk_set *jwk_set_share(struct jwk_set *set)
{
    atomic_fetch_add_explicit(&set->shares, 1, memory_order_relaxed);
    return set;
}

void jwk_set_release(struct jwk_set *set)
{
    if (set == NULL || atomic_fetch_sub_explicit(&set->shares, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < set->count; i++)
        key_release(&set->keys[i]);
    free(set);
}

size_t jwk_set_count(const struct jwk_set *set)
{
    return set->count;
}

bool jwk_set_is_within(const struct jwk_set *set, const struct jwk_set *other)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct jwk *same = jwk_set_find(other, kid_of(&set->keys[i]));
        if (!set->keys[i].is_ambiguous &&
            (same == NULL || memcmp(same->digest, set->keys[i].digest, SHA256_LEN) != 0))
            return false;
    }
    return true;
}

const struct jwk *jwk_set_find(const struct jwk_set *set, struct slice kid)
{
    const struct jwk *key = find(set, kid);
    return key != NULL && !key->is_ambiguous ? key : NULL;
}

/* ---- verifying ---- */

/* OpenSSL wants the two numbers as DER. Returns its length; 0 when they are none. */
static int der_of(struct slice raw, unsigned char der[DER_SIGNATURE_BYTES_MAX])
{
    const unsigned char *bytes = (const unsigned char *)raw.ptr;
    BIGNUM *r = BN_bin2bn(bytes, P256_BYTES, NULL), *s = BN_bin2bn(bytes + P256_BYTES, P256_BYTES, NULL);
    ECDSA_SIG *signature = ECDSA_SIG_new();
    int len = 0;
    CHECK(r != NULL && s != NULL && signature != NULL);
    bool is_sound = !BN_is_zero(r) && !BN_is_zero(s);
    CHECK(ECDSA_SIG_set0(signature, r, s) == 1); /* owns them now */
    if (is_sound && i2d_ECDSA_SIG(signature, NULL) <= DER_SIGNATURE_BYTES_MAX)
        len = i2d_ECDSA_SIG(signature, &der);
    ECDSA_SIG_free(signature);
    return len;
}

bool jwk_verify(const struct jwk *key, struct slice alg, struct slice input, struct slice signature)
{
    uint8_t digest[SHA256_LEN];
    unsigned char der[DER_SIGNATURE_BYTES_MAX];
    const unsigned char *bytes = (const unsigned char *)signature.ptr;
    size_t len = signature.len;
    if (!slice_is(alg, key->kind == JWK_RS256 ? "RS256" : "ES256") || len != key->signature_bytes ||
        !token_digest(input, digest))
        return false;
    if (key->kind == JWK_ES256) {
        int der_len = der_of(signature, der);
        if (der_len <= 0)
            return false;
        bytes = der;
        len = (size_t)der_len;
    }
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_dup(key->verifier);
    bool good = context != NULL && EVP_PKEY_verify(context, bytes, len, digest, sizeof(digest)) == 1;
    EVP_PKEY_CTX_free(context);
    ERR_clear_error(); /* a forged signature leaves its complaint in this thread's queue */
    return good;
}
