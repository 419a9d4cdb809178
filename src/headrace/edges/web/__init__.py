"""What shows a running system to browsers, scripts and scrapers: a page, an API, ``/metrics`` and probes.

``records`` is what the API says, ``local_socket`` finds systems; these two need no further library.
"""
