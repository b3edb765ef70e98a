// Makes and updates elements. Texts are only ever set as text: what a client sent can never become markup.

/** Return a new element; a property `data` or `on` holds several, an attribute that is null or false is left out. */
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (key === "data") Object.assign(element.dataset, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** Return a new SVG element with attributes. */
export function draw(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Set a text only if it is different: a screen reader and a selection are disturbed by every change. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Let a parent have one child for each item, in order. A child that stays is kept, so that the focus and an open form
 * in it are, too. `create(item)` returns an element, `update(element, item)` brings it up to date.
 */
export function reconcile(parent, items, keyOf, create, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = old.get(key);
    if (child) old.delete(key);
    else {
      child = create(item);
      child.dataset.key = key;
    }
    update(child, item);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  for (const child of old.values()) {
    if (child.contains(document.activeElement)) keepFocusNear(parent, child);
    child.remove();
  }
}

/** A control that goes away must not send the keyboard's user back to the top of the page. */
function keepFocusNear(parent, child) {
  const near = [child.nextElementSibling, child.previousElementSibling].find((one) => one?.querySelector("button"));
  const target = near?.querySelector("button") ?? parent.closest("section");
  if (target.tagName === "SECTION") target.setAttribute("tabindex", "-1");
  target.focus({ preventScroll: true });
}

/** Return seconds as people say them: "12 s", "3 min", "2 h 5 min", "4 d". */
export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min${whole < 600 ? ` ${whole % 60} s` : ""}`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** Return a moment (seconds since the epoch) as local time of day. */
export function timeOfDay(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB");
}

export const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
