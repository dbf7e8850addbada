// Elements, built without markup: what a file or an answer says never becomes HTML.

/**
 * An element with attributes and children. `class`, `text` and `on` (listeners by event) are special; a value of
 * null, undefined or false leaves an attribute out, and such a child too.
 *
 * @param {string} tag
 * @param {Record<string, any>} attributes
 * @param {...any} children
 * @returns {any} of the type that belongs to the tag
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name === "on")
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(
    ...children.flat().filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

/**
 * The element with this id, which the page is known to have.
 *
 * @param {string} id
 * @returns {any} of the type that the page gives it
 */
export function byId(id) {
  return document.getElementById(id);
}

/** The parts of a copy of a template, by `data-part`, and the copy's first element as `root`. */
export function parts(templateId) {
  const root = byId(templateId).content.firstElementChild.cloneNode(true);
  const found = { root };
  for (const element of root.querySelectorAll("[data-part]")) found[element.dataset.part] = element;
  return found;
}

/** The function, called once per frame at most however often it is asked for, with the last arguments. */
export function perFrame(work) {
  let wanted = null;
  return (...given) => {
    const idle = wanted === null;
    wanted = given;
    if (!idle) return;
    const run = () => {
      const last = wanted;
      wanted = null;
      work(...last);
    };
    // A hidden tab gets no frames, and its set is to go on all the same.
    if (document.hidden) setTimeout(run, 0);
    else requestAnimationFrame(run);
  };
}
