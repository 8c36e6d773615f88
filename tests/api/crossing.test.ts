// Two customers, two guests and an administrator: nobody ever receives another's reply, from whatever cache, idempotency record or
// entity tag. From the contract: every GET and every POST that takes an Idempotency-Key, between all pairs.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { ok, type Client, type Reply } from "../support/client.ts";
import { operations, type Operation } from "../support/contract.ts";
import { idempotentCases } from "../support/idempotent.ts";
import { Shop, address, newId } from "../support/shop.ts";

interface Actor {
    name: string;
    client: Client;
    isAdmin: boolean;
    isGuest: boolean;
    mark: string;                 // stands in what is theirs alone
    paths: Record<string, string>; // of operations whose path names what is theirs
}

let shop: Shop;
const actors: Actor[] = [];

before(async () => {
    shop = await Shop.open();
    const product = await shop.product();
    const category = await shop.category();
    const variant = `/products/${product.id}/variants/${product.variants[0].id}`;
    const shared: Record<string, string> = {
        categoryGet: `/categories/${category.id}`, productGet: `/products/${product.id}`, stockMovementsList: `${variant}/stock-adjustments`,
        roleGet: "/roles/staff", docsAssetGet: "/docs/explorer.js", mediaGet: "/media/none.svg",
    };
    for (const name of ["first customer", "second customer", "first guest", "second guest", "administrator"]) {
        const mark = `zq${randomBytes(8).toString("hex")}`;
        const isGuest = name.endsWith("guest");
        const account = isGuest ? undefined : name === "administrator" ? shop.admin : await shop.register({ email: `${mark}@example.com`, firstName: mark });
        const client = account?.client ?? shop.guest.as(null);
        const cart = await shop.cartOf(client, { productId: product.id, quantity: actors.length + 1 });
        const paths: Record<string, string> = { ...shared, cartGet: `/cart/${cart.id}` };
        if (account) {
            const order = await shop.order(client, product, 1, { shippingAddress: address({ address1: mark }) });
            const saved = ok(await client.post("/users/me/addresses", address({ lastName: mark })), 201);
            await shop.cartOf(client, { productId: product.id, quantity: 1 });
            paths.cartGet = `/cart/${ok(await client.get("/cart/me")).id}`;
            Object.assign(paths, { orderGet: `/orders/${order.id}`, addressGet: `/users/me/addresses/${saved.id}`, userGet: `/users/${account.id}` });
        }
        actors.push({ name, client, isAdmin: name === "administrator", isGuest, mark, paths });
    }
});
after(() => shop?.close());

const pathFor = (operation: Operation, actor: Actor): string =>
    actor.paths[operation.id] ?? operation.path.replace(/\{[^}]+\}/g, () => newId()); // of what this one has none
const pairs = () => actors.flatMap((x) => actors.filter((y) => y !== x).map((y) => [x, y] as const));
const shown = (reply: Reply) => `${reply.method} ${reply.target} -> ${reply.status} ${reply.text.slice(0, 200)}`;
const base = (etag: string | null) => etag?.replace(/-(gzip|br)"$/, "\"");

/** Only an administrator may be shown what is another's. */
function isOnlyTheirs(reply: Reply, reader: Actor): void {
    if (reader.isAdmin) return;
    const text = `${[...reply.headers].join("\n")}\n${reply.text}`;
    for (const other of actors) if (other !== reader) assert.ok(!text.includes(other.mark), `${reader.name} was shown what is the ${other.name}'s: ${shown(reply)}`);
}

describe("every GET, between all pairs", () => {
    const varies = new Set(["metricsGet", "healthReady", "healthLive"]); // never the same twice; nobody's
    for (const operation of operations.filter((one) => one.method === "GET" && !varies.has(one.id))) {
        test(operation.id, async () => {
            const own = new Map<Actor, Reply>();
            for (const actor of actors) {
                const path = pathFor(operation, actor);
                actor.paths[operation.id] = path; // the same from now on, whosever it is
                for (let i = 0; i < 2; i++) own.set(actor, await actor.client.get(path)); // caches are filled
                isOnlyTheirs(own.get(actor)!, actor);
            }
            for (const [x, y] of pairs()) {
                const [theirs, mine] = [own.get(x)!, own.get(y)!];
                const etag = theirs.headers.get("etag");
                // what is x's, asked by y: whatever y gets is y's own view of it
                const fresh = await y.client.get(x.paths[operation.id]!);
                isOnlyTheirs(fresh, y);
                if (etag) {
                    const known = await y.client.get(x.paths[operation.id]!, { etag });
                    isOnlyTheirs(known, y);
                    assert.equal(known.status, fresh.status === 200 && base(fresh.headers.get("etag")) === base(etag) ? 304 : fresh.status, `${y.name} with the ${x.name}'s tag: ${shown(known)}`);
                    // and the tag says nothing about y's own
                    const reply = await y.client.get(y.paths[operation.id]!, { etag });
                    if (reply.status === 304) assert.equal(theirs.text, mine.text, `${y.name} with the ${x.name}'s tag: ${shown(mine)}`);
                    else assert.equal(reply.text.replace(/"requestId":"[^"]*"/, ""), mine.text.replace(/"requestId":"[^"]*"/, ""));
                }
            }
            for (const actor of actors) { // nobody's reply has taken another's place
                const again = await actor.client.get(actor.paths[operation.id]!);
                assert.deepEqual([again.status, again.headers.get("etag")], [own.get(actor)!.status, own.get(actor)!.headers.get("etag")]);
                if (again.status === 200) assert.equal(again.text, own.get(actor)!.text);
            }
        });
    }
});

describe("every POST with an Idempotency-Key, between all pairs", () => {
    for (const operation of operations.filter((one) => one.method === "POST" && one.souk.idempotency !== "none")) {
        test(operation.id, async () => {
            const { access } = operation.souk;
            const able = actors.filter((one) => (access === "staff" ? one.isAdmin : access === "customer" ? !one.isGuest : true));
            for (const x of able) {
                const key = newId();
                const make = (actor: Actor) => idempotentCases(shop, { customer: actor.client, buyer: actor.client })[operation.id]!();
                const { path, body, client } = await make(x);
                const first = await client.post(path, body, { key });
                assert.ok(first.status < 300, shown(first));
                for (const y of actors.filter((one) => one !== x)) {
                    // whoever has a guest's cart id has the cart: another guest repeats the request as much as the first does
                    const sharesCart = x.isGuest && y.isGuest;
                    const crossed = sharesCart ? undefined : await y.client.post(path, body, { key });
                    if (crossed && client !== y.client) {
                        assert.equal(crossed.headers.get("idempotent-replayed"), null, `${y.name} with the ${x.name}'s key: ${shown(crossed)}`);
                        assert.notEqual(crossed.text, first.text);
                        if (!y.isAdmin && access === "staff") assert.ok([401, 403].includes(crossed.status), shown(crossed));
                    }
                    if (!able.includes(y)) continue;
                    const own = await make(y);
                    if (own.path === path) continue; // what was crossed was y's own already
                    const mine = await own.client.post(own.path, body, { key });
                    assert.ok(mine.status < 300, shown(mine));
                    assert.equal(mine.headers.get("idempotent-replayed"), null, `${y.name} with the ${x.name}'s key: ${shown(mine)}`);
                    assert.notEqual(mine.text, first.text);
                }
                const again = await client.post(path, body, { key });
                assert.deepEqual([again.status, again.text, again.headers.get("idempotent-replayed")], [first.status, first.text, "true"]);
            }
        });
    }
});
