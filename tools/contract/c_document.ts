// src/contract/openapi_document.{h,c}: the contract itself, for GET /openapi.json.
import type { Document } from "./openapi.ts";
import { banner, literal } from "./c_text.ts";

const LINE_CHARACTERS = 110;

/** The document without what only the gateway needs to know. */
export function publicDocument(document: Document): unknown {
    const strip = (value: unknown): unknown => {
        if (Array.isArray(value)) return value.map(strip);
        if (value === null || typeof value !== "object") return value;
        return Object.fromEntries(
            Object.entries(value).flatMap(([key, inner]) => (key === "x-souk" ? [] : [[key, strip(inner)]])),
        );
    };
    return strip(document);
}

export function documentHeader(): string {
    return `${banner("The contract as JSON, for GET /openapi.json.")}#pragma once

#include "base/slice.h"

extern const struct slice openapi_document;
`;
}

export function documentSource(document: Document): string {
    const text = JSON.stringify(publicDocument(document));
    const characters = [...text]; // by code point: a line never ends inside one
    const lines: string[] = [];
    for (let start = 0; start < characters.length; start += LINE_CHARACTERS) {
        lines.push(`    ${literal(characters.slice(start, start + LINE_CHARACTERS).join(""))}`);
    }
    return `${banner("The bytes of openapi_document.h.")}#include "contract/openapi_document.h"

static const char document[] =
${lines.join("\n")};

const struct slice openapi_document = {document, sizeof(document) - 1};
`;
}
