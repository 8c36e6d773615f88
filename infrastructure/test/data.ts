import assert from "node:assert/strict";
import { test } from "node:test";
import { all, make, only, stackOf, VARIANTS } from "./support.ts";

const data = () => stackOf("lambda", "data");

test("Aurora PostgreSQL, Serverless v2: a writer and two readers, the first of which can take over", () => {
    const cluster = only(data(), "AWS::RDS::DBCluster");
    assert.equal(cluster.Engine, "aurora-postgresql");
    assert.ok(Number.parseInt(cluster.EngineVersion, 10) >= 15, "docs/operations.md: PostgreSQL 15 or newer");
    assert.deepEqual(cluster.ServerlessV2ScalingConfiguration, { MinCapacity: 2, MaxCapacity: 64 });
    const instances = all(data(), "AWS::RDS::DBInstance");
    assert.equal(instances.length, 3);
    assert.ok(instances.every(({ DBInstanceClass, PubliclyAccessible }) => DBInstanceClass === "db.serverless" && PubliclyAccessible === false));
    assert.deepEqual(instances.map(({ PromotionTier }) => PromotionTier).sort(), [0, 1, 2]);
});

test("the database: encrypted under a key that rotates, backed up, refuses to be deleted and to talk without TLS", () => {
    const cluster = only(data(), "AWS::RDS::DBCluster");
    assert.equal(cluster.StorageEncrypted, true);
    assert.ok(cluster.KmsKeyId);
    assert.equal(only(data(), "AWS::KMS::Key").EnableKeyRotation, true);
    assert.equal(cluster.BackupRetentionPeriod, 35);
    assert.equal(cluster.DeletionProtection, true);
    assert.equal(only(data(), "AWS::RDS::DBClusterParameterGroup").Parameters["rds.force_ssl"], "1");
    assert.equal(data().terminationProtection, true);
});

test("RDS Proxy in front, by TLS alone", () => {
    assert.equal(only(data(), "AWS::RDS::DBProxy").RequireTLS, true);
});

test("Redis: TLS, encrypted at rest, a password that no template holds, more than one node", () => {
    const group = only(data(), "AWS::ElastiCache::ReplicationGroup");
    assert.equal(group.TransitEncryptionEnabled, true);
    assert.equal(group.TransitEncryptionMode, "required");
    assert.equal(group.AtRestEncryptionEnabled, true);
    assert.match(JSON.stringify(group.AuthToken), /\{\{resolve:secretsmanager:/);
    assert.equal(group.MultiAZEnabled, true);
    assert.equal(group.AutomaticFailoverEnabled, true);
    assert.ok(group.ReplicasPerNodeGroup >= 1);
    assert.equal(group.ClusterMode, "disabled");
});

test("-c cacheShards=3 is cluster mode, and souk is given its configuration endpoint", () => {
    const made = make({ ...VARIANTS["lambda"], cacheShards: "3" }).stacks.get("data");
    assert.ok(made);
    const group = only(made, "AWS::ElastiCache::ReplicationGroup");
    assert.equal(group.ClusterMode, "enabled");
    assert.equal(group.NumNodeGroups, 3);
    assert.equal(only(made, "AWS::ElastiCache::ParameterGroup").Properties["cluster-enabled"], "yes");
    assert.match(JSON.stringify(all(made, "AWS::SecretsManager::Secret")), /ConfigurationEndPoint.Address/);
});

test("the database's password rotates every 30 days; nothing secret stands in a template", () => {
    const rotation = only(data(), "AWS::SecretsManager::RotationSchedule");
    assert.equal(rotation.HostedRotationLambda.RotationType, "PostgreSQLSingleUser");
    assert.match(JSON.stringify(rotation.RotationRules), /30 days/);
    const secrets = all(data(), "AWS::SecretsManager::Secret");
    assert.equal(secrets.length, 4);
    for (const { SecretString, GenerateSecretString, KmsKeyId } of secrets) {
        assert.ok(KmsKeyId);
        assert.ok(GenerateSecretString ?? JSON.stringify(SecretString).includes("{{resolve:secretsmanager:"));
    }
    const settings = JSON.stringify(secrets.find(({ SecretString }) => SecretString !== undefined)?.["SecretString"]);
    for (const name of ["SOUK_SECRET", "REDIS_URL", "rediss://:"]) assert.ok(settings.includes(name), name);
});
