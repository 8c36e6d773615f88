// Carts: lines, totals, limits, notices, ownership, merging at log-in.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { etagOf, invalid, ok, refused, ruleOf, type Client, type Json } from "../support/client.ts";
import { PASSWORD, Shop, addItem, checkoutBody, createCart, logIn, newId, parallel, unique, usd, type Account } from "../support/shop.ts";

let shop: Shop;
let guest: Client;
let admin: Client;
before(async () => {
    shop = await Shop.open();
    guest = shop.guest;
    admin = shop.admin.client;
});
after(() => shop?.close());

const totals = (cart: Json) => [cart.subtotal, cart.discount, cart.shipping, cart.tax, cart.total].map((money: Json) => money.amount);
const lines = (cart: Json) => cart.items.map((line: Json) => [line.name, line.quantity]);
const read = async (client: Client, id: string) => ok(await client.get(`/cart/${id}`));

describe("a guest's cart", () => {
    test("opens empty, under an id that cannot be guessed", async () => {
        const reply = await guest.post("/cart", {});
        const cart = ok(reply, 201);
        assert.match(cart.id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/, "a UUIDv4");
        assert.deepEqual(totals(cart), [0, 0, 0, 0, 0]);
        assert.deepEqual([cart.items, cart.itemCount, cart.status, cart.userId, cart.currency], [[], 0, "active", null, "USD"]);
        assert.equal(new URL(reply.headers.get("location")!, shop.server.url).pathname, `/cart/${cart.id}`);
        assert.deepEqual(await read(guest, cart.id), cart);
        const bare = ok(await guest.post("/cart"), 201);
        assert.notEqual(bare.id, cart.id);
        assert.equal((await guest.post("/cart", {}, { key: newId() })).status, 400, "the id is a secret: no Idempotency-Key");
        invalid(await guest.post("/cart", { items: [] }), "items");
        refused(await guest.get(`/cart/${newId()}`), 404, "CART_NOT_FOUND");
    });

    test("takes a product, a variant, or a product with the options that pick one", async () => {
        const simple = await shop.product({ images: [{ url: "/media/a.svg" }] });
        const shirt = await choice();
        const [small, medium] = shirt.variants;
        const cart = await createCart(guest);
        const reply = await guest.post(`/cart/${cart.id}/items`, { productId: simple.id, quantity: 2 });
        const first = ok(reply, 201);
        const line = first.items[0];
        assert.deepEqual(line, {
            id: line.id, variantId: simple.variants[0].id, productId: simple.id, name: simple.name, sku: simple.sku, quantity: 2,
            unitPrice: usd(2000), totalPrice: usd(4000), options: {}, imageUrl: "/media/a.svg", available: 100, notices: [],
        });
        await addItem(guest, cart.id, { variantId: small.id, quantity: 1 });
        const full = await addItem(guest, cart.id, { productId: shirt.id, options: { Size: "M" }, quantity: 3 });
        assert.deepEqual(full.items.map((one: Json) => [one.variantId, one.options, one.quantity]), [
            [simple.variants[0].id, {}, 2], [small.id, { Size: "S" }, 1], [medium.id, { Size: "M" }, 3],
        ]);
        assert.equal(full.itemCount, 6);
    });

    test("the same thing again is added to its line", async () => {
        const product = await shop.product();
        const cart = await createCart(guest);
        const one = await addItem(guest, cart.id, { productId: product.id, quantity: 2 });
        const two = await addItem(guest, cart.id, { variantId: product.variants[0].id, quantity: 3 });
        assert.deepEqual(two.items.map((line: Json) => [line.id, line.quantity]), [[one.items[0].id, 5]]);
    });

    test("a wish makes a line of its own", async () => {
        const product = await shop.product({ stock: 5 });
        const cart = await createCart(guest);
        await addItem(guest, cart.id, { productId: product.id, quantity: 2 });
        await addItem(guest, cart.id, { productId: product.id, quantity: 1, options: { Engraving: "For Amina" } });
        const both = await addItem(guest, cart.id, { productId: product.id, quantity: 1, options: { Engraving: "For Amina" } });
        assert.deepEqual(both.items.map((line: Json) => [line.quantity, line.options]), [[2, {}], [2, { Engraving: "For Amina" }]]);
        refused(await guest.post(`/cart/${cart.id}/items`, { productId: product.id, quantity: 2 }), 409, "OUT_OF_STOCK");
        assert.equal((await read(guest, cart.id)).itemCount, 4, "both lines count against the stock");
    });

    test("what cannot be chosen is refused, and nothing is written", async () => {
        const shirt = await choice();
        const hidden = await shop.product({ isActive: false });
        const cart = await createCart(guest);
        const post = (body: unknown) => guest.post(`/cart/${cart.id}/items`, body);
        refused(await post({ productId: newId(), quantity: 1 }), 404, "PRODUCT_NOT_FOUND");
        refused(await post({ variantId: newId(), quantity: 1 }), 404, "PRODUCT_NOT_FOUND");
        refused(await post({ productId: hidden.id, quantity: 1 }), 404, "PRODUCT_NOT_FOUND");
        refused(await post({ variantId: hidden.variants[0].id, quantity: 1 }), 404, "PRODUCT_NOT_FOUND");
        refused(await post({ quantity: 1 }), 400, "VALIDATION_ERROR");
        refused(await post({ productId: shirt.id, variantId: shirt.variants[0].id, quantity: 1 }), 400, "VALIDATION_ERROR");
        invalid(await post({ productId: shirt.id, quantity: 1 }), "options");
        invalid(await post({ productId: shirt.id, options: { Size: "XXL" }, quantity: 1 }), "options");
        invalid(await post({ variantId: shirt.variants[0].id, options: { Size: "M" }, quantity: 1 }), "options");
        for (const quantity of [0, -1, 1000, 1.5, "2", null, 1e21]) invalid(await post({ productId: shirt.id, quantity, options: { Size: "M" } }), "quantity");
        assert.equal(ruleOf(await post({ productId: shirt.id, options: { Size: "M" } }), "quantity"), "REQUIRED");
        refused(await guest.post(`/cart/${newId()}/items`, { productId: shirt.id, options: { Size: "M" }, quantity: 1 }), 404, "CART_NOT_FOUND");
        assert.deepEqual((await read(guest, cart.id)).items, []);
    });

    test("a price is the shop's alone", async () => {
        const product = await shop.product();
        const cart = await createCart(guest);
        for (const extra of [{ price: 1 }, { unitPrice: usd(1) }, { totalPrice: usd(1) }, { discount: usd(1000) }]) {
            invalid(await guest.post(`/cart/${cart.id}/items`, { productId: product.id, quantity: 1, ...extra }), Object.keys(extra)[0]!);
        }
        assert.deepEqual((await read(guest, cart.id)).items, []);
    });
});

describe("totals", () => {
    test("tax is rounded half up, once", async () => {
        // 8.75 % of 0.40 is 3.5 cents, of 1.20 it is 10.5: 4 and 11, where rounding to even says 4 and 10
        const forty = await shop.product({ price: usd(40) });
        const cart = await createCart(guest);
        assert.deepEqual(totals(await addItem(guest, cart.id, { productId: forty.id, quantity: 1 })), [40, 0, 999, 4, 1043]);
        assert.deepEqual(totals(await addItem(guest, cart.id, { productId: forty.id, quantity: 2 })), [120, 0, 999, 11, 1130]);
        // three lines of 40: per line it would be 12
        const others = [await shop.product({ price: usd(40) }), await shop.product({ price: usd(40) })];
        const three = await shop.cartOf(guest, ...[forty, ...others].map((one) => ({ productId: one.id, quantity: 1 })));
        assert.deepEqual(totals(three), [120, 0, 999, 11, 1130]);
        const odd = await shop.cartOf(guest, { productId: (await shop.product({ price: usd(1) })).id, quantity: 5 });
        assert.deepEqual(totals(odd), [5, 0, 999, 0, 1004], "0.4375 cents round down");
    });

    test("shipping is 9.99, and free from 50.00 on", async () => {
        const total = async (amount: number) => totals(await shop.cartOf(guest, { productId: (await shop.product({ price: usd(amount) })).id, quantity: 1 }));
        assert.deepEqual(await total(4999), [4999, 0, 999, 437, 6435]);
        assert.deepEqual(await total(5000), [5000, 0, 0, 438, 5438]);
        assert.deepEqual(await total(5001), [5001, 0, 0, 438, 5439]);
        assert.deepEqual(await total(0), [0, 0, 999, 0, 999]);
    });

    test("great amounts add up to the cent", async () => {
        const dear = await shop.product({ price: usd(99_999_999_999), stock: 1000 });
        const cart = await shop.cartOf(guest, { productId: dear.id, quantity: 99 });
        const subtotal = 99_999_999_999 * 99;
        const tax = Number((BigInt(subtotal) * 875n * 2n + 10000n) / 20000n);
        assert.deepEqual(totals(cart), [subtotal, 0, 0, tax, subtotal + tax]);
    });

    test("settings hold from the next request on", async () => {
        const other = await Shop.open();
        try {
            const product = await other.product({ price: usd(1000) });
            const cart = await other.cartOf(other.guest, { productId: product.id, quantity: 1 });
            assert.deepEqual(totals(cart), [1000, 0, 999, 88, 2087]);
            await other.settings({ taxRateBasisPoints: 2000, shippingRate: usd(500), freeShippingThreshold: usd(1001) });
            assert.deepEqual(totals(await read(other.guest, cart.id)), [1000, 0, 500, 200, 1700]);
            await other.settings({ freeShippingThreshold: usd(1000) });
            assert.deepEqual(totals(await read(other.guest, cart.id)), [1000, 0, 0, 200, 1200]);
            await other.settings({ freeShippingThreshold: null, taxRateBasisPoints: 0 });
            assert.deepEqual(totals(await read(other.guest, cart.id)), [1000, 0, 500, 0, 1500]);
            await other.settings({ maxLinesPerCart: 2, maxQuantityPerLine: 5 });
            await addItem(other.guest, cart.id, { productId: (await other.product()).id, quantity: 5 });
            refused(await other.guest.post(`/cart/${cart.id}/items`, { productId: (await other.product()).id, quantity: 1 }), 409, "CART_LIMIT");
            refused(await other.guest.post(`/cart/${cart.id}/items`, { productId: product.id, quantity: 5 }), 409, "CART_LIMIT");
            assert.equal((await read(other.guest, cart.id)).itemCount, 6);
        } finally {
            await other.close();
        }
    });
});

describe("changing lines", () => {
    test("PUT sets the quantity, 0 removes, DELETE removes; both answer the whole cart", async () => {
        const [a, b] = [await shop.product(), await shop.product()];
        const cart = await shop.cartOf(guest, { productId: a.id, quantity: 1 }, { productId: b.id, quantity: 1 });
        const [first, second] = cart.items;
        const set = ok(await guest.put(`/cart/${cart.id}/items/${first.id}`, { quantity: 7 }));
        assert.deepEqual(lines(set), [[a.name, 7], [b.name, 1]]);
        assert.deepEqual(totals(set), [16000, 0, 0, 1400, 17400]);
        const removed = ok(await guest.put(`/cart/${cart.id}/items/${first.id}`, { quantity: 0 }));
        assert.deepEqual(lines(removed), [[b.name, 1]]);
        refused(await guest.put(`/cart/${cart.id}/items/${first.id}`, { quantity: 1 }), 404, "CART_ITEM_NOT_FOUND");
        refused(await guest.delete(`/cart/${cart.id}/items/${first.id}`), 404, "CART_ITEM_NOT_FOUND");
        const empty = ok(await guest.delete(`/cart/${cart.id}/items/${second.id}`));
        assert.deepEqual(empty.items, []);
        assert.deepEqual(totals(empty), [0, 0, 0, 0, 0]);
        refused(await guest.put(`/cart/${newId()}/items/${second.id}`, { quantity: 1 }), 404, "CART_NOT_FOUND");
        refused(await guest.delete(`/cart/${newId()}/items/${second.id}`), 404, "CART_NOT_FOUND");
        invalid(await guest.put(`/cart/${cart.id}/items/${second.id}`, { quantity: -1 }), "quantity");
        invalid(await guest.put(`/cart/${cart.id}/items/${second.id}`, {}), "quantity");
    });

    test("a line of another cart is out of reach", async () => {
        const product = await shop.product();
        const mine = await shop.cartOf(guest, { productId: product.id, quantity: 1 });
        const other = await shop.cartOf(guest, { productId: product.id, quantity: 1 });
        refused(await guest.put(`/cart/${other.id}/items/${mine.items[0].id}`, { quantity: 5 }), 404, "CART_ITEM_NOT_FOUND");
        refused(await guest.delete(`/cart/${other.id}/items/${mine.items[0].id}`), 404, "CART_ITEM_NOT_FOUND");
        assert.equal((await read(guest, mine.id)).items[0].quantity, 1);
    });

    test("never more than there is, nor than 99 of one thing", async () => {
        const few = await shop.product({ stock: 3 });
        const cart = await shop.cartOf(guest, { productId: few.id, quantity: 3 });
        refused(await guest.post(`/cart/${cart.id}/items`, { productId: few.id, quantity: 1 }), 409, "OUT_OF_STOCK");
        refused(await guest.put(`/cart/${cart.id}/items/${cart.items[0].id}`, { quantity: 4 }), 409, "OUT_OF_STOCK");
        const many = await shop.product({ stock: 1000 });
        const full = await shop.cartOf(guest, { productId: many.id, quantity: 99 });
        refused(await guest.post(`/cart/${full.id}/items`, { productId: many.id, quantity: 1 }), 409, "CART_LIMIT");
        refused(await guest.put(`/cart/${full.id}/items/${full.items[0].id}`, { quantity: 100 }), 409, "CART_LIMIT");
        refused(await guest.post(`/cart/${cart.id}/items`, { productId: many.id, quantity: 100 }), 409, "CART_LIMIT");
        assert.deepEqual(lines(await read(guest, cart.id)), [[few.name, 3]]);
        assert.deepEqual(lines(await read(guest, full.id)), [[many.name, 99]]);
    });

    test("If-Match takes the ETag of the cart", async () => {
        const product = await shop.product();
        const cart = await shop.cartOf(guest, { productId: product.id, quantity: 1 });
        const reply = await guest.get(`/cart/${cart.id}`);
        const tag = etagOf(reply);
        assert.equal((await guest.get(`/cart/${cart.id}`, { etag: tag })).status, 304);
        const path = `/cart/${cart.id}/items/${cart.items[0].id}`;
        ok(await guest.put(path, { quantity: 2 }, { ifMatch: tag }));
        refused(await guest.put(path, { quantity: 3 }, { ifMatch: tag }), 412, "PRECONDITION_FAILED");
        refused(await guest.delete(path, { ifMatch: tag }), 412, "PRECONDITION_FAILED");
        assert.equal((await read(guest, cart.id)).items[0].quantity, 2);
        ok(await guest.delete(path, { ifMatch: etagOf(await guest.get(`/cart/${cart.id}`)) }));
    });

    test("the same key adds once", async () => {
        const product = await shop.product();
        const cart = await createCart(guest);
        const key = newId();
        const body = { productId: product.id, quantity: 2 };
        const first = await guest.post(`/cart/${cart.id}/items`, body, { key });
        const second = await guest.post(`/cart/${cart.id}/items`, body, { key });
        ok(first, 201);
        assert.deepEqual([second.status, second.text], [201, first.text]);
        assert.equal(second.headers.get("idempotent-replayed"), "true");
        refused(await guest.post(`/cart/${cart.id}/items`, { ...body, quantity: 3 }, { key }), 422, "IDEMPOTENCY_KEY_REUSED");
        const other = await createCart(guest);
        assert.equal(ok(await guest.post(`/cart/${other.id}/items`, body, { key }), 201).id, other.id, "a guest's key belongs to the cart");
        assert.equal((await read(guest, cart.id)).itemCount, 2);
    });
});

describe("notices", () => {
    test("a price that changed is told, with what it was", async () => {
        const product = await shop.product({ price: usd(2000) });
        const cart = await shop.cartOf(guest, { productId: product.id, quantity: 2 });
        ok(await admin.patch(`/products/${product.id}`, { price: usd(2500) }));
        const line = (await read(guest, cart.id)).items[0];
        assert.deepEqual([line.notices, line.unitPrice, line.previousUnitPrice, line.totalPrice], [["PRICE_CHANGED"], usd(2500), usd(2000), usd(5000)]);
        assert.deepEqual(totals(await read(guest, cart.id)), [5000, 0, 0, 438, 5438]);
        ok(await admin.patch(`/products/${product.id}`, { price: usd(2000) }));
        const again = (await read(guest, cart.id)).items[0];
        assert.deepEqual([again.notices, again.previousUnitPrice ?? null], [[], null]);
    });

    test("stock that ran short is told", async () => {
        const product = await shop.product({ stock: 5 });
        const cart = await shop.cartOf(guest, { productId: product.id, quantity: 4 });
        await shop.order(guest, product, 3);
        const low = (await read(guest, cart.id)).items[0];
        assert.deepEqual([low.notices, low.available, low.quantity], [["LOW_STOCK"], 2, 4]);
        await shop.order(guest, product, 2);
        const out = (await read(guest, cart.id)).items[0];
        assert.deepEqual([out.notices, out.available], [["SOLD_OUT"], 0]);
        ok(await guest.put(`/cart/${cart.id}/items/${out.id}`, { quantity: 1 }));
        ok(await admin.patch(`/products/${product.id}`, { stock: 30 }));
        assert.deepEqual((await read(guest, cart.id)).items[0].notices, []);
    });

    test("what is no longer on sale is told", async () => {
        const product = await shop.product();
        const cart = await shop.cartOf(guest, { productId: product.id, quantity: 1 });
        ok(await admin.patch(`/products/${product.id}`, { isActive: false }));
        assert.deepEqual((await read(guest, cart.id)).items[0].notices, ["UNAVAILABLE"]);
        const reply = await guest.post(`/checkout/${cart.id}`, checkoutBody());
        const body = refused(reply, 409, "PRODUCT_UNAVAILABLE");
        assert.deepEqual(body.errors.map((one: Json) => one.field), ["items[0]"]);
        ok(await admin.patch(`/products/${product.id}`, { isActive: true }));
        assert.deepEqual((await read(guest, cart.id)).items[0].notices, []);
        ok(await guest.post(`/checkout/${cart.id}`, checkoutBody()), 201);
    });
});

describe("an account's cart", () => {
    test("is one, found by /cart/me, and answers its owner only", async () => {
        const [me, other] = [await shop.register(), await shop.register()];
        const product = await shop.product();
        const mine = await createCart(me.client);
        assert.equal(mine.userId, me.id);
        assert.equal((await createCart(me.client)).id, mine.id, "the active one is answered");
        const reply = await me.client.get("/cart/me");
        assert.equal(ok(reply).id, mine.id);
        assert.equal((await me.client.get("/cart/me", { etag: etagOf(reply) })).status, 304);
        const line = (await addItem(me.client, mine.id, { productId: product.id, quantity: 1 })).items[0];
        for (const client of [guest, other.client, admin]) {
            refused(await client.get(`/cart/${mine.id}`), 404, "CART_NOT_FOUND");
            refused(await client.post(`/cart/${mine.id}/items`, { productId: product.id, quantity: 1 }), 404, "CART_NOT_FOUND");
            refused(await client.put(`/cart/${mine.id}/items/${line.id}`, { quantity: 9 }), 404, "CART_NOT_FOUND");
            refused(await client.delete(`/cart/${mine.id}/items/${line.id}`), 404, "CART_NOT_FOUND");
            refused(await client.post(`/checkout/${mine.id}`, checkoutBody()), 404, "CART_NOT_FOUND");
        }
        refused(await guest.get("/cart/me"), 401, "UNAUTHENTICATED");
        assert.equal((await read(me.client, mine.id)).itemCount, 1);
        const fresh = ok(await other.client.get("/cart/me"));
        assert.deepEqual([fresh.userId, fresh.items], [other.id, []]);
    });

    test("after checkout the next one is a new one", async () => {
        const me = await shop.register();
        const order = await shop.order(me.client, await shop.product());
        const next = ok(await me.client.get("/cart/me"));
        assert.deepEqual([next.status, next.items], ["active", []]);
        assert.equal(order.userId, me.id);
    });

    test("a cart is never shown an address or an owner's email", async () => {
        const me = await shop.register();
        const cart = await createCart(me.client);
        assert.ok(!JSON.stringify(cart).includes(me.email));
    });
});

describe("merging at log-in", () => {
    let me: Account;
    before(async () => { me = await shop.register(); });

    test("a guest's cart becomes the account's, under another id", async () => {
        const account = await shop.register();
        const product = await shop.product();
        const cart = await shop.cartOf(guest, { productId: product.id, quantity: 2 });
        const session = ok(await guest.post("/auth/login", { email: account.email, password: PASSWORD, cartId: cart.id }));
        assert.notEqual(session.cartId, cart.id, "others may know the old id");
        const mine = ok(await account.client.get("/cart/me"));
        assert.equal(mine.id, session.cartId);
        assert.equal(mine.userId, account.id);
        assert.deepEqual(lines(mine), [[product.name, 2]]);
        for (const client of [guest, account.client, admin]) {
            refused(await client.get(`/cart/${cart.id}`), 404, "CART_NOT_FOUND");
            refused(await client.post(`/cart/${cart.id}/items`, { productId: product.id, quantity: 1 }), 404, "CART_NOT_FOUND");
            refused(await client.post(`/checkout/${cart.id}`, checkoutBody()), 404, "CART_NOT_FOUND");
        }
    });

    test("registering takes a cart along too", async () => {
        const product = await shop.product();
        const cart = await shop.cartOf(guest, { productId: product.id, quantity: 3 });
        const account = await shop.register({ cartId: cart.id });
        const mine = ok(await account.client.get("/cart/me"));
        assert.equal(account.session.cartId, mine.id);
        assert.deepEqual(lines(mine), [[product.name, 3]]);
        refused(await guest.get(`/cart/${cart.id}`), 404, "CART_NOT_FOUND");
    });

    test("quantities are summed, capped by stock and by the limit of a line", async () => {
        const [few, many, single] = [await shop.product({ stock: 5 }), await shop.product({ stock: 500 }), await shop.product()];
        const own = await createCart(me.client);
        await addItem(me.client, own.id, { productId: few.id, quantity: 3 });
        await addItem(me.client, own.id, { productId: many.id, quantity: 60 });
        const cart = await shop.cartOf(guest, { productId: few.id, quantity: 4 }, { productId: many.id, quantity: 60 }, { productId: single.id, quantity: 1 });
        const session = ok(await guest.post("/auth/login", { email: me.email, password: PASSWORD, cartId: cart.id }));
        assert.equal(session.cartId, own.id);
        const merged = await read(me.client, own.id);
        assert.deepEqual(lines(merged), [[few.name, 5], [many.name, 99], [single.name, 1]]);
        refused(await guest.get(`/cart/${cart.id}`), 404, "CART_NOT_FOUND");
        const again = ok(await guest.post("/auth/login", { email: me.email, password: PASSWORD, cartId: cart.id }));
        assert.equal(again.cartId, null, "it is gone, so nothing was merged");
        assert.deepEqual(lines(await read(me.client, own.id)), lines(merged));
    });

    test("one that does not exist, is another's or has ended changes nothing", async () => {
        const account = await shop.register();
        const other = await shop.register();
        const product = await shop.product();
        const theirs = await createCart(other.client);
        await addItem(other.client, theirs.id, { productId: product.id, quantity: 1 });
        const ended = await shop.cartOf(guest, { productId: product.id, quantity: 1 });
        ok(await guest.post(`/checkout/${ended.id}`, checkoutBody()), 201);
        for (const cartId of [newId(), theirs.id, ended.id]) {
            const session = ok(await guest.post("/auth/login", { email: account.email, password: PASSWORD, cartId }));
            assert.equal(session.cartId, null);
        }
        assert.deepEqual(ok(await account.client.get("/cart/me")).items, []);
        assert.deepEqual(lines(await read(other.client, theirs.id)), [[product.name, 1]]);
        invalid(await guest.post("/auth/login", { email: account.email, password: PASSWORD, cartId: "mine" }), "cartId");
        const wrong = await shop.cartOf(guest, { productId: product.id, quantity: 1 });
        refused(await guest.post("/auth/login", { email: account.email, password: "wrong password", cartId: wrong.id }), 401, "INVALID_CREDENTIALS");
        assert.deepEqual(lines(await read(guest, wrong.id)), [[product.name, 1]], "a failed log-in takes nothing");
    });

    test("two log-ins with one cart merge it once", async () => {
        const account = await shop.register();
        const product = await shop.product();
        ok(await account.client.get("/cart/me"));
        const cart = await shop.cartOf(guest, { productId: product.id, quantity: 2 });
        await parallel(4, () => logIn(guest, account.email, PASSWORD, { cartId: cart.id }));
        assert.deepEqual(lines(ok(await account.client.get("/cart/me"))), [[product.name, 2]]);
    });
});

describe("after checkout", () => {
    test("a cart never changes again", async () => {
        const product = await shop.product();
        const cart = await shop.cartOf(guest, { productId: product.id, quantity: 1 });
        const order = ok(await guest.post(`/checkout/${cart.id}`, checkoutBody()), 201);
        const ended = await read(guest, cart.id);
        assert.deepEqual([ended.status, ended.orderNumber], ["converted", order.orderNumber]);
        assert.deepEqual(totals(ended), totals(order));
        for (const reply of [
            await guest.post(`/cart/${cart.id}/items`, { productId: product.id, quantity: 1 }),
            await guest.put(`/cart/${cart.id}/items/${cart.items[0].id}`, { quantity: 2 }),
            await guest.delete(`/cart/${cart.id}/items/${cart.items[0].id}`),
        ]) refused(reply, 409, "CART_CONVERTED");
        ok(await admin.patch(`/products/${product.id}`, { price: usd(9900) }));
        assert.deepEqual(await read(guest, cart.id), ended, "nor does what it cost");
    });
});

async function choice(): Promise<Json> {
    return shop.product({
        name: unique("Shirt "), stock: undefined, options: [{ name: "Size", values: ["S", "M"] }],
        variants: [{ options: { Size: "S" }, stock: 10 }, { options: { Size: "M" }, stock: 20 }],
    });
}
