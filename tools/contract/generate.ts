// Derives everything from api/openapi.yaml: `npm run contract` writes the files, `npm run contract:check` says which are stale.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { inputsHeader } from "./c_inputs_header.ts";
import { inputsSource } from "./c_inputs_source.ts";
import { documentHeader, documentSource } from "./c_document.ts";
import { handlersHeader } from "./c_handlers.ts";
import { operationsHeader, operationsSource } from "./c_operations.ts";
import { check as checkRules } from "./check.ts";
import { Contract } from "./openapi.ts";
import { ModelBuilder } from "./model.ts";
import { clientModule } from "./ts_client.ts";
import { typesModule } from "./ts_types.ts";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const SOURCE = "api/openapi.yaml";

function main(isCheck: boolean): number {
    const contract = Contract.load(join(ROOT, SOURCE), SOURCE);
    checkRules(contract);
    const model = contract.errors.length === 0 ? new ModelBuilder(contract).build() : undefined;
    if (!model || contract.errors.length > 0) {
        console.error([...new Set(contract.errors)].join("\n"));
        return 1;
    }
    const files: Record<string, string> = {
        "src/contract/inputs.h": inputsHeader(model),
        "src/contract/inputs.c": inputsSource(model),
        "src/contract/handlers.h": handlersHeader(model.operations),
        "src/contract/openapi_document.h": documentHeader(),
        "src/contract/openapi_document.c": documentSource(contract.document),
        "src/api/operations.h": operationsHeader(),
        "src/api/operations.c": operationsSource(model.operations),
        "packages/client/src/types.ts": typesModule(contract),
        "packages/client/src/client.ts": clientModule(contract),
    };
    return isCheck ? check(files) : write(files);
}

function read(path: string): string | undefined {
    try {
        return readFileSync(join(ROOT, path), "utf8");
    } catch {
        return undefined;
    }
}

function check(files: Record<string, string>): number {
    const stale = Object.entries(files).filter(([path, text]) => read(path) !== text);
    for (const [path] of stale) console.error(`${path} is stale: run \`npm run contract\` and commit it`);
    return stale.length > 0 ? 1 : 0;
}

/** Leaves a file alone that would not change, so that nothing is rebuilt for it. */
function write(files: Record<string, string>): number {
    for (const [path, text] of Object.entries(files)) {
        if (read(path) === text) continue;
        mkdirSync(dirname(join(ROOT, path)), { recursive: true });
        writeFileSync(join(ROOT, path), text);
        console.log(`wrote ${relative(ROOT, join(ROOT, path))}`);
    }
    return 0;
}

process.exitCode = main(process.argv.includes("--check"));
