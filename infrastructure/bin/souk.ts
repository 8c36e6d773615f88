// cdk synth, cdk deploy: `make deploy` calls them (scripts/deploy).
import { App } from "aws-cdk-lib";
import { souk } from "../lib/app.ts";

try {
    souk(new App()).app.synth();
} catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
}
