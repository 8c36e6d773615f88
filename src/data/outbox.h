/* The outbox: what must happen outside the database because of a change inside it (mail, webhooks), written
 * in the same transaction as the change and delivered by a job. */
#pragma once

#include "data/db.h"

/* Appends a message. `topic` is a literal such as "order.placed"; `payload` is a JSON object. Must be inside
 * a transaction. */
enum db_result outbox_append(struct db *db, const char *topic, struct slice payload, int64_t now_ms);
/* The same, to be delivered at `due_at_ms` at the earliest. */
enum db_result outbox_append_at(struct db *db, const char *topic, struct slice payload, int64_t now_ms,
                                int64_t due_at_ms);

/* How many this process has appended, committed or not: whether it may be worth while to look. */
uint64_t outbox_appended(void);
