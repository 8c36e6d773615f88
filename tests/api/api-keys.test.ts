// Keys of programs and their plans: what they may do, how they are limited, and that what has ended has ended.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, test } from "node:test";
import { Client, etagOf, invalid, ok, refused, type Json, type Reply } from "../support/client.ts";
import { operations } from "../support/contract.ts";
import { sqlHex, sqlUuid } from "../support/database.ts";
import { notOverLambda } from "../support/lambda-shop.ts";
import { eventually } from "../support/server.ts";
import { Shop, checkoutBody, newId, parallel, unique, usd, type Account } from "../support/shop.ts";

const MEMORY = notOverLambda("each copy remembers a good key for a second");
const COUNTS = notOverLambda("uses are told to the database after the answer, and the next request may be there first");
const RATES = notOverLambda("copies count together only by Redis, and no client says its own address there");
const KEY_SCOPES = ["catalogue:write", "inventory:write", "orders:read", "orders:write", "customers:read", "settings:read"];

let shop: Shop;
let admin: Client;
before(async () => {
    shop = await Shop.open();
    admin = shop.admin.client;
});
after(() => shop?.close());

const makeKey = async (input: Record<string, unknown> = {}): Promise<Json> => ok(await admin.post("/api-keys", { kind: "secret", name: unique("Key "), ...input }), 201);
const makePlan = async (input: Record<string, unknown> = {}): Promise<Json> => ok(await admin.post("/plans", { name: unique("Plan "), ...input }), 201);
const withKey = (key: string) => ({ headers: { "x-api-key": key } });
const dead = (reply: Reply) => {
    refused(reply, 401, "UNAUTHENTICATED");
    assert.match(reply.headers.get("www-authenticate") ?? "", /^Bearer realm="souk", error="invalid_token"$/);
};
const monthNow = () => new Date().toISOString().slice(0, 7);

describe("plans", () => {
    test("made with what is said, and documented defaults", async () => {
        const plan = await makePlan();
        assert.deepEqual([plan.ratePerMinute, plan.burst, plan.monthlyQuota, plan.quotaBinds, plan.description], [1000, 1000, 1_000_000, "secret", ""]);
        const said = await makePlan({ description: "For partners", ratePerMinute: 60, burst: 5, monthlyQuota: null, quotaBinds: "all" });
        assert.deepEqual([said.ratePerMinute, said.burst, said.monthlyQuota, said.quotaBinds, said.description], [60, 5, null, "all", "For partners"]);
        assert.deepEqual(ok(await admin.get(`/plans/${said.id}`)), said);
        const reply = await admin.get(`/plans/${said.id}`);
        assert.equal((await admin.get(`/plans/${said.id}`, { etag: etagOf(reply) })).status, 304);
        const list = await admin.get("/plans", { query: { limit: 1 } });
        assert.equal(ok(list).length, 1);
        const rest = await admin.get("/plans", { query: { limit: 100, cursor: list.body.pagination.nextCursor } });
        assert.ok(ok(rest).some((one: Json) => one.id === said.id));
        assert.equal((await admin.get("/plans", { query: { limit: 1 }, etag: etagOf(list) })).status, 304);
        invalid(await admin.get("/plans", { query: { cursor: "made up" } }), "cursor");
    });

    test("one name, one plan; bad limits are named", async () => {
        const plan = await makePlan();
        const other = await makePlan();
        refused(await admin.post("/plans", { name: plan.name }), 409, "PLAN_NAME_TAKEN");
        refused(await admin.patch(`/plans/${other.id}`, { name: plan.name }), 409, "PLAN_NAME_TAKEN");
        invalid(await admin.post("/plans", { name: "x", ratePerMinute: 0, burst: 0, monthlyQuota: 0, quotaBinds: "none" }), "ratePerMinute", "burst", "monthlyQuota", "quotaBinds");
        invalid(await admin.patch(`/plans/${other.id}`, { burst: -1 }), "burst");
        refused(await admin.get(`/plans/${newId()}`), 404, "PLAN_NOT_FOUND");
        refused(await admin.patch(`/plans/${newId()}`, { burst: 1 }), 404, "PLAN_NOT_FOUND");
        refused(await admin.delete(`/plans/${newId()}`), 404, "PLAN_NOT_FOUND");
    });

    test("changed under If-Match, deleted only when no key is on it", async () => {
        const plan = await makePlan();
        const tag = etagOf(await admin.get(`/plans/${plan.id}`));
        const changed = ok(await admin.patch(`/plans/${plan.id}`, { burst: 7, monthlyQuota: null, description: "d" }, { ifMatch: tag }));
        assert.deepEqual([changed.burst, changed.monthlyQuota, changed.description, changed.ratePerMinute, changed.name], [7, null, "d", 1000, plan.name]);
        refused(await admin.patch(`/plans/${plan.id}`, { burst: 8 }, { ifMatch: tag }), 412, "PRECONDITION_FAILED");
        refused(await admin.delete(`/plans/${plan.id}`, { ifMatch: tag }), 412, "PRECONDITION_FAILED");
        const key = await makeKey({ planId: plan.id });
        refused(await admin.delete(`/plans/${plan.id}`), 409, "PLAN_IN_USE");
        ok(await admin.patch(`/api-keys/${key.id}`, { planId: (await makePlan()).id }));
        ok(await admin.delete(`/plans/${plan.id}`), 204);
        refused(await admin.get(`/plans/${plan.id}`), 404, "PLAN_NOT_FOUND");
    });

    test("there is a limit to their number", async () => {
        const count = shop.server.database.number("SELECT COUNT(*) FROM plans");
        for (let i = count; i < 100; i++) await makePlan();
        refused(await admin.post("/plans", { name: "one more" }), 409, "LIMIT_REACHED");
        for (const plan of ok(await admin.get("/plans", { query: { limit: 100 } }))) {
            if (plan.name.startsWith("Plan ")) await admin.delete(`/plans/${plan.id}`);
        }
    });
});

describe("making and showing keys", () => {
    test("the text is shown once and stored as a hash", async () => {
        const key = await makeKey({ scopes: ["orders:read", "catalogue:write"] });
        assert.match(key.key, /^sk_[A-Za-z0-9_-]{43}$/);
        assert.deepEqual([key.kind, key.status, key.prefix, key.last4], ["secret", "active", key.key.slice(0, 7), key.key.slice(-4)]);
        assert.deepEqual(key.scopes, ["catalogue:write", "orders:read"]);
        assert.deepEqual([key.expiresAt, key.revokedAt, key.previousValidUntil, key.lastUsedAt, key.createdBy], [null, null, null, null, shop.admin.id]);
        const { key: text, ...shown } = key;
        const reply = await admin.get(`/api-keys/${key.id}`);
        assert.deepEqual(ok(reply), shown);
        assert.equal((await admin.get(`/api-keys/${key.id}`, { etag: etagOf(reply) })).status, 304);
        const list = await admin.get("/api-keys");
        assert.ok(!list.text.includes(text.slice(3)));
        assert.deepEqual(ok(list)[0], shown, "newest first");
        assert.equal((await admin.get("/api-keys", { etag: etagOf(list) })).status, 304);
        assert.ok(!shop.server.database.everything().includes(text), "nor in the audit log");
        const hash = createHash("sha256").update(text).digest("hex");
        assert.equal(shop.server.database.number(`SELECT COUNT(*) FROM api_key_secrets WHERE ${sqlHex("hash")} = '${hash}'`), 1);
        assert.equal(ok(await admin.get(`/plans/${key.planId}`)).name, "Standard");
        assert.equal((await makeKey()).planId, key.planId, "there is one of it");
    });

    test("filters and pages", async () => {
        const plan = await makePlan();
        const keys = [await makeKey({ planId: plan.id }), await makeKey({ planId: plan.id }), await makeKey({ planId: plan.id, expiresAt: new Date(Date.now() + 1500).toISOString() })];
        ok(await admin.post(`/api-keys/${keys[0].id}/revoke`));
        await sleep(1700);
        const ids = async (query: Record<string, string | number>) => ok(await admin.get("/api-keys", { query: { planId: plan.id, ...query } })).map((one: Json) => one.id);
        assert.deepEqual(await ids({}), [keys[2].id, keys[1].id, keys[0].id]);
        assert.deepEqual(await ids({ status: "revoked" }), [keys[0].id]);
        assert.deepEqual(await ids({ status: "active" }), [keys[1].id]);
        assert.deepEqual(await ids({ status: "expired" }), [keys[2].id]);
        const first = await admin.get("/api-keys", { query: { planId: plan.id, limit: 2 } });
        const second = await admin.get("/api-keys", { query: { planId: plan.id, limit: 2, cursor: first.body.pagination.nextCursor } });
        assert.deepEqual([...ok(first), ...ok(second)].map((one: Json) => one.id), [keys[2].id, keys[1].id, keys[0].id]);
        invalid(await admin.get("/api-keys", { query: { limit: 2, cursor: first.body.pagination.nextCursor } }), "cursor");
    });

    test("what cannot be is named", async () => {
        invalid(await admin.post("/api-keys", { name: "" }), "kind", "name");
        invalid(await admin.post("/api-keys", { kind: "publishable", name: "x", scopes: ["orders:read"] }), "scopes");
        invalid(await admin.post("/api-keys", { kind: "secret", name: "x", scopes: ["settings:write"] }), "scopes[0]");
        invalid(await admin.post("/api-keys", { kind: "secret", name: "x", planId: newId() }), "planId");
        invalid(await admin.post("/api-keys", { kind: "secret", name: "x", expiresAt: "2020-01-01T00:00:00Z" }), "expiresAt");
        invalid(await admin.post("/api-keys", { kind: "secret", name: "x" }, { key: "twice" }), "Idempotency-Key");
        const key = await makeKey();
        invalid(await admin.patch(`/api-keys/${key.id}`, { name: "", expiresAt: "soon" }), "name", "expiresAt");
        invalid(await admin.post(`/api-keys/${key.id}/rotate`, { overlapSeconds: -1 }), "overlapSeconds");
        const none = newId();
        for (const reply of [await admin.get(`/api-keys/${none}`), await admin.patch(`/api-keys/${none}`, { name: "x" }), await admin.post(`/api-keys/${none}/rotate`, { overlapSeconds: 0 }),
            await admin.post(`/api-keys/${none}/revoke`), await admin.get(`/api-keys/${none}/usage`)]) refused(reply, 404, "API_KEY_NOT_FOUND");
    });

    test("nobody gives a key what they have not", async () => {
        const role = unique("keymaster");
        ok(await admin.post("/roles", { name: role, description: "", scopes: ["settings:read", "settings:write"] }), 201);
        const account = await shop.register();
        ok(await admin.patch(`/users/${account.id}`, { role }));
        const keeper = ok(await shop.guest.post("/auth/login", { email: account.email, password: account.password })).accessToken as string;
        const client = shop.guest.as(keeper);
        const key = ok(await client.post("/api-keys", { kind: "secret", name: "small", scopes: ["settings:read"] }), 201);
        refused(await client.post("/api-keys", { kind: "secret", name: "large", scopes: ["settings:read", "orders:read"] }), 403, "FORBIDDEN");
        refused(await client.patch(`/api-keys/${key.id}`, { scopes: ["orders:read"] }), 403, "FORBIDDEN");
        assert.deepEqual(ok(await client.get(`/api-keys/${key.id}`)).scopes, ["settings:read"]);
    });
});

describe("what a secret key may do", () => {
    let customer: Account;
    before(async () => { customer = await shop.register(); });

    const call = (operation: (typeof operations)[number], headers: Record<string, string>) =>
        shop.guest.request(operation.method, operation.path.replace(/\{[^}]+\}/g, () => newId()), operation.body?.example, { headers });

    test("every operation: with its scope and no other, and never what an account has", async () => {
        const all = (await makeKey({ scopes: KEY_SCOPES })).key as string;
        const none = (await makeKey({ scopes: [] })).key as string;
        for (const operation of operations) {
            const { access, scope } = operation.souk;
            const reply = await call(operation, { "x-api-key": all });
            const bare = await call(operation, { "x-api-key": none });
            assert.ok(reply.status < 500 && bare.status < 500, `${operation.id}: ${reply.text} ${bare.text}`);
            if (access === "public" || access === "anyone") {
                if (!["authLogin", "authRefresh"].includes(operation.id)) assert.ok(![401, 403].includes(bare.status), `${operation.id}: ${bare.text}`);
                continue;
            }
            refused(bare, 403, "FORBIDDEN");
            if (scope !== undefined && KEY_SCOPES.includes(scope)) assert.ok(![401, 403].includes(reply.status), `${operation.id}: ${reply.text}`);
            else refused(reply, 403, "FORBIDDEN");
        }
    });

    test("each scope opens its own operations alone", async () => {
        for (const given of KEY_SCOPES) {
            const key = (await makeKey({ scopes: [given] })).key as string;
            for (const operation of operations.filter((one) => one.souk.access === "staff")) {
                const reply = await call(operation, { "x-api-key": key });
                if (operation.souk.scope === given) assert.ok(![401, 403].includes(reply.status), `${operation.id} with ${given}: ${reply.text}`);
                else refused(reply, 403, "FORBIDDEN");
            }
        }
    });

    test("either way of sending it, one caller at a time", async () => {
        const key = (await makeKey({ scopes: ["settings:read"] })).key as string;
        const token = customer.session.accessToken as string;
        ok(await shop.guest.get("/settings", withKey(key)));
        ok(await shop.guest.as(key).get("/settings"));
        refused(await shop.guest.as(token).get("/settings", withKey(key)), 400, "MALFORMED_REQUEST");
        refused(await shop.guest.as(key).get("/settings", withKey(key)), 400, "MALFORMED_REQUEST");
        const publishable = (await makeKey({ kind: "publishable" })).key as string;
        refused(await shop.guest.as(key).get("/settings", withKey(publishable)), 400, "MALFORMED_REQUEST");
    });

    test("a customer's cart, order and account are not its own", async () => {
        const key = shop.guest.as((await makeKey({ scopes: KEY_SCOPES })).key);
        const product = await shop.product();
        const cart = await shop.cartOf(customer.client, { productId: product.id, quantity: 1 });
        refused(await key.get(`/cart/${cart.id}`), 404, "CART_NOT_FOUND");
        refused(await key.post(`/checkout/${cart.id}`, checkoutBody()), 404, "CART_NOT_FOUND");
        refused(await key.get("/users/me"), 403, "FORBIDDEN");
        const order = await shop.order(customer.client, product);
        assert.equal(ok(await key.get(`/orders/${order.id}`)).id, order.id, "it has orders:read");
        assert.equal(ok(await key.get(`/users/${customer.id}`)).id, customer.id, "and customers:read");
        const small = shop.guest.as((await makeKey({ scopes: ["catalogue:write"] })).key);
        refused(await small.get(`/orders/${order.id}`), 403, "FORBIDDEN");
        refused(await small.get("/orders"), 403, "FORBIDDEN");
        refused(await small.get(`/users/${customer.id}`), 403, "FORBIDDEN");
        const guestCart = await shop.cartOf(key, { productId: product.id, quantity: 1 });
        ok(await shop.guest.get(`/cart/${guestCart.id}`), 200);
    });

    test("what it does is recorded as its own", async () => {
        const made = await makeKey({ scopes: ["inventory:write", "catalogue:write", "orders:read", "orders:write"] });
        const key = shop.guest.as(made.key);
        const product = ok(await key.post("/products", { name: unique("By key "), price: usd(100), stock: 3 }), 201);
        const adjustments = `/products/${product.id}/variants/${product.variants[0].id}/stock-adjustments`;
        ok(await key.post(adjustments, { delta: 2, reason: "count" }), 201);
        assert.deepEqual(ok(await key.get(adjustments)).map((one: Json) => one.actorId), [made.id, made.id]);
        const entry = ok(await admin.get("/audit-log", { query: { actorId: made.id } }))[0];
        assert.deepEqual(entry.actor, { kind: "api_key", id: made.id });
        const order = await shop.order(shop.guest, product);
        ok(await key.post(`/orders/${order.id}/confirm`));
        assert.equal(shop.server.database.number(`SELECT COUNT(*) FROM order_events WHERE actor = 'staff' AND actor_id = ${sqlUuid(made.id)}`), 1);
    });

    test("only keys that change the catalogue see what is not for sale", async () => {
        const hidden = await shop.product({ isActive: false });
        for (const [scopes, status] of [[["orders:read"], 404], [["catalogue:write"], 200], [["inventory:write"], 200], [[], 404]] as const) {
            const key = shop.guest.as((await makeKey({ scopes })).key);
            for (let i = 0; i < 2; i++) assert.equal((await key.get(`/products/${hidden.id}`)).status, status, scopes.join());
        }
    });

    test("its Idempotency-Keys are its own", async () => {
        const [one, two] = [shop.guest.as((await makeKey()).key), shop.guest.as((await makeKey()).key)];
        const carts = await Promise.all([one, two].map(async (client) => await shop.cartOf(client, { productId: (await shop.product()).id, quantity: 1 })));
        const item = ok(await one.get(`/cart/${carts[0]!.id}`)).items[0];
        const first = await one.post(`/cart/${carts[0]!.id}/items`, { variantId: item.variantId, quantity: 1 }, { key: "shared" });
        const again = await one.post(`/cart/${carts[0]!.id}/items`, { variantId: item.variantId, quantity: 1 }, { key: "shared" });
        const other = await two.post(`/cart/${carts[0]!.id}/items`, { variantId: item.variantId, quantity: 1 }, { key: "shared" });
        assert.deepEqual([first.status, again.headers.get("idempotent-replayed"), other.headers.get("idempotent-replayed")], [201, "true", null]);
        assert.equal(ok(other, 201).items[0].quantity, 3);
    });
});

describe("a publishable key", () => {
    test("goes beside the caller and opens nothing", async () => {
        const key = (await makeKey({ kind: "publishable" })).key as string;
        assert.match(key, /^pk_/);
        const customer = await shop.register();
        for (const operation of operations.filter((one) => one.souk.access === "staff" || one.souk.access === "customer")) {
            const target = operation.path.replace(/\{[^}]+\}/g, () => newId());
            refused(await shop.guest.request(operation.method, target, operation.body?.example, withKey(key)), 401, "UNAUTHENTICATED");
            if (operation.souk.access === "staff") refused(await customer.client.request(operation.method, target, operation.body?.example, withKey(key)), 403, "FORBIDDEN");
        }
        ok(await shop.guest.get("/products", withKey(key)));
        assert.equal(ok(await customer.client.get("/users/me", withKey(key))).id, customer.id);
        dead(await shop.guest.as(key).get("/products"));
    });
});

describe("a key that is not good", () => {
    test("is 401 everywhere, also where nobody needs one", async () => {
        const good = (await makeKey()).key as string;
        const bad = ["", "sk_", "pk_", `sk_${"A".repeat(43)}`, `pk_${"A".repeat(43)}`, good.slice(0, -1), `${good}A`, good.toUpperCase(), `pk_${good.slice(3)}`, `sk_${"A".repeat(42)}=`,
            `${good.slice(0, -1)}${good.endsWith("A") ? "B" : "A"}`, "x".repeat(5000)];
        const product = await shop.product();
        for (const key of bad) {
            dead(await shop.guest.get(`/products/${product.id}`, withKey(key)));
            dead(await shop.guest.post("/cart", {}, withKey(key)));
            dead(await shop.admin.client.get("/settings", withKey(key.startsWith("sk_") ? "pk_not_good" : key)));
        }
        const { status } = await shop.guest.get("/health/live", withKey(bad[3]!));
        assert.equal(status, 401);
    });

    test("revoked: at once, for good, and whatever was rotated", { skip: MEMORY }, async () => {
        const made = await makeKey({ scopes: ["settings:read"] });
        for (let i = 0; i < 3; i++) ok(await shop.guest.as(made.key).get("/settings"));
        const rotated = ok(await admin.post(`/api-keys/${made.id}/rotate`, { overlapSeconds: 3600 }));
        ok(await shop.guest.as(made.key).get("/settings"));
        ok(await shop.guest.as(rotated.key).get("/settings"));
        const revoked = ok(await admin.post(`/api-keys/${made.id}/revoke`));
        dead(await shop.guest.as(made.key).get("/settings"));
        dead(await shop.guest.as(rotated.key).get("/settings"));
        assert.equal(revoked.status, "revoked");
        assert.ok(revoked.revokedAt !== null && revoked.previousValidUntil === null);
        const again = ok(await admin.post(`/api-keys/${made.id}/revoke`));
        assert.deepEqual({ ...again, lastUsedAt: null }, { ...revoked, lastUsedAt: null }, "once is enough");
        refused(await admin.patch(`/api-keys/${made.id}`, { name: "again" }), 409, "API_KEY_INACTIVE");
        refused(await admin.post(`/api-keys/${made.id}/rotate`, { overlapSeconds: 0 }), 409, "API_KEY_INACTIVE");
    });

    test("expired: by the second, and not before it is given more time", async () => {
        const made = await makeKey({ scopes: ["settings:read"], expiresAt: new Date(Date.now() + 1500).toISOString() });
        ok(await shop.guest.as(made.key).get("/settings"));
        await sleep(1700);
        dead(await shop.guest.as(made.key).get("/settings"));
        assert.equal(ok(await admin.get(`/api-keys/${made.id}`)).status, "expired");
        refused(await admin.post(`/api-keys/${made.id}/rotate`, { overlapSeconds: 0 }), 409, "API_KEY_INACTIVE");
        ok(await admin.patch(`/api-keys/${made.id}`, { expiresAt: null }));
        ok(await shop.guest.as(made.key).get("/settings"));
    });

    test("rotated: the old text ends with its overlap", async () => {
        const made = await makeKey({ scopes: ["settings:read"] });
        ok(await shop.guest.as(made.key).get("/settings"));
        const second = ok(await admin.post(`/api-keys/${made.id}/rotate`, { overlapSeconds: 2 }));
        assert.equal(second.id, made.id);
        assert.notEqual(second.key, made.key);
        assert.deepEqual([second.prefix, second.last4], [second.key.slice(0, 7), second.key.slice(-4)]);
        assert.ok(Date.parse(second.previousValidUntil) > Date.now());
        ok(await shop.guest.as(made.key).get("/settings"));
        await sleep(2200);
        dead(await shop.guest.as(made.key).get("/settings"));
        const third = ok(await admin.post(`/api-keys/${made.id}/rotate`, { overlapSeconds: 0 }));
        dead(await shop.guest.as(second.key).get("/settings"));
        ok(await shop.guest.as(third.key).get("/settings"));
        assert.equal(third.previousValidUntil, null);
        for (let i = 0; i < 9; i++) ok(await admin.post(`/api-keys/${made.id}/rotate`, { overlapSeconds: 3600 }));
        refused(await admin.post(`/api-keys/${made.id}/rotate`, { overlapSeconds: 3600 }), 409, "LIMIT_REACHED");
        ok(await shop.guest.as(third.key).get("/settings"));
    });
});

test("a change of a key holds from its next request on", { skip: MEMORY }, async () => {
    const made = await makeKey({ scopes: ["settings:read"] });
    const client = shop.guest.as(made.key);
    for (let i = 0; i < 2; i++) ok(await client.get("/settings"));
    const tag = etagOf(await admin.get(`/api-keys/${made.id}`));
    const changed = ok(await admin.patch(`/api-keys/${made.id}`, { scopes: ["orders:read"], name: "Renamed" }, { ifMatch: tag }));
    assert.deepEqual([changed.name, changed.scopes], ["Renamed", ["orders:read"]]);
    refused(await client.get("/settings"), 403, "FORBIDDEN");
    ok(await client.get("/orders"));
    refused(await admin.patch(`/api-keys/${made.id}`, { name: "Late" }, { ifMatch: tag }), 412, "PRECONDITION_FAILED");
});

describe("races", () => {
    test("rotations at the same time: the newest text is one, and all that are good were shown", async () => {
        const made = await makeKey({ scopes: ["settings:read"] });
        const replies = await parallel(6, () => admin.post(`/api-keys/${made.id}/rotate`, { overlapSeconds: 600 }));
        const texts = replies.filter((one) => one.status === 200).map((one) => ok(one).key as string);
        assert.ok(texts.length >= 1);
        for (const reply of replies.filter((one) => one.status !== 200)) assert.ok([409, 503].includes(reply.status), reply.text);
        const now = ok(await admin.get(`/api-keys/${made.id}`));
        assert.equal(texts.filter((text) => text.endsWith(now.last4) && text.startsWith(now.prefix)).length, 1);
        for (const text of [made.key, ...texts]) ok(await shop.guest.as(text).get("/settings"));
    });

    test("rotated and revoked at the same time: nothing of it is good", { skip: MEMORY }, async () => {
        for (let round = 0; round < 5; round++) {
            const made = await makeKey({ scopes: ["settings:read"] });
            ok(await shop.guest.as(made.key).get("/settings"));
            const replies = await Promise.all([0, 1, 2, 3].map((i) => i === 2 ? admin.post(`/api-keys/${made.id}/revoke`) : admin.post(`/api-keys/${made.id}/rotate`, { overlapSeconds: 600 })));
            assert.equal(replies[2]!.status, 200);
            for (const text of [made.key, ...replies.filter((one) => one.status === 200 && one.body.data.key).map((one) => one.body.data.key as string)]) dead(await shop.guest.as(text).get("/settings"));
        }
    });

    test("used while it is revoked: once it was refused it stays so", { skip: MEMORY }, async () => {
        const made = await makeKey({ scopes: ["settings:read"] });
        const client = shop.guest.as(made.key);
        let isRevoked = false;
        let seen = 0;
        const users = [0, 1, 2, 3].map(async () => {
            for (let i = 0; i < 60; i++) {
                const was = isRevoked;
                const { status } = await client.get("/settings");
                if (was) assert.equal(status, 401);
                else seen++;
            }
        });
        ok(await admin.post(`/api-keys/${made.id}/revoke`));
        isRevoked = true;
        await Promise.all(users);
        assert.ok(seen > 0);
        dead(await client.get("/settings"));
    });
});

describe("usage", () => {
    test("is counted, live, by month", { skip: COUNTS }, async () => {
        const made = await makeKey({ scopes: ["settings:read"] });
        const client = shop.guest.as(made.key);
        const usage = async () => ok(await admin.get(`/api-keys/${made.id}/usage`));
        const fresh = await usage();
        assert.deepEqual([fresh.current.month, fresh.current.requests, fresh.current.quota, fresh.current.remaining, fresh.months], [monthNow(), 0, 1_000_000, 1_000_000, []]);
        assert.equal(Date.parse(fresh.current.resetsAt), Date.UTC(new Date().getUTCFullYear(), new Date().getUTCMonth() + 1));
        for (let i = 0; i < 7; i++) ok(await client.get("/settings"));
        refused(await client.get("/users/me"), 403, "FORBIDDEN");
        assert.deepEqual((await usage()).current.requests, 8, "before it is written");
        await eventually("it is in the database", () => shop.server.database.number(`SELECT COALESCE(SUM(requests), 0) FROM api_key_usage WHERE key_id = ${sqlUuid(made.id)}`) >= 8 || undefined, 5000);
        const told = await usage();
        assert.deepEqual([told.current.requests, told.current.remaining], [8, 999_992]);
        assert.deepEqual([told.months.length, told.months[0].month], [1, monthNow()]);
        const reply = await admin.get(`/api-keys/${made.id}/usage`);
        assert.equal((await admin.get(`/api-keys/${made.id}/usage`, { etag: etagOf(reply) })).status, 304);
        const shown = ok(await admin.get(`/api-keys/${made.id}`));
        assert.ok(Math.abs(Date.parse(shown.lastUsedAt) - Date.now()) < 60_000);
    });

    test("a quota that is used up is 429 until the month ends, and more of it opens again", { skip: COUNTS }, async () => {
        const plan = await makePlan({ monthlyQuota: 5 });
        const made = await makeKey({ planId: plan.id, scopes: ["settings:read"] });
        const client = shop.guest.as(made.key);
        for (let i = 0; i < 5; i++) {
            const reply = await client.get("/settings");
            assert.equal(reply.status, 200);
            const month = new RegExp(`"quota";q=5;w=\\d+`);
            assert.match(reply.headers.get("ratelimit-policy") ?? "", month);
            assert.match(reply.headers.get("ratelimit") ?? "", new RegExp(`"quota";r=${4 - i};t=\\d+`));
        }
        for (let i = 0; i < 2; i++) {
            const reply = await client.get("/settings");
            refused(reply, 429, "QUOTA_EXCEEDED");
            const wait = Number(reply.headers.get("retry-after"));
            const left = (Date.UTC(new Date().getUTCFullYear(), new Date().getUTCMonth() + 1) - Date.now()) / 1000;
            assert.ok(Math.abs(wait - left) < 10, `${wait}, ${left}`);
            assert.equal(reply.body.retryAfterSeconds, wait);
        }
        const usage = ok(await admin.get(`/api-keys/${made.id}/usage`));
        assert.deepEqual([usage.current.requests, usage.current.quota, usage.current.remaining], [5, 5, 0]);
        ok(await admin.patch(`/plans/${plan.id}`, { monthlyQuota: 6 }));
        ok(await client.get("/settings"));
        refused(await client.get("/settings"), 429, "QUOTA_EXCEEDED");
        ok(await admin.patch(`/plans/${plan.id}`, { monthlyQuota: null }));
        ok(await client.get("/settings"));
        assert.deepEqual(ok(await admin.get(`/api-keys/${made.id}/usage`)).current.quota, null);
    });

    test("a quota binds publishable keys only where the plan says so", { skip: COUNTS }, async () => {
        const plan = await makePlan({ monthlyQuota: 2 });
        const key = (await makeKey({ kind: "publishable", planId: plan.id })).key as string;
        for (let i = 0; i < 5; i++) ok(await shop.guest.get("/categories", withKey(key)));
        ok(await admin.patch(`/plans/${plan.id}`, { quotaBinds: "all" }));
        refused(await shop.guest.get("/categories", withKey(key)), 429, "QUOTA_EXCEEDED");
    });

    test("what was counted is there after a stop, and a quota that was used up stays so", async () => {
        const other = await Shop.open();
        try {
            const plan = ok(await other.admin.client.post("/plans", { name: "small", monthlyQuota: 3 }), 201);
            const made = ok(await other.admin.client.post("/api-keys", { kind: "secret", name: "k", planId: plan.id, scopes: ["settings:read"] }), 201);
            for (let i = 0; i < 3; i++) ok(await other.guest.as(made.key).get("/settings"));
            assert.deepEqual(await other.server.terminate(), { code: 0, signal: null });
            await other.server.launch();
            refused(await new Client(other.server.url).as(made.key).get("/settings"), 429, "QUOTA_EXCEEDED");
        } finally {
            await other.close();
        }
    });
});

test("the rate of a plan: one bucket for a secret key, one for each address of a publishable one", { skip: RATES }, async () => {
    const limited = await Shop.open({ env: { SOUK_RATE_LIMIT: "on", SOUK_TRUSTED_PROXIES: "127.0.0.1" } });
    try {
        const boss = limited.admin.client;
        const plan = ok(await boss.post("/plans", { name: "slow", ratePerMinute: 6, burst: 3 }), 201);
        const make = async (kind: string) => ok(await boss.post("/api-keys", { kind, name: kind, planId: plan.id }), 201).key as string;
        const asked = async (key: string, address: string) => await limited.guest.get("/categories", { headers: { "x-api-key": key, "x-forwarded-for": address } });
        const [secret, publishable] = [await make("secret"), await make("publishable")];
        for (let i = 0; i < 3; i++) assert.equal((await asked(secret, `203.0.113.${i}`)).status, 200);
        const refusal = await asked(secret, "203.0.113.9");
        refused(refusal, 429, "RATE_LIMIT_EXCEEDED");
        assert.match(refusal.headers.get("ratelimit-policy") ?? "", /^"read";q=1000;w=60, "key";q=3;w=30$/);
        assert.match(refusal.headers.get("ratelimit") ?? "", /, "key";r=0;t=\d+$/);
        assert.ok(Number(refusal.headers.get("retry-after")) <= 10);
        for (let i = 0; i < 3; i++) assert.equal((await asked(publishable, "203.0.113.20")).status, 200);
        assert.equal((await asked(publishable, "203.0.113.20")).status, 429);
        assert.equal((await asked(publishable, "203.0.113.21")).status, 200, "a visitor empties nobody else's");
        // and a key that is not good takes of nobody's but the address's own
        for (let i = 0; i < 5; i++) assert.equal((await asked(`${secret.slice(0, -2)}zz`, "203.0.113.30")).status, 401);
    } finally {
        await limited.close();
    }
});

test("a publishable key never widens what an address may ask", async () => {
    const limited = await Shop.open({ env: { SOUK_RATE_LIMIT: "on", SOUK_RATE_PER_MINUTE: "4" } });
    try {
        const boss = limited.admin.client;
        const key = ok(await boss.post("/api-keys", { kind: "publishable", name: "p" }), 201).key as string;
        const statuses = [];
        for (let i = 0; i < 8; i++) statuses.push((await limited.guest.get("/categories", withKey(key))).status);
        assert.ok(statuses.filter((status) => status === 429).length >= 4, statuses.join());
    } finally {
        await limited.close();
    }
});

test("there is a limit to the number of keys", async () => {
    const other = await Shop.open();
    try {
        const made = ok(await other.admin.client.post("/api-keys", { kind: "secret", name: "first" }), 201);
        const ids = Array.from({ length: 999 }, (_, i) => sqlUuid(`00000000-0000-7000-8000-${String(i).padStart(12, "0")}`));
        for (let i = 0; i < ids.length; i += 333) {
            other.server.sql(`INSERT INTO api_keys (id, kind, name, plan_id, created_by, created_at, updated_at)
                SELECT made.id, k.kind, k.name, k.plan_id, k.created_by, k.created_at, k.updated_at
                FROM api_keys k CROSS JOIN (${ids.slice(i, i + 333).map((id) => `SELECT ${id} AS id`).join(" UNION ALL ")}) made WHERE k.id = ${sqlUuid(made.id)}`);
        }
        refused(await other.admin.client.post("/api-keys", { kind: "secret", name: "x" }), 409, "LIMIT_REACHED");
        ok(await other.admin.client.post(`/api-keys/${made.id}/revoke`));
        ok(await other.admin.client.post("/api-keys", { kind: "secret", name: "x" }), 201);
    } finally {
        await other.close();
    }
});
