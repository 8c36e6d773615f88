// Races around accounts: merging carts, refreshing, registering, the last admin.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ok, type Client, type Json } from "../support/client.ts";
import { checkBooks } from "../support/books.ts";
import { PASSWORD, Shop, checkoutBody, createCart, logIn, parallel, unique } from "../support/shop.ts";

let shop: Shop;
let guest: Client;
before(async () => {
    shop = await Shop.open();
    guest = shop.guest;
});
after(async () => {
    checkBooks(shop.server.database);
    await shop?.close();
});

test("eight log-ins that bring one cart merge it once", async () => {
    for (let round = 0; round < 3; round++) {
        const account = await shop.register();
        const product = await shop.product();
        const cart = await shop.cartOf(guest, { productId: product.id, quantity: 2 });
        const sessions = await parallel(8, () => guest.post("/auth/login", { email: account.email, password: PASSWORD, cartId: cart.id }));
        const carts = sessions.map((reply) => ok(reply).cartId).filter((id: string | null) => id !== null);
        assert.equal(carts.length, 1, "one of them merged it");
        const mine = ok(await account.client.get("/cart/me"));
        assert.equal(mine.id, carts[0]);
        assert.deepEqual(mine.items.map((line: Json) => line.quantity), [2]);
        assert.equal((await guest.get(`/cart/${cart.id}`)).status, 404);
    }
});

test("eight guests' carts merge into one account: nothing is lost", async () => {
    const account = await shop.register();
    const product = await shop.product({ stock: 1000 });
    const carts = await parallel(8, (i) => shop.cartOf(guest, { productId: product.id, quantity: i + 1 }));
    await parallel(8, (i) => logIn(guest, account.email, PASSWORD, { cartId: carts[i].id }));
    assert.deepEqual(ok(await account.client.get("/cart/me")).items.map((line: Json) => line.quantity), [36]);
    for (const cart of carts) assert.equal((await guest.get(`/cart/${cart.id}`)).status, 404);
});

test("merging races adding: what was answered 201 is in the account's cart", async () => {
    for (let round = 0; round < 4; round++) {
        const account = await shop.register();
        const product = await shop.product({ stock: 1000 });
        const cart = await shop.cartOf(guest, { productId: product.id, quantity: 1 });
        const [, ...adds] = await Promise.all([
            logIn(guest, account.email, PASSWORD, { cartId: cart.id }),
            ...Array.from({ length: 30 }, async (_, i) => {
                await new Promise((resolve) => setTimeout(resolve, i * 2));
                return guest.post(`/cart/${cart.id}/items`, { productId: product.id, quantity: 1 });
            }),
        ]);
        const added = adds.filter((reply) => reply.status === 201).length;
        for (const reply of adds) if (reply.status !== 201) assert.deepEqual([reply.status, reply.body.code], [404, "CART_NOT_FOUND"]);
        assert.deepEqual(ok(await account.client.get("/cart/me")).items.map((line: Json) => line.quantity), [1 + added]);
    }
});

test("merging races checkout of the guest's cart: an order or a merge, never both", async () => {
    for (let round = 0; round < 6; round++) {
        const account = await shop.register();
        const product = await shop.product({ stock: 100 });
        const cart = await shop.cartOf(guest, { productId: product.id, quantity: 2 });
        const [session, order] = await Promise.all([
            logIn(guest, account.email, PASSWORD, { cartId: cart.id }),
            new Promise((resolve) => setTimeout(resolve, 20 + round * 3)).then(() => guest.post(`/checkout/${cart.id}`, checkoutBody())),
        ]);
        const mine = ok(await account.client.get("/cart/me"));
        if (order.status === 201) {
            assert.equal(session.session.cartId, null);
            assert.deepEqual(mine.items, []);
        } else {
            assert.deepEqual([order.status, order.body.code], [404, "CART_NOT_FOUND"]);
            assert.deepEqual(mine.items.map((line: Json) => line.quantity), [2]);
        }
        assert.equal((await shop.level(product.id)).reserved, order.status === 201 ? 2 : 0);
    }
});

test("an account that asks for its cart many times at once has one", async () => {
    const account = await shop.register();
    const replies = await parallel(32, (i) => (i % 2 ? account.client.get("/cart/me") : account.client.post("/cart", {})));
    const ids = new Set(replies.map((reply) => {
        assert.ok(reply.status === 200 || reply.status === 201, reply.text);
        return reply.body.data.id;
    }));
    assert.equal(ids.size, 1);
    assert.equal((await createCart(account.client)).id, [...ids][0]);
});

test("one refresh token, sixteen times at once: all within the grace, none shares a token", async () => {
    const account = await shop.register();
    const replies = await parallel(16, () => guest.post("/auth/refresh", { refreshToken: account.session.refreshToken }));
    const granted = replies.filter((reply) => reply.status === 200);
    assert.equal(granted.length, 16, replies.map((reply) => reply.status).join(" "));
    assert.equal(new Set(granted.map((reply) => reply.body.data.refreshToken)).size, 16);
    const next = await parallel(16, (i) => guest.post("/auth/refresh", { refreshToken: granted[i]!.body.data.refreshToken }));
    assert.ok(next.every((reply) => reply.status === 200));
    assert.equal((await guest.as(next[7]!.body.data.accessToken).get("/users/me")).status, 200);
});

test("logging out races refreshing: afterwards the session is over", async () => {
    for (let round = 0; round < 4; round++) {
        const account = await shop.register();
        const [, ...replies] = await Promise.all([
            account.client.post("/auth/logout"),
            ...Array.from({ length: 6 }, () => guest.post("/auth/refresh", { refreshToken: account.session.refreshToken })),
        ]);
        for (const reply of replies) {
            if (reply.status !== 200) {
                assert.deepEqual([reply.status, reply.body.code], [401, "INVALID_TOKEN"]);
                continue;
            }
            const deadline = Date.now() + 1000;
            while ((await guest.as(reply.body.data.accessToken).get("/users/me")).status !== 401) assert.ok(Date.now() < deadline, "a token outlives the session");
            assert.equal((await guest.post("/auth/refresh", { refreshToken: reply.body.data.refreshToken })).status, 401);
        }
    }
});

test("one address is registered once", async () => {
    const email = `${unique("same")}@example.com`;
    const replies = await parallel(8, (i) => guest.post("/auth/register", { email: i % 2 ? email : email.toUpperCase(), password: PASSWORD }));
    assert.deepEqual(replies.map((reply) => reply.status).sort(), [201, 409, 409, 409, 409, 409, 409, 409]);
    for (const reply of replies) if (reply.status === 409) assert.equal(reply.body.code, "EMAIL_TAKEN");
});

test("one reset token sets one password", async () => {
    const account = await shop.register();
    ok(await guest.post("/auth/password/forgot", { email: account.email }), 202);
    const { mailedToken } = await import("../support/mail.ts");
    const token = await mailedToken(shop.server, "reset_password", account);
    const replies = await parallel(6, (i) => guest.post("/auth/password/reset", { token, newPassword: `the new password ${i}` }));
    assert.deepEqual(replies.map((reply) => reply.status).sort(), [204, 400, 400, 400, 400, 400]);
    const won = replies.findIndex((reply) => reply.status === 204);
    ok(await guest.post("/auth/login", { email: account.email, password: `the new password ${won}` }));
});

test("two admins who demote each other at once: one stays", async () => {
    for (let round = 0; round < 4; round++) {
        const other = await Shop.open();
        try {
            const second = await other.register();
            ok(await other.admin.client.patch(`/users/${second.id}`, { role: "admin" }));
            const two = await logIn(other.guest, second.email);
            const replies = await Promise.all([
                other.admin.client.patch(`/users/${second.id}`, { role: "customer" }),
                two.client.patch(`/users/${other.admin.id}`, { role: "customer" }),
            ]);
            const admins = other.server.sql("SELECT 1 AS n FROM users WHERE role = 'admin' AND status = 'active'");
            assert.equal(admins.length, 1, replies.map((reply) => reply.text).join("\n"));
            assert.equal(replies.filter((reply) => reply.status === 200).length, 1);
        } finally {
            await other.close();
        }
    }
});

test("one SKU, one slug: made once", async () => {
    const sku = unique("SKU-");
    const replies = await parallel(16, (i) => shop.admin.client.post("/products", { name: "Same name", price: { amount: 1, currency: "USD" }, ...(i % 2 ? { sku } : { slug: sku.toLowerCase() }) }));
    const codes = replies.map((reply) => (reply.status === 201 ? "201" : reply.body.code)).sort();
    assert.deepEqual(codes, ["201", "201", ...Array(7).fill("SKU_TAKEN"), ...Array(7).fill("SLUG_TAKEN")]);
    const named = await parallel(16, () => shop.admin.client.post("/products", { name: "Made slug", price: { amount: 1, currency: "USD" } }));
    assert.equal(new Set(named.map((reply) => ok(reply, 201).slug)).size, 16, "made slugs give way to each other");
});
