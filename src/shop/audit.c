/* Reading the audit log: GET /audit-log, newest first. Its ids are time-ordered, so that time, page and order
 * are one range of the index. */
#include "http/audit.h"

#include "contract/handlers.h"
#include "contract/inputs.h"
#include "http/page.h"

static const enum db_type ENTRY_COLUMNS[] = {DB_UUID, DB_TIME, DB_TEXT, DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT,
                                             DB_JSON, DB_JSON, DB_TEXT, DB_TEXT, DB_TEXT, DB_END};

static void entry_write(struct json_writer *json, struct db_rows *rows)
{
    json_object_begin(json);
    json_field_uuid(json, "id", db_get_uuid(rows, 0));
    json_field_time(json, "at", db_get_time(rows, 1));
    json_key(json, "actor");
    json_object_begin(json);
    json_field_string(json, "kind", db_get_text(rows, 2));
    if (db_is_null(rows, 3))
        json_field_null(json, "id");
    else
        json_field_uuid(json, "id", db_get_uuid(rows, 3));
    json_object_end(json);
    json_field_string(json, "operation", db_get_text(rows, 4));
    json_field_string(json, "resourceKind", db_get_text(rows, 5));
    json_field_string(json, "resourceId", db_get_text(rows, 6));
    json_field_raw(json, "before", db_get_text(rows, 7));
    json_field_raw(json, "after", db_get_text(rows, 8));
    json_field_string(json, "address", db_get_text(rows, 9));
    json_field_string(json, "userAgent", db_get_text(rows, 10));
    json_field_string(json, "requestId", db_get_text(rows, 11));
    json_object_end(json);
}

/* The entries behind `position` (NULL: from the newest on) that the filters let through. */
static struct db_rows *page_query(struct request *request, const struct audit_log_list_input *input,
                                  const struct db_value *position)
{
    struct db_built *built = ARENA_NEW(request->arena, struct db_built);
    db_built_init(built, ENTRY_COLUMNS);
    db_built_add(
        built,
        SQL("SELECT id, created_at, actor_kind, actor_id, operation, resource_kind, resource_id,"
            " state_before, state_after, address, user_agent, request_id FROM audit_log WHERE id >= $?"),
        DB_ARGS(db_uuid(audit_id_at(input->has_created_at_gte_ms ? input->created_at_gte_ms : 0))));
    if (input->has_created_at_lte_ms)
        db_built_add(built, SQL(" AND id < $?"), DB_ARGS(db_uuid(audit_id_at(input->created_at_lte_ms + 1))));
    if (position != NULL)
        db_built_add(built, SQL(" AND id < $?"), DB_ARGS(*position));
    if (input->has_actor_id)
        db_built_add(built, SQL(" AND actor_id = $?"), DB_ARGS(db_uuid(input->actor_id)));
    if (input->has_resource_kind)
        db_built_add(built, SQL(" AND resource_kind = $?"), DB_ARGS(db_text(input->resource_kind)));
    if (input->has_resource_id)
        db_built_add(built, SQL(" AND resource_id = $?"), DB_ARGS(db_text(input->resource_id)));
    db_built_add(built, SQL(" ORDER BY id DESC LIMIT $?"), DB_ARGS(db_int(input->limit + 1)));
    return db_query_built(request->db, built);
}

static void filters_into_scope(struct cursor_scope *scope, const struct audit_log_list_input *input)
{
    cursor_scope_add_int(scope, input->has_created_at_gte_ms ? input->created_at_gte_ms : -1);
    cursor_scope_add_int(scope, input->has_created_at_lte_ms ? input->created_at_lte_ms : -1);
    cursor_scope_add(scope, input->has_actor_id
                                ? (struct slice){(const char *)input->actor_id.bytes, sizeof(struct uuid)}
                                : SLICE_ABSENT);
    cursor_scope_add(scope, input->resource_kind);
    cursor_scope_add(scope, input->resource_id);
}

enum http_status audit_log_list(struct request *request, struct response *response)
{
    const struct audit_log_list_input *input = request->input;
    struct cursor_scope scope;
    cursor_scope_init(&scope, request->operation);
    filters_into_scope(&scope, input);
    struct db_value position;
    const enum db_type type = DB_UUID;
    if (input->has_resource_id && !input->has_resource_kind)
        return problem_field(response, "resourceKind", "REQUIRED", "must be there with resourceId");
    if (input->has_cursor && !cursor_open(request, &scope, input->cursor, &type, 1, &position))
        return problem_field(response, "cursor", "INVALID", "must be the nextCursor of this very list");
    struct db_rows *rows = page_query(request, input, input->has_cursor ? &position : NULL);
    struct db_value last = db_uuid((struct uuid){{0}});
    struct slice next = SLICE_ABSENT;
    int64_t count = 0;
    enum db_result result;
    json_array_begin(&response->json);
    while ((result = db_next(rows)) == DB_ROW && count < input->limit) {
        last = db_uuid(db_get_uuid(rows, 0));
        entry_write(&response->json, rows);
        count++;
    }
    json_array_end(&response->json);
    if (result == DB_ROW) {
        db_close(rows); /* the row past the page */
        next = cursor_make(request, &scope, &last, 1);
        result = DB_DONE;
    }
    if (result != DB_DONE)
        return problem_database(response, result);
    response_page(response, input->limit, next);
    return HTTP_STATUS_OK;
}
