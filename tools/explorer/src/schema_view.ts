// A schema as a tree whose branches open on demand, so that schemas may hold themselves.
import { mainType, refName, rules, typeName, type Contract, type Schema } from "./contract.ts";
import { h, type Child } from "./dom.ts";
import { inline } from "./markdown.ts";

/** The schema inside arrays, maps and "or null", whose properties are worth showing. */
function inner(contract: Contract, schema: Schema): Schema {
    const whole = contract.resolve(schema);
    const choices = (whole.anyOf ?? whole.oneOf ?? []).filter((choice) => contract.resolve(choice).type !== "null");
    if (choices.length === 1) return inner(contract, choices[0]!);
    if (mainType(whole) === "array" && whole.items) return inner(contract, whole.items);
    if (!whole.properties && typeof whole.additionalProperties === "object") return inner(contract, whole.additionalProperties);
    return whole;
}

export function typeLink(contract: Contract, schema: Schema): HTMLElement {
    const name = typeName(contract, schema);
    const target = name.split(/ of | or /).find((word) => contract.schema(word) !== undefined);
    if (!target) return h("span", { className: "type" }, name);
    return h("a", { className: "type", href: `#/schemas/${target}` }, name);
}

/** Its allowed values and bounds, small. */
export function ruleLine(contract: Contract, schema: Schema): Child {
    const whole = contract.resolve(schema);
    const values = whole.enum ?? inner(contract, schema).enum;
    const words = rules(whole);
    if (!values && words.length === 0) return null;
    return h("div", { className: "rules" },
        ...(values ?? []).map((value) => h("code", {}, String(value))),
        words.length > 0 && h("span", {}, words.join(" · ")));
}

/** In a request the required properties are marked; in a reply, where nearly all are always there, the ones that may be missing. */
export type Direction = "request" | "reply";

function property(contract: Contract, name: string, schema: Schema, isRequired: boolean, direction: Direction, depth: number): HTMLElement {
    const whole = contract.resolve(schema);
    const branch = inner(contract, schema);
    const head = h("div", { className: "head" },
        h("code", { className: "name" }, name),
        typeLink(contract, schema),
        direction === "request" && isRequired && h("span", { className: "required" }, "required"),
        direction === "reply" && !isRequired && h("span", { className: "place" }, "optional"));
    const text = h("div", { className: "about" }, whole.description ? h("p", {}, ...inline(whole.description.trim())) : null,
        ruleLine(contract, schema));
    if (!branch.properties) return h("li", { className: "leaf" }, head, text);
    const details = h("details", {}, h("summary", { className: "branch" }, head, text));
    const fill = (): void => {
        if (details.open && details.childElementCount === 1) details.append(properties(contract, branch, direction, depth + 1));
    };
    details.addEventListener("toggle", fill);
    // The envelope and what has no name of its own open by themselves.
    if (depth === 0 && (name === "data" || (refName(schema) === undefined && whole.properties))) {
        details.open = true;
        fill();
    }
    return h("li", {}, details);
}

function properties(contract: Contract, schema: Schema, direction: Direction, depth: number): HTMLElement {
    const required = new Set(schema.required);
    return h("ul", { className: "schema" }, ...Object.entries(schema.properties ?? {}).map(([name, one]) =>
        property(contract, name, one, required.has(name), direction, depth)));
}

export function schemaTree(contract: Contract, schema: Schema, direction: Direction): HTMLElement {
    const branch = inner(contract, schema);
    if (branch.properties) return properties(contract, branch, direction, 0);
    return h("ul", { className: "schema" }, h("li", { className: "leaf" },
        h("div", { className: "head" }, typeLink(contract, schema)),
        h("div", { className: "about" }, h("p", {}, ...inline(branch.description ?? "")), ruleLine(contract, schema))));
}
