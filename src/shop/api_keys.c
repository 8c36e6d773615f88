/* Keys of programs: making, showing, rotating and revoking them. What a key is sent as is in the reply that
 * makes it and nowhere else. Every change drops the tag api_key:ID, so that all servers ask again. */
#include "auth/api_key.h"
#include "auth/key_usage.h"
#include "contract/handlers.h"
#include "contract/inputs.h"
#include "http/audit.h"
#include "http/page.h"
#include "shop/plans.h"

struct key {
    struct uuid id;
    enum api_key_kind kind;
    struct slice name;
    struct uuid plan_id;
    struct slice scopes;   /* names with spaces between them */
    int64_t expires_at_ms; /* 0: never */
    int64_t revoked_at_ms; /* 0: not */
    struct uuid created_by;
    int64_t version;
    int64_t created_at_ms;
    int64_t updated_at_ms;
    struct slice prefix;
    struct slice last4;
    int64_t previous_until_ms; /* 0: none */
    int64_t last_used_at_ms;   /* 0: never */
};

/* ---- reading and showing ---- */

#define KEY_COLUMNS                                                                                          \
    "k.id, k.kind, k.name, k.plan_id, k.scopes, k.expires_at, k.revoked_at, k.created_by, k.version,"        \
    " k.created_at, k.updated_at, s.prefix, s.last4,"                                                        \
    " (SELECT MAX(o.valid_until) FROM api_key_secrets o WHERE o.key_id = k.id) AS previous_until,"           \
    " (SELECT MAX(u.last_used_at) FROM api_key_usage u WHERE u.key_id = k.id) AS last_used"
#define KEY_COLUMN_TYPES                                                                                     \
    DB_UUID, DB_TEXT, DB_TEXT, DB_UUID, DB_TEXT, DB_TIME, DB_TIME, DB_UUID, DB_INT, DB_TIME, DB_TIME,        \
        DB_TEXT, DB_TEXT, DB_TIME, DB_TIME
#define KEY_TABLES " FROM api_keys k JOIN api_key_secrets s ON s.key_id = k.id AND s.valid_until IS NULL"

static void key_take(struct db_rows *rows, struct arena *arena, struct key *key)
{
    *key = (struct key){
        .id = db_get_uuid(rows, 0),
        .name = db_copy_text(rows, 2, arena),
        .plan_id = db_get_uuid(rows, 3),
        .scopes = db_copy_text(rows, 4, arena),
        .expires_at_ms = db_get_time(rows, 5),
        .revoked_at_ms = db_get_time(rows, 6),
        .created_by = db_get_uuid(rows, 7),
        .version = db_get_int(rows, 8),
        .created_at_ms = db_get_time(rows, 9),
        .updated_at_ms = db_get_time(rows, 10),
        .prefix = db_copy_text(rows, 11, arena),
        .last4 = db_copy_text(rows, 12, arena),
        .previous_until_ms = db_get_time(rows, 13),
        .last_used_at_ms = db_get_time(rows, 14),
    };
    CHECK(api_key_kind_parse(db_get_text(rows, 1), &key->kind)); /* as the schema's CHECK allows */
}

DB_STATEMENT(KEY_READ) = {
    .sql = "SELECT " KEY_COLUMNS KEY_TABLES " WHERE k.id = $1",
    .params = {DB_UUID},
    .columns = {KEY_COLUMN_TYPES},
};

/* DB_ROW, DB_DONE (no such key) or DB_ERROR. */
static enum db_result key_read(struct db *db, struct arena *arena, struct uuid id, struct key *key)
{
    struct db_rows *rows = db_query(db, &KEY_READ, DB_ARGS(db_uuid(id)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    key_take(rows, arena, key);
    db_close(rows);
    return DB_ROW;
}

static enum api_key_status status_of(const struct key *key, int64_t now_ms)
{
    if (key->revoked_at_ms != 0)
        return API_KEY_STATUS_REVOKED;
    bool is_over = key->expires_at_ms != 0 && key->expires_at_ms <= now_ms;
    return is_over ? API_KEY_STATUS_EXPIRED : API_KEY_STATUS_ACTIVE;
}

/* A time, or null for 0. */
static void write_time(struct json_writer *json, const char *name, int64_t time_ms)
{
    if (time_ms != 0)
        json_field_time(json, name, time_ms);
    else
        json_field_null(json, name);
}

static void write_scopes(struct json_writer *json, struct slice scopes)
{
    struct slice name;
    json_field_array_begin(json, "scopes");
    while (scopes.len > 0 && slice_split(&scopes, ' ', &name))
        json_text(json, name);
    json_array_end(json);
}

/* `text` is what it is sent as, or absent. */
static void key_write(struct json_writer *json, const struct key *key, int64_t now_ms, struct slice text)
{
    enum api_key_status status = status_of(key, now_ms);
    bool has_previous = status == API_KEY_STATUS_ACTIVE && key->previous_until_ms > now_ms;
    json_object_begin(json);
    json_field_uuid(json, "id", key->id);
    json_field_string(json, "kind", slice_from(api_key_kind_name(key->kind)));
    json_field_string(json, "name", key->name);
    json_field_uuid(json, "planId", key->plan_id);
    write_scopes(json, key->scopes);
    json_field_string(json, "prefix", key->prefix);
    json_field_string(json, "last4", key->last4);
    json_field_string(json, "status", slice_from(api_key_status_name(status)));
    write_time(json, "expiresAt", key->expires_at_ms);
    write_time(json, "revokedAt", key->revoked_at_ms);
    write_time(json, "previousValidUntil", has_previous ? key->previous_until_ms : 0);
    write_time(json, "lastUsedAt", key->last_used_at_ms);
    json_field_uuid(json, "createdBy", key->created_by);
    json_field_time(json, "createdAt", key->created_at_ms);
    json_field_time(json, "updatedAt", key->updated_at_ms);
    if (!slice_is_absent(text))
        json_field_string(json, "key", text);
    json_object_end(json);
}

static enum http_status not_found(struct response *response)
{
    return problem(response, PROBLEM_API_KEY_NOT_FOUND, "There is no key with this id");
}

static enum http_status key_answer(struct request *request, struct response *response, struct uuid id)
{
    struct key key;
    enum db_result result = key_read(request->db, request->arena, id, &key);
    if (result == DB_DONE)
        return not_found(response);
    if (result != DB_ROW)
        return problem_database(response, result);
    key_write(&response->json, &key, request->now_ms, SLICE_ABSENT);
    response_version(response, key.version);
    return HTTP_STATUS_OK;
}

/* For the audit log, which never sees what a key is sent as. */
static struct slice key_state(const struct request *request, const struct key *key)
{
    struct audit_state state;
    audit_state_begin(&state, request->arena);
    key_write(&state.json, key, request->now_ms, SLICE_ABSENT);
    return audit_state_end(&state);
}

/* The end of a change: its entry in the audit log, and the key as it stands now. `before` is absent for a new
 * one, `text` as in key_write. */
static enum http_status key_changed(struct request *request, struct response *response, struct uuid id,
                                    struct slice before, struct slice text, enum http_status status)
{
    struct key key;
    if (key_read(request->db, request->arena, id, &key) != DB_ROW ||
        audit_record_id(request, request->db, "api_key", id, before, key_state(request, &key)) != DB_DONE)
        return problem_database(response, DB_ERROR);
    key_write(&response->json, &key, request->now_ms, text);
    response_version(response, key.version);
    return status;
}

enum http_status api_key_get(struct request *request, struct response *response)
{
    const struct api_key_get_input *input = request->input;
    return key_answer(request, response, input->id);
}

/* ---- GET /api-keys ---- */

static const enum db_type KEY_LIST_COLUMNS[] = {KEY_COLUMN_TYPES, DB_END};

static void list_query(struct db_built *built, const struct request *request,
                       const struct api_keys_list_input *input, struct db_args after)
{
    struct db_args now = DB_ARGS(db_time(request->now_ms));
    db_built_init(built, KEY_LIST_COLUMNS);
    db_built_add(built, SQL("SELECT " KEY_COLUMNS KEY_TABLES " WHERE 1 = 1"), DB_NO_ARGS);
    if (input->has_plan_id)
        db_built_add(built, SQL(" AND k.plan_id = $?"), DB_ARGS(db_uuid(input->plan_id)));
    if (input->has_status && input->status == API_KEY_STATUS_REVOKED)
        db_built_add(built, SQL(" AND k.revoked_at IS NOT NULL"), DB_NO_ARGS);
    if (input->has_status && input->status == API_KEY_STATUS_EXPIRED)
        db_built_add(built, SQL(" AND k.revoked_at IS NULL AND k.expires_at <= $?"), now);
    if (input->has_status && input->status == API_KEY_STATUS_ACTIVE)
        db_built_add(built, SQL(" AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $?)"),
                     now);
    if (after.count > 0)
        db_built_add(built, SQL(" AND k.id < $?"), after);
    db_built_add(built, SQL(" ORDER BY k.id DESC LIMIT $?"), DB_ARGS(db_int(input->limit + 1)));
}

enum http_status api_keys_list(struct request *request, struct response *response)
{
    const struct api_keys_list_input *input = request->input;
    static const enum db_type TYPES[] = {DB_UUID};
    struct cursor_scope scope;
    struct db_value after;
    cursor_scope_init(&scope, request->operation);
    cursor_scope_add_int(&scope, input->has_status ? (int64_t)input->status : -1);
    cursor_scope_add(&scope, input->has_plan_id
                                 ? (struct slice){(const char *)input->plan_id.bytes, sizeof(struct uuid)}
                                 : SLICE_ABSENT);
    if (input->has_cursor && !cursor_open(request, &scope, input->cursor, TYPES, 1, &after))
        return problem_field(response, "cursor", "INVALID", "must be the nextCursor of this very list");
    struct db_built *built = ARENA_NEW(request->arena, struct db_built);
    list_query(built, request, input, (struct db_args){&after, input->has_cursor ? 1 : 0});
    struct db_rows *rows = db_query_built(request->db, built);
    struct key key = {.version = 0};
    struct slice next = SLICE_ABSENT;
    int64_t count = 0;
    enum db_result result;
    json_array_begin(&response->json);
    while ((result = db_next(rows)) == DB_ROW && count++ < input->limit) {
        key_take(rows, request->arena, &key);
        key_write(&response->json, &key, request->now_ms, SLICE_ABSENT);
    }
    json_array_end(&response->json);
    if (result == DB_ROW) { /* the row past the page */
        db_close(rows);
        next = cursor_make(request, &scope, &(struct db_value){.type = DB_UUID, .uuid = key.id}, 1);
    } else if (result != DB_DONE) {
        return problem_database(response, result);
    }
    response_page(response, input->limit, next);
    return HTTP_STATUS_OK;
}

/* ---- what a key is given ---- */

/* The scopes of a list; false when it names one that the caller has not. */
static bool scopes_take(const struct request *request, const struct api_key_scope_list *list,
                        uint32_t *scopes)
{
    *scopes = SCOPE_NONE;
    for (size_t i = 0; i < list->count; i++) {
        enum scope scope;
        CHECK(scope_parse(slice_from(api_key_scope_name(list->items[i])), &scope));
        *scopes |= (uint32_t)scope;
    }
    return (*scopes & ~request->principal.scopes) == 0;
}

/* Sets the key's scopes. 0, or the refusal. */
static enum http_status give_scopes(struct request *request, struct response *response, struct key *key,
                                    const struct api_key_scope_list *list)
{
    uint32_t scopes;
    if (key->kind == API_KEY_KIND_PUBLISHABLE && list->count > 0)
        return problem_field(response, "scopes", "NOT_ACCEPTED",
                             "are for secret keys: everybody can read this one");
    if (!scopes_take(request, list, &scopes))
        return problem(response, PROBLEM_FORBIDDEN, "Nobody gives a key a scope that they do not have");
    key->scopes = scopes_format(request->arena, scopes);
    return (enum http_status)0;
}

static enum http_status give_end(struct request *request, struct response *response, struct key *key,
                                 bool is_null, int64_t expires_at_ms)
{
    if (!is_null && expires_at_ms <= request->now_ms)
        return problem_field(response, "expiresAt", "MIN", "must be in the future");
    key->expires_at_ms = is_null ? 0 : expires_at_ms;
    return (enum http_status)0;
}

static enum http_status give_plan(struct request *request, struct response *response, struct key *key,
                                  struct uuid plan_id)
{
    enum db_result result = plan_exists(request->db, request->arena, plan_id);
    if (result == DB_DONE)
        return problem_field(response, "planId", "NOT_FOUND", "must be the id of a plan");
    if (result != DB_ROW)
        return problem_database(response, result);
    key->plan_id = plan_id;
    return (enum http_status)0;
}

/* ---- making ---- */

DB_STATEMENT(KEYS_COUNT) = {
    .sql = "SELECT COUNT(*) FROM api_keys WHERE revoked_at IS NULL",
    .columns = {DB_INT},
};
DB_STATEMENT(KEY_INSERT) = {
    .sql =
        "INSERT INTO api_keys (id, kind, name, plan_id, scopes, expires_at, created_by, created_at, updated_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
    .params = {DB_UUID, DB_TEXT, DB_TEXT, DB_UUID, DB_TEXT, DB_TIME, DB_UUID, DB_TIME},
};
DB_STATEMENT(SECRET_INSERT) = {
    .sql =
        "INSERT INTO api_key_secrets (hash, key_id, prefix, last4, created_at) VALUES ($1, $2, $3, $4, $5)",
    .params = {DB_BLOB, DB_UUID, DB_TEXT, DB_TEXT, DB_TIME},
};

static enum db_result secret_insert(struct request *request, struct uuid key_id,
                                    const struct api_key_secret *secret)
{
    struct slice hash = {(const char *)secret->hash, sizeof(secret->hash)};
    return db_run(request->db, &SECRET_INSERT,
                  DB_ARGS(db_blob(hash), db_uuid(key_id), db_text(secret->prefix), db_text(secret->last4),
                          db_time(request->now_ms)));
}

/* What the input says of the new key. 0, or the refusal. */
static enum http_status key_take_input(struct request *request, struct response *response,
                                       const struct api_key_create_input *input, struct key *key)
{
    enum http_status refusal = (enum http_status)0;
    if (input->has_scopes)
        refusal = give_scopes(request, response, key, &input->scopes);
    if (refusal == 0 && input->has_expires_at_ms)
        refusal = give_end(request, response, key, input->expires_at_ms_is_null, input->expires_at_ms);
    if (refusal == 0 && input->has_plan_id)
        refusal = give_plan(request, response, key, input->plan_id);
    if (refusal == 0 && !input->has_plan_id &&
        plan_standard(request->db, request->now_ms, &key->plan_id) != DB_DONE)
        refusal = problem_database(response, DB_ERROR);
    return refusal;
}

enum http_status api_key_create(struct request *request, struct response *response)
{
    const struct api_key_create_input *input = request->input;
    struct api_key_secret secret;
    int64_t count = 0;
    if (db_one_int(request->db, &KEYS_COUNT, DB_NO_ARGS, &count) != DB_ROW)
        return problem_database(response, DB_ERROR);
    if (count >= API_KEYS_MAX)
        return problem(response, PROBLEM_LIMIT_REACHED, "There are %d keys already; revoke one",
                       API_KEYS_MAX);
    struct key key = {
        .id = uuid_v7(request->now_ms), .kind = input->kind, .name = input->name, .scopes = SLICE("")};
    enum http_status refusal = key_take_input(request, response, input, &key);
    if (refusal != 0)
        return refusal;
    api_key_make(request->arena, key.kind, &secret);
    enum db_result result = db_run(request->db, &KEY_INSERT,
                                   DB_ARGS(db_uuid(key.id), db_text(slice_from(api_key_kind_name(key.kind))),
                                           db_text(key.name), db_uuid(key.plan_id), db_text(key.scopes),
                                           db_if(key.expires_at_ms != 0, db_time(key.expires_at_ms)),
                                           db_uuid(request->principal.user_id), db_time(request->now_ms)));
    if (result == DB_DONE)
        result = secret_insert(request, key.id, &secret);
    if (result != DB_DONE)
        return problem_database(response, result);
    response_location(response, "/api-keys/", key.id);
    return key_changed(request, response, key.id, SLICE_ABSENT, secret.text, HTTP_STATUS_CREATED);
}

/* ---- changing ---- */

DB_STATEMENT(KEY_STORE) = {
    .sql = "UPDATE api_keys SET name = $3, plan_id = $4, scopes = $5, expires_at = $6, revoked_at = $7,"
           " version = version + 1, updated_at = $8 WHERE id = $1 AND version = $2",
    .params = {DB_UUID, DB_INT, DB_TEXT, DB_UUID, DB_TEXT, DB_TIME, DB_TIME, DB_TIME},
};

/* The one way in which a key changes. */
static enum db_result key_store(struct request *request, struct response *response, const struct key *key)
{
    response_drop_id(response, "api_key", key->id);
    return db_change(
        request->db, &KEY_STORE,
        DB_ARGS(db_uuid(key->id), db_int(key->version), db_text(key->name), db_uuid(key->plan_id),
                db_text(key->scopes), db_if(key->expires_at_ms != 0, db_time(key->expires_at_ms)),
                db_if(key->revoked_at_ms != 0, db_time(key->revoked_at_ms)), db_time(request->now_ms)));
}

/* The key that is to be changed. 0, or the refusal. */
static enum http_status key_for_change(struct request *request, struct response *response, struct uuid id,
                                       struct key *key)
{
    enum db_result result = key_read(request->db, request->arena, id, key);
    if (result == DB_DONE)
        return not_found(response);
    return result == DB_ROW ? (enum http_status)0 : problem_database(response, result);
}

static enum http_status key_update(struct request *request, struct response *response,
                                   const struct api_key_update_input *input, struct key *key)
{
    enum http_status refusal = (enum http_status)0;
    if (input->has_name)
        key->name = input->name;
    if (input->has_scopes)
        refusal = give_scopes(request, response, key, &input->scopes);
    if (refusal == 0 && input->has_expires_at_ms)
        refusal = give_end(request, response, key, input->expires_at_ms_is_null, input->expires_at_ms);
    if (refusal == 0 && input->has_plan_id)
        refusal = give_plan(request, response, key, input->plan_id);
    return refusal;
}

enum http_status api_key_update(struct request *request, struct response *response)
{
    const struct api_key_update_input *input = request->input;
    struct key key;
    enum http_status refusal = key_for_change(request, response, input->id, &key);
    if (refusal == 0)
        refusal = response_precondition(response, request, key.version);
    if (refusal == 0 && key.revoked_at_ms != 0)
        refusal = problem(response, PROBLEM_API_KEY_INACTIVE, "The key is revoked, for good; make another");
    if (refusal != 0)
        return refusal;
    struct slice before = key_state(request, &key);
    refusal = key_update(request, response, input, &key);
    if (refusal != 0)
        return refusal;
    enum db_result result = key_store(request, response, &key);
    if (result != DB_DONE)
        return problem_database(response, result);
    return key_changed(request, response, key.id, before, SLICE_ABSENT, HTTP_STATUS_OK);
}

enum http_status api_key_revoke(struct request *request, struct response *response)
{
    const struct api_key_revoke_input *input = request->input;
    struct key key;
    enum http_status refusal = key_for_change(request, response, input->id, &key);
    if (refusal != 0)
        return refusal;
    if (key.revoked_at_ms != 0)
        return key_answer(request, response, key.id);
    struct slice before = key_state(request, &key);
    key.revoked_at_ms = request->now_ms;
    enum db_result result = key_store(request, response, &key);
    if (result != DB_DONE)
        return problem_database(response, result);
    return key_changed(request, response, key.id, before, SLICE_ABSENT, HTTP_STATUS_OK);
}

/* ---- rotating ---- */

DB_STATEMENT(SECRETS_DELETE_OLD) = {
    .sql = "DELETE FROM api_key_secrets WHERE key_id = $1 AND valid_until <= $2",
    .params = {DB_UUID, DB_TIME},
};
DB_STATEMENT(SECRETS_COUNT) = {
    .sql = "SELECT COUNT(*) FROM api_key_secrets WHERE key_id = $1",
    .params = {DB_UUID},
    .columns = {DB_INT},
};
/* None becomes good for longer than it was. */
DB_STATEMENT(SECRETS_END) = {
    .sql = "UPDATE api_key_secrets SET valid_until = $2"
           " WHERE key_id = $1 AND (valid_until IS NULL OR valid_until > $2)",
    .params = {DB_UUID, DB_TIME},
};

/* 0, or the refusal. What a race leaves undecided the database does: the key's row is stored under the
 * version that was read, so of two rotations, or of one and a revocation, the second sees the first. */
static enum http_status secrets_replace(struct request *request, struct response *response,
                                        const struct key *key, int64_t old_until_ms,
                                        const struct api_key_secret *secret)
{
    struct db *db = request->db;
    struct db_value id = db_uuid(key->id);
    int64_t count = 0;
    if (key_store(request, response, key) != DB_DONE ||
        db_run(db, &SECRETS_END, DB_ARGS(id, db_time(old_until_ms))) != DB_DONE ||
        db_run(db, &SECRETS_DELETE_OLD, DB_ARGS(id, db_time(request->now_ms))) != DB_DONE ||
        db_one_int(db, &SECRETS_COUNT, DB_ARGS(id), &count) != DB_ROW)
        return problem_database(response, DB_ERROR);
    if (count >= API_KEY_SECRETS_MAX)
        return problem(response, PROBLEM_LIMIT_REACHED, "%d texts of this key are good already",
                       API_KEY_SECRETS_MAX);
    return secret_insert(request, key->id, secret) == DB_DONE ? (enum http_status)0
                                                              : problem_database(response, DB_ERROR);
}

enum http_status api_key_rotate(struct request *request, struct response *response)
{
    const struct api_key_rotate_input *input = request->input;
    struct key key;
    struct api_key_secret secret;
    enum http_status refusal = key_for_change(request, response, input->id, &key);
    if (refusal == 0 && status_of(&key, request->now_ms) != API_KEY_STATUS_ACTIVE)
        refusal = problem(response, PROBLEM_API_KEY_INACTIVE, "The key is revoked or expired");
    if (refusal != 0)
        return refusal;
    api_key_make(request->arena, key.kind, &secret);
    refusal =
        secrets_replace(request, response, &key, request->now_ms + input->overlap_seconds * 1000, &secret);
    if (refusal != 0)
        return refusal;
    return key_changed(request, response, key.id, key_state(request, &key), secret.text, HTTP_STATUS_OK);
}

/* ---- usage ---- */

DB_STATEMENT(KEY_QUOTA) = {
    .sql = "SELECT k.kind, p.monthly_quota, p.quota_binds FROM api_keys k JOIN plans p ON p.id = k.plan_id"
           " WHERE k.id = $1",
    .params = {DB_UUID},
    .columns = {DB_TEXT, DB_INT, DB_TEXT},
};
DB_STATEMENT(KEY_MONTHS) = {
    .sql = "SELECT month, requests, last_used_at FROM api_key_usage WHERE key_id = $1"
           " ORDER BY month DESC LIMIT $2",
    .params = {DB_UUID, DB_INT},
    .columns = {DB_INT, DB_INT, DB_TIME},
};

/* DB_ROW with the quota that binds the key (0: none), DB_DONE (no such key) or DB_ERROR. */
static enum db_result key_quota(struct db *db, struct uuid id, int64_t *quota)
{
    struct db_rows *rows = db_query(db, &KEY_QUOTA, DB_ARGS(db_uuid(id)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    bool binds = slice_is(db_get_text(rows, 0), "secret") || slice_is(db_get_text(rows, 2), "all");
    *quota = binds ? db_get_int(rows, 1) : 0;
    db_close(rows);
    return DB_ROW;
}

static void write_month(struct json_writer *json, struct arena *arena, int64_t month)
{
    json_field_string(json, "month",
                      arena_format(arena, "%04d-%02d", (int)(month / 100), (int)(month % 100)));
}

static void write_current(struct request *request, struct json_writer *json, int64_t quota,
                          const struct usage_month *month, int64_t requests)
{
    json_field_object_begin(json, "current");
    write_month(json, request->arena, month->number);
    json_field_int(json, "requests", requests);
    if (quota > 0) {
        json_field_int(json, "quota", quota);
        json_field_int(json, "remaining", requests < quota ? quota - requests : 0);
    } else {
        json_field_null(json, "quota");
        json_field_null(json, "remaining");
    }
    json_field_time(json, "resetsAt", month->ends_ms);
    json_object_end(json);
}

enum http_status api_key_usage_get(struct request *request, struct response *response)
{
    const struct api_key_usage_get_input *input = request->input;
    struct json_writer *json = &response->json;
    struct usage_month month = usage_month_of(request->now_ms);
    int64_t quota = 0;
    int64_t requests = 0;
    enum db_result result = key_quota(request->db, input->id, &quota);
    if (result == DB_DONE)
        return not_found(response);
    if (result != DB_ROW)
        return problem_database(response, result);
    if (request->services->key_usage != NULL)
        requests = key_usage_pending(request->services->key_usage, input->id, request->now_ms);
    struct db_rows *rows =
        db_query(request->db, &KEY_MONTHS, DB_ARGS(db_uuid(input->id), db_int(API_KEY_MONTHS_SHOWN)));
    json_object_begin(json);
    json_field_array_begin(json, "months");
    while ((result = db_next(rows)) == DB_ROW) {
        if (db_get_int(rows, 0) == month.number)
            requests += db_get_int(rows, 1);
        json_object_begin(json);
        write_month(json, request->arena, db_get_int(rows, 0));
        json_field_int(json, "requests", db_get_int(rows, 1));
        json_field_time(json, "lastUsedAt", db_get_time(rows, 2));
        json_object_end(json);
    }
    json_array_end(json);
    if (result != DB_DONE)
        return problem_database(response, result);
    write_current(request, json, quota, &month, requests);
    json_object_end(json);
    return HTTP_STATUS_OK;
}
