// src/contract/inputs.h: what a handler reads.
import type { Enumeration, Field, Model, ObjectType, Operation } from "./model.ts";
import { banner, cType, comment, hasFlag, nullFlag } from "./c_text.ts";
import { enumConstant } from "./names.ts";

export function inputsHeader(model: Model): string {
    const parts = [
        banner("The typed input of each operation: checked by http/validation.c before a handler sees it."),
        `/* A member that may be left out has a flag \`has_<member>\` behind it: the client sent it (a default may fill the member
 * without). A member that may be null has \`<member>_is_null\`. A text that was not sent is an absent slice. Times are
 * milliseconds (\`_ms\`). A map of free keys is its compact JSON text. All of it lives in the request's arena. */`,
        includes(model),
        ...model.enumerations.map((one) => enumeration(one, model.lists.has(one.name))),
        ...model.objects.map((one) => object(one, model.lists.has(one.name))),
        ...model.operations.map(operationInput),
        rules(model.operations),
    ];
    return parts.filter(Boolean).join("\n") + "\n";
}

function includes(model: Model): string {
    const own = model.enumerations.flatMap(({ header }) => (header ? [header] : []));
    const headers = [...new Set(["http/validation.h", ...own])].sort();
    return `#pragma once\n\n${headers.map((header) => `#include "${header}"\n`).join("")}`;
}

function enumeration({ name, values, description, header }: Enumeration, isListed: boolean): string {
    const list = isListed ? `\n${listStruct(`enum ${name}`, name)}` : "";
    if (header) return list;
    const lines = values.map((value) => `    ${enumConstant(name, value)}, /* ${value} */\n`).join("");
    const note = description ? `/* ${comment(description)} */\n` : "";
    return `${note}enum ${name} {
${lines}};
/* The name as it stands in JSON. */
const char *${name}_name(enum ${name} value);
bool ${name}_parse(struct slice name, enum ${name} *value);
${list}`;
}

function listStruct(item: string, name: string): string {
    return `struct ${name}_list {
    const ${item} *items;
    size_t count;
};
`;
}

function object({ name, fields }: ObjectType, isListed: boolean): string {
    const list = isListed ? `\n${listStruct(`struct ${name}`, name)}` : "";
    return `struct ${name} {\n${members(fields)}};\n${list}`;
}

function members(fields: Field[]): string {
    return fields
        .map((field) => {
            const flags = [hasFlag(field), nullFlag(field)].filter((flag) => flag !== undefined);
            return `    ${cType(field.type)}${field.member};\n${flags.map((flag) => `    bool ${flag};\n`).join("")}`;
        })
        .join("");
}

/** True when the operation takes anything at all: without there is no struct (C has no empty ones). */
export function hasInput(operation: Operation): boolean {
    return operation.pathFields.length + operation.queryFields.length + (operation.body?.fields.length ?? 0) > 0;
}

function operationInput(operation: Operation): string {
    if (!hasInput(operation)) return "";
    const group = (title: string, fields: Field[]): string =>
        fields.length > 0 ? `    /* ${title} */\n${members(fields)}` : "";
    return `/* ${operation.method.toUpperCase()} ${operation.path}: ${comment(operation.summary)} */
struct ${operation.name}_input {
${group("path", operation.pathFields)}${group("query", operation.queryFields)}${group("body", operation.body?.fields ?? [])}};
`;
}

function rules(operations: Operation[]): string {
    return `/* The descriptors that input_decode reads. */
${operations.map(({ name }) => `extern const struct input_rule ${name}_input_rule;`).join("\n")}`;
}
