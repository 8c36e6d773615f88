// The password of the database changes while the shop serves, as Secrets Manager's rotation does it: no restart, no flood of questions,
// and no password in any log.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { Aws } from "../support/aws.ts";
import { PostgresDatabase } from "../support/database.ts";
import { Postgres } from "../support/postgres.ts";
import { eventually } from "../support/processes.ts";
import { souk } from "../support/server.ts";
import { Shop, parallel } from "../support/shop.ts";

const PASSWORDS = ["the first/pass@word", "the second pass%word", "the third"] as const;

async function scene(act: (postgres: Postgres, aws: Aws, shop: Shop, arn: string) => Promise<void>): Promise<void> {
    const aws = await Aws.start();
    const postgres = await Postgres.start();
    try {
        // Whoever is not the superuser needs the password.
        const rules = path.join(postgres.folder, "data", "pg_hba.conf");
        writeFileSync(rules, `host all shop 127.0.0.1/32 scram-sha-256\n${readFileSync(rules, "utf8")}`);
        await postgres.query("SELECT pg_reload_conf()");
        await postgres.query(`CREATE ROLE shop LOGIN PASSWORD '${PASSWORDS[0]}'`);
        const name = await postgres.createDatabase();
        await postgres.query(`ALTER DATABASE ${name} OWNER TO shop`);
        await postgres.query(`GRANT ALL ON SCHEMA public TO shop`, [], name);
        const arn = aws.secret("database", { username: "shop", password: PASSWORDS[0], engine: "postgres", host: "127.0.0.1", port: postgres.port, dbname: name });
        const env = aws.env(aws.key(), { DATABASE_URL: `postgresql://127.0.0.1:${postgres.port}/${name}`, DATABASE_SECRET_ARN: arn, SOUK_CACHE_BYTES: "0" });
        const shop = await Shop.open({ database: new PostgresDatabase(postgres.url(name), env) });
        try {
            await act(postgres, aws, shop, arn);
        } finally {
            await shop.close();
        }
    } finally {
        await postgres.dispose();
        await aws.stop();
    }
}

const change = (postgres: Postgres, password: string) => postgres.query(`ALTER ROLE shop PASSWORD '${password}'`);
const tell = (aws: Aws, arn: string, password: string) => aws.secrets.set(arn, JSON.stringify({ username: "shop", password }));
/** All of them log in anew. */
const cut = (postgres: Postgres) => postgres.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'");
const works = async (shop: Shop) => (await parallel(20, () => shop.guest.get("/products"))).every((reply) => reply.status === 200);

test("the password of the database is changed while the shop serves", () => scene(async (postgres, aws, shop, arn) => {
    assert.ok(await works(shop));
    const read = () => aws.called("GetSecretValue").length;
    // of the server and of the commands that made the administrator
    const before = read();
    await cut(postgres);
    await eventually("it serves again", () => works(shop));
    assert.equal(read(), before, "what is known is not asked for");

    await change(postgres, PASSWORDS[1]);
    tell(aws, arn, PASSWORDS[1]);
    await cut(postgres);
    await eventually("it serves with the new one", () => works(shop));
    assert.equal(read(), before + 1, "asked once, by however many connections");

    // The database is faster than the secret.
    await change(postgres, PASSWORDS[2]);
    await cut(postgres);
    await eventually("it cannot log in", async () => (await shop.guest.get("/products")).status === 503);
    const began = Date.now(), asked = read();
    await eventually("it asks", async () => {
        await shop.guest.get("/products");
        return read() > asked;
    });
    while (Date.now() - began < 3000) {
        await shop.guest.get("/products");
        await sleep(20);
    }
    assert.ok(read() - asked <= Math.ceil((Date.now() - began) / 1000) + 1, `${read() - asked} questions in ${Date.now() - began} ms`);
    tell(aws, arn, PASSWORDS[2]);
    await eventually("it serves with the third", () => works(shop));
    assert.match(shop.server.stderr, /DATABASE_SECRET_ARN: the database refuses what the secret holds/);
    for (const password of PASSWORDS) assert.ok(!shop.server.stderr.includes(password));

    // Both secrets come over one connection.
    const connections = aws.connections;
    const env = { ...aws.env(aws.key()), SOUK_SECRETS_ARN: aws.secret("settings", { SOUK_REPLICA_LAG_MS: "2000" }) };
    const status = await souk(shop.server.data, ["migrate", "status"], { env });
    assert.deepEqual([status.code, status.stderr, aws.connections - connections], [0, "", 1]);

    // What cannot be is said at once.
    const url = `postgresql://somebody@127.0.0.1:${postgres.port}/x`;
    const named = await souk(shop.server.data, ["migrate", "status"], { env: { ...aws.env(aws.key()), DATABASE_URL: url, DATABASE_SECRET_ARN: arn } });
    assert.deepEqual([named.code, named.stderr], [1, "souk migrate status: DATABASE_URL: must name no user and no password where DATABASE_SECRET_ARN does\n"]);
    const embedded = await souk(shop.server.data, ["migrate", "status"], { env: { ...aws.env(aws.key()), DATABASE_URL: "sqlite:/x.db", DATABASE_SECRET_ARN: arn } });
    assert.deepEqual([embedded.code, embedded.stderr], [2, "souk migrate status: DATABASE_SECRET_ARN is for a PostgreSQL: DATABASE_URL must be postgresql://...\n"]);
}));
