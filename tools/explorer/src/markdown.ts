// The little Markdown that descriptions use: paragraphs, lists, **bold**, `code`.
import { h, type Child } from "./dom.ts";

export function inline(text: string): Child[] {
    return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
        if (part.startsWith("`") && part.length > 1) return h("code", {}, part.slice(1, -1));
        if (part.startsWith("**") && part.length > 4) return h("strong", {}, ...inline(part.slice(2, -2)));
        return part;
    });
}

export function markdown(text: string): HTMLElement {
    const blocks = text.trim().split(/\n\s*\n/).filter((block) => block !== "");
    return h("div", { className: "prose" }, ...blocks.map((block) => {
        const lines = block.split("\n");
        if (!lines.every((line) => /^(- |\s)/.test(line))) return h("p", {}, ...inline(lines.join(" ")));
        const items = block.split(/\n(?=- )/).map((item) => item.replace(/^- /, "").replace(/\s*\n\s*/g, " "));
        return h("ul", {}, ...items.map((item) => h("li", {}, ...inline(item))));
    }));
}
