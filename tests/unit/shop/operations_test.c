/* Health, metrics and the explorer: who is told what. */
#include "shop/fixture.h"

#include "auth/roles.h"
#include "contract/handlers.h"
#include "contract/inputs.h"
#include "shop/docs_explorer.h"

struct call {
    struct services services;
    struct request request;
    struct response response;
};

static struct call *call_new(void **state)
{
    struct shop *shop = *state;
    struct call *call = ARENA_NEW(&shop->arena, struct call);
    call->services.store = shop->store;
    call->request = (struct request){.services = &call->services, .arena = &shop->arena, .db = shop->db};
    response_init(&call->response, &shop->arena, true);
    return call;
}

static const char *body_of(struct call *call)
{
    return arena_copy(call->request.arena, response_content(&call->response)).ptr;
}

/* ---- health ---- */

static void test_ready(void **state)
{
    struct call *call = call_new(state);
    assert_int_equal(health_ready(&call->request, &call->response), HTTP_STATUS_OK);
    assert_string_equal(
        body_of(call),
        "{\"status\":\"ok\",\"checks\":{\"database\":\"ok\",\"schema\":\"ok\",\"workers\":\"ok\"}}");
    assert_string_equal(response_header_value(&call->response, "Cache-Control").ptr, "no-store");
}

static void test_not_ready_with_another_schema(void **state)
{
    struct shop *shop = *state;
    struct call *call = call_new(state);
    int64_t applied = 0;
    struct slice complaint;
    assert_true(migrations_down(shop->store, 1, &shop->arena, &applied, &complaint));
    assert_int_equal(health_ready(&call->request, &call->response), HTTP_STATUS_UNAVAILABLE);
    assert_non_null(strstr(body_of(call), "\"status\":\"down\""));
    assert_non_null(strstr(body_of(call), "\"database\":\"ok\",\"schema\":\"down\""));
    assert_non_null(response_header_value(&call->response, "Retry-After").ptr);
}

/* ---- metrics ---- */

static enum http_status metrics_for(void **state, bool is_loopback, bool is_user, enum role role)
{
    struct call *call = call_new(state);
    call->request.is_loopback = is_loopback;
    if (is_user)
        call->request.principal =
            (struct principal){.kind = PRINCIPAL_USER, .role = role, .scopes = scopes_of_kind(role)};
    enum http_status status = metrics_get(&call->request, &call->response);
    assert_int_equal(status == HTTP_STATUS_OK, strstr(body_of(call), "# TYPE souk_") != NULL);
    return status;
}

static void test_metrics_are_for_operators(void **state)
{
    static struct metric witness = METRIC("souk_test_witness", "Something to see", NULL, METRIC_GAUGE);
    metric_set(&witness, 1);
    assert_int_equal(metrics_for(state, true, false, ROLE_CUSTOMER), HTTP_STATUS_OK);
    assert_int_equal(metrics_for(state, false, false, ROLE_CUSTOMER), HTTP_STATUS_NOT_FOUND);
    assert_int_equal(metrics_for(state, false, true, ROLE_CUSTOMER), HTTP_STATUS_NOT_FOUND);
    assert_int_equal(metrics_for(state, false, true, ROLE_STAFF), HTTP_STATUS_OK);
    assert_int_equal(metrics_for(state, false, true, ROLE_ADMIN), HTTP_STATUS_OK);
}

/* ---- the explorer ---- */

static enum http_status ask_file(struct call *call, struct slice name)
{
    struct docs_asset_get_input input = {.file = name};
    call->request.input = &input;
    return docs_asset_get(&call->request, &call->response);
}

static void test_explorer(void **state)
{
    struct call *page = call_new(state);
    assert_int_equal(docs_get(&page->request, &page->response), HTTP_STATUS_OK);
    assert_string_equal(page->response.content_type, "text/html; charset=utf-8");
    const char *policy = response_header_value(&page->response, "Content-Security-Policy").ptr;
    assert_non_null(
        strstr(policy, "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"));
    assert_null(strstr(policy, "unsafe"));
    size_t files = 0;
    for (const char *at = strstr(body_of(page), "\"/docs/"); at != NULL;
         at = strstr(at + 1, "\"/docs/"), files++) {
        struct call *file = call_new(state);
        assert_int_equal(ask_file(file, (struct slice){at + 7, strcspn(at + 7, "\"")}), HTTP_STATUS_OK);
        assert_true(file->response.body.len > 0);
        assert_non_null(response_header_value(&file->response, "Content-Security-Policy").ptr);
    }
    assert_int_equal(files, 2);
    static const char *const OTHERS[] = {"no-such-file.js", "../docs", "explorer.js/", "EXPLORER.JS",
                                         "explorer"};
    for (size_t i = 0; i < COUNT_OF(OTHERS); i++) {
        struct call *call = call_new(state);
        assert_int_equal(ask_file(call, slice_from(OTHERS[i])), HTTP_STATUS_NOT_FOUND);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, shop_open, shop_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ready),
        TEST(test_not_ready_with_another_schema),
        TEST(test_metrics_are_for_operators),
        TEST(test_explorer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
