// The details of a sub-system that is one box: its state, what is in it, and what leads in and out.

import { el, put, refill, set, svg } from "./dom.js";
import { SHAPES, count, look, rate, total } from "./format.js";
import { Facts, queues, section } from "./parts.js";

export class BoxPanel {
  constructor(page, node) {
    this.page = page;
    this.node = node;
    this.icon = svg("path");
    this.word = el("span");
    this.state = el("p", { class: "state" }, svg("svg", { viewBox: "0 0 10 10", width: 11, height: 11, "aria-hidden": "true" }, this.icon), this.word);
    this.why = el("p", { class: "why" });
    this.facts = new Facts();
    this.inside = el("div");
    this.edges = el("div");
    this.parts = [
      el("h2", {}, node.name),
      el("p", { class: "dim" }, `a sub-system of ${node.type}`),
      this.state,
      this.why,
      el("div", { class: "actions" }, el("button", { type: "button", on: { click: () => page.unfold(node.name) } }, "Unfold")),
      section("now", this.facts.list),
      section("components", this.inside),
      section("queues in and out", this.edges),
    ];
  }

  update() {
    const { page, node } = this;
    const { components, edges, system } = page.now;
    const members = node.replicas.map((name) => components[name]).filter(Boolean);
    if (!members.length) return;
    const sum = (get) => members.reduce((all, one) => all + get(one), 0);
    const speed = (names) => rate(total(names.map((name) => edges[name]).filter(Boolean), (one) => one.rate));
    const { shape, tone, word } = look(members, system.troubles);
    set(this.icon, "d", SHAPES[shape]);
    set(this.state, "class", `state ${tone}`);
    put(this.word, word);
    const troubles = system.troubles.filter((one) => one.components.some((name) => node.replicas.includes(name)));
    put(this.why, troubles.map((one) => one.text).join(" "));
    set(this.why, "class", troubles.length ? "why stop" : "why");
    this.facts.put("comes in", node.entering.length ? speed(node.entering) : null);
    this.facts.put("goes out", node.leaving.length ? speed(node.leaving) : null);
    this.facts.put("errors", count(sum((one) => one.error_count)));
    const dead = sum((one) => Object.values(one.dead).reduce((all, number) => all + number, 0));
    this.facts.put("dead letters so far", dead ? count(dead) : null);
    this.facts.put("restarts", count(sum((one) => one.restarts)));
    this.showInside();
    queues(this.edges, page, page.shown.links.filter((one) => [one.sender, one.receiver].includes(node.name)), node.name);
  }

  showInside() {
    const { page, node } = this;
    const inside = node.parts.map((name) => {
      const part = page.graph.components.find((one) => one.name === name);
      const members = (part?.replicas ?? []).map((one) => page.now.components[one]).filter(Boolean);
      return { name, ...look(members, page.now.system.troubles) };
    });
    refill(this.inside, inside, () =>
      inside.map(({ name, shape, tone, word }) =>
        el("button", { type: "button", class: `queue part ${tone}`, on: { click: () => page.choose(name) } },
          el("span", { title: name }, name.slice(node.name.length + 1)),
          el("span", { class: "state" }, svg("svg", { viewBox: "0 0 10 10", width: 10, height: 10, "aria-hidden": "true" }, svg("path", { d: SHAPES[shape] })), word)),
      ),
    );
  }

  look() {}
}
