// The catalogue while PostgreSQL is away: what was looked at lately is still shown, with its age, for a while; what was edited is not.
// Without Redis, so that the servers' link is gone with the database: then entries live a second and are a last resort only.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { ok, refused } from "../support/client.ts";
import { PostgresDatabase } from "../support/database.ts";
import { Postgres } from "../support/postgres.ts";
import { eventually } from "../support/processes.ts";
import { Shop } from "../support/shop.ts";

test("what was looked at is shown while the database is away, what was edited is not", { timeout: 120_000 }, async () => {
    const postgres = await Postgres.start({});
    try {
        const name = await postgres.createDatabase();
        const database = new PostgresDatabase(postgres.url(name), { DATABASE_URL: postgres.url(name), SOUK_DATABASE_TIMEOUT_MS: "2000" });
        const shop = await Shop.open({ database });
        try {
            const [kept, edited, other] = [await shop.product(), await shop.product(), await shop.product()];
            const list = "/products?limit=2";
            for (const path of [`/products/${kept.id}`, `/products/${edited.id}`, list]) ok(await shop.guest.get(path));
            const before = await shop.guest.get(`/products/${kept.id}`);
            ok(await shop.admin.client.patch(`/products/${edited.id}`, { name: "Edited" }));
            await postgres.kill();
            await eventually("the server says so", async () => (await shop.guest.get("/health/ready")).status === 503);
            await sleep(1_500);
            for (let i = 0; i < 3; i++) {
                const reply = await shop.guest.get(`/products/${kept.id}`);
                assert.equal(ok(reply).id, kept.id);
                assert.equal(reply.text, before.text);
                assert.ok(Number(reply.headers.get("age")) >= 1, String(reply.headers.get("age")));
                refused(await shop.guest.get(`/products/${edited.id}`), 503, "UNAVAILABLE");
                refused(await shop.guest.get(`/products/${other.id}`), 503, "UNAVAILABLE");
                refused(await shop.guest.get(list), 503, "UNAVAILABLE"); // it showed what was edited
            }
            await postgres.launch();
            await eventually("the shop is back", async () => (await shop.guest.get(`/products/${other.id}`)).status === 200);
            assert.equal(ok(await shop.guest.get(`/products/${edited.id}`)).name, "Edited");
            ok(await shop.admin.client.patch(`/products/${kept.id}`, { name: "Edited, too" }));
            assert.equal(ok(await shop.guest.get(`/products/${kept.id}`)).name, "Edited, too");
        } finally {
            await shop.close();
        }
    } finally {
        await postgres.dispose();
    }
});
