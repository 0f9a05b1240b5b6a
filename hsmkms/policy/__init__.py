"""May they? Pure authorisation, in AWS's policy language and AWS's order.

From the inside out: ``patterns`` and ``operators`` (does a value fit), ``conditions``, ``principals``,
``document`` (one policy), ``parsing`` and ``rendering`` (text to policy and back), ``index`` (which
statements name this caller and action), ``grants``, ``evaluation`` (the answer and its reason). ``decision``
is what the service asks until policies are stored: the account boundary alone.
"""
