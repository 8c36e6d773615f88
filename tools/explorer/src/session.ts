// Who is logged in. The tokens live in these variables and nowhere else: reloading the page forgets them.
import { h, replace } from "./dom.ts";

interface Session {
    accessToken: string;
    refreshToken: string | null;
    expiresIn: number;
    user: { email: string; role: string };
}

let session: Session | undefined;
let expiresAt = 0;
let showCorner = (): void => undefined;
let showPage = (): void => undefined;

const RENEW_BEFORE_MS = 30_000;

function set(next: Session | undefined): void {
    session = next;
    expiresAt = next ? Date.now() + next.expiresIn * 1000 : 0;
    showCorner();
    showPage();
}

/** Called when somebody logs in or out, until another page is shown. */
export const onSession = (listener: () => void): void => { showPage = listener; };
export const sessionUser = (): Session["user"] | undefined => session?.user;

async function post(path: string, body: unknown): Promise<Response> {
    return fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

/** Takes a Session that an operation answered. */
export function adopt(data: unknown): boolean {
    const one = data as Partial<Session> | null;
    if (typeof one?.accessToken !== "string" || !one.user) return false;
    set(one as Session);
    return true;
}

/** The access token, renewed when it is about to end; undefined when nobody is logged in. */
export async function accessToken(): Promise<string | undefined> {
    if (session?.refreshToken && Date.now() > expiresAt - RENEW_BEFORE_MS) {
        const reply = await post("/auth/refresh", { refreshToken: session.refreshToken });
        set(reply.ok ? (await reply.json() as { data: Session }).data : undefined);
    }
    return session?.accessToken;
}

/** Forgets the session, here and on the server. */
async function logOut(): Promise<void> {
    const refreshToken = session?.refreshToken;
    set(undefined);
    if (refreshToken) await post("/auth/logout", { refreshToken }).catch(() => undefined);
}

async function logIn(email: string, password: string): Promise<string | undefined> {
    try {
        const reply = await post("/auth/login", { email, password });
        const body = await reply.json() as { data?: unknown; detail?: string };
        if (!reply.ok) return body.detail ?? `The server answered ${reply.status}.`;
        return adopt(body.data) ? undefined : "The reply holds no token.";
    } catch {
        return "The server cannot be reached.";
    }
}

function logInDialog(): HTMLDialogElement {
    const email = h("input", { type: "email", required: true, autocomplete: "username", name: "email" });
    const password = h("input", { type: "password", required: true, autocomplete: "current-password", name: "password" });
    const complaint = h("p", { className: "complaint", attributes: { role: "alert" } });
    const send = h("button", { className: "primary" }, "Log in");
    const cancel = h("button", { type: "button" }, "Cancel");
    const form = h("form", {},
        h("h2", { id: "login-title" }, "Log in"),
        h("p", { className: "hint" }, "The token is kept in this page's memory only. Reloading forgets it."),
        h("label", {}, "Email address", email),
        h("label", {}, "Password", password),
        complaint,
        h("div", { className: "actions" }, send, cancel));
    const dialog = h("dialog", { attributes: { "aria-labelledby": "login-title" } }, form);
    cancel.onclick = () => dialog.close();
    form.onsubmit = async (event) => {
        event.preventDefault();
        send.disabled = true;
        complaint.textContent = await logIn(email.value, password.value) ?? "";
        send.disabled = false;
        if (complaint.textContent !== "") return;
        password.value = "";
        dialog.close();
    };
    return dialog;
}

/** The button in the corner, and the form behind it. */
export function sessionCorner(): HTMLElement {
    const dialog = logInDialog();
    const corner = h("div", { className: "corner" });
    showCorner = () => {
        const user = sessionUser();
        if (!user) {
            replace(corner, h("button", { type: "button", className: "primary", onclick: () => dialog.showModal() }, "Log in"), dialog);
            return;
        }
        replace(corner,
            h("span", { className: "who", title: user.email }, h("span", { className: "email" }, user.email), h("span", { className: "role" }, user.role)),
            h("button", { type: "button", onclick: () => void logOut() }, "Log out"), dialog);
    };
    showCorner();
    return corner;
}
