// Who may do what, from the contract: every operation, asked by everybody.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ok, refused, type Client, type Json } from "../support/client.ts";
import { operations, type Operation } from "../support/contract.ts";
import { Shop, address, checkoutBody, logIn, newId, usd, type Account } from "../support/shop.ts";

// What the role `staff` may do; admins hold every scope.
const STAFF_SCOPES = ["catalogue:write", "inventory:write", "orders:read", "orders:write", "customers:read", "settings:read"];

let shop: Shop;
let customer: Account;
let staff: Account;
before(async () => {
    shop = await Shop.open();
    customer = await shop.register();
    staff = await shop.staff();
});
after(() => shop?.close());

const call = (client: Client, operation: Operation, fill: (name: string) => string = () => newId()) =>
    client.request(operation.method, operation.path.replace(/\{([^}]+)\}/g, (_, name: string) => fill(name)), operation.body?.example);

/** Operations that end the session of who calls them get one of their own. */
const sessionOf = async (account: Account, operation: Operation) =>
    operation.id === "authLogout" || operation.id === "authPasswordChange" ? (await logIn(shop.guest, account.email)).client : account.client;

describe("every operation", () => {
    for (const operation of operations) {
        const { access, scope } = operation.souk;
        test(`${operation.id} (${access}${scope ? ` ${scope}` : ""})`, async () => {
            const isOpen = access === "public" || access === "anyone";
            const anonymous = await call(shop.guest, operation);
            if (!isOpen) refused(anonymous, 401, "UNAUTHENTICATED");
            else if (!["authLogin", "authRefresh"].includes(operation.id)) assert.ok(anonymous.status !== 401 && anonymous.status !== 403, anonymous.text);

            for (const [role, account] of [["customer", customer], ["staff", staff], ["admin", shop.admin]] as const) {
                const reply = await call(await sessionOf(account, operation), operation);
                const may = access !== "staff" || role === "admin" || (role === "staff" && STAFF_SCOPES.includes(scope!));
                if (!may) refused(reply, 403, "FORBIDDEN");
                else if (!["authLogin", "authRefresh"].includes(operation.id)) assert.ok(![401, 403].includes(reply.status), `${role}: ${reply.status} ${reply.text}`);
                assert.ok(reply.status < 500, `${role}: ${reply.status} ${reply.text}`);
            }

            if (operation.takesBearer) {
                for (const token of ["", "forged", `${customer.session.accessToken.slice(0, -6)}AAAAAA`]) {
                    refused(await call(shop.guest.as(token), operation), 401, "UNAUTHENTICATED");
                }
            }
        });
    }
});

describe("what is another's", () => {
    let owner: Account;
    let other: Account;
    let things: { prefix: string; ids: Record<string, string>; code: string; read: () => Promise<Json> }[];

    before(async () => {
        owner = await shop.register();
        other = await shop.register();
        const product = await shop.product();
        const order = await shop.order(owner.client, product);
        const cart = await shop.cartOf(owner.client, { productId: product.id, quantity: 1 });
        const saved = ok(await owner.client.post("/users/me/addresses", address()), 201);
        things = [
            { prefix: "/cart/{id}", ids: { id: cart.id, itemId: cart.items[0].id }, code: "CART_NOT_FOUND", read: async () => ok(await owner.client.get(`/cart/${cart.id}`)) },
            { prefix: "/checkout/{id}", ids: { id: cart.id }, code: "CART_NOT_FOUND", read: async () => ok(await owner.client.get(`/cart/${cart.id}`)) },
            { prefix: "/orders/{id}", ids: { id: order.id }, code: "ORDER_NOT_FOUND", read: async () => ok(await owner.client.get(`/orders/${order.id}`)) },
            { prefix: "/users/me/addresses/{addressId}", ids: { addressId: saved.id }, code: "ADDRESS_NOT_FOUND", read: async () => ok(await owner.client.get(`/users/me/addresses/${saved.id}`)) },
            { prefix: "/users/{id}", ids: { id: owner.id }, code: "USER_NOT_FOUND", read: async () => ok(await owner.client.get("/users/me")) },
        ];
    });

    for (const prefix of ["/cart/{id}", "/checkout/{id}", "/orders/{id}", "/users/me/addresses/{addressId}", "/users/{id}"]) {
        for (const operation of operations.filter((one) => one.path.startsWith(prefix))) {
            test(`${operation.id}: 404 for another customer, and nothing changes`, async () => {
                const thing = things.find((one) => one.prefix === prefix)!;
                const before = await thing.read();
                const body = operation.id === "cartItemAdd" ? { productId: before.items[0].productId, quantity: 1 }
                    : operation.id === "checkoutCreate" ? checkoutBody() : operation.id === "orderPaymentRecord" ? { amount: usd(1) } : operation.body?.example;
                const target = operation.path.replace(/\{([^}]+)\}/g, (_, name: string) => thing.ids[name]!);
                const reply = await other.client.request(operation.method, target, body);
                if (operation.souk.access === "staff") refused(reply, 403, "FORBIDDEN");
                else refused(reply, 404, thing.code);
                const isPrivate = prefix === "/cart/{id}" || prefix === "/checkout/{id}" || prefix === "/users/me/addresses/{addressId}";
                if (isPrivate) refused(await shop.admin.client.request(operation.method, target, body), 404, thing.code);
                assert.deepEqual(await thing.read(), before);
            });
        }
    }
});

test("a role that was taken away is gone from the token's next use on", async () => {
    const account = await shop.register();
    ok(await shop.admin.client.patch(`/users/${account.id}`, { role: "admin" }));
    const session = await logIn(shop.guest, account.email);
    ok(await session.client.get("/settings"));
    ok(await shop.admin.client.patch(`/users/${account.id}`, { role: "customer" }));
    const reply = await session.client.get("/settings");
    assert.ok(reply.status === 401 || reply.status === 403, reply.text);
});
