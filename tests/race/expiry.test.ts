// A payment, a confirmation or a cancellation against the end of the hold: one of the two, whole.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ok, type Json, type Reply } from "../support/client.ts";
import { checkBooks } from "../support/books.ts";
import { sqlTime, sqlUuid } from "../support/database.ts";
import { eventually } from "../support/server.ts";
import { CARD_TIMEOUT, Shop, cardBody, parallel, usd } from "../support/shop.ts";

let shop: Shop;
before(async () => { shop = await Shop.open({ env: { SOUK_JOB_INTERVAL_MS: "10", SOUK_PAYMENT_TIMEOUT_MS: "50" } }); });
after(async () => {
    checkBooks(shop.server.database);
    await shop?.close();
});

const COUNT = 24;

/** Lets the holds of these orders end at once, while `act` happens to each. */
async function race(orders: Json[], act: (order: Json) => Promise<Reply>): Promise<{ reply: Reply; order: Json }[]> {
    const expire = `UPDATE orders SET hold_expires_at = ${sqlTime(1)} WHERE hold_expires_at IS NOT NULL AND id IN (${orders.map((order) => sqlUuid(order.id)).join(", ")})`;
    const half = orders.length / 2;
    const first = orders.slice(0, half).map(act);
    shop.server.sql(expire);
    const replies = await Promise.all([...first, ...orders.slice(half).map(act)]);
    await eventually("no hold is left", () => shop.server.sql(`SELECT 1 AS n FROM orders WHERE hold_expires_at = ${sqlTime(1)}`).length === 0);
    return parallel(orders.length, async (i) => ({ reply: replies[i]!, order: ok(await shop.admin.client.get(`/orders/${orders[i].id}`)) }));
}

for (let round = 1; round <= 3; round++) {
    test(`a payment races the expiry: paid and kept, or cancelled and refused (round ${round})`, async () => {
        const product = await shop.product({ stock: 1000 });
        const orders = await parallel(COUNT, () => shop.order(shop.guest, product));
        const ends = await race(orders, (order) => shop.admin.client.post(`/orders/${order.id}/payments`, { amount: order.total }));
        let kept = 0;
        for (const { reply, order } of ends) {
            if (reply.status === 201) {
                kept++;
                assert.deepEqual([order.orderStatus, order.paymentStatus, order.amountPaid], ["pending", "paid", order.total]);
            } else {
                assert.equal(reply.body.code, "INVALID_TRANSITION", reply.text);
                assert.deepEqual([order.orderStatus, order.paymentStatus, order.amountPaid], ["cancelled", "cancelled", usd(0)]);
            }
        }
        assert.deepEqual(await shop.level(product.id), { onHand: 1000, reserved: kept, available: 1000 - kept });
    });
}

test("a confirmation races the expiry", async () => {
    const product = await shop.product({ stock: 1000 });
    const orders = await parallel(COUNT, () => shop.order(shop.guest, product));
    const ends = await race(orders, (order) => shop.admin.client.post(`/orders/${order.id}/confirm`));
    let kept = 0;
    for (const { reply, order } of ends) {
        assert.equal(order.orderStatus, reply.status === 200 ? "confirmed" : "cancelled", reply.text);
        kept += reply.status === 200 ? 1 : 0;
    }
    assert.deepEqual(await shop.level(product.id), { onHand: 1000, reserved: kept, available: 1000 - kept });
});

test("a cancellation races the expiry: stock comes back once", async () => {
    const me = await shop.register();
    const product = await shop.product({ stock: 1000 });
    const orders: Json[] = [];
    for (let i = 0; i < COUNT; i++) orders.push(await shop.order(me.client, product, 3));
    const ends = await race(orders, (order) => me.client.post(`/orders/${order.id}/cancel`));
    for (const { order } of ends) {
        assert.equal(order.orderStatus, "cancelled");
        assert.equal(order.history.filter((event: Json) => event.type === "order_status" && event.to === "cancelled").length, 1);
    }
    assert.deepEqual(await shop.level(product.id), { onHand: 1000, reserved: 0, available: 1000 });
});

test("a card that timed out: the provider is asked before the hold lets the stock go", async () => {
    const product = await shop.product({ stock: 100 });
    const carts = await parallel(10, () => shop.cartOf(shop.guest, { productId: product.id, quantity: 1 }));
    const orders = await parallel(10, async (i) => ok(await shop.guest.post(`/checkout/${carts[i].id}`, cardBody(CARD_TIMEOUT)), 201));
    shop.server.sql(`UPDATE orders SET hold_expires_at = ${sqlTime(1)} WHERE hold_expires_at IS NOT NULL`);
    const paid = await parallel(10, (i) => eventually("it is settled", async () => {
        const order = ok(await shop.admin.client.get(`/orders/${orders[i].id}`));
        return order.paymentStatus !== "pending" && order;
    }, 15_000));
    for (const order of paid) assert.deepEqual([order.paymentStatus, order.orderStatus, order.amountPaid], ["paid", "pending", order.total], "it was charged");
    assert.equal((await shop.level(product.id)).reserved, 10);
});
