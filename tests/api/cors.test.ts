// Pages of other origins: who may read what, from the contract's routes; and what every reply tells a browser about safety.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ok, refused } from "../support/client.ts";
import { operations } from "../support/contract.ts";
import { Server } from "../support/server.ts";
import { Shop } from "../support/shop.ts";

const ALLOWED = ["https://shop.example.com", "http://localhost:5173"];
const PAGE = ALLOWED[0]!;

let shop: Shop;
before(async () => { shop = await Shop.open({ env: { SOUK_CORS_ORIGINS: ALLOWED.join(", "), SOUK_PUBLIC_URL: "https://api.example.com" } }); });
after(() => shop?.close());

const wordsOf = (headers: Headers, name: string) => (headers.get(name) ?? "").split(",").map((one) => one.trim().toLowerCase()).filter(Boolean);
const corsOf = (headers: Headers) => [...headers.keys()].filter((name) => name.startsWith("access-control-"));
const preflight = (path: string, method: string, origin = PAGE) => shop.guest.request("OPTIONS", path, undefined, {
    headers: { origin, "access-control-request-method": method, "access-control-request-headers": "authorization,content-type" },
});

describe("a preflight", () => {
    for (const operation of operations) {
        test(`${operation.method} ${operation.path}`, async () => {
            const reply = await preflight(operation.path.replace(/\{[^}]+\}/g, "x"), operation.method);
            assert.equal(reply.status, 204);
            assert.equal(reply.headers.get("access-control-allow-origin"), PAGE);
            assert.equal(reply.headers.get("access-control-allow-credentials"), "true");
            assert.ok(wordsOf(reply.headers, "access-control-allow-methods").includes(operation.method.toLowerCase()));
            const headers = wordsOf(reply.headers, "access-control-allow-headers");
            for (const name of ["authorization", "content-type", "idempotency-key", "if-match", "if-none-match"]) assert.ok(headers.includes(name), name);
            assert.ok(Number(reply.headers.get("access-control-max-age")) > 0);
            const vary = wordsOf(reply.headers, "vary");
            assert.ok(vary.includes("origin") && vary.includes("access-control-request-method"), vary.join());
        });
    }

    test("of a page that is not listed is told nothing", async () => {
        for (const origin of ["https://evil.example", "https://shop.example.com.evil.example", "http://shop.example.com", "https://shop.example.com:444", "null", "*"]) {
            const reply = await preflight("/products", "GET", origin);
            assert.deepEqual([reply.status, corsOf(reply.headers)], [204, []], origin);
            assert.ok(wordsOf(reply.headers, "vary").includes("origin"));
        }
    });

    test("of a path that is none is 404, which the page may read", async () => {
        const reply = await preflight("/nothing", "GET");
        refused(reply, 404, "NOT_FOUND");
        assert.equal(reply.headers.get("access-control-allow-origin"), PAGE);
    });

    test("OPTIONS without a method asked for is none", async () => {
        const reply = await shop.guest.request("OPTIONS", "/products", undefined, { headers: { origin: PAGE } });
        assert.equal(reply.headers.get("access-control-allow-methods"), null);
        assert.ok(wordsOf(reply.headers, "allow").includes("get"));
    });
});

describe("a request from a page", () => {
    test("that is listed may be read, with what clients need of its headers", async () => {
        for (const origin of ALLOWED) {
            for (const path of ["/products", "/products/nothing-of-this-name", "/users/me", "/nothing", "/docs"]) {
                const { headers } = await shop.guest.get(path, { headers: { origin } });
                assert.equal(headers.get("access-control-allow-origin"), origin, path);
                assert.equal(headers.get("access-control-allow-credentials"), "true");
                const exposed = wordsOf(headers, "access-control-expose-headers");
                for (const name of ["etag", "location", "retry-after", "ratelimit", "ratelimit-policy", "idempotent-replayed", "x-request-id"]) {
                    assert.ok(exposed.includes(name), name);
                }
                assert.ok(wordsOf(headers, "vary").includes("origin"));
            }
        }
    });

    test("that is not listed is answered, and may not be read; a shared cache keeps the two apart", async () => {
        for (const headers of [{ origin: "https://evil.example" }, {} as Record<string, string>]) {
            const reply = await shop.guest.get("/products", { headers });
            ok(reply);
            assert.deepEqual(corsOf(reply.headers), []);
            assert.ok(wordsOf(reply.headers, "vary").includes("origin"));
        }
    });

    test("gets its own origin also when the reply comes from the cache", async () => {
        const replies = [];
        for (const origin of [...ALLOWED, "https://evil.example", ...ALLOWED]) replies.push(await shop.guest.get("/categories", { headers: { origin } }));
        assert.ok(replies.slice(1).every((reply) => reply.headers.has("age")), "from the cache");
        assert.deepEqual(replies.map((reply) => reply.headers.get("access-control-allow-origin")), [...ALLOWED, null, ...ALLOWED]);
    });

    test("may renew its log-in by the cookie when it is listed, and only then", async () => {
        const account = await shop.register();
        const login = await shop.guest.post("/auth/login", { email: account.email, password: account.password, session: "cookie" }, { headers: { origin: PAGE } });
        const cookie = (login.headers.get("set-cookie") ?? "").split(";")[0]!;
        refused(await shop.guest.post("/auth/refresh", undefined, { headers: { cookie, origin: "https://evil.example" } }), 403, "FORBIDDEN");
        ok(await shop.guest.post("/auth/refresh", undefined, { headers: { cookie, origin: PAGE } }));
    });
});

test("without a list no page may read anything, and nothing depends on the origin", async () => {
    const other = await Shop.open();
    try {
        for (const [method, path] of [["GET", "/products"], ["OPTIONS", "/products"], ["GET", "/nothing"]] as const) {
            const { headers } = await other.guest.request(method, path, undefined, { headers: { origin: PAGE, "access-control-request-method": "GET" } });
            assert.deepEqual(corsOf(headers), [], `${method} ${path}`);
            assert.ok(!wordsOf(headers, "vary").includes("origin"));
            assert.equal(headers.get("strict-transport-security"), null, "its address is not https");
        }
    } finally {
        await other.close();
    }
});

test("a list that browsers could never meet stops the start", async () => {
    for (const list of ["*", "https://*.example.com", "https://shop.example.com/", "shop.example.com", "https://a.example,,", "https://Shop.example.com"]) {
        await assert.rejects(Server.start({ env: { SOUK_CORS_ORIGINS: list } }), /SOUK_CORS_ORIGINS.*must be exact origins/s, list);
    }
});

test("every reply says what a browser may do with it", async () => {
    for (const path of ["/products", "/nothing", "/users/me", "/health/live", "/docs", "/.well-known/jwks.json", "/openapi.json"]) {
        const { headers } = await shop.guest.get(path);
        assert.equal(headers.get("x-content-type-options"), "nosniff", path);
        assert.equal(headers.get("referrer-policy"), "no-referrer", path);
        assert.match(headers.get("content-security-policy") ?? "", /default-src 'none';.*frame-ancestors 'none'/, path);
        assert.equal(headers.get("cross-origin-resource-policy"), "same-origin", path);
        assert.match(headers.get("strict-transport-security") ?? "", /^max-age=\d+$/, path);
    }
    const page = (await shop.guest.get("/docs")).headers.get("content-security-policy") ?? "";
    assert.match(page, /script-src 'self'/, "the explorer may load its own script");
});
