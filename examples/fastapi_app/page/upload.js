/** Send a recording, whole, once; again only when it surely was not accepted. */

import { Failure, failureOf, get, turns, untilBack } from "./service.js";

const RESENT = 5;
const oneAtATime = turns(1);

/**
 * Send a file and give `{job, conversation}`. `moved(share)` is called as its bytes go out,
 * `broke()` when the connection ended before the last of them: then it is sent anew as soon
 * as the service answers. Throws a `Failure`, or the reason of an aborted `signal`.
 */
export function send(file, { moved, broke, signal }) {
  return oneAtATime(async () => {
    for (let left = RESENT; ; left -= 1) {
      signal.throwIfAborted();
      const { accepted, whole } = await attempt(file, moved, signal);
      if (accepted) return accepted;
      if (whole) {
        throw new Failure("Nobody knows whether it arrived.", {
          detail:
            "It was sent to its end, and then the connection broke. " +
            "Look among the past conversations before you send it once more.",
          again: "Send it once more",
        });
      }
      await readable(file);
      if (!left) throw new Failure("The connection broke again and again.");
      broke();
      await untilBack(() => get("conversations", signal), signal);
    }
  });
}

// Not fetch: it does not tell how far a body has gone out.
function attempt(file, moved, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let whole = false;
    const over = new AbortController();
    signal.addEventListener("abort", () => request.abort(), { signal: over.signal });
    request.upload.onprogress = ({ loaded }) => moved(loaded / file.size);
    request.upload.onload = () => {
      whole = true;
      moved(1);
    };
    request.onload = () => {
      if (request.status === 202) return resolve({ accepted: request.response });
      return reject(
        failureOf(request.status, request.response, request.getResponseHeader("Retry-After")),
      );
    };
    request.onerror = () => resolve({ whole });
    request.onabort = () => reject(signal.reason);
    request.onloadend = () => over.abort();
    request.open("POST", `recordings?name=${encodeURIComponent(file.name)}`);
    request.responseType = "json";
    moved(0);
    request.send(file);
  });
}

/** Throws if it is the file that cannot be read, and not the service that cannot be reached. */
async function readable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Failure("The file cannot be read.", {
      detail: "It was moved or changed, or is a folder.",
      other: true,
    });
  }
}
