// The response cache as clients see it: what they may keep and for how long, how old it is, in which coding, and who may have it made
// anew. From the contract: every operation with a `cache`.
import assert from "node:assert/strict";
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, test } from "node:test";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { etagOf, ok, refused, type Json } from "../support/client.ts";
import { operations } from "../support/contract.ts";
import { eventually } from "../support/processes.ts";
import { Shop, checkoutBody, type Account } from "../support/shop.ts";

const STALE_SECONDS = 60;
const CODINGS = { gzip: gunzipSync, br: brotliDecompressSync } as const;
type Coding = keyof typeof CODINGS;

let shop: Shop;
let product: Json;
let staff: Account;
let customer: Account;
let paths: Record<string, string>;
before(async () => {
    shop = await Shop.open();
    staff = await shop.staff();
    customer = await shop.register();
    product = await shop.product({ description: "long ".repeat(600) });
    for (let i = 0; i < 12; i++) await shop.product({ description: "longer ".repeat(100) });
    const category = await shop.category({ description: "wide ".repeat(300) });
    paths = { categoryGet: `/categories/${category.id}`, productGet: `/products/${product.id}` };
});
after(() => shop?.close());

const cached = operations.filter((one) => one.souk.cache);
const pathOf = (id: string, path: string) => paths[id] ?? path;
const wordsOf = (text: string | null | undefined) => (text ?? "").split(",").map((one) => one.trim().toLowerCase());

interface Coded { status: number; headers: Record<string, string | undefined>; bytes: Buffer }

/** As it comes over the wire: fetch would decode it. */
function raw(method: string, path: string, headers: Record<string, string>): Promise<Coded> {
    return new Promise((resolve, reject) => {
        const sent = request(shop.server.url + path, { method, headers, timeout: 10_000 }, (reply) => {
            const parts: Buffer[] = [];
            reply.on("data", (part: Buffer) => parts.push(part));
            reply.on("end", () => resolve({ status: reply.statusCode ?? 0, headers: reply.headers as Record<string, string>, bytes: Buffer.concat(parts) }));
        });
        sent.on("timeout", () => sent.destroy(new Error("it took too long")));
        sent.on("error", reject);
        sent.end();
    });
}

/** The reply in this coding, once the server has made it. */
const coded = (path: string, coding: Coding, method = "GET") => eventually(`${path} in ${coding}`, async () => {
    const reply = await raw(method, path, { "accept-encoding": coding });
    return reply.headers["content-encoding"] === coding && reply;
});

const metric = async (name: string) => Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)`, "m").exec((await shop.guest.get("/metrics")).text)?.[1] ?? 0);

test("what is kept is what the contract says, and all of it is public", () => {
    assert.deepEqual(cached.map((one) => one.id).sort(), ["categoriesList", "categoryGet", "productGet", "productsList"]);
    for (const { souk } of cached) assert.equal(souk.access, "public");
});

test("a replayed checkout empties no list that does not show what it sold, however often it is sent", async () => {
    const product = await shop.product({ stock: 5 });
    const cart = await shop.cartOf(shop.guest, { productId: product.id, quantity: 1 });
    const key = crypto.randomUUID();
    const place = () => shop.guest.post(`/checkout/${cart.id}`, checkoutBody(), { key });
    const first = ok(await place(), 201);
    await shop.product(); // newer, so that this list does not show what was sold
    const list = () => shop.guest.get("/products", { query: { limit: 1 } });
    const page = await list();
    await sleep(1100); // an age is in whole seconds
    for (let i = 0; i < 3; i++) {
        const again = await place();
        assert.equal(again.headers.get("idempotent-replayed"), "true");
        assert.equal(ok(again, 201).id, first.id);
        const reply = await list();
        assert.ok(Number(reply.headers.get("age") ?? -1) >= 1, "kept as it was");
        assert.equal(reply.text, page.text);
    }
    assert.equal(ok(await shop.guest.get(`/products/${product.id}`)).stock, 4);
});

describe("each reply that is kept", () => {
    for (const operation of cached) {
        test(`${operation.id}: says how long it may be kept, and how old it is`, async () => {
            const path = pathOf(operation.id, operation.path);
            const first = await shop.guest.get(path);
            ok(first);
            assert.equal(first.headers.get("cache-control"), `public, max-age=${operation.souk.cache!.seconds}, stale-while-revalidate=${STALE_SECONDS}`);
            const second = await shop.guest.get(path);
            assert.match(second.headers.get("age") ?? "", /^\d+$/);
            for (const reply of [first, second]) {
                const vary = wordsOf(reply.headers.get("vary"));
                assert.ok(vary.includes("accept-encoding") && vary.includes("authorization"), vary.join());
            }
            assert.equal(second.text, first.text);
            const fresh = await shop.admin.client.get(path);
            assert.deepEqual([fresh.headers.get("cache-control"), fresh.headers.get("age")], ["private, no-store", null]);
        });

        test(`${operation.id}: is compressed once for each coding, each with its own ETag`, async () => {
            const path = pathOf(operation.id, operation.path);
            const plain = await shop.guest.get(path);
            const tags = [etagOf(plain)];
            for (const [coding, decode] of Object.entries(CODINGS) as [Coding, (bytes: Buffer) => Buffer][]) {
                const reply = await coded(path, coding);
                assert.equal(reply.status, 200);
                assert.ok(reply.bytes.length < plain.bytes.length * 0.9, `${reply.bytes.length} of ${plain.bytes.length}`);
                assert.equal(reply.headers["content-length"], String(reply.bytes.length));
                assert.equal(decode(reply.bytes).toString(), plain.text);
                assert.ok(wordsOf(reply.headers.vary).includes("accept-encoding"));
                assert.match(reply.headers.etag ?? "", /^"v\d+-[A-Za-z0-9_-]+"$/);
                tags.push(reply.headers.etag!);
                const head = await coded(path, coding, "HEAD");
                assert.deepEqual([head.bytes.length, head.headers["content-length"], head.headers.etag], [0, String(reply.bytes.length), reply.headers.etag]);
            }
            assert.equal(new Set(tags).size, 3, tags.join());
            const made = await metric("souk_response_cache_compressed_total");
            for (let i = 0; i < 20; i++) await coded(path, i % 2 ? "br" : "gzip");
            assert.equal(await metric("souk_response_cache_compressed_total"), made);
            // whichever of them a client has, it has the reply
            for (const tag of tags) {
                for (const accepted of ["identity", "gzip", "br"]) {
                    const same = await raw("GET", path, { "accept-encoding": accepted, "if-none-match": tag });
                    assert.deepEqual([same.status, same.bytes.length, same.headers.etag, same.headers["content-encoding"]], [304, 0, tag, undefined]);
                }
            }
        });
    }
});

test("only what the client takes: q-values count, and a refusal is one", async () => {
    const path = `/products/${product.id}`;
    await coded(path, "gzip");
    await coded(path, "br");
    for (const [accepted, coding] of [
        ["gzip, deflate, br", "br"], ["br;q=0.1, gzip", "gzip"], ["*", "br"], ["br;q=0, *", "gzip"], ["identity", undefined], ["", undefined],
        ["gzip;q=0, br;q=0", undefined], ["deflate", undefined], ["identity, gzip;q=0.5", undefined], ["gzip;q=nonsense", undefined],
    ] as const) {
        assert.equal((await raw("GET", path, { "accept-encoding": accepted })).headers["content-encoding"], coding, accepted);
    }
});

test("what is not kept is not compressed", async () => {
    for (const [path, token] of [["/openapi.json", null], ["/users/me", customer.client.token], [`/products/${product.id}`, shop.admin.client.token]] as const) {
        for (let i = 0; i < 3; i++) {
            const reply = await raw("GET", path, { "accept-encoding": "gzip, br", ...(token ? { authorization: `Bearer ${token}` } : {}) });
            assert.deepEqual([reply.status, reply.headers["content-encoding"]], [200, undefined], path);
        }
    }
});

test("an edit is seen at once in every coding, and If-Match takes the tag of any", async () => {
    const one = await shop.product({ description: "long ".repeat(600) });
    const path = `/products/${one.id}`;
    let name = "";
    for (const coding of ["gzip", "br"] as const) {
        const before = await coded(path, coding);
        name = `Renamed for ${coding}`;
        ok(await shop.admin.client.patch(path, { name }, { ifMatch: before.headers.etag! }));
        refused(await shop.admin.client.patch(path, { name: "too late" }, { ifMatch: before.headers.etag! }), 412, "PRECONDITION_FAILED");
        assert.equal((await raw("GET", path, { "accept-encoding": coding, "if-none-match": before.headers.etag! })).status, 200);
        const after = await coded(path, coding);
        assert.equal(JSON.parse(CODINGS[coding](after.bytes).toString()).data.name, name);
    }
    assert.equal(ok(await shop.guest.get(path)).name, name);
});

test("no-cache: an administrator has the reply made anew, everybody else is shown what is kept", async () => {
    const one = await shop.product();
    const path = `/products/${one.id}`;
    const age = async () => Number((await shop.guest.get(path)).headers.get("age") ?? -1);
    const noCache = { headers: { "cache-control": "no-cache" } };
    ok(await shop.guest.get(path));
    await sleep(1100);
    const bearers = [shop.guest, customer.client, staff.client];
    for (const client of bearers) ok(await client.get(path, noCache));
    assert.ok(await age() >= 1);
    ok(await shop.admin.client.get(path));
    assert.ok(await age() >= 1, "only when it says so");
    ok(await shop.admin.client.get(path, noCache));
    assert.ok(await age() < 1);
});
