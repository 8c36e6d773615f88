// The database of a souk under test, on the engine that SOUK_TEST_ENGINE names: `sqlite` (the default) or `postgres` with Redis. On
// SQLite it is the file in the data folder; on PostgreSQL each data folder has a database of its own, and its keys in Redis. Tests
// look into it with SQL that both engines understand: what the two write differently has a function here.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { binary } from "./paths.ts";
import { askPostgres } from "./postgres-sync.ts";

const COMMAND_MS = 60_000;
const OUTPUT_BYTES_MAX = 256 << 20;

export type Row = Record<string, unknown>;
export type Engine = "sqlite" | "postgres";

export const engine = ((): Engine => {
    const name = process.env.SOUK_TEST_ENGINE || "sqlite";
    assert.ok(name === "sqlite" || name === "postgres", `SOUK_TEST_ENGINE is sqlite or postgres, not ${name}`);
    return name;
})();
const isSqlite = engine === "sqlite";

export interface Database {
    /** The settings by which souk finds it. */
    readonly env: Record<string, string>;
    /** Runs statements; answers the rows of the last one when it is a SELECT. */
    query(statement: string): Row[];
    /** One number of one row. */
    number(statement: string): number;
    /** All that is stored, as one number. */
    fingerprint(): string;
    /** Stands still while nothing is written: cheap where the engine knows, else the fingerprint. */
    stamp(): string;
    /** All that is stored, as text to search. */
    everything(): string;
    /** Each object of the schema with the text that makes it. */
    schema(): Row[];
    /** Whether the engine finds its own files and references in order. */
    check(): void;
    drop(): void;
}

// ---- what the engines write differently

/** A UUID as a literal. */
export const sqlUuid = (id: string): string => isSqlite ? `x'${id.replaceAll("-", "")}'` : `'${id}'::uuid`;
/** A moment, in milliseconds since 1970, as a literal. */
export const sqlTime = (ms: number): string => isSqlite ? String(ms) : `'${new Date(ms).toISOString()}'::timestamptz`;
/** A span to add to a moment or take from it. */
export const sqlSpan = (ms: number): string => isSqlite ? String(ms) : `interval '${ms} milliseconds'`;
/** A UUID column as text: 32 hexadecimal digits. */
export const sqlUuidText = (column: string): string => isSqlite ? `lower(hex(${column}))` : `replace(${column}::text, '-', '')`;
/** A column of bytes as text. */
export const sqlHex = (column: string): string => isSqlite ? `lower(hex(${column}))` : `encode(${column}, 'hex')`;
/** A JSON column as text. */
export const sqlJsonText = (column: string): string => isSqlite ? column : `${column}::text`;
/** For a FROM: the elements of a JSON array, of which sqlJsonMember takes a member. */
export const sqlJsonEach = (column: string, alias: string): string => isSqlite ? `json_each(${column}) ${alias}` : `json_array_elements(${column}) AS ${alias} (value)`;
export const sqlJsonMember = (alias: string, keys: string[], type: "text" | "number"): string => {
    if (isSqlite) return `json_extract(${alias}.value, '$.${keys.join(".")}')`;
    const text = `(${alias}.value #>> '{${keys.join(",")}}')`;
    return type === "number" ? `${text}::bigint` : text;
};

// ---- the tests that are about SQLite's files

const SQLITE_ONLY = new Map([
    ["an empty folder becomes a shop, with its secret for nobody else to read", "PostgreSQL's shop keeps no database and no secret in the folder"],
    ["a folder that does not exist is made; other files in it do not matter", "PostgreSQL's shop needs no folder"],
    ["a backup under load is whole, verifies, and restores to the same shop", "PostgreSQL has its own backups"],
    ["a damaged backup is found out, and never restored over a shop", "PostgreSQL has its own backups"],
    ["a copy of the data folder of a stopped shop is a shop", "PostgreSQL's shop is not in the folder"],
]);

/** A test that is about SQLite's files, and skipped on PostgreSQL. */
export function sqliteTest(name: string, body: () => Promise<void>): void {
    const why = SQLITE_ONLY.get(name);
    assert.ok(why, `${name} is not among those that run on SQLite only (tests/support/database.ts)`);
    test(name, { skip: isSqlite ? false : why }, body);
}

// ---- databases of data folders

const databases = new Map<string, Database>();

/** The database that belongs to a data folder. A new one is empty, or (with `isMigrated`) has the schema already where that saves time. */
export function databaseOf(data: string, isMigrated = false): Database {
    const folder = path.resolve(data);
    let database = databases.get(folder);
    if (!database) {
        database = isSqlite ? new SqliteDatabase(path.join(folder, "souk.db")) : PostgresDatabase.create(isMigrated);
        databases.set(folder, database);
    }
    return database;
}

/** From now on this is the database of the data folder. */
export function adoptDatabase(data: string, database: Database): void {
    databases.set(path.resolve(data), database);
}

function run(command: string, args: string[], options: { input?: string; env?: Record<string, string> } = {}): string {
    const result = spawnSync(command, args, {
        cwd: os.tmpdir(), encoding: "utf8", timeout: COMMAND_MS, maxBuffer: OUTPUT_BYTES_MAX, ...options,
        ...(options.env ? { env: { PATH: process.env.PATH ?? "", ...options.env } } : {}),
    });
    if (result.error) throw result.error;
    if (result.status !== 0) throw new Error(`${path.basename(command)}: ${(result.stderr || result.stdout).trim()} in ${(options.input ?? args.at(-1) ?? "").slice(0, 300)}`);
    return result.stdout;
}

const hash = (text: string): string => createHash("sha256").update(text).digest("hex");
const firstNumber = (rows: Row[]): number => Number(Object.values(rows[0] ?? {})[0]);

export class SqliteDatabase implements Database {
    readonly env = {};
    constructor(readonly file: string) {}

    query(statement: string): Row[] {
        const text = this.sqlite3(["-json", "-bail"], statement).trim();
        return text === "" ? [] : JSON.parse(text) as Row[];
    }

    number(statement: string): number {
        return firstNumber(this.query(statement));
    }

    fingerprint(): string {
        return hash(this.sqlite3([], ".dump"));
    }

    /** Every commit is appended to the write-ahead log. */
    stamp(): string {
        const { size, mtimeMs } = statSync(`${this.file}-wal`);
        return `${size} ${mtimeMs}`;
    }

    everything(): string {
        return [this.file, `${this.file}-wal`].filter((file) => existsSync(file)).map((file) => readFileSync(file).toString("latin1")).join("\n");
    }

    schema(): Row[] {
        return this.query("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name");
    }

    check(): void {
        assert.deepEqual(this.query("PRAGMA integrity_check"), [{ integrity_check: "ok" }]);
        assert.deepEqual(this.query("PRAGMA foreign_key_check"), []);
    }

    drop(): void {} // goes with its folder

    private sqlite3(options: string[], statement: string): string {
        assert.ok(existsSync(this.file), `there is no database at ${this.file}`);
        return run("sqlite3", [...options, "-cmd", ".timeout 10000", this.file, statement]);
    }
}

export class PostgresDatabase implements Database {
    readonly env: Record<string, string>;
    private tables: string[] | undefined;

    /** `env` besides: the Redis of its shop, another way to the database. */
    constructor(readonly url: string, env: Record<string, string> = {}) {
        this.env = { DATABASE_URL: url, SOUK_SECRET: SECRET, ...env };
    }

    /** One on the PostgreSQL and the Redis of the run. */
    static create(isMigrated: boolean): PostgresDatabase {
        const redis = process.env.SOUK_TEST_REDIS;
        assert.ok(redis, "SOUK_TEST_REDIS is not set: run this through scripts/with-services postgres redis --");
        const name = `test_${process.pid}_${randomBytes(6).toString("hex")}`;
        const template = isMigrated ? migratedTemplate() : "template1";
        askPostgres(serviceUrl(), `CREATE DATABASE ${name} TEMPLATE ${template}`);
        return new PostgresDatabase(urlOf(name), { REDIS_URL: redis, SOUK_REDIS_PREFIX: `${name}:` });
    }

    query(statement: string): Row[] {
        if (!/^\s*(SELECT|WITH)\b/i.test(statement)) {
            askPostgres(this.url, statement);
            return [];
        }
        return JSON.parse(askPostgres(this.url, `SELECT coalesce(json_agg(to_json(t)), '[]') FROM (${statement}) t`)) as Row[];
    }

    number(statement: string): number {
        return firstNumber(this.query(statement));
    }

    fingerprint(): string {
        this.tables ??= this.query("SELECT format('%I', c.relname) AS name FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace ORDER BY 1")
            .map(({ name }) => String(name));
        return hash(askPostgres(this.url, this.tables.map((name) => `SELECT '${name}', count(*), md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM ${name} t`).join(" UNION ALL ")));
    }

    stamp(): string {
        return this.fingerprint();
    }

    everything(): string {
        return run("pg_dump", ["--data-only", "--inserts", "--dbname", this.url]);
    }

    schema(): Row[] {
        const dump = run("pg_dump", ["--schema-only", "--no-owner", "--dbname", this.url]).replace(/^\\(un)?restrict .*$/gm, ""); // a random word
        const objects = dump.split(/^--\n-- Name: /m).slice(1).map((text): Row => {
            const [, name, type] = /^(.*?); Type: (.*?);/.exec(text)!;
            return { type, name, sql: text.slice(text.indexOf("\n")) };
        });
        const key = (row: Row) => `${row.type} ${row.name}`;
        return objects.sort((a, b) => (key(a) < key(b) ? -1 : 1));
    }

    /** Nothing to look for: the server has checksums and references of its own. That it holds all of them as valid can be asked. */
    check(): void {
        assert.deepEqual(this.query("SELECT conname FROM pg_constraint WHERE NOT convalidated"), []);
        assert.deepEqual(this.query("SELECT indexrelid::regclass::text AS index FROM pg_index WHERE NOT indisvalid"), []);
    }

    drop(): void {
        const { pathname } = new URL(this.url);
        askPostgres(new URL("/postgres", this.url).href, `DROP DATABASE IF EXISTS ${pathname.slice(1)} WITH (FORCE)`);
    }
}

/** Of every server on PostgreSQL. */
const SECRET = "only for the tests: q8sVx2mLr0TzK4bN7cYw";

function serviceUrl(): string {
    const url = process.env.SOUK_TEST_POSTGRES;
    assert.ok(url, "SOUK_TEST_POSTGRES is not set: run this through scripts/with-services postgres redis --");
    return url;
}

function urlOf(database: string): string {
    const url = new URL(serviceUrl());
    url.pathname = `/${database}`;
    return url.href;
}

let template: string | undefined;

/** A database that this binary has migrated, made by whoever needs it first: copies of it are made much faster than migrations run. */
function migratedTemplate(): string {
    if (template) return template;
    const { mtimeMs, ino } = statSync(binary);
    const name = `template_${hash(`${binary} ${mtimeMs} ${ino}`).slice(0, 16)}`;
    const isThere = () => askPostgres(serviceUrl(), `SELECT 1 FROM pg_database WHERE datname = '${name}'`).trim() === "1";
    if (!isThere()) {
        const draft = `${name}_${process.pid}`;
        askPostgres(serviceUrl(), `CREATE DATABASE ${draft}`);
        run(binary, ["migrate", "up"], { env: { DATABASE_URL: urlOf(draft), SOUK_SECRET: SECRET, SOUK_LOG: "error" } });
        try {
            askPostgres(serviceUrl(), `ALTER DATABASE ${draft} RENAME TO ${name}`);
        } catch (error) {
            askPostgres(serviceUrl(), `DROP DATABASE ${draft}`);
            if (!isThere()) throw error; // else another test file was faster
        }
    }
    template = name;
    return name;
}
