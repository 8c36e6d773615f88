/* Who calls AWS. Lambda gives each function's environment its role's credentials; a container asks an
 * endpoint that only it can reach, and again before they end.
 *
 * https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html */
#include "net/aws_private.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#define ECS_HOST "http://169.254.170.2"
#define ANSWER_BYTES_MAX ((size_t)64 << 10)
#define TOKEN_FILE_BYTES_MAX 8192
#define ASK_TIMEOUT_MS INT64_C(2000)
#define ASK_AGAIN_US INT64_C(1000000) /* the endpoint is asked no more often while what is held is good */

struct slice aws_json_text(struct arena *arena, const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_string(value)
               ? arena_copy(arena, (struct slice){json_string_value(value), json_string_length(value)})
               : SLICE_ABSENT;
}

/* ---- what is held ---- */

void aws_credentials_release(struct aws *aws)
{
    if (aws->held.text != NULL)
        sodium_memzero(aws->held.text, aws->held.text_len);
    free(aws->held.text);
    aws->held.text = NULL;
    aws->held.credentials = (struct aws_credentials){0};
}

static struct slice put(char **end, struct slice text)
{
    if (text.len > 0)
        memcpy(*end, text.ptr, text.len);
    struct slice copy = {*end, text.len};
    *end += text.len;
    return copy;
}

static void hold(struct aws *aws, const struct aws_credentials *given, int64_t expires_at_ms)
{
    struct aws_held *held = &aws->held;
    aws_credentials_release(aws);
    held->text_len = given->access_key_id.len + given->secret_access_key.len + given->session_token.len;
    held->text = malloc(held->text_len);
    CHECK(held->text != NULL);
    char *end = held->text;
    held->credentials.access_key_id = put(&end, given->access_key_id);
    held->credentials.secret_access_key = put(&end, given->secret_access_key);
    held->credentials.session_token = put(&end, given->session_token);
    held->expires_at_ms = expires_at_ms;
}

/* ---- asking ---- */

/* The token that shows the endpoint who asks; empty where none is wanted. False: *why. */
static bool read_token(const struct config_aws *settings, struct arena *arena, struct slice *token,
                       struct slice *why)
{
    *token = settings->credentials_token;
    if (settings->credentials_token_file.len == 0)
        return true;
    int fd = open(arena_copy(arena, settings->credentials_token_file).ptr, O_RDONLY | O_CLOEXEC);
    char *text = arena_alloc(arena, TOKEN_FILE_BYTES_MAX);
    ssize_t len = fd >= 0 ? read(fd, text, TOKEN_FILE_BYTES_MAX) : -1;
    if (fd >= 0)
        close(fd);
    *token = len > 0 ? slice_trim((struct slice){text, (size_t)len}) : SLICE("");
    if (len <= 0)
        *why = SLICE("the file of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read");
    return len > 0;
}

static bool take_answer(struct aws *aws, struct arena *arena, struct slice body)
{
    json_t *answer = json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, NULL);
    const struct aws_credentials given = {.access_key_id = aws_json_text(arena, answer, "AccessKeyId"),
                                          .secret_access_key =
                                              aws_json_text(arena, answer, "SecretAccessKey"),
                                          .session_token = aws_json_text(arena, answer, "Token")};
    struct slice expiration = aws_json_text(arena, answer, "Expiration");
    int64_t expires_at_ms = 0;
    json_decref(answer);
    bool is_good = given.access_key_id.len > 0 && given.secret_access_key.len > 0 &&
                   (slice_is_absent(expiration) || clock_parse_rfc3339(expiration, &expires_at_ms));
    if (is_good)
        hold(aws, &given, expires_at_ms);
    return is_good;
}

static bool ask(struct aws *aws, struct arena *arena, int64_t timeout_ms, struct slice *why)
{
    const struct config_aws *settings = &aws->config->aws;
    struct slice token, reason;
    struct http_answer answer;
    if (!read_token(settings, arena, &token, why))
        return false;
    struct http_call call = {
        .url = settings->credentials_relative_uri.len > 0
                   ? arena_format(arena, ECS_HOST "%.*s", SLICE_ARG(settings->credentials_relative_uri))
                   : settings->credentials_full_uri,
        .is_for_credentials = true,
        .timeout_ms = timeout_ms < ASK_TIMEOUT_MS ? timeout_ms : ASK_TIMEOUT_MS,
        .reply_bytes_max = ANSWER_BYTES_MAX,
    };
    if (token.len > 0)
        call.headers[0] = (struct http_client_header){"Authorization", token};
    if (!http_call(aws->http, arena, &call, &answer, &reason))
        *why = arena_format(arena, "AWS credentials of the container: %.*s", SLICE_ARG(reason));
    else if (answer.status != 200)
        *why = arena_format(arena, "AWS credentials of the container: the endpoint said %ld", answer.status);
    else if (!take_answer(aws, arena, answer.body))
        *why = SLICE("AWS credentials of the container: the endpoint's answer holds none");
    else
        return true;
    return false;
}

/* ---- giving ---- */

static void copy_out(struct arena *arena, const struct aws_credentials *from, struct aws_credentials *to)
{
    to->access_key_id = arena_copy(arena, from->access_key_id);
    to->secret_access_key = arena_copy(arena, from->secret_access_key);
    to->session_token = arena_copy(arena, from->session_token);
}

/* With the lock. What is held serves to its end when it cannot be renewed. */
static bool get_from_container(struct aws *aws, struct arena *arena, int64_t timeout_ms, struct slice *why)
{
    struct aws_held *held = &aws->held;
    int64_t left_ms = held->expires_at_ms - clock_now_ms();
    bool is_good = held->text != NULL && (held->expires_at_ms == 0 || left_ms > 0);
    bool is_fresh = is_good && (held->expires_at_ms == 0 || left_ms > AWS_RENEW_BEFORE_MS);
    int64_t now_us = clock_monotonic_us();
    if (is_fresh || (is_good && now_us - held->asked_at_us < ASK_AGAIN_US))
        return true;
    held->asked_at_us = now_us;
    if (ask(aws, arena, timeout_ms, why))
        return true;
    if (is_good)
        log_message(LOG_WARN, "%.*s", SLICE_ARG(*why));
    return is_good;
}

bool aws_credentials_get(struct aws *aws, struct arena *arena, int64_t timeout_ms,
                         struct aws_credentials *credentials, struct slice *why)
{
    const struct config_aws *settings = &aws->config->aws;
    if (settings->access_key_id.len > 0 && settings->secret_access_key.len > 0) {
        *credentials = (struct aws_credentials){settings->access_key_id, settings->secret_access_key,
                                                settings->session_token};
        return true;
    }
    if (settings->credentials_relative_uri.len == 0 && settings->credentials_full_uri.len == 0) {
        *why = SLICE("there are no AWS credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, "
                     "and no container has a role to ask for");
        return false;
    }
    pthread_mutex_lock(&aws->lock);
    bool is_there = get_from_container(aws, arena, timeout_ms, why);
    if (is_there)
        copy_out(arena, &aws->held.credentials, credentials);
    pthread_mutex_unlock(&aws->lock);
    return is_there;
}

bool aws_credentials_renew(struct aws *aws, const struct aws_credentials *expired)
{
    if (aws->config->aws.access_key_id.len > 0)
        return false;
    pthread_mutex_lock(&aws->lock);
    /* Unless another thread was faster. */
    if (slice_equals(aws->held.credentials.access_key_id, expired->access_key_id))
        aws_credentials_release(aws);
    pthread_mutex_unlock(&aws->lock);
    return true;
}
