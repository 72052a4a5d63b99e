/** Elements of the page. Texts are inserted as text, never as HTML. */

const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export const shownDate = (text) => (text ? DATE.format(new Date(text)) : "");

/** Make an element of a tag, with its class, and with texts and elements in it. */
export function make(tag, kind, ...inside) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.append(...inside.filter((part) => part));
  return made;
}
