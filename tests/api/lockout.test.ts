// Guessing is slowed down, and the owner is not kept out by it.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ok, refused } from "../support/client.ts";
import { sqlTime } from "../support/database.ts";
import { PASSWORD, Shop, logIn, unique } from "../support/shop.ts";

let shop: Shop;
before(async () => { shop = await Shop.open({ env: { SOUK_TRUSTED_PROXIES: "127.0.0.1,::1" } }); });
after(() => shop?.close());

let networks = 0;
/** Another network each time. */
const elsewhere = () => `203.${Math.floor(++networks / 200)}.${networks % 200}.7`;
const guess = (email: string, from: string, input: Record<string, unknown> = {}) =>
    shop.guest.post("/auth/login", { email, password: "a wrong password", ...input }, { headers: { "x-forwarded-for": from } });
const enter = (email: string, from: string, input: Record<string, unknown> = {}) =>
    shop.guest.post("/auth/login", { email, password: PASSWORD, ...input }, { headers: { "x-forwarded-for": from } });

describe("wrong passwords", () => {
    test("from one network are limited, whether the account exists or not, and others are not", async () => {
        const account = await shop.register();
        for (const email of [account.email, `${unique("nobody")}@example.com`]) {
            const from = elsewhere();
            for (let i = 0; i < 10; i++) refused(await guess(email, from), 401, "INVALID_CREDENTIALS");
            const reply = await guess(email, from);
            const problem = refused(reply, 429, "RATE_LIMIT_EXCEEDED");
            assert.ok(Number(reply.headers.get("retry-after")) === problem.retryAfterSeconds && problem.retryAfterSeconds > 0);
            refused(await guess(email, elsewhere()), 401, "INVALID_CREDENTIALS");
        }
        ok(await enter(account.email, elsewhere()));
    });

    test("from all spellings of one address count together, and so does the /64 of an IPv6 one", async () => {
        const ours = `2001:db8:${(++networks).toString(16)}`;
        const spellings = [`${ours}::1`, `${ours}:0::1`, `${ours.toUpperCase()}:0:0:0:0:1`, `${ours}:0:ffff:ffff:ffff:ffff`];
        for (const [same, other] of [[spellings, `${ours}:1::1`], [["198.51.100.7", "::ffff:198.51.100.7", "::FFFF:c633:6407"], "198.51.100.8"]] as const) {
            const { email } = await shop.register();
            for (let i = 0; i < 10; i++) refused(await guess(email, same[i % same.length]!), 401, "INVALID_CREDENTIALS");
            for (const from of same) refused(await guess(email, from), 429, "RATE_LIMIT_EXCEEDED");
            refused(await guess(email, other), 401, "INVALID_CREDENTIALS");
        }
    });

    test("a good one forgets the failures of its network", async () => {
        const account = await shop.register();
        const from = elsewhere();
        for (let round = 0; round < 2; round++) {
            for (let i = 0; i < 9; i++) refused(await guess(account.email, from), 401, "INVALID_CREDENTIALS");
            ok(await enter(account.email, from));
        }
    });

    test("the window ends", async () => {
        const account = await shop.register();
        const from = elsewhere();
        for (let i = 0; i < 10; i++) refused(await guess(account.email, from), 401, "INVALID_CREDENTIALS");
        refused(await enter(account.email, from), 429, "RATE_LIMIT_EXCEEDED");
        shop.server.sql(`UPDATE attempt_counters SET window_ends_at = ${sqlTime(1)}`);
        ok(await enter(account.email, from));
    });
});

describe("an attacker with many addresses", () => {
    test("does not lock out a device that logged in before, nor whoever resets the password", async () => {
        const account = await shop.register();
        const { deviceToken } = ok(await enter(account.email, elsewhere()));
        const stranger = ok(await enter((await shop.register()).email, elsewhere())).deviceToken;
        for (let i = 0; i < 50; i++) refused(await guess(account.email, elsewhere()), 401, "INVALID_CREDENTIALS");
        refused(await enter(account.email, elsewhere()), 429, "RATE_LIMIT_EXCEEDED");
        for (const token of [stranger, `${deviceToken.slice(0, -2)}AA`, "x", ""]) {
            refused(await enter(account.email, elsewhere(), { deviceToken: token }), 429, "RATE_LIMIT_EXCEEDED");
        }
        ok(await enter(account.email, elsewhere(), { deviceToken }));
        const cookie = await shop.guest.post("/auth/login", { email: account.email, password: PASSWORD },
            { headers: { cookie: `souk_device=${deviceToken}`, "x-forwarded-for": elsewhere() } });
        ok(cookie);

        for (let i = 0; i < 10; i++) refused(await guess(account.email, elsewhere(), { deviceToken }), 401, "INVALID_CREDENTIALS");
        refused(await enter(account.email, elsewhere(), { deviceToken }), 429, "RATE_LIMIT_EXCEEDED"); // it guesses itself
        await logIn(shop.guest, shop.admin.email);
    });
});

test("mails that are asked for are limited by account, and the answer does not tell", async () => {
    const account = await shop.register();
    const sent = () => Number(shop.server.sql("SELECT COUNT(*) AS n FROM outbox WHERE topic = 'user.password_reset'")[0]!.n);
    const before = sent();
    for (let i = 0; i < 8; i++) ok(await shop.guest.post("/auth/password/forgot", { email: account.email.toUpperCase() }), 202);
    assert.equal(sent(), before + 5);
});
