// Runs last: every operation, and every status that the contract lists for it, was hit by some test.
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { operations } from "../support/contract.ts";
import { coverageFolder } from "../support/paths.ts";

const hits = new Set<string>();
if (existsSync(coverageFolder)) {
    for (const name of readdirSync(coverageFolder).filter((one) => one.endsWith(".json"))) {
        for (const hit of JSON.parse(readFileSync(path.join(coverageFolder, name), "utf8")) as string[]) hits.add(hit);
    }
}

test("the suites before this one have left what they hit", () => {
    assert.ok(hits.size > 0, "nothing in build/contract-coverage: run the whole suite, `npm test --workspace tests`");
});

test("every operation was hit", () => {
    const missed = operations.filter((one) => ![...hits].some((hit) => hit.startsWith(`${one.id} `)));
    assert.deepEqual(missed.map((one) => `${one.method} ${one.path} (${one.id})`), []);
});

test("every documented status was hit", () => {
    const missed = operations.flatMap((one) => [...one.responses.keys()]
        .filter((status) => status !== "default" && !hits.has(`${one.id} ${status}`))
        .map((status) => `${status} ${one.method} ${one.path} (${one.id})`));
    assert.deepEqual(missed, []);
});
