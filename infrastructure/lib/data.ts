// Where the shop's data is: Aurora PostgreSQL behind RDS Proxy, the Redis replication group, and the secrets. What holds customers'
// data is kept when its stack is deleted (except in dev).
import { Duration, Fn, RemovalPolicy, SecretValue, Stack, Validations } from "aws-cdk-lib";
import * as ec2 from "aws-cdk-lib/aws-ec2";
import * as elasticache from "aws-cdk-lib/aws-elasticache";
import * as kms from "aws-cdk-lib/aws-kms";
import * as rds from "aws-cdk-lib/aws-rds";
import * as secrets from "aws-cdk-lib/aws-secretsmanager";
import type { Construct } from "constructs";
import { logGroup } from "./logs.ts";
import { ISOLATED, type Network, PRIVATE } from "./network.ts";
import type { Settings } from "./settings.ts";

export interface Data {
    cluster: rds.DatabaseCluster;
    /** The database's user: {username, password, host, port, dbname}; rotated. */
    databaseSecret: secrets.ISecret;
    /** Settings of souk that are secret, as JSON: SOUK_SECRET, REDIS_URL. */
    settingsSecret: secrets.ISecret;
    key: kms.Key;
    proxy: rds.DatabaseProxy;
    cache: elasticache.CfnReplicationGroup;
    /** postgresql:// URLs without user and password, which come from databaseSecret. */
    urls: { primary: string; direct: string };
}

const DATABASE_NAME = "souk";
const POSTGRES_PORT = 5432;
const REDIS_PORT = 6379;
const ROTATION_DAYS = 30;

export function data(app: Construct, settings: Settings, net: Network): Data {
    const stack = new Stack(app, `${settings.prefix}-data`, {
        description: `souk ${settings.stage}: database, cache, secrets`,
        terminationProtection: settings.sizes.keepsData,
    });
    const key = new kms.Key(stack, "Key", {
        alias: `${settings.prefix}-data`,
        description: "souk: what the database, the cache and the secrets are encrypted with",
        enableKeyRotation: true,
        removalPolicy: kept(settings),
    });
    const cluster = database(stack, settings, net, key);
    const databaseSecret = cluster.secret;
    if (!databaseSecret) throw new Error("the cluster was made without a secret");
    const proxy = databaseProxy(stack, settings, net, cluster, databaseSecret);
    const cache = redis(stack, settings, net, key);
    Validations.of(stack).acknowledge({
        id: "AwsSolutions-SMG4",
        reason: "The database's password rotates. SOUK_SECRET must not: it opens the signing keys in the database, which souk keys rotate changes. The cache's password is changed by hand (docs/deploy.md)",
    });
    return {
        cluster,
        databaseSecret,
        settingsSecret: settingsSecret(stack, settings, key, cache),
        key,
        proxy,
        cache: cache.group,
        urls: {
            primary: databaseUrl(proxy.endpoint),
            direct: databaseUrl(cluster.clusterEndpoint.hostname),
        },
    };
}

/** `require` and not verify-full: the proxy's certificate is Amazon's, the cluster's is RDS's own, and both names are in the VPC. */
function databaseUrl(host: string): string {
    return `postgresql://${host}:${POSTGRES_PORT}/${DATABASE_NAME}?sslmode=require`;
}

function kept(settings: Settings): RemovalPolicy {
    return settings.sizes.keepsData ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY;
}

function database(stack: Stack, settings: Settings, net: Network, key: kms.Key): rds.DatabaseCluster {
    const { sizes } = settings;
    const engine = rds.DatabaseClusterEngine.auroraPostgres({ version: rds.AuroraPostgresEngineVersion.VER_17_7 });
    const group = new ec2.SecurityGroup(stack, "DatabaseGroup", {
        vpc: net.vpc,
        description: "souk: the database. In: its proxy, migrations, the rotation of its password",
        allowAllOutbound: false,
    });
    logGroup(stack, "DatabaseLog", settings, `/aws/rds/cluster/${settings.prefix}/postgresql`);
    const cluster = new rds.DatabaseCluster(stack, "Database", {
        clusterIdentifier: settings.prefix,
        engine,
        vpc: net.vpc,
        vpcSubnets: ISOLATED,
        securityGroups: [group],
        defaultDatabaseName: DATABASE_NAME,
        port: POSTGRES_PORT,
        credentials: rds.Credentials.fromGeneratedSecret("souk", { secretName: `${settings.prefix}/database`, encryptionKey: key }),
        writer: rds.ClusterInstance.serverlessV2("Writer", instanceOptions),
        readers: Array.from({ length: sizes.databaseReaders }, (_, index) =>
            // The first grows with the writer, so that it can take over at once.
            rds.ClusterInstance.serverlessV2(`Reader${index + 1}`, { ...instanceOptions, scaleWithWriter: index === 0 }),
        ),
        serverlessV2MinCapacity: sizes.databaseCapacityMin,
        serverlessV2MaxCapacity: sizes.databaseCapacityMax,
        storageEncrypted: true,
        storageEncryptionKey: key,
        backup: { retention: Duration.days(sizes.backupDays), preferredWindow: "02:00-03:00" },
        preferredMaintenanceWindow: "sun:03:30-sun:04:30",
        deletionProtection: sizes.keepsData,
        removalPolicy: sizes.keepsData ? RemovalPolicy.SNAPSHOT : RemovalPolicy.DESTROY,
        copyTagsToSnapshot: true,
        iamAuthentication: true,
        cloudwatchLogsExports: ["postgresql"],
        parameters: {
            "rds.force_ssl": "1",
            // docs/operations.md, "PostgreSQL and Redis": a session cannot say these behind the proxy.
            random_page_cost: "1.1",
            jit: "0",
            log_min_duration_statement: "1000",
            idle_in_transaction_session_timeout: "60000",
        },
    });
    (cluster.node.findChild("Secret") as secrets.Secret).applyRemovalPolicy(kept(settings));
    group.addIngressRule(net.migrateGroup, ec2.Port.tcp(POSTGRES_PORT), "migrations");
    rotation(stack, net, cluster, group);
    if (!sizes.keepsData) {
        Validations.of(cluster).acknowledge({ id: "AwsSolutions-RDS10", reason: "A stage for trying out, which is taken down with what is in it" });
    }
    return cluster;
}

const instanceOptions = {
    publiclyAccessible: false,
    enablePerformanceInsights: true,
    autoMinorVersionUpgrade: true,
    caCertificate: rds.CaCertificate.RDS_CA_RSA2048_G1,
} as const;

function rotation(stack: Stack, net: Network, cluster: rds.DatabaseCluster, database: ec2.SecurityGroup): void {
    database.addIngressRule(net.rotationGroup, ec2.Port.tcp(POSTGRES_PORT), "the rotation of its password");
    cluster.secret?.addRotationSchedule("Rotation", {
        automaticallyAfter: Duration.days(ROTATION_DAYS),
        hostedRotation: secrets.HostedRotation.postgreSqlSingleUser({
            functionName: `${stack.stackName}-rotation`,
            vpc: net.vpc,
            vpcSubnets: PRIVATE,
            securityGroups: [net.rotationGroup],
        }),
    });
}

function databaseProxy(
    stack: Stack,
    settings: Settings,
    net: Network,
    cluster: rds.DatabaseCluster,
    secret: secrets.ISecret,
): rds.DatabaseProxy {
    const group = new ec2.SecurityGroup(stack, "ProxyGroup", {
        vpc: net.vpc,
        description: "souk: the proxy of the database. In: the functions or tasks",
        allowAllOutbound: false,
    });
    group.addIngressRule(net.appGroup, ec2.Port.tcp(POSTGRES_PORT), "the shop");
    const proxy = new rds.DatabaseProxy(stack, "Proxy", {
        dbProxyName: settings.prefix,
        proxyTarget: rds.ProxyTarget.fromCluster(cluster),
        secrets: [secret],
        vpc: net.vpc,
        vpcSubnets: ISOLATED,
        securityGroups: [group],
        requireTLS: true,
        maxConnectionsPercent: 90,
        // Within SOUK_DATABASE_TIMEOUT_MS, so that a full proxy is a clear 503.
        borrowTimeout: Duration.seconds(4),
        idleClientTimeout: Duration.minutes(30),
    });
    return proxy;
}

interface Redis {
    group: elasticache.CfnReplicationGroup;
    host: string;
    token: secrets.Secret;
}

function redis(stack: Stack, settings: Settings, net: Network, key: kms.Key): Redis {
    const { sizes, cacheShards } = settings;
    const isCluster = cacheShards !== undefined;
    const group = new ec2.SecurityGroup(stack, "CacheGroup", {
        vpc: net.vpc,
        description: "souk: the cache. In: the functions or tasks",
        allowAllOutbound: false,
    });
    group.addIngressRule(net.appGroup, ec2.Port.tcp(REDIS_PORT), "the shop");
    const token = new secrets.Secret(stack, "CacheToken", {
        secretName: `${settings.prefix}/cache-token`,
        description: "souk: the password of the Redis replication group",
        encryptionKey: key,
        generateSecretString: { passwordLength: 64, excludePunctuation: true },
        removalPolicy: kept(settings),
    });
    const subnets = new elasticache.CfnSubnetGroup(stack, "CacheSubnets", {
        cacheSubnetGroupName: settings.prefix,
        description: "souk: the data subnets",
        subnetIds: net.vpc.selectSubnets(ISOLATED).subnetIds,
    });
    const parameters = new elasticache.CfnParameterGroup(stack, "CacheParameters", {
        cacheParameterGroupFamily: "valkey8",
        description: "souk: whatever is in the cache may be lost",
        properties: { "maxmemory-policy": "allkeys-lru", ...(isCluster ? { "cluster-enabled": "yes" } : {}) },
    });
    const replication = new elasticache.CfnReplicationGroup(stack, "Cache", {
        replicationGroupId: settings.prefix,
        replicationGroupDescription: `souk ${settings.stage}`,
        engine: "valkey",
        engineVersion: "8.0",
        cacheNodeType: sizes.cacheNode,
        numNodeGroups: cacheShards ?? 1,
        replicasPerNodeGroup: sizes.cacheReplicas,
        clusterMode: isCluster ? "enabled" : "disabled",
        cacheParameterGroupName: parameters.ref,
        cacheSubnetGroupName: subnets.ref,
        securityGroupIds: [group.securityGroupId],
        port: REDIS_PORT,
        automaticFailoverEnabled: true,
        multiAzEnabled: true,
        transitEncryptionEnabled: true,
        transitEncryptionMode: "required",
        atRestEncryptionEnabled: true,
        kmsKeyId: key.keyArn,
        authToken: token.secretValue.unsafeUnwrap(), // a reference in the template: CloudFormation reads the secret
        snapshotRetentionLimit: 0,
        autoMinorVersionUpgrade: true,
        logDeliveryConfigurations: [
            {
                logType: "slow-log",
                logFormat: "json",
                destinationType: "cloudwatch-logs",
                destinationDetails: {
                    cloudWatchLogsDetails: {
                        logGroup: logGroup(stack, "CacheLog", settings, `/aws/elasticache/${settings.prefix}`).logGroupName,
                    },
                },
            },
        ],
    });
    const host = isCluster ? replication.attrConfigurationEndPointAddress : replication.attrPrimaryEndPointAddress;
    return { group: replication, host, token };
}

/** One secret that the functions read (SOUK_SECRETS_ARN), made of what the others hold. */
function settingsSecret(stack: Stack, settings: Settings, key: kms.Key, cache: Redis): secrets.Secret {
    const seed = new secrets.Secret(stack, "ShopSecret", {
        secretName: `${settings.prefix}/shop-secret`,
        description: "souk: SOUK_SECRET, which opens the signing keys in the database. Never change it: souk keys rotate changes the keys",
        encryptionKey: key,
        generateSecretString: { passwordLength: 64, excludePunctuation: true },
        removalPolicy: kept(settings),
    });
    const redisUrl = Fn.join("", ["rediss://:", cache.token.secretValue.unsafeUnwrap(), "@", cache.host, `:${REDIS_PORT}`]);
    return new secrets.Secret(stack, "Settings", {
        secretName: `${settings.prefix}/settings`,
        description: "souk: the settings that are secret",
        encryptionKey: key,
        secretObjectValue: { SOUK_SECRET: seed.secretValue, REDIS_URL: SecretValue.unsafePlainText(redisUrl) },
        removalPolicy: kept(settings),
    });
}
