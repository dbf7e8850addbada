// Numbers in plain words: how good a score is, what an answer's adjectives amount to, sizes and times.

export const DIMENSIONS = {
  sharpness: "Sharpness",
  brightness: "Brightness",
  colorfulness: "Colour",
  contrast: "Contrast",
  noisiness: "Free of noise",
  overall: "Overall",
};

const READINGS = ["excellent", "good", "fair", "poor", "bad"];
const FIFTHS = [0.8, 0.6, 0.4, 0.2]; // lowest scores of the readings but the last, for weights without a calibration
const BEST_WITH_A_STRONG_FAULT = READINGS.indexOf("fair");
const PRAISED_FROM = 60; // percentile of real photographs; scores read as good from there too
// What GET /models says of the weights, by their digest, and the faults that can be named.
let calibrations = new Map();
let faultTable = [];
let titles = new Map();

/** Takes what GET /models says: how the scores and adjectives of each model's weights are to be read. */
export function learn({ models, faults }) {
  calibrations = new Map(models.map((model) => [model.weights.sha256, model.calibration]));
  faultTable = faults ?? []; // a replica of the version before has none
  titles = new Map(models.map((model) => [model.name, model.title ?? model.name]));
}

/** Whether GET /models has told of the weights of every model of an answer. */
export function isKnown(answer) {
  return Object.values(answer.models).every((model) => calibrations.has(model.weights.sha256));
}

/** How good a model's score is, in a word; with a strong fault no better than fair. */
export function reading(model) {
  return capital(READINGS[readingIndex(model)]);
}

function readingIndex(model) {
  const lowest = calibrationOf(model)?.readings;
  const steps = lowest ? READINGS.slice(0, -1).map((name) => lowest[name]) : FIFTHS;
  const index = steps.filter((step) => model.score < step).length;
  return faults(model).some((fault) => fault.strong) ? Math.max(index, BEST_WITH_A_STRONG_FAULT) : index;
}

/** Of a hundred real photographs, how many score lower; null for weights without a calibration. */
export function betterThan(model) {
  const calibration = calibrationOf(model);
  if (!calibration) return null;
  const percentile = percentileOf(calibration.score_percentiles, model.score);
  if (percentile < 1) return "hardly any";
  if (percentile >= 99) return "nearly all";
  return `about ${Math.round(percentile)} of 100`;
}

function calibrationOf(model) {
  return calibrations.get(model.weights.sha256) ?? null;
}

/** The percentile of a value, from values at evenly spaced percentiles 0 to 100. */
function percentileOf(values, value) {
  const above = values.filter((each) => each <= value).length;
  if (above === 0) return 0;
  if (above === values.length) return 100;
  const share = (value - values[above - 1]) / (values[above] - values[above - 1]);
  return (100 * (above - 1 + share)) / (values.length - 1);
}

/** How close a distorted image comes to its reference, in plain words. */
export function closeness(score) {
  const steps = [
    [0.97, "No difference to be seen"],
    [0.85, "Hardly any difference"],
    [0.65, "Small differences"],
    [0.4, "Clear differences"],
    [0.2, "Much was lost"],
  ];
  return steps.find(([least]) => score >= least)?.[1] ?? "Nearly everything was lost";
}

/** The faults that a model sees, the strong ones first, then by strength: `{dimension, word, strength, strong}`. */
export function faults(model) {
  const calibration = calibrationOf(model);
  const thresholds = calibration?.faults ?? {};
  const scoresWell = calibration && model.score >= calibration.readings.fair;
  const probability = Object.fromEntries(model.adjectives.map((each) => [each.adjective, each.probability]));
  const found = [];
  for (const fault of faultTable) {
    if (!(fault.name in thresholds) || !model.adjectives.length) continue;
    const { slight } = thresholds[fault.name];
    const strong = (scoresWell && thresholds[fault.name].strong_from_fair) || thresholds[fault.name].strong;
    const sum = fault.adjectives.reduce((total, adjective) => total + probability[adjective], 0);
    const strength = sum / fault.adjectives.length;
    if (strength > slight)
      found.push({
        dimension: fault.dimension,
        word: strength > strong ? fault.strong : fault.slight,
        strength,
        strong: strength > strong,
      });
  }
  return found.sort((one, other) => Number(other.strong) - Number(one.strong) || other.strength - one.strength);
}

/** One sentence on what the adjectives amount to; none as long as nothing is known of the weights. */
export function sentence(answer) {
  if (!isKnown(answer)) return "";
  const model = answer.models[answer.model];
  const calibration = calibrationOf(model);
  if (!model.adjectives.length) return ""; // it has no words
  if (!calibration) return "These weights have no calibration, so no faults are named.";
  const words = faults(model)
    .slice(0, 3)
    .map((fault) => fault.word);
  if (words.length) return `${capital(listed(words))}.`;
  if (readingIndex(model) > READINGS.indexOf("fair")) return "No single fault stands out.";
  const praised = (dimension) =>
    percentileOf(calibration.dimension_percentiles[dimension], model.dimensions[dimension]) >= PRAISED_FROM;
  const good = [praised("sharpness") && "sharp", praised("noisiness") && "clean"].filter(Boolean);
  const ending = praised("contrast") ? "with good contrast" : "";
  if (good.length) return `${capital(listed(good))}${ending && `, ${ending}`}.`;
  return "Nothing stands out as a fault.";
}

/** What was done to the file before it was scored, and at which size, in sentences. */
export function provenance(answer) {
  const { image } = answer;
  const sentences = [];
  if (image.orientation_applied) sentences.push("Turned upright, as the camera noted.");
  if (image.color_converted) sentences.push("Colours brought to sRGB by the file’s own profile.");
  const seen = Object.entries(answer.models).map(([name, model]) => [
    name,
    `${model.scored.width} × ${model.scored.height}`,
  ]);
  if (seen.every(([, size]) => size === `${image.width} × ${image.height}`))
    sentences.push("Scored at its own size.");
  else for (const [name, size] of seen) sentences.push(`${modelName(name)} saw it at ${size}.`);
  return sentences;
}

const CAUTIONS = {
  "several-frames": "An animation or a file of several pages: only the first was scored.",
  "orientation-unknown": "Which way is up could not be told, so it was taken as it is.",
  "color-profile-ignored": "Its colour profile could not be used; colours may be off.",
  "almost-uniform": "There is next to nothing in it to judge.",
  "drawing-or-screenshot": "It looks like a drawing or a screenshot; the scores are made for photographs.",
};

/** Why the score is to be read with care, in plain words. What is said elsewhere, the scored sizes, is left out. */
export function cautions(warnings) {
  const found = warnings
    .map((warning) => warning.split(/: (.*)/s))
    .filter(([code]) => code !== "scaled-down" && code !== "outside-validated-sizes")
    .map(([code, text]) => CAUTIONS[code] ?? capital(text ?? code));
  if (warnings.some((warning) => warning.startsWith("outside-validated-sizes:")))
    found.push("Its size is one on which the models were not tried.");
  return [...new Set(found)];
}

export function modelName(name) {
  return titles.get(name) ?? name;
}

/** A value in [0, 1] as people read it: of a hundred. */
export function hundred(value) {
  return String(Math.round(100 * value));
}

/** A measure of exposure in [0, 1], of which a thousandth may matter. */
export function percent(value) {
  return `${(100 * value).toFixed(1)}\u00a0%`;
}

export function signed(value) {
  const rounded = Math.round(100 * value);
  return rounded === 0 ? "0" : `${rounded > 0 ? "+" : "−"}${Math.abs(rounded)}`;
}

export function bytes(number) {
  if (number < 1000) return `${number} bytes`;
  if (number < 1024 * 1024) return `${Math.round(number / 1024)}\u00a0KB`;
  const mega = number / (1024 * 1024);
  return `${mega < 10 ? mega.toFixed(1).replace(/\.0$/, "") : Math.round(mega)}\u00a0MB`;
}

export function count(number) {
  return number.toLocaleString("en");
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

export function capital(text) {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

function listed(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}
