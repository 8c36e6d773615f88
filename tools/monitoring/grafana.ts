// Writes monitoring/grafana/*.json, the dashboards for Grafana, from the panels below: `npm run grafana`, and with --check it says
// whether the files are what it would write. The data source is a variable of the dashboard: none is named.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { root } from "./emitted.ts";

export interface Panel {
    title: string;
    /** As Grafana names units. */
    unit: "reqps" | "s" | "ms" | "percentunit" | "short" | "bytes" | "ops";
    /** [PromQL, legend] */
    queries: [string, string][];
    help: string;
    view?: "stat";
}

export interface Page {
    id: string;
    title: string;
    panels: Panel[];
}

/** Every query looks at the instances that are chosen at the top. */
const ON = 'instance=~"$instance"';
const rate = (name: string, labels = "") => `rate(${name}{${ON}${labels && `,${labels}`}}[$__rate_interval])`;
const sum = (name: string, labels = "", by = "") => `sum${by && ` by (${by})`} (${rate(name, labels)})`;
const increase = (name: string, span: string, labels = "") => `sum(increase(${name}{${ON}${labels && `,${labels}`}}[${span}]))`;
const quantile = (q: number, name: string, by = "") => `histogram_quantile(${q}, ${sum(`${name}_bucket`, "", by ? `le, ${by}` : "le")})`;
const quantiles = (name: string): [string, string][] => [
    [quantile(0.5, name), "p50"],
    [quantile(0.9, name), "p90"],
    [quantile(0.99, name), "p99"],
];
const gauge = (name: string, by = "instance", labels = "") => `max by (${by}) (${name}{${ON}${labels && `,${labels}`}})`;
const share = (name: string, part: string, whole: string) => `${sum(name, part)} / ${sum(name, whole)}`;

const REQUESTS = "souk_http_requests_total";
const DURATION = "souk_http_request_duration_seconds";

export const pages: Page[] = [
    {
        id: "api",
        title: "souk: API",
        panels: [
            { title: "Requests", unit: "reqps", help: "Requests answered, by class of status", queries: [[sum(REQUESTS, "", "status"), "{{status}}"]] },
            { title: "Latency", unit: "s", help: "From a request's head to its finished reply", queries: quantiles(DURATION) },
            { title: "Server errors", unit: "percentunit", help: "Share of requests answered with 5xx", queries: [[`(${sum(REQUESTS, 'status="5xx"')} or vector(0)) / ${sum(REQUESTS)}`, "5xx"]] },
            { title: "Requests by operation", unit: "reqps", help: "The ten busiest", queries: [[`topk(10, ${sum(REQUESTS, "", "operation")})`, "{{operation}}"]] },
            { title: "Latency by operation, p99", unit: "s", help: "The ten slowest", queries: [[`topk(10, ${quantile(0.99, DURATION, "operation")})`, "{{operation}}"]] },
            { title: "Errors by operation", unit: "reqps", help: "4xx and 5xx, the ten with the most", queries: [[`topk(10, ${sum(REQUESTS, 'status=~"4xx|5xx"', "operation, status")})`, "{{operation}} {{status}}"]] },
            { title: "In flight", unit: "short", help: "Requests being handled now", queries: [[gauge("souk_http_requests_in_flight"), "{{instance}}"]] },
            { title: "Waiting for a worker", unit: "short", help: "Requests in the queues of the pools", queries: [[gauge("souk_worker_queue_depth", "instance, pool"), "{{instance}} {{pool}}"]] },
            { title: "Wait for a worker", unit: "s", help: "How long requests waited", queries: quantiles("souk_worker_wait_seconds") },
            { title: "Refused for want of room", unit: "reqps", help: "503 because too much waited, or for too long", queries: [[sum("souk_requests_shed_total", "", "priority"), "{{priority}}"]] },
            { title: "Spans of traces", unit: "ops", help: "Handed to the collector, and thrown away because it is slow or gone", queries: [[sum("souk_trace_exported_total"), "exported"], [sum("souk_trace_dropped_total"), "dropped"]] },
        ],
    },
    {
        id: "database",
        title: "souk: database",
        panels: [
            { title: "Connections to PostgreSQL", unit: "short", help: "Open now", queries: [[gauge("souk_postgres_connections", "instance, role"), "{{instance}} {{role}}"]] },
            { title: "Round trips to PostgreSQL", unit: "s", help: "A statement, or what ends a transaction", queries: quantiles("souk_postgres_round_seconds") },
            { title: "Replica lag", unit: "ms", help: "Age of the newest state that the replica has", queries: [[gauge("souk_postgres_replica_lag_milliseconds", "replica"), "{{replica}}"]] },
            { title: "Reads by replica", unit: "ops", help: "Requests that read there", queries: [[sum("souk_postgres_replica_reads_total", "", "replica"), "{{replica}}"]] },
            { title: "Transactions", unit: "ops", help: "Run again after a collision, and given up", queries: [[sum("souk_postgres_transactions_rerun_total"), "run again"], [sum("souk_postgres_transactions_given_up_total"), "given up"]] },
            { title: "Trouble with connections", unit: "ops", help: "Attempts that failed, and connections that broke", queries: [[sum("souk_postgres_connect_failures_total"), "cannot connect"], [sum("souk_postgres_connections_lost_total"), "lost"]] },
            { title: "Write lane: jobs", unit: "ops", help: "SQLite: writes answered, refused, too late", queries: [[sum("souk_lane_jobs_total"), "answered"], [sum("souk_lane_jobs_refused_total"), "refused"], [sum("souk_lane_jobs_expired_total"), "too late"]] },
            { title: "Write lane: commit", unit: "s", help: "SQLite: COMMIT, which syncs the log", queries: quantiles("souk_lane_commit_seconds") },
            { title: "Write lane: queue", unit: "short", help: "SQLite: writes that wait", queries: [[gauge("souk_lane_queue_depth"), "{{instance}}"]] },
            { title: "Write-ahead log", unit: "bytes", help: "SQLite: its length; past 32 MB the lane restarts it", queries: [[gauge("souk_lane_wal_bytes"), "{{instance}}"]] },
        ],
    },
    {
        id: "cache",
        title: "souk: cache",
        panels: [
            { title: "Replies from the cache", unit: "percentunit", help: "Of those that may be cached: fresh or stale", queries: [[share("souk_response_cache_total", 'result=~"hit|stale"', ""), "hits"]] },
            { title: "Memory: look-ups", unit: "ops", help: "By outcome", queries: [[sum("souk_cache_requests_total", "", "result"), "{{result}}"]] },
            { title: "Redis: look-ups", unit: "ops", help: "By outcome; skipped: Redis was away", queries: [[sum("souk_cache_shared_requests_total", "", "result"), "{{result}}"]] },
            { title: "Redis: latency", unit: "s", help: "Of a pipeline of commands", queries: quantiles("souk_redis_seconds") },
            { title: "Redis: commands", unit: "ops", help: "By what became of them", queries: [[sum("souk_redis_commands_total", "", "result"), "{{result}}"]] },
            { title: "Redis: failures", unit: "ops", help: "Connections that failed, broke or timed out", queries: [[sum("souk_redis_failures_total"), "failures"]] },
            { title: "Memory", unit: "bytes", help: "Held by the cache", queries: [[gauge("souk_cache_bytes"), "{{instance}}"]] },
            { title: "Evictions and drops", unit: "ops", help: "Entries that made room; tags dropped by edits and sales", queries: [[sum("souk_cache_evictions_total"), "evictions"], [sum("souk_cache_drops_total"), "drops"]] },
            { title: "Link to the other servers", unit: "short", help: "1 while they are heard", queries: [[gauge("souk_cache_link_up"), "{{instance}}"]] },
            { title: "Made anew", unit: "ops", help: "Stale replies that were refreshed, and requests that waited for another's", queries: [[sum("souk_response_cache_refreshes_total"), "refreshed"], [sum("souk_response_cache_joined_total"), "waited"]] },
        ],
    },
    {
        id: "business",
        title: "souk: business",
        panels: [
            { title: "Orders, last hour", unit: "short", view: "stat", help: "Placed", queries: [[increase("souk_orders_total", "1h"), "orders"]] },
            { title: "Conversion, last hour", unit: "percentunit", view: "stat", help: "Orders by carts opened", queries: [[`${increase("souk_orders_total", "1h")} / (${increase("souk_carts_total", "1h")} > 0)`, "conversion"]] },
            { title: "Orders", unit: "ops", help: "Placed", queries: [[sum("souk_orders_total"), "orders"]] },
            { title: "Revenue", unit: "ops", help: "Totals of the orders placed: minor units a second, by currency", queries: [[sum("souk_order_value_minor_total", "", "currency"), "{{currency}}"]] },
            { title: "Carts opened", unit: "ops", help: "Orders against them are the conversion", queries: [[sum("souk_carts_total"), "carts"]] },
            { title: "Checkouts", unit: "ops", help: "2xx placed, 4xx refused or declined, 5xx failed", queries: [[sum(REQUESTS, 'operation="checkout_create"', "status"), "{{status}}"]] },
            { title: "Accounts and log-ins", unit: "ops", help: "Opened; log-ins with a password", queries: [[sum("souk_registrations_total"), "accounts"], [sum("souk_logins_total", "", "result"), "log-ins {{result}}"]] },
            { title: "Orders that nobody paid in time", unit: "ops", help: "Expired", queries: [[sum("souk_orders_expired_total"), "expired"]] },
            { title: "Outbox", unit: "short", help: "Mails and webhooks that wait", queries: [[gauge("souk_outbox_pending"), "{{instance}}"]] },
            { title: "Deliveries", unit: "ops", help: "Delivered, failed, given up", queries: [[sum("souk_outbox_delivered_total"), "delivered"], [sum("souk_outbox_failed_total"), "failed"], [sum("souk_outbox_given_up_total"), "given up"]] },
        ],
    },
];

const DATASOURCE = { type: "prometheus", uid: "${datasource}" };

function panelOf(panel: Panel, index: number): unknown {
    return {
        id: index + 1,
        type: panel.view ?? "timeseries",
        title: panel.title,
        description: panel.help,
        datasource: DATASOURCE,
        gridPos: { h: 8, w: 12, x: (index % 2) * 12, y: Math.floor(index / 2) * 8 },
        fieldConfig: { defaults: { unit: panel.unit, min: 0 }, overrides: [] },
        targets: panel.queries.map(([expr, legendFormat], i) => ({ refId: String.fromCharCode(65 + i), datasource: DATASOURCE, expr, legendFormat })),
    };
}

function dashboardOf(page: Page): unknown {
    return {
        uid: `souk-${page.id}`,
        title: page.title,
        tags: ["souk"],
        schemaVersion: 38,
        editable: true,
        time: { from: "now-6h", to: "now" },
        refresh: "30s",
        templating: {
            list: [
                { name: "datasource", type: "datasource", query: "prometheus", label: "Data source" },
                {
                    name: "instance",
                    type: "query",
                    label: "Instance",
                    datasource: DATASOURCE,
                    query: "label_values(souk_http_requests_in_flight, instance)",
                    includeAll: true,
                    multi: true,
                    allValue: ".*",
                    current: { text: "All", value: "$__all" },
                    refresh: 2,
                },
            ],
        },
        panels: page.panels.map(panelOf),
    };
}

/** File name and text of each dashboard. */
export function dashboardFiles(): [string, string][] {
    return pages.map((page) => [`monitoring/grafana/${page.id}.json`, `${JSON.stringify(dashboardOf(page), null, 2)}\n`]);
}

/** Those that are not as they would be written. */
export function staleFiles(): string[] {
    return dashboardFiles().flatMap(([file, text]) => {
        try {
            return readFileSync(path.join(root, file), "utf8") === text ? [] : [file];
        } catch {
            return [file];
        }
    });
}

if (process.argv[1] === import.meta.filename) {
    mkdirSync(path.join(root, "monitoring/grafana"), { recursive: true });
    for (const [file, text] of dashboardFiles()) writeFileSync(path.join(root, file), text);
}
