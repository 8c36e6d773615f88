/* What the long-running commands, `serve` and `work`, begin with. */
#pragma once

#include "cli/args.h"
#include "http/services.h"

#include <signal.h>

/* SIGINT and SIGTERM, which end such a command. Blocked in every thread that follows, so that only its
 * sigwait sees them; not ignored, as a shell's background job starts. */
void cli_claim_signals(sigset_t *ends);

/* Opens the store, making an empty shop where there is none, brings the schema up to date (or refuses, as
 * SOUK_MIGRATE says) and derives the keys of SOUK_SECRET. The key ring and the cache stay NULL. Says on
 * standard error what is wrong. Whatever it returns, cli_services_close. */
bool cli_services_open(const struct args *args, struct config *config, struct services *services);
/* Lets the cache hear of what other servers of the shop change: by Redis, else by the database. */
void cli_cache_connect(struct services *services);
/* Frees what is in there, the key ring and the cache too. */
void cli_services_close(struct services *services);
