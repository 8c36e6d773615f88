// The loop of the function: errors of an invocation and of the start, the deadline, the end, being frozen. The process is the real one,
// the Runtime API is tests/support/lambda.ts.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { databaseOf, engine, type Database } from "../support/database.ts";
import { eventOf, replyOf, type FrontReply } from "../support/lambda-events.ts";
import { bootstrap } from "../support/lambda-shop.ts";
import { LambdaFunction, type LambdaOptions, type Outcome } from "../support/lambda.ts";
import { eventually, temporaryFolder } from "../support/processes.ts";
import { environment, souk } from "../support/server.ts";

const temporary = temporaryFolder();
const data = path.join(temporary.folder, "data");
let database: Database;
before(async () => {
    mkdirSync(data);
    database = databaseOf(data, true);
    const migrated = await souk(data, ["migrate", "up"]);
    assert.equal(migrated.code, 0, migrated.stderr);
});
after(() => {
    temporary.release();
    database.drop();
});

const open = (options: Partial<LambdaOptions> = {}) => new LambdaFunction({
    ...bootstrap, copies: 1, ...options, env: { ...environment({ ...database.env, ...options.env }), SOUK_DATA: data },
});
const request = (target: string, method = "GET", headers: [string, string][] = [["host", "shop.example"]]) => ({ method, target, headers, body: Buffer.alloc(0), address: "192.0.2.1" });
const ask = async (of: LambdaFunction, target: string, options: { timeoutMs?: number } = {}): Promise<FrontReply> => answered(await of.invoke(eventOf("rest", request(target)), options));
function answered(outcome: Outcome): FrontReply {
    assert.equal(outcome.kind, "response", JSON.stringify(outcome.error));
    return replyOf("rest", outcome.body, outcome.streamed);
}

describe("one invocation", () => {
    test("an event that is none is an error of that invocation, and the next one is served", async () => {
        const of = open();
        for (const event of ["{}", "[]", "{\"Records\": []}", "nonsense"]) {
            const outcome = await of.invoke(event);
            assert.equal(outcome.kind, "error");
            assert.equal(outcome.errorType, "Event.Malformed");
            assert.equal(outcome.error?.errorType, "Event.Malformed");
            assert.ok((outcome.error?.errorMessage ?? "").length > 10);
        }
        assert.equal((await ask(of, "/health/live")).status, 200);
        assert.equal(of.started, 1, "by the same process");
        assert.match(of.stderr, /an invocation failed/);
        await of.stop();
    });

    test("a header that stands twice where it may stand once is the client's mistake", async () => {
        const of = open();
        const reply = answered(await of.invoke(eventOf("rest", request("/categories", "GET", [["authorization", "Bearer a"], ["authorization", "Bearer b"]]))));
        assert.equal(reply.status, 400);
        assert.equal(JSON.parse(reply.body.toString()).code, "MALFORMED_REQUEST");
        await of.stop();
    });

    test("what is left of its time bounds the request: 503 before the end, not an end without an answer", async () => {
        const of = open();
        assert.equal((await ask(of, "/health/live")).status, 200);
        // less than the margin: whatever has to wait for a thread or a machine is too late
        const event = eventOf("rest", { ...request("/cart", "POST", [["content-type", "application/json"]]), body: Buffer.from("{}") });
        const reply = answered(await of.invoke(event, { timeoutMs: 450 }));
        assert.equal(reply.status, 503, reply.body.toString());
        assert.equal(reply.headers.find(([name]) => name === "Retry-After")?.[1], "1");
        assert.equal(answered(await of.invoke(event)).status, 201);
        assert.equal(of.started, 1);
        await of.stop();
    });

    test("a reply past 6 MB is a 413 that says so", async () => {
        const of = open();
        database.query("DELETE FROM media");
        fill();
        const small = await ask(of, "/media/small.bin");
        assert.equal(small.status, 200, small.body.toString().slice(0, 200));
        const large = await ask(of, "/media/large.bin");
        assert.equal(large.status, 413, large.body.toString().slice(0, 200));
        const problem = JSON.parse(large.body.toString());
        assert.equal(problem.code, "REPLY_TOO_LARGE");
        assert.match(problem.detail, /6 MB/);
        await of.stop();
    });

    test("streamed, the same reply gets through", async () => {
        const of = open({ env: { SOUK_LAMBDA_STREAMING: "on" } });
        fill();
        for (const front of ["rest", "http", "url"] as const) {
            const outcome = await of.invoke(eventOf(front, request("/media/large.bin")));
            assert.equal(outcome.kind, "response");
            assert.ok(outcome.streamed);
            assert.equal(outcome.type, "application/vnd.awslambda.http-integration-response");
            const reply = replyOf(front, outcome.body, true);
            assert.equal(reply.status, 200);
            assert.equal(reply.body.length, LARGE);
        }
        const alb = await of.invoke(eventOf("alb", request("/health/live")));
        assert.equal(alb.streamed, false, "a load balancer takes no stream");
        await of.stop();
    });
});

const LARGE = 5 << 20; // 7 MB as base64
function fill(): void {
    const hex = (bytes: number) => engine === "sqlite" ? `randomblob(${bytes})` : `decode(repeat('ff', ${bytes}), 'hex')`;
    database.query("DELETE FROM media");
    const now = engine === "sqlite" ? "0" : "now()";
    for (const [name, bytes] of [["small.bin", 1000], ["large.bin", LARGE]] as const) {
        database.query(`INSERT INTO media (name, content_type, body, created_at) VALUES ('${name}', 'image/png', ${hex(bytes)}, ${now})`);
    }
}

describe("the start", () => {
    test("a function of the version before starts on the schema that a newer one has expanded, and says so", async () => {
        const newer = "INSERT INTO schema_migrations (version, name, applied_at) VALUES (9999, 'expanded', 0)";
        database.query(newer);
        try {
            const of = open({ env: { SOUK_LOG: "warn", SOUK_MIGRATE: "off" } });
            assert.equal((await ask(of, "/products")).status, 200);
            assert.match(of.stderr, /schema is of a newer version/);
            await of.stop();
            const server = await souk(data, ["serve", "--listen", "127.0.0.1:0"], { env: { SOUK_MIGRATE: "off" } });
            assert.notEqual(server.code, 0, "a server can be stopped first: it refuses");
        } finally {
            database.query("DELETE FROM schema_migrations WHERE version = 9999");
        }
    });

    const refusals: [string, Partial<LambdaOptions>, RegExp][] = [
        ["a handler that is none", { handler: "nothing" }, /_HANDLER must be one of: api.*not "nothing"/],
        ["a setting that is wrong", { env: { SOUK_RATE_PER_MINUTE: "many" } }, /SOUK_RATE_PER_MINUTE/],
        ["a setting that is none", { env: { SOUK_NO_SUCH_THING: "1" } }, /SOUK_NO_SUCH_THING/],
    ];
    for (const [about, options, message] of refusals) {
        test(`${about} is told as an error of the initialization`, async () => {
            const of = open(options);
            const outcome = await of.invoke(eventOf("rest", request("/health/live")));
            assert.equal(outcome.kind, "init");
            assert.match(outcome.error?.errorMessage ?? "", message);
            assert.notEqual((await outcome.copy.exit).code, 0);
        });
    }

    test("without a Runtime API it says where it belongs", async () => {
        const result = await souk(data, ["lambda"]);
        assert.equal(result.code, 2);
        assert.match(result.stderr, /AWS_LAMBDA_RUNTIME_API is not set/);
    });
});

describe("the end", () => {
    test("SIGTERM while it waits for work: at once, cleanly", async () => {
        const of = open();
        assert.equal((await ask(of, "/health/live")).status, 200);
        const [copy] = of.copies;
        await eventually("it waits for work", () => copy!.isIdle);
        const began = Date.now();
        copy!.child.kill("SIGTERM");
        assert.deepEqual(await copy!.exit, { code: 0, signal: null });
        assert.ok(Date.now() - began < 5_000);
        assert.deepEqual(of.faults, []);
    });

    test("SIGTERM while it runs: the answer still gets out", async () => {
        const of = open();
        assert.equal((await ask(of, "/health/live")).status, 200);
        const [copy] = of.copies;
        await eventually("it waits for work", () => copy!.isIdle);
        copy!.child.kill("SIGSTOP");
        const reply = ask(of, "/products"); // is in its socket when it wakes, and so is the signal
        await sleep(50);
        copy!.child.kill("SIGTERM");
        copy!.child.kill("SIGCONT");
        assert.equal((await reply).status, 200);
        assert.deepEqual(await copy!.exit, { code: 0, signal: null });
    });

    test("a process that ends in the middle fails its invocation alone", async () => {
        const of = open();
        assert.equal((await ask(of, "/health/live")).status, 200);
        const [copy] = of.copies;
        await eventually("it waits for work", () => copy!.isIdle);
        copy!.child.kill("SIGSTOP");
        const lost = of.invoke(eventOf("rest", request("/products")));
        await sleep(50);
        copy!.child.kill("SIGKILL");
        assert.equal((await lost).kind, "exit");
        assert.equal((await ask(of, "/products")).status, 200, "by another copy");
        assert.equal(of.started, 2);
        await of.stop();
    });
});

describe("frozen between two invocations", () => {
    test("the database's connection is cut meanwhile", { skip: engine === "sqlite" ? "SQLite has no connection to cut" : false }, async () => {
        const of = open();
        assert.equal((await ask(of, "/categories")).status, 200);
        assert.equal((await ask(of, "/products?q=shirt")).status, 200);
        const [copy] = of.copies;
        await eventually("it waits for work", () => copy!.isIdle);
        copy!.child.kill("SIGSTOP");
        database.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'souk'");
        await sleep(1_200);
        copy!.child.kill("SIGCONT");
        assert.equal((await ask(of, "/products?q=shirt")).status, 200, "on a new connection, without the client's noticing");
        assert.equal(of.started, 1);
        await of.stop();
    });

    test("what was remembered is a second old at most", async () => {
        const of = open();
        database.query("DELETE FROM categories WHERE slug = 'frozen'");
        const before = (await ask(of, "/categories")).body.toString();
        assert.equal((await ask(of, "/categories")).body.toString(), before);
        const [copy] = of.copies;
        await eventually("it waits for work", () => copy!.isIdle);
        copy!.child.kill("SIGSTOP");
        await sleep(1_100);
        copy!.child.kill("SIGCONT");
        const after = await ask(of, "/categories");
        assert.equal(after.headers.find(([name]) => name === "Age"), undefined, "made anew");
        await of.stop();
    });

    test("many invocations leave no memory behind", async () => {
        const of = open();
        const resident = async () => {
            const [copy] = of.copies;
            const { readFileSync } = await import("node:fs");
            return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${copy!.child.pid}/status`, "utf8"))![1]) * 1024;
        };
        for (let i = 0; i < 100; i++) await ask(of, "/products?limit=5");
        const first = await resident();
        for (let i = 0; i < 600; i++) await ask(of, i % 2 === 0 ? "/products?limit=5" : `/products?q=a${i}`);
        const grown = (await resident()) - first;
        assert.ok(grown < 3 << 20, `grew by ${grown} bytes`);
        await of.stop();
    });
});
