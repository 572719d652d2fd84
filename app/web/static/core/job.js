// What a job is about: its words, its picture, and the file that came of it.

/** A job's prompt, or its shots'. @param {any} job */
export function promptOf(job) {
  if (job.input === null) return "Erased";
  const { prompt, multi_prompt: shots, text } = job.input ?? {};
  return prompt || shots?.map((/** @type {any} */ shot) => shot.prompt).join(" / ") || text || "Without a prompt";
}

/** The picture that a job begins with, as an address, or "". @param {Record<string, any> | null} input */
export function pictureOf(input) {
  for (const name of ["start_image_url", "image_url", "image_urls", "input_image_urls", "end_image_url", "tail_image_url"]) {
    const value = Array.isArray(input?.[name]) ? input[name][0] : input?.[name];
    if (value) return typeof value === "string" ? value : (value.url ?? "");
  }
  return "";
}

/** The clip or the sound that a job made, if there is one. @param {any} job */
export const fileOf = (job) => job.output?.video ?? job.output?.audio;
