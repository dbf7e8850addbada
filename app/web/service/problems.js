// What each problem means to the person before the page, and what can be done about it.

import { el } from "../display/dom.js";
import { bytes, count } from "../display/words.js";

// By the slug of the service's contract: a title, and a function of the problem to what happened and what to do.
// `again` is whether asking again can help without anything being changed.
const PROBLEMS = {
  "malformed-request": {
    title: "The service could not read the request",
    say: () =>
      "Something between this page and the service changed what was sent. Reload the page and try once more.",
    again: true,
  },
  unauthorized: {
    title: "A key is needed",
    say: () =>
      "This service answers only those who have a key. Enter one, and the work goes on where it was.",
    again: true,
  },
  "not-found": {
    title: "The service does not know this question",
    say: () =>
      "The page and the service do not fit together; the service may have been updated. Reload the page.",
  },
  "method-not-allowed": {
    title: "The service does not take this question",
    say: () =>
      "The page and the service do not fit together; the service may have been updated. Reload the page.",
  },
  "body-timeout": {
    title: "The upload was too slow",
    say: () =>
      "The photograph did not arrive in the time that the service waits. Try again, or send a smaller file.",
    again: true,
  },
  "body-too-large": {
    title: "The file is too large",
    say: ({ fields }) =>
      (fields.limit_bytes
        ? `Files may have ${bytes(fields.limit_bytes)}.`
        : "It has more bytes than the service takes.") +
      " Save the photograph as a JPEG, or at a smaller size.",
  },
  "unsupported-media-type": {
    title: "Not a photograph that can be read",
    // Of a reason that is known the service says more than the page can.
    say: ({ fields, detail }) =>
      detail && fields.reason && fields.reason !== "unknown-format"
        ? detail
        : `The file is in none of the formats that are taken${list(fields.supported)}. ` +
          "Its content decides, not its name.",
  },
  "invalid-image": {
    title: "The file is damaged",
    say: () =>
      "It ends too early, or a part of it cannot be read. Nothing is scored from half a photograph: " +
      "take it from where it came from once more.",
  },
  "image-too-large": {
    title: "The photograph has too many pixels",
    say: ({ detail }) => `${detail} Scale it down, and add it again.`,
  },
  "image-too-small": {
    title: "The photograph is too small",
    say: ({ fields }) =>
      (fields.min_side
        ? `Each side must have ${count(fields.min_side)} pixels or more`
        : "It has too few pixels") +
      (fields.width ? `; it has ${fields.width} × ${fields.height}` : "") +
      ". There is nothing to judge in so few: add a larger version.",
  },
  "size-mismatch": {
    title: "The two differ in size",
    say: ({ fields }) =>
      (fields.reference && fields.distorted
        ? `One has ${size(fields.reference)} pixels, the other ${size(fields.distorted)}. `
        : "") + "A comparison goes pixel by pixel. The second can be brought to the size of the first.",
  },
  "invalid-parameter": {
    title: "The service does not take this setting",
    say: ({ detail }) => `${detail} Choose something else, or reload the page.`,
  },
  "unknown-model": {
    title: "The model is not loaded",
    say: ({ detail }) =>
      `${detail} The service was probably started anew with other models; reload the page.`,
  },
  "text-encoder-unavailable": {
    title: "Other words cannot be compared here",
    say: () => "The weights that are loaded know the 40 adjectives and no others.",
  },
  overloaded: {
    title: "The service is busy",
    say: () =>
      "It has more to do than it accepts at a time, and still had after several attempts. Try again in a while.",
    again: true,
  },
  "rate-limited": {
    title: "The key’s budget is spent for now",
    say: ({ retryAfter }) => `Each key may use so much of the service. Try again ${soon(retryAfter)}.`,
    again: true,
  },
  "internal-error": {
    title: "The service made a mistake",
    say: ({ requestId }) => `This is not the photograph’s fault. Try again${reference(requestId)}`,
    again: true,
  },
  "poison-input": {
    title: "The service cannot cope with this photograph",
    say: ({ requestId }) =>
      "It made the service fall over twice, and is not tried a third time. " +
      `Save it in another format, and add that${reference(requestId)}`,
  },
  starting: {
    title: "The service is starting",
    say: ({ retryAfter }) => `Its models are still being loaded. Try again ${soon(retryAfter)}.`,
    again: true,
  },
  draining: {
    title: "The service is being shut down",
    say: ({ retryAfter }) =>
      `It takes nothing new. If it is only started anew, trying again ${soon(retryAfter)} will help.`,
    again: true,
  },
  "worker-unavailable": {
    title: "The service is recovering",
    say: ({ retryAfter }) =>
      `The part that scores has ended and is being started anew. Try again ${soon(retryAfter)}.`,
    again: true,
  },
  "fetch-not-allowed": {
    title: "This address cannot be used",
    say: () => "The service does not fetch photographs from there. Save the photograph, and drop the file here.",
  },
  "fetch-failed": {
    title: "The photograph could not be fetched",
    say: () => "Its address gave no photograph. Save the photograph, and drop the file here.",
  },
  "deadline-exceeded": {
    title: "It took too long",
    say: () =>
      "So much else was waiting that the time ran out before this photograph’s turn. " +
      "Try again when there is less to do.",
    again: true,
  },

  // What happens before the service is reached, or in between; these names are the page's own.
  unreachable: {
    title: "The service cannot be reached",
    say: () =>
      "Either the network is gone, or the service is not running. " +
      "Your photographs stay here: try again once it is back.",
    again: true,
  },
  "no-answer": {
    title: "No answer came",
    say: () => "The service took what was sent and then kept silent for minutes. Try again.",
    again: true,
  },
  "unreadable-file": {
    title: "The file cannot be read any more",
    say: () => "It was moved, changed or deleted after it was added. Add it again.",
  },
  unexpected: {
    title: "Something in between answered",
    say: ({ status }) =>
      `Not the service, but something on the way to it answered${status ? ` (with status ${status})` : ""}. ` +
      "Try again, or ask whoever runs the service.",
    again: true,
  },
};

/** A problem in plain words: `{title, text, again}`. One that is not known here speaks for itself. */
export function explained(problem) {
  const known = PROBLEMS[problem.slug];
  if (known) return { title: known.title, text: known.say(problem), again: Boolean(known.again) };
  return {
    title: problem.title || "Something went wrong",
    text: problem.detail || problem.message || "The service gave no reason.",
    again: problem.retryAfter !== null && problem.retryAfter !== undefined,
  };
}

/** What stands in the way of a photograph's answer, with the buttons that may help. */
export function problemBlock(problem, again) {
  const { title, text, again: helps } = explained(problem);
  return el(
    "div",
    { class: "problem", "data-slug": problem.slug },
    el("p", { class: "problem-title" }, el("span", { "aria-hidden": "true", text: "! " }), title),
    el("p", { text }),
    helps && again
      ? el("button", { type: "button", class: "again", on: { click: again }, text: "Try again" })
      : null,
  );
}

/** While something waits to be tried again by itself. */
export function waitingText(problem, seconds) {
  const title = PROBLEMS[problem.slug]?.title ?? (problem.title || "Not yet");
  return `${title}; trying again in ${seconds} s`;
}

function list(formats) {
  return Array.isArray(formats) && formats.length ? ` (${formats.join(", ")})` : "";
}

function soon(seconds) {
  if (!seconds) return "in a while";
  return seconds < 90 ? `in ${seconds} seconds` : `in ${Math.ceil(seconds / 60)} minutes`;
}

function size(value) {
  return Array.isArray(value) ? value.join(" × ") : `${value.width} × ${value.height}`;
}

function reference(requestId) {
  return requestId ? `; whoever runs the service finds it in the log by ${requestId}.` : ".";
}
