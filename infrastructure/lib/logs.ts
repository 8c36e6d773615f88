// Log groups: every one is named, has an end, and goes with its stack (what must be kept longer is exported by the operator).
import { RemovalPolicy } from "aws-cdk-lib";
import * as logs from "aws-cdk-lib/aws-logs";
import type { Construct } from "constructs";
import type { Settings } from "./settings.ts";

export function retention(settings: Settings): logs.RetentionDays {
    const days = { 7: logs.RetentionDays.ONE_WEEK, 30: logs.RetentionDays.ONE_MONTH, 365: logs.RetentionDays.ONE_YEAR };
    return days[settings.sizes.logDays];
}

export function logGroup(scope: Construct, id: string, settings: Settings, name: string): logs.LogGroup {
    return new logs.LogGroup(scope, id, {
        logGroupName: name,
        retention: retention(settings),
        removalPolicy: RemovalPolicy.DESTROY,
    });
}
