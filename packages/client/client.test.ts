// The client against a fetch that writes down what it was asked.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SoukClient, SoukError, type ClientOptions } from "./src/index.ts";

interface Sent {
    url: string;
    init: RequestInit;
}

function clientAnswering(response: () => Response, options: ClientOptions = {}): { client: SoukClient; sent: Sent[] } {
    const sent: Sent[] = [];
    const fetch = (url: string | URL | Request, init?: RequestInit): Promise<Response> => {
        sent.push({ url: String(url), init: init ?? {} });
        return Promise.resolve(response());
    };
    return { client: new SoukClient({ baseUrl: "https://shop.example.com/", fetch, ...options }), sent };
}

function json(body: unknown, status = 200, headers: Record<string, string> = {}): () => Response {
    return () => new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json", ...headers } });
}

const ID = "0190a5c8-1b7e-7cc3-a0d4-5f3b6c1e2a10";

describe("a call", () => {
    it("fills path and query, and leaves out what is undefined", async () => {
        const { client, sent } = clientAnswering(json({ data: [], pagination: { limit: 5, nextCursor: null, hasMore: false } }));
        const { data, pagination } = await client.productsList({ "price[gte]": 100, q: "linen & silk", tag: undefined, limit: 5 });
        assert.deepEqual([data, pagination.hasMore], [[], false]);
        assert.equal(sent[0]?.url, "https://shop.example.com/products?q=linen+%26+silk&price%5Bgte%5D=100&limit=5");
        assert.equal(sent[0]?.init.method, "GET");
    });
    it("sends body, key and token", async () => {
        const { client, sent } = clientAnswering(json({ data: { id: ID } }, 201), { token: () => Promise.resolve("t0ken") });
        await client.cartItemAdd({ id: ID }, { variantId: ID, quantity: 2 }, { idempotencyKey: "k" });
        assert.equal(sent[0]?.url, `https://shop.example.com/cart/${ID}/items`);
        assert.equal(sent[0]?.init.body, `{"variantId":"${ID}","quantity":2}`);
        assert.deepEqual(sent[0]?.init.headers, {
            Accept: "application/json",
            "Content-Type": "application/json",
            "Idempotency-Key": "k",
            Authorization: "Bearer t0ken",
        });
    });
    it("sends no body and no type where there is none", async () => {
        const { client, sent } = clientAnswering(json({ data: { id: ID } }, 201));
        await client.cartCreate();
        assert.equal(sent[0]?.init.body, undefined);
        assert.deepEqual(sent[0]?.init.headers, { Accept: "application/json" });
    });
    it("tells what came beside the body", async () => {
        const headers = { ETag: '"v1-a"', "X-Request-Id": "r", Location: "/x", "Idempotent-Replayed": "true" };
        const { client } = clientAnswering(json({ data: { id: ID } }, 200, headers));
        const { meta } = await client.productGet({ id: "linen-shirt" });
        assert.deepEqual(meta, { status: 200, requestId: "r", etag: '"v1-a"', location: "/x", isReplayed: true });
    });
    it("sends the tag that a change is based on", async () => {
        const { client, sent } = clientAnswering(() => new Response(null, { status: 204 }));
        const reply = await client.productDelete({ id: ID }, { ifMatch: '"v1-a"' });
        assert.equal(reply.meta.status, 204);
        assert.equal((sent[0]?.init.headers as Record<string, string>)["If-Match"], '"v1-a"');
    });
    it("answers text as text", async () => {
        const { client } = clientAnswering(() => new Response("souk_up 1\n", { status: 200 }));
        assert.equal((await client.metricsGet()).text, "souk_up 1\n");
    });
    it("never leaves its path", async () => {
        const { client, sent } = clientAnswering(json({ data: {} }));
        await client.productGet({ id: "../users" });
        assert.equal(sent[0]?.url, "https://shop.example.com/products/..%2Fusers");
        for (const id of ["", ".", ".."]) await assert.rejects(client.productGet({ id }), TypeError);
    });
});

describe("a problem", () => {
    const problem = {
        type: "about:blank",
        title: "The request is not valid",
        status: 400,
        detail: "1 field is wrong",
        code: "VALIDATION_ERROR",
        requestId: "r",
        errors: [{ field: "quantity", code: "MAX", message: "must be at most 99" }],
    };
    it("is thrown with all it holds", async () => {
        const headers = { "Content-Type": "application/problem+json", "Retry-After": "7" };
        const { client } = clientAnswering(json(problem, 400, headers));
        const error = await client.cartItemAdd({ id: ID }, { variantId: ID, quantity: 100 }).catch((thrown: unknown) => thrown);
        assert.ok(error instanceof SoukError);
        assert.deepEqual([error.status, error.code, error.requestId, error.retryAfterSeconds], [400, "VALIDATION_ERROR", "r", 7]);
        assert.equal(error.errorOf("quantity")?.message, "must be at most 99");
        assert.equal(error.errorOf("other"), undefined);
        assert.equal(error.message, "400 VALIDATION_ERROR: 1 field is wrong");
    });
    it("is made up when a proxy answers in its place", async () => {
        const { client } = clientAnswering(() => new Response("<h1>Bad gateway</h1>", { status: 502, statusText: "Bad Gateway" }));
        await assert.rejects(client.healthLive(), (error: unknown) => error instanceof SoukError && error.status === 502 && error.errors.length === 0);
    });
});
