-- The two functions of a batch of checkouts (shop/checkout_together.c calls both in one transaction, READ COMMITTED). What a cart
-- costs and whether it can be sold is decided between them, in C, by the same functions as on SQLite. Whatever is refused is left
-- out before anything is written; a checkout alone is a batch of one.
--
-- Their statements are planned once a connection (planning anew takes longer than all the rest), and by index whatever the tables'
-- statistics say: they may be from when there was hardly a cart.

-- Locks the carts, then the stock of all that lies in them, each in the order of its key: two servers that do this at once wait for
-- each other and never deadlock. Answers the lines of the carts that are open for checkout at today's prices. A cart without lines, an
-- ended one, and one whose Idempotency-Key was seen before has none.
CREATE FUNCTION checkout_open(wanted json)
RETURNS TABLE (
    cart_id uuid, user_id uuid, cart_version bigint,
    id uuid, product_id uuid, variant_id uuid, quantity bigint, options json, unit_price_minor bigint,
    price_minor bigint, variant_options json, sku text, name text, images json,
    is_on_sale boolean, is_tracked boolean, allows_backorder boolean, available bigint)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    carts_wanted uuid[];
    scopes bytea[];
BEGIN
    SELECT array_agg(w.cart), array_agg(decode(w.scope, 'hex')) INTO carts_wanted, scopes
        FROM json_to_recordset(wanted) AS w (cart uuid, scope text);
    PERFORM 1 FROM carts c WHERE c.id = ANY (carts_wanted) ORDER BY c.id FOR UPDATE;
    PERFORM 1 FROM variant_stock s
        WHERE (s.product_id, s.variant_id) IN (SELECT l.product_id, l.variant_id FROM cart_lines l WHERE l.cart_id = ANY (carts_wanted))
        ORDER BY s.product_id, s.variant_id FOR UPDATE;
    RETURN QUERY
        SELECT c.id, c.user_id, c.version,
               l.id, l.product_id, l.variant_id, l.quantity, l.options, l.unit_price_minor,
               v.price_minor, v.options, v.sku, p.name, p.images,
               p.is_active AND p.deleted_at IS NULL AND v.deleted_at IS NULL, s.is_tracked, s.allows_backorder, s.on_hand - s.reserved
        FROM unnest(carts_wanted, scopes) AS w (cart, scope)
        JOIN carts c ON c.id = w.cart AND c.status = 'active'
        JOIN cart_lines l ON l.cart_id = c.id
        JOIN variants v ON v.id = l.variant_id
        JOIN products p ON p.id = l.product_id
        JOIN variant_stock s ON s.product_id = l.product_id AND s.variant_id = l.variant_id
        WHERE w.scope IS NULL OR NOT EXISTS (SELECT 1 FROM idempotency_records r WHERE r.scope = w.scope)
        ORDER BY c.id, l.id;
END $$;
COMMENT ON FUNCTION checkout_open(json) IS 'locks carts [{"cart","scope"}] and their stock, answers the lines that can be bought';

-- Writes what was decided, one object a checkout: the columns of its order, cart_version and cart_status, stock
-- [{"product","variant","quantity"}],
-- prices [{"line","price"}], scope, body_hash, and of a charge payment_id, payment_key, payment_started_at. All of it or an exception:
-- nothing of it may meet other rows than were locked.
CREATE FUNCTION checkout_place(placed json) RETURNS bigint
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    expected bigint := json_array_length(placed);
    carts_missed bigint;
    levels_missed bigint;
BEGIN
    WITH o AS MATERIALIZED ( -- parsed once: as seven statements, each with its own, 32 orders together took 1.7 times as long
        SELECT * FROM json_to_recordset(placed) AS o (id uuid, order_number text, user_id uuid, cart_id uuid, cart_version bigint,
            cart_status text, email text, email_folded text, payment_status text, was_paid_at_checkout boolean, currency text,
            subtotal_minor bigint, discount_minor bigint, shipping_minor bigint, tax_minor bigint, total_minor bigint, items json,
            shipping_address json, billing_address json, shipping_method text, payment_method text, customer_notes text,
            hold_minutes bigint, hold_expires_at timestamptz, created_at timestamptz, stock json, prices json, scope text,
            body_hash text, payment_id uuid, payment_key text, payment_started_at timestamptz)),
    ordered AS (
        INSERT INTO orders (id, order_number, user_id, cart_id, email, email_folded, status, payment_status, fulfillment_status,
            was_paid_at_checkout, currency, subtotal_minor, discount_minor, shipping_minor, tax_minor, total_minor, items,
            shipping_address, billing_address, shipping_method, payment_method, customer_notes, hold_minutes, hold_expires_at,
            created_at, updated_at)
        SELECT o.id, o.order_number, o.user_id, o.cart_id, o.email, o.email_folded, 'pending', o.payment_status, 'unfulfilled',
            o.was_paid_at_checkout, o.currency, o.subtotal_minor, o.discount_minor, o.shipping_minor, o.tax_minor, o.total_minor, o.items,
            o.shipping_address, o.billing_address, o.shipping_method, o.payment_method, o.customer_notes, o.hold_minutes,
            o.hold_expires_at, o.created_at, o.created_at
        FROM o),
    closed AS (
        UPDATE carts c SET status = o.cart_status, order_id = o.id, version = c.version + 1, updated_at = o.created_at
        FROM o WHERE c.id = o.cart_id AND c.status = 'active' AND c.version = o.cart_version
        RETURNING 1),
    taken AS (
        SELECT s.product, s.variant, sum(s.quantity)::bigint AS quantity
        FROM o CROSS JOIN json_to_recordset(o.stock) AS s (product uuid, variant uuid, quantity bigint)
        GROUP BY s.product, s.variant),
    moved AS (
        UPDATE variant_stock v SET reserved = v.reserved + taken.quantity FROM taken
        WHERE v.product_id = taken.product AND v.variant_id = taken.variant AND NOT v.is_retired
            AND (NOT v.is_tracked OR v.allows_backorder OR v.on_hand - v.reserved >= taken.quantity)
        RETURNING 1),
    priced AS (
        UPDATE cart_lines l SET unit_price_minor = p.price
        FROM o CROSS JOIN json_to_recordset(o.prices) AS p (line uuid, price bigint)
        WHERE l.cart_id = o.cart_id AND l.id = p.line),
    paid AS (
        INSERT INTO payments (id, order_id, kind, provider, status, amount_minor, provider_key, created_at, updated_at)
        SELECT o.payment_id, o.id, 'payment', o.payment_method, 'started', o.total_minor, o.payment_key, o.payment_started_at,
            o.payment_started_at
        FROM o WHERE o.payment_id IS NOT NULL),
    announced AS (
        INSERT INTO outbox (topic, payload, created_at, due_at) -- what is charged is announced when the money is there
        SELECT 'order.placed', jsonb_build_object('orderId', o.id), o.created_at, o.created_at
        FROM o WHERE o.payment_id IS NULL),
    recorded AS ( -- a record that is past its time gives way; one that is not is an exception: the caller looks again, alone
        INSERT INTO idempotency_records (scope, body_hash, status, order_id, created_at)
        SELECT decode(o.scope, 'hex'), decode(o.body_hash, 'hex'), 201, o.id, o.created_at
        FROM o WHERE o.scope IS NOT NULL)
    SELECT expected - (SELECT count(*) FROM closed), (SELECT count(*) FROM taken) - (SELECT count(*) FROM moved)
        INTO carts_missed, levels_missed;
    IF carts_missed <> 0 THEN
        RAISE EXCEPTION 'a cart changed under its lock';
    END IF;
    IF levels_missed <> 0 THEN
        RAISE EXCEPTION 'a stock level changed under its lock';
    END IF;
    RETURN expected;
END $$;
COMMENT ON FUNCTION checkout_place(json) IS 'writes decided checkouts: orders, carts, stock, messages, idempotency records';
