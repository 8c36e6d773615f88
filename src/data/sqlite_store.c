/* The SQLite store: the database file, its folder and lock, the connections of the process; and the driver's
 * table. */
#include "data/sqlite_private.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the folder, the file, the lock ---- */

struct slice sqlite_folder_of(const char *path, struct arena *arena)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return SLICE(".");
    return arena_copy(arena, (struct slice){path, slash == path ? 1 : (size_t)(slash - path)});
}

/* Makes the folder and those above it, for the owner alone. */
static bool make_folder(struct slice folder)
{
    char path[4096];
    if (folder.len >= sizeof(path))
        return false;
    memcpy(path, folder.ptr, folder.len + 1);
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return false;
        *slash = '/';
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

/* Makes an empty file of mode 0600 unless there is one; SQLite gives its log the same mode. An existing file
 * is not even opened: closing it again would drop the locks that SQLite holds on it elsewhere in this
 * process. */
static bool make_file(const char *path, struct arena *arena, struct slice *complaint)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    if (fd >= 0 || errno == EEXIST)
        return true;
    *complaint = arena_format(arena, "cannot make the database %s: %s", path, strerror(errno));
    return false;
}

int sqlite_lock_take(const char *path, int operation, struct arena *arena, struct slice *complaint)
{
    size_t len = strlen(path);
    if (len > 3 && strcmp(path + len - 3, ".db") == 0)
        len -= 3;
    struct slice lock_path = arena_format(arena, "%.*s.lock", (int)len, path);
    int fd = open(lock_path.ptr, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        *complaint = arena_format(arena, "cannot open %s: %s", lock_path.ptr, strerror(errno));
        return -1;
    }
    if (flock(fd, operation | LOCK_NB) == 0)
        return fd;
    const char *who =
        operation == LOCK_SH ? "it is being restored or copied" : "a souk process has it open; stop it first";
    *complaint = arena_format(arena, "the database %s is in use: %s", path, who);
    close(fd);
    return -1;
}

bool sqlite_folder_make(const char *path, struct arena *arena, struct slice *complaint)
{
    if (path[0] == '\0' || path[0] == ':' || strchr(path, '?') != NULL) {
        *complaint = SLICE("DATABASE_URL: sqlite: must be followed by the path of a file");
        return false;
    }
    struct slice folder = sqlite_folder_of(path, arena);
    if (make_folder(folder))
        return true;
    *complaint = arena_format(arena, "cannot make the folder %s: %s", folder.ptr, strerror(errno));
    return false;
}

/* ---- opening and closing ---- */

static int read_page_bytes(sqlite3 *handle)
{
    sqlite3_stmt *stmt = NULL;
    int bytes = 4096;
    if (sqlite3_prepare_v2(handle, "PRAGMA page_size", -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW)
        bytes = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    return bytes;
}

/* Switches a new file to the write-ahead log and finds out whether an old one is a database at all. */
static bool enter_wal_mode(sqlite3 *handle, const char *path, struct arena *arena, struct slice *complaint)
{
    sqlite3_stmt *stmt = NULL;
    int code = sqlite3_prepare_v2(handle, "PRAGMA journal_mode=WAL", -1, &stmt, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(stmt);
    bool is_wal =
        code == SQLITE_ROW && sqlite3_stricmp((const char *)sqlite3_column_text(stmt, 0), "wal") == 0;
    if (!is_wal)
        *complaint =
            arena_format(arena, "cannot use the database %s: %s", path,
                         code == SQLITE_ROW ? "its file system has no shared memory" : sqlite3_errstr(code));
    sqlite3_finalize(stmt);
    return is_wal;
}

static void sqlite_store_close(struct store *base)
{
    struct sqlite_store *store = (struct sqlite_store *)base;
    lane_stop(&store->lane);
    while (store->readers != NULL)
        store_disconnect(&store->readers->base);
    sqlite_connection_close(store->keeper);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    pthread_mutex_destroy(&store->mutex);
    free(store->path);
    free(store);
}

static struct store *sqlite_store_open(const struct store_options *options, struct arena *arena,
                                       struct slice *complaint)
{
    struct slice path = arena_copy(arena, slice_skip(options->url, strlen(sqlite_driver.scheme)));
    if (!sqlite_folder_make(path.ptr, arena, complaint))
        return NULL;
    struct sqlite_store *store = calloc(1, sizeof(*store));
    CHECK(store != NULL);
    store->base.driver = &sqlite_driver;
    store->connections_max = options->connections_max;
    store->path = strdup(path.ptr);
    CHECK(store->path != NULL);
    pthread_mutex_init(&store->mutex, NULL);
    lane_init(&store->lane, store);
    int lock = options->is_exclusive ? LOCK_EX : LOCK_SH;
    store->lock_fd = sqlite_lock_take(path.ptr, lock, arena, complaint);
    if (store->lock_fd >= 0 && make_file(path.ptr, arena, complaint))
        store->keeper = sqlite_connection_open(store, SQLITE_SERVICE, arena, complaint);
    if (store->keeper == NULL || !enter_wal_mode(store->keeper->handle, store->path, arena, complaint)) {
        sqlite_store_close(&store->base);
        return NULL;
    }
    atomic_store(&store->page_bytes, read_page_bytes(store->keeper->handle));
    return &store->base;
}

static struct db *sqlite_store_connect(struct store *base)
{
    struct sqlite_store *store = (struct sqlite_store *)base;
    pthread_mutex_lock(&store->mutex);
    bool has_room = store->connections_max == 0 || store->reader_count < store->connections_max;
    if (has_room)
        store->reader_count++;
    pthread_mutex_unlock(&store->mutex);
    if (!has_room)
        return NULL;
    struct sqlite_connection *reader = sqlite_connection_open(store, SQLITE_READER, NULL, NULL);
    pthread_mutex_lock(&store->mutex);
    if (reader == NULL) {
        store->reader_count--;
    } else {
        reader->store_next = store->readers;
        if (store->readers != NULL)
            store->readers->store_previous = reader;
        store->readers = reader;
    }
    pthread_mutex_unlock(&store->mutex);
    return reader != NULL ? &reader->base : NULL;
}

static void sqlite_store_disconnect(struct db *db)
{
    struct sqlite_connection *reader = (struct sqlite_connection *)db;
    struct sqlite_store *store = (struct sqlite_store *)db->store;
    CHECK(reader->role == SQLITE_READER);
    pthread_mutex_lock(&store->mutex);
    if (reader->store_previous != NULL)
        reader->store_previous->store_next = reader->store_next;
    else
        store->readers = reader->store_next;
    if (reader->store_next != NULL)
        reader->store_next->store_previous = reader->store_previous;
    store->reader_count--;
    pthread_mutex_unlock(&store->mutex);
    sqlite_connection_close(reader);
}

static bool sqlite_store_is_ready(struct store *base)
{
    struct sqlite_store *store = (struct sqlite_store *)base;
    pthread_mutex_lock(&store->mutex);
    int code = sqlite3_exec(store->keeper->handle, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
    pthread_mutex_unlock(&store->mutex);
    return code == SQLITE_OK;
}

static size_t sqlite_store_wal_bytes(const struct store *base)
{
    const struct sqlite_store *store = (const struct sqlite_store *)base;
    return (size_t)atomic_load(&store->wal_bytes);
}

const struct db_driver sqlite_driver = {
    .engine = DB_SQLITE,
    .scheme = "sqlite:",
    .name = "sqlite",
    .has_lane = true,
    .reads_inline = true,
    .open = sqlite_store_open,
    .close = sqlite_store_close,
    .connect = sqlite_store_connect,
    .disconnect = sqlite_store_disconnect,
    .is_ready = sqlite_store_is_ready,
    .wal_bytes = sqlite_store_wal_bytes,
    .submit = lane_submit,
    .prepare = sqlite_prepare,
    .query = sqlite_query,
    .next = sqlite_next,
    .close_rows = sqlite_close_rows,
    .run = sqlite_run,
    .changes = sqlite_changes,
    .is_null = sqlite_is_null,
    .get_integer = sqlite_get_integer,
    .get_uuid = sqlite_get_uuid,
    .get_bytes = sqlite_get_bytes,
    .transaction = sqlite_transaction,
    .read_begin = sqlite_read_begin,
    .read_end = sqlite_read_end,
    .in_transaction = sqlite_in_transaction,
    .schema_open = sqlite_schema_open,
    .schema_close = sqlite_schema_close,
    .schema_begin = sqlite_schema_begin,
    .schema_exec = sqlite_schema_exec,
    .schema_commit = sqlite_schema_commit,
    .schema_rollback = sqlite_schema_rollback,
    .schema_versions = sqlite_schema_versions,
    .schema_error = sqlite_schema_error,
    .snapshot_begin = sqlite_snapshot_begin,
    .snapshot_end = sqlite_snapshot_end,
    .bulk_open = sqlite_bulk_open,
    .bulk_close = sqlite_bulk_close,
    .bulk_begin = sqlite_bulk_begin,
    .bulk_row = sqlite_bulk_row,
    .bulk_commit = sqlite_bulk_commit,
    .bulk_rollback = sqlite_bulk_rollback,
    .bulk_finish = sqlite_bulk_finish,
    .bulk_error = sqlite_bulk_error,
};
