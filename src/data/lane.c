/* The write lane: one thread that owns the writing connection. It takes the closures that wait, runs each in
 * a savepoint, commits them together with one sync of the log, and only then answers them. While it syncs,
 * the next ones gather: the busier the shop, the larger the batch, and a lone write never waits for company.
 *
 * What must never happen is that a failure in one closure loses its neighbour's order. Three cases:
 * - The closure rolls back: its savepoint goes, the rest stays.
 * - A full disk, an I/O error, no memory or an interrupt makes SQLite roll the whole transaction back,
 * silently for the closures that ran before. So autocommit is looked at after each closure, and then all of
 * the batch run again, one by one.
 * - COMMIT fails: nothing happened, and every closure of the batch is told so. */
#include "data/sqlite_private.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"

#include <time.h>

METRIC_DEFINE(BATCHES_1, "souk_lane_batches_total", "Commits of the write lane by the number of jobs in them",
              "jobs=\"1\"", METRIC_COUNTER);
METRIC_DEFINE(BATCHES_8, "souk_lane_batches_total", "", "jobs=\"2-8\"", METRIC_COUNTER);
METRIC_DEFINE(BATCHES_32, "souk_lane_batches_total", "", "jobs=\"9-32\"", METRIC_COUNTER);
METRIC_DEFINE(BATCHES_MORE, "souk_lane_batches_total", "", "jobs=\"33+\"", METRIC_COUNTER);
METRIC_DEFINE(JOBS, "souk_lane_jobs_total", "Jobs that the write lane answered", NULL, METRIC_COUNTER);
METRIC_DEFINE(EXPIRED, "souk_lane_jobs_expired_total", "Jobs whose deadline passed before they started", NULL,
              METRIC_COUNTER);
METRIC_DEFINE(REFUSED, "souk_lane_jobs_refused_total", "Jobs refused because the queue was full", NULL,
              METRIC_COUNTER);
METRIC_DEFINE(RERUNS, "souk_lane_batch_reruns_total",
              "Batches that were run again job by job after a failure", NULL, METRIC_COUNTER);
METRIC_DEFINE(COMMIT_FAILURES, "souk_lane_commit_failures_total",
              "Transactions that could not begin or commit", NULL, METRIC_COUNTER);
METRIC_DEFINE(QUEUE_DEPTH, "souk_lane_queue_depth", "Jobs that wait for the write lane", NULL, METRIC_GAUGE);
METRIC_DEFINE(WAL_BYTES, "souk_lane_wal_bytes", "Length of the write-ahead log", NULL, METRIC_GAUGE);
METRIC_DEFINE(WAL_WRITTEN, "souk_lane_wal_written_bytes_total", "Bytes written to the write-ahead log", NULL,
              METRIC_COUNTER);
METRIC_DEFINE(CPU_US, "souk_lane_cpu_microseconds_total", "CPU time of the write lane's thread", NULL,
              METRIC_COUNTER);
HISTOGRAM_DEFINE(COMMIT_DURATION, "souk_lane_commit_seconds", "Duration of COMMIT, which syncs the log");

struct outcome {
    struct lane_job *job;
    enum db_result result;
    bool committed;
};

struct batch {
    struct outcome outcomes[LANE_BATCH_MAX];
    size_t count;
};

static _Thread_local bool is_lane_thread;

bool lane_is_this_thread(void)
{
    return is_lane_thread;
}

/* ---- one transaction ---- */

static int control(struct sqlite_connection *writer, sqlite3_stmt **stmt, const char *sql)
{
    int code = sqlite_control(writer, stmt, sql);
    if (code != SQLITE_OK)
        sqlite_log_failure("the write lane's transaction failed", code, sqlite3_errstr(code), sql);
    return code;
}

/* SQLite calls this after each commit of the lane, with the number of frames in the log. */
static int on_commit(void *arg, sqlite3 *handle, const char *schema, int frames)
{
    (void)handle;
    (void)schema;
    struct lane *lane = arg;
    checkpointer_committed(&lane->checkpointer, frames);
    int64_t frame_bytes = atomic_load(&lane->store->page_bytes) + 24;
    int64_t bytes = frames * frame_bytes;
    int64_t before = atomic_exchange(&lane->store->wal_bytes, bytes);
    metric_set(&WAL_BYTES, bytes);
    metric_add(&WAL_WRITTEN, bytes > before ? bytes - before : bytes);
    return SQLITE_OK;
}

/* The writing connection, opened at the first batch and again after one that had to be closed; NULL when that
 * fails. */
static struct sqlite_connection *writer_of(struct lane *lane)
{
    if (lane->connection == NULL) {
        lane->connection = sqlite_connection_open(lane->store, SQLITE_WRITER, NULL, NULL);
        if (lane->connection != NULL)
            sqlite3_wal_hook(lane->connection->handle, on_commit, lane);
    }
    return lane->connection;
}

static bool begin(struct lane *lane)
{
    struct sqlite_connection *writer = writer_of(lane);
    if (writer == NULL)
        return false;
    writer->is_lost = false;
    return control(writer, &writer->begin_immediate, "BEGIN IMMEDIATE") == SQLITE_OK;
}

static void roll_back(struct lane *lane)
{
    struct sqlite_connection *writer = lane->connection;
    if (sqlite3_get_autocommit(writer->handle) == 0)
        control(writer, &writer->rollback, "ROLLBACK");
    if (sqlite3_get_autocommit(writer->handle) != 0)
        return;
    /* It neither commits nor rolls back: closing it does, and the next batch opens another. */
    sqlite_connection_close(writer);
    lane->connection = NULL;
}

static int commit(struct lane *lane)
{
    struct sqlite_connection *writer = lane->connection;
    int64_t began_us = clock_monotonic_us();
    int code = control(writer, &writer->commit, "COMMIT");
    histogram_observe_us(&COMMIT_DURATION, clock_monotonic_us() - began_us);
    return code;
}

/* ---- a batch ---- */

static bool is_expired(const struct lane_job *job)
{
    if (job->deadline_us == 0 || clock_monotonic_us() <= job->deadline_us)
        return false;
    metric_add(&EXPIRED, 1);
    return true;
}

static void conclude(struct outcome *outcome, enum db_result result, bool committed)
{
    outcome->result = result;
    outcome->committed = committed;
}

/* One job in a transaction of its own. */
static void run_alone(struct lane *lane, struct outcome *outcome)
{
    conclude(outcome, DB_ERROR, false);
    if (is_expired(outcome->job))
        return;
    if (!begin(lane)) {
        metric_add(&COMMIT_FAILURES, 1);
        return;
    }
    struct sqlite_connection *writer = lane->connection;
    enum db_result result = sqlite_run_in_transaction(writer, outcome->job->run, outcome->job->arg);
    if (result != DB_DONE) {
        bool is_whole = sqlite3_get_autocommit(writer->handle) == 0;
        roll_back(lane);
        conclude(outcome, result, is_whole);
        return;
    }
    int code = commit(lane);
    if (code == SQLITE_OK) {
        conclude(outcome, DB_DONE, true);
        return;
    }
    roll_back(lane);
    /* A deferred constraint speaks only now; it is the job's own conflict. */
    if ((code & 0xff) == SQLITE_CONSTRAINT)
        conclude(outcome, DB_CONFLICT, true);
    else
        metric_add(&COMMIT_FAILURES, 1);
}

static void run_one_by_one(struct lane *lane, struct batch *batch)
{
    metric_add(&RERUNS, 1);
    for (size_t i = 0; i < batch->count; i++)
        run_alone(lane, &batch->outcomes[i]);
}

/* Runs each job in a savepoint of the open transaction. False when the transaction was lost on the way. */
static bool run_in_savepoints(struct sqlite_connection *writer, struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct outcome *outcome = &batch->outcomes[i];
        conclude(outcome, DB_ERROR, false);
        if (is_expired(outcome->job))
            continue;
        enum db_result result = sqlite_run_in_savepoint(writer, outcome->job->run, outcome->job->arg);
        if (writer->is_lost || sqlite3_get_autocommit(writer->handle) != 0)
            return false;
        conclude(outcome, result, true);
    }
    return true;
}

static void fail_all(struct batch *batch)
{
    metric_add(&COMMIT_FAILURES, 1);
    for (size_t i = 0; i < batch->count; i++)
        conclude(&batch->outcomes[i], DB_ERROR, false);
}

static void run_together(struct lane *lane, struct batch *batch)
{
    if (!begin(lane)) {
        fail_all(batch);
        return;
    }
    if (!run_in_savepoints(lane->connection, batch)) {
        roll_back(lane);
        run_one_by_one(lane, batch);
        return;
    }
    int code = commit(lane);
    if (code == SQLITE_OK)
        return;
    roll_back(lane);
    /* Some job's deferred constraint: only that job shall hear of it. */
    if ((code & 0xff) == SQLITE_CONSTRAINT)
        run_one_by_one(lane, batch);
    else
        fail_all(batch);
}

static void count_batch(const struct batch *batch)
{
    if (batch->count == 1)
        metric_add(&BATCHES_1, 1);
    else if (batch->count <= 8)
        metric_add(&BATCHES_8, 1);
    else if (batch->count <= 32)
        metric_add(&BATCHES_32, 1);
    else
        metric_add(&BATCHES_MORE, 1);
    metric_add(&JOBS, (int64_t)batch->count);
}

static void run_batch(struct lane *lane, struct batch *batch)
{
    if (batch->count == 1)
        run_alone(lane, &batch->outcomes[0]);
    else
        run_together(lane, batch);
    count_batch(batch);
    /* A job's memory is its owner's again from here on. */
    for (size_t i = 0; i < batch->count; i++) {
        struct outcome *outcome = &batch->outcomes[i];
        outcome->job->done(outcome->job->arg, outcome->result, outcome->committed);
    }
}

/* ---- the thread ---- */

static void measure_cpu(int64_t *last_us)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    int64_t now_us = now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
    metric_add(&CPU_US, now_us - *last_us);
    *last_us = now_us;
}

/* Waits for work; false when the lane stops and nothing is left. */
static bool take_batch(struct lane *lane, struct batch *batch)
{
    batch->count = 0;
    pthread_mutex_lock(&lane->mutex);
    while (lane->head == NULL && !lane->is_stopping) {
        lane->is_idle = true;
        pthread_cond_wait(&lane->wake, &lane->mutex);
        lane->is_idle = false;
    }
    while (lane->head != NULL && batch->count < LANE_BATCH_MAX) {
        struct lane_job *job = lane->head;
        lane->head = job->next;
        batch->outcomes[batch->count++] = (struct outcome){.job = job};
    }
    if (lane->head == NULL)
        lane->tail = &lane->head;
    lane->depth -= batch->count;
    metric_set(&QUEUE_DEPTH, (int64_t)lane->depth);
    pthread_mutex_unlock(&lane->mutex);
    return batch->count > 0;
}

static void *lane_main(void *arg)
{
    struct lane *lane = arg;
    struct batch batch;
    int64_t cpu_us = 0;
    is_lane_thread = true;
    (void)pthread_setname_np(pthread_self(), "write-lane");
    while (take_batch(lane, &batch)) {
        run_batch(lane, &batch);
        if (lane->connection != NULL)
            checkpointer_restart_log(&lane->checkpointer, lane->connection);
        measure_cpu(&cpu_us);
    }
    sqlite_connection_close(lane->connection);
    lane->connection = NULL;
    return NULL;
}

void lane_init(struct lane *lane, struct sqlite_store *store)
{
    lane->store = store;
    lane->tail = &lane->head;
    pthread_mutex_init(&lane->mutex, NULL);
    pthread_cond_init(&lane->wake, NULL);
    checkpointer_init(&lane->checkpointer, store);
}

/* The lane starts with the first write, so that commands that only read stay light. Under the lane's mutex.
 */
static bool start(struct lane *lane)
{
    if (lane->is_started)
        return true;
    lane->is_started = pthread_create(&lane->thread, NULL, lane_main, lane) == 0;
    if (lane->is_started)
        checkpointer_start(&lane->checkpointer);
    else
        log_message(LOG_ERROR, "the write lane's thread cannot start");
    return lane->is_started;
}

bool lane_submit(struct store *store, struct lane_job *job)
{
    struct lane *lane = &((struct sqlite_store *)store)->lane;
    job->next = NULL;
    pthread_mutex_lock(&lane->mutex);
    size_t queue_max = job->queue_max > 0 ? job->queue_max : LANE_QUEUE_MAX;
    bool is_taken = !lane->is_stopping && lane->depth < queue_max && start(lane);
    if (is_taken) {
        *lane->tail = job;
        lane->tail = &job->next;
        lane->depth++;
        if (lane->is_idle)
            pthread_cond_signal(&lane->wake);
    }
    pthread_mutex_unlock(&lane->mutex);
    if (!is_taken)
        metric_add(&REFUSED, 1);
    return is_taken;
}

void lane_stop(struct lane *lane)
{
    pthread_mutex_lock(&lane->mutex);
    lane->is_stopping = true;
    pthread_cond_signal(&lane->wake);
    pthread_mutex_unlock(&lane->mutex);
    if (lane->is_started)
        pthread_join(lane->thread, NULL);
    checkpointer_stop(&lane->checkpointer);
    pthread_mutex_destroy(&lane->mutex);
    pthread_cond_destroy(&lane->wake);
}
