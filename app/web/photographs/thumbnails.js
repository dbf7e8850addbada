// Small versions of photographs, made one after the other, so that never more than one is held at its full size.

const WIDTH = 480; // pixels: a card's width on a sharp screen, roughly
const TALLEST = 3; // times the width; beyond it a thumbnail would show nothing but take much memory
const LONGEST_MS = 30_000;

let worker = null; // large photographs would hold up the page while they are scaled
const waiting = [];
let busy = false;

/** Makes a photograph's thumbnail when its turn comes, and then calls back. */
export function makeThumbnail(photo, ready) {
  waiting.push({ photo, ready });
  if (!busy) work();
}

/** Forgets a photograph that waits for its turn. */
export function dropThumbnail(photo) {
  const at = waiting.findIndex((each) => each.photo === photo);
  if (at >= 0) waiting.splice(at, 1);
}

async function work() {
  busy = true;
  while (waiting.length > 0) {
    const { photo, ready } = waiting.shift();
    let blob = null;
    try {
      blob = await small(photo.file);
    } catch (error) {
      // Not every format that is scored can be shown by every browser; the card says so in the picture's place.
      console.info(`There is no thumbnail of ${photo.name}.`, error);
    }
    photo.thumbnail = blob ? URL.createObjectURL(blob) : "";
    ready(photo);
  }
  busy = false;
}

async function small(file) {
  const { width, height } = await shape(file);
  const ratio = Math.min(1, WIDTH / width, (TALLEST * WIDTH) / height);
  worker ??= new Worker(new URL("thumbnailer.js", import.meta.url), { type: "module" });
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => end(new Error("the thumbnail took too long")), LONGEST_MS);
    const end = (error, blob = null) => {
      clearTimeout(limit);
      // One that failed may be in any state; the next photograph gets a new one.
      if (error) {
        worker.terminate();
        worker = null;
        reject(error);
      } else if (blob) resolve(blob);
      else reject(new Error("the browser cannot show this file"));
    };
    worker.onmessage = ({ data }) => end(null, data);
    worker.onerror = (event) => end(new Error(event.message));
    worker.postMessage({
      file,
      width: Math.max(1, Math.round(width * ratio)),
      height: Math.max(1, Math.round(height * ratio)),
    });
  });
}

/** Width and height of an upright image; nothing of it is decoded but its header. */
async function shape(file) {
  const image = new Image();
  const address = URL.createObjectURL(file);
  try {
    await new Promise((resolve, reject) => {
      image.onload = resolve;
      image.onerror = () => reject(new Error("the browser cannot show this file"));
      image.src = address;
    });
    return { width: image.naturalWidth || WIDTH, height: image.naturalHeight || WIDTH };
  } finally {
    URL.revokeObjectURL(address);
  }
}
