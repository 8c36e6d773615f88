// A souk of our own: a process with a temporary data folder, and the database that belongs to it, on a free port. Whatever is
// started here is ended here, and nothing else ever is.
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { adoptDatabase, databaseOf, type Database, type Row } from "./database.ts";
import type { Front } from "./lambda-events.ts";
import { LambdaShop, lambdaFront } from "./lambda-shop.ts";
import { binary } from "./paths.ts";
import { temporaryFolder, track } from "./processes.ts";

export { eventually, temporaryFolder } from "./processes.ts";

const START_MS = 30_000; // bounds, not expectations: a sanitizer build on a busy machine is slow
const STOP_MS = 25_000;
const COMMAND_MS = 60_000;

export interface ServerOptions {
    data?: string;                   // default: a new folder with a database, both removed when the server is disposed of
    database?: Database;             // of the new folder; remains the caller's
    env?: Record<string, string>;
    args?: string[];
    awaits?: "ready" | "listening";  // default: ready
}

export interface Exit {
    code: number | null;
    signal: NodeJS.Signals | null;
}

export interface CommandResult {
    code: number;
    stdout: string;
    stderr: string;
}

/** The environment of every souk under test: nothing of the developer's own settings. */
export function environment(extra: Record<string, string> = {}): Record<string, string> {
    const kept = ["PATH", "HOME", "TMPDIR", "LANG", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS", "LLVM_PROFILE_FILE"];
    const env: Record<string, string> = {};
    for (const name of kept) if (process.env[name] !== undefined) env[name] = process.env[name]!;
    return { ...env, SOUK_RATE_LIMIT: "off", SOUK_TEST_PAYMENTS: "on", SOUK_LOG: "error", ...extra };
}

/** Runs one souk command to its end. */
export function souk(data: string, args: string[], options: { input?: string; env?: Record<string, string> } = {}): Promise<CommandResult> {
    const child = spawn(binary, [...args, "--data", data], {
        cwd: os.tmpdir(), // no .env of the repository
        env: environment({ ...databaseOf(data).env, ...options.env }),
        stdio: ["pipe", "pipe", "pipe"],
    });
    track(child);
    const late = setTimeout(() => child.kill("SIGKILL"), COMMAND_MS);
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => { stdout += text; });
    child.stderr.setEncoding("utf8").on("data", (text: string) => { stderr += text; });
    child.stdin.on("error", () => undefined); // it may end without reading
    child.stdin.end(options.input ?? "");
    return new Promise((resolve, reject) => {
        child.once("error", reject);
        child.once("close", (code) => {
            clearTimeout(late);
            resolve({ code: code ?? -1, stdout, stderr });
        });
    });
}

export class Server {
    url = "";
    port = 0;
    stdout = "";
    stderr = "";
    exit: Promise<Exit> = Promise.resolve({ code: 0, signal: null });
    private child: ChildProcess | undefined;
    private lambda: LambdaShop | undefined; // in place of the child: SOUK_TEST_FRONT
    private ending: Promise<Exit> | undefined;
    private release: () => void = () => undefined;

    private constructor(readonly data: string, private readonly options: ServerOptions) {}

    static async start(options: ServerOptions = {}): Promise<Server> {
        let release = () => undefined as void;
        let data = options.data;
        if (data === undefined) {
            const temporary = temporaryFolder();
            data = path.join(temporary.folder, "data");
            mkdirSync(data);
            if (options.database) adoptDatabase(data, options.database);
            const database = databaseOf(data, true);
            release = () => {
                temporary.release();
                if (!options.database) database.drop();
            };
        }
        const server = new Server(data, options);
        server.release = release;
        try {
            await server.launch();
        } catch (error) {
            release();
            throw error;
        }
        return server;
    }

    /** Starts (again) on the same data folder; the port is a new one. */
    async launch(env: Record<string, string> = {}): Promise<void> {
        assert.ok(!this.isRunning, "it runs already");
        if (lambdaFront !== undefined) return this.launchLambda(lambdaFront, env);
        const child = spawn(binary, ["serve", "--data", this.data, "--listen", "127.0.0.1:0", ...(this.options.args ?? [])], {
            cwd: os.tmpdir(),
            env: environment({ ...this.database.env, ...this.options.env, ...env }),
            stdio: ["ignore", "pipe", "pipe"],
        });
        track(child);
        this.child = child;
        this.ending = undefined;
        this.stdout = "";
        this.stderr = "";
        child.stdout!.setEncoding("utf8").on("data", (text: string) => { this.stdout = (this.stdout + text).slice(-4_000_000); });
        child.stderr!.setEncoding("utf8").on("data", (text: string) => { this.stderr = (this.stderr + text).slice(-4_000_000); });
        const end: { exit?: Exit } = {};
        this.exit = new Promise((resolve, reject) => {
            child.once("error", reject);
            child.once("close", (code, signal) => {
                this.child = undefined;
                end.exit = { code, signal };
                resolve(end.exit);
            });
        });
        this.exit.catch(() => undefined); // told below, where it matters
        const deadline = Date.now() + START_MS;
        const fail = (why: string) => new Error(`souk ${why}\nstdout: ${this.stdout.slice(-2000)}\nstderr: ${this.stderr.slice(-4000)}`);
        for (;;) {
            const match = /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(this.stdout);
            if (match) {
                this.port = Number(match[1]);
                this.url = `http://127.0.0.1:${this.port}`;
                break;
            }
            if (end.exit) throw fail(`ended with ${JSON.stringify(end.exit)} before it listened`);
            if (Date.now() > deadline) {
                await this.kill();
                throw fail("did not listen in time");
            }
            await Promise.race([sleep(10), this.exit]);
        }
        await this.untilReady(deadline, () => end.exit, fail);
    }

    private async untilReady(deadline: number, exit: () => Exit | undefined, fail: (why: string) => Error): Promise<void> {
        while (this.options.awaits !== "listening") {
            const status = await fetch(`${this.url}/health/ready`, { signal: AbortSignal.timeout(5000) }).then((reply) => reply.status, () => 0);
            if (status === 200) return;
            if (exit()) throw fail(`ended with ${JSON.stringify(exit())} before it was ready`);
            if (Date.now() > deadline) {
                await this.kill();
                throw fail(`was not ready in time (last status ${status})`);
            }
            await sleep(20);
        }
    }

    /** The same shop behind the Lambda front: what `serve` does for itself is done by commands beside it. */
    private async launchLambda(front: Front, env: Record<string, string>): Promise<void> {
        const settings = environment({ ...this.database.env, ...this.options.env, ...env });
        const fail = (why: string) => new Error(`souk ${why}\nstdout: ${this.stdout.slice(-2000)}\nstderr: ${this.stderr.slice(-4000)}`);
        this.ending = undefined;
        this.stdout = "";
        this.stderr = "";
        const migrated = await souk(this.data, ["migrate", "up"], { env: settings });
        if (migrated.code !== 0) {
            this.stderr = migrated.stderr;
            throw fail(`migrate up ended with ${migrated.code}`);
        }
        const shop = new LambdaShop(front, this.data, settings, !this.options.args?.includes("--no-jobs"), (stream, text) => {
            this[stream] = (this[stream] + text).slice(-4_000_000);
        });
        this.lambda = shop;
        this.exit = shop.exit;
        void shop.exit.then(() => { this.lambda = undefined; }, () => { this.lambda = undefined; });
        await shop.start();
        this.port = shop.front.port;
        this.url = shop.front.url;
        try {
            await this.untilReady(Date.now() + START_MS, () => undefined, fail);
        } catch (error) {
            await shop.kill();
            throw error;
        }
    }

    /** What a browser that talks to it calls it: in front of Lambda there is always TLS. */
    get origin(): string {
        return lambdaFront === undefined ? this.url : this.url.replace("http:", "https:");
    }

    get pid(): number {
        return this.child?.pid ?? -1;
    }

    get isRunning(): boolean {
        return this.child !== undefined || this.lambda !== undefined;
    }

    signal(name: NodeJS.Signals): void {
        this.child?.kill(name);
        this.lambda?.signal(name);
    }

    /** kill -9, as a power cut would. */
    async kill(): Promise<void> {
        this.child?.kill("SIGKILL");
        await this.lambda?.kill();
        await this.exit;
    }

    /** SIGTERM, once; answers how it ended. */
    terminate(): Promise<Exit> {
        if (!this.ending) {
            this.ending = this.terminateOnce();
            this.ending.catch(() => undefined);
        }
        return this.ending;
    }

    private async terminateOnce(): Promise<Exit> {
        if (this.lambda) return this.lambda.stop();
        this.child?.kill("SIGTERM");
        const late = new AbortController();
        const exit = await Promise.race([this.exit, sleep(STOP_MS, undefined, { signal: late.signal }).catch(() => undefined)]);
        late.abort();
        if (exit === undefined) {
            await this.kill();
            throw new Error(`souk did not stop within ${STOP_MS} ms of SIGTERM\n${this.stderr.slice(-4000)}`);
        }
        return exit;
    }

    /** The normal end of a test file: it must stop cleanly. Then the temporary folder goes. */
    async dispose(): Promise<void> {
        try {
            if (this.isRunning) {
                const exit = await this.terminate();
                assert.deepEqual(exit, { code: 0, signal: null }, `souk must exit 0 on SIGTERM\n${this.stderr.slice(-4000)}`);
            }
        } finally {
            this.release();
        }
    }

    /** A souk command on this server's data, beside it or while it is down. */
    run(args: string[], options: { input?: string; env?: Record<string, string> } = {}): Promise<CommandResult> {
        return souk(this.data, args, { ...options, env: { ...this.options.env, ...options.env } });
    }

    get database(): Database {
        return databaseOf(this.data);
    }

    sql(statement: string): Row[] {
        return this.database.query(statement);
    }

    /** What it signs cursors and encrypts keys with. */
    get secret(): string {
        return this.database.env.SOUK_SECRET ?? readFileSync(path.join(this.data, "secret"), "utf8").trim();
    }
}
