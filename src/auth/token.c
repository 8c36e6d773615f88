/* Access tokens: writing, and reading by allow-list. Nothing in a token is believed before its signature was
 * checked but the three header parameters that we ourselves write, and those only as far as they choose one
 * of our own keys. */
#include "auth/token.h"

#include "auth/jwt.h"
#include "auth/keys_private.h"

#include "base/check.h"
#include "base/metrics.h"

#include <inttypes.h>

#define ISSUER "souk"
#define AUDIENCE "souk-api"

METRIC_DEFINE(VERIFIED, "souk_token_checks_total", "Access tokens checked", "result=\"verified\"",
              METRIC_COUNTER);
METRIC_DEFINE(REMEMBERED, "souk_token_checks_total", "Access tokens checked", "result=\"remembered\"",
              METRIC_COUNTER);
METRIC_DEFINE(REFUSED, "souk_token_checks_total", "Access tokens checked", "result=\"refused\"",
              METRIC_COUNTER);

/* ---- writing ---- */

/* Nothing here needs an escape. (base/json_writer.h and jansson.h, which reads below, cannot stand in one
 * file: both have a json_string.) */
static void claims_write(struct buf *out, const struct principal *principal, int64_t now_s,
                         int64_t lifetime_seconds)
{
    char user[UUID_TEXT_LEN], session[UUID_TEXT_LEN], token[UUID_TEXT_LEN];
    uuid_format(principal->user_id, user);
    uuid_format(principal->session_id, session);
    uuid_format(uuid_v4(), token);
    buf_format(out,
               "{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
               "\",\"sub\":\"%.*s\",\"sid\":\"%.*s\",\"role\":\"%s\",",
               UUID_TEXT_LEN, user, UUID_TEXT_LEN, session, role_name(principal->role));
    buf_format(out, "\"iat\":%" PRId64 ",\"nbf\":%" PRId64 ",\"exp\":%" PRId64 ",\"jti\":\"%.*s\"}", now_s,
               now_s, now_s + lifetime_seconds, UUID_TEXT_LEN, token);
}

struct slice token_issue(struct key_ring *ring, struct arena *arena, const struct principal *principal,
                         int64_t now_ms, int64_t lifetime_seconds)
{
    struct buf claims, token;
    uint8_t signature[RSA_BYTES];
    CHECK(principal_is_user(principal) && lifetime_seconds > 0);
    if (lifetime_seconds > TOKEN_LIFETIME_SECONDS_MAX)
        lifetime_seconds = TOKEN_LIFETIME_SECONDS_MAX;
    key_ring_refresh_when_old(ring, NULL, now_ms);
    buf_init(&claims, arena);
    claims_write(&claims, principal, now_ms / 1000, lifetime_seconds);
    struct key_set *set = key_ring_take(ring);
    const struct signing_key *key = key_set_active(set);
    bool done = false;
    if (key != NULL && !claims.overflow) {
        buf_init(&token, arena);
        buf_append(&token, signing_key_header(key));
        buf_append_char(&token, '.');
        buf_append(&token, base64url_encode(arena, buf_slice(&claims)));
        done = !token.overflow && signing_key_sign(key, buf_slice(&token), signature);
    }
    key_set_release(set);
    if (!done)
        return SLICE_ABSENT;
    buf_append_char(&token, '.');
    buf_append(&token, base64url_encode(arena, (struct slice){(const char *)signature, sizeof(signature)}));
    return token.overflow ? SLICE_ABSENT : buf_slice(&token);
}

/* ---- reading ---- */

static bool member_uuid(const json_t *object, const char *name, struct uuid *id)
{
    struct slice text = jwt_string(object, name);
    return !slice_is_absent(text) && uuid_parse(text, id) && !uuid_is_nil(*id);
}

/* The kid of a header that has our three parameters and nothing else: so jwk, jku, x5u, x5c, crit, zip never
 * get in. */
static bool header_kid(struct arena *arena, struct slice part, char kid[KID_LEN])
{
    if (part.len > TOKEN_HEADER_LEN_MAX)
        return false;
    json_t *header = jwt_object(arena, part);
    struct slice text = jwt_string(header, "kid");
    bool good = header != NULL && json_object_size(header) == 3 && jwt_string_is(header, "alg", "RS256") &&
                jwt_string_is(header, "typ", "at+jwt") && text.len == KID_LEN;
    if (good)
        memcpy(kid, text.ptr, KID_LEN);
    json_decref(header);
    return good;
}

static bool claims_read(const json_t *claims, struct verified_token *verified)
{
    struct jwt_life life;
    struct principal *principal = &verified->principal;
    struct uuid token_id;
    *principal = (struct principal){.kind = PRINCIPAL_USER};
    if (!jwt_string_is(claims, "iss", ISSUER) || !jwt_string_is(claims, "aud", AUDIENCE) ||
        !member_uuid(claims, "sub", &principal->user_id) ||
        !member_uuid(claims, "sid", &principal->session_id) || !member_uuid(claims, "jti", &token_id) ||
        !role_parse(jwt_string(claims, "role"), &principal->role) ||
        !jwt_life_read(claims, TOKEN_LIFETIME_SECONDS_MAX, &life))
        return false;
    verified->not_before_ms = life.not_before_s * 1000 - TOKEN_CLOCK_SKEW_MS;
    verified->expires_at_ms = life.expires_s * 1000;
    return true;
}

/* The signature, by the key that the header names; a kid that we do not know is looked for in the table once.
 */
static bool signature_check(struct key_ring *ring, struct db *db, struct slice kid,
                            const struct jwt_parts *parts, struct slice signature, int64_t now_ms)
{
    struct key_set *set = key_ring_take(ring);
    const struct signing_key *key = key_set_find(set, kid);
    if (key == NULL && db != NULL) {
        key_set_release(set);
        key_ring_refresh(ring, db, now_ms);
        set = key_ring_take(ring);
        key = key_set_find(set, kid);
    }
    bool good = key != NULL && signing_key_verify(key, parts->signed_input, signature);
    key_set_release(set);
    return good;
}

/* All of it, for a token that is not remembered. */
static bool token_read(struct key_ring *ring, struct db *db, struct arena *arena, struct slice token,
                       int64_t now_ms, struct verified_token *verified)
{
    struct jwt_parts parts;
    char kid[KID_LEN];
    if (!jwt_split(token, &parts) || parts.signature.len != BASE64URL_LEN(RSA_BYTES) ||
        !header_kid(arena, parts.header, kid))
        return false;
    struct slice signature = base64url_decode(arena, parts.signature);
    if (slice_is_absent(signature) ||
        !signature_check(ring, db, (struct slice){kid, KID_LEN}, &parts, signature, now_ms))
        return false;
    json_t *claims = jwt_object(arena, parts.payload);
    bool good = claims != NULL && claims_read(claims, verified);
    json_decref(claims);
    return good;
}

bool token_recall(struct key_ring *ring, struct slice token, int64_t now_ms, struct principal *principal)
{
    struct verified_token verified;
    uint8_t digest[SHA256_LEN];
    uint64_t generation = key_ring_generation(ring);
    if (!key_ring_is_fresh(ring, now_ms) || token.len > TOKEN_BYTES_MAX || !token_digest(token, digest) ||
        !token_cache_get(key_ring_tokens(ring), digest, generation, &verified) ||
        now_ms < verified.not_before_ms || now_ms >= verified.expires_at_ms)
        return false;
    metric_add(&REMEMBERED, 1);
    *principal = verified.principal;
    return true;
}

enum token_verdict token_verify(struct key_ring *ring, struct db *db, struct arena *arena, struct slice token,
                                int64_t now_ms, struct principal *principal)
{
    struct verified_token verified;
    uint8_t digest[SHA256_LEN];
    if (db != NULL)
        key_ring_refresh_when_old(ring, db, now_ms);
    /* Before the set of keys is taken: what an old set verified must not be remembered under a newer
     * generation. */
    uint64_t generation = key_ring_generation(ring);
    if (slice_is_absent(token) || token.len > TOKEN_BYTES_MAX || !token_digest(token, digest)) {
        metric_add(&REFUSED, 1);
        return TOKEN_BAD;
    }
    bool remembered = token_cache_get(key_ring_tokens(ring), digest, generation, &verified);
    if (!remembered && !token_read(ring, db, arena, token, now_ms, &verified)) {
        metric_add(&REFUSED, 1);
        return TOKEN_BAD;
    }
    bool expired = now_ms >= verified.expires_at_ms;
    if (expired || now_ms < verified.not_before_ms) {
        metric_add(&REFUSED, 1);
        return expired ? TOKEN_EXPIRED : TOKEN_BAD;
    }
    if (!remembered)
        token_cache_put(key_ring_tokens(ring), digest, generation, &verified);
    metric_add(remembered ? &REMEMBERED : &VERIFIED, 1);
    *principal = verified.principal;
    return TOKEN_GOOD;
}
