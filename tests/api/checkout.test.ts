// From a cart to an order: whole or not at all, and never twice.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { invalid, ok, refused, type Client, type Json } from "../support/client.ts";
import { eventually } from "../support/server.ts";
import { CARD_APPROVED, CARD_DECLINED, CARD_TIMEOUT, Shop, address, addItem, cardBody, checkoutBody, createCart, newId, usd } from "../support/shop.ts";

const CARD_LOST = "4000000000000259"; // no answer, and nothing was charged

let shop: Shop;
let guest: Client;
before(async () => {
    shop = await Shop.open({ env: { SOUK_JOB_INTERVAL_MS: "50", SOUK_PAYMENT_TIMEOUT_MS: "200" } });
    guest = shop.guest;
});
after(() => shop?.close());

const amounts = (order: Json) => [order.subtotal, order.discount, order.shipping, order.tax, order.total].map((money: Json) => money.amount);
const statuses = (order: Json) => [order.orderStatus, order.paymentStatus, order.fulfillmentStatus];
const cartWith = (product: Json, quantity = 1, client = guest) => shop.cartOf(client, { productId: product.id, quantity });

describe("paying later", () => {
    test("the order says all of it", async () => {
        const [a, b] = [await shop.product({ price: usd(1250) }), await shop.product({ price: usd(333) })];
        const cart = await shop.cartOf(guest, { productId: a.id, quantity: 2 }, { productId: b.id, quantity: 1, ...{ options: { Gift: "yes" } } });
        const body = {
            email: "Amina@Example.com", shippingAddress: address({ company: "Haddad" }), billingAddress: address({ address1: "1 Place Bellecour" }),
            shippingMethod: "express", payment: { method: "manual" }, customerNotes: "Ring twice.\n— A.",
        };
        const before = Date.now();
        const reply = await guest.post(`/checkout/${cart.id}`, body);
        const order = ok(reply, 201);
        assert.equal(new URL(reply.headers.get("location")!, shop.server.url).pathname, `/orders/${order.id}`);
        assert.match(order.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/, "a UUIDv7");
        assert.match(order.orderNumber, /^SK-/);
        assert.ok(order.orderNumber.replaceAll("-", "").length >= 12, "50 random bits or more");
        assert.deepEqual([order.userId, order.email, order.currency], [null, "Amina@Example.com", "USD"]);
        assert.deepEqual(statuses(order), ["pending", "pending", "unfulfilled"]);
        assert.deepEqual(amounts(order), [2833, 0, 1999, 248, 5080]);
        assert.deepEqual([order.amountPaid, order.amountRefunded], [usd(0), usd(0)]);
        assert.deepEqual(order.items.map((line: Json) => [line.productId, line.variantId, line.name, line.sku, line.quantity, line.unitPrice.amount, line.totalPrice.amount, line.options]), [
            [a.id, a.variants[0].id, a.name, a.sku, 2, 1250, 2500, {}],
            [b.id, b.variants[0].id, b.name, b.sku, 1, 333, 333, { Gift: "yes" }],
        ]);
        assert.deepEqual(order.shippingAddress, { ...body.shippingAddress, address2: null, province: null, phone: null });
        assert.deepEqual(order.billingAddress, { ...body.billingAddress, company: null, address2: null, province: null, phone: null });
        assert.deepEqual([order.shippingMethod, order.paymentMethod, order.customerNotes, order.fulfillment], ["express", "manual", body.customerNotes, null]);
        const hold = Date.parse(order.holdExpiresAt) - before;
        assert.ok(Math.abs(hold - 24 * 3600_000) < 60_000, `held for a day: ${order.holdExpiresAt}`);
        assert.deepEqual(ok(await shop.admin.client.get(`/orders/${order.id}`, { query: { fields: "total,items" } })), { id: order.id, total: order.total, items: order.items });
    });

    test("the least that is needed is an address and a way to pay", async () => {
        const cart = await cartWith(await shop.product());
        const order = ok(await guest.post(`/checkout/${cart.id}`, checkoutBody()), 201);
        assert.deepEqual([order.shippingMethod, order.customerNotes], ["standard", null]);
        assert.deepEqual(order.billingAddress, order.shippingAddress);
        const me = await shop.register();
        const { email: _, ...withoutEmail } = checkoutBody();
        const mine = await cartWith(await shop.product(), 1, me.client);
        const own = ok(await me.client.post(`/checkout/${mine.id}`, withoutEmail), 201);
        assert.deepEqual([own.email, own.userId], [me.email, me.id]);
        const other = await cartWith(await shop.product(), 1, me.client);
        assert.equal(ok(await me.client.post(`/checkout/${other.id}`, checkoutBody({ email: "gift@example.com" })), 201).email, "gift@example.com");
        invalid(await guest.post(`/checkout/${(await cartWith(await shop.product())).id}`, withoutEmail), "email");
    });

    test("stock is reserved, not yet taken", async () => {
        const product = await shop.product({ stock: 10 });
        await shop.order(guest, product, 3);
        assert.deepEqual(await shop.level(product.id), { onHand: 10, reserved: 3, available: 7 });
        assert.equal(ok(await guest.get(`/products/${product.id}`)).stock, 7);
    });

    test("today's prices hold, whatever they were when the line was added", async () => {
        const product = await shop.product({ price: usd(1000) });
        const cart = await cartWith(product);
        ok(await shop.admin.client.patch(`/products/${product.id}`, { price: usd(1500), name: "Renamed" }));
        const order = ok(await guest.post(`/checkout/${cart.id}`, checkoutBody()), 201);
        assert.deepEqual([order.items[0].unitPrice, order.items[0].name, order.subtotal], [usd(1500), "Renamed", usd(1500)]);
        ok(await shop.admin.client.patch(`/products/${product.id}`, { price: usd(1), name: "Once more" }));
        const later = ok(await shop.admin.client.get(`/orders/${order.id}`));
        assert.deepEqual([later.items, later.total], [order.items, order.total], "an order never changes what was bought");
    });

    test("numbers do not follow each other", async () => {
        const product = await shop.product();
        const numbers: string[] = [];
        for (let i = 0; i < 6; i++) numbers.push((await shop.order(guest, product)).orderNumber);
        assert.equal(new Set(numbers).size, 6);
        const heads = new Set(numbers.map((one) => one.slice(3, 6)));
        assert.ok(heads.size >= 4, `random from the first character on: ${numbers.join(" ")}`);
    });
});

describe("refusals", () => {
    const unchanged = async (cartId: string, product: Json, quantity: number, available: number) => {
        const cart = ok(await guest.get(`/cart/${cartId}`));
        assert.deepEqual([cart.status, cart.itemCount], ["active", quantity]);
        assert.deepEqual(await shop.level(product.id), { onHand: available, reserved: 0, available });
    };

    test("nothing in the cart, or no such cart", async () => {
        const cart = ok(await guest.post("/cart", {}), 201);
        refused(await guest.post(`/checkout/${cart.id}`, checkoutBody()), 409, "CART_EMPTY");
        refused(await guest.post(`/checkout/${newId()}`, checkoutBody()), 404, "CART_NOT_FOUND");
        invalid(await guest.post("/checkout/me", checkoutBody()), "id");
    });

    test("not enough stock names the lines, and takes nothing of the others", async () => {
        const [plenty, scarce] = [await shop.product({ stock: 10 }), await shop.product({ stock: 2 })];
        const cart = await shop.cartOf(guest, { productId: plenty.id, quantity: 1 }, { productId: scarce.id, quantity: 2 });
        ok(await shop.admin.client.patch(`/products/${scarce.id}`, { stock: 1 }));
        const body = refused(await guest.post(`/checkout/${cart.id}`, checkoutBody()), 409, "OUT_OF_STOCK");
        assert.deepEqual(body.errors.map((one: Json) => one.field), ["items[1]"]);
        await unchanged(cart.id, plenty, 3, 10);
        assert.deepEqual(await shop.level(scarce.id), { onHand: 1, reserved: 0, available: 1 });
        ok(await guest.put(`/cart/${cart.id}/items/${cart.items[1].id}`, { quantity: 1 }));
        ok(await guest.post(`/checkout/${cart.id}`, checkoutBody()), 201);
    });

    test("two lines of one variant are counted together", async () => {
        const product = await shop.product({ stock: 4 });
        const cart = await cartWith(product, 2);
        await addItem(guest, cart.id, { productId: product.id, quantity: 2, options: { Engraving: "A" } });
        ok(await shop.admin.client.patch(`/products/${product.id}`, { stock: 3 }));
        const body = refused(await guest.post(`/checkout/${cart.id}`, checkoutBody()), 409, "OUT_OF_STOCK");
        assert.deepEqual(body.errors.map((one: Json) => one.field), ["items[0]", "items[1]"]);
        ok(await shop.admin.client.patch(`/products/${product.id}`, { stock: 4 }));
        const order = ok(await guest.post(`/checkout/${cart.id}`, checkoutBody()), 201);
        assert.equal(order.items.length, 2);
        assert.deepEqual(await shop.level(product.id), { onHand: 4, reserved: 4, available: 0 });
    });

    test("what is wrong with the request is named, and nothing happens", async () => {
        const product = await shop.product({ stock: 9 });
        const cart = await cartWith(product, 1);
        const post = (change: Record<string, unknown>) => guest.post(`/checkout/${cart.id}`, checkoutBody(change));
        invalid(await guest.post(`/checkout/${cart.id}`, {}), "shippingAddress", "payment");
        invalid(await post({ email: "nobody" }), "email");
        invalid(await post({ shippingAddress: address({ zip: undefined, country: "France" }) }), "shippingAddress.zip", "shippingAddress.country");
        invalid(await post({ billingAddress: { ...address(), planet: "Mars" } }), "billingAddress.planet");
        invalid(await post({ shippingMethod: "teleport" }), "shippingMethod");
        invalid(await post({ payment: { method: "bitcoin" } }), "payment.method");
        invalid(await post({ payment: { method: "manual", cardNumber: CARD_APPROVED } }), "payment.cardNumber");
        invalid(await post({ payment: { method: "test" } }), "payment.cardNumber");
        invalid(await post({ payment: { method: "test", cardNumber: "4242 4242 4242 424x" } }), "payment.cardNumber");
        for (const extra of [{ total: usd(1) }, { items: [] }, { discount: usd(1000) }, { price: 1 }, { userId: newId() }, { orderStatus: "delivered" }]) {
            invalid(await post(extra), Object.keys(extra)[0]!);
        }
        await unchanged(cart.id, product, 1, 9);
    });

    test("test cards only work where they are switched on", async () => {
        const other = await Shop.open({ env: { SOUK_TEST_PAYMENTS: "off" } });
        try {
            const cart = await other.cartOf(other.guest, { productId: (await other.product()).id, quantity: 1 });
            invalid(await other.guest.post(`/checkout/${cart.id}`, cardBody(CARD_APPROVED)), "payment.method");
            ok(await other.guest.post(`/checkout/${cart.id}`, checkoutBody()), 201);
        } finally {
            await other.close();
        }
    });
});

describe("once only", () => {
    test("a repeat without a key says what the cart became", async () => {
        const product = await shop.product({ stock: 5 });
        const cart = await cartWith(product, 2);
        const order = ok(await guest.post(`/checkout/${cart.id}`, checkoutBody()), 201);
        const body = refused(await guest.post(`/checkout/${cart.id}`, checkoutBody()), 409, "CART_CONVERTED");
        assert.equal(body.orderNumber, order.orderNumber);
        assert.deepEqual(await shop.level(product.id), { onHand: 5, reserved: 2, available: 3 });
    });

    test("an owned cart tells its owner only", async () => {
        const [me, other] = [await shop.register(), await shop.register()];
        const cart = await cartWith(await shop.product(), 1, me.client);
        const order = ok(await me.client.post(`/checkout/${cart.id}`, checkoutBody()), 201);
        assert.equal(refused(await me.client.post(`/checkout/${cart.id}`, checkoutBody()), 409, "CART_CONVERTED").orderNumber, order.orderNumber);
        for (const client of [guest, other.client, shop.admin.client]) {
            refused(await client.post(`/checkout/${cart.id}`, checkoutBody()), 404, "CART_NOT_FOUND");
        }
    });

    test("the same key answers the same bytes, whatever has happened since", async () => {
        const product = await shop.product({ stock: 5 });
        const cart = await cartWith(product, 1);
        const key = newId();
        const first = await guest.post(`/checkout/${cart.id}`, checkoutBody(), { key });
        const order = ok(first, 201);
        await shop.act(order, "confirm", { note: "meanwhile" });
        ok(await shop.admin.client.patch(`/products/${product.id}`, { price: usd(1), name: "Renamed" }));
        const second = await guest.post(`/checkout/${cart.id}`, checkoutBody(), { key });
        assert.equal(second.status, 201);
        assert.equal(second.text, first.text);
        assert.equal(first.headers.get("idempotent-replayed"), null);
        assert.equal(second.headers.get("idempotent-replayed"), "true");
        assert.equal(second.headers.get("location"), first.headers.get("location"));
        refused(await guest.post(`/checkout/${cart.id}`, checkoutBody({ customerNotes: "other" }), { key }), 422, "IDEMPOTENCY_KEY_REUSED");
        assert.equal((await shop.level(product.id)).reserved, 1);
        const other = await cartWith(product, 1);
        assert.notEqual(ok(await guest.post(`/checkout/${other.id}`, checkoutBody(), { key }), 201).id, order.id, "a guest's key belongs to the cart");
    });

    test("a refusal is not an outcome: the key may be used again", async () => {
        const product = await shop.product({ stock: 2 });
        const cart = await cartWith(product, 2);
        const key = newId();
        ok(await shop.admin.client.patch(`/products/${product.id}`, { stock: 1 }));
        refused(await guest.post(`/checkout/${cart.id}`, checkoutBody(), { key }), 409, "OUT_OF_STOCK");
        invalid(await guest.post(`/checkout/${cart.id}`, checkoutBody({ email: "x" }), { key }), "email");
        ok(await shop.admin.client.patch(`/products/${product.id}`, { stock: 2 }));
        const reply = await guest.post(`/checkout/${cart.id}`, checkoutBody(), { key });
        ok(reply, 201);
        assert.equal(reply.headers.get("idempotent-replayed"), null);
    });
});

describe("test cards", () => {
    test("an approved one pays at once", async () => {
        const product = await shop.product({ stock: 5 });
        const cart = await cartWith(product, 2);
        const key = newId();
        const reply = await guest.post(`/checkout/${cart.id}`, cardBody("4242 4242 4242 4242"), { key });
        const order = ok(reply, 201);
        assert.deepEqual(statuses(order), ["pending", "paid", "unfulfilled"]);
        assert.deepEqual([order.amountPaid, order.paymentMethod, order.holdExpiresAt], [order.total, "test", null]);
        assert.ok(!reply.text.includes(CARD_APPROVED) && !reply.text.includes("4242 4242"), "the card is not repeated");
        assert.deepEqual(await shop.level(product.id), { onHand: 5, reserved: 2, available: 3 });
        assert.equal(ok(await guest.get(`/cart/${cart.id}`)).status, "converted");
        const again = await guest.post(`/checkout/${cart.id}`, cardBody("4242 4242 4242 4242"), { key });
        assert.deepEqual([again.status, again.text], [201, reply.text]);
        refused(await guest.post(`/checkout/${cart.id}`, cardBody(CARD_APPROVED)), 409, "CART_CONVERTED");
        const stored = JSON.stringify(shop.server.sql("SELECT * FROM orders")) + JSON.stringify(shop.server.sql("SELECT * FROM payments"))
            + JSON.stringify(shop.server.sql("SELECT * FROM outbox")) + JSON.stringify(shop.server.sql("SELECT status, body FROM idempotency_records"));
        assert.ok(!stored.includes("42424242"), "nor kept");
    });

    test("a declined one leaves everything as it was", async () => {
        const product = await shop.product({ stock: 5 });
        const cart = await cartWith(product, 2);
        const key = newId();
        refused(await guest.post(`/checkout/${cart.id}`, cardBody(CARD_DECLINED), { key }), 402, "PAYMENT_DECLINED");
        assert.deepEqual(await shop.level(product.id), { onHand: 5, reserved: 0, available: 5 });
        const after = ok(await guest.get(`/cart/${cart.id}`));
        assert.deepEqual([after.status, after.itemCount, after.orderNumber ?? null], ["active", 2, null]);
        ok(await guest.put(`/cart/${cart.id}/items/${cart.items[0].id}`, { quantity: 1 }));
        const order = ok(await guest.post(`/checkout/${cart.id}`, cardBody(CARD_APPROVED), { key }), 201);
        assert.equal(order.paymentStatus, "paid", "another card, under the same key: the first came to nothing");
        assert.deepEqual(await shop.level(product.id), { onHand: 5, reserved: 1, available: 4 });
    });

    test("a declined order is nowhere to be seen", async () => {
        const me = await shop.register();
        const cart = await cartWith(await shop.product(), 1, me.client);
        refused(await me.client.post(`/checkout/${cart.id}`, cardBody(CARD_DECLINED)), 402, "PAYMENT_DECLINED");
        assert.deepEqual(ok(await me.client.get("/orders")).filter((one: Json) => one.orderStatus !== "cancelled"), []);
        assert.equal(ok(await me.client.get("/cart/me")).id, cart.id, "the cart is the account's as before");
    });

    test("one that times out is asked about again, and then paid", async () => {
        const product = await shop.product({ stock: 5 });
        const cart = await cartWith(product, 1);
        const order = ok(await guest.post(`/checkout/${cart.id}`, cardBody(CARD_TIMEOUT)), 201);
        assert.deepEqual(statuses(order), ["pending", "pending", "unfulfilled"]);
        assert.equal(ok(await guest.get(`/cart/${cart.id}`)).status, "converted");
        const paid = await eventually("the job asks the provider", async () => {
            const now = ok(await shop.admin.client.get(`/orders/${order.id}`));
            return now.paymentStatus === "paid" && now;
        }, 15_000);
        assert.deepEqual([paid.amountPaid, paid.orderStatus, paid.holdExpiresAt], [order.total, "pending", null]);
        assert.deepEqual(await shop.level(product.id), { onHand: 5, reserved: 1, available: 4 });
    });

    test("one that timed out before it was charged ends with its stock given back", async () => {
        const product = await shop.product({ stock: 5 });
        const cart = await cartWith(product, 1);
        const order = ok(await guest.post(`/checkout/${cart.id}`, cardBody(CARD_LOST)), 201);
        assert.equal(order.paymentStatus, "pending");
        const ended = await eventually("the job asks the provider", async () => {
            const now = ok(await shop.admin.client.get(`/orders/${order.id}`));
            return now.orderStatus === "cancelled" && now;
        }, 15_000);
        assert.deepEqual(statuses(ended), ["cancelled", "failed", "cancelled"]);
        assert.deepEqual(await shop.level(product.id), { onHand: 5, reserved: 0, available: 5 });
    });
});

test("what costs nothing can be ordered too", async () => {
    const other = await Shop.open();
    try {
        await other.settings({ freeShippingThreshold: usd(0) });
        const product = await other.product({ price: usd(0), stock: 5 });
        for (const body of [checkoutBody(), cardBody(CARD_APPROVED)]) {
            const cart = await other.cartOf(other.guest, { productId: product.id, quantity: 1 });
            const order = ok(await other.guest.post(`/checkout/${cart.id}`, body), 201);
            assert.deepEqual(amounts(order), [0, 0, 0, 0, 0]);
        }
        assert.deepEqual(await other.level(product.id), { onHand: 5, reserved: 2, available: 3 });
    } finally {
        await other.close();
    }
});

describe("limits on unpaid orders of guests", () => {
    test("count per email address, and only while they are unpaid", async () => {
        const other = await Shop.open();
        try {
            const product = await other.product();
            const order = async (email: string, client = other.guest) => {
                const cart = await other.cartOf(client, { productId: product.id, quantity: 1 });
                return client.post(`/checkout/${cart.id}`, checkoutBody({ email }));
            };
            ok(await order("free@example.com"), 201);
            await other.settings({ maxOpenGuestOrdersPerEmail: 2 });
            const first = ok(await order("amina@example.com"), 201);
            ok(await order("Amina@example.com"), 201);
            refused(await order("AMINA@example.com"), 409, "OPEN_ORDER_LIMIT");
            ok(await order("other@example.com"), 201);
            await other.act(first, "payments", { amount: first.total });
            const third = ok(await order("amina@example.com"), 201);
            refused(await order("amina@example.com"), 409, "OPEN_ORDER_LIMIT");
            await other.act(third, "cancel");
            ok(await order("amina@example.com"), 201);
            const me = await other.register();
            for (let i = 0; i < 3; i++) ok(await order("amina@example.com", me.client), 201);
            await other.settings({ maxOpenGuestOrdersPerEmail: null, maxOpenGuestOrdersPerAddress: 1 });
            ok(await order("one@example.com"), 201);
            refused(await order("two@example.com"), 409, "OPEN_ORDER_LIMIT");
        } finally {
            await other.close();
        }
    });
});

describe("between the charge and its answer", () => {

    test("nothing is confirmed or shipped, and a late no ends the order", async () => {
        const quiet = await Shop.open({ args: ["--no-jobs"] });
        try {
            const product = await quiet.product({ stock: 3 });
            const cart = await quiet.cartOf(quiet.guest, { productId: product.id, quantity: 2 });
            const order = ok(await quiet.guest.post(`/checkout/${cart.id}`, cardBody(CARD_LOST)), 201);
            assert.equal(order.paymentStatus, "pending");
            for (const action of ["confirm", "process", "ship", "cancel"])
                refused(await quiet.admin.client.post(`/orders/${order.id}/${action}`, {}), 409, "INVALID_TRANSITION");
            refused(await quiet.admin.client.post(`/orders/${order.id}/payments`, { amount: usd(1) }), 409, "INVALID_TRANSITION");
            assert.deepEqual(await quiet.level(product.id), { onHand: 3, reserved: 2, available: 1 });
        } finally {
            await quiet.close();
        }
    });

    test("a key that was answered 201 answers the same for good, also when the provider says no later", async () => {
        const product = await shop.product({ stock: 3 });
        const cart = await shop.cartOf(shop.guest, { productId: product.id, quantity: 1 });
        const key = newId();
        const first = await shop.guest.post(`/checkout/${cart.id}`, cardBody(CARD_LOST), { key });
        assert.equal(first.status, 201);
        const id = ok(first, 201).id;
        await eventually("the provider was asked", async () => ok(await shop.admin.client.get(`/orders/${id}`)).paymentStatus === "failed");
        const again = await shop.guest.post(`/checkout/${cart.id}`, cardBody(CARD_LOST), { key });
        assert.deepEqual([again.status, again.text], [201, first.text]);
        assert.deepEqual(await shop.level(product.id), { onHand: 3, reserved: 0, available: 3 });
    });

    test("a declined card shows the stock again at once", async () => {
        const product = await shop.product({ stock: 1 });
        const cart = await shop.cartOf(shop.guest, { productId: product.id, quantity: 1 });
        assert.equal(ok(await shop.guest.get(`/products/${product.id}`)).stock, 1);
        refused(await shop.guest.post(`/checkout/${cart.id}`, cardBody(CARD_DECLINED)), 402, "PAYMENT_DECLINED");
        assert.equal(ok(await shop.guest.get(`/products/${product.id}`)).stock, 1);
    });
});

test("the wishes of a cart are bounded, so that no order grows without end", async () => {
    const product = await shop.product({ stock: 500 });
    const cart = await createCart(shop.guest);
    const wishes = (n: number) => Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`Wish ${i}`, `${n}${"\u{1F9FF}".repeat(199)}`]));
    let added = 0;
    for (; added < 10; added++) {
        const reply = await shop.guest.post(`/cart/${cart.id}/items`, { productId: product.id, quantity: 1, options: wishes(added) });
        if (reply.status === 409) {
            refused(reply, 409, "CART_LIMIT");
            break;
        }
        ok(reply, 201);
    }
    assert.ok(added >= 1 && added < 10, `${added} lines of 8 KB fit`);
    ok(await shop.guest.post(`/checkout/${cart.id}`, checkoutBody()), 201);
});
