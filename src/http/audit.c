/* Writing the audit log: see audit.h. */
#include "http/audit.h"

#include "base/text.h"

#define OPERATION_NAME_MAX 64
#define USER_AGENT_BYTES_MAX 300

void audit_state_begin(struct audit_state *state, struct arena *arena)
{
    buf_init(&state->text, arena);
    json_init(&state->json, &state->text);
}

struct slice audit_state_end(const struct audit_state *state)
{
    return state->text.overflow ? SLICE_ABSENT : buf_slice(&state->text);
}

/* product_update is productUpdate in the contract. */
static struct slice operation_id(struct arena *arena, const char *name)
{
    char *text = arena_alloc(arena, OPERATION_NAME_MAX);
    size_t len = 0;
    for (const char *at = name; *at != '\0' && len < OPERATION_NAME_MAX; at++) {
        bool is_start = *at == '_' && at[1] >= 'a' && at[1] <= 'z';
        if (is_start)
            at++;
        text[len++] = is_start ? (char)(*at - 'a' + 'A') : *at;
    }
    return (struct slice){text, len};
}

/* As far as it is text. */
static struct slice user_agent_of(const struct request *request)
{
    struct slice agent = request->user_agent;
    if (slice_is_absent(agent) || agent.len > USER_AGENT_BYTES_MAX || !text_is_valid(agent))
        return SLICE_ABSENT;
    return agent;
}

DB_STATEMENT(AUDIT_INSERT) = {
    .sql =
        "INSERT INTO audit_log (id, created_at, actor_kind, actor_id, operation, resource_kind, resource_id,"
        " state_before, state_after, address, user_agent, request_id)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    .params = {DB_UUID, DB_TIME, DB_TEXT, DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_JSON, DB_JSON, DB_TEXT,
               DB_TEXT, DB_TEXT},
};

enum db_result audit_record(struct request *request, struct db *db, const char *kind, struct slice id,
                            struct slice before, struct slice after)
{
    char request_id[UUID_TEXT_LEN];
    const struct principal *principal = &request->principal;
    struct slice actor_kind = principal_is_user(principal)       ? SLICE("user")
                              : principal->kind == PRINCIPAL_KEY ? SLICE("api_key")
                                                                 : SLICE("system");
    uuid_format(request->id, request_id);
    return db_run(
        db, &AUDIT_INSERT,
        DB_ARGS(db_uuid(uuid_v7(request->now_ms)), db_time(request->now_ms), db_text(actor_kind),
                db_if(principal->kind != PRINCIPAL_ANONYMOUS, db_uuid(principal_actor_id(principal))),
                db_text(operation_id(request->arena, request->operation->name)), db_text(slice_from(kind)),
                db_text(id), db_json(before), db_json(after), db_text(request->address),
                db_text(user_agent_of(request)), db_text((struct slice){request_id, UUID_TEXT_LEN})));
}

enum db_result audit_record_id(struct request *request, struct db *db, const char *kind, struct uuid id,
                               struct slice before, struct slice after)
{
    char text[UUID_TEXT_LEN];
    uuid_format(id, text);
    return audit_record(request, db, kind, (struct slice){text, UUID_TEXT_LEN}, before, after);
}

enum http_status audited_named(struct request *request, struct response *response, const char *kind,
                               struct slice name, struct slice before, enum http_status status)
{
    if (status >= 400)
        return status;
    struct slice after = status == HTTP_STATUS_NO_CONTENT ? SLICE_ABSENT : response_content(response);
    enum db_result result = audit_record(request, request->db, kind, name, before, after);
    return result == DB_DONE ? status : problem_database(response, result);
}

enum http_status audited(struct request *request, struct response *response, const char *kind, struct uuid id,
                         struct slice before, enum http_status status)
{
    char text[UUID_TEXT_LEN];
    uuid_format(id, text);
    return audited_named(request, response, kind, (struct slice){text, UUID_TEXT_LEN}, before, status);
}

/* The first 48 bits of a UUIDv7 are milliseconds. */
struct uuid audit_id_at(int64_t time_ms)
{
    struct uuid id = {{0}};
    uint64_t ms = time_ms > 0 ? (uint64_t)time_ms : 0;
    for (int i = 0; i < 6; i++)
        id.bytes[i] = (uint8_t)(ms >> (8 * (5 - i)));
    return id;
}

DB_STATEMENT(AUDIT_PURGE) = {
    .sql = "DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE id < $1 ORDER BY id LIMIT $2)",
    .params = {DB_UUID, DB_INT},
};

enum db_result audit_purge(struct db *db, int64_t before_ms, int64_t limit, int64_t *deleted)
{
    enum db_result result = db_run(db, &AUDIT_PURGE, DB_ARGS(db_uuid(audit_id_at(before_ms)), db_int(limit)));
    *deleted = result == DB_DONE ? db_changes(db) : 0;
    return result;
}
