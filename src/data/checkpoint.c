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
/* What the lane copies itself: 16 MiB at most, or all when the log is eight times too long. After a long read
 * has held the log back there is more to copy than the lane may be kept for; the thread goes first then. */
#define RESTART_FRAMES_MAX 4096
#define RESTART_BYTES_URGENT (8 * (int64_t)WAL_RESTART_BYTES)
/* How long the lane waits for readers of the log, and how long it leaves it alone after it waited in vain:
 * the pause doubles. */
#define RESTART_WAIT_MS 10
#define RESTART_PAUSE_US 50000
#define RESTART_PAUSE_US_MAX 1000000

static struct metric PASSES =
    METRIC("souk_checkpoints_total", "Checkpoints by who ran them", "by=\"thread\"", METRIC_COUNTER);
static struct metric RESTARTS = METRIC("souk_checkpoints_total", "", "by=\"lane\"", METRIC_COUNTER);
static struct histogram RESTART_DURATION = {.name = "souk_lane_checkpoint_seconds",
                                            .help = "How long the write lane was held by a checkpoint"};

void checkpointer_init(struct checkpointer *checkpointer, struct sqlite_store *store)
{
    checkpointer->store = store;
    checkpointer->restart_pause_us = RESTART_PAUSE_US;
    pthread_mutex_init(&checkpointer->mutex, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&checkpointer->wake, &attributes);
    pthread_condattr_destroy(&attributes);
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
    struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
    while (!checkpointer->is_stopping && checkpointer->frames - checkpointer->frames_seen < PASS_FRAMES)
        if (pthread_cond_timedwait(&checkpointer->wake, &checkpointer->mutex, &until) == ETIMEDOUT)
            break;
}

static void *checkpointer_main(void *arg)
{
    struct checkpointer *self = arg;
    struct sqlite_connection *connection = sqlite_connection_open(self->store, SQLITE_SERVICE, NULL, NULL);
    pthread_mutex_lock(&self->mutex);
    while (connection != NULL && !self->is_stopping) {
        if (self->frames <= self->frames_done) {
            pthread_cond_wait(&self->wake, &self->mutex);
            continue;
        }
        wait_for_ms(self, PASS_INTERVAL_MS);
        if (self->is_stopping)
            break;
        if (self->is_restart_wanted) {
            /* The lane is about to do the rest; unless it fell idle, then this pass reaches the log's end
             * anyway. */
            self->is_restart_wanted = false;
            self->frames_seen = self->frames;
            continue;
        }
        self->is_running = true;
        self->frames_seen = self->frames;
        uint64_t log_number = self->log_number;
        pthread_mutex_unlock(&self->mutex);
        int done = run_pass(connection);
        pthread_mutex_lock(&self->mutex);
        self->is_running = false;
        if (self->log_number == log_number) /* else `done` is of the log before */
            self->frames_done = done;
    }
    pthread_mutex_unlock(&self->mutex);
    sqlite_connection_close(connection);
    return NULL;
}

void checkpointer_start(struct checkpointer *self)
{
    self->is_started = pthread_create(&self->thread, NULL, checkpointer_main, self) == 0;
    if (!self->is_started) /* the lane's own checkpoints still bound the log */
        log_message(LOG_ERROR, "the checkpoint thread cannot start");
}

void checkpointer_stop(struct checkpointer *self)
{
    pthread_mutex_lock(&self->mutex);
    self->is_stopping = true;
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->mutex);
    if (self->is_started)
        pthread_join(self->thread, NULL);
    pthread_mutex_destroy(&self->mutex);
    pthread_cond_destroy(&self->wake);
}

void checkpointer_committed(struct checkpointer *self, int frames)
{
    pthread_mutex_lock(&self->mutex);
    bool was_clean = self->frames <= self->frames_done;
    if (frames < self->frames) { /* the log began anew */
        self->log_number++;
        self->frames_done = 0;
        self->frames_seen = 0;
    }
    self->frames = frames;
    if (was_clean || frames - self->frames_seen >= PASS_FRAMES)
        pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->mutex);
}

/* Whether the log is too long and this is the moment; then the thread is kept out. */
static bool claim_restart(struct checkpointer *self)
{
    int64_t frame_bytes = atomic_load(&self->store->page_bytes) + 24;
    pthread_mutex_lock(&self->mutex);
    bool is_due = self->frames * frame_bytes > (int64_t)WAL_RESTART_BYTES &&
                  self->frames > self->frames_done && clock_monotonic_us() >= self->restart_after_us;
    if (is_due)
        self->is_restart_wanted = true;
    bool is_claimed = is_due && !self->is_running;
    pthread_mutex_unlock(&self->mutex);
    return is_claimed;
}

void checkpointer_restart_log(struct checkpointer *self, struct sqlite_connection *writer)
{
    if (!claim_restart(self))
        return;
    int64_t began_us = clock_monotonic_us();
    int in_log = 0, done = 0;
    sqlite3_busy_timeout(writer->handle, RESTART_WAIT_MS);
    int code = sqlite3_wal_checkpoint_v2(writer->handle, "main", SQLITE_CHECKPOINT_RESTART, &in_log, &done);
    sqlite3_busy_timeout(writer->handle, SQLITE_BUSY_MS);
    int64_t ended_us = clock_monotonic_us();
    metric_add(&RESTARTS, 1);
    histogram_observe_us(&RESTART_DURATION, ended_us - began_us);
    if (code != SQLITE_OK &&
        (code & 0xff) != SQLITE_BUSY) /* busy: a long read holds the log; it is tried again */
        sqlite_log_failure("a checkpoint failed", code, sqlite3_errstr(code), "");
    pthread_mutex_lock(&self->mutex);
    self->is_restart_wanted = false;
    if (done > self->frames_done)
        self->frames_done = done;
    if (code == SQLITE_OK) {
        self->restart_pause_us = RESTART_PAUSE_US;
    } else {
        self->restart_after_us = ended_us + self->restart_pause_us;
        if (self->restart_pause_us < RESTART_PAUSE_US_MAX)
            self->restart_pause_us *= 2;
    }
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->mutex);
}
