// One photograph of the set: its file, where it stands, and what the service said of it.

let last = 0;

/**
 * `state` is one of: waiting, asking, paused (refused for the moment), scored, failed, cancelled.
 * An answer stays while the photograph is asked about again, as after another policy was chosen.
 */
export class Photo {
  order = ++last;
  state = "waiting";
  answer = null;
  remembered = false;
  problem = null;
  policy = ""; // that the answer was asked with
  pause = null; // {problem, seconds} while paused
  isExample = false; // of the page's own
  thumbnail = null; // address of a small version; "" where the browser cannot show the file
  #address = null;

  constructor(file) {
    this.file = file;
    this.name = file.webkitRelativePath || file.name || "pasted image";
  }

  /** The address of the file itself within this page, for as long as the photograph is in the set. */
  get address() {
    this.#address ??= URL.createObjectURL(this.file);
    return this.#address;
  }

  /** Gives back what the browser keeps for it. */
  release() {
    if (this.#address) URL.revokeObjectURL(this.#address);
    if (this.thumbnail) URL.revokeObjectURL(this.thumbnail);
    this.#address = null;
    this.thumbnail = null;
  }

  /** The format's name for people, from the answer if there is one. */
  get format() {
    const ending = this.name.includes(".") ? this.name.split(".").pop() : "";
    return this.answer?.image.format ?? (ending.toUpperCase().slice(0, 5) || "Image");
  }
}
