// Steps of used seats, a strip for each key, drawn as SVG. It begins with `GET /history` and goes on with the events.

import { byId, draw, make, plural, reconcile, say, timeOfDay } from "./elements.js";
import { attempt } from "./notices.js";

const HEIGHT = 64;
const LEFT = 34;
const RIGHT = 6;
const TOP = 6;
const BOTTOM = 16;
const MOST_STEPS = 5_000; // of one key that are kept here

export class Timeline {
  #server;
  #keys;
  #lines = new Map(); // fingerprint -> {before, steps: [[at, used, move]]}
  #afterEvent = 0;
  #early = []; // events that came while the history was on its way
  #loading = false;

  constructor(server, keys) {
    this.#server = server;
    this.#keys = keys;
    byId("timeline-span").addEventListener("change", () => this.load());
    new ResizeObserver(() => this.draw()).observe(byId("strips"));
    setInterval(() => document.hidden || this.draw(), 1000);
  }

  get #span() {
    return Number(byId("timeline-span").value);
  }

  /** Read the history again. */
  async load() {
    this.#loading = true;
    await attempt("The history was not read", async () => {
      const history = await this.#server.ask("GET", `/history?seconds=${this.#span}`);
      this.#lines = new Map(Object.entries(history.keys));
      this.#afterEvent = history.after_event;
    });
    this.#loading = false;
    for (const event of this.#early.splice(0)) this.add(event);
    this.draw();
  }

  /** Go on with one event about a seat. */
  add(event) {
    if (this.#loading) this.#early.push(event);
    if (this.#loading || event.number <= this.#afterEvent) return;
    const { at, used, move, key_fingerprint: fingerprint } = event.data;
    const line = this.#lines.get(fingerprint) ?? { before: null, steps: [] };
    this.#lines.set(fingerprint, line);
    line.steps.push([at, used, move]);
    if (line.steps.length > MOST_STEPS) line.before = line.steps.splice(0, line.steps.length - MOST_STEPS).at(-1)[1];
  }

  /** Draw all strips as they are now. */
  draw() {
    const now = this.#keys.now();
    reconcile(byId("strips"), this.#keys.list, (key) => key.fingerprint, strip, (element, key) => {
      const width = Math.max(200, element.clientWidth);
      this.#plot(element, key, { now, since: now - this.#span, width });
    });
  }

  #plot(element, key, { now, since, width }) {
    const line = this.#lines.get(key.fingerprint) ?? { before: key.used, steps: [] };
    while (line.steps.length && line.steps[0][0] < since) line.before = line.steps.shift()[1];
    const { before, steps } = line;
    const highest = Math.max(before ?? 0, key.used, ...steps.map(([, used]) => used));
    const counts = { taken: 0, released: 0, forced: 0 };
    for (const [, , move] of steps) counts[move] += 1;
    say(element.querySelector(".now"), `now ${key.used} of ${key.seats}, highest ${highest}`);

    const most = Math.max(key.seats, highest, 1);
    const x = (at) => LEFT + ((Math.min(at, now) - since) / (now - since)) * (width - LEFT - RIGHT);
    const y = (used) => HEIGHT - BOTTOM - (used / most) * (HEIGHT - BOTTOM - TOP);
    const floor = y(0);
    const first = before === null ? (steps.length ? steps[0][0] : now) : since;
    let path = `M${fixed(x(first))} ${fixed(y(before ?? 0))}`;
    for (const [at, used] of steps) path += `H${fixed(x(at))}V${fixed(y(used))}`;
    path += `H${fixed(x(now))}`;

    const svg = element.querySelector("svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    svg.setAttribute("height", HEIGHT);
    svg.setAttribute("aria-label",
      `Seats of key ${key.fingerprint} over the last ${byId("timeline-span").selectedOptions[0].textContent}: now ${key.used} of ${key.seats}, ` +
      `highest ${highest}; ${plural(counts.taken, "seat")} taken, ${counts.released} released, ${counts.forced} taken away`);
    const limit = y(key.seats);
    svg.replaceChildren(
      draw("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: floor, y2: floor }),
      draw("path", { class: "area", d: `${path}V${floor}H${fixed(x(first))}Z` }),
      draw("line", { class: "limit", x1: LEFT, x2: width - RIGHT, y1: limit, y2: limit }),
      draw("path", { class: "line", d: path }),
      ...steps.filter(([, , move]) => move === "forced").slice(-200).map(([at, used]) =>
        draw("path", { class: "forced", d: cross(x(at), y(used)) })),
      label(LEFT - 6, floor, "0", "end"),
      label(LEFT - 6, limit + 4, key.seats.toLocaleString("en"), "end"),
      label(LEFT, HEIGHT - 3, timeOfDay(since), "start"),
      label(width - RIGHT, HEIGHT - 3, timeOfDay(now), "end"),
    );
  }
}

function strip({ fingerprint }) {
  const svg = draw("svg", { role: "img", width: "100%", preserveAspectRatio: "none" });
  const title = make("p", { class: "striphead" }, make("code", {}, fingerprint), " ", make("span", { class: "now hint" }));
  return make("div", { class: "strip", data: { fingerprint } }, title, svg);
}

function label(x, y, text, anchor) {
  return draw("text", { x, y, "text-anchor": anchor }, text);
}

const cross = (x, y) => `M${fixed(x - 3)} ${fixed(y - 3)}l6 6m0 -6l-6 6`;
const fixed = (number) => number.toFixed(1);
