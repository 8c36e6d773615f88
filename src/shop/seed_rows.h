/* Rows that the sample shops write themselves: their ids and times are in the past and nobody is to hear of
 * them (no outbox). Each answers DB_DONE, DB_CONFLICT (its slug, name or e-mail address is taken; the
 * transaction is lost) or DB_ERROR. */
#pragma once

#include "contract/inputs.h"
#include "data/db.h"
#include "shop/seed_picture.h"

struct seed_category {
    struct uuid id;
    struct uuid parent_id; /* nil: a root */
    struct slice name;
    struct slice slug;
    struct slice description;
    int64_t position;
    struct palette palette; /* of its root */
    int64_t created_at_ms;
};

struct seed_categories {
    struct seed_category *items; /* parents before their children */
    size_t count;
};

/* db/seeds/categories.json, with ids made for this time. */
struct seed_categories seed_categories_read(struct arena *arena, int64_t created_at_ms);
/* CHECKs that there is one. */
const struct seed_category *seed_category_find(const struct seed_categories *categories, struct slice slug);

enum db_result seed_category_insert(struct db *db, struct arena *arena, const struct seed_category *category);

enum db_result seed_media_insert(struct db *db, struct slice name, struct slice svg, int64_t created_at_ms);

struct seed_user {
    struct uuid id;
    struct slice email;
    struct slice first_name;
    struct slice last_name;
    struct slice phone; /* absent without */
    bool is_email_verified;
    int64_t created_at_ms;
};

/* A customer without a password: nobody can log in until it is reset by mail. */
enum db_result seed_user_insert(struct db *db, struct arena *arena, const struct seed_user *user);
/* `is_default`: for both shipping and billing. */
enum db_result seed_address_insert(struct db *db, struct uuid id, struct uuid user_id,
                                   const struct address_input *address, bool is_default,
                                   int64_t created_at_ms);
