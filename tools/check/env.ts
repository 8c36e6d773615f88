// .env.example names every setting of src/base/config.c that has a variable, with its default, and no other.
import { readFileSync } from "node:fs";
import path from "node:path";
import { closing, expand, isMain, readSource, report, root, split, type Finding, type Source } from "./c.ts";

interface Setting {
    name: string;
    initial: string | null;
    line: number;
}

/** The rows of SETTINGS: {MEMBER(x), KIND, "VARIABLE", "flag", "default", ...}. */
export function settingsOf(source: Source): Setting[] {
    const { tokens } = source;
    const at = tokens.findIndex((token, i) => token.text === "SETTINGS" && tokens[i + 1]?.text === "[");
    const open = closing(tokens, at + 1) + 2;
    return split(tokens.slice(open + 1, closing(tokens, open))).flatMap((row) => {
        const [, , name, , initial] = split(row.slice(1, -1));
        if (name?.[0]?.kind !== "string") return [];
        const value = expand(initial ?? [], source.macros);
        const text = value.every((token) => token.kind === "string") ? value.map((token) => token.text).join("") : null;
        return [{ name: name[0].text, initial: text, line: name[0].line }];
    });
}

export function compare(settings: Setting[], example: string): Finding[] {
    const findings: Finding[] = [];
    const lines = new Map<string, { value: string; line: number }>();
    example.split("\n").forEach((text, i) => {
        const match = /^([A-Z][A-Z0-9_]*)=(.*)$/.exec(text);
        if (match) lines.set(match[1]!, { value: match[2]!, line: i + 1 });
    });
    for (const { name, initial } of settings) {
        const found = lines.get(name);
        lines.delete(name);
        if (!found) findings.push({ file: ".env.example", line: 1, what: `${name} is missing` });
        // A default that a macro of another file makes is not ours to tell.
        else if (initial !== null && /^[^A-Z_]*$/.test(initial) && found.value !== initial)
            findings.push({ file: ".env.example", line: found.line, what: `${name}: the default is "${initial}"` });
    }
    for (const [name, { line }] of lines) findings.push({ file: ".env.example", line, what: `${name} is no setting` });
    return findings;
}

if (isMain(import.meta.url)) {
    const settings = settingsOf(readSource("src/base/config.c"));
    const findings = settings.length === 0 ? [{ file: "src/base/config.c", line: 1, what: "the table SETTINGS was not found" }] : [];
    report([...findings, ...compare(settings, readFileSync(path.join(root, ".env.example"), "utf8"))], `${settings.length} settings`);
}
