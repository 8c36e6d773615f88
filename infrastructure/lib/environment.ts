// The settings of souk (src/base/config.c) that AWS knows the values of. No secret is among them: those are read by souk itself from
// SOUK_SECRETS_ARN and DATABASE_SECRET_ARN.
import type { Parts } from "./functions.ts";
import type { Settings } from "./settings.ts";
import { withoutUndefined } from "./settings.ts";
import { metricsEnvironment } from "../../monitoring/cloudwatch.ts";
import { SERVICE } from "./monitoring.ts";

export function environment(
    settings: Settings,
    { data, identity }: Pick<Parts, "data" | "identity">,
    compute: "lambda" | "fargate",
    more: { queueUrl?: string } = {},
): Record<string, string> {
    const publicUrl = settings.domain && `https://${settings.domain.name}`;
    return {
        SOUK_SECRETS_ARN: data.settingsSecret.secretArn,
        DATABASE_SECRET_ARN: data.databaseSecret.secretArn,
        DATABASE_URL: data.urls.primary,
        // A prepared statement would pin the session to a connection of the proxy.
        SOUK_DATABASE_PREPARE: "off",
        AUTH_PROVIDER: "cognito",
        COGNITO_USER_POOL_ID: identity.pool.userPoolId,
        COGNITO_CLIENT_ID: identity.client.userPoolClientId,
        AUTH_ROLE_MAP: "admin=admin,staff=staff",
        SOUK_LOG: "request",
        ...metricsEnvironment(SERVICE, settings.stage),
        ...(withoutUndefined({
            SOUK_PUBLIC_URL: publicUrl,
            SOUK_CORS_ORIGINS: publicUrl,
            SOUK_MAIL: identity.mail && "ses",
            SOUK_MAIL_FROM: identity.mail?.from,
        }) as Record<string, string>),
        ...(compute === "lambda"
            ? {
                  SOUK_MIGRATE: "off",
                  SOUK_TRACE: "xray", // by the daemon that Lambda runs beside a function; beside a task there is none
                  SOUK_DATA: "/tmp", // nothing else can be written
                  ...(more.queueUrl ? { SOUK_JOBS_QUEUE_URL: more.queueUrl } : {}),
              }
            : { SOUK_MIGRATE: "on" }),
    };
}
