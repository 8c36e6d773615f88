// Accounts of an OpenID Connect issuer: who its users are here, its keys as they come and go, its failures.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { SignJWT } from "jose";
import { Client, ok, refused, type Json } from "../support/client.ts";
import { sqlTime, sqlUuid } from "../support/database.ts";
import { AUDIENCE, Issuer, ecKey, rsaKey, token, nowSeconds, type Claims, type Mode } from "../support/issuer.ts";
import { mailsTo } from "../support/mail.ts";
import { Server, eventually } from "../support/server.ts";
import { PASSWORD, register, unique } from "../support/shop.ts";

let issuer: Issuer;
before(async () => { issuer = await Issuer.start(); });
after(() => issuer?.stop());

const meOf = (server: Server, text: string) => new Client(server.url, text).get("/users/me");
const tokenOf = (subject: string, change: Claims = {}) => issuer.good("oidc", { sub: subject, ...change });

async function running(run: (server: Server, guest: Client) => Promise<void>, env: Record<string, string> = {}): Promise<void> {
    const server = await Server.start({ env: issuer.env("oidc", env) });
    try {
        await run(server, new Client(server.url));
    } finally {
        await server.dispose();
    }
}

describe("who a user of the issuer is here", () => {
    let server: Server;
    let guest: Client;
    const env = { AUTH_ROLE_MAP: "shop admins=admin, clerks=order-clerk,everybody = customer", AUTH_ROLE_CLAIM: "groups", SOUK_JOB_INTERVAL_MS: "50" };
    before(async () => {
        server = await Server.start({ env: issuer.env("oidc", env) });
        guest = new Client(server.url);
    });
    after(() => server?.dispose());

    test("tokens that another library signs are taken, RS256 and ES256", async () => {
        for (const key of [issuer.rsa, issuer.ec]) {
            const text = await new SignJWT({ scope: "shop" }).setProtectedHeader({ alg: key.alg, kid: key.kid, typ: "JWT" })
                .setIssuer(issuer.url).setSubject("jose").setAudience([AUDIENCE, "https://other.example"]).setIssuedAt().setExpirationTime("10m").sign(key.privateKey);
            ok(await meOf(server, text));
        }
        ok(await meOf(server, token(issuer.rsa, issuer.claims("oidc"), { alg: "RS256", kid: "rsa-1" })));
        ok(await meOf(server, token(issuer.rsa, issuer.claims("oidc"), { alg: "RS256", kid: "rsa-1", typ: "application/at+jwt", x5t: "abc" })));
    });

    test("the first log-in makes the account, with the address that the issuer has verified, and welcomes", async () => {
        const email = `${unique("Amina")}@Example.com`;
        issuer.profiles.set("amina", { email, email_verified: true, given_name: "Amina", family_name: "Haddad" });
        const me = ok(await meOf(server, tokenOf("amina")));
        assert.deepEqual([me.email, me.emailVerified, me.firstName, me.lastName, me.role], [email, true, "Amina", "Haddad", "customer"]);
        assert.equal(ok(await meOf(server, tokenOf("amina"))).id, me.id);
        assert.notEqual(ok(await meOf(server, tokenOf("berta"))).id, me.id);
        await eventually("a welcome", () => mailsTo(server, email).length === 1);
    });

    test("claims of the token do instead of userinfo, and many first requests at once make one account", async () => {
        const email = `${unique("claims")}@example.com`;
        const replies = await Promise.all(Array.from({ length: 12 }, () => meOf(server, tokenOf("claims", { email, email_verified: true, given_name: "Cl" }))));
        const ids = new Set(replies.map((reply) => ok(reply).id));
        assert.equal(ids.size, 1);
        assert.equal(ok(replies[0]!).email, email);
    });

    test("an address that is not verified is not written down, nor is one that nobody can write to", async () => {
        for (const profile of [
            { email: "somebody@example.com" }, { email: "somebody@example.com", email_verified: false }, { email: "somebody@example.com", email_verified: "no" },
            { email: "a@b@c", email_verified: true }, { email: "a b@example.com", email_verified: true }, { email: "a\r\nb@example.com", email_verified: true },
            { email: 7, email_verified: true }, { email: `${"x".repeat(250)}@example.com`, email_verified: true },
        ]) {
            const subject = unique("unverified");
            issuer.profiles.set(subject, profile as Claims);
            const me = ok(await meOf(server, tokenOf(subject)));
            assert.match(me.email, /^[0-9a-f-]{36}@identity\.invalid$/);
            assert.equal(me.emailVerified, false);
        }
        await eventually("nothing waits to be mailed", () => server.database.number("SELECT COUNT(*) FROM outbox WHERE due_at IS NOT NULL") === 0);
    });

    /** An account as the shop itself made it, before it had an issuer. */
    const localAccount = (email: string, isVerified: boolean): string => {
        const id = crypto.randomUUID();
        server.sql(`INSERT INTO users (id, email, email_folded, password_hash, email_verified_at, created_at, updated_at) VALUES (${sqlUuid(id)}, '${email}',`
            + ` '${email}', '$argon2id$x', ${isVerified ? sqlTime(1) : "NULL"}, ${sqlTime(1)}, ${sqlTime(1)})`);
        return id;
    };

    test("an existing account is joined only where both sides have verified the address", async () => {
        const cases: [boolean, boolean, boolean][] = [[true, true, true], [true, false, false], [false, true, false], [false, false, false]];
        for (const [isHere, isThere, isJoined] of cases) {
            const email = `${unique("local")}@example.com`;
            const id = localAccount(email, isHere);
            const me = ok(await meOf(server, tokenOf(unique("joined"), { email, email_verified: isThere })));
            assert.equal(me.id === id, isJoined, JSON.stringify([isHere, isThere]));
            assert.equal(me.email === email, isJoined);
        }
    });

    test("groups become roles: the first of the map that fits; what the user may do is what they may do now", async () => {
        const at = nowSeconds();
        const roleOf = async (text: string) => ok(await meOf(server, text)).role as string;
        const first = tokenOf("groups", { groups: ["everybody", "clerks", "shop admins"], iat: at - 60 });
        assert.equal(await roleOf(first), "admin");
        ok(await new Client(server.url, first).get("/users"));
        const second = tokenOf("groups", { groups: ["clerks"], iat: at - 50 });
        assert.equal(await roleOf(second), "order-clerk");
        assert.equal(await roleOf(first), "order-clerk", "the older token may do no more than its user");
        assert.equal(await roleOf(tokenOf("groups", { groups: ["shop admins"], iat: at - 55 })), "order-clerk", "nor does another old one bring it back");
        const third = tokenOf("groups", { groups: "shop admins, clerks", iat: at - 40 });
        assert.equal(await roleOf(third), "customer", "a text is one group");
        refused(await new Client(server.url, first).get("/users"), 403, "FORBIDDEN");
        assert.equal(await roleOf(tokenOf("groups", { groups: "shop admins", iat: at - 30 })), "admin");
        assert.equal(await roleOf(tokenOf("groups", { groups: [1, null, { "shop admins": 1 }, "shop admins "], iat: at - 20 })), "customer");
        assert.equal(await roleOf(tokenOf("groups", { iat: at - 10 })), "customer");
    });

    test("an erased account: no token from before makes it anew, a later log-in is somebody new, and the subject is forgotten", async () => {
        const admin = new Client(server.url, tokenOf("boss", { groups: ["shop admins"] }));
        const email = `${unique("erased")}@example.com`;
        const claims = { email, email_verified: true };
        const [before, later] = [tokenOf("erased", claims), tokenOf("erased", { ...claims, iat: nowSeconds() + 20 })];
        const id = ok(await meOf(server, before)).id as string;
        const identities = () => server.database.number("SELECT COUNT(*) FROM identities WHERE subject = 'erased'");
        const accounts = () => server.database.number("SELECT COUNT(*) FROM users");
        ok(await admin.delete(`/users/${id}`), 204);
        const count = accounts();
        refused(await meOf(server, before), 401, "UNAUTHENTICATED");
        refused(await meOf(server, tokenOf("erased", { ...claims, iat: nowSeconds() - 60 })), 401, "UNAUTHENTICATED");
        assert.deepEqual([accounts(), identities()], [count, 1], "what was issued before makes nothing anew");

        // A day later every such token has expired.
        server.sql(`UPDATE users SET deleted_at = ${sqlTime(1)} WHERE id = ${sqlUuid(id)}`);
        server.sql(`UPDATE outbox SET due_at = ${sqlTime(1)} WHERE topic = 'user.erased' AND due_at IS NOT NULL`);
        await eventually("the subject is forgotten", () => identities() === 0);
        const me = ok(await meOf(server, later));
        assert.notEqual(me.id, id);
        assert.equal(me.email, email);
    });

    test("an account erased a moment ago starts anew with the next log-in", async () => {
        const admin = new Client(server.url, tokenOf("boss", { groups: ["shop admins"] }));
        const id = ok(await meOf(server, tokenOf("again"))).id as string;
        ok(await admin.delete(`/users/${id}`), 204);
        assert.notEqual(ok(await meOf(server, tokenOf("again", { iat: nowSeconds() + 20 }))).id, id);
    });

    test("a disabled account is refused, also with a new token", async () => {
        const admin = new Client(server.url, tokenOf("boss", { groups: ["shop admins"] }));
        const text = tokenOf("disabled");
        const id = ok(await meOf(server, text)).id as string;
        ok(await admin.patch(`/users/${id}`, { status: "disabled" }));
        refused(await meOf(server, text), 401, "UNAUTHENTICATED");
        refused(await meOf(server, tokenOf("disabled")), 401, "UNAUTHENTICATED");
    });

    test("logging out ends the token's session in this shop, and no other", async () => {
        const [one, other] = [tokenOf("leaver", { sid: "s-1" }), tokenOf("leaver", { sid: "s-2" })];
        ok(await meOf(server, one));
        ok(await meOf(server, other));
        ok(await new Client(server.url, one).post("/auth/logout"), 204);
        await eventually("it is refused", async () => (await meOf(server, one)).status === 401, 1000);
        refused(await meOf(server, tokenOf("leaver", { sid: "s-1" })), 401, "UNAUTHENTICATED");
        ok(await meOf(server, other));
    });

    test("the rest of /auth says where to go", async () => {
        for (const [path, body] of [
            ["/auth/register", { email: "a@example.com", password: PASSWORD }], ["/auth/login", { email: "a@example.com", password: PASSWORD }],
            ["/auth/refresh", { refreshToken: "x".repeat(43) }], ["/auth/password/forgot", { email: "a@example.com" }],
            ["/auth/password/reset", { token: "123456", newPassword: PASSWORD, email: "a@example.com" }], ["/auth/email/verify", { token: "123456", email: "a@example.com" }],
            ["/auth/verification", { email: "a@example.com" }],
        ] as const) {
            const problem = refused(await guest.post(path, body), 403, "EXTERNAL_IDENTITY") as Json;
            assert.equal(problem.issuer, issuer.url);
        }
        refused(await new Client(server.url, tokenOf("x")).post("/auth/password", { currentPassword: "x", newPassword: PASSWORD }), 403, "EXTERNAL_IDENTITY");
        ok(await guest.post("/auth/logout"), 204);
    });
});

describe("the issuer's keys", () => {
    const put = (mode: Mode) => { issuer.mode = mode; };
    after(() => put("good"));

    test("a new key is found when its first token comes; one that is gone signs no more", () => running(async (server) => {
        const old = issuer.rsa;
        const text = tokenOf("rotation");
        ok(await meOf(server, text));
        issuer.rsa = rsaKey("rsa-2");
        await eventually("the new key counts", async () => (await meOf(server, tokenOf("rotation"))).status === 200, 3000);
        refused(await meOf(server, text), 401, "UNAUTHENTICATED");
        refused(await meOf(server, issuer.good("oidc", { sub: "rotation" }, old)), 401, "UNAUTHENTICATED");
        issuer.rsa = rsaKey("rsa-2"); // the same name, another key
        const third = tokenOf("rotation");
        refused(await meOf(server, third), 401, "UNAUTHENTICATED");
        issuer.rsa = old;
    }));

    test("tokens of unknown keys make them be read at a bounded rate", () => running(async (server) => {
        ok(await meOf(server, tokenOf("rate")));
        const before = issuer.keyReads;
        const from = Date.now();
        const stranger = rsaKey("nobody's");
        for (let i = 0; i < 60; i++) refused(await meOf(server, token(stranger, issuer.claims("oidc"), { alg: "RS256", kid: `k${i}` })), 401, "UNAUTHENTICATED");
        const most = Math.ceil((Date.now() - from) / 1000) + 1;
        assert.ok(issuer.keyReads - before <= most, `${issuer.keyReads - before} reads, at most ${most}`);
        ok(await meOf(server, tokenOf("rate")));
    }, { SOUK_JWKS_INTERVAL_MS: "1000" }));

    test("while it is away the known keys stay, and a flood of forgeries holds up nobody", () => running(async (server, guest) => {
        ok(await meOf(server, tokenOf("outage")));
        await issuer.goAway();
        try {
            ok(await meOf(server, tokenOf("outage")));
            ok(await meOf(server, issuer.good("oidc", { sub: "newcomer" }, issuer.ec)));
            const stranger = ecKey("unknown");
            const flood = Array.from({ length: 80 }, (_, i) => meOf(server, token(stranger, issuer.claims("oidc"), { alg: "ES256", kid: `k${i}` })));
            const began = Date.now();
            ok(await guest.get("/products"));
            ok(await meOf(server, tokenOf("outage")));
            assert.ok(Date.now() - began < 2500, "the shop goes on");
            for (const reply of await Promise.all(flood)) assert.ok([401, 503].includes(reply.status), String(reply.status));
        } finally {
            await issuer.comeBack();
        }
        await eventually("it is back", async () => (await meOf(server, tokenOf("outage"))).status === 200);
    }));

    test("it may be away at the start: 503 with Retry-After until it is there", async () => {
        await issuer.goAway();
        try {
            await running(async (server, guest) => {
                const reply = await meOf(server, tokenOf("early"));
                refused(reply, 503, "UNAVAILABLE");
                assert.ok(reply.headers.get("retry-after"));
                ok(await guest.get("/products"));
                await issuer.comeBack();
                await eventually("it is there", async () => (await meOf(server, tokenOf("early"))).status === 200);
            });
        } finally {
            await issuer.goAway().catch(() => undefined);
            await issuer.comeBack();
        }
    });

    for (const mode of ["down", "stalled", "huge", "garbage", "empty", "redirect", "error"] as const) {
        test(`keys that are ${mode} change nothing`, () => running(async (server) => {
            ok(await meOf(server, tokenOf("kept")));
            put(mode);
            const stranger = rsaKey("unknown");
            refused(await meOf(server, token(stranger, issuer.claims("oidc"))), 401, "UNAUTHENTICATED");
            ok(await meOf(server, tokenOf("kept")));
            put("good");
        }, { SOUK_AUTH_TIMEOUT_MS: "500" }).finally(() => put("good")));

        test(`keys that are ${mode} at the start are none`, async () => {
            put(mode);
            await running(async (server) => {
                refused(await meOf(server, tokenOf("none")), 503, "UNAVAILABLE");
                put("good");
                await eventually("they are good", async () => (await meOf(server, tokenOf("none"))).status === 200);
            }, { SOUK_AUTH_TIMEOUT_MS: "500" }).finally(() => put("good"));
        });
    }

    test("slow keys are waited for, by as many as come", async () => {
        put("slow");
        await running(async (server) => {
            for (const reply of await Promise.all([1, 2, 3].map(() => meOf(server, tokenOf("slow"))))) ok(reply);
        }).finally(() => put("good"));
    });

    test("a discovery document of another issuer, or one that leads into the clear, is not believed", async () => {
        for (const discovery of [{ issuer: "https://evil.example" }, { jwks_uri: "http://keys.example/jwks" }, { jwks_uri: "file:///etc/passwd" }, { jwks_uri: undefined }]) {
            issuer.discovery = discovery;
            await running(async (server) => { refused(await meOf(server, tokenOf("x")), 503, "UNAVAILABLE"); }).finally(() => { issuer.discovery = {}; });
        }
    });

    test("an issuer whose certificate nobody vouches for is none", () => running(async (server) => {
        refused(await meOf(server, tokenOf("x")), 503, "UNAVAILABLE");
        assert.match(server.stderr, /keys cannot be read/);
    }, { SOUK_CA_FILE: "", SOUK_LOG: "warn" }));
});

test("settings that do not go together stop the start with one line", async () => {
    const server = await Server.start();
    try {
        ok(await (await register(new Client(server.url))).client.get("/users/me"));
        await server.terminate();
        const good = { AUTH_PROVIDER: "oidc", AUTH_ISSUER: "https://issuer.example", AUTH_AUDIENCE: "api" };
        const pool = { AUTH_PROVIDER: "cognito", COGNITO_USER_POOL_ID: "eu-west-1_AbCd", COGNITO_CLIENT_ID: "x" };
        for (const [env, line] of [
            [{ AUTH_PROVIDER: "ldap" }, /AUTH_PROVIDER .*must be local, cognito or oidc/],
            [{ ...good, AUTH_ISSUER: "" }, /AUTH_ISSUER must be set with AUTH_PROVIDER=oidc/],
            [{ ...good, AUTH_AUDIENCE: "" }, /AUTH_AUDIENCE must be set with AUTH_PROVIDER=oidc/],
            [{ ...good, AUTH_ISSUER: "http://issuer.example" }, /AUTH_ISSUER must start with https/],
            [{ ...good, AUTH_ISSUER: "https://user:hunter2@issuer.example" }, /AUTH_ISSUER must hold no user/],
            [{ ...good, COGNITO_CLIENT_ID: "x" }, /COGNITO_CLIENT_ID go with AUTH_PROVIDER=cognito/],
            [{ ...good, AUTH_ROLE_MAP: "admins" }, /AUTH_ROLE_MAP must be group=role/],
            [{ ...good, AUTH_ROLE_MAP: "admins=Admin!" }, /AUTH_ROLE_MAP must be group=role/],
            [{ ...pool, COGNITO_USER_POOL_ID: "" }, /COGNITO_USER_POOL_ID must be set/],
            [{ ...pool, COGNITO_USER_POOL_ID: "a/b" }, /COGNITO_USER_POOL_ID must be set/],
            [{ ...pool, COGNITO_CLIENT_ID: "" }, /COGNITO_CLIENT_ID must be set/],
            [{ ...pool, AWS_REGION: "eu west" }, /AWS_REGION must be a region/],
            [{ ...pool, COGNITO_ENDPOINT: "http://cognito.example" }, /COGNITO_ENDPOINT must start with https/],
        ] as const) {
            const result = await server.run(["serve", "--listen", "127.0.0.1:0"], { env });
            assert.notEqual(result.code, 0, JSON.stringify(env));
            assert.match(result.stderr, line);
            assert.equal(result.stderr.trim().split("\n").length, 1, result.stderr);
            assert.ok(!result.stderr.includes("hunter2"));
        }
    } finally {
        await server.dispose();
    }
});
