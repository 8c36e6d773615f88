import assert from "node:assert/strict";
import { test } from "node:test";
import { all, only, stackOf } from "./support.ts";

test("the pool: customers sign up by themselves, with a password policy and a code by mail", () => {
    const pool = only(stackOf("lambda", "identity"), "AWS::Cognito::UserPool");
    assert.equal(pool.AdminCreateUserConfig.AllowAdminCreateUserOnly, false);
    assert.deepEqual(pool.Policies.PasswordPolicy, {
        MinimumLength: 12,
        RequireLowercase: true,
        RequireNumbers: true,
        RequireSymbols: true,
        RequireUppercase: true,
        TemporaryPasswordValidityDays: 3,
    });
    assert.deepEqual(pool.AutoVerifiedAttributes, ["email"]);
    assert.deepEqual(pool.UsernameAttributes, ["email"]);
    assert.equal(pool.DeletionProtection, "ACTIVE");
    assert.equal(pool.MfaConfiguration, "OPTIONAL");
});

test("the client: the authorization code flow alone, and what souk's own /auth/login needs", () => {
    const client = only(stackOf("lambda-domain", "identity"), "AWS::Cognito::UserPoolClient");
    assert.deepEqual(client.AllowedOAuthFlows, ["code"]);
    assert.ok(client.ExplicitAuthFlows.includes("ALLOW_USER_PASSWORD_AUTH"));
    assert.ok(client.ExplicitAuthFlows.includes("ALLOW_REFRESH_TOKEN_AUTH"));
    assert.deepEqual(client.CallbackURLs, ["https://shop.example.com/store/"]);
    assert.equal(client.PreventUserExistenceErrors, "ENABLED");
    assert.equal(client.EnableTokenRevocation, true);
});

test("with a domain mail leaves by SES, signed with keys in the zone, by TLS; souk may send as that domain only", () => {
    const stack = stackOf("lambda-domain", "identity");
    assert.equal(only(stack, "AWS::SES::EmailIdentity").EmailIdentity, "shop.example.com");
    assert.equal(only(stack, "AWS::SES::ConfigurationSet").DeliveryOptions.TlsPolicy, "REQUIRE");
    assert.equal(all(stack, "AWS::Route53::RecordSet").length, 3);
    const policies = all(stackOf("lambda-domain", "app"), "AWS::IAM::Policy").flatMap(({ PolicyDocument }) => PolicyDocument.Statement);
    const mail = policies.filter(({ Sid }) => Sid === "Mail");
    assert.ok(mail.length >= 10);
    for (const { Resource } of mail) assert.ok(!JSON.stringify(Resource).includes('"*"'));
    assert.equal(all(stackOf("lambda", "identity"), "AWS::SES::EmailIdentity").length, 0);
});

test("Cognito sends by SES only when it was said to be verified: the first deployment would end at that", () => {
    const sender = (variant: string) => only(stackOf(variant, "identity"), "AWS::Cognito::UserPool").EmailConfiguration?.EmailSendingAccount;
    assert.notEqual(sender("lambda-domain"), "DEVELOPER");
    assert.equal(sender("fargate-domain"), "DEVELOPER");
});
