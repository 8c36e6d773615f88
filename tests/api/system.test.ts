// Health, metrics, keys, the contract, the explorer, pictures.
import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import { after, before, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { etagOf, ok, refused, type Json } from "../support/client.ts";
import { document } from "../support/contract.ts";
import { notOverLambda } from "../support/lambda-shop.ts";
import { Shop } from "../support/shop.ts";

const METRICS = notOverLambda("each copy counts for itself; CloudWatch adds up");

let shop: Shop;
before(async () => { shop = await Shop.open(); });
after(() => shop?.close());

test("the process says that it is alive, and that it can serve", async () => {
    assert.deepEqual(ok(await shop.guest.get("/health/live")), { status: "ok" });
    const ready = ok(await shop.guest.get("/health/ready"));
    assert.equal(ready.status, "ok");
    for (const check of ["database", "schema", "workers"]) assert.equal(ready.checks[check], "ok", check);
});

test("the contract is served as it is in the repository", async () => {
    const reply = await shop.guest.get("/openapi.json");
    assert.equal(reply.status, 200);
    assert.equal(reply.body.openapi, document.openapi);
    assert.deepEqual(Object.keys(reply.body.paths).sort(), Object.keys(document.paths).sort());
    const differing = Object.entries(document.components!.schemas!).filter(([name, schema]) => !isDeepStrictEqual(reply.body.components.schemas[name], schema));
    assert.deepEqual(differing.map(([name]) => name), []);
    assert.equal(Object.keys(reply.body.components.schemas).length, Object.keys(document.components!.schemas!).length);
    assert.equal((await shop.guest.get("/openapi.json", { etag: etagOf(reply) })).status, 304);
});

test("the explorer needs nothing from elsewhere", async () => {
    const page = await shop.guest.get("/docs");
    assert.equal(page.status, 200);
    assert.match(page.headers.get("content-type") ?? "", /^text\/html; ?charset=utf-8$/i);
    assert.equal((await shop.guest.get("/docs", { etag: etagOf(page) })).status, 304);
    const files = [...page.text.matchAll(/(?:src|href)="([^"#]+)"/g)].map((match) => match[1]!).filter((file) => !file.startsWith("data:"));
    assert.ok(files.some((file) => file.endsWith(".js")), `a script among ${files.join(" ")}`);
    for (const file of files) {
        const target = new URL(file, `${shop.server.url}/docs`);
        assert.equal(target.origin, shop.server.url, `${file} comes from elsewhere`);
        const asset = await shop.guest.get(target.pathname);
        assert.equal(asset.status, 200, file);
        if (target.pathname.startsWith("/docs/")) {
            assert.equal((await shop.guest.get(target.pathname, { etag: etagOf(asset) })).status, 304, file);
        }
        assert.doesNotMatch(asset.text, /\b(?:src|href)\s*=\s*["']https?:|import\s+["']https?:|url\(["']?https?:/, `${file} loads from elsewhere`);
    }
    assert.equal((await shop.guest.get("/docs/no-such-file.js")).status, 404);
    assert.equal((await shop.guest.get("/docs/..%2Fdocs")).status, 404);
});

test("metrics count requests by operation, and name no secret", { skip: METRICS }, async () => {
    const value = (text: string, name: RegExp) => text.split("\n").filter((line) => name.test(line)).map((line) => Number(line.split(" ").at(-1)))
        .reduce((sum, one) => sum + one, 0);
    const line = /^souk_http_requests_total\{[^}]*operation="categories_?[lL]ist"[^}]*\}/;
    const before = (await shop.guest.get("/metrics")).text;
    for (let i = 0; i < 3; i++) await shop.guest.get("/categories", { query: { limit: 10 + i } });
    const after = (await shop.guest.get("/metrics")).text;
    assert.equal(value(after, line) - value(before, line), 3, `three more requests of the list of categories in\n${after.slice(0, 2000)}`);
    for (const row of after.split("\n")) {
        assert.match(row, /^(|#.*|[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^}]*\})? [-+0-9.eEInfNa]+)$/, "Prometheus text format");
    }
    assert.match(after, /_bucket\{[^}]*le="\+Inf"[^}]*\} \d+/, "latency histograms");
    assert.ok(!after.includes(shop.admin.email), "no address in a metric");
});

test("business counters see an order and its revenue", { skip: METRICS }, async () => {
    const read = async () => {
        const text = (await shop.guest.get("/metrics")).text;
        const sum = (name: RegExp) => text.split("\n").filter((row) => name.test(row)).reduce((total, row) => total + Number(row.split(" ").at(-1)), 0);
        return { orders: sum(/^souk_orders_total(\{| )/), revenue: sum(/^souk_order_value_minor_total(\{| )/) };
    };
    const before = await read();
    const order = await shop.order(shop.guest, await shop.product(), 1);
    const after = await read();
    assert.equal(after.orders - before.orders, 1);
    assert.equal(after.revenue - before.revenue, order.total.amount, "in minor units");
});

test("an access token verifies with the published keys alone", async () => {
    const reply = await shop.guest.get("/.well-known/jwks.json");
    assert.equal(reply.status, 200);
    const [head, claims, signature] = shop.admin.session.accessToken.split(".") as [string, string, string];
    const header = JSON.parse(Buffer.from(head, "base64url").toString()) as { alg: string; kid: string; typ: string };
    assert.equal(header.alg, "RS256");
    const jwk = reply.body.keys.find((one: Json) => one.kid === header.kid);
    assert.ok(jwk, "the token's kid is published");
    const key = createPublicKey({ key: jwk, format: "jwk" });
    assert.ok(verify("sha256", Buffer.from(`${head}.${claims}`), key, Buffer.from(signature, "base64url")));
    const body = JSON.parse(Buffer.from(claims, "base64url").toString()) as Record<string, unknown>;
    assert.equal(body.sub, shop.admin.id);
    assert.equal(Number(body.exp) - Number(body.iat), 900, "fifteen minutes");
    assert.equal(shop.admin.session.expiresIn, 900);
    assert.ok(!JSON.stringify(body).includes(shop.admin.email), "no address in a token");
    assert.equal((await shop.guest.get("/.well-known/jwks.json", { etag: etagOf(reply) })).status, 304);
    for (const one of reply.body.keys) assert.ok(!("d" in one), "no private part");
});

test("the sample shop's pictures are drawn by souk itself", async () => {
    const sample = await Shop.open();
    try {
        const seeded = await sample.server.run(["seed"]);
        assert.equal(seeded.code, 0, seeded.stderr);
        const products = ok(await sample.guest.get("/products", { query: { limit: 100 } }));
        const url = products.flatMap((product: Json) => product.images).map((image: Json) => image.url).find((one: string) => one.startsWith("/media/"));
        assert.ok(url, "a seeded product has a picture of this server");
        const picture = await sample.guest.get(url);
        assert.equal(picture.status, 200);
        assert.match(picture.text, /^(<\?xml[^>]*>\s*)?<svg /);
        assert.equal((await sample.guest.get(url, { etag: etagOf(picture) })).status, 304);
        assert.equal((await sample.guest.get("/media/no-such-picture.svg")).status, 404);
        assert.equal((await sample.guest.get("/media/..%2Fsouk.db")).status, 404);
    } finally {
        await sample.close();
    }
});

test("a path that is nobody's is a 404 problem", async () => {
    for (const path of ["/nothing", "/products/a/b/c", "/health", "/cart/me/items/x/y"]) refused(await shop.guest.get(path), 404, "NOT_FOUND");
});
