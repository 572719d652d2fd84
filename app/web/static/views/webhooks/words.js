// What is sent, and how an endpoint and a message stand, in words.

import { serverNow } from "../../core/api.js";
import { DELIVERIES } from "../jobs/words.js";

const SOON_MS = 60_000; // what was not tried by then waits for something

/** What each type of event tells; those that an endpoint gets unless one chooses are marked. @type {{name: string, means: string, usual?: boolean}[]} */
export const EVENTS = [
  { name: "job.succeeded", means: "A clip is ready", usual: true },
  { name: "job.failed", means: "A job has failed", usual: true },
  { name: "job.canceled", means: "A job was cancelled", usual: true },
  { name: "job.held", means: "Nobody knows yet whether fal took the job", usual: true },
  { name: "job.queued", means: "A job was accepted and waits" },
  { name: "job.submitting", means: "A job is being handed to fal" },
  { name: "job.running", means: "fal has begun" },
  { name: "job.finalizing", means: "fal has finished; the result is read" },
  { name: "budget.threshold", means: "50, 80 or 100 % of a budget are used" },
  { name: "endpoint.disabled", means: "Another endpoint of the team was disabled" },
  { name: "endpoint.test", means: "A test of this endpoint; it gets those in any case" },
];

/** @typedef {import("../../core/shapes.js").Endpoint} Endpoint */

/** How it stands, and the tone of its badge. @param {Endpoint} endpoint @returns {[string, string]} */
export function standing({ status, failures_in_a_row: failures }) {
  if (status === "disabled") return ["Disabled", "bad"];
  if (status === "paused") return ["Paused", "hold"];
  return failures ? ["Failing", "hold"] : ["Active", "good"];
}

/** @typedef {import("../../core/shapes.js").Delivery} Delivery */

/**
 * Why a message that is to be sent was not tried yet, or "": by its endpoint, or by its age where that is not known.
 * @param {Delivery} delivery @param {Endpoint} [endpoint]
 */
export function waitsFor({ status, attempts, created_at: created }, endpoint) {
  if (status !== "due" || attempts.length) return "";
  if (endpoint?.status === "paused") return "until it is resumed";
  if (endpoint) return endpoint.next_probe_at ? "behind failures" : "";
  return serverNow() - Date.parse(created) > SOON_MS ? "Its receiver is paused, or earlier messages to it fail." : "";
}

/** How a message stands, and the tone of its badge. @param {Delivery} delivery @param {Endpoint} [endpoint] @returns {[string, string]} */
export function standingOf(delivery, endpoint) {
  const { status } = delivery;
  const waits = waitsFor(delivery, endpoint) || (status === "due" && endpoint?.status === "paused");
  return waits ? ["Waiting", "hold"] : (DELIVERIES[status] ?? [status, ""]);
}
