export * from "./types.ts";
export * from "./client.ts";
export * from "./error.ts";
export type { CallOptions, ClientOptions, IdempotentOptions, MatchOptions, Reply, ReplyMeta } from "./transport.ts";
