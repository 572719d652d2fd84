// What is sent, and how an endpoint stands, in words.

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
