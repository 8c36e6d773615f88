/* AWS Signature Version 4: what proves to AWS who sends a request. A pure function, held to the vectors that
 * AWS publishes (aws-sig-v4-test-suite).
 *
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html */
#pragma once

#include "base/arena.h"

#define AWS_SIGNED_HEADERS_MAX 16
#define AWS_SIGNED_PARAMETERS_MAX 32
#define AWS_TIME_LEN 16 /* 20150830T123600Z */

struct aws_credentials {
    struct slice access_key_id;
    struct slice secret_access_key;
    struct slice session_token; /* of temporary credentials; else absent or empty */
};

struct aws_signed_header {
    struct slice name; /* in any case */
    struct slice value;
};

/* The request as it is sent. The headers are those that are signed: Host and X-Amz-Date must be among them,
 * and X-Amz-Security-Token when there is a session token. */
struct aws_signing {
    struct slice method;
    struct slice
        path; /* "/..."; whatever is escaped in it is escaped once more, as every service but S3 wants */
    struct slice query; /* without its '?'; may be absent */
    const struct aws_signed_header *headers;
    size_t header_count; /* at most AWS_SIGNED_HEADERS_MAX */
    struct slice body;
    struct slice time; /* as X-Amz-Date says it */
    struct slice region;
    struct slice service; /* the name in the signature: "secretsmanager", "ses", "sqs" */
};

/* The steps, for those who look for a mistake; the last is the header's value. All live in the arena. */
struct aws_signature {
    struct slice canonical_request;
    struct slice string_to_sign;
    struct slice authorization;
};

void aws_sign(struct arena *arena, const struct aws_credentials *credentials,
              const struct aws_signing *signing, struct aws_signature *signature);

/* "20150830T123600Z". */
struct slice aws_time(struct arena *arena, int64_t now_ms);
