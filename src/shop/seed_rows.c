/* Categories, pictures, users and addresses of the sample shops: see seed_rows.h. */
#include "shop/seed_rows.h"

#include "shop/names.h"
#include "shop/seed_data.h"
#include "shop/seed_random.h"
#include "shop/users.h"

/* ---- categories ---- */

static struct palette palette_read(struct arena *arena, const json_t *object)
{
    struct slice_list sky = seed_texts(arena, json_object_get(object, "sky"));
    struct slice_list mains = seed_texts(arena, json_object_get(object, "mains"));
    struct palette palette = {
        .shape = seed_member(arena, object, "shape"),
        .accent = seed_member(arena, object, "accent"),
        .pale = seed_member(arena, object, "pale"),
    };
    CHECK(sky.count == 2 && mains.count == COUNT_OF(palette.mains));
    palette.sky_top = sky.items[0];
    palette.sky_bottom = sky.items[1];
    memcpy(palette.mains, mains.items, sizeof(palette.mains));
    return palette;
}

/* Adds the categories of a list and those below each. */
static void categories_add(struct arena *arena, struct seed_categories *categories, const json_t *list,
                           const struct seed_category *parent, int64_t created_at_ms)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *object = json_array_get(list, i);
        struct seed_random random;
        seed_random_init(&random, 'c', categories->count);
        CHECK(categories->count < CATEGORIES_MAX);
        struct seed_category *category = &categories->items[categories->count++];
        *category = (struct seed_category){
            .id = seed_uuid_v7(&random, created_at_ms),
            .parent_id = parent != NULL ? parent->id : (struct uuid){{0}},
            .name = seed_member(arena, object, "name"),
            .slug = seed_member(arena, object, "slug"),
            .description = seed_member(arena, object, "description"),
            .position = (int64_t)i,
            .palette =
                parent != NULL ? parent->palette : palette_read(arena, json_object_get(object, "palette")),
            .created_at_ms = created_at_ms,
        };
        categories_add(arena, categories, json_object_get(object, "children"), category, created_at_ms);
    }
}

struct seed_categories seed_categories_read(struct arena *arena, int64_t created_at_ms)
{
    struct seed_categories categories = {.items = ARENA_ARRAY(arena, struct seed_category, CATEGORIES_MAX)};
    json_t *list = seed_json("categories.json");
    categories_add(arena, &categories, list, NULL, created_at_ms);
    json_decref(list);
    return categories;
}

const struct seed_category *seed_category_find(const struct seed_categories *categories, struct slice slug)
{
    size_t i = 0;
    while (i < categories->count && !slice_equals(categories->items[i].slug, slug))
        i++;
    CHECK(i < categories->count);
    return &categories->items[i];
}

DB_STATEMENT(SEED_CATEGORY_INSERT) = {
    .sql =
        "INSERT INTO categories (id, parent_id, name, name_sort, slug, description, position, created_at, updated_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
    .params = {DB_UUID, DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_INT, DB_TIME},
};

enum db_result seed_category_insert(struct db *db, struct arena *arena, const struct seed_category *category)
{
    return db_run(db, &SEED_CATEGORY_INSERT,
                  DB_ARGS(db_uuid(category->id),
                          db_if(!uuid_is_nil(category->parent_id), db_uuid(category->parent_id)),
                          db_text(category->name), db_text(name_sort_key(arena, category->name)),
                          db_text(category->slug), db_text(category->description), db_int(category->position),
                          db_time(category->created_at_ms)));
}

/* ---- pictures ---- */

DB_STATEMENT(SEED_MEDIA_INSERT) = {
    .sql = "INSERT INTO media (name, content_type, body, created_at) VALUES ($1, $2, $3, $4)",
    .params = {DB_TEXT, DB_TEXT, DB_BLOB, DB_TIME},
};

enum db_result seed_media_insert(struct db *db, struct slice name, struct slice svg, int64_t created_at_ms)
{
    return db_run(
        db, &SEED_MEDIA_INSERT,
        DB_ARGS(db_text(name), db_text(SLICE("image/svg+xml")), db_blob(svg), db_time(created_at_ms)));
}

/* ---- users ---- */

DB_STATEMENT(SEED_USER_INSERT) = {
    .sql =
        "INSERT INTO users (id, email, email_folded, first_name, last_name, name_sort, phone, email_verified_at,"
        " created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
    .params = {DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TIME, DB_TIME},
};

enum db_result seed_user_insert(struct db *db, struct arena *arena, const struct seed_user *user)
{
    return db_run(db, &SEED_USER_INSERT,
                  DB_ARGS(db_uuid(user->id), db_text(user->email), db_text(email_fold(arena, user->email)),
                          db_text(user->first_name), db_text(user->last_name),
                          db_text(user_name_sort(arena, user->first_name, user->last_name)),
                          db_text(user->phone), db_if(user->is_email_verified, db_time(user->created_at_ms)),
                          db_time(user->created_at_ms)));
}

DB_STATEMENT(SEED_ADDRESS_INSERT) = {
    .sql =
        "INSERT INTO addresses (id, user_id, first_name, last_name, company, address1, address2, city, province, zip,"
        " country, phone, is_default_shipping, is_default_billing, created_at, updated_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14, $14)",
    .params = {DB_UUID, DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT,
               DB_TEXT, DB_TEXT, DB_BOOL, DB_TIME},
};

enum db_result seed_address_insert(struct db *db, struct uuid id, struct uuid user_id,
                                   const struct address_input *address, bool is_default,
                                   int64_t created_at_ms)
{
    return db_run(db, &SEED_ADDRESS_INSERT,
                  DB_ARGS(db_uuid(id), db_uuid(user_id), db_text(address->first_name),
                          db_text(address->last_name), db_text(address->company), db_text(address->address1),
                          db_text(address->address2), db_text(address->city), db_text(address->province),
                          db_text(address->zip), db_text(address->country), db_text(address->phone),
                          db_bool(is_default), db_time(created_at_ms)));
}
