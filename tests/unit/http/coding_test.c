/* coding.h: Accept-Encoding, compressing, entity tags. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "http/coding.h"

#include <brotli/decode.h>
#include <stdlib.h>
#include <zlib.h>

static void test_choice(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        enum content_coding coding;
    } cases[] = {
        {"", CODING_IDENTITY},
        {"gzip", CODING_GZIP},
        {"GZIP", CODING_GZIP},
        {"x-gzip", CODING_GZIP},
        {"br", CODING_BR},
        {"deflate", CODING_IDENTITY},
        {"gzip, deflate", CODING_GZIP},
        {"gzip, deflate, br, zstd", CODING_BR},
        {"br;q=1.0, gzip;q=1.0", CODING_BR},
        {"br;q=0.9, gzip;q=1.0", CODING_GZIP},
        {"br;q=0.899,gzip;q=0.9", CODING_GZIP},
        {"gzip;q=0.001", CODING_GZIP},
        {"gzip ; Q = 0.5", CODING_GZIP},
        {"gzip;q=0", CODING_IDENTITY},
        {"gzip;q=0.0, br;q=0.000", CODING_IDENTITY},
        {"gzip;q=0, *", CODING_BR},
        {"br;q=0, *;q=0.5", CODING_GZIP},
        {"*", CODING_BR},
        {"*;q=0", CODING_IDENTITY},
        {"gzip, *;q=0", CODING_GZIP},
        {"identity", CODING_IDENTITY},
        {"identity;q=0.5, gzip;q=0.4", CODING_IDENTITY},
        {"identity;q=0.5, gzip;q=0.6", CODING_GZIP},
        {"identity, gzip", CODING_GZIP},
        {"identity;q=0, gzip;q=0", CODING_IDENTITY}, /* nothing else is left */
        {"gzip;q=2", CODING_IDENTITY},
        {"gzip;q=1.001", CODING_IDENTITY},
        {"gzip;q=0.1234", CODING_IDENTITY},
        {"gzip;q=-1", CODING_IDENTITY},
        {"gzip;q=.5", CODING_IDENTITY},
        {"gzip;q=", CODING_IDENTITY},
        {"gzip;q", CODING_IDENTITY},
        {"gzip;q=1;q=0", CODING_IDENTITY},
        {"gzip;level=9", CODING_IDENTITY},
        {"\"gzip\"", CODING_IDENTITY},
        {"gzi, gzipp, b, brr", CODING_IDENTITY},
        {",,, gzip ,,", CODING_GZIP},
        {"gzip;q=0, gzip;q=1", CODING_GZIP},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (coding_choose(slice_from(cases[i].accept)) != cases[i].coding)
            fail_msg("%s: should be %d", cases[i].accept, (int)cases[i].coding);
    assert_int_equal(coding_choose(SLICE_ABSENT), CODING_IDENTITY);
}

static struct slice gunzip(struct arena *arena, struct slice text, size_t len_max)
{
    z_stream stream = {0};
    char *out = arena_alloc(arena, len_max);
    assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
    stream.next_in = (Bytef *)(uintptr_t)text.ptr;
    stream.avail_in = (uInt)text.len;
    stream.next_out = (Bytef *)out;
    stream.avail_out = (uInt)len_max;
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    struct slice plain = {out, stream.total_out};
    inflateEnd(&stream);
    return plain;
}

static struct slice unbrotli(struct arena *arena, struct slice text, size_t len_max)
{
    char *out = arena_alloc(arena, len_max);
    size_t len = len_max;
    assert_int_equal(BrotliDecoderDecompress(text.len, (const uint8_t *)text.ptr, &len, (uint8_t *)out),
                     BROTLI_DECODER_RESULT_SUCCESS);
    return (struct slice){out, len};
}

static void test_compression(void **state)
{
    (void)state;
    struct arena arena;
    assert_true(arena_init(&arena, 16 << 20));
    static const size_t lens[] = {200, 4096, 262144};
    for (size_t i = 0; i < COUNT_OF(lens); i++) {
        char *text = arena_alloc(&arena, lens[i]);
        for (size_t at = 0; at < lens[i]; at++)
            text[at] = "{\"name\":\"souk\"}"[at % 15];
        struct slice body = {text, lens[i]};
        struct slice gzip = coding_compress(CODING_GZIP, &arena, body);
        struct slice br = coding_compress(CODING_BR, &arena, body);
        assert_in_range(gzip.len, 1, lens[i] * 9 / 10);
        assert_in_range(br.len, 1, lens[i] * 9 / 10);
        assert_true(slice_equals(gunzip(&arena, gzip, lens[i]), body));
        assert_true(slice_equals(unbrotli(&arena, br, lens[i]), body));
    }
    arena_release(&arena);
}

static void test_what_is_not_worth_it(void **state)
{
    (void)state;
    struct arena arena;
    assert_true(arena_init(&arena, 1 << 20));
    char noise[5000];
    uint32_t random = 1;
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (char)((random = random * 1664525 + 1013904223) >> 24);
    for (enum content_coding coding = CODING_GZIP; coding < CODING_COUNT; coding++) {
        assert_true(slice_is_absent(coding_compress(coding, &arena, (struct slice){noise, sizeof(noise)})));
        assert_true(slice_is_absent(coding_compress(coding, &arena, SLICE("short"))));
        assert_true(slice_is_absent(coding_compress(coding, &arena, SLICE(""))));
    }
    struct arena small;
    assert_true(arena_init(&small, 4096));
    memset(noise, 'a', sizeof(noise));
    assert_true(slice_is_absent(coding_compress(CODING_GZIP, &small, (struct slice){noise, sizeof(noise)})));
    arena_release(&small);
    arena_release(&arena);
}

static void test_entity_tags(void **state)
{
    (void)state;
    struct arena arena;
    struct slice etag = SLICE("\"v1-ab\"");
    assert_true(arena_init(&arena, 1 << 16));
    assert_true(slice_is(coding_etag(CODING_IDENTITY, &arena, etag), "\"v1-ab\""));
    assert_true(slice_is(coding_etag(CODING_GZIP, &arena, etag), "\"v1-ab-gzip\""));
    assert_true(slice_is(coding_etag(CODING_BR, &arena, etag), "\"v1-ab-br\""));
    for (enum content_coding coding = CODING_IDENTITY; coding < CODING_COUNT; coding++) {
        enum content_coding found = CODING_COUNT;
        assert_true(coding_etag_matches(coding_etag(coding, &arena, etag), etag, &found));
        assert_int_equal(found, coding);
        assert_false(coding_etag_matches(coding_etag(coding, &arena, SLICE("\"v1-ac\"")), etag, &found));
        assert_false(coding_etag_matches(SLICE(""), etag, &found));
        assert_false(coding_etag_matches(SLICE("\"v1-ab-gzip\""), SLICE_ABSENT, &found));
    }
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_compression),
        cmocka_unit_test(test_what_is_not_worth_it),
        cmocka_unit_test(test_entity_tags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
