// Staff roles: sets of scopes that hold from the next request on, and by which nobody rises.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { etagOf, invalid, ok, refused, type Client } from "../support/client.ts";
import { operations } from "../support/contract.ts";
import { Server } from "../support/server.ts";
import { engine } from "../support/database.ts";
import { Shop, everyPage, logIn, newId, parallel, unique, type Account } from "../support/shop.ts";

const ALL_SCOPES = [...new Set(operations.flatMap(({ souk }) => souk.scope ? [souk.scope] : []))];

let shop: Shop;
let admin: Client;
before(async () => {
    shop = await Shop.open();
    admin = shop.admin.client;
});
after(() => shop?.close());

const newRole = async (...scopes: string[]) => ok(await admin.post("/roles", { name: unique("role-"), scopes }), 201);
const holderOf = async (role: string): Promise<Account> => {
    const account = await shop.register();
    ok(await admin.patch(`/users/${account.id}`, { role }));
    return logIn(shop.guest, account.email);
};

describe("staff roles", () => {
    test("come with souk, by name", async () => {
        const roles = await everyPage(admin, "/roles", { limit: 2 });
        const names = roles.map((one) => one.name);
        assert.deepEqual(names, [...names].sort());
        for (const name of ["admin", "catalogue-manager", "order-clerk", "staff", "support"]) assert.ok(names.includes(name), name);
        const one = roles.find(({ name }) => name === "admin");
        assert.ok(ALL_SCOPES.every((scope) => one.scopes.includes(scope)), "admin has every scope that an operation names");
        assert.equal(one.isBuiltIn, true);
        const reply = await admin.get("/roles");
        assert.equal((await admin.get("/roles", { etag: etagOf(reply) })).status, 304);
        invalid(await admin.get("/roles", { query: { cursor: "bm9uZQ" } }), "cursor");
    });

    test("are made, read, changed and deleted", async () => {
        const name = unique("role-");
        const made = await admin.post("/roles", { name, description: "Counts", scopes: ["orders:read", "inventory:write"] }, { key: newId() });
        assert.deepEqual(ok(made, 201).scopes, ["inventory:write", "orders:read"]);
        assert.equal(made.headers.get("location"), `/roles/${name}`);
        const read = await admin.get(`/roles/${name}`);
        assert.deepEqual(ok(read), ok(made, 201));
        assert.equal((await admin.get(`/roles/${name}`, { etag: etagOf(read) })).status, 304);
        const changed = ok(await admin.patch(`/roles/${name}`, { scopes: ["orders:read"] }, { ifMatch: etagOf(read) }));
        assert.deepEqual([changed.scopes, changed.description], [["orders:read"], "Counts"]);
        assert.equal(ok(await admin.patch(`/roles/${name}`, { description: "" })).description, "");
        refused(await admin.patch(`/roles/${name}`, { description: "x" }, { ifMatch: etagOf(read) }), 412, "PRECONDITION_FAILED");
        refused(await admin.delete(`/roles/${name}`, { ifMatch: etagOf(read) }), 412, "PRECONDITION_FAILED");
        ok(await admin.delete(`/roles/${name}`), 204);
        for (const reply of [await admin.get(`/roles/${name}`), await admin.patch(`/roles/${name}`, { description: "x" }), await admin.delete(`/roles/${name}`)]) {
            refused(reply, 404, "ROLE_NOT_FOUND");
        }
    });

    test("bad values are named", async () => {
        const { name } = await newRole("orders:read");
        refused(await admin.post("/roles", { name, scopes: ["orders:read"] }), 409, "ROLE_EXISTS");
        refused(await admin.post("/roles", { name: "customer", scopes: ["orders:read"] }), 409, "ROLE_EXISTS");
        invalid(await admin.post("/roles", { name: "No Name", scopes: ["orders:read"] }), "name");
        invalid(await admin.post("/roles", { name: unique("role-"), scopes: [] }), "scopes");
        invalid(await admin.post("/roles", { name: unique("role-"), scopes: ["orders:eat"] }), "scopes[0]");
        invalid(await admin.patch(`/roles/${name}`, { scopes: ["orders:read", "orders:read"] }), "scopes[1]");
        const key = newId();
        ok(await admin.post("/roles", { name: unique("role-"), scopes: ["orders:read"] }, { key }), 201);
        refused(await admin.post("/roles", { name: unique("role-"), scopes: ["orders:read"] }, { key }), 422, "IDEMPOTENCY_KEY_REUSED");
    });

    test("those that came with souk cannot be deleted, and admin not be changed", async () => {
        refused(await admin.delete("/roles/staff"), 409, "ROLE_BUILT_IN");
        refused(await admin.delete("/roles/admin"), 409, "ROLE_BUILT_IN");
        refused(await admin.patch("/roles/admin", { scopes: ["orders:read"] }), 409, "ROLE_BUILT_IN");
    });

    test("one that somebody has cannot be deleted, nor be granted after it was", async () => {
        const { name } = await newRole("orders:read");
        const holder = await holderOf(name);
        refused(await admin.delete(`/roles/${name}`), 409, "ROLE_IN_USE");
        ok(await admin.patch(`/users/${holder.id}`, { role: "customer" }));
        ok(await admin.delete(`/roles/${name}`), 204);
        invalid(await admin.patch(`/users/${holder.id}`, { role: name }), "role");
    });

    test("a race of granting and deleting leaves nobody with a role that is no more", async () => {
        for (let round = 0; round < 5; round++) {
            const { name } = await newRole("orders:read");
            const account = await shop.register();
            const [grant, removal] = await Promise.all([admin.patch(`/users/${account.id}`, { role: name }), admin.delete(`/roles/${name}`)]);
            const isGranted = grant.status === 200;
            assert.ok(isGranted ? removal.status === 409 : grant.status === 400 && removal.status === 204, `${grant.status} ${removal.status}`);
            assert.equal((await admin.get(`/roles/${name}`)).status, isGranted ? 200 : 404);
        }
    });
});

describe("what a role grants", () => {
    for (const scope of ALL_SCOPES) {
        test(`${scope}, and nothing else`, async () => {
            const { client } = await shop.staffWith(scope);
            for (const operation of operations.filter(({ souk }) => souk.access === "staff")) {
                const target = operation.path.replace(/\{[^}]+\}/g, () => newId());
                const reply = await client.request(operation.method, target, operation.body?.example);
                const isForbidden = reply.status === 403 && reply.body.detail === "Your role does not allow this";
                assert.equal(isForbidden, operation.souk.scope !== scope, `${operation.id}: ${reply.status} ${reply.text}`);
            }
        });
    }

    test("holds from the next request on, for sessions that are open", async () => {
        const { name } = await newRole("orders:read");
        const { client } = await holderOf(name);
        ok(await client.get("/orders"));
        refused(await client.get("/users"), 403, "FORBIDDEN");
        for (let round = 0; round < 3; round++) {
            ok(await admin.patch(`/roles/${name}`, { scopes: ["customers:read"] }));
            ok(await client.get("/users"));
            ok(await admin.patch(`/roles/${name}`, { scopes: ["orders:read"] }));
            refused(await client.get("/users"), 403, "FORBIDDEN");
        }
    });

    test("is seen by another server at once", { skip: engine === "postgres" ? false : "SQLite's shop has one server" }, async () => {
        const second = await Server.start({ data: shop.server.data });
        try {
            const { name } = await newRole("orders:read");
            const holder = await holderOf(name);
            const there = new (shop.guest.constructor as typeof Client)(second.url, holder.session.accessToken);
            refused(await there.get("/users"), 403, "FORBIDDEN");
            ok(await admin.patch(`/roles/${name}`, { scopes: ["customers:read"] }));
            const until = Date.now() + 1000;
            let reply = await there.get("/users");
            while (reply.status !== 200 && Date.now() < until) reply = await there.get("/users");
            ok(reply);
        } finally {
            await second.dispose();
        }
    });
});

describe("nobody rises", () => {
    test("a role with scopes that one has not is not made, changed or granted", async () => {
        const chief = await shop.staffWith("staff:read", "staff:write", "customers:read", "customers:write", "orders:read");
        const greater = await newRole("orders:read", "settings:write");
        const account = await shop.register();
        for (const reply of [
            await chief.client.post("/roles", { name: unique("role-"), scopes: ["settings:write"] }),
            await chief.client.patch(`/roles/${greater.name}`, { scopes: ["orders:read"] }),
            await chief.client.patch(`/roles/${chief.session.user.role}`, { scopes: ["staff:write", "settings:write"] }),
            await chief.client.delete(`/roles/${greater.name}`),
            await chief.client.patch(`/users/${account.id}`, { role: greater.name }),
            await chief.client.patch(`/users/${account.id}`, { role: "admin" }),
            await chief.client.patch(`/users/${chief.id}`, { role: "admin" }),
            await chief.client.patch(`/users/${shop.admin.id}`, { firstName: "Mallory" }),
            await chief.client.delete(`/users/${shop.admin.id}`),
        ]) refused(reply, 403, "FORBIDDEN");
        assert.equal(ok(await admin.get(`/users/${account.id}`)).role, "customer");

        const lesser = ok(await chief.client.post("/roles", { name: unique("role-"), scopes: ["orders:read"] }), 201);
        assert.equal(ok(await chief.client.patch(`/users/${account.id}`, { role: lesser.name })).role, lesser.name);
        const granted = await logIn(shop.guest, account.email);
        assert.equal(granted.session.user.role, lesser.name);
        ok(await granted.client.get("/orders"));
    });

    test("customers:write without staff:write changes customers only", async () => {
        const clerk = await shop.staffWith("customers:write", "orders:read");
        const lesser = await shop.staffWith("orders:read");
        const account = await shop.register();
        assert.equal(ok(await clerk.client.patch(`/users/${account.id}`, { firstName: "Cora" })).firstName, "Cora");
        refused(await clerk.client.patch(`/users/${account.id}`, { role: lesser.session.user.role }), 403, "FORBIDDEN");
        refused(await clerk.client.patch(`/users/${lesser.id}`, { status: "disabled" }), 403, "FORBIDDEN");
        refused(await clerk.client.delete(`/users/${lesser.id}`), 403, "FORBIDDEN");
    });

    test("there are at most 100", async () => {
        const room = 100 - (await everyPage(admin, "/roles")).length;
        const replies = await parallel(room + 3, async () => admin.post("/roles", { name: unique("role-"), scopes: ["orders:read"] }));
        assert.equal(replies.filter(({ status }) => status === 201).length, room);
        for (const reply of replies.filter(({ status }) => status !== 201)) refused(reply, 409, "LIMIT_REACHED");
    });
});
