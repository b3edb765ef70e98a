// The journal as it is written: filtered, paused, cleared. A paused journal still collects; it only holds still.

import { byId, make, plural, reconcile, say, timeOfDay } from "./elements.js";
import { confirmed, press } from "./notices.js";
import { words } from "./keys.js";

const KEPT = 2_000;
const SHOWN = 200;
const GOOD = ["activated", "released"];

export class Journal {
  #server;
  #entries = new Map(); // by number, oldest first
  #paused = null; // the entries as they were when it was paused
  #since = 0; // number of the last entry before the pause
  #frame = 0;

  constructor(server) {
    this.#server = server;
    byId("journal-filter").addEventListener("submit", (event) => event.preventDefault());
    for (const event of ["input", "change"]) byId("journal-filter").addEventListener(event, () => this.#later());
    byId("journal-pause").addEventListener("click", () => this.#pause());
    byId("journal-clear").addEventListener("click", (event) => this.#clear(event.currentTarget));
  }

  /** Offer the outcomes that this server knows. */
  offer(choices) {
    const select = byId("filter-outcome");
    if (select.options.length > 1) return;
    select.append(make("option", { value: "+fault" }, "a fault happened"), make("option", { value: "+none" }, "not answered"),
      ...choices.outcomes.map((outcome) => make("option", { value: outcome }, words(outcome))));
  }

  /** Show what `GET /journal` said. */
  show({ entries }) {
    this.#entries = new Map(entries.slice(-KEPT).map((entry) => [entry.number, entry]));
    this.#later();
  }

  /** Take in one entry, new or changed. */
  add(entry) {
    this.#entries.set(entry.number, entry);
    if (this.#entries.size > KEPT) this.#entries.delete(this.#entries.keys().next().value);
    this.#later();
  }

  /** Many entries a second become one drawing a frame. */
  #later() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw() {
    const all = this.#paused ?? [...this.#entries.values()];
    const matching = all.filter(this.#filter());
    const shown = matching.slice(-SHOWN).reverse();
    reconcile(byId("journal-rows"), shown, (entry) => entry.number, row, update);
    const newer = this.#paused ? [...this.#entries.keys()].filter((number) => number > this.#since).length : 0;
    const parts = [matching.length === all.length ? plural(all.length, "request") : `${matching.length} of ${plural(all.length, "request")} match`];
    if (matching.length > SHOWN) parts.push(`the last ${SHOWN} are listed`);
    if (this.#paused) parts.push(`paused, ${newer} newer`);
    say(byId("journal-summary"), parts.join("; "));
  }

  #filter() {
    const operation = byId("filter-operation").value;
    const outcome = byId("filter-outcome").value;
    const deployment = byId("filter-deployment").value.trim().toLowerCase();
    return (entry) =>
      (!operation || entry.operation === operation) &&
      (!outcome || (outcome === "+fault" ? entry.fault : outcome === "+none" ? entry.fate === "unanswered" : entry.outcome === outcome)) &&
      (!deployment || entry.deployment.toLowerCase().includes(deployment));
  }

  #pause() {
    const button = byId("journal-pause");
    if (this.#paused) this.#paused = null;
    else {
      this.#paused = [...this.#entries.values()].map((entry) => ({ ...entry }));
      this.#since = this.#paused.at(-1)?.number ?? 0;
    }
    button.setAttribute("aria-pressed", String(this.#paused !== null));
    this.#later();
  }

  async #clear(button) {
    const yes = await confirmed("Clear the journal?", "The server forgets all requests that it has noted. Seats and counts stay.", "Clear it");
    if (!yes) return;
    await press(button, "The journal was not cleared", async () => {
      await this.#server.ask("DELETE", "/journal");
      this.#entries.clear();
      if (this.#paused) this.#pause();
      this.#later();
    });
  }
}

function row(entry) {
  return make("tr", {},
    make("td", { "data-label": "No.", class: "number" }, String(entry.number)),
    make("td", { "data-label": "Time" }, timeOfDay(entry.at)),
    make("td", { "data-label": "Request" }, words(entry.operation)),
    make("td", { "data-label": "Deployment ID" }, make("code", { class: "id" }, entry.deployment || "(none)")),
    make("td", { "data-label": "Key" }, make("code", {}, entry.key_fingerprint || "(none)")),
    make("td", { "data-label": "What became of it" }, make("span", { class: "badge" }), make("span", { class: "end" })));
}

function update(element, entry) {
  const badge = element.querySelector(".badge");
  const good = GOOD.includes(entry.outcome) && !entry.fault;
  badge.dataset.tone = entry.fate === "pending" ? "wait" : entry.fault ? "fault" : good ? "ok" : "bad";
  say(badge, entry.fault ? `fault: ${words(entry.fault)}` : entry.outcome ? words(entry.outcome) : words(entry.fate));
  const parts = [];
  if (entry.fault && entry.outcome) parts.push(words(entry.outcome));
  if (entry.fate === "pending") parts.push("not answered yet");
  else if (entry.fate === "unanswered") parts.push("no answer");
  else if (entry.status) parts.push(String(entry.status));
  say(element.querySelector(".end"), parts.join(", "));
}
