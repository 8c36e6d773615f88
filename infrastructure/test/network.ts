import assert from "node:assert/strict";
import { test } from "node:test";
import { all, stackOf, variant } from "./support.ts";

test("subnets: public, private with a way out, and without one for the data, in each zone", () => {
    const subnets = all(stackOf("lambda", "network"), "AWS::EC2::Subnet");
    const kinds = subnets.map(({ Tags }) => Tags.find(({ Key }: { Key: string }) => Key === "aws-cdk:subnet-type").Value);
    assert.deepEqual(new Set(kinds), new Set(["Public", "Private", "Isolated"]));
    assert.ok(subnets.every(({ MapPublicIpOnLaunch }) => MapPublicIpOnLaunch === false));
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

test("refused connections are written down", () => {
    assert.equal(all(stackOf("lambda", "network"), "AWS::EC2::FlowLog")[0]?.["TrafficType"], "REJECT");
});
