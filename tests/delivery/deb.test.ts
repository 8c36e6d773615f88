// make deb-test: the Debian package in a clean Debian under its own systemd: installed with its dependencies, started, hardened, sold
// from, upgraded with a migration, rolled back by either way, removed. Needs root and downloads a Debian, so make test leaves it out.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { root } from "../support/paths.ts";
import { eventually } from "../support/processes.ts";
import { Machine, baseMachine, good, whyNot } from "./machine.ts";

const BUILD_MS = 1_800_000;
const SERVICE_MS = 180_000;
const URL = "http://127.0.0.1:8080";
const ADMIN = { email: "admin@example.com", password: "the password of the delivery" };
const SCORE_MAX = 20; // of systemd-analyze security, in tenths: 0 is shut, 100 wide open

const script = (name: string, env: Record<string, string>, ...args: string[]) =>
    execFileSync(path.join(root, "scripts", name), args, { cwd: root, env: { ...process.env, ...env }, encoding: "utf8", timeout: BUILD_MS });

/** The same sources with one more migration: what the next release will be to this one. Answers where its binary is. */
function buildNext(): string {
    const sources = path.join(root, "build/deb/next");
    for (const name of ["src", "db"]) rmSync(path.join(sources, name), { recursive: true, force: true });
    mkdirSync(sources, { recursive: true });
    for (const name of ["CMakeLists.txt", "CMakePresets.json", "cmake", "src", "db"]) cpSync(path.join(root, name), path.join(sources, name), { recursive: true });
    const newest = readdirSync(path.join(root, "db/migrations")).map((name) => Number(/^(\d{4})_/.exec(name)?.[1] ?? 0)).sort((a, b) => a - b).at(-1)!;
    const name = `${String(newest + 1).padStart(4, "0")}_next_release`;
    writeFileSync(path.join(sources, "db/migrations", `${name}.up.sql`), "CREATE TABLE next_release (\n    note text NOT NULL -- of the test of upgrades\n);\n");
    writeFileSync(path.join(sources, "db/migrations", `${name}.down.sql`), "DROP TABLE next_release;\n");
    execFileSync("cmake", ["--preset", "release"], { cwd: sources, timeout: BUILD_MS, stdio: "pipe" });
    execFileSync("cmake", ["--build", "build/release"], { cwd: sources, timeout: BUILD_MS, stdio: "pipe" });
    return path.join(sources, "build/release/souk");
}

const version = (binary: string) => Number(/schema (\d+)/.exec(execFileSync(binary, ["version"], { encoding: "utf8" }))![1]);
const fileOf = (output: string) => /^dist\/\S+\.deb/m.exec(output)![0];

describe("the Debian package", { skip: whyNot() ?? false, timeout: 2 * BUILD_MS }, () => {
    let machine: Machine;
    let schema = 0;
    const orders: string[] = [];

    const near = (...args: string[]) => good(machine.near(process.execPath, "--import", "tsx", path.join(root, "tests/delivery/journey.ts"), URL, ...args)).stdout.trim();
    const buy = () => { orders.push(near("order")); };
    const known = () => near("orders", ADMIN.email, ADMIN.password).split("\n").sort();
    const knowsAll = () => { // besides those of the sample shop
        const all = known();
        for (const number of orders) assert.ok(all.includes(number), `${number} is lost`);
    };
    const active = () => machine.run("systemctl", "is-active", "souk").stdout.trim();
    const property = (name: string) => good(machine.run("systemctl", "show", "-P", name, "souk")).stdout.trim();
    const schemaNow = () => Number(/is at version (\d+)/.exec(good(machine.run("soukctl", "migrate", "status")).stdout)![1]);
    const apt = (file: string) => machine.run("apt-get", "install", "-y", "-q", "--allow-downgrades", "--no-install-recommends", file);
    const serves = () => eventually("souk is ready", () => machine.run("soukctl", "health").code === 0, SERVICE_MS);
    const backups = () => good(machine.run("ls", "/var/lib/souk/backups")).stdout.split("\n").filter((name) => name !== "");

    before(() => {
        const base = baseMachine("systemd", ["systemd", "systemd-sysv", "dbus", "ca-certificates"]);
        script("build", {}, "release");
        const next = buildNext();
        schema = version(path.join(root, "build/release/souk"));
        assert.equal(version(next), schema + 1);
        const now = fileOf(script("deb", { SOUK_DEB_VERSION: "1.0.0" }));
        const later = fileOf(script("deb", { SOUK_DEB_VERSION: "1.1.0", SOUK_DEB_BINARY: next }));
        machine = new Machine(base);
        copyFileSync(path.join(root, now), path.join(machine.root, "root/souk-1.0.0.deb"));
        copyFileSync(path.join(root, later), path.join(machine.root, "root/souk-1.1.0.deb"));
        for (const file of [now, later]) rmSync(path.join(root, file));
    });
    after(() => machine?.dispose());

    test("installs with its dependencies where no service manager runs, and starts at the next boot", async () => {
        good(machine.install("apt-get", "install", "-y", "--no-install-recommends", "/root/souk-1.0.0.deb", "nginx-light", "openssl"));
        assert.equal(good(machine.install("stat", "-c", "%U:%G %a", "/etc/souk", "/etc/souk/souk.env", "/var/lib/souk")).stdout,
            "root:souk 750\nroot:souk 640\nsouk:souk 750\n");
        await machine.boot();
        await serves();
        assert.equal(active(), "active");
        assert.deepEqual([property("User"), property("Type"), property("StatusErrno")], ["souk", "notify", "0"]);
        assert.deepEqual(good(machine.run("stat", "-c", "%U %a", "/var/lib/souk/secret", "/var/lib/souk/souk.db")).stdout, "souk 600\nsouk 600\n");
    });

    test("sells", () => {
        good(machine.run("soukctl", "seed"));
        good(machine.runWith(`${ADMIN.password}\n`, "soukctl", "user", "create", "--email", ADMIN.email, "--role", "admin", "--password-stdin"));
        buy();
        knowsAll();
    });

    test("is shut in as the unit says, and systemd finds it so", () => {
        const status = readFileSync(`/proc/${machine.hostPid(Number(property("MainPID")))}/status`, "utf8");
        const field = (name: string) => new RegExp(`^${name}:\\s+(\\S+)`, "m").exec(status)![1];
        assert.deepEqual(["NoNewPrivs", "Seccomp", "CapEff", "CapBnd"].map(field), ["1", "2", "0000000000000000", "0000000000000000"]);
        good(machine.run("systemd-analyze", "security", `--threshold=${SCORE_MAX}`, "souk.service"));
    });

    test("comes back when it is killed, and not when a setting is wrong", async () => {
        const pid = property("MainPID");
        good(machine.run("sh", "-c", `kill -9 ${pid}`));
        await eventually("it runs again", () => active() === "active" && property("MainPID") !== pid, SERVICE_MS);
        assert.equal(property("NRestarts"), "1");
        good(machine.run("sh", "-c", "echo SOUK_WORKERS=none >> /etc/souk/souk.env"));
        assert.notEqual(machine.run("systemctl", "restart", "souk").code, 0);
        assert.equal(active(), "failed");
        assert.match(good(machine.run("journalctl", "-u", "souk", "-n", "20", "--no-pager")).stdout, /SOUK_WORKERS/);
        good(machine.run("sed", "-i", "/^SOUK_WORKERS/d", "/etc/souk/souk.env"));
        good(machine.run("systemctl", "restart", "souk"));
    });

    test("behind nginx as its example says: TLS, HTTP/2, the client's own address", async () => {
        good(machine.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=shop.example.com",
            "-keyout", "/etc/ssl/private/shop.example.com.key", "-out", "/etc/ssl/certs/shop.example.com.pem"));
        good(machine.run("cp", "/usr/share/doc/souk/examples/nginx.conf", "/etc/nginx/conf.d/souk.conf"));
        good(machine.run("nginx", "-t"));
        good(machine.run("sh", "-c", "echo SOUK_TRUSTED_PROXIES=127.0.0.1 >> /etc/souk/souk.env; echo SOUK_PUBLIC_URL=https://shop.example.com >> /etc/souk/souk.env"));
        good(machine.run("systemctl", "restart", "souk", "nginx"));
        good(machine.near("ip", "address", "add", "192.0.2.7/32", "dev", "lo"));
        const ask = (...args: string[]) => good(machine.near("curl", "-sSk", "--max-time", "10", "--resolve", "shop.example.com:443:127.0.0.1",
            "--resolve", "shop.example.com:80:127.0.0.1", "--interface", "192.0.2.7", ...args)).stdout;
        assert.equal(ask("--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", "https://shop.example.com/products?limit=1"), "2 200");
        assert.equal(ask("-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", "http://shop.example.com/products"), "308 https://shop.example.com/products");
        assert.match(ask("-D", "-", "-o", "/dev/null", "https://shop.example.com/categories"), /strict-transport-security/i);
        await eventually("the log names the client", () =>
            machine.run("journalctl", "-u", "souk", "-o", "cat", "--no-pager").stdout.includes("192.0.2.7"), SERVICE_MS);
        // What holds no port that is open to others is its own: nothing about this shop is told to the world by /metrics.
        assert.match(ask("-o", "/dev/null", "-w", "%{http_code}", "https://shop.example.com/metrics"), /^40[134]$/);
    });

    test("an upgrade whose backup fails does not happen", () => {
        // A full disk.
        good(machine.run("mount", "-t", "tmpfs", "-o", "size=64k,mode=0750,uid=souk,gid=souk", "tmpfs", "/var/lib/souk/backups"));
        const result = apt("/root/souk-1.1.0.deb");
        assert.notEqual(result.code, 0);
        assert.match(result.stdout, /nothing is upgraded/);
        assert.deepEqual(backups(), [], "no half of a copy");
        good(machine.run("umount", "/var/lib/souk/backups"));
        assert.match(good(machine.run("dpkg", "-s", "souk")).stdout, /^Status: install ok installed\n(.*\n)*Version: 1\.0\.0$/m);
        assert.equal(active(), "active");
    });

    test("an upgrade backs up, migrates, and keeps the settings", async () => {
        good(apt("/root/souk-1.1.0.deb"));
        await serves();
        assert.equal(schemaNow(), schema + 1);
        assert.match(backups().join(), /^upgrade-\d{8}T\d{6}Z-from-1\.0\.0\.db$/);
        good(machine.run("grep", "-q", "SOUK_TRUSTED_PROXIES=127.0.0.1", "/etc/souk/souk.env"));
        buy();
        knowsAll();
    });

    test("rolls back with everything that was sold since: migrate down, then the older package", async () => {
        // The wrong order is refused by the service, which says why; nothing is lost by it.
        good(apt("/root/souk-1.0.0.deb"));
        await eventually("the older souk refuses the newer schema", () =>
            /newer|schema/i.test(machine.run("journalctl", "-u", "souk", "-n", "30", "-o", "cat", "--no-pager").stdout) && active() !== "active", SERVICE_MS);
        good(apt("/root/souk-1.1.0.deb"));
        await serves();

        const older = Number(good(machine.run("dpkg-deb", "-f", "/root/souk-1.0.0.deb", "Souk-Schema")).stdout);
        assert.equal(older, schema);
        good(machine.run("systemctl", "stop", "souk"));
        good(machine.run("soukctl", "migrate", "down", String(schemaNow() - older), "--yes"));
        good(apt("/root/souk-1.0.0.deb"));
        await serves();
        assert.equal(schemaNow(), schema);
        knowsAll();
        buy();
    });

    test("or to the moment before the upgrade, by the backup that it made", async () => {
        const before = known();
        good(apt("/root/souk-1.1.0.deb"));
        await serves();
        const copy = backups().sort().at(-1)!;
        near("order"); // lost, as documented
        good(machine.run("systemctl", "stop", "souk"));
        good(machine.run("soukctl", "restore", `/var/lib/souk/backups/${copy}`, "--yes"));
        good(apt("/root/souk-1.0.0.deb"));
        await serves();
        assert.equal(schemaNow(), schema);
        assert.deepEqual(known(), before);
    });

    test("keeps the last three copies", () => {
        assert.ok(backups().length <= 3, backups().join());
    });

    test("goes when it is removed, and leaves the shop", async () => {
        good(machine.run("apt-get", "remove", "-y", "souk"));
        assert.notEqual(active(), "active");
        good(machine.run("test", "-f", "/etc/souk/souk.env"));
        good(apt("/root/souk-1.0.0.deb"));
        await serves();
        assert.ok(known().length > 0);
        good(machine.run("apt-get", "purge", "-y", "souk"));
        assert.notEqual(machine.run("test", "-e", "/etc/souk/souk.env").code, 0);
        good(machine.run("test", "-f", "/var/lib/souk/souk.db"));
    });
});
