// API Gateway in front of the functions: every operation of the contract is a method here, checked against the contract's models,
// throttled, and (the catalogue) kept for five minutes. What the contract does not name goes to souk as well, which answers 404 or 405.
import { Aws, CfnOutput, Duration, Fn, Stack, Validations } from "aws-cdk-lib";
import * as apigateway from "aws-cdk-lib/aws-apigateway";
import * as iam from "aws-cdk-lib/aws-iam";
import type * as lambda from "aws-cdk-lib/aws-lambda";
import type { Construct } from "constructs";
import { type Api, cachedOperations, type Operation } from "./contract.ts";
import { domainForApi } from "./domain.ts";
import { firewall } from "./firewall.ts";
import { functionName, type Functions } from "./functions.ts";
import { logGroup } from "./logs.ts";
import { problemResponses } from "./problems.ts";
import type { Settings } from "./settings.ts";
import { usagePlans } from "./usage_plans.ts";

export const THROTTLE = { ratePerSecond: 10_000, burst: 20_000 };
export const CACHE_SECONDS = 300;
/** As long as a token that was revoked may still pass API Gateway; souk itself refuses it at once. */
const AUTHORIZER_CACHE_SECONDS = 300;

/** Headers of a request that change what souk answers: two requests share a cached answer only when these are the same. */
export const KEY_HEADERS = ["Accept", "Accept-Encoding", "Authorization", "If-None-Match", "Origin", "X-Api-Key"];

export interface Gateway {
    api: apigateway.RestApi;
    stageName: string;
    url: string;
}

export function gateway(app: Construct, settings: Settings, contract: Api, fns: Functions): Gateway {
    const stack = new Stack(app, `${settings.prefix}-api`, { description: `souk ${settings.stage}: API Gateway` });
    acknowledge(stack);
    const cached = settings.apiCache ? cachedOperations(contract) : [];
    const api = restApi(stack, settings, cached);
    const authorizer = settings.authorizer === "lambda" ? tokenAuthorizer(stack, settings, api, fns) : undefined;
    const models = makeModels(stack, api, contract);
    const validators = {
        body: api.addRequestValidator("BodyAndParameters", { validateRequestBody: true, validateRequestParameters: true }),
        parameters: api.addRequestValidator("Parameters", { validateRequestBody: false, validateRequestParameters: true }),
    };
    for (const operation of contract.operations) {
        const alias = fns.api.get(operation.group);
        if (!alias) throw new Error(`${operation.id}: there is no function ${operation.group}`);
        const isCached = cached.includes(operation);
        const model = operation.isBodyRequired && operation.model ? models.get(operation.model) : undefined;
        new apigateway.Method(stack, operation.id, {
            resource: api.root.resourceForPath(operation.path),
            httpMethod: operation.method.toUpperCase(),
            integration: toFunction(alias, isCached ? cacheKeys(operation) : []),
            options: {
                requestParameters: requestParameters(operation, isCached),
                requestValidator: model ? validators.body : validators.parameters,
                ...(model ? { requestModels: { "application/json": { modelId: model.ref } } } : {}),
                apiKeyRequired: settings.apiKeys === "required" && operation.group !== "system",
                ...(authorizer && needsToken(operation)
                    ? { authorizer, authorizationType: apigateway.AuthorizationType.CUSTOM }
                    : { authorizationType: apigateway.AuthorizationType.NONE }),
            },
        });
    }
    restOfTheSite(stack, api, contract, fns);
    for (const [group, alias] of fns.api) permit(stack, settings, api, group, alias);
    problemResponses(api);
    usagePlans(stack, settings, api);
    firewall(stack, settings, api.deploymentStage.stageArn, cached);
    const url = settings.domain ? domainForApi(stack, settings, api) : api.url;
    new CfnOutput(stack, "Url", { value: url, description: "where the shop answers" });
    return { api, stageName: settings.stage, url };
}

function acknowledge(stack: Stack): void {
    Validations.of(stack).acknowledge(
        {
            id: "AwsSolutions-APIG4",
            reason: "The shop's catalogue, carts and log-in are public; souk authenticates and authorizes each operation by the contract, and -c authorizer=lambda does it here as well",
        },
        {
            id: "AwsSolutions-COG4",
            reason: "Callers are guests, customers with Cognito's tokens, and programs with souk's keys: souk (or its authorizer function) knows all three",
        },
        {
            id: "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs]",
            reason: "The policy that AWS keeps for exactly this role, one for all APIs of the account",
        },
    );
}

function restApi(stack: Stack, settings: Settings, cached: Operation[]): apigateway.RestApi {
    const logs = logGroup(stack, "AccessLog", settings, `/aws/apigateway/${settings.prefix}`);
    // Per method: default none, so that a cached answer is a decision about one operation.
    const methodOptions: Record<string, apigateway.MethodDeploymentOptions> = {};
    for (const { method, path } of cached) {
        methodOptions[`${path}/${method.toUpperCase()}`] = {
            cachingEnabled: true,
            cacheTtl: Duration.seconds(CACHE_SECONDS),
            cacheDataEncrypted: true,
            throttlingRateLimit: THROTTLE.ratePerSecond,
            throttlingBurstLimit: THROTTLE.burst,
            loggingLevel: apigateway.MethodLoggingLevel.ERROR,
            metricsEnabled: true,
            dataTraceEnabled: false,
        };
    }
    const api = new apigateway.RestApi(stack, "Api", {
        restApiName: settings.prefix,
        description: `souk ${settings.stage}, from api/openapi.yaml`,
        endpointTypes: [apigateway.EndpointType.REGIONAL],
        disableExecuteApiEndpoint: settings.domain !== undefined,
        binaryMediaTypes: ["*/*"], // docs/lambda.md: souk's compressed replies and its pictures come as base64
        cloudWatchRole: true,
        deploy: true,
        deployOptions: {
            stageName: settings.stage,
            throttlingRateLimit: THROTTLE.ratePerSecond,
            throttlingBurstLimit: THROTTLE.burst,
            metricsEnabled: true,
            tracingEnabled: true,
            loggingLevel: apigateway.MethodLoggingLevel.ERROR,
            dataTraceEnabled: false, // it would write bodies
            cachingEnabled: false,
            ...(cached.length > 0 ? { cacheClusterEnabled: true, cacheClusterSize: String(settings.sizes.apiCacheGigabytes) } : {}),
            accessLogDestination: new apigateway.LogGroupLogDestination(logs),
            accessLogFormat: apigateway.AccessLogFormat.custom(JSON.stringify(ACCESS_LOG)),
            methodOptions,
        },
    });
    return api;
}

/** The route's template, never the path: an id of a cart is a key. */
const ACCESS_LOG = {
    time: "$context.requestTime",
    requestId: "$context.requestId",
    method: "$context.httpMethod",
    route: "$context.resourcePath",
    status: "$context.status",
    latencyMs: "$context.responseLatency",
    integrationLatencyMs: "$context.integrationLatency",
    integrationStatus: "$context.integration.integrationStatus",
    error: "$context.error.responseType",
    waf: "$context.wafResponseCode",
    bytes: "$context.responseLength",
    traceId: "$context.xrayTraceId",
};

function requestParameters(operation: Operation, isCached: boolean): Record<string, boolean> {
    const parameters: Record<string, boolean> = {};
    for (const name of operation.pathParameters) parameters[`method.request.path.${name}`] = true;
    for (const { name, isRequired } of operation.query) {
        if (isCached || isRequired) parameters[`method.request.querystring.${name}`] = isRequired;
    }
    if (isCached) for (const name of KEY_HEADERS) parameters[`method.request.header.${name}`] = false;
    return parameters;
}

export function cacheKeys(operation: Operation): string[] {
    return [
        ...operation.pathParameters.map((name) => `method.request.path.${name}`),
        ...operation.query.map(({ name }) => `method.request.querystring.${name}`),
        ...KEY_HEADERS.map((name) => `method.request.header.${name}`),
    ];
}

/** As LambdaIntegration, but without the two permissions that it makes for each method: `permit` makes one a function. */
function toFunction(alias: lambda.Alias, keys: string[]): apigateway.Integration {
    return new apigateway.Integration({
        type: apigateway.IntegrationType.AWS_PROXY,
        integrationHttpMethod: "POST",
        uri: invocationUri(alias),
        options: keys.length > 0 ? { cacheKeyParameters: keys } : {},
    });
}

function invocationUri(alias: lambda.Alias): string {
    const path = [":apigateway:", Aws.REGION, ":lambda:path/2015-03-31/functions/", alias.functionArn, "/invocations"];
    return Fn.join("", ["arn:", Aws.PARTITION, ...path]);
}

function permit(stack: Stack, settings: Settings, api: apigateway.RestApi, name: string, alias: lambda.Alias): void {
    alias.addPermission(`${name}-from-api`, {
        principal: new iam.ServicePrincipal("apigateway.amazonaws.com"),
        sourceArn:
            name === "authorizer"
                ? stack.formatArn({ service: "execute-api", resource: api.restApiId, resourceName: "authorizers/*" })
                : api.arnForExecuteApi("*", "/*", settings.stage),
        scope: stack,
    });
}

/** Preflights (OPTIONS), HEAD, methods that are not there and paths that are not: souk knows what to say to each. */
function restOfTheSite(stack: Stack, api: apigateway.RestApi, contract: Api, fns: Functions): void {
    const groups = new Map<string, string>();
    for (const { path, group } of contract.operations) if (!groups.has(path)) groups.set(path, group);
    groups.set("/", "system").set("/{proxy+}", "system");
    for (const [path, group] of groups) {
        const alias = fns.api.get(group);
        if (!alias) throw new Error(`there is no function ${group}`);
        new apigateway.Method(stack, `any ${path}`, {
            resource: path === "/" ? api.root : api.root.resourceForPath(path),
            httpMethod: "ANY",
            integration: toFunction(alias, []),
            options: { authorizationType: apigateway.AuthorizationType.NONE },
        });
    }
}

function makeModels(stack: Stack, api: apigateway.RestApi, contract: Api): Map<string, apigateway.CfnModel> {
    const models = new Map<string, apigateway.CfnModel>();
    for (const [name, schema] of Object.entries(contract.models)) {
        models.set(name, new apigateway.CfnModel(stack, `Model ${name}`, { restApiId: api.restApiId, name, contentType: "application/json", schema }));
    }
    api.latestDeployment?.addToLogicalId(contract.models);
    for (const model of models.values()) api.latestDeployment?.node.addDependency(model);
    return models;
}

function needsToken({ access }: Operation): boolean {
    return access === "customer" || access === "staff";
}

/** Not CDK's TokenAuthorizer: it would write its permission into the functions' stack, and each stack would need the other. */
function tokenAuthorizer(stack: Stack, settings: Settings, api: apigateway.RestApi, fns: Functions): apigateway.IAuthorizer {
    const authorizer = new apigateway.CfnAuthorizer(stack, "Authorizer", {
        restApiId: api.restApiId,
        name: functionName(settings, "authorizer"),
        type: "TOKEN",
        identitySource: "method.request.header.Authorization",
        authorizerResultTtlInSeconds: AUTHORIZER_CACHE_SECONDS,
        authorizerUri: invocationUri(fns.authorizer),
    });
    permit(stack, settings, api, "authorizer", fns.authorizer);
    return { authorizerId: authorizer.ref, authorizationType: apigateway.AuthorizationType.CUSTOM };
}
