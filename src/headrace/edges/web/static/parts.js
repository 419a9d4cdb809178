// What both kinds of details are made of.

import { el, put } from "./dom.js";

/** A list of facts: names made once, values put in. */
export class Facts {
  constructor() {
    this.list = el("dl", { class: "facts" });
    this.values = new Map();
  }

  put(name, value) {
    if (!this.values.has(name)) {
      const shown = el("dd");
      const row = el("div", {}, el("dt", {}, name), shown);
      this.list.append(row);
      this.values.set(name, { row, shown });
    }
    const { row, shown } = this.values.get(name);
    put(shown, value ?? "");
    row.hidden = value === null || value === undefined || value === "";
  }
}

export function section(title, content) {
  return el("section", {}, el("h3", {}, title), content);
}

export function list(texts) {
  return el("ul", { class: "plain" }, ...texts.map((text) => el("li", {}, text)));
}
