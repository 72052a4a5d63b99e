"""What the server knows of each conversation, and the calls about it. API section 6.

``calls`` and ``bookmarks`` answer the requests in the shapes of ``answers``,
``conversation`` keeps what was said.
"""
