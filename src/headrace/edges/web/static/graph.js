// The live graph: drawn once as the server has laid it out, then only what has changed is filled in, a few
// milliseconds a frame, so that a thousand lines never hold the page up.

import { put, set, svg } from "./dom.js";
import { SHAPES, TONES, linkFigures, look, rate, short, span, total } from "./format.js";

const MARGIN = 14;
const BUDGET = 14; // ms of work a frame: each paints the whole graph, so few are better than many
const FAR = 0.5; // when it is smaller than this, only names, shapes and colours are shown
const LEAST = 0.35; // how small "fit" may make it
const PILL = 66; // how wide the figures of a line are

export class Graph {
  /** `on` has component(name) and link(name): what was chosen. */
  constructor(canvas, on) {
    this.canvas = canvas;
    this.on = on;
    this.nodes = new Map();
    this.links = new Map();
    this.dirty = new Set();
    this.scale = 1;
    this.fits = true;
    this.focused = "";
    this.frame = 0;
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("pointerdown", (event) => this.drag(event));
    new ResizeObserver(() => this.fits && this.fit()).observe(canvas);
  }

  /** Draw a graph anew. */
  draw(graph, drawing) {
    this.graph = graph;
    this.drawing = drawing;
    this.nodes.clear();
    this.links.clear();
    this.dirty.clear();
    const [width, height] = [drawing.width + 2 * MARGIN, drawing.height + 2 * MARGIN];
    this.root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `graph of ${graph.system}` });
    const place = svg("g", { transform: `translate(${MARGIN} ${MARGIN})` });
    const pills = [];
    for (const link of graph.links) {
      const made = this.link(link, drawing.links[link.name], drawing.labelled);
      place.append(made.group);
      if (made.pill) pills.push(made.pill);
    }
    for (const node of graph.components) place.append(this.node(node, drawing.components[node.name]));
    place.append(...pills);
    this.root.append(place);
    this.canvas.replaceChildren(this.root);
    this.focused = graph.components[0]?.name ?? "";
    this.fit();
    this.all();
  }

  link(link, path, labelled) {
    const choose = { click: () => this.on.link(link.name) };
    const line = svg("path", { class: "line", d: path.d });
    const tip = svg("path", { class: "tip", d: path.tip });
    const group = svg("g", { class: "link", "data-name": link.name, on: choose }, svg("path", { class: "wide", d: path.d }), line, tip);
    if (path.is_back) group.classList.add("back");
    const title = svg("title", {}, link.name);
    group.append(title);
    const made = { link, group, line, title, pill: null };
    if (labelled) {
      made.rate = svg("text", { y: -2.5 });
      made.fill = svg("text", { y: 8 });
      made.gauge = svg("rect", { class: "gauge", x: -PILL / 2 + 1, y: 11, height: 2.5, width: 0 });
      const box = svg("rect", { class: "box", x: -PILL / 2, y: -14, width: PILL, height: 28, rx: 5 });
      made.pill = svg("g", { class: "pillbox", transform: `translate(${path.x} ${path.y})`, on: choose }, box, made.gauge, made.rate, made.fill);
      made.pill.append(svg("title", {}, link.name));
    }
    this.links.set(link.name, made);
    return made;
  }

  node(node, box) {
    const at = (x, y) => ({ x, y });
    const made = {
      node,
      box,
      icon: svg("path", { class: "icon", transform: "translate(12 31)" }),
      word: svg("text", { class: "word", ...at(27, 40.5) }),
      rate: svg("text", { class: "rate", ...at(box.width - 12, 40.5) }),
      badge: svg("text", { class: "badge", ...at(12, 57) }),
      spark: node.parts ? null : svg("polyline", { class: "spark" }),
      pile: node.parts ? [8, 4].map((far) => svg("rect", { class: "box pile", x: far, y: far, width: box.width, height: box.height, rx: 8 })) : [],
      inside: node.parts ? svg("text", { class: "rate", ...at(box.width - 12, 57) }, node.type) : null,
    };
    made.group = svg(
      "g",
      {
        class: "node",
        role: "button",
        tabindex: -1,
        transform: `translate(${box.x} ${box.y})`,
        "data-name": node.name,
        on: { click: () => this.on.component(node.name), focus: () => this.focusOn(node.name, false) },
      },
      svg("title", {}, `${node.name}\n${node.type}`),
      ...made.pile,
      svg("rect", { class: "box", width: box.width, height: box.height, rx: 8 }),
      svg("text", { class: "name", ...at(12, 21) }, cut(node.title, box.width - 24)),
      made.spark, made.icon, made.word, made.rate, made.badge, made.inside,
    );
    this.nodes.set(node.name, made);
    return made.group;
  }

  // --- what moves -----------------------------------------------------------------------------------

  /** Take a snapshot, of which `names` of components and edges have changed; all where null. */
  update(now, names, history) {
    this.now = now;
    this.history = history;
    if (!names) return this.all();
    for (const [name, made] of this.nodes) if ([...made.node.replicas, ...(made.node.entering ?? [])].some((one) => names.has(one))) this.dirty.add(name);
    for (const [name, made] of this.links) if (made.link.edges.some((one) => names.has(one))) this.dirty.add(name);
    this.later();
  }

  all() {
    for (const name of this.nodes.keys()) this.dirty.add(name);
    for (const name of this.links.keys()) this.dirty.add(name);
    this.later();
  }

  later() {
    if (!this.frame && this.now && this.root) this.frame = requestAnimationFrame(() => this.work());
  }

  work() {
    this.frame = 0;
    const until = performance.now() + BUDGET;
    for (const name of this.dirty) {
      if (performance.now() > until) break;
      this.dirty.delete(name);
      if (this.nodes.has(name)) this.showNode(this.nodes.get(name));
      else if (this.links.has(name)) this.showLink(this.links.get(name));
    }
    if (this.dirty.size) this.later();
  }

  showNode(made) {
    const members = made.node.replicas.map((name) => this.now.components[name]).filter(Boolean);
    if (!members.length) return;
    const { shape, tone, word } = look(members, this.now.system.troubles);
    const sum = (get) => members.reduce((all, one) => all + get(one), 0);
    const speed = made.node.parts ? this.flow(made.node) : total(members, (one) => (made.node.inputs.length ? one.in_rate : one.out_rate));
    const isOver = members.every((one) => one.state === "stopped");
    const errors = sum((one) => one.error_count);
    set(made.group, "class", `node ${tone}${this.chosen === made.node.name ? " chosen" : ""}`);
    set(made.icon, "d", SHAPES[shape]);
    put(made.word, word);
    put(made.rate, isOver || word.length > 12 ? "" : rate(speed)); // beside a long word there is no room
    put(made.badge, errors ? `✗ ${short(errors)}` : "");
    set(made.group, "aria-label", [made.node.title, made.node.parts && made.node.type, word, made.rate.textContent, made.badge.textContent].filter(Boolean).join(" "));
    if (!made.spark) return;
    const points = this.history?.points(made.node.replicas, made.box.width - 68, 12, made.node.inputs.length === 0) ?? "";
    set(made.spark, "points", points);
    if (!made.spark.hasAttribute("transform")) set(made.spark, "transform", "translate(56 46)");
  }

  /** Return how many messages a second go into a sub-system; out of it, where none go in. */
  flow({ entering, leaving }) {
    const edges = entering.length ? entering : leaving;
    return total(edges.map((name) => this.now.edges[name]).filter(Boolean), (one) => one.rate);
  }

  showLink(made) {
    const edges = made.link.edges.map((name) => this.now.edges[name]).filter(Boolean);
    const figures = linkFigures(edges);
    const tone = TONES[figures.pressure];
    const isChosen = this.chosen === made.link.name;
    set(made.group, "class", `link ${tone}${this.drawing.links[made.link.name].is_back ? " back" : ""}${isChosen ? " chosen" : ""}`);
    const fill = `${short(figures.buffered)}/${short(figures.capacity)}`;
    put(made.title, `${made.link.name}: ${figures.pressure}, ${rate(figures.rate)}, ${fill} waiting, p99 ${span(figures.p99)}`);
    if (!made.pill) return;
    set(made.pill, "class", `pillbox ${tone}${isChosen ? " chosen" : ""}`);
    put(made.rate, tone === "closed" ? "closed" : rate(figures.rate));
    const isFull = ["blocked", "filling"].includes(figures.pressure);
    put(made.fill, isFull || !figures.p99 ? fill : `p99 ${span(figures.p99)}`); // what matters more just then
    const part = figures.capacity ? Math.min(1, figures.buffered / figures.capacity) : 0;
    set(made.gauge, "width", Math.round(part * (PILL - 2)));
  }

  /** Mark what is chosen. */
  choose(name) {
    for (const one of [this.chosen, name]) if (one) this.dirty.add(one);
    this.chosen = name;
    if (this.nodes.has(name)) this.focusOn(name, false);
    this.later();
  }

  // --- size and keys --------------------------------------------------------------------------------

  fit() {
    if (!this.drawing) return;
    const room = this.canvas.clientWidth / (this.drawing.width + 2 * MARGIN);
    this.zoom(Math.max(LEAST, Math.min(1, room)), true);
  }

  zoom(scale, fits = false) {
    if (!this.drawing) return;
    this.fits = fits;
    this.scale = Math.max(0.1, Math.min(3, scale));
    this.root.classList.toggle("far", this.scale < FAR);
    set(this.root, "width", Math.floor((this.drawing.width + 2 * MARGIN) * this.scale));
    set(this.root, "height", Math.floor((this.drawing.height + 2 * MARGIN) * this.scale));
  }

  /** Bring a component into view, and make it the one that the keys start from. */
  focusOn(name, isFocused = true) {
    for (const one of [this.focused, name]) {
      if (this.nodes.has(one)) set(this.nodes.get(one).group, "tabindex", one === name ? 0 : -1);
    }
    this.focused = name;
    const group = this.nodes.get(name)?.group;
    if (!group || !isFocused) return;
    group.focus({ preventScroll: true });
    group.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  key(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const here = this.nodes.get(this.focused);
    if (!here || event.target !== here.group) return;
    if (event.key === "Enter" || event.key === " ") this.on.component(this.focused);
    else if (steps[event.key]) this.focusOn(this.nearest(here, ...steps[event.key]) ?? this.focused);
    else return;
    event.preventDefault();
  }

  nearest(here, x, y) {
    let best = null;
    let least = Infinity;
    for (const [name, { box }] of this.nodes) {
      const [dx, dy] = [box.x + box.width / 2 - here.box.x - here.box.width / 2, box.y - here.box.y];
      const along = dx * x + dy * y;
      const cost = along + 3 * Math.abs(dx * y + dy * x);
      if (along > 1 && cost < least) [best, least] = [name, cost];
    }
    return best;
  }

  drag(event) {
    if (event.pointerType !== "mouse" || event.button || event.target.closest(".node, .link, .pillbox")) return;
    const { scrollLeft, scrollTop } = this.canvas;
    const move = (to) => this.canvas.scrollTo(scrollLeft + event.clientX - to.clientX, scrollTop + event.clientY - to.clientY);
    const end = () => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", end);
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
  }
}

const pen = document.createElement("canvas").getContext("2d");

/** Return as much of a text as there is room for. */
function cut(text, room) {
  pen.font = '600 13px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';
  if (pen.measureText(text).width <= room) return text;
  let kept = [...text];
  while (kept.length && pen.measureText(`${kept.join("")}…`).width > room) kept = kept.slice(0, -1);
  return `${kept.join("")}…`;
}
