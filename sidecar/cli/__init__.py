"""The commands; each module imports only what its command needs."""
