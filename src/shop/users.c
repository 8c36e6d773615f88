/* Users: making and showing them, one's own profile, and the administration of accounts under /users.
 *
 * A deleted account keeps its row, since orders point to it, and nothing personal in it. The shop never loses
 * its last active admin: whoever changes or deletes one counts the others in the same transaction. */
#include "shop/users.h"

#include "auth/session.h"
#include "base/text.h"
#include "contract/handlers.h"
#include "http/audit.h"
#include "http/page.h"
#include "shop/erasure.h"
#include "shop/identities.h"
#include "shop/mfa.h"
#include "shop/names.h"
#include "shop/roles.h"

/* ---- making one ---- */

struct slice email_fold(struct arena *arena, struct slice email)
{
    return text_fold_case(arena, email);
}

struct slice user_name_sort(struct arena *arena, struct slice first_name, struct slice last_name)
{
    return name_sort_key(arena,
                         arena_format(arena, "%.*s %.*s", SLICE_ARG(last_name), SLICE_ARG(first_name)));
}

bool user_email_is_placeholder(struct slice email)
{
    struct slice local;
    (void)slice_split(&email, '@', &local);
    return slice_is(email, USER_PLACEHOLDER_DOMAIN);
}

DB_STATEMENT(USER_EMAIL) = {
    .sql = "SELECT email, email_folded FROM users WHERE id = $1 AND deleted_at IS NULL",
    .params = {DB_UUID},
    .columns = {DB_TEXT, DB_TEXT},
};

enum db_result user_email_read(struct db *db, struct arena *arena, struct uuid id, struct user_email *email)
{
    struct db_rows *rows = db_query(db, &USER_EMAIL, DB_ARGS(db_uuid(id)));
    enum db_result result = db_next(rows);
    if (result == DB_ROW) {
        email->typed = db_copy_text(rows, 0, arena);
        email->folded = db_copy_text(rows, 1, arena);
        db_close(rows);
    }
    return result;
}

DB_STATEMENT(USER_INSERT) = {
    .sql =
        "INSERT INTO users (id, email, email_folded, password_hash, first_name, last_name, name_sort, role,"
        " staff_role, email_verified_at, created_at, updated_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $11, $9, $10, $10)"
        " ON CONFLICT (email_folded) WHERE deleted_at IS NULL DO NOTHING",
    .params = {DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TIME, DB_TIME,
               DB_TEXT},
};

static struct slice or_empty(struct slice text)
{
    return slice_is_absent(text) ? SLICE("") : text;
}

enum db_result user_insert(struct db *db, struct arena *arena, const struct new_user *user, int64_t now_ms,
                           struct uuid *id)
{
    *id = uuid_v7(now_ms);
    return db_change(db, &USER_INSERT,
                     DB_ARGS(db_uuid(*id), db_text(user->email), db_text(email_fold(arena, user->email)),
                             db_text(user->password_hash), db_text(or_empty(user->first_name)),
                             db_text(or_empty(user->last_name)),
                             db_text(user_name_sort(arena, user->first_name, user->last_name)),
                             db_text(slice_from(role_name(user->role))),
                             db_if(user->is_email_verified, db_time(now_ms)), db_time(now_ms),
                             db_text(user->staff_role)));
}

/* ---- showing one ---- */

#define USER_COLUMNS                                                                                         \
    "id, email, first_name, last_name, phone, " USER_ROLE_NAME                                               \
    ", status, email_verified_at, preferences, created_at,"                                                  \
    " updated_at, last_login_at, version, name_sort"
#define USER_COLUMN_TYPES                                                                                    \
    DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TIME, DB_JSON, DB_TIME, DB_TIME,       \
        DB_TIME, DB_INT, DB_TEXT
enum { USER_ID = 0, USER_VERSION = 12, USER_NAME_SORT = 13 };

static void user_row_write(struct json_writer *json, struct db_rows *rows)
{
    json_object_begin(json);
    json_field_uuid(json, "id", db_get_uuid(rows, USER_ID));
    json_field_string(json, "email", db_get_text(rows, 1));
    json_field_string(json, "firstName", db_get_text(rows, 2));
    json_field_string(json, "lastName", db_get_text(rows, 3));
    json_field_string(json, "phone", db_get_text(rows, 4));
    json_field_string(json, "role", db_get_text(rows, 5));
    json_field_string(json, "status", db_get_text(rows, 6));
    json_field_bool(json, "emailVerified", !db_is_null(rows, 7));
    json_field_raw(json, "preferences", db_get_text(rows, 8));
    json_field_time(json, "createdAt", db_get_time(rows, 9));
    json_field_time(json, "updatedAt", db_get_time(rows, 10));
    if (db_is_null(rows, 11))
        json_field_null(json, "lastLoginAt");
    else
        json_field_time(json, "lastLoginAt", db_get_time(rows, 11));
    json_object_end(json);
}

DB_STATEMENT(USER_SHOW) = {
    .sql = "SELECT " USER_COLUMNS " FROM users WHERE id = $1 AND deleted_at IS NULL",
    .params = {DB_UUID},
    .columns = {USER_COLUMN_TYPES},
};

enum db_result user_write(struct json_writer *json, struct db *db, struct uuid id, int64_t *version)
{
    struct db_rows *rows = db_query(db, &USER_SHOW, DB_ARGS(db_uuid(id)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    user_row_write(json, rows);
    if (version != NULL)
        *version = db_get_int(rows, USER_VERSION);
    db_close(rows);
    return DB_ROW;
}

static enum http_status not_found(struct response *response)
{
    return problem(response, PROBLEM_USER_NOT_FOUND, "There is no account with this id that you may see");
}

static enum http_status user_answer(struct request *request, struct response *response, struct uuid id)
{
    int64_t version = 0;
    enum db_result result = user_write(&response->json, request->db, id, &version);
    if (result == DB_DONE)
        return not_found(response);
    if (result != DB_ROW)
        return problem_database(response, result);
    response_version(response, version);
    return HTTP_STATUS_OK;
}

enum http_status me_get(struct request *request, struct response *response)
{
    return user_answer(request, response, request->principal.user_id);
}

enum http_status user_get(struct request *request, struct response *response)
{
    const struct user_get_input *input = request->input;
    if (!uuid_equals(input->id, request->principal.user_id) &&
        !principal_has(&request->principal, SCOPE_CUSTOMERS_READ))
        return not_found(response);
    return user_answer(request, response, input->id);
}

/* ---- GET /users ---- */

#define SEARCH_WORDS_MAX 8 /* further words are not looked for; each takes three parameters */

static const enum db_type USER_LIST_COLUMNS[] = {USER_COLUMN_TYPES, DB_END};

/* `before`, the word as LIKE must read it to mean itself, and '%'. */
static struct slice prefix_pattern(struct arena *arena, const char *before, struct slice word)
{
    struct buf pattern;
    buf_init(&pattern, arena);
    buf_append(&pattern, slice_from(before));
    for (size_t i = 0; i < word.len; i++) {
        if (word.ptr[i] == '%' || word.ptr[i] == '_' || word.ptr[i] == '!')
            buf_append_char(&pattern, '!');
        buf_append_char(&pattern, word.ptr[i]);
    }
    buf_append_char(&pattern, '%');
    return buf_slice(&pattern);
}

/* Every word of `q` begins the e-mail address or a word of the name. Both columns are folded. */
static void search_add(struct db_built *built, struct arena *arena, struct slice q)
{
    struct slice rest = text_fold(arena, q);
    struct slice word;
    for (int i = 0; i < SEARCH_WORDS_MAX && slice_split(&rest, ' ', &word); i++) {
        struct slice first = prefix_pattern(arena, "", word);
        struct slice later = prefix_pattern(arena, "% ", word);
        db_built_add(built,
                     SQL(" AND (email_folded LIKE $? ESCAPE '!' OR name_sort LIKE $? ESCAPE '!'"
                         " OR name_sort LIKE $? ESCAPE '!')"),
                     DB_ARGS(db_text(first), db_text(first), db_text(later)));
    }
}

/* By the kind first, as the index on them says it; then by the name, where it may be another's of that kind.
 */
static void role_filter_add(struct db_built *built, struct slice name)
{
    enum role kind = ROLE_STAFF;
    if (role_parse(name, &kind) && kind == ROLE_CUSTOMER) {
        db_built_add(built, SQL(" AND role = 'customer'"), DB_NO_ARGS);
        return;
    }
    db_built_add(built, SQL(" AND role = $? AND role <> 'customer'"),
                 DB_ARGS(db_text(slice_from(role_name(kind)))));
    if (kind == ROLE_STAFF)
        db_built_add(built, SQL(" AND COALESCE(staff_role, 'staff') = $?"), DB_ARGS(db_text(name)));
}

static void list_filter(struct db_built *built, const struct request *request,
                        const struct users_list_input *input)
{
    db_built_add(built, SQL(" FROM users WHERE deleted_at IS NULL"), DB_NO_ARGS);
    if (input->has_role)
        role_filter_add(built, input->role);
    if (input->has_q)
        search_add(built, request->arena, input->q);
}

static enum db_result list_total(struct request *request, struct response *response,
                                 const struct users_list_input *input)
{
    static const enum db_type COUNT_COLUMNS[] = {DB_INT, DB_END};
    struct db_built *built = ARENA_NEW(request->arena, struct db_built);
    db_built_init(built, COUNT_COLUMNS);
    db_built_add(built, SQL("SELECT COUNT(*) FROM (SELECT 1 AS one"), DB_NO_ARGS);
    list_filter(built, request, input);
    db_built_add(built, SQL(" LIMIT $?) AS counted"), DB_ARGS(db_int(PAGE_TOTAL_MAX + 1)));
    struct db_rows *rows = db_query_built(request->db, built);
    if (db_next(rows) != DB_ROW)
        return DB_ERROR;
    response_page_total(response, db_get_int(rows, 0));
    db_close(rows);
    return DB_DONE;
}

/* Where a page begins and how rows follow each other. An id is time-ordered (UUIDv7): it is the order of
 * creation, and the tie-break of names. */
static const char *const LIST_AFTER[] = {
    [USERS_LIST_SORT_CREATED_AT] = SQL(" AND id > $?"),
    [USERS_LIST_SORT_CREATED_AT_DESC] = SQL(" AND id < $?"),
    [USERS_LIST_SORT_NAME] = SQL(" AND (name_sort, id) > ($?, $?)"),
    [USERS_LIST_SORT_NAME_DESC] = SQL(" AND (name_sort, id) < ($?, $?)"),
};
static const char *const LIST_ORDER[] = {
    [USERS_LIST_SORT_CREATED_AT] = SQL(" ORDER BY id ASC"),
    [USERS_LIST_SORT_CREATED_AT_DESC] = SQL(" ORDER BY id DESC"),
    [USERS_LIST_SORT_NAME] = SQL(" ORDER BY name_sort ASC, id ASC"),
    [USERS_LIST_SORT_NAME_DESC] = SQL(" ORDER BY name_sort DESC, id DESC"),
};

/* The page's ids come from an index that holds all that filters look at; only what is shown reads its row. */
static void list_query(struct db_built *built, const struct request *request,
                       const struct users_list_input *input, struct db_args after)
{
    db_built_init(built, USER_LIST_COLUMNS);
    db_built_add(built, SQL("SELECT " USER_COLUMNS " FROM users WHERE id IN (SELECT id"), DB_NO_ARGS);
    list_filter(built, request, input);
    if (after.count > 0)
        db_built_add(built, LIST_AFTER[input->sort], after);
    db_built_add(built, LIST_ORDER[input->sort], DB_NO_ARGS);
    db_built_add(built, SQL(" LIMIT $?"), DB_ARGS(db_int(input->limit + 1)));
    if (input->has_offset)
        db_built_add(built, SQL(" OFFSET $?"), DB_ARGS(db_int(input->offset)));
    db_built_add(built, SQL(")"), DB_NO_ARGS);
    db_built_add(built, LIST_ORDER[input->sort], DB_NO_ARGS);
}

/* The sort key of a row: the name where it is sorted by name, then the id. */
struct list_key {
    struct db_value values[2];
    size_t count;
};

static bool is_by_name(enum users_list_sort sort)
{
    return sort == USERS_LIST_SORT_NAME || sort == USERS_LIST_SORT_NAME_DESC;
}

static struct slice list_page(struct request *request, struct response *response,
                              const struct users_list_input *input, const struct cursor_scope *scope,
                              struct db_rows *rows, enum db_result *result)
{
    bool by_name = is_by_name(input->sort);
    struct list_key last = {.count = by_name ? 2 : 1};
    int64_t count = 0;
    json_array_begin(&response->json);
    while ((*result = db_next(rows)) == DB_ROW && count < input->limit) {
        user_row_write(&response->json, rows);
        if (++count == input->limit) {
            last.values[0] = db_text(db_copy_text(rows, USER_NAME_SORT, request->arena));
            last.values[by_name ? 1 : 0] = db_uuid(db_get_uuid(rows, USER_ID));
        }
    }
    json_array_end(&response->json);
    if (*result != DB_ROW)
        return SLICE_ABSENT;
    db_close(rows); /* the row past the page */
    *result = DB_DONE;
    return cursor_make(request, scope, last.values, last.count);
}

enum http_status users_list(struct request *request, struct response *response)
{
    const struct users_list_input *input = request->input;
    struct cursor_scope scope;
    cursor_scope_init(&scope, request->operation);
    cursor_scope_add(&scope, input->role);
    cursor_scope_add(&scope, input->q);
    cursor_scope_add_int(&scope, (int64_t)input->sort);
    static const enum db_type BY_NAME[] = {DB_TEXT, DB_UUID};
    struct list_key after = {.count = is_by_name(input->sort) ? 2 : 1};
    if (input->has_cursor &&
        !cursor_open(request, &scope, input->cursor, BY_NAME + (2 - after.count), after.count, after.values))
        return problem_field(response, "cursor", "INVALID", "must be the nextCursor of this very list");
    struct db_built *built = ARENA_NEW(request->arena, struct db_built);
    list_query(built, request, input, (struct db_args){after.values, input->has_cursor ? after.count : 0});
    enum db_result result;
    struct slice next =
        list_page(request, response, input, &scope, db_query_built(request->db, built), &result);
    if (result == DB_DONE && input->total)
        result = list_total(request, response, input);
    if (result != DB_DONE)
        return problem_database(response, result);
    response_page(response, input->limit, next);
    return HTTP_STATUS_OK;
}

/* ---- changing one ---- */

/* What can change of an account, as it was read. */
struct account {
    struct uuid id;
    struct role_grant role;
    enum user_status status;
    struct slice first_name;
    struct slice last_name;
    struct slice phone;       /* absent: none */
    struct slice preferences; /* JSON object */
    int64_t version;
};

DB_STATEMENT(ACCOUNT_READ) = {
    .sql = "SELECT " USER_ROLE_NAME ", status, first_name, last_name, phone, preferences, version FROM users"
           " WHERE id = $1 AND deleted_at IS NULL",
    .params = {DB_UUID},
    .columns = {DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_JSON, DB_INT},
};

/* DB_ROW, DB_DONE (no such account) or DB_ERROR. */
static enum db_result account_read(struct db *db, struct arena *arena, struct uuid id,
                                   struct account *account)
{
    struct db_rows *rows = db_query(db, &ACCOUNT_READ, DB_ARGS(db_uuid(id)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    struct slice role = db_copy_text(rows, 0, arena);
    *account = (struct account){
        .id = id,
        .first_name = db_copy_text(rows, 2, arena),
        .last_name = db_copy_text(rows, 3, arena),
        .phone = db_copy_text(rows, 4, arena),
        .preferences = db_copy_text(rows, 5, arena),
        .version = db_get_int(rows, 6),
    };
    CHECK(user_status_parse(db_get_text(rows, 1), &account->status)); /* as the schema's CHECK allows */
    db_close(rows);
    result = role_find(db, role, &account->role);
    if (result != DB_DONE)
        return result;
    account->role =
        (struct role_grant){.kind = ROLE_STAFF, .name = role}; /* a role that is no more grants nothing */
    return DB_ROW;
}

DB_STATEMENT(ACCOUNT_STORE) = {
    .sql = "UPDATE users SET role = $3, staff_role = $11, status = $4, first_name = $5, last_name = $6,"
           " name_sort = $7, phone = $8, preferences = $9, version = version + 1, updated_at = $10"
           " WHERE id = $1 AND version = $2 AND deleted_at IS NULL",
    .params = {DB_UUID, DB_INT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_JSON, DB_TIME,
               DB_TEXT},
};

static enum db_result account_store(struct db *db, struct arena *arena, const struct account *account,
                                    int64_t now_ms)
{
    bool is_staff = account->role.kind == ROLE_STAFF;
    return db_change(db, &ACCOUNT_STORE,
                     DB_ARGS(db_uuid(account->id), db_int(account->version),
                             db_text(slice_from(role_name(account->role.kind))),
                             db_text(slice_from(user_status_name(account->status))),
                             db_text(account->first_name), db_text(account->last_name),
                             db_text(user_name_sort(arena, account->first_name, account->last_name)),
                             db_text(account->phone), db_json(account->preferences), db_time(now_ms),
                             db_if(is_staff, db_text(account->role.name))));
}

enum http_status me_update(struct request *request, struct response *response)
{
    const struct me_update_input *input = request->input;
    struct account account;
    enum db_result result = account_read(request->db, request->arena, request->principal.user_id, &account);
    if (result == DB_DONE)
        return not_found(response);
    if (result != DB_ROW)
        return problem_database(response, result);
    enum http_status refusal = response_precondition(response, request, account.version);
    if (refusal != 0)
        return refusal;
    if (input->has_first_name)
        account.first_name = input->first_name;
    if (input->has_last_name)
        account.last_name = input->last_name;
    if (input->has_phone)
        account.phone = input->phone_is_null ? SLICE_ABSENT : input->phone;
    if (input->has_preferences)
        account.preferences = input->preferences;
    result = account_store(request->db, request->arena, &account, request->now_ms);
    if (result != DB_DONE)
        return problem_database(response, result);
    return user_answer(request, response, account.id);
}

/* ---- administration ---- */

DB_STATEMENT(OTHER_ADMINS) = {
    .sql = "SELECT COUNT(*) FROM users WHERE role = 'admin' AND role <> 'customer' AND status = 'active'"
           " AND deleted_at IS NULL AND id <> $1",
    .params = {DB_UUID},
    .columns = {DB_INT},
};

static bool is_active_admin(const struct account *account)
{
    return account->role.kind == ROLE_ADMIN && account->status == USER_STATUS_ACTIVE;
}

/* 0 when another active admin would be left. */
static enum http_status refuse_last_admin(struct request *request, struct response *response,
                                          const struct account *account)
{
    int64_t others = 0;
    enum db_result result = db_one_int(request->db, &OTHER_ADMINS, DB_ARGS(db_uuid(account->id)), &others);
    if (result != DB_ROW)
        return problem_database(response, DB_ERROR);
    if (others > 0)
        return (enum http_status)0;
    return problem(response, PROBLEM_LAST_ADMIN,
                   "The shop keeps at least one active admin; make another first");
}

/* Who changes a role, or an account of staff, has that right and all that the role in question may do. */
static enum http_status refuse_for_role(const struct request *request, struct response *response,
                                        const struct role_grant *role)
{
    if (role->kind == ROLE_CUSTOMER)
        return (enum http_status)0;
    if (!principal_has(&request->principal, SCOPE_STAFF_WRITE))
        return problem(response, PROBLEM_FORBIDDEN, "Staff and their roles are changed with staff:write");
    if (role->kind == ROLE_ADMIN && request->principal.role != ROLE_ADMIN)
        return problem(response, PROBLEM_FORBIDDEN, "Only admins make or change an admin");
    return refuse_greater_scopes(request, response, role->scopes);
}

/* The account that an administrator wants to change. 0, or the refusal. */
static enum http_status account_for_change(struct request *request, struct response *response, struct uuid id,
                                           struct account *account)
{
    enum http_status refusal = refuse_former_staff(request, response, SCOPE_CUSTOMERS_WRITE);
    if (refusal != 0)
        return refusal;
    enum db_result result = account_read(request->db, request->arena, id, account);
    if (result == DB_DONE)
        return not_found(response);
    if (result != DB_ROW)
        return problem_database(response, result);
    refusal = refuse_for_role(request, response, &account->role);
    return refusal != 0 ? refusal : response_precondition(response, request, account->version);
}

/* The role that an account is to have. 0, or the refusal. */
static enum http_status role_for_grant(struct request *request, struct response *response, struct slice name,
                                       struct role_grant *role)
{
    if (!principal_has(&request->principal, SCOPE_STAFF_WRITE))
        return problem(response, PROBLEM_FORBIDDEN, "Roles are granted with staff:write");
    enum db_result result = role_find(request->db, name, role);
    if (result == DB_DONE)
        return problem_field(response, "role", "UNKNOWN", "must be customer or one of GET /roles");
    if (result != DB_ROW)
        return problem_database(response, result);
    return refuse_for_role(request, response, role);
}

/* Whoever is logged in to the account is so no more. */
static enum db_result access_end(struct request *request, struct response *response, struct uuid user_id)
{
    response_drop_id(response, "user", user_id);
    return sessions_revoke_of_user(request->db, user_id, (struct uuid){{0}}, request->now_ms);
}

/* What the audit log keeps of an account that changes. DB_DONE or DB_ERROR. */
static enum db_result state_before(struct request *request, struct uuid id, struct audit_state *state)
{
    audit_state_begin(state, request->arena);
    return user_write(&state->json, request->db, id, NULL) == DB_ROW ? DB_DONE : DB_ERROR;
}

enum http_status user_update(struct request *request, struct response *response)
{
    const struct user_update_input *input = request->input;
    struct account account;
    enum http_status refusal = account_for_change(request, response, input->id, &account);
    if (refusal != 0)
        return refusal;
    struct account next = account;
    if (input->has_role)
        refusal = role_for_grant(request, response, input->role, &next.role);
    if (refusal != 0)
        return refusal;
    if (input->has_status)
        next.status = input->status;
    if (input->has_first_name)
        next.first_name = input->first_name;
    if (input->has_last_name)
        next.last_name = input->last_name;
    if (is_active_admin(&account) && !is_active_admin(&next))
        refusal = refuse_last_admin(request, response, &account);
    if (refusal != 0)
        return refusal;
    struct audit_state before;
    enum db_result result = state_before(request, account.id, &before);
    if (result == DB_DONE)
        result = account_store(request->db, request->arena, &next, request->now_ms);
    if (result == DB_DONE &&
        (!slice_equals(next.role.name, account.role.name) || next.status != account.status))
        result = access_end(request, response, account.id);
    if (result != DB_DONE)
        return problem_database(response, result);
    return audited(request, response, AUDIT_USER, account.id, audit_state_end(&before),
                   user_answer(request, response, account.id));
}

enum http_status user_sessions_revoke(struct request *request, struct response *response)
{
    const struct user_sessions_revoke_input *input = request->input;
    struct account account;
    enum http_status refusal = account_for_change(request, response, input->id, &account);
    if (refusal != 0)
        return refusal;
    enum db_result result = access_end(request, response, account.id);
    if (result == DB_DONE)
        result = identity_end_tokens(request->db, account.id, request->now_ms);
    if (result != DB_DONE)
        return problem_database(response, result);
    return audited(request, response, AUDIT_USER, account.id, SLICE_ABSENT, HTTP_STATUS_NO_CONTENT);
}

/* For those who lost both the device and the recovery codes. */
enum http_status user_mfa_remove(struct request *request, struct response *response)
{
    const struct user_mfa_remove_input *input = request->input;
    struct account account;
    enum http_status refusal = account_for_change(request, response, input->id, &account);
    if (refusal != 0)
        return refusal;
    enum db_result result = mfa_remove(request->db, account.id);
    if (result == DB_DONE)
        result = access_end(request, response, account.id);
    if (result != DB_DONE)
        return problem_database(response, result);
    return audited(request, response, AUDIT_USER, account.id, SLICE_ABSENT, HTTP_STATUS_NO_CONTENT);
}

enum http_status user_delete(struct request *request, struct response *response)
{
    const struct user_delete_input *input = request->input;
    struct account account;
    enum http_status refusal = account_for_change(request, response, input->id, &account);
    if (refusal == 0 && is_active_admin(&account))
        refusal = refuse_last_admin(request, response, &account);
    if (refusal != 0)
        return refusal;
    enum db_result result = account_erase(request, response, request->db, account.id, account.version);
    if (result != DB_DONE)
        return problem_database(response, result);
    return audited(request, response, AUDIT_USER, account.id, SLICE_ABSENT, HTTP_STATUS_NO_CONTENT);
}
