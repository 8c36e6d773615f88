// Where things are in the repository.
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
export const testsFolder = path.join(root, "tests");
export const contractFile = path.join(root, "api/openapi.yaml");
export const migrationsFolder = path.join(root, "db/migrations");
export const coverageFolder = path.join(root, "build/contract-coverage");
/** What Lambda starts: the file `bootstrap` of an unpacked zip, or the server's own binary under that name. */
export const lambdaBinary = process.env.SOUK_TEST_LAMBDA ? path.resolve(root, process.env.SOUK_TEST_LAMBDA) : undefined;
export const binary = path.resolve(root, process.env.SOUK_BINARY || "build/dev/souk");
