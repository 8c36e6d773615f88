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
