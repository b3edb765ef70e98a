"""A load generator for the mock: many clients that take seats, ask again and give back, and count for themselves."""
