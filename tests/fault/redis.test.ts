// What happens to Redis while people order: killed, wiped, paused, a master of the cluster lost. The shop works on, from memory and the
// database; no order is lost, and nobody sees anything but the shop.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test, type TestContext } from "node:test";
import { checkBooks } from "../support/books.ts";
import { Client, ok, type Json } from "../support/client.ts";
import { PostgresDatabase, databaseOf } from "../support/database.ts";
import { Load } from "../support/load.ts";
import { eventually, temporaryFolder } from "../support/processes.ts";
import { Redis, RedisCluster } from "../support/redis.ts";
import { Server } from "../support/server.ts";
import { Shop, logIn, parallel, usd } from "../support/shop.ts";

const BACK_MS_MAX = 5_000;
const TIMEOUT_MS = 150_000;

interface Scene {
    shop: Shop;
    load: Load;
    products: Json[];
}

/** A shop on this Redis with people in it; afterwards everything must add up, and all along it must have served. */
async function scene(t: TestContext, redisUrl: string, act: (scene: Scene) => Promise<void>): Promise<void> {
    const { folder, release } = temporaryFolder();
    const own = databaseOf(folder, true) as PostgresDatabase;
    try {
        const shop = await Shop.open({ database: new PostgresDatabase(own.url, { REDIS_URL: redisUrl, SOUK_REDIS_TIMEOUT_MS: "100" }) });
        try {
            const products = await parallel(8, () => shop.product({ stock: 1_000_000 }));
            const load = new Load([shop.server.url], products);
            try {
                await load.more(30);
                await act({ shop, load, products });
                await load.more(30);
            } finally {
                await load.end();
            }
            load.check(own);
            const unwell = [...load.statuses.keys()].filter((status) => status.startsWith("5"));
            assert.deepEqual(unwell, [], `without Redis the shop works on; ${load.report()}`);
            checkBooks(own);
            t.diagnostic(load.report());
        } finally {
            await shop.close();
        }
    } finally {
        release();
        own.drop();
    }
}

const readiness = async (shop: Shop): Promise<string> => ok(await shop.guest.get("/health/ready")).status;

/** What staff change is seen, with or without Redis. */
async function editIsSeen({ shop, products }: Scene, amount: number): Promise<void> {
    const { id } = products[0];
    ok(await shop.admin.client.patch(`/products/${id}`, { price: usd(amount) }));
    await eventually("the new price is seen", async () => ok(await shop.guest.get(`/products/${id}`)).price.amount === amount || undefined, 2_000);
}

for (const tls of [false, true]) {
    test(`Redis ${tls ? "with TLS and a password " : ""}is killed, comes back empty, is wiped and stands still`, { timeout: TIMEOUT_MS }, async (t) => {
        const redis = await Redis.start(tls ? { tls, user: "shop", password: "p@ss w:rd/" } : {});
        try {
            await scene(t, redis.url(), async (now) => {
                const { load, shop } = now;
                await eventually("it is used", async () => Number(await redis.command("DBSIZE")) > 0);
                assert.equal(await readiness(shop), "ok");
                await redis.kill();
                await load.serves(BACK_MS_MAX);
                await editIsSeen(now, 2101);
                await eventually("it says so", async () => (await readiness(shop)) === "degraded");
                await load.more(20);
                await redis.launch();
                await eventually("all is well again", async () => (await readiness(shop)) === "ok");
                await eventually("it is used again", async () => Number(await redis.command("DBSIZE")) > 0);
                await editIsSeen(now, 2102);
                for (let i = 0; i < 5; i++) {
                    await redis.wipe();
                    await sleep(100);
                }
                await editIsSeen(now, 2103);
                redis.pause();
                await sleep(200);
                await load.serves(BACK_MS_MAX);
                await editIsSeen(now, 2104);
                redis.resume();
                await eventually("all is well after the pause", async () => (await readiness(shop)) === "ok");
                await editIsSeen(now, 2105);
            });
        } finally {
            await redis.dispose();
        }
    });
}

for (const ending of ["ends", "is killed"]) {
    test(`the only server ${ending} with changes that Redis was never told of: they hold on the next one`, { timeout: TIMEOUT_MS }, async () => {
        const { folder, release } = temporaryFolder();
        const own = databaseOf(folder, true) as PostgresDatabase;
        const redis = await Redis.start();
        const database = new PostgresDatabase(own.url, { REDIS_URL: redis.url() });
        const shop = await Shop.open({ database });
        let next: Server | undefined;
        try {
            const { id } = await shop.product({ name: "Before" });
            const { session } = await logIn(shop.guest, (await shop.register()).email);
            await eventually("both are in Redis", async () => {
                assert.equal(ok(await shop.guest.get(`/products/${id}`)).name, "Before");
                ok(await shop.guest.as(session.accessToken).get("/users/me"));
                return Number(await redis.command("DBSIZE")) > 2; // more than the generation
            });
            await sleep(500); // and what is cached of the session
            redis.pause();
            ok(await shop.admin.client.patch(`/products/${id}`, { name: "After" }));
            ok(await shop.guest.as(session.accessToken).post("/auth/logout"), 204);
            if (ending === "ends") await shop.server.terminate();
            else await shop.server.kill();
            redis.resume();
            next = await Server.start({ database });
            const client = new Client(next.url);
            for (let i = 0; i < 30; i++) {
                assert.equal(ok(await client.get(`/products/${id}`)).name, "After");
                assert.equal((await client.as(session.accessToken).get("/users/me")).status, 401);
                await sleep(100);
            }
        } finally {
            await next?.kill();
            await shop.close();
            await redis.dispose();
            release();
            own.drop();
        }
    });
}

test("a master of a TLS cluster is killed: its replica takes over", { timeout: TIMEOUT_MS }, async (t) => {
    const cluster = await RedisCluster.start();
    try {
        await scene(t, cluster.url(), async (now) => {
            const { load, shop } = now;
            const keys = async () => (await Promise.all((await cluster.masters()).map(async (node) => Number(await node.command("DBSIZE")))));
            await eventually("the shop trusts the cluster", async () => (await readiness(shop)) === "ok");
            await eventually("every master is used", async () => (await keys()).every((count) => count > 0));
            for (let round = 0; round < 2; round++) {
                const [master] = await cluster.masters();
                await master!.kill();
                await load.serves(BACK_MS_MAX);
                await editIsSeen(now, 2200 + round);
                await cluster.settle();
                await eventually("all is well with the new master", async () => (await readiness(shop)) === "ok");
                await eventually("every master is used", async () => (await keys()).every((count) => count > 0));
                await editIsSeen(now, 2300 + round);
                await master!.launch();
                await cluster.settle();
            }
        });
    } finally {
        await cluster.dispose();
    }
});
