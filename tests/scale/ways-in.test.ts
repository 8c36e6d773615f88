// The ways to a database on another machine: through pgbouncer in transaction mode, and by TLS as `sslmode` asks for it.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, test } from "node:test";
import { checkBooks } from "../support/books.ts";
import { makeCertificates } from "../support/certificates.ts";
import { PostgresDatabase } from "../support/database.ts";
import { Load } from "../support/load.ts";
import { PgBouncer, Postgres } from "../support/postgres.ts";
import { souk, temporaryFolder } from "../support/server.ts";
import { Shop, parallel } from "../support/shop.ts";

const POOL = 8; // connections that pgbouncer opens: fewer than the servers have
const BACK_MS_MAX = 5_000;

describe("pgbouncer in transaction mode", () => {
    let primary: Postgres;
    let bouncer: PgBouncer;
    before(async () => {
        primary = await Postgres.start();
        bouncer = await PgBouncer.start(primary, { poolSize: POOL });
    });
    after(async () => {
        await bouncer?.dispose();
        await primary?.dispose();
    });

    test("two servers order through few connections, also after it was gone", { timeout: 120_000 }, async (t) => {
        const name = await primary.createDatabase();
        const direct = new PostgresDatabase(primary.url(name));
        const database = new PostgresDatabase(bouncer.url(name), { SOUK_DATABASE_PREPARE: "off" });
        const shops: Shop[] = [];
        let load: Load | undefined;
        try {
            for (let i = 0; i < 2; i++) shops.push(await Shop.open({ database }));
            const products = await parallel(8, () => shops[0]!.product({ stock: 1_000_000 }));
            load = new Load(shops.map((shop) => shop.server.url), products);
            await load.more(100);
            assert.deepEqual([...load.statuses.keys()].filter((status) => status.startsWith("5")), [], load.report());
            const [{ n } = {}] = await primary.query("SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = $1", [name]);
            assert.ok(Number(n) > 0 && Number(n) <= POOL, `${n} connections`);
            await bouncer.kill();
            await sleep(500);
            await bouncer.launch();
            t.diagnostic(`serves again after ${Math.round(await load.serves(BACK_MS_MAX))} ms`);
            await load.more(50);
            await load.end();
            load.check(direct);
            checkBooks(direct);
        } finally {
            await load?.end();
            for (const shop of shops) await shop.close();
        }
    });
});

describe("TLS", () => {
    let primary: Postgres;
    before(async () => { primary = await Postgres.start({ tls: true }); });
    after(() => primary?.dispose());

    test("a server that is who it says it is serves a shop", async () => {
        const name = await primary.createDatabase();
        const { authority } = primary.certificates!;
        const shop = await Shop.open({ database: new PostgresDatabase(`${primary.url(name)}?sslmode=verify-full&sslrootcert=${encodeURIComponent(authority)}`) });
        try {
            await shop.order(shop.guest, await shop.product());
            const rows = await primary.query("SELECT s.ssl, count(*)::int AS n FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.datname = $1 GROUP BY 1", [name]);
            assert.deepEqual(rows.map((row) => row.ssl), [true], "every connection is encrypted");
        } finally {
            await shop.close();
        }
    });

    test("another's certificate, another's name and no TLS are refused; the password is not told", async () => {
        const name = await primary.createDatabase();
        const { folder, release } = temporaryFolder();
        try {
            const stranger = encodeURIComponent(makeCertificates(folder).authority);
            const own = encodeURIComponent(primary.certificates!.authority);
            const base = `postgresql://postgres:not-for-the-log@${primary.address}/${name}`;
            const cases: Record<string, RegExp> = {
                [`${base}?sslmode=verify-full&sslrootcert=${stranger}`]: /certificate/i,
                [`${base.replace("127.0.0.1", "ip6-localhost-no-such")}?hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert=${own}`]: /certificate|host name/i,
                [`${base}?sslmode=disable`]: /encryption|pg_hba|SSL/i,
            };
            for (const [url, why] of Object.entries(cases)) {
                const result = await souk(folder, ["migrate", "status"], { env: new PostgresDatabase(url).env });
                const said = result.stdout + result.stderr;
                assert.notEqual(result.code, 0, url);
                assert.match(said, why);
                assert.ok(!said.includes("not-for-the-log"), said);
            }
        } finally {
            release();
        }
    });
});
