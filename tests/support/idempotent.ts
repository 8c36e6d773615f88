// An example of every operation that takes an Idempotency-Key.
import { type Client, type Json } from "./client.ts";
import { type Shop, address, checkoutBody, createCart, unique, usd } from "./shop.ts";

export type Case = { client: Client; path: string; body: Json; other: Json; count: () => Promise<number> };

/** By operation; each call makes what it needs. Carts are `buyer`'s, what needs an account is `customer`'s, the rest the administrator's.
 * idempotency.test.ts says when an operation is missing. */
export function idempotentCases(shop: Shop, actors: { customer: Client; buyer: Client }): Record<string, () => Promise<Case>> {
    const admin = shop.admin.client;
    const count = (table: string) => async () => Number(shop.server.sql(`SELECT COUNT(*) AS n FROM ${table}`)[0]!.n);
    const order = async () => shop.order(shop.guest, await shop.product());
    const moved = async (...steps: string[]) => {
        const placed = await order();
        for (const step of steps) await shop.act(placed, step, step === "payments" ? { amount: placed.total } : undefined);
        return placed;
    };
    const action = (name: string, body: Json, other: Json, ...steps: string[]) => async (): Promise<Case> =>
        ({ client: admin, path: `/orders/${(await moved(...steps)).id}/${name}`, body, other, count: count("order_events") });

    return {
        categoryCreate: async () => ({ client: admin, path: "/categories", body: { name: unique("C") }, other: { name: unique("D") }, count: count("categories") }),
        productCreate: async () => ({ client: admin, path: "/products", body: { name: unique("P"), price: usd(1) }, other: { name: "Q", price: usd(1) }, count: count("products") }),
        variantCreate: async () => {
            const product = await shop.product({ stock: undefined, options: [{ name: "Size", values: ["S", "M", "L"] }], variants: [{ options: { Size: "S" } }] });
            return { client: admin, path: `/products/${product.id}/variants`, body: { options: { Size: "M" } }, other: { options: { Size: "L" } }, count: count("variants") };
        },
        stockAdjust: async () => {
            const product = await shop.product();
            return { client: admin, path: `/products/${product.id}/variants/${product.variants[0].id}/stock-adjustments`, body: { delta: 1 }, other: { delta: 2 }, count: count("stock_movements") };
        },
        cartItemAdd: async () => {
            const [product, cart] = [await shop.product(), await createCart(actors.buyer)];
            return { client: actors.buyer, path: `/cart/${cart.id}/items`, body: { productId: product.id, quantity: 1 }, other: { productId: product.id, quantity: 2 }, count: count("cart_lines") };
        },
        checkoutCreate: async () => {
            const cart = await shop.cartOf(actors.buyer, { productId: (await shop.product()).id, quantity: 1 });
            return { client: actors.buyer, path: `/checkout/${cart.id}`, body: checkoutBody(), other: checkoutBody({ email: "b@example.com" }), count: count("orders") };
        },
        addressCreate: async () => ({ client: actors.customer, path: "/users/me/addresses", body: address(), other: address({ city: "Paris" }), count: count("addresses") }),
        roleCreate: async () => ({
            client: admin, path: "/roles", body: { name: unique("role-"), scopes: ["orders:read"] }, other: { name: unique("role-"), scopes: ["orders:read"] }, count: count("roles"),
        }),
        planCreate: async () => ({ client: admin, path: "/plans", body: { name: unique("plan-") }, other: { name: unique("plan-") }, count: count("plans") }),
        orderConfirm: action("confirm", { note: "a" }, { note: "b" }),
        orderProcess: action("process", { note: "a" }, { note: "b" }, "confirm"),
        orderShip: action("ship", { carrier: "a" }, { carrier: "b" }, "confirm"),
        orderDeliver: action("deliver", { note: "a" }, { note: "b" }, "confirm", "ship"),
        orderCancel: async () => {
            const placed = await shop.order(actors.customer, await shop.product());
            return { client: actors.customer, path: `/orders/${placed.id}/cancel`, body: { reason: "a" }, other: { reason: "b" }, count: count("order_events") };
        },
        orderPaymentRecord: action("payments", { amount: usd(5) }, { amount: usd(6) }),
        orderRefund: action("refunds", { amount: usd(5) }, { amount: usd(6) }, "payments", "confirm", "ship", "deliver"),
    };
}
