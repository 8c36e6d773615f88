// make bench on SQLite: what a request costs, beside nginx that sends the same bytes on the same core.
//
// A shop of 100,000 products in a temporary folder; souk on one core, the load on another. Rounds go through all that is measured,
// souk and nginx in turn, so that whatever else the machine does meets both; a figure is the median of the rounds. CPU time is the
// system's account of the server's process, divided by the requests it answered.
//
//     SOUK_BENCH_DATA=DIR     a copy of this shop instead of a seeded one
import { randomUUID } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { spawnSync } from "node:child_process";
import { SqliteDatabase } from "../support/database.ts";
import { binary } from "../support/paths.ts";
import { buildLoad, metricsOf, rise, runLoad, startNginx, startSouk, type LoadOptions, type Run, type Server } from "./processes.ts";
import { report, type LaneFigures, type Row } from "./report.ts";
import { checkoutBody, evenly, get, popular, post, randomNumbers, shuffled, writeRequests } from "./requests.ts";

const PRODUCTS = 100_000;
const CLIENTS = 64;
const LINES = 3;
const ROUNDS = 5;
const HOT_PRODUCTS = 1000;   // asked for again and again, as the cache and nginx hold them
const LIST_PAGES = 300;
const RETURN_BYTES_MAX = 3500; // what nginx takes as one word of its configuration

const ROW_CART = "new cart";
const ROW_LINE = "cart line";
const ROW_CHECKOUT = "checkout";
const ROW_ALONE = "checkout, one client";
const ROW_KEY = "checkout with an Idempotency-Key";
const ROW_EVEN = "checkout, all products as popular";

let folder = ""; // of this run
const say = (text: string) => console.log(text);

function runSouk(args: string[]): void {
    const result = spawnSync(binary, [...args, "--data", path.join(folder, "data")], {
        encoding: "utf8", cwd: folder, env: { PATH: process.env.PATH! }, stdio: ["ignore", "pipe", "pipe"],
    });
    if (result.status !== 0) throw new Error(`souk ${args.join(" ")}: ${result.stderr || result.stdout}`);
}

// ---- the shop ----

interface Shop {
    database: string;
    products: string[]; // ids, listed ones
    variants: string[]; // ids of what can be bought
}

function makeShop(): Shop {
    const database = new SqliteDatabase(path.join(folder, "data/souk.db"));
    const started = performance.now();
    if (process.env.SOUK_BENCH_DATA) {
        cpSync(process.env.SOUK_BENCH_DATA, path.join(folder, "data"), { recursive: true });
        runSouk(["migrate", "up"]);
    } else {
        mkdirSync(path.join(folder, "data"));
        runSouk(["migrate", "up"]);
        runSouk(["seed", "--products", String(PRODUCTS), "--users", "1000", "--orders", "1000"]);
    }
    say(`A shop of ${database.number("SELECT count(*) FROM products").toLocaleString("en")} products: ${((performance.now() - started) / 1000).toFixed(1)} s`);
    // Nothing may be sold out halfway.
    database.query("UPDATE variant_stock SET on_hand = 100000000 WHERE is_tracked = TRUE");
    const id = (column: string) => `lower(substr(hex(${column}), 1, 8) || '-' || substr(hex(${column}), 9, 4) || '-' || substr(hex(${column}), 13, 4) || '-' || substr(hex(${column}), 17, 4) || '-' || substr(hex(${column}), 21)) AS id`;
    const ids = (statement: string) => database.query(statement).map((row) => String(row.id));
    const random = randomNumbers(1);
    return {
        database: database.file,
        products: shuffled(ids(`SELECT ${id("id")} FROM products WHERE is_active = TRUE AND deleted_at IS NULL ORDER BY number`), random),
        variants: shuffled(ids(`SELECT ${id("v.id")} FROM variants v JOIN products p ON p.id = v.product_id WHERE p.is_active = TRUE AND p.deleted_at IS NULL AND v.deleted_at IS NULL ORDER BY p.number, v.position`), random),
    };
}

// ---- reading ----

/** What is measured: one kind of request on one server. */
interface Cell {
    row: string;
    column: "souk" | "file" | "return";
    server: Server;
    requests: string;
    runs: Run[];
}

async function bodyOf(server: Server, target: string): Promise<Buffer> {
    const reply = await fetch(server.url + target);
    if (reply.status !== 200) throw new Error(`${target}: ${reply.status} ${await reply.text()}`);
    return Buffer.from(await reply.arrayBuffer());
}

/** Pages of lists as shoppers turn them: each sort and some categories, page after page. */
async function listTargets(server: Server): Promise<string[]> {
    const categories = JSON.parse((await bodyOf(server, "/categories?limit=20")).toString()).data as { id: string }[];
    const starts = ["-createdAt", "price", "-price", "name"].flatMap((sort) => [`/products?sort=${sort}`, ...categories.map((one) => `/products?category=${one.id}&sort=${sort}`)]);
    const targets: string[] = [];
    let front = starts;
    while (targets.length < LIST_PAGES && front.length > 0) {
        const next: string[] = [];
        for (const target of front.slice(0, LIST_PAGES - targets.length)) {
            targets.push(target);
            const { pagination } = JSON.parse((await bodyOf(server, target)).toString()) as { pagination: { nextCursor: string | null } };
            const start = target.replace(/&cursor=.*/, "");
            if (pagination.nextCursor) next.push(`${start}&cursor=${encodeURIComponent(pagination.nextCursor)}`);
        }
        front = next;
    }
    return targets;
}

/** nginx's word for these bytes; undefined when they are too many for its configuration. */
function nginxText(bytes: Buffer): string | undefined {
    if (bytes.length > RETURN_BYTES_MAX) return undefined;
    return `'${bytes.toString().replace(/[\\']/g, "\\$&").replaceAll("$", "${dollar}")}'`;
}

/** The header fields that souk's replies have and nginx's have not, so that both send about as much. */
const headerFields = (fields: Record<string, string>) => Object.entries(fields).map(([name, value]) => `add_header ${name} '${value}' always;`).join(" ");
const safetyFields = {
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Security-Policy": `default-src "none"; frame-ancestors "none"`,
    "Cross-Origin-Resource-Policy": "same-origin",
};
const readFields = headerFields({
    "X-Request-Id": "01a2047d-23e2-7787-8bf1-77268dbf9fe9", "Cache-Control": "public, max-age=600, stale-while-revalidate=60",
    Vary: "Authorization, Accept-Encoding", ...safetyFields,
});
const writeFields = headerFields({
    "X-Request-Id": "01a2047d-23e2-7787-8bf1-77268dbf9fe9", "Cache-Control": "no-store", ETag: `"v2-a2ea09957b31379f"`,
    ...safetyFields, Location: "/cart/01a2047d-23e2-7787-8bf1-77268dbf9fe9",
});

class Bench {
    private load = buildLoad(folder);
    private cells: Cell[] = [];
    readonly rows: Row[] = [];
    private files = 0;

    private constructor(readonly shop: Shop, readonly cached: Server, readonly uncached: Server, readonly servers: Server[]) {}

    static async open(): Promise<Bench> {
        const shop = makeShop();
        const data = path.join(folder, "data");
        const cached = await startSouk("souk", data);
        const uncached = await startSouk("souk without cache", data, { SOUK_CACHE_BYTES: "0" });
        return new Bench(shop, cached, uncached, [cached, uncached]);
    }

    async close(): Promise<void> {
        for (const server of this.servers) await server.stop();
    }

    private requests(list: string[]): string {
        return writeRequests(path.join(folder, `requests-${this.files++}`), list);
    }

    async run(server: Server, requests: string, options: LoadOptions): Promise<Run> {
        return runLoad(this.load, server, requests, options);
    }

    private add(row: string, column: Cell["column"], server: Server, targets: string[]): void {
        this.cells.push({ row, column, server, requests: this.requests(targets.map((target) => get(target))), runs: [] });
    }

    /** The same bytes behind nginx: a file for each target, and `return` of the first where it is small enough. */
    private async nginxForReading(products: string[], lists: string[]): Promise<Server> {
        const files = path.join(folder, "nginx/files");
        for (const one of ["products", "lists"]) mkdirSync(path.join(files, one), { recursive: true });
        for (const id of products) writeFileSync(path.join(files, "products", id), await bodyOf(this.cached, `/products/${id}`));
        for (const [index, target] of lists.entries()) writeFileSync(path.join(files, "lists", String(index)), await bodyOf(this.cached, target));
        const text = nginxText(await bodyOf(this.cached, `/products/${products[0]}`));
        const server = await startNginx(path.join(folder, "nginx"), `geo $dollar { default "$"; } ${readFields}`, text ? `location = /return { return 200 ${text}; }` : "");
        this.servers.push(server);
        return server;
    }

    async prepareReading(): Promise<void> {
        const hot = this.shop.products.slice(0, HOT_PRODUCTS);
        const lists = await listTargets(this.uncached);
        const nginx = await this.nginxForReading(hot, lists);
        const hotTargets = hot.map((id) => `/products/${id}`);
        const listFiles = lists.map((_, index) => `/lists/${index}`);
        this.add("product, cached", "souk", this.cached, hotTargets);
        this.add("product, cached", "file", nginx, hotTargets);
        this.add("product, cached", "return", nginx, ["/return"]);
        this.add("product, from the database", "souk", this.uncached, this.shop.products.map((id) => `/products/${id}`));
        this.add("product, from the database", "file", nginx, hotTargets);
        this.add("list of 20, cached", "souk", this.cached, lists);
        this.add("list of 20, cached", "file", nginx, listFiles);
        this.add("list of 20, from the database", "souk", this.uncached, lists);
        this.add("list of 20, from the database", "file", nginx, listFiles);
    }

    /** Measures all reads once; the first time it only warms. */
    async readRound(secondsEach: number, isWarmUp: boolean): Promise<void> {
        for (const cell of this.cells) {
            const isCached = cell.server === this.cached;
            if (isCached) await this.run(cell.server, cell.requests, { connections: CLIENTS, seconds: 0 }); // fills the cache
            const before = isCached ? await metricsOf(cell.server) : new Map<string, number>();
            const run = await this.run(cell.server, cell.requests, { connections: CLIENTS, seconds: secondsEach });
            if (isCached) {
                const misses = rise(before, await metricsOf(cell.server))('souk_response_cache_total{result="miss"}');
                if (misses > run.answered / 100) throw new Error(`${misses} of ${run.answered} replies (${cell.row}) did not come from the cache`);
            }
            if (!isWarmUp) cell.runs.push(run);
        }
    }

    finishReading(): void {
        for (const name of new Set(this.cells.map((cell) => cell.row))) {
            const of = (column: Cell["column"]) => this.cells.find((cell) => cell.row === name && cell.column === column)?.runs ?? [];
            this.rows.push({ name, clients: CLIENTS, souk: of("souk"), file: of("file"), return: of("return") });
        }
    }

    // ---- buying ----

    private replies = new Map<string, Server>(); // nginx with the reply of an operation
    private buying = new Map<string, Row>();
    readonly lanes = new Map<string, LaneFigures[]>();

    /** An nginx that answers each POST with these bytes. */
    private async nginxFor(name: string, body: Buffer): Promise<Server | undefined> {
        const text = nginxText(body);
        if (!text) return undefined;
        const prefix = path.join(folder, `nginx-${name.replace(/\W+/g, "-")}`);
        const server = await startNginx(prefix, `geo $dollar { default "$"; } ${writeFields}`, `location / { return 201 ${text}; }`);
        this.servers.push(server);
        this.replies.set(name, server);
        return server;
    }

    /** Measures souk and then nginx on the same requests. */
    private async writeBoth(name: string, requests: string, clients: number, ids?: string): Promise<void> {
        const row = this.buying.get(name) ?? { name, clients, souk: [], file: [], return: [] };
        this.buying.set(name, row);
        const before = await metricsOf(this.cached);
        row.souk.push(await this.run(this.cached, requests, { connections: clients, seconds: 0, ...(ids ? { ids } : {}) }));
        const rose = rise(before, await metricsOf(this.cached));
        const figures = this.lanes.get(name) ?? [];
        this.lanes.set(name, figures);
        const jobs = rose("souk_lane_jobs_total");
        const commits = rose("souk_lane_commit_seconds_count");
        figures.push({
            walBytes: rose("souk_lane_wal_written_bytes_total") / jobs,
            cpuUs: rose("souk_lane_cpu_microseconds_total") / jobs,
            batch: jobs / commits,
            commitUs: (rose("souk_lane_commit_seconds_sum") / commits) * 1e6,
        });
        const nginx = this.replies.get(name);
        if (nginx) row.return.push(await this.run(nginx, requests, { connections: clients, seconds: 0 }));
    }

    /** The ids of `count` new carts. */
    private async makeCarts(count: number, name?: string): Promise<string[]> {
        const ids = path.join(folder, "ids");
        const requests = this.requests(Array.from({ length: count }, () => post("/cart", {})));
        if (name) await this.writeBoth(name, requests, CLIENTS, ids);
        else await this.run(this.cached, requests, { connections: CLIENTS, seconds: 0, ids });
        return readFileSync(ids, "utf8").trim().split("\n");
    }

    private lineRequests(carts: string[], pick: () => string): string {
        const list: string[] = []; // a cart's lines far apart, as from a shopper who looks around
        for (let line = 0; line < LINES; line++) for (const cart of carts) list.push(post(`/cart/${cart}/items`, { variantId: pick(), quantity: 1 }));
        return this.requests(list);
    }

    private checkoutRequests(carts: string[], hasKey = false): string {
        return this.requests(carts.map((cart) => post(`/checkout/${cart}`, checkoutBody, hasKey ? { "Idempotency-Key": randomUUID() } : {})));
    }

    /** Carts with lines, not measured. */
    private async filledCarts(count: number, pick: () => string): Promise<string[]> {
        const carts = await this.makeCarts(count);
        await this.run(this.cached, this.lineRequests(carts, pick), { connections: CLIENTS, seconds: 0 });
        return carts;
    }

    async prepareBuying(): Promise<void> {
        const random = randomNumbers(2);
        const [cart] = await this.filledCarts(1, popular(this.shop.variants, random)) as [string];
        await this.nginxFor(ROW_LINE, await bodyOf(this.cached, `/cart/${cart}`));
        const reply = await fetch(`${this.cached.url}/checkout/${cart}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(checkoutBody) });
        if (reply.status !== 201) throw new Error(`a checkout failed: ${reply.status} ${await reply.text()}`);
        await this.nginxFor(ROW_CHECKOUT, Buffer.from(await reply.arrayBuffer()));
    }

    /** How many carts go through a round's measurements in so many seconds. */
    async calibrateBuying(secondsEach: number): Promise<number> {
        const started = performance.now();
        await this.buy(300, randomNumbers(3));
        this.buying.clear();
        this.lanes.clear();
        const each = (performance.now() - started) / 1000 / 300;
        return Math.max(300, Math.min(20_000, Math.floor(secondsEach / each)));
    }

    async buy(count: number, random: () => number): Promise<void> {
        const shoppers = popular(this.shop.variants, random);
        const carts = await this.makeCarts(count, ROW_CART);
        await this.writeBoth(ROW_LINE, this.lineRequests(carts, shoppers), CLIENTS);
        await this.writeBoth(ROW_CHECKOUT, this.checkoutRequests(carts), CLIENTS);
        const alone = await this.filledCarts(Math.ceil(count / 10), shoppers);
        await this.writeBoth(ROW_ALONE, this.checkoutRequests(alone), 1);
        const keyed = await this.filledCarts(Math.ceil(count / 4), shoppers);
        await this.writeBoth(ROW_KEY, this.checkoutRequests(keyed, true), CLIENTS);
        const even = await this.filledCarts(Math.ceil(count / 4), evenly(this.shop.variants, random));
        await this.writeBoth(ROW_EVEN, this.checkoutRequests(even), CLIENTS);
    }

    finishBuying(): void {
        this.rows.push(...this.buying.values());
    }
}

export async function benchSqlite(seconds: number, runFolder: string): Promise<void> {
    folder = runFolder;
    const bench = await Bench.open();
    try {
        await bench.prepareReading();
        const secondsEach = Math.max(0.2, (seconds * 0.5) / (ROUNDS * 10));
        await bench.readRound(Math.min(1, secondsEach), true);
        for (let round = 1; round <= ROUNDS; round++) {
            await bench.readRound(secondsEach, false);
            say(`reading: round ${round} of ${ROUNDS}`);
        }
        bench.finishReading();
        await bench.prepareBuying();
        const carts = await bench.calibrateBuying((seconds * 0.5) / ROUNDS);
        const random = randomNumbers(4);
        for (let round = 1; round <= ROUNDS; round++) {
            await bench.buy(carts, random);
            say(`buying: round ${round} of ${ROUNDS}, ${carts} carts`);
        }
        bench.finishBuying();
    } finally {
        await bench.close();
    }
    report({ rows: bench.rows, lanes: bench.lanes, seconds, rounds: ROUNDS, checkout: ROW_CHECKOUT, alone: ROW_ALONE, products: bench.shop.products.length });
}
