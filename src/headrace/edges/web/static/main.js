// The page: it takes snapshots from the feed, and hands them to the parts that show them.

import { act, ask, askToken, say, shown, takeToken } from "./api.js";
import { byId, el, put, refill, set, svg } from "./dom.js";
import { Feed } from "./feed.js";
import { SHAPES, age, count, linkFigures, short, total } from "./format.js";
import { fold, foldedAtFirst, isIn, keepFolded, outermost } from "./folding.js";
import { Graph } from "./graph.js";
import { History, curve } from "./history.js";
import { Panel } from "./panel.js";
import { Tables } from "./tables.js";

const STATES = {
  new: ["ring", "idle"],
  starting: ["half", "fill"],
  running: ["disc", "flow"],
  stopping: ["half", "fill"],
  finished: ["check", "flow"],
  stopped: ["check", "idle"],
  failed: ["cross", "stop"],
  cancelled: ["cross", "fill"],
};
const OVER = ["finished", "stopped", "failed", "cancelled"];
const KEYS = [
  ["/", "find a component"],
  ["← → ↑ ↓", "move from component to component"],
  ["Enter", "show its details"],
  ["Esc", "close the details"],
  ["+ − 0", "larger, smaller, fit"],
  ["t", "turn the graph"],
  ["f", "fold sub-systems into a box each, or unfold them"],
  ["p", "pause, or resume, the system"],
  ["?", "these keys"],
];
const narrow = matchMedia("(max-width: 760px)");

class Page {
  constructor() {
    this.chosen = "";
    this.isTurned = false; // whether it goes where it would not go by itself on this screen
    this.graph = { system: "", components: [], links: [], sub_systems: {} };
    this.shown = this.graph; // with its sub-systems folded
    this.folded = null; // which of them; nobody has seen the graph yet
    this.history = new History();
    this.canControl = false;
    this.whyNot = "";
    this.drawn = new Graph(byId("canvas"), { component: (name) => this.choose(name), link: (name) => this.choose(name) });
    this.panel = new Panel(this);
    this.tables = new Tables(this);
    this.feed = new Feed({ snapshot: () => this.begin(), delta: (delta) => this.update(delta), link: (word) => this.link(word) });
    this.figureParts();
    this.listen();
  }

  get now() {
    return this.feed?.now ?? null;
  }

  get direction() {
    return narrow.matches !== this.isTurned ? "down" : "right";
  }

  get isRunning() {
    return !OVER.includes(this.now?.system.state) && this.now?.system.state !== "new";
  }

  figures(link) {
    return linkFigures(link.edges.map((name) => this.now.edges[name]).filter(Boolean));
  }

  // --- what comes -----------------------------------------------------------------------------------

  /** Take a first snapshot: of a new server, or of the same one after a while. */
  async begin() {
    const round = (this.round = (this.round ?? 0) + 1);
    try {
      const graph = await ask("graph");
      const folded = (this.wanted ?? foldedAtFirst(graph)).filter((name) => graph.sub_systems[name]);
      const query = new URLSearchParams([["direction", this.direction], ...folded.map((name) => ["fold", name])]);
      const drawing = await ask(`drawing?${query}`);
      if (round !== this.round) return;
      this.take(graph, drawing, folded);
      await this.askAccess();
    } catch (error) {
      if (round === this.round) say(`the graph cannot be drawn: ${error.message}`, true);
    }
  }

  take(graph, drawing, folded) {
    const isFoldedAnew = JSON.stringify(folded) !== JSON.stringify(this.folded);
    const isOther = JSON.stringify(graph) !== JSON.stringify(this.graph);
    const isRestarted = this.startedAt !== undefined && this.startedAt !== this.now.system.started_at;
    const isTurned = drawing.direction !== this.drawing?.direction;
    this.startedAt = this.now.system.started_at;
    this.graph = graph;
    this.drawing = drawing;
    this.folded = folded;
    this.shown = fold(graph, folded);
    byId("fold").hidden = !Object.keys(graph.sub_systems).length;
    put(byId("fold"), folded.length ? "Unfold" : "Fold");
    document.title = `${graph.system} · headrace`;
    put(byId("name"), graph.system);
    if (isOther || isRestarted) this.history.clear();
    if (isOther || isTurned || isFoldedAnew) {
      const hadFocus = document.activeElement?.closest("#canvas, #details");
      if (graph.components.length) this.drawn.draw(this.shown, drawing);
      else byId("canvas").replaceChildren(el("p", { class: "empty" }, "This system has no components yet."));
      const isThere = [...graph.components, ...graph.links, ...this.shown.components].some((one) => one.name === this.chosen);
      const hiding = folded.filter((name) => this.hides(name, this.chosen)).sort((one, other) => one.length - other.length);
      this.choose(hiding[0] ?? (isThere ? this.chosen : ""), true);
      if (isFoldedAnew && hadFocus) this.drawn.focusOn(this.chosen || this.drawn.focused);
    }
    if (isRestarted) this.tables.clear();
    this.update(null, true);
  }

  async askAccess() {
    const { control, read_only: isReadOnly } = await ask("access");
    this.canControl = control;
    this.whyNot = isReadOnly ? "This server is read-only: it was started without a token." : "Only looking: to control, open the link with the token that was printed at the start.";
    byId("token").hidden = control || isReadOnly;
    this.update(null);
  }

  /** Show what has changed; all where `isAll`. */
  update(delta, isAll = false) {
    const { now } = this;
    if (!now || !this.drawing) return;
    const sources = this.graph.components.filter((one) => !one.inputs.length).flatMap((one) => one.replicas);
    const speed = total(sources.map((name) => now.components[name]).filter(Boolean), (one) => one.out_rate);
    const isPoint = this.history.take(now, speed);
    this.showSystem(speed);
    const names = new Set(Object.keys({ ...delta?.components, ...delta?.edges }));
    const troubles = JSON.stringify(now.system.troubles);
    this.drawn.update(now, isAll || isPoint || troubles !== this.told ? null : names, this.history);
    this.told = troubles;
    this.panel.update();
    this.tables.update();
  }

  link(word) {
    const isLost = word === "lost";
    const isOver = this.now && !this.isRunning;
    document.body.classList.toggle("lost", isLost && !isOver);
    set(byId("link"), "class", isLost && !isOver ? "pill stop" : "pill quiet");
    put(byId("link"), isLost ? (isOver ? "server gone, retrying" : "connection lost, retrying") : "live");
  }

  // --- the top --------------------------------------------------------------------------------------

  figureParts() {
    const make = (name) => {
      const shown = el("dd", {}, "–");
      const label = el("dt", {}, name);
      byId("figures").append(el("div", {}, shown, label));
      return { shown, label };
    };
    this.speed = make("messages a second");
    this.minute = svg("polyline", { class: "spark" });
    const curveOf = svg("svg", { viewBox: "0 0 120 30", width: 120, height: 30, role: "img", "aria-label": "throughput, last minute" }, this.minute);
    byId("figures").append(el("div", { class: "curve" }, el("dt", { class: "unseen" }, "last minute"), el("dd", {}, curveOf)));
    this.totals = Object.fromEntries(["in", "out", "rejected", "dead", "lost"].map((name) => [name, make(name)]));
    this.icon = svg("path");
    this.word = el("span");
    byId("state").append(svg("svg", { viewBox: "0 0 10 10", width: 10, height: 10, "aria-hidden": "true" }, this.icon), this.word);
  }

  showSystem(speed) {
    const { system, uptime } = this.now;
    const isOver = OVER.includes(system.state);
    const [shape, tone] = system.paused ? ["bars", "fill"] : STATES[system.state] ?? ["ring", "idle"];
    set(this.icon, "d", SHAPES[shape]);
    set(byId("state"), "class", `pill ${tone}`);
    put(this.word, `${system.paused ? "paused" : system.state}${system.started_at ? ` ${isOver ? "after " : ""}${age(uptime)}` : ""}`);
    put(this.speed.shown, isOver ? "–" : speed === null ? "–" : short(speed));
    set(this.minute, "points", curve(this.history.totals, 120, 28));
    const { totals } = system;
    put(this.totals.in.shown, count(totals.taken_in));
    put(this.totals.out.shown, count(totals.given_out));
    put(this.totals.rejected.shown, count(totals.rejected));
    put(this.totals.dead.shown, count(totals.dead));
    put(this.totals.lost.shown, count(totals.lost));
    put(this.totals.lost.label, isOver ? "lost" : "in flight");
    this.showTroubles(system, isOver);
    this.showButtons(system);
  }

  showTroubles(system, isOver) {
    const { troubles, reason, state, totals } = system;
    refill(byId("troubles"), [troubles, reason, state, isOver && totals], () => {
      const line = (shape, tone, text) => el("p", { class: tone }, svg("svg", { viewBox: "0 0 10 10", width: 11, height: 11, "aria-hidden": "true" }, svg("path", { d: SHAPES[shape] })), el("span", {}, text));
      if (isOver) {
        const text = `${state}: in ${count(totals.taken_in)}, out ${count(totals.given_out)}, rejected ${count(totals.rejected)}, dead ${count(totals.dead)}, lost ${count(totals.lost)}`;
        return [line(...(state === "finished" || state === "stopped" ? ["check", "flow"] : ["cross", "stop"]), reason && state === "failed" ? `${text}. ${reason}` : text)];
      }
      const lines = troubles.map((one) => line(...(["blocked", "deadlock", "loop"].includes(one.kind) ? ["square", "stop"] : ["triangle", "fill"]), one.text));
      if (lines.length > 1) lines[0].append(this.moreButton(lines.length - 1));
      if (!lines.length && reason) lines.push(line("triangle", "fill", `not ready: ${reason}`));
      return lines.length ? lines : [line("check", "flow", "Nothing holds anything up.")];
    });
  }

  /** All that is wrong is shown when somebody wants to know it: the page does not jump when there is more or less. */
  moreButton(number) {
    const place = byId("troubles");
    const isOpen = place.classList.contains("all");
    const toggle = ({ target }) => {
      const isShown = place.classList.toggle("all");
      set(target, "aria-expanded", String(isShown));
      put(target, isShown ? "only the worst" : `and ${number} more`);
    };
    return el("button", { type: "button", "aria-expanded": String(isOpen), on: { click: toggle } }, isOpen ? "only the worst" : `and ${number} more`);
  }

  showButtons(system) {
    const cannot = !this.canControl || !this.isRunning;
    put(byId("pause"), system.paused ? "Resume" : "Pause");
    byId("pause").disabled = cannot;
    byId("stop").disabled = cannot || system.state === "stopping";
    for (const name of ["pause", "stop"]) set(byId(name), "title", this.canControl ? null : this.whyNot);
  }

  // --- what people do -------------------------------------------------------------------------------

  /** Choose a component, a connection or a folded sub-system by its name, and unfold what hides it; nothing where empty. */
  choose(name, isQuiet = false) {
    this.chosen = name;
    const hiding = (this.folded ?? []).filter((box) => this.hides(box, name));
    if (hiding.length) return this.refold(this.folded.filter((one) => !hiding.includes(one)));
    this.drawn.choose(name);
    const box = this.shown.components.find((one) => one.parts && one.name === name);
    if (box) this.panel.box(box);
    else if (this.graph.components.some((one) => one.name === name)) this.panel.component(name);
    else if (this.graph.links.some((one) => one.name === name)) this.panel.link(name);
    else this.panel.nothing();
    if (name && narrow.matches && !isQuiet) byId("details").scrollIntoView({ block: "start" });
    if (this.now && this.drawing) this.tables.update();
  }

  // --- sub-systems ----------------------------------------------------------------------------------

  /** Return the sub-systems that a component is in, the outermost first. */
  around(name) {
    return Object.keys(this.graph.sub_systems).filter((box) => isIn(name, box)).sort((one, other) => one.length - other.length);
  }

  /** Whether a box, where it is folded, hides a component, a connection or a box in it. */
  hides(box, name) {
    const link = this.graph.links.find((one) => one.name === name);
    return (link ? [link.sender, link.receiver] : [name]).every((one) => isIn(one, box));
  }

  fold(box) {
    return this.refold([...this.folded, box]);
  }

  unfold(box) {
    return this.refold(this.folded.filter((one) => one !== box));
  }

  refold(folded) {
    keepFolded(this.graph, folded);
    this.wanted = folded;
    return this.begin();
  }

  listen() {
    const pause = () => {
      const name = this.graph.system;
      if (this.now?.system.paused) return act("system/resume", name);
      return act("system/pause", name, `Pause ${name}? Nothing is handed to any component until it is resumed.`);
    };
    const on = (id, listener) => byId(id).addEventListener("click", listener);
    on("pause", pause);
    on("stop", () => act("system/stop", this.graph.system, `Stop ${this.graph.system}? It drains: what is on its way is finished first.`));
    on("token", async () => (await askToken()) && (await this.askAccess(), say(this.canControl ? "the token is right" : "that is not the token", !this.canControl)));
    on("help", () => this.help());
    on("fit", () => this.drawn.fit());
    on("fold", () => this.folded && this.refold(this.folded.length ? [] : outermost(this.graph)));
    on("turn", () => ((this.isTurned = !this.isTurned), this.now && this.begin()));
    on("smaller", () => this.drawn.zoom(this.drawn.scale / 1.25));
    on("larger", () => this.drawn.zoom(this.drawn.scale * 1.25));
    byId("find").addEventListener("keydown", (event) => event.key === "Enter" && this.find(event.target.value));
    narrow.addEventListener("change", () => this.now && this.begin());
    this.themes();
    addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
      const isTyping = event.target.matches?.("input, select, textarea");
      if (event.key === "Escape") isTyping ? event.target.blur() : this.choose("");
      if (isTyping) return;
      const keys = { "/": () => byId("find").focus(), "?": () => this.help(), p: () => !byId("pause").disabled && pause(), "+": () => byId("larger").click(), "-": () => byId("smaller").click(), t: () => byId("turn").click(), f: () => !byId("fold").hidden && byId("fold").click(), 0: () => this.drawn.fit() };
      if (keys[event.key]) {
        event.preventDefault();
        keys[event.key]();
      }
    });
  }

  async find(text) {
    const wanted = text.trim().toLowerCase();
    if (!wanted) return;
    const names = this.graph.components.map((one) => one.name);
    const found = names.find((one) => one.toLowerCase() === wanted) ?? names.find((one) => one.toLowerCase().includes(wanted));
    if (!found) return say(`no component is called ${text}`, true);
    await this.choose(found);
    this.drawn.focusOn(found);
  }

  help() {
    const keys = el("dl", { class: "facts" }, ...KEYS.map(([key, what]) => el("div", {}, el("dt", { class: "mono" }, key), el("dd", {}, what))));
    shown("Keys", (done) => [el("button", { type: "button", autofocus: true, on: { click: () => done(true) } }, "Close")], [keys]);
  }

  themes() {
    const all = ["auto", "light", "dark"];
    let theme = "auto";
    const show = () => {
      set(document.documentElement, "data-theme", theme === "auto" ? null : theme);
      put(byId("theme"), `Theme: ${theme}`);
    };
    try {
      theme = all.find((one) => one === localStorage.getItem("headrace-theme")) ?? "auto";
    } catch {
      // a browser that keeps nothing
    }
    byId("theme").addEventListener("click", () => {
      theme = all[(all.indexOf(theme) + 1) % all.length];
      try {
        localStorage.setItem("headrace-theme", theme);
      } catch {
        // as above
      }
      show();
    });
    show();
  }
}

takeToken();
new Page().feed.open();
