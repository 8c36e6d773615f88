// What C is made of the sample: types, names, flags, descriptors, rows.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { stringify } from "yaml";
import { handlersHeader } from "./c_handlers.ts";
import { documentSource, publicDocument } from "./c_document.ts";
import { inputsHeader } from "./c_inputs_header.ts";
import { inputsSource } from "./c_inputs_source.ts";
import { operationsSource } from "./c_operations.ts";
import { literal } from "./c_text.ts";
import { ModelBuilder, type Model } from "./model.ts";
import { enumConstant, member, snake } from "./names.ts";
import { Contract, type Document } from "./openapi.ts";
import { sample } from "./sample.ts";

function modelOf(document: Document): { model: Model; errors: string[] } {
    const contract = Contract.parse(stringify(document, { aliasDuplicateObjects: false }), "sample.yaml");
    return { model: new ModelBuilder(contract).build(), errors: contract.errors };
}

const { model } = modelOf(sample());

function assertHolds(text: string, part: string): void {
    assert.ok(text.includes(part), `${part}\nis not in\n${text}`);
}

describe("names", () => {
    it("turn camelCase into snake_case", () => {
        assert.deepEqual(["variantId", "price[gte]", "address1", "skuURL", "cartItemAdd"].map(snake), [
            "variant_id",
            "price_gte",
            "address1",
            "sku_url",
            "cart_item_add",
        ]);
    });
    it("keep out of C's way", () => assert.deepEqual(["default", "name"].map(member), ["default_", "name"]));
    it("mark a descending sort", () => assert.equal(enumConstant("things_list_sort", "-createdAt"), "THINGS_LIST_SORT_CREATED_AT_DESC"));
});

describe("inputs.h", () => {
    const header = inputsHeader(model);
    it("has path and body members of an operation in one struct", () =>
        assertHolds(header, "struct thing_update_input {\n    /* path */\n    struct uuid id;\n    /* body */\n    struct slice name;\n"));
    it("flags what may be left out and what may be null", () => {
        assertHolds(header, "    struct slice note;\n    bool has_note;\n    bool note_is_null;\n");
        assertHolds(header, "    struct money price;\n    bool has_price;\n    bool price_is_null;\n");
    });
    it("keeps the unit of a time in its name", () => assertHolds(header, "    int64_t made_at_ms;\n    bool has_made_at_ms;\n"));
    it("makes structs of components and lists of them", () => {
        assertHolds(header, "struct part_input {\n    struct slice code;\n");
        assertHolds(header, "struct part_input_list {\n    const struct part_input *items;\n    size_t count;\n};\n");
        assertHolds(header, "    struct part_input_list parts;\n    bool has_parts;\n    struct slice_list tags;\n");
    });
    it("makes enumerations of named and of inline ones", () => {
        assertHolds(header, "enum color {\n    COLOR_RED, /* red */\n    COLOR_GREEN, /* green */\n};\n");
        assertHolds(header, "    THINGS_LIST_SORT_PRICE_DESC, /* -price */\n");
        assertHolds(header, "bool color_parse(struct slice name, enum color *value);\n");
    });
});

describe("inputs.c", () => {
    const source = inputsSource(model);
    it("carries rules, places and defaults", () => {
        assertHolds(source, ".kind = FIELD_INTEGER, .minimum = INT64_C(1), .maximum = INT64_C(100), .has_default = true");
        assertHolds(source, ".enumeration = &color_rule, .has_default = true, .default_value = COLOR_GREEN");
        assertHolds(source, ".null_offset = offsetof(struct thing_create_input, price_is_null)");
        assertHolds(source, ".kind = FIELD_MONEY, .maximum = INT64_C(1000)");
    });
    it("describes maps by their bounds", () =>
        assertHolds(source, ".scalars = MAP_STRING | MAP_NUMBER, .key_length_max = 10, .value_length_max = 20, .count_max = 5,"));
});

describe("handlers.h and operations.c", () => {
    it("ask the handler's file when there are two ways to run it", () => {
        assertHolds(handlersHeader(model.operations), "enum execution things_list_execution(const struct request *request);\n");
        assertHolds(operationsSource(model.operations), ".choose_execution = things_list_execution,\n");
    });
    it("ask it too what it will ask the database", () => {
        const document = sample();
        Object.assign((document.paths["/things"]!.get as Record<string, object>)["x-souk"]!, { execution: "inline", expects: true });
        const { operations } = modelOf(document).model;
        assertHolds(handlersHeader(operations), "void things_list_expect(const struct request *request);\n");
        assertHolds(operationsSource(operations), ".expect = things_list_expect,\n");
    });
    it("carry every fact of x-souk", () => {
        const rows = operationsSource(model.operations);
        assertHolds(rows, ".cache_seconds = 60,\n        .cache_tags = {\"things\"},\n");
        assertHolds(rows, ".scope = SCOPE_CATALOGUE_WRITE,\n        .execution = EXECUTION_TRANSACTION,\n        .rate_class = RATE_WRITE,\n");
        assertHolds(rows, ".body_limit = 65536,\n        .accepts_idempotency_key = true,\n");
        assert.equal(rows.match(/accepts_idempotency_key/g)?.length, 1); // the POST, not the PATCH
    });
});

describe("openapi_document.c", () => {
    it("keeps what only the gateway needs to itself", () => assert.ok(!JSON.stringify(publicDocument(sample())).includes("x-souk")));
    it("escapes what C would read otherwise", () => {
        assert.equal(literal('a"b\\c\n\u00e9??='), '"a\\"b\\\\c\\n\\303\\251?\\?="');
        assert.ok(documentSource(sample()).includes("sizeof(document) - 1"));
    });
});

describe("the model refuses", () => {
    it("two inputs of one name", () => {
        const document = sample();
        const input = document.components?.schemas?.["ThingInput"];
        assert.ok(input?.properties);
        input.properties["id"] = { type: "string", format: "uuid", maxLength: 36 };
        assert.ok(modelOf(document).errors.some((error) => error.endsWith("two inputs are called id")));
    });
    it("a request that holds itself", () => {
        const document = sample();
        const part = document.components?.schemas?.["PartInput"];
        assert.ok(part?.properties);
        part.properties["inner"] = { $ref: "#/components/schemas/PartInput" };
        assert.ok(modelOf(document).errors.some((error) => error.endsWith("a request cannot hold itself")));
    });
});
