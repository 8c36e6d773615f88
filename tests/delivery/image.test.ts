// make image-test: the steps of the Dockerfile, carried out without Docker: each stage is a Debian made by debootstrap, RUN runs in it,
// COPY copies what .dockerignore lets in. Then what Docker would run is run as Docker would: as process 1, as its user, with nothing
// writable but the volume; and with compose.yaml's environment, on a PostgreSQL and a Redis. Needs root.
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { chownSync, cpSync, mkdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { parse } from "yaml";
import { ignores, parseDockerfile, type Instruction } from "../../packaging/dockerfile.ts";
import { root } from "../support/paths.ts";
import { ended, eventually, freePort, temporaryFolder, track } from "../support/processes.ts";
import { Client, ok } from "../support/client.ts";
import { Postgres } from "../support/postgres.ts";
import { Redis } from "../support/redis.ts";
import { Machine, baseMachine, good, whyNot } from "./machine.ts";

const TEST_MS = 3_600_000;
const START_MS = 180_000;
const STOP_MS = 60_000;
const read = (name: string) => readFileSync(path.join(root, name), "utf8");
const image = parseDockerfile(read("Dockerfile"));
const ignore = read(".dockerignore");

/** COPY of files of the repository: a folder's content, or files into a folder. */
function copyIn(machine: Machine, workdir: string, sources: string[], target: string): void {
    const to = path.join(machine.root, path.resolve(workdir, target));
    for (const source of sources) {
        const from = path.join(root, source);
        const isFolder = statSync(from).isDirectory();
        const place = isFolder || !(target.endsWith("/") || target === "." || target === "./") ? to : path.join(to, path.basename(source));
        mkdirSync(path.dirname(place), { recursive: true });
        cpSync(from, place, { recursive: true, filter: (one) => statSync(one).isDirectory() || !ignores(ignore, path.relative(root, one)) });
    }
}

/** A stage as a machine. */
function carryOut(base: string, instructions: Instruction[], stages: Map<string, Machine>): Machine {
    const machine = new Machine(base);
    let workdir = "/";
    let env: Record<string, string> = {};
    for (const step of instructions) {
        switch (step.kind) {
            case "WORKDIR":
                workdir = step.folder;
                mkdirSync(path.join(machine.root, workdir), { recursive: true });
                break;
            case "ENV":
                env = { ...env, ...step.values };
                break;
            case "USER":
                break; // no RUN comes behind it: the test below says so
            case "COPY":
                if (step.from === undefined) copyIn(machine, workdir, step.sources, step.target);
                else for (const source of step.sources) cpSync(path.join(stages.get(step.from)!.root, source), path.join(machine.root, path.resolve(workdir, step.target)));
                break;
            case "RUN":
                good(machine.install("env", "-C", workdir, ...Object.entries(env).map(([name, value]) => `${name}=${value}`), "sh", "-c", step.command));
                break;
        }
    }
    return machine;
}

describe("the image", { skip: whyNot() ?? false, timeout: TEST_MS }, () => {
    const stages = new Map<string, Machine>();
    let last: Machine;
    const [uid, gid] = image.user.split(":").map(Number) as [number, number];

    before(() => {
        assert.deepEqual([...new Set(image.stages.map(({ base }) => base))], ["debian:12-slim"]);
        const base = baseMachine("least", []);
        for (const { name, instructions } of image.stages) {
            const user = instructions.findIndex((step) => step.kind === "USER");
            assert.ok(!instructions.slice(user < 0 ? instructions.length : user).some((step) => step.kind === "RUN"), "RUN as another user is not carried out here");
            last = carryOut(base, instructions, stages);
            if (name !== undefined) stages.set(name, last);
        }
        for (const machine of stages.values()) void machine.dispose();
    });
    after(async () => {
        for (const machine of stages.values()) await machine.dispose();
        await last?.dispose();
    });

    /** What Docker runs, with these settings on top and `volume` at /data. The network is this machine's. */
    function start(volume: string, env: Record<string, string>): { child: ChildProcess; output: () => string } {
        chownSync(volume, uid, gid); // as Docker does with a new volume: it is given the folder's owner
        const settings = Object.entries({ ...image.env, ...env }).map(([name, value]) => `--setenv=${name}=${value}`);
        const child = spawn("systemd-nspawn", [...last.container, "--read-only", `--bind=${volume}:${image.volumes[0]}`, `--chdir=${image.workdir}`,
            "--console=pipe", ...settings,
            "setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--", ...image.entrypoint, ...image.command], { stdio: ["ignore", "pipe", "pipe"] });
        track(child, "SIGTERM");
        let text = "";
        for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (more: string) => { text = (text + more).slice(-1_000_000); });
        return { child, output: () => text };
    }

    async function inContainer(volume: string, env: Record<string, string>, work: (url: string, pid: number) => Promise<void>): Promise<void> {
        const port = await freePort();
        const { child, output } = start(volume, { ...env, SOUK_LISTEN: `127.0.0.1:${port}` });
        const pid = await eventually("souk is process 1", () => last.initBelow(child.pid!) ?? (child.exitCode !== null && assert.fail(output())), START_MS);
        try {
            await eventually("souk listens", () => output().includes("listening on") || (child.exitCode !== null && assert.fail(output())), START_MS);
            await eventually("souk is ready", () => fetch(`http://127.0.0.1:${port}/health/ready`).then(({ status }) => status === 200, () => false), START_MS);
            await work(`http://127.0.0.1:${port}`, pid);
        } catch (error) {
            throw new Error(output().slice(-3000), { cause: error });
        } finally {
            if (child.exitCode === null) process.kill(pid, image.stopSignal);
            await ended(child, STOP_MS);
        }
        assert.equal(child.exitCode, 0, `it ends cleanly as process 1 on ${image.stopSignal}\n${output().slice(-2000)}`);
    }

    test("is small, and has no compiler", () => {
        assert.notEqual(last.install("sh", "-c", "command -v gcc cc make").code, 0);
        const size = Number(good(last.install("du", "-sxk", "/")).stdout.split("\t")[0]);
        assert.ok(size < 200_000, `${size} KB`);
        console.log(`  the root folder: ${Math.round(size / 1024)} MB`);
    });

    test("runs as its user on a read-only root, says how it is, and ends on its signal", async () => {
        const { folder, release } = temporaryFolder();
        try {
            await inContainer(folder, {}, async (url, pid) => {
                const status = readFileSync(`/proc/${pid}/status`, "utf8");
                assert.match(status, new RegExp(`^Uid:\\s+${uid}\\s+${uid}\\s`, "m"));
                assert.match(status, /^CapEff:\s+0+$/m);
                const health = image.healthcheck.command;
                assert.equal(last.besides(pid, uid, { ...image.env, SOUK_LISTEN: url.replace("http://", "") }, ...health).code, 0);
                assert.equal(last.besides(pid, uid, { ...image.env, SOUK_LISTEN: "127.0.0.1:1" }, ...health).code, 1, "and says when it does not answer");
                const cart = ok(await new Client(url).post("/cart", {}), 201);
                assert.equal(ok(await new Client(url).get(`/cart/${cart.id}`)).id, cart.id);
            });
            assert.equal(statSync(path.join(folder, "souk.db")).uid, uid);
        } finally {
            release();
        }
    });

    test("runs with compose.yaml's environment on a PostgreSQL and a Redis", async () => {
        const { environment } = (parse(read("compose.yaml")) as { services: { souk: { environment: Record<string, string> } } }).services.souk;
        const postgres = await Postgres.start();
        const redis = await Redis.start();
        const { folder, release } = temporaryFolder();
        try {
            const values: Record<string, string> = { SOUK_SECRET: "0123456789abcdef".repeat(4), POSTGRES_PASSWORD: "postgres" };
            const filled = Object.fromEntries(Object.entries(environment).map(([name, value]) =>
                [name, value.replaceAll(/\$\{(\w+)[^}]*\}/g, (_, variable: string) => values[variable] ?? "")]));
            // The services of this test stand elsewhere than on Compose's network.
            filled.DATABASE_URL = postgres.url();
            filled.REDIS_URL = redis.url();
            await inContainer(folder, filled, async (url) => {
                const cart = ok(await new Client(url).post("/cart", {}), 201);
                assert.equal(ok(await new Client(url).get(`/cart/${cart.id}`)).id, cart.id);
            });
        } finally {
            release();
            await redis.dispose();
            await postgres.dispose();
        }
    });
});
