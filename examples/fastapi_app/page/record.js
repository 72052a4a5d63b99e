/** Speak into the page: the sound goes to the service as it is spoken, and the words come back. */

import { Failure } from "./service.js";

/** Bytes that may wait for the network: more means that it is slower than speech. */
const MOST_WAITING = 2 ** 20;

/**
 * Record from the microphone until `stop()` of the result is called. `spoken(text, isFinal)` is
 * called with the words, `ended(conversation)` with the id at the end, or `failed(failure)`.
 * Throws a `Failure` if there is no microphone.
 */
export async function record({ spoken, ended, failed }) {
  let sound;
  try {
    sound = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
  } catch (error) {
    throw new Failure("The microphone cannot be used.", { detail: error.message });
  }
  const context = new AudioContext();
  await context.audioWorklet.addModule("samples.js");
  const node = new AudioWorkletNode(context, "samples");
  const socket = open(context.sampleRate);
  let conversation = null;
  let over = false;

  const silence = () => {
    for (const track of sound.getTracks()) track.stop();
    if (context.state !== "closed") context.close();
  };
  const end = (how, what) => {
    if (over) return;
    over = true;
    silence();
    socket.close();
    how(what);
  };

  // The service drops sound that comes before it listens.
  const listen = () => {
    node.port.onmessage = ({ data }) => {
      if (socket.bufferedAmount > MOST_WAITING) {
        end(failed, new Failure("The network is slower than speech.", { detail: "" }));
      } else if (socket.readyState === WebSocket.OPEN) {
        socket.send(data);
      }
    };
    context.createMediaStreamSource(sound).connect(node);
  };

  socket.onmessage = ({ data }) => {
    const event = JSON.parse(data);
    conversation = event.conversation_id ?? conversation;
    if (event.kind === "recognition") spoken(event.text, event.is_final);
    else if (event.kind === "problem") end(failed, new Failure("The recording ended early.", { detail: event.detail }));
    else if (event.state === "started_listening") listen();
    else if (event.state === "conversation_completed") end(ended, conversation);
  };
  socket.onclose = () => end(failed, new Failure("The connection was lost.", { detail: "What was said is kept." }));

  return {
    stop() {
      silence();
      if (socket.readyState === WebSocket.OPEN) socket.send('{"type": "stop_request"}');
    },
  };
}

function open(rate) {
  const address = new URL(`speak?rate=${rate}`, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  return new WebSocket(address);
}
