"""What an account manages: trackers, groups, custom entities, settings. API section 7.

``calls`` answers the requests, ``rules`` says what is right, ``records`` keeps it.
"""
