// The bill of materials of a release (CycloneDX 1.6, JSON): the binary, the shared libraries that it loads with the Debian packages
// that they come from, and the npm packages of package-lock.json, which build and test it and are in nothing that is shipped
// (scope "excluded"). The same sources on the same Debian give the same text (SOURCE_DATE_EPOCH).
//     sbom.ts FILE VERSION > souk.cdx.json
//     sbom.ts FILE VERSION PACKAGES ARCHITECTURE > ...    of a file into which libraries are linked: PACKAGES has a line "NAME VERSION" for
//                                                         each of their Debian packages, as scripts/lambda leaves it
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, realpathSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");

export interface Component {
    type: "application" | "library";
    "bom-ref": string;
    name: string;
    version: string;
    purl: string;
    scope?: "required" | "excluded";
    hashes?: { alg: string; content: string }[];
    licenses?: { license: { id: string } | { name: string } }[] | { expression: string }[];
    properties?: { name: string; value: string }[];
}

export interface DebianPackage { name: string; version: string; architecture: string }

const run = (command: string, ...args: string[]) => execFileSync(command, args, { encoding: "utf8", env: { ...process.env, LC_ALL: "C" } });
const sha256 = (bytes: Buffer | string) => createHash("sha256").update(bytes).digest("hex");

/** The files that the dynamic linker loads for a binary, by `ldd`'s lines. */
export function librariesOf(listing: string): string[] {
    return listing.split("\n").flatMap((line) => {
        if (/not found/.test(line)) throw new Error(`a library is missing: ${line.trim()}`);
        const match = /(?:=> )?(\/\S+) \(0x/.exec(line);
        return match ? [match[1]!] : [];
    });
}

/** The package of each file, in the order of their names. A file may be known to dpkg under /lib or under /usr/lib, which are one. */
function packagesOf(files: string[]): [DebianPackage, string[]][] {
    const names = new Map(files.map((file) => realpathSync(file)).map((real) => [real, [real, real.replace(/^\/usr\/lib/, "/lib")]]));
    // It fails for the name that it does not know, and answers for the other all the same.
    const owners = spawnSync("dpkg-query", ["-S", ...[...names.values()].flat()], { encoding: "utf8", env: { ...process.env, LC_ALL: "C" } }).stdout;
    const packages = new Map<string, string[]>();
    for (const [real, known] of names) {
        const owner = owners.split("\n").map((line) => line.split(": ") as [string, string]).find(([, file]) => known.includes(file))?.[0];
        if (owner === undefined) throw new Error(`${real} is of no Debian package`);
        packages.set(owner, [...(packages.get(owner) ?? []), real]);
    }
    const lines = run("dpkg-query", "-W", "-f=${binary:Package} ${Package} ${Version} ${Architecture}\n", ...packages.keys()).trim().split("\n");
    return lines.sort().map((line) => {
        const [owner, name, version, architecture] = line.split(" ") as [string, string, string, string];
        return [{ name, version, architecture }, packages.get(owner) ?? packages.get(name)!];
    });
}

/** A package as a Debian package URL names it (purl-spec, type deb). */
export function debianUrl({ name, version, architecture }: DebianPackage, distribution: string): string {
    return `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${architecture}&distro=${distribution}`;
}

export function npmUrl(name: string, version: string): string {
    return `pkg:npm/${name.split("/").map(encodeURIComponent).join("/")}@${encodeURIComponent(version)}`;
}

const distribution = () => `debian-${/^VERSION_ID="?(\d+)/m.exec(readFileSync("/etc/os-release", "utf8"))![1]}`;

/** The libraries that are linked into a file, by the lines "NAME VERSION" of their packages. */
export function linkedComponents(lines: string, architecture: string): Component[] {
    return lines.split("\n").filter((line) => line !== "").map((line) => {
        const [, name, version] = /^(\S+) (\S+)$/.exec(line) ?? [];
        if (name === undefined || version === undefined) throw new Error(`not a package and its version: ${line}`);
        const purl = debianUrl({ name, version, architecture }, distribution());
        return { type: "library", "bom-ref": purl, name, version, purl, scope: "required" };
    });
}

function loadedComponents(binary: string): Component[] {
    return packagesOf(librariesOf(run("ldd", binary))).map(([found, files]) => {
        const purl = debianUrl(found, distribution());
        return {
            type: "library", "bom-ref": purl, name: found.name, version: found.version, purl, scope: "required",
            properties: files.sort().map((file) => ({ name: `souk:file:${path.basename(file)}:sha256`, value: sha256(readFileSync(file)) })),
        };
    });
}

interface Lock { packages: Record<string, { name?: string; version?: string; link?: boolean; integrity?: string; license?: string }> }

/** What package-lock.json pins; the workspaces themselves are souk and no part of the list. */
export function npmComponents(lock: Lock): Component[] {
    const all = new Map<string, Component>();
    for (const [place, { name: alias, version, link, integrity, license }] of Object.entries(lock.packages)) {
        const at = place.lastIndexOf("node_modules/");
        if (at < 0 || link || version === undefined) continue;
        const name = alias ?? place.slice(at + "node_modules/".length);
        const purl = npmUrl(name, version);
        const hash = /^sha512-(.+)$/.exec(integrity ?? "")?.[1];
        all.set(purl, {
            type: "library", "bom-ref": purl, name, version, purl, scope: "excluded",
            ...(hash ? { hashes: [{ alg: "SHA-512", content: Buffer.from(hash, "base64").toString("hex") }] } : {}),
            ...(license ? { licenses: [/[ ()]/.test(license) ? { expression: license } : { license: { name: license } }] as NonNullable<Component["licenses"]> } : {}),
        });
    }
    return [...all.values()].sort((a, b) => (a.purl < b.purl ? -1 : 1));
}

/** A UUID that the text decides, as version 8 of RFC 9562 allows. */
export function uuidOf(text: string): string {
    const hex = sha256(text);
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

export function billOf(file: string, version: string, dateSeconds: number, libraries = loadedComponents(file)): object {
    const shop: Component = {
        type: "application", "bom-ref": "souk", name: "souk", version, purl: `pkg:generic/souk@${version}`,
        hashes: [{ alg: "SHA-256", content: sha256(readFileSync(file)) }], licenses: [{ license: { id: "MIT" } }],
    };
    const components = [...libraries, ...npmComponents(JSON.parse(readFileSync(path.join(root, "package-lock.json"), "utf8")) as Lock)];
    return {
        bomFormat: "CycloneDX", specVersion: "1.6", serialNumber: `urn:uuid:${uuidOf(JSON.stringify([shop, components]))}`, version: 1,
        metadata: { timestamp: new Date(dateSeconds * 1000).toISOString(), component: shop },
        components,
        dependencies: [{ ref: "souk", dependsOn: libraries.map((one) => one["bom-ref"]) }],
    };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
    const [file, version, packages, architecture] = process.argv.slice(2);
    if (!file || !version || (packages && !architecture)) throw new Error("sbom.ts FILE VERSION [PACKAGES ARCHITECTURE]");
    const seconds = Number(process.env.SOURCE_DATE_EPOCH ?? Math.floor(Date.now() / 1000));
    const bill = packages ? billOf(file, version, seconds, linkedComponents(readFileSync(packages, "utf8"), architecture!)) : billOf(file, version, seconds);
    process.stdout.write(`${JSON.stringify(bill, null, 2)}\n`);
}
