// @ts-check
/** What a program has to say for the same answer. */

import { root } from "./api.js";

/** @typedef {{text: string, target?: string, model?: string, sentences?: true, explain?: true}} Asked */

/** Signs that are not seen, or that turn the order of others: they are written as escapes. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** The service's address, as this browser reaches it. */
export const address = () => location.origin + root;

/**
 * A call by curl.
 * @param {Asked} asked
 * @param {boolean} hasKeys
 */
export function curl(asked, hasKeys) {
  const json = JSON.stringify(asked).replace(INVISIBLE, (sign) =>
    [...Array(sign.length).keys()].map((place) => `\\u${hex(sign.charCodeAt(place), 4)}`).join(""),
  );
  const key = hasKeys ? ` \\\n  -H "Authorization: Bearer $SENTIQ_API_KEY"` : "";
  return `curl ${address()}/predict \\\n  -H 'Content-Type: application/json'${key} \\\n  -d '${json.replaceAll("'", "'\\''")}'`;
}

/**
 * A call by the Python client.
 * @param {Asked} asked
 * @param {boolean} hasKeys
 */
export function python(asked, hasKeys) {
  const { text, ...others } = asked;
  const more = Object.entries(others).map(([name, value]) => `, ${name}=${value === true ? "True" : literal(value)}`);
  const key = hasKeys ? ', api_key=os.environ["SENTIQ_API_KEY"]' : "";
  return [
    ...(hasKeys ? ["import os", ""] : []),
    "from webapp.client import Sentiq",
    "",
    `with Sentiq(${literal(address())}${key}) as sentiq:`,
    `    print(sentiq.predict(${literal(text)}${more.join("")}))`,
  ].join("\n");
}

/** A string of Python's. @param {string} text */
const literal = (text) =>
  JSON.stringify(text).replace(INVISIBLE, (sign) => {
    const code = sign.codePointAt(0) ?? 0;
    return code > 0xffff ? `\\U${hex(code, 8)}` : `\\u${hex(code, 4)}`;
  });

/** @param {number} code @param {number} digits */
const hex = (code, digits) => code.toString(16).padStart(digits, "0");
