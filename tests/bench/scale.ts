// make scale: the lists of a shop of a million products and a million orders on PostgreSQL, beside those of one of ten thousand.
//
// Each shop is seeded into SQLite, which is quick, and moved by `souk copy`. Both lie in one PostgreSQL; a souk without cache serves
// each of them; every list is asked some hundred times in each round, by one client, first of the small shop and then of the large one.
// Takes long, most of it to make the large shop, which needs 20 GB of disk meanwhile.
//
//     SOUK_SCALE_LARGE=FILE   a SQLite shop that is there already, instead of making the large one
//     SOUK_SCALE_ONLY=search  only the lists with this in their name; nothing is written then
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import path from "node:path";
import { binary, root } from "../support/paths.ts";
import { binariesOfPostgres, Postgres } from "../support/postgres.ts";
import { aligned, facts, markdown, median, programVersion, withSpread, writePart, type Table } from "./document.ts";
import { buildLoad, runLoad, startSouk, type Run, type Server } from "./processes.ts";
import { get, writeRequests } from "./requests.ts";

const SMALL = { products: 10_000, users: 1_000, orders: 10_000 };
const LARGE = { products: 1_000_000, users: 100_000, orders: 1_000_000 };
const ROUNDS = 3;
const REQUESTS = 300; // of each list in a round
const PAGES = 10;
const CUSTOMERS = 10;
const RATIO_MAX = 2;
const SECRET = "only-for-this-benchmark-and-gone-with-it";
const PASSWORD = "only for this benchmark";
const ADMIN = "scale@example.com";

type Counts = typeof SMALL;
type Json = Record<string, unknown>;

const say = (text: string) => console.log(text);
const only = process.env.SOUK_SCALE_ONLY ?? "";
const folder = mkdtempSync(path.join(root, "build/scale-data-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));

function runSouk(args: string[], env: Record<string, string> = {}, input = ""): void {
    const result = spawnSync(binary, args, {
        encoding: "utf8", cwd: folder, input, env: { PATH: process.env.PATH!, SOUK_SECRET: SECRET, ...env }, stdio: ["pipe", "pipe", "pipe"],
    });
    if (result.status !== 0) throw new Error(`souk ${args[0]}: ${result.stderr || result.stdout}`);
}

// ---- the two shops ----

class Shop {
    private readonly load: string;
    private files = 0;

    private constructor(readonly counts: Counts, private readonly database: Postgres, private readonly name: string, readonly server: Server) {
        this.load = buildLoad(folder);
    }

    static async open(database: Postgres, name: string, counts: Counts, ready: string | undefined): Promise<Shop> {
        const started = performance.now();
        const data = path.join(folder, name);
        const file = ready ?? path.join(data, "souk.db");
        mkdirSync(data);
        if (!ready) {
            const flags = Object.entries(counts).flatMap(([what, count]) => [`--${what}`, String(count)]);
            runSouk(["migrate", "up", "--data", data]);
            runSouk(["seed", ...flags, "--data", data]);
        } else if (!existsSync(ready)) {
            throw new Error(`SOUK_SCALE_LARGE: there is no ${ready}`);
        }
        await database.query(`CREATE DATABASE ${name}`);
        const url = database.url(name);
        runSouk(["copy", `sqlite:${path.resolve(file)}`, url, "--data", data]);
        if (!ready) for (const end of ["", "-wal", "-shm"]) rmSync(file + end, { force: true });
        runSouk(["user", "create", "--role", "admin", "--email", ADMIN, "--password-stdin", "--data", data], { DATABASE_URL: url }, `${PASSWORD}\n`);
        const server = await startSouk(`souk on ${name}`, data, { DATABASE_URL: url, SOUK_SECRET: SECRET, SOUK_CACHE_BYTES: "0" });
        const shop = new Shop(counts, database, name, server);
        await shop.query("VACUUM ANALYZE"); // as autovacuum would in the hours after
        say(`${name}: ${counts.products.toLocaleString("en")} products, ${counts.orders.toLocaleString("en")} orders: ${((performance.now() - started) / 1000).toFixed(0)} s`);
        return shop;
    }

    async query(statement: string, values: unknown[] = []): Promise<Json[]> {
        return this.database.query(statement, values, this.name);
    }

    async texts(statement: string, values: unknown[] = []): Promise<string[]> {
        return (await this.query(statement, values)).map((row) => String(Object.values(row)[0]));
    }

    async logIn(email: string): Promise<string> {
        const reply = await fetch(`${this.server.url}/auth/login`, {
            method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ email, password: PASSWORD }),
        });
        if (reply.status !== 200) throw new Error(`no log-in: ${reply.status} ${await reply.text()}`);
        return (await reply.json() as { data: { accessToken: string } }).data.accessToken;
    }

    private async read(target: string, token?: string): Promise<{ pagination: { nextCursor: string | null } }> {
        const reply = await fetch(this.server.url + target, { headers: token ? { authorization: `Bearer ${token}` } : {} });
        if (reply.status !== 200) throw new Error(`${target}: ${reply.status} ${await reply.text()}`);
        return reply.json() as Promise<{ pagination: { nextCursor: string | null } }>;
    }

    /** The first pages of a list. */
    async pages(start: string, token?: string): Promise<Request[]> {
        const targets = [start];
        while (targets.length < PAGES) {
            const { nextCursor } = (await this.read(targets[targets.length - 1]!, token)).pagination;
            if (!nextCursor) break;
            targets.push(`${start}${start.includes("?") ? "&" : "?"}cursor=${encodeURIComponent(nextCursor)}`);
        }
        return targets.map((target) => ({ target, token }));
    }

    requests(list: Request[]): string {
        const turns = Array.from({ length: REQUESTS }, (_, i) => list[i % list.length]!);
        return writeRequests(path.join(folder, `${this.name}-${this.files++}`), turns.map(({ target, token }) => get(target, token ? { Authorization: `Bearer ${token}` } : {})));
    }

    measure(requests: string): Promise<Run> {
        return runLoad(this.load, this.server, requests, { connections: 1, seconds: 0 });
    }
}

// ---- what is asked ----

interface Request {
    target: string;
    token: string | undefined;
}

type Asking = (shop: Shop) => Promise<Request[]>;

const anyone = (targets: string[]): Request[] => targets.map((target) => ({ target, token: undefined }));
const encoded = encodeURIComponent;
const swapped = (word: string): string => word[0]! + word[2]! + word[1]! + word.slice(3); // the second and the third letter

const categories = (shop: Shop) => shop.texts("SELECT slug FROM categories WHERE product_count > 0 ORDER BY product_count DESC LIMIT 30");
const vendors = (shop: Shop) => shop.texts("SELECT vendor FROM products WHERE vendor IS NOT NULL GROUP BY vendor ORDER BY count(*) DESC, vendor LIMIT 30");
/** Prices by their rank: a twentieth of the products lies between two that follow each other. */
const prices = (shop: Shop) => shop.texts("SELECT percentile_disc(n / 20.0) WITHIN GROUP (ORDER BY price_minor) FROM products, generate_series(0, 20) AS n GROUP BY n ORDER BY n");
const inPrices = (list: string[], build: (range: string) => string) => anyone(list.slice(1).map((high, i) => build(`price[gte]=${list[i]!}&price[lte]=${high}`)));
const words = (shop: Shop) => shop.texts(`
    SELECT word FROM (SELECT lower(word) AS word FROM (SELECT name FROM products WHERE is_active ORDER BY number LIMIT 10000) p,
        regexp_split_to_table(p.name, '[^A-Za-z]+') AS word WHERE length(word) >= 5) w
    GROUP BY word ORDER BY count(*) DESC, word LIMIT 20`);
const skus = (shop: Shop) => shop.texts("SELECT sku FROM variants WHERE deleted_at IS NULL ORDER BY id LIMIT 30");

/** Who may see all of it, and some of those who have bought most, who can log in now. */
async function admin(shop: Shop): Promise<string> {
    return shop.logIn(ADMIN);
}
async function customers(shop: Shop): Promise<string[]> {
    const emails = await shop.texts(`SELECT u.email FROM users u JOIN (SELECT user_id, count(*) AS n FROM orders WHERE user_id IS NOT NULL GROUP BY user_id
        ORDER BY n DESC, user_id LIMIT ${CUSTOMERS}) o ON o.user_id = u.id`);
    await shop.query(`UPDATE users SET password_hash = (SELECT password_hash FROM users WHERE email = $1) WHERE email = ANY ($2)`, [ADMIN, emails]);
    const tokens = [];
    for (const email of emails) tokens.push(await shop.logIn(email));
    return tokens;
}
const asAdmin = (build: (shop: Shop) => Promise<string[]>): Asking => async (shop) => {
    const token = await admin(shop);
    return (await build(shop)).map((target) => ({ target, token }));
};
const pagesAsAdmin = (start: string): Asking => async (shop) => shop.pages(start, await admin(shop));

const LISTS: Record<string, Asking> = {
    "products, newest": (shop) => shop.pages("/products"),
    "products, oldest": (shop) => shop.pages("/products?sort=createdAt"),
    "products, cheapest": (shop) => shop.pages("/products?sort=price"),
    "products, dearest": (shop) => shop.pages("/products?sort=-price"),
    "products by name": (shop) => shop.pages("/products?sort=name"),
    "products by name, backwards": (shop) => shop.pages("/products?sort=-name"),
    "products of a category": async (shop) => anyone((await categories(shop)).map((slug) => `/products?category=${slug}`)),
    "products of a category, cheapest": async (shop) => anyone((await categories(shop)).map((slug) => `/products?category=${slug}&sort=price`)),
    "products in a price range": async (shop) => inPrices(await prices(shop), (range) => `/products?${range}`),
    "products in a price range, cheapest": async (shop) => inPrices(await prices(shop), (range) => `/products?${range}&sort=price`),
    "products of a category in a price range": async (shop) => {
        const [slug] = await categories(shop);
        return inPrices(await prices(shop), (range) => `/products?category=${slug}&${range}`);
    },
    "products of a vendor": async (shop) => anyone((await vendors(shop)).map((vendor) => `/products?vendor=${encoded(vendor)}`)),
    "products of a vendor, cheapest": async (shop) => anyone((await vendors(shop)).map((vendor) => `/products?vendor=${encoded(vendor)}&sort=price`)),
    "products with a tag": async (shop) => anyone((await shop.texts("SELECT tag FROM product_tags GROUP BY tag ORDER BY count(*) DESC, tag LIMIT 20")).map((tag) => `/products?tag=${encoded(tag)}`)),
    "products in stock": (shop) => shop.pages("/products?inStock=true"),
    "products sold out": (shop) => shop.pages("/products?inStock=false"),
    "products in front": (shop) => shop.pages("/products?isFeatured=true"),
    "search, common word": async (shop) => anyone((await words(shop)).map((word) => `/products?q=${word}`)),
    "search, two words": async (shop) => anyone((await words(shop)).slice(1).map((word, i, list) => `/products?q=${word}%20${list[(i + 3) % list.length]}`)),
    "search, beginning of a word": async (shop) => anyone((await words(shop)).map((word) => `/products?q=${word.slice(0, 3)}`)),
    "search, rare word (SKU)": async (shop) => anyone((await skus(shop)).map((sku) => `/products?q=${encoded(sku)}`)),
    "search, typing error": async (shop) => anyone((await words(shop)).map((word) => `/products?q=${swapped(word)}`)),
    "search, nothing found": async () => anyone(["/products?q=zzyzxqwv", "/products?q=qqqqwwww"]),
    "staff: products, inactive": pagesAsAdmin("/products?isActive=false"),
    "staff: orders, newest": pagesAsAdmin("/orders"),
    "staff: orders, oldest": pagesAsAdmin("/orders?sort=createdAt"),
    "staff: orders of a status": asAdmin(async () => ["pending", "confirmed", "processing", "shipped", "delivered", "cancelled", "refunded", "partially_refunded"].map((one) => `/orders?status=${one}`)),
    "staff: orders by payment": asAdmin(async () => ["pending", "paid", "failed", "cancelled", "refunded", "partially_refunded"].map((one) => `/orders?paymentStatus=${one}`)),
    "staff: orders by fulfilment": asAdmin(async () => ["unfulfilled", "partial", "fulfilled", "shipped", "delivered", "cancelled"].map((one) => `/orders?fulfillmentStatus=${one}`)),
    "staff: orders of an address": asAdmin(async (shop) => (await shop.texts("SELECT email FROM orders ORDER BY id LIMIT 30")).map((email) => `/orders?email=${encoded(email)}`)),
    "staff: orders of a day": asAdmin(async (shop) => (await shop.texts(`SELECT to_char(first + (last - first) * n / 20, 'YYYY-MM-DD') FROM (SELECT min(created_at) AS first, max(created_at) AS last FROM orders) o,
        generate_series(1, 19) AS n`)).map((day) => `/orders?createdAt[gte]=${day}T00:00:00Z&createdAt[lte]=${day}T23:59:59Z`)),
    "staff: orders of a status and a day": asAdmin(async (shop) => (await shop.texts(`SELECT to_char(first + (last - first) * n / 20, 'YYYY-MM-DD') FROM (SELECT min(created_at) AS first, max(created_at) AS last FROM orders) o,
        generate_series(1, 19) AS n`)).map((day) => `/orders?status=cancelled&createdAt[gte]=${day}T00:00:00Z&createdAt[lte]=${day}T23:59:59Z`)),
    "staff: order by number": asAdmin(async (shop) => (await shop.texts("SELECT order_number FROM orders ORDER BY id LIMIT 30")).map((number) => `/orders?q=${number.slice(0, 12)}`)),
    "customer: own orders": async (shop) => (await customers(shop)).map((token) => ({ target: "/orders", token })),
    "staff: accounts, newest": pagesAsAdmin("/users"),
    "staff: accounts by name": pagesAsAdmin("/users?sort=name"),
    "staff: accounts of a role": asAdmin(async () => ["customer", "admin"].map((role) => `/users?role=${role}`)),
    "staff: accounts, common name": asAdmin(async (shop) => (await shop.texts("SELECT lower(first_name) FROM users WHERE first_name <> '' GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 20")).map((name) => `/users?q=${encoded(name)}`)),
    "staff: account by address": asAdmin(async (shop) => (await shop.texts("SELECT email FROM users ORDER BY id LIMIT 30")).map((email) => `/users?q=${encoded(email)}`)),
};

// ---- measuring ----

interface Row {
    name: string;
    small: Run[];
    large: Run[];
}

async function measureList(name: string, asking: Asking, small: Shop, large: Shop): Promise<Row> {
    const row: Row = { name, small: [], large: [] };
    const [smallRequests, largeRequests] = [small.requests(await asking(small)), large.requests(await asking(large))];
    for (let round = 0; round <= ROUNDS; round++) { // the first one only warms
        const [one, other] = [await small.measure(smallRequests), await large.measure(largeRequests)];
        if (round === 0) continue;
        row.small.push(one);
        row.large.push(other);
    }
    const found = ratioOf(row);
    say(`${found <= RATIO_MAX ? "  ok  " : "  SLOW"} ${name}: p99 ${ms(row.small, "p99Us")} and ${ms(row.large, "p99Us")} ms, ${found.toFixed(2)} times`);
    return row;
}

const ms = (runs: Run[], what: "medianUs" | "p99Us") => (median(runs.map((run) => run[what])) / 1000).toFixed(2);
const ratios = (row: Row) => row.large.map((run, round) => run.p99Us / row.small[round]!.p99Us);
const ratioOf = (row: Row) => median(ratios(row));

function report(rows: Row[]): void {
    const table: Table = [
        ["", "10,000: median ms", "p99", "1,000,000: median ms", "p99", "p99, times"],
        ...rows.map((row) => [row.name, ms(row.small, "medianUs"), ms(row.small, "p99Us"), ms(row.large, "medianUs"), ms(row.large, "p99Us"), withSpread(ratios(row), (value) => value.toFixed(2))]),
    ];
    const slow = rows.filter((row) => ratioOf(row) > RATIO_MAX).map((row) => row.name);
    const verdict = slow.length === 0 ? `All are within ${RATIO_MAX} times.` : `More than ${RATIO_MAX} times: ${slow.join("; ")}.`;
    say(`\n${aligned(table)}\n\n${verdict}\n`);
    if (only) return;
    writePart("scale", "A hundred times the shop", facts({
        command: "make scale",
        versions: [`PostgreSQL ${programVersion(path.join(binariesOfPostgres(), "postgres"), ["--version"])}`],
        othersShare: median(rows.flatMap((row) => [...row.small, ...row.large]).map((run) => run.othersShare)),
    }), [`The lists of a shop of ${LARGE.products.toLocaleString("en")} products, ${LARGE.orders.toLocaleString("en")} orders and ${LARGE.users.toLocaleString("en")} accounts on PostgreSQL,
beside those of one of ${SMALL.products.toLocaleString("en")}, ${SMALL.orders.toLocaleString("en")} and ${SMALL.users.toLocaleString("en")}, in the same PostgreSQL: one client, ${REQUESTS} requests in each
of ${ROUNDS} rounds, nothing from souk's cache. Times are what the client waits.`, markdown(table), verdict], { rounds: ROUNDS, rows });
}

const database = await Postgres.start({ settings: { shared_buffers: "2GB", max_wal_size: "16GB", maintenance_work_mem: "512MB", work_mem: "16MB" } });
try {
    const small = await Shop.open(database, "small", SMALL, undefined);
    const large = await Shop.open(database, "large", LARGE, process.env.SOUK_SCALE_LARGE);
    const rows: Row[] = [];
    for (const [name, asking] of Object.entries(LISTS)) if (name.includes(only)) rows.push(await measureList(name, asking, small, large));
    report(rows);
    for (const shop of [small, large]) await shop.server.stop();
    process.exitCode = rows.some((row) => ratioOf(row) > RATIO_MAX) ? 1 : 0;
} finally {
    await database.dispose();
}
