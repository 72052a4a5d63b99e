/** Talk to the service, and say in plain words what went wrong. */

/**
 * What a visitor is told: what happened, the particulars, and the words of the way on, if any.
 * `other`: that way leads to another file, since the same one would fail again.
 */
export class Failure extends Error {
  constructor(words, { detail = "", again = "Try again", status = 0, other = false } = {}) {
    super(words);
    Object.assign(this, { detail, again: other ? "Choose another file" : again, status, other });
  }
}

const WORDS = {
  400: "The service could not take this.",
  404: "This is not there any more.",
  408: "The recording came too slowly.",
  409: "This cannot be done just now.",
  415: "This is not a recording that can be transcribed.",
  502: "The transcription service does not answer as it should.",
  503: "There is no room for it just now.",
  504: "The transcription service took too long.",
};

/** Make a failure of a problem (RFC 9457), or of whatever else came with a bad status. */
export function failureOf(status, problem, retryAfter) {
  const detail = sentence(typeof problem?.detail === "string" ? problem.detail : "");
  if (problem?.sent === "maybe") {
    return new Failure("Nobody knows whether it arrived.", {
      detail: `${detail} Look among the past conversations before you send it once more.`,
      again: "Send it once more",
      status,
    });
  }
  const pause = Number(retryAfter) ? ` Come back in about ${Number(retryAfter)} seconds.` : "";
  const words = WORDS[status] ?? "Something went wrong in the service.";
  const again = status === 404 ? "" : "Try again";
  return new Failure(words, { detail: detail + pause, again, status, other: status === 415 });
}

/** Get JSON. Throws a `Failure`. */
export const get = (path, signal) => got(path, signal, (answer) => answer.json());

/** Get a piece of HTML, which the service has made safe. Throws a `Failure`. */
export const getHTML = (path, signal) => got(path, signal, (answer) => answer.text());

async function got(path, signal, content) {
  let answer;
  try {
    answer = await fetch(path, { signal, cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Failure("The service cannot be reached.", {
      detail: "Is it running, and is there a network?",
    });
  }
  const found = await (answer.ok ? content(answer) : answer.json()).catch(() => null);
  if (!answer.ok || found === null) {
    throw failureOf(answer.status, found, answer.headers.get("Retry-After"));
  }
  return found;
}

/** Call `ask` until it does not fail for want of the service, less and less often. */
export async function untilBack(ask, signal) {
  for (let pause = 500; ; pause = Math.min(2 * pause, 8000)) {
    await rest(pause, signal);
    try {
      return await ask();
    } catch (error) {
      const passing = error instanceof Failure && (!error.status || error.status >= 500);
      if (!passing) throw error;
    }
  }
}

/** Wait; not longer than until the network is back. Rejects when `signal` is aborted. */
function rest(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const over = new AbortController();
    const end = (how) => () => {
      clearTimeout(timer);
      over.abort();
      how(signal?.reason);
    };
    const timer = setTimeout(end(resolve), milliseconds);
    addEventListener("online", end(resolve), { signal: over.signal });
    signal?.addEventListener("abort", end(reject), { signal: over.signal });
    if (signal?.aborted) end(reject)();
  });
}

/**
 * Let at most `most` pieces of work run at a time; the others wait in turn. A browser keeps
 * six connections to a service, and a page that used them all could read nothing.
 */
export function turns(most) {
  const waiting = [];
  let running = 0;
  return async (work) => {
    if (running < most) running += 1;
    else await new Promise((go) => waiting.push(go));
    try {
      return await work();
    } finally {
      if (waiting.length) waiting.shift()();
      else running -= 1;
    }
  };
}

function sentence(text) {
  return text && text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
