"""Rule-based analysis of utterances, without I/O, a clock or any knowledge of HTTP.

``pipeline.ConversationAnalyser`` runs all rules and returns the values of ``analysis_values``.
"""
