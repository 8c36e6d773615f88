// What happens to PostgreSQL while people order: it is restarted, killed, paused, its connections are cut or taken, the primary dies
// and the replica takes over, the replica lags and goes. No order that was answered is lost, nobody sees a 5xx that is not a 503,
// and the shop serves again within five seconds.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test, type TestContext } from "node:test";
import pg from "pg";
import { checkBooks } from "../support/books.ts";
import { ok, type Json } from "../support/client.ts";
import { PostgresDatabase } from "../support/database.ts";
import { Load } from "../support/load.ts";
import { Postgres } from "../support/postgres.ts";
import { eventually } from "../support/processes.ts";
import { Shop, parallel, usd } from "../support/shop.ts";

const BACK_MS_MAX = 5_000;
const DATABASE_TIMEOUT_MS = 2_000;
const TIMEOUT_MS = 180_000;
const STAFF_CONNECTIONS = 60; // max_connections where they are to run out

/** A shop on these servers, the first of them its primary, with some people in it. */
class Scene {
    private constructor(readonly shop: Shop, readonly load: Load, readonly name: string, readonly products: Json[]) {}

    static async open(primary: Postgres, options: { others?: Postgres[]; replicas?: Postgres[]; env?: Record<string, string> } = {}): Promise<Scene> {
        const name = await primary.createDatabase();
        const hosts = [primary, ...(options.others ?? [])].map((server) => server.address).join(",");
        const url = `postgresql://postgres@${hosts}/${name}${options.others ? "?target_session_attrs=read-write" : ""}`;
        const database = new PostgresDatabase(primary.url(name), {
            DATABASE_URL: url, SOUK_DATABASE_TIMEOUT_MS: String(DATABASE_TIMEOUT_MS),
            ...(options.replicas ? { DATABASE_REPLICA_URLS: options.replicas.map((server) => server.url(name)).join(",") } : {}),
            ...(process.env.SOUK_TEST_REDIS ? { REDIS_URL: process.env.SOUK_TEST_REDIS, SOUK_REDIS_PREFIX: `${name}:` } : {}),
            ...options.env,
        });
        const shop = await Shop.open({ database, env: { SOUK_CACHE_BYTES: "0" } }); // what is looked at comes from the database
        try {
            const products = await parallel(8, () => shop.product({ stock: 1_000_000 }));
            const load = new Load([shop.server.url], products);
            await load.more(30);
            return new Scene(shop, load, name, products);
        } catch (error) {
            await shop.close();
            throw error;
        }
    }

    /** From the moment this is called it may take five seconds. */
    async isBack(t: TestContext): Promise<void> {
        t.diagnostic(`serves again after ${Math.round(await this.load.serves(BACK_MS_MAX))} ms`);
    }

    /** The people go; then everything must add up. `server` is where the database is now. */
    async close(t: TestContext, server: Postgres): Promise<void> {
        await this.load.end();
        const database = new PostgresDatabase(server.url(this.name));
        this.load.check(database);
        checkBooks(database);
        t.diagnostic(this.load.report());
    }
}

/** A primary that is gone at the end, whatever happened. */
async function withPostgres(settings: Record<string, string>, act: (primary: Postgres, keep: (replica: Postgres) => Postgres) => Promise<void>): Promise<void> {
    const servers: Postgres[] = [];
    try {
        const primary = await Postgres.start({ settings });
        servers.push(primary);
        await act(primary, (replica) => {
            servers.push(replica);
            return replica;
        });
    } finally {
        for (const server of servers.reverse()) await server.dispose();
    }
}

/** One fault and its mending, while people order. */
function fault(name: string, act: (scene: Scene, primary: Postgres, t: TestContext) => Promise<void>, settings: Record<string, string> = {}): void {
    test(name, { timeout: TIMEOUT_MS }, (t) => withPostgres(settings, async (primary) => {
        const scene = await Scene.open(primary);
        try {
            await act(scene, primary, t);
            await scene.load.more(30);
            await scene.close(t, primary);
        } finally {
            await scene.load.end();
            await scene.shop.close();
        }
    }));
}

const appSessions = (scene: Scene) => `FROM pg_stat_activity WHERE datname = '${scene.name}' AND pid <> pg_backend_pid()`;

fault("restarted, three times", async (scene, primary, t) => {
    for (const mode of ["fast", "immediate", "fast"] as const) {
        await primary.restart(mode);
        await scene.isBack(t);
        await scene.load.more(20);
    }
});

fault("killed, and back after a while", async (scene, primary, t) => {
    await primary.kill();
    const status = await eventually("the server says so", async () => {
        const reply = await scene.shop.guest.get("/health/ready");
        return reply.status === 503 && reply.status;
    });
    assert.equal(status, 503);
    assert.equal((await scene.shop.guest.get("/health/live")).status, 200, "it lives");
    await sleep(3_000);
    await primary.launch();
    await scene.isBack(t);
    assert.equal((await scene.shop.guest.get("/health/ready")).status, 200);
});

fault("standing still: nobody waits for longer than the timeout", async (scene, primary, t) => {
    primary.pause();
    await sleep(DATABASE_TIMEOUT_MS);
    const started = performance.now();
    const reply = await scene.shop.guest.get(`/products/${scene.products[0].id}`);
    const ms = performance.now() - started;
    assert.equal(reply.status, 503, reply.text);
    assert.ok(ms < 2 * DATABASE_TIMEOUT_MS, `it took ${Math.round(ms)} ms`);
    await sleep(2 * DATABASE_TIMEOUT_MS);
    primary.resume();
    await scene.isBack(t);
});

fault("connections cut in the middle of transactions, again and again", async (scene, primary, t) => {
    for (let round = 0; round < 40; round++) {
        await primary.query(`SELECT pg_terminate_backend(pid) ${appSessions(scene)} AND (state <> 'idle' OR random() < 0.2)`);
        await sleep(50 + ((round * 37) % 100));
    }
    await scene.isBack(t);
});

fault("every connection taken by somebody else", async (scene, primary, t) => {
    const [{ count } = {}] = await primary.query(`SELECT count(*)::int ${appSessions(scene)}`);
    assert.ok(Number(count) > 0);
    // whoever is cut off finds no place any more
    const taken: pg.Client[] = [];
    const take = async () => {
        const client = new pg.Client({ connectionString: primary.url(), connectionTimeoutMillis: 2_000 });
        client.on("error", () => undefined);
        await client.connect();
        taken.push(client);
    };
    try {
        for (let free = true; free;) {
            await primary.query(`SELECT pg_terminate_backend(pid) ${appSessions(scene)}`).catch(() => undefined);
            free = await parallel(8, take).then(() => true, () => false);
        }
        await sleep(3_000);
    } finally {
        await Promise.all(taken.map((client) => client.end().catch(() => undefined)));
    }
    await scene.isBack(t);
}, { max_connections: String(STAFF_CONNECTIONS) });

test("the primary is killed and the replica takes its place", { timeout: TIMEOUT_MS }, (t) => withPostgres({}, async (primary, keep) => {
    const replica = keep(await primary.replica());
    // what was answered is on both
    await primary.set({ synchronous_standby_names: "*", synchronous_commit: "on" });
    const scene = await Scene.open(primary, { others: [replica] });
    try {
        await primary.kill();
        await sleep(500);
        await replica.set({ synchronous_standby_names: "" });
        await replica.promote();
        await scene.isBack(t);
        await scene.load.more(30);
        await scene.close(t, replica);
    } finally {
        await scene.load.end();
        await scene.shop.close();
    }
}));

test("a replica lags, stops, comes back: reads go where they are right", { timeout: TIMEOUT_MS }, (t) => withPostgres({}, async (primary, keep) => {
    const replica = keep(await primary.replica());
    const scene = await Scene.open(primary, { replicas: [replica], env: { SOUK_REPLICA_LAG_MS: "200" } });
    try {
        const reads = async () => Number((await replica.query(`SELECT coalesce(sum(xact_commit), 0)::int AS n FROM pg_stat_database WHERE datname = '${scene.name}'`))[0]!.n);
        await replica.catchUpWith(primary);
        const before = await reads();
        await eventually("the replica is read", async () => (await reads()) > before + 50, 10_000);

        const { guest, admin } = scene.shop;
        const edit = async (amount: number, withinMs: number) => {
            const { id } = scene.products[0];
            ok(await admin.client.patch(`/products/${id}`, { price: usd(amount) }));
            assert.equal(ok(await admin.client.get(`/products/${id}`)).price.amount, amount, "staff see what they wrote, at once");
            await eventually("so does everybody soon", async () => ok(await guest.get(`/products/${id}`)).price.amount === amount || undefined, withinMs);
        };
        await edit(2100, 2_000);
        await replica.query("SELECT pg_wal_replay_pause()");
        await edit(2200, 3_000); // the replica never has it
        await scene.load.more(20);
        await edit(2300, 3_000);
        replica.pause();
        await scene.isBack(t);
        await scene.load.more(20);
        await replica.kill();
        await scene.isBack(t);
        await edit(2400, 2_000);
        await replica.launch();
        await replica.query("SELECT pg_wal_replay_resume()").catch(() => undefined); // a start resumes by itself
        const again = await reads();
        await eventually("the replica is read again", async () => (await reads()) > again + 50, 15_000);
        await scene.close(t, primary);
    } finally {
        await scene.load.end();
        await scene.shop.close();
    }
}));
