/* Delivering the outbox: at least once, by one process at a time, later again when it fails, given up in the
 * end. */
#pragma once

#include "jobs/step.h"

#define OUTBOX_ATTEMPTS_MAX 12
#define OUTBOX_LEASE_MS 60000 /* how long a claimed message is nobody else's */
#define OUTBOX_BATCH_MAX 20
#define OUTBOX_KEEP_MS (INT64_C(7) * 24 * 3600 * 1000) /* delivered messages, before they are purged */

/* Delivers one batch of what is due. DB_DONE or DB_ERROR. */
enum db_result outbox_deliver(struct step *step);

/* How long to wait after the n-th failed attempt (1, 2, ...): 30 s, doubled each time, at most 6 h, a quarter
 * more or less by `random`. All of it together is about 14 hours. */
int64_t outbox_backoff_ms(int64_t attempts, uint64_t random);

/* Deletes up to `limit` delivered messages that are older than OUTBOX_KEEP_MS. Inside a transaction. What was
 * given up stays. */
enum db_result outbox_purge(struct db *db, int64_t now_ms, int64_t limit, int64_t *deleted);
/* Brings the gauge of waiting messages up to date. */
void outbox_measure(struct db *db);
