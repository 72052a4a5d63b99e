/** One recording on its way, as the visitor sees and hears of it. */

const template = document.querySelector("#card");
const work = document.querySelector("#work");
const news = document.querySelector("#news");

export class Card {
  #item = template.content.firstElementChild.cloneNode(true);

  constructor(name) {
    this.name = name;
    this.#at("name").textContent = name;
    this.#at("dismiss").onclick = () => this.remove();
    work.prepend(this.#item);
  }

  /**
   * Say how things are. `share` (0 to 1) is how much is done, null that nobody knows, and
   * undefined that nothing goes on. Of the buttons those are shown that are given something
   * to do: `read` (an address), `again`, `stop`; and `dismiss` if it is true.
   */
  say(words, { detail = "", share, tone = "", read, again, label, stop, dismiss = false } = {}) {
    this.#item.dataset.tone = tone;
    this.#at("detail").textContent = detail;
    this.progress(share);
    const buttons = { read, again, stop, dismiss };
    const focused = this.#item.contains(document.activeElement);
    for (const [name, does] of Object.entries(buttons)) this.#at(name).hidden = !does;
    this.#at("read").href = read ?? "";
    this.#at("again").onclick = again;
    this.#at("again").textContent = label ?? "Try again";
    this.#at("stop").onclick = stop;
    // Who pressed a button that is gone goes on from the one that took its place.
    if (focused) this.#item.querySelector(".actions > :not([hidden])")?.focus();
    if (this.#at("words").textContent !== words) {
      this.#at("words").textContent = words;
      news.textContent = `${this.name}: ${words} ${detail}`;
    }
  }

  /** Show how much is done, without a word. */
  progress(share) {
    const bar = this.#item.querySelector("progress");
    bar.hidden = share === undefined;
    bar.setAttribute("aria-label", this.name);
    if (typeof share === "number") bar.value = share;
    else bar.removeAttribute("value");
    this.#at("share").textContent = typeof share === "number" ? `${Math.floor(share * 100)} %` : "";
  }

  remove() {
    const next = this.#item.nextElementSibling?.querySelector(".actions > :not([hidden])");
    this.#item.remove();
    (next ?? document.querySelector("#files")).focus({ preventScroll: true });
  }

  #at(part) {
    return this.#item.querySelector(`.${part}`);
  }
}
