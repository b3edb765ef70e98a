// The console: connects, reads everything once, then follows the events. It keeps nothing but the token, in the tab.

import { byId, say } from "./elements.js";
import { Faults } from "./faults.js";
import { Journal } from "./journal.js";
import { Keys } from "./keys.js";
import { attempt } from "./notices.js";
import { Server } from "./server.js";
import { Setup } from "./setup.js";
import { Timeline } from "./timeline.js";

const server = new Server();
const keys = new Keys(server, () => refresh.state());
const timeline = new Timeline(server, keys);
const journal = new Journal(server);
const faults = new Faults(server, () => refresh.faults());
const setup = new Setup(server, () => everything());

/** Read something soon, once for many events, and less often the longer it takes. */
function soon(what, action) {
  let running = null;
  let again = false;
  let pause = 150;
  const run = async () => {
    await new Promise((resolve) => setTimeout(resolve, pause));
    do {
      again = false;
      const begun = performance.now();
      await attempt(what, action);
      pause = Math.max(150, Math.min(5000, 3 * (performance.now() - begun)));
    } while (again && (await new Promise((resolve) => setTimeout(() => resolve(true), pause))));
    running = null;
  };
  return () => {
    again = running !== null;
    return (running ??= run());
  };
}

/** Read one part; what cannot be read throws. */
const read = {
  state: async () => keys.show(await server.ask("GET", "/state")),
  journal: async () => journal.show(await server.ask("GET", "/journal?limit=1000")),
  faults: async () => faults.show(await server.ask("GET", "/faults")),
  switches: async () => setup.showSwitches(await server.ask("GET", "/switches")),
  profiles: async () => setup.showProfiles(await server.ask("GET", "/profiles")),
  clock: async () => setup.showClock(await server.ask("GET", "/clock")),
};

const refresh = {
  state: soon("The keys were not read", () => read.state().then(() => timeline.draw())),
  faults: soon("The faults were not read", read.faults),
};

/** Read all that is shown. */
async function everything() {
  await attempt("The server’s state was not read", async () => {
    const [index, choices] = await Promise.all([server.ask("GET", "/"), server.ask("GET", "/console/choices.json")]);
    say(byId("version"), index.mock_activation);
    for (const part of [keys, journal, faults, setup]) part.offer(choices);
    await Promise.all(Object.values(read).map((one) => one()));
    await timeline.load();
    document.body.dataset.loaded = "yes";
  });
}

server.addEventListener("open", () => {
  connection("live", "live");
  everything();
});

server.addEventListener("event", ({ detail: event }) => {
  switch (event.kind) {
    case "journal":
      journal.add(event.data);
      if (event.data.outcome) refresh.state(); // the last contact of a seat is new
      break;
    case "seats":
      timeline.add(event);
      refresh.state();
      break;
    case "faults":
      if (event.data.what === "fired") faults.fired(event.data);
      else refresh.faults();
      break;
    case "profile":
      setup.showProfile(event.data);
      refresh.faults();
      break;
    default:
      changed(event.data.what);
  }
});

/** Read again what is different and has no events of its own. */
function changed(what) {
  const part = { keys: "state", switches: "switches", journal: "journal" }[what];
  if (part === "state") refresh.state();
  else if (part) attempt("What is new was not read", read[part]);
  else everything();
}

server.addEventListener("connection", ({ detail }) => {
  byId("login").hidden = detail.state !== "token";
  byId("offline").hidden = detail.state !== "lost";
  if (detail.state === "connecting") {
    if (byId("connection").dataset.state !== "lost") connection("connecting", "connecting");
  } else if (detail.state === "token") {
    connection("lost", "token wanted");
    if (detail.refused) say(byId("login").querySelector("label"), "The server does not accept this token; another one?");
    byId("token").focus();
  } else {
    connection("lost", "connection lost");
    say(byId("offline-text"), `${detail.reason} What is shown may be old. Next attempt in ${detail.wait} s.`);
  }
});

function connection(state, text) {
  byId("connection").dataset.state = state;
  document.body.dataset.connection = state;
  say(byId("connection"), text);
}

byId("retry").addEventListener("click", () => server.connect());
byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = byId("token").value.trim();
  byId("token").value = "";
  server.useToken(token);
});
setInterval(() => document.hidden || byId("connection").dataset.state !== "live" || setup.tick(keys.now()), 1000);

server.connect();
