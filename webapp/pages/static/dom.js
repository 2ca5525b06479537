// @ts-check
/** Elements made of text that may come from anybody: it is always put in as text, never as HTML. */

/**
 * Makes an element: `make("td", { class: "number" }, "12")`. Children are nodes or text; null is left out.
 * @param {string} name
 * @param {Record<string, string | number | boolean | null>} [attributes] true sets an empty one; null and false none
 * @param {...(Node | string | null)} children
 * @returns {HTMLElement}
 */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A text of somebody's, whose directions of writing do not reach out of it. @param {string} words */
export const isolated = (words) => make("bdi", {}, words);

/** The badge of a label, or of none. @param {string | null} label */
export const badge = (label) =>
  make("span", { class: `badge ${label ? label.toLowerCase() : "none"}` }, label ? capital(label) : "No label");

/** @param {string} word */
export const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1).toLowerCase();

/** The element with this id. @param {string} id @returns {any} */
export function at(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`there is no #${id}`);
  return element;
}

/** Says a sentence to screen readers. @param {string} words */
export function announce(words) {
  at("announcer").textContent = words;
}

/**
 * Calls a function once calls have ceased for a while.
 * @template {any[]} Given
 * @param {(...given: Given) => void} run
 * @param {number} ms
 * @returns {(...given: Given) => void}
 */
export function settled(run, ms) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = window.setTimeout(() => run(...given), ms);
  };
}

/** @type {Intl.NumberFormat} */
const whole = new Intl.NumberFormat("en-GB");
/** 12,345. @param {number} value */
export const count = (value) => whole.format(value);
/** 31 %. @param {number} share of 1 */
export const percent = (share) => `${Math.round(100 * share)} %`;

/** What was kept in this browser under a name; null if nothing was, or it keeps nothing. @param {string} name */
export function kept(name) {
  try {
    return localStorage.getItem(`sentiq-${name}`);
  } catch {
    return null;
  }
}

/** Keeps something in this browser, if it lets us. @param {string} name @param {string} value */
export function keep(name, value) {
  try {
    localStorage.setItem(`sentiq-${name}`, value);
  } catch {
    // Then it is forgotten with the page.
  }
}

/**
 * Makes a button copy text, and say that it has.
 * @param {HTMLButtonElement} button
 * @param {() => string | null} text null: it cannot be copied
 * @param {string} [refusal] what the button says then
 */
export function copies(button, text, refusal = "") {
  const words = button.querySelector("span") ?? button;
  const before = words.textContent;
  button.addEventListener("click", async () => {
    const copied = text();
    let told = refusal;
    try {
      if (copied !== null) {
        await navigator.clipboard.writeText(copied);
        told = "Copied";
      }
    } catch {
      told = "Select it and copy"; // over plain HTTP browsers have no clipboard but on this machine's own address
    }
    words.textContent = told;
    announce(words.textContent);
    setTimeout(() => (words.textContent = before), 2000);
  });
}
