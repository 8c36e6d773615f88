// What CloudWatch shows and watches, as data: infrastructure/ makes dashboards and alarms of it. The same four dashboards as in
// monitoring/grafana/, the same dangers as in monitoring/prometheus/rules.yaml; docs/monitoring.md explains both.
//
// tools/monitoring/monitoring.test.ts holds every name here against what the binary emits (`souk metrics`) and against
// monitoring/aws-metrics.ts, the table of AWS's own metrics.

/** What of a deployment AWS measures. A metric of a resource stands for each resource of that kind: in a widget it is one line for
 * each, of an alarm there is one for each. What a deployment does not have (a balancer on Lambda) is left out. */
export type Resource = "api" | "balancer" | "function" | "service" | "database" | "reader" | "proxy" | "cache" | "queue" | "deadLetters";

/** p50, p90, ...: a percentile. */
export type Statistic = "Sum" | "Average" | "Maximum" | "Minimum" | "SampleCount" | `p${number}`;

/** A metric of souk's own (base/metrics_emf.h). `dimensions` are its labels: all of them, the last ones, or none, which adds up over the
 * missing ones. The dimensions `service` and `stage` come on top (ownDimensions). */
export interface OwnMetric {
    namespace: "souk";
    name: string;
    dimensions: Record<string, string>;
    statistic: Statistic;
    label: string;
}

/** One of AWS. Its dimensions are those that name the resource, and what `dimensions` adds. */
export interface AwsMetric {
    namespace: `AWS/${string}`;
    resource: Resource;
    name: string;
    dimensions: Record<string, string>;
    statistic: Statistic;
    label: string;
}

/** Metric math (CloudWatch's own syntax) over metrics, which the expression names by the keys of `using`. */
export interface Expression {
    expression: string;
    using: Record<string, OwnMetric | AwsMetric>;
    label: string;
}

export type Series = OwnMetric | AwsMetric | Expression;

export interface Widget {
    title: string;
    unit: "count" | "seconds" | "milliseconds" | "microseconds" | "percent" | "bytes" | "minor units";
    /** "line" over time, "number": the newest. */
    view: "line" | "number";
    periodSeconds: number;
    series: Series[];
}

export interface Dashboard {
    /** A part of the dashboard's name; also of the file in monitoring/grafana/. */
    id: "api" | "database" | "cache" | "business";
    title: string;
    widgets: Widget[];
}

export interface Alarm {
    /** A part of the alarm's name. */
    id: string;
    /** Tells somebody at night, or in the morning. */
    severity: "critical" | "warning";
    summary: string;
    /** The section of docs/runbooks.md that says what to do: its anchor. */
    runbook: string;
    watches: Series;
    comparison: "above" | "below";
    threshold: number;
    periodSeconds: number;
    /** So many of the newest `periods` must be beyond the threshold. */
    datapoints: number;
    periods: number;
    /** What it means when nothing was measured. */
    missing: "good" | "bad" | "ignore";
}

/** The settings that a function or task of souk needs so that its metrics come here. */
export function metricsEnvironment(service: string, stage: string): Record<string, string> {
    return { SOUK_METRICS: "emf", OTEL_SERVICE_NAME: service, SOUK_STAGE: stage };
}

/** The whole of the dimensions of a metric of souk's own, in CloudWatch. */
export function ownDimensions(metric: OwnMetric, service: string, stage: string): Record<string, string> {
    return { service, stage, ...metric.dimensions };
}

function own(name: string, statistic: Statistic, label: string, dimensions: Record<string, string> = {}): OwnMetric {
    return { namespace: "souk", name, dimensions, statistic, label };
}

const NAMESPACES: Record<Resource, AwsMetric["namespace"]> = {
    api: "AWS/ApiGateway",
    balancer: "AWS/ApplicationELB",
    function: "AWS/Lambda",
    service: "AWS/ECS",
    database: "AWS/RDS",
    reader: "AWS/RDS",
    proxy: "AWS/RDS",
    cache: "AWS/ElastiCache",
    queue: "AWS/SQS",
    deadLetters: "AWS/SQS",
};

function aws(resource: Resource, name: string, statistic: Statistic, label: string, dimensions: Record<string, string> = {}): AwsMetric {
    return { namespace: NAMESPACES[resource], resource, name, dimensions, statistic, label };
}

function line(title: string, unit: Widget["unit"], ...series: Series[]): Widget {
    return { title, unit, view: "line", periodSeconds: 60, series };
}

function number(title: string, unit: Widget["unit"], ...series: Series[]): Widget {
    return { title, unit, view: "number", periodSeconds: 3600, series };
}

/** What was answered with 5xx, of everything, in percent; a minute without requests has none. */
const serverErrors: Expression = {
    expression: "IF(requests > 0, 100 * FILL(errors, 0) / requests, 0)",
    using: {
        requests: own("souk_http_requests_total", "Sum", "requests"),
        errors: own("souk_http_requests_total", "Sum", "5xx", { status: "5xx" }),
    },
    label: "5xx, % of requests",
};

const hitRate = (name: string, label: string): Expression => ({
    expression: "IF(hits + misses > 0, 100 * hits / (hits + misses))",
    using: { hits: own(name, "Sum", "hits", { result: "hit" }), misses: own(name, "Sum", "misses", { result: "miss" }) },
    label,
});

const awsCacheMisses: Expression = {
    expression: "IF(hits + misses > 1000, 100 * misses / (hits + misses), 0)",
    using: { hits: aws("cache", "CacheHits", "Sum", "hits"), misses: aws("cache", "CacheMisses", "Sum", "misses") },
    label: "misses, % of look-ups",
};

const conversion: Expression = {
    expression: "IF(carts > 0, 100 * FILL(orders, 0) / carts)",
    using: { orders: own("souk_orders_total", "Sum", "orders"), carts: own("souk_carts_total", "Sum", "carts") },
    label: "orders, % of carts",
};

const DURATION = "souk_http_request_duration_seconds";
const REQUESTS = "souk_http_requests_total";
/** What customers feel first. */
const SHOWN_OPERATIONS = ["products_list", "product_get", "cart_item_add", "checkout_create", "auth_login"];

const api: Dashboard = {
    id: "api",
    title: "API",
    widgets: [
        line("Requests", "count", own(REQUESTS, "Sum", "all"), ...["2xx", "3xx", "4xx", "5xx"].map((status) => own(REQUESTS, "Sum", status, { status }))),
        line("Latency of the handler", "seconds", own(DURATION, "p50", "p50"), own(DURATION, "p90", "p90"), own(DURATION, "p99", "p99")),
        line("Server errors", "percent", serverErrors),
        line("Latency by operation, p99", "seconds", ...SHOWN_OPERATIONS.map((operation) => own(DURATION, "p99", operation, { operation }))),
        line(
            "Server errors by operation",
            "count",
            ...SHOWN_OPERATIONS.map((operation) => own(REQUESTS, "Sum", operation, { operation, status: "5xx" })),
        ),
        line("API Gateway: requests", "count", aws("api", "Count", "Sum", "all"), aws("api", "4XXError", "Sum", "4xx"), aws("api", "5XXError", "Sum", "5xx")),
        line("API Gateway: latency", "milliseconds", aws("api", "Latency", "p50", "p50"), aws("api", "Latency", "p99", "p99"), aws("api", "IntegrationLatency", "p99", "p99 behind the gateway")),
        line("API Gateway: cache", "count", aws("api", "CacheHitCount", "Sum", "hits"), aws("api", "CacheMissCount", "Sum", "misses")),
        line("Functions: invocations", "count", aws("function", "Invocations", "Sum", "invocations")),
        line("Functions: errors and throttles", "count", aws("function", "Errors", "Sum", "errors"), aws("function", "Throttles", "Sum", "throttles")),
        line("Functions: duration, p99", "milliseconds", aws("function", "Duration", "p99", "p99")),
        line("Functions: at once", "count", aws("function", "ConcurrentExecutions", "Maximum", "at once")),
        line("Balancer: requests", "count", aws("balancer", "RequestCount", "Sum", "all"), aws("balancer", "HTTPCode_Target_5XX_Count", "Sum", "5xx")),
        line("Balancer: latency", "seconds", aws("balancer", "TargetResponseTime", "p50", "p50"), aws("balancer", "TargetResponseTime", "p99", "p99")),
        line("Tasks", "percent", aws("service", "CPUUtilization", "Average", "CPU"), aws("service", "MemoryUtilization", "Average", "memory")),
        line("Refused for want of room", "count", own("souk_requests_shed_total", "Sum", "all")),
    ],
};

const database: Dashboard = {
    id: "database",
    title: "Database",
    widgets: [
        line("Connections", "count", aws("database", "DatabaseConnections", "Maximum", "connections")),
        line("CPU", "percent", aws("database", "CPUUtilization", "Average", "CPU"), aws("reader", "CPUUtilization", "Average", "CPU of readers")),
        line("Capacity used", "percent", aws("database", "ACUUtilization", "Maximum", "of the most that it may scale to")),
        line("Free memory", "bytes", aws("database", "FreeableMemory", "Minimum", "free")),
        line("Replica lag", "milliseconds", aws("database", "AuroraReplicaLagMaximum", "Maximum", "the latest reader")),
        line("Commit latency", "milliseconds", aws("database", "CommitLatency", "Average", "commit")),
        line("Deadlocks", "count", aws("database", "Deadlocks", "Sum", "deadlocks")),
        line("Proxy: connections", "count", aws("proxy", "ClientConnections", "Maximum", "of functions"), aws("proxy", "DatabaseConnections", "Maximum", "to the database")),
        line("Proxy: wait for a connection", "microseconds", aws("proxy", "DatabaseConnectionsBorrowLatency", "Average", "wait")),
        line("Proxy: pinned", "count", aws("proxy", "DatabaseConnectionsCurrentlySessionPinned", "Maximum", "pinned")),
        line("Round trips, as souk sees them", "seconds", own("souk_postgres_round_seconds", "p50", "p50"), own("souk_postgres_round_seconds", "p99", "p99")),
        line("Wait for a worker", "seconds", own("souk_worker_wait_seconds", "p99", "p99")),
        line(
            "Trouble",
            "count",
            own("souk_postgres_connect_failures_total", "Sum", "cannot connect"),
            own("souk_postgres_connections_lost_total", "Sum", "connections lost"),
            own("souk_postgres_transactions_given_up_total", "Sum", "transactions given up"),
        ),
        line("Transactions run again", "count", own("souk_postgres_transactions_rerun_total", "Sum", "run again")),
    ],
};

const cache: Dashboard = {
    id: "cache",
    title: "Cache",
    widgets: [
        line("Replies: hit rate", "percent", hitRate("souk_response_cache_total", "memory and Redis")),
        line("Redis: hit rate, as souk sees it", "percent", hitRate("souk_cache_shared_requests_total", "Redis")),
        line("ElastiCache: look-ups", "count", aws("cache", "CacheHits", "Sum", "hits"), aws("cache", "CacheMisses", "Sum", "misses")),
        line("Latency of Redis, as souk sees it", "seconds", own("souk_redis_seconds", "p50", "p50"), own("souk_redis_seconds", "p99", "p99")),
        line("ElastiCache: latency of reads", "microseconds", aws("cache", "GetTypeCmdsLatency", "Average", "GET and the like")),
        line("ElastiCache: CPU of the engine", "percent", aws("cache", "EngineCPUUtilization", "Maximum", "CPU")),
        line("ElastiCache: memory", "percent", aws("cache", "DatabaseMemoryUsagePercentage", "Maximum", "used")),
        line("ElastiCache: evictions", "count", aws("cache", "Evictions", "Sum", "evictions")),
        line("ElastiCache: connections", "count", aws("cache", "CurrConnections", "Maximum", "connections")),
        line("Commands of souk", "count", ...["answered", "unanswered"].map((result) => own("souk_redis_commands_total", "Sum", result, { result }))),
        line("Failures", "count", own("souk_redis_failures_total", "Sum", "connections that failed")),
    ],
};

const business: Dashboard = {
    id: "business",
    title: "Business",
    widgets: [
        number("Orders, last hour", "count", own("souk_orders_total", "Sum", "orders")),
        number("Conversion, last hour", "percent", conversion),
        line("Orders", "count", own("souk_orders_total", "Sum", "orders")),
        line("Revenue", "minor units", own("souk_order_value_minor_total", "Sum", "all currencies")),
        line("Carts opened", "count", own("souk_carts_total", "Sum", "carts")),
        { ...line("Conversion", "percent", conversion), periodSeconds: 900 },
        line(
            "Checkouts",
            "count",
            ...Object.entries({ "2xx": "placed", "4xx": "refused or declined", "5xx": "failed" }).map(([status, label]) =>
                own(REQUESTS, "Sum", label, { operation: "checkout_create", status }),
            ),
        ),
        line("Orders that nobody paid in time", "count", own("souk_orders_expired_total", "Sum", "expired")),
        line("Accounts opened", "count", own("souk_registrations_total", "Sum", "accounts")),
        line("Log-ins refused", "count", own("souk_logins_total", "Sum", "refused", { result: "refused" })),
        line("Mails and webhooks", "count", own("souk_outbox_delivered_total", "Sum", "delivered"), own("souk_outbox_failed_total", "Sum", "failed"), own("souk_outbox_given_up_total", "Sum", "given up")),
        line("Jobs in the queue", "count", aws("queue", "ApproximateNumberOfMessagesVisible", "Maximum", "waiting")),
    ],
};

export const dashboards: Dashboard[] = [api, database, cache, business];

/** Beyond the threshold for five minutes in a row. */
const FIVE_MINUTES = { periodSeconds: 60, datapoints: 5, periods: 5, missing: "good" } as const;
/** At once. */
const AT_ONCE = { periodSeconds: 60, datapoints: 1, periods: 1, missing: "good" } as const;

export const alarms: Alarm[] = [
    {
        id: "server-errors",
        severity: "critical",
        summary: "More than 1 % of requests are answered with 5xx",
        runbook: "server-errors",
        watches: serverErrors,
        comparison: "above",
        threshold: 1,
        ...FIVE_MINUTES,
    },
    {
        id: "gateway-errors",
        severity: "critical",
        summary: "API Gateway answers more than 1 % of requests with 5xx",
        runbook: "server-errors",
        watches: aws("api", "5XXError", "Average", "5xx, share of requests"),
        comparison: "above",
        threshold: 0.01,
        ...FIVE_MINUTES,
    },
    {
        id: "balancer-errors",
        severity: "critical",
        summary: "More than 10 requests a minute are answered with 5xx",
        runbook: "server-errors",
        watches: aws("balancer", "HTTPCode_Target_5XX_Count", "Sum", "5xx"),
        comparison: "above",
        threshold: 10,
        ...FIVE_MINUTES,
    },
    {
        id: "slow",
        severity: "warning",
        summary: "One request of a hundred takes longer than a second",
        runbook: "slow-requests",
        watches: own(DURATION, "p99", "p99"),
        comparison: "above",
        threshold: 1,
        ...FIVE_MINUTES,
    },
    {
        id: "checkout-slow",
        severity: "critical",
        summary: "One checkout of a hundred takes longer than two seconds",
        runbook: "slow-requests",
        watches: own(DURATION, "p99", "p99", { operation: "checkout_create" }),
        comparison: "above",
        threshold: 2,
        ...FIVE_MINUTES,
    },
    {
        id: "function-errors",
        severity: "critical",
        summary: "A function ends with errors",
        runbook: "function-errors",
        watches: aws("function", "Errors", "Sum", "errors"),
        comparison: "above",
        threshold: 0,
        periodSeconds: 60,
        datapoints: 3,
        periods: 5,
        missing: "good",
    },
    {
        id: "function-throttles",
        severity: "critical",
        summary: "Lambda refuses to run a function: too many at once",
        runbook: "throttles",
        watches: aws("function", "Throttles", "Sum", "throttles"),
        comparison: "above",
        threshold: 0,
        periodSeconds: 60,
        datapoints: 2,
        periods: 5,
        missing: "good",
    },
    {
        id: "database-connections",
        severity: "warning",
        summary: "The database has more than 800 connections",
        runbook: "database-connections",
        watches: aws("database", "DatabaseConnections", "Maximum", "connections"),
        comparison: "above",
        threshold: 800,
        ...FIVE_MINUTES,
    },
    {
        id: "database-cpu",
        severity: "warning",
        summary: "The database's CPU is busy for more than 80 %",
        runbook: "database-busy",
        watches: aws("database", "CPUUtilization", "Average", "CPU"),
        comparison: "above",
        threshold: 80,
        periodSeconds: 60,
        datapoints: 10,
        periods: 10,
        missing: "good",
    },
    {
        id: "database-capacity",
        severity: "warning",
        summary: "The database uses more than 90 % of the capacity that it may scale to",
        runbook: "database-busy",
        watches: aws("database", "ACUUtilization", "Maximum", "of the most"),
        comparison: "above",
        threshold: 90,
        periodSeconds: 60,
        datapoints: 10,
        periods: 10,
        missing: "good",
    },
    {
        id: "database-unreachable",
        severity: "critical",
        summary: "souk cannot connect to the database",
        runbook: "database-unreachable",
        watches: own("souk_postgres_connect_failures_total", "Sum", "failures"),
        comparison: "above",
        threshold: 0,
        periodSeconds: 60,
        datapoints: 3,
        periods: 3,
        missing: "good",
    },
    {
        id: "replica-lag",
        severity: "warning",
        summary: "A reader is more than a second behind the writer",
        runbook: "replica-lag",
        watches: aws("database", "AuroraReplicaLagMaximum", "Maximum", "lag in ms"),
        comparison: "above",
        threshold: 1000,
        ...FIVE_MINUTES,
    },
    {
        id: "proxy-wait",
        severity: "warning",
        summary: "Functions wait longer than 50 ms for a connection of the proxy",
        runbook: "database-connections",
        watches: aws("proxy", "DatabaseConnectionsBorrowLatency", "Average", "wait in us"),
        comparison: "above",
        threshold: 50_000,
        ...FIVE_MINUTES,
    },
    {
        id: "cache-misses",
        severity: "warning",
        summary: "More than half of the look-ups in the cache miss",
        runbook: "cache-misses",
        watches: awsCacheMisses,
        comparison: "above",
        threshold: 50,
        periodSeconds: 300,
        datapoints: 3,
        periods: 3,
        missing: "good",
    },
    {
        id: "cache-slow",
        severity: "warning",
        summary: "One answer of a hundred of Redis takes longer than 50 ms",
        runbook: "cache-slow",
        watches: own("souk_redis_seconds", "p99", "p99"),
        comparison: "above",
        threshold: 0.05,
        ...FIVE_MINUTES,
    },
    {
        id: "cache-memory",
        severity: "warning",
        summary: "The cache's memory is full to 90 %",
        runbook: "cache-full",
        watches: aws("cache", "DatabaseMemoryUsagePercentage", "Maximum", "used"),
        comparison: "above",
        threshold: 90,
        ...FIVE_MINUTES,
    },
    {
        id: "outbox-pending",
        severity: "warning",
        summary: "More than 1,000 mails and webhooks wait to be delivered",
        runbook: "outbox-pending",
        watches: own("souk_outbox_pending", "Maximum", "pending"),
        comparison: "above",
        threshold: 1000,
        periodSeconds: 300,
        datapoints: 3,
        periods: 3,
        missing: "ignore",
    },
    {
        id: "outbox-given-up",
        severity: "warning",
        summary: "A mail or webhook was given up",
        runbook: "outbox-given-up",
        watches: own("souk_outbox_given_up_total", "Sum", "given up"),
        comparison: "above",
        threshold: 0,
        ...AT_ONCE,
    },
    {
        id: "jobs-failing",
        severity: "warning",
        summary: "A background job fails again and again",
        runbook: "jobs-failing",
        watches: own("souk_jobs_failures_total", "Sum", "failures"),
        comparison: "above",
        threshold: 3,
        periodSeconds: 300,
        datapoints: 3,
        periods: 3,
        missing: "good",
    },
    {
        id: "dead-letters",
        severity: "critical",
        summary: "A message was put aside after its last attempt",
        runbook: "dead-letters",
        watches: aws("deadLetters", "ApproximateNumberOfMessagesVisible", "Maximum", "messages"),
        comparison: "above",
        threshold: 0,
        ...AT_ONCE,
    },
    {
        id: "no-orders",
        severity: "warning",
        summary: "No order was placed for an hour",
        runbook: "no-orders",
        watches: own("souk_orders_total", "Sum", "orders"),
        comparison: "below",
        threshold: 1,
        periodSeconds: 3600,
        datapoints: 1,
        periods: 1,
        missing: "bad",
    },
];
