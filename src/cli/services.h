/* What the long-running commands, `serve` and `work`, begin with. */
#pragma once

#include "cli/args.h"
#include "http/services.h"
#include "net/trace_export.h"

#include <signal.h>

/* SIGINT and SIGTERM, which end such a command. Blocked in every thread that follows, so that only its
 * sigwait sees them; not ignored, as a shell's background job starts. */
void cli_claim_signals(sigset_t *ends);

/* Opens the store, making an empty shop where there is none, brings the schema up to date (or refuses, as
 * SOUK_MIGRATE says), reads the signing keys and derives those of SOUK_SECRET. The cache and Redis stay NULL.
 * Says on standard error what is wrong. A PostgreSQL that cannot be reached is no failure: the log says why
 * it cannot, and services->is_closed is set until cli_services_wait. Whatever it returns, cli_services_close.
 */
bool cli_services_open(const struct args *args, struct config *config, struct services *services);

/* The parts of it, which say nothing themselves, for what has another way to say it (cli/lambda.c). First the
 * store, whatever its schema and whether it can be reached; */
bool cli_services_begin(const struct args *args, struct config *config, struct services *services,
                        struct slice *complaint);
/* then the rest; while the PostgreSQL cannot be reached it is true and services->is_closed set: again later.
 */
bool cli_services_try(const struct args *args, struct services *services, struct slice *complaint);
/* Redis, without a cache. REDIS_URL is set. */
bool cli_redis_open(const struct args *args, struct services *services, struct slice *complaint);
bool cli_issuer_try(const struct args *args, struct services *services, struct slice *complaint);

enum cli_wait { CLI_OPEN, CLI_ENDED, CLI_REFUSED };
/* Waits until the database is there and all that stands above is done: CLI_OPEN, at once where it was done at
 * the start. A schema that is behind and may not be changed (SOUK_MIGRATE) is waited for as well: CLI_REFUSED
 * is for what waiting does not mend, said on standard error. CLI_ENDED: one of `ends` came. The log says what
 * it waits for. */
enum cli_wait cli_services_wait(const struct args *args, struct services *services, const sigset_t *ends);
/* Metrics as SOUK_METRICS says, traces as SOUK_TRACE says, from now on. Before any thread starts. */
bool cli_observe_start(const struct config *config, enum trace_sending sending, struct arena *arena,
                       struct slice *complaint);
/* The last ones leave. */
void cli_observe_stop(struct arena *arena);
/* Returns when one of `ends` came; meanwhile writes metrics, as SOUK_METRICS says. */
void cli_run_until(const struct args *args, const sigset_t *ends);
/* Makes the cache, with so many bytes of memory, and lets it tell the other servers of the shop, and hear of
 * what they change: by Redis, where one is set, else by the database. With no memory and nobody to tell there
 * is no cache. False after it has said why: REDIS_URL is wrong (that Redis is away is no reason). */
bool cli_cache_open(const struct args *args, struct services *services, size_t bytes_max);
/* With another identity provider than the shop itself: checks its settings and begins to read its keys. False
 * after it has said why (that it is away is no reason). */
bool cli_issuer_open(const struct args *args, struct services *services);
/* Frees what is in there, the key ring, the cache and Redis too. */
void cli_services_close(struct services *services);
