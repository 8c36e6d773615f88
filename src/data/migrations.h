/* The schema's versions: db/migrations compiled into the binary, applied in order, each in its own
 * transaction.
 *
 * NNNN_name.up.sql / .down.sql serve both engines; where they differ
 * NNNN_name.{sqlite,postgres}.{up,down}.sql stand beside and run after the shared file going up, before it
 * going down. */
#pragma once

#include "data/db.h"

struct migration_file {
    const char *name; /* 0001_catalogue.up.sql */
    const char *sql;
};

/* Ends with {NULL, NULL}; made by cmake/embed.cmake. */
extern const struct migration_file migration_files[];

struct migration_status {
    int64_t version;
    struct slice name;
    int64_t applied_at_ms; /* 0: pending */
};

/* The newest version that this binary knows. */
int64_t migrations_latest(void);
/* The version the database is at; 0 when empty; -1 when it cannot be read. A version newer than this binary's
 * is possible. */
int64_t migrations_current(struct store *store);
/* Goes up to the newest version, or down `steps` versions, under a lock that makes concurrent runs wait for
 * each other. *applied counts. False with one clear line in *complaint; versions applied before the failing
 * one stay. */
bool migrations_up(struct store *store, struct arena *arena, int64_t *applied, struct slice *complaint);
bool migrations_down(struct store *store, int64_t steps, struct arena *arena, int64_t *applied,
                     struct slice *complaint);
/* All known versions in order; returns how many, at most `max`. */
size_t migrations_status(struct store *store, struct arena *arena, struct migration_status *list, size_t max);
