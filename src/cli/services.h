/* What the long-running commands, `serve` and `work`, begin with. */
#pragma once

#include "cli/args.h"
#include "http/services.h"

#include <signal.h>

/* SIGINT and SIGTERM, which end such a command. Blocked in every thread that follows, so that only its
 * sigwait sees them; not ignored, as a shell's background job starts. */
void cli_claim_signals(sigset_t *ends);

/* Opens the store, making an empty shop where there is none, brings the schema up to date (or refuses, as
 * SOUK_MIGRATE says) and derives the keys of SOUK_SECRET. The key ring, the cache and Redis stay NULL. Says
 * on standard error what is wrong. Whatever it returns, cli_services_close. */
bool cli_services_open(const struct args *args, struct config *config, struct services *services);
/* Makes the cache, with so many bytes of memory, and lets it tell the other servers of the shop, and hear of
 * what they change: by Redis, where one is set, else by the database. With no memory and nobody to tell there
 * is no cache. False after it has said why: REDIS_URL is wrong (that Redis is away is no reason). */
bool cli_cache_open(const struct args *args, struct services *services, size_t bytes_max);
/* Frees what is in there, the key ring, the cache and Redis too. */
void cli_services_close(struct services *services);
