// The steps of a shop's life that most tests begin with.
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { Client, ok, type Json } from "./client.ts";
import { sqlTime, sqlUuid } from "./database.ts";
import { Server, type ServerOptions } from "./server.ts";

export const PASSWORD = "the password of the tests"; // and of no example in the contract
export const CARD_APPROVED = "4242424242424242";
export const CARD_DECLINED = "4000000000000002";
export const CARD_TIMEOUT = "4000000000000119";

let counter = 0;
/** A short word that no other test uses. */
export const unique = (prefix: string): string => `${prefix}${++counter}${randomBytes(3).toString("hex")}`;
export const usd = (amount: number) => ({ amount, currency: "USD" });
export const newId = () => randomUUID();

export interface Account {
    id: string;
    email: string;
    password: string;
    session: Json;
    client: Client;
}

/** A running server with an administrator. */
export class Shop {
    readonly guest: Client;
    private constructor(readonly server: Server, readonly admin: Account) {
        this.guest = new Client(server.url);
    }

    static async open(options: ServerOptions = {}): Promise<Shop> {
        const server = await Server.start(options);
        try {
            const admin = await makeUser(server, "admin");
            return new Shop(server, admin);
        } catch (error) {
            await server.kill();
            throw error;
        }
    }

    close(): Promise<void> {
        return this.server.dispose();
    }

    /** A staff account, made by the command. */
    staff(): Promise<Account> {
        return makeUser(this.server, "staff");
    }

    /** An account with a staff role of its own, of just these scopes. */
    async staffWith(...scopes: string[]): Promise<Account> {
        const role = ok(await this.admin.client.post("/roles", { name: unique("role-"), scopes }), 201);
        return makeUser(this.server, role.name);
    }

    register(input: Record<string, unknown> = {}): Promise<Account> {
        return register(this.guest, input);
    }

    async category(input: Record<string, unknown> = {}): Promise<Json> {
        return ok(await this.admin.client.post("/categories", { name: unique("Category "), ...input }), 201);
    }

    /** A product, 20.00 and 100 in stock unless said otherwise, as staff see it. */
    async product(input: Record<string, unknown> = {}): Promise<Json> {
        return ok(await this.admin.client.post("/products", { name: unique("Product "), price: usd(2000), stock: 100, ...input }), 201);
    }

    /** Stock of a product's first (or only) variant as staff see it. */
    async level(productId: string, variantId?: string): Promise<{ onHand: number; reserved: number; available: number }> {
        const product = ok(await this.admin.client.get(`/products/${productId}`));
        const variant = variantId ? product.variants.find((one: Json) => one.id === variantId) : product.variants[0];
        return { onHand: variant.onHand, reserved: variant.reserved, available: variant.available };
    }

    /** A cart of `client` with these lines. */
    async cartOf(client: Client, ...lines: { productId?: string; variantId?: string; quantity: number }[]): Promise<Json> {
        let cart = await createCart(client);
        for (const line of lines) cart = await addItem(client, cart.id, line);
        return cart;
    }

    /** A pay-later order of `quantity` pieces of a product. */
    async order(client: Client, product: Json, quantity = 1, checkout: Record<string, unknown> = {}): Promise<Json> {
        const cart = await this.cartOf(client, { productId: product.id, quantity });
        return ok(await client.post(`/checkout/${cart.id}`, checkoutBody(checkout)), 201);
    }

    /** Moves an order on, as the administrator. */
    async act(order: Json, action: string, body?: unknown): Promise<Json> {
        return ok(await this.admin.client.post(`/orders/${order.id}/${action}`, body), action === "payments" || action === "refunds" ? 201 : 200);
    }

    async settings(change: Record<string, unknown>): Promise<Json> {
        return ok(await this.admin.client.patch("/settings", change));
    }

    /** Lets the hold of an order end, as if its time had passed. */
    expire(orderId: string): void {
        this.server.sql(`UPDATE orders SET hold_expires_at = ${sqlTime(1)} WHERE id = ${sqlUuid(orderId)}`);
    }
}

async function makeUser(server: Server, role: string): Promise<Account> {
    const email = `${unique(`${role}-`)}@example.com`;
    const made = await server.run(["user", "create", "--role", role, "--email", email, "--password-stdin"], { input: `${PASSWORD}\n` });
    assert.equal(made.code, 0, `souk user create: ${made.stdout}${made.stderr}`);
    const account = await logIn(new Client(server.url), email);
    assert.equal(account.session.user.role, role);
    return account;
}

export async function register(client: Client, input: Record<string, unknown> = {}): Promise<Account> {
    const email = String(input.email ?? `${unique("customer")}@example.com`);
    const password = String(input.password ?? PASSWORD);
    const session = ok(await client.as(null).post("/auth/register", { email, password, ...input }), 201);
    return { id: session.user.id, email, password, session, client: client.as(session.accessToken) };
}

export async function logIn(client: Client, email: string, password = PASSWORD, input: Record<string, unknown> = {}): Promise<Account> {
    const session = ok(await client.as(null).post("/auth/login", { email, password, ...input }));
    return { id: session.user.id, email, password, session, client: client.as(session.accessToken) };
}

export async function createCart(client: Client): Promise<Json> {
    return ok(await client.post("/cart", {}), 201);
}

export async function addItem(client: Client, cartId: string, line: { productId?: string; variantId?: string; quantity: number; options?: unknown }): Promise<Json> {
    return ok(await client.post(`/cart/${cartId}/items`, line), 201);
}

export const address = (change: Record<string, unknown> = {}) => ({
    firstName: "Amina", lastName: "Haddad", address1: "12 Rue des Lilas", city: "Lyon", zip: "69003", country: "FR", ...change,
});

export const checkoutBody = (change: Record<string, unknown> = {}) => ({
    email: "amina@example.com", shippingAddress: address(), payment: { method: "manual" }, ...change,
});

export const cardBody = (cardNumber: string, change: Record<string, unknown> = {}) =>
    checkoutBody({ payment: { method: "test", cardNumber }, ...change });

/** All pages of a list, by cursor. */
export async function everyPage(client: Client, path: string, query: Record<string, string | number | boolean> = {}): Promise<Json[]> {
    const all: Json[] = [];
    let cursor: string | undefined;
    for (let page = 0; page < 200; page++) {
        const reply = await client.get(path, { query: { ...query, cursor } });
        all.push(...ok(reply));
        const { hasMore, nextCursor } = reply.body.pagination;
        assert.equal(hasMore, nextCursor !== null);
        if (!hasMore) return all;
        cursor = nextCursor;
    }
    throw new Error(`${path} does not end`);
}

/** Runs `count` at once and waits for all. */
export function parallel<T>(count: number, task: (index: number) => Promise<T>): Promise<T[]> {
    return Promise.all(Array.from({ length: count }, (_, index) => task(index)));
}

export const clone = <T>(value: T): T => structuredClone(value);
