// @ts-check
/** The form of a stream's page, and the settings in the address that it stands for. */

import { make } from "./dom.js";

const FEW = ["last", "show", "bucket", "a", "b", "tz"];
/** @type {Record<string, string>} */
const USUAL = { last: "all", show: "net", bucket: "auto", a: "-", b: "-", tz: "" };
const MOST = 12;

/**
 * The settings of the form after one of its fields was changed.
 * @param {HTMLFormElement} form
 * @param {URLSearchParams} before
 * @param {string} field
 */
export function settingsOf(form, before, field) {
  const given = new FormData(form);
  const settings = new URLSearchParams(before);
  for (const name of FEW) {
    const value = String(given.get(name) ?? USUAL[name]);
    if (value === USUAL[name]) settings.delete(name);
    else settings.set(name, value);
  }
  if (!settings.has("a")) settings.delete("b");
  if (settings.has("a") && settings.get("a") === settings.get("b")) settings.delete("b");
  settings.delete("segment");
  for (const name of given.getAll("segment")) settings.append("segment", String(name));
  if (field === "last") {
    settings.delete("from");
    settings.delete("to");
  } else if (field === "from" || field === "to") {
    const value = times()[field].value;
    if (value) settings.set(field, value);
    else settings.delete(field);
    settings.delete("last");
  }
  return settings;
}

/** @returns {Record<string, HTMLInputElement>} */
function times() {
  return {
    from: /** @type {HTMLInputElement} */ (document.getElementById("from")),
    to: /** @type {HTMLInputElement} */ (document.getElementById("to")),
  };
}

/** Shows from and to on the clock of the time zone. @param {URLSearchParams} settings */
export function fillTimes(settings) {
  for (const [name, input] of Object.entries(times())) {
    const value = settings.get(name) ?? "";
    input.value = /^\d+$/.test(value) ? local(Number(value), settings.get("tz") ?? "UTC") : value.slice(0, 16);
  }
}

/** @param {number} seconds @param {string} zone */
function local(seconds, zone) {
  try {
    const format = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "short" });
    return format.format(new Date(1000 * seconds)).replace(" ", "T");
  } catch {
    return ""; // a zone that the browser does not know
  }
}

/**
 * Shows settings in the form; segments that have come meanwhile get their place.
 * @param {HTMLFormElement} form
 * @param {URLSearchParams} settings
 * @param {string[]} names
 */
export function showSettings(form, settings, names) {
  const set = /** @type {HTMLFieldSetElement} */ (form.querySelector("#segments"));
  set.hidden = names.length < 2;
  const row = /** @type {HTMLElement} */ (set.querySelector(".row"));
  const known = new Set([...row.querySelectorAll("input")].map((one) => one.value));
  for (const name of names.filter((one) => !known.has(one))) {
    const words = name || "texts without a segment";
    const box = make("input", { type: "checkbox", name: "segment", value: name });
    row.append(make("label", { class: "check" }, box, make("bdi", {}, words)));
    for (const id of ["a", "b"]) form.querySelector(`#${id}`)?.append(make("option", { value: name }, words));
  }
  const chosen = settings.getAll("segment");
  for (const box of row.querySelectorAll("input")) {
    box.checked = chosen.includes(box.value);
    box.disabled = !box.checked && chosen.length >= MOST;
  }
  for (const name of ["bucket", "a", "b"]) {
    const select = /** @type {HTMLSelectElement} */ (form.elements.namedItem(name));
    if (document.activeElement !== select) select.value = settings.get(name) ?? USUAL[name];
  }
  const zone = /** @type {HTMLInputElement} */ (form.elements.namedItem("tz"));
  if (document.activeElement !== zone) zone.value = settings.get("tz") ?? "UTC";
  const limited = settings.has("from") || settings.has("to");
  for (const name of ["last", "show"]) {
    for (const radio of /** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll(`[name=${name}]`))) {
      radio.checked = !(name === "last" && limited) && radio.value === (settings.get(name) ?? USUAL[name]);
    }
  }
  const second = /** @type {HTMLSelectElement} */ (form.elements.namedItem("b"));
  second.disabled = !settings.has("a");
  const zones = /** @type {HTMLDataListElement} */ (form.querySelector("#zones"));
  if (!zones.childElementCount && "supportedValuesOf" in Intl) {
    zones.append(...["UTC", ...Intl.supportedValuesOf("timeZone")].map((name) => make("option", { value: name })));
  }
}
