// Several servers on one PostgreSQL without Redis: what one changes the others hear of by LISTEN and NOTIFY, and where that does not
// work, they find out soon all the same.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Client, ok } from "../support/client.ts";
import { PgBouncer, Postgres } from "../support/postgres.ts";
import { Server, eventually } from "../support/server.ts";
import { Shop, usd, type Account } from "../support/shop.ts";

const SEEN_MS_MAX = 100;
const EDITS = 20;
const EDITS_LATE_MAX = 1;    // a test's machine may be busy elsewhere once
const UNHEARD_MS_MAX = 2500; // without a word from others, entries live a second
const LINK_MS_MAX = 10_000;

let postgres: Postgres;
before(async () => { postgres = await Postgres.start(); });
after(() => postgres?.dispose());

async function metric(server: Server, name: string): Promise<number> {
    const text = await (await fetch(`${server.url}/metrics`)).text();
    return Number(text.split("\n").find((line) => line.startsWith(`${name} `))?.split(" ")[1] ?? 0);
}

const hears = (server: Server) => eventually("it hears of the others", async () => (await metric(server, "souk_cache_link_up")) === 1, LINK_MS_MAX);

/** How long a new price takes to be seen by a reader who has the old one cached. */
async function editSeenAfterMs(admin: Account, reader: Client, id: string, price: number): Promise<number> {
    for (let i = 0; i < 2; i++) ok(await reader.get(`/products/${id}`));
    ok(await admin.client.patch(`/products/${id}`, { price: usd(price) }));
    const started = performance.now();
    await eventually("the new price is seen", async () => ok(await reader.get(`/products/${id}`)).price.amount === price, LINK_MS_MAX);
    return performance.now() - started;
}

describe("two servers on one PostgreSQL", () => {
    let shop: Shop;
    let second: Server;
    before(async () => {
        const env = { DATABASE_URL: postgres.url(await postgres.createDatabase()), REDIS_URL: "" };
        shop = await Shop.open({ env });
        second = await Server.start({ data: shop.server.data, env });
        await hears(shop.server);
        await hears(second);
    });
    after(async () => {
        await second?.dispose();
        await shop?.close();
    });

    test(`a price edited through one is seen through the other within ${SEEN_MS_MAX} ms`, async () => {
        const reader = new Client(second.url);
        const product = await shop.product();
        const late: number[] = [];
        for (let edit = 1; edit <= EDITS; edit++) {
            const ms = await editSeenAfterMs(shop.admin, reader, product.id, 2000 + edit);
            if (ms > SEEN_MS_MAX) late.push(Math.round(ms));
        }
        assert.ok(late.length <= EDITS_LATE_MAX, `seen after ${late.join(", ")} ms`);
        assert.ok(await metric(second, "souk_response_cache_total{result=\"hit\"}") > 0, "there was something to drop");
    });

    test("cut connections heal, and no edit is missed meanwhile", async () => {
        const reader = new Client(second.url);
        const product = await shop.product();
        for (let cut = 1; cut <= 5; cut++) {
            await postgres.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'souk'");
            const ms = await editSeenAfterMs(shop.admin, reader, product.id, 3000 + cut);
            assert.ok(ms <= UNHEARD_MS_MAX, `seen after ${Math.round(ms)} ms`);
        }
        await hears(second);
        await hears(shop.server);
        assert.ok(await editSeenAfterMs(shop.admin, reader, product.id, 4000) <= UNHEARD_MS_MAX);
    });

    test("a database that stands still and comes back is heard again", async () => {
        const product = await shop.product();
        postgres.pause();
        try {
            await eventually("the link is known to be dead", async () => (await metric(second, "souk_cache_link_up")) === 0, LINK_MS_MAX);
        } finally {
            postgres.resume();
        }
        await hears(second);
        await hears(shop.server);
        await eventually("the shop is open", async () => (await shop.guest.get("/categories")).status === 200, LINK_MS_MAX);
        assert.ok(await editSeenAfterMs(shop.admin, new Client(second.url), product.id, 5000) <= UNHEARD_MS_MAX);
    });
});

test("through pgbouncer in transaction mode nothing is heard; it says so once, and edits are seen a second late", async () => {
    const bouncer = await PgBouncer.start(postgres);
    try {
        const env = { DATABASE_URL: bouncer.url(await postgres.createDatabase()), REDIS_URL: "", SOUK_DATABASE_PREPARE: "off", SOUK_LOG: "warn" };
        const shop = await Shop.open({ env });
        const second = await Server.start({ data: shop.server.data, env });
        try {
            await eventually("it is said", () => /LISTEN does not work/.test(second.stderr), LINK_MS_MAX);
            const product = await shop.product();
            for (let edit = 1; edit <= 3; edit++) {
                const ms = await editSeenAfterMs(shop.admin, new Client(second.url), product.id, 2000 + edit);
                assert.ok(ms <= UNHEARD_MS_MAX, `seen after ${Math.round(ms)} ms`);
            }
            assert.equal(second.stderr.match(/LISTEN does not work/g)!.length, 1);
        } finally {
            await second.dispose();
            await shop.close();
        }
    } finally {
        await bouncer.dispose();
    }
});
