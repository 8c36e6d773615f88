/* Products, for those who read or make them beside their own endpoints: lists, carts, seeds. */
#pragma once

#include "contract/inputs.h"
#include "http/response.h"

/* After any change of a product, its variants, images or tags, in the same transaction: renders
 * product_documents, keeps price, category_products, the categories' counts and product_search. One place,
 * called by every writer. */
enum db_result product_refresh(struct db *db, struct arena *arena, struct uuid product_id);

/* One stock figure of a variant, in the order of the document's variants. */
struct document_stock {
    bool is_counted; /* false: null is shown (untracked) */
    int64_t available;
};
/* Writes a stored document with its holes filled: first the product's sum, then each variant. */
void product_document_write(struct buf *out, struct slice document, const struct document_stock *variants,
                            size_t count);

/* A unique slug for a name: the folded name, with -2, -3, ... when taken. */
enum db_result product_slug_make(struct db *db, struct arena *arena, struct slice name, struct slice *slug);
