/* The local identity provider: what a log-in tells, carts taken along, tokens used once, sessions ended. */
#include "accounts_fixture.h"

#include "auth/password.h"
#include "base/text.h"
#include "shop/accounts.h"
#include "shop/users.h"

#include <sodium.h>

#define OTHER_PASSWORD SLICE("staple of the same horse")

static struct uuid user_id_of_reply(const struct caller *caller)
{
    struct uuid id;
    assert_true(uuid_parse(slice_from(reply_text(caller, "user.id")), &id));
    return id;
}

/* A registered account; its refresh token in *refresh_token. */
static struct uuid register_one(struct caller *caller, struct slice *email, struct slice *refresh_token)
{
    *email = unique_email(caller);
    assert_int_equal(do_register(caller, *email), HTTP_STATUS_CREATED);
    if (refresh_token != NULL)
        *refresh_token = arena_copy(&caller->arena, slice_from(reply_text(caller, "refreshToken")));
    return user_id_of_reply(caller);
}

static enum http_status do_refresh(struct caller *caller, struct slice token)
{
    struct auth_refresh_input input = {.refresh_token = token, .has_refresh_token = !slice_is_absent(token)};
    return call(caller, auth_refresh, &input, false);
}

static enum http_status do_logout(struct caller *caller, struct slice token)
{
    struct auth_logout_input input = {.refresh_token = token, .has_refresh_token = !slice_is_absent(token)};
    return call(caller, auth_logout, &input, true);
}

static enum http_status do_forgot(struct caller *caller, struct slice email)
{
    struct auth_password_forgot_input input = {.email = email};
    return call(caller, auth_password_forgot, &input, true);
}

static enum http_status do_reset(struct caller *caller, struct slice token, struct slice password)
{
    struct auth_password_reset_input input = {.token = token, .new_password = password};
    return call(caller, auth_password_reset, &input, false);
}

static enum http_status do_verify(struct caller *caller, struct slice token)
{
    struct auth_email_verify_input input = {.token = token};
    return call(caller, auth_email_verify, &input, true);
}

/* ---- what waits in the outbox ---- */

DB_STATEMENT(NEWEST_MESSAGE) = {
    .sql = "SELECT payload FROM outbox WHERE topic = $1 AND due_at IS NOT NULL ORDER BY id DESC LIMIT 1",
    .params = {DB_TEXT},
    .columns = {DB_JSON},
};
DB_STATEMENT(MESSAGES) = {
    .sql = "SELECT COUNT(*) FROM outbox WHERE topic = $1 AND due_at IS NOT NULL",
    .params = {DB_TEXT},
    .columns = {DB_INT},
};
DB_STATEMENT(MESSAGES_OF_ANY_KIND) = {
    .sql = "SELECT COUNT(*) FROM outbox",
    .columns = {DB_INT},
};
DB_STATEMENT(TOKEN_ROWS) = {
    .sql = "SELECT COUNT(*) FROM account_tokens WHERE token_hash = $1",
    .params = {DB_BLOB},
    .columns = {DB_INT},
};

/* The token of the newest message of a topic, as the mail job opens it. */
static struct slice mailed_token(struct caller *caller, const char *topic, struct uuid user_id)
{
    char id[UUID_TEXT_LEN];
    struct db_rows *rows = db_query(caller->db, &NEWEST_MESSAGE, DB_ARGS(db_text(slice_from(topic))));
    assert_int_equal(db_next(rows), DB_ROW);
    struct slice payload = db_copy_text(rows, 0, &caller->arena);
    db_close(rows);
    json_t *message = json_loadb(payload.ptr, payload.len, 0, NULL);
    uuid_format(user_id, id);
    assert_memory_equal(json_string_value(json_object_get(message, "userId")), id, UUID_TEXT_LEN);
    struct slice sealed = base64url_decode(
        &caller->arena, slice_from(json_string_value(json_object_get(message, "sealedToken"))));
    struct slice token = secret_open(&caller->arena, caller->office->services.seal_key, sealed);
    assert_false(slice_is_absent(token));
    assert_null(memmem(payload.ptr, payload.len, token.ptr, token.len));
    json_decref(message);
    return token;
}

/* ---- registering ---- */

DB_STATEMENT(ACCOUNT_SEEN) = {
    .sql = "SELECT role, password_hash, email, email_folded FROM users WHERE id = $1",
    .params = {DB_UUID},
    .columns = {DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT},
};

static void test_registering_opens_a_customers_account(void **state)
{
    struct caller caller;
    struct slice email;
    caller_begin(&caller, *state);
    int64_t welcomed = office_int(*state, &MESSAGES, DB_ARGS(db_text(SLICE("user.registered"))));
    struct uuid id = register_one(&caller, &email, NULL);
    struct db_rows *rows = db_query(caller.db, &ACCOUNT_SEEN, DB_ARGS(db_uuid(id)));
    assert_int_equal(db_next(rows), DB_ROW);
    assert_true(slice_is(db_get_text(rows, 0), "customer"));
    assert_true(password_verify(db_copy_text(rows, 1, &caller.arena), PASSWORD));
    assert_true(slice_equals(db_get_text(rows, 2), email));
    assert_true(slice_equals(db_get_text(rows, 3), text_fold_case(&caller.arena, email)));
    db_close(rows);
    assert_int_equal(office_int(*state, &MESSAGES, DB_ARGS(db_text(SLICE("user.registered")))), welcomed + 1);
    struct slice token = mailed_token(&caller, "user.verify_email", id);
    uint8_t hash[SHA256_LEN];
    sha256(token, hash);
    assert_int_equal(
        office_int(*state, &TOKEN_ROWS, DB_ARGS(db_blob((struct slice){(const char *)hash, SHA256_LEN}))), 1);
    assert_int_equal(office_int(*state, &TOKEN_ROWS, DB_ARGS(db_blob(token))), 0);
    caller_end(&caller);
}

#define RACERS 4

struct racer {
    pthread_t thread;
    struct office *office;
    pthread_barrier_t *start;
    struct slice email;
    struct slice token;
    struct slice password;
    int rounds;
    int won;
};

static void race(struct racer *racers, struct racer model, void *(*run)(void *))
{
    pthread_barrier_t start;
    assert_int_equal(pthread_barrier_init(&start, NULL, RACERS), 0);
    for (int i = 0; i < RACERS; i++) {
        racers[i] = model;
        racers[i].start = &start;
        assert_int_equal(pthread_create(&racers[i].thread, NULL, run, &racers[i]), 0);
    }
    for (int i = 0; i < RACERS; i++)
        pthread_join(racers[i].thread, NULL);
    pthread_barrier_destroy(&start);
}

static void *race_to_register(void *arg)
{
    struct racer *racer = arg;
    struct caller caller;
    caller_begin(&caller, racer->office);
    pthread_barrier_wait(racer->start);
    if (do_register(&caller, racer->email) == HTTP_STATUS_CREATED)
        racer->won++;
    else
        assert_refused(&caller, HTTP_STATUS_CONFLICT, "EMAIL_TAKEN");
    caller_end(&caller);
    return NULL;
}

static void test_one_address_is_one_account(void **state)
{
    struct caller caller;
    struct racer racers[RACERS];
    int won = 0;
    caller_begin(&caller, *state);
    struct slice email = unique_email(&caller);
    race(racers, (struct racer){.office = *state, .email = email}, race_to_register);
    for (int i = 0; i < RACERS; i++)
        won += racers[i].won;
    assert_int_equal(won, 1);
    int64_t before = office_int(*state, &MESSAGES_OF_ANY_KIND, DB_NO_ARGS);
    do_register(&caller, text_fold_case(&caller.arena, email));
    assert_refused(&caller, HTTP_STATUS_CONFLICT, "EMAIL_TAKEN");
    assert_int_equal(office_int(*state, &MESSAGES_OF_ANY_KIND, DB_NO_ARGS), before);
    caller_end(&caller);
}

/* ---- logging in ---- */

DB_STATEMENT(SET_HASH) = {
    .sql = "UPDATE users SET password_hash = $2 WHERE id = $1",
    .params = {DB_UUID, DB_TEXT},
};
DB_STATEMENT(SET_STATUS) = {
    .sql = "UPDATE users SET status = $2 WHERE id = $1",
    .params = {DB_UUID, DB_TEXT},
};

static void test_every_refused_login_answers_the_same(void **state)
{
    struct caller caller;
    struct slice good, disabled, passwordless;
    caller_begin(&caller, *state);
    register_one(&caller, &good, NULL);
    struct uuid disabled_id = register_one(&caller, &disabled, NULL);
    struct uuid passwordless_id = register_one(&caller, &passwordless, NULL);
    struct shop *shop = ((struct office *)*state)->shop;
    shop_write(shop, &SET_STATUS, DB_ARGS(db_uuid(disabled_id), db_text(SLICE("disabled"))));
    shop_write(shop, &SET_HASH, DB_ARGS(db_uuid(passwordless_id), db_text(SLICE_ABSENT)));
    const struct {
        struct slice email, password;
    } cases[] = {{good, OTHER_PASSWORD},
                 {disabled, PASSWORD},
                 {passwordless, PASSWORD},
                 {SLICE("nobody@example.com"), PASSWORD}};
    struct slice first = SLICE_ABSENT;
    int64_t quickest_us = INT64_MAX;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t began_us = clock_monotonic_us();
        do_login(&caller, cases[i].email, cases[i].password);
        int64_t took_us = clock_monotonic_us() - began_us;
        assert_refused(&caller, HTTP_STATUS_UNAUTHORIZED, "INVALID_CREDENTIALS");
        struct slice body = arena_copy(&caller.arena, response_content(&caller.response));
        if (i == 0)
            first = body;
        assert_true(slice_equals(body, first));
        quickest_us = took_us < quickest_us ? took_us : quickest_us;
    }
    assert_true(quickest_us > 5000); /* none was spared the hashing */
    assert_int_equal(do_login(&caller, good, PASSWORD), HTTP_STATUS_OK);
    caller_end(&caller);
}

DB_STATEMENT(HASH_OF) = {
    .sql = "SELECT password_hash FROM users WHERE id = $1",
    .params = {DB_UUID},
    .columns = {DB_TEXT},
};

static struct slice hash_of(struct caller *caller, struct uuid id)
{
    struct db_rows *rows = db_query(caller->db, &HASH_OF, DB_ARGS(db_uuid(id)));
    assert_int_equal(db_next(rows), DB_ROW);
    struct slice hash = db_copy_text(rows, 0, &caller->arena);
    db_close(rows);
    return hash;
}

static void test_an_old_hash_is_renewed_by_a_login(void **state)
{
    struct caller caller;
    struct slice email;
    char old[crypto_pwhash_STRBYTES];
    caller_begin(&caller, *state);
    struct uuid id = register_one(&caller, &email, NULL);
    assert_int_equal(crypto_pwhash_str(old, PASSWORD.ptr, PASSWORD.len, 1, crypto_pwhash_MEMLIMIT_MIN), 0);
    shop_write(((struct office *)*state)->shop, &SET_HASH, DB_ARGS(db_uuid(id), db_text(slice_from(old))));
    do_login(&caller, email, OTHER_PASSWORD);
    assert_true(slice_is(hash_of(&caller, id), old)); /* not by one that failed */
    assert_int_equal(do_login(&caller, email, PASSWORD), HTTP_STATUS_OK);
    struct slice renewed = hash_of(&caller, id);
    assert_false(slice_is(renewed, old));
    assert_false(password_needs_rehash(renewed));
    assert_true(password_verify(renewed, PASSWORD));
    assert_int_equal(do_login(&caller, email, PASSWORD), HTTP_STATUS_OK);
    assert_true(slice_equals(hash_of(&caller, id), renewed));
    caller_end(&caller);
}

/* ---- carts ---- */

DB_STATEMENT(PRODUCT_MAKE) = {
    TEST_TIMES("INSERT INTO products (id, name, name_sort, slug, price_minor, created_at, updated_at)"
               " VALUES ($1, 'P', 'p', $2, 100, "),
    .params = {DB_UUID, DB_TEXT},
};
DB_STATEMENT(VARIANT_MAKE) = {
    TEST_TIMES("INSERT INTO variants (id, product_id, position, sku, price_minor, created_at, updated_at)"
               " VALUES ($1, $2, 0, $3, 100, "),
    .params = {DB_UUID, DB_UUID, DB_TEXT},
};
DB_STATEMENT(GUEST_CART) = {
    TEST_TIMES("INSERT INTO carts (id, created_at, updated_at) VALUES ($1, "),
    .params = {DB_UUID},
};
DB_STATEMENT(GUEST_LINE) = {
    TEST_TIME(
        "INSERT INTO cart_lines (cart_id, id, product_id, variant_id, quantity, unit_price_minor, name, sku,"
        " created_at) VALUES ($1, $2, $3, $4, $5, 100, 'P', 'S', "),
    .params = {DB_UUID, DB_UUID, DB_UUID, DB_UUID, DB_INT},
};
DB_STATEMENT(QUANTITY_OF_USER) = {
    .sql = "SELECT coalesce(sum(l.quantity), 0) FROM cart_lines l JOIN carts c ON c.id = l.cart_id"
           " WHERE c.user_id = $1",
    .params = {DB_UUID},
    .columns = {DB_INT},
};
DB_STATEMENT(CART_ROWS) = {
    .sql = "SELECT COUNT(*) FROM carts WHERE id = $1",
    .params = {DB_UUID},
    .columns = {DB_INT},
};

struct ware {
    struct uuid product_id;
    struct uuid variant_id;
};

static struct ware ware_made(struct shop *shop)
{
    struct ware ware = {uuid_v7(clock_now_ms()), uuid_v7(clock_now_ms())};
    char slug[UUID_TEXT_LEN];
    uuid_format(ware.product_id, slug);
    struct slice name = arena_copy(&shop->arena, (struct slice){slug, sizeof(slug)});
    shop_write(shop, &PRODUCT_MAKE, DB_ARGS(db_uuid(ware.product_id), db_text(name)));
    shop_write(shop, &VARIANT_MAKE,
               DB_ARGS(db_uuid(ware.variant_id), db_uuid(ware.product_id), db_text(name)));
    shop_stock(shop, ware.product_id, ware.variant_id, 50, true, false);
    return ware;
}

static struct uuid guest_cart(struct shop *shop, struct ware ware, int64_t quantity)
{
    struct uuid id = uuid_v4();
    shop_write(shop, &GUEST_CART, DB_ARGS(db_uuid(id)));
    shop_write(shop, &GUEST_LINE,
               DB_ARGS(db_uuid(id), db_uuid(uuid_v7(clock_now_ms())), db_uuid(ware.product_id),
                       db_uuid(ware.variant_id), db_int(quantity)));
    return id;
}

static void test_a_login_takes_the_guests_cart_along(void **state)
{
    struct office *office = *state;
    struct caller caller;
    struct slice email;
    caller_begin(&caller, office);
    struct uuid id = register_one(&caller, &email, NULL);
    struct ware ware = ware_made(office->shop);
    struct uuid first = guest_cart(office->shop, ware, 2);
    struct auth_login_input input = {
        .email = email, .password = OTHER_PASSWORD, .cart_id = first, .has_cart_id = true};
    call(&caller, auth_login, &input, false);
    assert_refused(&caller, HTTP_STATUS_UNAUTHORIZED, "INVALID_CREDENTIALS");
    assert_int_equal(office_int(office, &CART_ROWS, DB_ARGS(db_uuid(first))), 1);
    input.password = PASSWORD;
    assert_int_equal(call(&caller, auth_login, &input, false), HTTP_STATUS_OK);
    const char *cart_id = arena_copy(&caller.arena, slice_from(reply_text(&caller, "cartId"))).ptr;
    assert_int_equal(strlen(cart_id), UUID_TEXT_LEN);
    assert_int_equal(office_int(office, &CART_ROWS, DB_ARGS(db_uuid(first))), 0);
    assert_int_equal(office_int(office, &QUANTITY_OF_USER, DB_ARGS(db_uuid(id))), 2);
    input.cart_id = guest_cart(office->shop, ware, 3);
    assert_int_equal(call(&caller, auth_login, &input, false), HTTP_STATUS_OK);
    assert_string_equal(reply_text(&caller, "cartId"), cart_id);
    assert_int_equal(office_int(office, &QUANTITY_OF_USER, DB_ARGS(db_uuid(id))), 5);
    assert_int_equal(call(&caller, auth_login, &input, false), HTTP_STATUS_OK); /* it is gone */
    assert_string_equal(reply_text(&caller, "cartId"), "(none)");
    struct auth_register_input other = {.email = unique_email(&caller), .password = PASSWORD};
    other.cart_id = guest_cart(office->shop, ware, 7);
    other.has_cart_id = true;
    assert_int_equal(call(&caller, auth_register, &other, false), HTTP_STATUS_CREATED);
    assert_true(uuid_parse(slice_from(reply_text(&caller, "cartId")), &input.cart_id));
    assert_int_equal(call(&caller, auth_login, &input, false), HTTP_STATUS_OK); /* another's */
    assert_string_equal(reply_text(&caller, "cartId"), "(none)");
    assert_int_equal(office_int(office, &QUANTITY_OF_USER, DB_ARGS(db_uuid(id))), 5);
    caller_end(&caller);
}

/* ---- refreshing ---- */

DB_STATEMENT(TOKENS_AGE) = {
    TEST_SQL("UPDATE refresh_tokens SET used_at = used_at - ", "60000", "interval '1 minute'",
             " WHERE used_at IS NOT NULL"),
};
DB_STATEMENT(SESSIONS_LIVE) = {
    .sql = "SELECT COUNT(*) FROM sessions WHERE user_id = $1 AND revoked_at IS NULL",
    .params = {DB_UUID},
    .columns = {DB_INT},
};

static void test_a_token_used_twice_ends_its_session_for_good(void **state)
{
    struct office *office = *state;
    struct caller caller;
    struct slice email, first;
    caller_begin(&caller, office);
    struct uuid id = register_one(&caller, &email, &first);
    assert_int_equal(do_refresh(&caller, first), HTTP_STATUS_OK);
    struct slice second = arena_copy(&caller.arena, slice_from(reply_text(&caller, "refreshToken")));
    assert_false(slice_equals(first, second));
    assert_int_equal(office_int(office, &SESSIONS_LIVE, DB_ARGS(db_uuid(id))), 1);
    shop_write(office->shop, &TOKENS_AGE, DB_NO_ARGS);
    do_refresh(&caller, first);
    assert_refused(&caller, HTTP_STATUS_UNAUTHORIZED, "INVALID_TOKEN");
    /* seen from another connection: the refusal was committed */
    assert_int_equal(office_int(office, &SESSIONS_LIVE, DB_ARGS(db_uuid(id))), 0);
    do_refresh(&caller, second);
    assert_refused(&caller, HTTP_STATUS_UNAUTHORIZED, "INVALID_TOKEN");
    do_refresh(&caller, SLICE_ABSENT);
    assert_refused(&caller, HTTP_STATUS_UNAUTHORIZED, "INVALID_TOKEN");
    caller_end(&caller);
}

/* ---- cookies ---- */

static void test_the_cookie_is_taken_from_our_own_pages_only(void **state)
{
    struct office office = *(struct office *)*state;
    struct caller caller;
    office.services.config = &office.config;
    static const struct {
        const char *public_url, *origin, *host;
        bool is_loopback, is_own;
    } CASES[] = {
        {"http://127.0.0.1:8080", "http://127.0.0.1:8080", "127.0.0.1:8080", true, true},
        {"http://127.0.0.1:0", "http://localhost:5050", "localhost:5050", true, true},
        {"http://127.0.0.1:8080", "https://127.0.0.1:8080", "127.0.0.1:8080", true, false},
        {"http://127.0.0.1:8080", "http://127.0.0.1:8081", "127.0.0.1:8080", true, false},
        {"http://127.0.0.1:8080", "http://127.0.0.1:8080.evil.example", "127.0.0.1:8080", true, false},
        {"http://127.0.0.1:8080", "null", "127.0.0.1:8080", true, false},
        {"http://127.0.0.1:8080", "", "127.0.0.1:8080", true, false},
        {"http://127.0.0.1:8080", NULL, "127.0.0.1:8080", true, false},
        {"http://127.0.0.1:8080", "http://", NULL, true, false},
        {"https://shop.example/store", "https://shop.example", "10.0.0.7:8080", true, true},
        {"https://shop.example", "HTTPS://Shop.Example", "10.0.0.7:8080", false, true},
        {"https://shop.example", "http://shop.example", "shop.example", true, false},
        {"https://shop.example", "https://shop.example.evil.example", "shop.example", false, false},
        {"http://0.0.0.0:8080", "https://shop.example", "shop.example", false, true},
        {"http://0.0.0.0:8080", "http://shop.example", "shop.example", false, false},
    };
    caller_begin(&caller, &office);
    caller.request.refresh_cookie = SLICE("no token at all");
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        office.config.public_url = slice_from(CASES[i].public_url);
        caller.request.origin = slice_from(CASES[i].origin);
        caller.request.host = slice_from(CASES[i].host);
        caller.request.is_loopback = CASES[i].is_loopback;
        do_refresh(&caller, SLICE_ABSENT);
        if (strcmp(reply_problem(&caller), CASES[i].is_own ? "INVALID_TOKEN" : "FORBIDDEN") != 0)
            fail_msg("case %zu: %s", i, reply_problem(&caller));
        do_logout(&caller, SLICE_ABSENT);
        assert_int_equal(caller.status, CASES[i].is_own ? HTTP_STATUS_NO_CONTENT : HTTP_STATUS_FORBIDDEN);
    }
    caller_end(&caller);
}

static bool has_attribute(struct slice cookie, const char *attribute)
{
    return memmem(cookie.ptr, cookie.len, attribute, strlen(attribute)) != NULL;
}

static void test_a_cookie_session_stays_in_the_cookie(void **state)
{
    struct office *office = *state;
    struct caller caller;
    struct slice email;
    caller_begin(&caller, office);
    struct uuid id = register_one(&caller, &email, NULL);
    assert_int_equal(reply_header(&caller, "Set-Cookie").len, 0);
    struct auth_login_input input = {.email = email, .password = PASSWORD, .session = SESSION_MODE_COOKIE};
    caller.request.is_loopback = false;
    assert_int_equal(call(&caller, auth_login, &input, false), HTTP_STATUS_OK);
    struct slice cookie = reply_header(&caller, "Set-Cookie");
    assert_true(has_attribute(cookie, "; Secure"));
    caller.request.is_loopback = true;
    assert_int_equal(call(&caller, auth_login, &input, false), HTTP_STATUS_OK);
    cookie = reply_header(&caller, "Set-Cookie");
    assert_string_equal(reply_text(&caller, "refreshToken"), "(none)");
    assert_true(slice_starts_with(cookie, SLICE("souk_refresh=")));
    assert_true(has_attribute(cookie, "; Path=/auth; Max-Age=2592000; HttpOnly; SameSite=Strict"));
    assert_false(has_attribute(cookie, "Secure"));
    caller.request.refresh_cookie = (struct slice){cookie.ptr + 13, REFRESH_TOKEN_TEXT_LEN};
    caller.request.origin = SLICE("http://127.0.0.1:8080");

    /* a new password answers with a session of the same kind */
    struct uuid session_id;
    struct uuid user_id;
    assert_int_equal(session_of_token(caller.db, caller.request.refresh_cookie, &session_id, &user_id),
                     DB_ROW);
    caller.request.principal = (struct principal){
        .kind = PRINCIPAL_USER, .role = ROLE_CUSTOMER, .user_id = user_id, .session_id = session_id};
    struct auth_password_change_input change = {.current_password = PASSWORD, .new_password = OTHER_PASSWORD};
    assert_int_equal(call(&caller, auth_password_change, &change, false), HTTP_STATUS_OK);
    assert_string_equal(reply_text(&caller, "refreshToken"), "(none)");
    caller.request.principal = NOBODY;
    do_refresh(&caller, SLICE_ABSENT); /* the old cookie */
    assert_refused(&caller, HTTP_STATUS_UNAUTHORIZED, "INVALID_TOKEN");
    assert_int_equal(do_login(&caller, email, OTHER_PASSWORD), HTTP_STATUS_OK);

    assert_int_equal(do_logout(&caller, SLICE_ABSENT), HTTP_STATUS_NO_CONTENT);
    cookie = reply_header(&caller, "Set-Cookie");
    assert_true(has_attribute(cookie, "souk_refresh=; Path=/auth; Max-Age=0;"));
    assert_true(uuid_equals(id, user_id));
    caller_end(&caller);
}

static void test_logging_out_ends_what_it_names_and_nothing_else(void **state)
{
    struct office *office = *state;
    struct caller caller;
    struct slice email, token;
    caller_begin(&caller, office);
    struct uuid id = register_one(&caller, &email, &token);
    struct principal other = user_session(office, id, ROLE_CUSTOMER);
    assert_int_equal(do_logout(&caller, token), HTTP_STATUS_NO_CONTENT);
    assert_int_equal(office_int(office, &SESSIONS_LIVE, DB_ARGS(db_uuid(id))), 1);
    assert_true(session_is_good(office, other.session_id));
    assert_int_equal(do_logout(&caller, token), HTTP_STATUS_NO_CONTENT);
    assert_int_equal(do_logout(&caller, SLICE("of nobody")), HTTP_STATUS_NO_CONTENT);
    caller.request.principal = other;
    assert_int_equal(do_logout(&caller, SLICE_ABSENT), HTTP_STATUS_NO_CONTENT);
    assert_false(session_is_good(office, other.session_id));
    caller_end(&caller);
}

/* ---- passwords ---- */

static void *login_again_and_again(void *arg)
{
    struct racer *racer = arg;
    struct caller caller;
    caller_begin(&caller, racer->office);
    pthread_barrier_wait(racer->start);
    for (int i = 0; i < racer->rounds; i++)
        racer->won += do_login(&caller, racer->email, PASSWORD) == HTTP_STATUS_OK;
    caller_end(&caller);
    return NULL;
}

static void *change_password(void *arg)
{
    struct racer *racer = arg;
    struct caller caller;
    caller_begin(&caller, racer->office);
    assert_int_equal(do_login(&caller, racer->email, PASSWORD), HTTP_STATUS_OK);
    struct uuid id = user_id_of_reply(&caller);
    caller.request.principal = user_session(racer->office, id, ROLE_CUSTOMER);
    pthread_barrier_wait(racer->start);
    struct auth_password_change_input change = {.current_password = PASSWORD, .new_password = OTHER_PASSWORD};
    assert_int_equal(call(&caller, auth_password_change, &change, false), HTTP_STATUS_OK);
    caller_end(&caller);
    return NULL;
}

static void *change_or_login(void *arg)
{
    struct racer *racer = arg;
    static _Atomic int turn;
    return turn++ % RACERS == 0 ? change_password(racer) : login_again_and_again(racer);
}

/* A log-in that verified the old password while it was being changed opens nothing that outlives the change.
 */
static void test_no_session_of_the_old_password_outlives_it(void **state)
{
    struct office *office = *state;
    for (int round = 0; round < 4; round++) {
        struct caller caller;
        struct racer racers[RACERS];
        struct slice email;
        caller_begin(&caller, office);
        struct uuid id = register_one(&caller, &email, NULL);
        /* As many as may fail before the next is told to wait. */
        race(racers, (struct racer){.office = office, .email = email, .rounds = 3}, change_or_login);
        assert_int_equal(office_int(office, &SESSIONS_LIVE, DB_ARGS(db_uuid(id))), 1);
        do_login(&caller, email, PASSWORD);
        assert_refused(&caller, HTTP_STATUS_UNAUTHORIZED, "INVALID_CREDENTIALS");
        caller_end(&caller);
    }
}

static void test_a_password_change_needs_the_present_one(void **state)
{
    struct office *office = *state;
    struct caller caller;
    struct slice email;
    caller_begin(&caller, office);
    struct uuid id = register_one(&caller, &email, NULL);
    caller.request.principal = user_session(office, id, ROLE_CUSTOMER);
    struct auth_password_change_input change = {.current_password = OTHER_PASSWORD,
                                                .new_password = OTHER_PASSWORD};
    call(&caller, auth_password_change, &change, false);
    assert_refused(&caller, HTTP_STATUS_BAD_REQUEST, "VALIDATION_ERROR");
    assert_true(session_is_good(office, caller.request.principal.session_id));
    caller_end(&caller);
}

static void *race_to_reset(void *arg)
{
    struct racer *racer = arg;
    struct caller caller;
    caller_begin(&caller, racer->office);
    pthread_barrier_wait(racer->start);
    if (do_reset(&caller, racer->token, OTHER_PASSWORD) == HTTP_STATUS_NO_CONTENT)
        racer->won++;
    else
        assert_refused(&caller, HTTP_STATUS_BAD_REQUEST, "INVALID_TOKEN");
    caller_end(&caller);
    return NULL;
}

static void test_a_reset_token_is_used_once(void **state)
{
    struct office *office = *state;
    struct caller caller;
    struct racer racers[RACERS];
    struct slice email;
    int won = 0;
    caller_begin(&caller, office);
    struct uuid id = register_one(&caller, &email, NULL);
    assert_int_equal(do_forgot(&caller, email), HTTP_STATUS_ACCEPTED);
    struct slice token = mailed_token(&caller, "user.password_reset", id);
    race(racers, (struct racer){.office = office, .token = token}, race_to_reset);
    for (int i = 0; i < RACERS; i++)
        won += racers[i].won;
    assert_int_equal(won, 1);
    assert_int_equal(office_int(office, &SESSIONS_LIVE, DB_ARGS(db_uuid(id))), 0);
    assert_int_equal(do_login(&caller, email, OTHER_PASSWORD), HTTP_STATUS_OK);
    caller_end(&caller);
}

DB_STATEMENT(ACCOUNT_TOKENS_EXPIRE) = {
    .sql = "UPDATE account_tokens SET expires_at = $2 WHERE user_id = $1",
    .params = {DB_UUID, DB_TIME},
};

static void test_only_the_newest_reset_token_of_an_active_account_works(void **state)
{
    struct office *office = *state;
    struct caller caller;
    struct slice email;
    caller_begin(&caller, office);
    struct uuid id = register_one(&caller, &email, NULL);
    struct slice verify = mailed_token(&caller, "user.verify_email", id);
    do_forgot(&caller, email);
    struct slice older = mailed_token(&caller, "user.password_reset", id);
    do_forgot(&caller, email);
    struct slice newer = mailed_token(&caller, "user.password_reset", id);
    do_reset(&caller, older, OTHER_PASSWORD);
    assert_refused(&caller, HTTP_STATUS_BAD_REQUEST, "INVALID_TOKEN");
    do_reset(&caller, verify, OTHER_PASSWORD);
    assert_refused(&caller, HTTP_STATUS_BAD_REQUEST, "INVALID_TOKEN");
    do_verify(&caller, newer);
    assert_refused(&caller, HTTP_STATUS_BAD_REQUEST, "INVALID_TOKEN");
    shop_write(office->shop, &SET_STATUS, DB_ARGS(db_uuid(id), db_text(SLICE("disabled"))));
    do_reset(&caller, newer, OTHER_PASSWORD);
    assert_refused(&caller, HTTP_STATUS_BAD_REQUEST, "INVALID_TOKEN");
    shop_write(office->shop, &SET_STATUS, DB_ARGS(db_uuid(id), db_text(SLICE("active"))));
    assert_int_equal(do_reset(&caller, newer, OTHER_PASSWORD), HTTP_STATUS_NO_CONTENT);
    assert_int_equal(do_verify(&caller, verify), HTTP_STATUS_NO_CONTENT);
    do_verify(&caller, verify);
    assert_refused(&caller, HTTP_STATUS_BAD_REQUEST, "INVALID_TOKEN");
    do_forgot(&caller, email);
    struct slice late = mailed_token(&caller, "user.password_reset", id);
    shop_write(office->shop, &ACCOUNT_TOKENS_EXPIRE, DB_ARGS(db_uuid(id), db_time(clock_now_ms())));
    do_reset(&caller, late, PASSWORD);
    assert_refused(&caller, HTTP_STATUS_BAD_REQUEST, "INVALID_TOKEN");
    caller_end(&caller);
}

static void test_forgetting_tells_nothing_and_mails_nobody(void **state)
{
    struct office *office = *state;
    struct caller caller;
    caller_begin(&caller, office);
    struct db_args topic = DB_ARGS(db_text(SLICE("user.password_reset")));
    int64_t mails = office_int(office, &MESSAGES, topic);
    int64_t rows = office_int(office, &MESSAGES_OF_ANY_KIND, DB_NO_ARGS);
    assert_int_equal(do_forgot(&caller, SLICE("nobody@example.com")), HTTP_STATUS_ACCEPTED);
    assert_int_equal(response_content(&caller.response).len, 0);
    assert_int_equal(office_int(office, &MESSAGES, topic), mails);
    assert_int_equal(office_int(office, &MESSAGES_OF_ANY_KIND, DB_NO_ARGS), rows + 1); /* a write like any */
    caller_end(&caller);
}

/* ---- purging ---- */

DB_STATEMENT(TOKENS_OF) = {
    .sql = "SELECT COUNT(*) FROM account_tokens WHERE user_id = $1",
    .params = {DB_UUID},
    .columns = {DB_INT},
};

struct purge {
    int64_t limit;
    int64_t deleted;
};

static enum db_result purge_run(struct db *db, void *arg)
{
    struct purge *purge = arg;
    return accounts_purge(db, clock_now_ms(), purge->limit, &purge->deleted);
}

static void test_the_purge_takes_expired_tokens_in_batches(void **state)
{
    struct office *office = *state;
    struct caller caller;
    struct slice email, other_email;
    struct purge purge = {.limit = 1000};
    caller_begin(&caller, office);
    struct uuid id = register_one(&caller, &email, NULL);
    struct uuid other = register_one(&caller, &other_email, NULL);
    assert_int_equal(db_transaction(caller.db, purge_run, &purge), DB_DONE); /* what other tests left */
    for (int i = 0; i < 4; i++)
        do_forgot(&caller, email);
    shop_write(office->shop, &ACCOUNT_TOKENS_EXPIRE, DB_ARGS(db_uuid(id), db_time(clock_now_ms() - 1)));
    purge.limit = 3;
    assert_int_equal(db_transaction(caller.db, purge_run, &purge), DB_DONE);
    assert_int_equal(purge.deleted, 3);
    assert_int_equal(db_transaction(caller.db, purge_run, &purge), DB_DONE);
    assert_int_equal(purge.deleted, 2);
    assert_int_equal(office_int(office, &TOKENS_OF, DB_ARGS(db_uuid(id))), 0);
    assert_int_equal(office_int(office, &TOKENS_OF, DB_ARGS(db_uuid(other))), 1);
    caller_end(&caller);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registering_opens_a_customers_account),
        cmocka_unit_test(test_one_address_is_one_account),
        cmocka_unit_test(test_every_refused_login_answers_the_same),
        cmocka_unit_test(test_an_old_hash_is_renewed_by_a_login),
        cmocka_unit_test(test_a_login_takes_the_guests_cart_along),
        cmocka_unit_test(test_a_token_used_twice_ends_its_session_for_good),
        cmocka_unit_test(test_the_cookie_is_taken_from_our_own_pages_only),
        cmocka_unit_test(test_a_cookie_session_stays_in_the_cookie),
        cmocka_unit_test(test_logging_out_ends_what_it_names_and_nothing_else),
        cmocka_unit_test(test_no_session_of_the_old_password_outlives_it),
        cmocka_unit_test(test_a_password_change_needs_the_present_one),
        cmocka_unit_test(test_a_reset_token_is_used_once),
        cmocka_unit_test(test_only_the_newest_reset_token_of_an_active_account_works),
        cmocka_unit_test(test_forgetting_tells_nothing_and_mails_nobody),
        cmocka_unit_test(test_the_purge_takes_expired_tokens_in_batches),
    };
    return cmocka_run_group_tests(tests, office_open, office_close);
}
