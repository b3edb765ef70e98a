"""What `helm test` runs: every sidecar's /readyz, then an ICAP OPTIONS through the Service. Standard library only."""

import socket
import sys
from urllib.error import HTTPError
from urllib.request import urlopen

peers, port, service, icap_port, icap_service = sys.argv[1:6]

addresses = sorted({found[4][0] for found in socket.getaddrinfo(peers, int(port), type=socket.SOCK_STREAM)})
unready = 0
for address in addresses:
    host = f"[{address}]" if ":" in address else address
    try:
        with urlopen(f"http://{host}:{port}/readyz", timeout=5) as answer:
            text = answer.read().decode().strip()
    except HTTPError as refusal:
        unready += 1
        text = refusal.read().decode(errors="replace").strip()
    except OSError as trouble:
        unready += 1
        text = str(trouble)
    print(f"{address}: {text}")
print(f"{len(addresses) - unready} of {len(addresses)} sidecars are ready")

where = f"icap://{service}:{icap_port}/{icap_service}"
request = f"OPTIONS {where} ICAP/1.0\r\nHost: {service}\r\nEncapsulated: null-body=0\r\n\r\n"
with socket.create_connection((service, int(icap_port)), timeout=10) as connection:
    connection.sendall(request.encode())
    status = connection.makefile("rb").readline().decode(errors="replace").strip()
print(f"ICAP OPTIONS: {status}")

# An unknown service (404) answers too: what matters is that ICAP is spoken here, with a licence (else 503).
protocol, _, rest = status.partition(" ")
spoken = protocol == "ICAP/1.0" and rest[:1] in {"2", "4"}
sys.exit(0 if spoken and unready == 0 else 1)
