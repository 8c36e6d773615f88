/* Reading secrets, and keeping the database's log-in. */
#include "net/secrets.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/json_writer.h"
#include "base/log.h"
#include "net/aws.h"

#include <jansson.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#define READ_TIMEOUT_MS INT64_C(5000)
#define ARENA_BYTES ((size_t)2 << 20) /* of one reading: the answer and the request */
#define READ_AGAIN_US INT64_C(1000000)

struct secrets {
    const struct config *config;
    struct aws *aws;
    pthread_mutex_t lock; /* guards what follows */
    struct login login;
    bool has_login;
    int64_t read_at_us; /* of the log-in; 0: never */
};

struct secrets *secrets_new(const struct config *config)
{
    struct secrets *secrets = calloc(1, sizeof(*secrets));
    CHECK(secrets != NULL);
    secrets->config = config;
    secrets->aws = aws_new(config);
    CHECK(pthread_mutex_init(&secrets->lock, NULL) == 0);
    return secrets;
}

void secrets_free(struct secrets *secrets)
{
    if (secrets == NULL)
        return;
    aws_free(secrets->aws);
    pthread_mutex_destroy(&secrets->lock);
    sodium_memzero(secrets, sizeof(*secrets));
    free(secrets);
}

/* ---- one secret ---- */

/* Its text as a JSON object, the caller's to json_decref; else NULL and *why. */
static json_t *secret_parse(struct slice reply, struct slice *why)
{
    json_t *outer = json_loadb(reply.ptr, reply.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *text = json_object_get(outer, "SecretString");
    json_t *secret = json_is_string(text) ? json_loadb(json_string_value(text), json_string_length(text),
                                                       JSON_REJECT_DUPLICATES, NULL)
                                          : NULL;
    json_decref(outer);
    if (json_is_object(secret))
        return secret;
    json_decref(secret);
    *why = SLICE("the secret must be a JSON object");
    return NULL;
}

static bool is_arn(struct slice arn)
{
    for (size_t i = 0; i < arn.len; i++) {
        if (arn.ptr[i] <= ' ' || arn.ptr[i] > '~')
            return false;
    }
    return !slice_is_absent(aws_arn_region(arn));
}

static json_t *secret_read(struct secrets *secrets, struct arena *arena, struct slice arn, struct slice *why)
{
    struct aws_answer answer;
    struct buf body;
    struct json_writer json;
    buf_init(&body, arena);
    json_init(&json, &body);
    json_object_begin(&json);
    json_field_string(&json, "SecretId", arn);
    json_object_end(&json);
    *why = SLICE("must be an ARN, such as arn:aws:secretsmanager:eu-west-1:123456789012:secret:souk-AbCdEf");
    if (!is_arn(arn))
        return NULL;
    const struct aws_call call = {
        .service = AWS_SECRETS_MANAGER,
        .region = aws_arn_region(arn),
        .path = SLICE("/"),
        .operation = SLICE("GetSecretValue"),
        .body = buf_slice(&body),
        .timeout_ms = READ_TIMEOUT_MS,
        .is_repeatable = true,
    };
    if (aws_call(secrets->aws, arena, &call, &answer, why) != AWS_DONE)
        return NULL;
    json_t *secret = secret_parse(answer.body, why);
    sodium_memzero((char *)(uintptr_t)answer.body.ptr, answer.body.len);
    return secret;
}

/* ---- settings ---- */

static bool take_settings(json_t *secret, struct arena *arena, const struct config_given **given,
                          size_t *count, struct slice *complaint)
{
    struct config_given *list = ARENA_ARRAY(arena, struct config_given, SECRET_SETTINGS_MAX);
    const char *name;
    json_t *value;
    *given = list;
    *count = 0;
    json_object_foreach(secret, name, value)
    {
        if (!json_is_string(value) || *count == SECRET_SETTINGS_MAX) {
            *complaint =
                arena_format(arena, "SOUK_SECRETS_ARN: the secret must hold texts, at most %d of them",
                             SECRET_SETTINGS_MAX);
            return false;
        }
        list[(*count)++] = (struct config_given){
            arena_copy(arena, slice_from(name)),
            arena_copy(arena, (struct slice){json_string_value(value), json_string_length(value)})};
    }
    return true;
}

bool secrets_read_settings(struct secrets *secrets, struct arena *arena, const struct config_given **given,
                           size_t *count, struct slice *complaint)
{
    struct slice why;
    json_t *secret = secret_read(secrets, arena, secrets->config->secrets_arn, &why);
    if (secret == NULL) {
        *complaint = arena_format(arena, "SOUK_SECRETS_ARN: %.*s", SLICE_ARG(why));
        return false;
    }
    bool is_good = take_settings(secret, arena, given, count, complaint);
    json_decref(secret);
    return is_good;
}

/* ---- the database's log-in ---- */

static bool take_text(char text[LOGIN_BYTES_MAX], const json_t *secret, const char *name)
{
    const json_t *value = json_object_get(secret, name);
    size_t len = json_string_length(value);
    if (!json_is_string(value) || len == 0 || len >= LOGIN_BYTES_MAX ||
        strlen(json_string_value(value)) != len)
        return false;
    memcpy(text, json_string_value(value), len + 1);
    return true;
}

/* With the lock. */
static bool read_now(struct secrets *secrets, struct arena *arena, struct slice *why)
{
    struct slice reason;
    struct login read;
    json_t *secret = secret_read(secrets, arena, secrets->config->database_secret_arn, &reason);
    if (secret == NULL) {
        *why = arena_format(arena, "DATABASE_SECRET_ARN: %.*s", SLICE_ARG(reason));
        return false;
    }
    bool is_good = take_text(read.user, secret, "username") && take_text(read.password, secret, "password");
    json_decref(secret);
    if (is_good)
        secrets->login = read;
    else
        *why = SLICE("DATABASE_SECRET_ARN: the secret must hold username and password, as texts");
    secrets->has_login = secrets->has_login || is_good;
    sodium_memzero(&read, sizeof(read));
    return is_good;
}

static bool is_same(const struct login *a, const struct login *b)
{
    return strcmp(a->user, b->user) == 0 && strcmp(a->password, b->password) == 0;
}

/* With the lock. Whether a second has passed since the last time, and there are others now. */
static bool read_anew(struct secrets *secrets, const struct login *refused)
{
    struct arena arena;
    struct slice why = SLICE("DATABASE_SECRET_ARN: the database refuses what the secret holds");
    int64_t now_us = clock_monotonic_us();
    if (secrets->read_at_us != 0 && now_us - secrets->read_at_us < READ_AGAIN_US)
        return false;
    secrets->read_at_us = now_us;
    if (!arena_init(&arena, ARENA_BYTES))
        return false;
    bool is_good = read_now(secrets, &arena, &why) && (refused == NULL || !is_same(refused, &secrets->login));
    if (!is_good)
        log_message(LOG_ERROR, "%.*s", SLICE_ARG(why));
    arena_release(&arena);
    return is_good;
}

bool secrets_read_login(struct secrets *secrets, struct login *login, bool are_refused)
{
    pthread_mutex_lock(&secrets->lock);
    bool is_there = (secrets->has_login && !(are_refused && is_same(login, &secrets->login))) ||
                    read_anew(secrets, are_refused ? login : NULL);
    if (is_there)
        *login = secrets->login;
    pthread_mutex_unlock(&secrets->lock);
    return is_there;
}
