// The souk command beside a running server: backup and restore, migrations, users, seeds, keys.
import assert from "node:assert/strict";
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { checkBooks } from "../support/books.ts";
import { Client, ok, refused, type Json } from "../support/client.ts";
import { databaseOf, engine, sqliteTest } from "../support/database.ts";
import { migrationsFolder } from "../support/paths.ts";
import { Server, eventually, souk, temporaryFolder, type CommandResult } from "../support/server.ts";
import { PASSWORD, Shop, checkoutBody, everyPage, logIn, parallel, unique } from "../support/shop.ts";

const good = (result: CommandResult): CommandResult => {
    assert.equal(result.code, 0, `${result.stdout}\n${result.stderr}`);
    return result;
};

describe("backup and restore", () => {
    let shop: Shop;
    before(async () => { shop = await Shop.open(); });
    after(() => shop?.close());

    sqliteTest("a backup under load is whole, verifies, and restores to the same shop", async () => {
        const product = await shop.product({ stock: 100_000 });
        const me = await shop.register();
        const mine = await shop.order(me.client, product, 2);
        let isDone = false;
        const placed: string[] = [mine.orderNumber];
        const load = Array.from({ length: 8 }, async () => {
            while (!isDone) placed.push((await shop.order(shop.guest, product)).orderNumber);
        });
        const { folder, release } = temporaryFolder();
        try {
            await eventually("there is load", () => placed.length > 20);
            const before = [...placed];
            const file = path.join(folder, "shop.backup");
            good(await shop.server.run(["backup", file]));
            isDone = true;
            await Promise.all(load);
            assert.ok(statSync(file).size > 0);
            assert.equal(statSync(file).mode & 0o077, 0, "for nobody else to read");

            const data = path.join(folder, "restored");
            good(await souk(data, ["restore", file, "--yes"]));
            copyFileSync(path.join(shop.server.data, "secret"), path.join(data, "secret")); // is not in the backup, as documented
            const restored = await Server.start({ data });
            try {
                checkBooks(restored.database);
                const client = new Client(restored.url);
                const admin = await logIn(client, shop.admin.email);
                const numbers = (await everyPage(admin.client, "/orders", { limit: 100 })).map((one) => one.orderNumber);
                for (const number of before) assert.ok(numbers.includes(number), `${number} was placed before the backup`);
                for (const number of numbers) assert.ok(placed.includes(number));
                const order = ok(await (await logIn(client, me.email)).client.get(`/orders/${mine.id}`));
                assert.deepEqual([order.items, order.total], [mine.items, mine.total]);
                const cart = ok(await client.post("/cart", {}), 201);
                ok(await client.post(`/cart/${cart.id}/items`, { productId: product.id, quantity: 1 }), 201);
                ok(await client.post(`/checkout/${cart.id}`, checkoutBody()), 201);
                assert.deepEqual(await restored.terminate(), { code: 0, signal: null });
            } finally {
                await restored.dispose();
            }
        } finally {
            isDone = true;
            release();
        }
    });

    sqliteTest("a damaged backup is found out, and never restored over a shop", async () => {
        const { folder, release } = temporaryFolder();
        try {
            await shop.product();
            const file = path.join(folder, "shop.backup");
            good(await shop.server.run(["backup", file]));
            const damaged: Record<string, (copy: string) => void> = {
                "cut short": (copy) => truncateSync(copy, Math.floor(statSync(copy).size / 2)),
                "empty": (copy) => truncateSync(copy, 0),
                "something else": (copy) => writeFileSync(copy, "not a backup"),
            };
            for (const [what, spoil] of Object.entries(damaged)) {
                const copy = path.join(folder, `${what.replaceAll(" ", "-")}.backup`);
                copyFileSync(file, copy);
                spoil(copy);
                const data = path.join(folder, `data-${what.replaceAll(" ", "-")}`);
                assert.notEqual((await souk(data, ["restore", copy, "--yes"])).code, 0, what);
                assert.ok(!existsSync(path.join(data, "souk.db")), what);
            }
            assert.notEqual((await shop.server.run(["restore", file, "--yes"])).code, 0, "a running shop is not overwritten");
            assert.notEqual((await souk(path.join(folder, "none"), ["restore", path.join(folder, "no.backup"), "--yes"])).code, 0);
            assert.notEqual((await shop.server.run(["backup", file])).code, 0, "an older backup is not overwritten");
            assert.notEqual((await shop.server.run(["backup", path.join(folder, "no/such/folder/file")])).code, 0);
            ok(await shop.guest.get("/products"));
        } finally {
            release();
        }
    });
});

describe("migrations", () => {
    const files = readdirSync(migrationsFolder).filter((name) => new RegExp(`^\\d{4}_[a-z0-9_]+(\\.${engine})?\\.up\\.sql$`).test(name)).sort();
    const names = files.map((name) => name.slice(0, 4));
    /** One that is for the other engine is a comment here. */
    const doesSomething = files.map((name) => /^[^-\s]/m.test(readFileSync(path.join(migrationsFolder, name), "utf8")));
    const schema = (data: string) => databaseOf(data).schema();

    test("each down restores exactly the schema before its up", async () => {
        const { folder, release } = temporaryFolder();
        try {
            const data = path.join(folder, "data");
            good(await souk(data, ["migrate", "up"]));
            const full = schema(data);
            assert.ok(full.some((one) => one.name === "orders"));
            // down one by one, keeping what is seen; then up again, and it must be seen in reverse
            const seen = [full];
            for (let i = 0; i < names.length; i++) {
                good(await souk(data, ["migrate", "down", "1", "--yes"]));
                seen.push(schema(data));
            }
            assert.ok(!seen.at(-1)!.some((one) => ["users", "orders", "products", "outbox"].includes(String(one.name))), "nothing of the shop is left");
            for (const [i, isChange] of [...doesSomething].reverse().entries()) {
                if (isChange) assert.notDeepEqual(seen[i], seen[i + 1], `migration ${names.at(-1 - i)} changes something`);
                else assert.deepEqual(seen[i], seen[i + 1], `migration ${names.at(-1 - i)} changes nothing`);
            }
            good(await souk(data, ["migrate", "up"]));
            assert.deepEqual(schema(data), full, "up again is the same");
            good(await souk(data, ["migrate", "down", String(names.length), "--yes"]));
            assert.deepEqual(schema(data), seen.at(-1));
            good(await souk(data, ["migrate", "up"]));
            good(await souk(data, ["migrate", "up"]));
            assert.deepEqual(schema(data), full, "up twice does nothing the second time");
            // half way down and up
            good(await souk(data, ["migrate", "down", "2", "--yes"]));
            assert.deepEqual(schema(data), seen[2]);
            const status = good(await souk(data, ["migrate", "status"])).stdout;
            for (const name of names) assert.ok(status.includes(name), `${name} in\n${status}`);
            good(await souk(data, ["migrate", "up"]));
            assert.deepEqual(schema(data), full);
        } finally {
            release();
        }
    });

    test("down and reset ask first", async () => {
        const shop = await Shop.open();
        try {
            const product = await shop.product();
            await shop.server.terminate();
            for (const args of [["migrate", "down"], ["migrate", "reset"]]) {
                assert.notEqual((await shop.server.run(args, { input: "" })).code, 0, args.join(" "));
                assert.notEqual((await shop.server.run(args, { input: "no\n" })).code, 0, args.join(" "));
            }
            assert.equal(shop.server.sql("SELECT name FROM products")[0]!.name, product.name);
            good(await shop.server.run(["migrate", "reset", "--yes"]));
            assert.deepEqual(shop.server.sql("SELECT name FROM products"), []);
            await shop.server.launch();
            assert.deepEqual(ok(await new Client(shop.server.url).get("/products")), []);
        } finally {
            await shop.close();
        }
    });
});

describe("beside a running server", () => {
    let shop: Shop;
    before(async () => { shop = await Shop.open(); });
    after(() => shop?.close());

    test("a user is made while orders are placed", async () => {
        const product = await shop.product({ stock: 100_000 });
        let isDone = false;
        const load = Array.from({ length: 8 }, async () => {
            let count = 0;
            for (; !isDone; count++) await shop.order(shop.guest, product);
            return count;
        });
        try {
            const emails = Array.from({ length: 5 }, () => `${unique("staff")}@example.com`);
            for (const email of emails) {
                good(await shop.server.run(["user", "create", "--role", "staff", "--email", email, "--password-stdin"], { input: PASSWORD }));
            }
            for (const email of emails) assert.equal((await logIn(shop.guest, email)).session.user.role, "staff");
        } finally {
            isDone = true;
        }
        assert.ok((await Promise.all(load)).every((count) => count > 0), "nobody had to wait for long");
        checkBooks(shop.server.database);
    });

    test("an existing address changes nothing and exits non-zero", async () => {
        const me = await shop.register();
        const again = await shop.server.run(["user", "create", "--role", "admin", "--email", me.email.toUpperCase(), "--password-stdin"], { input: "another password" });
        assert.notEqual(again.code, 0);
        assert.match(again.stderr, /already/);
        assert.equal((await logIn(shop.guest, me.email)).session.user.role, "customer");
        refused(await shop.guest.post("/auth/login", { email: me.email, password: "another password" }), 401, "INVALID_CREDENTIALS");
        for (const args of [["--email", "nobody"], ["--email", "a@example.com", "--role", "owner"], ["--role", "admin"]]) {
            assert.notEqual((await shop.server.run(["user", "create", "--password-stdin", ...args], { input: PASSWORD })).code, 0, args.join(" "));
        }
        assert.notEqual((await shop.server.run(["user", "create", "--role", "admin", "--email", `${unique("x")}@example.com`, "--password-stdin"], { input: "short" })).code, 0);
    });

    test("the sample shop is seeded into a shop that is open, once", async () => {
        const sample = await Shop.open();
        try {
            good(await sample.server.run(["seed"]));
            const categories = await everyPage(sample.guest, "/categories", { limit: 100 });
            assert.ok(categories.length >= 8 && categories.some((one) => one.parentId !== null), "a tree");
            const products = await everyPage(sample.guest, "/products", { limit: 100 });
            assert.ok(products.length >= 60, String(products.length));
            assert.ok(products.some((one) => one.variants.length > 1));
            assert.ok(products.every((one) => one.images.length > 0));
            const orders = await everyPage(sample.admin.client, "/orders", { limit: 100 });
            assert.ok(orders.some((one) => one.orderStatus === "delivered"), "past orders");
            const usable = sample.server.sql("SELECT email FROM users WHERE password_hash IS NOT NULL");
            assert.deepEqual(usable, [{ email: sample.admin.email }], "nobody who was seeded can log in");
            checkBooks(sample.server.database);
            await sample.order(sample.guest, products.find((one) => one.variants.length === 1 && (one.stock ?? 1) > 0)!);
            const again = await sample.server.run(["seed"]);
            assert.notEqual(again.code, 0, "a shop that has something in it is left alone");
            assert.equal((await everyPage(sample.guest, "/products", { limit: 100 })).length, products.length);
        } finally {
            await sample.close();
        }
    });

    test("a large shop is the same every time", async () => {
        const { folder, release } = temporaryFolder();
        try {
            const list = async (name: string) => {
                const data = path.join(folder, name);
                good(await souk(data, ["migrate", "up"]));
                good(await souk(data, ["seed", "--products", "2000", "--users", "50", "--orders", "200"]));
                const database = databaseOf(data);
                checkBooks(database);
                assert.deepEqual(database.query("SELECT (SELECT COUNT(*) FROM orders) AS o, (SELECT COUNT(*) FROM users) AS u"), [{ o: 200, u: 50 }]);
                return database.query("SELECT slug, price_minor, vendor FROM products ORDER BY slug");
            };
            const first = await list("one");
            assert.ok(first.length >= 2000);
            assert.deepEqual(await list("two"), first);
        } finally {
            release();
        }
    });

    test("keys rotate without anybody noticing", async () => {
        const me = await shop.register();
        const kids = async () => ((await shop.guest.get("/.well-known/jwks.json")).body.keys as Json[]).map((key) => key.kid);
        const kidOf = (token: string) => JSON.parse(Buffer.from(token.split(".")[0]!, "base64url").toString()).kid as string;
        const before = await kids();
        assert.ok(before.includes(kidOf(me.session.accessToken)));
        good(await shop.server.run(["keys", "rotate"]));
        assert.match(good(await shop.server.run(["keys", "list"])).stdout, /active/);
        // a running server looks for new keys every minute, and at once when it meets a token of a key it does not know
        const [head = "", ...rest] = (me.session.accessToken as string).split(".");
        const header = JSON.parse(Buffer.from(head, "base64url").toString());
        const stranger = [Buffer.from(JSON.stringify({ ...header, kid: [...header.kid].reverse().join("") })).toString("base64url"), ...rest].join(".");
        const next = await eventually("a new key signs", async () => {
            assert.equal((await shop.guest.as(stranger).get("/users/me")).status, 401);
            const session = await logIn(shop.guest, me.email);
            return kidOf(session.session.accessToken) !== kidOf(me.session.accessToken) && session;
        });
        assert.ok((await kids()).includes(kidOf(next.session.accessToken)));
        assert.ok((await kids()).includes(kidOf(me.session.accessToken)), "the retired key still verifies");
        assert.equal((await me.client.get("/users/me")).status, 200);
        assert.equal((await next.client.get("/users/me")).status, 200);
        assert.ok(before.includes(kidOf(next.session.accessToken)), "it was published before it was used");
    });

    test("two servers on one folder: both serve, or the second says why not", async () => {
        const result = await Promise.race([
            Server.start({ data: shop.server.data }).then((second) => ({ second }), (error: Error) => ({ error })),
        ]);
        if ("error" in result) {
            assert.match(result.error.message, /in use|running|another|lock/i);
        } else {
            try {
                const product = await shop.product({ stock: 5 });
                const clients = [shop.guest, new Client(result.second.url)];
                const carts = await parallel(20, (i) => shop.cartOf(clients[i % 2]!, { productId: product.id, quantity: 1 }));
                const replies = await parallel(20, (i) => clients[i % 2]!.post(`/checkout/${carts[i].id}`, checkoutBody()));
                assert.equal(replies.filter((reply) => reply.status === 201).length, 5);
                checkBooks(shop.server.database);
            } finally {
                await result.second.dispose();
            }
        }
    });

    test("config prints every setting and no secret", async () => {
        const secret = "x7Vq".repeat(12);
        const result = good(await shop.server.run(["config"], { env: { SOUK_SECRET: secret } }));
        for (const name of ["DATABASE_URL", "SOUK_SECRET", "SOUK_LISTEN", "SOUK_RATE_LIMIT", "SOUK_TEST_PAYMENTS", "SOUK_LOG"]) assert.ok(result.stdout.includes(name), name);
        assert.ok(!result.stdout.includes(secret));
        assert.match(good(await shop.server.run(["version"])).stdout, /\d+\.\d+\.\d+/);
    });
});

test("health says by its exit code whether the server answers", async () => {
    const server = await Server.start();
    try {
        for (const extra of [[], ["--live"]]) {
            const answer = await server.run(["health", "--url", `${server.url}/`, ...extra]);
            assert.deepEqual([answer.code, answer.stdout], [0, `${server.url}/health/${extra.length > 0 ? "live" : "ready"}: 200\n`]);
        }
        // Without --url it asks the server of the settings: one that listens on every address, on this machine's own.
        for (const host of ["127.0.0.1", "0.0.0.0"])
            good(await server.run(["health"], { env: { SOUK_LISTEN: `${host}:${server.port}` } }));
        const other = await server.run(["health", "--url", `${server.url}/products`]);
        assert.deepEqual([other.code, other.stdout], [1, `${server.url}/products/health/ready: 404\n`]);
        const away = await server.run(["health", "--url", "http://192.0.2.1"]);
        assert.deepEqual([away.code, away.stdout], [2, ""]);
        assert.match(away.stderr, /must start with https:\/\//);
        await server.terminate();
        const ended = await server.run(["health", "--url", server.url]);
        assert.equal(ended.code, 1);
        assert.match(ended.stderr, /^souk health: /);
    } finally {
        await server.dispose();
    }
});

sqliteTest("a copy of the data folder of a stopped shop is a shop", async () => {
    const shop = await Shop.open();
    const { folder, release } = temporaryFolder();
    try {
        const order = await shop.order(shop.guest, await shop.product());
        await shop.server.terminate();
        const data = path.join(folder, "copy");
        cpSync(shop.server.data, data, { recursive: true });
        for (const name of ["souk.db-wal", "souk.db-shm"]) if (existsSync(path.join(data, name))) rmSync(path.join(data, name));
        mkdirSync(path.join(data, "other"), { recursive: true });
        const copy = await Server.start({ data });
        const admin = await logIn(new Client(copy.url), shop.admin.email);
        assert.equal(ok(await admin.client.get(`/orders/${order.id}`)).orderNumber, order.orderNumber, "a clean stop leaves nothing in the log");
        await copy.dispose();
    } finally {
        release();
        await shop.close();
    }
});
