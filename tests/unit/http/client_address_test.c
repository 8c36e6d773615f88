/* Whose request it is, behind proxies: what is forged, mistyped or huge never passes for a client. */
#include "http/client_address.h"

#include "base/buf.h"
#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define TRUSTED "10.0.0.0/8, 192.0.2.7, 2001:db8:1::/48, ::1"

static const struct {
    const char *about;
    const char *peer;
    const char *forwarded_for; /* NULL: no such header */
    const char *client;
} CASES[] = {
    {"no header: the proxy itself", "10.1.2.3", NULL, "10.1.2.3"},
    {"one proxy", "10.1.2.3", "203.0.113.9", "203.0.113.9"},
    {"two of ours", "10.1.2.3", "203.0.113.9, 192.0.2.7", "203.0.113.9"},
    {"three, without spaces", "::1", "203.0.113.9,10.0.0.1,192.0.2.7", "203.0.113.9"},
    {"tabs and spaces", "10.1.2.3", "  203.0.113.9 \t,\t 10.0.0.1 ", "203.0.113.9"},
    {"what the client claims is to the left", "10.1.2.3", "1.2.3.4, 203.0.113.9", "203.0.113.9"},
    {"it claims to be a proxy", "10.1.2.3", "10.9.9.9, 203.0.113.9", "203.0.113.9"},
    {"it claims a way through proxies", "10.1.2.3", "1.2.3.4, 10.9.9.9, 203.0.113.9, 10.0.0.1",
     "203.0.113.9"},
    {"a neighbour of a proxy is none", "10.1.2.3", "1.2.3.4, 192.0.2.8", "192.0.2.8"},
    {"all are ours: the first of them", "10.1.2.3", "10.0.0.2, 10.0.0.1", "10.0.0.2"},
    {"not one of ours: the header is nothing", "203.0.113.1", "1.2.3.4", "203.0.113.1"},
    {"not one of ours, IPv6", "2001:db8:2::1", "1.2.3.4", "2001:db8:2::1"},
    {"IPv6", "2001:db8:1::5", "2001:db8:7::1", "2001:db8:7::1"},
    {"IPv6 is written one way", "10.1.2.3", "2001:0DB8:0007:0000:0000:0000:0000:0001", "2001:db8:7::1"},
    {"IPv6 in brackets", "10.1.2.3", "[2001:db8:7::1]", "2001:db8:7::1"},
    {"IPv6 with a port", "10.1.2.3", "[2001:db8:7::1]:443", "2001:db8:7::1"},
    {"IPv4 with a port", "10.1.2.3", "203.0.113.9:61234", "203.0.113.9"},
    {"a proxy with a port", "10.1.2.3", "203.0.113.9, 10.0.0.1:8080", "203.0.113.9"},
    {"IPv4-mapped client", "10.1.2.3", "::ffff:203.0.113.9", "203.0.113.9"},
    {"IPv4-mapped proxy", "10.1.2.3", "203.0.113.9, ::ffff:10.0.0.1", "203.0.113.9"},
    {"IPv4-mapped proxy in hexadecimal", "10.1.2.3", "203.0.113.9, ::FFFF:0a00:0001", "203.0.113.9"},
    {"IPv4-mapped in brackets with a port", "10.1.2.3", "[::ffff:203.0.113.9]:1", "203.0.113.9"},
    {"IPv4-mapped peer", "::ffff:10.1.2.3", "203.0.113.9", "203.0.113.9"},
    /* what is no address ends the walk: whoever stands to its right is answerable */
    {"nothing", "10.1.2.3", "", "10.1.2.3"},
    {"only a comma", "10.1.2.3", ",", "10.1.2.3"},
    {"a comma at the end", "10.1.2.3", "203.0.113.9,", "10.1.2.3"},
    {"an empty entry", "10.1.2.3", "203.0.113.9,,10.0.0.1", "10.0.0.1"},
    {"unknown", "10.1.2.3", "203.0.113.9, unknown, 10.0.0.1", "10.0.0.1"},
    {"a hidden name", "10.1.2.3", "_hidden", "10.1.2.3"},
    {"a host", "10.1.2.3", "client.example.com", "10.1.2.3"},
    {"quoted", "10.1.2.3", "\"203.0.113.9\"", "10.1.2.3"},
    {"as Forwarded writes it", "10.1.2.3", "for=203.0.113.9", "10.1.2.3"},
    {"too few numbers", "10.1.2.3", "203.0.113", "10.1.2.3"},
    {"too large a number", "10.1.2.3", "203.0.113.256", "10.1.2.3"},
    {"octal", "10.1.2.3", "0203.0.113.9", "10.1.2.3"},
    {"hexadecimal", "10.1.2.3", "0xcb.0.113.9", "10.1.2.3"},
    {"one number", "10.1.2.3", "3405803785", "10.1.2.3"},
    {"a network", "10.1.2.3", "203.0.113.0/24", "10.1.2.3"},
    {"a port without digits", "10.1.2.3", "203.0.113.9:", "10.1.2.3"},
    {"a port that is none", "10.1.2.3", "203.0.113.9:http", "10.1.2.3"},
    {"a port that is too long", "10.1.2.3", "203.0.113.9:123456", "10.1.2.3"},
    {"two ports", "10.1.2.3", "203.0.113.9:1:2", "10.1.2.3"},
    {"a zone", "10.1.2.3", "fe80::1%eth0", "10.1.2.3"},
    {"an open bracket", "10.1.2.3", "[2001:db8:7::1", "10.1.2.3"},
    {"a closed one", "10.1.2.3", "2001:db8:7::1]", "10.1.2.3"},
    {"empty brackets", "10.1.2.3", "[]", "10.1.2.3"},
    {"IPv4 in brackets", "10.1.2.3", "[203.0.113.9]", "10.1.2.3"},
    {"words behind the bracket", "10.1.2.3", "[2001:db8:7::1]x", "10.1.2.3"},
    {"two addresses in one entry", "10.1.2.3", "1.2.3.4 203.0.113.9", "10.1.2.3"},
    {"a line break", "10.1.2.3", "203.0.113.9\n", "203.0.113.9"},
    {"too long for an address", "10.1.2.3", "2001:0db8:0007:0000:0000:0000:0000:0001:0002:0003:0004",
     "10.1.2.3"},
    {"a peer without an address", "", "203.0.113.9", ""},
    {"a peer that is none", "socket", "203.0.113.9", "socket"},
};

static struct slice client_of(struct arena *arena, struct slice peer, struct slice forwarded_for)
{
    static struct proxies proxies;
    proxies_init(&proxies, SLICE(TRUSTED));
    return proxies_have(&proxies, peer) ? client_address(&proxies, arena, peer, forwarded_for) : peer;
}

static void test_table(void **state)
{
    struct arena *arena = *state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        struct slice client = client_of(arena, slice_from(CASES[i].peer), slice_from(CASES[i].forwarded_for));
        if (!slice_is(client, CASES[i].client))
            fail_msg("%s: %.*s, not %s", CASES[i].about, SLICE_ARG(client), CASES[i].client);
    }
}

/* As much as a head can hold: nothing of it is believed past the first that is not ours. */
static void test_huge(void **state)
{
    struct arena *arena = *state;
    struct buf text;
    buf_init(&text, arena);
    for (int i = 0; i < 2000; i++)
        buf_append(&text, SLICE("10.0.0.1,"));
    buf_append(&text, SLICE("203.0.113.9"));
    assert_true(slice_is(client_of(arena, SLICE("10.1.2.3"), buf_slice(&text)), "203.0.113.9"));
    buf_append(&text, SLICE(", 10.0.0.1"));
    assert_true(slice_is(client_of(arena, SLICE("10.1.2.3"), buf_slice(&text)), "203.0.113.9"));
    char *noise = arena_alloc(arena, 16384);
    memset(noise, 'a', 16384);
    assert_true(slice_is(client_of(arena, SLICE("10.1.2.3"), (struct slice){noise, 16384}), "10.1.2.3"));
    memset(noise, ',', 16384);
    assert_true(slice_is(client_of(arena, SLICE("10.1.2.3"), (struct slice){noise, 16384}), "10.1.2.3"));
    memset(noise, '\0', 16384);
    assert_true(slice_is(client_of(arena, SLICE("10.1.2.3"), (struct slice){noise, 16384}), "10.1.2.3"));
    struct slice cut = {"203.0.113.9\0.1", 14};
    assert_true(slice_is(client_of(arena, SLICE("10.1.2.3"), cut), "10.1.2.3"));
}

/* Nobody is trusted by default. */
static void test_none(void **state)
{
    (void)state;
    struct proxies proxies;
    proxies_init(&proxies, SLICE(""));
    assert_int_equal(proxies.count, 0);
    assert_false(proxies_have(&proxies, SLICE("127.0.0.1")));
    assert_false(proxies_have(&proxies, SLICE("")));
    proxies_init(&proxies, SLICE("0.0.0.0/0"));
    assert_true(proxies_have(&proxies, SLICE("127.0.0.1")));
    assert_true(proxies_have(&proxies, SLICE("::ffff:127.0.0.1")));
    assert_false(proxies_have(&proxies, SLICE("::1")));
}

static int begin(void **state)
{
    static struct arena arena;
    assert_true(arena_init(&arena, (size_t)4 << 20));
    *state = &arena;
    return 0;
}

static int end(void **state)
{
    arena_release(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_huge),
        cmocka_unit_test(test_none),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
