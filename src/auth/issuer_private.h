/* What the parts of the issuer share: issuer.c (tokens), issuer_claims.c, issuer_keys.c (the thread and the
 * keys), issuer_profile.c, issuer_settings.c, cognito.c. Private to auth/. */
#pragma once

#include "auth/issuer.h"
#include "auth/jwks.h"
#include "auth/jwt.h"
#include "auth/token_cache.h"
#include "base/buf.h"
#include "base/crypto.h"
#include "net/http_client.h"

#include <pthread.h>

#define ISSUER_ANSWER_BYTES_MAX ((size_t)64 << 10) /* of discovery, userinfo and Cognito's operations */

struct issuer {
    struct issuer_settings settings;
    struct http_client *http;
    struct token_cache *tokens;
    pthread_t thread;
    pthread_mutex_t lock; /* guards all that follows */
    pthread_cond_t changed;
    bool is_stopping;
    bool is_wanted; /* the keys are to be read soon */
    bool is_reading;
    uint64_t attempts;       /* that came to their end */
    int64_t attempted_at_us; /* when the newest began; 0: none yet */
    int waiting;             /* requests that wait for the end of an attempt */
    struct jwk_set *keys;    /* NULL: none read yet */
    uint64_t generation;     /* rises when a key leaves */
    char *userinfo_url;      /* as discovered; NULL: none */
    char problem[200];       /* of the newest attempt, as it was told; empty: none */
};

/* Begins and ends the reading of the keys. */
bool issuer_keys_start(struct issuer *issuer);
void issuer_keys_stop(struct issuer *issuer);
/* The set to look a kid up in, shared (NULL: none yet), and its generation. May wait for the keys to be read
 * when the kid is unknown. */
struct jwk_set *issuer_keys_for(struct issuer *issuer, struct slice kid, uint64_t *generation,
                                bool *is_crowded);

/* The role of the first group of the map that the claims list; customer when there is none of them. */
void issuer_role_read(const struct issuer_settings *settings, const json_t *claims,
                      struct issued_token *issued);
/* E-mail (only when it is verified) and names, from claims, userinfo, or the like. */
void issuer_profile_read(const json_t *claims, struct arena *arena, struct issued_token *issued);
/* Takes the next "group=role" off a map. False at its end; *rule is set when it is none. */
bool issuer_role_map_next(struct slice *rest, struct slice *group, struct slice *role, const char **rule);
