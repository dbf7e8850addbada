// The set as a table: CSV for spreadsheets (RFC 4180) or JSON, a row to a photograph. The service says which columns.

const BYTE_ORDER_MARK = "\ufeff"; // by it spreadsheets see that names are in UTF-8
const FORMULA = /^[=+\-@\t\r']/;
const BETWEEN_TEXTS = " | ";
const DECIMALS = 1e6;

/**
 * A column: where its value stands in an answer, `*` for every member of a list; nowhere, for the file and the
 * problem.
 *
 * @typedef {{name: string, kind: "text" | "texts" | "whole" | "number", path: string[]}} Column
 */

/**
 * The text of the table for spreadsheets. A photograph without a score has a row too, which says why.
 *
 * @param {Column[]} columns
 */
export function csv(columns, photos) {
  const rows = photos.map((photo) => columns.map((column) => text(valueOf(column, photo))));
  const lines = [columns.map((column) => column.name), ...rows];
  return BYTE_ORDER_MARK + lines.map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
}

/**
 * The same as JSON: a list of objects, whose fields are the columns.
 *
 * @param {Column[]} columns
 */
export function json(columns, photos) {
  const rows = photos.map((photo) =>
    Object.fromEntries(columns.map((column) => [column.name, valueOf(column, photo)])),
  );
  return JSON.stringify(rows, null, 1) + "\n";
}

/** Has the browser save a text as a file. */
export function save(text, name, type) {
  const address = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // The browser takes it up by itself; a minute is plenty for that.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

function valueOf(column, photo) {
  if (column.name === "file") return photo.name;
  if (column.name === "problem") return problem(photo);
  const found = at(photo.answer, column.path);
  if (column.kind === "texts") return [...new Set(found)];
  if (column.kind === "number" && found.length > 0) return Math.round(found[0] * DECIMALS) / DECIMALS;
  return found[0] ?? null;
}

/**
 * What stands at a path; nothing where it leads nowhere.
 *
 * @param {string[]} path
 */
function at(value, path) {
  const [key, ...rest] = path;
  if (value === null || value === undefined) return [];
  if (key === undefined) return [value];
  return key === "*" ? value.flatMap((each) => at(each, rest)) : at(value[key], rest);
}

function problem(photo) {
  if (photo.state === "failed") return `${photo.problem.slug}: ${photo.problem.message}`;
  return photo.answer ? null : photo.state === "cancelled" ? "cancelled" : "not scored yet";
}

function text(value) {
  if (typeof value === "number") return String(value);
  const text = Array.isArray(value) ? value.join(BETWEEN_TEXTS) : (value ?? "");
  // A spreadsheet would run what begins like a formula.
  return FORMULA.test(text) ? `'${text}` : text;
}

function cell(value) {
  return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}
