"""Convert a recording of speech into a small mp4 (with a picture of its loudness) or m4a.

    pip install av numpy
    python make.py speech.wav inaugural.mp4
    python make.py speech.wav sensibility.m4a

The picture is drawn from the sound: one bar for each slice of time; the bars up to the
current time are bright. Reads every format of FFmpeg, and keeps the first audio track.
"""

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 16_000  # the rate of speech recognisers
AUDIO_BITS = 48_000
WIDTH, HEIGHT, FPS = 320, 180, 5
BAR = 4  # pixels from one bar to the next
BACKGROUND, AHEAD, PLAYED = (24, 26, 32), (78, 84, 98), (250, 200, 90)


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    sound = read(source)
    with_picture = target.suffix == ".mp4"
    # The index goes in front, so that a program that streams the file knows its length.
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(
        target, "w", format="mp4" if with_picture else "ipod", options=options
    ) as container:
        # Streams come before the first packet: the header lists them all.
        video = container.add_stream("libx264", rate=FPS) if with_picture else None
        audio = container.add_stream("aac", rate=RATE)
        audio.layout = "mono"
        audio.bit_rate = AUDIO_BITS
        packets = encode_sound(audio, sound)
        if video is not None:
            packets += encode_picture(video, sound)
        # Sound and picture side by side, as a player reads them.
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    print(f"{target}: {len(sound) / RATE:.2f} s, {target.stat().st_size} bytes")


def read(source: Path) -> np.ndarray:
    """Decode a file to 16-bit mono samples."""
    resampler = av.AudioResampler("s16", "mono", RATE)
    parts = []
    with av.open(source) as container:
        for frame in [*container.decode(audio=0), None]:
            parts += [out.to_ndarray().reshape(-1) for out in resampler.resample(frame)]
    return np.concatenate(parts)


def encode_sound(stream, sound: np.ndarray) -> list[av.Packet]:
    frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), "s16", "mono")
    frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
    return [*stream.encode(frame), *stream.encode(None)]


def encode_picture(stream, sound: np.ndarray) -> list[av.Packet]:
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    stream.options = {"crf": "30", "preset": "veryslow", "threads": "1"}
    frames = int(np.ceil(len(sound) / RATE * FPS))
    bars = loudness(sound, WIDTH // BAR)
    packets = []
    for index in range(frames):
        frame = av.VideoFrame.from_ndarray(picture(bars, index / frames), "rgb24")
        frame.pts, frame.time_base = index, Fraction(1, FPS)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def loudness(sound: np.ndarray, count: int) -> np.ndarray:
    """Return the root mean square of ``count`` slices, relative to the loudest."""
    slices = np.array_split(sound.astype(np.float64), count)
    levels = np.sqrt([np.mean(part**2) for part in slices])
    return levels / max(levels.max(), 1.0)


def picture(bars: np.ndarray, played: float) -> np.ndarray:
    image: np.ndarray = np.full((HEIGHT, WIDTH, 3), BACKGROUND, np.uint8)
    for index, level in enumerate(bars):
        half = max(1, round(level * HEIGHT * 0.4))
        colour = PLAYED if index < played * len(bars) else AHEAD
        left = index * BAR
        image[HEIGHT // 2 - half : HEIGHT // 2 + half, left : left + BAR - 1] = colour
    return image


if __name__ == "__main__":
    main()
