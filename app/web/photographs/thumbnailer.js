// The worker that makes thumbnails: given {file, width, height}, it answers with a JPEG, or null for what it cannot read.

const QUALITY = 0.82;

addEventListener("message", async ({ data: { file, width, height } }) => {
  let small = null;
  try {
    small = await scaled(file, width, height);
  } catch (error) {
    console.info("A file is of a format that this browser does not decode.", error);
  }
  postMessage(small);
});

async function scaled(file, resizeWidth, resizeHeight) {
  const bitmap = await createImageBitmap(file, { resizeWidth, resizeHeight, resizeQuality: "medium" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { alpha: false });
  context.fillStyle = "#fff"; // what is transparent is scored over white
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
}
