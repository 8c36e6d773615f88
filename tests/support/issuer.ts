// An identity provider of the tests' own: HTTPS with an authority of ours, discovery, keys, userinfo, and what it may do wrong. It
// signs with node's crypto; what it signs rightly is held against `jose` once (tests/api/issuer.test.ts).
import { createHmac, generateKeyPairSync, randomUUID, sign, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import { makeCertificates } from "./certificates.ts";
import { temporaryFolder } from "./processes.ts";

export type Claims = Record<string, unknown>;
export interface Key {
    kid: string;
    alg: "RS256" | "ES256";
    privateKey: KeyObject;
    publicKey: KeyObject;
}

export const AUDIENCE = "https://shop.example/api";
export const POOL = "test-region_Pool1";
export const CLIENT_ID = "the-app-client";

export function rsaKey(kid: string, bits = 2048): Key {
    return { kid, alg: "RS256", ...generateKeyPairSync("rsa", { modulusLength: bits }) };
}

export function ecKey(kid: string, namedCurve = "P-256"): Key {
    return { kid, alg: "ES256", ...generateKeyPairSync("ec", { namedCurve }) };
}

export const jwkOf = (key: Key, extra: Claims = {}): Claims =>
    ({ ...key.publicKey.export({ format: "jwk" }), kid: key.kid, alg: key.alg, use: "sig", ...extra });

export const base64url = (data: string | Buffer): string => Buffer.from(data).toString("base64url");
const part = (value: unknown): string => base64url(typeof value === "string" ? value : JSON.stringify(value));

/** The raw signature of a JWS. */
export function signatureOf(key: Key, input: string): Buffer {
    return key.alg === "RS256" ? sign("sha256", Buffer.from(input), key.privateKey)
        : sign("sha256", Buffer.from(input), { key: key.privateKey, dsaEncoding: "ieee-p1363" });
}

/** header and claims are objects, or JSON texts as they are. */
export function token(key: Key, claims: unknown, header: unknown = { alg: key.alg, kid: key.kid, typ: "at+jwt" }): string {
    const input = `${part(header)}.${part(claims)}`;
    return `${input}.${base64url(signatureOf(key, input))}`;
}

export function hmacToken(secret: string | Buffer, claims: unknown, header: unknown): string {
    const input = `${part(header)}.${part(claims)}`;
    return `${input}.${base64url(createHmac("sha256", secret).update(input).digest())}`;
}

export const nowSeconds = (): number => Math.floor(Date.now() / 1000);

export type Mode = "good" | "down" | "slow" | "stalled" | "huge" | "garbage" | "empty" | "redirect" | "error";

export class Issuer {
    mode: Mode = "good";
    rsa = rsaKey("rsa-1");
    ec = ecKey("ec-1");
    /** What the set holds beside the two. */
    extra: Claims[] = [];
    published: () => Claims[] = () => [jwkOf(this.rsa), jwkOf(this.ec), ...this.extra];
    /** What userinfo and GetUser tell of a subject. */
    profiles = new Map<string, Claims>();
    discovery: Claims = {};
    keyReads = 0;
    /** Calls of Cognito's operations that the tests answer themselves: name -> status and body. */
    operations = new Map<string, (body: Claims) => { status: number; body: Claims }>();
    port = 0;
    private server!: Server;
    private constructor(private readonly files: { certificate: string; key: string }, readonly caFile: string, private readonly release: () => void) {}

    static async start(): Promise<Issuer> {
        const { folder, release } = temporaryFolder();
        const files = makeCertificates(folder);
        const issuer = new Issuer(files, files.authority, release);
        await issuer.listen();
        return issuer;
    }

    private listen(): Promise<void> {
        this.server = createServer({ cert: readFileSync(this.files.certificate), key: readFileSync(this.files.key) },
            (request, response) => void this.answer(request, response).catch(() => response.destroy()));
        return new Promise((resolve) => this.server.listen(this.port, "127.0.0.1", () => {
            this.port = (this.server.address() as { port: number }).port;
            resolve();
        }));
    }

    get url(): string {
        return `https://127.0.0.1:${this.port}`;
    }

    /** The settings of a souk that believes it. */
    env(provider: "oidc" | "cognito", change: Record<string, string> = {}): Record<string, string> {
        const common = { AUTH_PROVIDER: provider, SOUK_CA_FILE: this.caFile, SOUK_JWKS_INTERVAL_MS: "200" };
        const own = provider === "oidc" ? { AUTH_ISSUER: this.url, AUTH_AUDIENCE: AUDIENCE }
            : { COGNITO_ENDPOINT: this.url, COGNITO_USER_POOL_ID: POOL, COGNITO_CLIENT_ID: CLIENT_ID };
        return { ...common, ...own, ...change };
    }

    issuerOf(provider: "oidc" | "cognito"): string {
        return provider === "oidc" ? this.url : `https://cognito-idp.test-region.amazonaws.com/${POOL}`;
    }

    /** The claims of a good access token. */
    claims(provider: "oidc" | "cognito", change: Claims = {}): Claims {
        const now = nowSeconds();
        const own = provider === "oidc" ? { aud: AUDIENCE, client_id: "some-app", scope: "openid" }
            : { client_id: CLIENT_ID, token_use: "access", username: "amina", origin_jti: randomUUID() };
        return { iss: this.issuerOf(provider), sub: "subject-1", iat: now, exp: now + 600, jti: randomUUID(), ...own, ...change };
    }

    good(provider: "oidc" | "cognito", change: Claims = {}, key: Key = this.rsa): string {
        return token(key, this.claims(provider, change));
    }

    private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
        const send = (status: number, body: unknown, headers: Record<string, string> = {}) => {
            response.writeHead(status, { "content-type": "application/json", ...headers });
            response.end(typeof body === "string" ? body : JSON.stringify(body));
        };
        const parts: Buffer[] = [];
        for await (const chunk of request) parts.push(chunk as Buffer);
        const path = request.url ?? "";
        if (request.method === "POST") {
            const name = String(request.headers["x-amz-target"]).split(".")[1]!;
            const body = JSON.parse(Buffer.concat(parts).toString()) as Claims;
            const answer = this.operations.get(name)?.(body) ?? this.operation(name, body);
            return send(answer.status, answer.body);
        }
        if (path === "/userinfo") {
            const claims = claimsOf(String(request.headers.authorization).slice(7));
            return send(200, { sub: claims.sub, ...this.profiles.get(String(claims.sub)) });
        }
        if (path === "/.well-known/openid-configuration")
            return send(200, { issuer: this.url, jwks_uri: `${this.url}/jwks`, userinfo_endpoint: `${this.url}/userinfo`, ...this.discovery });
        if (path !== "/jwks" && path !== `/${POOL}/.well-known/jwks.json`) return send(404, {});
        this.keyReads++;
        const keys = { keys: this.published() };
        switch (this.mode) {
            case "good": return send(200, keys);
            case "slow": await new Promise((resolve) => setTimeout(resolve, 700)); return send(200, keys);
            case "stalled": return;
            case "huge": return send(200, JSON.stringify({ ...keys, padding: "x".repeat(2 << 20) }));
            case "garbage": return send(200, "<html>{\"keys\":");
            case "empty": return send(200, { keys: [] });
            case "redirect": return send(302, {}, { location: `${this.url}/elsewhere` });
            case "error": return send(500, keys);
            case "down": response.destroy();
        }
    }

    private operation(name: string, body: Claims): { status: number; body: Claims } {
        if (name !== "GetUser") return { status: 400, body: { __type: "InvalidParameterException" } };
        const profile = this.profiles.get(String(claimsOf(String(body.AccessToken)).sub)) ?? {};
        return { status: 200, body: { UserAttributes: Object.entries(profile).map(([Name, value]) => ({ Name, Value: String(value) })) } };
    }

    /** Nobody listens on its port any more. */
    goAway(): Promise<void> {
        this.server.closeAllConnections();
        return new Promise((resolve) => this.server.close(() => resolve()));
    }

    comeBack(): Promise<void> {
        return this.listen();
    }

    async stop(): Promise<void> {
        await this.goAway();
        this.release();
    }
}

export const claimsOf = (text: string): Claims => JSON.parse(Buffer.from(text.split(".")[1] ?? "", "base64url").toString()) as Claims;
