// A mask: painted over the picture, or a file. White is what is meant.

import { html, useEffect, useRef, useState } from "../../core/html.js";
import { webAddress } from "../../core/words.js";
import { Button } from "../../ui/Button.js";
import { Dialog } from "../../ui/Dialog.js";
import { Slider } from "../../ui/Slider.js";
import { MediaField, take } from "./media.js";
import { sampleMask } from "./samples.js";

/** @param {{label: string, value: any, picture: any, onChange: (value: any) => void, [name: string]: any}} props */
export function MaskField({ label, value, picture, onChange, ...rest }) {
  const [painting, setPainting] = useState(false);
  const shown = picture?.preview ?? webAddress(picture?.url ?? "");
  return html`<div class="mask"><${MediaField} ...${rest} label=${label} kind="image" value=${value} onChange=${onChange} compact
      sample=${picture?.width && picture.height ? () => sampleMask(picture) : undefined} />
    <${Button} off=${shown ? false : "Choose the picture first"} onPress=${() => setPainting(true)}>Paint it</${Button}>
    ${painting && html`<${Painter} label=${label} picture=${shown} onClose=${() => setPainting(false)} onDone=${(/** @type {File} */ file) => (take(file, onChange), setPainting(false))} />`}
  </div>`;
}

/** @param {{label: string, picture: string, onClose: () => void, onDone: (file: File) => void}} props */
function Painter({ label, picture, onClose, onDone }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const image = useRef(/** @type {HTMLImageElement | null} */ (null));
  const last = useRef(/** @type {{x: number, y: number} | null} */ (null));
  const [size, setSize] = useState(12);
  const [painted, setPainted] = useState(false);
  const fit = () => {
    if (!canvas.current || !image.current) return;
    canvas.current.width = image.current.naturalWidth;
    canvas.current.height = image.current.naturalHeight;
  };
  useEffect(fit, []);

  /** @param {PointerEvent} event */
  const paint = (event) => {
    const target = canvas.current;
    if (!target || (event.type === "pointermove" && !event.buttons)) return;
    const box = target.getBoundingClientRect();
    const scale = target.width / box.width;
    const point = { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
    const pen = /** @type {CanvasRenderingContext2D} */ (target.getContext("2d"));
    Object.assign(pen, { lineCap: "round", lineWidth: (target.width * size) / 100, strokeStyle: "#fff" });
    const from = event.type === "pointermove" && last.current ? last.current : point;
    pen.beginPath();
    pen.moveTo(from.x, from.y);
    pen.lineTo(point.x, point.y);
    pen.stroke();
    last.current = point;
    setPainted(true);
  };
  const clear = () => {
    fit(); // a canvas that gets a size is empty
    setPainted(false);
  };
  const done = () => {
    const target = /** @type {HTMLCanvasElement} */ (canvas.current);
    const whole = Object.assign(document.createElement("canvas"), { width: target.width, height: target.height });
    const pen = /** @type {CanvasRenderingContext2D} */ (whole.getContext("2d"));
    pen.fillRect(0, 0, whole.width, whole.height);
    pen.drawImage(target, 0, 0);
    whole.toBlob((blob) => blob && onDone(new File([blob], "mask.png", { type: "image/png" })), "image/png");
  };
  const actions = html`<${Button} kind="quiet" onPress=${clear}>Start again</${Button}><${Button} kind="main" off=${!painted} onPress=${done}>Use this mask</${Button}>`;
  return html`<${Dialog} title=${label} wide onClose=${onClose} actions=${actions}>
    <div class="painter"><img ref=${image} src=${picture} alt="" onLoad=${fit} />
      <canvas ref=${canvas} aria-label="Paint over the picture" onPointerDown=${paint} onPointerMove=${paint}></canvas></div>
    <${Slider} label="Size of the brush" min=${2} max=${40} step=${1} value=${size} unit=" %" onChange=${setSize} />
    <p class="note">Paint with a pointer or a finger. A mask can also be made elsewhere and dropped into its field.</p>
  </${Dialog}>`;
}
