// Numbers in plain words: how good a score is, what an answer's adjectives amount to, sizes and times.

export const DIMENSIONS = {
  sharpness: "Sharpness",
  brightness: "Brightness",
  colorfulness: "Color",
  contrast: "Contrast",
  cleanness: "Free of noise",
  overall: "Overall",
};

const LOW_RANK = 20; // of a hundred photographs: a dimension in which no more score lower deviates
const HIGH = 0.75; // a value at which it does not, however usual still higher ones are
const LOW = 0.5; // and without a calibration, one in which the bad words prevail

let titles = new Map();
let calibrations = new Map();

/** Takes what GET /models says: what the models are called, and what their values are among real photographs. */
export function learn({ models }) {
  titles = new Map(models.map((model) => [model.name, model.title ?? model.name]));
  calibrations = new Map(models.map((model) => [model.name, model.calibration]));
}

/** How good an answer's score is, in a word; none from a replica of the version before. */
export function reading(answer) {
  return capital(answer.reading ?? "");
}

/** The one number of an answer, 0 to 100: its percentile, or for weights without a calibration its score. */
export function rank({ percentile, score }) {
  return Math.round(percentile ?? 100 * score);
}

/** What that number means. */
export function standing({ percentile, score }) {
  if (percentile == null) return `Score ${hundred(score)} of 100`;
  if (percentile < 1) return "Below nearly all photographs";
  if (percentile >= 99) return "Better than nearly all photographs";
  return `Better than ${Math.round(percentile)} of 100 photographs`;
}

/**
 * The names of the dimensions in which a photograph is clearly worse than most, the worst first. What is wrong overall
 * is said by the reading.
 */
export function deviating(answer) {
  const { dimensions } = answer;
  return Object.keys(DIMENSIONS)
    .filter((name) => name !== "overall" && dimensions?.[name] !== undefined)
    .filter((name) => {
      const of100 = dimensionRank(answer, name);
      return of100 === null ? dimensions[name] < LOW : of100 <= LOW_RANK && dimensions[name] < HIGH;
    })
    .sort(
      (one, other) =>
        dimensionRank(answer, one) - dimensionRank(answer, other) || dimensions[one] - dimensions[other],
    );
}

/** Of a hundred real photographs, how many score lower in a dimension; null for weights without a calibration. */
export function dimensionRank({ dimensions, model }, name) {
  // At equal steps from the 0th percentile to the 100th.
  const percentiles = calibrations.get(model)?.dimension_percentiles?.[name];
  if (!percentiles) return null;
  const below = percentiles.filter((each) => each < dimensions[name]).length;
  return Math.round((100 * Math.max(below - 1, 0)) / (percentiles.length - 1));
}

/** At which size it was scored, if that is not its own. */
export function scaling(answer) {
  const { width, height } = answer.models[answer.model].scored;
  if (width === answer.image.width && height === answer.image.height) return "";
  return `scored at ${width}\u00a0×\u00a0${height}`;
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

/** What stands out in the photograph, one sentence. */
export function sentence(answer) {
  return answer.summary ?? "";
}

/** What was done to the file before it was scored, and at which size, in sentences. */
export function provenance(answer) {
  const { image } = answer;
  const sentences = [];
  if (image.orientation_applied) sentences.push("Turned upright, as the camera noted.");
  if (image.color_converted) sentences.push(`Colors brought to sRGB from ${image.color_space ?? "another space"}.`);
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
  "orientation-ambiguous": "Programs disagree on which way is up; it was taken as its standard says.",
  "end-missing": "The file lacks its end, though nothing of the picture.",
  "wholeness-unknown": "Whether the file is whole could not be checked.",
  "color-profile-ignored": "Its color profile could not be used; colors may be off.",
  "color-space-guessed": "Its color space is a guess; colors may be off.",
  "sample-range-guessed": "Which value is white is a guess; its brightness may be off.",
  "high-dynamic-range": "It is brighter than a screen's white in places; those were scored as white.",
  "almost-uniform": "There is next to nothing in it to judge.",
  "drawing-or-screenshot": "It looks like a drawing or a screenshot, or has a caption; the scores are made for photographs.",
};

/** Why the score is to be read with care, in plain words. What is said elsewhere, the scored sizes, is left out. */
export function cautions({ warnings, confidence }) {
  const disagreement = (confidence?.reasons ?? []).filter((reason) => reason.startsWith("models-disagree:"));
  const found = [...disagreement, ...warnings]
    .map((warning) => warning.split(/: (.*)/s))
    .filter(([code]) => code !== "scaled-down" && code !== "outside-validated-sizes")
    .map(([code, text]) => CAUTIONS[code] ?? told(text ?? code));
  if (warnings.some((warning) => warning.startsWith("outside-validated-sizes:")))
    found.push("Its size is one on which the models were not tried.");
  return [...new Set(found)];
}

export function modelName(name) {
  return titles.get(name) ?? name;
}

/** A sentence of the service as the page shows it: models by their titles. */
export function told(text) {
  return capital(text.replace(/[\w-]+/g, modelName));
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
