// The contract as it stands in the file: loading, line numbers, references.
import { readFileSync } from "node:fs";
import { LineCounter, isNode, parseDocument } from "yaml";

export interface Schema {
    $ref?: string;
    type?: string | string[];
    format?: string;
    title?: string;
    description?: string;
    enum?: (string | number | boolean | null)[];
    const?: string | number | boolean;
    default?: unknown;
    properties?: Record<string, Schema>;
    required?: string[];
    additionalProperties?: boolean | Schema;
    propertyNames?: Schema;
    items?: Schema;
    minLength?: number;
    maxLength?: number;
    minimum?: number;
    maximum?: number;
    minItems?: number;
    maxItems?: number;
    minProperties?: number;
    maxProperties?: number;
    allOf?: Schema[];
    anyOf?: Schema[];
    oneOf?: Schema[];
    [key: string]: unknown;
}

export interface Parameter {
    $ref?: string;
    name: string;
    in: "path" | "query" | "header" | "cookie";
    required?: boolean;
    description?: string;
    schema: Schema;
}

export interface Response {
    $ref?: string;
    description?: string;
    content?: Record<string, { schema?: Schema }>;
}

export interface RequestBody {
    $ref?: string;
    required?: boolean;
    content: Record<string, { schema: Schema }>;
}

export type Execution = "inline" | "worker" | "transaction" | "orchestrated" | "password";

export interface Souk {
    access: "public" | "anyone" | "customer" | "staff";
    scope?: string;
    execution: Execution | Execution[];
    idempotency?: "none";
    handlesReplay?: boolean;
    bodyLimit?: number;
    rateClass?: "read" | "write" | "login" | "checkout" | "none";
    toleratesBadToken?: boolean;
    priority?: "browse" | "cart" | "checkout";
    expects?: boolean;
    replica?: boolean;
    cache?: { seconds: number; tags: string[] };
    ifMatch?: boolean;
    database?: "none";
    bare?: boolean;
}

export interface RawOperation {
    operationId: string;
    summary?: string;
    description?: string;
    tags?: string[];
    parameters?: Parameter[];
    requestBody?: RequestBody;
    responses: Record<string, Response>;
    "x-souk": Souk;
}

export interface Document {
    openapi: string;
    info: { title: string; version: string; description?: string };
    paths: Record<string, Record<string, unknown>>;
    components?: {
        schemas?: Record<string, Schema>;
        parameters?: Record<string, Parameter>;
        responses?: Record<string, Response>;
        requestBodies?: Record<string, RequestBody>;
    };
    [key: string]: unknown;
}

/** One step of the way to a place in the file: paths, /cart/{id}, get, parameters, 0. */
export type Place = readonly (string | number)[];

export const METHODS = ["get", "post", "put", "patch", "delete"] as const;
export type Method = (typeof METHODS)[number];

/** A schema with its references followed. `name` is the component's it came from. */
export interface Resolved {
    schema: Schema;
    name?: string;
    nullable: boolean;
    place: Place;
}

/** Keys that only annotate: beside a `$ref` they do not make another type of it. */
const ANNOTATIONS = new Set(["description", "default", "title", "example", "examples", "deprecated", "readOnly"]);

export class Contract {
    readonly errors: string[] = [];

    private constructor(
        readonly file: string,
        readonly document: Document,
        private readonly lineOf: (place: Place) => number | undefined,
    ) {}

    static load(path: string, shownAs: string): Contract {
        return Contract.parse(readFileSync(path, "utf8"), shownAs);
    }

    static parse(text: string, shownAs: string): Contract {
        const lines = new LineCounter();
        const yaml = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
        const lineOf = (place: Place): number | undefined => {
            for (let length = place.length; length > 0; length--) {
                const node = yaml.getIn(place.slice(0, length), true);
                if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
            }
            return undefined;
        };
        const contract = new Contract(shownAs, (yaml.toJS() ?? {}) as Document, lineOf);
        for (const error of yaml.errors) contract.errors.push(`${shownAs}: ${error.message}`);
        return contract;
    }

    /** Notes a broken rule; checking goes on, so that one run names them all. */
    complain(place: Place, rule: string): void {
        const line = this.lineOf(place);
        this.errors.push(`${this.file}${line ? `:${line}` : ""}: ${place.join(" > ")}: ${rule}`);
    }

    /** What a `#/components/...` reference points to; complains when there is nothing. */
    follow<T>(reference: string, from: Place): { value: T; name: string; place: Place } | undefined {
        const steps = reference.startsWith("#/") ? reference.slice(2).split("/") : [];
        let value: unknown = this.document;
        for (const step of steps) value = (value as Record<string, unknown> | undefined)?.[step];
        if (steps.length === 0 || value === undefined) {
            this.complain(from, `unresolved $ref ${reference}`);
            return undefined;
        }
        return { value: value as T, name: steps[steps.length - 1] ?? "", place: steps };
    }

    /** A parameter, response or request body that may stand as a reference. */
    dereference<T extends { $ref?: string }>(value: T, place: Place): { value: T; place: Place } | undefined {
        return value.$ref ? this.follow<T>(value.$ref, place) : { value, place };
    }

    /** Follows references and takes `null` out of the types; undefined when a reference leads nowhere. */
    resolve(schema: Schema, place: Place): Resolved | undefined {
        const either = schema.anyOf ?? schema.oneOf;
        const isOrNull = either?.length === 2 && either.some((one) => one.type === "null");
        if (either && isOrNull) {
            const index = either.findIndex((one) => one.type !== "null");
            const rest = Object.fromEntries(Object.entries(schema).filter(([key]) => key !== "anyOf" && key !== "oneOf"));
            const keyword = schema.anyOf ? "anyOf" : "oneOf";
            const inner = this.resolve({ ...either[index], ...rest }, [...place, keyword, index]);
            return inner && { ...inner, nullable: true };
        }
        if (schema.$ref) {
            const target = this.follow<Schema>(schema.$ref, place);
            if (!target) return undefined;
            const { $ref: _, ...beside } = schema;
            const inner = this.resolve(target.value, target.place);
            if (!inner) return undefined;
            const isSame = Object.keys(beside).every((key) => ANNOTATIONS.has(key));
            const { name: innerName, ...unnamed } = inner;
            const named = { ...unnamed, schema: { ...inner.schema, ...beside } };
            return isSame ? { ...named, name: innerName ?? target.name } : named;
        }
        if (Array.isArray(schema.type) && schema.type.includes("null")) {
            const types = schema.type.filter((type) => type !== "null");
            const { enum: values, ...plain } = schema;
            const type = types.length === 1 && types[0] !== undefined ? types[0] : types;
            const enumeration = values ? { enum: values.filter((value) => value !== null) } : {};
            return { schema: { ...plain, ...enumeration, type }, nullable: true, place };
        }
        return { schema, nullable: false, place };
    }

    /** Every operation with its place, in the file's order. */
    *operations(): Generator<{ path: string; method: Method; operation: RawOperation; place: Place }> {
        for (const [path, item] of Object.entries(this.document.paths ?? {})) {
            for (const method of METHODS) {
                const operation = item[method] as RawOperation | undefined;
                if (operation) yield { path, method, operation, place: ["paths", path, method] };
            }
        }
    }

    /** The parameters of an operation, those of its path item first. */
    parameters(path: string, operation: RawOperation, place: Place): { parameter: Parameter; place: Place }[] {
        const shared = (this.document.paths[path]?.["parameters"] ?? []) as Parameter[];
        const all = [
            ...shared.map((value, index) => ({ value, place: ["paths", path, "parameters", index] as Place })),
            ...(operation.parameters ?? []).map((value, index) => ({ value, place: [...place, "parameters", index] })),
        ];
        return all.flatMap(({ value, place: at }) => {
            const found = this.dereference(value, at);
            return found ? [{ parameter: found.value, place: found.place }] : [];
        });
    }
}
