"""Check a container's health: `healthy.py 8080 /health` exits with 0 if that port answers that path with status 200.

Connects to loopback directly, without any proxy that the environment names. It is a file because some container engines
split an inline command at its blanks.
"""

import sys
from http.client import HTTPConnection

port, path = sys.argv[1:]
asked = HTTPConnection("127.0.0.1", int(port), timeout=4)
asked.request("GET", path)
sys.exit(asked.getresponse().status != 200)
