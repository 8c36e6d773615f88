// The checkers find what they are for, and leave good code alone.
import assert from "node:assert/strict";
import { test } from "node:test";
import { tokenize } from "./c.ts";
import { compare, settingsOf } from "./env.ts";
import { LINES_MAX, longFunctions } from "./functions.ts";
import { badIncludes, floorsOf } from "./includes.ts";
import { SqlChecker, columnCount, textFaults } from "./sql.ts";

const sqlFindings = (text: string) => new SqlChecker(tokenize(text, "src/shop/x.c")).check().map((finding) => finding.what);

function statement(sql: string, params = "{DB_UUID}", columns = "{DB_INT}"): string {
    return `DB_STATEMENT(X) = {\n .sql = ${sql},\n .params = ${params},\n .columns = ${columns},\n};\n`;
}

test("good statements pass", () => {
    assert.deepEqual(sqlFindings(statement(`"SELECT version" " FROM carts WHERE id = $1"`)), []);
    assert.deepEqual(sqlFindings(`#define LIST "a, b"\n${statement(`"SELECT " LIST " FROM t WHERE id = $1 AND x <> '$9 ?'"`, "{DB_UUID}", "{DB_INT, DB_TEXT}")}`), []);
    assert.deepEqual(sqlFindings(`#define ALIAS(x) "coalesce(" #x ", 0)"\n${statement(`"SELECT " ALIAS(total) " FROM t WHERE id = $1"`)}`), []);
    assert.deepEqual(sqlFindings(statement(`"UPDATE t SET a = (SELECT b, c FROM u) WHERE id = $1 RETURNING a, (1, 2)"`, "{DB_UUID}", "{DB_INT, DB_INT}")), []);
    assert.deepEqual(sqlFindings(`DB_STATEMENT(X) = {.sql = "DELETE FROM t"};\nvoid f(void)\n{\n db_run(db, &X, DB_NO_ARGS);\n}`), []);
});

test("what is not a literal is found", () => {
    assert.match(sqlFindings(statement(`text`))[0]!, /not made of literals/);
    assert.match(sqlFindings(statement(`"SELECT 1 FROM t WHERE id = $1" suffix`))[0]!, /not made of literals/);
    assert.match(sqlFindings(`static const struct db_statement X = {.sql = "SELECT 1"};`)[0]!, /DB_STATEMENT/);
    assert.match(sqlFindings(`DB_STATEMENT(X) = {.sql = NULL};`)[0]!, /has no .sql/);
    assert.match(sqlFindings(`void f(void) { buf_format(&out, "SELECT id FROM t WHERE id = %d", 1); }`)[0]!, /outside/);
});

test("parameters and columns are counted", () => {
    assert.match(sqlFindings(statement(`"SELECT a FROM t WHERE id = $1 AND b = $2"`))[0]!, /\$2 is used but .params declares 1/);
    assert.match(sqlFindings(statement(`"SELECT a FROM t"`))[0]!, /\$1 is declared but not used/);
    assert.match(sqlFindings(statement(`"SELECT a, b FROM t WHERE id = $1"`))[0]!, /answers 2 columns, .columns declares 1/);
    assert.match(sqlFindings(statement(`"UPDATE t SET a = 1 WHERE id = $1"`))[0]!, /answers 0 columns/);
    assert.equal(columnCount("WITH c AS (SELECT a, b, c FROM t) SELECT max(a, b), 'x, y' FROM c"), 2);
    assert.equal(columnCount("INSERT INTO t (a, b) SELECT c, d FROM u RETURNING a"), 1);
    assert.equal(columnCount("SELECT a, b", false), null);
});

test("arguments are held against the declaration", () => {
    const good = statement(`"SELECT a FROM t WHERE id = $1"`);
    assert.deepEqual(sqlFindings(`${good} int f(void) { db_one_int(db, &X, DB_ARGS(db_if(a, db_uuid(id))), &n); }`), []);
    assert.deepEqual(sqlFindings(`${good} int f(void) { db_query(db, &X, DB_ARGS(value_of(id))); }`), []);
    assert.match(sqlFindings(`${good} int f(void) { db_query(db, &X, DB_ARGS(db_uuid(id), db_int(f(1, 2)))); }`)[0]!, /takes 1 arguments, here are 2/);
    assert.match(sqlFindings(`${good} int f(void) { db_run(db, &X, DB_ARGS(db_text(id))); }`)[0]!, /declared DB_UUID, here it is DB_TEXT/);
    assert.match(sqlFindings(`${good} int f(void) { db_run(db, &X, DB_ARGS(db_null(DB_TIME))); }`)[0]!, /declared DB_UUID, here it is DB_TIME/);
});

test("the engines' own ways are refused", () => {
    for (const sql of ["SELECT CAST(a AS text) FROM t", "SELECT a::text FROM t", "SELECT now()", "SELECT CURRENT_TIMESTAMP", "SELECT * FROM t",
        "SELECT t.* FROM t", "WITH x AS (DELETE FROM t RETURNING a) SELECT a FROM x", "INSERT OR IGNORE INTO t VALUES (1)", "DELETE FROM t; DELETE FROM u"])
        assert.equal(textFaults(sql).length, 1, sql);
    assert.deepEqual(textFaults("WITH x AS (DELETE FROM t) SELECT a::text FROM t", true), []);
    assert.equal(textFaults("SELECT now(), a::text FROM t", true).length, 1);
    assert.deepEqual(sqlFindings(`DB_STATEMENT(X) = {.sql_postgres = "DELETE FROM t WHERE a = 'x'::text"};`), []);
    for (const sql of ["SELECT count(*) FROM t WHERE a = '::now()'", "SELECT a * b FROM t", "WITH x AS (SELECT a FROM t) DELETE FROM t"])
        assert.deepEqual(textFaults(sql), [], sql);
});

test("fragments are literals, a choice of them, or elements of constant tables", () => {
    const add = (fragment: string, args = "DB_NO_ARGS") => `int f(void)\n{\n db_built_add(&built, ${fragment}, ${args});\n}\n`;
    assert.deepEqual(sqlFindings(add(`SQL(" WHERE a = $?")`, "DB_ARGS(db_int(1))")), []);
    assert.deepEqual(sqlFindings(add(`up ? SQL(" ORDER BY a") : down ? SQL(" ORDER BY b") : SQL("")`)), []);
    assert.deepEqual(sqlFindings(`static const char *const SORTS[] = {SQL("a"), [2] = SQL("b")};\n${add("SORTS[i]")}`), []);
    assert.deepEqual(sqlFindings(`static const struct sort SORTS[] = {{.sql = SQL("a")}, {.sql = SQL("b")}};\n${add("SORTS[i].sql")}`), []);
    assert.deepEqual(sqlFindings(`static const char *sort_of(int s)\n{\n if (s) return SQL("a");\n return SQL("b");\n}\n${add("sort_of(x)")}`), []);
    assert.deepEqual(sqlFindings(add(`SQL_POSTGRES(" WHERE a = 'x'::text")`)), []);
    assert.match(sqlFindings(add(`SQL(" WHERE a = 'x'::text")`))[0]!, /a cast/);
    assert.match(sqlFindings(add("text"))[0]!, /not a literal/);
    assert.match(sqlFindings(`static const struct sort S[] = {{.sql = SQL("a")}};\nvoid g(void)\n{\n s.sql = input;\n}\n${add("s.sql")}`)[0]!, /not a literal/);
    assert.match(sqlFindings(`static const char *sort_of(const char *s)\n{\n return s;\n}\n${add("sort_of(x)")}`)[0]!, /not a literal/);
    assert.match(sqlFindings(add(`SQL(" WHERE a = $?")`))[0]!, /1 "\$\?", here are 0 arguments/);
    assert.match(sqlFindings(add(`SQL(" WHERE a = $1")`, "DB_ARGS(db_int(1))"))[0]!, /parameters are \$\?/);
    const init = (list: string) => `static const enum db_type COLUMNS[] = {DB_INT, DB_TEXT, DB_END};\nint f(void)\n{\n db_built_init(&built, COLUMNS);\n db_built_add(&built, SQL("SELECT ${list} FROM t"), DB_NO_ARGS);\n}`;
    assert.deepEqual(sqlFindings(init("a, b")), []);
    assert.match(sqlFindings(init("a"))[0]!, /answers 1 columns, COLUMNS declares 2/);
});

test("a function over the limit is found, one at the limit is not", () => {
    const of = (lines: number) => tokenize(`static int f(int (*g)(int))\n{\n${"    g(1);\n".repeat(lines - 3)}}\n`, "src/x.c");
    assert.deepEqual(longFunctions(of(LINES_MAX)), []);
    assert.match(longFunctions(of(LINES_MAX + 1))[0]!.what, /^f has 71 lines/);
});

test("floors include downwards only, private headers stay at home", () => {
    const floors = floorsOf("souk_floor(base     FLOORS    LIBRARIES m)\nsouk_floor(data FLOORS base LIBRARIES x)\n");
    assert.deepEqual([...floors], [["base", []], ["data", ["base"]]]);
    const found = (file: string, line: string) => badIncludes(tokenize(`/* what for */\n${line}\n`, file), floors).map((finding) => finding.what);
    assert.deepEqual(found("src/data/x.c", `#include "base/slice.h"`), []);
    assert.deepEqual(found("src/data/x.c", `#include "data/x_private.h"`), []);
    assert.deepEqual(found("tests/unit/data/x_test.c", `#include "data/x_private.h"`), []);
    assert.match(found("src/base/x.c", `#include "data/db.h"`)[0]!, /base stands below data/);
    assert.match(found("src/data/x.c", `#include "base/x_private.h"`)[0]!, /private to base/);
    assert.match(found("src/data/x.c", `#include "../base/x.h"`)[0]!, /never by/);
    assert.match(found("src/data/x.c", `#include "x.h"`)[0]!, /name headers from src/);
    assert.match(badIncludes(tokenize("int x;\n", "src/data/x.c"), floors)[0]!.what, /opens with a comment/);
});

test(".env.example and the table of settings agree", () => {
    const settings = settingsOf(tokenize(`static const struct config_setting SETTINGS[] = {
        {MEMBER(a), CONFIG_PATH, "SOUK_A", "a", "./a", 0, 0, "help"}, {MEMBER(b), CONFIG_SWITCH, NULL, "no-b", "on", 0, 0, "help"},
        {MEMBER(c), CONFIG_SECRET, "SOUK_C", NULL, NULL, 0, 0, "help"},
    };`));
    assert.deepEqual(settings.map(({ name, initial }) => [name, initial]), [["SOUK_A", "./a"], ["SOUK_C", null]]);
    assert.deepEqual(compare(settings, "# x\nSOUK_A=./a\nSOUK_C=\n"), []);
    assert.deepEqual(compare(settings, "SOUK_A=./b\nSOUK_D=1\n").map((finding) => finding.what),
        ['SOUK_A: the default is "./a"', "SOUK_C is missing", "SOUK_D is no setting"]);
});
