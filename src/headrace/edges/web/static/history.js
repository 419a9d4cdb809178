// The last minute of each component, a point a second, for the small curves.

const POINTS = 60;

export class History {
  constructor() {
    this.clear();
  }

  clear() {
    this.at = -Infinity;
    this.rates = new Map();
    this.totals = [];
  }

  /** Take a point where a second has passed; returns whether it has. */
  take(now, speed) {
    if (now.monotonic < this.at) this.clear();
    if (now.monotonic - this.at < 0.9) return false;
    this.at = now.monotonic;
    push(this.totals, speed ?? 0);
    for (const [name, one] of Object.entries(now.components)) {
      const both = this.rates.get(name) ?? { in: [], out: [] };
      this.rates.set(name, both);
      push(both.in, one.in_rate ?? 0);
      push(both.out, one.out_rate ?? 0);
    }
    return true;
  }

  of(names, isSource) {
    const all = names.map((name) => this.rates.get(name)?.[isSource ? "out" : "in"] ?? []);
    return all.length === 1 ? all[0] : (all[0] ?? []).map((_, i) => all.reduce((sum, one) => sum + (one[i] ?? 0), 0));
  }

  /** Return the points of a curve so wide and so high. */
  points(names, width, height, isSource) {
    return curve(this.of(names, isSource), width, height);
  }
}

function push(list, value) {
  list.push(value);
  if (list.length > POINTS) list.shift();
}

/** Return values as the points of a polyline; the newest is at the right. */
export function curve(values, width, height) {
  if (values.length < 2) return "";
  const most = Math.max(...values) || 1;
  const step = width / (POINTS - 1);
  const start = width - step * (values.length - 1);
  return values.map((value, i) => `${Math.round(start + i * step)},${(height - (value / most) * height).toFixed(1)}`).join(" ");
}
