/* What the tests of http/ share: a migrated store on either engine (data/store.h), and a small shop of
 * counters whose operations take every way through the gateway. */
#pragma once

#include "data/store.h"

#include "auth/roles.h"
#include "auth/session.h"
#include "auth/token.h"
#include "data/elsewhere.h"
#include "http/gateway.h"
#include "http/idempotency.h"
#include "http/page.h"

#include <pthread.h>
#include <semaphore.h>

#define SECRET SLICE("a secret of the tests, long enough")

struct fixture {
    struct arena arena;
    struct test_store at;
    struct store *store;
    struct elsewhere elsewhere;
    bool is_elsewhere;
    struct db *db;
    struct cache *cache;
    struct key_ring *keys;
    struct config config;
    struct services services;
    struct gateway *gateway;
};

/* ---- the small shop ---- */

DB_STATEMENT(COUNTERS_MAKE) = {
    .sql = "CREATE TABLE counters (id INTEGER PRIMARY KEY, value INTEGER NOT NULL CHECK (value < 1000))",
};
DB_STATEMENT(COUNTER_INSERT) = {
    .sql = "INSERT INTO counters (id, value) VALUES ($1, $2)",
    .params = {DB_INT, DB_INT},
};
DB_STATEMENT(COUNTER_ADD) = {
    .sql = "UPDATE counters SET value = value + $2 WHERE id = $1",
    .params = {DB_INT, DB_INT},
};
DB_STATEMENT(COUNTER_VALUE) = {
    .sql = "SELECT value FROM counters WHERE id = $1",
    .params = {DB_INT},
    .columns = {DB_INT},
};
/* What only COMMIT finds out. */
DB_STATEMENT(ORPHANS_MAKE) = {
    .sql =
        "CREATE TABLE orphans (parent INTEGER NOT NULL REFERENCES counters (id) DEFERRABLE INITIALLY DEFERRED)",
};
DB_STATEMENT(ORPHAN_INSERT) = {
    .sql = "INSERT INTO orphans (parent) VALUES ($1)",
    .params = {DB_INT},
};
DB_STATEMENT(FIXTURE_USER) = {
    .sql = "INSERT INTO users (id, email, email_folded, role, created_at, updated_at)"
           " VALUES ($1, $2, $2, $3, $4, $4)",
    .params = {DB_UUID, DB_TEXT, DB_TEXT, DB_TIME},
};
DB_STATEMENT(FIXTURE_USER_ROLE) = {
    .sql = "UPDATE users SET role = $2 WHERE id = $1",
    .params = {DB_UUID, DB_TEXT},
};

struct counter_input {
    int64_t id;
};
static const struct field_rule COUNTER_PATH[] = {
    {.name = "id", .kind = FIELD_INTEGER, .is_required = true, .minimum = 0, .maximum = 100},
};
static const struct input_rule COUNTER_RULE = {
    .size = sizeof(struct counter_input), .path = COUNTER_PATH, .path_count = 1};

struct fields_input {
    struct slice fields;
    struct slice sort;
};
static const struct field_rule FIELDS_QUERY[] = {
    {.name = "fields", .kind = FIELD_TEXT, .offset = offsetof(struct fields_input, fields), .maximum = 200},
    {.name = "sort", .kind = FIELD_TEXT, .offset = offsetof(struct fields_input, sort), .maximum = 200},
};
static const struct input_rule FIELDS_RULE = {
    .size = sizeof(struct fields_input), .query = FIELDS_QUERY, .query_count = 2};

struct amount_input {
    int64_t id;
    int64_t amount;
};
static const struct field_rule AMOUNT_PATH[] = {
    {.name = "id", .kind = FIELD_INTEGER, .is_required = true, .minimum = 0, .maximum = 100},
};
static const struct field_rule AMOUNT_FIELDS[] = {
    {.name = "amount",
     .kind = FIELD_INTEGER,
     .is_required = true,
     .offset = offsetof(struct amount_input, amount),
     .minimum = 0,
     .maximum = 5000},
};
static const struct object_rule AMOUNT_BODY = {.fields = AMOUNT_FIELDS, .count = 1};
static const struct input_rule AMOUNT_RULE = {.size = sizeof(struct amount_input),
                                              .path = AMOUNT_PATH,
                                              .path_count = 1,
                                              .body = &AMOUNT_BODY,
                                              .body_is_required = true};
static const struct input_rule NOTHING_RULE = {.size = 0};

/* Handlers wait here when a test wants to look at what happens meanwhile. */
static sem_t gate;         /* a waiting handler goes on when it is posted */
static sem_t gate_reached; /* posted by each handler that waits */
static _Atomic int handler_calls;
static struct metric ADDED = METRIC("souk_test_added_total", "Test", NULL, METRIC_COUNTER);

static enum http_status write_counter(struct request *request, struct response *response, int64_t id)
{
    int64_t value;
    enum db_result result = db_one_int(request->db, &COUNTER_VALUE, DB_ARGS(db_int(id)), &value);
    if (result == DB_DONE)
        return problem(response, PROBLEM_NOT_FOUND, "No counter %lld", (long long)id);
    if (result != DB_ROW)
        return problem_database(response, result);
    struct json_writer *json = &response->json;
    json_object_begin(json);
    json_field_int(json, "id", id);
    json_field_int(json, "value", value);
    json_field_string(json, "note", SLICE("a \"quoted\" {note}, [with] commas"));
    json_object_end(json);
    response_version(response, value);
    return HTTP_STATUS_OK;
}

static enum http_status counter_get(struct request *request, struct response *response)
{
    handler_calls++;
    const struct counter_input *input = request->input;
    response_tag(response, "counter", (struct uuid){{(uint8_t)input->id}});
    return write_counter(request, response, input->id);
}

static void counter_expect(const struct request *request)
{
    const struct counter_input *input = request->input;
    db_expect(request->db, &COUNTER_VALUE, DB_ARGS(db_int(input->id)));
}

static enum http_status counters_list(struct request *request, struct response *response)
{
    handler_calls++;
    json_array_begin(&response->json);
    for (int i = 0; i < 3; i++) {
        json_object_begin(&response->json);
        json_field_int(&response->json, "id", i);
        json_field_string(&response->json, "name", SLICE("n"));
        if (i == 1)
            json_field_int(&response->json, "extra", 7);
        json_object_end(&response->json);
    }
    json_array_end(&response->json);
    struct cursor_scope scope;
    cursor_scope_init(&scope, request->operation);
    response_page(response, 3,
                  cursor_make(request, &scope, &(struct db_value){.type = DB_INT, .integer = 2}, 1));
    response_page_total(response, 10001);
    return HTTP_STATUS_OK;
}

/* Adds, then says 409 when the amount is 13, and aborts its statement (CHECK) above 999: both must leave
 * nothing. */
static enum http_status counter_add(struct request *request, struct response *response)
{
    handler_calls++;
    const struct amount_input *input = request->input;
    enum http_status refused = response_precondition(response, request, 5);
    if (refused)
        return refused;
    enum db_result result =
        db_change(request->db, &COUNTER_ADD, DB_ARGS(db_int(input->id), db_int(input->amount)));
    if (result != DB_DONE)
        return problem_database(response, result);
    if (input->amount == 13) {
        enum http_status status = problem(response, PROBLEM_OUT_OF_STOCK, "Unlucky");
        problem_extra_string(response, "orderNumber", SLICE("SK-1"));
        return status;
    }
    response_drop_id(response, "counter", (struct uuid){{(uint8_t)input->id}});
    response_count(response, &ADDED, input->amount);
    response_header(response, "Location", SLICE("/counters/1"));
    enum http_status status = write_counter(request, response, input->id);
    return status == HTTP_STATUS_OK ? HTTP_STATUS_CREATED : status;
}

/* All is well until the commit. */
static enum http_status orphan_add(struct request *request, struct response *response)
{
    handler_calls++;
    enum db_result result = db_run(request->db, &ORPHAN_INSERT, DB_ARGS(db_int(777)));
    if (result != DB_DONE)
        return problem_database(response, result);
    response_count(response, &ADDED, 1);
    response_drop(response, "counters");
    response_header(response, "Location", SLICE("/orphans/1"));
    json_object_begin(&response->json);
    json_object_end(&response->json);
    return HTTP_STATUS_CREATED;
}

static enum db_result add_closure(struct db *db, void *arg)
{
    const struct amount_input *input = arg;
    return db_change(db, &COUNTER_ADD, DB_ARGS(db_int(input->id), db_int(input->amount)));
}

/* Waits at the gate between its start and its own transaction. */
static enum http_status counter_orchestrate(struct request *request, struct response *response)
{
    handler_calls++;
    struct amount_input input = *(const struct amount_input *)request->input;
    sem_post(&gate_reached);
    sem_wait(&gate);
    enum db_result result = db_transaction(request->db, add_closure, &input);
    if (result != DB_DONE)
        return problem_database(response, result);
    return write_counter(request, response, input.id);
}

static enum http_status gate_wait(struct request *request, struct response *response)
{
    (void)request;
    handler_calls++;
    sem_post(&gate_reached);
    sem_wait(&gate);
    json_object_begin(&response->json);
    json_object_end(&response->json);
    return HTTP_STATUS_OK;
}

static _Atomic int gated_failures; /* so many of them fail */
static _Atomic bool is_gated_away; /* and do so as when the database is away */

/* A reply for everyone that takes a while to make. */
static enum http_status gated_get(struct request *request, struct response *response)
{
    handler_calls++;
    const struct counter_input *input = request->input;
    sem_post(&gate_reached);
    sem_wait(&gate);
    if (gated_failures > 0) {
        gated_failures--;
        if (is_gated_away)
            return problem_database(response, DB_ERROR);
        return problem(response, PROBLEM_INTERNAL_ERROR, "Unlucky");
    }
    response_tag(response, "counter", (struct uuid){{(uint8_t)input->id}});
    return write_counter(request, response, input->id);
}

/* So many numbers as its id times a hundred. */
static enum http_status large_get(struct request *request, struct response *response)
{
    handler_calls++;
    const struct counter_input *input = request->input;
    response_tag(response, "counter", (struct uuid){{(uint8_t)input->id}});
    json_array_begin(&response->json);
    for (int64_t i = 0; i < input->id * 100; i++)
        json_int(&response->json, i);
    json_array_end(&response->json);
    response_version(response, 7);
    return HTTP_STATUS_OK;
}

static enum http_status whoami(struct request *request, struct response *response)
{
    json_text(&response->json, slice_from(role_name(request->principal.role)));
    return HTTP_STATUS_OK;
}

static enum http_status counter_delete(struct request *request, struct response *response)
{
    (void)request;
    (void)response;
    return HTTP_STATUS_NO_CONTENT;
}

static enum http_status page_get(struct request *request, struct response *response)
{
    (void)request;
    response->content_type = "text/plain; charset=utf-8";
    buf_append(&response->body, SLICE("plain"));
    return HTTP_STATUS_OK;
}

/* More than an arena holds. */
static enum http_status huge_get(struct request *request, struct response *response)
{
    (void)request;
    static char block[1 << 20];
    memset(block, 'x', sizeof(block));
    json_array_begin(&response->json);
    for (int i = 0; i < 20; i++)
        json_text(&response->json, (struct slice){block, sizeof(block)});
    json_array_end(&response->json);
    return HTTP_STATUS_OK;
}

static enum http_status health_get(struct request *request, struct response *response)
{
    (void)request;
    json_object_begin(&response->json);
    json_field_string(&response->json, "status", SLICE("ok"));
    json_object_end(&response->json);
    return HTTP_STATUS_OK;
}

#define ADD_RULES                                                                                            \
    .input = &AMOUNT_RULE, .access = ACCESS_ANYONE, .rate_class = RATE_WRITE, .body_limit = 200,             \
    .accepts_idempotency_key = true

static const struct operation SMALL_SHOP[] = {
    {.name = "counters_list",
     .method = METHOD_GET,
     .path = "/counters",
     .handler = counters_list,
     .input = &FIELDS_RULE,
     .access = ACCESS_PUBLIC,
     .execution = EXECUTION_INLINE,
     .selects_fields = true,
     .cache_seconds = 300,
     .cache_tags = {"counters"}},
    {.name = "counter_get",
     .method = METHOD_GET,
     .path = "/counters/{id}",
     .handler = counter_get,
     .expect = counter_expect,
     .input = &COUNTER_RULE,
     .access = ACCESS_PUBLIC,
     .execution = EXECUTION_INLINE,
     .cache_seconds = 30},
    {.name = "counter_read",
     .method = METHOD_GET,
     .path = "/workers/counters/{id}",
     .handler = counter_get,
     .input = &COUNTER_RULE,
     .access = ACCESS_ANYONE,
     .execution = EXECUTION_WORKER},
    {.name = "counter_add",
     .method = METHOD_POST,
     .path = "/counters/{id}",
     .handler = counter_add,
     ADD_RULES,
     .execution = EXECUTION_TRANSACTION,
     .accepts_if_match = true},
    {.name = "counter_orchestrate",
     .method = METHOD_POST,
     .path = "/orchestrated/{id}",
     .handler = counter_orchestrate,
     ADD_RULES,
     .execution = EXECUTION_ORCHESTRATED,
     .priority = PRIORITY_CHECKOUT},
    {.name = "orphan_add",
     .method = METHOD_POST,
     .path = "/orphans",
     .handler = orphan_add,
     .input = &NOTHING_RULE,
     .access = ACCESS_ANYONE,
     .execution = EXECUTION_TRANSACTION,
     .accepts_idempotency_key = true},
    {.name = "counter_delete",
     .method = METHOD_DELETE,
     .path = "/counters/{id}",
     .handler = counter_delete,
     .input = &COUNTER_RULE,
     .access = ACCESS_STAFF,
     .scope = SCOPE_CATALOGUE_WRITE,
     .execution = EXECUTION_TRANSACTION},
    {.name = "gate_wait",
     .method = METHOD_GET,
     .path = "/gate",
     .handler = gate_wait,
     .input = &NOTHING_RULE,
     .access = ACCESS_ANYONE,
     .execution = EXECUTION_WORKER},
    {.name = "gated_get",
     .method = METHOD_GET,
     .path = "/gated/{id}",
     .handler = gated_get,
     .input = &COUNTER_RULE,
     .access = ACCESS_PUBLIC,
     .execution = EXECUTION_WORKER,
     .cache_seconds = 30},
    {.name = "brief_get",
     .method = METHOD_GET,
     .path = "/brief/{id}",
     .handler = gated_get,
     .input = &COUNTER_RULE,
     .access = ACCESS_PUBLIC,
     .execution = EXECUTION_WORKER,
     .cache_seconds = 1},
    {.name = "large_get",
     .method = METHOD_GET,
     .path = "/large/{id}",
     .handler = large_get,
     .input = &COUNTER_RULE,
     .access = ACCESS_PUBLIC,
     .execution = EXECUTION_INLINE,
     .cache_seconds = 30},
    {.name = "whoami",
     .method = METHOD_GET,
     .path = "/counters/me",
     .handler = whoami,
     .input = &NOTHING_RULE,
     .access = ACCESS_CUSTOMER,
     .execution = EXECUTION_INLINE},
    {.name = "login",
     .method = METHOD_POST,
     .path = "/login",
     .handler = health_get,
     .input = &NOTHING_RULE,
     .access = ACCESS_ANYONE,
     .execution = EXECUTION_PASSWORD,
     .rate_class = RATE_LOGIN},
    {.name = "page_get",
     .method = METHOD_GET,
     .path = "/page",
     .handler = page_get,
     .input = &NOTHING_RULE,
     .access = ACCESS_PUBLIC,
     .execution = EXECUTION_INLINE,
     .needs_no_database = true,
     .is_bare = true},
    {.name = "huge_get",
     .method = METHOD_GET,
     .path = "/huge",
     .handler = huge_get,
     .input = &NOTHING_RULE,
     .access = ACCESS_ANYONE,
     .execution = EXECUTION_INLINE},
    {.name = "health_get",
     .method = METHOD_GET,
     .path = "/health",
     .handler = health_get,
     .input = &NOTHING_RULE,
     .access = ACCESS_PUBLIC,
     .execution = EXECUTION_INLINE},
};

/* ---- the fixture ---- */

static inline void fixture_open(struct fixture *fixture)
{
    sem_init(&gate, 0, 0);
    sem_init(&gate_reached, 0, 0);
    handler_calls = 0;
    gated_failures = 0;
    is_gated_away = false;
    assert_true(arena_init(&fixture->arena, (size_t)64 << 20));
    test_store_make(&fixture->at, "http", true);
    fixture->store = test_store_open(&fixture->at, &fixture->arena);
    fixture->db = store_connect(fixture->store);
    assert_non_null(fixture->db);
    fixture->cache = cache_new(1 << 20);
    fixture->config = (struct config){.workers = 2,
                                      .request_timeout_ms = 10000,
                                      .rate_limit = false,
                                      .rate_per_minute = 100,
                                      .rate_write_per_minute = 50,
                                      .rate_login_per_minute = 20,
                                      .rate_checkout_per_minute = 60,
                                      .rate_whole_per_second = 10000,
                                      .rate_whole_burst = 20000,
                                      .trusted_proxies = SLICE("")};
    fixture->services = (struct services){.config = &fixture->config,
                                          .store = fixture->store,
                                          .cache = fixture->cache,
                                          .operations = {SMALL_SHOP, COUNT_OF(SMALL_SHOP)},
                                          .started_at_ms = clock_now_ms()};
    memset(fixture->services.cursor_key, 7, sizeof(fixture->services.cursor_key));
}

static inline void fixture_write(struct fixture *fixture, const struct db_statement *statement,
                                 struct db_args args)
{
    test_write(fixture->db, statement, args);
}

static inline int fixture_make(void **state, bool is_elsewhere)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    *state = fixture;
    fixture_open(fixture);
    fixture->is_elsewhere = is_elsewhere;
    if (is_elsewhere)
        elsewhere_begin(&fixture->elsewhere, fixture->store);
    fixture_write(fixture, &COUNTERS_MAKE, DB_NO_ARGS);
    fixture_write(fixture, &ORPHANS_MAKE, DB_NO_ARGS);
    for (int64_t id = 0; id < 4; id++)
        fixture_write(fixture, &COUNTER_INSERT, DB_ARGS(db_int(id), db_int(5)));
    fixture->gateway = gateway_new(&fixture->services);
    assert_non_null(fixture->gateway);
    return 0;
}

static inline int fixture_begin(void **state)
{
    return fixture_make(state, false);
}

static inline int fixture_begin_elsewhere(void **state)
{
    return fixture_make(state, true);
}

/* Starts the gateway again, with settings that the test has changed. */
static inline void fixture_restart(struct fixture *fixture)
{
    gateway_free(fixture->gateway);
    fixture->gateway = gateway_new(&fixture->services);
    assert_non_null(fixture->gateway);
}

static inline int fixture_end(void **state)
{
    struct fixture *fixture = *state;
    gateway_free(fixture->gateway);
    cache_free(fixture->cache);
    if (fixture->keys != NULL)
        key_ring_free(fixture->keys);
    store_disconnect(fixture->db);
    if (fixture->is_elsewhere)
        elsewhere_end(&fixture->elsewhere, fixture->store);
    store_close(fixture->store);
    test_store_remove(&fixture->at);
    arena_release(&fixture->arena);
    sem_destroy(&gate);
    sem_destroy(&gate_reached);
    free(fixture);
    return 0;
}

static inline int64_t fixture_counter(struct fixture *fixture, int64_t id)
{
    int64_t value = -1;
    assert_int_equal(db_one_int(fixture->db, &COUNTER_VALUE, DB_ARGS(db_int(id)), &value), DB_ROW);
    return value;
}

static inline struct uuid fixture_user(struct fixture *fixture, const char *role)
{
    struct uuid id = uuid_v7(clock_now_ms());
    char text[UUID_TEXT_LEN];
    uuid_format(id, text);
    struct slice email = arena_format(&fixture->arena, "%.*s@example.com", UUID_TEXT_LEN, text);
    fixture_write(fixture, &FIXTURE_USER,
                  DB_ARGS(db_uuid(id), db_text(email), db_text(slice_from(role)), db_time(clock_now_ms())));
    return id;
}

/* Making keys takes a while, so only the tests that need a token do. Before any other thread asks. */
static inline void fixture_keys(struct fixture *fixture)
{
    struct slice complaint = SLICE_ABSENT;
    if (fixture->keys != NULL)
        return;
    fixture->keys = key_ring_open(fixture->store, SECRET, &fixture->arena, &complaint);
    if (fixture->keys == NULL)
        fail_msg("%.*s", SLICE_ARG(complaint));
    fixture->services.keys = fixture->keys;
}

struct fixture_session {
    struct fixture *fixture;
    struct uuid user_id;
    struct session_grant grant;
};

static inline enum db_result fixture_session_open(struct db *db, void *arg)
{
    struct fixture_session *session = arg;
    return session_open(db, &session->fixture->arena, session->user_id, false, clock_now_ms(), 3600,
                        &session->grant);
}

/* A log-in of the user: "Bearer ..." for the Authorization header; the session in *session_id. */
static inline const char *fixture_bearer(struct fixture *fixture, struct uuid user_id, enum role role,
                                         struct uuid *session_id)
{
    struct fixture_session session = {.fixture = fixture, .user_id = user_id};
    fixture_keys(fixture);
    assert_int_equal(db_transaction(fixture->db, fixture_session_open, &session), DB_DONE);
    struct principal principal = {.kind = PRINCIPAL_USER,
                                  .role = role,
                                  .scopes = scopes_of_kind(role),
                                  .user_id = user_id,
                                  .session_id = session.grant.session_id};
    struct slice token = token_issue(fixture->keys, &fixture->arena, &principal, clock_now_ms(), 900);
    assert_false(slice_is_absent(token));
    if (session_id != NULL)
        *session_id = session.grant.session_id;
    return arena_format(&fixture->arena, "Bearer %.*s", SLICE_ARG(token)).ptr;
}
