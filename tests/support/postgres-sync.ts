// Statements on PostgreSQL whose answer is waited for, as those on SQLite are: a thread of its own asks. (A psql for each took a
// quarter of the run.)
import { MessageChannel, receiveMessageOnPort, Worker, type MessagePort } from "node:worker_threads";

const ANSWER_MS = 60_000;

interface Asker {
    port: MessagePort;
    flag: Int32Array;
}

let asker: Asker | undefined;

function start(): Asker {
    const { port1, port2 } = new MessageChannel();
    const signal = new SharedArrayBuffer(4);
    const worker = new Worker(new URL("./postgres-asker.mjs", import.meta.url), { workerData: { port: port2, signal }, transferList: [port2], execArgv: [] });
    worker.unref();
    port1.unref();
    return { port: port1, flag: new Int32Array(signal) };
}

/** Runs the statement; the rows' values as PostgreSQL writes them, with | between columns and a new line between rows. */
export function askPostgres(url: string, statement: string): string {
    asker ??= start();
    Atomics.store(asker.flag, 0, 0);
    asker.port.postMessage({ url, statement });
    const outcome = Atomics.wait(asker.flag, 0, 0, ANSWER_MS);
    const reply = receiveMessageOnPort(asker.port)?.message as { text?: string; error?: string } | undefined;
    if (outcome === "timed-out" || !reply) {
        asker = undefined; // its answer may come yet, and is nobody's
        throw new Error(`PostgreSQL did not answer in ${ANSWER_MS / 1000} s: ${statement.slice(0, 300)}`);
    }
    if (reply.error !== undefined) throw new Error(`PostgreSQL: ${reply.error} in ${statement.slice(0, 300)}`);
    return reply.text!;
}
