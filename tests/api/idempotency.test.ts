// Idempotency-Key across the operations: from the contract, which of them take it, and what it means.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ok, refused, type Client, type Json, type Reply } from "../support/client.ts";
import { operations } from "../support/contract.ts";
import { sqlSpan } from "../support/database.ts";
import { idempotentCases } from "../support/idempotent.ts";
import { PASSWORD, Shop, address, createCart, newId, unique, type Account } from "../support/shop.ts";

let shop: Shop;
let admin: Client;
let customer: Account;
before(async () => {
    shop = await Shop.open();
    admin = shop.admin.client;
    customer = await shop.register();
    cases = idempotentCases(shop, { customer: customer.client, buyer: shop.guest });
});
after(() => shop?.close());

let cases: ReturnType<typeof idempotentCases>;
const posts = operations.filter((one) => one.method === "POST");
const taking = posts.filter((one) => one.souk.idempotency !== "none");
const refusing = posts.filter((one) => one.souk.idempotency === "none");

test("every operation that takes a key is tried below", () => {
    assert.deepEqual(Object.keys(cases).sort(), taking.map((one) => one.id).sort());
});

describe("the same key and body", () => {
    for (const { id } of taking) {
        test(`${id}: answers the same bytes and does it once`, async () => {
            const { client, path, body, other, count } = await cases[id]!();
            const key = `key of ${id} ${newId()}`;
            const before = await count();
            const first = await client.post(path, body, { key });
            assert.ok(first.status < 300, first.text);
            const done = await count();
            assert.ok(done > before);
            const second = await client.post(path, body, { key });
            assert.deepEqual([second.status, second.text], [first.status, first.text]);
            assert.equal(second.headers.get("location"), first.headers.get("location"));
            assert.deepEqual([first.headers.get("idempotent-replayed"), second.headers.get("idempotent-replayed")], [null, "true"]);
            refused(await client.post(path, other, { key }), 422, "IDEMPOTENCY_KEY_REUSED");
            assert.equal(await count(), done);
        });
    }
});

describe("a key", () => {
    const add = async (client: Client, key: string, body: Json = address()): Promise<Reply> => client.post("/users/me/addresses", body, { key });

    test("may have 255 characters, and not one more", async () => {
        ok(await add(customer.client, "k".repeat(255)), 201);
        for (const key of ["k".repeat(256), ""]) {
            const reply = await add(customer.client, key);
            refused(reply, 400, "VALIDATION_ERROR", ["Idempotency-Key"]);
        }
    });

    test("belongs to its principal, its operation and its path", async () => {
        const other = await shop.register();
        const key = newId();
        const mine = ok(await add(customer.client, key), 201);
        assert.notEqual(ok(await add(other.client, key), 201).id, mine.id);
        const product = await shop.product();
        const cart = await createCart(customer.client);
        ok(await customer.client.post(`/cart/${cart.id}/items`, { productId: product.id, quantity: 1 }, { key }), 201);
        const [a, b] = [await shop.order(shop.guest, product), await shop.order(shop.guest, product)];
        ok(await admin.post(`/orders/${a.id}/confirm`, {}, { key }));
        assert.equal(ok(await admin.post(`/orders/${b.id}/confirm`, {}, { key })).id, b.id);
        ok(await admin.post(`/orders/${a.id}/process`, {}, { key }));
    });

    test("keeps only what was done: a refusal may be tried again", async () => {
        const key = newId();
        const slug = unique("taken-");
        const first = await shop.category({ slug });
        refused(await admin.post("/categories", { name: "x", slug }, { key }), 409, "SLUG_TAKEN");
        refused(await admin.post("/categories", { slug }, { key }), 400, "VALIDATION_ERROR");
        ok(await admin.delete(`/categories/${first.id}`), 204);
        const reply = await admin.post("/categories", { name: "x", slug }, { key });
        ok(reply, 201);
        assert.equal(reply.headers.get("idempotent-replayed"), null);
    });

    test("gives nothing away: who may not, may not replay either", async () => {
        const staff = await shop.register();
        ok(await admin.patch(`/users/${staff.id}`, { role: "staff" }));
        const session = ok(await shop.guest.post("/auth/login", { email: staff.email, password: PASSWORD }));
        const client = shop.guest.as(session.accessToken);
        const key = newId();
        const body = { name: unique("C") };
        ok(await client.post("/categories", body, { key }), 201);
        refused(await shop.guest.post("/categories", body, { key }), 401, "UNAUTHENTICATED");
        ok(await admin.patch(`/users/${staff.id}`, { role: "customer" }));
        const demoted = ok(await shop.guest.post("/auth/login", { email: staff.email, password: PASSWORD }));
        refused(await shop.guest.as(demoted.accessToken).post("/categories", body, { key }), 403, "FORBIDDEN");
    });

    test("of a body written otherwise is another body", async () => {
        const key = newId();
        ok(await admin.post("/categories", { name: "Same", position: 1 }, { key }), 201);
        const reply = await admin.post("/categories", { position: 1, name: "Same" }, { key });
        assert.ok([201, 422].includes(reply.status), "the same object in another order is either");
        if (reply.status === 201) assert.equal(reply.headers.get("idempotent-replayed"), "true");
    });

    test("is forgotten after a day, not before", async () => {
        const other = await Shop.open({ env: { SOUK_JOB_INTERVAL_MS: "50" } });
        try {
            const key = newId();
            const body = { name: unique("C") };
            const first = await other.admin.client.post("/categories", body, { key });
            other.server.sql(`UPDATE idempotency_records SET created_at = created_at - ${sqlSpan(23 * 3600 * 1000)}`);
            assert.equal((await other.admin.client.post("/categories", body, { key })).text, first.text);
            other.server.sql(`UPDATE idempotency_records SET created_at = created_at - ${sqlSpan(2 * 3600 * 1000)}`);
            const again = ok(await other.admin.client.post("/categories", body, { key }), 201);
            assert.notEqual(again.id, ok(first, 201).id);
        } finally {
            await other.close();
        }
    });
});

describe("operations whose reply holds a secret", () => {
    for (const operation of refusing) {
        test(`${operation.id} refuses a key`, async () => {
            const { access } = operation.souk;
            const client = access === "customer" ? customer.client : access === "staff" ? shop.admin.client : shop.guest;
            const reply = await client.post(operation.path.replace(/\{[^}]+\}/g, () => newId()), operation.body?.example, { key: newId() });
            refused(reply, 400, "VALIDATION_ERROR", ["Idempotency-Key"]);
        });
    }
});
