// The way to a database on another machine by TLS, as `sslmode` asks for it.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { makeCertificates } from "../support/certificates.ts";
import { PostgresDatabase } from "../support/database.ts";
import { Postgres } from "../support/postgres.ts";
import { souk, temporaryFolder } from "../support/server.ts";
import { Shop } from "../support/shop.ts";

describe("TLS", () => {
    let primary: Postgres;
    before(async () => { primary = await Postgres.start({ tls: true }); });
    after(() => primary?.dispose());

    test("a server that is who it says it is serves a shop", async () => {
        const name = await primary.createDatabase();
        const { authority } = primary.certificates!;
        const shop = await Shop.open({ database: new PostgresDatabase(`${primary.url(name)}?sslmode=verify-full&sslrootcert=${encodeURIComponent(authority)}`) });
        try {
            await shop.order(shop.guest, await shop.product());
            const rows = await primary.query("SELECT s.ssl, count(*)::int AS n FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.datname = $1 GROUP BY 1", [name]);
            assert.deepEqual(rows.map((row) => row.ssl), [true], "every connection is encrypted");
        } finally {
            await shop.close();
        }
    });

    test("another's certificate, another's name and no TLS are refused; the password is not told", async () => {
        const name = await primary.createDatabase();
        const { folder, release } = temporaryFolder();
        try {
            const stranger = encodeURIComponent(makeCertificates(folder).authority);
            const own = encodeURIComponent(primary.certificates!.authority);
            const base = `postgresql://postgres:not-for-the-log@${primary.address}/${name}`;
            const cases: Record<string, RegExp> = {
                [`${base}?sslmode=verify-full&sslrootcert=${stranger}`]: /certificate/i,
                [`${base.replace("127.0.0.1", "ip6-localhost-no-such")}?hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert=${own}`]: /certificate|host name/i,
                [`${base}?sslmode=disable`]: /encryption|pg_hba|SSL/i,
            };
            for (const [url, why] of Object.entries(cases)) {
                const result = await souk(folder, ["migrate", "status"], { env: new PostgresDatabase(url).env });
                const said = result.stdout + result.stderr;
                assert.notEqual(result.code, 0, url);
                assert.match(said, why);
                assert.ok(!said.includes("not-for-the-log"), said);
            }
        } finally {
            release();
        }
    });
});
