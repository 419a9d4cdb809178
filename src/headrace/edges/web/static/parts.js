// What both kinds of details are made of.

import { el, put, refill, set } from "./dom.js";
import { TONES, short } from "./format.js";

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

/** Fill `place` with the connections of a component or a box, each a button that chooses it. */
export function queues(place, page, links, name) {
  const figures = links.map((link) => ({ link, ...page.figures(link) }));
  refill(place, figures.map((one) => [one.link.name, one.buffered, one.pressure]), () => {
    if (!figures.length) return [el("p", { class: "dim" }, "nothing is connected to it")];
    return figures.map((one) => {
      const [from, to] = one.link.name.split(" -> ");
      const text = one.link.receiver === name ? `from ${from}` : `to ${to}`;
      const fill = new Gauge("waiting", one.buffered, one.capacity).element;
      return el("button", { type: "button", class: `queue ${TONES[one.pressure]}`, on: { click: () => page.choose(one.link.name) } }, el("span", { title: text }, text), fill, el("span", {}, `${short(one.buffered)}/${short(one.capacity)} ${one.pressure}`));
    });
  });
}

/** A bar that is filled to a part. */
export class Gauge {
  constructor(name, value = 0, most = 1) {
    this.bar = el("span");
    this.element = el("span", { class: "meter", role: "meter", "aria-label": name, "aria-valuemin": 0 }, this.bar);
    this.put(value, most);
  }

  put(value, most) {
    set(this.element, "aria-valuemax", most || 1);
    set(this.element, "aria-valuenow", Math.min(value, most || 1));
    this.bar.style.width = `${Math.min(100, (100 * value) / (most || 1)).toFixed(1)}%`;
  }
}
