// One journey through each HTTP front of Lambda: what a request says arrives, what a reply says comes back, whichever form the front
// gives them. The whole suites run over a front by `make lambda-test`.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import { Client, etagOf, ok, refused, type Json } from "../support/client.ts";
import { databaseOf, sqlUuid, type Database } from "../support/database.ts";
import { FRONTS } from "../support/lambda-events.ts";
import { LambdaShop } from "../support/lambda-shop.ts";
import { eventually, temporaryFolder } from "../support/processes.ts";
import { environment, souk } from "../support/server.ts";
import { PASSWORD, addItem, checkoutBody, createCart, logIn, unique } from "../support/shop.ts";

const temporary = temporaryFolder();
const data = path.join(temporary.folder, "data");
const admin = `${unique("admin")}@example.com`;
let database: Database;
before(async () => {
    mkdirSync(data);
    database = databaseOf(data, true);
    for (const [args, input] of [[["migrate", "up"], ""], [["user", "create", "--role", "admin", "--email", admin, "--password-stdin"], `${PASSWORD}\n`]] as const) {
        const done = await souk(data, [...args], { input });
        assert.equal(done.code, 0, done.stderr);
    }
});
after(() => {
    temporary.release();
    database.drop();
});

for (const front of FRONTS) describe(`through ${front}`, () => {
    let shop: LambdaShop;
    let guest: Client;
    let staff: Client;
    let product: Json;
    const name = `Ärmel & Co + 100% "${front}" / ${unique("x")}`;
    before(async () => {
        shop = new LambdaShop(front, data, environment(database.env), false, () => undefined);
        await shop.start();
        guest = new Client(shop.front.url);
        staff = (await logIn(guest, admin)).client;
        product = ok(await staff.post("/products", { name, price: { amount: 1500, currency: "USD" }, stock: 50, description: "long ".repeat(500) }), 201);
    });
    after(() => shop?.stop());

    test("bodies and queries in any script", async () => {
        assert.equal(ok(await guest.get(`/products/${product.id}`)).name, name);
        const searched = await guest.get("/products", { query: { q: name } });
        assert.equal(searched.status, 200, searched.text);
        assert.ok(searched.body.data.some((one: Json) => one.id === product.id), "q came as it was written");
        const twice = await guest.get("/products", { query: new URLSearchParams([["limit", "5"], ["limit", "6"]]) });
        assert.equal(twice.status, front === "alb" ? 200 : 400, "without lists a load balancer keeps the last of two");
        refused(await guest.get("/products/no%2Dsuch%2dthing"), 404, "PRODUCT_NOT_FOUND");
        refused(await guest.get("/products/no%2Fsuch"), 400, "VALIDATION_ERROR"); // one segment, and no slug
    });

    test("a cart becomes an order, once", async () => {
        const cart = await createCart(guest);
        await addItem(guest, cart.id, { productId: product.id, quantity: 2 });
        const key = unique("key");
        const first = await guest.post(`/checkout/${cart.id}`, checkoutBody(), { key });
        const again = await guest.post(`/checkout/${cart.id}`, checkoutBody(), { key });
        assert.equal(ok(first, 201).id, ok(again, 201).id);
        assert.equal(again.headers.get("idempotent-replayed"), "true");
        assert.equal(database.number(`SELECT COUNT(*) FROM orders WHERE cart_id = ${sqlUuid(cart.id)}`), 1);
    });

    test("cookies go there and back", async () => {
        const origin = shop.front.url.replace("http:", "https:");
        const email = `${unique("c")}@example.com`;
        const opened = await guest.post("/auth/register", { email, password: PASSWORD, session: "cookie" }, { headers: { origin } });
        ok(opened, 201);
        const cookie = opened.headers.getSetCookie().find((line) => line.startsWith("souk_refresh="));
        assert.match(cookie ?? "", /; Secure/i);
        const renewed = await guest.post("/auth/refresh", undefined, { headers: { origin, cookie: `other=1; ${cookie!.split(";")[0]}` } });
        assert.equal(typeof ok(renewed).accessToken, "string");
    });

    test("HEAD, 304, compressed replies and the address of the client", async () => {
        const target = `/products/${product.id}`;
        const shown = await guest.get(target);
        const head = await guest.request("HEAD", target);
        assert.deepEqual([head.status, head.bytes.length], [200, 0]);
        assert.equal((await guest.get(target, { etag: etagOf(shown) })).status, 304);
        const small = await eventually("a compressed reply", async () => {
            const response = await fetch(shop.front.url + target, { headers: { "accept-encoding": "gzip" } });
            const bytes = Buffer.from(await response.arrayBuffer());
            return response.headers.get("content-encoding") === "gzip" ? bytes : undefined;
        });
        const body = small[0] === 0x1f ? gunzipSync(small) : small; // fetch has taken it apart
        assert.equal(JSON.parse(body.toString()).data.name, name);
    });

    test("X-Forwarded-For of the client counts nowhere", async () => {
        const seen = (address: string) => database.number(`SELECT COUNT(*) FROM audit_log WHERE address = '${address}'`);
        const before = seen("127.0.0.1");
        ok(await staff.post("/categories", { name: unique("Category ") }, { headers: { "x-forwarded-for": "203.0.113.77", forwarded: "for=203.0.113.77" } }), 201);
        assert.deepEqual([seen("203.0.113.77"), seen("127.0.0.1")], [0, before + 1]);
    });
});
