/* The life of a message: waiting (due_at in the past) - claimed (due_at is the end of the lease, attempts one
 * more) - delivered (due_at NULL, delivered_at set), or waiting again until a later due_at, or given up (both
 * NULL).
 *
 * Every step is an UPDATE that names the due_at and attempts it was decided on: of two processes one wins. A
 * process that dies between sending and settling leaves the claim, whose lease ends, and the mail goes out
 * again under the same Message-Id. A message that kills its process is given up like one that fails: the
 * attempt was counted when it was claimed. */
#include "jobs/outbox_delivery.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/metrics.h"
#include "jobs/erased.h"
#include "jobs/messages.h"

#define BACKOFF_FIRST_MS INT64_C(30000)
#define BACKOFF_MAX_MS (INT64_C(6) * 3600 * 1000)
#define LEASE_RESERVE_MS (OUTBOX_LEASE_MS / 3) /* no delivery begins when less of the lease is left */
#define ERROR_BYTES_MAX 300
#define PENDING_COUNT_MAX 100000

METRIC_DEFINE(PENDING, "souk_outbox_pending", "Messages that wait to be delivered, counted up to 100000",
              NULL, METRIC_GAUGE);
METRIC_DEFINE(DELIVERED, "souk_outbox_delivered_total", "Messages delivered", NULL, METRIC_COUNTER);
METRIC_DEFINE(FAILED, "souk_outbox_failed_total", "Attempts to deliver a message that failed", NULL,
              METRIC_COUNTER);
METRIC_DEFINE(GIVEN_UP, "souk_outbox_given_up_total", "Messages given up after their last attempt", NULL,
              METRIC_COUNTER);

/* A claimed message and what becomes of it. */
struct claim {
    struct outbox_message message;
    int64_t due_at_ms, attempts; /* as it was met, then as it was claimed */
    bool is_ours;
    int64_t next_due_at_ms, delivered_at_ms; /* 0: NULL */
    int64_t next_attempts;
    struct slice error; /* absent: none */
    char error_text[ERROR_BYTES_MAX];
};

struct batch {
    struct claim claims[OUTBOX_BATCH_MAX];
    size_t count;
    int64_t lease_ends_ms;
};

/* ---- claiming ---- */

DB_STATEMENT(OUTBOX_DUE) = {
    .sql = "SELECT id, topic, payload, created_at, due_at, attempts FROM outbox"
           " WHERE due_at IS NOT NULL AND due_at <= $1 ORDER BY due_at, id LIMIT $2",
    .params = {DB_TIME, DB_INT},
    .columns = {DB_INT, DB_TEXT, DB_JSON, DB_TIME, DB_TIME, DB_INT},
};

static enum db_result batch_read(struct step *step, struct batch *batch)
{
    struct db_rows *rows =
        db_query(step->db, &OUTBOX_DUE, DB_ARGS(db_time(step->now_ms), db_int(OUTBOX_BATCH_MAX)));
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW) {
        batch->claims[batch->count++] = (struct claim){
            .message = {.id = db_get_int(rows, 0),
                        .topic = db_copy_text(rows, 1, step->arena),
                        .payload = db_copy_text(rows, 2, step->arena),
                        .created_at_ms = db_get_time(rows, 3)},
            .due_at_ms = db_get_time(rows, 4),
            .attempts = db_get_int(rows, 5),
        };
    }
    return result;
}

DB_STATEMENT(OUTBOX_CLAIM) = {
    .sql =
        "UPDATE outbox SET attempts = attempts + 1, due_at = $4 WHERE id = $1 AND due_at = $2 AND attempts = $3",
    .params = {DB_INT, DB_TIME, DB_INT, DB_TIME},
};

static enum db_result batch_claim(struct db *db, void *arg)
{
    struct batch *batch = arg;
    for (size_t i = 0; i < batch->count; i++) {
        struct claim *claim = &batch->claims[i];
        enum db_result result = db_change(db, &OUTBOX_CLAIM,
                                          DB_ARGS(db_int(claim->message.id), db_time(claim->due_at_ms),
                                                  db_int(claim->attempts), db_time(batch->lease_ends_ms)));
        if (result == DB_ERROR)
            return result;
        claim->is_ours = result == DB_DONE; /* else another process was faster */
    }
    return DB_DONE;
}

/* ---- delivering ---- */

int64_t outbox_backoff_ms(int64_t attempts, uint64_t random)
{
    int64_t wait_ms = BACKOFF_FIRST_MS;
    for (int64_t i = 1; i < attempts && wait_ms < BACKOFF_MAX_MS; i++)
        wait_ms *= 2;
    if (wait_ms > BACKOFF_MAX_MS)
        wait_ms = BACKOFF_MAX_MS;
    return wait_ms - wait_ms / 4 + (int64_t)(random % (uint64_t)(wait_ms / 2 + 1));
}

static void claim_delivered(struct claim *claim)
{
    claim->delivered_at_ms = clock_now_ms();
    metric_add(&DELIVERED, 1);
}

static void claim_given_up(struct claim *claim)
{
    struct log_line line;
    log_begin(&line, LOG_ERROR, "a message was given up");
    log_int(&line, "outbox", claim->message.id);
    log_string(&line, "topic", claim->message.topic);
    log_string(&line, "reason", claim->error);
    log_end(&line);
    metric_add(&GIVEN_UP, 1);
}

/* Later again, or never. */
static void claim_failed(struct claim *claim, struct slice why, bool is_final)
{
    size_t len = why.len < ERROR_BYTES_MAX ? why.len : ERROR_BYTES_MAX;
    memcpy(claim->error_text, why.ptr, len);
    claim->error = (struct slice){claim->error_text, len};
    metric_add(&FAILED, 1);
    if (is_final || claim->attempts >= OUTBOX_ATTEMPTS_MAX)
        claim_given_up(claim);
    else
        claim->next_due_at_ms = clock_now_ms() + outbox_backoff_ms(claim->attempts, random_u64());
}

/* As if it had never been claimed. */
static void claim_released(struct claim *claim, int64_t now_ms)
{
    claim->next_due_at_ms = now_ms;
    claim->next_attempts = claim->attempts - 1;
}

static void claim_finish_erasure(struct step *step, struct claim *claim)
{
    struct slice why = SLICE_ABSENT;
    if (erasure_finish(step, &claim->message, &why) == MESSAGE_READY)
        claim_delivered(claim);
    else
        claim_failed(claim, why, false);
}

static void claim_send(struct step *step, struct claim *claim)
{
    struct mail mail;
    struct slice why = SLICE_ABSENT;
    if (is_erasure(&claim->message)) {
        claim_finish_erasure(step, claim);
        return;
    }
    switch (message_make(step, &claim->message, &mail, &why)) {
    case MESSAGE_MOOT:
        claim->error = SLICE("nobody to tell");
        claim_delivered(claim);
        return;
    case MESSAGE_FAILED:
        claim_failed(claim, why, false);
        return;
    case MESSAGE_READY:
        break;
    }
    enum mail_result sent = step->mailer->send(step->mailer, step->arena, &mail, &why);
    if (sent == MAIL_SENT)
        claim_delivered(claim);
    else
        claim_failed(claim, why, sent == MAIL_REFUSED);
}

static void batch_send(struct step *step, struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct claim *claim = &batch->claims[i];
        size_t mark = arena_mark(step->arena); /* a letter at a time: orders can be large */
        if (!claim->is_ours)
            continue;
        claim->due_at_ms = batch->lease_ends_ms;
        claim->attempts++;
        claim->next_attempts = claim->attempts;
        if (claim->attempts > OUTBOX_ATTEMPTS_MAX)
            claim_failed(claim, SLICE("no attempt came to its end"), true);
        else if (step_must_end(step) || clock_now_ms() > batch->lease_ends_ms - LEASE_RESERVE_MS)
            claim_released(claim, step->now_ms);
        else
            claim_send(step, claim);
        arena_rewind(step->arena, mark);
    }
}

/* ---- settling ---- */

DB_STATEMENT(OUTBOX_SETTLE) = {
    .sql = "UPDATE outbox SET due_at = $4, delivered_at = $5, last_error = $6, attempts = $7"
           " WHERE id = $1 AND due_at = $2 AND attempts = $3",
    .params = {DB_INT, DB_TIME, DB_INT, DB_TIME, DB_TIME, DB_TEXT, DB_INT},
};

static enum db_result batch_settle(struct db *db, void *arg)
{
    const struct batch *batch = arg;
    for (size_t i = 0; i < batch->count; i++) {
        const struct claim *claim = &batch->claims[i];
        if (!claim->is_ours)
            continue;
        /* A conflict: the lease ended meanwhile, and another process has the message now. */
        if (db_change(db, &OUTBOX_SETTLE,
                      DB_ARGS(db_int(claim->message.id), db_time(claim->due_at_ms), db_int(claim->attempts),
                              db_if(claim->next_due_at_ms != 0, db_time(claim->next_due_at_ms)),
                              db_if(claim->delivered_at_ms != 0, db_time(claim->delivered_at_ms)),
                              db_text(claim->error), db_int(claim->next_attempts))) == DB_ERROR)
            return DB_ERROR;
    }
    return DB_DONE;
}

enum db_result outbox_deliver(struct step *step)
{
    struct batch *batch = ARENA_NEW(step->arena, struct batch);
    enum db_result result = batch_read(step, batch);
    if (result != DB_DONE || batch->count == 0)
        return result;
    batch->lease_ends_ms = step->now_ms + OUTBOX_LEASE_MS;
    result = db_transaction(step->db, batch_claim, batch);
    if (result != DB_DONE)
        return result;
    batch_send(step, batch);
    step->has_more = batch->count == OUTBOX_BATCH_MAX;
    return db_transaction(step->db, batch_settle, batch);
}

/* ---- sweeping and counting ---- */

DB_STATEMENT(OUTBOX_PURGE) = {
    .sql = "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox"
           " WHERE delivered_at IS NOT NULL AND delivered_at <= $1 ORDER BY delivered_at LIMIT $2)",
    .params = {DB_TIME, DB_INT},
};

enum db_result outbox_purge(struct db *db, int64_t now_ms, int64_t limit, int64_t *deleted)
{
    enum db_result result =
        db_run(db, &OUTBOX_PURGE, DB_ARGS(db_time(now_ms - OUTBOX_KEEP_MS), db_int(limit)));
    *deleted = result == DB_DONE ? db_changes(db) : 0;
    return result;
}

DB_STATEMENT(OUTBOX_PENDING) = {
    .sql = "SELECT COUNT(*) FROM (SELECT id FROM outbox WHERE due_at IS NOT NULL LIMIT $1) waiting",
    .params = {DB_INT},
    .columns = {DB_INT},
};

void outbox_measure(struct db *db)
{
    int64_t count = 0;
    if (db_one_int(db, &OUTBOX_PENDING, DB_ARGS(db_int(PENDING_COUNT_MAX)), &count) == DB_ROW)
        metric_set(&PENDING, count);
    metric_add(&DELIVERED, 0); /* shown from the start */
    metric_add(&FAILED, 0);
    metric_add(&GIVEN_UP, 0);
}
