// Starting while PostgreSQL is away: the port is open, the log says what is missing, and once the database is there the shop is
// served, without a restart. Commands say in one line that they cannot reach it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { Client, ok } from "../support/client.ts";
import { binary } from "../support/paths.ts";
import { Postgres } from "../support/postgres.ts";
import { track } from "../support/processes.ts";
import { Server, eventually, souk, temporaryFolder } from "../support/server.ts";
import { PASSWORD, register } from "../support/shop.ts";

const BACK_MS_MAX = 5_000; // from the database's first answer to the shop's
const SECRET = "for the commands of this file: 0dJq4s8Lw2Vb";

let postgres: Postgres;
before(async () => { postgres = await Postgres.start(); });
after(() => postgres?.dispose());

const waitsFor = (text: string) => text.match(/waiting for the database: .*/g) ?? [];

/** A server whose database does not answer. */
function startClosed(database: string, env: Record<string, string> = {}): Promise<Server> {
    return Server.start({ awaits: "listening", env: { DATABASE_URL: postgres.url(database), REDIS_URL: "", ...env } });
}

const status = async (server: Server, path: string) => (await fetch(server.url + path)).status;
const isReady = (server: Server) => eventually("it is ready", async () => (await status(server, "/health/ready")) === 200, BACK_MS_MAX);

async function isClosed(server: Server): Promise<void> {
    const client = new Client(server.url);
    ok(await client.get("/health/live"));
    const ready = await client.get("/health/ready");
    assert.deepEqual([ready.status, ready.body.data.status], [503, "down"]);
    const refusals = [
        await client.get("/products"), await client.get("/categories"), await client.get("/.well-known/jwks.json"), await client.post("/cart", {}),
        await client.as("a.b.c").get("/metrics"), await client.as("a.b.c").get("/users/me"), await client.post("/auth/login", { email: "a@example.com", password: PASSWORD }),
    ];
    for (const refusal of refusals) {
        assert.deepEqual([refusal.status, refusal.body.code], [503, "UNAVAILABLE"], refusal.target);
        assert.ok(Number(refusal.headers.get("retry-after")) >= 1, refusal.target);
    }
    assert.equal((await client.get("/no/such/path")).status, 404);
    assert.equal((await client.get("/metrics")).status, 200);
}

describe("a server", () => {
    test("opens its port while the database is away, and the shop when it comes", async () => {
        const name = await postgres.createDatabase();
        await postgres.stop();
        const server = await startClosed(name);
        try {
            await isClosed(server);
            assert.equal(waitsFor(server.stderr).length, 1, server.stderr);
            assert.match(server.stderr, /Connection refused/);
            await postgres.launch();
            await isReady(server);
            const client = new Client(server.url);
            assert.deepEqual(ok(await client.get("/products")), []);
            assert.equal(ok(await (await register(client)).client.get("/users/me")).role, "customer");
            assert.equal((await client.get("/.well-known/jwks.json")).status, 200);
        } finally {
            if (!postgres.isRunning) await postgres.launch();
            await server.dispose();
        }
    });

    test("says that there is no such database, and takes it when it is made", async () => {
        const server = await startClosed("not_made_yet");
        try {
            await isClosed(server);
            assert.match(waitsFor(server.stderr)[0]!, /not_made_yet\W+ does not exist/);
            await postgres.query("CREATE DATABASE not_made_yet");
            await isReady(server);
        } finally {
            await server.dispose();
            await postgres.dropDatabase("not_made_yet");
        }
    });

    test("says that the password is wrong, and not which", async () => {
        await postgres.query("CREATE ROLE clerk LOGIN PASSWORD 'right one'");
        const rules = path.join(postgres.data, "pg_hba.conf");
        writeFileSync(rules, `host all clerk 127.0.0.1/32 scram-sha-256\n${readFileSync(rules, "utf8")}`);
        await postgres.query("SELECT pg_reload_conf()");
        const url = new URL(postgres.url());
        url.username = "clerk";
        url.password = "wrong-one";
        const server = await Server.start({ awaits: "listening", env: { DATABASE_URL: url.href, REDIS_URL: "" } });
        try {
            await isClosed(server);
            assert.match(waitsFor(server.stderr)[0]!, /password authentication failed for user/);
            assert.ok(!server.stderr.includes("wrong-one"));
        } finally {
            await server.dispose();
        }
    });

    test("waits for a schema that it may not change, and ends at a signal while it waits", async () => {
        const name = await postgres.createDatabase();
        await postgres.stop();
        const server = await startClosed(name, { SOUK_MIGRATE: "off" });
        try {
            await postgres.launch();
            await eventually("it says what it waits for", () => waitsFor(server.stderr).some((line) => /is at version 0/.test(line)));
            await isClosed(server);
            const migrated = await server.run(["migrate", "up"]);
            assert.equal(migrated.code, 0, migrated.stderr);
            await isReady(server);
            assert.equal(new Set(waitsFor(server.stderr)).size, waitsFor(server.stderr).length, "each reason once");
            await postgres.stop();
            const second = await startClosed(name);
            assert.deepEqual(await second.terminate(), { code: 0, signal: null });
            await second.dispose();
        } finally {
            if (!postgres.isRunning) await postgres.launch();
            await server.dispose();
        }
    });
});

test("souk work waits likewise", async () => {
    const name = await postgres.createDatabase();
    await postgres.stop();
    const child = track(spawn(binary, ["work"], {
        cwd: os.tmpdir(), stdio: ["ignore", "pipe", "pipe"],
        env: { PATH: process.env.PATH ?? "", DATABASE_URL: postgres.url(name), SOUK_SECRET: SECRET, SOUK_LOG: "error" },
    }));
    let stdout = "";
    let stderr = "";
    child.stdout!.setEncoding("utf8").on("data", (text: string) => { stdout += text; });
    child.stderr!.setEncoding("utf8").on("data", (text: string) => { stderr += text; });
    const end = new Promise((resolve) => child.once("close", (code, signal) => resolve([code, signal])));
    try {
        await eventually("it waits", () => waitsFor(stderr).length === 1);
        assert.equal(stdout, "");
        await postgres.launch();
        await eventually("it works", () => stdout === "working\n");
        child.kill("SIGTERM");
        assert.deepEqual(await end, [0, null]);
    } finally {
        child.kill("SIGKILL");
        if (!postgres.isRunning) await postgres.launch();
    }
});

describe("commands", () => {
    const env = { DATABASE_URL: "postgresql://clerk:geheim@127.0.0.1:1/shop", REDIS_URL: "", SOUK_SECRET: SECRET };
    const run = async (args: string[], change: Record<string, string> = {}) => {
        const { folder, release } = temporaryFolder();
        try {
            return await souk(folder, args, { env: { ...env, ...change }, input: `${PASSWORD}\n` });
        } finally {
            release();
        }
    };

    test("say in one line that the database is away, and change nothing", async () => {
        for (const args of [["migrate", "up"], ["migrate", "status"], ["migrate", "down", "--yes"], ["migrate", "reset", "--yes"], ["seed"], ["keys", "rotate"],
            ["keys", "list"], ["user", "create", "--email", "a@example.com", "--password-stdin"]]) {
            const { code, stdout, stderr } = await run(args);
            const what = `souk ${args.join(" ")}`;
            assert.equal(code, 1, what);
            assert.match(stderr, /^souk [a-z ]+: PostgreSQL cannot be reached: .*127\.0\.0\.1.*refused.*\n$/, what);
            assert.ok(!stderr.includes("geheim"), what);
            assert.equal(stdout, "", what);
        }
    });

    test("leave backups to PostgreSQL's own tools", async () => {
        for (const [args, tool] of [[["backup", "file"], "pg_dump"], [["restore", "file", "--yes"], "pg_restore"]] as const) {
            const { code, stderr } = await run([...args]);
            assert.equal(code, 2, args[0]);
            assert.match(stderr, new RegExp(`^souk ${args[0]}: [^\n]*${tool}[^\n]*\n$`));
        }
    });

    test("pull no schema from under a running server", async () => {
        const server = await Server.start({ env: { DATABASE_URL: postgres.url(await postgres.createDatabase()), REDIS_URL: "" } });
        try {
            for (const args of [["migrate", "down", "--yes"], ["migrate", "reset", "--yes"]]) {
                const { code, stderr } = await server.run(args);
                assert.equal(code, 1);
                assert.match(stderr, /stop it first/);
            }
            assert.deepEqual(ok(await new Client(server.url).get("/products")), []);
            await server.terminate();
            const reset = await server.run(["migrate", "reset", "--yes"]);
            assert.equal(reset.code, 0, reset.stderr);
        } finally {
            await server.dispose();
        }
    });
});
