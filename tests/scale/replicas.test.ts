// Read replicas: what the catalogue's readers get from them, and what they never notice of replicas that lag, die or are promoted.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, test } from "node:test";
import { Client, ok } from "../support/client.ts";
import { Postgres } from "../support/postgres.ts";
import { eventually, type ServerOptions } from "../support/server.ts";
import { Shop, newId, parallel, usd } from "../support/shop.ts";

const LAG_MS = 500;
const LOST_MS_MAX = 1000; // a replica that does not answer is passed over after this long
const READS = 120;

let primary: Postgres;
let one: Postgres;
let two: Postgres;
before(async () => {
    primary = await Postgres.start();
    [one, two] = [await primary.replica(), await primary.replica()];
});
after(async () => {
    for (const server of [two, one, primary]) await server?.dispose();
});

async function openShop(settings: Record<string, string> = {}): Promise<Shop> {
    const name = await primary.createDatabase();
    const options: ServerOptions = {
        env: {
            DATABASE_URL: primary.url(name), DATABASE_REPLICA_URLS: `${one.url(name)}, ${two.url(name)}`, REDIS_URL: "",
            SOUK_REPLICA_LAG_MS: String(LAG_MS), ...settings,
        },
    };
    const shop = await Shop.open(options);
    await healthy(shop, one, true);
    await healthy(shop, two, true);
    return shop;
}

/** A number that the server shows of a replica; 0 while it shows none. */
async function metric(shop: Shop, name: string, replica: Postgres): Promise<number> {
    const text = await (await fetch(`${shop.server.url}/metrics`)).text();
    const line = text.split("\n").find((each) => each.startsWith(`${name}{replica="${replica.address}"}`));
    return Number(line?.split(" ").at(-1) ?? 0);
}

const reads = async (shop: Shop) => Promise.all([one, two].map((replica) => metric(shop, "souk_postgres_replica_reads_total", replica)));

async function healthy(shop: Shop, replica: Postgres, isHealthy: boolean, withinMs = 10_000): Promise<void> {
    await eventually(`${replica.address} is ${isHealthy ? "" : "not "}read from`,
        async () => (await metric(shop, "souk_postgres_replica_healthy", replica)) === (isHealthy ? 1 : 0), withinMs);
}

/** Reads that no cache answers; how many of them each replica got. */
async function browse(shop: Shop, count = READS): Promise<number[]> {
    const [first, second] = await reads(shop);
    const statuses = await parallel(count, async () => (await shop.guest.get(`/products/${newId()}`)).status);
    assert.deepEqual([...new Set(statuses)], [404]);
    const [then, after] = await reads(shop);
    return [then! - first!, after! - second!];
}

const priceOf = async (client: Client, id: string): Promise<number> => ok(await client.get(`/products/${id}`)).price.amount as number;

describe("two replicas", () => {
    let shop: Shop;
    before(async () => { shop = await openShop(); });
    after(() => shop?.close());

    test("share what is read, and the primary has the rest to itself", async () => {
        await browse(shop); // every worker has chosen
        const counts = await browse(shop);
        assert.equal(counts[0]! + counts[1]!, READS);
        // Each worker keeps to the one that it chose, and few of them do most of the work: an even share is not to be had.
        for (const count of counts) assert.ok(count >= READS / 20, counts.join(" and "));
    });

    test("one that lags is passed over, and read from again when it has caught up", async () => {
        await one.query("SELECT pg_wal_replay_pause()");
        await shop.product();
        await healthy(shop, one, false);
        assert.deepEqual(await browse(shop), [0, READS]);
        await one.query("SELECT pg_wal_replay_resume()");
        await healthy(shop, one, true);
        await browse(shop);
        assert.ok((await browse(shop))[0]! > 0, "the workers come back to it");
    });

    test("one that is killed is noticed by nobody, and read from again when it is back", async () => {
        await browse(shop);
        await two.kill();
        for (let i = 0; i < 5; i++) await browse(shop);
        await healthy(shop, two, false);
        const [first, second] = await browse(shop);
        assert.deepEqual([first, second], [READS, 0]);
        await two.launch();
        await healthy(shop, two, true);
        await browse(shop);
        assert.ok((await browse(shop))[1]! > 0);
    });

    test(`one that stands still is passed over after ${LOST_MS_MAX} ms; whoever was waiting for it gets an answer elsewhere`, async () => {
        await browse(shop);
        two.pause();
        try {
            const waiting = parallel(20, async () => (await shop.guest.get(`/products/${newId()}`)).status);
            await sleep(LOST_MS_MAX);
            const started = performance.now();
            await healthy(shop, two, false, LOST_MS_MAX * 3); // what the gauge shows is as old as its watcher's patience
            assert.deepEqual([...new Set(await waiting)], [404]);
            await browse(shop, 40);
            const ms = performance.now() - started;
            const quick = performance.now();
            assert.equal((await browse(shop, 40))[1], 0);
            assert.ok(performance.now() - quick < 1000, `after ${Math.round(ms)} ms nobody waits for it any more`);
        } finally {
            two.resume();
        }
        await healthy(shop, two, true);
    });

    test("without any of them the primary answers", async () => {
        await one.stop();
        await two.stop();
        try {
            await browse(shop);
            await healthy(shop, one, false);
            await healthy(shop, two, false);
            assert.deepEqual(await browse(shop), [0, 0]);
        } finally {
            await one.launch();
            await two.launch();
        }
        await healthy(shop, one, true);
        await healthy(shop, two, true);
    });
});

describe("an edit", () => {
    test("is seen by the next reader, whoever reads besides", async () => {
        const shop = await openShop();
        try {
            const product = await shop.product();
            let isDone = false;
            const crowd = Array.from({ length: 8 }, async () => {
                while (!isDone) {
                    await shop.guest.get(`/products/${product.id}`);
                    await shop.guest.get(`/products/${newId()}`); // no cache has it
                }
            });
            try {
                for (let edit = 1; edit <= 40; edit++) {
                    const price = 2000 + edit;
                    ok(await shop.admin.client.patch(`/products/${product.id}`, { price: usd(price) }));
                    assert.equal(await priceOf(shop.guest, product.id), price);
                    assert.equal(await priceOf(shop.admin.client, product.id), price);
                    if (edit % 4 === 0) await sleep(60); // the replicas have it by now, and fill the cache
                    assert.equal(await priceOf(shop.guest, product.id), price);
                }
            } finally {
                isDone = true;
                await Promise.all(crowd);
            }
            const [first, second] = await reads(shop);
            assert.ok(first! + second! > 0, "replicas took part");
        } finally {
            await shop.close();
        }
    });

    test("is seen though every replica is far behind; and what they show in good faith is not kept", async () => {
        const shop = await openShop({ SOUK_REPLICA_LAG_MS: "60000" });
        const replicas = [one, two];
        try {
            const product = await shop.product({ stock: 100 });
            const cart = await shop.cartOf(shop.guest, { productId: product.id, quantity: 1 });
            await sleep(300);
            await eventually("replicas have the product", async () => (await browse(shop, 20)).some((count) => count > 0));
            for (const replica of replicas) await replica.query("SELECT pg_wal_replay_pause()");
            // a sale: others may see the old stock for as long as a replica may lag, but no longer
            ok(await shop.guest.post(`/checkout/${cart.id}`, { email: "amina@example.com", payment: { method: "manual" },
                shippingAddress: { firstName: "Amina", lastName: "Haddad", address1: "12 Rue des Lilas", city: "Lyon", zip: "69003", country: "FR" } }), 201);
            assert.equal(ok(await shop.guest.get(`/products/${product.id}`)).stock, 100, "read from a replica");
            assert.equal(ok(await shop.admin.client.get(`/products/${product.id}`)).stock, 99, "staff read the primary");
            for (const replica of replicas) await replica.query("SELECT pg_wal_replay_resume()");
            for (const replica of replicas) await replica.catchUpWith(primary);
            await eventually("the stock is right", async () => ok(await shop.guest.get(`/products/${product.id}`)).stock === 99, 3000);
            // an edit
            for (const replica of replicas) await replica.query("SELECT pg_wal_replay_pause()");
            ok(await shop.admin.client.patch(`/products/${product.id}`, { price: usd(4321) }));
            assert.equal(await priceOf(shop.guest, product.id), 4321);
            assert.deepEqual(await browse(shop, 20), [0, 0], "they have not seen what was dropped");
        } finally {
            for (const replica of replicas) await replica.query("SELECT pg_wal_replay_resume()");
            await shop.close();
        }
    });
});

test("one that was promoted is no replica any more", async () => {
    const shop = await openShop();
    try {
        await browse(shop);
        await two.promote();
        await healthy(shop, two, false);
        assert.equal((await browse(shop))[1], 0);
        await shop.product();
        await sleep(LAG_MS);
        assert.deepEqual(await browse(shop), [READS, 0]);
        assert.equal(await metric(shop, "souk_postgres_replica_healthy", two), 0);
    } finally {
        await shop.close();
    }
});
