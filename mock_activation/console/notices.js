// What did not work, in the server's words; and the question before something that cannot be taken back.

import { byId, make } from "./elements.js";

const MOST = 4;

/** Show that something did not work, until it is dismissed. */
export function complain(what, error) {
  const notices = byId("notices");
  const text = `${what}: ${error.message}`;
  for (const old of notices.children) if (old.dataset.text === text) old.remove();
  const notice = make("div", { class: "notice bad", data: { text } }, make("p", {}, text));
  const close = make("button", { type: "button", "aria-label": "Dismiss this message" }, "Dismiss");
  close.addEventListener("click", () => notice.remove());
  notice.append(close);
  notices.append(notice);
  while (notices.children.length > MOST) notices.firstElementChild.remove();
}

/** Do something with the server; a failure is shown. Returns whether it worked. */
export async function attempt(what, action) {
  try {
    await action();
    return true;
  } catch (error) {
    complain(what, error);
    return false;
  }
}

/** Do the same while the control cannot be used a second time. */
export async function press(control, what, action) {
  if (control.getAttribute("aria-disabled") === "true") return false;
  control.setAttribute("aria-disabled", "true"); // `disabled` would take the focus away
  try {
    return await attempt(what, action);
  } finally {
    control.removeAttribute("aria-disabled");
  }
}

let lastAnnounced = 0;
let waiting = null;

/** Tell a screen reader, but not more often than it can speak. */
export function announce(text) {
  clearTimeout(waiting);
  const wait = Math.max(0, lastAnnounced + 3000 - Date.now());
  waiting = setTimeout(() => {
    lastAnnounced = Date.now();
    byId("announcements").textContent = text;
  }, wait);
}

/** Ask before something is done; resolves to true for yes. Escape means no. */
export function confirmed(title, text, yes) {
  const dialog = byId("confirm");
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
