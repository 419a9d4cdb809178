// Below the graph: the log, dead letters, and all components as a table. Only what is shown is kept up to date.

import { act, ask } from "./api.js";
import { byId, el, put, refill, set, svg } from "./dom.js";
import { SHAPES, clock, count, look, rate, short, total } from "./format.js";

const EVERY = 1500;
const KEPT = 400;
const LEVELS = ["debug", "info", "warning", "error"];

export class Tables {
  constructor(page) {
    this.page = page;
    this.place = byId("shown");
    this.all = { log: new Log(page), letters: new Letters(page), components: new Components(page) };
    this.tabs = {};
    for (const [name, one] of Object.entries(this.all)) {
      this.tabs[name] = el("button", { type: "button", role: "tab", id: `tab-${name}`, on: { click: () => this.show(name) } }, one.title);
    }
    byId("tabs").append(...Object.values(this.tabs));
    byId("tabs").addEventListener("keydown", (event) => this.key(event));
    this.show("log");
    setInterval(() => !document.hidden && this.all[this.name].look(), EVERY);
  }

  key(event) {
    const names = Object.keys(this.tabs);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    this.show(names.at((names.indexOf(this.name) + step) % names.length));
    this.tabs[this.name].focus();
  }

  show(name) {
    this.name = name;
    for (const [other, tab] of Object.entries(this.tabs)) {
      set(tab, "aria-selected", String(other === name));
      set(tab, "tabindex", other === name ? 0 : -1);
    }
    set(this.place, "aria-labelledby", `tab-${name}`);
    this.place.replaceChildren(...this.all[name].parts);
    this.all[name].look();
    if (this.page.now) this.all[name].update();
  }

  update() {
    const { dead_letters: letters } = this.page.now.system;
    put(this.tabs.letters, letters ? `Dead letters (${count(letters)})` : "Dead letters");
    put(this.tabs.components, `Components (${count(this.page.graph.components.length)})`);
    this.all[this.name].update();
  }

  /** Begin anew: the server is another one. */
  clear() {
    for (const one of Object.values(this.all)) one.clear?.();
    this.all[this.name].look();
  }
}

class Log {
  title = "Log";

  constructor(page) {
    this.page = page;
    this.last = 0;
    this.list = el("ol", { class: "log", tabindex: 0, "aria-label": "log" });
    this.empty = el("p", { class: "empty" }, "nothing has been logged yet");
    this.level = el("select", { "aria-label": "the least level" }, ...LEVELS.map((one) => el("option", { value: one, selected: one === "info" }, one)));
    this.of = el("label", { class: "check", hidden: true });
    this.only = el("input", { type: "checkbox" });
    this.ofText = el("span");
    this.of.append(this.only, this.ofText);
    for (const one of [this.level, this.only]) one.addEventListener("change", () => this.clear() ?? this.look());
    this.parts = [el("div", { class: "bar" }, this.level, this.of), this.list, this.empty];
  }

  clear() {
    this.last = 0;
    this.list.replaceChildren();
    this.round = (this.round ?? 0) + 1;
  }

  update() {
    const name = this.page.graph.components.some((one) => one.name === this.page.chosen) ? this.page.chosen : "";
    this.of.hidden = !name && !this.only.checked;
    if (name && name !== this.name) {
      this.name = name;
      put(this.ofText, `only ${name}`);
      if (this.only.checked) this.clear() ?? this.look();
    }
  }

  async look() {
    if (this.asking) return;
    this.asking = true;
    const round = this.round;
    const query = new URLSearchParams({ after: this.last, n: KEPT, level: this.level.value });
    if (this.only.checked && this.name) query.set("component", this.name);
    try {
      const { entries, last } = await ask(`logs?${query}`);
      if (round === this.round) this.add(entries, last);
    } catch {
      // the server is gone, which the page says
    } finally {
      this.asking = false;
    }
    if (round !== this.round) await this.look();
  }

  add(entries, last) {
    if (last < this.last) return this.clear(); // another server
    const { list } = this;
    const follows = list.scrollTop + list.clientHeight >= list.scrollHeight - 8;
    this.last = last;
    list.append(...entries.map(entryOf));
    while (list.childElementCount > KEPT) list.firstElementChild.remove();
    this.empty.hidden = list.childElementCount > 0;
    if (follows && entries.length) list.scrollTop = list.scrollHeight;
  }
}

function entryOf({ time, level, event, component, values, exception }) {
  const more = Object.entries(values).map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`).join(" ");
  const tone = { warning: "fill", error: "stop", critical: "stop" }[level] ?? "";
  return el(
    "li",
    { class: tone },
    el("time", {}, clock(time)),
    el("span", { class: "level" }, level),
    el("span", { class: "who" }, component),
    el("span", { class: "event" }, event, more ? el("span", { class: "dim" }, ` ${more}`) : null, exception ? el("details", {}, el("summary", {}, "traceback"), el("pre", { tabindex: 0 }, exception)) : null),
  );
}

class Letters {
  title = "Dead letters";

  constructor(page) {
    this.page = page;
    this.told = el("p", { class: "dim" });
    this.rows = el("tbody");
    this.buttons = [
      el("button", { type: "button", on: { click: () => this.act("dead-letters/redrive", "all dead letters", "Send all dead letters once more?") } }, "Redrive all"),
      el("button", { type: "button", class: "warn", on: { click: () => this.act("dead-letters/discard", "all dead letters", "Discard all dead letters? They are gone then.") } }, "Discard all"),
    ];
    const head = ["#", "time", "component", "tries", "error", "message"].map((one) => el("th", { scope: "col" }, one));
    this.table = el("table", {}, el("thead", {}, el("tr", {}, ...head, el("td"))), this.rows);
    this.parts = [el("div", { class: "bar" }, this.told, el("span", { class: "grow" }), ...this.buttons), el("div", { class: "scroll letters" }, this.table)];
  }

  async act(path, name, question) {
    if (await act(path, name, question)) await this.look();
  }

  update() {
    const { dead_letters: kept } = this.page.now.system;
    if (this.kept !== kept) this.look();
    this.kept = kept;
    this.lock();
  }

  lock() {
    for (const one of [...this.buttons, ...this.rows.querySelectorAll("button.act")]) one.disabled = !this.page.canControl;
    for (const one of this.buttons) one.hidden = !this.kept;
  }

  clear() {
    this.kept = undefined;
  }

  async look() {
    try {
      const { letters, kept, limit } = await ask("dead-letters?limit=200");
      this.kept = kept;
      put(this.told, kept ? `${count(kept)} of at most ${count(limit)}${kept > letters.length ? `, the oldest ${letters.length} are shown` : ""}` : "No message has failed for good.");
      this.table.hidden = !kept;
      refill(this.rows, letters.map((one) => [one.number, one.at]), () => letters.map((one) => this.row(one)));
      this.lock();
    } catch {
      // the server is gone, which the page says
    }
  }

  row({ number, component, at, attempts, error, message }) {
    const act = (what, question) => this.act(`dead-letters/${number}/${what}`, `dead letter ${number}`, question);
    const why = el("details", {}, el("summary", {}, error));
    why.addEventListener("toggle", async () => {
      if (why.childElementCount > 1) return;
      const text = await ask(`dead-letters/${number}`).then((one) => one.traceback, (problem) => problem.message);
      if (why.childElementCount === 1) why.append(el("pre", { tabindex: 0 }, text));
    });
    return el(
      "tr", {},
      el("td", { class: "n" }, `#${count(number)}`), el("td", {}, clock(at)), el("td", {}, component), el("td", { class: "n" }, attempts === 1 ? "1 try" : `${count(attempts)} tries`), el("td", { class: "text" }, why), el("td", { class: "text mono" }, JSON.stringify(message)),
      el("td", { class: "actions" },
        el("button", { type: "button", class: "act", on: { click: () => act("redrive") } }, "Redrive"),
        el("button", { type: "button", class: "act warn", on: { click: () => act("discard", `Discard dead letter ${number}? It is gone then.`) } }, "Discard")),
    );
  }
}

class Components {
  title = "Components";

  constructor(page) {
    this.page = page;
    this.rows = el("tbody");
    const head = ["component", "state", "a second", "queue", "errors", "restarts"];
    this.parts = [el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, ...head.map((one, i) => el("th", { scope: "col", class: i > 1 ? "n" : "" }, one)))), this.rows))];
  }

  look() {}

  update() {
    const { graph, now } = this.page;
    if (this.graph !== graph) {
      this.graph = graph;
      this.made = graph.components.map((node) => this.row(node));
      this.rows.replaceChildren(...this.made.map((one) => one.row));
    }
    for (const { node, cells, icon, word, state } of this.made) {
      const members = node.replicas.map((name) => now.components[name]).filter(Boolean);
      if (!members.length) continue;
      const seen = look(members, now.system.troubles);
      set(icon, "d", SHAPES[seen.shape]);
      put(word, seen.word);
      set(state, "class", `state ${seen.tone}`);
      const inputs = graph.links.length > 500 ? [] : graph.links.filter((one) => one.receiver === node.name).map((one) => this.page.figures(one));
      const waiting = inputs.reduce((all, one) => all + one.buffered, 0);
      const sum = (get) => count(members.reduce((all, one) => all + get(one), 0));
      const isOver = members.every((one) => one.state === "stopped");
      put(cells[0], isOver ? "" : rate(total(members, (one) => (node.inputs.length ? one.in_rate : one.out_rate))));
      put(cells[1], inputs.length ? `${short(waiting)}/${short(inputs.reduce((all, one) => all + one.capacity, 0))}` : "");
      put(cells[2], sum((one) => one.error_count));
      put(cells[3], sum((one) => one.restarts));
    }
  }

  row(node) {
    const icon = svg("path");
    const word = el("span");
    const state = el("span", { class: "state" }, svg("svg", { viewBox: "0 0 10 10", width: 10, height: 10, "aria-hidden": "true" }, icon), word);
    const cells = [0, 1, 2, 3].map(() => el("td", { class: "n" }));
    const name = el("button", { type: "button", class: "link", on: { click: () => this.page.choose(node.name) } }, node.name);
    return { node, cells, icon, word, state, row: el("tr", {}, el("td", {}, name), el("td", {}, state), ...cells) };
  }
}
