// @ts-check
/** Links by which somebody without a key may look at a stream; and deleting it. */

import { call, Problem, root, to } from "./api.js";
import { at, copies, make } from "./dom.js";

const when = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

/** @param {string} source the stream's address; that of a link has nothing to share */
export function sharing(source) {
  const form = /** @type {HTMLFormElement | null} */ (document.getElementById("share"));
  if (form === null) return;
  const problem = at("share-problem");
  const made = at("made");
  const address = /** @type {HTMLInputElement} */ (at("made-address"));

  /** @param {() => Promise<void>} does */
  async function trying(does) {
    problem.hidden = true;
    try {
      await does();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      problem.textContent = error.message;
      problem.hidden = false;
    }
  }

  async function list() {
    const { body } = await call("GET", `${source}/links`);
    at("links").replaceChildren(
      ...body.items.map((/** @type {{id: string, texts: boolean, created_at: string, expires_at: string}} */ link) => {
        const ends = when.format(new Date(link.expires_at));
        const button = make("button", { type: "button", class: "small" }, "Take back");
        const what = `Made ${when.format(new Date(link.created_at))}, ends ${ends}${link.texts ? ", with texts" : ""}`;
        button.setAttribute("aria-label", `Take back the link: ${what}`);
        button.addEventListener("click", () =>
          trying(async () => {
            await call("DELETE", `${source}/links/${link.id}`);
            made.hidden = true;
            await list();
          }),
        );
        return make("li", { class: "row between" }, make("span", {}, what), button);
      }),
    );
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void trying(async () => {
      const seconds = Number(/** @type {HTMLSelectElement} */ (at("share-ttl")).value);
      const texts = /** @type {HTMLInputElement | null} */ (document.getElementById("share-texts"))?.checked ?? false;
      const { body } = await call("POST", `${source}/links`, { expires_in: seconds, texts });
      address.value = location.origin + to(body.path) + location.search;
      made.hidden = false;
      address.focus();
      address.select();
      await list();
    });
  });
  copies(/** @type {HTMLButtonElement} */ (at("made-copy")), () => address.value);
  form.hidden = false;
  void trying(list);

  const dialog = /** @type {HTMLDialogElement} */ (at("delete-dialog"));
  const remove = /** @type {HTMLButtonElement} */ (at("delete"));
  remove.hidden = false;
  remove.addEventListener("click", () => dialog.showModal());
  dialog.addEventListener("close", () => {
    if (dialog.returnValue !== "yes") return;
    void trying(async () => {
      await call("DELETE", source);
      location.assign(`${root}/streams`);
    });
  });
}
