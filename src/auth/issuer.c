/* Tokens of an issuer: from the first byte to whose they are, remembered once they are verified. */
#include "auth/issuer_private.h"
#include "auth/signing_key.h"
#include "auth/token.h"

#include "base/check.h"
#include "base/metrics.h"

#include <stdlib.h>

#define HEADER_BYTES_MAX_IN_BASE64 2048

METRIC_DEFINE(VERIFIED, "souk_issuer_token_checks_total", "Access tokens of the identity provider checked",
              "result=\"verified\"", METRIC_COUNTER);
METRIC_DEFINE(REMEMBERED, "souk_issuer_token_checks_total", "Access tokens of the identity provider checked",
              "result=\"remembered\"", METRIC_COUNTER);
METRIC_DEFINE(REFUSED, "souk_issuer_token_checks_total", "Access tokens of the identity provider checked",
              "result=\"refused\"", METRIC_COUNTER);

struct issuer *issuer_open(const struct issuer_settings *settings)
{
    CHECK(settings->provider != AUTH_LOCAL && settings->timeout_ms > 0 && settings->interval_ms > 0);
    struct issuer *issuer = calloc(1, sizeof(*issuer));
    CHECK(issuer != NULL);
    issuer->settings = *settings;
    issuer->http = http_client_new(settings->ca_file);
    issuer->tokens = token_cache_new();
    if (issuer_keys_start(issuer))
        return issuer;
    http_client_free(issuer->http);
    token_cache_free(issuer->tokens);
    free(issuer);
    return NULL;
}

void issuer_close(struct issuer *issuer)
{
    if (issuer == NULL)
        return;
    issuer_keys_stop(issuer);
    http_client_free(issuer->http);
    token_cache_free(issuer->tokens);
    free(issuer);
}

const struct issuer_settings *issuer_settings_of(const struct issuer *issuer)
{
    return &issuer->settings;
}

/* ---- the header ---- */

struct header {
    struct slice alg;
    struct slice kid;
};

/* jwt and at+jwt, in any case and with "application/" before it (RFC 7515 section 4.1.9). */
static bool is_token_type(const json_t *value)
{
    struct slice type = {json_string_value(value), json_string_length(value)};
    const struct slice application = SLICE("application/");
    if (slice_is_absent(type))
        return false;
    if (type.len > application.len &&
        slice_equals_ignore_case((struct slice){type.ptr, application.len}, application))
        type = slice_skip(type, application.len);
    return slice_equals_ignore_case(type, SLICE("JWT")) || slice_equals_ignore_case(type, SLICE("at+jwt"));
}

/* Only alg, kid, typ, and the two thumbprints that some issuers add and that choose nothing here: so jwk,
 * jku, x5u, x5c, crit, b64, zip never get in. */
static bool header_take(json_t *json, struct arena *arena, struct header *header)
{
    const char *name;
    json_t *value;
    json_object_foreach(json, name, value)
    {
        if (strcmp(name, "typ") == 0
                ? !is_token_type(value)
                : !json_is_string(value) || (strcmp(name, "alg") != 0 && strcmp(name, "kid") != 0 &&
                                             strcmp(name, "x5t") != 0 && strcmp(name, "x5t#S256") != 0))
            return false;
    }
    header->alg = arena_copy(arena, jwt_string(json, "alg"));
    header->kid = arena_copy(arena, jwt_string(json, "kid"));
    return (slice_is(header->alg, "RS256") || slice_is(header->alg, "ES256")) && header->kid.len > 0 &&
           header->kid.len <= JWK_KID_BYTES_MAX;
}

static bool header_read(struct arena *arena, struct slice part, struct header *header)
{
    if (part.len > HEADER_BYTES_MAX_IN_BASE64)
        return false;
    json_t *json = jwt_object(arena, part);
    bool is_good = json != NULL && header_take(json, arena, header);
    json_decref(json);
    return is_good;
}

/* ---- the token ---- */

static enum issuer_verdict token_read(struct issuer *issuer, struct arena *arena, struct slice token,
                                      int64_t now_ms, struct issued_token *issued)
{
    struct jwt_parts parts;
    struct header header;
    bool is_crowded;
    if (slice_is_absent(token) || token.len > TOKEN_BYTES_MAX || !jwt_split(token, &parts) ||
        !header_read(arena, parts.header, &header))
        return ISSUER_BAD;
    struct slice signature = base64url_decode(arena, parts.signature);
    struct slice claims = base64url_decode(arena, parts.payload);
    if (slice_is_absent(signature) || slice_is_absent(claims))
        return ISSUER_BAD;
    struct jwk_set *keys = issuer_keys_for(issuer, header.kid, &issued->generation, &is_crowded);
    const struct jwk *key = keys != NULL ? jwk_set_find(keys, header.kid) : NULL;
    bool is_signed = key != NULL && jwk_verify(key, header.alg, parts.signed_input, signature);
    bool is_undecided = keys == NULL || (key == NULL && is_crowded);
    jwk_set_release(keys);
    if (is_undecided)
        return ISSUER_AWAY;
    return is_signed && issuer_claims_check(&issuer->settings, arena, claims, now_ms, issued) ? ISSUER_GOOD
                                                                                              : ISSUER_BAD;
}

enum issuer_verdict issuer_verify(struct issuer *issuer, struct arena *arena, struct slice token,
                                  int64_t now_ms, struct issued_token *issued)
{
    *issued = (struct issued_token){.text = token};
    enum issuer_verdict verdict = token_read(issuer, arena, token, now_ms, issued);
    metric_add(verdict == ISSUER_GOOD ? &VERIFIED : &REFUSED, 1);
    return verdict;
}

/* ---- remembering ---- */

static uint64_t generation_of(struct issuer *issuer)
{
    pthread_mutex_lock(&issuer->lock);
    uint64_t generation = issuer->generation;
    pthread_mutex_unlock(&issuer->lock);
    return generation;
}

bool issuer_recall(struct issuer *issuer, struct slice token, int64_t now_ms, struct principal *principal)
{
    struct verified_token verified;
    uint8_t digest[SHA256_LEN];
    if (token.len > TOKEN_BYTES_MAX || !token_digest(token, digest) ||
        !token_cache_get(issuer->tokens, digest, generation_of(issuer), &verified) ||
        now_ms < verified.not_before_ms || now_ms >= verified.expires_at_ms)
        return false;
    *principal = verified.principal;
    metric_add(&REMEMBERED, 1);
    return true;
}

void issuer_remember(struct issuer *issuer, const struct issued_token *issued,
                     const struct principal *principal)
{
    uint8_t digest[SHA256_LEN];
    const struct verified_token verified = {.principal = *principal,
                                            .not_before_ms = issued->not_before_ms,
                                            .expires_at_ms = issued->expires_at_ms};
    if (token_digest(issued->text, digest))
        token_cache_put(issuer->tokens, digest, issued->generation, &verified);
}
