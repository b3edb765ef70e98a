// Faults: one press for the next request, a form for everything else, and what is in force.

import { byId, make, plural, reconcile, say } from "./elements.js";
import { confirmed, press } from "./notices.js";
import { words } from "./keys.js";

const QUICK = [
  ["Lose the answer", { fault: "lost-answer" }],
  ["503", { fault: "status", status: 503, retry_after: 5 }],
  ["No seats", { fault: "refuse", reason: "no_seats" }],
  ["Reset", { fault: "reset" }],
  ["Hang", { fault: "hang" }],
  ["5 s late", { fault: "delay", seconds: 5 }],
  ["Captive portal", { fault: "html" }],
  ["Garbage", { fault: "garbage" }],
];
const SECONDS = { type: "number", min: 0, step: "any" };
const COUNT = { type: "number", min: 1 };
const STATUS = { type: "number", min: 200, max: 599, placeholder: "503" };
// The fields of each kind, beside those that all have; what is left empty is the server's own choice.
const OWN = {
  delay: { seconds: { ...SECONDS, required: true }, distribution: ["fixed", "uniform", "exponential", "lognormal"], most: SECONDS },
  status: { status: STATUS, body: {}, retry_after: SECONDS },
  html: { status: { ...STATUS, placeholder: "200" } },
  truncate: { keep: { type: "number", min: 0, max: 1, step: "any", placeholder: "0.5" } },
  drip: { seconds: SECONDS, size: COUNT },
  garbage: { size: COUNT },
  "content-type": { content_type: { placeholder: "text/html" } },
  "stale-date": { seconds: { type: "number", step: "any", placeholder: "-86400" } },
};
const IMPLIED = ["lost-answer", "reset-after"]; // these are processed, or they would be something else
const TOLD_APART = ["number", "fired", "fault", "times", "probability"];

export class Faults {
  #server;
  #refresh;
  #rules = [];

  constructor(server, refresh) {
    this.#server = server;
    this.#refresh = refresh;
    byId("faults-clear").addEventListener("click", (event) => this.#clear(event.currentTarget));
  }

  /** Build the buttons and the form from what this server knows. */
  offer(choices) {
    const known = QUICK.filter(([, fault]) => choices.faults.includes(fault.fault));
    reconcile(byId("fault-quick"), known, ([text]) => text, ([text, fault]) => {
      const button = make("button", { type: "button" }, text);
      button.addEventListener("click", () => this.#add(button, { ...fault, times: 1 }));
      return button;
    }, () => {});
    if (!byId("fault-form").children.length) this.#form(choices);
  }

  /** Show what `GET /faults` said. */
  show({ faults }) {
    this.#rules = faults;
    byId("no-faults").hidden = faults.length > 0;
    byId("faults-clear").hidden = faults.length === 0;
    reconcile(byId("fault-list"), faults, (rule) => rule.number, (rule) => this.#item(rule), update);
  }

  /** Count a rule that happened without asking for all of them. */
  fired({ number, fired }) {
    const rule = this.#rules.find((one) => one.number === number);
    if (!rule) return;
    rule.fired = fired;
    const item = byId("fault-list").querySelector(`[data-key="${number}"]`);
    if (item) update(item, rule);
  }

  #item(rule) {
    const remove = make("button", { type: "button", "aria-label": `Remove fault ${rule.number}, ${words(rule.fault)}` }, "Remove");
    remove.addEventListener("click", async () => {
      await press(remove, "The fault was not removed", () => this.#server.ask("DELETE", `/faults/${rule.number}`));
      await this.#refresh();
    });
    return make("li", { class: "item" },
      make("div", {}, make("strong", {}, words(rule.fault)), make("span", { class: "left hint" }), make("p", { class: "hint about" })),
      remove);
  }

  async #add(button, fault) {
    const worked = await press(button, "The fault was not added", () => this.#server.ask("POST", "/faults", fault));
    await this.#refresh();
    return worked;
  }

  async #clear(button) {
    const yes = await confirmed("Remove all faults?", `${plural(this.#rules.length, "fault")} will be gone; requests that are held back already stay so.`, "Remove all");
    if (!yes) return;
    await press(button, "The faults were not removed", () => this.#server.ask("DELETE", "/faults"));
    await this.#refresh();
  }

  #form(choices) {
    const kind = make("select", { name: "fault" }, ...choices.faults.map((name) => make("option", { value: name }, words(name))));
    const own = make("div", { class: "fields" });
    const common = {
      operation: ["", ...choices.operations],
      deployment: { placeholder: "any; * and ? are wildcards", maxlength: 200 },
      key_fingerprint: { placeholder: "any", pattern: "[0-9a-f]{12}", title: "12 hexadecimal digits" },
      times: { ...COUNT, placeholder: "until it is removed" },
      nth: COUNT,
      every: COUNT,
      probability: { type: "number", min: 0, max: 1, step: "any", placeholder: "1" },
    };
    const fields = () => {
      const mine = kind.value === "refuse" ? { reason: choices.refusals } : (OWN[kind.value] ?? {});
      which.disabled = which.hidden = kind.value === "tls-handshake"; // it comes before there is a request
      own.replaceChildren(...Object.entries(mine).map(([name, about]) => field(name, about)));
    };
    const which = make("fieldset", { class: "fields" }, make("legend", {}, "Which requests"), ...["operation", "deployment", "key_fingerprint"].map((name) => field(name, common[name])));
    const when = make("fieldset", { class: "fields" }, make("legend", {}, "How many of them"), ...["times", "nth", "every", "probability"].map((name) => field(name, common[name])));
    kind.addEventListener("change", fields);
    fields();
    const submit = make("button", { type: "submit" }, "Add this fault");
    const form = byId("fault-form");
    form.append(make("label", {}, "Kind", kind), own, which, when, submit);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      await this.#add(submit, read(form));
    });
  }
}

function field(name, about) {
  const input = Array.isArray(about)
    ? make("select", { name }, ...about.map((value) => make("option", { value }, words(value) || "any")))
    : make("input", { name, autocomplete: "off", spellcheck: "false", ...about });
  return make("label", {}, words(name), input);
}

function read(form) {
  const fault = {};
  for (const input of form.elements) {
    if (!input.name || input.value === "" || input.matches(":disabled")) continue;
    fault[input.name] = input.type === "number" ? Number(input.value) : input.value;
  }
  return fault;
}

function told(value) {
  if (value === true) return "yes";
  return typeof value === "object" ? Object.entries(value).map(([name, inner]) => `${name} ${inner}`).join(" ") : String(value);
}

function update(item, rule) {
  const done = rule.times !== null && rule.fired >= rule.times;
  item.classList.toggle("done", done);
  say(item.querySelector(".left"), rule.times === null ? ` ${plural(rule.fired, "time")} so far` : done ? " used up" : ` ${rule.fired} of ${plural(rule.times, "time")}`);
  const about = Object.entries(rule).filter(([name, value]) => !TOLD_APART.includes(name) && ![null, "", false, undefined].includes(value) && !(name === "processed" && IMPLIED.includes(rule.fault)));
  if (rule.probability !== undefined && rule.probability !== 1) about.push(["probability", rule.probability]);
  say(item.querySelector(".about"), about.map(([name, value]) => `${words(name)}: ${told(value)}`).join(", "));
}
