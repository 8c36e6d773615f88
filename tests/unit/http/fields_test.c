/* Selecting members of JSON text. */
#include "base/check.h"
#include "base/crypto.h"
#include "http/fields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct arena arena;

static int begin(void **state)
{
    (void)state;
    crypto_start();
    return arena_init(&arena, 1 << 20) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

/* `expected` NULL: refused, because of `unknown`. */
static void expect(const char *json, const char *fields, const char *expected, const char *unknown)
{
    struct buf out;
    struct slice refused = SLICE_ABSENT;
    arena_reset(&arena);
    buf_init(&out, &arena);
    bool ok = fields_select(slice_from(json), slice_from(fields), &out, &refused);
    if (ok != (expected != NULL))
        fail_msg("%s of %s: %s", fields, json, ok ? "was taken" : "was refused");
    if (ok && !slice_is(buf_slice(&out), expected))
        fail_msg("%s of %s is %.*s, should be %s", fields, json, SLICE_ARG(buf_slice(&out)), expected);
    if (!ok && !slice_is(refused, unknown))
        fail_msg("%s of %s is refused for %.*s, not %s", fields, json, SLICE_ARG(refused), unknown);
}

#define PRODUCT                                                                                              \
    "{\"id\":1,\"name\":\"a, \\\"b\\\" } ] \\\\\",\"price\":{\"amount\":5,\"tags\":[1,{\"x\":\"}\"}]},"      \
    "\"tags\":[\"id\",\"x\"],\"none\":null,\"yes\":true,\"last\":-1.5e3}"

static void test_object(void **state)
{
    (void)state;
    expect(PRODUCT, "id", "{\"id\":1}", NULL);
    expect(PRODUCT, "name", "{\"id\":1,\"name\":\"a, \\\"b\\\" } ] \\\\\"}", NULL);
    expect(PRODUCT, "price", "{\"id\":1,\"price\":{\"amount\":5,\"tags\":[1,{\"x\":\"}\"}]}}", NULL);
    expect(PRODUCT, "last,none", "{\"id\":1,\"none\":null,\"last\":-1.5e3}", NULL); /* in the reply's order */
    expect(PRODUCT, " id , yes ", "{\"id\":1,\"yes\":true}", NULL);
    expect(PRODUCT, "tags,tags", "{\"id\":1,\"tags\":[\"id\",\"x\"]}", NULL);
    expect("{}", "id", NULL, "id");
    expect("{\"\":1}", "id", NULL, "id");
}

static void test_list(void **state)
{
    (void)state;
    expect("[" PRODUCT "," PRODUCT "]", "id", "[{\"id\":1},{\"id\":1}]", NULL);
    expect("[{\"a\":1},{\"b\":2},{\"a\":3,\"b\":4}]", "a", "[{\"a\":1},{},{\"a\":3}]", NULL);
    expect("[{\"a\":1},{\"b\":2}]", "a,b", "[{\"a\":1},{\"b\":2}]", NULL);
    expect("[]", "whatever", "[]", NULL); /* nothing to compare with */
    expect("[1,\"a\",[{\"a\":1}]]", "a", "[1,\"a\",[{\"a\":1}]]", NULL);
    expect("null", "a", "null", NULL);
    expect("", "a", "", NULL);
}

static void test_refused(void **state)
{
    (void)state;
    expect(PRODUCT, "id,nope", NULL, "nope");
    expect(PRODUCT, "amount", NULL, "amount"); /* one level only */
    expect(PRODUCT, "ID", NULL, "ID");
    expect(PRODUCT, "", NULL, "");
    expect(PRODUCT, "id,", NULL, "");
    expect(PRODUCT, ",id", NULL, "");
    expect("[{\"a\":1}]", "b", NULL, "b");
    expect(
        PRODUCT,
        "id,id,id,id,id,id,id,id,id,id,id,id,id,id,id,id,id,id,id,id,id,id,id,id,id,id,id,id,id,id,id,id,id",
        NULL, "id");
}

/* Text that is not our writer's is never read past its end (a sanitizer watches). */
static void test_broken_text(void **state)
{
    (void)state;
    static const char whole[] = "[" PRODUCT "," PRODUCT "]";
    struct slice unknown;
    struct buf out;
    for (size_t len = 0; len < sizeof(whole); len++) {
        char *cut = malloc(len + 1);
        assert_non_null(cut);
        memcpy(cut, whole, len);
        for (int change = 0; change < 50; change++) {
            arena_reset(&arena);
            buf_init(&out, &arena);
            (void)fields_select((struct slice){cut, len}, SLICE("id,name,last"), &out, &unknown);
            if (len > 0)
                cut[random_u64() % len] = "{}[]\",:\\x1"[random_u64() % 10];
        }
        free(cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_object), cmocka_unit_test(test_list),
                                       cmocka_unit_test(test_refused), cmocka_unit_test(test_broken_text)};
    return cmocka_run_group_tests(tests, begin, end);
}
