/* Transactions on SQLite. A reader hands its closure to the lane and waits; on the lane it runs in a
 * savepoint of the batch. Besides, a reader's snapshot for one request. */
#include "data/sqlite_private.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>

/* ---- on the lane ---- */

/* Whether the transaction is still open: FULL, IOERR, NOMEM and an interrupt make SQLite roll the whole of it
 * back. */
static bool is_open(const struct sqlite_connection *writer)
{
    return sqlite3_get_autocommit(writer->handle) == 0;
}

/* What the closure's word is worth after what happened to its statements. */
static enum db_result settled(const struct sqlite_connection *writer, enum db_result result)
{
    if (result == DB_DONE && writer->is_lost) {
        log_message(LOG_ERROR, "a transaction wanted to commit after a statement of it had failed");
        return DB_ERROR;
    }
    return result;
}

enum db_result sqlite_run_in_transaction(struct sqlite_connection *writer, db_closure closure, void *arg)
{
    CHECK(writer->depth == 0);
    writer->depth = 1;
    writer->is_lost = false;
    enum db_result result = closure(&writer->base, arg);
    sqlite_close_open_rows(writer, 1);
    writer->depth = 0;
    return is_open(writer) ? settled(writer, result) : DB_ERROR;
}

static int control(struct sqlite_connection *writer, sqlite3_stmt **stmt, const char *sql)
{
    int code = sqlite_control(writer, stmt, sql);
    if (code != SQLITE_OK)
        sqlite_log_failure("a savepoint failed", code, sqlite3_errstr(code), sql);
    return code;
}

enum db_result sqlite_run_in_savepoint(struct sqlite_connection *writer, db_closure closure, void *arg)
{
    /* Savepoints of one name nest: RELEASE and ROLLBACK TO mean the innermost. */
    if (control(writer, &writer->savepoint, "SAVEPOINT job") != SQLITE_OK)
        return DB_ERROR;
    bool was_lost = writer->is_lost;
    writer->is_lost = false;
    writer->depth++;
    enum db_result result = closure(&writer->base, arg);
    sqlite_close_open_rows(writer, writer->depth);
    writer->depth--;
    result = settled(writer, result);
    writer->is_lost = was_lost;
    if (!is_open(writer)) {
        writer->is_lost = true;
        return DB_ERROR;
    }
    if (result != DB_DONE && control(writer, &writer->rollback_to, "ROLLBACK TO job") != SQLITE_OK)
        writer->is_lost = true;
    if (control(writer, &writer->release, "RELEASE job") != SQLITE_OK)
        writer->is_lost = true;
    return writer->is_lost ? DB_ERROR : result;
}

/* ---- from a reader's connection ---- */

struct handed_over {
    db_closure closure;
    void *arg;
    enum db_result result;
    sem_t *answered;
};

static enum db_result run_handed_over(struct db *db, void *arg)
{
    struct handed_over *work = arg;
    return work->closure(db, work->arg);
}

static void answer_handed_over(void *arg, enum db_result result, bool committed)
{
    struct handed_over *work = arg;
    work->result = committed ? result : DB_ERROR;
    sem_post(work->answered);
}

/* A transaction makes the caller's snapshot old: the next read must see what was written. Not while rows of
 * it are read. */
static void renew(struct sqlite_connection *reader)
{
    if (!reader->is_reading || reader->open.first != NULL)
        return;
    sqlite_read_end(&reader->base);
    sqlite_read_begin(&reader->base);
}

enum db_result sqlite_transaction(struct db *db, db_closure closure, void *arg)
{
    struct sqlite_connection *connection = (struct sqlite_connection *)db;
    if (connection->depth > 0) {
        if (connection->is_lost || !is_open(connection))
            return DB_ERROR;
        return sqlite_run_in_savepoint(connection, closure, arg);
    }
    /* A closure that uses another connection than the one it was given would wait for itself here. */
    CHECK(!lane_is_this_thread());
    struct handed_over work = {closure, arg, DB_ERROR, &connection->answered};
    struct lane_job job = {.run = run_handed_over, .done = answer_handed_over, .arg = &work};
    if (!store_submit(db->store, &job))
        return DB_ERROR;
    while (sem_wait(&connection->answered) != 0)
        CHECK(errno == EINTR);
    renew(connection);
    return work.result;
}

bool sqlite_in_transaction(const struct db *db)
{
    return ((const struct sqlite_connection *)db)->depth > 0;
}

/* ---- a request's snapshot ---- */

void sqlite_read_begin(struct db *db)
{
    struct sqlite_connection *reader = (struct sqlite_connection *)db;
    CHECK(reader->depth == 0 && !reader->is_reading);
    int code = sqlite_control(reader, &reader->begin_read, "BEGIN");
    if (code != SQLITE_OK) /* then each statement reads a snapshot of its own */
        sqlite_log_failure("a read transaction cannot begin", code, sqlite3_errstr(code), "BEGIN");
    reader->is_reading = code == SQLITE_OK;
    reader->read_began_us = clock_monotonic_us();
}

void sqlite_read_end(struct db *db)
{
    struct sqlite_connection *reader = (struct sqlite_connection *)db;
    CHECK(reader->depth == 0);
    sqlite_close_open_rows(reader, 0);
    if (!reader->is_reading)
        return;
    reader->is_reading = false;
    int code = sqlite_control(reader, &reader->commit, "COMMIT");
    if (sqlite3_get_autocommit(reader->handle) == 0) {
        sqlite_log_failure("a read transaction cannot end", code, sqlite3_errstr(code), "COMMIT");
        sqlite_control(reader, &reader->rollback, "ROLLBACK");
    }
}

void sqlite_read_renew_if_old(struct sqlite_connection *reader)
{
    if (reader->is_reading &&
        clock_monotonic_us() - reader->read_began_us > READ_TRANSACTION_MS_MAX * INT64_C(1000))
        renew(reader);
}
