// Elements, made without any HTML text: whatever a name or an error says, it is shown as text.

const SVG = "http://www.w3.org/2000/svg";

/** Return an element; properties are attributes, `on` holds listeners, children are elements or texts. */
export function el(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** Return an SVG element. */
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, { on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) set(element, name, value);
  for (const [name, listener] of Object.entries(on)) element.addEventListener(name, listener);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Set an attribute where it is another one; false and null take it away. */
export function set(element, name, value) {
  if (value === false || value === null || value === undefined) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value === true ? "" : value)) {
    element.setAttribute(name, value === true ? "" : value);
  }
}

/** Set a text where it is another one. */
export function put(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** Fill an element anew where `key`, the data behind it, has changed. */
export function refill(element, key, make) {
  const wanted = JSON.stringify(key);
  if (element.filledWith === wanted) return;
  element.filledWith = wanted;
  element.replaceChildren(...make());
}

export const byId = (id) => document.getElementById(id);
