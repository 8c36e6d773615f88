// A Redis of our own, from the machine's packages, in a temporary folder on a free port of 127.0.0.1: plain, with users, with TLS, and
// a cluster of three masters and three replicas. Each node can be killed, wiped, paused and brought back. All of it goes with the test.
import { type ChildProcess } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { Redis as Client } from "ioredis";
import { makeCertificates, type Certificates } from "./certificates.ts";
import { ended, eventually, freePort, startService, temporaryFolder } from "./processes.ts";

const START_MS = 20_000; // bounds, not expectations
const STOP_MS = 10_000;
const CLUSTER_MS = 60_000;
const SLOTS = 16384;
const NODE_TIMEOUT_MS = 1_000; // after which a cluster calls a node failed
const PORT_TRIES = 5;

export interface RedisOptions {
    tls?: boolean | Certificates;
    user?: string;                      // with a password: this user, and no other, may log in
    password?: string;
    isCluster?: boolean;                // a node that waits for its cluster
    settings?: Record<string, string>;  // redis.conf, over ours
}

export class Redis {
    port = 0;
    busPort = 0;
    readonly certificates: Certificates | undefined;
    private child: ChildProcess | undefined;
    private connection: Client | undefined;

    private constructor(readonly folder: string, private readonly release: () => void, private readonly options: RedisOptions) {
        this.certificates = options.tls === true ? makeCertificates(folder) : options.tls || undefined;
    }

    static async start(options: RedisOptions = {}): Promise<Redis> {
        const { folder, release } = temporaryFolder();
        const server = new Redis(folder, release, options);
        try {
            for (let tries = 1; server.port === 0; tries++) {
                server.port = await freePort();
                server.busPort = await freePort();
                try {
                    await server.launch();
                } catch (error) {
                    if (tries === PORT_TRIES || !/address already in use/i.test(server.log())) throw error;
                    server.port = 0;
                }
            }
        } catch (error) {
            await server.dispose();
            throw error;
        }
        return server;
    }

    get isRunning(): boolean {
        return this.child !== undefined;
    }
    get address(): string {
        return `127.0.0.1:${this.port}`;
    }

    /** As souk's REDIS_URL takes it. */
    url(database?: number): string {
        const { user, password } = this.options;
        const login = password === undefined ? "" : `${encodeURIComponent(user ?? "")}:${encodeURIComponent(password)}@`;
        return this.urlOf(`${login}${this.address}${database === undefined ? "" : `/${database}`}`);
    }

    /** The same with other nodes in it. */
    urlOf(authority: string): string {
        return this.certificates ? `rediss://${authority}?ca=${encodeURIComponent(this.certificates.authority)}` : `redis://${authority}`;
    }

    /** One command, by our own connection. */
    async command(name: string, ...args: (string | number)[]): Promise<unknown> {
        if (!this.connection) {
            const { user, password } = this.options;
            this.connection = new Client({
                host: "127.0.0.1", port: this.port, connectTimeout: 2_000, commandTimeout: 10_000, maxRetriesPerRequest: 2,
                ...(user === undefined ? {} : { username: user }), ...(password === undefined ? {} : { password }),
                ...(this.certificates ? { tls: { ca: this.certificates.authorityText } } : {}),
            });
            this.connection.on("error", () => undefined); // it is killed and restarted under us
        }
        return this.connection.call(name, ...args);
    }

    /** Starts it again after a stop or a kill, on the same port: empty, unless its settings say otherwise. */
    async launch(): Promise<void> {
        const child = startService(this.folder, program(), this.args(), "SIGKILL");
        this.child = child;
        child.once("exit", () => { if (this.child === child) this.child = undefined; });
        await eventually("Redis answers", async () => {
            if (this.child !== child) throw new Error(`Redis ended at its start:\n${this.log().slice(-2000)}`);
            return this.command("PING").then((reply) => reply === "PONG", () => false);
        }, START_MS);
    }

    async stop(): Promise<void> {
        await this.end("SIGTERM");
    }

    /** kill -9. */
    async kill(): Promise<void> {
        await this.end("SIGKILL");
    }

    async restart(): Promise<void> {
        await this.stop();
        await this.launch();
    }

    /** All keys gone, as after a failover to an empty node. */
    async wipe(): Promise<void> {
        await this.command("FLUSHALL");
    }

    /** It stands still: connections stay open and nothing answers. */
    pause(): void {
        this.child?.kill("SIGSTOP");
    }
    resume(): void {
        this.child?.kill("SIGCONT");
    }

    log(): string {
        const file = path.join(this.folder, "log");
        return existsSync(file) ? readFileSync(file, "utf8") : "";
    }

    async dispose(): Promise<void> {
        await this.kill();
        this.release();
    }

    private args(): string[] {
        const { user, password, isCluster } = this.options;
        const tls = this.certificates;
        const settings: [string, ...string[]][] = [
            ["bind", "127.0.0.1"], ["dir", this.folder], ["save", ""], ["appendonly", "no"],
            ...(tls ? [
                ["port", "0"], ["tls-port", String(this.port)], ["tls-cert-file", tls.certificate], ["tls-key-file", tls.key],
                ["tls-ca-cert-file", tls.authority], ["tls-auth-clients", "no"], ["tls-replication", "yes"], ["tls-cluster", "yes"],
            ] as [string, string][] : [["port", String(this.port)]] as [string, string][]),
            ...(isCluster ? [
                ["cluster-enabled", "yes"], ["cluster-port", String(this.busPort)], ["cluster-node-timeout", String(NODE_TIMEOUT_MS)],
                ["cluster-replica-validity-factor", "0"],
            ] as [string, string][] : []),
            ...(password === undefined ? [] : user === undefined ? [["requirepass", password]] as [string, string][] : [
                ["user", user, "on", `>${password}`, "~*", "&*", "+@all"], ["user", "default", "off"],
            ] as [string, ...string[]][]),
            ...Object.entries(this.options.settings ?? {}),
        ];
        return settings.flatMap(([name, ...values]) => [`--${name}`, ...values]);
    }

    private async end(signal: NodeJS.Signals): Promise<void> {
        this.connection?.disconnect();
        this.connection = undefined;
        const child = this.child;
        if (!child) return;
        child.kill(signal);
        if (signal !== "SIGKILL") child.kill("SIGCONT");
        await ended(child, STOP_MS);
        // a node of a cluster remembers the cluster; what it held is gone all the same
        rmSync(path.join(this.folder, "dump.rdb"), { force: true });
    }
}

function program(): string {
    const found = ["/usr/bin/redis-server", "/usr/local/bin/redis-server"].find((file) => existsSync(file));
    if (!found) throw new Error("redis-server is not installed: run scripts/setup test.");
    return found;
}

/** Three masters with a replica each, TLS among them and to clients unless said otherwise. */
export class RedisCluster {
    private constructor(readonly nodes: Redis[]) {}

    static async start(options: { tls?: boolean } = {}): Promise<RedisCluster> {
        const nodes: Redis[] = [];
        const cluster = new RedisCluster(nodes);
        try {
            for (let i = 0; i < 6; i++) {
                // one certificate for all: they are told apart by their ports
                const tls = options.tls === false ? false : nodes[0]?.certificates ?? true;
                nodes.push(await Redis.start({ isCluster: true, tls }));
            }
            await cluster.join();
        } catch (error) {
            await cluster.dispose();
            throw error;
        }
        return cluster;
    }

    get certificates(): Certificates | undefined {
        return this.nodes[0]!.certificates;
    }

    /** Every node that it may begin with, as souk's REDIS_URL takes it. */
    url(): string {
        return this.nodes[0]!.urlOf(this.nodes.map((node) => node.address).join(","));
    }

    /** The masters now, each with its number of slots. */
    async masters(): Promise<Redis[]> {
        const alive = this.nodes.find((node) => node.isRunning)!;
        const lines = String(await alive.command("CLUSTER", "NODES")).trim().split("\n").map((line) => line.split(" "));
        const ports = lines.filter((line) => line[2]!.includes("master") && !line[2]!.includes("fail") && line.length > 8)
            .map((line) => Number(/:(\d+)@/.exec(line[1]!)![1]));
        return ports.map((port) => this.nodes.find((node) => node.port === port)!).filter((node) => node.isRunning);
    }

    /** Waits until every slot is served. */
    async settle(): Promise<void> {
        await eventually("the cluster serves every slot", async () => {
            for (const node of this.nodes.filter((one) => one.isRunning)) {
                const info = String(await node.command("CLUSTER", "INFO").catch(() => ""));
                if (!info.includes("cluster_state:ok") || !info.includes(`cluster_slots_ok:${SLOTS}`)) return false;
            }
            return (await this.masters()).length === 3;
        }, CLUSTER_MS);
    }

    async dispose(): Promise<void> {
        await Promise.all(this.nodes.map((node) => node.dispose()));
    }

    private async join(): Promise<void> {
        const [first, ...rest] = this.nodes;
        for (const node of rest) await first!.command("CLUSTER", "MEET", "127.0.0.1", node.port, node.busPort);
        for (const [i, master] of this.nodes.slice(0, 3).entries()) {
            await master.command("CLUSTER", "ADDSLOTSRANGE", Math.ceil((SLOTS * i) / 3), Math.ceil((SLOTS * (i + 1)) / 3) - 1);
        }
        const ids = await Promise.all(this.nodes.map(async (node) => String(await node.command("CLUSTER", "MYID"))));
        await eventually("the nodes know each other", async () => {
            const lists = await Promise.all(this.nodes.map(async (node) => String(await node.command("CLUSTER", "NODES"))));
            return lists.every((list) => ids.every((id) => list.includes(id)) && !list.includes("handshake"));
        }, CLUSTER_MS);
        for (const [i, replica] of this.nodes.slice(3).entries()) await replica.command("CLUSTER", "REPLICATE", ids[i]!);
        await this.settle();
        await eventually("the replicas follow", async () => {
            const infos = await Promise.all(this.nodes.slice(3).map(async (node) => String(await node.command("INFO", "replication"))));
            return infos.every((info) => info.includes("master_link_status:up"));
        }, CLUSTER_MS);
    }
}
