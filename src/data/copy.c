/* Bringing the rows of a shop over, and the mark on the database that holds a part of them. */
#include "data/copy_private.h"

#include "base/clock.h"

#include <time.h>

#define TRANSACTION_ROWS 20000  /* made durable together: what a kill costs */
#define OTHERS_PATIENCE_MS 3000 /* a connection that was just cut is still counted for a moment */
#define OTHERS_PAUSE_MS 50

bool copy_tell(const struct copy_job *job, const char *what, const char *table, int64_t done, int64_t total)
{
    return job->watch == NULL || job->watch(what, table, done, total, job->watch_arg);
}

static enum copy_result failed(const struct copy_job *job, const char *what)
{
    *job->complaint = slice_from(what);
    return COPY_FAILED;
}

/* ---- who else is there ---- */

/* SQLite tells by its lock. */
DB_STATEMENT(OTHERS_COUNT) = {
    .sql = "SELECT 0",
    .sql_postgres = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND application_name = 'souk' AND pid <> pg_backend_pid()",
    .columns = {DB_INT},
};

int64_t copy_others(struct store *store)
{
    int64_t give_up_us = clock_monotonic_us() + OTHERS_PATIENCE_MS * INT64_C(1000);
    struct db *db = store_connect(store);
    int64_t others = -1;
    while (db != NULL && db_one_int(db, &OTHERS_COUNT, DB_NO_ARGS, &others) == DB_ROW && others > 0 &&
           clock_monotonic_us() < give_up_us)
        nanosleep(&(struct timespec){.tv_nsec = OTHERS_PAUSE_MS * 1000000L}, NULL);
    if (db != NULL)
        store_disconnect(db);
    return others;
}

/* ---- the mark ---- */

DB_STATEMENT(MARK_READ) = {
    .sql = "SELECT source FROM unfinished_copy",
    .columns = {DB_TEXT},
};

DB_STATEMENT(MARK_INSERT) = {
    .sql = "INSERT INTO unfinished_copy (id, source, begun_at) VALUES (1, $1, $2)",
    .params = {DB_TEXT, DB_TIME},
};

DB_STATEMENT(MARK_DELETE) = {
    .sql = "DELETE FROM unfinished_copy WHERE id = 1",
};

DB_STATEMENT(SETTINGS_EDITED) = {
    .sql = "SELECT COUNT(*) FROM shop_settings WHERE version <> 1",
    .columns = {DB_INT},
};

/* The rows that a migration put there give way to the shop's own. */
DB_STATEMENT(SETTINGS_DELETE) = {
    .sql = "DELETE FROM shop_settings WHERE id = 1",
};

DB_STATEMENT(ROLES_EDITED) = {
    .sql = "SELECT COUNT(*) FROM roles WHERE version <> 1 OR created_at > $1",
    .params = {DB_TIME},
    .columns = {DB_INT},
};

DB_STATEMENT(ROLES_DELETE) = {
    .sql = "DELETE FROM roles",
};

enum db_result copy_is_unfinished(struct store *store, bool *is_unfinished)
{
    struct db *db = store_connect(store);
    if (db == NULL)
        return DB_ERROR;
    struct db_rows *rows = db_query(db, &MARK_READ, DB_NO_ARGS);
    enum db_result result = db_next(rows);
    *is_unfinished = result == DB_ROW;
    if (result == DB_ROW)
        db_close(rows);
    store_disconnect(db);
    return result == DB_ROW || result == DB_DONE ? DB_DONE : DB_ERROR;
}

/* Of which shop, at which version of the schema, the target is a copy. */
static struct slice source_name(const struct copy_sums *sums, struct arena *arena)
{
    uint64_t whole = 0;
    for (size_t i = 0; i < sums->table_count; i++)
        whole =
            whole * UINT64_C(0x9E3779B97F4A7C15) + sums->tables[i].digest + (uint64_t)sums->tables[i].rows;
    return arena_format(arena, "%016llx", (unsigned long long)whole);
}

static enum db_result set_mark(struct db *db, void *arg)
{
    const struct slice *source = arg;
    enum db_result result = db_run(db, &MARK_INSERT, DB_ARGS(db_text(*source), db_time(clock_now_ms())));
    if (result == DB_DONE)
        result = db_run(db, &SETTINGS_DELETE, DB_NO_ARGS);
    return result == DB_DONE ? db_run(db, &ROLES_DELETE, DB_NO_ARGS) : result;
}

/* How many rows a table of the target has that no migration put there. */
static enum db_result rows_of_its_own(const struct copy_job *job, struct db *db,
                                      const struct copy_table *table, int64_t *rows)
{
    if (strcmp(table->name, "shop_settings") == 0)
        return db_one_int(db, &SETTINGS_EDITED, DB_NO_ARGS, rows);
    if (strcmp(table->name, "roles") == 0)
        return db_one_int(db, &ROLES_EDITED, DB_ARGS(db_time(0)), rows);
    return copy_count(db, table, rows, job->arena);
}

/* Whether the target holds nothing but what migrations put there. */
static enum copy_result check_empty(const struct copy_job *job, struct db *db)
{
    int64_t rows;
    for (size_t i = 0; i < copy_table_count; i++) {
        const struct copy_table *table = &copy_tables[i];
        if (rows_of_its_own(job, db, table, &rows) != DB_ROW)
            return failed(job, "TO cannot be read; the log says why");
        if (rows > 0) {
            *job->complaint = arena_format(
                job->arena,
                "TO holds a shop already (there is something in its table %s): copy into an empty database",
                table->name);
            return COPY_FAILED;
        }
    }
    return COPY_DONE;
}

static enum copy_result begin_on(const struct copy_job *job, struct db *db, struct slice source,
                                 bool *is_continued)
{
    struct db_rows *rows = db_query(db, &MARK_READ, DB_NO_ARGS);
    enum db_result result = db_next(rows);
    *is_continued = result == DB_ROW;
    if (result == DB_ROW) {
        bool is_same = slice_equals(db_get_text(rows, 0), source);
        db_close(rows);
        return is_same
                   ? COPY_DONE
                   : failed(job, "TO holds an unfinished copy of another shop, or FROM has changed since it "
                                 "began: empty TO (\"souk migrate reset\") and copy again");
    }
    if (result != DB_DONE)
        return failed(job, "TO cannot be read; the log says why");
    if (check_empty(job, db) != COPY_DONE)
        return COPY_FAILED;
    return db_transaction(db, set_mark, &source) == DB_DONE ? COPY_DONE
                                                            : failed(job, "TO cannot be written to");
}

enum copy_result copy_begin(const struct copy_job *job, const struct copy_sums *sums, bool *is_continued)
{
    struct db *db = store_connect(job->to);
    if (db == NULL)
        return failed(job, "TO cannot be reached");
    enum copy_result result = begin_on(job, db, source_name(sums, job->arena), is_continued);
    store_disconnect(db);
    return result;
}

static enum db_result delete_mark(struct db *db, void *arg)
{
    (void)arg;
    return db_change(db, &MARK_DELETE, DB_NO_ARGS);
}

enum copy_result copy_settle(const struct copy_job *job)
{
    struct db *db = store_connect(job->to);
    enum db_result result = db != NULL ? db_transaction(db, delete_mark, NULL) : DB_ERROR;
    if (db != NULL)
        store_disconnect(db);
    return result == DB_DONE ? COPY_DONE : failed(job, "TO cannot be written to");
}

/* ---- the rows ---- */

struct rows_run {
    const struct copy_job *job;
    const struct db_driver *driver; /* of the target */
    struct db *from;
    struct db *to; /* where each table's end is looked for */
    struct db_bulk *bulk;
    int64_t done, total;
};

static enum copy_result load_failed(struct rows_run *run, const char *table)
{
    run->driver->bulk_rollback(run->bulk);
    *run->job->complaint =
        arena_format(run->job->arena, "table %s: %s", table, run->driver->bulk_error(run->bulk));
    return COPY_FAILED;
}

/* The rows from where the reader stands to the end of the table, in transactions. */
static enum copy_result load(struct rows_run *run, const struct copy_table *table, struct copy_reader *reader,
                             const struct db_bulk_table *target)
{
    enum db_result result;
    bool is_batch_full, goes_on = true;
    int pending = 0; /* rows of the open transaction */
    while (goes_on && (result = copy_reader_next(reader, &is_batch_full)) == DB_ROW) {
        if (pending == 0 && !run->driver->bulk_begin(run->bulk, target))
            return load_failed(run, table->name);
        if (!run->driver->bulk_row(run->bulk, reader->values))
            return load_failed(run, table->name);
        pending++;
        run->done++;
        if (is_batch_full)
            goes_on = copy_tell(run->job, "copying", table->name, run->done, run->total);
        if (pending >= TRANSACTION_ROWS && is_batch_full && !table->is_whole) {
            if (!run->driver->bulk_commit(run->bulk))
                return load_failed(run, table->name);
            pending = 0;
        }
    }
    if (goes_on && result != DB_DONE) {
        run->driver->bulk_rollback(run->bulk);
        return failed(run->job, "FROM cannot be read; the log says why");
    }
    if (!goes_on && table->is_whole)
        run->driver->bulk_rollback(run->bulk);
    else if (pending > 0 && !run->driver->bulk_commit(run->bulk))
        return load_failed(run, table->name);
    return goes_on ? COPY_DONE : COPY_STOPPED;
}

/* Behind the greatest key that is there already. */
static enum copy_result load_table(struct rows_run *run, const struct copy_table *table)
{
    const char *names[DB_COLUMNS_MAX];
    enum db_type types[DB_COLUMNS_MAX];
    struct db_value key[DB_COLUMNS_MAX];
    struct copy_reader reader;
    int64_t rows = 0;
    struct arena *arena = run->job->arena;
    for (int i = 0; i < table->column_count; i++) {
        names[i] = table->columns[i].name;
        types[i] = table->columns[i].type;
    }
    const struct db_bulk_table target = {table->name, names, types, table->column_count};
    enum db_result last = copy_last_key(run->to, table, key, arena);
    if (last == DB_ERROR || last == DB_CONFLICT || copy_count(run->to, table, &rows, arena) != DB_ROW)
        return failed(run->job, "TO cannot be read; the log says why");
    run->done += rows;
    copy_reader_open(&reader, run->from, table, last == DB_ROW ? key : NULL, arena);
    enum copy_result result = load(run, table, &reader, &target);
    copy_reader_close(&reader);
    return result;
}

static enum copy_result load_all(struct rows_run *run)
{
    enum copy_result result = COPY_DONE;
    for (size_t i = 0; i < copy_table_count && result == COPY_DONE; i++)
        result = load_table(run, &copy_tables[i]);
    if (result == COPY_DONE)
        copy_tell(run->job, "copying", "", run->total, run->total);
    return result;
}

static enum copy_result load_from_snapshot(struct rows_run *run)
{
    const struct db_driver *source = run->job->from->driver;
    if (!source->snapshot_begin(run->from))
        return failed(run->job, "FROM cannot be read; the log says why");
    enum copy_result result = load_all(run);
    source->snapshot_end(run->from);
    return result;
}

enum copy_result copy_rows(const struct copy_job *job, const struct copy_sums *sums)
{
    struct rows_run run = {.job = job, .driver = job->to->driver};
    for (size_t i = 0; i < sums->table_count; i++)
        run.total += sums->tables[i].rows;
    run.bulk = run.driver->bulk_open(job->to, job->arena, job->complaint);
    if (run.bulk == NULL)
        return COPY_FAILED;
    run.from = store_connect(job->from);
    run.to = store_connect(job->to);
    enum copy_result result = run.from != NULL && run.to != NULL
                                  ? load_from_snapshot(&run)
                                  : failed(job, "there is no connection to FROM and TO");
    if (run.from != NULL)
        store_disconnect(run.from);
    if (run.to != NULL)
        store_disconnect(run.to);
    run.driver->bulk_close(run.bulk);
    return result;
}

enum copy_result copy_finish(const struct copy_job *job)
{
    const struct db_driver *driver = job->to->driver;
    struct db_bulk *bulk = driver->bulk_open(job->to, job->arena, job->complaint);
    if (bulk == NULL)
        return COPY_FAILED;
    bool is_done = driver->bulk_finish(bulk);
    if (!is_done)
        *job->complaint = arena_format(job->arena, "TO cannot be finished: %s", driver->bulk_error(bulk));
    driver->bulk_close(bulk);
    return is_done ? COPY_DONE : COPY_FAILED;
}
