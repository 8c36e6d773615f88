// How a call travels: one fetch, JSON in and out, problems as errors. Written by hand; client.ts is generated on top of it.
import { SoukError } from "./error.ts";

export interface ClientOptions {
    /** Where the shop is, such as `https://shop.example.com`. Default: the page's own origin (an empty text). */
    baseUrl?: string;
    /** Asked before each call for an access token; answer undefined to call without. */
    token?: () => string | undefined | Promise<string | undefined>;
    /** Another fetch: for tests, or to add retries and tracing around it. */
    fetch?: typeof globalThis.fetch;
    /** Sent with each call. */
    headers?: Record<string, string>;
    /** `include` lets a browser send and keep the refresh cookie on another origin. */
    credentials?: RequestCredentials;
}

export interface CallOptions {
    signal?: AbortSignal;
    headers?: Record<string, string>;
}

export interface IdempotentOptions extends CallOptions {
    /** Makes a POST safe to repeat for 24 hours: send the same key with the same body. */
    idempotencyKey?: string;
}

export interface MatchOptions extends CallOptions {
    /** The ETag that this change is based on; the call fails with 412 when the resource has moved since. */
    ifMatch?: string;
}

/** What came beside the body. */
export interface ReplyMeta {
    status: number;
    requestId: string | undefined;
    etag: string | undefined;
    location: string | undefined;
    /** True when this is the stored answer to an earlier call with the same idempotency key. */
    isReplayed: boolean;
}

/** The reply's own members (`data`, `pagination`), and `meta`. */
export type Reply<Body> = Body & { meta: ReplyMeta };

/** One call, as a generated method describes it. */
export interface Call {
    method: string;
    path: string;
    /** The path's names with their values, such as `{ id: "..." }`. */
    pathValues?: Record<string, string | number>;
    query?: Record<string, string | number | boolean | undefined>;
    body?: unknown;
    options?: (IdempotentOptions & MatchOptions) | undefined;
    /** The reply is no JSON: it arrives as `text`. */
    isText?: boolean;
}

export class Transport {
    constructor(private readonly options: ClientOptions) {}

    async call<Body>(call: Call): Promise<Reply<Body>> {
        const send = this.options.fetch ?? globalThis.fetch;
        const init: RequestInit = { method: call.method, headers: await this.headersOf(call) };
        if (call.body !== undefined) init.body = JSON.stringify(call.body);
        if (call.options?.signal) init.signal = call.options.signal;
        if (this.options.credentials) init.credentials = this.options.credentials;
        const response = await send(this.urlOf(call), init);
        if (!response.ok) throw await SoukError.from(response);
        return { ...(await bodyOf(response, call.isText === true)), meta: metaOf(response) } as Reply<Body>;
    }

    private async headersOf(call: Call): Promise<Record<string, string>> {
        const headers: Record<string, string> = { ...this.options.headers, ...call.options?.headers };
        if (!call.isText) headers["Accept"] = "application/json";
        if (call.body !== undefined) headers["Content-Type"] = "application/json";
        if (call.options?.idempotencyKey !== undefined) headers["Idempotency-Key"] = call.options.idempotencyKey;
        if (call.options?.ifMatch !== undefined) headers["If-Match"] = call.options.ifMatch;
        const token = await this.options.token?.();
        if (token !== undefined) headers["Authorization"] = `Bearer ${token}`;
        return headers;
    }

    private urlOf({ path, pathValues = {}, query = {} }: Call): string {
        const filled = path.replace(/\{([^}]+)\}/g, (_, name: string) => {
            const value = String(pathValues[name] ?? "");
            // An empty value or a dot would make another path of it.
            if (value === "" || value === "." || value === "..") throw new TypeError(`${name} must be a value of the path`);
            return encodeURIComponent(value);
        });
        const parameters = new URLSearchParams();
        for (const [name, value] of Object.entries(query)) {
            if (value !== undefined) parameters.append(name, String(value));
        }
        const text = parameters.toString();
        return `${(this.options.baseUrl ?? "").replace(/\/+$/, "")}${filled}${text ? `?${text}` : ""}`;
    }
}

async function bodyOf(response: Response, isText: boolean): Promise<object> {
    if (response.status === 204) return {};
    if (isText) return { text: await response.text() };
    const body: unknown = await response.json();
    if (body === null || typeof body !== "object") throw new TypeError("the reply is not a JSON object");
    return body;
}

function metaOf({ status, headers }: Response): ReplyMeta {
    return {
        status,
        requestId: headers.get("X-Request-Id") ?? undefined,
        etag: headers.get("ETag") ?? undefined,
        location: headers.get("Location") ?? undefined,
        isReplayed: headers.get("Idempotent-Replayed") === "true",
    };
}
