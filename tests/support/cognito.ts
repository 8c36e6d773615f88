// Cognito as others have built it for tests: cognito-local (npm) and moto (Python, where the machine has it), each a process of its own
// in a temporary folder, set up by the official SDK.
import {
    AdminAddUserToGroupCommand, AdminConfirmSignUpCommand, AdminRemoveUserFromGroupCommand, AdminUpdateUserAttributesCommand, CognitoIdentityProviderClient,
    CreateGroupCommand, CreateUserPoolClientCommand, CreateUserPoolCommand,
} from "@aws-sdk/client-cognito-identity-provider";
import { execFileSync, type ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import { ended, eventually, freePort, startService, temporaryFolder } from "./processes.ts";

export type Maker = "cognito-local" | "moto";

export const hasMoto = (): boolean => {
    try {
        execFileSync("python3", ["-c", "import moto.server, flask, flask_cors"], { stdio: "ignore" });
        return true;
    } catch {
        return false;
    }
};

export class Pool {
    readonly sdk: CognitoIdentityProviderClient;
    id = "";
    clientId = "";
    private constructor(readonly maker: Maker, readonly port: number, private readonly child: ChildProcess, private readonly folder: string, private readonly release: () => void) {
        this.sdk = new CognitoIdentityProviderClient({
            endpoint: this.url, region: maker === "moto" ? "eu-west-1" : "local", credentials: { accessKeyId: "test", secretAccessKey: "test" }, maxAttempts: 1,
        });
    }

    static async start(maker: Maker): Promise<Pool> {
        const { folder, release } = temporaryFolder();
        const port = await freePort();
        const command = maker === "moto"
            ? ["python3", "-c", "import sys; from moto.server import main; main(sys.argv[1:])", "-H", "127.0.0.1", "-p", String(port)]
            : ["env", "HOST=127.0.0.1", `PORT=${port}`, process.execPath, createRequire(import.meta.url).resolve("cognito-local/lib/bin/start.js")];
        const pool = new Pool(maker, port, startService(folder, command[0]!, command.slice(1), "SIGKILL"), folder, release);
        try {
            await eventually(`${maker} listens`, () => fetch(pool.url, { signal: AbortSignal.timeout(2000) }).then(() => true, () => false), 30_000);
            await pool.make();
        } catch (error) {
            console.error(readFileSync(path.join(folder, "log"), "utf8").slice(-2000));
            await pool.stop();
            throw error;
        }
        return pool;
    }

    private async make(): Promise<void> {
        const pool = await this.sdk.send(new CreateUserPoolCommand({ PoolName: "shop", UsernameAttributes: ["email"], AutoVerifiedAttributes: ["email"] }));
        this.id = pool.UserPool!.Id!;
        const client = await this.sdk.send(new CreateUserPoolClientCommand({
            UserPoolId: this.id, ClientName: "shop", ExplicitAuthFlows: ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
        }));
        this.clientId = client.UserPoolClient!.ClientId!;
        for (const GroupName of ["admins", "clerks"]) await this.sdk.send(new CreateGroupCommand({ UserPoolId: this.id, GroupName }));
    }

    get url(): string {
        return `http://127.0.0.1:${this.port}`;
    }

    /** The settings of a souk that believes it. */
    env(change: Record<string, string> = {}): Record<string, string> {
        return {
            AUTH_PROVIDER: "cognito", COGNITO_ENDPOINT: this.url, COGNITO_USER_POOL_ID: this.id, COGNITO_CLIENT_ID: this.clientId,
            AUTH_ROLE_MAP: "admins=admin,clerks=order-clerk", SOUK_JWKS_INTERVAL_MS: "200",
            ...(this.maker === "moto" ? {} : { AUTH_ISSUER: `${this.url}/${this.id}` }), ...change,
        };
    }

    /** The newest code that was sent to somebody, as cognito-local wrote it down. */
    codeOf(email: string): Promise<string> {
        interface Stored { Users: Record<string, { Attributes: { Name: string; Value: string }[]; ConfirmationCode?: string }> }
        return eventually(`a code for ${email}`, () => {
            const { Users } = JSON.parse(readFileSync(path.join(this.folder, ".cognito/db", `${this.id}.json`), "utf8")) as Stored;
            return Object.values(Users).find((user) => user.Attributes.some((one) => one.Name === "email" && one.Value === email))?.ConfirmationCode;
        });
    }

    /** As the pool's own console would. */
    async confirm(Username: string): Promise<void> {
        await this.sdk.send(new AdminConfirmSignUpCommand({ UserPoolId: this.id, Username }));
    }

    async verifyEmail(Username: string): Promise<void> {
        const both = this.maker === "cognito-local" ? [{ Name: "email", Value: Username }] : []; // which wants it beside the other
        await this.sdk.send(new AdminUpdateUserAttributesCommand({ UserPoolId: this.id, Username, UserAttributes: [...both, { Name: "email_verified", Value: "true" }] }));
    }

    async join(Username: string, GroupName: string): Promise<void> {
        await this.sdk.send(new AdminAddUserToGroupCommand({ UserPoolId: this.id, Username, GroupName }));
    }

    async leave(Username: string, GroupName: string): Promise<void> {
        await this.sdk.send(new AdminRemoveUserFromGroupCommand({ UserPoolId: this.id, Username, GroupName }));
    }

    async kill(): Promise<void> {
        this.child.kill("SIGKILL");
        await ended(this.child, 5000);
    }

    async stop(): Promise<void> {
        this.sdk.destroy();
        await this.kill();
        this.release();
    }
}
