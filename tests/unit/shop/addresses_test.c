/* The address book: defaults, its limit, pages, and whose it is. */
#include "accounts_fixture.h"

#include "shop/users.h"

static struct uuid person(struct office *office)
{
    static _Atomic int counter;
    struct uuid id = uuid_v7(clock_now_ms());
    struct slice email = arena_format(&office->shop->arena, "a%d@example.com", ++counter);
    shop_write(office->shop, &FIXTURE_PERSON,
               DB_ARGS(db_uuid(id), db_text(email), db_text(email), db_text(SLICE("A")), db_text(SLICE("B")),
                       db_text(SLICE("b a")), db_text(SLICE("customer")), db_time(clock_now_ms())));
    return id;
}

static struct address_create_input address_input(void)
{
    return (struct address_create_input){.first_name = SLICE("Amina"),
                                         .last_name = SLICE("Haddad"),
                                         .address1 = SLICE("12 Rue des Lilas"),
                                         .city = SLICE("Lyon"),
                                         .zip = SLICE("69003"),
                                         .country = SLICE("FR")};
}

static struct uuid add(struct caller *caller, struct address_create_input input)
{
    struct uuid id;
    assert_int_equal(call(caller, address_create, &input, true), HTTP_STATUS_CREATED);
    assert_true(uuid_parse(slice_from(reply_text(caller, "id")), &id));
    return id;
}

/* "S" and "B" where an address is the default for goods and for bills, oldest first: "SB,-,B". */
static const char *defaults(struct caller *caller)
{
    static const struct addresses_list_input INPUT = {.limit = 100};
    struct buf text;
    buf_init(&text, &caller->arena);
    assert_int_equal(call(caller, addresses_list, &INPUT, false), HTTP_STATUS_OK);
    for (size_t i = 0; i < json_array_size(caller->data); i++) {
        json_t *one = json_array_get(caller->data, i);
        bool shipping = json_is_true(json_object_get(one, "isDefaultShipping"));
        bool billing = json_is_true(json_object_get(one, "isDefaultBilling"));
        buf_format(&text, "%s%s%s%s", i ? "," : "", shipping ? "S" : "", billing ? "B" : "",
                   shipping || billing ? "" : "-");
    }
    buf_append_char(&text, '\0');
    return text.ptr;
}

static void test_each_default_is_one(void **state)
{
    struct office *office = *state;
    struct caller caller;
    caller_begin(&caller, office);
    caller.request.principal = user_session(office, person(office), ROLE_CUSTOMER);
    add(&caller, address_input());
    assert_string_equal(defaults(&caller), "SB"); /* the first is the default for everything */
    struct address_create_input shipping = address_input();
    shipping.is_default_shipping = shipping.has_is_default_shipping = true;
    struct uuid second = add(&caller, shipping);
    add(&caller, address_input());
    assert_string_equal(defaults(&caller), "B,S,-");

    struct address_update_input change = {
        .address_id = second, .is_default_billing = true, .has_is_default_billing = true};
    assert_int_equal(call(&caller, address_update, &change, true), HTTP_STATUS_OK);
    assert_string_equal(defaults(&caller), "-,SB,-");
    change = (struct address_update_input){.address_id = second, .has_is_default_shipping = true};
    assert_int_equal(call(&caller, address_update, &change, true), HTTP_STATUS_OK);
    assert_string_equal(defaults(&caller), "-,B,-");
    caller_end(&caller);
}

static void test_a_first_address_with_a_purpose_keeps_to_it(void **state)
{
    struct office *office = *state;
    struct caller caller;
    caller_begin(&caller, office);
    caller.request.principal = user_session(office, person(office), ROLE_CUSTOMER);
    struct address_create_input billing = address_input();
    billing.is_default_billing = billing.has_is_default_billing = true;
    add(&caller, billing);
    assert_string_equal(defaults(&caller), "B");
    caller_end(&caller);
}

/* The one that lost its place moved too: who edits it from an old copy is told. */
static void test_losing_the_default_is_a_new_version(void **state)
{
    struct office *office = *state;
    struct caller caller;
    caller_begin(&caller, office);
    caller.request.principal = user_session(office, person(office), ROLE_CUSTOMER);
    struct uuid first = add(&caller, address_input());
    struct address_create_input shipping = address_input();
    shipping.is_default_shipping = shipping.has_is_default_shipping = true;
    add(&caller, shipping);
    struct address_update_input change = {.address_id = first, .city = SLICE("Nice"), .has_city = true};
    caller.request.has_if_match = true;
    caller.request.if_match_version = 1;
    assert_int_equal(call(&caller, address_update, &change, true), HTTP_STATUS_PRECONDITION_FAILED);
    caller.request.if_match_version = 2;
    assert_int_equal(call(&caller, address_update, &change, true), HTTP_STATUS_OK);
    assert_int_equal(caller.response.version, 3);
    caller.request.has_if_match = false;
    struct address_get_input get = {.address_id = first};
    assert_int_equal(call(&caller, address_get, &get, false), HTTP_STATUS_OK);
    assert_int_equal(caller.response.version, 3);
    assert_string_equal(reply_text(&caller, "city"), "Nice");
    caller_end(&caller);
}

static void test_null_empties_and_absence_keeps(void **state)
{
    struct office *office = *state;
    struct caller caller;
    caller_begin(&caller, office);
    caller.request.principal = user_session(office, person(office), ROLE_CUSTOMER);
    struct address_create_input input = address_input();
    input.company = SLICE("Haddad & fils");
    input.phone = SLICE("+33 6");
    struct uuid id = add(&caller, input);
    struct address_update_input change = {.address_id = id, .has_company = true, .company_is_null = true};
    assert_int_equal(call(&caller, address_update, &change, true), HTTP_STATUS_OK);
    assert_true(json_is_null(json_object_get(caller.data, "company")));
    assert_string_equal(reply_text(&caller, "phone"), "+33 6");
    caller_end(&caller);
}

#define RACERS 8
#define BOOK_MAX 50

struct racer {
    pthread_t thread;
    struct office *office;
    struct principal principal;
    int added;
};

static void *race_to_fill(void *arg)
{
    struct racer *racer = arg;
    struct caller caller;
    caller_begin(&caller, racer->office);
    caller.request.principal = racer->principal;
    struct address_create_input input = address_input();
    input.is_default_shipping = input.has_is_default_shipping = true;
    for (int i = 0; i < BOOK_MAX; i++) {
        if (call(&caller, address_create, &input, true) == HTTP_STATUS_CREATED)
            racer->added++;
        else
            assert_refused(&caller, HTTP_STATUS_CONFLICT, "ADDRESS_LIMIT");
    }
    caller_end(&caller);
    return NULL;
}

static void test_racers_fill_the_book_and_leave_one_default(void **state)
{
    struct office *office = *state;
    struct racer racers[RACERS];
    struct caller caller;
    int added = 0;
    int shipping = 0;
    caller_begin(&caller, office);
    caller.request.principal = user_session(office, person(office), ROLE_CUSTOMER);
    for (int i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){.office = office, .principal = caller.request.principal};
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race_to_fill, &racers[i]), 0);
    }
    for (int i = 0; i < RACERS; i++) {
        pthread_join(racers[i].thread, NULL);
        added += racers[i].added;
    }
    assert_int_equal(added, BOOK_MAX);
    for (const char *flag = defaults(&caller); *flag != '\0'; flag++)
        shipping += *flag == 'S';
    assert_int_equal(shipping, 1);
    assert_int_equal(json_array_size(caller.data), BOOK_MAX);
    caller_end(&caller);
}

static void test_pages_hold_every_address_once(void **state)
{
    struct office *office = *state;
    struct caller caller;
    caller_begin(&caller, office);
    caller.request.principal = user_session(office, person(office), ROLE_CUSTOMER);
    struct uuid ids[7];
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        ids[i] = add(&caller, address_input());
    struct addresses_list_input input = {.limit = 3};
    size_t seen = 0;
    do {
        assert_int_equal(call(&caller, addresses_list, &input, false), HTTP_STATUS_OK);
        for (size_t i = 0; i < json_array_size(caller.data); i++) {
            struct uuid id;
            json_t *one = json_array_get(caller.data, i);
            assert_true(uuid_parse(slice_from(json_string_value(json_object_get(one, "id"))), &id));
            assert_true(seen < COUNT_OF(ids) && uuid_equals(id, ids[seen]));
            seen++;
        }
        input.cursor = caller.response.pagination.next_cursor;
        input.has_cursor = !slice_is_absent(input.cursor);
        if (seen == 3) { /* somebody else's cursor leads nowhere */
            struct principal me = caller.request.principal;
            caller.request.principal = user_session(office, person(office), ROLE_CUSTOMER);
            assert_int_equal(call(&caller, addresses_list, &input, false), HTTP_STATUS_BAD_REQUEST);
            caller.request.principal = me;
        }
    } while (input.has_cursor);
    assert_int_equal(seen, COUNT_OF(ids));
    caller_end(&caller);
}

static void test_anothers_does_not_exist(void **state)
{
    struct office *office = *state;
    struct caller caller;
    caller_begin(&caller, office);
    caller.request.principal = user_session(office, person(office), ROLE_CUSTOMER);
    struct uuid id = add(&caller, address_input());
    caller.request.principal = user_session(office, person(office), ROLE_ADMIN);
    struct address_get_input get = {.address_id = id};
    struct address_update_input change = {.address_id = id, .city = SLICE("X"), .has_city = true};
    struct address_delete_input removal = {.address_id = id};
    call(&caller, address_get, &get, false);
    assert_refused(&caller, HTTP_STATUS_NOT_FOUND, "ADDRESS_NOT_FOUND");
    call(&caller, address_update, &change, true);
    assert_refused(&caller, HTTP_STATUS_NOT_FOUND, "ADDRESS_NOT_FOUND");
    call(&caller, address_delete, &removal, true);
    assert_refused(&caller, HTTP_STATUS_NOT_FOUND, "ADDRESS_NOT_FOUND");
    caller_end(&caller);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_default_is_one),
        cmocka_unit_test(test_a_first_address_with_a_purpose_keeps_to_it),
        cmocka_unit_test(test_losing_the_default_is_a_new_version),
        cmocka_unit_test(test_null_empties_and_absence_keeps),
        cmocka_unit_test(test_racers_fill_the_book_and_leave_one_default),
        cmocka_unit_test(test_pages_hold_every_address_once),
        cmocka_unit_test(test_anothers_does_not_exist),
    };
    return cmocka_run_group_tests(tests, office_open, office_close);
}
