// src/api/operations.{h,c}: the rows that the gateway works from.
import type { Operation } from "./model.ts";
import { banner, literal } from "./c_text.ts";

const BODY_BYTES_DEFAULT = 65536;

export function operationsHeader(): string {
    return `${banner("The table of operations with their handlers, for the gateway.")}#pragma once

#include "http/operation.h"

extern const struct operation_table api_operations;
`;
}

export function operationsSource(operations: Operation[]): string {
    return `${banner("The rows of operations.h, one for each operation of the contract.")}#include "api/operations.h"

#include "base/check.h"
#include "contract/handlers.h"
#include "contract/inputs.h"

static const struct operation operations[] = {
${operations.map(row).join("")}};

const struct operation_table api_operations = {operations, COUNT_OF(operations)};
`;
}

function row(operation: Operation): string {
    const { name, method, path, souk } = operation;
    const executions = [souk.execution].flat();
    const isPost = method === "post";
    const cache = souk.cache;
    const facts = [
        `.name = ${literal(name)}`,
        `.method = METHOD_${method.toUpperCase()}`,
        `.path = ${literal(path)}`,
        `.handler = ${name}`,
        executions.length > 1 ? `.choose_execution = ${name}_execution` : "",
        souk.expects ? `.expect = ${name}_expect` : "",
        `.input = &${name}_input_rule`,
        `.access = ACCESS_${souk.access.toUpperCase()}`,
        souk.scope ? `.scope = SCOPE_${souk.scope.replace(":", "_").toUpperCase()}` : "",
        `.execution = EXECUTION_${executions[0]?.toUpperCase()}`,
        `.rate_class = RATE_${(souk.rateClass ?? (method === "get" ? "read" : "write")).toUpperCase()}`,
        `.priority = PRIORITY_${(souk.priority ?? "browse").toUpperCase()}`,
        operation.body ? `.body_limit = ${souk.bodyLimit ?? BODY_BYTES_DEFAULT}` : "",
        isPost && souk.idempotency !== "none" ? ".accepts_idempotency_key = true" : "",
        souk.toleratesBadToken ? ".tolerates_bad_token = true" : "",
        souk.handlesReplay ? ".handles_replay = true" : "",
        souk.ifMatch ? ".accepts_if_match = true" : "",
        souk.replica ? ".reads_replica = true" : "",
        souk.database ? ".needs_no_database = true" : "",
        souk.bare ? ".is_bare = true" : "",
        operation.queryFields.some((field) => field.jsonName === "fields") ? ".selects_fields = true" : "",
        cache ? `.cache_seconds = ${cache.seconds}` : "",
        cache && cache.tags.length > 0 ? `.cache_tags = {${cache.tags.map(literal).join(", ")}}` : "",
    ].filter(Boolean);
    return `    {\n${facts.map((fact) => `        ${fact},\n`).join("")}    },\n`;
}
