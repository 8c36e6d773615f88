// What is asked: files of prepared requests as tests/bench/load.c reads them, and the choice of products.
import { writeFileSync } from "node:fs";

const HEAD = "Host: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: application/json\r\n";

const lines = (headers: Record<string, string>) => Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("");

export function get(target: string, headers: Record<string, string> = {}): string {
    return `GET ${target} HTTP/1.1\r\n${HEAD}${lines(headers)}\r\n`;
}

export function post(target: string, body: unknown, headers: Record<string, string> = {}): string {
    const text = JSON.stringify(body);
    return `POST ${target} HTTP/1.1\r\n${HEAD}${lines(headers)}Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
}

export function writeRequests(file: string, requests: string[]): string {
    writeFileSync(file, requests.map((request) => `${Buffer.byteLength(request)}\n${request}`).join(""));
    return file;
}

/** Numbers from 0 to 1 that are the same in every run (mulberry32). */
export function randomNumbers(seed: number): () => number {
    let state = seed;
    return () => {
        state = (state + 0x6d2b79f5) | 0;
        let mixed = Math.imul(state ^ (state >>> 15), state | 1);
        mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
        return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
}

export function shuffled<T>(list: T[], random: () => number): T[] {
    const result = [...list];
    for (let i = result.length - 1; i > 0; i--) {
        const j = Math.floor(random() * (i + 1));
        [result[i], result[j]] = [result[j]!, result[i]!];
    }
    return result;
}

/** Picks as shoppers do: the n-th most popular is bought 1/n as often as the first (Zipf). */
export function popular<T>(list: T[], random: () => number): () => T {
    const sums = new Float64Array(list.length);
    let sum = 0;
    for (let i = 0; i < list.length; i++) sums[i] = sum += 1 / (i + 1);
    return () => {
        const wanted = random() * sum;
        let low = 0;
        let high = list.length - 1;
        while (low < high) {
            const middle = (low + high) >> 1;
            if (sums[middle]! < wanted) low = middle + 1;
            else high = middle;
        }
        return list[low]!;
    };
}

export function evenly<T>(list: T[], random: () => number): () => T {
    return () => list[Math.floor(random() * list.length)]!;
}

export const checkoutBody = {
    email: "amina.haddad@example.com",
    shippingAddress: {
        firstName: "Amina", lastName: "Haddad", address1: "12 Rue des Lilas", address2: "Bâtiment C", city: "Lyon", zip: "69003",
        country: "FR", phone: "+33 4 72 00 00 00",
    },
    payment: { method: "manual" },
};
