// make bench: measures the server, each time beside another program that does the same. Writes docs/benchmarks.md and .json.
//
//     bench.ts [sqlite] [gateway] [postgres] [lambda]   only these; without a word all but lambda, which wants make lambda first
//
//     SOUK_BENCH_SECONDS=30          how long to measure each (default 100), besides preparing
import { mkdtempSync, rmSync } from "node:fs";
import path from "node:path";
import { root } from "../support/paths.ts";
import { benchGateway } from "./gateway.ts";
import { benchLambda } from "./lambda.ts";
import { benchPostgres } from "./postgres.ts";
import { loadCore, serverCore } from "./processes.ts";
import { benchSqlite } from "./sqlite.ts";

const KINDS = { sqlite: benchSqlite, gateway: benchGateway, postgres: benchPostgres, lambda: benchLambda };
const names = Object.keys(KINDS) as (keyof typeof KINDS)[];
const wanted = process.argv.slice(2);
const seconds = Number(process.env.SOUK_BENCH_SECONDS || 100);
if (!(seconds > 0)) throw new Error("SOUK_BENCH_SECONDS is a number of seconds");
if (wanted.some((word) => !(word in KINDS))) {
    console.error(`bench ${names.map((name) => `[${name}]`).join(" ")}`);
    process.exit(2);
}

const folder = mkdtempSync(path.join(root, "build/bench-data-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));

console.log(`Server on core ${serverCore}, load on core ${loadCore}, about ${seconds} s of measuring for each.`);
if (serverCore === loadCore) console.log("There is only one core: the load takes its share of it, so the rates are too low. CPU time holds.");
for (const name of names.filter((one) => wanted.length === 0 ? one !== "lambda" : wanted.includes(one))) await KINDS[name](seconds, folder);
