// Each rule of the contract, broken once: the complaint names the place and the rule.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { stringify } from "yaml";
import { check } from "./check.ts";
import { Contract } from "./openapi.ts";
import { sample } from "./sample.ts";

// The tests reach into a document on purpose where its types would not let them.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Loose = any;

function complaints(breakIt: (document: Loose) => void): string[] {
    const document = sample();
    breakIt(document);
    const contract = Contract.parse(stringify(document, { aliasDuplicateObjects: false }), "sample.yaml");
    check(contract);
    return contract.errors.map((error) => error.replace(/^sample\.yaml:\d+: /, ""));
}

const list = (document: Loose): Loose => document.paths["/things"].get;
const create = (document: Loose): Loose => document.paths["/things"].post;
const update = (document: Loose): Loose => document.paths["/things/{id}"].patch;
const input = (document: Loose): Loose => document.components.schemas.ThingInput;
const thing = (document: Loose): Loose => document.components.schemas.Thing;

const LIST = "paths > /things > get";
const CREATE = "paths > /things > post";
const UPDATE = "paths > /things/{id} > patch";
const INPUT = "components > schemas > ThingInput";
const THING = "components > schemas > Thing";

const CASES: [string, (document: Loose) => void, string][] = [
    ["another OpenAPI", (d) => (d.openapi = "3.0.3"), "openapi: must be 3.1"],
    ["a name that is no camelCase", (d) => (list(d).operationId = "things_list"), `${LIST}: operationId must be camelCase`],
    ["a name used twice", (d) => (create(d).operationId = "thingsList"), `${CREATE}: operationId thingsList is used twice`],
    ["no x-souk", (d) => delete list(d)["x-souk"], `${LIST}: x-souk is missing`],
    ["an unknown key", (d) => (list(d)["x-souk"].cached = 1), `${LIST} > x-souk: unknown key cached`],
    ["an unknown access", (d) => (list(d)["x-souk"].access = "admin"), `${LIST} > x-souk: access must be public, anyone, customer or staff`],
    ["staff without scope", (d) => delete create(d)["x-souk"].scope, `${CREATE} > x-souk: scope is missing: staff operations name theirs`],
    ["a scope on a public one", (d) => (list(d)["x-souk"].scope = "orders:read"), `${LIST} > x-souk: scope is for access: staff or customer`],
    ["an unknown scope", (d) => (create(d)["x-souk"].scope = "all"), `${CREATE} > x-souk: scope is not a scope: all`],
    [
        "an unknown execution",
        (d) => (list(d)["x-souk"].execution = "fast"),
        `${LIST} > x-souk: execution must be inline, worker, transaction, orchestrated, password, or a list of two`,
    ],
    [
        "one way twice",
        (d) => (list(d)["x-souk"].execution = ["inline", "inline"]),
        `${LIST} > x-souk: execution as a list names two different ways`,
    ],
    ["a write that reads", (d) => (update(d)["x-souk"].execution = "inline"), `${UPDATE} > x-souk: execution inline or worker is for reads`],
    ["idempotency on a GET", (d) => (list(d)["x-souk"].idempotency = "none"), `${LIST} > x-souk: idempotency is for POST only`],
    ["a replay on a PATCH", (d) => (update(d)["x-souk"].handlesReplay = true), `${UPDATE} > x-souk: handlesReplay is for POST only`],
    ["a body limit past the server's", (d) => (create(d)["x-souk"].bodyLimit = 2 << 20), `${CREATE} > x-souk: bodyLimit must be 0 to 1048576`],
    ["a body limit without a body", (d) => (list(d)["x-souk"].bodyLimit = 10), `${LIST} > x-souk: bodyLimit needs a requestBody`],
    ["an unknown rate class", (d) => (list(d)["x-souk"].rateClass = "x"), `${LIST} > x-souk: rateClass must be read, write, login, checkout or none`],
    ["an unknown priority", (d) => (list(d)["x-souk"].priority = 1), `${LIST} > x-souk: priority must be browse, cart or checkout`],
    ["a write without a database", (d) => (create(d)["x-souk"].database = "none"), `${CREATE} > x-souk: database can only be none, and on a GET`],
    [
        "a cached reply without a database",
        (d) => (list(d)["x-souk"].database = "none"),
        `${LIST} > x-souk: database contradicts cache and replica, which are for what is read there`,
    ],
    ["a write that is expected", (d) => (create(d)["x-souk"].expects = true), `${CREATE} > x-souk: expects is for execution inline or worker`],
    ["a write on a replica", (d) => (create(d)["x-souk"].replica = true), `${CREATE} > x-souk: replica can only be true, and on a GET`],
    [
        "a cache on what depends on who asks",
        (d) => (list(d)["x-souk"].access = "anyone"),
        `${LIST} > x-souk: cache is for a public GET only: no other reply is the same for everyone`,
    ],
    ["a cache without time", (d) => (list(d)["x-souk"].cache = { tags: [] }), `${LIST} > x-souk: cache needs seconds, 1 to 86400`],
    ["If-Match on a POST", (d) => (create(d)["x-souk"].ifMatch = true), `${CREATE} > x-souk: ifMatch can only be true, on PUT, PATCH or DELETE`],
    ["bare: false", (d) => (list(d)["x-souk"].bare = false), `${LIST} > x-souk: bare can only be true`],
    ["a path name that is not declared", (d) => (update(d).parameters = []), `${UPDATE}: {id} is not declared`],
    [
        "a declared one that is not in the path",
        (d) => (update(d).parameters[0].name = "key"),
        `${UPDATE} > parameters > 0: /things/{id} has no {key}`,
    ],
    [
        "a parameter that is a list",
        (d) => (list(d).parameters[0].schema = { type: "array", maxItems: 3, items: { type: "boolean" } }),
        `${LIST} > parameters > 0: a parameter is a scalar`,
    ],
    [
        "a parameter twice",
        (d) => list(d).parameters.push({ ...list(d).parameters[0] }),
        `${LIST} > parameters > 2: query limit is declared twice`,
    ],
    [
        "a header of its own",
        (d) => list(d).parameters.push({ name: "X-Mode", in: "header", schema: { type: "string", maxLength: 3 } }),
        `${LIST} > parameters > 2: no input carries the header X-Mode`,
    ],
    ["an open object", (d) => delete input(d).additionalProperties, `${INPUT}: additionalProperties: false is missing`],
    ["a text without end", (d) => delete input(d).properties.name.maxLength, `${INPUT} > properties > name: maxLength is missing`],
    ["an integer without minimum", (d) => delete input(d).properties.count.minimum, `${INPUT} > properties > count: minimum is missing`],
    ["an integer without maximum", (d) => delete input(d).properties.count.maximum, `${INPUT} > properties > count: maximum is missing`],
    ["an integer past 53 bits", (d) => (input(d).properties.count.maximum = 2 ** 60), `${INPUT} > properties > count: a bound past 53 bits is no exact integer`],
    ["an array without end", (d) => delete input(d).properties.tags.maxItems, `${INPUT} > properties > tags: maxItems is missing`],
    ["a map without end", (d) => delete input(d).properties.facts.maxProperties, `${INPUT} > properties > facts: maxProperties is missing`],
    [
        "a map of long keys",
        (d) => delete input(d).properties.facts.propertyNames,
        `${INPUT} > properties > facts: propertyNames: {maxLength} is missing`,
    ],
    [
        "a keyword that nobody checks",
        (d) => (input(d).properties.name.pattern = "^a"),
        `${INPUT} > properties > name: pattern is not checked by the validator`,
    ],
    ["a fraction", (d) => (input(d).properties.count = { type: "number" }), `${INPUT} > properties > count: a request cannot take type "number"`],
    ["an unknown format", (d) => (input(d).properties.name.format = "name"), `${INPUT} > properties > name: unknown format name`],
    ["a default that breaks its rule", (d) => (input(d).properties.count.default = 0), `${INPUT} > properties > count: the default 0 breaks its own rule`],
    ["a required name that is none", (d) => input(d).required.push("nam"), `${INPUT}: required names nam, which is no property`],
    ["a body on a GET", (d) => (list(d).requestBody = create(d).requestBody), `${LIST} > requestBody: GET takes no body`],
    [
        "a body that may be left out but must hold something",
        (d) => (create(d).requestBody.required = false),
        `${CREATE} > requestBody: required: true is missing: the body has required properties`,
    ],
    [
        "a body of another type",
        (d) => (create(d).requestBody.content["text/plain"] = {}),
        `${CREATE} > requestBody: a body is application/json and nothing else`,
    ],
    ["no default reply", (d) => delete list(d).responses.default, `${LIST} > responses: default is missing`],
    ["no good reply", (d) => delete list(d).responses["200"], `${LIST} > responses: no status says that it worked`],
    ["a reply that does not list", (d) => delete thing(d).required, `${THING}: required is missing: a reply lists what it always holds`],
    ["an open reply", (d) => delete thing(d).additionalProperties, `${THING}: additionalProperties: false is missing`],
    [
        "a reference into nothing",
        (d) => (list(d).responses["404"] = { $ref: "#/components/responses/Nothing" }),
        `${LIST} > responses > 404: unresolved $ref #/components/responses/Nothing`,
    ],
    [
        "a leftover component",
        (d) => (d.components.schemas.Old = { type: "string" }),
        "components > schemas > Old: nothing refers to it",
    ],
];

describe("the rules of the contract", () => {
    it("are all kept by the sample", () => {
        assert.deepEqual(complaints(() => undefined), []);
    });
    for (const [what, breakIt, complaint] of CASES) {
        it(`refuse ${what}`, () => {
            assert.ok(complaints(breakIt).includes(complaint), `${complaint}\nis not among\n${complaints(breakIt).join("\n")}`);
        });
    }
    it("name the line", () => {
        const contract = Contract.parse("openapi: 3.1.0\npaths:\n  /a:\n    get:\n      operationId: aGet\n", "a.yaml");
        check(contract);
        assert.ok(contract.errors.includes("a.yaml:5: paths > /a > get: x-souk is missing"), contract.errors.join("\n"));
    });
});
