/* GET /products: filters, sorts, search, pages.
 *
 * The plan. First the numbers of the page, with the key of the sort, from one of these:
 *
 *   category_products   with a category: one clustered index a sort, price included
 *   products            without: products_listed_created, _price, _name hold every sort; products_vendor and
 * products_featured the newest of each product_tags        with a tag and no category: all of that tag,
 * sorted product_search      with q: ranked, or its hits sorted
 *
 * then the documents and stock of twenty numbers with one more statement, in which every row is found by its
 * key. A page that an index yields in its order runs inline; what must look at more rows than it shows, or
 * sort, goes to a worker. The next page continues behind the sort key and number of the last row; relevance,
 * which has no key, counts (within the candidates).
 *
 * Staff see products that are inactive too, and costs and reservations: they are rendered from the tables. */
#include "shop/products_list.h"
#include "contract/handlers.h"
#include "contract/inputs.h"
#include "http/page.h"
#include "shop/product.h"
#include "shop/search.h"

/* ---- the sorts ---- */

enum key { KEY_CREATED, KEY_PRICE, KEY_NAME, KEY_COUNT };

static const enum db_type KEY_TYPES[KEY_COUNT] = {DB_TIME, DB_INT, DB_TEXT};

static const enum db_type CREATED_COLUMNS[] = {DB_INT, DB_TIME, DB_END};
static const enum db_type PRICE_COLUMNS[] = {DB_INT, DB_INT, DB_END};
static const enum db_type NAME_COLUMNS[] = {DB_INT, DB_TEXT, DB_END};
static const enum db_type NUMBER_COLUMN[] = {DB_INT, DB_END};
static const enum db_type *const KEY_COLUMNS[KEY_COUNT] = {CREATED_COLUMNS, PRICE_COLUMNS, NAME_COLUMNS};

/* The texts of one sort, on products (`p`) or category_products (`l`). */
struct sort_text {
    const char *select;
    const char *after, *before; /* continue behind a key, going up or down */
    const char *ascending, *descending;
};

#define SORT_TEXT(table, column)                                                                             \
    {                                                                                                        \
        .select = SQL("SELECT " table ".number, " table "." column),                                         \
        .after = SQL(" AND (" table "." column ", " table ".number) > ($?, $?)"),                            \
        .before = SQL(" AND (" table "." column ", " table ".number) < ($?, $?)"),                           \
        .ascending = SQL(" ORDER BY " table "." column ", " table ".number"),                                \
        .descending = SQL(" ORDER BY " table "." column " DESC, " table ".number DESC"),                     \
    }

static const struct sort_text SORTS_OF_PRODUCTS[KEY_COUNT] = {
    [KEY_CREATED] = SORT_TEXT("p", "created_at"),
    [KEY_PRICE] = SORT_TEXT("p", "price_minor"),
    [KEY_NAME] = SORT_TEXT("p", "name_sort"),
};
static const struct sort_text SORTS_OF_LISTINGS[KEY_COUNT] = {
    [KEY_CREATED] = SORT_TEXT("l", "created_at"),
    [KEY_PRICE] = SORT_TEXT("l", "price_minor"),
    [KEY_NAME] = SORT_TEXT("l", "name_sort"),
};

/* ---- what is asked for ---- */

struct list {
    const struct products_list_input *input;
    enum db_engine engine;
    bool is_staff;
    bool is_listed; /* only products that shoppers see */
    bool is_ranked; /* by relevance */
    bool is_narrow; /* the range of prices holds at most NARROW_RANGE_MAX: it leads, and is sorted */
    enum key key;
    bool is_descending;
    bool has_category;
    struct uuid category_id;
    struct search search;
};

static void list_sort(struct list *list)
{
    const struct products_list_input *input = list->input;
    list->key = KEY_CREATED;
    list->is_descending = true;
    list->is_ranked = input->has_q && !input->has_sort;
    if (!input->has_sort)
        return;
    switch (input->sort) {
    case PRODUCTS_LIST_SORT_NAME:
    case PRODUCTS_LIST_SORT_NAME_DESC:
        list->key = KEY_NAME;
        list->is_descending = input->sort == PRODUCTS_LIST_SORT_NAME_DESC;
        break;
    case PRODUCTS_LIST_SORT_PRICE:
    case PRODUCTS_LIST_SORT_PRICE_DESC:
        list->key = KEY_PRICE;
        list->is_descending = input->sort == PRODUCTS_LIST_SORT_PRICE_DESC;
        break;
    case PRODUCTS_LIST_SORT_CREATED_AT:
    case PRODUCTS_LIST_SORT_CREATED_AT_DESC:
        list->is_descending = input->sort == PRODUCTS_LIST_SORT_CREATED_AT_DESC;
        break;
    case PRODUCTS_LIST_SORT_RELEVANCE:
        list->is_ranked = true;
        break;
    }
}

static struct list list_of(const struct request *request)
{
    struct list list = {.input = request->input, .is_staff = principal_sees_drafts(&request->principal)};
    list.is_listed = !list.is_staff || (list.input->has_is_active && list.input->is_active);
    list.has_category = list.input->has_category;
    list_sort(&list);
    return list;
}

static bool has_price_filter(const struct list *list)
{
    return list->input->has_price_gte || list->input->has_price_lte;
}

/* Whether an index holds exactly what is asked for, in its order: see the plan above. */
static bool is_served_by_index(const struct list *list)
{
    const struct products_list_input *input = list->input;
    if (list->is_staff || input->has_q || input->has_tag || input->has_in_stock)
        return false;
    if (input->has_offset || (input->has_total && input->total))
        return false;
    if (has_price_filter(list) && list->key != KEY_PRICE)
        return false;
    if (!input->has_vendor && !input->has_is_featured)
        return true;
    bool is_one_of_them = input->has_vendor != (input->has_is_featured && input->is_featured) &&
                          !(input->has_vendor && input->has_is_featured);
    return is_one_of_them && list->key == KEY_CREATED && !list->has_category && !has_price_filter(list);
}

enum execution products_list_execution(const struct request *request)
{
    struct list list = list_of(request);
    return is_served_by_index(&list) ? EXECUTION_INLINE : EXECUTION_WORKER;
}

/* ---- where the products come from ---- */

/* Whether only columns of category_products are needed. */
static bool is_listing_enough(const struct list *list)
{
    const struct products_list_input *input = list->input;
    return !input->has_vendor && !input->has_is_featured && !input->has_in_stock;
}

/* Whether the rows are led by category_products. */
static bool is_by_listing(const struct list *list)
{
    return list->has_category && list->is_listed && !list->input->has_q;
}

static const struct sort_text *sort_text_of(const struct list *list)
{
    return is_by_listing(list) ? &SORTS_OF_LISTINGS[list->key] : &SORTS_OF_PRODUCTS[list->key];
}

/* A range that holds fewer is read by price and sorted; of one that holds more, of a million, every five
 * hundredth is in it: some ten thousand are walked to fill a page. */
#define NARROW_RANGE_MAX 2000

static void add_range(struct db_built *built, const struct list *list)
{
    const struct products_list_input *input = list->input;
    bool is_of_listing = is_by_listing(list);
    if (is_of_listing)
        db_built_add(built, SQL(" FROM category_products r WHERE r.category_id = $?"),
                     DB_ARGS(db_uuid(list->category_id)));
    else
        db_built_add(built,
                     list->is_listed
                         ? SQL(" FROM products r WHERE r.deleted_at IS NULL AND r.is_active = TRUE")
                         : SQL(" FROM products r WHERE r.deleted_at IS NULL"),
                     DB_NO_ARGS);
    if (input->has_price_gte)
        db_built_add(built, SQL(" AND r.price_minor >= $?"), DB_ARGS(db_int(input->price_gte)));
    if (input->has_price_lte)
        db_built_add(built, SQL(" AND r.price_minor <= $?"), DB_ARGS(db_int(input->price_lte)));
}

/* The limit cuts nothing off: it keeps the engine from looking for another way in. */
static void add_narrow_source(struct db_built *built, const struct list *list)
{
    db_built_add(built, SQL(" FROM (SELECT r.number"), DB_NO_ARGS);
    if (is_by_listing(list))
        db_built_add(built, SQL(", r.created_at, r.price_minor, r.name_sort"), DB_NO_ARGS);
    add_range(built, list);
    db_built_add(built, SQL(" ORDER BY r.price_minor, r.number LIMIT $?)"),
                 DB_ARGS(db_int(2 * NARROW_RANGE_MAX)));
    if (is_by_listing(list) && is_listing_enough(list))
        db_built_add(built, SQL(" l WHERE l.number > 0"), DB_NO_ARGS);
    else
        db_built_add(built, SQL(" l JOIN products p ON p.number = l.number WHERE p.deleted_at IS NULL"),
                     DB_NO_ARGS);
}

static void add_source(struct db_built *built, const struct list *list)
{
    const struct products_list_input *input = list->input;
    if (list->is_narrow) {
        add_narrow_source(built, list);
    } else if (is_by_listing(list)) {
        db_built_add(built,
                     is_listing_enough(list)
                         ? SQL(" FROM category_products l")
                         : SQL(" FROM category_products l JOIN products p ON p.number = l.number"),
                     DB_NO_ARGS);
        db_built_add(built, SQL(" WHERE l.category_id = $?"), DB_ARGS(db_uuid(list->category_id)));
    } else if (input->has_q) {
        search_hits_from(built, &list->search);
        db_built_add(built, SQL(" WHERE p.deleted_at IS NULL"), DB_NO_ARGS);
    } else if (input->has_tag && !list->has_category) {
        db_built_add(built,
                     SQL(" FROM product_tags t JOIN products p ON p.number = t.number"
                         " WHERE t.tag = $? AND p.deleted_at IS NULL"),
                     DB_ARGS(db_text(input->tag)));
    } else {
        db_built_add(built, SQL(" FROM products p WHERE p.deleted_at IS NULL"), DB_NO_ARGS);
    }
}

/* A plus before a column keeps the engine from reading by that column's index and sorting all that it finds:
 * the index of the sort holds the price too. */
static void add_price_filter(struct db_built *built, const struct list *list)
{
    const struct products_list_input *input = list->input;
    bool is_by_price = list->key == KEY_PRICE && !list->is_ranked && !input->has_q;
    if (input->has_price_gte && is_by_listing(list))
        db_built_add(built, is_by_price ? SQL(" AND l.price_minor >= $?") : SQL(" AND +l.price_minor >= $?"),
                     DB_ARGS(db_int(input->price_gte)));
    else if (input->has_price_gte)
        db_built_add(built, is_by_price ? SQL(" AND p.price_minor >= $?") : SQL(" AND +p.price_minor >= $?"),
                     DB_ARGS(db_int(input->price_gte)));
    if (input->has_price_lte && is_by_listing(list))
        db_built_add(built, is_by_price ? SQL(" AND l.price_minor <= $?") : SQL(" AND +l.price_minor <= $?"),
                     DB_ARGS(db_int(input->price_lte)));
    else if (input->has_price_lte)
        db_built_add(built, is_by_price ? SQL(" AND p.price_minor <= $?") : SQL(" AND +p.price_minor <= $?"),
                     DB_ARGS(db_int(input->price_lte)));
}

#define SUBTREE                                                                                              \
    "WITH RECURSIVE subtree(id) AS (SELECT c.id FROM categories c WHERE c.id = $?"                           \
    " UNION ALL SELECT c.id FROM categories c JOIN subtree s ON c.parent_id = s.id) SELECT subtree.id FROM subtree"

/* What listings and tags cannot lead to by themselves. (PostgreSQL knows of an array that it is short.) */
static void add_category_and_tag(struct db_built *built, const struct list *list)
{
    const struct products_list_input *input = list->input;
    if (list->has_category && !is_by_listing(list) && list->is_listed)
        db_built_add(
            built,
            SQL(" AND EXISTS (SELECT 1 FROM category_products l WHERE l.number = p.number AND l.category_id = $?)"),
            DB_ARGS(db_uuid(list->category_id)));
    else if (list->has_category && !is_by_listing(list))
        db_built_add(built,
                     list->engine == DB_POSTGRES
                         ? SQL_POSTGRES(" AND p.category_id = ANY (ARRAY(" SUBTREE "))")
                         : SQL(" AND p.category_id IN (" SUBTREE ")"),
                     DB_ARGS(db_uuid(list->category_id)));
    if (!input->has_tag || (!list->has_category && !input->has_q))
        return;
    db_built_add(
        built,
        is_by_listing(list)
            ? SQL(" AND EXISTS (SELECT 1 FROM product_tags t WHERE t.number = l.number AND t.tag = $?)")
            : SQL(" AND EXISTS (SELECT 1 FROM product_tags t WHERE t.number = p.number AND t.tag = $?)"),
        DB_ARGS(db_text(input->tag)));
}

/* A variant `s` of product `p` that can be bought now. */
#define IS_SELLABLE                                                                                          \
    " s.product_id = p.id AND s.is_retired = FALSE"                                                          \
    " AND (s.is_tracked = FALSE OR s.allows_backorder = TRUE OR s.on_hand > s.reserved)"
#define IS_SOLD_OUT " AND NOT EXISTS (SELECT 1 FROM variant_stock s WHERE" IS_SELLABLE ")"

static void add_filters(struct db_built *built, const struct list *list)
{
    const struct products_list_input *input = list->input;
    if (list->is_listed && !is_by_listing(list))
        db_built_add(built, SQL(" AND p.is_active = TRUE"), DB_NO_ARGS);
    else if (!list->is_listed && input->has_is_active)
        db_built_add(built, SQL(" AND p.is_active = FALSE"), DB_NO_ARGS);
    if (input->has_vendor)
        db_built_add(built, SQL(" AND p.vendor = $?"), DB_ARGS(db_text(input->vendor)));
    if (input->has_is_featured) /* few are featured: an index leads to them; most are not: it would only
                                   mislead */
        db_built_add(
            built, input->is_featured ? SQL(" AND p.is_featured = TRUE") : SQL(" AND p.is_featured <> TRUE"),
            DB_NO_ARGS);
    if (input->has_in_stock && input->in_stock)
        db_built_add(built, SQL(" AND EXISTS (SELECT 1 FROM variant_stock s WHERE" IS_SELLABLE ")"),
                     DB_NO_ARGS);
    else if (input->has_in_stock)
        db_built_add(
            built,
            list->engine == DB_POSTGRES
                ? SQL_POSTGRES(
                      " AND p.id IN (SELECT z.product_id FROM variant_stock z WHERE z.is_sold_out)" IS_SOLD_OUT)
                : SQL(" AND p.id IN (SELECT z.product_id FROM variant_stock z WHERE z.on_hand <= z.reserved"
                      " AND z.is_tracked = TRUE AND z.allows_backorder = FALSE AND z.is_retired = FALSE)" IS_SOLD_OUT),
            DB_NO_ARGS);
    add_price_filter(built, list);
    add_category_and_tag(built, list);
}

/* ---- the page ---- */

struct page {
    int64_t numbers[PAGE_LIMIT_MAX];
    size_t count;
    bool has_more;
    struct db_value last[2]; /* the sort key and number of the last row shown */
};

/* Whether hits may be left out: then more must be looked at than are shown. */
static bool has_filter(const struct list *list)
{
    const struct products_list_input *input = list->input;
    return list->has_category || has_price_filter(list) || input->has_tag || input->has_vendor ||
           input->has_in_stock || input->has_is_featured || input->has_is_active;
}

/* `position` is where the page begins: the values of the cursor, or NULL. */
static void build_page(struct db_built *built, const struct list *list, const struct db_value *position,
                       int64_t limit, int64_t offset)
{
    const struct sort_text *text = sort_text_of(list);
    db_built_init(built, list->is_ranked ? NUMBER_COLUMN : KEY_COLUMNS[list->key]);
    if (list->is_ranked) {
        search_ranked_begin(built, &list->search, has_filter(list));
        db_built_add(built, SQL(" AND p.deleted_at IS NULL"), DB_NO_ARGS);
        add_filters(built, list);
        search_ranked_end(built, &list->search, has_filter(list));
        db_built_add(built, SQL(" LIMIT $? OFFSET $?"), DB_ARGS(db_int(limit), db_int(offset)));
        return;
    }
    if (list->input->has_q)
        search_hits(built, &list->search);
    db_built_add(built, text->select, DB_NO_ARGS);
    add_source(built, list);
    add_filters(built, list);
    if (position != NULL)
        db_built_add(built, list->is_descending ? text->before : text->after,
                     DB_ARGS(position[0], position[1]));
    db_built_add(built, list->is_descending ? text->descending : text->ascending, DB_NO_ARGS);
    db_built_add(built, SQL(" LIMIT $? OFFSET $?"), DB_ARGS(db_int(limit), db_int(offset)));
}

static struct db_value key_value(struct db_rows *rows, enum key key, struct arena *arena)
{
    switch (key) {
    case KEY_CREATED:
        return db_time(db_get_time(rows, 1));
    case KEY_PRICE:
        return db_int(db_get_int(rows, 1));
    case KEY_NAME:
        return db_text(db_copy_text(rows, 1, arena));
    case KEY_COUNT:
        break;
    }
    CHECK(!"a key");
    return db_int(0);
}

static enum db_result read_page(struct request *request, const struct list *list,
                                const struct db_value *position, int64_t offset, struct page *page)
{
    struct db_built *built = arena_alloc(request->arena, sizeof(*built));
    int64_t limit = list->input->limit;
    build_page(built, list, position, limit + 1, offset);
    struct db_rows *rows = db_query_built(request->db, built);
    enum db_result result;
    page->count = 0;
    page->has_more = false;
    while ((result = db_next(rows)) == DB_ROW) {
        if (page->count == (size_t)limit) {
            page->has_more = true;
            db_close(rows);
            return DB_DONE;
        }
        page->numbers[page->count++] = db_get_int(rows, 0);
        if (page->count == (size_t)limit && !list->is_ranked) {
            page->last[0] = key_value(rows, list->key, request->arena);
            page->last[1] = db_int(page->numbers[page->count - 1]);
        }
    }
    return result;
}

/* A search that finds nothing is tried again as it may have been meant; so are the pages behind its first,
 * and its count. */
static enum db_result find_page(struct request *request, struct list *list, const struct db_value *position,
                                int64_t offset, struct page *page)
{
    enum db_result result = read_page(request, list, position, offset, page);
    if (result != DB_DONE || page->count > 0 || !list->input->has_q)
        return result;
    result = search_correct(request->db, request->arena, list->input->q, &list->search);
    return result == DB_ROW ? read_page(request, list, position, offset, page) : result;
}

static enum db_result count_all(struct request *request, const struct list *list, int64_t *total)
{
    struct db_built *built = arena_alloc(request->arena, sizeof(*built));
    db_built_init(built, NUMBER_COLUMN);
    if (list->input->has_q)
        search_hits(built, &list->search);
    db_built_add(built, SQL("SELECT count(*) FROM (SELECT 1"), DB_NO_ARGS);
    add_source(built, list);
    add_filters(built, list);
    db_built_add(built, SQL(" LIMIT $?) AS counted"), DB_ARGS(db_int(PAGE_TOTAL_MAX + 1)));
    struct db_rows *rows = db_query_built(request->db, built);
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return DB_ERROR;
    *total = db_get_int(rows, 0);
    db_close(rows);
    return DB_DONE;
}

/* ---- the documents of a page ---- */

#define DOCUMENTS_AT_ONCE 20

/* One row for each variant; those of a product stand together, in the order of its holes. A number of 0 fills
 * a place. */
DB_STATEMENT(DOCUMENTS_READ) = {
    .sql = "SELECT d.product_number, d.product_id, s.is_tracked, s.on_hand - s.reserved, d.body"
           " FROM product_documents d JOIN variant_stock s ON s.product_id = d.product_id"
           " WHERE d.product_number IN"
           " ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)"
           " AND s.is_retired = FALSE ORDER BY d.product_number, s.variant_id",
    .params = {DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT,
               DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT},
    .columns = {DB_INT, DB_UUID, DB_BOOL, DB_INT, DB_TEXT},
};

/* A document of the chunk: where its text and its stocks lie among the others'. */
struct listed_document {
    struct uuid product_id;
    size_t text_first, text_len; /* 0: it is no longer listed */
    size_t stock_first, stock_count;
};

/* Twenty documents as they come from the database, by number; used again for the next twenty. */
struct chunk {
    struct listed_document documents[DOCUMENTS_AT_ONCE];
    struct buf texts;
    struct document_stock *stocks;
    size_t stock_count, stock_room;
};

static void chunk_add_stock(struct arena *arena, struct chunk *chunk, struct document_stock stock)
{
    if (chunk->stock_count == chunk->stock_room) {
        size_t room = chunk->stock_room == 0 ? 64 : chunk->stock_room * 2;
        struct document_stock *stocks = ARENA_ARRAY(arena, struct document_stock, room);
        if (chunk->stock_count > 0)
            memcpy(stocks, chunk->stocks, chunk->stock_count * sizeof(*stocks));
        chunk->stocks = stocks;
        chunk->stock_room = room;
    }
    chunk->stocks[chunk->stock_count++] = stock;
}

/* The document's place is the number's. */
static struct listed_document *chunk_open(struct chunk *chunk, const int64_t *numbers, size_t count,
                                          struct db_rows *rows)
{
    int64_t number = db_get_int(rows, 0);
    size_t at = 0;
    while (at < count && numbers[at] != number)
        at++;
    CHECK(at < count);
    struct slice text = db_get_text(rows, 4);
    chunk->documents[at] = (struct listed_document){
        .product_id = db_get_uuid(rows, 1),
        .text_first = chunk->texts.len,
        .text_len = text.len,
        .stock_first = chunk->stock_count,
    };
    buf_append(&chunk->texts, text);
    return &chunk->documents[at];
}

static enum db_result chunk_read(struct request *request, const int64_t *numbers, size_t count,
                                 struct chunk *chunk)
{
    memset(chunk->documents, 0, sizeof(chunk->documents));
    chunk->texts.len = 0;
    chunk->stock_count = 0;
    struct db_value values[DOCUMENTS_AT_ONCE];
    for (size_t i = 0; i < DOCUMENTS_AT_ONCE; i++)
        values[i] = db_int(i < count ? numbers[i] : 0);
    struct db_args args = {values, DOCUMENTS_AT_ONCE};
    struct db_rows *rows = db_query(request->db, &DOCUMENTS_READ, args);
    struct listed_document *document = NULL;
    int64_t current = 0;
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW) {
        if (db_get_int(rows, 0) != current) {
            current = db_get_int(rows, 0);
            document = chunk_open(chunk, numbers, count, rows);
        }
        document->stock_count++;
        chunk_add_stock(request->arena, chunk,
                        (struct document_stock){db_get_bool(rows, 2), db_get_int(rows, 3)});
    }
    return chunk->texts.overflow ? DB_ERROR : result;
}

/* In the order of the page. */
static enum db_result write_documents(struct request *request, struct response *response,
                                      const int64_t *numbers, size_t count, bool expands, struct chunk *chunk)
{
    enum db_result result = chunk_read(request, numbers, count, chunk);
    for (size_t i = 0; i < count && result == DB_DONE; i++) {
        const struct listed_document *document = &chunk->documents[i];
        struct category_ref category = {0};
        if (document->text_len == 0)
            continue;
        response_tag(response, "product", document->product_id); /* a sale refreshes the lists that show it */
        if (expands)
            result =
                category_ref_of_product(request->db, request->arena, document->product_id, true, &category);
        struct slice text = {chunk->texts.ptr + document->text_first, document->text_len};
        product_document_write(&response->json, text, chunk->stocks + document->stock_first,
                               document->stock_count, &category);
    }
    return result;
}

static enum db_result write_for_staff(struct request *request, struct response *response,
                                      const int64_t *numbers, size_t count, bool expands)
{
    for (size_t i = 0; i < count; i++) {
        struct product product;
        struct category_ref category = {0};
        enum db_result result = product_read_by_number(request->db, request->arena, numbers[i], &product);
        if (result == DB_DONE)
            continue;
        if (result != DB_ROW || (expands && category_ref_of_product(request->db, request->arena, product.id,
                                                                    false, &category) != DB_DONE))
            return DB_ERROR;
        product_write(&response->json, &product, PRODUCT_VIEW_STAFF, &category);
    }
    return DB_DONE;
}

#define DOCUMENT_BYTES_USUAL 1536 /* only a guess, which spares the reply being moved while it grows */

static enum db_result write_page(struct request *request, struct response *response, const struct list *list,
                                 const struct page *page)
{
    enum db_result result = DB_DONE;
    struct chunk chunk = {.stocks = NULL};
    bool expands = list->input->has_expand;
    buf_init(&chunk.texts, request->arena);
    (void)buf_reserve(&response->body, page->count * DOCUMENT_BYTES_USUAL);
    json_array_begin(&response->json);
    for (size_t i = 0; i < page->count && result == DB_DONE; i += DOCUMENTS_AT_ONCE) {
        size_t left = page->count - i;
        size_t count = left < DOCUMENTS_AT_ONCE ? left : DOCUMENTS_AT_ONCE;
        result = list->is_staff
                     ? write_for_staff(request, response, page->numbers + i, count, expands)
                     : write_documents(request, response, page->numbers + i, count, expands, &chunk);
    }
    json_array_end(&response->json);
    return result;
}

/* ---- the handler ---- */

DB_STATEMENT(CATEGORY_BY_ID) = {
    .sql = "SELECT id FROM categories WHERE id = $1 AND (is_active = TRUE OR $2 = FALSE)",
    .params = {DB_UUID, DB_BOOL},
    .columns = {DB_UUID},
};

DB_STATEMENT(CATEGORY_BY_SLUG) = {
    .sql = "SELECT id FROM categories WHERE slug = $1 AND (is_active = TRUE OR $2 = FALSE)",
    .params = {DB_TEXT, DB_BOOL},
    .columns = {DB_UUID},
};

/* DB_ROW, DB_DONE when there is no such category (for this caller), or DB_ERROR. */
static enum db_result find_category(struct request *request, struct list *list)
{
    struct slice text = list->input->category;
    bool active_only = !list->is_staff;
    struct uuid id;
    struct db_rows *rows =
        uuid_parse(text, &id)
            ? db_query(request->db, &CATEGORY_BY_ID, DB_ARGS(db_uuid(id), db_bool(active_only)))
            : db_query(request->db, &CATEGORY_BY_SLUG, DB_ARGS(db_text(text), db_bool(active_only)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    list->category_id = db_get_uuid(rows, 0);
    db_close(rows);
    return DB_ROW;
}

/* All that shapes the list: a cursor of one is refused by another. */
static struct cursor_scope scope_of(const struct request *request, const struct list *list)
{
    const struct products_list_input *input = list->input;
    struct cursor_scope scope;
    cursor_scope_init(&scope, request->operation);
    cursor_scope_add_int(&scope, list->is_ranked ? KEY_COUNT : list->key);
    cursor_scope_add_int(&scope, list->is_descending);
    cursor_scope_add_int(&scope, list->is_staff);
    cursor_scope_add(&scope, input->q);
    cursor_scope_add(&scope, input->category);
    cursor_scope_add(&scope, input->tag);
    cursor_scope_add(&scope, input->vendor);
    cursor_scope_add_int(&scope, input->has_price_gte ? input->price_gte : -1);
    cursor_scope_add_int(&scope, input->has_price_lte ? input->price_lte : -1);
    cursor_scope_add_int(&scope, input->has_in_stock ? input->in_stock : -1);
    cursor_scope_add_int(&scope, input->has_is_featured ? input->is_featured : -1);
    cursor_scope_add_int(&scope, input->has_is_active ? input->is_active : -1);
    return scope;
}

/* Where the page begins. 0, or the status of the problem. */
static enum http_status read_position(struct request *request, struct response *response,
                                      const struct list *list, const struct cursor_scope *scope,
                                      struct db_value position[2], int64_t *offset)
{
    const struct products_list_input *input = list->input;
    *offset = input->has_offset ? input->offset : 0;
    if (!input->has_cursor)
        return (enum http_status)0;
    if (input->has_offset)
        return problem_field(response, "cursor", "CONFLICT", "cannot stand together with offset");
    enum db_type types[2] = {KEY_TYPES[list->key], DB_INT};
    bool is_good = list->is_ranked
                       ? cursor_open(request, scope, input->cursor, &types[1], 1, position)
                       : cursor_open(request, scope, input->cursor, types, COUNT_OF(types), position);
    if (!is_good)
        return problem_field(response, "cursor", "INVALID", "is not one that this list has answered");
    if (list->is_ranked)
        *offset = position[0].integer;
    return (enum http_status)0;
}

static struct slice next_cursor(struct request *request, const struct list *list,
                                const struct cursor_scope *scope, const struct page *page, int64_t offset)
{
    if (!page->has_more)
        return SLICE_ABSENT;
    if (!list->is_ranked)
        return cursor_make(request, scope, page->last, COUNT_OF(page->last));
    struct db_value next = db_int(offset + (int64_t)page->count);
    return cursor_make(request, scope, &next, 1);
}

/* Whether the range of prices may lead to what is asked for, which is not sorted by price. */
static bool has_two_ways(const struct list *list)
{
    const struct products_list_input *input = list->input;
    bool is_of_tag = input->has_tag && !list->has_category;
    bool is_of_subtree = list->has_category && !is_by_listing(list);
    return has_price_filter(list) && list->key != KEY_PRICE && !input->has_q && !is_of_tag && !is_of_subtree;
}

static enum db_result measure_range(struct request *request, struct list *list)
{
    struct db_built *built = arena_alloc(request->arena, sizeof(*built));
    db_built_init(built, NUMBER_COLUMN);
    db_built_add(built, SQL("SELECT count(*) FROM (SELECT 1"), DB_NO_ARGS);
    add_range(built, list);
    db_built_add(built, SQL(" LIMIT $?) AS counted"), DB_ARGS(db_int(NARROW_RANGE_MAX + 1)));
    struct db_rows *rows = db_query_built(request->db, built);
    if (db_next(rows) != DB_ROW)
        return DB_ERROR;
    list->is_narrow = db_get_int(rows, 0) <= NARROW_RANGE_MAX;
    db_close(rows);
    return DB_DONE;
}

/* Whether nothing can be found: there is no such category, or no word to search for. */
static enum db_result prepare(struct request *request, struct list *list, bool *is_empty)
{
    *is_empty = false;
    list->engine = db_engine_of(request->db);
    if (list->has_category) {
        enum db_result result = find_category(request, list);
        if (result != DB_ROW && result != DB_DONE)
            return DB_ERROR;
        *is_empty = result == DB_DONE;
    }
    if (list->input->has_q) {
        list->search = search_of(list->engine, request->arena, list->input->q);
        if (search_complete(request->db, request->arena, list->input->q, &list->search) != DB_DONE)
            return DB_ERROR;
        *is_empty = *is_empty || slice_is_absent(list->search.query);
    }
    return !*is_empty && has_two_ways(list) ? measure_range(request, list) : DB_DONE;
}

enum db_result products_list_statement(struct request *request, bool continues, struct db_built *built)
{
    struct list list = list_of(request);
    struct db_value position[2] = {{.type = KEY_TYPES[list.key]}, db_int(0)};
    if (list.key == KEY_NAME)
        position[0] = db_text(SLICE("m"));
    bool is_empty = false;
    enum db_result result = prepare(request, &list, &is_empty);
    if (result == DB_DONE)
        build_page(built, &list, continues ? position : NULL, list.input->limit + 1, 0);
    return result;
}

enum http_status products_list(struct request *request, struct response *response)
{
    const struct products_list_input *input = request->input;
    struct list list = list_of(request);
    if (list.is_ranked && !input->has_q)
        return problem_field(response, "sort", "INVALID", "relevance needs q");
    struct cursor_scope scope = scope_of(request, &list);
    struct db_value position[2];
    int64_t offset = 0;
    enum http_status status = read_position(request, response, &list, &scope, position, &offset);
    if (status)
        return status;
    bool is_empty = false;
    if (prepare(request, &list, &is_empty) != DB_DONE)
        return problem_database(response, DB_ERROR);
    struct page page = {.count = 0};
    int64_t total = 0;
    bool is_behind = input->has_cursor && !list.is_ranked;
    if (!is_empty && find_page(request, &list, is_behind ? position : NULL, offset, &page) != DB_DONE)
        return problem_database(response, DB_ERROR);
    if (!is_empty && input->total && count_all(request, &list, &total) != DB_DONE)
        return problem_database(response, DB_ERROR);
    if (write_page(request, response, &list, &page) != DB_DONE)
        return problem_database(response, DB_ERROR);
    response_page(response, input->limit, next_cursor(request, &list, &scope, &page, offset));
    if (input->total)
        response_page_total(response, total);
    return HTTP_STATUS_OK;
}
