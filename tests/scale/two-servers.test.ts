// Two servers of one shop, on one PostgreSQL and one Redis: what is done through one is seen and counted by the other, and together
// they sell no more than there is.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, test } from "node:test";
import { checkBooks } from "../support/books.ts";
import { Client, ok, type Json } from "../support/client.ts";
import { databaseOf } from "../support/database.ts";
import { Server, eventually, temporaryFolder } from "../support/server.ts";
import { Shop, checkoutBody, logIn, parallel, usd } from "../support/shop.ts";

const SEEN_MS_MAX = 100;
const EDITS = 20;
const EDITS_LATE_MAX = 1; // a test's machine may be busy elsewhere once
const ATTEMPTS = 10_000;
const HOT_STOCK = 600;
const HOT_CARTS = 1_500;
const CLIENTS = 48;
const SKUS = 200;
const CHECKOUTS = 1_200;

let shop: Shop;
let second: Server;
let one: Client;
let two: Client;
before(async () => {
    shop = await Shop.open();
    second = await Server.start({ data: shop.server.data });
    one = shop.guest;
    two = new Client(second.url);
});
after(async () => {
    await second?.dispose();
    await shop?.close();
});

/** Runs tasks 0..count-1, `CLIENTS` at a time. */
async function crowd(count: number, task: (index: number) => Promise<void>): Promise<void> {
    let next = 0;
    await parallel(CLIENTS, async () => {
        for (let index = next++; index < count; index = next++) await task(index);
    });
}

/** How many PostgreSQL has counted in this database. */
const deadlocks = (): number => shop.server.database.number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()");

async function noDeadlockSince(before: number): Promise<void> {
    await sleep(1500); // PostgreSQL counts with a delay of a second at most
    assert.equal(deadlocks(), before);
}

describe("what one does, the other knows", () => {
    test(`a price edited through one is seen through the other within ${SEEN_MS_MAX} ms`, async () => {
        const product = await shop.product();
        const late: number[] = [];
        for (let edit = 1; edit <= EDITS; edit++) {
            // in the memory of both
            for (const client of [one, two, one, two]) ok(await client.get(`/products/${product.id}`));
            const price = usd(2000 + edit);
            ok(await shop.admin.client.patch(`/products/${product.id}`, { price }));
            const started = performance.now();
            await eventually("the new price is seen", async () => ok(await two.get(`/products/${product.id}`)).price.amount === price.amount || undefined, 2000);
            const list = ok(await two.get("/products", { query: { sort: "-createdAt" } }));
            assert.equal(list.find((entry: Json) => entry.id === product.id).price.amount, price.amount, "and in lists");
            const ms = performance.now() - started;
            if (ms > SEEN_MS_MAX) late.push(Math.round(ms));
        }
        assert.ok(late.length <= EDITS_LATE_MAX, `seen after ${late.join(", ")} ms`);
    });

    test("what is sold out through one cannot be sold by the other", async () => {
        const product = await shop.product({ stock: 1 });
        const carts = [await shop.cartOf(one, { productId: product.id, quantity: 1 }), await shop.cartOf(two, { productId: product.id, quantity: 1 })];
        ok(await one.post(`/checkout/${carts[0].id}`, checkoutBody()), 201);
        const refusal = await two.post(`/checkout/${carts[1].id}`, checkoutBody());
        assert.deepEqual([refusal.status, refusal.body.code], [409, "OUT_OF_STOCK"]);
        await eventually("both show it", async () => ok(await two.get(`/products/${product.id}`)).stock === 0 || undefined, 2000);
    });

    test("a token, a cart and an Idempotency-Key of one are good on the other; a session ended on one has ended", async () => {
        const me = await shop.register();
        const there = two.as(me.session.accessToken);
        assert.equal(ok(await there.get("/users/me")).id, me.id);
        const product = await shop.product();
        const cart = await shop.cartOf(one, { productId: product.id, quantity: 2 });
        assert.equal(ok(await two.get(`/cart/${cart.id}`)).items.length, 1);
        const first = await one.post(`/checkout/${cart.id}`, checkoutBody(), { key: "on both" });
        const again = await two.post(`/checkout/${cart.id}`, checkoutBody(), { key: "on both" });
        assert.deepEqual([again.status, again.text, again.headers.get("idempotent-replayed")], [201, first.text, "true"]);
        const session = (await logIn(two, me.email)).session;
        ok(await one.as(session.accessToken).post("/auth/logout"), 204);
        await eventually("the session has ended there as well", async () => (await two.as(session.accessToken).get("/users/me")).status === 401 || undefined, 5000);
        assert.equal((await there.get("/users/me")).status, 200, "the other one has not");
    });
});

describe("keys of programs", () => {
    const made = async (input: Record<string, unknown> = {}): Promise<Json> =>
        ok(await shop.admin.client.post("/api-keys", { kind: "secret", name: "on both", scopes: ["settings:read"], ...input }), 201);

    test(`a key revoked through one is refused by the other within ${SEEN_MS_MAX} ms`, async () => {
        const late: number[] = [];
        for (let round = 0; round < EDITS; round++) {
            const key = await made();
            // in the memory of both
            for (const client of [one, two, one, two]) ok(await client.as(key.key).get("/settings"));
            ok(await shop.admin.client.post(`/api-keys/${key.id}/revoke`));
            const started = performance.now();
            assert.equal((await one.as(key.key).get("/settings")).status, 401);
            await eventually("the other refuses it", async () => (await two.as(key.key).get("/settings")).status === 401 || undefined, 2000);
            const ms = performance.now() - started;
            if (ms > SEEN_MS_MAX) late.push(Math.round(ms));
        }
        assert.ok(late.length <= EDITS_LATE_MAX, `refused after ${late.join(", ")} ms`);
    });

    test("a plan changed through one holds on the other; a quota counts what both let through", async () => {
        const plan = ok(await shop.admin.client.post("/plans", { name: "of both", monthlyQuota: 40 }), 201);
        const key = await made({ planId: plan.id });
        const statuses: number[] = [];
        for (let i = 0; i < 60; i++) {
            statuses.push((await (i % 2 === 0 ? one : two).as(key.key).get("/settings")).status);
            await sleep(100); // so that the counts are told
        }
        const good = statuses.filter((status) => status === 200).length;
        assert.equal(statuses.filter((status) => status === 429).length, 60 - good);
        // what the other one let through since the last time that this one was told
        assert.ok(good >= 40 && good <= 40 + 10, `${good} were let through`);
        ok(await shop.admin.client.patch(`/plans/${plan.id}`, { monthlyQuota: null }));
        await eventually("both know", async () => {
            const both = [await one.as(key.key).get("/settings"), await two.as(key.key).get("/settings")];
            return both.every((reply) => reply.status === 200) || undefined;
        }, 2000);
    });
});

test("the rate limit counts across both", async () => {
    const limit = 60;
    const env = { SOUK_RATE_LIMIT: "on", SOUK_RATE_PER_MINUTE: String(limit) };
    const a = await Server.start({ env });
    const b = await Server.start({ env, data: a.data });
    try {
        const clients = [new Client(a.url), new Client(b.url)];
        const statuses: number[] = [];
        const started = Date.now();
        for (let i = 0; i < 3 * limit; i++) {
            statuses.push((await clients[i % 2]!.get("/categories")).status);
            await sleep(5);
        }
        const good = statuses.filter((status) => status === 200).length;
        assert.equal(statuses.filter((status) => status === 429).length, statuses.length - good);
        // what comes back while they ask, and what each may let through before it has heard of the other
        const refilled = Math.ceil((limit * (Date.now() - started)) / 60_000);
        assert.ok(good >= limit && good <= limit + refilled + limit / 10, `${good} of ${statuses.length} were let through; the limit is ${limit}`);
    } finally {
        await b.dispose();
        await a.dispose();
    }
});

describe("a rush on both", () => {
    test(`${ATTEMPTS} attempts at ${HOT_STOCK} pieces of one SKU: exactly these are sold`, { timeout: 180_000 }, async () => {
        const product = await shop.product({ stock: HOT_STOCK });
        const carts: string[] = [];
        await crowd(HOT_CARTS, async (i) => {
            carts[i] = (await shop.cartOf(i % 2 === 0 ? one : two, { productId: product.id, quantity: 1 })).id as string;
        });
        const open = [...carts]; // those that have not got a piece try again
        const orders = new Set<string>();
        const answers = new Map<string, number>();
        await crowd(ATTEMPTS, async (i) => {
            const cart = open.shift()!;
            const reply = await (i % 2 === 0 ? one : two).post(`/checkout/${cart}`, checkoutBody());
            const answer = reply.status === 201 ? "201" : `${reply.status} ${reply.body.code}`;
            answers.set(answer, (answers.get(answer) ?? 0) + 1);
            if (reply.status === 201) orders.add(reply.body.data.id as string);
            else open.push(cart);
        });
        assert.deepEqual(Object.fromEntries(answers), { 201: HOT_STOCK, "409 OUT_OF_STOCK": ATTEMPTS - HOT_STOCK });
        assert.equal(orders.size, HOT_STOCK);
        assert.deepEqual(await shop.level(product.id), { onHand: HOT_STOCK, reserved: HOT_STOCK, available: 0 });
        checkBooks(shop.server.database);
    });

    test(`${CHECKOUTS} checkouts over ${SKUS} SKUs, in any order: no deadlock`, { timeout: 180_000 }, async () => {
        const before = deadlocks();
        const products: Json[] = [];
        await crowd(SKUS, async (i) => { products[i] = await shop.product({ stock: 1000 }); });
        const carts: string[] = [];
        await crowd(CHECKOUTS, async (i) => {
            const lines = [7 * i, 13 * i + 1, 29 * i + 2].map((n) => n % SKUS); // neighbours share some, in another order
            if (i % 2 === 1) lines.reverse();
            const chosen = [...new Set(lines)].map((n) => ({ productId: products[n].id as string, quantity: 1 }));
            carts[i] = (await shop.cartOf(i % 2 === 0 ? one : two, ...chosen)).id as string;
        });
        await crowd(CHECKOUTS, async (i) => {
            ok(await (i % 2 === 0 ? two : one).post(`/checkout/${carts[i]}`, checkoutBody()), 201);
        });
        await noDeadlockSince(before);
        checkBooks(shop.server.database);
    });
});

/** With a limit on open orders every checkout runs alone, beside the batches of the other server, and a double click meets itself. */
test("60 carts, each checked out three times at once: 60 orders, no deadlock", { timeout: 120_000 }, async () => {
    const database = shop.server.database;
    const before = deadlocks();
    const { maxOpenGuestOrdersPerEmail } = ok(await shop.admin.client.get("/settings"));
    const limit = (most: unknown) => shop.admin.client.patch("/settings", { maxOpenGuestOrdersPerEmail: most }).then(ok);
    await limit(10_000);
    try {
        const product = await shop.product({ stock: 1000 });
        const carts = await parallel(60, () => shop.cartOf(shop.guest, { productId: product.id, quantity: 1 }));
        const answers = await parallel(180, (i) => (i % 2 === 0 ? one : two).post(`/checkout/${carts[i % 60].id}`, checkoutBody()));
        assert.equal(answers.filter((reply) => reply.status === 201).length, 60);
        assert.equal(answers.filter((reply) => reply.status === 409).length, 120);
        assert.deepEqual(await shop.level(product.id), { onHand: 1000, reserved: 60, available: 940 });
        await noDeadlockSince(before);
        checkBooks(database);
    } finally {
        await limit(maxOpenGuestOrdersPerEmail);
    }
});

test("two that start at once on an empty database migrate it once", async () => {
    const { folder, release } = temporaryFolder();
    const database = databaseOf(folder);
    try {
        const servers = await parallel(2, () => Server.start({ data: folder }));
        const clients = servers.map((server) => new Client(server.url));
        for (const client of clients) assert.deepEqual(ok(await client.get("/products")), []);
        const key = (client: Client) => client.get("/.well-known/jwks.json").then((reply) => reply.body.keys.map((each: Json) => each.kid));
        assert.deepEqual(await key(clients[0]!), await key(clients[1]!), "they sign with the same key");
        for (const server of servers) await server.dispose();
        assert.deepEqual(database.query("SELECT id FROM shop_settings"), [{ id: 1 }]);
    } finally {
        release();
        database.drop();
    }
});
