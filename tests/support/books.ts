// Whether the books add up: stock against orders, orders against their own sums, straight from the database file.
import assert from "node:assert/strict";
import { sql } from "./server.ts";

/** What must hold at any moment, whatever happened before. */
export function checkBooks(file: string): void {
    assert.deepEqual(sql(file, "PRAGMA integrity_check"), [{ integrity_check: "ok" }]);
    assert.deepEqual(sql(file, "PRAGMA foreign_key_check"), []);

    const lines = `SELECT o.id AS order_id, o.status, o.fulfillment_status, json_extract(i.value, '$.variantId') AS variant,
        json_extract(i.value, '$.quantity') AS quantity, json_extract(i.value, '$.unitPrice.amount') AS unit, json_extract(i.value, '$.totalPrice.amount') AS total
        FROM orders o, json_each(o.items) i`;
    assert.deepEqual(sql(file, `SELECT order_number FROM orders WHERE json_array_length(items) = 0`), [], "orders without lines");
    assert.deepEqual(sql(file, `SELECT hex(order_id) AS o FROM (${lines}) WHERE quantity * unit <> total`), [], "lines whose total is not price times quantity");
    assert.deepEqual(sql(file, `SELECT o.order_number FROM orders o JOIN (SELECT order_id, SUM(total) AS goods FROM (${lines}) GROUP BY order_id) l ON l.order_id = o.id
        WHERE l.goods <> o.subtotal_minor OR o.total_minor <> o.subtotal_minor - o.discount_minor + o.shipping_minor + o.tax_minor`), [], "orders that do not add up");

    // reserved is what orders that have not left the house, and have not ended, hold
    const variant = "lower(hex(s.variant_id))";
    const reserved = sql(file, `
        WITH held AS (SELECT replace(variant, '-', '') AS variant, SUM(quantity) AS quantity FROM (${lines})
            WHERE status IN ('pending', 'confirmed', 'processing', 'partially_refunded', 'refunded') AND fulfillment_status IN ('unfulfilled', 'partial', 'fulfilled') GROUP BY 1)
        SELECT ${variant} AS variant, s.reserved, COALESCE(h.quantity, 0) AS held FROM variant_stock s LEFT JOIN held h ON h.variant = ${variant}
        WHERE s.reserved <> COALESCE(h.quantity, 0)`);
    assert.deepEqual(reserved, [], "stock reserved is the sum of the open orders' quantities");

    // on hand is all that ever came and went
    const moved = sql(file, `SELECT ${variant} AS variant, s.on_hand, COALESCE(SUM(m.quantity), 0) AS moved FROM variant_stock s
        LEFT JOIN stock_movements m ON m.variant_id = s.variant_id GROUP BY s.variant_id, s.on_hand HAVING s.on_hand <> COALESCE(SUM(m.quantity), 0)`);
    assert.deepEqual(moved, [], "stock on hand is the sum of its movements");
    assert.deepEqual(sql(file, "SELECT 1 AS x FROM variant_stock WHERE is_tracked = 1 AND allows_backorder = 0 AND reserved > on_hand"), [], "sold more than there is");

    // carts: one order of each, and each order's cart has ended
    assert.deepEqual(sql(file, "SELECT hex(cart_id) AS c FROM orders WHERE payment_status <> 'failed' GROUP BY cart_id HAVING COUNT(*) > 1"), [], "two orders of one cart");
    assert.deepEqual(sql(file, `SELECT o.order_number FROM orders o JOIN carts c ON c.id = o.cart_id
        WHERE o.payment_status <> 'failed' AND c.order_id = o.id AND c.status = 'active'`), [], "carts that were ordered and are open");
    assert.deepEqual(sql(file, "SELECT hex(c.id) AS c FROM carts c LEFT JOIN orders o ON o.id = c.order_id WHERE c.status = 'converted' AND o.id IS NULL"), [], "carts that became no order");
    assert.deepEqual(sql(file, "SELECT hex(l.cart_id) AS c FROM cart_lines l LEFT JOIN carts c ON c.id = l.cart_id WHERE c.id IS NULL"), [], "lines of no cart");
}
