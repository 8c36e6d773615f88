// Through pgbouncer in transaction mode, with fewer connections to PostgreSQL than souk has workers: every transaction may run on another
// one. With SOUK_DATABASE_PREPARE=off that is all the same to the shop.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ok, refused } from "../support/client.ts";
import { PgBouncer, Postgres } from "../support/postgres.ts";
import { eventually } from "../support/server.ts";
import { Shop, checkoutBody, logIn, parallel, unique, usd } from "../support/shop.ts";

const CONNECTIONS = 3; // of pgbouncer to PostgreSQL; souk has 16 workers
const CROWD = 24;
const BACK_MS_MAX = 5_000;

let postgres: Postgres;
let bouncer: PgBouncer;
let shop: Shop;
before(async () => {
    postgres = await Postgres.start();
    bouncer = await PgBouncer.start(postgres, { poolSize: CONNECTIONS });
    const name = await postgres.createDatabase();
    shop = await Shop.open({ env: { DATABASE_URL: bouncer.url(name), REDIS_URL: "", SOUK_DATABASE_PREPARE: "off" } });
});
after(async () => {
    await shop?.close();
    await bouncer?.dispose();
    await postgres?.dispose();
});

test("the way of a customer, and of whoever serves them", async () => {
    const category = await shop.category();
    const products = await parallel(6, () => shop.product({ categoryId: category.id, stock: 10 }));
    await parallel(CROWD, async (i) => {
        const product = products[i % products.length];
        assert.equal(ok(await shop.guest.get(`/products/${product.id}`)).name, product.name);
        assert.ok(ok(await shop.guest.get("/products", { query: { category: category.id, limit: 3, sort: i % 2 ? "price" : "-createdAt" } })).length === 3);
        assert.ok(ok(await shop.guest.get("/products", { query: { q: product.name, total: true } })).length > 0);
    });
    const me = await shop.register();
    assert.equal(ok(await (await logIn(shop.guest, me.email)).client.get("/users/me")).email, me.email);
    const order = await shop.order(me.client, products[0], 2);
    assert.deepEqual(ok(await me.client.get("/orders")).map((one: { id: string }) => one.id), [order.id]);
    await shop.act(order, "confirm");
    assert.equal((await shop.act(order, "payments", { amount: order.total })).paymentStatus, "paid");
    assert.deepEqual(await shop.level(products[0].id), { onHand: 10, reserved: 2, available: 8 });
    const renamed = unique("Renamed ");
    ok(await shop.admin.client.patch(`/products/${products[1].id}`, { name: renamed, price: usd(777) }));
    assert.deepEqual([ok(await shop.guest.get(`/products/${products[1].id}`)).name, ok(await shop.guest.get(`/products/${products[1].id}`)).price], [renamed, usd(777)]);
});

test("a crowd at few connections: what is there is sold once, and every key replays", async () => {
    const product = await shop.product({ stock: 10 });
    const carts = await parallel(CROWD, () => shop.cartOf(shop.guest, { productId: product.id, quantity: 1 }));
    const replies = await parallel(CROWD, (i) => shop.guest.post(`/checkout/${carts[i].id}`, checkoutBody(), { key: `crowd ${i}` }));
    assert.equal(replies.filter((reply) => reply.status === 201).length, 10, replies.map((reply) => reply.status).join(" "));
    for (const reply of replies.filter((each) => each.status !== 201)) refused(reply, 409, "OUT_OF_STOCK");
    assert.deepEqual(await shop.level(product.id), { onHand: 10, reserved: 10, available: 0 });
    const first = replies.findIndex((reply) => reply.status === 201);
    const again = await shop.guest.post(`/checkout/${carts[first].id}`, checkoutBody(), { key: `crowd ${first}` });
    assert.deepEqual([again.status, again.text, again.headers.get("idempotent-replayed")], [201, replies[first]!.text, "true"]);
});

test("no more connections than it was given reach PostgreSQL", async () => {
    await parallel(CROWD, (i) => shop.guest.get(`/products?limit=${1 + i}`));
    const [row] = await postgres.query("SELECT COUNT(*)::int AS n FROM pg_stat_activity WHERE application_name = 'souk'");
    assert.ok(Number(row!.n) <= CONNECTIONS, `${row!.n} connections`);
});

test("a pgbouncer that dies and comes back is an interruption", async () => {
    const product = await shop.product();
    await bouncer.kill();
    const away = await shop.guest.get("/products?limit=99");
    assert.equal(away.status, 503);
    assert.ok(Number(away.headers.get("retry-after")) >= 1);
    await bouncer.launch();
    await eventually("the shop is back", async () => (await shop.guest.get("/products?limit=98")).status === 200, BACK_MS_MAX);
    await eventually("orders are taken", async () => (await shop.guest.post("/cart", {})).status === 201, BACK_MS_MAX);
    ok(await shop.guest.get(`/products/${product.id}`));
    await shop.order(shop.guest, product);
});
