// Floors and their doors: who may include what, as CMakeLists.txt says it (souk_floor). The compiler refuses a backwards include of
// a floor's library by itself; this also sees private headers, "../", and files without an opening comment.
import { readFileSync } from "node:fs";
import path from "node:path";
import { filesUnder, isMain, readSource, report, root, type Finding, type Source } from "./c.ts";

/** From CMakeLists.txt: floor -> the floors below it that it may use. */
export function floorsOf(cmake: string): Map<string, string[]> {
    const floors = new Map<string, string[]>();
    for (const match of cmake.matchAll(/^souk_floor\(\s*(\w+)\s+FLOORS([^)]*?)LIBRARIES/gm))
        floors.set(match[1]!, match[2]!.trim().split(/\s+/).filter(Boolean));
    return floors;
}

/** A floor of which CMakeLists.txt says nothing yet has no door. */
export function badIncludes(source: Source, floors: Map<string, string[]>): Finding[] {
    const findings: Finding[] = [];
    const complain = (line: number, what: string) => findings.push({ file: source.file, line, what });
    const [top, second, third] = source.file.split("/");
    const isTest = top === "tests";
    const own = (isTest ? third : second) ?? "";
    const allowed = [own, ...(floors.get(own) ?? [])];
    if (!/^\s*(\/\*|\/\/)/.test(source.text)) complain(1, "a file opens with a comment that says what it is for");
    if (source.file.endsWith(".h") && !source.text.includes("#pragma once")) complain(1, "a header has #pragma once");
    for (const include of source.includes) {
        const [floor, name] = include.path.split("/");
        if (!include.quoted) {
            if (floors.has(floor ?? "") && name) complain(include.line, `"${include.path}" is a header of ours: use quotes`);
            continue;
        }
        if (include.path.includes("..")) complain(include.line, `"${include.path}": name headers from src/ on ("floor/file.h"), never by ../`);
        else if (include.path.endsWith(".c")) complain(include.line, `"${include.path}": a .c file is compiled, not included`);
        else if (!floors.has(floor ?? "")) {
            if (!isTest) complain(include.line, `"${include.path}": name headers from src/ on ("floor/file.h")`);
        } else if (!allowed.includes(floor!)) complain(include.line, `"${include.path}": ${own} stands below ${floor} and may not use it`);
        else if (name?.endsWith("_private.h") && floor !== own) complain(include.line, `"${include.path}" is private to ${floor}`);
    }
    return findings;
}

if (isMain(import.meta.url)) {
    const floors = floorsOf(readFileSync(path.join(root, "CMakeLists.txt"), "utf8"));
    const files = [...filesUnder("src", /\.[ch]$/), ...filesUnder("tests/unit", /\.[ch]$/)];
    report(files.flatMap((file) => badIncludes(readSource(file), floors)), `${files.length} files`);
}
