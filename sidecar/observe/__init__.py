"""How people and machines see what the sidecar does: metrics, probes, status, logs."""
