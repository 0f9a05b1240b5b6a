"""The AWS skin: the KMS JSON protocol, and the STS actions by which AWS's tools log in.

From the outside in: ``door`` (who is it, may it start now), ``wire`` (bytes to a request), ``operations``
(the table of verbs), ``actions`` (one service call each), ``options`` (what of a request is not to be had),
``answers`` (results to members), ``refusals`` (errors to AWS's names). ``requests`` holds the request models,
made of ``shapes`` and ``structures``. ``entrance`` tells who calls; ``sts``, ``sts_requests`` and
``sts_answers`` speak the query protocol; ``incidents`` writes the log.
"""
