/* Routes: literals before parameters, segments unescaped once, what each miss means. */
#include "base/arena.h"
#include "base/check.h"
#include "http/router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define OPERATION(method_, path_)                                                                            \
    {                                                                                                        \
        .name = #method_ " " path_, .method = METHOD_##method_, .path = path_                                \
    }

static const struct operation TABLE[] = {
    OPERATION(GET, "/"),
    OPERATION(GET, "/cart/{id}"),
    OPERATION(GET, "/cart/me"),
    OPERATION(POST, "/cart"),
    OPERATION(POST, "/cart/{id}/items"),
    OPERATION(PUT, "/cart/{id}/items/{itemId}"),
    OPERATION(DELETE, "/cart/{id}/items/{itemId}"),
    OPERATION(GET, "/users/me"),
    OPERATION(GET, "/users/me/addresses"),
    OPERATION(GET, "/users/{id}"),
    OPERATION(GET, "/.well-known/jwks.json"),
};

struct fixture {
    struct arena arena;
    struct router *router;
};

static int begin(void **state)
{
    static struct fixture fixture;
    static const struct operation_table table = {TABLE, COUNT_OF(TABLE)};
    assert_true(arena_init(&fixture.arena, 1 << 20));
    fixture.router = router_new(&table);
    *state = &fixture;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;
    router_free(f->router);
    arena_release(&f->arena);
    return 0;
}

static struct route find(struct fixture *f, enum http_method method, const char *path,
                         enum route_result expected)
{
    struct route route = {.operation = NULL};
    enum route_result result = router_find(f->router, &f->arena, method, slice_from(path), &route);
    if (result != expected)
        fail_msg("%s gives %d, should give %d", path, (int)result, (int)expected);
    return route;
}

static void expect(struct fixture *f, enum http_method method, const char *path, const char *operation,
                   const char *first, const char *second)
{
    struct route route = find(f, method, path, ROUTE_FOUND);
    assert_string_equal(route.operation->name, operation);
    assert_int_equal(route.value_count, (first != NULL) + (second != NULL));
    if (first != NULL)
        assert_true(slice_is(route.values[0], first));
    if (second != NULL)
        assert_true(slice_is(route.values[1], second));
}

static void test_found(void **state)
{
    struct fixture *f = *state;
    expect(f, METHOD_GET, "/", "GET /", NULL, NULL);
    expect(f, METHOD_GET, "/cart/7", "GET /cart/{id}", "7", NULL);
    expect(f, METHOD_GET, "/cart/me", "GET /cart/me", NULL, NULL);
    expect(f, METHOD_GET, "/cart/meow", "GET /cart/{id}", "meow", NULL);
    expect(f, METHOD_GET, "/users/me", "GET /users/me", NULL, NULL);
    expect(f, METHOD_GET, "/users/me/addresses", "GET /users/me/addresses", NULL, NULL);
    expect(f, METHOD_GET, "/users/you", "GET /users/{id}", "you", NULL);
    expect(f, METHOD_HEAD, "/users/you", "GET /users/{id}", "you", NULL);
    expect(f, METHOD_PUT, "/cart/a/items/b", "PUT /cart/{id}/items/{itemId}", "a", "b");
    expect(f, METHOD_GET, "/.well-known/jwks.json", "GET /.well-known/jwks.json", NULL, NULL);
    /* the literal has no such branch: the parameter beside it has */
    expect(f, METHOD_POST, "/cart/me/items", "POST /cart/{id}/items", "me", NULL);
}

static void test_escapes(void **state)
{
    struct fixture *f = *state;
    expect(f, METHOD_GET, "/c%61rt/x", "GET /cart/{id}", "x", NULL);
    expect(f, METHOD_GET, "/cart/%6D%65", "GET /cart/me", NULL, NULL);
    expect(f, METHOD_GET, "/cart/a%2Fb", "GET /cart/{id}", "a/b", NULL);
    expect(f, METHOD_GET, "/cart/a%2fitems", "GET /cart/{id}", "a/items", NULL);
    expect(f, METHOD_GET, "/cart/%2561", "GET /cart/{id}", "%61", NULL); /* once, not twice */
    expect(f, METHOD_GET, "/cart/a+b", "GET /cart/{id}", "a+b", NULL);
    expect(f, METHOD_GET, "/cart/%2e%2e", "GET /cart/{id}", "..", NULL);
    static const char *const malformed[] = {"/cart/%",
                                            "/cart/%4",
                                            "/cart/%4g",
                                            "/cart/%00",
                                            "/%zz",
                                            "/nothing/at/%00",
                                            "/1/2/3/4/5/6/7/8/9/10/11/12/%00"};
    for (size_t i = 0; i < COUNT_OF(malformed); i++)
        find(f, METHOD_GET, malformed[i], ROUTE_MALFORMED);
}

static void test_missed(void **state)
{
    struct fixture *f = *state;
    static const char *const missing[] = {"",
                                          "cart/7",
                                          "/cart/",
                                          "/cart/7/",
                                          "/cart//items",
                                          "//cart/7",
                                          "/cart/7/items/",
                                          "/Cart/7",
                                          "/users",
                                          "/users/me/",
                                          "/users/me/x",
                                          "/cart/7/items/8/9",
                                          "/1/2/3/4/5/6/7/8/9/10/11/12"};
    for (size_t i = 0; i < COUNT_OF(missing); i++)
        find(f, METHOD_GET, missing[i], ROUTE_NO_PATH);
    struct route route = find(f, METHOD_DELETE, "/cart/7", ROUTE_NO_METHOD);
    assert_int_equal(route.methods, 1u << METHOD_GET | 1u << METHOD_HEAD);
    route = find(f, METHOD_GET, "/cart/7/items/8", ROUTE_NO_METHOD);
    assert_int_equal(route.methods, 1u << METHOD_PUT | 1u << METHOD_DELETE);
    find(f, METHOD_HEAD, "/cart", ROUTE_NO_METHOD);
    find(f, METHOD_OPTIONS, "/cart", ROUTE_NO_METHOD);
    find(f, METHOD_OTHER, "/", ROUTE_NO_METHOD);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {TEST(test_found), TEST(test_escapes), TEST(test_missed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
