"""May they? Pure authorisation, in AWS's policy language and AWS's order.

From the inside out: ``patterns`` and ``operators`` (does a value fit), ``conditions``, ``principals``,
``document`` (one policy), ``parsing`` and ``rendering`` (text to policy and back), ``binding`` (who is
meant), ``index`` (which statements name this caller and action), ``stored``, ``grants`` and ``grant_book``,
``evaluation`` (the answer and its reason), ``explanation`` (all that was looked at). ``linting`` says what is
wrong with a policy before anybody asks it.
"""
