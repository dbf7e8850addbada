// Numbers in plain words: how good a score is, what an answer's adjectives amount to, sizes and times.

export const DIMENSIONS = {
  sharpness: "Sharpness",
  brightness: "Brightness",
  colorfulness: "Colour",
  contrast: "Contrast",
  noisiness: "Free of noise",
  overall: "Overall",
};
export const MODEL_NAMES = { bpclip: "BPCLIP", qualiclip: "QualiCLIP" };

// Where the bundled weights' scores lie on the held-out photographs of their card: percentiles 5, 25, 50, 75, 95.
const SPREADS = {
  "bpclip-compact": [0.23, 0.41, 0.57, 0.67, 0.71],
  "qualiclip-compact": [0.12, 0.36, 0.53, 0.74, 0.93],
};
const PERCENTILES = [5, 25, 50, 75, 95];
const READINGS = ["Bad", "Poor", "Fair", "Good", "Very good"];
// Lower ends of the readings but the first. BPCLIP's scores read as opinions on a scale whose upper fifth nearly no
// photograph reaches; weights that are not bundled are read by even fifths.
const STEPS = {
  "bpclip-compact": [0.3, 0.45, 0.58, 0.68],
  "qualiclip-compact": [0.2, 0.4, 0.6, 0.85],
};
const FIFTHS = [0.2, 0.4, 0.6, 0.8];

/** How good a model's score is, in a word or two. */
export function reading(model) {
  const steps = STEPS[model.weights.name] ?? FIFTHS;
  return READINGS[steps.filter((step) => model.score >= step).length];
}

/** Of a hundred ordinary photographs, how many score lower; null for weights whose spread is not known. */
export function betterThan(model) {
  const spread = SPREADS[model.weights.name];
  if (!spread) return null;
  const above = spread.filter((score) => model.score >= score).length;
  if (above === 0) return "fewer than 5 of 100";
  if (above === spread.length) return "more than 95 of 100";
  const share = (model.score - spread[above - 1]) / (spread[above] - spread[above - 1]);
  const percentile = PERCENTILES[above - 1] + share * (PERCENTILES[above] - PERCENTILES[above - 1]);
  return `about ${5 * Math.round(percentile / 5)} of 100`;
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

// What each fault is called, mild and strong, and how much of it must be there. The limits were chosen on good
// photographs and the same ones spoilt on purpose, so that few of the good ones are blamed, at most one in twenty; words
// that come true of too many of those (shaky, distorted, and blocky by BPCLIP) have no part in it.
const FAULTS = [
  {
    dimension: "sharpness",
    of: ["blurry", "soft", "defocused", "smeared"],
    steps: [
      [0.8, "blurry"],
      [0.5, "soft"],
      [0.36, "slightly soft"],
    ],
  },
  {
    dimension: "brightness",
    of: ["dark", "underexposed"],
    steps: [
      [0.64, "underexposed"],
      [0.57, "slightly underexposed"],
    ],
  },
  {
    dimension: "brightness",
    of: ["overexposed"],
    steps: [
      [0.75, "overexposed"],
      [0.65, "slightly overexposed"],
    ],
  },
  {
    dimension: "noisiness",
    of: ["noisy", "grainy", "speckled"],
    steps: [
      [0.6, "noisy"],
      [0.15, "slightly noisy"],
    ],
  },
  {
    dimension: "contrast",
    of: ["flat", "washed-out", "murky"],
    steps: [
      [0.6, "low in contrast"],
      [0.3, "slightly low in contrast"],
    ],
  },
  {
    dimension: "colorfulness",
    of: ["dull", "faded"],
    steps: [
      [0.82, "dull in colour"],
      [0.7, "slightly dull in colour"],
    ],
  },
  {
    dimension: "colorfulness",
    of: ["oversaturated"],
    steps: [
      [0.8, "oversaturated"],
      [0.65, "slightly oversaturated"],
    ],
  },
];

/** The faults that an answer's model sees, the strongest first: `{dimension, word, strength}`. */
export function faults(answer) {
  const model = answer.models[answer.model];
  const probability = Object.fromEntries(model.adjectives.map((each) => [each.adjective, each.probability]));
  const found = [];
  for (const fault of FAULTS) {
    const strength = fault.of.reduce((sum, word) => sum + (probability[word] ?? 0), 0) / fault.of.length;
    const step = fault.steps.find(([least]) => strength >= least);
    if (step)
      found.push({
        dimension: fault.dimension,
        word: step[1],
        strength,
        slight: step[1].startsWith("slightly"),
      });
  }
  return found.sort((one, other) => one.slight - other.slight || other.strength - one.strength);
}

/** One sentence on what the adjectives amount to. */
export function sentence(answer) {
  const words = faults(answer)
    .slice(0, 3)
    .map((fault) => fault.word);
  if (words.length) return `${capital(listed(words))}.`;
  if (READINGS.indexOf(reading(answer.models[answer.model])) < 2) return "No single fault stands out.";
  const { sharpness, noisiness, contrast } = answer.dimensions;
  const good = [sharpness >= 0.85 && "sharp", noisiness >= 0.9 && "clean"].filter(Boolean);
  const ending = contrast >= 0.9 ? "with good contrast" : "";
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
  return MODEL_NAMES[name] ?? name;
}

/** A value in [0, 1] as people read it: of a hundred. */
export function hundred(value) {
  return String(Math.round(100 * value));
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
