// What the binary may emit, by its own word: the registry of metrics (`souk metrics`) and the operations of the contract.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { parse } from "yaml";
import { snake } from "../contract/names.ts";

export const root = path.resolve(import.meta.dirname, "../..");

export interface Emitted {
    name: string;
    kind: "counter" | "gauge" | "histogram";
    unit: string;
    labels: string[];
    /** The labels of each series that is there from the start; none for what is made while the program runs. */
    series: string[];
    help: string;
}

export function emittedMetrics(binary = process.env["SOUK_BINARY"] ?? path.join(root, "build/dev/souk")): Map<string, Emitted> {
    const list = JSON.parse(execFileSync(binary, ["metrics"], { encoding: "utf8", timeout: 10_000 })) as Emitted[];
    return new Map(list.map((metric) => [metric.name, metric]));
}

/** The operations' names as the metrics have them: the contract's operationId, as in C. */
export function operations(): Set<string> {
    const document = parse(readFileSync(path.join(root, "api/openapi.yaml"), "utf8")) as { paths: Record<string, Record<string, { operationId?: string }>> };
    const ids = Object.values(document.paths).flatMap((methods) => Object.values(methods).flatMap((method) => (method.operationId ? [snake(method.operationId)] : [])));
    return new Set([...ids, "none"]);
}

/** What is wrong with selecting the series of `metric` that have these labels: nothing, or a line for each. */
export function wrongLabels(metric: Emitted, labels: Record<string, string>, known: Set<string>): string[] {
    return Object.entries(labels).flatMap(([label, value]) => {
        if (!metric.labels.includes(label)) return [`${metric.name} has no label ${label} (it has ${metric.labels.join(", ") || "none"})`];
        if (label === "operation") return known.has(value) ? [] : [`${metric.name}: there is no operation ${value}`];
        if (label === "status") return /^[1-5]xx$/.test(value) ? [] : [`${metric.name}: ${value} is no class of status`];
        if (metric.series.length > 0 && !metric.series.some((series) => series.split(",").includes(`${label}="${value}"`)))
            return [`${metric.name} has no ${label}="${value}" (it has ${metric.series.join(" ")})`];
        return [];
    });
}
