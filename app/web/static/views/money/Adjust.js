import { post } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { dollars } from "../../core/words.js";
import { Confirm } from "../../ui/Confirm.js";
import { Segments } from "../../ui/Segments.js";
import { toast } from "../../ui/Toast.js";
import { Form, Text } from "../admin/Form.js";

const AMOUNT = /^-?\d{1,10}(\.\d{1,6})?$/;
const WHAT = [
  { value: "job", label: "What a job cost" },
  { value: "team", label: "What the team has spent" },
];
/** What became of a job's correction. @type {Record<string, [string, "" | "good" | "bad"]>} */
const OUTCOMES = {
  credit: ["The team is credited.", "good"],
  correction: ["What the team has spent is corrected.", "good"],
  corrected: ["What the job cost is corrected.", "good"],
  decided: ["The dispute about the job is decided.", "good"],
  same: ["Nothing changed: the job was charged this already.", ""],
  gone: ["Nothing changed: the job's record has expired. Correct what the team has spent instead.", "bad"],
  open: ["Nothing changed: the job has not ended.", "bad"],
};

/** @typedef {{title: string, text: any, action: string, word: string, body: Record<string, string>}} Question */

/** @param {string} what `credit`, `job` or `team` @param {string} amount @param {string} job @param {string} team @returns {Omit<Question, "word">} */
function questionOf(what, amount, job, team) {
  if (what === "credit") {
    return { title: `Credit ${dollars(amount)} to ${team}?`, action: "Credit it", body: { amount_usd: amount },
      text: `${team} may spend ${dollars(amount)} more: in all, and today, this week and this month. Nobody is paid by this. It cannot be taken back.` };
  }
  if (what === "job") {
    return { title: `Did the job cost ${dollars(amount)}?`, action: "Correct it", body: { job, actual_usd: amount },
      text: html`The difference to what <code>${job}</code> was charged counts for ${team} and the user, in the day and month in which it was accepted.` };
  }
  const less = amount.startsWith("-");
  return { title: `Correct what ${team} has spent?`, action: "Correct it", body: { correction_usd: amount },
    text: `${team} has spent ${dollars(less ? amount.slice(1) : amount)} ${less ? "less" : "more"}, in all. Days, weeks and months stay as they were.` };
}

/** Credits a team, or corrects its spending; the amount is typed once more before money moves. @param {{kind: string, team: {id: string, name: string}, onDone: () => any, onClose: () => void}} props */
export function Adjust({ kind, team, onDone, onClose }) {
  const [what, setWhat] = useState("job");
  const [amount, setAmount] = useState("");
  const [job, setJob] = useState("");
  const [reason, setReason] = useState("");
  const [question, setQuestion] = useState(/** @type {Question | null} */ (null));
  const ask = () => {
    const given = amount.trim().replace(/^(-?)\$/, "$1");
    if (!AMOUNT.test(given)) throw new Error("Give an amount of dollars such as 25.00.");
    const toJob = kind === "correct" && what === "job";
    if (given.startsWith("-") && (kind === "credit" || toJob)) throw new Error("Give an amount that is not below zero.");
    if (toJob && !job.trim()) throw new Error("Give the id of the job: it begins with job_.");
    if (!reason.trim()) throw new Error("Give a reason: it is written in the ledger.");
    const asked = questionOf(kind === "credit" ? "credit" : what, given, job.trim(), team.name);
    setQuestion({ ...asked, word: given, body: { ...asked.body, reason: reason.trim() } });
  };
  const send = async () => {
    const { done } = await post(`admin/teams/${team.id}/credits`, question?.body);
    const [text, tone] = OUTCOMES[done] ?? OUTCOMES.correction;
    toast(text, { tone });
    await onDone();
    onClose();
  };
  if (question) return html`<${Confirm} ...${question} keep="Go back" danger=${false} onConfirm=${send} onClose=${() => setQuestion(null)} />`;
  const credit = kind === "credit";
  return html`<${Form} title=${credit ? `Credit ${team.name}` : `Correct ${team.name}`} action="Go on" onSend=${ask} onClose=${onClose}>
    ${!credit && html`<${Segments} label="What is wrong" hideLabel options=${WHAT} value=${what} onChange=${setWhat} />`}
    ${!credit && what === "job" && html`<${Text} label="Job" value=${job} onInput=${setJob} placeholder="job_…" note="An ended one. Its id is on its page, and in the ledger." />`}
    <${Text} label=${credit ? "Dollars that the team may spend more" : what === "job" ? "Dollars that it really cost" : "Dollars spent more, or less: -2.50"} value=${amount} onInput=${setAmount} />
    <${Text} label="Reason" value=${reason} onInput=${setReason} note="It is written in the ledger and in the audit log." />
  </${Form}>`;
}
