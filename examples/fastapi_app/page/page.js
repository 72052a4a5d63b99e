/** The page: what is dropped is sent and followed, what is chosen is read. */

import { Card } from "./card.js";
import { make, shownDate } from "./elements.js";
import { follow } from "./job.js";
import { record } from "./record.js";
import { activate } from "./report/report.js";
import { Failure, get, getHTML } from "./service.js";
import { send } from "./upload.js";

const at = (id) => document.getElementById(id);
const address = (conversation) => `#/${encodeURIComponent(conversation)}`;
/** The id in the address, percent-encoded; nothing if no conversation is open. */
const opened = () => location.hash.match(/^#\/([^/]+)$/)?.[1];

// A recording on its way

const STATES = {
  scheduled: "Arrived. It waits for its turn.",
  in_progress: "Being transcribed.",
};
let sending = 0;

function take(file, card = new Card(file.name)) {
  const anew = () => take(file, card);
  return tried(card, async () => {
    const work = remember({ ...(await sent(card, file)), name: file.name });
    await tried(card, () => watch(card, work, anew));
  });
}

async function sent(card, file) {
  const stopping = new AbortController();
  const stop = () => {
    stopping.abort();
    card.remove();
  };
  let moving = false;
  card.say("Waits to be sent.", { share: 0, stop });
  sending += 1;
  try {
    return await send(file, {
      signal: stopping.signal,
      moved(share) {
        if (share === 1) return card.say("Sent. It is about to be taken.", { share: null, stop });
        if (!moving) card.say("Being sent.", { share, stop });
        moving = true;
        return card.progress(share);
      },
      broke() {
        moving = false;
        const detail = "Nothing of it was accepted. It is sent anew when the service is back.";
        card.say("The connection broke.", { detail, share: null, tone: "wait", stop });
      },
    });
  } finally {
    sending -= 1;
  }
}

/** Follow a job. `anew` sends its recording once more, if it is still at hand. */
async function watch(card, work, anew) {
  card.say(STATES.scheduled, { share: null });
  let last;
  try {
    last = await follow(work.job, {
      moved({ status }) {
        if (STATES[status]) card.say(STATES[status], { share: null });
      },
      lost() {
        const detail = "The job goes on without it, and this page follows when it is back.";
        card.say("The connection broke.", { detail, share: null, tone: "wait" });
      },
    });
  } finally {
    forget(work);
    listPast();
  }
  if (last.status === "failed") {
    const detail = "Perhaps it is damaged, or there is no sound in it.";
    const label = "Send it once more";
    const shown = { detail, tone: "bad", again: anew, label, dismiss: true };
    return card.say("It could not be transcribed.", shown);
  }
  const read = address(work.conversation ?? last.conversation_id);
  card.say("Transcribed.", { tone: "good", read, dismiss: true });
  if (opened()) return undefined;
  history.replaceState(null, "", read);
  return open({ focus: false });
}

/** Do it; if it fails, say so, and do it again if the visitor wants that. */
async function tried(card, work) {
  try {
    await work();
  } catch (error) {
    if (error.name === "AbortError") return; // the visitor stopped it
    const { message, detail, again: label, other } = known(error);
    const again = label && (() => (other ? another(card) : tried(card, work)));
    card.say(message, { detail, tone: "bad", again, label, dismiss: true });
    listPast();
  }
}

function another(card) {
  card.remove();
  at("files").click();
}

function known(error) {
  if (error instanceof Failure) return error;
  console.error(error);
  return new Failure("Something went wrong in this page.");
}

// What is on its way is remembered, so that a page that is opened anew goes on showing it.

const KEPT = "recordings-on-their-way";

function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) ?? [];
  } catch {
    return []; // the browser keeps nothing for this page
  }
}

function keep(all) {
  try {
    localStorage.setItem(KEPT, JSON.stringify(all));
  } catch {
    // as above: then only this page knows
  }
}

function remember(work) {
  keep([...kept(), work]);
  return work;
}

function forget({ job }) {
  keep(kept().filter((work) => work.job !== job));
}

// Past conversations

async function listPast() {
  at("past").ariaBusy = "true";
  try {
    const found = await get("conversations");
    at("past").replaceChildren(
      ...found.map(({ id, name, started }) => {
        const link = make("a", "", make("span", "name", name || "A conversation"));
        link.append(make("time", "", shownDate(started)));
        link.href = address(id);
        return make("li", "", link);
      }),
    );
    at("past-note").replaceChildren(found.length ? "" : "There are none yet.");
    mark();
  } catch (error) {
    at("past-note").replaceChildren(...told(error, listPast));
  }
  at("past").ariaBusy = "false";
}

function mark() {
  for (const link of at("past").querySelectorAll("a")) {
    link.ariaCurrent = link.hash === location.hash ? "page" : null;
  }
}

// A recording that is spoken into the page

let recording = null;

async function toggleRecording() {
  if (recording) {
    at("record").disabled = true; // the last words are still to come
    (await recording).stop();
    return;
  }
  at("said").textContent = at("perhaps").textContent = "";
  at("spoken").hidden = false;
  at("record").textContent = "Stop";
  at("record").ariaPressed = "true";
  recording = record({
    spoken(text, isFinal) {
      at("perhaps").textContent = isFinal ? "" : text;
      if (isFinal) at("said").textContent += ` ${text}`;
    },
    ended(conversation) {
      notRecording();
      listPast();
      location.hash = address(conversation);
    },
    failed(failure) {
      notRecording();
      at("perhaps").textContent = `${failure.message} ${failure.detail}`;
      listPast();
    },
  });
  try {
    await recording;
  } catch (error) {
    notRecording();
    at("perhaps").textContent = `${known(error).message} ${known(error).detail}`;
  }
}

function notRecording() {
  recording = null;
  at("record").textContent = "Record";
  at("record").ariaPressed = "false";
  at("record").disabled = false;
}

at("record").addEventListener("click", toggleRecording);

// The one that is read

let reading = new AbortController();

async function open({ focus = true } = {}) {
  const id = opened();
  reading.abort();
  mark();
  if (!id) return;
  reading = new AbortController();
  const { signal } = reading;
  const area = at("reading");
  area.ariaBusy = "true";
  const patience = setTimeout(() => {
    area.replaceChildren(make("p", "note", "One moment. What is still being transcribed opens when that is done."));
  }, 1500);
  try {
    const report = await getHTML(`conversations/${id}`, signal);
    clearTimeout(patience);
    // The service escapes each text in it, and the policy of this page runs no script of it.
    area.innerHTML = report;
    activate(area.querySelector("article"));
    const title = area.querySelector(".title");
    document.title = `${title.textContent} · Recordings`;
    if (focus) title.focus();
  } catch (error) {
    if (signal.aborted) return;
    clearTimeout(patience);
    area.replaceChildren(make("div", "note", ...told(error, open)));
  }
  area.ariaBusy = "false";
}

/** Give the elements that tell of a failure, with the way to try again. */
function told(error, again) {
  const failure = known(error);
  const words = make("p", "bad", failure.message);
  words.role = "alert";
  const button = make("button", "", failure.again);
  button.type = "button";
  button.hidden = !failure.again;
  button.onclick = () => again();
  return [words, make("p", "detail", failure.detail), button];
}

// What the visitor does

at("files").addEventListener("change", () => {
  for (const file of at("files").files) take(file);
  at("files").value = "";
});

at("files").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return; // the space bar does it anyway
  event.preventDefault();
  at("files").click();
});

const dropping = (event) => event.dataTransfer?.types.includes("Files");
const lit = (on) => document.body.classList.toggle("dropping", on);

addEventListener("dragover", (event) => {
  if (!dropping(event)) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "copy";
  lit(true);
});
addEventListener("dragleave", (event) => event.relatedTarget ?? lit(false));
addEventListener("drop", (event) => {
  lit(false);
  if (!dropping(event)) return;
  event.preventDefault();
  for (const file of event.dataTransfer.files) take(file);
});

addEventListener("hashchange", () => open());
addEventListener("click", (event) => {
  // The address of what is open already changes nothing, and yet somebody wants to read it.
  if (event.target.closest("a")?.getAttribute("href") === location.hash) open();
});
at("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address says what is read
  at("reading").focus();
});
addEventListener("beforeunload", (event) => {
  if (sending) event.preventDefault();
});

const network = () => {
  at("network").hidden = navigator.onLine;
};
addEventListener("offline", network);
addEventListener("online", () => {
  network();
  listPast();
});

network();
listPast();
open({ focus: false });
for (const work of kept()) {
  const card = new Card(work.name);
  tried(card, () => watch(card, work));
}
