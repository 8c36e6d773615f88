/* What an HTTP front of Lambda sends, as an exchange of the gateway's, and the reply in the form that the
 * same front takes back. After "Input/output format of a Lambda proxy integration" (REST API, format 1.0),
 * "Create AWS Lambda proxy integrations for HTTP APIs" (format 2.0), "Invoking Lambda function URLs" and "Use
 * Lambda functions as targets of an Application Load Balancer" of AWS's documentation.
 *
 * What is sent is not what the client sent: API Gateway unescapes queries (1.0) and paths, prefixes the
 * stage, joins headers with commas (2.0), takes cookies apart. Here it becomes a target that says the same,
 * escaped exactly once. X-Forwarded-For is the client's to write: it counts nowhere here, and the address is
 * the one that the front itself saw. */
#pragma once

#include "http/gateway.h"

/* What a function may answer, in bytes of JSON: 6 MB and a little (AWS: "Exceeded maximum allowed payload
 * size (6291556 bytes)"). */
#define LAMBDA_ANSWER_BYTES_MAX ((size_t)6291556)
/* Through a load balancer: 1 MB (AWS: "Lambda functions as targets of an Application Load Balancer"). */
#define LAMBDA_ANSWER_BYTES_MAX_OF_ALB ((size_t)1000000)

enum lambda_front {
    FRONT_REST_API, /* format 1.0: also an HTTP API that is told to */
    FRONT_HTTP_API, /* format 2.0: also a function URL */
    FRONT_ALB
};

struct lambda_event {
    enum lambda_front front;
    bool has_multi_values; /* FRONT_ALB: it sends, and takes, lists of values */
};

enum event_result {
    EVENT_GOOD,
    EVENT_REFUSED,  /* what the client sent is malformed: *complaint is for a 400. The exchange can be opened
                     */
    EVENT_MALFORMED /* no front sends such a thing: *complaint names the member and its rule */
};

/* Fills the exchange; all of it lives in the exchange's arena. */
enum event_result event_read(struct slice json, struct exchange *exchange, struct lambda_event *event,
                             struct slice *complaint);

/* How large an answer may be that goes to where the event came from. */
size_t event_answer_bytes_max(const struct lambda_event *event);
/* The reply as JSON in `arena`; absent when it would be larger than event_answer_bytes_max, or the arena is
 * full. `has_body`: false for HEAD. */
struct slice event_answer(const struct lambda_event *event, const struct reply *reply, bool has_body,
                          struct arena *arena);
/* What precedes the body of a streamed answer: status and headers as JSON, and eight NUL bytes. */
#define LAMBDA_STREAM_TYPE "application/vnd.awslambda.http-integration-response"
struct slice event_stream_prelude(const struct lambda_event *event, const struct reply *reply,
                                  struct arena *arena);
