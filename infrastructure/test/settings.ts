import assert from "node:assert/strict";
import { test } from "node:test";
import { App } from "aws-cdk-lib";
import { readSettings } from "../lib/settings.ts";
import { shares } from "../lib/functions.ts";
import { readApi } from "../lib/contract.ts";
import { make } from "./support.ts";

const read = (given: Record<string, string>) => readSettings(new App({ context: given }));

test("without a word it is dev on Lambda, arm64, with nothing reserved", () => {
    const settings = read({});
    assert.equal(settings.stage, "dev");
    assert.equal(settings.compute, "lambda");
    assert.equal(settings.architecture, "arm64");
    assert.equal(settings.concurrency, undefined);
    assert.equal(settings.domain, undefined);
});

test("every wrong setting is named with its rule, all at once", () => {
    const wrong = { stage: "prod", compute: "ec2", concurrency: "5,000", domainName: "Shop.example.com", concurency: "5" };
    assert.throws(
        () => read(wrong),
        (error: Error) => {
            for (const part of [
                "-c stage=prod: must be dev or staging or production",
                "-c compute=ec2: must be lambda or fargate",
                "-c concurrency=5,000: must be a number from 100 to 1000000",
                "-c domainName=Shop.example.com: must be a host name in lower case",
                "-c domainName and -c hostedZoneId: either both or none",
                "-c concurency: there is no such setting",
            ]) {
                assert.ok(error.message.includes(part), `${part}\n---\n${error.message}`);
            }
            return true;
        },
    );
});

test("what customers' data is in is kept where it matters, and thrown away in dev", () => {
    const dev = make({ stage: "dev" });
    const staging = make({ stage: "staging" });
    const policy = (made: ReturnType<typeof make>, type: string) =>
        Object.values(made.stacks.get("data")?.resources ?? {}).find(({ Type }) => Type === type)?.DeletionPolicy;
    assert.equal(policy(dev, "AWS::RDS::DBCluster"), "Delete");
    assert.equal(policy(staging, "AWS::RDS::DBCluster"), "Snapshot");
    assert.equal(policy(staging, "AWS::SecretsManager::Secret"), "Retain");
    assert.equal(policy(staging, "AWS::KMS::Key"), "Retain");
    assert.equal(staging.stacks.get("data")?.terminationProtection, true);
    assert.equal(dev.stacks.get("data")?.terminationProtection, false);
});

test("-c concurrency=5000 is shared out whole functions at a time, never more than asked for", () => {
    const groups = [...readApi().groups, "authorizer", "jobs", "migrate"];
    const parts = shares(groups, 5000);
    const sum = [...parts.values()].reduce((total, part) => total + part, 0);
    assert.ok(sum <= 5000 && sum > 4900, String(sum));
    assert.ok((parts.get("catalogue") ?? 0) > (parts.get("checkout") ?? 0));
    assert.equal(parts.has("migrate"), false, "a migration that finds no place would stop the deployment");
});

test("-c concurrency=100, the least there is: a place for each function, three for jobs, never more than asked for", () => {
    const parts = shares([...readApi().groups, "authorizer", "jobs", "migrate"], 100);
    assert.ok([...parts.values()].every((part) => part >= 1));
    assert.ok((parts.get("jobs") ?? 0) >= 3, "two read the queue, one is the schedule's");
    assert.ok([...parts.values()].reduce((total, part) => total + part, 0) <= 100);
});

test("a sender without a domain is refused: the links in its mail would lead nowhere", () => {
    assert.throws(() => read({ mailFrom: "shop@example.org" }), /-c mailFrom: needs domainName/);
});
