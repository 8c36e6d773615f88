// Accounts in a Cognito user pool: the pool is made and looked after by the official SDK, customers use the shop's own /auth.
import assert from "node:assert/strict";
import { GetUserCommand, InitiateAuthCommand, SignUpCommand } from "@aws-sdk/client-cognito-identity-provider";
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { Client, invalid, ok, refused, type Json } from "../support/client.ts";
import { Pool, hasMoto } from "../support/cognito.ts";
import { sqlUuid } from "../support/database.ts";
import { claimsOf, jwkOf, rsaKey } from "../support/issuer.ts";
import { Server, eventually } from "../support/server.ts";
import { PASSWORD, createCart, unique } from "../support/shop.ts";

const NEXT = "Another-Passw0rd!";

describe("cognito-local", () => {
    let pool: Pool;
    let server: Server;
    let guest: Client;
    before(async () => {
        pool = await Pool.start("cognito-local");
        server = await Server.start({ env: pool.env() });
        guest = new Client(server.url);
    });
    after(async () => {
        await server?.dispose();
        await pool?.stop();
    });

    /** Signed up, confirmed by the code, with a verified address; not logged in. */
    async function member(name: string): Promise<string> {
        const email = `${unique(name)}@example.com`;
        ok(await guest.post("/auth/register", { email, password: PASSWORD, firstName: "Amina", lastName: "Haddad" }), 202);
        ok(await guest.post("/auth/email/verify", { email, token: await pool.codeOf(email) }), 204);
        await pool.verifyEmail(email);
        return email;
    }
    const logIn = async (email: string, password = PASSWORD, input: Json = {}): Promise<Json> => ok(await guest.post("/auth/login", { email, password, ...input }));
    const as = (session: Json) => guest.as(session.accessToken);

    test("sign-up, code, log-in, and our API with the token", async () => {
        const email = `${unique("amina")}@example.com`;
        ok(await guest.post("/auth/register", { email, password: PASSWORD, firstName: "Amina", lastName: "Haddad" }), 202);
        refused(await guest.post("/auth/login", { email, password: PASSWORD }), 401, "INVALID_CREDENTIALS");
        refused(await guest.post("/auth/email/verify", { email, token: "000000x" }), 400, "INVALID_TOKEN");
        invalid(await guest.post("/auth/email/verify", { token: "123456" }), "email");
        ok(await guest.post("/auth/email/verify", { email, token: await pool.codeOf(email) }), 204);
        await pool.verifyEmail(email);
        const session = await logIn(email);
        assert.deepEqual([session.tokenType, session.cartId, session.user.email, session.user.emailVerified, session.user.role], ["Bearer", null, email, true, "customer"]);
        assert.deepEqual([session.user.firstName, session.user.lastName], ["Amina", "Haddad"]);
        assert.ok(session.expiresIn > 0 && session.user.lastLoginAt !== null);
        assert.equal(claimsOf(session.accessToken).token_use, "access");
        assert.equal(ok(await as(session).get("/users/me")).id, session.user.id);
        ok(await as(session).get("/orders"));
        assert.equal((await logIn(email)).user.id, session.user.id, "the same account each time");
        // the token is the pool's own
        const user = await pool.sdk.send(new GetUserCommand({ AccessToken: session.accessToken }));
        assert.ok(user.UserAttributes?.some((one) => one.Name === "email" && one.Value === email));
    });

    test("a user that the SDK signed up and logged in is the same to us", async () => {
        const email = `${unique("sdk")}@example.com`;
        await pool.sdk.send(new SignUpCommand({ ClientId: pool.clientId, Username: email, Password: PASSWORD, UserAttributes: [{ Name: "email", Value: email }] }));
        await pool.confirm(email);
        const auth = await pool.sdk.send(new InitiateAuthCommand({ ClientId: pool.clientId, AuthFlow: "USER_PASSWORD_AUTH", AuthParameters: { USERNAME: email, PASSWORD } }));
        const { AccessToken, IdToken } = auth.AuthenticationResult!;
        const me = ok(await guest.as(AccessToken!).get("/users/me"));
        assert.match(me.email, /@identity\.invalid$/, "its address was not verified when it came first");
        refused(await guest.as(IdToken!).get("/users/me"), 401, "UNAUTHENTICATED");
        assert.equal((await logIn(email)).user.id, me.id);
    });

    test("what exists is told to nobody", async () => {
        const email = await member("quiet");
        const bodies = [];
        for (const [who, password] of [[email, "Wrong-Passw0rd!"], ["nobody@example.com", PASSWORD], [email, "x"]] as const) {
            const { requestId: _, ...rest } = refused(await guest.post("/auth/login", { email: who, password }), 401, "INVALID_CREDENTIALS");
            bodies.push(rest);
        }
        assert.deepEqual(bodies[1], bodies[0]);
        assert.deepEqual(bodies[2], bodies[0]);
        const again = await guest.post("/auth/register", { email, password: PASSWORD });
        assert.deepEqual([again.status, again.text], [202, ""], "as for a new one");
        for (const who of [email, "nobody@example.com"]) {
            const reply = await guest.post("/auth/password/forgot", { email: who });
            assert.deepEqual([reply.status, reply.text], [202, ""]);
        }
        for (const who of [email, "nobody@example.com"]) {
            refused(await guest.post("/auth/password/reset", { email: who, token: "nonsense", newPassword: NEXT }), 400, "INVALID_TOKEN");
            refused(await guest.post("/auth/email/verify", { email: who, token: "nonsense" }), 400, "INVALID_TOKEN");
        }
    });

    test("refreshing keeps the refresh token and gives a new access token", async () => {
        const session = await logIn(await member("refresh"));
        const next = ok(await guest.post("/auth/refresh", { refreshToken: session.refreshToken }));
        assert.notEqual(next.accessToken, session.accessToken);
        assert.equal(next.user.id, session.user.id);
        ok(await as(next).get("/users/me"));
        ok(await guest.post("/auth/refresh", { refreshToken: next.refreshToken }));
        for (const refreshToken of ["x", "x".repeat(43), "a.b.c", `${session.refreshToken}x`, `x${session.refreshToken}`, session.refreshToken.slice(session.refreshToken.indexOf(".") + 1)]) {
            refused(await guest.post("/auth/refresh", { refreshToken }), 401, "INVALID_TOKEN");
        }
        const dump = JSON.stringify(server.sql("SELECT * FROM refresh_tokens"));
        assert.ok(!dump.includes(session.refreshToken) && !dump.includes(session.refreshToken.split(".").at(-1)!));
    });

    test("the refresh token may live in the cookie", async () => {
        const email = await member("cookie");
        const reply = await guest.post("/auth/login", { email, password: PASSWORD, session: "cookie" });
        assert.equal(ok(reply).refreshToken, null);
        const cookie = /souk_refresh=[^;]+/.exec(reply.headers.get("set-cookie") ?? "")![0];
        const renewed = await guest.post("/auth/refresh", undefined, { headers: { cookie, origin: server.origin } });
        assert.equal(ok(renewed).refreshToken, null);
        refused(await guest.post("/auth/refresh", undefined, { headers: { cookie, origin: "https://evil.example" } }), 403, "FORBIDDEN");
        ok(await guest.post("/auth/logout", undefined, { headers: { cookie, origin: server.origin } }), 204);
        refused(await guest.post("/auth/refresh", undefined, { headers: { cookie, origin: server.origin } }), 401, "INVALID_TOKEN");
    });

    test("logging out ends the access token here within a second, and the refresh token with it", async () => {
        const session = await logIn(await member("leaver"));
        ok(await as(session).get("/users/me"));
        ok(await as(session).post("/auth/logout", { refreshToken: session.refreshToken }), 204);
        await eventually("it is refused", async () => (await as(session).get("/users/me")).status === 401, 1000);
        refused(await guest.post("/auth/refresh", { refreshToken: session.refreshToken }), 401, "INVALID_TOKEN");
    });

    test("groups become roles, and are gone with the next log-in", async () => {
        const email = await member("boss");
        await pool.join(email, "admins");
        const session = await logIn(email);
        assert.equal(session.user.role, "admin");
        ok(await as(session).get("/users"));
        await pool.leave(email, "admins");
        await pool.join(email, "clerks");
        await new Promise((resolve) => setTimeout(resolve, 1100)); // tokens tell their age in seconds
        assert.equal((await logIn(email)).user.role, "order-clerk");
        refused(await as(session).get("/settings"), 403, "FORBIDDEN");
    });

    test("a forgotten password: the code sets a new one and ends what was open", async () => {
        const email = await member("forgetful");
        const session = await logIn(email);
        ok(await as(session).get("/users/me"));
        ok(await guest.post("/auth/password/forgot", { email }), 202);
        invalid(await guest.post("/auth/password/reset", { token: "123456", newPassword: NEXT }), "email");
        ok(await guest.post("/auth/password/reset", { email, token: await pool.codeOf(email), newPassword: NEXT }), 204);
        await eventually("it is refused", async () => (await as(session).get("/users/me")).status === 401, 1000);
        refused(await guest.post("/auth/refresh", { refreshToken: session.refreshToken }), 401, "INVALID_TOKEN");
        refused(await guest.post("/auth/login", { email, password: PASSWORD }), 401, "INVALID_CREDENTIALS");
        await logIn(email, NEXT);
    });

    test("changing the password ends all sessions and gives this caller a new one", async () => {
        const email = await member("changer");
        const [one, other] = [await logIn(email), await logIn(email)];
        ok(await as(other).get("/users/me"));
        assert.equal((await as(one).post("/auth/password", { currentPassword: "Wrong-Passw0rd!", newPassword: NEXT })).status, 400);
        const next = ok(await as(one).post("/auth/password", { currentPassword: PASSWORD, newPassword: NEXT }));
        for (const old of [one, other]) await eventually("it is refused", async () => (await as(old).get("/users/me")).status === 401, 1000);
        ok(await as(next).get("/users/me"));
        await logIn(email, NEXT);
    });

    test("a guest's cart comes along", async () => {
        const email = await member("cart");
        const cart = await createCart(guest);
        const session = await logIn(email, PASSWORD, { cartId: cart.id });
        assert.ok(session.cartId !== null);
        ok(await as(session).get(`/cart/${session.cartId}`));
    });

    test("a disabled account is let in by the pool and not by the shop", async () => {
        const email = await member("disabled");
        const session = await logIn(email);
        server.sql(`UPDATE users SET status = 'disabled' WHERE id = ${sqlUuid(session.user.id)}`);
        refused(await guest.post("/auth/login", { email, password: PASSWORD }), 401, "INVALID_CREDENTIALS");
        refused(await guest.post("/auth/refresh", { refreshToken: session.refreshToken }), 401, "INVALID_TOKEN");
    });

    test("the keys rotate: the pool's token counts from when its key is published, until it is withdrawn", async () => {
        const session = await logIn(await member("rotation"));
        const real = (await (await fetch(`${pool.url}/${pool.id}/.well-known/jwks.json`)).json() as { keys: Json[] }).keys;
        let published: Json[] = [jwkOf(rsaKey("another"))];
        const front = createServer((_request, response) => response.end(JSON.stringify({ keys: published })));
        await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
        const behind = await Server.start({ env: pool.env({ COGNITO_ENDPOINT: `http://127.0.0.1:${(front.address() as { port: number }).port}` }) });
        try {
            const ask = () => new Client(behind.url, session.accessToken).get("/users/me");
            refused(await ask(), 401, "UNAUTHENTICATED");
            published = real;
            await eventually("the key is found", async () => (await ask()).status === 200);
            published = [jwkOf(rsaKey("another"))];
            await eventually("the key is gone", async () => {
                await new Client(behind.url, session.accessToken.replace(/^[^.]+/, Buffer.from(JSON.stringify({ alg: "RS256", kid: "?" })).toString("base64url"))).get("/users/me");
                return (await ask()).status === 401;
            });
        } finally {
            await behind.dispose();
            front.close();
        }
    });

    test("while the pool is away, tokens that were given out go on; what needs it is 503 with Retry-After", async () => {
        const other = await Pool.start("cognito-local");
        const shop = await Server.start({ env: other.env({ SOUK_AUTH_TIMEOUT_MS: "1000" }) });
        try {
            const client = new Client(shop.url);
            const email = `${unique("away")}@example.com`;
            ok(await client.post("/auth/register", { email, password: PASSWORD }), 202);
            await other.confirm(email);
            const session = ok(await client.post("/auth/login", { email, password: PASSWORD }));
            const second = await other.sdk.send(new InitiateAuthCommand({ ClientId: other.clientId, AuthFlow: "USER_PASSWORD_AUTH", AuthParameters: { USERNAME: email, PASSWORD } }));
            await other.kill();
            ok(await client.as(session.accessToken).get("/users/me"));
            ok(await client.as(second.AuthenticationResult!.AccessToken!).get("/users/me"));
            for (const [path, body] of [
                ["/auth/login", { email, password: PASSWORD }], ["/auth/register", { email, password: PASSWORD }], ["/auth/refresh", { refreshToken: session.refreshToken }],
                ["/auth/password/forgot", { email }], ["/auth/password/reset", { email, token: "1", newPassword: NEXT }], ["/auth/email/verify", { email, token: "1" }],
                ["/auth/verification", { email }],
            ] as const) {
                const reply = await client.post(path, body);
                refused(reply, 503, "UNAVAILABLE");
                assert.ok(reply.headers.get("retry-after"), path);
            }
            ok(await client.as(session.accessToken).post("/auth/logout", { refreshToken: session.refreshToken }), 204);
            await eventually("it is refused", async () => (await client.as(session.accessToken).get("/users/me")).status === 401, 1000);
        } finally {
            await shop.dispose();
            await other.stop();
        }
    });
});

// What cognito-local never says is said by a stand-in for one reply each.
describe("what Cognito may answer", () => {
    const answers = new Map<string, [number, Json]>();
    const seen: Json[] = [];
    const front = createServer((request, response) => {
        const parts: Buffer[] = [];
        request.on("data", (part: Buffer) => parts.push(part));
        request.on("end", () => {
            const operation = String(request.headers["x-amz-target"]).split(".")[1]!;
            if (request.method === "POST") seen.push({ operation, headers: request.headers, body: JSON.parse(Buffer.concat(parts).toString()) });
            const [status, body] = answers.get(operation) ?? [200, { keys: [jwkOf(rsaKey("k"))] }];
            response.writeHead(status).end(typeof body === "string" ? body : JSON.stringify(body));
        });
    });
    let server: Server;
    before(async () => {
        await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
        server = await Server.start({ env: {
            AUTH_PROVIDER: "cognito", COGNITO_ENDPOINT: `http://127.0.0.1:${(front.address() as { port: number }).port}/`, COGNITO_USER_POOL_ID: "eu-west-1_X",
            COGNITO_CLIENT_ID: "client", COGNITO_CLIENT_SECRET: "the secret of the client", SOUK_LOG: "warn",
        } });
    });
    after(async () => {
        await server?.dispose();
        front.close();
    });

    const credentials = { email: "a@example.com", password: PASSWORD };
    for (const [operation, path, body, type, status, code] of [
        ["InitiateAuth", "/auth/login", credentials, "TooManyRequestsException", 429, "RATE_LIMIT_EXCEEDED"],
        ["InitiateAuth", "/auth/login", credentials, "PasswordResetRequiredException", 401, "INVALID_CREDENTIALS"],
        ["InitiateAuth", "/auth/login", credentials, "UserNotConfirmedException", 401, "INVALID_CREDENTIALS"],
        ["InitiateAuth", "/auth/login", credentials, "com.amazonaws.cognito#NotAuthorizedException", 401, "INVALID_CREDENTIALS"],
        ["InitiateAuth", "/auth/login", credentials, "InternalErrorException", 503, "UNAVAILABLE"],
        ["SignUp", "/auth/register", credentials, "InvalidPasswordException", 400, "VALIDATION_ERROR"],
        ["SignUp", "/auth/register", credentials, "InvalidParameterException", 400, "VALIDATION_ERROR"],
        ["SignUp", "/auth/register", credentials, "NotAuthorizedException", 403, "FORBIDDEN"],
        ["SignUp", "/auth/register", credentials, "LimitExceededException", 429, "RATE_LIMIT_EXCEEDED"],
        ["ConfirmSignUp", "/auth/email/verify", { email: "a@example.com", token: "1" }, "TooManyFailedAttemptsException", 429, "RATE_LIMIT_EXCEEDED"],
        ["ConfirmForgotPassword", "/auth/password/reset", { email: "a@example.com", token: "1", newPassword: PASSWORD }, "InvalidPasswordException", 400, "VALIDATION_ERROR"],
        ["ConfirmForgotPassword", "/auth/password/reset", { email: "a@example.com", token: "1", newPassword: PASSWORD }, "ExpiredCodeException", 400, "INVALID_TOKEN"],
    ] as const) {
        test(`${operation}: ${type} is ${status}`, async () => {
            answers.set(operation, [400, { __type: type, message: "of the inside" }]);
            const reply = await new Client(server.url).post(path, body);
            refused(reply, status, code);
            assert.ok(!reply.text.includes("of the inside"));
            if (status === 429 || status === 503) assert.ok(reply.headers.get("retry-after"));
        });
    }

    test("ResendConfirmationCode: asked with the client's hash, and 202 whatever it says", async () => {
        for (const [status, body] of [[200, { CodeDeliveryDetails: {} }], ...["UserNotFoundException", "InvalidParameterException", "LimitExceededException"].map((type) => [400, { __type: type }])] as [number, Json][]) {
            answers.set("ResendConfirmationCode", [status, body]);
            seen.length = 0;
            const reply = await new Client(server.url).post("/auth/verification", { email: "a@example.com" });
            assert.deepEqual([reply.status, reply.text], [202, ""]);
            const SecretHash = createHmac("sha256", "the secret of the client").update("a@example.comclient").digest("base64");
            assert.deepEqual(seen.map(({ operation, body: asked }) => [operation, asked]), [["ResendConfirmationCode", { ClientId: "client", Username: "a@example.com", SecretHash }]]);
        }
    });

    test("a challenge is no log-in", async () => {
        answers.set("InitiateAuth", [200, { ChallengeName: "SOFTWARE_TOKEN_MFA", Session: "x" }]);
        refused(await new Client(server.url).post("/auth/login", credentials), 403, "FORBIDDEN");
    });

    for (const body of ["", "<html>", "[]", "{}", "null", "{\"AuthenticationResult\":7}", "{\"AuthenticationResult\":{\"AccessToken\":7}}", "x".repeat(100_000)]) {
        test(`an answer that is none: ${body.slice(0, 20)}`, async () => {
            answers.set("InitiateAuth", [200, body]);
            refused(await new Client(server.url).post("/auth/login", credentials), 503, "UNAVAILABLE");
        });
    }

    test("an access token that is not good here is our failure, not a log-in", async () => {
        answers.set("InitiateAuth", [200, { AuthenticationResult: { AccessToken: "a.b.c", RefreshToken: "r" } }]);
        refused(await new Client(server.url).post("/auth/login", credentials), 500, "INTERNAL_ERROR");
    });

    test("the client's secret becomes a hash with each name, and is never sent or logged", async () => {
        seen.length = 0;
        answers.set("InitiateAuth", [400, { __type: "NotAuthorizedException" }]);
        refused(await new Client(server.url).post("/auth/login", credentials), 401, "INVALID_CREDENTIALS");
        const expected = createHmac("sha256", "the secret of the client").update("a@example.comclient").digest("base64");
        assert.equal(seen[0].body.AuthParameters.SECRET_HASH, expected);
        assert.equal(seen[0].headers["content-type"], "application/x-amz-json-1.1");
        assert.ok(!JSON.stringify(seen).includes("the secret of the client"));
        assert.ok(!server.stderr.includes(PASSWORD) && !server.stderr.includes("a@example.com") && !server.stderr.includes("the secret"));
    });
});

describe("moto", { skip: hasMoto() ? false : "this machine has no moto" }, () => {
    test("sign-up, log-in, our API with the token, refresh, groups", async () => {
        const pool = await Pool.start("moto");
        const server = await Server.start({ env: pool.env() });
        try {
            const guest = new Client(server.url);
            const email = `${unique("moto")}@example.com`;
            ok(await guest.post("/auth/register", { email, password: PASSWORD.replace(/^./, "T") + "1!" }), 202);
            await pool.confirm(email);
            await pool.verifyEmail(email);
            await pool.join(email, "admins");
            const session = ok(await guest.post("/auth/login", { email, password: PASSWORD.replace(/^./, "T") + "1!" }));
            assert.deepEqual([session.user.email, session.user.role], [email, "admin"]);
            ok(await guest.as(session.accessToken).get("/users"));
            const next = ok(await guest.post("/auth/refresh", { refreshToken: session.refreshToken }));
            assert.equal(ok(await guest.as(next.accessToken).get("/users/me")).id, session.user.id);
            refused(await guest.post("/auth/login", { email, password: "Wrong-Passw0rd!" }), 401, "INVALID_CREDENTIALS");
        } finally {
            await server.dispose();
            await pool.stop();
        }
    });
});
