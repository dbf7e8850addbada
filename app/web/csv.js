// The set as a table for spreadsheets (RFC 4180), a row to a photograph.

import { DIMENSIONS } from "./words.js";

const BYTE_ORDER_MARK = "\ufeff"; // by it spreadsheets see that names are in UTF-8
const FORMULA = /^[=+\-@\t\r]/;

/** The text of the table. A photograph without a score has a row too, which says why. */
export function table(photos) {
  const models = [...new Set(photos.flatMap((photo) => Object.keys(photo.answer?.models ?? {})))].sort();
  const head = [
    "file",
    "score",
    "model",
    ...Object.keys(DIMENSIONS),
    ...models.map((name) => `${name}_score`),
    "policy",
    "verdict",
    "reasons",
    "width",
    "height",
    "format",
    "bytes",
    "sha256",
    "warnings",
    "problem",
  ];
  const rows = photos.map((photo) => [photo.name, ...scored(photo, models), problem(photo)]);
  return BYTE_ORDER_MARK + [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

/** Has the browser save a text as a file. */
export function save(text, name) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // The browser takes it up by itself; a minute is plenty for that.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

function scored({ answer, file }, models) {
  if (!answer)
    return [...Array(2 + Object.keys(DIMENSIONS).length + models.length + 6).fill(""), file.size, "", ""];
  const { image, verdict } = answer;
  return [
    answer.score,
    answer.model,
    ...Object.keys(DIMENSIONS).map((name) => answer.dimensions?.[name] ?? ""),
    ...models.map((name) => answer.models[name]?.score ?? ""),
    verdict?.policy ?? "",
    verdict?.outcome ?? "",
    [...new Set((verdict?.reasons ?? []).map((reason) => reason.message))].join(" "),
    image.width,
    image.height,
    image.format,
    image.bytes,
    image.sha256,
    answer.warnings.join(" | "),
  ];
}

function problem(photo) {
  if (photo.state === "failed") return `${photo.problem.slug}: ${photo.problem.message}`;
  return photo.answer ? "" : photo.state === "cancelled" ? "cancelled" : "not scored yet";
}

function cell(value) {
  let text = String(value);
  // A name that begins like a formula would be run by a spreadsheet.
  if (typeof value === "string" && FORMULA.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
