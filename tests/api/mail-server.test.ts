// Mail through a real mail server: TLS, log-in, what is tried again and what is not.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ok } from "../support/client.ts";
import { sqlTime } from "../support/database.ts";
import { eventually } from "../support/server.ts";
import { PASSWORD, Shop, unique } from "../support/shop.ts";
import { MailServer, type MailServerOptions, type Received } from "../support/smtp.ts";

const LOGIN = { user: "shop@souk.example", password: "a p:ss/w@rd%" };
const address = (name: string) => `${unique(name)}@example.com`;
const register = async (shop: Shop, email: string, input: Record<string, unknown> = {}) =>
    ok(await shop.guest.post("/auth/register", { email, password: PASSWORD, ...input }), 201);
const mailsOf = (server: MailServer, email: string, count: number): Promise<Received[]> =>
    eventually(`${count} mails to ${email}`, () => server.to(email).length >= count && server.to(email));
/** What failed is due again now, not in half a minute. */
const retryNow = (shop: Shop) => shop.server.sql(`UPDATE outbox SET due_at = ${sqlTime(1)} WHERE due_at IS NOT NULL AND last_error IS NOT NULL`);
const waiting = (shop: Shop) => shop.server.sql("SELECT topic, attempts, last_error FROM outbox WHERE due_at IS NOT NULL AND last_error IS NOT NULL");
const givenUp = (shop: Shop) => shop.server.sql("SELECT topic, attempts, last_error FROM outbox WHERE due_at IS NULL AND delivered_at IS NULL");

async function together(options: MailServerOptions, run: (shop: Shop, server: MailServer) => Promise<void>, env: Record<string, string> = {}): Promise<void> {
    const server = await MailServer.start(options);
    try {
        const shop = await Shop.open({ env: server.env(env) });
        try {
            await run(shop, server);
        } finally {
            await shop.close();
        }
    } finally {
        await server.stop();
    }
}

describe("how the server is spoken to", () => {
    for (const tls of ["smtps", "starttls"] as const) {
        test(`${tls} with a log-in`, () => together({ tls, login: LOGIN }, async (shop, server) => {
            const email = address("amina");
            await register(shop, email, { firstName: "Amina" });
            const mails = await mailsOf(server, email, 2);
            assert.deepEqual(mails.map((mail) => mail.headers.get("subject")!.split(" ")[0]).sort(), ["Confirm", "Welcome"]);
            for (const mail of mails) {
                assert.deepEqual([mail.from, mail.to, mail.isSecure, mail.user, mail.hello], ["shop@souk.example", [email], true, LOGIN.user, "souk.example"]);
                assert.match(mail.headers.get("from")!, /shop@souk\.example/);
                assert.match(mail.headers.get("message-id")!, /^<[\w.-]+@souk\.example>$/);
                assert.match(mail.body, /^Hello Amina,\r\n/);
            }
            const token = /token=([A-Za-z0-9_-]{43})/.exec(mails.map((mail) => mail.body).join())?.[1];
            ok(await shop.guest.post("/auth/email/verify", { token }), 204);
            await eventually("nothing is left", () => shop.server.database.number("SELECT COUNT(*) FROM outbox WHERE due_at IS NOT NULL") === 0);
            assert.equal(server.offered.length, 2, "each once");
        }));
    }

    test("in the clear to this machine, without a log-in", () => together({ tls: "none" }, async (shop, server) => {
        const email = address("clear");
        await register(shop, email);
        assert.deepEqual((await mailsOf(server, email, 2)).map((mail) => [mail.isSecure, mail.user]), [[false, undefined], [false, undefined]]);
    }));

    test("a certificate of an unknown authority gets no mail and no password", async () => {
        const other = await MailServer.start({ tls: "none" }); // for its authority, which knows nothing of the one below
        try {
            await together({ tls: "smtps", login: LOGIN }, async (shop, server) => {
                await register(shop, address("unknown"));
                const rows = await eventually("it failed", () => waiting(shop).length === 2 && waiting(shop));
                for (const row of rows) assert.match(String(row.last_error), /certificate|peer/i);
                assert.deepEqual([server.offered.length, givenUp(shop).length], [0, 0]);
            }, { SOUK_CA_FILE: other.caFile });
        } finally {
            await other.stop();
        }
    });

    test("a wrong password is tried again, for it can be put right", async () => {
        const server = await MailServer.start({ tls: "smtps", login: LOGIN });
        const shop = await Shop.open({ env: server.env({ SOUK_SMTP_URL: `smtps://somebody:hunter2@127.0.0.1:${server.port}` }) });
        try {
            await register(shop, address("wrong"));
            const rows = await eventually("it failed", () => waiting(shop).length === 2 && waiting(shop));
            for (const row of rows) assert.match(String(row.last_error), /535|denied/i);
            assert.deepEqual([server.offered.length, givenUp(shop).length], [0, 0]);
            assert.ok(!shop.server.stderr.includes("hunter2"));
        } finally {
            await shop.close();
            await server.stop();
        }
    });
});

describe("what becomes of a mail", () => {
    let server: MailServer;
    let shop: Shop;
    before(async () => {
        server = await MailServer.start({ tls: "starttls", login: LOGIN });
        shop = await Shop.open({ env: server.env() });
    });
    after(async () => {
        await shop?.close();
        await server?.stop();
    });

    test("4xx: it is tried again, under the same Message-Id", async () => {
        const email = address("later");
        let isRefused = true;
        server.onMail = (mail) => mail.to.includes(email) && isRefused ? 451 : "take";
        await register(shop, email);
        const rows = await eventually("both failed", () => waiting(shop).length === 2 && waiting(shop));
        for (const row of rows) assert.deepEqual([Number(row.attempts), row.last_error], [1, "the mail server said 451"]);
        isRefused = false;
        retryNow(shop);
        await mailsOf(server, email, 2);
        const ids = (mails: Received[]) => mails.filter((mail) => mail.to.includes(email)).map((mail) => mail.headers.get("message-id"));
        assert.deepEqual(new Set(ids(server.offered)), new Set(ids(server.received)));
        assert.deepEqual([ids(server.offered).length, ids(server.received).length], [4, 2]);
    });

    test("5xx: it is given up at once and visibly, and the others go on", async () => {
        const [gone, fine] = [address("gone"), address("fine")];
        server.onRecipient = (to) => to === gone ? 550 : "take";
        await register(shop, gone);
        await register(shop, fine);
        await mailsOf(server, fine, 2);
        const rows = await eventually("both are given up", () => givenUp(shop).length === 2 && givenUp(shop));
        for (const row of rows) assert.deepEqual([Number(row.attempts), row.last_error], [1, "the mail server said 550 to this mail"]);
        assert.match(shop.server.stderr, /a message was given up.*said 550/);
        assert.ok(!shop.server.stderr.includes(gone), "no address in the log");
        shop.server.sql("DELETE FROM outbox WHERE due_at IS NULL AND delivered_at IS NULL");
        server.onRecipient = () => "take";
    });

    test("5xx after the text: the same", async () => {
        const email = address("spam");
        server.onMail = (mail) => mail.to.includes(email) ? 554 : "take";
        await register(shop, email);
        await eventually("both are given up", () => givenUp(shop).length === 2);
        shop.server.sql("DELETE FROM outbox WHERE due_at IS NULL AND delivered_at IS NULL");
        server.onMail = () => "take";
    });

    test("a reply that is lost: what was taken may come again, and can be told by its Message-Id", async () => {
        const email = address("lost");
        let isFirst = true;
        server.onMail = (mail) => {
            const verdict = mail.to.includes(email) && isFirst ? "hang up" : "take";
            if (mail.to.includes(email)) isFirst = false;
            return verdict;
        };
        await register(shop, email);
        await eventually("one failed", () => waiting(shop).length === 1);
        retryNow(shop);
        const mails = await mailsOf(server, email, 3);
        assert.equal(new Set(mails.map((mail) => mail.headers.get("message-id"))).size, 2);
    });

    test("a line that is only a dot, letters of any script, and a name that would be a header", async () => {
        const { storeName } = ok(await shop.admin.client.get("/settings"));
        ok(await shop.admin.client.patch("/settings", { storeName: "." }));
        const email = address("dots");
        await register(shop, email, { firstName: "Ольга \"O\" <x@evil.example>" });
        for (const mail of await mailsOf(server, email, 2)) {
            assert.match(mail.body, /\r\n-- \r\n\.\r\n/, "the line is there, and ends nothing");
            assert.match(mail.body, /^Hello Ольга/);
            assert.ok(/^[\x00-\x7f]*$/.test(mail.text), "7 bits on the way");
            assert.ok(mail.text.split("\r\n").every((line) => line.length <= 998));
            assert.deepEqual(mail.to, [email]);
        }
        ok(await shop.admin.client.patch("/settings", { storeName }));
    });
});

test("a server that does not answer holds up the jobs for the time limit, no longer", () => together({ tls: "none" }, async (shop, server) => {
    const email = address("stalled");
    let isStalled = true;
    server.onMail = () => isStalled ? "stall" : "take";
    await register(shop, email);
    const rows = await eventually("both failed", () => waiting(shop).length === 2 && waiting(shop));
    for (const row of rows) assert.match(String(row.last_error), /timeout/i);
    isStalled = false;
    await eventually("both arrive", () => {
        retryNow(shop); // again where this machine was too slow for the limit
        return server.to(email).length >= 2;
    });
}, { SOUK_SMTP_TIMEOUT_MS: "1000" }));

test("while the server is down mails wait, and go out when it is back", async () => {
    const first = await MailServer.start({ tls: "none" });
    const shop = await Shop.open({ env: first.env() });
    await first.stop();
    try {
        const email = address("down");
        await register(shop, email);
        await eventually("both failed", () => waiting(shop).length === 2);
        const second = await MailServer.start({ tls: "none" }, first.port);
        try {
            retryNow(shop);
            await mailsOf(second, email, 2);
        } finally {
            await second.stop();
        }
    } finally {
        await shop.close();
    }
});

test("wrong settings stop the start with one line that holds no password", async () => {
    const shop = await Shop.open();
    try {
        for (const [env, line] of [
            [{ SOUK_SMTP_URL: "http://127.0.0.1" }, /SOUK_SMTP_URL.* must be smtp\[s\]/],
            [{ SOUK_SMTP_URL: "smtps://user@127.0.0.1" }, /SOUK_SMTP_URL must name both user and password/],
            [{ SOUK_SMTP_URL: "smtps://u:hunter2%0d%0a@127.0.0.1" }, /SOUK_SMTP_URL must hold no escaped control character/],
            [{ SOUK_SMTP_URL: "smtp://u:hunter2@mail.example", SOUK_SMTP_TLS: "off" }, /SOUK_SMTP_URL must not send a password/],
            [{ SOUK_SMTP_URL: "smtps://127.0.0.1/path" }, /SOUK_SMTP_URL must end with the port/],
            [{ SOUK_SMTP_URL: "smtps://127.0.0.1", SOUK_MAIL_FROM: "Shop <shop@example.com>" }, /SOUK_MAIL_FROM must be an address/],
        ] as const) {
            const result = await shop.server.run(["work"], { env });
            assert.equal(result.code, 2, JSON.stringify([env, result]));
            assert.match(result.stderr, line);
            assert.equal(result.stderr.trim().split("\n").length, 1);
            assert.ok(!result.stderr.includes("hunter2"));
        }
        const shown = await shop.server.run(["config"], { env: { SOUK_SMTP_URL: "smtps://u:hunter2@mail.example:465" } });
        assert.match(shown.stdout, /SOUK_SMTP_URL = smtps:\/\/u:\*\*\*@mail\.example:465/);
    } finally {
        await shop.close();
    }
});
