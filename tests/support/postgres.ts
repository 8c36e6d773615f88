// A PostgreSQL of our own, from the machine's packages, in a temporary folder on a free port of 127.0.0.1: a primary, its streaming
// replica, a pgbouncer before it. Each can be stopped, killed, paused and brought back. All of it goes with the test.
import { execFileSync, type ChildProcess } from "node:child_process";
import { appendFileSync, chownSync, existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import pg from "pg";
import { makeCertificates, type Certificates } from "./certificates.ts";
import { childrenOf, ended, environmentOf, eventually, freePort, startService, temporaryFolder, userUnlessRoot, type User } from "./processes.ts";

const START_MS = 30_000; // bounds, not expectations
const STOP_MS = 15_000;
const COMMAND_MS = 60_000;
const QUERY_MS = 30_000;
const PORT_TRIES = 5;

export interface PostgresOptions {
    isDurable?: boolean;                // fsync, for tests that need the disk's word; else fast
    tls?: boolean;                      // TLS is offered, and asked for by whoever connects through TCP
    settings?: Record<string, string>;  // postgresql.conf, over ours
}

export type Row = Record<string, unknown>;

/** Where PostgreSQL's programs are: the newest version that is installed. */
export function binariesOfPostgres(): string {
    const folder = "/usr/lib/postgresql";
    const versions = existsSync(folder) ? readdirSync(folder).sort((a, b) => Number(b) - Number(a)) : [];
    const found = versions.map((version) => path.join(folder, version, "bin")).find((bin) => existsSync(path.join(bin, "postgres")));
    if (found) return found;
    try {
        const bin = execFileSync("pg_config", ["--bindir"], { encoding: "utf8" }).trim();
        if (existsSync(path.join(bin, "postgres"))) return bin;
    } catch { /* told below */ }
    throw new Error("PostgreSQL's server is not installed: run scripts/setup test.");
}


export class Postgres {
    port = 0;
    certificates: Certificates | undefined;
    private child: ChildProcess | undefined;
    private pool: pg.Pool | undefined;
    private databases = 0;

    private constructor(readonly folder: string, private readonly release: () => void, private readonly user: User | undefined) {}

    private static make(): Postgres {
        const user = userUnlessRoot("postgres");
        let data = "";
        // the little shared memory of one that was killed and never started again would outlive it
        const { folder, release } = temporaryFolder(user, () => removeSharedMemory(path.join(data, "postmaster.pid")));
        data = path.join(folder, "data");
        return new Postgres(folder, release, user);
    }

    /** A new, empty cluster with the superuser `postgres`, who needs no password. */
    static async start(options: PostgresOptions = {}): Promise<Postgres> {
        const server = Postgres.make();
        try {
            server.runProgram("initdb", ["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--pgdata", server.data]);
            server.configure({
                listen_addresses: "127.0.0.1", unix_socket_directories: server.folder, max_connections: "300", shared_buffers: "64MB",
                log_line_prefix: "%m [%p] %d ", timezone: "UTC",
                ...(options.isDurable ? {} : { fsync: "off", full_page_writes: "off" }),
                ...(options.tls ? server.secure() : {}), ...options.settings,
            });
            await server.launchOnFreePort();
        } catch (error) {
            await server.dispose();
            throw error;
        }
        return server;
    }

    /** A streaming replica of this one, with a slot of its own. */
    async replica(settings: Record<string, string> = {}): Promise<Postgres> {
        const replica = Postgres.make();
        const slot = `replica_${replica.folder.replace(/[^a-z0-9]/gi, "_").toLowerCase().slice(-20)}`;
        try {
            replica.runProgram("pg_basebackup", ["--pgdata", replica.data, "--dbname", this.url(), "--wal-method=stream", "--checkpoint=fast", "--no-sync",
                "--create-slot", "--slot", slot, "--write-recovery-conf"]);
            replica.certificates = this.certificates;
            replica.configure({ unix_socket_directories: replica.folder, ...settings });
            await replica.launchOnFreePort();
        } catch (error) {
            await replica.dispose();
            throw error;
        }
        return replica;
    }

    get data(): string {
        return path.join(this.folder, "data");
    }
    get logFile(): string {
        return path.join(this.folder, "log");
    }
    get isRunning(): boolean {
        return this.child !== undefined;
    }
    get address(): string {
        return `127.0.0.1:${this.port}`;
    }

    url(database = "postgres"): string {
        return `postgresql://postgres@${this.address}/${database}`;
    }

    /** Rows of one statement, by our own connection to a database of this server. */
    async query(statement: string, values: unknown[] = [], database = "postgres"): Promise<Row[]> {
        if (database === "postgres") {
            if (!this.pool) {
                this.pool = new pg.Pool({ ...this.socket(database), max: 4, connectionTimeoutMillis: 5_000, query_timeout: QUERY_MS });
                this.pool.on("error", () => undefined); // it is killed and restarted under us
            }
            return (await this.pool.query(statement, values)).rows as Row[];
        }
        const client = new pg.Client({ ...this.socket(database), connectionTimeoutMillis: 5_000, query_timeout: QUERY_MS });
        client.on("error", () => undefined);
        await client.connect();
        try {
            return (await client.query(statement, values)).rows as Row[];
        } finally {
            await client.end();
        }
    }

    /** A database of its own for a test; a copy of `template` when one is named, to which nobody may be connected then. */
    async createDatabase(template?: string): Promise<string> {
        const name = `test_${process.pid}_${++this.databases}`;
        await this.query(`CREATE DATABASE ${name}${template ? ` TEMPLATE ${template}` : ""}`);
        return name;
    }

    async dropDatabase(name: string): Promise<void> {
        await this.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    }

    /** Changes settings of the running server that need no restart. */
    async set(settings: Record<string, string>): Promise<void> {
        for (const [name, value] of Object.entries(settings)) await this.query(`ALTER SYSTEM SET ${name} = '${value}'`);
        await this.query("SELECT pg_reload_conf()");
    }

    /** Starts it again after a stop or a kill, on the same port. */
    async launch(): Promise<void> {
        const child = startService(this.folder, this.program("postgres"), ["-D", this.data, "-p", String(this.port)], "SIGQUIT", this.user);
        this.child = child;
        child.once("exit", () => { if (this.child === child) this.child = undefined; });
        await eventually("PostgreSQL answers", async () => {
            if (this.child !== child) throw new Error(`PostgreSQL ended at its start:\n${this.log().slice(-2000)}`);
            return this.answers();
        }, START_MS);
    }

    /** Ends it as an administrator would (`fast`), or as if it had crashed, but with a word to its clients (`immediate`). */
    async stop(mode: "fast" | "immediate" = "fast"): Promise<void> {
        await this.forget();
        const child = this.child;
        if (!child) return;
        child.kill(mode === "fast" ? "SIGINT" : "SIGQUIT");
        await ended(child, STOP_MS);
    }

    async restart(mode: "fast" | "immediate" = "fast"): Promise<void> {
        await this.stop(mode);
        await this.launch();
    }

    /** kill -9 of all its processes, as a power cut would. */
    async kill(): Promise<void> {
        await this.forget();
        const child = this.child;
        if (!child) return;
        this.signal("SIGKILL");
        await ended(child, STOP_MS);
    }

    /** Every process of it stands still: connections stay open and nothing answers. */
    pause(): void {
        this.signal("SIGSTOP");
    }
    resume(): void {
        this.signal("SIGCONT");
    }

    /** A replica becomes a primary of its own. */
    async promote(): Promise<void> {
        await this.query("SELECT pg_promote(true, 30)");
        await eventually("the replica takes writes", async () => (await this.query("SELECT pg_is_in_recovery() AS r"))[0]!.r === false, START_MS);
    }

    /** Waits until a replica has replayed all that the primary has written until now. */
    async catchUpWith(primary: Postgres): Promise<void> {
        const [row] = await primary.query("SELECT pg_current_wal_lsn()::text AS lsn");
        await eventually("the replica has caught up", async () =>
            (await this.query("SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS r", [row!.lsn]))[0]!.r === true, START_MS);
    }

    log(): string {
        return existsSync(this.logFile) ? readFileSync(this.logFile, "utf8") : "";
    }

    /** The end of it: stopped at once, and its folder removed. */
    async dispose(): Promise<void> {
        this.resume();
        await this.stop("immediate");
        this.release();
    }

    private program(name: string): string {
        return path.join(binariesOfPostgres(), name);
    }

    private runProgram(name: string, args: string[]): void {
        execFileSync(this.program(name), args, {
            cwd: this.folder, env: environmentOf(this.folder), stdio: ["ignore", "ignore", "pipe"], timeout: COMMAND_MS,
            ...(this.user ? { uid: this.user.uid, gid: this.user.gid } : {}),
        });
    }

    private configure(settings: Record<string, string>): void {
        appendFileSync(path.join(this.data, "postgresql.conf"), Object.entries(settings).map(([name, value]) => `${name} = '${value}'\n`).join(""));
    }

    private secure(): Record<string, string> {
        this.certificates = makeCertificates(this.folder, this.user);
        writeFileSync(path.join(this.data, "pg_hba.conf"), "local all all trust\nhostssl all all 127.0.0.1/32 trust\nhostssl replication all 127.0.0.1/32 trust\n");
        return { ssl: "on", ssl_cert_file: this.certificates.certificate, ssl_key_file: this.certificates.key };
    }

    private async launchOnFreePort(): Promise<void> {
        for (let tries = 1; ; tries++) {
            this.port = await freePort();
            try {
                return await this.launch();
            } catch (error) {
                if (tries === PORT_TRIES || !/could not bind|Address already in use/i.test(this.log())) throw error;
            }
        }
    }

    /** On the socket in our folder: it cannot be another's server, and asks for no TLS. */
    private socket(database = "postgres"): pg.ClientConfig {
        return { host: this.folder, port: this.port, user: "postgres", database };
    }

    private async answers(): Promise<boolean> {
        const client = new pg.Client({ ...this.socket(), connectionTimeoutMillis: 1_000, query_timeout: 1_000 });
        client.on("error", () => undefined);
        try {
            await client.connect();
            await client.query("SELECT 1");
            return true;
        } catch {
            return false;
        } finally {
            await client.end().catch(() => undefined);
        }
    }

    private signal(name: NodeJS.Signals): void {
        const pid = this.child?.pid;
        if (pid === undefined) return;
        const children = childrenOf(pid);
        process.kill(pid, name); // first: then it makes no more of them
        for (const one of new Set([...children, ...(name === "SIGKILL" ? [] : childrenOf(pid))])) {
            try {
                process.kill(one, name);
            } catch { /* it has just ended */ }
        }
    }

    private async forget(): Promise<void> {
        const pool = this.pool;
        this.pool = undefined;
        await pool?.end().catch(() => undefined);
    }
}

/** PostgreSQL keeps a segment of a few bytes to see that it runs once; the seventh line of its pid file says which. */
function removeSharedMemory(pidFile: string): void {
    if (!existsSync(pidFile)) return;
    const id = readFileSync(pidFile, "utf8").split("\n")[6]?.trim().split(/\s+/)[1];
    if (id === undefined) return;
    try {
        execFileSync("ipcrm", ["--shmem-id", id], { stdio: "ignore" });
    } catch { /* it went with the server */ }
}

export interface PgBouncerOptions {
    poolMode?: "transaction" | "session";
    poolSize?: number;                   // connections to PostgreSQL of one database
    settings?: Record<string, string>;   // [pgbouncer], over ours
}

/** A pgbouncer before a PostgreSQL of ours: every database of it, by the same name. */
export class PgBouncer {
    private child: ChildProcess | undefined;

    private constructor(private readonly folder: string, private readonly release: () => void, private readonly user: User | undefined, readonly port: number) {}

    static async start(server: Postgres, options: PgBouncerOptions = {}): Promise<PgBouncer> {
        const user = userUnlessRoot("postgres");
        const { folder, release } = temporaryFolder(user);
        const bouncer = new PgBouncer(folder, release, user, await freePort());
        const settings = {
            listen_addr: "127.0.0.1", listen_port: String(bouncer.port), unix_socket_dir: "", auth_type: "trust", auth_file: path.join(folder, "users"),
            pool_mode: options.poolMode ?? "transaction", default_pool_size: String(options.poolSize ?? 20), max_client_conn: "500",
            server_tls_sslmode: "prefer",
            ...options.settings,
        };
        writeFileSync(path.join(folder, "users"), '"postgres" ""\n');
        writeFileSync(bouncer.configFile, `[databases]\n* = host=127.0.0.1 port=${server.port}\n[pgbouncer]\n`
            + Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`).join(""));
        if (user) for (const name of readdirSync(folder)) chownSync(path.join(folder, name), user.uid, user.gid);
        try {
            await bouncer.launch();
        } catch (error) {
            await bouncer.dispose();
            throw error;
        }
        return bouncer;
    }

    url(database = "postgres"): string {
        return `postgresql://postgres@127.0.0.1:${this.port}/${database}`;
    }

    async kill(): Promise<void> {
        const child = this.child;
        child?.kill("SIGKILL");
        if (child) await ended(child, STOP_MS);
    }

    async dispose(): Promise<void> {
        await this.kill();
        this.release();
    }

    private get configFile(): string {
        return path.join(this.folder, "pgbouncer.ini");
    }

    /** Starts it (again). */
    async launch(): Promise<void> {
        const program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].find((file) => existsSync(file));
        if (!program) throw new Error("pgbouncer is not installed: run scripts/setup test.");
        const child = startService(this.folder, program, [this.configFile], "SIGKILL", this.user);
        this.child = child;
        child.once("exit", () => { if (this.child === child) this.child = undefined; });
        await eventually("pgbouncer answers", async () => {
            if (this.child !== child) throw new Error(`pgbouncer ended at its start:\n${readFileSync(path.join(this.folder, "log"), "utf8").slice(-2000)}`);
            const client = new pg.Client({ connectionString: this.url(), connectionTimeoutMillis: 1_000, query_timeout: 1_000 });
            client.on("error", () => undefined);
            return client.connect().then(() => true, () => false).finally(() => client.end().catch(() => undefined));
        }, START_MS);
    }
}
