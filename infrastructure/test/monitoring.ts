import assert from "node:assert/strict";
import { test } from "node:test";
import { alarms, dashboards } from "../../monitoring/cloudwatch.ts";
import { all, stackOf } from "./support.ts";

const bodyOf = (dashboard: Record<string, any>): string => JSON.stringify(dashboard["DashboardBody"]);

test("every dashboard of monitoring/cloudwatch.ts is made, with a widget for all that the deployment has", () => {
    const made = all(stackOf("lambda", "monitoring"), "AWS::CloudWatch::Dashboard");
    assert.deepEqual(made.map(({ DashboardName }) => DashboardName).sort(), dashboards.map(({ id }) => `souk-production-${id}`).sort());
    const text = made.map(bodyOf).join("");
    for (const { title } of dashboards.flatMap(({ widgets }) => widgets)) {
        const isOfFargate = title.startsWith("Balancer") || title === "Tasks";
        assert.equal(text.includes(`${title} (`), !isOfFargate, title);
    }
    assert.match(text, /CacheClusterId[^A-Za-z]+souk-production-003/);
});

test("every alarm tells somebody and says where its runbook is; one for each resource that it watches", () => {
    const made = all(stackOf("lambda", "monitoring"), "AWS::CloudWatch::Alarm");
    for (const { id, runbook } of alarms) {
        const found = made.filter(({ AlarmName }) => new RegExp(`^souk-production-${id}(-[0-9]+)?$`).test(AlarmName));
        const isOfFargate = !found.length;
        if (isOfFargate) {
            assert.ok(all(stackOf("fargate", "monitoring"), "AWS::CloudWatch::Alarm").some(({ AlarmName }) => AlarmName.includes(id)), id);
            continue;
        }
        for (const { AlarmActions, OKActions, AlarmDescription } of found) {
            assert.equal(AlarmActions.length, 1);
            assert.equal(OKActions.length, 1);
            assert.ok(AlarmDescription.endsWith(`docs/runbooks.md#${runbook}`), AlarmDescription);
        }
    }
});

test("souk's own metrics are asked for under the service and stage that the functions send them by", () => {
    const fns = all(stackOf("lambda", "app"), "AWS::Lambda::Function").filter(({ Runtime }) => Runtime === "provided.al2023");
    for (const { Environment } of fns) {
        assert.equal(Environment.Variables.SOUK_METRICS, "emf");
        assert.equal(Environment.Variables.OTEL_SERVICE_NAME, "souk");
        assert.equal(Environment.Variables.SOUK_STAGE, "production");
    }
    const text = all(stackOf("lambda", "monitoring"), "AWS::CloudWatch::Dashboard").map(bodyOf).join("");
    assert.match(text, /service\\+",\\+"souk\\+",\\+"stage\\+",\\+"production/);
});

test("the topic is encrypted, takes TLS alone, and somebody reads it", () => {
    const stack = stackOf("lambda", "alarms");
    assert.ok(all(stack, "AWS::SNS::Topic")[0]?.["KmsMasterKeyId"]);
    assert.equal(all(stack, "AWS::SNS::Subscription")[0]?.["Endpoint"], "ops@example.com");
});
