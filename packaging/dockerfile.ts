// Reads a Dockerfile and .dockerignore, as far as ours go; what it does not know it refuses, so that no check passes over a line.
import path from "node:path";

export type Instruction =
    | { kind: "RUN"; command: string }
    | { kind: "COPY"; from: string | undefined; sources: string[]; target: string }
    | { kind: "ENV"; values: Record<string, string> }
    | { kind: "USER"; user: string }
    | { kind: "WORKDIR"; folder: string };

export interface Stage { name: string | undefined; base: string; instructions: Instruction[] }

/** What the last stage says of the container that is made of it. */
export interface Image {
    stages: Stage[];
    env: Record<string, string>;
    user: string;
    workdir: string;
    volumes: string[];
    ports: string[];
    stopSignal: string;
    healthcheck: { command: string[]; options: Record<string, string> };
    entrypoint: string[];
    command: string[];
}

/** Instructions without comments, with continued lines joined. */
function linesOf(text: string): string[] {
    const lines: string[] = [];
    let open = "";
    for (const raw of text.split("\n")) {
        if (/^\s*#/.test(raw) || (open === "" && raw.trim() === "")) continue;
        const line = open + raw.trim();
        if (line.endsWith("\\")) open = `${line.slice(0, -1).trimEnd()} `;
        else {
            lines.push(line);
            open = "";
        }
    }
    if (open !== "") throw new Error(`Dockerfile: the last line goes on: ${open}`);
    return lines;
}

const wordsOf = (rest: string) => rest.split(/\s+/).filter((word) => word !== "");

function listOf(rest: string, what: string): string[] {
    const value: unknown = JSON.parse(rest);
    if (!Array.isArray(value) || !value.every((word) => typeof word === "string")) throw new Error(`Dockerfile: ${what} must be a list of words`);
    return value;
}

function copyOf(rest: string): Instruction {
    const words = wordsOf(rest);
    const flags = words.filter((word) => word.startsWith("--"));
    const plain = words.filter((word) => !word.startsWith("--"));
    const from = flags.map((flag) => /^--from=(.+)$/.exec(flag)?.[1]);
    if (plain.length < 2 || from.includes(undefined)) throw new Error(`Dockerfile: COPY ${rest}`);
    return { kind: "COPY", from: from[0], sources: plain.slice(0, -1), target: plain.at(-1)! };
}

export function parseDockerfile(text: string): Image {
    const image: Image = {
        stages: [], env: {}, user: "root", workdir: "/", volumes: [], ports: [], stopSignal: "SIGTERM",
        healthcheck: { command: [], options: {} }, entrypoint: [], command: [],
    };
    for (const line of linesOf(text)) {
        const [, word = "", rest = ""] = /^([A-Z]+)\s+(.*)$/s.exec(line) ?? [];
        const stage = image.stages.at(-1);
        if (word === "FROM") {
            const [, base, name] = /^(\S+)(?:\s+AS\s+(\S+))?$/i.exec(rest) ?? [];
            if (base === undefined) throw new Error(`Dockerfile: FROM ${rest}`);
            image.stages.push({ base, name, instructions: [] });
            Object.assign(image, { env: {}, user: "root", workdir: "/" });
            continue;
        }
        if (!stage) throw new Error(`Dockerfile: ${word} before FROM`);
        switch (word) {
            case "RUN":
                stage.instructions.push({ kind: "RUN", command: rest });
                break;
            case "COPY":
                stage.instructions.push(copyOf(rest));
                break;
            case "ENV": {
                const values = Object.fromEntries(wordsOf(rest).map((pair) => {
                    const [, name, value] = /^(\w+)=([^"'$]*)$/.exec(pair) ?? [];
                    if (name === undefined) throw new Error(`Dockerfile: ENV ${rest}`);
                    return [name, value ?? ""];
                }));
                stage.instructions.push({ kind: "ENV", values });
                Object.assign(image.env, values);
                break;
            }
            case "USER":
                stage.instructions.push({ kind: "USER", user: rest });
                image.user = rest;
                break;
            case "WORKDIR":
                stage.instructions.push({ kind: "WORKDIR", folder: rest });
                image.workdir = rest;
                break;
            case "VOLUME":
                image.volumes.push(...wordsOf(rest));
                break;
            case "EXPOSE":
                image.ports.push(...wordsOf(rest));
                break;
            case "STOPSIGNAL":
                image.stopSignal = rest;
                break;
            case "HEALTHCHECK": {
                const [, options = "", command = ""] = /^((?:--\S+\s+)*)CMD\s+(.*)$/.exec(rest) ?? [];
                image.healthcheck = {
                    command: listOf(command, "HEALTHCHECK's command"),
                    options: Object.fromEntries(wordsOf(options).map((option) => option.replace(/^--/, "").split("=") as [string, string])),
                };
                break;
            }
            case "ENTRYPOINT":
                image.entrypoint = listOf(rest, word);
                break;
            case "CMD":
                image.command = listOf(rest, word);
                break;
            default:
                throw new Error(`Dockerfile: ${word} is not known here`);
        }
    }
    if (image.stages.length === 0) throw new Error("Dockerfile: there is no FROM");
    return image;
}

/** Whether .dockerignore keeps a file out of the build. Its patterns are plain paths, `*`, and either with `!` before it. */
export function ignores(ignoreText: string, file: string): boolean {
    let out = false;
    for (const raw of ignoreText.split("\n").map((line) => line.trim())) {
        if (raw === "" || raw.startsWith("#")) continue;
        const isBack = raw.startsWith("!");
        const pattern = path.normalize(isBack ? raw.slice(1) : raw);
        if (/[?[\]]|\*./.test(pattern)) throw new Error(`.dockerignore: ${raw} is not known here`);
        if (pattern === "*" || file === pattern || file.startsWith(`${pattern}/`)) out = !isBack;
    }
    return out;
}
