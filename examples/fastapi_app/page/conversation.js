/** Show what was said. Whatever came out of a recording is put in as text, never as HTML. */

const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const COLOURS = 6;

export const shownDate = (text) => (text ? DATE.format(new Date(text)) : "");

/** Make an element of a tag, with its class, and with texts and elements in it. */
export function make(tag, kind, ...inside) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.append(...inside.filter((part) => part));
  return made;
}

/** Give the elements that show a conversation, as `GET /conversations/{id}` tells it. */
export function shown(told) {
  const heading = make("h2", "", told.name || "A conversation");
  heading.id = "title";
  heading.tabIndex = -1;
  const speakers = [...new Set(told.messages.map(({ speaker }) => speaker).filter(Boolean))];
  const about = [shownDate(told.started), speakers.join(", ")].filter(Boolean).join(" · ");
  return [
    make("header", "", heading, make("p", "about", about)),
    make(
      "div",
      "found",
      part("Topics", told.topics, "None were found.", (topic) => make("li", "topic", topic)),
      part("Action items", told.action_items, "None were found.", toDo),
      told.follow_ups.length > 0 && part("Follow-ups", told.follow_ups, "", toDo),
      told.questions.length > 0 && part("Questions", told.questions, "", toDo),
    ),
    part("Transcript", turnsOf(told.messages), "Nothing was said in it.", (turn) => {
      const number = speakers.indexOf(turn.speaker);
      const item = make(
        "li",
        "turn",
        make("span", "who", turn.speaker || "Speaker unknown"),
        make("time", "", clock(turn.at)),
        ...turn.texts.map((text) => make("p", "", text)),
      );
      if (number >= 0) item.dataset.colour = number % COLOURS;
      return item;
    }),
  ];
}

function part(title, items, none, show) {
  const inside = items.length
    ? make("ul", `plain ${title.toLowerCase().replace(" ", "-")}`, ...items.map(show))
    : make("p", "none", none);
  const made = make("section", "", make("h3", "", title), inside);
  made.setAttribute("aria-label", title);
  return made;
}

function toDo({ text, who, due }) {
  const more = [who, due && `by ${DAY.format(new Date(due))}`].filter(Boolean).join(", ");
  return make("li", "", text, more && make("small", "", more));
}

/** Put together what one speaker said before another one did. */
function turnsOf(messages) {
  const turns = [];
  const began = Date.parse(messages[0]?.start);
  for (const { speaker, start, text } of messages) {
    if (!turns.length || turns.at(-1).speaker !== speaker) {
      turns.push({ speaker, at: (Date.parse(start) - began) / 1000, texts: [] });
    }
    turns.at(-1).texts.push(text);
  }
  return turns;
}

function clock(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const rest = String(Math.floor(seconds) % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}
