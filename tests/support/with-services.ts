// scripts/with-services: runs a command with a PostgreSQL and a Redis of its own, named by the variables SOUK_TEST_POSTGRES and
// SOUK_TEST_REDIS, and ends with the command's status. A service whose variable is set already is not started.
import { spawn } from "node:child_process";
import os from "node:os";
import { track } from "./processes.ts";
import { startServices, type Service } from "./services.ts";

const STOP_MS = 30_000; // for the command, after the signal that ends us

const separator = process.argv.indexOf("--");
const wanted = process.argv.slice(2, separator);
const [command, ...args] = process.argv.slice(separator + 1);
if (separator < 0 || command === undefined || wanted.some((name) => name !== "postgres" && name !== "redis")) {
    console.error("scripts/with-services [postgres] [redis] -- command...");
    process.exit(2);
}

/** The command's status, as a shell would say it. Signals are passed on to it, and it is waited for. */
function run(): Promise<number> {
    const child = track(spawn(command!, args, { stdio: "inherit" }));
    for (const name of ["SIGINT", "SIGTERM"] as const) {
        process.removeAllListeners(name);
        process.on(name, () => {
            child.kill(name);
            setTimeout(() => child.kill("SIGKILL"), STOP_MS).unref();
        });
    }
    return new Promise((resolve) => {
        child.once("error", (error) => {
            console.error(error.message);
            resolve(127);
        });
        child.once("exit", (code, signal) => resolve(code ?? 128 + os.constants.signals[signal!]));
    });
}

let status: number;
try {
    const services = await startServices(wanted as Service[]);
    status = await run();
    for (const service of services) await service.dispose();
} catch (error) {
    console.error((error as Error).message);
    status = 1;
}
process.exit(status);
