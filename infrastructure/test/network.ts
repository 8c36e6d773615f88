import assert from "node:assert/strict";
import { test } from "node:test";
import { all, stackOf, variant } from "./support.ts";

test("subnets: public, private with a way out, and without one for the data, in each zone", () => {
    const subnets = all(stackOf("lambda", "network"), "AWS::EC2::Subnet");
    const kinds = subnets.map(({ Tags }) => Tags.find(({ Key }: { Key: string }) => Key === "aws-cdk:subnet-type").Value);
    assert.deepEqual(new Set(kinds), new Set(["Public", "Private", "Isolated"]));
    assert.ok(subnets.every(({ MapPublicIpOnLaunch }) => MapPublicIpOnLaunch === false));
});

test("production has three zones, with subnets of each kind and a NAT gateway in every one", () => {
    const net = stackOf("lambda", "network");
    const zones = new Set(all(net, "AWS::EC2::Subnet").map(({ AvailabilityZone }) => JSON.stringify(AvailabilityZone)));
    assert.deepEqual(zones, new Set([0, 1, 2].map((index) => JSON.stringify({ "Fn::Select": [index, { "Fn::GetAZs": "" }] }))));
    assert.equal(all(net, "AWS::EC2::Subnet").length, 9);
    assert.equal(all(net, "AWS::EC2::NatGateway").length, 3);
});

test("payment providers and webhooks are reached through NAT, AWS's services inside the VPC", () => {
    const net = stackOf("lambda", "network");
    assert.ok(all(net, "AWS::EC2::NatGateway").length >= 2);
    const endpoints = JSON.stringify(all(net, "AWS::EC2::VPCEndpoint").map(({ ServiceName }) => ServiceName));
    for (const service of ["secretsmanager", "sqs", "email", "cognito-idp", "xray", "logs"]) {
        assert.ok(endpoints.includes(`.${service}"`), `${service}: ${endpoints}`);
    }
});

test("security groups let in only the functions, migrations and the rotation, by name of their group", () => {
    const rules = [...variant("lambda").stacks.values()].flatMap((stack) => [
        ...all(stack, "AWS::EC2::SecurityGroupIngress"),
        ...all(stack, "AWS::EC2::SecurityGroup").flatMap(({ SecurityGroupIngress }) => SecurityGroupIngress ?? []),
    ]);
    assert.ok(rules.length >= 5);
    for (const rule of rules) {
        assert.ok(rule.SourceSecurityGroupId, JSON.stringify(rule));
        assert.equal(rule.CidrIp ?? rule.CidrIpv6, undefined);
        assert.deepEqual(rule.FromPort, rule.ToPort);
    }
    const ports = new Set(rules.map(({ FromPort }) => JSON.stringify(FromPort)));
    assert.ok(ports.has("5432") && ports.has("6379") && ports.has("443"), [...ports].join());
});

/** Who may reach a group of a stack, as the logical ids of their groups begin. */
function sources(stack: string, group: string): string[] {
    const { resources } = stackOf("lambda", stack);
    return Object.values(resources)
        .filter(({ Type, Properties }) => Type === "AWS::EC2::SecurityGroupIngress" && JSON.stringify(Properties?.["GroupId"]).includes(group))
        .concat(
            Object.entries(resources)
                .filter(([id, { Type }]) => Type === "AWS::EC2::SecurityGroup" && id.startsWith(group))
                .flatMap(([, { Properties }]) => (Properties?.["SecurityGroupIngress"] ?? []) as Record<string, any>[])
                .map((Properties) => ({ Type: "inline", Properties })),
        )
        .map(({ Properties }) => /(App|Rotation|Migrate|Proxy)Group/.exec(JSON.stringify(Properties?.["SourceSecurityGroupId"]))?.[0] ?? "?")
        .sort();
}

test("the rotation reaches Secrets Manager in the VPC; only migrations, the rotation and the proxy reach the database itself", () => {
    assert.deepEqual(sources("network", "EndpointGroup"), ["AppGroup", "RotationGroup"]);
    assert.deepEqual(sources("data", "DatabaseGroup"), ["MigrateGroup", "ProxyGroup", "RotationGroup"]);
});

test("refused connections are written down", () => {
    assert.equal(all(stackOf("lambda", "network"), "AWS::EC2::FlowLog")[0]?.["TrafficType"], "REJECT");
});
