// The export of what the shop keeps of a person, and its erasure: nothing of them is found in the database afterwards.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { etagOf, invalid, ok, refused, type Json } from "../support/client.ts";
import { engine, sqlTime } from "../support/database.ts";
import { mailsTo } from "../support/mail.ts";
import { eventually } from "../support/server.ts";
import { PASSWORD, Shop, address, checkoutBody, newId, parallel, unique, type Account } from "../support/shop.ts";
import { totp } from "../support/totp.ts";

let shop: Shop;
before(async () => { shop = await Shop.open(); });
after(() => shop?.close());

interface Person { account: Account; words: string[]; order: Json }

/** Somebody who left traces everywhere, and the words by which they would be found. */
async function person(): Promise<Person> {
    const word = (prefix: string) => unique(`${prefix}zq`);
    const [first, last, mail, street, note, company, phone] = [word("Fn"), word("Ln"), word("mail"), word("Street"), word("note"), word("Comp"), `+49 30 ${Math.floor(1e9 + Math.random() * 9e9)}`];
    const account = await shop.register({ firstName: first, lastName: last, email: `${mail}@example.com` });
    const where = address({ firstName: first, lastName: last, address1: street, company, phone });
    ok(await account.client.patch("/users/me", { phone, preferences: { nick: note } }));
    ok(await account.client.post("/users/me/addresses", where, { key: newId() }), 201);
    const order = await shop.order(account.client, await shop.product(), 1, { email: account.email, shippingAddress: where, billingAddress: where, customerNotes: note });
    ok(await shop.admin.client.post(`/orders/${order.id}/payments`, { amount: order.total, reference: last, note }, { key: newId() }), 201);
    ok(await shop.admin.client.post(`/orders/${order.id}/confirm`, { note }, { key: newId() }));
    ok(await shop.admin.client.post(`/orders/${order.id}/refunds`, { reason: note, amount: { amount: 1, currency: "USD" } }, { key: newId() }), 201);
    ok(await shop.admin.client.patch(`/users/${account.id}`, { firstName: first }));
    await shop.cartOf(account.client, { productId: (await shop.product()).id, quantity: 1 });
    ok(await shop.guest.post("/auth/password/forgot", { email: account.email }), 202);
    return { account, words: [first, last, mail, street, note, company, phone], order };
}

/** Every row of every table, as text. */
const everyRow = (): string => {
    if (engine === "postgres") return shop.server.database.everything();
    const tables = shop.server.sql("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").map(({ name }) => String(name));
    return tables.map((name) => JSON.stringify(shop.server.sql(`SELECT * FROM "${name}"`))).join("\n");
};

function assertGone(words: string[]): void {
    const rows = everyRow().toLowerCase();
    for (const word of words) assert.ok(!rows.includes(word.toLowerCase()), `${word} is still there: ${rows.slice(Math.max(0, rows.indexOf(word.toLowerCase()) - 200)).slice(0, 400)}`);
}

describe("the export", () => {
    test("holds what the shop knows of me", async () => {
        const { account, words, order } = await person();
        const reply = await account.client.get("/users/me/export");
        const all = ok(reply);
        for (const word of words) assert.ok(reply.text.includes(word), word);
        assert.deepEqual([all.account.id, all.orders.map((one: Json) => one.id), all.addresses.length, all.cart.length], [account.id, [order.id], 1, 1]);
        assert.ok(all.sessions.length >= 1);
        assert.ok(!/argon|hash|secret/i.test(reply.text));
        assert.equal((await account.client.get("/users/me/export", { etag: etagOf(reply) })).status, 304);
        assert.ok(!(await (await shop.register()).client.get("/users/me/export")).text.includes(words[0]!));
    });
});

describe("the erasure", () => {
    for (const who of ["its owner", "an administrator"] as const) {
        test(`by ${who} leaves nothing personal, and the order in the books`, async () => {
            const { account, words, order } = await person();
            const rows = everyRow().toLowerCase();
            for (const word of words) assert.ok(rows.includes(word.toLowerCase()), `${word} is there before`);
            if (who === "its owner") ok(await account.client.post("/users/me/erase", { password: PASSWORD }), 204);
            else ok(await shop.admin.client.delete(`/users/${account.id}`), 204);
            assertGone(words);
            refused(await account.client.get("/users/me"), 401, "UNAUTHENTICATED");
            refused(await shop.guest.post("/auth/refresh", { refreshToken: account.session.refreshToken }), 401, "INVALID_TOKEN");
            refused(await shop.guest.post("/auth/login", { email: account.email, password: PASSWORD }), 401, "INVALID_CREDENTIALS");
            const kept = ok(await shop.admin.client.get(`/orders/${order.id}`));
            assert.deepEqual([kept.total, kept.shippingAddress.country, kept.shippingAddress.lastName, kept.customerNotes], [order.total, "FR", "", null]);
            ok(await shop.admin.client.post(`/orders/${order.id}/process`, {})); // it can still be sent
            ok(await shop.guest.post("/auth/register", { email: account.email, password: PASSWORD }), 201); // the address is free
        });
    }

    test("takes back mail: what waits is not sent, what lies in files is removed, others' stays", async () => {
        const [{ account, words }, other] = [await person(), await person()];
        const lying = (email: string) => mailsTo(shop.server, email).length;
        await eventually("their mails", () => lying(account.email) >= 3 && lying(other.account.email) >= 3);
        const kept = lying(other.account.email);
        // Two that wait: about the account, and about the order.
        const tomorrow = Date.now() + 86_400_000;
        shop.server.sql(`UPDATE outbox SET due_at = ${sqlTime(tomorrow)}, delivered_at = NULL, attempts = 0 WHERE topic IN ('user.registered', 'order.placed')`);
        ok(await account.client.post("/users/me/erase", { password: PASSWORD }), 204);
        await eventually("their mails are gone", () => lying(account.email) === 0);
        shop.server.sql(`UPDATE outbox SET due_at = ${sqlTime(1)} WHERE topic IN ('user.registered', 'order.placed')`);
        await eventually("what waited is through", () => Number(shop.server.sql("SELECT COUNT(*) AS n FROM outbox WHERE due_at IS NOT NULL AND topic <> 'user.erased'")[0]!.n) === 0);
        const folder = path.join(shop.server.data, "mail");
        const texts = readdirSync(folder).map((name) => readFileSync(path.join(folder, name), "utf8").toLowerCase());
        for (const word of words) assert.ok(!texts.some((text) => text.includes(word.toLowerCase())), word);
        assert.ok(lying(other.account.email) >= kept);
        assertGone(words);
    });

    test("takes the password, and a code where there is a second factor", async () => {
        const account = await shop.register();
        invalid(await account.client.post("/users/me/erase", { password: "not the one" }), "password");
        const { secret } = ok(await account.client.post("/users/me/mfa", { password: PASSWORD }), 201);
        ok(await account.client.post("/users/me/mfa/confirm", { code: totp(secret, -1) }));
        invalid(await account.client.post("/users/me/erase", { password: PASSWORD }), "code");
        ok(await account.client.post("/users/me/erase", { password: PASSWORD, code: totp(secret) }), 204);
    });

    test("is refused to the last admin, and to who guesses", async () => {
        refused(await shop.admin.client.post("/users/me/erase", { password: PASSWORD }), 409, "LAST_ADMIN");
        const account = await shop.register();
        for (let i = 0; i < 10; i++) invalid(await account.client.post("/users/me/erase", { password: "not the one" }), "password");
        refused(await account.client.post("/users/me/erase", { password: PASSWORD }), 429, "RATE_LIMIT_EXCEEDED");
    });

    test("while ordering: the order stands without a name, or there is none", async () => {
        const product = await shop.product();
        await parallel(6, async () => {
            const word = unique("Racezq");
            const account = await shop.register({ firstName: word });
            const cart = await shop.cartOf(account.client, { productId: product.id, quantity: 1 });
            const [ordered, erased] = await Promise.all([
                account.client.post(`/checkout/${cart.id}`, checkoutBody({ shippingAddress: address({ firstName: word }) })),
                account.client.post("/users/me/erase", { password: PASSWORD }),
            ]);
            ok(erased, 204);
            assert.ok([201, 401, 404, 409].includes(ordered.status), `${ordered.status} ${ordered.text}`);
            assertGone([word]);
        });
    });
});
