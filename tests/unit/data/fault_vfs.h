/* A SQLite VFS that fails on demand: it passes everything to the system's own and counts down to a failure.
 * Registered as the default, so that the store under test opens its files through it and knows nothing of it.
 */
#pragma once

#include <sqlite3.h>
#include <stdatomic.h>
#include <string.h>

enum fault_kind { FAULT_NONE, FAULT_READ, FAULT_LOG_WRITE, FAULT_LOG_SYNC };

static struct {
    _Atomic int kind;
    _Atomic int countdown; /* fails when it reaches 0 */
    _Atomic int repeats;   /* how many times in a row */
    _Atomic int code;
    _Atomic int hits;
} fault;

static inline void fault_arm(enum fault_kind kind, int countdown, int repeats, int code)
{
    atomic_store(&fault.hits, 0);
    atomic_store(&fault.countdown, countdown);
    atomic_store(&fault.repeats, repeats);
    atomic_store(&fault.code, code);
    atomic_store(&fault.kind, kind);
}

static inline void fault_disarm(void)
{
    atomic_store(&fault.kind, FAULT_NONE);
}

struct fault_file {
    sqlite3_file base;
    int is_log;
    int is_database;
    sqlite3_file *real; /* stands right behind this struct */
};

static sqlite3_vfs *fault_real;
static sqlite3_vfs fault_self;

/* SQLITE_OK, or the code to fail with. */
static inline int fault_now(enum fault_kind kind)
{
    if (atomic_load(&fault.kind) != (int)kind || atomic_fetch_sub(&fault.countdown, 1) > 0)
        return SQLITE_OK;
    if (atomic_fetch_sub(&fault.repeats, 1) <= 0) {
        fault_disarm();
        return SQLITE_OK;
    }
    atomic_fetch_add(&fault.hits, 1);
    return atomic_load(&fault.code);
}

static inline sqlite3_file *fault_real_of(sqlite3_file *file)
{
    return ((struct fault_file *)(void *)file)->real;
}

static int fault_close(sqlite3_file *file)
{
    return fault_real_of(file)->pMethods->xClose(fault_real_of(file));
}
static int fault_read(sqlite3_file *file, void *into, int len, sqlite3_int64 offset)
{
    int code = ((struct fault_file *)(void *)file)->is_database ? fault_now(FAULT_READ) : SQLITE_OK;
    return code ? code : fault_real_of(file)->pMethods->xRead(fault_real_of(file), into, len, offset);
}
static int fault_write(sqlite3_file *file, const void *from, int len, sqlite3_int64 offset)
{
    int code = ((struct fault_file *)(void *)file)->is_log ? fault_now(FAULT_LOG_WRITE) : SQLITE_OK;
    return code ? code : fault_real_of(file)->pMethods->xWrite(fault_real_of(file), from, len, offset);
}
static int fault_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return fault_real_of(file)->pMethods->xTruncate(fault_real_of(file), size);
}
static int fault_sync(sqlite3_file *file, int flags)
{
    int code = ((struct fault_file *)(void *)file)->is_log ? fault_now(FAULT_LOG_SYNC) : SQLITE_OK;
    return code ? code : fault_real_of(file)->pMethods->xSync(fault_real_of(file), flags);
}
static int fault_file_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return fault_real_of(file)->pMethods->xFileSize(fault_real_of(file), size);
}
static int fault_lock(sqlite3_file *file, int level)
{
    return fault_real_of(file)->pMethods->xLock(fault_real_of(file), level);
}
static int fault_unlock(sqlite3_file *file, int level)
{
    return fault_real_of(file)->pMethods->xUnlock(fault_real_of(file), level);
}
static int fault_check_lock(sqlite3_file *file, int *result)
{
    return fault_real_of(file)->pMethods->xCheckReservedLock(fault_real_of(file), result);
}
static int fault_control(sqlite3_file *file, int operation, void *arg)
{
    return fault_real_of(file)->pMethods->xFileControl(fault_real_of(file), operation, arg);
}
static int fault_sector_size(sqlite3_file *file)
{
    return fault_real_of(file)->pMethods->xSectorSize(fault_real_of(file));
}
static int fault_traits(sqlite3_file *file)
{
    return fault_real_of(file)->pMethods->xDeviceCharacteristics(fault_real_of(file));
}
static int fault_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **out)
{
    return fault_real_of(file)->pMethods->xShmMap(fault_real_of(file), region, size, extend, out);
}
static int fault_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return fault_real_of(file)->pMethods->xShmLock(fault_real_of(file), offset, count, flags);
}
static void fault_shm_barrier(sqlite3_file *file)
{
    fault_real_of(file)->pMethods->xShmBarrier(fault_real_of(file));
}
static int fault_shm_unmap(sqlite3_file *file, int is_delete)
{
    return fault_real_of(file)->pMethods->xShmUnmap(fault_real_of(file), is_delete);
}

/* Version 2: without memory mapping, so that every read passes here. */
static const sqlite3_io_methods fault_methods = {
    .iVersion = 2,
    .xClose = fault_close,
    .xRead = fault_read,
    .xWrite = fault_write,
    .xTruncate = fault_truncate,
    .xSync = fault_sync,
    .xFileSize = fault_file_size,
    .xLock = fault_lock,
    .xUnlock = fault_unlock,
    .xCheckReservedLock = fault_check_lock,
    .xFileControl = fault_control,
    .xSectorSize = fault_sector_size,
    .xDeviceCharacteristics = fault_traits,
    .xShmMap = fault_shm_map,
    .xShmLock = fault_shm_lock,
    .xShmBarrier = fault_shm_barrier,
    .xShmUnmap = fault_shm_unmap,
};

static int fault_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *out_flags)
{
    (void)vfs;
    struct fault_file *self = (struct fault_file *)(void *)file;
    self->real = (sqlite3_file *)(void *)(self + 1);
    self->is_log = (flags & SQLITE_OPEN_WAL) != 0;
    self->is_database = (flags & SQLITE_OPEN_MAIN_DB) != 0;
    int code = fault_real->xOpen(fault_real, name, self->real, flags, out_flags);
    self->base.pMethods = self->real->pMethods != NULL ? &fault_methods : NULL;
    return code;
}

static inline void fault_vfs_install(void)
{
    if (fault_real != NULL)
        return;
    fault_real = sqlite3_vfs_find(NULL);
    fault_self = *fault_real;
    fault_self.zName = "fault";
    fault_self.szOsFile = (int)sizeof(struct fault_file) + fault_real->szOsFile;
    fault_self.xOpen = fault_open;
    sqlite3_vfs_register(&fault_self, 1);
}
