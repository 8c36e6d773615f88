/* What operators and tools ask: health, metrics, the contract, the public keys. */
#include "contract/handlers.h"
#include "contract/inputs.h"
#include "contract/openapi_document.h"
#include "data/migrations.h"

/* ---- health ---- */

enum http_status health_live(struct request *request, struct response *response)
{
    (void)request;
    json_object_begin(&response->json);
    json_field_string(&response->json, "status", slice_from(health_status_name(HEALTH_STATUS_OK)));
    json_object_end(&response->json);
    return HTTP_STATUS_OK;
}

static void check_write(struct json_writer *json, const char *name, bool is_well)
{
    json_field_string(json, name,
                      slice_from(health_status_name(is_well ? HEALTH_STATUS_OK : HEALTH_STATUS_DOWN)));
}

/* A load balancer sends nothing here while it answers 503. */
enum http_status health_ready(struct request *request, struct response *response)
{
    struct store *store = request->services->store;
    bool is_database_well = store_is_ready(store);
    bool is_schema_well = is_database_well && migrations_current(store) == migrations_latest();
    bool is_well = is_database_well && is_schema_well;
    struct json_writer *json = &response->json;
    json_object_begin(json);
    json_field_string(json, "status",
                      slice_from(health_status_name(is_well ? HEALTH_STATUS_OK : HEALTH_STATUS_DOWN)));
    json_field_object_begin(json, "checks");
    check_write(json, "database", is_database_well);
    check_write(json, "schema", is_schema_well);
    json_object_end(json);
    json_object_end(json);
    response_header(response, "Cache-Control", SLICE("no-store"));
    return is_well ? HTTP_STATUS_OK : HTTP_STATUS_UNAVAILABLE;
}

/* ---- metrics ---- */

/* What a shop sells is nobody's business: a scraper on this machine may read it, others need settings:read.
 */
enum http_status metrics_get(struct request *request, struct response *response)
{
    if (!request->is_loopback && !principal_has(&request->principal, SCOPE_SETTINGS_READ))
        return problem(response, PROBLEM_NOT_FOUND, "There is nothing here for you");
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_render(&response->body);
    response_header(response, "Cache-Control", SLICE("no-store"));
    return HTTP_STATUS_OK;
}

/* ---- the contract and the keys ---- */

enum http_status openapi_get(struct request *request, struct response *response)
{
    (void)request;
    buf_append(&response->body, openapi_document);
    return HTTP_STATUS_OK;
}

enum http_status jwks_get(struct request *request, struct response *response)
{
    buf_append(&response->body, key_ring_jwks(request->services->keys, request->arena));
    response_header(response, "Cache-Control", SLICE("public, max-age=300"));
    return HTTP_STATUS_OK;
}
