// scripts/deploy stops at what is wrong before it looks for tools or an account.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { missingArtefact } from "../lib/app.ts";
import { placeholder, readSettings, ROOT } from "../lib/settings.ts";
import { App } from "aws-cdk-lib";

function refusal(stage: string, ...words: string[]): string {
    const { status, stderr } = spawnSync(join(ROOT, "scripts/deploy"), words, { env: { ...process.env, STAGE: stage, DRY: "1" }, encoding: "utf8", timeout: 20_000 });
    assert.equal(status, 1);
    return stderr;
}

test("what scripts/deploy does not know is refused with what it does", () => {
    assert.match(refusal("dev", "everything"), /all\|infra\|code\|destroy/);
    assert.match(refusal("prod", "all"), /STAGE is dev, staging or production, not prod/);
    assert.match(refusal("dev", "all", "-c", "stage=production"), /said with STAGE=production/);
    assert.match(refusal("dev", "all", "--force"), /--force is neither/);
});

test("templates without a package say which command makes it", () => {
    const settings = readSettings(new App({ context: { arch: "x86_64" } }));
    const unbuilt = { ...settings, code: { path: placeholder("code"), isBuilt: false } };
    assert.match(missingArtefact(unbuilt) ?? "", /make lambda ARCH=x86_64/);
    assert.equal(missingArtefact({ ...settings, code: { path: "built", isBuilt: true } }), undefined);
});
