/* Choosing a content coding, and compressing by zlib and brotli. */
#include "http/coding.h"

#include "base/check.h"
#include "http/headers.h"

#include <brotli/encode.h>
#include <zlib.h>

#define WEIGHT_MAX 1000
#define WEIGHT_MALFORMED (-1)
#define WEIGHT_NOT_SAID (-1)

/* Replies are JSON of some kilobytes, compressed once and sent often: a middling effort. */
#define GZIP_LEVEL 6
#define GZIP_WINDOW_BITS (15 + 16) /* + 16: with gzip's header */
#define GZIP_MEMORY_LEVEL 8
#define BROTLI_QUALITY 5
#define BROTLI_WINDOW_BITS 18

static const struct slice NAMES[CODING_COUNT] = {
    [CODING_IDENTITY] = {"identity", 8}, [CODING_GZIP] = {"gzip", 4}, [CODING_BR] = {"br", 2}};

const char *coding_name(enum content_coding coding)
{
    return coding == CODING_IDENTITY ? NULL : NAMES[coding].ptr;
}

/* ---- choosing ---- */

/* "0", "0.5", "1.000" in thousandths. */
static int weight_parse(struct slice text)
{
    if (text.len == 0 || text.len > 5 || (text.ptr[0] != '0' && text.ptr[0] != '1') ||
        (text.len > 1 && text.ptr[1] != '.'))
        return WEIGHT_MALFORMED;
    int weight = (text.ptr[0] - '0') * WEIGHT_MAX;
    int unit = WEIGHT_MAX / 10;
    for (size_t i = 2; i < text.len; i++, unit /= 10) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return WEIGHT_MALFORMED;
        weight += (text.ptr[i] - '0') * unit;
    }
    return weight <= WEIGHT_MAX ? weight : WEIGHT_MALFORMED;
}

/* Of "gzip;q=0.5", of which `parameters` is what stands behind the name. */
static int weight_of(struct slice parameters)
{
    struct slice parameter;
    int weight = WEIGHT_MAX;
    while (header_next_element(&parameters, ';', &parameter)) {
        struct slice name;
        struct slice value = parameter;
        (void)slice_split(&value, '=', &name);
        if (!slice_equals_ignore_case(slice_trim(name), SLICE("q")))
            return WEIGHT_MALFORMED; /* a coding has no other parameters */
        weight = slice_is_absent(value) ? WEIGHT_MALFORMED : weight_parse(slice_trim(value));
        if (weight == WEIGHT_MALFORMED)
            return weight;
    }
    return weight;
}

struct wishes {
    int weights[CODING_COUNT];
    int others; /* "*" */
};

static void wish_take(struct wishes *wishes, struct slice name, int weight)
{
    if (slice_equals_ignore_case(name, SLICE("x-gzip"))) /* the same (RFC 9110, 8.4.1.3) */
        name = NAMES[CODING_GZIP];
    for (int i = 0; i < CODING_COUNT; i++) {
        if (slice_equals_ignore_case(name, NAMES[i]))
            wishes->weights[i] = weight;
    }
    if (slice_is(name, "*"))
        wishes->others = weight;
}

enum content_coding coding_choose(struct slice accept_encoding)
{
    struct wishes wishes = {.weights = {WEIGHT_NOT_SAID, WEIGHT_NOT_SAID, WEIGHT_NOT_SAID},
                            .others = WEIGHT_NOT_SAID};
    struct slice element;
    while (header_next_element(&accept_encoding, ',', &element)) {
        struct slice name;
        struct slice parameters = element;
        (void)header_next_element(&parameters, ';', &name);
        int weight = weight_of(parameters);
        if (weight != WEIGHT_MALFORMED)
            wish_take(&wishes, name, weight);
    }
    enum content_coding best = CODING_IDENTITY;
    int best_weight = wishes.weights[CODING_IDENTITY] > 0 ? wishes.weights[CODING_IDENTITY] : 0;
    for (int i = CODING_GZIP; i < CODING_COUNT; i++) {
        int weight = wishes.weights[i] != WEIGHT_NOT_SAID ? wishes.weights[i] : wishes.others;
        if (weight > 0 && weight >= best_weight) {
            best = (enum content_coding)i;
            best_weight = weight;
        }
    }
    return best;
}

/* ---- compressing ---- */

/* 0: it failed. */
static size_t gzip_compress(struct slice body, char *out, size_t out_max)
{
    z_stream stream = {0};
    if (deflateInit2(&stream, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return 0;
    stream.next_in = (Bytef *)(uintptr_t)body.ptr;
    stream.avail_in = (uInt)body.len;
    stream.next_out = (Bytef *)out;
    stream.avail_out = (uInt)out_max;
    int code = deflate(&stream, Z_FINISH);
    size_t len = stream.total_out;
    (void)deflateEnd(&stream);
    return code == Z_STREAM_END ? len : 0;
}

static size_t brotli_compress(struct slice body, char *out, size_t out_max)
{
    size_t len = out_max;
    bool is_done = BrotliEncoderCompress(BROTLI_QUALITY, BROTLI_WINDOW_BITS, BROTLI_MODE_TEXT, body.len,
                                         (const uint8_t *)body.ptr, &len, (uint8_t *)out) == BROTLI_TRUE;
    return is_done ? len : 0;
}

struct slice coding_compress(enum content_coding coding, struct arena *arena, struct slice body)
{
    CHECK(coding != CODING_IDENTITY && body.len <= UINT32_MAX);
    size_t out_max = body.len - body.len / 10; /* no room for what is not worth it */
    char *out = arena_try_alloc(arena, out_max + 1);
    if (out == NULL || out_max == 0)
        return SLICE_ABSENT;
    size_t len =
        coding == CODING_GZIP ? gzip_compress(body, out, out_max) : brotli_compress(body, out, out_max);
    return len > 0 ? (struct slice){out, len} : SLICE_ABSENT;
}

/* ---- entity tags ---- */

struct slice coding_etag(enum content_coding coding, struct arena *arena, struct slice etag)
{
    if (coding == CODING_IDENTITY || etag.len < 2)
        return arena_copy(arena, etag);
    return arena_format(arena, "%.*s-%s\"", (int)etag.len - 1, etag.ptr, NAMES[coding].ptr);
}

bool coding_etag_matches(struct slice tag, struct slice etag, enum content_coding *coding)
{
    if (slice_equals(tag, etag)) {
        *coding = CODING_IDENTITY;
        return true;
    }
    struct slice start = {etag.ptr, etag.len > 0 ? etag.len - 1 : 0};
    struct slice rest = slice_skip(tag, start.len);
    if (start.len == 0 || !slice_starts_with(tag, start) || rest.len < 3 || rest.ptr[0] != '-' ||
        rest.ptr[rest.len - 1] != '"')
        return false;
    struct slice name = {rest.ptr + 1, rest.len - 2};
    for (int i = CODING_GZIP; i < CODING_COUNT; i++) {
        if (slice_equals(name, NAMES[i])) {
            *coding = (enum content_coding)i;
            return true;
        }
    }
    return false;
}
