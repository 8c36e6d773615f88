// ETag and 304, from the contract: every GET that documents them.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { etagOf, ok, type Client } from "../support/client.ts";
import { operations, type Operation } from "../support/contract.ts";
import { Shop, address } from "../support/shop.ts";

let shop: Shop;
const paths: Record<string, string> = {};
before(async () => {
    shop = await Shop.open();
    const seeded = await shop.server.run(["seed"]);
    assert.equal(seeded.code, 0, seeded.stderr);
    const category = await shop.category();
    const product = await shop.product();
    const cart = await shop.cartOf(shop.guest, { productId: product.id, quantity: 1 });
    const order = await shop.order(shop.guest, product);
    const saved = ok(await shop.admin.client.post("/users/me/addresses", address()), 201);
    const plan = ok(await shop.admin.client.post("/plans", { name: "Caching" }), 201);
    const key = ok(await shop.admin.client.post("/api-keys", { kind: "secret", name: "Caching", scopes: ["orders:read"] }), 201);
    const [picture] = shop.server.sql("SELECT name FROM media LIMIT 1");
    const script = /(?:src|href)="(\/docs\/[^"]+|[^"/:]+\.(?:js|css))"/.exec((await shop.guest.get("/docs")).text)?.[1] ?? "";
    const stock = `/products/${product.id}/variants/${product.variants[0].id}/stock-adjustments`;
    Object.assign(paths, {
        categoryGet: `/categories/${category.id}`, productGet: `/products/${product.id}`, cartGet: `/cart/${cart.id}`, orderGet: `/orders/${order.id}`,
        planGet: `/plans/${plan.id}`, apiKeyGet: `/api-keys/${key.id}`, apiKeyUsageGet: `/api-keys/${key.id}/usage`,
        roleGet: "/roles/staff", userGet: `/users/${shop.admin.id}`, addressGet: `/users/me/addresses/${saved.id}`, stockMovementsList: stock,
        mediaGet: `/media/${String(picture?.name)}`, docsAssetGet: new URL(script, `${shop.server.url}/docs`).pathname,
    });
});
after(() => shop?.close());

const clientOf = (operation: Operation): Client => (["staff", "customer"].includes(operation.souk.access) ? shop.admin.client : shop.guest);

describe("every GET with an ETag", () => {
    for (const operation of operations.filter((one) => one.method === "GET" && one.responses.has("304"))) {
        test(operation.id, async () => {
            const client = clientOf(operation);
            const path = paths[operation.id] ?? operation.path;
            const first = await client.get(path);
            assert.equal(first.status, 200, first.text);
            const tag = etagOf(first);
            assert.equal(etagOf(await client.get(path)), tag, "the same while nothing changes");
            const same = await client.get(path, { etag: tag });
            assert.equal(same.status, 304);
            assert.equal(same.bytes.length, 0);
            assert.equal(etagOf(same), tag);
            assert.equal((await client.get(path, { etag: `W/${tag}` })).status, 304, "compared weakly");
            assert.equal((await client.get(path, { etag: `"v0-other", ${tag}` })).status, 304);
            assert.equal((await client.get(path, { etag: "\"v0-other\"" })).status, 200);
            const head = await client.request("HEAD", path);
            assert.deepEqual([head.status, head.bytes.length, etagOf(head)], [200, 0, tag]);
            assert.equal((await client.request("HEAD", path, undefined, { etag: tag })).status, 304);
        });
    }
});
