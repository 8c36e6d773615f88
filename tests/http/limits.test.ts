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
