// @ts-check
/** The moment that is pointed at in a stream's drawings, with the mouse, a finger or keys; and zooming. */

const DRAG_PX = 6;

/**
 * @param {{
 *   zoom: (from: number, to: number) => void, all: () => void, look: (moment: number) => void, done: () => void
 * }} does what a person asks for; `done`: a drag is over
 */
export function cursors(does) {
  /** The beginning of the bucket that each drawing's cursor is at. @type {Map<string, number>} */
  const places = new Map();
  let dragging = false;

  /** @param {HTMLElement} view a view that was just put in its place */
  function begin(view) {
    /** @type {number[]} */
    const starts = JSON.parse(view.dataset.starts ?? "[]");
    if (starts.length < 2) return;
    const keys = /** @type {HTMLElement | null} */ (view.querySelector(".keys"));
    if (keys) keys.hidden = false;
    for (const plot of /** @type {NodeListOf<HTMLElement>} */ (view.querySelectorAll(".plot"))) {
      one(plot, starts, view.dataset);
    }
  }

  /** @param {HTMLElement} plot @param {number[]} starts @param {DOMStringMap} frame */
  function one(plot, starts, frame) {
    /** @type {string[]} */
    const says = JSON.parse(plot.dataset.says ?? "[]");
    const cursor = /** @type {HTMLElement} */ (plot.querySelector(".cursor"));
    const line = /** @type {HTMLElement} */ (cursor.querySelector(".cursor-line"));
    const range = /** @type {HTMLElement} */ (cursor.querySelector(".cursor-range"));
    const output = /** @type {HTMLOutputElement} */ (plot.querySelector("output"));
    const first = starts[0];
    const length = starts[starts.length - 1] - first;
    const last = says.length - 1;
    cursor.style.left = `${frame.left}%`;
    cursor.style.width = `${Number(frame.right) - Number(frame.left)}%`;
    const name = plot.querySelector("h3 bdi")?.textContent ?? "";
    for (const [key, value] of Object.entries({
      role: "slider",
      tabindex: "0",
      "aria-label": `${name}: time. Arrow keys move, plus and minus zoom, Enter shows texts.`,
      "aria-valuemin": "0",
      "aria-valuemax": String(last),
    })) {
      cursor.setAttribute(key, value);
    }
    cursor.hidden = false;

    /** @param {number} share of the width @returns {number} the bucket there */
    const bucketAt = (share) => {
      const moment = first + Math.min(Math.max(share, 0), 1) * length;
      let place = starts.findIndex((start) => start > moment) - 1;
      if (place < 0) place = last;
      return Math.min(place, last);
    };
    const kept = places.get(plot.id);
    let place = kept === undefined ? last : bucketAt((kept - first) / length);

    /** @param {number} to @param {boolean} tells */
    function move(to, tells) {
      place = Math.min(Math.max(to, 0), last);
      line.style.left = `${(100 * ((starts[place] + starts[place + 1]) / 2 - first)) / length}%`;
      cursor.setAttribute("aria-valuenow", String(place));
      cursor.setAttribute("aria-valuetext", says[place]);
      if (tells) {
        places.set(plot.id, starts[place]);
        output.textContent = says[place];
        cursor.classList.add("on");
      }
    }
    move(place, kept !== undefined);

    /** @param {number} factor */
    function zoom(factor) {
      const middle = (starts[place] + starts[place + 1]) / 2;
      const half = Math.max((length * factor) / 2, 120);
      does.zoom(Math.floor((middle - half) / 60) * 60, Math.ceil((middle + half) / 60) * 60);
    }
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => move(place - 1, true),
      ArrowRight: () => move(place + 1, true),
      ArrowDown: () => move(place - 1, true),
      ArrowUp: () => move(place + 1, true),
      PageDown: () => move(place - 10, true),
      PageUp: () => move(place + 10, true),
      Home: () => move(0, true),
      End: () => move(last, true),
      "+": () => zoom(0.5),
      "=": () => zoom(0.5),
      "-": () => zoom(2),
      Enter: () => does.look(starts[place]),
      Escape: () => does.all(),
    };
    cursor.addEventListener("keydown", (event) => {
      const does = keys[event.key];
      if (!does || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Escape" && document.body.hasAttribute("data-wall")) return;
      event.preventDefault();
      event.stopPropagation();
      does();
    });

    /** @type {number | null} */
    let from = null;
    /** @param {PointerEvent} event */
    const shareOf = (event) => {
      const box = cursor.getBoundingClientRect();
      return (event.clientX - box.left) / box.width;
    };
    cursor.addEventListener("pointermove", (event) => {
      const share = shareOf(event);
      move(bucketAt(share), true);
      if (from === null) return;
      const wide = Math.abs(share - from) * cursor.clientWidth;
      cursor.classList.toggle("drags", wide > DRAG_PX);
      range.style.left = `${100 * Math.max(Math.min(from, share), 0)}%`;
      range.style.width = `${100 * (Math.min(Math.max(from, share), 1) - Math.max(Math.min(from, share), 0))}%`;
    });
    cursor.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      from = shareOf(event);
      dragging = true;
      cursor.setPointerCapture(event.pointerId);
    });
    cursor.addEventListener("pointerup", (event) => {
      if (from === null) return;
      const [low, high] = [from, shareOf(event)].sort((a, b) => a - b).map(bucketAt);
      const drags = cursor.classList.contains("drags");
      end();
      if (drags) does.zoom(starts[low], starts[high + 1]);
      else does.look(starts[low]);
    });
    cursor.addEventListener("pointercancel", end);
    cursor.addEventListener("pointerleave", () => {
      if (from !== null || document.activeElement === cursor) return;
      cursor.classList.remove("on");
      places.delete(plot.id);
      output.textContent = "";
    });
    function end() {
      from = null;
      dragging = false;
      cursor.classList.remove("drags");
      does.done();
    }
  }

  return { begin, drags: () => dragging };
}
