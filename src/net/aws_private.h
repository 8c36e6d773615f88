/* What the parts of the AWS client share: aws.c (the call), aws_credentials.c (who calls). */
#pragma once

#include "net/aws.h"
#include "net/aws_sign.h"
#include "net/http_client.h"

#include <jansson.h>
#include <pthread.h>

/* The credentials of a container, as they came last. */
struct aws_held {
    char *text; /* what the slices point into; NULL: none */
    size_t text_len;
    struct aws_credentials credentials;
    int64_t expires_at_ms; /* 0: not said */
    int64_t asked_at_us;   /* the last try, good or bad */
};

struct aws {
    const struct config *config;
    struct http_client *http;
    pthread_mutex_t lock; /* guards `held` */
    struct aws_held held;
};

/* Credentials that are good now, copied into the arena; may ask the container's endpoint. */
bool aws_credentials_get(struct aws *aws, struct arena *arena, int64_t timeout_ms,
                         struct aws_credentials *credentials, struct slice *why);
/* AWS calls these expired: they are asked for anew at the next call. False when there is nobody to ask. */
bool aws_credentials_renew(struct aws *aws, const struct aws_credentials *expired);
void aws_credentials_release(struct aws *aws);

/* A text of a JSON object, copied; absent when it is none. */
struct slice aws_json_text(struct arena *arena, const json_t *object, const char *name);
