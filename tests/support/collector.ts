// Collectors of traces on this machine: OTLP over HTTP, read by the decoder of OpenTelemetry's own packages; X-Ray's daemon over UDP.
import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { createServer, type Server } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";

interface Decoder {
    verify(message: unknown): string | null;
    fromObject(message: unknown): unknown;
    toObject(message: unknown, options: object): Record<string, unknown>;
}
const { opentelemetry } = createRequire(import.meta.url)("@opentelemetry/otlp-transformer/build/src/generated/root.js") as {
    opentelemetry: { proto: { collector: { trace: { v1: { ExportTraceServiceRequest: Decoder } } } } };
};
const decoder = opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest;

interface Attribute {
    key: string;
    value: { stringValue?: string; intValue?: string };
}
export interface Span {
    traceId: string;
    spanId: string;
    parentSpanId?: string;
    traceState?: string;
    name: string;
    kind: number;
    startTimeUnixNano: string;
    endTimeUnixNano: string;
    attributes: Attribute[];
    status: { code?: number };
}
interface Message {
    resourceSpans: { resource: { attributes: Attribute[] }; scopeSpans: { scope: { name: string }; spans: Span[] }[] }[];
}

export const attributesOf = (attributes: Attribute[]): Record<string, string | undefined> =>
    Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue]));

/** The members' names of a message, as far down as it goes. An empty list is as good as none. */
function shapeOf(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(shapeOf);
    if (typeof value !== "object" || value === null) return true;
    return Object.fromEntries(Object.entries(value).filter(([, inner]) => !Array.isArray(inner) || inner.length > 0).map(([name, inner]) => [name, shapeOf(inner)]).sort());
}

/** What the protocol's own decoder does not take, or does not know, fails. */
function check(message: Message): void {
    // In JSON identifiers are hexadecimal, the decoder's objects have bytes.
    const bytes = structuredClone(message) as unknown as { resourceSpans: { scopeSpans: { spans: Record<string, unknown>[] }[] }[] };
    for (const span of bytes.resourceSpans.flatMap((resource) => resource.scopeSpans.flatMap((scope) => scope.spans)))
        for (const name of ["traceId", "spanId", "parentSpanId"]) {
            if (span[name] === undefined) continue;
            assert.match(span[name] as string, name === "traceId" ? /^[0-9a-f]{32}$/ : /^[0-9a-f]{16}$/);
            span[name] = Buffer.from(span[name] as string, "hex").toString("base64");
        }
    const decoded = decoder.fromObject(bytes);
    assert.equal(decoder.verify(decoded), null);
    assert.deepEqual(shapeOf(decoder.toObject(decoded, { longs: String, bytes: String })), shapeOf(bytes));
}

export class OtlpCollector {
    readonly spans: Span[] = [];
    readonly resources: Record<string, string | undefined>[] = [];
    status = 200;
    calls = 0;
    /** Milliseconds before it answers. */
    delay = 0;
    private constructor(private readonly server: Server) {}

    static start(): Promise<OtlpCollector> {
        const server = createServer((request, response) => {
            let text = "";
            request.setEncoding("utf8").on("data", (piece: string) => { text += piece; });
            request.on("end", () => {
                collector.calls++;
                if (collector.status === 200) collector.take(request.method!, request.url!, request.headers["content-type"], text);
                setTimeout(() => response.writeHead(collector.status, { "content-type": "application/json" }).end("{}"), collector.delay);
            });
        });
        const collector = new OtlpCollector(server);
        return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(collector)));
    }

    /** What was wrong with what came; a test looks at it. */
    readonly wrong: unknown[] = [];

    private take(method: string, url: string, type: string | undefined, text: string): void {
        try {
            assert.deepEqual([method, url, type], ["POST", "/v1/traces", "application/json"]);
            const message = JSON.parse(text) as Message;
            check(message);
            for (const { resource, scopeSpans } of message.resourceSpans) {
                this.resources.push(attributesOf(resource.attributes));
                for (const { spans } of scopeSpans) this.spans.push(...spans);
            }
        } catch (error) {
            this.wrong.push(error);
        }
    }

    get endpoint(): string {
        return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
    }

    stop(): Promise<void> {
        this.server.closeAllConnections();
        return new Promise((resolve) => this.server.close(() => resolve()));
    }
}

export class XrayDaemon {
    readonly segments: Record<string, any>[] = [];
    private constructor(private readonly socket: Socket) {}

    static start(): Promise<XrayDaemon> {
        const socket = createSocket("udp4");
        const daemon = new XrayDaemon(socket);
        socket.on("message", (message) => {
            const [head, document] = message.toString("utf8").split("\n");
            if (head === '{"format": "json", "version": 1}') daemon.segments.push(JSON.parse(document!) as Record<string, any>);
        });
        return new Promise((resolve) => socket.bind(0, "127.0.0.1", () => resolve(daemon)));
    }

    get address(): string {
        return `127.0.0.1:${this.socket.address().port}`;
    }

    stop(): void {
        this.socket.close();
    }
}
