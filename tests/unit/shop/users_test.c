/* Accounts as staff see and change them: the last admin, the list and its cursors, deleting. */
#include "accounts_fixture.h"

#include "shop/users.h"

DB_STATEMENT(NO_ADMINS) = {
    .sql = "UPDATE users SET role = 'customer' WHERE role <> 'customer'",
};
DB_STATEMENT(ACTIVE_ADMINS) = {
    .sql = "SELECT COUNT(*) FROM users WHERE role = 'admin' AND status = 'active' AND deleted_at IS NULL",
    .columns = {DB_INT},
};

static struct uuid person_named(struct office *office, const char *first, const char *last)
{
    static _Atomic int counter;
    struct arena *arena = &office->shop->arena;
    struct uuid id = uuid_v7(clock_now_ms());
    struct slice email = arena_format(arena, "u%d@example.com", ++counter);
    struct slice sort = user_name_sort(arena, slice_from(first), slice_from(last));
    shop_write(office->shop, &FIXTURE_PERSON,
               DB_ARGS(db_uuid(id), db_text(email), db_text(email), db_text(slice_from(first)),
                       db_text(slice_from(last)), db_text(sort), db_text(SLICE("customer")),
                       db_time(clock_now_ms())));
    return id;
}

static void set_role(struct office *office, struct uuid id, const char *role)
{
    shop_write(office->shop, &FIXTURE_ROLE, DB_ARGS(db_uuid(id), db_text(slice_from(role))));
}

static struct uuid admin_made(struct office *office)
{
    struct uuid id = person_named(office, "Ada", "Min");
    set_role(office, id, "admin");
    return id;
}

/* ---- the last admin ---- */

#define RIVALS 4
#define ROUNDS 25

enum attack { DEMOTE, DISABLE, DELETE, ATTACKS };

struct rival {
    pthread_t thread;
    pthread_barrier_t *start;
    struct office *office;
    struct principal principal;
    struct uuid victim;
    enum attack attack;
    enum http_status status;
    char code[32];
};

static enum http_status strike(struct caller *caller, enum attack attack, struct uuid victim)
{
    struct user_update_input change = {.id = victim};
    struct user_delete_input removal = {.id = victim};
    change.has_role = attack == DEMOTE;
    change.role = SLICE("customer");
    change.has_status = attack == DISABLE;
    change.status = USER_STATUS_DISABLED;
    return attack == DELETE ? call(caller, user_delete, &removal, true)
                            : call(caller, user_update, &change, true);
}

static void *attack_rival(void *arg)
{
    struct rival *rival = arg;
    struct caller caller;
    caller_begin(&caller, rival->office);
    caller.request.principal = rival->principal;
    pthread_barrier_wait(rival->start);
    rival->status = strike(&caller, rival->attack, rival->victim);
    snprintf(rival->code, sizeof(rival->code), "%s", reply_problem(&caller));
    caller_end(&caller);
    return NULL;
}

/* Admins in a ring, each striking at the next at once, or each at themselves: one is left, and each who
 * failed was told why. */
static void test_admins_who_fight_leave_one(void **state)
{
    struct office *office = *state;
    for (int round = 0; round < ROUNDS; round++) {
        struct rival rivals[RIVALS];
        struct uuid ids[RIVALS];
        pthread_barrier_t start;
        int count = 2 + round % (RIVALS - 1);
        int won = 0;
        shop_write(office->shop, &NO_ADMINS, DB_NO_ARGS);
        assert_int_equal(pthread_barrier_init(&start, NULL, (unsigned)count), 0);
        for (int i = 0; i < count; i++)
            ids[i] = admin_made(office);
        for (int i = 0; i < count; i++) {
            rivals[i] = (struct rival){.start = &start,
                                       .office = office,
                                       .principal = user_session(office, ids[i], ROLE_ADMIN),
                                       .victim = ids[(i + round % 2) % count],
                                       .attack = (enum attack)(round % ATTACKS)};
            assert_int_equal(pthread_create(&rivals[i].thread, NULL, attack_rival, &rivals[i]), 0);
        }
        for (int i = 0; i < count; i++) {
            pthread_join(rivals[i].thread, NULL);
            won += rivals[i].status < 400;
            assert_true(rivals[i].status < 400 || strcmp(rivals[i].code, "LAST_ADMIN") == 0 ||
                        strcmp(rivals[i].code, "UNAUTHENTICATED") == 0);
        }
        int64_t left = office_int(office, &ACTIVE_ADMINS, DB_NO_ARGS);
        assert_true(left >= 1);
        assert_int_equal(left, count - won);
        assert_true(won >= 1);
        assert_true(round % 2 == 1 || left == 1); /* all but the last could resign */
        pthread_barrier_destroy(&start);
    }
}

static void test_the_last_admin_stays_whatever_is_tried(void **state)
{
    struct office *office = *state;
    struct caller caller;
    caller_begin(&caller, office);
    shop_write(office->shop, &NO_ADMINS, DB_NO_ARGS);
    struct uuid last = admin_made(office);
    caller.request.principal = user_session(office, last, ROLE_ADMIN);
    for (enum attack attack = DEMOTE; attack < ATTACKS; attack++) {
        strike(&caller, attack, last);
        assert_refused(&caller, HTTP_STATUS_CONFLICT, "LAST_ADMIN");
    }
    struct user_update_input rename = {.id = last, .first_name = SLICE("Eva"), .has_first_name = true};
    assert_int_equal(call(&caller, user_update, &rename, true), HTTP_STATUS_OK);
    /* one who cannot log in does not count */
    struct uuid disabled = admin_made(office);
    strike(&caller, DISABLE, disabled);
    assert_int_equal(caller.status, HTTP_STATUS_OK);
    strike(&caller, DEMOTE, last);
    assert_refused(&caller, HTTP_STATUS_CONFLICT, "LAST_ADMIN");
    strike(&caller, DELETE, disabled);
    assert_int_equal(caller.status, HTTP_STATUS_NO_CONTENT);
    caller_end(&caller);
}

/* The gateway let the request in, and then its sender was demoted before its turn came. */
static void test_a_former_admin_changes_nothing(void **state)
{
    struct office *office = *state;
    struct caller caller;
    caller_begin(&caller, office);
    admin_made(office);
    struct uuid former = admin_made(office);
    struct uuid other = person_named(office, "Some", "One");
    caller.request.principal = user_session(office, former, ROLE_ADMIN);
    set_role(office, former, "staff");
    struct user_update_input grant = {.id = other, .role = SLICE("admin"), .has_role = true};
    call(&caller, user_update, &grant, true);
    assert_refused(&caller, HTTP_STATUS_FORBIDDEN, "FORBIDDEN");
    strike(&caller, DELETE, other);
    assert_refused(&caller, HTTP_STATUS_FORBIDDEN, "FORBIDDEN");
    caller_end(&caller);
}

/* ---- sessions and versions ---- */

static void test_role_and_status_end_sessions_and_names_do_not(void **state)
{
    struct office *office = *state;
    struct caller caller;
    caller_begin(&caller, office);
    caller.request.principal = user_session(office, admin_made(office), ROLE_ADMIN);
    struct uuid id = person_named(office, "Some", "One");
    struct principal session = user_session(office, id, ROLE_CUSTOMER);
    struct user_update_input change = {.id = id,
                                       .first_name = SLICE("Any"),
                                       .has_first_name = true,
                                       .role = SLICE("customer"),
                                       .has_role = true};
    assert_int_equal(call(&caller, user_update, &change, true), HTTP_STATUS_OK);
    assert_true(session_is_good(office, session.session_id)); /* the role is what it was */
    change.role = SLICE("staff");
    assert_int_equal(call(&caller, user_update, &change, true), HTTP_STATUS_OK);
    assert_false(session_is_good(office, session.session_id));
    session = user_session(office, id, ROLE_STAFF);
    strike(&caller, DISABLE, id);
    assert_false(session_is_good(office, session.session_id));
    caller_end(&caller);
}

static void test_if_match_and_preferences(void **state)
{
    struct office *office = *state;
    struct caller caller;
    caller_begin(&caller, office);
    caller.request.principal = user_session(office, person_named(office, "Me", "Too"), ROLE_CUSTOMER);
    caller.request.has_if_match = true;
    caller.request.if_match_version = 1;
    struct me_update_input input = {.preferences = SLICE("{\"a\":1}"), .has_preferences = true};
    assert_int_equal(call(&caller, me_update, &input, true), HTTP_STATUS_OK);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(caller.data, "preferences"), "a")),
                     1);
    assert_int_equal(call(&caller, me_update, &input, true), HTTP_STATUS_PRECONDITION_FAILED);
    caller.request.if_match_version = 2;
    input.preferences = SLICE("{}");
    assert_int_equal(call(&caller, me_update, &input, true), HTTP_STATUS_OK);
    assert_int_equal(json_object_size(json_object_get(caller.data, "preferences")), 0);
    assert_int_equal(caller.response.version, 3);
    caller_end(&caller);
}

static void test_an_account_is_its_owners_and_staffs_to_read(void **state)
{
    struct office *office = *state;
    struct caller caller;
    caller_begin(&caller, office);
    struct uuid id = person_named(office, "Some", "One");
    struct user_get_input input = {.id = id};
    caller.request.principal = user_session(office, id, ROLE_CUSTOMER);
    assert_int_equal(call(&caller, user_get, &input, false), HTTP_STATUS_OK);
    caller.request.principal = user_session(office, person_named(office, "Another", "One"), ROLE_CUSTOMER);
    call(&caller, user_get, &input, false);
    assert_refused(&caller, HTTP_STATUS_NOT_FOUND, "USER_NOT_FOUND");
    caller.request.principal = user_session(office, person_named(office, "Staff", "One"), ROLE_STAFF);
    assert_int_equal(call(&caller, user_get, &input, false), HTTP_STATUS_OK);
    caller_end(&caller);
}

/* ---- deleting ---- */

DB_STATEMENT(CART_OF) = {
    TEST_TIMES("INSERT INTO carts (id, user_id, status, created_at, updated_at) VALUES ($1, $2, $3, "),
    .params = {DB_UUID, DB_UUID, DB_TEXT},
};
DB_STATEMENT(CARTS_LEFT) = {
    .sql = "SELECT COUNT(*) FROM carts WHERE user_id = $1",
    .params = {DB_UUID},
    .columns = {DB_INT},
};
DB_STATEMENT(TRACES_LEFT) = {
    .sql = "SELECT (SELECT COUNT(*) FROM account_tokens WHERE user_id = $1)"
           " + (SELECT COUNT(*) FROM users WHERE id = $1 AND (email <> '' OR email_folded <> ''"
           " OR password_hash IS NOT NULL OR first_name <> '' OR name_sort <> ''))",
    .params = {DB_UUID},
    .columns = {DB_INT},
};

static void test_deleting_forgets_the_person_and_frees_the_address(void **state)
{
    struct office *office = *state;
    struct caller caller;
    struct uuid id;
    caller_begin(&caller, office);
    struct slice email = unique_email(&caller);
    assert_int_equal(do_register(&caller, email), HTTP_STATUS_CREATED);
    assert_true(uuid_parse(slice_from(reply_text(&caller, "user.id")), &id));
    struct principal session = user_session(office, id, ROLE_CUSTOMER);
    shop_write(office->shop, &CART_OF, DB_ARGS(db_uuid(uuid_v4()), db_uuid(id), db_text(SLICE("active"))));
    shop_write(office->shop, &CART_OF, DB_ARGS(db_uuid(uuid_v4()), db_uuid(id), db_text(SLICE("converted"))));
    caller.request.principal = user_session(office, admin_made(office), ROLE_ADMIN);
    strike(&caller, DELETE, id);
    assert_int_equal(caller.status, HTTP_STATUS_NO_CONTENT);
    assert_false(session_is_good(office, session.session_id));
    assert_int_equal(office_int(office, &TRACES_LEFT, DB_ARGS(db_uuid(id))), 0);
    assert_int_equal(office_int(office, &CARTS_LEFT, DB_ARGS(db_uuid(id))), 1); /* it is an order's */
    strike(&caller, DELETE, id);
    assert_refused(&caller, HTTP_STATUS_NOT_FOUND, "USER_NOT_FOUND");
    assert_int_equal(do_register(&caller, email), HTTP_STATUS_CREATED);
    caller_end(&caller);
}

/* ---- the list ---- */

static size_t list(struct caller *caller, struct users_list_input *input)
{
    assert_int_equal(call(caller, users_list, input, false), HTTP_STATUS_OK);
    return json_array_size(caller->data);
}

static const char *listed(const struct caller *caller, size_t i, const char *member)
{
    return json_string_value(json_object_get(json_array_get(caller->data, i), member));
}

/* Names that many share, and people who come while somebody reads: each of the first is seen once. */
static void test_cursors_hold_while_people_come(void **state)
{
    struct office *office = *state;
    struct caller caller;
    char expected[40][UUID_TEXT_LEN + 1];
    caller_begin(&caller, office);
    for (int i = 0; i < 40; i++) {
        uuid_format(person_named(office, i % 3 == 0 ? "Zo\xc3\xab" : "Anna", i % 2 ? "Cursor" : "cursor"),
                    expected[i]);
        expected[i][UUID_TEXT_LEN] = '\0';
    }
    for (enum users_list_sort sort = USERS_LIST_SORT_CREATED_AT; sort <= USERS_LIST_SORT_NAME_DESC; sort++) {
        struct users_list_input input = {
            .q = SLICE("CURSOR"), .has_q = true, .sort = sort, .limit = 7, .has_limit = true};
        int seen[40] = {0};
        const char *before = NULL;
        do {
            size_t count = list(&caller, &input);
            for (size_t i = 0; i < count; i++) {
                for (int k = 0; k < 40; k++)
                    seen[k] += strcmp(expected[k], listed(&caller, i, "id")) == 0;
                const char *id = listed(&caller, i, "id");
                if (before != NULL && sort == USERS_LIST_SORT_CREATED_AT)
                    assert_true(strcmp(before, id) < 0);
                if (before != NULL && sort == USERS_LIST_SORT_CREATED_AT_DESC)
                    assert_true(strcmp(before, id) > 0);
                before = arena_copy(&caller.arena, slice_from(id)).ptr;
            }
            person_named(office, "Between", "Cursor");
            input.cursor = caller.response.pagination.next_cursor;
            input.has_cursor = !slice_is_absent(input.cursor);
        } while (input.has_cursor);
        for (int k = 0; k < 40; k++)
            assert_int_equal(seen[k], 1);
    }
    caller_end(&caller);
}

static void test_a_cursor_fits_its_own_list_only(void **state)
{
    struct office *office = *state;
    struct caller caller;
    caller_begin(&caller, office);
    for (int i = 0; i < 4; i++)
        person_named(office, "Anna", "Scope");
    struct users_list_input input = {
        .q = SLICE("scope"), .has_q = true, .sort = USERS_LIST_SORT_NAME, .limit = 2};
    assert_int_equal(list(&caller, &input), 2);
    input.cursor = caller.response.pagination.next_cursor;
    input.has_cursor = true;
    assert_int_equal(list(&caller, &input), 2);
    struct users_list_input others[] = {input, input, input, input};
    others[0].sort = USERS_LIST_SORT_NAME_DESC;
    others[1].q = SLICE("scop");
    others[2].role = SLICE("staff");
    others[2].has_role = true;
    others[3].cursor = SLICE("AAAAAAAAAAAAAAAAAAAAAA");
    for (size_t i = 0; i < COUNT_OF(others); i++)
        assert_int_equal(call(&caller, users_list, &others[i], false), HTTP_STATUS_BAD_REQUEST);
    caller_end(&caller);
}

static void test_the_search_takes_words_as_they_are_typed(void **state)
{
    struct office *office = *state;
    struct caller caller;
    caller_begin(&caller, office);
    person_named(office, "\xc3\x89mile", "van der Berg");
    person_named(office, "Emil", "100% sure_");
    static const struct {
        const char *q;
        size_t found;
    } CASES[] = {
        {"emile", 1},
        {"EMIL", 2},
        {"\xc3\xa9mil", 2},
        {"berg", 1},
        {"berg  \xc3\x89mile", 1},
        {"emile x", 0},
        {"erg", 0},
        {"100%", 1},
        {"1%", 0},
        {"sure_", 1},
        {"sur__", 0},
        {"_", 0},
        {"%", 0},
        {"!", 0},
        {"' OR 1 = 1 --", 0},
        {"van der berg emile", 1},
    };
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        struct users_list_input input = {
            .q = slice_from(CASES[i].q), .has_q = true, .sort = USERS_LIST_SORT_CREATED_AT_DESC, .limit = 20};
        if (list(&caller, &input) != CASES[i].found)
            fail_msg("\"%s\" finds %zu, not %zu", CASES[i].q, json_array_size(caller.data), CASES[i].found);
    }
    caller_end(&caller);
}

static void test_roles_totals_and_offsets(void **state)
{
    struct office *office = *state;
    struct caller caller;
    caller_begin(&caller, office);
    shop_write(office->shop, &NO_ADMINS, DB_NO_ARGS);
    struct uuid ids[3];
    for (int i = 0; i < 3; i++) {
        ids[i] = person_named(office, "Tess", "Total");
        set_role(office, ids[i], i < 2 ? "staff" : "admin");
    }
    struct users_list_input input = {.role = SLICE("staff"),
                                     .has_role = true,
                                     .sort = USERS_LIST_SORT_CREATED_AT,
                                     .limit = 1,
                                     .offset = 1,
                                     .has_offset = true,
                                     .total = true};
    char second[UUID_TEXT_LEN];
    uuid_format(ids[1], second);
    assert_int_equal(list(&caller, &input), 1);
    assert_memory_equal(listed(&caller, 0, "id"), second, UUID_TEXT_LEN);
    assert_int_equal(caller.response.pagination.total, 2);
    assert_true(slice_is_absent(caller.response.pagination.next_cursor));
    input.role = SLICE("customer");
    input.has_q = true;
    input.q = SLICE("total");
    input.offset = 0;
    assert_int_equal(list(&caller, &input), 0);
    assert_int_equal(caller.response.pagination.total, 0);
    caller_end(&caller);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_admins_who_fight_leave_one),
        cmocka_unit_test(test_the_last_admin_stays_whatever_is_tried),
        cmocka_unit_test(test_a_former_admin_changes_nothing),
        cmocka_unit_test(test_role_and_status_end_sessions_and_names_do_not),
        cmocka_unit_test(test_if_match_and_preferences),
        cmocka_unit_test(test_an_account_is_its_owners_and_staffs_to_read),
        cmocka_unit_test(test_deleting_forgets_the_person_and_frees_the_address),
        cmocka_unit_test(test_cursors_hold_while_people_come),
        cmocka_unit_test(test_a_cursor_fits_its_own_list_only),
        cmocka_unit_test(test_the_search_takes_words_as_they_are_typed),
        cmocka_unit_test(test_roles_totals_and_offsets),
    };
    return cmocka_run_group_tests(tests, office_open, office_close);
}
