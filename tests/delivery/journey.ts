// What a test asks of a shop in another network than its own: a program, to be run inside that network.
//     journey.ts URL order                     a guest buys the first thing in stock; prints the order's number
//     journey.ts URL orders EMAIL PASSWORD     prints the number of every order, as an administrator sees them
import { Client, ok } from "../support/client.ts";
import { checkoutBody, everyPage } from "../support/shop.ts";

const [url = "", what = "", email = "", password = ""] = process.argv.slice(2);
const client = new Client(url);

async function order(): Promise<string> {
    const [product] = ok(await client.get("/products?inStock=true&limit=1"));
    const cart = ok(await client.post("/cart", {}), 201);
    const variant = product.variants.find((one: { available: number | null }) => one.available !== 0);
    ok(await client.post(`/cart/${cart.id}/items`, { variantId: variant.id, quantity: 1 }), 201);
    return ok(await client.post(`/checkout/${cart.id}`, checkoutBody()), 201).orderNumber;
}

async function orders(): Promise<string> {
    const session = ok(await client.post("/auth/login", { email, password }));
    const admin = new Client(url, session.accessToken);
    return (await everyPage(admin, "/orders", { limit: 100 })).map((one) => one.orderNumber).join("\n");
}

console.log(await (what === "order" ? order() : orders()));
