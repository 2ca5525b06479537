// @ts-check
/** `/files/{job}`: how far it is, live; its texts; its report. */

import { call, listen, Problem, to } from "./api.js";
import { announce, at, badge, count, percent } from "./dom.js";
import { pace } from "./pace.js";
import { reports } from "./report.js";
import { table } from "./rows.js";
import { localTimes, remember, tell } from "./told.js";

const page = at("job");
const job = page.dataset.job ?? "";
const ENDED = ["succeeded", "failed", "cancelled"];
const STATES = /** @type {Record<string, [string, string]>} */ ({
  queued: ["Waiting", ""],
  running: ["Running", "warn"],
  succeeded: ["Done", "good"],
  failed: ["Failed", "bad"],
  cancelled: ["Cancelled", "none"],
});

localTimes();
for (const bar of document.querySelectorAll("[data-bar]")) {
  /** @type {HTMLElement} */ (bar).style.width = `${100 * Number(bar.getAttribute("data-bar"))}%`;
}

const columns = document.getElementById("columns");
const texts = columns ? table(job) : null;
const report = document.getElementById("report") ? reports(job, () => page.dataset.ended === "true") : null;
columns?.addEventListener("change", () => {
  const asked = new URLSearchParams();
  for (const [name, value] of new FormData(/** @type {HTMLFormElement} */ (columns))) asked.set(name, String(value));
  history.replaceState(null, "", `?${asked}${location.hash}`);
  remember(job, Object.fromEntries(asked));
  texts?.show();
  report?.changed();
});
columns?.addEventListener("submit", (event) => event.preventDefault());

/** The job as it was told last. @type {any} */
let latest = null;
const paced = pace();

/** Says how far it is, also while nothing new is told. */
function tellPace() {
  if (latest === null || ENDED.includes(latest.status)) return;
  at("how-far").textContent = latest.status === "queued" ? "Waiting for a worker" : paced(latest, performance.now() / 1000);
}
setInterval(tellPace, 2000);

/** Shows a job as the service tells it. @param {any} told */
function update(told) {
  const ended = ENDED.includes(told.status);
  const part = told.total ? told.done / told.total : 0;
  const [word, kind] = STATES[told.status];
  const state = badge(null);
  state.textContent = word;
  state.className = `badge ${kind}`;
  at("status").replaceChildren(state);
  at("count").textContent = count(told.total);
  at("share").textContent = percent(part);
  at("bar").value = part;
  latest = told;
  tellPace();
  at("progress").hidden = ended;
  at("cancel").hidden = ended;
  at("remove").hidden = !ended;
  const labels = Object.entries(told.labels);
  const labelled = labels.reduce((sum, [, number]) => sum + Number(number), 0);
  for (const [name, number] of labels) {
    const box = /** @type {HTMLElement} */ (page.querySelector(`[data-label="${CSS.escape(name)}"]`));
    const share = labelled ? Number(number) / labelled : 0;
    /** @type {HTMLElement} */ (box.querySelector("[data-share]")).textContent = percent(share);
    /** @type {HTMLElement} */ (box.querySelector("[data-count]")).textContent = count(Number(number));
    /** @type {HTMLElement} */ (box.querySelector("[data-bar]")).style.width = `${100 * share}%`;
  }
  const without = [
    told.failed ? `${count(told.failed)} could not be scored` : "",
    told.unsupported_language ? `${count(told.unsupported_language)} are in a language that the model does not read` : "",
    told.not_mentioned ? `${count(told.not_mentioned)} do not name the target` : "",
    told.status === "cancelled" && told.done < told.total ? `${count(told.total - told.done)} were not scored, as the job was cancelled` : "",
  ].filter(Boolean);
  at("left-out").hidden = !without.length;
  at("left-out").textContent = without.length ? `Without a label: ${without.join("; ")}.` : "";
  page.dataset.ended = String(ended);
  page.dataset.total = String(told.total);
}

/** @param {any} told */
function end(told) {
  update(told);
  announce(`${STATES[told.status][0]}: ${count(told.done)} of ${count(told.total)} texts.`);
  texts?.show();
  report?.changed();
}

/** @type {EventSource | null} */
let events = null;
if (page.dataset.ended === "true") {
  call("GET", `/jobs/${job}`).then(({ body }) => update(body), refusal);
} else {
  events = listen(`/jobs/${job}/events`, {
    progress: update,
    end: (told) => {
      events?.close();
      end(told);
    },
  });
}
texts?.show();

/** @param {unknown} error */
function refusal(error) {
  if (!(error instanceof Problem)) throw error;
  tell(at("problem"), error);
}

at("cancel").addEventListener("click", async () => {
  at("cancel").disabled = true;
  try {
    const { body } = await call("DELETE", `/jobs/${job}`);
    events?.close();
    end(body);
  } catch (error) {
    refusal(error);
  }
  at("cancel").disabled = false;
});
at("remove").addEventListener("click", () => document.getElementById("sure") && at("sure").showModal());
document.getElementById("sure")?.addEventListener("close", async () => {
  if (at("sure").returnValue !== "yes") return;
  try {
    await call("DELETE", `/jobs/${job}?purge=1`);
    remember(job, null);
    location.assign(to("/files"));
  } catch (error) {
    refusal(error);
  }
});

/* Tabs */

const tabs = /** @type {HTMLElement[]} */ ([...document.querySelectorAll('[role="tab"]')]);
/** @param {HTMLElement} tab */
function choose(tab) {
  for (const one of tabs) {
    const chosen = one === tab;
    one.setAttribute("aria-selected", String(chosen));
    one.tabIndex = chosen ? 0 : -1;
    at(one.getAttribute("aria-controls") ?? "").hidden = !chosen;
  }
  history.replaceState(null, "", tab.id === "tab-report" ? "#report" : location.pathname + location.search);
  if (tab.id === "tab-report") report?.open();
}
for (const tab of tabs) {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    next.focus();
    choose(next);
  });
}
const named = document.getElementById("tab-report");
if (location.hash === "#report" && named) choose(named);
