"""The pure core: decides, and touches nothing. No asyncio, no clock, no random, no I/O in here."""
