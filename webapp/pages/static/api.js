// @ts-check
/**
 * How pages speak with the service. Every path is one of the service's own: `/jobs`, `/pages/...`.
 *
 *     import { call, Problem } from "./api.js";
 *     try {
 *       const { body } = await call("POST", "/predict", { text });
 *     } catch (error) {
 *       if (error instanceof Problem) tell(error.message);
 *     }
 */

/** The path below which the service is served, or an empty string. */
export const root = document.documentElement.dataset.root ?? "";
/** The token of the session; an empty string without one. */
export const csrf = document.querySelector('meta[name="csrf-token"]')?.getAttribute("content") ?? "";

/** @typedef {{status: number, body: any, headers: Headers}} Answer */
/** @typedef {{signal?: AbortSignal, headers?: Record<string, string>}} Options */

/** An address of the service. @param {string} path */
export const to = (path) => root + path;

/** A refusal of the service, or that it could not be reached (status 0). `message` is a sentence for people. */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {string} code of the problem, as docs/api.md lists them; `unreachable` if there was no answer
   * @param {string} detail
   * @param {number | null} retryAfterS seconds after which to try again, if the service says so
   * @param {any} body the whole problem
   */
  constructor(status, code, detail, retryAfterS = null, body = null) {
    super(detail);
    this.name = "Problem";
    this.status = status;
    this.code = code;
    this.retryAfterS = retryAfterS;
    /** The sentence without when to try again, for pages that say so themselves, or do it. */
    this.reason = detail.replace(/\s*Try again (later|in \d+ s)\.$/, "");
    this.body = body;
  }
}

/**
 * Sends a request and gives back the Response, whatever its status; `call` is for JSON.
 * @param {string} method
 * @param {string} path
 * @param {BodyInit | object | null} [body] an object is sent as JSON; text, FormData and Blob as they are
 * @param {Options} [options]
 * @returns {Promise<Response>}
 */
export async function send(method, path, body = null, options = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json", ...options.headers };
  if (csrf && method !== "GET" && method !== "HEAD") headers["X-CSRF-Token"] = csrf;
  const plain = body !== null && (Array.isArray(body) || Object.getPrototypeOf(body) === Object.prototype);
  if (plain) headers["Content-Type"] = "application/json";
  const sent = /** @type {BodyInit | null} */ (plain ? JSON.stringify(body) : body);
  try {
    return await fetch(to(path), { method, body: sent, headers, signal: options.signal, credentials: "same-origin" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "unreachable", "The service does not answer. It may be restarting; try again in a moment.");
  }
}

/**
 * Sends a request and reads the JSON of its answer (null if it has none).
 * @param {string} method
 * @param {string} path
 * @param {BodyInit | object | null} [body]
 * @param {Options} [options]
 * @returns {Promise<Answer>}
 * @throws {Problem} the service refuses, or cannot be reached
 */
export async function call(method, path, body = null, options = {}) {
  const response = await send(method, path, body, options);
  await refused(response);
  const json = (response.headers.get("Content-Type") ?? "").includes("json");
  return { status: response.status, body: json ? await response.json() : null, headers: response.headers };
}

/** What is wrong with a field, as the end of a sentence. @param {string} message */
const ended = (message) => `${/^(must|is|has|may|can)\b/.test(message) ? message : `cannot be used: ${message}`}`.replace(/\.?$/, ".");

/**
 * Throws the Problem of an answer that is a refusal.
 * @param {Response} response
 */
export async function refused(response) {
  if (response.ok) return;
  const told = await response.json().catch(() => null);
  const seconds = Number(response.headers.get("Retry-After"));
  const [fault] = told?.errors ?? [];
  const detail = fault?.message && fault.field ? `The field “${fault.field}” ${ended(fault.message)}` : told?.detail;
  throw new Problem(
    response.status,
    told?.code ?? "error",
    detail ?? `The service answered with an error (${response.status}).`,
    seconds > 0 ? seconds : null,
    told,
  );
}

/**
 * Fetches a part of a page that this service has drawn and puts it in the place of what `element` has within.
 * @param {Element} element
 * @param {string} path below `/pages/`
 * @param {Options} [options]
 */
export async function show(element, path, options = {}) {
  const response = await send("GET", path, null, { ...options, headers: { Accept: "application/json, text/html;q=0.9" } });
  await refused(response);
  const holder = document.createElement("template");
  holder.innerHTML = await response.text(); // drawn and escaped by this service alone
  element.replaceChildren(holder.content);
}

/**
 * Listens to server-sent events of JSON.
 * @param {string} path
 * @param {Record<string, (data: any) => void>} handlers by the name of the event
 * @returns {EventSource}
 */
export function listen(path, handlers) {
  const source = new EventSource(to(path));
  for (const [name, handler] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => handler(JSON.parse(/** @type {MessageEvent} */ (event).data)));
  }
  return source;
}
