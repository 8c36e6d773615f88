// make bench on PostgreSQL: what a request costs, beside pgbench that has the same server do the same work.
//
// A PostgreSQL of our own with a sample shop in it, durable. It, souk and pgbench share one core, souk's load has another; both have
// the same number of connections to it. Rounds measure each in turn. CPU time is the system's account of souk or pgbench and of all
// of PostgreSQL's processes. pgbench prepares its statements; its first second, in which its connections warm up, is not counted.
//
// pgbench can make numbers, no ids: so the products' slugs are numbers here, and whoever asks for a product asks by slug.
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { createInterface, type Interface } from "node:readline";
import pg from "pg";
import { binary } from "../support/paths.ts";
import { binariesOfPostgres, Postgres } from "../support/postgres.ts";
import { childrenOf, track } from "../support/processes.ts";
import { aligned, facts, markdown, median, programVersion, rounded, withSpread, writePart, type Table } from "./document.ts";
import { buildLoad, coreBusyUs, cpuUs, metricsOf, pin, pinned, reapedCpuUs, rise, runLoad, serverCore, startSouk, type Server } from "./processes.ts";
import { checkoutBody, get, post, randomNumbers, shuffled, writeRequests } from "./requests.ts";

const PRODUCTS = 10_000;
const CONNECTIONS = 32;  // of souk and of pgbench to PostgreSQL
const READERS = 64;      // of souk, by HTTP
const BUYERS = 32;
const ROUNDS = 5;
const WARM_S = 8;        // each of PostgreSQL's processes must have seen the pages it reads
const PGBENCH_RATE_MAX = 1000; // at first, when it is not known
const RUN_S_MAX = 36_000;
const SOUK_CARTS = 1_000_000_000; // the numbers of its carts are from here on
const SECRET = "only-for-this-benchmark-and-gone-with-it";

/** What one of the two did in one round. */
interface Side {
    perSecond: number;
    ownUs: number;       // CPU of souk or pgbench, for each
    postgresUs: number;  // CPU of PostgreSQL's processes, for each
    othersShare: number; // of their core, used by others meanwhile
    batch?: number;      // of souk: orders in a transaction
}

interface Row {
    name: string;
    souk: Side[];
    pgbench: Side[];
    wanted: number;          // the least ratio,
    by: "cpu" | "perSecond"; // of this
}

const say = (text: string) => console.log(text);

// ---- PostgreSQL ----

/** CPU time of PostgreSQL so far: the postmaster, its children, and those that have ended. */
function postgresCpuUs(postmaster: number): number {
    const alive = childrenOf(postmaster).reduce((sum, pid) => {
        try {
            return sum + cpuUs(pid);
        } catch {
            return sum; // it has just ended, and the postmaster's account has it
        }
    }, cpuUs(postmaster));
    return alive + reapedCpuUs(postmaster);
}

function postmasterOf(server: Postgres): number {
    return Number(readFileSync(path.join(server.data, "postmaster.pid"), "utf8").split("\n")[0]);
}

function runSouk(url: string, folder: string, args: string[]): void {
    const result = spawnSync(binary, [...args, "--data", folder], {
        encoding: "utf8", cwd: folder, env: { PATH: process.env.PATH!, DATABASE_URL: url, SOUK_SECRET: SECRET }, stdio: ["ignore", "pipe", "pipe"],
    });
    if (result.status !== 0) throw new Error(`souk ${args.join(" ")}: ${result.stderr || result.stdout}`);
}

/** Slugs are numbers from 1, none missing, and nothing is ever sold out. */
const PREPARE_SHOP = `
    UPDATE products p SET slug = r.n::text FROM (
        SELECT number, row_number() OVER (ORDER BY number) AS n FROM products WHERE is_active AND deleted_at IS NULL) r
    WHERE r.number = p.number;
    UPDATE variant_stock SET on_hand = 1000000000 WHERE is_tracked;
    CREATE TABLE bench_skus AS
        SELECT row_number() OVER (ORDER BY v.id) AS n, v.id AS variant_id, v.product_id, v.price_minor, v.sku, p.name
        FROM variants v JOIN products p ON p.id = v.product_id JOIN variant_stock s ON s.product_id = v.product_id AND s.variant_id = v.id
        WHERE p.is_active AND p.deleted_at IS NULL AND v.deleted_at IS NULL AND NOT s.is_retired;
    CREATE UNIQUE INDEX bench_skus_n ON bench_skus (n);
    CREATE TABLE bench_gate ();
    CREATE TABLE bench_carts (n bigint PRIMARY KEY, id uuid NOT NULL, wanted json NOT NULL, placed json NOT NULL);
`;

/** Carts first..last with one line each: the SKU with the cart's number, round and round, or the hot one. */
const MAKE_CARTS = `
    WITH made AS (
        SELECT n, n + CASE WHEN $3 THEN 1000000000000 ELSE 0 END AS order_n, gen_random_uuid() AS id, CASE WHEN $3 THEN 1 ELSE 1 + n % (SELECT count(*) FROM bench_skus) END AS sku
        FROM generate_series($1::bigint, $2::bigint) AS n),
    carts AS (INSERT INTO carts (id, created_at, updated_at) SELECT id, now(), now() FROM made),
    lines AS (
        INSERT INTO cart_lines (cart_id, id, product_id, variant_id, quantity, unit_price_minor, name, sku, created_at)
        SELECT made.id, gen_random_uuid(), s.product_id, s.variant_id, 1, s.price_minor, s.name, s.sku, now()
        FROM made JOIN bench_skus s ON s.n = made.sku)
    INSERT INTO bench_carts (n, id, wanted, placed)
    SELECT made.n, made.id, json_build_array(json_build_object('cart', made.id)), jsonb_build_array(
        to_jsonb(o) - '{number,status,fulfillment_status,paid_minor,refunded_minor,version,updated_at,user_id,billing_address}'::text[]
        || jsonb_build_object(
            'id', ('0190' || lpad(to_hex(order_n), 28, '0'))::uuid, 'order_number', 'SK-' || upper(lpad(to_hex(order_n), 11, '0')),
            'cart_id', made.id, 'cart_version', 1, 'cart_status', 'converted', 'prices', '[]'::json,
            'stock', jsonb_build_array(jsonb_build_object('product', s.product_id, 'variant', s.variant_id, 'quantity', 1))))
    FROM made JOIN bench_skus s ON s.n = made.sku CROSS JOIN (SELECT * FROM orders WHERE email = $4 ORDER BY number LIMIT 1) o
    RETURNING id`;

// ---- pgbench ----

const SELECT_PRODUCT = `\\set n random(1, PRODUCTS)
SELECT d.product_id, d.version, s.is_tracked, s.on_hand - s.reserved, d.body FROM products p
 JOIN product_documents d ON d.product_number = p.number JOIN variant_stock s ON s.product_id = d.product_id
 WHERE p.slug = :n AND p.deleted_at IS NULL AND s.is_retired = FALSE ORDER BY s.variant_id;
`;

/** Each client takes the carts of its number, and of its number and the number of clients, ... In two flights: between the two a shop
 * decides. The lock is the gate by which it is halted between two transactions, where it holds neither row nor snapshot. */
const PLACE_ORDER = `\\set taken :taken + 1
\\set n 1 + :client_id + ${CONNECTIONS} * (:taken - 1)
\\startpipeline
BEGIN;
LOCK TABLE bench_gate IN ROW EXCLUSIVE MODE;
SELECT o.* FROM bench_carts b, checkout_open(b.wanted) o WHERE b.n = :n;
\\endpipeline
\\startpipeline
SELECT checkout_place(b.placed) FROM bench_carts b WHERE b.n = :n;
COMMIT;
\\endpipeline
`;

/** A pgbench that runs, and says each second how fast. */
class Pgbench {
    private readonly lines: Interface;
    private readonly ended: Promise<unknown>;
    private complaint = "";

    private constructor(private readonly child: ChildProcess) {
        this.lines = createInterface({ input: child.stderr! });
        this.lines.on("line", (line) => { if (/error|aborted/i.test(line)) this.complaint = line; });
        this.ended = once(child, "close");
    }

    static start(url: string, script: string): Pgbench {
        const [program, ...args] = pinned(serverCore, [path.join(binariesOfPostgres(), "pgbench"), "--no-vacuum", "--protocol=prepared", "--jobs=1",
            `--client=${CONNECTIONS}`, `--time=${RUN_S_MAX}`, "--progress=1", "--define=taken=0", `--file=${script}`, url]);
        return new Pgbench(track(spawn(program!, args, { stdio: ["ignore", "ignore", "pipe"] })));
    }

    get pid(): number {
        return this.child.pid!;
    }

    pause(): void {
        this.child.kill("SIGSTOP");
    }
    goOn(): void {
        this.child.kill("SIGCONT");
    }

    /** Transactions a second between its last line and its next one. */
    async rate(): Promise<number> {
        for (;;) {
            const line = await Promise.race([once(this.lines, "line"), this.ended.then(() => undefined)]);
            if (!line || this.complaint) throw new Error(`pgbench failed: ${this.complaint}`);
            const match = /^progress: [\d.]+ s, ([\d.]+) tps/.exec(String(line[0]));
            if (match) return Number(match[1]);
        }
    }

    async stop(): Promise<void> {
        this.goOn();
        this.child.kill("SIGTERM");
        await this.ended;
    }
}

/** The times so far of what shares the core. */
interface Spent {
    ownUs: number;
    postgresUs: number;
    busyUs: number;
    atUs: number;
}

function spent(pid: number, postmaster: number): Spent {
    return { ownUs: cpuUs(pid), postgresUs: postgresCpuUs(postmaster), busyUs: coreBusyUs(serverCore), atUs: performance.now() * 1000 };
}

function sideOf(before: Spent, after: Spent, count: number): Side {
    const own = after.ownUs - before.ownUs;
    const postgres = after.postgresUs - before.postgresUs;
    const us = after.atUs - before.atUs;
    return {
        perSecond: (count * 1e6) / us, ownUs: own / count, postgresUs: postgres / count,
        othersShare: Math.max(0, (after.busyUs - before.busyUs - own - postgres) / us),
    };
}

/** What pgbench does in the seconds that follow, from one of its lines to a later one. */
async function measurePgbench(pgbench: Pgbench, postmaster: number, seconds: number): Promise<Side> {
    await pgbench.rate();
    const before = spent(pgbench.pid, postmaster);
    let after = before;
    let count = 0;
    for (let second = 0; second < seconds; second++) {
        const rate = await pgbench.rate();
        const now = spent(pgbench.pid, postmaster);
        count += (rate * (now.atUs - after.atUs)) / 1e6;
        after = now;
    }
    return sideOf(before, after, count);
}

// ---- all of it ----

class PostgresBench {
    private readonly load: string;
    private url = "";
    private soukCarts = 0; // made so far
    private files = 0;
    private constructor(private readonly database: Postgres, private readonly postmaster: number, private readonly folder: string) {
        this.load = buildLoad(folder);
    }

    static async open(folder: string): Promise<PostgresBench> {
        const database = await Postgres.start({ isDurable: true, settings: { shared_buffers: "512MB", max_wal_size: "4GB", checkpoint_timeout: "1h" } });
        const bench = new PostgresBench(database, postmasterOf(database), folder);
        await bench.makeShop();
        return bench;
    }

    close(): Promise<void> {
        return this.database.dispose();
    }

    private async query(statement: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
        return this.database.query(statement, values, "shop");
    }

    private async makeShop(): Promise<void> {
        const started = performance.now();
        await this.database.set({ fsync: "off" });
        await this.database.query("CREATE DATABASE shop");
        this.url = this.database.url("shop");
        mkdirSync(path.join(this.folder, "data"), { recursive: true });
        runSouk(this.url, path.join(this.folder, "data"), ["migrate", "up"]);
        runSouk(this.url, path.join(this.folder, "data"), ["seed", "--products", String(PRODUCTS), "--users", "100", "--orders", "1000"]);
        for (const statement of PREPARE_SHOP.split(";\n").filter((text) => text.trim() !== "")) await this.query(statement);
        await this.query("VACUUM (FULL, ANALYZE) products");
        await this.query("VACUUM (FULL, ANALYZE) variant_stock");
        await this.query("VACUUM ANALYZE");
        await this.database.set({ fsync: "on" });
        await this.query("CHECKPOINT");
        pin(serverCore, [this.postmaster, ...childrenOf(this.postmaster)]);
        say(`A shop of ${PRODUCTS.toLocaleString("en")} products on PostgreSQL: ${((performance.now() - started) / 1000).toFixed(1)} s`);
    }

    startSouk(): Promise<Server> {
        return startSouk("souk on PostgreSQL", path.join(this.folder, "data"),
            { DATABASE_URL: this.url, SOUK_SECRET: SECRET, SOUK_WORKERS: String(CONNECTIONS), SOUK_CACHE_BYTES: "0" });
    }

    private requests(list: string[]): string {
        return writeRequests(path.join(this.folder, `postgres-requests-${this.files++}`), list);
    }

    private script(text: string): string {
        const file = path.join(this.folder, `script-${this.files++}`);
        writeFileSync(file, text);
        return file;
    }

    private async measureSouk(souk: Server, requests: string, connections: number, seconds: number): Promise<Side> {
        const before = spent(souk.pid, this.postmaster);
        const run = await runLoad(this.load, souk, requests, { connections, seconds });
        return { ...sideOf(before, spent(souk.pid, this.postmaster), run.answered), perSecond: run.perSecond };
    }

    // ---- reading ----

    async readProducts(souk: Server, secondsEach: number): Promise<Row> {
        const listed = Number((await this.query("SELECT count(*) AS n FROM product_documents"))[0]!.n);
        const slugs = shuffled(Array.from({ length: listed }, (_, i) => i + 1), randomNumbers(1));
        const requests = this.requests(slugs.map((slug) => get(`/products/${slug}`)));
        const pgbench = Pgbench.start(this.url, this.script(SELECT_PRODUCT.replace("PRODUCTS", String(listed))));
        const row: Row = { name: "product, not cached", souk: [], pgbench: [], wanted: 0.7, by: "cpu" };
        try {
            await measurePgbench(pgbench, this.postmaster, WARM_S);
            pgbench.pause();
            await this.measureSouk(souk, requests, READERS, WARM_S);
            for (let round = 1; round <= ROUNDS; round++) {
                row.souk.push(await this.measureSouk(souk, requests, READERS, secondsEach));
                pgbench.goOn();
                await pgbench.rate(); // that of the pause
                row.pgbench.push(await measurePgbench(pgbench, this.postmaster, secondsEach));
                pgbench.pause();
                say(`reading: round ${round} of ${ROUNDS}`);
            }
        } finally {
            await pgbench.stop();
        }
        return row;
    }

    // ---- buying ----

    /** The ids of carts ready for checkout, with the numbers from `first`. */
    private async makeCarts(first: number, count: number, isHot: boolean): Promise<string[]> {
        const rows = await this.query(MAKE_CARTS, [first, first + count - 1, isHot, checkoutBody.email]);
        if (rows.length !== count) throw new Error(`${rows.length} carts of ${count}`);
        await this.query("VACUUM ANALYZE carts, cart_lines, bench_carts, orders"); // as autovacuum would, a little later
        await this.query("CHECKPOINT");
        return rows.map((row) => String(row.id));
    }

    private async ordersPlaced(): Promise<number> {
        return Number((await this.query("SELECT count(*) AS n FROM orders"))[0]!.n);
    }

    /** One order through the API: what it wrote is what the others are made of. */
    async placeFirst(souk: Server): Promise<void> {
        const call = async (target: string, body: unknown) => {
            const reply = await fetch(souk.url + target, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
            if (reply.status !== 201) throw new Error(`${target}: ${reply.status} ${await reply.text()}`);
            return (await reply.json() as { data: { id: string } }).data;
        };
        const [sku] = await this.query("SELECT variant_id FROM bench_skus WHERE n = 1");
        const cart = await call("/cart", {});
        await call(`/cart/${cart.id}/items`, { variantId: sku!.variant_id, quantity: 1 });
        await call(`/checkout/${cart.id}`, checkoutBody);
    }

    private async soukBuys(souk: Server, count: number, isHot: boolean): Promise<Side> {
        const ids = await this.makeCarts(SOUK_CARTS + this.soukCarts, count, isHot);
        this.soukCarts += count;
        const requests = this.requests(ids.map((id) => post(`/checkout/${id}`, checkoutBody)));
        const before = await metricsOf(souk);
        const side = await this.measureSouk(souk, requests, BUYERS, 0);
        const rose = rise(before, await metricsOf(souk));
        return { ...side, batch: rose("souk_postgres_batched_calls_total") / rose("souk_postgres_batches_total") };
    }

    /** Both in turn. Neither may come to the end of its carts, so the rates of the last round say how many the next one needs. */
    async buy(souk: Server, name: string, secondsEach: number, isHot: boolean, wanted: number): Promise<Row> {
        const row: Row = { name, souk: [], pgbench: [], wanted, by: "perSecond" };
        const gate = await this.closeGate();
        await this.query("DELETE FROM bench_carts");
        const pgbench = Pgbench.start(this.url, this.script(PLACE_ORDER));
        let made = 0;
        let taken = 0; // by pgbench, so far
        let soukRate = 200;
        let pgbenchRate = PGBENCH_RATE_MAX;
        try {
            for (let round = 0; round <= ROUNDS; round++) { // the first one only warms
                const seconds = round === 0 ? WARM_S : secondsEach;
                const one = await this.soukBuys(souk, Math.max(1000, Math.ceil(soukRate * seconds)), isHot);
                const last = Math.ceil((taken + pgbenchRate * 2 * (seconds + 2)) * 1.2);
                if (last > made) await this.makeCarts(made + 1, last - made, isHot);
                made = Math.max(made, last);
                const before = await this.ordersPlaced();
                await gate.open();
                await pgbench.rate(); // that of the pause
                const other = await measurePgbench(pgbench, this.postmaster, seconds);
                await gate.close();
                const placed = (await this.ordersPlaced()) - before;
                if (placed < other.perSecond * seconds * 0.95) throw new Error(`pgbench placed only ${placed} orders: it ran out of carts`);
                taken += placed;
                soukRate = one.perSecond;
                pgbenchRate = Math.max(other.perSecond, 300);
                if (round === 0) continue;
                row.souk.push(one);
                row.pgbench.push(other);
                say(`${name}: round ${round} of ${ROUNDS}`);
            }
        } finally {
            await pgbench.stop();
            await gate.end();
        }
        return row;
    }

    /** The gate before pgbench's transactions, closed. */
    private async closeGate(): Promise<{ open(): Promise<void>; close(): Promise<void>; end(): Promise<void> }> {
        const client = new pg.Client({ connectionString: this.url });
        await client.connect();
        const close = async () => {
            await client.query("BEGIN");
            await client.query("LOCK TABLE bench_gate IN SHARE MODE"); // waits for those that are inside
        };
        await close();
        return { close, open: async () => { await client.query("COMMIT"); }, end: () => client.end() };
    }
}

// ---- the outcome ----

const cpuOf = (side: Side) => side.ownUs + side.postgresUs;
const RATIOS = {
    cpu: (souk: Side, pgbench: Side) => cpuOf(pgbench) / cpuOf(souk), // of what a second of CPU does
    perSecond: (souk: Side, pgbench: Side) => souk.perSecond / pgbench.perSecond,
};
const ratios = (row: Row, by: Row["by"]) => row.souk.map((side, round) => RATIOS[by](side, row.pgbench[round]!));

function table(rows: Row[]): Table {
    const rate = (sides: Side[]) => rounded(median(sides.map((side) => side.perSecond)));
    const cost = (sides: Side[]) => `${rounded(median(sides.map((side) => side.ownUs)))} + ${rounded(median(sides.map((side) => side.postgresUs)))}`;
    const batch = (sides: Side[]) => (sides[0]!.batch === undefined ? "" : rounded(median(sides.map((side) => side.batch!))));
    const ratio = (row: Row, by: Row["by"]) => withSpread(ratios(row, by), (value) => value.toFixed(2));
    return [
        ["", "souk /s", "in a batch", "CPU us: souk + PostgreSQL", "pgbench /s", "CPU us: pgbench + PostgreSQL", "souk/pgbench by rate", "by CPU"],
        ...rows.map((row) => [row.name, rate(row.souk), batch(row.souk), cost(row.souk), rate(row.pgbench), cost(row.pgbench), ratio(row, "perSecond"), ratio(row, "cpu")]),
    ];
}

function verdicts(rows: Row[]): string {
    return rows.map((row) => {
        const found = median(ratios(row, row.by));
        const of = row.by === "cpu" ? "transactions per second of CPU" : "transactions per second";
        return `- ${row.name}: ${found.toFixed(2)} times pgbench's ${of}, at least ${row.wanted} wanted: ${found >= row.wanted ? "kept" : "missed"}`;
    }).join("\n");
}

const EXPLANATION = `souk and pgbench do the same work on the same PostgreSQL (its own settings but for shared_buffers, max_wal_size and
checkpoint_timeout; fsync is on), one after the other in each round, each by ${CONNECTIONS} connections. souk or pgbench and PostgreSQL share
one core; souk's load (${READERS} keep-alive connections for reading, ${BUYERS} for buying) has another. CPU is the system's account of all their
processes, for each transaction; ratios are medians of the ratios within a round.

The shop has ${PRODUCTS.toLocaleString("en")} products. A product is read without souk's cache and without Redis; pgbench prepares the very
SELECT that souk runs for it. A checkout is a cart of one line, paid later; pgbench calls the same two functions (checkout_open, checkout_place) for one
cart in one transaction, in two flights, and the row lock on the stock is its own. souk also reads the request, decides prices and stock,
and writes the reply.`;

function report(rows: Row[], seconds: number): void {
    const result = table(rows);
    console.log(`\n${aligned(result)}\n\n${verdicts(rows)}\n`);
    writePart("postgres", "On PostgreSQL, beside pgbench", facts({
        command: `${seconds === 100 ? "" : `SOUK_BENCH_SECONDS=${seconds} `}scripts/bench postgres`,
        versions: [`PostgreSQL ${programVersion(path.join(binariesOfPostgres(), "postgres"), ["--version"])}`],
        othersShare: median(rows.flatMap((row) => [...row.souk, ...row.pgbench]).map((side) => side.othersShare)),
    }), [EXPLANATION, markdown(result), verdicts(rows)], { rounds: ROUNDS, rows });
}

export async function benchPostgres(seconds: number, folder: string): Promise<void> {
    const bench = await PostgresBench.open(folder);
    const secondsEach = Math.max(2, Math.round(seconds / (3 * 2 * ROUNDS)));
    try {
        const souk = await bench.startSouk();
        try {
            await bench.placeFirst(souk);
            report([
                await bench.readProducts(souk, secondsEach),
                await bench.buy(souk, "checkout, distinct SKUs", secondsEach, false, 0.8),
                await bench.buy(souk, "checkout, one hot SKU", secondsEach, true, 5),
            ], seconds);
        } finally {
            await souk.stop();
        }
    } finally {
        await bench.close();
    }
}
