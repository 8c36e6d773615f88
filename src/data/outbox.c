/* Appending to the outbox. Delivery is the business of jobs/. */
#include "data/outbox.h"

#include <stdatomic.h>

DB_STATEMENT(OUTBOX_APPEND) = {
    .sql = "INSERT INTO outbox (topic, payload, created_at, due_at) VALUES ($1, $2, $3, $4)",
    .params = {DB_TEXT, DB_JSON, DB_TIME, DB_TIME},
};

static _Atomic uint64_t appended;

uint64_t outbox_appended(void)
{
    return atomic_load_explicit(&appended, memory_order_relaxed);
}

enum db_result outbox_append(struct db *db, const char *topic, struct slice payload, int64_t now_ms)
{
    return outbox_append_at(db, topic, payload, now_ms, now_ms);
}

enum db_result outbox_append_at(struct db *db, const char *topic, struct slice payload, int64_t now_ms,
                                int64_t due_at_ms)
{
    /* Outside a transaction the message could leave without the change that it tells of. */
    CHECK(db_in_transaction(db));
    atomic_fetch_add_explicit(&appended, 1, memory_order_relaxed);
    return db_run(db, &OUTBOX_APPEND,
                  DB_ARGS(db_text(slice_from(topic)), db_json(payload), db_time(now_ms), db_time(due_at_ms)));
}
