// What the main part shows: the overview, an operation, a schema.
import { codeBlock, pretty } from "./code.ts";
import type { Contract, Operation, Parameter, Reply } from "./contract.ts";
import { h } from "./dom.ts";
import { inline, markdown } from "./markdown.ts";
import { ruleLine, schemaTree, typeLink } from "./schema_view.ts";
import { tryIt } from "./try_it.ts";

export const methodBadge = (method: string): HTMLElement => h("span", { className: `method ${method.toLowerCase()}` }, method);

/** A path whose parameters stand out, and that may break at its slashes. */
function pathText(path: string): HTMLElement {
    return h("code", { className: "path" }, ...path.split(/(\{[^}]+\})/).flatMap((part) =>
        part.startsWith("{") ? [h("span", { className: "variable" }, part)] : part.split(/(?=\/)/).flatMap((piece) => [h("wbr"), piece])));
}

export function overviewPage(contract: Contract): HTMLElement[] {
    const { info } = contract.document;
    return [
        h("header", { className: "title" },
            h("h1", { tabIndex: -1 }, `${info.title} API`),
            h("p", { className: "lead" }, info.summary ?? "", h("span", { className: "version" }, `version ${info.version}`))),
        markdown(info.description ?? ""),
        h("div", { className: "cards" }, ...contract.tags.map((tag) => h("section", { className: "card" },
            h("h2", {}, tag.name), markdown(tag.description),
            h("ul", {}, ...tag.operations.map((operation) => h("li", {}, operationLink(operation))))))),
    ];
}

export function operationLink(operation: Operation): HTMLAnchorElement {
    return h("a", { href: `#/${operation.id}` }, methodBadge(operation.method), h("span", { className: "summary" }, operation.summary));
}

function parameterRow(contract: Contract, parameter: Parameter): HTMLElement {
    return h("li", { className: "leaf" },
        h("div", { className: "head" }, h("code", { className: "name" }, parameter.name), typeLink(contract, parameter.schema),
            h("span", { className: "place" }, parameter.in), parameter.required ? h("span", { className: "required" }, "required") : null),
        h("div", { className: "about" }, h("p", {}, ...inline((parameter.description ?? "").trim())), ruleLine(contract, parameter.schema)));
}

function replyView(contract: Contract, status: string, reply: Reply, isOpen: boolean): HTMLElement {
    const kind = status === "default" || status.startsWith("3") ? "neutral" : status.startsWith("2") ? "good" : "bad";
    const [type, media] = Object.entries(reply.content ?? {})[0] ?? [];
    const details = h("details", { className: "response", open: isOpen },
        h("summary", {}, h("strong", { className: `status ${kind}` }, status === "default" ? "other" : status),
            h("span", { className: "summary" }, ...inline((reply.description ?? "").trim()))));
    const fill = (): void => {
        if (!details.open || details.childElementCount > 1) return;
        const headers = Object.entries(reply.headers ?? {});
        if (headers.length > 0) details.append(h("p", { className: "hint" }, "Headers: ", ...headers.flatMap(([name], index) => [index > 0 ? ", " : null, h("code", {}, name)])));
        if (!media?.schema) {
            details.append(h("p", { className: "hint" }, "No body."));
            return;
        }
        const isJson = /json/.test(type!);
        details.append(h("p", { className: "hint" }, h("code", {}, type!)), schemaTree(contract, media.schema, "reply"));
        const example = media.example ?? contract.sample(media.schema);
        if (isJson) details.append(h("details", { className: "example" }, h("summary", {}, "Example"), codeBlock(pretty(example), "Example of the reply")));
    };
    details.addEventListener("toggle", fill);
    fill();
    return details;
}

export function operationPage(contract: Contract, operation: Operation): HTMLElement[] {
    const { media } = operation.body ?? {};
    const firstGood = operation.replies.find(([status]) => status.startsWith("2"))?.[0];
    return [
        h("header", { className: "title" },
            h("p", { className: "crumb" }, operation.tag),
            h("h1", { tabIndex: -1 }, operation.summary),
            h("p", { className: "endpoint" }, methodBadge(operation.method), pathText(operation.path),
                operation.login === "needed" ? h("span", { className: "lock" }, "log-in needed") : null)),
        h("div", { className: "columns" },
            h("div", { className: "reading" },
                markdown(operation.description),
                ...(operation.parameters.length === 0 ? [] : [h("h2", {}, "Parameters"),
                    h("ul", { className: "schema" }, ...operation.parameters.map((parameter) => parameterRow(contract, parameter)))]),
                ...(media?.schema ? [h("h2", {}, "Body"), schemaTree(contract, media.schema, "request")] : []),
                h("h2", {}, "Replies"),
                ...operation.replies.map(([status, reply]) => replyView(contract, status, reply, status === firstGood))),
            tryIt(contract, operation)),
    ];
}

export function schemaPage(contract: Contract, name: string): HTMLElement[] {
    const schema = contract.schema(name);
    if (!schema) return [h("h1", { tabIndex: -1 }, "There is no such schema")];
    const users = contract.operations.filter((operation) => JSON.stringify([operation.body, operation.replies]).includes(`schemas/${name}"`));
    return [
        h("header", { className: "title" }, h("p", { className: "crumb" }, "Schema"), h("h1", { tabIndex: -1 }, name)),
        markdown(schema.description ?? ""),
        schemaTree(contract, schema, name.endsWith("Input") ? "request" : "reply"),
        h("h2", {}, "Example"), codeBlock(pretty(contract.sample(schema)), `Example of ${name}`),
        ...(users.length === 0 ? [] : [h("h2", {}, "Used by"), h("ul", { className: "links" }, ...users.map((operation) => h("li", {}, operationLink(operation))))]),
    ];
}
