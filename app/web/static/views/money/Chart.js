import { html } from "../../core/html.js";
import { plural } from "../../core/words.js";
import { dayWords, shortDay } from "./report.js";

const HEIGHT = 200; // pixels
const LINES = 4; // above the lowest, at most
const LABELS = 6; // days that are named, at most

/** A round amount between two lines. @param {number} most @param {number} least */
function stepOf(most, least) {
  const rough = Math.max(most / LINES, least);
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5].find((times) => times * power >= rough * 0.999_999) ?? 10);
}

/**
 * A measure by day as bars: dollars are spent, and above it what is set aside. The table has the same numbers.
 * @param {{days: import("./report.js").Day[], measure: import("./report.js").Measure}} props
 */
export function Chart({ days, measure: { value: kind, title, words } }) {
  const most = Math.max(0, ...days.map(({ spent, held }) => spent + held));
  const step = stepOf(most, kind ? 1 : 0.01);
  const top = Math.max(1, Math.ceil(most / step - 1e-9)) * step;
  const lines = Array.from({ length: Math.round(top / step) + 1 }, (_, index) => index * step);
  const wide = 100 / days.length;
  const share = days.length > 14 ? 0.72 : 0.42; // of a day's room that its bar takes
  const every = Math.ceil(days.length / LABELS);
  const highest = days.find(({ spent, held }) => spent + held === most);
  const label = `${title}, ${dayWords(days[0].day)} to ${dayWords(days[days.length - 1].day)}. The most on one day: ${words(most)}${highest && most ? ` on ${dayWords(highest.day)}` : ""}.`;
  /** @param {number} amount */
  const high = (amount) => (Math.max(0, amount) / top) * HEIGHT;
  /** A day's name is below its bar; the last of many ends with the chart, where it would be cut on a phone. @param {number} index */
  const placeOf = (index) => (days.length > 14 && index === days.length - 1 ? { x: "100%", "text-anchor": "end" } : { x: `${(index + 0.5) * wide}%`, "text-anchor": "middle" });
  return html`<figure class="chart">
    <figcaption><span>${title}</span>${!kind && html`<span class="chart-key"><i></i>Spent</span>`}${days.some(({ held }) => held > 0) && html`<span class="chart-key held"><i></i>Set aside until fal's bill is known</span>`}</figcaption>
    <svg role="img" aria-label=${label} height=${HEIGHT + 28}>
      ${lines.map((amount) => html`<g key=${`line ${amount}`}><line class="chart-line" x1="0" x2="100%" y1=${HEIGHT - high(amount)} y2=${HEIGHT - high(amount)} />
        <text x="-10" y=${HEIGHT - high(amount)} dy=".32em" text-anchor="end">${kind ? amount : words(amount)}</text></g>`)}
      ${days.map(({ day, spent, held, jobs, seconds }, index) => {
        const [x, width] = [`${(index + (1 - share) / 2) * wide}%`, `${wide * share}%`];
        return html`<g key=${day} class="chart-day" data-day=${day}>
          <title>${dayWords(day)}: ${words(spent + held)}${held > 0 ? `, of which ${words(held)} set aside` : ""}${kind !== "jobs" ? `, ${plural(jobs, "job")}` : ""}${kind !== "seconds" ? `, ${seconds} s of video` : ""}</title>
          <rect class="chart-hover" x="${index * wide}%" y="0" width="${wide}%" height=${HEIGHT} />
          ${spent > 0 && html`<rect class="chart-spent" x=${x} width=${width} y=${HEIGHT - high(spent)} height=${high(spent)} rx="2" />`}
          ${held > 0 && html`<rect class="chart-held" x=${x} width=${width} y=${HEIGHT - high(spent + held)} height=${high(held)} rx="2" />`}
          ${(days.length - 1 - index) % every === 0 && html`<text class=${((days.length - 1 - index) / every) % 2 ? "chart-between" : undefined} ...${placeOf(index)} y=${HEIGHT + 20}>${shortDay(day)}</text>`}
        </g>`;
      })}
    </svg>
  </figure>`;
}
