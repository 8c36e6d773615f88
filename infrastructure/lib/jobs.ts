// What nobody asks for: the jobs by schedule, and those that a request hands over by the queue. What fails five times waits in the
// dead letters, for two weeks and with an alarm (lib/monitoring.ts).
import { CfnOutput, Duration, Stack } from "aws-cdk-lib";
import * as events from "aws-cdk-lib/aws-events";
import * as targets from "aws-cdk-lib/aws-events-targets";
import type * as lambda from "aws-cdk-lib/aws-lambda";
import { SqsEventSource } from "aws-cdk-lib/aws-lambda-event-sources";
import * as sqs from "aws-cdk-lib/aws-sqs";
import type { Settings } from "./settings.ts";
import { kindOf } from "./functions.ts";

export interface JobQueue {
    jobs: sqs.Queue;
    deadLetters: sqs.Queue;
}

const ATTEMPTS = 5;

export function jobQueue(stack: Stack, settings: Settings): JobQueue {
    const common = { encryption: sqs.QueueEncryption.SQS_MANAGED, enforceSSL: true };
    const deadLetters = new sqs.Queue(stack, "DeadLetters", {
        queueName: `${settings.prefix}-jobs-dead`,
        retentionPeriod: Duration.days(14),
        ...common,
    });
    const jobs = new sqs.Queue(stack, "Jobs", {
        queueName: `${settings.prefix}-jobs`,
        retentionPeriod: Duration.days(4),
        // Six times the function's timeout, as Lambda advises.
        visibilityTimeout: Duration.seconds(6 * kindOf("jobs").timeoutSeconds),
        deadLetterQueue: { queue: deadLetters, maxReceiveCount: ATTEMPTS },
        ...common,
    });
    new CfnOutput(stack, "JobsQueueUrl", { value: jobs.queueUrl });
    new CfnOutput(stack, "DeadLettersUrl", { value: deadLetters.queueUrl });
    return { jobs, deadLetters };
}

/** The queue is read two at a time: jobs take their work from the database, where more would only wait for each other. */
export function schedules(stack: Stack, settings: Settings, queue: JobQueue, jobs: lambda.Alias): void {
    jobs.addEventSource(
        new SqsEventSource(queue.jobs, { batchSize: 10, reportBatchItemFailures: true, maxConcurrency: 2 }),
    );
    new events.Rule(stack, "EveryMinute", {
        ruleName: `${settings.prefix}-jobs`,
        description: "souk: the outbox, holds that end, payments whose outcome is unknown",
        schedule: events.Schedule.rate(Duration.minutes(1)),
        targets: [
            new targets.LambdaFunction(jobs, {
                deadLetterQueue: queue.deadLetters,
                maxEventAge: Duration.minutes(5),
                retryAttempts: 2,
            }),
        ],
    });
}
