/* The issuer's keys: one thread reads them, whoever meets an unknown kid asks it to and waits a little.
 *
 * However many tokens of unknown keys come in, the issuer is asked once an interval; who comes in between is
 * answered from what is known. What cannot be read, or is no set of keys, changes nothing. */
#include "auth/issuer_private.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/url.h"

#include <stdio.h>
#include <stdlib.h>

#define KEYS_AGE_MS_MAX INT64_C(300000) /* then they are read again, for those that were withdrawn */
#define WAITING_MAX 4                   /* requests; the threads that others need are not all lent */
#define ARENA_BYTES ((size_t)4 << 20)

/* ---- reading ---- */

static bool get(struct issuer *issuer, struct arena *arena, struct slice url, size_t bytes_max,
                struct slice *body, struct slice *why)
{
    struct http_answer answer;
    const struct http_call call = {.url = url,
                                   .body = SLICE_ABSENT,
                                   .headers = {{"Accept", SLICE("application/json")}},
                                   .timeout_ms = issuer->settings.timeout_ms,
                                   .reply_bytes_max = bytes_max};
    if (!http_call(issuer->http, arena, &call, &answer, why))
        return false;
    if (answer.status != 200) {
        *why = arena_format(arena, "it answers %ld", answer.status);
        return false;
    }
    *body = answer.body;
    return true;
}

/* What an attempt brought. */
struct reading {
    struct jwk_set *keys;      /* NULL: nothing */
    struct slice userinfo_url; /* absent: none */
    struct slice why;
};

/* OpenID Connect Discovery 1.0: the document must name the very issuer that was asked. */
static bool discover(struct issuer *issuer, struct arena *arena, struct slice *keys_url,
                     struct reading *reading)
{
    struct slice body;
    if (!get(issuer, arena, issuer->settings.discovery_url, ISSUER_ANSWER_BYTES_MAX, &body, &reading->why))
        return false;
    json_t *json = json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, NULL);
    struct slice named = jwt_string(json, "issuer"), userinfo = jwt_string(json, "userinfo_endpoint");
    *keys_url = arena_copy(arena, jwt_string(json, "jwks_uri"));
    reading->userinfo_url = url_http_rule(userinfo) == NULL ? arena_copy(arena, userinfo) : SLICE_ABSENT;
    bool is_good = false;
    if (!slice_equals(named, issuer->settings.issuer))
        reading->why = SLICE("its discovery document names another issuer, or is none");
    else if (url_http_rule(*keys_url) != NULL)
        reading->why = SLICE("its discovery document names no jwks_uri that may be called");
    else
        is_good = true;
    json_decref(json);
    return is_good;
}

static void keys_read(struct issuer *issuer, struct arena *arena, struct reading *reading)
{
    struct slice body, keys_url = issuer->settings.keys_url;
    const char *why;
    if (slice_is_absent(keys_url) && !discover(issuer, arena, &keys_url, reading))
        return;
    if (!get(issuer, arena, keys_url, JWKS_BYTES_MAX, &body, &reading->why))
        return;
    reading->keys = jwk_set_parse(arena, body, &why);
    if (reading->keys == NULL)
        reading->why = slice_from(why);
}

/* Says what went wrong once, until it is something else or right again. With the lock. */
static void tell(struct issuer *issuer, struct slice why)
{
    char told[sizeof(issuer->problem)];
    snprintf(told, sizeof(told), "%.*s", SLICE_ARG(why));
    if (strcmp(told, issuer->problem) == 0)
        return;
    memcpy(issuer->problem, told, sizeof(told));
    if (why.len > 0)
        log_message(LOG_WARN, "the identity provider's keys cannot be read%s: %s",
                    issuer->keys != NULL ? ", the known ones stay" : "", told);
    else
        log_message(LOG_INFO, "the identity provider's keys: %zu", jwk_set_count(issuer->keys));
}

/* With the lock. */
static void reading_take(struct issuer *issuer, struct reading *reading)
{
    if (reading->keys != NULL) {
        if (issuer->keys != NULL && !jwk_set_is_within(issuer->keys, reading->keys))
            issuer->generation++; /* what the lost key signed must be checked again */
        jwk_set_release(issuer->keys);
        issuer->keys = reading->keys;
        free(issuer->userinfo_url);
        issuer->userinfo_url = slice_is_absent(reading->userinfo_url)
                                   ? NULL
                                   : strndup(reading->userinfo_url.ptr, reading->userinfo_url.len);
        reading->why = SLICE("");
    }
    tell(issuer, reading->why);
    issuer->attempts++;
    issuer->is_reading = false;
    pthread_cond_broadcast(&issuer->changed);
}

/* ---- the thread ---- */

/* When the next attempt is due: as soon as somebody wants it, or when the keys are old or missing, but an
 * interval after the one before. With the lock. */
static int64_t next_attempt_us(const struct issuer *issuer)
{
    int64_t interval_us = issuer->settings.interval_ms * 1000;
    if (issuer->attempted_at_us == 0)
        return 0;
    bool is_urgent = issuer->is_wanted || issuer->keys == NULL || issuer->problem[0] != '\0';
    int64_t age_us = KEYS_AGE_MS_MAX * 1000;
    return issuer->attempted_at_us + (is_urgent || interval_us > age_us ? interval_us : age_us);
}

static void *keys_run(void *arg)
{
    struct issuer *issuer = arg;
    struct arena arena;
    CHECK(arena_init(&arena, ARENA_BYTES));
    pthread_setname_np(pthread_self(), "souk-issuer");
    pthread_mutex_lock(&issuer->lock);
    while (!issuer->is_stopping) {
        int64_t due_us = next_attempt_us(issuer);
        if (clock_monotonic_us() < due_us) {
            (void)clock_cond_wait(&issuer->changed, &issuer->lock, due_us);
            continue;
        }
        issuer->attempted_at_us = clock_monotonic_us();
        issuer->is_wanted = false;
        issuer->is_reading = true;
        pthread_mutex_unlock(&issuer->lock);
        struct reading reading = {.why = SLICE("")};
        arena_reset(&arena);
        keys_read(issuer, &arena, &reading);
        pthread_mutex_lock(&issuer->lock);
        reading_take(issuer, &reading);
    }
    pthread_mutex_unlock(&issuer->lock);
    arena_release(&arena);
    return NULL;
}

bool issuer_keys_start(struct issuer *issuer)
{
    pthread_mutex_init(&issuer->lock, NULL);
    clock_cond_init(&issuer->changed);
    issuer->generation = 1;
    issuer->is_reading = true; /* the first attempt: who comes before it has begun waits for it too */
    if (pthread_create(&issuer->thread, NULL, keys_run, issuer) == 0)
        return true;
    pthread_cond_destroy(&issuer->changed);
    pthread_mutex_destroy(&issuer->lock);
    return false;
}

void issuer_keys_stop(struct issuer *issuer)
{
    pthread_mutex_lock(&issuer->lock);
    issuer->is_stopping = true;
    pthread_cond_broadcast(&issuer->changed);
    pthread_mutex_unlock(&issuer->lock);
    pthread_join(issuer->thread, NULL);
    jwk_set_release(issuer->keys);
    free(issuer->userinfo_url);
    pthread_cond_destroy(&issuer->changed);
    pthread_mutex_destroy(&issuer->lock);
}

/* ---- asking ---- */

static bool has_key(const struct issuer *issuer, struct slice kid)
{
    return issuer->keys != NULL && jwk_set_find(issuer->keys, kid) != NULL;
}

/* Whether the end of an attempt may bring the key: one runs, or may begin now. With the lock. */
static bool attempt_is_near(struct issuer *issuer)
{
    if (issuer->is_reading)
        return true;
    if (clock_monotonic_us() - issuer->attempted_at_us < issuer->settings.interval_ms * 1000)
        return false;
    issuer->is_wanted = true;
    pthread_cond_broadcast(&issuer->changed);
    return true;
}

struct jwk_set *issuer_keys_for(struct issuer *issuer, struct slice kid, uint64_t *generation,
                                bool *is_crowded)
{
    *is_crowded = false;
    pthread_mutex_lock(&issuer->lock);
    if (!has_key(issuer, kid) && attempt_is_near(issuer)) {
        /* Discovery and the set, each with its limit. */
        int64_t until_us = clock_monotonic_us() + (2 * issuer->settings.timeout_ms + 500) * 1000;
        uint64_t seen = issuer->attempts;
        *is_crowded = issuer->waiting >= WAITING_MAX;
        issuer->waiting++;
        while (!*is_crowded && !issuer->is_stopping && issuer->attempts == seen &&
               clock_monotonic_us() < until_us)
            (void)clock_cond_wait(&issuer->changed, &issuer->lock, until_us);
        issuer->waiting--;
    }
    struct jwk_set *keys = issuer->keys != NULL ? jwk_set_share(issuer->keys) : NULL;
    *generation = issuer->generation;
    pthread_mutex_unlock(&issuer->lock);
    return keys;
}
