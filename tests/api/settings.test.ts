// The rules of the business.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { etagOf, invalid, ok, refused } from "../support/client.ts";
import { Shop, checkoutBody, usd } from "../support/shop.ts";

let shop: Shop;
before(async () => { shop = await Shop.open(); });
after(() => shop?.close());

test("at first they are as documented", async () => {
    assert.deepEqual(ok(await shop.admin.client.get("/settings")), {
        storeName: "souk", currency: "USD", taxRateBasisPoints: 875, shippingRate: usd(999), freeShippingThreshold: usd(5000),
        expressShippingRate: usd(1999), reservationHoldMinutes: 1440, cartTtlDays: 30, maxQuantityPerLine: 99, maxLinesPerCart: 100,
        maxOpenGuestOrdersPerEmail: null, maxOpenGuestOrdersPerAddress: null,
    });
});

test("staff read them, only admins change them", async () => {
    const staff = await shop.staff();
    const customer = await shop.register();
    ok(await staff.client.get("/settings"));
    refused(await customer.client.get("/settings"), 403, "FORBIDDEN");
    refused(await shop.guest.get("/settings"), 401, "UNAUTHENTICATED");
    for (const client of [staff.client, customer.client]) refused(await client.patch("/settings", { storeName: "Mine" }), 403, "FORBIDDEN");
    assert.equal(ok(await shop.admin.client.get("/settings")).storeName, "souk");
});

test("only what is given changes; orders that exist keep their totals", async () => {
    const product = await shop.product({ price: usd(1000) });
    const order = await shop.order(shop.guest, product);
    const before = ok(await shop.admin.client.get("/settings"));
    const changed = ok(await shop.admin.client.patch("/settings", { storeName: "Zelle & Söhne", taxRateBasisPoints: 1900, shippingRate: usd(1), expressShippingRate: usd(777), reservationHoldMinutes: 5 }));
    assert.deepEqual(changed, { ...before, storeName: "Zelle & Söhne", taxRateBasisPoints: 1900, shippingRate: usd(1), expressShippingRate: usd(777), reservationHoldMinutes: 5 });
    assert.deepEqual(ok(await shop.admin.client.get("/settings")), changed);
    const next = await shop.order(shop.guest, product);
    assert.deepEqual([next.subtotal, next.shipping, next.tax, next.total], [usd(1000), usd(1), usd(190), usd(1191)]);
    const hold = Date.parse(next.holdExpiresAt) - Date.now();
    assert.ok(hold > 4 * 60_000 && hold < 6 * 60_000);
    const cart = await shop.cartOf(shop.guest, { productId: product.id, quantity: 1 });
    assert.deepEqual(ok(await shop.guest.post(`/checkout/${cart.id}`, checkoutBody({ shippingMethod: "express" })), 201).shipping, usd(777));
    assert.deepEqual(ok(await shop.admin.client.get(`/orders/${order.id}`)).total, order.total);
});

test("If-Match and If-None-Match", async () => {
    const tag = etagOf(await shop.admin.client.get("/settings"));
    assert.equal((await shop.admin.client.get("/settings", { etag: tag })).status, 304);
    ok(await shop.admin.client.patch("/settings", { cartTtlDays: 31 }, { ifMatch: tag }));
    refused(await shop.admin.client.patch("/settings", { cartTtlDays: 32 }, { ifMatch: tag }), 412, "PRECONDITION_FAILED");
    assert.equal(ok(await shop.admin.client.get("/settings")).cartTtlDays, 31);
});

test("bad values are named, and none of the change is kept", async () => {
    const before = ok(await shop.admin.client.get("/settings"));
    const patch = (change: Record<string, unknown>) => shop.admin.client.patch("/settings", { storeName: "Never", ...change });
    invalid(await patch({ taxRateBasisPoints: 10001 }), "taxRateBasisPoints");
    invalid(await patch({ taxRateBasisPoints: -1, cartTtlDays: 0 }), "taxRateBasisPoints", "cartTtlDays");
    invalid(await patch({ shippingRate: { amount: 1, currency: "EUR" } }), "shippingRate.currency");
    invalid(await patch({ freeShippingThreshold: usd(-1) }), "freeShippingThreshold.amount");
    invalid(await patch({ currency: "EUR" }), "currency");
    invalid(await patch({ maxOpenGuestOrdersPerEmail: 0 }), "maxOpenGuestOrdersPerEmail");
    assert.deepEqual(ok(await shop.admin.client.get("/settings")), before);
    assert.equal(ok(await shop.admin.client.patch("/settings", { freeShippingThreshold: null })).freeShippingThreshold, null);
});
