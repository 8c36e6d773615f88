// Every variant is made once and shared by all tests: making one takes seconds.
import { readFileSync } from "node:fs";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { App } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";
import { souk } from "../lib/app.ts";
import { placeholder, ROOT } from "../lib/settings.ts";

export const DOMAIN = { domainName: "shop.example.com", hostedZoneId: "Z0123456789ABCDEFGHIJ" };

/** What the snapshot and most tests look at: production, where nothing is left out. */
export const VARIANTS: Record<string, Record<string, string>> = {
    lambda: { stage: "production", alarmEmail: "ops@example.com" },
    "lambda-domain": { stage: "production", alarmEmail: "ops@example.com", ...DOMAIN },
    fargate: { stage: "production", compute: "fargate", alarmEmail: "ops@example.com" },
    "fargate-domain": { stage: "production", compute: "fargate", alarmEmail: "ops@example.com", ...DOMAIN, mailVerified: "yes" },
};

export interface JsonResource {
    Type: string;
    Properties?: Record<string, any>; // any: a template is whatever CloudFormation takes
    DependsOn?: string | string[];
    DeletionPolicy?: string;
    UpdatePolicy?: Record<string, any>;
    Metadata?: Record<string, any>;
}

export interface MadeStack {
    template: Template;
    resources: Record<string, JsonResource>;
    outputs: Record<string, any>;
    terminationProtection: boolean;
}

export interface Made {
    /** By the name's last word: network, data, app, api, ... */
    stacks: Map<string, MadeStack>;
    violations: string[];
}

const made = new Map<string, Made>();

export function context(given: Record<string, string>): Record<string, unknown> {
    const file = JSON.parse(readFileSync(join(ROOT, "infrastructure/cdk.json"), "utf8")) as { context: Record<string, unknown> };
    return { ...file.context, ...given };
}

export function variant(name: string): Made {
    const given = VARIANTS[name];
    if (!given) throw new Error(`there is no variant ${name}`);
    return make(given);
}

export function make(given: Record<string, string>): Made {
    const key = JSON.stringify(given);
    const known = made.get(key);
    if (known) return known;
    const folder = mkdtempSync(join(tmpdir(), "souk-cdk-"));
    try {
        const app = new App({ outdir: folder, context: { ...context(given), "@aws-cdk/core:failSynthOnValidationErrors": false }, analyticsReporting: false });
        souk(app, (settings) => ({
            ...settings,
            code: { path: placeholder("code"), isBuilt: true },
            imageFolder: { path: placeholder("image"), isBuilt: true },
        }));
        const assembly = app.synth();
        const result: Made = {
            stacks: new Map(
                assembly.stacks.map((stack) => [
                    stack.stackName.split("-").slice(2).join("-"),
                    {
                        template: Template.fromJSON(stack.template),
                        resources: stack.template.Resources,
                        outputs: stack.template.Outputs ?? {},
                        terminationProtection: stack.terminationProtection === true,
                    },
                ]),
            ),
            violations: violationsIn(join(folder, "validation-report.json")),
        };
        made.set(key, result);
        return result;
    } finally {
        rmSync(folder, { recursive: true, force: true });
    }
}

export function stackOf(name: string, stack: string): MadeStack {
    const found = variant(name).stacks.get(stack);
    if (!found) throw new Error(`${name} has no stack ${stack}: ${[...variant(name).stacks.keys()].join(", ")}`);
    return found;
}

/** The properties of every resource of a type. */
export function all({ resources }: MadeStack, type: string): Record<string, any>[] {
    return Object.values(resources)
        .filter((resource) => resource.Type === type)
        .map((resource) => resource.Properties ?? {});
}

/** The one resource of a type. */
export function only(stack: MadeStack, type: string): Record<string, any> {
    const found = all(stack, type);
    if (found.length !== 1 || !found[0]) throw new Error(`${found.length} resources are ${type}, not one`);
    return found[0];
}

/** One line each: the rule and where it is broken. */
function violationsIn(file: string): string[] {
    const report = JSON.parse(readFileSync(file, "utf8")) as Report;
    return report.pluginReports.flatMap(({ violations }) =>
        violations.flatMap(({ ruleName, violatingConstructs }) => violatingConstructs.map(({ constructPath }) => `${ruleName}: ${constructPath}`)),
    );
}

interface Report {
    pluginReports: { violations: { ruleName: string; violatingConstructs: { constructPath: string }[] }[] }[];
}
