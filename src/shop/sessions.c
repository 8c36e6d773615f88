/* The sessions of an account: /users/me/sessions. Ending one holds at once, on every server, by the cache's
 * tags session:ID and user:ID. */
#include "auth/session.h"

#include "contract/handlers.h"
#include "contract/inputs.h"
#include "http/page.h"

DB_STATEMENT(SESSIONS_PAGE) = {
    .sql = "SELECT id, user_agent, address, is_cookie, created_at, last_used_at, expires_at FROM sessions"
           " WHERE user_id = $1 AND id < $2 AND revoked_at IS NULL AND expires_at > $3"
           " ORDER BY id DESC LIMIT $4",
    .params = {DB_UUID, DB_UUID, DB_TIME, DB_INT},
    .columns = {DB_UUID, DB_TEXT, DB_TEXT, DB_BOOL, DB_TIME, DB_TIME, DB_TIME},
};

static void session_row_write(const struct request *request, struct json_writer *json, struct db_rows *rows)
{
    struct uuid id = db_get_uuid(rows, 0);
    json_object_begin(json);
    json_field_uuid(json, "id", id);
    json_field_bool(json, "isCurrent", uuid_equals(id, request->principal.session_id));
    json_field_string(json, "userAgent", db_get_text(rows, 1));
    json_field_string(json, "address", db_get_text(rows, 2));
    json_field_string(json, "session", db_get_bool(rows, 3) ? SLICE("cookie") : SLICE("token"));
    json_field_time(json, "createdAt", db_get_time(rows, 4));
    json_field_time(json, "lastSeenAt", db_get_time(rows, 5));
    json_field_time(json, "expiresAt", db_get_time(rows, 6));
    json_object_end(json);
}

/* Newest first: an id is time-ordered. The greatest id stands before them all. */
enum http_status sessions_list(struct request *request, struct response *response)
{
    const struct sessions_list_input *input = request->input;
    struct slice me = {(const char *)request->principal.user_id.bytes, sizeof(struct uuid)};
    struct cursor_scope scope;
    cursor_scope_init(&scope, request->operation);
    cursor_scope_add(&scope, me);
    const enum db_type cursor_types[] = {DB_UUID};
    struct db_value before = db_uuid((struct uuid){{0}});
    memset(before.uuid.bytes, 0xff, sizeof(before.uuid.bytes));
    if (input->has_cursor && !cursor_open(request, &scope, input->cursor, cursor_types, 1, &before))
        return problem_field(response, "cursor", "INVALID", "must be the nextCursor of this very list");
    struct db_rows *rows = db_query(request->db, &SESSIONS_PAGE,
                                    DB_ARGS(db_uuid(request->principal.user_id), db_uuid(before.uuid),
                                            db_time(request->now_ms), db_int(input->limit + 1)));
    struct slice next = SLICE_ABSENT;
    int64_t count = 0;
    enum db_result result;
    json_array_begin(&response->json);
    while ((result = db_next(rows)) == DB_ROW && count < input->limit) {
        before = db_uuid(db_get_uuid(rows, 0));
        session_row_write(request, &response->json, rows);
        count++;
    }
    json_array_end(&response->json);
    if (result == DB_ROW) {
        db_close(rows); /* the row past the page */
        next = cursor_make(request, &scope, &before, 1);
        result = DB_DONE;
    }
    if (result != DB_DONE)
        return problem_database(response, result);
    response_page(response, input->limit, next);
    return HTTP_STATUS_OK;
}

DB_STATEMENT(SESSION_END) = {
    .sql = "UPDATE sessions SET revoked_at = $3 WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL"
           " AND expires_at > $3",
    .params = {DB_UUID, DB_UUID, DB_TIME},
};

enum http_status session_revoke_mine(struct request *request, struct response *response)
{
    const struct session_revoke_mine_input *input = request->input;
    enum db_result result = db_change(
        request->db, &SESSION_END,
        DB_ARGS(db_uuid(input->session_id), db_uuid(request->principal.user_id), db_time(request->now_ms)));
    if (result == DB_CONFLICT)
        return problem(response, PROBLEM_SESSION_NOT_FOUND, "You have no such session");
    if (result != DB_DONE)
        return problem_database(response, result);
    response_drop_id(response, "session", input->session_id);
    return HTTP_STATUS_NO_CONTENT;
}

enum http_status sessions_revoke_others(struct request *request, struct response *response)
{
    enum db_result result = sessions_revoke_of_user(request->db, request->principal.user_id,
                                                    request->principal.session_id, request->now_ms);
    if (result != DB_DONE)
        return problem_database(response, result);
    response_drop_id(response, "user", request->principal.user_id);
    return HTTP_STATUS_NO_CONTENT;
}
