// The tree of categories.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { etagOf, invalid, ok, refused, ruleOf, type Json } from "../support/client.ts";
import { Shop, everyPage, newId, unique } from "../support/shop.ts";

let shop: Shop;
before(async () => { shop = await Shop.open(); });
after(() => shop?.close());

const names = (list: Json[]) => list.map((one) => one.name);

describe("making a category", () => {
    test("a name is enough; the slug is made from it", async () => {
        const reply = await shop.admin.client.post("/categories", { name: "Crème Brûlée & Café" });
        const made = ok(reply, 201);
        assert.equal(made.name, "Crème Brûlée & Café");
        assert.equal(made.slug, "creme-brulee-cafe");
        assert.equal(made.parentId, null);
        assert.equal(made.description, "");
        assert.equal(made.position, 0);
        assert.equal(made.isActive, true);
        assert.equal(made.productCount, 0);
        assert.equal(made.createdAt, made.updatedAt);
        assert.equal(new URL(reply.headers.get("location")!, shop.server.url).pathname, `/categories/${made.id}`);
        assert.deepEqual(ok(await shop.guest.get(`/categories/${made.id}`)), ok(await shop.guest.get("/categories/creme-brulee-cafe")));
    });

    test("a made slug gives way, a chosen one does not", async () => {
        const first = await shop.category({ name: "Twin shelves" });
        const second = await shop.category({ name: "Twin shelves" });
        assert.equal(first.slug, "twin-shelves");
        assert.match(second.slug, /^twin-shelves-\d+$/);
        refused(await shop.admin.client.post("/categories", { name: "Third", slug: "twin-shelves" }), 409, "SLUG_TAKEN");
    });

    test("everything given is kept", async () => {
        const parent = await shop.category();
        const input = { name: unique("Full "), slug: unique("full-"), parentId: parent.id, description: "Rock\nand mud.", position: 7, isActive: false };
        const made = ok(await shop.admin.client.post("/categories", input), 201);
        for (const [name, value] of Object.entries(input)) assert.deepEqual(made[name], value, name);
        const read = ok(await shop.admin.client.get(`/categories/${made.id}`));
        for (const [name, value] of Object.entries(input)) assert.deepEqual(read[name], value, name);
        assert.deepEqual(read.path, [{ id: parent.id, name: parent.name, slug: parent.slug }]);
    });

    test("a parent that does not exist is a bad field", async () => {
        invalid(await shop.admin.client.post("/categories", { name: "Orphan", parentId: newId() }), "parentId");
    });

    test("each bad field is named, all at once", async () => {
        const reply = await shop.admin.client.post("/categories", { slug: "Not A Slug", position: -1, isActive: "yes", colour: "red" });
        invalid(reply, "name", "slug", "position", "isActive", "colour");
        assert.equal(ruleOf(reply, "name"), "REQUIRED");
        assert.equal(ruleOf(reply, "colour"), "UNKNOWN");
    });

    test("the same key does it once", async () => {
        const body = { name: unique("Once ") };
        const key = newId();
        const first = await shop.admin.client.post("/categories", body, { key });
        const second = await shop.admin.client.post("/categories", body, { key });
        ok(first, 201);
        assert.equal(second.status, 201);
        assert.equal(second.text, first.text);
        assert.equal(first.headers.get("idempotent-replayed"), null);
        assert.equal(second.headers.get("idempotent-replayed"), "true");
        refused(await shop.admin.client.post("/categories", { name: "Else" }, { key }), 422, "IDEMPOTENCY_KEY_REUSED");
    });
});

describe("the list", () => {
    test("is ordered by position, then name, and pages by cursor without loss", async () => {
        const all = await everyPage(shop.guest, "/categories", { limit: 100 });
        const paged = await everyPage(shop.guest, "/categories", { limit: 2 });
        assert.deepEqual(paged.map((one) => one.id), all.map((one) => one.id));
        for (let i = 1; i < all.length; i++) assert.ok(all[i - 1].position <= all[i].position, "by position");
        const first = all.filter((one) => one.position === 0).map((one) => one.name as string);
        assert.deepEqual(first, [...first].sort((a, b) => fold(a) < fold(b) ? -1 : fold(a) > fold(b) ? 1 : 0));
    });

    test("counts with total, skips with offset", async () => {
        const all = await everyPage(shop.guest, "/categories", { limit: 100 });
        const page = await shop.guest.get("/categories", { query: { total: true, offset: 1, limit: 2 } });
        assert.deepEqual(ok(page).map((one: Json) => one.id), all.slice(1, 3).map((one) => one.id));
        assert.equal(page.body.pagination.total, all.length);
        assert.equal((await shop.guest.get("/categories")).body.pagination.total, undefined);
        invalid(await shop.guest.get("/categories", { query: { offset: 1, cursor: page.body.pagination.nextCursor } }), "cursor");
    });

    test("shows the tree at once, each branch in order", async () => {
        const root = await shop.category({ position: 50 });
        const second = await shop.category({ parentId: root.id, position: 2 });
        const first = await shop.category({ parentId: root.id, position: 1 });
        const leaf = await shop.category({ parentId: first.id });
        const tree = await shop.guest.get("/categories", { query: { view: "tree" } });
        const found = ok(tree).find((one: Json) => one.id === root.id);
        assert.deepEqual(names(found.children), [first.name, second.name]);
        assert.deepEqual(names(found.children[0].children), [leaf.name]);
        assert.ok(ok(tree).every((one: Json) => one.parentId === null), "only roots at the top");
        assert.equal(tree.body.pagination.hasMore, false);
    });

    test("shows inactive categories to staff only, and so does a single read", async () => {
        const hidden = await shop.category({ isActive: false });
        const customer = await shop.register();
        const has = (list: Json[]) => list.some((one) => one.id === hidden.id);
        assert.equal(has(await everyPage(shop.guest, "/categories", { limit: 100 })), false);
        assert.equal(has(await everyPage(customer.client, "/categories", { limit: 100 })), false);
        assert.equal(has(await everyPage(shop.admin.client, "/categories", { limit: 100 })), true);
        assert.equal(has(ok(await shop.guest.get("/categories", { query: { view: "tree" } }))), false);
        refused(await shop.guest.get(`/categories/${hidden.id}`), 404, "CATEGORY_NOT_FOUND");
        refused(await shop.guest.get(`/categories/${hidden.slug}`), 404, "CATEGORY_NOT_FOUND");
        assert.equal(ok(await shop.admin.client.get(`/categories/${hidden.slug}`)).id, hidden.id);
    });

    test("selects fields", async () => {
        const reply = await shop.guest.get("/categories", { query: { fields: "name,slug", limit: 1 } });
        assert.deepEqual(Object.keys(ok(reply)[0]).sort(), ["id", "name", "slug"]);
        invalid(await shop.guest.get("/categories", { query: { fields: "name,secret" } }), "fields");
    });

    test("answers 304 while nothing changed, and 200 once something did", async () => {
        const first = await shop.guest.get("/categories");
        assert.equal((await shop.guest.get("/categories", { etag: etagOf(first) })).status, 304);
        assert.equal((await shop.guest.get("/categories", { etag: `"x", ${etagOf(first)}` })).status, 304);
        assert.equal((await shop.guest.get("/categories", { etag: "*" })).status, 304);
        await shop.category({ name: "0 first", position: 0 });
        const again = await shop.guest.get("/categories", { etag: etagOf(first) });
        assert.equal(again.status, 200);
        assert.notEqual(etagOf(again), etagOf(first));
    });
});

describe("counting products", () => {
    test("a category counts the active products in it and below it", async () => {
        const root = await shop.category();
        const child = await shop.category({ parentId: root.id });
        const count = async (category: Json) => ok(await shop.guest.get(`/categories/${category.id}`)).productCount;
        const product = await shop.product({ categoryId: child.id });
        await shop.product({ categoryId: root.id });
        const hidden = await shop.product({ categoryId: child.id, isActive: false });
        assert.equal(await count(child), 1);
        assert.equal(await count(root), 2);
        ok(await shop.admin.client.patch(`/products/${hidden.id}`, { isActive: true }));
        assert.equal(await count(child), 2);
        ok(await shop.admin.client.delete(`/products/${product.id}`), 204);
        assert.equal(await count(child), 1);
        assert.equal(await count(root), 2);
        const elsewhere = await shop.category();
        ok(await shop.admin.client.patch(`/categories/${child.id}`, { parentId: elsewhere.id }));
        assert.equal(await count(root), 1, "the subtree moved away");
        assert.equal(await count(elsewhere), 1);
        const inRoot = ok(await shop.guest.get("/products", { query: { category: elsewhere.slug } }));
        assert.deepEqual(inRoot.map((one: Json) => one.id), [hidden.id]);
    });
});

describe("changing a category", () => {
    test("only what is given changes", async () => {
        const made = await shop.category({ description: "before", position: 3 });
        const changed = ok(await shop.admin.client.patch(`/categories/${made.id}`, { name: "Boots" }));
        assert.equal(changed.name, "Boots");
        assert.equal(changed.description, "before");
        assert.equal(changed.position, 3);
        assert.equal(changed.slug, made.slug, "the slug stays: links point to it");
        assert.equal(ok(await shop.guest.get(`/categories/${made.id}`)).name, "Boots");
    });

    test("it cannot stand below itself", async () => {
        const root = await shop.category();
        const child = await shop.category({ parentId: root.id });
        const leaf = await shop.category({ parentId: child.id });
        for (const parentId of [root.id, child.id, leaf.id]) {
            refused(await shop.admin.client.patch(`/categories/${root.id}`, { parentId }), 409, "CATEGORY_CYCLE");
        }
        assert.equal(ok(await shop.admin.client.patch(`/categories/${child.id}`, { parentId: null })).parentId, null);
        assert.deepEqual(ok(await shop.guest.get(`/categories/${leaf.id}`)).path.map((one: Json) => one.id), [child.id]);
    });

    test("a taken slug is refused, its own is not", async () => {
        const one = await shop.category();
        const other = await shop.category();
        refused(await shop.admin.client.patch(`/categories/${one.id}`, { slug: other.slug }), 409, "SLUG_TAKEN");
        ok(await shop.admin.client.patch(`/categories/${one.id}`, { slug: one.slug }));
        invalid(await shop.admin.client.patch(`/categories/${one.id}`, { parentId: newId() }), "parentId");
        invalid(await shop.admin.client.patch(`/categories/${one.id}`, { name: "" }), "name");
        refused(await shop.admin.client.patch(`/categories/${newId()}`, { name: "x" }), 404, "CATEGORY_NOT_FOUND");
    });

    test("If-Match keeps two editors apart", async () => {
        const made = await shop.category();
        const tag = etagOf(await shop.admin.client.get(`/categories/${made.id}`));
        ok(await shop.admin.client.patch(`/categories/${made.id}`, { position: 1 }, { ifMatch: tag }));
        refused(await shop.admin.client.patch(`/categories/${made.id}`, { position: 2 }, { ifMatch: tag }), 412, "PRECONDITION_FAILED");
        refused(await shop.admin.client.delete(`/categories/${made.id}`, { ifMatch: tag }), 412, "PRECONDITION_FAILED");
        assert.equal(ok(await shop.guest.get(`/categories/${made.id}`)).position, 1);
        ok(await shop.admin.client.patch(`/categories/${made.id}`, { position: 3 }, { ifMatch: "*" }));
        const fresh = etagOf(await shop.admin.client.get(`/categories/${made.id}`));
        ok(await shop.admin.client.delete(`/categories/${made.id}`, { ifMatch: fresh }), 204);
    });
});

describe("deleting a category", () => {
    test("only an empty one goes", async () => {
        const root = await shop.category();
        const child = await shop.category({ parentId: root.id });
        refused(await shop.admin.client.delete(`/categories/${root.id}`), 409, "CATEGORY_NOT_EMPTY");
        const product = await shop.product({ categoryId: child.id });
        refused(await shop.admin.client.delete(`/categories/${child.id}`), 409, "CATEGORY_NOT_EMPTY");
        ok(await shop.admin.client.delete(`/products/${product.id}`), 204);
        ok(await shop.admin.client.delete(`/categories/${child.id}`), 204);
        ok(await shop.admin.client.delete(`/categories/${root.id}`), 204);
        refused(await shop.guest.get(`/categories/${root.id}`), 404, "CATEGORY_NOT_FOUND");
        refused(await shop.admin.client.delete(`/categories/${root.id}`), 404, "CATEGORY_NOT_FOUND");
        refused(await shop.guest.get(`/categories/${newId()}`), 404, "CATEGORY_NOT_FOUND");
        refused(await shop.guest.get("/categories/no-such-slug"), 404, "CATEGORY_NOT_FOUND");
    });
});

function fold(text: string): string {
    return text.normalize("NFD").replace(/\p{Mark}/gu, "").toLowerCase();
}
