// The API explorer: reads /openapi.json and shows it; everything it needs comes from this server.
import { Contract, type Operation } from "./contract.ts";
import { h, replace } from "./dom.ts";
import { operationLink, operationPage, overviewPage, schemaPage } from "./pages.ts";
import { sessionCorner } from "./session.ts";

/** Whether every word of the search is somewhere in the operation. */
function matches(operation: Operation, words: string[]): boolean {
    const text = `${operation.method} ${operation.path} ${operation.id} ${operation.summary} ${operation.tag} ${operation.description}`.toLowerCase();
    return words.every((word) => text.includes(word));
}

function navigation(contract: Contract): { element: HTMLElement; mark: (hash: string) => void } {
    const search = h("input", { type: "search", placeholder: "Search", autocomplete: "off", attributes: { "aria-label": "Search the operations", "aria-keyshortcuts": "/" } });
    const nothing = h("p", { className: "hint", hidden: true }, "Nothing is found.");
    const groups = contract.tags.map((tag) => {
        const rows = tag.operations.map((operation) => ({ operation, row: h("li", {}, operationLink(operation)) }));
        return { rows, element: h("section", {}, h("h2", {}, tag.name), h("ul", {}, ...rows.map(({ row }) => row))) };
    });
    const schemas = h("details", { className: "schemas" }, h("summary", {}, "Schemas"),
        h("ul", {}, ...contract.schemaNames.map((name) => h("li", {}, h("a", { href: `#/schemas/${name}` }, name)))));
    search.oninput = () => {
        const words = search.value.toLowerCase().split(/\s+/).filter((word) => word !== "");
        let found = 0;
        for (const group of groups) {
            for (const { operation, row } of group.rows) row.hidden = !matches(operation, words);
            const shown = group.rows.filter(({ row }) => !row.hidden).length;
            group.element.hidden = shown === 0;
            found += shown;
        }
        nothing.hidden = found > 0;
    };
    search.onkeydown = (event) => {
        const first = groups.flatMap((group) => group.rows).find(({ row }) => !row.hidden);
        if (event.key === "Enter" && first) location.hash = `/${first.operation.id}`;
    };
    document.addEventListener("keydown", (event) => {
        const isTyping = event.target instanceof HTMLElement && event.target.matches("input, textarea, select");
        if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        search.focus();
    });
    const element = h("nav", { id: "navigation", attributes: { "aria-label": "Operations" } }, search,
        h("a", { className: "home", href: "#/" }, "Overview"), nothing, ...groups.map((group) => group.element), schemas);
    const mark = (hash: string): void => {
        for (const link of element.querySelectorAll("a")) {
            const isCurrent = link.getAttribute("href") === hash;
            if (isCurrent) link.setAttribute("aria-current", "page");
            else link.removeAttribute("aria-current");
            if (isCurrent) link.scrollIntoView({ block: "nearest" });
        }
    };
    return { element, mark };
}

function show(contract: Contract, main: HTMLElement, hash: string): void {
    const route = hash.replace(/^#\/?/, "");
    const operation = contract.operations.find((one) => one.id === route);
    const page = operation ? operationPage(contract, operation)
        : route.startsWith("schemas/") ? schemaPage(contract, route.slice("schemas/".length))
        : overviewPage(contract);
    replace(main, ...page);
    document.title = `${main.querySelector("h1")?.textContent ?? ""} · souk API`;
}

function start(contract: Contract, root: HTMLElement): void {
    const { element: nav, mark } = navigation(contract);
    const main = h("main", { id: "main" });
    const menu = h("button", { type: "button", className: "menu", attributes: { "aria-controls": "navigation", "aria-expanded": "false" } }, "Menu");
    const setMenu = (isOpen: boolean): void => {
        document.body.classList.toggle("menu-open", isOpen);
        menu.setAttribute("aria-expanded", String(isOpen));
    };
    menu.onclick = () => setMenu(!document.body.classList.contains("menu-open"));
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") setMenu(false); });
    replace(root,
        h("a", { className: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.querySelector<HTMLElement>("h1")?.focus(); } }, "Skip to the content"),
        h("header", { className: "bar" }, menu, h("a", { className: "brand", href: "#/" }, "souk", h("span", {}, "API")), sessionCorner()),
        nav, main);
    const navigate = (isFirst: boolean): void => {
        const hash = location.hash || "#/";
        show(contract, main, hash);
        mark(hash);
        setMenu(false);
        if (isFirst) return;
        window.scrollTo(0, 0);
        main.querySelector<HTMLElement>("h1")?.focus({ preventScroll: true });
    };
    window.addEventListener("hashchange", () => navigate(false));
    navigate(true);
}

const root = document.getElementById("explorer")!;
Contract.load().then((contract) => start(contract, root), (error: Error) => {
    replace(root, h("p", { className: "failure", attributes: { role: "alert" } }, `The contract cannot be loaded: ${error.message}`));
});
