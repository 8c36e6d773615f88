// Variants, and what is in stock of them.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { etagOf, invalid, ok, refused, type Client, type Json } from "../support/client.ts";
import { Shop, addItem, createCart, everyPage, newId, unique, usd } from "../support/shop.ts";

let shop: Shop;
let admin: Client;
before(async () => {
    shop = await Shop.open();
    admin = shop.admin.client;
});
after(() => shop?.close());

const shirt = (input: Record<string, unknown> = {}) => shop.product({
    stock: undefined, price: usd(4900), options: [{ name: "Size", values: ["S", "M", "L"] }],
    variants: [{ options: { Size: "S" }, stock: 12 }, { options: { Size: "M" }, stock: 20 }], ...input,
});

describe("variants", () => {
    test("one more combination is added", async () => {
        const product = await shirt();
        const sku = unique("L-");
        const reply = await admin.post(`/products/${product.id}/variants`, { sku, options: { Size: "L" }, price: usd(4000), stock: 8, weightGrams: 300, costPrice: usd(1000) });
        const variant = ok(reply, 201);
        assert.deepEqual([variant.sku, variant.options, variant.price, variant.onHand, variant.available, variant.weightGrams, variant.costPrice],
            [sku, { Size: "L" }, usd(4000), 8, 8, 300, usd(1000)]);
        const seen = ok(await shop.guest.get(`/products/${product.id}`));
        assert.equal(seen.variants.length, 3);
        assert.deepEqual(seen.price, usd(4000));
        assert.equal(seen.stock, 40);
        refused(await admin.post(`/products/${product.id}/variants`, { options: { Size: "L" } }), 409, "VARIANT_EXISTS");
        const body = refused(await admin.post(`/products/${product.id}/variants`, { options: { Size: "XXL" } }), 400, "VALIDATION_ERROR");
        assert.match(body.errors[0].field, /^options/);
        refused(await admin.post(`/products/${newId()}/variants`, { options: { Size: "L" } }), 404, "PRODUCT_NOT_FOUND");
    });

    test("its SKU is unique in the shop; price and SKU are made up when left out", async () => {
        const other = await shop.product({ sku: unique("TAKEN-") });
        const product = await shirt();
        refused(await admin.post(`/products/${product.id}/variants`, { sku: other.sku, options: { Size: "L" } }), 409, "SKU_TAKEN");
        const made = ok(await admin.post(`/products/${product.id}/variants`, { options: { Size: "L" } }), 201);
        assert.deepEqual(made.price, usd(4900));
        assert.equal(made.onHand, 0);
        assert.ok(made.sku.length > 0);
        refused(await admin.patch(`/products/${product.id}/variants/${made.id}`, { sku: other.sku }), 409, "SKU_TAKEN");
        refused(await admin.patch(`/products/${product.id}/variants/${made.id}`, { options: { Size: "S" } }), 409, "VARIANT_EXISTS");
    });

    test("only what is given changes", async () => {
        const product = await shirt();
        const [small] = product.variants;
        const changed = ok(await admin.patch(`/products/${product.id}/variants/${small.id}`, { price: usd(100), isTracked: false }));
        assert.deepEqual([changed.id, changed.price, changed.sku, changed.isTracked, changed.available], [small.id, usd(100), small.sku, false, null]);
        const seen = ok(await shop.guest.get(`/products/${product.id}`));
        assert.equal(seen.stock, null, "one that is not counted makes the sum unknown");
        assert.deepEqual(seen.price, usd(100));
        ok(await admin.patch(`/products/${product.id}/variants/${small.id}`, { isTracked: true, stock: 3 }));
        assert.equal(ok(await shop.guest.get(`/products/${product.id}`)).stock, 23);
        refused(await admin.patch(`/products/${product.id}/variants/${newId()}`, { stock: 1 }), 404, "VARIANT_NOT_FOUND");
        refused(await admin.patch(`/products/${newId()}/variants/${small.id}`, { stock: 1 }), 404, "PRODUCT_NOT_FOUND");
        const alien = await shop.product();
        refused(await admin.patch(`/products/${alien.id}/variants/${small.id}`, { stock: 1 }), 404, "VARIANT_NOT_FOUND");
    });

    test("what orders have reserved cannot be set away", async () => {
        const product = await shop.product({ stock: 10 });
        await shop.order(shop.guest, product, 4);
        const path = `/products/${product.id}/variants/${product.variants[0].id}`;
        refused(await admin.patch(path, { stock: 3 }), 409, "INSUFFICIENT_STOCK");
        assert.equal(ok(await admin.patch(path, { stock: 4 })).available, 0);
    });

    test("If-Match takes the ETag of the product", async () => {
        const product = await shirt();
        const path = `/products/${product.id}/variants/${product.variants[0].id}`;
        const tag = etagOf(await admin.get(`/products/${product.id}`));
        ok(await admin.patch(path, { weightGrams: 1 }, { ifMatch: tag }));
        refused(await admin.patch(path, { weightGrams: 2 }, { ifMatch: tag }), 412, "PRECONDITION_FAILED");
        refused(await admin.delete(path, { ifMatch: tag }), 412, "PRECONDITION_FAILED");
        ok(await admin.delete(path, { ifMatch: etagOf(await admin.get(`/products/${product.id}`)) }), 204);
    });

    test("one is removed, the last one stays", async () => {
        const product = await shirt();
        const [small, medium] = product.variants;
        const cart = await createCart(shop.guest);
        await addItem(shop.guest, cart.id, { variantId: small.id, quantity: 1 });
        ok(await admin.delete(`/products/${product.id}/variants/${small.id}`), 204);
        refused(await admin.delete(`/products/${product.id}/variants/${small.id}`), 404, "VARIANT_NOT_FOUND");
        refused(await admin.delete(`/products/${newId()}/variants/${medium.id}`), 404, "PRODUCT_NOT_FOUND");
        assert.deepEqual(ok(await shop.guest.get(`/products/${product.id}`)).variants.map((one: Json) => one.id), [medium.id]);
        assert.deepEqual(ok(await shop.guest.get(`/cart/${cart.id}`)).items[0].notices, ["UNAVAILABLE"]);
        refused(await admin.delete(`/products/${product.id}/variants/${medium.id}`), 409, "LAST_VARIANT");
    });
});

describe("stock adjustments", () => {
    const at = (product: Json) => `/products/${product.id}/variants/${product.variants[0].id}/stock-adjustments`;

    test("add, take away, set, and are written down", async () => {
        const product = await shop.product({ stock: 10 });
        const level = (onHand: number, reserved = 0) => ({
            variantId: product.variants[0].id, sku: product.sku, isTracked: true, onHand, reserved, available: onHand - reserved,
        });
        assert.deepEqual(ok(await admin.post(at(product), { delta: 24, reason: "Delivery of 12 May" }), 201), level(34));
        assert.deepEqual(ok(await admin.post(at(product), { delta: -4 }), 201), level(30));
        assert.deepEqual(ok(await admin.post(at(product), { onHand: 7, reason: "Count" }), 201), level(7));
        const order = await shop.order(shop.guest, product, 5);
        refused(await admin.post(at(product), { delta: -3 }), 409, "INSUFFICIENT_STOCK");
        refused(await admin.post(at(product), { onHand: 4 }), 409, "INSUFFICIENT_STOCK");
        assert.deepEqual(ok(await admin.post(at(product), { delta: -2 }), 201), level(5, 5));
        await shop.act(order, "confirm");
        await shop.act(order, "ship");
        const movements = ok(await admin.get(at(product)));
        assert.deepEqual(movements.map((one: Json) => [one.kind, one.delta, one.onHandAfter, one.reason, one.orderId]), [
            ["sold", -5, 0, null, order.id],
            ["adjusted", -2, 5, null, null],
            ["adjusted", -23, 7, "Count", null],
            ["adjusted", -4, 30, null, null],
            ["adjusted", 24, 34, "Delivery of 12 May", null],
            ["initial", 10, 10, null, null],
        ]);
        assert.ok(movements.every((one: Json) => one.actorId === shop.admin.id && one.variantId === product.variants[0].id));
        const sum = movements.reduce((total: number, one: Json) => total + one.delta, 0);
        assert.equal(sum, 0, "received less sold is what is left");
        assert.equal(ok(await shop.guest.get(`/products/${product.id}`)).stock, 0);
    });

    test("show at once to customers", async () => {
        const product = await shop.product({ stock: 0 });
        assert.equal(ok(await shop.guest.get(`/products/${product.id}`)).stock, 0);
        ok(await admin.post(at(product), { delta: 3 }), 201);
        assert.equal(ok(await shop.guest.get(`/products/${product.id}`)).stock, 3);
    });

    test("take exactly one of delta and onHand", async () => {
        const product = await shop.product();
        for (const body of [{}, { reason: "?" }, { delta: 1, onHand: 1 }]) refused(await admin.post(at(product), body), 400, "VALIDATION_ERROR");
        invalid(await admin.post(at(product), { onHand: -1 }), "onHand");
        invalid(await admin.post(at(product), { delta: 1.5 }), "delta");
        invalid(await admin.post(at(product), { delta: 1_000_000_001 }), "delta");
        refused(await admin.post(at(product), { delta: -101 }), 409, "INSUFFICIENT_STOCK");
        refused(await admin.post(`/products/${product.id}/variants/${newId()}/stock-adjustments`, { delta: 1 }), 404, "VARIANT_NOT_FOUND");
        refused(await admin.post(`/products/${newId()}/variants/${newId()}/stock-adjustments`, { delta: 1 }), 404, "PRODUCT_NOT_FOUND");
        refused(await admin.get(`/products/${product.id}/variants/${newId()}/stock-adjustments`), 404, "VARIANT_NOT_FOUND");
        assert.equal(ok(await admin.get(at(product))).length, 1, "nothing else was written");
    });

    test("the same key adjusts once", async () => {
        const product = await shop.product({ stock: 1 });
        const key = newId();
        const first = await admin.post(at(product), { delta: 5 }, { key });
        const second = await admin.post(at(product), { delta: 5 }, { key });
        assert.equal(ok(first, 201).onHand, 6);
        assert.equal(second.text, first.text);
        assert.equal(second.headers.get("idempotent-replayed"), "true");
        assert.equal((await shop.level(product.id)).onHand, 6);
    });

    test("the list pages, counts and answers 304", async () => {
        const product = await shop.product({ stock: 1 });
        for (let i = 0; i < 4; i++) ok(await admin.post(at(product), { delta: 1 }), 201);
        const whole = await admin.get(at(product), { query: { total: true } });
        assert.equal(whole.body.pagination.total, 5);
        assert.deepEqual((await everyPage(admin, at(product), { limit: 2 })).map((one) => one.id), ok(whole).map((one: Json) => one.id));
        assert.deepEqual(ok(await admin.get(at(product), { query: { offset: 4 } })).map((one: Json) => one.kind), ["initial"]);
        assert.equal((await admin.get(at(product), { query: { total: true }, etag: etagOf(whole) })).status, 304);
    });

    test("a variant that may be backordered sells below zero, and ships when it is there", async () => {
        const product = await shop.product({ stock: 1, backorderPolicy: "allow" });
        const order = await shop.order(shop.guest, product, 3);
        assert.deepEqual(await shop.level(product.id), { onHand: 1, reserved: 3, available: -2 });
        await shop.act(order, "confirm");
        refused(await admin.post(`/orders/${order.id}/ship`, {}), 409, "INSUFFICIENT_STOCK");
        assert.equal(ok(await admin.get(`/orders/${order.id}`)).orderStatus, "confirmed");
        ok(await admin.post(at(product), { delta: 2 }), 201);
        await shop.act(order, "ship");
        assert.deepEqual(await shop.level(product.id), { onHand: 0, reserved: 0, available: 0 });
    });

    test("a variant that is not counted always sells", async () => {
        const product = await shop.product({ stock: 0, isTracked: false });
        const order = await shop.order(shop.guest, product, 50);
        await shop.act(order, "confirm");
        await shop.act(order, "ship");
        assert.equal(ok(await shop.guest.get(`/products/${product.id}`)).stock, null);
        const other = await shop.order(shop.guest, product, 1);
        ok(await admin.post(`/orders/${other.id}/cancel`));
        assert.equal((await shop.level(product.id)).reserved, 0);
    });
});
