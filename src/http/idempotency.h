/* The records behind Idempotency-Key: table idempotency_records, written in the same transaction as the
 * effect, kept 24 h. The gateway does this for every operation but those that handle their own replay
 * (checkout). */
#pragma once

#include "http/response.h"

#define IDEMPOTENCY_KEEP_MS (INT64_C(24) * 3600 * 1000)

enum idempotency_state {
    IDEMPOTENCY_NEW,    /* go on */
    IDEMPOTENCY_REPLAY, /* the same request was done: answer its reply again */
    IDEMPOTENCY_OTHER   /* the key was used with another body: 422 */
};

struct idempotency_record {
    int64_t status;
    struct slice body;    /* the stored reply, absent for a checkout */
    struct uuid order_id; /* of a checkout */
};

/* Inside the transaction. DB_DONE with *state (and *record unless new), or DB_ERROR. */
enum db_result idempotency_find(struct request *request, struct db *db, enum idempotency_state *state,
                                struct idempotency_record *record);
/* Stores the outcome; DB_CONFLICT when another node was first. */
enum db_result idempotency_store(struct request *request, struct db *db,
                                 const struct idempotency_record *record);
/* Adds the reply's bytes to a record that was stored without, for those that must be written before the reply
 * is known. */
enum db_result idempotency_complete(struct request *request, struct db *db, struct slice body);
/* Forgets what the key was used for: its outcome did not stand (a declined payment). */
enum db_result idempotency_forget(struct request *request, struct db *db);
/* Deletes up to `limit` records older than 24 h. */
enum db_result idempotency_purge(struct db *db, int64_t now_ms, int64_t limit, int64_t *deleted);
