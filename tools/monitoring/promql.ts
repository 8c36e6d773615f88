// What a PromQL expression asks for, by Prometheus's own grammar.
import { parser } from "@prometheus-io/lezer-promql";
import type { SyntaxNode } from "@lezer/common";

export interface Selector {
    name: string;
    matchers: { label: string; operator: string; value: string }[];
    /** The functions and aggregations around it, the nearest first. */
    within: string[];
    /** What aggregations around it keep. */
    by: string[];
}

export interface Query {
    selectors: Selector[];
    /** Where it is no PromQL. */
    errors: string[];
}

function unquote(text: string): string {
    return text.slice(1, -1).replace(/\\(.)/g, "$1");
}

export function readQuery(expression: string): Query {
    const query: Query = { selectors: [], errors: [] };
    const text = (node: SyntaxNode) => expression.slice(node.from, node.to);
    const matchersOf = (node: SyntaxNode) =>
        (node.getChild("LabelMatchers")?.getChildren("UnquotedLabelMatcher") ?? []).map((matcher) => ({
            label: text(matcher.getChild("LabelName")!),
            operator: text(matcher.getChild("MatchOp")!),
            value: unquote(text(matcher.getChild("StringLiteral")!)),
        }));
    parser.parse(expression).iterate({
        enter(ref) {
            const node = ref.node;
            if (node.type.isError) query.errors.push(`at ${node.from}: ${expression.slice(node.from, node.from + 20) || "the end"}`);
            if (node.name !== "VectorSelector") return;
            const selector: Selector = { name: text(node.getChild("Identifier") ?? node), matchers: matchersOf(node), within: [], by: [] };
            for (let around = node.parent; around; around = around.parent) {
                const called = around.getChild("FunctionIdentifier") ?? around.getChild("AggregateOp");
                if (called) selector.within.push(text(called));
                const kept = around.getChild("AggregateModifier")?.getChild("GroupingLabels")?.getChildren("LabelName") ?? [];
                selector.by.push(...kept.map(text));
            }
            query.selectors.push(selector);
        },
    });
    return query;
}
