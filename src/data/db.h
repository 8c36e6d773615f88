/* The seam between the shop and its database: a handful of verbs on statements. Two drivers stand behind it
 * (SQLite, PostgreSQL); nothing above this header knows which.
 *
 * SQL is written once, in the subset that both engines share: $1..$n for parameters, RETURNING, ON CONFLICT,
 * read-only CTEs, window functions, row-value comparison. No casts, no now(), no data-modifying CTE. A
 * statement that truly differs carries a second text. Statements are literals beside the code that runs them:
 *
 *     DB_STATEMENT(CART_TOUCH) = {
 *         .sql = "UPDATE carts SET version = version + 1, updated_at = $2 WHERE id = $1 AND status =
 * 'active'", .params = {DB_UUID, DB_TIME},
 *     };
 *     enum db_result result = db_change(db, &CART_TOUCH, DB_ARGS(db_uuid(cart_id), db_time(now_ms)));
 *
 * Types: DB_INT is a 64-bit integer, DB_BOOL a boolean (0/1 in SQLite), DB_TIME milliseconds since 1970
 * (INTEGER in SQLite, timestamptz in PostgreSQL), DB_UUID 16 bytes (BLOB / uuid), DB_JSON text that is JSON
 * (TEXT / jsonb). */
#pragma once

#include "base/arena.h"
#include "base/check.h"
#include "base/ids.h"
#include "base/limits.h"
#include "base/login.h"

/* One connection, used by one thread at a time. */
struct db;

enum db_engine { DB_SQLITE, DB_POSTGRES };

enum db_type { DB_END = 0, DB_INT, DB_BOOL, DB_TIME, DB_UUID, DB_TEXT, DB_JSON, DB_BLOB };

struct db_statement {
    const char *sql;                        /* NULL: only for the engine that has a text of its own */
    const char *sql_postgres;               /* NULL: `sql` serves both engines */
    enum db_type params[DB_PARAMS_MAX + 1]; /* of $1, $2, ...; the rest is DB_END */
    enum db_type columns[DB_COLUMNS_MAX + 1];
};

/* Defines a statement and enters it into the section that the tests walk to prepare every statement on every
 * engine. (The entry is named NAME_entry.) */
#define DB_STATEMENT(name)                                                                                   \
    static const struct db_statement name;                                                                   \
    static const struct db_statement *const name##_entry __attribute__((section("db_statements"), used)) =   \
        &name;                                                                                               \
    static const struct db_statement name

/* Every statement of the program: calls `visit` for each. */
void db_statements_visit(void (*visit)(const struct db_statement *statement, void *arg), void *arg);

/* What a step may say. There is no bool: "no such row" is not "the database failed". */
enum db_result {
    DB_ROW,      /* a row stands ready */
    DB_DONE,     /* finished, no (more) rows */
    DB_CONFLICT, /* a constraint refused the write, or db_change met no row: what was decided on has changed
                  */
    DB_ERROR     /* the database failed, or the transaction must be run again: give up and return it */
};

struct db_value {
    enum db_type type;
    bool is_null;
    union {
        int64_t integer; /* DB_INT, DB_BOOL, DB_TIME */
        struct uuid uuid;
        struct slice text; /* DB_TEXT, DB_JSON, DB_BLOB; an absent slice is NULL */
    };
};

struct db_args {
    const struct db_value *values;
    size_t count;
};

#define DB_ARGS(...)                                                                                         \
    ((struct db_args){(const struct db_value[]){__VA_ARGS__},                                                \
                      sizeof((const struct db_value[]){__VA_ARGS__}) / sizeof(struct db_value)})
#define DB_NO_ARGS ((struct db_args){NULL, 0})

static inline struct db_value db_int(int64_t value)
{
    return (struct db_value){.type = DB_INT, .integer = value};
}
static inline struct db_value db_bool(bool value)
{
    return (struct db_value){.type = DB_BOOL, .integer = value};
}
static inline struct db_value db_time(int64_t time_ms)
{
    return (struct db_value){.type = DB_TIME, .integer = time_ms};
}
static inline struct db_value db_uuid(struct uuid id)
{
    return (struct db_value){.type = DB_UUID, .uuid = id};
}
static inline struct db_value db_text(struct slice text)
{
    return (struct db_value){.type = DB_TEXT, .is_null = text.ptr == NULL, .text = text};
}
static inline struct db_value db_json(struct slice text)
{
    return (struct db_value){.type = DB_JSON, .is_null = text.ptr == NULL, .text = text};
}
static inline struct db_value db_blob(struct slice bytes)
{
    return (struct db_value){.type = DB_BLOB, .is_null = bytes.ptr == NULL, .text = bytes};
}
static inline struct db_value db_null(enum db_type type)
{
    return (struct db_value){.type = type, .is_null = true};
}
/* The value when `present`, else NULL of its type. */
static inline struct db_value db_if(bool present, struct db_value value)
{
    value.is_null = value.is_null || !present;
    return value;
}

/* ---- running statements ---- */

/* The rows of one running statement. */
struct db_rows;

/* When the caller gives up, on the monotonic clock (0: never). What waits for another machine waits no
 * longer: the statement or transaction fails (DB_ERROR). A COMMIT that was under way then may have happened.
 */
void db_set_deadline(struct db *db, int64_t deadline_us);

/* Starts a statement. Never NULL: a failure shows at db_next. The args are copied or bound before it returns,
 * texts by reference: they must outlive the rows. Programmer errors (count or type of an argument) assert. */
struct db_rows *db_query(struct db *db, const struct db_statement *statement, struct db_args args);
/* The next row. After anything but DB_ROW the rows are closed and `rows` must not be used again. */
enum db_result db_next(struct db_rows *rows);
/* Ends early; only needed when the last db_next said DB_ROW. */
void db_close(struct db_rows *rows);
/* Prepares without running, for the test that walks every statement: DB_DONE (also when the statement is not
 * for this engine), or DB_ERROR when the engine
 * refuses the text or its parameters and columns are not what the statement declares (the log says which). */
enum db_result db_prepare(struct db *db, const struct db_statement *statement);

#define DB_EXPECTED_PARAMS_MAX 4

/* Says that this read is about to be asked by db_query on this connection, with equal args: where each
 * statement waits for another machine, all that is expected is sent at once, and db_query finds the answer.
 * It reads what was there when it was sent. A hint: elsewhere, in a transaction, or when it fails, the
 * statement runs when it is asked. Texts of the args must outlive db_expect_end, which ends it: what was
 * expected and not asked is forgotten. At most DB_EXPECTED_PARAMS_MAX args. */
void db_expect(struct db *db, const struct db_statement *statement, struct db_args args);
void db_expect_end(struct db *db);

/* The columns of the current row, from 0, checked against the declared types. Text and bytes stay valid until
 * the next db_next or db_close of these rows: copy what must live longer. A NULL reads as 0, false, the nil
 * uuid, absent text. */
bool db_is_null(struct db_rows *rows, int column);
int64_t db_get_int(struct db_rows *rows, int column);
bool db_get_bool(struct db_rows *rows, int column);
int64_t db_get_time(struct db_rows *rows, int column);
struct uuid db_get_uuid(struct db_rows *rows, int column);
struct slice db_get_text(struct db_rows *rows, int column); /* DB_TEXT, DB_JSON, DB_BLOB */
struct slice db_copy_text(struct db_rows *rows, int column, struct arena *arena);

/* A statement without rows to read: DB_DONE, DB_CONFLICT (constraint) or DB_ERROR. Outside a transaction a
 * write by db_run or db_change is a transaction of its own; a write by db_query there is a programmer error.
 */
enum db_result db_run(struct db *db, const struct db_statement *statement, struct db_args args);
/* As db_run, and DB_CONFLICT when it changed no row: for every UPDATE that carries the state it was decided
 * on. */
enum db_result db_change(struct db *db, const struct db_statement *statement, struct db_args args);
/* Rows changed by the newest statement of this connection. */
int64_t db_changes(struct db *db);
/* One integer of one row (count, sum, flag): DB_ROW with *value, DB_DONE without a row, or DB_ERROR. */
enum db_result db_one_int(struct db *db, const struct db_statement *statement, struct db_args args,
                          int64_t *value);

/* ---- statements built from literal fragments: lists with filters and sorts ---- */

/* Proof at compile time that a fragment is a literal. */
#define SQL(literal) ("" literal "")
/* The same of a fragment that only PostgreSQL is given; its words may be that engine's own. */
#define SQL_POSTGRES(literal) ("" literal "")

struct db_built {
    char sql[DB_SQL_BYTES_MAX];
    size_t len;
    struct db_value values[DB_PARAMS_MAX];
    size_t count;
    const enum db_type *columns;
};

/* `columns` is a DB_END-terminated array that outlives the statement. */
void db_built_init(struct db_built *built, const enum db_type *columns);
/* Adds a fragment, always SQL("..."); each `$?` in it takes the next of `args` and becomes $n. */
void db_built_add(struct db_built *built, const char *fragment, struct db_args args);
struct db_rows *db_query_built(struct db *db, const struct db_built *built);

/* ---- transactions ---- */

/* Runs inside a transaction. DB_DONE commits; anything else rolls back. It may be run again (serialization
 * failure), so it has no effect but on the database; what it fills through `arg` is overwritten by the next
 * run.
 *
 * Once a statement of it failed (DB_ERROR, or DB_CONFLICT by a constraint) the transaction is lost, as on
 * PostgreSQL: every later statement is DB_ERROR, and so is the whole, even when the closure says DB_DONE. To
 * try and go on, write ON CONFLICT DO NOTHING, or nest a db_transaction. (db_change that met no row loses
 * nothing.) */
typedef enum db_result (*db_closure)(struct db *db, void *arg);

/* Runs `closure` in one write transaction and returns after the commit is durable. Inside a transaction it
 * runs in a savepoint of it. On SQLite a reader's connection hands the closure to the write lane, whose
 * connection it sees as `db`: a closure uses the `db` that it is given and no other. Afterwards the caller's
 * snapshot is a new one (unless rows are open), so that it reads what it wrote. Returns what the closure
 * returned; DB_ERROR when the commit failed (then nothing happened) or the lane's queue is full. */
enum db_result db_transaction(struct db *db, db_closure closure, void *arg);

/* Transactions of one kind that many callers want at the same time, as checkouts of a flash sale. */
struct db_batch {
    /* Does as many of `args` as it can in one transaction, for an engine on which each commit and each row
     * lock costs a round trip. It takes the locks that it needs itself, in one order for all (the transaction
     * is READ COMMITTED), and decides before it writes. results[i], which is DB_CONFLICT before: DB_DONE when
     * it is done, DB_CONFLICT when nothing of it was written and `alone` shall see to it. DB_DONE commits;
     * anything else rolls all of it back, and each of them runs alone. Called on the thread of one of the
     * callers while the others wait. */
    enum db_result (*together)(struct db *db, void **args, enum db_result *results, size_t count);
    /* The same for one, at db_transaction's terms. */
    db_closure alone;
};

#define DB_BATCH_KEYS 2

/* As db_transaction(db, batch->alone, arg), possibly done together with others that wait. Two callers whose
 * keys[k] are equal and not 0 are never done together. Inside a transaction `alone` runs as a part of it.
 * `batch` is static. */
enum db_result db_transaction_batched(struct db *db, const struct db_batch *batch,
                                      const uint64_t keys[DB_BATCH_KEYS], void *arg);

/* One snapshot for all reads of a request. Nests in nothing; _end also closes what a handler left open. A
 * snapshot older than READ_TRANSACTION_MS_MAX is renewed by the next statement, and a statement that runs
 * longer is interrupted (DB_ERROR): it would hold back the log of writes. */
void db_read_begin(struct db *db);
void db_read_end(struct db *db);

/* Whether this connection is inside a write transaction now. */
bool db_in_transaction(const struct db *db);
/* For what truly differs between the engines, as the language of their text search. */
enum db_engine db_engine_of(const struct db *db);

/* ---- the store: where connections come from ---- */

struct store; /* one database of the process, whichever the engine; thread-safe */
struct lane;

/* Who logs in to PostgreSQL where it is not the URL that says so: asked before each connection is made. */
struct store_logins {
    /* Fills *login. `is_refused`: the server refuses the one in *login; then another one. False: there is
     * none. May be called by several threads at once. */
    bool (*read)(void *arg, struct login *login, bool is_refused);
    void *arg;
};

struct store_options {
    struct slice url;       /* sqlite:PATH, postgresql://... */
    int64_t timeout_ms;     /* PostgreSQL: to connect, and for each statement; 0: the default */
    bool is_unprepared;     /* PostgreSQL: prepare no statements, as behind pgbouncer in transaction mode */
    size_t connections_max; /* readers at once; 0: no limit */
    bool is_exclusive; /* SQLite: fails when another process has it open, and none can open it meanwhile */
    struct slice replica_urls;  /* PostgreSQL: of each read replica, with commas between them; empty: none */
    int64_t replica_lag_ms;     /* a replica that is further behind is passed over */
    struct store_logins logins; /* PostgreSQL, replicas too; `read` is NULL: the URLs say it */
};

/* Opens; creates the SQLite file (and its folder) when it is not there. NULL with one clear line in
 * *complaint. */
struct store *store_open(const struct store_options *options, struct arena *arena, struct slice *complaint);
/* Stops the lane after its queue is empty, closes every connection. */
void store_close(struct store *store);
enum db_engine store_engine(const struct store *store);
/* A connection for the calling thread's own use, opened now; NULL when the database cannot be reached. */
struct db *store_connect(struct store *store);
void store_disconnect(struct db *db);
/* Whether the database can be reached now; else why not, in one line. For commands. */
bool store_reach(struct store *store, struct arena *arena, struct slice *complaint);
/* Whether the database answers now, for /health/ready. */
bool store_is_ready(struct store *store);
/* How long SQLite's write-ahead log is, as of this process's newest commit; 0 elsewhere. */
size_t store_wal_bytes(const struct store *store);

/* ---- read replicas ---- */

struct cache;
struct cache_ticket;

/* Whether reads may go to another server than the primary. */
bool store_has_replicas(const struct store *store);
/* A connection for reads that may be a little late, to a replica that is near enough and has seen all that
 * the cache was told to drop; NULL: none is, read by store_connect's. *kept is what this thread reads by,
 * NULL at first: it may be opened, kept or changed for another here, and is the caller's to store_disconnect.
 * *ticket becomes older where needed: what is read by that connection may be put into the cache with it, and
 * a replica's delay is taken for what it is, a fill that raced. NULL also before store_replicas_start.
 * A read that fails on it is to be done again elsewhere: the replica may just have gone. */
struct db *store_read_connection(struct store *store, struct db **kept, struct cache_ticket *ticket);
/* Begins to watch the replicas, for a server that reads by them; `cache` (or NULL) is the one that such reads
 * fill. True also where there are none; false when the system gives no threads. */
bool store_replicas_start(struct store *store, struct cache *cache);
/* The end of it, before the cache is freed; connections for reads are closed already. Nothing the second
 * time, or when nothing was started. */
void store_replicas_stop(struct store *store);

/* ---- what servers of one database tell each other ---- */

struct cache_link;

/* The database's own way to carry the drops of caches (data/cache_link.h); it must be given to a cache, which
 * ends it, before store_close. False where nobody else can have the database open for long, or has no such
 * way (SQLite). */
bool store_cache_link(struct store *store, struct cache_link *link);

/* ---- the write lane ---- */

/* A write that runs whole inside a transaction and is answered when it is durable. The lane gathers what
 * waits into one commit. All calls are on the lane's thread. */
struct lane_job {
    db_closure run; /* in a savepoint; DB_DONE keeps it, else rolled back */
    void (*done)(void *arg, enum db_result result, bool committed);
    /* After the COMMIT returned: `result` is what run said. committed is false, with DB_ERROR, when the
     * commit failed; a job that rolled itself back is told its own result with committed = true (its reads
     * held). */
    void *arg;
    int64_t deadline_us; /* monotonic; 0: none. A job past it is not started: done(DB_ERROR, false). */
    unsigned queue_max;  /* it is refused when so many wait already; 0: LANE_QUEUE_MAX */
    struct lane_job *next;
};

/* Queues the job (it stays the caller's memory until `done`). False at once when the queue is full or the
 * lane stops. */
bool store_submit(struct store *store, struct lane_job *job);
/* Whether writes go through a lane (SQLite) or a worker's own connection (PostgreSQL). */
bool store_has_lane(const struct store *store);
/* Whether a point read may run on an I/O thread: the data lies in this process. Where it does not
 * (PostgreSQL) every statement waits for another machine, and only workers may call the database. */
bool store_reads_inline(const struct store *store);
