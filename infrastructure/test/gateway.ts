import assert from "node:assert/strict";
import { test } from "node:test";
import { Contract } from "../../tools/contract/openapi.ts";
import { apiOf, cachedOperations, readApi } from "../lib/contract.ts";
import { declaredOnly, pathPattern, sentTwice } from "../lib/firewall.ts";
import { all, type JsonResource, only, stackOf } from "./support.ts";

const api = () => stackOf("lambda", "api");
const stage = () => only(api(), "AWS::ApiGateway::Stage");

/** "GET /cart/{id}" of every method in the template. */
function methods(): Map<string, Record<string, any>> {
    const { resources } = api();
    const path = (reference: any): string => {
        const id: string | undefined = reference?.Ref;
        const resource: JsonResource | undefined = id === undefined ? undefined : resources[id];
        if (!resource || resource.Type !== "AWS::ApiGateway::Resource") return "";
        return `${path(resource.Properties?.["ParentId"])}/${resource.Properties?.["PathPart"]}`;
    };
    return new Map(
        all(api(), "AWS::ApiGateway::Method").map((method) => [`${method["HttpMethod"]} ${path(method["ResourceId"]) || "/"}`, method]),
    );
}

test("every operation of the contract is a method that calls its group's alias; the rest of the site goes to souk too", () => {
    const made = methods();
    for (const { method, path, group } of readApi().operations) {
        const found = made.get(`${method.toUpperCase()} ${path}`);
        assert.ok(found, `${method} ${path}`);
        assert.equal(found["Integration"].Type, "AWS_PROXY");
        assert.match(JSON.stringify(found["Integration"].Uri), new RegExp(`${group}Live`));
        assert.ok(made.has(`ANY ${path}`), `OPTIONS ${path}`);
    }
    assert.ok(made.has("ANY /{proxy+}") && made.has("ANY /"));
    assert.ok(all(api(), "AWS::Lambda::Permission").length <= readApi().groups.length + 1);
    assert.ok(Object.keys(api().resources).length < 450, "CloudFormation takes 500 resources a stack");
});

test("10,000 requests a second, bursts of 20,000; usage plans with limits of their own", () => {
    const settings: Record<string, any>[] = stage().MethodSettings;
    const whole = settings.find(({ ResourcePath }) => ResourcePath === "/*");
    assert.equal(whole?.["ThrottlingRateLimit"], 10_000);
    assert.equal(whole?.["ThrottlingBurstLimit"], 20_000);
    assert.equal(whole?.["CachingEnabled"], false);
    const plans = all(api(), "AWS::ApiGateway::UsagePlan");
    assert.equal(plans.length, 2);
    assert.ok(plans.every(({ Throttle, Quota, ApiStages }) => Throttle.RateLimit > 0 && Quota.Limit > 0 && ApiStages.length === 1));
});

test("the catalogue is kept for five minutes, encrypted, under everything that its answer depends on", () => {
    const made = methods();
    const settings: Record<string, any>[] = stage().MethodSettings;
    const cached = settings.filter(({ CachingEnabled }) => CachingEnabled);
    assert.deepEqual(cached.map(({ ResourcePath }) => ResourcePath.replaceAll("~1", "/").slice(1)).sort(), ["/categories", "/categories/{id}", "/products/{id}"]);
    assert.ok(cached.every(({ CacheTtlInSeconds, CacheDataEncrypted, HttpMethod }) => CacheTtlInSeconds === 300 && CacheDataEncrypted && HttpMethod === "GET"));
    assert.equal(stage().CacheClusterEnabled, true);
    for (const { path, query, pathParameters } of cachedOperations(readApi())) {
        const { Integration, RequestParameters } = made.get(`GET ${path}`) ?? {};
        const keys: string[] = Integration.CacheKeyParameters;
        for (const { name } of query) assert.ok(keys.includes(`method.request.querystring.${name}`), name);
        for (const name of pathParameters) assert.ok(keys.includes(`method.request.path.${name}`), name);
        for (const name of ["Authorization", "X-Api-Key", "If-None-Match", "Origin", "Accept"]) {
            assert.ok(keys.includes(`method.request.header.${name}`), name);
        }
        for (const key of keys) assert.ok(key in RequestParameters, `${key} must be declared to be a key`);
    }
});

test("an operation that API Gateway cannot key by all its parameters is not cached there", () => {
    const found = readApi().operations.find(({ id }) => id === "productsList");
    assert.ok(found?.query.some(({ name }) => name === "price[gte]"));
    assert.ok(!cachedOperations(readApi()).some(({ id }) => id === "productsList"));
});

test("what would put a refusal into the cache ends at the firewall", () => {
    const categories = cachedOperations(readApi()).find(({ id }) => id === "categoriesList");
    assert.ok(categories);
    const passes = (query: string) => new RegExp(declaredOnly(categories)).test(query) && !new RegExp(sentTwice(categories) ?? "$^").test(query);
    for (const good of ["", "limit=20", "limit=20&cursor=abc&fields=id,name", "fields=", "view=tree"]) assert.ok(passes(good), good);
    for (const bad of ["bogus=1", "limit=20&bogus=1", "limit=1&limit=2", "view=flat&limit=1&view=tree", "%6Cimit=5", "limit", "&limit=1", "limit=1&"]) {
        assert.ok(!passes(bad), bad);
    }
    const path = new RegExp(pathPattern(categories));
    assert.ok(path.test("/categories") && path.test("/production/categories"));
    assert.ok(!path.test("/categories/1"));
    for (const operation of cachedOperations(readApi())) {
        for (const pattern of [declaredOnly(operation), sentTwice(operation) ?? ""]) assert.ok(pattern.length <= 512, "WAF takes 512 characters");
    }
    const names = only(api(), "AWS::WAFv2::WebACL").Rules.map(({ Name }: { Name: string }) => Name);
    for (const { id } of cachedOperations(readApi())) assert.ok(names.includes(`Cache-${id}`), names.join());
});

test("bodies are checked against the contract's models, parameters that must be there as well", () => {
    const made = methods();
    const { models, operations } = readApi();
    for (const { method, path, model, isBodyRequired } of operations) {
        const found = made.get(`${method.toUpperCase()} ${path}`) ?? {};
        assert.ok(found["RequestValidatorId"], path);
        assert.equal("RequestModels" in found, model !== undefined && isBodyRequired, `${method} ${path}`);
    }
    const schemas = all(api(), "AWS::ApiGateway::Model");
    assert.equal(schemas.length, Object.keys(models).length);
    for (const { Schema } of schemas) assert.ok(!JSON.stringify(Schema).includes("$ref"));
    const validators = all(api(), "AWS::ApiGateway::RequestValidator");
    assert.ok(validators.some(({ ValidateRequestBody }) => ValidateRequestBody));
});

test("a model says what the contract says, in draft 4, and leaves out what that draft does not know", () => {
    const contract = Contract.parse(
        `
openapi: 3.1.0
info: { title: t, version: "1" }
paths:
  /things:
    post:
      operationId: thingCreate
      tags: [Things]
      x-souk: { access: anyone, execution: transaction }
      requestBody: { required: true, content: { application/json: { schema: { $ref: '#/components/schemas/ThingInput' } } } }
      responses: { '201': { description: made } }
components:
  schemas:
    ThingInput:
      type: object
      description: a thing
      required: [name]
      additionalProperties: false
      properties:
        name: { type: string, minLength: 1, maxLength: 9, format: slug }
        kind: { type: [string, 'null'], enum: [a, b, null] }
        labels: { type: object, propertyNames: { maxLength: 5 }, maxProperties: 2, additionalProperties: { type: string, maxLength: 3 } }
`,
        "test",
    );
    const { $schema, title, ...schema } = apiOf(contract).models["ThingCreateBody"] as Record<string, unknown>;
    assert.equal($schema, "http://json-schema.org/draft-04/schema#");
    assert.equal(title, "ThingCreateBody");
    assert.deepEqual(schema, {
        type: "object",
        required: ["name"],
        additionalProperties: false,
        properties: {
            name: { type: "string", minLength: 1, maxLength: 9 },
            kind: { type: ["string", "null"], enum: ["a", "b", null] },
            labels: { type: "object", maxProperties: 2, additionalProperties: { type: "string", maxLength: 3 } },
        },
    });
});

test("what API Gateway says by itself is problem+json that parses", () => {
    const responses = all(api(), "AWS::ApiGateway::GatewayResponse");
    assert.ok(responses.length >= 12);
    for (const { ResponseParameters, ResponseTemplates, StatusCode, ResponseType } of responses) {
        assert.equal(ResponseParameters["gatewayresponse.header.Content-Type"], "'application/problem+json'");
        const text = ResponseTemplates["application/json"].replace("$context.error.messageString", '"why"');
        const problem = JSON.parse(text);
        assert.equal(String(problem.status), StatusCode, ResponseType);
        assert.match(problem.code, /^[A-Z_]+$/);
        assert.equal(problem.requestId, "$context.requestId");
        if (problem.status >= 500) assert.ok(!ResponseTemplates["application/json"].includes("error.message"), "a 5xx tells nothing of the inside");
    }
});

test("whatever souk sends as base64 is decoded: compressed replies as well as pictures", () => {
    assert.deepEqual(only(api(), "AWS::ApiGateway::RestApi").BinaryMediaTypes, ["*/*"]);
});

test("the firewall stands before the stage: known attacks, too many from one address", () => {
    const { Rules } = only(api(), "AWS::WAFv2::WebACL");
    const names: string[] = Rules.map(({ Name }: { Name: string }) => Name);
    for (const name of ["AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet", "TooMany"]) assert.ok(names.includes(name));
    assert.equal(all(api(), "AWS::WAFv2::WebACLAssociation").length, 1);
});

test("HTTPS only, with the shop's own name and a certificate by Route53 when there is a domain", () => {
    const stack = stackOf("lambda-domain", "api");
    const domain = only(stack, "AWS::ApiGateway::DomainName");
    assert.equal(domain.DomainName, "shop.example.com");
    assert.equal(domain.SecurityPolicy, "TLS_1_2");
    const certificate = only(stack, "AWS::CertificateManager::Certificate");
    assert.equal(certificate.ValidationMethod, "DNS");
    const records = all(stack, "AWS::Route53::RecordSet");
    assert.deepEqual(records.map(({ Type, Name }) => `${Type} ${Name}`).sort(), ["A shop.example.com.", "AAAA shop.example.com."]);
    assert.equal(only(stack, "AWS::ApiGateway::RestApi").DisableExecuteApiEndpoint, true);
    assert.equal(stack.outputs["Url"].Value, "https://shop.example.com/");
});

test("traced, logged by the route's template, without bodies", () => {
    assert.equal(stage().TracingEnabled, true);
    const format = JSON.parse(stage().AccessLogSetting.Format);
    assert.equal(format.route, "$context.resourcePath");
    assert.ok(!stage().AccessLogSetting.Format.includes("$context.path"), "a cart's id is a key");
    for (const setting of stage().MethodSettings) assert.equal(setting.DataTraceEnabled ?? false, false);
});
