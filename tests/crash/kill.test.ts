// kill -9 in the middle of load, many times over one data folder: every order that was answered is there, none is half there.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, test } from "node:test";
import { checkBooks } from "../support/books.ts";
import { Client, ok, type Json } from "../support/client.ts";
import { engine, sqlJsonText, sqlUuidText } from "../support/database.ts";
import { CARD_APPROVED, CARD_DECLINED, Shop, cardBody, checkoutBody, logIn, newId } from "../support/shop.ts";

const KILLS = engine === "sqlite" ? 20 : 6; // on PostgreSQL the log that is written is in no process of ours
const CLIENTS = 24;
const RESTART_MS_MAX = 20_000; // a bound against hanging, not an expectation

interface Answered {
    id: string;
    orderNumber: string;
    total: number;
    items: Json;
    key: string;
    cartId: string;
    body: Json;
    text: string;
}

let shop: Shop;
before(async () => { shop = await Shop.open({ env: { SOUK_JOB_INTERVAL_MS: "50", SOUK_PAYMENT_TIMEOUT_MS: "100" } }); });
after(() => shop?.close());

test(`${KILLS} times kill -9 under load`, { timeout: 200_000 }, async () => {
    const products: Json[] = [];
    for (let i = 0; i < 6; i++) products.push(await shop.product({ stock: 100_000 }));
    const answered: Answered[] = [];
    for (let round = 0; round < KILLS; round++) {
        const client = new Client(shop.server.url);
        const count = answered.length;
        let isDown = false;
        const shopper = async (n: number) => {
            for (let i = 0; !isDown; i++) {
                try {
                    const created = await client.post("/cart", {});
                    const cartId = created.body.data.id as string;
                    const picked = products[(n + i) % products.length];
                    const other = products[(n + i + 1) % products.length];
                    ok(await client.post(`/cart/${cartId}/items`, { productId: picked.id, quantity: 1 + (i % 3) }), 201);
                    ok(await client.post(`/cart/${cartId}/items`, { productId: other.id, quantity: 1 }), 201);
                    const body = n % 4 === 0 ? cardBody(i % 3 === 0 ? CARD_DECLINED : CARD_APPROVED) : checkoutBody();
                    const key = newId();
                    const reply = await client.post(`/checkout/${cartId}`, body, { key });
                    if (reply.status === 402) continue;
                    const order = ok(reply, 201);
                    answered.push({ id: order.id, orderNumber: order.orderNumber, total: order.total.amount, items: order.items, key, cartId, body, text: reply.text });
                } catch (error) {
                    if (!isDown) throw error;
                    return; // the server was killed under this request
                }
            }
        };
        const load = Array.from({ length: CLIENTS }, (_, n) => shopper(n));
        // in the middle of load: once some orders were answered, and then at any moment
        const deadline = Date.now() + 10_000;
        while (answered.length < count + 5 + round && Date.now() < deadline) await sleep(5);
        await sleep((round * 7) % 40);
        isDown = true;
        await shop.server.kill();
        await Promise.all(load);
        assert.ok(answered.length > count, "there was load");
        checkOrders(answered.slice(count));
        const started = Date.now();
        await shop.server.launch();
        assert.ok(Date.now() - started < RESTART_MS_MAX, "it comes back");
        checkBooks(shop.server.database);
    }

    checkOrders(answered);

    // what was answered is answered again, byte for byte, from what survived
    const client = new Client(shop.server.url);
    const sample = answered.filter((_, i) => i % Math.ceil(answered.length / 60) === 0);
    for (const { cartId, body, key, text } of sample) {
        const reply = await client.post(`/checkout/${cartId}`, body, { key });
        assert.deepEqual([reply.status, reply.headers.get("idempotent-replayed"), reply.text], [201, "true", text]);
    }
    const admin = await logIn(client, shop.admin.email);
    for (const { id, orderNumber, items } of sample) {
        const order = ok(await admin.client.get(`/orders/${id}`));
        assert.deepEqual([order.orderNumber, order.items], [orderNumber, items]);
    }
    // nothing is left in between: the job has asked about every payment, and no cart waits for one
    const deadline = Date.now() + 15_000;
    for (;;) {
        const open = shop.server.sql("SELECT 1 AS n FROM payments WHERE status = 'started'").length + shop.server.sql("SELECT 1 AS n FROM carts WHERE status = 'converting'").length;
        if (open === 0) break;
        assert.ok(Date.now() < deadline, `${open} payments or carts are left in between`);
        await sleep(50);
    }
    // charged is recorded: what the provider has in its books is what the orders say
    assert.deepEqual(shop.server.sql(`SELECT o.order_number FROM orders o WHERE o.payment_method = 'test' AND o.payment_status = 'paid'
        AND o.paid_minor <> (SELECT COALESCE(SUM(amount_minor), 0) FROM payments p WHERE p.order_id = o.id AND p.kind = 'payment' AND p.status = 'succeeded')`), []);
    checkBooks(shop.server.database);
});

/** Each of these is in the database as it was answered. Read from the database itself, whatever state the process is in. */
function checkOrders(list: Answered[]): void {
    const rows = shop.server.sql(`SELECT ${sqlUuidText("id")} AS id, order_number, total_minor, ${sqlJsonText("items")} AS items FROM orders`);
    const byId = new Map(rows.map((row) => [row.id, row]));
    for (const order of list) {
        const row = byId.get(order.id.replaceAll("-", ""));
        assert.ok(row, `${order.orderNumber} was answered 201 and is gone`);
        assert.deepEqual([row.order_number, row.total_minor, JSON.parse(String(row.items))], [order.orderNumber, order.total, order.items]);
    }
}
