// The stream of events: it holds the last snapshot, says when the server is gone, and comes back by itself.
// While the page is hidden it is closed, so that nobody works for it.

const SILENT = 15000; // ms without an event: there is a heartbeat every 5 s
const FIRST = 1000; // ms before the first retry
const LONGEST = 15000;

export class Feed {
  /** `on` has snapshot(), delta(changed) and link(word): "live" or "lost". */
  constructor(on) {
    this.on = on;
    this.now = null;
    this.source = null;
    this.timer = 0;
    this.pause = FIRST;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.close() : this.open()));
  }

  open() {
    this.close();
    const source = new EventSource("api/v1/events");
    this.source = source;
    const hear = (name, heard) =>
      source.addEventListener(name, (event) => {
        if (source !== this.source) return;
        this.watch();
        heard(JSON.parse(event.data));
      });
    hear("snapshot", (data) => {
      this.now = data;
      this.pause = FIRST;
      this.on.link("live");
      this.on.snapshot();
    });
    hear("delta", (data) => this.apply(data));
    hear("heartbeat", (data) => {
      this.now.uptime = data.uptime;
      this.on.delta(null);
    });
    hear("end", () => this.retry());
    source.addEventListener("error", () => source === this.source && this.retry());
    this.watch();
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  /** Try again after a while, and less often the longer nobody answers. */
  retry() {
    this.close();
    this.on.link("lost");
    if (!document.hidden) this.timer = setTimeout(() => this.open(), this.pause);
    this.pause = Math.min(1.5 * this.pause, LONGEST);
  }

  watch() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.retry(), SILENT);
  }

  apply(delta) {
    if (!this.now || delta.since !== this.now.number) {
      this.open(); // a delta of something else: begin with a whole one
      return;
    }
    const { components, edges, gone, system, ...times } = delta;
    Object.assign(this.now, times);
    if (system) this.now.system = system;
    Object.assign(this.now.components, components);
    Object.assign(this.now.edges, edges);
    for (const name of gone) {
      delete this.now.components[name];
      delete this.now.edges[name];
    }
    this.on.delta(delta);
  }
}
