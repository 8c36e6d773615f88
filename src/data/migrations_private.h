/* migrations.h on a table of files that the caller hands in, so that tests can bring their own. */
#pragma once

#include "data/migrations.h"

#define MIGRATIONS_MAX 512

/* One version, from up to four files. Index 0 is the shared text, 1 the engine's own; either may be NULL. */
struct migration {
    int64_t version;
    struct slice name; /* catalogue */
    const char *up[2];
    const char *down[2];
};

/* Sorts the files of `engine` ("sqlite") into versions, ascending. -1 with a complaint about a badly named
 * file, two names of one version, or a version without a way up. */
int64_t migrations_collect(const struct migration_file *files, const char *engine, struct migration *list,
                           size_t max, struct arena *arena, struct slice *complaint);

bool migrations_run_up(struct store *store, const struct migration_file *files, struct arena *arena,
                       int64_t *applied, struct slice *complaint);
bool migrations_run_down(struct store *store, const struct migration_file *files, int64_t steps,
                         struct arena *arena, int64_t *applied, struct slice *complaint);
size_t migrations_list(struct store *store, const struct migration_file *files, struct arena *arena,
                       struct migration_status *list, size_t max);
