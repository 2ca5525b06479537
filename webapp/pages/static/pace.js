// @ts-check
/** How fast a job goes on: by the last while, as others' work may have had its turn before. */

import { count } from "./dom.js";
import { duration } from "./told.js";

const WHILE_S = 30;
/** Without progress for so long, the page says so. */
const STILL_S = 10;

/** @typedef {{at: number, done: number}} Seen how many texts were done at a time, in seconds */

/** @returns {(told: {done: number, total: number, receiving?: boolean, texts_per_s?: number | null, eta_s?: number | null}, now: number) => string} */
export function pace() {
  /** The latest progress, and what came in the while before it. @type {Seen[]} */
  let seen = [];
  return (told, now) => {
    if (!seen.length || told.done > seen[seen.length - 1].done) seen.push({ at: now, done: told.done });
    while (seen.length > 2 && seen[0].at < now - WHILE_S) seen.shift();
    const [first, last] = [seen[0], seen[seen.length - 1]];
    const far = `${count(told.done)} of ${count(told.total)} texts`;
    if (now - last.at >= STILL_S) return `${far}; none for ${duration(now - last.at)}, as other work has its turn or no worker is free`;
    const known = last.done > first.done && last.at - first.at >= 1;
    const rate = known ? (last.done - first.done) / (now - first.at) : told.texts_per_s ?? 0;
    if (!rate) return far;
    const shown = rate < 10 ? rate.toFixed(1) : count(Math.round(rate));
    const left = told.receiving ? "" : `, about ${duration((told.total - told.done) / rate)} left`;
    return `${far}, ${shown} a second${left}`;
  };
}
