// @ts-check
/** Fetches the state of the service anew, as long as somebody looks. */

import { Problem, show } from "./api.js";
import { announce, at, make } from "./dom.js";

const EVERY_MS = 4000;
const place = at("status");
let before = said();

/** @returns {string} */
function said() {
  return place.querySelector("h2")?.textContent ?? "";
}

async function refresh() {
  if (document.hidden || place.contains(document.activeElement)) return; // nothing moves from under a keyboard
  const open = [...place.querySelectorAll("details")].map((one) => one.open);
  try {
    await show(place, "/pages/status");
    place.querySelectorAll("details").forEach((/** @type {HTMLDetailsElement} */ one, /** @type {number} */ number) => (one.open = open[number] ?? false));
  } catch (error) {
    if (error instanceof Problem && error.status === 401) return location.reload(); // the session has ended
    const words = error instanceof Problem ? error.message : String(error);
    place.replaceChildren(make("h2", {}, "The service does not answer"), make("p", {}, words));
  }
  if (said() !== before) announce((before = said()));
}

setInterval(refresh, EVERY_MS);
document.addEventListener("visibilitychange", refresh);
