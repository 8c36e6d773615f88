// The rules of api/README.md, over the whole contract. Every breach is noted with its place; nothing is generated then.
import type { Contract, Method, Place, RawOperation, RequestBody, Response } from "./openapi.ts";
import { SchemaChecker } from "./check_schemas.ts";
import { checkSouk } from "./check_souk.ts";

/** Headers that the gateway reads for every operation; no input carries them. */
const GATEWAY_HEADERS = ["idempotency-key", "if-match", "if-none-match"];

export function check(contract: Contract): void {
    const { document } = contract;
    if (!/^3\.1\./.test(String(document.openapi))) contract.complain(["openapi"], "must be 3.1");
    const schemas = new SchemaChecker(contract);
    const names = new Set<string>();
    for (const { path, method, operation, place } of contract.operations()) {
        checkName(contract, operation, place, names);
        checkSouk(contract, method, operation, place);
        checkParameters(contract, path, operation, place, schemas);
        checkBody(contract, method, operation, place, schemas);
        checkResponses(contract, operation, place, schemas);
    }
    checkReferences(contract, document, []);
    checkUse(contract);
}

function checkName(contract: Contract, { operationId }: RawOperation, place: Place, names: Set<string>): void {
    if (!/^[a-z][a-zA-Z0-9]*$/.test(operationId ?? "")) contract.complain(place, "operationId must be camelCase");
    if (names.has(operationId)) contract.complain(place, `operationId ${operationId} is used twice`);
    names.add(operationId);
}

function checkParameters(contract: Contract, path: string, operation: RawOperation, place: Place, schemas: SchemaChecker): void {
    const inPath = [...path.matchAll(/\{([^}]+)\}/g)].map((match) => match[1]);
    const declared = new Set<string>();
    for (const { parameter, place: at } of contract.parameters(path, operation, place)) {
        const key = `${parameter.in} ${parameter.name}`;
        if (declared.has(key)) contract.complain(at, `${key} is declared twice`);
        declared.add(key);
        if (parameter.in === "path") {
            if (!inPath.includes(parameter.name)) contract.complain(at, `${path} has no {${parameter.name}}`);
            if (parameter.required !== true) contract.complain(at, "a path parameter is required: true");
        }
        if (parameter.in === "header" && !GATEWAY_HEADERS.includes(parameter.name.toLowerCase())) {
            contract.complain(at, `no input carries the header ${parameter.name}`);
        }
        if (!parameter.schema) {
            contract.complain(at, "schema is missing");
            continue;
        }
        schemas.request(parameter.schema, [...at, "schema"]);
        const type = contract.resolve(parameter.schema, at)?.schema.type;
        if (type === "array" || type === "object") contract.complain(at, "a parameter is a scalar");
    }
    for (const name of inPath) {
        if (!declared.has(`path ${name}`)) contract.complain(place, `{${name}} is not declared`);
    }
}

function checkBody(contract: Contract, method: Method, operation: RawOperation, place: Place, schemas: SchemaChecker): void {
    if (!operation.requestBody) return;
    const at = [...place, "requestBody"];
    if (method === "get" || method === "delete") contract.complain(at, `${method.toUpperCase()} takes no body`);
    const found = contract.dereference<RequestBody>(operation.requestBody, at);
    if (!found) return;
    const types = Object.keys(found.value.content ?? {});
    const schema = found.value.content?.["application/json"]?.schema;
    if (types.length !== 1 || !schema) {
        contract.complain(at, "a body is application/json and nothing else");
        return;
    }
    const inner = [...found.place, "content", "application/json", "schema"];
    schemas.request(schema, inner);
    const resolved = contract.resolve(schema, inner);
    if (resolved && resolved.schema.type !== "object") contract.complain(inner, "a body is an object");
    if (found.value.required !== true && resolved?.schema.required?.length) {
        contract.complain(at, "required: true is missing: the body has required properties");
    }
}

function checkResponses(contract: Contract, operation: RawOperation, place: Place, schemas: SchemaChecker): void {
    const responses = operation.responses ?? {};
    if (!responses["default"]) contract.complain([...place, "responses"], "default is missing");
    if (!Object.keys(responses).some((status) => /^2\d\d$/.test(status))) {
        contract.complain([...place, "responses"], "no status says that it worked");
    }
    for (const [status, response] of Object.entries(responses)) {
        const found = contract.dereference<Response>(response, [...place, "responses", status]);
        for (const [type, content] of Object.entries(found?.value.content ?? {})) {
            if (found && content.schema) schemas.reply(content.schema, [...found.place, "content", type, "schema"]);
        }
    }
}

/** Every reference leads somewhere, also those in places that nothing else reads. */
function checkReferences(contract: Contract, value: unknown, place: Place): void {
    if (value === null || typeof value !== "object") return;
    for (const [key, inner] of Object.entries(value)) {
        if (key === "$ref" && typeof inner === "string") contract.follow(inner, place);
        else checkReferences(contract, inner, [...place, key]);
    }
}

/** A component that nothing refers to is a leftover. */
function checkUse(contract: Contract): void {
    const used = new Set(JSON.stringify(contract.document).match(/#\/components\/[^"]+/g));
    for (const kind of ["schemas", "parameters", "responses", "requestBodies"] as const) {
        for (const name of Object.keys(contract.document.components?.[kind] ?? {})) {
            if (!used.has(`#/components/${kind}/${name}`)) contract.complain(["components", kind, name], "nothing refers to it");
        }
    }
}
