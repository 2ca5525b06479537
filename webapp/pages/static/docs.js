// @ts-check
/** `/docs`: sends what the forms say, and shows what comes back. */

import { Problem, root, send } from "./api.js";
import { make } from "./dom.js";

const MOST_SHOWN = 200_000;
const key = () => /** @type {HTMLInputElement | null} */ (document.getElementById("key"))?.value.trim() ?? "";

/** @typedef {{method: string, path: string, headers: Record<string, string>, body: BodyInit | null, said: string}} Asked
 * `said`: the body as an argument of curl */

document.getElementById("key-form")?.addEventListener("submit", (event) => event.preventDefault());
for (const form of /** @type {NodeListOf<HTMLFormElement>} */ (document.querySelectorAll("form.request"))) begin(form);
addEventListener("hashchange", open);
open();

/** Opens what the address names, and all that it is in. */
function open() {
  let place = /** @type {Element | null} */ (document.getElementById(decodeURIComponent(location.hash.slice(1))));
  const named = place;
  for (; place; place = place.parentElement) if (place instanceof HTMLDetailsElement) place.open = true;
  named?.scrollIntoView();
}

/** @param {HTMLFormElement} form */
function begin(form) {
  const answer = /** @type {HTMLElement} */ (form.querySelector("[data-answer]"));
  const stop = /** @type {HTMLButtonElement} */ (form.querySelector("[data-stop]"));
  const type = /** @type {HTMLSelectElement | null} */ (form.querySelector("[data-type]"));
  let sending = new AbortController();
  type?.addEventListener("change", () => {
    for (const one of /** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll("[data-body]"))) {
      one.hidden = one.dataset.body !== type.value;
    }
  });
  stop.addEventListener("click", () => sending.abort());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    sending.abort();
    const mine = (sending = new AbortController());
    try {
      const asked = read(form);
      stop.hidden = false;
      answer.replaceChildren(make("p", { class: "soft" }, "Sent."));
      await exchange(asked, answer, mine.signal);
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") return;
      if (!(error instanceof Problem)) throw error;
      answer.replaceChildren(make("p", { class: "notice bad" }, make("span", {}, error.message)));
    } finally {
      if (mine === sending) stop.hidden = true;
    }
  });
}

/** What a form says. @param {HTMLFormElement} form @returns {Asked} @throws {Problem} something is missing */
function read(form) {
  let path = form.dataset.path ?? "";
  const query = new URLSearchParams();
  /** @type {Record<string, string>} */
  const headers = {};
  for (const field of /** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll("[data-in]"))) {
    const control = /** @type {HTMLInputElement} */ (field.querySelector("input, select, textarea"));
    const name = field.dataset.name ?? "";
    const value = control.value.trim();
    if (field.dataset.in === "path") {
      if (!value) {
        control.focus();
        throw new Problem(0, "missing", `Fill in ${name} first.`);
      }
      path = path.replace(`{${name}}`, encodeURIComponent(value));
    } else if (value && field.dataset.in === "header") {
      headers[name] = value;
    } else if (value) {
      for (const one of "many" in control.dataset ? value.split("\n") : [value]) query.append(name, one.trim());
    }
  }
  if (key()) headers["Authorization"] = `Bearer ${key()}`;
  const { body, said, type } = bodyOf(form);
  if (type) headers["Content-Type"] = type;
  return { method: form.dataset.method ?? "GET", path: path + (query.size ? `?${query}` : ""), headers, body, said };
}

/** @param {HTMLFormElement} form @returns {{body: BodyInit | null, said: string, type: string}} */
function bodyOf(form) {
  const panel = /** @type {HTMLElement | null} */ (form.querySelector("[data-body]:not([hidden])"));
  if (!panel) return { body: null, said: "", type: "" };
  const type = panel.dataset.body ?? "";
  const chooser = /** @type {HTMLInputElement | null} */ (panel.querySelector('input[type="file"]'));
  const file = chooser?.files?.[0];
  const text = panel.querySelector("textarea")?.value ?? "";
  if (type === "multipart/form-data") {
    if (!file) {
      chooser?.focus();
      throw new Problem(0, "missing", "Choose a file first.");
    }
    const data = new FormData();
    data.append("file", file, file.name);
    return { body: data, said: `-F ${quoted(`file=@${file.name}`)}`, type: "" }; // the browser adds the boundary
  }
  if (file) return { body: file, said: `--data-binary ${quoted(`@${file.name}`)}`, type };
  return text ? { body: text, said: `--data-binary ${quoted(text)}`, type } : { body: null, said: "", type: "" };
}

/** An argument as a shell reads it. @param {string} words */
const quoted = (words) => `'${words.replaceAll("'", "'\\''")}'`;

/** @param {Asked} asked */
function curl(asked) {
  const lines = [`curl${asked.method === "GET" ? "" : ` -X ${asked.method}`} ${quoted(location.origin + root + asked.path)}`];
  for (const [name, value] of Object.entries(asked.headers)) {
    lines.push(name === "Authorization" ? '-H "Authorization: Bearer $SENTIQ_API_KEY"' : `-H ${quoted(`${name}: ${value}`)}`);
  }
  if (asked.said) lines.push(asked.said);
  return lines.join(" \\\n  ");
}

/** @param {string} words @param {string} label */
const code = (words, label) => make("pre", { tabindex: 0, role: "region", "aria-label": label }, make("code", { dir: "ltr" }, words));

/** Sends a request and shows its answer as it comes. @param {Asked} asked @param {HTMLElement} place @param {AbortSignal} signal */
async function exchange(asked, place, signal) {
  const began = performance.now();
  const response = await send(asked.method, asked.path, asked.body, { signal, headers: asked.headers });
  const ms = Math.round(performance.now() - began);
  const kind = response.ok ? "good" : "warn";
  const facts = [...response.headers].filter(([name]) => /^(content-type|location|retry-after|ratelimit|preference|etag|x-request|idempotency|warning)/.test(name));
  const shown = code("", "The answer");
  place.replaceChildren(
    make("p", {}, make("span", { class: `badge ${kind}`, "data-status": true }, `${response.status} ${response.statusText}`), ` after ${ms} ms`),
    code(curl(asked), "The request as curl"),
    make("dl", {}, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])),
    shown,
  );
  await fill(shown, response);
}

/** Shows a body, the beginning of a long one, and a file as one to save. @param {HTMLElement} shown @param {Response} response */
async function fill(shown, response) {
  const type = response.headers.get("Content-Type") ?? "";
  const inside = /** @type {HTMLElement} */ (shown.firstElementChild);
  if (!response.body || response.status === 204) {
    inside.textContent = "There is no body.";
    return;
  }
  if (!/json|^text\/|[+/]xml/.test(type)) {
    const blob = await response.blob();
    const told = response.headers.get("Content-Disposition") ?? "";
    const wide = /filename\*=UTF-8''([^;]+)/.exec(told)?.[1];
    const name = wide ? decodeURIComponent(wide) : (/filename="([^"]+)"/.exec(told)?.[1] ?? "answer");
    shown.replaceWith(make("p", {}, make("a", { class: "button", href: URL.createObjectURL(blob), download: name }, `Save ${name}`)));
    return;
  }
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    text += decoder.decode(value, { stream: !done });
    if (done) break;
    if (type.includes("event-stream")) inside.textContent = text;
    if (text.length > MOST_SHOWN) {
      await reader.cancel();
      text = `${text.slice(0, MOST_SHOWN)}\n… the rest is not shown here`;
      break;
    }
  }
  inside.textContent = type.includes("json") && !type.includes("ndjson") ? pretty(text) : text;
}

/** @param {string} text */
function pretty(text) {
  if (/[^.\d]\d{16,}/.test(text)) return text; // JavaScript would round such a number
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // it was cut
  }
}
