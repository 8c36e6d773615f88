/* Every statement of the program, prepared on the engine: its text, the types of its parameters and columns.
 * (What db_built_add puts together is explained, and so prepared, by shop/lists_test.c.) */
#include "data/store.h"

struct walk {
    struct db *db;
    size_t count, refused;
};

static void visit(const struct db_statement *statement, void *arg)
{
    struct walk *walk = arg;
    walk->count++;
    if (db_prepare(walk->db, statement) == DB_DONE)
        return;
    walk->refused++;
    print_error("refused: %s\n", statement->sql);
}

/* The program has some hundreds; a walk that meets few was linked without the floors that hold them. */
#define STATEMENTS_MIN 180

static void test_every_statement_is_prepared(void **state)
{
    struct arena arena;
    struct test_store at;
    (void)state;
    assert_true(arena_init(&arena, (size_t)16 << 20));
    test_store_make(&at, "statements", true);
    log_start(LOG_ERROR); /* says why one was refused */
    struct store *store = test_store_open(&at, &arena);
    struct walk walk = {.db = store_connect(store)};
    assert_non_null(walk.db);
    db_statements_visit(visit, &walk);
    print_message("%zu statements\n", walk.count);
    assert_int_equal(walk.refused, 0);
    assert_true(walk.count >= STATEMENTS_MIN);
    store_disconnect(walk.db);
    store_close(store);
    test_store_remove(&at);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_statement_is_prepared)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
