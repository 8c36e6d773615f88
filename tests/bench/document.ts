// docs/benchmarks.md and docs/benchmarks.json: one part for each kind of measurement, each written by its own run and kept by the
// others; and the figures and tables that the parts share.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { binary, root } from "../support/paths.ts";

// ---- figures ----

export function median(values: number[]): number {
    const sorted = [...values].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export const rounded = (value: number): string => (value >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(1));

/** "14.2 (13.9-15.1)": the median, and the least and the most of the rounds. */
export function withSpread(values: number[], show: (value: number) => string = rounded): string {
    return `${show(median(values))} (${show(Math.min(...values))}-${show(Math.max(...values))})`;
}

// ---- tables ----

export type Table = string[][]; // its head first

export function aligned(table: Table): string {
    const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
    return table.map((row) => row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join("  ").trimEnd()).join("\n");
}

export function markdown(table: Table): string {
    const line = (row: string[]) => `| ${row.join(" | ")} |`;
    return [line(table[0]!), line(table[0]!.map((_, column) => (column === 0 ? "---" : "---:"))), ...table.slice(1).map(line)].join("\n");
}

// ---- the machine ----

function output(command: string, args: string[]): string {
    const result = spawnSync(command, args, { encoding: "utf8", cwd: root, env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } });
    return result.error ? "" : `${result.stdout}${result.stderr}`.trim();
}

/** The first number with dots that a program says of itself. */
export function programVersion(command: string, args: string[]): string {
    return /\d+(\.\d+)+/.exec(output(command, args))?.[0] ?? "?";
}

export interface Conditions {
    command: string;
    versions: string[];
    othersShare: number; // of the server's core, used by others meanwhile
}

export function facts({ command, versions, othersShare }: Conditions): Record<string, string> {
    const system = /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? os.platform();
    const changed = output("git", ["status", "--porcelain", "--untracked-files=no", "--", "src", "db"]) === "" ? "" : ", with changes";
    return {
        date: new Date().toISOString().slice(0, 10),
        commit: output("git", ["rev-parse", "--short", "HEAD"]) + changed,
        command,
        processor: `${os.cpus()[0]?.model ?? "?"}, ${os.cpus().length} cores, ${Math.round(os.totalmem() / 2 ** 30)} GB`,
        system: `${system}, Linux ${os.release().split(".").slice(0, 2).join(".")}, data on ${output("df", ["--output=fstype", path.join(root, "build")]).split("\n").pop()}`,
        versions: [output(binary, ["version"]).split("\n")[0], ...versions].join(", "),
        "used by others": `${Math.round(othersShare * 100)} % of the server's core, median of all runs`,
    };
}

// ---- the document ----

const PARTS = ["sqlite", "gateway", "postgres", "scale"] as const;
export type Part = (typeof PARTS)[number];

const HEAD = `# Benchmarks

Written by \`make bench\` and \`make scale\`; do not edit. Figures are medians of the rounds, with the least and the most in brackets.
`;
const markOf = (part: Part) => `<!-- ${part} -->`;

/** Puts this part in place of its former self. */
export function writePart(part: Part, title: string, conditions: Record<string, string>, blocks: string[], numbers: object): void {
    const documentFile = path.join(root, "docs/benchmarks.md");
    const numbersFile = path.join(root, "docs/benchmarks.json");
    const former = existsSync(documentFile) ? readFileSync(documentFile, "utf8") : "";
    const list = Object.entries(conditions).map(([name, value]) => `- ${name}: ${value}`).join("\n");
    const texts = PARTS.map((one) => {
        if (one === part) return `${markOf(part)}\n## ${title}\n\n${[list, ...blocks].join("\n\n")}\n`;
        const start = former.indexOf(markOf(one));
        if (start < 0) return "";
        const ends = PARTS.map((other) => former.indexOf(markOf(other))).filter((at) => at > start);
        return `${former.slice(start, Math.min(former.length, ...ends)).trimEnd()}\n`;
    });
    writeFileSync(documentFile, [HEAD, ...texts].filter((text) => text !== "").join("\n"));

    const all = existsSync(numbersFile) ? (JSON.parse(readFileSync(numbersFile, "utf8")) as Record<string, unknown>) : {};
    all[part] = { ...conditions, ...numbers };
    const ordered = Object.fromEntries(PARTS.filter((one) => one in all).map((one) => [one, all[one]]));
    const short = (_: string, value: unknown) => (typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value);
    writeFileSync(numbersFile, `${JSON.stringify(ordered, short, 1)}\n`);
    console.log("Written to docs/benchmarks.md and docs/benchmarks.json.");
}
