// The page's own files for trying a model: hills, a figure as a picture and as a film, a voice. See samples/VERSION.

const HILLS = { path: "./sample.jpg", type: "image/jpeg" };
const FIGURE = { path: "./samples/figure.jpg", type: "image/jpeg" };
/** @type {Record<string, {path: string, type: string}>} */
const OF_KIND = {
  video: { path: "./samples/figure.mp4", type: "video/mp4" },
  audio: { path: "./samples/voice.mp3", type: "audio/mpeg" },
};
const FIRST = ["image_url", "start_image_url"];
const FIGURES = ["audio-to-video", "video-to-video", "reference-to-video"]; // of a figure, or with one

/**
 * A sample for a member. A first frame shows hills, unless the model wants a figure; all other pictures show one.
 * @param {string} kind `image`, `video` or `audio` @param {string} member @param {string} [purpose] the model's kind @returns {Promise<File>}
 */
export async function sampleFile(kind, member, purpose = "") {
  const picture = FIRST.includes(member) && !FIGURES.includes(purpose) ? HILLS : FIGURE;
  const { path, type } = OF_KIND[kind] ?? picture;
  const blob = await fetch(new URL(path, import.meta.url)).then((answer) => answer.blob());
  return new File([blob], `sample${path.slice(path.lastIndexOf("."))}`, { type });
}

/** A mask for a picture of this size: an ellipse in its middle. @param {{width: number, height: number}} picture @returns {Promise<File>} */
export function sampleMask({ width, height }) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.fillRect(0, 0, width, height);
  pen.fillStyle = "#fff";
  pen.ellipse(width / 2, height / 2, width / 4, height / 4, 0, 0, 2 * Math.PI);
  pen.fill();
  return new Promise((resolve, refuse) =>
    canvas.toBlob((blob) => (blob ? resolve(new File([blob], "mask.png", { type: "image/png" })) : refuse(new Error("The mask could not be made."))), "image/png"),
  );
}
