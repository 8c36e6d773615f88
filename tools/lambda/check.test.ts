// The check of the Lambda zip finds each thing that it is for, in binaries made for it, and passes a good one.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type Arch, zipFaults } from "./check.ts";

const folder = mkdtempSync(join(tmpdir(), "souk-lambda-check-test-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const here: Arch = process.arch === "arm64" ? "arm64" : "x86_64";
const other: Arch = here === "arm64" ? "x86_64" : "arm64";
let count = 0;

const PLAIN = "#include <stdio.h>\nint main(void) { return puts(\"answers\") < 0; }";
// What glibc 2.36 came with; 2.34 has it not.
const NEWER = "#include <stdlib.h>\nint main(void) { return (int)arc4random(); }";
const USES_ZLIB = "const char *zlibVersion(void);\nint main(void) { return zlibVersion()[0] == 0; }";

interface Package {
    source?: string;
    options?: string[]; // of the compiler
    libraries?: Record<string, string>; // lib/NAME and its source
    mode?: number;
    name?: string;
}

function compile(source: string, output: string, options: string[]): void {
    execFileSync("gcc", ["-x", "c", "-", "-x", "none", "-o", output, ...options], { input: source, stdio: ["pipe", "ignore", "inherit"] });
}

function zip({ source = PLAIN, options = [], libraries = {}, mode = 0o755, name = "bootstrap" }: Package): string {
    const root = join(folder, String(++count));
    mkdirSync(join(root, "lib"), { recursive: true });
    for (const [library, text] of Object.entries(libraries))
        compile(text, join(root, "lib", library), ["-s", "-shared", "-fPIC", `-Wl,-soname,${library}`]);
    compile(source, join(root, name), [...(options.includes("-g") ? [] : ["-s"]), `-L${join(root, "lib")}`, ...options]);
    chmodSync(join(root, name), mode);
    execFileSync("zip", ["-q", "-r", "../" + count + ".zip", "."], { cwd: root });
    return `${root}.zip`;
}

test("a binary that needs glibc alone passes", () => {
    assert.deepEqual(zipFaults(zip({}), here), []);
});

test("a symbol newer than the image's glibc is found", () => {
    assert.match(zipFaults(zip({ source: NEWER }), here).join(), /bootstrap needs GLIBC_2\.36; the image has glibc 2\.34/);
});

test("a library that nobody brings is found; one that is in the zip is not", () => {
    assert.match(zipFaults(zip({ source: USES_ZLIB, options: ["-l:libz.so.1"] }), here).join(), /needs libz\.so\.1, which is neither/);
    const own = { source: "int answer(void);\nint main(void) { return answer(); }", libraries: { "libanswer.so.1": "int answer(void) { return 0; }" } };
    assert.deepEqual(zipFaults(zip({ ...own, options: ["-l:libanswer.so.1", "-Wl,-rpath,$ORIGIN/lib"] }), here), []);
});

test("a library in the zip is held to the same", () => {
    const own = { source: "int answer(void);\nint main(void) { return answer(); }",
        libraries: { "libanswer.so.1": "#include <stdlib.h>\nint answer(void) { return (int)arc4random(); }" } };
    assert.match(zipFaults(zip({ ...own, options: ["-l:libanswer.so.1"] }), here).join(), /lib\/libanswer\.so\.1 needs GLIBC_2\.36/);
});

test("a place outside to look for libraries is found", () => {
    for (const path of ["/usr/local/lib", "$ORIGIN/../lib", "lib"])
        assert.match(zipFaults(zip({ options: [`-Wl,-rpath,${path}`] }), here).join(), /looks for libraries in/, path);
});

test("another architecture, another loader, debug information, an executable stack are found", () => {
    assert.match(zipFaults(zip({}), other).join(), /is not for/);
    assert.match(zipFaults(zip({ options: ["-Wl,--dynamic-linker=/opt/ld.so"] }), here).join(), /started by \/opt\/ld\.so/);
    assert.match(zipFaults(zip({ options: ["-g"] }), here).join(), /not stripped/);
    assert.match(zipFaults(zip({ options: ["-Wl,-z,execstack"] }), here).join(), /executable stack/);
});

test("a package that Lambda could not start is found", () => {
    assert.match(zipFaults(zip({ name: "souk" }), here).join(), /bootstrap is not at the root/);
    assert.match(zipFaults(zip({ mode: 0o700 }), here).join(), /may not be run by everybody/);
});

test("a zip that is too large is found", () => {
    const root = join(folder, "large");
    mkdirSync(root);
    compile(PLAIN, join(root, "bootstrap"), ["-s"]);
    writeFileSync(join(root, "ballast"), Buffer.alloc((8 << 20) + 1));
    execFileSync("zip", ["-q", "-0", "-r", "../large.zip", "."], { cwd: root });
    assert.match(zipFaults(`${root}.zip`, here).join(), /the limit is 8388608/);
});
