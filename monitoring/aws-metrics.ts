// AWS's own metrics that monitoring/cloudwatch.ts may name, as the documentation of each service lists them: a misspelt name would be a
// widget that stays empty and an alarm that never sounds. Add a name here after reading it there.

export const AWS_METRICS: Record<string, readonly string[]> = {
    // https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html (REST APIs)
    "AWS/ApiGateway": ["4XXError", "5XXError", "CacheHitCount", "CacheMissCount", "Count", "IntegrationLatency", "Latency"],
    // https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
    "AWS/ApplicationELB": [
        "HealthyHostCount",
        "HTTPCode_ELB_5XX_Count",
        "HTTPCode_Target_4XX_Count",
        "HTTPCode_Target_5XX_Count",
        "RejectedConnectionCount",
        "RequestCount",
        "TargetConnectionErrorCount",
        "TargetResponseTime",
        "UnHealthyHostCount",
    ],
    // https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    "AWS/Lambda": [
        "AsyncEventAge",
        "AsyncEventsDropped",
        "ConcurrentExecutions",
        "DeadLetterErrors",
        "Duration",
        "Errors",
        "Invocations",
        "IteratorAge",
        "ProvisionedConcurrencySpilloverInvocations",
        "ProvisionedConcurrencyUtilization",
        "Throttles",
        "UnreservedConcurrentExecutions",
    ],
    // https://docs.aws.amazon.com/AmazonECS/latest/developerguide/available-metrics.html
    "AWS/ECS": ["CPUUtilization", "MemoryUtilization"],
    // https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.AuroraMonitoring.Metrics.html and
    // https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/rds-proxy.monitoring.html
    "AWS/RDS": [
        "ACUUtilization",
        "AuroraReplicaLag",
        "AuroraReplicaLagMaximum",
        "AuroraReplicaLagMinimum",
        "AvailabilityPercentage",
        "ClientConnections",
        "CommitLatency",
        "CPUUtilization",
        "DatabaseConnections",
        "DatabaseConnectionsBorrowLatency",
        "DatabaseConnectionsCurrentlyBorrowed",
        "DatabaseConnectionsCurrentlySessionPinned",
        "Deadlocks",
        "FreeableMemory",
        "MaxDatabaseConnectionsAllowed",
        "ServerlessDatabaseCapacity",
        "VolumeBytesUsed",
    ],
    // https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/CacheMetrics.Redis.html and CacheMetrics.HostLevel.html
    "AWS/ElastiCache": [
        "CacheHitRate",
        "CacheHits",
        "CacheMisses",
        "CPUUtilization",
        "CurrConnections",
        "CurrItems",
        "DatabaseMemoryUsagePercentage",
        "EngineCPUUtilization",
        "Evictions",
        "GetTypeCmdsLatency",
        "ReplicationLag",
        "SetTypeCmdsLatency",
    ],
    // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    "AWS/SQS": [
        "ApproximateAgeOfOldestMessage",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesVisible",
        "NumberOfMessagesDeleted",
        "NumberOfMessagesReceived",
        "NumberOfMessagesSent",
    ],
};
