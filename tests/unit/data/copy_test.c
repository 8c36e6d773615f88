/* Copying a shop: what the copy knows of the schema, that every value survives the way to PostgreSQL and
 * back, that an interrupted copy goes on, and that differences are found. */
#include "data/store.h"

#include "data/copy_private.h"

/* ---- the schema, as each engine's catalogue has it ---- */

DB_STATEMENT(CATALOGUE) = {
    .sql = "SELECT m.name, c.name, c.type, c.pk FROM sqlite_schema m, pragma_table_info(m.name) c"
           " WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.name, c.cid",
    .sql_postgres =
        "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod),"
        " COALESCE(array_position(i.indkey::int2[], a.attnum) + 1, 0) FROM pg_class c"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''"
        " LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary"
        " WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace ORDER BY c.relname, a.attnum",
    .columns = {DB_TEXT, DB_TEXT, DB_TEXT, DB_INT},
};

/* What is not copied, and why: the record of versions and the mark of the copy belong to the database; the
 * words of the search are made anew (shop/search_rebuild.c). */
static bool is_left_out(struct slice table)
{
    return slice_is(table, "schema_migrations") || slice_is(table, "unfinished_copy") ||
           slice_is(table, "search_words") || slice_starts_with(table, SLICE("product_search"));
}

static bool type_is(enum db_engine engine, struct slice type, enum db_type wanted)
{
    static const struct {
        const char *sqlite, *postgres, *postgres_also;
    } NAMES[] = {
        [DB_INT] = {"INTEGER", "bigint", ""},
        [DB_BOOL] = {"INTEGER", "boolean", ""},
        [DB_TIME] = {"INTEGER", "timestamp with time zone", ""},
        [DB_UUID] = {"BLOB", "uuid", ""},
        [DB_TEXT] = {"TEXT", "text", ""},
        [DB_JSON] = {"TEXT", "json", "jsonb"},
        [DB_BLOB] = {"BLOB", "bytea", ""},
    };
    if (engine == DB_SQLITE)
        return slice_is(type, NAMES[wanted].sqlite);
    return slice_is(type, NAMES[wanted].postgres) || slice_is(type, NAMES[wanted].postgres_also);
}

static const struct copy_table *find_table(struct slice name)
{
    for (size_t i = 0; i < copy_table_count; i++)
        if (slice_is(name, copy_tables[i].name))
            return &copy_tables[i];
    fail_msg("copy_tables.c does not know the table %.*s", SLICE_ARG(name));
    return NULL;
}

/* One column of the catalogue: it is in the list, with its type and its place in the key. */
static void check_column(enum db_engine engine, struct slice table_name, struct slice name, struct slice type,
                         int64_t key)
{
    const struct copy_table *table = find_table(table_name);
    int at = 0;
    while (at < table->column_count && !slice_is(name, table->columns[at].name))
        at++;
    if (at == table->column_count)
        fail_msg("copy_tables.c does not know the column %s.%.*s", table->name, SLICE_ARG(name));
    if (!type_is(engine, type, table->columns[at].type))
        fail_msg("%s.%.*s is of type %.*s, not what copy_tables.c says", table->name, SLICE_ARG(name),
                 SLICE_ARG(type));
    if (key != (at < table->keys ? at + 1 : 0))
        fail_msg("%s.%.*s is number %lld of the key, not %d", table->name, SLICE_ARG(name), (long long)key,
                 at + 1);
}

/* ---- two shops, one on each engine ---- */

struct fixture {
    struct arena arena;
    struct test_store files, server;
    struct store *sqlite, *postgres;
    struct copy_sums *sums, *after;
    struct slice complaint;
    struct copy_job job;
    int64_t stop_at; /* the watcher wants to stop there; 0: never */
    int64_t told;
};

static bool watch(const char *what, const char *table, int64_t done, int64_t total, void *arg)
{
    struct fixture *fixture = arg;
    (void)table;
    assert_true(done <= total);
    fixture->told++;
    return fixture->stop_at == 0 || strcmp(what, "copying") != 0 || done < fixture->stop_at;
}

/* Whichever engine the run is about: this test is about both. */
static void make(struct test_store *at, const char *engine)
{
    setenv("SOUK_TEST_ENGINE", engine, 1);
    test_store_make(at, "copy", true);
}

static void take_away(const struct test_store *at, const char *engine)
{
    setenv("SOUK_TEST_ENGINE", engine, 1);
    test_store_remove(at);
}

static int begin(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    *state = fixture;
    assert_true(arena_init(&fixture->arena, (size_t)64 << 20));
    make(&fixture->server, "postgres");
    make(&fixture->files, "sqlite");
    fixture->sqlite = test_store_open(&fixture->files, &fixture->arena);
    fixture->postgres = test_store_open(&fixture->server, &fixture->arena);
    fixture->sums = ARENA_NEW(&fixture->arena, struct copy_sums);
    fixture->after = ARENA_NEW(&fixture->arena, struct copy_sums);
    fixture->job = (struct copy_job){.from = fixture->sqlite,
                                     .to = fixture->postgres,
                                     .arena = &fixture->arena,
                                     .complaint = &fixture->complaint,
                                     .watch = watch,
                                     .watch_arg = fixture};
    return 0;
}

static int end(void **state)
{
    struct fixture *fixture = *state;
    store_close(fixture->sqlite);
    store_close(fixture->postgres);
    take_away(&fixture->files, "sqlite");
    take_away(&fixture->server, "postgres");
    arena_release(&fixture->arena);
    free(fixture);
    return 0;
}

static void check_catalogue(struct store *store)
{
    struct db *db = store_connect(store);
    struct db_rows *rows = db_query(db, &CATALOGUE, DB_NO_ARGS);
    enum db_result result;
    int columns = 0, known = 0;
    while ((result = db_next(rows)) == DB_ROW) {
        if (is_left_out(db_get_text(rows, 0)))
            continue;
        columns++;
        check_column(store_engine(store), db_get_text(rows, 0), db_get_text(rows, 1), db_get_text(rows, 2),
                     db_get_int(rows, 3));
    }
    assert_int_equal(result, DB_DONE);
    for (size_t i = 0; i < copy_table_count; i++)
        known += copy_tables[i].column_count;
    assert_int_equal(columns, known);
    store_disconnect(db);
}

static void every_column_is_known(void **state)
{
    struct fixture *fixture = *state;
    check_catalogue(fixture->sqlite);
    check_catalogue(fixture->postgres);
}

static void run(struct store *store, const struct db_statement *statement, struct db_args args)
{
    struct db *db = store_connect(store);
    test_write(db, statement, args);
    store_disconnect(db);
}

static int64_t number(struct store *store, const struct db_statement *statement)
{
    struct db *db = store_connect(store);
    int64_t value = test_int(db, statement, DB_NO_ARGS);
    store_disconnect(db);
    return value;
}

static void expect(struct fixture *fixture, enum copy_result result)
{
    if (result != COPY_DONE)
        fail_msg("%.*s", SLICE_ARG(fixture->complaint));
}

/* All of it, as the command does. */
static void copy_whole(struct fixture *fixture, struct store *from, struct store *to)
{
    bool is_continued = true, is_unfinished = false;
    fixture->job.from = from;
    fixture->job.to = to;
    expect(fixture, copy_sum(&fixture->job, from, "reading", fixture->sums));
    expect(fixture, copy_begin(&fixture->job, fixture->sums, &is_continued));
    assert_false(is_continued);
    assert_int_equal(copy_is_unfinished(to, &is_unfinished), DB_DONE);
    assert_true(is_unfinished);
    expect(fixture, copy_rows(&fixture->job, fixture->sums));
    expect(fixture, copy_finish(&fixture->job));
    expect(fixture, copy_sum(&fixture->job, to, "checking", fixture->after));
    struct slice differences = copy_differences(fixture->sums, fixture->after, &fixture->arena);
    if (!slice_is_absent(differences))
        fail_msg("%.*s", SLICE_ARG(differences));
    expect(fixture, copy_settle(&fixture->job));
    assert_int_equal(copy_is_unfinished(to, &is_unfinished), DB_DONE);
    assert_false(is_unfinished);
}

/* ---- values ---- */

DB_STATEMENT(USER_ADD) = {
    .sql =
        "INSERT INTO users (id, email, email_folded, password_hash, first_name, name_sort, phone, email_verified_at,"
        " preferences, version, created_at, updated_at, deleted_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    .params = {DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TIME, DB_JSON, DB_INT,
               DB_TIME, DB_TIME, DB_TIME},
};
DB_STATEMENT(USER_READ) = {
    .sql = "SELECT email, password_hash, first_name, email_verified_at, preferences, version, created_at,"
           " updated_at, phone FROM users WHERE id = $1",
    .params = {DB_UUID},
    .columns = {DB_TEXT, DB_TEXT, DB_TEXT, DB_TIME, DB_JSON, DB_INT, DB_TIME, DB_TIME, DB_TEXT},
};
DB_STATEMENT(KEY_ADD) = {
    .sql = "INSERT INTO signing_keys (kid, state, sealed_private, public_jwk, created_at)"
           " VALUES ($1, 'retired', $2, $3, $4)",
    .params = {DB_TEXT, DB_BLOB, DB_JSON, DB_TIME},
};
DB_STATEMENT(KEY_READ) = {
    .sql = "SELECT sealed_private FROM signing_keys WHERE kid = $1",
    .params = {DB_TEXT},
    .columns = {DB_BLOB},
};
DB_STATEMENT(MEDIA_ADD) = {
    .sql = "INSERT INTO media (name, content_type, body, created_at) VALUES ($1, $2, $3, $4)",
    .params = {DB_TEXT, DB_TEXT, DB_BLOB, DB_TIME},
};
DB_STATEMENT(CATEGORY_ADD) = {
    .sql = "INSERT INTO categories (id, parent_id, name, name_sort, slug, position, created_at, updated_at)"
           " VALUES ($1, $2, $3, $3, $3, $4, $5, $5)",
    .params = {DB_UUID, DB_UUID, DB_TEXT, DB_INT, DB_TIME},
};
DB_STATEMENT(CATEGORY_MOVE) = {
    .sql = "UPDATE categories SET parent_id = $2 WHERE id = $1",
    .params = {DB_UUID, DB_UUID},
};
DB_STATEMENT(OUTBOX_ADD) = {
    .sql = "INSERT INTO outbox (id, topic, payload, created_at, due_at) VALUES ($1, 'x', $2, $3, NULL)",
    .params = {DB_INT, DB_JSON, DB_TIME},
};
DB_STATEMENT(OUTBOX_NEXT) = {
    .sql = "INSERT INTO outbox (topic, payload, created_at) VALUES ('y', $1, $2)",
    .params = {DB_JSON, DB_TIME},
};
DB_STATEMENT(OUTBOX_LAST) = {
    .sql = "SELECT id FROM outbox WHERE topic = 'y'",
    .columns = {DB_INT},
};
DB_STATEMENT(SETTINGS_EDIT) = {
    .sql = "UPDATE shop_settings SET store_name = 'Söuk', version = 7, free_shipping_threshold_minor = NULL",
};

static struct uuid id_of(uint8_t first, uint8_t last)
{
    struct uuid id = {{0}};
    id.bytes[0] = first;
    id.bytes[15] = last;
    return id;
}

#define LAST_OUTBOX_ID INT64_C(4611686018427387904)
#define LARGE_VERSION INT64_C(9223372036854775807)
#define LONG_AGO_MS INT64_C(-2208988800001) /* 1899, and not a whole second */
#define BEFORE_2000_MS INT64_C(946684799999)
#define FAR_AHEAD_MS INT64_C(32503680000123) /* the year 3000 */

/* The first user is of extremes, the second of NULLs and empty texts. */
static void add_users(struct store *store)
{
    run(store, &USER_ADD,
        DB_ARGS(db_uuid(id_of(0xFF, 0)), db_text(SLICE("Ünïcode 😀 \"quoted\" \\ \t'x'@example.com")),
                db_text(SLICE("a")), db_text(SLICE("$argon2id$")), db_text(SLICE("名前")),
                db_text(SLICE("z")), db_text(SLICE("+1")), db_time(LONG_AGO_MS),
                db_json(SLICE("{\"zz\":[1,2.50,-3e2],\"a\":{\"ü\":\"\\u00e9\\n\",\"n\":null}}")),
                db_int(LARGE_VERSION), db_time(BEFORE_2000_MS), db_time(FAR_AHEAD_MS), db_null(DB_TIME)));
    run(store, &USER_ADD,
        DB_ARGS(db_uuid(id_of(0, 0)), db_text(SLICE("")), db_text(SLICE("")), db_null(DB_TEXT),
                db_text(SLICE("")), db_text(SLICE("")), db_null(DB_TEXT), db_null(DB_TIME),
                db_json(SLICE("{}")), db_int(INT64_MIN), db_time(0), db_time(-1), db_time(1)));
}

/* Bytes of every value, none, and more than is gathered for one piece of a COPY. */
static void add_bytes(struct store *store, struct arena *arena)
{
    char all[256];
    size_t large = (size_t)700 << 10;
    char *body = arena_alloc(arena, large);
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    for (size_t i = 0; i < large; i++)
        body[i] = (char)(i * 31 >> 3);
    run(store, &KEY_ADD,
        DB_ARGS(db_text(SLICE("bytes")), db_blob((struct slice){all, sizeof(all)}),
                db_json(SLICE("{\"kty\":\"OKP\"}")), db_time(1)));
    run(store, &KEY_ADD,
        DB_ARGS(db_text(SLICE("none")), db_blob(SLICE("")), db_json(SLICE("[]")), db_time(2)));
    run(store, &MEDIA_ADD,
        DB_ARGS(db_text(SLICE("a.jpg")), db_text(SLICE("image/jpeg")), db_blob((struct slice){body, large}),
                db_time(3)));
}

static void fill(struct store *store, struct arena *arena)
{
    add_users(store);
    add_bytes(store, arena);
    /* A child whose parent comes behind it in the order of the keys. */
    run(store, &CATEGORY_ADD,
        DB_ARGS(db_uuid(id_of(1, 1)), db_null(DB_UUID), db_text(SLICE("child")), db_int(-5), db_time(1)));
    run(store, &CATEGORY_ADD,
        DB_ARGS(db_uuid(id_of(2, 2)), db_null(DB_UUID), db_text(SLICE("parent")), db_int(5), db_time(1)));
    run(store, &CATEGORY_MOVE, DB_ARGS(db_uuid(id_of(1, 1)), db_uuid(id_of(2, 2))));
    run(store, &OUTBOX_ADD, DB_ARGS(db_int(1), db_json(SLICE("{\"b\":1,\"aaa\":2}")), db_time(1)));
    run(store, &OUTBOX_ADD, DB_ARGS(db_int(LAST_OUTBOX_ID), db_json(SLICE("{}")), db_time(1)));
    run(store, &SETTINGS_EDIT, DB_NO_ARGS);
}

static void check_user(struct store *store)
{
    struct db *db = store_connect(store);
    struct db_rows *rows = db_query(db, &USER_READ, DB_ARGS(db_uuid(id_of(0xFF, 0))));
    assert_int_equal(db_next(rows), DB_ROW);
    assert_true(slice_is(db_get_text(rows, 0), "Ünïcode 😀 \"quoted\" \\ \t'x'@example.com"));
    assert_true(slice_is(db_get_text(rows, 2), "名前"));
    assert_true(db_get_time(rows, 3) == LONG_AGO_MS);
    assert_true(db_get_int(rows, 5) == LARGE_VERSION);
    assert_true(db_get_time(rows, 6) == BEFORE_2000_MS);
    assert_true(db_get_time(rows, 7) == FAR_AHEAD_MS);
    db_close(rows);
    rows = db_query(db, &USER_READ, DB_ARGS(db_uuid(id_of(0, 0))));
    assert_int_equal(db_next(rows), DB_ROW);
    assert_true(!db_is_null(rows, 0) && db_get_text(rows, 0).len == 0);
    assert_true(db_is_null(rows, 1) && db_is_null(rows, 3) && db_is_null(rows, 8));
    assert_true(db_get_int(rows, 5) == INT64_MIN);
    assert_true(db_get_time(rows, 6) == 0 && db_get_time(rows, 7) == -1);
    db_close(rows);
    rows = db_query(db, &KEY_READ, DB_ARGS(db_text(SLICE("bytes"))));
    assert_int_equal(db_next(rows), DB_ROW);
    struct slice bytes = db_get_text(rows, 0);
    assert_int_equal(bytes.len, 256);
    for (size_t i = 0; i < bytes.len; i++)
        assert_int_equal((uint8_t)bytes.ptr[i], i);
    db_close(rows);
    store_disconnect(db);
}

static void values_survive_the_way_there_and_back(void **state)
{
    struct fixture *fixture = *state;
    struct test_store back = fixture->files;
    fill(fixture->sqlite, &fixture->arena);
    copy_whole(fixture, fixture->sqlite, fixture->postgres);
    check_user(fixture->postgres);
    snprintf(back.url, sizeof(back.url), "sqlite:%s/back.db", back.folder);
    test_migrate(back.url);
    struct store *store = test_store_open(&back, &fixture->arena);
    copy_whole(fixture, fixture->postgres, store);
    check_user(store);
    store_close(store);
    assert_true(fixture->told > 0);
    /* What is new is numbered behind what was copied. */
    run(fixture->postgres, &OUTBOX_NEXT, DB_ARGS(db_json(SLICE("{}")), db_time(1)));
    assert_true(number(fixture->postgres, &OUTBOX_LAST) == LAST_OUTBOX_ID + 1);
}

/* ---- interruptions ---- */

#define MANY 45000

DB_STATEMENT(ADD_MANY) = {
    .sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)"
           " INSERT INTO open_guest_orders (limit_key, order_id) SELECT 'email:' || i, randomblob(16) FROM n",
    .params = {DB_INT},
};
DB_STATEMENT(COUNT_MANY) = {
    .sql = "SELECT COUNT(*) FROM open_guest_orders",
    .columns = {DB_INT},
};
DB_STATEMENT(DELETE_ONE) = {
    .sql = "DELETE FROM open_guest_orders WHERE limit_key = 'email:9'",
};

static enum copy_result begin_and_copy(struct fixture *fixture, int64_t stop_at, bool *is_continued)
{
    fixture->stop_at = stop_at;
    expect(fixture, copy_sum(&fixture->job, fixture->sqlite, "reading", fixture->sums));
    enum copy_result result = copy_begin(&fixture->job, fixture->sums, is_continued);
    return result == COPY_DONE ? copy_rows(&fixture->job, fixture->sums) : result;
}

static void an_interrupted_copy_goes_on(void **state)
{
    struct fixture *fixture = *state;
    bool is_continued, is_unfinished = false;
    run(fixture->sqlite, &ADD_MANY, DB_ARGS(db_int(MANY)));
    assert_int_equal(begin_and_copy(fixture, 30000, &is_continued), COPY_STOPPED);
    assert_false(is_continued);
    int64_t there = number(fixture->postgres, &COUNT_MANY);
    assert_true(there >= 20000 && there < MANY);
    assert_int_equal(copy_is_unfinished(fixture->postgres, &is_unfinished), DB_DONE);
    assert_true(is_unfinished);
    expect(fixture, begin_and_copy(fixture, 0, &is_continued));
    assert_true(is_continued);
    assert_int_equal(number(fixture->postgres, &COUNT_MANY), MANY);
    expect(fixture, copy_sum(&fixture->job, fixture->postgres, "checking", fixture->after));
    assert_true(slice_is_absent(copy_differences(fixture->sums, fixture->after, &fixture->arena)));
}

static void a_copy_of_another_shop_is_not_continued(void **state)
{
    struct fixture *fixture = *state;
    bool is_continued;
    run(fixture->sqlite, &ADD_MANY, DB_ARGS(db_int(100)));
    expect(fixture, begin_and_copy(fixture, 0, &is_continued));
    run(fixture->sqlite, &DELETE_ONE, DB_NO_ARGS);
    assert_int_equal(begin_and_copy(fixture, 0, &is_continued), COPY_FAILED);
    assert_non_null(strstr(fixture->complaint.ptr, "unfinished copy of another shop"));
}

static void what_holds_something_is_refused(void **state)
{
    struct fixture *fixture = *state;
    bool is_continued, is_unfinished = true;
    run(fixture->postgres, &OUTBOX_NEXT, DB_ARGS(db_json(SLICE("{}")), db_time(1)));
    assert_int_equal(begin_and_copy(fixture, 0, &is_continued), COPY_FAILED);
    assert_non_null(strstr(fixture->complaint.ptr, "holds a shop already"));
    assert_int_equal(copy_is_unfinished(fixture->postgres, &is_unfinished), DB_DONE);
    assert_false(is_unfinished);
}

static void edited_settings_are_refused(void **state)
{
    struct fixture *fixture = *state;
    bool is_continued;
    run(fixture->postgres, &SETTINGS_EDIT, DB_NO_ARGS);
    assert_int_equal(begin_and_copy(fixture, 0, &is_continued), COPY_FAILED);
    assert_non_null(strstr(fixture->complaint.ptr, "shop_settings"));
}

/* ---- differences and refusals of the engine ---- */

DB_STATEMENT(OUTBOX_SPOIL) = {
    .sql = "UPDATE outbox SET attempts = attempts + 1 WHERE id = 1",
};
DB_STATEMENT(OUTBOX_RENAME) = {
    .sql = "UPDATE outbox SET topic = 'X' WHERE id = 1",
};

static bool is_told(struct fixture *fixture, const char *what)
{
    expect(fixture, copy_sum(&fixture->job, fixture->sqlite, "checking", fixture->after));
    struct slice differences = copy_differences(fixture->sums, fixture->after, &fixture->arena);
    return !slice_is_absent(differences) && strstr(differences.ptr, what) != NULL;
}

static void differences_are_told(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture->sqlite, &fixture->arena);
    expect(fixture, copy_sum(&fixture->job, fixture->sqlite, "reading", fixture->sums));
    assert_false(is_told(fixture, ""));
    run(fixture->sqlite, &OUTBOX_RENAME, DB_NO_ARGS);
    assert_true(is_told(fixture, "outbox.topic: the contents differ"));
    run(fixture->sqlite, &OUTBOX_SPOIL, DB_NO_ARGS);
    assert_true(is_told(fixture, "outbox.attempts: sum 0 in FROM, 1 in TO"));
    run(fixture->sqlite, &OUTBOX_NEXT, DB_ARGS(db_json(SLICE("{}")), db_time(1)));
    assert_true(is_told(fixture, "outbox: rows 2 in FROM, 3 in TO"));
}

/* What PostgreSQL cannot hold is refused with the table's name and without the value. */
static void a_row_that_is_refused_ends_the_copy(void **state)
{
    struct fixture *fixture = *state;
    bool is_continued;
    run(fixture->sqlite, &KEY_ADD,
        DB_ARGS(db_text(SLICE("bad")), db_blob(SLICE("x")), db_json(SLICE("secret, not JSON")), db_time(1)));
    assert_int_equal(begin_and_copy(fixture, 0, &is_continued), COPY_FAILED);
    assert_non_null(strstr(fixture->complaint.ptr, "table signing_keys: invalid input syntax for type json"));
    assert_null(strstr(fixture->complaint.ptr, "secret"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(every_column_is_known),
        TEST(values_survive_the_way_there_and_back),
        TEST(an_interrupted_copy_goes_on),
        TEST(a_copy_of_another_shop_is_not_continued),
        TEST(what_holds_something_is_refused),
        TEST(edited_settings_are_refused),
        TEST(differences_are_told),
        TEST(a_row_that_is_refused_ends_the_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
