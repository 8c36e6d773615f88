/* Addresses and networks as they are written. */
#include "base_test.h"

#include "base/address.h"
#include "base/check.h"

static void reads_addresses(void **state)
{
    (void)state;
    static const char *const GOOD[][2] = {
        {"192.0.2.1", "192.0.2.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"::", "::"},
        {"::1", "::1"},
        {"2001:DB8::1", "2001:db8::1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"::ffff:c000:201", "192.0.2.1"},
        {"64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
    };
    static const char *const BAD[] = {
        "",           "192.0.2",      "192.0.2.1.1",     "192.0.2.1 ", " 192.0.2.1",
        "192.0.2.01", "1.2.3.256",    "[::1]",           "::1%lo",     ":::",
        "1::2::3",    "192.0.2.1:80", "2001:db8::12345", "localhost",  "1"};
    struct arena arena;
    assert_true(arena_init(&arena, 1 << 16));
    struct address address;
    for (size_t i = 0; i < COUNT_OF(GOOD); i++) {
        assert_true(address_parse(slice_from(GOOD[i][0]), &address));
        assert_string_equal(address_format(&arena, &address).ptr, GOOD[i][1]);
    }
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        if (address_parse(slice_from(BAD[i]), &address))
            fail_msg("%s was taken", BAD[i]);
    }
    arena_release(&arena);
}

static void one_household_is_one_caller(void **state)
{
    (void)state;
    static const char *const ROWS[][2] = {
        {"192.0.2.7", "192.0.2.7"},
        {"::ffff:192.0.2.7", "192.0.2.7"},
        {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
        {"2001:DB8:1:2::9", "2001:db8:1:2::"},
        {"2001:db8::9", "2001:db8::"},
        {"2001:db8:0:1::", "2001:db8:0:1::"},
    };
    struct arena arena;
    struct address address;
    assert_true(arena_init(&arena, 1 << 16));
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        assert_true(address_parse(slice_from(ROWS[i][0]), &address));
        address = address_household(&address);
        assert_string_equal(address_format(&arena, &address).ptr, ROWS[i][1]);
    }
    arena_release(&arena);
}

static bool has(const char *network, const char *address)
{
    struct network parsed;
    struct address one;
    assert_true(network_parse(slice_from(network), &parsed));
    assert_true(address_parse(slice_from(address), &one));
    return network_has(&parsed, &one);
}

static void reads_networks(void **state)
{
    (void)state;
    assert_true(has("10.0.0.0/8", "10.255.255.255"));
    assert_false(has("10.0.0.0/8", "11.0.0.0"));
    assert_true(has("192.0.2.128/25", "192.0.2.128"));
    assert_false(has("192.0.2.128/25", "192.0.2.127"));
    assert_true(has("192.0.2.1", "192.0.2.1"));
    assert_false(has("192.0.2.1", "192.0.2.0"));
    assert_true(has("192.0.2.1/32", "::ffff:192.0.2.1"));
    assert_true(has("::ffff:10.0.0.0/104", "10.1.1.1"));
    assert_true(has("0.0.0.0/0", "203.0.113.1"));
    assert_false(has("0.0.0.0/0", "2001:db8::1"));
    assert_true(has("::/0", "203.0.113.1"));
    assert_true(has("2001:db8::/33", "2001:db8:7fff::"));
    assert_false(has("2001:db8::/33", "2001:db8:8000::"));
    assert_true(has("::1/128", "::1"));
    static const char *const BAD[] = {"",
                                      "/",
                                      "10.0.0.0/",
                                      "10.0.0.0/33",
                                      "10.0.0.0/-1",
                                      "10.0.0.1/8",
                                      "10.0.0.0/8/8",
                                      "2001:db8::/129",
                                      "2001:db8::1/64",
                                      "10.0.0.0/ 8",
                                      "all",
                                      "10.0.0.0/0008",
                                      "10.0.0.0/-0"};
    struct network network;
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        if (network_parse(slice_from(BAD[i]), &network))
            fail_msg("%s was taken", BAD[i]);
    }
}

static int count_of(const char *list, bool *is_whole)
{
    struct slice rest = slice_from(list);
    struct network network;
    int count = 0;
    while (network_next(&rest, &network))
        count++;
    *is_whole = rest.len == 0;
    return count;
}

static void reads_lists(void **state)
{
    (void)state;
    bool is_whole;
    assert_int_equal(count_of("", &is_whole), 0);
    assert_true(is_whole);
    assert_int_equal(count_of("  ", &is_whole), 0);
    assert_true(is_whole);
    assert_int_equal(count_of("10.0.0.0/8 , ::1,192.0.2.1", &is_whole), 3);
    assert_true(is_whole);
    assert_int_equal(count_of("10.0.0.0/8,,::1", &is_whole), 1);
    assert_false(is_whole);
    assert_int_equal(count_of("10.0.0.0/8 ::1", &is_whole), 0);
    assert_false(is_whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_addresses),
        cmocka_unit_test(one_household_is_one_caller),
        cmocka_unit_test(reads_networks),
        cmocka_unit_test(reads_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
