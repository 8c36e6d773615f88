/* Copies of the database file: made while the shop runs, checked, and put back. SQLite only; on PostgreSQL
 * each of these refuses with a line that names the tool to use. */
#pragma once

#include "data/db.h"

/* Called now and then from the caller's thread. `total` is in pages, and never shrinks. */
typedef void (*backup_progress)(int remaining, int total, void *arg);

/* Writes one consistent copy, as of the moment of the call, to `destination_path` (mode 0600, synced, only
 * there when it is whole). Writers go on meanwhile; the log of writes grows until the copy is done. Refuses
 * an existing destination. `progress` may be NULL. False with one clear line in *complaint. */
bool store_backup(struct store *store, struct slice destination_path, backup_progress progress, void *arg,
                  struct arena *arena, struct slice *complaint);

/* Whether the file is a sound shop's database that this binary can open: integrity, references, a known
 * version. The file is not changed. */
bool store_verify_file(struct slice path, struct arena *arena, struct slice *complaint);

/* Puts a verified copy of the file at `source_path` in the place of the database of `destination_url`.
 * Refuses while any souk process has that open. What was there stays as PATH.before-restore-YYYYMMDDTHHMMSSZ;
 * its path goes to *kept (absent when there was nothing). The database is at every moment either the old one
 * or the new one. */
bool store_restore(struct slice source_path, struct slice destination_url, struct arena *arena,
                   struct slice *kept, struct slice *complaint);
