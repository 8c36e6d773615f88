// People in the shop while something happens to it: some look around, some order. Every reply is held against the contract, every
// order that was answered is remembered, and so is whatever a customer should never see.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, type Json, type Reply } from "./client.ts";
import { sqlUuidText, type Database } from "./database.ts";
import { checkoutBody, newId } from "./shop.ts";

const SHOPPERS = 12;
const BROWSERS = 6;
const RETRY_MS = 50;
const GIVE_UP_MS = 60_000; // a checkout whose outcome is not known by then fails the test
const STOP_MS = 90_000;
const PAUSE_MS = 2;        // between two requests of one person, so that there is machine left for what is tested

interface Answered {
    id: string;
    orderNumber: string;
    total: number;
}

export interface LoadOptions {
    shoppers?: number;
    browsers?: number;
}

export class Load {
    /** Every order that was answered 201, replays among them once. */
    readonly orders = new Map<string, Answered>();
    readonly statuses = new Map<string, number>();
    /** What nobody may see: a 5xx that is not a 503, no reply at all, a refusal without reason, a reply that breaks the contract. */
    readonly faults: string[] = [];
    private readonly clients: Client[];
    private readonly people: Promise<void>[];
    private isOver = false;
    private newest = { orderStartedAt: 0, readStartedAt: 0 }; // of those that went well

    constructor(urls: string[], private readonly products: Json[], options: LoadOptions = {}) {
        this.clients = urls.map((url) => new Client(url));
        this.people = [
            ...Array.from({ length: options.shoppers ?? SHOPPERS }, (_, n) => this.repeat(n, (client, i) => this.order(client, n + i))),
            ...Array.from({ length: options.browsers ?? BROWSERS }, (_, n) => this.repeat(n, (client, i) => this.look(client, n + i))),
        ];
    }

    /** Waits for an order and a look at a product that both began after now and went well; answers how long that took. */
    async serves(withinMs: number): Promise<number> {
        const from = performance.now();
        while (this.newest.orderStartedAt < from || this.newest.readStartedAt < from) {
            if (performance.now() - from > withinMs) {
                const missing = [this.newest.orderStartedAt < from && "no order", this.newest.readStartedAt < from && "no look at a product"].filter(Boolean).join(" and ");
                throw new Error(`${missing} went well within ${withinMs} ms; ${this.report()}`);
            }
            await sleep(10);
        }
        return performance.now() - from;
    }

    /** Waits until `count` more orders were placed. */
    async more(count: number, withinMs = 30_000): Promise<void> {
        const goal = this.orders.size + count;
        const deadline = Date.now() + withinMs;
        while (this.orders.size < goal) {
            assert.ok(Date.now() < deadline, `${goal - this.orders.size} of ${count} orders are missing after ${withinMs} ms; ${this.report()}`);
            await sleep(10);
        }
    }

    /** Everybody finishes what they do, and goes. */
    async end(): Promise<void> {
        this.isOver = true;
        const late = new AbortController();
        const isLate = await Promise.race([
            Promise.all(this.people).then(() => false),
            sleep(STOP_MS, true, { signal: late.signal }).catch(() => false),
        ]);
        late.abort();
        assert.ok(!isLate, `somebody still waits after ${STOP_MS} ms`);
    }

    /** Every order that was answered is in the database, once and as it was answered, and nobody saw what nobody may see. */
    check(database: Database): void {
        const rows = database.query(`SELECT ${sqlUuidText("id")} AS id, order_number, total_minor FROM orders`);
        const byId = new Map(rows.map((row) => [row.id, row]));
        for (const { id, orderNumber, total } of this.orders.values()) {
            const row = byId.get(id.replaceAll("-", ""));
            assert.ok(row, `${orderNumber} was answered 201 and is gone`);
            assert.deepEqual([row.order_number, row.total_minor], [orderNumber, total]);
        }
        assert.equal(new Set(rows.map((row) => row.order_number)).size, rows.length);
        assert.deepEqual([...new Set(this.faults)], [], this.report());
    }

    report(): string {
        return `${this.orders.size} orders; replies: ${[...this.statuses].map(([status, count]) => `${count} x ${status}`).join(", ")}`;
    }

    private async repeat(n: number, act: (client: Client, i: number) => Promise<void>): Promise<void> {
        for (let i = 0; !this.isOver; i++) {
            await act(this.clients[(n + i) % this.clients.length]!, i);
            await sleep(PAUSE_MS);
        }
    }

    /** One request; undefined when it failed as it may while a part of the shop is away. */
    private async ask(request: Promise<Reply>, good: number): Promise<Reply | undefined> {
        try {
            const reply = await request;
            const what = `${reply.status}${reply.body?.code ? ` ${reply.body.code}` : ""} ${reply.operation}`;
            this.statuses.set(what, (this.statuses.get(what) ?? 0) + 1);
            if (reply.status === good) return reply;
            if (reply.status !== 503) this.faults.push(`${reply.method} ${reply.target.replace(/[0-9a-f-]{36}/g, "ID")} -> ${reply.status} ${reply.text.replace(/"requestId":"[^"]*"/, "").slice(0, 300)}`);
            await sleep(RETRY_MS);
            return undefined;
        } catch (error) {
            this.faults.push(`${(error as Error).message} ${String((error as Error).cause ?? "")}`.slice(0, 500));
            await sleep(RETRY_MS);
            return undefined;
        }
    }

    private async order(client: Client, i: number): Promise<void> {
        const startedAt = performance.now();
        const cart = (await this.ask(client.post("/cart", {}), 201))?.body.data.id as string | undefined;
        if (cart === undefined) return;
        for (const product of [this.products[i % this.products.length], this.products[(i + 1 + (i % 3)) % this.products.length]]) {
            if (!await this.ask(client.post(`/cart/${cart}/items`, { productId: product.id, quantity: 1 + (i % 2) }), 201)) return;
        }
        // whoever is told to try again does, with the same key, until they know what became of their order
        const key = newId();
        const deadline = Date.now() + GIVE_UP_MS;
        for (let tries = 0; Date.now() < deadline; tries++) {
            const reply = await this.ask(this.clients[(i + tries) % this.clients.length]!.post(`/checkout/${cart}`, checkoutBody(), { key }), 201);
            if (!reply) continue;
            const order = reply.body.data;
            this.orders.set(order.id, { id: order.id, orderNumber: order.orderNumber, total: order.total.amount });
            this.newest.orderStartedAt = Math.max(this.newest.orderStartedAt, startedAt);
            return;
        }
        this.faults.push("a checkout whose outcome could not be learned");
    }

    private async look(client: Client, i: number): Promise<void> {
        const startedAt = performance.now();
        const product = this.products[i % this.products.length];
        const page = await this.ask(client.get(`/products/${product.id}`), 200);
        const list = await this.ask(client.get("/products", { query: { limit: 20, sort: i % 2 ? "-createdAt" : "price" } }), 200);
        const found = await this.ask(client.get("/products", { query: { q: product.name } }), 200);
        if (page && list && found) this.newest.readStartedAt = Math.max(this.newest.readStartedAt, startedAt);
    }
}
