// Registering, logging in and out, refreshing, passwords, cookies.
import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, sign } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { Client, fieldsOf, invalid, ok, refused, type Json, type Reply } from "../support/client.ts";
import { sqlHex, sqlSpan, sqlTime, sqlUuid } from "../support/database.ts";
import { eventually } from "../support/server.ts";
import { PASSWORD, Shop, logIn, newId, register, unique } from "../support/shop.ts";
import { mailedToken } from "../support/mail.ts";

let shop: Shop;
let guest: Client;
before(async () => {
    shop = await Shop.open({ env: { SOUK_JOB_INTERVAL_MS: "50" } });
    guest = shop.guest;
});
after(() => shop?.close());

/** Its access token is refused within a second. */
const refusedSoon = (client: Client) =>
    eventually("the access token is refused", async () => (await client.get("/users/me")).status === 401, 1000);
const isGood = async (client: Client) => assert.equal((await client.get("/users/me")).status, 200);

describe("registering", () => {
    test("opens a customer's account and logs in", async () => {
        const email = `${unique("Amina")}@Example.com`;
        const reply = await guest.post("/auth/register", { email, password: PASSWORD, firstName: "Amina", lastName: "Haddad" });
        const session = ok(reply, 201);
        assert.equal(session.tokenType, "Bearer");
        assert.equal(session.expiresIn, 900);
        assert.equal(session.cartId, null);
        assert.match(session.refreshToken, /^[A-Za-z0-9_-]{43}$/);
        assert.equal(session.user.email, email, "as it was typed");
        assert.deepEqual([session.user.role, session.user.status, session.user.emailVerified], ["customer", "active", false]);
        assert.deepEqual([session.user.firstName, session.user.lastName, session.user.phone, session.user.preferences], ["Amina", "Haddad", null, {}]);
        assert.equal(reply.headers.get("set-cookie"), null);
        assert.deepEqual(ok(await guest.as(session.accessToken).get("/users/me")).id, session.user.id);
        refused(await guest.post("/auth/register", { email: email.toLowerCase(), password: PASSWORD }), 409, "EMAIL_TAKEN");
        refused(await guest.post("/auth/register", { email: email.toUpperCase(), password: PASSWORD }), 409, "EMAIL_TAKEN");
    });

    test("never accepts a role, a status or a verified address", async () => {
        for (const extra of [{ role: "admin" }, { role: "customer" }, { status: "active" }, { emailVerified: true }, { scopes: ["orders:read"] }, { id: newId() }]) {
            const email = `${unique("rogue")}@example.com`;
            invalid(await guest.post("/auth/register", { email, password: PASSWORD, ...extra }), Object.keys(extra)[0]!);
            refused(await guest.post("/auth/login", { email, password: PASSWORD }), 401, "INVALID_CREDENTIALS");
        }
    });

    test("names what is wrong", async () => {
        const password = (await guest.post("/auth/register", { email: `${unique("x")}@example.com`, password: "short" }));
        invalid(password, "password");
        assert.ok(!password.text.includes("short"), "a password is never repeated");
        invalid(await guest.post("/auth/register", { email: `${unique("x")}@example.com`, password: "x".repeat(129) }), "password");
        for (const email of ["", "plain", "a@", "@b.com", "a b@example.com", "a@b@example.com", "a@example.com\n", `${"x".repeat(250)}@example.com`, "a@example..com", "<a@example.com>"]) {
            invalid(await guest.post("/auth/register", { email, password: PASSWORD }), "email");
        }
        invalid(await guest.post("/auth/register", {}), "email", "password");
        assert.equal((await guest.post("/auth/register", { email: `${unique("x")}@example.com`, password: PASSWORD }, { key: newId() })).status, 400,
            "its reply holds a secret, so it takes no Idempotency-Key");
    });

    test("a password may be any text of 8 characters", async () => {
        for (const password of ["12345678", " 1234567", "пароль-пароль", "🧵🧵🧵🧵🧵🧵🧵🧵", "a".repeat(128)]) {
            const account = await shop.register({ password });
            ok(await guest.post("/auth/login", { email: account.email, password }));
            refused(await guest.post("/auth/login", { email: account.email, password: `${[...password].slice(0, -1).join("")}x` }), 401, "INVALID_CREDENTIALS");
        }
    });
});

describe("logging in", () => {
    test("the address's case does not matter, the password's does", async () => {
        const account = await shop.register();
        const session = ok(await guest.post("/auth/login", { email: account.email.toUpperCase(), password: PASSWORD }));
        assert.equal(session.user.id, account.id);
        assert.ok(session.user.lastLoginAt !== null);
        refused(await guest.post("/auth/login", { email: account.email, password: PASSWORD.toUpperCase() }), 401, "INVALID_CREDENTIALS");
    });

    test("an unknown address, a wrong password and a disabled account answer the same", async () => {
        const account = await shop.register();
        const disabled = await shop.register();
        ok(await shop.admin.client.patch(`/users/${disabled.id}`, { status: "disabled" }));
        const replies = [
            await guest.post("/auth/login", { email: account.email, password: "wrong password" }),
            await guest.post("/auth/login", { email: "nobody@example.com", password: PASSWORD }),
            await guest.post("/auth/login", { email: disabled.email, password: PASSWORD }),
        ];
        const bodies = replies.map((reply) => {
            const { requestId: _, ...rest } = refused(reply, 401, "INVALID_CREDENTIALS");
            return rest;
        });
        assert.deepEqual(bodies[1], bodies[0]);
        assert.deepEqual(bodies[2], bodies[0]);
    });

    test("each log-in is a session of its own", async () => {
        const account = await shop.register();
        const other = await logIn(guest, account.email);
        ok(await account.client.post("/auth/logout"), 204);
        await refusedSoon(account.client);
        await isGood(other.client);
    });
});

describe("access tokens", () => {
    const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

    test("an empty or forged one is 401, everywhere and for everything", async () => {
        const account = await shop.register();
        const [head, claims, signature] = account.session.accessToken.split(".") as [string, string, string];
        const header = JSON.parse(Buffer.from(head, "base64url").toString());
        const payload = JSON.parse(Buffer.from(claims, "base64url").toString());
        const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
        const signed = (h: unknown, p: unknown) => {
            const text = `${encode(h)}.${encode(p)}`;
            return `${text}.${sign("sha256", Buffer.from(text), privateKey).toString("base64url")}`;
        };
        const hmac = (h: unknown, p: unknown, key: string) => {
            const text = `${encode(h)}.${encode(p)}`;
            return `${text}.${createHmac("sha256", key).update(text).digest("base64url")}`;
        };
        const jwks = (await guest.get("/.well-known/jwks.json")).text;
        const forged: Record<string, string> = {
            "empty": "",
            "no dots": "abc",
            "two parts": `${head}.${claims}`,
            "no signature": `${head}.${claims}.`,
            "a cut signature": `${head}.${claims}.${signature.slice(0, -4)}`,
            "a changed signature": `${head}.${claims}.${signature[0] === "A" ? "B" : "A"}${signature.slice(1)}`,
            "another subject": `${head}.${encode({ ...payload, sub: shop.admin.id })}.${signature}`,
            "alg none": `${encode({ ...header, alg: "none" })}.${claims}.`,
            "alg none, admin": `${encode({ alg: "none", typ: header.typ })}.${encode({ ...payload, sub: shop.admin.id })}.`,
            "HS256 with the published key": hmac({ ...header, alg: "HS256" }, { ...payload, sub: shop.admin.id }, jwks),
            "HS256 with the public key's PEM": hmac({ ...header, alg: "HS256" }, payload, publicKey.export({ type: "spki", format: "pem" }).toString()),
            "a key of its own": signed(header, payload),
            "a key of its own under another kid": signed({ ...header, kid: "mine" }, payload),
            "a key that it brings along": signed({ ...header, jwk: publicKey.export({ format: "jwk" }) }, payload),
            "a refresh token": account.session.refreshToken,
            "very long": `${head}.${"A".repeat(6000)}.${signature}`,
            "JSON": "{\"sub\":\"x\"}",
        };
        for (const [what, token] of Object.entries(forged)) {
            for (const path of ["/users/me", "/products", `/cart/${newId()}`, "/orders"]) {
                const reply = await guest.get(path, { headers: { authorization: `Bearer ${token}` } });
                refused(reply, 401, "UNAUTHENTICATED");
                assert.match(reply.headers.get("www-authenticate") ?? "", /^Bearer/, what);
            }
        }
        for (const value of ["Bearer", "Basic YWRtaW46YWRtaW4=", account.session.accessToken, `Token ${account.session.accessToken}`]) {
            refused(await guest.get("/users/me", { headers: { authorization: value } }), 401, "UNAUTHENTICATED");
        }
        refused(await guest.get("/users/me"), 401, "UNAUTHENTICATED");
        refused(await guest.get("/users/me", { query: { access_token: account.session.accessToken }, judge: false }), 401, "UNAUTHENTICATED");
        await isGood(account.client);
    });

    test("the scheme's case does not matter", async () => {
        const account = await shop.register();
        assert.equal((await guest.get("/users/me", { headers: { authorization: `bearer ${account.session.accessToken}` } })).status, 200);
    });

    test("an expired one is 401", async () => {
        const short = await Shop.open({ env: { SOUK_ACCESS_TOKEN_SECONDS: "1" } });
        try {
            const account = await short.register();
            assert.equal(account.session.expiresIn, 1);
            await eventually("it expires", async () => (await account.client.get("/users/me")).status === 401, 5000);
            refused(await account.client.get("/users/me"), 401, "UNAUTHENTICATED");
            const session = ok(await short.guest.post("/auth/refresh", { refreshToken: account.session.refreshToken }));
            await isGood(short.guest.as(session.accessToken));
        } finally {
            await short.close();
        }
    });
});

describe("refreshing", () => {
    const refresh = (refreshToken: string) => guest.post("/auth/refresh", { refreshToken });

    test("gives a fresh pair, of the same session", async () => {
        const account = await shop.register();
        const next = ok(await refresh(account.session.refreshToken));
        assert.notEqual(next.refreshToken, account.session.refreshToken);
        assert.equal(next.user.id, account.id);
        await isGood(guest.as(next.accessToken));
        await isGood(account.client);
        ok(await refresh(next.refreshToken));
    });

    test("a lost reply may be asked for again, for a short while", async () => {
        const account = await shop.register();
        const first = ok(await refresh(account.session.refreshToken));
        const again = ok(await refresh(account.session.refreshToken));
        await isGood(guest.as(again.accessToken));
        ok(await refresh(again.refreshToken));
        await isGood(guest.as(first.accessToken));
    });

    test("using an old one later ends the whole session", async () => {
        const account = await shop.register();
        const first = ok(await refresh(account.session.refreshToken));
        const second = ok(await refresh(first.refreshToken));
        // as if it had been used a minute ago
        shop.server.sql(`UPDATE refresh_tokens SET used_at = used_at - ${sqlSpan(60_000)} WHERE used_at IS NOT NULL`);
        refused(await refresh(account.session.refreshToken), 401, "INVALID_TOKEN");
        await refusedSoon(guest.as(second.accessToken));
        await refusedSoon(account.client);
        refused(await refresh(second.refreshToken), 401, "INVALID_TOKEN");
    });

    test("unknown, expired and missing ones are refused", async () => {
        refused(await refresh("x".repeat(43)), 401, "INVALID_TOKEN");
        refused(await guest.post("/auth/refresh", {}), 401, "INVALID_TOKEN");
        refused(await guest.post("/auth/refresh"), 401, "INVALID_TOKEN");
        const account = await shop.register();
        refused(await refresh(account.session.accessToken.slice(0, 128)), 401, "INVALID_TOKEN");
        shop.server.sql(`UPDATE refresh_tokens SET expires_at = ${sqlTime(1)} WHERE session_id IN (SELECT id FROM sessions WHERE user_id = ${sqlUuid(account.id)})`);
        refused(await refresh(account.session.refreshToken), 401, "INVALID_TOKEN");
        invalid(await guest.post("/auth/refresh", { refreshToken: 7 }), "refreshToken");
    });

    test("is never kept in the clear", async () => {
        const account = await shop.register();
        const dump = JSON.stringify(shop.server.sql(`SELECT ${sqlHex("token_hash")} AS h FROM refresh_tokens`));
        assert.ok(!dump.includes(Buffer.from(account.session.refreshToken, "base64url").toString("hex")));
        assert.ok(!dump.includes(Buffer.from(account.session.refreshToken).toString("hex")));
    });
});

describe("logging out", () => {
    test("ends the session of the access token", async () => {
        const account = await shop.register();
        ok(await account.client.post("/auth/logout"), 204);
        await refusedSoon(account.client);
        refused(await guest.post("/auth/refresh", { refreshToken: account.session.refreshToken }), 401, "INVALID_TOKEN");
    });

    test("or of the refresh token in the body", async () => {
        const account = await shop.register();
        ok(await guest.post("/auth/logout", { refreshToken: account.session.refreshToken }), 204);
        await refusedSoon(account.client);
        refused(await guest.post("/auth/refresh", { refreshToken: account.session.refreshToken }), 401, "INVALID_TOKEN");
    });

    test("when there is nothing to end, that is fine", async () => {
        ok(await guest.post("/auth/logout"), 204);
        ok(await guest.post("/auth/logout", {}), 204);
        ok(await guest.post("/auth/logout", { refreshToken: "x".repeat(43) }), 204);
        invalid(await guest.post("/auth/logout", { refreshToken: 1 }), "refreshToken");
    });
});

describe("changing the password", () => {
    test("ends all sessions and gives this caller a new one", async () => {
        const account = await shop.register();
        const other = await logIn(guest, account.email);
        const next = "staple of the same horse";
        const session = ok(await account.client.post("/auth/password", { currentPassword: PASSWORD, newPassword: next }));
        await refusedSoon(other.client);
        await refusedSoon(account.client);
        refused(await guest.post("/auth/refresh", { refreshToken: other.session.refreshToken }), 401, "INVALID_TOKEN");
        await isGood(guest.as(session.accessToken));
        ok(await guest.post("/auth/refresh", { refreshToken: session.refreshToken }));
        refused(await guest.post("/auth/login", { email: account.email, password: PASSWORD }), 401, "INVALID_CREDENTIALS");
        ok(await guest.post("/auth/login", { email: account.email, password: next }));
    });

    test("needs the present one", async () => {
        const account = await shop.register();
        invalid(await account.client.post("/auth/password", { currentPassword: "wrong password", newPassword: "another password" }), "currentPassword");
        invalid(await account.client.post("/auth/password", { currentPassword: PASSWORD, newPassword: "short" }), "newPassword");
        await isGood(account.client);
        ok(await guest.post("/auth/login", { email: account.email, password: PASSWORD }));
    });
});

describe("resetting a password", () => {
    test("the message's token sets a new one, once", async () => {
        const account = await shop.register();
        ok(await guest.post("/auth/password/forgot", { email: account.email.toUpperCase() }), 202);
        const token = await mailedToken(shop.server, "reset_password", account);
        const newPassword = "a wholly new password";
        invalid(await guest.post("/auth/password/reset", { token, newPassword: "short" }), "newPassword");
        ok(await guest.post("/auth/password/reset", { token, newPassword }), 204);
        await refusedSoon(account.client);
        refused(await guest.post("/auth/refresh", { refreshToken: account.session.refreshToken }), 401, "INVALID_TOKEN");
        ok(await guest.post("/auth/login", { email: account.email, password: newPassword }));
        refused(await guest.post("/auth/login", { email: account.email, password: PASSWORD }), 401, "INVALID_CREDENTIALS");
        refused(await guest.post("/auth/password/reset", { token, newPassword: "once more, please" }), 400, "INVALID_TOKEN");
    });

    test("an expired or unknown token is refused, and nothing tells whether an account exists", async () => {
        const account = await shop.register();
        const known = await guest.post("/auth/password/forgot", { email: account.email });
        const unknown = await guest.post("/auth/password/forgot", { email: "nobody@example.com" });
        ok(known, 202);
        ok(unknown, 202);
        assert.equal(unknown.text, known.text);
        const token = await mailedToken(shop.server, "reset_password", account);
        shop.server.sql(`UPDATE account_tokens SET expires_at = ${sqlTime(1)} WHERE user_id = ${sqlUuid(account.id)} AND purpose = 'reset_password'`);
        refused(await guest.post("/auth/password/reset", { token, newPassword: PASSWORD }), 400, "INVALID_TOKEN");
        refused(await guest.post("/auth/password/reset", { token: "x".repeat(43), newPassword: PASSWORD }), 400, "INVALID_TOKEN");
        invalid(await guest.post("/auth/password/forgot", { email: "nobody" }), "email");
    });

    test("a token verifies the address it was sent to, and is good for nothing else", async () => {
        const account = await shop.register();
        const token = await mailedToken(shop.server, "verify_email", account);
        refused(await guest.post("/auth/password/reset", { token, newPassword: "another password" }), 400, "INVALID_TOKEN");
        assert.equal(ok(await account.client.get("/users/me")).emailVerified, false);
        ok(await guest.post("/auth/email/verify", { token }), 204);
        assert.equal(ok(await account.client.get("/users/me")).emailVerified, true);
        refused(await guest.post("/auth/email/verify", { token }), 400, "INVALID_TOKEN");
        refused(await guest.post("/auth/email/verify", { token: "x".repeat(43) }), 400, "INVALID_TOKEN");
        invalid(await guest.post("/auth/email/verify", {}), "token");
    });
});

describe("asking for the verification message again", () => {
    const sent = () => Number(shop.server.sql("SELECT COUNT(*) AS n FROM outbox WHERE topic = 'user.verify_email'")[0]!.n);
    const ask = (email: string) => guest.post("/auth/verification", { email });
    /** As if every message had been sent two minutes ago. */
    const age = () => shop.server.sql(`UPDATE account_tokens SET created_at = ${sqlTime(Date.now() - 120_000)} WHERE purpose = 'verify_email'`);

    test("sends one a minute at most, whose token verifies the address", async () => {
        const account = await shop.register();
        const first = await mailedToken(shop.server, "verify_email", account);
        let before = sent();
        ok(await ask(account.email), 202); // registering sent one just now
        assert.equal(sent(), before);
        age();
        before = sent();
        for (let i = 0; i < 3; i++) ok(await ask(i === 1 ? account.email.toUpperCase() : account.email), 202);
        assert.equal(sent(), before + 1);
        const second = await eventually("the second message", async () => {
            const token = await mailedToken(shop.server, "verify_email", account);
            return token === first ? undefined : token;
        });
        ok(await guest.post("/auth/email/verify", { token: second }), 204);
        assert.equal(ok(await account.client.get("/users/me")).emailVerified, true);
    });

    test("sends none to who is verified, disabled or nobody, and never says so", async () => {
        const [known, verified, disabled] = [await shop.register(), await shop.register(), await shop.register()];
        ok(await guest.post("/auth/email/verify", { token: await mailedToken(shop.server, "verify_email", verified) }), 204);
        shop.server.sql(`UPDATE users SET status = 'disabled' WHERE id = ${sqlUuid(disabled.id)}`);
        age();
        const before = sent();
        const answers = [];
        for (const email of [verified.email, disabled.email, "nobody@example.com", known.email]) answers.push(await ask(email));
        for (const reply of answers) assert.deepEqual([reply.status, reply.text], [202, ""]);
        assert.equal(sent(), before + 1, "to the one that is neither");
        invalid(await ask("nobody"), "email");
    });

    test("counts with the other mails to an address: five an hour", async () => {
        const account = await shop.register();
        const before = sent();
        for (let i = 0; i < 7; i++) {
            age();
            ok(await ask(account.email), 202);
        }
        assert.equal(sent(), before + 5);
    });
});

describe("cookie sessions", () => {
    const origin = () => shop.server.origin;
    const otherScheme = () => (origin().startsWith("http:") ? origin().replace("http:", "https:") : origin().replace("https:", "http:"));
    const cookieOf = (reply: Reply) => {
        const lines = reply.headers.getSetCookie().filter((line) => line.startsWith("souk_refresh="));
        assert.equal(lines.length, 1, "one cookie");
        const [pair, ...attributes] = lines[0]!.split(/; */);
        const at = pair!.indexOf("=");
        return { name: pair!.slice(0, at), value: pair!.slice(at + 1), pair: pair!, attributes: attributes.map((one) => one.toLowerCase()) };
    };
    const open = async () => {
        const account = await shop.register();
        const reply = await guest.post("/auth/login", { email: account.email, password: PASSWORD, session: "cookie" }, { headers: { origin: origin() } });
        return { account, session: ok(reply), cookie: cookieOf(reply) };
    };
    const refresh = (cookie: string, headers: Record<string, string> = { origin: origin() }, body?: Json) =>
        guest.post("/auth/refresh", body, { headers: { cookie, ...headers } });

    test("the refresh token is in a cookie that no script and no other site can use", async () => {
        const { session, cookie } = await open();
        assert.equal(session.refreshToken, null, "nowhere in the body");
        assert.equal(cookie.name, "souk_refresh");
        assert.match(cookie.value, /^[A-Za-z0-9_-]{43}$/);
        for (const attribute of ["httponly", "samesite=strict", "path=/auth"]) assert.ok(cookie.attributes.includes(attribute), `${attribute} in ${cookie.attributes.join("; ")}`);
        assert.equal(cookie.attributes.includes("secure"), origin().startsWith("https:"), "not on loopback, where there is no TLS");
        assert.ok(!cookie.attributes.some((one) => one.startsWith("domain=")));
        const age = cookie.attributes.find((one) => one.startsWith("max-age="));
        assert.ok(age && Number(age.slice(8)) > 86400, "it outlives the browser");
        const registered = await guest.post("/auth/register", { email: `${unique("c")}@example.com`, password: PASSWORD, session: "cookie" }, { headers: { origin: origin() } });
        assert.equal(ok(registered, 201).refreshToken, null);
        assert.equal(cookieOf(registered).name, "souk_refresh");
    });

    test("refreshing rotates the cookie", async () => {
        const { cookie } = await open();
        const reply = await refresh(cookie.pair);
        const session = ok(reply);
        assert.equal(session.refreshToken, null);
        const next = cookieOf(reply);
        assert.notEqual(next.value, cookie.value);
        await isGood(guest.as(session.accessToken));
        ok(await refresh(`other=1; ${next.pair}; last=x`));
    });

    test("a foreign or missing Origin is refused, and the session lives on", async () => {
        const { cookie } = await open();
        for (const headers of [{ origin: "https://evil.example" }, { origin: "null" }, { origin: `${origin()}.evil.example` }, { origin: otherScheme() }, {}] as Record<string, string>[]) {
            const reply = await refresh(cookie.pair, headers);
            assert.equal(reply.status, 403, `${JSON.stringify(headers)}: ${reply.text}`);
            assert.equal(reply.body.code, "FORBIDDEN");
            assert.deepEqual(reply.headers.getSetCookie(), []);
        }
        ok(await refresh(cookie.pair));
        const foreign = await guest.post("/auth/logout", undefined, { headers: { cookie: cookie.pair, origin: "https://evil.example" } });
        assert.equal(foreign.status, 403, "nor can another site log somebody out");
    });

    test("a token for the body is no cookie, and the cookie is no bearer", async () => {
        const { cookie, account } = await open();
        refused(await guest.get("/users/me", { headers: { cookie: cookie.pair, origin: origin() } }), 401, "UNAUTHENTICATED");
        refused(await guest.get("/users/me", { headers: { authorization: `Bearer ${cookie.value}` } }), 401, "UNAUTHENTICATED");
        refused(await refresh(`souk_refresh=${account.session.refreshToken}x`), 401, "INVALID_TOKEN");
    });

    test("logging out clears the cookie and ends the session", async () => {
        const { session, cookie } = await open();
        const reply = await guest.post("/auth/logout", undefined, { headers: { cookie: cookie.pair, origin: origin() } });
        ok(reply, 204);
        const cleared = cookieOf(reply);
        assert.deepEqual([cleared.name, cleared.value], ["souk_refresh", ""]);
        assert.ok(cleared.attributes.includes("max-age=0") || cleared.attributes.some((one) => one.startsWith("expires=thu, 01 jan 1970")));
        assert.ok(cleared.attributes.includes("path=/auth"));
        await refusedSoon(guest.as(session.accessToken));
        refused(await refresh(cookie.pair), 401, "INVALID_TOKEN");
    });
});

describe("roles and status", () => {
    test("a change of role or status ends the account's sessions", async () => {
        const account = await shop.register();
        ok(await shop.admin.client.patch(`/users/${account.id}`, { role: "staff" }));
        await refusedSoon(account.client);
        refused(await guest.post("/auth/refresh", { refreshToken: account.session.refreshToken }), 401, "INVALID_TOKEN");
        const staff = await logIn(guest, account.email);
        assert.equal(staff.session.user.role, "staff");
        ok(await staff.client.get("/settings"));
        ok(await shop.admin.client.patch(`/users/${account.id}`, { role: "customer" }));
        await refusedSoon(staff.client);
        const customer = await logIn(guest, account.email);
        refused(await customer.client.get("/settings"), 403, "FORBIDDEN");
        ok(await shop.admin.client.patch(`/users/${account.id}`, { status: "disabled" }));
        await refusedSoon(customer.client);
        refused(await guest.post("/auth/login", { email: account.email, password: PASSWORD }), 401, "INVALID_CREDENTIALS");
        ok(await shop.admin.client.patch(`/users/${account.id}`, { status: "active" }));
        await logIn(guest, account.email);
    });

    test("a deleted account cannot be used", async () => {
        const account = await register(guest);
        ok(await shop.admin.client.delete(`/users/${account.id}`), 204);
        await refusedSoon(account.client);
        refused(await guest.post("/auth/login", { email: account.email, password: PASSWORD }), 401, "INVALID_CREDENTIALS");
        ok(await guest.post("/auth/register", { email: account.email, password: PASSWORD }), 201);
    });
});

test("a token in a query, a body or a header of another name is never repeated in a reply", async () => {
    const account = await shop.register();
    const reply = await guest.post("/auth/refresh", { refreshtoken: account.session.refreshToken });
    assert.deepEqual(fieldsOf(reply), ["refreshtoken"]);
    assert.ok(!reply.text.includes(account.session.refreshToken));
});
