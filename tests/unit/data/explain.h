/* A connection to PostgreSQL that explains every statement before it runs it, and complains of those that
 * read a large table from end to end or sort too much. What it complains of is printed and counted. */
#pragma once

#include "data/db_private.h"
#include "data/store.h"

#include <jansson.h>

static struct {
    struct db_driver driver; /* the real one, but for `query` */
    const struct db_driver *real;
    struct arena *arena;
    const char *const *large; /* tables that are never read from end to end; ends with NULL */
    double read_max;          /* rows of them that are no matter */
    const char *what;         /* is being listed */
    double sorted_max;        /* rows that a sort of it may take */
    size_t explained, complaints;
} spy;

static inline bool is_large(const char *table)
{
    for (const char *const *large = spy.large; table != NULL && *large != NULL; large++)
        if (strcmp(table, *large) == 0)
            return true;
    return false;
}

/* The rows that the node has handed up, in all its loops. */
static inline double rows_of(const json_t *node)
{
    return json_number_value(json_object_get(node, "Actual Rows")) *
           json_number_value(json_object_get(node, "Actual Loops"));
}

static inline void complain(struct slice sql, const char *format, ...)
{
    va_list args;
    char text[160];
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    print_error("%s: %s: %.*s\n", spy.what, text, SLICE_ARG(sql));
    spy.complaints++;
}

/* Also what it has not handed up. */
static inline double looked_at(const json_t *node)
{
    return rows_of(node) + json_number_value(json_object_get(node, "Rows Removed by Filter")) *
                               json_number_value(json_object_get(node, "Actual Loops"));
}

/* What a sort takes is what its only child hands up. */
static inline void check_node(const json_t *node, struct slice sql)
{
    const char *type = json_string_value(json_object_get(node, "Node Type"));
    const char *table = json_string_value(json_object_get(node, "Relation Name"));
    json_t *children = json_object_get(node, "Plans");
    if (strcmp(type, "Seq Scan") == 0 && is_large(table) && looked_at(node) > spy.read_max)
        complain(sql, "reads all of %s", table);
    if (strcmp(type, "Sort") == 0 && rows_of(json_array_get(children, 0)) > spy.sorted_max)
        complain(sql, "sorts %.0f rows", rows_of(json_array_get(children, 0)));
    for (size_t i = 0; i < json_array_size(children); i++)
        check_node(json_array_get(children, i), sql);
}

static inline void explain(struct db *db, const struct db_call *call)
{
    static const enum db_type PLAN[] = {DB_JSON, DB_END};
    struct slice sql =
        arena_format(spy.arena, "EXPLAIN (ANALYZE, FORMAT JSON) %.*s", (int)call->sql_len, call->sql);
    struct db_call explaining = *call;
    explaining.statement = NULL;
    explaining.sql = sql.ptr;
    explaining.sql_len = sql.len;
    explaining.columns = PLAN;
    explaining.column_count = 1;
    struct db_rows *rows = spy.real->query(db, &explaining);
    assert_int_equal(db_next(rows), DB_ROW);
    struct slice text = db_get_text(rows, 0);
    json_t *plan = json_loadb(text.ptr, text.len, 0, NULL);
    db_close(rows);
    assert_non_null(plan);
    if (getenv("SOUK_TEST_PLANS") != NULL) /* for whoever wants to see them */
        (void)json_dumpf(plan, stderr, JSON_INDENT(1));
    check_node(json_object_get(json_array_get(plan, 0), "Plan"), (struct slice){call->sql, call->sql_len});
    json_decref(plan);
    spy.explained++;
}

/* A statement that is no list finds its rows by the same key each time: once is enough. */
static inline bool was_explained(const struct db_statement *statement)
{
    static const struct db_statement *seen[32];
    size_t i = 0;
    while (i < COUNT_OF(seen) && seen[i] != NULL && seen[i] != statement)
        i++;
    assert_true(i < COUNT_OF(seen));
    bool is_new = seen[i] == NULL;
    seen[i] = statement;
    return !is_new;
}

static inline struct db_rows *explain_and_query(struct db *db, const struct db_call *call)
{
    if (call->statement == NULL || !was_explained(call->statement))
        explain(db, call);
    return spy.real->query(db, call);
}

static inline void spy_on(struct db *db, const char *const *large, double read_max, struct arena *arena)
{
    spy.real = db->driver;
    spy.driver = *spy.real;
    spy.driver.query = explain_and_query;
    spy.arena = arena;
    spy.large = large;
    spy.read_max = read_max;
    db->driver = &spy.driver;
}
