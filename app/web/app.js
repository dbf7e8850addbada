// The page as a whole: the two views, what comes in, the work, and its progress.

import { Compare } from "./compare/compare.js";
import { byId, el } from "./display/dom.js";
import { policyTitle } from "./display/verdict.js";
import { learn, modelName, plural, reading, standing, told } from "./display/words.js";
import { markExample, setUpExamples } from "./photographs/examples.js";
import { limitsText, refusal } from "./photographs/files.js";
import { takeIn } from "./photographs/intake.js";
import { Photo } from "./photographs/photo.js";
import { csv, json, save } from "./photographs/table.js";
import { dropThumbnail, makeThumbnail } from "./photographs/thumbnails.js";
import { Detail } from "./report/detail.js";
import { Report } from "./report/report.js";
import { Rules } from "./rules/rules.js";
import { setUpKey } from "./service/key.js";
import { explained } from "./service/problems.js";
import { Queue } from "./service/queue.js";
import { getColumns, getModels, getPolicies, hasKey, score } from "./service/service.js";
import { Gallery } from "./set/gallery.js";
import { Groups } from "./set/groups.js";

const SPOKEN_EVERY_MS = 10_000;

let limits = null;
let policies = [];
let lastSpoken = 0;
let wasIdle = true;
let asking = false;

const gallery = new Gallery({
  open: (photo) => detail.open(photo),
  remove,
  again: (photo) => queueUp([photo]),
  changed: showProgress,
});
const compare = new Compare(
  () => gallery.photos,
  () => limits,
);
const rules = new Rules(() => limits);
const VIEWS = {
  score: { title: "Image quality", take: add },
  compare: { title: "Compare · Image quality", take: (files) => compare.take(files) },
  rules: { title: "Rules · Image quality", take: (files) => rules.take(files) },
};
const onReport = { remove, again: (photo) => queueUp([photo]), compare: comparePhoto };
const detail = new Detail({ around: () => groups.inOrder() ?? gallery.shown(), ...onReport });
const solo = new Report(byId("solo"), onReport);

const queue = new Queue((photo, signal) => score(photo.file, { policy: photo.policy, signal }), {
  started: (photo) => become(photo, { state: "asking", pause: null }),
  waiting: (photo, seconds, problem) => become(photo, { state: "paused", pause: { problem, seconds } }),
  done(photo, { answer, remembered }) {
    become(photo, { state: "scored", answer, remembered, problem: null });
  },
  failed(photo, problem) {
    become(photo, { state: "failed", problem, answer: null });
    // Without a key nothing else can be scored either, and nobody is to be asked fifty times.
    if (problem.slug === "unauthorized") queue.cancel();
  },
  cancelled: (photo) => become(photo, { state: photo.answer ? "scored" : "cancelled", pause: null }),
  changed: showProgress,
});

const groups = new Groups(
  { shown: () => gallery.shown(), idle: () => queue.idle, limits: () => limits },
  { open: (photo) => detail.open(photo), remove, again: (photo) => queueUp([photo]), changed: showProgress },
);

function become(photo, changes) {
  Object.assign(photo, changes);
  solo.update(photo);
  gallery.update(photo);
  groups.update(photo);
  detail.update(photo);
}

/** Takes files in: they are sent at once, and shown while they are under way. Examples make way for them. */
function add(files, isExample = false) {
  if (files.length === 0) return;
  const photos = files.map((file) => Object.assign(new Photo(file), { isExample }));
  for (const photo of gallery.photos.filter((each) => each.isExample)) remove(photo);
  const sendable = [];
  for (const photo of photos) {
    const problem = refusal(photo.file, limits);
    if (problem) Object.assign(photo, { state: "failed", problem });
    else sendable.push(photo);
  }
  gallery.add(photos);
  arrangePage();
  queueUp(sendable);
  for (const photo of photos)
    makeThumbnail(photo, (ready) =>
      gallery.photos.includes(ready) ? become(ready, {}) : ready.release(),
    );
}

/** Shows what the page is about by now: the invitation, one photograph, or many. */
function arrangePage() {
  const { photos } = gallery;
  const one = photos.length === 1 ? photos[0] : null;
  byId("invitation").hidden = photos.length > 0;
  byId("set").hidden = photos.length === 0;
  byId("set").classList.toggle("one", one !== null);
  byId("clear").textContent = photos.every((photo) => photo.isExample) ? "Start over" : "Remove all";
  byId("solo").hidden = one === null;
  solo.show(one);
  if (byId("examples")) {
    byId("examples").hidden = photos.length > 1 || (one !== null && !one.isExample);
    byId("examples").classList.toggle("compact", one !== null);
    byId("examples-title").textContent = one ? "Examples" : "No photograph at hand? Try one of these.";
    markExample(one?.name);
  }
}

function queueUp(photos) {
  const policy = byId("policy").value;
  for (const photo of photos) Object.assign(photo, { policy, state: "waiting", problem: null });
  queue.add(...photos);
  for (const photo of photos) become(photo, {});
}

function remove(photo) {
  queue.cancel(photo);
  dropThumbnail(photo);
  gallery.remove(photo);
  arrangePage();
}

function removeAll() {
  queue.cancel();
  for (const photo of [...gallery.photos]) remove(photo);
  byId("choose").focus();
}

function unfinished() {
  return gallery.photos.filter(
    (photo) => photo.state === "cancelled" || (photo.state === "failed" && explained(photo.problem).again),
  );
}

function showProgress() {
  const { photos } = gallery;
  const count = (state) => photos.filter((photo) => photo.state === state).length;
  const [scored, failed, cancelled] = ["scored", "failed", "cancelled"].map(count);
  const text = [
    `${scored} of ${photos.length} scored`,
    failed && plural(failed, "problem"),
    cancelled && `${cancelled} not scored`,
  ]
    .filter(Boolean)
    .join(", ");
  byId("counts").textContent = text;
  byId("bar").max = Math.max(1, photos.length);
  byId("bar").value = scored + failed + cancelled;
  byId("progress").classList.toggle("working", !queue.idle);
  byId("cancel").hidden = queue.idle;
  const left = queue.idle ? unfinished().length : 0;
  byId("again").hidden = left === 0;
  byId("again").textContent = left > 1 ? `Try ${left} again` : "Try again";
  speak(text, photos);
  groups.refresh();
}

/** Tells who listens how far the work is: at its beginning, now and then, and at its end. */
function speak(text, photos) {
  const idle = queue.idle;
  const over = idle && !wasIdle;
  const due = !idle && (wasIdle || Date.now() - lastSpoken > SPOKEN_EVERY_MS);
  wasIdle = idle;
  if (!over && !due) return;
  lastSpoken = Date.now();
  const { answer, name } = photos.length === 1 ? photos[0] : {};
  byId("spoken").textContent =
    over && answer
      ? `${name}: ${reading(answer)}. ${standing(answer)}. ${answer.summary ?? ""}`
      : `${text}.`;
}

function comparePhoto(photo, side) {
  compare.put(side, photo.file);
  location.hash = "compare";
}

function showView() {
  const view = shownView();
  for (const section of Object.keys(VIEWS)) byId(section).hidden = section !== view;
  for (const link of /** @type {NodeListOf<HTMLElement>} */ (
    document.querySelectorAll("nav [data-view]")
  )) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = VIEWS[view].title;
  if (view === "compare") compare.refresh();
}

function shownView() {
  const named = location.hash.slice(1);
  return Object.hasOwn(VIEWS, named) ? named : "score";
}

function take(files) {
  VIEWS[shownView()].take(files);
}

function setUpControls() {
  byId("cancel").addEventListener("click", () => queue.cancel());
  byId("again").addEventListener("click", () => queueUp(unfinished()));
  byId("clear").addEventListener("click", removeAll);
  byId("export").addEventListener("click", () => hand(csv, "csv", "text/csv"));
  byId("export-json").addEventListener("click", () => hand(json, "json", "application/json"));
  byId("policy").addEventListener("change", judge);
  window.addEventListener("hashchange", showView);
  // A key that was entered for a photograph opens the rest too.
  document.addEventListener("key-changed", () => hasKey() && limits === null && askWhatThereIs());
}

/** Has the browser save what is shown as a table. */
async function hand(table, suffix, type) {
  try {
    save(table(await getColumns(), gallery.shown()), `image-quality.${suffix}`, type);
  } catch (problem) {
    notice(`The table could not be made. ${explained(problem).text}`);
  }
}

/** Has every photograph judged by the policy that was chosen; the service remembers the scores. */
function judge() {
  const chosen = policies.find((policy) => policy.name === byId("policy").value);
  const care = (chosen?.warnings ?? []).map((warning) => told(warning.split(/: (.*)/s)[1] ?? warning));
  byId("policy-note").textContent = [chosen?.description, ...care].filter(Boolean).join(" ");
  byId("policy-note").hidden = !chosen;
  gallery.offerVerdicts(Boolean(chosen));
  queue.cancel();
  queueUp(
    gallery.photos.filter(
      (photo) =>
        photo.state !== "failed" ||
        explained(photo.problem).again ||
        photo.problem.slug === "invalid-parameter",
    ),
  );
}

function offerPolicies() {
  const select = byId("policy");
  const before = select.value;
  select.replaceChildren(
    select.options[0],
    ...policies.map(({ name }) => el("option", { value: name, text: policyTitle(name) })),
  );
  if (policies.some(({ name }) => name === before)) select.value = before;
  byId("policy-field").hidden = policies.length === 0;
}

async function askWhatThereIs() {
  if (asking) return;
  asking = true;
  try {
    const [said, offered] = await Promise.all([getModels(), getPolicies()]);
    const { models } = said;
    limits = said.limits;
    policies = offered.filter((policy) => !policy.needs_reference);
    learn(said);
    // What the models are called was not known before.
    for (const photo of gallery.photos) if (photo.answer) become(photo, { answer: { ...photo.answer } });
    notice("");
    byId("limits").textContent = limitsText(limits);
    const used = models.map((model) =>
      [
        modelName(model.name.replace("-fr", "")),
        model.kind === "full-reference" && "for comparisons",
        `(${model.weights.name})`,
      ]
        .filter(Boolean)
        .join(" "),
    );
    byId("about").textContent = `Scored by ${used.join(", ")}, on ${models[0]?.device ?? "this server"}.`;
    offerPolicies();
  } catch (problem) {
    if (problem.slug === "unauthorized") return; // the header's button asks again
    const { title, text } = explained(problem);
    notice(
      `${title}. ${text}`,
      el("button", { type: "button", text: "Try again", on: { click: askWhatThereIs } }),
    );
    if (!problem.slug) throw problem; // a fault of this page, not of the service: for the console
  } finally {
    asking = false;
  }
}

function notice(text, ...actions) {
  byId("notice").replaceChildren(text, " ", ...actions);
  byId("notice").hidden = !text;
}

window.addEventListener("unhandledrejection", () =>
  notice("Something on this page went wrong. Reload it; photographs have to be added again."),
);

setUpKey(() => {
  askWhatThereIs();
  queueUp(unfinished());
});
setUpControls();
setUpExamples((files) => add(files, true));
takeIn({ add, take, notice, limits: () => limits });
showView();
askWhatThereIs();
