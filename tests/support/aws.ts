// What souk calls of AWS, on a free port of this machine: Secrets Manager, SES, SQS, and the endpoint where a container gets its
// role's credentials. Every signature is checked by the signer of AWS's own SDK; tests/api/aws.test.ts holds the whole to the SDK's clients.
import { Sha256 } from "@aws-crypto/sha256-js";
import { SignatureV4 } from "@smithy/signature-v4";
import { createHash, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server as HttpServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export const REGION = "eu-west-1";
const SKEW_MS = 15 * 60_000; // how old a signature may be

export interface Credentials {
    accessKeyId: string;
    secretAccessKey: string;
    sessionToken?: string;
    expiresAt?: number; // then they are refused; milliseconds
}

export interface Call {
    service: string;
    operation: string;
    input: Record<string, any>;
    accessKeyId: string;
}

export interface Mail {
    from: string;
    to: string[];
    text: string; // the whole message
}

/** What becomes of a call: nothing special, an error, or no answer at all. */
export type Fault = undefined | { status: number; type: string; message?: string } | "hang up" | "stall";

class AwsError extends Error {
    constructor(readonly status: number, readonly type: string, message = type) {
        super(message);
    }
}

export class Aws {
    /** Those that are good, by their ids. */
    readonly keys = new Map<string, Credentials>();
    /** By ARN: the text. */
    readonly secrets = new Map<string, string>();
    readonly mails: Mail[] = [];
    readonly messages: { queue: string; body: string; id: string }[] = [];
    /** Every call with a good signature, failed or not. */
    readonly calls: Call[] = [];
    /** How often the container's endpoint was asked, and what it gives. */
    asked = 0;
    role: () => Credentials | undefined = () => undefined;
    roleToken = "token of the container";
    connections = 0;
    onCall: (call: Call) => Fault = () => undefined;
    private constructor(private readonly server: HttpServer, readonly url: string) {}

    static async start(): Promise<Aws> {
        // eslint-disable-next-line prefer-const
        let self: Aws;
        const server = createServer((request, response) => void self.answer(request, response));
        server.on("connection", () => { self.connections++; });
        await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
        self = new Aws(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
        return self;
    }

    /** New credentials that are good until the test says otherwise. */
    key(change: Partial<Credentials> = {}): Credentials {
        const made = { accessKeyId: `AKIA${randomUUID().slice(0, 8)}`, secretAccessKey: `secret/${randomUUID()}+`, ...change };
        this.keys.set(made.accessKeyId, made);
        return made;
    }

    /** A secret; its ARN. */
    secret(name: string, value: unknown): string {
        const arn = `arn:aws:secretsmanager:${REGION}:123456789012:secret:${name}-AbCdEf`;
        this.secrets.set(arn, typeof value === "string" ? value : JSON.stringify(value));
        return arn;
    }

    /** The settings of a souk that calls it. */
    env(key: Credentials, change: Record<string, string> = {}): Record<string, string> {
        return {
            AWS_REGION: REGION, AWS_ENDPOINT_URL: this.url, AWS_ACCESS_KEY_ID: key.accessKeyId, AWS_SECRET_ACCESS_KEY: key.secretAccessKey,
            ...(key.sessionToken ? { AWS_SESSION_TOKEN: key.sessionToken } : {}), ...change,
        };
    }

    called(operation: string): Call[] {
        return this.calls.filter((call) => call.operation === operation);
    }

    async stop(): Promise<void> {
        this.server.closeAllConnections();
        await new Promise<void>((resolve) => this.server.close(() => resolve()));
    }

    private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
        const parts: Buffer[] = [];
        for await (const part of request) parts.push(part as Buffer);
        const body = Buffer.concat(parts);
        try {
            if (request.method === "GET" && request.url === "/role") return this.answerRole(request, response);
            const call = { ...operationOf(request), input: {}, accessKeyId: "" } as Call;
            call.accessKeyId = await this.verify(request, body, call.service);
            call.input = JSON.parse(body.toString("utf8") || "{}") as Record<string, any>;
            this.calls.push(call);
            const fault = this.onCall(call);
            if (fault === "stall") return;
            if (fault === "hang up") {
                this.perform(call); // it was done; only its sender does not learn it
                request.socket.destroy();
                return;
            }
            if (fault) throw new AwsError(fault.status, fault.type, fault.message);
            send(response, 200, this.perform(call));
        } catch (error) {
            const known = error instanceof AwsError ? error : new AwsError(500, "InternalFailure", String(error));
            // SES says the name in a header, the others in the body.
            if (request.url?.startsWith("/v2/")) response.setHeader("x-amzn-ErrorType", `${known.type}:http://internal.amazon.com/coral/`);
            send(response, known.status, request.url?.startsWith("/v2/") ? { message: known.message } : { __type: `com.amazonaws#${known.type}`, message: known.message });
        }
    }

    private answerRole(request: IncomingMessage, response: ServerResponse): void {
        this.asked++;
        const role = request.headers.authorization === this.roleToken ? this.role() : undefined;
        if (!role) return send(response, 403, { code: "no", message: "no" });
        const { accessKeyId, secretAccessKey, sessionToken, expiresAt } = role;
        send(response, 200, { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, Token: sessionToken ?? "",
            ...(expiresAt ? { Expiration: new Date(expiresAt).toISOString().replace(/\.\d+Z$/, "Z") } : {}) });
    }

    /** By signing it again with what this side knows of the key. */
    private async verify(request: IncomingMessage, body: Buffer, service: string): Promise<string> {
        const authorization = request.headers.authorization ?? "";
        const match = /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(authorization);
        if (!match) throw new AwsError(400, "IncompleteSignature");
        const [, id, day, region, signedService, names] = match as unknown as string[];
        const key = this.keys.get(id!);
        const time = String(request.headers["x-amz-date"] ?? "");
        const date = new Date(time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
        const signed = names!.split(";");
        if (!key) throw new AwsError(400, "UnrecognizedClientException");
        if (Number.isNaN(date.getTime()) || Math.abs(date.getTime() - Date.now()) > SKEW_MS || !time.startsWith(day!) || region !== REGION || signedService !== service)
            throw new AwsError(400, "InvalidSignatureException", "wrong scope");
        for (const wanted of ["host", "x-amz-date", ...(key.sessionToken ? ["x-amz-security-token"] : [])])
            if (!signed.includes(wanted)) throw new AwsError(400, "InvalidSignatureException", `${wanted} is not signed`);
        const given = request.headers["x-amz-content-sha256"];
        if (given && given !== createHash("sha256").update(body).digest("hex")) throw new AwsError(400, "InvalidSignatureException", "another body");
        const { sessionToken, ...pair } = key;
        const signer = new SignatureV4({ credentials: { ...pair, ...(sessionToken ? { sessionToken } : {}) }, region, service, sha256: Sha256, applyChecksum: false });
        const headers = Object.fromEntries(signed.map((name) => [name, String(request.headers[name] ?? "")]));
        const expected = await signer.sign({ method: request.method!, protocol: "http:", hostname: "127.0.0.1", path: request.url!, headers, body },
            { signingDate: date, signableHeaders: new Set(signed), unsignableHeaders: new Set() });
        if (expected.headers["authorization"] !== authorization || (key.sessionToken && request.headers["x-amz-security-token"] !== key.sessionToken))
            throw new AwsError(400, "InvalidSignatureException", "The request signature we calculated does not match");
        if (key.expiresAt && key.expiresAt <= Date.now()) throw new AwsError(400, "ExpiredTokenException");
        return id!;
    }

    private perform(call: Call): unknown {
        const { input } = call;
        switch (call.operation) {
            case "GetSecretValue": {
                const text = this.secrets.get(input.SecretId);
                if (text === undefined) throw new AwsError(400, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.");
                return { ARN: input.SecretId, Name: "souk", VersionId: randomUUID(), SecretString: text, VersionStages: ["AWSCURRENT"], CreatedDate: 1 };
            }
            case "SendEmail": {
                const text = Buffer.from(String(input.Content.Raw.Data), "base64").toString("utf8");
                if (!/^[^\r\n]/.test(text) || !text.includes("\r\n\r\n")) throw new AwsError(400, "BadRequestException", "no message");
                this.mails.push({ from: input.FromEmailAddress, to: input.Destination.ToAddresses, text });
                return { MessageId: randomUUID() };
            }
            case "SendMessage": {
                const id = randomUUID();
                this.messages.push({ queue: input.QueueUrl, body: input.MessageBody, id });
                return { MessageId: id, MD5OfMessageBody: createHash("md5").update(input.MessageBody).digest("hex") };
            }
        }
        throw new AwsError(400, "UnknownOperationException");
    }
}

function operationOf(request: IncomingMessage): { service: string; operation: string } {
    const [prefix, operation] = String(request.headers["x-amz-target"] ?? ".").split(".");
    const type = request.headers["content-type"];
    if (request.method === "POST" && request.url === "/v2/email/outbound-emails" && type === "application/json") return { service: "ses", operation: "SendEmail" };
    if (request.method === "POST" && request.url === "/" && prefix === "secretsmanager" && type === "application/x-amz-json-1.1") return { service: "secretsmanager", operation: operation! };
    if (request.method === "POST" && request.url === "/" && prefix === "AmazonSQS" && type === "application/x-amz-json-1.0") return { service: "sqs", operation: operation! };
    throw new AwsError(404, "UnknownOperationException", `${request.method} ${request.url}`);
}

function send(response: ServerResponse, status: number, body: unknown): void {
    response.writeHead(status, { "Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": randomUUID() });
    response.end(JSON.stringify(body));
}
