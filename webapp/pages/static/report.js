// @ts-check
/** The report within a file's page: made by the service when it is looked at, and again when what it is made by changes. */

import { Problem, show, to } from "./api.js";
import { announce, at, settled } from "./dom.js";
import { duration, tell } from "./told.js";

const LARGE = 100_000;
/** Seconds that a line takes in a large report. */
const A_LINE_S = 20 / 1_000_000;

/**
 * @param {string} job
 * @param {() => boolean} ended whether the job has ended
 */
export function reports(job, ended) {
  let opened = false;
  let making = new AbortController();
  at("r-tz").value = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  at("asked").addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
  at("asked").addEventListener("change", () => make());

  /** What the report is made by. */
  function asked() {
    const found = new URLSearchParams();
    for (const form of [at("columns"), at("asked")]) {
      for (const [name, value] of new FormData(form)) if (value) found.set(name, String(value));
    }
    if (!found.has("time")) for (const name of ["bucket", "dates"]) found.delete(name);
    return found;
  }

  async function fetched() {
    making.abort();
    const mine = (making = new AbortController());
    if (!opened) return;
    tell(at("report-problem"), null);
    const query = asked();
    const roles = new URLSearchParams();
    for (const role of ["segment", "label"]) if (query.has(role)) roles.set(role, String(query.get(role)));
    at("to-label").href = to(`/files/${job}/label?${roles}`);
    at("to-label").hidden = !ended();
    at("alone").href = to(`/jobs/${job}/report?format=html&${query}`);
    if (!ended()) {
      at("making").textContent = "The report is made once all texts are scored.";
      return;
    }
    const total = Number(at("job").dataset.total);
    const long = total > LARGE ? ` It takes about ${duration(total * A_LINE_S)}.` : "";
    at("making").textContent = `The report is being made.${long}`;
    at("made").setAttribute("aria-busy", "true");
    try {
      await show(at("made"), `/pages/files/${job}/report?${query}`, { signal: mine.signal });
      at("making").textContent = "";
      announce("The report is there.");
    } catch (error) {
      if (error instanceof DOMException) return;
      if (!(error instanceof Problem)) throw error;
      at("made").replaceChildren();
      at("making").textContent = "";
      tell(at("report-problem"), error);
    } finally {
      if (mine === making) at("made").removeAttribute("aria-busy");
    }
  }

  const make = settled(fetched, 250);
  return {
    open() {
      if (opened) return;
      opened = true;
      fetched();
    },
    changed: () => make(),
  };
}
