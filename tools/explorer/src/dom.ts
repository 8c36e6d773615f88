// Making elements. Text is only ever set as text: nothing here parses HTML.

export type Child = Node | string | null | undefined | false;

type Properties<E extends HTMLElement> = Partial<Omit<E, "style" | "children" | "attributes">> & { attributes?: Record<string, string> };

/** h("button", { className: "primary", onclick }, "Send") */
export function h<K extends keyof HTMLElementTagNameMap>(
    name: K, properties: Properties<HTMLElementTagNameMap[K]> = {}, ...children: Child[]
): HTMLElementTagNameMap[K] {
    const element = document.createElement(name);
    const { attributes, ...rest } = properties;
    Object.assign(element, rest);
    for (const [key, value] of Object.entries(attributes ?? {})) element.setAttribute(key, value);
    append(element, children);
    return element;
}

export function append(parent: Node, children: Child[]): void {
    for (const child of children) {
        if (child === null || child === undefined || child === false) continue;
        parent.appendChild(typeof child === "string" ? document.createTextNode(child) : child);
    }
}

export function replace(parent: Element, ...children: Child[]): void {
    parent.replaceChildren();
    append(parent, children);
}

/** A button that copies what `text` answers, and says so. */
export function copyButton(text: () => string, label = "Copy"): HTMLButtonElement {
    const button = h("button", { type: "button", className: "quiet", textContent: label });
    button.onclick = async () => {
        try {
            await navigator.clipboard.writeText(text());
            button.textContent = "Copied";
        } catch {
            button.textContent = "Copying is not allowed here";
        }
        setTimeout(() => { button.textContent = label; }, 1500);
    };
    return button;
}
