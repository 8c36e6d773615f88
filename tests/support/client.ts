// An HTTP client for tests: every reply is held against the contract before a test sees it.
import assert from "node:assert/strict";
import { judge } from "./contract.ts";

const REQUEST_MS = 30_000;

// A reply's JSON is whatever the contract says, and the contract was checked: tests read it freely.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Json = any;

export interface Reply {
    method: string;
    target: string;
    status: number;
    headers: Headers;
    bytes: Buffer;
    text: string;
    body: Json; // parsed when it is JSON
    operation: string | null;
}

export interface RequestOptions {
    query?: Record<string, string | number | boolean | undefined> | URLSearchParams;
    headers?: Record<string, string>;
    key?: string;      // Idempotency-Key
    ifMatch?: string;
    etag?: string;     // If-None-Match
    judge?: boolean;   // false: do not hold it against the contract
}

/** A body that goes out as it is, not as JSON of it. */
export class Raw {
    constructor(readonly bytes: string | Uint8Array, readonly type: string | null = "application/json") {}
}

export class Client {
    constructor(readonly url: string, readonly token: string | null = null) {}

    /** The same shop, as somebody else. */
    as(token: string | null): Client {
        return new Client(this.url, token);
    }

    async request(method: string, path: string, body?: unknown, options: RequestOptions = {}): Promise<Reply> {
        const headers: Record<string, string> = { "accept-encoding": "identity" }; // a reply is the same bytes from the cache and beside it
        if (this.token !== null) headers.authorization = `Bearer ${this.token}`;
        let bytes: Uint8Array | string | undefined;
        if (body instanceof Raw) {
            bytes = typeof body.bytes === "string" ? Buffer.from(body.bytes) : body.bytes;
            if (body.type !== null) headers["content-type"] = body.type;
        } else if (body !== undefined) {
            bytes = JSON.stringify(body);
            headers["content-type"] = "application/json";
        }
        if (options.key !== undefined) headers["idempotency-key"] = options.key;
        if (options.ifMatch !== undefined) headers["if-match"] = options.ifMatch;
        if (options.etag !== undefined) headers["if-none-match"] = options.etag;
        Object.assign(headers, options.headers);
        let target = path;
        if (options.query) {
            const query = options.query instanceof URLSearchParams
                ? options.query
                : new URLSearchParams(Object.entries(options.query).filter(([, value]) => value !== undefined).map(([name, value]) => [name, String(value)]));
            if (query.size > 0) target += `?${query}`;
        }
        const response = await fetch(this.url + target, {
            method, headers, redirect: "manual", signal: AbortSignal.timeout(REQUEST_MS),
            ...(bytes === undefined ? {} : { body: bytes as unknown as BodyInit }),
        });
        const received = Buffer.from(await response.arrayBuffer());
        const type = response.headers.get("content-type") ?? "";
        const seen = { method, target, status: response.status, headers: response.headers, bytes: received };
        const operation = options.judge === false ? null : judge(seen);
        const text = received.toString("utf8");
        return { ...seen, text, body: /json/.test(type) && text !== "" ? JSON.parse(text) : undefined, operation };
    }

    get(path: string, options?: RequestOptions): Promise<Reply> {
        return this.request("GET", path, undefined, options);
    }
    post(path: string, body?: unknown, options?: RequestOptions): Promise<Reply> {
        return this.request("POST", path, body, options);
    }
    put(path: string, body?: unknown, options?: RequestOptions): Promise<Reply> {
        return this.request("PUT", path, body, options);
    }
    patch(path: string, body?: unknown, options?: RequestOptions): Promise<Reply> {
        return this.request("PATCH", path, body, options);
    }
    delete(path: string, options?: RequestOptions): Promise<Reply> {
        return this.request("DELETE", path, undefined, options);
    }
}

const shown = (reply: Reply) => `${reply.method} ${reply.target} -> ${reply.status} ${reply.text.slice(0, 700)}`;

/** The reply has this status; answers `data` (or the whole body where it is bare). */
export function ok(reply: Reply, status = 200): Json {
    assert.equal(reply.status, status, shown(reply));
    return reply.body?.data ?? reply.body;
}

/** The reply is this problem, and names these fields (all of them, in any order, when given). */
export function refused(reply: Reply, status: number, code: string, fields?: string[]): Json {
    assert.equal(reply.status, status, shown(reply));
    assert.equal(reply.body?.code, code, shown(reply));
    if (fields) assert.deepEqual(fieldsOf(reply), [...fields].sort(), shown(reply));
    return reply.body;
}

export function fieldsOf(reply: Reply): string[] {
    return ((reply.body?.errors ?? []) as { field: string }[]).map((one) => one.field).sort();
}

/** The rule that was broken by a field. */
export function ruleOf(reply: Reply, field: string): string | undefined {
    return ((reply.body?.errors ?? []) as { field: string; code: string }[]).find((one) => one.field === field)?.code;
}

/** A 400 VALIDATION_ERROR that names exactly these fields. */
export function invalid(reply: Reply, ...fields: string[]): Json {
    return refused(reply, 400, "VALIDATION_ERROR", fields);
}

export function etagOf(reply: Reply): string {
    const tag = reply.headers.get("etag");
    assert.ok(tag, `no ETag: ${shown(reply)}`);
    return tag;
}
