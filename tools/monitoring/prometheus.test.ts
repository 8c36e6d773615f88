// Grafana's panels and Prometheus's rules ask for nothing that souk does not emit: each expression is read by Prometheus's own grammar,
// and each name, label and operation in it is held against the binary.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { alarms } from "../../monitoring/cloudwatch.ts";
import { emittedMetrics, operations, root, wrongLabels, type Emitted } from "./emitted.ts";
import { staleFiles } from "./grafana.ts";
import { readQuery, type Selector } from "./promql.ts";

const emitted = emittedMetrics();
const known = operations();

/** Labels that Prometheus adds to whatever it reads. */
const TARGET_LABELS = ["instance", "job"];
const OVER_TIME = ["rate", "irate", "increase"];

/** A histogram is three names in Prometheus. */
function baseOf(name: string): { metric: Emitted | undefined; suffix: string } {
    const found = /^(.*)(_bucket|_sum|_count)$/.exec(name);
    const histogram = found && emitted.get(found[1]!);
    return histogram?.kind === "histogram" ? { metric: histogram, suffix: found![2]! } : { metric: emitted.get(name), suffix: "" };
}

function wrongSelector(selector: Selector): string[] {
    if (selector.name === "up") return [];
    const { metric, suffix } = baseOf(selector.name);
    if (!metric) return [`souk emits no ${selector.name}`];
    if (metric.kind === "histogram" && suffix === "") return [`${metric.name} is a histogram: _bucket, _sum or _count`];
    const own = [...metric.labels, ...(suffix === "_bucket" ? ["le"] : [])];
    const wrong = selector.by.filter((label) => ![...own, ...TARGET_LABELS].includes(label)).map((label) => `${selector.name} has no label ${label} to keep`);
    for (const { label, operator, value } of selector.matchers) {
        if (TARGET_LABELS.includes(label)) continue;
        const values = operator.endsWith("~") ? value.split("|") : [value];
        wrong.push(...values.flatMap((one) => wrongLabels(metric, { [label]: one }, known)));
    }
    const isOverTime = selector.within.some((name) => OVER_TIME.includes(name));
    if (metric.kind === "gauge" && isOverTime) wrong.push(`${metric.name} is a gauge: it has no rate`);
    if (metric.kind !== "gauge" && !isOverTime) wrong.push(`${selector.name} only grows: ask for its rate or increase`);
    if (suffix === "_bucket" && selector.within.includes("histogram_quantile") && !selector.by.includes("le")) wrong.push(`${selector.name}: keep le for the quantile`);
    return wrong;
}

/** What is wrong with an expression; Grafana's variables are given values first. */
function wrongExpression(expression: string): string[] {
    const { errors, selectors } = readQuery(expression.replaceAll("$__rate_interval", "5m").replaceAll("$instance", ".*"));
    if (errors.length > 0) return errors.map((error) => `no PromQL ${error}`);
    return selectors.length > 0 ? selectors.flatMap(wrongSelector) : ["it asks for no metric"];
}

test("what is wrong with an expression is found", () => {
    const finds = (expression: string, expected: RegExp) => assert.match(wrongExpression(expression).join("; "), expected, expression);
    finds("sum(rate(souk_orders[5m]))", /emits no souk_orders/);
    finds("sum(rate(souk_orders_total[5m])", /no PromQL/);
    finds("sum(souk_orders_total)", /only grows/);
    finds("rate(souk_outbox_pending[5m])", /is a gauge/);
    finds("rate(souk_redis_seconds[5m])", /is a histogram/);
    finds("histogram_quantile(0.9, sum(rate(souk_redis_seconds_bucket[5m])))", /keep le/);
    finds("sum by (region) (rate(souk_orders_total[5m]))", /no label region/);
    finds('rate(souk_cache_requests_total{result="hits"}[5m])', /no result="hits"/);
    finds('rate(souk_http_requests_total{operation=~"cart_get|cart_fly"}[5m])', /no operation cart_fly/);
    finds("1 + 1", /asks for no metric/);
});

interface Panel {
    title: string;
    datasource: { uid: string };
    targets: { expr: string; datasource: { uid: string } }[];
}
const pages = readdirSync(path.join(root, "monitoring/grafana")).map((file) => ({
    file,
    text: readFileSync(path.join(root, "monitoring/grafana", file), "utf8"),
}));

test("Grafana's panels ask for what souk emits, of a data source that is chosen there", () => {
    assert.deepEqual(pages.map(({ file }) => file).sort(), ["api.json", "business.json", "cache.json", "database.json"]);
    for (const { file, text } of pages) {
        const dashboard = JSON.parse(text) as { uid: string; panels: Panel[] };
        assert.ok(dashboard.panels.length >= 8, file);
        for (const panel of dashboard.panels) {
            assert.ok(panel.targets.length > 0, `${file}: ${panel.title}`);
            for (const { expr, datasource } of panel.targets) {
                assert.deepEqual(wrongExpression(expr), [], `${file}: ${panel.title}: ${expr}`);
                assert.equal(datasource.uid, "${datasource}", `${file}: ${panel.title}`);
                assert.match(expr, /\$instance/, `${file}: ${panel.title}: the choice of instances counts for nothing`);
            }
            assert.equal(panel.datasource.uid, "${datasource}");
        }
    }
});

test("the files are what tools/monitoring/grafana.ts writes (npm run grafana)", () => {
    assert.deepEqual(staleFiles(), []);
});

interface Rule {
    alert: string;
    expr: string;
    labels: { severity: string };
    annotations: { summary: string; runbook_url: string };
}
const rulesFile = path.join(root, "monitoring/prometheus/rules.yaml");
const rules = (parse(readFileSync(rulesFile, "utf8")) as { groups: { rules: Rule[] }[] }).groups.flatMap((group) => group.rules);

/** As GitHub makes anchors of headings. */
const sections = new Set(
    [...readFileSync(path.join(root, "docs/runbooks.md"), "utf8").matchAll(/^## (.+)$/gm)].map((match) => match[1]!.toLowerCase().replace(/[^a-z0-9 -]/g, "").replaceAll(" ", "-")),
);

test("alert rules ask for what souk emits and say what to do", () => {
    assert.ok(rules.length >= 15);
    assert.equal(new Set(rules.map((rule) => rule.alert)).size, rules.length);
    for (const rule of rules) {
        assert.deepEqual(wrongExpression(rule.expr), [], `${rule.alert}: ${rule.expr}`);
        assert.ok(["critical", "warning"].includes(rule.labels.severity), rule.alert);
        assert.ok(rule.annotations.summary.length > 0, rule.alert);
        const [file, section] = rule.annotations.runbook_url.split("#");
        assert.equal(file, "docs/runbooks.md", rule.alert);
        assert.ok(sections.has(section!), `${rule.alert}: docs/runbooks.md has no section ${section}`);
    }
});

test("alarms of CloudWatch say what to do, and every section of the runbooks is somebody's", () => {
    for (const alarm of alarms) assert.ok(sections.has(alarm.runbook), `${alarm.id}: docs/runbooks.md has no section ${alarm.runbook}`);
    const used = new Set([...alarms.map((alarm) => alarm.runbook), ...rules.map((rule) => rule.annotations.runbook_url.split("#")[1]!)]);
    assert.deepEqual([...sections].filter((section) => !used.has(section)), []);
});

const promtool = (process.env["PATH"] ?? "").split(":").map((folder) => path.join(folder, "promtool")).find(existsSync);

test("promtool takes the rules", { skip: promtool ? false : "promtool is not installed (Debian: prometheus)" }, () => {
    const checked = spawnSync(promtool!, ["check", "rules", rulesFile], { encoding: "utf8", timeout: 10_000 });
    assert.equal(checked.status, 0, checked.stdout + checked.stderr);
});
