// monitoring/cloudwatch.ts names nothing that is not there: metrics, labels and operations that the binary emits, AWS's own metrics,
// sections of docs/runbooks.md. A widget of a metric that does not exist stays empty for ever, an alarm of one never sounds.
import assert from "node:assert/strict";
import { test } from "node:test";
import { AWS_METRICS } from "../../monitoring/aws-metrics.ts";
import { alarms, dashboards, type AwsMetric, type OwnMetric, type Series } from "../../monitoring/cloudwatch.ts";
import { emittedMetrics, operations, wrongLabels, type Emitted } from "./emitted.ts";

const emitted = emittedMetrics();
const known = operations();

type Metric = OwnMetric | AwsMetric;

function metricsOf(series: Series): Metric[] {
    return "expression" in series ? Object.values(series.using) : [series];
}

/** What CloudWatch has of a metric of ours: counters as sums, the values of histograms, gauges with all of their labels. */
export function wrongMetric(metric: Metric, metrics: Map<string, Emitted> = emitted): string[] {
    if (metric.namespace !== "souk")
        return AWS_METRICS[metric.namespace]?.includes(metric.name) ? [] : [`${metric.namespace} has no metric ${metric.name}`];
    const own = metrics.get(metric.name);
    if (!own) return [`souk emits no ${metric.name}`];
    const wrong = wrongLabels(own, metric.dimensions, known);
    // Dimensions are said for all labels, without the first, ..., without any (metrics_emf.c); of gauges for all only.
    const given = Object.keys(metric.dimensions);
    const sets = own.kind === "gauge" ? [own.labels] : own.labels.map((_, i) => own.labels.slice(i)).concat([[]]);
    if (!sets.some((set) => set.length === given.length && set.every((label) => given.includes(label))))
        wrong.push(`${metric.name} is not in CloudWatch by ${given.join(", ") || "no label"} (it has ${sets.map((set) => set.join("+") || "none").join("; ")})`);
    if (own.kind === "counter" && metric.statistic !== "Sum") wrong.push(`${metric.name} counts: its statistic is Sum, not ${metric.statistic}`);
    if (own.kind === "histogram" && metric.statistic === "Sum") wrong.push(`${metric.name} holds durations: their Sum says little`);
    return wrong;
}

const all = [
    ...dashboards.flatMap((dashboard) => dashboard.widgets.flatMap((widget) => widget.series.map((series) => ({ where: `${dashboard.id}: ${widget.title}`, series })))),
    ...alarms.map((alarm) => ({ where: alarm.id, series: alarm.watches })),
];

test("every metric is one that souk emits or AWS documents", () => {
    const wrong = all.flatMap(({ where, series }) => metricsOf(series).flatMap((metric) => wrongMetric(metric).map((what) => `${where}: ${what}`)));
    assert.deepEqual(wrong, []);
});

test("a metric, label, operation or dimension that does not exist is found", () => {
    const own = (name: string, dimensions: Record<string, string> = {}): OwnMetric => ({ namespace: "souk", name, dimensions, statistic: "Sum", label: "" });
    assert.match(wrongMetric(own("souk_orders"))[0]!, /emits no souk_orders/);
    assert.match(wrongMetric(own("souk_cache_requests_total", { outcome: "hit" }))[0]!, /has no label outcome/);
    assert.match(wrongMetric(own("souk_cache_requests_total", { result: "hits" }))[0]!, /has no result="hits"/);
    assert.match(wrongMetric(own("souk_http_requests_total", { operation: "cart_fly", status: "5xx" }))[0]!, /no operation cart_fly/);
    assert.match(wrongMetric(own("souk_http_requests_total", { operation: "cart_get" }))[0]!, /is not in CloudWatch by operation/);
    assert.match(wrongMetric(own("souk_worker_queue_depth"))[0]!, /is not in CloudWatch by no label/);
    assert.match(wrongMetric({ ...own("souk_orders_total"), statistic: "p99" })[0]!, /is Sum, not p99/);
    assert.match(wrongMetric({ namespace: "AWS/Lambda", resource: "function", name: "Error", dimensions: {}, statistic: "Sum", label: "" })[0]!, /no metric Error/);
});

test("expressions name the metrics that they use, and use those that they name", () => {
    for (const { where, series } of all) {
        if (!("expression" in series)) continue;
        const names = new Set(series.expression.match(/\b[a-z][a-z0-9_]*\b/g) ?? []);
        assert.deepEqual([...names].sort(), Object.keys(series.using).sort(), where);
    }
});

test("dashboards and alarms are whole", () => {
    assert.deepEqual(dashboards.map((dashboard) => dashboard.id), ["api", "database", "cache", "business"]);
    assert.equal(new Set(alarms.map((alarm) => alarm.id)).size, alarms.length);
    for (const dashboard of dashboards) assert.equal(new Set(dashboard.widgets.map((widget) => widget.title)).size, dashboard.widgets.length);
    for (const alarm of alarms) {
        assert.match(alarm.id, /^[a-z][a-z-]*$/);
        assert.ok(alarm.datapoints >= 1 && alarm.datapoints <= alarm.periods, alarm.id);
        assert.ok([10, 30].includes(alarm.periodSeconds) || alarm.periodSeconds % 60 === 0, alarm.id);
        assert.ok(alarm.periodSeconds * alarm.periods <= 86_400, `${alarm.id}: CloudWatch looks back a day at most`);
        assert.ok(alarm.summary.length > 0 && !alarm.summary.endsWith("."), alarm.id);
    }
});
