/* Plans: what limits the keys that are on them. */
#include "shop/plans.h"

#include "contract/handlers.h"
#include "contract/inputs.h"
#include "http/audit.h"
#include "http/page.h"

#define STANDARD_NAME SLICE("Standard")
#define STANDARD_DESCRIPTION SLICE("What a key has when nothing else is said")
#define STANDARD_RATE_PER_MINUTE 1000
#define STANDARD_BURST 1000
#define STANDARD_MONTHLY_QUOTA 1000000

struct plan {
    struct uuid id;
    struct slice name;
    struct slice description;
    int64_t rate_per_minute;
    int64_t burst;
    int64_t monthly_quota; /* 0: none */
    enum quota_binds quota_binds;
    int64_t version;
    int64_t created_at_ms;
    int64_t updated_at_ms;
};

/* ---- reading and showing ---- */

#define PLAN_COLUMNS                                                                                         \
    "id, name, description, rate_per_minute, burst, monthly_quota, quota_binds, version, created_at, updated_at"
#define PLAN_COLUMN_TYPES DB_UUID, DB_TEXT, DB_TEXT, DB_INT, DB_INT, DB_INT, DB_TEXT, DB_INT, DB_TIME, DB_TIME

static void plan_take(struct db_rows *rows, struct arena *arena, struct plan *plan)
{
    *plan = (struct plan){
        .id = db_get_uuid(rows, 0),
        .name = db_copy_text(rows, 1, arena),
        .description = db_copy_text(rows, 2, arena),
        .rate_per_minute = db_get_int(rows, 3),
        .burst = db_get_int(rows, 4),
        .monthly_quota = db_get_int(rows, 5),
        .version = db_get_int(rows, 7),
        .created_at_ms = db_get_time(rows, 8),
        .updated_at_ms = db_get_time(rows, 9),
    };
    CHECK(quota_binds_parse(db_get_text(rows, 6), &plan->quota_binds)); /* as the schema's CHECK allows */
}

DB_STATEMENT(PLAN_READ) = {
    .sql = "SELECT " PLAN_COLUMNS " FROM plans WHERE id = $1",
    .params = {DB_UUID},
    .columns = {PLAN_COLUMN_TYPES},
};

/* DB_ROW, DB_DONE (no such plan) or DB_ERROR. */
static enum db_result plan_read(struct db *db, struct arena *arena, struct uuid id, struct plan *plan)
{
    struct db_rows *rows = db_query(db, &PLAN_READ, DB_ARGS(db_uuid(id)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    plan_take(rows, arena, plan);
    db_close(rows);
    return DB_ROW;
}

static void plan_write(struct json_writer *json, const struct plan *plan)
{
    json_object_begin(json);
    json_field_uuid(json, "id", plan->id);
    json_field_string(json, "name", plan->name);
    json_field_string(json, "description", plan->description);
    json_field_int(json, "ratePerMinute", plan->rate_per_minute);
    json_field_int(json, "burst", plan->burst);
    if (plan->monthly_quota > 0)
        json_field_int(json, "monthlyQuota", plan->monthly_quota);
    else
        json_field_null(json, "monthlyQuota");
    json_field_string(json, "quotaBinds", slice_from(quota_binds_name(plan->quota_binds)));
    json_field_time(json, "createdAt", plan->created_at_ms);
    json_field_time(json, "updatedAt", plan->updated_at_ms);
    json_object_end(json);
}

/* For the audit log. */
static struct slice plan_state(struct arena *arena, const struct plan *plan)
{
    struct audit_state state;
    audit_state_begin(&state, arena);
    plan_write(&state.json, plan);
    return audit_state_end(&state);
}

static enum http_status plan_answer(struct response *response, const struct plan *plan,
                                    enum http_status status)
{
    plan_write(&response->json, plan);
    response_version(response, plan->version);
    return status;
}

static enum http_status not_found(struct response *response)
{
    return problem(response, PROBLEM_PLAN_NOT_FOUND, "There is no plan with this id");
}

enum http_status plan_get(struct request *request, struct response *response)
{
    const struct plan_get_input *input = request->input;
    struct plan plan;
    enum db_result result = plan_read(request->db, request->arena, input->id, &plan);
    if (result == DB_DONE)
        return not_found(response);
    if (result != DB_ROW)
        return problem_database(response, result);
    return plan_answer(response, &plan, HTTP_STATUS_OK);
}

DB_STATEMENT(PLANS_PAGE) = {
    .sql = "SELECT " PLAN_COLUMNS " FROM plans WHERE id > $1 ORDER BY id LIMIT $2",
    .params = {DB_UUID, DB_INT},
    .columns = {PLAN_COLUMN_TYPES},
};

enum http_status plans_list(struct request *request, struct response *response)
{
    const struct plans_list_input *input = request->input;
    struct cursor_scope scope;
    static const enum db_type TYPES[] = {DB_UUID};
    struct db_value after = db_uuid((struct uuid){{0}});
    cursor_scope_init(&scope, request->operation);
    if (input->has_cursor && !cursor_open(request, &scope, input->cursor, TYPES, 1, &after))
        return problem_field(response, "cursor", "INVALID", "must be the nextCursor of this very list");
    struct db_rows *rows = db_query(request->db, &PLANS_PAGE, DB_ARGS(after, db_int(input->limit + 1)));
    struct plan plan = {.version = 0};
    struct slice next = SLICE_ABSENT;
    int64_t count = 0;
    enum db_result result;
    json_array_begin(&response->json);
    while ((result = db_next(rows)) == DB_ROW && count++ < input->limit) {
        plan_take(rows, request->arena, &plan);
        plan_write(&response->json, &plan);
    }
    json_array_end(&response->json);
    if (result == DB_ROW) { /* the row past the page */
        db_close(rows);
        next = cursor_make(request, &scope, &(struct db_value){.type = DB_UUID, .uuid = plan.id}, 1);
    } else if (result != DB_DONE) {
        return problem_database(response, result);
    }
    response_page(response, input->limit, next);
    return HTTP_STATUS_OK;
}

/* ---- making and changing ---- */

DB_STATEMENT(PLANS_COUNT) = {
    .sql = "SELECT COUNT(*) FROM plans",
    .columns = {DB_INT},
};
DB_STATEMENT(PLAN_INSERT) = {
    .sql =
        "INSERT INTO plans (id, name, description, rate_per_minute, burst, monthly_quota, quota_binds,"
        " created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT (name) DO NOTHING",
    .params = {DB_UUID, DB_TEXT, DB_TEXT, DB_INT, DB_INT, DB_INT, DB_TEXT, DB_TIME},
};
DB_STATEMENT(PLAN_BY_NAME) = {
    .sql = "SELECT id FROM plans WHERE name = $1",
    .params = {DB_TEXT},
    .columns = {DB_UUID},
};

/* DB_DONE, DB_CONFLICT (the name is taken) or DB_ERROR. */
static enum db_result plan_insert(struct db *db, const struct plan *plan)
{
    return db_change(db, &PLAN_INSERT,
                     DB_ARGS(db_uuid(plan->id), db_text(plan->name), db_text(plan->description),
                             db_int(plan->rate_per_minute), db_int(plan->burst),
                             db_if(plan->monthly_quota > 0, db_int(plan->monthly_quota)),
                             db_text(slice_from(quota_binds_name(plan->quota_binds))),
                             db_time(plan->created_at_ms)));
}

/* DB_ROW with the plan of this name, DB_DONE or DB_ERROR. */
static enum db_result plan_by_name(struct db *db, struct slice name, struct uuid *id)
{
    struct db_rows *rows = db_query(db, &PLAN_BY_NAME, DB_ARGS(db_text(name)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    *id = db_get_uuid(rows, 0);
    db_close(rows);
    return DB_ROW;
}

static struct plan new_plan(int64_t now_ms)
{
    return (struct plan){.id = uuid_v7(now_ms),
                         .description = SLICE(""),
                         .monthly_quota = STANDARD_MONTHLY_QUOTA,
                         .quota_binds = QUOTA_BINDS_SECRET,
                         .version = 1,
                         .created_at_ms = now_ms,
                         .updated_at_ms = now_ms};
}

enum db_result plan_standard(struct db *db, int64_t now_ms, struct uuid *id)
{
    enum db_result result = plan_by_name(db, STANDARD_NAME, id);
    if (result != DB_DONE)
        return result == DB_ROW ? DB_DONE : result;
    struct plan plan = new_plan(now_ms);
    plan.name = STANDARD_NAME;
    plan.description = STANDARD_DESCRIPTION;
    plan.rate_per_minute = STANDARD_RATE_PER_MINUTE;
    plan.burst = STANDARD_BURST;
    *id = plan.id;
    result = plan_insert(db, &plan);
    return result == DB_DONE ? DB_DONE : DB_ERROR; /* somebody makes it just now: run it again */
}

enum db_result plan_exists(struct db *db, struct arena *arena, struct uuid id)
{
    struct plan plan;
    return plan_read(db, arena, id, &plan);
}

static enum http_status name_taken(struct response *response)
{
    return problem(response, PROBLEM_PLAN_NAME_TAKEN, "Another plan has this name");
}

enum http_status plan_create(struct request *request, struct response *response)
{
    const struct plan_create_input *input = request->input;
    int64_t count = 0;
    if (db_one_int(request->db, &PLANS_COUNT, DB_NO_ARGS, &count) != DB_ROW)
        return problem_database(response, DB_ERROR);
    if (count >= PLANS_MAX)
        return problem(response, PROBLEM_LIMIT_REACHED, "There are %d plans already", PLANS_MAX);
    struct plan plan = new_plan(request->now_ms);
    plan.name = input->name;
    plan.description = input->description;
    plan.rate_per_minute = input->rate_per_minute;
    plan.burst = input->burst;
    if (input->has_monthly_quota)
        plan.monthly_quota = input->monthly_quota_is_null ? 0 : input->monthly_quota;
    if (input->has_quota_binds)
        plan.quota_binds = input->quota_binds;
    enum db_result result = plan_insert(request->db, &plan);
    if (result == DB_CONFLICT)
        return name_taken(response);
    if (result != DB_DONE)
        return problem_database(response, result);
    response_location(response, "/plans/", plan.id);
    return audited(request, response, "plan", plan.id, SLICE_ABSENT,
                   plan_answer(response, &plan, HTTP_STATUS_CREATED));
}

DB_STATEMENT(PLAN_STORE) = {
    .sql = "UPDATE plans SET name = $3, description = $4, rate_per_minute = $5, burst = $6,"
           " monthly_quota = $7, quota_binds = $8, version = version + 1, updated_at = $9"
           " WHERE id = $1 AND version = $2",
    .params = {DB_UUID, DB_INT, DB_TEXT, DB_TEXT, DB_INT, DB_INT, DB_INT, DB_TEXT, DB_TIME},
};

static enum db_result plan_store(struct db *db, struct plan *plan, int64_t now_ms)
{
    int64_t read_version = plan->version++;
    plan->updated_at_ms = now_ms;
    return db_change(db, &PLAN_STORE,
                     DB_ARGS(db_uuid(plan->id), db_int(read_version), db_text(plan->name),
                             db_text(plan->description), db_int(plan->rate_per_minute), db_int(plan->burst),
                             db_if(plan->monthly_quota > 0, db_int(plan->monthly_quota)),
                             db_text(slice_from(quota_binds_name(plan->quota_binds))), db_time(now_ms)));
}

/* The plan that is to be changed. 0, or the refusal. */
static enum http_status plan_for_change(struct request *request, struct response *response, struct uuid id,
                                        struct plan *plan)
{
    enum db_result result = plan_read(request->db, request->arena, id, plan);
    if (result == DB_DONE)
        return not_found(response);
    if (result != DB_ROW)
        return problem_database(response, result);
    return response_precondition(response, request, plan->version);
}

static void plan_take_input(struct plan *plan, const struct plan_update_input *input)
{
    if (input->has_name)
        plan->name = input->name;
    if (input->has_description)
        plan->description = input->description;
    if (input->has_rate_per_minute)
        plan->rate_per_minute = input->rate_per_minute;
    if (input->has_burst)
        plan->burst = input->burst;
    if (input->has_monthly_quota)
        plan->monthly_quota = input->monthly_quota_is_null ? 0 : input->monthly_quota;
    if (input->has_quota_binds)
        plan->quota_binds = input->quota_binds;
}

enum http_status plan_update(struct request *request, struct response *response)
{
    const struct plan_update_input *input = request->input;
    struct plan plan;
    struct uuid other;
    enum http_status refusal = plan_for_change(request, response, input->id, &plan);
    if (refusal != 0)
        return refusal;
    if (input->has_name && !slice_equals(input->name, plan.name)) {
        enum db_result taken = plan_by_name(request->db, input->name, &other);
        if (taken == DB_ROW)
            return name_taken(response);
        if (taken != DB_DONE)
            return problem_database(response, taken);
    }
    struct slice before = plan_state(request->arena, &plan);
    plan_take_input(&plan, input);
    enum db_result result = plan_store(request->db, &plan, request->now_ms);
    if (result != DB_DONE)
        return problem_database(response, result);
    response_drop_id(response, "plan", plan.id);
    return audited(request, response, "plan", plan.id, before, plan_answer(response, &plan, HTTP_STATUS_OK));
}

DB_STATEMENT(PLAN_KEYS) = {
    .sql = "SELECT COUNT(*) FROM (SELECT 1 AS one FROM api_keys WHERE plan_id = $1 LIMIT 1) AS found",
    .params = {DB_UUID},
    .columns = {DB_INT},
};
DB_STATEMENT(PLAN_DELETE) = {
    .sql = "DELETE FROM plans WHERE id = $1 AND version = $2",
    .params = {DB_UUID, DB_INT},
};

enum http_status plan_delete(struct request *request, struct response *response)
{
    const struct plan_delete_input *input = request->input;
    struct plan plan;
    int64_t keys = 0;
    enum http_status refusal = plan_for_change(request, response, input->id, &plan);
    if (refusal != 0)
        return refusal;
    if (db_one_int(request->db, &PLAN_KEYS, DB_ARGS(db_uuid(plan.id)), &keys) != DB_ROW)
        return problem_database(response, DB_ERROR);
    if (keys > 0)
        return problem(response, PROBLEM_PLAN_IN_USE,
                       "Keys are or were on this plan; put them on another one");
    enum db_result result =
        db_change(request->db, &PLAN_DELETE, DB_ARGS(db_uuid(plan.id), db_int(plan.version)));
    if (result != DB_DONE)
        return problem_database(response, result);
    return audited(request, response, "plan", plan.id, plan_state(request->arena, &plan),
                   HTTP_STATUS_NO_CONTENT);
}
