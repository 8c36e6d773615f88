// What API Gateway answers by itself, in the contract's words (RFC 9457), so that clients know one form of error.
import * as apigateway from "aws-cdk-lib/aws-apigateway";

interface Problem {
    type: apigateway.ResponseType;
    status: number;
    code: string;
    title: string;
    headers?: Record<string, string>;
}

const { ResponseType } = apigateway;
/** Anything else that API Gateway may invent; the more special ones come after. */
const PROBLEMS: Problem[] = [
    { type: ResponseType.BAD_REQUEST_BODY, status: 400, code: "VALIDATION_ERROR", title: "The body does not follow the contract" },
    { type: ResponseType.BAD_REQUEST_PARAMETERS, status: 400, code: "VALIDATION_ERROR", title: "A parameter is missing" },
    { type: ResponseType.UNAUTHORIZED, status: 401, code: "UNAUTHORIZED", title: "No valid access token", headers: { "WWW-Authenticate": "'Bearer'" } },
    { type: ResponseType.ACCESS_DENIED, status: 403, code: "FORBIDDEN", title: "Not yours to do" },
    { type: ResponseType.INVALID_API_KEY, status: 401, code: "INVALID_API_KEY", title: "No valid API key" },
    { type: ResponseType.MISSING_AUTHENTICATION_TOKEN, status: 404, code: "NOT_FOUND", title: "There is nothing here" },
    { type: ResponseType.REQUEST_TOO_LARGE, status: 413, code: "PAYLOAD_TOO_LARGE", title: "The request is too large" },
    { type: ResponseType.UNSUPPORTED_MEDIA_TYPE, status: 415, code: "UNSUPPORTED_MEDIA_TYPE", title: "Send application/json" },
    { type: ResponseType.THROTTLED, status: 429, code: "RATE_LIMIT_EXCEEDED", title: "Too many requests", headers: { "Retry-After": "'1'" } },
    { type: ResponseType.QUOTA_EXCEEDED, status: 429, code: "QUOTA_EXCEEDED", title: "The key's quota is used up", headers: { "Retry-After": "'3600'" } },
    { type: ResponseType.INTEGRATION_TIMEOUT, status: 504, code: "TIMEOUT", title: "No answer in time", headers: { "Retry-After": "'1'" } },
    { type: ResponseType.INTEGRATION_FAILURE, status: 503, code: "UNAVAILABLE", title: "Try again", headers: { "Retry-After": "'1'" } },
    { type: ResponseType.DEFAULT_5XX, status: 503, code: "UNAVAILABLE", title: "Try again", headers: { "Retry-After": "'1'" } },
];

/** `$context.error.messageString` brings its own quotes; a 5xx tells nothing of the inside. */
function template({ status, code, title }: Problem): string {
    const detail = status < 500 ? "$context.error.messageString" : JSON.stringify(title);
    const fixed = JSON.stringify({ type: "about:blank", title, status, code }).slice(1, -1);
    return `{${fixed},"detail":${detail},"errors":[],"requestId":"$context.requestId"}`;
}

export function problemResponses(api: apigateway.RestApi): void {
    for (const problem of PROBLEMS) {
        api.addGatewayResponse(`Problem-${problem.type.responseType}`, {
            type: problem.type,
            statusCode: String(problem.status),
            responseHeaders: { "Content-Type": "'application/problem+json'", "Cache-Control": "'no-store'", ...problem.headers },
            templates: { "application/json": template(problem), "application/problem+json": template(problem) },
        });
    }
}
