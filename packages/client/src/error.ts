// The one error of this client for an answer that says no: it carries the problem (RFC 9457).
import type { FieldError, Problem } from "./types.ts";

export class SoukError extends Error {
    override readonly name = "SoukError";

    constructor(
        readonly problem: Problem,
        /** Seconds to wait before another try, when the server said so. */
        readonly retryAfterSeconds: number | undefined,
    ) {
        super(`${problem.status} ${problem.code}: ${problem.detail}`);
    }

    get status(): number {
        return this.problem.status;
    }

    /** What programs switch on, such as `OUT_OF_STOCK`. */
    get code(): string {
        return this.problem.code;
    }

    get requestId(): string {
        return this.problem.requestId;
    }

    /** The single bad fields; empty when the problem is of another kind. */
    get errors(): FieldError[] {
        return this.problem.errors ?? [];
    }

    /** The fault of one field, by its path in the request: `shippingAddress.zip`. */
    errorOf(field: string): FieldError | undefined {
        return this.errors.find((error) => error.field === field);
    }

    /** A proxy in between may answer something else than a problem; then one is made of the status. */
    static async from(response: Response): Promise<SoukError> {
        const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
        const retryAfter = Number.isNaN(seconds) ? undefined : seconds;
        const isProblem = response.headers.get("Content-Type")?.startsWith("application/problem+json");
        const body: unknown = isProblem ? await response.json().catch(() => undefined) : undefined;
        return new SoukError((body as Problem | undefined) ?? problemOf(response), retryAfter);
    }
}

function problemOf(response: Response): Problem {
    return {
        type: "about:blank",
        title: response.statusText,
        status: response.status,
        detail: "The answer did not come from the shop.",
        code: "UNREADABLE_REPLY",
        requestId: response.headers.get("X-Request-Id") ?? "",
    };
}
