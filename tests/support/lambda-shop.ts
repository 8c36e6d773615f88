// The shop as AWS runs it: copies of `bootstrap` behind an HTTP front, and the background jobs in a process of their own (`souk work`).
// SOUK_TEST_FRONT=rest (http, url, alb, alb-multi) puts it in place of `souk serve` under every suite.
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import os from "node:os";
import { FRONTS, type Front } from "./lambda-events.ts";
import { LambdaFront } from "./lambda-front.ts";
import { LambdaFunction } from "./lambda.ts";
import { binary, lambdaBinary } from "./paths.ts";
import { ended, eventually, track } from "./processes.ts";

const STOP_MS = 10_000;

export const lambdaFront = ((): Front | undefined => {
    const name = process.env.SOUK_TEST_FRONT || "server";
    if (name === "server") return undefined;
    assert.ok((FRONTS as readonly string[]).includes(name), `SOUK_TEST_FRONT is server, ${FRONTS.join(", ")}; not ${name}`);
    return name as Front;
})();

/** For `{ skip }` of a test that is about one server, with the reason why Lambda is otherwise. */
export const notOverLambda = (reason: string): string | false => (lambdaFront === undefined ? false : `not over Lambda: ${reason}`);

/** How the function is started: the packaged file, or the server's binary under its name. */
export const bootstrap = lambdaBinary === undefined ? { command: binary, argv0: "bootstrap" } : { command: lambdaBinary };

interface Exit { code: number | null; signal: NodeJS.Signals | null }

export class LambdaShop {
    readonly front: LambdaFront;
    readonly function: LambdaFunction;
    readonly exit: Promise<Exit>;
    private work: ChildProcess | undefined;
    private over!: (exit: Exit) => void;

    constructor(front: Front, private readonly data: string, private readonly env: Record<string, string>, private readonly hasJobs: boolean,
        private readonly onOutput: (stream: "stdout" | "stderr", text: string) => void) {
        this.front = new LambdaFront(front);
        this.function = new LambdaFunction({ ...bootstrap, env: { ...env, SOUK_DATA: data }, onOutput });
        this.front.target = this.function;
        this.exit = new Promise((resolve) => { this.over = resolve; });
    }

    async start(): Promise<void> {
        await this.front.listen();
        if (!this.hasJobs) return;
        const work = track(spawn(binary, ["work", "--data", this.data], { cwd: os.tmpdir(), env: this.env, stdio: ["ignore", "pipe", "pipe"] }));
        this.work = work;
        let isWorking = false;
        work.stdout!.setEncoding("utf8").on("data", (text: string) => { isWorking ||= text.includes("working"); });
        work.stderr!.setEncoding("utf8").on("data", (text: string) => this.onOutput("stderr", text));
        await eventually("souk work", () => isWorking || work.exitCode !== null, 30_000);
        assert.ok(isWorking, "souk work ended before it worked");
    }

    signal(name: NodeJS.Signals): void {
        for (const copy of this.function.copies) copy.child.kill(name);
        this.work?.kill(name);
    }

    async kill(): Promise<void> {
        this.work?.kill("SIGKILL");
        await this.function.kill();
        if (this.work) await ended(this.work, STOP_MS);
        await this.front.close();
        this.over({ code: null, signal: "SIGKILL" });
    }

    async stop(): Promise<Exit> {
        try {
            this.work?.kill("SIGTERM");
            await this.function.stop();
            if (this.work) {
                await ended(this.work, STOP_MS);
                assert.equal(this.work.exitCode, 0, "souk work must exit 0 on SIGTERM");
            }
        } finally {
            await this.front.close();
            this.over({ code: 0, signal: null });
        }
        return { code: 0, signal: null };
    }
}
