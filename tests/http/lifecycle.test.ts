// Starting, stopping, and what the process says of itself.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, test } from "node:test";
import { Client, ok, type Json } from "../support/client.ts";
import { judge } from "../support/contract.ts";
import { sqlUuid, sqliteTest } from "../support/database.ts";
import { Connection } from "../support/raw.ts";
import { Server, souk, temporaryFolder } from "../support/server.ts";
import { CARD_APPROVED, PASSWORD, Shop, cardBody, checkoutBody, parallel } from "../support/shop.ts";

describe("starting", () => {
    sqliteTest("an empty folder becomes a shop, with its secret for nobody else to read", async () => {
        const server = await Server.start();
        try {
            assert.deepEqual(ok(await new Client(server.url).get("/products")), []);
            assert.equal(statSync(path.join(server.data, "secret")).mode & 0o777, 0o600);
            assert.equal(statSync(path.join(server.data, "souk.db")).mode & 0o077, 0, "nor the database");
        } finally {
            await server.dispose();
        }
    });

    sqliteTest("a folder that does not exist is made; other files in it do not matter", async () => {
        const { folder, release } = temporaryFolder();
        try {
            const data = path.join(folder, "new/deep");
            const first = await Server.start({ data });
            assert.equal((await first.terminate()).code, 0);
            writeFileSync(path.join(data, "notes.txt"), "mine");
            mkdirSync(path.join(data, "souk"));
            const second = await Server.start({ data });
            assert.equal((await second.terminate()).code, 0);
            assert.equal(readFileSync(path.join(data, "notes.txt"), "utf8"), "mine");
        } finally {
            release();
        }
    });

    test("everything is there after a restart: tokens, carts, orders, cursors", async () => {
        const shop = await Shop.open();
        try {
            const product = await shop.product();
            for (let i = 0; i < 3; i++) await shop.product();
            const me = await shop.register();
            const order = await shop.order(me.client, product);
            const cart = await shop.cartOf(shop.guest, { productId: product.id, quantity: 2 });
            const key = "over a restart";
            const first = await shop.guest.post(`/checkout/${cart.id}`, checkoutBody(), { key });
            const { nextCursor } = (await shop.guest.get("/products", { query: { limit: 2 } })).body.pagination;
            assert.deepEqual(await shop.server.terminate(), { code: 0, signal: null });
            await shop.server.launch();
            const again = new Client(shop.server.url);
            assert.deepEqual(ok(await again.as(me.session.accessToken).get(`/orders/${order.id}`)).id, order.id);
            const replay = await again.post(`/checkout/${cart.id}`, checkoutBody(), { key });
            assert.deepEqual([replay.status, replay.text], [201, first.text]);
            assert.equal(ok(await again.get("/products", { query: { limit: 2, cursor: nextCursor } })).length, 2);
            ok(await again.post("/auth/refresh", { refreshToken: me.session.refreshToken }));
        } finally {
            await shop.close();
        }
    });

    test("a wrong setting, a port in use and another's secret stop it with one clear line", async () => {
        const server = await Server.start();
        try {
            const complaint = async (args: string[], env: Record<string, string>, names: RegExp) => {
                const { folder, release } = temporaryFolder();
                try {
                    const result = await souk(folder, args, { env });
                    assert.notEqual(result.code, 0, "it started");
                    assert.match(result.stderr.trim(), names);
                    assert.equal(result.stderr.trim().split("\n").length, 1, result.stderr);
                } finally {
                    release();
                }
            };
            await complaint(["serve", "--listen", `127.0.0.1:${server.port}`], {}, new RegExp(`127\\.0\\.0\\.1:${server.port}|in use`));
            await complaint(["serve", "--listen", "nowhere"], {}, /listen/i);
            await complaint(["serve", "--listen", "127.0.0.1:0"], { SOUK_WORKERS: "many" }, /SOUK_WORKERS/);
            await complaint(["serve", "--listen", "127.0.0.1:0"], { SOUK_SECRET: "short" }, /SOUK_SECRET/);
            await complaint(["serve", "--no-such-flag"], {}, /no-such-flag/);
            await complaint(["no-such-command"], {}, /no-such-command/);
        } finally {
            await server.dispose();
        }
    });

    test("a schema that is behind is refused where it may not be changed", async () => {
        const server = await Server.start();
        try {
            assert.equal((await server.terminate()).code, 0);
            assert.equal((await server.run(["migrate", "down", "1", "--yes"])).code, 0);
            const refusedToStart = await server.run(["serve", "--listen", "127.0.0.1:0"], { env: { SOUK_MIGRATE: "off" } });
            assert.notEqual(refusedToStart.code, 0);
            assert.match(refusedToStart.stderr, /migrat/i);
            await server.launch();
        } finally {
            await server.dispose();
        }
    });
});

describe("stopping", () => {
    test("what runs is finished, what is new is refused, and it exits 0", async () => {
        const shop = await Shop.open({ env: { SOUK_IO_THREADS: "1" } });
        try {
            const product = await shop.product({ stock: 1000 });
            const port = shop.server.port;
            // one request whose body is still on its way, and one connection that idles
            const late = await Connection.open(port);
            const idle = await Connection.open(port);
            idle.write("GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n");
            assert.equal((await idle.response())?.status, 200);
            const body = JSON.stringify({});
            late.write(`POST /cart HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`);
            await sleep(100);
            // orders on their way
            const carts = await parallel(8, () => shop.cartOf(shop.guest, { productId: product.id, quantity: 1 }));
            const running = carts.map((cart) => shop.guest.post(`/checkout/${cart.id}`, cardBody(CARD_APPROVED)).catch(() => undefined));
            const ended = shop.server.terminate();
            await sleep(200);
            // while it drains, it says that it is not ready
            idle.write("GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n");
            const draining = await idle.response();
            assert.equal(draining?.status, 503, "not ready while it drains");
            judge({ method: "GET", target: "/health/ready", status: 503, headers: draining.headers, bytes: draining.bytes });
            assert.match(draining.headers.get("connection") ?? "", /close/i);
            const refusedNew = await Connection.open(port).then(async (connection) => {
                connection.write("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n");
                const reply = await connection.response({ withinMs: 1500 }).catch(() => undefined);
                connection.destroy();
                return reply === undefined || reply.status === 503;
            }, () => true);
            assert.ok(refusedNew, "no new connection is served");
            late.write(body);
            const finished = await late.response();
            assert.equal(finished?.status, 201, "what had begun is finished");
            const replies = (await Promise.all(running)).filter((reply) => reply !== undefined);
            assert.deepEqual(await ended, { code: 0, signal: null });
            late.destroy();
            idle.destroy();
            // what was answered is there
            const orders = shop.server.sql("SELECT order_number FROM orders").map((row) => row.order_number);
            for (const reply of replies) if (reply.status === 201) assert.ok(orders.includes(reply.body.data.orderNumber));
            const cart = JSON.parse(finished.text) as Json;
            assert.equal(shop.server.sql(`SELECT 1 AS n FROM carts WHERE id = ${sqlUuid(cart.data.id)}`).length, 1);
        } finally {
            await shop.close();
        }
    });

    test("SIGINT stops it as well", async () => {
        const server = await Server.start();
        server.signal("SIGINT");
        assert.deepEqual(await server.exit, { code: 0, signal: null });
        await server.dispose();
    });
});

describe("the log", () => {
    test("is one line of JSON a request, with its id and route, and without any secret", async () => {
        const shop = await Shop.open({ env: { SOUK_LOG: "request" } });
        try {
            const me = await shop.register({ firstName: "Zebulon" });
            const product = await shop.product();
            const cart = await shop.cartOf(me.client, { productId: product.id, quantity: 1 });
            const reply = await me.client.post(`/checkout/${cart.id}`, cardBody(CARD_APPROVED, { email: me.email }));
            const order = ok(reply, 201);
            const guests = await shop.cartOf(shop.guest, { productId: product.id, quantity: 1 });
            await shop.guest.get(`/products?q=${encodeURIComponent(me.email)}`);
            await shop.guest.post("/auth/login", { email: me.email, password: `${PASSWORD}x` });
            await shop.guest.post("/auth/refresh", { refreshToken: me.session.refreshToken });
            await shop.guest.post("/orders/lookup", { orderNumber: order.orderNumber, email: me.email });
            await shop.guest.post(`/cart/${guests.id}/items`, { nonsense: me.email });
            await shop.guest.post("/auth/password/forgot", { email: me.email });
            await shop.server.terminate();
            const log = shop.server.stdout + shop.server.stderr;
            const rows = log.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Record<string, unknown>);
            const requestId = reply.headers.get("x-request-id");
            const row = rows.find((one) => Object.values(one).includes(requestId));
            assert.ok(row, `a line with ${requestId} in\n${log.slice(0, 1500)}`);
            assert.ok(Object.values(row).includes(201), JSON.stringify(row));
            assert.match(JSON.stringify(row), /\/checkout\/\{id\}|checkout_create/);
            const secrets = [
                me.email, PASSWORD, CARD_APPROVED, me.session.accessToken, me.session.refreshToken, cart.id, guests.id, shop.admin.email,
                "Zebulon", "Rue des Lilas", "amina@example.com", shop.server.secret,
            ];
            for (const secret of secrets) assert.ok(!log.includes(secret), `the log holds ${secret}`);
        } finally {
            await shop.close();
        }
    });

    test("off and error are quiet", async () => {
        for (const level of ["off", "error"]) {
            const server = await Server.start({ env: { SOUK_LOG: level } });
            await new Client(server.url).get("/products");
            await new Client(server.url).get("/products/no-such-thing");
            await server.terminate();
            assert.ok(!/"status":\s*\d/.test(server.stdout + server.stderr), level);
            await server.dispose();
        }
    });
});

test("the database holds no card number and no password after a day's work", async () => {
    const shop = await Shop.open();
    try {
        const me = await shop.register({ password: "a very particular password" });
        const product = await shop.product();
        const cart = await shop.cartOf(me.client, { productId: product.id, quantity: 1 });
        ok(await me.client.post(`/checkout/${cart.id}`, cardBody(CARD_APPROVED), { key: "k" }), 201);
        await shop.server.terminate();
        const stored = shop.server.database.everything();
        assert.ok(stored.includes(me.email), "what was stored is seen");
        for (const secret of [CARD_APPROVED, "a very particular password", me.session.refreshToken, me.session.accessToken]) {
            assert.ok(!stored.includes(secret), `the database holds ${secret}`);
            assert.ok(!stored.includes(Buffer.from(secret).toString("hex")), `the database holds the bytes of ${secret}`);
        }
    } finally {
        await shop.close();
    }
});
