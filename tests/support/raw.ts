// Bytes on a TCP connection, for requests that no decent client would send.
import net from "node:net";
import { once } from "node:events";
import { judge } from "./contract.ts";

export interface RawReply {
    status: number;
    headers: Headers;
    bytes: Buffer;
    text: string;
}

/** A connection that is written to and read from by hand; everything is bounded in time. */
export class Connection {
    private received = Buffer.alloc(0);
    private wake: () => void = () => undefined;
    isClosed = false;

    private constructor(private readonly socket: net.Socket) {
        socket.on("data", (chunk) => {
            this.received = Buffer.concat([this.received, chunk]);
            this.wake();
        });
        const end = () => {
            this.isClosed = true;
            this.wake();
        };
        socket.on("end", end).on("close", end).on("error", end);
    }

    static async open(port: number): Promise<Connection> {
        const socket = net.connect(port, "127.0.0.1");
        socket.setNoDelay(true);
        await once(socket, "connect");
        return new Connection(socket);
    }

    write(data: string | Uint8Array): void {
        if (!this.socket.destroyed) this.socket.write(data);
    }

    /** Closes our side only. */
    finish(): void {
        this.socket.end();
    }

    destroy(): void {
        this.socket.destroy();
    }

    /** The next whole response; undefined when the connection ends first. */
    async response(options: { isHead?: boolean; withinMs?: number } = {}): Promise<RawReply | undefined> {
        const deadline = Date.now() + (options.withinMs ?? 15_000);
        for (;;) {
            const parsed = parse(this.received, options.isHead ?? false, this.isClosed);
            if (parsed) {
                this.received = this.received.subarray(parsed.length);
                if (parsed.reply.status === 100) continue;
                return parsed.reply;
            }
            if (this.isClosed) return undefined;
            if (!(await this.activity(deadline))) throw new Error(`no whole response in time; received: ${this.received.toString("latin1").slice(0, 500)}`);
        }
    }

    /** Waits for the other side to close; false when it does not. */
    async closed(withinMs: number): Promise<boolean> {
        const deadline = Date.now() + withinMs;
        while (!this.isClosed) if (!(await this.activity(deadline))) return false;
        return true;
    }

    private activity(deadline: number): Promise<boolean> {
        return new Promise((resolve) => {
            const timer = setTimeout(() => resolve(false), Math.max(0, deadline - Date.now()));
            this.wake = () => {
                clearTimeout(timer);
                resolve(true);
            };
        });
    }
}

function parse(data: Buffer, isHead: boolean, isClosed: boolean): { reply: RawReply; length: number } | undefined {
    const end = data.indexOf("\r\n\r\n");
    if (end < 0) return undefined;
    const [first = "", ...lines] = data.subarray(0, end).toString("latin1").split("\r\n");
    const match = /^HTTP\/1\.[01] (\d{3})/.exec(first);
    if (!match) throw new Error(`not a status line: ${first}`);
    const status = Number(match[1]);
    const headers = new Headers();
    for (const line of lines) {
        const colon = line.indexOf(":");
        headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
    }
    const start = end + 4;
    const made = (bytes: Buffer, length: number) => ({ reply: { status, headers, bytes, text: bytes.toString("utf8") }, length });
    if (isHead || status < 200 || status === 204 || status === 304) return made(Buffer.alloc(0), start);
    if (/chunked/i.test(headers.get("transfer-encoding") ?? "")) {
        const parts: Buffer[] = [];
        for (let at = start; ;) {
            const line = data.indexOf("\r\n", at);
            if (line < 0) return undefined;
            const size = parseInt(data.subarray(at, line).toString("latin1"), 16);
            if (data.length < line + 2 + size + 2) return undefined;
            if (size === 0) return made(Buffer.concat(parts), line + 4);
            parts.push(data.subarray(line + 2, line + 2 + size));
            at = line + 2 + size + 2;
        }
    }
    const length = headers.get("content-length");
    if (length === null) return isClosed ? made(data.subarray(start), data.length) : undefined;
    if (data.length < start + Number(length)) return undefined;
    return made(data.subarray(start, start + Number(length)), start + Number(length));
}

/** One request on its own connection; the answer, or undefined when the server just closed. */
export async function exchange(port: number, request: string | Uint8Array, options: { isHead?: boolean } = {}): Promise<(RawReply & { isClosed: boolean }) | undefined> {
    const connection = await Connection.open(port);
    try {
        connection.write(request);
        const reply = await connection.response(options);
        if (!reply) return undefined;
        const isClosed = await connection.closed(/close/i.test(reply.headers.get("connection") ?? "") ? 2000 : 50);
        return { ...reply, isClosed };
    } finally {
        connection.destroy();
    }
}

/** As `exchange`, and the reply must be what the contract says of this method and target. */
export async function judged(port: number, method: string, target: string, lines: string[] = [], body = ""): Promise<RawReply & { isClosed: boolean }> {
    const head = [`${method} ${target} HTTP/1.1`, "Host: localhost", ...(body === "" ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]), ...lines];
    const reply = await exchange(port, `${head.join("\r\n")}\r\n\r\n${body}`, { isHead: method === "HEAD" });
    if (!reply) throw new Error(`${method} ${target}: the server closed without an answer`);
    judge({ method, target, status: reply.status, headers: reply.headers, bytes: reply.bytes });
    return reply;
}
