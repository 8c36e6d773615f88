/* The SQLite driver's own: connections and their prepared statements (sqlite_connection.c,
 * sqlite_statement.c), the store (sqlite_store.c), the write lane (lane.c), the checkpoint thread
 * (checkpoint.c), schema changes (sqlite_schema.c). */
#pragma once

#include "data/db_private.h"

#include <pthread.h>
#include <semaphore.h>
#include <sqlite3.h>
#include <stdatomic.h>

#define SQLITE_BUSY_MS 5000 /* how long a statement waits for another process's lock */

struct sqlite_store;

/* A prepared statement and, while it runs, its rows. Idle ones stand in the connection's LRU list, running
 * ones in its list of open rows: the same two links serve both. */
struct sqlite_rows {
    struct db_rows base;
    sqlite3_stmt *stmt;
    const struct db_statement *statement; /* NULL: built, known by its text */
    uint64_t hash;
    bool is_open;
    bool is_readonly;
    int level; /* depth of the transaction that it was opened in */
    struct sqlite_rows *bucket_next;
    struct sqlite_rows *previous;
    struct sqlite_rows *next;
    /* SQLite numbers $2, $1 by first appearance: the index of $n is looked up by name, once. */
    int param_indexes[DB_PARAMS_MAX];
    /* Argument lists are often temporaries of the caller's block: ids are copied here, texts outlive the rows
     * by contract. */
    struct uuid uuids[];
};

struct sqlite_list {
    struct sqlite_rows *first; /* most recently used */
    struct sqlite_rows *last;
};

enum sqlite_role {
    SQLITE_READER, /* a worker's: never writes */
    SQLITE_WRITER, /* the lane's */
    SQLITE_SERVICE /* checkpoints, schema, backup, the store's own */
};

#define SQLITE_BUCKETS 512

struct sqlite_connection {
    struct db base;
    sqlite3 *handle;
    enum sqlite_role role;
    int busy_wait_ms; /* how long it waits for another process's lock */
    struct sqlite_rows *buckets[SQLITE_BUCKETS];
    struct sqlite_list idle;
    struct sqlite_list open;
    size_t statement_count;
    struct db_rows failed; /* what db_query returns when it could not start */
    int64_t changes;
    /* the writer's transaction */
    int depth;    /* 0 outside, 1 in a job, one more for each savepoint in it */
    bool is_lost; /* a statement of the current level failed: it can only be rolled back */
    sqlite3_stmt *begin_immediate, *commit, *rollback, *savepoint, *release, *rollback_to;
    /* a reader's snapshot */
    sqlite3_stmt *begin_read;
    bool is_reading;
    int64_t read_began_us;
    sem_t answered; /* a reader waits here for its closure on the lane */
    /* the store's list of readers */
    struct sqlite_connection *store_previous, *store_next;
};

struct checkpointer {
    struct sqlite_store *store;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool is_started;
    bool is_stopping;
    bool is_running;        /* a pass is under way */
    bool is_restart_wanted; /* the lane wants the log to itself: no new pass */
    uint64_t log_number;    /* one more each time the log begins anew */
    int frames;             /* in the log, as of the newest commit */
    int frames_seen;        /* of them, when the last pass began */
    int frames_done;        /* of them, copied into the database file */
    int64_t restart_after_us;
    int64_t restart_pause_us;
};

struct lane {
    struct sqlite_store *store;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards the queue and the three flags */
    pthread_cond_t wake;
    struct lane_job *head;
    struct lane_job **tail;
    size_t depth;
    bool is_started;
    bool is_stopping;
    bool is_idle;
    struct sqlite_connection *connection; /* the lane thread's own */
    struct checkpointer checkpointer;
};

struct sqlite_store {
    struct store base;
    char *path;
    int lock_fd; /* souk.lock, held shared; restore takes it exclusive */
    size_t connections_max;
    pthread_mutex_t mutex; /* guards the three below */
    struct sqlite_connection *readers;
    size_t reader_count;
    struct sqlite_connection
        *keeper; /* keeps the log alive between short connections; answers store_is_ready */
    struct lane lane;
    _Atomic int64_t wal_bytes;
    _Atomic int page_bytes;
};

/* ---- sqlite_connection.c ---- */

/* How long the connection tries to get a lock that another process has. */
void sqlite_set_busy_wait(struct sqlite_connection *connection, int wait_ms);
/* NULL with a logged reason (and *complaint when it is not NULL, in `arena`). */
struct sqlite_connection *sqlite_connection_open(struct sqlite_store *store, enum sqlite_role role,
                                                 struct arena *arena, struct slice *complaint);
void sqlite_connection_close(struct sqlite_connection *connection);
/* One of the connection's control statements (BEGIN, COMMIT, ...), prepared at its first use. Returns
 * SQLite's code. */
int sqlite_control(struct sqlite_connection *connection, sqlite3_stmt **stmt, const char *sql);
/* Closes open rows of this transaction depth and deeper. */
void sqlite_close_open_rows(struct sqlite_connection *connection, int level);
/* Logs a failure with its code and the statement's text, never a parameter's value. */
void sqlite_log_failure(const char *what, int code, const char *reason, const char *sql);

/* ---- sqlite_statement.c ---- */

void sqlite_statement_free(struct sqlite_connection *connection, struct sqlite_rows *rows);
enum db_result sqlite_prepare(struct db *db, const struct db_call *call);
struct db_rows *sqlite_query(struct db *db, const struct db_call *call);
enum db_result sqlite_next(struct db_rows *base);
void sqlite_close_rows(struct db_rows *base);
enum db_result sqlite_run(struct db *db, const struct db_call *call);
int64_t sqlite_changes(struct db *db);
bool sqlite_is_null(struct db_rows *base, int column);
int64_t sqlite_get_integer(struct db_rows *base, int column);
struct uuid sqlite_get_uuid(struct db_rows *base, int column);
struct slice sqlite_get_bytes(struct db_rows *base, int column, enum db_type type);

/* ---- sqlite_transaction.c ---- */

enum db_result sqlite_transaction(struct db *db, db_closure closure, void *arg);
/* Runs the closure in a savepoint of the writer's open transaction. DB_ERROR as well when the transaction is
 * gone. */
enum db_result sqlite_run_in_savepoint(struct sqlite_connection *writer, db_closure closure, void *arg);
/* Runs the closure as the whole of the writer's open transaction; commits nothing. */
enum db_result sqlite_run_in_transaction(struct sqlite_connection *writer, db_closure closure, void *arg);
void sqlite_read_begin(struct db *db);
void sqlite_read_end(struct db *db);
bool sqlite_in_transaction(const struct db *db);
/* Begins a new snapshot when the current one is too old and no rows are open. */
void sqlite_read_renew_if_old(struct sqlite_connection *reader);

/* ---- sqlite_store.c ---- */

/* The folder of `path`, in `arena`. */
struct slice sqlite_folder_of(const char *path, struct arena *arena);
/* Makes the folder that the file lies in, mode 0700, unless it is there. */
bool sqlite_folder_make(const char *path, struct arena *arena, struct slice *complaint);
/* Takes PATH's lock file (souk.db: souk.lock), shared or exclusive, without waiting; its descriptor, or -1.
 */
int sqlite_lock_take(const char *path, int operation, struct arena *arena, struct slice *complaint);

/* ---- lane.c ---- */

void lane_init(struct lane *lane, struct sqlite_store *store);
/* Runs what is queued, then ends both threads. */
void lane_stop(struct lane *lane);
bool lane_submit(struct store *store, struct lane_job *job);
/* Whether the calling thread is some store's lane. */
bool lane_is_this_thread(void);

/* ---- checkpoint.c ---- */

void checkpointer_init(struct checkpointer *checkpointer, struct sqlite_store *store);
void checkpointer_start(struct checkpointer *checkpointer);
void checkpointer_stop(struct checkpointer *checkpointer);
/* The lane calls this after each commit with the number of frames in the log. */
void checkpointer_committed(struct checkpointer *checkpointer, int frames);
/* The lane calls this between two batches: when the log is past WAL_RESTART_BYTES, copies the rest of it so
 * that the next write begins the log anew. */
void checkpointer_restart_log(struct checkpointer *checkpointer, struct sqlite_connection *writer);

/* ---- sqlite_schema.c ---- */

struct db_schema *sqlite_schema_open(struct store *store, struct arena *arena, struct slice *complaint);
void sqlite_schema_close(struct db_schema *schema);
bool sqlite_schema_begin(struct db_schema *schema);
bool sqlite_schema_exec(struct db_schema *schema, const char *sql);
bool sqlite_schema_commit(struct db_schema *schema);
void sqlite_schema_rollback(struct db_schema *schema);
int64_t sqlite_schema_versions(struct db_schema *schema, struct schema_version *list, size_t max);
const char *sqlite_schema_error(struct db_schema *schema);

/* ---- sqlite_bulk.c ---- */

bool sqlite_snapshot_begin(struct db *db);
void sqlite_snapshot_end(struct db *db);
struct db_bulk *sqlite_bulk_open(struct store *store, struct arena *arena, struct slice *complaint);
void sqlite_bulk_close(struct db_bulk *bulk);
bool sqlite_bulk_begin(struct db_bulk *bulk, const struct db_bulk_table *table);
bool sqlite_bulk_row(struct db_bulk *bulk, const struct db_value *values);
bool sqlite_bulk_commit(struct db_bulk *bulk);
void sqlite_bulk_rollback(struct db_bulk *bulk);
bool sqlite_bulk_finish(struct db_bulk *bulk);
const char *sqlite_bulk_error(struct db_bulk *bulk);
