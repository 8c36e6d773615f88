// Proves that SQL is made of literals, keeps to the subset that both engines share, and agrees with what is declared beside it.
//
//   DB_STATEMENT(NAME) = {...}    .sql and .sql_postgres are literals; $1..$n are the declared params, each used; the select list
//                                 (or RETURNING) has as many columns as are declared. A text of PostgreSQL's own may cast, and
//                                 change data in a CTE
//   db_query(db, &NAME, DB_ARGS(...)) and its kin: as many arguments as params, of the declared types
//   db_built_add(&built, ...)     the fragment is SQL("..."), a choice between such, or an element of a constant table of
//                                 such; as many `$?` as arguments. SQL_POSTGRES("..."): only that engine is given it
//   anywhere else above data/     no literal that is SQL
import { closing, expand, filesUnder, isMain, literal, readSource, report, split, type Finding, type Macro, type Source, type Token } from "./c.ts";

// ---- the text of a statement ----

/** The SQL without its string constants and comments, so that words can be looked for. */
function bare(sql: string): string {
    return sql.replace(/'(?:[^']|'')*'/g, "''").replace(/--[^\n]*/g, " ");
}

const FORBIDDEN: [RegExp, string][] = [
    [/\bCAST\s*\(|::/i, "a cast: the engines differ; declare the type of the parameter or column instead"],
    [/\b(NOW|DATETIME|STRFTIME|UNIXEPOCH|JULIANDAY|CLOCK_TIMESTAMP)\s*\(|\bCURRENT_(TIMESTAMP|DATE|TIME)\b/i,
        "the engine's clock: bind the time as a parameter"],
    [/\bAS\s+(NOT\s+)?(MATERIALIZED\s+)?\(\s*(INSERT|UPDATE|DELETE)\b/i, "a CTE that changes data: SQLite has none"],
    [/\b(SELECT|RETURNING)\s+(DISTINCT\s+|ALL\s+)?\*|\b\w+\.\*/i, "a star: name the columns"],
    [/\b(INSERT|UPDATE)\s+OR\s+\w+|\bREPLACE\s+INTO\b/i, "SQLite's own: use ON CONFLICT"],
    [/\b(IFNULL|NVL)\s*\(/i, "use COALESCE"],
    [/;\s*\S/, "more than one statement"],
];

/** What PostgreSQL's own texts may do. */
const OF_POSTGRES = /^a (cast|CTE)/;

export function textFaults(sql: string, isPostgres = false): string[] {
    const text = bare(sql);
    return FORBIDDEN.filter(([pattern, what]) => pattern.test(text) && !(isPostgres && OF_POSTGRES.test(what))).map(([, what]) => what);
}

/** The numbers of $1..$n in it. */
function parametersIn(sql: string): Set<number> {
    return new Set([...bare(sql).matchAll(/\$(\d+)/g)].map((match) => Number(match[1])));
}

interface Word {
    text: string;
    depth: number;
}

function wordsOf(sql: string): Word[] {
    const words: Word[] = [];
    let depth = 0;
    for (const match of bare(sql).matchAll(/[A-Za-z_]\w*|[(),]|''|\$\?|\$\d+|\d+|\S/g)) {
        if (match[0] === ")") depth--;
        words.push({ text: match[0].toUpperCase(), depth });
        if (match[0] === "(") depth++;
    }
    return words;
}

const SELECT_LIST_END = new Set(["FROM", "WHERE", "GROUP", "ORDER", "LIMIT", "UNION", "EXCEPT", "INTERSECT"]);

/** How many columns the statement answers with; null when it cannot be told (a fragment that ends in its select list). */
export function columnCount(sql: string, whole = true): number | null {
    const words = wordsOf(sql);
    const main = words.findIndex((word) => word.depth === 0 && ["SELECT", "INSERT", "UPDATE", "DELETE"].includes(word.text));
    if (main < 0) return null;
    const isSelect = words[main]!.text === "SELECT";
    const from = isSelect ? main : words.findIndex((word) => word.depth === 0 && word.text === "RETURNING");
    if (from < 0) return 0;
    let count = 1;
    for (const word of words.slice(from + 1)) {
        if (word.depth !== 0) continue;
        if (isSelect && SELECT_LIST_END.has(word.text)) return count;
        if (word.text === ",") count++;
    }
    return whole ? count : null;
}

// ---- statements in a source ----

interface Statement {
    name: string;
    line: number;
    params: string[];
    columns: string[];
}

export class SqlChecker {
    readonly findings: Finding[] = [];
    private readonly statements = new Map<string, Statement>();
    private readonly seen = new Set<Token>(); // string tokens that a rule has looked at
    private readonly macros: Map<string, Macro>;
    private readonly tokens: Token[];

    constructor(private readonly source: Source, shared: Map<string, Macro> = new Map()) {
        this.macros = new Map([...shared, ...source.macros]);
        for (const name of ["SQL", "SQL_POSTGRES", "DB_ARGS", "DB_STATEMENT", "CHECK"]) this.macros.delete(name);
        this.tokens = source.tokens;
    }

    check(): Finding[] {
        for (let i = 0; i < this.tokens.length; i++) {
            const { text, kind } = this.tokens[i]!;
            if (kind !== "word") continue;
            if (text === "DB_STATEMENT" && this.tokens[i + 1]?.text === "(") this.statement(i);
            else if (text === "db_statement" && this.tokens[i + 2]?.text === "=") this.complain(i, "a statement is made by DB_STATEMENT, so that the tests find and prepare it");
        }
        for (let i = 0; i < this.tokens.length; i++) {
            const { text, kind } = this.tokens[i]!;
            if (kind !== "word" || this.tokens[i + 1]?.text !== "(") continue;
            if (/^db_(query|run|change|one_int)$/.test(text)) this.use(i);
            else if (text === "db_built_add") this.fragment(i);
            else if (text === "db_built_init") this.built(i);
            else if (isMark(text)) this.sqlMacro(i);
        }
        this.strays();
        return this.findings;
    }

    private complain(at: number, what: string): void {
        this.findings.push({ file: this.source.file, line: this.tokens[at]?.line ?? 1, what });
    }

    private see(tokens: Token[]): void {
        for (const token of tokens) this.seen.add(token);
    }

    /** DB_STATEMENT(NAME) = { .sql = ..., .params = {...}, .columns = {...}, }; */
    private statement(at: number): void {
        const name = this.tokens[at + 2]?.text ?? "?";
        const open = at + 5;
        if (this.tokens[at + 4]?.text !== "=") return;
        const close = closing(this.tokens, open);
        const inside = this.tokens.slice(open + 1, close);
        this.see(inside);
        const members = new Map(split(inside).map((part) => [part[1]?.text ?? "", part.slice(3)]));
        const types = (member: string) => split(expand(members.get(member) ?? [], this.macros).slice(1, -1)).map((part) => part.map((token) => token.text).join(""));
        const statement: Statement = { name, line: this.tokens[at]!.line, params: types("params"), columns: types("columns") };
        this.statements.set(name, statement);
        const texts = ["sql", "sql_postgres"].filter((member) => members.has(member) && members.get(member)![0]?.text !== "NULL");
        if (texts.length === 0) this.complain(at, `${name} has no .sql`);
        for (const member of texts) {
            const sql = literal(members.get(member)!, this.macros);
            if (sql === null) this.complain(at, `${name}: .${member} is not made of literals`);
            else this.judge(at, statement, member, sql);
        }
    }

    private judge(at: number, statement: Statement, member: string, sql: string): void {
        const where = `${statement.name}${member === "sql" ? "" : ` (${member})`}`;
        for (const fault of textFaults(sql, member === "sql_postgres")) this.complain(at, `${where}: ${fault}`);
        if (/\?/.test(bare(sql))) this.complain(at, `${where}: parameters are $1..$n`);
        const used = parametersIn(sql);
        const declared = statement.params.length;
        for (let n = 1; n <= Math.max(declared, ...used, 0); n++) {
            if (!used.has(n)) this.complain(at, `${where}: $${n} is declared but not used`);
            else if (n > declared) this.complain(at, `${where}: $${n} is used but .params declares ${declared}`);
        }
        const columns = columnCount(sql);
        if (columns !== null && columns !== statement.columns.length)
            this.complain(at, `${where}: it answers ${columns} columns, .columns declares ${statement.columns.length}`);
    }

    /** db_query(db, &NAME, DB_ARGS(...)) */
    private use(at: number): void {
        const given = split(this.tokens.slice(at + 2, closing(this.tokens, at + 1)));
        const [, which, args] = given;
        const statement = which?.length === 2 && which[0]!.text === "&" ? this.statements.get(which[1]!.text) : undefined;
        if (!statement || !args) return;
        const called = this.tokens[at]!.text;
        if (called === "db_one_int" && statement.columns.length !== 1) this.complain(at, `${statement.name}: db_one_int reads one column, it has ${statement.columns.length}`);
        const values = argumentsOf(args);
        if (values === null) return;
        if (values.length !== statement.params.length) {
            this.complain(at, `${statement.name} takes ${statement.params.length} arguments, here are ${values.length}`);
            return;
        }
        values.forEach((value, i) => {
            const type = typeOf(value);
            if (type !== null && type !== statement.params[i])
                this.complain(at, `${statement.name}: $${i + 1} is declared ${statement.params[i]}, here it is ${type}`);
        });
    }

    /** db_built_init(&built, COLUMNS) and the first fragment behind it, when that holds the whole select list. */
    private built(at: number): void {
        const columns = split(this.tokens.slice(at + 2, closing(this.tokens, at + 1)))[1];
        const next = this.tokens.findIndex((token, i) => i > at && token.text === "db_built_add");
        if (columns?.length !== 1 || next < 0) return;
        const declared = this.typesOfArray(columns[0]!.text);
        const fragment = split(this.tokens.slice(next + 2, closing(this.tokens, next + 1)))[1] ?? [];
        const sql = this.textOf(fragment);
        const count = sql === null ? null : columnCount(sql, false);
        if (declared !== null && count !== null && declared !== count)
            this.complain(at, `the fragment below answers ${count} columns, ${columns[0]!.text} declares ${declared}`);
    }

    /** How many types `static const enum db_type NAME[] = {...}` has, without DB_END. */
    private typesOfArray(name: string): number | null {
        const at = this.tokens.findIndex((token, i) => token.text === name && this.tokens[i - 1]?.text === "db_type" && this.tokens[i + 1]?.text === "[");
        if (at < 0) return null;
        const open = closing(this.tokens, at + 1) + 2;
        if (this.tokens[open]?.text !== "{") return null;
        return split(expand(this.tokens.slice(open + 1, closing(this.tokens, open)), this.macros)).filter((part) => part[0]?.text !== "DB_END").length;
    }

    /** db_built_add(&built, SQL("..."), DB_ARGS(...)) */
    private fragment(at: number): void {
        const [, text, args] = split(this.tokens.slice(at + 2, closing(this.tokens, at + 1)));
        if (!text || !args) return;
        this.see(text);
        if (!this.isLiteral(text)) {
            this.complain(at, `the fragment is not a literal: ${text.map((token) => token.text).join("")}`);
            return;
        }
        const sql = this.textOf(text);
        if (sql === null) return; // a choice: each part has been seen as a literal
        this.judgeFragment(at, sql, isOfPostgres(text));
        const values = argumentsOf(args);
        const places = (bare(sql).match(/\$\?/g) ?? []).length;
        if (values !== null && values.length !== places) this.complain(at, `the fragment has ${places} "$?", here are ${values.length} arguments`);
    }

    private judgeFragment(at: number, sql: string, isPostgres: boolean): void {
        for (const fault of textFaults(sql, isPostgres)) this.complain(at, fault);
        if (/\$\d/.test(bare(sql))) this.complain(at, "a fragment's parameters are $?");
    }

    private sqlMacro(at: number): void {
        const inside = this.tokens.slice(at + 2, closing(this.tokens, at + 1));
        this.see(inside);
        const sql = literal(inside, this.macros);
        if (sql === null) this.complain(at, "SQL() takes literals only");
        else this.judgeFragment(at, sql, isOfPostgres(this.tokens.slice(at)));
    }

    /** The text, when it is one literal (bare or in SQL()). */
    private textOf(tokens: Token[]): string | null {
        if (tokens[0]?.kind === "word" && isMark(tokens[0].text)) return literal(tokens.slice(1), this.macros);
        return literal(tokens, this.macros);
    }

    private isLiteral(tokens: Token[]): boolean {
        if (this.textOf(tokens) !== null) return true;
        const [first] = tokens;
        if (first?.text === "(" && closing(tokens, 0) === tokens.length - 1) return this.isLiteral(tokens.slice(1, -1));
        const question = outside(tokens, "?");
        if (question >= 0) {
            const colon = outside(tokens, ":");
            return this.isLiteral(tokens.slice(question + 1, colon)) && this.isLiteral(tokens.slice(colon + 1));
        }
        if (tokens.length > 1 && first?.kind === "word" && tokens[1]!.text === "(" && closing(tokens, 1) === tokens.length - 1)
            return this.answersLiterals(first.text);
        const last = tokens.at(-1);
        if (tokens.length > 2 && last?.kind === "word" && [".", "->"].includes(tokens.at(-2)!.text)) return this.isConstantMember(last.text);
        if (first?.kind === "word" && (tokens.length === 1 || tokens[1]!.text === "[")) return this.isConstant(first.text);
        return false;
    }

    /** NAME is `static const char *const NAME[] = {literals}`, or a `const char *` that is only ever given literals. */
    private isConstant(name: string): boolean {
        let given = 0;
        for (let i = 0; i < this.tokens.length; i++) {
            if (this.tokens[i]!.text !== name || this.tokens[i]!.kind !== "word") continue;
            const before = this.tokens[i - 1]?.text;
            const isArray = this.tokens[i + 1]?.text === "[";
            const equals = isArray ? closing(this.tokens, i + 1) + 1 : i + 1;
            if (before === "&" || before === "++") return false;
            if (isArray && this.tokens[equals]?.text === "=") {
                const open = equals + 1;
                const parts = split(this.tokens.slice(open + 1, closing(this.tokens, open)));
                if (!parts.every((part) => this.isLiteral(withoutDesignator(part)))) return false;
                given++;
            } else if (!isArray && this.tokens[equals]?.text === "=") {
                const end = this.tokens.findIndex((token, at) => at > equals && token.text === ";");
                if (!this.isLiteral(this.tokens.slice(equals + 1, end))) return false;
                given++;
            } else if (["*", "const"].includes(before ?? "") && [",", ")"].includes(this.tokens[i + 1]?.text ?? "")) {
                return false; // a parameter: anything may come in
            }
        }
        return given > 0;
    }

    /** FUNCTION is of this file and returns only literals. */
    private answersLiterals(name: string): boolean {
        for (let i = 0; i < this.tokens.length; i++) {
            if (this.tokens[i]!.text !== name || this.tokens[i + 1]?.text !== "(") continue;
            const open = closing(this.tokens, i + 1) + 1;
            if (this.tokens[open]?.text !== "{") continue;
            const body = this.tokens.slice(open, closing(this.tokens, open));
            const returns = body.flatMap((token, at) => (token.text === "return" && token.kind === "word" ? [at] : []));
            return returns.length > 0 && returns.every((at) => {
                const value = body.slice(at + 1, body.findIndex((token, end) => end > at && token.text === ";"));
                return value.length === 1 && value[0]!.text === "NULL" || this.isLiteral(value);
            });
        }
        return false;
    }

    /** The member is filled only by constant tables of this file: `static const struct ... = {...}` with literals. */
    private isConstantMember(member: string): boolean {
        let hasTable = false;
        for (let i = 0; i < this.tokens.length; i++) {
            if (this.tokens[i]!.text === "static" && this.tokens[i + 1]?.text === "const" && this.tokens[i + 2]?.text === "struct") hasTable = true;
            const isMember = this.tokens[i]!.text === member && [".", "->"].includes(this.tokens[i - 1]?.text ?? "");
            if (!isMember || this.tokens[i + 1]?.text !== "=") continue;
            let end = i + 2;
            while (end < this.tokens.length && ![",", ";", "}"].includes(this.tokens[end]!.text)) {
                if (["(", "[", "{"].includes(this.tokens[end]!.text)) end = closing(this.tokens, end);
                end++;
            }
            const value = this.tokens.slice(i + 2, end);
            if (!(value.length === 1 && value[0]!.text === "NULL") && !this.isLiteral(value)) return false;
        }
        return hasTable;
    }

    /** SQL that stands in no statement and no SQL(). */
    private strays(): void {
        const SQL_TEXT = /^\s*(SELECT\s.+\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|WITH\s+\w+\s.*\bAS\s*\()/is;
        this.tokens.forEach((token, i) => {
            if (token.kind === "string" && !this.seen.has(token) && SQL_TEXT.test(token.text))
                this.complain(i, "SQL outside DB_STATEMENT or SQL()");
        });
    }
}

/** SQL("...") or SQL_POSTGRES("...") */
function isMark(word: string): boolean {
    return word === "SQL" || word === "SQL_POSTGRES";
}

function isOfPostgres(tokens: Token[]): boolean {
    return tokens[0]?.text === "SQL_POSTGRES";
}

function withoutDesignator(part: Token[]): Token[] {
    const equals = part.findIndex((token) => token.text === "=");
    return part[0]?.text === "[" && equals > 0 ? part.slice(equals + 1) : part;
}

/** Where `text` stands outside all brackets; of ":", the one that belongs to the first "?". */
function outside(tokens: Token[], text: string): number {
    let nested = 0;
    for (let i = 0; i < tokens.length; i++) {
        const token = tokens[i]!;
        if (token.kind !== "punct") continue;
        if (["(", "[", "{"].includes(token.text)) i = closing(tokens, i);
        else if (text === ":" && token.text === "?") nested++;
        else if (token.text === text && (text !== ":" || --nested === 0)) return i;
    }
    return -1;
}

/** The values of DB_ARGS(...) or DB_NO_ARGS; null when something else stands there. */
function argumentsOf(tokens: Token[]): Token[][] | null {
    if (tokens.length === 1 && tokens[0]!.text === "DB_NO_ARGS") return [];
    if (tokens[0]?.text !== "DB_ARGS" || tokens[1]?.text !== "(") return null;
    return split(tokens.slice(2, closing(tokens, 1)));
}

const MAKERS: Record<string, string> = {
    db_int: "DB_INT", db_bool: "DB_BOOL", db_time: "DB_TIME", db_uuid: "DB_UUID", db_text: "DB_TEXT", db_json: "DB_JSON", db_blob: "DB_BLOB",
};

/** The type of a value that one of db.h's makers makes; null when it comes from elsewhere. */
function typeOf(value: Token[]): string | null {
    const maker = value[0]?.text ?? "";
    if (value[1]?.text !== "(") return null;
    const inside = split(value.slice(2, closing(value, 1)));
    if (maker === "db_if") return typeOf(inside[1] ?? []);
    if (maker === "db_null") return inside[0]?.length === 1 ? inside[0][0]!.text : null;
    return MAKERS[maker] ?? null;
}

if (isMain(import.meta.url)) {
    // data/ below the seam speaks to the engines by itself.
    const files = filesUnder("src", /\.[ch]$/).filter((file) => !/^src\/(base|contract|api)\/|^src\/data\/(sqlite|postgres|migrations|db|lane|checkpoint|backup)/.test(file));
    const sources = files.map(readSource);
    const shared = new Map(sources.filter((source) => source.file.endsWith(".h")).flatMap((source) => [...source.macros]));
    report(sources.flatMap((source) => new SqlChecker(source, shared).check()), `${files.length} files`);
}
