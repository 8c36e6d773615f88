-- Carts. A guest's cart id is the key to it (UUIDv4); an owned cart answers only its owner.

CREATE TABLE carts (
    number INTEGER NOT NULL PRIMARY KEY,    -- internal; in the order of creation, so that live carts share pages
    id BLOB NOT NULL UNIQUE,                -- UUIDv4
    user_id BLOB,                           -- NULL: a guest's
    status TEXT NOT NULL DEFAULT 'active' CHECK ( -- no IN: see orders
        status = 'active' OR                -- takes lines
        status = 'converting' OR            -- a payment for it is being asked for; becomes converted, or active again
        status = 'converted'),              -- has become order_id; never changes again
    order_id BLOB,
    version INTEGER NOT NULL DEFAULT 1,     -- rises with every change of its lines
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX carts_one_open_of_user ON carts (user_id) WHERE user_id IS NOT NULL AND status <> 'converted';

CREATE TABLE cart_lines (
    cart_id BLOB NOT NULL,
    id BLOB NOT NULL,                       -- UUIDv7: in the order of adding
    product_id BLOB NOT NULL,
    variant_id BLOB NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    options TEXT NOT NULL DEFAULT '{}',     -- JSON of what the shopper chose beside the variant (engraving, ...)
    unit_price_minor INTEGER NOT NULL,      -- snapshot when added, to tell when the price changed
    name TEXT NOT NULL,                     -- snapshot
    sku TEXT NOT NULL,                      -- snapshot
    created_at INTEGER NOT NULL,
    PRIMARY KEY (cart_id, id)
) STRICT, WITHOUT ROWID;
