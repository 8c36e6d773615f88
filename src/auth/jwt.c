/* The strict reading of tokens. */
#include "auth/jwt.h"

#include "base/crypto.h"

bool jwt_split(struct slice token, struct jwt_parts *parts)
{
    struct slice rest = token;
    if (!slice_split(&rest, '.', &parts->header) || !slice_split(&rest, '.', &parts->payload) ||
        slice_is_absent(rest) || memchr(rest.ptr, '.', rest.len) != NULL)
        return false;
    parts->signature = rest;
    parts->signed_input = (struct slice){token.ptr, parts->header.len + 1 + parts->payload.len};
    return parts->header.len > 0 && parts->payload.len > 0 && parts->signature.len > 0;
}

json_t *jwt_object(struct arena *arena, struct slice part)
{
    struct slice text = base64url_decode(arena, part);
    if (slice_is_absent(text))
        return NULL;
    json_t *json = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(json))
        return json;
    json_decref(json);
    return NULL;
}

struct slice jwt_string(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_string(value))
        return SLICE_ABSENT;
    return (struct slice){json_string_value(value), json_string_length(value)};
}

bool jwt_string_is(const json_t *object, const char *name, const char *wanted)
{
    return slice_is(jwt_string(object, name), wanted);
}

bool jwt_time(const json_t *object, const char *name, int64_t *time_s)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_integer(value))
        return false;
    *time_s = json_integer_value(value);
    return *time_s >= 0 && *time_s <= JWT_TIME_SECONDS_MAX;
}

bool jwt_life_read(const json_t *claims, int64_t seconds_max, struct jwt_life *life)
{
    if (!jwt_time(claims, "iat", &life->issued_s) || !jwt_time(claims, "exp", &life->expires_s))
        return false;
    life->not_before_s = life->issued_s;
    if (json_object_get(claims, "nbf") != NULL && !jwt_time(claims, "nbf", &life->not_before_s))
        return false;
    if (life->not_before_s < life->issued_s)
        life->not_before_s = life->issued_s;
    return life->expires_s > life->issued_s && life->expires_s - life->issued_s <= seconds_max;
}
