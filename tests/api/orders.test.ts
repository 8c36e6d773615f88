// The life of an order: who sees it, what may happen to it, where its stock and its money go.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { etagOf, invalid, ok, refused, type Client, type Json } from "../support/client.ts";
import { CARD_APPROVED, Shop, cardBody, everyPage, newId, unique, usd, type Account } from "../support/shop.ts";

let shop: Shop;
let guest: Client;
let admin: Client;
let staff: Account;
before(async () => {
    shop = await Shop.open();
    guest = shop.guest;
    admin = shop.admin.client;
    staff = await shop.staff();
});
after(() => shop?.close());

const statuses = (order: Json) => [order.orderStatus, order.paymentStatus, order.fulfillmentStatus];
const order = async (client: Client = guest, quantity = 1, stock = 10) => shop.order(client, await shop.product({ stock }), quantity);
const paidByCard = async (client: Client = guest) => {
    const cart = await shop.cartOf(client, { productId: (await shop.product({ stock: 10 })).id, quantity: 2 });
    return ok(await client.post(`/checkout/${cart.id}`, cardBody(CARD_APPROVED)), 201);
};
const read = async (id: string) => ok(await admin.get(`/orders/${id}`));

describe("reading an order", () => {
    test("one's own, by id and by number", async () => {
        const me = await shop.register();
        const mine = await order(me.client, 2);
        const reply = await me.client.get(`/orders/${mine.id}`);
        const { history, ...rest } = ok(reply);
        const { history: _, ...placed } = mine;
        assert.deepEqual(rest, placed);
        assert.ok(Array.isArray(history));
        assert.deepEqual(ok(await me.client.get(`/orders/${mine.orderNumber}`)), ok(reply));
        assert.equal((await me.client.get(`/orders/${mine.id}`, { etag: etagOf(reply) })).status, 304);
        assert.deepEqual(ok(await me.client.get(`/orders/${mine.id}`, { query: { fields: "orderNumber,total" } })), { id: mine.id, orderNumber: mine.orderNumber, total: mine.total });
    });

    test("another's is 404, to the letter like one that does not exist", async () => {
        const [me, other] = [await shop.register(), await shop.register()];
        const mine = await order(me.client);
        const guests = await order();
        const nothing = refused(await other.client.get(`/orders/${newId()}`), 404, "ORDER_NOT_FOUND");
        for (const id of [mine.id, mine.orderNumber, guests.id, guests.orderNumber]) {
            const body = refused(await other.client.get(`/orders/${id}`), 404, "ORDER_NOT_FOUND");
            assert.equal(body.detail, nothing.detail);
            refused(await guest.get(`/orders/${id}`), 401, "UNAUTHENTICATED");
        }
        refused(await other.client.post(`/orders/${mine.id}/cancel`), 404, "ORDER_NOT_FOUND");
        refused(await other.client.post(`/orders/${guests.id}/cancel`), 404, "ORDER_NOT_FOUND");
        for (const action of ["confirm", "process", "ship", "deliver", "payments", "refunds"]) {
            const body = action === "payments" ? { amount: usd(1) } : {};
            for (const client of [other.client, me.client]) refused(await client.post(`/orders/${mine.id}/${action}`, body), 403, "FORBIDDEN");
            refused(await guest.post(`/orders/${mine.id}/${action}`, body), 401, "UNAUTHENTICATED");
        }
        assert.deepEqual(statuses(await read(mine.id)), ["pending", "pending", "unfulfilled"]);
        assert.equal(ok(await staff.client.get(`/orders/${mine.id}`)).id, mine.id);
        assert.equal(ok(await staff.client.get(`/orders/${guests.orderNumber}`)).id, guests.id);
    });
});

describe("lists", () => {
    test("a customer sees their own, newest first, without history", async () => {
        const me = await shop.register();
        const mine = [await order(me.client), await order(me.client), await order(me.client)];
        const reply = await me.client.get("/orders", { query: { total: true } });
        assert.deepEqual(ok(reply).map((one: Json) => one.id), mine.map((one) => one.id).reverse());
        assert.equal(reply.body.pagination.total, 3);
        assert.ok(ok(reply).every((one: Json) => !("history" in one)));
        assert.equal((await me.client.get("/orders", { query: { total: true }, etag: etagOf(reply) })).status, 304);
        assert.deepEqual((await everyPage(me.client, "/orders", { limit: 1 })).map((one) => one.id), ok(reply).map((one: Json) => one.id));
        assert.deepEqual((await everyPage(me.client, "/orders", { limit: 2, sort: "createdAt" })).map((one) => one.id), mine.map((one) => one.id));
        assert.deepEqual(ok(await me.client.get("/orders", { query: { offset: 2 } })).map((one: Json) => one.id), [mine[0].id]);
    });

    test("no filter reaches beyond one's own", async () => {
        const [me, other] = [await shop.register(), await shop.register()];
        const theirs = await order(other.client);
        const find = async (query: Record<string, string>) => ok(await me.client.get("/orders", { query }));
        for (const query of [{ userId: other.id }, { email: theirs.email }, { q: theirs.orderNumber }, { status: "pending" }, { userId: shop.admin.id }]) {
            assert.deepEqual(await find(query), []);
        }
        refused(await guest.get("/orders"), 401, "UNAUTHENTICATED");
    });

    test("staff see all, and filter", async () => {
        const me = await shop.register();
        const email = `${unique("buyer")}@example.com`;
        const product = await shop.product();
        const first = await shop.order(me.client, product, 1, { email });
        const second = await shop.order(guest, product, 1, { email: email.toUpperCase() });
        await shop.act(second, "confirm");
        await shop.act(second, "payments", { amount: second.total });
        const ids = async (query: Record<string, string>) => (await everyPage(staff.client, "/orders", { limit: 100, ...query })).map((one) => one.id);
        assert.deepEqual(await ids({ email }), [second.id, first.id]);
        assert.deepEqual(await ids({ email, sort: "createdAt" }), [first.id, second.id]);
        assert.deepEqual(await ids({ email, status: "confirmed" }), [second.id]);
        assert.deepEqual(await ids({ email, status: "delivered" }), []);
        assert.deepEqual(await ids({ email, paymentStatus: "paid" }), [second.id]);
        assert.deepEqual(await ids({ email, fulfillmentStatus: "unfulfilled" }), [second.id, first.id]);
        assert.deepEqual(await ids({ userId: me.id }), [first.id]);
        assert.deepEqual(await ids({ q: first.orderNumber }), [first.id]);
        assert.deepEqual(await ids({ q: first.orderNumber.slice(0, 9), email }), [first.id]);
        assert.deepEqual(await ids({ email, "createdAt[gte]": first.createdAt, "createdAt[lte]": second.createdAt }), [second.id, first.id]);
        assert.deepEqual(await ids({ email, "createdAt[lte]": "2020-01-01T00:00:00Z" }), []);
        assert.deepEqual(await ids({ email, "createdAt[gte]": new Date(Date.now() + 60_000).toISOString() }), []);
        invalid(await staff.client.get("/orders", { query: { status: "lost" } }), "status");
        invalid(await staff.client.get("/orders", { query: { "createdAt[gte]": "yesterday" } }), "createdAt[gte]");
        invalid(await staff.client.get("/orders", { query: { sort: "total" } }), "sort");
        invalid(await staff.client.get("/orders", { query: { userId: "me" } }), "userId");
    });
});

describe("a guest's order", () => {
    test("is found by number and address, however they are typed", async () => {
        const placed = await order();
        const spelled = [placed.orderNumber, placed.orderNumber.toLowerCase(), placed.orderNumber.replaceAll("-", ""), placed.orderNumber.replaceAll("-", " ")];
        for (const orderNumber of spelled) {
            assert.equal(ok(await guest.post("/orders/lookup", { orderNumber, email: "AMINA@example.com" })).id, placed.id, orderNumber);
        }
        refused(await guest.post("/orders/lookup", { orderNumber: placed.orderNumber, email: placed.email }, { key: newId() }), 400, "VALIDATION_ERROR");
    });

    test("is not found in any other way, by one and the same 404", async () => {
        const placed = await order();
        const misses = [
            { orderNumber: placed.orderNumber, email: "other@example.com" },
            { orderNumber: "SK-AAAA-AAAA-AAAA", email: placed.email },
            { orderNumber: placed.orderNumber.slice(0, -1), email: placed.email },
            { orderNumber: placed.id, email: placed.email },
            { orderNumber: "%", email: placed.email },
        ];
        const bodies = new Set<string>();
        for (const body of misses) {
            const { requestId: _, ...rest } = refused(await guest.post("/orders/lookup", body), 404, "ORDER_NOT_FOUND");
            bodies.add(JSON.stringify(rest));
        }
        assert.equal(bodies.size, 1);
        invalid(await guest.post("/orders/lookup", { orderNumber: placed.orderNumber }), "email");
    });
});

// What each action does in each state. "-": refused with 409 INVALID_TRANSITION, and nothing changes.
const LIFE: Record<string, Record<string, string>> = {
    //            confirm                process                   ship                 deliver                 cancel
    pending:    { confirm: "confirmed", process: "-",          ship: "-",       deliver: "-",         cancel: "cancelled" },
    confirmed:  { confirm: "-",         process: "processing", ship: "shipped", deliver: "-",         cancel: "cancelled" },
    processing: { confirm: "-",         process: "-",          ship: "shipped", deliver: "-",         cancel: "cancelled" },
    shipped:    { confirm: "-",         process: "-",          ship: "-",       deliver: "delivered", cancel: "-" },
    delivered:  { confirm: "-",         process: "-",          ship: "-",       deliver: "-",         cancel: "-" },
    cancelled:  { confirm: "-",         process: "-",          ship: "-",       deliver: "-",         cancel: "-" },
    refunded:   { confirm: "-",         process: "-",          ship: "-",       deliver: "-",         cancel: "-" },
};
const WAY: Record<string, string[]> = {
    pending: [], confirmed: ["confirm"], processing: ["confirm", "process"], shipped: ["confirm", "ship"],
    delivered: ["confirm", "process", "ship", "deliver"], cancelled: ["cancel"],
    refunded: ["payments", "confirm", "ship", "deliver", "refunds"],
};
const FULFILLMENT: Record<string, string> = {
    pending: "unfulfilled", confirmed: "unfulfilled", processing: "unfulfilled", shipped: "shipped", delivered: "delivered", cancelled: "cancelled", refunded: "delivered",
};

describe("the table of transitions", () => {
    for (const [state, actions] of Object.entries(LIFE)) {
        for (const [action, target] of Object.entries(actions)) {
            test(`${state}: ${action} ${target === "-" ? "is refused" : `makes it ${target}`}`, async () => {
                const product = await shop.product({ stock: 10 });
                const placed = await shop.order(guest, product, 4);
                for (const step of WAY[state]!) await shop.act(placed, step, step === "payments" ? { amount: placed.total } : undefined);
                const before = await read(placed.id);
                assert.equal(before.orderStatus, state);
                assert.equal(before.fulfillmentStatus, FULFILLMENT[state]);
                const reply = await staff.client.post(`/orders/${placed.id}/${action}`);
                if (target === "-") {
                    refused(reply, 409, "INVALID_TRANSITION");
                    assert.deepEqual(await read(placed.id), before);
                } else {
                    const after = ok(reply);
                    assert.equal(after.orderStatus, target);
                    assert.equal(after.fulfillmentStatus, FULFILLMENT[target]);
                    assert.deepEqual(await read(placed.id), after);
                    const change = after.history.find((event: Json) => event.type === "order_status" && event.to === target);
                    assert.deepEqual([change.from, change.actor], [state, "staff"]);
                }
                const now = (await read(placed.id)).orderStatus;
                const shipped = ["shipped", "delivered", "refunded"].includes(now);
                const held = ["pending", "confirmed", "processing"].includes(now);
                assert.deepEqual(await shop.level(product.id), shipped ? { onHand: 6, reserved: 0, available: 6 }
                    : held ? { onHand: 10, reserved: 4, available: 6 } : { onHand: 10, reserved: 0, available: 10 });
            });
        }
    }

    test("an order that does not exist", async () => {
        for (const action of ["confirm", "process", "ship", "deliver", "cancel", "refunds"]) {
            refused(await admin.post(`/orders/${newId()}/${action}`), 404, "ORDER_NOT_FOUND");
        }
        refused(await admin.post(`/orders/${newId()}/payments`, { amount: usd(1) }), 404, "ORDER_NOT_FOUND");
        invalid(await admin.post("/orders/12/confirm"), "id");
    });
});

describe("the way of an order", () => {
    test("is written in its history, oldest first", async () => {
        const me = await shop.register();
        const placed = await order(me.client);
        await shop.act(placed, "confirm", { note: "Called about the gate code" });
        await shop.act(placed, "payments", { amount: placed.total, reference: "Transfer 118", note: "thanks" });
        await shop.act(placed, "process");
        await shop.act(placed, "ship", { carrier: "DHL", trackingNumber: "JD0146", trackingUrl: "https://track.example.com/JD0146" });
        const delivered = await shop.act(placed, "deliver", { note: "Signed by a neighbour" });
        assert.deepEqual(statuses(delivered), ["delivered", "paid", "delivered"]);
        const changes = (type: string) => delivered.history.filter((event: Json) => event.type === type).map((event: Json) => [event.from, event.to]);
        assert.deepEqual(changes("order_status"), [[null, "pending"], ["pending", "confirmed"], ["confirmed", "processing"], ["processing", "shipped"], ["shipped", "delivered"]]);
        assert.ok(changes("payment_status").some(([from, to]: string[]) => from === "pending" && to === "paid"));
        assert.deepEqual(changes("fulfillment_status").slice(-2), [["unfulfilled", "shipped"], ["shipped", "delivered"]]);
        const times = delivered.history.map((event: Json) => event.at);
        assert.deepEqual(times, [...times].sort());
        assert.equal(delivered.history[0].actor, "customer");
        const notes = delivered.history.map((event: Json) => event.note).filter(Boolean).join("\n");
        for (const note of ["gate code", "Transfer 118", "neighbour"]) assert.ok(notes.includes(note), note);
        assert.deepEqual([delivered.fulfillment.carrier, delivered.fulfillment.trackingNumber, delivered.fulfillment.trackingUrl], ["DHL", "JD0146", "https://track.example.com/JD0146"]);
        assert.ok(Date.parse(delivered.fulfillment.shippedAt) <= Date.parse(delivered.fulfillment.deliveredAt));
        const seen = ok(await me.client.get(`/orders/${placed.id}`));
        assert.deepEqual(seen.fulfillment, delivered.fulfillment);
        assert.ok(delivered.updatedAt > placed.updatedAt);
    });

    test("a confirmed order no longer expires", async () => {
        const placed = await order();
        assert.notEqual(placed.holdExpiresAt, null);
        assert.equal((await shop.act(placed, "confirm")).holdExpiresAt, null);
    });

    test("shipping takes a tracking address only as one", async () => {
        const placed = await order();
        await shop.act(placed, "confirm");
        invalid(await admin.post(`/orders/${placed.id}/ship`, { trackingUrl: "javascript:alert(1)" }), "trackingUrl");
        invalid(await admin.post(`/orders/${placed.id}/ship`, { trackingNumber: "x".repeat(101) }), "trackingNumber");
        const shipped = await shop.act(placed, "ship", {});
        assert.deepEqual([shipped.fulfillment.carrier, shipped.fulfillment.trackingNumber, shipped.fulfillment.deliveredAt], [null, null, null]);
    });

    test("every action is safe to repeat with a key", async () => {
        const placed = await order();
        for (const [action, body, status] of [
            ["confirm", { note: "n" }, 200], ["payments", { amount: usd(100) }, 201], ["process", {}, 200], ["ship", { carrier: "DHL" }, 200], ["deliver", {}, 200],
        ] as const) {
            const key = newId();
            const first = await admin.post(`/orders/${placed.id}/${action}`, body, { key });
            const second = await admin.post(`/orders/${placed.id}/${action}`, body, { key });
            assert.deepEqual([first.status, second.status], [status, status], `${action}: ${first.text}`);
            assert.equal(second.text, first.text, action);
            assert.equal(second.headers.get("idempotent-replayed"), "true");
        }
        assert.deepEqual((await read(placed.id)).amountPaid, usd(100), "paid once");
    });
});

describe("payments that staff record", () => {
    test("in part, then whole; never more than is due", async () => {
        const placed = await order();
        const total = placed.total.amount;
        const pay = (amount: number, extra = {}) => admin.post(`/orders/${placed.id}/payments`, { amount: usd(amount), ...extra });
        const part = ok(await pay(1000, { reference: "A-1" }), 201);
        assert.deepEqual([part.amountPaid.amount, part.paymentStatus, part.orderStatus, part.holdExpiresAt], [1000, "partially_paid", "pending", null]);
        refused(await pay(total - 1000 + 1), 409, "PAYMENT_EXCEEDS_TOTAL");
        const whole = ok(await pay(total - 1000), 201);
        assert.deepEqual([whole.amountPaid, whole.paymentStatus], [whole.total, "paid"]);
        refused(await pay(1), 409, "PAYMENT_EXCEEDS_TOTAL");
        assert.deepEqual((await read(placed.id)).amountPaid.amount, total);
        assert.equal(whole.history.filter((event: Json) => event.type === "payment").length, 2);
    });

    test("only in the shop's currency, and more than nothing", async () => {
        const placed = await order();
        invalid(await admin.post(`/orders/${placed.id}/payments`, { amount: { amount: 100, currency: "EUR" } }), "amount.currency");
        invalid(await admin.post(`/orders/${placed.id}/payments`, { amount: usd(0) }), "amount.amount");
        invalid(await admin.post(`/orders/${placed.id}/payments`, { amount: usd(-5) }), "amount.amount");
        invalid(await admin.post(`/orders/${placed.id}/payments`, {}), "amount");
        assert.deepEqual((await read(placed.id)).amountPaid, usd(0));
    });

    test("not for an order that has ended", async () => {
        const placed = await order();
        await shop.act(placed, "cancel");
        refused(await admin.post(`/orders/${placed.id}/payments`, { amount: usd(1) }), 409, "INVALID_TRANSITION");
    });
});

describe("refunds", () => {
    const delivered = async () => {
        const placed = await order();
        for (const step of ["payments", "confirm", "ship", "deliver"]) await shop.act(placed, step, step === "payments" ? { amount: placed.total } : undefined);
        return placed;
    };

    test("some of it, then the rest", async () => {
        const placed = await delivered();
        const some = ok(await admin.post(`/orders/${placed.id}/refunds`, { amount: usd(500), reason: "Arrived scratched" }), 201);
        assert.deepEqual(statuses(some), ["partially_refunded", "partially_refunded", "delivered"]);
        assert.equal(some.amountRefunded.amount, 500);
        refused(await admin.post(`/orders/${placed.id}/refunds`, { amount: usd(placed.total.amount - 499) }), 409, "REFUND_EXCEEDS_PAYMENT");
        const all = ok(await admin.post(`/orders/${placed.id}/refunds`), 201);
        assert.deepEqual(statuses(all), ["refunded", "refunded", "delivered"]);
        assert.deepEqual(all.amountRefunded, all.total);
        refused(await admin.post(`/orders/${placed.id}/refunds`), 409, "REFUND_EXCEEDS_PAYMENT");
        refused(await admin.post(`/orders/${placed.id}/refunds`, { amount: usd(1) }), 409, "REFUND_EXCEEDS_PAYMENT");
        assert.equal(all.history.filter((event: Json) => event.type === "refund").length, 2);
        assert.ok(all.history.some((event: Json) => event.note?.includes("scratched")));
    });

    test("never more than was paid", async () => {
        const placed = await order();
        refused(await admin.post(`/orders/${placed.id}/refunds`), 409, "REFUND_EXCEEDS_PAYMENT");
        await shop.act(placed, "payments", { amount: usd(300) });
        refused(await admin.post(`/orders/${placed.id}/refunds`, { amount: usd(301) }), 409, "REFUND_EXCEEDS_PAYMENT");
        assert.deepEqual((await read(placed.id)).amountRefunded, usd(0));
        invalid(await admin.post(`/orders/${placed.id}/refunds`, { amount: usd(0) }), "amount.amount");
        invalid(await admin.post(`/orders/${placed.id}/refunds`, { amount: { amount: 1, currency: "EUR" } }), "amount.currency");
    });

    test("the same key refunds once", async () => {
        const placed = await delivered();
        const key = newId();
        const first = await admin.post(`/orders/${placed.id}/refunds`, { amount: usd(100) }, { key });
        const second = await admin.post(`/orders/${placed.id}/refunds`, { amount: usd(100) }, { key });
        assert.equal(ok(first, 201).amountRefunded.amount, 100);
        assert.equal(second.text, first.text);
        assert.equal((await read(placed.id)).amountRefunded.amount, 100);
        refused(await admin.post(`/orders/${placed.id}/refunds`, { amount: usd(101) }, { key }), 422, "IDEMPOTENCY_KEY_REUSED");
    });

    test("a payment by card goes back to the card", async () => {
        const placed = await paidByCard();
        for (const step of ["confirm", "ship", "deliver"]) await shop.act(placed, step);
        const all = ok(await admin.post(`/orders/${placed.id}/refunds`, {}), 201);
        assert.deepEqual([statuses(all), all.amountRefunded], [["refunded", "refunded", "delivered"], placed.total]);
        assert.deepEqual(shop.server.sql(`SELECT kind, provider, status, amount_minor FROM payments WHERE order_id = (SELECT id FROM orders WHERE order_number = '${placed.orderNumber}') ORDER BY id`), [
            { kind: "payment", provider: "test", status: "succeeded", amount_minor: placed.total.amount },
            { kind: "refund", provider: "test", status: "succeeded", amount_minor: placed.total.amount },
        ]);
    });
});

describe("cancelling", () => {
    test("the customer may, while it is pending and unpaid", async () => {
        const me = await shop.register();
        const product = await shop.product({ stock: 10 });
        const placed = await shop.order(me.client, product, 4);
        const cancelled = ok(await me.client.post(`/orders/${placed.id}/cancel`, { reason: "Ordered the wrong size" }));
        assert.deepEqual(statuses(cancelled), ["cancelled", "cancelled", "cancelled"]);
        assert.equal(cancelled.holdExpiresAt, null);
        const event = cancelled.history.find((one: Json) => one.to === "cancelled" && one.type === "order_status");
        assert.deepEqual([event.actor, event.note], ["customer", "Ordered the wrong size"]);
        assert.deepEqual(await shop.level(product.id), { onHand: 10, reserved: 0, available: 10 });
        assert.equal(ok(await guest.get(`/products/${product.id}`)).stock, 10, "it shows at once");
        refused(await me.client.post(`/orders/${placed.id}/cancel`), 409, "INVALID_TRANSITION");
    });

    test("later only staff can", async () => {
        const me = await shop.register();
        const [confirmed, paid] = [await order(me.client), await paidByCard(me.client)];
        await shop.act(confirmed, "confirm");
        refused(await me.client.post(`/orders/${confirmed.id}/cancel`), 409, "INVALID_TRANSITION");
        refused(await me.client.post(`/orders/${paid.id}/cancel`), 409, "INVALID_TRANSITION");
        assert.equal(ok(await staff.client.post(`/orders/${confirmed.id}/cancel`)).orderStatus, "cancelled");
    });

    test("happens once: the stock that others hold is not given away with it", async () => {
        const product = await shop.product({ stock: 10 });
        const [mine] = [await shop.order(guest, product, 3), await shop.order(guest, product, 4)];
        await shop.act(mine, "cancel");
        refused(await admin.post(`/orders/${mine.id}/cancel`), 409, "INVALID_TRANSITION");
        assert.deepEqual(await shop.level(product.id), { onHand: 10, reserved: 4, available: 6 });
    });

    test("what was paid by card is given back", async () => {
        const placed = await paidByCard();
        const cancelled = await shop.act(placed, "cancel", { reason: "Sold out" });
        assert.deepEqual([cancelled.orderStatus, cancelled.paymentStatus, cancelled.fulfillmentStatus], ["cancelled", "refunded", "cancelled"]);
        assert.deepEqual(cancelled.amountRefunded, placed.total);
        assert.deepEqual((await shop.level(placed.items[0].productId)).reserved, 0);
        refused(await admin.post(`/orders/${placed.id}/refunds`), 409, "REFUND_EXCEEDS_PAYMENT");
    });

    test("a recorded payment is given back by hand", async () => {
        const placed = await order();
        await shop.act(placed, "payments", { amount: usd(700) });
        await shop.act(placed, "cancel");
        const refunded = ok(await admin.post(`/orders/${placed.id}/refunds`), 201);
        assert.equal(refunded.amountRefunded.amount, 700);
        assert.equal(refunded.paymentStatus, "refunded");
    });
});
