/* Calling AWS: one signed request (POST, JSON) to a service, sent again while that makes sense, within one
 * bound of time. Credentials are those of the settings (on Lambda the environment's), or of the role of the
 * container that this runs in (ECS, Fargate, EKS), which are asked for and renewed before they end. Nothing
 * asks an EC2 instance's metadata.
 *
 * No message holds anything of a request or an answer but names of services, operations and errors. Blocks:
 * never on an I/O thread or the write lane. */
#pragma once

#include "base/arena.h"
#include "base/config.h"

#define AWS_ANSWER_BYTES_MAX ((size_t)256 << 10)
#define AWS_RENEW_BEFORE_MS                                                                                  \
    INT64_C(300000) /* credentials of a container that end sooner are asked for anew */

struct aws; /* thread-safe */

/* Reaches for nothing. The settings outlive it. */
struct aws *aws_new(const struct config *config);
/* No call may be running. NULL is fine. */
void aws_free(struct aws *aws);

enum aws_service { AWS_SECRETS_MANAGER, AWS_SES, AWS_SQS };

struct aws_call {
    enum aws_service service;
    struct slice region;    /* absent or empty: AWS_REGION */
    struct slice path;      /* "/" of the JSON protocols */
    struct slice operation; /* "GetSecretValue", for messages and X-Amz-Target */
    struct slice body;      /* JSON */
    int64_t timeout_ms;     /* of all attempts together */
    bool is_repeatable; /* may be sent again where nobody knows whether it was done; else only where it was
                           not */
};

enum aws_outcome {
    AWS_DONE,
    AWS_AWAY,   /* no answer, 5xx or throttled, up to the time's end; or no credentials: trying later may help
                 */
    AWS_REFUSED /* 4xx: `error` says why */
};

struct aws_answer {
    long status; /* 0: none came */
    struct slice body;
    struct slice error;   /* "AccessDeniedException"; absent without one */
    struct slice message; /* AWS's text: not for a log, it may repeat what was sent */
};

/* Unless AWS_DONE, *why is one line: "Secrets Manager's GetSecretValue: 400 AccessDeniedException". */
enum aws_outcome aws_call(struct aws *aws, struct arena *arena, const struct aws_call *call,
                          struct aws_answer *answer, struct slice *why);

/* The region in an ARN ("arn:aws:secretsmanager:eu-west-1:..."); absent when it is none. */
struct slice aws_arn_region(struct slice arn);
