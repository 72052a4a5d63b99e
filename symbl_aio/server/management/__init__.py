"""Trackers, groups, custom entities and settings of an account. API section 7.

``handlers`` responds to requests, ``validation`` checks them, ``records`` stores them.
"""
