// What souk would have mailed. The tokens of such messages are stored as hashes only, and in the outbox sealed; so a test plants
// one of its own beside the one that was sent, as if it had read the message.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { eventually, uuidBlob, type Server } from "./server.ts";

export async function mailedToken(server: Server, purpose: "verify_email" | "reset_password", account: { id: string }): Promise<string> {
    const where = `user_id = ${uuidBlob(account.id)} AND purpose = '${purpose}' AND used_at IS NULL`;
    await eventually(`a ${purpose} token`, () => server.sql(`SELECT 1 AS found FROM account_tokens WHERE ${where}`).length > 0);
    const token = randomBytes(32).toString("base64url");
    const hash = createHash("sha256").update(token).digest("hex");
    server.sql(`INSERT INTO account_tokens (token_hash, user_id, purpose, created_at, expires_at)
        SELECT x'${hash}', user_id, purpose, created_at, expires_at FROM account_tokens WHERE ${where} LIMIT 1`);
    const sent = server.sql(`SELECT topic, payload FROM outbox WHERE payload LIKE '%${account.id}%'`);
    assert.ok(sent.length > 0, "a message waits in the outbox");
    return token;
}
