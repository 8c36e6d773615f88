// The address book.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { etagOf, invalid, ok, refused, type Json } from "../support/client.ts";
import { Shop, address, everyPage, newId, type Account } from "../support/shop.ts";

let shop: Shop;
let me: Account;
before(async () => {
    shop = await Shop.open();
    me = await shop.register();
});
after(() => shop?.close());

const add = async (account: Account, change: Record<string, unknown> = {}) => ok(await account.client.post("/users/me/addresses", address(change)), 201);

test("an address is added as it was given", async () => {
    const account = await shop.register();
    const input = address({ company: "Haddad & fils", address2: "3e étage", province: "Rhône", phone: "+33 6 12 34 56 78", isDefaultShipping: true });
    const reply = await account.client.post("/users/me/addresses", input);
    const made = ok(reply, 201);
    assert.deepEqual(made, { ...input, id: made.id, isDefaultBilling: false });
    assert.equal(new URL(reply.headers.get("location")!, shop.server.url).pathname, `/users/me/addresses/${made.id}`);
    const read = await account.client.get(`/users/me/addresses/${made.id}`);
    assert.deepEqual(ok(read), made);
    assert.equal((await account.client.get(`/users/me/addresses/${made.id}`, { etag: etagOf(read) })).status, 304);
    const least = await add(account);
    assert.deepEqual([least.company, least.address2, least.province, least.phone], [null, null, null, null]);
    assert.deepEqual(ok(await account.client.get("/users/me/addresses")).map((one: Json) => one.id), [made.id, least.id], "oldest first");
});

test("a new default takes the place of the one before it", async () => {
    const account = await shop.register();
    const first = await add(account, { isDefaultShipping: true, isDefaultBilling: true });
    const second = await add(account, { isDefaultShipping: true });
    const flags = async () => ok(await account.client.get("/users/me/addresses")).map((one: Json) => [one.id, one.isDefaultShipping, one.isDefaultBilling]);
    assert.deepEqual(await flags(), [[first.id, false, true], [second.id, true, false]]);
    ok(await account.client.patch(`/users/me/addresses/${second.id}`, { isDefaultBilling: true }));
    assert.deepEqual(await flags(), [[first.id, false, false], [second.id, true, true]]);
});

test("only what is given changes; If-Match keeps two devices apart", async () => {
    const made = await add(me, { company: "before", address2: "before" });
    const path = `/users/me/addresses/${made.id}`;
    const tag = etagOf(await me.client.get(path));
    const changed = ok(await me.client.patch(path, { city: "Paris", company: null }, { ifMatch: tag }));
    assert.deepEqual(changed, { ...made, city: "Paris", company: null });
    refused(await me.client.patch(path, { city: "Nice" }, { ifMatch: tag }), 412, "PRECONDITION_FAILED");
    refused(await me.client.delete(path, { ifMatch: tag }), 412, "PRECONDITION_FAILED");
    assert.equal(ok(await me.client.get(path)).city, "Paris");
    invalid(await me.client.patch(path, { country: "France" }), "country");
    invalid(await me.client.patch(path, { city: "" }), "city");
    invalid(await me.client.patch(path, { id: newId() }), "id");
    ok(await me.client.delete(path, { ifMatch: etagOf(await me.client.get(path)) }), 204);
    refused(await me.client.get(path), 404, "ADDRESS_NOT_FOUND");
    refused(await me.client.patch(path, { city: "x" }), 404, "ADDRESS_NOT_FOUND");
    refused(await me.client.delete(path), 404, "ADDRESS_NOT_FOUND");
});

test("what is another's does not exist", async () => {
    const mine = await add(me);
    const other = await shop.register();
    for (const account of [other, shop.admin]) {
        const path = `/users/me/addresses/${mine.id}`;
        refused(await account.client.get(path), 404, "ADDRESS_NOT_FOUND");
        refused(await account.client.patch(path, { city: "Elsewhere" }), 404, "ADDRESS_NOT_FOUND");
        refused(await account.client.delete(path), 404, "ADDRESS_NOT_FOUND");
        assert.deepEqual(ok(await account.client.get("/users/me/addresses")), []);
    }
    assert.deepEqual(ok(await me.client.get(`/users/me/addresses/${mine.id}`)), mine);
});

test("what is missing or wrong is named", async () => {
    invalid(await me.client.post("/users/me/addresses", {}), "firstName", "lastName", "address1", "city", "zip", "country");
    for (const [name, value] of [["country", "fr"], ["country", "ZZ"], ["country", "FRA"], ["zip", "x".repeat(21)], ["phone", "+33 call"], ["firstName", ""], ["city", null], ["isDefaultShipping", 1], ["userId", newId()]] as const) {
        invalid(await me.client.post("/users/me/addresses", address({ [name]: value })), name);
    }
});

test("the same key adds it once", async () => {
    const account = await shop.register();
    const key = newId();
    const first = await account.client.post("/users/me/addresses", address(), { key });
    const second = await account.client.post("/users/me/addresses", address(), { key });
    assert.equal(ok(first, 201).id, ok(second, 201).id);
    assert.equal(second.headers.get("idempotent-replayed"), "true");
    assert.equal(ok(await account.client.get("/users/me/addresses")).length, 1);
    const other = await shop.register();
    assert.notEqual(ok(await other.client.post("/users/me/addresses", address(), { key }), 201).id, ok(first, 201).id, "a key is one's own");
});

test("the book holds fifty, and pages", async () => {
    const account = await shop.register();
    for (let i = 0; i < 50; i++) await add(account, { zip: String(i) });
    refused(await account.client.post("/users/me/addresses", address()), 409, "ADDRESS_LIMIT");
    const paged = await everyPage(account.client, "/users/me/addresses", { limit: 7 });
    assert.deepEqual(paged.map((one) => one.zip), Array.from({ length: 50 }, (_, i) => String(i)));
    const list = await account.client.get("/users/me/addresses");
    assert.equal((await account.client.get("/users/me/addresses", { etag: etagOf(list) })).status, 304);
});

test("orders keep the address they were placed with", async () => {
    const account = await shop.register();
    const order = await shop.order(account.client, await shop.product(), 1, { shippingAddress: address({ company: "Then" }) });
    const saved = await add(account, { company: "Now" });
    ok(await account.client.delete(`/users/me/addresses/${saved.id}`), 204);
    assert.equal(ok(await account.client.get(`/orders/${order.id}`)).shippingAddress.company, "Then");
});
