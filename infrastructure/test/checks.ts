// What holds for every variant: AWS's rules (cdk-nag AwsSolutions, CloudFormation's own checks), and the reviewed snapshot.
import assert from "node:assert/strict";
import { test } from "node:test";
import { make, variant, VARIANTS } from "./support.ts";
import { differences } from "../snapshot.ts";

for (const name of Object.keys(VARIANTS)) {
    test(`${name}: AwsSolutions and CloudFormation have nothing to say that has no reason beside it`, () => {
        assert.deepEqual(variant(name).violations, []);
    });
}

for (const stage of ["dev", "staging"]) {
    test(`${stage}: likewise`, () => assert.deepEqual(make({ stage }).violations, []));
}

test("every variant makes what the snapshot says", () => {
    const changed = differences();
    assert.equal(changed.length, 0, `${changed.join("\n")}\nWhere that is meant: npm run snapshot --workspace infrastructure -- --update, and read the diff.`);
});
