// The second factor: enrolling, logging in with it, recovery codes, and the setting that demands it of staff.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { etagOf, invalid, ok, refused, type Client, type Json } from "../support/client.ts";
import { PASSWORD, Shop, logIn, newId, parallel, type Account } from "../support/shop.ts";
import { totp } from "../support/totp.ts";

let shop: Shop;
before(async () => { shop = await Shop.open(); });
after(() => shop?.close());

interface Enrolled { account: Account; secret: string; codes: string[] }

/** Confirmed by the code before this one, so that the present one is still good. */
async function enrol(account: Account): Promise<Enrolled> {
    const { secret } = ok(await account.client.post("/users/me/mfa", { password: PASSWORD }), 201);
    const { recoveryCodes } = ok(await account.client.post("/users/me/mfa/confirm", { code: totp(secret, -1) }));
    return { account, secret, codes: recoveryCodes };
}
const enrolled = async () => enrol(await shop.register());

async function challengeOf(account: Account, input: Json = {}): Promise<string> {
    const problem = refused(await shop.guest.post("/auth/login", { email: account.email, password: PASSWORD, ...input }), 401, "MFA_REQUIRED");
    assert.equal(problem.challengeExpiresIn, 300);
    return problem.challengeToken;
}
const answer = (challengeToken: string, code: string) => shop.guest.post("/auth/mfa", { challengeToken, code });

describe("enrolling", () => {
    test("shows the secret once and asks for a code from the confirmation on", async () => {
        const account = await shop.register();
        const read = await account.client.get("/users/me/mfa");
        assert.deepEqual(ok(read), { isEnabled: false, confirmedAt: null, recoveryCodesLeft: 0 });
        assert.equal((await account.client.get("/users/me/mfa", { etag: etagOf(read) })).status, 304);
        const made = ok(await account.client.post("/users/me/mfa", { password: PASSWORD }), 201);
        const url = new URL(made.otpauthUrl);
        assert.deepEqual([url.protocol, url.host, url.searchParams.get("secret"), url.searchParams.get("digits")], ["otpauth:", "totp", made.secret, "6"]);
        assert.ok(decodeURIComponent(url.pathname).endsWith(`:${account.email}`), url.pathname);
        await logIn(shop.guest, account.email); // not yet
        const other = await logIn(shop.guest, account.email);
        invalid(await account.client.post("/users/me/mfa/confirm", { code: "000000" }), "code");
        const { recoveryCodes } = ok(await account.client.post("/users/me/mfa/confirm", { code: totp(made.secret) }));
        assert.equal(new Set(recoveryCodes).size, 10);
        const state = ok(await account.client.get("/users/me/mfa"));
        assert.deepEqual([state.isEnabled, state.recoveryCodesLeft], [true, 10]);
        refused(await other.client.get("/users/me"), 401, "UNAUTHENTICATED"); // opened without it
        refused(await account.client.post("/users/me/mfa", { password: PASSWORD }), 409, "MFA_ENABLED");
        refused(await account.client.post("/users/me/mfa/confirm", { code: totp(made.secret, 1) }), 409, "MFA_ENABLED");
        const stored = shop.server.database.everything();
        for (const word of [made.secret, ...recoveryCodes]) assert.ok(!stored.includes(word), "no secret stands in the database as it is");
    });

    test("takes the password; a code without an enrolment is none", async () => {
        const account = await shop.register();
        invalid(await account.client.post("/users/me/mfa", { password: "not the one" }), "password");
        refused(await account.client.post("/users/me/mfa/confirm", { code: "123456" }), 404, "MFA_NOT_FOUND");
        invalid(await account.client.post("/users/me/mfa/disable", { password: PASSWORD, code: "123456" }), "code");
        invalid(await account.client.post("/users/me/mfa/recovery-codes", { code: "123456" }), "code");
        invalid(await account.client.post("/users/me/mfa/confirm", { code: "12345" }), "code");
    });
});

describe("logging in", () => {
    test("takes a code, once, for a challenge that is good once", async () => {
        const { account, secret } = await enrolled();
        const challenge = await challengeOf(account);
        const session = ok(await answer(challenge, totp(secret)));
        assert.equal(session.user.id, account.id);
        ok(await shop.guest.as(session.accessToken).get("/users/me"));
        refused(await answer(challenge, totp(secret, 1)), 400, "INVALID_TOKEN");
        refused(await answer(await challengeOf(account), totp(secret)), 401, "INVALID_CREDENTIALS"); // used
        ok(await answer(await challengeOf(account), totp(secret, 1)));
        refused(await answer(newId(), totp(secret)), 400, "INVALID_TOKEN");
        invalid(await shop.guest.post("/auth/mfa", { challengeToken: challenge, code: "1" }), "code");
    });

    test("keeps the way it was asked for: cookie, cart", async () => {
        const { account, secret } = await enrolled();
        const cart = await shop.cartOf(shop.guest, { productId: (await shop.product()).id, quantity: 2 });
        const reply = await answer(await challengeOf(account, { session: "cookie", cartId: cart.id }), totp(secret));
        const session = ok(reply);
        assert.equal(session.refreshToken, null);
        assert.ok(reply.headers.getSetCookie().some((one) => one.startsWith("souk_refresh=")));
        assert.equal(ok(await shop.guest.as(session.accessToken).get("/cart/me")).items[0].quantity, 2);
    });

    test("of racing answers one wins: by a code, by a challenge, by a recovery code", async () => {
        const { account, secret, codes } = await enrolled();
        const won = (replies: { status: number }[]) => replies.filter(({ status }) => status === 200).length;
        const challenges = await parallel(4, () => challengeOf(account));
        assert.equal(won(await parallel(4, (i) => answer(challenges[i]!, totp(secret)))), 1);
        const one = await challengeOf(account);
        assert.equal(won(await parallel(4, (i) => answer(one, codes[i]!))), 1);
        const more = await parallel(4, () => challengeOf(account));
        assert.equal(won(await parallel(4, (i) => answer(more[i]!, codes[5]!))), 1);
    });

    test("a recovery code stands in once, however it is written", async () => {
        const { account, codes } = await enrolled();
        ok(await answer(await challengeOf(account), codes[0]!.toLowerCase().replaceAll("-", " ")));
        refused(await answer(await challengeOf(account), codes[0]!), 401, "INVALID_CREDENTIALS");
        assert.equal(ok(await account.client.get("/users/me/mfa")).recoveryCodesLeft, 9);
        const { recoveryCodes } = ok(await account.client.post("/users/me/mfa/recovery-codes", { code: codes[1] }));
        refused(await answer(await challengeOf(account), codes[2]!), 401, "INVALID_CREDENTIALS");
        ok(await answer(await challengeOf(account), recoveryCodes[0]));
    });

    test("a challenge is good for five wrong codes, an account for ten", async () => {
        const { account, secret } = await enrolled();
        const first = await challengeOf(account);
        for (let i = 0; i < 5; i++) refused(await answer(first, "000000"), 401, "INVALID_CREDENTIALS");
        refused(await answer(first, totp(secret)), 400, "INVALID_TOKEN");
        const second = await challengeOf(account);
        for (let i = 0; i < 4; i++) refused(await answer(second, "000000"), 401, "INVALID_CREDENTIALS");
        const third = await challengeOf(account);
        refused(await answer(third, "000000"), 401, "INVALID_CREDENTIALS");
        const reply = await answer(third, totp(secret));
        assert.ok(refused(reply, 429, "RATE_LIMIT_EXCEEDED").retryAfterSeconds > 0);
        for (const [path, body] of [["confirm", { code: "123456" }], ["recovery-codes", { code: "123456" }], ["disable", { password: PASSWORD, code: "123456" }]] as const) {
            refused(await account.client.post(`/users/me/mfa/${path}`, body), 429, "RATE_LIMIT_EXCEEDED");
        }
    });

    test("a new password ends challenges that wait", async () => {
        const { account, secret } = await enrolled();
        const challenge = await challengeOf(account);
        ok(await account.client.post("/auth/password", { currentPassword: PASSWORD, newPassword: "another long password" }));
        refused(await answer(challenge, totp(secret)), 400, "INVALID_TOKEN");
    });
});

describe("without it again", () => {
    test("by the password and a code", async () => {
        const { account, secret } = await enrolled();
        invalid(await account.client.post("/users/me/mfa/disable", { password: "not the one", code: totp(secret) }), "password");
        invalid(await account.client.post("/users/me/mfa/disable", { password: PASSWORD, code: "000000" }), "code");
        ok(await account.client.post("/users/me/mfa/disable", { password: PASSWORD, code: totp(secret) }), 204);
        await logIn(shop.guest, account.email);
        assert.deepEqual(ok(await account.client.get("/users/me/mfa")), { isEnabled: false, confirmedAt: null, recoveryCodesLeft: 0 });
    });

    test("by an administrator", async () => {
        const { account } = await enrolled();
        ok(await shop.admin.client.delete(`/users/${account.id}/mfa`), 204);
        refused(await account.client.get("/users/me"), 401, "UNAUTHENTICATED");
        await logIn(shop.guest, account.email);
        refused(await shop.admin.client.delete(`/users/${newId()}/mfa`), 404, "USER_NOT_FOUND");
    });

    test("wrong passwords are counted", async () => {
        const account = await shop.register();
        for (let i = 0; i < 10; i++) invalid(await account.client.post("/users/me/mfa", { password: "not the one" }), "password");
        refused(await account.client.post("/users/me/mfa", { password: PASSWORD }), 429, "RATE_LIMIT_EXCEEDED");
    });
});

test("SOUK_REQUIRE_ADMIN_MFA: staff without it may only enrol", async () => {
    const strict = await Shop.open({ env: { SOUK_REQUIRE_ADMIN_MFA: "on" } });
    try {
        const admin: Client = strict.admin.client;
        refused(await admin.get("/users"), 403, "MFA_ENROLLMENT_REQUIRED");
        refused(await admin.post("/products", { name: "No", price: { amount: 1, currency: "USD" } }), 403, "MFA_ENROLLMENT_REQUIRED");
        const customer = await strict.register();
        refused(await admin.get(`/users/${customer.id}`), 404, "USER_NOT_FOUND");
        ok(await customer.client.get("/users/me"));
        await enrol(strict.admin);
        ok(await admin.get("/users"));
    } finally {
        await strict.close();
    }
});
