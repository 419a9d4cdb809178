// The details of what is chosen: a component, or a connection. The frame is made once; then texts are put in.

import { act, ask } from "./api.js";
import { BoxPanel } from "./box_panel.js";
import { byId, el, put, refill, set, svg } from "./dom.js";
import { SHAPES, clock, count, look, rate, total } from "./format.js";
import { LinkPanel } from "./link_panel.js";
import { Facts, list, queues, section } from "./parts.js";

const EVERY = 2000; // ms between two looks at what the stream does not tell
const TONE = { running: "flow", ready: "idle", created: "idle", stopping: "fill", stopped: "idle", error: "stop" };

export class Panel {
  /** `page` is the page: now, graph, history, choose(name), canControl(). */
  constructor(page) {
    this.page = page;
    this.place = byId("details");
    this.shown = null;
    this.nothing();
    setInterval(() => !document.hidden && this.shown?.look(), EVERY);
  }

  nothing() {
    this.shown?.close?.();
    this.shown = null;
    this.place.hidden = true;
  }

  component(name) {
    this.show(new ComponentPanel(this.page, name));
  }

  box(node) {
    this.show(new BoxPanel(this.page, node));
  }

  link(name) {
    this.show(new LinkPanel(this.page, name));
  }

  show(made) {
    this.shown?.close?.();
    this.shown = made;
    this.place.hidden = false;
    const close = el("button", { type: "button", class: "close", "aria-label": "close", on: { click: () => this.page.choose("") } }, "×");
    this.place.replaceChildren(close, ...made.parts);
    this.place.scrollTop = 0;
    made.update();
    made.look();
  }

  update() {
    this.shown?.update();
  }
}

class ComponentPanel {
  constructor(page, name) {
    this.page = page;
    this.node = page.graph.components.find((one) => one.name === name);
    this.details = new Map();
    this.icon = svg("path");
    this.word = el("span");
    this.state = el("p", { class: "state" }, svg("svg", { viewBox: "0 0 10 10", width: 11, height: 11, "aria-hidden": "true" }, this.icon), this.word);
    this.why = el("p", { class: "why" });
    this.facts = new Facts();
    this.spark = svg("polyline", { class: "spark" });
    this.edges = el("div");
    this.errors = el("div");
    this.timeline = el("div");
    this.replicas = el("div");
    this.origin = new Facts();
    this.settings = el("div");
    const button = (text, what, question) =>
      el("button", { type: "button", class: what === "stop" ? "warn" : "", on: { click: () => act(`components/${encodeURIComponent(name)}/${what}`, name, question) } }, text);
    this.buttons = {
      pause: button("Pause", "pause", `Pause ${name}? Nothing is handed to it until it is resumed; those before it may have to wait.`),
      resume: button("Resume", "resume"),
      restart: button("Restart", "restart", `Restart ${name}? Its life ends and the next begins; what it has in hand comes again.`),
      stop: button("Stop", "stop", `Stop ${name} for good? It finishes what has arrived; the others go on.`),
    };
    this.hint = el("p", { class: "dim" });
    this.parts = [
      el("h2", {}, name),
      el("p", { class: "dim mono" }, this.node.type),
      this.state,
      this.why,
      el("div", { class: "actions" }, ...Object.values(this.buttons), ...page.around(name).map((box) => el("button", { type: "button", on: { click: () => page.fold(box) } }, `Fold ${box}`))),
      this.hint,
      section("last minute", svg("svg", { class: "minute", viewBox: "0 0 300 40", preserveAspectRatio: "none", role: "img", "aria-label": "messages a second, last minute" }, this.spark)),
      section("now", this.facts.list),
      this.replicas,
      section("queues", this.edges),
      section("states", this.timeline),
      section("failures", this.errors),
      section("where it comes from", this.origin.list),
      this.settings,
    ];
  }

  get members() {
    return this.node.replicas.map((name) => this.page.now.components[name]).filter(Boolean);
  }

  update() {
    const { members, page } = this;
    if (!members.length) return;
    const sum = (get) => members.reduce((all, one) => all + get(one), 0);
    const { shape, tone, word } = look(members, page.now.system.troubles);
    set(this.icon, "d", SHAPES[shape]);
    set(this.state, "class", `state ${tone}`);
    const since = Math.max(...members.map((one) => one.since));
    put(this.word, `${word}, since ${clock(since)}`);
    const troubles = page.now.system.troubles.filter((one) => one.components.some((name) => this.node.replicas.includes(name)));
    const failure = members.map((one) => one.last_error).find(Boolean);
    put(this.why, troubles.map((one) => one.text).join(" ") || (failure ? `last failure: ${failure}` : ""));
    set(this.why, "class", troubles.length || tone === "stop" ? "why stop" : "why");
    this.showButtons(members);
    set(this.spark, "points", page.history.points(this.node.replicas, 300, 36, !this.node.inputs.length));
    this.showFacts(members, sum);
    queues(this.edges, page, page.graph.links.filter((one) => [one.sender, one.receiver].includes(this.node.name)), this.node.name);
    if (members.length > 1) refill(this.replicas, members.map((one) => [one.name, one.condition, one.in_rate]), () => [section("replicas", list(members.map((one) => `${one.name}: ${one.condition}, ${rate(one.in_rate)}`)))]);
    const told = sum((one) => one.error_count + one.restarts) + word;
    if (this.told !== undefined && this.told !== told) this.look();
    this.told = told;
  }

  showButtons(members) {
    const isOver = members.every((one) => one.state === "stopped" || one.condition === "failed");
    const isPaused = members.every((one) => one.paused);
    const cannot = isOver || !this.page.isRunning || !this.page.canControl;
    for (const one of Object.values(this.buttons)) one.disabled = cannot;
    this.buttons.pause.hidden = isPaused;
    this.buttons.resume.hidden = !isPaused;
    put(this.hint, this.page.canControl || !this.page.isRunning ? "" : this.page.whyNot);
  }

  showFacts(members, sum) {
    const { facts, node } = this;
    const isOver = members.every((one) => one.state === "stopped");
    const waiting = members.map((one) => one.waiting_for).find(Boolean);
    const kinds = Object.entries(members.reduce((all, one) => ({ ...all, ...one.errors }), {}));
    facts.put("finishes", !isOver && node.inputs.length ? rate(total(members, (one) => one.in_rate)) : null);
    facts.put("sends", !isOver && node.outputs.length ? rate(total(members, (one) => one.out_rate)) : null);
    facts.put("waits for", waiting ? `${waiting.text}` : null);
    facts.put("received", node.inputs.length ? count(sum((one) => one.received)) : null);
    facts.put("done", node.inputs.length ? count(sum((one) => one.acknowledged)) : null);
    facts.put("sent", node.outputs.length ? count(sum((one) => one.sent)) : null);
    facts.put("rejected", sum((one) => one.rejected) ? count(sum((one) => one.rejected)) : null);
    const dead = sum((one) => Object.values(one.dead).reduce((all, number) => all + number, 0));
    facts.put("dead letters so far", dead ? count(dead) : null);
    facts.put("errors", kinds.length ? kinds.map(([kind, number]) => `${count(number)} ${kind}`).join(", ") : "0");
    facts.put("restarts", count(sum((one) => one.restarts)));
    facts.put("came again", sum((one) => one.redelivered) ? count(sum((one) => one.redelivered)) : null);
    facts.put("works in", members[0].run_in);
  }

  /** Ask for what the stream does not tell. */
  async look() {
    try {
      const found = await Promise.all(this.node.replicas.slice(0, 8).map((name) => ask(`components/${encodeURIComponent(name)}`)));
      this.origin.put("source", found[0].source);
      this.origin.put("added at", found[0].registered);
      this.showSettings(found[0].settings);
      this.showFailures(found.flatMap((one) => one.failures).sort((one, other) => other.at - one.at).slice(0, 5));
      this.showTimeline(found.flatMap((one) => one.timeline).sort((one, other) => one.at - other.at));
    } catch {
      // the server is gone, which the page says; or the component is, which the next snapshot says
    }
  }

  showSettings(settings) {
    refill(this.settings, settings, () => {
      const facts = new Facts();
      for (const [name, value] of Object.entries(settings ?? {})) facts.put(name, typeof value === "string" ? value || '""' : JSON.stringify(value));
      return Object.keys(settings ?? {}).length ? [section("settings", facts.list)] : [];
    });
  }

  showFailures(failures) {
    refill(this.errors, failures, () =>
      failures.length
        ? failures.map((one, i) => el("details", { open: i === 0 }, el("summary", {}, `${clock(one.at)} ${one.error}`), el("pre", { tabindex: 0 }, one.traceback)))
        : [el("p", { class: "dim" }, "none in this run")],
    );
  }

  showTimeline(changes) {
    refill(this.timeline, changes, () => {
      const last = changes.slice(-40);
      const start = last[0]?.at ?? 0;
      const end = Math.max(this.page.now.time, (last.at(-1)?.at ?? 0) + 0.001);
      const place = (at) => (300 * (at - start)) / (end - start);
      const bars = last.map((one, i) => svg("rect", { class: TONE[one.state] ?? "idle", x: place(one.at), y: 0, height: 10, width: Math.max(1.5, place(last[i + 1]?.at ?? end) - place(one.at)) }));
      return [
        svg("svg", { class: "states", viewBox: "0 0 300 10", preserveAspectRatio: "none", "aria-hidden": "true" }, ...bars),
        list(last.slice(-6).reverse().map((one) => `${clock(one.at)} ${one.state}${one.error ? `: ${one.error}` : ""}`)),
      ];
    });
  }
}
