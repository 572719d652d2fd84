// The picture: a file, uploaded when it is selected, or a URL.

import { byId, show } from "./dom.js";

const KEPT = /\.(jpe?g|png|webp)$/i; // names of files that the gateway stores as they are

/** `onChange` is called whenever `url` may have changed. */
export class Picture {
  constructor({ api, signal, onChange }) {
    Object.assign(this, { _api: api, _signal: signal, _onChange: onChange, _uploaded: null, _upload: null });
    const options = { signal };
    const [file, address, drop] = [byId("file"), byId("image-url"), byId("drop")];
    file.addEventListener("change", () => file.files[0] && this._take(file.files[0]), options);
    address.addEventListener("input", () => this._forgetFile(), options);
    for (const event of ["dragover", "dragleave", "drop"]) {
      drop.addEventListener(event, (happening) => {
        happening.preventDefault();
        drop.classList.toggle("over", event === "dragover");
        if (event === "drop" && happening.dataTransfer.files[0]) this._take(happening.dataTransfer.files[0]);
      }, options);
    }
  }

  /** The picture's URL; empty without one. */
  get url() {
    return byId("image-url").value.trim() || this._uploaded || "";
  }

  get uploading() {
    return this._upload !== null;
  }

  /** Shows a picture by its URL. */
  useAddress(url) {
    byId("image-url").value = url;
    this._forgetFile();
  }

  /** Removes the picture. */
  clear() {
    byId("image-url").value = "";
    this._forgetFile();
  }

  _forgetFile() {
    this._upload?.abort();
    this._upload = this._uploaded = null;
    byId("file").value = "";
    byId("preview").hidden = true;
    byId("preview").removeAttribute("src");
    show(byId("picture-note"), "");
    this._onChange();
  }

  async _take(file) {
    this.clear();
    const upload = (this._upload = new AbortController());
    this._signal.addEventListener("abort", () => upload.abort());
    const plan = KEPT.test(file.name) ? "" : " The gateway makes a JPEG or PNG of its first picture.";
    show(byId("picture-note"), `Uploading ${file.name} …${plan}`);
    try {
      const [stored] = await Promise.all([this._api.upload(file, { signal: upload.signal }), this._preview(file, upload)]);
      if (this._upload !== upload) return;
      this._uploaded = stored.url;
      show(byId("picture-note"), `${file.name}, ${stored.width} × ${stored.height}${conversion(stored)}`);
    } catch (error) {
      if (this._upload !== upload) return;
      byId("preview").hidden = true;
      show(byId("picture-note"), error.temporary ? `${error.message} Choose the file again.` : error.message);
    }
    byId("file").value = ""; // the same file may be chosen again
    this._upload = null;
    this._onChange();
  }

  /** A data URL, because the page's policy allows no other local image. */
  async _preview(file, upload) {
    const reader = new FileReader();
    await new Promise((resolve) => {
      reader.onloadend = resolve;
      reader.readAsDataURL(file);
    });
    const image = byId("preview");
    if (this._upload !== upload || !file.type.startsWith("image/") || !reader.result) return;
    image.src = reader.result;
    const shown = await image.decode().then(() => true, () => false); // few browsers show HEIC
    if (this._upload === upload) image.hidden = !shown;
  }
}

/** What the gateway did with the file, for the note below it. */
function conversion(stored) {
  if (!stored.converted_from) return "";
  const [from, to] = [stored.converted_from, stored.type].map((type) => type.replace("image/", "").toUpperCase());
  return `, converted from ${from} to ${to}`;
}
