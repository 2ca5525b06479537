// @ts-check
/**
 * The texts of a file. The service looks through a bounded part of them for each request and says how far it is; this
 * asks for part after part until a page is full, or, where they are sorted, keeps the first rows of all parts.
 */

import { Problem, refused, send } from "./api.js";
import { at, count, settled } from "./dom.js";
import { tell } from "./told.js";

/** @typedef {{at: number, confidence: string | null, position: string | null, first: number}} Start where a page begins */
/** @type {Start} */
const FIRST = { at: 0, confidence: null, position: null, first: 1 };
const MOST_VALUES = 200;

/** @param {string} job */
export function table(job) {
  let looking = new AbortController();
  /** @type {Start[]} */
  let pages = [FIRST];
  /** @type {Start | null} */
  let following = null;
  /** @type {HTMLFormElement} */
  const filters = at("filters");
  /** @type {HTMLFormElement} */
  const columns = at("columns");
  let segment = "";

  const again = settled(() => restart(), 300);
  filters.addEventListener("input", () => again());
  filters.addEventListener("submit", (event) => {
    event.preventDefault();
    restart();
  });
  at("halt").addEventListener("click", () => looking.abort());
  at("next").addEventListener("click", () => {
    if (following) pages.push(following);
    load(true);
  });
  at("before").addEventListener("click", () => {
    pages.pop();
    load(true);
  });

  function restart() {
    pages = [FIRST];
    const chosen = String(new FormData(columns).get("segment") ?? "");
    if (chosen !== segment) {
      segment = chosen;
      at("values").replaceChildren();
      at("f-value").value = "";
    }
    at("value-box").hidden = !segment;
    load(false);
  }

  /** What is asked for, but for where to begin. */
  function asked() {
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(filters)) if (value) query.set(name, String(value));
    for (const role of ["time", "segment"]) {
      const value = new FormData(columns).get(role);
      if (value) query.set(role, String(value));
    }
    return query;
  }

  /**
   * @param {URLSearchParams} query
   * @param {AbortSignal} signal
   */
  async function part(query, signal) {
    const response = await send("GET", `/pages/files/${job}/rows?${query}`, null, {
      signal,
      headers: { Accept: "text/html, application/problem+json" },
    });
    await refused(response);
    const holder = document.createElement("template");
    holder.innerHTML = await response.text(); // drawn and escaped by this service alone
    const found = /** @type {HTMLTableElement} */ (holder.content.querySelector("table"));
    const known = new Set([...at("values").children].map((/** @type {any} */ one) => one.value));
    for (const option of holder.content.querySelectorAll("option")) {
      if (known.size < MOST_VALUES && !known.has(option.value)) at("values").append(option);
    }
    const facts = found.dataset;
    return {
      table: found,
      rows: [...found.tBodies[0].rows],
      end: Number(facts.end),
      matches: Number(facts.matches),
      total: Number(facts.total),
      most: Number(facts.page),
    };
  }

  /** @param {boolean} moved whether it is another page of the same */
  async function load(moved) {
    looking.abort();
    const mine = (looking = new AbortController());
    const start = pages[pages.length - 1];
    const query = asked();
    const order = query.get("order") ?? "file";
    const narrowed = ["label", "value", "words"].some((name) => query.has(name));
    if (start.confidence !== null) query.set("confidence", start.confidence);
    if (start.position !== null) query.set("position", start.position);
    const sign = order === "most" ? -1 : 1;
    /** @param {HTMLTableRowElement} row */
    const key = (row) => sign * Number(row.dataset.confidence);
    tell(at("problem"), null);
    at("rows").setAttribute("aria-busy", "true");
    /** @type {HTMLTableRowElement[]} */
    let kept = [];
    let matches = 0;
    let end = start.at;
    let total = 0;
    let full = false;
    let stopped = false;
    try {
      do {
        query.set("at", String(end));
        const found = await part(query, mine.signal);
        ({ end, total } = found);
        matches += found.matches;
        kept.push(...found.rows);
        if (order !== "file") kept.sort((a, b) => key(a) - key(b) || Number(a.dataset.position) - Number(b.dataset.position));
        if (order === "file" && kept.length >= found.most) {
          full = true;
          end = Number(kept[found.most - 1].dataset.position) + 1;
        }
        kept = kept.slice(0, found.most);
        found.table.tBodies[0].replaceChildren(...kept);
        at("rows").replaceChildren(found.table);
        at("halt").hidden = full || end >= total;
        if (!full && end < total) at("looked").textContent = `${count(end)} of ${count(total)} texts were looked at, ${count(matches)} found so far`;
        if (order !== "file") full = kept.length >= found.most;
      } while (end < total && !(order === "file" && full));
    } catch (error) {
      if (error instanceof DOMException) stopped = mine === looking;
      else if (error instanceof Problem) tell(at("problem"), error);
      else throw error;
      if (!stopped && error instanceof DOMException) return; // another look has begun
    }
    at("halt").hidden = true;
    at("rows").removeAttribute("aria-busy");
    const last = kept[kept.length - 1];
    following = null;
    if (order === "file" && end < total && (full || stopped)) {
      following = { at: end, confidence: null, position: null, first: start.first + kept.length };
    } else if (order !== "file" && full && last) {
      following = { at: 0, confidence: last.dataset.confidence ?? "0", position: last.dataset.position ?? "0", first: start.first + kept.length };
    }
    at("next").disabled = following === null;
    at("before").disabled = pages.length < 2;
    at("looked").textContent = said(kept.length, start.first, { total, end, matches, narrowed, stopped, sorted: order !== "file" });
    if (moved) at("texts").scrollIntoView({ block: "start" });
  }

  /**
   * @param {number} shown
   * @param {number} first
   * @param {{total: number, end: number, matches: number, narrowed: boolean, stopped: boolean, sorted: boolean}} how
   */
  function said(shown, first, how) {
    const far = how.stopped ? ` You stopped it after ${count(how.end)} of ${count(how.total)} texts.` : "";
    if (!shown) return (how.total ? "No text is like that." : "There are no texts yet.") + far;
    const last = first + shown - 1;
    if (!how.narrowed) return `${count(first)} to ${count(last)} of ${count(how.total)} texts.${far}`;
    const whole = how.sorted || (first === 1 && how.end >= how.total);
    return `${count(first)} to ${count(last)}${whole ? ` of ${count(how.matches)} texts that are like that` : ""}.${far}`;
  }

  return { show: restart };
}
