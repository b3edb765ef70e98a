"""One module for each outside thing; each translates that thing's failures into ``sidecar.errors`` once."""
