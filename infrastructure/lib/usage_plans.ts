// Usage plans of API Gateway, for programs of partners. They bind only with `-c apiKeys=required`, and a key's text must be one that
// souk knows as well (`POST /api-keys`), since both read X-Api-Key: `-c partnerKey=NAME` names the secret that holds it.
import { CfnOutput, SecretValue, type Stack } from "aws-cdk-lib";
import * as apigateway from "aws-cdk-lib/aws-apigateway";
import type { Settings } from "./settings.ts";

interface Plan {
    name: string;
    description: string;
    ratePerSecond: number;
    burst: number;
    perMonth: number;
}

const PLANS: Plan[] = [
    { name: "standard", description: "a page's publishable key", ratePerSecond: 1000, burst: 2000, perMonth: 50_000_000 },
    { name: "partner", description: "a partner's program", ratePerSecond: 50, burst: 100, perMonth: 5_000_000 },
];

export function usagePlans(stack: Stack, settings: Settings, api: apigateway.RestApi): void {
    for (const { name, description, ratePerSecond, burst, perMonth } of PLANS) {
        const plan = api.addUsagePlan(`Plan-${name}`, {
            name: `${settings.prefix}-${name}`,
            description,
            throttle: { rateLimit: ratePerSecond, burstLimit: burst },
            quota: { limit: perMonth, period: apigateway.Period.MONTH },
            apiStages: [{ stage: api.deploymentStage }],
        });
        new CfnOutput(stack, `UsagePlan-${name}`, { value: plan.usagePlanId });
        const secret = name === "partner" ? settings.partnerKey : undefined;
        if (secret === undefined) continue;
        const key = new apigateway.CfnApiKey(stack, `Key-${name}`, {
            name: `${settings.prefix}-${name}`,
            description: `The key of souk whose text the secret ${secret} holds`,
            enabled: true,
            value: SecretValue.secretsManager(secret).unsafeUnwrap(), // a reference: CloudFormation reads the secret
        });
        new apigateway.CfnUsagePlanKey(stack, `PlanKey-${name}`, { keyId: key.ref, keyType: "API_KEY", usagePlanId: plan.usagePlanId });
    }
}
