/* What the copy of a shop is made of: the tables (copy_tables.c), reading them in the order of their keys and
 * summing them up (copy_survey.c), bringing them over (copy.c). */
#pragma once

#include "data/copy.h"
#include "data/db_private.h"

struct copy_column {
    const char *name;
    enum db_type type;
};

struct copy_table {
    const char *name;
    const struct copy_column *columns; /* the first `keys` of them are the primary key, in its order */
    int column_count;
    int keys;
    int batch_rows; /* read at once: bounds the memory that a batch takes */
    bool is_whole;  /* its rows refer to each other: they become durable together */
};

/* In the order of their references: what is pointed to comes first. */
extern const struct copy_table copy_tables[];
extern const size_t copy_table_count;

/* One table's rows in the order of its key, batch by batch. Open until the last row was read or _close. */
struct copy_reader {
    struct db *db;
    const struct copy_table *table;
    struct arena *arena; /* of the key behind which the next batch begins; rewound to `mark` with each */
    size_t mark;
    const struct db_statement *first, *further;
    struct db_rows *rows;
    int taken; /* rows of this batch */
    bool has_key;
    struct db_value key[DB_COLUMNS_MAX];
    struct db_value values[DB_COLUMNS_MAX]; /* the current row, good until the next */
};

/* Begins with the first row, or behind `after` (the key's values; NULL: at the first). */
void copy_reader_open(struct copy_reader *reader, struct db *db, const struct copy_table *table,
                      const struct db_value *after, struct arena *arena);
/* DB_ROW, DB_DONE behind the last row of the table, or DB_ERROR. *is_batch_full (with DB_ROW): this row is
 * the last of its batch. */
enum db_result copy_reader_next(struct copy_reader *reader, bool *is_batch_full);
void copy_reader_close(struct copy_reader *reader);

/* The greatest key in the table, its texts in the arena: DB_ROW, DB_DONE without rows, DB_ERROR. */
enum db_result copy_last_key(struct db *db, const struct copy_table *table, struct db_value *key,
                             struct arena *arena);
enum db_result copy_count(struct db *db, const struct copy_table *table, int64_t *rows, struct arena *arena);

/* Tells how far it is; false when it shall stop. */
bool copy_tell(const struct copy_job *job, const char *what, const char *table, int64_t done, int64_t total);
