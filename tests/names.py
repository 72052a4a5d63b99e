"""Names of files from real machines, and the characters that no name may hold."""

import unicodedata
from typing import Final

FILE_NAMES: Final = (
    "Screenshot 2024-05-01 at 9.41.07\u202fAM.mp4",  # macOS, with a narrow no-break space
    "Réunion\u00a0: équipe.mp4",
    "会議\u3000録音.mp4",
    "می\u200cخواهم.mp4",  # noqa: RUF001
    "क्\u200dष.mp4",
    "family 👨\u200d👩\u200d👧.mp4",
    "\u202aC pasted from Windows\u202c.mp4",
    "soft\u00adhyphen\ufeff.mp4",
    "\ue000 of a private font.mp4",
)
CONTROLS: Final = ("\0", "\t", "\r", "\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u2029")


def is_control(character: str) -> bool:
    """Return whether no name may hold a character: a control, or a break of a line."""
    return unicodedata.category(character) in ("Cc", "Zl", "Zp")
