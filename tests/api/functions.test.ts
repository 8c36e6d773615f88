// The functions beside the API on AWS Lambda - authorizer, jobs, migrate - each as the real command behind the Runtime API, with events
// as AWS documents them.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { Aws } from "../support/aws.ts";
import { ok, type Json } from "../support/client.ts";
import { databaseOf, engine } from "../support/database.ts";
import { LambdaFunction, type Outcome } from "../support/lambda.ts";
import { eventOf } from "../support/lambda-events.ts";
import { binary } from "../support/paths.ts";
import { eventually, souk, temporaryFolder } from "../support/server.ts";
import { PASSWORD, Shop, unique } from "../support/shop.ts";

const STAGE = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/prod";
const METHOD = `${STAGE}/GET/users/me`;
let aws: Aws;
let shop: Shop;
const functions: LambdaFunction[] = [];

/** A function on the shop's data, stopped at the end. */
function open(handler: string, env: Record<string, string> = {}, data = shop.server.data): LambdaFunction {
    const opened = new LambdaFunction({
        command: binary, args: ["lambda"], handler, copies: 1,
        env: { PATH: process.env.PATH!, SOUK_DATA: data, SOUK_LOG: "error", SOUK_RATE_LIMIT: "off", ...databaseOf(data).env, ...env },
    });
    functions.push(opened);
    return opened;
}
const said = (outcome: Outcome): Json => {
    assert.equal(outcome.kind, "response", JSON.stringify(outcome.error));
    return JSON.parse(outcome.body.toString("utf8")) as Json;
};
const failure = (outcome: Outcome) => {
    assert.equal(outcome.kind, "error", outcome.body.toString("utf8"));
    return [outcome.error?.errorType, outcome.error?.errorMessage];
};

before(async () => {
    aws = await Aws.start();
    shop = await Shop.open({ args: ["--no-jobs"] });
});
after(async () => {
    for (const one of functions) await one.stop();
    await shop?.close();
    await aws?.stop();
});

describe("authorizer", () => {
    let authorizer: LambdaFunction;
    let token: string;
    let id: string;
    before(async () => {
        authorizer = open("authorizer");
        const email = `${unique("caller")}@example.com`;
        ok(await shop.guest.post("/auth/register", { email, password: PASSWORD }), 201);
        const login = ok(await shop.guest.post("/auth/login", { email, password: PASSWORD }));
        [token, id] = [login.accessToken as string, login.user.id as string];
    });
    const tokenEvent = (authorizationToken: string) => ({ type: "TOKEN", authorizationToken, methodArn: METHOD });
    const requestEvent = (headers: Record<string, string>) => ({
        type: "REQUEST", version: "1.0", methodArn: METHOD, identitySource: Object.values(headers)[0] ?? "", resource: "/users/me", path: "/users/me", httpMethod: "GET", headers,
        multiValueHeaders: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]])), queryStringParameters: null, pathParameters: null, stageVariables: null,
        requestContext: { path: "/users/me", accountId: "123456789012", stage: "prod", requestId: randomUUID(), identity: { sourceIp: "192.0.2.1" }, httpMethod: "GET", apiId: "a1b2c3d4e5" },
    });
    const httpEvent = (headers: Record<string, string>) => ({
        version: "2.0", type: "REQUEST", routeArn: METHOD, identitySource: Object.values(headers), routeKey: "GET /users/me", rawPath: "/users/me", rawQueryString: "", headers,
        requestContext: { accountId: "123456789012", apiId: "a1b2c3d4e5", http: { method: "GET", path: "/users/me", protocol: "HTTP/1.1", sourceIp: "192.0.2.1", userAgent: "test" }, stage: "prod" },
    });
    const policy = (principalId: string, context: Json, more: Json = {}, effect = "Allow") => ({
        principalId, context, ...more,
        policyDocument: { Version: "2012-10-17", Statement: [{ Action: "execute-api:Invoke", Effect: effect, Resource: `${STAGE}/*` }] },
    });

    test("a token: a policy for the whole stage, whichever way it came", async () => {
        const expected = policy(`user:${id}`, { userId: id, role: "customer" });
        for (const event of [tokenEvent(`Bearer ${token}`), requestEvent({ Authorization: `Bearer ${token}` }), httpEvent({ authorization: `Bearer ${token}` })])
            assert.deepEqual(said(await authorizer.invoke(event)), expected);
    });

    test("staff: their scopes are told", async () => {
        const staff = await shop.staffWith("orders:read", "catalogue:write");
        const { accessToken } = ok(await shop.guest.post("/auth/login", { email: staff.email, password: staff.password }));
        const { context } = said(await authorizer.invoke(tokenEvent(`Bearer ${accessToken}`)));
        assert.deepEqual([context.role, String(context.scopes).split(" ").sort()], ["staff", ["catalogue:write", "orders:read"]]);
    });

    test("a key of a program: its id is what a usage plan knows, its text is nowhere", async () => {
        const made = ok(await shop.admin.client.post("/api-keys", { name: unique("key"), kind: "secret", scopes: ["orders:read"] }), 201);
        const text = String(made.key ?? made.secret);
        assert.match(text, /^sk_/);
        for (const event of [tokenEvent(text), tokenEvent(`Bearer ${text}`), requestEvent({ "x-api-key": text }), httpEvent({ "x-api-key": text })]) {
            const outcome = await authorizer.invoke(event);
            assert.ok(!outcome.body.toString().includes(text));
            assert.deepEqual(said(outcome), policy(`key:${made.id}`, { keyId: made.id, keyKind: "secret", scopes: "orders:read" }, { usageIdentifierKey: made.id }));
        }
    });

    test("no credentials, bad ones, ended ones: Unauthorized, which is a 401", async () => {
        const email = `${unique("gone")}@example.com`;
        ok(await shop.guest.post("/auth/register", { email, password: PASSWORD }), 201);
        const login = ok(await shop.guest.post("/auth/login", { email, password: PASSWORD }));
        ok(await shop.guest.post("/auth/logout", { refreshToken: login.refreshToken }), 204);
        const tampered = token.slice(0, -4) + (token.endsWith("AAAA") ? "BBBB" : "AAAA");
        for (const event of [tokenEvent(`Bearer ${tampered}`), tokenEvent(token), tokenEvent("Bearer x"), requestEvent({}), httpEvent({ authorization: "Basic eDp5" }),
            tokenEvent(`sk_${"A".repeat(43)}`), tokenEvent(`Bearer ${login.accessToken}`)])
            assert.deepEqual(failure(await authorizer.invoke(event)), ["Unauthorized", "Unauthorized"]);
    });

    test("two callers at once: denied, which is a 403", async () => {
        const made = ok(await shop.admin.client.post("/api-keys", { name: unique("key"), kind: "secret", scopes: ["orders:read"] }), 201);
        const { policyDocument } = said(await authorizer.invoke(requestEvent({ Authorization: `Bearer ${token}`, "x-api-key": String(made.key ?? made.secret) })));
        assert.equal(policyDocument.Statement[0].Effect, "Deny");
    });

    test("the simple answer of an HTTP API", async () => {
        const simple = open("authorizer", { SOUK_LAMBDA_SIMPLE_AUTHORIZER: "on" });
        assert.deepEqual(said(await simple.invoke(httpEvent({ authorization: `Bearer ${token}` }))), { isAuthorized: true, context: { userId: id, role: "customer" } });
        assert.deepEqual(said(await simple.invoke(httpEvent({ authorization: "Bearer x" }))), { isAuthorized: false, context: {} });
        assert.equal(said(await simple.invoke(tokenEvent(`Bearer ${token}`))).principalId, `user:${id}`, "the others know policies only");
    });

    test("what is no event of an authorizer", async () => {
        for (const event of [{}, { type: "TOKEN", authorizationToken: "x" }, { type: "TOKEN", authorizationToken: "x", methodArn: "arn:aws:execute-api:x" }, { type: "OTHER", methodArn: METHOD }, "[]", "null"])
            assert.equal(failure(await authorizer.invoke(event))[0], "Event.Malformed");
    });
});

describe("jobs", () => {
    let jobs: LambdaFunction;
    const mailsOf = (email: string) => aws.mails.filter((mail) => mail.to.includes(email)).length;
    const waiting = () => shop.server.database.number("SELECT COUNT(*) FROM outbox WHERE due_at IS NOT NULL");
    const register = async () => {
        const email = `${unique("mail")}@example.com`;
        ok(await shop.guest.post("/auth/register", { email, password: PASSWORD }), 201);
        return email;
    };
    const message = (body: unknown) => ({
        messageId: randomUUID(), receiptHandle: "AQEB", body: typeof body === "string" ? body : JSON.stringify(body), attributes: { ApproximateReceiveCount: "1", SentTimestamp: "1545082649183" },
        messageAttributes: {}, md5OfBody: "x", eventSource: "aws:sqs", eventSourceARN: "arn:aws:sqs:eu-west-1:123456789012:jobs", awsRegion: "eu-west-1",
    });
    before(() => {
        jobs = open("jobs", aws.env(aws.key(), { SOUK_MAIL: "ses", SOUK_MAIL_FROM: "shop@souk.example" }));
    });

    test("by a schedule: all of them, until nothing is left", async () => {
        const emails = [];
        for (let i = 0; i < 13; i++) emails.push(await register()); // 26 mails: more than one batch
        const scheduled = { version: "0", id: randomUUID(), "detail-type": "Scheduled Event", source: "aws.events", account: "123456789012", time: new Date().toISOString(), region: "eu-west-1",
            resources: ["arn:aws:events:eu-west-1:123456789012:rule/jobs"], detail: {} };
        const outcome = said(await jobs.invoke(scheduled));
        assert.deepEqual([outcome.run > 8, outcome.isLeft], [true, false]);
        assert.deepEqual([emails.map(mailsOf).every((count) => count === 2), waiting()], [true, 0]);
    });

    test("one of them, by the event or its detail", async () => {
        for (const event of [{ job: "deliver_outbox" }, { source: "souk", "detail-type": "jobs", detail: { job: "deliver_outbox" } }]) {
            const email = await register();
            assert.equal(said(await jobs.invoke({ job: "sweep_carts" })).run, 1);
            assert.equal(mailsOf(email), 0);
            assert.equal(said(await jobs.invoke(event)).run, 1);
            assert.equal(mailsOf(email), 2);
        }
        for (const event of [{ job: "no_such_job" }, { job: 1 }, { detail: { job: "x" } }]) assert.equal(failure(await jobs.invoke(event))[0], "Event.Malformed");
    });

    test("by a queue: a message that names no job is told as failed, the others are done", async () => {
        const email = await register();
        const records = [message({ job: "deliver_outbox" }), message({ job: "no_such_job" }), message("not JSON"), message({ job: "deliver_outbox" })];
        assert.deepEqual(said(await jobs.invoke({ Records: records })), { batchItemFailures: [{ itemIdentifier: records[1]!.messageId }, { itemIdentifier: records[2]!.messageId }] });
        assert.equal(mailsOf(email), 2);
    });

    test("mail that fails waits; nothing is begun when the time is nearly over", async () => {
        const email = await register();
        aws.onCall = () => ({ status: 403, type: "AccessDeniedException" });
        assert.equal(said(await jobs.invoke({ job: "deliver_outbox" })).isLeft, false);
        aws.onCall = () => undefined;
        assert.deepEqual([mailsOf(email), waiting()], [0, 2]);
        shop.server.sql("UPDATE outbox SET due_at = created_at WHERE due_at IS NOT NULL");
        assert.deepEqual(said(await jobs.invoke({ job: "deliver_outbox" }, { timeoutMs: 450 })), { run: 1, steps: 0, isLeft: true });
        assert.equal(mailsOf(email), 0);
        said(await jobs.invoke({ job: "deliver_outbox" }));
        assert.equal(mailsOf(email), 2);
    });

    test("settings that cannot be: an error of the start", async () => {
        const wrong = new LambdaFunction({ command: binary, args: ["lambda"], handler: "jobs", copies: 1,
            env: { SOUK_DATA: shop.server.data, SOUK_LOG: "error", ...databaseOf(shop.server.data).env, SOUK_MAIL: "smtp" } });
        const outcome = await wrong.invoke({});
        assert.deepEqual([outcome.kind, outcome.error?.errorMessage], ["init", "SOUK_SMTP_URL must be set where SOUK_MAIL is smtp"]);
    });
});

describe("the api function tells the jobs' queue", () => {
    const registration = (email: string) => eventOf("rest", {
        method: "POST", target: "/auth/register", headers: [["host", "shop.example"], ["content-type", "application/json"]], address: "192.0.2.1",
        body: Buffer.from(JSON.stringify({ email, password: PASSWORD })),
    });

    test("once for what was put into the outbox, and not for a read", async () => {
        const queue = `${aws.url}/123456789012/jobs`;
        const api = open("api", aws.env(aws.key(), { SOUK_JOBS_QUEUE_URL: queue, SOUK_LOG: "warn" }));
        const before = aws.messages.length;
        assert.equal(said(await api.invoke(registration(`${unique("nudge")}@example.com`))).statusCode, 201);
        await eventually("it is told", () => aws.messages.length === before + 1);
        assert.deepEqual([aws.messages.at(-1)!.queue, JSON.parse(aws.messages.at(-1)!.body)], [queue, { job: "deliver_outbox" }]);
        assert.equal(said(await api.invoke(eventOf("rest", { method: "GET", target: "/products", headers: [["host", "shop.example"]], address: "192.0.2.1", body: Buffer.alloc(0) }))).statusCode, 200);
        assert.equal(aws.messages.length, before + 1);

        // A queue that does not answer costs no customer anything, and the next invocation 200 ms at most.
        aws.onCall = () => "stall";
        assert.equal(said(await api.invoke(registration(`${unique("nudge")}@example.com`))).statusCode, 201);
        const began = Date.now();
        assert.equal(said(await api.invoke(eventOf("rest", { method: "GET", target: "/products", headers: [["host", "shop.example"]], address: "192.0.2.1", body: Buffer.alloc(0) }))).statusCode, 200);
        assert.ok(Date.now() - began < 2000);
        aws.onCall = () => undefined;
        await eventually("it is logged", () => /the queue of the jobs was not told: SQS's SendMessage/.test(api.stderr + api.stdout));
    });
});

describe("migrate", () => {
    const resource = (RequestType: string, more: object = {}) => ({
        RequestType, ResponseURL: "https://cloudformation-custom-resource-response.example/x", StackId: "arn:aws:cloudformation:eu-west-1:123456789012:stack/souk/x", RequestId: randomUUID(),
        ResourceType: "Custom::SoukSchema", LogicalResourceId: "Schema", ResourceProperties: { ServiceToken: "arn:aws:lambda:eu-west-1:123456789012:function:x", version: "1" }, ...more,
    });

    test("an empty database, by CloudFormation: created once, updated to nothing, never deleted", { skip: engine !== "sqlite" }, async () => {
        const { folder, release } = temporaryFolder();
        const data = `${folder}/shop`;
        const migrate = open("migrate", {}, data);
        try {
            const created = said(await migrate.invoke(resource("Create")));
            assert.equal(created.PhysicalResourceId, "souk-schema");
            assert.ok(created.Data.applied > 0);
            assert.ok(created.Data.version >= created.Data.applied);
            const id = { PhysicalResourceId: "souk-schema" };
            assert.deepEqual(said(await migrate.invoke(resource("Update", { ...id, OldResourceProperties: {} }))), { ...id, Data: { applied: 0, version: created.Data.version } });
            assert.equal(said(await migrate.invoke(resource("Delete", id))).PhysicalResourceId, "souk-schema");
            assert.deepEqual(said(await migrate.invoke({})), { applied: 0, version: created.Data.version });
            assert.equal(failure(await migrate.invoke(resource("Replace")))[0], "Event.Malformed");
            const status = await souk(data, ["migrate", "status"], {});
            assert.match(status.stdout, new RegExp(`The database is at version ${created.Data.version}`));
        } finally {
            await migrate.stop();
            release();
        }
    });

    test("a shop that is up to date", async () => {
        const outcome = said(await open("migrate").invoke({}));
        assert.equal(outcome.applied, 0);
        assert.ok(outcome.version > 0);
    });

    test("a database that cannot be reached fails the deployment, with the reason", async () => {
        const away = open("migrate", { DATABASE_URL: "postgresql://souk:hunter2@127.0.0.1:1/souk", SOUK_SECRET: "0123456789abcdef0123456789abcdef" });
        const [type, why] = failure(await away.invoke(resource("Create"), { timeoutMs: 7000 }));
        assert.equal(type, "Migrate.Failed");
        assert.match(why!, /^PostgreSQL cannot be reached: /);
        assert.ok(!why!.includes("hunter2"));
    });
});
