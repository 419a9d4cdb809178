// Sub-systems as one box each: what of a graph is shown then, and where its lines lead.

const LARGE = 60; // components: a system with more of them is folded when it is first seen
const KEY = "headrace-folded";

/** Whether a component, or a sub-system, is in a sub-system. */
export const isIn = (name, box) => name.startsWith(`${box}/`);

/** Return the outermost of some sub-systems that a component is in, or its own name. */
function boxOf(name, boxes) {
  return boxes.filter((box) => isIn(name, box)).sort((one, other) => one.length - other.length)[0] ?? name;
}

/** Return a graph with one box for each of these sub-systems; such a box has `parts`: the names of its components. */
export function fold(graph, boxes) {
  if (!boxes.length) return graph;
  const places = new Map(graph.components.map((one) => [one.name, boxOf(one.name, boxes)]));
  const links = graph.links
    .map((one) => ({ ...one, sender: places.get(one.sender), receiver: places.get(one.receiver) }))
    .filter((one) => one.sender !== one.receiver || !boxes.includes(one.sender));
  const components = [...new Set(places.values())].map((name) =>
    boxes.includes(name) ? boxFor(name, graph, links) : graph.components.find((one) => one.name === name),
  );
  return { ...graph, components, links };
}

function boxFor(name, graph, links) {
  const parts = graph.components.filter((one) => isIn(one.name, name));
  const edges = (end) => links.filter((one) => one[end] === name).flatMap((one) => one.edges);
  return { name, title: name, type: `${parts.length} components`, parts: parts.map((one) => one.name), replicas: parts.flatMap((one) => one.replicas), entering: edges("receiver"), leaving: edges("sender") };
}

/** Return the sub-systems that are folded in this tab: at first all of a large system, and none of a small one. */
export function foldedAtFirst(graph) {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
    if (kept?.system === graph.system) return kept.folded;
  } catch {
    // a browser that keeps nothing
  }
  return graph.components.length > LARGE ? outermost(graph) : [];
}

/** Keep what is folded for the next look, in this tab. */
export function keepFolded(graph, folded) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ system: graph.system, folded }));
  } catch {
    // as above
  }
}

/** Return the sub-systems that are in no other. */
export function outermost(graph) {
  const all = Object.keys(graph.sub_systems);
  return all.filter((name) => !all.some((other) => isIn(name, other)));
}
