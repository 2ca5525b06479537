// @ts-check
/** What every page does: the switch between light and dark. */

const html = document.documentElement;
const button = /** @type {HTMLButtonElement} */ (document.getElementById("theme"));
const system = matchMedia("(prefers-color-scheme: dark)");

const isDark = () => (html.dataset.theme ? html.dataset.theme === "dark" : system.matches);
const tell = () => button.setAttribute("aria-pressed", String(isDark()));

button.addEventListener("click", () => {
  const theme = isDark() ? "light" : "dark";
  html.dataset.theme = theme;
  try {
    localStorage.setItem("sentiq-theme", theme);
  } catch {
    // Then it holds for this page alone.
  }
  tell();
});
system.addEventListener("change", tell);
tell();
button.hidden = false;
