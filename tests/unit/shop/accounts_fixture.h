/* What the tests of accounts share: calling a handler as the gateway does, with the services of a small shop,
 * from any number of threads. */
#pragma once

#include "fixture.h"

#include "auth/roles.h"
#include "auth/session.h"
#include "contract/handlers.h"
#include "contract/inputs.h"
#include "http/response.h"

#include <jansson.h>
#include <pthread.h>

#define PASSWORD SLICE("correct horse battery")
#define NOBODY ((struct principal){.kind = PRINCIPAL_ANONYMOUS})

struct office {
    struct shop *shop;
    struct config config;
    struct services services;
};

static inline int office_open(void **state)
{
    void *shop = NULL;
    struct slice complaint = SLICE_ABSENT;
    struct slice secret = SLICE("a secret of the tests, long enough");
    struct office *office = calloc(1, sizeof(*office));
    assert_int_equal(shop_open(&shop), 0);
    office->shop = shop;
    office->config = (struct config){.public_url = SLICE("http://127.0.0.1:8080"),
                                     .access_token_seconds = 900,
                                     .refresh_token_seconds = 30 * 24 * 3600};
    office->services = (struct services){.config = &office->config, .store = office->shop->store};
    office->services.keys = key_ring_open(office->shop->store, secret, &office->shop->arena, &complaint);
    if (office->services.keys == NULL)
        fail_msg("%.*s", SLICE_ARG(complaint));
    key_derive(secret, "cursor", office->services.cursor_key);
    key_derive(secret, "seal", office->services.seal_key);
    *state = office;
    return 0;
}

static inline int office_close(void **state)
{
    struct office *office = *state;
    void *shop = office->shop;
    key_ring_free(office->services.keys);
    shop_close(&shop);
    free(office);
    return 0;
}

/* ---- who calls ---- */

/* A thread's own connection and memory, and what came of its newest call. */
struct caller {
    struct office *office;
    struct arena arena;
    struct db *db;
    struct request
        request; /* what a test sets here (principal, cookie, If-Match) holds until it changes it */
    struct response response;
    enum http_status status;
    json_t *data; /* what the handler wrote, or NULL */
};

static inline void caller_begin(struct caller *caller, struct office *office)
{
    memset(caller, 0, sizeof(*caller));
    caller->office = office;
    assert_true(arena_init(&caller->arena, (size_t)64 << 20));
    caller->db = store_connect(office->shop->store);
    assert_non_null(caller->db);
    caller->request = (struct request){.services = &office->services,
                                       .arena = &caller->arena,
                                       .principal = NOBODY,
                                       .host = SLICE("127.0.0.1:8080"),
                                       .address = SLICE("127.0.0.1"),
                                       .is_loopback = true};
}

static inline void caller_end(struct caller *caller)
{
    json_decref(caller->data);
    store_disconnect(caller->db);
    arena_release(&caller->arena);
}

typedef enum http_status (*operation_handler)(struct request *request, struct response *response);

struct call {
    struct caller *caller;
    operation_handler handler;
};

static inline enum db_result call_run(struct db *db, void *arg)
{
    struct call *call = arg;
    struct caller *caller = call->caller;
    response_init(&caller->response, &caller->arena, true);
    caller->request.db = db;
    caller->status = call->handler(&caller->request, &caller->response);
    if (caller->status < 400)
        return DB_DONE;
    return caller->response.database_failed ? DB_ERROR : DB_CONFLICT;
}

/* Any operation is named like this one as far as cursors go. */
static const struct operation CALLED = {.name = "called"};

/* Runs a handler: whole in one transaction, or as an orchestrated one or a read on this thread's connection.
 */
static inline enum http_status call(struct caller *caller, operation_handler handler, const void *input,
                                    bool in_transaction)
{
    struct call call = {caller, handler};
    caller->request.operation = &CALLED;
    caller->request.input = input;
    caller->request.now_ms = clock_now_ms();
    if (in_transaction)
        db_transaction(caller->db, call_run, &call);
    else
        call_run(caller->db, &call);
    json_decref(caller->data);
    struct slice body = response_content(&caller->response);
    caller->data = caller->status < 400 && body.len > 0 ? json_loadb(body.ptr, body.len, 0, NULL) : NULL;
    return caller->status;
}

/* A member of the newest reply, "user.email". */
static inline const char *reply_text(const struct caller *caller, const char *path)
{
    json_t *value = caller->data;
    struct slice rest = slice_from(path);
    struct slice name;
    char key[64];
    while (slice_split(&rest, '.', &name)) {
        snprintf(key, sizeof(key), "%.*s", SLICE_ARG(name));
        value = json_object_get(value, key);
    }
    const char *text = json_string_value(value);
    return text ? text : "(none)";
}

static inline const char *reply_problem(const struct caller *caller)
{
    return caller->response.problem_code ? caller->response.problem_code : "(none)";
}

#define assert_refused(caller, expected_status, expected_code)                                               \
    do {                                                                                                     \
        assert_int_equal((caller)->status, expected_status);                                                 \
        assert_string_equal(reply_problem(caller), expected_code);                                           \
    } while (0)

static inline struct slice reply_header(const struct caller *caller, const char *name)
{
    struct slice value = response_header_value(&caller->response, name);
    return slice_is_absent(value) ? SLICE("") : value;
}

/* ---- accounts and sessions ---- */

static inline struct slice unique_email(struct caller *caller)
{
    static _Atomic int counter;
    return arena_format(&caller->arena, "Person%d@Example.com", ++counter);
}

static inline enum http_status do_register(struct caller *caller, struct slice email)
{
    struct auth_register_input *input = ARENA_NEW(&caller->arena, struct auth_register_input);
    input->email = email;
    input->password = PASSWORD;
    return call(caller, auth_register, input, false);
}

static inline enum http_status do_login(struct caller *caller, struct slice email, struct slice password)
{
    struct auth_login_input *input = ARENA_NEW(&caller->arena, struct auth_login_input);
    input->email = email;
    input->password = password;
    return call(caller, auth_login, input, false);
}

DB_STATEMENT(FIXTURE_PERSON) = {
    .sql = "INSERT INTO users (id, email, email_folded, first_name, last_name, name_sort, role, created_at,"
           " updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
    .params = {DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TIME},
};
DB_STATEMENT(FIXTURE_ROLE) = {
    .sql = "UPDATE users SET role = $2, status = 'active' WHERE id = $1",
    .params = {DB_UUID, DB_TEXT},
};

struct session_opening {
    struct arena *arena;
    struct principal *principal;
};

static inline enum db_result session_opening_run(struct db *db, void *arg)
{
    struct session_opening *opening = arg;
    struct session_grant grant;
    enum db_result result =
        session_open(db, opening->arena, opening->principal->user_id, false, clock_now_ms(), 3600, &grant);
    opening->principal->session_id = grant.session_id;
    return result;
}

/* Logs the user in, without a password, as the gateway would see them. */
static inline struct principal user_session(struct office *office, struct uuid user_id, enum role role)
{
    struct principal principal = {
        .kind = PRINCIPAL_USER, .role = role, .scopes = scopes_of_kind(role), .user_id = user_id};
    struct session_opening opening = {&office->shop->arena, &principal};
    assert_int_equal(db_transaction(office->shop->db, session_opening_run, &opening), DB_DONE);
    return principal;
}

static inline bool session_is_good(struct office *office, struct uuid session_id)
{
    struct session_standing standing;
    return session_check(office->shop->db, session_id, clock_now_ms(), &standing) == DB_ROW;
}

static inline int64_t office_int(struct office *office, const struct db_statement *statement,
                                 struct db_args args)
{
    int64_t value = -1;
    assert_int_equal(db_one_int(office->shop->db, statement, args, &value), DB_ROW);
    return value;
}
