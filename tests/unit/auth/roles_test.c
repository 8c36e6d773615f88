/* Which role may do what, and how roles are spelled. */
#include "auth/principal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void names_go_both_ways(void **state)
{
    (void)state;
    const enum role roles[] = {ROLE_CUSTOMER, ROLE_STAFF, ROLE_ADMIN};
    for (size_t i = 0; i < 3; i++) {
        enum role parsed = ROLE_CUSTOMER;
        assert_true(role_parse(slice_from(role_name(roles[i])), &parsed));
        assert_int_equal(parsed, roles[i]);
    }
}

static void other_names_are_refused(void **state)
{
    (void)state;
    const struct slice names[] = {SLICE_ABSENT,    SLICE(""),     SLICE("Admin"),
                                  SLICE("admin "), SLICE("root"), SLICE("adm")};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        enum role role = ROLE_CUSTOMER;
        assert_false(role_parse(names[i], &role));
        assert_int_equal(role, ROLE_CUSTOMER);
    }
}

static void scopes_go_both_ways(void **state)
{
    struct arena *arena = *state;
    uint32_t seen = 0;
    for (uint32_t bit = 1; (bit & scopes_all()) != 0; bit <<= 1) {
        enum scope parsed = SCOPE_NONE;
        assert_true(scope_parse(slice_from(scope_name((enum scope)bit)), &parsed));
        assert_int_equal(parsed, bit);
        assert_int_equal(scopes_parse(slice_from(scope_name((enum scope)bit))), bit);
        seen |= bit;
    }
    assert_int_equal(seen, scopes_all()); /* without a hole */
    assert_int_equal(scopes_parse(scopes_format(arena, scopes_all())), scopes_all());
    assert_int_equal(scopes_parse(SLICE("*")), scopes_all());
}

static void lists_of_scopes(void **state)
{
    struct arena *arena = *state;
    enum scope scope = SCOPE_NONE;
    assert_int_equal(scopes_parse(SLICE_ABSENT), 0);
    assert_int_equal(scopes_parse(SLICE("")), 0);
    assert_int_equal(scopes_parse(SLICE("orders:read  of:tomorrow orders:write")),
                     SCOPE_ORDERS_READ | SCOPE_ORDERS_WRITE);
    assert_int_equal(scopes_parse(SLICE("orders:read *")), SCOPE_ORDERS_READ);
    assert_false(scope_parse(SLICE("orders:rea"), &scope));
    assert_false(scope_parse(SLICE("*"), &scope));
    assert_int_equal(scope, SCOPE_NONE);
    assert_true(slice_is(scopes_format(arena, 0), ""));
    assert_true(slice_is(scopes_format(arena, SCOPE_ORDERS_WRITE | SCOPE_CATALOGUE_WRITE),
                         "catalogue:write orders:write"));
}

static void principals_answer_for_their_scopes(void **state)
{
    (void)state;
    struct principal nobody = {.kind = PRINCIPAL_ANONYMOUS};
    struct principal staff = {.kind = PRINCIPAL_USER, .role = ROLE_STAFF, .scopes = SCOPE_ORDERS_READ};
    assert_false(principal_is_user(&nobody));
    assert_false(principal_is_staff(&nobody));
    assert_true(principal_has(&nobody, SCOPE_NONE));
    assert_false(principal_has(&nobody, SCOPE_ORDERS_READ));
    assert_true(principal_has(&staff, SCOPE_ORDERS_READ));
    assert_false(principal_has(&staff, SCOPE_SETTINGS_WRITE));
}

static int open_arena(void **state)
{
    static struct arena arena;
    *state = &arena;
    return arena_init(&arena, 1 << 20) ? 0 : -1;
}

static int close_arena(void **state)
{
    arena_release(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_go_both_ways),
        cmocka_unit_test(other_names_are_refused),
        cmocka_unit_test(scopes_go_both_ways),
        cmocka_unit_test(lists_of_scopes),
        cmocka_unit_test(principals_answer_for_their_scopes),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
