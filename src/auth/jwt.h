/* Reading a compact JWS (RFC 7515) strictly: what the checks of our own tokens and of other issuers' share.
 * Nothing here decides whom to believe. Private to auth/. */
#pragma once

#include "base/arena.h"

#include <jansson.h>

/* Far away, and a thousand times it still fits. */
#define JWT_TIME_SECONDS_MAX (INT64_C(1) << 40)

struct jwt_parts {
    struct slice header;
    struct slice payload;
    struct slice signature;
    struct slice signed_input; /* header.payload */
};

/* Exactly three parts, none empty. */
bool jwt_split(struct slice token, struct jwt_parts *parts);
/* The JSON object behind strict base64url (RFC 4648: no padding, no white space, canonical), without a member
 * twice and without a NUL in a text; NULL when it is anything else. Free with json_decref. */
json_t *jwt_object(struct arena *arena, struct slice part);
/* A member that is a string; absent when it is missing or of another type. It lives as long as the object. */
struct slice jwt_string(const json_t *object, const char *name);
bool jwt_string_is(const json_t *object, const char *name, const char *wanted);
/* A time in whole seconds, 0 to JWT_TIME_SECONDS_MAX: an integer, neither text nor 1.7e9. */
bool jwt_time(const json_t *object, const char *name, int64_t *time_s);
/* When a token is good, in whole seconds: iat and exp, which it must have, and nbf (RFC 7519 section 4.1). */
struct jwt_life {
    int64_t issued_s, not_before_s, expires_s; /* not_before_s: nbf, or iat where that is later or alone */
};
/* False when a time is missing or none, or when it lives for longer than `seconds_max` or for no time. */
bool jwt_life_read(const json_t *claims, int64_t seconds_max, struct jwt_life *life);
