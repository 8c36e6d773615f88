-- What keeps the shop running: business settings, idempotency records, the outbox.

CREATE TABLE shop_settings (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), -- one row
    store_name TEXT NOT NULL DEFAULT 'souk',
    currency TEXT NOT NULL DEFAULT 'USD',           -- ISO 4217; set before the first product
    tax_rate_basis_points INTEGER NOT NULL DEFAULT 875 CHECK (tax_rate_basis_points BETWEEN 0 AND 10000), -- 8.75 %
    shipping_rate_minor INTEGER NOT NULL DEFAULT 999 CHECK (shipping_rate_minor >= 0),
    express_shipping_rate_minor INTEGER NOT NULL DEFAULT 1999 CHECK (express_shipping_rate_minor >= 0),
    free_shipping_threshold_minor INTEGER DEFAULT 5000 CHECK (free_shipping_threshold_minor >= 0), -- NULL: never free
    reservation_hold_minutes INTEGER NOT NULL DEFAULT 1440 CHECK (reservation_hold_minutes > 0), -- then an unpaid order ends
    cart_ttl_days INTEGER NOT NULL DEFAULT 30 CHECK (cart_ttl_days > 0),     -- guest carts untouched this long are purged
    max_quantity_per_line INTEGER NOT NULL DEFAULT 99 CHECK (max_quantity_per_line > 0),
    max_lines_per_cart INTEGER NOT NULL DEFAULT 100 CHECK (max_lines_per_cart > 0),
    max_open_guest_orders_per_email INTEGER CHECK (max_open_guest_orders_per_email > 0),     -- NULL: no limit
    max_open_guest_orders_per_address INTEGER CHECK (max_open_guest_orders_per_address > 0), -- NULL: no limit
    version INTEGER NOT NULL DEFAULT 1,
    updated_at INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO shop_settings (id) VALUES (1);

CREATE TABLE idempotency_records (
    scope BLOB NOT NULL PRIMARY KEY,        -- SHA-256 of principal, operation, path and key
    body_hash BLOB NOT NULL,                -- SHA-256 of the request's body
    status INTEGER NOT NULL,                -- HTTP status of the outcome
    body TEXT,                              -- the reply; NULL: rendered from order_id
    order_id BLOB,                          -- of a checkout
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_records_created ON idempotency_records (created_at);

CREATE TABLE outbox (
    id INTEGER NOT NULL PRIMARY KEY, -- in the order of writing
    topic TEXT NOT NULL,                    -- order.placed, user.registered, ...
    payload TEXT NOT NULL,                  -- JSON object
    created_at INTEGER NOT NULL,
    due_at INTEGER,                         -- not before then; NULL: delivered or given up
    attempts INTEGER NOT NULL DEFAULT 0,
    delivered_at INTEGER,
    last_error TEXT
) STRICT;
CREATE INDEX outbox_due ON outbox (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX outbox_delivered ON outbox (delivered_at) WHERE delivered_at IS NOT NULL;
