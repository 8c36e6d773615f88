// souk copy: a whole shop from SQLite to PostgreSQL and back, killed on its way, refused where it would do harm. It is about both
// engines at once, so one run of it is enough.
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { copyFileSync, mkdirSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { checkBooks } from "../support/books.ts";
import { Client, ok } from "../support/client.ts";
import { SqliteDatabase, databaseOf, engine } from "../support/database.ts";
import { binary } from "../support/paths.ts";
import { Postgres } from "../support/postgres.ts";
import { track } from "../support/processes.ts";
import { Server, eventually, souk, temporaryFolder, type CommandResult } from "../support/server.ts";
import { Shop, checkoutBody, everyPage, logIn, unique } from "../support/shop.ts";

const COMMAND_MS = 120_000;

const good = (result: CommandResult): CommandResult => {
    assert.equal(result.code, 0, `${result.stdout}\n${result.stderr}`);
    return result;
};

/** Each table of a SQLite shop with all its rows, sorted; JSON by what it says, since jsonb keeps no spaces. */
function contentsOf(file: string): Map<string, string[]> {
    const database = new SqliteDatabase(file);
    const tables = database.query(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
        AND name NOT LIKE 'product_search_%' AND name <> 'schema_migrations' ORDER BY name`).map(({ name }) => String(name));
    return new Map(tables.map((table) => {
        const columns = database.query(`SELECT name FROM pragma_table_info('${table}')`).map(({ name }) => String(name));
        const rows = database.query(`SELECT ${columns.map((name) => `quote("${name}") AS "${name}"`).join(", ")} FROM "${table}"`);
        return [table, rows.map((row) => JSON.stringify(Object.values(row).map((value) => plain(String(value))))).sort()];
    }));
}

function sorted(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(sorted);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, inner]) => [key, sorted(inner)]));
}

function plain(quoted: string): unknown {
    if (!/^'[[{]/.test(quoted)) return quoted;
    try {
        return sorted(JSON.parse(quoted.slice(1, -1).replaceAll("''", "'")));
    } catch {
        return quoted; // a text that only looks like it
    }
}

describe("souk copy", { skip: engine === "sqlite" ? false : "it takes both engines, and ran with the suites on SQLite" }, () => {
    let postgres: Postgres;
    let folder: string;
    let release: () => void;
    before(async () => {
        ({ folder, release } = temporaryFolder());
        postgres = await Postgres.start();
    });
    after(async () => {
        await postgres?.dispose();
        release?.();
    });

    const copy = (from: string, to: string) => souk(path.join(folder, "unused"), ["copy", from, to]);
    const newDatabase = async () => postgres.url(await postgres.createDatabase());
    const fileOf = (data: string) => path.join(data, "souk.db");
    const urlOf = (data: string) => `sqlite:${fileOf(data)}`;
    const count = async (url: string, table: string) =>
        Number((await postgres.query(`SELECT count(*) AS n FROM ${table}`, [], new URL(url).pathname.slice(1)))[0]!.n);

    /** A stopped SQLite shop with many orders. */
    async function largeShop(): Promise<string> {
        const data = path.join(folder, unique("large"));
        mkdirSync(data);
        good(await souk(data, ["migrate", "up"]));
        good(await souk(data, ["seed", "--products", "1500", "--users", "200", "--orders", "3000"]));
        return data;
    }

    /** The command, running. */
    function begin(from: string, to: string): { child: ChildProcess; end: Promise<{ code: number | null; signal: NodeJS.Signals | null; stderr: string }> } {
        const child = spawn(binary, ["copy", from, to, "--data", path.join(folder, "unused")], {
            cwd: os.tmpdir(), env: { PATH: process.env.PATH ?? "", SOUK_LOG: "error" }, stdio: ["ignore", "ignore", "pipe"],
        });
        track(child);
        const late = setTimeout(() => child.kill("SIGKILL"), COMMAND_MS);
        let stderr = "";
        child.stderr!.setEncoding("utf8").on("data", (text: string) => { stderr += text; });
        const end = new Promise<{ code: number | null; signal: NodeJS.Signals | null; stderr: string }>((resolve) => child.once("close", (code, signal) => {
            clearTimeout(late);
            resolve({ code, signal, stderr });
        }));
        return { child, end };
    }

    test("a shop moves to PostgreSQL and back, and works on either", async () => {
        const shop = await Shop.open();
        const data = path.join(folder, "back");
        mkdirSync(data);
        const url = await newDatabase();
        try {
            good(await shop.server.run(["seed"]));
            const product = await shop.product({ name: "Größe Überzieher", tags: ["wärmend"], stock: 50 });
            const me = await shop.register();
            const mine = await shop.order(me.client, product, 2);
            const guests = await shop.order(shop.guest, product);
            const cart = await shop.cartOf(shop.guest, { productId: product.id, quantity: 3 });
            const { secret } = shop.server;
            await shop.server.terminate();

            const there = good(await copy(urlOf(shop.server.data), url)).stdout;
            assert.match(there, /orders +\d+ rows +equal/);
            assert.match(there, /counts, sums and contents are equal/);
            assert.ok(there.includes(path.join(shop.server.data, "secret")), "it says where the secret is");
            assert.ok(!there.includes(secret), "but not what it is");
            good(await copy(url, urlOf(data)));
            const [before, back] = [contentsOf(fileOf(shop.server.data)), contentsOf(fileOf(data))];
            assert.deepEqual([...back.keys()], [...before.keys()]);
            assert.ok(before.get("orders")!.length > 20 && before.get("variant_stock")!.length > 60);
            for (const [table, rows] of before) assert.deepEqual(back.get(table), rows, table);
            checkBooks(databaseOf(data));

            for (const target of [{ env: { DATABASE_URL: url, SOUK_SECRET: secret }, data: path.join(folder, "postgres") }, { env: {}, data }]) {
                mkdirSync(target.data, { recursive: true });
                if (target.data === data) copyFileSync(path.join(shop.server.data, "secret"), path.join(data, "secret"));
                const server = await Server.start(target);
                try {
                    const guest = new Client(server.url);
                    assert.equal((await guest.as(me.session.accessToken).get("/users/me")).status, 200, "a token is good on the other side");
                    const again = await logIn(guest, me.email);
                    const order = ok(await again.client.get(`/orders/${mine.id}`));
                    assert.deepEqual([order.orderNumber, order.items, order.total], [mine.orderNumber, mine.items, mine.total]);
                    const admin = await logIn(guest, shop.admin.email);
                    const orders = await everyPage(admin.client, "/orders", { limit: 100 });
                    assert.equal(orders.length, before.get("orders")!.length);
                    assert.ok(orders.some((one) => one.orderNumber === guests.orderNumber));
                    for (const word of ["uberzieher", "warmend"])
                        assert.deepEqual((ok(await guest.get(`/products?q=${word}`)) as { id: string }[]).map((one) => one.id), [product.id], "the words are there");
                    assert.equal(ok(await guest.get(`/cart/${cart.id}`)).items[0].quantity, 3);
                    const placed = ok(await guest.post(`/checkout/${cart.id}`, checkoutBody()), 201);
                    assert.ok(!orders.some((one) => one.orderNumber === placed.orderNumber));
                    ok(await admin.client.post("/products", { name: unique("New "), price: { amount: 100, currency: "USD" } }), 201);
                } finally {
                    assert.deepEqual(await server.terminate(), { code: 0, signal: null });
                }
            }
            checkBooks(databaseOf(data));
        } finally {
            await shop.close();
        }
    });

    test("a copy that is killed or stopped serves nobody, and goes on", async () => {
        const data = await largeShop();
        const url = await newDatabase();
        for (const [signal, table] of [["SIGKILL", "products"], ["SIGINT", "stock_movements"]] as const) {
            const { child, end } = begin(urlOf(data), url);
            await eventually("some of it is there", async () => {
                assert.equal(child.exitCode, null, "it is not done yet");
                return await count(url, "unfinished_copy").catch(() => 0) === 1 && await count(url, table) > 0;
            });
            child.kill(signal);
            const ended = await end;
            if (signal === "SIGKILL") {
                assert.equal(ended.signal, signal);
            } else {
                assert.equal(ended.code, 1, ended.stderr);
                assert.match(ended.stderr, /stopped; run the same command again/);
            }
            assert.equal(await count(url, "unfinished_copy"), 1);
        }
        const env = { DATABASE_URL: url, SOUK_SECRET: "the secret of nobody, but long enough" };
        for (const args of [["serve", "--listen", "127.0.0.1:0"], ["seed"], ["user", "create", "--email", "a@example.com", "--password-stdin"]]) {
            const refusal = await souk(path.join(folder, "refused"), args, { env, input: "a long password" });
            assert.notEqual(refusal.code, 0, args[0]);
            assert.match(refusal.stderr, /unfinished copy/, args[0]);
        }
        assert.match((await copy(url, urlOf(path.join(folder, "no")))).stderr, /FROM holds an unfinished copy/);

        assert.match(good(await copy(urlOf(data), url)).stdout, /Going on with the copy that was interrupted/);
        assert.equal(await count(url, "unfinished_copy"), 0);
        const back = path.join(folder, unique("back"));
        mkdirSync(back);
        good(await copy(url, urlOf(back)));
        const [before, after] = [contentsOf(fileOf(data)), contentsOf(fileOf(back))];
        for (const [table, rows] of before) assert.deepEqual(after.get(table), rows, table);
        checkBooks(databaseOf(back));
    });

    test("what would do harm is refused in one clear line", async () => {
        const shop = await Shop.open();
        const url = await newDatabase();
        try {
            const wrong = async (from: string, to: string, says: RegExp) => {
                const result = await copy(from, to);
                assert.notEqual(result.code, 0, `${from} ${to}`);
                assert.match(result.stderr, says);
                assert.ok(!result.stderr.includes("hunter2"), "no password is shown");
            };
            const file = urlOf(shop.server.data);
            await wrong(file, url, /FROM: .*a souk process has it open; stop it first/);
            await shop.server.terminate();
            await wrong(file, file, /FROM and TO are the same/);
            await wrong(`sqlite:${folder}/no/such.db`, url, /FROM: there is no database/);
            await wrong(file, "mysql://root:hunter2@localhost/shop", /TO: must be sqlite:PATH/);
            await wrong(file, "postgresql://u:hunter2@127.0.0.1:1/shop?connect_timeout=2", /TO: PostgreSQL cannot be reached/);
            await wrong(file, postgres.url("no_such_database"), /TO: .*does not exist/);
            await wrong(url, `sqlite:${folder}/other/souk.db`, /FROM is at version 0.*not the database of a shop/);

            good(await copy(file, url));
            await wrong(file, url, /TO holds a shop already/);
            const data = path.join(folder, "connected");
            mkdirSync(data);
            const server = await Server.start({ data, env: { DATABASE_URL: url, SOUK_SECRET: shop.server.secret } });
            try {
                await wrong(url, `sqlite:${folder}/export/souk.db`, /FROM: \d+ connections of souk are open to it; stop it first/);
            } finally {
                await server.terminate();
            }
            good(await copy(url, `sqlite:${folder}/export/souk.db`));
        } finally {
            await shop.close();
        }
    });
});
