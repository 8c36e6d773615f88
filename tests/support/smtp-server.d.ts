// What the tests use of the package smtp-server, which has no types of its own.
declare module "smtp-server" {
    import type { Readable } from "node:stream";
    import type { Server } from "node:net";

    export interface Session {
        secure: boolean;
        user?: string;
        hostNameAppearsAs: string;
        envelope: { mailFrom: { address: string }; rcptTo: { address: string }[] };
    }
    type Done = (error?: (Error & { responseCode?: number }) | null, answer?: unknown) => void;

    export interface SMTPServerOptions {
        secure?: boolean;
        key?: string;
        cert?: string;
        authOptional?: boolean;
        disabledCommands?: string[];
        hideSTARTTLS?: boolean;
        allowInsecureAuth?: boolean;
        closeTimeout?: number;
        logger?: boolean;
        onAuth?: (auth: { username: string; password: string }, session: Session, done: Done) => void;
        onRcptTo?: (address: { address: string }, session: Session, done: Done) => void;
        onData?: (stream: Readable, session: Session, done: Done) => void;
    }

    export class SMTPServer {
        constructor(options: SMTPServerOptions);
        server: Server;
        connections: Set<{ _socket: { destroy(): void } }>;
        listen(port: number, host: string, done: () => void): void;
        close(done: () => void): void;
        on(event: "error", listener: (error: Error) => void): void;
    }
}
