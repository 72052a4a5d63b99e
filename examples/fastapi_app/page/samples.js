/** The sound of a microphone as the samples of a stream: 16 bits, one channel, a tenth of a second each. */
class Samples extends AudioWorkletProcessor {
  #samples = new Int16Array(sampleRate / 10);
  #filled = 0;

  process([[channel]]) {
    for (const value of channel ?? []) {
      this.#samples[this.#filled++] = Math.max(-1, Math.min(1, value)) * 32767;
      if (this.#filled === this.#samples.length) {
        this.port.postMessage(this.#samples.buffer, [this.#samples.buffer]);
        this.#samples = new Int16Array(sampleRate / 10);
        this.#filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("samples", Samples);
