// @ts-check
/** What pages of files say: refusals in the words of the page, times of this clock, and what this browser remembers. */

import { make } from "./dom.js";

/** Parameters of the API that refusals name, and what the page calls them. @type {[RegExp, string | ((...found: string[]) => string)][]} */
const SETTINGS = [
  [/To give such rows an error of their own instead: \?on_error=line\.?/g, "“Unreadable rows” can be errors of their own instead."],
  [/(\?header=false) and \?column=(\S+?)(?=[.;,]?(\s|$))/g, "“The first row names the columns” off, and Texts: $2"],
  [/\?header=false/g, "“The first row names the columns” off"],
  [/\?skip=(\d+|N)/g, (_, lines) => `“Lines before the header”${lines === "N" ? "" : ` ${lines}`}`],
  [/\?column=(\S+?)(?=[.;,]?(\s|$))/g, (_, name) => `Texts: ${decoded(name)}`],
  [/\?encoding=NAME/g, "“Encoding”"],
  [/\?delimiter=(\S+?)(?=[.;,]?(\s|$))/g, "“Separated by” $1"],
  [/\?quote=none/g, "“Quotes” plain characters"],
  [/\?quote=(%22|")/g, "“Quotes” around cells"],
  [/\?escape=\\/g, "“Escaped by” a backslash"],
  [/\?on_error=line/g, "“Unreadable rows”"],
  [/\?sheet=NAME/g, "“Sheet”"],
  [/\?dates=day-first or \?dates=month-first/g, "“Dates like 3/4/2026”"],
  [/ In a form, only fields before the file count\./g, ""],
];

/** Refusals whose words are for programs, by their codes. @type {Record<string, string>} */
const BY_CODE = {
  unsupported_media_type: "This is not a file of texts that can be read here. Choose a table (CSV, Excel, OpenDocument, Parquet), JSON or NDJSON, or a file with one text a line.",
};

/** @param {string} name */
function decoded(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** A refusal of the API in the words of the page. @param {string} words @param {string} [code] of the refusal */
export function inWords(words, code = "") {
  if (code in BY_CODE) return BY_CODE[code];
  for (const [found, said] of SETTINGS) words = words.replace(found, /** @type {any} */ (said));
  return words.replaceAll("`", "");
}

/**
 * Shows a refusal, or takes it away.
 * @param {HTMLElement} place
 * @param {import("./api.js").Problem | null} problem
 */
export function tell(place, problem) {
  if (problem === null) {
    place.replaceChildren();
    return;
  }
  const line = problem.body?.line ? `Line ${problem.body.line}: ` : "";
  const later = problem.retryAfterS ? ` Try again in ${Math.ceil(problem.retryAfterS)} seconds.` : "";
  place.replaceChildren(make("div", { class: "notice bad" }, make("span", {}, line + inWords(problem.retryAfterS ? problem.reason : problem.message, problem.code) + later)));
}

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 1.5) return "a second";
  if (seconds < 90) return `${Math.round(seconds)} seconds`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} minutes`;
  return `${(seconds / 3600).toFixed(1)} hours`;
}

/** @param {number} bytes */
export function size(bytes) {
  if (bytes < 1e3) return `${bytes} bytes`;
  return bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
}

/** Shows the times of a page by the clock of this machine. */
export function localTimes() {
  const shown = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
  for (const time of document.querySelectorAll("time[datetime]")) {
    const when = new Date(time.getAttribute("datetime") ?? "");
    time.setAttribute("title", `${time.textContent}`);
    time.textContent = shown.format(when);
  }
}

/** @typedef {{time?: string, segment?: string, label?: string, author?: string}} Memory the columns of a file */
const KEPT = "sentiq.files";
const MOST = 200;

/** Which columns were chosen in this browser, by the ids of their jobs. @returns {Record<string, Memory>} */
export function remembered() {
  try {
    return JSON.parse(localStorage.getItem(KEPT) ?? "{}") ?? {};
  } catch {
    return {};
  }
}

/** @param {string} job @param {Memory | null} memory */
export function remember(job, memory) {
  const others = Object.entries(remembered()).filter(([id]) => id !== job);
  const all = memory === null ? others : [...others, /** @type {[string, Memory]} */ ([job, memory])];
  try {
    localStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(all.slice(-MOST))));
  } catch {
    // a browser may keep nothing; then columns are suggested anew
  }
}

/** The address of a file's page. @param {string} job @param {Memory} memory */
export function addressOf(job, memory) {
  const columns = new URLSearchParams();
  for (const role of /** @type {const} */ (["time", "segment", "label", "author"])) {
    if (memory[role]) columns.set(role, memory[role] ?? "");
  }
  return `/files/${job}${columns.size ? `?${columns}` : ""}`;
}
