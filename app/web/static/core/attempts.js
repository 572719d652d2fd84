// An Idempotency-Key for each thing that one wants, kept until an answer is known: pressing again never does it twice.

const STORED = "filmgate.attempts";
const LONGEST = 40;

/** A new Idempotency-Key. `crypto.randomUUID` is missing on plain http. */
export function newIdempotencyKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @returns {[string, any][]} */
function stored() {
  try {
    return JSON.parse(sessionStorage.getItem(STORED) ?? "[]");
  } catch {
    return [];
  }
}

const attempts = new Map(stored());

/**
 * The attempt for this wish (a body as text): the one under way, or `fresh()` with a new key.
 * @template T @param {string} wish @param {() => T} fresh @returns {T & {key: string}}
 */
export function attemptFor(wish, fresh) {
  if (!attempts.has(wish)) attempts.set(wish, { ...fresh(), key: newIdempotencyKey() });
  keep();
  return attempts.get(wish);
}

/** An answer is known: the next press is a new wish. @param {string} wish */
export function answered(wish) {
  attempts.delete(wish);
  keep();
}

/** Keeps what was changed in an attempt. */
export const noted = () => keep();

function keep() {
  for (const wish of [...attempts.keys()].slice(0, -LONGEST)) attempts.delete(wish);
  sessionStorage.setItem(STORED, JSON.stringify([...attempts]));
}
