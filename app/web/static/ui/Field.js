import { html, useId } from "../core/html.js";

/**
 * A label, a control, a note and a fault. The control is made by `children(ids)`, which are to be put on it:
 * `{id, "aria-describedby", "aria-invalid"}`.
 * @param {{label: string, note?: any, fault?: string, required?: boolean, id?: string, side?: any,
 *   children: (ids: {id: string, "aria-describedby"?: string, "aria-invalid"?: "true", required?: boolean}) => any}} props
 */
export function Field({ label, note, fault, required, id, side, children }) {
  const own = useId();
  const name = id ?? own;
  const described = [note && `${name}-note`, fault && `${name}-fault`].filter(Boolean).join(" ");
  return html`<div class="field">
    <div class="field-head"><label for=${name}>${label}${required && html`<span class="needed" aria-hidden="true"> ·</span>`}</label>${side}</div>
    ${children({ id: name, "aria-describedby": described || undefined, "aria-invalid": fault ? "true" : undefined })}
    ${fault && html`<p class="fault" id="${name}-fault">${fault}</p>`}
    ${note && html`<p class="note" id="${name}-note">${note}</p>`}
  </div>`;
}
