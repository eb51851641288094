"""Tables and figures of runs; the only room that draws."""
