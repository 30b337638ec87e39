"""Numbers for generators: a protocol, statistics under it, metrics of these, reports of those."""
