// CloudWatch's dashboards and alarms, of monitoring/cloudwatch.ts, which says what is shown and watched; here is only where each
// metric's resource is. What a deployment does not have is left out.
import { CfnOutput, Duration, Stack } from "aws-cdk-lib";
import * as cloudwatch from "aws-cdk-lib/aws-cloudwatch";
import { SnsAction } from "aws-cdk-lib/aws-cloudwatch-actions";
import type * as sns from "aws-cdk-lib/aws-sns";
import type { Construct } from "constructs";
import {
    type Alarm,
    alarms,
    type AwsMetric,
    type Dashboard,
    dashboards,
    ownDimensions,
    type OwnMetric,
    type Resource,
    type Series,
    type Widget,
} from "../../monitoring/cloudwatch.ts";
import type { Settings } from "./settings.ts";

/** The dimensions that name each resource of a kind; a kind that is not there is left out. */
export type Resources = Partial<Record<Resource, Record<string, string>[]>>;

/** The dimension `service` of souk's own metrics: one shop, however many functions it runs in. */
export const SERVICE = "souk";
const RUNBOOKS = "docs/runbooks.md";
const WIDGETS_A_ROW = 2;

export function monitoring(app: Construct, settings: Settings, resources: Resources, topic: sns.ITopic): void {
    const stack = new Stack(app, `${settings.prefix}-monitoring`, { description: `souk ${settings.stage}: dashboards, alarms` });
    for (const dashboard of dashboards) makeDashboard(stack, settings, resources, dashboard);
    for (const alarm of alarms) makeAlarms(stack, settings, resources, topic, alarm);
    new CfnOutput(stack, "Dashboards", { value: dashboards.map(({ id }) => `${settings.prefix}-${id}`).join(",") });
}

function makeDashboard(stack: Stack, settings: Settings, resources: Resources, { id, title, widgets }: Dashboard): void {
    const shown = widgets.flatMap((widget) => {
        const metrics = widget.series.flatMap((series) => metricsOf(settings, resources, series, widget.periodSeconds));
        return metrics.length > 0 ? [makeWidget(widget, metrics)] : [];
    });
    const rows: cloudwatch.IWidget[][] = [[new cloudwatch.TextWidget({ markdown: `# ${title}, ${settings.stage}`, width: 24, height: 1 })]];
    for (let index = 0; index < shown.length; index += WIDGETS_A_ROW) rows.push(shown.slice(index, index + WIDGETS_A_ROW));
    new cloudwatch.Dashboard(stack, `Dashboard-${id}`, { dashboardName: `${settings.prefix}-${id}`, widgets: rows });
}

function makeWidget({ title, unit, view, periodSeconds }: Widget, metrics: cloudwatch.IMetric[]): cloudwatch.IWidget {
    const common = { title: `${title} (${unit})`, width: 24 / WIDGETS_A_ROW, height: 6 };
    return view === "number"
        ? new cloudwatch.SingleValueWidget({ ...common, metrics, period: Duration.seconds(periodSeconds) })
        : new cloudwatch.GraphWidget({ ...common, left: metrics, period: Duration.seconds(periodSeconds) });
}

/** Of one series: a metric for each resource that it stands for. */
function metricsOf(settings: Settings, resources: Resources, series: Series, periodSeconds: number): cloudwatch.IMetric[] {
    if (!("expression" in series)) return plain(settings, resources, series, periodSeconds);
    const using = Object.entries(series.using).map(([name, metric]) => [name, plain(settings, resources, metric, periodSeconds)] as const);
    const [, first = []] = using[0] ?? [];
    return first.map(
        (_, index) =>
            new cloudwatch.MathExpression({
                expression: series.expression,
                label: first.length > 1 ? `${series.label} ${index + 1}` : series.label,
                period: Duration.seconds(periodSeconds),
                usingMetrics: Object.fromEntries(
                    using.map(([name, metrics]) => {
                        const metric = metrics[index] ?? metrics[0];
                        if (!metric) throw new Error(`${series.label}: ${name} has no resource`);
                        return [name, metric];
                    }),
                ),
            }),
    );
}

function plain(settings: Settings, resources: Resources, metric: OwnMetric | AwsMetric, periodSeconds: number): cloudwatch.Metric[] {
    const dimensions =
        metric.namespace === "souk"
            ? [ownDimensions(metric as OwnMetric, SERVICE, settings.stage)]
            : (resources[(metric as AwsMetric).resource] ?? []).map((resource) => ({ ...resource, ...metric.dimensions }));
    return dimensions.map(
        (dimensionsMap) =>
            new cloudwatch.Metric({
                namespace: metric.namespace,
                metricName: metric.name,
                dimensionsMap,
                statistic: metric.statistic,
                period: Duration.seconds(periodSeconds),
                label: dimensions.length > 1 ? `${metric.label} ${nameOf(dimensionsMap)}` : metric.label,
            }),
    );
}

/** What tells one resource from the others of its kind. */
function nameOf(dimensions: Record<string, string>): string {
    return dimensions["FunctionName"] ?? dimensions["CacheClusterId"] ?? Object.values(dimensions).join(" ");
}

const MISSING: Record<Alarm["missing"], cloudwatch.TreatMissingData> = {
    good: cloudwatch.TreatMissingData.NOT_BREACHING,
    bad: cloudwatch.TreatMissingData.BREACHING,
    ignore: cloudwatch.TreatMissingData.IGNORE,
};

function makeAlarms(stack: Stack, settings: Settings, resources: Resources, topic: sns.ITopic, alarm: Alarm): void {
    const metrics = metricsOf(settings, resources, alarm.watches, alarm.periodSeconds);
    metrics.forEach((metric, index) => {
        const name = metrics.length > 1 ? `${alarm.id}-${index + 1}` : alarm.id;
        const made = new cloudwatch.Alarm(stack, `Alarm-${name}`, {
            alarmName: `${settings.prefix}-${name}`,
            alarmDescription: `${alarm.severity}: ${alarm.summary}. What to do: ${RUNBOOKS}#${alarm.runbook}`,
            metric,
            threshold: alarm.threshold,
            comparisonOperator:
                alarm.comparison === "above"
                    ? cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD
                    : cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            evaluationPeriods: alarm.periods,
            datapointsToAlarm: alarm.datapoints,
            treatMissingData: MISSING[alarm.missing],
        });
        made.addAlarmAction(new SnsAction(topic));
        made.addOkAction(new SnsAction(topic));
    });
}
