// make bench of the gateway: what its steps add to a reply from the cache - limits, a customer's token, a key - and what it costs to
// turn a request away. On SQLite, a small shop; the same reply each time, so that all differences are the steps'.
//
// Rounds go through all of it in turn; a ratio is the median of the ratios within a round.
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { binary } from "../support/paths.ts";
import { aligned, facts, markdown, median, rounded, withSpread, writePart, type Table } from "./document.ts";
import { buildLoad, runLoad, startSouk, type Run, type Server } from "./processes.ts";
import { get, writeRequests } from "./requests.ts";

const CLIENTS = 64;
const ROUNDS = 5;
const PRODUCTS = 1000;
const PASSWORD = "the password of the bench";
const THROTTLE_SHARE_MAX = 0.03;
const AUTHENTICATED_RATIO_MAX = 1.2;
const REFUSAL_US_MAX = 1000;
/** Limits that are counted and never reached. */
const COUNTED = { SOUK_RATE_LIMIT: "on", SOUK_RATE_PER_MINUTE: "1000000", SOUK_RATE_WHOLE_PER_SECOND: "1000000", SOUK_RATE_WHOLE_BURST: "10000000" };

interface Cell {
    name: string;
    server: Server;
    requests: string;
    isRefused: boolean;
    runs: Run[];
}

interface Callers {
    token: string;
    secret: string;
    publishable: string;
}

async function call(server: Server, target: string, body: unknown, token?: string): Promise<{ accessToken: string; key: string; id: string }> {
    const reply = await fetch(server.url + target, {
        method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json", ...(token ? { authorization: `Bearer ${token}` } : {}) },
    });
    if (!reply.ok) throw new Error(`${target}: ${reply.status} ${await reply.text()}`);
    return ((await reply.json()) as { data: { accessToken: string; key: string; id: string } }).data;
}

async function makeCallers(server: Server): Promise<Callers> {
    const admin = await call(server, "/auth/login", { email: "admin@example.com", password: PASSWORD });
    const customer = await call(server, "/auth/register", { email: "customer@example.com", password: PASSWORD });
    const plan = await call(server, "/plans", { name: "Bench", ratePerMinute: 600000, burst: 600000, monthlyQuota: 1000000000000 }, admin.accessToken);
    const make = (kind: string) => call(server, "/api-keys", { kind, name: kind, planId: plan.id }, admin.accessToken);
    return { token: customer.accessToken, secret: (await make("secret")).key, publishable: (await make("publishable")).key };
}

function runSouk(data: string, args: string[], input = ""): void {
    const result = spawnSync(binary, [...args, "--data", data], { encoding: "utf8", cwd: data, env: { PATH: process.env.PATH! }, input });
    if (result.status !== 0) throw new Error(`souk ${args.join(" ")}: ${result.stderr || result.stdout}`);
}

async function productTarget(server: Server): Promise<string> {
    const reply = await fetch(`${server.url}/products?limit=1`);
    const { data } = (await reply.json()) as { data: { id: string }[] };
    return `/products/${data[0]!.id}`;
}

function makeCells(folder: string, target: string, callers: Callers, servers: { open: Server; counted: Server; narrow: Server }): Cell[] {
    const cell = (name: string, server: Server, headers: Record<string, string> = {}, isRefused = false): Cell => ({
        name, server, isRefused, runs: [], requests: writeRequests(path.join(folder, `requests-${name.replace(/\W+/g, "-")}`), [get(target, headers)]),
    });
    return [
        cell("anonymous, no limits", servers.open),
        cell("anonymous", servers.counted),
        cell("a customer's token, no limits", servers.open, { Authorization: `Bearer ${callers.token}` }),
        cell("a secret key, no limits", servers.open, { "X-Api-Key": callers.secret }),
        cell("a publishable key, no limits", servers.open, { "X-Api-Key": callers.publishable }),
        cell("a secret key", servers.counted, { "X-Api-Key": callers.secret }),
        cell("refused: 429", servers.narrow, {}, true),
    ];
}

// ---- outcome ----

const BASE = "anonymous, no limits";
const of = (cells: Cell[], name: string): Run[] => cells.find((cell) => cell.name === name)!.runs;
const ratio = (cells: Cell[], name: string, base: string): number => median(of(cells, name).map((run, round) => run.cpuUs / of(cells, base)[round]!.cpuUs));

function requestsTable(cells: Cell[]): Table {
    return [
        ["", "req/s", "CPU us", "of the first", "ms, median / p99"],
        ...cells.map((cell) => [
            cell.name, rounded(median(cell.runs.map((run) => run.perSecond))), withSpread(cell.runs.map((run) => run.cpuUs)), ratio(cells, cell.name, BASE).toFixed(2),
            `${(median(cell.runs.map((run) => run.medianUs)) / 1000).toFixed(2)} / ${(median(cell.runs.map((run) => run.p99Us)) / 1000).toFixed(2)}`,
        ]),
    ];
}

function verdicts(cells: Cell[]): string[] {
    const kept = (isKept: boolean) => (isKept ? "kept" : "not kept");
    const throttle = ratio(cells, "anonymous", BASE) - 1;
    const callers = ["a customer's token, no limits", "a secret key, no limits", "a publishable key, no limits"].map((name) => ratio(cells, name, BASE));
    const refusal = median(of(cells, "refused: 429").map((run) => run.cpuUs));
    return [
        `Limits add ${(throttle * 100).toFixed(1)} % to a cached GET; at most ${THROTTLE_SHARE_MAX * 100} %: ${kept(throttle <= THROTTLE_SHARE_MAX)}.`,
        `Who is known costs ${callers.map((one) => one.toFixed(2)).join(", ")} times who is not (token, secret, publishable key); at most ${AUTHENTICATED_RATIO_MAX}: ${kept(Math.max(...callers) <= AUTHENTICATED_RATIO_MAX)}.`,
        `A refusal takes ${refusal.toFixed(1)} us of CPU; under ${REFUSAL_US_MAX}: ${kept(refusal < REFUSAL_US_MAX)}.`,
    ];
}

const EXPLANATION = `The same product from the cache, asked by 64 keep-alive connections; the server has a core of its own, and its CPU time is the system's account
divided by its replies. *No limits* is \`SOUK_RATE_LIMIT=off\`; else every request is counted by address (and key) and has its \`RateLimit\` headers.`;

export async function benchGateway(seconds: number, folder: string): Promise<void> {
    const data = path.join(folder, "gateway");
    mkdirSync(data);
    runSouk(data, ["migrate", "up"]);
    runSouk(data, ["seed", "--products", String(PRODUCTS), "--users", "10", "--orders", "10"]);
    runSouk(data, ["user", "create", "--role", "admin", "--email", "admin@example.com", "--password-stdin"], `${PASSWORD}\n`);
    const long = { SOUK_ACCESS_TOKEN_SECONDS: "86400" };
    const servers = {
        open: await startSouk("souk without limits", data, long),
        counted: await startSouk("souk", data, { ...long, ...COUNTED }),
        narrow: await startSouk("souk that refuses", data, { SOUK_RATE_LIMIT: "on", SOUK_RATE_PER_MINUTE: "1" }),
    };
    try {
        const load = buildLoad(folder);
        const cells = makeCells(folder, await productTarget(servers.open), await makeCallers(servers.open), servers);
        const each = seconds / (cells.length * ROUNDS);
        for (let round = -1; round < ROUNDS; round++) { // the first one warms
            for (const cell of cells) {
                const run = await runLoad(load, cell.server, cell.requests, { connections: CLIENTS, seconds: Math.max(round < 0 ? each / 4 : each, 0.2), isRefused: cell.isRefused });
                if (round >= 0) cell.runs.push(run);
            }
        }
        const table = requestsTable(cells);
        console.log(`\n${aligned(table)}\n\n${verdicts(cells).join("\n")}\n`);
        writePart("gateway", "What the gateway's steps cost", facts({
            command: `${seconds === 100 ? "" : `SOUK_BENCH_SECONDS=${seconds} `}make bench`, versions: [],
            othersShare: median(cells.flatMap((cell) => cell.runs.map((run) => run.othersShare))),
        }), [EXPLANATION, markdown(table), verdicts(cells).join("\n\n")], { rounds: ROUNDS, cells: cells.map(({ name, runs }) => ({ name, runs })) });
    } finally {
        for (const server of Object.values(servers)) await server.stop();
    }
}
