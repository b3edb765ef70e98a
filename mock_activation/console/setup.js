// What is set up rather than watched: profile and seed, switches, clock, snapshot, reset.

import { byId, make, reconcile, say, span, timeOfDay } from "./elements.js";
import { attempt, complain, confirmed, press } from "./notices.js";
import { words } from "./keys.js";

export class Setup {
  #server;
  #refresh;
  #profile = null; // as the server told it last
  #switches = {};
  #usual = {};
  #advanced = 0;

  constructor(server, refresh) {
    this.#server = server;
    this.#refresh = refresh;
    submitted("profile-form", () => this.#useProfile());
    submitted("switch-form", () => this.#flip());
    submitted("clock-form", () => this.#advance());
    byId("switch-form").addEventListener("change", () => this.#mark());
    byId("snapshot-export").addEventListener("click", (event) => this.#export(event.currentTarget));
    byId("snapshot-import").addEventListener("click", () => byId("snapshot-file").click());
    byId("snapshot-file").addEventListener("change", (event) => this.#import(event.currentTarget));
    byId("reset").addEventListener("click", (event) => this.#reset(event.currentTarget));
  }

  /** Show what `GET /clock` said: the server's time, and by how much it was advanced. */
  showClock({ now, advanced }) {
    this.#advanced = advanced;
    this.tick(now);
  }

  /** Let the clock go on. */
  tick(now) {
    say(byId("clock-now"), timeOfDay(now) + (this.#advanced ? ` (+${span(this.#advanced)})` : ""));
  }

  // -- profile and seed ----------------------------------------------------------------------------------------------

  /** Show what `GET /profiles` said: names with descriptions, and which is in force with which seed. */
  showProfiles({ profiles, profile, seed }) {
    reconcile(byId("profile-list"), profiles, ({ name }) => name, ({ name, description }) =>
      make("label", { class: "choice" }, make("input", { type: "radio", name: "profile", value: name, required: true }),
        make("span", {}, make("strong", {}, name), make("span", { class: "hint" }, description ? ` ${description}` : ""))), () => {});
    this.showProfile({ name: profile, seed });
  }

  /** Show which profile is in force; a choice that was not yet used is not overwritten. */
  showProfile({ name, seed }) {
    const chosen = byId("profile-form").elements.profile?.value;
    if (!chosen || chosen === this.#profile?.name) {
      for (const input of byId("profile-list").querySelectorAll("input")) input.checked = input.value === name;
    }
    if (!byId("profile-seed").value || byId("profile-seed").value === String(this.#profile?.seed)) byId("profile-seed").value = seed;
    this.#profile = { name, seed };
    say(byId("profile-now"), `${name}, seed ${seed}`);
  }

  async #useProfile() {
    const form = byId("profile-form");
    await press(form.querySelector("[type=submit]"), "The profile was not changed", () =>
      this.#server.ask("PUT", "/profile", { name: form.elements.profile.value, seed: Number(byId("profile-seed").value) }));
    await this.#refresh();
  }

  // -- switches ------------------------------------------------------------------------------------------------------

  /** Offer the positions that this server knows. */
  offer(choices) {
    const form = byId("switch-form");
    this.#usual = choices.defaults;
    if (form.children.length) return;
    for (const [name, positions] of Object.entries(choices.switches)) {
      form.append(make("label", {}, words(name), make("select", { name }, ...positions.map((value) => make("option", {}, value)))));
    }
    form.append(make("button", { type: "submit", "aria-disabled": "true" }, "Apply"));
  }

  /** Show what `GET /switches` said; what was moved here and not applied yet stays. */
  showSwitches(switches) {
    for (const select of byId("switch-form").querySelectorAll("select")) {
      if (select.value === (this.#switches[select.name] ?? select.value)) select.value = switches[select.name];
    }
    this.#switches = switches;
    const unusual = Object.keys(switches).filter((name) => switches[name] !== this.#usual[name]);
    const all = Object.keys(switches).length;
    say(byId("switch-summary"), unusual.length ? `${unusual.length} of ${all} differ from the default` : `All ${all} stand at their default`);
    for (const label of byId("switch-form").querySelectorAll("label")) label.classList.toggle("unusual", unusual.includes(label.control.name));
    this.#mark();
  }

  #moved() {
    return [...byId("switch-form").querySelectorAll("select")].filter((select) => select.value !== this.#switches[select.name]);
  }

  #mark() {
    const moved = this.#moved();
    for (const select of byId("switch-form").querySelectorAll("select")) select.parentElement.classList.toggle("moved", moved.includes(select));
    const apply = byId("switch-form").querySelector("[type=submit]");
    apply.setAttribute("aria-disabled", String(moved.length === 0));
    say(apply, moved.length ? `Apply ${moved.length}` : "Apply");
  }

  async #flip() {
    const moved = this.#moved();
    if (!moved.length) return;
    const apply = byId("switch-form").querySelector("[type=submit]");
    await press(apply, "The switches were not changed", async () => {
      this.showSwitches(await this.#server.ask("PATCH", "/switches", Object.fromEntries(moved.map(({ name, value }) => [name, value]))));
    });
    this.#mark();
  }

  // -- clock, snapshot, reset ----------------------------------------------------------------------------------------

  async #advance() {
    const seconds = Number(byId("clock-amount").value) * Number(byId("clock-unit").value);
    await press(byId("clock-form").querySelector("[type=submit]"), "The clock was not advanced", () =>
      this.#server.ask("POST", "/clock", { advance: seconds }));
    await this.#refresh();
  }

  async #export(button) {
    await press(button, "The snapshot was not exported", async () => {
      const snapshot = await this.#server.ask("GET", "/snapshot");
      const address = URL.createObjectURL(new Blob([JSON.stringify(snapshot, null, 2), "\n"], { type: "application/json" }));
      const link = make("a", { href: address, download: `mock-activation-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.json` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(address), 10_000);
    });
  }

  async #import(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    const yes = await confirmed("Import this snapshot?", `${file.name} replaces the server’s keys, seats and settings.`, "Import it");
    if (!yes) return;
    await attempt("The snapshot was not imported", async () => {
      await this.#server.ask("PUT", "/snapshot", await file.text());
    });
    await this.#refresh();
  }

  async #reset(button) {
    const yes = await confirmed("Reset the server?", "It becomes as it was at its start: no seats, no faults, an empty journal, its first keys and switches.", "Reset it");
    if (!yes) return;
    await press(button, "The server was not reset", () => this.#server.ask("POST", "/reset"));
    await this.#refresh();
  }
}

function submitted(id, action) {
  byId(id).addEventListener("submit", (event) => {
    event.preventDefault();
    action().catch((error) => complain("That did not work", error));
  });
}
