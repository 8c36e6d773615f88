/* Moving a whole shop from one database to another, whichever their engines (docs/decisions/0009).
 *
 * The target is marked before its first row and until all of it was found equal: whoever would serve from it
 * asks copy_is_unfinished. Rows come in the order of their keys, so that after an interruption the greatest
 * key of a table says where to go on. What a shop derives from its rows in an engine's own way (the words of
 * the search) is not copied; the caller makes it anew between copy_rows and copy_finish. */
#pragma once

#include "data/db.h"

#define COPY_TABLES_MAX 64

enum copy_result {
    COPY_DONE,
    COPY_STOPPED, /* by the watcher; what is committed stays */
    COPY_FAILED   /* *complaint says why */
};

/* Called now and then on the thread that copies: `done` of `total` rows of all tables. False: stop. */
typedef bool (*copy_watch)(const char *what, const char *table, int64_t done, int64_t total, void *arg);

struct copy_job {
    struct store *from; /* both at this binary's version of the schema */
    struct store *to;
    struct arena *arena;
    struct slice *complaint;
    copy_watch watch;
    void *watch_arg;
};

/* What was read of a column: the sum of integers, times and booleans wraps. */
struct copy_column_sums {
    int64_t nulls;
    uint64_t sum;
    uint64_t digest; /* independent of the order of the rows */
};

struct copy_table_sums {
    const char *name;
    int64_t rows;
    uint64_t digest; /* of whole rows */
    struct copy_column_sums columns[DB_COLUMNS_MAX];
};

struct copy_sums {
    size_t table_count;
    struct copy_table_sums tables[COPY_TABLES_MAX];
};

/* Whether the database holds an unfinished copy: DB_DONE with *is_unfinished, or DB_ERROR. */
enum db_result copy_is_unfinished(struct store *store, bool *is_unfinished);
/* How many other souk processes are connected to the database, as far as it tells (an embedded one does not:
 * see store_options.is_exclusive); -1 when it cannot be read. */
int64_t copy_others(struct store *store);

/* Reads all of a shop, in one snapshot, and sums it up. `what` is what the watcher is told. */
enum copy_result copy_sum(const struct copy_job *job, struct store *store, const char *what,
                          struct copy_sums *sums);
/* Marks the target as a copy of the shop that has these sums, or finds it to be one that was interrupted
 * (*is_continued). Fails when it holds anything else. */
enum copy_result copy_begin(const struct copy_job *job, const struct copy_sums *sums, bool *is_continued);
/* Brings over every row that is not there yet. */
enum copy_result copy_rows(const struct copy_job *job, const struct copy_sums *sums);
/* What an engine needs after so many rows: counters of its own set, references checked, statistics made. */
enum copy_result copy_finish(const struct copy_job *job);
/* What differs, one line each, in the arena; absent when nothing does. */
struct slice copy_differences(const struct copy_sums *from, const struct copy_sums *to, struct arena *arena);
/* The copy is whole: takes the mark away. */
enum copy_result copy_settle(const struct copy_job *job);
