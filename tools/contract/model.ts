// What the C side needs to know of the contract: operations with their inputs, structs and enumerations.
import type { Contract, Method, Place, Resolved, Schema, Souk } from "./openapi.ts";
import { member, snake } from "./names.ts";

export interface Enumeration {
    name: string; // order_status
    values: string[];
    description?: string | undefined;
    /** The header that defines it by hand, when it is not ours to define. */
    header?: string;
}

export interface MapType {
    kind: "map";
    scalars: ("string" | "integer" | "number" | "boolean")[];
    keyLengthMax: number;
    valueLengthMax: number;
    countMax: number;
}

export type CType =
    | { kind: "text"; format: string | undefined; min: number; max: number }
    | { kind: "integer"; min: number; max: number }
    | { kind: "boolean" }
    | { kind: "uuid" }
    | { kind: "time" }
    | { kind: "money"; min: number; max: number }
    | { kind: "enumeration"; enumeration: Enumeration }
    | { kind: "object"; object: ObjectType }
    | { kind: "array"; item: CType; min: number; max: number; isUnique: boolean }
    | MapType;

export interface Field {
    jsonName: string;
    member: string;
    type: CType;
    isRequired: boolean;
    isNullable: boolean;
    default?: string | number | boolean;
}

export interface ObjectType {
    name: string; // address_input
    fields: Field[];
    minProperties: number;
}

export interface Operation {
    name: string; // cart_item_add
    method: Method;
    path: string;
    summary: string;
    souk: Souk;
    pathFields: Field[];
    queryFields: Field[];
    body: { fields: Field[]; isRequired: boolean; minProperties: number } | undefined;
}

export interface Model {
    operations: Operation[];
    objects: ObjectType[]; // inner ones before those that hold them
    enumerations: Enumeration[];
    /** Names of the structs that need a `<name>_list`. */
    lists: Set<string>;
}

/** Enumerations that the code below `contract/` already has. */
const HAND_WRITTEN: Record<string, string> = { scope: "auth/principal.h", api_key_kind: "auth/api_key.h" };

const INTEGER_MAX = Number.MAX_SAFE_INTEGER;

export function isMoney(schema: Schema): boolean {
    const keys = Object.keys(schema.properties ?? {}).sort();
    return keys.length === 2 && keys[0] === "amount" && keys[1] === "currency";
}

export function isMap(schema: Schema): boolean {
    return schema.type === "object" && !schema.properties && typeof schema.additionalProperties === "object";
}

export class ModelBuilder {
    private readonly objects = new Map<string, ObjectType>();
    private readonly enumerations = new Map<string, Enumeration>();
    private readonly lists = new Set<string>();
    /** Structs whose members are being read. */
    private readonly building = new Set<string>();

    constructor(private readonly contract: Contract) {}

    build(): Model {
        this.addNamedEnumerations();
        const operations: Operation[] = [];
        for (const { path, method, operation, place } of this.contract.operations()) {
            const name = snake(operation.operationId ?? "unnamed");
            operations.push({
                name,
                method,
                path,
                summary: operation.summary ?? "",
                souk: operation["x-souk"],
                ...this.parameterFields(name, path, this.contract.parameters(path, operation, place)),
                body: this.bodyOf(name, operation.requestBody, place),
            });
        }
        for (const operation of operations) this.refuseSharedMembers(operation);
        return {
            operations,
            objects: [...this.objects.values()],
            enumerations: [...this.enumerations.values()],
            lists: this.lists,
        };
    }

    private addNamedEnumerations(): void {
        for (const [name, schema] of Object.entries(this.contract.document.components?.schemas ?? {})) {
            const place = ["components", "schemas", name];
            if (schema.enum) this.enumeration(snake(name), schema, place);
        }
    }

    private parameterFields(
        operation: string,
        path: string,
        parameters: ReturnType<Contract["parameters"]>,
    ): { pathFields: Field[]; queryFields: Field[] } {
        const order = [...path.matchAll(/\{([^}]+)\}/g)].map((match) => match[1]);
        const fields = (kind: string): Field[] =>
            parameters
                .filter(({ parameter }) => parameter.in === kind)
                .flatMap(({ parameter, place }) => {
                    const at = [...place, "schema"];
                    return this.field(operation, parameter.name, parameter.schema, at, parameter.required === true);
                });
        const pathFields = fields("path").sort((a, b) => order.indexOf(a.jsonName) - order.indexOf(b.jsonName));
        return { pathFields, queryFields: fields("query") };
    }

    private bodyOf(operation: string, body: Parameters<Contract["dereference"]>[0] | undefined, place: Place): Operation["body"] {
        if (!body) return undefined;
        const found = this.contract.dereference(body, [...place, "requestBody"]);
        const request = found?.value as { required?: boolean; content?: Record<string, { schema: Schema }> } | undefined;
        const schema = request?.content?.["application/json"]?.schema;
        if (!found || !schema) return undefined;
        const at = [...found.place, "content", "application/json", "schema"];
        const resolved = this.contract.resolve(schema, at);
        if (!resolved) return undefined;
        return {
            fields: this.fieldsOf(resolved.name ? stem(resolved.name) : operation, resolved),
            isRequired: request?.required === true,
            minProperties: resolved.schema.minProperties ?? 0,
        };
    }

    private fieldsOf(owner: string, { schema, place }: Resolved): Field[] {
        const required = new Set(schema.required ?? []);
        return Object.entries(schema.properties ?? {}).flatMap(([name, property]) =>
            this.field(owner, name, property, [...place, "properties", name], required.has(name)),
        );
    }

    /** An array of one field, or of none when the schema could not be read (a complaint was made). */
    private field(owner: string, jsonName: string, schema: Schema, place: Place, isRequired: boolean): Field[] {
        const resolved = this.contract.resolve(schema, place);
        const type = resolved && this.typeOf(`${owner}_${snake(jsonName)}`, resolved);
        if (!resolved || !type) return [];
        const field: Field = {
            jsonName,
            member: member(jsonName) + (type.kind === "time" ? "_ms" : ""),
            type,
            isRequired,
            isNullable: resolved.nullable,
        };
        const value = resolved.schema.default;
        if (value === undefined || value === null) return [field];
        if (["text", "integer", "boolean", "enumeration"].includes(type.kind) && typeof value !== "object") {
            return [{ ...field, default: value as string | number | boolean }];
        }
        this.contract.complain(place, "a default is possible for strings, integers, booleans and enumerations only");
        return [field];
    }

    private typeOf(name: string, resolved: Resolved): CType | undefined {
        const { schema, place } = resolved;
        if (schema.enum) {
            return { kind: "enumeration", enumeration: this.enumeration(resolved.name ? snake(resolved.name) : name, schema, place) };
        }
        switch (schema.type) {
            case "string":
                if (schema.format === "uuid") return { kind: "uuid" };
                if (schema.format === "date-time") return { kind: "time" };
                return { kind: "text", format: schema.format, min: schema.minLength ?? 0, max: schema.maxLength ?? 0 };
            case "integer":
                return { kind: "integer", min: schema.minimum ?? -INTEGER_MAX, max: schema.maximum ?? INTEGER_MAX };
            case "boolean":
                return { kind: "boolean" };
            case "array":
                return this.arrayOf(name, resolved);
            case "object":
                return this.objectOf(name, resolved);
            default:
                this.contract.complain(place, `no C type for ${JSON.stringify(schema.type ?? Object.keys(schema))}`);
                return undefined;
        }
    }

    private arrayOf(name: string, { schema, place }: Resolved): CType | undefined {
        const at = [...place, "items"];
        const item = schema.items && this.contract.resolve(schema.items, at);
        const type = item && this.typeOf(`${name}_item`, item);
        if (!type) {
            if (!schema.items) this.contract.complain(place, "an array needs items");
            return undefined;
        }
        if (["array", "boolean"].includes(type.kind) || item.nullable) {
            this.contract.complain(at, "arrays of arrays, of booleans and of null are not supported");
        }
        if (type.kind === "object") this.lists.add(type.object.name);
        if (type.kind === "enumeration") this.lists.add(type.enumeration.name);
        const isUnique = schema["uniqueItems"] === true;
        return { kind: "array", item: type, min: schema.minItems ?? 0, max: schema.maxItems ?? 0, isUnique };
    }

    private objectOf(name: string, resolved: Resolved): CType | undefined {
        const { schema } = resolved;
        if (isMoney(schema)) {
            const amount = schema.properties?.["amount"];
            return { kind: "money", min: amount?.minimum ?? 0, max: amount?.maximum ?? INTEGER_MAX };
        }
        if (isMap(schema)) return mapOf(schema);
        const structName = resolved.name ? snake(resolved.name) : name;
        const known = this.objects.get(structName);
        if (known) return { kind: "object", object: known };
        if (this.building.has(structName)) {
            this.contract.complain(resolved.place, "a request cannot hold itself");
            return undefined;
        }
        this.building.add(structName);
        const fields = this.fieldsOf(resolved.name ? stem(resolved.name) : name, resolved);
        this.building.delete(structName);
        const object = { name: structName, fields, minProperties: schema.minProperties ?? 0 };
        this.objects.set(structName, object);
        return { kind: "object", object };
    }

    private enumeration(name: string, schema: Schema, place: Place): Enumeration {
        const values = (schema.enum ?? []).filter((value): value is string => typeof value === "string");
        if (values.length !== schema.enum?.length) this.contract.complain(place, "enumerations are of strings");
        const known = this.enumerations.get(name);
        if (known) {
            const isSame = known.values.join() === values.join();
            if (!isSame) this.contract.complain(place, `enum ${name} has other values elsewhere`);
            return known;
        }
        const header = HAND_WRITTEN[name];
        const enumeration = { name, values, description: schema.description, ...(header ? { header } : {}) };
        this.enumerations.set(name, enumeration);
        return enumeration;
    }

    /** Path, query and body stand together in one struct: no two members may have one name. */
    private refuseSharedMembers(operation: Operation): void {
        const seen = new Set<string>();
        const fields = [...operation.pathFields, ...operation.queryFields, ...(operation.body?.fields ?? [])];
        for (const field of fields) {
            const place = ["paths", operation.path, operation.method];
            if (seen.has(field.member)) this.contract.complain(place, `two inputs are called ${field.member}`);
            seen.add(field.member);
        }
    }
}

/** Enumerations inside `LoginInput` are called `login_...`. */
function stem(schemaName: string): string {
    return snake(schemaName.replace(/Input$/, ""));
}

function mapOf(schema: Schema): MapType {
    const value = schema.additionalProperties as Schema;
    return {
        kind: "map",
        scalars: [value.type ?? "string"].flat() as MapType["scalars"],
        keyLengthMax: schema.propertyNames?.maxLength ?? 0,
        valueLengthMax: value.maxLength ?? 0,
        countMax: schema.maxProperties ?? 0,
    };
}
