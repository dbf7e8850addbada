// The dialog that asks for a key, once for all requests that need one.

import { byId } from "../display/dom.js";
import { enterKey, forgetKey, hasKey, onKeyNeeded } from "./service.js";

const SENDABLE = /^[\x21-\x7e]+$/; // in a header; anything else is no key, and could not even be sent

let wasAsked = false;

/** Makes the dialog and the header's buttons work; `entered` is called when a key was given by the button. */
export function setUpKey(entered) {
  const dialog = byId("key");
  const input = byId("key-input");
  let answer = null;

  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const typed = input.value.trim();
    if (!SENDABLE.test(typed)) {
      byId("key-wrong").textContent =
        "Keys are made of letters, digits and signs, without spaces. Look at it once more.";
      return;
    }
    answer = typed;
    dialog.close();
  });
  byId("key-cancel").addEventListener("click", () => dialog.close());
  byId("key-enter").addEventListener("click", async () => {
    if (await enterKey()) entered();
  });
  byId("key-forget").addEventListener("click", forgetKey);
  document.addEventListener("key-changed", show);

  onKeyNeeded((wrong) => {
    answer = null;
    wasAsked = true;
    input.value = "";
    byId("key-wrong").textContent = wrong
      ? "The service does not know the last key. Look at it once more."
      : "";
    const under = document.activeElement;
    dialog.showModal();
    input.focus();
    return new Promise((resolve) => {
      dialog.addEventListener(
        "close",
        () => {
          input.value = "";
          if (under instanceof HTMLElement && under.isConnected) under.focus();
          resolve(answer);
        },
        { once: true },
      );
    });
  });
  show();
}

function show() {
  byId("key-forget").hidden = !hasKey();
  byId("key-enter").hidden = hasKey() || !wasAsked;
}
