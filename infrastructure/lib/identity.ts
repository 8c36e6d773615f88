// Who the customers are (Cognito), and where mail comes from (SES).
import { Aws, CfnOutput, Duration, RemovalPolicy, Stack, Validations } from "aws-cdk-lib";
import * as cognito from "aws-cdk-lib/aws-cognito";
import * as route53 from "aws-cdk-lib/aws-route53";
import * as ses from "aws-cdk-lib/aws-ses";
import type { Construct } from "constructs";
import type { Settings } from "./settings.ts";

export interface Identity {
    pool: cognito.UserPool;
    client: cognito.UserPoolClient;
    /** Absent: mail does not leave by SES. */
    mail?: { from: string; identity: ses.EmailIdentity; configurationSet: ses.ConfigurationSet };
}

export function identity(app: Construct, settings: Settings): Identity {
    const stack = new Stack(app, `${settings.prefix}-identity`, {
        description: `souk ${settings.stage}: accounts, mail`,
        terminationProtection: settings.sizes.keepsData,
    });
    const mail = mailIdentity(stack, settings);
    const pool = new cognito.UserPool(stack, "Pool", {
        userPoolName: settings.prefix,
        selfSignUpEnabled: true,
        signInAliases: { email: true },
        signInCaseSensitive: false,
        autoVerify: { email: true },
        standardAttributes: { email: { required: true, mutable: true } },
        keepOriginal: { email: true },
        passwordPolicy: {
            minLength: 12,
            requireLowercase: true,
            requireUppercase: true,
            requireDigits: true,
            requireSymbols: true,
            tempPasswordValidity: Duration.days(3),
        },
        mfa: cognito.Mfa.OPTIONAL,
        mfaSecondFactor: { otp: true, sms: false },
        accountRecovery: cognito.AccountRecovery.EMAIL_ONLY,
        featurePlan: cognito.FeaturePlan.ESSENTIALS,
        deletionProtection: settings.sizes.keepsData,
        removalPolicy: settings.sizes.keepsData ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
        // Cognito refuses a sender that SES has not verified, and SES verifies only after the identity's records are there.
        ...(mail && settings.mailVerified
            ? { email: cognito.UserPoolEmail.withSES({ fromEmail: mail.from, sesVerifiedDomain: domainOf(mail.from), sesRegion: Aws.REGION }) }
            : {}),
    });
    if (mail) pool.node.addDependency(mail.identity);
    Validations.of(pool).acknowledge(
        { id: "AwsSolutions-COG2", reason: "A second factor is each customer's choice. Who of the staff must have one is the pool's to say, not souk's (docs/deploy.md)" },
        { id: "AwsSolutions-COG8", reason: "The plan Plus is charged per customer; souk and the firewall count attempts. Whoever wants its risk scores sets featurePlan" },
    );
    for (const role of ["staff", "admin"]) {
        new cognito.CfnUserPoolGroup(stack, `Group-${role}`, {
            userPoolId: pool.userPoolId,
            groupName: role,
            description: `souk's role ${role} (AUTH_ROLE_MAP)`,
        });
    }
    const home = settings.domain ? `https://${settings.domain.name}` : "http://localhost:8080";
    const client = pool.addClient("Client", {
        userPoolClientName: settings.prefix,
        generateSecret: false, // pages and apps are public clients: PKCE
        authFlows: { userPassword: true, userSrp: true }, // userPassword: POST /auth/login of souk (docs/identity.md)
        oAuth: {
            flows: { authorizationCodeGrant: true, implicitCodeGrant: false, clientCredentials: false },
            scopes: [cognito.OAuthScope.OPENID, cognito.OAuthScope.EMAIL, cognito.OAuthScope.PROFILE],
            callbackUrls: [`${home}/store/`],
            logoutUrls: [`${home}/store/`],
        },
        supportedIdentityProviders: [cognito.UserPoolClientIdentityProvider.COGNITO],
        preventUserExistenceErrors: true,
        enableTokenRevocation: true,
        accessTokenValidity: Duration.minutes(15),
        idTokenValidity: Duration.minutes(15),
        refreshTokenValidity: Duration.days(30),
    });
    const pages = pool.addDomain("Pages", { cognitoDomain: { domainPrefix: `${settings.prefix}-${Aws.ACCOUNT_ID}` } });
    new CfnOutput(stack, "UserPoolId", { value: pool.userPoolId });
    new CfnOutput(stack, "UserPoolClientId", { value: client.userPoolClientId });
    new CfnOutput(stack, "LoginPages", { value: pages.baseUrl() });
    return { pool, client, ...(mail ? { mail } : {}) };
}

function domainOf(address: string): string {
    return address.slice(address.indexOf("@") + 1);
}

function mailIdentity(stack: Stack, settings: Settings): Identity["mail"] {
    const { mailFrom, domain } = settings;
    if (mailFrom === undefined) return undefined;
    const host = domainOf(mailFrom);
    const configurationSet = new ses.ConfigurationSet(stack, "Mail", {
        configurationSetName: settings.prefix,
        tlsPolicy: ses.ConfigurationSetTlsPolicy.REQUIRE,
        reputationMetrics: true,
        suppressionReasons: ses.SuppressionReasons.BOUNCES_AND_COMPLAINTS,
    });
    // The zone is ours to write to when it is the sender's: its DKIM records are made then. Else an output says which.
    const isOurs = domain?.name === host;
    const emailIdentity = new ses.EmailIdentity(stack, "MailIdentity", {
        identity: isOurs
            ? ses.Identity.publicHostedZone(
                  route53.PublicHostedZone.fromPublicHostedZoneAttributes(stack, "MailZone", { hostedZoneId: domain.zoneId, zoneName: host }),
              )
            : ses.Identity.domain(host),
        configurationSet,
    });
    if (!isOurs) {
        emailIdentity.dkimRecords.forEach((record, index) => {
            new CfnOutput(stack, `DkimRecord${index + 1}`, { value: `${record.name} CNAME ${record.value}` });
        });
    }
    return { from: mailFrom, identity: emailIdentity, configurationSet };
}
