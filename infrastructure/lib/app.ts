// The whole of souk on AWS: which stacks there are, in the order in which they are deployed.
import { Annotations, App, Tags, Validations } from "aws-cdk-lib";
import { AwsSolutionsChecks } from "cdk-nag";
import { alarmTopic } from "./alarms.ts";
import { readApi } from "./contract.ts";
import { data } from "./data.ts";
import { fargate } from "./fargate.ts";
import { functions } from "./functions.ts";
import { gateway } from "./gateway.ts";
import { identity } from "./identity.ts";
import { monitoring, type Resources } from "./monitoring.ts";
import { network } from "./network.ts";
import { readSettings, type Settings } from "./settings.ts";

export interface Souk {
    app: App;
    settings: Settings;
}

/** `change` is for tests: the same templates, whatever was built on this machine. */
export function souk(app: App, change: (settings: Settings) => Settings = (settings) => settings): Souk {
    const settings = change(readSettings(app));
    const contract = readApi();
    const net = network(app, settings);
    const parts = { net, data: data(app, settings, net), identity: identity(app, settings), alarms: alarmTopic(app, settings) };
    let front: Resources;
    if (settings.compute === "lambda") {
        const fns = functions(app, settings, contract, parts);
        const { stageName } = gateway(app, settings, contract, fns);
        front = {
            api: [{ ApiName: settings.prefix, Stage: stageName }],
            function: fns.names.map((name) => ({ FunctionName: name })),
            queue: [{ QueueName: `${settings.prefix}-jobs` }],
            deadLetters: [{ QueueName: `${settings.prefix}-jobs-dead` }],
        };
    } else {
        const { balancer } = fargate(app, settings, parts);
        front = {
            balancer: [{ LoadBalancer: balancer.loadBalancerFullName }],
            service: [{ ClusterName: settings.prefix, ServiceName: settings.prefix }],
        };
    }
    monitoring(app, settings, { ...front, ...dataResources(settings) }, parts.alarms);
    Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
    const missing = missingArtefact(settings);
    if (missing) Annotations.of(app).addWarningV2("souk:not-built", missing);
    for (const [name, value] of Object.entries({ application: "souk", stage: settings.stage })) Tags.of(app).add(name, value);
    return { app, settings };
}

function dataResources({ prefix, sizes, cacheShards }: Settings): Resources {
    const nodes = Array.from({ length: sizes.cacheReplicas + 1 }, (_, index) => String(index + 1).padStart(3, "0"));
    const shards = Array.from({ length: cacheShards ?? 0 }, (_, index) => String(index + 1).padStart(4, "0"));
    const members = shards.length > 0 ? shards.flatMap((shard) => nodes.map((node) => `${shard}-${node}`)) : nodes;
    return {
        database: [{ DBClusterIdentifier: prefix, Role: "WRITER" }],
        ...(sizes.databaseReaders > 0 ? { reader: [{ DBClusterIdentifier: prefix, Role: "READER" }] } : {}),
        proxy: [{ ProxyName: prefix }],
        cache: members.map((member) => ({ CacheClusterId: `${prefix}-${member}` })),
    };
}

/** What must be built before these templates can be deployed; absent when everything is there. */
export function missingArtefact(settings: Settings): string | undefined {
    if (settings.compute === "lambda" && !settings.code.isBuilt) {
        return `dist/souk-lambda-${settings.architecture}.zip is not there: make lambda ARCH=${settings.architecture}. These templates cannot be deployed.`;
    }
    if (settings.compute === "fargate" && settings.image === undefined && !settings.imageFolder.isBuilt) {
        return "There is no Dockerfile, and no -c image=NAME. These templates cannot be deployed.";
    }
    return undefined;
}
