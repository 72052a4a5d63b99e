"""What is found in words, by plain rules: no I/O, no clock, nothing of the wire.

``insights.analyse`` is the way in, ``analysis`` the values that come out.
"""
