// The rules of `x-souk`: api/README.md, "The extension".
import type { Contract, Method, Place, RawOperation, Souk } from "./openapi.ts";

const SCOPES = new Set(
    ("catalogue:write inventory:write orders:read orders:write customers:read customers:write settings:read settings:write " +
        "staff:read staff:write audit:read").split(" "),
);
const EXECUTIONS = ["inline", "worker", "transaction", "orchestrated", "password"];
const BODY_BYTES_MAX = 1 << 20; // base/limits.h
const CACHE_TAGS_MAX = 4; // http/operation.h
const CACHE_SECONDS_MAX = 86_400;

type Rule = (souk: Souk, method: Method, operation: RawOperation) => string | undefined;

const oneOf = (value: unknown, allowed: readonly string[]): boolean => typeof value === "string" && allowed.includes(value);

/** What each key may be, and on which operation. A rule answers what is wrong. */
const RULES: Record<keyof Souk, Rule> = {
    access: ({ access }) =>
        oneOf(access, ["public", "anyone", "customer", "staff"]) ? undefined : "must be public, anyone, customer or staff",
    scope: ({ access, scope }) => {
        if (scope === undefined) return access === "staff" ? "is missing: staff operations name theirs" : undefined;
        if (access !== "staff" && access !== "customer") return "is for access: staff or customer";
        return SCOPES.has(scope) ? undefined : `is not a scope: ${scope}`;
    },
    execution: ({ execution }) => {
        const list = [execution].flat();
        if (Array.isArray(execution) && new Set(list).size !== 2) return "as a list names two different ways";
        return list.every((one) => oneOf(one, EXECUTIONS)) ? undefined : `must be ${EXECUTIONS.join(", ")}, or a list of two`;
    },
    idempotency: ({ idempotency }, method) => {
        if (idempotency === undefined) return undefined;
        if (method !== "post") return "is for POST only";
        return idempotency === "none" ? undefined : "can only be none";
    },
    handlesReplay: ({ handlesReplay, idempotency }, method) => {
        if (handlesReplay === undefined) return undefined;
        if (method !== "post") return "is for POST only";
        if (idempotency === "none") return "contradicts idempotency: none";
        return handlesReplay === true ? undefined : "can only be true";
    },
    bodyLimit: ({ bodyLimit }, _method, { requestBody }) => {
        if (bodyLimit === undefined) return undefined;
        if (!Number.isInteger(bodyLimit) || bodyLimit < 0 || bodyLimit > BODY_BYTES_MAX) return `must be 0 to ${BODY_BYTES_MAX}`;
        return requestBody || bodyLimit === 0 ? undefined : "needs a requestBody";
    },
    rateClass: ({ rateClass }) =>
        rateClass === undefined || oneOf(rateClass, ["read", "write", "login", "checkout", "none"])
            ? undefined
            : "must be read, write, login, checkout or none",
    toleratesBadToken: ({ toleratesBadToken, access }) => {
        if (toleratesBadToken === undefined) return undefined;
        if (access !== "anyone") return "is for access: anyone only";
        return toleratesBadToken === true ? undefined : "can only be true";
    },
    priority: ({ priority }) =>
        priority === undefined || oneOf(priority, ["browse", "cart", "checkout"]) ? undefined : "must be browse, cart or checkout",
    expects: ({ expects, execution }) => {
        if (expects === undefined) return undefined;
        if (execution !== "inline" && execution !== "worker") return "is for execution inline or worker";
        return expects === true ? undefined : "can only be true";
    },
    replica: ({ replica }, method) => {
        if (replica === undefined) return undefined;
        return method === "get" && replica === true ? undefined : "can only be true, and on a GET";
    },
    cache: ({ cache, access }, method) => {
        if (cache === undefined) return undefined;
        if (method !== "get" || access !== "public") return "is for a public GET only: no other reply is the same for everyone";
        const { seconds, tags } = cache;
        if (!Number.isInteger(seconds) || seconds < 1 || seconds > CACHE_SECONDS_MAX) return `needs seconds, 1 to ${CACHE_SECONDS_MAX}`;
        if (!Array.isArray(tags) || tags.length > CACHE_TAGS_MAX) return `needs tags, at most ${CACHE_TAGS_MAX}`;
        return tags.every((tag) => /^[a-z-]+$/.test(tag)) ? undefined : "has a tag that is not lower-case letters";
    },
    ifMatch: ({ ifMatch }, method) => {
        if (ifMatch === undefined) return undefined;
        return ifMatch === true && ["put", "patch", "delete"].includes(method) ? undefined : "can only be true, on PUT, PATCH or DELETE";
    },
    database: ({ database, cache, replica }, method) => {
        if (database === undefined) return undefined;
        if (cache || replica) return "contradicts cache and replica, which are for what is read there";
        return method === "get" && database === "none" ? undefined : "can only be none, and on a GET";
    },
    bare: ({ bare }) => (bare === undefined || bare === true ? undefined : "can only be true"),
};

export function checkSouk(contract: Contract, method: Method, operation: RawOperation, place: Place): void {
    const souk = operation["x-souk"];
    const at = [...place, "x-souk"];
    if (souk === undefined || souk === null || typeof souk !== "object") {
        contract.complain(place, "x-souk is missing");
        return;
    }
    for (const key of Object.keys(souk)) {
        if (!(key in RULES)) contract.complain(at, `unknown key ${key}`);
    }
    for (const [key, rule] of Object.entries(RULES)) {
        const wrong = rule(souk, method, operation);
        if (wrong) contract.complain(at, `${key} ${wrong}`);
    }
    const isRead = [souk.execution].flat().every((one) => one === "inline" || one === "worker");
    if (isRead && ["put", "patch", "delete"].includes(method)) {
        contract.complain(at, "execution inline or worker is for reads");
    }
}
