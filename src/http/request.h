/* A request as a handler sees it: checked, decoded, authorized. A handler reads it, runs SQL on `db`, fills
 * the response and returns the status. It never touches a socket, a lock, malloc or free. */
#pragma once

#include "auth/principal.h"
#include "base/arena.h"
#include "base/crypto.h"
#include "data/db.h"
#include "http/operation.h"
#include "http/services.h"

struct idempotency {
    bool is_present;           /* the request carried a valid Idempotency-Key that the operation takes */
    uint8_t scope[SHA256_LEN]; /* principal, operation, path and key */
    uint8_t body[SHA256_LEN];  /* what the key was first used for */
    struct uuid subject; /* of users: whose personal data the reply holds, when it is not the caller's own */
};

struct request {
    const struct operation *operation;
    const struct services *services;
    struct arena *arena; /* everything made for this request lives here until the reply is sent */
    struct db *db;       /* inside the transaction for EXECUTION_TRANSACTION */
    const void *input;   /* struct <operation>_input of contract/inputs.h */
    struct principal principal;
    struct slice access_token; /* that the principal was known by; absent without */
    struct idempotency idempotency;
    bool has_if_match;
    int64_t if_match_version; /* If-Match: "v<version>-..." */
    int64_t now_ms;
    struct uuid id;       /* X-Request-Id */
    struct slice address; /* of the client, text */
    struct slice user_agent;
    struct slice origin; /* the Origin header, absent without */
    struct slice host;
    struct slice refresh_cookie; /* cookie souk_refresh, absent without */
    struct slice device_cookie;  /* cookie souk_device, absent without */
    bool is_loopback;            /* the connection comes from this machine */
};
