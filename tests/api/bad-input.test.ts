// Bad input, made from the contract: for every operation each way of breaking each rule that it states. Every one is a 400 that
// names the field and the rule, and nothing is written.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Raw, etagOf, ok, refused, ruleOf, type Client, type Json, type Reply } from "../support/client.ts";
import { operations, resolve, type Operation, type Parameter, type Schema } from "../support/contract.ts";
import { lambdaFront } from "../support/lambda-shop.ts";
import { Shop, address, newId } from "../support/shop.ts";

// A REST API unescapes queries before any function sees them: what it cannot read never arrives.
const MALFORMED_ESCAPES = lambdaFront === "rest" ? [] : ["%FF", "%", "%zz", "%C0%80", "%ED%A0%80"];

let shop: Shop;
const ids: Record<string, string> = {}; // what exists, by template of path and parameter
before(async () => {
    shop = await Shop.open({ args: ["--no-jobs"] });
    const category = await shop.category();
    const product = await shop.product();
    const cart = await shop.cartOf(shop.guest, { productId: product.id, quantity: 1 });
    const order = await shop.order(shop.guest, product);
    const saved = ok(await shop.admin.client.post("/users/me/addresses", address()), 201);
    const user = await shop.register();
    const role = ok(await shop.admin.client.post("/roles", { name: "bad-input", scopes: ["orders:read"] }), 201);
    const plan = ok(await shop.admin.client.post("/plans", { name: "Bad input" }), 201);
    const key = ok(await shop.admin.client.post("/api-keys", { kind: "secret", name: "Bad input", scopes: ["orders:read"] }), 201);
    Object.assign(ids, {
        "/categories id": category.id, "/products id": product.id, "/products variantId": product.variants[0].id, "/cart id": cart.id,
        "/cart itemId": cart.items[0].id, "/checkout id": cart.id, "/orders id": order.id, "/users id": user.id, "/users addressId": saved.id,
        "/docs file": "explorer.js", "/media name": "a.svg",
        "/roles name": role.name, "/plans id": plan.id, "/api-keys id": key.id,
    });
    content = shop.server.database.fingerprint();
    stamp = shop.server.database.stamp();
});
after(() => shop?.close());

const clientOf = (operation: Operation): Client =>
    operation.souk.access === "staff" || operation.souk.access === "customer" ? shop.admin.client : shop.guest;
const pathOf = (operation: Operation, replaced: Record<string, string> = {}) => operation.path.replace(/\{([^}]+)\}/g, (_, name: string) =>
    replaced[name] ?? ids[`/${operation.path.split("/")[1]} ${name}`] ?? newId());

let stamp = "";
let content = ""; // at the beginning; no test of this file may change it
function nothingWasWritten(): void {
    const { database } = shop.server;
    if (database.stamp() === stamp) return;
    assert.equal(database.fingerprint(), content, "something was written");
    stamp = database.stamp();
}

// ---- JSON that JSON.stringify would not write

class Text { // written as it is
    constructor(readonly text: string) {}
}
class Twice { // an object in which one key stands twice
    constructor(readonly value: Record<string, unknown>, readonly key: string) {}
}
const BAD_BYTE = "\uE000"; // stands for 0xFF until the body is bytes

function render(value: unknown): string {
    if (value instanceof Text) return value.text;
    if (value instanceof Twice) {
        const whole = render(value.value);
        return `{${JSON.stringify(value.key)}:${render(value.value[value.key])},${whole.slice(1)}`;
    }
    if (Array.isArray(value)) return `[${value.map(render).join(",")}]`;
    if (typeof value === "object" && value !== null) {
        return `{${Object.entries(value).map(([key, one]) => `${JSON.stringify(key)}:${render(one)}`).join(",")}}`;
    }
    return JSON.stringify(value);
}

const bytesOf = (text: string): Buffer => {
    const parts = text.split(BAD_BYTE).map((part) => Buffer.from(part));
    return Buffer.concat(parts.flatMap((part, index) => (index === 0 ? [part] : [Buffer.from([0xff]), part])));
};

// ---- what a schema says

/** The schema without its `or null`. */
function strip(schema: Schema): { schema: Schema; types: string[]; isNullable: boolean } {
    const resolved = resolve(schema);
    const choices = resolved.anyOf?.map((one) => resolve(one));
    if (choices) {
        const [main] = choices.filter((one) => one.type !== "null");
        return { ...strip(main!), isNullable: true };
    }
    const types = [resolved.type ?? []].flat();
    return { schema: resolved, types: types.filter((one) => one !== "null"), isNullable: types.includes("null") };
}

const FORMATS: Record<string, { good: string; bad: string[] }> = {
    "uuid": { good: "0190a5c8-1b7e-7cc3-a0d4-5f3b6c1e2a10", bad: ["x", "0190a5c8-1b7e-7cc3-a0d4-5f3b6c1e2a1g", "0190a5c81b7e7cc3a0d45f3b6c1e2a10", "{0190a5c8-1b7e-7cc3-a0d4-5f3b6c1e2a10}"] },
    "email": { good: "amina@example.com", bad: ["amina", "@example.com", "amina@", "a b@example.com", "a@@example.com", "a@example.com,b@example.com"] },
    "uri": { good: "/media/a.svg", bad: ["javascript:alert(1)", "//evil.example/x", "ftp://example.com/x", "example.com", "http://", "https://exa mple.com"] },
    "slug": { good: "hiking-boots", bad: ["Hiking", "-boots", "boots-", "hiking--boots", "hiking boots", "botte-été", "a/b"] },
    "slug-or-id": { good: "hiking-boots", bad: ["Hiking", "-boots", "hiking boots", "a.b"] },
    "currency": { good: "USD", bad: ["usd", "US", "ZZZ", "$$$"] },
    "country": { good: "FR", bad: ["fr", "F", "ZZ", "??"] },
    "sku": { good: "SKU-1", bad: ["SKU\u00a01", "été", "a\tb"] },
    "password": { good: "correct horse battery", bad: [] },
    "phone": { good: "+33 6 12 34 56 78", bad: ["call me", "12", "+33 6 12 34 56 78 ext. 9", "++33612345678"] },
    "date-time": { good: "2024-05-12T10:00:00Z", bad: ["yesterday", "2024-05-12", "2024-13-12T10:00:00Z", "2024-05-12T25:00:00Z", "1715508000"] },
    "cursor": { good: "", bad: ["abc", "'", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] },
};

/** A value that the schema allows. */
function sample(schema: Schema): unknown {
    const { schema: plain, types } = strip(schema);
    if (plain.enum) return plain.enum[0];
    switch (types[0]) {
    case "string": return plain.format ? FORMATS[plain.format]!.good : "x".repeat(Math.max(plain.minLength ?? 1, 1));
    case "integer": return Math.max(plain.minimum ?? 1, 1);
    case "number": return 1;
    case "boolean": return true;
    case "array": return [sample(plain.items!)];
    default: break;
    }
    if (typeof plain.additionalProperties === "object") return { name: sample(plain.additionalProperties) };
    return Object.fromEntries(Object.entries(plain.properties ?? {}).map(([name, one]) => [name, sample(one)]));
}

interface Fault {
    what: string;
    field: string | RegExp;
    rule?: RegExp;
    body: unknown;
}

const OTHERS: Record<string, unknown[]> = {
    string: [1, true, [], {}], integer: ["1", 1.5, true, [], {}], number: ["1", true, []], boolean: ["true", 0, 1, []],
    array: ["x", 1, {}, true], object: ["x", 1, [], true],
};

/** Every way to break `schema`, at `field`; `put` makes the whole body with another value in this place. */
function* faults(schema: Schema, field: string, put: (value: unknown) => unknown): Generator<Fault> {
    const { schema: plain, types, isNullable } = strip(schema);
    const at = (what: string, value: unknown, rule?: RegExp, where: string | RegExp = field): Fault =>
        ({ what: `${field || "body"}: ${what}`, field: where || "body", ...(rule ? { rule } : {}), body: put(value) });
    if (types.length === 1) {
        for (const other of OTHERS[types[0]!]!) yield at(`${types[0]} given as ${JSON.stringify(other)}`, other, plain.enum ? /^(TYPE|ENUM)$/ : /^TYPE$/);
    }
    if (!isNullable && field) yield at("null", null, /^(NOT_NULL|TYPE|REQUIRED)$/);
    if (plain.enum) {
        yield at("a value that is not listed", "no-such-value", /^ENUM$/);
        yield at("a listed value in capitals", String(plain.enum[0]).toUpperCase(), /^ENUM$/);
    } else if (types.length === 1 && types[0] === "string") {
        yield* stringFaults(plain, at);
    } else if (types.length === 1 && types[0] === "integer") {
        if (plain.minimum !== undefined) yield at("too small", plain.minimum - 1, /^MIN$/);
        if (plain.maximum !== undefined) yield at("too large", plain.maximum + 1, /^MAX$/);
        for (const huge of ["9223372036854775807", "9223372036854775808", "-9223372036854775809", "1e400", "1e20", "123456789012345678901234567890"]) yield at(huge, new Text(huge));
    } else if (types[0] === "array") {
        const item = sample(plain.items!);
        if (plain.maxItems !== undefined) yield at("too many", Array(plain.maxItems + 1).fill(item), /^MAX_ITEMS$/);
        if (plain.minItems) yield at("too few", [], /^MIN_ITEMS$/);
        yield* faults(plain.items!, `${field}[0]`, (value) => put([value]));
    } else if (types[0] === "object" && typeof plain.additionalProperties === "object") {
        yield* mapFaults(plain, field, put, at);
    } else if (types[0] === "object") {
        yield* objectFaults(plain, field, put, at);
    }
}

type At = (what: string, value: unknown, rule?: RegExp, where?: string | RegExp) => Fault;

function* stringFaults(plain: Schema, at: At): Generator<Fault> {
    if (plain.maxLength !== undefined) {
        yield at("too long", "x".repeat(plain.maxLength + 1), plain.format ? /^(MAX_LENGTH|FORMAT)$/ : /^MAX_LENGTH$/);
        if (!plain.format) yield at("too long in characters of four bytes", "🧵".repeat(plain.maxLength + 1), /^MAX_LENGTH$/);
    }
    if (plain.minLength) yield at("empty", "", /^(MIN_LENGTH|FORMAT|BLANK|REQUIRED)$/);
    for (const bad of plain.format ? FORMATS[plain.format]!.bad : []) yield at(`not a ${plain.format}: ${bad}`, bad, /^(FORMAT|MAX_LENGTH|MIN_LENGTH|CONTROL_CHARACTER)$/);
    const good = String(sample(plain));
    yield at("a NUL", `${good}\u0000${good}`);
    yield at("an unpaired surrogate", new Text(`"${good}\\ud800"`), undefined, /./); // no Unicode, so perhaps no text at all
    yield at("a byte that is not UTF-8", new Text(`"${good}${BAD_BYTE}"`));
    yield at("a line that does not end", new Text(`"${good}`), undefined, /./);
}

function* objectFaults(plain: Schema, field: string, put: (value: unknown) => unknown, at: At): Generator<Fault> {
    const whole = sample(plain) as Record<string, unknown>;
    const inside = (name: string) => (field ? `${field}.${name}` : name);
    for (const name of plain.required ?? []) {
        const { [name]: _, ...rest } = whole;
        yield at(`without ${name}`, rest, /^REQUIRED$/, inside(name));
    }
    yield at("an unknown field", { ...whole, nobodyKnows: 1 }, /^UNKNOWN$/, inside("nobodyKnows"));
    yield at("an unknown field that JavaScript knows", new Text(render(whole).replace(/^\{/, "{\"__proto__\":{},").replace(/,\}$/, "}")), /^UNKNOWN$/, inside("__proto__"));
    for (const name of Object.keys(plain.properties ?? {})) {
        if (plain.properties![name]!.type !== "object") yield at(`${name} twice`, new Twice(whole, name), undefined, inside(name));
    }
    for (const [name, one] of Object.entries(plain.properties ?? {})) {
        yield* faults(one, inside(name), (value) => put({ ...whole, [name]: value }));
    }
}

function* mapFaults(plain: Schema, field: string, put: (value: unknown) => unknown, at: At): Generator<Fault> {
    const value = sample(plain.additionalProperties as Schema);
    const within = new RegExp(`^${field.replace(/[.[\]]/g, "\\$&")}`);
    if (plain.maxProperties !== undefined) {
        yield at("too many entries", Object.fromEntries(Array.from({ length: plain.maxProperties + 1 }, (_, i) => [`n${i}`, value])), /^MAX_PROPERTIES$/);
    }
    const longest = (plain.propertyNames as Schema | undefined)?.maxLength;
    if (longest !== undefined) yield at("a name that is too long", { ["n".repeat(longest + 1)]: value }, /^MAX_LENGTH$/, within);
    yield at("a nested value", { name: { deeper: 1 } }, /^TYPE$/, within);
    yield at("a null", { name: null }, undefined, within);
    yield at("one name twice", new Twice({ name: value }, "name"), undefined, within);
    yield at("an empty name", { "": value }, undefined, within);
    void put;
}

// ---- bodies

function check(fault: Fault, reply: Reply): string[] {
    const complaint = `${fault.what} -> ${reply.status} ${reply.text.slice(0, 300)}`;
    if (reply.status !== 400) return [complaint];
    const errors = (reply.body.errors ?? []) as { field: string; code: string }[];
    const named = errors.filter((one) => (typeof fault.field === "string" ? one.field === fault.field : fault.field.test(one.field)));
    if (named.length === 0) return [`${complaint}\n      does not name ${fault.field}`];
    if (named.length !== errors.length) return [`${complaint}\n      names more than ${fault.field}`];
    if (fault.rule && !named.some((one) => fault.rule!.test(one.code))) return [`${complaint}\n      is not the rule ${fault.rule}`];
    return [];
}

const taking = operations.filter((one) => one.body);

describe("bodies", () => {
    for (const operation of taking) {
        test(`${operation.id}: every rule of its body`, async () => {
            const client = clientOf(operation);
            const path = pathOf(operation);
            const complaints: string[] = [];
            let tried = 0;
            for (const fault of faults(operation.body!.schema, "", (value) => value)) {
                tried++;
                complaints.push(...check(fault, await client.request(operation.method, path, new Raw(bytesOf(render(fault.body))))));
            }
            assert.ok(tried >= 6, `${tried} tried`);
            assert.equal(complaints.length, 0, `${complaints.length} of ${tried}:\n    ${complaints.slice(0, 12).join("\n    ")}`);
            nothingWasWritten();
        });
    }

    for (const operation of taking) {
        test(`${operation.id}: what is no JSON object`, async () => {
            const client = clientOf(operation);
            const path = pathOf(operation);
            const good = render(sample(operation.body!.schema));
            const deep = (open: string, close: string, depth: number) => open.repeat(depth) + close.repeat(depth);
            const texts = [
                "{", "}", "{]", "nonsense", "null", "true", "1", "\"x\"", "[]", "[{}]", " ", "{'a':1}", "{a:1}", "{\"a\":}", "{\"a\":1,}", "{,}", "{\"a\" 1}",
                "{\"a\":01}", "{\"a\":+1}", "{\"a\":.5}", "{\"a\":NaN}", "{\"a\":Infinity}", "{\"a\":1e}", "{\"a\":tru}", "{\"a\":\"\\x41\"}", "{\"a\":\"tab\there\"}",
                `${good} x`, `${good}${good}`, `${good},`, `${good}\u0000`, `\u0000${good}`, `// comment\n${good}`, `\uFEFF${good}x`, good.slice(0, -1) || "{",
                `{"a":${deep("[", "]", 13)}}`, `{"a":${deep("{\"a\":", "}", 1000).replace(":}", ":1}")}}`, deep("[", "]", 5000), `{"a":${deep("[", "]", 5000)}}`,
                BAD_BYTE, `{"${BAD_BYTE}":1}`, `{"a\\u0000b":1}`,
            ];
            for (const text of texts) {
                const reply = await client.request(operation.method, path, new Raw(bytesOf(text)));
                assert.equal(reply.status, 400, `${text.slice(0, 60)} -> ${reply.status} ${reply.text.slice(0, 300)}`);
                assert.ok((reply.body.errors ?? []).length > 0, `${text.slice(0, 60)} names nothing: ${reply.text}`);
            }
            if (operation.body!.required) {
                const reply = await client.request(operation.method, path);
                assert.equal(reply.status, 400, `no body -> ${reply.status} ${reply.text}`);
            }
            nothingWasWritten();
        });
    }

    for (const operation of taking) {
        test(`${operation.id}: a body that is too large, or of another kind`, async () => {
            const client = clientOf(operation);
            const path = pathOf(operation);
            const limit = operation.souk.bodyLimit ?? 65536;
            refused(await client.request(operation.method, path, new Raw(`{"x":"${"x".repeat(limit)}"}`)), 413, "BODY_TOO_LARGE");
            const good = render(sample(operation.body!.schema));
            for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", "text/json", null]) {
                refused(await client.request(operation.method, path, new Raw(good, type), { headers: type === null ? { "content-type": "" } : {} }), 415, "UNSUPPORTED_MEDIA_TYPE");
            }
            nothingWasWritten();
        });
    }
});

// ---- parameters

function badTexts(schema: Schema): string[] {
    const { schema: plain, types } = strip(schema);
    if (plain.enum) return ["no-such-value", ""];
    if (types[0] === "boolean") return ["yes", "1", "TRUE", ""];
    if (types[0] === "integer") {
        const bounds = [...(plain.minimum === undefined ? [] : [String(plain.minimum - 1)]), ...(plain.maximum === undefined ? [] : [String(plain.maximum + 1)])];
        return ["x", "1.5", "1e3", "", " 1", "+1", "0x10", "99999999999999999999", "-99999999999999999999", ...bounds];
    }
    const texts = [...(plain.format ? FORMATS[plain.format]!.bad : []), ...(plain.minLength ? [""] : []), "a\u0000b"];
    return plain.maxLength === undefined ? texts : [...texts, "x".repeat(plain.maxLength + 1)];
}

const escaped = (text: string) => encodeURIComponent(text).replace(/'/g, "%27");

describe("parameters", () => {
    for (const operation of operations) {
        const query = operation.parameters.filter((one: Parameter) => one.in === "query");
        const inPath = operation.parameters.filter((one: Parameter) => one.in === "path");
        test(`${operation.id}: the query`, async () => {
            const body = operation.method === "GET" || operation.method === "DELETE" || !operation.body ? undefined : sample(operation.body.schema);
            const send = (text: string) => clientOf(operation).request(operation.method, `${pathOf(operation)}?${text}`, body);
            for (const { name, schema } of query) {
                for (const text of badTexts(schema)) {
                    const reply = await send(`${escaped(name)}=${escaped(text)}`);
                    assert.equal(reply.status, 400, `${name}=${text.slice(0, 60)} -> ${reply.status} ${reply.text.slice(0, 300)}`);
                    if (!text.includes("\u0000")) assert.ok(ruleOf(reply, name), `${name}=${text.slice(0, 60)}: ${reply.text}`);
                }
                for (const raw of MALFORMED_ESCAPES) assert.equal((await send(`${escaped(name)}=${raw}`)).status, 400, `${name}=${raw}`);
                const good = strip(schema);
                if (good.schema.format !== "cursor") {
                    const text = `${escaped(name)}=${escaped(String(sample(schema)))}`;
                    assert.ok(ruleOf(await send(`${text}&${text}`), name), `${name} twice`);
                }
            }
            const unknown = await send("nobodyKnows=1");
            refused(unknown, 400, "VALIDATION_ERROR", ["nobodyKnows"]);
            assert.equal(ruleOf(unknown, "nobodyKnows"), "UNKNOWN");
            assert.equal((await send(Array.from({ length: 65 }, (_, i) => `p${i}=1`).join("&"))).status, 400);
            nothingWasWritten();
        });
        if (inPath.length === 0) continue;
        test(`${operation.id}: the path`, async () => {
            const body = operation.body ? sample(operation.body.schema) : undefined;
            for (const { name, schema } of inPath) {
                const texts = badTexts(schema).filter((text) => text !== "");
                for (const text of [...texts, ...(strip(schema).schema.format ? ["'; DROP TABLE orders; --", "1 OR 1=1", "-1", "null", "undefined"] : [])]) {
                    const reply = await clientOf(operation).request(operation.method, pathOf(operation, { [name]: escaped(text) }), body);
                    const isLiteral = /^(null|undefined|x)$/.test(text) && ["slug-or-id", "slug"].includes(strip(schema).schema.format ?? "");
                    assert.equal(reply.status, isLiteral ? 404 : 400, `${name}=${text.slice(0, 60)} -> ${reply.status} ${reply.text.slice(0, 300)}`);
                    if (!isLiteral && !text.includes("\u0000")) assert.ok(ruleOf(reply, name), `${name}=${text.slice(0, 60)}: ${reply.text}`);
                }
            }
            nothingWasWritten();
        });
    }

    for (const operation of operations.filter((one) => one.souk.ifMatch)) {
        test(`${operation.id}: If-Match`, async () => {
            const body = operation.body ? sample(operation.body.schema) : undefined;
            for (const ifMatch of ["1", "v1", "W/\"v1-abc\"", "\"", "\"v1-a", "x".repeat(201)]) {
                const reply = await clientOf(operation).request(operation.method, pathOf(operation), body, { ifMatch });
                assert.ok(reply.status === 400 || reply.status === 412, `${ifMatch.slice(0, 20)} -> ${reply.status} ${reply.text}`);
            }
            nothingWasWritten();
        });
    }
});

test("what a client sent is not repeated in places where a script could run", async () => {
    const reply = await shop.guest.get("/products", { query: { "<script>alert(1)</script>": "<img src=x>" } });
    assert.equal(reply.status, 400);
    assert.match(reply.headers.get("content-type") ?? "", /^application\/problem\+json/);
    assert.equal(reply.headers.get("x-content-type-options"), "nosniff");
});

test("ids in bodies that point at what is another's are refused", async () => {
    const [me, other] = [await shop.register(), await shop.register()];
    const saved: Json = ok(await other.client.post("/users/me/addresses", address()), 201);
    const cart = ok(await me.client.get("/cart/me"));
    for (const body of [{ shippingAddressId: saved.id }, { shippingAddress: saved }, { userId: other.id }]) {
        const reply = await me.client.post(`/checkout/${cart.id}`, { email: me.email, payment: { method: "manual" }, shippingAddress: address(), ...body });
        assert.equal(reply.status, 400, reply.text);
    }
    assert.ok(etagOf(await me.client.get("/cart/me")));
});
