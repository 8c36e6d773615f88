// compute: lambda. One function for each group of the contract's operations, and those that no customer calls: authorizer, jobs,
// migrate. All are the same zip; the handler's name says what each does. Customers reach an alias, which moves to a new version only
// after the migrations have run, a tenth of the traffic first, and back when its alarm rings.
import { Aws, CfnOutput, Duration, Stack, Validations } from "aws-cdk-lib";
import * as cloudwatch from "aws-cdk-lib/aws-cloudwatch";
import * as codedeploy from "aws-cdk-lib/aws-codedeploy";
import * as iam from "aws-cdk-lib/aws-iam";
import * as lambda from "aws-cdk-lib/aws-lambda";
import type * as sns from "aws-cdk-lib/aws-sns";
import { SnsAction } from "aws-cdk-lib/aws-cloudwatch-actions";
import { Trigger } from "aws-cdk-lib/triggers";
import type { Construct } from "constructs";
import type { Api } from "./contract.ts";
import type { Data } from "./data.ts";
import type { Identity } from "./identity.ts";
import { jobQueue, schedules } from "./jobs.ts";
import { logGroup } from "./logs.ts";
import { type Network, PRIVATE } from "./network.ts";
import type { Settings } from "./settings.ts";
import { environment } from "./environment.ts";

export interface Functions {
    /** By group of the contract: what API Gateway calls. */
    api: Map<string, lambda.Alias>;
    authorizer: lambda.Alias;
    names: string[];
}

export interface Parts {
    net: Network;
    data: Data;
    identity: Identity;
    alarms: sns.ITopic;
}

/** What a function is given beyond the rest. A megabyte buys CPU: 1,769 MB are one core. */
interface Kind {
    handler: "api" | "authorizer" | "jobs" | "migrate";
    memoryMegabytes: number;
    timeoutSeconds: number;
    /** Its part of `-c concurrency=N`, beside the others' parts; 0: none is reserved. */
    share: number;
    provisioned: boolean;
    settings?: Record<string, string>;
}

const API: Kind = { handler: "api", memoryMegabytes: 512, timeoutSeconds: 15, share: 4, provisioned: false };

/** API Gateway would keep a 429 for five minutes and show it to everybody: there the firewall counts reads, and souk what is written. */
const EDGE_COUNTS_READS = { SOUK_RATE_PER_MINUTE: "1000000", SOUK_RATE_WRITE_PER_MINUTE: "500", SOUK_RATE_WHOLE_PER_SECOND: "1000000" };

const KINDS: Record<string, Kind> = {
    catalogue: { ...API, share: 40, provisioned: true, settings: EDGE_COUNTS_READS },
    cart: { ...API, share: 20 },
    checkout: { ...API, memoryMegabytes: 1024, share: 12, provisioned: true },
    // Within its time the database and the issuer have both refused: an answer, and no function that is killed.
    authorizer: {
        handler: "authorizer",
        memoryMegabytes: 256,
        timeoutSeconds: 10,
        share: 4,
        provisioned: false,
        settings: { SOUK_DATABASE_TIMEOUT_MS: "1500", SOUK_AUTH_TIMEOUT_MS: "1500" },
    },
    jobs: { handler: "jobs", memoryMegabytes: 512, timeoutSeconds: 60, share: 1, provisioned: false },
    migrate: { handler: "migrate", memoryMegabytes: 512, timeoutSeconds: 840, share: 0, provisioned: false },
};

export function kindOf(group: string): Kind {
    return KINDS[group] ?? API;
}

/** The queue is read by two copies (lib/jobs.ts), and the schedule wants one that is not the queue's. */
const LEAST: Record<string, number> = { jobs: 3 };

/** How many of `total` each function is sure of, and together never more than `total`. */
export function shares(groups: string[], total: number): Map<string, number> {
    const parts = groups.map((group): [string, number] => [group, kindOf(group).share]).filter(([, share]) => share > 0);
    const whole = parts.reduce((sum, [, share]) => sum + share, 0);
    const least = (group: string) => LEAST[group] ?? 1;
    const rest = total - parts.reduce((sum, [group]) => sum + least(group), 0);
    return new Map(parts.map(([group, share]) => [group, least(group) + Math.floor((rest * share) / whole)]));
}

export function functions(app: Construct, settings: Settings, api: Api, parts: Parts): Functions {
    const stack = new Stack(app, `${settings.prefix}-app`, { description: `souk ${settings.stage}: functions` });
    const all = [...api.groups, "authorizer", "jobs", "migrate"];
    const reserved = settings.concurrency === undefined ? undefined : shares(all, settings.concurrency);
    const queue = jobQueue(stack, settings);
    const variables = environment(settings, parts, "lambda", { queueUrl: queue.jobs.queueUrl });
    const made = new Map<string, lambda.Function>();
    for (const name of all) {
        const fn = makeFunction(stack, settings, parts, name, variables, reserved?.get(name));
        if (name !== "migrate" && name !== "authorizer") queue.jobs.grantSendMessages(fn);
        made.set(name, fn);
    }
    const aliases = new Map([...made].map(([name, fn]) => [name, makeAlias(settings, name, fn)]));
    migrateFirst(stack, must(made, "migrate"), [...aliases.values()]);
    canaries(stack, settings, aliases, parts.alarms);
    schedules(stack, settings, queue, must(aliases, "jobs"));
    const names = all.map((name) => functionName(settings, name));
    new CfnOutput(stack, "FunctionNames", { value: names.join(",") });
    return {
        api: new Map(api.groups.map((group) => [group, must(aliases, group)])),
        authorizer: must(aliases, "authorizer"),
        names,
    };
}

export function functionName(settings: Settings, name: string): string {
    return `${settings.prefix}-${name}`;
}

function must<T>(map: Map<string, T>, name: string): T {
    const value = map.get(name);
    if (value === undefined) throw new Error(`there is no function ${name}`);
    return value;
}

function makeFunction(
    stack: Stack,
    settings: Settings,
    parts: Parts,
    name: string,
    variables: Record<string, string>,
    reserved: number | undefined,
): lambda.Function {
    const kind = kindOf(name);
    const logs = logGroup(stack, `${name}-log`, settings, `/aws/lambda/${functionName(settings, name)}`);
    const role = functionRole(stack, name);
    logs.grantWrite(role);
    for (const statement of readSecrets(parts.data)) role.addToPolicy(statement);
    if (parts.identity.mail && kind.handler !== "authorizer" && kind.handler !== "migrate") {
        role.addToPolicy(sendMail(parts.identity.mail));
    }
    return new lambda.Function(stack, name, {
        functionName: functionName(settings, name),
        description: `souk ${settings.stage}: ${kind.handler === "api" ? `the operations of ${name}` : kind.handler}`,
        runtime: lambda.Runtime.PROVIDED_AL2023,
        architecture: settings.architecture === "arm64" ? lambda.Architecture.ARM_64 : lambda.Architecture.X86_64,
        code: lambda.Code.fromAsset(settings.code.path),
        handler: kind.handler,
        role,
        logGroup: logs,
        memorySize: kind.memoryMegabytes,
        timeout: Duration.seconds(kind.timeoutSeconds),
        tracing: lambda.Tracing.ACTIVE,
        vpc: parts.net.vpc,
        vpcSubnets: PRIVATE,
        securityGroups: [parts.net.appGroup, ...(kind.handler === "migrate" ? [parts.net.migrateGroup] : [])],
        environment: {
            ...variables,
            ...kind.settings,
            // The owner of the tables works past the proxy, which would pin its session anyway.
            ...(kind.handler === "migrate" ? { DATABASE_URL: parts.data.urls.direct, SOUK_DATABASE_TIMEOUT_MS: "600000" } : {}),
        },
        ...(reserved === undefined ? {} : { reservedConcurrentExecutions: reserved }),
    });
}

/** Only what it needs, named; for network interfaces AWS knows no narrower resource than all. */
function functionRole(stack: Stack, name: string): iam.Role {
    const role = new iam.Role(stack, `${name}-role`, {
        assumedBy: new iam.ServicePrincipal("lambda.amazonaws.com"),
        description: `souk: function ${name}`,
    });
    role.addToPolicy(
        new iam.PolicyStatement({
            sid: "NetworkInterfaces",
            actions: [
                "ec2:CreateNetworkInterface",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSubnets",
                "ec2:DeleteNetworkInterface",
                "ec2:AssignPrivateIpAddresses",
                "ec2:UnassignPrivateIpAddresses",
            ],
            resources: ["*"],
        }),
    );
    Validations.of(role).acknowledge({
        id: "AwsSolutions-IAM5[Resource::*]",
        reason: "Network interfaces of functions in a VPC and trace segments have no resource to name before they exist",
    });
    return role;
}

/** Said on the reader's side alone: the key's policy would else name the reader, and each stack need the other. */
export function readSecrets(data: Data): iam.PolicyStatement[] {
    return [
        new iam.PolicyStatement({
            sid: "Secrets",
            actions: ["secretsmanager:GetSecretValue"],
            resources: [data.settingsSecret.secretArn, data.databaseSecret.secretArn],
        }),
        new iam.PolicyStatement({
            sid: "SecretsKey",
            actions: ["kms:Decrypt"],
            resources: [data.key.keyArn],
            conditions: { StringEquals: { "kms:ViaService": `secretsmanager.${Aws.REGION}.amazonaws.com` } },
        }),
    ];
}

export function sendMail(mail: NonNullable<Identity["mail"]>): iam.PolicyStatement {
    return new iam.PolicyStatement({
        sid: "Mail",
        actions: ["ses:SendEmail", "ses:SendRawEmail"],
        resources: [
            mail.identity.emailIdentityArn,
            `arn:${Aws.PARTITION}:ses:${Aws.REGION}:${Aws.ACCOUNT_ID}:configuration-set/${mail.configurationSet.configurationSetName}`,
        ],
    });
}

function makeAlias(settings: Settings, name: string, fn: lambda.Function): lambda.Alias {
    const { provisionedConcurrency } = settings.sizes;
    return new lambda.Alias(fn, "Live", {
        aliasName: "live",
        version: fn.currentVersion,
        ...(kindOf(name).provisioned && provisionedConcurrency > 0 ? { provisionedConcurrentExecutions: provisionedConcurrency } : {}),
    });
}

/** The schema is what a new version expects before any customer reaches one. An older version reads the newer schema (docs/operations.md). */
function migrateFirst(stack: Stack, migrate: lambda.Function, aliases: lambda.Alias[]): void {
    new Trigger(stack, "Migrate", {
        handler: migrate,
        timeout: Duration.minutes(15),
        executeBefore: aliases,
    });
}

function canaries(stack: Stack, settings: Settings, aliases: Map<string, lambda.Alias>, topic: sns.ITopic): void {
    const application = new codedeploy.LambdaApplication(stack, "Deployments", { applicationName: settings.prefix });
    const role = new iam.Role(stack, "DeploymentRole", {
        assumedBy: new iam.ServicePrincipal("codedeploy.amazonaws.com"),
        description: "souk: CodeDeploy moves the aliases",
        managedPolicies: [iam.ManagedPolicy.fromAwsManagedPolicyName("service-role/AWSCodeDeployRoleForLambdaLimited")],
    });
    Validations.of(role).acknowledge({
        id: "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSCodeDeployRoleForLambdaLimited]",
        reason: "AWS keeps this policy in step with what CodeDeploy does; it is the narrower of the two that there are",
    });
    const config =
        settings.stage === "dev" ? codedeploy.LambdaDeploymentConfig.ALL_AT_ONCE : codedeploy.LambdaDeploymentConfig.CANARY_10PERCENT_5MINUTES;
    for (const [name, alias] of aliases) {
        if (name === "migrate") continue; // nobody calls it but a deployment
        const alarm = new cloudwatch.Alarm(stack, `${name}-errors`, {
            alarmName: `${settings.prefix}-${name}-errors`,
            alarmDescription: `The function ${name} fails. A deployment that runs goes back by itself. docs/deploy.md, "Roll-back"`,
            metric: alias.metricErrors({ period: Duration.minutes(1), statistic: "Sum" }),
            threshold: 5,
            evaluationPeriods: 2,
            datapointsToAlarm: 2,
            comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
        });
        alarm.addAlarmAction(new SnsAction(topic));
        new codedeploy.LambdaDeploymentGroup(stack, `${name}-deployment`, {
            application,
            role,
            deploymentGroupName: functionName(settings, name),
            alias,
            deploymentConfig: config,
            alarms: [alarm],
            autoRollback: { failedDeployment: true, stoppedDeployment: true, deploymentInAlarm: true },
        });
    }
}
