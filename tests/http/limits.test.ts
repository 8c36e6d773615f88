// What a caller may ask for in a minute.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ok, refused } from "../support/client.ts";
import { Shop } from "../support/shop.ts";

test("an address that asks too much is told to wait, and is served again", async () => {
    const shop = await Shop.open({ env: { SOUK_RATE_LIMIT: "on", SOUK_RATE_PER_MINUTE: "120" } });
    try {
        let refusedAt = 0;
        for (let i = 1; i <= 400 && !refusedAt; i++) {
            const reply = await shop.guest.get("/products");
            if (reply.status === 200) continue;
            refusedAt = i;
            refused(reply, 429, "RATE_LIMIT_EXCEEDED");
            const wait = Number(reply.headers.get("retry-after"));
            assert.ok(Number.isInteger(wait) && wait >= 1 && wait <= 60, String(wait));
            assert.equal(reply.body.retryAfterSeconds, wait);
        }
        assert.ok(refusedAt > 0 && refusedAt <= 250, `refused at ${refusedAt}`);
        assert.equal((await shop.guest.get("/health/live")).status, 200, "as long as the process can answer at all");
        assert.equal((await shop.guest.get("/health/ready")).status, 200);
    } finally {
        await shop.close();
    }
});

test("logging in is limited more tightly than browsing", async () => {
    const shop = await Shop.open({ env: { SOUK_RATE_LIMIT: "on", SOUK_RATE_PER_MINUTE: "1000" } });
    try {
        let tries = 0;
        for (; tries < 200; tries++) {
            const reply = await shop.guest.post("/auth/login", { email: "nobody@example.com", password: "wrong password" });
            if (reply.status === 429) break;
            refused(reply, 401, "INVALID_CREDENTIALS");
        }
        assert.ok(tries < 100, `${tries} tries were let through`);
        ok(await shop.guest.get("/products"));
        ok(await shop.guest.post("/cart", {}), 201);
    } finally {
        await shop.close();
    }
});

test("behind a proxy that is trusted each client has its own allowance; what a client claims counts for nothing", async () => {
    const shop = await Shop.open({ env: { SOUK_RATE_LIMIT: "on", SOUK_RATE_PER_MINUTE: "5", SOUK_TRUSTED_PROXIES: "127.0.0.0/8, ::1" } });
    try {
        const asked = async (forwardedFor: string) => (await shop.guest.get("/categories", { headers: { "x-forwarded-for": forwardedFor } })).status;
        for (let i = 0; i < 5; i++) assert.equal(await asked(`198.51.100.${i}, 203.0.113.1`), 200);
        assert.equal(await asked("198.51.100.77, 203.0.113.1"), 429);
        assert.equal(await asked("203.0.113.2"), 200);
        for (let i = 0; i < 5; i++) assert.equal(await asked(`2001:db8::${i + 1}`), 200);
        assert.equal(await asked("[2001:db8::abcd]:1234"), 429, "one household has one /64");
        const metrics = await shop.guest.get("/metrics", { headers: { "x-forwarded-for": "127.0.0.1" } });
        refused(metrics, 404, "NOT_FOUND");
    } finally {
        await shop.close();
    }
});

test("the whole API has a limit of its own", async () => {
    const shop = await Shop.open({ env: { SOUK_RATE_LIMIT: "on", SOUK_RATE_WHOLE_PER_SECOND: "1", SOUK_RATE_WHOLE_BURST: "10" } });
    try {
        const replies = [];
        for (let i = 0; i < 15; i++) replies.push(await shop.guest.get("/categories"));
        const turned = replies.filter((one) => one.status === 429);
        assert.ok(turned.length >= 3 && turned.length < 15, String(turned.length));
        for (const reply of turned) assert.equal(reply.headers.get("retry-after"), "1");
    } finally {
        await shop.close();
    }
});

test("every reply says what is left, in the form of the draft", async () => {
    const shop = await Shop.open({ env: { SOUK_RATE_LIMIT: "on", SOUK_RATE_PER_MINUTE: "100", SOUK_RATE_LOGIN_PER_MINUTE: "10" } });
    try {
        const read = await shop.guest.get("/categories");
        assert.equal(read.headers.get("ratelimit-policy"), '"read";q=100;w=60');
        assert.match(read.headers.get("ratelimit") ?? "", /^"read";r=\d+;t=\d+$/);
        const written = await shop.guest.post("/cart", {});
        assert.equal(written.headers.get("ratelimit-policy"), '"write";q=50;w=60');
        const tried = await shop.guest.post("/auth/login", { email: "nobody@example.com", password: "wrong wrong" });
        assert.equal(tried.headers.get("ratelimit-policy"), '"login";q=5;w=30');
        assert.equal((await shop.guest.get("/health/live")).headers.get("ratelimit"), null, "what is never limited says nothing");
    } finally {
        await shop.close();
    }
});
