// What souk mailed: a shop without a mail server writes each mail to a file in its data folder.
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import { eventually, type Server } from "./server.ts";

/** All mails to an address, oldest first. */
export function mailsTo(server: Server, email: string): string[] {
    const folder = path.join(server.data, "mail");
    if (!existsSync(folder)) return [];
    return readdirSync(folder).filter((name) => name.endsWith(".eml")).map((name) => path.join(folder, name))
        .sort((a, b) => statSync(a).mtimeMs - statSync(b).mtimeMs)
        .map((file) => readFileSync(file, "utf8"))
        .filter((text) => new RegExp(`^To: .*${email.replace(/[.+]/g, "\\$&")}`, "mi").test(text.split("\r\n\r\n")[0]!.replace(/\r\n[ \t]+/g, " ")));
}

/** The token in the newest mail of this kind to the account. */
export function mailedToken(server: Server, purpose: "verify_email" | "reset_password", account: { email: string }): Promise<string> {
    const link = purpose === "verify_email" ? /\/store\/verify\?token=([A-Za-z0-9_-]{43})/ : /\/store\/reset\?token=([A-Za-z0-9_-]{43})/;
    return eventually(`a ${purpose} mail to ${account.email}`, () => mailsTo(server, account.email).map((text) => link.exec(text)?.[1]).filter((token) => token !== undefined).at(-1));
}
