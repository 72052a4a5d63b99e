"""``symbl-aio upload``: whole folders, each recording once, across Ctrl-C, kill and reboot.

``find_files`` lists recordings in natural order and ``grouping`` makes meetings of them.
``fingerprint`` reads a file, ``ledger`` stores what became of it, and ``decide`` compares the
two. ``run`` sends what is left, ``evidence`` looks for proof of a submission whose answer was
lost, and ``output_files`` writes the results. ``show_json`` and ``show_terminal`` print all of it.
"""
