// Trying an operation: its form, the request as curl, and what came back.
import { codeBlock, pretty } from "./code.ts";
import { mainType, type Contract, type Operation, type Parameter } from "./contract.ts";
import { append, copyButton, h, replace } from "./dom.ts";
import { accessToken, adopt, onSession, sessionUser } from "./session.ts";

interface Prepared {
    method: string;
    path: string;
    headers: Record<string, string>;
    body: string | undefined;
}

interface Field {
    parameter: Parameter;
    control: HTMLInputElement | HTMLSelectElement;
}

/** Path parameters typed or answered before, by the collection they belong to: "cart:id". */
const remembered = new Map<string, string>();
const memoryKey = (operation: Operation, name: string): string => `${operation.path.split("/")[1]}:${name}`;

function field(contract: Contract, operation: Operation, parameter: Parameter): Field {
    const schema = contract.resolve(parameter.schema);
    const values = schema.enum ?? (mainType(schema) === "boolean" ? [true, false] : undefined);
    const id = `parameter-${parameter.in}-${parameter.name}`;
    if (values) {
        const options = ["", ...values.map(String)].map((value) => h("option", { value, textContent: value === "" ? "—" : value }));
        return { parameter, control: h("select", { id }, ...options) };
    }
    const isNumber = mainType(schema) === "integer";
    const control = h("input", { id, type: "text", autocomplete: "off", spellcheck: false, inputMode: isNumber ? "numeric" : "text" });
    if (schema.default !== undefined) control.placeholder = String(schema.default);
    if (parameter.in === "path") control.value = remembered.get(memoryKey(operation, parameter.name)) ?? "";
    return { parameter, control };
}

function fieldRow({ parameter, control }: Field): HTMLElement {
    const label = h("label", { htmlFor: control.id }, h("code", {}, parameter.name),
        parameter.required ? h("span", { className: "required" }, "required") : h("span", { className: "hint" }, parameter.in));
    if (parameter.name !== "Idempotency-Key") return h("div", { className: "field" }, label, control);
    const fresh = h("button", { type: "button", className: "quiet", onclick: () => { control.value = crypto.randomUUID(); control.dispatchEvent(new Event("input")); } }, "New");
    return h("div", { className: "field" }, label, h("div", { className: "with-button" }, control, fresh));
}

/** In single quotes for a shell. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

function curl(request: Prepared): string {
    const parts = [`curl ${request.method === "GET" ? "" : `-X ${request.method} `}${quoted(location.origin + request.path)}`];
    for (const [name, value] of Object.entries(request.headers)) parts.push(`-H ${quoted(`${name}: ${value}`)}`);
    if (request.body !== undefined) parts.push(`--data-raw ${quoted(request.body)}`);
    return parts.join(" \\\n  ");
}

/** What the fields say. A path parameter without a value stays as {name}. */
function prepare(operation: Operation, fields: Field[], body: string | undefined, token: string | undefined): Prepared {
    let path = operation.path;
    const query = new URLSearchParams();
    const headers: Record<string, string> = {};
    for (const { parameter, control } of fields) {
        const value = control.value.trim();
        if (value === "") continue;
        if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(value));
        else if (parameter.in === "query") query.append(parameter.name, value);
        else headers[parameter.name] = value;
    }
    if (token !== undefined) headers["Authorization"] = `Bearer ${token}`;
    if (body !== undefined && body.trim() !== "") headers["Content-Type"] = "application/json";
    const search = query.toString();
    return { method: operation.method, path: search === "" ? path : `${path}?${search}`, headers, body: body?.trim() === "" ? undefined : body };
}

/** Where the JSON is wrong; undefined when it is not. */
function jsonComplaint(text: string): string | undefined {
    try {
        if (text.trim() !== "") JSON.parse(text);
        return undefined;
    } catch (error) {
        return `The body is no JSON: ${(error as Error).message}`;
    }
}

function showReply(place: HTMLElement, reply: Response, text: string, milliseconds: number): unknown {
    const isJson = /json/.test(reply.headers.get("content-type") ?? "");
    let value: unknown;
    try {
        value = isJson ? JSON.parse(text) : undefined;
    } catch { /* shown as it is */ }
    const kind = reply.ok ? "good" : reply.status < 400 ? "neutral" : "bad";
    const headers = [...reply.headers].sort(([a], [b]) => a.localeCompare(b));
    replace(place,
        h("p", { className: "status-line" },
            h("strong", { className: `status ${kind}` }, `${reply.status} ${reply.statusText}`),
            h("span", {}, `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`),
            h("span", {}, `${new Blob([text]).size.toLocaleString("en")} bytes`)),
        text === "" ? h("p", { className: "hint" }, "The reply has no body.") : codeBlock(value === undefined ? text : pretty(value), "Body of the reply", isJson),
        h("details", { className: "headers" }, h("summary", {}, `${headers.length} headers`),
            h("table", {}, h("tbody", {}, ...headers.map(([name, one]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, one)))))));
    return value;
}

/** Keeps the id of what was made, for the path parameters of the operations that follow. */
function rememberIds(operation: Operation, fields: Field[], value: unknown): void {
    for (const { parameter, control } of fields) {
        if (parameter.in === "path" && control.value.trim() !== "") remembered.set(memoryKey(operation, parameter.name), control.value.trim());
    }
    const data = (value as { data?: { id?: unknown } } | undefined)?.data;
    const isCollection = operation.path.split("/").length === 2;
    if (operation.method === "POST" && isCollection && typeof data?.id === "string") remembered.set(memoryKey(operation, "id"), data.id);
    if (operation.id === "checkoutCreate" && typeof data?.id === "string") remembered.set("orders:id", data.id);
    const cart = remembered.get("cart:id");
    if (operation.id === "cartCreate" && cart) remembered.set("checkout:id", cart);
}

function bodyEditor(contract: Contract, operation: Operation): HTMLTextAreaElement | undefined {
    if (!operation.body) return undefined;
    const { media } = operation.body;
    const example = media.example ?? (media.schema ? contract.sample(media.schema) : {});
    const text = operation.body.isRequired || media.example !== undefined ? pretty(example) : "";
    return h("textarea", {
        id: "body", value: text, spellcheck: false, autocomplete: "off", rows: Math.min(22, Math.max(4, 1 + text.split("\n").length)),
    });
}

export function tryIt(contract: Contract, operation: Operation): HTMLElement {
    const fields = operation.parameters.filter((parameter) => parameter.in !== "cookie").map((parameter) => field(contract, operation, parameter));
    const order = { path: 0, query: 1, header: 2, cookie: 3 };
    fields.sort((a, b) => order[a.parameter.in] - order[b.parameter.in]);
    const editor = bodyEditor(contract, operation);
    const send = h("button", { className: "primary" }, "Send");
    const complaint = h("p", { className: "complaint", attributes: { role: "alert" } });
    const reply = h("div", { className: "reply", attributes: { "aria-live": "polite" } });
    const command = h("pre", { tabIndex: 0, attributes: { "aria-label": "The request as a curl command", role: "region" } });
    const notice = h("p", { className: "hint" });

    const showCommand = async (): Promise<void> => {
        const request = prepare(operation, fields, editor?.value, await accessToken());
        command.textContent = curl(request);
    };
    const showNotice = (): void => {
        const isMissing = operation.login === "needed" && !sessionUser();
        notice.textContent = isMissing ? "This operation needs a log-in: use the button at the top." : "";
        void showCommand();
    };
    const run = async (): Promise<void> => {
        const empty = fields.find(({ parameter, control }) => parameter.in === "path" && control.value.trim() === "");
        complaint.textContent = empty ? `Fill in ${empty.parameter.name}.` : jsonComplaint(editor?.value ?? "") ?? "";
        if (complaint.textContent !== "") {
            (empty?.control ?? editor)?.focus();
            return;
        }
        send.disabled = true;
        const request = prepare(operation, fields, editor?.value, await accessToken());
        const began = performance.now();
        try {
            const answer = await fetch(request.path, { method: request.method, headers: request.headers, body: request.body ?? null, cache: "no-store" });
            const text = await answer.text();
            const value = showReply(reply, answer, text, performance.now() - began);
            if (answer.ok) rememberIds(operation, fields, value);
            if (answer.ok && adopt((value as { data?: unknown } | undefined)?.data)) append(reply, [h("p", { className: "hint" }, "You are logged in with this token now.")]);
        } catch {
            replace(reply, h("p", { className: "complaint" }, "The server cannot be reached."));
        }
        send.disabled = false;
    };

    const form = h("form", { className: "try-form", attributes: { "aria-label": "Request" } },
        ...fields.map(fieldRow),
        editor ? h("div", { className: "field" }, h("label", { htmlFor: "body" }, "Body", h("span", { className: "hint" }, "application/json")), editor) : null,
        complaint,
        h("div", { className: "actions" }, send, notice));
    form.oninput = () => void showCommand();
    form.onsubmit = (event) => {
        event.preventDefault();
        void run();
    };
    form.onkeydown = (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            void run();
        }
    };
    onSession(showNotice);
    showNotice();
    return h("section", { className: "try", attributes: { "aria-labelledby": "try-title" } },
        h("h2", { id: "try-title" }, "Try it"), form, reply,
        h("h3", {}, "curl"), h("div", { className: "code" }, copyButton(() => command.textContent ?? ""), command));
}
