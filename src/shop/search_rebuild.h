/* The words of the search made anew from the products, for a shop whose rows came from elsewhere. */
#pragma once

#include "data/db.h"

/* Told now and then: `done` of `total` products. False: stop. */
typedef bool (*search_rebuild_watch)(int64_t done, int64_t total, void *arg);

/* Goes on behind the last product that has its words, so that what was interrupted is continued: only for a
 * shop that nobody writes to. What a page of products takes of the arena is given back. DB_DONE, with
 * *is_stopped when the watcher wanted it, or DB_ERROR. */
enum db_result search_rebuild(struct db *db, search_rebuild_watch watch, void *arg, struct arena *arena,
                              bool *is_stopped);
