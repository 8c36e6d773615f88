// A small contract that keeps every rule, for the tests of this folder.
import type { Document } from "./openapi.ts";

const problem = { description: "A problem.", content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } } };

const thingReply = {
    description: "The thing.",
    content: {
        "application/json": {
            schema: {
                type: "object",
                required: ["data"],
                additionalProperties: false,
                properties: { data: { $ref: "#/components/schemas/Thing" } },
            },
        },
    },
};

const body = { required: true, content: { "application/json": { schema: { $ref: "#/components/schemas/ThingInput" } } } };

/** A fresh copy each time: tests break it. */
export function sample(): Document {
    return structuredClone({
        openapi: "3.1.0",
        info: { title: "sample", version: "1.0.0" },
        paths: {
            "/things": {
                get: {
                    operationId: "thingsList",
                    summary: "List things",
                    "x-souk": { access: "public", execution: ["inline", "worker"], replica: true, cache: { seconds: 60, tags: ["things"] } },
                    parameters: [
                        { name: "limit", in: "query", schema: { type: "integer", minimum: 1, maximum: 100, default: 20 } },
                        { name: "sort", in: "query", schema: { type: "string", enum: ["price", "-price"], default: "-price" } },
                    ],
                    responses: { "200": thingReply, default: problem },
                },
                post: {
                    operationId: "thingCreate",
                    summary: "Create a thing",
                    "x-souk": { access: "staff", scope: "catalogue:write", execution: "transaction" },
                    requestBody: body,
                    responses: { "201": thingReply, default: problem },
                },
            },
            "/things/{id}": {
                patch: {
                    operationId: "thingUpdate",
                    summary: "Change a thing",
                    "x-souk": { access: "staff", scope: "catalogue:write", execution: "transaction", ifMatch: true },
                    parameters: [{ name: "id", in: "path", required: true, schema: { type: "string", format: "uuid", maxLength: 36 } }],
                    requestBody: body,
                    responses: { "200": thingReply, default: problem },
                },
            },
        },
        components: {
            schemas: {
                Color: { type: "string", description: "Red or green.", enum: ["red", "green"] },
                Money: {
                    type: "object",
                    required: ["amount", "currency"],
                    additionalProperties: false,
                    properties: {
                        amount: { type: "integer", minimum: 0, maximum: 1000 },
                        currency: { type: "string", format: "currency", maxLength: 3 },
                    },
                },
                PartInput: {
                    type: "object",
                    required: ["code"],
                    additionalProperties: false,
                    properties: { code: { type: "string", minLength: 1, maxLength: 10 }, madeAt: { type: "string", format: "date-time", maxLength: 40 } },
                },
                ThingInput: {
                    type: "object",
                    required: ["name"],
                    additionalProperties: false,
                    properties: {
                        name: { type: "string", minLength: 1, maxLength: 100 },
                        note: { type: ["string", "null"], maxLength: 1000 },
                        count: { type: "integer", minimum: 1, maximum: 99, default: 1 },
                        color: { $ref: "#/components/schemas/Color", default: "green" },
                        price: { anyOf: [{ $ref: "#/components/schemas/Money" }, { type: "null" }] },
                        part: { $ref: "#/components/schemas/PartInput" },
                        parts: { type: "array", maxItems: 5, items: { $ref: "#/components/schemas/PartInput" } },
                        tags: { type: "array", maxItems: 5, items: { type: "string", maxLength: 10 } },
                        facts: {
                            type: "object",
                            maxProperties: 5,
                            propertyNames: { maxLength: 10 },
                            additionalProperties: { type: ["string", "number"], maxLength: 20 },
                        },
                    },
                },
                Thing: {
                    type: "object",
                    description: "A thing.",
                    required: ["id", "name", "price"],
                    additionalProperties: false,
                    properties: {
                        id: { type: "string", format: "uuid" },
                        name: { type: "string" },
                        price: { anyOf: [{ $ref: "#/components/schemas/Money" }, { type: "null" }] },
                        note: { type: ["string", "null"] },
                        children: { type: "array", items: { $ref: "#/components/schemas/Thing" } },
                    },
                },
                Problem: {
                    type: "object",
                    required: ["code"],
                    additionalProperties: false,
                    properties: { code: { type: "string" } },
                },
            },
        },
    }) as unknown as Document;
}
