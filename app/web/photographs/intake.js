// The ways in: the buttons that choose, what is dropped anywhere on the page, and what is pasted.

import { byId } from "../display/dom.js";
import { droppedFiles, imagesOnly } from "./files.js";

/**
 * Makes the page take files.
 *
 * @param {object} to
 * @param {(files: File[]) => void} to.add for files that were chosen to be scored.
 * @param {(files: File[]) => void} to.take for those that were dropped or pasted.
 * @param {(text: string) => void} to.notice for a sentence about what cannot be read.
 * @param {() => any} to.limits gives the service's limits, or null.
 */
export function takeIn({ add, take, notice, limits }) {
  const curtain = byId("curtain");
  const choosers = [
    ["choose", "files"],
    ["add", "files"],
    ["choose-folder", "folder"],
    ["add-folder", "folder"],
  ];
  for (const [button, chooser] of choosers) {
    byId(button).addEventListener("click", () => byId(chooser).click());
  }
  for (const chooser of ["files", "folder"])
    byId(chooser).addEventListener("change", () => {
      const files = [...byId(chooser).files];
      byId(chooser).value = ""; // so that the same files can be chosen again
      add(chooser === "folder" ? imagesOnly(files, limits()) : files);
    });
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0; // enter and leave come for every element that is crossed
  document.addEventListener("dragenter", (event) => {
    if (holdsFiles(event)) curtain.hidden = ++depth === 0;
  });
  document.addEventListener("dragleave", (event) => {
    if (holdsFiles(event)) curtain.hidden = --depth <= 0;
  });
  document.addEventListener("dragover", (event) => {
    if (holdsFiles(event)) event.preventDefault();
  });
  document.addEventListener("drop", async (event) => {
    depth = 0;
    curtain.hidden = true;
    if (!holdsFiles(event) || event.defaultPrevented) return;
    event.preventDefault();
    try {
      take(await droppedFiles(event.dataTransfer, limits()));
    } catch (error) {
      notice(`What was dropped cannot be read (${error.message}). Try choosing the files instead.`);
    }
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length > 0 && !document.querySelector("dialog[open]")) take(files);
  });
}
