// @ts-check
/** What every page does: the switch between light and dark, and where one comes back to after signing in. */

import { keep } from "./dom.js";

const html = document.documentElement;
const button = /** @type {HTMLButtonElement} */ (document.getElementById("theme"));
const system = matchMedia("(prefers-color-scheme: dark)");

/** Whether the page has dark colours now. */
export const isDark = () => (html.dataset.theme ? html.dataset.theme === "dark" : system.matches);
const tell = () => {
  button.setAttribute("aria-pressed", String(isDark()));
};

button.addEventListener("click", () => {
  const theme = isDark() ? "light" : "dark";
  html.dataset.theme = theme;
  keep("theme", theme);
  tell();
});
system.addEventListener("change", tell);
tell();
button.hidden = false;

// What follows the # never comes to the service; browsers take it along from the form's address.
const signIn = /** @type {HTMLFormElement | null} */ (document.querySelector("form[data-sign-in]"));
if (signIn && location.hash) signIn.action += location.hash;
