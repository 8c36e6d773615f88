/* Staff roles under /roles. A role is a set of scopes with a name; what it grants is read at each request, so
 * a change holds at once, on every server by the cache's tag role:NAME.
 *
 * Nobody rises by this: who makes, changes or grants a role has every scope in it. `admin` has all scopes,
 * always, and cannot be changed. */
#include "shop/roles.h"

#include "contract/handlers.h"
#include "contract/inputs.h"
#include "http/audit.h"
#include "http/page.h"

#define ROLES_MAX 100

struct staff_role {
    struct slice name;
    struct slice description;
    uint32_t scopes;
    bool is_built_in;
    int64_t version;
    int64_t created_at_ms;
    int64_t updated_at_ms;
};

/* ---- reading and showing ---- */

#define ROLE_COLUMNS "name, description, scopes, is_built_in, version, created_at, updated_at"
#define ROLE_COLUMN_TYPES DB_TEXT, DB_TEXT, DB_TEXT, DB_BOOL, DB_INT, DB_TIME, DB_TIME

static void role_take(struct db_rows *rows, struct arena *arena, struct staff_role *role)
{
    *role = (struct staff_role){
        .name = db_copy_text(rows, 0, arena),
        .description = db_copy_text(rows, 1, arena),
        .scopes = scopes_parse(db_get_text(rows, 2)),
        .is_built_in = db_get_bool(rows, 3),
        .version = db_get_int(rows, 4),
        .created_at_ms = db_get_time(rows, 5),
        .updated_at_ms = db_get_time(rows, 6),
    };
}

static void role_write(struct json_writer *json, struct arena *arena, const struct staff_role *role)
{
    struct slice names = scopes_format(arena, role->scopes);
    struct slice name;
    json_object_begin(json);
    json_field_string(json, "name", role->name);
    json_field_string(json, "description", role->description);
    json_field_array_begin(json, "scopes");
    while (names.len > 0 && slice_split(&names, ' ', &name))
        json_text(json, name);
    json_array_end(json);
    json_field_bool(json, "isBuiltIn", role->is_built_in);
    json_field_time(json, "createdAt", role->created_at_ms);
    json_field_time(json, "updatedAt", role->updated_at_ms);
    json_object_end(json);
}

DB_STATEMENT(ROLE_READ) = {
    .sql = "SELECT " ROLE_COLUMNS " FROM roles WHERE name = $1",
    .params = {DB_TEXT},
    .columns = {ROLE_COLUMN_TYPES},
};

/* DB_ROW, DB_DONE or DB_ERROR. */
static enum db_result role_read(struct db *db, struct arena *arena, struct slice name,
                                struct staff_role *role)
{
    struct db_rows *rows = db_query(db, &ROLE_READ, DB_ARGS(db_text(name)));
    enum db_result result = db_next(rows);
    if (result == DB_ROW) {
        role_take(rows, arena, role);
        db_close(rows);
    }
    return result;
}

static enum http_status role_answer(struct request *request, struct response *response,
                                    const struct staff_role *role, enum http_status status)
{
    response_version(response, role->version);
    role_write(&response->json, request->arena, role);
    return status;
}

/* What the audit log keeps of a role that changes. */
static struct slice role_state(struct arena *arena, const struct staff_role *role)
{
    struct audit_state state;
    audit_state_begin(&state, arena);
    role_write(&state.json, arena, role);
    return audit_state_end(&state);
}

static enum http_status role_for_reply(struct request *request, struct response *response, struct slice name,
                                       struct staff_role *role)
{
    enum db_result result = role_read(request->db, request->arena, name, role);
    if (result == DB_DONE)
        return problem(response, PROBLEM_ROLE_NOT_FOUND, "There is no role with this name");
    return result == DB_ROW ? (enum http_status)0 : problem_database(response, result);
}

enum http_status role_get(struct request *request, struct response *response)
{
    const struct role_get_input *input = request->input;
    struct staff_role role;
    enum http_status refusal = role_for_reply(request, response, input->name, &role);
    return refusal != 0 ? refusal : role_answer(request, response, &role, HTTP_STATUS_OK);
}

DB_STATEMENT(ROLES_PAGE) = {
    .sql = "SELECT " ROLE_COLUMNS " FROM roles WHERE name > $1 ORDER BY name LIMIT $2",
    .params = {DB_TEXT, DB_INT},
    .columns = {ROLE_COLUMN_TYPES},
};

enum http_status roles_list(struct request *request, struct response *response)
{
    const struct roles_list_input *input = request->input;
    struct cursor_scope scope;
    cursor_scope_init(&scope, request->operation);
    const enum db_type cursor_types[] = {DB_TEXT};
    struct db_value after = db_text(SLICE(""));
    if (input->has_cursor && !cursor_open(request, &scope, input->cursor, cursor_types, 1, &after))
        return problem_field(response, "cursor", "INVALID", "must be the nextCursor of this very list");
    struct db_rows *rows =
        db_query(request->db, &ROLES_PAGE, DB_ARGS(db_text(after.text), db_int(input->limit + 1)));
    struct staff_role role = {.version = 0};
    struct slice next = SLICE_ABSENT;
    int64_t count = 0;
    enum db_result result;
    json_array_begin(&response->json);
    while ((result = db_next(rows)) == DB_ROW && count < input->limit) {
        role_take(rows, request->arena, &role);
        role_write(&response->json, request->arena, &role);
        count++;
    }
    json_array_end(&response->json);
    if (result == DB_ROW) {
        db_close(rows); /* the row past the page */
        const struct db_value last = db_text(role.name);
        next = cursor_make(request, &scope, &last, 1);
        result = DB_DONE;
    }
    if (result != DB_DONE)
        return problem_database(response, result);
    response_page(response, input->limit, next);
    return HTTP_STATUS_OK;
}

enum db_result role_find(struct db *db, struct slice name, struct role_grant *grant)
{
    *grant = (struct role_grant){.kind = ROLE_CUSTOMER, .name = name, .scopes = 0};
    if (slice_is(name, role_name(ROLE_CUSTOMER)))
        return DB_ROW;
    struct db_rows *rows = db_query(db, &ROLE_READ, DB_ARGS(db_text(name)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    grant->kind = slice_is(name, role_name(ROLE_ADMIN)) ? ROLE_ADMIN : ROLE_STAFF;
    grant->scopes = scopes_parse(db_get_text(rows, 2));
    db_close(rows);
    return DB_ROW;
}

/* ---- who may change one ---- */

enum http_status refuse_former_staff(struct request *request, struct response *response, enum scope scope)
{
    struct session_standing standing;
    if (!principal_is_user(&request->principal)) /* a key has no session; what it may do was read with it */
        return principal_has(&request->principal, scope)
                   ? (enum http_status)0
                   : problem(response, PROBLEM_FORBIDDEN, "This key does not allow this");
    enum db_result result =
        session_check(request->db, request->principal.session_id, request->now_ms, &standing);
    if (result == DB_DONE)
        return problem(response, PROBLEM_UNAUTHENTICATED, "Your session has ended");
    if (result != DB_ROW)
        return problem_database(response, DB_ERROR);
    request->principal.role = standing.role;
    request->principal.scopes = standing.scopes;
    if (principal_has(&request->principal, scope))
        return (enum http_status)0;
    return problem(response, PROBLEM_FORBIDDEN, "Your role does not allow this");
}

enum http_status refuse_greater_scopes(const struct request *request, struct response *response,
                                       uint32_t scopes)
{
    uint32_t missing = scopes & ~request->principal.scopes;
    if (missing == 0)
        return (enum http_status)0;
    struct slice names = scopes_format(request->arena, missing);
    return problem(response, PROBLEM_FORBIDDEN, "This needs scopes that you do not have: %.*s",
                   SLICE_ARG(names));
}

/* ---- making ---- */

DB_STATEMENT(ROLES_COUNT) = {
    .sql = "SELECT COUNT(*) FROM roles",
    .columns = {DB_INT},
};

DB_STATEMENT(ROLE_INSERT) = {
    .sql = "INSERT INTO roles (name, description, scopes, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)"
           " ON CONFLICT (name) DO NOTHING",
    .params = {DB_TEXT, DB_TEXT, DB_TEXT, DB_TIME},
};

static uint32_t scopes_of(const struct scope_list *list)
{
    uint32_t scopes = 0;
    for (size_t i = 0; i < list->count; i++)
        scopes |= (uint32_t)list->items[i];
    return scopes;
}

/* 0 when there is room for one more. */
static enum http_status refuse_too_many(struct request *request, struct response *response)
{
    int64_t count = 0;
    if (db_one_int(request->db, &ROLES_COUNT, DB_NO_ARGS, &count) != DB_ROW)
        return problem_database(response, DB_ERROR);
    if (count < ROLES_MAX)
        return (enum http_status)0;
    return problem(response, PROBLEM_LIMIT_REACHED, "There are %d roles, the most there can be", ROLES_MAX);
}

enum http_status role_create(struct request *request, struct response *response)
{
    const struct role_create_input *input = request->input;
    struct staff_role role = {
        .name = input->name,
        .description = input->has_description ? input->description : SLICE(""),
        .scopes = scopes_of(&input->scopes),
        .version = 1,
        .created_at_ms = request->now_ms,
        .updated_at_ms = request->now_ms,
    };
    enum http_status refusal = refuse_former_staff(request, response, SCOPE_STAFF_WRITE);
    if (refusal == 0)
        refusal = refuse_greater_scopes(request, response, role.scopes);
    if (refusal == 0)
        refusal = refuse_too_many(request, response);
    if (refusal != 0)
        return refusal;
    if (slice_is(role.name, role_name(ROLE_CUSTOMER)))
        return problem(response, PROBLEM_ROLE_EXISTS, "This is what customers are called");
    enum db_result result =
        db_change(request->db, &ROLE_INSERT,
                  DB_ARGS(db_text(role.name), db_text(role.description),
                          db_text(scopes_format(request->arena, role.scopes)), db_time(request->now_ms)));
    if (result == DB_CONFLICT)
        return problem(response, PROBLEM_ROLE_EXISTS, "There is a role with this name");
    if (result != DB_DONE)
        return problem_database(response, result);
    response_header(response, "Location", arena_format(request->arena, "/roles/%.*s", SLICE_ARG(role.name)));
    return audited_named(request, response, "role", role.name, SLICE_ABSENT,
                         role_answer(request, response, &role, HTTP_STATUS_CREATED));
}

/* ---- changing and deleting ---- */

/* The role that somebody wants to change. 0, or the refusal. */
static enum http_status role_for_change(struct request *request, struct response *response, struct slice name,
                                        struct staff_role *role)
{
    enum http_status refusal = refuse_former_staff(request, response, SCOPE_STAFF_WRITE);
    if (refusal == 0)
        refusal = role_for_reply(request, response, name, role);
    if (refusal == 0 && slice_is(name, role_name(ROLE_ADMIN)))
        refusal = problem(response, PROBLEM_ROLE_BUILT_IN, "The role admin stays as it is");
    if (refusal == 0)
        refusal = refuse_greater_scopes(request, response, role->scopes);
    return refusal != 0 ? refusal : response_precondition(response, request, role->version);
}

/* Whoever has the role is looked at anew. */
static void role_drop(struct request *request, struct response *response, struct slice name)
{
    response_drop(response, arena_format(request->arena, "role:%.*s", SLICE_ARG(name)).ptr);
}

DB_STATEMENT(ROLE_UPDATE) = {
    .sql = "UPDATE roles SET description = $3, scopes = $4, version = version + 1, updated_at = $5"
           " WHERE name = $1 AND version = $2",
    .params = {DB_TEXT, DB_INT, DB_TEXT, DB_TEXT, DB_TIME},
};

enum http_status role_update(struct request *request, struct response *response)
{
    const struct role_update_input *input = request->input;
    struct staff_role role;
    enum http_status refusal = role_for_change(request, response, input->name, &role);
    if (refusal == 0 && input->has_scopes)
        refusal = refuse_greater_scopes(request, response, scopes_of(&input->scopes));
    if (refusal != 0)
        return refusal;
    struct slice before = role_state(request->arena, &role);
    if (input->has_description)
        role.description = input->description;
    if (input->has_scopes)
        role.scopes = scopes_of(&input->scopes);
    enum db_result result =
        db_change(request->db, &ROLE_UPDATE,
                  DB_ARGS(db_text(role.name), db_int(role.version), db_text(role.description),
                          db_text(scopes_format(request->arena, role.scopes)), db_time(request->now_ms)));
    if (result != DB_DONE)
        return problem_database(response, result);
    role.version++;
    role.updated_at_ms = request->now_ms;
    role_drop(request, response, role.name);
    return audited_named(request, response, "role", role.name, before,
                         role_answer(request, response, &role, HTTP_STATUS_OK));
}

DB_STATEMENT(ROLE_HOLDERS) = {
    .sql = "SELECT COUNT(*) FROM users WHERE staff_role = $1 AND staff_role IS NOT NULL AND role = 'staff'"
           " AND deleted_at IS NULL",
    .params = {DB_TEXT},
    .columns = {DB_INT},
};

DB_STATEMENT(ROLE_DELETE) = {
    .sql = "DELETE FROM roles WHERE name = $1 AND version = $2 AND NOT is_built_in",
    .params = {DB_TEXT, DB_INT},
};

enum http_status role_delete(struct request *request, struct response *response)
{
    const struct role_delete_input *input = request->input;
    struct staff_role role;
    int64_t holders = 0;
    enum http_status refusal = role_for_change(request, response, input->name, &role);
    if (refusal != 0)
        return refusal;
    if (role.is_built_in)
        return problem(response, PROBLEM_ROLE_BUILT_IN, "This role came with souk and cannot be deleted");
    if (db_one_int(request->db, &ROLE_HOLDERS, DB_ARGS(db_text(role.name)), &holders) != DB_ROW)
        return problem_database(response, DB_ERROR);
    if (holders > 0)
        return problem(response, PROBLEM_ROLE_IN_USE, "%lld accounts have this role; give them another first",
                       (long long)holders);
    enum db_result result =
        db_change(request->db, &ROLE_DELETE, DB_ARGS(db_text(role.name), db_int(role.version)));
    if (result != DB_DONE)
        return problem_database(response, result);
    role_drop(request, response, role.name);
    return audited_named(request, response, "role", role.name, role_state(request->arena, &role),
                         HTTP_STATUS_NO_CONTENT);
}
