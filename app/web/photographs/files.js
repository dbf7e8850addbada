// Files from outside: chosen, dropped (whole folders too) and pasted, and what can be told of them before sending.

import { count, bytes } from "../display/words.js";
import { Problem } from "../service/service.js";

const MOST_IN_FOLDERS = 5000;

/**
 * The files of a drop, those in folders with it. Promises them; must be called within the event. `limits` are those of
 * GET /models, null while they are not known.
 */
export function droppedFiles(transfer, limits) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  // Files that a script made have no entries.
  if (!entries.some((entry) => entry.isDirectory)) return Promise.resolve([...transfer.files]);
  return within(entries, limits);
}

/** The images among the files of a folder, by type or suffix: whatever else lies there was not meant. */
export function imagesOnly(files, limits) {
  return files
    .filter((file) => file.type.startsWith("image/") || hasImageName(file, limits?.suffixes))
    .slice(0, MOST_IN_FOLDERS);
}

function hasImageName(file, suffixes) {
  // As long as the suffixes are not known, a file of a type that the browser does not know may be one.
  if (!suffixes?.length) return file.type === "";
  return suffixes.some((suffix) => file.name.toLowerCase().endsWith(suffix));
}

/** Why a file will surely be refused, or null; `limits` are those of GET /models, null while they are not known. */
export function refusal(file, limits) {
  if (file.size === 0) return new Problem("invalid-image", { detail: "The file is empty." });
  if (limits && file.size > limits.max_body_bytes)
    return new Problem("body-too-large", { fields: { limit_bytes: limits.max_body_bytes } });
  // What the browser is sure about by the name. The service looks at the content, and so this only spares uploads.
  const named =
    file.type !== "" && !file.type.startsWith("image/") && file.type !== "application/octet-stream";
  if (named || file.type === "image/svg+xml")
    return new Problem("unsupported-media-type", { fields: { supported: limits?.formats } });
  return null;
}

/** What is taken, in a sentence. */
export function limitsText(limits) {
  const formats = [...limits.formats].sort((one, other) => one.localeCompare(other));
  return (
    `${formats.slice(0, -1).join(", ")} or ${formats.at(-1)}, up to ${bytes(limits.max_body_bytes)} and ` +
    `${count(Math.round(limits.max_pixels / 1e5) / 10)} million pixels each. Pasting works as well.`
  );
}

async function within(entries, limits) {
  const found = [];
  const left = [...entries];
  while (left.length > 0 && found.length < MOST_IN_FOLDERS) {
    const entry = left.shift();
    if (entry.isFile) found.push(await fileOf(entry));
    else left.push(...(await inFolder(entry)));
  }
  return imagesOnly(found, limits);
}

function fileOf(entry) {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}

async function inFolder(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    // A reader gives some at a time, and none when it is done.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return found;
    found.push(...some);
  }
}
