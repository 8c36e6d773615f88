// Text search over the products.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { invalid, ok, type Json } from "../support/client.ts";
import { Shop, everyPage, usd } from "../support/shop.ts";

let shop: Shop;
before(async () => {
    shop = await Shop.open();
    await shop.product({ name: "Café crème cup", description: "Stoneware, hand thrown.", tags: ["kitchen"], vendor: "Älvdal", sku: "CUP-001", price: usd(1800) });
    await shop.product({ name: "Linen apron", description: "For the kitchen; goes with the café crème cup.", tags: ["kitchen", "linen"], vendor: "Nord", sku: "APR-77", price: usd(3500) });
    await shop.product({ name: "Walking boots", description: "Waterproof.", tags: ["outdoor"], vendor: "Fjell", sku: "BOOT-42", price: usd(12900) });
    await shop.product({ name: "Boot polish", description: "Beeswax.", tags: ["care"], vendor: "Fjell", sku: "POL-1", price: usd(900), stock: 0 });
    await shop.product({ name: "Hidden boots", isActive: false });
});
after(() => shop?.close());

const search = async (q: string, query: Record<string, string | number | boolean> = {}) =>
    ok(await shop.guest.get("/products", { query: { q, ...query } })).map((one: Json) => one.name) as string[];
const found = async (q: string, query: Record<string, string | number | boolean> = {}) => (await search(q, query)).sort();

test("words are found whatever their case and accents", async () => {
    for (const q of ["café", "cafe", "CAFE", "Crème", "creme CUP"]) assert.ok((await search(q)).includes("Café crème cup"), q);
    assert.deepEqual(await found("linen"), ["Linen apron"]);
    assert.deepEqual(await found("nothing-like-this"), []);
});

test("the last word may be unfinished, the others must occur", async () => {
    assert.deepEqual(await found("walk"), ["Walking boots"]);
    assert.deepEqual(await found("walking bo"), ["Walking boots"]);
    assert.deepEqual(await found("boo"), ["Boot polish", "Walking boots"]);
    assert.deepEqual(await found("linen waterproof"), []);
    assert.deepEqual(await found("walk boots"), [], "only the last one");
});

test("description, tag, vendor and SKU are searched too", async () => {
    assert.deepEqual(await found("beeswax"), ["Boot polish"]);
    assert.deepEqual(await found("kitchen"), ["Café crème cup", "Linen apron"]);
    assert.deepEqual(await found("alvdal"), ["Café crème cup"]);
    assert.deepEqual(await found("BOOT-42"), ["Walking boots"]);
    assert.deepEqual(await found("apr-77"), ["Linen apron"]);
});

test("a hit in the name ranks before one in the description", async () => {
    assert.deepEqual(await search("café crème"), ["Café crème cup", "Linen apron"]);
    assert.deepEqual(await search("café crème", { sort: "relevance" }), ["Café crème cup", "Linen apron"]);
    assert.deepEqual(await search("café crème", { sort: "-price" }), ["Linen apron", "Café crème cup"]);
});

test("filters and pages go with it", async () => {
    assert.deepEqual(await found("boo", { inStock: true }), ["Walking boots"]);
    assert.deepEqual(await found("boo", { "price[lte]": 1000 }), ["Boot polish"]);
    assert.deepEqual(await found("boo", { vendor: "Nord" }), []);
    const reply = await shop.guest.get("/products", { query: { q: "kitchen", limit: 1, total: true } });
    assert.equal(reply.body.pagination.total, 2);
    assert.equal(reply.body.pagination.hasMore, true);
    const paged = await everyPage(shop.guest, "/products", { q: "kitchen", limit: 1 });
    assert.deepEqual(paged.map((one) => one.name), await search("kitchen"));
});

test("staff find inactive products, others do not", async () => {
    assert.deepEqual(await found("hidden"), []);
    assert.deepEqual(ok(await shop.admin.client.get("/products", { query: { q: "hidden" } })).map((one: Json) => one.name), ["Hidden boots"]);
});

test("an edit is found at once", async () => {
    const product = await shop.product({ name: "Quartz clock", sku: "CLK-1" });
    assert.deepEqual(await search("quartz"), ["Quartz clock"]);
    ok(await shop.admin.client.patch(`/products/${product.id}`, { name: "Pendulum clock", tags: ["brass"] }));
    assert.deepEqual(await search("quartz"), []);
    assert.deepEqual(await search("pendulum"), ["Pendulum clock"]);
    assert.deepEqual(await search("brass"), ["Pendulum clock"]);
});

test("whatever is typed is text, never a query language", async () => {
    for (const q of ["\"", "'", "*", "boots*", "(", "a AND", "OR", "NOT boots", "NEAR(a b)", "name:boots", "^boots", "-boots", "boots\"\"", "%", "_", "\\", ";", "--", "🧵", "boots -- comment", "{a}", "+", "a\u0301", "col : x", "😀😀"]) {
        const reply = await shop.guest.get("/products", { query: { q } });
        assert.equal(reply.status, 200, `${q}: ${reply.text.slice(0, 300)}`);
    }
    assert.deepEqual(await found("boots*"), ["Walking boots"], "a star is no operator, and no obstacle");
    assert.deepEqual(await found("NOT linen"), []);
});

test("nothing, or too much, to search for is refused", async () => {
    invalid(await shop.guest.get("/products", { query: { q: "" } }), "q");
    invalid(await shop.guest.get("/products", { query: { q: "x".repeat(201) } }), "q");
    invalid(await shop.guest.get("/products", { query: { sort: "relevance" } }), "sort");
    assert.deepEqual(await search("x".repeat(200)), []);
});
