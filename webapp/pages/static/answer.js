// @ts-check
/** Shows the answer of `/predict`. */

import { at, badge, capital, count, isolated, make, percent } from "./dom.js";

/** Weights from which on a word is marked a little, more, and most; below the first it is not. */
const STRONG = [0.02, 0.1, 0.25];
const HEAVIEST = 5;
const names = new Intl.DisplayNames(["en"], { type: "language", fallback: "code" });

/** @param {string} code of a language, such as `es` */
const language = (code) => {
  try {
    return names.of(code) ?? code;
  } catch {
    return code; // not a code that this browser can name
  }
};

/**
 * The language in words: one that the model does not read, of which it was not warned, is a guess.
 * @param {any} answer
 * @param {string[] | null} reads
 */
function spoken(answer, reads) {
  if (!answer.language) return "cannot be told";
  const { code } = answer.language;
  const guess = reads?.length && !reads.includes(code) && !(answer.warnings ?? []).includes("unsupported_language");
  return guess ? `perhaps ${language(code)}` : language(code);
}

/** "English, French and German". @param {string[]} parts */
const listed = (parts) => (parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`);

/**
 * What a warning says to a person.
 * @param {string} code
 * @param {any} answer
 * @param {string[] | null} reads the languages that the model reads; null if that is not known
 */
function warned(code, answer, reads) {
  switch (code) {
    case "unsupported_language": {
      const found = answer.language ? language(answer.language.code) : "another language";
      const known = reads?.length ? `the model reads ${listed(reads.map(language))}` : "the model does not read it";
      return answer.label === null
        ? `This looks like ${found}; ${known}. So there is no answer, rather than one that means nothing.`
        : `This looks like ${found}; ${known}. Do not rely on the answer.`;
    }
    case "uncertain":
      return "The model is not sure. Answers like this one are often wrong.";
    case "truncated":
      return "The text is longer than the model reads. What it says at its end was left out.";
    case "two_class":
      return "This model cannot give one of the labels, so it has to choose between the others.";
    case "no_words":
      return "There are no words in this text that the model knows, only links, names, digits, signs or unknown ones.";
    case "not_mentioned":
      return "The text does not name what it should be scored towards, so it was not scored.";
    default:
      return code;
  }
}

/** The sentence below the label. @param {any} answer */
function sureness(answer) {
  if (answer.confidence === null) return "";
  const hundred = Math.round(100 * answer.confidence);
  return answer.calibrated
    ? `Of 100 texts with this score, people label about ${hundred} the same.`
    : `Score ${hundred} of 100.`;
}

/**
 * @param {any} answer of `/predict`, or a line of a job's results
 * @param {string[]} classes of the service's analysis
 * @param {string[] | null} reads
 */
export function showAnswer(answer, classes, reads) {
  at("answer").dataset.label = answer.label ?? "";
  at("label").textContent = answer.label ? capital(answer.label) : "No label";
  at("sure").textContent = sureness(answer);
  at("scores").replaceChildren(...(answer.scores ? classes.map((name) => score(name, answer.scores[name] ?? 0)) : []));
  const icon = at("warning-icon").content;
  at("warnings").replaceChildren(
    ...(answer.warnings ?? []).map((/** @type {string} */ code) =>
      make("p", { class: "notice warn" }, icon.cloneNode(true), make("span", {}, warned(code, answer, reads))),
    ),
  );
  const facts = [
    ["Language", spoken(answer, reads)],
    ["Model", answer.model ?? "none"],
    ...(answer.processing_time_ms === undefined ? [] : [["Took", took(answer)]]),
    ...(answer.windows > 1 ? [["Read in", `${count(answer.windows)} parts`]] : []),
  ];
  at("facts").replaceChildren(...facts.map(([name, told]) => make("div", {}, make("dt", {}, name), make("dd", {}, told))));
  const sentences = answer.sentences ?? [];
  at("sentence-list").replaceChildren(
    ...sentences.map((/** @type {any} */ one) => make("li", {}, make("bdi", { class: "text" }, one.text), badge(one.label))),
  );
  at("sentences-part").hidden = sentences.length === 0;
}

/** @param {any} answer */
const took = (answer) => `${answer.processing_time_ms < 10 ? answer.processing_time_ms.toFixed(1) : Math.round(answer.processing_time_ms)} ms${answer.cached ? ", known already" : ""}`;

/** A row of the scores. @param {string} name @param {number} share */
function score(name, share) {
  const inner = make("span");
  inner.style.width = `${100 * share}%`;
  return make(
    "li",
    {},
    make("span", {}, capital(name)),
    make("div", { class: `bar ${name.toLowerCase()}`, "aria-hidden": "true" }, inner),
    make("span", { class: "number" }, percent(share)),
  );
}

/**
 * Shows the words of a text with their weights.
 * @param {any} answer with `words`
 */
export function showWords(answer) {
  const signs = Array.from(answer.text); // offsets are counted in code points
  /** @type {(Node | string)[]} */
  const parts = [];
  let end = 0;
  for (const word of answer.words) {
    parts.push(signs.slice(end, word.offset).join(""));
    end = word.offset + word.length;
    const strength = STRONG.filter((least) => Math.abs(word.weight ?? 0) >= least).length;
    const kind = strength === 0 ? null : word.weight > 0 ? `for-${strength}` : "against";
    parts.push(kind === null ? word.text : make("span", { class: kind }, word.text));
  }
  parts.push(signs.slice(end).join(""));
  at("weighed").replaceChildren(...parts);
  const label = capital(answer.label);
  at("weights").replaceChildren(
    ...[heaviest(`For ${label}, in points:`, answer.words, 1), heaviest("Against it:", answer.words, -1)].filter(
      (one) => one !== null,
    ),
  );
  at("words-hint").textContent =
    "The weight of a word is how much the score would fall without it. Coloured words speak for the label, underlined ones against it.";
  at("words").hidden = false;
}

/** The heaviest words of one side, in figures: colours may not be seen. @param {string} title @param {any[]} words @param {1 | -1} side */
function heaviest(title, words, side) {
  const found = words
    .filter((word) => side * (word.weight ?? 0) >= STRONG[0])
    .sort((one, other) => side * (other.weight - one.weight))
    .slice(0, HEAVIEST);
  if (found.length === 0) return null;
  return make("p", {}, `${title} `, ...found.map((word) => make("span", {}, isolated(word.text), ` ${points(word.weight)}`)));
}

/** @param {number} weight */
const points = (weight) => `${weight < 0 ? "\u2212" : "+"}${Math.round(100 * Math.abs(weight))}`;
