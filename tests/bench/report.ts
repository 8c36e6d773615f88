// The outcome of make bench on SQLite: tables for the terminal and for docs/benchmarks.md.
import { aligned, facts, markdown, median, programVersion, rounded, withSpread, writePart, type Table } from "./document.ts";
import type { Run } from "./processes.ts";

export interface Row {
    name: string;
    clients: number;
    souk: Run[];
    file: Run[];   // nginx, the same bytes from a file
    return: Run[]; // nginx, the same bytes from its configuration
}

/** Of the write lane, for each write. */
export interface LaneFigures {
    walBytes: number;
    cpuUs: number;
    batch: number;    // writes in one commit
    commitUs: number; // of one COMMIT, which syncs the log
}

export interface Outcome {
    rows: Row[];
    lanes: Map<string, LaneFigures[]>; // by the row's name
    checkout: string;                  // the row that the budget is for
    alone: string;                     // the same, one commit for each order
    products: number;
    seconds: number;
    rounds: number;
}

const WAL_BUDGET_BYTES = 12 * 1024;
const CPU_BUDGET_US = 60;
const WAL_FRAME_BYTES = 4096 + 24;

const rate = (runs: Run[]): string => (runs.length > 0 ? rounded(median(runs.map((run) => run.perSecond))) : "");
const cost = (runs: Run[]): string => (runs.length > 0 ? withSpread(runs.map((run) => run.cpuUs)) : "");

/** CPU time of souk against nginx in the same round. */
function ratio(souk: Run[], nginx: Run[]): string {
    return nginx.length > 0 ? median(souk.map((run, round) => run.cpuUs / nginx[round]!.cpuUs)).toFixed(2) : "";
}

const latency = (runs: Run[]): string =>
    `${(median(runs.map((run) => run.medianUs)) / 1000).toFixed(1)} / ${(median(runs.map((run) => run.p99Us)) / 1000).toFixed(1)}`;

// ---- tables ----

function requestsTable(rows: Row[]): Table {
    return [
        ["", "souk req/s", "CPU us", "nginx, file req/s", "CPU us", "souk/nginx", "nginx, return req/s", "CPU us", "souk/nginx"],
        ...rows.map((row) => [
            row.name, rate(row.souk), cost(row.souk),
            rate(row.file), cost(row.file), ratio(row.souk, row.file),
            rate(row.return), cost(row.return), ratio(row.souk, row.return),
        ]),
    ];
}

function lanesTable(outcome: Outcome): Table {
    const rows = [...outcome.lanes].map(([name, figures]) => {
        const of = (key: keyof LaneFigures) => figures.map((one) => one[key]);
        const souk = outcome.rows.find((row) => row.name === name)!.souk;
        return [
            name, rate(souk), latency(souk), rounded(median(of("batch"))), (median(of("commitUs")) / 1000).toFixed(1),
            (median(of("walBytes")) / 1024).toFixed(1), (median(of("walBytes")) / WAL_FRAME_BYTES).toFixed(1), withSpread(of("cpuUs")),
        ];
    });
    return [["", "writes/s", "ms, median / p99", "in a commit", "ms a COMMIT", "WAL KB each", "pages each", "lane CPU us each"], ...rows];
}

function budgetLines(outcome: Outcome): string[] {
    const figures = outcome.lanes.get(outcome.checkout)!;
    const wal = median(figures.map((one) => one.walBytes));
    const cpu = median(figures.map((one) => one.cpuUs));
    const perSecond = (name: string) => median(outcome.rows.find((row) => row.name === name)!.souk.map((run) => run.perSecond));
    const verdict = (value: number, budget: number) => (value <= budget ? "kept" : `over by ${Math.round((value / budget - 1) * 100)} %`);
    return [
        `Checkout's budget: ${(wal / 1024).toFixed(1)} KB of WAL per order of ${WAL_BUDGET_BYTES / 1024} (${verdict(wal, WAL_BUDGET_BYTES)}), ` +
            `${cpu.toFixed(0)} us of lane CPU of ${CPU_BUDGET_US} (${verdict(cpu, CPU_BUDGET_US)}).`,
        `Committing together: ${rounded(perSecond(outcome.checkout))} orders/s with 64 clients, ` +
            `${rounded(perSecond(outcome.alone))} with one, where each order is a commit of its own.`,
    ];
}

// ---- all of it ----

const EXPLANATION = `souk and nginx share one core, the load generator (\`tests/bench/load.c\`, 64 keep-alive connections, never asleep) has another. Rounds
measure each in turn. CPU is the system's account of the server's process, user and kernel, divided by the requests it answered;
\`souk/nginx\` is the median of the ratios within a round. Requests a second depend on what else the machine does, CPU far less.

nginx sends the same bytes: from files that it keeps open, and by \`return\` out of its configuration where they fit (for writes too).
The shop has SHOP products. *Cached* replies are 1,000 products or 300 pages of lists from memory; *from the database* means that the
cache is off, and any of all products. Carts take three lines, of products picked as shoppers do (the n-th most popular 1/n as often as
the first), unless it says that all are as popular. A checkout pays later. souk runs with one I/O thread, without background jobs.`;

export function report(outcome: Outcome): void {
    const requests = requestsTable(outcome.rows);
    const lanes = lanesTable(outcome);
    const budget = budgetLines(outcome);
    const runs = outcome.rows.flatMap((row) => [...row.souk, ...row.file, ...row.return]);
    console.log(`\n${aligned(requests)}\n\n${aligned(lanes)}\n\n${budget.join("\n")}\n`);
    writePart("sqlite", "On SQLite, beside nginx", facts({
        command: `${outcome.seconds === 100 ? "" : `SOUK_BENCH_SECONDS=${outcome.seconds} `}make bench`,
        versions: [`SQLite ${programVersion("sqlite3", ["--version"])}`, `nginx ${programVersion("nginx", ["-v"])}`],
        othersShare: median(runs.map((run) => run.othersShare)),
    }), [
        EXPLANATION.replace("SHOP", outcome.products.toLocaleString("en")),
        "### Requests", markdown(requests), "### Writes", "Each write is answered after the commit that holds it is on disk.",
        markdown(lanes), budget.join("\n"),
    ], { rounds: outcome.rounds, rows: outcome.rows, lanes: Object.fromEntries(outcome.lanes) });
}
