/* The tree of categories: reading, making, changing, moving, deleting. */
#include "contract/handlers.h"
#include "contract/inputs.h"
#include "http/audit.h"
#include "http/page.h"
#include "shop/category.h"
#include "shop/names.h"

#include <stdlib.h>

struct category {
    struct uuid id;
    struct uuid parent_id; /* nil: a root */
    struct slice name;
    struct slice name_sort;
    struct slice slug;
    struct slice description;
    int64_t position;
    bool is_active;
    int64_t product_count;
    int64_t version;
    int64_t created_at_ms;
    int64_t updated_at_ms;
};

/* ---- rows and JSON ---- */

#define CATEGORY_COLUMNS                                                                                       \
    "c.id, c.parent_id, c.name, c.name_sort, c.slug, c.description, c.position, c.is_active, c.product_count," \
    " c.version, c.created_at, c.updated_at"
#define CATEGORY_TYPES                                                                                       \
    DB_UUID, DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_INT, DB_BOOL, DB_INT, DB_INT, DB_TIME, DB_TIME

/* The texts live as long as the row. */
static struct category category_of_row(struct db_rows *rows)
{
    return (struct category){
        .id = db_get_uuid(rows, 0),
        .parent_id = db_get_uuid(rows, 1),
        .name = db_get_text(rows, 2),
        .name_sort = db_get_text(rows, 3),
        .slug = db_get_text(rows, 4),
        .description = db_get_text(rows, 5),
        .position = db_get_int(rows, 6),
        .is_active = db_get_bool(rows, 7),
        .product_count = db_get_int(rows, 8),
        .version = db_get_int(rows, 9),
        .created_at_ms = db_get_time(rows, 10),
        .updated_at_ms = db_get_time(rows, 11),
    };
}

/* With its texts in the arena. */
static struct category category_copy(struct arena *arena, struct category category)
{
    category.name = arena_copy(arena, category.name);
    category.name_sort = arena_copy(arena, category.name_sort);
    category.slug = arena_copy(arena, category.slug);
    category.description = arena_copy(arena, category.description);
    return category;
}

/* The object is left open, for path and children. */
static void category_begin(struct json_writer *json, const struct category *category)
{
    json_object_begin(json);
    json_field_uuid(json, "id", category->id);
    if (uuid_is_nil(category->parent_id))
        json_field_null(json, "parentId");
    else
        json_field_uuid(json, "parentId", category->parent_id);
    json_field_string(json, "name", category->name);
    json_field_string(json, "slug", category->slug);
    json_field_string(json, "description", category->description);
    json_field_int(json, "position", category->position);
    json_field_bool(json, "isActive", category->is_active);
    json_field_int(json, "productCount", category->product_count);
    json_field_time(json, "createdAt", category->created_at_ms);
    json_field_time(json, "updatedAt", category->updated_at_ms);
}

/* What is inactive is there for staff only. */
static bool active_only(const struct request *request)
{
    return !principal_sees_drafts(&request->principal);
}

DB_STATEMENT(CATEGORY_BY_ID) = {
    .sql = "SELECT " CATEGORY_COLUMNS " FROM categories c WHERE c.id = $1",
    .params = {DB_UUID},
    .columns = {CATEGORY_TYPES},
};

DB_STATEMENT(CATEGORY_BY_SLUG) = {
    .sql = "SELECT " CATEGORY_COLUMNS " FROM categories c WHERE c.slug = $1",
    .params = {DB_TEXT},
    .columns = {CATEGORY_TYPES},
};

static enum db_result category_take(struct db_rows *rows, struct arena *arena, struct category *category)
{
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    *category = category_copy(arena, category_of_row(rows));
    db_close(rows);
    return DB_ROW;
}

static enum db_result category_read(struct request *request, struct uuid id, struct category *category)
{
    return category_take(db_query(request->db, &CATEGORY_BY_ID, DB_ARGS(db_uuid(id))), request->arena,
                         category);
}

/* ---- GET /categories/{id} ---- */

/* The ancestors, root first; to shoppers only the active ones. */
static enum db_result path_write(struct request *request, struct json_writer *json,
                                 const struct category *category)
{
    struct category_ref path[CATEGORY_DEPTH_MAX];
    size_t count = 0;
    struct uuid id = category->parent_id;
    while (!uuid_is_nil(id) && count < CATEGORY_DEPTH_MAX) {
        struct category above;
        if (category_read(request, id, &above) != DB_ROW)
            return DB_ERROR;
        if (above.is_active || !active_only(request))
            path[count++] = (struct category_ref){above.id, above.name, above.slug};
        id = above.parent_id;
    }
    json_field_array_begin(json, "path");
    while (count > 0)
        category_ref_write(json, &path[--count]);
    json_array_end(json);
    return DB_DONE;
}

DB_STATEMENT(CATEGORY_CHILDREN) = {
    .sql = "SELECT " CATEGORY_COLUMNS " FROM categories c"
           " WHERE c.parent_id = $1 AND (c.is_active = TRUE OR $2 = FALSE)"
           " ORDER BY c.position, c.name_sort, c.id",
    .params = {DB_UUID, DB_BOOL},
    .columns = {CATEGORY_TYPES},
};

static enum db_result children_write(struct request *request, struct json_writer *json, struct uuid id)
{
    struct db_rows *rows =
        db_query(request->db, &CATEGORY_CHILDREN, DB_ARGS(db_uuid(id), db_bool(active_only(request))));
    enum db_result result;
    json_field_array_begin(json, "children");
    while ((result = db_next(rows)) == DB_ROW) {
        struct category child = category_of_row(rows);
        category_begin(json, &child);
        json_object_end(json);
    }
    json_array_end(json);
    return result;
}

/* The category with its path and children, at `status`. */
static enum http_status answer_category(struct request *request, struct response *response,
                                        const struct category *category, enum http_status status)
{
    struct json_writer *json = &response->json;
    category_begin(json, category);
    if (path_write(request, json, category) != DB_DONE ||
        children_write(request, json, category->id) != DB_DONE)
        return problem_database(response, DB_ERROR);
    json_object_end(json);
    return status;
}

enum http_status category_get(struct request *request, struct response *response)
{
    const struct category_get_input *input = request->input;
    struct uuid id;
    struct category category;
    enum db_result result =
        uuid_parse(input->id, &id)
            ? category_read(request, id, &category)
            : category_take(db_query(request->db, &CATEGORY_BY_SLUG, DB_ARGS(db_text(input->id))),
                            request->arena, &category);
    if (result == DB_DONE || (result == DB_ROW && !category.is_active && active_only(request)))
        return problem(response, PROBLEM_CATEGORY_NOT_FOUND, "No category has this id or slug");
    if (result != DB_ROW)
        return problem_database(response, result);
    response_version(response, category.version);
    return answer_category(request, response, &category, HTTP_STATUS_OK);
}

/* ---- GET /categories: the whole tree ---- */

struct node {
    struct category category;
    struct node *first_child, *last_child, *next;
};

struct tree {
    struct node *nodes; /* in the order of the list */
    size_t count;
    struct node **by_id;
};

DB_STATEMENT(CATEGORIES_ALL) = {
    .sql = "SELECT " CATEGORY_COLUMNS " FROM categories c WHERE (c.is_active = TRUE OR $1 = FALSE)"
           " ORDER BY c.position, c.name_sort, c.id LIMIT $2",
    .params = {DB_BOOL, DB_INT},
    .columns = {CATEGORY_TYPES},
};

static enum db_result tree_read(struct request *request, struct tree *tree)
{
    tree->nodes = ARENA_ARRAY(request->arena, struct node, CATEGORIES_MAX);
    tree->count = 0;
    struct db_rows *rows = db_query(request->db, &CATEGORIES_ALL,
                                    DB_ARGS(db_bool(active_only(request)), db_int(CATEGORIES_MAX)));
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW)
        tree->nodes[tree->count++].category = category_copy(request->arena, category_of_row(rows));
    return result;
}

static int compare_nodes(const void *left, const void *right)
{
    const struct node *const *a = left;
    const struct node *const *b = right;
    return uuid_compare((*a)->category.id, (*b)->category.id);
}

static int compare_id_to_node(const void *key, const void *element)
{
    const struct node *const *node = element;
    return uuid_compare(*(const struct uuid *)key, (*node)->category.id);
}

/* Hangs each node below its parent, in the order of the list. What stands below an inactive category hangs
 * nowhere. */
static void tree_link(struct arena *arena, struct tree *tree)
{
    tree->by_id = ARENA_ARRAY(arena, struct node *, tree->count);
    for (size_t i = 0; i < tree->count; i++)
        tree->by_id[i] = &tree->nodes[i];
    qsort(tree->by_id, tree->count, sizeof(*tree->by_id), compare_nodes);
    for (size_t i = 0; i < tree->count; i++) {
        struct node *node = &tree->nodes[i];
        if (uuid_is_nil(node->category.parent_id))
            continue;
        struct node **parent = bsearch(&node->category.parent_id, tree->by_id, tree->count,
                                       sizeof(*tree->by_id), compare_id_to_node);
        if (parent == NULL)
            continue;
        if ((*parent)->last_child == NULL)
            (*parent)->first_child = node;
        else
            (*parent)->last_child->next = node;
        (*parent)->last_child = node;
    }
}

/* At most CATEGORY_DEPTH_MAX deep, in the database as in the calls. */
static void node_write(struct json_writer *json, const struct node *node)
{
    category_begin(json, &node->category);
    if (node->first_child == NULL) {
        json_field_raw(json, "children",
                       SLICE("[]")); /* past the writer, whose depth the deepest leaves would pass */
    } else {
        json_field_array_begin(json, "children");
        for (const struct node *child = node->first_child; child != NULL; child = child->next)
            node_write(json, child);
        json_array_end(json);
    }
    json_object_end(json);
}

_Static_assert(2 * CATEGORY_DEPTH_MAX <= JSON_DEPTH_MAX, "each level opens an array and an object");

static enum http_status answer_tree(struct request *request, struct response *response)
{
    const struct categories_list_input *input = request->input;
    struct tree tree;
    if (tree_read(request, &tree) != DB_DONE)
        return problem_database(response, DB_ERROR);
    tree_link(request->arena, &tree);
    json_array_begin(&response->json);
    for (size_t i = 0; i < tree.count; i++) {
        if (uuid_is_nil(tree.nodes[i].category.parent_id))
            node_write(&response->json, &tree.nodes[i]);
    }
    json_array_end(&response->json);
    response_page(response, input->limit, SLICE_ABSENT);
    if (input->total)
        response_page_total(response, (int64_t)tree.count);
    return HTTP_STATUS_OK;
}

/* ---- GET /categories: pages ---- */

enum execution categories_list_execution(const struct request *request)
{
    const struct categories_list_input *input = request->input;
    bool is_page_of_index = input->view == CATEGORIES_LIST_VIEW_FLAT && !input->has_offset && !input->total;
    return is_page_of_index ? EXECUTION_INLINE : EXECUTION_WORKER;
}

static const enum db_type LIST_COLUMNS[] = {CATEGORY_TYPES, DB_END};

/* Writes the page; `last` are the sort keys of its last row. */
static enum db_result page_write(struct request *request, struct response *response,
                                 const struct db_value *position, struct db_value last[3], bool *has_more)
{
    const struct categories_list_input *input = request->input;
    struct db_built *built = arena_alloc(request->arena, sizeof(*built));
    db_built_init(built, LIST_COLUMNS);
    db_built_add(
        built, SQL("SELECT " CATEGORY_COLUMNS " FROM categories c WHERE (c.is_active = TRUE OR $? = FALSE)"),
        DB_ARGS(db_bool(active_only(request))));
    if (position != NULL)
        db_built_add(built, SQL(" AND (c.position, c.name_sort, c.id) > ($?, $?, $?)"),
                     DB_ARGS(position[0], position[1], position[2]));
    db_built_add(built, SQL(" ORDER BY c.position, c.name_sort, c.id LIMIT $? OFFSET $?"),
                 DB_ARGS(db_int(input->limit + 1), db_int(input->has_offset ? input->offset : 0)));
    struct db_rows *rows = db_query_built(request->db, built);
    enum db_result result;
    int64_t count = 0;
    *has_more = false;
    json_array_begin(&response->json);
    while ((result = db_next(rows)) == DB_ROW) {
        if (count++ == input->limit) {
            *has_more = true;
            db_close(rows);
            result = DB_DONE;
            break;
        }
        struct category category = category_of_row(rows);
        category_begin(&response->json, &category);
        json_object_end(&response->json);
        if (count < input->limit)
            continue;
        last[0] = db_int(category.position);
        last[1] = db_text(arena_copy(request->arena, category.name_sort));
        last[2] = db_uuid(category.id);
    }
    json_array_end(&response->json);
    return result;
}

DB_STATEMENT(CATEGORIES_COUNT) = {
    .sql = "SELECT count(*) FROM categories WHERE (is_active = TRUE OR $1 = FALSE)",
    .params = {DB_BOOL},
    .columns = {DB_INT},
};

enum http_status categories_list(struct request *request, struct response *response)
{
    static const enum db_type KEY_TYPES[] = {DB_INT, DB_TEXT, DB_UUID};
    const struct categories_list_input *input = request->input;
    struct cursor_scope scope;
    cursor_scope_init(&scope, request->operation);
    cursor_scope_add_int(&scope, active_only(request));
    struct db_value position[3];
    if (input->has_cursor && input->has_offset)
        return problem_field(response, "cursor", "CONFLICT", "cannot stand together with offset");
    if (input->has_cursor &&
        !cursor_open(request, &scope, input->cursor, KEY_TYPES, COUNT_OF(KEY_TYPES), position))
        return problem_field(response, "cursor", "INVALID", "is not one that this list has answered");
    if (input->view == CATEGORIES_LIST_VIEW_TREE)
        return answer_tree(request, response);
    int64_t total = 0;
    if (input->total &&
        db_one_int(request->db, &CATEGORIES_COUNT, DB_ARGS(db_bool(active_only(request))), &total) != DB_ROW)
        return problem_database(response, DB_ERROR);
    struct db_value last[3];
    bool has_more = false;
    enum db_result result =
        page_write(request, response, input->has_cursor ? position : NULL, last, &has_more);
    if (result != DB_DONE)
        return problem_database(response, result);
    response_page(response, input->limit,
                  has_more ? cursor_make(request, &scope, last, COUNT_OF(last)) : SLICE_ABSENT);
    if (input->total)
        response_page_total(response, total);
    return HTTP_STATUS_OK;
}

/* ---- what creating and changing share ---- */

DB_STATEMENT(CATEGORY_SLUG_IS_TAKEN) = {
    .sql = "SELECT 1 FROM categories WHERE slug = $1",
    .params = {DB_TEXT},
    .columns = {DB_INT},
};

static enum http_status check_slug(struct request *request, struct response *response, struct slice slug)
{
    int64_t one;
    if (slug_looks_like_id(slug))
        return problem_field(response, "slug", "FORMAT", "must not look like an id");
    enum db_result result = db_one_int(request->db, &CATEGORY_SLUG_IS_TAKEN, DB_ARGS(db_text(slug)), &one);
    if (result == DB_ROW)
        return problem(response, PROBLEM_SLUG_TAKEN, "Another category has the slug %.*s", SLICE_ARG(slug));
    return result == DB_DONE ? (enum http_status)0 : problem_database(response, result);
}

/* The chain from the parent up to the root; empty for none. 0, or 400 when there is no such parent. */
static enum http_status read_parents(struct request *request, struct response *response,
                                     struct uuid parent_id, struct category_chain *chain)
{
    if (category_chain_read(request->db, parent_id, chain) != DB_DONE)
        return problem_database(response, DB_ERROR);
    if (!uuid_is_nil(parent_id) && chain->count == 0)
        return problem_field(response, "parentId", "NOT_FOUND", "there is no such category");
    return (enum http_status)0;
}

static enum http_status answer_too_deep(struct response *response)
{
    return problem(response, PROBLEM_LIMIT_REACHED, "The tree of categories is at most %d levels deep",
                   CATEGORY_DEPTH_MAX);
}

static void drop_from_cache(struct response *response, struct uuid id)
{
    response_drop_id(response, "category", id);
    response_drop(response, "categories");
    response_drop(response, "products"); /* lists by category, and what they expand */
}

/* ---- POST /categories ---- */

DB_STATEMENT(CATEGORY_INSERT) = {
    .sql = "INSERT INTO categories (id, parent_id, name, name_sort, slug, description, position, is_active,"
           " created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
    .params = {DB_UUID, DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_INT, DB_BOOL, DB_TIME},
};

static enum db_result category_insert(struct db *db, const struct category *category)
{
    return db_run(db, &CATEGORY_INSERT,
                  DB_ARGS(db_uuid(category->id),
                          db_if(!uuid_is_nil(category->parent_id), db_uuid(category->parent_id)),
                          db_text(category->name), db_text(category->name_sort), db_text(category->slug),
                          db_text(category->description), db_int(category->position),
                          db_bool(category->is_active), db_time(category->created_at_ms)));
}

/* Whether there is room for one more below this parent. */
static enum http_status check_room(struct request *request, struct response *response, struct uuid parent_id)
{
    struct category_chain above;
    enum http_status status = read_parents(request, response, parent_id, &above);
    if (status)
        return status;
    if (above.count >= CATEGORY_DEPTH_MAX)
        return answer_too_deep(response);
    int64_t count = 0;
    if (db_one_int(request->db, &CATEGORIES_COUNT, DB_ARGS(db_bool(false)), &count) != DB_ROW)
        return problem_database(response, DB_ERROR);
    if (count >= CATEGORIES_MAX)
        return problem(response, PROBLEM_LIMIT_REACHED, "A shop has at most %d categories", CATEGORIES_MAX);
    return (enum http_status)0;
}

enum http_status category_create(struct request *request, struct response *response)
{
    const struct category_create_input *input = request->input;
    bool has_parent = input->has_parent_id && !input->parent_id_is_null;
    struct category category = {
        .id = uuid_v7(request->now_ms),
        .parent_id = has_parent ? input->parent_id : (struct uuid){0},
        .name = input->name,
        .name_sort = name_sort_key(request->arena, input->name),
        .slug = input->slug,
        .description = input->has_description ? input->description : SLICE(""),
        .position = input->has_position ? input->position : 0,
        .is_active = !input->has_is_active || input->is_active,
        .version = 1,
        .created_at_ms = request->now_ms,
        .updated_at_ms = request->now_ms,
    };
    enum http_status status = check_room(request, response, category.parent_id);
    if (!status && input->has_slug)
        status = check_slug(request, response, input->slug);
    if (status)
        return status;
    enum db_result result = DB_DONE;
    if (!input->has_slug)
        result = slug_make(request->db, request->arena, &CATEGORY_SLUG_IS_TAKEN, input->name,
                           SLICE("category"), &category.slug);
    if (result == DB_DONE)
        result = category_insert(request->db, &category);
    if (result != DB_DONE)
        return problem_database(response, result);
    drop_from_cache(response, category.id);
    response_location(response, "/categories/", category.id);
    enum http_status answer = answer_category(request, response, &category, HTTP_STATUS_CREATED);
    return audited(request, response, "category", category.id, SLICE_ABSENT, answer);
}

/* ---- PATCH /categories/{id}: moving ---- */

DB_STATEMENT(SUBTREE_HEIGHT) = {
    .sql = "WITH RECURSIVE below(id, height) AS (SELECT c.id, 1 FROM categories c WHERE c.id = $1"
           " UNION ALL SELECT c.id, b.height + 1 FROM categories c JOIN below b ON c.parent_id = b.id)"
           " SELECT max(below.height) FROM below",
    .params = {DB_UUID},
    .columns = {DB_INT},
};

/* The listings of all that stands in or below `from`, also in `to`. */
DB_STATEMENT(LISTINGS_COPY) = {
    .sql = "INSERT INTO category_products (category_id, created_at, number, price_minor, name_sort)"
           " SELECT $1, m.created_at, m.number, m.price_minor, m.name_sort FROM category_products m"
           " WHERE m.category_id = $2",
    .params = {DB_UUID, DB_UUID},
};

DB_STATEMENT(LISTINGS_REMOVE) = {
    .sql = "DELETE FROM category_products WHERE category_id = $1 AND (created_at, number) IN"
           " (SELECT m.created_at, m.number FROM category_products m WHERE m.category_id = $2)",
    .params = {DB_UUID, DB_UUID},
};

static enum db_result relist(struct db *db, const struct category *category,
                             const struct category_chain *from, const struct category_chain *to)
{
    enum db_result result = DB_DONE;
    if (category->product_count == 0)
        return result;
    for (size_t i = 0; i < from->count && result == DB_DONE; i++) {
        if (category_chain_has(to, from->ids[i]))
            continue;
        result = db_run(db, &LISTINGS_REMOVE, DB_ARGS(db_uuid(from->ids[i]), db_uuid(category->id)));
        if (result == DB_DONE)
            result = category_count_add(db, from->ids[i], -category->product_count);
    }
    for (size_t i = 0; i < to->count && result == DB_DONE; i++) {
        if (category_chain_has(from, to->ids[i]))
            continue;
        result = db_run(db, &LISTINGS_COPY, DB_ARGS(db_uuid(to->ids[i]), db_uuid(category->id)));
        if (result == DB_DONE)
            result = category_count_add(db, to->ids[i], category->product_count);
    }
    return result;
}

/* How many of the one chain are not in the other. */
static size_t not_in(const struct category_chain *chain, const struct category_chain *other)
{
    size_t count = 0;
    for (size_t i = 0; i < chain->count; i++)
        count += !category_chain_has(other, chain->ids[i]);
    return count;
}

/* Moves the category with its subtree below `parent_id` (nil: it becomes a root), and its products' listings
 * with it. */
static enum http_status move(struct request *request, struct response *response, struct category *category,
                             struct uuid parent_id)
{
    struct category_chain from, to;
    enum http_status status = read_parents(request, response, parent_id, &to);
    if (status)
        return status;
    if (category_chain_has(&to, category->id))
        return problem(response, PROBLEM_CATEGORY_CYCLE, "A category cannot move below itself");
    int64_t height = 0;
    if (db_one_int(request->db, &SUBTREE_HEIGHT, DB_ARGS(db_uuid(category->id)), &height) != DB_ROW ||
        category_chain_read(request->db, category->parent_id, &from) != DB_DONE)
        return problem_database(response, DB_ERROR);
    if ((int64_t)to.count + height > CATEGORY_DEPTH_MAX)
        return answer_too_deep(response);
    if (category->product_count * (int64_t)(not_in(&from, &to) + not_in(&to, &from)) >
        CATEGORY_MOVE_LISTINGS_MAX)
        return problem(response, PROBLEM_LIMIT_REACHED,
                       "%lld products are too many to move at once: move its children one by one",
                       (long long)category->product_count);
    enum db_result result = relist(request->db, category, &from, &to);
    if (result != DB_DONE)
        return problem_database(response, result);
    category->parent_id = parent_id;
    return (enum http_status)0;
}

/* ---- PATCH /categories/{id} ---- */

DB_STATEMENT(CATEGORY_UPDATE) = {
    .sql =
        "UPDATE categories SET parent_id = $3, name = $4, name_sort = $5, slug = $6, description = $7, position = $8,"
        " is_active = $9, updated_at = $10, version = version + 1 WHERE id = $1 AND version = $2",
    .params = {DB_UUID, DB_INT, DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_INT, DB_BOOL, DB_TIME},
};

static enum db_result category_write_row(struct db *db, struct category *category)
{
    enum db_result result =
        db_change(db, &CATEGORY_UPDATE,
                  DB_ARGS(db_uuid(category->id), db_int(category->version),
                          db_if(!uuid_is_nil(category->parent_id), db_uuid(category->parent_id)),
                          db_text(category->name), db_text(category->name_sort), db_text(category->slug),
                          db_text(category->description), db_int(category->position),
                          db_bool(category->is_active), db_time(category->updated_at_ms)));
    if (result == DB_DONE)
        category->version++;
    return result;
}

static void take_plain_members(struct request *request, struct category *category)
{
    const struct category_update_input *input = request->input;
    if (input->has_name) {
        category->name = input->name;
        category->name_sort = name_sort_key(request->arena, input->name);
    }
    if (input->has_description)
        category->description = input->description;
    if (input->has_position)
        category->position = input->position;
    if (input->has_is_active)
        category->is_active = input->is_active;
    category->updated_at_ms = request->now_ms;
}

/* What the audit log keeps of a category that changes: what stands in its own row. */
static struct slice category_state(struct arena *arena, const struct category *category)
{
    struct audit_state state;
    audit_state_begin(&state, arena);
    category_begin(&state.json, category);
    json_object_end(&state.json);
    return audit_state_end(&state);
}

/* The category as it is, if this request may change it. */
static enum http_status open_category(struct request *request, struct response *response, struct uuid id,
                                      struct category *category)
{
    enum db_result result = category_read(request, id, category);
    if (result == DB_DONE)
        return problem(response, PROBLEM_CATEGORY_NOT_FOUND, "No category has this id");
    if (result != DB_ROW)
        return problem_database(response, result);
    return response_precondition(response, request, category->version);
}

enum http_status category_update(struct request *request, struct response *response)
{
    const struct category_update_input *input = request->input;
    struct category category;
    enum http_status status = open_category(request, response, input->id, &category);
    if (status)
        return status;
    struct slice before = category_state(request->arena, &category);
    take_plain_members(request, &category);
    if (input->has_slug && !slice_equals(input->slug, category.slug)) {
        status = check_slug(request, response, input->slug);
        category.slug = input->slug;
    }
    struct uuid parent_id =
        input->has_parent_id && !input->parent_id_is_null ? input->parent_id : (struct uuid){0};
    if (!status && input->has_parent_id && !uuid_equals(parent_id, category.parent_id))
        status = move(request, response, &category, parent_id);
    if (status)
        return status;
    enum db_result result = category_write_row(request->db, &category);
    if (result != DB_DONE)
        return problem_database(response, result);
    drop_from_cache(response, category.id);
    response_version(response, category.version);
    status = answer_category(request, response, &category, HTTP_STATUS_OK);
    return audited(request, response, "category", category.id, before, status);
}

/* ---- DELETE /categories/{id} ---- */

DB_STATEMENT(CATEGORY_CONTENT) = {
    .sql =
        "SELECT 1 FROM categories WHERE parent_id = $1 UNION ALL SELECT 1 FROM products WHERE category_id = $1 LIMIT 1",
    .params = {DB_UUID},
    .columns = {DB_INT},
};

DB_STATEMENT(CATEGORY_DELETE) = {
    .sql = "DELETE FROM categories WHERE id = $1 AND version = $2",
    .params = {DB_UUID, DB_INT},
};

enum http_status category_delete(struct request *request, struct response *response)
{
    const struct category_delete_input *input = request->input;
    struct category category;
    enum http_status status = open_category(request, response, input->id, &category);
    if (status)
        return status;
    int64_t one;
    enum db_result result = db_one_int(request->db, &CATEGORY_CONTENT, DB_ARGS(db_uuid(input->id)), &one);
    if (result == DB_ROW)
        return problem(response, PROBLEM_CATEGORY_NOT_EMPTY, "It still has products or categories in it");
    if (result == DB_DONE)
        result =
            db_change(request->db, &CATEGORY_DELETE, DB_ARGS(db_uuid(input->id), db_int(category.version)));
    if (result != DB_DONE)
        return problem_database(response, result);
    drop_from_cache(response, input->id);
    return audited(request, response, "category", input->id, category_state(request->arena, &category),
                   HTTP_STATUS_NO_CONTENT);
}
