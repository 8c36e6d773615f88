// One's own profile, and the staff's view of all accounts.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { etagOf, invalid, ok, refused, type Client, type Json } from "../support/client.ts";
import { Shop, everyPage, logIn, newId, unique, type Account } from "../support/shop.ts";

let shop: Shop;
let admin: Client;
let staff: Account;
before(async () => {
    shop = await Shop.open();
    admin = shop.admin.client;
    staff = await shop.staff();
});
after(() => shop?.close());

describe("my profile", () => {
    test("is read and changed; preferences are replaced as a whole", async () => {
        const me = await shop.register({ firstName: "Amina" });
        const before = ok(await me.client.get("/users/me"));
        const changed = ok(await me.client.patch("/users/me", { lastName: "Haddad", phone: "+33 6 12 34 56 78", preferences: { newsletter: true, language: "fr", size: 42 } }));
        assert.deepEqual([changed.firstName, changed.lastName, changed.phone], ["Amina", "Haddad", "+33 6 12 34 56 78"]);
        assert.deepEqual(changed.preferences, { newsletter: true, language: "fr", size: 42 });
        assert.ok(changed.updatedAt >= before.updatedAt);
        assert.deepEqual(ok(await me.client.patch("/users/me", { preferences: { newsletter: false } })).preferences, { newsletter: false });
        assert.equal(ok(await me.client.patch("/users/me", { phone: null })).phone, null);
        assert.equal(ok(await me.client.get("/users/me")).lastName, "Haddad");
        assert.deepEqual(ok(await me.client.get("/users/me", { query: { fields: "email" } })), { id: me.id, email: me.email });
    });

    test("role, status, address and the like are not mine to change", async () => {
        const me = await shop.register();
        for (const change of [{ role: "admin" }, { status: "active" }, { email: "other@example.com" }, { emailVerified: true }, { id: newId() }, { password: "x" }]) {
            invalid(await me.client.patch("/users/me", change), Object.keys(change)[0]!);
        }
        const read = ok(await me.client.get("/users/me"));
        assert.deepEqual([read.role, read.email, read.emailVerified], ["customer", me.email, false]);
    });

    test("If-Match and If-None-Match", async () => {
        const me = await shop.register();
        const tag = etagOf(await me.client.get("/users/me"));
        assert.equal((await me.client.get("/users/me", { etag: tag })).status, 304);
        ok(await me.client.patch("/users/me", { firstName: "A" }, { ifMatch: tag }));
        refused(await me.client.patch("/users/me", { firstName: "B" }, { ifMatch: tag }), 412, "PRECONDITION_FAILED");
        assert.equal((await me.client.get("/users/me", { etag: tag })).status, 200);
    });

    test("bad values are named", async () => {
        const me = await shop.register();
        invalid(await me.client.patch("/users/me", { phone: "call me" }), "phone");
        invalid(await me.client.patch("/users/me", { firstName: "x".repeat(101) }), "firstName");
        const many = Object.fromEntries(Array.from({ length: 51 }, (_, i) => [`p${i}`, i]));
        invalid(await me.client.patch("/users/me", { preferences: many }), "preferences");
        const nested = refused(await me.client.patch("/users/me", { preferences: { a: { b: 1 } } }), 400, "VALIDATION_ERROR");
        assert.match(nested.errors[0].field, /^preferences/);
        assert.deepEqual(ok(await me.client.get("/users/me")).preferences, {});
    });
});

describe("an account by id", () => {
    test("is mine, or staff's to read; to everybody else it does not exist", async () => {
        const me = await shop.register();
        const other = await shop.register();
        assert.equal(ok(await me.client.get(`/users/${me.id}`)).email, me.email);
        refused(await other.client.get(`/users/${me.id}`), 404, "USER_NOT_FOUND");
        refused(await other.client.get(`/users/${shop.admin.id}`), 404, "USER_NOT_FOUND");
        assert.equal(ok(await staff.client.get(`/users/${me.id}`)).email, me.email);
        const read = await admin.get(`/users/${me.id}`);
        assert.equal(ok(read).email, me.email);
        assert.equal((await admin.get(`/users/${me.id}`, { etag: etagOf(read) })).status, 304);
        refused(await admin.get(`/users/${newId()}`), 404, "USER_NOT_FOUND");
        assert.ok(!/hash|argon|secret/i.test(read.text), "no password in any form");
    });

    test("staff may not change accounts, customers not at all", async () => {
        const me = await shop.register();
        for (const client of [me.client, staff.client]) {
            refused(await client.patch(`/users/${me.id}`, { role: "admin" }), 403, "FORBIDDEN");
            refused(await client.delete(`/users/${me.id}`), 403, "FORBIDDEN");
        }
        assert.equal(ok(await admin.get(`/users/${me.id}`)).role, "customer");
    });

    test("an admin corrects a name, grants a role, disables", async () => {
        const account = await shop.register();
        const tag = etagOf(await admin.get(`/users/${account.id}`));
        const changed = ok(await admin.patch(`/users/${account.id}`, { firstName: "Cora", role: "staff" }, { ifMatch: tag }));
        assert.deepEqual([changed.firstName, changed.role, changed.status], ["Cora", "staff", "active"]);
        refused(await admin.patch(`/users/${account.id}`, { firstName: "Dora" }, { ifMatch: tag }), 412, "PRECONDITION_FAILED");
        refused(await admin.delete(`/users/${account.id}`, { ifMatch: tag }), 412, "PRECONDITION_FAILED");
        invalid(await admin.patch(`/users/${account.id}`, { role: "owner" }), "role");
        invalid(await admin.patch(`/users/${account.id}`, { email: "x@example.com" }), "email");
        refused(await admin.patch(`/users/${newId()}`, { firstName: "x" }), 404, "USER_NOT_FOUND");
        refused(await admin.delete(`/users/${newId()}`), 404, "USER_NOT_FOUND");
    });

    test("a deleted account takes its addresses and cart along; its orders stay", async () => {
        const account = await shop.register();
        const product = await shop.product();
        const order = await shop.order(account.client, product, 2);
        ok(await account.client.get("/cart/me"));
        ok(await admin.delete(`/users/${account.id}`), 204);
        refused(await admin.get(`/users/${account.id}`), 404, "USER_NOT_FOUND");
        refused(await admin.delete(`/users/${account.id}`), 404, "USER_NOT_FOUND");
        assert.equal(ok(await admin.get(`/orders/${order.id}`)).orderNumber, order.orderNumber);
        assert.ok(!(await everyPage(admin, "/users", { limit: 100 })).some((one) => one.id === account.id));
    });

    test("the last admin stays", async () => {
        const one = await Shop.open();
        try {
            const { client, id, email } = one.admin;
            refused(await client.patch(`/users/${id}`, { role: "customer" }), 409, "LAST_ADMIN");
            refused(await client.patch(`/users/${id}`, { status: "disabled" }), 409, "LAST_ADMIN");
            refused(await client.delete(`/users/${id}`), 409, "LAST_ADMIN");
            const second = await one.register();
            ok(await client.patch(`/users/${second.id}`, { role: "admin" }));
            ok(await client.patch(`/users/${second.id}`, { status: "disabled" }));
            refused(await client.delete(`/users/${id}`), 409, "LAST_ADMIN");
            ok(await client.patch(`/users/${second.id}`, { status: "active" }));
            const other = await logIn(one.guest, second.email);
            ok(await other.client.delete(`/users/${id}`), 204);
            refused(await one.guest.post("/auth/login", { email, password: one.admin.password }), 401, "INVALID_CREDENTIALS");
            refused(await other.client.delete(`/users/${second.id}`), 409, "LAST_ADMIN");
        } finally {
            await one.close();
        }
    });
});

describe("the list of accounts", () => {
    let tag: string;
    let people: Account[];
    before(async () => {
        tag = unique("zz");
        people = [];
        for (const [firstName, lastName] of [["Zoë", tag], ["Émile", tag], ["adam", tag]] as const) people.push(await shop.register({ firstName, lastName }));
    });

    test("is staff's, newest first, searched by address and names", async () => {
        const customer = await shop.register();
        refused(await customer.client.get("/users"), 403, "FORBIDDEN");
        refused(await shop.guest.get("/users"), 401, "UNAUTHENTICATED");
        const found = ok(await staff.client.get("/users", { query: { q: tag } }));
        assert.deepEqual(found.map((one: Json) => one.id), people.map((one) => one.id).reverse());
        assert.deepEqual(ok(await admin.get("/users", { query: { q: `emile ${tag}` } })).map((one: Json) => one.firstName), ["Émile"]);
        assert.deepEqual(ok(await admin.get("/users", { query: { q: people[2]!.email.slice(0, -4) } })).map((one: Json) => one.id), [people[2]!.id]);
        assert.deepEqual(ok(await admin.get("/users", { query: { q: "%" } })).length, 0);
    });

    test("sorts, filters, pages, counts", async () => {
        const byName = ok(await admin.get("/users", { query: { q: tag, sort: "name" } })).map((one: Json) => one.firstName);
        assert.deepEqual(byName, ["adam", "Émile", "Zoë"]);
        assert.deepEqual(ok(await admin.get("/users", { query: { q: tag, sort: "-name" } })).map((one: Json) => one.firstName), [...byName].reverse());
        for (const sort of ["createdAt", "-createdAt", "name", "-name"]) {
            const whole = ok(await admin.get("/users", { query: { sort, limit: 100 } })).map((one: Json) => one.id);
            assert.deepEqual((await everyPage(admin, "/users", { sort, limit: 2 })).map((one) => one.id), whole, sort);
        }
        assert.deepEqual((await everyPage(admin, "/users", { role: "admin" })).map((one) => one.id), [shop.admin.id]);
        assert.ok((await everyPage(admin, "/users", { role: "staff" })).some((one) => one.id === staff.id));
        const page = await admin.get("/users", { query: { q: tag, total: true, offset: 1, limit: 1, fields: "email" } });
        assert.equal(page.body.pagination.total, 3);
        assert.deepEqual(ok(page), [{ id: people[1]!.id, email: people[1]!.email }]);
        assert.equal((await admin.get("/users", { query: { q: tag }, etag: etagOf(await admin.get("/users", { query: { q: tag } })) })).status, 304);
        invalid(await admin.get("/users", { query: { sort: "password" } }), "sort");
        invalid(await admin.get("/users", { query: { role: "Root" } }), "role");
        assert.deepEqual(await everyPage(admin, "/users", { role: "root" }), []);
    });
});
