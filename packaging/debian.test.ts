// The unit is one by systemd's own check and shut in, nginx takes the example, the scripts are shell, and what the package says of
// settings and commands is so. That it installs, upgrades and rolls back: make deb-test.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { binary, root } from "../tests/support/paths.ts";
import { temporaryFolder } from "../tests/support/processes.ts";

const SCORE_MAX = 20; // of systemd-analyze security, in tenths: 0 is shut, 100 wide open
const read = (name: string) => readFileSync(path.join(root, name), "utf8");

function run(command: string, args: string[], env: Record<string, string> = {}): string {
    const result = spawnSync(command, args, { encoding: "utf8", timeout: 240_000, env: { ...process.env, LC_ALL: "C.UTF-8", ...env } });
    if (result.error) throw result.error;
    assert.equal(result.status, 0, `${command} ${args.join(" ")}\n${result.stdout}\n${result.stderr}`);
    return `${result.stdout}${result.stderr}`;
}

/** A root folder in which nothing is but the unit and something where its program will be. */
function rootWithUnit(unit: string): { folder: string; release: () => void } {
    const made = temporaryFolder();
    const at = (name: string) => path.join(made.folder, name);
    for (const name of ["usr/bin", "etc/systemd/system", "usr/lib/systemd/system"]) mkdirSync(at(name), { recursive: true });
    copyFileSync("/bin/true", at("usr/bin/souk"));
    cpSync("/usr/lib/systemd/system", at("usr/lib/systemd/system"), { recursive: true, dereference: false });
    writeFileSync(at("etc/systemd/system/souk.service"), unit);
    return made;
}

test("systemd takes every line of the unit", () => {
    const { folder, release } = rootWithUnit(read("packaging/debian/souk.service"));
    try {
        assert.equal(run("systemd-analyze", ["verify", "--man=no", "--recursive-errors=no", `--root=${folder}`, "souk.service"]).trim(), "");
        const wrong = spawnSync("systemd-analyze", ["verify", "--man=no", "--recursive-errors=no", `--root=${rootWithUnit("[Service]\nExecStart=/usr/bin/nothing\n").folder}`, "souk.service"]);
        assert.notEqual(wrong.status, 0, "the check sees a program that is not there");
    } finally {
        release();
    }
});

test("the service is shut in", () => {
    run("systemd-analyze", ["security", "--offline=true", `--threshold=${SCORE_MAX}`, "--no-pager", path.join(root, "packaging/debian/souk.service")]);
});

test("nginx takes the example, once it has a certificate", () => {
    const { folder, release } = temporaryFolder();
    try {
        const key = path.join(folder, "key.pem");
        const certificate = path.join(folder, "certificate.pem");
        execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=shop.example.com", "-keyout", key, "-out", certificate], { stdio: "pipe" });
        const example = read("packaging/nginx/souk.conf").replace(/ssl_certificate .*;/, `ssl_certificate ${certificate};`).replace(/ssl_certificate_key .*;/, `ssl_certificate_key ${key};`)
            .replaceAll(/listen (\[::\]:)?(80|443)\b/g, (_, v6: string | undefined, port: string) => `listen ${v6 ? "[::1]:" : "127.0.0.1:"}${Number(port) + 20_000}`);
        writeFileSync(path.join(folder, "souk.conf"), example);
        writeFileSync(path.join(folder, "nginx.conf"), `pid ${folder}/pid; events {} http { include ${folder}/souk.conf;
            ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`).join(" ")} }`);
        assert.match(run("nginx", ["-t", "-q", "-e", path.join(folder, "log"), "-p", folder, "-c", path.join(folder, "nginx.conf")]) || "good", /^good$/);
        writeFileSync(path.join(folder, "souk.conf"), example.replace("proxy_http_version", "proxy_http_versionn"));
        assert.notEqual(spawnSync("nginx", ["-t", "-q", "-e", path.join(folder, "log"), "-p", folder, "-c", path.join(folder, "nginx.conf")]).status, 0);
    } finally {
        release();
    }
});

test("the package is made of any binary: its settings are taken, its pages are read, the same bytes twice", () => {
    const env = { SOUK_DEB_BINARY: binary, SOUK_DEB_VERSION: "0.0.0~test", SOURCE_DATE_EPOCH: "1700000000" };
    const file = path.join(root, /^dist\/\S+/.exec(run(path.join(root, "scripts/deb"), [], env))![0]);
    const first = readFileSync(file);
    run(path.join(root, "scripts/deb"), [], env);
    assert.ok(first.equals(readFileSync(file)), "the same bytes twice");
    const { folder, release } = temporaryFolder();
    try {
        run("dpkg-deb", ["-R", file, folder]);
        for (const name of ["preinst", "postinst", "prerm", "postrm"]) run("sh", ["-n", path.join(folder, "DEBIAN", name)]);
        run("sh", ["-n", path.join(folder, "usr/sbin/soukctl")]);
        run("bash", ["-n", path.join(folder, "usr/share/bash-completion/completions/souk")]);
        const complete = (...words: string[]) => run("bash", ["-c", `. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _souk; echo "\${COMPREPLY[@]}"`,
            "bash", path.join(folder, "usr/share/bash-completion/completions/souk"), ...words]).trim();
        assert.equal(complete("souk", "migrate", ""), "up down status reset");
        assert.match(complete("soukctl", "user", "create", "--pass"), /^--password-stdin$/);
        assert.match(complete("souk", "ser"), /^serve$/);
        // The settings file as it is shipped, read by the souk that is shipped.
        const settings = path.join(folder, "etc/souk");
        chmodSync(path.join(settings, "souk.env"), 0o600);
        const shown = execFileSync(path.join(folder, "usr/bin/souk"), ["config"], { cwd: settings, env: {}, encoding: "utf8" });
        assert.match(shown, /^SOUK_DATA, --data = \/var\/lib\/souk /m);
        assert.match(shown, /^DATABASE_URL = sqlite:\/var\/lib\/souk\/souk\.db /m);
        const control = readFileSync(path.join(folder, "DEBIAN/control"), "utf8");
        assert.match(control, /^Depends: .*libsqlite3-0 \(>= /m);
        assert.match(control, new RegExp(`^Souk-Schema: ${/schema (\d+)/.exec(execFileSync(binary, ["version"], { encoding: "utf8" }))![1]}$`, "m"));
    } finally {
        release();
    }
});
