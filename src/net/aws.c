/* The call: address, signature, attempts, and what the answer means. */
#include "net/aws_private.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/crypto.h"

#include <stdlib.h>
#include <time.h>

#define ATTEMPTS_MAX 4
#define PAUSE_FIRST_MS INT64_C(50) /* before the second attempt, doubled each time; half of it by chance */
#define REGION_BYTES_MAX 32
#define ERROR_BYTES_MAX 64

struct service {
    const char *name;        /* for people */
    const char *signed_name; /* in the signature */
    const char *host;        /* HOST.REGION.amazonaws.com */
    const char *target;      /* X-Amz-Target begins so; NULL: the path says the operation */
    const char *content_type;
    size_t endpoint; /* of its own endpoint setting in struct config_aws */
};

static const struct service SERVICES[] = {
    [AWS_SECRETS_MANAGER] = {"Secrets Manager", "secretsmanager", "secretsmanager", "secretsmanager",
                             "application/x-amz-json-1.1",
                             offsetof(struct config_aws, endpoint_url_secrets_manager)},
    [AWS_SES] = {"SES", "ses", "email", NULL, "application/json",
                 offsetof(struct config_aws, endpoint_url_ses)},
    [AWS_SQS] = {"SQS", "sqs", "sqs", "AmazonSQS", "application/x-amz-json-1.0",
                 offsetof(struct config_aws, endpoint_url_sqs)},
};

struct aws *aws_new(const struct config *config)
{
    struct aws *aws = calloc(1, sizeof(*aws));
    CHECK(aws != NULL);
    aws->config = config;
    aws->http = http_client_new(config->ca_file);
    CHECK(pthread_mutex_init(&aws->lock, NULL) == 0);
    return aws;
}

void aws_free(struct aws *aws)
{
    if (aws == NULL)
        return;
    aws_credentials_release(aws);
    http_client_free(aws->http);
    pthread_mutex_destroy(&aws->lock);
    free(aws);
}

/* ---- where to ---- */

struct slice aws_arn_region(struct slice arn)
{
    struct slice part = SLICE_ABSENT;
    if (!slice_starts_with(arn, SLICE("arn:")))
        return SLICE_ABSENT;
    for (int i = 0; i < 4; i++) {
        if (!slice_split(&arn, ':', &part))
            return SLICE_ABSENT;
    }
    return part.len > 0 ? part : SLICE_ABSENT;
}

/* It becomes part of a host's name. */
static bool is_region(struct slice region)
{
    for (size_t i = 0; i < region.len; i++) {
        char c = region.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
    }
    return region.len > 0 && region.len <= REGION_BYTES_MAX;
}

static struct slice endpoint_of(const struct aws *aws, struct arena *arena, const struct service *service,
                                struct slice region)
{
    const struct config_aws *settings = &aws->config->aws;
    const struct slice *own = (const struct slice *)((const char *)settings + service->endpoint);
    struct slice url = own->len > 0 ? *own : settings->endpoint_url;
    if (url.len > 0) {
        while (url.ptr[url.len - 1] == '/')
            url.len--;
        return url;
    }
    return arena_format(arena, "https://%s.%.*s.amazonaws.com%s", service->host, SLICE_ARG(region),
                        slice_starts_with(region, SLICE("cn-")) ? ".cn" : "");
}

/* ---- one attempt ---- */

struct attempt {
    struct aws *aws;
    struct arena *arena;
    const struct aws_call *call;
    const struct service *service;
    struct slice region, endpoint;
    struct aws_credentials credentials;
    int64_t give_up_us;
};

/* Behind the scheme, up to the path of an endpoint that has one. */
static struct slice authority_of(struct slice endpoint, struct slice *path)
{
    struct slice part, rest = endpoint;
    for (int slashes = 0; slashes < 2; slashes++)
        (void)slice_split(&rest, '/', &part);
    struct slice authority = rest;
    (void)slice_split(&rest, '/', &authority);
    *path = slice_is_absent(rest) ? SLICE("") : (struct slice){rest.ptr - 1, rest.len + 1};
    return authority;
}

static void sign(const struct attempt *attempt, struct http_call *http)
{
    const struct aws_call *call = attempt->call;
    struct aws_signed_header headers[HTTP_CLIENT_HEADERS_MAX];
    struct aws_signature signature;
    struct slice prefix, time = aws_time(attempt->arena, clock_now_ms());
    size_t count = 0;
    http->headers[count++] = (struct http_client_header){"Host", authority_of(attempt->endpoint, &prefix)};
    http->headers[count++] =
        (struct http_client_header){"Content-Type", slice_from(attempt->service->content_type)};
    http->headers[count++] = (struct http_client_header){"X-Amz-Date", time};
    if (attempt->credentials.session_token.len > 0)
        http->headers[count++] =
            (struct http_client_header){"X-Amz-Security-Token", attempt->credentials.session_token};
    if (attempt->service->target != NULL)
        http->headers[count++] = (struct http_client_header){
            "X-Amz-Target",
            arena_format(attempt->arena, "%s.%.*s", attempt->service->target, SLICE_ARG(call->operation))};
    for (size_t i = 0; i < count; i++)
        headers[i] = (struct aws_signed_header){slice_from(http->headers[i].name), http->headers[i].value};
    const struct aws_signing signing = {
        .method = SLICE("POST"),
        .path = arena_format(attempt->arena, "%.*s%.*s", SLICE_ARG(prefix), SLICE_ARG(call->path)),
        .headers = headers,
        .header_count = count,
        .body = call->body,
        .time = time,
        .region = attempt->region,
        .service = slice_from(attempt->service->signed_name),
    };
    aws_sign(attempt->arena, &attempt->credentials, &signing, &signature);
    http->headers[count] = (struct http_client_header){"Authorization", signature.authorization};
}

static bool is_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
              c == '_'))
            return false;
    }
    return name.len > 0 && name.len <= ERROR_BYTES_MAX;
}

/* "com.amazonaws.sqs#QueueDoesNotExist", "MessageRejected:http://...": the name in the middle. */
static struct slice error_name(struct slice text)
{
    struct slice rest = text, name = text;
    (void)slice_split(&rest, ':', &name);
    rest = name;
    while (slice_split(&rest, '#', &name))
        ;
    return is_name(name) ? name : SLICE_ABSENT;
}

static void read_error(struct arena *arena, const struct http_answer *http, struct aws_answer *answer)
{
    json_t *body = http->body.len > 0 ? json_loadb(http->body.ptr, http->body.len, 0, NULL) : NULL;
    struct slice type = aws_json_text(arena, body, "__type");
    answer->error = error_name(slice_is_absent(http->header) ? type : http->header);
    answer->message = aws_json_text(arena, body, "message");
    if (slice_is_absent(answer->message))
        answer->message = aws_json_text(arena, body, "Message");
    json_decref(body);
}

static bool is_one_of(struct slice name, const char *const *names, size_t count)
{
    size_t i = 0;
    while (i < count && !slice_is(name, names[i]))
        i++;
    return i < count;
}

/* It did not even look at the request. */
static bool is_throttled(const struct aws_answer *answer)
{
    static const char *const NAMES[] = {
        "ThrottlingException", "Throttling",           "ThrottledException",       "TooManyRequestsException",
        "RequestThrottled",    "RequestLimitExceeded", "RequestThrottledException"};
    return answer->status == 429 || is_one_of(answer->error, NAMES, COUNT_OF(NAMES));
}

static bool is_expired(const struct aws_answer *answer)
{
    static const char *const NAMES[] = {"ExpiredTokenException", "ExpiredToken",
                                        "UnrecognizedClientException", "InvalidClientTokenId"};
    return is_one_of(answer->error, NAMES, COUNT_OF(NAMES));
}

enum verdict { VERDICT_DONE, VERDICT_AGAIN, VERDICT_RENEW, VERDICT_AWAY, VERDICT_REFUSED };

static enum verdict judge(const struct attempt *attempt, const struct aws_answer *answer, struct slice *why)
{
    bool may_be_done = answer->status >= 500;
    struct slice error = slice_is_absent(answer->error) ? SLICE("") : answer->error;
    if (answer->status >= 200 && answer->status < 300)
        return VERDICT_DONE;
    *why = arena_format(attempt->arena, "%s's %.*s: %ld%s%.*s", attempt->service->name,
                        SLICE_ARG(attempt->call->operation), answer->status, error.len > 0 ? " " : "",
                        SLICE_ARG(error));
    if (is_throttled(answer) || (may_be_done && attempt->call->is_repeatable))
        return VERDICT_AGAIN;
    if (may_be_done)
        return VERDICT_AWAY;
    return is_expired(answer) ? VERDICT_RENEW : VERDICT_REFUSED;
}

static enum verdict try_once(struct attempt *attempt, struct aws_answer *answer, struct slice *why)
{
    const struct aws_call *call = attempt->call;
    struct slice reason;
    struct http_answer http = {0};
    int64_t left_ms = (attempt->give_up_us - clock_monotonic_us()) / 1000;
    *answer = (struct aws_answer){0};
    if (left_ms <= 0 ||
        !aws_credentials_get(attempt->aws, attempt->arena, left_ms, &attempt->credentials, why))
        return VERDICT_AWAY;
    struct http_call sent = {
        .url = arena_format(attempt->arena, "%.*s%.*s", SLICE_ARG(attempt->endpoint), SLICE_ARG(call->path)),
        .body = call->body,
        .is_unrepeatable = !call->is_repeatable,
        .wanted_header = "x-amzn-errortype",
        .timeout_ms = left_ms,
        .reply_bytes_max = AWS_ANSWER_BYTES_MAX,
    };
    sign(attempt, &sent);
    if (!http_call(attempt->aws->http, attempt->arena, &sent, &http, &reason)) {
        *why = arena_format(attempt->arena, "%s's %.*s: %.*s", attempt->service->name,
                            SLICE_ARG(call->operation), SLICE_ARG(reason));
        return http.was_sent && !call->is_repeatable ? VERDICT_AWAY : VERDICT_AGAIN;
    }
    answer->status = http.status;
    answer->body = http.body;
    if (http.status >= 300)
        read_error(attempt->arena, &http, answer);
    return judge(attempt, answer, why);
}

/* ---- all attempts ---- */

/* False when the time ends first. */
static bool pause_before(int attempts, int64_t give_up_us)
{
    int64_t pause_ms = PAUSE_FIRST_MS << (attempts - 1);
    pause_ms = pause_ms / 2 + (int64_t)(random_u64() % (uint64_t)(pause_ms / 2 + 1));
    if (clock_monotonic_us() + pause_ms * 1000 >= give_up_us)
        return false;
    nanosleep(&(struct timespec){.tv_sec = pause_ms / 1000, .tv_nsec = pause_ms % 1000 * 1000000}, NULL);
    return true;
}

static enum aws_outcome run(struct attempt *attempt, struct aws_answer *answer, struct slice *why)
{
    bool is_renewed = false;
    for (int attempts = 1;; attempts++) {
        switch (try_once(attempt, answer, why)) {
        case VERDICT_DONE:
            return AWS_DONE;
        case VERDICT_REFUSED:
            return AWS_REFUSED;
        case VERDICT_AWAY:
            return AWS_AWAY;
        case VERDICT_RENEW:
            if (is_renewed || !aws_credentials_renew(attempt->aws, &attempt->credentials))
                return AWS_AWAY; /* the credentials are wrong, not the call */
            is_renewed = true;
            break;
        case VERDICT_AGAIN:
            if (attempts >= ATTEMPTS_MAX || !pause_before(attempts, attempt->give_up_us))
                return AWS_AWAY;
            break;
        }
    }
}

enum aws_outcome aws_call(struct aws *aws, struct arena *arena, const struct aws_call *call,
                          struct aws_answer *answer, struct slice *why)
{
    const struct service *service = &SERVICES[call->service];
    struct slice region = call->region.len > 0 ? call->region : aws->config->aws.region;
    CHECK(call->timeout_ms > 0);
    *answer = (struct aws_answer){0};
    if (!is_region(region)) {
        *why = arena_format(arena, "%s's %.*s: AWS_REGION must name the region, such as eu-west-1",
                            service->name, SLICE_ARG(call->operation));
        return AWS_REFUSED;
    }
    *why = arena_format(arena, "%s's %.*s: no time is left", service->name, SLICE_ARG(call->operation));
    struct attempt attempt = {
        .aws = aws,
        .arena = arena,
        .call = call,
        .service = service,
        .region = region,
        .endpoint = endpoint_of(aws, arena, service, region),
        .give_up_us = clock_monotonic_us() + call->timeout_ms * 1000,
    };
    return run(&attempt, answer, why);
}
