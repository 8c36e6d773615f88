// Machines of our own: a Debian made by debootstrap in a folder, in which commands run (systemd-nspawn), or which boots with its own
// systemd and a network that has only a loopback. Needs root. Nothing of this machine's file system is changed but build/machines/.
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync, type ChildProcess } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { childrenOf, ended, eventually, temporaryFolder, track } from "../support/processes.ts";
import { root } from "../support/paths.ts";

const RELEASE = "bookworm";
const MAKE_MS = 1_200_000; // bounds, not expectations: it downloads
const COMMAND_MS = 600_000;
const BOOT_MS = 120_000;
const STOP_MS = 60_000;
const OUTPUT_BYTES_MAX = 64 << 20;

export interface Result { code: number; stdout: string; stderr: string }

export const good = (result: Result): Result => {
    assert.equal(result.code, 0, `${result.stdout.slice(-4000)}\n${result.stderr.slice(-4000)}`);
    return result;
};

function run(command: string, args: string[], options: { input?: string; timeoutMs?: number; env?: NodeJS.ProcessEnv } = {}): Result {
    const result = spawnSync(command, args, {
        input: options.input ?? "", encoding: "utf8", timeout: options.timeoutMs ?? COMMAND_MS, maxBuffer: OUTPUT_BYTES_MAX,
        ...(options.env ? { env: options.env } : {}),
    });
    if (result.error) throw result.error;
    return { code: result.status ?? 128, stdout: result.stdout, stderr: result.stderr };
}

export function whyNot(): string | undefined {
    if (process.getuid?.() !== 0) return "it needs root: mounts, a network namespace, chroot";
    for (const command of ["debootstrap", "systemd-nspawn"])
        if (run("sh", ["-c", `command -v ${command}`]).code !== 0) return `${command} is missing: apt-get install debootstrap systemd-container`;
    return undefined;
}

/** Where this machine has its Debian packages from: the new one is given the same places. */
function mirror(): string {
    const indexes = execFileSync("apt-get", ["indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"], { encoding: "utf8" });
    const line = indexes.split("\n").map((text) => text.split(" ")).find(([, release, component]) => release === RELEASE && component === "main");
    assert.ok(line?.[0], `this machine has no source of Debian's ${RELEASE}/main`);
    return line[0];
}

/** A root folder with Debian's least and `packages`, made once and kept in build/machines. */
export function baseMachine(name: string, packages: string[]): string {
    const folder = path.join(root, "build/machines", name);
    const want = packages.join(",");
    if (existsSync(`${folder}.packages`) && readFileSync(`${folder}.packages`, "utf8") === want) return folder;
    const making = `${folder}.making`;
    for (const old of [folder, making]) rmSync(old, { recursive: true, force: true });
    mkdirSync(path.dirname(folder), { recursive: true });
    good(run("debootstrap", ["--variant=minbase", ...(want ? [`--include=${want}`] : []), RELEASE, making, mirror()], { timeoutMs: MAKE_MS }));
    rmSync(path.join(making, "etc/apt/sources.list"), { force: true });
    for (const part of ["sources.list", "sources.list.d", "apt.conf.d", "trusted.gpg.d"]) {
        const from = path.join("/etc/apt", part);
        if (existsSync(from)) cpSync(from, path.join(making, "etc/apt", part), { recursive: true });
    }
    // Others than Debian's need keys that are not there.
    for (const file of readdirSync(path.join(making, "etc/apt/sources.list.d")))
        if (!readFileSync(path.join(making, "etc/apt/sources.list.d", file), "utf8").includes(RELEASE) || !file.startsWith("debian"))
            rmSync(path.join(making, "etc/apt/sources.list.d", file));
    good(run("systemd-nspawn", ["-q", "-D", making, "--register=no", "--keep-unit", "--pipe", "apt-get", "update"]));
    renameSync(making, folder);
    writeFileSync(`${folder}.packages`, want);
    return folder;
}

/** A machine that begins as a base machine is and is gone at the end; the base stays as it was (an overlay). */
export class Machine {
    readonly root: string;
    private readonly release: () => void;
    private booted: ChildProcess | undefined;
    private leader = 0;
    private console = "";

    constructor(base: string) {
        const { folder, release } = temporaryFolder(undefined, () => run("umount", ["-l", this.root]));
        this.release = release;
        this.root = path.join(folder, "root");
        for (const name of ["root", "upper", "work"]) mkdirSync(path.join(folder, name));
        good(run("mount", ["-t", "overlay", "souk-machine", "-o",
            `lowerdir=${base},upperdir=${path.join(folder, "upper")},workdir=${path.join(folder, "work")}`, this.root]));
    }

    /** How systemd-nspawn is told of this machine. */
    get container(): string[] {
        return ["-q", "-D", this.root, "--register=no", "--keep-unit", "--hostname=souk-machine"];
    }

    /** Runs a command in the machine while it is not booted, with this machine's network: for installing. */
    install(...command: string[]): Result {
        assert.equal(this.booted, undefined);
        return run("systemd-nspawn", [...this.container, "--pipe", "--setenv=DEBIAN_FRONTEND=noninteractive", ...command]);
    }

    /** Its systemd starts what is enabled; its network is a loopback and nothing else. */
    async boot(): Promise<void> {
        const child = spawn("systemd-nspawn", [...this.container, "--private-network", "--console=pipe", "-b"], { stdio: ["ignore", "pipe", "pipe"] });
        track(child, "SIGTERM");
        this.booted = child;
        for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => { this.console = (this.console + text).slice(-100_000); });
        this.leader = await eventually("the machine has an init", () => this.initBelow(child.pid!), BOOT_MS).catch((error: Error) => {
            throw new Error(`${error.message}\n${this.console.slice(-4000)}`);
        });
        await eventually("the machine has started", () => {
            const state = this.run("systemctl", "is-system-running").stdout.trim();
            return state === "running" || state === "degraded";
        }, BOOT_MS);
    }

    /** The process that is number 1 in a machine: below its systemd-nspawn, or below that one's child. */
    initBelow(pid: number): number | undefined {
        for (const child of childrenOf(pid)) {
            if (/^NSpid:(\s+\d+)*\s+1$/m.test(readFileSync(`/proc/${child}/status`, "utf8"))) return child;
            const below = this.initBelow(child);
            if (below !== undefined) return below;
        }
        return undefined;
    }

    /** Runs a command in the booted machine, as its root. */
    run(...command: string[]): Result {
        return this.runWith("", ...command);
    }

    runWith(input: string, ...command: string[]): Result {
        assert.ok(this.leader > 0, "it is not booted");
        return run("nsenter", ["-t", String(this.leader), "-m", "-u", "-i", "-n", "-p", "-C", "--root", "--wdns=/", "--", ...command],
            { input, env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C.UTF-8", DEBIAN_FRONTEND: "noninteractive" } });
    }

    /** The number that a process of the machine has here. */
    hostPid(pid: number): number {
        const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number);
        const found = all.find((one) => {
            try {
                return new RegExp(`^NSpid:.*\\s${pid}$`, "m").test(readFileSync(`/proc/${one}/status`, "utf8")) && this.isOurs(one);
            } catch {
                return false; // it has ended
            }
        });
        assert.ok(found, `the machine has no process ${pid}`);
        return found;
    }

    private isOurs(pid: number): boolean {
        return readlinkSync(`/proc/${pid}/ns/pid`) === readlinkSync(`/proc/${this.leader}/ns/pid`);
    }

    /** Runs a command of this machine in the network of that one. */
    near(...command: string[]): Result {
        assert.ok(this.leader > 0, "it is not booted");
        return run("nsenter", ["-t", String(this.leader), "-n", "--", ...command]);
    }

    /** Runs a command beside the process `pid` of a machine that was not booted, as that user, with that environment and no other. */
    besides(pid: number, uid: number, env: Record<string, string>, ...command: string[]): Result {
        return run("nsenter", ["-t", String(pid), "-m", "-u", "-i", "-n", "-p", "-C", "--root", "--wdns=/", "--setuid", String(uid), "--", ...command],
            { env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ...env } });
    }

    async stop(): Promise<void> {
        const child = this.booted;
        if (!child) return;
        this.booted = undefined;
        this.leader = 0;
        child.kill("SIGTERM"); // systemd-nspawn turns the machine off
        await ended(child, STOP_MS);
    }

    async dispose(): Promise<void> {
        await this.stop();
        this.release();
    }
}
