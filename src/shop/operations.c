/* What operators and tools ask: health, metrics, the contract, the public keys, and the explorer that shows
 * the contract. */
#include "contract/handlers.h"
#include "contract/inputs.h"
#include "contract/openapi_document.h"
#include "data/migrations.h"
#include "http/gateway.h"
#include "shop/docs_explorer.h"

/* ---- health ---- */

enum http_status health_live(struct request *request, struct response *response)
{
    (void)request;
    json_object_begin(&response->json);
    json_field_string(&response->json, "status", slice_from(health_status_name(HEALTH_STATUS_OK)));
    json_object_end(&response->json);
    return HTTP_STATUS_OK;
}

static void status_write(struct json_writer *json, const char *name, enum health_status status)
{
    json_field_string(json, name, slice_from(health_status_name(status)));
}

/* Not behind others' reads, but asking a database elsewhere takes a while. */
enum execution health_ready_execution(const struct request *request)
{
    return store_reads_inline(request->services->store) ? EXECUTION_INLINE : EXECUTION_WORKER;
}

/* A load balancer sends nothing here while it answers 503. Full queues are no reason for that: what the cache
 * holds and what is read at once is still served, and the next moment there is room again. */
enum http_status health_ready(struct request *request, struct response *response)
{
    struct store *store = request->services->store;
    bool is_database_well = store_is_ready(store);
    bool is_schema_well = is_database_well && !atomic_load(&request->services->is_closed) &&
                          migrations_current(store) == migrations_latest();
    bool is_draining = gateway_is_draining();
    bool is_well = is_database_well && is_schema_well && !is_draining;
    enum health_status workers = is_draining          ? HEALTH_STATUS_DOWN
                                 : gateway_has_room() ? HEALTH_STATUS_OK
                                                      : HEALTH_STATUS_DEGRADED;
    struct cache *cache = request->services->cache;
    enum cache_tier tier = cache != NULL ? cache_shared_tier(cache) : CACHE_TIER_NONE;
    bool is_slower = workers != HEALTH_STATUS_OK || tier == CACHE_TIER_DEGRADED;
    struct json_writer *json = &response->json;
    json_object_begin(json);
    status_write(json, "status",
                 !is_well    ? HEALTH_STATUS_DOWN
                 : is_slower ? HEALTH_STATUS_DEGRADED
                             : HEALTH_STATUS_OK);
    json_field_object_begin(json, "checks");
    status_write(json, "database", is_database_well ? HEALTH_STATUS_OK : HEALTH_STATUS_DOWN);
    status_write(json, "schema", is_schema_well ? HEALTH_STATUS_OK : HEALTH_STATUS_DOWN);
    status_write(json, "workers", workers);
    if (tier != CACHE_TIER_NONE)
        status_write(json, "cache", tier == CACHE_TIER_UP ? HEALTH_STATUS_OK : HEALTH_STATUS_DEGRADED);
    json_object_end(json);
    json_object_end(json);
    response_header(response, "Cache-Control", SLICE("no-store"));
    if (is_well)
        return HTTP_STATUS_OK;
    response_header(response, "Retry-After", SLICE("5"));
    return HTTP_STATUS_UNAVAILABLE;
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
    if (atomic_load(&request->services->is_closed)) {
        enum http_status status =
            problem(response, PROBLEM_UNAVAILABLE, "The keys are not read yet; try again");
        response_header(response, "Retry-After", SLICE("1"));
        return status;
    }
    buf_append(&response->body, key_ring_jwks(request->services->keys, request->arena));
    response_header(response, "Cache-Control", SLICE("public, max-age=300"));
    return HTTP_STATUS_OK;
}

/* ---- the explorer ---- */

/* Its page may load its own script and style sheet, ask this server, and nothing else. */
#define EXPLORER_POLICY                                                                                      \
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"     \
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static enum http_status docs_answer(struct response *response, struct slice name)
{
    for (size_t i = 0; i < docs_file_count; i++) {
        if (!slice_is(name, docs_files[i].name))
            continue;
        response->content_type = docs_files[i].content_type;
        response_header(response, "Content-Security-Policy", SLICE(EXPLORER_POLICY));
        buf_append(&response->body, docs_files[i].body);
        return HTTP_STATUS_OK;
    }
    return problem(response, PROBLEM_NOT_FOUND, "The explorer has no such file");
}

enum http_status docs_get(struct request *request, struct response *response)
{
    (void)request;
    return docs_answer(response, SLICE(""));
}

enum http_status docs_asset_get(struct request *request, struct response *response)
{
    const struct docs_asset_get_input *input = request->input;
    return docs_answer(response, input->file);
}
