/* Targets, queries and header fields of any bytes. */
#include "fuzz.h"

#include "http/headers.h"
#include "http/target.h"

#include "base/check.h"
#include "base/limits.h"

#include <stdlib.h>

static struct arena arena;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return arena_init(&arena, ARENA_REQUEST_BYTES) ? 0 : 1;
}

static void read_target(struct slice input)
{
    struct target target;
    struct slice path;
    struct raw_parameter list[QUERY_PARAMETERS_MAX];
    size_t count = 0;
    if (!target_split(input, &target))
        return;
    CHECK(target.path.len > 0 && (target.path.ptr[0] == '/' || slice_is(target.path, "*")));
    if (target_unescape(&arena, target.path, false, &path))
        CHECK(path.len <= target.path.len && (path.len == 0 || memchr(path.ptr, '\0', path.len) == NULL));
    if (!slice_is_absent(target.query) && target_parse_query(&arena, target.query, list, &count))
        CHECK(count <= QUERY_PARAMETERS_MAX);
}

static void read_headers(struct slice input)
{
    struct slice token;
    int64_t version = 0;
    header_name_is_valid(input);
    header_value_is_valid(input);
    header_accepts_json(input);
    header_is_json(input);
    header_request_id_is_sane(input);
    header_idempotency_key_is_valid(input);
    enum content_coding coding = CODING_IDENTITY;
    header_none_match_has(input, SLICE("\"v1-00\""), &coding);
    CHECK(coding < CODING_COUNT);
    header_has_directive(input, SLICE("no-cache"));
    CHECK(coding_choose(input) < CODING_COUNT);
    header_cookie(input, SLICE("souk_refresh"));
    if (header_bearer(input, &token))
        CHECK(token.len > 0);
    if (header_if_match(input, &version) == IF_MATCH_VERSION)
        CHECK(version >= -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    arena_reset(&arena);
    char *copy = malloc(size > 0 ? size : 1);
    CHECK(copy != NULL);
    memcpy(copy, data, size);
    read_target((struct slice){copy, size});
    read_headers((struct slice){copy, size});
    free(copy);
    return 0;
}
