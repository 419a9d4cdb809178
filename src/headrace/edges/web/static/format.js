// Numbers, times and states in words.

const whole = new Intl.NumberFormat("en-US");

export const count = (number) => whole.format(number);

/** Return a number in at most five characters: 840, 8.4k, 84k, 1.2M. */
export function short(number) {
  if (number < 10) return String(Math.round(number * 10) / 10);
  if (number < 1000) return String(Math.round(number));
  const [size, unit] = number < 999500 ? [number / 1e3, "k"] : number < 999.5e6 ? [number / 1e6, "M"] : [number / 1e9, "G"];
  return (size < 9.95 ? size.toFixed(1).replace(".0", "") : Math.round(size)) + unit;
}

export const rate = (number) => (number === null || number === undefined ? "–" : `${short(number)}/s`);

/** Return seconds as people say them. */
export function span(seconds) {
  if (seconds < 0.0005) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 0.9995) return `${seconds < 0.01 ? (seconds * 1e3).toFixed(1) : Math.round(seconds * 1e3)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} m ${Math.floor(seconds % 60)} s`;
  return minutes < 1440 ? `${Math.floor(minutes / 60)} h ${minutes % 60} m` : `${Math.floor(minutes / 1440)} d ${Math.floor(minutes / 60) % 24} h`;
}

/** Return how long something has lasted, in whole seconds. */
export const age = (seconds) => (seconds < 60 ? `${Math.round(seconds)} s` : span(seconds));

export function clock(time) {
  return new Date(time * 1000).toLocaleTimeString("en-GB");
}

/** The shapes of states, 10 by 10: whoever sees no colours tells them apart. */
export const SHAPES = {
  ring: "M5 0.5a4.5 4.5 0 1 0 .001 0zM5 2.3a2.7 2.7 0 1 1 -.001 0z",
  disc: "M5 0.5a4.5 4.5 0 1 0 .001 0z",
  half: "M5 0.5a4.5 4.5 0 1 0 .001 0zM5 2.3a2.7 2.7 0 0 1 0 5.4z",
  bars: "M1.5 0.8h2.6v8.4h-2.6zM5.9 0.8h2.6v8.4h-2.6z",
  triangle: "M5 0.6L9.8 9.2H0.2z",
  square: "M0.8 0.8h8.4v8.4h-8.4z",
  cross: "M1.6 0.2L5 3.6 8.4 0.2 9.8 1.6 6.4 5 9.8 8.4 8.4 9.8 5 6.4 1.6 9.8 0.2 8.4 3.6 5 0.2 1.6z",
  check: "M0.4 5.4L1.9 3.9 4 6 8.3 1.4 9.7 2.8 4 8.9z",
  turn: "M5 0.5a4.5 4.5 0 1 0 4.5 4.5h-1.8a2.7 2.7 0 1 1 -2.7 -2.7v1.9l3.6 -2.8 -3.6 -2.8z",
};

const CONDITIONS = {
  created: ["ring", "idle", "created"],
  ready: ["ring", "idle", "ready"],
  running: ["disc", "flow", "running"],
  paused: ["bars", "fill", "paused"],
  restarting: ["turn", "fill", "restarting"],
  stopping: ["half", "fill", "stopping"],
  stopped: ["check", "idle", "stopped"],
  failed: ["cross", "stop", "failed"],
  error: ["cross", "stop", "crashed"],
};
const CULPRIT = {
  blocked: "blocking",
  slow: "is slow",
  dead_letters: "dead letters full",
  deadlock: "deadlock",
  loop: "blocks the loop",
  slow_step: "slow step",
};
const WORST = ["failed", "error", "restarting", "paused", "stopping", "created", "ready", "running", "stopped"];

/** Return how a component looks, which may be several replicas: shape, tone, word. */
export function look(members, troubles) {
  const names = members.map((one) => one.name);
  const condition = WORST.find((word) => members.some((one) => one.condition === word)) ?? "created";
  if (condition === "running") {
    for (const one of troubles) {
      if (CULPRIT[one.kind] && one.components.some((name) => names.includes(name))) {
        return { shape: "square", tone: "stop", word: CULPRIT[one.kind] };
      }
    }
    if (troubles.some((one) => one.blocked.some((name) => names.includes(name)))) {
      return { shape: "triangle", tone: "fill", word: "held up" };
    }
  }
  const [shape, tone, word] = CONDITIONS[condition];
  const at = members.filter((one) => one.condition === condition).length;
  return { shape, tone, word: members.length > 1 && at < members.length ? `${at} of ${members.length} ${word}` : word };
}

const PRESSURES = ["blocked", "filling", "flowing", "idle", "closed"];
export const TONES = { blocked: "stop", filling: "fill", flowing: "flow", idle: "idle", closed: "closed" };

/** Return the figures of a connection, which may be several edges. */
export function linkFigures(edges) {
  const sum = (get) => edges.reduce((total, one) => total + (get(one) ?? 0), 0);
  return {
    pressure: PRESSURES.find((word) => edges.some((one) => one.pressure === word)) ?? "closed",
    rate: edges.some((one) => one.rate !== null && one.rate !== undefined) ? sum((one) => one.rate) : null,
    buffered: sum((one) => one.buffered),
    capacity: sum((one) => one.capacity),
    p99: Math.max(0, ...edges.map((one) => one.latency.p99)),
  };
}

/** Return a sum of rates; null where none is known. */
export function total(members, get) {
  const known = members.map(get).filter((one) => one !== null && one !== undefined);
  return known.length ? known.reduce((sum, one) => sum + one, 0) : null;
}
