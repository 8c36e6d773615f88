// Names: the contract says camelCase, C says snake_case.

/** `variantId` -> `variant_id`, `price[gte]` -> `price_gte`, `address1` -> `address1`. */
export function snake(name: string): string {
    return name
        .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
        .replace(/([A-Z])([A-Z][a-z])/g, "$1_$2")
        .replace(/[^A-Za-z0-9]+/g, "_")
        .replace(/^_+|_+$/g, "")
        .toLowerCase();
}

/** A constant of an enumeration; a value with a leading `-` (a descending sort) ends in `_DESC`. */
export function enumConstant(enumName: string, value: string): string {
    const descending = value.startsWith("-");
    return `${enumName}_${snake(value)}${descending ? "_desc" : ""}`.toUpperCase();
}

export function pascal(name: string): string {
    return name.charAt(0).toUpperCase() + name.slice(1);
}

/** Words that C keeps for itself or that headers define as macros; a member of that name gets a `_` behind it. */
const RESERVED = new Set(
    ("auto break case char const continue default do double else enum extern float for goto if inline int long " +
        "register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while " +
        "bool true false unix linux").split(" "),
);

export function member(jsonName: string): string {
    const name = snake(jsonName);
    return RESERVED.has(name) ? `${name}_` : name;
}
