// The contract as a judge: which operation a request hits, and whether a reply is one that the contract allows.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormatsModule from "ajv-formats";
import { parse } from "yaml";
import type { Document, Parameter, RawOperation, Schema } from "../../tools/contract/openapi.ts";
import { contractFile, coverageFolder } from "./paths.ts";

export type { Schema, Parameter };

export const document = parse(readFileSync(contractFile, "utf8")) as Document;

export interface ContractResponse {
    headers: Map<string, { schema?: Schema }>; // by name in lower case
    content: Map<string, Schema>;              // by media type; empty: no body
    ref: string;                               // where it stands, for the validator's cache
}

export interface Operation {
    id: string;
    method: string; // upper case
    path: string;
    pattern: RegExp;
    parameters: Parameter[];
    body?: { required: boolean; schema: Schema; example: unknown };
    responses: Map<string, ContractResponse>; // "200", ..., "default"
    souk: RawOperation["x-souk"];
    takesBearer: boolean;
}

/** Follows a `$ref`; what stands beside it wins. */
export function resolve<T extends object>(node: T): T {
    const reference = (node as { $ref?: string }).$ref;
    if (!reference) return node;
    let target: unknown = document;
    for (const step of reference.slice(2).split("/")) target = (target as Record<string, unknown>)[step];
    if (!target) throw new Error(`the contract has no ${reference}`);
    const { $ref: _, ...beside } = node as { $ref?: string };
    return { ...resolve(target as T), ...beside };
}

const mediaType = (value: string) => value.split(";")[0]!.trim().toLowerCase();

function readResponse(node: object, ref: string): ContractResponse {
    const response = resolve(node) as { headers?: Record<string, object>; content?: Record<string, { schema?: Schema }> };
    return {
        headers: new Map(Object.entries(response.headers ?? {}).map(([name, header]) => [name.toLowerCase(), resolve(header)])),
        content: new Map(Object.entries(response.content ?? {}).map(([type, media]) => [type, media.schema ?? {}])),
        ref,
    };
}

function readOperations(): Operation[] {
    const list: Operation[] = [];
    for (const [template, item] of Object.entries(document.paths)) {
        for (const method of ["get", "post", "put", "patch", "delete"]) {
            const raw = item[method] as (RawOperation & { security?: Record<string, unknown>[] }) | undefined;
            if (!raw) continue;
            const json = raw.requestBody ? resolve(raw.requestBody) : undefined;
            const media = json?.content["application/json"] as { schema: Schema; example?: unknown } | undefined;
            const security = raw.security ?? (document.security as Record<string, unknown>[]);
            list.push({
                id: raw.operationId,
                method: method.toUpperCase(),
                path: template,
                pattern: new RegExp(`^${template.replace(/[.]/g, "\\.").replace(/\{[^}]+\}/g, "([^/]+)")}$`),
                parameters: [...((item.parameters as Parameter[]) ?? []), ...(raw.parameters ?? [])].map(resolve),
                ...(media ? { body: { required: json?.required ?? false, schema: media.schema, example: media.example } } : {}),
                responses: new Map(Object.entries(raw.responses).map(([status, node]) =>
                    [status, readResponse(node, `${raw.operationId}/${status}`)])),
                souk: raw["x-souk"],
                takesBearer: security.some((one) => "bearerAuth" in one),
            });
        }
    }
    return list;
}

export const operations = readOperations();
export const operation = (id: string): Operation => {
    const found = operations.find((one) => one.id === id);
    if (!found) throw new Error(`the contract has no operation ${id}`);
    return found;
};

/** Templates without parameters win, as in the router. */
export function routesOf(pathname: string): Operation[] {
    const matching = operations.filter((one) => one.pattern.test(pathname));
    const literal = matching.filter((one) => !one.path.includes("{"));
    if (literal.length > 0) return literal;
    const fewest = Math.min(...matching.map((one) => one.path.split("{").length));
    return matching.filter((one) => one.path.split("{").length === fewest);
}

// ---- bodies

const ajv = new Ajv2020({ strict: false, allErrors: true });
(addFormatsModule as unknown as (instance: Ajv2020) => void)(ajv);
const SLUG = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
ajv.addFormat("uuid", UUID);
ajv.addFormat("slug", SLUG);
ajv.addFormat("slug-or-id", (text: string) => SLUG.test(text) || UUID.test(text));
ajv.addFormat("currency", /^[A-Z]{3}$/);
ajv.addFormat("country", /^[A-Z]{2}$/);
ajv.addFormat("sku", /^[!-~][ -~]*$/);
ajv.addFormat("cursor", /^[A-Za-z0-9_.-]+$/);
ajv.addFormat("order-number", /^[A-Z0-9][A-Z0-9-]{5,38}$/);
ajv.addFormat("phone", /^[0-9+()\/. -]+$/);
ajv.addFormat("password", true);
ajv.addFormat("uri", (text: string) => text.startsWith("/") || /^https?:\/\/[^ ]+$/.test(text));
ajv.addFormat("date-time", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/); // UTC, always
ajv.addSchema(JSON.parse(JSON.stringify(document)) as object, "souk");

const absolute = (schema: Schema): Schema =>
    JSON.parse(JSON.stringify(schema), (key, value) => (key === "$ref" ? String(value).replace(/^#/, "souk#") : value)) as Schema;

const validators = new Map<string, ValidateFunction>();
function validatorOf(key: string, schema: () => Schema): ValidateFunction {
    let validator = validators.get(key);
    if (!validator) validators.set(key, (validator = ajv.compile(absolute(schema()))));
    return validator;
}

/** With `fields` a resource shows only some of its properties; `id` is always there. */
function withoutRequired(wrapper: Schema): Schema {
    const loosen = (schema: Schema): Schema => ({ ...resolve(schema), required: ["id"] });
    const data = resolve(wrapper.properties!.data!);
    const loose = data.items ? { ...data, items: loosen(data.items) } : loosen(data);
    return { ...wrapper, properties: { ...wrapper.properties, data: loose } };
}

/** Headers of the protocol, which no contract lists. */
const PROTOCOL_HEADERS = new Set([
    "date", "age", "content-type", "content-length", "content-encoding", "connection", "keep-alive", "transfer-encoding", "cache-control", "vary", "server", "allow",
    "www-authenticate", "accept-ranges", "content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy",
    "strict-transport-security", "cross-origin-resource-policy", "cross-origin-opener-policy", "permissions-policy", "x-request-id",
    "access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers", "access-control-expose-headers",
    "access-control-max-age", "access-control-allow-credentials", "ratelimit", "ratelimit-policy", "ratelimit-limit",
    "ratelimit-remaining", "ratelimit-reset",
]);

export interface Observed {
    method: string;
    target: string; // path and query as sent
    status: number;
    headers: Headers;
    bytes: Buffer;
}

const hits = new Set<string>();

/** Throws what is wrong with a reply; notes which operation and status were seen. Answers the operation's id, if one was hit. */
export function judge(seen: Observed): string | null {
    const [pathname = "", query = ""] = seen.target.split("?");
    const routes = routesOf(pathname);
    const method = seen.method === "HEAD" ? "GET" : seen.method;
    const found = routes.find((one) => one.method === method);
    const faults: string[] = [];
    const response = found
        ? found.responses.get(String(seen.status)) ?? found.responses.get("default")
        : readResponse({ $ref: "#/components/responses/Problem" }, "problem");
    const label = `${seen.method} ${seen.target} -> ${seen.status}`;
    if (!response) throw new Error(`${label}: the contract has neither this status nor a default`);
    const explicit = found?.responses.has(String(seen.status)) ?? false;
    if (found && !explicit && seen.status < 400) faults.push(`status ${seen.status} is not documented for ${found.id}`);
    if (!found && seen.method === "OPTIONS" && seen.status === 204) return null;
    if (!found && seen.status < 400) faults.push("no operation of the contract, but no error either");

    // headers
    for (const [name, value] of seen.headers) {
        const documented = response.headers.get(name);
        if (documented?.schema) {
            const schema = documented.schema;
            const typed = schema.type === "integer" ? Number(value) : value;
            const validate = validatorOf(`header ${response.ref} ${name}`, () => schema);
            if (!validate(typed)) faults.push(`header ${name}: ${value}: ${ajv.errorsText(validate.errors)}`);
        } else if (!PROTOCOL_HEADERS.has(name) && !(name === "etag" && seen.status < 300)) { // the tag of what is answered, wherever it is
            faults.push(`header ${name} is not documented`);
        }
    }
    const requestId = seen.headers.get("x-request-id");
    if (!requestId) faults.push("no X-Request-Id");
    if (found && method === "GET" && (seen.status === 200 || seen.status === 304) && response.headers.has("etag")) {
        const tag = seen.headers.get("etag") ?? "";
        if (!/^"[!#-~]+"$/.test(tag)) faults.push(`no strong ETag on a GET: ${tag}`);
        else if (!found.souk.bare && !/^"v\d+-[A-Za-z0-9_-]+"$/.test(tag)) faults.push(`ETag ${tag} is not "v<version>-<hash>"`);
    }
    if (found && method === "GET" && seen.status === 200 && found.souk.access !== "public" && !found.souk.bare) {
        const control = seen.headers.get("cache-control") ?? "";
        if (!/private/.test(control) || !/no-store/.test(control)) faults.push(`Cache-Control of a private reply: ${control || "none"}`);
    }
    if (seen.status === 401 && !seen.headers.get("www-authenticate") && found?.takesBearer && found.souk.access !== "anyone") {
        faults.push("401 without WWW-Authenticate");
    }

    // body
    const type = mediaType(seen.headers.get("content-type") ?? "");
    const hasBody = seen.method !== "HEAD" && seen.status !== 204 && seen.status !== 304;
    if (seen.status === 204 && seen.bytes.length > 0) faults.push("204 with a body");
    if (hasBody && response.content.size === 0 && seen.bytes.length > 0) faults.push("a body where the contract has none");
    if (hasBody && response.content.size > 0) {
        const schema = response.content.get(type);
        if (!schema) faults.push(`content type ${type || "none"}, documented: ${[...response.content.keys()].join(", ")}`);
        else if (type.endsWith("json")) faults.push(...judgeJson(seen, response, schema, new URLSearchParams(query).has("fields"), requestId));
    }
    if (faults.length > 0) throw new Error(`${label} breaks the contract:\n  ${faults.join("\n  ")}\n  body: ${seen.bytes.toString().slice(0, 300)}`);
    if (found) hits.add(`${found.id} ${explicit ? seen.status : "default"}`);
    return found?.id ?? null;
}

function judgeJson(seen: Observed, response: ContractResponse, schema: Schema, selected: boolean, requestId: string | null): string[] {
    let body: unknown;
    try {
        body = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(seen.bytes));
    } catch (error) {
        return [`the body is not JSON: ${String(error)}`];
    }
    const loose = selected && seen.status < 300;
    const validate = loose
        ? validatorOf(`loose ${response.ref}`, () => withoutRequired(schema))
        : validatorOf(response.ref, () => schema);
    const faults = validate(body) ? [] : (validate.errors ?? []).slice(0, 5).map((one) =>
        `body${one.instancePath} ${one.message} ${JSON.stringify(one.params)}`);
    if (seen.status >= 400 && response.content.has("application/problem+json")) {
        const problem = body as { status?: number; requestId?: string; code?: string };
        if (problem.status !== seen.status) faults.push(`problem.status ${problem.status}`);
        if (problem.requestId !== requestId) faults.push(`problem.requestId ${problem.requestId}, X-Request-Id ${requestId}`);
        if (!/^[A-Z][A-Z_]+$/.test(problem.code ?? "")) faults.push(`problem.code ${problem.code}`);
    }
    return faults;
}

/** What one process has hit, for contract/coverage.test.ts, which runs last and reads them all. */
process.on("exit", () => {
    if (hits.size === 0) return;
    mkdirSync(coverageFolder, { recursive: true });
    const name = `${path.basename(process.argv[1] ?? "run", ".test.ts")}-${process.pid}.json`;
    writeFileSync(path.join(coverageFolder, name), JSON.stringify([...hits].sort(), null, 1));
});
