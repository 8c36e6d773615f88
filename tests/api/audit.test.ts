// The audit log: every change that staff make leaves exactly one entry, and a refused one none. The list of operations is the
// contract's: one that is added there and not here fails this file.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { etagOf, invalid, ok, refused, type Client, type Json, type Reply } from "../support/client.ts";
import { operations } from "../support/contract.ts";
import { Shop, cardBody, CARD_APPROVED, everyPage, newId, unique, usd } from "../support/shop.ts";

let shop: Shop;
let admin: Client;
before(async () => {
    shop = await Shop.open();
    admin = shop.admin.client;
});
after(() => shop?.close());

const entries = () => Number(shop.server.sql("SELECT COUNT(*) AS n FROM audit_log")[0]!.n);
const newest = async (): Promise<Json> => ok(await admin.get("/audit-log", { query: { limit: 1 } }))[0];

/** One success of each write of staff: what it needs is made before, then comes the one call. */
interface Change {
    kind: string;
    has: ("before" | "after")[];
    prepare: () => Promise<() => Promise<Reply>>;
}

const withOrder = (steps: string[], action: (id: string) => Promise<Reply>, client = () => shop.guest) => async () => {
    const order = await shop.order(client(), await shop.product());
    for (const step of steps) await shop.act(order, step, step === "payments" ? { amount: order.total } : {});
    return () => action(order.id);
};

const CHANGES: Record<string, Change> = {
    categoryCreate: { kind: "category", has: ["after"], prepare: async () => () => admin.post("/categories", { name: unique("C ") }) },
    categoryUpdate: { kind: "category", has: ["before", "after"], prepare: async () => {
        const { id } = await shop.category();
        return () => admin.patch(`/categories/${id}`, { name: unique("C ") });
    } },
    categoryDelete: { kind: "category", has: ["before"], prepare: async () => {
        const { id } = await shop.category();
        return () => admin.delete(`/categories/${id}`);
    } },
    productCreate: { kind: "product", has: ["after"], prepare: async () => () => admin.post("/products", { name: unique("P "), price: usd(1) }) },
    productUpdate: { kind: "product", has: ["before", "after"], prepare: async () => {
        const { id } = await shop.product();
        return () => admin.patch(`/products/${id}`, { price: usd(12) });
    } },
    productDelete: { kind: "product", has: ["before"], prepare: async () => {
        const { id } = await shop.product();
        return () => admin.delete(`/products/${id}`);
    } },
    variantCreate: { kind: "variant", has: ["after"], prepare: async () => {
        const product = await withVariants();
        return () => admin.post(`/products/${product.id}/variants`, { options: { Size: "L" }, price: usd(3) });
    } },
    variantUpdate: { kind: "variant", has: ["before", "after"], prepare: async () => {
        const product = await withVariants();
        return () => admin.patch(`/products/${product.id}/variants/${product.variants[0].id}`, { price: usd(5) });
    } },
    variantDelete: { kind: "variant", has: ["before"], prepare: async () => {
        const product = await withVariants();
        return () => admin.delete(`/products/${product.id}/variants/${product.variants[0].id}`);
    } },
    stockAdjust: { kind: "stock", has: ["before", "after"], prepare: async () => {
        const product = await shop.product();
        return () => admin.post(`/products/${product.id}/variants/${product.variants[0].id}/stock-adjustments`, { delta: 5, reason: "counted" });
    } },
    orderPaymentRecord: { kind: "order", has: ["before", "after"], prepare: withOrder([], (id) => admin.post(`/orders/${id}/payments`, { amount: usd(1) })) },
    orderRefund: { kind: "order", has: ["before", "after"], prepare: withOrder(["payments"], (id) => admin.post(`/orders/${id}/refunds`, { amount: usd(1) })) },
    orderConfirm: { kind: "order", has: ["before", "after"], prepare: withOrder([], (id) => admin.post(`/orders/${id}/confirm`)) },
    orderProcess: { kind: "order", has: ["before", "after"], prepare: withOrder(["confirm"], (id) => admin.post(`/orders/${id}/process`)) },
    orderShip: { kind: "order", has: ["before", "after"], prepare: withOrder(["confirm", "process"], (id) => admin.post(`/orders/${id}/ship`, {})) },
    orderDeliver: { kind: "order", has: ["before", "after"], prepare: withOrder(["confirm", "process", "ship"], (id) => admin.post(`/orders/${id}/deliver`)) },
    userUpdate: { kind: "user", has: ["before", "after"], prepare: async () => {
        const { id } = await shop.register();
        return () => admin.patch(`/users/${id}`, { firstName: "Cora" });
    } },
    userDelete: { kind: "user", has: [], prepare: async () => {
        const { id } = await shop.register();
        return () => admin.delete(`/users/${id}`);
    } },
    userSessionsRevoke: { kind: "user", has: [], prepare: async () => {
        const { id } = await shop.register();
        return () => admin.delete(`/users/${id}/sessions`);
    } },
    userMfaRemove: { kind: "user", has: [], prepare: async () => {
        const { id } = await shop.register();
        return () => admin.delete(`/users/${id}/mfa`);
    } },
    roleCreate: { kind: "role", has: ["after"], prepare: async () => () => admin.post("/roles", { name: unique("r-"), scopes: ["orders:read"] }) },
    roleUpdate: { kind: "role", has: ["before", "after"], prepare: async () => {
        const { name } = await newRole();
        return () => admin.patch(`/roles/${name}`, { scopes: ["customers:read"] });
    } },
    roleDelete: { kind: "role", has: ["before"], prepare: async () => {
        const { name } = await newRole();
        return () => admin.delete(`/roles/${name}`);
    } },
    planCreate: { kind: "plan", has: ["after"], prepare: async () => () => admin.post("/plans", { name: unique("P "), quotaBinds: "all" }) },
    planUpdate: { kind: "plan", has: ["before", "after"], prepare: async () => {
        const { id } = await newPlan();
        return () => admin.patch(`/plans/${id}`, { burst: 5 });
    } },
    planDelete: { kind: "plan", has: ["before"], prepare: async () => {
        const { id } = await newPlan();
        return () => admin.delete(`/plans/${id}`);
    } },
    apiKeyCreate: { kind: "api_key", has: ["after"], prepare: async () => () => admin.post("/api-keys", { kind: "publishable", name: unique("K ") }) },
    apiKeyUpdate: { kind: "api_key", has: ["before", "after"], prepare: async () => {
        const { id } = await newKey();
        return () => admin.patch(`/api-keys/${id}`, { name: unique("K ") });
    } },
    apiKeyRotate: { kind: "api_key", has: ["before", "after"], prepare: async () => {
        const { id } = await newKey();
        return () => admin.post(`/api-keys/${id}/rotate`, { overlapSeconds: 60 });
    } },
    apiKeyRevoke: { kind: "api_key", has: ["before", "after"], prepare: async () => {
        const { id } = await newKey();
        return () => admin.post(`/api-keys/${id}/revoke`);
    } },
    settingsUpdate: { kind: "settings", has: ["before", "after"], prepare: async () => () => admin.patch("/settings", { cartTtlDays: 29 }) },
};

const newPlan = async () => ok(await admin.post("/plans", { name: unique("P "), quotaBinds: "all" }), 201);
const newKey = async () => ok(await admin.post("/api-keys", { kind: "publishable", name: unique("K ") }), 201);
const newRole = async () => ok(await admin.post("/roles", { name: unique("r-"), scopes: ["orders:read"] }), 201);
const withVariants = () => shop.product({
    stock: undefined, options: [{ name: "Size", values: ["S", "M", "L"] }],
    variants: [{ options: { Size: "S" } }, { options: { Size: "M" } }],
});

const staffWrites = operations.filter(({ souk, method }) => souk.access === "staff" && method !== "GET");

describe("every change that staff make leaves one entry", () => {
    for (const operation of staffWrites) {
        test(operation.id, async () => {
            const change = CHANGES[operation.id];
            assert.ok(change, `${operation.id} is new: write it into CHANGES, and audit it`);
            const run = await change.prepare();
            const countBefore = entries();
            const reply = await run();
            assert.ok(reply.status < 300, `${reply.status} ${reply.text}`);
            assert.equal(reply.operation, operation.id);
            assert.equal(entries(), countBefore + 1);
            const entry = await newest();
            assert.deepEqual([entry.operation, entry.resourceKind, entry.actor], [operation.id, change.kind, { kind: "user", id: shop.admin.id }]);
            for (const state of ["before", "after"] as const) assert.equal(entry[state] !== null, change.has.includes(state), `${state}: ${JSON.stringify(entry[state])}`);
            if (entry.before && entry.after) assert.notDeepEqual(entry.before, entry.after);
            assert.match(entry.address, /^(127\.0\.0\.1|::1|::ffff:127\.0\.0\.1)$/);
            assert.ok(!/argon|password|secret|token/i.test(JSON.stringify(entry)));
        });

        test(`${operation.id}: none when it is refused`, async () => {
            const before = entries();
            const target = operation.path.replace(/\{[^}]+\}/g, () => newId());
            const replies = [
                await shop.guest.request(operation.method, target, operation.body?.example),
                await admin.request(operation.method, target, operation.body ? { unknown: true } : undefined),
            ];
            for (const reply of replies) assert.ok(reply.status >= 400, `${reply.status}`);
            assert.equal(entries(), before);
        });
    }

    test("an order that staff call off, and not one that its customer does", async () => {
        const order = await shop.order(shop.guest, await shop.product());
        const before = entries();
        ok(await admin.post(`/orders/${order.id}/cancel`, {}));
        assert.equal(entries(), before + 1);
        assert.deepEqual([(await newest()).before.orderStatus, (await newest()).after.orderStatus], ["pending", "cancelled"]);
        const customer = await shop.register();
        const own = await shop.order(customer.client, await shop.product());
        const unchanged = entries();
        ok(await customer.client.post(`/orders/${own.id}/cancel`, {}));
        assert.equal(entries(), unchanged);
    });

    test("a repeat by its Idempotency-Key leaves none, a refund at a provider one", async () => {
        const key = newId();
        const body = { name: unique("C ") };
        ok(await admin.post("/categories", body, { key }), 201);
        const product = await shop.product();
        const cart = await shop.cartOf(shop.guest, { productId: product.id, quantity: 1 });
        const order = ok(await shop.guest.post(`/checkout/${cart.id}`, cardBody(CARD_APPROVED)), 201);
        const before = entries();
        ok(await admin.post("/categories", body, { key }), 201);
        assert.equal(entries(), before);
        const refund = newId();
        for (let i = 0; i < 2; i++) ok(await admin.post(`/orders/${order.id}/refunds`, { amount: usd(1) }, { key: refund }), 201);
        assert.equal(entries(), before + 1);
    });
});

describe("reading it", () => {
    test("newest first, by cursor, filtered", async () => {
        const { client, id } = await shop.staffWith("catalogue:write");
        const names: string[] = [];
        for (let i = 0; i < 5; i++) {
            names.unshift(unique("C "));
            ok(await client.post("/categories", { name: names[0] }), 201);
        }
        const mine = await everyPage(admin, "/audit-log", { actorId: id, limit: 2 });
        assert.deepEqual(mine.map((one) => one.after.name), names);
        const one = mine[2];
        assert.deepEqual((await everyPage(admin, "/audit-log", { resourceKind: "category", resourceId: one.resourceId })).map((entry) => entry.id), [one.id]);
        const since = await everyPage(admin, "/audit-log", { actorId: id, "createdAt[gte]": one.at, "createdAt[lte]": one.at });
        assert.ok(since.some((entry) => entry.id === one.id) && since.every((entry) => entry.at === one.at));
        const reply = await admin.get("/audit-log", { query: { actorId: id } });
        assert.equal((await admin.get("/audit-log", { query: { actorId: id }, etag: etagOf(reply) })).status, 304);
        assert.deepEqual(await everyPage(admin, "/audit-log", { actorId: newId() }), []);
    });

    test("bad parameters are named, a cursor fits its own list only", async () => {
        invalid(await admin.get("/audit-log", { query: { actorId: "me" } }), "actorId");
        invalid(await admin.get("/audit-log", { query: { "createdAt[gte]": "yesterday" } }), "createdAt[gte]");
        invalid(await admin.get("/audit-log", { query: { resourceId: "x" } }), "resourceKind");
        const cursor = (await admin.get("/audit-log", { query: { limit: 1 } })).body.pagination.nextCursor;
        ok(await admin.get("/audit-log", { query: { limit: 1, cursor } }));
        invalid(await admin.get("/audit-log", { query: { limit: 1, cursor, resourceKind: "role" } }), "cursor");
    });

    test("is for those with its scope", async () => {
        const staff = await shop.staff();
        refused(await staff.client.get("/audit-log"), 403, "FORBIDDEN");
        ok(await (await shop.staffWith("audit:read")).client.get("/audit-log"));
    });
});
