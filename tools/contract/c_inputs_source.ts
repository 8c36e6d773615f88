// src/contract/inputs.c: the descriptors that http/validation.c reads.
import type { CType, Enumeration, Field, MapType, Model, ObjectType, Operation } from "./model.ts";
import { banner, cType, hasFlag, literal, nullFlag } from "./c_text.ts";
import { enumConstant } from "./names.ts";
import { hasInput } from "./c_inputs_header.ts";

export function inputsSource(model: Model): string {
    const writer = new DescriptorWriter();
    for (const one of model.enumerations) writer.enumeration(one);
    for (const one of model.objects) writer.object(one);
    for (const one of model.operations) writer.operation(one);
    return `${banner("The descriptors of inputs.h.")}#include "contract/inputs.h"

#include "base/check.h"

#include <stddef.h>

${writer.text()}`;
}

/** The rules that a member's own name and place are added to. */
class DescriptorWriter {
    private readonly parts: string[] = [];
    /** Names of tables already written: two fields may share one. */
    private readonly tables = new Map<string, string>();

    text(): string {
        return this.parts.join("\n");
    }

    enumeration({ name, values, header }: Enumeration): void {
        const rows = values.map((value) => `    {${literal(value)}, ${enumConstant(name, value)}},\n`).join("");
        this.parts.push(`static const struct enumeration_value ${name}_values[] = {
${rows}};
static const struct enumeration_rule ${name}_rule = {${name}_values, COUNT_OF(${name}_values)};
${header ? "" : enumerationFunctions(name)}`);
    }

    object(object: ObjectType): void {
        this.objectRule(object.name, `struct ${object.name}`, object.fields, object.minProperties);
    }

    operation(operation: Operation): void {
        const { name, pathFields, queryFields, body } = operation;
        const type = `struct ${name}_input`;
        this.fieldTable(`${name}_path`, type, pathFields);
        this.fieldTable(`${name}_query`, type, queryFields);
        if (body) this.objectRule(`${name}_body`, type, body.fields, body.minProperties);
        const lines = [
            hasInput(operation) ? `.size = sizeof(${type}),` : "",
            pathFields.length > 0 ? `.path = ${name}_path_fields, .path_count = COUNT_OF(${name}_path_fields),` : "",
            queryFields.length > 0 ? `.query = ${name}_query_fields, .query_count = COUNT_OF(${name}_query_fields),` : "",
            body ? `.body = &${name}_body_rule, .body_is_required = ${body.isRequired},` : "",
        ].filter(Boolean);
        // An operation without any input still has a rule: it refuses every query parameter.
        this.parts.push(`const struct input_rule ${name}_input_rule = {\n    ${lines.length > 0 ? lines.join("\n    ") : ".size = 0,"}\n};\n`);
    }

    private objectRule(name: string, type: string, fields: Field[], minProperties: number): void {
        this.fieldTable(name, type, fields);
        const table = fields.length > 0 ? `.fields = ${name}_fields, .count = COUNT_OF(${name}_fields)` : ".count = 0";
        const least = minProperties > 0 ? `, .properties_min = ${minProperties}` : "";
        this.parts.push(`static const struct object_rule ${name}_rule = {${table}${least}};\n`);
    }

    private fieldTable(name: string, type: string, fields: Field[]): void {
        if (fields.length === 0) return;
        const rows = fields.map((field) => this.field(name, type, field)).join("");
        this.parts.push(`static const struct field_rule ${name}_fields[] = {\n${rows}};\n`);
    }

    private field(table: string, type: string, field: Field): string {
        const has = hasFlag(field);
        const isNull = nullFlag(field);
        const facts = [
            ...this.typeFacts(`${table}_${field.member}`, field.type),
            field.isRequired ? ".is_required = true" : "",
            field.isNullable ? ".is_nullable = true" : "",
            ...defaultFacts(field),
            `.offset = offsetof(${type}, ${field.member})`,
            has ? `.has_offset = offsetof(${type}, ${has})` : "",
            isNull ? `.null_offset = offsetof(${type}, ${isNull})` : "",
        ].filter(Boolean);
        return `    {${[`.name = ${literal(field.jsonName)}`, ...wrap(facts)].join(",\n     ")}},\n`;
    }

    private typeFacts(name: string, type: CType): string[] {
        switch (type.kind) {
            case "text":
                return [".kind = FIELD_TEXT", `.format = ${formatConstant(type.format)}`, ...bounds(type)];
            case "integer":
                return [".kind = FIELD_INTEGER", ...bounds(type)];
            case "boolean":
                return [".kind = FIELD_BOOLEAN"];
            case "uuid":
                return [".kind = FIELD_UUID"];
            case "time":
                return [".kind = FIELD_TIME"];
            case "money":
                return [".kind = FIELD_MONEY", ...bounds(type)];
            case "enumeration":
                return [".kind = FIELD_ENUM", `.enumeration = &${type.enumeration.name}_rule`];
            case "object":
                return [".kind = FIELD_OBJECT", `.object = &${type.object.name}_rule`];
            case "map":
                return [".kind = FIELD_MAP", `.map = &${this.shared(`${name}_map`, mapRule(type))}`];
            case "array": {
                const rule = `static const struct field_rule NAME = {${this.typeFacts(`${name}_item`, type.item).join(", ")}};\n`;
                const item = this.shared(`${name}_item`, rule);
                const size = `.item_size = sizeof(${cType(type.item).trim()})`;
                const unique = type.isUnique ? [".is_unique = true"] : [];
                return [".kind = FIELD_ARRAY", ...bounds(type), `.item = &${item}`, size, ...unique];
            }
        }
    }

    /** Writes a table once; the next field with the same content uses it again. Answers its name. */
    private shared(name: string, template: string): string {
        const known = this.tables.get(template);
        if (known) return known;
        this.tables.set(template, name);
        this.parts.push(template.replace("NAME", name));
        return name;
    }
}

function enumerationFunctions(name: string): string {
    return `
const char *${name}_name(enum ${name} value)
{
    return enumeration_name(&${name}_rule, (int)value);
}

bool ${name}_parse(struct slice name, enum ${name} *value)
{
    int number;
    if (!enumeration_parse(&${name}_rule, name, &number))
        return false;
    *value = (enum ${name})number;
    return true;
}
`;
}

function mapRule({ scalars, keyLengthMax, valueLengthMax, countMax }: MapType): string {
    const bits = scalars.map((scalar) => `MAP_${scalar.toUpperCase()}`).join(" | ");
    return `static const struct map_rule NAME = {
    .scalars = ${bits}, .key_length_max = ${keyLengthMax}, .value_length_max = ${valueLengthMax}, .count_max = ${countMax},
};
`;
}

function formatConstant(format: string | undefined): string {
    return format ? `TEXT_${format.replaceAll("-", "_").toUpperCase()}` : "TEXT_PLAIN";
}

function bounds({ min, max }: { min: number; max: number }): string[] {
    return [min !== 0 ? `.minimum = INT64_C(${min})` : "", `.maximum = INT64_C(${max})`];
}

function defaultFacts({ type, default: value }: Field): string[] {
    if (value === undefined) return [];
    if (type.kind === "text") return [".has_default = true", `.default_text = ${literal(String(value))}`];
    const number =
        type.kind === "enumeration" ? enumConstant(type.enumeration.name, String(value)) : type.kind === "integer" ? `INT64_C(${value})` : value;
    return [".has_default = true", `.default_value = ${number}`];
}

/** Joins facts into lines of up to 110 characters. */
function wrap(facts: string[]): string[] {
    const lines: string[] = [];
    for (const fact of facts) {
        const last = lines[lines.length - 1];
        if (last !== undefined && last.length + fact.length < 110) lines[lines.length - 1] = `${last}, ${fact}`;
        else lines.push(fact);
    }
    return lines;
}
