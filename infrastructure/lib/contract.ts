// What api/openapi.yaml says that AWS has to know: the groups of operations (one function each), what API Gateway keys its cache
// by, and the models that it checks requests against.
import { join } from "node:path";
import { Contract, type Method, type RawOperation, type Schema } from "../../tools/contract/openapi.ts";
import { ROOT } from "./settings.ts";

export interface Operation {
    id: string; // cartItemAdd
    group: string; // cart
    method: Method;
    path: string;
    access: RawOperation["x-souk"]["access"];
    query: { name: string; isRequired: boolean }[];
    pathParameters: string[];
    /** The name of the model of its JSON body. */
    model?: string;
    isBodyRequired: boolean;
    /** Seconds that souk keeps the reply; absent: not at all. */
    cacheSeconds?: number;
}

export interface Api {
    groups: string[];
    operations: Operation[];
    /** JSON Schema draft 4, the one that API Gateway reads. */
    models: Record<string, object>;
}

let read: Api | undefined;

export function readApi(): Api {
    read ??= apiOf(Contract.load(join(ROOT, "api/openapi.yaml"), "api/openapi.yaml"));
    return read;
}

export function apiOf(contract: Contract): Api {
    const operations: Operation[] = [];
    const models: Record<string, object> = {};
    for (const { path, method, operation, place } of contract.operations()) {
        const parameters = contract.parameters(path, operation, place).map(({ parameter }) => parameter);
        const [tag] = operation.tags ?? [];
        if (tag === undefined) throw new Error(`${operation.operationId}: an operation needs a tag, which names its function`);
        const body = operation.requestBody && contract.dereference(operation.requestBody, [...place, "requestBody"])?.value;
        const schema = body?.content["application/json"]?.schema;
        const model = schema && `${operation.operationId}Body`.replace(/^./, (letter) => letter.toUpperCase());
        if (schema && model) models[model] = { $schema: DRAFT_4, title: model, ...draft4(contract, schema, []) };
        operations.push({
            id: operation.operationId,
            group: tag.toLowerCase(),
            method,
            path,
            access: operation["x-souk"].access,
            query: parameters
                .filter((parameter) => parameter.in === "query")
                .map(({ name, required }) => ({ name, isRequired: required === true })),
            pathParameters: [...path.matchAll(/\{([^}]+)\}/g)].map((match) => match[1] ?? ""),
            ...(model ? { model } : {}),
            isBodyRequired: body?.required === true,
            ...(operation["x-souk"].cache ? { cacheSeconds: operation["x-souk"].cache.seconds } : {}),
        });
    }
    if (contract.errors.length > 0) throw new Error(contract.errors.join("\n"));
    return { groups: [...new Set(operations.map(({ group }) => group))], operations, models };
}

const DRAFT_4 = "http://json-schema.org/draft-04/schema#";

/** What both drafts mean alike. Formats are souk's own business, and propertyNames is unknown there: left out, never guessed. */
const KEPT = [
    "type", "enum", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "minProperties", "maxProperties",
    "uniqueItems", "required",
] as const;

/** The schema with its references written out: what API Gateway refuses, souk refuses too. */
function draft4(contract: Contract, schema: Schema, within: string[]): object {
    const { $ref: reference } = schema;
    if (reference !== undefined) {
        if (within.includes(reference)) throw new Error(`${reference} holds itself: API Gateway's models cannot`);
        const found = contract.follow<Schema>(reference, ["components"]);
        return found ? draft4(contract, found.value, [...within, reference]) : {};
    }
    const convert = (inner: Schema): object => draft4(contract, inner, within);
    const kept = Object.fromEntries(KEPT.filter((key) => schema[key] !== undefined).map((key) => [key, schema[key]]));
    const result: Record<string, unknown> = { ...kept };
    if (schema.const !== undefined) result["enum"] = [schema.const];
    if (schema.properties) {
        result["properties"] = Object.fromEntries(Object.entries(schema.properties).map(([name, inner]) => [name, convert(inner)]));
    }
    if (schema.items) result["items"] = convert(schema.items);
    if (typeof schema.additionalProperties === "boolean") result["additionalProperties"] = schema.additionalProperties;
    else if (schema.additionalProperties) result["additionalProperties"] = convert(schema.additionalProperties);
    for (const key of ["allOf", "anyOf", "oneOf"] as const) {
        if (schema[key]) result[key] = schema[key].map(convert);
    }
    // draft 4 has no required: []
    if (Array.isArray(result["required"]) && result["required"].length === 0) delete result["required"];
    return result;
}

/** API Gateway's rule for the names of parameters. */
const KEYABLE = /^[a-zA-Z0-9:._$-]+$/;

/**
 * The catalogue's GETs that API Gateway may answer from its cache. One with a parameter that it cannot key by (`price[gte]`) is
 * left to souk's own cache: it would show one price range's products for another's.
 */
export function cachedOperations(api: Api): Operation[] {
    return api.operations.filter(
        (operation) => operation.group === "catalogue" && operation.cacheSeconds !== undefined && operation.query.every(({ name }) => KEYABLE.test(name)),
    );
}
