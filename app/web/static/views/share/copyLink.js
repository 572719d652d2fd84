import { post } from "../../core/api.js";
import { copyText } from "../../ui/Copy.js";
import { toast } from "../../ui/Toast.js";

const SHARED_S = 86_400;

/** Copies an address of a job's clip that needs no key. @param {any} job */
export async function copyLink(job) {
  try {
    const { url } = await post(`jobs/${job.id}/video/link`, { expires_in: SHARED_S });
    const done = await copyText(url);
    toast(done ? "The link is copied. It needs no key and works for a day." : `The browser did not let the page copy: ${url}`, { tone: done ? "good" : "bad" });
  } catch (error) {
    toast(/** @type {Error} */ (error).message, { tone: "bad" });
  }
}
