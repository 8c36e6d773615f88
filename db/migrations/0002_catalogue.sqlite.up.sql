-- The catalogue: a tree of categories, products, their variants, and what is in stock.

CREATE TABLE categories (
    id BLOB NOT NULL PRIMARY KEY,           -- UUIDv7
    parent_id BLOB REFERENCES categories (id), -- NULL: a root
    name TEXT NOT NULL,
    name_sort TEXT NOT NULL,                -- folded, for sorting
    slug TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    position INTEGER NOT NULL DEFAULT 0,    -- among its siblings
    is_active INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    product_count INTEGER NOT NULL DEFAULT 0 CHECK (product_count >= 0), -- products listed in it and below (category_products)
    version INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX categories_slug ON categories (slug);
CREATE INDEX categories_parent ON categories (parent_id, position, name_sort, id);
CREATE INDEX categories_order ON categories (position, name_sort, id);

CREATE TABLE products (
    number INTEGER NOT NULL PRIMARY KEY,    -- internal; what the tables that only lists read point to, being short
    id BLOB NOT NULL UNIQUE,                -- UUIDv7
    category_id BLOB REFERENCES categories (id),
    name TEXT NOT NULL,
    name_sort TEXT NOT NULL,                -- folded, for sorting
    slug TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    vendor TEXT,
    currency TEXT NOT NULL DEFAULT 'USD',   -- ISO 4217
    price_minor INTEGER NOT NULL CHECK (price_minor >= 0), -- the lowest of its variants
    compare_price_minor INTEGER,            -- of that variant
    options TEXT NOT NULL DEFAULT '[]',     -- JSON [{"name","values":[...]}]
    images TEXT NOT NULL DEFAULT '[]',      -- JSON [{"id","url","alt","position"}]
    attributes TEXT NOT NULL DEFAULT '{}',  -- JSON object of scalars
    seo_title TEXT,
    seo_description TEXT,
    is_active INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    is_featured INTEGER NOT NULL DEFAULT 0 CHECK (is_featured IN (0, 1)),
    version INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER                      -- soft delete: orders keep pointing here
) STRICT;
CREATE UNIQUE INDEX products_slug ON products (slug) WHERE deleted_at IS NULL;
-- The shopper's lists: each sort has its index; the trailing price lets a filter on it be answered without the row.
CREATE INDEX products_listed_created ON products (created_at, number, price_minor) WHERE is_active = TRUE AND deleted_at IS NULL;
CREATE INDEX products_listed_price ON products (price_minor, number) WHERE is_active = TRUE AND deleted_at IS NULL;
CREATE INDEX products_listed_name ON products (name_sort, number, price_minor) WHERE is_active = TRUE AND deleted_at IS NULL;
-- The staff's lists, which show what is inactive too.
CREATE INDEX products_created ON products (created_at, number);
CREATE INDEX products_price ON products (price_minor, number);
CREATE INDEX products_name ON products (name_sort, number);
CREATE INDEX products_unlisted ON products (is_active, created_at, number) WHERE is_active = FALSE AND deleted_at IS NULL;
-- The newest of a vendor, the newest of what is put in front; for shoppers and staff, so the flags stand in it.
CREATE INDEX products_vendor ON products (vendor, created_at, number, is_active, deleted_at);
CREATE INDEX products_featured ON products (is_featured, created_at, number, is_active, deleted_at) WHERE is_featured = TRUE;
CREATE INDEX products_category ON products (category_id);

-- What a shopper sees of a listed product (active, not deleted; no other has a row), rendered once at each edit: the JSON of the
-- contract's Product with a hole for each stock figure, filled from variant_stock when it is read (product_document.c).
CREATE TABLE product_documents (
    product_number INTEGER NOT NULL PRIMARY KEY REFERENCES products (number) ON DELETE CASCADE,
    product_id BLOB NOT NULL,               -- leads to variant_stock
    version INTEGER NOT NULL,               -- of the product it was rendered from
    body TEXT NOT NULL                      -- last: the others are read without it
) STRICT;

-- A listed product once for each category it stands in or below, in the order of each sort.
CREATE TABLE category_products (
    category_id BLOB NOT NULL REFERENCES categories (id),
    created_at INTEGER NOT NULL,
    number INTEGER NOT NULL REFERENCES products (number) ON DELETE CASCADE,
    price_minor INTEGER NOT NULL,
    name_sort TEXT NOT NULL,
    PRIMARY KEY (category_id, created_at, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX category_products_price ON category_products (category_id, price_minor, number);
CREATE INDEX category_products_name ON category_products (category_id, name_sort, number);
CREATE INDEX category_products_number ON category_products (number);

CREATE TABLE product_tags (
    tag TEXT NOT NULL,                      -- as shown; compared exactly
    number INTEGER NOT NULL REFERENCES products (number) ON DELETE CASCADE,
    PRIMARY KEY (tag, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX product_tags_number ON product_tags (number);

CREATE TABLE variants (
    id BLOB NOT NULL PRIMARY KEY,           -- UUIDv7
    product_id BLOB NOT NULL REFERENCES products (id),
    position INTEGER NOT NULL,
    sku TEXT NOT NULL,
    options TEXT NOT NULL DEFAULT '{}',     -- JSON {"Size":"M"}, keys in the product's order
    price_minor INTEGER NOT NULL CHECK (price_minor >= 0),
    compare_price_minor INTEGER CHECK (compare_price_minor >= 0), -- the price struck through
    cost_minor INTEGER CHECK (cost_minor >= 0), -- what the shop pays; staff only
    weight_grams INTEGER CHECK (weight_grams >= 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;
CREATE UNIQUE INDEX variants_sku ON variants (sku) WHERE deleted_at IS NULL;
CREATE INDEX variants_product ON variants (product_id, position) WHERE deleted_at IS NULL;

-- The narrow table that checkout writes: nothing else lives here.
CREATE TABLE variant_stock (
    product_id BLOB NOT NULL,
    variant_id BLOB NOT NULL,
    on_hand INTEGER NOT NULL DEFAULT 0 CHECK (on_hand >= 0),   -- in the house; falls at shipment
    reserved INTEGER NOT NULL DEFAULT 0 CHECK (reserved >= 0), -- promised to open orders
    is_tracked INTEGER NOT NULL DEFAULT 1 CHECK (is_tracked IN (0, 1)),           -- 0: sold without counting
    allows_backorder INTEGER NOT NULL DEFAULT 0 CHECK (allows_backorder IN (0, 1)), -- 1: may be sold below zero
    is_retired INTEGER NOT NULL DEFAULT 0 CHECK (is_retired IN (0, 1)), -- 1: its variant was removed; open orders still hold it
    PRIMARY KEY (product_id, variant_id),
    CHECK (reserved <= on_hand OR is_tracked = 0 OR allows_backorder = 1) -- the last unit is never sold twice
) STRICT, WITHOUT ROWID;
-- What is sold out, for lists and reports. A sale writes to it only when the last one goes.
CREATE INDEX variant_stock_sold_out ON variant_stock (product_id)
    WHERE on_hand <= reserved AND is_tracked = TRUE AND allows_backorder = FALSE AND is_retired = FALSE;

-- Every change of stock on hand: received - sold = left, always.
CREATE TABLE stock_movements (
    id BLOB NOT NULL PRIMARY KEY,           -- UUIDv7
    variant_id BLOB NOT NULL,
    product_id BLOB NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('initial', 'adjusted', 'sold', 'returned')),
    quantity INTEGER NOT NULL,              -- signed change of on_hand
    on_hand_after INTEGER NOT NULL,
    reason TEXT,
    order_id BLOB,                          -- of a sale or a return
    actor_id BLOB,                          -- the user who did it; NULL: the system
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX stock_movements_variant ON stock_movements (variant_id, id);

-- Full-text search over all products that are not deleted; rowid is products.number. Holds folded text (base/text.h), so that
-- "Straße" and "strasse" meet. Kept by the same function that renders product_documents.
CREATE VIRTUAL TABLE product_search USING fts5 (
    name, tags, vendor, sku, description, tokenize = 'unicode61 remove_diacritics 2', prefix = '2'
);

-- Files served by souk itself (product images).
CREATE TABLE media (
    name TEXT NOT NULL PRIMARY KEY,         -- file name with extension
    content_type TEXT NOT NULL,
    body BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
