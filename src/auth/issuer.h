/* An identity provider outside of the shop: an Amazon Cognito user pool or any OpenID Connect issuer, whose
 * access tokens (JWT, RFC 9068 and what came before it) are taken in place of our own.
 *
 * Its public keys are read over HTTPS by a thread of its own, every few minutes and, at a bounded rate, for a
 * token of a key that is not known. They are kept while it is away. */
#pragma once

#include "auth/principal.h"
#include "base/arena.h"
#include "base/config.h"

#define ISSUER_LEEWAY_SECONDS 30 /* how far its clock and ours may be apart */
#define ISSUER_SUBJECT_BYTES_MAX 255
#define ISSUER_TOKEN_LIFETIME_SECONDS_MAX (24 * 3600)

struct issuer; /* thread-safe */

/* What the settings say of it. Texts live where issuer_settings_read was told to put them. */
struct issuer_settings {
    enum auth_provider provider; /* never AUTH_LOCAL */
    struct slice issuer;         /* iss, exactly */
    struct slice audience;       /* what aud must name; empty: anything (Cognito's client_id says it) */
    struct slice client_id;      /* Cognito */
    struct slice client_secret;  /* Cognito; may be empty */
    struct slice endpoint;       /* Cognito: where its operations are called */
    struct slice keys_url;       /* of the JWK set; absent: discovered */
    struct slice discovery_url;
    struct slice role_claim;
    struct slice role_map; /* empty: the shop gives the roles */
    struct slice ca_file;
    int64_t timeout_ms;
    int64_t interval_ms;
};

/* Whether the settings that belong together are there and fit: else one line that names the setting. Not for
 * AUTH_LOCAL. */
bool issuer_settings_read(const struct config *config, struct arena *arena, struct issuer_settings *settings,
                          struct slice *complaint);

/* Starts the thread that reads the keys; that the issuer is away is no failure. The settings' texts must
 * outlive it. NULL when the system gives no thread. */
struct issuer *issuer_open(const struct issuer_settings *settings);
/* Ends the thread; nobody may be in a call. NULL is fine. */
void issuer_close(struct issuer *issuer);
const struct issuer_settings *issuer_settings_of(const struct issuer *issuer);

/* What a good token says. Texts live in the arena. */
struct issued_token {
    struct slice text;     /* the token itself */
    struct slice subject;  /* 1 to ISSUER_SUBJECT_BYTES_MAX bytes without control characters */
    struct slice username; /* Cognito's; else absent */
    struct slice email;    /* only one that the issuer has verified; else absent */
    struct slice first_name, last_name;
    struct slice role; /* the name that its groups stand for; absent: the shop gives the roles */
    int64_t issued_at_ms;
    int64_t not_before_ms, expires_at_ms; /* with the leeway */
    struct uuid session_id; /* the same for tokens of one log-in, as far as the issuer names it */
    uint64_t generation;    /* of the keys that it was held against */
};

enum issuer_verdict {
    ISSUER_GOOD,
    ISSUER_BAD, /* malformed, forged, expired, not for us */
    ISSUER_AWAY /* its keys are not known yet and cannot be read now, or too many wait for them */
};

/* Checks form, alg (RS256 and ES256, by the key's type), kid, typ, signature, iss, aud or client_id,
 * token_use, exp, nbf, iat, sub by allow-list. May wait for the issuer's keys, for about two of its time
 * limits: never on an I/O thread or the lane. */
enum issuer_verdict issuer_verify(struct issuer *issuer, struct arena *arena, struct slice token,
                                  int64_t now_ms, struct issued_token *issued);
/* The checks of the claims alone (a JSON text), for tests and fuzzing. */
bool issuer_claims_check(const struct issuer_settings *settings, struct arena *arena, struct slice claims,
                         int64_t now_ms, struct issued_token *issued);

/* Whose the token is, when it was verified before and remembered; asks nobody, waits for nobody. The role is
 * not remembered. */
bool issuer_recall(struct issuer *issuer, struct slice token, int64_t now_ms, struct principal *principal);
/* Remembers, until the token expires or a key leaves the issuer's set. */
void issuer_remember(struct issuer *issuer, const struct issued_token *issued,
                     const struct principal *principal);

/* Asks the issuer who the bearer of a good token is (OpenID Connect's userinfo, Cognito's GetUser) and fills
 * e-mail and names; what it does not tell stays as it was. May wait for one time limit. */
void issuer_ask_profile(struct issuer *issuer, struct arena *arena, struct issued_token *issued);
