/* Makes access tokens of any content, rightly signed or not: what an attacker - or a mistake of ours - could
 * send. */
#pragma once

#include "auth/keys_private.h"
#include "auth/token.h"

#include "auth/fixture.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

/* OpenSSL's key from the public numbers of a JWK. */
static inline EVP_PKEY *forge_public(struct arena *arena, struct slice modulus, struct slice exponent)
{
    struct slice n = base64url_decode(arena, modulus), e = base64url_decode(arena, exponent);
    BIGNUM *number_n = BN_bin2bn((const unsigned char *)n.ptr, (int)n.len, NULL);
    BIGNUM *number_e = BN_bin2bn((const unsigned char *)e.ptr, (int)e.len, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *pkey = NULL;
    assert_true(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, number_n) &&
                OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, number_e));
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
    assert_int_equal(EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, params), 1);
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    BN_free(number_n);
    BN_free(number_e);
    return pkey;
}

/* header and payload are JSON (or not); signed by `key`. */
static inline struct slice forge(struct arena *arena, const struct signing_key *key, struct slice header,
                                 struct slice payload)
{
    uint8_t signature[RSA_BYTES];
    struct slice head = base64url_encode(arena, header), body = base64url_encode(arena, payload);
    struct slice input = arena_format(arena, "%.*s.%.*s", SLICE_ARG(head), SLICE_ARG(body));
    assert_true(signing_key_sign(key, input, signature));
    struct slice tail = base64url_encode(arena, (struct slice){(const char *)signature, sizeof(signature)});
    return arena_format(arena, "%.*s.%.*s", SLICE_ARG(input), SLICE_ARG(tail));
}

static inline struct slice forge_header(struct arena *arena, const struct signing_key *key)
{
    return arena_format(arena, "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"%.*s\"}",
                        SLICE_ARG(signing_key_kid(key)));
}

/* The claims of a good token. An edit replaces the value of one claim (NULL value: leaves the claim out) and
 * adds `extra` at the end. */
struct edit {
    const char *claim;
    const char *value;
    const char *extra;
};

#define FORGE_NOW_S INT64_C(1900000000)
#define FORGE_NOW_MS (FORGE_NOW_S * 1000)

static inline struct slice forge_claims(struct arena *arena, struct edit edit)
{
    static const struct {
        const char *name;
        const char *value;
    } claims[] = {
        {"iss", "\"souk\""},
        {"aud", "\"souk-api\""},
        {"sub", "\"0190163d-8694-739b-aea5-966c26f8ad90\""},
        {"sid", "\"0190163d-8694-739b-aea5-966c26f8ad91\""},
        {"role", "\"staff\""},
        {"iat", "1900000000"},
        {"nbf", "1900000000"},
        {"exp", "1900000900"},
        {"jti", "\"0190163d-8694-739b-aea5-966c26f8ad92\""},
    };
    struct buf out;
    bool first = true;
    buf_init(&out, arena);
    buf_append_char(&out, '{');
    for (size_t i = 0; i < COUNT_OF(claims); i++) {
        bool edited = edit.claim != NULL && strcmp(edit.claim, claims[i].name) == 0;
        if (edited && edit.value == NULL)
            continue;
        buf_format(&out, "%s\"%s\":%s", first ? "" : ",", claims[i].name,
                   edited ? edit.value : claims[i].value);
        first = false;
    }
    if (edit.extra != NULL)
        buf_format(&out, ",%s", edit.extra);
    buf_append_char(&out, '}');
    return buf_slice(&out);
}

static inline struct slice forge_good(struct arena *arena, const struct signing_key *key)
{
    static _Atomic int serial; /* each control token is another one, so that none is only remembered */
    struct slice extra = arena_format(arena, "\"serial\":%d", ++serial);
    return forge(arena, key, forge_header(arena, key),
                 forge_claims(arena, (struct edit){.extra = extra.ptr}));
}
