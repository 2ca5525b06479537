// @ts-check
/** Has the texts of a large file drawn, and shows the page again once they are. */

import { Problem, call } from "./api.js";
import { at } from "./dom.js";

const place = at("drawing");
try {
  await call("GET", place.dataset.labels ?? "");
  location.reload();
} catch (error) {
  if (!(error instanceof Problem)) throw error;
  place.className = "notice bad";
  place.firstElementChild.textContent = error.message;
}
