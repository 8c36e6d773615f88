// Traces: whose they are, what a collector is told and what it is never told; and that nobody waits for one.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ok } from "../support/client.ts";
import { OtlpCollector, XrayDaemon, attributesOf } from "../support/collector.ts";
import { eventually } from "../support/server.ts";
import { Shop, addItem, checkoutBody, createCart } from "../support/shop.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";

describe("with a collector", () => {
    let collector: OtlpCollector;
    let shop: Shop;
    before(async () => {
        collector = await OtlpCollector.start();
        shop = await Shop.open({
            env: { SOUK_TRACE: "otlp", SOUK_TRACE_SAMPLE: "0", OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, OTEL_SERVICE_NAME: "shop", SOUK_STAGE: "test", SOUK_LOG: "request" },
        });
    });
    after(async () => {
        await shop?.close();
        await collector?.stop();
    });

    const spansOf = async (trace: string) => {
        await eventually("the request's span", () => collector.spans.some((span) => span.traceId === trace && span.kind === 2));
        assert.deepEqual(collector.wrong, []);
        return collector.spans.filter((span) => span.traceId === trace);
    };

    test("a sampled request has its span and those of its statements, none of which tells a value", async () => {
        const product = await shop.product();
        const cart = await createCart(shop.guest);
        await addItem(shop.guest, cart.id, { productId: product.id, quantity: 1 });
        const secret = "someone.secret@example.com";
        const reply = await shop.guest.request("POST", `/checkout/${cart.id}`, checkoutBody({ email: secret }), {
            headers: { traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: "vendor=1,other=2" },
        });
        assert.equal(reply.status, 201);
        const spans = await spansOf(TRACE);
        const request = spans.find((span) => span.kind === 2)!;
        assert.equal(request.name, "POST /checkout/{id}");
        assert.equal(request.parentSpanId, PARENT);
        assert.equal(request.traceState, "vendor=1,other=2");
        assert.deepEqual(attributesOf(request.attributes), {
            "http.request.method": "POST",
            "http.route": "/checkout/{id}",
            "souk.operation": "checkout_create",
            "http.response.status_code": "201",
        });
        const statements = spans.filter((span) => attributesOf(span.attributes)["db.operation.name"]);
        assert.ok(statements.length >= 2, JSON.stringify(spans));
        for (const span of spans.filter((one) => one !== request)) {
            assert.equal(span.parentSpanId, request.spanId);
            assert.ok(BigInt(span.startTimeUnixNano) >= BigInt(request.startTimeUnixNano));
            assert.ok(BigInt(span.endTimeUnixNano) <= BigInt(request.endTimeUnixNano));
            assert.ok(BigInt(span.startTimeUnixNano) <= BigInt(span.endTimeUnixNano));
        }
        assert.ok(Math.abs(Number(BigInt(request.endTimeUnixNano) / 1_000_000n) - Date.now()) < 60_000);
        assert.equal(new Set(spans.map((span) => span.spanId)).size, spans.length);
        const told = JSON.stringify(spans);
        for (const value of [cart.id, product.id, secret, "INSERT INTO", "127.0.0.1"]) assert.ok(!told.includes(value), value);
        assert.deepEqual(collector.resources[0]?.["service.name"], "shop");
        assert.deepEqual(collector.resources[0]?.["deployment.environment.name"], "test");
    });

    test("the log names the trace; without a caller's it is the request's id", async () => {
        const id = "0190a6d3-3a0b-7c7e-8f7a-2f0d4c1b9e55";
        await shop.guest.request("GET", "/categories", undefined, { headers: { "x-request-id": id } });
        await eventually("its line in the log", () => shop.server.stdout.includes(`"trace":"${id.replaceAll("-", "")}","id":"${id}"`));
    });

    test("what the caller leaves out is not sampled here, nor is what nobody asked for", async () => {
        const before = collector.spans.length;
        const unsampled = "11111111111111111111111111111111";
        await shop.guest.request("GET", "/categories", undefined, { headers: { traceparent: `00-${unsampled}-${PARENT}-00` } });
        await shop.guest.get("/categories");
        const marker = "22222222222222222222222222222222";
        await shop.guest.request("GET", "/categories", undefined, { headers: { traceparent: `00-${marker}-${PARENT}-01` } });
        await spansOf(marker);
        assert.ok(collector.spans.slice(before).every((span) => span.traceId === marker));
    });

    test("a traceparent that is not one, or two of them, starts a trace of its own", async () => {
        for (const traceparent of [`00-${TRACE}-${PARENT}`, `00-${TRACE.toUpperCase()}-${PARENT}-01`, `00-${TRACE}-${PARENT}-01, 00-${TRACE}-${PARENT}-01`])
            assert.equal((await shop.guest.request("GET", "/categories", undefined, { headers: { traceparent } })).status, 200, traceparent);
    });

    test("a collector that is slow or fails holds up nobody; what is lost is counted", async () => {
        const metric = async (name: string) => Number(new RegExp(`^${name} (\\d+)$`, "m").exec(await (await fetch(`${shop.server.url}/metrics`)).text())?.[1]);
        const dropped = await metric("souk_trace_dropped_total");
        collector.status = 503;
        collector.delay = 2000;
        const calls = collector.calls;
        const ask = () => shop.guest.request("GET", "/categories", undefined, { headers: { traceparent: `00-${TRACE}-${PARENT}-01` } });
        await ask();
        await eventually("a call to the collector", () => collector.calls > calls);
        const began = performance.now();
        for (let i = 0; i < 20; i++) assert.equal((await ask()).status, 200);
        assert.ok(performance.now() - began < 1500, "twenty requests waited for the collector");
        await eventually("what was lost to be counted", async () => (await metric("souk_trace_dropped_total")) > dropped);
        collector.status = 200;
        collector.delay = 0;
        const marker = "33333333333333333333333333333333";
        await shop.guest.request("GET", "/categories", undefined, { headers: { traceparent: `00-${marker}-${PARENT}-01` } });
        await spansOf(marker);
        assert.ok((await metric("souk_trace_exported_total")) > 0);
    });
});

test("X-Ray's daemon gets a segment, of the trace that Amazon's header names", async () => {
    const daemon = await XrayDaemon.start();
    const shop = await Shop.open({ env: { SOUK_TRACE: "xray", SOUK_TRACE_SAMPLE: "0", AWS_XRAY_DAEMON_ADDRESS: daemon.address, OTEL_SERVICE_NAME: "shop" } });
    try {
        const root = "1-5759e988-bd862e3fe1be46a994272793";
        const headers = { "x-amzn-trace-id": `Root=${root};Parent=${PARENT};Sampled=1` };
        ok(await shop.guest.request("GET", "/products", undefined, { headers }));
        await eventually("a segment", () => daemon.segments.length > 0);
        const segment = daemon.segments[0]!;
        assert.equal(segment.trace_id, root);
        assert.equal(segment.parent_id, PARENT);
        assert.equal(segment.name, "shop");
        assert.match(segment.id, /^[0-9a-f]{16}$/);
        assert.equal(segment.type, undefined);
        assert.deepEqual(segment.http, { request: { method: "GET", url: "/products" }, response: { status: 200 } });
        assert.equal(segment.annotations.operation, "products_list");
        assert.ok(segment.start_time <= segment.end_time && Math.abs(segment.end_time - Date.now() / 1000) < 60);
        for (const inner of segment.subsegments) assert.ok(inner.start_time >= segment.start_time && inner.end_time <= segment.end_time + 1e-6);
    } finally {
        await shop.close();
        daemon.stop();
    }
});

test("a wrong setting stops the start with its name", async () => {
    for (const [env, expected] of [
        [{ SOUK_TRACE: "jaeger" }, /SOUK_TRACE.*must be off, otlp or xray/],
        [{ SOUK_TRACE_SAMPLE: "1.5" }, /SOUK_TRACE_SAMPLE.*must be a number from 0 to 1/],
        [{ SOUK_TRACE_SAMPLE: ".5" }, /SOUK_TRACE_SAMPLE.*must be a number from 0 to 1/],
        [{ SOUK_TRACE: "otlp", OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector.example:4318" }, /OTEL_EXPORTER_OTLP_ENDPOINT/],
        [{ SOUK_TRACE: "xray", AWS_XRAY_DAEMON_ADDRESS: "nowhere" }, /AWS_XRAY_DAEMON_ADDRESS: must be HOST:PORT/],
        [{ SOUK_METRICS: "statsd" }, /SOUK_METRICS.*must be prometheus or emf/],
        [{ SOUK_STAGE: "a b" }, /SOUK_STAGE.*letters, digits/],
    ] as [Record<string, string>, RegExp][])
        await assert.rejects(Shop.open({ env }), expected);
});
