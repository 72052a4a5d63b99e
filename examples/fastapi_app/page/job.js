/** Follow a job to its end, through breaks of the connection and restarts of the service. */

import { Failure, get, turns, untilBack } from "./service.js";

const aFew = turns(3);

/**
 * Give the last thing told of a job: its members are those of `GET /symbl/jobs/{id}`.
 * `moved(told)` is called for each status, `lost()` when the connection broke. Throws a
 * `Failure` if the job can no longer be followed.
 */
export function follow(job, { moved, lost }) {
  const path = `symbl/jobs/${encodeURIComponent(job)}`;
  return aFew(async () => {
    for (;;) {
      const last = await listen(`${path}/events`, moved);
      if (last) return last;
      lost();
      // An EventSource tells a refusal from a break no better than by giving up: so ask.
      await untilBack(() => get(path));
    }
  });
}

/** Listen until the end of the job; gives null if the connection broke before that. */
function listen(url, moved) {
  return new Promise((resolve, reject) => {
    const source = new EventSource(url);
    const over = new AbortController();
    const end = (how, what) => {
      source.close();
      over.abort();
      how(what);
    };
    source.addEventListener("status", ({ data }) => {
      const told = JSON.parse(data);
      moved(told);
      if (told.status === "completed" || told.status === "failed") end(resolve, told);
    });
    source.addEventListener("problem", ({ data }) => {
      const problem = JSON.parse(data);
      if (problem.status === 503) return end(resolve, null);
      return end(reject, new Failure("The job cannot be followed.", { detail: problem.detail }));
    });
    source.onerror = () => end(resolve, null);
    // A connection through the network that was before may be dead, and nobody says so.
    addEventListener("online", () => end(resolve, null), { signal: over.signal });
  });
}
