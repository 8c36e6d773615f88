// The other thread of askPostgres (postgres-sync.ts), which waits for it: runs statements and keeps a few connections. Plain
// JavaScript, so that the thread needs no loader.
import { workerData } from "node:worker_threads";
import pg from "pg";

const CLIENTS_MAX = 3;
const flag = new Int32Array(workerData.signal);
const asWritten = { getTypeParser: () => (value) => value };
const clients = new Map(); // by URL, that used last at the end

function forget(url, client) {
    if (clients.get(url) === client) clients.delete(url);
    client.end().catch(() => undefined);
}

async function connected(url) {
    const kept = clients.get(url);
    if (kept) {
        clients.delete(url);
        clients.set(url, kept);
        return kept;
    }
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
    client.on("error", () => forget(url, client));
    await client.connect();
    clients.set(url, client);
    for (const [oldest, idle] of clients) if (clients.size > CLIENTS_MAX) forget(oldest, idle);
    return client;
}

/** Errors of the server have a code; without one, or with that of its end, the connection was gone. */
const isGone = (error) => !error.code || /^(08|57P|E)/.test(error.code);

async function ask(url, statement, isSecond = false) {
    const isKept = clients.has(url);
    const client = await connected(url);
    try {
        const results = [await client.query({ text: statement, rowMode: "array", types: asWritten })].flat();
        return results.flatMap(({ rows }) => rows).map((row) => row.map((value) => value ?? "").join("|")).join("\n");
    } catch (error) {
        forget(url, client);
        if (isSecond || !isKept || !isGone(error)) throw error;
        return ask(url, statement, true);
    }
}

workerData.port.on("message", async ({ url, statement }) => {
    let reply;
    try {
        reply = { text: await ask(url, statement) };
    } catch (error) {
        reply = { error: String(error?.message ?? error) };
    }
    workerData.port.postMessage(reply);
    Atomics.store(flag, 0, 1);
    Atomics.notify(flag, 0);
});
