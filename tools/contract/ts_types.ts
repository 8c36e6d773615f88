// packages/client/src/types.ts: one type for each schema of the contract.
import type { Contract, Place, Schema } from "./openapi.ts";
import { GENERATED } from "./c_text.ts";
import { isMap } from "./model.ts";

export function typesModule(contract: Contract): string {
    const schemas = Object.entries(contract.document.components?.schemas ?? {});
    const types = schemas.map(([name, schema]) => namedType(contract, name, schema, ["components", "schemas", name]));
    return `// ${GENERATED}\n// The schemas of the contract as types.\n\n${types.join("\n")}`;
}

function namedType(contract: Contract, name: string, schema: Schema, place: Place): string {
    const note = doc(schema.description, "");
    if (schema.type === "object" && schema.properties) {
        return `${note}export interface ${name} ${objectType(contract, schema, place, "")}\n`;
    }
    return `${note}export type ${name} = ${tsType(contract, schema, place)};\n`;
}

/** A comment in front of a declaration, wrapped. */
export function doc(text: string | undefined, indent: string): string {
    const words = (text ?? "").trim().replaceAll("*/", "* /");
    if (words === "") return "";
    const lines = words.split("\n").map((line) => line.trimEnd());
    if (lines.length === 1) return `${indent}/** ${lines[0]} */\n`;
    return `${indent}/**\n${lines.map((line) => `${indent} *${line ? ` ${line}` : ""}\n`).join("")}${indent} */\n`;
}

/** Where a type is used: by the component's name when it has one. */
export function tsType(contract: Contract, schema: Schema, place: Place, indent = ""): string {
    const resolved = contract.resolve(schema, place);
    if (!resolved) return "never";
    const { schema: plain, name, nullable, place: at } = resolved;
    const type = name ?? plainType(contract, plain, at, indent);
    return nullable ? `${type} | null` : type;
}

function plainType(contract: Contract, schema: Schema, place: Place, indent: string): string {
    if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
    const several = schema.allOf ?? schema.anyOf ?? schema.oneOf;
    if (several) return several.map((one) => tsType(contract, one, place, indent)).join(schema.allOf ? " & " : " | ");
    if (Array.isArray(schema.type)) return schema.type.map((type) => scalar(type)).join(" | ");
    if (schema.type === "array") {
        const item = schema.items ? tsType(contract, schema.items, place, indent) : "unknown";
        return / [|&] /.test(item) ? `(${item})[]` : `${item}[]`;
    }
    if (schema.type !== "object") return scalar(schema.type);
    if (isMap(schema)) return `Record<string, ${tsType(contract, schema.additionalProperties as Schema, place, indent)}>`;
    if (!schema.properties) return schema.additionalProperties === false ? "Record<string, never>" : "Record<string, unknown>";
    return objectType(contract, schema, place, indent);
}

function objectType(contract: Contract, schema: Schema, place: Place, indent: string): string {
    const required = new Set(schema.required ?? []);
    const inner = `${indent}    `;
    const members = Object.entries(schema.properties ?? {}).map(([name, property]) => {
        const key = /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
        const type = tsType(contract, property, [...place, "properties", name], inner);
        return `${doc(property.description, inner)}${inner}${key}${required.has(name) ? "" : "?"}: ${type};\n`;
    });
    return `{\n${members.join("")}${indent}}`;
}

function scalar(type: string | undefined): string {
    switch (type) {
        case "integer":
        case "number":
            return "number";
        case "string":
        case "boolean":
        case "null":
            return type;
        default:
            return "unknown";
    }
}
