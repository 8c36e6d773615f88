import assert from "node:assert/strict";
import { test } from "node:test";
import { all, only, stackOf, variant } from "./support.ts";

test("compute=fargate: tasks behind a load balancer instead of functions behind API Gateway; the data is the same", () => {
    assert.equal(variant("fargate").stacks.has("api"), false);
    assert.equal(all(stackOf("fargate", "app"), "AWS::Lambda::Function").length, 0);
    assert.equal(only(stackOf("fargate", "app"), "AWS::ECS::Service").LaunchType, "FARGATE");
    assert.deepEqual(Object.keys(stackOf("fargate", "data").resources).sort(), Object.keys(stackOf("lambda", "data").resources).sort());
});

test("a task: not root, nothing to write but its data folder, asked for its health, no secret in its settings", () => {
    const task = only(stackOf("fargate", "app"), "AWS::ECS::TaskDefinition");
    const [container] = task.ContainerDefinitions;
    assert.equal(container.User, "10001");
    assert.equal(container.ReadonlyRootFilesystem, true);
    assert.deepEqual(container.HealthCheck.Command, ["CMD", "souk", "health", "--live"]);
    assert.deepEqual(task.RuntimePlatform, { CpuArchitecture: "ARM64", OperatingSystemFamily: "LINUX" });
    const names: string[] = container.Environment.map(({ Name }: { Name: string }) => Name);
    for (const name of ["SOUK_SECRETS_ARN", "DATABASE_SECRET_ARN", "DATABASE_URL", "SOUK_METRICS"]) assert.ok(names.includes(name), name);
    for (const name of ["SOUK_SECRET", "REDIS_URL"]) assert.equal(names.includes(name), false);
});

test("the service: rolls back what does not become healthy, grows with its CPU, has no public address", () => {
    const service = only(stackOf("fargate", "app"), "AWS::ECS::Service");
    assert.deepEqual(service.DeploymentConfiguration.DeploymentCircuitBreaker, { Enable: true, Rollback: true });
    assert.equal(service.NetworkConfiguration.AwsvpcConfiguration.AssignPublicIp, "DISABLED");
    const scaling = only(stackOf("fargate", "app"), "AWS::ApplicationAutoScaling::ScalableTarget");
    assert.deepEqual([scaling.MinCapacity, scaling.MaxCapacity], [3, 30]);
});

test("HTTPS only: with a domain by the load balancer, without one by an HTTP API before a private one", () => {
    const own = stackOf("fargate-domain", "app");
    const listeners = all(own, "AWS::ElasticLoadBalancingV2::Listener");
    assert.deepEqual(listeners.map(({ Protocol }) => Protocol).sort(), ["HTTP", "HTTPS"]);
    const plain = listeners.find(({ Protocol }) => Protocol === "HTTP");
    assert.equal(plain?.["DefaultActions"][0].RedirectConfig.Protocol, "HTTPS");
    assert.equal(only(own, "AWS::ElasticLoadBalancingV2::LoadBalancer").Scheme, "internet-facing");
    assert.equal(only(stackOf("fargate", "app"), "AWS::ElasticLoadBalancingV2::LoadBalancer").Scheme, "internal");
    assert.match(JSON.stringify(stackOf("fargate", "app").outputs["Url"].Value), /execute-api|HttpApi|https/);
    for (const name of ["fargate", "fargate-domain"]) assert.equal(all(stackOf(name, "app"), "AWS::WAFv2::WebACLAssociation").length, 1);
});

test("only the load balancer reaches the tasks, and only tasks reach the data", () => {
    const rules = all(stackOf("fargate", "app"), "AWS::EC2::SecurityGroupIngress");
    const toTasks = rules.filter(({ FromPort }) => FromPort === 8080);
    assert.equal(toTasks.length, 1);
    assert.match(JSON.stringify(toTasks[0]?.["SourceSecurityGroupId"]), /BalancerGroup/);
});

test("a task may migrate for a quarter of an hour, and is not counted as sick meanwhile", () => {
    assert.equal(only(stackOf("fargate", "app"), "AWS::ECS::Service").HealthCheckGracePeriodSeconds, 15 * 60);
    const [container] = only(stackOf("fargate", "app"), "AWS::ECS::TaskDefinition").ContainerDefinitions;
    assert.equal(container.HealthCheck.StartPeriod, 300);
    assert.ok(!container.Environment.some(({ Name }: { Name: string }) => Name === "SOUK_TRACE"), "there is no collector");
});

test("requests are limited by address only where the firewall sees the customers' addresses", () => {
    const limits = (variant: string) =>
        only(stackOf(variant, "app"), "AWS::WAFv2::WebACL").Rules.some(({ Name }: { Name: string }) => Name === "TooMany");
    assert.equal(limits("fargate"), false);
    assert.equal(limits("fargate-domain"), true);
});
