// The details of a connection: its queue, how long messages lie on it, and a live tap.

import { ask } from "./api.js";
import { el, put, refill, set, svg } from "./dom.js";
import { SHAPES, TONES, clock, count, rate, span } from "./format.js";
import { Facts, Gauge, section } from "./parts.js";

const SHOWN = 50; // messages of a tap
const SHAPE = { blocked: "square", filling: "triangle", flowing: "disc", idle: "ring", closed: "check" };

export class LinkPanel {
  constructor(page, name) {
    this.page = page;
    this.link = page.graph.links.find((one) => one.name === name);
    this.icon = svg("path");
    this.word = el("span");
    this.state = el("p", { class: "state" }, svg("svg", { viewBox: "0 0 10 10", width: 11, height: 11, "aria-hidden": "true" }, this.icon), this.word);
    this.meter = new Gauge("waiting");
    this.facts = new Facts();
    this.bars = el("div");
    this.where = el("input", { type: "text", placeholder: "where: v > 3", "aria-label": "a condition on messages", autocomplete: "off", spellcheck: "false" });
    this.button = el("button", { type: "button", on: { click: () => (this.tap ? this.end() : this.begin()) } }, "Tap");
    this.where.addEventListener("keydown", (event) => event.key === "Enter" && (this.end(), this.begin()));
    this.told = el("p", { class: "dim" }, "A sample of the messages that go by; the system is not slowed.");
    this.messages = el("ol", { class: "messages", tabindex: 0, "aria-label": "messages" });
    const end = (name, port) => el("button", { type: "button", class: "queue", on: { click: () => page.choose(name) } }, el("span", {}, `${name}.${port}`));
    const { sender, output, receiver, input } = this.link;
    this.parts = [
      el("h2", {}, name),
      this.state,
      this.meter.element,
      section("between", el("div", {}, end(sender, output), end(receiver, input))),
      section("now", this.facts.list),
      section("how long messages lie here", this.bars),
      section("messages", el("div", { class: "bar" }, this.where, this.button)),
      this.told,
      this.messages,
    ];
  }

  update() {
    const edges = this.link.edges.map((name) => this.page.now.edges[name]).filter(Boolean);
    if (!edges.length) return;
    const figures = this.page.figures(this.link);
    const sum = (get) => edges.reduce((all, one) => all + get(one), 0);
    set(this.icon, "d", SHAPES[SHAPE[figures.pressure]]);
    set(this.state, "class", `state ${TONES[figures.pressure]}`);
    put(this.word, figures.pressure);
    this.meter.put(figures.buffered, figures.capacity);
    set(this.meter.element, "class", `meter ${TONES[figures.pressure]}`);
    const { facts } = this;
    facts.put("a second", rate(figures.rate));
    facts.put("waiting", `${count(figures.buffered)} of ${count(figures.capacity)}`);
    facts.put("in hand", count(sum((one) => one.in_hand)));
    facts.put("accepted", count(sum((one) => one.accepted)));
    facts.put("done", count(sum((one) => one.acknowledged)));
    const dropped = sum((one) => Object.values(one.dropped).reduce((all, number) => all + number, 0));
    facts.put("dropped", dropped ? count(dropped) : null);
    facts.put("dead letters", sum((one) => one.dead) ? count(sum((one) => one.dead)) : null);
    facts.put("came again", sum((one) => one.redelivered) ? count(sum((one) => one.redelivered)) : null);
    facts.put("senders that wait", sum((one) => one.waiting_senders) ? count(sum((one) => one.waiting_senders)) : null);
    facts.put("when full", this.link.when_full);
    const { p50, p99, highest, samples } = edges[0].latency;
    facts.put("p50 · p99 · most", samples ? `${span(p50)} · ${span(p99)} · ${span(highest)}` : null);
  }

  async look() {
    try {
      const found = await ask(`edges/${encodeURIComponent(this.link.edges[0])}`);
      this.showBars(found.histogram.filter((one) => one.count));
    } catch {
      // the server is gone, which the page says
    }
  }

  showBars(buckets) {
    refill(this.bars, buckets, () => {
      if (!buckets.length) return [el("p", { class: "dim" }, "no message has been followed yet")];
      const all = buckets.reduce((sum, one) => sum + one.count, 0);
      const most = Math.max(...buckets.map((one) => one.count));
      return buckets.map((one) =>
        el("div", { class: "bucket" }, el("span", {}, `≤ ${span(one.le)}`), new Gauge(`up to ${span(one.le)}`, one.count, most).element, el("span", {}, `${Math.round((100 * one.count) / all)} %`)),
      );
    });
  }

  /** Read a tap until it ends; a stream of events by hand, because an EventSource does not tell why it is refused. */
  async begin() {
    const tap = new AbortController();
    this.tap = tap;
    put(this.button, "Stop the tap");
    put(this.told, "waiting for messages…");
    set(this.told, "class", "dim");
    const query = new URLSearchParams({ n: "1000", where: this.where.value });
    try {
      const answer = await fetch(`api/v1/edges/${encodeURIComponent(this.link.edges[0])}/tap?${query}`, { signal: tap.signal });
      if (!answer.ok) throw new Error((await answer.json()).error);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        const events = (rest + part.value).split("\n\n");
        rest = events.pop();
        for (const event of events) this.take(event);
      }
    } catch (error) {
      if (!tap.signal.aborted) put(this.told, error.message);
      if (!tap.signal.aborted) set(this.told, "class", "refusal stop");
    }
    if (this.tap === tap) this.end();
  }

  take(event) {
    const [, kind] = /^event: (.*)$/m.exec(event) ?? [];
    const [, text] = /^data: (.*)$/m.exec(event) ?? [];
    if (kind === "message") this.add(JSON.parse(text));
    if (kind === "counts") {
      const { taken, unwanted, failed, skipped, error } = JSON.parse(text);
      const parts = [`${count(taken)} shown`, unwanted && `${count(unwanted)} not wanted`, failed && `${count(failed)} failed (${error})`, `${count(skipped)} passed over`];
      put(this.told, parts.filter(Boolean).join(", "));
    }
  }

  add({ id, time, value }) {
    this.pending = [...(this.pending ?? []), el("li", {}, el("span", { class: "dim" }, `#${count(id)} ${clock(time)} `), JSON.stringify(value))].slice(-SHOWN);
    this.frame ||= requestAnimationFrame(() => {
      this.messages.prepend(...this.pending.reverse());
      this.pending = [];
      this.frame = 0;
      while (this.messages.childElementCount > SHOWN) this.messages.lastElementChild.remove();
    });
  }

  end() {
    this.tap?.abort();
    this.tap = null;
    put(this.button, "Tap");
  }

  close() {
    this.end();
  }
}
