// HTTP itself: methods, media types, escapes, and requests that no decent client sends.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, test } from "node:test";
import { Raw, ok, refused, type Json } from "../support/client.ts";
import { operations } from "../support/contract.ts";
import { Connection, exchange, judged } from "../support/raw.ts";
import { Shop, newId, usd } from "../support/shop.ts";

let shop: Shop;
let product: Json;
before(async () => {
    shop = await Shop.open();
    product = await shop.product();
});
after(() => shop?.close());

const send = (text: string) => exchange(shop.server.port, text);
const lives = async () => assert.equal((await shop.guest.get("/health/live")).status, 200);

describe("methods", () => {
    const templates = [...new Set(operations.map((one) => one.path))];
    for (const template of templates) {
        test(`${template}: OPTIONS and 405 name what it takes`, async () => {
            const path = template.replace(/\{[^}]+\}/g, newId());
            const defined = operations.filter((one) => one.path === template).map((one) => one.method);
            const expected = [...new Set([...defined, ...(defined.includes("GET") ? ["HEAD"] : []), "OPTIONS"])].sort();
            const allowed = (value: string | null) => (value ?? "").split(",").map((one) => one.trim()).filter(Boolean).sort();
            const options = await shop.guest.request("OPTIONS", path);
            assert.equal(options.status, 204);
            assert.deepEqual(allowed(options.headers.get("allow")), expected);
            for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE"]) {
                if (expected.includes(method)) continue;
                const reply = await shop.guest.request(method, path, method === "GET" ? undefined : {});
                refused(reply, 405, "METHOD_NOT_ALLOWED");
                assert.deepEqual(allowed(reply.headers.get("allow")), expected, method);
            }
        });
    }

    test("HEAD is GET without the body", async () => {
        for (const path of ["/products", `/products/${product.slug}`, "/health/live", "/openapi.json", "/metrics"]) {
            const get = await judged(shop.server.port, "GET", path);
            const head = await judged(shop.server.port, "HEAD", path);
            assert.equal(head.status, get.status);
            assert.equal(head.headers.get("content-type"), get.headers.get("content-type"));
            if (path === "/metrics") continue; // never the same twice
            assert.equal(head.headers.get("content-length"), String(get.bytes.length), path);
            assert.equal(head.headers.get("etag"), get.headers.get("etag"));
        }
        assert.equal((await judged(shop.server.port, "HEAD", `/products/${newId()}`)).status, 404);
    });

    test("methods that nobody knows are refused", async () => {
        for (const method of ["TRACE", "CONNECT", "PROPFIND", "get", "X"]) {
            const reply = await send(`${method} /products HTTP/1.1\r\nHost: x\r\n\r\n`);
            assert.ok(reply && [400, 405, 501].includes(reply.status), `${method}: ${reply?.status}`);
        }
        await lives();
    });
});

describe("paths", () => {
    test("a trailing slash, a doubled slash and dots are other paths", async () => {
        for (const path of ["/products/", "//products", "/products//", "/./products", "/products/./x", "/categories/../products", "/Products"]) {
            const reply = await judged(shop.server.port, "GET", path);
            assert.ok(reply.status === 404 || reply.status === 400, `${path}: ${reply.status}`);
        }
    });

    test("escapes are undone once, after routing", async () => {
        const plain = await judged(shop.server.port, "GET", `/products/${product.slug}`);
        for (const path of [`/%70roducts/${product.slug}`, `/products/%${product.slug.charCodeAt(0).toString(16)}${product.slug.slice(1)}`]) {
            const reply = await send(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
            assert.deepEqual([reply?.status, reply?.text], [200, plain.text], `${path} is the same path (RFC 3986, 6.2.2.2)`);
        }
        assert.equal((await send(`GET /products%2F${product.slug} HTTP/1.1\r\nHost: x\r\n\r\n`))?.status, 404, "an escaped slash parts nothing");
        assert.equal((await send(`GET /%2570roducts HTTP/1.1\r\nHost: x\r\n\r\n`))?.status, 404, "once");
        assert.equal((await judged(shop.server.port, "GET", `/products/${product.slug}%2Fvariants`)).status, 400, "an escaped slash is part of the slug, and no slug has one");
        assert.equal((await judged(shop.server.port, "GET", "/products/%2e%2e")).status, 400);
        for (const path of ["/products/%00", `/products/${product.slug}%00`, "/products/%", "/products/%4", "/products/%zz", "/products/%FF", "/docs/%00.js"]) {
            assert.equal((await judged(shop.server.port, "GET", path)).status, 400, path);
        }
        assert.equal((await judged(shop.server.port, "GET", "/docs/%252e%252e%252fsouk.db")).status, 404);
    });

    test("an absolute target and a missing one", async () => {
        const absolute = await send(`GET http://127.0.0.1:${shop.server.port}/health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
        assert.ok(absolute && [200, 400, 404].includes(absolute.status));
        const none = await send("GET  HTTP/1.1\r\nHost: x\r\n\r\n");
        assert.ok(!none || none.status >= 400);
        const star = await send("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
        assert.equal(star?.status, 204);
        await lives();
    });

    test("a target that is too long is refused", async () => {
        const reply = await send(`GET /products?q=${"x".repeat(9000)} HTTP/1.1\r\nHost: x\r\n\r\n`);
        assert.ok(reply && [414, 431].includes(reply.status), String(reply?.status));
        await lives();
    });
});

describe("media types", () => {
    test("a reply is JSON, or 406", async () => {
        for (const accept of ["text/html", "application/xml, text/plain;q=0.5", "application/json;q=0", "image/*"]) {
            refused(await shop.guest.get("/products", { headers: { accept } }), 406, "NOT_ACCEPTABLE");
        }
        for (const accept of ["*/*", "application/*", "application/json", "text/html, application/json;q=0.1", "application/json; charset=utf-8", "application/problem+json, */*;q=0.1", ""]) {
            assert.equal((await shop.guest.get("/products", { headers: { accept } })).status, 200, accept);
        }
        assert.equal((await shop.guest.get("/docs", { headers: { accept: "text/html" } })).status, 200);
        assert.equal((await shop.guest.get("/metrics", { headers: { accept: "text/plain" } })).status, 200);
    });

    test("a body is JSON in UTF-8, or 415", async () => {
        const body = JSON.stringify({ name: "Typed" });
        const post = (type: string) => shop.admin.client.post("/categories", new Raw(body, type));
        for (const type of ["text/plain", "application/jsonp", "application/json; charset=latin1", "json", "application/octet-stream"]) {
            refused(await post(type), 415, "UNSUPPORTED_MEDIA_TYPE");
        }
        for (const type of ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8", "application/json; charset=\"utf-8\""]) {
            ok(await post(type), 201);
        }
    });

    test("replies say what they are and that they are nothing else", async () => {
        const good = await shop.guest.get("/products");
        assert.match(good.headers.get("content-type") ?? "", /^application\/json/);
        const bad = await shop.guest.get("/products/Bad Slug".replace(" ", "%20"));
        assert.match(bad.headers.get("content-type") ?? "", /^application\/problem\+json/);
        for (const reply of [good, bad]) assert.equal(reply.headers.get("x-content-type-options"), "nosniff");
        assert.equal(good.headers.get("server"), null);
        assert.equal(good.headers.get("x-powered-by"), null);
    });

    test("a request id of the caller's is taken when it is harmless", async () => {
        const id = newId();
        assert.equal((await shop.guest.get("/products", { headers: { "x-request-id": id } })).headers.get("x-request-id"), id);
        const bad = "\"}\u00e9<script>";
        const reply = await shop.guest.get("/products", { headers: { "x-request-id": bad } });
        assert.notEqual(reply.headers.get("x-request-id"), bad);
        assert.notEqual((await shop.guest.get("/products")).headers.get("x-request-id"), (await shop.guest.get("/products")).headers.get("x-request-id"));
    });
});

describe("framing", () => {
    const body = JSON.stringify({ name: "Framed", price: usd(1) });
    const head = (...lines: string[]) => `POST /products HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`;

    const ambiguous: Record<string, string> = {
        "Content-Length with Transfer-Encoding": `${head("Host: x", "Content-Length: 5", "Transfer-Encoding: chunked")}0\r\n\r\n`,
        "two Content-Lengths that differ": `${head("Host: x", "Content-Length: 2", "Content-Length: 30")}{}`,
        "two Content-Lengths that agree": `${head("Host: x", "Content-Length: 2", "Content-Length: 2")}{}`,
        "a list of Content-Lengths": `${head("Host: x", "Content-Length: 2, 2")}{}`,
        "a negative Content-Length": head("Host: x", "Content-Length: -2"),
        "a Content-Length in hex": `${head("Host: x", "Content-Length: 0x2")}{}`,
        "a Content-Length with a plus": `${head("Host: x", "Content-Length: +2")}{}`,
        "a huge Content-Length": head("Host: x", "Content-Length: 99999999999999999999999"),
        "two Hosts": `${head("Host: a", "Host: b", "Content-Length: 2")}{}`,
        "no Host": `${head("Content-Length: 2")}{}`,
        "a space before the colon": `${head("Host: x", "Content-Length : 2")}{}`,
        "an unknown coding": `${head("Host: x", "Transfer-Encoding: gzip, chunked")}0\r\n\r\n`,
        "identity coding": `${head("Host: x", "Transfer-Encoding: identity", "Content-Length: 2")}{}`,
        "two codings": `${head("Host: x", "Transfer-Encoding: chunked", "Transfer-Encoding: identity")}0\r\n\r\n`,
        "a folded header": `${head("Host: x", "X-A: b", " c", "Content-Length: 2")}{}`,
    };
    for (const [what, request] of Object.entries(ambiguous)) {
        test(`${what} is refused and the connection closed`, async () => {
            const before = shop.server.sql("SELECT COUNT(*) AS n FROM products")[0]!.n;
            const connection = await Connection.open(shop.server.port);
            try {
                connection.write(`${request}GET /health/live HTTP/1.1\r\nHost: smuggled\r\n\r\n`);
                const reply = await connection.response();
                assert.ok(reply === undefined || reply.status >= 400, `${reply?.status} ${reply?.text}`);
                if (reply) assert.ok([400, 413, 501].includes(reply.status), String(reply.status));
                const next = await connection.response();
                assert.equal(next, undefined, `the smuggled request was answered: ${next?.status}`);
                assert.ok(await connection.closed(3000), "the connection stays open");
            } finally {
                connection.destroy();
            }
            assert.equal(shop.server.sql("SELECT COUNT(*) AS n FROM products")[0]!.n, before);
            await lives();
        });
    }

    test("a chunked body is a body", async () => {
        const token = shop.admin.session.accessToken as string;
        const chunks = (text: string, size: number) => `${(text.match(new RegExp(`.{1,${size}}`, "gs")) ?? []).map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join("")}0\r\n\r\n`;
        const lines = ["Host: x", "Content-Type: application/json", `Authorization: Bearer ${token}`, "Transfer-Encoding: chunked"];
        const reply = await send(head(...lines) + chunks(body, 7));
        assert.equal(reply?.status, 201, reply?.text);
        const large = await send(head(...lines) + chunks(JSON.stringify({ x: "y".repeat(270_000) }), 4000));
        assert.ok(large === undefined || large.status === 413, String(large?.status));
        await lives();
    });

    test("a body past its limit is 413, however long it says it is", async () => {
        const reply = await send(`${head("Host: x", "Content-Type: application/json", "Content-Length: 300000")}${"x".repeat(300_000)}`);
        assert.ok(reply === undefined || reply.status === 413, String(reply?.status));
        const promised = await send(head("Host: x", "Content-Type: application/json", "Content-Length: 5000000000", "Expect: 100-continue"));
        assert.ok(promised && promised.status === 413, String(promised?.status));
        await lives();
    });

    test("headers that are too long or too many are refused", async () => {
        const long = await send(`GET /products HTTP/1.1\r\nHost: x\r\nX-Long: ${"y".repeat(40_000)}\r\n\r\n`);
        assert.ok(long && [400, 431].includes(long.status), String(long?.status));
        const many = await send(`GET /products HTTP/1.1\r\nHost: x\r\n${Array.from({ length: 5000 }, (_, i) => `X-${i}: y`).join("\r\n")}\r\n\r\n`);
        assert.ok(many && [400, 431].includes(many.status), String(many?.status));
        await lives();
    });

    test("a hundred header fields are taken, one more is 431", async () => {
        const fields = (count: number) => ["Host: x", ...Array.from({ length: count - 1 }, (_, i) => `X-${i}: y`)].join("\r\n");
        const taken = await send(`GET /products HTTP/1.1\r\n${fields(100)}\r\n\r\n`);
        assert.equal(taken?.status, 200);
        const refused = await send(`GET /products HTTP/1.1\r\n${fields(101)}\r\n\r\n`);
        assert.equal(refused?.status, 431);
        assert.match(refused?.text ?? "", /HEADERS_TOO_LARGE/);
        await lives();
    });

    test("a body in a coding is 415, and not taken for something else", async () => {
        for (const [coding, status] of [["gzip", 415], ["br", 415], ["identity", 401]] as const) {
            const body = "{\"name\":\"x\"}";
            const reply = await send(`POST /categories HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Encoding: ${coding}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
            assert.equal(reply?.status, status, coding);
        }
        await lives();
    });

    test("bytes that are no HTTP at all", async () => {
        for (const bytes of ["\r\n\r\n\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01", "GET\r\n\r\n", "GET / HTTP/9.9\r\nHost: x\r\n\r\n", "GET / \r\n\r\n", "\0".repeat(500), "x".repeat(50_000)]) {
            const connection = await Connection.open(shop.server.port);
            try {
                connection.write(bytes);
                connection.finish();
                const reply = await connection.response().catch(() => undefined);
                assert.ok(!reply || reply.status >= 400, `${JSON.stringify(bytes.slice(0, 20))}: ${reply?.status}`);
            } finally {
                connection.destroy();
            }
        }
        await lives();
    });
});

describe("connections", () => {
    test("one serves many requests, also those sent ahead", async () => {
        const connection = await Connection.open(shop.server.port);
        try {
            for (let i = 0; i < 5; i++) {
                connection.write("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n");
                assert.equal((await connection.response())?.status, 200);
            }
            connection.write(Array.from({ length: 10 }, (_, i) => `GET /products/${i % 2 ? product.slug : "no-such-thing"} HTTP/1.1\r\nHost: x\r\n\r\n`).join(""));
            for (let i = 0; i < 10; i++) assert.equal((await connection.response())?.status, i % 2 ? 200 : 404);
            connection.write("GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            assert.equal((await connection.response())?.status, 200);
            assert.ok(await connection.closed(3000));
        } finally {
            connection.destroy();
        }
    });

    test("HTTP/1.0 is answered and closed", async () => {
        const reply = await send("GET /health/live HTTP/1.0\r\nHost: x\r\n\r\n");
        assert.equal(reply?.status, 200);
        assert.ok(reply?.isClosed);
    });

    test("one that dies in the middle of a request leaves nothing behind", async () => {
        const before = shop.server.sql("SELECT COUNT(*) AS n FROM carts")[0]!.n;
        for (let i = 0; i < 30; i++) {
            const connection = await Connection.open(shop.server.port);
            connection.write(`POST /cart HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{`);
            await sleep(2);
            connection.destroy();
        }
        await lives();
        assert.equal(shop.server.sql("SELECT COUNT(*) AS n FROM carts")[0]!.n, before);
    });

    test("slow headers do not hold a connection for ever, nor anybody else", async () => {
        const slow = await Connection.open(shop.server.port);
        try {
            slow.write("GET /products HTTP/1.1\r\nHost: x\r\n");
            const started = Date.now();
            while (!slow.isClosed && Date.now() - started < 30_000) {
                slow.write("X-Slow: 1\r\n");
                await lives();
                await slow.closed(500);
            }
            assert.ok(slow.isClosed, "after its ten seconds the connection ends");
        } finally {
            slow.destroy();
        }
    });
});

describe("other origins", () => {
    test("no other site is let in unless it is named", async () => {
        const reply = await shop.guest.get("/products", { headers: { origin: "https://evil.example" } });
        assert.notEqual(reply.headers.get("access-control-allow-origin"), "https://evil.example");
        assert.notEqual(reply.headers.get("access-control-allow-credentials"), "true");
    });
});
