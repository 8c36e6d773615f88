// What may be said with `-c name=value`, and what each stage makes of what was left out. The rest of lib/ reads only this.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { App } from "aws-cdk-lib";

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

export const STAGES = ["dev", "staging", "production"] as const;
export type Stage = (typeof STAGES)[number];
export type Architecture = "arm64" | "x86_64";

export interface Sizes {
    /** Where data is kept: not deleted with its stack, and the database refuses to be deleted. */
    keepsData: boolean;
    zones: number;
    natGateways: number;
    /** AWS's services are called through endpoints in the VPC instead of through NAT. */
    hasEndpoints: boolean;
    databaseReaders: number;
    /** Aurora capacity units, of 2 GB each. */
    databaseCapacityMin: number;
    databaseCapacityMax: number;
    backupDays: number;
    cacheNode: string;
    cacheReplicas: number;
    logDays: 7 | 30 | 365;
    /** Copies of the catalogue's and of the checkout's function that always stand ready. */
    provisionedConcurrency: number;
    /** Of API Gateway's cache; 0: none. */
    apiCacheGigabytes: 0 | 0.5 | 1.6;
    /** Tasks of compute: fargate. */
    tasksMin: number;
    tasksMax: number;
}

const SIZES: Record<Stage, Sizes> = {
    dev: {
        keepsData: false,
        zones: 2,
        natGateways: 1,
        hasEndpoints: false,
        databaseReaders: 1,
        databaseCapacityMin: 0.5,
        databaseCapacityMax: 4,
        backupDays: 1,
        cacheNode: "cache.t4g.micro",
        cacheReplicas: 1,
        logDays: 7,
        provisionedConcurrency: 0,
        apiCacheGigabytes: 0,
        tasksMin: 1,
        tasksMax: 2,
    },
    staging: {
        keepsData: true,
        zones: 2,
        natGateways: 1,
        hasEndpoints: true,
        databaseReaders: 2,
        databaseCapacityMin: 0.5,
        databaseCapacityMax: 8,
        backupDays: 7,
        cacheNode: "cache.t4g.small",
        cacheReplicas: 1,
        logDays: 30,
        provisionedConcurrency: 1,
        apiCacheGigabytes: 0.5,
        tasksMin: 2,
        tasksMax: 4,
    },
    production: {
        keepsData: true,
        zones: 3,
        natGateways: 3,
        hasEndpoints: true,
        databaseReaders: 2,
        databaseCapacityMin: 2,
        databaseCapacityMax: 64,
        backupDays: 35,
        cacheNode: "cache.r7g.large",
        cacheReplicas: 2,
        logDays: 365,
        provisionedConcurrency: 10,
        apiCacheGigabytes: 1.6,
        tasksMin: 3,
        tasksMax: 30,
    },
};

export interface Settings {
    stage: Stage;
    /** What every stack's and many resources' names begin with. */
    prefix: string;
    compute: "lambda" | "fargate";
    architecture: Architecture;
    /** Reserved concurrency of all functions together; absent: the account's pool. */
    concurrency?: number;
    domain?: { name: string; zoneId: string };
    /** Where mail comes from; its domain becomes an identity of SES. */
    mailFrom?: string;
    /** SES has verified mailFrom's domain: only then does Cognito take it as a sender. */
    mailVerified: boolean;
    alarmEmail?: string;
    authorizer: "none" | "lambda";
    apiKeys: "off" | "required";
    /** The secret that holds the text of a partner's key. */
    partnerKey?: string;
    apiCache: boolean;
    /** Shards of the cache; absent: cluster mode is off. */
    cacheShards?: number;
    /** An image that is in a registry already, for compute: fargate; absent: built from the Dockerfile. */
    image?: string;
    sizes: Sizes;
    /** What the functions are made of; a folder that says so when nothing was built. */
    code: { path: string; isBuilt: boolean };
    /** The folder with the Dockerfile; likewise. */
    imageFolder: { path: string; isBuilt: boolean };
}

/** Every name that -c takes, with one line of help (scripts/deploy shows it). */
export const CONTEXT: Record<string, string> = {
    stage: "dev (default), staging or production",
    compute: "lambda (default) or fargate",
    arch: "arm64 (default, cheaper) or x86_64",
    concurrency: "reserved concurrency of all functions together, 100 or more; by default none is reserved",
    domainName: "what customers type, such as shop.example.com; needs hostedZoneId",
    hostedZoneId: "the Route53 zone of domainName; needs domainName",
    mailFrom: "the sender of mail, by default no-reply@ domainName; needs domainName, which the links in mail point to",
    mailVerified: "yes once SES has verified mailFrom's domain: Cognito then sends by it; by default no",
    alarmEmail: "who is told of alarms",
    authorizer: "none (default: souk checks tokens itself) or lambda (the authorizer function in front as well)",
    apiKeys: "off (default) or required: API Gateway wants an X-Api-Key of a usage plan",
    partnerKey: "the secret in Secrets Manager that holds the text of a partner's key of souk, for the usage plan partner",
    apiCache: "on or off: API Gateway's cache of the catalogue; by default off in dev, on elsewhere",
    cacheShards: "shards of the Redis replication group, 1 to 90: cluster mode; by default off",
    readers: "readers of the database, 0 to 15; by default 1 in dev, 2 elsewhere",
    image: "an OCI image for compute=fargate; by default built from the Dockerfile",
};

const HOST = /^(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$/;
const EMAIL = /^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([a-z0-9-]+\.)+[a-z]{2,63}$/;
const ZONE = /^Z[A-Z0-9]{5,32}$/;

/** Throws one Error that names each wrong value and the rule that it broke. */
export function readSettings(app: App): Settings {
    const complaints: string[] = [];
    const given = new Map<string, string>();
    for (const [name, value] of Object.entries(app.node.getAllContext() as Record<string, unknown>)) {
        if (name.includes(":") || name.includes("/")) continue; // CDK's own
        if (!(name in CONTEXT)) complaints.push(`-c ${name}: there is no such setting (${Object.keys(CONTEXT).join(", ")})`);
        else if (String(value) !== "") given.set(name, String(value));
    }
    const choice = <T extends string>(name: string, values: readonly T[], otherwise: T): T => {
        const value = given.get(name) ?? otherwise;
        if (!values.includes(value as T)) complaints.push(`-c ${name}=${value}: must be ${values.join(" or ")}`);
        return value as T;
    };
    const number = (name: string, min: number, max: number): number | undefined => {
        const value = given.get(name);
        if (value === undefined) return undefined;
        const parsed = /^[0-9]{1,9}$/.test(value) ? Number(value) : Number.NaN;
        if (!(parsed >= min && parsed <= max)) complaints.push(`-c ${name}=${value}: must be a number from ${min} to ${max}`);
        return parsed;
    };
    const text = (name: string, pattern: RegExp, rule: string): string | undefined => {
        const value = given.get(name);
        if (value !== undefined && !pattern.test(value)) complaints.push(`-c ${name}=${value}: must be ${rule}`);
        return value;
    };

    const stage = choice("stage", STAGES, "dev");
    const sizes = { ...(SIZES[stage] ?? SIZES.dev) };
    const domainName = text("domainName", HOST, "a host name in lower case, such as shop.example.com");
    const zoneId = text("hostedZoneId", ZONE, "the id of a Route53 zone, such as Z0123456789ABCDEFGHIJ");
    if ((domainName === undefined) !== (zoneId === undefined)) {
        complaints.push("-c domainName and -c hostedZoneId: either both or none");
    }
    if (given.has("mailFrom") && domainName === undefined) {
        complaints.push("-c mailFrom: needs domainName, which the links in mail point to");
    }
    sizes.databaseReaders = number("readers", 0, 15) ?? sizes.databaseReaders;
    const architecture = choice("arch", ["arm64", "x86_64"], "arm64");
    const settings: Settings = {
        stage,
        prefix: `souk-${stage}`,
        compute: choice("compute", ["lambda", "fargate"], "lambda"),
        architecture,
        authorizer: choice("authorizer", ["none", "lambda"], "none"),
        apiKeys: choice("apiKeys", ["off", "required"], "off"),
        apiCache: choice("apiCache", ["on", "off"], sizes.apiCacheGigabytes === 0 ? "off" : "on") === "on",
        mailVerified: choice("mailVerified", ["no", "yes"], "no") === "yes",
        sizes,
        code: artefact(`dist/souk-lambda-${architecture}.zip`, "code"),
        imageFolder: existsSync(join(ROOT, "Dockerfile"))
            ? { path: ROOT, isBuilt: true }
            : { path: placeholder("image"), isBuilt: false },
    };
    const optional = {
        concurrency: number("concurrency", 100, 1_000_000),
        domain: domainName && zoneId ? { name: domainName, zoneId } : undefined,
        mailFrom: text("mailFrom", EMAIL, "an address") ?? (domainName && `no-reply@${domainName}`),
        alarmEmail: text("alarmEmail", EMAIL, "an address"),
        partnerKey: text("partnerKey", /^[A-Za-z0-9/_+=.@-]{1,512}$/, "a secret's name"),
        cacheShards: number("cacheShards", 1, 90),
        image: text("image", /^[a-z0-9./:@_-]{3,500}$/, "an image's name, such as registry/souk:1.2.3"),
    };
    if (settings.apiCache && sizes.apiCacheGigabytes === 0) sizes.apiCacheGigabytes = 0.5;
    if (complaints.length > 0) throw new Error(complaints.join("\n"));
    return Object.assign(settings, withoutUndefined(optional));
}

function artefact(path: string, otherwise: string): { path: string; isBuilt: boolean } {
    const isBuilt = existsSync(join(ROOT, path));
    return { path: isBuilt ? join(ROOT, path) : placeholder(otherwise), isBuilt };
}

/** Stands for what was not built, so that templates can be made without it; it starts nothing. */
export function placeholder(name: string): string {
    return join(ROOT, "infrastructure", "placeholder", name);
}

/** `{a: undefined}` is not `{}` where properties are optional. */
export function withoutUndefined<T extends object>(object: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
    return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as ReturnType<typeof withoutUndefined<T>>;
}
