// Asks the server, and holds the token: it comes in the link once, stays in this tab, and is taken out of the address.

import { byId, el, put } from "./dom.js";

const KEY = "headrace-token";
let token = "";

/** Take the token out of the address. */
export function takeToken() {
  const address = new URL(location.href);
  const given = address.searchParams.get("token");
  if (given !== null) {
    keep(given);
    address.searchParams.delete("token");
    history.replaceState(null, "", address);
  }
  try {
    token = sessionStorage.getItem(KEY) ?? token;
  } catch {
    // a browser that keeps nothing: the token lasts as long as the page
  }
}

function keep(given) {
  token = given;
  try {
    sessionStorage.setItem(KEY, given);
  } catch {
    // as above
  }
}

/** Return the JSON of an answer. */
export async function ask(path, method = "GET") {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const answer = await fetch(`api/v1/${path}`, { method, headers });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    throw new Error([body.error ?? `the server said ${answer.status}`, body.hint].filter(Boolean).join("; "));
  }
  return body;
}

let quiet = 0;
/** Say what was done, in a line that goes away. */
export function say(text, isError = false) {
  const toast = byId("toast");
  put(toast, text);
  toast.className = isError ? "shown stop" : "shown";
  clearTimeout(quiet);
  quiet = setTimeout(() => (toast.className = ""), isError ? 8000 : 4000);
}

/** Do something, and say how it went; asks first where `question` is given. Returns whether it was done. */
export async function act(path, name, question = "") {
  if (question && !(await confirmed(question))) return false;
  try {
    const { done, count } = await ask(path, "POST");
    say(`${name}: ${done}${count === undefined || count === null ? "" : ` ${count}`}`);
    return true;
  } catch (error) {
    say(`${name}: ${error.message}`, true);
    return false;
  }
}

function confirmed(question) {
  return shown(question, (done) => [
    el("button", { type: "button", on: { click: () => done(false) } }, "Cancel"),
    el("button", { type: "button", class: "warn", autofocus: true, on: { click: () => done(true) } }, "Yes"),
  ]);
}

/** Show a dialog with a text and buttons; returns what they say, false where it is closed. */
export function shown(text, make, more = []) {
  return new Promise((resolve) => {
    const done = (what) => {
      resolve(what);
      dialog.close();
    };
    const dialog = el("dialog", { "aria-label": text, on: { close: () => (resolve(false), dialog.remove()) } });
    dialog.append(el("p", {}, text), ...more, el("div", { class: "actions" }, ...make(done)));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Ask for the token. */
export async function askToken() {
  const input = el("input", { type: "password", "aria-label": "token", autocomplete: "off", autofocus: true });
  const done = await shown(
    "The token was printed in the link at the start, or is HEADRACE_WEB_TOKEN.",
    (end) => {
      input.addEventListener("keydown", (event) => event.key === "Enter" && end(true));
      return [
        el("button", { type: "button", on: { click: () => end(false) } }, "Cancel"),
        el("button", { type: "button", on: { click: () => end(true) } }, "Use it"),
      ];
    },
    [input],
  );
  if (done) keep(input.value.trim());
  return done;
}
