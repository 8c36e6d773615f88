/* Opening and closing connections to the SQLite file, and the settings that each role needs. */
#include "data/sqlite_private.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <time.h>

/* SQLite's own locks are not needed: every connection belongs to one thread at a time. Its memory statistics
 * take a global lock at every allocation. Best effort: a program that used SQLite before keeps its settings,
 * and all still works. */
static void configure_library(void)
{
    sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite3_initialize();
}

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

/* For every connection.
 * - synchronous=FULL: in WAL mode every commit is synced before it returns. An order is answered only after
 * that.
 * - trusted_schema=OFF: a crafted file cannot make its views and triggers call dangerous functions. It also
 * bars triggers from writing to FTS5 tables: keep those up to date by statements.
 * - wal_autocheckpoint=0: checkpoint.c decides when; a commit never pays for one. */
#define SETTINGS_ALL                                                                                         \
    "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF; PRAGMA wal_autocheckpoint=0;"

/* Readers share the system's page cache by mapping the file (1 GiB of address space, not of memory), so a
 * page is copied once for all of them, and their own caches can be small: 4 MiB for what is still in the log.
 * Sorting in memory beats a temporary file for the sizes that the limits allow. */
#define SETTINGS_READER                                                                                      \
    "PRAGMA query_only=ON; PRAGMA mmap_size=1073741824; PRAGMA cache_size=-4096; PRAGMA temp_store=MEMORY;"

/* The writer's cache holds the hot pages of stock, carts and orders and all that a batch changes: 64 MiB.
 * Statement and savepoint journals stay in memory. cell_size_check notices a damaged page before it is
 * written over. secure_delete=FAST (Debian compiles it ON) zeroes what is deleted only where that costs no
 * further page of the log. */
#define SETTINGS_WRITER                                                                                      \
    "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-65536; PRAGMA cell_size_check=ON; PRAGMA secure_delete=FAST;"

#define SETTINGS_SERVICE "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-8192; PRAGMA secure_delete=FAST;"

static const char *settings_of(enum sqlite_role role)
{
    switch (role) {
    case SQLITE_READER:
        return SETTINGS_ALL SETTINGS_READER;
    case SQLITE_WRITER:
        return SETTINGS_ALL SETTINGS_WRITER;
    case SQLITE_SERVICE:
        break;
    }
    return SETTINGS_ALL SETTINGS_SERVICE;
}

/* Ends a statement that keeps the snapshot of a request for too long: the log could not be restarted
 * meanwhile. */
static int interrupt_when_too_long(void *arg)
{
    const struct sqlite_connection *connection = arg;
    if (!connection->is_reading)
        return 0;
    return clock_monotonic_us() - connection->read_began_us > READ_TRANSACTION_MS_MAX * INT64_C(1000);
}

/* SQLite's own waiting sleeps up to 100 ms between two attempts. Beside a process that writes one transaction
 * after the other (souk seed, which leaves 3 ms between them) it hardly ever met a moment when the lock was
 * free, and gave up after 5 s. */
static int try_again_soon(void *arg, int attempts)
{
    const struct sqlite_connection *connection = arg;
    if (attempts >= connection->busy_wait_ms)
        return 0;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return 1;
}

void sqlite_set_busy_wait(struct sqlite_connection *connection, int wait_ms)
{
    connection->busy_wait_ms = wait_ms;
    sqlite3_busy_handler(connection->handle, try_again_soon, connection);
}

static int open_handle(struct sqlite_connection *connection, const char *path)
{
    int code = sqlite3_open_v2(path, &connection->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK)
        return code;
    sqlite3_extended_result_codes(connection->handle, 1);
    sqlite_set_busy_wait(connection, SQLITE_BUSY_MS);
    sqlite3_db_config(connection->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (connection->role == SQLITE_READER)
        sqlite3_progress_handler(connection->handle, 20000, interrupt_when_too_long, connection);
    return sqlite3_exec(connection->handle, settings_of(connection->role), NULL, NULL, NULL);
}

struct sqlite_connection *sqlite_connection_open(struct sqlite_store *store, enum sqlite_role role,
                                                 struct arena *arena, struct slice *complaint)
{
    pthread_once(&library_once, configure_library);
    struct sqlite_connection *connection = calloc(1, sizeof(*connection));
    CHECK(connection != NULL);
    connection->base = (struct db){.driver = &sqlite_driver, .store = &store->base};
    connection->failed.db = &connection->base;
    connection->role = role;
    CHECK(sem_init(&connection->answered, 0, 0) == 0);
    int code = open_handle(connection, store->path);
    if (code == SQLITE_OK)
        return connection;
    if (complaint != NULL)
        *complaint =
            arena_format(arena, "cannot open the database %s: %s", store->path, sqlite3_errstr(code));
    else
        sqlite_log_failure("the database cannot be opened", code, sqlite3_errstr(code), "");
    sqlite_connection_close(connection);
    return NULL;
}

static void free_list(struct sqlite_connection *connection, struct sqlite_list *list)
{
    while (list->first != NULL)
        sqlite_statement_free(connection, list->first);
}

void sqlite_connection_close(struct sqlite_connection *connection)
{
    if (connection == NULL)
        return;
    sqlite_close_open_rows(connection, 0);
    free_list(connection, &connection->idle);
    sqlite3_stmt *const control[] = {
        connection->begin_immediate, connection->commit,      connection->rollback,  connection->savepoint,
        connection->release,         connection->rollback_to, connection->begin_read};
    for (size_t i = 0; i < COUNT_OF(control); i++)
        sqlite3_finalize(control[i]);
    /* Everything is finalized, so the connection cannot be busy. It is NULL only when SQLite had no memory
     * for it. */
    CHECK(sqlite3_close(connection->handle) == SQLITE_OK);
    sem_destroy(&connection->answered);
    free(connection);
}

int sqlite_control(struct sqlite_connection *connection, sqlite3_stmt **stmt, const char *sql)
{
    if (*stmt == NULL) {
        int code = sqlite3_prepare_v3(connection->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, stmt, NULL);
        if (code != SQLITE_OK)
            return code;
    }
    sqlite3_step(*stmt);
    return sqlite3_reset(*stmt);
}

void sqlite_close_open_rows(struct sqlite_connection *connection, int level)
{
    struct sqlite_rows *next;
    for (struct sqlite_rows *rows = connection->open.first; rows != NULL; rows = next) {
        next = rows->next;
        if (rows->level < level)
            continue;
        log_message(LOG_DEBUG, "rows left open were closed: %s", sqlite3_sql(rows->stmt));
        sqlite_close_rows(&rows->base);
    }
}

void sqlite_log_failure(const char *what, int code, const char *reason, const char *sql)
{
    struct log_line line;
    log_begin(&line, LOG_ERROR, what);
    log_int(&line, "code", code);
    log_string(&line, "reason", slice_from(reason));
    log_string(&line, "sql", slice_from(sql));
    log_end(&line);
}
