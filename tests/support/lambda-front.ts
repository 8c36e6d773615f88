// An HTTP server that stands where API Gateway, a function URL or a load balancer stands: requests become events for a function, its
// answers become replies. So the suites run over Lambda as they run over the server.
import { createServer, type IncomingMessage, type Server as HttpServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { eventOf, replyOf, type Front, type FrontRequest } from "./lambda-events.ts";
import type { LambdaFunction } from "./lambda.ts";

const HEADER_BYTES_MAX = 32 * 1024;

function pairs(raw: string[]): [string, string][] {
    const list: [string, string][] = [];
    for (let i = 0; i + 1 < raw.length; i += 2) list.push([raw[i]!, raw[i + 1]!]);
    return list;
}

/** API Gateway's own words when the function failed. */
function failed(response: ServerResponse): void {
    response.writeHead(502, { "content-type": "application/json" });
    response.end('{"message": "Internal server error"}');
}

export class LambdaFront {
    url = "";
    port = 0;
    target: LambdaFunction | undefined;
    private readonly server: HttpServer;

    constructor(readonly front: Front) {
        this.server = createServer({ maxHeaderSize: HEADER_BYTES_MAX }, (request, response) => {
            this.serve(request, response).catch((error: unknown) => {
                this.target?.faults.push(String(error));
                failed(response);
            });
        });
    }

    async listen(): Promise<void> {
        this.server.keepAliveTimeout = 60_000; // longer than clients keep a connection
        await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
        this.port = (this.server.address() as AddressInfo).port;
        this.url = `http://127.0.0.1:${this.port}`;
    }

    private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
        const chunks: Buffer[] = [];
        for await (const chunk of request) chunks.push(chunk as Buffer);
        const seen: FrontRequest = {
            method: request.method ?? "GET", target: request.url ?? "/", headers: pairs(request.rawHeaders), body: Buffer.concat(chunks), address: "127.0.0.1",
        };
        if (!this.target) return failed(response);
        const outcome = await this.target.invoke(eventOf(this.front, seen));
        if (outcome.kind !== "response") return failed(response);
        const reply = replyOf(this.front, outcome.body, outcome.streamed);
        const lists: Record<string, string[]> = {};
        for (const [name, value] of reply.headers) (lists[name.toLowerCase()] ??= []).push(value);
        const hasBody = seen.method !== "HEAD" && reply.status !== 204 && reply.status !== 304;
        response.writeHead(reply.status, { ...lists, ...(hasBody ? { "content-length": String(reply.body.length) } : {}) });
        response.end(hasBody ? reply.body : undefined);
    }

    async close(): Promise<void> {
        this.server.closeAllConnections();
        await new Promise<void>((resolve) => this.server.close(() => resolve()));
    }
}
