// The dialog of one photograph of many: its report, and the way to the next.

import { byId, el } from "../display/dom.js";
import { Report } from "./report.js";
import { showMaps } from "./stage.js";

export class Detail {
  #dialog = byId("detail");
  #around;
  #photo = null;
  #report;
  #head = el("header", { class: "detail-head" });

  /** `on` is {around, remove, again, compare}: the photographs as they are shown, and what the buttons do. */
  constructor({ around, again, remove, compare }) {
    this.#around = around;
    const leaving =
      (act) =>
      (...given) => {
        this.#dialog.close();
        act(...given);
      };
    const root = el("div", { class: "report" });
    this.#report = new Report(root, { again, remove: leaving(remove), compare: leaving(compare) });
    this.#dialog.append(this.#head, root);
    this.#dialog.addEventListener("close", () => {
      this.#photo = null;
      this.#report.show(null);
    });
    this.#dialog.addEventListener("keydown", (event) => {
      if (/** @type {Element} */ (event.target).closest("input, summary, textarea") || event.ctrlKey || event.metaKey || event.altKey)
        return;
      if (event.key === "ArrowLeft") this.#step(-1);
      if (event.key === "ArrowRight") this.#step(1);
    });
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close(); // beside it, on the backdrop
    });
  }

  open(photo) {
    showMaps(byId("maps").checked);
    this.#show(photo);
    this.#dialog.showModal();
    byId("detail-close").focus();
  }

  /** Shows again what has changed with the photograph, if it is the one that is open. */
  update(photo) {
    this.#report.update(photo);
  }

  #step(by) {
    const photos = this.#around();
    const next = photos[photos.indexOf(this.#photo) + by];
    if (!next) return;
    const focused = document.activeElement?.id;
    this.#show(next);
    const before = focused && byId(focused);
    (before && !before.disabled ? before : byId("detail-close")).focus();
  }

  #show(photo) {
    this.#photo = photo;
    const photos = this.#around();
    const at = photos.indexOf(photo);
    const button = (id, label, sign, act, disabled) =>
      el(
        "button",
        { type: "button", id, class: "quiet", "aria-label": label, disabled, on: { click: act } },
        el("span", { "aria-hidden": "true", text: sign }),
      );
    this.#head.replaceChildren(
      el("h2", { id: "detail-name", text: photo.name }),
      button("detail-previous", "Previous photograph", "‹", () => this.#step(-1), at <= 0),
      button("detail-next", "Next photograph", "›", () => this.#step(1), at < 0 || at >= photos.length - 1),
      button("detail-close", "Close", "×", () => this.#dialog.close()),
    );
    this.#report.show(photo);
  }
}
