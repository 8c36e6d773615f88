// Products: making, reading, listing, changing, deleting.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { etagOf, invalid, ok, refused, ruleOf, type Client, type Json } from "../support/client.ts";
import { Shop, addItem, createCart, everyPage, newId, unique, usd, type Account } from "../support/shop.ts";

let shop: Shop;
let admin: Client;
let customer: Account;
before(async () => {
    shop = await Shop.open();
    admin = shop.admin.client;
    customer = await shop.register();
});
after(() => shop?.close());

const ids = (list: Json[]) => list.map((one) => one.id as string);
const sorted = (list: string[]) => [...list].sort();

describe("making a product", () => {
    test("a name and a price are enough", async () => {
        const reply = await admin.post("/products", { name: "Chaise longue Été", price: usd(4900) });
        const made = ok(reply, 201);
        assert.equal(made.slug, "chaise-longue-ete");
        assert.deepEqual(made.price, usd(4900));
        assert.equal(made.comparePrice, null);
        assert.equal(made.stock, 0);
        assert.equal(made.description, "");
        assert.equal(made.categoryId, null);
        assert.equal(made.vendor, null);
        assert.equal(made.isActive, true);
        assert.equal(made.isFeatured, false);
        assert.deepEqual([made.images, made.attributes, made.tags, made.options], [[], {}, [], []]);
        assert.deepEqual(made.seo, { title: null, description: null });
        assert.equal(made.variants.length, 1);
        assert.equal(made.variants[0].sku, made.sku);
        assert.deepEqual(made.variants[0].price, made.price);
        assert.deepEqual(made.variants[0].options, {});
        assert.equal(made.variants[0].isTracked, true);
        assert.equal(made.variants[0].backorderPolicy, "deny");
        assert.equal(new URL(reply.headers.get("location")!, shop.server.url).pathname, `/products/${made.id}`);
        const other = ok(await admin.post("/products", { name: "Chaise longue Été", price: usd(4900) }), 201);
        assert.match(other.slug, /^chaise-longue-ete-\d+$/);
        assert.notEqual(other.sku, made.sku);
    });

    test("everything given is kept", async () => {
        const category = await shop.category();
        const input = {
            name: unique("Full "), slug: unique("full-"), description: "Line one\nLine two — “quoted”, 日本語, 🧵", categoryId: category.id,
            price: usd(12345), comparePrice: usd(15000), costPrice: usd(6000), sku: unique("SKU-"), stock: 17, weightGrams: 450,
            isTracked: true, backorderPolicy: "deny", tags: ["one", "two"], vendor: "Atelier Nord", isActive: true, isFeatured: true,
            attributes: { material: "linen", washable: true, threads: 180, ratio: 0.5 },
            seo: { title: "Title", description: "Description" },
        };
        const made = ok(await admin.post("/products", { ...input, images: [{ url: "https://example.com/a.jpg", alt: "A" }, { url: "/media/b.svg" }] }), 201);
        const check = (product: Json, staff: boolean) => {
            for (const name of ["name", "slug", "description", "categoryId", "price", "comparePrice", "sku", "stock", "vendor", "isActive", "isFeatured", "attributes", "seo"] as const) {
                assert.deepEqual(product[name], input[name], name);
            }
            assert.deepEqual(sorted(product.tags), ["one", "two"]);
            assert.deepEqual(product.images.map((one: Json) => [one.url, one.alt, one.position]), [["https://example.com/a.jpg", "A", 0], ["/media/b.svg", null, 1]]);
            assert.equal(product.variants[0].weightGrams, 450);
            assert.equal(product.variants[0].available, 17);
            if (staff) {
                assert.deepEqual(product.costPrice, usd(6000));
                assert.equal(product.variants[0].onHand, 17);
                assert.equal(product.variants[0].reserved, 0);
            }
        };
        check(made, true);
        check(ok(await admin.get(`/products/${made.id}`)), true);
        check(ok(await shop.guest.get(`/products/${made.slug}`)), false);
    });

    test("one with a choice has a variant for each combination that is sold", async () => {
        const made = ok(await admin.post("/products", {
            name: "Linen shirt", price: usd(4900), options: [{ name: "Size", values: ["S", "M", "L"] }, { name: "Colour", values: ["sand", "ink"] }],
            variants: [
                { sku: "SHIRT-S-SAND", options: { Size: "S", Colour: "sand" }, stock: 12 },
                { sku: "SHIRT-M-INK", options: { Colour: "ink", Size: "M" }, stock: 20, price: usd(4200), comparePrice: usd(5000) },
            ],
        }), 201);
        assert.deepEqual(made.price, usd(4200), "the lowest");
        assert.deepEqual(made.comparePrice, usd(5000), "of that variant");
        assert.equal(made.sku, null);
        assert.equal(made.stock, 32, "the sum");
        assert.deepEqual(made.variants.map((one: Json) => [one.sku, one.options, one.price.amount, one.available]), [
            ["SHIRT-S-SAND", { Size: "S", Colour: "sand" }, 4900, 12],
            ["SHIRT-M-INK", { Size: "M", Colour: "ink" }, 4200, 20],
        ]);
        assert.deepEqual(Object.keys(made.variants[1].options), ["Size", "Colour"], "in the product's order");
    });

    test("untracked stock is null, for the product too", async () => {
        const made = await shop.product({ isTracked: false });
        const seen = ok(await shop.guest.get(`/products/${made.id}`));
        assert.equal(seen.stock, null);
        assert.equal(seen.variants[0].available, null);
        assert.ok(ids(await everyPage(shop.guest, "/products", { inStock: true, limit: 100 })).includes(made.id), "it can be bought");
    });

    test("slugs and SKUs are unique in the shop", async () => {
        const one = await shop.product({ sku: unique("SKU") });
        refused(await admin.post("/products", { name: "x", price: usd(1), slug: one.slug }), 409, "SLUG_TAKEN");
        refused(await admin.post("/products", { name: "x", price: usd(1), sku: one.sku }), 409, "SKU_TAKEN");
        refused(await admin.post("/products", {
            name: "x", price: usd(1), options: [{ name: "Size", values: ["S"] }], variants: [{ options: { Size: "S" }, sku: one.sku }],
        }), 409, "SKU_TAKEN");
    });

    test("fields that do not fit each other are named", async () => {
        invalid(await admin.post("/products", { name: "x", price: usd(1), categoryId: newId() }), "categoryId");
        invalid(await admin.post("/products", { name: "x", price: { amount: 1, currency: "EUR" } }), "price.currency");
        invalid(await admin.post("/products", { name: "x", price: usd(-1) }), "price.amount");
        invalid(await admin.post("/products", { name: "x", price: { amount: 9.99, currency: "USD" } }), "price.amount");
        invalid(await admin.post("/products", { name: "x", price: 999 }), "price");
        const options = [{ name: "Size", values: ["S", "M"] }];
        const named = async (variants: unknown[], field: RegExp) => {
            const reply = await admin.post("/products", { name: "x", price: usd(1), options, variants });
            const body = refused(reply, 400, "VALIDATION_ERROR");
            assert.match(body.errors[0].field, field, reply.text);
        };
        await named([{ options: { Size: "XL" } }], /^variants\[0\]\.options/);
        await named([{ options: { Size: "S" } }, { options: { Colour: "red" } }], /^variants\[1\]\.options/);
        await named([{ options: { Size: "S" } }, { options: { Size: "S" } }], /^variants\[1\]\.options/);
        await named([{}], /^variants\[0\]\.options/);
    });
});

describe("reading a product", () => {
    test("by id and by slug it is the same", async () => {
        const made = await shop.product();
        assert.deepEqual(ok(await shop.guest.get(`/products/${made.id}`)), ok(await shop.guest.get(`/products/${made.slug}`)));
        assert.deepEqual(ok(await shop.guest.get(`/products/${made.id.toUpperCase()}`)).id, made.id, "a UUID's case does not matter");
        refused(await shop.guest.get(`/products/${newId()}`), 404, "PRODUCT_NOT_FOUND");
        refused(await shop.guest.get("/products/no-such-thing"), 404, "PRODUCT_NOT_FOUND");
    });

    test("what is for staff only never reaches anybody else", async () => {
        const made = await shop.product({ costPrice: usd(700), categoryId: (await shop.category()).id });
        const secret = ["costPrice", "onHand", "reserved", "isTracked", "backorderPolicy"];
        const reads = async (client: Client) => [
            ok(await client.get(`/products/${made.id}`)),
            ok(await client.get(`/products/${made.slug}`, { query: { expand: "category" } })),
            ...ok(await client.get("/products", { query: { limit: 100 } })),
            ...ok(await client.get("/products", { query: { q: made.name } })),
            ...ok(await client.get("/products", { query: { category: made.categoryId } })),
        ];
        // staff first, so that a reply kept in a cache would show itself
        const staff = await shop.staff();
        for (const client of [admin, staff.client]) {
            const mine = (await reads(client)).filter((one: Json) => one.id === made.id);
            assert.equal(mine.length, 5);
            for (const product of mine) {
                assert.deepEqual(product.costPrice, usd(700));
                for (const name of secret) assert.ok(name in product.variants[0], name);
            }
        }
        for (const client of [shop.guest, customer.client]) {
            for (const product of await reads(client)) {
                for (const name of secret) {
                    assert.ok(!(name in product), name);
                    for (const variant of product.variants) assert.ok(!(name in variant), `variants[].${name}`);
                }
            }
            invalid(await client.get(`/products/${made.id}`, { query: { fields: "costPrice" } }), "fields");
        }
    });

    test("an inactive product is there for staff only", async () => {
        const made = await shop.product({ isActive: false, tags: [unique("hidden")] });
        for (const client of [shop.guest, customer.client]) {
            refused(await client.get(`/products/${made.id}`), 404, "PRODUCT_NOT_FOUND");
            refused(await client.get(`/products/${made.slug}`), 404, "PRODUCT_NOT_FOUND");
            for (const query of [{ tag: made.tags[0] }, { tag: made.tags[0], isActive: false }, { q: made.name }, { q: made.name, isActive: true }]) {
                assert.deepEqual(ok(await client.get("/products", { query })), []);
            }
        }
        assert.deepEqual(ids(ok(await admin.get("/products", { query: { tag: made.tags[0] } }))), [made.id]);
        assert.deepEqual(ids(ok(await admin.get("/products", { query: { tag: made.tags[0], isActive: false } }))), [made.id]);
        assert.deepEqual(ok(await admin.get("/products", { query: { tag: made.tags[0], isActive: true } })), []);
        ok(await admin.patch(`/products/${made.id}`, { isActive: true }));
        assert.equal(ok(await shop.guest.get(`/products/${made.id}`)).id, made.id);
        ok(await admin.patch(`/products/${made.id}`, { isActive: false }));
        refused(await shop.guest.get(`/products/${made.id}`), 404, "PRODUCT_NOT_FOUND");
    });

    test("fields and expand select", async () => {
        const category = await shop.category();
        const made = await shop.product({ categoryId: category.id });
        const picked = ok(await shop.guest.get(`/products/${made.id}`, { query: { fields: "name,price" } }));
        assert.deepEqual(picked, { id: made.id, name: made.name, price: made.price });
        const expanded = ok(await shop.guest.get(`/products/${made.id}`, { query: { expand: "category" } }));
        assert.deepEqual(expanded.category, { id: category.id, name: category.name, slug: category.slug });
        assert.ok(!("category" in ok(await shop.guest.get(`/products/${made.id}`))));
        const bare = await shop.product();
        assert.ok(!("category" in ok(await shop.guest.get(`/products/${bare.id}`, { query: { expand: "category" } }))));
        const listed = ok(await shop.guest.get("/products", { query: { category: category.slug, expand: "category", fields: "category" } }));
        assert.deepEqual(listed, [{ id: made.id, category: { id: category.id, name: category.name, slug: category.slug } }]);
        invalid(await shop.guest.get(`/products/${made.id}`, { query: { fields: "name,nothing" } }), "fields");
        invalid(await shop.guest.get(`/products/${made.id}`, { query: { expand: "vendor" } }), "expand");
    });

    test("the ETag changes with the representation, the version only with an edit", async () => {
        const made = await shop.product({ stock: 5 });
        const first = await shop.guest.get(`/products/${made.id}`);
        const tag = etagOf(first);
        assert.equal((await shop.guest.get(`/products/${made.id}`, { etag: tag })).status, 304);
        assert.equal((await customer.client.get(`/products/${made.id}`, { etag: tag })).status, 304);
        const version = (text: string) => /^"v(\d+)-/.exec(text)![1];
        // a sale changes what is shown, not the version: an editor's If-Match still holds
        const staffTag = etagOf(await admin.get(`/products/${made.id}`));
        await shop.order(shop.guest, made, 2);
        const fresh = etagOf(await admin.get(`/products/${made.id}`));
        assert.notEqual(fresh, staffTag);
        assert.equal(version(fresh), version(staffTag));
        ok(await admin.patch(`/products/${made.id}`, { vendor: "Someone" }, { ifMatch: staffTag }));
        const edited = etagOf(await admin.get(`/products/${made.id}`));
        assert.notEqual(version(edited), version(fresh));
        assert.equal((await shop.guest.get(`/products/${made.id}`, { etag: tag })).status, 200, "an edit shows at once");
    });
});

describe("the list", () => {
    const mark = unique("mark");
    let made: Json[] = [];
    let parent: Json;
    let child: Json;
    before(async () => {
        parent = await shop.category();
        child = await shop.category({ parentId: parent.id });
        const rows = [
            { name: "Ångström lamp", price: 300, stock: 1, vendor: "Ålund", isFeatured: true, categoryId: parent.id },
            { name: "apple bowl", price: 100, stock: 0, vendor: "Nord", isFeatured: false, categoryId: child.id },
            { name: "Banana hook", price: 200, stock: 3, vendor: "Nord", isFeatured: false, categoryId: child.id },
            { name: "cherry press", price: 200, stock: 0, vendor: "Sud", isFeatured: true, categoryId: null },
            { name: "Zebra rug", price: 90000, stock: 9, vendor: "Sud", isFeatured: false, categoryId: null },
        ];
        for (const { price, ...row } of rows) made.push(await shop.product({ ...row, price: usd(price), tags: [mark] }));
    });
    const list = async (query: Record<string, string | number | boolean> = {}) =>
        ok(await shop.guest.get("/products", { query: { tag: mark, ...query } })).map((one: Json) => one.name) as string[];

    test("comes newest first", async () => {
        assert.deepEqual(await list(), ["Zebra rug", "cherry press", "Banana hook", "apple bowl", "Ångström lamp"]);
        assert.deepEqual(await list({ sort: "-createdAt" }), await list());
        assert.deepEqual(await list({ sort: "createdAt" }), (await list()).reverse());
    });

    test("sorts by name without minding case or accents, and by price", async () => {
        const byName = ["Ångström lamp", "apple bowl", "Banana hook", "cherry press", "Zebra rug"];
        assert.deepEqual(await list({ sort: "name" }), byName);
        assert.deepEqual(await list({ sort: "-name" }), [...byName].reverse());
        const cheap = await list({ sort: "price" });
        assert.equal(cheap[0], "apple bowl");
        assert.deepEqual(sorted(cheap.slice(1, 3)), ["Banana hook", "cherry press"]);
        assert.deepEqual(cheap.slice(3), ["Ångström lamp", "Zebra rug"]);
        assert.deepEqual(await list({ sort: "-price" }), [...cheap].reverse());
        invalid(await shop.guest.get("/products", { query: { sort: "stock" } }), "sort");
    });

    test("filters, one by one and together", async () => {
        assert.deepEqual(await list({ "price[gte]": 200, sort: "name" }), ["Ångström lamp", "Banana hook", "cherry press", "Zebra rug"]);
        assert.deepEqual(await list({ "price[lte]": 200, sort: "name" }), ["apple bowl", "Banana hook", "cherry press"]);
        assert.deepEqual(await list({ "price[gte]": 101, "price[lte]": 299, sort: "name" }), ["Banana hook", "cherry press"]);
        assert.deepEqual(await list({ "price[gte]": 500, "price[lte]": 100 }), []);
        assert.deepEqual(await list({ vendor: "Nord", sort: "name" }), ["apple bowl", "Banana hook"]);
        assert.deepEqual(await list({ vendor: "Ålund" }), ["Ångström lamp"]);
        assert.deepEqual(await list({ inStock: true, sort: "name" }), ["Ångström lamp", "Banana hook", "Zebra rug"]);
        assert.deepEqual(await list({ inStock: false, sort: "name" }), ["apple bowl", "cherry press"]);
        assert.deepEqual(await list({ isFeatured: true, sort: "name" }), ["Ångström lamp", "cherry press"]);
        assert.deepEqual(await list({ isFeatured: false, sort: "name" }), ["apple bowl", "Banana hook", "Zebra rug"]);
        assert.deepEqual(await list({ category: parent.slug, sort: "name" }), ["Ångström lamp", "apple bowl", "Banana hook"]);
        assert.deepEqual(await list({ category: child.id, sort: "name" }), ["apple bowl", "Banana hook"]);
        assert.deepEqual(await list({ category: parent.id, vendor: "Nord", inStock: true, "price[gte]": 150 }), ["Banana hook"]);
        assert.deepEqual(await list({ category: "no-such-category" }), []);
        assert.deepEqual(ok(await shop.guest.get("/products", { query: { tag: "no-such-tag" } })), []);
        for (const [name, value] of [["price[gte]", "cheap"], ["price[gte]", -1], ["inStock", "yes"], ["category", "Not a slug"], ["limit", 0], ["limit", 101], ["offset", 10001], ["price[lt]", 5]] as const) {
            invalid(await shop.guest.get("/products", { query: { [name]: value } }), name);
        }
    });

    test("every sort pages by cursor, whole and without repeats", async () => {
        for (const sort of ["name", "-name", "price", "-price", "createdAt", "-createdAt"]) {
            for (const filter of [{}, { category: parent.slug }, { inStock: true }] as Record<string, string | boolean>[]) {
                const whole = ids(ok(await shop.guest.get("/products", { query: { tag: mark, sort, limit: 100, ...filter } })));
                const paged = ids(await everyPage(shop.guest, "/products", { tag: mark, sort, limit: 1, ...filter }));
                assert.deepEqual(paged, whole, `${sort} ${JSON.stringify(filter)}`);
                assert.equal(new Set(paged).size, paged.length);
            }
        }
    });

    test("a cursor is stable under inserts and deletes", async () => {
        const tag = unique("stable");
        const before = [];
        for (let i = 0; i < 6; i++) before.push(await shop.product({ name: `S${i}`, tags: [tag] }));
        const first = await shop.guest.get("/products", { query: { tag, limit: 2 } });
        assert.deepEqual(ids(ok(first)), ids([before[5], before[4]]));
        await shop.product({ name: "S9", tags: [tag] });               // newer: before the cursor
        ok(await admin.delete(`/products/${before[4].id}`), 204);      // the very row the cursor points at
        ok(await admin.delete(`/products/${before[3].id}`), 204);
        const second = await shop.guest.get("/products", { query: { tag, limit: 2, cursor: first.body.pagination.nextCursor } });
        assert.deepEqual(ids(ok(second)), ids([before[2], before[1]]));
        const third = await shop.guest.get("/products", { query: { tag, limit: 2, cursor: second.body.pagination.nextCursor } });
        assert.deepEqual(ids(ok(third)), ids([before[0]]));
        assert.deepEqual(third.body.pagination, { limit: 2, nextCursor: null, hasMore: false });
    });

    test("a cursor that was tampered with, or is of another list, is refused", async () => {
        const first = await shop.guest.get("/products", { query: { tag: mark, limit: 2 } });
        const cursor: string = first.body.pagination.nextCursor;
        const refuse = async (text: string, query: Record<string, string> = { tag: mark }) =>
            invalid(await shop.guest.get("/products", { query: { limit: 2, ...query, cursor: text } }), "cursor");
        for (let at = 0; at < cursor.length; at += Math.ceil(cursor.length / 12)) {
            await refuse(`${cursor.slice(0, at)}${cursor[at] === "A" ? "B" : "A"}${cursor.slice(at + 1)}`);
        }
        await refuse(cursor.slice(0, -1));
        await refuse(`${cursor}A`);
        await refuse("abc");
        await refuse("'; DROP TABLE products; --");
        await refuse(cursor, { tag: mark, sort: "price" });
        await refuse(cursor, { tag: "another" });
        await refuse(cursor, {});
        const categories = await shop.guest.get("/categories", { query: { limit: 1 } });
        await refuse(categories.body.pagination.nextCursor);
        assert.equal((await shop.guest.get("/products", { query: { tag: mark, limit: 3, cursor } })).status, 200, "limit may change");
    });

    test("offset and total", async () => {
        const page = await shop.guest.get("/products", { query: { tag: mark, sort: "name", offset: 3, limit: 1, total: true } });
        assert.deepEqual(ok(page).map((one: Json) => one.name), ["cherry press"]);
        assert.equal(page.body.pagination.total, 5);
        assert.equal(page.body.pagination.hasMore, true);
        const beyond = await shop.guest.get("/products", { query: { tag: mark, offset: 10000, total: true } });
        assert.deepEqual(ok(beyond), []);
        assert.equal(beyond.body.pagination.hasMore, false);
        invalid(await shop.guest.get("/products", { query: { tag: mark, offset: 0, cursor: page.body.pagination.nextCursor } }), "cursor");
    });

    test("a page is 20 unless said otherwise, and never more than 100", async () => {
        const tag = unique("many");
        for (let i = 0; i < 21; i++) await shop.product({ tags: [tag] });
        const page = await shop.guest.get("/products", { query: { tag } });
        assert.equal(ok(page).length, 20);
        assert.equal(page.body.pagination.limit, 20);
        assert.equal(page.body.pagination.hasMore, true);
        const rest = await shop.guest.get("/products", { query: { tag, cursor: page.body.pagination.nextCursor } });
        assert.equal(ok(rest).length, 1);
        const exact = await shop.guest.get("/products", { query: { tag, limit: 21 } });
        assert.deepEqual(exact.body.pagination, { limit: 21, nextCursor: null, hasMore: false });
    });

    test("shows an edit at once, though lists are cached", async () => {
        const tag = unique("fresh");
        const product = await shop.product({ tags: [tag], price: usd(100) });
        const price = async () => ok(await shop.guest.get("/products", { query: { tag } })).map((one: Json) => one.price.amount);
        assert.deepEqual(await price(), [100]);
        ok(await admin.patch(`/products/${product.id}`, { price: usd(101) }));
        assert.deepEqual(await price(), [101]);
        const next = await shop.product({ tags: [tag], price: usd(102) });
        assert.deepEqual(await price(), [102, 101]);
        ok(await admin.delete(`/products/${next.id}`), 204);
        assert.deepEqual(await price(), [101]);
        const first = await shop.guest.get("/products", { query: { tag } });
        assert.equal((await shop.guest.get("/products", { query: { tag }, etag: etagOf(first) })).status, 304);
    });

    test("a sold-out product shows at once", async () => {
        const tag = unique("sold");
        const product = await shop.product({ tags: [tag], stock: 1 });
        assert.deepEqual(await list({ tag, inStock: true }), [product.name]);
        await shop.order(shop.guest, product, 1);
        assert.equal(ok(await shop.guest.get(`/products/${product.id}`)).stock, 0);
        assert.deepEqual(await list({ tag, inStock: true }), []);
        assert.deepEqual(await list({ tag, inStock: false }), [product.name]);
    });
});

describe("changing a product", () => {
    test("only what is given changes; null clears", async () => {
        const made = await shop.product({ description: "before", tags: ["a", "b"], vendor: "V", comparePrice: usd(3000), attributes: { a: 1 } });
        const changed = ok(await admin.patch(`/products/${made.id}`, { tags: ["c"], vendor: null, comparePrice: null, attributes: {} }));
        assert.equal(changed.description, "before");
        assert.deepEqual(changed.price, made.price);
        assert.deepEqual([changed.tags, changed.vendor, changed.comparePrice, changed.attributes], [["c"], null, null, {}]);
        assert.equal(changed.slug, made.slug);
        assert.equal(changed.stock, 100);
        assert.ok(changed.updatedAt >= made.updatedAt);
        assert.deepEqual(ok(await admin.get(`/products/${made.id}`)), changed);
        const moved = ok(await admin.patch(`/products/${made.id}`, { slug: unique("moved-") }));
        refused(await shop.guest.get(`/products/${made.slug}`), 404, "PRODUCT_NOT_FOUND");
        assert.equal(ok(await shop.guest.get(`/products/${moved.slug}`)).id, made.id);
    });

    test("price, SKU and stock of a simple product are its variant's", async () => {
        const made = await shop.product();
        const sku = unique("NEW-");
        const changed = ok(await admin.patch(`/products/${made.id}`, { price: usd(1234), sku, stock: 7, costPrice: usd(5), weightGrams: 9, backorderPolicy: "allow" }));
        const variant = changed.variants[0];
        assert.equal(variant.id, made.variants[0].id, "it is the same variant");
        assert.deepEqual([variant.price, variant.sku, variant.onHand, variant.costPrice, variant.weightGrams, variant.backorderPolicy], [usd(1234), sku, 7, usd(5), 9, "allow"]);
        assert.deepEqual([changed.price, changed.sku, changed.stock], [usd(1234), sku, 7]);
    });

    test("a product with several variants refuses them, unless the variants are given too", async () => {
        const made = await choice();
        for (const change of [{ price: usd(1) }, { sku: "X" }, { stock: 1 }]) {
            invalid(await admin.patch(`/products/${made.id}`, change), Object.keys(change)[0]!);
        }
    });

    test("the list of variants is replaced: changed, added, removed", async () => {
        const made = await choice();
        const [small, medium] = made.variants;
        const changed = ok(await admin.patch(`/products/${made.id}`, {
            options: [{ name: "Size", values: ["S", "L"] }],
            variants: [{ id: small.id, price: usd(99) }, { options: { Size: "L" }, stock: 4, price: usd(77) }],
        }));
        assert.deepEqual(changed.variants.map((one: Json) => [one.options.Size, one.price.amount, one.onHand]), [["S", 99, 10], ["L", 77, 4]]);
        assert.equal(changed.variants[0].id, small.id);
        assert.deepEqual(changed.price, usd(77));
        assert.equal(changed.stock, 14);
        const cart = await createCart(shop.guest);
        refused(await shop.guest.post(`/cart/${cart.id}/items`, { variantId: medium.id, quantity: 1 }), 404, "PRODUCT_NOT_FOUND");
        const alien = await shop.product();
        const reply = await admin.patch(`/products/${made.id}`, { variants: [{ id: alien.variants[0].id, price: usd(1) }] });
        assert.match(refused(reply, 400, "VALIDATION_ERROR").errors[0].field, /^variants\[0\]\.id/);
        assert.deepEqual(ok(await admin.get(`/products/${alien.id}`)), alien, "another product's variant is untouched");
    });

    test("conflicts are told apart and change nothing", async () => {
        const one = await shop.product({ sku: unique("A") });
        const other = await shop.product({ sku: unique("B") });
        refused(await admin.patch(`/products/${one.id}`, { name: "changed", slug: other.slug }), 409, "SLUG_TAKEN");
        refused(await admin.patch(`/products/${one.id}`, { name: "changed", sku: other.sku }), 409, "SKU_TAKEN");
        await shop.order(shop.guest, one, 3);
        refused(await admin.patch(`/products/${one.id}`, { name: "changed", stock: 2 }), 409, "INSUFFICIENT_STOCK");
        assert.equal(ok(await admin.get(`/products/${one.id}`)).name, one.name);
        ok(await admin.patch(`/products/${one.id}`, { stock: 3 }));
        assert.deepEqual(await shop.level(one.id), { onHand: 3, reserved: 3, available: 0 });
        invalid(await admin.patch(`/products/${one.id}`, { categoryId: newId() }), "categoryId");
        refused(await admin.patch(`/products/${newId()}`, { name: "x" }), 404, "PRODUCT_NOT_FOUND");
        assert.equal(ruleOf(await admin.patch(`/products/${one.id}`, { stockk: 1 }), "stockk"), "UNKNOWN");
    });

    test("If-Match keeps two editors apart", async () => {
        const made = await shop.product();
        const tag = etagOf(await admin.get(`/products/${made.id}`));
        ok(await admin.patch(`/products/${made.id}`, { name: "first" }, { ifMatch: tag }));
        refused(await admin.patch(`/products/${made.id}`, { name: "second" }, { ifMatch: tag }), 412, "PRECONDITION_FAILED");
        refused(await admin.delete(`/products/${made.id}`, { ifMatch: tag }), 412, "PRECONDITION_FAILED");
        assert.equal(ok(await shop.guest.get(`/products/${made.id}`)).name, "first");
        const reply = await admin.patch(`/products/${made.id}`, { name: "third" }, { ifMatch: "not an etag" });
        assert.ok([400, 412].includes(reply.status), reply.text);
        assert.equal(ok(await shop.guest.get(`/products/${made.id}`)).name, "first");
    });
});

describe("deleting a product", () => {
    test("it is gone for everybody; what was bought stays in the order", async () => {
        const made = await shop.product({ tags: [unique("gone")] });
        const order = await shop.order(customer.client, made, 2);
        const cart = await createCart(shop.guest);
        await addItem(shop.guest, cart.id, { productId: made.id, quantity: 1 });
        ok(await admin.delete(`/products/${made.id}`), 204);
        for (const client of [shop.guest, admin]) {
            refused(await client.get(`/products/${made.id}`), 404, "PRODUCT_NOT_FOUND");
            refused(await client.get(`/products/${made.slug}`), 404, "PRODUCT_NOT_FOUND");
            assert.deepEqual(ok(await client.get("/products", { query: { tag: made.tags[0] } })), []);
            assert.deepEqual(ok(await client.get("/products", { query: { q: made.name } })), []);
        }
        refused(await admin.delete(`/products/${made.id}`), 404, "PRODUCT_NOT_FOUND");
        assert.deepEqual(ok(await customer.client.get(`/orders/${order.id}`)).items, order.items);
        assert.deepEqual(ok(await shop.guest.get(`/cart/${cart.id}`)).items[0].notices, ["UNAVAILABLE"]);
        refused(await shop.guest.post(`/cart/${cart.id}/items`, { productId: made.id, quantity: 1 }), 404, "PRODUCT_NOT_FOUND");
        const again = ok(await admin.post("/products", { name: "x", price: usd(1), slug: made.slug, sku: made.sku }), 201);
        assert.equal(again.slug, made.slug, "slug and SKU are free again");
    });
});

async function choice(): Promise<Json> {
    return shop.product({
        stock: undefined, options: [{ name: "Size", values: ["S", "M"] }],
        variants: [{ options: { Size: "S" }, stock: 10 }, { options: { Size: "M" }, stock: 20 }],
    });
}
