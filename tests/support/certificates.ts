// An authority of our own with a certificate for 127.0.0.1, made by openssl, for services that speak TLS.
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, readFileSync } from "node:fs";
import path from "node:path";
import type { User } from "./processes.ts";

export interface Certificates {
    authority: string;    // files
    certificate: string;
    key: string;
    authorityText: string;
}

/** Leaves authority.pem, server.pem and server.key in the folder; the key is for `owner` alone, or for us. */
export function makeCertificates(folder: string, owner?: User): Certificates {
    const at = (name: string) => path.join(folder, name);
    const make = (subject: string, name: string, extra: string[]) => execFileSync("openssl", [
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", `/CN=${subject}`,
        "-keyout", at(`${name}.key`), "-out", at(`${name}.pem`), ...extra,
    ], { stdio: ["ignore", "ignore", "pipe"] });
    make("souk test authority", "authority", []);
    make("127.0.0.1", "server", ["-CA", at("authority.pem"), "-CAkey", at("authority.key"),
        "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]);
    chmodSync(at("server.key"), 0o600);
    if (owner) chownSync(at("server.key"), owner.uid, owner.gid);
    return {
        authority: at("authority.pem"), certificate: at("server.pem"), key: at("server.key"),
        authorityText: readFileSync(at("authority.pem"), "utf8"),
    };
}
