// Keys with their seats. A card and a row stay the same elements while they are brought up to date.

import { byId, make, plural, reconcile, say, span } from "./elements.js";
import { announce, confirmed, press } from "./notices.js";

const MOST_CELLS = 48; // more seats than that are one bar instead of cells
const PAGE = 10;

export const words = (text) => String(text).replaceAll("_", " ").replaceAll("-", " ");

export class Keys {
  #server;
  #refresh;
  #shown = new Map(); // how many seats of a key are listed
  #keys = [];
  #used = new Map();
  #offset = 0;
  #states = [];

  constructor(server, refresh) {
    this.#server = server;
    this.#refresh = refresh;
    setInterval(() => this.#tick(), 1000);
  }

  /** Offer the states that this server knows. */
  offer(choices) {
    this.#states = choices.states;
  }

  /** Show what `GET /state` said. */
  show(state) {
    this.#offset = state.now - Date.now() / 1000;
    this.#keys = state.keys;
    byId("no-keys").hidden = state.keys.length > 0;
    reconcile(byId("key-list"), state.keys, (key) => key.fingerprint, (key) => this.#card(key), (card, key) => this.#update(card, key));
    const [used, limit] = state.keys.reduce(([a, b], key) => [a + key.used, b + key.seats], [0, 0]);
    say(byId("total"), `${used.toLocaleString("en")} of ${limit.toLocaleString("en")}`);
    for (const { fingerprint, used: now, seats } of state.keys) {
      const before = this.#used.get(fingerprint);
      if (before !== undefined && before !== now) announce(`Key ${fingerprint}: ${now} of ${plural(seats, "seat")} used`);
      this.#used.set(fingerprint, now);
    }
  }

  /** Return the keys as they were last told. */
  get list() {
    return this.#keys;
  }

  /** Return the server's time in seconds. */
  now() {
    return Date.now() / 1000 + this.#offset;
  }

  #card({ fingerprint }) {
    const card = make("article", { class: "key", "aria-label": `Key ${fingerprint}` });
    const changer = this.#changer(fingerprint);
    card.append(
      make("div", { class: "keyhead" }, make("h3", {}, make("code", {}, fingerprint)), make("span", { class: "badge" }), make("span", { class: "expires hint" })),
      make("div", { class: "usage" },
        make("div", { class: "bar", role: "meter", "aria-label": `Seats used of key ${fingerprint}`, "aria-valuemin": "0" }),
        make("p", { class: "count" })),
      make("table", { class: "stack seats" },
        make("caption", { class: "unseen" }, `Seats of key ${fingerprint}`),
        make("thead", {}, make("tr", {}, ...["Deployment ID", "Taken", "Last contact", ""].map((text) => make("th", { scope: "col" }, text || make("span", { class: "unseen" }, "Action"))))),
        make("tbody", {})),
      make("button", { type: "button", class: "more", hidden: true, on: { click: () => this.#more(fingerprint) } }),
      changer,
    );
    return card;
  }

  #update(card, key) {
    const badge = card.querySelector(".badge");
    badge.dataset.tone = key.state === "ok" ? "ok" : "bad";
    say(badge, words(key.state));
    say(card.querySelector(".expires"), key.expires ? `until ${day(key.expires)}` : "no end");
    const bar = card.querySelector(".bar");
    const free = key.seats - key.used;
    bar.dataset.tone = free < 0 ? "over" : free === 0 ? "full" : "some";
    bar.setAttribute("aria-valuemax", Math.max(key.seats, key.used));
    bar.setAttribute("aria-valuenow", key.used);
    const text = `${key.used.toLocaleString("en")} of ${plural(key.seats, "seat")} used`;
    bar.setAttribute("aria-valuetext", text);
    fill(bar, key);
    say(card.querySelector(".count"), `${text}, ${free < 0 ? `${-free} too many` : free === 0 ? "none free" : `${free.toLocaleString("en")} free`}`);
    const shown = Math.min(key.taken.length, this.#shown.get(key.fingerprint) ?? PAGE);
    card.querySelector("table").hidden = key.taken.length === 0;
    reconcile(card.querySelector("tbody"), key.taken.slice(0, shown), (seat) => seat.deployment,
      (seat) => this.#row(key.fingerprint, seat), (row, seat) => this.#age(row, seat));
    const more = card.querySelector(".more");
    more.hidden = shown === key.taken.length;
    say(more, `Show more (${shown} of ${key.taken.length})`);
    card.querySelector("details").told(key);
  }

  #row(fingerprint, seat) {
    const release = make("button", { type: "button", "aria-label": `Release the seat of ${seat.deployment}` }, "Release…");
    release.addEventListener("click", () => this.#release(release, fingerprint, seat.deployment));
    return make("tr", {},
      make("th", { scope: "row", "data-label": "Deployment ID" }, make("code", { class: "id" }, seat.deployment), make("span", { class: "units hint" })),
      make("td", { "data-label": "Taken", class: "taken" }),
      make("td", { "data-label": "Last contact", class: "contact" }),
      make("td", { class: "action" }, release));
  }

  #age(row, seat) {
    row.seat = seat;
    say(row.querySelector(".units"), seat.units === 1 ? "" : ` ${seat.units} seats`);
    say(row.querySelector(".taken"), `${span(this.now() - seat.taken_at)} ago`);
    say(row.querySelector(".contact"), `${span(this.now() - seat.last_contact)} ago`);
  }

  #tick() {
    if (document.hidden) return;
    for (const row of byId("key-list").querySelectorAll("tr")) if (row.seat) this.#age(row, row.seat);
  }

  #more(fingerprint) {
    this.#shown.set(fingerprint, (this.#shown.get(fingerprint) ?? PAGE) + 100);
    const key = this.#keys.find((one) => one.fingerprint === fingerprint);
    const card = byId("key-list").querySelector(`[data-key="${CSS.escape(fingerprint)}"]`);
    if (key && card) this.#update(card, key);
  }

  async #release(button, fingerprint, deployment) {
    const yes = await confirmed("Release this seat?", `${deployment} loses its seat of key ${fingerprint}. The client is not told.`, "Release the seat");
    if (!yes) return;
    await press(button, "The seat was not released", async () => {
      await this.#server.ask("POST", "/force-release", { key_fingerprint: fingerprint, deployment });
    });
    await this.#refresh();
  }

  /** A form that is filled from what the server tells, but not while somebody is writing in it. */
  #changer(fingerprint) {
    const state = make("select", { name: "state" }, ...this.#states.map((name) => make("option", { value: name }, words(name))));
    const seats = make("input", { name: "seats", type: "number", min: "0", max: "10000000", required: true });
    const submit = make("button", { type: "submit" }, "Change");
    const form = make("form", { class: "row" }, make("label", {}, "State", state), make("label", {}, "Seats", seats), submit);
    const details = make("details", {}, make("summary", {}, "Change this key"), form);
    let touched = false;
    for (const event of ["input", "change"]) form.addEventListener(event, () => (touched = true));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const worked = await press(submit, "The key was not changed", () =>
        this.#server.ask("PATCH", `/keys/${fingerprint}`, { state: state.value, seats: Number(seats.value) }));
      if (!worked) return;
      touched = false;
      await this.#refresh();
    });
    details.addEventListener("toggle", () => (touched &&= details.open));
    details.told = (key) => {
      if (touched) return;
      state.value = key.state;
      if (seats.value !== String(key.seats)) seats.value = key.seats;
    };
    return details;
  }
}

/** Return the vendor's MM/DD/YYYY as a date that nobody reads the other way round. */
const day = (text) => text.replace(/^(\d\d)\/(\d\d)\/(\d{4})$/, "$3-$1-$2");

/** Draw a cell for each seat, or one bar when there are too many for that. */
function fill(bar, key) {
  const cells = Math.max(key.seats, key.used);
  const fine = cells > MOST_CELLS || cells === 0;
  bar.classList.toggle("solid", fine);
  const wanted = fine ? 1 : cells;
  while (bar.children.length > wanted) bar.lastElementChild.remove();
  while (bar.children.length < wanted) bar.append(make("span", { class: "cell" }));
  [...bar.children].forEach((cell, index) => {
    cell.classList.toggle("on", fine ? key.used > 0 : index < key.used);
    cell.classList.toggle("above", !fine && index >= key.seats);
    cell.style.width = fine ? `${cells ? (100 * key.used) / cells : 0}%` : "";
  });
}
