// Where alarms go: one topic, which the other stacks name, and the address that reads it.
import { CfnOutput, RemovalPolicy, Stack } from "aws-cdk-lib";
import * as iam from "aws-cdk-lib/aws-iam";
import * as kms from "aws-cdk-lib/aws-kms";
import * as sns from "aws-cdk-lib/aws-sns";
import { EmailSubscription } from "aws-cdk-lib/aws-sns-subscriptions";
import type { Construct } from "constructs";
import type { Settings } from "./settings.ts";

export function alarmTopic(app: Construct, settings: Settings): sns.Topic {
    const stack = new Stack(app, `${settings.prefix}-alarms`, { description: `souk ${settings.stage}: where alarms go` });
    // CloudWatch cannot publish to a topic under AWS's own key.
    const key = new kms.Key(stack, "Key", { enableKeyRotation: true, removalPolicy: RemovalPolicy.DESTROY, description: "souk: alarms" });
    key.grantEncryptDecrypt(new iam.ServicePrincipal("cloudwatch.amazonaws.com"));
    const topic = new sns.Topic(stack, "Topic", { topicName: `${settings.prefix}-alarms`, masterKey: key, enforceSSL: true });
    topic.addToResourcePolicy(
        new iam.PolicyStatement({
            principals: [new iam.ServicePrincipal("cloudwatch.amazonaws.com")],
            actions: ["sns:Publish"],
            resources: [topic.topicArn],
            conditions: { StringEquals: { "aws:SourceAccount": stack.account } },
        }),
    );
    if (settings.alarmEmail) topic.addSubscription(new EmailSubscription(settings.alarmEmail));
    new CfnOutput(stack, "AlarmTopic", { value: topic.topicArn });
    return topic;
}
