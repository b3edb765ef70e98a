// Talks to the control port: requests with the token, and the stream of events, which comes back by itself.
//
// EventSource cannot send a token in a header, and one in the address would end in logs; so the stream is read here.

const TOKEN = "mock-activation-token";
const SILENCE = 45_000; // three times the server's heartbeat
const WAITS = [1, 2, 4, 8, 15]; // seconds before the next attempt

/** A request that did not work; the message is the server's own sentence where there is one. */
export class Failure extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

export class Server extends EventTarget {
  #attempt = 0;
  #following = null;
  #timer = null;

  /** Ask for a route; return its JSON. Throws Failure. */
  async ask(method, path, body) {
    let response;
    try {
      response = await fetch(`..${path}`, {
        method,
        headers: this.#headers(body === undefined ? {} : { "Content-Type": "application/json" }),
        body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
      });
    } catch {
      throw new Failure("The server does not answer.");
    }
    if (!response.ok) throw await this.#failure(response);
    try {
      return await response.json();
    } catch {
      throw new Failure(`The answer to ${method} ${path} was not whole.`, response.status);
    }
  }

  /** Keep the token for this tab, and connect with it. */
  useToken(token) {
    sessionStorage.setItem(TOKEN, token);
    this.connect();
  }

  /** Follow the events, now and after every loss. Tells "connection" (state, wait), "open" and "event". */
  connect() {
    clearTimeout(this.#timer);
    this.#following?.abort();
    const following = (this.#following = new AbortController());
    this.#tell("connection", { state: "connecting" });
    this.#follow(following).then(
      () => following === this.#following && this.#lost("The server ended the connection."),
      (error) => following === this.#following && this.#lost(error instanceof Failure ? error.message : "", error.status),
    );
  }

  async #follow(following) {
    let silence;
    const alive = () => {
      clearTimeout(silence);
      silence = setTimeout(() => following.abort(), SILENCE);
    };
    alive();
    try {
      const response = await fetch("../events", {
        headers: this.#headers({ Accept: "text/event-stream" }),
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
        signal: following.signal,
      });
      if (!response.ok) throw await this.#failure(response);
      this.#attempt = 0;
      this.#tell("open", {});
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ""; ; ) {
        const { done, value } = await reader.read();
        if (done) return;
        alive();
        const blocks = (rest + value).split("\n\n");
        rest = blocks.pop();
        for (const block of blocks) this.#block(block);
      }
    } finally {
      clearTimeout(silence);
    }
  }

  #block(block) {
    const fields = {};
    for (const line of block.split("\n")) {
      const colon = line.indexOf(":");
      if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).trimStart();
    }
    if (fields.event && fields.data) {
      this.#tell("event", { number: Number(fields.id), kind: fields.event, data: JSON.parse(fields.data) });
    }
  }

  #lost(reason, status = 0) {
    if (status === 401) {
      this.#tell("connection", { state: "token", refused: Boolean(sessionStorage.getItem(TOKEN)) });
      return;
    }
    const wait = WAITS[Math.min(this.#attempt++, WAITS.length - 1)];
    this.#tell("connection", { state: "lost", reason: reason || "The server does not answer.", wait });
    this.#timer = setTimeout(() => this.connect(), wait * 1000);
  }

  async #failure(response) {
    let sentence = `The server said ${response.status} ${response.statusText}`.trim() + ".";
    try {
      sentence = (await response.json()).error ?? sentence;
    } catch {
      // Not JSON: something between us and the server answered, and the status is all that it is good for.
    }
    return new Failure(sentence, response.status);
  }

  #headers(more) {
    const token = sessionStorage.getItem(TOKEN);
    return token ? { ...more, Authorization: `Bearer ${token}` } : more;
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
