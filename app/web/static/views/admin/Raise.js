import { post, serverNow } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { limitWords, windowWords } from "../../core/words.js";
import { Notice } from "../../ui/Notice.js";
import { Select } from "../../ui/Select.js";
import { toast } from "../../ui/Toast.js";
import { Form, Text } from "./Form.js";
import { limitOf } from "./kinds.js";

const SOON_S = 60; // the shortest raise that the API takes
const TIMES = [["3600", "an hour"], ["86400", "a day"], ["259200", "3 days"], ["604800", "a week"], ["1209600", "2 weeks"], ["2592000", "30 days"]]
  .map(([value, label]) => ({ value, label }));

/** @typedef {import("./kinds.js").Present} Present */

/** @param {Present} limit */
const nameOf = ({ unit, window }) => `${unit} ${window}`;

/** @param {number} at_ms */
const momentOf = (at_ms) => new Date(at_ms).toLocaleString("en-GB", { weekday: "long", day: "numeric", month: "long", hour: "2-digit", minute: "2-digit" });

/**
 * A higher amount of one limit of `path`, such as `admin/users/ID`, for a while; or the end of it.
 * @param {{path: string, name: string, limits: Present[], onDone: () => any, onClose: () => void}} props
 */
export function Raise({ path, name, limits, onDone, onClose }) {
  const [chosen, setChosen] = useState(nameOf(limits.find(({ unit }) => unit === "usd") ?? limits[0]));
  const [amount, setAmount] = useState("");
  const [time, setTime] = useState("604800");
  const limit = limits.find((one) => nameOf(one) === chosen) ?? limits[0];
  const { unit, window, rule } = limit;
  const before = { unit, window, amount: rule?.amount ?? limit.amount };
  const options = [...TIMES, ...(rule?.raised_until ? [{ value: "", label: "End the raise that there is" }] : [])];
  const ending = time === "" && Boolean(rule?.raised_until);
  const send = async () => {
    // The API has no end of one raise: the shortest one takes its place.
    const wanted = ending ? `${rule?.raised_to}` : amount;
    if (!wanted.trim()) throw new Error("Give the higher amount.");
    await post(`${path}/raises`, { ...limitOf({ unit, window, amount: wanted }), expires_in: ending ? SOON_S : Number(time) });
    await onDone();
    toast(ending ? "The raise ends within a minute." : "The limit is raised.", { tone: "good" });
    onClose();
  };
  const sentence = ending
    ? `Within a minute it is ${limitWords(before)} again. What is used ${windowWords(window)} stays counted.`
    : amount.trim()
      ? `${limitWords({ unit, window, amount: amount.trim().replace(/^\$/, "") })} until ${momentOf(serverNow() + Number(time) * 1000)}; then ${limitWords(before)} again.`
      : `It is ${limitWords(before)}. Give a higher amount; it goes back by itself.`;
  return html`<${Form} title="Raise a limit of ${name}" action=${ending ? "End the raise" : "Raise it"} onSend=${send} onClose=${onClose}>
    ${limits.length > 1
      ? html`<${Select} label="Which limit" options=${limits.map((one) => ({ value: nameOf(one), label: limitWords({ ...one, amount: one.rule?.amount ?? one.amount }) }))} value=${chosen}
          onChange=${(/** @type {string} */ value) => (setChosen(value), setTime("604800"))} />`
      : html`<p>Now: <b>${limitWords(before)}</b></p>`}
    ${!ending && html`<${Text} member="/amount" label="The higher amount" value=${amount} onInput=${setAmount} />`}
    <${Select} label="For how long" options=${options} value=${time} onChange=${setTime} />
    <${Notice}>${sentence}</${Notice}>
  </${Form}>`;
}
