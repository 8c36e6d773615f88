// Whether a zip can run as a Lambda function of the runtime provided.al2023: what its binaries need is in it or in that runtime's own
// image, no symbol is newer than the image's glibc, nothing is looked for outside, and it is small.
//   tsx tools/lambda/check.ts FILE.zip x86_64|arm64
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

export type Arch = "x86_64" | "arm64";

// Amazon Linux 2023 stays with glibc 2.34 for its whole life (docs.aws.amazon.com/linux/al2023: package glibc-2.34-*.amzn2023).
const GLIBC_OF_IMAGE = "2.34";
// Of the minimal container image, which provided.al2023 is made from, only what the package glibc itself brings: anything else there
// may go away, and would be a version of AWS's choice.
const LIBRARIES_OF_IMAGE = ["libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "libresolv.so.2", "librt.so.1"];
const LOADERS: Record<Arch, string> = { x86_64: "/lib64/ld-linux-x86-64.so.2", arm64: "/lib/ld-linux-aarch64.so.1" };
const MACHINES: Record<Arch, string> = { x86_64: "Advanced Micro Devices X86-64", arm64: "AArch64" };
const ZIP_BYTES_MAX = 8 << 20;
const UNPACKED_BYTES_MAX = 32 << 20;

// As "2.34" <= "2.4" is not: by number.
function isNewer(version: string, than: string): boolean {
    const [a, b] = [version, than].map((text) => text.split(".").map(Number));
    for (let i = 0; i < Math.max(a!.length, b!.length); i++) if ((a![i] ?? 0) !== (b![i] ?? 0)) return (a![i] ?? 0) > (b![i] ?? 0);
    return false;
}

function isElf(file: string): boolean {
    return readFileSync(file).subarray(0, 4).toString("latin1") === "\x7fELF";
}

function readelf(file: string, ...options: string[]): string {
    return execFileSync("readelf", ["--wide", ...options, file], { encoding: "utf8", maxBuffer: 64 << 20, env: { ...process.env, LC_ALL: "C" } });
}

const all = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map((match) => match[1]!);

// Library by library, the names of the versions that a binary asks for.
function versionsNeeded(file: string): { library: string; version: string }[] {
    const needed: { library: string; version: string }[] = [];
    let library = "";
    const text = readelf(file, "--version-info");
    for (const line of text.slice(Math.max(0, text.indexOf("Version needs section"))).split("\n")) {
        library = /File: (\S+)/.exec(line)?.[1] ?? library;
        const version = /Name: (\S+)/.exec(line)?.[1];
        if (version !== undefined) needed.push({ library, version });
    }
    return needed;
}

function versionFault(version: string): string | null {
    const number = /^GLIBC_([0-9.]+)$/.exec(version)?.[1];
    if (number === undefined) return `asks glibc for ${version}, which is no version of its interface`;
    return isNewer(number, GLIBC_OF_IMAGE) ? `needs ${version}; the image has glibc ${GLIBC_OF_IMAGE}` : null;
}

function searchFaults(dynamic: string): string[] {
    const paths = all(dynamic, /\((?:RPATH|RUNPATH)\).*\[(.*)\]/g).flatMap((value) => value.split(":"));
    return paths.filter((path) => !/^\$ORIGIN(\/|$)/.test(path) || path.split("/").includes("..")).map((path) => `looks for libraries in ${path}`);
}

// What is wrong with one binary; `bundled`: the libraries that lie beside it.
export function elfFaults(file: string, arch: Arch, bundled: string[]): string[] {
    const faults: string[] = [];
    const head = readelf(file, "--file-header");
    if (!head.includes(MACHINES[arch])) return [`is not for ${arch}`];
    const segments = readelf(file, "--segments");
    const dynamic = readelf(file, "--dynamic");
    const sections = readelf(file, "--sections");
    for (const library of all(dynamic, /\(NEEDED\).*\[(.*)\]/g)) {
        const known = LIBRARIES_OF_IMAGE.includes(library) || library === basename(LOADERS[arch]);
        if (!known && !bundled.includes(library)) faults.push(`needs ${library}, which is neither in the zip nor in the image`);
    }
    for (const { library, version } of versionsNeeded(file)) {
        const fault = bundled.includes(library) ? null : versionFault(version);
        if (fault !== null) faults.push(fault);
    }
    faults.push(...searchFaults(dynamic));
    const loader = /program interpreter: (.*)\]/.exec(segments)?.[1];
    if (loader !== undefined && loader !== LOADERS[arch]) faults.push(`is started by ${loader}`);
    if (/GNU_STACK.*RWE/.test(segments)) faults.push("wants an executable stack");
    if (/\(TEXTREL\)/.test(dynamic)) faults.push("has relocations in its code");
    if (/\.(debug_info|symtab)\b/.test(sections)) faults.push("is not stripped");
    return faults;
}

function filesOf(folder: string): string[] {
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
        entry.isDirectory() ? filesOf(join(folder, entry.name)).map((name) => join(entry.name, name)) : [entry.name]);
}

function unpackedFaults(folder: string, arch: Arch): string[] {
    const files = filesOf(folder);
    const bundled = files.filter((name) => name.startsWith("lib/")).map((name) => basename(name));
    const faults: string[] = [];
    if (!files.includes("bootstrap")) faults.push("bootstrap is not at the root");
    else if ((statSync(join(folder, "bootstrap")).mode & 0o555) !== 0o555) faults.push("bootstrap may not be run by everybody");
    else if (!isElf(join(folder, "bootstrap"))) faults.push("bootstrap is no binary");
    for (const name of files) {
        const file = join(folder, name);
        if ((statSync(file).mode & 0o444) !== 0o444) faults.push(`${name} may not be read by everybody`);
        if (isElf(file)) faults.push(...elfFaults(file, arch, bundled).map((fault) => `${name} ${fault}`));
    }
    const bytes = files.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
    if (bytes > UNPACKED_BYTES_MAX) faults.push(`is ${bytes} bytes unpacked; the limit is ${UNPACKED_BYTES_MAX}`);
    return faults;
}

// What is wrong with the zip; an empty list: nothing.
export function zipFaults(zip: string, arch: Arch): string[] {
    const faults: string[] = [];
    const bytes = statSync(zip).size;
    if (bytes > ZIP_BYTES_MAX) faults.push(`is ${bytes} bytes; the limit is ${ZIP_BYTES_MAX}`);
    const folder = mkdtempSync(join(tmpdir(), "souk-lambda-check-"));
    try {
        execFileSync("unzip", ["-q", zip, "-d", folder]);
        faults.push(...unpackedFaults(folder, arch));
    } finally {
        rmSync(folder, { recursive: true, force: true });
    }
    return faults;
}

function main(): void {
    const [zip, arch] = process.argv.slice(2);
    if (zip === undefined || (arch !== "x86_64" && arch !== "arm64")) {
        console.error("tools/lambda/check.ts FILE.zip x86_64|arm64");
        process.exit(2);
    }
    const faults = zipFaults(zip, arch);
    for (const fault of faults) console.error(`${zip}: ${fault}`);
    if (faults.length > 0) process.exit(1);
    console.log(`${zip}: ${(statSync(zip).size / (1 << 20)).toFixed(1)} MB, starts with glibc ${GLIBC_OF_IMAGE} and nothing else of the image.`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
