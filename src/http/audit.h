/* The audit log: who changed what, from which state to which, from where. Every operation with staff access
 * that changes something adds one entry, in the transaction of the change: both stand, or neither.
 *
 * A state is JSON as the API shows the resource. It never holds a secret, a password's hash or a token. What
 * is personal of a customer stands in it only under the kind "user", whose entries an erasure empties; so the
 * state of an order is its statuses and amounts. */
#pragma once

#include "http/response.h"

#define AUDIT_USER "user" /* the kind whose states an erasure removes */

/* A state that is being written. */
struct audit_state {
    struct buf text;
    struct json_writer json;
};

/* Memory is the arena's. */
void audit_state_begin(struct audit_state *state, struct arena *arena);
/* What was written; absent when the arena is exhausted. */
struct slice audit_state_end(const struct audit_state *state);

/* Adds the entry of this request's change. `id` is the resource's id or name; a state is absent where there
 * is none: before a creation, after a deletion. Inside the transaction of the change. DB_DONE or DB_ERROR. */
enum db_result audit_record(struct request *request, struct db *db, const char *kind, struct slice id,
                            struct slice before, struct slice after);
enum db_result audit_record_id(struct request *request, struct db *db, const char *kind, struct uuid id,
                               struct slice before, struct slice after);

/* The same at the end of a handler that runs whole in its transaction and whose reply is the resource: the
 * state after is the reply's, or none at 204. A refusal leaves no entry. Returns `status`, or the failure:
 *     return audited(request, response, "category", id, before, HTTP_STATUS_OK); */
enum http_status audited(struct request *request, struct response *response, const char *kind, struct uuid id,
                         struct slice before, enum http_status status);
enum http_status audited_named(struct request *request, struct response *response, const char *kind,
                               struct slice name, struct slice before, enum http_status status);

/* The least id of an entry at this time or later. */
struct uuid audit_id_at(int64_t time_ms);
/* Deletes up to `limit` entries older than `before_ms`; for the sweep, inside a transaction. */
enum db_result audit_purge(struct db *db, int64_t before_ms, int64_t limit, int64_t *deleted);
