/* The gateway end to end, through a transport that is no more than a function call: a real store, the small
 * shop of fixture.h. */
#include "http/fixture.h"

#include "data/fault_vfs.h"

/* ---- the transport ---- */

struct call {
    struct arena *arena;
    struct exchange *x;
};

/* `headers`: name, value, ..., NULL. */
static struct call call_begin_from(struct fixture *fixture, const char *peer, enum http_method method,
                                   const char *target, const char *body, const char *const *headers)
{
    struct call call;
    call.arena = calloc(1, sizeof(*call.arena));
    assert_non_null(call.arena);
    assert_true(arena_init(call.arena, 1 << 20));
    call.x = exchange_new(call.arena);
    call.x->method = method;
    call.x->target = slice_from(target);
    call.x->address = slice_from(peer);
    call.x->is_loopback = strcmp(peer, "127.0.0.1") == 0;
    assert_true(exchange_header(call.x, SLICE("Host"), SLICE("shop")));
    if (body != NULL)
        assert_true(exchange_header(call.x, SLICE("Content-Type"), SLICE("application/json")));
    for (; headers != NULL && *headers != NULL; headers += 2)
        assert_true(exchange_header(call.x, slice_from(headers[0]), slice_from(headers[1])));
    gateway_open(fixture->gateway, call.x);
    call.x->body = slice_from(body);
    return call;
}

static struct call call_begin(struct fixture *fixture, enum http_method method, const char *target,
                              const char *body, const char *const *headers)
{
    return call_begin_from(fixture, "192.0.2.1", method, target, body, headers);
}

static struct call call_make(struct fixture *fixture, enum http_method method, const char *target,
                             const char *body, const char *const *headers)
{
    struct call call = call_begin(fixture, method, target, body, headers);
    gateway_run(fixture->gateway, call.x);
    return call;
}

static void call_end(struct call *call)
{
    arena_release(call->arena);
    free(call->arena);
}

#define HEADERS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const char *reply_header(const struct call *call, const char *name)
{
    const struct reply *reply = &call->x->reply;
    const char *found = NULL;
    for (unsigned i = 0; i < reply->header_count; i++) {
        if (strcmp(reply->headers[i].name, name) != 0)
            continue;
        assert_null(found); /* none stands twice */
        found = reply->headers[i].value.ptr;
        assert_int_equal(found[reply->headers[i].value.len], '\0');
    }
    return found;
}

static bool contains(struct slice text, const char *part)
{
    return memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

#define assert_body(call, expected)                                                                          \
    do {                                                                                                     \
        if (!slice_is((call).x->reply.body, (expected)))                                                     \
            fail_msg("body is %.*s, should be %s", SLICE_ARG((call).x->reply.body), (expected));             \
    } while (0)
#define assert_body_has(call, part)                                                                          \
    do {                                                                                                     \
        if (!contains((call).x->reply.body, (part)))                                                         \
            fail_msg("body is %.*s, should hold %s", SLICE_ARG((call).x->reply.body), (part));               \
    } while (0)

/* Status and, for a problem, its code, in one call. */
static void expect(struct fixture *fixture, enum http_method method, const char *target, const char *body,
                   const char *const *headers, int status, const char *code)
{
    struct call call = call_make(fixture, method, target, body, headers);
    if ((int)call.x->reply.status != status)
        fail_msg("%s: status is %d, should be %d: %.*s", target, (int)call.x->reply.status, status,
                 SLICE_ARG(call.x->reply.body));
    if (code != NULL) {
        assert_string_equal(reply_header(&call, "Content-Type"), "application/problem+json");
        assert_body_has(call, arena_format(call.arena, "\"code\":\"%s\"", code).ptr);
        assert_body_has(call, "\"requestId\":\"");
        assert_string_equal(reply_header(&call, "Cache-Control"), "no-store");
    }
    assert_string_equal(reply_header(&call, "X-Content-Type-Options"), "nosniff");
    assert_non_null(reply_header(&call, "Referrer-Policy"));
    assert_non_null(reply_header(&call, "X-Request-Id"));
    call_end(&call);
}

/* ---- steps before the handler ---- */

static void test_routes(void **state)
{
    struct fixture *f = *state;
    expect(f, METHOD_GET, "/counters", NULL, NULL, 200, NULL);
    expect(f, METHOD_GET, "/counters/", NULL, NULL, 404, "NOT_FOUND");
    expect(f, METHOD_GET, "/nothing", NULL, NULL, 404, "NOT_FOUND");
    expect(f, METHOD_GET, "//counters", NULL, NULL, 404, "NOT_FOUND");
    expect(f, METHOD_GET, "/%63ounters", NULL, NULL, 200, NULL);
    expect(f, METHOD_GET, "/counters/%31", NULL, NULL, 200, NULL);
    expect(f, METHOD_GET, "/counters%2F1", NULL, NULL, 404, "NOT_FOUND");
    expect(f, METHOD_GET, "/counters/%00", NULL, NULL, 400, "MALFORMED_REQUEST");
    expect(f, METHOD_GET, "/counters/%zz", NULL, NULL, 400, "MALFORMED_REQUEST");
    expect(f, METHOD_GET, "/counters/%2", NULL, NULL, 400, "MALFORMED_REQUEST");
    expect(f, METHOD_GET, "/counters/a b", NULL, NULL, 400, "MALFORMED_REQUEST");
    expect(f, METHOD_GET, "counters", NULL, NULL, 400, "MALFORMED_REQUEST");
    expect(f, METHOD_GET, "http://shop/counters", NULL, NULL, 200, NULL);
    expect(f, METHOD_GET, "/counters/x%2Fy", NULL, NULL, 400,
           "VALIDATION_ERROR"); /* one segment, not a number */
    expect(f, METHOD_GET, "/counters/99", NULL, NULL, 404, "NOT_FOUND");
    expect(f, METHOD_GET, "/counters?sort=%zz", NULL, NULL, 400, "MALFORMED_REQUEST");
    expect(f, METHOD_GET, "/counters?unknown=1", NULL, NULL, 400, "VALIDATION_ERROR");
    char target[URI_BYTES_MAX + 32];
    memset(target, 'a', sizeof(target));
    target[0] = '/';
    target[sizeof(target) - 1] = '\0';
    expect(f, METHOD_GET, target, NULL, NULL, 414, "URI_TOO_LONG");
}

static void test_methods(void **state)
{
    struct fixture *f = *state;
    struct call call = call_make(f, METHOD_PUT, "/counters/1", NULL, NULL);
    assert_int_equal(call.x->reply.status, 405);
    assert_string_equal(reply_header(&call, "Allow"), "GET, HEAD, POST, DELETE, OPTIONS");
    call_end(&call);
    call = call_make(f, METHOD_OPTIONS, "/counters/1", NULL, NULL);
    assert_int_equal(call.x->reply.status, 204);
    assert_string_equal(reply_header(&call, "Allow"), "GET, HEAD, POST, DELETE, OPTIONS");
    assert_int_equal(call.x->reply.body.len, 0);
    assert_null(reply_header(&call, "Content-Type"));
    call_end(&call);
    expect(f, METHOD_OPTIONS, "*", NULL, NULL, 204, NULL);
    expect(f, METHOD_OPTIONS, "/nothing", NULL, NULL, 404, "NOT_FOUND");
    expect(f, METHOD_OTHER, "/counters", NULL, NULL, 405, "METHOD_NOT_ALLOWED");
    struct call get = call_make(f, METHOD_GET, "/counters/1", NULL, NULL);
    struct call head = call_make(f, METHOD_HEAD, "/counters/1", NULL, NULL);
    assert_int_equal(head.x->reply.status, 200);
    assert_string_equal(reply_header(&head, "ETag"), reply_header(&get, "ETag"));
    assert_true(slice_equals(head.x->reply.body, get.x->reply.body)); /* for its length */
    call_end(&get);
    call_end(&head);
}

static void test_request_id(void **state)
{
    struct fixture *f = *state;
    static const char *const given[] = {"0190a0b0-0000-7000-8000-000000000000", "abc.DEF_1-2"};
    for (size_t i = 0; i < COUNT_OF(given); i++) {
        struct call call = call_make(f, METHOD_GET, "/nothing", NULL, HEADERS("X-Request-Id", given[i]));
        assert_string_equal(reply_header(&call, "X-Request-Id"), given[i]);
        assert_body_has(call, given[i]);
        assert_false(uuid_is_nil(call.x->request.id));
        call_end(&call);
    }
    static const char *const refused[] = {"", "a b", "x\"y", "{}"};
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        struct call call = call_make(f, METHOD_GET, "/nothing", NULL, HEADERS("X-Request-Id", refused[i]));
        struct uuid id;
        assert_true(uuid_parse(slice_from(reply_header(&call, "X-Request-Id")), &id));
        assert_true(uuid_equals(id, call.x->request.id));
        call_end(&call);
    }
}

static void test_headers_that_may_stand_once(void **state)
{
    struct fixture *f = *state;
    struct call call = call_begin(f, METHOD_GET, "/health", NULL, NULL);
    assert_true(exchange_header(call.x, SLICE("Authorization"), SLICE("a")));
    assert_false(exchange_header(call.x, SLICE("authorization"), SLICE("b")));
    assert_false(exchange_header(call.x, SLICE("HOST"), SLICE("b")));
    assert_true(exchange_header(call.x, SLICE("If-None-Match"), SLICE("\"a\"")));
    assert_true(exchange_header(call.x, SLICE("If-None-Match"), SLICE("\"b\"")));
    assert_true(slice_is(call.x->headers[HEADER_IF_NONE_MATCH], "\"a\", \"b\""));
    gateway_refuse(f->gateway, call.x, PROBLEM_MALFORMED_REQUEST, "Twice");
    assert_int_equal(call.x->reply.status, 400);
    call_end(&call);
}

static void test_body_and_media_types(void **state)
{
    struct fixture *f = *state;
    const char *body = "{\"amount\":1}";
    struct call call = call_begin(f, METHOD_POST, "/counters/1", NULL, HEADERS("Content-Type", "text/plain"));
    assert_int_equal(call.x->body_limit, 200);
    call.x->body = slice_from(body);
    gateway_run(f->gateway, call.x);
    assert_int_equal(call.x->reply.status, 415);
    call_end(&call);
    call = call_begin(f, METHOD_POST, "/counters/1", NULL, NULL); /* no Content-Type at all */
    call.x->body = slice_from(body);
    gateway_run(f->gateway, call.x);
    assert_int_equal(call.x->reply.status, 415);
    call_end(&call);
    call = call_begin(f, METHOD_POST, "/counters/1", NULL,
                      HEADERS("Content-Type", "Application/JSON; Charset=\"UTF-8\""));
    call.x->body = slice_from(body);
    gateway_run(f->gateway, call.x);
    assert_int_equal(call.x->reply.status, 201);
    call_end(&call);
    char large[300];
    memset(large, ' ', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    expect(f, METHOD_POST, "/counters/1", large, NULL, 413, "BODY_TOO_LARGE");
    expect(f, METHOD_GET, "/counters/1", "{}", NULL, 413, "BODY_TOO_LARGE");
    expect(f, METHOD_POST, "/counters/1", NULL, NULL, 400, "VALIDATION_ERROR");
    expect(f, METHOD_POST, "/counters/1", "{", NULL, 400, NULL);
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":-1}", NULL, 400, "VALIDATION_ERROR");
    expect(f, METHOD_GET, "/counters", NULL, HEADERS("Accept", "text/html"), 406, "NOT_ACCEPTABLE");
    expect(f, METHOD_GET, "/counters", NULL, HEADERS("Accept", "text/html, */*;q=0.1"), 200, NULL);
    expect(f, METHOD_GET, "/counters", NULL, HEADERS("Accept", "application/json;q=0, */*"), 406,
           "NOT_ACCEPTABLE");
    expect(f, METHOD_GET, "/page", NULL, HEADERS("Accept", "text/html"), 200, NULL);
}

/* ---- who asks ---- */

/* As whoever changes it does after the commit. */
static void drop_tag(struct fixture *f, const char *kind, struct uuid id)
{
    char text[UUID_TEXT_LEN];
    uuid_format(id, text);
    cache_drop_tag(f->cache, arena_format(&f->arena, "%s:%.*s", kind, UUID_TEXT_LEN, text));
}

static void test_authentication(void **state)
{
    struct fixture *f = *state;
    struct uuid user = fixture_user(f, "customer");
    struct uuid session;
    const char *bearer = fixture_bearer(f, user, ROLE_CUSTOMER, &session);
    struct call call = call_make(f, METHOD_GET, "/counters/me", NULL, HEADERS("Authorization", bearer));
    assert_int_equal(call.x->reply.status, 200);
    assert_body(call, "{\"data\":\"customer\"}");
    assert_string_equal(reply_header(&call, "Cache-Control"), "private, no-store");
    call_end(&call);
    call = call_make(f, METHOD_GET, "/counters/me", NULL, NULL);
    assert_int_equal(call.x->reply.status, 401);
    assert_string_equal(reply_header(&call, "WWW-Authenticate"), "Bearer realm=\"souk\"");
    call_end(&call);
    /* also where no token is needed */
    static const char *const bad[] = {"Bearer", "Bearer ",    "Bearer x.y.z", "Basic YTpi",
                                      "",       "Bearer a b", "bearer \"x\""};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        call = call_make(f, METHOD_GET, "/counters", NULL, HEADERS("Authorization", bad[i]));
        assert_int_equal(call.x->reply.status, 401);
        assert_non_null(strstr(reply_header(&call, "WWW-Authenticate"), "invalid_token"));
        call_end(&call);
    }
    /* an end of the session ends its tokens */
    fixture_write(f,
                  &(const struct db_statement){.sql = "UPDATE sessions SET revoked_at = $2 WHERE id = $1",
                                               .params = {DB_UUID, DB_TIME}},
                  DB_ARGS(db_uuid(session), db_time(clock_now_ms())));
    drop_tag(f, "session", session);
    expect(f, METHOD_GET, "/counters/me", NULL, HEADERS("Authorization", bearer), 401, "UNAUTHENTICATED");
    expect(f, METHOD_GET, "/counters", NULL, HEADERS("Authorization", bearer), 401, "UNAUTHENTICATED");
}

static void test_authorization(void **state)
{
    struct fixture *f = *state;
    struct uuid user = fixture_user(f, "customer");
    const char *bearer = fixture_bearer(f, user, ROLE_CUSTOMER, NULL);
    expect(f, METHOD_DELETE, "/counters/1", NULL, NULL, 401, "UNAUTHENTICATED");
    expect(f, METHOD_DELETE, "/counters/1", NULL, HEADERS("Authorization", bearer), 403, "FORBIDDEN");
    /* the role of now, not of the token */
    fixture_write(f, &FIXTURE_USER_ROLE, DB_ARGS(db_uuid(user), db_text(SLICE("admin"))));
    drop_tag(f, "user", user);
    expect(f, METHOD_DELETE, "/counters/1", NULL, HEADERS("Authorization", bearer), 204, NULL);
    const char *boast = fixture_bearer(f, fixture_user(f, "customer"), ROLE_ADMIN, NULL);
    expect(f, METHOD_DELETE, "/counters/1", NULL, HEADERS("Authorization", boast), 403, "FORBIDDEN");
}

/* ---- reading ---- */

static void test_wrapping(void **state)
{
    struct fixture *f = *state;
    struct call call = call_make(f, METHOD_GET, "/health", NULL, NULL);
    assert_body(call, "{\"data\":{\"status\":\"ok\"}}");
    call_end(&call);
    call = call_make(f, METHOD_GET, "/page", NULL, NULL);
    assert_body(call, "plain");
    assert_string_equal(reply_header(&call, "Content-Type"), "text/plain; charset=utf-8");
    assert_non_null(reply_header(&call, "ETag"));
    call_end(&call);
    call = call_make(f, METHOD_GET, "/counters", NULL, NULL);
    assert_body_has(call, "{\"data\":[{\"id\":0,\"name\":\"n\"},");
    assert_body_has(call, "],\"pagination\":{\"limit\":3,\"nextCursor\":\"");
    assert_body_has(call, "\",\"hasMore\":true,\"total\":\"10000+\"}}");
    call_end(&call);
    expect(f, METHOD_GET, "/huge", NULL, NULL, 500, "INTERNAL_ERROR");
    expect(f, METHOD_POST, "/login", NULL, NULL, 200, NULL);
    expect(f, METHOD_GET, "/workers/counters/1", NULL, NULL, 200, NULL);
}

static void test_fields(void **state)
{
    struct fixture *f = *state;
    struct call call = call_make(f, METHOD_GET, "/counters?fields=id,extra", NULL, NULL);
    assert_body_has(call, "{\"data\":[{\"id\":0},{\"id\":1,\"extra\":7},{\"id\":2}],\"pagination\":{");
    call_end(&call);
    call = call_make(f, METHOD_GET, "/counters?fields=id,nope", NULL, NULL);
    assert_int_equal(call.x->reply.status, 400);
    assert_body_has(call, "\"field\":\"fields\"");
    assert_body_has(call, "nope");
    assert_null(reply_header(&call, "ETag"));
    call_end(&call);
    /* the refusal was not kept in place of the reply */
    expect(f, METHOD_GET, "/counters?fields=id,nope", NULL, NULL, 400, "VALIDATION_ERROR");
}

static void test_entity_tags(void **state)
{
    struct fixture *f = *state;
    struct call call = call_make(f, METHOD_GET, "/counters/1", NULL, NULL);
    char etag[64];
    snprintf(etag, sizeof(etag), "%s", reply_header(&call, "ETag"));
    assert_int_equal(strncmp(etag, "\"v5-", 4), 0);
    assert_int_equal(strlen(etag), 4 + 16 + 1);
    call_end(&call);
    char list[128];
    snprintf(list, sizeof(list), "\"x, y\", W/%s", etag);
    const char *const matching[] = {etag, list, "*"};
    for (size_t i = 0; i < COUNT_OF(matching); i++) {
        call = call_make(f, METHOD_GET, "/counters/1", NULL, HEADERS("If-None-Match", matching[i]));
        assert_int_equal(call.x->reply.status, 304);
        assert_string_equal(reply_header(&call, "ETag"), etag);
        call_end(&call);
    }
    expect(f, METHOD_GET, "/counters/1", NULL, HEADERS("If-None-Match", "\"v5-0000000000000000\""), 200,
           NULL);
    expect(f, METHOD_GET, "/workers/counters/1", NULL, HEADERS("If-None-Match", "*"), 304, NULL);
    expect(f, METHOD_GET, "/counters/99", NULL, HEADERS("If-None-Match", "*"), 404, "NOT_FOUND");
    expect(f, METHOD_POST, "/counters/2", "{\"amount\":1}", HEADERS("If-None-Match", "*"), 201, NULL);
}

static void test_cache(void **state)
{
    struct fixture *f = *state;
    struct call miss = call_make(f, METHOD_GET, "/counters/1", NULL, NULL);
    assert_int_equal(handler_calls, 1);
    assert_null(reply_header(&miss, "Age"));
    assert_string_equal(reply_header(&miss, "Cache-Control"),
                        "public, max-age=30, stale-while-revalidate=60");
    assert_string_equal(reply_header(&miss, "Vary"), "Authorization, X-Api-Key, Accept-Encoding");
    struct call hit = call_make(f, METHOD_GET, "/counters/1", NULL, NULL);
    assert_int_equal(handler_calls, 1);
    assert_string_equal(reply_header(&hit, "Age"), "0");
    assert_true(slice_equals(hit.x->reply.body, miss.x->reply.body));
    static const char *const same[] = {"ETag", "Content-Type", "Cache-Control", "Vary"};
    for (size_t i = 0; i < COUNT_OF(same); i++)
        assert_string_equal(reply_header(&hit, same[i]), reply_header(&miss, same[i]));
    call_end(&miss);
    call_end(&hit);
    /* a conditional hit */
    expect(f, METHOD_GET, "/counters/1", NULL, HEADERS("If-None-Match", "*"), 304, NULL);
    assert_int_equal(handler_calls, 1);
    /* another path is another entry, a refusal is none */
    expect(f, METHOD_GET, "/counters/2", NULL, NULL, 200, NULL);
    expect(f, METHOD_GET, "/counters/98", NULL, NULL, 404, "NOT_FOUND");
    expect(f, METHOD_GET, "/counters/98", NULL, NULL, 404, "NOT_FOUND");
    assert_int_equal(handler_calls, 4);
    /* the order of parameters means nothing, their values do */
    expect(f, METHOD_GET, "/counters?fields=id&sort=a", NULL, NULL, 200, NULL);
    expect(f, METHOD_GET, "/counters?sort=a&fields=id", NULL, NULL, 200, NULL);
    assert_int_equal(handler_calls, 5);
    expect(f, METHOD_GET, "/counters?sort=b&fields=id", NULL, NULL, 200, NULL);
    assert_int_equal(handler_calls, 6);
    /* a write drops what it changed, when it is committed, and nothing else */
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":13}", NULL, 409, "OUT_OF_STOCK");
    expect(f, METHOD_GET, "/counters/1", NULL, NULL, 200, NULL);
    assert_int_equal(handler_calls, 7); /* the write itself */
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":1}", NULL, 201, NULL);
    struct call fresh = call_make(f, METHOD_GET, "/counters/1", NULL, NULL);
    assert_body_has(fresh, "\"value\":6");
    call_end(&fresh);
    assert_int_equal(handler_calls, 9);
    expect(f, METHOD_GET, "/counters/2", NULL, NULL, 200, NULL);
    assert_int_equal(handler_calls, 9);
    /* staff read fresh, customers do not */
    const char *staff = fixture_bearer(f, fixture_user(f, "staff"), ROLE_STAFF, NULL);
    struct call read = call_make(f, METHOD_GET, "/counters/2", NULL, HEADERS("Authorization", staff));
    assert_int_equal(handler_calls, 10);
    assert_string_equal(reply_header(&read, "Cache-Control"), "private, no-store");
    call_end(&read);
    const char *customer = fixture_bearer(f, fixture_user(f, "customer"), ROLE_CUSTOMER, NULL);
    expect(f, METHOD_GET, "/counters/2", NULL, HEADERS("Authorization", customer), 200, NULL);
    assert_int_equal(handler_calls, 10);
}

/* ---- writing ---- */

static void test_transactions(void **state)
{
    struct fixture *f = *state;
    int64_t added = ADDED.value;
    struct call call = call_make(f, METHOD_POST, "/counters/1", "{\"amount\":2}", NULL);
    assert_int_equal(call.x->reply.status, 201);
    assert_string_equal(reply_header(&call, "Location"), "/counters/1");
    assert_string_equal(reply_header(&call, "Cache-Control"), "no-store");
    assert_int_equal(strncmp(reply_header(&call, "ETag"), "\"v7-", 4), 0);
    assert_null(reply_header(&call, "Idempotent-Replayed"));
    call_end(&call);
    assert_int_equal(fixture_counter(f, 1), 7);
    assert_int_equal(ADDED.value, added + 2);
    /* a refusal after the write, and a constraint, leave nothing */
    call = call_make(f, METHOD_POST, "/counters/1", "{\"amount\":13}", NULL);
    assert_int_equal(call.x->reply.status, 409);
    assert_body_has(call, "\"orderNumber\":\"SK-1\"");
    assert_null(reply_header(&call, "Location"));
    call_end(&call);
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":4000}", NULL, 409, "CONFLICT");
    assert_int_equal(fixture_counter(f, 1), 7);
    assert_int_equal(ADDED.value, added + 2);
}

/* What a handler answered did not happen when a deferred constraint speaks at the commit: no effect, no
 * record. */
static void test_deferred_constraint(void **state)
{
    struct fixture *f = *state;
    int64_t added = ADDED.value;
    expect(f, METHOD_GET, "/counters", NULL, NULL, 200, NULL);
    int calls = handler_calls;
    for (int i = 0; i < 2; i++) {
        struct call call =
            call_make(f, METHOD_POST, "/orphans", NULL, HEADERS("Idempotency-Key", "never kept"));
        assert_int_equal(call.x->reply.status, 409);
        assert_body_has(call, "\"code\":\"CONFLICT\"");
        assert_null(reply_header(&call, "Location"));
        assert_null(reply_header(&call, "Idempotent-Replayed"));
        call_end(&call);
    }
    assert_true(handler_calls >= calls + 2);
    calls = handler_calls;
    assert_int_equal(ADDED.value, added);
    expect(f, METHOD_GET, "/counters", NULL, NULL, 200, NULL); /* still in the cache */
    assert_int_equal(handler_calls, calls);
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":1}", NULL, 201, NULL); /* and the lane goes on */
}

/* A commit that fails takes every reply of its batch with it, whatever the handler had answered. */
static void test_commit_fails(void **state)
{
    struct fixture *f = *state;
    if (test_is_postgres())
        skip(); /* only SQLite's disk is ours to break */
    int64_t added = ADDED.value;
    expect(f, METHOD_GET, "/counters/1", NULL, NULL, 200, NULL);
    const char *const *key = HEADERS("Idempotency-Key", "again");
    fault_arm(FAULT_LOG_SYNC, 0, 1, SQLITE_IOERR_FSYNC);
    struct call call = call_make(f, METHOD_POST, "/counters/1", "{\"amount\":2}", key);
    fault_disarm();
    assert_int_equal(call.x->reply.status, 503);
    assert_body_has(call, "\"code\":\"UNAVAILABLE\"");
    assert_string_equal(reply_header(&call, "Retry-After"), "1");
    assert_null(reply_header(&call, "Location"));
    call_end(&call);
    assert_int_equal(ADDED.value, added);
    int calls = handler_calls;
    /* Whoever hears 503 does not know whether it happened (elsewhere a COMMIT can be without an answer): what
     * it would have made stale is dropped. */
    expect(f, METHOD_GET, "/counters/1", NULL, NULL, 200, NULL);
    assert_int_equal(handler_calls, calls + 1);
    /* the same key again does it */
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":2}", key, 201, NULL);
    assert_int_equal(fixture_counter(f, 1), 7);
}

static void test_if_match(void **state)
{
    struct fixture *f = *state;
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":0}", HEADERS("If-Match", "\"v5-0123456789abcdef\""),
           201, NULL);
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":0}", HEADERS("If-Match", "*"), 201, NULL);
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":0}", HEADERS("If-Match", "\"v6-0123456789abcdef\""),
           412, "PRECONDITION_FAILED");
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":0}", HEADERS("If-Match", "W/\"v5-0123456789abcdef\""),
           412, "PRECONDITION_FAILED");
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":0}", HEADERS("If-Match", "\"other\""), 412,
           "PRECONDITION_FAILED");
    static const char *const malformed[] = {"v5", "\"a", "", "\"a\", \"b\"", "5"};
    for (size_t i = 0; i < COUNT_OF(malformed); i++)
        expect(f, METHOD_POST, "/counters/1", "{\"amount\":0}", HEADERS("If-Match", malformed[i]), 400,
               "VALIDATION_ERROR");
}

/* ---- idempotency ---- */

static void test_idempotency(void **state)
{
    struct fixture *f = *state;
    const char *const *key = HEADERS("Idempotency-Key", "key 1");
    struct call first = call_make(f, METHOD_POST, "/counters/1", "{\"amount\":2}", key);
    struct call again = call_make(f, METHOD_POST, "/counters/1", "{\"amount\":2}", key);
    assert_int_equal(first.x->reply.status, 201);
    assert_int_equal(again.x->reply.status, 201);
    assert_true(slice_equals(first.x->reply.body, again.x->reply.body));
    assert_null(reply_header(&first, "Idempotent-Replayed"));
    assert_string_equal(reply_header(&again, "Idempotent-Replayed"), "true");
    assert_string_equal(reply_header(&again, "Location"), "/counters/1");
    assert_string_equal(reply_header(&again, "ETag"), reply_header(&first, "ETag"));
    assert_int_equal(handler_calls, 1);
    assert_int_equal(fixture_counter(f, 1), 7);
    call_end(&first);
    call_end(&again);
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":3}", key, 422, "IDEMPOTENCY_KEY_REUSED");
    assert_int_equal(fixture_counter(f, 1), 7);
    /* another path or another caller is another key */
    expect(f, METHOD_POST, "/counters/2", "{\"amount\":3}", key, 201, NULL);
    const char *bearer = fixture_bearer(f, fixture_user(f, "customer"), ROLE_CUSTOMER, NULL);
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":3}",
           HEADERS("Idempotency-Key", "key 1", "Authorization", bearer), 201, NULL);
    assert_int_equal(fixture_counter(f, 1), 10);
    /* what failed is not kept */
    const char *const *other = HEADERS("Idempotency-Key", "key 2");
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":13}", other, 409, "OUT_OF_STOCK");
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":13}", other, 409, "OUT_OF_STOCK");
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":1}", other, 201, NULL);
    /* form and place */
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":1}", HEADERS("Idempotency-Key", ""), 400,
           "VALIDATION_ERROR");
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":1}", HEADERS("Idempotency-Key", "\x01"), 400,
           "VALIDATION_ERROR");
    expect(f, METHOD_POST, "/login", NULL, HEADERS("Idempotency-Key", "k"), 400, "VALIDATION_ERROR");
    expect(f, METHOD_GET, "/workers/counters/1", NULL, HEADERS("Idempotency-Key", "k"), 400,
           "VALIDATION_ERROR");
    char longest[IDEMPOTENCY_KEY_BYTES_MAX + 2];
    memset(longest, 'k', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":1}", HEADERS("Idempotency-Key", longest), 400,
           "VALIDATION_ERROR");
    longest[sizeof(longest) - 2] = '\0';
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":1}", HEADERS("Idempotency-Key", longest), 201, NULL);
}

/* A call on its own thread. */
struct background {
    struct fixture *fixture;
    const char *target;
    const char *body;
    const char *const *headers;
    struct call call;
    pthread_t thread;
};

static void *background_main(void *arg)
{
    struct background *b = arg;
    b->call = call_make(b->fixture, b->body ? METHOD_POST : METHOD_GET, b->target, b->body, b->headers);
    return NULL;
}

static void background_start(struct background *b)
{
    assert_int_equal(pthread_create(&b->thread, NULL, background_main, b), 0);
}

static void test_idempotency_while_running(void **state)
{
    struct fixture *f = *state;
    const char *const *key = HEADERS("Idempotency-Key", "once");
    struct background b = {
        .fixture = f, .target = "/orchestrated/1", .body = "{\"amount\":4}", .headers = key};
    background_start(&b);
    sem_wait(&gate_reached);
    struct call call = call_make(f, METHOD_POST, "/orchestrated/1", "{\"amount\":4}", key);
    assert_int_equal(call.x->reply.status, 409);
    assert_body_has(call, "IDEMPOTENCY_IN_PROGRESS");
    assert_string_equal(reply_header(&call, "Retry-After"), "1");
    call_end(&call);
    sem_post(&gate);
    pthread_join(b.thread, NULL);
    assert_int_equal(b.call.x->reply.status, 200);
    call = call_make(f, METHOD_POST, "/orchestrated/1", "{\"amount\":4}", key);
    assert_int_equal(call.x->reply.status, 200);
    assert_string_equal(reply_header(&call, "Idempotent-Replayed"), "true");
    assert_true(slice_equals(call.x->reply.body, b.call.x->reply.body));
    assert_int_equal(handler_calls, 1);
    assert_int_equal(fixture_counter(f, 1), 9);
    call_end(&call);
    call_end(&b.call);
    expect(f, METHOD_POST, "/orchestrated/1", "{\"amount\":5}", key, 422, "IDEMPOTENCY_KEY_REUSED");
}

#define RACERS 16

static void test_idempotency_race(void **state)
{
    struct fixture *f = *state;
    struct background racers[RACERS];
    const char *const *key = HEADERS("Idempotency-Key", "race");
    for (size_t i = 0; i < RACERS; i++) {
        racers[i] = (struct background){
            .fixture = f, .target = "/counters/3", .body = "{\"amount\":1}", .headers = key};
        background_start(&racers[i]);
    }
    int created = 0;
    for (size_t i = 0; i < RACERS; i++) {
        pthread_join(racers[i].thread, NULL);
        int status = (int)racers[i].call.x->reply.status;
        assert_true(status == 201 || status == 409);
        created += status == 201;
        call_end(&racers[i].call);
    }
    assert_true(created >= 1);
    assert_int_equal(fixture_counter(f, 3), 6);
}

/* ---- limits ---- */

static void test_throttle(void **state)
{
    struct fixture *f = *state;
    f->config.rate_limit = true;
    f->config.rate_per_minute = 5;
    fixture_restart(f);
    for (int i = 0; i < 5; i++) {
        struct call call = call_make(f, METHOD_GET, i == 2 ? "/nothing" : "/health", NULL, NULL);
        assert_int_equal(call.x->reply.status, i == 2 ? 404 : 200);
        assert_string_equal(reply_header(&call, "RateLimit-Policy"), "\"read\";q=5;w=60");
        char rest[32];
        snprintf(rest, sizeof(rest), "\"read\";r=%d;t=%d", 4 - i, (i + 1) * 12);
        assert_string_equal(reply_header(&call, "RateLimit"), rest);
        call_end(&call);
    }
    struct call call = call_make(f, METHOD_GET, "/health", NULL, NULL);
    assert_int_equal(call.x->reply.status, 429);
    assert_string_equal(reply_header(&call, "Retry-After"), "12");
    assert_body_has(call, "\"retryAfterSeconds\":12");
    call_end(&call);
    /* writing has its own allowance, and so has another address */
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":1}", NULL, 201, NULL);
    call = call_begin(f, METHOD_GET, "/health", NULL, NULL);
    call.x->address = SLICE("192.0.2.2");
    gateway_run(f->gateway, call.x);
    assert_int_equal(call.x->reply.status, 200);
    call_end(&call);
}

/* A user who comes from many addresses is one user. */
static void test_throttle_of_user(void **state)
{
    struct fixture *f = *state;
    f->config.rate_limit = true;
    f->config.rate_per_minute = 3;
    fixture_restart(f);
    const char *bearer = fixture_bearer(f, fixture_user(f, "customer"), ROLE_CUSTOMER, NULL);
    for (int i = 0; i < 4; i++) {
        struct call call = call_begin(f, METHOD_GET, "/counters/me", NULL, HEADERS("Authorization", bearer));
        call.x->address = arena_format(call.arena, "192.0.2.%d", 10 + i);
        gateway_run(f->gateway, call.x);
        assert_int_equal(call.x->reply.status, i < 3 ? 200 : 429);
        call_end(&call);
    }
}

/* Behind a proxy of ours each client has its own allowance, whatever it claims; without one the header says
 * nothing. */
static void test_throttle_behind_proxy(void **state)
{
    struct fixture *f = *state;
    f->config.rate_limit = true;
    f->config.rate_per_minute = 2;
    f->config.trusted_proxies = SLICE("10.0.0.0/8");
    fixture_restart(f);
    static const struct {
        const char *peer;
        const char *forwarded_for;
        int status;
    } CALLS[] = {
        {"10.0.0.1", "203.0.113.1", 200},          {"10.0.0.2", "1.1.1.1, 203.0.113.1", 200},
        {"10.0.0.1", "2.2.2.2, 203.0.113.1", 429}, {"10.0.0.1", "203.0.113.2", 200},
        {"192.0.2.9", "203.0.113.3", 200},         {"192.0.2.9", "203.0.113.4", 200},
        {"192.0.2.9", "203.0.113.5", 429},         {"10.0.0.1", "203.0.113.3", 200},
    };
    for (size_t i = 0; i < COUNT_OF(CALLS); i++) {
        struct call call = call_begin_from(f, CALLS[i].peer, METHOD_GET, "/health", NULL,
                                           HEADERS("X-Forwarded-For", CALLS[i].forwarded_for));
        gateway_run(f->gateway, call.x);
        assert_int_equal(call.x->reply.status, CALLS[i].status);
        call_end(&call);
    }
}

/* Only who speaks from this machine for itself is local: a proxy on it speaks for others. */
static void test_loopback(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *proxies;
        const char *peer;
        const char *header;
        const char *value;
        bool is_loopback;
        const char *address;
    } CALLS[] = {
        {"", "127.0.0.1", "Accept", "*/*", true, "127.0.0.1"},
        {"", "192.0.2.1", "Accept", "*/*", false, "192.0.2.1"},
        {"", "127.0.0.1", "X-Forwarded-For", "203.0.113.1", false, "127.0.0.1"},
        {"", "127.0.0.1", "X-Forwarded-For", "", false, "127.0.0.1"},
        {"", "127.0.0.1", "Forwarded", "for=203.0.113.1", false, "127.0.0.1"},
        {"127.0.0.1", "127.0.0.1", "Accept", "*/*", false, "127.0.0.1"},
        {"127.0.0.1", "127.0.0.1", "X-Forwarded-For", "203.0.113.1", false, "203.0.113.1"},
        {"127.0.0.1", "127.0.0.1", "X-Forwarded-For", "127.0.0.1", false, "127.0.0.1"},
        {"10.0.0.1", "127.0.0.1", "Accept", "*/*", true, "127.0.0.1"},
        {"10.0.0.1", "10.0.0.1", "X-Forwarded-For", "127.0.0.1", false, "127.0.0.1"},
    };
    for (size_t i = 0; i < COUNT_OF(CALLS); i++) {
        f->config.trusted_proxies = slice_from(CALLS[i].proxies);
        fixture_restart(f);
        struct call call = call_begin_from(f, CALLS[i].peer, METHOD_GET, "/health", NULL,
                                           HEADERS(CALLS[i].header, CALLS[i].value));
        assert_true(call.x->request.is_loopback == CALLS[i].is_loopback);
        assert_true(slice_is(call.x->request.address, CALLS[i].address));
        gateway_run(f->gateway, call.x);
        assert_int_equal(call.x->reply.status, 200);
        call_end(&call);
    }
}

static _Atomic int completions;

static void count_completion(struct exchange *x)
{
    (void)x;
    completions++;
}

/* More than the workers and their queue can take: the rest is refused at once, each exchange is completed
 * once. */
static void test_full_queue(void **state)
{
    struct fixture *f = *state;
    enum { WORKERS = 2, CALLS = WORKER_QUEUE_MAX + WORKERS + 3 };
    struct call *calls = calloc(CALLS, sizeof(*calls));
    assert_non_null(calls);
    completions = 0;
    for (int i = 0; i < CALLS; i++) {
        calls[i] = call_begin(f, METHOD_GET, "/gate", NULL, NULL);
        calls[i].x->complete = count_completion;
        assert_int_equal(gateway_handle(f->gateway, calls[i].x), GATEWAY_PENDING);
        if (i < WORKERS)
            sem_wait(&gate_reached); /* so that exactly the others wait in the queue */
    }
    assert_int_equal(completions, 3);
    /* one that matters more pushes the newest of the others out */
    struct call checkout = call_begin(f, METHOD_POST, "/orchestrated/1", "{\"amount\":1}", NULL);
    checkout.x->complete = count_completion;
    assert_int_equal(gateway_handle(f->gateway, checkout.x), GATEWAY_PENDING);
    assert_int_equal(completions, 4);
    for (int i = 0; i < CALLS + 1; i++)
        sem_post(&gate);
    while (completions != CALLS + 1)
        usleep(1000);
    int busy = 0;
    for (int i = 0; i < CALLS; i++) {
        gateway_finish(f->gateway, calls[i].x);
        int status = (int)calls[i].x->reply.status;
        assert_true(status == 200 || status == 503);
        if (status == 503)
            assert_string_equal(reply_header(&calls[i], "Retry-After"), "1");
        busy += status == 503;
        call_end(&calls[i]);
    }
    assert_int_equal(busy, 4);
    gateway_finish(f->gateway, checkout.x);
    assert_int_equal(checkout.x->reply.status, 200);
    call_end(&checkout);
    free(calls);
}

static int64_t metric_sum(const char *part)
{
    struct arena arena;
    struct buf out;
    assert_true(arena_init(&arena, 16 << 20));
    buf_init(&out, &arena);
    metrics_render(&out);
    buf_append_char(&out, '\0');
    long long value = 0;
    struct slice line_start = arena_format(&arena, "\n%s", part); /* not the HELP line */
    char *found = strstr(out.ptr, line_start.ptr);
    if (found != NULL)
        assert_int_equal(sscanf(found + line_start.len, " %lld", &value), 1);
    arena_release(&arena);
    return value;
}

static void test_metrics(void **state)
{
    struct fixture *f = *state;
    int64_t before = metric_sum("souk_http_requests_total{operation=\"health_get\",status=\"2xx\"}");
    int64_t unrouted = metric_sum("souk_http_requests_total{operation=\"none\",status=\"4xx\"}");
    int64_t observed = metric_sum("souk_http_request_duration_seconds_count{operation=\"health_get\"}");
    expect(f, METHOD_GET, "/health", NULL, NULL, 200, NULL);
    expect(f, METHOD_GET, "/nothing", NULL, NULL, 404, NULL);
    assert_int_equal(metric_sum("souk_http_requests_total{operation=\"health_get\",status=\"2xx\"}"),
                     before + 1);
    assert_int_equal(metric_sum("souk_http_requests_total{operation=\"none\",status=\"4xx\"}"), unrouted + 1);
    assert_int_equal(metric_sum("souk_http_request_duration_seconds_count{operation=\"health_get\"}"),
                     observed + 1);
    assert_int_equal(metric_sum("souk_http_requests_in_flight"), 0);
    assert_int_equal(metric_sum("souk_worker_queue_depth{pool=\"worker\"}"), 0);
}

/* ---- one makes what many ask for ---- */

#define JOINED "souk_response_cache_joined_total"
#define CROWD 8

/* The first of them stands at the gate when it returns, the others wait for it. */
static void crowd_start(struct fixture *f, struct background *crowd, const char *const *headers)
{
    int64_t joined = metric_sum(JOINED);
    for (size_t i = 0; i < CROWD; i++) {
        crowd[i] = (struct background){.fixture = f, .target = "/gated/1", .headers = headers};
        background_start(&crowd[i]);
        if (i == 0)
            sem_wait(&gate_reached);
    }
    while (metric_sum(JOINED) < joined + CROWD - 1)
        usleep(1000);
}

/* How many of them were answered so. */
static int crowd_end(struct background *crowd, int status)
{
    int count = 0;
    for (size_t i = 0; i < CROWD; i++) {
        pthread_join(crowd[i].thread, NULL);
        count += (int)crowd[i].call.x->reply.status == status;
        if (crowd[i].call.x->reply.status == HTTP_STATUS_OK) {
            assert_body_has(crowd[i].call, "{\"data\":{\"id\":1,\"value\":");
            assert_string_equal(reply_header(&crowd[i].call, "Cache-Control"),
                                "public, max-age=30, stale-while-revalidate=60");
            assert_non_null(reply_header(&crowd[i].call, "ETag"));
        }
        call_end(&crowd[i].call);
    }
    return count;
}

static void assert_nobody_at_the_gate(void)
{
    usleep(20000);
    assert_int_equal(sem_trywait(&gate_reached), -1);
}

static void test_single_flight(void **state)
{
    struct fixture *f = *state;
    struct background crowd[CROWD];
    crowd_start(f, crowd, NULL);
    /* what is something else does not wait */
    expect(f, METHOD_GET, "/counters/1", NULL, NULL, 200, NULL);
    assert_nobody_at_the_gate();
    sem_post(&gate);
    assert_int_equal(crowd_end(crowd, 200), CROWD);
    assert_int_equal(handler_calls, 2); /* with the other one */
    expect(f, METHOD_GET, "/gated/1", NULL, NULL, 200, NULL);
    assert_int_equal(handler_calls, 2);
}

/* Those who are logged in are one crowd with those who are not. */
static void test_single_flight_of_customers(void **state)
{
    struct fixture *f = *state;
    struct background crowd[CROWD];
    const char *bearer = fixture_bearer(f, fixture_user(f, "customer"), ROLE_CUSTOMER, NULL);
    struct background anonymous = {.fixture = f, .target = "/gated/1"};
    crowd_start(f, crowd, HEADERS("Authorization", bearer));
    int64_t joined = metric_sum(JOINED);
    background_start(&anonymous);
    while (metric_sum(JOINED) < joined + 1)
        usleep(1000);
    sem_post(&gate);
    assert_int_equal(crowd_end(crowd, 200), CROWD);
    pthread_join(anonymous.thread, NULL);
    assert_int_equal(anonymous.call.x->reply.status, 200);
    call_end(&anonymous.call);
    assert_int_equal(handler_calls, 1);
}

/* Whoever comes next tries, never two at once. */
static void test_single_flight_that_fails(void **state)
{
    struct fixture *f = *state;
    struct background crowd[CROWD];
    gated_failures = 3;
    crowd_start(f, crowd, NULL);
    for (int i = 0; i < 3; i++) {
        sem_post(&gate);
        sem_wait(&gate_reached);
        assert_nobody_at_the_gate();
    }
    sem_post(&gate);
    assert_int_equal(crowd_end(crowd, 500), 3);
    assert_int_equal(handler_calls, 4);
}

/* In turn they would wait for the same silence one after the other. */
static void test_single_flight_without_database(void **state)
{
    struct fixture *f = *state;
    struct background crowd[CROWD];
    gated_failures = 1;
    is_gated_away = true;
    crowd_start(f, crowd, NULL);
    sem_post(&gate);
    assert_int_equal(crowd_end(crowd, 503), CROWD);
    assert_int_equal(handler_calls, 1);
    sem_post(&gate);
    expect(f, METHOD_GET, "/gated/1", NULL, NULL, 200, NULL); /* who comes later tries anew */
}

/* A reply that was made while its subject was edited is for its own caller only. */
static void test_single_flight_that_raced(void **state)
{
    struct fixture *f = *state;
    struct background crowd[CROWD];
    crowd_start(f, crowd, NULL);
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":1}", NULL, 201, NULL);
    sem_post(&gate);
    sem_wait(&gate_reached);
    assert_nobody_at_the_gate();
    sem_post(&gate);
    assert_int_equal(crowd_end(crowd, 200), CROWD);
    assert_int_equal(handler_calls, 3); /* with the edit */
}

static void mark_completion(struct exchange *x)
{
    atomic_store((_Atomic bool *)x->transport, true);
}

/* As its transport would. */
static void finish_when_complete(struct fixture *f, struct exchange *x)
{
    while (!atomic_load((_Atomic bool *)x->transport))
        usleep(1000);
    gateway_finish(f->gateway, x);
}

/* Too many wait: further ones help themselves. */
static void test_single_flight_is_bounded(void **state)
{
    struct fixture *f = *state;
    enum { CALLS = FILL_WAITERS_MAX + 2 };
    struct call calls[CALLS];
    _Atomic bool is_complete[CALLS] = {false};
    for (int i = 0; i < CALLS; i++) {
        calls[i] = call_begin(f, METHOD_GET, "/gated/1", NULL, NULL);
        calls[i].x->complete = mark_completion;
        calls[i].x->transport = &is_complete[i];
        assert_int_equal(gateway_handle(f->gateway, calls[i].x), GATEWAY_PENDING);
        if (i == 0 || i == CALLS - 1)
            sem_wait(&gate_reached);
    }
    sem_post(&gate);
    sem_post(&gate);
    finish_when_complete(f, calls[0].x); /* the others wait for it, but for the last */
    for (int i = 1; i < CALLS; i++)
        finish_when_complete(f, calls[i].x);
    for (int i = 0; i < CALLS; i++) {
        assert_int_equal(calls[i].x->reply.status, 200);
        call_end(&calls[i]);
    }
    assert_int_equal(handler_calls, 2);
}

/* When the one that was to make it is pushed out of a full queue, those that wait for it are refused too. */
static void test_single_flight_is_pushed_out(void **state)
{
    struct fixture *f = *state;
    enum { WORKERS = 2, OTHERS = WORKERS + WORKER_QUEUE_MAX - 1, CALLS = OTHERS + CROWD };
    struct call *calls = calloc(CALLS, sizeof(*calls));
    assert_non_null(calls);
    completions = 0;
    for (int i = 0; i < CALLS; i++) {
        calls[i] = call_begin(f, METHOD_GET, i < OTHERS ? "/gate" : "/gated/1", NULL, NULL);
        calls[i].x->complete = count_completion;
        assert_int_equal(gateway_handle(f->gateway, calls[i].x), GATEWAY_PENDING);
        if (i < WORKERS)
            sem_wait(&gate_reached);
    }
    assert_int_equal(completions, 0);
    struct call checkout = call_begin(f, METHOD_POST, "/orchestrated/1", "{\"amount\":1}", NULL);
    checkout.x->complete = count_completion;
    assert_int_equal(gateway_handle(f->gateway, checkout.x), GATEWAY_PENDING);
    gateway_finish(f->gateway, calls[OTHERS].x);
    assert_int_equal(completions, CROWD);
    for (int i = OTHERS; i < CALLS; i++) {
        gateway_finish(f->gateway, calls[i].x);
        assert_int_equal(calls[i].x->reply.status, 503);
        assert_string_equal(reply_header(&calls[i], "Retry-After"), "1");
    }
    for (int i = 0; i < OTHERS + 1; i++)
        sem_post(&gate);
    while (completions < CALLS + 1)
        usleep(1000);
    gateway_finish(f->gateway, checkout.x);
    call_end(&checkout);
    for (int i = 0; i < CALLS; i++) {
        gateway_finish(f->gateway, calls[i].x);
        call_end(&calls[i]);
    }
    free(calls);
}

/* ---- what is stale ---- */

static void assert_served(struct fixture *f, const char *target, const char *part, bool is_at_once)
{
    struct call call = call_begin(f, METHOD_GET, target, NULL, NULL);
    _Atomic bool is_complete = false;
    call.x->complete = mark_completion;
    call.x->transport = &is_complete;
    if (gateway_handle(f->gateway, call.x) == GATEWAY_PENDING) {
        assert_false(is_at_once);
        finish_when_complete(f, call.x);
    }
    assert_int_equal(call.x->reply.status, 200);
    assert_body_has(call, part);
    if (is_at_once)
        assert_non_null(reply_header(&call, "Age"));
    call_end(&call);
}

/* Puts the reply into the cache and lets its time pass. */
static void make_stale(struct fixture *f, const char *target)
{
    sem_post(&gate);
    expect(f, METHOD_GET, target, NULL, NULL, 200, NULL);
    sem_wait(&gate_reached);
    usleep(1050000);
}

static void wait_for_metric(const char *name, int64_t value)
{
    for (int i = 0; i < 5000 && metric_sum(name) < value; i++)
        usleep(1000);
    assert_int_equal(metric_sum(name), value);
}

#define REFRESHED "souk_response_cache_refreshes_total"

/* What is stale is given out at once, by whomever it is asked for, while one request makes it anew. */
static void test_stale_while_revalidate(void **state)
{
    struct fixture *f = *state;
    make_stale(f, "/brief/1");
    fixture_write(f, &COUNTER_ADD, DB_ARGS(db_int(1), db_int(1))); /* nobody tells the cache of it */
    int64_t refreshes = metric_sum(REFRESHED);
    for (int i = 0; i < 5; i++)
        assert_served(f, "/brief/1", "\"value\":5", true);
    sem_wait(&gate_reached); /* one asks the database, ... */
    assert_nobody_at_the_gate();
    assert_int_equal(metric_sum(REFRESHED), refreshes + 1);
    struct call stale = call_make(f, METHOD_GET, "/brief/1", NULL, NULL);
    assert_string_equal(reply_header(&stale, "Age"), "1");
    assert_string_equal(reply_header(&stale, "Cache-Control"),
                        "public, max-age=1, stale-while-revalidate=60");
    call_end(&stale);
    sem_post(&gate); /* ... and has the answer */
    for (int i = 0; i < 1000; i++) {
        struct call call = call_make(f, METHOD_GET, "/brief/1", NULL, NULL);
        bool is_new = contains(call.x->reply.body, "\"value\":6");
        call_end(&call);
        if (is_new)
            return;
        usleep(1000);
    }
    fail_msg("the reply was not made anew");
}

/* A refresh that fails changes nothing; after a second the next one is tried. */
static void test_stale_and_failing(void **state)
{
    struct fixture *f = *state;
    make_stale(f, "/brief/1");
    gated_failures = 1;
    assert_served(f, "/brief/1", "\"value\":5", true);
    sem_wait(&gate_reached);
    sem_post(&gate);
    while (gated_failures > 0)
        usleep(1000);
    assert_served(f, "/brief/1", "\"value\":5", true);
    assert_nobody_at_the_gate();
    usleep(1050000);
    assert_served(f, "/brief/1", "\"value\":5", true);
    sem_wait(&gate_reached);
    sem_post(&gate);
}

/* What was edited is never shown again, however stale the alternative. */
static void test_dropped_is_not_stale(void **state)
{
    struct fixture *f = *state;
    make_stale(f, "/brief/1");
    expect(f, METHOD_POST, "/counters/1", "{\"amount\":1}", NULL, 201, NULL);
    sem_post(&gate);
    assert_served(f, "/brief/1", "\"value\":6", false);
}

static struct db *connect_to_nothing(struct store *store)
{
    (void)store;
    return NULL;
}

/* Elsewhere only: what is stale stands in for a database that is away, what is not there is 503. */
static void test_stale_while_away(void **state)
{
    struct fixture *f = *state;
    make_stale(f, "/brief/1");
    f->elsewhere.driver.connect = connect_to_nothing;
    fixture_restart(f);
    for (int i = 0; i < 3; i++)
        assert_served(f, "/brief/1", "\"value\":5", true);
    expect(f, METHOD_GET, "/brief/2", NULL, NULL, 503, "UNAVAILABLE");
    cache_drop_tag(f->cache, SLICE("counter:01000000-0000-0000-0000-000000000000"));
    expect(f, METHOD_GET, "/brief/1", NULL, NULL, 503, "UNAVAILABLE");
}

/* An administrator may have a reply made anew; nobody else can. */
static void test_refresh_by_admin(void **state)
{
    struct fixture *f = *state;
    const char *admin = fixture_bearer(f, fixture_user(f, "admin"), ROLE_ADMIN, NULL);
    const char *staff = fixture_bearer(f, fixture_user(f, "staff"), ROLE_STAFF, NULL);
    expect(f, METHOD_GET, "/counters/1", NULL, NULL, 200, NULL);
    expect(f, METHOD_GET, "/counters/2", NULL, NULL, 200, NULL);
    fixture_write(f, &COUNTER_ADD, DB_ARGS(db_int(1), db_int(1))); /* nobody tells the cache of it */
    expect(f, METHOD_GET, "/counters/1", NULL, HEADERS("Cache-Control", "no-cache"), 200, NULL);
    expect(f, METHOD_GET, "/counters/1", NULL, HEADERS("Cache-Control", "no-cache", "Authorization", staff),
           200, NULL);
    expect(f, METHOD_GET, "/counters/1", NULL, HEADERS("Authorization", admin), 200, NULL);
    assert_served(f, "/counters/1", "\"value\":5", true);
    int64_t refreshes = metric_sum(REFRESHED);
    expect(f, METHOD_GET, "/counters/1", NULL,
           HEADERS("Cache-Control", "max-age=0, no-cache", "Authorization", admin), 200, NULL);
    wait_for_metric(REFRESHED, refreshes + 1);
    struct call call = call_make(f, METHOD_GET, "/counters/1", NULL, NULL);
    assert_body_has(call, "\"value\":6");
    call_end(&call);
    assert_served(f, "/counters/2", "\"value\":5", true); /* another entry */
}

/* ---- codings ---- */

#define COMPRESSED "souk_response_cache_compressed_total"

static void test_codings(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *accept;
        const char *suffix;
    } codings[] = {{"gzip", "-gzip\""}, {"br, gzip", "-br\""}};
    struct call plain = call_make(f, METHOD_GET, "/large/9", NULL, NULL);
    const char *etag = reply_header(&plain, "ETag");
    assert_string_equal(reply_header(&plain, "Vary"), "Authorization, X-Api-Key, Accept-Encoding");
    for (size_t i = 0; i < COUNT_OF(codings); i++) {
        const char *const *headers = HEADERS("Accept-Encoding", codings[i].accept);
        int64_t compressed = metric_sum(COMPRESSED);
        struct call first = call_make(f, METHOD_GET, "/large/9", NULL, headers);
        assert_null(reply_header(&first, "Content-Encoding")); /* it is made meanwhile */
        assert_true(slice_equals(first.x->reply.body, plain.x->reply.body));
        call_end(&first);
        wait_for_metric(COMPRESSED, compressed + 1);
        struct call call = call_make(f, METHOD_GET, "/large/9", NULL, headers);
        for (int tries = 0; reply_header(&call, "Content-Encoding") == NULL && tries < 1000; tries++) {
            call_end(&call);
            usleep(1000);
            call = call_make(f, METHOD_GET, "/large/9", NULL, headers);
        }
        assert_int_equal(strncmp(reply_header(&call, "Content-Encoding"), codings[i].accept, 2), 0);
        assert_in_range(call.x->reply.body.len, 1, plain.x->reply.body.len / 2);
        assert_string_equal(reply_header(&call, "Vary"), "Authorization, X-Api-Key, Accept-Encoding");
        char coded[80];
        snprintf(coded, sizeof(coded), "%.*s%s", (int)strlen(etag) - 1, etag, codings[i].suffix);
        assert_string_equal(reply_header(&call, "ETag"), coded);
        call_end(&call);
        /* whichever the client has is as good */
        const char *const known[] = {etag, coded};
        for (size_t j = 0; j < 2; j++) {
            struct call same =
                call_make(f, METHOD_GET, "/large/9", NULL,
                          HEADERS("Accept-Encoding", codings[i].accept, "If-None-Match", known[j]));
            assert_int_equal(same.x->reply.status, 304);
            assert_string_equal(reply_header(&same, "ETag"), known[j]);
            assert_null(reply_header(&same, "Content-Encoding"));
            call_end(&same);
        }
        assert_int_equal(metric_sum(COMPRESSED), compressed + 1); /* once */
    }
    struct call refused =
        call_make(f, METHOD_GET, "/large/9", NULL, HEADERS("Accept-Encoding", "br;q=0, gzip;q=0"));
    assert_null(reply_header(&refused, "Content-Encoding"));
    assert_string_equal(reply_header(&refused, "ETag"), etag);
    call_end(&refused);
    call_end(&plain);
    assert_int_equal(handler_calls, 1);
}

static void test_what_is_not_coded(void **state)
{
    struct fixture *f = *state;
    const char *const *headers = HEADERS("Accept-Encoding", "gzip");
    int64_t compressed = metric_sum(COMPRESSED);
    static const char *const targets[] = {"/large/1", "/counters/1", "/workers/counters/1",
                                          "/page"}; /* small, or not kept */
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        for (int j = 0; j < 3; j++) {
            struct call call = call_make(f, METHOD_GET, targets[i], NULL, headers);
            assert_null(reply_header(&call, "Content-Encoding"));
            call_end(&call);
        }
    }
    assert_int_equal(metric_sum(COMPRESSED), compressed);
}

/* ---- a database on another machine ---- */

/* What a transport's thread answers itself, and what it leaves to a worker. */
static enum gateway_progress progress_of(struct fixture *f, const char *target, const char *const *headers,
                                         int status)
{
    struct call call = call_begin(f, METHOD_GET, target, NULL, headers);
    int before = completions;
    call.x->complete = count_completion;
    enum gateway_progress progress = gateway_handle(f->gateway, call.x);
    while (progress == GATEWAY_PENDING && completions == before)
        usleep(1000);
    gateway_finish(f->gateway, call.x);
    assert_int_equal(call.x->reply.status, status);
    call_end(&call);
    return progress;
}

static void test_elsewhere(void **state)
{
    struct fixture *f = *state;
    const char *bearer = fixture_bearer(f, fixture_user(f, "customer"), ROLE_CUSTOMER, NULL);
    const char *const *customer = HEADERS("Authorization", bearer);
    assert_int_equal(progress_of(f, "/counters/1", NULL, 200), GATEWAY_PENDING);
    assert_int_equal(progress_of(f, "/counters/1", NULL, 200), GATEWAY_ANSWERED); /* from memory */
    assert_int_equal(progress_of(f, "/page", NULL, 200), GATEWAY_ANSWERED);
    assert_int_equal(progress_of(f, "/nothing", customer, 404), GATEWAY_ANSWERED);
    assert_int_equal(progress_of(f, "/counters/me", NULL, 401), GATEWAY_ANSWERED);
    assert_int_equal(progress_of(f, "/counters/x", NULL, 400), GATEWAY_ANSWERED);
    assert_int_equal(progress_of(f, "/counters/1", customer, 200), GATEWAY_PENDING);
    assert_int_equal(progress_of(f, "/counters/me", customer, 200), GATEWAY_PENDING);
    assert_int_equal(progress_of(f, "/counters/me", HEADERS("Authorization", "Bearer x"), 401),
                     GATEWAY_PENDING);
    assert_int_equal(handler_calls, 1);
    /* once known, for a second, from this process's memory: then a reply from the cache needs no worker */
    enum gateway_progress progress = GATEWAY_PENDING;
    for (int tries = 0; tries < 20 && progress == GATEWAY_PENDING; tries++)
        progress = progress_of(f, "/counters/1", customer, 200);
    assert_int_equal(progress, GATEWAY_ANSWERED);
    assert_int_equal(handler_calls, 1);
}

/* Reads that wait while both workers are held leave together, and each has its own answer. */
static void test_gathered_reads(void **state)
{
    struct fixture *f = *state;
    enum { WORKERS = 2, READS = 40 };
    struct call held[WORKERS];
    struct call reads[READS];
    completions = 0;
    for (int i = 0; i < WORKERS; i++) {
        held[i] = call_begin(f, METHOD_GET, "/gate", NULL, NULL);
        held[i].x->complete = count_completion;
        assert_int_equal(gateway_handle(f->gateway, held[i].x), GATEWAY_PENDING);
        sem_wait(&gate_reached);
    }
    for (int i = 0; i < READS; i++) {
        char target[32];
        snprintf(target, sizeof(target), "/counters/%d", i);
        reads[i] = call_begin(f, METHOD_GET, target, NULL, NULL);
        reads[i].x->complete = count_completion;
        assert_int_equal(gateway_handle(f->gateway, reads[i].x), GATEWAY_PENDING);
    }
    assert_int_equal(completions, 0);
    for (int i = 0; i < WORKERS; i++)
        sem_post(&gate);
    while (completions < WORKERS + READS)
        usleep(1000);
    for (int i = 0; i < READS; i++) {
        gateway_finish(f->gateway, reads[i].x);
        bool is_there = i < 4; /* the fixture has so many counters */
        assert_int_equal(reads[i].x->reply.status, is_there ? 200 : 404);
        if (is_there)
            assert_body_has(reads[i], arena_format(reads[i].arena, "\"id\":%d,", i).ptr);
        call_end(&reads[i]);
    }
    for (int i = 0; i < WORKERS; i++) {
        gateway_finish(f->gateway, held[i].x);
        call_end(&held[i]);
    }
}

static void test_database_is_away(void **state)
{
    struct fixture *f = *state;
    const char *bearer = fixture_bearer(f, fixture_user(f, "customer"), ROLE_CUSTOMER, NULL);
    expect(f, METHOD_GET, "/counters/1", NULL, NULL, 200, NULL);
    struct db *(*connect)(struct store *) = f->elsewhere.driver.connect;
    f->elsewhere.driver.connect = connect_to_nothing;
    fixture_restart(f);
    static const struct {
        enum http_method method;
        const char *target;
    } asking[] = {{METHOD_GET, "/counters/2"},
                  {METHOD_GET, "/workers/counters/1"},
                  {METHOD_POST, "/login"},
                  {METHOD_POST, "/orphans"},
                  {METHOD_GET, "/gated/1"}};
    for (size_t i = 0; i < COUNT_OF(asking); i++) {
        struct call call = call_make(f, asking[i].method, asking[i].target, NULL, NULL);
        assert_int_equal(call.x->reply.status, 503);
        assert_string_equal(reply_header(&call, "Retry-After"), "1");
        call_end(&call);
    }
    expect(f, METHOD_GET, "/counters/me", NULL, HEADERS("Authorization", bearer), 503, "UNAVAILABLE");
    expect(f, METHOD_GET, "/counters/1", NULL, NULL, 200, NULL); /* memory, and what is in this process */
    expect(f, METHOD_GET, "/page", NULL, NULL, 200, NULL);
    f->elsewhere.driver.connect = connect;
    expect(f, METHOD_GET, "/counters/2", NULL, NULL, 200, NULL); /* by itself again */
}

int main(void)
{
/* Everything holds on both kinds of engine: where a transport's thread reads the database itself, and where
 * only workers ask it. */
#define TEST(name)                                                                                           \
    cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end),                                       \
    {                                                                                                        \
#name " elsewhere", name, fixture_begin_elsewhere, fixture_end, NULL                                 \
    }
    const struct CMUnitTest tests[] = {
        TEST(test_routes),
        TEST(test_methods),
        TEST(test_request_id),
        TEST(test_headers_that_may_stand_once),
        TEST(test_body_and_media_types),
        TEST(test_authentication),
        TEST(test_authorization),
        TEST(test_wrapping),
        TEST(test_fields),
        TEST(test_entity_tags),
        TEST(test_cache),
        TEST(test_transactions),
        TEST(test_deferred_constraint),
        TEST(test_commit_fails),
        TEST(test_if_match),
        TEST(test_idempotency),
        TEST(test_idempotency_while_running),
        TEST(test_idempotency_race),
        TEST(test_throttle),
        TEST(test_throttle_of_user),
        TEST(test_throttle_behind_proxy),
        TEST(test_loopback),
        TEST(test_full_queue),
        TEST(test_metrics),
        TEST(test_single_flight),
        TEST(test_stale_while_revalidate),
        TEST(test_stale_and_failing),
        TEST(test_dropped_is_not_stale),
        TEST(test_refresh_by_admin),
        TEST(test_codings),
        TEST(test_what_is_not_coded),
        TEST(test_single_flight_of_customers),
        TEST(test_single_flight_that_fails),
        TEST(test_single_flight_without_database),
        TEST(test_single_flight_that_raced),
        TEST(test_single_flight_is_bounded),
        TEST(test_single_flight_is_pushed_out),
        cmocka_unit_test_setup_teardown(test_elsewhere, fixture_begin_elsewhere, fixture_end),
        cmocka_unit_test_setup_teardown(test_gathered_reads, fixture_begin_elsewhere, fixture_end),
        cmocka_unit_test_setup_teardown(test_stale_while_away, fixture_begin_elsewhere, fixture_end),
        cmocka_unit_test_setup_teardown(test_database_is_away, fixture_begin_elsewhere, fixture_end),
    };
    fault_vfs_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
