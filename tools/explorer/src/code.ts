// Code to look at: JSON with colours, anything else as it is.
import { copyButton, h, type Child } from "./dom.ts";

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g;
const COLOURED_MAX = 200_000; // characters; more would make the page slow

function coloured(text: string): Child[] {
    const children: Child[] = [];
    let end = 0;
    for (const match of text.matchAll(TOKEN)) {
        children.push(text.slice(end, match.index));
        const [whole, string, colon] = match;
        const kind = string ? (colon ? "key" : "text") : /^[-\d]/.test(whole) ? "number" : "word";
        children.push(h("span", { className: `json-${kind}` }, string ?? whole), colon);
        end = match.index + whole.length;
    }
    children.push(text.slice(end));
    return children;
}

export function codeBlock(text: string, label: string, isJson = true): HTMLElement {
    const children = isJson && text.length <= COLOURED_MAX ? coloured(text) : [text];
    return h("div", { className: "code" },
        copyButton(() => text),
        h("pre", { tabIndex: 0, attributes: { "aria-label": label, role: "region" } }, h("code", {}, ...children)));
}

export const pretty = (value: unknown): string => JSON.stringify(value, null, 2);
