// src/contract/handlers.h: a handler that is missing does not link, one that is in no contract does not compile.
import type { Operation } from "./model.ts";
import { banner } from "./c_text.ts";

export function handlersHeader(operations: Operation[]): string {
    const prototypes = operations.map((operation) => {
        const { name, method, path, souk } = operation;
        const choose = Array.isArray(souk?.execution)
            ? `/* asked after validation: ${souk.execution.join(" or ")} */\nenum execution ${name}_execution(const struct request *request);\n`
            : "";
        const expect = souk?.expects ? `/* says db_expect of what the handler asks first */\nvoid ${name}_expect(const struct request *request);\n` : "";
        return `/* ${method.toUpperCase()} ${path} */
enum http_status ${name}(struct request *request, struct response *response);
${choose}${expect}`;
    });
    return `${banner("The handler of each operation.")}#pragma once

#include "http/response.h"

${prototypes.join("")}`;
}
