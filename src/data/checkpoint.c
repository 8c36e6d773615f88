/* Copying the write-ahead log back into the database file. Two parties share the work:
 *
 * - A thread with a connection of its own does the bulk, passively: it waits for nobody and nobody waits for
 * it. It syncs the database file after each pass, so that the sync which must come at the end finds little to
 * do.
 * - The thread alone would let the log grow for ever under load, since the lane always adds to its end. So
 * past WAL_RESTART_BYTES the lane copies the short remainder itself between two batches; then the log is
 * wholly copied, and the next write begins it anew. */
#include "data/sqlite_private.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"

#include <errno.h>

/* A pass begins at 4 MiB of new frames, or after a second with fewer. Pages written often are then copied
 * once for many. */
#define PASS_FRAMES 1000
#define PASS_INTERVAL_MS 1000
/* How long the lane waits for readers of the log, and how long it leaves it alone after it waited in vain:
 * the pause doubles. */
#define RESTART_WAIT_MS 10
#define RESTART_PAUSE_US 50000
#define RESTART_PAUSE_US_MAX 1000000

METRIC_DEFINE(PASSES, "souk_checkpoints_total", "Checkpoints by who ran them", "by=\"thread\"",
              METRIC_COUNTER);
METRIC_DEFINE(RESTARTS, "souk_checkpoints_total", "", "by=\"lane\"", METRIC_COUNTER);
HISTOGRAM_DEFINE(RESTART_DURATION, "souk_lane_checkpoint_seconds",
                 "How long the write lane was held by a checkpoint");

void checkpointer_init(struct checkpointer *checkpointer, struct sqlite_store *store)
{
    checkpointer->store = store;
    checkpointer->restart_pause_us = RESTART_PAUSE_US;
    pthread_mutex_init(&checkpointer->mutex, NULL);
    clock_cond_init(&checkpointer->wake);
}

/* SQLite syncs the database file only when a pass reaches the log's end, which it never does under load. */
static void sync_database(struct sqlite_connection *connection)
{
    sqlite3_file *file = NULL;
    int code = sqlite3_file_control(connection->handle, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (code == SQLITE_OK && file != NULL && file->pMethods != NULL)
        file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
}

/* Returns how many frames stand in the database file now. */
static int run_pass(struct sqlite_connection *connection)
{
    int in_log = 0, done = 0;
    int code =
        sqlite3_wal_checkpoint_v2(connection->handle, "main", SQLITE_CHECKPOINT_PASSIVE, &in_log, &done);
    metric_add(&PASSES, 1);
    if (code != SQLITE_OK) {
        if ((code & 0xff) != SQLITE_BUSY) /* another process checkpoints: it does our work */
            sqlite_log_failure("a checkpoint failed", code, sqlite3_errstr(code), "");
        return 0;
    }
    if (done > 0 && done < in_log)
        sync_database(connection);
    return done > 0 ? done : 0;
}

/* Waits on the condition, at most `duration_ms`. */
static void wait_for_ms(struct checkpointer *checkpointer, int64_t duration_ms)
{
    int64_t until_us = clock_monotonic_us() + duration_ms * 1000;
    while (!checkpointer->is_stopping && checkpointer->frames - checkpointer->frames_seen < PASS_FRAMES)
        if (clock_cond_wait(&checkpointer->wake, &checkpointer->mutex, until_us) == ETIMEDOUT)
            break;
}

static void *checkpointer_main(void *arg)
{
    struct checkpointer *checkpointer = arg;
    (void)pthread_setname_np(pthread_self(), "checkpoint");
    struct sqlite_connection *connection =
        sqlite_connection_open(checkpointer->store, SQLITE_SERVICE, NULL, NULL);
    pthread_mutex_lock(&checkpointer->mutex);
    while (connection != NULL && !checkpointer->is_stopping) {
        if (checkpointer->frames <= checkpointer->frames_done) {
            pthread_cond_wait(&checkpointer->wake, &checkpointer->mutex);
            continue;
        }
        wait_for_ms(checkpointer, PASS_INTERVAL_MS);
        if (checkpointer->is_stopping)
            break;
        if (checkpointer->is_restart_wanted) {
            /* The lane is about to do the rest; unless it fell idle, then this pass reaches the log's end
             * anyway. */
            checkpointer->is_restart_wanted = false;
            checkpointer->frames_seen = checkpointer->frames;
            continue;
        }
        checkpointer->is_running = true;
        checkpointer->frames_seen = checkpointer->frames;
        uint64_t log_number = checkpointer->log_number;
        pthread_mutex_unlock(&checkpointer->mutex);
        int done = run_pass(connection);
        pthread_mutex_lock(&checkpointer->mutex);
        checkpointer->is_running = false;
        if (checkpointer->log_number == log_number) /* else `done` is of the log before */
            checkpointer->frames_done = done;
    }
    pthread_mutex_unlock(&checkpointer->mutex);
    sqlite_connection_close(connection);
    return NULL;
}

void checkpointer_start(struct checkpointer *checkpointer)
{
    checkpointer->is_started =
        pthread_create(&checkpointer->thread, NULL, checkpointer_main, checkpointer) == 0;
    if (!checkpointer->is_started) /* the lane's own checkpoints still bound the log */
        log_message(LOG_ERROR, "the checkpoint thread cannot start");
}

void checkpointer_stop(struct checkpointer *checkpointer)
{
    pthread_mutex_lock(&checkpointer->mutex);
    checkpointer->is_stopping = true;
    pthread_cond_signal(&checkpointer->wake);
    pthread_mutex_unlock(&checkpointer->mutex);
    if (checkpointer->is_started)
        pthread_join(checkpointer->thread, NULL);
    pthread_mutex_destroy(&checkpointer->mutex);
    pthread_cond_destroy(&checkpointer->wake);
}

void checkpointer_committed(struct checkpointer *checkpointer, int frames)
{
    pthread_mutex_lock(&checkpointer->mutex);
    bool was_clean = checkpointer->frames <= checkpointer->frames_done;
    if (frames < checkpointer->frames) { /* the log began anew */
        checkpointer->log_number++;
        checkpointer->frames_done = 0;
        checkpointer->frames_seen = 0;
    }
    checkpointer->frames = frames;
    if (was_clean || frames - checkpointer->frames_seen >= PASS_FRAMES)
        pthread_cond_signal(&checkpointer->wake);
    pthread_mutex_unlock(&checkpointer->mutex);
}

/* Whether the log is too long and this is the moment; then the thread is kept out. */
static bool claim_restart(struct checkpointer *checkpointer)
{
    int64_t frame_bytes = atomic_load(&checkpointer->store->page_bytes) + 24;
    pthread_mutex_lock(&checkpointer->mutex);
    bool is_due = checkpointer->frames * frame_bytes > (int64_t)WAL_RESTART_BYTES &&
                  checkpointer->frames > checkpointer->frames_done &&
                  clock_monotonic_us() >= checkpointer->restart_after_us;
    if (is_due)
        checkpointer->is_restart_wanted = true;
    bool is_claimed = is_due && !checkpointer->is_running;
    pthread_mutex_unlock(&checkpointer->mutex);
    return is_claimed;
}

void checkpointer_restart_log(struct checkpointer *checkpointer, struct sqlite_connection *writer)
{
    if (!claim_restart(checkpointer))
        return;
    int64_t began_us = clock_monotonic_us();
    int in_log = 0, done = 0;
    sqlite_set_busy_wait(writer, RESTART_WAIT_MS);
    int code = sqlite3_wal_checkpoint_v2(writer->handle, "main", SQLITE_CHECKPOINT_RESTART, &in_log, &done);
    sqlite_set_busy_wait(writer, SQLITE_BUSY_MS);
    int64_t ended_us = clock_monotonic_us();
    metric_add(&RESTARTS, 1);
    histogram_observe_us(&RESTART_DURATION, ended_us - began_us);
    if (code != SQLITE_OK &&
        (code & 0xff) != SQLITE_BUSY) /* busy: a long read holds the log; it is tried again */
        sqlite_log_failure("a checkpoint failed", code, sqlite3_errstr(code), "");
    pthread_mutex_lock(&checkpointer->mutex);
    checkpointer->is_restart_wanted = false;
    if (done > checkpointer->frames_done)
        checkpointer->frames_done = done;
    if (code == SQLITE_OK) {
        checkpointer->restart_pause_us = RESTART_PAUSE_US;
    } else {
        checkpointer->restart_after_us = ended_us + checkpointer->restart_pause_us;
        if (checkpointer->restart_pause_us < RESTART_PAUSE_US_MAX)
            checkpointer->restart_pause_us *= 2;
    }
    pthread_cond_signal(&checkpointer->wake);
    pthread_mutex_unlock(&checkpointer->mutex);
}
