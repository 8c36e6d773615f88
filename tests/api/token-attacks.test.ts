// Every way that we know of to pass a token that is none of the issuer's for this shop. Each is refused beside a control: a token made
// the same way, rightly, which passes.
//
// Whoever attacks our own tokens has no key of ours: what a rightly signed token of ours may hold is in tests/unit/auth/token_test.c.
import assert from "node:assert/strict";
import { createHmac, sign } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { Client, refused } from "../support/client.ts";
import { AUDIENCE, CLIENT_ID, Issuer, base64url, ecKey, hmacToken, jwkOf, nowSeconds, rsaKey, signatureOf, token, type Claims, type Key } from "../support/issuer.ts";
import { Server } from "../support/server.ts";
import { Shop } from "../support/shop.ts";

interface World {
    provider: "oidc" | "cognito";
    issuer: Issuer;
    keys: Record<"small" | "p384" | "encrypting" | "twice" | "private" | "other" | "stranger" | "strangerEc", Key>;
}
type Attack = (world: World) => string;

const pieces = (text: string) => text.split(".") as [string, string, string];
/** A good token whose header, or claims, are others. */
const withHeader = (change: Claims | string, key?: (world: World) => Key): Attack => (world) => {
    const signer = key?.(world) ?? world.issuer.rsa;
    const header = typeof change === "string" ? change : { alg: signer.alg, kid: signer.kid, typ: "at+jwt", ...change };
    return token(signer, world.issuer.claims(world.provider), header);
};
const withClaims = (change: Claims | ((world: World) => Claims)): Attack => (world) =>
    world.issuer.good(world.provider, typeof change === "function" ? change(world) : change);
/** The claims as JSON text, edited. */
const withText = (edit: (text: string) => string): Attack => (world) => token(world.issuer.rsa, edit(JSON.stringify(world.issuer.claims(world.provider))));
const edited = (edit: (parts: [string, string, string], whole: string) => string): Attack => (world) => {
    const whole = world.issuer.good(world.provider);
    return edit(pieces(whole), whole);
};
const unsigned = (alg: unknown): Attack => (world) =>
    `${base64url(JSON.stringify({ alg, kid: "rsa-1", typ: "at+jwt" }))}.${pieces(world.issuer.good(world.provider))[1]}.`;
const signedBy = (pick: (world: World) => Key, header: (key: Key, world: World) => Claims = () => ({})): Attack => (world) => {
    const key = pick(world);
    return token(key, world.issuer.claims(world.provider), { alg: key.alg, kid: key.kid, typ: "at+jwt", ...header(key, world) });
};
const hmac = (secret: (world: World) => string | Buffer): Attack => (world) =>
    hmacToken(secret(world), world.issuer.claims(world.provider), { alg: "HS256", kid: "rsa-1", typ: "at+jwt" });
/** An ES256 token with another signature over the same input. */
const es256 = (signature: (input: string, key: Key) => Buffer): Attack => (world) => {
    const key = world.issuer.ec;
    const input = token(key, world.issuer.claims(world.provider)).split(".").slice(0, 2).join(".");
    return `${input}.${base64url(signature(input, key))}`;
};
const lastBits = (text: string): string => { // another spelling of the same bytes: the last character's unused bits
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const at = alphabet.indexOf(text.at(-1)!);
    return text.slice(0, -1) + alphabet[at ^ 1]!;
};
const deep = (levels: number) => "[".repeat(levels) + "]".repeat(levels);

const ATTACKS: Record<string, Attack> = {
    // the algorithm
    "alg none without a signature": unsigned("none"),
    "alg None": unsigned("None"),
    "alg NONE": unsigned("NONE"),
    "alg nOnE": unsigned("nOnE"),
    "alg empty": unsigned(""),
    "alg null": unsigned(null),
    "alg a list": unsigned(["RS256"]),
    "alg none with a good signature": withHeader({ alg: "none" }),
    "no alg": withHeader("{\"kid\":\"rsa-1\",\"typ\":\"at+jwt\"}"),
    "alg rs256 in lower case": withHeader({ alg: "rs256" }),
    "alg RS256 with a space": withHeader({ alg: "RS256 " }),
    "alg RS384": withHeader({ alg: "RS384" }),
    "alg PS256": withHeader({ alg: "PS256" }),
    "HS256 with the public key's PEM": hmac(({ issuer }) => issuer.rsa.publicKey.export({ type: "spki", format: "pem" })),
    "HS256 with the public key's DER": hmac(({ issuer }) => issuer.rsa.publicKey.export({ type: "spki", format: "der" })),
    "HS256 with the JWK": hmac(({ issuer }) => JSON.stringify(jwkOf(issuer.rsa))),
    "HS256 with the modulus": hmac(({ issuer }) => Buffer.from(String(jwkOf(issuer.rsa).n), "base64url")),
    "HS256 with nothing": hmac(() => ""),
    "HS256 with the symmetric key of the set": (world) =>
        hmacToken("a symmetric key of the set!", world.issuer.claims(world.provider), { alg: "HS256", kid: "symmetric", typ: "at+jwt" }),
    "RS256 by the kid of the EC key": withHeader({ kid: "ec-1" }),
    "ES256 by the kid of the RSA key": signedBy(({ issuer }) => issuer.ec, () => ({ kid: "rsa-1" })),
    "an RSA signature called ES256": withHeader({ alg: "ES256", kid: "ec-1" }),
    "an EC signature called RS256": signedBy(({ issuer }) => issuer.ec, () => ({ alg: "RS256" })),
    // the key
    "a stranger's key under the issuer's kid": signedBy(({ keys }) => keys.stranger, () => ({ kid: "rsa-1" })),
    "a stranger's EC key under the issuer's kid": signedBy(({ keys }) => keys.strangerEc, () => ({ kid: "ec-1" })),
    "a stranger's key under its own kid": signedBy(({ keys }) => keys.stranger),
    "no kid": withHeader("{\"alg\":\"RS256\",\"typ\":\"at+jwt\"}"),
    "kid empty": withHeader({ kid: "" }),
    "kid a number": withHeader({ kid: 1 }),
    "kid null": withHeader({ kid: null }),
    "kid a path": withHeader({ kid: "../../../../dev/null" }),
    "kid SQL": withHeader({ kid: "rsa-1' UNION SELECT 'x" }),
    "kid of 5000 characters": withHeader({ kid: "k".repeat(5000) }),
    "kid with a NUL": withHeader("{\"alg\":\"RS256\",\"kid\":\"rsa-1\\u0000\",\"typ\":\"at+jwt\"}"),
    "kid in another case": withHeader({ kid: "RSA-1" }),
    "an embedded jwk": signedBy(({ keys }) => keys.stranger, (key) => ({ jwk: jwkOf(key) })),
    "an embedded jwk under the issuer's kid": signedBy(({ keys }) => keys.stranger, (key) => ({ kid: "rsa-1", jwk: jwkOf(key, { kid: "rsa-1" }) })),
    "an embedded jwk beside a good signature": withHeader({ jwk: { kty: "RSA" } }),
    "jku": withHeader({ jku: "https://evil.example/jwks" }),
    "x5u": withHeader({ x5u: "https://evil.example/cert.pem" }),
    "x5c": withHeader({ x5c: ["MIIB"] }),
    "crit": withHeader({ crit: ["exp"] }),
    "crit empty": withHeader({ crit: [] }),
    "b64 false": withHeader({ b64: false, crit: ["b64"] }),
    "zip": withHeader({ zip: "DEF" }),
    "a JWE's header": withHeader({ alg: "RSA-OAEP", enc: "A128GCM" }),
    "an unknown header parameter": withHeader({ admin: true }),
    "an RSA key of 1024 bits": signedBy(({ keys }) => keys.small),
    "a key on P-384": signedBy(({ keys }) => keys.p384),
    "a key for encrypting": signedBy(({ keys }) => keys.encrypting),
    "a key whose private part is published": signedBy(({ keys }) => keys.private),
    "a kid that two keys have": signedBy(({ keys }) => keys.twice),
    // the type
    "typ ID": withHeader({ typ: "id_token" }),
    "typ logout+jwt": withHeader({ typ: "logout+jwt" }),
    "typ dpop+jwt": withHeader({ typ: "dpop+jwt" }),
    "typ JWE": withHeader({ typ: "JWE" }),
    "typ a list": withHeader({ typ: ["at+jwt"] }),
    "typ empty": withHeader({ typ: "" }),
    // for whom and what
    "another issuer": withClaims({ iss: "https://evil.example" }),
    "the issuer with a slash": withClaims(({ issuer, provider }) => ({ iss: `${issuer.issuerOf(provider)}/` })),
    "the issuer in another case": withClaims(({ issuer, provider }) => ({ iss: issuer.issuerOf(provider).toUpperCase() })),
    "the issuer in a list": withClaims(({ issuer, provider }) => ({ iss: [issuer.issuerOf(provider)] })),
    "no issuer": withClaims({ iss: undefined }),
    "another audience": withClaims({ aud: "https://other.example", client_id: "other" }),
    "no audience": withClaims({ aud: undefined, client_id: undefined }),
    "an audience that begins alike": withClaims({ aud: `${AUDIENCE}/x`, client_id: `${CLIENT_ID}x` }),
    "an audience of numbers": withClaims({ aud: [1], client_id: 1 }),
    "the audience as an object": withClaims({ aud: { [AUDIENCE]: true }, client_id: { [CLIENT_ID]: true } }),
    "token_use id": withClaims({ token_use: "id" }),
    "token_use refresh": withClaims({ token_use: "refresh" }),
    "token_use a list": withClaims({ token_use: ["access"] }),
    "an ID token (nonce)": withClaims({ nonce: "n" }),
    "an ID token (at_hash)": withClaims({ at_hash: "x" }),
    "an ID token (typ)": withClaims({ typ: "ID" }),
    "a refresh token (typ)": withClaims({ typ: "Refresh" }),
    "a log-out token": withClaims({ events: { "http://schemas.openid.net/event/backchannel-logout": {} } }),
    "no subject": withClaims({ sub: undefined }),
    "an empty subject": withClaims({ sub: "" }),
    "a subject that is a number": withClaims({ sub: 1 }),
    "a subject of 300 characters": withClaims({ sub: "s".repeat(300) }),
    "a subject with a NUL": withText((text) => text.replace("subject-1", "subject-1\\u0000")),
    "a subject with a line end": withClaims({ sub: "subject\n1" }),
    // when
    "expired": withClaims(() => ({ iat: nowSeconds() - 700, exp: nowSeconds() - 100 })),
    "expired long ago": withClaims({ iat: 1, exp: 2 }),
    "not valid yet (nbf)": withClaims(() => ({ nbf: nowSeconds() + 120 })),
    "not issued yet (iat)": withClaims(() => ({ iat: nowSeconds() + 120, exp: nowSeconds() + 700 })),
    "no exp": withClaims({ exp: undefined }),
    "exp a float": withText((text) => text.replace(/"exp":(\d+)/, "\"exp\":$1.5")),
    "exp with an exponent": withText((text) => text.replace(/"exp":\d+/, "\"exp\":3e9")),
    "exp a text": withText((text) => text.replace(/"exp":(\d+)/, "\"exp\":\"$1\"")),
    "exp null": withClaims({ exp: null }),
    "exp true": withClaims({ exp: true }),
    "exp negative": withClaims({ exp: -1 }),
    "exp huge": withText((text) => text.replace(/"exp":\d+/, "\"exp\":9223372036854775807")),
    "exp past 64 bits": withText((text) => text.replace(/"exp":\d+/, "\"exp\":99999999999999999999999")),
    "exp ten years away": withClaims(() => ({ exp: nowSeconds() + 10 * 365 * 86400 })),
    "exp before iat": withClaims(() => ({ exp: nowSeconds() - 1 })),
    "no iat": withClaims({ iat: undefined }),
    "iat a text": withClaims(() => ({ iat: String(nowSeconds()) })),
    "nbf a text": withClaims(() => ({ nbf: String(nowSeconds()) })),
    // the form
    "two parts": edited(([head, claims]) => `${head}.${claims}`),
    "an empty signature": edited(([head, claims]) => `${head}.${claims}.`),
    "an empty header": edited(([, claims, signature]) => `.${claims}.${signature}`),
    "an empty payload": edited(([head, , signature]) => `${head}..${signature}`),
    "four parts": edited((_, whole) => `${whole}.AAAA`),
    "five parts": edited(([head, claims, signature]) => `${head}.${claims}.${signature}.AAAA.AAAA`),
    "the payload twice": edited(([head, claims, signature]) => `${head}.${claims}.${claims}.${signature}`),
    "the whole twice": edited((_, whole) => `${whole}${whole}`),
    "a dot behind it": edited((_, whole) => `${whole}.`),
    "a dot before it": edited((_, whole) => `.${whole}`),
    "cut by one character": edited((_, whole) => whole.slice(0, -1)),
    "cut in half": edited((_, whole) => whole.slice(0, whole.length / 2)),
    "only dots": () => "..",
    "a changed signature": edited(([head, claims, signature]) => `${head}.${claims}.${signature[0] === "A" ? "B" : "A"}${signature.slice(1)}`),
    "another payload": edited(([head, claims, signature]) => `${head}.${base64url(Buffer.from(claims, "base64url").toString().replace("subject-1", "subject-2"))}.${signature}`),
    "the signature of another token": (world) => {
        const [head, claims] = pieces(world.issuer.good(world.provider));
        return `${head}.${claims}.${pieces(world.issuer.good(world.provider))[2]}`;
    },
    "a signature that is not canonical": edited(([head, claims, signature]) => `${head}.${claims}.${lastBits(signature)}`),
    "a padded signature": edited(([head, claims, signature]) => `${head}.${claims}.${signature}==`),
    "a padded header that was signed": (world) => {
        const input = `${base64url(JSON.stringify({ alg: "RS256", kid: "rsa-1", typ: "at+jwt", x5t: "x" }))}=.${pieces(world.issuer.good(world.provider))[1]}`;
        return `${input}.${base64url(signatureOf(world.issuer.rsa, input))}`;
    },
    "the standard alphabet": (world) => {
        for (;;) { // until the signature needs one of the two characters that differ
            const [head, claims, signature] = pieces(world.issuer.good(world.provider));
            if (/[-_]/.test(signature)) return `${head}.${claims}.${signature.replaceAll("-", "+").replaceAll("_", "/")}`;
        }
    },
    "white space within": edited(([head, claims, signature]) => `${head}. ${claims}.${signature}`),
    "a header that is a list": withHeader("[\"RS256\"]"),
    "a header that is no JSON": withHeader("{alg:RS256}"),
    "a header with alg twice": withHeader("{\"alg\":\"none\",\"alg\":\"RS256\",\"kid\":\"rsa-1\"}"),
    "a header with text behind it": withHeader("{\"alg\":\"RS256\",\"kid\":\"rsa-1\"} {}"),
    "a header of 4 KB": withHeader({ x5t: "x".repeat(4000) }),
    "claims that are a list": withText((text) => `[${text}]`),
    "claims that are no JSON": withText((text) => text.slice(1)),
    "claims with sub twice": withText((text) => text.replace("{", "{\"sub\":\"admin\",")),
    "claims with text behind them": withText((text) => `${text}x`),
    "claims that are no UTF-8": (world) => {
        const [head] = pieces(world.issuer.good(world.provider));
        const claims = Buffer.from(JSON.stringify(world.issuer.claims(world.provider, { name: "??" })));
        claims[claims.indexOf("??")] = 0xff;
        const input = `${head}.${base64url(claims)}`;
        return `${input}.${base64url(signatureOf(world.issuer.rsa, input))}`;
    },
    "JSON of 2500 levels": withText((text) => text.replace("{", `{"deep":${deep(2500)},`)),
    "9000 characters": withClaims({ padding: "x".repeat(7000) }),
    "the claims in the clear": (world) => JSON.stringify(world.issuer.claims(world.provider)).replaceAll("\"", "").replaceAll(/[{},:]/g, "."),
    // ES256
    "ES256 with a DER signature": es256((input, key) => sign("sha256", Buffer.from(input), { key: key.privateKey, dsaEncoding: "der" })),
    "ES256 with r and s of zero": es256(() => Buffer.alloc(64)),
    "ES256 with r of zero": es256((input, key) => Buffer.concat([Buffer.alloc(32), signatureOf(key, input).subarray(32)])),
    "ES256 with s of zero": es256((input, key) => Buffer.concat([signatureOf(key, input).subarray(0, 32), Buffer.alloc(32)])),
    "ES256 with r and s of the group's order": es256(() => {
        const order = Buffer.from("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", "hex");
        return Buffer.concat([order, order]);
    }),
    "ES256 with r and s exchanged": es256((input, key) => {
        const signature = signatureOf(key, input);
        return Buffer.concat([signature.subarray(32), signature.subarray(0, 32)]);
    }),
    "ES256 with a byte more": es256((input, key) => Buffer.concat([signatureOf(key, input), Buffer.alloc(1)])),
    "ES256 with an HMAC": es256((input) => Buffer.concat([createHmac("sha256", "x").update(input).digest(), createHmac("sha256", "y").update(input).digest()])),
};


for (const provider of ["oidc", "cognito"] as const) {
    describe(`tokens of ${provider}`, () => {
        let world: World;
        let server: Server;
        before(async () => {
            const issuer = await Issuer.start();
            const keys = {
                small: rsaKey("small", 1024), p384: ecKey("p384", "P-384"), encrypting: rsaKey("encrypting"), twice: rsaKey("twice"), private: rsaKey("private"),
                other: rsaKey("twice"), stranger: rsaKey("stranger"), strangerEc: ecKey("stranger-ec"),
            };
            issuer.extra = [
                jwkOf(keys.small), jwkOf(keys.p384), jwkOf(keys.encrypting, { use: "enc" }), jwkOf(keys.twice), jwkOf(keys.other),
                { ...keys.private.privateKey.export({ format: "jwk" }), kid: "private", alg: "RS256", use: "sig" },
                { kty: "oct", kid: "symmetric", k: base64url("a symmetric key of the set!"), alg: "HS256" }, { kty: "OKP" }, {},
            ];
            world = { provider, issuer, keys };
            // Tokens of unknown keys are decided by what is known: that they make the keys be read is issuer.test.ts's matter.
            server = await Server.start({ env: issuer.env(provider, { SOUK_JWKS_INTERVAL_MS: "300000" }) });
        });
        after(async () => {
            await server?.dispose();
            await world?.issuer.stop();
        });

        const ask = (text: string) => new Client(server.url, text).get("/users/me");
        for (const [name, attack] of Object.entries(ATTACKS)) {
            test(`${provider}: ${name}`, async () => {
                for (const key of [world.issuer.rsa, world.issuer.ec]) {
                    const control = await ask(world.issuer.good(provider, {}, key));
                    assert.equal(control.status, 200, `the control: ${control.text}`);
                }
                const text = attack(world);
                for (let time = 0; time < 2; time++) {
                    const reply = await ask(text);
                    refused(reply, 401, "UNAUTHENTICATED");
                    assert.match(reply.headers.get("www-authenticate") ?? "", /error="invalid_token"/);
                }
                refused(await new Client(server.url, text).get("/products"), 401, "UNAUTHENTICATED");
            });
        }
    });
}

// What can be done without a key of the shop's.
const OWN: Record<string, (good: string, keys: { stranger: Key; strangerEc: Key }, jwks: { keys: Claims[] }) => string> = {
    "alg none": (good) => `${base64url(JSON.stringify({ ...headerOf(good), alg: "none" }))}.${pieces(good)[1]}.`,
    "alg None with the signature": (good) => `${base64url(JSON.stringify({ ...headerOf(good), alg: "None" }))}.${pieces(good)[1]}.${pieces(good)[2]}`,
    "HS256 with the published key": (good, _, jwks) => hmacToken(JSON.stringify(jwks.keys[0]), payloadOf(good), { ...headerOf(good), alg: "HS256" }),
    "HS256 with the modulus": (good, _, jwks) => hmacToken(Buffer.from(String(jwks.keys[0]!.n), "base64url"), payloadOf(good), { ...headerOf(good), alg: "HS256" }),
    "a stranger's key under the shop's kid": (good, { stranger }) => token(stranger, payloadOf(good), headerOf(good)),
    "a stranger's key under its own kid": (good, { stranger }) => token(stranger, payloadOf(good), { ...headerOf(good), kid: "stranger" }),
    "a stranger's EC key": (good, { strangerEc }) => token(strangerEc, payloadOf(good), { ...headerOf(good), alg: "ES256" }),
    "an embedded jwk": (good, { stranger }) => token(stranger, payloadOf(good), { ...headerOf(good), jwk: jwkOf(stranger) }),
    "jku": (good, { stranger }) => token(stranger, payloadOf(good), { ...headerOf(good), jku: "https://evil.example/jwks" }),
    "x5c": (good, { stranger }) => token(stranger, payloadOf(good), { ...headerOf(good), x5c: ["MIIB"] }),
    "crit": (good, { stranger }) => token(stranger, payloadOf(good), { ...headerOf(good), crit: ["exp"] }),
    "a header that is spelt otherwise": (good) => `${base64url(JSON.stringify({ typ: "at+jwt", ...headerOf(good) }))}.${pieces(good)[1]}.${pieces(good)[2]}`,
    "another payload": (good) => `${pieces(good)[0]}.${base64url(JSON.stringify({ ...payloadOf(good), extra: 1 }))}.${pieces(good)[2]}`,
    "a signature that is not canonical": (good) => good.slice(0, -1) + lastBits(good).slice(-1),
    "a padded signature": (good) => `${good}==`,
    "two parts": (good) => pieces(good).slice(0, 2).join("."),
    "an empty signature": (good) => `${pieces(good).slice(0, 2).join(".")}.`,
    "four parts": (good) => `${good}.AAAA`,
    "five parts": (good) => `${good}.AAAA.AAAA`,
    "the whole twice": (good) => `${good}${good}`,
    "a dot behind it": (good) => `${good}.`,
    "cut by one character": (good) => good.slice(0, -1),
    "white space within": (good) => good.replace(".", ". "),
    "9000 characters": (good) => `${pieces(good)[0]}.${"A".repeat(9000)}.${pieces(good)[2]}`,
    "a key on the way to 1 MB": (good) => `${base64url(JSON.stringify({ ...headerOf(good), kid: "k".repeat(5000) }))}.${pieces(good)[1]}.${pieces(good)[2]}`,
};
const headerOf = (text: string): Claims => JSON.parse(Buffer.from(pieces(text)[0], "base64url").toString()) as Claims;
const payloadOf = (text: string): Claims => JSON.parse(Buffer.from(pieces(text)[1], "base64url").toString()) as Claims;

describe("tokens of the shop's own", () => {
    let shop: Shop;
    const keys = { stranger: rsaKey("stranger"), strangerEc: ecKey("stranger") };
    before(async () => { shop = await Shop.open(); });
    after(() => shop?.close());
    for (const [name, attack] of Object.entries(OWN)) {
        test(`local: ${name}`, async () => {
            const good = shop.admin.session.accessToken as string;
            const jwks = (await shop.guest.get("/.well-known/jwks.json")).body as { keys: Claims[] };
            assert.equal((await shop.guest.as(good).get("/users/me")).status, 200);
            const text = attack(good, keys, jwks);
            assert.notEqual(text, good);
            refused(await shop.guest.as(text).get("/users/me"), 401, "UNAUTHENTICATED");
        });
    }

    test("local: a token of another shop", async () => {
        const other = await Shop.open();
        try {
            refused(await shop.guest.as(other.admin.session.accessToken).get("/users/me"), 401, "UNAUTHENTICATED");
        } finally {
            await other.close();
        }
    });
});
