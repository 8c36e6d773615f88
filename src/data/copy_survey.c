/* Reading a shop's tables in the order of their keys, and the sums over what was read. */
#include "data/copy_private.h"

#include "base/buf.h"
#include "base/crypto.h"
#include "data/json_digest.h"

/* ---- the statements, put together from the names in copy_tables.c ---- */

static void add_names(struct buf *sql, const struct copy_table *table, int count, const char *suffix)
{
    for (int i = 0; i < count; i++)
        buf_format(sql, "%s%s%s", i > 0 ? ", " : "", table->columns[i].name, suffix);
}

/* Ends the text and declares the first columns of the table as what it answers. */
static struct db_statement *statement_end(struct buf *sql, const struct copy_table *table, int columns)
{
    struct db_statement *statement = ARENA_NEW(sql->arena, struct db_statement);
    buf_append_char(sql, '\0');
    CHECK(!sql->overflow && columns <= DB_COLUMNS_MAX);
    statement->sql = sql->ptr;
    for (int i = 0; i < columns; i++)
        statement->columns[i] = table->columns[i].type;
    return statement;
}

/* The rows in the order of the key: the first ones, or those behind a key. */
static const struct db_statement *batch_statement(const struct copy_table *table, bool is_behind,
                                                  struct arena *arena)
{
    struct buf sql;
    buf_init(&sql, arena);
    buf_append(&sql, SLICE("SELECT "));
    add_names(&sql, table, table->column_count, "");
    buf_format(&sql, " FROM %s", table->name);
    if (is_behind) {
        buf_append(&sql, SLICE(" WHERE ("));
        add_names(&sql, table, table->keys, "");
        buf_append(&sql, SLICE(") > ("));
        for (int i = 0; i < table->keys; i++)
            buf_format(&sql, "%s$%d", i > 0 ? ", " : "", i + 1);
        buf_append_char(&sql, ')');
    }
    buf_append(&sql, SLICE(" ORDER BY "));
    add_names(&sql, table, table->keys, "");
    buf_format(&sql, " LIMIT %d", table->batch_rows);
    struct db_statement *statement = statement_end(&sql, table, table->column_count);
    for (int i = 0; is_behind && i < table->keys; i++)
        statement->params[i] = table->columns[i].type;
    return statement;
}

/* ---- rows ---- */

static struct db_value value_of(struct db_rows *rows, int column, enum db_type type)
{
    if (db_is_null(rows, column))
        return db_null(type);
    switch (type) {
    case DB_INT:
        return db_int(db_get_int(rows, column));
    case DB_BOOL:
        return db_bool(db_get_bool(rows, column));
    case DB_TIME:
        return db_time(db_get_time(rows, column));
    case DB_UUID:
        return db_uuid(db_get_uuid(rows, column));
    case DB_TEXT:
        return db_text(db_get_text(rows, column));
    case DB_JSON:
        return db_json(db_get_text(rows, column));
    case DB_BLOB:
        return db_blob(db_get_text(rows, column));
    case DB_END:
        break;
    }
    UNREACHABLE("a column without a type");
}

static bool has_bytes(const struct db_value *value)
{
    return !value->is_null && (value->type == DB_TEXT || value->type == DB_JSON || value->type == DB_BLOB);
}

static void keep_key(struct copy_reader *reader, const struct db_value *key)
{
    arena_rewind(reader->arena, reader->mark);
    for (int i = 0; i < reader->table->keys; i++) {
        reader->key[i] = key[i];
        if (has_bytes(&key[i]))
            reader->key[i].text = arena_copy(reader->arena, key[i].text);
    }
    reader->has_key = true;
}

void copy_reader_open(struct copy_reader *reader, struct db *db, const struct copy_table *table,
                      const struct db_value *after, struct arena *arena)
{
    *reader = (struct copy_reader){.db = db, .table = table, .arena = arena};
    reader->first = batch_statement(table, false, arena);
    reader->further = batch_statement(table, true, arena);
    /* The key that is handed in lies before the mark, or in the caller's own memory. */
    reader->mark = arena_mark(arena);
    if (after != NULL)
        keep_key(reader, after);
}

static void batch_begin(struct copy_reader *reader)
{
    const struct db_args key = {reader->key, (size_t)reader->table->keys};
    reader->taken = 0;
    reader->rows = reader->has_key ? db_query(reader->db, reader->further, key)
                                   : db_query(reader->db, reader->first, DB_NO_ARGS);
}

enum db_result copy_reader_next(struct copy_reader *reader, bool *is_batch_full)
{
    const struct copy_table *table = reader->table;
    *is_batch_full = false;
    if (reader->rows != NULL && reader->taken == table->batch_rows) {
        keep_key(reader, reader->values);
        copy_reader_close(reader);
    }
    if (reader->rows == NULL)
        batch_begin(reader);
    enum db_result result = db_next(reader->rows);
    if (result != DB_ROW) {
        reader->rows = NULL;
        return result == DB_CONFLICT ? DB_ERROR : result;
    }
    for (int i = 0; i < table->column_count; i++)
        reader->values[i] = value_of(reader->rows, i, table->columns[i].type);
    *is_batch_full = ++reader->taken == table->batch_rows;
    return DB_ROW;
}

void copy_reader_close(struct copy_reader *reader)
{
    if (reader->rows != NULL)
        db_close(reader->rows);
    reader->rows = NULL;
}

enum db_result copy_last_key(struct db *db, const struct copy_table *table, struct db_value *key,
                             struct arena *arena)
{
    struct buf sql;
    buf_init(&sql, arena);
    buf_append(&sql, SLICE("SELECT "));
    add_names(&sql, table, table->keys, "");
    buf_format(&sql, " FROM %s ORDER BY ", table->name);
    add_names(&sql, table, table->keys, " DESC");
    buf_append(&sql, SLICE(" LIMIT 1"));
    struct db_rows *rows = db_query(db, statement_end(&sql, table, table->keys), DB_NO_ARGS);
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    for (int i = 0; i < table->keys; i++) {
        key[i] = value_of(rows, i, table->columns[i].type);
        if (has_bytes(&key[i]))
            key[i].text = arena_copy(arena, key[i].text);
    }
    db_close(rows);
    return DB_ROW;
}

enum db_result copy_count(struct db *db, const struct copy_table *table, int64_t *rows, struct arena *arena)
{
    struct buf sql;
    buf_init(&sql, arena);
    buf_append(&sql, SLICE("SELECT COUNT(*)"));
    buf_format(&sql, " FROM %s", table->name);
    struct db_statement *statement = statement_end(&sql, table, 0);
    statement->columns[0] = DB_INT;
    return db_one_int(db, statement, DB_NO_ARGS, rows);
}

/* ---- sums ---- */

static uint64_t hash_two(uint64_t first, uint64_t second)
{
    const uint64_t pair[2] = {first, second};
    return hash64((struct slice){(const char *)pair, sizeof(pair)});
}

static uint64_t digest_of(const struct db_value *value)
{
    if (value->is_null)
        return 0;
    switch (value->type) {
    case DB_INT:
    case DB_BOOL:
    case DB_TIME:
        return hash_two((uint64_t)value->type, (uint64_t)value->integer);
    case DB_UUID:
        return hash64((struct slice){(const char *)value->uuid.bytes, sizeof(value->uuid.bytes)});
    case DB_JSON:
        return json_digest(value->text);
    case DB_TEXT:
    case DB_BLOB:
        return hash64(value->text);
    case DB_END:
        break;
    }
    UNREACHABLE("a value without a type");
}

static void add_row(struct copy_table_sums *sums, const struct copy_table *table, const struct db_value *row)
{
    uint64_t whole = 0;
    for (int i = 0; i < table->column_count; i++) {
        struct copy_column_sums *column = &sums->columns[i];
        uint64_t digest = digest_of(&row[i]);
        bool is_number = row[i].type == DB_INT || row[i].type == DB_BOOL || row[i].type == DB_TIME;
        column->nulls += row[i].is_null;
        column->sum += is_number && !row[i].is_null ? (uint64_t)row[i].integer : 0;
        column->digest += digest;
        whole = hash_two(whole, digest);
    }
    sums->digest += whole;
    sums->rows++;
}

struct sum_run {
    const struct copy_job *job;
    const char *what;
    struct db *db;
    int64_t done, total;
};

static enum copy_result unreadable(const struct copy_job *job, const char *table)
{
    *job->complaint = arena_format(job->arena, "table %s cannot be read; the log says why", table);
    return COPY_FAILED;
}

static enum copy_result sum_table(struct sum_run *run, const struct copy_table *table,
                                  struct copy_table_sums *sums)
{
    struct copy_reader reader;
    bool is_batch_full;
    enum db_result result;
    sums->name = table->name;
    copy_reader_open(&reader, run->db, table, NULL, run->job->arena);
    while ((result = copy_reader_next(&reader, &is_batch_full)) == DB_ROW) {
        add_row(sums, table, reader.values);
        run->done++;
        if (is_batch_full && !copy_tell(run->job, run->what, table->name, run->done, run->total)) {
            copy_reader_close(&reader);
            return COPY_STOPPED;
        }
    }
    return result == DB_DONE ? COPY_DONE : unreadable(run->job, table->name);
}

static enum copy_result sum_all(struct sum_run *run, struct copy_sums *sums)
{
    struct arena *arena = run->job->arena;
    for (size_t i = 0; i < copy_table_count; i++) {
        int64_t rows;
        if (copy_count(run->db, &copy_tables[i], &rows, arena) != DB_ROW)
            return unreadable(run->job, copy_tables[i].name);
        run->total += rows;
    }
    enum copy_result result = COPY_DONE;
    for (size_t i = 0; i < copy_table_count && result == COPY_DONE; i++)
        result = sum_table(run, &copy_tables[i], &sums->tables[i]);
    if (result == COPY_DONE)
        copy_tell(run->job, run->what, "", run->total, run->total);
    return result;
}

enum copy_result copy_sum(const struct copy_job *job, struct store *store, const char *what,
                          struct copy_sums *sums)
{
    CHECK(copy_table_count <= COPY_TABLES_MAX);
    *sums = (struct copy_sums){.table_count = copy_table_count};
    struct sum_run run = {.job = job, .what = what, .db = store_connect(store)};
    if (run.db == NULL || !store->driver->snapshot_begin(run.db)) {
        if (run.db != NULL)
            store_disconnect(run.db);
        return unreadable(job, copy_tables[0].name);
    }
    enum copy_result result = sum_all(&run, sums);
    store->driver->snapshot_end(run.db);
    store_disconnect(run.db);
    return result;
}

/* ---- comparing ---- */

static void tell_number(struct buf *out, const char *table, const char *column, const char *what,
                        int64_t from, int64_t to)
{
    if (from != to)
        buf_format(out, "%s%s%s: %s %lld in FROM, %lld in TO\n", table, column[0] != '\0' ? "." : "", column,
                   what, (long long)from, (long long)to);
}

static void compare_table(struct buf *out, const struct copy_table *table, const struct copy_table_sums *from,
                          const struct copy_table_sums *to)
{
    size_t before = out->len;
    tell_number(out, table->name, "", "rows", from->rows, to->rows);
    for (int i = 0; i < table->column_count; i++) {
        const struct copy_column_sums *a = &from->columns[i];
        const struct copy_column_sums *b = &to->columns[i];
        size_t here = out->len;
        tell_number(out, table->name, table->columns[i].name, "NULLs", a->nulls, b->nulls);
        tell_number(out, table->name, table->columns[i].name, "sum", (int64_t)a->sum, (int64_t)b->sum);
        if (out->len == here && a->digest != b->digest)
            buf_format(out, "%s.%s: the contents differ\n", table->name, table->columns[i].name);
    }
    if (out->len == before && from->digest != to->digest)
        buf_format(out, "%s: values stand in other rows\n", table->name);
}

struct slice copy_differences(const struct copy_sums *from, const struct copy_sums *to, struct arena *arena)
{
    struct buf out;
    buf_init(&out, arena);
    for (size_t i = 0; i < copy_table_count; i++)
        compare_table(&out, &copy_tables[i], &from->tables[i], &to->tables[i]);
    return out.len > 0 ? slice_trim(buf_slice(&out)) : SLICE_ABSENT;
}
