// @ts-check
/** One stream, live: what is shown is the query of the address, so that a view can be sent to others and reloaded. */

import { listen, Problem, refused, send } from "./api.js";
import { announce, at } from "./dom.js";
import { cursors } from "./stream-cursor.js";
import { exporting } from "./stream-export.js";
import { fillTimes, settingsOf, showSettings } from "./stream-settings.js";
import { sharing } from "./stream-share.js";

const view = at("view");
const form = /** @type {HTMLFormElement} */ (at("controls"));
const problem = at("problem");
const pause = /** @type {HTMLButtonElement} */ (at("pause"));
const full = /** @type {HTMLButtonElement} */ (at("full"));
const source = /** @type {string} */ (view.dataset.source);
const narrow = matchMedia("(max-width: 46rem)");
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

let settings = new URLSearchParams(location.search);
let etag = view.dataset.etag ?? "";
let paused = false;
let gone = false;
/** What came while somebody drags over a drawing. @type {string | null} */
let held = null;
/** @type {EventSource | null} */
let events = null;
let again = 0;
let asked = 0;

/** The query of what is drawn: the settings, and for which size. */
function query() {
  const drawn = new URLSearchParams(settings);
  drawn.delete("wall");
  if (narrow.matches) drawn.set("size", "narrow");
  return drawn.toString();
}

/** @param {string} words @param {boolean} on */
function state(words, on) {
  at("state").hidden = false;
  at("state").classList.toggle("on", on);
  at("state-words").textContent = words;
}

/** Puts a drawn view in its place. @param {string} html */
function put(html) {
  if (marks.drags()) {
    held = html;
    return;
  }
  held = null;
  const before = view.querySelector(".view")?.dataset ?? {};
  const focused = document.activeElement?.id ?? "";
  const holder = document.createElement("template");
  holder.innerHTML = html; // drawn and escaped by this service alone
  view.replaceChildren(holder.content);
  drawn();
  if (focused.startsWith("cursor-")) document.getElementById(focused)?.focus({ preventScroll: true });
  const now = view.querySelector(".view")?.dataset ?? {};
  if (now.shift && now.shift !== before.shift && before.drawn === now.drawn) announce(now.shift);
}

/** What is done with each view once it is there. */
function drawn() {
  const told = /** @type {HTMLElement | null} */ (view.querySelector(".view"));
  if (told === null) return;
  at("texts").textContent = Number(told.dataset.texts).toLocaleString("en-GB");
  document.getElementById("send-help")?.toggleAttribute("hidden", Number(told.dataset.texts) > 0);
  showSettings(form, settings, JSON.parse(told.dataset.names ?? "[]"));
  marks.begin(told);
}

/** Shows the view of the settings. @param {{keep?: boolean}} [options] keep: the address stays as it is */
async function load({ keep = false } = {}) {
  const number = (asked += 1);
  if (!keep) history.pushState(null, "", `${location.pathname}${settings.size ? `?${settings}` : ""}`);
  clearTimeout(again);
  events?.close();
  try {
    const response = await send("GET", `${source}/view?${query()}`, null, {
      headers: { Accept: "text/html, application/problem+json" },
    });
    await refused(response);
    const html = await response.text();
    if (number !== asked) return;
    problem.hidden = true;
    etag = (response.headers.get("ETag") ?? "").replaceAll('"', "");
    put(html);
    hear();
  } catch (error) {
    if (number !== asked) return;
    if (!(error instanceof Problem)) throw error;
    problem.textContent = error.message;
    problem.hidden = false;
    state(error.status === 0 ? "Trying again" : "Not live", false);
    if ([0, 429, 503].includes(error.status)) again = window.setTimeout(() => load({ keep: true }), 3000);
    else if (error.status === 404 || error.status === 401) gone = true;
  }
}

/** Listens for later views, unless that is paused or nobody looks. */
function hear() {
  events?.close();
  if (paused || gone || document.hidden) return;
  const now = (events = listen(`${source}/view/events?${query()}&seen=${etag}`, {
    view: (/** @type {{etag: string, html: string}} */ told) => {
      etag = told.etag;
      put(told.html);
    },
    gone: () => {
      now.close();
      gone = true;
      state("Ended", false);
      problem.textContent = document.body.hasAttribute("data-shared")
        ? "This link has ended. Ask whoever gave it to you for another one."
        : "This stream is gone: it was deleted, or it has expired.";
      problem.hidden = false;
      if (document.body.hasAttribute("data-shared")) view.replaceChildren();
    },
  }));
  now.addEventListener("open", () => state("Live", true));
  now.addEventListener("error", () => {
    state("Trying again", false);
    if (now.readyState === EventSource.CLOSED && now === events) {
      again = window.setTimeout(() => load({ keep: true }), 3000);
    }
  });
}

/** Changes settings and shows their view; null takes one away. @param {Record<string, string | null>} changes */
function change(changes) {
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) settings.delete(name);
    else settings.set(name, value);
  }
  fillTimes(settings);
  return load();
}

const marks = cursors({
  zoom: (from, to) => change({ from: String(Math.round(from)), to: String(Math.round(to)), last: null }),
  all: () => change({ from: null, to: null, last: null }),
  look: (moment) =>
    change({ at: String(Math.round(moment)) }).then(() => {
      document.getElementById("around")?.scrollIntoView({ block: "nearest" });
    }),
  done: () => {
    if (held !== null) put(held);
  },
});

form.addEventListener("change", (event) => {
  const field = /** @type {HTMLInputElement} */ (event.target);
  settings = settingsOf(form, settings, field.name || field.id);
  void load();
});
form.addEventListener("submit", (event) => event.preventDefault());
view.addEventListener("click", (event) => {
  const link = /** @type {HTMLElement} */ (event.target).closest("a[data-view]");
  if (!(link instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const wall = settings.get("wall");
  settings = new URLSearchParams(link.search);
  if (wall) settings.set("wall", wall);
  fillTimes(settings);
  void load().then(() => document.getElementById("around")?.scrollIntoView({ block: "nearest" }));
});
addEventListener("popstate", () => {
  settings = new URLSearchParams(location.search);
  fillTimes(settings);
  void load({ keep: true });
});

pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  if (paused) {
    events?.close();
    state(`Paused ${clock.format(new Date())}`, false);
  } else {
    void load({ keep: true });
  }
});
// Browsers open six connections to a service at a time: tabs that nobody looks at leave theirs to others.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) events?.close();
  else if (!paused && !gone) hear();
});
narrow.addEventListener("change", () => load({ keep: true }));

/** @param {boolean} on */
function wall(on) {
  document.body.toggleAttribute("data-wall", on);
  const words = /** @type {HTMLElement} */ (full.querySelector("span"));
  words.textContent = on ? "Leave full screen" : "Full screen";
  if (on) settings.set("wall", "1");
  else settings.delete("wall");
  history.replaceState(null, "", `${location.pathname}${settings.size ? `?${settings}` : ""}`);
}
full.addEventListener("click", async () => {
  const on = !document.body.hasAttribute("data-wall");
  wall(on);
  if (on) await document.documentElement.requestFullscreen?.().catch(() => undefined);
  else if (document.fullscreenElement) await document.exitFullscreen();
});
document.addEventListener("fullscreenchange", () => {
  if (!document.fullscreenElement) wall(false);
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && document.body.hasAttribute("data-wall") && !document.fullscreenElement) wall(false);
});

exporting(source, query);
sharing(source);
pause.hidden = full.hidden = false;
if (document.body.hasAttribute("data-wall")) wall(true);
const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
const usual = !settings.has("tz") && here && here !== "UTC";
if (usual) {
  settings.set("tz", here);
  history.replaceState(null, "", `${location.pathname}?${settings}`);
}
fillTimes(settings);
drawn();
// The page came with the view of its address; what it could not know is drawn anew.
if (usual || narrow.matches || location.search) void load({ keep: true });
else hear();
