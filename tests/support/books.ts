// Whether the books add up: stock against orders, orders against their own sums, straight from the database.
import assert from "node:assert/strict";
import { sqlJsonEach, sqlJsonMember, sqlUuidText, type Database } from "./database.ts";

/** What must hold at any moment, whatever happened before. */
export function checkBooks(database: Database): void {
    const none = (statement: string, what: string) => assert.deepEqual(database.query(statement), [], what);
    database.check();

    const lines = `SELECT o.id AS order_id, o.status, o.fulfillment_status, ${sqlJsonMember("i", ["variantId"], "text")} AS variant,
        ${sqlJsonMember("i", ["quantity"], "number")} AS quantity, ${sqlJsonMember("i", ["unitPrice", "amount"], "number")} AS unit,
        ${sqlJsonMember("i", ["totalPrice", "amount"], "number")} AS total
        FROM orders o, ${sqlJsonEach("o.items", "i")}`;
    none(`SELECT order_number FROM orders WHERE json_array_length(items) = 0`, "orders without lines");
    none(`SELECT ${sqlUuidText("order_id")} AS o FROM (${lines}) l WHERE quantity * unit <> total`, "lines whose total is not price times quantity");
    none(`SELECT o.order_number FROM orders o JOIN (SELECT order_id, SUM(total) AS goods FROM (${lines}) l GROUP BY order_id) l ON l.order_id = o.id
        WHERE l.goods <> o.subtotal_minor OR o.total_minor <> o.subtotal_minor - o.discount_minor + o.shipping_minor + o.tax_minor`, "orders that do not add up");

    // reserved is what orders that have not left the house, and have not ended, hold
    const variant = sqlUuidText("s.variant_id");
    none(`WITH held AS (SELECT replace(variant, '-', '') AS variant, SUM(quantity) AS quantity FROM (${lines}) l
            WHERE status IN ('pending', 'confirmed', 'processing', 'partially_refunded', 'refunded') AND fulfillment_status IN ('unfulfilled', 'partial', 'fulfilled') GROUP BY 1)
        SELECT ${variant} AS variant, s.reserved, COALESCE(h.quantity, 0) AS held FROM variant_stock s LEFT JOIN held h ON h.variant = ${variant}
        WHERE s.reserved <> COALESCE(h.quantity, 0)`, "stock reserved is the sum of the open orders' quantities");

    // on hand is all that ever came and went
    none(`SELECT ${variant} AS variant, s.on_hand, COALESCE(SUM(m.quantity), 0) AS moved FROM variant_stock s
        LEFT JOIN stock_movements m ON m.variant_id = s.variant_id GROUP BY s.variant_id, s.on_hand HAVING s.on_hand <> COALESCE(SUM(m.quantity), 0)`, "stock on hand is the sum of its movements");
    none("SELECT 1 AS x FROM variant_stock WHERE is_tracked = TRUE AND allows_backorder = FALSE AND reserved > on_hand", "sold more than there is");

    // carts: one order of each, and each order's cart has ended
    none(`SELECT ${sqlUuidText("cart_id")} AS c FROM orders WHERE payment_status <> 'failed' GROUP BY cart_id HAVING COUNT(*) > 1`, "two orders of one cart");
    none(`SELECT o.order_number FROM orders o JOIN carts c ON c.id = o.cart_id
        WHERE o.payment_status <> 'failed' AND c.order_id = o.id AND c.status = 'active'`, "carts that were ordered and are open");
    none(`SELECT ${sqlUuidText("c.id")} AS c FROM carts c LEFT JOIN orders o ON o.id = c.order_id WHERE c.status = 'converted' AND o.id IS NULL`, "carts that became no order");
    none(`SELECT ${sqlUuidText("l.cart_id")} AS c FROM cart_lines l LEFT JOIN carts c ON c.id = l.cart_id WHERE c.id IS NULL`, "lines of no cart");
}
