// Runs the suites, in their order, as one run of node:test with one summary, on the engine that SOUK_TEST_ENGINE names (sqlite, the
// default, or postgres):
//
//     npm test --workspace tests                    everything: api and http, race, crash, and last the contract's coverage; on
//                                                   PostgreSQL also what several servers do together and what faults do to them
//     npm run suite --workspace tests -- cart       only the files with "cart" in their name
//     npm run suite --workspace tests -- race       a whole folder
//
// A file is a process of its own with a server of its own. Most phases run files side by side; races want the machine for themselves.
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { engine, type Engine } from "./database.ts";
import { binary, coverageFolder, testsFolder } from "./paths.ts";
import { startServices } from "./services.ts";

const FILE_TIMEOUT_MS = 600_000; // against hanging; a sanitizer build on a busy machine is slow
const PHASES: { folders: string[]; concurrency: number; engines?: Engine[] }[] = [
    { folders: ["api", "http"], concurrency: 3 },
    { folders: ["lambda"], concurrency: 2 },
    { folders: ["race"], concurrency: 1 },
    { folders: ["crash"], concurrency: 2 },
    { folders: ["scale", "fault"], concurrency: 2, engines: ["postgres"] },
    { folders: ["contract"], concurrency: 1 },
];

// What another engine changes nothing of: bytes on a socket, input that is refused before any database, who may call what, tokens of other issuers, mail servers, traces, what AWS is told, and
// whether the suites cover the contract. With SOUK_TEST_SHORT=1 they are left out: they ran on the first engine.
const isShort = process.env.SOUK_TEST_SHORT === "1";
const IS_OF_NO_ENGINE = /^(http\/|contract\/|lambda\/fronts\.|api\/(authorization-matrix|aws|bad-input|cognito|cors|functions|issuer|mail-server|token-attacks|tracing)\.)/;

// Over the Lambda front (SOUK_TEST_FRONT): what is about the process that serves sockets, or about other commands, is left out.
const isLambda = (process.env.SOUK_TEST_FRONT || "server") !== "server";
const NOT_OVER_LAMBDA: [RegExp, string][] = [
    [/^http\//, "bytes on souk's own sockets: on Lambda the front reads them"],
    [/^lambda\//, "they have fronts of their own"],
    [/^api\/lockout\./, "its attackers' many addresses come by X-Forwarded-For, which counts nowhere on Lambda"],
    [/^api\/response-cache\./, "it is about what a server keeps for minutes; a function's memory lives a second"],
    [/^api\/issuer\./, "its issuers stall, and a copy that waits for one does nothing else"],
    [/^contract\//, "it counts what all files hit together, also those left out here"],
    [/^(crash|fault|scale)\//, "they start, kill and cut off servers by themselves"],
];

function filesOf(folder: string): string[] {
    const full = path.join(testsFolder, folder);
    if (!existsSync(full)) return [];
    return readdirSync(full).filter((name) => name.endsWith(".test.ts")).sort().map((name) => path.join(full, name));
}

const wanted = process.argv.slice(2);
const matches = (folder: string, file: string) =>
    wanted.length === 0 || wanted.some((word) => word === folder || path.basename(file).includes(word.replace(/^.*\//, "")));
const matching = PHASES
    .map((phase) => ({ ...phase, files: phase.folders.flatMap((folder) => filesOf(folder).filter((file) => matches(folder, file))) }))
    .filter((phase) => phase.files.length > 0);
const phases = matching.filter((phase) => phase.engines?.includes(engine) ?? true)
    .map((phase) => ({ ...phase, files: phase.files.filter((file) => !isShort || !IS_OF_NO_ENGINE.test(path.relative(testsFolder, file))) }))
    .map((phase) => ({ ...phase, files: phase.files.filter((file) => !isLambda || !NOT_OVER_LAMBDA.some(([name]) => name.test(path.relative(testsFolder, file)))) }))
    .filter((phase) => phase.files.length > 0);

if (phases.length === 0 && matching.length > 0) {
    console.log(`${wanted.join(" ")}: not on ${engine}`);
    process.exit(0);
}
if (phases.length === 0) {
    console.error(`no test file matches ${wanted.join(" ")}`);
    process.exit(2);
}
if (!existsSync(binary)) {
    console.error(`there is no server to test at ${path.relative(process.cwd(), binary)}: build it, or set SOUK_BINARY`);
    process.exit(2);
}
if (wanted.length === 0) rmSync(coverageFolder, { recursive: true, force: true });
mkdirSync(coverageFolder, { recursive: true });

// The summaries of the phases are added up into one, written last.
const SUMMARY = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) ([\d.]+)$/;
const totals = new Map<string, number>();
const reporter = new spec();
reporter.pipe(process.stdout);

const services = engine === "postgres" ? await startServices(["postgres", "redis"]) : [];
for (const { files, concurrency } of phases) {
    for await (const event of run({ files, concurrency, timeout: FILE_TIMEOUT_MS })) {
        if (event.type === "test:fail" && event.data.todo === undefined) process.exitCode = 1;
        const line = event.type === "test:diagnostic" && event.data.nesting === 0 ? SUMMARY.exec(event.data.message) : null;
        if (line) totals.set(line[1]!, (totals.get(line[1]!) ?? 0) + Number(line[2]));
        else reporter.write(event);
    }
}
for (const service of services) await service.dispose();
for (const [name, value] of totals) {
    reporter.write({ type: "test:diagnostic", data: { nesting: 0, message: `${name} ${Math.round(value)}` } });
}
reporter.end();
