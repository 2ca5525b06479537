// @ts-check
/** The page to try a text on: asks as one types, gives up older questions, and says in words what went wrong. */

import { call, Problem, root } from "./api.js";
import { announce, at, capital, copies, count, keep, kept, make, percent, settled } from "./dom.js";
import { showAnswer, showWords } from "./answer.js";
import { address, curl, python } from "./snippets.js";

const SETTLED_MS = 250;
/** Words are weighed once nothing was typed for this much longer: each word counts as a text. */
const WEIGHED_MS = 500;
const LONGEST_RETRY_S = 60;
const LONGEST_LINK = 4000;
const ENDED = ["succeeded", "failed", "cancelled"];

const page = at("try");
/** @type {string[]} */
const classes = JSON.parse(page.dataset.classes);
const hasKeys = page.dataset.keys === "yes";
const text = at("text");
const answer = at("answer");
/** @type {string[] | null} */
let reads = null;
let shown = "curl";
let limited = false;
let asking = new AbortController();
let timer = 0;

/** What the form asks. @returns {import("./snippets.js").Asked} */
function asked() {
  return {
    text: text.value,
    ...(at("target").value.trim() && { target: at("target").value.trim() }),
    ...(document.getElementById("model") && at("model").value && { model: at("model").value }),
    ...(at("sentences").checked && { sentences: /** @type {true} */ (true) }),
  };
}

/** Shows one of the three things that the card can hold. @param {"empty" | "said" | "told"} which */
function turn(which) {
  for (const id of ["empty", "said", "told"]) at(id).hidden = id !== which;
  if (which !== "said") answer.dataset.label = "";
}

/** Something other than an answer. @param {"info" | "warn" | "bad"} kind @param {...(string | Node)} words */
function tell(kind, ...words) {
  at("told").replaceChildren(make("p", { class: `notice ${kind}` }, make("span", {}, ...words)));
  turn("told");
  announce(at("told").textContent ?? "");
}

/** Waits; throws once the question is given up. @param {number} ms @param {AbortSignal} signal */
const pause = (ms, signal) =>
  new Promise((resolve, reject) => {
    const ends = setTimeout(resolve, ms, null);
    signal.addEventListener("abort", () => {
      clearTimeout(ends);
      reject(new DOMException("given up", "AbortError"));
    });
  });

async function ask() {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  clearTimeout(timer);
  const question = asked();
  program();
  if (!question.text.trim()) {
    answer.setAttribute("aria-busy", "false");
    return turn("empty");
  }
  answer.setAttribute("aria-busy", "true");
  try {
    const found = await predicted(question, signal);
    at("words").hidden = true;
    showAnswer(found, classes, reads);
    turn("said");
    announce(found.label ? `${capital(found.label)}, ${percent(found.confidence)}` : "No label");
    if (found.label !== null && at("explain").checked) {
      await pause(WEIGHED_MS, signal);
      await weigh(question, signal);
    }
  } catch (error) {
    if (error instanceof Problem) refused(error);
    else if (!(error instanceof DOMException)) throw error;
  } finally {
    if (!signal.aborted) answer.setAttribute("aria-busy", "false");
  }
}

/**
 * The answer to a question, be it at once or as a job's.
 * @param {import("./snippets.js").Asked} question
 * @param {AbortSignal} signal
 */
async function predicted(question, signal) {
  const { status, body, headers } = await call("POST", "/predict", question, { signal });
  if (headers.has("RateLimit-Limit") && !limited) {
    limited = true; // then words are weighed only for who asks for it
    at("explain").checked = kept("explain") === "yes";
  }
  if (status !== 202) return body;
  tell("info", "No answer yet: the workers are busy. It comes as soon as one is free; you can leave this open.");
  const health = await call("GET", "/health", null, { signal }).catch((error) => error);
  if (health instanceof Problem) {
    tell("warn", "No worker is ready to answer yet. The answer comes once one is; ", make("a", { href: `${root}/status` }, "Status"), " tells more.");
  }
  let job = body;
  while (!ENDED.includes(job.status)) {
    job = (await call("GET", `/jobs/${job.id}`, null, { signal, headers: { Prefer: "wait=20" } })).body;
    if (!ENDED.includes(job.status)) await pause(500, signal);
  }
  const [line] = (await call("GET", `/jobs/${job.id}/results`, null, { signal })).body.items;
  if (line?.error) throw new Problem(422, line.error.code, line.error.detail ?? line.error.message);
  if (!line) throw new Problem(422, "cancelled", "The job was cancelled before the text had its turn.");
  return { ...line, text: question.text, warnings: line.warnings ?? [] };
}

/** @param {import("./snippets.js").Asked} question @param {AbortSignal} signal */
async function weigh(question, signal) {
  if (new TextEncoder().encode(question.text).length > Number(page.dataset.weighs)) return unweighed("Only texts of about 1,500 letters or fewer are weighed.");
  try {
    const { status, body } = await call("POST", "/predict", { ...question, explain: true }, { signal });
    if (status === 200 && body.words && body.label !== null) return showWords(body);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    unweighed(error.message);
  }
}

/** Says why no word has a weight. @param {string} why */
function unweighed(why) {
  at("weighed").replaceChildren();
  at("weights").replaceChildren();
  at("words-hint").textContent = `The words were not weighed. ${why}`;
  at("words").hidden = false;
}

/** Says why there is no answer, and tries again where that may help. @param {Problem} error */
function refused(error) {
  const again = error.status === 0 || error.status === 429 || error.status === 503;
  const seconds = error.retryAfterS ?? 3;
  if (error.status === 401) {
    const link = make("a", { href: `${root}/pages/sign-in` }, "Sign in");
    return tell("warn", "You are not signed in any more. ", link, " to go on.");
  }
  if (!again) return tell(error.status >= 500 ? "bad" : "warn", error.message);
  if (seconds > LONGEST_RETRY_S) {
    const at = new Date(Date.now() + 1000 * seconds).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    return tell("warn", `${error.reason} Try again after ${at}.`);
  }
  tell("warn", `${error.reason} This page tries again in ${seconds === 1 ? "a second" : `${count(seconds)} seconds`}.`);
  timer = window.setTimeout(ask, 1000 * seconds);
}

/** Shows what a program would say. */
function program() {
  const question = { ...asked(), ...(at("explain").checked && { explain: /** @type {true} */ (true) }) };
  at("program").hidden = !question.text.trim();
  at("code").textContent = (shown === "curl" ? curl : python)(question, hasKeys);
}

/** A link that asks the same; null if it would be longer than people can pass on. */
function link() {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(asked())) parts.set(name, String(value));
  const whole = `${address()}/#${parts}`;
  return whole.length > LONGEST_LINK ? null : whole;
}

/** Takes over what the address asks. */
function linked() {
  const parts = new URLSearchParams(location.hash.slice(1));
  if (!parts.has("text")) return;
  text.value = parts.get("text");
  at("target").value = parts.get("target") ?? "";
  at("sentences").checked = parts.get("sentences") === "true";
  at("more").open = Boolean(at("target").value) || at("sentences").checked;
  typed();
}

const later = settled(ask, SETTLED_MS);

function typed() {
  const length = Array.from(text.value).length;
  at("length").textContent = length ? `${count(length)} ${length === 1 ? "character" : "characters"}` : "\u00a0";
  at("clear").hidden = length === 0;
  later();
}

text.addEventListener("input", (/** @type {InputEvent} */ event) => event.isComposing || typed());
text.addEventListener("compositionend", typed);
at("target").addEventListener("input", later);
for (const id of ["sentences", "explain", "model"]) document.getElementById(id)?.addEventListener("change", later);
at("explain").addEventListener("change", () => keep("explain", at("explain").checked ? "yes" : "no"));
at("form").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  ask();
});
text.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask();
});
at("clear").addEventListener("click", () => {
  text.value = "";
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  typed();
  text.focus();
});
for (const example of document.querySelectorAll(".example")) {
  example.addEventListener("click", () => {
    text.value = /** @type {HTMLElement} */ (example).dataset.text ?? "";
    typed();
  });
}
for (const button of document.querySelectorAll("[data-shows]")) {
  button.addEventListener("click", () => {
    shown = /** @type {HTMLElement} */ (button).dataset.shows ?? "curl";
    for (const other of document.querySelectorAll("[data-shows]")) other.setAttribute("aria-pressed", String(other === button));
    program();
  });
}
copies(at("copy"), () => at("code").textContent ?? "");
copies(at("link"), link, "Too long for a link");
window.addEventListener("hashchange", linked);
call("GET", "/model")
  .then(({ body }) => (reads = body.languages))
  .catch(() => null); // it is told with less detail then
linked();
if (text.value && !location.hash) typed();
