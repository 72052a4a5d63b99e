/**
 * What a reader does with a report: search, filter, play, copy, download, rename.
 *
 * Everything is read from the article itself: the text of a sentence, and its first and last
 * millisecond in `data-from` and `data-to`. Texts are inserted as text, never as HTML.
 */

const WHITE = /[\x00-\x20\x7f-\x9f\u2028\u2029]+/g;
const found = globalThis.Highlight && CSS.highlights ? new Highlight() : null;
if (found) CSS.highlights.set("report-found", found);

/** Make a report interactive. */
export function activate(article) {
  const transcript = new Transcript(article);
  const player = article.querySelector("audio, video");
  if (player) new Player(article, player, transcript);
  new Finder(article, transcript);
  for (const part of article.querySelectorAll(".tools, .finder, .people")) part.hidden = false;
  article.querySelector(".people").hidden = transcript.speakers.length < 2;
  exports(article, transcript);
  names(article);
  addEventListener("beforeprint", () => {
    for (const folded of article.querySelectorAll("aside details, .overview details")) folded.open = true;
  });
}

/** The sentences, and the one that the keyboard is at. */
class Transcript {
  constructor(article) {
    this.article = article;
    this.sentences = [...article.querySelectorAll(".sentence")];
    this.speakers = [...article.querySelectorAll(".person")];
    this.sentences[0]?.setAttribute("tabindex", "0");
    article.querySelector(".turns").addEventListener("keydown", (event) => this.#key(event));
    article.addEventListener("click", (event) => this.#cited(event));
  }

  /** Show the sentences that pass, and hide the turns without any; return how many are shown. */
  filter(passes) {
    let shown = 0;
    for (const sentence of this.sentences) {
      sentence.hidden = !passes(sentence);
      shown += !sentence.hidden;
    }
    for (const part of this.article.querySelectorAll(".turn, .turn p:not(.head)")) {
      part.hidden = !part.querySelector(".sentence:not([hidden])");
    }
    // The time of a paragraph goes with it; a speaker's name stays while the turn does.
    for (const head of this.article.querySelectorAll(".head")) {
      head.hidden = head.nextElementSibling.hidden && !head.querySelector(".who");
    }
    return shown;
  }

  /** Scroll to a sentence and move the focus there. */
  goTo(sentence) {
    this.article.querySelector(".sentence[tabindex='0']")?.setAttribute("tabindex", "-1");
    sentence.setAttribute("tabindex", "0");
    sentence.focus({ preventScroll: true });
    this.scrollTo(sentence);
  }

  scrollTo(sentence) {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    sentence.scrollIntoView({ block: "center", behavior: calm ? "auto" : "smooth" });
  }

  #key(event) {
    const here = event.target.closest(".sentence");
    if (!here || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    let at = this.sentences.indexOf(here) + step;
    while (this.sentences[at]?.hidden) at += step;
    if (this.sentences[at]) this.goTo(this.sentences[at]);
    event.preventDefault();
  }

  /** Lead from a finding to its sentences, and mark them all. */
  #cited(event) {
    const link = event.target.closest("a[data-sentences]");
    if (!link || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const cited = link.dataset.sentences.split(" ").map((number) => this.sentences[number]);
    if (!cited[0]) return;
    if (cited.some((sentence) => sentence.hidden)) {
      this.article.dispatchEvent(new CustomEvent("report-show-all"));
    }
    for (const old of this.article.querySelectorAll(".cited")) old.classList.remove("cited");
    for (const sentence of cited) sentence.classList.add("cited");
    this.goTo(cited[0]);
  }
}

/** Search, and the speakers to show. */
class Finder {
  constructor(article, transcript) {
    this.article = article;
    this.transcript = transcript;
    this.search = article.querySelector(".search");
    this.count = article.querySelector(".count");
    this.clear = article.querySelector(".clear");
    this.nothing = article.querySelector(".nothing");
    this.folded = transcript.sentences.map(({ textContent }) => fold(textContent));
    this.search.addEventListener("input", () => this.apply());
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.showAll();
      if (event.key === "Enter") {
        const first = transcript.sentences.find((sentence) => !sentence.hidden);
        if (first) transcript.goTo(first);
      }
    });
    this.clear.addEventListener("click", () => {
      this.showAll();
      this.search.focus();
    });
    article.addEventListener("report-show-all", () => this.showAll());
    for (const chip of transcript.speakers) {
      chip.addEventListener("click", () => {
        chip.ariaPressed = String(chip.ariaPressed !== "true");
        this.apply();
      });
    }
  }

  showAll() {
    this.search.value = "";
    for (const chip of this.transcript.speakers) chip.ariaPressed = "false";
    this.apply();
  }

  apply() {
    const wanted = fold(this.search.value.trim());
    const people = new Set(
      this.transcript.speakers
        .filter(({ ariaPressed }) => ariaPressed === "true")
        .map(({ dataset }) => dataset.speaker),
    );
    const numbers = new Map(this.transcript.sentences.map((sentence, at) => [sentence, at]));
    const shown = this.transcript.filter(
      (sentence) =>
        (!wanted || this.folded[numbers.get(sentence)].includes(wanted)) &&
        (!people.size || people.has(speakerOf(sentence))),
    );
    const all = !wanted && !people.size;
    this.count.textContent = all ? "" : `${shown} of ${this.transcript.sentences.length} sentences`;
    this.clear.hidden = all;
    this.nothing.hidden = shown > 0 || !this.transcript.sentences.length;
    this.#mark(wanted);
  }

  #mark(wanted) {
    if (!found) return;
    for (const range of [...found]) {
      if (this.article.contains(range.startContainer)) found.delete(range);
    }
    if (!wanted) return;
    for (const [at, sentence] of this.transcript.sentences.entries()) {
      const text = sentence.firstChild;
      // A fold that changes the length would mark other letters.
      if (sentence.hidden || this.folded[at].length !== text?.length) continue;
      let from = this.folded[at].indexOf(wanted);
      while (from >= 0) {
        const range = new Range();
        range.setStart(text, from);
        range.setEnd(text, from + wanted.length);
        found.add(range);
        from = this.folded[at].indexOf(wanted, from + wanted.length);
      }
    }
  }
}

/** Fold case and accents, so that "cafe" finds "Café". */
function fold(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

const speakerOf = (sentence) =>
  sentence.closest(".turn").querySelector(".who")?.dataset.speaker ?? "";

/** The player: seeks where the reader points, and lights the sentence that is spoken. */
class Player {
  #lit = null;

  constructor(article, media, transcript) {
    this.media = media;
    this.transcript = transcript;
    this.timed = transcript.sentences.filter(({ dataset }) => dataset.from);
    if (!this.timed.length) return;
    article.classList.add("can-seek");
    this.article = article;
    this.follow = article.querySelector(".follow");
    this.follow.hidden = false;
    this.follow.addEventListener("click", () => {
      this.follow.ariaPressed = String(this.follow.ariaPressed !== "true");
    });
    const turns = article.querySelector(".turns");
    turns.addEventListener("click", (event) => this.#pointed(event));
    turns.addEventListener("keydown", (event) => {
      const sentence = event.target.closest(".sentence");
      if (!sentence || (event.key !== "Enter" && event.key !== " ")) return;
      event.preventDefault();
      if (event.key === " " && !media.paused) media.pause();
      else this.seek(sentence.dataset.from / 1000);
    });
    article.querySelector(".overview")?.addEventListener("click", (event) => {
      const chart = event.target.closest(".lane, .feeling");
      if (!chart) return;
      const { left, width } = chart.getBoundingClientRect();
      this.seek(((event.clientX - left) / width) * this.#length());
    });
    for (const name of ["timeupdate", "seeked"]) media.addEventListener(name, () => this.#light());
  }

  /** Play from a second. */
  seek(seconds) {
    this.media.currentTime = seconds;
    // A browser that refuses to play leaves the player at the second that was asked for.
    this.media.play().catch(() => {});
    this.#light();
  }

  #pointed(event) {
    if (String(getSelection()) || event.ctrlKey || event.metaKey) return;
    const time = event.target.closest(".at");
    const sentence = time
      ? document.getElementById(time.hash.slice(1))
      : event.target.closest(".sentence");
    if (!sentence?.dataset.from) return;
    event.preventDefault();
    this.seek(sentence.dataset.from / 1000);
  }

  #length() {
    const last = Math.max(...this.timed.map(({ dataset }) => Number(dataset.to))) / 1000;
    return Number.isFinite(this.media.duration) ? Math.max(last, this.media.duration) : last;
  }

  #light() {
    const now = this.media.currentTime * 1000 + 1;
    // The last one that has begun: sentences of several speakers may overlap.
    let low = 0;
    let high = this.timed.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (Number(this.timed[middle].dataset.from) <= now) low = middle + 1;
      else high = middle;
    }
    const spoken = this.timed[low - 1];
    const lit = spoken && now <= Number(spoken.dataset.to) ? spoken : null;
    if (lit !== this.#lit) {
      this.#lit?.classList.remove("spoken");
      this.#lit = lit;
      lit?.classList.add("spoken");
      const following = this.follow.ariaPressed === "true" && !this.media.paused;
      if (lit && following && !lit.hidden) this.transcript.scrollTo(lit);
    }
    this.article.classList.add("has-playhead");
    const place = `${Math.min(100, (this.media.currentTime / this.#length()) * 100)}%`;
    for (const line of this.article.querySelectorAll(".playhead")) {
      line.setAttribute("x1", place);
      line.setAttribute("x2", place);
    }
  }
}

/** Copy and download what the transcript shows; the formats are those of the Python library. */
function exports(article, transcript) {
  const copy = article.querySelector(".copy");
  copy.addEventListener("click", async () => {
    copy.textContent = (await copied(WRITERS.txt(cues(article)))) ? "Copied" : "Not copied";
    setTimeout(() => (copy.textContent = "Copy"), 2000);
  });
  const menu = article.querySelector(".menu");
  menu.addEventListener("click", (event) => {
    const { format } = event.target.closest("button")?.dataset ?? {};
    if (!format) return;
    const text = WRITERS[format](cues(article), article);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: `${TYPES[format]};charset=utf-8` }));
    link.download = `${fileName(article)}.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  addEventListener("click", (event) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
  for (const button of menu.querySelectorAll("[data-format='srt'], [data-format='vtt']")) {
    button.hidden = !transcript.sentences.some(({ dataset }) => dataset.from);
  }
}

const TYPES = {
  srt: "application/x-subrip",
  vtt: "text/vtt",
  md: "text/markdown",
  txt: "text/plain",
  json: "application/json",
};

/** Return the sentences that are shown, with their speakers and milliseconds. */
function cues(article) {
  return [...article.querySelectorAll(".sentence:not([hidden])")].map((sentence) => {
    const who = sentence.closest(".turn").querySelector(".who");
    return {
      speaker: who?.dataset.speaker ?? null,
      name: who?.dataset.speaker === undefined ? "" : line(who.textContent),
      text: line(sentence.textContent),
      from: sentence.dataset.from ? Number(sentence.dataset.from) : null,
      to: sentence.dataset.to ? Number(sentence.dataset.to) : null,
      sentence,
    };
  });
}

const line = (text) => text.replace(WHITE, " ").replace(/^ +| +$/g, "");
const named = ({ name, text }) => (name ? `${name}: ${text}` : text);
const html = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const markdown = (text) => text.replace(/[\\`*_[\]<>#|~]/g, "\\$&");

function time(milliseconds, point) {
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  const seconds = milliseconds / 1000;
  const rest = String(milliseconds % 1000).padStart(3, "0");
  return `${two(seconds / 3600)}:${two((seconds / 60) % 60)}:${two(seconds % 60)}${point}${rest}`;
}

const WRITERS = {
  txt: (all) => all.map((cue) => `${named(cue)}\n`).join(""),
  srt: (all) =>
    all
      .map((cue, at) => {
        const text = named(cue).replaceAll("-->", "->");
        return `${at + 1}\n${time(cue.from, ",")} --> ${time(cue.to, ",")}\n${text}\n`;
      })
      .join("\n"),
  vtt: (all) =>
    [
      "WEBVTT\n",
      ...all.map(({ name, text, from, to }) => {
        const voice = name ? `<v ${html(name)}>` : "";
        return `${time(from, ".")} --> ${time(to, ".")}\n${voice}${html(text)}\n`;
      }),
    ].join("\n"),
  md(all) {
    const blocks = [];
    let speaker;
    for (const cue of all) {
      const text = markdown(cue.text).replace(/^(\d*)([-+.)])(?=\s)/, "$1\\$2");
      if (speaker === cue.speaker) {
        blocks[blocks.length - 1] += ` ${text}`;
        continue;
      }
      speaker = cue.speaker;
      const heading = cue.name ? [`**${markdown(cue.name)}**`] : [];
      if (cue.from !== null) heading.push(time(cue.from, ".").slice(0, -4));
      if (heading.length) blocks.push(heading.join(" "));
      blocks.push(text);
    }
    return blocks.map((block) => `${block}\n\n`).join("").slice(0, -1);
  },
  json(all, article) {
    const list = (kind) =>
      [...article.querySelectorAll(`.highlights .${kind} li > :first-child`)].map((cite) => ({
        text: cite.textContent,
        sentences: (cite.dataset.sentences ?? "").split(" ").filter(Boolean).map(Number),
      }));
    return `${JSON.stringify(
      {
        title: article.querySelector(".title").textContent,
        started: article.querySelector(".facts time")?.dateTime ?? null,
        sentences: all.map(({ name, text, from, to }) => ({
          speaker: name || null,
          start: from === null ? null : from / 1000,
          end: to === null ? null : to / 1000,
          text,
        })),
        summary: list("summary"),
        action_items: list("action-items"),
        follow_ups: list("follow-ups"),
        questions: list("questions"),
        topics: list("topics"),
      },
      null,
      2,
    )}\n`;
  },
};

function fileName(article) {
  const title = line(article.querySelector(".title").textContent);
  return title.replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^[-.]+|[-.]+$/g, "").slice(0, 80) || "transcript";
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // the browser does not allow it on this page
  }
}

/** Rename speakers where the page's own host allows it. */
function names(article) {
  const base = article.dataset.rename;
  if (!base) return;
  article.querySelector(".people").hidden = false;
  article.querySelector(".people").addEventListener("click", (event) => {
    const button = event.target.closest(".rename");
    if (button) edit(button);
  });

  function edit(button) {
    const { speaker, member } = button.dataset;
    const shown = article.querySelectorAll(`.who[data-speaker="${speaker}"]`);
    const before = shown[0].textContent;
    const input = document.createElement("input");
    input.className = "naming";
    input.value = before;
    input.maxLength = 200;
    input.setAttribute("aria-label", `New name of ${before}`);
    button.hidden = true;
    button.after(input);
    input.focus();
    input.select();
    let ended = false;
    const end = () => {
      if (ended) return;
      ended = true;
      input.remove();
      button.hidden = false;
      button.focus();
    };
    input.addEventListener("blur", end);
    input.addEventListener("keydown", async (event) => {
      if (event.key === "Escape") end();
      if (event.key !== "Enter") return;
      event.preventDefault();
      const name = line(input.value);
      if (!name || name === before) return end();
      const answer = await fetch(`${base}/${encodeURIComponent(member)}`, {
        method: "PUT",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ name }),
      }).catch(() => null);
      if (answer?.ok) {
        for (const one of shown) one.textContent = name;
        button.setAttribute("aria-label", `Rename ${name}`);
      }
      article.querySelector(".count").textContent = answer?.ok ? "" : "The name was not changed.";
      end();
    });
  }
}

for (const article of document.querySelectorAll(".report")) activate(article);
