// What souk says to AWS: Secrets Manager and SES, who signs and with what, and what becomes of refusals.
import { GetSecretValueCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { SESv2Client, SendEmailCommand } from "@aws-sdk/client-sesv2";
import { SQSClient, SendMessageCommand } from "@aws-sdk/client-sqs";
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { Aws, REGION, type Call, type Credentials } from "../support/aws.ts";
import { ok } from "../support/client.ts";
import { sqlTime } from "../support/database.ts";
import { eventually, souk, temporaryFolder, type CommandResult } from "../support/server.ts";
import { PASSWORD, Shop, unique } from "../support/shop.ts";

const GOOD_SECRET = "0123456789abcdef0123456789abcdef";
let aws: Aws;
let key: Credentials;
before(async () => {
    aws = await Aws.start();
    key = aws.key({ sessionToken: "a session/token==" });
});
after(() => aws?.stop());

const throttled = { status: 400, type: "ThrottlingException" };
/** Fails the first `count` calls of an operation. */
const failing = (operation: string, count: number, fault: ReturnType<Aws["onCall"]>) => {
    let left = count;
    aws.onCall = (call: Call) => call.operation === operation && left-- > 0 ? fault : undefined;
};

describe("the emulator, by AWS's own clients", () => {
    const options = () => ({ endpoint: aws.url, region: REGION, credentials: { ...key }, maxAttempts: 1 });

    test("answers what it is asked", async () => {
        const arn = aws.secret("sdk", { a: "b" });
        const secret = await new SecretsManagerClient(options()).send(new GetSecretValueCommand({ SecretId: arn }));
        assert.equal(secret.SecretString, '{"a":"b"}');
        const raw = Buffer.from("From: a@b.example\r\nTo: c@d.example\r\n\r\nhello\r\n");
        await new SESv2Client(options()).send(new SendEmailCommand({
            FromEmailAddress: "a@b.example", Destination: { ToAddresses: ["c@d.example"] }, Content: { Raw: { Data: raw } },
        }));
        assert.equal(aws.mails.at(-1)!.text, raw.toString());
        await new SQSClient(options()).send(new SendMessageCommand({ QueueUrl: `${aws.url}/123456789012/jobs`, MessageBody: "hello" }));
        assert.equal(aws.messages.at(-1)!.body, "hello");
    });

    test("refuses another secret key, an unknown one, and one that has ended", async () => {
        const ask = (credentials: Credentials) => new SecretsManagerClient({ ...options(), credentials }).send(new GetSecretValueCommand({ SecretId: "x" }));
        await assert.rejects(ask({ ...key, secretAccessKey: "another" }), { name: "InvalidSignatureException" });
        await assert.rejects(ask({ accessKeyId: "AKIAUNKNOWN", secretAccessKey: "x" }), { name: "UnrecognizedClientException" });
        await assert.rejects(ask(aws.key({ expiresAt: Date.now() - 1000 })), { name: "ExpiredTokenException" });
        await assert.rejects(ask(key), { name: "ResourceNotFoundException" });
    });
});

describe("settings in a secret", () => {
    const { folder, release } = temporaryFolder();
    after(release);
    const config = (env: Record<string, string>): Promise<CommandResult> => souk(path.join(folder, "data"), ["config"], { env });

    test("count behind the environment, and are not shown", async () => {
        const arn = aws.secret("settings", { SOUK_SECRET: GOOD_SECRET, REDIS_URL: "rediss://:hunter2@cache.example", SOUK_WORKERS: "7", SOUK_MAIL_FROM: "secret@souk.example" });
        const { code, stdout, stderr } = await config(aws.env(key, { SOUK_SECRETS_ARN: arn, SOUK_WORKERS: "5" }));
        assert.deepEqual([code, stderr], [0, ""]);
        assert.match(stdout, /^SOUK_SECRET = \(set\), from the secret of SOUK_SECRETS_ARN$/m);
        assert.match(stdout, /^REDIS_URL = \(set\), from the secret of SOUK_SECRETS_ARN$/m);
        assert.match(stdout, /^SOUK_WORKERS = 5 \(default \d+\), from environment$/m);
        for (const hidden of [GOOD_SECRET, "hunter2", "secret@souk.example", key.secretAccessKey, key.sessionToken!]) assert.ok(!stdout.includes(hidden));
    });

    test("throttled and 5xx: asked again; one call when all is well", async () => {
        const arn = aws.secret("settings", { SOUK_SECRET: GOOD_SECRET });
        for (const [fault, count] of [[throttled, 2], [{ status: 500, type: "InternalServiceError" }, 1], [{ status: 429, type: "TooManyRequestsException" }, 1], ["hang up" as const, 1]] as const) {
            const before = aws.called("GetSecretValue").length;
            failing("GetSecretValue", count, fault);
            const { code, stderr } = await config(aws.env(key, { SOUK_SECRETS_ARN: arn }));
            assert.deepEqual([code, stderr, aws.called("GetSecretValue").length - before], [0, "", count + 1]);
        }
        aws.onCall = () => undefined;
        const before = aws.called("GetSecretValue").length;
        assert.equal((await config(aws.env(key, { SOUK_SECRETS_ARN: arn }))).code, 0);
        assert.equal(aws.called("GetSecretValue").length - before, 1);
    });

    test("without a secret nobody is called", async () => {
        const before = aws.connections;
        assert.equal((await config(aws.env(key))).code, 0);
        assert.equal(aws.connections, before);
    });

    test("what is wrong is one line that names the setting and holds no secret", async () => {
        const good = aws.secret("settings", { SOUK_SECRET: GOOD_SECRET });
        const cases: [string, Record<string, string>][] = [
            ["SOUK_SECRETS_ARN: Secrets Manager's GetSecretValue: 400 ResourceNotFoundException", aws.env(key, { SOUK_SECRETS_ARN: good.replace("settings", "other") })],
            ["SOUK_SECRETS_ARN: Secrets Manager's GetSecretValue: 400 InvalidSignatureException", aws.env({ ...key, secretAccessKey: "another" }, { SOUK_SECRETS_ARN: good })],
            ["SOUK_SECRETS_ARN: Secrets Manager's GetSecretValue: 400 UnrecognizedClientException", aws.env({ accessKeyId: "AKIAUNKNOWN", secretAccessKey: "x" }, { SOUK_SECRETS_ARN: good })],
            ["SOUK_SECRETS_ARN: Secrets Manager's GetSecretValue: 400 ExpiredTokenException", aws.env(aws.key({ expiresAt: Date.now() - 1000 }), { SOUK_SECRETS_ARN: good })],
            ["SOUK_SECRETS_ARN: there are no AWS credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, and no container has a role to ask for",
                { AWS_ENDPOINT_URL: aws.url, SOUK_SECRETS_ARN: good }],
            ["SOUK_SECRETS_ARN: must be an ARN, such as arn:aws:secretsmanager:eu-west-1:123456789012:secret:souk-AbCdEf", aws.env(key, { SOUK_SECRETS_ARN: "souk" })],
            ["SOUK_SECRETS_ARN: the secret must be a JSON object", aws.env(key, { SOUK_SECRETS_ARN: aws.secret("text", "hunter2") })],
            ["SOUK_SECRETS_ARN: the secret must hold texts, at most 128 of them", aws.env(key, { SOUK_SECRETS_ARN: aws.secret("number", { SOUK_WORKERS: 4 }) })],
            ["SOUK_SECRET (the secret of SOUK_SECRETS_ARN) must have 32 characters or more", aws.env(key, { SOUK_SECRETS_ARN: aws.secret("short", { SOUK_SECRET: "hunter2" }) })],
            ["the secret of SOUK_SECRETS_ARN: there is no setting SOUK_SECRETS; `souk config` lists them all", aws.env(key, { SOUK_SECRETS_ARN: aws.secret("unknown", { SOUK_SECRETS: "hunter2" }) })],
        ];
        for (const [complaint, env] of cases) {
            const { code, stdout, stderr } = await config(env);
            assert.deepEqual([code, stdout, stderr], [2, "", `souk config: ${complaint}\n`]);
        }
    });

    test("AWS that is not there: told within the time limit", async () => {
        const began = Date.now();
        failing("GetSecretValue", 9, "stall");
        const { code, stderr } = await config(aws.env(key, { SOUK_SECRETS_ARN: aws.secret("settings", {}) }));
        aws.onCall = () => undefined;
        assert.equal(code, 2);
        assert.match(stderr, /^souk config: SOUK_SECRETS_ARN: Secrets Manager's GetSecretValue: .*(timeout|Timeout).*\n$/);
        assert.ok(Date.now() - began < 15_000);
    });

    describe("with the role of a container", () => {
        const roleEnv = (change: Record<string, string> = {}) => ({
            AWS_REGION: REGION, AWS_ENDPOINT_URL: aws.url, AWS_CONTAINER_CREDENTIALS_FULL_URI: `${aws.url}/role`,
            AWS_CONTAINER_AUTHORIZATION_TOKEN: aws.roleToken, SOUK_SECRETS_ARN: aws.secret("settings", { SOUK_SECRET: GOOD_SECRET }), ...change,
        });

        test("its credentials sign", async () => {
            const role = aws.key({ sessionToken: "of the role", expiresAt: Date.now() + 3600_000 });
            aws.role = () => role;
            const { code, stderr } = await config(roleEnv());
            assert.deepEqual([code, stderr], [0, ""]);
            assert.equal(aws.calls.at(-1)!.accessKeyId, role.accessKeyId);
        });

        test("its token may stand in a file", async () => {
            const file = path.join(folder, "token");
            writeFileSync(file, `${aws.roleToken}\n`);
            const { AWS_CONTAINER_AUTHORIZATION_TOKEN: _, ...env } = roleEnv();
            assert.equal((await config({ ...env, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: file })).code, 0);
            assert.match((await config({ ...env, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: `${file}-not` })).stderr, /the file of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read/);
        });

        test("a wrong token, and an address that is nobody's", async () => {
            assert.equal((await config(roleEnv({ AWS_CONTAINER_AUTHORIZATION_TOKEN: "wrong" }))).stderr,
                "souk config: SOUK_SECRETS_ARN: AWS credentials of the container: the endpoint said 403\n");
            assert.match((await config(roleEnv({ AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://credentials.example/role" }))).stderr,
                /AWS credentials of the container: the address to call must start with https:\/\//);
        });

        test("those that AWS calls expired are asked for once more", async () => {
            const stale = aws.key({ sessionToken: "stale", expiresAt: Date.now() - 1000 });
            const fresh = aws.key({ sessionToken: "fresh" });
            const asked = aws.asked;
            // The endpoint says that the first are good, AWS knows better.
            aws.role = () => aws.asked === asked + 1 ? { ...stale, expiresAt: Date.now() + 3600_000 } : fresh;
            const { code, stderr } = await config(roleEnv());
            assert.deepEqual([code, stderr, aws.asked - asked], [0, "", 2]);
        });
    });
});

describe("mail through SES", () => {
    let shop: Shop;
    const address = (name: string) => `${unique(name)}@example.com`;
    const register = async (email: string, input: Record<string, unknown> = {}) => ok(await shop.guest.post("/auth/register", { email, password: PASSWORD, ...input }), 201);
    const mailsOf = (email: string) => aws.mails.filter((mail) => mail.to.includes(email));
    const offered = (email: string) => aws.called("SendEmail").filter((call) => call.input.Destination.ToAddresses.includes(email)).length;
    const retryNow = () => shop.server.sql(`UPDATE outbox SET due_at = ${sqlTime(1)} WHERE due_at IS NOT NULL AND last_error IS NOT NULL`);
    const failed = () => shop.server.sql("SELECT attempts, last_error FROM outbox WHERE due_at IS NOT NULL AND last_error IS NOT NULL");
    const givenUp = () => shop.server.sql("SELECT attempts, last_error FROM outbox WHERE due_at IS NULL AND delivered_at IS NULL");
    before(async () => {
        shop = await Shop.open({ env: aws.env(key, { SOUK_MAIL: "ses", SOUK_MAIL_FROM: "shop@souk.example", SOUK_JOB_INTERVAL_MS: "50" }) });
    });
    after(async () => {
        aws.onCall = () => undefined;
        await shop?.close();
    });

    test("each mail once, whole", async () => {
        const email = address("amina");
        await register(email, { firstName: "Ольга" });
        const mails = await eventually("two mails", () => mailsOf(email).length >= 2 && mailsOf(email));
        for (const mail of mails) {
            assert.equal(mail.from, "shop@souk.example");
            assert.match(mail.text, /^From: .*shop@souk\.example/m);
            assert.ok(/^[\x00-\x7f]*$/.test(mail.text), "7 bits on the way");
            assert.match(Buffer.from(mail.text.split("\r\n\r\n")[1]!, "base64").toString(), /^Hello Ольга,/);
        }
        await eventually("nothing is left", () => shop.server.database.number("SELECT COUNT(*) FROM outbox WHERE due_at IS NOT NULL") === 0);
        assert.deepEqual([offered(email), mailsOf(email).length], [2, 2]);
    });

    test("throttled: sent a moment later, once", async () => {
        const email = address("busy");
        failing("SendEmail", 2, { status: 429, type: "TooManyRequestsException" });
        await register(email);
        await eventually("two mails", () => mailsOf(email).length >= 2);
        assert.deepEqual([offered(email), mailsOf(email).length, failed().length], [4, 2, 0]);
    });

    test("a refusal of the mail itself: given up at once, without the address in the log", async () => {
        const email = address("virus");
        aws.onCall = (call) => call.operation === "SendEmail" ? { status: 400, type: "MessageRejected", message: `Message rejected for ${email}` } : undefined;
        await register(email);
        const rows = await eventually("both are given up", () => givenUp().length === 2 && givenUp());
        for (const row of rows) assert.deepEqual([Number(row.attempts), row.last_error], [1, "SES's SendEmail: 400 MessageRejected"]);
        assert.ok(!shop.server.stderr.includes(email));
        shop.server.sql("DELETE FROM outbox WHERE due_at IS NULL AND delivered_at IS NULL");
        aws.onCall = () => undefined;
    });

    test("a sender that is not verified yet, a quota, a missing right: later again", async () => {
        const faults = [{ status: 400, type: "MessageRejected", message: "Email address is not verified. The following identities failed the check in region EU-WEST-1: shop@souk.example" },
            { status: 400, type: "LimitExceededException" }, { status: 403, type: "AccessDeniedException" }];
        for (const fault of faults) {
            const email = address("later");
            aws.onCall = (call) => call.operation === "SendEmail" ? fault : undefined;
            await register(email);
            const rows = await eventually("both failed", () => failed().length === 2 && failed());
            for (const row of rows) assert.deepEqual([Number(row.attempts), row.last_error], [1, `SES's SendEmail: ${fault.status} ${fault.type}`]);
            aws.onCall = () => undefined;
            retryNow();
            await eventually("they arrive", () => mailsOf(email).length === 2);
            await eventually("nothing is left", () => failed().length === 0);
        }
    });

    test("an answer that is lost, a 5xx: not sent again at once, since it may have been taken", async () => {
        for (const fault of ["hang up" as const, { status: 503, type: "ServiceUnavailable" }]) {
            const email = address("lost");
            aws.onCall = (call) => call.operation === "SendEmail" ? fault : undefined;
            await register(email);
            await eventually("both failed", () => failed().length === 2);
            assert.equal(offered(email), 2, "each once");
            aws.onCall = () => undefined;
            retryNow();
            await eventually("nothing is left", () => failed().length === 0);
            assert.equal(offered(email), 4);
        }
    });

    test("what it needs is said at the start", async () => {
        const { AWS_REGION: _, ...env } = aws.env(key, { SOUK_MAIL: "ses" });
        const { code, stderr } = await souk(shop.server.data, ["work"], { env });
        assert.deepEqual([code, stderr], [2, "souk work: AWS_REGION must be set where SOUK_MAIL is ses\n"]);
        const smtp = await souk(shop.server.data, ["work"], { env: { SOUK_MAIL: "smtp" } });
        assert.deepEqual([smtp.code, smtp.stderr], [2, "souk work: SOUK_SMTP_URL must be set where SOUK_MAIL is smtp\n"]);
    });
});
