// @ts-check
/** A view as a picture or a table: the service draws the SVG, and the browser makes a PNG of it. */

import { to } from "./api.js";
import { announce, at, copies } from "./dom.js";

const SCALE = 2;

/** @param {string} source the stream's address @param {() => string} query of what is shown */
export function exporting(source, query) {
  const dark = () => {
    const { theme } = document.documentElement.dataset;
    return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  /** @param {string} ending */
  const address = (ending) => to(`${source}/view.${ending}?${query()}${dark() ? "&theme=dark" : ""}`);
  for (const ending of ["svg", "csv"]) {
    const link = /** @type {HTMLAnchorElement} */ (at(ending));
    link.addEventListener("click", () => (link.href = address(ending)));
  }
  const png = /** @type {HTMLButtonElement} */ (at("png"));
  png.addEventListener("click", async () => {
    png.disabled = true;
    try {
      const picture = new Image();
      picture.src = `${address("svg")}&inline=1`;
      await picture.decode();
      const canvas = document.createElement("canvas");
      canvas.width = SCALE * picture.naturalWidth;
      canvas.height = SCALE * picture.naturalHeight;
      canvas.getContext("2d")?.drawImage(picture, 0, 0, canvas.width, canvas.height);
      const blob = await new Promise((/** @type {(made: Blob | null) => void} */ made) => canvas.toBlob(made, "image/png"));
      if (blob === null) throw new Error("the canvas is too large");
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `${document.querySelector("h1")?.textContent ?? "stream"}.png`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
      announce("The picture is saved.");
    } catch {
      at("problem").textContent = "The picture could not be made. Save the SVG instead.";
      at("problem").hidden = false;
    } finally {
      png.disabled = false;
    }
  });
  const copy = /** @type {HTMLButtonElement} */ (at("copy"));
  copies(copy, () => location.href);
  png.hidden = copy.hidden = false;
  const code = document.getElementById("send-code");
  if (code) code.textContent = (code.textContent ?? "").replace("'/streams/", `'${location.origin}${to("/streams/")}`);
}
