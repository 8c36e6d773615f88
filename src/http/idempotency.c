/* The table of idempotency records. */
#include "http/idempotency.h"

/* A record older than it is kept counts as gone, even before the purge has met it. */
DB_STATEMENT(IDEMPOTENCY_FIND) = {
    .sql =
        "SELECT body_hash, status, body, order_id FROM idempotency_records WHERE scope = $1 AND created_at > $2",
    .params = {DB_BLOB, DB_TIME},
    .columns = {DB_BLOB, DB_INT, DB_TEXT, DB_UUID},
};

/* The primary key lets only one of two racing requests store; a record that is past its time gives way. */
DB_STATEMENT(IDEMPOTENCY_STORE) = {
    .sql =
        "INSERT INTO idempotency_records (scope, body_hash, status, body, order_id, created_at, subject_id)"
        " VALUES ($1, $2, $3, $4, $5, $6, $8)"
        " ON CONFLICT (scope) DO UPDATE SET body_hash = excluded.body_hash, status = excluded.status,"
        " body = excluded.body, order_id = excluded.order_id, created_at = excluded.created_at, subject_id = excluded.subject_id"
        " WHERE idempotency_records.created_at <= $7",
    .params = {DB_BLOB, DB_BLOB, DB_INT, DB_TEXT, DB_UUID, DB_TIME, DB_TIME, DB_UUID},
};

DB_STATEMENT(IDEMPOTENCY_PURGE) = {
    .sql = "DELETE FROM idempotency_records WHERE scope IN"
           " (SELECT scope FROM idempotency_records WHERE created_at <= $1 ORDER BY created_at LIMIT $2)",
    .params = {DB_TIME, DB_INT},
};

static struct slice digest_slice(const uint8_t digest[SHA256_LEN])
{
    return (struct slice){(const char *)digest, SHA256_LEN};
}

enum db_result idempotency_find(struct request *request, struct db *db, enum idempotency_state *state,
                                struct idempotency_record *record)
{
    *state = IDEMPOTENCY_NEW;
    struct db_rows *rows = db_query(db, &IDEMPOTENCY_FIND,
                                    DB_ARGS(db_blob(digest_slice(request->idempotency.scope)),
                                            db_time(request->now_ms - IDEMPOTENCY_KEEP_MS)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    bool is_same = slice_equals(db_get_text(rows, 0), digest_slice(request->idempotency.body));
    *state = is_same ? IDEMPOTENCY_REPLAY : IDEMPOTENCY_OTHER;
    *record = (struct idempotency_record){.status = db_get_int(rows, 1),
                                          .body = db_copy_text(rows, 2, request->arena),
                                          .order_id = db_get_uuid(rows, 3)};
    db_close(rows);
    return DB_DONE;
}

/* Whose data a stored reply may hold; a record without one (a checkout's, whose order is shown anew) needs
 * none. */
static struct db_value subject_of(const struct request *request)
{
    bool is_user = principal_is_user(&request->principal);
    struct uuid subject = uuid_is_nil(request->idempotency.subject) && is_user ? request->principal.user_id
                                                                               : request->idempotency.subject;
    return db_if(!uuid_is_nil(subject), db_uuid(subject));
}

DB_STATEMENT(IDEMPOTENCY_COMPLETE) = {
    .sql = "UPDATE idempotency_records SET body = $2, subject_id = $3 WHERE scope = $1",
    .params = {DB_BLOB, DB_TEXT, DB_UUID},
};

enum db_result idempotency_complete(struct request *request, struct db *db, struct slice body)
{
    return db_change(
        db, &IDEMPOTENCY_COMPLETE,
        DB_ARGS(db_blob(digest_slice(request->idempotency.scope)), db_text(body), subject_of(request)));
}

DB_STATEMENT(IDEMPOTENCY_FORGET) = {
    .sql = "DELETE FROM idempotency_records WHERE scope = $1",
    .params = {DB_BLOB},
};

enum db_result idempotency_forget(struct request *request, struct db *db)
{
    return db_run(db, &IDEMPOTENCY_FORGET, DB_ARGS(db_blob(digest_slice(request->idempotency.scope))));
}

enum db_result idempotency_store(struct request *request, struct db *db,
                                 const struct idempotency_record *record)
{
    return db_change(db, &IDEMPOTENCY_STORE,
                     DB_ARGS(db_blob(digest_slice(request->idempotency.scope)),
                             db_blob(digest_slice(request->idempotency.body)), db_int(record->status),
                             db_text(record->body),
                             db_if(!uuid_is_nil(record->order_id), db_uuid(record->order_id)),
                             db_time(request->now_ms), db_time(request->now_ms - IDEMPOTENCY_KEEP_MS),
                             db_if(!slice_is_absent(record->body), subject_of(request))));
}

enum db_result idempotency_purge(struct db *db, int64_t now_ms, int64_t limit, int64_t *deleted)
{
    enum db_result result =
        db_run(db, &IDEMPOTENCY_PURGE, DB_ARGS(db_time(now_ms - IDEMPOTENCY_KEEP_MS), db_int(limit)));
    *deleted = result == DB_DONE ? db_changes(db) : 0;
    return result;
}
