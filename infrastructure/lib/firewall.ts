// AWS WAF before API Gateway or the load balancer: known attacks, too many requests from one address, and whatever would put a wrong
// answer into API Gateway's cache.
import { ArnFormat, type Stack } from "aws-cdk-lib";
import * as waf from "aws-cdk-lib/aws-wafv2";
import type { Operation } from "./contract.ts";
import { logGroup } from "./logs.ts";
import type { Settings } from "./settings.ts";

/** As many reads as souk lets an address make (SOUK_RATE_PER_MINUTE), over WAF's five minutes. */
const REQUESTS_PER_ADDRESS = 5 * 1000;

type Rule = waf.CfnWebACL.RuleProperty;
type Statement = waf.CfnWebACL.StatementProperty;

export function firewall(stack: Stack, settings: Settings, resourceArn: string, cached: Operation[]): waf.CfnWebACL {
    const rules: Rule[] = [
        managed("AWSManagedRulesAmazonIpReputationList", 0, settings),
        managed("AWSManagedRulesKnownBadInputsRuleSet", 1, settings),
        // A product's description may be longer than 8 KB and may hold HTML, and a program may have no User-Agent: counted only.
        managed("AWSManagedRulesCommonRuleSet", 2, settings, [
            "SizeRestrictions_BODY",
            "CrossSiteScripting_BODY",
            "GenericRFI_BODY",
            "EC2MetaDataSSRF_BODY",
            "NoUserAgent_HEADER",
        ]),
        ...(seesClients(settings) ? [tooMany(settings)] : []),
        ...cached.map((operation, index): Rule => ({
            name: `Cache-${operation.id}`,
            priority: 10 + index,
            action: { block: { customResponse: { responseCode: 400, customResponseBodyKey: "NotInContract" } } },
            statement: spoilsCache(operation),
            visibilityConfig: visible(`Cache-${operation.id}`, settings),
        })),
    ];
    const acl = new waf.CfnWebACL(stack, "Firewall", {
        name: settings.prefix,
        description: `souk ${settings.stage}`,
        scope: "REGIONAL",
        defaultAction: { allow: {} },
        customResponseBodies: {
            TooMany: body(429, "RATE_LIMIT_EXCEEDED", "Too many requests from this address"),
            NotInContract: body(400, "VALIDATION_ERROR", "A parameter is not in the contract or was sent twice, or there is a body"),
        },
        rules,
        visibilityConfig: visible("all", settings),
    });
    const association = new waf.CfnWebACLAssociation(stack, "FirewallAssociation", { resourceArn, webAclArn: acl.attrArn });
    association.node.addDependency(acl);
    logging(stack, settings, acl);
    return acl;
}

/** A load balancer without a domain is called by the HTTP API's few addresses in the VPC, for every customer. */
function seesClients({ compute, domain }: Settings): boolean {
    return compute === "lambda" || domain !== undefined;
}

function tooMany(settings: Settings): Rule {
    return {
        name: "TooMany",
        priority: 3,
        action: { block: { customResponse: { responseCode: 429, customResponseBodyKey: "TooMany", responseHeaders: [{ name: "Retry-After", value: "60" }] } } },
        statement: { rateBasedStatement: { aggregateKeyType: "IP", evaluationWindowSec: 300, limit: REQUESTS_PER_ADDRESS } },
        visibilityConfig: visible("TooMany", settings),
    };
}

function managed(name: string, priority: number, settings: Settings, counted: string[] = []): Rule {
    return {
        name,
        priority,
        overrideAction: { none: {} },
        statement: {
            managedRuleGroupStatement: {
                vendorName: "AWS",
                name,
                ...(counted.length > 0 ? { ruleActionOverrides: counted.map((rule) => ({ name: rule, actionToUse: { count: {} } })) } : {}),
            },
        },
        visibilityConfig: visible(name, settings),
    };
}

/**
 * API Gateway keeps any answer under the declared parameters alone. souk refuses an unknown parameter, one that is sent twice, and a
 * body: that 400 would stand in the cache for the request without them, for everybody. Such requests end here.
 */
export function spoilsCache(operation: Operation): Statement {
    const wrong: Statement[] = [
        { notStatement: { statement: matches({ queryString: {} }, declaredOnly(operation)) } },
        { sizeConstraintStatement: { comparisonOperator: "GT", size: 0, fieldToMatch: { body: { oversizeHandling: "MATCH" } }, textTransformations: AS_IT_IS } },
    ];
    const twice = sentTwice(operation);
    if (twice !== undefined) wrong.push(matches({ queryString: {} }, twice));
    return {
        andStatement: {
            statements: [
                { byteMatchStatement: { fieldToMatch: { method: {} }, positionalConstraint: "EXACTLY", searchString: "GET", textTransformations: AS_IT_IS } },
                matches({ uriPath: {} }, pathPattern(operation)),
                { orStatement: { statements: wrong } },
            ],
        },
    };
}

const AS_IT_IS = [{ priority: 0, type: "NONE" }];

function matches(fieldToMatch: waf.CfnWebACL.FieldToMatchProperty, regexString: string): Statement {
    return { regexMatchStatement: { fieldToMatch, regexString, textTransformations: AS_IT_IS } };
}

/** The path as WAF sees it: with the stage's name in front, but for a domain of one's own. */
export function pathPattern({ path }: Operation): string {
    return `^(/(dev|staging|production))?${path.replaceAll(/\{[^}]+\}/g, "[^/]+")}$`;
}

/** Nothing, or names of the contract in their plain spelling (`%6Cimit` is refused) with any value. */
export function declaredOnly({ query }: Operation): string {
    const names = query.map(({ name }) => name).join("|");
    const one = `(${names})=[^&]*`;
    return query.length === 0 ? "^$" : `^(${one}(&${one})*)?$`;
}

export function sentTwice({ query }: Operation): string | undefined {
    if (query.length === 0) return undefined;
    return query.map(({ name }) => `(^|&)${name}=.*&${name}=`).join("|");
}

function body(status: number, code: string, title: string): waf.CfnWebACL.CustomResponseBodyProperty {
    const content = JSON.stringify({ type: "about:blank", title, status, code, detail: title, errors: [] });
    return { contentType: "APPLICATION_JSON", content };
}

function visible(name: string, settings: Settings): waf.CfnWebACL.VisibilityConfigProperty {
    return { cloudWatchMetricsEnabled: true, sampledRequestsEnabled: false, metricName: `${settings.prefix}-${name}` };
}

/** Only what was stopped, without what may hold a token. */
function logging(stack: Stack, settings: Settings, acl: waf.CfnWebACL): void {
    const logs = logGroup(stack, "FirewallLog", settings, `aws-waf-logs-${settings.prefix}`); // WAF wants this beginning
    const configuration = new waf.CfnLoggingConfiguration(stack, "FirewallLogging", {
        resourceArn: acl.attrArn,
        logDestinationConfigs: [
            stack.formatArn({ service: "logs", resource: "log-group", resourceName: logs.logGroupName, arnFormat: ArnFormat.COLON_RESOURCE_NAME }),
        ],
        redactedFields: [
            { singleHeader: { Name: "authorization" } },
            { singleHeader: { Name: "x-api-key" } },
            { singleHeader: { Name: "cookie" } },
            { uriPath: {} },
            { queryString: {} },
        ],
        loggingFilter: {
            DefaultBehavior: "DROP",
            Filters: [{ Behavior: "KEEP", Requirement: "MEETS_ANY", Conditions: [{ ActionCondition: { Action: "BLOCK" } }] }],
        },
    });
    configuration.node.addDependency(logs);
}
