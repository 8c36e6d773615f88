/* The claims of an issuer's access token, by allow-list: what is not surely an access token of this issuer
 * for this shop is none. */
#include "auth/issuer_private.h"

#include "base/check.h"
#include "base/crypto.h"

#define EMAIL_BYTES_MAX 254
#define NAME_BYTES_MAX 100

/* ---- roles ---- */

static bool lists(const json_t *groups, struct slice wanted)
{
    if (json_is_string(groups))
        return slice_equals((struct slice){json_string_value(groups), json_string_length(groups)}, wanted);
    for (size_t i = 0; i < json_array_size(groups); i++) {
        const json_t *group = json_array_get(groups, i);
        if (json_is_string(group) &&
            slice_equals((struct slice){json_string_value(group), json_string_length(group)}, wanted))
            return true;
    }
    return false;
}

void issuer_role_read(const struct issuer_settings *settings, const json_t *claims,
                      struct issued_token *issued)
{
    struct slice rest = settings->role_map, group, role;
    const char *rule;
    const json_t *groups = json_object_getn(claims, settings->role_claim.ptr, settings->role_claim.len);
    issued->role = rest.len > 0 ? slice_from(role_name(ROLE_CUSTOMER)) : SLICE_ABSENT;
    while (issuer_role_map_next(&rest, &group, &role, &rule)) {
        if (rule == NULL && lists(groups, group)) {
            issued->role = role;
            return;
        }
    }
}

/* ---- who it is ---- */

static bool is_printable(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return false;
    }
    return true;
}

static struct slice take_text(const json_t *claims, const char *name, size_t bytes_max, struct arena *arena)
{
    struct slice text = jwt_string(claims, name);
    return text.len > 0 && text.len <= bytes_max && is_printable(text) ? arena_copy(arena, text)
                                                                       : SLICE_ABSENT;
}

/* Enough for a mail: one @ with something on both sides, nothing that an address list means something by. */
static bool is_address(struct slice text)
{
    size_t at_signs = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '@')
            at_signs++;
        else if (strchr(" <>,;:\"()[]\\", text.ptr[i]) != NULL)
            return false;
    }
    return at_signs == 1 && text.ptr[0] != '@' && text.ptr[text.len - 1] != '@';
}

/* true, and "true" as Cognito and others write it. */
static bool is_true(const json_t *value)
{
    return json_is_true(value) || (json_is_string(value) && strcmp(json_string_value(value), "true") == 0);
}

void issuer_profile_read(const json_t *claims, struct arena *arena, struct issued_token *issued)
{
    struct slice email = take_text(claims, "email", EMAIL_BYTES_MAX, arena);
    struct slice first = take_text(claims, "given_name", NAME_BYTES_MAX, arena);
    struct slice last = take_text(claims, "family_name", NAME_BYTES_MAX, arena);
    if (!slice_is_absent(email) && is_address(email) && is_true(json_object_get(claims, "email_verified")))
        issued->email = email;
    if (!slice_is_absent(first))
        issued->first_name = first;
    if (!slice_is_absent(last))
        issued->last_name = last;
}

/* ---- which session ---- */

/* Cognito's origin_jti and OpenID's sid are the same for all tokens of one log-in; a jti is this token's.
 * With none of them the token stands for itself. The id is a hash, so that nobody can aim at another's
 * session. */
static void session_read(const struct issuer_settings *settings, const json_t *claims,
                         struct issued_token *issued, struct arena *arena)
{
    static const char *const NAMES[] = {"origin_jti", "sid", "jti"};
    const char *kind = "token";
    struct slice name = issued->text;
    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        struct slice text = jwt_string(claims, NAMES[i]);
        if (text.len > 0) {
            kind = NAMES[i];
            name = text;
            break;
        }
    }
    uint8_t digest[SHA256_LEN];
    struct buf text;
    buf_init(&text, arena);
    buf_append(&text, settings->issuer);
    buf_append_char(&text, '\0');
    buf_append(&text, issued->subject);
    buf_append_char(&text, '\0');
    buf_append(&text, slice_from(kind));
    buf_append_char(&text, '\0');
    buf_append(&text, name);
    sha256(buf_slice(&text), digest);
    memcpy(issued->session_id.bytes, digest, sizeof(issued->session_id.bytes));
    issued->session_id.bytes[6] = (uint8_t)((issued->session_id.bytes[6] & 0x0f) | 0x80); /* version 8 */
    issued->session_id.bytes[8] = (uint8_t)((issued->session_id.bytes[8] & 0x3f) | 0x80);
}

/* ---- whether it is for us ---- */

static bool is_for_audience(const struct issuer_settings *settings, const json_t *claims)
{
    return settings->audience.len == 0 || lists(json_object_get(claims, "aud"), settings->audience);
}

/* What an ID, refresh or log-out token holds and an access token does not. */
static bool is_other_kind(const json_t *claims)
{
    static const char *const FOREIGN[] = {"nonce", "at_hash", "c_hash", "s_hash", "events"};
    for (size_t i = 0; i < COUNT_OF(FOREIGN); i++) {
        if (json_object_get(claims, FOREIGN[i]) != NULL)
            return true;
    }
    const json_t *use = json_object_get(claims, "token_use"), *type = json_object_get(claims, "typ");
    return (use != NULL && !jwt_string_is(claims, "token_use", "access")) ||
           (type != NULL && !jwt_string_is(claims, "typ", "Bearer") &&
            !jwt_string_is(claims, "typ", "at+jwt"));
}

static bool is_for_us(const struct issuer_settings *settings, const json_t *claims)
{
    if (!slice_equals(jwt_string(claims, "iss"), settings->issuer) || !is_for_audience(settings, claims) ||
        is_other_kind(claims))
        return false;
    return settings->provider != AUTH_COGNITO ||
           (jwt_string_is(claims, "token_use", "access") &&
            slice_equals(jwt_string(claims, "client_id"), settings->client_id));
}

static bool times_read(const json_t *claims, int64_t now_ms, struct issued_token *issued)
{
    struct jwt_life life;
    if (!jwt_life_read(claims, ISSUER_TOKEN_LIFETIME_SECONDS_MAX, &life))
        return false;
    issued->issued_at_ms = life.issued_s * 1000;
    issued->not_before_ms = (life.not_before_s - ISSUER_LEEWAY_SECONDS) * 1000;
    issued->expires_at_ms = (life.expires_s + ISSUER_LEEWAY_SECONDS) * 1000;
    return now_ms >= issued->not_before_ms && now_ms < issued->expires_at_ms;
}

static bool claims_take(const struct issuer_settings *settings, struct arena *arena, const json_t *claims,
                        int64_t now_ms, struct issued_token *issued)
{
    if (!is_for_us(settings, claims) || !times_read(claims, now_ms, issued))
        return false;
    issued->subject = take_text(claims, "sub", ISSUER_SUBJECT_BYTES_MAX, arena);
    if (slice_is_absent(issued->subject))
        return false;
    issued->username = take_text(claims, "username", ISSUER_SUBJECT_BYTES_MAX, arena);
    issuer_profile_read(claims, arena, issued);
    issuer_role_read(settings, claims, issued);
    session_read(settings, claims, issued, arena);
    return true;
}

bool issuer_claims_check(const struct issuer_settings *settings, struct arena *arena, struct slice claims,
                         int64_t now_ms, struct issued_token *issued)
{
    json_t *json = json_loadb(claims.ptr, claims.len, JSON_REJECT_DUPLICATES, NULL);
    bool is_good = json_is_object(json) && claims_take(settings, arena, json, now_ms, issued);
    json_decref(json);
    return is_good;
}
