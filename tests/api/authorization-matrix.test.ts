// The authorization matrix, from the contract: every operation, asked by everybody who may not, with every id that is not theirs, in
// the path, the query and the body. Nobody is shown anything of the owner's, nothing is written. An operation that takes an id of a new
// kind fails here until IDS says whose it is.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { ok, type Client, type Json, type Reply } from "../support/client.ts";
import { document, operations, resolve, type Operation, type Schema } from "../support/contract.ts";
import { PASSWORD, Shop, address, checkoutBody, logIn, newId, unique, usd, type Account } from "../support/shop.ts";

// What stands in everything that is the owner's: wherever else it turns up, it leaked.
const MARK = `zq${randomBytes(8).toString("hex")}`;
const SCOPES = resolve(document.components!.schemas!.Scope as Schema).enum as string[];

let shop: Shop;
let owner: Account;
let other: Account;
let stranger: Account; // staff, of a scope that opens no customer's things
let ids: { owner: Record<string, string>; other: Record<string, string>; nobody: Record<string, string> };
const without: Record<string, Account> = {};
const only: Record<string, Account> = {};

// ---- whose ids there are: the path up to the parameter, a query's parameter or a body's field

/** What belongs to a customer: nobody else may read or change it, staff of the right scope apart. */
const OWNED = ["/cart/{id}", "/cart/{id}/items/{itemId}", "/checkout/{id}", "/orders/{id}", "/users/me/addresses/{addressId}", "/users/me/sessions/{sessionId}", "/users/{id}", "cartId", "userId", "actorId", "resourceId"];
/** Everybody's, and the shop's own. */
const SHARED = ["/categories/{id}", "/products/{id}", "/products/{id}/variants/{variantId}", "/roles/{name}", "/docs/{file}", "/media/{name}",
    "/plans/{id}", "/api-keys/{id}", "planId", "parentId", "categoryId", "productId", "variantId", "variants[].id"];

async function idsOf(account: Account, product: Json, mark: string): Promise<Record<string, string>> {
    const order = await shop.order(account.client, product, 1, { shippingAddress: address({ address1: mark }), customerNotes: mark });
    const saved = ok(await account.client.post("/users/me/addresses", address({ lastName: mark })), 201);
    const cart = await shop.cartOf(account.client, { productId: product.id, quantity: 1 });
    const [session] = ok(await (await logIn(shop.guest, account.email)).client.get("/users/me/sessions"));
    return {
        "/cart/{id}": cart.id, "/cart/{id}/items/{itemId}": cart.items[0].id, "/checkout/{id}": cart.id, "/orders/{id}": order.id,
        "/users/me/addresses/{addressId}": saved.id, "/users/me/sessions/{sessionId}": session.id, "/users/{id}": account.id, cartId: cart.id, userId: account.id, actorId: account.id, resourceId: order.id,
    };
}

before(async () => {
    shop = await Shop.open({ args: ["--no-jobs"] }); // so that nothing is written but by what is asked here
    const product = await shop.product();
    const category = await shop.category();
    owner = await shop.register({ email: `${MARK}@example.com`, firstName: MARK, lastName: MARK });
    other = await shop.register();
    stranger = await shop.staffWith("catalogue:write");
    for (const scope of SCOPES) {
        only[scope] = await shop.staffWith(scope);
        without[scope] = await shop.staffWith(...SCOPES.filter((one) => one !== scope));
    }
    const key = ok(await shop.admin.client.post("/api-keys", { kind: "publishable", name: "of the shop" }), 201);
    const shared = {
        "/categories/{id}": category.id, "/products/{id}": product.id, "/products/{id}/variants/{variantId}": product.variants[0].id, "/roles/{name}": "staff",
        "/docs/{file}": "explorer.js", "/media/{name}": "none.svg", parentId: category.id, categoryId: category.id, productId: product.id,
        variantId: product.variants[0].id, "variants[].id": product.variants[0].id, "/plans/{id}": key.planId, "/api-keys/{id}": key.id, planId: key.planId,
    };
    ids = {
        owner: { ...shared, ...await idsOf(owner, product, MARK) }, other: { ...shared, ...await idsOf(other, product, "of the other") },
        nobody: Object.fromEntries([...OWNED, ...SHARED].map((place) => [place, /name\}|file\}/.test(place) ? "nothing" : newId()])),
    };
});
after(() => shop?.close());

// ---- from the contract

/** "/cart/{id}" and "/cart/{id}/items/{itemId}" of the second. */
const pathPlaces = (operation: Operation): string[] => [...operation.path.matchAll(/\{[^}]+\}/g)].map((match) => operation.path.slice(0, match.index + match[0].length));
const looksLikeId = (name: string, schema: Schema) => /(^|[a-z])Id$|^id$/.test(name) || resolve(schema).format === "uuid";
const queryPlaces = (operation: Operation): string[] => operation.parameters.filter((one) => one.in === "query" && looksLikeId(one.name, one.schema)).map((one) => one.name);

function bodyPlaces(schema: Schema | undefined, prefix = "", depth = 0): string[] {
    if (!schema || depth > 8) return [];
    const whole = resolve(schema);
    const parts = [...(whole.oneOf ?? []), ...(whole.anyOf ?? []), ...(whole.allOf ?? [])].flatMap((one) => bodyPlaces(one, prefix, depth + 1));
    const items = whole.items ? bodyPlaces(whole.items, prefix.replace(/\.$/, "[]."), depth + 1) : [];
    const fields = Object.entries(whole.properties ?? {}).flatMap(([name, one]) =>
        [...(looksLikeId(name, one) ? [prefix + name] : []), ...bodyPlaces(one, `${prefix}${name}.`, depth + 1)]);
    return [...new Set([...parts, ...items, ...fields])];
}

const isOwned = (place: string) => OWNED.includes(place);
function fill(operation: Operation, values: Record<string, string>): string {
    let path = "";
    let from = 0;
    for (const place of pathPlaces(operation)) {
        path += operation.path.slice(from, place.lastIndexOf("{")) + values[place];
        from = place.length;
    }
    return path + operation.path.slice(from);
}

/** Bodies that would do something, were they let through; else the contract's example. */
const BODIES: Record<string, () => Json> = {
    cartItemAdd: () => ({ productId: ids.owner.productId, quantity: 1 }),
    cartItemUpdate: () => ({ quantity: 3 }),
    checkoutCreate: () => checkoutBody(),
    orderPaymentRecord: () => ({ amount: usd(1) }),
    roleCreate: () => ({ name: unique("role-"), scopes: ["staff:write"] }), // nobody grants more than they have
    roleUpdate: () => ({ scopes: ["staff:write"] }),
    apiKeyCreate: () => ({ kind: "secret", name: unique("key-") }), // nobody gives a scope that they have not
    orderCancel: () => ({ reason: "not mine" }),
    authRegister: () => ({ email: `${unique("new-")}@example.com`, password: PASSWORD }),
    authLogin: () => ({ email: other.email, password: other.password }),
};
const bodyOf = (operation: Operation): Json => BODIES[operation.id]?.() ?? operation.body?.example;
const ask = (client: Client, operation: Operation, values: Record<string, string>, body = bodyOf(operation), query = "") =>
    client.request(operation.method, fill(operation, values) + query, body);

// ---- what must hold

function noLeak(reply: Reply, who: string): void {
    const text = `${[...reply.headers].join("\n")}\n${reply.text}`;
    assert.ok(!text.includes(MARK), `${who} was shown what is the owner's: ${reply.method} ${reply.target} -> ${reply.status} ${reply.text.slice(0, 300)}`);
}

function denied(reply: Reply, who: string, ...statuses: number[]): void {
    assert.ok(statuses.includes(reply.status), `${who}: ${reply.method} ${reply.target} -> ${reply.status} ${reply.text.slice(0, 300)}`);
    noLeak(reply, who);
}

/** Nothing at all is written meanwhile. */
async function writesNothing(act: () => Promise<void>): Promise<void> {
    const before = shop.server.database.fingerprint();
    await act();
    assert.equal(shop.server.database.fingerprint(), before, "something was written");
}

/** All that the owner can read. */
async function ownersView(): Promise<Record<string, string>> {
    const view: Record<string, string> = {};
    for (const operation of operations) {
        if (operation.method !== "GET" || operation.souk.bare || !["customer", "anyone"].includes(operation.souk.access)) continue;
        const reply = await ask(owner.client, operation, ids.owner);
        ok(reply);
        view[operation.id] = reply.text;
    }
    return view;
}

test("every id of the contract has an owner here", () => {
    const places = new Set(operations.flatMap((one) => [...pathPlaces(one), ...queryPlaces(one), ...bodyPlaces(one.body?.schema)]));
    assert.deepEqual([...places].filter((place) => !OWNED.includes(place) && !SHARED.includes(place)), []);
});

test("the owner is shown what is looked for below", async () => {
    const view = await ownersView();
    for (const id of ["meGet", "orderGet", "ordersList", "addressGet", "addressesList", "userGet"]) assert.ok(view[id]?.includes(MARK), id);
    assert.ok(view.cartGet?.includes(ids.owner.cartId!));
});

describe("who may not call it at all", () => {
    for (const operation of operations.filter((one) => ["customer", "staff"].includes(one.souk.access))) {
        const { access, scope } = operation.souk;
        test(`${operation.id} (${scope ?? access})`, async () => {
            await writesNothing(async () => {
                for (const values of [ids.owner, ids.other, ids.nobody]) {
                    denied(await ask(shop.guest, operation, values), "an anonymous caller", 401);
                    denied(await ask(shop.guest.as(""), operation, values), "an empty token", 401);
                    denied(await ask(shop.guest.as(`${owner.client.token}x`), operation, values), "a broken token", 401);
                    if (access !== "staff") continue;
                    denied(await ask(other.client, operation, values), "a customer", 403);
                    denied(await ask(owner.client, operation, values), "the owner, who is no staff", 403);
                    denied(await ask(without[scope!]!.client, operation, values), `staff with every scope but ${scope}`, 403);
                }
            });
            if (access !== "staff") return;
            // and it was the scope that was missing
            for (const [who, account] of [["staff with it", only[scope!]!], ["admin", shop.admin]] as const) {
                const reply = await ask(account.client, operation, ids.nobody);
                assert.ok(![401, 403].includes(reply.status) && reply.status < 500, `${who}: ${reply.status} ${reply.text}`);
            }
        });
    }
});

describe("who may call it, with an id that is the owner's", () => {
    for (const operation of operations.filter((one) => one.souk.access !== "staff" && pathPlaces(one).some(isOwned))) {
        const places = pathPlaces(operation).filter(isOwned);
        test(`${operation.id}: ${places.map((place) => place.slice(place.lastIndexOf("{"))).join(", ")}`, async () => {
            const foreign = [ids.owner, ...places.map((place) => ({ ...ids.other, [place]: ids.owner[place]! }))];
            await writesNothing(async () => {
                for (const values of foreign) {
                    denied(await ask(other.client, operation, values), "another customer", 404);
                    denied(await ask(stranger.client, operation, values), "staff without a scope for it", 403, 404);
                    denied(await ask(shop.guest, operation, values), "a guest", 401, 404);
                }
            });
        });
    }
});

describe("who may call it, and names what is the owner's in the query or the body", () => {
    const asking = operations.filter((one) => one.souk.access !== "staff")
        .flatMap((operation) => [...queryPlaces(operation).map((place) => ({ operation, place, inBody: false })),
            ...bodyPlaces(operation.body?.schema).map((place) => ({ operation, place, inBody: true }))])
        .filter(({ place }) => isOwned(place));
    for (const { operation, place, inBody } of asking) {
        test(`${operation.id}: ${place}`, async () => {
            const before = await ownersView();
            for (const [who, client] of [["another customer", other.client], ["a guest", shop.guest], ["staff", stranger.client]] as const) {
                const body = inBody ? { ...bodyOf(operation), [place]: ids.owner[place] } : bodyOf(operation);
                noLeak(await ask(client, operation, ids.other, body, inBody ? "" : `?${place}=${ids.owner[place]}`), who);
            }
            assert.deepEqual(await ownersView(), before);
        });
    }
    test("there are such", () => assert.ok(asking.length >= 3));
});
