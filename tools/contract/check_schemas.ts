// The rules of schemas: api/README.md, "Rules of the file". A request promises nothing that the validator does not check; a
// reply lists all that it holds.
import type { Contract, Place, Schema } from "./openapi.ts";
import { isMap, isMoney } from "./model.ts";

const FORMATS = new Set(
    "uuid date-time email uri slug slug-or-id currency country sku cursor order-number password phone int64".split(" "),
);

const ANNOTATIONS = ["type", "description", "title", "default", "example", "examples", "deprecated", "enum", "format"];

/** What the validator checks, by type. Any other keyword in a request would be a promise that nobody keeps. */
const CHECKED: Record<string, string[]> = {
    string: ["minLength", "maxLength"],
    integer: ["minimum", "maximum"],
    boolean: [],
    array: ["items", "minItems", "maxItems", "uniqueItems"],
    object: ["properties", "required", "additionalProperties", "propertyNames", "minProperties", "maxProperties"],
};

const SCALARS = ["string", "integer", "number", "boolean"];

export class SchemaChecker {
    private readonly seen = new Set<string>();

    constructor(private readonly contract: Contract) {}

    /** A schema of the body or of a parameter. */
    request(schema: Schema, place: Place): void {
        const resolved = this.contract.resolve(schema, place);
        if (!resolved) return;
        const { schema: plain, place: at } = resolved;
        if (this.isKnown("request", at)) return;
        const type = plain.type ?? (plain.enum ? "string" : undefined);
        const checked = typeof type === "string" ? CHECKED[type] : undefined;
        if (!checked) {
            this.contract.complain(at, `a request cannot take type ${JSON.stringify(plain.type)}`);
            return;
        }
        for (const key of Object.keys(plain)) {
            if (!ANNOTATIONS.includes(key) && !checked.includes(key)) {
                this.contract.complain(at, `${key} is not checked by the validator`);
            }
        }
        this.format(plain, at);
        this.limits(plain, at);
        this.defaultValue(plain, at);
        if (plain.type === "array" && plain.items) this.request(plain.items, [...at, "items"]);
        if (plain.type === "object") this.requestObject(plain, at);
    }

    private limits(schema: Schema, place: Place): void {
        const need = (key: keyof Schema): void => {
            if (typeof schema[key] !== "number") this.contract.complain(place, `${String(key)} is missing`);
        };
        if (schema.type === "string" && !schema.enum) need("maxLength");
        if (schema.type === "array") need("maxItems");
        if (schema.type !== "integer") return;
        need("minimum");
        need("maximum");
        for (const bound of [schema.minimum, schema.maximum]) {
            if (bound !== undefined && !Number.isSafeInteger(bound)) this.contract.complain(place, "a bound past 53 bits is no exact integer");
        }
    }

    private defaultValue(schema: Schema, place: Place): void {
        const value = schema.default;
        if (value === undefined) return;
        const isWrong =
            (schema.enum && !schema.enum.includes(value as string)) ||
            (schema.type === "boolean" && typeof value !== "boolean") ||
            (schema.type === "integer" && !isWithin(value, schema.minimum, schema.maximum));
        if (isWrong) this.contract.complain(place, `the default ${JSON.stringify(value)} breaks its own rule`);
    }

    private requestObject(schema: Schema, place: Place): void {
        if (isMap(schema)) {
            this.requestMap(schema, place);
            return;
        }
        if (schema.additionalProperties !== false) this.contract.complain(place, "additionalProperties: false is missing");
        if (isMoney(schema) && schema.required?.length !== 2) this.contract.complain(place, "money requires amount and currency");
        this.requiredExist(schema, place);
        for (const [name, property] of Object.entries(schema.properties ?? {})) {
            this.request(property, [...place, "properties", name]);
        }
    }

    private requestMap(schema: Schema, place: Place): void {
        const value = schema.additionalProperties as Schema;
        const types = [value.type ?? "nothing"].flat();
        if (!types.every((type) => SCALARS.includes(type))) this.contract.complain(place, "a map holds scalars only");
        if (types.includes("string") && value.maxLength === undefined) this.contract.complain(place, "its values need maxLength");
        if (schema.propertyNames?.maxLength === undefined) this.contract.complain(place, "propertyNames: {maxLength} is missing");
        if (schema.maxProperties === undefined) this.contract.complain(place, "maxProperties is missing");
    }

    /** A schema of a reply. */
    reply(schema: Schema, place: Place): void {
        const resolved = this.contract.resolve(schema, place);
        if (!resolved || this.isKnown("reply", resolved.place)) return;
        const { schema: plain, place: at } = resolved;
        this.format(plain, at);
        for (const keyword of ["allOf", "anyOf", "oneOf"] as const) {
            plain[keyword]?.forEach((one, index) => this.reply(one, [...at, keyword, index]));
        }
        if (plain.items) this.reply(plain.items, [...at, "items"]);
        if (typeof plain.additionalProperties === "object") this.reply(plain.additionalProperties, [...at, "additionalProperties"]);
        if (plain.type === "object" && plain.properties) this.replyObject(plain, at);
    }

    private replyObject(schema: Schema, place: Place): void {
        if (schema.additionalProperties !== false) this.contract.complain(place, "additionalProperties: false is missing");
        if (!schema.required) this.contract.complain(place, "required is missing: a reply lists what it always holds");
        this.requiredExist(schema, place);
        for (const [name, property] of Object.entries(schema.properties ?? {})) {
            this.reply(property, [...place, "properties", name]);
        }
    }

    private requiredExist(schema: Schema, place: Place): void {
        for (const name of schema.required ?? []) {
            if (!schema.properties?.[name]) this.contract.complain(place, `required names ${name}, which is no property`);
        }
        if (new Set(schema.required).size !== (schema.required?.length ?? 0)) this.contract.complain(place, "required names one twice");
    }

    private format({ format }: Schema, place: Place): void {
        if (format !== undefined && !FORMATS.has(format)) this.contract.complain(place, `unknown format ${format}`);
    }

    /** Components are checked once, and one that holds itself ends here. */
    private isKnown(side: string, place: Place): boolean {
        const key = `${side} ${place.join(" > ")}`;
        const isKnown = this.seen.has(key);
        this.seen.add(key);
        return isKnown;
    }
}

function isWithin(value: unknown, minimum: number | undefined, maximum: number | undefined): boolean {
    return Number.isInteger(value) && (value as number) >= (minimum ?? -Infinity) && (value as number) <= (maximum ?? Infinity);
}
