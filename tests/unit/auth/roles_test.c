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

static void scopes_grow_with_the_role(void **state)
{
    (void)state;
    uint32_t staff = role_scopes(ROLE_STAFF), admin = role_scopes(ROLE_ADMIN);
    assert_int_equal(role_scopes(ROLE_CUSTOMER), 0);
    assert_int_equal(staff & admin, staff);
    assert_int_equal(admin, (SCOPE_SETTINGS_WRITE << 1) - 1); /* all of them */
    assert_int_equal(staff & (SCOPE_SETTINGS_WRITE | SCOPE_CUSTOMERS_WRITE), 0);
    assert_int_equal(staff & SCOPE_ORDERS_WRITE, SCOPE_ORDERS_WRITE);
}

static void principals_answer_for_their_scopes(void **state)
{
    (void)state;
    struct principal nobody = {.kind = PRINCIPAL_ANONYMOUS};
    struct principal staff = {.kind = PRINCIPAL_USER, .role = ROLE_STAFF, .scopes = role_scopes(ROLE_STAFF)};
    assert_false(principal_is_user(&nobody));
    assert_false(principal_is_staff(&nobody));
    assert_true(principal_has(&nobody, SCOPE_NONE));
    assert_false(principal_has(&nobody, SCOPE_ORDERS_READ));
    assert_true(principal_has(&staff, SCOPE_ORDERS_READ));
    assert_false(principal_has(&staff, SCOPE_SETTINGS_WRITE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_go_both_ways),
        cmocka_unit_test(other_names_are_refused),
        cmocka_unit_test(scopes_grow_with_the_role),
        cmocka_unit_test(principals_answer_for_their_scopes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
