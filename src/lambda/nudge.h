/* Telling the queue of the jobs (SOUK_JOBS_QUEUE_URL) that there is something to deliver, so that mail need
 * not wait for the schedule. Best effort: the schedule finds what was not told. */
#pragma once

#include "lambda/handler.h"

#define NUDGE_TIMEOUT_MS 200

struct nudge;

/* NULL without a queue. */
struct nudge *nudge_new(const struct config *config);
void nudge_free(struct nudge *nudge);
/* Sends one message when something was put into the outbox since the last call. Within NUDGE_TIMEOUT_MS; that
 * it failed is a line of the log. `nudge` may be NULL. */
void nudge_send(struct nudge *nudge, struct arena *arena);
