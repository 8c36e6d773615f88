// No function of src/ and tests/ is longer than LINES_MAX lines, from its name to its closing brace.
import { closing, filesUnder, isMain, readSource, report, type Finding, type Source } from "./c.ts";

export const LINES_MAX = 70;

export function longFunctions(source: Source): Finding[] {
    const findings: Finding[] = [];
    const { tokens } = source;
    for (let i = 0; i < tokens.length; i++) {
        if (tokens[i]!.text !== "{" || tokens[i]!.kind !== "punct") continue;
        const end = closing(tokens, i);
        if (tokens[i - 1]?.text === ")") {
            const name = nameBefore(source, i - 1);
            const lines = (tokens[end]?.line ?? 0) - name.line + 1;
            if (lines > LINES_MAX)
                findings.push({ file: source.file, line: name.line, what: `${name.text} has ${lines} lines, more than ${LINES_MAX}` });
        }
        i = end; // bodies and tables hold no functions
    }
    return findings;
}

/** The word before the bracket that ends at `close`. */
function nameBefore({ tokens }: Source, close: number) {
    let depth = 0;
    for (let i = close; i >= 0; i--) {
        if (tokens[i]!.text === ")") depth++;
        else if (tokens[i]!.text === "(" && --depth === 0) return tokens[i - 1] ?? tokens[i]!;
    }
    return tokens[close]!;
}

if (isMain(import.meta.url)) {
    const files = [...filesUnder("src", /\.[ch]$/), ...filesUnder("tests", /\.[ch]$/)];
    report(files.flatMap((file) => longFunctions(readSource(file))), `${files.length} files`);
}
