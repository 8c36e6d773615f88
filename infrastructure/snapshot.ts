// The templates as they were reviewed: a change of what AWS will be asked for shows in the diff of a commit.
//
//   npm run snapshot --workspace infrastructure               what differs
//   npm run snapshot --workspace infrastructure -- --update   writes snapshots/ anew
//
// snapshots/lambda.json is whole; the other variants' files hold what differs from it (null: not there).
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ROOT } from "./lib/settings.ts";
import { variant, VARIANTS } from "./test/support.ts";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Elements = Record<string, Json>;

const FOLDER = join(ROOT, "infrastructure/snapshots");
const BASE = "lambda";

/** "app Resources cartB1F3": what stands there. Hashes of the code, and what CDK derives from them, are named alike on every machine. */
function elementsOf(name: string): Elements {
    const elements: Elements = {};
    for (const [stack, { template }] of [...variant(name).stacks].sort(([a], [b]) => (a < b ? -1 : 1))) {
        for (const [section, content] of Object.entries(normalised(template.toJSON() as { [key: string]: Json }))) {
            if (typeof content !== "object" || content === null || Array.isArray(content)) elements[`${stack} ${section}`] = content;
            else for (const [id, element] of Object.entries(content)) elements[`${stack} ${section} ${id}`] = element;
        }
    }
    return elements;
}

function normalised(template: { [key: string]: Json }): { [key: string]: Json } {
    const { Parameters: _, Rules: __, ...rest } = template; // CDK's own, of bootstrapping
    // The contract's schemas are reviewed in api/openapi.yaml.
    const text = JSON.stringify(rest, (key, value: unknown) => (key === "Schema" ? "of the contract" : value))
        .replaceAll(/[0-9a-f]{64}/g, "HASH")
        .replaceAll(/(CurrentVersion[0-9A-F]{8})[0-9a-f]{32}/g, "$1HASH")
        .replaceAll(/(ApiDeployment[0-9A-F]{8})[0-9a-f]{32}/g, "$1HASH");
    return JSON.parse(text) as { [key: string]: Json };
}

function expected(name: string): Elements {
    const own = elementsOf(name);
    if (name === BASE) return own;
    const base = elementsOf(BASE);
    const changed: Elements = {};
    for (const [key, value] of Object.entries(own)) if (JSON.stringify(base[key]) !== JSON.stringify(value)) changed[key] = value;
    for (const key of Object.keys(base)) if (!(key in own)) changed[key] = null;
    return changed;
}

function stored(name: string): Elements {
    try {
        return JSON.parse(readFileSync(join(FOLDER, `${name}.json`), "utf8")) as Elements;
    } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
        throw error;
    }
}

/** A line for each element that is not as the snapshot has it. */
export function differences(): string[] {
    return Object.keys(VARIANTS).flatMap((name) => {
        const [now, then] = [expected(name), stored(name)];
        return [...new Set([...Object.keys(now), ...Object.keys(then)])].flatMap((key) => {
            if (JSON.stringify(now[key]) === JSON.stringify(then[key])) return [];
            const what = !(key in then) ? "is new" : !(key in now) ? "is gone" : "is another";
            return [`${name}: ${key} ${what}`];
        });
    });
}

function update(): void {
    mkdirSync(FOLDER, { recursive: true });
    for (const file of readdirSync(FOLDER)) rmSync(join(FOLDER, file));
    for (const name of Object.keys(VARIANTS)) {
        writeFileSync(join(FOLDER, `${name}.json`), `${JSON.stringify(expected(name), null, 1)}\n`);
    }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
    if (process.argv.includes("--update")) {
        update();
        console.log("Wrote infrastructure/snapshots/. Read its diff before you commit it.");
    } else {
        const changed = differences();
        console.log(changed.length === 0 ? "The templates are as the snapshot has them." : changed.join("\n"));
        process.exitCode = changed.length === 0 ? 0 : 1;
    }
}
