/* The PostgreSQL driver's own: servers and how to reach them (postgres_server.c), connections and the round
 * trips on them (postgres_connection.c), statements and their values (postgres_statement.c), those that were
 * sent before they were asked for (postgres_expected.c), transactions
 * (postgres_transaction.c), schema changes (postgres_schema.c), the store (postgres_store.c).
 *
 * A connection is always in libpq's pipeline mode: what belongs together (BEGIN, PREPARE, the statement)
 * leaves in one flight and is answered in one. It is opened at its first statement and again after it was
 * lost; a dead server is asked by one thread at a time, and all others are refused at once (the breaker). */
#pragma once

#include "data/db_private.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>

struct postgres_store;

/* One server (or the several hosts of one URL, of which libpq takes the one that fits). */
struct postgres_server {
    const char *url;
    const char *session_attributes;   /* the default of target_session_attrs */
    struct store_logins logins;       /* `read` is NULL: the URL says who logs in */
    int64_t timeout_ms;               /* to connect, and for each statement */
    bool is_prepared;                 /* statements are prepared; off behind pgbouncer in transaction mode */
    bool is_optional;                 /* what fails there is not tried again: another answers it */
    _Atomic int connections;          /* open or to be opened */
    _Atomic int alive;                /* of these, connected */
    _Atomic int64_t answered_us;      /* of a replica: when its watcher heard from it; 0: lost since */
    _Atomic int64_t refused_until_us; /* monotonic; until then nobody tries to connect */
    _Atomic int64_t heard_us;         /* monotonic; when it last answered anything */
    _Atomic int64_t silent_until_us;  /* monotonic; until then nobody asks it anything */
    _Atomic int64_t told_us;          /* monotonic; when the log said that it cannot be reached; 0: it can */
    _Atomic bool is_being_tried;      /* after a failure one thread tries, the others are refused */
};

/* A statement that this connection has prepared, by its text. */
struct postgres_prepared {
    uint64_t hash;
    char *sql;
    uint32_t number; /* its name is s<number> */
    int64_t used;    /* the connection's count of uses when it was used last */
};

/* The rows of one statement: all of them are here once it has run. */
struct postgres_rows {
    struct db_rows base;
    PGresult *result;
    int row;            /* the current one; -1 before the first */
    enum db_result end; /* what comes after the last row, or instead of the first */
    int level;          /* depth of the transaction that it was opened in */
    bool is_open;
    struct postgres_rows *next; /* in the connection's list, open or idle */
};

/* A read that was sent before it was asked for. */
struct postgres_expected {
    const struct db_statement *statement;
    struct db_value values[DB_EXPECTED_PARAMS_MAX];
    PGresult *result; /* NULL: not here yet, failed, or taken */
};

struct postgres_connection {
    struct db base;
    struct postgres_server *server;
    PGconn *pg; /* NULL: not connected */
    struct postgres_prepared *prepared[DB_STATEMENTS_CACHED];
    size_t prepared_count;
    uint32_t prepared_number;
    int64_t uses;
    struct postgres_rows *open, *idle;
    struct postgres_expected expected[DB_EXPECTED_MAX];
    size_t expected_count;
    bool is_expecting; /* they are on their way: nothing else may be sent before they have landed */
    int64_t changes;
    char *scratch; /* arguments that libpq wants with a NUL behind them; grows as needed */
    size_t scratch_room;
    int depth;             /* 0 outside a transaction, 1 in one, one more for each savepoint */
    bool is_begin_waiting; /* BEGIN leaves together with the first statement */
    bool is_lost;          /* a statement of the current level failed: it can only be rolled back */
    bool may_meet_twin; /* the first unique violation makes it run again: then it can see what was faster */
    bool must_rerun;    /* serialization failure, deadlock, lost connection: nothing happened, try again */
    const char *isolation; /* what BEGIN says */
    bool is_in_doubt;      /* the newest COMMIT was not answered: it may have happened */
};

/* What one flight asks for. */
struct postgres_flight {
    const char *control;        /* BEGIN, COMMIT, ...; NULL: none */
    const struct db_call *call; /* NULL: none */
    bool is_prepare_only;
};

/* ---- postgres_server.c ---- */

/* A new connection to the server, in pipeline mode; NULL when it cannot be reached now or the breaker is
 * open. Blocks for at most the server's timeout for each of its hosts. */
PGconn *postgres_server_connect(struct postgres_server *server);
/* A statement got no answer in its time: for a moment nobody asks or tries to connect, so that whoever waited
 * behind it does not wait for the same silence as well. */
void postgres_server_fell_silent(struct postgres_server *server);
bool postgres_server_is_silent(const struct postgres_server *server);
/* A connection of its own terms, for schema changes: no limit on how long a statement runs. NULL with
 * *complaint (in `arena`), which never holds the URL. */
PGconn *postgres_server_connect_service(struct postgres_server *server, struct arena *arena,
                                        struct slice *complaint);

/* ---- postgres_connection.c ---- */

struct postgres_connection *postgres_connection_new(struct store *store, struct postgres_server *server);
void postgres_connection_free(struct postgres_connection *connection);
/* Whether there is a live connection, after trying to make one. */
bool postgres_ensure(struct postgres_connection *connection);
/* Whether the caller's deadline, if there is one, has passed. */
bool postgres_is_late(const struct postgres_connection *connection);
/* The earlier of `wait_us` from now and the caller's deadline. */
int64_t postgres_give_up_us(const struct postgres_connection *connection, int64_t wait_us);
/* Ends the connection; what ran is lost. A transaction on it must run again. */
void postgres_drop(struct postgres_connection *connection);
/* One round trip. The result of the call (or of the control statement, without a call), which the caller
 * clears; NULL when the connection was lost. *result is what it means: DB_DONE for success with or without
 * rows, DB_CONFLICT, DB_ERROR. */
PGresult *postgres_fly(struct postgres_connection *connection, const struct postgres_flight *flight,
                       enum db_result *result);
/* A part of a flight that postgres_collect_ahead ends: DB_DONE, DB_CONFLICT when the statement is not
 * prepared yet (nothing was sent), or DB_ERROR: the connection can only be dropped. */
enum db_result postgres_send_ahead(struct postgres_connection *connection, const struct db_call *call);
/* The results of the `count` statements sent ahead, which the caller clears; false when the connection broke
 * (then the first of them may be here). */
bool postgres_collect_ahead(struct postgres_connection *connection, PGresult **results, size_t count);

/* ---- postgres_expected.c ---- */

void postgres_expect(struct db *db, const struct db_call *call);
void postgres_expect_end(struct db *db);
/* Waits for what is on its way. */
void postgres_land_expected(struct postgres_connection *connection);
/* The answer to this call if it was expected, which the caller clears; else NULL. */
PGresult *postgres_take_expected(struct postgres_connection *connection, const struct db_call *call);

/* ---- postgres_statement.c ---- */

#define POSTGRES_NUMBER_BYTES 16

/* The arguments of a call as libpq wants them. */
struct postgres_params {
    Oid types[DB_PARAMS_MAX];
    const char *values[DB_PARAMS_MAX];
    int lengths[DB_PARAMS_MAX];
    int formats[DB_PARAMS_MAX];
    char bytes[DB_PARAMS_MAX][POSTGRES_NUMBER_BYTES];
};

void postgres_params_types(struct postgres_params *params, const struct db_call *call);
void postgres_params_fill(struct postgres_connection *connection, struct postgres_params *params,
                          const struct db_call *call);
void postgres_close_open_rows(struct postgres_connection *connection, int level);
void postgres_rows_free(struct postgres_connection *connection);

enum db_result postgres_prepare(struct db *db, const struct db_call *call);
struct db_rows *postgres_query(struct db *db, const struct db_call *call);
enum db_result postgres_next(struct db_rows *base);
void postgres_close_rows(struct db_rows *base);
enum db_result postgres_run(struct db *db, const struct db_call *call);
int64_t postgres_changes(struct db *db);
bool postgres_is_null(struct db_rows *base, int column);
int64_t postgres_get_integer(struct db_rows *base, int column);
struct uuid postgres_get_uuid(struct db_rows *base, int column);
struct slice postgres_get_bytes(struct db_rows *base, int column, enum db_type type);

/* ---- postgres_transaction.c ---- */

enum db_result postgres_transaction(struct db *db, db_closure closure, void *arg);
/* The same at another isolation level than SERIALIZABLE: "READ COMMITTED" where the closure takes the locks
 * that it needs. */
enum db_result postgres_transaction_at(struct db *db, const char *isolation, db_closure closure, void *arg);
bool postgres_in_transaction(const struct db *db);

/* ---- postgres_schema.c ---- */

struct db_schema *postgres_schema_open(struct store *store, struct arena *arena, struct slice *complaint);
void postgres_schema_close(struct db_schema *schema);
bool postgres_schema_begin(struct db_schema *schema);
bool postgres_schema_exec(struct db_schema *schema, const char *sql);
bool postgres_schema_commit(struct db_schema *schema);
void postgres_schema_rollback(struct db_schema *schema);
int64_t postgres_schema_versions(struct db_schema *schema, struct schema_version *list, size_t max);
const char *postgres_schema_error(struct db_schema *schema);

/* ---- postgres_batch.c ---- */

struct postgres_waiter;

struct postgres_batches {
    pthread_mutex_t mutex;
    struct postgres_waiter *first; /* who waits, in the order of coming */
    size_t waiting;
    bool is_led;                      /* one gathers or works; those that only commit are not counted */
    struct postgres_waiter *gatherer; /* the leader, while it waits for others to come */
    size_t wanted;                    /* it waits for so many */
    size_t usual;                     /* about as many as were done together lately */
    int64_t usual_us;                 /* how long the last of them took */
};

void postgres_batches_init(struct postgres_batches *batches);
void postgres_batches_release(struct postgres_batches *batches);
enum db_result postgres_transaction_batched(struct db *db, const struct db_batch *batch,
                                            const uint64_t keys[DB_BATCH_KEYS], void *arg);

/* ---- postgres_bulk.c ---- */

bool postgres_snapshot_begin(struct db *db);
void postgres_snapshot_end(struct db *db);
struct db_bulk *postgres_bulk_open(struct store *store, struct arena *arena, struct slice *complaint);
void postgres_bulk_close(struct db_bulk *bulk);
bool postgres_bulk_begin(struct db_bulk *bulk, const struct db_bulk_table *table);
bool postgres_bulk_row(struct db_bulk *bulk, const struct db_value *values);
bool postgres_bulk_commit(struct db_bulk *bulk);
void postgres_bulk_rollback(struct db_bulk *bulk);
bool postgres_bulk_finish(struct db_bulk *bulk);
const char *postgres_bulk_error(struct db_bulk *bulk);

/* ---- postgres_replicas.c ---- */

struct postgres_replicas;

/* Those of options->replica_urls, which is not empty. NULL with *complaint. */
struct postgres_replicas *postgres_replicas_new(struct postgres_store *store,
                                                const struct store_options *options, struct arena *arena,
                                                struct slice *complaint);
/* After they were stopped. NULL is nothing. */
void postgres_replicas_free(struct postgres_replicas *replicas);
bool postgres_replicas_start(struct store *store, struct cache *cache);
void postgres_replicas_stop(struct store *store);
bool postgres_has_replicas(const struct store *store);
struct db *postgres_read_connection(struct store *store, struct db **kept, struct cache_ticket *ticket);

/* ---- postgres_notify.c ---- */

bool postgres_cache_link(struct store *store, struct cache_link *link);

/* ---- postgres_store.c ---- */

void postgres_server_init(struct postgres_server *server, struct slice url, const char *session_attributes,
                          const struct store_options *options);
/* The same server for threads of our own, whose failures hold up nobody: with a breaker of its own, and
 * timeout_ms at most. */
void postgres_server_copy(struct postgres_server *server, const struct postgres_server *other,
                          int64_t timeout_ms);
void postgres_server_release(struct postgres_server *server);

struct postgres_store {
    struct store base;
    struct postgres_server primary;
    pthread_mutex_t mutex;              /* guards the keeper */
    struct postgres_connection *keeper; /* answers store_is_ready */
    struct postgres_batches batches;
    struct postgres_replicas *replicas; /* NULL: none */
};
