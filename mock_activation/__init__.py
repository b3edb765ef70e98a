"""A stand-in for the vendor's activation server and for ICAP Server, for demos, tests and rehearsals."""

__version__ = "0.1.0"
