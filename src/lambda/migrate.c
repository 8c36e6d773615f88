/* The handler `migrate`: brings the database's schema up to date, at a deployment, before the functions that
 * need it take over. Called by hand it answers {"applied", "version"}; as a custom resource of CloudFormation
 * (through the Provider framework of CDK) the same as Data. It never goes down: deleting the resource changes
 * nothing. */
#include "base/clock.h"
#include "base/json_writer.h"
#include "data/migrations.h"
#include "lambda/json_event.h"

#include <time.h>

#define RESOURCE_ID "souk-schema"
#define AWAKE_RESERVE_US INT64_C(5000000) /* of the invocation's time, for the migrations themselves */
#define AWAKE_PAUSE_MS 500

/* A database that scaled down to nothing takes its time to wake. */
static bool wait_until_awake(struct store *store, const struct invocation *invocation,
                             struct slice *complaint)
{
    const struct timespec pause = {.tv_nsec = AWAKE_PAUSE_MS * 1000000};
    if (store_engine(store) == DB_SQLITE)
        return true;
    while (!store_reach(store, invocation->arena, complaint)) {
        if (clock_monotonic_us() + AWAKE_RESERVE_US >= invocation->deadline_us)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

static void write_outcome(struct json_writer *json, int64_t applied, int64_t version)
{
    json_field_int(json, "applied", applied);
    json_field_int(json, "version", version);
}

static struct slice answer(struct arena *arena, bool is_resource, struct slice id, int64_t applied,
                           int64_t version)
{
    struct buf out;
    struct json_writer json;
    buf_init(&out, arena);
    json_init(&json, &out);
    json_object_begin(&json);
    if (is_resource) {
        /* Another id would make CloudFormation delete the old one. */
        json_field_string(&json, "PhysicalResourceId", id.len > 0 ? id : SLICE(RESOURCE_ID));
        json_field_object_begin(&json, "Data");
    }
    write_outcome(&json, applied, version);
    if (is_resource)
        json_object_end(&json);
    json_object_end(&json);
    return buf_slice(&out);
}

static void migrate_handle(struct lambda_context *context, const struct invocation *invocation,
                           struct lambda_result *result)
{
    struct store *store = context->services.store;
    struct slice complaint = SLICE_ABSENT;
    int64_t applied = 0;
    json_t *event = lambda_event_object(invocation, result);
    if (event == NULL)
        return;
    struct slice request = lambda_event_text(invocation->arena, event, "RequestType");
    struct slice id = lambda_event_text(invocation->arena, event, "PhysicalResourceId");
    json_decref(event);
    bool is_resource = !slice_is_absent(request), is_deleted = slice_is(request, "Delete");
    if (is_resource && !is_deleted && !slice_is(request, "Create") && !slice_is(request, "Update"))
        lambda_fail(result, SLICE("Event.Malformed"), SLICE("RequestType must be Create, Update or Delete"));
    else if (!is_deleted && (!wait_until_awake(store, invocation, &complaint) ||
                             !migrations_up(store, invocation->arena, &applied, &complaint)))
        lambda_fail(result, SLICE("Migrate.Failed"), complaint);
    else
        result->answer =
            answer(invocation->arena, is_resource, id, applied, is_deleted ? 0 : migrations_current(store));
}

const struct lambda_handler lambda_migrate = {
    .name = "migrate",
    .help = "brings the database's schema up to date",
    .needs = LAMBDA_NEEDS_STORE,
    .handle = migrate_handle,
};
