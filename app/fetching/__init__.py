"""Images by their address: which addresses may be asked, and how what lies there is brought.

A service that fetches what its callers name can be made to speak to what only it can reach: its own machine,
the network behind the firewall, the cloud's metadata. So hosts are named in the settings, names are resolved
once and the addresses that were judged are the ones that are dialed, and every redirect is judged anew.
"""

from app.fetching.allowed import Allowed
from app.fetching.buckets import AllowedBuckets
from app.fetching.fetcher import Fetcher

__all__ = ["Allowed", "AllowedBuckets", "Fetcher"]
