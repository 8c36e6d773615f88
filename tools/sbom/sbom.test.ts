// The bill of materials is one by CycloneDX's own schema, names every library that a program loads, and comes out the same twice.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { test } from "node:test";
import { Ajv } from "ajv";
import addFormats from "ajv-formats";
import { billOf, debianUrl, librariesOf, linkedComponents, npmComponents, npmUrl, uuidOf, type Component } from "./sbom.ts";

// Any program of Debian's with libraries: which one does not matter to the rules, and it is there before souk is built.
const PROGRAM = "/usr/bin/dpkg";

function schemas() {
    const folder = path.join(path.dirname(createRequire(import.meta.url).resolve("@cyclonedx/cyclonedx-library/package.json")), "res/schema");
    const read = (name: string) => JSON.parse(readFileSync(path.join(folder, `${name}.SNAPSHOT.schema.json`), "utf8")) as object;
    const ajv = new Ajv({ strict: false, allErrors: true });
    addFormats.default(ajv);
    for (const format of ["iri-reference", "idn-email"]) ajv.addFormat(format, true); // not checked: ajv-formats has none
    for (const name of ["spdx", "jsf-0.82"]) ajv.addSchema(read(name), `http://cyclonedx.org/schema/${name}.SNAPSHOT.schema.json`);
    return ajv.compile(read("bom-1.6"));
}

test("is valid CycloneDX 1.6, and a broken one is not", () => {
    const isValid = schemas();
    const bill = billOf(PROGRAM, "1.2.3", 1_700_000_000) as { components: Component[]; metadata: { timestamp: string } };
    assert.ok(isValid(bill), JSON.stringify(isValid.errors?.slice(0, 5)));
    assert.equal(bill.metadata.timestamp, "2023-11-14T22:13:20.000Z");
    assert.equal(isValid({ ...bill, components: [{ ...bill.components[0], type: "thing" }] }), false);
    assert.equal(isValid({ ...bill, serialNumber: "urn:uuid:1" }), false);
});

test("names the packages of the libraries, and what only builds and tests as excluded", () => {
    const { components } = billOf(PROGRAM, "1.2.3", 0) as { components: Component[] };
    const libc = components.find((one) => one.name === "libc6");
    assert.match(libc!.purl, /^pkg:deb\/debian\/libc6@[0-9.]+-\S+\?arch=\w+&distro=debian-\d+$/);
    assert.ok(libc!.properties!.some(({ name, value }) => name === "souk:file:libc.so.6:sha256" && /^[0-9a-f]{64}$/.test(value)));
    const typescript = components.find((one) => one.name === "typescript");
    assert.deepEqual([typescript!.scope, typescript!.hashes![0]!.content.length], ["excluded", 128]);
    assert.equal(new Set(components.map((one) => one["bom-ref"])).size, components.length, "each once");
});

test("the same sources give the same bill", () => {
    assert.deepEqual(billOf(PROGRAM, "1.2.3", 5), billOf(PROGRAM, "1.2.3", 5));
    assert.match(uuidOf("x"), /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.notEqual(uuidOf("x"), uuidOf("y"));
});

test("package URLs are escaped", () => {
    assert.equal(npmUrl("@types/node", "20.0.0"), "pkg:npm/%40types/node@20.0.0");
    assert.equal(debianUrl({ name: "libstdc++6", version: "1:12.2~rc+b1", architecture: "amd64" }, "debian-12"),
        "pkg:deb/debian/libstdc%2B%2B6@1%3A12.2~rc%2Bb1?arch=amd64&distro=debian-12");
});

test("a library that is missing is an error, not left out", () => {
    assert.deepEqual(librariesOf("\tlinux-vdso.so.1 (0x1)\n\tlibz.so.1 => /lib/libz.so.1 (0x2)\n\t/lib64/ld.so.2 (0x3)\n"), ["/lib/libz.so.1", "/lib64/ld.so.2"]);
    assert.throws(() => librariesOf("\tlibz.so.1 => not found\n"), /libz/);
});

test("libraries that are linked in are listed by their packages", () => {
    const [curl] = linkedComponents("libcurl4-dev 7.88.1-10+deb12u12\n", "arm64");
    assert.match(curl!.purl, /^pkg:deb\/debian\/libcurl4-dev@7\.88\.1-10%2Bdeb12u12\?arch=arm64&/);
    const bill = billOf(PROGRAM, "1.2.3", 0, [curl!]) as { components: Component[]; dependencies: { dependsOn: string[] }[] };
    assert.ok(schemas()(bill));
    assert.deepEqual(bill.dependencies[0]!.dependsOn, [curl!.purl]);
    assert.throws(() => linkedComponents("libcurl\n", "arm64"), /version/);
});

test("workspaces are no parts of the lock's list, aliases have their real name", () => {
    const list = npmComponents({ packages: {
        "": { version: "1.0.0" }, "tests": { name: "@souk/tests", version: "0.1.0" }, "node_modules/@souk/tests": { link: true },
        "node_modules/a": { version: "1.0.0", license: "(MIT OR Apache-2.0)" }, "node_modules/b/node_modules/a": { version: "1.0.0" },
        "node_modules/c": { name: "real", version: "2.0.0", license: "MIT" },
    } });
    assert.deepEqual(list.map((one) => one.purl), ["pkg:npm/a@1.0.0", "pkg:npm/real@2.0.0"]);
});
