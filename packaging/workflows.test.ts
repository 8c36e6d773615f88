// The workflows are such by GitHub's own parser, ask for no more than they need, keep no keys, and every line that they run is a make
// target or a script that exists.
import assert from "node:assert/strict";
import { accessSync, constants, readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { NoOperationTraceWriter, convertWorkflowTemplate, parseWorkflow } from "@actions/workflow-parser";
import { parse } from "yaml";
import { root } from "../tests/support/paths.ts";

interface Step { run?: string; uses?: string; with?: Record<string, string>; if?: string }
interface Job { "timeout-minutes"?: number; environment?: string; permissions?: Record<string, string>; steps: Step[]; container?: unknown }
interface Workflow { on: Record<string, { inputs?: Record<string, { options: string[] }> }>; permissions: Record<string, string>; jobs: Record<string, Job> }

const folder = path.join(root, ".github/workflows");
const files = readdirSync(folder).sort();
const targets = new Set([...readFileSync(path.join(root, "Makefile"), "utf8").matchAll(/^([a-z-]+):/gm)].map((match) => match[1]!));

async function errorsOf(name: string, content: string): Promise<string[]> {
    const result = parseWorkflow({ name, content }, new NoOperationTraceWriter());
    if (result.value) await convertWorkflowTemplate(result.context, result.value);
    return result.context.errors.getErrors().map((error) => error.message);
}

/** What is wrong with a line that a step runs; undefined when it is a make target, a script, or installs what those need. */
function wrongWith(line: string): string | undefined {
    if (/^apt-get update && apt-get install --yes (awscli )?git make$/.test(line)) return undefined;
    const [command = "", ...words] = line.split(/\s+/);
    if (command === "make") {
        const target = words.find((word) => !/=/.test(word));
        return target !== undefined && targets.has(target) ? undefined : `there is no target ${target ?? "(default)"}`;
    }
    try {
        accessSync(path.join(root, command), constants.X_OK);
        return command.includes("/") ? undefined : `${command} is no script of the repository`;
    } catch {
        return `${command} is no script of the repository`;
    }
}

assert.deepEqual(files, ["ci.yml", "deploy.yml", "release.yml"]);
for (const file of files) {
    describe(file, () => {
        const content = readFileSync(path.join(folder, file), "utf8");
        const workflow = parse(content) as Workflow;
        const steps = Object.values(workflow.jobs).flatMap((job) => job.steps);

        test("is a workflow", async () => {
            assert.deepEqual(await errorsOf(file, content), []);
        });

        test("runs only what exists", () => {
            const lines = steps.flatMap(({ run }) => run?.trim().split("\n") ?? []);
            assert.ok(lines.length > 0);
            assert.deepEqual(lines.map(wrongWith).filter((wrong) => wrong !== undefined), []);
        });

        test("has bounds, and no key of its own", () => {
            for (const [name, job] of Object.entries(workflow.jobs)) assert.ok((job["timeout-minutes"] ?? Infinity) <= 90, `${name} has no timeout`);
            assert.equal(workflow.permissions.contents, "read", "more is asked for by the job that needs it");
            assert.doesNotMatch(content, /secrets\.|AKIA|aws-access-key|aws-secret/i);
            for (const { uses } of steps) assert.match(uses ?? "x/y@v1", /^[\w-]+\/[\w-]+@v\d+$/, "a version is named");
        });

        test("puts nothing that others write into a shell", () => {
            for (const { run } of steps) assert.doesNotMatch(run ?? "", /\$\{\{/, "by the environment, where it is a value and no code");
        });
    });
}

test("a deployment is somebody's decision, for one stage, whose environment asks its reviewers", () => {
    const deploy = parse(readFileSync(path.join(folder, "deploy.yml"), "utf8")) as Workflow;
    assert.deepEqual(Object.keys(deploy.on), ["workflow_dispatch"]);
    assert.deepEqual(deploy.on.workflow_dispatch!.inputs!.what!.options, ["all", "infra", "code"]);
    assert.deepEqual(deploy.on.workflow_dispatch!.inputs!.stage!.options, ["staging", "production"]);
    for (const job of Object.values(deploy.jobs)) assert.equal(job.environment, "${{ inputs.stage }}");
    assert.equal(deploy.permissions["id-token"], "write");
    for (const what of ["deploy", "deploy-infra", "deploy-code"])
        assert.ok(Object.values(deploy.jobs).some(({ steps }) => steps.some(({ run }) => run?.startsWith(`make ${what} `))), what);
});

test("the checks see what is wrong", async () => {
    assert.notDeepEqual(await errorsOf("x.yml", "on: push\njobs:\n  a:\n    runs-on: x\n    stepps: []\n"), []);
    assert.notDeepEqual(await errorsOf("x.yml", "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: a\n        if: ${{ nothing.x == }}\n"), []);
    assert.match(wrongWith("make nothing-of-the-kind")!, /no target/);
    assert.match(wrongWith("curl example.com")!, /no script/);
    assert.match(wrongWith("scripts/nothing")!, /no script/);
});
