// Enough of C for the checkers: tokens with their lines, macros, brackets. Not a compiler: gcc has seen the file before us.
import { readFileSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");

export interface Token {
    kind: "word" | "number" | "string" | "char" | "punct";
    text: string; // of a string: what it stands for, without quotes, escapes undone
    line: number;
}

export interface Macro {
    parameters: string[] | null; // null: no brackets behind the name
    body: Token[];
}

export interface Source {
    file: string; // relative to the root
    text: string;
    tokens: Token[]; // without preprocessor lines
    includes: { path: string; quoted: boolean; line: number }[];
    macros: Map<string, Macro>;
}

const TOKEN = new RegExp(
    [
        String.raw`(?<space>[ \t\r\v\f]+)`,
        String.raw`(?<newline>\n)`,
        String.raw`(?<comment>\/\*[\s\S]*?\*\/|\/\/[^\n]*)`,
        String.raw`(?<joined>\\\n)`,
        String.raw`(?<string>"(?:[^"\\\n]|\\[\s\S])*")`,
        String.raw`(?<char>'(?:[^'\\\n]|\\.)*')`,
        String.raw`(?<word>[A-Za-z_]\w*)`,
        String.raw`(?<number>\.?\d(?:[\w.]|[eEpP][+-])*)`,
        String.raw`(?<punct>->|\+\+|--|<<|>>|[<>=!]=|&&|\|\||##|\.\.\.|[\s\S])`,
    ].join("|"),
    "gy",
);

const ESCAPES: Record<string, string> = { n: "\n", t: "\t", r: "\r", "0": "\0", "\n": "" };

function unquote(text: string): string {
    return text.slice(1, -1).replace(/\\([\s\S])/g, (_, c: string) => ESCAPES[c] ?? c);
}

export function tokenize(text: string, file = ""): Source {
    const source: Source = { file, text, tokens: [], includes: [], macros: new Map() };
    let line = 1;
    let directive: Token[] | null = null; // the preprocessor line being read
    let atLineStart = true;
    const endDirective = () => {
        if (directive) takeDirective(source, directive, text);
        directive = null;
    };
    for (const match of text.matchAll(TOKEN)) {
        const groups = match.groups!;
        if (groups.newline !== undefined) {
            endDirective();
            atLineStart = true;
        } else if (groups.string ?? groups.char ?? groups.word ?? groups.number ?? groups.punct) {
            const kind = (["string", "char", "word", "number", "punct"] as const).find((name) => groups[name] !== undefined)!;
            const token: Token = { kind, text: kind === "string" ? unquote(match[0]) : match[0], line };
            if (atLineStart && token.text === "#" && kind === "punct") directive = [];
            else (directive ?? source.tokens).push(token);
            atLineStart = false;
        }
        line += match[0].split("\n").length - 1;
    }
    endDirective();
    return source;
}

function takeDirective(source: Source, tokens: Token[], text: string): void {
    const [what, name] = tokens;
    if (!what || !name) return;
    if (what.text === "include") {
        const quoted = name.kind === "string";
        const rest = tokens.slice(2, -1).map((token) => token.text).join("");
        source.includes.push({ path: quoted ? name.text : rest, quoted, line: what.line });
    } else if (what.text === "define") {
        // Only a bracket that touches the name makes parameters: look at the text itself.
        const lineText = text.split("\n")[name.line - 1] ?? "";
        const touches = new RegExp(`\\b${name.text}\\(`).test(lineText.replace(/^\s*#\s*define\s+/, " "));
        if (touches && tokens[2]?.text === "(") {
            const end = closing(tokens, 2);
            const parameters = split(tokens.slice(3, end)).map((part) => part.map((token) => token.text).join(""));
            source.macros.set(name.text, { parameters, body: tokens.slice(end + 1) });
        } else {
            source.macros.set(name.text, { parameters: null, body: tokens.slice(2) });
        }
    }
}

const CLOSE: Record<string, string> = { "(": ")", "[": "]", "{": "}" };

/** The index of the bracket that closes the one at `open`; the end of the list when none does. */
export function closing(tokens: Token[], open: number): number {
    const stack: string[] = [];
    for (let i = open; i < tokens.length; i++) {
        const token = tokens[i]!;
        if (token.kind !== "punct") continue;
        if (CLOSE[token.text]) stack.push(CLOSE[token.text]!);
        else if (token.text === stack.at(-1)) {
            stack.pop();
            if (stack.length === 0) return i;
        }
    }
    return tokens.length;
}

/** Cuts at the commas (or another separator) that are inside no bracket. No tokens make no parts. */
export function split(tokens: Token[], separator = ","): Token[][] {
    if (tokens.length === 0) return [];
    const parts: Token[][] = [[]];
    for (let i = 0; i < tokens.length; i++) {
        const token = tokens[i]!;
        if (token.kind === "punct" && CLOSE[token.text]) {
            const end = closing(tokens, i);
            parts.at(-1)!.push(...tokens.slice(i, end + 1));
            i = end;
        } else if (token.kind === "punct" && token.text === separator) parts.push([]);
        else parts.at(-1)!.push(token);
    }
    if (parts.at(-1)!.length === 0) parts.pop(); // a comma at the end of a list
    return parts;
}

/** With the macros replaced, as the preprocessor would. */
export function expand(tokens: Token[], macros: Map<string, Macro>, inside: string[] = []): Token[] {
    const out: Token[] = [];
    for (let i = 0; i < tokens.length; i++) {
        const token = tokens[i]!;
        const macro = token.kind === "word" && !inside.includes(token.text) ? macros.get(token.text) : undefined;
        if (!macro || (macro.parameters && tokens[i + 1]?.text !== "(")) {
            out.push(token);
            continue;
        }
        let body = macro.body;
        if (macro.parameters) {
            const end = closing(tokens, i + 1);
            const given = split(tokens.slice(i + 2, end));
            body = substitute(macro, given);
            i = end;
        }
        out.push(...expand(body.map((part) => ({ ...part, line: token.line })), macros, [...inside, token.text]));
    }
    return out;
}

function substitute(macro: Macro, given: Token[][]): Token[] {
    const out: Token[] = [];
    for (let i = 0; i < macro.body.length; i++) {
        const token = macro.body[i]!;
        const next = macro.body[i + 1];
        if (token.text === "#" && token.kind === "punct" && next && macro.parameters!.includes(next.text)) {
            const value = given[macro.parameters!.indexOf(next.text)] ?? [];
            out.push({ kind: "string", text: value.map((part) => part.text).join(" "), line: token.line });
            i++;
            continue;
        }
        const at = token.kind === "word" ? macro.parameters!.indexOf(token.text) : -1;
        if (at >= 0) out.push(...(given[at] ?? []));
        else out.push(token);
    }
    return out;
}

/** What string literals standing side by side say; null when there is anything else. */
export function literal(tokens: Token[], macros: Map<string, Macro>): string | null {
    const parts = expand(tokens, macros).filter((token) => !(token.kind === "punct" && (token.text === "(" || token.text === ")")));
    return parts.length > 0 && parts.every((token) => token.kind === "string") ? parts.map((token) => token.text).join("") : null;
}

export function filesUnder(folder: string, ending: RegExp): string[] {
    const found: string[] = [];
    const visit = (at: string) => {
        for (const name of readdirSync(path.join(root, at)).sort()) {
            if (name === "node_modules") continue;
            const inside = `${at}/${name}`;
            if (statSync(path.join(root, inside)).isDirectory()) visit(inside);
            else if (ending.test(name)) found.push(inside);
        }
    };
    visit(folder);
    return found;
}

export function readSource(file: string): Source {
    return tokenize(readFileSync(path.join(root, file), "utf8"), file);
}

export interface Finding {
    file: string;
    line: number;
    what: string;
}

/** Prints what was found, and ends the process accordingly. */
export function report(findings: Finding[], checked: string): never {
    for (const { file, line, what } of findings) console.log(`${file}:${line}: ${what}`);
    if (findings.length === 0) console.log(`${checked}: all good`);
    process.exit(findings.length === 0 ? 0 : 1);
}

/** Whether this module was started by itself rather than imported by a test. */
export function isMain(url: string): boolean {
    return process.argv[1] !== undefined && path.resolve(process.argv[1]) === fileURLToPath(url);
}
