// The PostgreSQL and the Redis that a whole run shares: named by SOUK_TEST_POSTGRES and SOUK_TEST_REDIS, which its processes inherit.
import { Postgres } from "./postgres.ts";
import { Redis } from "./redis.ts";

export type Service = "postgres" | "redis";

/** Starts those of them whose variable is not set yet, and sets it. */
export async function startServices(wanted: Service[]): Promise<{ dispose(): Promise<void> }[]> {
    const started = [];
    if (wanted.includes("postgres") && !process.env.SOUK_TEST_POSTGRES) {
        const postgres = await Postgres.start();
        process.env.SOUK_TEST_POSTGRES = postgres.url();
        started.push(postgres);
    }
    if (wanted.includes("redis") && !process.env.SOUK_TEST_REDIS) {
        const redis = await Redis.start();
        process.env.SOUK_TEST_REDIS = redis.url();
        started.push(redis);
    }
    return started;
}
