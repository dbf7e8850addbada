// The service, asked over the same HTTP interface as by everybody else; nothing else of the page sends requests.

// Relative to this file, so that the page works under any prefix, and under /v1.
const BASE = new URL("../..", import.meta.url);
const KEY_NAME = "iqa-key";
const LONGEST_WAIT_MS = 120_000; // the service itself answers or refuses long before that
const LONGEST_QUESTION_MS = 15_000; // for what needs no image work
const LONGEST_PICK_MS = 600_000; // dozens of files have to get there first

/** What went wrong, as the service says it, or in the same form what happened on the way. */
export class Problem extends Error {
  /**
   * `retryAfter` is in seconds, null where it is no use to come again; `attempts` is how often at most, and
   * `fields` are the problem's own.
   *
   * @param {string} slug
   * @param {{title?: string, detail?: string, status?: number, requestId?: string, retryAfter?: number | null,
   *   attempts?: number, fields?: Record<string, any>}} told
   */
  constructor(
    slug,
    { title = "", detail = "", status = 0, requestId = "", retryAfter = null, attempts, fields = {} } = {},
  ) {
    super(detail || title || slug);
    this.name = "Problem";
    this.slug = slug;
    this.title = title;
    this.detail = detail;
    this.status = status;
    this.requestId = requestId;
    this.retryAfter = retryAfter;
    this.attempts = attempts;
    this.fields = fields;
  }
}

let key = readKey();
let askForKey = null;
let asking = null;

/** Has a function asked for a key when one is needed: given whether the last was wrong, it promises one or null. */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

export function hasKey() {
  return key !== null;
}

export function forgetKey() {
  keepKey(null);
}

/** Asks for a key now, and promises whether there is one. */
export async function enterKey() {
  return renewKey(key);
}

/** The columns of a table of answers. */
export async function getColumns() {
  return (await send("web/columns.json", { limitMs: LONGEST_QUESTION_MS })).json();
}

export async function getModels() {
  return (await send("models", { limitMs: LONGEST_QUESTION_MS })).json();
}

/** The policies that images can be judged by; none where the service has no such route. */
export async function getPolicies() {
  try {
    return (await (await send("policies", { limitMs: LONGEST_QUESTION_MS })).json()).policies;
  } catch (problem) {
    if (problem.slug === "not-found") return [];
    throw problem;
  }
}

/**
 * Scores a file. Gives the answer as it is, and how it was come by.
 *
 * @param {File} file
 * @param {{policy?: string, map?: boolean, signal?: AbortSignal}} options
 */
export async function score(file, { policy = "", map = true, signal } = {}) {
  const query = { ...(map ? { quality_map: "true" } : {}), ...(policy ? { policy } : {}) };
  return answered(await send("score", { query, file, body: file, signal }));
}

/**
 * Compares two files; `resize` brings the distorted one to the reference's size.
 *
 * @param {File} reference
 * @param {File} distorted
 * @param {{resize?: boolean, signal?: AbortSignal}} options
 */
export async function compare(reference, distorted, { resize = false, signal } = {}) {
  const body = new FormData();
  body.append("reference", reference);
  body.append("distorted", distorted);
  const query = { difference_map: "true", ...(resize ? { resize: "reference" } : {}) };
  return answered(await send("compare", { query, file: [reference, distorted], body, signal }));
}

/**
 * Groups files that show the same, and tells which of each group to keep.
 *
 * @param {File[]} files
 * @param {{signal?: AbortSignal}} options
 */
export async function pick(files, { signal } = {}) {
  const body = new FormData();
  for (const file of files) body.append("images", file);
  return (await send("pick", { file: files, body, signal, limitMs: LONGEST_PICK_MS })).json();
}

/**
 * Finds the limits of a policy from scores.
 *
 * @param {any} question
 * @param {{signal?: AbortSignal}} options
 */
export async function calibrate(question, { signal } = {}) {
  const body = new Blob([JSON.stringify(question)], { type: "application/json" });
  return (await send("calibrate", { body, signal })).json();
}

async function answered(response) {
  return { answer: await response.json(), remembered: response.headers.get("X-Cache") === "hit" };
}

/**
 * @param {string} path
 * @param {{query?: Record<string, string>, file?: File | File[], body?: BodyInit, signal?: AbortSignal,
 *   limitMs?: number}} options
 */
async function send(path, { query = {}, file = [], body, signal, limitMs = LONGEST_WAIT_MS } = {}) {
  const address = new URL(path, BASE);
  address.search = new URLSearchParams(query).toString();
  for (;;) {
    const used = key;
    const response = await fetched(address, used, { file: [file].flat(), body, signal, limitMs });
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (problem.slug !== "unauthorized") throw problem;
    // Many requests may find out at the same time: the first asks, all others wait for the same key.
    if (!(await renewKey(used))) throw problem;
    signal?.throwIfAborted();
  }
}

async function fetched(address, used, { file, body, signal, limitMs }) {
  const headers = { Accept: "application/json, application/problem+json" };
  if (used !== null) headers.Authorization = `Bearer ${used}`;
  // The content decides what an image is; a label from the file's name could only be wrong.
  if (body instanceof File) headers["Content-Type"] = "application/octet-stream";
  const limit = AbortSignal.timeout(limitMs);
  try {
    const response = await fetch(address, {
      method: body === undefined ? "GET" : "POST",
      headers,
      body,
      cache: "no-store",
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    // The body with it, under the same limit; what is read later would have none.
    return new Response(await response.blob(), response);
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (limit.aborted) throw new Problem("no-answer");
    // The browser says the same of a network that is gone and of a file that is.
    for (const each of file) await readable(each);
    throw new Problem("unreachable", { retryAfter: 1, attempts: 3, detail: String(error.message ?? error) });
  }
}

async function readable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Problem("unreadable-file");
  }
}

async function problemOf(response) {
  const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const retryAfter = Number.isFinite(seconds) && seconds >= 0 ? seconds : null;
  let said;
  try {
    said = await response.json();
  } catch {
    // Of something in between that does not speak our problems, such as a proxy with a page of its own.
    return new Problem("unexpected", { status: response.status, retryAfter });
  }
  const { type = "", title, status = response.status, detail, request_id: requestId, ...fields } = said ?? {};
  const slug = String(type).split("/").pop() || "unexpected";
  return new Problem(slug, { title, detail, status, requestId, retryAfter, fields });
}

async function renewKey(used) {
  if (key !== used) return key !== null;
  asking ??= askForKey(used !== null)
    .then(keepKey)
    .finally(() => (asking = null));
  await asking;
  return key !== null;
}

function keepKey(entered) {
  key = entered;
  try {
    if (entered === null) sessionStorage.removeItem(KEY_NAME);
    else sessionStorage.setItem(KEY_NAME, entered);
  } catch (error) {
    console.info("The key is kept by this page alone, as the browser has storage turned off.", error);
  }
  document.dispatchEvent(new CustomEvent("key-changed"));
}

function readKey() {
  try {
    return sessionStorage.getItem(KEY_NAME);
  } catch {
    return null; // storage is turned off, as a private window may have it
  }
}
