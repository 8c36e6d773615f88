/* What stands between the verbs of db.h and the engines: a driver is one table of functions. db.c checks
 * arguments and dispatches; nothing above db.h includes this. */
#pragma once

#include "base/trace.h"
#include "data/db.h"

/* A driver's own structs begin with these. */
struct store {
    const struct db_driver *driver;
};

struct db {
    const struct db_driver *driver;
    struct store *store;
    int64_t deadline_us; /* monotonic; 0: none (db_set_deadline) */
};

struct db_rows {
    struct db *db;
    const enum db_type *columns;
    int column_count;
    bool has_row;      /* the last db_next said DB_ROW */
    struct span *span; /* of a trace; NULL: none, or ended. db.c's */
};

/* One run of a statement, checked against its declaration. */
struct db_call {
    const struct db_statement *statement; /* NULL: built, known by its text only */
    const char *sql;
    size_t sql_len;
    const enum db_type *params; /* DB_END-terminated */
    size_t param_count;
    const enum db_type *columns; /* DB_END-terminated */
    int column_count;
    const struct db_value *values; /* param_count of them; NULL when only preparing */
};

/* A connection for changing the schema (migrations.c). */
struct db_schema;

/* A connection for loading many rows into tables that nobody else uses yet (copy.c). */
struct db_bulk;

/* What is loaded: columns in the order of each row's values. */
struct db_bulk_table {
    const char *name;
    const char *const *columns;
    const enum db_type *types;
    int column_count;
};

struct schema_version {
    int64_t version;
    int64_t applied_at_ms;
};

struct db_driver {
    enum db_engine engine;
    const char *scheme; /* what its URLs begin with, with the colon */
    const char *name;   /* as in NNNN_name.sqlite.up.sql */
    bool has_lane;
    bool reads_inline; /* a read waits for no other machine */

    struct store *(*open)(const struct store_options *options, struct arena *arena, struct slice *complaint);
    void (*close)(struct store *store);
    struct db *(*connect)(struct store *store);
    void (*disconnect)(struct db *db);
    bool (*is_ready)(struct store *store);
    bool (*has_replicas)(const struct store *store); /* NULL: never */
    struct db *(*read_connection)(struct store *store, struct db **kept, struct cache_ticket *ticket);
    bool (*replicas_start)(struct store *store, struct cache *cache);
    void (*replicas_stop)(struct store *store); /* NULL, as the two above: there are none */
    bool (*cache_link)(struct store *store, struct cache_link *link); /* NULL: none */
    size_t (*wal_bytes)(const struct store *store);
    bool (*submit)(struct store *store, struct lane_job *job);

    enum db_result (*prepare)(struct db *db, const struct db_call *call);
    struct db_rows *(*query)(struct db *db, const struct db_call *call);
    void (*expect)(struct db *db, const struct db_call *call);
    void (*expect_end)(struct db *db); /* NULL, as the one above: a statement waits for no other machine */
    enum db_result (*next)(struct db_rows *rows); /* closes the rows itself after anything but DB_ROW */
    void (*close_rows)(struct db_rows *rows);
    /* To the end, discarding rows; a transaction of its own when there is none. */
    enum db_result (*run)(struct db *db, const struct db_call *call);
    int64_t (*changes)(struct db *db);

    /* Of the current row; the column exists and its declared type fits. */
    bool (*is_null)(struct db_rows *rows, int column);
    int64_t (*get_integer)(struct db_rows *rows, int column);
    struct uuid (*get_uuid)(struct db_rows *rows, int column);
    struct slice (*get_bytes)(struct db_rows *rows, int column, enum db_type type);

    enum db_result (*transaction)(struct db *db, db_closure closure, void *arg);
    /* NULL: what waits is gathered elsewhere (SQLite's lane), or never. */
    enum db_result (*transaction_batched)(struct db *db, const struct db_batch *batch,
                                          const uint64_t keys[DB_BATCH_KEYS], void *arg);
    void (*read_begin)(struct db *db);
    void (*read_end)(struct db *db);
    bool (*in_transaction)(const struct db *db);

    /* Schema changes: a connection of their own. _begin opens a transaction under the lock that lets one
     * process at a time change the schema, and makes sure that schema_migrations is there. _error is the
     * newest failure's text. */
    struct db_schema *(*schema_open)(struct store *store, struct arena *arena, struct slice *complaint);
    void (*schema_close)(struct db_schema *schema);
    bool (*schema_begin)(struct db_schema *schema);
    bool (*schema_exec)(struct db_schema *schema, const char *sql);
    bool (*schema_commit)(struct db_schema *schema);
    void (*schema_rollback)(struct db_schema *schema);
    /* The applied versions in ascending order; -1 when they cannot be read, 0 when there is no table yet. */
    int64_t (*schema_versions)(struct db_schema *schema, struct schema_version *list, size_t max);
    const char *(*schema_error)(struct db_schema *schema);

    /* One snapshot for as long as its reader wants it, unlike read_begin's: what a copy of the whole shop
     * reads. False when it cannot begin. A connection that breaks in it ends it: every later statement is
     * DB_ERROR. */
    bool (*snapshot_begin)(struct db *db);
    void (*snapshot_end)(struct db *db);

    /* Loading rows: _begin opens a transaction for rows of one table, _commit makes them durable, _rollback
     * forgets them. References are looked at by _commit or, on SQLite, by _finish; which also sets what the
     * engine counts for itself behind the loaded rows, and makes the statistics that good plans need. Nothing
     * is bounded in time. _error is the newest failure's text, which holds no value of a row. */
    struct db_bulk *(*bulk_open)(struct store *store, struct arena *arena, struct slice *complaint);
    void (*bulk_close)(struct db_bulk *bulk);
    bool (*bulk_begin)(struct db_bulk *bulk, const struct db_bulk_table *table);
    bool (*bulk_row)(struct db_bulk *bulk, const struct db_value *values);
    bool (*bulk_commit)(struct db_bulk *bulk);
    void (*bulk_rollback)(struct db_bulk *bulk);
    bool (*bulk_finish)(struct db_bulk *bulk);
    const char *(*bulk_error)(struct db_bulk *bulk);
};

extern const struct db_driver sqlite_driver;
extern const struct db_driver postgres_driver;

size_t db_types_count(const enum db_type *types);
