// @ts-check
/** Labelling texts one by one: each answer is sent at once, and nothing of the model's is shown before it is given. */

import { Problem, call, show } from "./api.js";
import { announce, at, capital, count, isolated, settled } from "./dom.js";

/** @typedef {{id: string, text: string, segment: string | null, time?: string, position?: number}} Item */

const AT_ONCE = 20;
const LONG = 220;
const TRIES = 10;
/** With fewer texts left, more are fetched. */
const FEW = 10;
/** Labels that may wait to be sent. */
const MOST_UNSENT = 20;
const KEYS = /** @type {Record<string, string>} */ ({ 1: "NEGATIVE", 2: "NEUTRAL", 3: "POSITIVE", 0: "cannot tell" });
const NAME = "sentiq-labels-by";
const place = at("labelling");
const answers = /** @type {HTMLButtonElement[]} */ ([...at("answers").querySelectorAll("button")]);
const when = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

let by = remembered();
/** @type {Item[]} */
let queue = [];
/** @type {{item: Item, label: string}[]} */
let done = [];
/** @type {{item: Item, label: string} | null} */
let corrects = null; // the answer that is being given again
/** Labels are sent in the background, one after the other, in the order in which they were given. */
let sending = Promise.resolve();
let unsent = 0;
let fetching = false;
let turn = 0; // counts changes of person and segment, so that an answer for the ones before is dropped

function remembered() {
  try {
    return localStorage.getItem(NAME) ?? "";
  } catch {
    return "";
  }
}

/** The segment whose texts are labelled; null for all. @returns {string | null} */
function segment() {
  const chosen = /** @type {HTMLInputElement | null} */ (at("segments").querySelector("input:checked"));
  return chosen?.dataset.segment ?? null;
}

/** Which texts are labelled, as the service is asked: those of a stream, or of a job by the segments of a column. */
const which = () =>
  place.dataset.job === undefined
    ? { segment: segment() }
    : { segment: place.dataset.column ?? null, value: segment() };

/** @param {Record<string, string | null>} given */
function query(given) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(given)) if (value !== null) found.set(name, value);
  return `?${found}`;
}

/** @param {unknown} error */
function complain(error) {
  const box = at("trouble");
  box.hidden = error === null;
  box.firstElementChild.textContent = error instanceof Problem ? error.message : error === null ? "" : String(error);
}

const progress = settled(async (/** @type {string | null} */ last) => {
  try {
    await show(at("progress"), place.dataset.part + query({ by, ...which(), last }));
  } catch (error) {
    complain(error);
  }
}, 60);

/** @param {{segment: string | null, counted: number, needed: number}[]} standing */
function tellCounts(standing) {
  for (const one of standing) {
    for (const input of at("segments").querySelectorAll("input")) {
      const row = input.parentElement;
      const bar = row.querySelector("progress");
      if (bar === null || (input.dataset.segment ?? "") !== (one.segment ?? "")) continue;
      bar.max = Math.max(one.counted + one.needed, 1);
      bar.value = one.counted;
      row.querySelector("[data-count]").textContent = `${one.counted} of ${one.counted + one.needed}`;
    }
  }
}

/**
 * As `call`, but tries again while the service is away or busy: a label that is sent twice is one label.
 * @param {string} method
 * @param {string} path
 * @param {object | null} [body]
 */
async function persist(method, path, body = null) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await call(method, path, body);
    } catch (error) {
      if (!(error instanceof Problem) || ![0, 503].includes(error.status) || tries === TRIES) throw error;
      complain(error);
      await new Promise((done) => setTimeout(done, 1000 * Math.min(error.retryAfterS ?? 1, 5)));
    }
  }
}

async function fetchMore() {
  const now = turn;
  const { body } = await persist("GET", place.dataset.sample + query({ by, ...which(), limit: String(AT_ONCE) }));
  if (now !== turn) return;
  const known = new Set([...queue, ...done.map((one) => one.item)].map((item) => item.id));
  queue.push(...body.items.filter((/** @type {Item} */ item) => !known.has(item.id)));
  tellCounts(body.labels);
}

function present() {
  const item = corrects?.item ?? queue[0];
  at("none").hidden = item !== undefined;
  at("task").hidden = item === undefined && done.length === 0;
  at("answers").hidden = item === undefined;
  at("undo").disabled = done.length === 0;
  at("facts").replaceChildren();
  at("text").replaceChildren();
  at("before").hidden = corrects === null;
  for (const button of answers) {
    if (corrects) button.setAttribute("aria-pressed", String(button.dataset.label === corrects.label));
    else button.removeAttribute("aria-pressed");
  }
  if (item === undefined) return;
  const facts = at("facts");
  if (item.segment) facts.append(isolated(item.segment), " · ");
  facts.append(item.time === undefined ? `line ${count((item.position ?? 0) + 1)}` : when.format(new Date(item.time)));
  at("text").classList.toggle("long", item.text.length > LONG);
  const words = isolated(item.text);
  words.dir = "auto";
  at("text").append(words);
  if (corrects) at("before").textContent = `You said “${capital(corrects.label)}”. Choose again; it takes the place of that.`;
}

/** Shows the next text, and fetches more if few are left. */
async function go() {
  if (corrects !== null || queue.length) present();
  else at("text").replaceChildren(); // the text before is answered
  if (corrects !== null || queue.length > FEW || fetching) return;
  fetching = true;
  const now = turn;
  const fetched = sending.then(async () => {
    if (now !== turn) return;
    try {
      await fetchMore();
      complain(null);
    } catch (error) {
      complain(error);
    } finally {
      fetching = false;
    }
    if (now === turn && corrects === null && !at("text").hasChildNodes()) present();
  });
  sending = fetched;
  await fetched;
}

/** Takes an answer, and shows the next text at once. @param {string} label */
function answer(label) {
  const item = corrects?.item ?? queue[0];
  if (item === undefined || at("task").hidden) return;
  if (unsent >= MOST_UNSENT) {
    complain(new Problem(0, "unsent", `${count(unsent)} labels are not sent yet. Wait a moment before you go on.`));
    return;
  }
  if (corrects === null) queue.shift();
  corrects = null;
  done.push({ item, label });
  announce(`${capital(label)}.`);
  const [now, who] = [turn, by];
  told(1);
  sending = sending.then(() => save(item, label, now, who));
  void go();
}

/** How many labels are not sent yet. @param {number} more */
function told(more) {
  unsent += more;
  at("task").dataset.unsent = String(unsent);
}

/** Sends a label; if it is refused for good, its text comes back. @param {Item} item @param {string} label @param {number} now @param {string} who */
async function save(item, label, now, who) {
  try {
    const { body } = await persist("POST", place.dataset.labels ?? "", { by: who, labels: [{ id: item.id, label }] });
    if (now !== turn) return;
    complain(null);
    tellCounts(body.labels);
    progress(item.id);
  } catch (error) {
    complain(error);
    if (now !== turn) return;
    done = done.filter((one) => one.item !== item);
    queue.unshift(item);
    present();
  } finally {
    told(-1);
  }
}

function undo() {
  if (done.length === 0) return;
  corrects = done.pop() ?? null;
  present();
  announce(at("before").textContent);
}

async function begin() {
  turn += 1;
  fetching = false;
  queue = [];
  done = [];
  corrects = null;
  at("who").hidden = by !== "";
  at("task").hidden = by === "";
  at("rename").textContent = by ? `Not ${by}?` : "";
  progress(null);
  if (by === "") {
    at("none").hidden = true;
    at("by").focus();
    return;
  }
  await go();
  at("text").focus();
}

at("who").addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  by = at("by").value.trim();
  if (by === "") return;
  try {
    localStorage.setItem(NAME, by);
  } catch {
    // Then the name is asked for again next time.
  }
  begin();
});
at("rename").addEventListener("click", () => {
  at("by").value = by;
  by = "";
  begin();
});
at("undo").addEventListener("click", undo);
at("segments").addEventListener("change", begin);
for (const button of answers) button.addEventListener("click", () => answer(button.dataset.label ?? ""));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !at("keys").checked) return;
  const target = /** @type {HTMLElement} */ (event.target);
  if (target.matches("input:not([type=checkbox], [type=radio]), textarea, select") || at("task").hidden) return;
  if (event.key in KEYS) answer(KEYS[event.key]);
  else if (event.key === "Backspace") undo();
  else return;
  event.preventDefault();
});
begin();
