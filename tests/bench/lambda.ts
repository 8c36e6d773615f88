// What starting and calling the Lambda function costs: bootstrap out of dist/souk-lambda-x86_64.zip (or arm64), beside a C program
// that only answers, both started by the same Runtime API (lambda.c). The shop is on SQLite, so that no other machine's time is in it.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { binary, root } from "../support/paths.ts";

const RUNS = 50;
const CALLS = 2000;
const arch = process.arch === "arm64" ? "arm64" : "x86_64";

interface Times { least: number; median: number; p90: number }
interface Measured { coldUs: Times; cpuUs: Times; warmUs: Times; residentKib: number }

const EVENT = {
    version: "2.0", routeKey: "$default", rawPath: "/health/live", rawQueryString: "", headers: { host: "localhost", accept: "*/*" },
    requestContext: {
        accountId: "123456789012", apiId: "id", domainName: "localhost", requestId: "id", stage: "$default", timeEpoch: 1428582896000,
        http: { method: "GET", path: "/health/live", protocol: "HTTP/1.1", sourceIp: "127.0.0.1", userAgent: "bench" },
    },
    isBase64Encoded: false,
};

export async function benchLambda(_seconds: number, folder: string): Promise<void> {
    const zip = path.join(root, `dist/souk-lambda-${arch}.zip`);
    if (!existsSync(zip)) throw new Error(`There is no ${zip}: run make lambda ARCH=${arch} first`);
    const task = path.join(folder, "task");
    const data = path.join(folder, "lambda");
    const plain = path.join(folder, "answer");
    const event = path.join(folder, "event.json");
    mkdirSync(data);
    execFileSync("unzip", ["-q", zip, "-d", task]);
    execFileSync("gcc", ["-O2", "-std=gnu17", "-D_GNU_SOURCE", "-o", plain, path.join(root, "tests/bench/lambda.c")]);
    writeFileSync(event, JSON.stringify(EVENT));
    const others = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("SOUK_"))); // souk refuses those of the bench
    const env = { ...others, SOUK_DATA: data, DATABASE_URL: `sqlite:${data}/souk.db`, SOUK_LOG: "off", _HANDLER: "api" };
    execFileSync(binary, ["migrate", "up"], { env, stdio: "ignore" });
    execFileSync(binary, ["seed"], { env, stdio: "ignore" });
    const lines = execFileSync(plain, [event, String(RUNS), String(CALLS), path.join(task, "bootstrap"), plain], { env, encoding: "utf8" });
    const [souk, least] = lines.trim().split("\n").map((line) => JSON.parse(line) as Measured) as [Measured, Measured];
    const ms = (us: number) => (us / 1000).toFixed(1);
    console.log(`Lambda, ${RUNS} starts each: exec to first answer ${ms(souk.coldUs.median)} ms (least ${ms(souk.coldUs.least)}, p90 ${ms(souk.coldUs.p90)});`
        + ` a C program that only answers: ${ms(least.coldUs.median)} ms (${ms(least.coldUs.least)}, ${ms(least.coldUs.p90)})`);
    console.log(`Lambda, ${CALLS} calls: ${souk.warmUs.median} us an invocation, ${souk.warmUs.median - least.warmUs.median} us over the C program; `
        + `resident at most ${(souk.residentKib / 1024).toFixed(1)} MB`);
}
