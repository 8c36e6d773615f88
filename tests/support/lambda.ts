// AWS Lambda in small: the Runtime API of each execution environment, the environments (copies of the real `bootstrap`, started when an
// invocation finds none idle, one invocation at a time, killed at its deadline), and their outcomes. After "Lambda runtime API" and
// "Lambda execution environment" of AWS's documentation.
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server as HttpServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { ended, track } from "./processes.ts";

export const RESPONSE_BYTES_MAX = 6_291_556; // of a buffered response
const STREAM_BYTES_MAX = 200 * 1024 * 1024;
const STOP_MS = 10_000;
const OUTPUT_MAX = 4_000_000;
const API = "/2018-06-01/runtime/";

export interface LambdaOptions {
    command: string;
    argv0?: string;
    args?: string[];
    env: Record<string, string>;
    handler?: string;        // _HANDLER; default: api
    cwd?: string;
    copies?: number;         // execution environments at once, as reserved concurrency; default 8
    timeoutMs?: number;      // of the function; default 30 s
    initTimeoutMs?: number;
    onOutput?: (stream: "stdout" | "stderr", text: string) => void;
}

/** How an invocation ended. */
export interface Outcome {
    kind: "response" | "error" | "exit" | "timeout" | "init";
    body: Buffer;
    streamed: boolean;
    type: string;                        // Content-Type of what was posted
    errorType: string;                   // of the header, or the trailer
    error?: { errorType?: string; errorMessage?: string };
    copy: Copy;
}

interface Invocation {
    id: string;
    event: string;
    traceId: string;
    deadlineMs: number;
    settle: (outcome: Outcome) => void;
    late?: NodeJS.Timeout;
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
}

function say(response: ServerResponse, status: number, body: object): void {
    const text = JSON.stringify(body);
    response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
    response.end(text);
}

/** One execution environment: a process and its Runtime API. */
export class Copy {
    child!: ChildProcess;
    initError: { errorType?: string; errorMessage?: string } | undefined;
    exit: Promise<{ code: number | null; signal: NodeJS.Signals | null }> = Promise.resolve({ code: null, signal: null });
    hasExited = false;
    private waiting: ServerResponse | undefined; // its question for work
    private current: Invocation | undefined;
    private readonly server: HttpServer;

    constructor(private readonly of: LambdaFunction) {
        this.server = createServer((request, response) => {
            this.answer(request, response).catch((error: unknown) => {
                this.of.faults.push(String(error));
                response.destroy();
            });
        });
        this.server.keepAliveTimeout = 0; // it keeps connections, whatever it takes
        this.server.requestTimeout = 0;
    }

    get isIdle(): boolean {
        return this.waiting !== undefined && this.current === undefined;
    }

    get isBusy(): boolean {
        return this.current !== undefined;
    }

    async start(): Promise<void> {
        const { options } = this.of;
        await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
        const { port } = this.server.address() as AddressInfo;
        this.child = track(spawn(options.command, options.args ?? [], {
            argv0: options.argv0,
            cwd: options.cwd ?? "/tmp",
            env: {
                LAMBDA_TASK_ROOT: options.cwd ?? "/tmp", AWS_LAMBDA_FUNCTION_NAME: "souk", AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
                AWS_LAMBDA_FUNCTION_MEMORY_SIZE: "256", _HANDLER: options.handler ?? "api", ...options.env,
                AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${port}`,
            },
            stdio: ["ignore", "pipe", "pipe"],
        }));
        for (const stream of ["stdout", "stderr"] as const) {
            this.child[stream]!.setEncoding("utf8").on("data", (text: string) => {
                this.of[stream] = (this.of[stream] + text).slice(-OUTPUT_MAX);
                options.onOutput?.(stream, text);
            });
        }
        const late = setTimeout(() => this.child.kill("SIGKILL"), options.initTimeoutMs ?? 10_000); // AWS: initialization has ten seconds
        this.server.once("request", () => clearTimeout(late));
        this.exit = new Promise((resolve) => {
            const over = (code: number | null, signal: NodeJS.Signals | null) => {
                clearTimeout(late);
                this.over(code, signal);
                resolve({ code, signal });
            };
            this.child.once("error", () => over(null, null));
            this.child.once("close", over);
        });
    }

    private over(code: number | null, signal: NodeJS.Signals | null): void {
        this.hasExited = true;
        this.waiting = undefined;
        this.server.closeAllConnections();
        this.server.close();
        this.of.forget(this);
        const why = this.initError ?? { errorType: "Runtime.ExitError", errorMessage: `Runtime exited with ${signal ?? code}` };
        this.settle({ kind: this.initError ? "init" : "exit", body: Buffer.alloc(0), streamed: false, type: "", errorType: why.errorType ?? "", error: why, copy: this });
        this.of.failWaiting(this, why);
    }

    /** Gives the invocation to the process, which waits for one. */
    take(invocation: Invocation): void {
        const response = this.waiting!;
        this.waiting = undefined;
        this.current = invocation;
        invocation.late = setTimeout(() => {
            this.settle({ kind: "timeout", body: Buffer.alloc(0), streamed: false, type: "", errorType: "Sandbox.Timedout",
                error: { errorType: "Sandbox.Timedout", errorMessage: "Task timed out" }, copy: this });
            this.child.kill("SIGKILL");
        }, Math.max(0, invocation.deadlineMs - Date.now()));
        response.writeHead(200, {
            "content-type": "application/json", "content-length": Buffer.byteLength(invocation.event),
            "lambda-runtime-aws-request-id": invocation.id,
            "lambda-runtime-deadline-ms": String(invocation.deadlineMs),
            "lambda-runtime-invoked-function-arn": "arn:aws:lambda:eu-west-1:123456789012:function:souk",
            "lambda-runtime-trace-id": invocation.traceId,
        });
        response.end(invocation.event);
    }

    private settle(outcome: Outcome): void {
        const invocation = this.current;
        if (!invocation) return;
        clearTimeout(invocation.late);
        this.current = undefined;
        invocation.settle(outcome);
    }

    private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
        const url = request.url ?? "";
        const match = /^\/2018-06-01\/runtime\/invocation\/([^/]+)\/(response|error)$/.exec(url);
        if (request.method === "GET" && url === `${API}invocation/next`) {
            if (this.current) this.of.faults.push("asked for work before the invocation was answered");
            this.waiting = response;
            response.once("close", () => { if (this.waiting === response) this.waiting = undefined; });
            this.of.dispatch();
            return;
        }
        const body = await bodyOf(request);
        if (request.method !== "POST") return say(response, 404, { errorType: "NotFound", errorMessage: url });
        if (url === `${API}init/error`) {
            this.initError = JSON.parse(body.toString("utf8")) as { errorType?: string; errorMessage?: string };
            return say(response, 202, { status: "OK" });
        }
        if (!match) return say(response, 404, { errorType: "NotFound", errorMessage: url });
        if (match[1] !== this.current?.id) return say(response, 400, { errorType: "InvalidRequestID", errorMessage: "Invalid request ID" });
        this.finish(match[2] === "error", request, response, body);
    }

    private finish(isError: boolean, request: IncomingMessage, response: ServerResponse, body: Buffer): void {
        const streamed = request.headers["lambda-runtime-function-response-mode"] === "streaming";
        const trailerType = request.trailers["lambda-runtime-function-error-type"];
        const errorType = String(request.headers["lambda-runtime-function-error-type"] ?? trailerType ?? "");
        if (!isError && body.length > (streamed ? STREAM_BYTES_MAX : RESPONSE_BYTES_MAX)) {
            say(response, 413, { errorType: "RequestEntityTooLarge", errorMessage: `Exceeded maximum allowed payload size (${RESPONSE_BYTES_MAX} bytes).` });
            return this.settle({ kind: "error", body, streamed, type: "", errorType: "Function.ResponseSizeTooLarge", error: { errorType: "Function.ResponseSizeTooLarge" }, copy: this });
        }
        if (streamed && request.headers["transfer-encoding"] !== "chunked") this.of.faults.push("streamed without chunks");
        say(response, 202, { status: "OK" });
        const error = isError ? JSON.parse(body.toString("utf8")) as { errorType?: string; errorMessage?: string } : undefined;
        this.settle({ kind: isError || trailerType !== undefined ? "error" : "response", body, streamed, type: request.headers["content-type"] ?? "", errorType, copy: this, ...(error ? { error } : {}) });
    }

    async stop(): Promise<void> {
        if (this.hasExited) return;
        this.child.kill("SIGCONT");
        this.child.kill("SIGTERM");
        await ended(this.child, STOP_MS);
        await this.exit;
    }
}

export class LambdaFunction {
    stdout = "";
    stderr = "";
    /** What was done against the rules. */
    readonly faults: string[] = [];
    readonly copies = new Set<Copy>();
    started = 0;
    private readonly queue: Invocation[] = [];
    private isStopping = false;

    constructor(readonly options: LambdaOptions) {}

    invoke(event: object | string, options: { timeoutMs?: number; traceId?: string } = {}): Promise<Outcome> {
        assert.ok(!this.isStopping, "the function is being stopped");
        return new Promise((settle) => {
            this.queue.push({
                id: randomUUID(), event: typeof event === "string" ? event : JSON.stringify(event), settle,
                traceId: options.traceId ?? `Root=1-${Math.floor(Date.now() / 1000).toString(16)}-${randomBytes(12).toString("hex")};Parent=${randomBytes(8).toString("hex")};Sampled=0`,
                deadlineMs: Date.now() + (options.timeoutMs ?? this.options.timeoutMs ?? 30_000),
            });
            this.dispatch();
        });
    }

    /** Hands what waits to who is idle; starts another copy for what is left, within the limit. */
    dispatch(): void {
        for (const copy of this.copies) {
            if (this.queue.length === 0) return;
            if (copy.isIdle) copy.take(this.queue.shift()!);
        }
        const starting = [...this.copies].filter((copy) => !copy.isBusy && !copy.isIdle).length;
        let wanted = this.queue.length - starting;
        while (!this.isStopping && wanted-- > 0 && this.copies.size < (this.options.copies ?? 8)) this.startCopy();
    }

    private startCopy(): void {
        const copy = new Copy(this);
        this.copies.add(copy);
        this.started++;
        copy.start().catch((error: unknown) => { this.faults.push(String(error)); });
    }

    forget(copy: Copy): void {
        this.copies.delete(copy);
    }

    /** A copy ended before it took anything: what waited for it fails, as Lambda fails it. */
    failWaiting(copy: Copy, error: { errorType?: string; errorMessage?: string }): void {
        if (copy.initError) {
            const invocation = this.queue.shift();
            invocation?.settle({ kind: "init", body: Buffer.alloc(0), streamed: false, type: "", errorType: error.errorType ?? "", error, copy });
        }
        if (!this.isStopping) this.dispatch();
    }

    /** As a power cut would. */
    async kill(): Promise<void> {
        this.isStopping = true;
        await Promise.all([...this.copies].map((copy) => {
            copy.child.kill("SIGKILL");
            return copy.exit;
        }));
    }

    async stop(): Promise<void> {
        this.isStopping = true;
        const copies = [...this.copies];
        const exits = await Promise.all(copies.map(async (copy) => {
            await copy.stop();
            return copy.exit;
        }));
        for (const exit of exits) assert.deepEqual(exit, { code: 0, signal: null }, `a function must exit 0 on SIGTERM\n${this.stderr.slice(-4000)}`);
        assert.deepEqual(this.faults, [], "the rules of the Runtime API");
    }
}
