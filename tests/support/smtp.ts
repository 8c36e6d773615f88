// A mail server of our own (nodemailer's smtp-server) on a free port of this machine, which remembers what it was given and can be
// told to refuse.
import { readFileSync } from "node:fs";
import { SMTPServer, type Session } from "smtp-server";
import { makeCertificates } from "./certificates.ts";
import { temporaryFolder } from "./processes.ts";

export interface Received {
    from: string;
    to: string[];
    text: string;          // with CRLF, as it came
    headers: Map<string, string>;
    body: string;          // decoded
    isSecure: boolean;
    user: string | undefined;
    hello: string;
}

export interface MailServerOptions {
    tls: "smtps" | "starttls" | "none";
    login?: { user: string; password: string };
}

/** What the server does with one mail: takes it, answers a code, hangs up once it has all of it, or never answers. */
export type Verdict = "take" | number | "hang up" | "stall";

export class MailServer {
    readonly received: Received[] = [];
    /** Every mail that came to its end, taken or not. */
    readonly offered: Received[] = [];
    onRecipient: (address: string) => Verdict = () => "take";
    onMail: (mail: Received) => Verdict = () => "take";
    private constructor(private readonly server: SMTPServer, readonly port: number, readonly caFile: string, private readonly options: MailServerOptions,
        private readonly release: () => void) {}

    static async start(options: MailServerOptions, port = 0): Promise<MailServer> {
        const { folder, release } = temporaryFolder();
        const files = makeCertificates(folder);
        // eslint-disable-next-line prefer-const
        let self: MailServer;
        const refusal = (code: number) => Object.assign(new Error("no, said the test to <somebody@example.com>"), { responseCode: code });
        const server = new SMTPServer({
            secure: options.tls === "smtps", hideSTARTTLS: options.tls === "none", disabledCommands: options.tls === "none" ? ["STARTTLS"] : [],
            key: readFileSync(files.key, "utf8"), cert: readFileSync(files.certificate, "utf8"),
            authOptional: options.login === undefined, allowInsecureAuth: options.tls === "none", closeTimeout: 500, logger: false,
            onAuth: ({ username, password }, _session, done) => {
                const isRight = username === options.login?.user && password === options.login?.password;
                done(isRight ? null : refusal(535), { user: username });
            },
            onRcptTo: ({ address }, _session, done) => {
                const verdict = self.onRecipient(address);
                done(typeof verdict === "number" ? refusal(verdict) : null);
            },
            onData: (stream, session, done) => {
                const parts: Buffer[] = [];
                stream.on("data", (part: Buffer) => parts.push(part));
                stream.on("end", () => {
                    const mail = read(Buffer.concat(parts).toString("utf8"), session);
                    self.offered.push(mail);
                    const verdict = self.onMail(mail);
                    if (verdict === "stall") return;
                    if (verdict === "hang up") {
                        self.received.push(mail); // it was taken; only its sender does not learn it
                        self.hangUp();
                        return;
                    }
                    if (verdict === "take") self.received.push(mail);
                    done(typeof verdict === "number" ? refusal(verdict) : null);
                });
            },
        });
        server.on("error", () => undefined); // a client that hangs up is no failure of the test
        await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
        self = new MailServer(server, (server.server.address() as { port: number }).port, files.authority, options, release);
        return self;
    }

    private hangUp(): void {
        for (const connection of this.server.connections) connection._socket.destroy();
    }

    /** The settings of a souk that sends through it. */
    env(change: Record<string, string> = {}): Record<string, string> {
        const login = this.options.login ? `${encodeURIComponent(this.options.login.user)}:${encodeURIComponent(this.options.login.password)}@` : "";
        return {
            SOUK_SMTP_URL: `${this.options.tls === "smtps" ? "smtps" : "smtp"}://${login}127.0.0.1:${this.port}`,
            SOUK_CA_FILE: this.caFile, SOUK_MAIL_FROM: "shop@souk.example", SOUK_JOB_INTERVAL_MS: "50", ...change,
        };
    }

    to(address: string): Received[] {
        return this.received.filter((mail) => mail.to.includes(address));
    }

    async stop(): Promise<void> {
        this.hangUp();
        await new Promise<void>((resolve) => this.server.close(resolve));
        this.release();
    }
}

function read(text: string, session: Session): Received {
    const cut = text.indexOf("\r\n\r\n");
    const headers = new Map<string, string>();
    for (const line of text.slice(0, cut).replace(/\r\n[ \t]+/g, " ").split("\r\n")) {
        const colon = line.indexOf(":");
        headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
    }
    const raw = text.slice(cut + 4);
    return {
        from: session.envelope.mailFrom.address, to: session.envelope.rcptTo.map((one) => one.address), text, headers,
        body: headers.get("content-transfer-encoding") === "base64" ? Buffer.from(raw, "base64").toString("utf8") : raw,
        isSecure: session.secure, user: session.user, hello: session.hostNameAppearsAs,
    };
}
