"""Live audio: streaming, subscribe and telephony. API sections 9 to 11.

``routes`` has the paths, of ``addresses``, and makes their handlers with the first request.
``handlers`` opens the sockets, and ``live_socket`` writes to one. ``client_frames`` parses the
frames of a client, ``server_frames`` builds those of the server. ``speaker_socket`` serves one
speaker, and passes the audio to a ``speech_stream``: a registered transcript (``playback``),
speech recognition (``live_recognizer``, with ``live_worker`` and ``live_audio_decoder`` in a
process of their own), or neither. ``session`` stores the results in the conversation of a
connection id, and sends them to each socket of that id; ``sessions`` finds and ends sessions, and
``ended_sessions`` keeps their last frames for a while. ``telephony`` handles calls, and
``live_faults`` the injected faults of sockets.
"""
