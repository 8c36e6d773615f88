/* Making the words of all products anew: a page of products at a time, with their tags and SKUs. */
#include "shop/search_rebuild.h"

#include "shop/search.h"

#define PAGE_PRODUCTS 200

DB_STATEMENT(REBUILD_COUNT) = {
    .sql = "SELECT COUNT(*) FROM products WHERE number > $1 AND deleted_at IS NULL",
    .params = {DB_INT},
    .columns = {DB_INT},
};

DB_STATEMENT(REBUILD_LAST) = {
    .sql = "SELECT COALESCE(MAX(rowid), 0) FROM product_search",
    .sql_postgres = "SELECT COALESCE(MAX(number), 0) FROM product_search",
    .columns = {DB_INT},
};

DB_STATEMENT(REBUILD_PRODUCTS) = {
    .sql = "SELECT number, id, name, description, vendor FROM products"
           " WHERE number > $1 AND deleted_at IS NULL ORDER BY number LIMIT $2",
    .params = {DB_INT, DB_INT},
    .columns = {DB_INT, DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT},
};

DB_STATEMENT(REBUILD_TAGS) = {
    .sql = "SELECT number, tag FROM product_tags WHERE number BETWEEN $1 AND $2 ORDER BY number, tag",
    .params = {DB_INT, DB_INT},
    .columns = {DB_INT, DB_TEXT},
};

DB_STATEMENT(REBUILD_SKUS) = {
    .sql = "SELECT p.number, v.sku FROM products p JOIN variants v ON v.product_id = p.id"
           " WHERE p.number BETWEEN $1 AND $2 AND v.deleted_at IS NULL ORDER BY p.number, v.position",
    .params = {DB_INT, DB_INT},
    .columns = {DB_INT, DB_TEXT},
};

struct page {
    struct arena *arena;
    int64_t after; /* the number that it begins behind */
    size_t count;
    struct product products[PAGE_PRODUCTS];
};

static enum db_result read_products(struct db *db, struct page *page)
{
    struct db_rows *rows =
        db_query(db, &REBUILD_PRODUCTS, DB_ARGS(db_int(page->after), db_int(PAGE_PRODUCTS)));
    enum db_result result;
    page->count = 0;
    while ((result = db_next(rows)) == DB_ROW) {
        page->products[page->count++] = (struct product){
            .number = db_get_int(rows, 0),
            .id = db_get_uuid(rows, 1),
            .name = db_copy_text(rows, 2, page->arena),
            .description = db_copy_text(rows, 3, page->arena),
            .vendor = db_copy_text(rows, 4, page->arena),
        };
    }
    return result;
}

/* ---- what belongs to each product of a page ---- */

/* Texts of one product, as they come. */
struct gathered {
    int64_t number;
    struct slice texts[PRODUCT_VARIANTS_MAX];
    size_t count;
};

typedef void (*text_giver)(struct arena *arena, struct product *product, const struct gathered *gathered);

static void give_tags(struct arena *arena, struct product *product, const struct gathered *gathered)
{
    product_tags_set(arena, product, gathered->texts, gathered->count);
}

static void give_skus(struct arena *arena, struct product *product, const struct gathered *gathered)
{
    product->variants = ARENA_ARRAY(arena, struct product_variant, gathered->count);
    product->variant_count = gathered->count;
    for (size_t i = 0; i < gathered->count; i++)
        product->variants[i].sku = gathered->texts[i];
}

/* Hands what was gathered to its product, unless that is deleted. Both come in the order of their numbers. */
static void hand_over(struct page *page, size_t *at, struct gathered *gathered, text_giver give)
{
    while (*at < page->count && page->products[*at].number < gathered->number)
        (*at)++;
    if (gathered->count > 0 && *at < page->count && page->products[*at].number == gathered->number)
        give(page->arena, &page->products[*at], gathered);
    gathered->count = 0;
}

static enum db_result take_texts(struct page *page, struct db_rows *rows, text_giver give)
{
    struct gathered gathered = {.count = 0};
    enum db_result result;
    size_t at = 0;
    while ((result = db_next(rows)) == DB_ROW) {
        int64_t number = db_get_int(rows, 0);
        if (number != gathered.number)
            hand_over(page, &at, &gathered, give);
        CHECK(gathered.count < COUNT_OF(gathered.texts));
        gathered.number = number;
        gathered.texts[gathered.count++] = db_copy_text(rows, 1, page->arena);
    }
    hand_over(page, &at, &gathered, give);
    return result;
}

static enum db_result read_page(struct db *db, struct page *page)
{
    enum db_result result = read_products(db, page);
    if (result != DB_DONE || page->count == 0)
        return result;
    struct db_args range =
        DB_ARGS(db_int(page->products[0].number), db_int(page->products[page->count - 1].number));
    result = take_texts(page, db_query(db, &REBUILD_TAGS, range), give_tags);
    return result == DB_DONE ? take_texts(page, db_query(db, &REBUILD_SKUS, range), give_skus) : result;
}

/* ---- writing ---- */

static enum db_result write_page(struct db *db, void *arg)
{
    struct page *page = arg;
    size_t mark = arena_mark(page->arena);
    enum db_result result = DB_DONE;
    for (size_t i = 0; i < page->count && result == DB_DONE; i++) {
        result = search_keep(db, page->arena, &page->products[i], true);
        arena_rewind(page->arena, mark);
    }
    return result;
}

enum db_result search_rebuild(struct db *db, search_rebuild_watch watch, void *arg, struct arena *arena,
                              bool *is_stopped)
{
    size_t mark = arena_mark(arena);
    struct page *page = ARENA_NEW(arena, struct page);
    size_t page_mark = arena_mark(arena);
    int64_t done = 0, total = 0;
    page->arena = arena;
    if (db_one_int(db, &REBUILD_LAST, DB_NO_ARGS, &page->after) != DB_ROW ||
        db_one_int(db, &REBUILD_COUNT, DB_ARGS(db_int(page->after)), &total) != DB_ROW)
        return DB_ERROR;
    enum db_result result = DB_DONE;
    *is_stopped = !watch(done, total, arg);
    while (!*is_stopped && (result = read_page(db, page)) == DB_DONE && page->count > 0) {
        result = db_transaction(db, write_page, page);
        if (result != DB_DONE)
            break;
        done += (int64_t)page->count;
        page->after = page->products[page->count - 1].number;
        arena_rewind(arena, page_mark);
        *is_stopped = !watch(done, total, arg);
    }
    arena_rewind(arena, mark);
    return result;
}
