"""The conversations of the server, and the calls that read and change them. API section 6.

``conversation`` stores utterances and results. ``handlers`` and ``bookmarks`` respond to
requests, in the JSON shapes of ``serializers``.
"""
