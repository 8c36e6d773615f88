// The contract as the explorer reads it: references resolved, operations listed, samples made.

export interface Schema {
    $ref?: string;
    type?: string | string[];
    format?: string;
    description?: string;
    enum?: unknown[];
    default?: unknown;
    example?: unknown;
    properties?: Record<string, Schema>;
    required?: string[];
    additionalProperties?: boolean | Schema;
    items?: Schema;
    anyOf?: Schema[];
    oneOf?: Schema[];
    allOf?: Schema[];
    minimum?: number;
    maximum?: number;
    minLength?: number;
    maxLength?: number;
    minItems?: number;
    maxItems?: number;
    pattern?: string;
}

export interface Parameter {
    name: string;
    in: "path" | "query" | "header" | "cookie";
    required?: boolean;
    description?: string;
    schema: Schema;
}

export interface Media {
    schema?: Schema;
    example?: unknown;
}

export interface Reply {
    description?: string;
    headers?: Record<string, { description?: string }>;
    content?: Record<string, Media>;
}

export interface Operation {
    id: string;
    method: string;
    path: string;
    tag: string;
    summary: string;
    description: string;
    parameters: Parameter[];
    body: { isRequired: boolean; media: Media } | undefined;
    replies: [status: string, reply: Reply][];
    /** Whether it needs a log-in, takes one, or does not look at it. */
    login: "needed" | "optional";
}

interface RawOperation {
    operationId: string;
    tags?: string[];
    summary?: string;
    description?: string;
    parameters?: unknown[];
    requestBody?: { required?: boolean; content: Record<string, Media> };
    responses: Record<string, unknown>;
    security?: Record<string, unknown>[];
}

interface Document {
    info: { title: string; version: string; summary?: string; description?: string };
    tags?: { name: string; description?: string }[];
    paths: Record<string, Record<string, RawOperation>>;
    security?: Record<string, unknown>[];
    components: { schemas: Record<string, Schema> };
}

export class Contract {
    readonly operations: Operation[] = [];

    constructor(readonly document: Document) {
        for (const [path, methods] of Object.entries(document.paths)) {
            for (const [method, raw] of Object.entries(methods)) this.operations.push(this.operation(path, method, raw));
        }
    }

    static async load(): Promise<Contract> {
        const reply = await fetch("/openapi.json");
        if (!reply.ok) throw new Error(`/openapi.json answered ${reply.status}`);
        return new Contract(await reply.json() as Document);
    }

    get tags(): { name: string; description: string; operations: Operation[] }[] {
        return (this.document.tags ?? []).map(({ name, description }) => ({
            name, description: description ?? "", operations: this.operations.filter((operation) => operation.tag === name),
        }));
    }

    get schemaNames(): string[] {
        return Object.keys(this.document.components.schemas).sort();
    }

    schema(name: string): Schema | undefined {
        return this.document.components.schemas[name];
    }

    /** What stands behind a $ref; what stands beside the $ref wins. */
    resolve<T>(value: T): T {
        let current = value as Record<string, unknown>;
        for (let hops = 0; typeof current?.["$ref"] === "string" && hops < 10; hops++) {
            const { $ref, ...beside } = current;
            const target = ($ref as string).slice(2).split("/").reduce<unknown>(
                (node, key) => (node as Record<string, unknown>)[key.replaceAll("~1", "/").replaceAll("~0", "~")], this.document);
            current = { ...(target as Record<string, unknown>), ...beside };
        }
        return current as T;
    }

    private operation(path: string, method: string, raw: RawOperation): Operation {
        const body = raw.requestBody?.content["application/json"];
        const security = raw.security ?? this.document.security ?? [];
        return {
            id: raw.operationId,
            method: method.toUpperCase(),
            path,
            tag: raw.tags?.[0] ?? "Other",
            summary: raw.summary ?? raw.operationId,
            description: raw.description ?? "",
            parameters: (raw.parameters ?? []).map((parameter) => this.resolve(parameter) as Parameter),
            body: body ? { isRequired: raw.requestBody?.required ?? false, media: body } : undefined,
            replies: Object.entries(raw.responses).map(([status, reply]) => [status, this.resolve(reply) as Reply]),
            login: security.length > 0 && !security.some((one) => Object.keys(one).length === 0) ? "needed" : "optional",
        };
    }

    /** Something that fits the schema, for showing. */
    sample(schema: Schema, depth = 0): unknown {
        const one = this.resolve(schema);
        if (one.example !== undefined) return one.example;
        if (one.default !== undefined) return one.default;
        if (one.enum) return one.enum[0];
        if (one.allOf) return Object.assign({}, ...one.allOf.map((part) => this.sample(part, depth)));
        const choice = one.anyOf?.[0] ?? one.oneOf?.[0];
        if (choice) return this.sample(choice, depth);
        switch (mainType(one)) {
            case "object": return this.sampleObject(one, depth);
            case "array": return depth > 4 || !one.items ? [] : [this.sample(one.items, depth + 1)];
            case "integer":
            case "number": return Math.max(one.minimum ?? 1, Math.min(one.maximum ?? 1, 1));
            case "boolean": return true;
            case "null": return null;
            default: return sampleText(one);
        }
    }

    private sampleObject(schema: Schema, depth: number): unknown {
        if (depth > 5) return {};
        const members = Object.entries(schema.properties ?? {}).map(([name, inner]) => [name, this.sample(inner, depth + 1)]);
        if (members.length === 0 && typeof schema.additionalProperties === "object") {
            members.push(["name", this.sample(schema.additionalProperties, depth + 1)]);
        }
        return Object.fromEntries(members);
    }
}

export function mainType(schema: Schema): string {
    if (Array.isArray(schema.type)) return schema.type.find((type) => type !== "null") ?? "null";
    return schema.type ?? (schema.properties ? "object" : "string");
}

function sampleText(schema: Schema): string {
    const formats: Record<string, string> = {
        "uuid": "0190a5c8-2d11-7b02-9c55-0d2f7a8b1c01",
        "date-time": "2026-01-31T12:34:56.789Z",
        "email": "amina@example.com",
        "uri": "https://example.com/",
        "slug": "linen-shirt",
        "slug-or-id": "linen-shirt",
        "currency": "USD",
        "country": "FR",
        "sku": "LINEN-SHIRT-M",
        "order-number": "SK-7F3K9Q2M8XA",
        "phone": "+33 4 72 00 00 00",
        "password": "correct horse battery",
    };
    return formats[schema.format ?? ""] ?? "text";
}

export const refName = (schema: Schema): string | undefined => schema.$ref?.split("/").at(-1);

/** "string or null", "array of Product", "Money or null" */
export function typeName(contract: Contract, schema: Schema): string {
    const name = refName(schema);
    const whole = contract.resolve(schema);
    const choices = whole.anyOf ?? whole.oneOf;
    if (name && !choices) return name;
    if (choices) return choices.map((choice) => typeName(contract, choice)).join(" or ");
    const types = Array.isArray(whole.type) ? whole.type : [mainType(whole)];
    return types.map((type) => {
        if (type === "array") return `array of ${whole.items ? typeName(contract, whole.items) : "anything"}`;
        if (type === "object" && !whole.properties && typeof whole.additionalProperties === "object") return "map";
        return type === "string" && whole.format ? whole.format : type;
    }).join(" or ");
}

/** "1..100", "at most 64 characters", "one of ..." */
export function rules(schema: Schema): string[] {
    const range = (low: number | undefined, high: number | undefined, unit: string): string[] => {
        if (low === undefined && high === undefined) return [];
        if (low === undefined) return [`at most ${high!.toLocaleString("en")}${unit}`];
        if (high === undefined) return [`at least ${low.toLocaleString("en")}${unit}`];
        return [`${low.toLocaleString("en")} to ${high.toLocaleString("en")}${unit}`];
    };
    const hasLength = schema.format !== "uuid" && schema.format !== "date-time";
    return [
        ...range(schema.minimum, schema.maximum, ""),
        ...(hasLength ? range(schema.minLength || undefined, schema.maxLength, " characters") : []),
        ...range(schema.minItems || undefined, schema.maxItems, " items"),
        ...(schema.default !== undefined ? [`default ${JSON.stringify(schema.default)}`] : []),
    ];
}
