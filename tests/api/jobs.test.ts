// What souk does by itself: ending holds, sweeping up.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ok, refused, type Json } from "../support/client.ts";
import { sqlJsonText, sqlSpan, sqlTime, sqlUuid } from "../support/database.ts";
import { eventually } from "../support/server.ts";
import { mailsTo } from "../support/mail.ts";
import { CARD_APPROVED, Shop, cardBody, createCart, usd } from "../support/shop.ts";

const DAY = 24 * 3600 * 1000;
let shop: Shop;
before(async () => { shop = await Shop.open({ env: { SOUK_JOB_INTERVAL_MS: "50" } }); });
after(() => shop?.close());

const read = async (id: string) => ok(await shop.admin.client.get(`/orders/${id}`));
const left = (table: string, where: string) => shop.server.database.number(`SELECT COUNT(*) FROM ${table} WHERE ${where}`);
const statuses = (order: Json) => [order.orderStatus, order.paymentStatus, order.fulfillmentStatus];

test("an unpaid order is cancelled when its hold ends, and its stock can be sold again", async () => {
    const product = await shop.product({ stock: 3 });
    const order = await shop.order(shop.guest, product, 3);
    assert.equal(ok(await shop.guest.get(`/products/${product.id}`)).stock, 0);
    shop.expire(order.id);
    const ended = await eventually("the hold ends", async () => {
        const now = await read(order.id);
        return now.orderStatus === "cancelled" && now;
    });
    assert.deepEqual(statuses(ended), ["cancelled", "cancelled", "cancelled"]);
    assert.equal(ended.holdExpiresAt, null);
    const event = ended.history.find((one: Json) => one.type === "order_status" && one.to === "cancelled");
    assert.deepEqual([event.from, event.actor], ["pending", "system"]);
    assert.deepEqual(await shop.level(product.id), { onHand: 3, reserved: 0, available: 3 });
    await eventually("whoever remembers the product forgets it", async () => ok(await shop.guest.get(`/products/${product.id}`)).stock === 3);
    refused(await shop.admin.client.post(`/orders/${order.id}/payments`, { amount: usd(1) }), 409, "INVALID_TRANSITION");
    await shop.order(shop.guest, product, 3);
});

test("an order that was paid anything, confirmed, or paid by card has no hold to end", async () => {
    const product = await shop.product();
    const [partly, confirmed] = [await shop.order(shop.guest, product), await shop.order(shop.guest, product)];
    await shop.act(partly, "payments", { amount: usd(1) });
    await shop.act(confirmed, "confirm");
    const cart = await shop.cartOf(shop.guest, { productId: product.id, quantity: 1 });
    const card = ok(await shop.guest.post(`/checkout/${cart.id}`, cardBody(CARD_APPROVED)), 201);
    const witness = await shop.order(shop.guest, product);
    for (const order of [partly, confirmed, card]) {
        assert.equal((await read(order.id)).holdExpiresAt, null);
        assert.equal(left("orders", `id = ${sqlUuid(order.id)} AND hold_expires_at IS NOT NULL`), 0);
    }
    shop.expire(witness.id);
    await eventually("the job has run", async () => (await read(witness.id)).orderStatus === "cancelled");
    for (const order of [partly, confirmed, card]) assert.notEqual((await read(order.id)).orderStatus, "cancelled");
});

test("many holds that end together all end, in small batches", async () => {
    const product = await shop.product({ stock: 500 });
    const orders = [];
    for (let i = 0; i < 120; i++) orders.push(await shop.order(shop.guest, product));
    shop.server.sql(`UPDATE orders SET hold_expires_at = ${sqlTime(1)} WHERE hold_expires_at IS NOT NULL`);
    await eventually("all have ended", () => left("orders", "hold_expires_at IS NOT NULL") === 0, 20_000);
    assert.deepEqual(await shop.level(product.id), { onHand: 500, reserved: 0, available: 500 });
    assert.equal(left("orders", "status = 'pending' AND payment_status = 'pending'"), 0);
});

test("a guest's cart left alone for thirty days goes; touched ones and an account's stay", async () => {
    const product = await shop.product();
    const [old, fresh] = [await shop.cartOf(shop.guest, { productId: product.id, quantity: 1 }), await createCart(shop.guest)];
    const me = await shop.register();
    const mine = await createCart(me.client);
    const age = (id: string, ms: number) => shop.server.sql(`UPDATE carts SET updated_at = updated_at - ${sqlSpan(ms)} WHERE id = ${sqlUuid(id)}`);
    age(old.id, 31 * DAY);
    age(fresh.id, 29 * DAY);
    age(mine.id, 90 * DAY);
    await eventually("the old cart goes", () => left("carts", `id = ${sqlUuid(old.id)}`) === 0);
    assert.equal(left("cart_lines", `cart_id = ${sqlUuid(old.id)}`), 0, "its lines with it");
    refused(await shop.guest.get(`/cart/${old.id}`), 404, "CART_NOT_FOUND");
    ok(await shop.guest.get(`/cart/${fresh.id}`));
    assert.equal(ok(await me.client.get("/cart/me")).id, mine.id);
});

test("expired tokens and sessions, old keys and delivered messages are swept up", async () => {
    const me = await shop.register();
    ok(await shop.guest.post("/auth/password/forgot", { email: me.email }), 202);
    ok(await shop.admin.client.post("/categories", { name: "Keyed" }, { key: "sweep me" }), 201);
    const keep = ok(await shop.admin.client.post("/categories", { name: "Kept" }, { key: "keep me" }), 201);
    const user = sqlUuid(me.id);
    shop.server.sql(`
        UPDATE account_tokens SET expires_at = ${sqlTime(1)} WHERE user_id = ${user};
        UPDATE refresh_tokens SET expires_at = ${sqlTime(1)} WHERE session_id IN (SELECT id FROM sessions WHERE user_id = ${user});
        UPDATE sessions SET expires_at = ${sqlTime(1)} WHERE user_id = ${user};
        UPDATE idempotency_records SET created_at = created_at - ${sqlSpan(25 * 3600 * 1000)} WHERE body LIKE '%Keyed%';
        UPDATE outbox SET delivered_at = created_at - ${sqlSpan(8 * DAY)}, due_at = NULL;
    `);
    await eventually("tokens go", () => left("account_tokens", `user_id = ${user}`) === 0);
    await eventually("sessions go", () => left("sessions", `user_id = ${user}`) === 0);
    await eventually("records go", () => left("idempotency_records", "body LIKE '%Keyed%'") === 0);
    await eventually("messages go", () => left("outbox", `delivered_at < ${sqlTime(Date.now() - 7 * DAY)}`) === 0);
    const again = await shop.admin.client.post("/categories", { name: "Kept" }, { key: "keep me" });
    assert.equal(ok(again, 201).id, keep.id);
    ok(await shop.admin.client.get("/users/me"));
});

test("an order leaves a message in the outbox, in the transaction that placed it", async () => {
    const order = await shop.order(shop.guest, await shop.product());
    const messages = shop.server.sql(`SELECT topic FROM outbox WHERE ${sqlJsonText("payload")} LIKE '%${order.id}%'`);
    assert.ok(messages.some((one) => one.topic === "order.placed"), JSON.stringify(messages));
});

test("the customer is mailed what happens to the order, once each", async () => {
    const me = await shop.register();
    const cart = await shop.cartOf(me.client, { productId: (await shop.product({ name: "Brûlée torch" })).id, quantity: 2 });
    const order = ok(await me.client.post(`/checkout/${cart.id}`, cardBody(CARD_APPROVED, { email: me.email })), 201);
    await shop.act(order, "confirm");
    await shop.act(order, "ship", { carrier: "DHL", trackingNumber: "JD0146" });
    const about = () => mailsTo(shop.server, me.email).filter((text) => text.includes(order.orderNumber));
    await eventually("the parcel is announced", () => about().some((text) => text.includes("JD0146")));
    await eventually("nothing waits in the outbox", () => left("outbox", "due_at IS NOT NULL") === 0);
    const placed = about().filter((text) => text.includes("Brûlée torch"));
    assert.ok(placed.length >= 1, about().join("\n---\n"));
    const subjects = about().map((text) => /^Subject: (.*)$/m.exec(text)?.[1]);
    assert.equal(new Set(subjects).size, subjects.length, `each only once: ${subjects.join(", ")}`);
    for (const text of about()) assert.ok(!text.includes(CARD_APPROVED));
});

test("a server without jobs leaves holds alone", async () => {
    const other = await Shop.open({ args: ["--no-jobs"], env: { SOUK_JOB_INTERVAL_MS: "50" } });
    try {
        const order = await other.order(other.guest, await other.product());
        other.expire(order.id);
        await new Promise((resolve) => setTimeout(resolve, 400));
        assert.equal(ok(await other.admin.client.get(`/orders/${order.id}`)).orderStatus, "pending");
    } finally {
        await other.close();
    }
});
