// The limits that were found: what to expect, the table, the pictures nearest to each, and the policy as a file.

import { el } from "../display/dom.js";
import { outcomeMark } from "../display/verdict.js";
import { DIMENSIONS, capital, count, percent } from "../display/words.js";
import { save } from "../photographs/table.js";

const EXPOSURES = { p99_luminance: "Brightest parts", clipped_highlights: "White highlights" };
const MOST_PICTURES = 12;

/**
 * @param {any} answer of POST /calibrate.
 * @param {{question: any, good: any[], bad: any[]}} job what was asked, and the photographs in its order.
 */
export function found(answer, { question, good, bad }) {
  const those = (photos, outcomes, wanted) => photos.filter((_, place) => outcomes[place] === wanted);
  return el(
    "div",
    { class: "found" },
    expected(answer, question.name),
    table(answer, good.length, bad.length),
    pictures("Good photographs that would fail", those(good, answer.good, "fail")),
    pictures("Good photographs that would go to review", those(good, answer.good, "review")),
    pictures("Bad photographs that would pass", those(bad, answer.bad, "pass")),
    el("h3", { text: "The good photographs nearest to each limit" }),
    answer.limits.map((each) => nearest(each, question.good, good, answer.good)),
  );
}

function expected({ fail, sentences, toml }, name) {
  const file = `${name}.toml`;
  const download = el("button", {
    type: "button",
    class: "primary",
    id: "rules-download",
    text: `Download ${file}`,
    on: { click: () => save(toml, file, "application/toml") },
  });
  return el(
    "section",
    { class: "expected", "aria-label": "What to expect" },
    sentences.map(inWords).map((text) => el("p", { class: !fail.kept && text.startsWith("No promise") ? "care" : null, text })),
    el("p", { class: "actions" }, download),
    el(
      "p",
      { class: "small" },
      "The service applies it after ",
      el("code", { text: `iqa serve --policies-file ${file}` }),
      ` and judges by policy=${name}. Look at the pictures below before you trust it, and try it on others.`,
    ),
  );
}

/** A sentence of the service, with measures by the names that the table has. */
function inWords(text) {
  const names = { ...DIMENSIONS, ...EXPOSURES };
  return text.replace(/\w+/g, (word) => (Object.hasOwn(names, word) ? names[word].toLowerCase() : word));
}

function table({ limits }, good, bad) {
  const cells = ["Limit of", "Usual for good ones", "Fails", "Goes to review", "Good that fail"];
  if (bad > 0) cells.push("Bad that fail");
  return el(
    "div",
    { class: "scroll", role: "region", "aria-label": "Limits", tabindex: "0" },
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, cells.map((text) => el("th", { scope: "col", text })))),
      el(
        "tbody",
        {},
        limits.map((each) =>
          el(
            "tr",
            {},
            el("th", { scope: "row", text: about(each.limit) }),
            el("td", { text: shown(each.limit, each.median) }),
            el("td", { text: bound(each.limit, each.limit.fail) }),
            el("td", { text: bound(each.limit, each.limit.review) }),
            el("td", { text: `${each.good_failed} of ${good}` }),
            bad > 0 && el("td", { text: `${each.bad_failed} of ${bad}` }),
          ),
        ),
      ),
    ),
  );
}

function nearest({ limit, nearest: places }, asked, photos, outcomes) {
  return el(
    "section",
    { class: "nearest" },
    el("h4", { text: about(limit) }),
    el("p", { class: "small", text: `Fails ${bound(limit, limit.fail)}, goes to review ${bound(limit, limit.review)}.` }),
    el(
      "ol",
      { class: "shots" },
      places.map((place) =>
        shot(photos[place], `${shown(limit, valueOf(limit, asked[place]))} `, outcomeMark(outcomes[place])),
      ),
    ),
  );
}

function pictures(title, photos) {
  if (photos.length === 0) return null;
  const more = photos.length - MOST_PICTURES;
  return el(
    "section",
    { class: "nearest" },
    el("h3", { text: `${title}: ${count(photos.length)}` }),
    el("ol", { class: "shots" }, photos.slice(0, MOST_PICTURES).map((photo) => shot(photo))),
    more > 0 && el("p", { class: "small", text: `and ${count(more)} more` }),
  );
}

function shot(photo, ...notes) {
  const name = photo.name.split("/").pop();
  return el(
    "li",
    {},
    photo.thumbnail
      ? el("img", { src: photo.thumbnail, alt: "", loading: "lazy" })
      : el("span", { class: "no-shot", text: photo.format }),
    el("span", { class: "shot-name", title: photo.name, text: name }),
    notes.length > 0 && el("span", { class: "small" }, ...notes),
  );
}

function about({ dimension, exposure, measure }) {
  return DIMENSIONS[dimension] ?? EXPOSURES[exposure] ?? capital(measure);
}

function valueOf({ dimension, exposure }, { score, dimensions, exposure: light }) {
  if (exposure) return light[exposure];
  return dimension ? dimensions[dimension] : score;
}

/** A value as the table has it: of a hundred, with the decimal that limits have. */
function shown({ exposure }, value) {
  return exposure ? percent(value) : (100 * value).toFixed(1);
}

function bound(limit, value) {
  return value === null ? "never" : `${limit.bad} ${shown(limit, value)}`;
}
