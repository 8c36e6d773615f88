/* Backup, verification and restore of the SQLite file. */
#include "data/backup.h"

#include "base/buf.h"
#include "base/clock.h"
#include "data/migrations.h"
#include "data/sqlite_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Pages copied between two looks at the progress: 4 MiB. */
#define STEP_PAGES 1024

struct task {
    struct arena *arena;
    struct slice *complaint;
};

static bool complain(const struct task *task, const char *what, const char *path, const char *reason)
{
    *task->complaint = arena_format(task->arena, "%s %s: %s", what, path, reason);
    return false;
}

/* ---- files ---- */

static bool sync_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = fsync(fd) == 0;
    return close(fd) == 0 && ok;
}

static bool sync_folder_of(const char *path, struct arena *arena)
{
    return sync_path(sqlite_folder_of(path, arena).ptr, O_RDONLY | O_DIRECTORY);
}

static bool path_exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

/* A new file of mode 0600 to copy into, on the destination's file system. */
static struct slice make_temporary(const struct task *task, const char *destination)
{
    struct slice path = arena_format(task->arena, "%s.partial-%lld", destination, (long long)getpid());
    unlink(path.ptr); /* of an earlier process of this number that was killed */
    int fd = open(path.ptr, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        complain(task, "cannot write", destination, strerror(errno));
        return SLICE_ABSENT;
    }
    close(fd);
    return path;
}

/* Under its final name, without ever replacing anything. */
static bool publish(const struct task *task, const char *temporary, const char *destination)
{
    if (!sync_path(temporary, O_RDONLY))
        return complain(task, "cannot sync", temporary, strerror(errno));
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, destination, RENAME_NOREPLACE) != 0)
        return complain(task, "cannot write", destination, strerror(errno));
    if (!sync_folder_of(destination, task->arena))
        return complain(task, "cannot sync the folder of", destination, strerror(errno));
    return true;
}

/* ---- copying ---- */

/* Copies what `source` sees into the file at `path`. The source holds a read transaction, so that it is one
 * snapshot and a write meanwhile does not begin the copy anew. */
static int copy_pages(sqlite3 *source, const char *path, backup_progress progress, void *arg)
{
    sqlite3 *target = NULL;
    int code = sqlite3_open_v2(path, &target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code == SQLITE_OK) /* a file of its own until it is whole: no journal, and one sync at the end */
        code = sqlite3_exec(target, "PRAGMA synchronous=OFF; PRAGMA journal_mode=OFF", NULL, NULL, NULL);
    sqlite3_backup *backup = code == SQLITE_OK ? sqlite3_backup_init(target, "main", source, "main") : NULL;
    if (backup == NULL) {
        code = sqlite3_extended_errcode(target);
        sqlite3_close(target);
        return code != SQLITE_OK ? code : SQLITE_ERROR;
    }
    do {
        code = sqlite3_backup_step(backup, STEP_PAGES);
        if (progress != NULL && (code == SQLITE_OK || code == SQLITE_DONE))
            progress(sqlite3_backup_remaining(backup), sqlite3_backup_pagecount(backup), arg);
    } while (code == SQLITE_OK);
    int finish = sqlite3_backup_finish(backup);
    int closed = sqlite3_close(target);
    return code != SQLITE_DONE ? code : finish != SQLITE_OK ? finish : closed;
}

/* As copy_pages, in a read transaction of `source`. */
static bool copy_snapshot(const struct task *task, sqlite3 *source, const char *path,
                          backup_progress progress, void *arg)
{
    int code = sqlite3_exec(source, "BEGIN; SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = copy_pages(source, path, progress, arg);
    if (sqlite3_get_autocommit(source) == 0)
        sqlite3_exec(source, "COMMIT", NULL, NULL, NULL);
    return code == SQLITE_OK || complain(task, "cannot copy the database to", path, sqlite3_errstr(code));
}

static bool is_sqlite(const struct task *task, enum db_engine engine)
{
    if (engine == DB_SQLITE)
        return true;
    *task->complaint = SLICE("this is for SQLite only; on PostgreSQL use pg_dump and pg_restore");
    return false;
}

bool store_backup(struct store *store, struct slice destination_path, backup_progress progress, void *arg,
                  struct arena *arena, struct slice *complaint)
{
    struct task task = {arena, complaint};
    if (!is_sqlite(&task, store_engine(store)))
        return false;
    const char *destination = arena_copy(arena, destination_path).ptr;
    if (path_exists(destination))
        return complain(&task, "cannot write", destination, "it exists already");
    struct sqlite_connection *source =
        sqlite_connection_open((struct sqlite_store *)store, SQLITE_SERVICE, arena, complaint);
    if (source == NULL)
        return false;
    struct slice temporary = make_temporary(&task, destination);
    bool ok = !slice_is_absent(temporary) &&
              copy_snapshot(&task, source->handle, temporary.ptr, progress, arg) &&
              publish(&task, temporary.ptr, destination);
    if (!ok && !slice_is_absent(temporary))
        unlink(temporary.ptr);
    sqlite_connection_close(source);
    return ok;
}

/* ---- verifying ---- */

/* SQLite's name for a file that nobody else has open and that lies where nothing can be written beside it. */
static struct slice immutable_uri(struct arena *arena, const char *path)
{
    struct buf uri;
    buf_init(&uri, arena);
    buf_append(&uri, SLICE("file:"));
    for (const char *c = path; *c != '\0'; c++) {
        if (strchr("%?#", *c) != NULL) /* these mean something in a URI */
            buf_format(&uri, "%%%02x", (unsigned)*c);
        else
            buf_append_char(&uri, *c);
    }
    buf_append(&uri, SLICE("?mode=ro&immutable=1"));
    return arena_copy(arena, buf_slice(&uri));
}

/* Opens a file to read it and leaves it, and what stands beside it, as they are. */
static sqlite3 *open_source(const struct task *task, const char *path)
{
    struct slice log = arena_format(task->arena, "%s-wal", path);
    const char *name = path;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    if (access(sqlite_folder_of(path, task->arena).ptr, W_OK) != 0 || access(path, W_OK) != 0) {
        name = immutable_uri(task->arena, path).ptr;
        flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI;
    }
    sqlite3 *handle = NULL;
    int code = sqlite3_open_v2(name, &handle, flags, NULL);
    if (code == SQLITE_OK) {
        sqlite3_busy_timeout(handle, SQLITE_BUSY_MS);
        /* A log that was there stays; one that only this connection made goes with it. */
        sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, path_exists(log.ptr), NULL);
        code =
            sqlite3_exec(handle, "PRAGMA query_only=ON; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON",
                         NULL, NULL, NULL);
    }
    if (code == SQLITE_OK)
        return handle;
    complain(task, "cannot open", path, path_exists(path) ? sqlite3_errstr(code) : strerror(ENOENT));
    sqlite3_close(handle);
    return NULL;
}

/* The first column of the statement's first row, in the arena; absent without a row. SQLite's code, OK for
 * either. */
static int first_text(sqlite3 *handle, const char *sql, struct arena *arena, struct slice *text)
{
    sqlite3_stmt *stmt = NULL;
    *text = SLICE_ABSENT;
    int code = sqlite3_prepare_v2(handle, sql, -1, &stmt, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(stmt);
    if (code == SQLITE_ROW)
        *text = arena_copy(arena, slice_from((const char *)sqlite3_column_text(stmt, 0)));
    sqlite3_finalize(stmt);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static bool verify_version(const struct task *task, sqlite3 *handle, const char *label)
{
    struct slice text;
    long long version = 0;
    int code = first_text(handle, "SELECT max(version) FROM schema_migrations", task->arena, &text);
    if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT)
        return complain(task, "cannot use", label, sqlite3_errstr(code));
    if (code != SQLITE_OK || slice_is_absent(text) || !slice_to_int64(text, &version))
        return complain(task, "cannot use", label, "it is not the database of a shop");
    if (version <= migrations_latest())
        return true;
    struct slice reason =
        arena_format(task->arena, "it is at version %lld, this souk knows versions up to %lld", version,
                     (long long)migrations_latest());
    return complain(task, "cannot use", label, reason.ptr);
}

static bool verify_handle(const struct task *task, sqlite3 *handle, const char *label)
{
    struct slice text;
    if (!verify_version(task, handle, label))
        return false;
    int code = first_text(handle, "PRAGMA integrity_check(1)", task->arena, &text);
    if (code != SQLITE_OK || !slice_is(text, "ok"))
        return complain(task, "damaged:", label,
                        code != SQLITE_OK || slice_is_absent(text) ? sqlite3_errstr(code) : text.ptr);
    code = first_text(handle, "PRAGMA foreign_key_check", task->arena, &text);
    if (code != SQLITE_OK)
        return complain(task, "damaged:", label, sqlite3_errstr(code));
    if (slice_is_absent(text))
        return true;
    struct slice reason =
        arena_format(task->arena, "a row of %s refers to a row that is not there", text.ptr);
    return complain(task, "damaged:", label, reason.ptr);
}

/* `label` is what a complaint calls the file. */
static bool verify_path(const struct task *task, const char *path, const char *label)
{
    sqlite3 *handle = open_source(task, path);
    bool ok = handle != NULL && verify_handle(task, handle, label);
    sqlite3_close(handle);
    return ok;
}

bool store_verify_file(struct slice path, struct arena *arena, struct slice *complaint)
{
    struct task task = {arena, complaint};
    const char *name = arena_copy(arena, path).ptr;
    return verify_path(&task, name, name);
}

/* ---- restoring ---- */

/* Brings what is left in the log of a stopped or killed process into the file. Best effort: a file that is
 * too damaged for it is kept aside together with its log. */
static void fold_log(const char *path)
{
    sqlite3 *handle = NULL;
    if (sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK)
        sqlite3_exec(handle, "PRAGMA synchronous=FULL; PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
    sqlite3_close(handle);
}

/* Gives the old database its second name. The log must be away before the new file comes: it would be taken
 * for the new file's own. */
static bool keep_aside(const struct task *task, const char *path, const char *kept)
{
    fold_log(path);
    struct slice log = arena_format(task->arena, "%s-wal", path);
    struct slice index = arena_format(task->arena, "%s-shm", path);
    struct slice kept_log = arena_format(task->arena, "%s-wal", kept);
    if (link(path, kept) != 0)
        return complain(task, "cannot keep the old database as", kept, strerror(errno));
    if (rename(log.ptr, kept_log.ptr) != 0 && errno != ENOENT)
        return complain(task, "cannot keep the old database's log as", kept_log.ptr, strerror(errno));
    unlink(index.ptr);
    return true;
}

static struct slice kept_path(struct arena *arena, const char *path)
{
    char stamp[32];
    time_t now = clock_now_ms() / 1000;
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &utc);
    return arena_format(arena, "%s.before-restore-%s", path, stamp);
}

static bool put_in_place(const struct task *task, const char *temporary, const char *path, struct slice *kept)
{
    if (path_exists(path)) {
        *kept = kept_path(task->arena, path);
        if (!keep_aside(task, path, kept->ptr))
            return false;
    }
    if (!sync_path(temporary, O_RDONLY) || rename(temporary, path) != 0 || !sync_folder_of(path, task->arena))
        return complain(task, "cannot write", path, strerror(errno));
    return true;
}

static bool restore_under_lock(const struct task *task, const char *source_path, const char *path,
                               struct slice *kept)
{
    sqlite3 *source = open_source(task, source_path);
    if (source == NULL)
        return false;
    struct slice temporary = make_temporary(task, path);
    bool ok = !slice_is_absent(temporary) && copy_snapshot(task, source, temporary.ptr, NULL, NULL);
    sqlite3_close(source);
    /* The copy is looked at, not the source: it is what the shop will run on. */
    ok = ok && verify_path(task, temporary.ptr, source_path) && put_in_place(task, temporary.ptr, path, kept);
    if (!ok && !slice_is_absent(temporary))
        unlink(temporary.ptr);
    return ok;
}

bool store_restore(struct slice source_path, struct slice destination_url, struct arena *arena,
                   struct slice *kept, struct slice *complaint)
{
    struct task task = {arena, complaint};
    *kept = SLICE_ABSENT;
    struct slice scheme = slice_from(sqlite_driver.scheme);
    if (!is_sqlite(&task, slice_starts_with(destination_url, scheme) ? DB_SQLITE : DB_POSTGRES))
        return false;
    const char *path = arena_copy(arena, slice_skip(destination_url, scheme.len)).ptr;
    const char *source = arena_copy(arena, source_path).ptr;
    if (!sqlite_folder_make(path, arena, complaint))
        return false;
    int lock = sqlite_lock_take(path, LOCK_EX, arena, complaint);
    if (lock < 0)
        return false;
    bool ok = restore_under_lock(&task, source, path, kept);
    close(lock);
    return ok;
}
