// The processes and folders that a test starts and makes. Whatever is registered here is ended and removed with this process,
// however that ends (where it is killed with -9, the processes still go, the folders stay); nothing else ever is.
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { chownSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const END_MS = 5_000; // for a service that is told to go with this process; then it is killed

/** Each running process with the signal that ends it at once and cleanly. */
const running = new Map<ChildProcess, NodeJS.Signals>();
const folders = new Map<string, () => void>();

process.on("exit", () => {
    for (const [child, signal] of running) child.kill(signal);
    const deadline = Date.now() + END_MS;
    for (const child of running.keys()) {
        while (isAlive(child.pid) && Date.now() < deadline) sleepHere(10);
        if (isAlive(child.pid)) child.kill("SIGKILL");
    }
    for (const folder of [...folders.keys()]) removeFolder(folder);
});
// so that the above happens, undisturbed by a second signal
for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => process.exit(name === "SIGINT" ? 130 : 143));

/** Blocks: for the end of the process, where nothing else can run any more. */
function sleepHere(ms: number): void {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Whether the process runs; one that has ended and was not waited for does not. */
function isAlive(pid: number | undefined): boolean {
    try {
        return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
    } catch {
        return false;
    }
}

/** Registers a process until it ends. */
export function track(child: ChildProcess, signal: NodeJS.Signals = "SIGKILL"): ChildProcess {
    running.set(child, signal);
    child.once("exit", () => running.delete(child));
    child.once("error", () => running.delete(child));
    return child;
}

/** Starts a service that lives in `folder` and writes to its file `log`, as another user where one is given. The kernel sends it
 * `signal` when this process dies. */
export function startService(folder: string, command: string, args: string[], signal: NodeJS.Signals, user?: User): ChildProcess {
    const as = user ? [`--reuid=${user.uid}`, `--regid=${user.gid}`, "--clear-groups"] : [];
    const log = openSync(path.join(folder, "log"), "a");
    const child = spawn("setpriv", [...as, "--pdeathsig", signal.replace("SIG", ""), command, ...args], {
        cwd: folder, env: environmentOf(folder), stdio: ["ignore", log, log],
        detached: true, // a Ctrl-C is for the tests, which end their services themselves
    });
    closeSync(log);
    return track(child, signal);
}

/** Of a service or its tools: nothing of the developer's own settings and files. */
export function environmentOf(folder: string): Record<string, string> {
    return { PATH: process.env.PATH ?? "", HOME: folder, LC_ALL: "C.UTF-8" };
}

/** The ids of a process's children now. */
export function childrenOf(pid: number): number[] {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter((text) => text !== "").map(Number);
}

export interface User { uid: number; gid: number }

/** Who runs what refuses to run as root: the system's user of that name when we are root, ourselves otherwise. */
export function userUnlessRoot(name: string): User | undefined {
    if (process.getuid?.() !== 0) return undefined;
    try {
        const id = (flag: string) => Number(execFileSync("id", [flag, name], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }));
        return { uid: id("-u"), gid: id("-g") };
    } catch {
        throw new Error(`There is no user ${name}, whom PostgreSQL's package makes: run scripts/setup test.`);
    }
}

function removeFolder(folder: string): void {
    const before = folders.get(folder);
    folders.delete(folder);
    before?.();
    if (process.env.SOUK_KEEP) console.error(`kept ${folder}`);
    else rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
}

/** A new empty folder, which belongs to `owner` or to us. `release` runs `before` and removes it (the end of the process does, at the
 * latest), unless SOUK_KEEP is set. */
export function temporaryFolder(owner?: User, before: () => void = () => undefined): { folder: string; release: () => void } {
    const folder = mkdtempSync(path.join(os.tmpdir(), "souk-test-"));
    if (owner) chownSync(folder, owner.uid, owner.gid);
    folders.set(folder, before);
    return { folder, release: () => removeFolder(folder) };
}

/** A port that nothing listens on now. */
export function freePort(): Promise<number> {
    return new Promise((resolve, reject) => {
        const server = createServer();
        server.once("error", reject);
        server.listen(0, "127.0.0.1", () => {
            const { port } = server.address() as { port: number };
            server.close(() => resolve(port));
        });
    });
}

/** Waits until `check` answers something; bounded. */
export async function eventually<T>(what: string, check: () => Promise<T | undefined | false> | T | undefined | false, withinMs = 10_000): Promise<T> {
    const deadline = Date.now() + withinMs;
    for (;;) {
        const value = await check();
        if (value !== undefined && value !== false) return value;
        if (Date.now() > deadline) throw new Error(`${what}: not within ${withinMs} ms`);
        await sleep(25);
    }
}

/** Waits for the end of a process that was told to end; kills it when it takes too long. */
export async function ended(child: ChildProcess, withinMs: number): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    const late = setTimeout(() => child.kill("SIGKILL"), withinMs);
    await exit;
    clearTimeout(late);
}
