// Where an account is logged in, and ending that.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Client, etagOf, invalid, ok, refused } from "../support/client.ts";
import { engine } from "../support/database.ts";
import { Server } from "../support/server.ts";
import { Shop, everyPage, logIn, newId } from "../support/shop.ts";

let shop: Shop;
before(async () => { shop = await Shop.open(); });
after(() => shop?.close());

describe("my sessions", () => {
    test("are listed, newest first, and which is this one", async () => {
        const account = await shop.register();
        const reply = await shop.guest.post("/auth/login", { email: account.email, password: account.password }, { headers: { "user-agent": "Test/1.0 (office)" } });
        const second = shop.guest.as(ok(reply).accessToken);
        const list = await everyPage(second, "/users/me/sessions", { limit: 1 });
        assert.deepEqual(list.map((one) => one.isCurrent), [true, false]);
        assert.match(list[0].userAgent, /^Test\/1\.0/);
        assert.match(list[0].address, /127\.0\.0\.1|::1/);
        assert.equal(list[0].session, "token");
        const read = await second.get("/users/me/sessions");
        assert.equal((await second.get("/users/me/sessions", { etag: etagOf(read) })).status, 304);
        invalid(await second.get("/users/me/sessions", { query: { cursor: "bm9uZQ" } }), "cursor");
    });

    test("one is ended, at once; another's does not exist", async () => {
        const account = await shop.register();
        const other = await logIn(shop.guest, account.email);
        ok(await other.client.get("/users/me"));
        const [theirs] = ok(await other.client.get("/users/me/sessions"));
        const stranger = await shop.register();
        refused(await stranger.client.delete(`/users/me/sessions/${theirs.id}`), 404, "SESSION_NOT_FOUND");
        ok(await account.client.delete(`/users/me/sessions/${theirs.id}`), 204);
        refused(await other.client.get("/users/me"), 401, "UNAUTHENTICATED");
        refused(await shop.guest.post("/auth/refresh", { refreshToken: other.session.refreshToken }), 401, "INVALID_TOKEN");
        refused(await account.client.delete(`/users/me/sessions/${theirs.id}`), 404, "SESSION_NOT_FOUND");
        assert.equal(ok(await account.client.get("/users/me/sessions")).length, 1);
    });

    test("all others are ended", async () => {
        const account = await shop.register();
        const others = [await logIn(shop.guest, account.email), await logIn(shop.guest, account.email)];
        ok(await account.client.delete("/users/me/sessions"), 204);
        for (const { client } of others) refused(await client.get("/users/me"), 401, "UNAUTHENTICATED");
        ok(await account.client.get("/users/me"));
    });

    test("an administrator ends all of an account's", async () => {
        const account = await shop.register();
        ok(await shop.admin.client.delete(`/users/${account.id}/sessions`), 204);
        refused(await account.client.get("/users/me"), 401, "UNAUTHENTICATED");
        refused(await shop.admin.client.delete(`/users/${newId()}/sessions`), 404, "USER_NOT_FOUND");
        const clerk = await shop.staffWith("customers:write");
        refused(await clerk.client.delete(`/users/${shop.admin.id}/sessions`), 403, "FORBIDDEN");
    });

    test("another server sees it at once", { skip: engine === "postgres" ? false : "SQLite's shop has one server" }, async () => {
        const second = await Server.start({ data: shop.server.data });
        try {
            const account = await shop.register();
            const other = await logIn(shop.guest, account.email);
            const there = new Client(second.url, other.session.accessToken);
            ok(await there.get("/users/me"));
            ok(await account.client.delete("/users/me/sessions"), 204);
            const until = Date.now() + 1000;
            let reply = await there.get("/users/me");
            while (reply.status !== 401 && Date.now() < until) reply = await there.get("/users/me");
            refused(reply, 401, "UNAUTHENTICATED");
        } finally {
            await second.dispose();
        }
    });
});
