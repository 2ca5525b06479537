// @ts-check
/** The list of streams: makes a new one. */

import { call, Problem, root } from "./api.js";
import { at } from "./dom.js";

const section = at("make");
const form = /** @type {HTMLFormElement} */ (at("make-form"));
const opens = /** @type {HTMLButtonElement} */ (at("new"));
const away = /** @type {HTMLButtonElement} */ (at("make-away"));
const error = at("make-error");

/** @param {boolean} open */
function open(open) {
  section.hidden = !open;
  opens.setAttribute("aria-expanded", String(open));
  if (open) at("name").focus();
  else opens.focus();
}

/**
 * The other names of segments, one segment a line: `Meier: Dr. Meier, the minister`.
 * @param {string} lines
 * @returns {Record<string, string[]> | null}
 */
function masks(lines) {
  /** @type {Record<string, string[]>} */
  const found = {};
  for (const line of lines.split("\n").filter((one) => one.trim())) {
    const colon = line.indexOf(":");
    if (colon < 1) throw new Error(`“${line.trim()}” has no colon between the segment and its other names.`);
    const names = line.slice(colon + 1).split(",").map((name) => name.trim()).filter(Boolean);
    found[line.slice(0, colon).trim()] = names;
  }
  return Object.keys(found).length ? found : null;
}

/** @param {string} words @param {HTMLElement | null} [field] */
function tell(words, field = null) {
  error.textContent = words;
  error.hidden = false;
  field?.focus();
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  error.hidden = true;
  const given = new FormData(form);
  const name = String(given.get("name")).trim();
  if (!/^[a-z0-9][a-z0-9_-]{0,63}$/.test(name)) {
    tell("The name has 1 to 64 lower-case letters, digits, - and _, and begins with a letter or digit.", at("name"));
    return;
  }
  /** @type {Record<string, unknown>} */
  const settings = { keep_sample: given.has("keep_sample") };
  if (given.get("ttl")) settings.ttl = Number(given.get("ttl"));
  if (given.get("sensitivity")) settings.sensitivity = Number(given.get("sensitivity"));
  if (given.get("callback_url")) settings.callback_url = given.get("callback_url");
  try {
    settings.mask_segments = masks(String(given.get("masks")));
  } catch (fault) {
    tell(fault instanceof Error ? fault.message : String(fault), at("masks"));
    return;
  }
  try {
    const known = await call("GET", `/streams/${name}`).then(() => true, () => false);
    if (known) {
      tell("There is a stream of this name already: choose another one.", at("name"));
      return;
    }
    await call("PUT", `/streams/${name}`, settings);
    location.assign(`${root}/streams/${name}`);
  } catch (problem) {
    tell(problem instanceof Problem ? problem.message : String(problem));
  }
});
opens.addEventListener("click", () => open(section.hidden));
away.addEventListener("click", () => open(false));
opens.hidden = away.hidden = false;
if (document.querySelector("tbody")) section.hidden = true;
else opens.hidden = away.hidden = true;
