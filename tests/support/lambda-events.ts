// What the HTTP fronts of Lambda make of a request, and of a function's answer: REST API (format 1.0), HTTP API (2.0), function URL and
// load balancer. After AWS's documentation: "Set up Lambda proxy integrations in API Gateway", "Create AWS Lambda proxy integrations for
// HTTP APIs", "Invoking Lambda function URLs", "Use Lambda functions as targets of an Application Load Balancer".
import { randomUUID } from "node:crypto";

export const FRONTS = ["rest", "http", "url", "alb", "alb-multi"] as const;
export type Front = typeof FRONTS[number];

export interface FrontRequest {
    method: string;
    target: string;           // as it was sent
    headers: [string, string][];
    body: Buffer;
    address: string;
}

export interface FrontReply {
    status: number;
    headers: [string, string][];
    body: Buffer;
}

const STAGE = "prod";
const isUtf8 = (bytes: Buffer) => Buffer.from(bytes.toString("utf8"), "utf8").equals(bytes);

function group(pairs: [string, string][]): Record<string, string[]> {
    const lists: Record<string, string[]> = {};
    for (const [name, value] of pairs) (lists[name] ??= []).push(value);
    return lists;
}

const lastOf = (lists: Record<string, string[]>) => Object.fromEntries(Object.entries(lists).map(([name, values]) => [name, values.at(-1)!]));
const orNull = <T extends object>(object: T) => (Object.keys(object).length > 0 ? object : null);

function splitTarget(target: string): { path: string; query: string } {
    const mark = target.indexOf("?");
    return mark < 0 ? { path: target, query: "" } : { path: target.slice(0, mark), query: target.slice(mark + 1) };
}

/** name=value, not unescaped. */
function pairsOf(query: string): [string, string][] {
    return query.split("&").filter((part) => part !== "").map((part) => {
        const mark = part.indexOf("=");
        return mark < 0 ? [part, ""] : [part.slice(0, mark), part.slice(mark + 1)];
    });
}

/** An escape that is none stays, as it is. */
function unescape(text: string): string {
    try {
        return decodeURIComponent(text.replaceAll("+", " "));
    } catch {
        return text;
    }
}

/** What every front puts in front of the function. */
function forwarded(request: FrontRequest, lowerCase: boolean): [string, string][] {
    const sent = request.headers.filter(([name]) => name.toLowerCase() === "x-forwarded-for").map(([, value]) => value);
    const others = request.headers.filter(([name]) => !/^(x-forwarded-(for|port|proto)|connection|transfer-encoding|keep-alive)$/i.test(name));
    const added: [string, string][] = [["X-Forwarded-For", [...sent, request.address].join(", ")], ["X-Forwarded-Port", "443"], ["X-Forwarded-Proto", "https"]];
    return [...others, ...added].map(([name, value]) => [lowerCase ? name.toLowerCase() : name, value]);
}

function restEvent(request: FrontRequest): object {
    const { path, query } = splitTarget(request.target);
    const headers = group(forwarded(request, false));
    const parameters = group(pairsOf(query).map(([name, value]) => [unescape(name), unescape(value)]));
    const requestId = randomUUID();
    return {
        resource: "/{proxy+}", path, httpMethod: request.method, headers: lastOf(headers), multiValueHeaders: headers,
        queryStringParameters: orNull(lastOf(parameters)), multiValueQueryStringParameters: orNull(parameters),
        pathParameters: { proxy: path.replace(/^\/+/, "") }, stageVariables: null,
        requestContext: {
            accountId: "123456789012", apiId: "id", domainName: "id.execute-api.eu-west-1.amazonaws.com", domainPrefix: "id", extendedRequestId: requestId,
            httpMethod: request.method, identity: { accessKey: null, accountId: null, apiKey: null, caller: null, sourceIp: request.address, user: null, userAgent: null, userArn: null },
            path: `/${STAGE}${path}`, protocol: "HTTP/1.1", requestId, requestTime: "09/Apr/2015:12:34:56 +0000", requestTimeEpoch: 1428582896000,
            resourceId: "123456", resourcePath: "/{proxy+}", stage: STAGE,
        },
        // binaryMediaTypes */*
        body: request.body.length > 0 ? request.body.toString("base64") : null, isBase64Encoded: request.body.length > 0,
    };
}

const TEXT_TYPE = /^(text\/|application\/(json|javascript|xml|vnd\.api\+json|[^;]*\+json|[^;]*\+xml))/i;

function bodyMembers(request: FrontRequest): object {
    if (request.body.length === 0) return { isBase64Encoded: false };
    const type = request.headers.find(([name]) => name.toLowerCase() === "content-type")?.[1] ?? "";
    const isText = TEXT_TYPE.test(type) && isUtf8(request.body) && !request.headers.some(([name]) => name.toLowerCase() === "content-encoding");
    return { body: request.body.toString(isText ? "utf8" : "base64"), isBase64Encoded: !isText };
}

function httpEvent(request: FrontRequest, isUrl: boolean): object {
    const { path, query } = splitTarget(request.target);
    const stage = isUrl ? "$default" : STAGE;
    const rawPath = isUrl ? path : `/${STAGE}${path}`;
    const lists = group(forwarded(request, true));
    const cookies = (lists.cookie ?? []).flatMap((line) => line.split(/;\s*/));
    delete lists.cookie;
    const parameters = group(pairsOf(query).map(([name, value]) => [unescape(name), unescape(value)]));
    const joined = (all: Record<string, string[]>) => Object.fromEntries(Object.entries(all).map(([name, values]) => [name, values.join(",")]));
    const domain = isUrl ? "id.lambda-url.eu-west-1.on.aws" : "id.execute-api.eu-west-1.amazonaws.com";
    return {
        version: "2.0", routeKey: "$default", rawPath, rawQueryString: query,
        ...(cookies.length > 0 ? { cookies } : {}), headers: joined(lists),
        ...(query !== "" ? { queryStringParameters: joined(parameters) } : {}),
        requestContext: {
            accountId: isUrl ? "anonymous" : "123456789012", apiId: "id", domainName: domain, domainPrefix: "id",
            http: { method: request.method, path: rawPath, protocol: "HTTP/1.1", sourceIp: request.address, userAgent: "agent" },
            requestId: randomUUID(), routeKey: "$default", stage, time: "12/Mar/2020:19:03:58 +0000", timeEpoch: 1583348638390,
        },
        ...bodyMembers(request),
    };
}

function albEvent(request: FrontRequest, isMulti: boolean): object {
    const { path, query } = splitTarget(request.target);
    const headers = group(forwarded(request, true));
    const parameters = group(pairsOf(query));
    return {
        requestContext: { elb: { targetGroupArn: "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/souk/6d0ecf831eec9f09" } },
        httpMethod: request.method, path,
        ...(isMulti ? { multiValueQueryStringParameters: parameters, multiValueHeaders: headers }
            : { queryStringParameters: lastOf(parameters), headers: lastOf(headers) }),
        body: "", isBase64Encoded: false, ...bodyMembers(request),
    };
}

export function eventOf(front: Front, request: FrontRequest): object {
    switch (front) {
        case "rest": return restEvent(request);
        case "http": return httpEvent(request, false);
        case "url": return httpEvent(request, true);
        case "alb": return albEvent(request, false);
        case "alb-multi": return albEvent(request, true);
    }
}

interface Answer {
    statusCode?: unknown;
    headers?: Record<string, unknown>;
    multiValueHeaders?: Record<string, unknown[]>;
    cookies?: string[];
    body?: unknown;
    isBase64Encoded?: unknown;
}

/** Throws where the front would answer 502. */
export function replyOf(front: Front, posted: Buffer, streamed: boolean): FrontReply {
    let text = posted.toString("utf8");
    let rest: Buffer | undefined;
    if (streamed) { // "metadata JSON, eight NUL bytes, payload"; the delimiter lies within the first 16 KB
        const end = posted.indexOf(Buffer.alloc(8));
        if (end < 0 || end > 16384) throw new Error("no delimiter behind the metadata");
        text = posted.subarray(0, end).toString("utf8");
        rest = posted.subarray(end + 8);
    }
    const answer = JSON.parse(text) as Answer;
    const known = new Set(["statusCode", "headers", "multiValueHeaders", "cookies", "body", "isBase64Encoded", "statusDescription"]);
    for (const name of Object.keys(answer)) if (!known.has(name)) throw new Error(`an answer has no ${name}`);
    if (typeof answer.statusCode !== "number" || !Number.isInteger(answer.statusCode)) throw new Error("statusCode must be a whole number");
    const headers: [string, string][] = [];
    const takesLists = front === "rest" || front === "alb-multi";
    for (const [name, value] of Object.entries((takesLists && front !== "rest" ? {} : answer.headers) ?? {})) headers.push([name, String(value)]);
    for (const [name, values] of Object.entries((takesLists ? answer.multiValueHeaders : {}) ?? {})) for (const value of values) headers.push([name, String(value)]);
    if (front === "http" || front === "url") for (const cookie of answer.cookies ?? []) headers.push(["Set-Cookie", cookie]);
    for (const [name, value] of headers) if (typeof name !== "string" || /[\r\n]/.test(value)) throw new Error("a header that is none");
    if (rest === undefined) {
        if (answer.body !== undefined && typeof answer.body !== "string") throw new Error("body must be a string");
        rest = Buffer.from((answer.body as string | undefined) ?? "", answer.isBase64Encoded === true ? "base64" : "utf8");
    }
    return { status: answer.statusCode, headers, body: rest };
}
