// packages/client/src/client.ts: one method for each operation of the contract.
import type { Contract, Method, Parameter, Place, RawOperation, RequestBody, Response } from "./openapi.ts";
import { GENERATED } from "./c_text.ts";
import { pascal } from "./names.ts";
import { doc, tsType } from "./ts_types.ts";

export function clientModule(contract: Contract): string {
    const writer = new ClientWriter(contract);
    const methods = [...contract.operations()].map(({ path, method, operation, place }) => writer.method(path, method, operation, place));
    const body = methods.join("\n");
    const options = ["CallOptions", "IdempotentOptions", "MatchOptions"].filter((name) => body.includes(`: ${name}`));
    const schemas = Object.keys(contract.document.components?.schemas ?? {});
    const used = schemas.filter((name) => new RegExp(`\\b${name}\\b`).test(`${body}${writer.declarations()}`));
    return `// ${GENERATED}
// The operations of the contract as methods.
import { Transport } from "./transport.ts";
import type { ${[...options, "ClientOptions", "Reply"].sort().join(", ")} } from "./transport.ts";
import type {
${used.map((name) => `    ${name},\n`).join("")}} from "./types.ts";

${writer.declarations()}
/** The API of a shop. Every method answers the reply, or throws a SoukError that carries the problem. */
export class SoukClient {
    private readonly transport: Transport;

    constructor(options: ClientOptions = {}) {
        this.transport = new Transport(options);
    }

${body}}
`;
}

class ClientWriter {
    private readonly parts: string[] = [];

    constructor(private readonly contract: Contract) {}

    /** The types of parameters and replies, written so far. */
    declarations(): string {
        return this.parts.join("\n");
    }

    method(path: string, method: Method, operation: RawOperation, place: Place): string {
        const name = operation.operationId;
        const parameters = this.contract.parameters(path, operation, place).filter(({ parameter }) => ["path", "query"].includes(parameter.in));
        const body = this.bodyType(operation, place);
        const reply = this.replyType(operation, place);
        this.parts.push(`export type ${pascal(name)}Reply = ${reply.type};\n`);
        const signature = [
            this.parametersArgument(name, parameters),
            body ? `body${body.isRequired ? "" : "?"}: ${body.type}` : "",
            `options?: ${optionsType(method, operation)}`,
        ].filter(Boolean);
        const isForced = parameters.some(({ parameter }) => parameter.required);
        const call = [
            `method: "${method.toUpperCase()}"`,
            `path: "${path}"`,
            ...pick("pathValues", parameters, "path"),
            ...pick("query", parameters, "query"),
            body ? "body" : "",
            "options",
            reply.isText ? "isText: true" : "",
        ].filter(Boolean);
        const note = [operation.summary?.replace(/[^.?]$/, "$&."), operation.description].filter(Boolean).join("\n\n");
        return `${doc(note, "    ")}    ${name}(${orderArguments(signature, isForced)}): Promise<Reply<${pascal(name)}Reply>> {
        return this.transport.call({ ${call.join(", ")} });
    }
`;
    }

    private parametersArgument(name: string, parameters: { parameter: Parameter; place: Place }[]): string {
        if (parameters.length === 0) return "";
        const members = parameters.map(({ parameter, place }) => {
            const type = tsType(this.contract, parameter.schema, [...place, "schema"]);
            const isOptional = parameter.required !== true;
            return `${doc(parameter.description, "    ")}    ${keyOf(parameter.name)}${isOptional ? "?" : ""}: ${type}${isOptional ? " | undefined" : ""};\n`;
        });
        const type = `${pascal(name)}Parameters`;
        this.parts.push(`export interface ${type} {\n${members.join("")}}\n`);
        return `parameters: ${type}${parameters.some(({ parameter }) => parameter.required) ? "" : " = {}"}`;
    }

    private bodyType(operation: RawOperation, place: Place): { type: string; isRequired: boolean } | undefined {
        if (!operation.requestBody) return undefined;
        const found = this.contract.dereference<RequestBody>(operation.requestBody, [...place, "requestBody"]);
        const schema = found?.value.content["application/json"]?.schema;
        if (!found || !schema) return undefined;
        const at = [...found.place, "content", "application/json", "schema"];
        return { type: tsType(this.contract, schema, at), isRequired: found.value.required === true };
    }

    private replyType(operation: RawOperation, place: Place): { type: string; isText: boolean } {
        const types = new Set<string>();
        let isText = false;
        for (const [status, response] of Object.entries(operation.responses)) {
            if (!status.startsWith("2")) continue;
            const found = this.contract.dereference<Response>(response, [...place, "responses", status]);
            const json = found?.value.content?.["application/json"];
            if (json?.schema && found) {
                types.add(tsType(this.contract, json.schema, [...found.place, "content", "application/json", "schema"]));
            } else if (found?.value.content) {
                isText = true;
                types.add("{ text: string }");
            } else {
                types.add("object");
            }
        }
        return { type: [...types].join(" | ") || "object", isText };
    }
}

function optionsType(method: Method, { "x-souk": souk }: RawOperation): string {
    if (method === "post" && souk.idempotency !== "none") return "IdempotentOptions";
    return souk.ifMatch ? "MatchOptions" : "CallOptions";
}

function keyOf(name: string): string {
    return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
}

function pick(target: string, parameters: { parameter: Parameter }[], where: string): string[] {
    const members = parameters
        .filter(({ parameter }) => parameter.in === where)
        .map(({ parameter: { name } }) => (keyOf(name) === name ? `${name}: parameters.${name}` : `${keyOf(name)}: parameters[${keyOf(name)}]`));
    return members.length > 0 ? [`${target}: { ${members.join(", ")} }`] : [];
}

/** An argument with a default cannot stand in front of a required one without being passed: then it loses its default. */
function orderArguments(signature: string[], isForced: boolean): string {
    const hasRequiredBody = signature.some((argument) => argument.startsWith("body:"));
    return signature.map((argument) => (hasRequiredBody && !isForced ? argument.replace(" = {}", "") : argument)).join(", ");
}
