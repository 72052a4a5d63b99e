"""What a file tells of itself: is there sound in it, and how long. ``probe`` is the way in."""
