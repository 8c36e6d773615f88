// The VPC: private subnets for everything, public ones for the NAT gateways (and the load balancer of compute: fargate) alone, and
// endpoints for the services of AWS that the shop calls.
import { Fn, RemovalPolicy, Stack } from "aws-cdk-lib";
import * as ec2 from "aws-cdk-lib/aws-ec2";
import * as logs from "aws-cdk-lib/aws-logs";
import type { Construct } from "constructs";
import type { Settings } from "./settings.ts";
import { retention } from "./logs.ts";

export interface Network {
    vpc: ec2.Vpc;
    /** Of whatever runs souk: what the database's proxy and the cache let in. */
    appGroup: ec2.SecurityGroup;
    /** Of the function migrate beside appGroup: what the database itself lets in. */
    migrateGroup: ec2.SecurityGroup;
    /** Of the function that changes the database's password. */
    rotationGroup: ec2.SecurityGroup;
}

export const PRIVATE = { subnetType: ec2.SubnetType.PRIVATE_WITH_EGRESS } as const;
/** Where the data is: no way out at all. */
export const ISOLATED = { subnetType: ec2.SubnetType.PRIVATE_ISOLATED } as const;

/** Which zones there are is said by the region that it is deployed to; a stack that names no region would take two. */
class ZonedStack extends Stack {
    override get availabilityZones(): string[] {
        return [0, 1, 2].map((index) => Fn.select(index, Fn.getAzs()));
    }
}

export function network(app: Construct, settings: Settings): Network {
    const stack = new ZonedStack(app, `${settings.prefix}-network`, { description: `souk ${settings.stage}: network` });
    const { sizes } = settings;
    const vpc = new ec2.Vpc(stack, "Vpc", {
        ipAddresses: ec2.IpAddresses.cidr("10.40.0.0/16"),
        maxAzs: sizes.zones,
        natGateways: sizes.natGateways,
        restrictDefaultSecurityGroup: false, // its custom resource may change any group; nothing uses the default one
        subnetConfiguration: [
            { name: "public", subnetType: ec2.SubnetType.PUBLIC, cidrMask: 24, mapPublicIpOnLaunch: false },
            { name: "app", subnetType: ec2.SubnetType.PRIVATE_WITH_EGRESS, cidrMask: 20 },
            { name: "data", subnetType: ec2.SubnetType.PRIVATE_ISOLATED, cidrMask: 24 },
        ],
    });
    vpc.addFlowLog("Flow", {
        trafficType: ec2.FlowLogTrafficType.REJECT,
        destination: ec2.FlowLogDestination.toCloudWatchLogs(
            new logs.LogGroup(stack, "FlowLog", { retention: retention(settings), removalPolicy: RemovalPolicy.DESTROY }),
        ),
    });
    const appGroup = new ec2.SecurityGroup(stack, "AppGroup", {
        vpc,
        description: "souk: the functions or tasks. Out: the database, the cache, AWS, payment providers, webhooks",
    });
    const migrateGroup = new ec2.SecurityGroup(stack, "MigrateGroup", {
        vpc,
        description: "souk: the function migrate. Out: the database, past its proxy",
    });
    const rotationGroup = new ec2.SecurityGroup(stack, "RotationGroup", {
        vpc,
        description: "souk: the rotation of the password. Out: the database, Secrets Manager",
    });
    vpc.addGatewayEndpoint("S3", { service: ec2.GatewayVpcEndpointAwsService.S3 });
    if (sizes.hasEndpoints) endpoints(stack, vpc, { appGroup, rotationGroup }, settings);
    return { vpc, appGroup, migrateGroup, rotationGroup };
}

/** Secrets, queues, mail, tokens and traces stay off the internet, and off NAT's bill. */
function endpoints(stack: Stack, vpc: ec2.Vpc, from: Pick<Network, "appGroup" | "rotationGroup">, settings: Settings): void {
    const group = new ec2.SecurityGroup(stack, "EndpointGroup", {
        vpc,
        description: "souk: services of AWS in the VPC",
        allowAllOutbound: false,
    });
    group.addIngressRule(from.appGroup, ec2.Port.tcp(443), "the shop");
    group.addIngressRule(from.rotationGroup, ec2.Port.tcp(443), "the rotation of the password");
    const { InterfaceVpcEndpointAwsService: service } = ec2;
    const wanted: Record<string, ec2.InterfaceVpcEndpointAwsService> = {
        SecretsManager: service.SECRETS_MANAGER,
        Sqs: service.SQS,
        Ses: service.EMAIL,
        Cognito: service.COGNITO_IDP,
        Logs: service.CLOUDWATCH_LOGS,
        ...(settings.compute === "fargate" ? { Ecr: service.ECR, EcrDocker: service.ECR_DOCKER } : { Xray: service.XRAY }),
    };
    for (const [name, endpoint] of Object.entries(wanted)) {
        vpc.addInterfaceEndpoint(name, { service: endpoint, subnets: PRIVATE, securityGroups: [group], open: false });
    }
}
