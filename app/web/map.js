// The map of local quality over a photograph, drawn from an answer's values as POST /score/map draws it.

// sRGB from quality 1 down to 0, as in app/imaging/heatmap.py, whose comment says why: blue against yellow is told apart by
// all common kinds of colour vision, and the lightness rises all the way.
const ANCHORS = [
  [5, 32, 92],
  [64, 84, 122],
  [138, 132, 122],
  [206, 180, 80],
  [255, 236, 70],
];
const STEPS = 256;
const OPACITY = [0.45, 0.7]; // of good and of bad parts: the good ones stay a photograph, the bad ones glow
const STRIDE = 32; // pixels of the scored image to a cell
const LONGEST_SIDE = 1024; // of what is drawn; the values are far coarser

const TO_LMS = [
  [0.4122214708, 0.5363325363, 0.0514459929],
  [0.2119034982, 0.6806995451, 0.1073969566],
  [0.0883024619, 0.2817188376, 0.6299787005],
];
const TO_OKLAB = [
  [0.2104542553, 0.793617785, -0.0040720468],
  [1.9779984951, -2.428592205, 0.4505937099],
  [0.0259040371, 0.7827717662, -0.808675766],
];
const FROM_OKLAB = [
  [1, 0.3963377774, 0.2158037573],
  [1, -0.1055613458, -0.0638541728],
  [1, -0.0894841775, -1.291485548],
];
const FROM_LMS = [
  [4.0767416621, -3.3077115913, 0.2309699292],
  [-1.2684380046, 2.6097574011, -0.3413193965],
  [-0.0041960863, -0.7034186147, 1.707614701],
];

let colours = null;

/** The 256 colours from good to bad, as [red, green, blue]; equal steps look equal. */
export function scale() {
  if (colours !== null) return colours;
  const anchors = ANCHORS.map(oklab);
  const along = [0];
  for (let i = 1; i < anchors.length; i++)
    along.push(along[i - 1] + Math.hypot(...anchors[i].map((value, j) => value - anchors[i - 1][j])));
  colours = Array.from({ length: STEPS }, (_, step) => {
    const place = (along.at(-1) * step) / (STEPS - 1);
    const after = Math.min(
      Math.max(
        along.findIndex((at) => at >= place),
        1,
      ),
      anchors.length - 1,
    );
    const share = (place - along[after - 1]) / (along[after] - along[after - 1]);
    return srgb(
      anchors[after].map((value, j) => anchors[after - 1][j] + share * (value - anchors[after - 1][j])),
    );
  });
  return colours;
}

/**
 * Draws the answer's map into a canvas of the photograph's shape, to be laid over the greyed photograph.
 *
 * @param longest  side of the canvas in pixels at most
 * @param spread   whether the scale is spread between the worst and the best of this map
 */
export function drawMap(canvas, answer, longest = LONGEST_SIDE, spread = false) {
  const { values } = answer.quality_map;
  const { width, height } = answer.models[answer.model].scored;
  const ratio = Math.min(1, longest / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  const [least, most] = spread ? range(values) : [0, 1];
  // A frame of one cell around the grid, so that at the borders it goes on as it is.
  const rows = padded(values).map(padded);
  const cells = new OffscreenCanvas(rows[0].length, rows.length);
  const pixels = new ImageData(rows[0].length, rows.length);
  rows.flat().forEach((value, i) => {
    const badness = most > least ? (most - value) / (most - least) : 0;
    const [red, green, blue] = scale()[Math.round(Math.min(Math.max(badness, 0), 1) * (STEPS - 1))];
    pixels.data.set([red, green, blue, 255 * (OPACITY[0] + badness * (OPACITY[1] - OPACITY[0]))], 4 * i);
  });
  cells.getContext("2d").putImageData(pixels, 0, 0);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  const cell = STRIDE * ratio;
  context.drawImage(cells, -cell, -cell, cell * cells.width, cell * cells.height);
}

/** The least and the greatest value of a map. */
export function range(values) {
  const all = values.flat();
  return [Math.min(...all), Math.max(...all)];
}

/** The value at a place of the photograph, given as shares of its width and height. */
export function valueAt(answer, across, down) {
  const { values } = answer.quality_map;
  const { width, height } = answer.models[answer.model].scored;
  const row = values[Math.min(values.length - 1, Math.max(0, Math.floor((down * height) / STRIDE)))];
  return row[Math.min(row.length - 1, Math.max(0, Math.floor((across * width) / STRIDE)))];
}

function padded(list) {
  return [list[0], ...list, list.at(-1)];
}

function times(matrix, vector) {
  return matrix.map((row) => row.reduce((sum, value, i) => sum + value * vector[i], 0));
}

function oklab(colour) {
  const linear = colour
    .map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return times(TO_OKLAB, times(TO_LMS, linear).map(Math.cbrt));
}

function srgb(lab) {
  const linear = times(
    FROM_LMS,
    times(FROM_OKLAB, lab).map((value) => value ** 3),
  );
  return linear
    .map((value) => Math.min(Math.max(value, 0), 1))
    .map((value) => (value <= 0.0031308 ? value * 12.92 : 1.055 * value ** (1 / 2.4) - 0.055))
    .map((value) => Math.min(255, Math.round(255 * value)));
}
