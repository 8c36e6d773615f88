/* The loop of a Lambda function ("Lambda runtime API" of AWS's documentation): asks for the next invocation,
 * hands it to the handler, posts what it left. An error of one invocation ends nothing. */
#pragma once

#include "lambda/handler.h"

#define LAMBDA_EVENT_BYTES_MAX ((size_t)12 << 20) /* what Lambda hands on is 6 MB of JSON at most */
/* Of one invocation, beside the request's own arena: the event, and the answer around a body. */
#define LAMBDA_ARENA_BYTES ((size_t)96 << 20)
/* So long before Lambda ends the process it must be done, for the answer to get out. */
#define LAMBDA_DEADLINE_MARGIN_MS 500

struct lambda_http;

/* Runs until it shall end (`http` says when, or the API refuses to go on: *complaint, false). The handler is
 * open. */
bool lambda_run(struct lambda_http *http, struct lambda_context *context, struct slice *complaint);
/* Tells the API that the function cannot begin, and why; the caller ends the process. False when nobody took
 * it. */
bool lambda_report_init_error(struct lambda_http *http, struct arena *arena, struct slice type,
                              struct slice message);
