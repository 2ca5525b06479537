// @ts-check
/** `/files`: a file is chosen, looked at by the service, and sent. */

import { Problem, refused, send, to } from "./api.js";
import { announce, at, make } from "./dom.js";
import { addressOf, duration, inWords, localTimes, remember, remembered, size, tell } from "./told.js";

const WHOLE = /\.(xlsx|xlsm|xlsb|xls|ods|parquet|zip|json)$/i;
const KIND = /** @type {const} */ ([
  [/\.(xlsx|xlsm|xlsb|xls|ods)$/i, "sheet"],
  [/\.(json|ndjson|jsonl)(\.gz)?$/i, "json"],
  [/\.(csv|tsv)(\.gz)?$/i, "table"],
  [/\.txt(\.gz)?$/i, "plain"],
]);
const ROLES = ["time", "segment", "label"];

localTimes();
for (const link of document.querySelectorAll("a[data-job]")) {
  const job = link.getAttribute("data-job") ?? "";
  const memory = remembered()[job];
  if (memory) link.setAttribute("href", to(addressOf(job, memory)));
}
const section = document.getElementById("send");
if (section) sender(section);

/** @param {HTMLElement} section */
function sender(section) {
  const headBytes = Number(section.dataset.head);
  const wholeBytes = Number(section.dataset.whole);
  const mostBytes = Number(section.dataset.most);
  const form = /** @type {HTMLFormElement} */ (at("how"));
  /** @type {File | null} */
  let file = null;
  /** Settings that were changed, by their names. @type {Record<string, string>} */
  let settings = {};
  let chosen = false;
  let again = false;
  let looking = new AbortController();
  /** @type {XMLHttpRequest | null} */
  let upload = null;

  at("file").addEventListener("change", () => take(at("file").files[0]));
  at("other").addEventListener("click", () => {
    looking.abort();
    show(false);
    at("file").value = "";
    at("file").focus();
  });
  at("stop").addEventListener("click", () => upload?.abort());
  form.addEventListener("change", changed);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (file && !at("go").disabled) post(file);
  });
  window.addEventListener("beforeunload", (event) => {
    if (upload) event.preventDefault();
  });
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      at("drop").classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) at("drop").classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    at("drop").classList.remove("over");
    if (!upload) take(event.dataTransfer?.files[0]);
  });

  /** @param {boolean} has whether a file is chosen */
  function show(has) {
    at("drop").hidden = has;
    at("chosen").hidden = !has;
    at("sending").hidden = true;
    form.hidden = false;
    tell(at("problem"), null);
    if (!has) file = null;
  }

  take(at("file").files[0]); // one that was chosen before this script was there

  /** @param {File | undefined} given */
  async function take(given) {
    if (!given) return;
    file = given;
    settings = {};
    chosen = again = false;
    show(true);
    at("file-name").textContent = file.name;
    at("file-size").textContent = size(file.size);
    at("preview").replaceChildren();
    at("go").disabled = true;
    at("go-hint").textContent = "";
    if (file.size > mostBytes) {
      tell(at("problem"), new Problem(413, "too_large", `The file is larger than this service takes, ${size(mostBytes)}.`));
    } else if (WHOLE.test(file.name) && file.size > wholeBytes && !/\.json$/i.test(file.name)) {
      unseen();
    } else {
      await look();
    }
    at("other").focus();
  }

  /** A file that is too large to be looked at before it is sent. */
  function unseen() {
    at("preview").replaceChildren(
      make("p", { class: "notice" }, `There is no preview of files like this one of more than ${size(wholeBytes)}. Say which column has the texts.`),
      make("label", { for: "c-column" }, "Column with the texts"),
      make("input", { id: "c-column", name: "column", value: "text" }),
      make("label", { for: "o-sheet" }, "Sheet, if it has several"),
      make("input", { id: "o-sheet", name: "sheet" }),
    );
    at("go").disabled = false;
  }

  /** What is said of the file. @returns {Record<string, string>} */
  function said() {
    /** @type {Record<string, string>} */
    const found = { ...settings };
    for (const one of /** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll("#c-column, input#o-sheet"))) {
      found[one.name] = one.value;
    }
    for (const role of ROLES) delete found[role];
    return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== ""));
  }

  /** @param {Blob} part */
  function body(part) {
    const data = new FormData(); // what is said comes before the file, so that it is heeded
    for (const [name, value] of Object.entries(said())) data.append(name, value);
    data.append("file", part, file?.name);
    return data;
  }

  /** @param {string} role */
  const role = (role) => /** @type {HTMLSelectElement | null} */ (document.getElementById(`c-${role}`))?.value ?? "";

  /** Has the service look at the file's beginning, and shows what it says. */
  async function look() {
    if (!file) return;
    looking.abort();
    looking = new AbortController();
    const whole = WHOLE.test(file.name) && file.size <= wholeBytes;
    const cut = !whole && file.size > headBytes;
    const part = cut ? file.slice(0, headBytes, file.type) : file;
    const query = new URLSearchParams({ cut: String(cut), chosen: String(chosen) });
    for (const one of ROLES) query.set(one, role(one));
    at("preview").setAttribute("aria-busy", "true");
    try {
      const response = await send("POST", `/pages/files/preview?${query}`, body(part), {
        signal: looking.signal,
        headers: { Accept: "text/html, application/problem+json" },
      });
      await refused(response);
      tell(at("problem"), null);
      put(await response.text());
    } catch (error) {
      if (error instanceof DOMException) return;
      if (!(error instanceof Problem)) throw error;
      tell(at("problem"), error);
    } finally {
      at("preview").removeAttribute("aria-busy");
    }
  }

  /** @param {string} html drawn and escaped by this service */
  function put(html) {
    const focused = document.activeElement?.id;
    const was = /** @type {HTMLDetailsElement | null} */ (document.getElementById("reading"))?.open;
    const holder = document.createElement("template");
    holder.innerHTML = html;
    at("preview").replaceChildren(holder.content);
    const seen = at("seen");
    if (was) at("reading").open = true;
    for (const [name, value] of Object.entries(settings)) {
      const control = form.elements.namedItem(name);
      if (control instanceof HTMLInputElement && control.type === "checkbox") control.checked = value !== "false";
      else if (control instanceof HTMLSelectElement || control instanceof HTMLInputElement) control.value = value;
    }
    const kind = seen.dataset.kind || KIND.find(([name]) => name.test(file?.name ?? ""))?.[1] || "table";
    for (const box of seen.querySelectorAll("[data-of]")) {
      /** @type {HTMLElement} */ (box).hidden = !(box.getAttribute("data-of") ?? "").split(" ").includes(kind);
    }
    for (const words of seen.querySelectorAll("[data-words]")) words.textContent = inWords(words.textContent ?? "", words.getAttribute("data-words") ?? "");
    ready();
    if (focused) document.getElementById(focused)?.focus();
    announce(seen.dataset.ok === "true" ? `${seen.dataset.rows} rows of the file are shown.` : "The file cannot be read so.");
    if (!again && kind === "json" && seen.dataset.guess === "true" && seen.dataset.ok === "true") {
      again = true; // of objects, only the first is looked at until it is known where the texts are
      look();
    }
  }

  function ready() {
    const seen = document.getElementById("seen");
    const column = /** @type {HTMLSelectElement | null} */ (document.getElementById("c-column"));
    const missing = column !== null && column.value === "";
    const refusal = seen?.querySelector("[data-hint]") ?? null;
    at("go").disabled = seen !== null && (refusal !== null || missing);
    at("go-hint").textContent = missing && !refusal ? "Choose the column with the texts." : "";
  }

  /** @param {Event} event */
  function changed(event) {
    const control = /** @type {HTMLInputElement} */ (event.target);
    if (!control.name || !document.getElementById("seen")) return;
    chosen = true;
    if (ROLES.includes(control.name)) return;
    if (control.type === "checkbox" || control.name === "sheet") {
      settings[control.name] = control.type !== "checkbox" ? control.value : control.checked ? "" : "false";
      delete settings.column;
      document.getElementById("c-column")?.remove(); // columns get other names
    } else {
      settings[control.name] = control.value;
    }
    look();
  }

  /** @param {File} sent */
  function post(sent) {
    const began = performance.now();
    const request = (upload = new XMLHttpRequest());
    const csrf = document.querySelector('meta[name="csrf-token"]')?.getAttribute("content");
    request.open("POST", to("/batch_predict"));
    request.responseType = "json";
    request.setRequestHeader("Accept", "application/json");
    if (csrf) request.setRequestHeader("X-CSRF-Token", csrf);
    request.upload.addEventListener("progress", (event) => {
      const part = event.loaded / (event.total || 1);
      at("sent").value = part;
      const rate = event.loaded / Math.max(0.05, (performance.now() - began) / 1000);
      at("sending-how").textContent =
        part < 1
          ? `${size(event.loaded)} of ${size(event.total)}, ${size(Math.round(rate))} a second, about ${duration((event.total - event.loaded) / rate)} left. Stay on this page until all is sent.`
          : `All of it (${size(event.total)}) is sent and is being read. Stay for this moment: only here you are told if a part of it cannot be read.`;
    });
    request.addEventListener("loadend", () => {
      upload = null;
      at("sending").hidden = true;
      form.hidden = false;
      const told = request.response;
      if (request.status === 202) {
        const memory = { time: role("time"), segment: role("segment"), label: role("label") };
        remember(told.id, memory);
        location.assign(to(addressOf(told.id, memory)));
        return;
      }
      const why = told?.detail ?? "The file was not sent: the service does not answer, or sending was stopped.";
      const seconds = Number(request.getResponseHeader("Retry-After")) || null;
      tell(at("problem"), new Problem(request.status, told?.code ?? "unreachable", why, seconds, told));
      at("problem").scrollIntoView({ block: "center" });
    });
    tell(at("problem"), null);
    form.hidden = true;
    at("sending").hidden = false;
    at("sent").value = 0;
    at("sending-how").textContent = "";
    at("stop").focus();
    announce("The file is being sent.");
    request.send(body(sent));
  }
}
