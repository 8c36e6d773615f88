// The Dockerfile says what a careful image says, copies what is there, and installs the libraries that the binary needs.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { binary, root } from "../tests/support/paths.ts";
import { settingsOf } from "../tools/check/env.ts";
import { readSource } from "../tools/check/c.ts";
import { ignores, parseDockerfile } from "./dockerfile.ts";

const read = (name: string) => readFileSync(path.join(root, name), "utf8");
const image = parseDockerfile(read("Dockerfile"));
const settings = new Set(settingsOf(readSource("src/base/config.c")).map(({ name }) => name));

test("it is not root, writes to its volume only, stops as souk stops", () => {
    assert.match(image.user, /^[1-9]\d*:[1-9]\d*$/, "a number, which an orchestrator can see is not root");
    assert.deepEqual([image.volumes, image.workdir, image.env.SOUK_DATA, image.stopSignal], [["/data"], "/data", "/data", "SIGTERM"]);
    assert.deepEqual(image.ports, [image.env.SOUK_LISTEN!.split(":")[1]]);
});

test("its settings are settings, its commands are commands", () => {
    for (const name of Object.keys(image.env)) assert.ok(settings.has(name), name);
    const help = execFileSync(binary, ["help"], { encoding: "utf8" });
    assert.deepEqual(image.entrypoint, ["souk"]);
    assert.equal(image.healthcheck.command[0], "souk");
    for (const command of [image.command[0]!, image.healthcheck.command[1]!]) assert.match(help, new RegExp(`^  ${command} `, "m"));
    execFileSync(binary, [...image.healthcheck.command.slice(1), "--help"]);
});

test("what it copies is there, and .dockerignore lets it in and no secret", () => {
    const ignore = read(".dockerignore");
    for (const stage of image.stages) {
        for (const step of stage.instructions) {
            if (step.kind !== "COPY") continue;
            if (step.from !== undefined) {
                assert.ok(image.stages.some(({ name }) => name === step.from), `there is no stage ${step.from}`);
                continue;
            }
            for (const source of step.sources) {
                assert.ok(existsSync(path.join(root, source)), `${source} is not there`);
                assert.ok(!ignores(ignore, source), `.dockerignore keeps ${source} out`);
            }
        }
    }
    for (const name of [".env", "compose.env", "data/secret", "build/dev/souk", ".git/config", "node_modules/x", "dist/x"])
        assert.ok(ignores(ignore, name), `${name} must stay out`);
});

test("the last stage installs the package of each library that the binary names, and no other library", () => {
    const install = image.stages.at(-1)!.instructions.find((step) => step.kind === "RUN" && step.command.includes("apt-get install"));
    assert.ok(install?.kind === "RUN");
    const installed = [.../apt-get install ([^&]*)/.exec(install.command)![1]!.matchAll(/(?<=\s)lib\S+|zlib1g/g)].map(([name]) => name).sort();
    const needed = [...execFileSync("readelf", ["-d", binary], { encoding: "utf8" }).matchAll(/\(NEEDED\).*\[(.+)\]/g)].map((match) => match[1]!);
    const files = execFileSync("ldd", [binary], { encoding: "utf8" });
    const packages = new Set(needed.map((name) => {
        const file = new RegExp(`${name.replaceAll(".", "\\.")} => (\\S+)`).exec(files)?.[1] ?? "";
        const owner = (one: string) => execFileSync("sh", ["-c", `dpkg-query -S "$1" 2>/dev/null || true`, "sh", one], { encoding: "utf8" });
        const real = execFileSync("realpath", [file], { encoding: "utf8" }).trim();
        return /^([^:]+):/.exec(owner(file) || owner(real) || owner(real.replace(/^\/usr\/lib/, "/lib")))?.[1] ?? `package of ${name}`;
    }));
    packages.delete("libc6"); // is there anyway
    assert.deepEqual(installed, [...packages].sort());
});

test("the reader refuses what it does not know", () => {
    for (const bad of ["RUN x", "FROM a\nADD x y", "FROM a\nCOPY --chmod=1 x y", "FROM a\nENV A=$B", "FROM a\nRUN x \\"])
        assert.throws(() => parseDockerfile(bad), /Dockerfile/, bad);
    assert.throws(() => ignores("*.ts", "x"), /dockerignore/);
});
