-- Orders. The row holds its lines and addresses as they were when it was placed: they never change. What a checkout writes is
-- kept small on purpose (docs/decisions): one row here, its stock rows, its cart's status, its messages.

-- The statuses are compared one by one: for IN with more than two values SQLite builds a table in memory at every insert.
CREATE TABLE orders (
    number INTEGER NOT NULL PRIMARY KEY,    -- internal, in the order of placing
    id BLOB NOT NULL UNIQUE,                -- UUIDv7
    order_number TEXT NOT NULL UNIQUE,      -- SK-XXXXXXXXXXX, 55 random bits
    user_id BLOB,                           -- NULL: a guest's
    cart_id BLOB NOT NULL,                  -- that it came from
    email TEXT NOT NULL,
    email_folded TEXT NOT NULL,
    status TEXT NOT NULL CHECK (
        status = 'pending' OR status = 'confirmed' OR status = 'processing' OR status = 'shipped' OR status = 'delivered' OR
        status = 'cancelled' OR status = 'refunded' OR status = 'partially_refunded'),
    payment_status TEXT NOT NULL CHECK (
        payment_status = 'pending' OR payment_status = 'paid' OR payment_status = 'partially_paid' OR
        payment_status = 'failed' OR payment_status = 'cancelled' OR payment_status = 'refunded' OR
        payment_status = 'partially_refunded'),
    fulfillment_status TEXT NOT NULL CHECK (
        fulfillment_status = 'unfulfilled' OR fulfillment_status = 'partial' OR fulfillment_status = 'fulfilled' OR
        fulfillment_status = 'shipped' OR fulfillment_status = 'delivered' OR fulfillment_status = 'cancelled'),
    was_paid_at_checkout INTEGER NOT NULL DEFAULT 0 CHECK (was_paid_at_checkout IN (0, 1)), -- how it was answered at birth
    currency TEXT NOT NULL,
    subtotal_minor INTEGER NOT NULL,
    discount_minor INTEGER NOT NULL DEFAULT 0,
    shipping_minor INTEGER NOT NULL,
    tax_minor INTEGER NOT NULL,
    total_minor INTEGER NOT NULL,
    paid_minor INTEGER NOT NULL DEFAULT 0,     -- captured so far
    refunded_minor INTEGER NOT NULL DEFAULT 0, -- given back so far
    items TEXT NOT NULL,                    -- JSON, the contract's OrderItem list
    shipping_address TEXT NOT NULL,         -- JSON
    billing_address TEXT,                   -- JSON; NULL: the same
    shipping_method TEXT NOT NULL,
    payment_method TEXT NOT NULL,
    customer_notes TEXT,
    hold_minutes INTEGER NOT NULL DEFAULT 0, -- how long it was held when placed; 0: it was paid at once
    hold_expires_at INTEGER,                -- the reservation of an unpaid order ends then; NULL: held for good
    version INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CHECK (total_minor = subtotal_minor - discount_minor + shipping_minor + tax_minor),
    CHECK (refunded_minor <= paid_minor)
) STRICT;
CREATE INDEX orders_user ON orders (user_id, id) WHERE user_id IS NOT NULL;
CREATE INDEX orders_hold ON orders (hold_expires_at) WHERE hold_expires_at IS NOT NULL;

-- The history of an order after its placing (which the order's own row tells).
CREATE TABLE order_events (
    order_id BLOB NOT NULL,
    sequence INTEGER NOT NULL,              -- 1, 2, ... within the order
    type TEXT NOT NULL,                     -- order_status, payment_status, fulfillment_status, payment, refund, note
    from_value TEXT,
    to_value TEXT,
    actor TEXT NOT NULL,                    -- customer, staff, system
    actor_id BLOB,
    note TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (order_id, sequence)
) STRICT, WITHOUT ROWID;

-- Money asked for and given back. 'started' is written before a provider is called and settled by its answer, or by the job
-- that asks again.
CREATE TABLE payments (
    id BLOB NOT NULL PRIMARY KEY,           -- UUIDv7
    order_id BLOB NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('payment', 'refund')),
    provider TEXT NOT NULL,                 -- manual, test
    status TEXT NOT NULL CHECK (status IN ('started', 'succeeded', 'declined')),
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    provider_key TEXT NOT NULL,             -- what makes the call safe to repeat, derived from the order
    reference TEXT,                         -- the provider's, or what staff wrote
    note TEXT,
    actor_id BLOB,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX payments_order ON payments (order_id, id);
CREATE INDEX payments_started ON payments (created_at) WHERE status = 'started';

CREATE TABLE fulfillments (
    id BLOB NOT NULL PRIMARY KEY,           -- UUIDv7
    order_id BLOB NOT NULL,
    carrier TEXT,
    tracking_number TEXT,
    tracking_url TEXT,
    shipped_at INTEGER NOT NULL,
    delivered_at INTEGER
) STRICT;
CREATE INDEX fulfillments_order ON fulfillments (order_id);

-- Open unpaid guest orders by e-mail and by address; written only while a limit on them is set.
CREATE TABLE open_guest_orders (
    limit_key TEXT NOT NULL,                -- "email:..." or "address:..."
    order_id BLOB NOT NULL,
    PRIMARY KEY (limit_key, order_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX open_guest_orders_order ON open_guest_orders (order_id);
