"""The health check of a container: whether a port of its own answers a path well, `healthy.py 8080 /health`.

Straight to loopback, whatever proxy the environment names; a file, as some engines split a command at its blanks.
"""

import sys
from http.client import HTTPConnection

port, path = sys.argv[1:]
asked = HTTPConnection("127.0.0.1", int(port), timeout=4)
asked.request("GET", path)
sys.exit(asked.getresponse().status != 200)
