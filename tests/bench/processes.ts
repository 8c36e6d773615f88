// The processes of the benchmark - souk, nginx, the load generator - each pinned to its core, and what the system says they used.
import { execFileSync, spawn, spawnSync, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { binary, testsFolder } from "../support/paths.ts";

const START_MS = 30_000;
const STOP_MS = 20_000;
const TICKS_PER_SECOND = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

const running = new Set<ChildProcess>();
process.on("exit", () => {
    for (const child of running) child.kill("SIGKILL");
});

// ---- cores ----

/** The cores that this process may use, from 0. */
function allowedCores(): number[] {
    const list = /Cpus_allowed_list:\s*(\S+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
    return list.split(",").flatMap((part) => {
        const [first, last] = part.split("-").map(Number) as [number, number | undefined];
        return Array.from({ length: (last ?? first) - first + 1 }, (_, index) => first + index);
    });
}

const cores = allowedCores();
export const serverCore = cores[0]!;
export const loadCore = cores[cores.length - 1]!;

export const pinned = (core: number, command: string[]): string[] => ["taskset", "-c", String(core), ...command];

/** The same for what runs already. */
export function pin(core: number, pids: number[]): void {
    for (const pid of pids) execFileSync("taskset", ["-acp", String(core), String(pid)], { stdio: "ignore" });
}

/** Busy time of a core so far, by whoever. */
export function coreBusyUs(core: number): number {
    const line = new RegExp(`^cpu${core} (.*)$`, "m").exec(readFileSync("/proc/stat", "utf8"))![1]!;
    const [user, nice, system, , , irq, softirq, steal] = line.trim().split(/\s+/).map(Number) as number[];
    return ((user! + nice! + system! + irq! + softirq! + steal!) * 1e6) / TICKS_PER_SECOND;
}

// ---- servers ----

export interface Server {
    name: string;
    url: string;
    port: number;
    pid: number;
    stop(): Promise<void>;
}

/** CPU time of a process and all its threads, user and system. The scheduler counts nanoseconds for each thread (those of the
 * servers live as long as their process); where it does not, the process's clock counts ticks of 10 ms. */
export function cpuUs(pid: number): number {
    const tasks = `/proc/${pid}/task`;
    if (existsSync(`/proc/${pid}/schedstat`)) {
        const nanoseconds = readdirSync(tasks).map((task) => Number(readFileSync(`${tasks}/${task}/schedstat`, "utf8").split(" ")[0]));
        return nanoseconds.reduce((sum, one) => sum + one, 0) / 1000;
    }
    return ticksUs(pid, 11);
}

/** CPU time of the children of a process that it has waited for. */
export function reapedCpuUs(pid: number): number {
    return ticksUs(pid, 13);
}

/** Two of the times in a process's stat: user and system, from this field behind its name. */
function ticksUs(pid: number, field: number): number {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return ((Number(fields[field]) + Number(fields[field + 1])) * 1e6) / TICKS_PER_SECOND;
}

function start(command: string[], env: Record<string, string>): { child: ChildProcess; output: () => string; ended: Promise<void> } {
    const child = spawn(command[0]!, command.slice(1), { cwd: "/", env, stdio: ["ignore", "pipe", "pipe"] });
    running.add(child);
    let output = "";
    const keep = (text: string) => { output = (output + text).slice(-100_000); };
    child.stdout!.setEncoding("utf8").on("data", keep);
    child.stderr!.setEncoding("utf8").on("data", keep);
    const ended = new Promise<void>((resolve) => {
        const end = () => { running.delete(child); resolve(); };
        child.once("close", end).once("error", (error) => { keep(String(error)); end(); });
    });
    return { child, output: () => output, ended };
}

/** Waits until the process says where it listens, or answers there. */
async function listening(name: string, started: ReturnType<typeof start>, port: () => Promise<number | undefined>): Promise<Server> {
    const deadline = Date.now() + START_MS;
    for (;;) {
        const found = await port();
        if (found !== undefined) {
            return {
                name, port: found, url: `http://127.0.0.1:${found}`, pid: started.child.pid!,
                async stop() {
                    started.child.kill("SIGTERM");
                    await Promise.race([started.ended, sleep(STOP_MS, undefined, { ref: false })]);
                    started.child.kill("SIGKILL");
                    await started.ended;
                },
            };
        }
        if (!running.has(started.child) || Date.now() > deadline) {
            started.child.kill("SIGKILL");
            throw new Error(`${name} did not start: ${started.output().slice(-2000)}`);
        }
        await sleep(20);
    }
}

/** One I/O thread, since it has one core. Background jobs are another process's business (`souk work`). */
export function startSouk(name: string, data: string, extra: Record<string, string> = {}): Promise<Server> {
    const command = [binary, "serve", "--no-jobs", "--data", data, "--listen", "127.0.0.1:0"];
    const env = { PATH: process.env.PATH!, SOUK_LOG: "error", SOUK_RATE_LIMIT: "off", SOUK_IO_THREADS: "1", ...extra };
    const started = start(pinned(serverCore, command), env);
    return listening(name, started, async () => {
        const match = /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(started.output());
        return match ? Number(match[1]) : undefined;
    });
}

function freePort(): Promise<number> {
    return new Promise((resolve, reject) => {
        const server = createServer().once("error", reject).listen(0, "127.0.0.1", () => {
            const { port } = server.address() as { port: number };
            server.close(() => resolve(port));
        });
    });
}

/** One process, no log, open files kept; `locations` are the server's. Everything it writes is below `prefix`. */
export async function startNginx(prefix: string, http: string, locations: string): Promise<Server> {
    const port = await freePort();
    mkdirSync(path.join(prefix, "temporary"), { recursive: true });
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((one) => `${one}_temp_path temporary/${one};`).join(" ");
    writeFileSync(path.join(prefix, "nginx.conf"), `
daemon off; master_process off; pid nginx.pid; error_log stderr crit;
events { worker_connections 4096; }
http {
    ${temporary}
    access_log off; server_tokens off; default_type application/json;
    sendfile on; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 600s;
    open_file_cache max=100000 inactive=600s; open_file_cache_valid 600s;
    ${http}
    server { listen 127.0.0.1:${port} backlog=1024; root ${prefix}/files; ${locations} }
}
`);
    const started = start(pinned(serverCore, ["nginx", "-p", `${prefix}/`, "-c", `${prefix}/nginx.conf`, "-e", "stderr"]), { PATH: `${process.env.PATH}:/usr/sbin` });
    return listening("nginx", started, async () => {
        const is_up = await fetch(`http://127.0.0.1:${port}/`).then(() => true, () => false);
        return is_up ? port : undefined;
    });
}

// ---- load ----

export interface Run {
    answered: number;
    perSecond: number;
    cpuUs: number;          // of the server, for each request
    othersShare: number;    // of the server's core, used by others meanwhile
    bytes: number;          // of a reply, with its head
    medianUs: number;
    p99Us: number;
}

export interface LoadOptions {
    connections: number;
    seconds: number;        // 0: each request once
    ids?: string;           // a file for the ids in the replies
    isRefused?: boolean;    // every request shall be turned away, but for the first
}

interface Outcome {
    answered: number;
    seconds: number;
    bytes: number;
    success: number;
    medianUs: number;
    p99Us: number;
    firstFailure: string;
}

/** Compiles the load generator. */
export function buildLoad(folder: string): string {
    const program = path.join(folder, "load");
    const source = path.join(testsFolder, "bench/load.c");
    const result = spawnSync("cc", ["-std=gnu17", "-O2", "-o", program, source], { encoding: "utf8" });
    if (result.status !== 0) throw new Error(`tests/bench/load.c does not compile: ${result.stderr}`);
    return program;
}

export async function runLoad(program: string, server: Server, requests: string, options: LoadOptions): Promise<Run> {
    const command = pinned(loadCore, [program, String(server.port), String(options.connections), String(options.seconds), requests, ...(options.ids ? [options.ids] : [])]);
    const cpuBefore = cpuUs(server.pid);
    const busyBefore = coreBusyUs(serverCore);
    const before = performance.now();
    const started = start(command, {});
    await started.ended;
    const elapsedUs = (performance.now() - before) * 1000;
    const used = cpuUs(server.pid) - cpuBefore;
    const others = coreBusyUs(serverCore) - busyBefore - used;
    if (started.child.exitCode !== 0) throw new Error(`the load on ${server.name} failed: ${started.output()}`);
    const outcome = JSON.parse(started.output()) as Outcome;
    if (options.isRefused ? outcome.success > 1 + outcome.seconds : outcome.success !== outcome.answered) {
        throw new Error(`${outcome.answered - outcome.success} of ${outcome.answered} requests to ${server.name} failed, first with ${outcome.firstFailure}`);
    }
    return {
        answered: outcome.answered,
        perSecond: outcome.answered / outcome.seconds,
        cpuUs: used / outcome.answered,
        othersShare: Math.max(0, others / elapsedUs),
        bytes: outcome.bytes / outcome.answered,
        medianUs: outcome.medianUs,
        p99Us: outcome.p99Us,
    };
}

// ---- metrics ----

export type Metrics = Map<string, number>;

export async function metricsOf(server: Server): Promise<Metrics> {
    const text = await (await fetch(`${server.url}/metrics`)).text();
    const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    return new Map(lines.map((line) => {
        const space = line.lastIndexOf(" ");
        return [line.slice(0, space), Number(line.slice(space + 1))];
    }));
}

/** How much each metric rose. */
export function rise(before: Metrics, after: Metrics): (name: string) => number {
    return (name) => (after.get(name) ?? 0) - (before.get(name) ?? 0);
}
