"""Licence sidecar for OPSWAT MetaDefender ICAP Server: seats never leak, a live pod never loses its seat."""

__version__ = "0.1.0"
