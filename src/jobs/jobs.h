/* What souk does by itself: delivering the outbox, ending holds, asking providers again, sweeping up. One
 * thread with a database connection of its own; several processes may do it at once on one database (`souk
 * serve` and `souk work`). */
#pragma once

#include "http/services.h"

struct jobs;

/* Starts the thread; mail_settings_check was passed. `services` outlives it; its cache and keys may be NULL.
 * NULL when the system gives no thread or memory. */
struct jobs *jobs_start(const struct services *services);
/* Lets the step that runs finish, then ends the thread. Before store_close. */
void jobs_stop(struct jobs *jobs);

/* The same without a thread, for a process that runs only when it is asked to (lambda/jobs_handler.c). */
struct jobs *jobs_open(const struct services *services);
/* Before store_close. NULL is fine. */
void jobs_close(struct jobs *jobs);

struct jobs_outcome {
    unsigned run, failed; /* jobs */
    unsigned steps;
    bool is_left; /* the time ended before the work did */
};

bool jobs_has(struct slice name);
/* Runs the job of this name (jobs_has it), or all of them where it is absent, the slow ones too, until
 * nothing is left to do. Times are monotonic: none begins anything after `ends_us`, and no statement outlives
 * `deadline_us`, which leaves what was begun the time to be written down. */
void jobs_run_until(struct jobs *jobs, struct slice name, int64_t ends_us, int64_t deadline_us,
                    struct jobs_outcome *outcome);
