/* Events that are no HTTP requests: reading them, and saying what is wrong with one. */
#pragma once

#include "lambda/handler.h"

#include <jansson.h>

/* The event as an object, the caller's to json_decref; else NULL, and the result says that it is malformed.
 */
json_t *lambda_event_object(const struct invocation *invocation, struct lambda_result *result);
/* A text among the members, copied; absent when it is missing or no text. `object` may be NULL. */
struct slice lambda_event_text(struct arena *arena, const json_t *object, const char *name);
void lambda_fail(struct lambda_result *result, struct slice type, struct slice message);
