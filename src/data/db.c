/* The verbs of the seam: check what the caller handed in against the statement's declaration, then dispatch
 * to the engine's driver. What is wrong here is a programmer's mistake and asserts; what an engine says is a
 * result. */
#include "data/db_private.h"

static const struct db_driver *const drivers[] = {&sqlite_driver, &postgres_driver};

/* The linker gathers what DB_STATEMENT put into the section "db_statements" between these two. Weak, since a
 * program without any statement has no such section. */
extern const struct db_statement *const __start_db_statements[] __attribute__((weak, visibility("hidden")));
extern const struct db_statement *const __stop_db_statements[] __attribute__((weak, visibility("hidden")));

void db_statements_visit(void (*visit)(const struct db_statement *statement, void *arg), void *arg)
{
    for (const struct db_statement *const *entry = __start_db_statements; entry < __stop_db_statements;
         entry++)
        visit(*entry, arg);
}

size_t db_types_count(const enum db_type *types)
{
    size_t count = 0;
    while (types[count] != DB_END)
        count++;
    return count;
}

/* ---- running statements ---- */

static const char *text_of(const struct db *db, const struct db_statement *statement)
{
    bool is_postgres = db->driver->engine == DB_POSTGRES && statement->sql_postgres != NULL;
    return is_postgres ? statement->sql_postgres : statement->sql;
}

static struct db_call call_of(const struct db *db, const struct db_statement *statement)
{
    const char *sql = text_of(db, statement);
    CHECK(sql != NULL);
    return (struct db_call){
        .statement = statement,
        .sql = sql,
        .sql_len = strlen(sql),
        .params = statement->params,
        .param_count = db_types_count(statement->params),
        .columns = statement->columns,
        .column_count = (int)db_types_count(statement->columns),
    };
}

static struct db_call call_with(const struct db *db, const struct db_statement *statement,
                                struct db_args args)
{
    struct db_call call = call_of(db, statement);
    CHECK(args.count == call.param_count);
    for (size_t i = 0; i < args.count; i++)
        CHECK(args.values[i].type == statement->params[i]);
    call.values = args.values;
    return call;
}

/* ---- spans of traces: which kind of statement took how long, never with which values ---- */

static const char *const KINDS[] = {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"};

static struct span *begin_span(const struct db *db, const char *sql)
{
    const char *kind = "OTHER";
    if (trace_current() == NULL)
        return NULL;
    for (size_t i = 0; i < COUNT_OF(KINDS); i++) {
        if (strncmp(sql, KINDS[i], strlen(KINDS[i])) == 0)
            kind = KINDS[i];
    }
    return span_begin(kind, db->driver->engine == DB_POSTGRES ? SPAN_POSTGRES : SPAN_SQLITE);
}

/* It lasts until the rows have been read. */
static struct db_rows *query(struct db *db, const struct db_call *call)
{
    struct span *span = begin_span(db, call->sql);
    struct db_rows *rows = db->driver->query(db, call);
    rows->span = span;
    return rows;
}

static void end_rows_span(struct db_rows *rows, bool failed)
{
    span_end(rows->span, failed);
    rows->span = NULL;
}

enum db_result db_prepare(struct db *db, const struct db_statement *statement)
{
    if (text_of(db, statement) == NULL)
        return DB_DONE;
    struct db_call call = call_of(db, statement);
    return db->driver->prepare(db, &call);
}

struct db_rows *db_query(struct db *db, const struct db_statement *statement, struct db_args args)
{
    struct db_call call = call_with(db, statement, args);
    return query(db, &call);
}

void db_expect(struct db *db, const struct db_statement *statement, struct db_args args)
{
    if (db->driver->expect == NULL)
        return;
    struct db_call call = call_with(db, statement, args);
    CHECK(call.param_count <= DB_EXPECTED_PARAMS_MAX);
    db->driver->expect(db, &call);
}

void db_set_deadline(struct db *db, int64_t deadline_us)
{
    db->deadline_us = deadline_us;
}

void db_expect_end(struct db *db)
{
    if (db->driver->expect_end != NULL)
        db->driver->expect_end(db);
}

enum db_result db_next(struct db_rows *rows)
{
    struct span *span = rows->span;
    enum db_result result = rows->db->driver->next(rows); /* unless there is a row, it closes them */
    if (result != DB_ROW)
        span_end(span, result == DB_ERROR);
    return result;
}

void db_close(struct db_rows *rows)
{
    end_rows_span(rows, false);
    rows->db->driver->close_rows(rows);
}

enum db_result db_run(struct db *db, const struct db_statement *statement, struct db_args args)
{
    struct db_call call = call_with(db, statement, args);
    struct span *span = begin_span(db, call.sql);
    enum db_result result = db->driver->run(db, &call);
    span_end(span, result == DB_ERROR);
    return result;
}

enum db_result db_change(struct db *db, const struct db_statement *statement, struct db_args args)
{
    enum db_result result = db_run(db, statement, args);
    return result == DB_DONE && db_changes(db) == 0 ? DB_CONFLICT : result;
}

int64_t db_changes(struct db *db)
{
    return db->driver->changes(db);
}

enum db_result db_one_int(struct db *db, const struct db_statement *statement, struct db_args args,
                          int64_t *value)
{
    *value = 0;
    struct db_rows *rows = db_query(db, statement, args);
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    CHECK(rows->column_count == 1);
    CHECK(rows->columns[0] == DB_INT || rows->columns[0] == DB_BOOL || rows->columns[0] == DB_TIME);
    *value = db->driver->get_integer(rows, 0);
    db_close(rows);
    return DB_ROW;
}

/* ---- columns ---- */

static void check_column(const struct db_rows *rows, int column)
{
    CHECK(rows->has_row);
    CHECK(column >= 0 && column < rows->column_count);
}

static int64_t get_integer(struct db_rows *rows, int column, enum db_type type)
{
    check_column(rows, column);
    CHECK(rows->columns[column] == type);
    return rows->db->driver->get_integer(rows, column);
}

bool db_is_null(struct db_rows *rows, int column)
{
    check_column(rows, column);
    return rows->db->driver->is_null(rows, column);
}

int64_t db_get_int(struct db_rows *rows, int column)
{
    return get_integer(rows, column, DB_INT);
}

bool db_get_bool(struct db_rows *rows, int column)
{
    return get_integer(rows, column, DB_BOOL) != 0;
}

int64_t db_get_time(struct db_rows *rows, int column)
{
    return get_integer(rows, column, DB_TIME);
}

struct uuid db_get_uuid(struct db_rows *rows, int column)
{
    check_column(rows, column);
    CHECK(rows->columns[column] == DB_UUID);
    return rows->db->driver->get_uuid(rows, column);
}

struct slice db_get_text(struct db_rows *rows, int column)
{
    check_column(rows, column);
    enum db_type type = rows->columns[column];
    CHECK(type == DB_TEXT || type == DB_JSON || type == DB_BLOB);
    return rows->db->driver->get_bytes(rows, column, type);
}

struct slice db_copy_text(struct db_rows *rows, int column, struct arena *arena)
{
    return arena_copy(arena, db_get_text(rows, column));
}

/* ---- built statements ---- */

void db_built_init(struct db_built *built, const enum db_type *columns)
{
    built->sql[0] = '\0';
    built->len = 0;
    built->count = 0;
    built->columns = columns;
}

static void built_append(struct db_built *built, const char *text, size_t len)
{
    CHECK(built->len + len < sizeof(built->sql));
    memcpy(built->sql + built->len, text, len);
    built->len += len;
    built->sql[built->len] = '\0';
}

/* "$12" */
static void built_append_number(struct db_built *built, size_t number)
{
    char text[3] = {'$'};
    size_t len = 1;
    if (number >= 10)
        text[len++] = (char)('0' + number / 10);
    text[len++] = (char)('0' + number % 10);
    built_append(built, text, len);
}

void db_built_add(struct db_built *built, const char *fragment, struct db_args args)
{
    size_t taken = 0;
    const char *mark;
    while ((mark = strstr(fragment, "$?")) != NULL) {
        CHECK(taken < args.count && built->count < DB_PARAMS_MAX);
        built_append(built, fragment, (size_t)(mark - fragment));
        built->values[built->count++] = args.values[taken++];
        built_append_number(built, built->count);
        fragment = mark + 2;
    }
    CHECK(taken == args.count);
    built_append(built, fragment, strlen(fragment));
}

struct db_rows *db_query_built(struct db *db, const struct db_built *built)
{
    enum db_type params[DB_PARAMS_MAX + 1] = {DB_END};
    for (size_t i = 0; i < built->count; i++)
        params[i] = built->values[i].type;
    struct db_call call = {
        .sql = built->sql,
        .sql_len = built->len,
        .params = params,
        .param_count = built->count,
        .columns = built->columns,
        .column_count = (int)db_types_count(built->columns),
        .values = built->values,
    };
    return query(db, &call);
}

/* ---- transactions ---- */

enum db_result db_transaction(struct db *db, db_closure closure, void *arg)
{
    struct span *span = span_begin("transaction", SPAN_OWN);
    enum db_result result = db->driver->transaction(db, closure, arg);
    span_end(span, result == DB_ERROR);
    return result;
}

enum db_result db_transaction_batched(struct db *db, const struct db_batch *batch,
                                      const uint64_t keys[DB_BATCH_KEYS], void *arg)
{
    if (db_in_transaction(db))
        return batch->alone(db, arg);
    if (db->driver->transaction_batched == NULL)
        return db_transaction(db, batch->alone, arg);
    struct span *span = span_begin("transaction", SPAN_OWN);
    enum db_result result = db->driver->transaction_batched(db, batch, keys, arg);
    span_end(span, result == DB_ERROR);
    return result;
}

void db_read_begin(struct db *db)
{
    db->driver->read_begin(db);
}

void db_read_end(struct db *db)
{
    db->driver->read_end(db);
}

bool db_in_transaction(const struct db *db)
{
    return db->driver->in_transaction(db);
}

enum db_engine db_engine_of(const struct db *db)
{
    return db->driver->engine;
}

/* ---- the store ---- */

struct store *store_open(const struct store_options *options, struct arena *arena, struct slice *complaint)
{
    for (size_t i = 0; i < COUNT_OF(drivers); i++)
        if (slice_starts_with(options->url, slice_from(drivers[i]->scheme)))
            return drivers[i]->open(options, arena, complaint);
    /* The URL itself is not shown: it may hold a password. */
    *complaint = SLICE("DATABASE_URL: must be sqlite:PATH, as in sqlite:./data/souk.db, or postgresql://...");
    return NULL;
}

void store_close(struct store *store)
{
    store->driver->close(store);
}

enum db_engine store_engine(const struct store *store)
{
    return store->driver->engine;
}

struct db *store_connect(struct store *store)
{
    return store->driver->connect(store);
}

void store_disconnect(struct db *db)
{
    db->driver->disconnect(db);
}

bool store_has_replicas(const struct store *store)
{
    return store->driver->has_replicas != NULL && store->driver->has_replicas(store);
}

struct db *store_read_connection(struct store *store, struct db **kept, struct cache_ticket *ticket)
{
    if (store->driver->read_connection == NULL)
        return NULL;
    return store->driver->read_connection(store, kept, ticket);
}

bool store_cache_link(struct store *store, struct cache_link *link)
{
    return store->driver->cache_link != NULL && store->driver->cache_link(store, link);
}

bool store_replicas_start(struct store *store, struct cache *cache)
{
    return store->driver->replicas_start == NULL || store->driver->replicas_start(store, cache);
}

void store_replicas_stop(struct store *store)
{
    if (store->driver->replicas_stop != NULL)
        store->driver->replicas_stop(store);
}

bool store_reach(struct store *store, struct arena *arena, struct slice *complaint)
{
    struct db_schema *schema = store->driver->schema_open(store, arena, complaint);
    if (schema != NULL)
        store->driver->schema_close(schema);
    return schema != NULL;
}

bool store_is_ready(struct store *store)
{
    return store->driver->is_ready(store);
}

size_t store_wal_bytes(const struct store *store)
{
    return store->driver->wal_bytes(store);
}

bool store_submit(struct store *store, struct lane_job *job)
{
    CHECK(job->run != NULL && job->done != NULL);
    return store->driver->submit(store, job);
}

bool store_has_lane(const struct store *store)
{
    return store->driver->has_lane;
}

bool store_reads_inline(const struct store *store)
{
    return store->driver->reads_inline;
}
