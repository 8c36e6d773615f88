// compute: fargate. The same binary as a server in tasks behind a load balancer: for sustained load, where Lambda becomes dear, and for
// one hot product, since here checkouts are placed together (docs/deploy.md). Jobs and migrations run in the tasks, as in `souk serve`.
import { Aws, CfnOutput, Duration, RemovalPolicy, Stack, Validations } from "aws-cdk-lib";
import * as apigatewayv2 from "aws-cdk-lib/aws-apigatewayv2";
import { HttpAlbIntegration } from "aws-cdk-lib/aws-apigatewayv2-integrations";
import * as ec2 from "aws-cdk-lib/aws-ec2";
import * as assets from "aws-cdk-lib/aws-ecr-assets";
import * as ecs from "aws-cdk-lib/aws-ecs";
import * as elb from "aws-cdk-lib/aws-elasticloadbalancingv2";
import * as iam from "aws-cdk-lib/aws-iam";
import { LoadBalancerTarget } from "aws-cdk-lib/aws-route53-targets";
import * as s3 from "aws-cdk-lib/aws-s3";
import type { Construct } from "constructs";
import { ownDomain, type OwnDomain, pointTo } from "./domain.ts";
import { environment } from "./environment.ts";
import { firewall } from "./firewall.ts";
import { type Parts, readSecrets, sendMail } from "./functions.ts";
import { logGroup } from "./logs.ts";
import { type Network, PRIVATE } from "./network.ts";
import type { Settings } from "./settings.ts";

const PORT = 8080;
const USER = "10001"; // no user of the image's, and never root

export interface Fargate {
    service: ecs.FargateService;
    balancer: elb.ApplicationLoadBalancer;
}

export function fargate(app: Construct, settings: Settings, parts: Parts): Fargate {
    const stack = new Stack(app, `${settings.prefix}-app`, { description: `souk ${settings.stage}: tasks` });
    const own = ownDomain(stack, settings);
    const balancer = loadBalancer(stack, settings, parts.net, own);
    const service = tasks(stack, settings, parts);
    const url = listen(stack, settings, parts.net, balancer, service, own);
    scaling(service, settings);
    firewall(stack, settings, balancer.loadBalancerArn, []);
    new CfnOutput(stack, "Url", { value: url, description: "where the shop answers" });
    new CfnOutput(stack, "ClusterName", { value: service.cluster.clusterName });
    new CfnOutput(stack, "ServiceName", { value: service.serviceName });
    return { service, balancer };
}

function tasks(stack: Stack, settings: Settings, parts: Parts): ecs.FargateService {
    const cluster = new ecs.Cluster(stack, "Cluster", {
        clusterName: settings.prefix,
        vpc: parts.net.vpc,
        containerInsightsV2: ecs.ContainerInsights.ENABLED,
    });
    const task = new ecs.FargateTaskDefinition(stack, "Task", {
        family: settings.prefix,
        cpu: 1024,
        memoryLimitMiB: 2048,
        runtimePlatform: {
            cpuArchitecture: settings.architecture === "arm64" ? ecs.CpuArchitecture.ARM64 : ecs.CpuArchitecture.X86_64,
            operatingSystemFamily: ecs.OperatingSystemFamily.LINUX,
        },
        volumes: [{ name: "data" }],
    });
    for (const statement of readSecrets(parts.data)) task.addToTaskRolePolicy(statement);
    if (parts.identity.mail) task.addToTaskRolePolicy(sendMail(parts.identity.mail));
    const container = task.addContainer("souk", {
        image: settings.image === undefined ? builtImage(settings) : ecs.ContainerImage.fromRegistry(settings.image),
        command: ["serve", "--listen", `0.0.0.0:${PORT}`],
        environment: {
            ...environment(settings, parts, "fargate"),
            SOUK_DATA: "/data",
            // The load balancer's own addresses: it puts the client's at the right of X-Forwarded-For.
            SOUK_TRUSTED_PROXIES: parts.net.vpc.vpcCidrBlock,
        },
        healthCheck: {
            command: ["CMD", "souk", "health", "--live"],
            interval: Duration.seconds(10),
            timeout: Duration.seconds(6),
            retries: 3,
            startPeriod: Duration.seconds(300), // the most that ECS takes
        },
        user: USER,
        readonlyRootFilesystem: true,
        portMappings: [{ containerPort: PORT }],
        stopTimeout: Duration.seconds(30),
        logging: ecs.LogDrivers.awsLogs({ streamPrefix: "souk", logGroup: logGroup(stack, "Log", settings, `/aws/ecs/${settings.prefix}`) }),
    });
    container.addMountPoints({ sourceVolume: "data", containerPath: "/data", readOnly: false });
    acknowledge(task);
    const { vpc, appGroup } = parts.net;
    const groups = [
        // What lets the load balancer in is of this stack; what lets the tasks into the data is the network's, and not changed here.
        new ec2.SecurityGroup(stack, "TaskGroup", { vpc, description: "souk: the tasks. In: the load balancer" }),
        ec2.SecurityGroup.fromSecurityGroupId(stack, "AppGroup", appGroup.securityGroupId, { mutable: false }),
    ];
    return new ecs.FargateService(stack, "Service", {
        serviceName: settings.prefix,
        cluster,
        taskDefinition: task,
        desiredCount: settings.sizes.tasksMin,
        minHealthyPercent: 100,
        maxHealthyPercent: 200,
        circuitBreaker: { enable: true, rollback: true },
        // A task answers nobody while it migrates: so long may that take (docs/deploy.md, "Migrations").
        healthCheckGracePeriod: Duration.minutes(15),
        securityGroups: groups,
        vpcSubnets: PRIVATE,
        assignPublicIp: false,
        enableExecuteCommand: false,
    });
}

function builtImage({ architecture, imageFolder }: Settings): ecs.ContainerImage {
    return ecs.ContainerImage.fromAsset(imageFolder.path, {
        platform: architecture === "arm64" ? assets.Platform.LINUX_ARM64 : assets.Platform.LINUX_AMD64,
        exclude: ["infrastructure/cdk.out"], // or it would hold itself
    });
}

function acknowledge(task: ecs.FargateTaskDefinition): void {
    Validations.of(task).acknowledge(
        { id: "AwsSolutions-ECS2", reason: "What stands there is no secret; souk reads those by SOUK_SECRETS_ARN and DATABASE_SECRET_ARN" },
        { id: "AwsSolutions-IAM5[Resource::*]", reason: "The token for pulling images is the account's; the images themselves are named" },
    );
}

/** With a domain it faces the internet by TLS; without one it stays inside, and an HTTP API with AWS's own certificate stands before it. */
function loadBalancer(stack: Stack, settings: Settings, net: Network, own: OwnDomain | undefined): elb.ApplicationLoadBalancer {
    const group = new ec2.SecurityGroup(stack, "BalancerGroup", {
        vpc: net.vpc,
        description: own ? "souk: the load balancer. In: the internet, by TLS" : "souk: the load balancer. In: the HTTP API",
        allowAllOutbound: false,
    });
    const balancer = new elb.ApplicationLoadBalancer(stack, "Balancer", {
        loadBalancerName: settings.prefix,
        vpc: net.vpc,
        internetFacing: own !== undefined,
        vpcSubnets: own ? { subnetType: ec2.SubnetType.PUBLIC } : PRIVATE,
        securityGroup: group,
        dropInvalidHeaderFields: true,
        deletionProtection: settings.sizes.keepsData,
        idleTimeout: Duration.seconds(30),
    });
    if (own) {
        Validations.of(group).acknowledge({ id: "AwsSolutions-EC23", reason: "The shop's front door: customers come from anywhere" });
    }
    accessLogs(stack, settings, balancer);
    return balancer;
}

/** By hand, not logAccessLogs: that asks for the region at synth. Objects go after the stage's days. */
function accessLogs(stack: Stack, settings: Settings, balancer: elb.ApplicationLoadBalancer): void {
    const bucket = new s3.Bucket(stack, "AccessLogs", {
        encryption: s3.BucketEncryption.S3_MANAGED, // the one that load balancers can write to
        blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
        enforceSSL: true,
        lifecycleRules: [{ expiration: Duration.days(settings.sizes.logDays) }],
        removalPolicy: RemovalPolicy.RETAIN,
    });
    Validations.of(bucket).acknowledge({ id: "AwsSolutions-S1", reason: "It holds access logs; a log of those who read them is the account's CloudTrail" });
    bucket.addToResourcePolicy(
        new iam.PolicyStatement({
            principals: [new iam.ServicePrincipal("logdelivery.elasticloadbalancing.amazonaws.com")],
            actions: ["s3:PutObject"],
            resources: [bucket.arnForObjects(`AWSLogs/${Aws.ACCOUNT_ID}/*`)],
        }),
    );
    balancer.setAttribute("access_logs.s3.enabled", "true");
    balancer.setAttribute("access_logs.s3.bucket", bucket.bucketName);
    if (bucket.policy) balancer.node.addDependency(bucket.policy);
}

/** The URL that customers see. */
function listen(
    stack: Stack,
    settings: Settings,
    net: Network,
    balancer: elb.ApplicationLoadBalancer,
    service: ecs.FargateService,
    own: OwnDomain | undefined,
): string {
    const target: elb.AddApplicationTargetsProps = {
        port: PORT,
        protocol: elb.ApplicationProtocol.HTTP,
        targets: [service],
        deregistrationDelay: Duration.seconds(15),
        // Alive, not ready: ECS replaces a task that fails this, which mends no database.
        healthCheck: { path: "/health/live", interval: Duration.seconds(10), healthyThresholdCount: 2, unhealthyThresholdCount: 3 },
    };
    if (own) {
        balancer
            .addListener("Https", { port: 443, certificates: [own.certificate], sslPolicy: elb.SslPolicy.TLS13_RES })
            .addTargets("Souk", target);
        balancer.addListener("Http", { port: 80, defaultAction: elb.ListenerAction.redirect({ protocol: "HTTPS", port: "443", permanent: true }) });
        pointTo(stack, own, new LoadBalancerTarget(balancer));
        return `https://${own.name}/`;
    }
    const listener = balancer.addListener("Http", { port: 80, open: false });
    listener.addTargets("Souk", target);
    const linkGroup = new ec2.SecurityGroup(stack, "LinkGroup", { vpc: net.vpc, description: "souk: the HTTP API in the VPC" });
    balancer.connections.allowFrom(linkGroup, ec2.Port.tcp(80), "the HTTP API");
    const link = new apigatewayv2.VpcLink(stack, "Link", { vpc: net.vpc, subnets: PRIVATE, securityGroups: [linkGroup] });
    const api = new apigatewayv2.HttpApi(stack, "Front", {
        apiName: settings.prefix,
        createDefaultStage: false,
        defaultIntegration: new HttpAlbIntegration("Souk", listener, { vpcLink: link }),
    });
    const stage = new apigatewayv2.HttpStage(stack, "Stage", {
        httpApi: api,
        stageName: "$default",
        autoDeploy: true,
        throttle: { rateLimit: 10_000, burstLimit: 20_000 },
        accessLogSettings: {
            destination: new apigatewayv2.LogGroupLogDestination(logGroup(stack, "FrontLog", settings, `/aws/apigateway/${settings.prefix}-front`)),
        },
    });
    Validations.of(api).acknowledge({ id: "AwsSolutions-APIG4", reason: "The catalogue is public; souk authenticates and authorizes each operation by the contract" });
    return stage.url;
}

function scaling(service: ecs.FargateService, settings: Settings): void {
    const target = service.autoScaleTaskCount({ minCapacity: settings.sizes.tasksMin, maxCapacity: settings.sizes.tasksMax });
    target.scaleOnCpuUtilization("Cpu", { targetUtilizationPercent: 60, scaleInCooldown: Duration.minutes(5), scaleOutCooldown: Duration.seconds(30) });
}
