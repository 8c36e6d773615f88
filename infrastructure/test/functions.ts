import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readApi } from "../lib/contract.ts";
import { ROOT } from "../lib/settings.ts";
import { all, make, only, stackOf, VARIANTS } from "./support.ts";

const app = () => stackOf("lambda", "app");
const souk = (stack = app()) => all(stack, "AWS::Lambda::Function").filter(({ Runtime }) => Runtime === "provided.al2023");
const nameOf = ({ FunctionName }: Record<string, any>) => String(FunctionName).replace(/^souk-[a-z]+-/, "");

test("one function for each group of the contract, and those for authorizer, jobs, migrate", () => {
    assert.deepEqual(souk().map(nameOf).sort(), [...readApi().groups, "authorizer", "jobs", "migrate"].sort());
    for (const fn of souk()) {
        const special = ["authorizer", "jobs", "migrate"].includes(nameOf(fn));
        assert.equal(fn.Handler, special ? nameOf(fn) : "api");
        assert.deepEqual(fn.Architectures, ["arm64"]);
        assert.deepEqual(fn.TracingConfig, { Mode: "Active" });
        assert.ok(fn.VpcConfig.SubnetIds.length >= 2);
        assert.ok(fn.Timeout < 29 || special, "API Gateway waits 29 s");
        assert.equal(fn.ReservedConcurrentExecutions, undefined);
    }
});

test("X-Forwarded-For counts for nothing on Lambda: no function is told of a proxy", () => {
    for (const { Environment } of souk()) assert.equal("SOUK_TRUSTED_PROXIES" in Environment.Variables, false);
});

test("traces go to X-Ray, and files to the one folder that can be written", () => {
    for (const { Environment } of souk()) {
        assert.equal(Environment.Variables.SOUK_TRACE, "xray");
        assert.equal(Environment.Variables.SOUK_DATA, "/tmp");
    }
});

test("the authorizer answers before its time is over, whatever cannot be reached", () => {
    const fn = souk().find((each) => nameOf(each) === "authorizer");
    assert.ok(fn);
    const { SOUK_DATABASE_TIMEOUT_MS: database, SOUK_AUTH_TIMEOUT_MS: issuer } = fn["Environment"].Variables;
    assert.ok(2 * Number(database) + 2 * Number(issuer) < 1000 * fn["Timeout"], `${database} ${issuer}`);
});

test("every setting that a function is given is one of souk's, and none is a secret", () => {
    const table = readFileSync(join(ROOT, "src/base/config.c"), "utf8");
    for (const variant of ["lambda", "lambda-domain"]) {
        for (const { Environment } of souk(stackOf(variant, "app"))) {
            for (const [name, value] of Object.entries(Environment.Variables)) {
                assert.ok(table.includes(`"${name}"`), `${name} is not in src/base/config.c`);
                assert.ok(!JSON.stringify(value).includes("{{resolve:"), `${name} would show a secret to whoever sees the function`);
                assert.ok(!["SOUK_SECRET", "REDIS_URL", "COGNITO_CLIENT_SECRET"].includes(name), name);
            }
            assert.ok(!/:[^/]*@/.test(JSON.stringify(Environment.Variables.DATABASE_URL)), "no password in DATABASE_URL");
        }
    }
});

test("the proxy stands between functions and database, readers are not read; migrations go past the proxy, and only they may", () => {
    for (const fn of souk()) {
        const { DATABASE_URL: url, DATABASE_REPLICA_URLS: replicas, SOUK_DATABASE_PREPARE: prepare, SOUK_MIGRATE: migrate } = fn.Environment.Variables;
        const proxy = /Proxy/.test(JSON.stringify(url));
        assert.equal(proxy, nameOf(fn) !== "migrate");
        assert.equal(replicas, undefined);
        assert.equal(/MigrateGroup/.test(JSON.stringify(fn.VpcConfig.SecurityGroupIds)), nameOf(fn) === "migrate");
        assert.match(JSON.stringify(url), /sslmode=require/);
        assert.equal(prepare, "off");
        assert.equal(migrate, "off");
    }
});

test("-c concurrency=5000 -c arch=x86_64 -c authorizer=lambda -c apiKeys=required", () => {
    const made = make({ ...VARIANTS["lambda"], concurrency: "5000", arch: "x86_64", authorizer: "lambda", apiKeys: "required" });
    const fns = souk(made.stacks.get("app"));
    const reserved = fns.map(({ ReservedConcurrentExecutions }) => ReservedConcurrentExecutions ?? 0);
    const sum = reserved.reduce((total, part) => total + part, 0);
    assert.ok(sum > 4900 && sum <= 5000, String(sum));
    assert.ok(fns.every(({ Architectures }) => Architectures[0] === "x86_64"));
    const api = made.stacks.get("api");
    assert.ok(api);
    const authorizer = only(api, "AWS::ApiGateway::Authorizer");
    assert.equal(authorizer.AuthorizerResultTtlInSeconds, 300);
    assert.match(JSON.stringify(authorizer.AuthorizerUri), /authorizer/);
    const methods = all(api, "AWS::ApiGateway::Method");
    assert.ok(methods.some(({ AuthorizationType }) => AuthorizationType === "CUSTOM"));
    assert.ok(methods.filter(({ ApiKeyRequired }) => ApiKeyRequired).length > 80);
});

test("the catalogue and the checkout always have copies that stand ready", () => {
    const provisioned = all(app(), "AWS::Lambda::Alias").filter(({ ProvisionedConcurrencyConfig }) => ProvisionedConcurrencyConfig);
    const names = provisioned.map(({ FunctionName }) => FunctionName.Ref.replace(/[0-9A-F]{8}$/, "")).sort();
    assert.deepEqual(names, ["catalogue", "checkout"]);
});

test("an alias moves a tenth first, and back when its alarm rings; every alarm tells somebody", () => {
    const { resources } = app();
    const aliases = Object.values(resources).filter(({ Type }) => Type === "AWS::Lambda::Alias");
    const moved = aliases.filter(({ UpdatePolicy }) => UpdatePolicy?.["CodeDeployLambdaAliasUpdate"]);
    assert.equal(moved.length, aliases.length - 1, "all but migrate");
    for (const group of all(app(), "AWS::CodeDeploy::DeploymentGroup")) {
        assert.equal(group.DeploymentConfigName, "CodeDeployDefault.LambdaCanary10Percent5Minutes");
        assert.deepEqual(group.AutoRollbackConfiguration.Events.sort(), ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"]);
        assert.equal(group.AlarmConfiguration.Alarms.length, 1);
    }
    for (const alarm of all(app(), "AWS::CloudWatch::Alarm")) assert.equal(alarm.AlarmActions.length, 1);
});

test("migrations run at each deploy before any alias moves", () => {
    const { resources } = app();
    const trigger = Object.entries(resources).find(([, { Type }]) => Type === "Custom::Trigger");
    assert.ok(trigger);
    assert.match(JSON.stringify(trigger[1].Properties), /migrateCurrentVersion/);
    for (const [id, { Type, DependsOn }] of Object.entries(resources)) {
        if (Type === "AWS::Lambda::Alias" && !id.startsWith("migrate")) assert.ok([DependsOn].flat().includes(trigger[0]), id);
    }
});

test("jobs: every minute, and from a queue whose dead letters are kept for two weeks", () => {
    const rule = only(app(), "AWS::Events::Rule");
    assert.equal(rule.ScheduleExpression, "rate(1 minute)");
    assert.ok(rule.Targets[0].DeadLetterConfig);
    const queues = all(app(), "AWS::SQS::Queue");
    assert.equal(queues.length, 2);
    assert.ok(queues.every(({ SqsManagedSseEnabled }) => SqsManagedSseEnabled));
    const jobs = queues.find(({ RedrivePolicy }) => RedrivePolicy);
    assert.equal(jobs?.["RedrivePolicy"].maxReceiveCount, 5);
    assert.equal(queues.find(({ RedrivePolicy }) => !RedrivePolicy)?.["MessageRetentionPeriod"], 14 * 24 * 3600);
    const source = only(app(), "AWS::Lambda::EventSourceMapping");
    assert.deepEqual(source.FunctionResponseTypes, ["ReportBatchItemFailures"]);
});

test("a role may do only what its function does", () => {
    for (const { PolicyDocument } of all(app(), "AWS::IAM::Policy")) {
        for (const { Action, Resource, Sid } of PolicyDocument.Statement) {
            for (const action of [Action].flat()) assert.ok(!String(action).includes("*"), `${Sid}: ${action}`);
            if (Resource === "*") assert.match(JSON.stringify(Action), /^\["(ec2|xray):/);
        }
    }
});
